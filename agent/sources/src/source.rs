//! What a source is, and how all of them are run so that none can stop the others.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_facts::encoding::{MAX_FACTS, MAX_SECTION_BYTES};
use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder};

use crate::SOURCES;
use crate::budget::Budget;
use crate::config::SourcesConfig;
use crate::declared::Declared;
use crate::host::{Host, Places};
use crate::patience::Patience;

/// How long one source may take.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How many bytes of facts one source may yield.
pub const MAX_SOURCE_BYTES: usize = 4 * 1024 * 1024;

/// The code that observes one family of facts.
///
/// What others conclude from the sections of a source:
///
/// - A source always yields a section of its own name, even an empty one: it says that the source ran.
/// - A path that is in no section of the source is absent. So what could not be seen must be noted as unreadable, at
///   the path itself or at a path that covers it: a partial read must never look like a deletion.
/// - A path whose first word is neither the source's name nor the first word of another of its facts must be noted as
///   `Absent` when it is not there, for nobody could conclude it (`glibc.version` of source `libc`).
pub trait Source: Sync {
    /// The source's name: of its file, its main section and its settings.
    fn name(&self) -> &'static str;

    /// The paths that cover all facts of this source. When the source fails as a whole, these are unreadable.
    fn top_paths(&self) -> &'static [&'static str];

    /// Every kind of fact that it may yield.
    fn declares(&self) -> &'static [Declared];

    /// Whether it sees nothing but files and directories, and sees the same in the same ones: then it need not look again
    /// while they are unchanged. A source that asks the kernel or the clock does not.
    fn sees_only_files(&self) -> bool {
        false
    }

    /// Looks. Never executes anything, never waits, never fails: what cannot be seen is an observation.
    fn collect(&self, host: &Host, config: &SourcesConfig, budget: &Budget) -> Vec<Section>;
}

/// What one source yielded, and what it took.
#[derive(Debug, Clone)]
pub struct Collected {
    /// The source's name.
    pub source: &'static str,
    /// Its sections; the one named like the source is always there.
    pub sections: Vec<Section>,
    /// How long it took.
    pub took: Duration,
    /// Where it looked; nothing unless the host is [`Host::tracking`].
    pub places: Places,
    /// What it said when it panicked: a fault of evenkeel, to be logged.
    pub fault: Option<String>,
    /// How long it is not tried again, for it keeps failing. It says what it said last.
    pub rests: Option<Duration>,
}

/// The sections of every enabled source, by name.
pub fn collect_all(host: &Host, config: &SourcesConfig) -> Vec<Section> {
    let mut sections: Vec<_> = collect_each(host, config).into_iter().flat_map(|of| of.sections).collect();
    sections.sort_by(|a, b| a.name().cmp(b.name()));
    sections
}

/// Runs every enabled source, one after the other, each behind its fence.
pub fn collect_each(host: &Host, config: &SourcesConfig) -> Vec<Collected> {
    collect_some(host, config, |_| true)
}

/// Runs those enabled sources whose names are `wanted`.
pub fn collect_some(
    host: &Host,
    config: &SourcesConfig,
    wanted: impl Fn(&'static str) -> bool,
) -> Vec<Collected> {
    let sources = enabled(config).filter(|source| wanted(source.name()));
    sources.map(|source| fenced(source, host, config)).collect()
}

/// Runs every enabled source, as [`collect_each`]; but one that hangs in the kernel is left behind, with its thread.
pub fn collect_patiently(host: &Arc<Host>, config: &SourcesConfig) -> Vec<Collected> {
    let (names, host, config) = (names(config), Arc::clone(host), config.clone());
    let look = move |source| collect_some(&host, &config, |name| name == source);
    let seen = Patience::default().each(names, look, |source, _| left_alone(source).into_iter().collect());
    seen.into_iter().flatten().collect()
}

/// The names of the enabled sources, in the order in which they run.
pub fn names(config: &SourcesConfig) -> Vec<&'static str> {
    enabled(config).map(Source::name).collect()
}

/// What a source has to say that hangs: nothing of what it covers is known, for its time was up.
pub fn left_alone(name: &str) -> Option<Collected> {
    let source = SOURCES.iter().find(|source| source.name() == name)?;
    Some(Collected {
        source: source.name(),
        sections: vec![unseen(*source, Reason::Timeout)],
        took: DEADLINE,
        places: Places::default(),
        fault: None,
        rests: None,
    })
}

