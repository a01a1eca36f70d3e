//! Which keys are not sent as they are, and why. The first rule that fits a key, or a directory of keys, counts; a
//! directory that is left out is not even opened. What no rule fits is read and sent.

use std::collections::HashMap;
use std::sync::LazyLock;

use evenkeel_facts::Glob;

use self::Class::{Identity, Interface, Keep, NeverRead, SameAs, Secret, Volatile};

/// Why a key is treated apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Sent like any other: an exception from a rule further down.
    Keep,
    /// Reading it does something, or gives nothing.
    NeverRead,
    /// Only whether it is set is sent.
    Secret,
    /// Changes by itself.
    Volatile,
    /// Unique to the machine: source `identity` has it.
    Identity,
    /// Another source reports it, under this path.
    SameAs(&'static str),
    /// One of many copies of a setting, one per network interface.
    Interface,
}

/// What to do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Read it and send the value.
    Send,
    /// Read it and send only `set` or `unset`.
    SetOrUnset,
    /// Do not open it.
    Leave,
}

/// What to do with the key, or with the directory of keys, of this name.
pub fn of(key: &str) -> Treatment {
    match class_of(key) {
        None | Some(Keep) => Treatment::Send,
        Some(Secret) => Treatment::SetOrUnset,
        Some(NeverRead | Volatile | Identity | SameAs(_) | Interface) => Treatment::Leave,
    }
}

/// Why the key, or the directory of keys, of this name is treated apart, if it is.
pub fn class_of(key: &str) -> Option<Class> {
    INDEX.literal.get(key).copied().or_else(|| {
        let fits = |(glob, _): &&(Glob, Class)| glob.matches(key);
        INDEX.globs.iter().find(fits).map(|(_, class)| *class)
    })
}

/// Pattern, class and reason. `*` stands for any run of characters, dots included.
#[rustfmt::skip]
pub static RULES: &[(&str, Class, &str)] = &[
    // Files that are buttons.
    ("vm.compact_memory",                   NeverRead, "write-only: starts a compaction"),
    ("vm.drop_caches",                      NeverRead, "a button: drops caches; keeps the last number written"),
    ("vm.stat_refresh",                     NeverRead, "reading gathers counters from every CPU, up to 4 ms"),
    ("net.ipv4.route.flush",                NeverRead, "write-only: drops routes"),
    ("net.ipv6.route.flush",                NeverRead, "write-only: drops routes"),
    ("fs.binfmt_misc",                      NeverRead, "an automount on systemd hosts: looking would mount it"),

    // Keys of hash functions: who has them can flood one bucket.
    ("net.ipv4.tcp_fastopen_key",           Secret, "key of the fast open cookies"),
    ("net.ipv4.fib_multipath_hash_seed",    Secret, "seed of the path choice"),
    ("net.core.netdev_rss_key",             Secret, "key of the receive queue choice"),
    ("net.ipv6.conf.*.stable_secret",       Secret, "seed of stable addresses; EIO when it is not set"),

    // Seen changing by themselves on an idle host.
    ("fs.dentry-state",                     Volatile, "counts cached names"),
    ("fs.file-nr",                          Volatile, "counts open files"),
    ("fs.inode-nr",                         Volatile, "counts inodes"),
    ("fs.inode-state",                      Volatile, "counts inodes"),
    ("fs.aio-nr",                           Volatile, "counts requests"),
    ("fs.quota.warnings",                   Keep,     "the one setting among the counters of quotas"),
    ("fs.quota.*",                          Volatile, "counters"),
    ("kernel.ns_last_pid",                  Volatile, "the last process number"),
    ("kernel.pty.nr",                       Volatile, "counts terminals"),
    ("kernel.random.uuid",                  Volatile, "another one at each read"),
    ("kernel.random.boot_id",               Volatile, "another one at each boot"),
    ("kernel.random.entropy_avail",         Volatile, "a level"),
    ("kernel.msg_next_id",                  Volatile, "where the next number is taken from"),
    ("kernel.sem_next_id",                  Volatile, "where the next number is taken from"),
    ("kernel.shm_next_id",                  Volatile, "where the next number is taken from"),
    ("kernel.hung_task_detect_count",       Volatile, "a counter"),
    ("kernel.hung_task_warnings",           Volatile, "a setting that the kernel counts down"),
    ("kernel.perf_event_max_sample_rate",   Volatile, "a setting that the kernel lowers when interrupts take long"),
    ("net.netfilter.nf_conntrack_count",    Volatile, "counts connections"),

    // Unique to each machine.
    ("kernel.hostname",                     Identity, "identity.hostname"),
    ("kernel.domainname",                   Identity, "identity.domainname"),

    // Said once.
    ("kernel.osrelease",                    SameAs("kernel.release"), "the same text"),
    ("kernel.version",                      SameAs("kernel.version"), "the same text"),
    ("kernel.ostype",                       SameAs("kernel.release"), "always Linux"),
    ("kernel.arch",                         SameAs("kernel.arch"), "the same text"),
    ("kernel.modules_disabled",             SameAs("kernel.modules_disabled"), "the same number"),
    ("kernel.tainted",                      SameAs("kernel.taint"), "decoded there"),
    ("kernel.cap_last_cap",                 SameAs("kernel.release"), "follows from the version"),
    ("kernel.bootloader_type",              SameAs("kernel.version"), "a number of the boot loader's, no setting"),
    ("kernel.bootloader_version",           SameAs("kernel.version"), "a number of the boot loader's, no setting"),

    // Each interface repeats about 130 keys, and 100 veth pairs make 26,842 files: all but `all` and `default` are left
    // out before anything below is opened. So are those of physical interfaces, for now: their names differ between
    // machines that are the same (eth0, ens5), and until they are rolled up by what they are for they would only be noise.
    ("net.ipv4.conf.all",                   Keep, "holds for every interface"),
    ("net.ipv4.conf.default",               Keep, "holds for every new interface"),
    ("net.ipv6.conf.all",                   Keep, "holds for every interface"),
    ("net.ipv6.conf.default",               Keep, "holds for every new interface"),
    ("net.ipv4.neigh.default",              Keep, "holds for every new interface"),
    ("net.ipv6.neigh.default",              Keep, "holds for every new interface"),
    ("net.ipv4.conf.all.*",                 Keep, "holds for every interface"),
    ("net.ipv4.conf.default.*",             Keep, "holds for every new interface"),
    ("net.ipv6.conf.all.*",                 Keep, "holds for every interface"),
    ("net.ipv6.conf.default.*",             Keep, "holds for every new interface"),
    ("net.ipv4.neigh.default.*",            Keep, "holds for every new interface"),
    ("net.ipv6.neigh.default.*",            Keep, "holds for every new interface"),
    ("net.ipv4.conf.*",                     Interface, "one interface's copy"),
    ("net.ipv6.conf.*",                     Interface, "one interface's copy"),
    ("net.ipv4.neigh.*",                    Interface, "one interface's copy"),
    ("net.ipv6.neigh.*",                    Interface, "one interface's copy"),
    ("net.mpls.conf.*",                     Interface, "one interface's copy; there is no copy for all"),
];

