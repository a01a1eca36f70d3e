//! Source `os`: which distribution this is, from os-release(5).

use std::io;

use evenkeel_facts::{FactPath, Reason, Section, SectionBuilder};

use crate::{Budget, Declared, Host, Source, SourcesConfig};

/// The fields that are facts; each is `os.` and its name in lower case. Addresses of home pages and bug trackers say
/// nothing that these do not.
const FIELDS: &[&str] = &[
    "ID",
    "ID_LIKE",
    "VERSION_ID",
    "VERSION_CODENAME",
    "PRETTY_NAME",
    "VARIANT_ID",
    "BUILD_ID",
    "IMAGE_ID",
    "IMAGE_VERSION",
];
/// In the order in which os-release(5) wants them read.
const FILES: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
const MAX_BYTES: usize = 64 * 1024;

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "os.id", what: "the distribution: `debian`", from: "/etc/os-release, /usr/lib/os-release" },
    Declared { path: "os.id_like", what: "distributions that it is made from", from: "the same" },
    Declared { path: "os.version_id", what: "its release: `12`", from: "the same" },
    Declared { path: "os.version_codename", what: "the release's name", from: "the same" },
    Declared { path: "os.pretty_name", what: "both, for people", from: "the same" },
    Declared { path: "os.variant_id", what: "an edition of it", from: "the same" },
    Declared { path: "os.build_id", what: "the build that the system began as", from: "the same" },
    Declared { path: "os.image_id", what: "the image that it was installed from", from: "the same" },
    Declared { path: "os.image_version", what: "that image's version", from: "the same" },
];

/// See the module.
#[derive(Debug)]
pub struct Os;

impl Source for Os {
    fn name(&self) -> &'static str {
        "os"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &["os"]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn sees_only_files(&self) -> bool {
        true
    }

    fn collect(&self, host: &Host, _: &SourcesConfig, _: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new("os");
        match read(host) {
            Ok(text) => {
                for (field, value) in parse(&text) {
                    section.present(FactPath::known(&format!("os.{}", field.to_ascii_lowercase())), value);
                }
            }
            // Absent: a system without os-release, such as an empty container.
            Err(error) => {
                if let Some(reason) = Reason::of_io(&error) {
                    section.unreadable(FactPath::known("os"), reason);
                }
            }
        }
        vec![section.finish()]
    }
}

fn read(host: &Host) -> io::Result<String> {
    match host.read_text(FILES[0], MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => host.read_text(FILES[1], MAX_BYTES),
        other => other,
    }
}

/// The known fields with a value. The file is a list of shell assignments; of one that stands twice the last counts.
fn parse(text: &str) -> Vec<(&'static str, String)> {
    let assigned = |field: &str| {
        let of_field = |line: &str| Some(line.trim().strip_prefix(field)?.strip_prefix('=')?.to_owned());
        text.lines().rev().find_map(of_field)
    };
    FIELDS
        .iter()
        .filter_map(|field| Some((*field, unquote(&assigned(field)?))))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// A shell word without its quotes: in single quotes everything is literal, elsewhere a backslash takes the next
/// character as it is.
fn unquote(word: &str) -> String {
    if let Some(literal) = word.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return literal.to_owned();
    }
    let inner = word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(word);
    let mut characters = inner.chars();
    let mut value = String::with_capacity(inner.len());
    while let Some(character) = characters.next() {
        value.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fields_are_read_unquoted() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID='12'\n# ID=no\nID=debian\n\
                    HOME_URL=\"https://www.debian.org/\"\nVARIANT_ID=\nBUILD_ID=\"a\\\"b\\$c\"\n";
        assert_eq!(
            parse(text),
            [
                ("ID", "debian".to_owned()),
                ("VERSION_ID", "12".to_owned()),
                ("PRETTY_NAME", "Debian GNU/Linux 12 (bookworm)".to_owned()),
                ("BUILD_ID", "a\"b$c".to_owned()),
            ]
        );
    }

    #[test]
    fn of_two_assignments_the_last_counts() {
        assert_eq!(parse("ID=a\nID=b"), [("ID", "b".to_owned())]);
        assert_eq!(parse("ID=\"\\"), [("ID", "\"".to_owned())]);
    }
}
