//! `evenkeel-agent run`: sweep, report, and again, until SIGTERM.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_facts::{Digest, Snapshot};
use evenkeel_runtime::backoff::{Backoff, fraction};
use evenkeel_runtime::channel::Address;
use evenkeel_runtime::exit;
use evenkeel_runtime::shutdown::Shutdown;
use evenkeel_sources::{Host, SourcesConfig, collect_each};
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use crate::collect;
use crate::config::AgentConfig;
use crate::error::AgentError;
use crate::home::{Enrolment, Home};
use crate::uplink::{Place, Uplink, UplinkError};

/// Waits are up to so much longer or shorter, so that agents that started together do not stay together.
const SPLAY: f64 = 0.1;
/// How long to wait when only a person can help.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs until the end is announced.
pub async fn run(config: AgentConfig, shutdown: Shutdown) -> Result<(), AgentError> {
    let home = Home::open(&config.state_dir).map_err(AgentError::State)?;
    let _lock = home.lock().map_err(AgentError::State)?;
    let enrolment = home.enrolment().map_err(AgentError::State)?;
    let enrolment = enrolment.ok_or_else(|| AgentError::NotEnrolled(config.state_dir.clone()))?;
    let host = Host::at(&config.root).map_err(AgentError::Host)?;
    let collector = Address::parse(&enrolment.collector, 0).map_err(AgentError::Usage)?;
    let uplink = Uplink::new(home.clone(), &collector).map_err(AgentError::Uplink)?;
    let boot_epoch = home.next_boot_epoch(0).map_err(AgentError::State)?;
    info!(
        node = enrolment.node,
        environment = enrolment.environment,
        collector = enrolment.collector,
        boot_epoch,
        "Agent started."
    );
    let mut daemon = Daemon {
        sweeper: Arc::new(Sweeper { host, sources: config.sources, enrolment }),
        interval: config.interval,
        home,
        uplink,
        place: Place { boot_epoch, sequence: 0 },
        acknowledged: None,
        newest: None,
        due: false,
        // A try costs the collector what a check-in costs, and it is sized for one in each interval.
        backoff: Backoff::up_to(config.interval),
    };
    tokio::select! {
        () = daemon.turn() => {}
        () = shutdown.wait() => {}
    }
    info!("Agent ended.");
    Ok(())
}

struct Daemon {
    sweeper: Arc<Sweeper>,
    interval: Duration,
    home: Home,
    uplink: Uplink,
    /// Of the newest snapshot that is not the acknowledged one, or of that.
    place: Place,
    /// The root of what the collector holds durably.
    acknowledged: Option<Digest>,
    newest: Option<Snapshot>,
    /// Whether the collector is to be told of the newest snapshot.
    due: bool,
    backoff: Backoff,
}

impl Daemon {
    async fn turn(&mut self) {
        // What an earlier run could not deliver comes first: it is part of the node's history.
        match self.home.pending() {
            Ok(Some(pending)) => {
                self.place.sequence += 1;
                self.newest = Some(pending);
                self.report().await;
            }
            Ok(None) => {}
            Err(error) => {
                warn!(error = exit::chain(&error), "The pending snapshot is not readable; sweeping anew.");
            }
        }
        let mut next_sweep = Instant::now();
        let mut next_try = Instant::now();
        loop {
            if Instant::now() >= next_sweep {
                next_sweep = Instant::now() + self.interval.mul_f64(1.0 - SPLAY + 2.0 * SPLAY * fraction());
                self.sweep().await;
                self.renew().await;
                self.due = true;
            }
            // A collector that asked for patience gets it, also when a sweep comes in between.
            if self.due && Instant::now() >= next_try {
                let wait = self.report().await;
                self.due = wait.is_some();
                next_try = Instant::now() + wait.unwrap_or_default();
            }
            sleep_until(if self.due { next_try.min(next_sweep) } else { next_sweep }).await;
        }
    }

