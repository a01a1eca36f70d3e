//! Source `time`: the time zone, and which edition of the time zone database says what it means.
//!
//! - `time.zone`: the name, such as `Europe/Berlin`
//! - `time.rule`: the POSIX rule that holds for the future, such as `CET-1CEST,M3.5.0,M10.5.0/3`, from the zone's file
//! - `time.transitions`: when the local clock jumps until the end of the year after next, by the zone's file
//! - `time.service`, `time.servers`, `time.synchronised`: who keeps the clock right, and whether it is
//! - `tzdata.version`: the edition, such as `2025b`
//! - `tzdata.package`: the version of the distribution's package, where there is one

pub(crate) mod clock;
pub(crate) mod transitions;

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder, Value};
use jiff::Timestamp;

use crate::{Budget, Declared, Host, Source, SourcesConfig, packages};

const LOCALTIME: &str = "/etc/localtime";
const ZONEINFO: &str = "/usr/share/zoneinfo";
/// The largest zone file of 2025 has 3.5 KB.
const MAX_ZONE_BYTES: usize = 256 * 1024;
const MAX_NAME_BYTES: usize = 4096;

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "time.zone", what: "the zone's name", from: "/etc/localtime, /etc/timezone" },
    Declared { path: "time.rule", what: "the POSIX rule that holds for the future", from: "/etc/localtime" },
    Declared { path: "time.transitions", what: "when the local clock jumps until the end of the year after next", from: "/etc/localtime" },
    Declared { path: "time.service", what: "the services that are to keep the clock right", from: "systemd's links" },
    Declared { path: "time.servers", what: "the servers that they are told to ask", from: "timesyncd.conf, chrony.conf, ntp.conf" },
    Declared { path: "time.synchronised", what: "whether the clock is kept right, as its service has told the kernel; where the kernel may not be asked, whether systemd-timesyncd has set it since boot", from: "adjtimex(2), /run/systemd/timesync" },
    Declared { path: "tzdata.version", what: "edition of the time zone database: `2025b`", from: "/usr/share/zoneinfo/tzdata.zi, or the package's version" },
    Declared { path: "tzdata.package", what: "version of the distribution's package", from: "the package database" },
];

/// See the module.
#[derive(Debug)]
pub struct Time;

impl Source for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &["time", "tzdata"]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn collect(&self, host: &Host, _: &SourcesConfig, budget: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new("time");
        section.observe(FactPath::known("time.zone"), zone(host));
        let zone = host.read(LOCALTIME, MAX_ZONE_BYTES);
        let transitions = match &zone {
            Ok(zone) => transitions::of(zone, Timestamp::now()),
            // Without the file the clock is UTC, which never jumps.
            Err(error) => {
                Reason::of_io(error).map_or(Observation::Present("none".into()), Observation::Unreadable)
            }
        };
        section.observe(FactPath::known("time.transitions"), transitions);
        clock::collect(host, &mut section);
        let rule = zone.and_then(|zone| {
            parse_rule(&zone).map(str::to_owned).ok_or_else(|| io::ErrorKind::InvalidData.into())
        });
        section.observe(FactPath::known("time.rule"), seen(rule));
        // The whole database would be read for it at every look.
        let package = host.while_unchanged("tzdata", || {
            let version = packages::version_of(host, budget, "tzdata");
            (version.clone(), version.is_ok())
        });
        let package = match package {
            Ok(version) => {
                version.map_or(Observation::Absent, |version| Observation::Present(version.into()))
            }
            Err(reason) => Observation::Unreadable(reason),
        };
        let version = match (edition(host), &package) {
            (Err(error), Observation::Present(version)) if error.kind() == io::ErrorKind::NotFound => {
                Observation::Present(upstream_of(&version.to_string()).into())
            }
            (edition, _) => seen(edition),
        };
        section.observe(FactPath::known("tzdata.version"), version);
        section.observe(FactPath::known("tzdata.package"), package);
        vec![section.finish()]
    }
}

/// The name of the zone that this machine's clock shows, where it can be told.
pub(crate) fn zone_name(host: &Host) -> Option<String> {
    match zone(host) {
        Observation::Present(name) => Some(name.to_string()),
        Observation::Absent | Observation::Unreadable(_) => None,
    }
}

fn seen(value: io::Result<String>) -> Observation {
    match value {
        Ok(value) => Observation::Present(Value::Text(value)),
        Err(error) => Reason::of_io(&error).map_or(Observation::Absent, Observation::Unreadable),
    }
}

