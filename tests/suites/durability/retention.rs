//! The journal is cut while nodes report, and the collector is killed meanwhile.

use std::process::Command;

use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::{Collector, Settings, programs, wait};

use super::{PATH, fleet, timeless};

const TOO_OLD: &str = "the journal does not reach back to";
/// How often the collector is killed.
const ROUNDS: usize = 8;

/// Promise: what is older than the journal keeps goes, and nothing else: a collector that is killed while it cuts says
/// after its restart what it said before, its store is whole, and a report of a moment that is kept stays what it was.
#[test]
fn a_journal_that_is_cut_says_what_it_said() {
    let config = "[retention]\nage = \"3s\"\n".to_owned();
    let mut collector = Collector::start(&Settings { config, ..Settings::default() });
    let (machines, mut agents) = fleet(&collector);
    machines[2].sysctl("vm.swappiness", "7");
    let (mut begin, mut said_again) = (0, 0);
    for round in 0..ROUNDS {
        let known = agents[1].acknowledged().len();
        let value = (10_000 + round).to_string();
        machines[1].sysctl("net.core.somaxconn", &value);
        agents[1].wait_acknowledged_beyond(known);
        let before = timeless(&collector);
        if round % 2 == 0 {
            // Until something was cut off again.
            wait::until(|| match collector.metric("evenkeel_journal_begin") {
                now if now > begin => {
                    begin = now;
                    Ok(())
                }
                now => Err(format!("cut off up to {now}, and before up to {begin}")),
            });
        }
        let shown = collector.cli().ok(&["report", "--all", "-o", "json"]);
        let moment: evenkeel_drift::Report = serde_json::from_str(&shown).unwrap();
        collector.kill();
        let place = collector.data_dir().display().to_string();
        let said =
            run(Command::new(programs::path("evenkeel-collector")).args(["check", "--data-dir", &place]));
        assert!(said.ok().ends_with("All is as it was written.\n"));
        collector.restart();
        assert_eq!(timeless(&collector).findings, before.findings, "round {round}");
        assert_eq!(collector.cli().fact("test-1", PATH), Some(value), "round {round}");
        let at = moment.as_of.to_string();
        let again = collector.cli().run(&["report", "--all", "--at", &at, "-o", "json"]);
        if again.code == Some(0) {
            assert_eq!(again.stdout, shown, "round {round}");
            said_again += 1;
        } else {
            // On a machine that is slow the moment is older by now than what is kept.
            assert!(again.stderr.contains(TOO_OLD), "{again:#?}");
            assert!(collector.metric("evenkeel_journal_begin") > moment.journal, "round {round}");
        }
    }
    assert!(said_again > 0);
    // What came before is gone and said to be; what somebody did is not.
    let cli = collector.cli();
    let refused = cli.run(&["report", "--at", "2020-01-01T00:00:00Z"]);
    assert!(refused.stderr.contains(TOO_OLD), "{refused:#?}");
    assert!(cli.ok(&["audit"]).contains("token"));
}
