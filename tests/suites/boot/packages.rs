//! The packages on a booted host: installed, enrolled, hurt, upgraded, removed, purged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use evenkeel_render::nodes::Nodes;
use evenkeel_tests::harness::booted::Booted;
use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::skip::{cache, has_command, is_root, skipped};
use evenkeel_tests::harness::{programs, wait};
use serde_json::Value;

const PROGRAMS: [&str; 3] = ["evenkeel-agent", "evenkeel-collector", "evenkeel"];
const OLD: &str = "0.1.0";
const NEW: &str = "0.1.1";

/// The packages of the programs as they are built, in two versions.
fn packages(directory: &Path) {
    let bin = directory.join("bin");
    fs::create_dir(&bin).unwrap();
    for name in PROGRAMS {
        run(Command::new("strip").arg("-o").arg(bin.join(name)).arg(programs::path(name))).ok();
    }
    for version in [OLD, NEW] {
        let script = programs::tree().join("deploy/packages.sh");
        run(Command::new(script).arg(&bin).arg(directory.join("debs")).arg(version)).ok();
    }
}

/// A host with everything on it.
struct Site {
    host: Booted,
}

impl Site {
    fn up(root: &Path, packages: &Path) -> Self {
        Self { host: Booted::kept("site", root, &[(packages, "/packages")]) }
    }

    fn ok(&self, script: &str) -> String {
        self.host.run(script).ok().trim().to_owned()
    }

    fn nodes(&self) -> Nodes {
        serde_json::from_str(&self.ok("evenkeel nodes -o json")).unwrap()
    }

    fn property(&self, unit: &str, name: &str) -> String {
        self.ok(&format!("systemctl show -P {name} {unit}"))
    }

    /// The unit's process, when it is another than this one and says that it is ready.
    fn another_process(&self, unit: &str, old: &str) -> String {
        wait::until(|| {
            let [state, process] = ["ActiveState", "MainPID"].map(|name| self.property(unit, name));
            if state == "active" && process != old && process != "0" {
                Ok(process)
            } else {
                Err(state + &process)
            }
        })
    }

    /// Sets a parameter and waits until the collector shows it.
    fn change_shows(&self, somaxconn: &str) {
        self.host.network.sysctl("net.core.somaxconn", somaxconn);
        self.shows(somaxconn);
    }

    fn shows(&self, somaxconn: &str) {
        wait::until(|| {
            let shown = self.host.run("evenkeel values sysctl.net.core.somaxconn -o json");
            if shown.stdout.contains(&format!("\"{somaxconn}\"")) {
                Ok(())
            } else {
                Err(format!("{shown:?}"))
            }
        });
    }

    fn install(&self, version: &str) {
        self.ok(&format!("dpkg -i --force-confold /packages/*_{version}_*.deb"));
        for name in PROGRAMS {
            assert_eq!(self.ok(&format!("dpkg-query -W -f '${{Version}}' {name}")), version);
        }
    }

    /// What our units wrote that is worse than news, by their own levels and by systemd's.
    fn complaints(&self) -> Vec<String> {
        let text = self.ok("journalctl --no-pager -o json -u evenkeel-agent -u evenkeel-collector");
        let complains = |line: &Value| {
            let message = line["MESSAGE"].as_str().unwrap_or_default();
            let level =
                serde_json::from_str::<Value>(message).map(|own| own["level"].clone()).unwrap_or_default();
            let priority: u8 = line["PRIORITY"].as_str().and_then(|text| text.parse().ok()).unwrap_or(6);
            (priority <= 4 || level == "warn" || level == "error").then(|| message.to_owned())
        };
        text.lines().filter_map(|line| complains(&serde_json::from_str(line).unwrap())).collect()
    }
}

