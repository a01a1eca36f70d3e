//! News wait a moment until they are complete: many events of one change are one look at the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::watch::News;

/// So long after the last of several events, all of them have probably come.
const QUIET: Duration = Duration::from_millis(3);
/// So long after the first, nobody waits any more for a last one.
const CEILING: Duration = Duration::from_millis(50);
/// How long to wait before looking again whether the package manager is done: this part of the time that it works already …
const PACKAGES_PART: u32 = 16;
/// … but not less, and not more. One that upgrades a single package is done within 200 ms.
const PACKAGES_LEAST: Duration = Duration::from_millis(10);
const PACKAGES_MOST: Duration = Duration::from_millis(250);
/// So long a package manager may work before what it has done so far is looked at.
const PACKAGES_CEILING: Duration = Duration::from_secs(600);
/// A source may look for this share of the time, however often something changes …
const SHARE: f64 = 0.05;
/// … once it has spent so much. What is changed by hand, or by a tool, stays far below. Each source has a share of its own:
/// programs that start without end must not delay the news of a sysctl.
const SAVED: Duration = Duration::from_secs(5);

/// News that wait.
#[derive(Debug, Default)]
pub struct Settling {
    kernel: Wait,
    disk: Wait,
    /// Until when the disk waits for a package manager.
    packages_until: Option<Instant>,
    spent: BTreeMap<&'static str, Spent>,
}

/// How long a source has looked beyond its share, and when that was counted.
#[derive(Debug)]
struct Spent {
    time: Duration,
    at: Instant,
}

#[derive(Debug, Default)]
struct Wait {
    sources: BTreeSet<&'static str>,
    /// The first and the last event.
    between: Option<(Instant, Instant)>,
}

impl Settling {
    /// More news.
    pub fn add(&mut self, news: News, now: Instant) {
        self.kernel.add(news.kernel, now);
        self.disk.add(news.disk, now);
    }

    /// When to look next; `None`: there is nothing to look at.
    pub fn due(&self) -> Option<Instant> {
        let disk = self.disk.due().map(|due| self.packages_until.map_or(due, |until| due.max(until)));
        [self.kernel.due(), disk].into_iter().flatten().min()
    }

    /// Whether what is due depends on a package manager's being done.
    pub fn asks_for_packages(&self, now: Instant) -> bool {
        self.disk.due().is_some_and(|due| due <= now)
    }

    /// The sources that are to look now. While a package manager `works`, those that read its files wait, so that an
    /// upgrade is one change and not hundreds; and those beyond their share wait until they are within it.
    pub fn take(&mut self, now: Instant, works: bool) -> BTreeSet<&'static str> {
        let mut sources = self.kernel.take(now, &self.spent);
        let works_for = self.disk.between.map_or(PACKAGES_CEILING, |(first, _)| now.duration_since(first));
        if works && works_for < PACKAGES_CEILING {
            let wait = (works_for / PACKAGES_PART).clamp(PACKAGES_LEAST, PACKAGES_MOST);
            self.packages_until = Some(now + wait);
        } else {
            sources.extend(self.disk.take(now, &self.spent));
            if self.disk.between.is_none() {
                self.packages_until = None;
            }
        }
        sources
    }

    /// All sources are about to look: what waits need not, but for those that wait for a package manager. Gives these.
    pub fn take_all(&mut self, works: bool) -> BTreeSet<&'static str> {
        self.kernel = Wait::default();
        if works {
            return self.disk.sources.clone();
        }
        self.disk = Wait::default();
        self.packages_until = None;
        BTreeSet::new()
    }

    /// The sources that are to look.
    pub fn awaited(&self) -> impl Iterator<Item = &'static str> {
        self.kernel.sources.union(&self.disk.sources).copied()
    }

    /// Whether this source is to look.
    pub fn awaits(&self, source: &str) -> bool {
        self.kernel.sources.contains(source) || self.disk.sources.contains(source)
    }

    /// This source's look because of news took so long.
    pub fn spend(&mut self, source: &'static str, took: Duration, now: Instant) {
        let spent = self.spent.entry(source).or_insert(Spent { time: Duration::ZERO, at: now });
        let regained = now.duration_since(spent.at).mul_f64(SHARE);
        *spent = Spent { time: spent.time.saturating_sub(regained) + took, at: now };
    }
}

impl Spent {
    /// When looking is within its share again.
    fn allowed_at(&self) -> Option<Instant> {
        let over = self.time.checked_sub(SAVED)?;
        Some(self.at + over.div_f64(SHARE))
    }
}

impl Wait {
    fn add(&mut self, sources: BTreeSet<&'static str>, now: Instant) {
        if !sources.is_empty() {
            self.sources.extend(sources);
            self.between = Some((self.between.map_or(now, |(first, _)| first), now));
        }
    }

    fn due(&self) -> Option<Instant> {
        self.between.map(|(first, last)| (last + QUIET).min(first + CEILING))
    }

