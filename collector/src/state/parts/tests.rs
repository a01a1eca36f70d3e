use std::path::Path;
use std::time::Instant;

use evenkeel_facts::{Reason, SectionBuilder, root_digest};
use evenkeel_store::entry::{
    Accepted, Alerted, BaselineCreated, BaselineDeleted, Committed, Enrolled, FrozenNode, Holder, NodeCloned,
    NodeLeft, NodeSingle, NodeUnbanned, PolicyApplied, Presence, TokenCreated, Told, Unaccepted,
    UserCertified, UserInvited, UserRevoked,
};
use evenkeel_store::{Batch, Writer, check};
use uuid::Uuid;

use super::*;

/// `SplitMix64`: the same history for a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

const ENVIRONMENTS: [&str; 3] = ["dev", "staging", "prod"];

fn section(name: &str, random: &mut Random) -> Arc<Section> {
    let mut section = SectionBuilder::new(name);
    for fact in ["a", "b", "c"] {
        let path = FactPath::known(&format!("{name}.{fact}"));
        match random.below(6) {
            0 => section.unreadable(path, Reason::Timeout),
            1 => &mut section,
            value => section.present(path, format!("{value}")),
        };
    }
    Arc::new(section.finish())
}

#[expect(clippy::too_many_lines, reason = "one arm for each kind of entry")]
fn entry(state: &State, random: &mut Random, at: Timestamp) -> (Entry, Vec<Arc<Section>>) {
    let text = |t: &str| t.to_owned();
    let node = Uuid::from_u128(1 + u128::from(random.below(5)));
    let (by, name) = (text("admin root"), text(random.pick(&["ada", "bob"])));
    let soon = at.saturating_add(std::time::Duration::from_secs(random.below(9_000))).unwrap();
    let entry = match random.below(26) {
        0 | 1 => Entry::Enrolled(Enrolled {
            node,
            environment: text(random.pick(&ENVIRONMENTS)),
            host: format!("h{}", random.below(3)),
            role: text("web"),
            token: text(random.pick(&["t1", "pki:x"])),
            labels: [(text("rack"), text("7"))].into(),
            key: vec![1; 32],
        }),
        2 => Entry::Presence(Presence { node, fresh: random.below(2) == 0, last_seen: at }),
        3 => Entry::TokenCreated(TokenCreated {
            id: text("t1"),
            hash: vec![1],
            environment: text("dev"),
            uses: 3,
            expires: soon,
            by,
            names: text("*"),
            network: text(""),
        }),
        4 => Entry::TokenRevoked(TokenRevoked { id: text("t1"), by }),
        5 => Entry::NodeLeft(NodeLeft { node, banned: random.below(2) == 0, reason: text("r"), by }),
        6 => Entry::NodeUnbanned(NodeUnbanned { node, by }),
        7 => {
            let holders = (0..2 + random.below(2))
                .map(|n| Holder { host: format!("h{n}"), address: text("10.0.0.1") })
                .collect();
            Entry::NodeCloned(NodeCloned { node, holders })
        }
        8 => Entry::NodeSingle(NodeSingle { node }),
        9 => Entry::UserInvited(UserInvited {
            id: format!("u{}", random.below(3)),
            hash: vec![1],
            name,
            role: text("viewer"),
            environments: vec![text("dev")],
            expires: soon,
            by,
        }),
        10 => Entry::UserCertified(UserCertified {
            name,
            role: text("viewer"),
            environments: vec![],
            expires: soon,
            by,
            invitation: format!("u{}", random.below(3)),
        }),
        11 => Entry::UserRevoked(UserRevoked { name, reason: text("left"), by }),
        12 => {
            let text = format!("name = \"{}\"\nversion = 1\n", random.pick(&["mine", "theirs"]));
            Entry::PolicyApplied(PolicyApplied { text, version: u32::try_from(random.below(9)).unwrap(), by })
        }
        13 => Entry::Accepted(Accepted {
            id: format!("a{}", random.below(9)),
            findings: vec![],
            paths: text("sysctl.*"),
            owner: text("web"),
            reason: text("test"),
            until: soon,
            by,
        }),
        14 => Entry::Unaccepted(Unaccepted { id: format!("a{}", random.below(9)), by }),
        15 => {
            let all: Vec<_> = state.nodes().flat_map(|node| &node.view.sections).take(3).cloned().collect();
            let named = |s: &Arc<Section>| SectionDigest { name: s.name().to_owned(), digest: s.digest() };
            let mut sections: Vec<_> = all.iter().map(named).collect();
            sections.sort();
            sections.dedup();
            let places = (0..u32::try_from(sections.len()).unwrap()).collect();
            let frozen = FrozenNode {
                node,
                environment: text("prod"),
                host: text("h"),
                role: text(""),
                sections: places,
            };
            let (name, from) = (format!("b{}", random.below(3)), text("prod"));
            let created = BaselineCreated {
                name,
                from,
                as_of: at,
                sections,
                nodes: vec![frozen],
                policy: text(""),
                by,
            };
            return (Entry::BaselineCreated(created), all);
        }
        16 => Entry::BaselineDeleted(BaselineDeleted { name: format!("b{}", random.below(3)), by }),
        17 => Entry::Alerted(Alerted {
            receiver: text(random.pick(&["ops", "web"])),
            told: vec![Told {
                id: format!("f{}", random.below(3)),
                print: random.below(9),
                open: random.below(2) == 0,
                path: text("go.version"),
                kind: text("differs"),
                severity: text("critical"),
                role: text(""),
                environments: vec![],
                nodes: vec![],
                node_count: 1,
                since: at,
                summary: text("s"),
            }],
            forgotten: random.below(8) == 0,
        }),
        18 => Entry::EnvironmentsOrdered(EnvironmentsOrdered {
            names: ENVIRONMENTS[usize::try_from(random.below(2)).unwrap()..]
                .iter()
                .map(|e| text(e))
                .collect(),
            before: vec![text("dev")],
        }),
        _ => return commit(state, node, random, at),
    };
    (entry, vec![])
}

