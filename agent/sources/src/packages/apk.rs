//! apk's database: one file of paragraphs whose fields are single letters.

use std::path::Path;

use evenkeel_facts::Reason;

use super::Package;
use super::paragraphs::{each_paragraph, lines, text};
use crate::{Budget, Host};

/// Where apk 2 keeps it, and where apk 3 does.
const FILES: [&str; 2] = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];

/// Adds what is installed: everything that is in the database.
pub(super) fn read(host: &Host, budget: &Budget, packages: &mut Vec<Package>) -> Result<bool, Reason> {
    // With a merged /usr both are one file.
    let file = FILES.into_iter().find(|file| host.exists(file)).unwrap_or(FILES[0]);
    let mut malformed = false;
    let found = each_paragraph(host, Path::new(file), budget, |paragraph| {
        let mut package = Package::default();
        let (mut any, mut seen) = (false, 0_u8);
        for line in lines(paragraph) {
            any = true;
            let [field, b':', value @ ..] = line else { continue };
            let (field, bit) = match field {
                b'P' => (&mut package.name, 1),
                b'A' => (&mut package.architecture, 2),
                b'V' => (&mut package.version, 4),
                _ => continue,
            };
            text(value).filter(|value| *value != "noarch").unwrap_or_default().clone_into(field);
            seen |= bit;
            // The files of the package follow, which are most of the database.
            if seen == 7 {
                break;
            }
        }
        malformed |= any && package.name.is_empty();
        if !package.name.is_empty() {
            packages.push(package);
        }
    })?;
    if malformed { Err(Reason::Partial) } else { Ok(found) }
}

/// The fields that are read and nothing else, for recorded hosts.
pub(crate) fn redacted(database: &str) -> String {
    let kept = ["P:", "V:", "A:"];
    let lines =
        database.lines().filter(|line| line.is_empty() || kept.iter().any(|name| line.starts_with(name)));
    lines.fold(String::new(), |text, line| text + line + "\n")
}
