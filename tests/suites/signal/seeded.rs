//! Thirty-six differences, made one after the other over all sources, and what is found of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use evenkeel_drift::report::{Finding, Status};
use evenkeel_tests::harness::{Agent, Collector, Machine, wait};
use jiff::Timestamp;

/// The finding's path, and what is done to a machine.
type Seed = (&'static str, fn(&Machine));

const SEEDS: &[Seed] = &[
    ("sysctl.net.core.somaxconn", |m| m.sysctl("net.core.somaxconn", "128")),
    ("sysctl.vm.swappiness", |m| m.sysctl("vm.swappiness", "1")),
    ("sysctl.kernel.randomize_va_space", |m| m.sysctl("kernel.randomize_va_space", "0")),
    ("sysctl.kernel.core_pattern", |m| m.sysctl("kernel.core_pattern", "|/usr/bin/collect %p")),
    ("sysctl.net.ipv4.tcp_congestion_control", |m| m.sysctl("net.ipv4.tcp_congestion_control", "cubic")),
    ("sysctl.vm.dirty_ratio", |m| m.write("etc/sysctl.d/90-search.conf", "vm.dirty_ratio = 40\n")),
    ("glibc.version", |m| m.glibc("2.31")),
    ("tzdata.version", |m| m.tzdata("2019c")),
    ("os.version_id", |m| edit(m, "usr/lib/os-release", "VERSION_ID=\"12\"", "VERSION_ID=\"11\"")),
    ("kernel.release", |m| m.sysctl("kernel.osrelease", "6.1.0-9-amd64")),
    ("kernel.cmdline[mitigations]", |m| edit(m, "proc/cmdline", "auto,no_guest_host,no_guest_guest", "off")),
    ("kernel.thp.enabled", |m| {
        m.write("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    }),
    ("kernel.clocksource", |m| {
        m.write("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
    }),
    ("kernel.lsm", |m| m.write("sys/kernel/security/lsm", "lockdown,capability\n")),
    ("kernel.lockdown", |m| m.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")),
    ("kernel.mitigation[meltdown]", |m| {
        m.write("sys/devices/system/cpu/vulnerabilities/meltdown", "Vulnerable\n");
    }),
    ("kernel.smt", |m| m.write("sys/devices/system/cpu/smt/control", "off\n")),
    ("go.version", |m| m.go("1.20.14")),
    ("go.env.GOPROXY", |m| {
        m.write("usr/local/go/go.env", "GOPROXY=off\nGOSUMDB=sum.golang.org\n");
    }),
    ("go.program[example.org/pay].go_version", |m| {
        m.program("pay", "1.19.8", &[("golang.org/x/net", "v0.24.0")]);
    }),
    ("go.program[example.org/ledger].module[golang.org/x/net]", |m| {
        m.program("ledger", "1.21.13", &[("golang.org/x/net", "v0.17.0")]);
    }),
    ("go.program[example.org/shell]", |m| m.program("shell", "1.21.13", &[])),
    ("package[bash].version", |m| edit(m, STATUS, "Version: 5.2.15-2+b8", "Version: 5.2.15-2+b9")),
    ("package[telnetd]", |m| {
        let status = read(m, STATUS);
        let telnetd =
            "Package: telnetd\nStatus: install ok installed\nArchitecture: amd64\nVersion: 0.17-41\n";
        m.write(STATUS, &format!("{}\n\n{telnetd}\n", status.trim_end()));
    }),
    ("time.zone", |m| {
        m.write("usr/share/zoneinfo/Etc/GMT-1", "");
        fs::copy("/usr/share/zoneinfo/Europe/Berlin", m.root().join("usr/share/zoneinfo/Etc/GMT-1")).unwrap();
        let link = m.root().join("etc/localtime.new");
        symlink("/usr/share/zoneinfo/Etc/GMT-1", &link).unwrap();
        fs::rename(link, m.root().join("etc/localtime")).unwrap();
    }),
    ("time.servers", |m| m.write("etc/systemd/timesyncd.conf", "[Time]\nNTP=ntp.example.org\n")),
    ("time.synchronised", |m| fs::remove_file(m.root().join("run/systemd/timesync/synchronized")).unwrap()),
    ("limits.init.nofile", |m| edit(m, "proc/1/limits", "1024  ", "4096  ")),
    ("limits.service.nofile", |m| {
        m.write("etc/systemd/system.conf", "[Manager]\nDefaultLimitNOFILE=2048:4096\n");
    }),
    ("limits.login[*].nofile.soft", |m| m.write("etc/security/limits.conf", "* soft nofile 4096\n")),
    ("container_runtime[docker].config[log-driver]", |m| {
        m.write("etc/docker/daemon.json", "{\"log-driver\": \"journald\"}\n");
    }),
    ("file[/etc/pay.conf].digest", |m| m.write("etc/pay.conf", "timeout = 2\n")),
    ("custom.rack", |m| rack(m, "8")),
    ("sysctl.net.ipv4.ip_local_port_range", |m| m.sysctl("net.ipv4.ip_local_port_range", "1024\t65535")),
    ("sysctl.kernel.panic", |m| m.sysctl("kernel.panic", "30")),
    ("sysctl.vm.overcommit_memory", |m| m.sysctl("vm.overcommit_memory", "2")),
];
const STATUS: &str = "var/lib/dpkg/status";
/// What a machine has before.
const CONFIG: &str = "[sources.files]\npaths = [\"/etc/pay.conf\"]\n";

fn read(machine: &Machine, path: &str) -> String {
    fs::read_to_string(machine.root().join(path)).unwrap()
}

fn edit(machine: &Machine, path: &str, from: &str, to: &str) {
    let text = read(machine, path);
    assert!(text.contains(from), "{path} has no {from:?}");
    machine.write(path, &text.replacen(from, to, 1));
}

/// A fact of one's own; a program would have to be run for it.
fn rack(machine: &Machine, rack: &str) {
    let path = "etc/evenkeel/facts.d/rack.txt";
    machine.write("rack.new", &format!("rack = {rack}\n"));
    fs::set_permissions(machine.root().join("rack.new"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::create_dir_all(machine.root().join(path).parent().unwrap()).unwrap();
    fs::rename(machine.root().join("rack.new"), machine.root().join(path)).unwrap();
}

/// Which of the three machines of staging it is done to: one, another, or all.
fn places(seed: usize) -> &'static [usize] {
    [&[0_usize][..], &[1], &[0, 1, 2]][seed % 3]
}

/// Promise: what is made different is found, each thing as one finding, with the right nodes and the time at which it was
/// made; and nothing else is.
#[test]
fn each_difference_is_one_finding() {
    let collector = Collector::default();
    let names = ["stg-1", "stg-2", "stg-3", "prod-1", "prod-2"];
    let machines = names.map(Machine::new);
    for machine in &machines {
        for (key, value) in
            [("vm.dirty_ratio", "20"), ("kernel.panic", "10"), ("kernel.randomize_va_space", "2")]
        {
            machine.sysctl(key, value);
        }
        machine.write("etc/pay.conf", "timeout = 1\n");
        rack(machine, "7");
        machine.program("ledger", "1.21.13", &[("golang.org/x/net", "v0.24.0")]);
        machine.write("etc/security/limits.conf", "* soft nofile 1024\n");
        machine.write("run/systemd/system/.keep", "");
        let wants = machine.root().join("etc/systemd/system/sysinit.target.wants");
        fs::create_dir_all(&wants).unwrap();
        symlink("/lib/systemd/system/systemd-timesyncd.service", wants.join("systemd-timesyncd.service"))
            .unwrap();
        machine.write("etc/docker/daemon.json", "{\"log-driver\": \"json-file\"}\n");
        machine.write("etc/systemd/timesyncd.conf", "[Time]\nNTP=ntp.example.net\n");
        machine.write("sys/devices/system/cpu/smt/control", "on\n");
    }
    let mut agents: Vec<_> = names
        .iter()
        .zip(&machines)
        .map(|(name, machine)| {
            let environment = if name.starts_with("stg") { "staging" } else { "prod" };
            let mut node = machine.node(environment);
            CONFIG.clone_into(&mut node.config);
            Agent::start(&collector, node)
        })
        .collect();
    for agent in &mut agents {
        agent.wait_acknowledged();
    }
    let cli = collector.cli();
    let open = || -> BTreeMap<String, Finding> {
        let findings = cli.report(&["--all"]).findings.into_iter();
        findings.filter(|one| one.status == Status::Open).map(|one| (one.path.clone(), one)).collect()
    };
    assert_eq!(open(), BTreeMap::new(), "before anything is done");

    let mut expected = BTreeMap::new();
    let mut made = BTreeMap::new();
    for (seed, (path, make)) in SEEDS.iter().enumerate() {
        let before = Timestamp::now();
        for place in places(seed) {
            make(&machines[*place]);
        }
        let nodes: Vec<&str> = places(seed).iter().map(|place| names[*place]).collect();
        let finding = wait::until(|| match open().remove(*path) {
            Some(finding) if *finding.nodes == *nodes => Ok(finding),
            Some(finding) => Err(format!("{path} is said of {:?}, and was made on {nodes:?}", finding.nodes)),
            None => Err(format!("{path} is not found; found are {:?}", open().keys())),
        });
        let after = Timestamp::now();
        // To the millisecond, as the journal has it.
        let begin = Timestamp::from_millisecond(before.as_millisecond()).unwrap();
        assert!((begin..=after).contains(&finding.since), "{path}: {begin} {} {after}", finding.since);
        made.insert(*path, begin..=after);
        expected.insert((*path).to_owned(), (finding.id, finding.since));
    }
    // Whoever calls that toolchain by its path gets another one, too.
    let toolchain = open().remove("go.toolchain[/usr/local/go].version").expect("it is another one");
    assert!(made["go.version"].contains(&toolchain.since), "{:?} {}", made["go.version"], toolchain.since);
    expected.insert(toolchain.path, (toolchain.id, toolchain.since));
    let found: BTreeMap<_, _> = open().into_iter().map(|(path, one)| (path, (one.id, one.since))).collect();
    assert_eq!(found, expected, "each is what it was, and there is no other");
    assert!(SEEDS.len() >= 30);
}
