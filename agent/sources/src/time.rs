//! Source `time`: the time zone, and which edition of the time zone database says what it means.
//!
//! - `time.zone`: the name, such as `Europe/Berlin`
//! - `time.rule`: the POSIX rule that holds for the future, such as `CET-1CEST,M3.5.0,M10.5.0/3`, from the zone's file
//! - `tzdata.version`: the edition, such as `2025b`
//! - `tzdata.package`: the version of the distribution's package, where there is one

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder, Value};

use crate::{Budget, Host, Source, SourcesConfig};

const LOCALTIME: &str = "/etc/localtime";
const ZONEINFO: &str = "/usr/share/zoneinfo";
/// The largest zone file of 2025 has 3.5 KB.
const MAX_ZONE_BYTES: usize = 256 * 1024;
const MAX_NAME_BYTES: usize = 4096;
/// 919 packages make 1 MB of it.
const MAX_STATUS_BYTES: usize = 32 * 1024 * 1024;

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

    fn collect(&self, host: &Host, _: &SourcesConfig, _: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new("time");
        section.observe(FactPath::known("time.zone"), zone(host));
        let rule = host.read(LOCALTIME, MAX_ZONE_BYTES).and_then(|zone| {
            parse_rule(&zone).map(str::to_owned).ok_or_else(|| io::ErrorKind::InvalidData.into())
        });
        section.observe(FactPath::known("time.rule"), seen(rule));
        let package = package(host);
        let upstream = package.as_deref().ok().map(|version| upstream_of(version).to_owned());
        let version = match edition(host) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => upstream.ok_or(error),
            other => other,
        };
        section.observe(FactPath::known("tzdata.version"), seen(version));
        section.observe(FactPath::known("tzdata.package"), seen(package));
        vec![section.finish()]
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

/// The version of package tzdata by the database of dpkg, or of apk.
fn package(host: &Host) -> io::Result<String> {
    let absent = || io::Error::from(io::ErrorKind::NotFound);
    match host.read("/var/lib/dpkg/status", MAX_STATUS_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let installed = host.read("/lib/apk/db/installed", MAX_STATUS_BYTES)?;
            field_of(&installed, "P:tzdata", "V:").ok_or_else(absent)
        }
        other => {
            let status = other?;
            let stanza = stanza_of(&status, "Package: tzdata").ok_or_else(absent)?;
            let installed =
                stanza.lines().any(|line| line.starts_with("Status: ") && line.ends_with(" installed"));
            if installed { field(stanza, "Version: ").ok_or_else(absent) } else { Err(absent()) }
        }
    }
}

/// The paragraph of tzdata and nothing else of a package database, for recorded hosts.
pub(crate) fn redacted(database: &str) -> String {
    let database = database.as_bytes();
    let stanza = stanza_of(database, "Package: tzdata").or_else(|| stanza_of(database, "P:tzdata"));
    let kept = |line: &&str| {
        ["Package: ", "Status: ", "Version: ", "P:", "V:"].iter().any(|name| line.starts_with(name))
    };
    stanza.unwrap_or_default().lines().filter(kept).fold(String::new(), |text, line| text + line + "\n")
}

fn field_of(database: &[u8], first: &str, name: &str) -> Option<String> {
    field(stanza_of(database, first)?, name)
}

fn field(stanza: &str, name: &str) -> Option<String> {
    stanza.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
}

/// The paragraph that has this line. Databases of packages are paragraphs that end in an empty line.
fn stanza_of<'a>(database: &'a [u8], line: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(database).ok()?;
    let whole_line = |at: usize| {
        let ends = text[at + line.len()..].starts_with('\n');
        ends && (at == 0 || text[..at].ends_with('\n'))
    };
    let at = text.match_indices(line).map(|(at, _)| at).find(|at| whole_line(*at))?;
    let start = text[..at].rfind("\n\n").map_or(0, |end| end + 2);
    let end = text[at..].find("\n\n").map_or(text.len(), |end| at + end);
    Some(&text[start..end])
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

    #[test]
    fn a_stanza_is_found_by_a_whole_line() {
        let status = b"Package: tzdata-legacy\nVersion: 1\n\nPackage: tzdata\nStatus: install ok installed\nVersion: 2025b-0\n\nPackage: x\n";
        assert_eq!(field_of(status, "Package: tzdata", "Version: ").as_deref(), Some("2025b-0"));
        assert_eq!(stanza_of(status, "Package: tz"), None);
        assert_eq!(field_of(b"C:Q1\nP:tzdata\nV:2024a-r0\n", "P:tzdata", "V:").as_deref(), Some("2024a-r0"));
    }
}
