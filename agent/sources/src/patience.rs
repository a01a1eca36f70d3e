//! A source that hangs in the kernel stops no other. A deadline is looked at between two reads; a read of a file system
//! whose server is gone may never return, and no thread can be stopped from outside. So sources look on a thread that is
//! left behind, with the one that hangs, and the others go on on another.
//!
//! No source is asked again while a thread of its own still hangs: there are never more such threads than sources.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::source::DEADLINE;

/// What a source may take beyond its deadline before it is left alone: its deadline is looked at between two reads.
const GRACE: Duration = Duration::from_secs(5);

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

/// One turn of a thread. The lock says who decides how it ends.
#[derive(Debug, Default)]
struct Turn {
    abandoned: bool,
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
            let turn = Arc::new(Mutex::new(Turn::default()));
            let (say, hear) = channel();
            let begun = self.begin(rest.clone(), &turn, say, Arc::clone(&look));
            if begun.is_err() {
                // No thread is to be had: better to wait than to see nothing.
                seen.extend(rest.drain(..).map(|source| look(source)));
                break;
            }
            rest = self.wait(rest, &turn, &hear, &mut seen, &mut left);
        }
        seen
    }

    fn begin<T: Send + 'static>(
        &self,
        sources: Vec<&'static str>,
        turn: &Arc<Mutex<Turn>>,
        say: Sender<T>,
        look: Arc<impl Fn(&'static str) -> T + Send + Sync + 'static>,
    ) -> std::io::Result<()> {
        let (turn, hanging) = (Arc::clone(turn), Arc::clone(&self.hanging));
        let work = move || {
            for source in sources {
                let seen = look(source);
                let turn = lock(&turn);
                if turn.abandoned {
                    lock(&hanging).remove(source);
                    return;
                }
                // Nobody listens any more only when it was abandoned.
                let _ = say.send(seen);
            }
        };
        thread::Builder::new().name("sources".to_owned()).spawn(work).map(drop)
    }

    /// Takes what the thread says until it has said all. Returns the sources that are left when it hangs.
    fn wait<T>(
        &self,
        mut rest: Vec<&'static str>,
        turn: &Mutex<Turn>,
        hear: &Receiver<T>,
        seen: &mut Vec<T>,
        left: &mut impl FnMut(&'static str, Left) -> T,
    ) -> Vec<&'static str> {
        while !rest.is_empty() {
            match hear.recv_timeout(self.limit) {
                Ok(one) => {
                    seen.push(one);
                    rest.remove(0);
                }
                Err(RecvTimeoutError::Disconnected) => panic!("looking at source {} panicked", rest[0]),
                Err(RecvTimeoutError::Timeout) => {
                    let mut turn = lock(turn);
                    // It may have ended just now.
                    if let Ok(one) = hear.try_recv() {
                        seen.push(one);
                        rest.remove(0);
                        continue;
                    }
                    turn.abandoned = true;
                    let source = rest.remove(0);
                    lock(&self.hanging).insert(source);
                    drop(turn);
                    seen.push(left(source, Left::Now));
                    break;
                }
            }
        }
        rest
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
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
