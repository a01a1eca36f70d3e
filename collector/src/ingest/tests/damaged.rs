//! Contents that the disk has lost.

use evenkeel_store::entry::{BaselineCreated, FrozenNode};

use super::*;

impl Fixture {
    /// The disk turns a bit in this content.
    fn damage(&self, digest: Digest) {
        self.ingest.ledger.upkeep(move |store| store.damage(digest)).unwrap();
    }

    fn asked(&self, snapshot: &Snapshot, place: (u64, u64)) -> Vec<Vec<u8>> {
        match self.check_in(snapshot, place, true).unwrap() {
            Answer::Send(Send { digests, .. }) => digests,
            answer => panic!("{answer:?}"),
        }
    }

    /// Whether the node is judged, and the names of what is held of it.
    fn held(&self) -> (bool, Vec<String>) {
        let state = self.ingest.ledger.state();
        let view = &state.node(NODE).unwrap().view;
        (view.fresh, view.sections.iter().map(|section| section.name().to_owned()).collect())
    }
}

/// Promise P6: a content that is damaged is never served and stops nothing: the collector starts, does not judge the nodes
/// that have it, asks them for it again, and judges them as soon as they have sent it.
#[test]
fn a_content_that_is_found_damaged_at_the_start_is_asked_for_again() {
    let mut fixture = Fixture::new();
    let (first, second) = (snapshot(10), snapshot(20));
    let vm = first.sections[1].digest();
    fixture.put(&first);
    assert_eq!(fixture.check_in(&first, (1, 1), true).unwrap(), Answer::UpToDate(UpToDate {}));
    fixture.damage(vm);
    fixture.restart();
    assert_eq!(fixture.held(), (false, vec!["os".to_owned()]));
    assert_eq!(fixture.ingest.metrics.damaged.get(), 1);

    // Whatever the agent says first, the whole is asked for.
    assert_eq!(fixture.check_in(&first, (1, 1), false).unwrap(), Answer::SendCommit(SendCommit {}));
    let news = fixture.ingest.answer(NODE, changes(&first, &second, (1, 2)));
    assert_eq!(fixture.runtime.block_on(news).unwrap(), Answer::SendCommit(SendCommit {}));
    assert_eq!(fixture.asked(&first, (1, 1)), [vm.as_bytes().to_vec()]);
    fixture.put(&first);
    // One place holds one commit: it comes again in the next boot epoch.
    let behind = Answer::EpochBehind(EpochBehind { boot_epoch: 1 });
    assert_eq!(fixture.check_in(&first, (1, 1), true).unwrap(), behind);
    assert_eq!(fixture.asked(&first, (2, 1)), [vm.as_bytes().to_vec()]);
    fixture.put(&first);
    assert_eq!(fixture.check_in(&first, (2, 1), true).unwrap(), Answer::UpToDate(UpToDate {}));
    for _ in 0..2 {
        assert_eq!(fixture.held(), (true, vec!["os".to_owned(), "sysctl.vm".to_owned()]));
        assert_eq!(fixture.head(), (2, 1, first.root()));
        fixture.restart();
    }
    assert_eq!(fixture.ingest.metrics.damaged.get(), 0, "it is whole again");
}

/// Promise P6: the same for a content that only the past named, and that a node has again.
#[test]
fn a_content_that_is_found_damaged_when_it_is_needed_is_asked_for_again() {
    let mut fixture = Fixture::new();
    let (first, second) = (snapshot(10), snapshot(20));
    let vm = first.sections[1].digest();
    for (snapshot, sequence) in [(&first, 1), (&second, 2)] {
        fixture.put(snapshot);
        let answer = fixture.check_in(snapshot, (1, sequence), true).unwrap();
        assert_eq!(answer, Answer::UpToDate(UpToDate {}));
    }
    fixture.damage(vm);
    assert_eq!(fixture.asked(&first, (1, 3)), [vm.as_bytes().to_vec()]);
    assert_eq!(fixture.ingest.metrics.damaged.get(), 1);
    fixture.put(&first);
    assert_eq!(fixture.check_in(&first, (1, 3), true).unwrap(), Answer::UpToDate(UpToDate {}));
    fixture.restart();
    assert_eq!(fixture.held(), (true, vec!["os".to_owned(), "sysctl.vm".to_owned()]));
}

