//! Random fleets: few paths and few values, so that everything meets everything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use evenkeel_drift::report::{Quarantined, Severity};
use evenkeel_drift::{Fleet, Node, Query};
use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// The sections and the facts that they may note. Some stand in two sections of one source: a fact that moved.
const FACTS: &[(&str, &[&str])] = &[
    (
        "go_programs",
        &[
            "go.program",
            "go.program[a]",
            "go.program[a].go_version",
            "go.program[a].version",
            "go.program[a].module[m]",
            "go.program[b].go_version",
            "go.program[b].setting[vcs.time]",
            "go.program[b].restart_pending",
        ],
    ),
    ("hardware", &["hardware.cpu.count", "hardware.memory.bytes"]),
    ("identity", &["identity.machine_id", "identity.mac[a]", "identity.mac[b]"]),
    ("identity.x", &["identity.mac[x]", "identity.mac[y]"]),
    (
        "kernel",
        &[
            "kernel.release",
            "kernel.cmdline[quiet]",
            "kernel.module[nf]",
            "kernel.installed",
            "kernel.next_release",
        ],
    ),
    ("sysctl", &["sysctl.net", "sysctl.net.core.somaxconn", "sysctl.net.core"]),
    (
        "sysctl_persisted",
        &[
            "sysctl.persisted[net.core.somaxconn].value",
            "sysctl.persisted[net.core.somaxconn].source",
            "sysctl.persisted[net.core.x].value",
            "sysctl.persisted[net.core.x].source",
            "sysctl.persisted[fs.p].value",
            "sysctl.persisted[fs.p].source",
            "sysctl.persisted[fs.q].value",
            "sysctl.persisted[fs.q].source",
            "sysctl.persisted[fs.r].value",
            "sysctl.persisted[fs.r].source",
        ],
    ),
    (
        "sysctl.fs",
        &[
            "sysctl.fs.file-max",
            "sysctl.fs.file-nr",
            "sysctl.fs.nr_open",
            "sysctl.fs.p",
            "sysctl.fs.q",
            "sysctl.fs.r",
        ],
    ),
    (
        "sysctl.net",
        &[
            "sysctl.net.core.somaxconn",
            "sysctl.net.core.x",
            "sysctl.net.bridge.y",
            "sysctl.net.ipv4.conf.eth0.z",
        ],
    ),
    ("time", &["time.zone", "time.rule", "time.transitions", "tzdata.version"]),
];

fn observation() -> impl Strategy<Value = Observation> {
    prop_oneof![
        6 => select(&["1", "2", "2  ", "02", "128", "4096", "1.2.3", "5.4.0", "(devel)"][..]).prop_map(|text| Observation::Present(text.into())),
        2 => Just(Observation::Present(1_i64.into())),
        1 => Just(Observation::Absent),
        2 => select(&[Reason::Permission, Reason::Timeout, Reason::Partial, Reason::Unsupported][..]).prop_map(Observation::Unreadable),
    ]
}

/// What is seen at a path: a line of a file that sets a parameter is one of few.
fn seen_at(path: &str) -> BoxedStrategy<Observation> {
    if !path.ends_with(".source") {
        return observation().boxed();
    }
    let line = select(&["/etc/a:1", "/etc/a:2", "/etc/a:3", "/etc/b:1"][..]);
    line.prop_map(|line| Observation::Present(line.into())).boxed()
}

