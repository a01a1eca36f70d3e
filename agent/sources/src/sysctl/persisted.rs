//! What the next boot will set of the kernel's settings, and which line of which file says so.
//!
//! - `sysctl.persisted[KEY].value`: the value, in the same canonical form as that of `sysctl.KEY`
//! - `sysctl.persisted[KEY].source`: the line that decides, as `/etc/sysctl.d/99-web.conf:12`
//! - `sysctl.persisted` is unreadable: some file or directory cannot be read. What a later file says is known all the
//!   same; what an earlier one says is not, for the unread one may say otherwise
//!
//! The order is systemd-sysctl's (sysctl.d(5)): `/etc/sysctl.d`, `/run/sysctl.d`, `/usr/local/lib/sysctl.d` and
//! `/usr/lib/sysctl.d`, where files of one name mask each other, then by name; of several lines for one key the last
//! counts. On a host without systemd `/etc/sysctl.conf` follows, as procps and OpenRC have it. A pattern such as
//! `net.ipv4.conf.*.rp_filter` is a key of its own, and is also resolved to the keys of this kernel that are reported;
//! a key that stands for itself is never set by a pattern.

mod pattern;
mod settings;

use std::collections::BTreeMap;
use std::path::PathBuf;

use evenkeel_facts::{FactPath, Reason, Section, SectionBuilder};

use super::rules::{self, Class, Treatment};
use super::value;
use crate::{Budget, Host, drop_ins};
use settings::Settings;

pub(crate) use settings::redacted;

/// In order of precedence. The last is `/usr/lib/sysctl.d` wherever /usr is merged.
const DIRECTORIES: &[&str] =
    &["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"];
/// Where systemd's own reader of these directories is.
const SYSTEMD: [&str; 2] = ["/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl"];
const MAX_BYTES: usize = 1024 * 1024;
const FAMILY: &str = "sysctl.persisted";

/// The section `sysctl.persisted`.
pub(super) fn collect(host: &Host, budget: &Budget) -> Section {
    let mut section = SectionBuilder::new(FAMILY);
    let mut trouble = None;
    let mut settings = Settings::default();
    match files(host) {
        Ok(files) => {
            for file in files {
                match drop_ins::read(host, &file, MAX_BYTES) {
                    Ok(content) => settings.read(&file, &content),
                    Err(reason) => {
                        settings = Settings::default();
                        trouble = trouble.or(Some(reason));
                    }
                }
            }
        }
        Err(reason) => trouble = Some(reason),
    }
    let noted = note(&mut section, host, budget, &settings);
    if let Some(reason) = trouble.or(noted.err()) {
        section.unreadable(FactPath::known(FAMILY), reason);
    }
    section.finish()
}

fn files(host: &Host) -> Result<Vec<PathBuf>, Reason> {
    let mut files = drop_ins::files(host, DIRECTORIES, ".conf")?;
    if !SYSTEMD.iter().any(|program| host.exists(program)) {
        files.push("/etc/sysctl.conf".into());
    }
    Ok(files)
}

fn note(
    section: &mut SectionBuilder,
    host: &Host,
    budget: &Budget,
    settings: &Settings,
) -> Result<(), Reason> {
    let mut resolved = BTreeMap::new();
    for (pattern, line) in settings.patterns() {
        resolved.insert(pattern.to_owned(), line);
        for key in pattern::keys(host, budget, pattern)? {
            if rules::of(&settings::dotted(&key)) == Treatment::Send && !settings.names(&key) {
                resolved.insert(key, line);
            }
        }
    }
    resolved.extend(settings.keys().map(|(key, line)| (key.to_owned(), line)));
    for (key, line) in resolved {
        let key = settings::dotted(&key);
        if rules::class_of(&key) == Some(Class::Identity) {
            continue;
        }
        let path = FactPath::keyed(FAMILY, &key);
        let source = format!("{}:{}", line.file.display(), line.number);
        budget.spend(2 * path.as_str().len() + line.value.len() + source.len())?;
        let (Ok(value_path), Ok(source_path)) = (path.child("value"), path.child("source")) else { continue };
        let value = match rules::of(&key) {
            Treatment::SetOrUnset => value::set_or_unset(&Ok(line.value.clone())).ok().map(str::to_owned),
            Treatment::Send | Treatment::Leave => value::canonical(&line.value),
        };
        match value {
            Some(value) => section.present(value_path, value),
            None => section.unreadable(value_path, Reason::Malformed),
        };
        section.present(source_path, source);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