/// Promise P6: a disk that takes no write keeps no collector from starting with a damaged content, and it is asked for when
/// there is room.
#[test]
fn a_full_disk_stops_no_start_on_a_damaged_content() {
    let mut fixture = Fixture::new();
    let first = snapshot(10);
    let vm = first.sections[1].digest();
    fixture.put(&first);
    assert_eq!(fixture.check_in(&first, (1, 1), true).unwrap(), Answer::UpToDate(UpToDate {}));
    fixture.damage(vm);
    fixture.restart_with(|writer| writer.refuse_writes(true).unwrap());
    assert_eq!(fixture.held(), (false, vec!["os".to_owned()]));
    assert!(fixture.check_in(&first, (2, 1), true).unwrap_err().message().contains("cannot be written"));
    fixture.ingest.ledger.upkeep(|store| store.refuse_writes(false)).unwrap();
    assert_eq!(fixture.asked(&first, (2, 1)), [vm.as_bytes().to_vec()]);
    fixture.put(&first);
    assert_eq!(fixture.check_in(&first, (2, 1), true).unwrap(), Answer::UpToDate(UpToDate {}));
    fixture.restart();
    assert_eq!(fixture.held(), (true, vec!["os".to_owned(), "sysctl.vm".to_owned()]));
}

/// Promise P6: a content of a baseline that is damaged keeps no collector from starting; of the baseline's nodes that had it
/// nothing is compared, the others are.
#[test]
fn a_damaged_content_of_a_baseline_stops_no_start() {
    let mut fixture = Fixture::new();
    let snapshot = snapshot(10);
    let digests = snapshot.section_digests();
    let node = |id: u128, sections: &[u32]| FrozenNode {
        node: Uuid::from_u128(id),
        environment: "dev".into(),
        host: format!("web-{id}"),
        role: String::new(),
        sections: sections.to_vec(),
    };
    let created = BaselineCreated {
        name: "golden".into(),
        from: "dev".into(),
        as_of: Timestamp::UNIX_EPOCH,
        sections: digests.clone(),
        nodes: vec![node(1, &[0, 1]), node(2, &[0])],
        policy: String::new(),
        by: String::new(),
    };
    let sections = snapshot.sections.iter().map(|section| Arc::new(section.clone()).into()).collect();
    let entries = vec![Entry::BaselineCreated(created.clone())];
    let decide = |_: &State| Decision { entries, sections, answer: () };
    fixture.runtime.block_on(fixture.ingest.ledger.change(Key::None, decide)).unwrap();
    fixture.damage(digests[1].digest);
    // Found damaged at the first start, put aside at the second.
    for _ in 0..2 {
        fixture.restart();
        let state = fixture.ingest.ledger.state();
        let baseline = state.judgement().baseline("golden").unwrap();
        let views: Vec<_> =
            baseline.nodes.iter().map(|(_, view)| (view.fresh, view.sections.len())).collect();
        assert_eq!(views, [(false, 1), (true, 1)]);
        let lost = std::collections::BTreeMap::from([(digests[1].digest, vec!["golden".to_owned()])]);
        assert_eq!(state.judgement().damaged(), lost);
        assert_eq!(fixture.ingest.metrics.damaged.get(), 1);
        // What a checkpoint keeps of it is what was written.
        let mut kept = Vec::new();
        let each = |part| {
            kept.push(part);
            Ok::<_, ()>(())
        };
        state.parts(each).unwrap();
        let entry = Entry::BaselineCreated(created.clone());
        assert!(
            kept.iter().any(
                |part| matches!(part, evenkeel_store::checkpoint::Part::Entry(_, kept) if *kept == entry)
            )
        );
    }
}
