//! A collector is killed, or its disk loses its power, while many nodes write as fast as they can: acknowledgements are
//! under way at every moment. And the same with a collector, or a disk, that is broken on purpose: this suite notices.

#![expect(clippy::print_stdout, reason = "figures of long runs are shown when they are asked for")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use evenkeel_facts::{Digest, FactPath};
use evenkeel_tests::harness::skip::{rounds, skipped};
use evenkeel_tests::harness::{Collector, Disk, Settings, journal, wait};
use evenkeel_tests::load::enrol::{Member, enrol};
use evenkeel_tests::load::fleet::Fleet;
use evenkeel_tests::load::node::Connection;
use evenkeel_tests::load::random::Random;
use evenkeel_tests::load::target::Target;
use evenkeel_tests::load::template::Template;
use tokio::task::JoinSet;

const NODES: usize = 32;
/// So many rounds one fleet lives: a journal that only grows would be read again and again.
const ROUNDS_OF_FLEET: usize = 25;
/// A broken collector or disk must be noticed within so many.
const ROUNDS_OF_CONTROL: usize = 25;
/// Of Debian's package libeatmydata1: a process that uses it waits for no disk.
pub(super) const EAT_MY_DATA: &str = "/usr/lib/x86_64-linux-gnu/libeatmydata.so";

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

/// So many rounds on this disk, or with kills where there is none. The error says what was lost.
fn survive(settings: &Settings, disk: Option<&Disk>, rounds: usize) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut total = 0;
    for first in (0..rounds).step_by(ROUNDS_OF_FLEET) {
        let mut settings = settings.clone();
        let place = disk.map(|disk| disk.path().join(format!("from-{first}")));
        if let Some(place) = &place {
            std::fs::create_dir(place).unwrap();
            settings.place = Some(place.clone());
        }
        let mut collector = Collector::start(&settings);
        let of_fleet = ROUNDS_OF_FLEET.min(rounds - first);
        total += runtime.block_on(rounds_of(&mut collector, disk, first, of_fleet))?;
        drop(collector);
        place.inspect(|place| std::fs::remove_dir_all(place).unwrap());
    }
    let how = if disk.is_some() { "power cuts" } else { "kills" };
    println!("{rounds} {how}: {total} commits acknowledged, none lost");
    Ok(())
}

/// How many commits were acknowledged.
async fn rounds_of(
    collector: &mut Collector,
    disk: Option<&Disk>,
    first: usize,
    rounds: usize,
) -> Result<usize, String> {
    let fleet = Fleet::new(Template::of_this_machine(), NODES);
    let target = Target::new(collector);
    let (mut members, _) = enrol(&target, fleet.nodes).await.expect("every node enrols");
    // That a directory was made is nobody's acknowledgement.
    disk.inspect(|disk| disk.sync());
    let (acknowledged, mut random) = (Acknowledged::default(), Random::new(first as u64));
    let (mut position, mut stored) = (0, BTreeSet::new());
    for round in first..first + rounds {
        let target = Target::new(collector);
        let known = acknowledged.lock().unwrap().len();
        let writers =
            members.drain(..).map(|member| write(target.clone(), member, Arc::clone(&acknowledged)));
        let mut writers: JoinSet<_> = writers.collect();
        let until = 1 + random.below(4 * NODES);
        let all = tokio::task::block_in_place(|| {
            wait::until(|| match acknowledged.lock().unwrap().len() - known {
                count if count >= until => Ok(()),
                count => Err(format!("{count} are acknowledged")),
            });
            // The cut is no moment: of what is waited for meanwhile, ext4 reports some as written that is not.
            let before_the_cut = disk.map(|disk| {
                let all = acknowledged.lock().unwrap().clone();
                disk.cut();
                all
            });
            collector.kill();
            before_the_cut
        });
        while let Some(member) = writers.join_next().await {
            members.push(member.expect("a writer does not panic"));
        }
        let all = all.unwrap_or_else(|| acknowledged.lock().unwrap().clone());
        tokio::task::block_in_place(|| disk.inspect(|disk| disk.again()));
        let before = position;
        let commits;
        let found = journal::committed(&target.data_dir, before);
        (position, commits) = found.map_err(|error| format!("round {round}: all is lost: {error}"))?;
        stored.extend(commits.into_iter().map(|commit| commit.root));
        let lost = all.iter().filter(|root| !stored.contains(root)).count();
        if lost > 0 || position < before {
            return Err(format!("round {round}: {lost} of {} acknowledged commits are lost", all.len()));
        }
        acknowledged.lock().unwrap().retain(|root| stored.contains(root));
        tokio::task::block_in_place(|| collector.restart());
    }
    // All of it, and not only what each round has added.
    let whole: BTreeSet<_> = journal::commits(&target.data_dir).into_iter().map(|(_, root)| root).collect();
    if whole != stored {
        return Err("what a round has found is not there at the end".to_owned());
    }
    assert_eq!(tokio::task::block_in_place(|| collector.cli().nodes().nodes.len()), NODES);
    Ok(acknowledged.lock().unwrap().len())
}

/// Promise P1: an acknowledgement means durable, also when the collector is killed between any two of its steps.
/// `EVENKEEL_ROUNDS=N` kills it so often.
#[test]
fn what_was_acknowledged_to_many_at_once_is_in_the_journal() {
    assert_eq!(survive(&Settings::default(), None, rounds(8)), Ok(()));
}

/// Its control: a collector that acknowledges before it writes is noticed.
#[test]
fn an_acknowledgement_before_the_commit_is_noticed() {
    let broken = survive(&Settings::broken("AckBeforeCommit"), None, ROUNDS_OF_CONTROL);
    let why = broken.expect_err("it was not noticed");
    assert!(why.contains("acknowledged commits are lost"), "{why}");
}

/// Promise P1: the same when the power goes. `EVENKEEL_ROUNDS=N` cuts it so often.
#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    if let Some(why) = Disk::impossible() {
        return skipped("durability", why);
    }
    assert_eq!(survive(&Settings::default(), Some(&Disk::new(512)), rounds(5)), Ok(()));
}

/// Its control: a collector that does not wait for the disk is noticed.
#[test]
fn a_disk_that_is_not_waited_for_is_noticed() {
    if let Some(why) = Disk::impossible() {
        return skipped("durability", why);
    }
    if !Path::new(EAT_MY_DATA).exists() {
        return skipped("durability", "there is no libeatmydata (Debian: eatmydata)");
    }
    let by = vec!["env".into(), format!("LD_PRELOAD={EAT_MY_DATA}").into()];
    let hasty = survive(&Settings { by, ..Settings::default() }, Some(&Disk::new(512)), ROUNDS_OF_CONTROL);
    let why = hasty.expect_err("it was not noticed");
    assert!(why.contains("lost"), "{why}");
}