    /// What is due. Who may not look yet goes on waiting, as if its news came when it may.
    fn take(&mut self, now: Instant, spent: &BTreeMap<&'static str, Spent>) -> BTreeSet<&'static str> {
        let mut due = BTreeSet::new();
        if self.due().is_none_or(|due| due > now) {
            return due;
        }
        let mut allowed_at = None;
        for source in std::mem::take(self).sources {
            match spent.get(source).and_then(Spent::allowed_at).filter(|at| *at > now) {
                Some(at) => {
                    self.sources.insert(source);
                    allowed_at = Some(allowed_at.map_or(at, |first: Instant| first.min(at)));
                }
                None => {
                    due.insert(source);
                }
            }
        }
        self.between = allowed_at.map(|at| (at, at));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(sources: &[&'static str]) -> News {
        News { kernel: sources.iter().copied().collect(), ..News::default() }
    }

    fn disk(sources: &[&'static str]) -> News {
        News { disk: sources.iter().copied().collect(), ..News::default() }
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_burst_is_one_look_and_an_endless_one_is_not_waited_for() {
        let begin = Instant::now();
        let mut settling = Settling::default();
        assert_eq!(settling.due(), None);
        settling.add(kernel(&["sysctl"]), begin);
        settling.add(kernel(&["sysctl", "kernel"]), begin + ms(3));
        assert_eq!(settling.due(), Some(begin + ms(6)));
        assert_eq!(settling.take(begin + ms(5), false), BTreeSet::new());
        assert_eq!(settling.take(begin + ms(8), false), BTreeSet::from(["kernel", "sysctl"]));
        assert_eq!(settling.due(), None);
        for at in 0..100 {
            settling.add(kernel(&["sysctl"]), begin + ms(at));
        }
        assert_eq!(settling.due(), Some(begin + CEILING));
    }

    /// Promise: an upgrade of packages is one change, and one that never ends is reported all the same.
    #[test]
    fn the_disk_waits_for_the_package_manager_and_the_kernel_does_not() {
        let begin = Instant::now();
        let mut settling = Settling::default();
        settling.add(disk(&["packages"]), begin);
        settling.add(kernel(&["sysctl"]), begin);
        assert!(settling.asks_for_packages(begin + ms(5)));
        assert_eq!(settling.take(begin + ms(5), true), BTreeSet::from(["sysctl"]));
        assert_eq!(settling.due(), Some(begin + ms(5) + PACKAGES_LEAST));
        for (works_for, wait) in [(800, ms(50)), (20_000, PACKAGES_MOST)] {
            assert_eq!(settling.take(begin + ms(works_for), true), BTreeSet::new());
            assert_eq!(settling.due(), Some(begin + ms(works_for) + wait));
        }
        assert_eq!(settling.take_all(true), BTreeSet::from(["packages"]));
        assert!(settling.awaits("packages") && !settling.awaits("sysctl"));
        assert_eq!(settling.take(begin + ms(20_300), false), BTreeSet::from(["packages"]));
        settling.add(disk(&["packages"]), begin);
        assert_eq!(settling.take(begin + PACKAGES_CEILING, true), BTreeSet::from(["packages"]));
        settling.add(disk(&["packages"]), begin);
        assert_eq!(settling.take_all(false), BTreeSet::new());
        assert_eq!(settling.due(), None);
    }

    /// Promise: whoever writes without end costs a source's share of one processor, not all of it, and delays no other
    /// source.
    #[test]
    fn a_source_has_a_share_and_delays_no_other() {
        let begin = Instant::now();
        let mut settling = Settling::default();
        settling.spend("go_programs", SAVED, begin);
        settling.add(kernel(&["go_programs"]), begin);
        assert_eq!(settling.take(begin + QUIET, false), BTreeSet::from(["go_programs"]));
        settling.spend("go_programs", ms(10), begin);
        settling.add(kernel(&["go_programs"]), begin);
        assert_eq!(settling.take(begin + QUIET, false), BTreeSet::new());
        assert_eq!(settling.due(), Some(begin + ms(200) + QUIET));
        // Another's news settle as ever.
        for at in [100, 102] {
            settling.add(kernel(&["go_programs", "sysctl"]), begin + ms(at));
        }
        assert_eq!(settling.due(), Some(begin + ms(102) + QUIET));
        assert_eq!(settling.take(begin + ms(105), false), BTreeSet::from(["sysctl"]));
        assert_eq!(settling.due(), Some(begin + ms(200) + QUIET));
        assert!(settling.awaits("go_programs"));
        settling.spend("go_programs", ms(0), begin + ms(200));
        assert_eq!(settling.take(begin + ms(203), false), BTreeSet::from(["go_programs"]));
        assert_eq!(settling.due(), None);
        // The first that may look again is not held up by the last.
        settling.spend("go_programs", ms(30), begin + ms(200));
        settling.spend("packages", SAVED + ms(10), begin + ms(200));
        settling.add(kernel(&["go_programs", "packages"]), begin + ms(200));
        assert_eq!(settling.take(begin + ms(203), false), BTreeSet::new());
        assert_eq!(settling.take(begin + ms(403), false), BTreeSet::from(["packages"]));
        assert_eq!(settling.due(), Some(begin + ms(800) + QUIET));
    }
}
