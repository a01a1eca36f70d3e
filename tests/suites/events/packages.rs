//! An upgrade of packages, by the real dpkg in the root of another Debian release.

use std::fs;
use std::path::Path;

use evenkeel_tests::harness::hosts::{Host, Network, inside};
use evenkeel_tests::harness::skip::{cache, has_command, is_root, skipped};
use evenkeel_tests::harness::{Agent, Collector, Settings};

use super::{HOUR, wait_known};

/// As many packages are upgraded at once.
const PACKAGES: usize = 40;

/// Promise: an upgrade of packages is one change, however many files it touches and however long it takes.
#[test]
fn an_upgrade_is_one_change() {
    if let Some(why) = missing() {
        skipped("events", &why);
        return;
    }
    let debs = tempfile::tempdir().unwrap();
    let mut host = Host::new("upg", &cache().join("root-trixie"));
    host.install(debs.path(), "/run/debs");
    let settings = Settings { address: Some(Network::gateway()), ..Settings::default() };
    let collector = Collector::start(&settings);
    let mut agent = Agent::enrol(&collector, host.node("dev", ""));
    agent.run_every(HOUR);
    agent.wait_acknowledged();

    for version in ["1.0", "2.0"] {
        let known = agent.acknowledged().len();
        for number in 0..PACKAGES {
            build(debs.path(), number, version);
        }
        inside(&mut agent, &["sh", "-c", "dpkg --install /run/debs/*.deb"]);
        wait_known(&collector, "upg", "package[evenkeel-test-7].version", version);
        wait_known(&collector, "upg", &format!("package[evenkeel-test-{}].version", PACKAGES - 1), version);
        assert_eq!(agent.acknowledged().len(), known + 1, "version {version}");
    }
}

/// A package without files; configuring it takes a moment, so that events have pauses between them.
fn build(directory: &Path, number: usize, version: &str) {
    let tree = tempfile::tempdir().unwrap();
    let debian = tree.path().join("DEBIAN");
    fs::create_dir(&debian).unwrap();
    let name = format!("evenkeel-test-{number}");
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: a test\n"
    );
    fs::write(debian.join("control"), control).unwrap();
    let target = directory.join(format!("{name}.deb"));
    let (tree, target) = (tree.path().display().to_string(), target.display().to_string());
    let built = std::process::Command::new("dpkg-deb")
        .args(["--build", "--root-owner-group", &tree, &target])
        .output();
    let built = built.expect("dpkg-deb runs");
    assert!(built.status.success(), "{built:?}");
}

fn missing() -> Option<String> {
    if !is_root() {
        return Some("namespaces and mounts need root".to_owned());
    }
    if let Some(command) = ["ip", "unshare", "nsenter", "dpkg-deb"].iter().find(|name| !has_command(name)) {
        return Some(format!("{command} is not installed; tests/hosts/install.sh installs it"));
    }
    let root = cache().join("root-trixie");
    root.join("etc/os-release")
        .symlink_metadata()
        .is_err()
        .then(|| format!("{} is not there; tests/hosts/install.sh makes it", root.display()))
}
