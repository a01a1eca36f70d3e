//! What no honest peer does: each is refused or closed, counted, and costs a bounded amount of memory.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use evenkeel_facts::{Digest, SectionDigest, root_digest};
use evenkeel_proto::contents;
use evenkeel_proto::fleet::check_in_response::Answer;
use evenkeel_proto::fleet::fleet_service_client::FleetServiceClient;
use evenkeel_proto::fleet::{CheckInRequest, Commit, SectionContent};
use evenkeel_runtime::channel::{self, Address};
use evenkeel_tests::harness::collector::UNLIMITED;
use evenkeel_tests::harness::http2::{Http2, flag, frame, headers, kind, message};
use evenkeel_tests::harness::{Agent, Collector, Machine, Settings, wait};
use evenkeel_tests::load::process::Process;
use tonic::Code;

const CHECK_IN: &str = "/evenkeel.fleet.v1.FleetService/CheckIn";
const PUT_SECTIONS: &str = "/evenkeel.fleet.v1.FleetService/PutSections";
const ENROLL: &str = "/evenkeel.enroll.v1.EnrollmentService/Enroll";
/// What one abuser may make the collector take, in bytes, above what it has taken before.
const MEMORY: u64 = 48 * 1024 * 1024;

/// A collector and an enrolled node that misbehaves.
struct Abused {
    collector: Collector,
    node: Agent,
    _machine: Machine,
    peak: u64,
}

impl Abused {
    fn new() -> Self {
        let transport =
            format!("{UNLIMITED}\nhandshake_deadline = \"500ms\"\nfirst_request_deadline = \"500ms\"");
        let mut collector = Collector::start(&Settings { transport, ..Settings::default() });
        let machine = Machine::new("stg-1");
        let node = Agent::enrol(&collector, machine.node("staging"));
        let peak = Process(collector.process().id()).memory().unwrap().peak;
        Self { collector, node, _machine: machine, peak }
    }

    fn speak(&self) -> Http2 {
        Http2::new(self.collector.ports().fleet, self.node.tls(&self.collector))
    }

    /// Waits until a connection has this outcome.
    fn closed_as(&self, outcome: &str) {
        wait::until(|| match self.collector.connections(outcome) {
            count if count > 0 => Ok(()),
            _ => Err(format!("no connection was {outcome}")),
        });
    }

    /// The collector took little memory, and serves an honest agent.
    fn then_all_is_well(mut self) {
        let memory = Process(self.collector.process().id()).memory().unwrap();
        let grown = memory.peak - self.peak;
        assert!(grown < MEMORY, "it took {grown} bytes");
        self.node.run();
        self.node.wait_acknowledged();
    }
}

/// Promise: a handshake that does not go on is ended, whether nothing was said or a part.
#[test]
fn a_slow_handshake() {
    let abused = Abused::new();
    let ports = abused.collector.ports();
    for port in [ports.fleet, ports.enroll] {
        for beginning in [&b""[..], &[0x16, 3, 1, 0x02]] {
            let mut stream = TcpStream::connect(port).unwrap();
            stream.write_all(beginning).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap_or_default(), 0, "it is closed without a word");
        }
    }
    wait::until(|| match abused.collector.connections("handshake_timeout") {
        4 => Ok(()),
        count => Err(format!("{count} handshakes took too long")),
    });
    abused.then_all_is_well();
}

/// Promise: a connection that asks nothing, or never ends what it asks, is closed.
#[test]
fn half_a_request() {
    let abused = Abused::new();
    // Not even HTTP/2.
    Http2::quiet(abused.collector.ports().fleet, abused.node.tls(&abused.collector)).until_closed();
    // No request.
    abused.speak().until_closed();
    // A request without an end.
    let mut half = abused.speak();
    half.send(&frame(kind::HEADERS, flag::END_HEADERS, 1, &headers(CHECK_IN, &[]))).unwrap();
    half.send(&frame(kind::DATA, 0, 1, &message(false, 100, b"half"))).unwrap();
    half.until_closed();
    // One on HTTP/1.1.
    let mut plain = TcpStream::connect(abused.collector.ports().http).unwrap();
    plain.write_all(b"GET /metrics HT").unwrap();
    plain.read_to_end(&mut Vec::new()).unwrap();
    wait::until(|| match abused.collector.connections("silent") {
        4 => Ok(()),
        count => Err(format!("{count} connections were silent")),
    });
    abused.then_all_is_well();
}

