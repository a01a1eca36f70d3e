//! What happens on the machine, told by the kernel when it happens: names below the directories where sources looked
//! (inotify), devices and modules that come and go (uevents), and programs that start. News only say where to look.
//!
//! # Layout
//!
//! - [`authors`]: who writes the kernel's files
//! - [`starts`]: Go programs that start
//! - `held`: the directories that are watched
//! - `uevents`: devices and modules

pub mod authors;
mod held;
pub mod starts;
mod uevents;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evenkeel_sources::Host;
use evenkeel_sources::host::Places;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub use held::Refused;
use held::{Held, begin};
use starts::Starts;
use uevents::Uevents;

/// What may change a directory's names, their contents and their rights.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_MODIFY
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR);
/// Of those: other names, other links, another directory. Who looked there may have to look elsewhere now.
const MOVES: AddWatchFlags = AddWatchFlags::IN_MOVE
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_IGNORED);

/// What a Go program that starts is news for.
const OF_STARTS: &str = "go_programs";

/// The sources that are to look again.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Because of one of the kernel's own files, a device or a module.
    pub kernel: BTreeSet<&'static str>,
    /// Because of a file on a disk.
    pub disk: BTreeSet<&'static str>,
    /// Events were lost: look at everything.
    pub lost: bool,
}

/// Watches. One thread hears, another tells it where to listen.
#[derive(Debug)]
pub struct Watch {
    events: AsyncFd<Events>,
    uevents: Option<Uevents>,
    starts: Option<Starts>,
    places: Arc<WatchedPlaces>,
}

/// Where to listen.
#[derive(Debug)]
pub struct WatchedPlaces {
    inotify: Arc<Inotify>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where each source looked, as it said; and the same without links.
    sources: BTreeMap<&'static str, (Places, Places)>,
    /// Sources whose links may lead elsewhere now.
    moved: BTreeSet<&'static str>,
    held: Held,
}

#[derive(Debug)]
struct Events(Arc<Inotify>);

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Tells when there is something to read.
#[expect(
    deprecated,
    reason = "its successor is unsafe; what is handed in here owns its descriptor and stays as it is"
)]
fn readable<T: AsRawFd>(owner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(owner, Interest::READABLE)
}

impl Watch {
    /// Watches nothing yet. Must be called within a tokio runtime.
    pub fn new() -> io::Result<Self> {
        let inotify = Arc::new(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?);
        let events = readable(Events(Arc::clone(&inotify)))?;
        let places = Arc::new(WatchedPlaces { inotify, state: Mutex::default() });
        // Without them devices and modules are found by the next sweep.
        Ok(Self { events, uevents: Uevents::listen().ok(), starts: None, places })
    }

    /// Hears of programs that start, too.
    #[must_use]
    pub fn hearing(self, starts: Option<Starts>) -> Self {
        Self { starts, ..self }
    }

    /// Where to listen, for whoever looks at the machine.
    pub fn places(&self) -> Arc<WatchedPlaces> {
        Arc::clone(&self.places)
    }

    /// Waits for news, and gives all that there are. Not more than one caller at a time.
    pub async fn news(&self) -> News {
        let mut news = News::default();
        let outcome = tokio::select! {
            events = self.events.async_io(Interest::READABLE, |events| Ok(events.0.read_events()?)) => {
                events.map(|events| self.take(events, &mut news))
            }
            subsystem = Uevents::next(self.uevents.as_ref()) => {
                subsystem.map(|paths| self.lock().devices(paths, &mut news))
            }
            () = Starts::next(self.starts.as_ref()) => {
                news.kernel.insert(OF_STARTS);
                Ok(())
            }
        };
        // What cannot be read is lost: a netlink socket says so when it was too slow.
        news.lost |= outcome.is_err();
        news
    }

    /// What has been told so far, without waiting.
    pub fn so_far(&self) -> News {
        let mut news = News::default();
        self.take(Vec::new(), &mut news);
        if self.starts.as_ref().is_some_and(Starts::so_far) {
            news.kernel.insert(OF_STARTS);
        }
        let mut state = self.lock();
        self.uevents.iter().flat_map(Uevents::so_far).for_each(|paths| state.devices(paths, &mut news));
        news
    }

    fn take(&self, events: Vec<InotifyEvent>, news: &mut News) {
        let mut state = self.lock();
        for event in events {
            state.event(event, news);
        }
        while let Ok(events) = self.places.inotify.read_events() {
            for event in events {
                state.event(event, news);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.places.lock()
    }
}

impl WatchedPlaces {
    /// Listens where this source looked, and no more where it does not look any more. Returns whether some place is
    /// new: what happened there before was not heard.
    pub fn follow(&self, host: &Host, source: &'static str, places: &Places) -> bool {
        let mut state = self.lock();
        let State { sources, moved, .. } = &*state;
        if sources.get(source).is_some_and(|(said, _)| said == places) && !moved.contains(source) {
            return false;
        }
        // Touching the disk takes time: those who hear must not wait for it.
        state.moved.remove(source);
        drop(state);
        let real = host.without_links(places);
        let missing = self.lock().held.missing(real.directories().map(|(at, _)| at));
        let begun = missing.into_iter().map(|at| (begin(&self.inotify, host, &at), at)).collect();
        let mut state = self.lock();
        state.sources.insert(source, (places.clone(), real));
        let State { sources, held, .. } = &mut *state;
        let wanted: BTreeSet<&Path> =
            sources.values().flat_map(|(_, real)| real.directories().map(|(at, _)| at)).collect();
        held.hold(&self.inotify, &wanted, begun)
    }

    /// Whether every change of what this source reads is told.
    pub fn tell_everything(&self, source: &str) -> bool {
        self.lock().sources.get(source).is_some_and(|(said, _)| said.tell_everything())
    }

    /// How many directories are watched.
    pub fn watched(&self) -> usize {
        self.lock().held.len()
    }

    /// The directories that could not be watched.
    pub fn refused(&self) -> Vec<PathBuf> {
        self.lock().held.refused().map(Path::to_path_buf).collect()
    }

    /// The directories that could not be watched, and why, each said once.
    pub fn newly_refused(&self) -> Vec<Refused> {
        self.lock().held.newly_refused()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn event(&mut self, event: InotifyEvent, news: &mut News) {
        let InotifyEvent { wd, mask, name, .. } = event;
        if mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            news.lost = true;
            return;
        }
        let Self { sources, moved, held } = self;
        for directory in held.named(wd) {
            for (source, (_, real)) in sources.iter() {
                if real.matter(directory, name.as_deref().filter(|name| !is_self(name))) {
                    let kernels = directory.starts_with("/proc") || directory.starts_with("/sys");
                    if kernels { &mut news.kernel } else { &mut news.disk }.insert(source);
                    if mask.intersects(MOVES) || mask.contains(AddWatchFlags::IN_ATTRIB) {
                        moved.insert(source);
                    }
                }
            }
        }
        if mask.contains(AddWatchFlags::IN_IGNORED) {
            held.forget(wd);
        }
    }

    /// A device or module came, went or changed, which shows at or below these paths.
    fn devices(&mut self, paths: &[&str], news: &mut News) {
        for (source, (said, _)) in &self.sources {
            if paths.iter().any(|path| said.reach_below(Path::new(path))) {
                news.kernel.insert(source);
            }
        }
    }
}

/// An event of the directory itself has no name, or an empty one.
fn is_self(name: &OsStr) -> bool {
    name.is_empty()
}
