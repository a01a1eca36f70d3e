//! Who changed it: named where the agent may see it, in history and explanations, and never a reason to see less.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_drift::Explanation;
use evenkeel_facts::Author;
use evenkeel_tests::harness::cli::{run, script};
use evenkeel_tests::harness::skip::{has_command, skipped};
use evenkeel_tests::harness::{Engine, wait};

use super::HOUR;
use super::namespaces::{KEY, Namespace, PATH};

/// An agent that says who wrote, and values that nobody has written yet.
struct Watched {
    node: Namespace,
    value: u32,
}

impl Watched {
    fn up() -> Option<Self> {
        Some(Self { node: Namespace::up(HOUR, "authors = true")?, value: 5000 })
    }

    /// Writes until the writer is named so. A process that ends at once may be gone before it is seen: then another
    /// one writes.
    fn named(&mut self, what: &str, write: &dyn Fn(&str), fits: &dyn Fn(&Author) -> bool) -> Author {
        let Self { node, value } = self;
        wait::until(|| {
            *value += 1;
            write(&value.to_string());
            node.knows(&value.to_string());
            let by = node.collector.cli().history("evt-1", PATH).changes.swap_remove(0).by;
            match by {
                Some(by) if fits(&by) => Ok(by),
                other => Err(format!("{what} is not named: {other:?}")),
            }
        })
    }
}

/// The kernel's file that is written.
fn file() -> String {
    format!("/proc/sys/{}", KEY.replace('.', "/"))
}

fn by_root(by: &Author) -> bool {
    by.user == "root" && by.pid > 0
}

/// Promise: the program, the user, who had logged in, and the unit of whoever wrote a setting stand beside the change.
#[test]
fn who_writes_is_named() {
    let Some(mut watched) = Watched::up() else { return };
    let name = watched.node.network.name().to_owned();
    let tool = script("netns.sh").display().to_string();
    let exec = |script: &str| {
        run(Command::new(&tool).args(["exec", &name, "sh", "-c", script])).ok();
    };
    let file = file();
    let sysctl = |value: &str| exec(&format!("exec sysctl -q -w {KEY}={value}"));
    let by = watched.named("sysctl", &sysctl, &|by| by.command == "sysctl" && by_root(by));
    assert!(by.to_string().starts_with(&format!("sysctl ({}), user root", by.pid)), "{by}");
    // And where it is explained, what the node is, it says who made it so.
    let explained: Explanation = watched.node.collector.cli().json(&["explain", PATH]);
    assert_eq!(explained.nodes[0].by.as_ref(), Some(&by), "{:#?}", explained.nodes);
    let shown = watched.node.collector.cli().ok(&["explain", PATH]);
    assert!(shown.contains(&format!("by sysctl ({}), user root", by.pid)), "{shown}");

    let echo = |value: &str| exec(&format!("echo {value} > {file}"));
    watched.named("echo", &echo, &|by| by.command == "sh" && by_root(by));

    // As pam_loginuid does at a login. User 1 is daemon everywhere.
    let login = |value: &str| exec(&format!("echo 1 > /proc/self/loginuid; echo {value} > {file}"));
    let set = Command::new("sh").args(["-c", "echo 1 > /proc/self/loginuid"]).status();
    if set.is_ok_and(|status| status.success()) {
        watched.named("a login", &login, &|by| by.login == "daemon" && by_root(by));
    } else {
        skipped("events", "the kernel keeps no login users, or this session's is final");
    }

    let Some(group) = Group::new("evenkeel-test.service") else { return };
    let in_unit = |value: &str| {
        let join = format!("echo $$ > {}/cgroup.procs", group.0.display());
        let words = format!("{join} && exec {tool} exec {name} sh -c 'echo {value} > {file}'");
        run(Command::new("sh").args(["-c", &words])).ok();
    };
    watched.named("a service", &in_unit, &|by| by.unit == "evenkeel-test.service" && by_root(by));
}

/// Promise: a program in a container that writes the host's settings is named with the container, by the id that the engine
/// has given it.
#[test]
fn a_container_that_writes_is_named() {
    if let Some(command) = Engine::COMMANDS.iter().find(|name| !has_command(name)) {
        return skipped("events", &format!("{command} is not installed; tests/hosts/install.sh installs it"));
    }
    let Some(mut watched) = Watched::up() else { return };
    let engine = Engine::start(&watched.node.network);
    engine.image("tools", &["/bin/sh", "/bin/cat"]);
    // As what tunes the nodes of a cluster: on the host's network, the host's parameters shown to it.
    let words = ["run", "--detach", "--interactive", "--network=host", "--volume=/proc/sys:/host/proc/sys"];
    let id = engine.docker(&[&words[..], &["tools", "/bin/cat"]].concat());
    let write = |value: &str| {
        engine.docker(&["exec", id.trim(), "/bin/sh", "-c", &format!("echo {value} > /host{}", file())]);
    };
    let container = format!("container {}", &id[..12]);
    let by = watched.named("the container", &write, &|by| by.unit == container && by_root(by));
    assert_eq!(by.command, "sh");
    engine.docker(&["rm", "--force", id.trim()]);
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
