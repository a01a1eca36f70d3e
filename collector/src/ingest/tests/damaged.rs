//! Contents that the disk has lost.

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
