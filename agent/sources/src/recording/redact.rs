//! What of a file goes into a recording. The rule: what a source reads but does not send stays on the machine, and what
//! is unique to the machine is replaced by something that follows from the recording's name.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use evenkeel_facts::Glob;

use crate::credentials;
use crate::kernel::{cmdline, modules, next};
use crate::sysctl::persisted;
use crate::sysctl::rules::{self, Treatment};
use crate::time::clock;
use crate::{container_runtime, go_buildinfo, hardware, libc, limits, packages, processes};

type Change = fn(&Path, &str, &str) -> String;

/// Files that do not go in as they are; the first pattern that fits counts. Each change takes the path, the text and
/// the recording's name.
#[rustfmt::skip]
const CHANGES: &[(&str, Change)] = &[
    ("/proc/cmdline",                    |_, text, _| cmdline::redacted(text)),
    ("/proc/modules",                    |_, text, _| modules::redacted(text)),
    ("/proc/cpuinfo",                    |_, text, _| hardware::redacted(text)),
    ("/proc/meminfo",                    |_, text, _| hardware::redacted(text)),
    ("/proc/sys/kernel/hostname",        |_, _, name| format!("{name}\n")),
    ("/proc/sys/kernel/domainname",      |_, _, _| "(none)\n".to_owned()),
    ("/etc/hostname",                    |_, _, name| format!("{name}\n")),
    ("/etc/machine-id",                  |_, _, name| machine_id(name)),
    ("/var/lib/dbus/machine-id",         |_, _, name| machine_id(name)),
    ("/sys/class/net/*/address",         |path, _, name| address(path, name)),
    ("/etc/ssh/ssh_host_*_key.pub",      |path, _, name| host_key(path, name)),
    ("/var/lib/dpkg/*",                  |_, text, _| packages::redacted_dpkg(text)),
    ("*/lib/apk/db/installed",           |_, text, _| packages::redacted_apk(text)),
    ("/proc/*/maps",                     |_, text, _| processes::redacted(text)),
    ("/etc/security/limits.*",           |_, text, _| limits::redacted(text)),
    ("*/systemd/system.conf*",           |_, text, _| limits::redacted(text)),
    ("/etc/docker/daemon.json",          |_, text, _| container_runtime::redacted(text, true)),
    ("/etc/containerd/*",                |_, text, _| container_runtime::redacted(text, false)),
    ("/etc/crio/*",                      |_, text, _| container_runtime::redacted(text, false)),
    ("*/containers/containers.conf*",    |_, text, _| container_runtime::redacted(text, false)),
    ("/etc/chrony*",                     |_, text, _| clock::redacted(text)),
    ("/etc/ntp*",                        |_, text, _| clock::redacted(text)),
    ("*/timesyncd.conf*",                |_, text, _| clock::redacted(text)),
    ("/boot/*",                          |_, text, _| next::redacted(text)),
    ("*/sysctl.d/*",                     |_, text, _| persisted::redacted(text)),
    ("/etc/sysctl.conf",                 |_, text, _| persisted::redacted(text)),
    ("/etc/environment",                 |_, text, _| go_settings(text)),
    ("*/go.env",                         |_, text, _| go_settings(text)),
    ("*/.config/go/env",                 |_, text, _| go_settings(text)),
    ("/proc/sys/*",                      |path, text, _| setting(path, text)),
];

/// A file's content as it goes into the recording of this name.
pub(super) fn content(path: &Path, content: Vec<u8>, name: &str) -> Vec<u8> {
    let text_path = path.to_string_lossy();
    match CHANGES.iter().find(|(pattern, _)| Glob::new(pattern).matches(&text_path)) {
        Some((_, change)) => change(path, &String::from_utf8_lossy(&content), name).into_bytes(),
        None => content,
    }
}

/// A program, library or database of which only some bytes are read; nothing for one of which nothing is.
pub(super) fn program(file: &File) -> Option<Vec<u8>> {
    go_buildinfo::shrink(file)
        .ok()
        .flatten()
        .or_else(|| libc::shrink(file).ok().flatten())
        .or_else(|| packages::shrink_rpm(file))
        .or_else(|| first_line(file))
}

