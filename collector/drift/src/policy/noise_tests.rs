//! Every rule of the evidence on noise is in the default policy, under its class.

use super::{Class, Policy};
use crate::report::Severity;

/// The keys of a rule, `sysctl.` left out in front.
fn classes(class: Class, keys: &str) {
    let policy = Policy::default_policy();
    for key in keys.split_whitespace() {
        let verdict = policy.verdict(&format!("sysctl.{key}"));
        assert_eq!(verdict.class, class, "{key}");
        assert!(policy.deciding(&verdict)[0].is_some_and(|rule| !rule.reason.is_empty()), "{key}");
    }
}

#[test]
fn volatile() {
    classes(
        Class::Volatile,
        "fs.dentry-state fs.file-nr fs.inode-nr fs.inode-state fs.quota.syncs kernel.ns_last_pid kernel.pty.nr \
         kernel.random.uuid net.netfilter.nf_conntrack_count fs.aio-nr fs.quota.lookups kernel.random.entropy_avail \
         kernel.random.boot_id kernel.msg_next_id kernel.sem_next_id kernel.shm_next_id kernel.hung_task_detect_count \
         kernel.perf_event_max_sample_rate kernel.hung_task_warnings kernel.tainted vm.compact_memory vm.drop_caches \
         vm.stat_refresh net.ipv4.route.flush net.ipv6.route.flush",
    );
}

#[test]
fn said_by_other_facts_and_identity() {
    classes(
        Class::Volatile,
        "kernel.osrelease kernel.version kernel.ostype kernel.arch kernel.cap_last_cap kernel.bootloader_type \
         kernel.bootloader_version",
    );
    classes(Class::Identity, "kernel.hostname kernel.domainname");
}

#[test]
fn derived_from_memory() {
    classes(
        Class::DerivedRam,
        "fs.file-max fs.epoll.max_user_watches fs.inotify.max_user_watches fs.fanotify.max_user_marks \
         kernel.threads-max user.max_user_namespaces vm.min_free_kbytes vm.user_reserve_kbytes \
         vm.admin_reserve_kbytes vm.lowmem_reserve_ratio net.ipv4.tcp_mem net.ipv4.udp_mem net.ipv4.tcp_max_orphans \
         net.ipv4.tcp_max_tw_buckets net.ipv4.tcp_max_syn_backlog net.ipv4.tcp_ehash_entries \
         net.ipv4.udp_hash_entries net.ipv4.inet_peer_threshold net.ipv4.tcp_rmem net.ipv4.tcp_wmem \
         net.sctp.sctp_mem net.netfilter.nf_conntrack_max net.netfilter.nf_conntrack_buckets \
         net.netfilter.nf_conntrack_expect_max net.nf_conntrack_max",
    );
}

#[test]
fn derived_from_processors() {
    classes(
        Class::DerivedCpu,
        "kernel.pid_max kernel.watchdog_cpumask net.core.flow_limit_cpu_bitmap net.core.rps_default_mask \
         net.core.netdev_budget_usecs net.core.bpf_jit_limit kernel.nmi_watchdog kernel.numa_balancing \
         vm.mmap_rnd_bits vm.mmap_rnd_compat_bits kernel.sched_latency_ns kernel.sched_domain.cpu0.domain0.flags",
    );
}

#[test]
fn interfaces() {
    classes(Class::Interface, "net.ipv4.conf.eth0.rp_filter net.ipv6.neigh.ens5.retrans_time_ms");
    classes(
        Class::Volatile,
        "net.ipv4.conf.lo.rp_filter net.ipv6.conf.veth12.mtu net.ipv4.neigh.cali1.delay_first_probe_time \
         net.ipv4.conf.docker0.forwarding net.ipv4.conf.br-12ab.forwarding net.ipv6.conf.tun0.mtu",
    );
    classes(
        Class::Config,
        "net.ipv4.conf.all.forwarding net.ipv4.conf.default.rp_filter net.ipv6.conf.all.accept_redirects \
         net.ipv4.neigh.default.gc_thresh3 net.ipv6.neigh.default.gc_thresh3",
    );
}

#[test]
fn modules() {
    classes(
        Class::Module,
        "net.bridge.bridge-nf-call-iptables net.netfilter.nf_log.0 fs.xfs.error_level fs.nfs.nlm_tcpport \
         sunrpc.rpc_debug fs.binfmt_misc.status dev.raid.speed_limit_max net.mptcp.enabled \
         net.core.default_qdisc net.core.netdev_max_backlog",
    );
}

#[test]
fn high_signal_is_shown_without_asking() {
    let policy = Policy::default_policy();
    let keys = "net.core.somaxconn net.core.rmem_max net.core.wmem_max net.core.netdev_max_backlog \
         net.core.default_qdisc net.ipv4.ip_local_port_range net.ipv4.ip_forward net.ipv4.tcp_congestion_control \
         net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_time net.ipv4.tcp_tw_reuse net.ipv4.tcp_max_syn_backlog \
         vm.swappiness vm.overcommit_memory vm.max_map_count vm.dirty_ratio vm.nr_hugepages fs.nr_open \
         fs.aio-max-nr fs.inotify.max_user_instances kernel.core_pattern kernel.panic kernel.panic_on_oops \
         kernel.randomize_va_space kernel.unprivileged_bpf_disabled";
    for key in keys.split_whitespace() {
        assert!(policy.verdict(&format!("sysctl.{key}")).severity() >= Severity::Warning, "{key}");
    }
}

#[test]
fn what_only_root_may_read_fails_no_gate() {
    let policy = Policy::default_policy();
    let keys = "kernel.cad_pid kernel.usermodehelper.bset net.core.bpf_jit_harden net.core.bpf_jit_kallsyms \
         net.core.bpf_jit_limit net.ipv4.tcp_fastopen_key net.ipv6.conf.all.stable_secret vm.mmap_rnd_bits";
    for key in keys.split_whitespace() {
        assert_eq!(policy.worst_below(&format!("sysctl.{key}")), Severity::Info, "{key}");
    }
}