/// A few contents of one section: most nodes share them.
fn contents(name: &'static str, paths: &'static [&'static str]) -> impl Strategy<Value = Vec<Arc<Section>>> {
    let one = subsequence(paths, 0..=paths.len()).prop_flat_map(|paths| {
        let seen: Vec<_> = paths.iter().map(|path| seen_at(path)).collect();
        (Just(paths), seen)
    });
    proptest::collection::vec(one, 1..4).prop_map(move |variants| {
        let build = |(paths, observations): (Vec<&str>, Vec<Observation>)| {
            let mut section = SectionBuilder::new(name);
            for (path, observation) in paths.into_iter().zip(observations) {
                section.observe(FactPath::known(path), observation);
            }
            Arc::new(section.finish())
        };
        variants.into_iter().map(build).collect()
    })
}

#[derive(Debug, Clone)]
struct Draft {
    environment: usize,
    role: &'static str,
    fresh: bool,
    since: i64,
    /// For each section which of its contents; beyond the last: the node does not have the section.
    choices: Vec<usize>,
    changed: Vec<(&'static str, i64)>,
}

fn draft() -> impl Strategy<Value = Draft> {
    let paths: Vec<&str> = FACTS.iter().flat_map(|(_, paths)| paths.iter().copied()).collect();
    let changed = proptest::collection::vec((select(paths), 0_i64..9), 0..6);
    let choices = proptest::collection::vec(select(&[0_usize, 0, 0, 0, 0, 1, 1, 2, 3][..]), FACTS.len());
    (
        0_usize..3,
        select(&["web", "web", "db"][..]),
        proptest::bool::weighted(0.85),
        0_i64..6,
        choices,
        changed,
    )
        .prop_map(|(environment, role, fresh, since, choices, changed)| Draft {
            environment,
            role,
            fresh,
            since,
            choices,
            changed,
        })
}

/// The environments: the last is a baseline, which is one of the others as it was, or has no nodes.
const ENVIRONMENTS: &[&str] = &["dev", "staging", "prod", "baseline/launch"];

/// A fleet of up to 14 nodes in three environments and two roles, and sometimes what one of the environments once was. Then
/// identities are not unique, as in a comparison with a baseline.
pub(crate) fn fleet() -> impl Strategy<Value = Fleet> {
    let pools: Vec<_> = FACTS.iter().map(|(name, paths)| contents(name, paths).boxed()).collect();
    let baseline =
        proptest::option::weighted(0.25, (0_usize..3, proptest::collection::vec(draft(), 1..5), 0_i64..9));
    (pools, proptest::collection::vec(draft(), 0..14), baseline).prop_map(|(pools, drafts, baseline)| {
        let live = drafts.into_iter().enumerate().map(|(number, draft)| node(number, draft, &pools));
        let mut nodes: Vec<Node> = live.collect();
        let unique = baseline.is_none();
        if let Some((environment, others, as_of)) = baseline {
            nodes.extend(frozen(&nodes, environment, others, as_of, &pools));
        }
        Fleet {
            journal: 3,
            unique,
            environments: ENVIRONMENTS.iter().map(|name| (*name).into()).collect(),
            nodes: nodes.into_iter().map(Arc::new).collect(),
            ..Fleet::default()
        }
    })
}

/// The nodes of an environment as a baseline holds them, and others that are gone by now: fresh for ever, and never changed.
fn frozen(
    nodes: &[Node],
    environment: usize,
    others: Vec<Draft>,
    as_of: i64,
    pools: &[Vec<Arc<Section>>],
) -> Vec<Node> {
    let still = nodes.iter().filter(|node| node.environment == environment).cloned();
    let gone = others.into_iter().enumerate().map(|(number, draft)| node(50 + number, draft, pools));
    let freeze = |node: Node| Node {
        id: format!("{}-then", node.id).into(),
        name: format!("{}-then", node.name).into(),
        environment: ENVIRONMENTS.len() - 1,
        fresh: true,
        since: day(as_of),
        changed: Arc::default(),
        ..node
    };
    still.chain(gone).map(freeze).collect()
}

fn day(day: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + day * 86_400).unwrap()
}

fn node(number: usize, draft: Draft, pools: &[Vec<Arc<Section>>]) -> Node {
    let chosen = pools.iter().zip(&draft.choices).filter_map(|(pool, at)| pool.get(*at).cloned());
    // A path stands in one section of a node: of two, the one with the longer name has it.
    let mut sections: BTreeMap<String, Arc<Section>> =
        chosen.map(|section| (section.name().to_owned(), section)).collect();
    let paths =
        |section: &Arc<Section>| section.facts().iter().map(|(path, _)| path.clone()).collect::<HashSet<_>>();
    if let (Some(whole), Some(net)) = (sections.get("sysctl"), sections.get("sysctl.net"))
        && !paths(whole).is_disjoint(&paths(net))
    {
        sections.remove("sysctl");
    }
    let changed: HashMap<FactPath, Timestamp> =
        draft.changed.into_iter().map(|(path, at)| (FactPath::known(path), day(at))).collect();
    Node {
        id: format!("id-{number}").into(),
        name: format!("node-{number:02}").into(),
        environment: draft.environment,
        role: draft.role.into(),
        fresh: draft.fresh,
        sections: sections.into_values().collect(),
        since: day(draft.since),
        changed: Arc::new(changed),
        holders: None,
    }
}

/// The paths that rules and acceptances speak of.
const SPOKEN_OF: &[&str] = &[
    "sysctl.net.core.somaxconn",
    "sysctl.net.core.x",
    "sysctl.net.core.*",
    "sysctl.net.*",
    "sysctl.fs.file-max",
    "sysctl.fs.nr_open",
    "sysctl.nowhere",
    "kernel.release",
    "kernel.*",
    "go.program[a].go_version",
    "go.program[*].go_version",
    "go.program[*].module[*]",
    "go.program[b].restart_pending",
    "time.zone",
    "time.*",
    "tzdata.version",
    "hardware.cpu.count",
];

/// One rule of a policy, as a person writes it.
fn rule() -> impl Strategy<Value = String> {
    let severity =
        select(&["", "", "severity = \"info\"", "severity = \"warning\"", "severity = \"critical\""][..]);
    let silence = select(&["", "", "", "hide = true", "hide = false", "ignore = true"][..]);
    let expect = select(
        &[
            "",
            "",
            "",
            "expect = \"2\"",
            "expect = \">= 100\"",
            "expect = \"1..200\"",
            "expect = \"!= 1\"",
            "expect = \"/^[15]/\"",
            "expect = [\"1\", \"4096\"]",
            "expect = \"2\"\nor_absent = true",
        ][..],
    );
    // The fleet's changes are 107 to 116 days before now.
    let within = select(
        &["", "", "promote_within = \"1d\"", "promote_within = \"110d\"", "promote_within = \"200d\""][..],
    );
    let environments =
        select(&["", "", "", "environments = [\"prod\"]", "environments = [\"dev\", \"staging\"]"][..]);
    let roles = select(&["", "", "", "roles = [\"web\"]"][..]);
    let nodes = select(&["", "", "", "", "nodes = [\"node-0*\"]", "nodes = [\"node-?1\", \"node-02\"]"][..]);
    (select(SPOKEN_OF), severity, silence, expect, within, (environments, roles, nodes)).prop_map(
        |(path, severity, silence, expect, within, (environments, roles, nodes))| {
            // Deadlines hold across environments.
            let (environments, nodes) = if within.is_empty() { (environments, nodes) } else { ("", "") };
            let nothing = [severity, silence, expect, within].iter().all(|setting| setting.is_empty());
            let severity = if nothing { "severity = \"critical\"" } else { severity };
            let lines = [severity, silence, expect, within, environments, roles, nodes];
            let lines: Vec<&str> = lines.into_iter().filter(|line| !line.is_empty()).collect();
            format!("[[rule]]\npath = {path:?}\nreason = \"so\"\n{}\n", lines.join("\n"))
        },
    )
}

/// A policy as somebody might write it, with the default policy behind it or without.
pub(crate) fn policy() -> impl Strategy<Value = String> {
    (any::<bool>(), proptest::collection::vec(rule(), 0..6)).prop_map(|(extends, rules)| {
        let behind = if extends { "extends = \"default\"\n" } else { "" };
        format!("name = \"random\"\nversion = 1\n{behind}{}", rules.concat())
    })
}

/// What somebody signed off: everything at a path, or findings (by their place in a report), some of which said more or less then;
/// and whether it lasts.
#[derive(Debug, Clone)]
pub(crate) enum Signed {
    Paths(&'static str, bool),
    Findings(Vec<(usize, bool)>, bool),
}

pub(crate) fn signed() -> impl Strategy<Value = Vec<Signed>> {
    let lasts = || proptest::bool::weighted(0.7);
    let findings = proptest::collection::vec((0_usize..40, proptest::bool::weighted(0.3)), 1..6);
    proptest::collection::vec(
        prop_oneof![
            (select(SPOKEN_OF), lasts()).prop_map(|(path, lasts)| Signed::Paths(path, lasts)),
            (findings, lasts()).prop_map(|(findings, lasts)| Signed::Findings(findings, lasts)),
        ],
        0..3,
    )
}

/// What keeps changing by itself.
pub(crate) fn quarantined() -> impl Strategy<Value = BTreeMap<String, Quarantined>> {
    let literal: Vec<&str> = SPOKEN_OF.iter().copied().filter(|path| !path.contains('*')).collect();
    proptest::collection::vec(select(literal), 0..3).prop_map(|paths| {
        let one = |path: &str| Quarantined { path: path.to_owned(), changes: 30, nodes: 4 };
        paths.into_iter().map(|path| (path.to_owned(), one(path))).collect()
    })
}

/// What may be asked of such a fleet.
pub(crate) fn query() -> impl Strategy<Value = Query> {
    let environment = || select(ENVIRONMENTS).prop_map(str::to_owned);
    (
        proptest::option::of(proptest::collection::vec(environment(), 1..3)),
        proptest::option::weighted(0.3, select(&["web", "db"][..]).prop_map(str::to_owned)),
        proptest::option::weighted(0.3, environment()),
        proptest::option::of(select(&[Severity::Info, Severity::Warning, Severity::Critical][..])),
        proptest::bool::weighted(0.7),
    )
        .prop_map(|(environments, role, reference, min_severity, all)| {
            let environments = environments.filter(|names| names.len() > 1 || reference.is_some());
            Query { environments, role, reference, min_severity, all }
        })
}