fn commit(state: &State, node: Uuid, random: &mut Random, at: Timestamp) -> (Entry, Vec<Arc<Section>>) {
    let mut own: Vec<Arc<Section>> =
        state.node(node).map_or_else(Vec::new, |node| node.view.sections.clone());
    let name = random.pick(&["kernel", "sysctl.net", "sysctl.vm"]);
    let mut removed = vec![];
    let mut changed = vec![];
    if random.below(5) == 0 && own.iter().any(|section| section.name() == name) {
        removed.push(name.to_owned());
        own.retain(|section| section.name() != name);
    } else {
        let new = section(name, random);
        own.retain(|section| section.name() != name);
        own.push(Arc::clone(&new));
        changed.push(new);
    }
    own.sort_by(|a, b| a.name().cmp(b.name()));
    let named = |s: &Arc<Section>| SectionDigest { name: s.name().to_owned(), digest: s.digest() };
    let head = state.node(node).and_then(|node| node.head);
    let committed = Committed {
        node,
        boot_epoch: 1,
        sequence: head.map_or(1, |head| head.sequence + 1),
        taken_at: at,
        root: root_digest(&own.iter().map(named).collect::<Vec<_>>()),
        changed: changed.iter().map(named).collect(),
        removed,
        labels: (random.below(3) == 0).then(|| Labels {
            host: format!("h{}", random.below(3)),
            role: "db".to_owned(),
            agent: "0.1.0".to_owned(),
        }),
        authors: vec![],
    };
    (Entry::Committed(committed), changed)
}

fn empty() -> State {
    State::new(&ENVIRONMENTS.map(str::to_owned), Instant::now())
}

fn parts(state: &State) -> Vec<Part> {
    let mut all = Vec::new();
    let Ok(()) = state.parts(|part| {
        all.push(part);
        Ok::<_, std::convert::Infallible>(())
    });
    all
}

fn replayed(reader: &Reader, last: u64) -> State {
    let mut state = empty();
    state.replay(reader, last, &mut |digest| reader.content(digest)).unwrap();
    state
}

