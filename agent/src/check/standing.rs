//! As whom the agent looks: user, capabilities, namespaces, sandbox. What may be seen follows from these.

use std::fmt::Write as _;

use evenkeel_sources::Host;

/// Capabilities that let an agent see more, by their bit (linux/capability.h), and what.
const GAINS: &[(u32, &str, &str)] = &[
    (19, "CAP_SYS_PTRACE", "what other users' processes run"),
    (21, "CAP_SYS_ADMIN", "who changed a kernel parameter"),
];
const MAX_BYTES: usize = 64 * 1024;

/// Lines that say as whom the agent looks, and what each missing capability would show.
pub(super) fn told(host: &Host) -> String {
    let status = Host::live().read_text("/proc/self/status", MAX_BYTES).unwrap_or_default();
    let mut text = format!("looking as {}{}\n", user(&status), place(host));
    for (bit, name, what) in GAINS {
        match capabilities(&status) {
            Some(own) if own >> bit & 1 == 1 => {}
            Some(_) => {
                let _ = writeln!(text, "without {name}, which would show {what}");
            }
            None => {}
        }
    }
    for hidden in host.hidden() {
        let _ = writeln!(text, "{hidden} is hidden by the agent's own sandbox");
    }
    text
}

fn user(status: &str) -> String {
    match field(status, "Uid:").and_then(|ids| ids.split_ascii_whitespace().nth(1)) {
        Some("0") => "root".to_owned(),
        Some(id) => format!("user {id}"),
        None => "an unknown user".to_owned(),
    }
}

fn place(host: &Host) -> &'static str {
    match (host.is_live(), host.shares_network(), host.shares_ipc()) {
        (true, ..) => ", at the machine itself",
        (false, true, true) => ", below a root",
        (false, false, true) => ", below a root, from another network namespace",
        (false, true, false) => ", below a root, from another IPC namespace",
        (false, false, false) => ", below a root, from other network and IPC namespaces",
    }
}

/// The effective ones.
fn capabilities(status: &str) -> Option<u64> {
    u64::from_str_radix(field(status, "CapEff:")?, 16).ok()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_capabilities_of_a_process() {
        let status = "Name:\tevenkeel-agent\nUid:\t1000\t998\t998\t998\nCapEff:\t0000000000080000\n";
        assert_eq!(user(status), "user 998");
        assert_eq!(user("Uid:\t0\t0\t0\t0\n"), "root");
        assert_eq!(capabilities(status), Some(1 << 19));
        assert_eq!(capabilities("CapEff:\tx\n"), None);
    }

    #[test]
    fn every_line_fits_the_terminal() {
        for (_, name, what) in GAINS {
            assert!(format!("without {name}, which would show {what}").len() <= super::super::WIDTH);
        }
    }
}
