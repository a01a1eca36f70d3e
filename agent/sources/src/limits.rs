//! Source `limits`: how many files, processes and so on a program may have, by the way in which it is started.
//!
//! - `limits.init.NAME`: soft and hard limit of the first process, which every service starts from: `1024 524288`
//! - `limits.service.NAME`: what systemd is told to give to every service instead (`DefaultLimitNOFILE=` and its like,
//!   `DefaultTasksMax=` as `tasks_max`)
//! - `limits.login[DOMAIN].NAME.soft`, `.hard`: what logins of a user, `@group` or `*` get, by PAM (limits.conf(5))
//!
//! Names are those of limits.conf(5): `nofile`, `nproc`, `memlock` …

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use evenkeel_facts::{FactPath, Reason, Section, SectionBuilder};

use crate::{Budget, Declared, Host, Source, SourcesConfig, drop_ins};

const MAX_BYTES: usize = 256 * 1024;

/// The kernel's words, and those of limits.conf(5).
const NAMES: &[(&str, &str)] = &[
    ("Max cpu time", "cpu"),
    ("Max file size", "fsize"),
    ("Max data size", "data"),
    ("Max stack size", "stack"),
    ("Max core file size", "core"),
    ("Max resident set", "rss"),
    ("Max processes", "nproc"),
    ("Max open files", "nofile"),
    ("Max locked memory", "memlock"),
    ("Max address space", "as"),
    ("Max file locks", "locks"),
    ("Max pending signals", "sigpending"),
    ("Max msgqueue size", "msgqueue"),
    ("Max nice priority", "nice"),
    ("Max realtime priority", "rtprio"),
    ("Max realtime timeout", "rttime"),
];
/// systemd takes the first of these, and then all drop-ins.
const SYSTEMD: [&str; 3] =
    ["/etc/systemd/system.conf", "/run/systemd/system.conf", "/usr/lib/systemd/system.conf"];
const SYSTEMD_DROP_INS: &[&str] = &[
    "/etc/systemd/system.conf.d",
    "/run/systemd/system.conf.d",
    "/usr/local/lib/systemd/system.conf.d",
    "/usr/lib/systemd/system.conf.d",
];
const PAM: &str = "/etc/security/limits.conf";
const PAM_DROP_INS: &[&str] = &["/etc/security/limits.d"];

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "limits.init.NAME", what: "soft and hard limit that services start from", from: "/proc/1/limits" },
    Declared { path: "limits.service.NAME", what: "what systemd is told to give to every service", from: "system.conf and its drop-ins" },
    Declared { path: "limits.login[DOMAIN].NAME.soft", what: "what logins get, by PAM", from: "limits.conf, limits.d" },
    Declared { path: "limits.login[DOMAIN].NAME.hard", what: "the same", from: "the same" },
];

/// See the module.
#[derive(Debug)]
pub struct Limits;

impl Source for Limits {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &["limits"]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn collect(&self, host: &Host, _: &SourcesConfig, _: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new("limits");
        match host.read("/proc/1/limits", MAX_BYTES) {
            Ok(text) => {
                for (name, value) in of_process(&String::from_utf8_lossy(&text)) {
                    section.present(FactPath::known(&format!("limits.init.{name}")), value);
                }
            }
            Err(error) => {
                let reason = Reason::of_io(&error).unwrap_or_else(|| host.why_not_in_proc());
                section.unreadable(FactPath::known("limits.init"), reason);
            }
        }
        match texts(host, &SYSTEMD, SYSTEMD_DROP_INS) {
            Ok(text) => {
                for (name, value) in of_systemd(&text) {
                    section.present(FactPath::known(&format!("limits.service.{name}")), value);
                }
            }
            Err(reason) => {
                section.unreadable(FactPath::known("limits.service"), reason);
            }
        }
        match texts(host, &[PAM], PAM_DROP_INS) {
            Ok(text) => {
                for ((domain, name, kind), value) in of_logins(&text) {
                    let path = FactPath::keyed("limits.login", domain).child(&format!("{name}.{kind}"));
                    if let Ok(path) = path {
                        section.present(path, value);
                    }
                }
            }
            Err(reason) => {
                section.unreadable(FactPath::known("limits.login"), reason);
            }
        }
        vec![section.finish()]
    }
}

/// The first of these files that is there, and all drop-ins behind it: what is further down counts.
fn texts(host: &Host, files: &[&str], directories: &[&str]) -> Result<String, Reason> {
    let first = files.iter().find(|file| host.exists(file)).map(PathBuf::from);
    let mut text = String::new();
    for file in first.into_iter().chain(drop_ins::files(host, directories, ".conf")?) {
        text.push_str(&String::from_utf8_lossy(&drop_ins::read(host, Path::new(&file), MAX_BYTES)?));
        text.push('\n');
    }
    Ok(text)
}