/// Keys, and directories of keys, that each IPC namespace has for itself (ipc/ipc_sysctl.c, ipc/mq_sysctl.c).
const OF_IPC: &[&str] = &[
    "kernel.shmmax",
    "kernel.shmall",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.msgmax",
    "kernel.msgmni",
    "kernel.msgmnb",
    "kernel.auto_msgmni",
    "kernel.sem",
    "fs.mqueue",
];

/// Whether a key, or a directory of keys, belongs to an IPC namespace.
pub(super) fn is_of_ipc(key: &str) -> bool {
    OF_IPC.contains(&key)
}

struct Index {
    literal: HashMap<&'static str, Class>,
    globs: Vec<(Glob, Class)>,
}

/// Nearly all keys fit no rule: one look at the table of whole names, and globs that fail at their first letters.
static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let (globs, literal): (Vec<_>, Vec<_>) = RULES.iter().partition(|(pattern, ..)| pattern.contains('*'));
    Index {
        literal: literal.into_iter().map(|&(key, class, _)| (key, class)).collect(),
        globs: globs.into_iter().map(|&(pattern, class, _)| (Glob::new(pattern), class)).collect(),
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_collapse_to_all_and_default() {
        for kept in [
            "net.ipv4.conf",
            "net.ipv4.conf.all",
            "net.ipv4.conf.all.rp_filter",
            "net.ipv6.neigh.default.mcast_solicit",
        ] {
            assert_eq!(of(kept), Treatment::Send, "{kept}");
        }
        for left in [
            "net.ipv4.conf.eth0",
            "net.ipv4.conf.allnodes0",
            "net.ipv6.neigh.veth1",
            "net.ipv4.conf.eth0/1",
            "net.mpls.conf.lo",
        ] {
            assert_eq!(of(left), Treatment::Leave, "{left}");
        }
    }

    #[test]
    fn secrets_are_secret_wherever_they_are_kept() {
        assert_eq!(of("net.ipv6.conf.all.stable_secret"), Treatment::SetOrUnset);
        assert_eq!(of("net.ipv4.tcp_fastopen_key"), Treatment::SetOrUnset);
    }

    #[test]
    fn settings_are_sent() {
        for key in ["net.core.somaxconn", "vm.swappiness", "fs.quota.warnings", "kernel.pid_max"] {
            assert_eq!(of(key), Treatment::Send, "{key}");
        }
        assert_eq!(of("fs.quota.syncs"), Treatment::Leave);
    }

    #[test]
    fn no_pattern_stands_twice() {
        for (at, (pattern, ..)) in RULES.iter().enumerate() {
            assert!(!RULES[..at].iter().any(|(earlier, ..)| earlier == pattern), "{pattern}");
        }
    }
}
