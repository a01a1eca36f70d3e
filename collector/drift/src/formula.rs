//! The formulas by which kernel and systemd derive limits from the size of a machine.
//!
//! They start from what is free when the kernel starts, which nobody knows later to the page. So a value is held to the
//! order of its formula: what is linear may be off by a seventh, what is a power of two by one power.

/// A machine as the formulas see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Size {
    /// `hardware.memory.bytes`.
    pub memory: Option<u64>,
    /// `hardware.cpu.count`.
    pub processors: Option<u64>,
}

/// One formula.
pub struct Formula {
    keys: &'static [&'static str],
    /// Where it stands.
    pub source: &'static str,
    derives: fn(&[i128], &Size) -> Option<bool>,
}

/// The formula of a path, if one is known.
pub fn of(path: &str) -> Option<&'static Formula> {
    let key = path.strip_prefix("sysctl.").unwrap_or(path);
    TABLE.iter().find(|formula| formula.keys.contains(&key))
}

impl Formula {
    /// Whether a machine of this size gets the value by itself; `None` when its size is not known.
    pub fn derives(&self, value: &str, size: &Size) -> Option<bool> {
        if let (Some(count), "kernel.watchdog_cpumask") = (size.processors, self.keys[0]) {
            let all = if count == 1 { "0".to_owned() } else { format!("0-{}", count.saturating_sub(1)) };
            return Some(value == all);
        }
        let words: Option<Vec<i128>> = value.split_whitespace().map(|word| word.parse().ok()).collect();
        match words {
            Some(words) if !words.is_empty() => (self.derives)(&words, size),
            _ => Some(false),
        }
    }
}

