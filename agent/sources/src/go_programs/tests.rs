//! The source on small hosts made for the purpose.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use evenkeel_facts::Value;

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
        symlink(target, self.0.path().join(path)).unwrap();
        self
    }

    fn refuse(&self, lines: &str) -> &Self {
        self.file(REFUSALS.trim_start_matches('/'), lines)
    }

    fn section(&self) -> Section {
        let host = Host::at(self.0.path()).unwrap();
        let budget = Budget::new(Duration::from_secs(3600), 1_000_000);
        GoPrograms.collect(&host, &SourcesConfig::default(), &budget).remove(0)
    }
}

fn pay(version: &str) -> Vec<u8> {
    let modinfo = format!(
        "path\tgithub.com/acme/pay/cmd/pay\nmod\tgithub.com/acme/pay\t{version}\t\nbuild\tvcs.time=now\n"
    );
    Minimal::default().program("go1.21.6", &modinfo)
}

fn text(text: &str) -> Observation {
    Observation::Present(Value::from(text))
}

fn unreadable(reason: Reason) -> Observation {
    Observation::Unreadable(reason)
}

#[test]
fn programs_on_disk_and_running_are_one_program_each() {
    let machine = Machine::new();
    machine
        .file("usr/local/bin/pay", pay("v1.5.0"))
        .link("usr/local/bin/payd", "pay")
        .file("opt/acme/app/bin/pay", pay("v1.5.0"))
        .file("proc/7/exe", pay("v1.4.0"))
        .file("proc/7/comm", "pay\n")
        .file("usr/bin/script", "#!/bin/sh\n");
    let section = machine.section();
    let at = |name: &str| section.find(&format!("go.program[github.com/acme/pay/cmd/pay].{name}"));
    assert_eq!(at("version"), Some(&text("v1.4.0 | v1.5.0")));
    assert_eq!(at("go_version"), Some(&text("1.21.6")));
    assert_eq!(at("main_module"), Some(&text("github.com/acme/pay")));
    assert_eq!(section.facts().len(), 3, "{:?}", section.facts());
}

#[test]
fn a_program_without_a_name_of_its_own_has_its_file_s() {
    let machine = Machine::new();
    machine
        .file("usr/bin/loose", Minimal::default().program("go1.21.6", "path\tcommand-line-arguments\n"))
        .file("proc/7/exe", Minimal::default().program("go1.20", ""))
        .file("proc/7/comm", "bare\n");
    let section = machine.section();
    assert_eq!(section.find("go.program[loose].go_version"), Some(&text("1.21.6")));
    assert_eq!(section.find("go.program[bare].go_version"), Some(&text("1.20")));
}

#[test]
fn what_cannot_be_read_is_named_and_hides_nothing_else() {
    let mut broken = pay("v1.5.0");
    broken[54] = 0;
    let machine = Machine::new();
    machine
        .file("usr/bin/pay", pay("v1.5.0"))
        .file("usr/bin/broken", broken)
        .file("usr/bin/closed", "")
        .file("opt/closed/bin/x", "")
        .link("usr/bin/dangling", "nowhere")
        .link("usr/bin/circle", "circle")
        .file("srv/locked", "")
        .link("usr/bin/locked", "/srv/locked")
        .refuse("13 /usr/bin/closed\n13 /usr/bin/locked\n13 /opt/closed\n13 /opt/closed/bin\n");
    let section = machine.section();
    assert_eq!(section.find("go.program_file[/usr/bin/broken]"), Some(&unreadable(Reason::Malformed)));
    assert_eq!(section.find("go.program_file[/usr/bin/closed]"), Some(&unreadable(Reason::Permission)));
    assert_eq!(section.find("go.program_file[/usr/bin/locked]"), Some(&unreadable(Reason::Permission)));
    assert_eq!(section.find("go.program_directory[/opt/closed]"), Some(&unreadable(Reason::Permission)));
    // What was not seen may be in there: cannot tell, never absent.
    assert_eq!(section.find("go.program"), Some(&unreadable(Reason::Partial)));
    assert_eq!(section.find("go.program[github.com/acme/pay/cmd/pay].version"), Some(&text("v1.5.0")));
    assert!(
        section
            .facts()
            .iter()
            .all(|(path, _)| !path.as_str().contains("dangling") && !path.as_str().contains("circle"))
    );
}

#[test]
fn processes_of_others_are_one_fact_and_those_of_the_kernel_none() {
    let kernel_thread = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0\n";
    let other = "8 (a) b) S 1 8 8 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0\n";
    let machine = Machine::new();
    machine.file("proc/2/stat", kernel_thread).file("proc/2/exe", "").refuse("13 /proc/2/exe\n");
    assert_eq!(machine.section().find("go.process"), None);
    machine.file("proc/8/stat", other).file("proc/8/exe", "").refuse("13 /proc/2/exe\n13 /proc/8/exe\n");
    let section = machine.section();
    assert_eq!(section.find("go.process"), Some(&unreadable(Reason::Permission)));
    // A program that was not seen may be theirs.
    assert_eq!(section.find("go.program"), Some(&unreadable(Reason::Partial)));
}

#[test]
fn no_directory_at_all_is_not_the_same_as_no_program() {
    let machine = Machine::new();
    assert_eq!(machine.section().find("go.program"), Some(&Observation::Absent));
    machine.file("usr/bin/pay", pay("v1.5.0")).refuse("13 /usr/bin\n");
    assert_eq!(machine.section().find("go.program"), Some(&unreadable(Reason::Permission)));
}

#[test]
fn this_machine_s_own_programs_are_found_where_they_are() {
    let machine = Machine::new();
    let mut program = pay("v1.5.0");
    program.resize(SMALLEST.try_into().unwrap(), 0);
    let mut ledger = Minimal::default().program("go1.20", "path\tgithub.com/acme/ledger\n");
    ledger.resize(program.len(), 0);
    machine
        .file("elsewhere/ledger", ledger)
        .file("tools/pay", program)
        .link("tools/ledger", "../elsewhere/ledger");
    let mut config = SourcesConfig::default();
    config.go_programs.directories.push(machine.0.path().join("too*"));
    let budget = Budget::new(Duration::from_secs(3600), 4_000_000);
    let section = GoPrograms.collect(&Host::live(), &config, &budget).remove(0);
    assert_eq!(section.find("go.program[github.com/acme/pay/cmd/pay].version"), Some(&text("v1.5.0")));
    assert_eq!(section.find("go.program[github.com/acme/ledger].go_version"), Some(&text("1.20")));
}
