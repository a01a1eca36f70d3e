//! Who changed it: named where the agent may see it, in history and explanations, and never a reason to see less.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_drift::Explanation;
use evenkeel_facts::Author;
use evenkeel_tests::harness::cli::{run, script};
use evenkeel_tests::harness::wait;

use super::HOUR;
use super::namespaces::{KEY, Namespace, PATH};

/// Promise: the program, the user, and the unit or container of whoever wrote a setting stand beside the change.
#[test]
fn who_writes_is_named() {
    let Some(node) = Namespace::up(HOUR, "authors = true") else { return };
    let name = node.network.name().to_owned();
    // A process that ends at once may be gone before it is seen: then it is tried again.
    let mut value = 5000;
    let mut named = |what: &str, write: &dyn Fn(&str), fits: &dyn Fn(&Author) -> bool| {
        wait::until(|| {
            value += 1;
            write(&value.to_string());
            node.knows(&value.to_string());
            let by = node.collector.cli().history("evt-1", PATH).changes.swap_remove(0).by;
            by.filter(|by| fits(by)).ok_or(format!("{what} is not named"))
        })
    };
    let by_root = |by: &Author| by.user == "root" && by.pid > 0;
    let sysctl = |value: &str| node.network.sysctl(KEY, value);
    let by = named("sysctl", &sysctl, &|by| by.command == "sysctl" && by_root(by));
    assert!(by.to_string().starts_with(&format!("sysctl ({}), user root", by.pid)), "{by}");
    // And where it is explained, what the node is, it says who made it so.
    let explained: Explanation = node.collector.cli().json(&["explain", PATH]);
    assert_eq!(explained.nodes[0].by.as_ref(), Some(&by), "{:#?}", explained.nodes);
    let shown = node.collector.cli().ok(&["explain", PATH]);
    assert!(shown.contains(&format!("by sysctl ({}), user root", by.pid)), "{shown}");

    let file = format!("/proc/sys/{}", KEY.replace('.', "/"));
    let echo = |value: &str| drop(node.network.exec(&["sh", "-c", &format!("echo {value} > {file}")]));
    named("echo", &echo, &|by| by.command == "sh" && by_root(by));

    let Some(group) = Group::new("evenkeel-test.service") else { return };
    let tool = script("netns.sh").display().to_string();
    let in_unit = |value: &str| {
        let join = format!("echo $$ > {}/cgroup.procs", group.0.display());
        let words = format!("{join} && exec {tool} exec {name} sh -c 'echo {value} > {file}'");
        run(Command::new("sh").args(["-c", &words])).ok();
    };
    named("a service", &in_unit, &|by| by.unit == "evenkeel-test.service" && by_root(by));
}

/// A control group of this name, which goes with the test.
struct Group(PathBuf);

impl Group {
    /// `None`: there is no hierarchy to make one in.
    fn new(name: &str) -> Option<Self> {
        let hierarchies = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/pids"].map(Path::new);
        let root = hierarchies.into_iter().find(|path| path.join("cgroup.procs").is_file())?;
        let group = root.join(name);
        fs::create_dir_all(&group).ok()?;
        Some(Self(group))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
