//! A process whose library is replaced while it runs, on this machine.

#![expect(clippy::print_stderr, reason = "a skipped test must say so")]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use evenkeel_facts::{Observation, Section};
use evenkeel_sources::{Host, SourcesConfig, collect_some};

/// Goes with the test.
struct Installed(PathBuf, Option<Child>);

impl Drop for Installed {
    fn drop(&mut self) {
        if let Some(mut child) = self.1.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Promise: a process that runs a library which was upgraded is named with it, as soon as it was; and no longer once the
/// process has ended.
#[test]
fn an_upgraded_library_makes_a_restart_pending() {
    let library = "/lib/x86_64-linux-gnu/libc.so.6";
    let name = format!("ek{}", std::process::id());
    let mut installed = Installed(PathBuf::from(format!("/opt/{name}")), None);
    if fs::metadata(library).is_err() || fs::create_dir(&installed.0).is_err() {
        return eprintln!("skipped: it needs root, to install in /opt, and glibc where Debian has it");
    }
    let (program, own) = (installed.0.join(&name), installed.0.join("libc.so.6"));
    fs::copy("/bin/cat", &program).unwrap();
    fs::copy(library, &own).unwrap();
    let started =
        Command::new(&program).env("LD_LIBRARY_PATH", &installed.0).stdin(Stdio::piped()).spawn().unwrap();
    let maps = format!("/proc/{}/maps", started.id());
    installed.1 = Some(started);
    // Until the loader has done its work.
    while !fs::read_to_string(&maps).unwrap().contains("libc.so.6") {
        std::thread::yield_now();
    }
    let pending = |path: &str| seen().into_iter().find(|(at, _)| at == path).map(|(_, value)| value);
    let path = format!("process.restart_pending[{name}]");
    assert_eq!(pending(&path), None);

    let upgrade = installed.0.join("libc.so.6.dpkg-new");
    fs::copy(library, &upgrade).unwrap();
    fs::rename(&upgrade, &own).unwrap();
    assert_eq!(pending(&path).as_deref(), Some("libc.so.6"));
    fs::remove_file(&program).unwrap();
    assert_eq!(pending(&path).as_deref(), Some(format!("{name} libc.so.6").as_str()));

    let mut ended = installed.1.take().unwrap();
    ended.kill().unwrap();
    ended.wait().unwrap();
    assert_eq!(pending(&path), None);
}

fn seen() -> Vec<(String, String)> {
    let collected = collect_some(&Host::live(), &SourcesConfig::default(), |source| source == "processes");
    let facts = collected.iter().flat_map(|of| &of.sections).flat_map(Section::facts);
    let present = facts.filter_map(|(path, seen)| match seen {
        Observation::Present(value) => Some((path.to_string(), value.to_string())),
        _ => None,
    });
    present.collect()
}
