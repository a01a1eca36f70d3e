//! Looks at the machine, on a thread where waiting hurts nobody, and says where to listen from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use evenkeel_facts::{Digest, Section, Snapshot};
use evenkeel_runtime::label;
use evenkeel_sources::patience::{Left, Patience};
use evenkeel_sources::source::{left_alone, names};
use evenkeel_sources::{Collected, Host, SourcesConfig, collect_some, identity};
use jiff::Timestamp;
use tracing::{error, info, warn};

use crate::collect;
use crate::home::Enrolment;
use crate::packages_lock;
use crate::watch::WatchedPlaces;

/// Looks at the machine.
#[derive(Debug)]
pub struct Looker {
    /// The machine. Whoever hangs keeps its own; the others go on with a new one.
    host: Arc<Mutex<Arc<Host>>>,
    /// What a person has set about sources.
    config: Arc<SourcesConfig>,
    patience: Patience,
    /// Who this node is; its role is apart, for it may change.
    pub enrolment: Enrolment,
    role: Mutex<String>,
    /// Where to listen, if that can be done here.
    pub places: Option<Arc<WatchedPlaces>>,
}

/// Which sources are to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All but these.
    AllBut(BTreeSet<&'static str>),
    /// These.
    Only(BTreeSet<&'static str>),
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    /// When looking began.
    pub taken_at: Timestamp,
    /// How long each source took, to look and to listen.
    pub took: BTreeMap<&'static str, Duration>,
    /// The name under which the node reports.
    pub host: String,
    /// The sources that seen.
    pub sources: BTreeSet<&'static str>,
    /// Their sections, by name.
    pub sections: Vec<Section>,
    /// Sources that look at places where nobody listened before: what happened there meanwhile was not heard.
    pub unheard: BTreeSet<&'static str>,
}

impl Looker {
    /// Looks at this machine, and listens there, if it can be done.
    pub fn new(
        host: Host,
        config: SourcesConfig,
        enrolment: Enrolment,
        places: Option<Arc<WatchedPlaces>>,
    ) -> Self {
        let host = Arc::new(Mutex::new(Arc::new(host)));
        let role = Mutex::new(enrolment.role.clone());
        Self { host, config: Arc::new(config), patience: Patience::default(), enrolment, role, places }
    }

    /// From now on the node reports for this role. Whether it is another.
    pub fn take_role(&self, role: &str) -> bool {
        let mut own = self.role.lock().unwrap_or_else(PoisonError::into_inner);
        let is_another = *own != role;
        role.clone_into(&mut own);
        is_another
    }

    /// Looks. A source that hangs is left behind; what it covers cannot be told until it comes back.
    pub fn look(&self, wanted: &Wanted) -> Seen {
        let is_wanted = |source: &'static str| match wanted {
            Wanted::AllBut(sources) => !sources.contains(source),
            Wanted::Only(sources) => sources.contains(source),
        };
        let mut seen = Seen {
            taken_at: Timestamp::now(),
            took: BTreeMap::new(),
            host: self.name(),
            sources: BTreeSet::new(),
            sections: Vec::new(),
            unheard: BTreeSet::new(),
        };
        // Told of something, or not told of everything: what leaves no trace in a directory may have happened as well.
        let hears_all = self.places.as_ref().is_some_and(|places| places.refused().is_empty());
        if matches!(wanted, Wanted::Only(_)) || !hears_all {
            current(&self.host).look_closely();
        }
        let sources = names(&self.config).into_iter().filter(|source| is_wanted(source)).collect();
        let (host, config, places) = (Arc::clone(&self.host), Arc::clone(&self.config), self.places.clone());
        // Listening touches the same places as looking, and may hang as well.
        let look = move |source| {
            let (host, began) = (current(&host), Instant::now());
            let collected = collect_some(&host, &config, |name| name == source).pop()?;
            let follow = |places: &Arc<WatchedPlaces>| places.follow(&host, source, &collected.places);
            let unheard = places.as_ref().is_some_and(follow);
            Some((Collected { took: began.elapsed(), ..collected }, unheard))
        };
        let left = |source, left| {
            if left == Left::Now {
                error!(source, "Source hangs and is left alone until it comes back.");
                self.renew_host();
            }
            // Nobody waits for one that hangs still.
            let left_alone = left_alone(source)?;
            let took = if left == Left::Now { left_alone.took } else { Duration::ZERO };
            Some((Collected { took, ..left_alone }, false))
        };
        let looked = self.patience.each(sources, look, left);
        for (Collected { source, sections, took, places: _, fault, rests }, unheard) in
            looked.into_iter().flatten()
        {
            if let Some(fault) = fault {
                error!(source, fault, "Source failed.");
            }
            if let Some(rests) = rests {
                warn!(source, again_in = rests.as_secs(), "Source keeps failing and is tried less often.");
            }
            seen.sources.insert(source);
            seen.took.insert(source, took);
            seen.sections.extend(sections);
            if unheard {
                seen.unheard.insert(source);
            }
        }
        for refused in self.places.iter().flat_map(|places| places.newly_refused()) {
            let directory = refused.directory.display().to_string();
            let error = refused.why;
            // A service is not let in everywhere, and that is no fault of the machine's.
            if refused.forbidden {
                info!(directory, error, "This directory is not watched; the sweep looks there.");
            } else {
                warn!(directory, error, "This directory is not watched; the sweep looks there.");
            }
        }
        if matches!(wanted, Wanted::AllBut(_)) {
            current(&self.host).forget_unused();
        }
        seen.sections.sort_by(|a, b| a.name().cmp(b.name()));
        seen
    }

    /// What a thread that hangs notes when it comes back concerns nobody any more.
    fn renew_host(&self) {
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        match host.anew() {
            Ok(anew) => *host = Arc::new(anew),
            Err(error) => warn!(%error, "The host is not opened anew."),
        }
    }

    /// Whether a package manager is at work.
    pub fn packages_change(&self) -> bool {
        packages_lock::is_held(&current(&self.host))
    }

    fn name(&self) -> String {
        let own = || label::from_host_name(&identity::host_name(&current(&self.host)).unwrap_or_default());
        self.enrolment.name.clone().unwrap_or_else(own)
    }

    /// The snapshot that comes of a look: what the other sources have seen before stays. Also the sources that see
    /// something else than before, and the sections that were replaced.
    pub fn snapshot(
        &self,
        seen: Seen,
        before: Option<Snapshot>,
        wanted: &Wanted,
    ) -> (Snapshot, BTreeSet<&'static str>, Vec<Section>) {
        let Seen { taken_at, host, sources, mut sections, .. } = seen;
        let before = before.map(|before| before.sections).unwrap_or_default();
        // What is the same as before has its digest already.
        for section in &mut sections {
            if let Some(same) = before.iter().find(|old| **old == *section) {
                section.clone_from(same);
            }
        }
        let changed =
            sources.iter().copied().filter(|source| digests(&before, source) != digests(&sections, source));
        let changed = changed.collect();
        let stays = |section: &Section| match wanted {
            Wanted::AllBut(but) => but.contains(section.source()),
            Wanted::Only(_) => !sources.contains(section.source()),
        };
        let (stay, mut replaced): (Vec<_>, Vec<_>) = before.into_iter().partition(stays);
        replaced.retain(|old| {
            sections.iter().all(|new| (new.name(), new.digest()) != (old.name(), old.digest()))
        });
        sections.extend(stay);
        sections.sort_by(|a, b| a.name().cmp(b.name()));
        let Enrolment { environment, .. } = &self.enrolment;
        let role = self.role.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let snapshot = Snapshot {
            taken_at,
            agent: collect::VERSION.to_owned(),
            host,
            // With another authority's certificate only the collector knows it.
            environment: (!environment.is_empty()).then(|| environment.clone()),
            role,
            sections,
        };
        (snapshot, changed, replaced)
    }
}

fn current(host: &Mutex<Arc<Host>>) -> Arc<Host> {
    Arc::clone(&host.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The contents of one source's sections, which are ordered by name.
fn digests(sections: &[Section], source: &str) -> Vec<Digest> {
    sections.iter().filter(|section| section.source() == source).map(Section::digest).collect()
}
