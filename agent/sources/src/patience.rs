//! A source that hangs in the kernel stops no other. A deadline is looked at between two reads; a read of a file system
//! whose server is gone may never return, and no thread can be stopped from outside. So sources look on a thread that is
//! left behind, with the one that hangs, and the others go on on another.
//!
//! No source is asked again while a thread of its own still hangs: there are never more such threads than sources.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::source::DEADLINE;

/// What a source may take beyond its deadline before it is left alone: its deadline is looked at between two reads.
const GRACE: Duration = Duration::from_secs(5);
/// A thread that has asked all sources ends within this time, as a rule.
const SHORTEST: Duration = Duration::from_millis(10);

/// Waits for sources, but not for ever.
#[derive(Debug)]
pub struct Patience {
    /// The sources whose threads hang.
    hanging: Arc<Mutex<BTreeSet<&'static str>>>,
    limit: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { hanging: Arc::default(), limit: DEADLINE + GRACE }
    }
}

/// How a source was left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It hangs now, and its thread is left behind.
    Now,
    /// It was left behind earlier and hangs still: it was not asked.
    Still,
}

/// One turn of a thread: what it has seen so far. Whoever waits for it is woken once, when it has ended.
#[derive(Debug)]
struct Turn<T> {
    state: Mutex<State<T>>,
    ended: Condvar,
}

#[derive(Debug)]
struct State<T> {
    /// What came of each source, in their order.
    seen: Vec<T>,
    /// When the source that is looking now began.
    since: Instant,
    /// Whether the thread is done, or has panicked.
    has_ended: bool,
    /// Whether it was left behind: nobody waits for it any more.
    abandoned: bool,
}

impl<T> Default for Turn<T> {
    fn default() -> Self {
        let state = State { seen: Vec::new(), since: Instant::now(), has_ended: false, abandoned: false };
        Self { state: Mutex::new(state), ended: Condvar::new() }
    }
}

/// Says at the end of a thread, whichever it is, that it has ended.
struct Ending<T>(Arc<Turn<T>>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        lock(&self.0.state).has_ended = true;
        self.0.ended.notify_one();
    }
}

impl Patience {
    /// Does `look` for each of these sources, one after the other on one thread, and gives what came of it; for a source
    /// that hangs, or hangs still, what `left` says.
    ///
    /// # Panics
    ///
    /// When `look` does: a source's own panic ends at its fence.
    pub fn each<T: Send + 'static>(
        &self,
        sources: Vec<&'static str>,
        look: impl Fn(&'static str) -> T + Send + Sync + 'static,
        mut left: impl FnMut(&'static str, Left) -> T,
    ) -> Vec<T> {
        let look = Arc::new(look);
        let mut seen = Vec::with_capacity(sources.len());
        let mut rest = Vec::with_capacity(sources.len());
        for source in sources {
            if lock(&self.hanging).contains(source) {
                seen.push(left(source, Left::Still));
            } else {
                rest.push(source);
            }
        }
        while !rest.is_empty() {
            let turn = Arc::new(Turn::default());
            if self.begin(rest.clone(), &turn, Arc::clone(&look)).is_err() {
                // No thread is to be had: better to wait than to see nothing.
                seen.extend(rest.drain(..).map(|source| look(source)));
                break;
            }
            let hangs = self.wait(&rest, &turn, &mut seen);
            let done = hangs.map_or(rest.len(), |at| {
                seen.push(left(rest[at], Left::Now));
                at + 1
            });
            rest.drain(..done);
        }
        seen
    }

    fn begin<T: Send + 'static>(
        &self,
        sources: Vec<&'static str>,
        turn: &Arc<Turn<T>>,
        look: Arc<impl Fn(&'static str) -> T + Send + Sync + 'static>,
    ) -> std::io::Result<()> {
        let (turn, hanging) = (Ending(Arc::clone(turn)), Arc::clone(&self.hanging));
        let work = move || {
            for source in sources {
                let seen = look(source);
                let mut state = lock(&turn.0.state);
                if state.abandoned {
                    lock(&hanging).remove(source);
                    return;
                }
                state.seen.push(seen);
                state.since = Instant::now();
            }
        };
        thread::Builder::new().name("sources".to_owned()).spawn(work).map(drop)
    }

    /// Waits until the thread has asked these sources, and takes what it has seen; if one of them hangs, which.
    fn wait<T>(&self, sources: &[&'static str], turn: &Turn<T>, seen: &mut Vec<T>) -> Option<usize> {
        let mut state = lock(&turn.state);
        loop {
            let at = state.seen.len();
            let rest = self.limit.saturating_sub(state.since.elapsed());
            if state.has_ended {
                assert!(at == sources.len(), "looking at source {} panicked", sources[at]);
            } else if rest.is_zero() && at < sources.len() {
                state.abandoned = true;
                lock(&self.hanging).insert(sources[at]);
            } else {
                let woken = turn.ended.wait_timeout(state, rest.max(SHORTEST));
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            seen.append(&mut state.seen);
            return state.abandoned.then_some(at);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Promise: a source that hangs is left alone, once; the others are asked, before and after it; and when it comes back
    /// it is asked again.
    #[test]
    fn who_hangs_stops_nobody() {
        let patience = Patience { limit: Duration::from_millis(50), ..Patience::default() };
        let (wake, asleep) = channel::<()>();
        let asleep = Arc::new(Mutex::new(asleep));
        let ask = |names: &[&'static str]| {
            let asleep = Arc::clone(&asleep);
            let look = move |source: &'static str| {
                if source == "hung" {
                    let _ = lock(&asleep).recv();
                }
                source.to_owned()
            };
            patience.each(names.to_vec(), look, |source, left| format!("{source} {left:?}"))
        };
        assert_eq!(ask(&["os", "hung", "kernel", "libc"]), ["os", "hung Now", "kernel", "libc"]);
        assert_eq!(ask(&["hung", "os"]), ["hung Still", "os"]);
        wake.send(()).unwrap();
        while lock(&patience.hanging).contains("hung") {
            thread::yield_now();
        }
        drop(wake);
        assert_eq!(ask(&["hung", "os"]), ["hung", "os"]);
    }

    #[test]
    #[should_panic(expected = "looking at source os panicked")]
    fn what_panics_outside_of_the_fence_is_told() {
        Patience::default().each(vec!["os"], |_| panic!("broken"), |_, _| ());
    }
}