/// The zone that `/etc/localtime` links to; UTC without that file (localtime(5)). A copy instead of a link has no name,
/// but `/etc/timezone` may have it.
fn zone(host: &Host) -> Observation {
    let named = || match host.read_text("/etc/timezone", MAX_NAME_BYTES) {
        Ok(text) if !text.trim().is_empty() => Observation::Present(text.trim().into()),
        Ok(_) => Observation::Unreadable(Reason::Unsupported),
        Err(error) => Observation::Unreadable(Reason::of_io(&error).unwrap_or(Reason::Unsupported)),
    };
    match host.read_link(LOCALTIME) {
        Ok(target) => zone_of_link(&target).map_or_else(named, |zone| Observation::Present(zone.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Observation::Present("UTC".into()),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => named(),
        Err(error) => Observation::Unreadable(Reason::of_io(&error).unwrap_or(Reason::Io)),
    }
}

/// The name behind `…/zoneinfo/`, without the editions `posix/` and `right/`.
fn zone_of_link(target: &Path) -> Option<&str> {
    let (_, zone) = target.to_str()?.split_once("/zoneinfo/")?;
    let zone = zone.strip_prefix("posix/").unwrap_or(zone);
    (!zone.is_empty()).then_some(zone)
}

/// The last line of a zone file of version 2 and later (RFC 9636): the rule for times behind the last transition. It
/// is empty where no rule can say it.
fn parse_rule(zone: &[u8]) -> Option<&str> {
    let body = zone.strip_prefix(b"TZif")?.strip_suffix(b"\n")?;
    let start = body.iter().rposition(|byte| *byte == b'\n')? + 1;
    std::str::from_utf8(&body[start..]).ok().filter(|rule| rule.is_ascii())
}

/// The edition as the database itself says it: the first line of its source, or a file of its own.
fn edition(host: &Host) -> io::Result<String> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    match first_bytes(host, &format!("{ZONEINFO}/tzdata.zi")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = host.read_text(format!("{ZONEINFO}/+VERSION"), MAX_NAME_BYTES)?;
            text.lines()
                .next()
                .map(|line| line.trim().to_owned())
                .filter(|line| !line.is_empty())
                .ok_or_else(malformed)
        }
        other => parse_edition(&other?).map(str::to_owned).ok_or_else(malformed),
    }
}

/// The file has 110 KB, of which the first line is wanted.
fn first_bytes(host: &Host, path: &str) -> io::Result<Vec<u8>> {
    let file = host.open_regular(path)?;
    let mut head = vec![0; 256];
    let read = file.read_at(&mut head, 0)?;
    head.truncate(read);
    Ok(head)
}

fn parse_edition(head: &[u8]) -> Option<&str> {
    let line = head.strip_prefix(b"# version ")?.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok().map(str::trim).filter(|edition| !edition.is_empty())
}

/// `2025b` of `2025b-0+deb12u2`, `1:2025b-1` and `2025b-r0`.
fn upstream_of(version: &str) -> &str {
    let behind_epoch = version.split_once(':').map_or(version, |(_, rest)| rest);
    behind_epoch.rsplit_once('-').map_or(behind_epoch, |(upstream, _)| upstream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_of_links() {
        for (target, zone) in [
            ("/usr/share/zoneinfo/Europe/Berlin", Some("Europe/Berlin")),
            ("../usr/share/zoneinfo/Etc/UTC", Some("Etc/UTC")),
            ("/usr/share/zoneinfo/posix/UTC", Some("UTC")),
            ("/usr/share/zoneinfo/right/UTC", Some("right/UTC")),
            ("/somewhere/else", None),
        ] {
            assert_eq!(zone_of_link(Path::new(target)), zone);
        }
    }

    #[test]
    fn the_rule_is_the_last_line() {
        assert_eq!(
            parse_rule(b"TZif2\0\0...\nCET-1CEST,M3.5.0,M10.5.0/3\n"),
            Some("CET-1CEST,M3.5.0,M10.5.0/3")
        );
        assert_eq!(parse_rule(b"TZif2\0\n\n"), Some(""));
        assert_eq!(parse_rule(b"no zone\nUTC0\n"), None);
        assert_eq!(parse_rule(b"TZif"), None);
    }

    #[test]
    fn editions_and_packages() {
        assert_eq!(parse_edition(b"# version 2024a\n# ddeps"), Some("2024a"));
        assert_eq!(parse_edition(b"# This file"), None);
        for version in ["2024a-0+deb12u1", "1:2024a-1", "2024a-r0", "2024a"] {
            assert_eq!(upstream_of(version), "2024a");
        }
    }
}
