//! The agent as it is shipped runs where it must: in an empty root, and in those of older and newer releases.

use std::process::{Command, Stdio};

use evenkeel_tests::harness::cli::{run, script};
use evenkeel_tests::harness::programs::tree;
use evenkeel_tests::harness::skip::{cache, has_command, is_root, skipped};

/// Roots of glibc 2.31, 2.36 and 2.41.
const ROOTS: [&str; 3] = ["root-bullseye", "root-bookworm-systemd", "root-trixie"];

/// Promise: the static agent prints a snapshot, and finds its collector by a name in DNS, in a root that holds nothing
/// else and in those of three releases; so does the one for glibc 2.17 in the latter.
#[test]
fn the_shipped_agents_run_everywhere() {
    let shipped = tree().join("target/shipped");
    if !shipped.join("evenkeel-agent-static").is_file() {
        return skipped("portable", "target/shipped has no agent; make dist makes it");
    }
    if !is_root() || !["unshare", "ip", "python3"].iter().all(|name| has_command(name)) {
        return skipped("portable", "it needs root, unshare, ip and python3");
    }
    if !shipped.join("evenkeel-agent-glibc2.17").is_file() {
        skipped("portable", "the agent for glibc 2.17 is left out: there is no cargo-zigbuild");
    }
    let (roots, absent): (Vec<_>, Vec<_>) =
        ROOTS.map(|name| cache().join(name)).into_iter().partition(|root| root.join("etc").is_dir());
    for root in absent {
        skipped("portable", &format!("{} is not there; tests/hosts/install.sh makes it", root.display()));
    }
    let said = run(Command::new(script("portable.sh")).arg(&shipped).args(&roots).stdin(Stdio::null())).ok();
    let agents = if shipped.join("evenkeel-agent-glibc2.17").is_file() { 2 } else { 1 };
    assert_eq!(said.matches(": ok\n").count(), 1 + agents * roots.len(), "{said}");
}
