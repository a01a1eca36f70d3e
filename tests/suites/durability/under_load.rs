//! A collector is killed while many nodes write as fast as they can, so that acknowledgements are under way at every
//! moment.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use evenkeel_facts::{Digest, FactPath};
use evenkeel_tests::harness::{Collector, journal, wait};
use evenkeel_tests::load::enrol::{Member, enrol};
use evenkeel_tests::load::fleet::Fleet;
use evenkeel_tests::load::node::Connection;
use evenkeel_tests::load::target::Target;
use evenkeel_tests::load::template::Template;
use tokio::task::JoinSet;

const NODES: usize = 32;
const ROUNDS: usize = 8;

/// The root of each state that was acknowledged.
type Acknowledged = Arc<Mutex<Vec<Digest>>>;

/// Reports another state each time, until the collector is gone.
async fn write(target: Target, mut member: Member, acknowledged: Acknowledged) -> Member {
    // A large section: appending it takes a while, in which a wrong acknowledgement would be out already.
    let path = FactPath::known("sysctl.net.core.somaxconn");
    let mut connection = Connection::new(&target.fleet, &member).expect("the certificate is good");
    loop {
        let node = &mut member.node;
        let value = format!("{} {}", node.name, node.sequence);
        node.change("sysctl.net", &path, &value);
        if connection.report(node).await.is_err() {
            return member;
        }
        acknowledged.lock().unwrap().push(node.root());
    }
}

/// Promise: an acknowledgement means durable, also when the collector is killed between any two of its steps. It fails
/// if a commit is acknowledged before it is appended.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_to_many_at_once_is_in_the_journal() {
    let mut collector = Collector::default();
    let target = Target::new(&mut collector);
    let fleet = Fleet::new(Template::of_this_machine(), NODES);
    let (mut members, _) = enrol(&target, fleet.nodes).await.expect("every node enrols");
    let acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        let target = Target::new(&mut collector);
        let known = acknowledged.lock().unwrap().len();
        let mut writers: JoinSet<_> = members
            .drain(..)
            .map(|member| write(target.clone(), member, Arc::clone(&acknowledged)))
            .collect();
        tokio::task::block_in_place(|| {
            wait::until(|| match acknowledged.lock().unwrap().len() - known {
                count if count >= 4 * NODES + round => Ok(()),
                count => Err(format!("{count} are acknowledged")),
            });
            collector.kill();
        });
        while let Some(member) = writers.join_next().await {
            members.push(member.expect("a writer does not panic"));
        }
        let stored: BTreeSet<_> =
            journal::commits(&target.data_dir).into_iter().map(|(_, root)| root).collect();
        let all = acknowledged.lock().unwrap().clone();
        let lost = all.iter().filter(|root| !stored.contains(root)).count();
        assert_eq!(
            lost,
            0,
            "round {round}: {lost} of {} acknowledged commits are not in the journal",
            all.len()
        );
        collector.restart();
    }
    assert_eq!(collector.cli().nodes().nodes.len(), NODES);
}
