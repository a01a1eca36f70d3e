//! Ten times more than the collector takes: who is too much is told to come back, who is not is served, and when it is over
//! everybody is.

#![expect(clippy::print_stdout, reason = "figures of long runs are shown when they are asked for")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evenkeel_facts::{Digest, FactPath};
use evenkeel_tests::harness::collector::UNLIMITED;
use evenkeel_tests::harness::{Collector, Settings, journal, wait};
use evenkeel_tests::load::enrol::{Member, enrol};
use evenkeel_tests::load::fleet::Fleet;
use evenkeel_tests::load::node::Connection;
use evenkeel_tests::load::target::Target;
use evenkeel_tests::load::template::Template;
use tokio::task::JoinSet;

/// Requests that the collector works on or lets wait.
const PLACES: usize = 32;
/// Nodes of one environment that ask at the same time, and at once again.
const HERD: usize = 10 * PLACES;
/// Nodes of another environment that do as they should: no more than there are places that the herd cannot take.
const HEALTHY: usize = PLACES / 4;
const HERD_OF: &str = "dev";
const HEALTHY_OF: &str = "prod";
/// More than this the collector does not take for all of it.
const MOST_MEMORY: u64 = 256 << 20;

/// What some nodes have seen.
#[derive(Default)]
struct Seen {
    acknowledged: Mutex<Vec<Digest>>,
    refused: AtomicUsize,
    end: AtomicBool,
}

impl Seen {
    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }
}

/// Reports a new state as soon as the last one is answered, whatever the answer says; at the end its last one, until it is
/// acknowledged.
async fn press(target: Target, mut member: Member, seen: Arc<Seen>) {
    let path = FactPath::known("sysctl.vm.swappiness");
    let mut connection = Connection::new(&target.fleet, &member).expect("the certificate is good");
    while !seen.end.load(Ordering::Relaxed) {
        let node = &mut member.node;
        let value = format!("{} {}", node.name, node.sequence);
        node.change("sysctl.vm", &path, &value);
        match connection.report(node).await {
            Ok(_) => seen.acknowledged.lock().unwrap().push(node.root()),
            Err(_) => {
                seen.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    while connection.report(&member.node).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    seen.acknowledged.lock().unwrap().push(member.node.root());
}

/// So many nodes of this environment.
fn nodes_of(environment: &str, count: usize) -> Vec<evenkeel_tests::load::fleet::Node> {
    let at = evenkeel_tests::load::fleet::ENVIRONMENTS.iter().position(|known| *known == environment);
    let fleet = Fleet::new(Template::of_this_machine(), 4 * count);
    fleet.nodes.into_iter().filter(|node| Some(node.environment) == at).collect()
}

/// Promise: ten times more than it takes, of one environment, costs the others nothing: none of their reports is refused. The
/// overload is counted, people are answered, memory is bounded, nothing that was acknowledged is lost, and when it is over
/// every node is acknowledged. `EVENKEEL_OVERLOAD_SECONDS=60` goes on for so long.
#[tokio::test(flavor = "multi_thread")]
async fn ten_times_too_much_of_one_environment_costs_the_others_nothing() {
    let running = PLACES / 4;
    let transport =
        format!("{UNLIMITED}\nmax_requests = {running}\nmax_waiting_requests = {}", PLACES - running);
    let mut collector = Collector::start(&Settings { transport, ..Settings::default() });
    let target = Target::new(&mut collector);
    let (herd, _) = enrol(&target, nodes_of(HERD_OF, HERD)).await.expect("every node enrols");
    let (healthy, _) = enrol(&target, nodes_of(HEALTHY_OF, HEALTHY)).await.expect("every node enrols");
    let before = target.process.memory().unwrap().rss;
    let (of_herd, of_healthy) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    let mut tasks = JoinSet::new();
    for (members, seen) in [(herd, &of_herd), (healthy, &of_healthy)] {
        for member in members {
            tasks.spawn(press(target.clone(), member, Arc::clone(seen)));
        }
    }
    let asked = std::env::var("EVENKEEL_OVERLOAD_SECONDS").ok().and_then(|text| text.parse().ok());
    let (began, lasts) = (Instant::now(), Duration::from_secs(asked.unwrap_or(0)));
    tokio::task::block_in_place(|| {
        wait::until(|| {
            let (shed, served) = (collector.requests("shed"), of_healthy.acknowledged());
            if shed >= HERD as u64 && served >= 10 * HEALTHY {
                Ok(())
            } else {
                Err(format!("{shed} calls were shed, {served} reports of healthy nodes are acknowledged"))
            }
        });
        while began.elapsed() < lasts {
            assert!(collector.get("/readyz").starts_with("HTTP/1.1 200"));
            assert_eq!(collector.cli().nodes().nodes.len(), HERD + HEALTHY);
        }
        assert_eq!(collector.cli().nodes().nodes.len(), HERD + HEALTHY);
    });
    let lasted = began.elapsed();
    let (refused, of_others) =
        (of_healthy.refused.load(Ordering::Relaxed), of_herd.refused.load(Ordering::Relaxed));
    assert_eq!(refused, 0, "of {} reports of healthy nodes", of_healthy.acknowledged());
    assert!(of_others > 0, "there was no overload");

    let over = Instant::now();
    for seen in [&of_herd, &of_healthy] {
        seen.end.store(true, Ordering::Relaxed);
    }
    while let Some(node) = tasks.join_next().await {
        node.expect("every node is acknowledged at the end");
    }
    let recovered = over.elapsed();
    let memory = target.process.memory().unwrap();
    let grown = memory.peak.saturating_sub(before);
    println!(
        "overload for {:.1} s: {of_others} refused, {} + {} acknowledged; recovered within {:.1} s, {} KiB more at the most",
        lasted.as_secs_f64(),
        of_herd.acknowledged(),
        of_healthy.acknowledged(),
        recovered.as_secs_f64(),
        grown / 1024,
    );
    assert!(grown < MOST_MEMORY, "{grown} bytes more");
    tokio::task::block_in_place(|| collector.kill());
    let stored: BTreeSet<_> = journal::commits(&target.data_dir).into_iter().map(|(_, root)| root).collect();
    for seen in [of_herd, of_healthy] {
        let lost = seen.acknowledged.lock().unwrap().iter().filter(|root| !stored.contains(root)).count();
        assert_eq!(lost, 0, "acknowledged and not in the journal");
    }
}
