//! Who keeps the clock right, and whether it is.
//!
//! - `time.service`: the services that are to do it at boot (`systemd-timesyncd`, `chrony`, `ntpd` …), by systemd's links
//! - `time.servers`: the servers that their configuration names, in order of their names
//! - `time.synchronised`: whether it is, as the service that keeps it has told the kernel; where the kernel may not be
//!   asked or is another machine's, whether systemd-timesyncd has set the clock since boot

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use evenkeel_facts::{FactPath, Observation, Reason, SectionBuilder};

use crate::{Host, drop_ins};

const MAX_BYTES: usize = 256 * 1024;
/// Where systemd links what is to be started.
const WANTS: &[&str] =
    &["/etc/systemd/system/sysinit.target.wants", "/etc/systemd/system/multi-user.target.wants"];
/// Units, and the name of the service.
const SERVICES: &[(&str, &str)] = &[
    ("systemd-timesyncd.service", "systemd-timesyncd"),
    ("chrony.service", "chrony"),
    ("chronyd.service", "chrony"),
    ("ntpsec.service", "ntpsec"),
    ("ntp.service", "ntpd"),
    ("ntpd.service", "ntpd"),
    ("openntpd.service", "openntpd"),
];
const SET: &str = "/run/systemd/timesync/synchronized";
const TIMESYNCD: [&str; 2] = ["/etc/systemd/timesyncd.conf", "/usr/lib/systemd/timesyncd.conf"];
const TIMESYNCD_DROP_INS: &[&str] = &[
    "/etc/systemd/timesyncd.conf.d",
    "/run/systemd/timesyncd.conf.d",
    "/usr/local/lib/systemd/timesyncd.conf.d",
    "/usr/lib/systemd/timesyncd.conf.d",
];
/// Lines of `server NAME …` and `pool NAME …`.
const OTHERS: &[&str] =
    &["/etc/chrony/chrony.conf", "/etc/chrony.conf", "/etc/ntpsec/ntp.conf", "/etc/ntp.conf"];
const OTHERS_DROP_INS: &[(&[&str], &str)] = &[
    (&["/etc/chrony/conf.d"], ".conf"),
    (&["/etc/chrony/sources.d"], ".sources"),
    (&["/etc/chrony.d"], ".conf"),
];

pub(super) fn collect(host: &Host, section: &mut SectionBuilder) {
    let services = SERVICES.iter().filter(|(unit, _)| {
        // The link itself: the unit may be where the agent cannot look.
        WANTS.iter().any(|wants| host.read_link(format!("{wants}/{unit}")).is_ok())
    });
    let services: BTreeSet<&str> = services.map(|(_, service)| *service).collect();
    let timesyncd = services.contains("systemd-timesyncd");
    let named = |names: Vec<&str>| {
        if names.is_empty() { Observation::Absent } else { Observation::Present(names.join(" ").into()) }
    };
    section.observe(FactPath::known("time.service"), named(services.into_iter().collect()));
    section.observe(
        FactPath::known("time.servers"),
        match servers(host) {
            Ok(servers) => named(servers.iter().map(String::as_str).collect()),
            Err(reason) => Observation::Unreadable(reason),
        },
    );
    let synchronised = match host.clock_is_synchronised() {
        Ok(Some(is)) => Observation::Present(is.into()),
        Ok(None) => by_file(host, timesyncd, Reason::Unsupported),
        Err(error) => by_file(host, timesyncd, Reason::of_io(&error).unwrap_or(Reason::Unsupported)),
    };
    section.observe(FactPath::known("time.synchronised"), synchronised);
}

/// As systemd-timesyncd tells it by a file; where nothing tells it, `otherwise` is why.
fn by_file(host: &Host, timesyncd: bool, otherwise: Reason) -> Observation {
    match host.stat(SET) {
        Ok(_) => Observation::Present(true.into()),
        Err(error) => match Reason::of_io(&error) {
            Some(reason) => Observation::Unreadable(reason),
            None if timesyncd && host.exists("/run/systemd/system") => Observation::Present(false.into()),
            None => Observation::Unreadable(otherwise),
        },
    }
}

