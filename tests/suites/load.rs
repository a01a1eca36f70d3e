//! A thousand nodes, each with its own certificate, report to one collector.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_drift::report::Kind;
use evenkeel_tests::harness::{Collector, journal};
use evenkeel_tests::load::drive::{Deed, connect, first_sync, steady};
use evenkeel_tests::load::enrol::enrol;
use evenkeel_tests::load::fleet::{ENVIRONMENTS, Fleet};
use evenkeel_tests::load::target::Target;
use evenkeel_tests::load::template::Template;

const NODES: usize = 1_000;
/// Connections at the same time.
const AT_ONCE: usize = 64;

/// Promise: many nodes report in one run, everything is acknowledged, and the report is exactly what was seeded: every
/// deviating node is named, nothing else is found, and it is the same after a `kill -9`.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_nodes_report_and_the_report_names_those_that_deviate() {
    let mut collector = Collector::default();
    let target = Target::new(&mut collector);
    let mut fleet = Fleet::new(Template::of_this_machine(), NODES);
    fleet.seed_one_percent();
    // One whole environment deviates, too.
    fleet.seed("sysctl.kernel.panic", "176", |_, node| ENVIRONMENTS[node.environment] == "staging");

    let (members, enrolled) = enrol(&target, fleet.nodes.clone()).await.expect("every node enrols");
    let (members, reported) =
        first_sync(&target, members, AT_ONCE).await.expect("every report is acknowledged");
    assert_eq!((enrolled.done(), reported.done()), (NODES, NODES));
    let roots: BTreeSet<_> = members.iter().map(|member| member.node.root()).collect();
    let stored: BTreeSet<_> = journal::commits(&target.data_dir).into_iter().map(|(_, root)| root).collect();
    assert_eq!(stored, roots, "what was acknowledged is in the journal");

    // Those that stay connected say that nothing changed, and the collector knows it.
    let some = members.into_iter().take(AT_ONCE).collect();
    let (sessions, _) = connect(&target, some, AT_ONCE).await.expect("they connect again");
    let (_, unchanged) = steady(&target, sessions, &Deed::Unchanged, 5).await.expect("nothing changed");
    assert_eq!(unchanged.done(), AT_ONCE * 5);

    let first = target.report().await.expect("a report");
    let found: BTreeMap<String, BTreeSet<String>> = first
        .findings
        .iter()
        // Of the recorded host that all are made of: what its next boot changes.
        .filter(|finding| finding.kind != Kind::Latent)
        .map(|finding| (finding.path.clone(), finding.nodes.iter().cloned().collect()))
        .collect();
    assert_eq!(&found, fleet.seeded());
    let counted: Vec<_> =
        first.environments.iter().map(|of| (of.name.as_str(), of.nodes, of.fresh)).collect();
    assert_eq!(counted, ENVIRONMENTS.map(|name| (name, NODES as u64 / 4, NODES as u64 / 4)));

    collector.kill();
    collector.restart();
    let mut again = Target::new(&mut collector).report().await.expect("a report");
    again.as_of = first.as_of;
    assert_eq!(again, first);
}
