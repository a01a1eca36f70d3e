//! Source `identity`: what must be unique to each machine. A duplicate means a cloned one.
//!
//! In a section of its own, so that it spoils the sharing of no other. What could be used to impersonate or to track a
//! machine leaves it only as a keyed digest: the machine id (machine-id(5) asks for that) and the SSH host keys.

use std::io;
use std::path::Path;

use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder};

use crate::{Budget, Declared, Host, Source, SourcesConfig};

const MAX_BYTES: usize = 16 * 1024;
const INTERFACES: &str = "/sys/class/net";
const SSH: &str = "/etc/ssh";

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "identity.hostname", what: "the host name", from: "/proc/sys/kernel/hostname, /etc/hostname" },
    Declared { path: "identity.domainname", what: "the NIS domain name", from: "/proc/sys/kernel/domainname" },
    Declared { path: "identity.machine_id", what: "machine-id(5), hashed", from: "/etc/machine-id" },
    Declared { path: "identity.mac[INTERFACE]", what: "address of a network interface that is a device", from: "/sys/class/net" },
    Declared { path: "identity.ssh_host_key[TYPE]", what: "an SSH host key, hashed", from: "/etc/ssh" },
];

/// See the module.
#[derive(Debug)]
pub struct Identity;

impl Source for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &["identity"]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn collect(&self, host: &Host, _: &SourcesConfig, _: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new("identity");
        note(&mut section, FactPath::known("identity.hostname"), host_name(host));
        note(&mut section, FactPath::known("identity.domainname"), domain_name(host));
        note(&mut section, FactPath::known("identity.machine_id"), machine_id(host));
        each(&mut section, "identity.mac", mac_addresses(host));
        each(&mut section, "identity.ssh_host_key", ssh_host_keys(host));
        vec![section.finish()]
    }
}

/// The host's name: a label, never an identity. As the kernel has it; below a root whose kernel names this process's
/// own namespace (a pod), as `/etc/hostname` has it.
pub fn host_name(host: &Host) -> io::Result<String> {
    let file = |path| word(host.read_text(path, MAX_BYTES)?);
    if host.is_own_name() {
        match file("/proc/sys/kernel/hostname") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
    }
    file("/etc/hostname")
}

fn domain_name(host: &Host) -> io::Result<String> {
    match word(host.read_text("/proc/sys/kernel/domainname", MAX_BYTES)?) {
        Ok(name) if name == "(none)" => Err(io::ErrorKind::NotFound.into()),
        other => other,
    }
}

fn machine_id(host: &Host) -> io::Result<String> {
    let id = match host.read_text("/etc/machine-id", MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            host.read_text("/var/lib/dbus/machine-id", MAX_BYTES)
        }
        other => other,
    }?;
    // The file of an image that was never booted is empty, or says so.
    word(id).and_then(|id| {
        if id == "uninitialized" {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(hashed("machine id", &id))
        }
    })
}

/// Interface names and addresses of physical interfaces: those whose device is not a virtual one.
fn mac_addresses(host: &Host) -> io::Result<Vec<(String, io::Result<String>)>> {
    let mut addresses = Vec::new();
    for entry in host.list(INTERFACES)? {
        let path = Path::new(INTERFACES).join(&entry.name);
        let physical =
            host.read_link(&path).is_ok_and(|target| !target.to_string_lossy().contains("/virtual/"));
        if physical {
            let address = host.read_text(path.join("address"), MAX_BYTES).and_then(word);
            addresses.push((entry.name.to_string_lossy().into_owned(), address));
        }
    }
    Ok(addresses)
}

/// Kinds (`ed25519`) and digests of the public host keys.
fn ssh_host_keys(host: &Host) -> io::Result<Vec<(String, io::Result<String>)>> {
    let mut keys = Vec::new();
    for entry in host.list(SSH)? {
        let name = entry.name.to_string_lossy();
        if let Some(kind) = name.strip_prefix("ssh_host_").and_then(|rest| rest.strip_suffix("_key.pub")) {
            let key = host.read_text(Path::new(SSH).join(&entry.name), MAX_BYTES);
            // TYPE KEY COMMENT: the comment is the name of whoever made it.
            let digest = key.and_then(|text| {
                let key = text.split_ascii_whitespace().nth(1).ok_or(io::ErrorKind::InvalidData)?;
                Ok(hashed("ssh host key", key))
            });
            keys.push((kind.to_owned(), digest));
        }
    }
    Ok(keys)
}

fn each(section: &mut SectionBuilder, family: &str, found: io::Result<Vec<(String, io::Result<String>)>>) {
    match found {
        Ok(found) => {
            for (key, value) in found {
                note(section, FactPath::keyed(family, &key), value);
            }
        }
        Err(error) => note(section, FactPath::known(family), Err(error)),
    }
}

fn note(section: &mut SectionBuilder, path: FactPath, value: io::Result<String>) {
    match value {
        Ok(value) => section.present(path, value),
        Err(error) => match Reason::of_io(&error) {
            Some(reason) => section.observe(path, Observation::Unreadable(reason)),
            None => return,
        },
    };
}

/// A digest that says whether two machines have the same, and nothing else: the purpose is part of the key, so that it
/// is no other program's digest of the same text.
fn hashed(purpose: &str, text: &str) -> String {
    let digest = blake3::derive_key(&format!("evenkeel identity 1: {purpose}"), text.as_bytes());
    digest.iter().fold("blake3:".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// The text without blanks around; `NotFound` if there is none.
fn word(text: impl AsRef<str>) -> io::Result<String> {
    let text = text.as_ref().trim();
    if text.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_hide_the_text_and_depend_on_the_purpose() {
        let id = "0123456789abcdef0123456789abcdef";
        let digest = hashed("machine id", id);
        assert_eq!(digest, hashed("machine id", id));
        assert!(!digest.contains(id) && digest.len() == 7 + 64);
        assert_ne!(digest, hashed("ssh host key", id));
    }
}
