//! Check-ins against a real ledger and journal, without a network.

use std::time::Duration;

use evenkeel_facts::{FactPath, SectionBuilder, Snapshot, root_digest};
use evenkeel_proto::commits::Base;
use evenkeel_store::entry::Enrolled;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::Transport;

mod damaged;

const NODE: Uuid = Uuid::from_u128(7);

struct Fixture {
    directory: TempDir,
    ingest: Ingest,
    runtime: tokio::runtime::Runtime,
}

impl Fixture {
    fn new() -> Self {
        Self::with(&Transport { sync_every: Duration::ZERO, ..Transport::default() })
    }

    fn with(transport: &Transport) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ingest = open(&directory, transport);
        let enrolled = Enrolled {
            node: NODE,
            environment: "dev".into(),
            host: "web-1".into(),
            role: String::new(),
            token: String::new(),
            labels: std::collections::BTreeMap::new(),
            key: Vec::new(),
        };
        let decide =
            |_: &State| Decision { entries: vec![Entry::Enrolled(enrolled)], sections: vec![], answer: () };
        runtime.block_on(ingest.ledger.change(Key::None, decide)).unwrap();
        Self { directory, ingest, runtime }
    }

    /// As after kill -9: nothing but the directory is left.
    fn restart(&mut self) {
        self.restart_with(|_| {});
    }

    /// The same, on a store of which this became.
    fn restart_with(&mut self, became: impl FnOnce(&evenkeel_store::Writer)) {
        let transport = Transport { sync_every: Duration::ZERO, ..Transport::default() };
        self.ingest = open_with(&self.directory, &transport, became);
    }

    fn check_in(&self, snapshot: &Snapshot, place: (u64, u64), with_commit: bool) -> Result<Answer, Status> {
        self.runtime.block_on(self.ingest.answer(NODE, request(snapshot, place, with_commit)))
    }

    fn put(&self, snapshot: &Snapshot) {
        let digests = snapshot.section_digests();
        let asked = digests.iter().map(|named| named.digest);
        self.ingest.waiting.ask(NODE, asked, &HashSet::new(), true, Instant::now());
        for section in &snapshot.sections {
            self.ingest.waiting.put(NODE, Arc::new(section.clone()).into(), 100, Instant::now()).unwrap();
        }
    }

    fn head(&self) -> (u64, u64, Digest) {
        let state = self.ingest.ledger.state();
        let head = state.node(NODE).unwrap().head.unwrap();
        (head.boot_epoch, head.sequence, head.root)
    }

    /// The places of every commit in the journal, in its order.
    fn committed(&self) -> Vec<(u64, u64)> {
        let mut places = Vec::new();
        let reader = self.ingest.reader.lock().unwrap();
        let each = |record: evenkeel_store::Record| {
            if let Entry::Committed(committed) = record.entry {
                places.push((committed.boot_epoch, committed.sequence));
            }
            Ok::<_, StoreError>(())
        };
        reader.replay(0, each).unwrap();
        places
    }
}

fn open(directory: &TempDir, transport: &Transport) -> Ingest {
    open_with(directory, transport, |_| {})
}

fn open_with(
    directory: &TempDir,
    transport: &Transport,
    became: impl FnOnce(&evenkeel_store::Writer),
) -> Ingest {
    // The writer of the instance before may still be closing its file: it is waited for.
    let (writer, reader) = evenkeel_store::open(directory.path()).unwrap();
    became(&writer);
    let state = State::new(&["dev".to_owned()], Instant::now());
    let metrics = Arc::new(Metrics::default());
    let ledger = Ledger::start(state, writer, &reader, Arc::clone(&metrics)).unwrap();
    let ca = crate::ca::tests::open(&directory.path().join("ca"), &["dev"]).unwrap();
    let limits = Limits::new(transport, Duration::from_secs(180));
    Ingest::new(ledger, reader, Arc::new(ca), Arc::default(), metrics, limits)
}

fn snapshot(value: u32) -> Snapshot {
    let mut vm = SectionBuilder::new("sysctl.vm");
    vm.present(FactPath::known("sysctl.vm.swappiness"), i64::from(value));
    let mut os = SectionBuilder::new("os");
    os.present(FactPath::known("os.id"), "debian");
    Snapshot {
        taken_at: "2026-11-22T10:00:00Z".parse().unwrap(),
        agent: "0.1.0".into(),
        host: "web-1".into(),
        environment: None,
        role: String::new(),
        sections: vec![os.finish(), vm.finish()],
    }
}

