//! Bytes of messages, as nodes send them to a real collector.

use evenkeel_facts::FactPath;
use evenkeel_tests::harness::Collector;
use evenkeel_tests::load::enrol::enrol;
use evenkeel_tests::load::fleet::Fleet;
use evenkeel_tests::load::node::Connection;
use evenkeel_tests::load::target::Target;
use evenkeel_tests::load::template::Template;

use crate::agent::float;
use crate::collector::runtime;
use crate::table::{Budget, Table, Unit};

pub(crate) fn run(table: &mut Table) {
    let mut collector = Collector::default();
    let target = Target::new(&mut collector);
    let template = Template::of_this_machine();
    let fleet = Fleet::new(template.clone(), 2);
    let bytes = runtime().block_on(async {
        let (mut members, _) = enrol(&target, fleet.nodes).await.expect("they enrol");
        let (mut known, new) = (members.pop().expect("two nodes"), members.pop().expect("two nodes"));
        let first = Connection::new(&target.fleet, &new)?.report(&new.node).await?;
        let mut connection = Connection::new(&target.fleet, &known)?;
        let again = connection.report(&known.node).await?;
        let unchanged = connection.unchanged(&known.node).await?;
        known.node.change("sysctl.net", &FactPath::known("sysctl.net.core.somaxconn"), "65535");
        let changed = connection.report(&known.node).await?;
        Ok::<_, evenkeel_tests::load::LoadError>([unchanged, changed, again, first])
    });
    let [unchanged, changed, again, first] = bytes.expect("the collector takes what nodes send").map(float);
    table.row("wire: unchanged check-in", Unit::Bytes, Budget::AtMost(200.0), unchanged);
    table.row("wire: one changed sysctl", Unit::Bytes, Budget::AtMost(2_000.0), changed);
    table.row(
        "wire: first sync, contents known from another node",
        Unit::Bytes,
        Budget::AtMost(2_000.0),
        again,
    );
    table.row("wire: first sync, new contents", Unit::Bytes, Budget::AtMost(25_000.0), first);
    let (facts, packages) = (template.facts(), template.packages());
    table.note(&format!("bytes are those of messages that a node sends, check-ins and contents: {facts} facts, of {packages} packages among them."));
}
