//! An agent in a sandbox of the kind that systemd makes: what is hidden from it is never taken for absent.

use std::process::{Command, Stdio};

use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::programs;
use evenkeel_tests::harness::skip::{has_command, is_root, skipped};
use serde_json::{Map, Value};

/// A toolchain in a home and one in root's, and a file in /tmp, in a namespace of mounts that goes with the process.
const MACHINE: &str = "\
mount --make-rprivate /
memory=$(mktemp -d); mount -t tmpfs memory $memory
mkdir -p $memory/home/ann/sdk/go1.22.1/bin $memory/root/sdk/go1.21.0/bin $memory/tmp/systemd-private-0a1b-x.service-y/tmp
echo go1.22.1 > $memory/home/ann/sdk/go1.22.1/VERSION; echo go1.21.0 > $memory/root/sdk/go1.21.0/VERSION
touch $memory/home/ann/sdk/go1.22.1/bin/go $memory/root/sdk/go1.21.0/bin/go
mkdir -p $memory/systemd/inaccessible; mkdir -m 000 $memory/systemd/inaccessible/dir
echo '[sources.files]' > $memory/agent.toml; echo 'paths = [\"/tmp/watched\"]' >> $memory/agent.toml
mount --bind $memory/home /home; mount --bind $memory/root /root
";
/// As systemd 252 mounts them for ProtectHome=yes, PrivateTmp=yes.
const HIDES: &str = "\
mount --bind $memory/systemd/inaccessible/dir /home; mount --bind $memory/systemd/inaccessible/dir /root
mount --bind $memory/tmp/systemd-private-0a1b-x.service-y/tmp /tmp
";
/// For ProtectHome=tmpfs, whose mounts are read-only or not, by version.
const COVERS: &str = "\
mount -t tmpfs -o mode=755 tmpfs /home; mount -o remount,bind,ro /home
mount -t tmpfs -o mode=755 tmpfs /root
";

/// Promise: what `ProtectHome=` (both ways) and `PrivateTmp=` hide is unreadable because of the sandbox, also for an agent
/// that may enter everything; without them it is seen. `check` names the places and the settings.
#[test]
fn what_a_sandbox_hides_is_never_absent() {
    if !is_root() || !has_command("unshare") {
        return skipped("sandbox", "a namespace of mounts needs root and unshare");
    }
    let toolchains = ["/home/ann/sdk/go1.22.1", "/root/sdk/go1.21.0"];
    let open = facts("");
    for directory in toolchains {
        let path = format!("go.toolchain[{directory}].version");
        assert!(open.contains_key(&path), "{path} is not in {open:#?}");
    }
    assert!(!open.values().any(|fact| fact["unreadable"] == "sandbox"), "{open:#?}");

    for sandbox in [HIDES, COVERS] {
        let seen = facts(sandbox);
        for home in ["/home", "/root"] {
            let path = format!("go.toolchain_directory[{home}]");
            assert_eq!(seen.get(&path).map(|fact| &fact["unreadable"]), Some(&"sandbox".into()), "{seen:#?}");
        }
        let file = seen.get("file[/tmp/watched]").map(|fact| fact["unreadable"] == "sandbox");
        assert_eq!(file == Some(true), sandbox == HIDES, "{file:?}");
    }

    let checked = agent(HIDES, "check");
    for line in ["/home (ProtectHome=)", "/root (ProtectHome=)", "/tmp (PrivateTmp=)"] {
        let line = format!("{line} is hidden by the agent's own sandbox\n");
        assert!(checked.contains(&line), "{checked}");
    }
}

fn facts(sandbox: &str) -> Map<String, Value> {
    let snapshot: Value = serde_json::from_str(&agent(sandbox, "collect")).unwrap();
    let sections = snapshot["sections"].as_array().unwrap().iter();
    let of_interest = |path: &String| ["go.toolchain", "file["].iter().any(|start| path.starts_with(start));
    let facts = sections.flat_map(|section| section["facts"].as_object().unwrap().clone());
    facts.filter(|(path, _)| of_interest(path)).collect()
}

/// What the agent says there.
fn agent(sandbox: &str, command: &str) -> String {
    let program = programs::path("evenkeel-agent");
    // The program may lie in what is hidden.
    let script = format!(
        "set -e\n{MACHINE}cp {} $memory/agent\nexec 3< $memory\n{sandbox}exec /proc/self/fd/3/agent {command} --config /proc/self/fd/3/agent.toml",
        program.display()
    );
    run(Command::new("unshare").args(["--mount", "bash", "-c", &script]).stdin(Stdio::null())).ok()
}