fn request(snapshot: &Snapshot, (boot_epoch, sequence): (u64, u64), with_commit: bool) -> CheckInRequest {
    let sections = snapshot.section_digests();
    let commit = with_commit.then(|| Commit {
        sections: contents::digests_to_wire(&sections),
        taken_at: Some(times::to_wire(snapshot.taken_at)),
        host: snapshot.host.clone(),
        role: snapshot.role.clone(),
        agent: snapshot.agent.clone(),
        ..Commit::default()
    });
    CheckInRequest {
        root: root_digest(&sections).as_bytes().to_vec(),
        boot_epoch,
        sequence,
        commit,
        ..CheckInRequest::default()
    }
}

/// Promise: unchanged is one tiny message; only contents that nobody has sent are asked for.
#[test]
fn only_what_is_unknown_is_asked_for() {
    let fixture = Fixture::new();
    let first = snapshot(10);
    assert_eq!(fixture.check_in(&first, (1, 1), false).unwrap(), Answer::SendCommit(SendCommit {}));
    let Answer::Send(Send { digests, .. }) = fixture.check_in(&first, (1, 1), true).unwrap() else {
        panic!("nothing was known");
    };
    assert_eq!(digests.len(), 2);
    fixture.put(&first);
    assert_eq!(fixture.check_in(&first, (1, 1), true).unwrap(), Answer::UpToDate(UpToDate {}));
    assert_eq!(fixture.check_in(&first, (1, 1), false).unwrap(), Answer::UpToDate(UpToDate {}));
    let second = snapshot(20);
    let Answer::Send(Send { digests, .. }) = fixture.check_in(&second, (1, 2), true).unwrap() else {
        panic!("one section was new");
    };
    assert_eq!(digests, [second.sections[1].digest().as_bytes().to_vec()]);
}