/// Kept together by what they are derived from; the first column of keys is how the kernel calls them.
const TABLE: &[Formula] = &[
    Formula {
        keys: &["fs.file-max"],
        source: "files_maxfiles_init in fs/file_table.c: a tenth of the memory in KB, at least 8192; since systemd 240 the largest number",
        derives: |v, s| Some(v[0] == i128::from(i64::MAX) || near(v[0], (kb(s)? / 10).max(8192))),
    },
    Formula {
        keys: &["fs.epoll.max_user_watches"],
        source: "eventpoll_init in fs/eventpoll.c: a 25th of the memory, in watches of 128 to 256 bytes",
        derives: |v, s| Some(between(v[0], bytes(s)? / 25 / 256, bytes(s)? / 25 / 128)),
    },
    Formula {
        keys: &[
            "fs.inotify.max_user_watches",
            "fs.fanotify.max_user_marks",
            "user.max_inotify_watches",
            "user.max_fanotify_marks",
        ],
        source: "inotify_user_setup in fs/notify/inotify/inotify_user.c: a hundredth of the memory, in inodes, 8192 to 1048576; 8192 before Linux 5.11",
        derives: |v, s| {
            let clamp = |n: i128| n.clamp(8192, 1_048_576);
            Some(v[0] == 8192 || between(v[0], clamp(bytes(s)? / 100 / 1700), clamp(bytes(s)? / 100 / 900)))
        },
    },
    Formula {
        keys: &["kernel.threads-max"],
        source: "set_max_threads in kernel/fork.c: an eighth of the memory in stacks of 16 KB",
        derives: |v, s| Some(near(v[0], bytes(s)? / 131_072)),
    },
    Formula {
        keys: &[
            "user.max_cgroup_namespaces",
            "user.max_ipc_namespaces",
            "user.max_mnt_namespaces",
            "user.max_net_namespaces",
            "user.max_pid_namespaces",
            "user.max_time_namespaces",
            "user.max_user_namespaces",
            "user.max_uts_namespaces",
            "limits.nproc",
            "limits.sigpending",
        ],
        source: "fork_init in kernel/fork.c: half of kernel.threads-max",
        derives: |v, s| Some(near(v[0], bytes(s)? / 262_144)),
    },
    Formula {
        keys: &["vm.min_free_kbytes"],
        source: "init_per_zone_wmark_min in mm/page_alloc.c: the root of 16 times the memory in KB; with huge pages set_recommended_min_free_kbytes in mm/khugepaged.c: 11 page blocks a zone",
        derives: |v, s| {
            let blocks = v[0] > 0 && v[0] % 11_264 == 0 && v[0] <= kb(s)? / 20;
            Some(blocks || near(v[0], (kb(s)? * 16).isqrt().clamp(128, 262_144)))
        },
    },
    Formula {
        keys: &["vm.user_reserve_kbytes"],
        source: "init_user_reserve in mm/mmap.c: a 32nd of the free memory, at most 128 MB",
        derives: |v, s| Some(between(v[0], (kb(s)? / 256).min(65_536), (kb(s)? / 32).min(131_072))),
    },
    Formula {
        keys: &["vm.admin_reserve_kbytes"],
        source: "init_admin_reserve in mm/mmap.c: a 32nd of the free memory, at most 8 MB",
        derives: |v, s| Some(between(v[0], (kb(s)? / 256).min(4096), (kb(s)? / 32).min(8192))),
    },
    Formula {
        keys: &["net.ipv4.tcp_mem"],
        source: "tcp_init_mem in net/ipv4/tcp.c: 3/64, 1/16 and 3/32 of the free pages",
        derives: |v, s| Some(thirds(v, pages(s)? / 16)),
    },
    Formula {
        keys: &["net.ipv4.udp_mem", "net.sctp.sctp_mem"],
        source: "udp_init in net/ipv4/udp.c, sctp_init in net/sctp/protocol.c: 3/32, 1/8 and 3/16 of the free pages",
        derives: |v, s| Some(thirds(v, pages(s)? / 8)),
    },
    Formula {
        keys: &["net.ipv4.tcp_ehash_entries"],
        source: "tcp_init in net/ipv4/tcp.c: one for each 128 KB, a power of two, at most 524288; negative in a network namespace that shares the table",
        derives: |v, s| Some(v[0] < 0 || power(v[0], bytes(s)? / 131_072, 524_288)),
    },
    Formula {
        keys: &["net.ipv4.tcp_max_orphans", "net.ipv4.tcp_max_tw_buckets"],
        source: "tcp_init in net/ipv4/tcp.c: half of tcp_ehash_entries",
        derives: |v, s| Some(power(v[0], bytes(s)? / 262_144, 262_144)),
    },
    Formula {
        keys: &["net.ipv4.tcp_max_syn_backlog"],
        source: "tcp_sk_init in net/ipv4/tcp_ipv4.c: a 128th of tcp_ehash_entries, at least 128",
        derives: |v, s| Some(v[0] == 128 || power(v[0], bytes(s)? / 16_777_216, 4096)),
    },
    Formula {
        keys: &["net.ipv4.udp_hash_entries"],
        source: "udp_table_init in net/ipv4/udp.c: one for each 2 MB, a power of two, 256 to 65536; negative in a network namespace that shares the table",
        derives: |v, s| Some(v[0] < 0 || v[0] == 256 || power(v[0], bytes(s)? / 2_097_152, 65_536)),
    },
    Formula {
        keys: &["net.ipv4.inet_peer_threshold"],
        source: "inet_initpeers in net/ipv4/inetpeer.c: a hundredth of the memory, in peers, 4096 to 65664",
        derives: |v, s| {
            let clamp = |n: i128| n.clamp(4096, 65_664);
            Some(between(v[0], clamp(bytes(s)? / 100 / 512), clamp(bytes(s)? / 100 / 128)))
        },
    },
    Formula {
        keys: &["net.ipv4.tcp_rmem"],
        source: "tcp_init in net/ipv4/tcp.c: the third field is a 128th of the memory, at most 6 MB (32 MB since Linux 6.16)",
        derives: |v, s| {
            let limit = bytes(s)? / 128;
            let third = |most: i128| v.get(2).is_some_and(|third| near(*third, limit.clamp(87_380, most)));
            let first = matches!(v, [4096, 87_380 | 131_072, _]);
            Some(first && [4_194_304, 6_291_456, 33_554_432].into_iter().any(third))
        },
    },
    Formula {
        keys: &["net.ipv4.tcp_wmem"],
        source: "tcp_init in net/ipv4/tcp.c: the third field is a 128th of the memory, 64 KB to 4 MB",
        derives: |v, s| {
            let limit = (bytes(s)? / 128).clamp(65_536, 4_194_304);
            Some(matches!(v, [4096, 16_384, third] if near(*third, limit)))
        },
    },
    Formula {
        keys: &["net.netfilter.nf_conntrack_buckets"],
        source: "nf_conntrack_init_start in net/netfilter/nf_conntrack_core.c: a 16384th of the memory in pointers, 65536 above 1 GB, 262144 above 4 GB since Linux 5.13",
        derives: |v, s| Some(buckets(v[0], bytes(s)?)),
    },
    Formula {
        keys: &["net.netfilter.nf_conntrack_max", "net.nf_conntrack_max"],
        source: "nf_conntrack_init_start in net/netfilter/nf_conntrack_core.c: one to eight a bucket; kube-proxy: 32768 a processor, at least 131072",
        derives: |v, s| {
            let proxy = s.processors.is_some_and(|cpus| v[0] == (i128::from(cpus) * 32_768).max(131_072));
            let of_buckets = [1, 4, 8].into_iter().any(|factor| {
                v[0] % factor == 0 && bytes(s).is_some_and(|bytes| buckets(v[0] / factor, bytes))
            });
            s.memory.or(s.processors).map(|_| proxy || of_buckets)
        },
    },
    Formula {
        keys: &["net.netfilter.nf_conntrack_expect_max"],
        source: "nf_conntrack_expect_init in net/netfilter/nf_conntrack_expect.c: a 64th of the buckets",
        derives: |v, s| Some(buckets(v[0] * 64, bytes(s)?)),
    },
    Formula {
        keys: &["kernel.pid_max"],
        source: "pid_idr_init in kernel/pid.c: 1024 a processor, at least 32768; since systemd 243 4194304",
        derives: |v, s| Some(v[0] == 4_194_304 || v[0] == (i128::from(s.processors?) * 1024).max(32_768)),
    },
    Formula {
        keys: &["kernel.watchdog_cpumask"],
        source: "lockup_detector_init in kernel/watchdog.c: every processor",
        derives: |_, s| s.processors.map(|_| false),
    },
];

