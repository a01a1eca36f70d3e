//! `kernel.cmdline[KEY]`: the kernel's command line, by allow-list. People put passwords there; only these keys leave
//! the machine.

use std::collections::BTreeMap;

use evenkeel_facts::{FactPath, Reason, SectionBuilder, Value};

use crate::Host;

const FILE: &str = "/proc/cmdline";
const FAMILY: &str = "kernel.cmdline";
/// `COMMAND_LINE_SIZE` is at most 4 KiB on every architecture but one.
const MAX_BYTES: usize = 64 * 1024;

/// The keys that are sent, with `_` for `-`, which the kernel takes for the same.
#[rustfmt::skip]
const ALLOWED: &[&str] = &[
    // Processors and their scheduling
    "isolcpus", "nohz_full", "rcu_nocbs", "maxcpus", "nr_cpus", "nosmt", "preempt", "threadirqs", "skew_tick", "irqaffinity",
    "idle", "intel_idle.max_cstate", "processor.max_cstate", "intel_pstate", "amd_pstate", "cpuidle_haltpoll.force", "numa_balancing", "numa",
    // Memory
    "transparent_hugepage", "hugepages", "hugepagesz", "default_hugepagesz", "mem", "memhp_default_state", "swapaccount", "init_on_alloc",
    "init_on_free", "slab_nomerge", "slub_debug", "page_alloc.shuffle", "zswap.enabled",
    // Clocks and watchdogs
    "clocksource", "tsc", "hpet", "nmi_watchdog", "nosoftlockup", "nowatchdog",
    // Security
    "mitigations", "pti", "nopti", "kpti", "spectre_v2", "spectre_v2_user", "spec_store_bypass_disable", "l1tf", "mds", "tsx",
    "tsx_async_abort", "retbleed", "srbds", "mmio_stale_data", "gather_data_sampling", "spec_rstack_overflow", "nokaslr", "kaslr",
    "lockdown", "lsm", "security", "selinux", "enforcing", "apparmor", "audit", "module.sig_enforce", "randomize_kstack_offset",
    "random.trust_cpu", "random.trust_bootloader", "vsyscall", "fips",
    // Control groups, interfaces, devices
    "cgroup_no_v1", "cgroup_disable", "cgroup_enable", "systemd.unified_cgroup_hierarchy", "psi", "net.ifnames", "biosdevname",
    "ipv6.disable", "intel_iommu", "amd_iommu", "iommu", "iommu.passthrough", "pci", "nvme_core.io_timeout", "elevator", "scsi_mod.use_blk_mq",
    // What happens on a crash
    "panic", "panic_on_oops", "crashkernel", "reboot", "oops",
    "nomodule", "ro", "rw", "fsck.mode",
];

pub(super) fn collect(host: &Host, section: &mut SectionBuilder) {
    match host.read(FILE, MAX_BYTES) {
        Ok(bytes) => {
            for (key, value) in parse(&String::from_utf8_lossy(&bytes)) {
                section.present(FactPath::keyed(FAMILY, &key), value);
            }
        }
        Err(error) => {
            let reason = Reason::of_io(&error).unwrap_or_else(|| host.why_not_in_proc());
            section.unreadable(FactPath::known(FAMILY), reason);
        }
    }
}

/// The allowed keys and their values: true for a key without one; the values of a key that stands more than once,
/// in their order, separated by blanks. What follows `--` is for the first process, not for the kernel.
fn parse(line: &str) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for word in words(line).take_while(|word| *word != "--") {
        let word = word.trim_matches('"');
        let (key, value) =
            word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value.trim_matches('"'))));
        let key = key.replace('-', "_");
        if !ALLOWED.contains(&key.as_str()) {
            continue;
        }
        let value = value.map_or(Value::Boolean(true), Value::from);
        found
            .entry(key)
            .and_modify(|earlier: &mut Value| *earlier = Value::Text(format!("{earlier} {value}")))
            .or_insert(value);
    }
    found
}

/// The line with nothing but the allowed keys, for recorded hosts.
pub(crate) fn redacted(line: &str) -> String {
    let word = |(key, value): (String, Value)| match value {
        Value::Boolean(_) => key,
        other => format!("{key}=\"{other}\""),
    };
    parse(line).into_iter().map(word).collect::<Vec<_>>().join(" ") + "\n"
}

/// Words end at blanks outside of double quotes.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    line.split(move |c: char| {
        quoted ^= c == '"';
        !quoted && c.is_ascii_whitespace()
    })
    .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Vec<(String, Value)> {
        parse(line).into_iter().collect()
    }

    #[test]
    fn only_allowed_keys_leave_the_machine() {
        let line = "BOOT_IMAGE=/vmlinuz root=UUID=1-2 quiet mitigations=off api_token=hunter2 transparent-hugepage=\"never\"\n";
        assert_eq!(
            parsed(line),
            [("mitigations".to_owned(), "off".into()), ("transparent_hugepage".to_owned(), "never".into())]
        );
    }

    #[test]
    fn a_password_does_not_hide_in_quotes_or_behind_the_dashes() {
        assert_eq!(parsed("foo=\"a mitigations=hunter2\" -- panic=hunter2"), []);
        assert_eq!(parsed("\"mitigations=auto,nosmt\""), [("mitigations".to_owned(), "auto,nosmt".into())]);
    }

    #[test]
    fn the_redacted_line_says_the_same() {
        let line = "root=/dev/vda1 hugepages=4 token=hunter2 isolcpus=1-3 hugepages=512 nosmt";
        assert_eq!(redacted(line), "hugepages=\"4 512\" isolcpus=\"1-3\" nosmt\n");
        assert_eq!(parse(&redacted(line)), parse(line));
    }

    #[test]
    fn flags_and_repeated_keys() {
        assert_eq!(
            parsed("nosmt hugepagesz=1G hugepages=4 hugepagesz=2M hugepages=512"),
            [
                ("hugepages".to_owned(), "4 512".into()),
                ("hugepagesz".to_owned(), "1G 2M".into()),
                ("nosmt".to_owned(), Value::Boolean(true)),
            ]
        );
    }
}
