//! Programs that start, on the machine itself: the kernel tells of them in its first namespaces only.

use std::process::{Child, Command, Stdio};

use evenkeel_tests::harness::skip::{cache, is_root, skipped};
use evenkeel_tests::harness::{Agent, Collector, Node, wait};

use super::HOUR;

/// A release that no other suite runs.
const GO: &str = "1.24.11";
const PATH: &str = "go.program[example.org/pay/cmd/pay].go_version";

/// A real Go program that runs until its input ends.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Promise: a Go program that starts is seen when it does, wherever its file lies.
#[test]
fn a_go_program_that_starts_is_seen() {
    let program = cache().join("go/programs").join(format!("pay-go{GO}"));
    if !is_root() || !program.is_file() {
        return skipped("events", "it needs root, and a Go program that tests/hosts/install.sh makes");
    }
    let of_machine = |kind: &str, number| {
        let namespace = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        namespace.as_os_str() == format!("{kind}:[{number}]").as_str()
    };
    // PROC_PID_INIT_INO and PROC_USER_INIT_INO of linux/proc_ns.h.
    if !of_machine("pid", 4_026_531_836_u32) || !of_machine("user", 4_026_531_837) {
        return skipped(
            "events",
            "the kernel tells of programs that start in the machine's own namespaces only",
        );
    }
    // Where no source looks for files.
    let directory = tempfile::tempdir().unwrap();
    let hidden = directory.path().join("pay");
    std::fs::copy(&program, &hidden).unwrap();
    let collector = Collector::default();
    let node = Node { name: "start-1".to_owned(), environment: "dev".to_owned(), ..Node::default() };
    let mut agent = Agent::enrol(&collector, node);
    agent.run_every(HOUR);
    agent.wait_acknowledged();
    let versions = || collector.cli().fact("start-1", PATH).unwrap_or_default();
    assert!(!versions().contains(GO), "{}", versions());
    let running = Command::new(&hidden).arg("stay").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let running = Program(running.unwrap());
    wait::until(|| if versions().contains(GO) { Ok(()) } else { Err(format!("{:?}", versions())) });
    drop(running);
}