fn on(release: &str) {
    let root = cache().join(format!("root-{release}-systemd"));
    if !is_root() {
        return skipped("boot", "a container with its own process 1 needs root");
    }
    if !has_command("systemd-nspawn") || !root.join("lib/systemd/systemd").exists() {
        return skipped("boot", "no systemd-nspawn, or no root for it; tests/hosts/install.sh makes both");
    }
    if !has_command("dpkg-deb") || !has_command("strip") {
        return skipped("boot", "no dpkg-deb or strip to make packages with");
    }
    let directory = tempfile::tempdir().unwrap();
    packages(directory.path());
    let site = Site::up(&root, &directory.path().join("debs"));
    if site
        .host
        .run("dpkg-deb -x /packages/evenkeel_*0.1.0*.deb /tmp/x && /tmp/x/usr/bin/evenkeel --version")
        .stderr
        .contains("GLIBC_")
    {
        return skipped("boot", "the programs here were built for a newer C library than the host's");
    }
    lives(&site);
    is_hurt(&site);
    is_replaced(&site);
    goes(&site);
}

/// Installed, enrolled, reporting, as an unprivileged user; and nobody complains.
fn lives(site: &Site) {
    site.install(OLD);
    assert_eq!(site.property("evenkeel-collector", "ActiveState"), "active");
    assert_eq!(site.property("evenkeel-agent", "ActiveState"), "inactive", "there is nothing to report to");
    assert_eq!(site.ok("systemctl is-system-running"), "running");
    site.ok("evenkeel token create --env staging --token-file /root/token");
    site.ok("evenkeel-agent enroll --collector https://127.0.0.1:7444 --token-file /root/token");
    site.ok("systemctl start evenkeel-agent");
    site.change_shows("1001");
    assert_eq!(
        site.ok("systemd-analyze verify --man=no evenkeel-agent.service evenkeel-collector.service 2>&1"),
        ""
    );
    assert_eq!(site.complaints(), Vec::<String>::new());

    for unit in ["evenkeel-agent", "evenkeel-collector"] {
        let process = site.property(unit, "MainPID");
        let status = site.ok(&format!("cat /proc/{process}/status"));
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(field("Uid:").iter().all(|id| id != "0"), "{status}");
        assert_eq!(field("CapEff:"), ["0000000000000000"], "{status}");
        assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), (vec!["1".to_owned()], vec!["2".to_owned()]));
    }
    // What such a user cannot read is listed by check, and the report says how much it is.
    let check = site.ok("runuser -u evenkeel-agent -- evenkeel-agent check");
    assert!(check.contains("\nsysctl: ") && check.contains(" unreadable (permission)\n"), "{check}");
    let unreadable = |check: &str| -> usize {
        let all = check.lines().find(|line| line.starts_with("all ")).unwrap().split_whitespace();
        all.into_iter().nth(2).unwrap().parse().unwrap()
    };
    let node = &site.nodes().nodes[0];
    assert!(node.unreadable > 0 && unreadable(&check) > 0, "{node:#?}\n{check}");
    let report: Value = serde_json::from_str(&site.ok("evenkeel report -o json")).unwrap();
    let environments = report["environments"].as_array().unwrap();
    let coverage =
        environments.iter().find(|one| one["name"] == "staging").unwrap()["coverage"].as_f64().unwrap();
    assert!(coverage > 0.9 && coverage < 1.0, "{coverage}");
    // And the drop-in opens what it says.
    let without = node.unreadable;
    site.ok("mkdir -p /etc/systemd/system/evenkeel-agent.service.d && cp /usr/share/doc/evenkeel-agent/systemd/programs.conf \
        /etc/systemd/system/evenkeel-agent.service.d/ && systemctl daemon-reload && systemctl restart evenkeel-agent");
    let fewer = || {
        let now = site.nodes().nodes[0].unreadable;
        if now < without { Ok(()) } else { Err(format!("{now} unreadable, without the drop-in {without}")) }
    };
    wait::until(fewer);
}

