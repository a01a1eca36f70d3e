use std::fs;
use std::time::Duration;

use evenkeel_facts::Observation;
use tempfile::TempDir;

use super::*;

fn seen(files: &[(&str, &str)]) -> Vec<String> {
    let root = TempDir::new().unwrap();
    for (path, content) in files {
        let file = root.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    told(&Host::at(root.path()).unwrap())
}

fn told(host: &Host) -> Vec<String> {
    let budget = Budget::new(Duration::from_secs(60), 1 << 20);
    let section = collect(host, &budget);
    let line = |(path, seen): &(FactPath, Observation)| match seen {
        Observation::Present(value) => format!("{path} {value}"),
        other => format!("{path} {other:?}"),
    };
    section.facts().iter().map(line).collect()
}

#[test]
fn files_mask_each_other_and_the_last_line_counts() {
    assert_eq!(
        seen(&[
            ("usr/lib/systemd/systemd-sysctl", ""),
            ("usr/lib/sysctl.d/50-pid-max.conf", "kernel.pid_max = 4194304\n"),
            ("usr/lib/sysctl.d/90-web.conf", "net.core.somaxconn = 1\n"),
            (
                "etc/sysctl.d/90-web.conf",
                "# ours\nnet.core.somaxconn\t=\t65535\nnet.ipv4.tcp_rmem = 4096  87380\t16777216\n"
            ),
            (
                "etc/sysctl.d/99-last.conf",
                "kernel.pid_max=65536\nnet.ipv4.tcp_fastopen_key=0123-4567\nkernel.hostname=x\n"
            ),
            ("etc/sysctl.conf", "kernel.pid_max=1\n"),
        ]),
        [
            "sysctl.persisted[kernel.pid_max].source /etc/sysctl.d/99-last.conf:1",
            "sysctl.persisted[kernel.pid_max].value 65536",
            "sysctl.persisted[net.core.somaxconn].source /etc/sysctl.d/90-web.conf:2",
            "sysctl.persisted[net.core.somaxconn].value 65535",
            "sysctl.persisted[net.ipv4.tcp_fastopen_key].source /etc/sysctl.d/99-last.conf:2",
            "sysctl.persisted[net.ipv4.tcp_fastopen_key].value set",
            "sysctl.persisted[net.ipv4.tcp_rmem].source /etc/sysctl.d/90-web.conf:3",
            "sysctl.persisted[net.ipv4.tcp_rmem].value 4096 87380 16777216",
        ]
    );
}

#[test]
fn without_systemd_the_old_file_is_last() {
    assert_eq!(
        seen(&[
            ("lib/sysctl.d/00-alpine.conf", "vm.swappiness=1\n"),
            ("etc/sysctl.conf", "vm.swappiness=2\n")
        ]),
        [
            "sysctl.persisted[vm.swappiness].source /etc/sysctl.conf:1",
            "sysctl.persisted[vm.swappiness].value 2"
        ]
    );
    assert_eq!(seen(&[]), Vec::<String>::new());
}

#[test]
fn a_pattern_is_resolved_to_what_is_reported() {
    assert_eq!(
        seen(&[
            ("etc/sysctl.conf", "net.ipv4.conf.*.rp_filter = 2\nnet.ipv4.conf.default.rp_filter = 1\n"),
            ("proc/sys/net/ipv4/conf/all/rp_filter", "0\n"),
            ("proc/sys/net/ipv4/conf/default/rp_filter", "0\n"),
            ("proc/sys/net/ipv4/conf/eth0/rp_filter", "0\n"),
        ]),
        [
            "sysctl.persisted[net.ipv4.conf.*.rp_filter].source /etc/sysctl.conf:1",
            "sysctl.persisted[net.ipv4.conf.*.rp_filter].value 2",
            "sysctl.persisted[net.ipv4.conf.all.rp_filter].source /etc/sysctl.conf:1",
            "sysctl.persisted[net.ipv4.conf.all.rp_filter].value 2",
            "sysctl.persisted[net.ipv4.conf.default.rp_filter].source /etc/sysctl.conf:2",
            "sysctl.persisted[net.ipv4.conf.default.rp_filter].value 1",
        ]
    );
}

/// Promise: a file that cannot be read makes unknown what it could have changed, and nothing else.
#[test]
fn what_an_unread_file_may_change_is_unknown() {
    let endless = "x".repeat(MAX_BYTES + 1);
    assert_eq!(
        seen(&[
            ("etc/sysctl.d/10.conf", "vm.swappiness=1\n"),
            ("etc/sysctl.d/20.conf", &endless),
            ("etc/sysctl.d/30.conf", "vm.overcommit_memory=1\n"),
        ]),
        [
            "sysctl.persisted Unreadable(Truncated)",
            "sysctl.persisted[vm.overcommit_memory].source /etc/sysctl.d/30.conf:1",
            "sysctl.persisted[vm.overcommit_memory].value 1",
        ]
    );
}