/// Promise: what no other node can have comes with the commit and is not asked for; what was said before the contents
/// holds behind them, for the state that it was said of.
#[test]
fn a_first_report_says_everything_once() {
    let fixture = Fixture::new();
    let answer = |request| fixture.runtime.block_on(fixture.ingest.answer(NODE, request)).unwrap();
    let mut first = snapshot(10);
    let mut identity = SectionBuilder::new("identity");
    identity.present(FactPath::known("identity.hostname"), "web-1");
    first.sections.insert(0, identity.finish());
    let mut said = request(&first, (1, 1), true);
    said.commit.as_mut().unwrap().own = contents::own(first.sections.iter());
    let digests = first.sections[1..].iter().map(|section| section.digest().as_bytes().to_vec()).collect();
    assert_eq!(answer(said), Answer::Send(Send { digests, bundles: true, keeps_commit: true }));

    // Nothing was said of another state.
    assert_eq!(answer(request(&snapshot(20), (1, 1), false)), Answer::SendCommit(SendCommit {}));
    let bundles = contents::to_bundles(&first.sections[1..].iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(bundles.len(), 1);
    let bundles = tokio_stream::iter(bundles.into_iter().map(Ok));
    fixture.runtime.block_on(fixture.ingest.put(NODE, bundles)).unwrap();
    assert_eq!(answer(request(&first, (1, 1), false)), Answer::UpToDate(UpToDate {}));
    assert_eq!(fixture.head(), (1, 1, first.root()));
    // Once: it was acknowledged, and nothing waits any more.
    assert_eq!(fixture.ingest.waiting.commit(NODE, first.root()), None);
}

/// A check-in that names only what changed since `old`.
fn changes(old: &Snapshot, new: &Snapshot, place: (u64, u64)) -> CheckInRequest {
    let mut request = request(new, place, true);
    let mut base = Base::new(old.section_digests());
    for section in &old.sections {
        base.replace(Arc::new(section.clone()));
    }
    let Commit { sections, base, removed, deltas, .. } = base.name_changes(new.sections.iter());
    let whole = request.commit.take().unwrap();
    request.commit = Some(Commit { sections, base, removed, deltas, ..whole });
    request
}

/// A snapshot with so many sysctls, of which one has another value.
fn large(keys: u32, value: u32) -> Snapshot {
    let mut net = SectionBuilder::new("sysctl.net");
    for key in 0..keys {
        let value = if key == 7 { value } else { 0 };
        net.present(FactPath::known(&format!("sysctl.net.key{key}")), i64::from(value));
    }
    let mut snapshot = snapshot(1);
    snapshot.sections.insert(1, net.finish());
    snapshot
}

/// Promise: a node that changed in one fact is up to date after one small message; the collector holds what the node
/// holds, and asks for the whole where a delta does not fit.
#[test]
fn what_changed_is_named_and_made_of_what_is_held() {
    let fixture = Fixture::new();
    let answer = |request| fixture.runtime.block_on(fixture.ingest.answer(NODE, request)).unwrap();
    let (first, second, third) = (large(500, 1), large(500, 2), large(500, 3));
    // Nothing is held yet: whatever it is named against, the whole is asked for.
    assert_eq!(answer(changes(&first, &second, (1, 1))), Answer::SendCommit(SendCommit {}));
    fixture.put(&first);
    fixture.check_in(&first, (1, 1), true).unwrap();

    let small = changes(&first, &second, (1, 2));
    let bytes = prost::Message::encoded_len(&small);
    assert!(bytes < 400, "{bytes} bytes");
    assert_eq!(answer(small), Answer::UpToDate(UpToDate {}));
    assert_eq!(fixture.head(), (1, 2, second.root()));
    let net = second.sections[1].digest();
    assert_eq!(
        fixture.ingest.reader.lock().unwrap().section(net).unwrap().as_ref(),
        Some(&second.sections[1])
    );

    // The acknowledgement was lost, and another change came: the base is not the newest any more.
    assert_eq!(answer(changes(&first, &third, (1, 3))), Answer::SendCommit(SendCommit {}));
    assert_eq!(fixture.head(), (1, 2, second.root()));

    // A delta that gives something else than it promises is as good as none, and so is one for another base.
    let lying = |change: fn(&mut evenkeel_proto::fleet::SectionDelta, &Snapshot)| {
        let mut lie = changes(&second, &third, (1, 3));
        change(&mut lie.commit.as_mut().unwrap().deltas[0], &first);
        lie
    };
    let digests = vec![third.sections[1].digest().as_bytes().to_vec()];
    let wanted = Answer::Send(Send { digests, bundles: true, keeps_commit: false });
    let swapped =
        lying(|delta, _| delta.zstd = contents::compress(&evenkeel_facts::Delta::default().encode()));
    assert_eq!(answer(swapped), wanted);
    let elsewhere = lying(|delta, first| delta.base = first.sections[0].digest().as_bytes().to_vec());
    assert_eq!(answer(elsewhere), wanted);
    assert_eq!(fixture.head(), (1, 2, second.root()));
    assert_eq!(answer(changes(&second, &third, (1, 3))), Answer::UpToDate(UpToDate {}));

    // A section that is gone is named, too.
    let mut fourth = third.clone();
    fourth.sections.remove(0);
    assert_eq!(answer(changes(&third, &fourth, (1, 4))), Answer::UpToDate(UpToDate {}));
    assert_eq!(fixture.head(), (1, 4, fourth.root()));
}

/// Promise: a value that comes back is known from the store; an acknowledged commit is there after a restart.
#[test]
fn what_was_acknowledged_survives_and_is_not_asked_for_again() {
    let mut fixture = Fixture::new();
    for (sequence, value) in [(1, 10), (2, 20)] {
        fixture.put(&snapshot(value));
        fixture.check_in(&snapshot(value), (1, sequence), true).unwrap();
    }
    fixture.restart();
    assert_eq!(fixture.head(), (1, 2, snapshot(20).root()));
    assert_eq!(fixture.check_in(&snapshot(10), (1, 3), true).unwrap(), Answer::UpToDate(UpToDate {}));
    assert_eq!(fixture.head(), (1, 3, snapshot(10).root()));
}

#[test]
fn an_older_state_directory_is_told_so() {
    let fixture = Fixture::new();
    fixture.put(&snapshot(1));
    fixture.check_in(&snapshot(1), (5, 1), true).unwrap();
    let behind = Answer::EpochBehind(EpochBehind { boot_epoch: 5 });
    assert_eq!(fixture.check_in(&snapshot(2), (4, 9), true).unwrap(), behind);
    // Restored to within the same boot epoch: another state at a place that is taken.
    fixture.put(&snapshot(3));
    assert_eq!(fixture.check_in(&snapshot(3), (5, 1), true).unwrap(), behind);
    assert_eq!(fixture.head(), (5, 1, snapshot(1).root()));
    fixture.put(&snapshot(3));
    assert_eq!(fixture.check_in(&snapshot(3), (6, 1), true).unwrap(), Answer::UpToDate(UpToDate {}));
}

/// Promise: a new agent version is seen although no fact has changed.
#[test]
fn labels_alone_are_news() {
    let fixture = Fixture::new();
    let mut snapshot = snapshot(1);
    fixture.put(&snapshot);
    fixture.check_in(&snapshot, (1, 1), true).unwrap();
    snapshot.agent = "0.2.0".into();
    fixture.check_in(&snapshot, (2, 1), true).unwrap();
    assert_eq!(fixture.ingest.ledger.state().node(NODE).unwrap().agent, "0.2.0");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let fixture = Fixture::new();
    let refused = |request: CheckInRequest| {
        let answer = fixture.runtime.block_on(fixture.ingest.answer(NODE, request));
        answer.unwrap_err().message().to_owned()
    };
    let good = request(&snapshot(1), (1, 1), true);
    assert_eq!(
        refused(CheckInRequest { root: vec![0; 32], ..good.clone() }),
        "the message is malformed: root: it is not the root of the sections"
    );
    assert_eq!(
        refused(CheckInRequest { root: vec![0; 31], ..good.clone() }),
        "the message is malformed: root: not a digest: 31 bytes (expected 32)"
    );
    assert_eq!(
        refused(CheckInRequest { boot_epoch: u64::MAX, ..good.clone() }),
        "the message is malformed: boot_epoch: 18446744073709551615 is too far above 0"
    );
    let mut twice = snapshot(1);
    let mut other = SectionBuilder::new("sysctl.net");
    other.present(FactPath::known("sysctl.vm.swappiness"), 1_i64);
    twice.sections.push(other.finish());
    fixture.put(&twice);
    assert_eq!(
        refused(request(&twice, (1, 1), true)),
        "the message is malformed: sections: sysctl.vm.swappiness stands in two sections of one source"
    );
    let mut hostile = snapshot(1);
    hostile.host = "../etc".into();
    assert!(refused(request(&hostile, (1, 1), true)).starts_with("the message is malformed: host"));
    assert!(fixture.ingest.ledger.state().node(NODE).unwrap().head.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Promise P3: exactly once in effect. However check-ins are repeated, delayed and reordered, and wherever the
    /// collector is restarted, the journal holds each place at most once, in growing order, and the newest commit that
    /// was acknowledged is the state.
    #[test]
    fn repeated_late_and_reordered_check_ins_change_nothing(
        order in proptest::collection::vec((1_u64..3, 1_u64..6), 1..30),
        restart_at in 0_usize..30,
    ) {
        let mut fixture = Fixture::new();
        let value = |(epoch, sequence): (u64, u64)| u32::try_from(epoch * 10 + sequence).unwrap();
        let mut newest = None;
        for (at, place) in order.into_iter().enumerate() {
            if at == restart_at {
                fixture.restart();
            }
            let snapshot = snapshot(value(place));
            fixture.put(&snapshot);
            match fixture.check_in(&snapshot, place, true).unwrap() {
                // A repetition, or news.
                Answer::UpToDate(_) => {
                    prop_assert!(newest <= Some(place), "{place:?} is older than {newest:?}");
                    newest = Some(place);
                }
                // Late, or of a state directory that is older than it was: never said to be held.
                Answer::EpochBehind(EpochBehind { boot_epoch }) => {
                    prop_assert!(newest > Some(place) && place.0 <= boot_epoch);
                }
                other => prop_assert!(false, "{other:?}"),
            }
            let (epoch, sequence, _) = fixture.head();
            prop_assert_eq!(Some((epoch, sequence)), newest);
        }
        let committed = fixture.committed();
        prop_assert!(committed.windows(2).all(|pair| pair[0] < pair[1]), "{committed:?}");
        prop_assert_eq!(committed.last().copied(), newest);
    }
}

/// Promise: a node that changes all the time is taken in five times, then told when to come back, and nothing of it is
/// acknowledged meanwhile; that nothing changed may always be said, and what was begun may be ended.
#[test]
fn a_node_that_changes_all_the_time_is_slowed_down() {
    let fixture = Fixture::with(&Transport::default());
    let sync = |value: u32| {
        let place = (1, u64::from(value));
        let answer = fixture.check_in(&snapshot(value), place, true).unwrap();
        if !matches!(answer, Answer::Send(_)) {
            return answer;
        }
        fixture.put(&snapshot(value));
        fixture.check_in(&snapshot(value), place, true).unwrap()
    };
    for value in 1..=5 {
        assert_eq!(sync(value), Answer::UpToDate(UpToDate {}), "{value}");
    }
    let Answer::RetryAfter(RetryAfter { milliseconds }) = sync(6) else { panic!("it is not slowed down") };
    assert!((1..=10_000).contains(&milliseconds), "{milliseconds}");
    assert_eq!(fixture.head(), (1, 5, snapshot(5).root()));
    for _ in 0..20 {
        assert_eq!(fixture.check_in(&snapshot(5), (1, 5), false).unwrap(), Answer::UpToDate(UpToDate {}));
    }
}