    /// Looks at the machine. A new state is kept on disk before anything is sent; a disk that takes no writes is said,
    /// and the report goes out all the same.
    async fn sweep(&mut self) {
        let sweeper = Arc::clone(&self.sweeper);
        let Ok(snapshot) = tokio::task::spawn_blocking(move || sweeper.sweep()).await else {
            // Nothing is reported then: what was seen before is not what is.
            self.newest = None;
            return error!("The sweep failed as a whole; the next one tries again.");
        };
        let root = snapshot.root();
        if self.newest.as_ref().map(Snapshot::root) != Some(root) && self.acknowledged != Some(root) {
            self.place.sequence += 1;
            // The collector may hold what was sent last without our knowing: only the next answer tells.
            self.acknowledged = None;
            if let Err(error) = self.home.keep_pending(&snapshot) {
                let error = exit::chain(&error);
                warn!(error, "The state is not kept on disk: it would be lost with this process.");
            }
        }
        self.newest = Some(snapshot);
    }

    /// Renews the certificate when it is due, whether or not reports are taken: it must not end meanwhile.
    async fn renew(&mut self) {
        match self.uplink.renew_if_due().await {
            Ok(true) => info!("Certificate renewed."),
            Ok(false) => {}
            Err(error) => {
                warn!(error = exit::chain(&error), "The certificate was not renewed; trying again later.");
            }
        }
    }

    /// Tells the collector. Returns how long to wait before trying again; `None` when it holds the newest state.
    async fn report(&mut self) -> Option<Duration> {
        let snapshot = self.newest.as_ref()?;
        let root = snapshot.root();
        let news = self.acknowledged != Some(root);
        if let Err(error) = self.uplink.report(snapshot, self.place, news).await {
            return Some(self.failed(&error));
        }
        self.backoff.reset();
        if news {
            info!(%root, sequence = self.place.sequence, "State acknowledged.");
            self.acknowledged = Some(root);
            if let Err(error) = self.home.forget_pending() {
                warn!(error = exit::chain(&error), "The acknowledged snapshot was not removed.");
            }
        }
        None
    }

    fn failed(&mut self, error: &UplinkError) -> Duration {
        if let UplinkError::EpochBehind(heard) = error {
            match self.home.next_boot_epoch(*heard) {
                Ok(boot_epoch) => {
                    warn!(
                        boot_epoch,
                        "The state directory is older than it was; going on in a later boot epoch."
                    );
                    self.place = Place { boot_epoch, sequence: 1 };
                    return self.backoff.next_wait();
                }
                Err(error) => warn!(error = exit::chain(&error), "The boot epoch was not kept."),
            }
        }
        let wait = match error {
            UplinkError::RetryAfter(wait) => *wait,
            error if error.needs_a_person() => PATIENCE.mul_f64(0.5 + fraction()),
            _ => self.backoff.next_wait(),
        };
        let error = exit::chain(error);
        warn!(
            error,
            retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "Report not delivered."
        );
        wait
    }
}

/// Looks at the machine, on a thread where waiting hurts nobody.
struct Sweeper {
    host: Host,
    sources: SourcesConfig,
    enrolment: Enrolment,
}

impl Sweeper {
    fn sweep(&self) -> Snapshot {
        let taken_at = Timestamp::now();
        let mut sections = Vec::new();
        for collected in collect_each(&self.host, &self.sources) {
            if let Some(fault) = collected.fault {
                error!(source = collected.source, fault, "Source failed.");
            }
            sections.extend(collected.sections);
        }
        sections.sort_by(|a, b| a.name().cmp(b.name()));
        let snapshot = collect::snapshot(&self.host, taken_at, sections);
        let Enrolment { name, environment, role, .. } = &self.enrolment;
        let host = name.clone().unwrap_or(snapshot.host);
        Snapshot { host, environment: Some(environment.clone()), role: role.clone(), ..snapshot }
    }
}
