//! What sysctl.d says, held against systemd: which line decides, and what is set in the end.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::programs;
use evenkeel_tests::harness::skip::{has_command, is_root, skipped};
use serde_json::Value;

const SYSTEMD_SYSCTL: &str = "/usr/lib/systemd/systemd-sysctl";

/// In the four directories, by their names below DIRECTORY. All of `net.`, which a namespace has for itself.
const FILES: &[(&str, &str)] = &[
    ("lib/10-masked.conf", "net.ipv4.tcp_keepalive_intvl = 11\n"),
    (
        "lib/50-pattern.conf",
        "net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\nnet/ipv4/conf/*/accept_redirects=0\n",
    ),
    ("lib/90-web.conf", "net.ipv4.tcp_keepalive_time = 12\n"),
    ("local/40-local.conf", "net.ipv4.tcp_syn_retries = 4\nnet.ipv4.tcp_retries1=5\n"),
    ("run/95-run.conf", "-net.ipv4.tcp_sack = 0\nnet.ipv4.tcp_syn_retries = 3\n"),
    (
        "etc/60-order.conf",
        "net.ipv4.conf.d*.log_martians = 1\nnet.ipv4.conf.*.log_martians = 0\nnet.ipv4.conf.default.rp_filter = 1\n",
    ),
    (
        "etc/70-again.conf",
        "net.ipv4.conf.d*.log_martians = 1\n; net.ipv4.tcp_retries1 = 6\n  # net.ipv4.tcp_retries1 = 7\n",
    ),
    (
        "etc/90-web.conf",
        "\n# ours\nnet.core.somaxconn\t=\t65535\nnet.ipv4.tcp_rmem = 4096   87380\t16777216\nnet/ipv4/tcp_fin_timeout=17\n",
    ),
    ("etc/99-last.conf", "net.core.somaxconn = 32768\nnet.ipv4.conf.lo.accept_redirects = 1\n"),
];

/// Shows DIRECTORY's files where systemd looks for them, in a network and a mount namespace.
const INSIDE: &str = r#"
    set -eu
    mount --make-rprivate /
    mount -t tmpfs none /run && mkdir /run/sysctl.d && cp "$1"/run/* /run/sysctl.d/
    mount -t tmpfs none /usr/local/lib && mkdir /usr/local/lib/sysctl.d && cp "$1"/local/* /usr/local/lib/sysctl.d/
    mount --bind "$1/etc" /etc/sysctl.d && mount --bind "$1/lib" /usr/lib/sysctl.d
    "$2" collect >"$1/before.json"
    "$3" --prefix=net
    systemd-analyze --no-pager cat-config sysctl.d >"$1/cat-config"
    "$2" collect >"$1/after.json"
"#;

/// Promise: the persisted value of each key is what systemd-sysctl sets it to; each key that it changes is among them;
/// and the line that is said to decide is the last one that systemd reads.
#[test]
fn systemd_sets_what_is_said_to_be_persisted() {
    let wanted = ["unshare", "mount", "systemd-analyze"];
    if !is_root() || !Path::new(SYSTEMD_SYSCTL).exists() || !wanted.iter().all(|name| has_command(name)) {
        return skipped("persisted", "it needs root, systemd-sysctl, systemd-analyze and unshare");
    }
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in FILES {
        let file = directory.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    symlink("/dev/null", directory.path().join("etc/10-masked.conf")).unwrap();
    run(Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", INSIDE, "sh"])
        .arg(directory.path())
        .args([&programs::path("evenkeel-agent"), Path::new(SYSTEMD_SYSCTL)])
        .stdin(Stdio::null()))
    .ok();
    let [before, after] = ["before.json", "after.json"].map(|name| facts(&directory.path().join(name)));

    let persisted = of_keys(&after, "value");
    assert_eq!(persisted, of_keys(&before, "value"));
    let mut held = 0;
    for (key, value) in persisted.iter().filter(|(key, _)| !key.contains('*')) {
        if let Some(running) = after.get(&format!("sysctl.{key}")) {
            assert_eq!(running, value, "{key}");
            held += 1;
        }
    }
    assert!(held > 10, "only {held} keys could be held against what runs");
    let changed = after
        .iter()
        .filter(|(path, value)| path.starts_with("sysctl.net.") && before.get(*path) != Some(*value));
    let changed: Vec<_> = changed.map(|(path, _)| path.strip_prefix("sysctl.").unwrap()).collect();
    assert!(changed.len() > 8, "systemd-sysctl changed only {changed:?}");
    for key in changed {
        assert!(persisted.contains_key(key), "{key} was changed, and is not among {persisted:#?}");
    }

    let lines = lines_of(&fs::read_to_string(directory.path().join("cat-config")).unwrap());
    let sources = of_keys(&after, "source");
    assert!(lines.len() > 10, "{lines:?}");
    for (key, line) in lines {
        assert_eq!(sources.get(&key), Some(&line), "{key}");
    }
}

/// The last line for each key, from what `systemd-analyze cat-config` prints: files behind their paths.
fn lines_of(text: &str) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    let mut file = ("", 0);
    for line in text.lines() {
        match line.strip_prefix("# ").filter(|rest| {
            rest.starts_with('/') && Path::new(rest).extension().is_some_and(|it| it == "conf")
        }) {
            Some(path) => file = (path, 0),
            None => file.1 += 1,
        }
        let Some((key, _)) = line.split_once('=').filter(|_| !line.trim_start().starts_with(['#', ';']))
        else {
            continue;
        };
        let key = key.trim().trim_start_matches('-').replace('/', ".");
        lines.insert(key, format!("{}:{}", file.0, file.1));
    }
    lines
}

/// What is noted of each key.
fn of_keys(facts: &BTreeMap<String, String>, what: &str) -> BTreeMap<String, String> {
    let key = |path: &str| {
        Some(path.strip_prefix("sysctl.persisted[")?.strip_suffix(what)?.strip_suffix("].")?.to_owned())
    };
    facts.iter().filter_map(|(path, value)| Some((key(path)?, value.clone()))).collect()
}

/// The texts of a snapshot, by path.
fn facts(file: &Path) -> BTreeMap<String, String> {
    let snapshot: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let sections = snapshot["sections"].as_array().unwrap().iter();
    let facts = sections.flat_map(|section| section["facts"].as_object().unwrap());
    facts.filter_map(|(path, value)| Some((path.clone(), value.as_str()?.to_owned()))).collect()
}
