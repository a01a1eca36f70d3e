//! What a host's own tools say, in the words of facts.

use std::collections::BTreeMap;

use evenkeel_drift::report::State;
use evenkeel_render::facts::Fact;
use evenkeel_sources::sysctl::rules::{self, Treatment};
use serde::Deserialize;

use crate::hosts::fleet::GO;

/// One host: what its tools say of it.
pub(crate) struct Truth {
    pub(crate) node: String,
    pub(crate) environment: String,
    /// Fact path and value.
    facts: BTreeMap<String, String>,
}

/// As `tests/hosts/ground-truth.sh` prints it.
#[derive(Deserialize)]
struct Said {
    uname: BTreeMap<String, String>,
    sysctl: BTreeMap<String, String>,
    getconf: BTreeMap<String, String>,
    os_release: BTreeMap<String, String>,
    tzdata: BTreeMap<String, String>,
    localtime: String,
    nproc: String,
    memory_bytes: String,
    dpkg: String,
    go_version_m: BTreeMap<String, String>,
}

/// Families of facts of which the tools say everything: a fact that they do not know is wrong.
const WHOLE: &[&str] = &["sysctl.", "go.program[", "package[", "glibc.version", "tzdata.", "go.version"];

/// What sysctl.d says is held against systemd itself, in suite `persisted`.
pub(crate) fn is_held_elsewhere(path: &str) -> bool {
    path.starts_with("sysctl.persisted[")
}

impl Truth {
    pub(crate) fn new(node: &str, environment: &str, said: &str, go_env: &str) -> Self {
        let said: Said = serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}"));
        let go_env: BTreeMap<String, String> = serde_json::from_str(go_env).unwrap();
        let mut truth =
            Self { node: node.to_owned(), environment: environment.to_owned(), facts: BTreeMap::new() };
        truth.machine(&said);
        truth.packages(&said.dpkg);
        for (key, text) in &said.sysctl {
            truth.sysctl(key, text);
        }
        // Never written, they cannot be read: the kernel's way to say that they are not set.
        for key in ["net.ipv6.conf.all.stable_secret", "net.ipv6.conf.default.stable_secret"] {
            truth.facts.entry(format!("sysctl.{key}")).or_insert("unset".to_owned());
        }
        for (program, text) in &said.go_version_m {
            if program == GO {
                let version = text.lines().next().unwrap().split(": go").nth(1).unwrap().to_owned();
                truth.note("go.toolchain[/usr/local/go].version", &version);
                truth.note("go.version", &version);
            } else {
                truth.program(text);
            }
        }
        for (name, value) in go_env {
            truth.facts.insert(format!("go.env.{name}"), value);
        }
        truth
    }

    /// What the tools say at this path; of a thing (`go.program[x]`) that it is `present`.
    pub(crate) fn says(&self, path: &str) -> Option<String> {
        let is_part = |known: &str| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        let thing = || self.facts.keys().any(|known| is_part(known)).then(|| "present".to_owned());
        self.facts.get(path).cloned().or_else(thing)
    }

    /// How many facts are as the tools say; or all that are not.
    pub(crate) fn held_against(&self, facts: &BTreeMap<String, Fact>) -> Result<usize, Vec<String>> {
        let mut wrong = Vec::new();
        let mut checked = 0;
        for (path, fact) in facts {
            let told = WHOLE.iter().any(|family| path.starts_with(family)) && !is_held_elsewhere(path);
            match (fact.state, self.facts.get(path)) {
                (State::Present, Some(value)) if *value == fact.value => checked += 1,
                (State::Present, Some(value)) => {
                    wrong.push(format!("{path} is {value:?}, not {:?}", fact.value));
                }
                (State::Present, None) if told => wrong.push(format!("{path} is not there")),
                (State::Absent | State::Unreadable, Some(value)) => {
                    wrong.push(format!("{path} is {value:?}, and was not seen ({:?})", fact.value));
                }
                (_, None) => {}
            }
        }
        let missing =
            self.facts.keys().filter(|path| !facts.contains_key(*path) && !path.starts_with("go.env."));
        wrong.extend(missing.map(|path| format!("{path} is not reported")));
        if wrong.is_empty() { Ok(checked) } else { Err(wrong) }
    }

    fn note(&mut self, path: &str, value: &str) {
        self.facts.insert(path.to_owned(), value.to_owned());
    }

    fn machine(&mut self, said: &Said) {
        self.note("kernel.release", &said.uname["release"]);
        self.note("kernel.version", &said.uname["version"]);
        self.note("kernel.arch", &said.uname["machine"]);
        self.note("identity.hostname", &said.uname["nodename"]);
        self.note("libc.family", "glibc");
        self.note("glibc.version", said.getconf["GNU_LIBC_VERSION"].strip_prefix("glibc ").unwrap());
        self.note("tzdata.package", &said.tzdata["package"]);
        self.note("tzdata.version", said.tzdata["zi"].strip_prefix("# version ").unwrap());
        self.note("time.zone", said.localtime.strip_prefix("/usr/share/zoneinfo/").unwrap());
        self.note("hardware.cpu.count", &said.nproc);
        self.note("hardware.memory.bytes", &said.memory_bytes);
        for name in ["ID", "VERSION_ID", "VERSION_CODENAME", "PRETTY_NAME"] {
            self.note(&format!("os.{}", name.to_lowercase()), &said.os_release[name]);
        }
    }

    /// Lines of state, name, architecture and version; all of one architecture on these hosts.
    fn packages(&mut self, said: &str) {
        for line in said.lines() {
            let [state, name, _, version] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            if state == "installed" {
                self.note(&format!("package[{name}].version"), version);
            }
        }
    }

    /// Blanks and tabs are one blank; secrets only say whether they are set; what is left out on purpose is not missed.
    fn sysctl(&mut self, key: &str, text: &str) {
        let plain = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let plain = plain.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
        let value = match rules::of(key) {
            Treatment::Send => plain,
            Treatment::SetOrUnset if plain.bytes().all(|byte| b"0-:, ".contains(&byte)) => "unset".to_owned(),
            Treatment::SetOrUnset => "set".to_owned(),
            Treatment::Leave => return,
        };
        self.facts.insert(format!("sysctl.{key}"), value);
    }

    /// The lines of `go version -m`: `path`, `mod`, `dep` (and `=>` behind one that is replaced), `build`.
    fn program(&mut self, text: &str) {
        let mut lines = text.lines();
        let go = lines.next().unwrap().split(": go").nth(1).unwrap();
        let fields: Vec<Vec<&str>> = lines.map(|line| line.trim_start().split('\t').collect()).collect();
        let main = fields.iter().find(|line| line[0] == "path").unwrap()[1];
        let mut note = |name: &str, value: &str| {
            self.facts.insert(format!("go.program[{main}].{name}"), value.to_owned());
        };
        note("go_version", go);
        for (at, line) in fields.iter().enumerate() {
            match line.as_slice() {
                ["mod", path, version, ..] => {
                    note("main_module", path);
                    note("version", version);
                }
                ["dep", path, version, ..] => {
                    let by = fields.get(at + 1).filter(|next| next[0] == "=>");
                    let version =
                        by.map_or((*version).to_owned(), |by| format!("{version} => {} {}", by[1], by[2]));
                    note(&format!("module[{path}]"), &version);
                }
                ["build", setting] => {
                    let (name, value) = setting.split_once('=').unwrap();
                    // The time follows from the revision, and is left out on purpose.
                    if name != "vcs.time" {
                        note(&format!("setting[{name}]"), value);
                    }
                }
                _ => {}
            }
        }
    }
}