/// `Max open files            1024                 524288               files` (proc_pid_limits(5)).
fn of_process(text: &str) -> Vec<(&'static str, String)> {
    let of_line = |line: &str| {
        let (words, name) = NAMES.iter().find(|(words, _)| line.starts_with(words))?;
        let mut values = line[words.len()..].split_ascii_whitespace();
        Some((*name, format!("{} {}", values.next()?, values.next()?)))
    };
    text.lines().filter_map(of_line).collect()
}

/// The `DefaultLimit…=` and `DefaultTasksMax=` of `[Manager]` (systemd-system.conf(5)); an empty value takes back what
/// was said before.
fn of_systemd(text: &str) -> BTreeMap<String, String> {
    let mut limits = BTreeMap::new();
    let mut manager = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            manager = line == "[Manager]";
        }
        let Some((key, value)) = line.split_once('=').filter(|_| manager && !line.starts_with(['#', ';']))
        else {
            continue;
        };
        let name = match key.trim() {
            "DefaultTasksMax" => "tasks_max".to_owned(),
            key => match key.strip_prefix("DefaultLimit") {
                Some(name) if NAMES.iter().any(|(_, known)| known.eq_ignore_ascii_case(name)) => {
                    name.to_ascii_lowercase()
                }
                _ => continue,
            },
        };
        let value = value.trim().replace(':', " ");
        if value.is_empty() {
            limits.remove(&name)
        } else {
            limits.insert(name, value)
        };
    }
    limits
}

/// `DOMAIN TYPE ITEM VALUE` by domain, item and kind. Of two lines for the same the later counts.
fn of_logins(text: &str) -> BTreeMap<(&str, &str, &'static str), String> {
    let mut limits = BTreeMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [domain, kind, item, value] = words.as_slice() else { continue };
        let is_name = item.bytes().all(|byte| byte.is_ascii_lowercase());
        let kinds: &[&'static str] = match *kind {
            "soft" => &["soft"],
            "hard" => &["hard"],
            "-" => &["soft", "hard"],
            _ => continue,
        };
        // Three words for the same; but -1 is a priority, too.
        let unlimited = matches!(*value, "-1" | "infinity") && !matches!(*item, "nice" | "priority");
        for kind in kinds.iter().filter(|_| is_name) {
            limits.insert(
                (*domain, *item, *kind),
                if unlimited { "unlimited".to_owned() } else { (*value).to_owned() },
            );
        }
    }
    limits
}

/// The lines that set limits, for recorded hosts: systemd's file may hold the environment of every service.
pub(crate) fn redacted(text: &str) -> String {
    let kept = |line: &&str| {
        let line = line.trim();
        line.starts_with('[')
            || line.starts_with("DefaultLimit")
            || line.starts_with("DefaultTasksMax")
            || !of_logins(line).is_empty()
    };
    text.lines()
        .filter(kept)
        .fold(String::new(), |all, line| all + line.split('#').next().unwrap_or_default() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_a_process() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max cpu time              unlimited            unlimited            seconds   \n\
                    Max open files            1024                 524288               files     \n\
                    Max nice priority         0                    0                    \n";
        let pair = |name, value: &str| (name, value.to_owned());
        assert_eq!(
            of_process(text),
            [pair("cpu", "unlimited unlimited"), pair("nofile", "1024 524288"), pair("nice", "0 0")]
        );
    }

    #[test]
    fn the_last_word_of_systemd_counts() {
        let text = "[Manager]\n#DefaultLimitNOFILE=1\nDefaultLimitNOFILE=1024:524288\nDefaultTasksMax=15%\nDefaultLimitCORE=0\n\n\
                    [Manager]\nDefaultLimitNOFILE = 65536\nDefaultLimitCORE=\nDefaultLimitX=1\n[Other]\nDefaultLimitAS=1\n";
        let told: Vec<_> = of_systemd(text).into_iter().collect();
        assert_eq!(
            told,
            [("nofile".to_owned(), "65536".to_owned()), ("tasks_max".to_owned(), "15%".to_owned())]
        );
    }

    #[test]
    fn only_limits_go_into_a_recording() {
        let text = "# canary\n[Manager]\nDefaultEnvironment=TOKEN=canary\nDefaultLimitNOFILE=1 # canary\n* soft nofile 1 # canary\n";
        assert_eq!(redacted(text), "[Manager]\nDefaultLimitNOFILE=1 \n* soft nofile 1 \n");
    }

    #[test]
    fn logins_by_domain() {
        let text = "# <domain> <type> <item> <value>\n* soft nofile 4096 # all\n@web - nofile 65536\n* soft nofile 8192\n\
                    root hard memlock -1\nx broken\n";
        let told: Vec<_> =
            of_logins(text).into_iter().map(|(key, value)| format!("{key:?} {value}")).collect();
        assert_eq!(
            told,
            [
                "(\"*\", \"nofile\", \"soft\") 8192",
                "(\"@web\", \"nofile\", \"hard\") 65536",
                "(\"@web\", \"nofile\", \"soft\") 65536",
                "(\"root\", \"memlock\", \"hard\") unlimited",
            ]
        );
    }
}