/// Appends a history. Every state on the way, in parts.
fn live(writer: &mut Writer, seed: u64, entries: u64) -> Vec<Vec<Part>> {
    let (mut state, mut random) = (empty(), Random(seed));
    let mut all = vec![parts(&state)];
    let mut second = 1_790_000_000;
    for _ in 0..entries {
        // A clock that is set back now and then.
        second = second + random.below(4_000).cast_signed() - 500;
        let at = Timestamp::from_second(second).unwrap();
        let (entry, sections) = entry(&state, &mut random, at);
        let contents: Vec<_> = sections.iter().map(|section| Arc::clone(section).into()).collect();
        let batch = Batch { entries: vec![(at, entry)], sections: contents };
        for record in writer.append(batch).unwrap() {
            let find = &mut |digest| {
                Ok(Arc::clone(sections.iter().find(|section| section.digest() == digest).unwrap()))
            };
            state.apply(&record, find).unwrap();
        }
        all.push(parts(&state));
    }
    all
}

/// Looks at the store after a step: what a `kill -9` would leave there.
type Look<'a> = &'a mut dyn FnMut();

fn keep(writer: &mut Writer, reader: &Reader, position: u64, parts: &[Part], look: Look<'_>) {
    let at = reader.time_of(position).unwrap();
    writer.begin_checkpoint(position).unwrap();
    look();
    for (number, part) in parts.iter().enumerate() {
        writer.write_parts(position, number as u64, std::slice::from_ref(part)).unwrap();
        look();
    }
    writer.finish_checkpoint(Checkpoint { position, at, parts: parts.len() as u64 }).unwrap();
    look();
}

fn tidy(writer: &mut Writer, reader: &Reader, look: Look<'_>) {
    while writer.clear_checkpoints(3).unwrap() > 0 {
        look();
    }
    while writer.cut(3).unwrap() > 0 {
        look();
    }
    let end = writer.begin_sweep();
    let marked = reader.mark().unwrap();
    let mut after = Some(0);
    while let Some(last) = after {
        after = writer.sweep(&marked, last, end, 5).unwrap();
        look();
    }
    writer.sweep_names(&marked).unwrap();
    look();
    writer.end_sweep();
    while writer.vacuum(1).unwrap() > 0 {
        look();
    }
}

fn problems(directory: &Path) -> Vec<String> {
    check(&directory.join(evenkeel_store::FILE)).unwrap().problems
}

/// Promise: state is a function of a checkpoint and the entries behind it, at every moment behind it, whatever has
/// happened; also when what came before is cut off.
#[test]
fn a_state_is_a_checkpoint_and_what_came_since() {
    const ENTRIES: u64 = 120;
    for seed in 0..12 {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, reader) = evenkeel_store::open(directory.path()).unwrap();
        let states = live(&mut writer, seed, ENTRIES);
        let mut random = Random(seed);
        let (first, second) = (1 + random.below(50), 51 + random.below(60));
        for position in [first, second] {
            let at = usize::try_from(position).unwrap();
            assert_eq!(parts(&replayed(&reader, position)), states[at], "seed {seed}: without a checkpoint");
            keep(&mut writer, &reader, position, &states[at], &mut || {});
        }
        let same = |from: u64| {
            for position in (from..ENTRIES).step_by(11).chain([ENTRIES]) {
                let state = replayed(&reader, position);
                let expected = &states[usize::try_from(position).unwrap()];
                assert_eq!(parts(&state), *expected, "seed {seed}, entry {position}");
                assert_eq!(parts(&state.copy()), *expected);
            }
        };
        same(0);
        // A checkpoint alone takes nothing away.
        tidy(&mut writer, &reader, &mut || {});
        same(0);
        reader.replay::<StoreError>(0, |_| Ok(())).unwrap();
        writer.begin_at(first).unwrap();
        tidy(&mut writer, &reader, &mut || {});
        same(first);
        assert_eq!((reader.base().unwrap(), problems(directory.path())), (first, vec![]), "seed {seed}");
        assert!(reader.replay::<StoreError>(0, |_| Ok(())).is_err(), "what is gone is not said to be there");
        writer.begin_at(second).unwrap();
        writer.drop_checkpoint(first).unwrap();
        tidy(&mut writer, &reader, &mut || {});
        same(second);
        // What the journal begins behind is what everything stands on.
        writer.drop_checkpoint(second).unwrap();
        tidy(&mut writer, &reader, &mut || {});
        same(second);
        assert_eq!((reader.base().unwrap(), problems(directory.path())), (second, vec![]), "seed {seed}");
    }
}