/// Killed, hung, and the machine started anew: it reports again by itself, as the same node.
fn is_hurt(site: &Site) {
    let node = site.nodes().nodes[0].id.clone();
    for unit in ["evenkeel-agent", "evenkeel-collector"] {
        let old = site.property(unit, "MainPID");
        site.ok(&format!("systemctl kill --kill-who=main --signal=KILL {unit}"));
        site.another_process(unit, &old);
    }
    site.change_shows("1002");

    // As in the unit, with less patience.
    for unit in ["evenkeel-agent", "evenkeel-collector"] {
        site.ok(&format!(
            "mkdir -p /run/systemd/system/{unit}.service.d && printf '[Service]\\nWatchdogSec=2s\\n' \
             >/run/systemd/system/{unit}.service.d/patience.conf && systemctl daemon-reload && systemctl restart {unit}"
        ));
        let old = site.property(unit, "MainPID");
        site.ok(&format!("kill -STOP {old}"));
        site.another_process(unit, &old);
        let why = site.ok(&format!("journalctl --no-pager -o cat -u {unit} _PID=1"));
        assert!(why.contains("Failed with result 'watchdog'"), "{why}");
    }
    site.change_shows("1003");

    let boot = site.ok("cat /proc/1/stat | cut -d' ' -f22");
    site.host.reboot(&boot);
    site.change_shows("1004");
    let nodes = site.nodes();
    assert_eq!(nodes.nodes.iter().map(|one| one.id.clone()).collect::<Vec<_>>(), [node]);
}

/// Upgraded with a report on its way, and downgraded: nothing is lost, what an operator wrote stays.
fn is_replaced(site: &Site) {
    site.ok("echo '# of the operator' >>/etc/evenkeel/agent.toml");
    let node = site.nodes().nodes[0].id.clone();
    for (version, somaxconn) in [(NEW, "1005"), (OLD, "1006")] {
        // The collector does not answer: the report is on its way while the agent is replaced.
        let collector = site.property("evenkeel-collector", "MainPID");
        site.ok(&format!("kill -STOP {collector}"));
        site.host.network.sysctl("net.core.somaxconn", somaxconn);
        wait::until(|| {
            let pending = site.host.run("grep -l somaxconn /var/lib/evenkeel-agent/pending.json");
            if pending.code == Some(0) { Ok(()) } else { Err(format!("{pending:?}")) }
        });
        site.ok(&format!("dpkg -i --force-confold /packages/evenkeel-agent_{version}_*.deb"));
        site.ok(&format!("kill -CONT {collector}"));
        site.shows(somaxconn);
        site.install(version);
        site.change_shows(&format!("{somaxconn}0"));
        assert_eq!(site.nodes().nodes[0].id, node);
        assert!(site.ok("cat /etc/evenkeel/agent.toml").ends_with("# of the operator"));
    }
    let history = site.ok("evenkeel history --path sysctl.net.core.somaxconn -o json");
    for value in ["1001", "1002", "1003", "1004", "1005", "1006", "10050", "10060"] {
        assert!(history.contains(&format!("\"{value}\"")), "{value} is not in {history}");
    }
}

/// Removed: what it knew stays. Purged: it is gone.
fn goes(site: &Site) {
    site.ok("dpkg -r evenkeel-agent evenkeel-collector evenkeel");
    site.ok("test -e /var/lib/evenkeel-agent/node.key && test -e /var/lib/evenkeel-collector/evenkeel.db");
    site.ok("test -e /etc/evenkeel/agent.toml && ! test -e /usr/bin/evenkeel-agent");
    assert_eq!(site.ok("pgrep evenkeel || true"), "");
    // Installed again it goes on as it was.
    site.install(OLD);
    site.change_shows("1007");

    site.ok("dpkg --purge evenkeel-agent evenkeel-collector evenkeel");
    let left = site.ok("find / -xdev -name '*evenkeel*' -not -path '/proc/*' -not -path '/var/log/journal/*' -not -path '/packages/*' \
        -not -path '/tmp/*' -not -path '/var/lib/systemd/*' -printf '%p\\n'");
    assert_eq!(left, "");
    assert_eq!(site.ok("systemctl is-system-running"), "running");
    let by_program = site.complaints();
    let expected = |line: &&String| {
        !(line.contains("watchdog") || line.contains("Watchdog") || line.contains("Report not delivered."))
    };
    let others: BTreeMap<_, usize> = by_program.iter().filter(expected).map(|line| (line, 1)).collect();
    assert!(others.is_empty(), "{others:#?}");
}

/// Promise: a Debian host of the last release installs, enrols, reports, survives, upgrades, downgrades, and forgets.
#[test]
fn packages_on_bookworm() {
    on("bookworm");
}

/// The same on the newest.
#[test]
fn packages_on_trixie() {
    on("trixie");
}
