use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

struct Directory(TempDir);

impl Directory {
    fn with(files: &[(&str, &str, u32)]) -> Self {
        let directory = Self(TempDir::new().unwrap());
        for (name, content, mode) in files {
            let file = directory.0.path().join(name);
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(*mode)).unwrap();
        }
        directory
    }

    fn told(&self, execute: bool, timeout_ms: u64) -> Vec<String> {
        let custom = CustomConfig { directory: self.0.path().to_owned(), execute, timeout_ms };
        let config = SourcesConfig { custom, ..SourcesConfig::default() };
        let budget = Budget::new(Duration::from_secs(60), 1 << 20);
        let section = Custom.collect(&Host::live(), &config, &budget).remove(0);
        let line = |(path, seen): &(FactPath, Observation)| match seen {
            Observation::Present(value) => format!("{path} {value}"),
            other => format!("{path} {other:?}"),
        };
        section.facts().iter().map(line).collect()
    }
}

#[test]
fn texts_and_objects() {
    let directory = Directory::with(&[
        ("10-app.txt", "# ours\nrelease = 1.2.3 = x\n\nmotto= a b \n", 0o644),
        (
            "20-app.json",
            "{\"release\": \"1.2.4\", \"shards\": 16, \"a\": {\"b\": [1, \"x\"], \"c\": null, \"d\": 1.5, \"e\": true}}",
            0o644,
        ),
        (".hidden.txt", "x=1", 0o644),
        ("old.txt~", "x=1", 0o644),
    ]);
    assert_eq!(
        directory.told(false, 1),
        [
            "custom.a.b [1,\"x\"]",
            "custom.a.d 1.5",
            "custom.a.e true",
            "custom.motto a b",
            "custom.release 1.2.4",
            "custom.shards 16"
        ]
    );
}

/// Promise: a file that cannot be understood hides its own facts and nothing else, and says so.
#[test]
fn what_is_malformed_is_named() {
    let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
    let directory = Directory::with(&[
        ("a.txt", "no assignment", 0o644),
        ("b.json", "{\"x\": ", 0o644),
        ("c.txt", &"x".repeat(MAX_BYTES + 1), 0o644),
        ("d.txt", "\u{1b}[31m=1", 0o644),
        ("e.json", &deep, 0o644),
        ("f.txt", "good=1", 0o644),
        ("g.sh", "#!/bin/sh\necho run=1\n", 0o755),
    ]);
    assert_eq!(
        directory.told(false, 1),
        [
            "custom Unreadable(Partial)",
            "custom.file[a.txt] Unreadable(Malformed)",
            "custom.file[b.json] Unreadable(Malformed)",
            "custom.file[c.txt] Unreadable(Truncated)",
            "custom.file[d.txt] Unreadable(Malformed)",
            "custom.file[e.json] Unreadable(Malformed)",
            "custom.file[g.sh] Unreadable(Unsupported)",
            "custom.good 1",
        ]
    );
}

/// Promise: a program runs with nothing of the agent's around it; one that hangs, talks too much or fails is named, and
/// nothing of it is left.
#[test]
fn programs_run_fenced() {
    let directory = Directory::with(&[
        (
            "a.sh",
            "#!/bin/sh\necho \"environment=$(/usr/bin/env | /usr/bin/tr '\\n' ' ')\"\necho \"place=$(pwd)\"\n",
            0o755,
        ),
        ("b.sh", "#!/bin/sh\necho '{\"ports\": 2}'\n", 0o700),
        ("c.sh", "#!/bin/sh\n/bin/sleep 600 & echo $! > \"${0%/*}/left\"; wait\n", 0o755),
        ("d.sh", "#!/bin/sh\nwhile :; do echo 0123456789; done\n", 0o755),
        ("e.sh", "#!/bin/sh\necho x=1; exit 3\n", 0o755),
        ("f.sh", "#!/bin/sh\necho x=1\n", 0o777),
    ]);
    let told = directory.told(true, 1_000);
    // A shell sets PWD and its like by itself.
    let environment = told.iter().find(|line| line.starts_with("custom.environment ")).unwrap();
    assert!(!environment.contains("PATH=") && !environment.contains("HOME="), "{environment}");
    let rest: Vec<_> = told.iter().filter(|line| *line != environment).map(String::as_str).collect();
    assert_eq!(
        rest,
        [
            "custom Unreadable(Partial)",
            "custom.file[c.sh] Unreadable(Timeout)",
            "custom.file[d.sh] Unreadable(Truncated)",
            "custom.file[e.sh] Unreadable(Failed)",
            "custom.file[f.sh] Unreadable(Permission)",
            "custom.place /",
            "custom.ports 2",
        ]
    );
    let left = fs::read_to_string(directory.0.path().join("left")).unwrap();
    let state = fs::read_to_string(format!("/proc/{}/stat", left.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "what it started is still there: {state}");
}