/// Promise: requests that are taken back at once end the connection (CVE-2023-44487).
#[test]
fn rapid_resets() {
    let abused = Abused::new();
    let mut connection = abused.speak();
    let begin = headers(PUT_SECTIONS, &[]);
    let taken_back = |stream: u32| {
        let opened = frame(kind::HEADERS, flag::END_HEADERS, stream, &begin);
        [opened, frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let ended = (0..100_000).find(|number| connection.send(&taken_back(1 + 2 * number)).is_err());
    assert!(ended.is_some(), "100,000 resets were borne");
    wait::until(|| {
        let ended = abused.collector.connections("abusive") + abused.collector.connections("too_many_resets");
        if ended > 0 { Ok(()) } else { Err("no connection was ended".to_owned()) }
    });
    abused.then_all_is_well();
}

/// Promise: taking back requests that are worked on already is no way around that.
#[test]
fn resets_one_by_one() {
    let abused = Abused::new();
    let mut connection = abused.speak();
    let begin = headers(CHECK_IN, &[]);
    // It is no silent connection: one request comes in full.
    connection.send(&frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &begin)).unwrap();
    for number in 1..1_000 {
        let stream = 1 + 2 * number;
        let opened = frame(kind::HEADERS, flag::END_HEADERS, stream, &begin);
        // A ping is answered when what came before it was seen.
        let ping = frame(kind::PING, 0, 0, &[0; 8]);
        let sent = connection.send(&[opened, ping].concat());
        let seen = sent.is_ok()
            && std::iter::from_fn(|| connection.receive())
                .any(|frame| frame.kind == kind::PING && frame.flags == 1);
        if !seen || connection.send(&frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes())).is_err() {
            break;
        }
    }
    abused.closed_as("too_many_resets");
    abused.then_all_is_well();
}

/// Promise: headers without an end, in ever more frames, end the connection (CVE-2024-27316).
#[test]
fn a_flood_of_headers() {
    let abused = Abused::new();
    let mut connection = abused.speak();
    connection.send(&frame(kind::HEADERS, 0, 1, &headers(CHECK_IN, &[]))).unwrap();
    let more = headers(CHECK_IN, &[("x-more", &"a".repeat(4_000))]);
    let ended = (0..10_000).find(|_| connection.send(&frame(kind::CONTINUATION, 0, 1, &more)).is_err());
    assert!(ended.is_some(), "40 MB of headers were borne");
    wait::until(|| {
        let ended = abused.collector.connections("abusive") + abused.collector.connections("protocol_error");
        if ended > 0 { Ok(()) } else { Err("no connection was ended".to_owned()) }
    });
    abused.then_all_is_well();
}

/// Promise: one request with too many headers is refused, and the connection goes on.
#[test]
fn too_many_headers() {
    let abused = Abused::new();
    let mut connection = abused.speak();
    let large = headers(CHECK_IN, &[("x-large", &"a".repeat(9_000))]);
    connection.send(&frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &large)).unwrap();
    let answer = std::iter::from_fn(|| connection.receive()).find(|frame| frame.stream == 1).unwrap();
    assert_eq!(answer.kind, kind::HEADERS);
    // 431 as HPACK has it: a literal value of the static table's `:status`.
    assert!(answer.payload.windows(3).any(|bytes| bytes == b"431") || answer.payload.contains(&0x48));
    abused.then_all_is_well();
}

