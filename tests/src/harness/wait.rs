//! Until a condition holds, and never for a time.

use std::thread;
use std::time::{Duration, Instant};

/// When a test gives up. Nothing takes so long, but a machine under load may.
const DEADLINE: Duration = Duration::from_secs(90);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until it is as expected. An error says how it is instead.
///
/// # Panics
///
/// When it is not so within the deadline; with the last error.
pub fn until<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) if begin.elapsed() > DEADLINE => panic!("not so within {DEADLINE:?}: {why}"),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
