//! How many, how long, at what cost.
#![expect(clippy::cast_precision_loss, reason = "rates are rounded when they are shown")]

use std::fmt;
use std::time::Duration;

/// What one phase of a load did.
#[derive(Debug, Clone, Default)]
pub struct Phase {
    /// How long it took by the clock.
    pub wall: Duration,
    /// What the collector's process took of the processors meanwhile, user and system.
    pub cpu: Duration,
    /// Each exchange's latency, ascending.
    pub latencies: Vec<Duration>,
    /// Bytes of messages that nodes sent, without headers.
    pub sent: u64,
}

impl Phase {
    /// How many exchanges were done.
    pub fn done(&self) -> usize {
        self.latencies.len()
    }

    /// Exchanges a second of the collector's processor time: what one core could serve.
    pub fn per_core_second(&self) -> f64 {
        self.done() as f64 / self.cpu.as_secs_f64().max(1e-9)
    }

    /// Exchanges a second by the clock, with the generator on the same machine.
    pub fn per_second(&self) -> f64 {
        self.done() as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    /// The latency that so many per cent of the exchanges did not exceed; zero when there were none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * percent / 100).copied().unwrap_or_default()
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {:.1} s ({:.0}/s; {:.0}/s a core of the collector), p50 {:.1} ms, p99 {:.1} ms",
            self.done(),
            self.wall.as_secs_f64(),
            self.per_second(),
            self.per_core_second(),
            self.percentile(50).as_secs_f64() * 1e3,
            self.percentile(99).as_secs_f64() * 1e3,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_percentiles() {
        let latencies = (1..=101).map(Duration::from_millis).collect();
        let phase =
            Phase { wall: Duration::from_secs(2), cpu: Duration::from_millis(500), latencies, sent: 0 };
        assert_eq!(phase.percentile(50), Duration::from_millis(51));
        assert_eq!(phase.percentile(99), Duration::from_millis(100));
        assert!((phase.per_core_second() - 202.0).abs() < 1e-9);
        assert_eq!(
            phase.to_string(),
            "101 in 2.0 s (50/s; 202/s a core of the collector), p50 51.0 ms, p99 100.0 ms"
        );
        assert_eq!(Phase::default().percentile(50), Duration::ZERO);
    }
}
