//! Source `custom`: facts of one's own, from the files of a directory (`/etc/evenkeel/facts.d`).
//!
//! - `NAME.txt`: lines of `key = value`; empty lines and those that begin with `#` are passed over
//! - `NAME.json`: an object; objects in it become dots, lists their JSON text
//! - programs (with an execute bit), only if `execute = true`: what they print is one or the other. They run one after
//!   the other with an empty environment, no input, the directory `/`, a process group of their own and a deadline; then
//!   all that is left of the group is killed
//!
//! Facts are `custom.KEY`. Of two files with the same key the later one by name counts. `custom.file[NAME]` is unreadable
//! when a file cannot be read or understood; its facts, then, are unknown, and `custom` is `partial`.

mod program;

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder, Value};
use serde_json::Value as Json;

use crate::config::CustomConfig;
use crate::host::Kind;
use crate::{Budget, Declared, Host, Source, SourcesConfig};

/// The most that one file, or one program, may say, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// The most files that are looked at.
const MAX_FILES: usize = 256;
const MAX_DEPTH: usize = 16;

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "custom.KEY", what: "a fact of one's own", from: "/etc/evenkeel/facts.d" },
];

/// See the module.
#[derive(Debug)]
pub struct Custom;

impl Source for Custom {
    fn name(&self) -> &'static str {
        "custom"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &["custom"]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn collect(&self, host: &Host, config: &SourcesConfig, budget: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new("custom");
        let config = &config.custom;
        let whole = || FactPath::known("custom");
        let entries = match host.list(&config.directory) {
            Ok(entries) => entries,
            Err(error) => {
                if let Some(reason) = Reason::of_io(&error) {
                    section.unreadable(whole(), reason);
                }
                return vec![section.finish()];
            }
        };
        let mut hidden = (entries.len() > MAX_FILES).then_some(Reason::Truncated);
        let files = entries.iter().filter(|entry| matches!(entry.kind, Kind::File | Kind::Symlink));
        for name in files.take(MAX_FILES).filter_map(|entry| entry.name.to_str()) {
            if name.starts_with('.') || name.ends_with('~') {
                continue;
            }
            let facts = budget.spend(0).and_then(|()| said_by(host, config, name)).map(|text| parse(&text));
            let noted = match facts {
                Ok(Some(facts)) => note(&mut section, budget, facts),
                Ok(None) => Err(Reason::Malformed),
                Err(reason) => Err(reason),
            };
            if let Err(reason) = noted {
                section.unreadable(FactPath::keyed("custom.file", name), reason);
                hidden = hidden.or(Some(Reason::Partial));
            }
        }
        if let Some(reason) = hidden {
            section.unreadable(whole(), reason);
        }
        vec![section.finish()]
    }
}

/// The text of a file, or what a program prints. A program that is not to be run says nothing.
fn said_by(host: &Host, config: &CustomConfig, name: &str) -> Result<String, Reason> {
    let path = config.directory.join(name);
    let reason = |error: std::io::Error| Reason::of_io(&error).unwrap_or(Reason::Io);
    let stat = host.stat(&path).map_err(reason)?;
    if stat.mode & 0o111 == 0 {
        return host.read_text(&path, MAX_BYTES).map_err(reason);
    }
    if !config.execute || !host.is_live() {
        return Err(Reason::Unsupported);
    }
    // Whoever may write a program that the agent runs is the agent.
    if stat.mode & 0o022 != 0 {
        return Err(Reason::Permission);
    }
    host.note_silent(&path);
    program::run(&path, Duration::from_millis(config.timeout_ms), MAX_BYTES)
}

/// Facts by key. `None`: neither an object nor lines of `key = value`.
fn parse(text: &str) -> Option<BTreeMap<String, Value>> {
    let mut facts = BTreeMap::new();
    if text.trim_start().starts_with('{') {
        let Json::Object(object) = serde_json::from_str(text).ok()? else { return None };
        object.into_iter().try_for_each(|(key, value)| flatten(&mut facts, key, value, 0))?;
        return Some(facts);
    }
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once('=')?;
        facts.insert(key.trim().to_owned(), value.trim().into());
    }
    Some(facts)
}

fn flatten(facts: &mut BTreeMap<String, Value>, key: String, value: Json, depth: usize) -> Option<()> {
    let value = match value {
        Json::Object(object) if depth < MAX_DEPTH => {
            return object
                .into_iter()
                .try_for_each(|(name, value)| flatten(facts, format!("{key}.{name}"), value, depth + 1));
        }
        Json::Object(_) => return None,
        // Nothing is no fact.
        Json::Null => return Some(()),
        Json::Bool(truth) => truth.into(),
        Json::String(text) => text.into(),
        Json::Number(number) => number.as_i64().map_or_else(|| number.to_string().into(), Value::from),
        list @ Json::Array(_) => list.to_string().into(),
    };
    facts.insert(key, value);
    Some(())
}

fn note(section: &mut SectionBuilder, budget: &Budget, facts: BTreeMap<String, Value>) -> Result<(), Reason> {
    for (key, value) in facts {
        let path = FactPath::new(&format!("custom.{key}")).map_err(|_| Reason::Malformed)?;
        let size = if let Value::Text(text) = &value { text.len() } else { 8 };
        budget.spend(path.as_str().len() + size)?;
        section.observe(path, Observation::Present(value));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
