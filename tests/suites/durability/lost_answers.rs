//! Acknowledgements are lost on their way, and whoever waits for them says it again.

use std::collections::BTreeMap;

use evenkeel_facts::{Digest, FactPath};
use evenkeel_runtime::channel::Address;
use evenkeel_tests::harness::lossy::Lossy;
use evenkeel_tests::harness::{Collector, Settings, journal};
use evenkeel_tests::load::enrol::{Member, enrol};
use evenkeel_tests::load::fleet::Fleet;
use evenkeel_tests::load::node::Connection;
use evenkeel_tests::load::target::Target;
use evenkeel_tests::load::template::Template;
use tokio::task::JoinSet;

use super::PATH;

const NODES: usize = 8;
const CHANGES: usize = 25;
const PERCENT: usize = 30;
/// So often one state is said again at the most.
const MOST_TRIES: usize = 200;

/// Says each state until it is acknowledged. The roots, in order.
async fn report(address: Address, mut member: Member) -> Vec<Digest> {
    let mut connection = Connection::new(&address, &member).expect("the certificate is good");
    let (path, mut roots) = (FactPath::known(PATH), Vec::new());
    for _ in 0..CHANGES {
        let node = &mut member.node;
        let value = format!("{} {}", node.name, node.sequence);
        node.change("sysctl.net", &path, &value);
        let mut tries = 0;
        while connection.report(node).await.is_err() {
            tries += 1;
            assert!(tries < MOST_TRIES, "{} does not get through", node.name);
            connection.again();
        }
        roots.push(node.root());
    }
    roots
}

/// What the journal holds otherwise than it was said: nothing.
async fn lose_answers(settings: Settings) -> Result<(), String> {
    let mut collector = Collector::start(&settings);
    let target = Target::new(&mut collector);
    let (members, _) = enrol(&target, Fleet::new(Template::of_this_machine(), NODES).nodes)
        .await
        .expect("every node enrols");
    let way = Lossy::new(collector.ports().fleet, PERCENT).await;
    let address = Address::new(&way.address().ip().to_string(), way.address().port());
    let mut tasks: JoinSet<_> = members.into_iter().map(|member| report(address.clone(), member)).collect();
    let mut said = Vec::new();
    while let Some(roots) = tasks.join_next().await {
        said.push(roots.expect("every state is acknowledged"));
    }
    assert!(way.lost() > NODES, "only {} answers were lost", way.lost());
    tokio::task::block_in_place(|| collector.kill());

    let (_, commits) = journal::committed(&target.data_dir, 0).map_err(|error| error.to_string())?;
    let mut histories: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for commit in commits {
        histories.entry(commit.node).or_default().push(((commit.boot_epoch, commit.sequence), commit.root));
    }
    for history in histories.values() {
        if let Some(pair) = history.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return Err(format!("{:?} comes behind {:?}", pair[1].0, pair[0].0));
        }
    }
    let mut held: Vec<Vec<_>> =
        histories.into_values().map(|history| history.into_iter().map(|(_, root)| root).collect()).collect();
    held.sort();
    said.sort();
    if held == said { Ok(()) } else { Err("a history is not what its node has said".to_owned()) }
}

/// Promise P3: exactly once in effect. With three of ten answers lost, each with its connection, each state is in its node's
/// history once, at its place, in order.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_again_because_its_answer_was_lost_is_there_once() {
    assert_eq!(lose_answers(Settings::default()).await, Ok(()));
}

/// Its control: a collector that takes in twice what comes twice is noticed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_in_twice_is_noticed() {
    let why = lose_answers(Settings::broken("AppliedTwice")).await.expect_err("it was not noticed");
    assert!(why.contains("comes behind"), "{why}");
}
