//! `kernel.module[NAME]`: kernel modules that change how a machine behaves, `loaded` or `builtin`. All others come and
//! go with devices and would only be noise.

use std::io;

use evenkeel_facts::{FactPath, Reason, SectionBuilder};

use crate::Host;

const FILE: &str = "/proc/modules";
const FAMILY: &str = "kernel.module";
/// About 60 bytes a module; a desktop has 300.
const MAX_BYTES: usize = 1024 * 1024;

#[rustfmt::skip]
const OF_INTEREST: &[&str] = &[
    // Network: filters, tunnels, congestion control
    "br_netfilter", "nf_conntrack", "nf_tables", "ip_tables", "ip_vs", "tcp_bbr", "sch_fq", "bonding", "8021q", "vxlan", "wireguard", "tls",
    "sctp", "dccp", "rds", "tipc",
    // File systems and storage
    "overlay", "fuse", "nfs", "nfsd", "xfs", "btrfs", "zfs", "ceph", "dm_multipath", "cramfs", "squashfs", "udf", "usb_storage",
    // Virtual machines and accelerators
    "kvm", "kvm_intel", "kvm_amd", "vfio", "nvidia", "amdgpu",
];

pub(super) fn collect(host: &Host, section: &mut SectionBuilder) {
    let loaded = match host.read_text(FILE, MAX_BYTES) {
        Ok(text) => text,
        // A kernel that cannot load modules has no such file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            section.unreadable(FactPath::known(FAMILY), Reason::of_io(&error).unwrap_or(Reason::Io));
            return;
        }
    };
    for name in OF_INTEREST {
        // Each module has a directory, but an empty one may say nothing in a recorded host; this file is in all of them.
        let state = if is_loaded(&loaded, name) {
            "loaded"
        } else if host.exists(format!("/sys/module/{name}/uevent")) {
            "builtin"
        } else {
            continue;
        };
        section.present(FactPath::keyed(FAMILY, name), state);
    }
}

/// The lines of modules of interest, without counts and addresses, for recorded hosts.
pub(crate) fn redacted(modules: &str) -> String {
    let names = OF_INTEREST.iter().filter(|name| is_loaded(modules, name));
    names.fold(String::new(), |text, name| text + name + " 0 0 - Live 0x0000000000000000\n")
}

/// Lines of `/proc/modules` begin with the name and a blank.
fn is_loaded(modules: &str, name: &str) -> bool {
    modules.lines().any(|line| line.split(' ').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_names() {
        let text = "kvm_intel 409600 0 - Live 0x0000000000000000\nnf_tables 303104 2 nft_compat, Live 0x0\n";
        assert!(is_loaded(text, "kvm_intel") && is_loaded(text, "nf_tables"));
        assert_eq!(redacted(text).lines().count(), 2);
        assert!(!is_loaded(text, "kvm") && !is_loaded(text, "nft_compat") && !is_loaded(text, ""));
    }
}
