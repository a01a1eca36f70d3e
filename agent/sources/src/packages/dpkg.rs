//! dpkg's database: one file of paragraphs, and the journal of a dpkg that is at work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use evenkeel_facts::Reason;

use super::Package;
use super::paragraphs::{each_line, text};
use crate::host::Kind;
use crate::{Budget, Host};

const STATUS: &str = "/var/lib/dpkg/status";
/// Files that dpkg has not yet merged into [`STATUS`], by number: later ones count.
const UPDATES: &str = "/var/lib/dpkg/updates";
/// One file a package, in images built without dpkg.
const SINGLE: &str = "/var/lib/dpkg/status.d";

/// Adds what is installed.
pub(super) fn read(host: &Host, budget: &Budget, packages: &mut Vec<Package>) -> Result<bool, Reason> {
    let mut known = Known::default();
    let mut trouble = None;
    let mut found = false;
    let journal = files(host, UPDATES, |name| name.bytes().all(|byte| byte.is_ascii_digit()), &mut trouble);
    let single = files(host, SINGLE, |name| !name.ends_with(".md5sums"), &mut trouble);
    for file in [PathBuf::from(STATUS)].into_iter().chain(single).chain(journal) {
        match known.file(host, budget, &file) {
            Ok(there) => found |= there,
            Err(reason) => trouble = trouble.or(Some(reason)),
        }
    }
    let malformed = known.malformed.then_some(Reason::Partial);
    packages.extend(known.packages.into_values().flatten());
    trouble.or(malformed).map_or(Ok(found), Err)
}

/// The files of a directory whose names fit, in order.
fn files(
    host: &Host,
    directory: &str,
    fits: impl Fn(&str) -> bool,
    trouble: &mut Option<Reason>,
) -> Vec<PathBuf> {
    let entries = match host.list(directory) {
        Ok(entries) => entries,
        Err(error) => {
            *trouble = trouble.or(Reason::of_io(&error));
            return Vec::new();
        }
    };
    let files = entries.iter().filter(|entry| matches!(entry.kind, Kind::File | Kind::Symlink));
    files.filter(|e| e.name.to_str().is_some_and(&fits)).map(|e| Path::new(directory).join(&e.name)).collect()
}

/// By name and architecture; `None` is one that is not installed.
#[derive(Debug, Default)]
struct Known {
    packages: BTreeMap<(String, String), Option<Package>>,
    /// Whether a paragraph was none of a package.
    malformed: bool,
}

impl Known {
    fn file(&mut self, host: &Host, budget: &Budget, file: &Path) -> Result<bool, Reason> {
        let mut paragraph = Paragraph::default();
        each_line(host, file, budget, |line| {
            if line.is_empty() {
                self.add(std::mem::take(&mut paragraph));
            } else {
                paragraph.line(line);
            }
        })
    }

    fn add(&mut self, paragraph: Paragraph) {
        let Paragraph { any, name, architecture, version, status } = paragraph;
        if !any {
            return;
        }
        let Some(name) = name else {
            self.malformed = true;
            return;
        };
        // Packages for all architectures belong to none. The files of small images have no status: they are there.
        let architecture = architecture.filter(|own| own != "all").unwrap_or_default();
        let state = match status.as_deref().map(|status| status.rsplit(' ').next().unwrap_or(status)) {
            None | Some("installed" | "triggers-awaited" | "triggers-pending") => Some(None),
            Some("unpacked") => Some(Some("unpacked")),
            Some("half-configured") => Some(Some("half-configured")),
            Some("half-installed") => Some(Some("half-installed")),
            Some("not-installed" | "config-files") => None,
            Some(_) => {
                self.malformed = true;
                return;
            }
        };
        let package = state.map(|state| Package {
            name: name.clone(),
            architecture: architecture.clone(),
            version: version.unwrap_or_default(),
            state,
        });
        self.packages.insert((name, architecture), package);
    }
}

#[derive(Debug, Default)]
struct Paragraph {
    any: bool,
    name: Option<String>,
    architecture: Option<String>,
    version: Option<String>,
    status: Option<String>,
}

impl Paragraph {
    fn line(&mut self, line: &[u8]) {
        self.any = true;
        if !matches!(line[0], b'P' | b'S' | b'V' | b'A') {
            return;
        }
        let Some(colon) = line.iter().take(16).position(|byte| *byte == b':') else { return };
        let field = match &line[..colon] {
            b"Package" => &mut self.name,
            b"Architecture" => &mut self.architecture,
            b"Version" => &mut self.version,
            b"Status" => &mut self.status,
            _ => return,
        };
        *field = text(&line[colon + 1..]);
    }
}

/// The fields that are read and nothing else, for recorded hosts.
pub(crate) fn redacted(database: &str) -> String {
    let kept = ["Package: ", "Status: ", "Version: ", "Architecture: "];
    let lines =
        database.lines().filter(|line| line.is_empty() || kept.iter().any(|name| line.starts_with(name)));
    lines.fold(String::new(), |text, line| text + line + "\n")
}
