//! What was written, and by which unit or container, in words.

use std::path::Path;

const PARAMETERS: &str = "/proc/sys/";
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/";
/// Control groups in which these keep their containers, before the container's name (and, for the first, behind it).
const CONTAINERS: &[(&str, &str)] =
    &[("systemd-nspawn@", ".service"), ("machine-", ".scope"), ("lxc.payload.", "")];
/// As much of a container's id is shown, as `docker ps` does.
const ID: usize = 12;

/// The fact that a kernel's file is: of a parameter by the rule of source `sysctl`, of transparent huge pages as source
/// `kernel` names it, of another file its path; `None`: of a file in /proc that is no parameter.
///
/// The path is the writer's, who may have another root, or the kernel's files at another place, as a container has where
/// the host's are shown to it.
pub fn fact(file: &Path) -> Option<String> {
    let path = file.to_string_lossy();
    if let Some((_, parameter)) = path.split_once(PARAMETERS) {
        let names: Vec<_> = parameter.split('/').map(|name| name.replace('.', "/")).collect();
        return Some(format!("sysctl.{}", names.join(".")));
    }
    if let Some((_, name)) = path.split_once(HUGE_PAGES) {
        return Some(format!("kernel.thp.{name}"));
    }
    (!path.starts_with("/proc/") && !path.contains("/proc/")).then(|| path.into_owned())
}

/// The container or systemd unit in `/proc/PID/cgroup`: a container's id as docker, containerd, CRI-O and podman write it
/// into the path, or its name as systemd-nspawn and LXC do; else the innermost `….service` or `….scope`.
pub fn unit(groups: &str) -> Option<String> {
    let paths = || groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let names = || paths().flat_map(|path| path.rsplit('/'));
    let is_id = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = |name: &str| name.split(['-', '.', ':']).find(is_id).map(|id| id[..ID].to_owned());
    let machine = |name: &str| {
        let of = |(before, behind): &(&str, &str)| name.strip_prefix(before)?.strip_suffix(behind);
        CONTAINERS.iter().find_map(of).filter(|name| !name.is_empty()).map(unescape)
    };
    if let Some(container) = names().find_map(id).or_else(|| names().find_map(machine)) {
        return Some(format!("container {container}"));
    }
    let is_unit = |name: &&str| [".service", ".scope"].iter().any(|kind| name.ends_with(kind));
    names().find(is_unit).map(str::to_owned)
}

/// systemd writes what a unit's name must not have as `\x2d` (systemd.unit(5)).
fn unescape(name: &str) -> String {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = || std::str::from_utf8(rest.strip_prefix(b"\\x")?.get(..2)?).ok();
        let byte = code().and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &rest[4..] } else { behind };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_facts() {
        for (file, expected) in [
            ("/proc/sys/net/core/somaxconn", Some("sysctl.net.core.somaxconn")),
            ("/proc/sys/net/ipv4/conf/eth0.1/forwarding", Some("sysctl.net.ipv4.conf.eth0/1.forwarding")),
            // A container to which the host's are shown, and a chroot.
            ("/host/proc/sys/vm/swappiness", Some("sysctl.vm.swappiness")),
            ("/srv/jail/sys/kernel/mm/transparent_hugepage/enabled", Some("kernel.thp.enabled")),
            ("/sys/kernel/mm/transparent_hugepage/enabled", Some("kernel.thp.enabled")),
            ("/sys/kernel/mm/ksm/run", Some("/sys/kernel/mm/ksm/run")),
            ("/proc/self/oom_score_adj", None),
            ("/host/proc/7/oom_score_adj", None),
        ] {
            assert_eq!(fact(Path::new(file)).as_deref(), expected, "{file}");
        }
    }

    #[test]
    fn units_and_containers_are_told_by_the_control_group() {
        let id = "3f2a".repeat(16);
        for (groups, expected) in [
            ("0::/system.slice/ssh.service\n".to_owned(), Some("ssh.service")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vi.scope".to_owned(),
                Some("vi.scope"),
            ),
            (
                "12:pids:/user.slice\n1:name=systemd:/user.slice/session-3.scope\n".to_owned(),
                Some("session-3.scope"),
            ),
            (format!("0::/system.slice/docker-{id}.scope"), Some("container 3f2a3f2a3f2a")),
            (format!("4:cpu:/docker/{id}\n0::/\n"), Some("container 3f2a3f2a3f2a")),
            (
                format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
                Some("container 3f2a3f2a3f2a"),
            ),
            (format!("0::/kubepods-pod1.slice:cri-containerd:{id}"), Some("container 3f2a3f2a3f2a")),
            (format!("0::/machine.slice/libpod-{id}.scope/container"), Some("container 3f2a3f2a3f2a")),
            (
                "0::/machine.slice/systemd-nspawn@web\\x2d1.service/payload/system.slice/cron.service"
                    .to_owned(),
                Some("container web-1"),
            ),
            ("0::/machine.slice/machine-vm.scope".to_owned(), Some("container vm")),
            ("0::/lxc.payload.box/init.scope".to_owned(), Some("container box")),
            ("0::/\n".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(unit(&groups).as_deref(), expected, "{groups}");
        }
    }
}
