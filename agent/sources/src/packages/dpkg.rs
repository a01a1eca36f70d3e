//! dpkg's database: one file of paragraphs, and the journal of a dpkg that is at work.

use std::path::{Path, PathBuf};

use evenkeel_facts::Reason;

use super::Package;
use super::paragraphs::{each_paragraph, lines, text};
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
    packages.extend(known.installed());
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

/// What the files said, in their order.
#[derive(Debug, Default)]
struct Known {
    /// Of packages that are not installed, too: a later file may say so of one that was.
    said: Vec<(Package, bool)>,
    /// Whether a paragraph was none of a package.
    malformed: bool,
}

impl Known {
    fn file(&mut self, host: &Host, budget: &Budget, file: &Path) -> Result<bool, Reason> {
        each_paragraph(host, file, budget, |paragraph| self.paragraph(paragraph))
    }

    fn paragraph(&mut self, paragraph: &[u8]) {
        let mut any = false;
        let [mut name, mut architecture, mut version, mut status] = [None; 4];
        for line in lines(paragraph) {
            any = true;
            if !matches!(line[0], b'P' | b'S' | b'V' | b'A') {
                continue;
            }
            let Some(colon) = line.iter().take(16).position(|byte| *byte == b':') else { continue };
            let field = match &line[..colon] {
                b"Package" => &mut name,
                b"Architecture" => &mut architecture,
                b"Version" => &mut version,
                b"Status" => &mut status,
                _ => continue,
            };
            *field = text(&line[colon + 1..]);
            // dpkg writes each field once, and these before the long ones.
            if name.is_some() && architecture.is_some() && version.is_some() && status.is_some() {
                break;
            }
        }
        if !any {
            return;
        }
        let Some(name) = name else {
            self.malformed = true;
            return;
        };
        // The files of small images have no status: they are there.
        let (installed, state) = match status.map(|status| status.rsplit(' ').next().unwrap_or(status)) {
            None | Some("installed" | "triggers-awaited" | "triggers-pending") => (true, None),
            Some("unpacked") => (true, Some("unpacked")),
            Some("half-configured") => (true, Some("half-configured")),
            Some("half-installed") => (true, Some("half-installed")),
            Some("not-installed" | "config-files") => (false, None),
            Some(_) => {
                self.malformed = true;
                return;
            }
        };
        let package = Package {
            name: name.to_owned(),
            // Packages for all architectures belong to none.
            architecture: architecture.filter(|own| *own != "all").unwrap_or_default().to_owned(),
            version: version.unwrap_or_default().to_owned(),
            state,
        };
        self.said.push((package, installed));
    }

    /// What is installed, by name and architecture: what was said last of each package counts.
    fn installed(mut self) -> impl Iterator<Item = Package> {
        let same = |a: &Package, b: &Package| (&a.name, &a.architecture) == (&b.name, &b.architecture);
        // The status file is in order already, and equal ones stay in theirs.
        self.said.sort_by(|(a, _), (b, _)| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
        let mut said = self.said.into_iter().peekable();
        std::iter::from_fn(move || {
            loop {
                let (package, installed) = said.next()?;
                let is_last = said.peek().is_none_or(|(next, _)| !same(next, &package));
                if is_last && installed {
                    return Some(package);
                }
            }
        })
    }
}

/// The fields that are read and nothing else, for recorded hosts.
pub(crate) fn redacted(database: &str) -> String {
    let kept = ["Package: ", "Status: ", "Version: ", "Architecture: "];
    let lines =
        database.lines().filter(|line| line.is_empty() || kept.iter().any(|name| line.starts_with(name)));
    lines.fold(String::new(), |text, line| text + line + "\n")
}
