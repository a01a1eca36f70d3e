//! The source on small hosts made for the purpose.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;
use crate::go_buildinfo::Minimal;
use crate::host::REFUSALS;

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    /// A Go root with this version.
    fn toolchain(&self, root: &str, version: &str) -> &Self {
        self.file(&format!("{root}/VERSION"), format!("{version}\ntime 2024-07-31T19:43:06Z\n"))
            .file(&format!("{root}/bin/go"), Minimal::default().program(version, "path\tcmd/go\n"))
    }

    fn section(&self) -> Section {
        let host = Host::at(self.0.path()).unwrap();
        let budget = Budget::new(Duration::from_secs(3600), 1_000_000);
        GoToolchain.collect(&host, &SourcesConfig::default(), &budget).remove(0)
    }

    /// Every fact that was noted, one a line.
    fn facts(&self) -> String {
        let line = |(path, seen): &(FactPath, Observation)| {
            format!("{path} = {}", serde_json::to_string(seen).unwrap())
        };
        self.section().facts().iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn every_toolchain_is_named_and_go_is_the_one_a_shell_finds() {
    let machine = Machine::new();
    machine
        .toolchain("usr/lib/go-1.19", "go1.19.8")
        .link("usr/lib/go", "go-1.19")
        .link("usr/bin/go", "../lib/go/bin/go")
        .toolchain("usr/local/go", "go1.21.13 (Red Hat 1.21.13-3.el9_4)")
        .toolchain("home/ann/sdk/go1.22.1", "go1.22.1")
        .file("opt/google/VERSION", "7")
        .file("usr/lib/go-1.19/go.env", "GOPROXY=https://ann:pw@proxy.acme.com\nGOSUMDB=off\n")
        .file("etc/environment", "GOSUMDB=sum.golang.org\n")
        .file("root/.config/go/env", "GOFLAGS=-mod=mod\n");
    let expected = [
        r#"go.env.GOPROXY = "https://***@proxy.acme.com""#,
        r#"go.env.GOSUMDB = "sum.golang.org""#,
        r#"go.toolchain[/home/ann/sdk/go1.22.1].version = "1.22.1""#,
        r#"go.toolchain[/usr/lib/go-1.19].version = "1.19.8""#,
        r#"go.toolchain[/usr/local/go].vendor = "Red Hat 1.21.13-3.el9_4""#,
        r#"go.toolchain[/usr/local/go].version = "1.21.13""#,
        r#"go.user_env[root].GOFLAGS = "-mod=mod""#,
        r#"go.version = "1.19.8""#,
    ];
    assert_eq!(machine.facts(), expected.join("\n"));
}

#[test]
fn no_go_is_absent_and_not_unknown() {
    let machine = Machine::new();
    machine.file("etc/environment", "GOSUMDB=off\n");
    assert_eq!(machine.facts(), r#"go.version = {"absent":true}"#);
}

#[test]
fn a_script_is_not_asked() {
    let machine = Machine::new();
    machine.file("usr/local/bin/go", "#!/bin/sh\nexec something\n").toolchain("usr/local/go", "go1.21.13");
    let expected = [
        r#"go.env = {"unreadable":"unsupported"}"#,
        r#"go.toolchain[/usr/local/go].version = "1.21.13""#,
        r#"go.version = {"unreadable":"unsupported"}"#,
    ];
    assert_eq!(machine.facts(), expected.join("\n"));
}

#[test]
fn what_is_closed_may_hold_more() {
    let machine = Machine::new();
    machine
        .toolchain("usr/local/go", "go1.21.13")
        .file("usr/local/go/go.env", "")
        .file("root/sdk/x", "")
        .file("home/ann/sdk/x", "")
        .file("home/bob/sdk/x", "")
        .file(
            REFUSALS.trim_start_matches('/'),
            "13 /root/sdk\n13 /root/go/pkg/mod/golang.org\n13 /root/.config/go/env\n13 /home/ann/sdk\n13 /home/bob/sdk\n",
        );
    let expected = [
        r#"go.toolchain[/usr/local/go].version = "1.21.13""#,
        r#"go.toolchain_directory[/home] = {"unreadable":"permission"}"#,
        r#"go.toolchain_directory[/root] = {"unreadable":"permission"}"#,
        r#"go.user_env[root] = {"unreadable":"permission"}"#,
        r#"go.version = "1.21.13""#,
    ];
    assert_eq!(machine.facts(), expected.join("\n"));
}

#[test]
fn a_tree_without_version_has_that_of_its_command() {
    let machine = Machine::new();
    let development = "devel go1.23-abc Tue Jan 2 2024";
    machine.file("opt/go-tip/bin/go", Minimal::default().program(development, "path\tcmd/go\n"));
    assert!(machine.facts().contains(&format!("go.toolchain[/opt/go-tip].version = \"{development}\"")));
}
