//! Processor time, and medians: the machines are noisy.

use std::hint::black_box;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// What this thread took of the processor for one call, in seconds, and what it gave.
pub(crate) fn cpu<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let before = so_far();
    let result = black_box(work());
    (so_far() - before, result)
}

/// The median over so many calls, in seconds of processor time.
pub(crate) fn median_cpu<T>(times: usize, mut work: impl FnMut() -> T) -> f64 {
    median((0..times).map(|_| cpu(&mut work).0).collect())
}

/// The middle one.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The one that so large a share of them does not exceed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "there are not so many figures"
)]
pub(crate) fn percentile(mut figures: Vec<f64>, share: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    let at = (figures.len() as f64 * share) as usize;
    figures.get(at.min(figures.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// This thread's processor time, to the nanosecond: `getrusage` of a running thread counts in ticks of 4 ms.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a run fit a double")]
fn so_far() -> f64 {
    let time: TimeSpec =
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has its processor time");
    time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9
}