fn bytes(size: &Size) -> Option<i128> {
    size.memory.map(i128::from)
}

fn kb(size: &Size) -> Option<i128> {
    Some(bytes(size)? / 1024)
}

fn pages(size: &Size) -> Option<i128> {
    Some(bytes(size)? / 4096)
}

/// Within a seventh.
fn near(value: i128, expected: i128) -> bool {
    between(value, expected, expected)
}

/// Within a seventh of these bounds.
fn between(value: i128, low: i128, high: i128) -> bool {
    value >= low - low / 7 && value <= high + high / 7
}

/// The power of two that holds as many, or the next one to either side.
fn power(value: i128, entries: i128, most: i128) -> bool {
    let expected = entries.clamp(1, most).cast_unsigned().next_power_of_two().cast_signed();
    value > 0 && (value & (value - 1)) == 0 && (expected / 2..=(expected * 2).min(most)).contains(&value)
}

/// Three quarters of a limit, the limit, and one and a half of it.
fn thirds(words: &[i128], limit: i128) -> bool {
    let limit = limit.max(128);
    matches!(words, [low, middle, high] if near(*middle, limit) && near(*low, limit / 4 * 3) && near(*high, limit / 2 * 3))
}

fn buckets(value: i128, bytes: i128) -> bool {
    const GB: i128 = 1 << 30;
    let small = near(value, (bytes / 16_384 / 8).max(1024));
    match bytes {
        above if above > 4 * GB => [262_144, 65_536, 16_384].contains(&value),
        above if above > GB - GB / 7 => [65_536, 16_384].contains(&value) || small,
        _ => small,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a machine of 24 GB and two processors was seen to hold under Linux 6.18.
    const SEEN: &[(&str, &str)] = &[
        ("sysctl.fs.file-max", "2466177"),
        ("sysctl.fs.epoll.max_user_watches", "5491511"),
        ("sysctl.fs.inotify.max_user_watches", "192536"),
        ("sysctl.fs.fanotify.max_user_marks", "205039"),
        ("sysctl.kernel.threads-max", "192730"),
        ("sysctl.kernel.pid_max", "32768"),
        ("sysctl.user.max_user_namespaces", "96365"),
        ("sysctl.vm.min_free_kbytes", "67584"),
        ("sysctl.vm.user_reserve_kbytes", "100405"),
        ("sysctl.vm.admin_reserve_kbytes", "8192"),
        ("sysctl.net.ipv4.tcp_mem", "287901 383868 575802"),
        ("sysctl.net.ipv4.udp_mem", "575802 767736 1151604"),
        ("sysctl.net.ipv4.tcp_max_orphans", "131072"),
        ("sysctl.net.ipv4.tcp_max_tw_buckets", "131072"),
        ("sysctl.net.ipv4.tcp_max_syn_backlog", "2048"),
        ("sysctl.net.ipv4.tcp_ehash_entries", "262144"),
        ("sysctl.net.ipv4.tcp_ehash_entries", "-262144"),
        ("sysctl.net.ipv4.udp_hash_entries", "16384"),
        ("sysctl.net.ipv4.inet_peer_threshold", "65664"),
        ("sysctl.net.ipv4.tcp_rmem", "4096 131072 33554432"),
        ("sysctl.net.ipv4.tcp_wmem", "4096 16384 4194304"),
        ("sysctl.net.netfilter.nf_conntrack_max", "262144"),
        ("sysctl.net.netfilter.nf_conntrack_buckets", "262144"),
        ("sysctl.net.netfilter.nf_conntrack_expect_max", "4096"),
        ("sysctl.kernel.watchdog_cpumask", "0-1"),
    ];

    #[test]
    fn a_machine_holds_what_its_size_gives() {
        let size = Size { memory: Some(24_684_092 * 1024), processors: Some(2) };
        for (path, value) in SEEN {
            assert_eq!(of(path).unwrap().derives(value, &size), Some(true), "{path} = {value}");
        }
    }

    #[test]
    fn what_was_set_by_hand_does_not_follow() {
        let size = Size { memory: Some(8 << 30), processors: Some(4) };
        for (path, value) in [
            ("sysctl.fs.file-max", "65536"),
            ("sysctl.kernel.threads-max", "1000"),
            ("sysctl.kernel.pid_max", "65536"),
            ("sysctl.net.ipv4.tcp_max_syn_backlog", "65535"),
            ("sysctl.net.ipv4.tcp_rmem", "4096 1048576 16777216"),
            ("sysctl.net.ipv4.tcp_mem", "1 2 3"),
            ("sysctl.net.netfilter.nf_conntrack_max", "2000000"),
            ("sysctl.vm.min_free_kbytes", "1048576"),
            ("sysctl.kernel.threads-max", "unlimited"),
        ] {
            assert_eq!(of(path).unwrap().derives(value, &size), Some(false), "{path} = {value}");
        }
    }

    #[test]
    fn without_a_size_nothing_is_known() {
        let formula = of("sysctl.fs.file-max").unwrap();
        assert_eq!(formula.derives("1000", &Size::default()), None);
        assert!(of("sysctl.net.core.somaxconn").is_none());
    }
}
