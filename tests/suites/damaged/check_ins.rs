//! Check-ins at a real ingest over a real journal, without a network: whatever a node says, what the collector holds of it
//! is a state that the node has named.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_collector::access::Peer;
use evenkeel_collector::ca::{Ca, Lives};
use evenkeel_collector::config::Transport;
use evenkeel_collector::ingest::{Ingest, Limits};
use evenkeel_collector::ledger::{Decision, Key, Ledger};
use evenkeel_collector::metrics::Metrics;
use evenkeel_collector::state::State;
use evenkeel_facts::delta::Delta;
use evenkeel_facts::{FactPath, Section, SectionBuilder, SectionDigest, root_digest};
use evenkeel_proto::contents;
use evenkeel_proto::fleet::check_in_response::Answer;
use evenkeel_proto::fleet::fleet_service_server::FleetService as _;
use evenkeel_proto::fleet::{Author, CheckInRequest, Commit, SectionDelta};
use evenkeel_store::Entry;
use evenkeel_store::entry::Enrolled;
use prost::Message as _;
use prost_types::Timestamp;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::{Code, Request, Status};
use uuid::Uuid;

const NODE: Uuid = Uuid::from_u128(7);
const ENVIRONMENT: &str = "dev";

/// A collector with one node.
pub(super) struct CheckIns {
    ingest: Ingest,
    ledger: Ledger,
    runtime: Runtime,
    _directory: TempDir,
}

impl CheckIns {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (writer, reader) = evenkeel_store::open(directory.path()).unwrap();
        let environments = [ENVIRONMENT.to_owned()];
        let metrics = Arc::new(Metrics::default());
        let state = State::new(&environments, Instant::now());
        let ledger = Ledger::start(state, writer, &reader, Arc::clone(&metrics)).unwrap();
        let day = Duration::from_secs(86_400);
        let lives = Lives { authority: 3_650 * day, collector: 90 * day, node: day };
        let ca = Ca::open(&directory.path().join("ca"), &environments, lives, false).unwrap();
        let transport = Transport { sync_every: Duration::ZERO, ..Transport::default() };
        let limits = Limits::new(&transport, Duration::from_secs(180));
        let ingest = Ingest::new(ledger.clone(), reader, Arc::new(ca), Arc::default(), metrics, limits);
        let enrolled = Enrolled {
            node: NODE,
            environment: ENVIRONMENT.to_owned(),
            host: "web-1".to_owned(),
            role: String::new(),
            token: String::new(),
            labels: BTreeMap::new(),
            key: Vec::new(),
        };
        let decide =
            |_: &State| Decision { entries: vec![Entry::Enrolled(enrolled)], sections: vec![], answer: () };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(ledger.change(Key::None, decide)).unwrap();
        Self { ingest, ledger, runtime, _directory: directory }
    }

    /// One check-in; contents that it asks for come if the seeds have them.
    pub(super) fn take(&self, input: &[u8]) {
        let Ok(request) = CheckInRequest::decode(input) else { return };
        if let Ok(Some(Answer::Send(_))) = self.say(request.clone()) {
            let contents = super::sections().iter().filter_map(contents::to_wire).map(Ok).collect::<Vec<_>>();
            // It ends at the first that was not asked for.
            let _ = self.runtime.block_on(self.ingest.put(NODE, tokio_stream::iter(contents)));
            let _ = self.say(request);
        }
        let state = self.ledger.state();
        let node = state.node(NODE).expect("nobody sends it away");
        let digest = |section: &Arc<Section>| SectionDigest {
            name: section.name().to_owned(),
            digest: section.digest(),
        };
        let held: Vec<_> = node.view.sections.iter().map(digest).collect();
        if let Some(head) = &node.head {
            assert_eq!(head.root, root_digest(&held), "what is held is not what was named");
        }
    }

    fn say(&self, message: CheckInRequest) -> Result<Option<Answer>, Status> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(Peer::Node { environment: ENVIRONMENT.to_owned(), id: NODE });
        let answer = self.runtime.block_on(self.ingest.check_in(request));
        if let Err(status) = &answer {
            let ours = [Code::Internal, Code::Unavailable, Code::Unknown].contains(&status.code());
            assert!(!ours, "a message of a node's is no fault of the collector's: {status}");
        }
        answer.map(|answer| answer.into_inner().answer)
    }
}

/// What a node says: that nothing changed, all that it is, and what has changed since.
pub(super) fn seeds(sections: impl Iterator<Item = Section>) -> Vec<Vec<u8>> {
    let before: Vec<Section> = sections.collect();
    let mut other = SectionBuilder::new("os");
    other.present(FactPath::known("os.id"), "debian");
    let other = other.finish();
    let delta = before.iter().find(|section| section.name() == "os").map(|base| SectionDelta {
        digest: other.digest().as_bytes().to_vec(),
        base: base.digest().as_bytes().to_vec(),
        zstd: contents::compress(&Delta::between(base, &other).encode()),
    });
    let mut after = before.clone();
    after.retain(|section| section.name() != "os");
    after.push(other.clone());
    after.sort_by(|a, b| a.name().cmp(b.name()));
    let author = Author {
        path: "sysctl.net.core.somaxconn".into(),
        pid: 7,
        command: "sysctl".into(),
        user: "root".into(),
        ..Author::default()
    };
    let commit = |sections: &[Section]| Commit {
        sections: contents::digests_to_wire(&digests(sections)),
        taken_at: Some(Timestamp { seconds: 1_790_000_000, nanos: 0 }),
        host: "web-1".into(),
        agent: "0.1.0".into(),
        authors: vec![author.clone()],
        ..Commit::default()
    };
    let whole = commit(&before);
    let base = root_digest(&digests(&before)).as_bytes().to_vec();
    let changed = Commit { base, deltas: delta.into_iter().collect(), ..commit(&[other]) };
    [(&before, None), (&before, Some(whole.clone())), (&after, Some(changed)), (&after, Some(whole))]
        .into_iter()
        .zip(1..)
        .map(|((sections, commit), sequence)| CheckInRequest {
            root: root_digest(&digests(sections)).as_bytes().to_vec(),
            boot_epoch: 1,
            sequence,
            commit,
            instance: vec![7; 8],
            trust: vec![0; 8],
        })
        .map(|request| request.encode_to_vec())
        .collect()
}

fn digests(sections: &[Section]) -> Vec<SectionDigest> {
    let digest =
        |section: &Section| SectionDigest { name: section.name().to_owned(), digest: section.digest() };
    sections.iter().map(digest).collect()
}