/// The first line of the time zone database's source.
fn first_line(file: &File) -> Option<Vec<u8>> {
    let mut head = vec![0; 256];
    let read = file.read_at(&mut head, 0).ok()?;
    let end = head[..read].iter().position(|byte| *byte == b'\n')?;
    head.truncate(end + 1);
    head.starts_with(b"# version ").then_some(head)
}

/// Keys of hash functions only as set or unset; all others as they are.
fn setting(path: &Path, text: &str) -> String {
    let key = path.strip_prefix("/proc/sys").unwrap_or(path).to_string_lossy().replace('/', ".");
    match rules::of(&key) {
        Treatment::SetOrUnset if text.bytes().any(|byte| byte.is_ascii_hexdigit() && byte != b'0') => {
            "1\n".to_owned()
        }
        Treatment::SetOrUnset => "0\n".to_owned(),
        Treatment::Send | Treatment::Leave => text.to_owned(),
    }
}

/// The lines that set up Go, without passwords. All others of `/etc/environment` may be anything.
fn go_settings(text: &str) -> String {
    let of_go = |line: &&str| {
        let line = line.trim();
        let name = line.strip_prefix("export ").unwrap_or(line).trim_start();
        (name.starts_with("GO") || name.starts_with("CGO_ENABLED=")) && !name.starts_with("GOAUTH=")
    };
    text.lines().filter(of_go).fold(String::new(), |kept, line| kept + &credentials::strike(line) + "\n")
}

fn machine_id(name: &str) -> String {
    format!("{}\n", &hex("machine id", name)[..32])
}

/// A locally administered address.
fn address(path: &Path, name: &str) -> String {
    let hex = hex(&path.to_string_lossy(), name);
    let bytes: Vec<_> = (0..10).step_by(2).map(|at| &hex[at..at + 2]).collect();
    format!("02:{}\n", bytes.join(":"))
}

fn host_key(path: &Path, name: &str) -> String {
    format!("recorded {}\n", hex(&path.to_string_lossy(), name))
}

/// Something that differs for each recording, and is the same each time that it is made.
fn hex(what: &str, name: &str) -> String {
    blake3::hash(format!("{what} of {name}").as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(path: &str, text: &str) -> String {
        String::from_utf8(content(Path::new(path), text.as_bytes().to_vec(), "web-1")).unwrap()
    }

    #[test]
    fn what_is_unique_is_replaced_and_stays_of_its_kind() {
        assert_eq!(redacted("/etc/hostname", "canary\n"), "web-1\n");
        let id = redacted("/etc/machine-id", "canary\n");
        assert!(id.len() == 33 && id.trim().bytes().all(|byte| byte.is_ascii_hexdigit()));
        let address = redacted("/sys/class/net/eth0/address", "52:54:00:ca:na:ry\n");
        assert!(address.starts_with("02:") && address.len() == 18, "{address}");
        assert_ne!(address, redacted("/sys/class/net/eth1/address", "52:54:00:ca:na:ry\n"));
        assert!(
            !redacted("/etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 canary root@canary")
                .contains("canary")
        );
    }

    #[test]
    fn what_is_not_sent_stays_on_the_machine() {
        assert_eq!(redacted("/proc/cmdline", "root=UUID=canary nosmt\n"), "nosmt\n");
        assert_eq!(redacted("/proc/sys/net/ipv4/tcp_fastopen_key", "ca0a-1\n"), "1\n");
        assert_eq!(redacted("/proc/sys/net/ipv4/tcp_fastopen_key", "0000-0000\n"), "0\n");
        let status = "Package: tzdata\nMaintainer: canary\nVersion: 1\n\nPackage: x\n";
        assert_eq!(redacted("/var/lib/dpkg/status", status), "Package: tzdata\nVersion: 1\n\nPackage: x\n");
        let environment = "TOKEN=canary\nexport GOPROXY=https://a:canary@b.c,direct\nGOAUTH=canary\n";
        assert_eq!(redacted("/etc/environment", environment), "export GOPROXY=https://***@b.c,direct\n");
        assert_eq!(
            redacted("/root/.config/go/env", environment),
            redacted("/usr/local/go/go.env", environment)
        );
        assert_eq!(redacted("/proc/meminfo", "MemTotal: 1 kB\nMemFree: 7 kB\n"), "MemTotal: 1 kB\n");
    }

    #[test]
    fn settings_go_in_as_they_are() {
        assert_eq!(redacted("/proc/sys/vm/swappiness", "60\n"), "60\n");
    }
}