fn enabled(config: &SourcesConfig) -> impl Iterator<Item = &'static dyn Source> {
    let enabled = |name| !config.disable.iter().any(|disabled| disabled == name);
    SOURCES.iter().copied().filter(move |source| enabled(source.name()))
}

/// Runs one source, unless it rests or would see what it saw before. A panic ends here, and so does what the collector
/// would refuse.
fn fenced(source: &dyn Source, host: &Host, config: &SourcesConfig) -> Collected {
    let began = Instant::now();
    let Some(breakers) = host.breakers() else { return tried(source, host, config, began) };
    if let Some(resting) = breakers.resting(source.name(), began) {
        return resting;
    }
    let collected = tried(source, host, config, began);
    breakers.note(&collected, Instant::now());
    collected
}

fn tried(source: &dyn Source, host: &Host, config: &SourcesConfig, began: Instant) -> Collected {
    if !source.sees_only_files() {
        return look(source, host, config, began);
    }
    if let Some(seen) = host.seen_before(source.name()) {
        return Collected { took: began.elapsed(), ..seen };
    }
    host.begin_witness();
    let collected = look(source, host, config, began);
    if let Some(witness) = host.end_witness().filter(|_| collected.is_lasting()) {
        host.keep_seen(witness, &collected);
    }
    collected
}

fn look(source: &dyn Source, host: &Host, config: &SourcesConfig, began: Instant) -> Collected {
    host.take_places();
    let budget = Budget::new(DEADLINE, MAX_SOURCE_BYTES);
    let outcome = catch_unwind(AssertUnwindSafe(|| source.collect(host, config, &budget)));
    let (sections, fault) = match outcome {
        Ok(sections) if sections.iter().any(is_too_large) => (vec![unseen(source, Reason::Truncated)], None),
        Ok(sections) => (sections, None),
        Err(panic) => (vec![unseen(source, Reason::Failed)], Some(message(panic.as_ref()))),
    };
    let places = host.take_places();
    Collected { source: source.name(), sections, took: began.elapsed(), places, fault, rests: None }
}

impl Collected {
    /// Whether looking again at the same files would give the same: not where time was up, or a read failed.
    fn is_lasting(&self) -> bool {
        let passing = |observation: &Observation| {
            matches!(observation, Observation::Unreadable(Reason::Timeout | Reason::Io | Reason::Failed))
        };
        let mut facts = self.sections.iter().flat_map(Section::facts);
        self.fault.is_none() && !facts.any(|(_, observation)| passing(observation))
    }
}

fn is_too_large(section: &Section) -> bool {
    section.facts().len() > MAX_FACTS || section.encoded_len() > MAX_SECTION_BYTES
}

/// The section of a source that saw nothing, and why.
fn unseen(source: &dyn Source, reason: Reason) -> Section {
    let mut section = SectionBuilder::new(source.name());
    for path in source.top_paths() {
        section.unreadable(FactPath::known(path), reason);
    }
    section.finish()
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Source for Broken {
        fn name(&self) -> &'static str {
            "broken"
        }

        fn top_paths(&self) -> &'static [&'static str] {
            &["broken", "cracked.version"]
        }

        fn declares(&self) -> &'static [Declared] {
            &[]
        }

        fn collect(&self, _: &Host, _: &SourcesConfig, _: &Budget) -> Vec<Section> {
            panic!("index {} out of range", 7)
        }
    }

    /// Promise: a source that panics again and again is left alone for a while, still says that it failed, and stops no
    /// other.
    #[test]
    fn who_keeps_panicking_rests() {
        let host = Host::live().keeping();
        for _ in 0..3 {
            let collected = fenced(&Broken, &host, &SourcesConfig::default());
            assert!(collected.fault.is_some() && collected.rests.is_none());
        }
        let collected = fenced(&Broken, &host, &SourcesConfig::default());
        assert!(collected.fault.is_none() && collected.rests.is_some());
        assert_eq!(
            collected.sections[0].find("cracked.version"),
            Some(&Observation::Unreadable(Reason::Failed))
        );
        assert!(fenced(&crate::os::Os, &host, &SourcesConfig::default()).rests.is_none());
    }

    #[test]
    fn a_panic_is_an_observation() {
        let collected = fenced(&Broken, &Host::live(), &SourcesConfig::default());
        assert_eq!(collected.fault.as_deref(), Some("index 7 out of range"));
        assert_eq!(collected.sections[0].name(), "broken");
        assert_eq!(
            collected.sections[0].find("cracked.version"),
            Some(&Observation::Unreadable(Reason::Failed))
        );
    }
}