/// Promise: a checkpoint that was never finished, or is damaged, is not believed: the entries are.
#[test]
fn a_checkpoint_that_is_not_whole_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, reader) = evenkeel_store::open(directory.path()).unwrap();
    let states = live(&mut writer, 7, 60);
    keep(&mut writer, &reader, 10, &states[10], &mut || {});
    writer.begin_checkpoint(20).unwrap();
    writer.write_parts(20, 0, &states[30]).unwrap();
    assert_eq!(parts(&replayed(&reader, 60)), states[60]);
    // Whole by its word alone.
    let at = reader.time_of(30).unwrap();
    writer.begin_checkpoint(30).unwrap();
    writer.write_parts(30, 0, &states[30][1..]).unwrap();
    writer.finish_checkpoint(Checkpoint { position: 30, at, parts: states[30].len() as u64 }).unwrap();
    assert_eq!(parts(&replayed(&reader, 60)), states[60]);
    let count = states[30].len();
    let said = vec![format!("the checkpoint after entry 30: {} of {count} parts are there", count - 1)];
    assert_eq!(problems(directory.path()), said);
}

/// Promise: a `kill -9` between any two steps of a cut loses nothing, and leaves a store that is whole.
#[test]
fn a_kill_at_any_moment_of_a_cut_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, reader) = evenkeel_store::open(directory.path()).unwrap();
    let states = live(&mut writer, 3, 90);
    let mut kills = 0;
    let mut kill = || {
        let left = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(directory.path()).unwrap().map(Result::unwrap) {
            // The shared index of the log is made anew.
            if !file.file_name().to_string_lossy().ends_with("-shm") {
                std::fs::copy(file.path(), left.path().join(file.file_name())).unwrap();
            }
        }
        let (mut writer, reader) = evenkeel_store::open(left.path()).unwrap();
        assert_eq!(parts(&replayed(&reader, 90)), states[90], "kill {kills}");
        assert_eq!(problems(left.path()), Vec::<String>::new(), "kill {kills}");
        // What was left undone is done, and it goes on.
        tidy(&mut writer, &reader, &mut || {});
        assert_eq!(parts(&replayed(&reader, 90)), states[90], "kill {kills}, tidied up");
        kills += 1;
    };
    keep(&mut writer, &reader, 40, &states[40], &mut kill);
    keep(&mut writer, &reader, 80, &states[80], &mut kill);
    writer.begin_at(40).unwrap();
    kill();
    tidy(&mut writer, &reader, &mut kill);
    writer.begin_at(80).unwrap();
    kill();
    writer.drop_checkpoint(40).unwrap();
    tidy(&mut writer, &reader, &mut kill);
    assert_eq!(reader.base().unwrap(), 80);
    assert!(kills > 60, "{kills}");
}

/// Promise: where nothing is left but a checkpoint, the state is that, and the next entry comes behind it.
#[test]
fn a_journal_that_is_cut_off_to_its_end_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, reader) = evenkeel_store::open(directory.path()).unwrap();
    let states = live(&mut writer, 5, 60);
    keep(&mut writer, &reader, 60, &states[60], &mut || {});
    writer.begin_at(60).unwrap();
    tidy(&mut writer, &reader, &mut || {});
    drop((writer, reader));
    let (mut writer, reader) = evenkeel_store::open(directory.path()).unwrap();
    assert_eq!((writer.position(), problems(directory.path())), (60, vec![]));
    let mut state = replayed(&reader, 60);
    assert_eq!(parts(&state), states[60]);
    let at = Timestamp::from_second(1_900_000_000).unwrap();
    let (entry, sections) = entry(&state, &mut Random(9), at);
    let contents: Vec<_> = sections.iter().map(|section| Arc::clone(section).into()).collect();
    let records = writer.append(Batch { entries: vec![(at, entry)], sections: contents }).unwrap();
    assert_eq!(records.iter().map(|record| record.position).collect::<Vec<_>>(), [61]);
    state.apply(&records[0], &mut |digest| reader.content(digest)).unwrap();
    assert_eq!(parts(&replayed(&reader, 61)), parts(&state));
}
