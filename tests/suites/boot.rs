//! Two booted systemd hosts, one the collector and one a node, by nothing but the commands of README.md.

use evenkeel_render::nodes::Nodes;
use evenkeel_tests::harness::booted::Booted;
use evenkeel_tests::harness::skip::{cache, has_command, is_root, skipped};
use evenkeel_tests::harness::{Process, programs, wait};

/// The blocks of commands between the headings "On your own hosts" and the next, in order.
fn steps() -> Vec<String> {
    let readme = std::fs::read_to_string(programs::tree().join("README.md")).unwrap();
    let section = readme.split("\n## On your own hosts\n").nth(1).expect("README.md has the section");
    let section = section.split("\n##").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// Promise: who follows README.md on hosts as they come has a node that reports, and is shown where it differs.
#[test]
fn a_host_is_enrolled_by_following_the_readme() {
    let root = cache().join("root-bookworm-systemd");
    if !is_root() {
        return skipped("boot", "a container with its own process 1 needs root");
    }
    if !has_command("systemd-nspawn") || !root.join("lib/systemd/systemd").exists() {
        return skipped("boot", "no systemd-nspawn, or no root for it; tests/hosts/install.sh makes both");
    }
    let steps = steps();
    // What follows needs a past, or something to sign off.
    let [compile, collect, token, enrol, ask, ..] = steps.as_slice() else {
        panic!("README.md has {steps:#?}")
    };
    assert!(compile.starts_with("cargo build --release\n"), "{compile}");

    // Instead of the first step: the programs, built already.
    let built = ["evenkeel", "evenkeel-agent", "evenkeel-collector"]
        .map(|name| (programs::path(name), format!("/usr/local/bin/{name}")));
    let files: Vec<_> = built.iter().map(|(from, to)| (from.as_path(), to.as_str())).collect();
    let (collector, node) = (Booted::up("collector", &root, &files), Booted::up("web-1", &root, &files));
    let started = node.run("evenkeel-agent --version");
    if started.stderr.contains("GLIBC_") {
        return skipped("boot", "the programs here were built for a newer C library than the host's");
    }
    started.ok();
    // The node's resolver is its own affair.
    node.run(&format!("echo '{} collector' >> /etc/hosts", collector.network.address())).ok();

    let logs = tempfile::tempdir().unwrap();
    let mut collecting =
        Process::start("collector", collector.command(collect), &logs.path().join("collector"));
    collecting.wait_for("Collector is ready.", |_| true);
    collector.run(token).ok();
    let secret = collector.run("cat staging.token").ok();
    node.run(&format!("umask 077; echo '{}' > staging.token", secret.trim())).ok();
    let mut reporting = Process::start("node", node.command(enrol), &logs.path().join("node"));
    reporting.wait_for("State acknowledged.", |_| true);

    let nodes: Nodes = serde_json::from_str(&collector.run("evenkeel nodes -o json").ok()).unwrap();
    let [only] = nodes.nodes.as_slice() else { panic!("{nodes:#?}") };
    assert_eq!((only.environment.as_str(), only.fresh), ("staging", true));
    assert_eq!(only.name, node.run("hostname").ok().trim());
    // A gate to an environment without nodes cannot tell, and fails where a host in a container has another kernel's
    // settings than its next boot would bring; everything else is answered.
    for line in ask.lines() {
        let outcome = collector.run(line);
        let expected: &[i32] = if line.starts_with("evenkeel gate") { &[1, 3] } else { &[0] };
        assert!(outcome.code.is_some_and(|code| expected.contains(&code)), "{line}: {outcome:#?}");
        assert!(!outcome.stdout.is_empty(), "{line}: {outcome:#?}");
    }

    // A change on the booted host shows, and the state is kept by the system's own service manager if it is asked to.
    node.run("pkill --exact --signal TERM evenkeel-agent").ok();
    assert!(reporting.end().success());
    node.run("systemd-run --quiet --unit=evenkeel-agent --property=Restart=always evenkeel-agent run --interval 1s")
        .ok();
    node.network.sysctl("net.core.somaxconn", "1234");
    let somaxconn = || collector.run("evenkeel values sysctl.net.core.somaxconn").stdout;
    let shown = || if somaxconn().contains("1234") { Ok(()) } else { Err(somaxconn()) };
    wait::until(shown);
    node.run("systemctl kill --signal=KILL evenkeel-agent").ok();
    node.network.sysctl("net.core.somaxconn", "4321");
    wait::until(|| if somaxconn().contains("4321") { Ok(()) } else { Err(somaxconn()) });

    node.run("systemctl stop evenkeel-agent").ok();
    // A process name has at most 15 letters.
    collector.run("pkill --exact evenkeel-collec").ok();
    assert!(collecting.end().success());
}