fn servers(host: &Host) -> Result<BTreeSet<String>, Reason> {
    let mut servers = BTreeSet::new();
    let read = |file: &Path| {
        drop_ins::read(host, file, MAX_BYTES).map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    let mut text = String::new();
    let first = TIMESYNCD.iter().find(|file| host.exists(file)).map(PathBuf::from);
    for file in first.into_iter().chain(drop_ins::files(host, TIMESYNCD_DROP_INS, ".conf")?) {
        text.push_str(&read(&file)?);
        text.push('\n');
    }
    servers.extend(of_timesyncd(&text));
    let mut files: Vec<PathBuf> = OTHERS.iter().map(PathBuf::from).collect();
    for (directories, suffix) in OTHERS_DROP_INS {
        files.extend(drop_ins::files(host, directories, suffix)?);
    }
    for file in files {
        servers.extend(of_others(&read(&file)?));
    }
    Ok(servers)
}

/// `NTP=` adds, and an empty one takes back (timesyncd.conf(5)).
fn of_timesyncd(text: &str) -> Vec<String> {
    let mut servers = Vec::new();
    for value in text.lines().filter_map(|line| line.trim().strip_prefix("NTP=")) {
        if value.trim().is_empty() {
            servers.clear();
        }
        servers.extend(value.split_ascii_whitespace().map(str::to_owned));
    }
    servers
}

fn of_others(text: &str) -> Vec<String> {
    let of_line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        matches!(words.next()?, "server" | "pool" | "peer").then(|| words.next().map(str::to_owned))?
    };
    text.lines().filter_map(of_line).collect()
}

/// The lines that name servers, for recorded hosts: chrony's file may hold the keys of others.
pub(crate) fn redacted(text: &str) -> String {
    let kept = |line: &&str| line.trim().starts_with("NTP=") || !of_others(line).is_empty();
    text.lines().filter(kept).fold(String::new(), |all, line| all + line + "\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn servers_and_services_by_their_files() {
        let root = TempDir::new().unwrap();
        let at = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        fs::write(
            at("etc/chrony/chrony.conf"),
            "# c\npool 2.debian.pool.ntp.org iburst\nkeyfile /etc/k\nserver a.example key 1\n",
        )
        .unwrap();
        fs::write(at("etc/chrony/sources.d/x.sources"), "server b.example\n").unwrap();
        fs::write(at("etc/systemd/timesyncd.conf"), "[Time]\n#NTP=no\nNTP=gone.example\n").unwrap();
        fs::write(at("etc/systemd/timesyncd.conf.d/x.conf"), "[Time]\nNTP=\nNTP=t1.example t2.example\n")
            .unwrap();
        symlink(
            "/lib/systemd/system/chrony.service",
            at("etc/systemd/system/multi-user.target.wants/chrony.service"),
        )
        .unwrap();
        let host = Host::at(root.path()).unwrap();
        let seen = |path: &str| {
            let mut section = SectionBuilder::new("time");
            collect(&host, &mut section);
            section.find(path).cloned()
        };
        let present = |text: &str| Some(Observation::Present(text.into()));
        assert_eq!(
            seen("time.servers"),
            present("2.debian.pool.ntp.org a.example b.example t1.example t2.example")
        );
        assert_eq!(seen("time.service"), present("chrony"));
        assert_eq!(seen("time.synchronised"), Some(Observation::Unreadable(Reason::Unsupported)));

        symlink("/x", at("etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service")).unwrap();
        fs::create_dir_all(at("run/systemd/system/x").parent().unwrap()).unwrap();
        assert_eq!(seen("time.synchronised"), Some(Observation::Present(false.into())));
        fs::write(at("run/systemd/timesync/synchronized"), "").unwrap();
        assert_eq!(seen("time.synchronised"), Some(Observation::Present(true.into())));
        // What the kernel says counts more: the file only says that the clock was set once.
        fs::write(at(".evenkeel-clock"), "false\n").unwrap();
        assert_eq!(seen("time.synchronised"), Some(Observation::Present(false.into())));
        assert_eq!(redacted("keyfile x\n NTP=a\nserver b key 7\n"), " NTP=a\nserver b key 7\n");
    }
}
