//! The Go sources on a machine with real toolchains and a real program that runs.
//!
//! Toolchains and programs come from `tests/hosts/fetch-go.sh`.

#![expect(clippy::print_stderr, reason = "a skipped test must say so")]

mod fetched;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use evenkeel_facts::{Observation, Section};
use evenkeel_sources::{Host, SourcesConfig, collect_all};

use fetched::{fetched, toolchains};

#[test]
fn a_toolchain_is_what_its_go_command_says() {
    let Some(fetched) = fetched() else { return };
    for toolchain in toolchains(&fetched) {
        let root = tempfile::tempdir().unwrap();
        let installed = root.path().join("usr/local/go");
        fs::create_dir_all(installed.join("bin")).unwrap();
        for file in ["VERSION", "go.env", "bin/go"] {
            // go.env is there since Go 1.21.
            if toolchain.join(file).exists() {
                fs::copy(toolchain.join(file), installed.join(file)).unwrap();
            }
        }
        let section = section(&Host::at(root.path()).unwrap(), "go_toolchain");

        let version = go(&toolchain, &["version"]);
        let version = version.split(' ').nth(2).unwrap().strip_prefix("go").unwrap();
        assert_eq!(text(&section, "go.version"), Some(version));
        assert_eq!(text(&section, "go.toolchain[/usr/local/go].version"), Some(version));
        for name in ["GOPROXY", "GOSUMDB", "GOTOOLCHAIN"] {
            if let Some(value) = text(&section, &format!("go.env.{name}")) {
                assert_eq!(value, go(&toolchain, &["env", name]).trim_end(), "{name} of {version}");
            } else {
                assert!(!toolchain.join("go.env").exists(), "{name} of {version}");
            }
        }
    }
}

#[test]
fn a_program_that_runs_is_seen_though_its_file_is_gone() {
    let Some(fetched) = fetched() else { return };
    let copy = tempfile::tempdir().unwrap();
    let program = copy.path().join("pay");
    for built in ["pay-go1.19", "pay-go1.21.13"] {
        fs::copy(fetched.join("programs").join(built), &program).unwrap();
        let mut pay =
            Command::new(&program).arg("wait").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(pay.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("pay dev: expires "), "{line}");
        fs::remove_file(&program).unwrap();

        let section = section(&Host::live(), "go_programs");
        fs::copy(fetched.join("programs/pay-go1.27.3"), &program).unwrap();
        let replaced = self::section(&Host::live(), "go_programs");
        let processes = self::section(&Host::live(), "processes");
        drop(pay.stdin.take());
        assert!(pay.wait().unwrap().success());
        let at = |name: &str| text(&section, &format!("go.program[example.org/pay/cmd/pay].{name}"));
        let version = built.rsplit_once("go").unwrap().1;
        // Another build of it may be running, too.
        let versions = at("go_version").unwrap();
        assert!(versions.split(" | ").any(|seen| seen.starts_with(version)), "{versions}");
        assert_eq!(at("main_module"), Some("example.org/pay"));
        assert_eq!(at("module[example.org/clock]"), Some("v0.4.0 => example.org/fork/clock v0.4.1"));
        assert_eq!(at("module[example.org/money]"), Some("v1.2.3"));
        assert_eq!(at("setting[GOOS]"), Some("linux"));
        let pending = "go.program[example.org/pay/cmd/pay].restart_pending";
        let running = format!(
            "running go{} (devel)",
            at("go_version").unwrap().split(" | ").find(|v| v.starts_with(version)).unwrap()
        );
        assert_eq!(text(&section, pending), Some(format!("{running}, deleted").as_str()));
        assert_eq!(text(&replaced, pending), Some(format!("{running}, on disk go1.27.3 (devel)").as_str()));
        // It lies in a temporary directory, where programs that delete their own code are no news.
        assert_eq!(processes.find("process.restart_pending[pay]"), None);
    }
}

fn section(host: &Host, name: &str) -> Section {
    collect_all(host, &SourcesConfig::default()).into_iter().find(|section| section.name() == name).unwrap()
}

fn text<'a>(section: &'a Section, path: &str) -> Option<&'a str> {
    match section.find(path)? {
        Observation::Present(evenkeel_facts::Value::Text(text)) => Some(text),
        other => panic!("{path} is {other:?}"),
    }
}

/// What a go command prints when nobody has set it up.
fn go(toolchain: &Path, arguments: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(toolchain.join("bin/go"))
        .args(arguments)
        .current_dir(home.path())
        .env_clear()
        .env("HOME", home.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
