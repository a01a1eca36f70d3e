//! What a source's files were when it looked: while they are the same, it would see the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::OFlag;
use nix::sys::stat::fstat;

use super::kept::PARAMETERS;
use super::{Access, Host, Stat};

/// A file that was changed again within one tick of the file system's clock looks the same: what is younger than this
/// is no witness. ext4 counts in ticks of 4 ms, others in whole seconds.
const SETTLED: Duration = Duration::from_secs(2);

/// What a source has looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Witness {
    /// The files and how each was looked at, and what each was; `None`: it could not be opened.
    files: BTreeMap<(PathBuf, Access), Option<Stat>>,
    /// Whether the clock was asked, and then whether it was kept right, where that can be told.
    asked_clock: bool,
    clock: Option<bool>,
}

/// Takes down witnesses while a source looks. `None`: the source saw something that no file tells.
#[derive(Debug)]
pub(super) struct Notes {
    of_source: Mutex<Option<Witness>>,
    settled: Duration,
}

impl Default for Notes {
    fn default() -> Self {
        Self { of_source: Mutex::default(), settled: SETTLED }
    }
}

impl Host {
    /// Takes down what is looked at from now on.
    pub(crate) fn begin_witness(&self) {
        if let Some(kept) = &self.kept {
            *kept.notes.of_source.lock().unwrap_or_else(PoisonError::into_inner) = Some(Witness::default());
        }
    }

    /// What was looked at since it began; `None` if the files cannot tell whether one would see the same again.
    pub(crate) fn end_witness(&self) -> Option<Witness> {
        self.kept.as_ref()?.notes.of_source.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether all is what it was.
    pub(crate) fn still_holds(&self, Witness { files, asked_clock, clock }: &Witness) -> bool {
        (!asked_clock || self.clock_now() == *clock)
            && files.iter().all(|((path, access), was)| self.look(path, *access) == *was)
    }

    /// Notes the places of these files, as looking at them again would.
    pub(crate) fn note_places(&self, Witness { files, .. }: &Witness) {
        for (path, access) in files.keys() {
            self.note_place(path, *access);
        }
    }

    /// What `make` gives, for as long as the files that it looks at are the same, and the kernel's parameters say the
    /// same; on a host that keeps nothing it is made anew each time. `make` also says whether it would last: what could not
    /// be read may be read the next time. Things are told apart by their names. Not within a source that sees only files.
    pub(crate) fn while_unchanged<T: Clone + Send + 'static>(
        &self,
        name: &str,
        make: impl FnOnce() -> (T, bool),
    ) -> T {
        if let Some((witness, thing)) = self.made_of_parameters::<(Witness, T)>(name)
            && self.still_holds(&witness)
        {
            self.note_places(&witness);
            return thing;
        }
        self.begin_parameters();
        self.begin_witness();
        let (thing, lasts) = make();
        let witness = self.end_witness().filter(|_| lasts);
        self.keep_made_of_parameters(name, witness.map(|witness| (witness, thing.clone())));
        thing
    }

    /// Before the file itself is looked at: a change in between makes the witness false, not the source.
    pub(super) fn bear_witness(&self, path: &Path, access: Access) {
        let Some(kept) = &self.kept else { return };
        let mut notes = kept.notes.of_source.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Witness { files, .. }) = &mut *notes else { return };
        if path.starts_with(PARAMETERS) && self.is_live() && self.takes_down_parameters() {
            return;
        }
        if path.starts_with("/proc") || path.starts_with("/sys") || access == Access::Files {
            *notes = None;
            return;
        }
        let seen = self.look(path, access);
        if seen.is_some_and(|stat| !is_older(&stat, kept.notes.settled)) {
            *notes = None;
            return;
        }
        files.insert((path.to_owned(), access), seen);
    }

    /// The clock was asked.
    pub(super) fn bear_witness_of_clock(&self, is_synchronised: Option<bool>) {
        let Some(kept) = &self.kept else { return };
        let mut notes = kept.notes.of_source.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(witness) = &mut *notes {
            witness.asked_clock = true;
            witness.clock = is_synchronised;
        }
    }

    fn look(&self, path: &Path, access: Access) -> Option<Stat> {
        let flags = if access == Access::Link { OFlag::O_PATH | OFlag::O_NOFOLLOW } else { OFlag::O_PATH };
        Some(Stat::of(&fstat(self.open(path, flags).ok()?).ok()?))
    }
}

/// Whether what was changed last was changed long enough ago to be told from a change now.
pub(crate) fn is_settled(stat: &Stat) -> bool {
    is_older(stat, SETTLED)
}

fn is_older(stat: &Stat, age: Duration) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, nanoseconds) = stat.ctime;
    let changed = u64::try_from(seconds).map_or(Duration::ZERO, Duration::from_secs)
        + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
    now.checked_sub(age).is_some_and(|settled| changed <= settled)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    /// Promise: whatever changes of what was looked at, also what was not there, ends a witness.
    #[test]
    fn a_witness_holds_until_something_changes() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("etc/conf.d")).unwrap();
        fs::write(at("etc/release"), "1").unwrap();
        symlink("release", at("etc/link")).unwrap();
        let mut host = Host::at(root.path()).unwrap().keeping();
        let look = |host: &Host| {
            host.begin_witness();
            let _ = host.read("/etc/release", 10);
            let _ = host.read_link("/etc/link");
            let _ = host.list("/etc/conf.d");
            let _ = host.read("/etc/none", 10);
            host.end_witness()
        };
        // All of it was made just now.
        assert_eq!(look(&host), None);
        host.kept.as_mut().unwrap().notes.settled = Duration::ZERO;
        let changes: [&dyn Fn(); 4] = [
            &|| fs::write(at("etc/release"), "2").unwrap(),
            &|| {
                fs::remove_file(at("etc/link")).unwrap();
                symlink("none", at("etc/link")).unwrap();
            },
            &|| fs::write(at("etc/conf.d/new"), "").unwrap(),
            &|| fs::write(at("etc/none"), "").unwrap(),
        ];
        for change in changes {
            tick(root.path());
            let witness = look(&host).unwrap();
            assert!(host.still_holds(&witness));
            change();
            assert!(!host.still_holds(&witness));
        }
        host.begin_witness();
        let _ = host.read("/proc/modules", 10);
        assert_eq!(host.end_witness(), None);
    }

    /// Until the file system's clock has gone on: what changes from now on has another time.
    fn tick(root: &Path) {
        let time = || {
            fs::write(root.join("tick"), "").unwrap();
            let of = fs::metadata(root.join("tick")).unwrap();
            (of.ctime(), of.ctime_nsec())
        };
        let begin = time();
        while time() == begin {}
    }
}
