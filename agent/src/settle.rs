//! News wait a moment until they are complete: many events of one change are one look at the machine.

use std::collections::BTreeSet;
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
/// Looking may take this share of the time, however often something changes …
const SHARE: f64 = 0.05;
/// … once so much was spent. What is changed by hand, or by a tool, stays far below.
const SAVED: Duration = Duration::from_secs(5);

/// News that wait.
#[derive(Debug, Default)]
pub struct Settling {
    kernel: Wait,
    disk: Wait,
    /// Until when the disk waits for a package manager.
    packages_until: Option<Instant>,
    spent: Duration,
    spent_at: Option<Instant>,
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
        let due = [self.kernel.due(), disk].into_iter().flatten().min()?;
        Some(self.allowed_at().map_or(due, |at| due.max(at)))
    }

    /// Whether what is due depends on a package manager's being done.
    pub fn asks_for_packages(&self, now: Instant) -> bool {
        self.disk.due().is_some_and(|due| due <= now)
    }

    /// The sources that are to look now. While a package manager `works`, those that read its files wait, so that an
    /// upgrade is one change and not hundreds.
    pub fn take(&mut self, now: Instant, works: bool) -> BTreeSet<&'static str> {
        let mut sources = self.kernel.take(now);
        let works_for = self.disk.between.map_or(PACKAGES_CEILING, |(first, _)| now.duration_since(first));
        if works && works_for < PACKAGES_CEILING {
            let wait = (works_for / PACKAGES_PART).clamp(PACKAGES_LEAST, PACKAGES_MOST);
            self.packages_until = Some(now + wait);
        } else {
            sources.extend(self.disk.take(now));
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

    /// A look because of news took so long.
    pub fn spend(&mut self, took: Duration, now: Instant) {
        let since = self.spent_at.map_or(Duration::ZERO, |at| now.duration_since(at));
        self.spent = self.spent.saturating_sub(since.mul_f64(SHARE)) + took;
        self.spent_at = Some(now);
    }

    /// When looking is within its share again.
    fn allowed_at(&self) -> Option<Instant> {
        let over = self.spent.checked_sub(SAVED)?;
        Some(self.spent_at? + over.div_f64(SHARE))
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

    fn take(&mut self, now: Instant) -> BTreeSet<&'static str> {
        if self.due().is_none_or(|due| due > now) {
            return BTreeSet::new();
        }
        std::mem::take(self).sources
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

    /// Promise: whoever writes without end costs a share of one processor, not all of it.
    #[test]
    fn looking_has_a_share() {
        let begin = Instant::now();
        let mut settling = Settling::default();
        settling.spend(SAVED, begin);
        settling.add(kernel(&["sysctl"]), begin);
        assert_eq!(settling.due(), Some(begin + QUIET));
        settling.spend(ms(10), begin);
        assert_eq!(settling.due(), Some(begin + ms(200)));
        settling.spend(ms(0), begin + ms(200));
        assert_eq!(settling.due(), Some(begin + ms(200)));
    }
}