/// Promise: a message above its limit is refused before it is read: 64 KiB for a stranger, 4 MiB for a node.
#[test]
fn an_oversized_message() {
    let abused = Abused::new();
    let ports = abused.collector.ports();
    let mut stranger = Http2::new(ports.enroll, abused.node.tls(&abused.collector));
    let mut node = abused.speak();
    for (connection, method, limit) in
        [(&mut stranger, ENROLL, 64 * 1024), (&mut node, CHECK_IN, 4 * 1024 * 1024)]
    {
        connection.send(&frame(kind::HEADERS, flag::END_HEADERS, 1, &headers(method, &[]))).unwrap();
        connection.send(&frame(kind::DATA, 0, 1, &message(false, limit + 1, b"begin"))).unwrap();
        let answered = std::iter::from_fn(|| connection.receive())
            .any(|frame| frame.kind == kind::HEADERS && frame.stream == 1);
        assert!(answered, "it is not waited for the rest");
    }
    wait::until(|| match abused.collector.requests("oversized") {
        2 => Ok(()),
        count => Err(format!("{count} messages were oversized")),
    });
    abused.then_all_is_well();
}

/// Promise: a message in gRPC's own compression is refused without a look into it.
#[test]
fn a_compressed_message() {
    let abused = Abused::new();
    let mut connection = abused.speak();
    let begin = headers(CHECK_IN, &[("grpc-encoding", "gzip")]);
    connection.send(&frame(kind::HEADERS, flag::END_HEADERS, 1, &begin)).unwrap();
    connection.send(&frame(kind::DATA, flag::END_STREAM, 1, &message(true, 5, b"bomb!"))).unwrap();
    let answered = std::iter::from_fn(|| connection.receive()).any(|frame| frame.stream == 1);
    assert!(answered);
    wait::until(|| match abused.collector.requests("encoding_refused") {
        1 => Ok(()),
        count => Err(format!("{count} encodings were refused")),
    });
    abused.then_all_is_well();
}

/// Promise: a content that unfolds to more than 16 MiB is refused, also when it was asked for; and one that was not asked
/// for is not even unfolded.
#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_in_a_content() {
    let abused = Abused::new();
    let address = Address::parse(&abused.collector.url(), 0).unwrap();
    let config = std::sync::Arc::new(arc_swap::ArcSwap::from_pointee(abused.node.tls(&abused.collector)));
    let mut client = FleetServiceClient::new(channel::over_tls(&address, config));
    let zstd = contents::compress(&vec![0; 200 * 1024 * 1024]);
    let bomb = SectionContent { zstd, ..SectionContent::default() };
    assert!(bomb.zstd.len() < 100_000);

    let unasked = client.put_sections(tokio_stream::iter([bomb.clone()])).await.unwrap_err();
    assert_eq!(unasked.code(), Code::FailedPrecondition);
    assert_eq!(unasked.message(), "a content that was not asked for: check in first");

    let sections = [SectionDigest { name: "os".into(), digest: Digest::of(b"bomb") }];
    let commit = Commit {
        sections: contents::digests_to_wire(&sections),
        taken_at: Some(evenkeel_proto::times::to_wire(jiff::Timestamp::now())),
        host: "stg-1".into(),
        agent: "0".into(),
        ..Commit::default()
    };
    let request = CheckInRequest {
        root: root_digest(&sections).as_bytes().to_vec(),
        boot_epoch: 1,
        sequence: 1,
        commit: Some(commit),
        ..CheckInRequest::default()
    };
    let answer = client.check_in(request).await.unwrap().into_inner().answer;
    assert!(matches!(answer, Some(Answer::Send(_))), "{answer:?}");
    let refused = client.put_sections(tokio_stream::iter([bomb])).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(refused.message(), "the content has more than 16 MiB when it is decompressed");
    assert!(abused.collector.requests("oversized") > 0);
    tokio::task::block_in_place(|| abused.then_all_is_well());
}
