//! `evenkeel-agent run`: look where something happened, and everywhere from time to time; report; until SIGTERM.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_facts::Snapshot;
use evenkeel_runtime::backoff::{Backoff, fraction};
use evenkeel_runtime::channel::Address;
use evenkeel_runtime::exit;
use evenkeel_runtime::service::{self, Pulse};
use evenkeel_runtime::shutdown::Shutdown;
use evenkeel_sources::Host;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use crate::config::AgentConfig;
use crate::credentials::Credentials;
use crate::delivery::Delivery;
use crate::enroll;
use crate::error::AgentError;
use crate::home::{Enrolment, Home};
use crate::looker::{Looker, Wanted};
use crate::settle::Settling;
use crate::status::Status;
use crate::uplink::{Uplink, UplinkError};
use crate::watch::authors::Authors;
use crate::watch::starts::Starts;
use crate::watch::{News, Watch};

/// Waits are up to so much longer or shorter, so that agents that started together do not stay together.
const SPLAY: f64 = 0.1;
/// When events were lost, everything is looked at at once, but not more often than so.
const LOST: Duration = Duration::from_secs(1);
/// The port that a collector takes reports on when the address says none.
const FLEET_PORT: u16 = 7443;
/// How long to wait when only a person can help.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs until the end is announced.
pub async fn run(config: AgentConfig, shutdown: Shutdown) -> Result<(), AgentError> {
    let home = Home::open(&config.state_dir).map_err(AgentError::State)?;
    let _lock = home.lock().map_err(AgentError::State)?;
    Status::forget(home.path());
    let host = Host::at(&config.root).map_err(AgentError::Host)?.tracking().keeping();
    let mut pulse = Pulse::of_manager();
    let node = tokio::select! {
        node = pulse.during(node(&config, &home, &host)) => node?,
        () = shutdown.wait() => return Ok(()),
    };
    let Node { enrolment, collector, credentials } = node;
    let uplink = Uplink::new(credentials, &collector).map_err(AgentError::Uplink)?;
    let delivery = Delivery::begin(home.clone()).map_err(AgentError::State)?;
    info!(
        node = enrolment.node,
        environment = enrolment.environment,
        collector = enrolment.collector,
        boot_epoch = delivery.place().boot_epoch,
        "Agent started."
    );
    let watch = Watch::new()
        .inspect_err(|error| {
            let error = exit::chain(error);
            warn!(error, "Changes are not seen when they are made, only at the next sweep.");
        })
        .ok()
        .map(|watch| watch.hearing(starts(&config)));
    let authors = config.authors.then(|| Authors::listen(&config.root)).and_then(|authors| {
        let said = |error: &io::Error| {
            let error = exit::chain(error);
            warn!(error, "Who changes what is not seen: it needs CAP_SYS_ADMIN and Linux 4.20.");
        };
        authors.inspect_err(said).ok()
    });
    let places = watch.as_ref().map(Watch::places);
    let mut daemon = Daemon {
        looker: Arc::new(Looker::new(host, config.sources, enrolment, places)),
        watch,
        settling: Settling::default(),
        next_sweep: Instant::now(),
        swept_at: None,
        interval: config.interval,
        home,
        uplink,
        delivery,
        authors,
        due: false,
        spread: false,
        backoff: Backoff::up_to(Duration::MAX),
        was_behind: false,
        renewals: Backoff::up_to(Duration::MAX),
        missed: 0,
        acknowledged_at: None,
        pulse,
    };
    tokio::select! {
        () = daemon.turn() => {}
        () = shutdown.wait() => {}
    }
    service::stopping();
    info!("Agent ended.");
    Ok(())
}

/// Hears of programs that start, where the kernel tells.
fn starts(config: &AgentConfig) -> Option<Starts> {
    let host = config.starts.then(|| Host::at(&config.root).ok())??;
    let said = |error: &io::Error| {
        let error = exit::chain(error);
        info!(
            error,
            "Programs that start are seen by the next sweep: the kernel does not tell of them here."
        );
    };
    Starts::listen(host).inspect_err(said).ok()
}

/// Who this machine is to the collector.
struct Node {
    enrolment: Enrolment,
    collector: Address,
    credentials: Credentials,
}

/// What another authority's files say, or what enrolment has told; a machine that is to enrol itself does.
async fn node(config: &AgentConfig, home: &Home, host: &Host) -> Result<Node, AgentError> {
    if let Some(pki) = &config.pki {
        let collector = Address::parse(&pki.collector, FLEET_PORT).map_err(AgentError::Usage)?;
        let name = pki.name.clone().unwrap_or_else(|| collector.host().to_owned());
        let enrolment = Enrolment {
            node: String::new(),
            environment: String::new(),
            collector: collector.to_string(),
            role: pki.role.clone(),
            name: None,
        };
        let collector = collector.certified_as(&name);
        return Ok(Node { enrolment, collector, credentials: Credentials::of_files(pki.clone()) });
    }
    let enrolment = match (home.enrolment().map_err(AgentError::State)?, &config.enroll) {
        (Some(enrolment), _) => enrolment,
        (None, Some(enroll)) => {
            // It may take until somebody makes a token: a boot does not wait for that.
            service::ready("Waiting to be enrolled; the log says what stands in the way.");
            enroll::until_enrolled(host, home, enroll).await
        }
        (None, None) => return Err(AgentError::NotEnrolled(config.state_dir.clone())),
    };
    let collector = Address::parse(&enrolment.collector, FLEET_PORT).map_err(AgentError::Usage)?;
    Ok(Node { enrolment, collector, credentials: Credentials::Enrolled(home.clone()) })
}

struct Daemon {
    looker: Arc<Looker>,
    watch: Option<Watch>,
    /// What was heard and not looked at yet.
    settling: Settling,
    next_sweep: Instant,
    swept_at: Option<Instant>,
    interval: Duration,
    home: Home,
    uplink: Uplink,
    delivery: Delivery,
    /// Who writes the kernel's files, if that is asked for and can be heard.
    authors: Option<Authors>,
    /// Whether the collector is to be told of the newest snapshot.
    due: bool,
    /// Whether it waits only so that agents do not come back all at once: news do not wait for that.
    spread: bool,
    backoff: Backoff,
    /// The same for the certificate.
    renewals: Backoff,
    /// Whether the last answer was that the boot epoch is behind.
    was_behind: bool,
    /// How often a sweep found what an event should have told.
    missed: u64,
    acknowledged_at: Option<Timestamp>,
    /// Given by the loop. A look that does not end is not waited for: the service manager then starts the agent anew.
    pulse: Pulse,
}

impl Daemon {
    async fn turn(&mut self) {
        match self.delivery.take_up_pending() {
            Ok(true) => {
                self.report().await;
            }
            Ok(false) => {}
            Err(error) => {
                warn!(error = exit::chain(&error), "The pending snapshot is not readable; sweeping anew.");
            }
        }
        let mut next_try = Instant::now();
        let mut next_renewal = Instant::now();
        loop {
            self.pulse.beat();
            let now = Instant::now();
            if now >= next_renewal {
                next_renewal = now + self.renew().await;
            }
            if now >= self.next_sweep {
                let first = self.swept_at.is_none();
                self.sweep().await;
                self.due = true;
                self.tell_status();
                if first {
                    service::ready("Reporting.");
                }
            } else if self.settling.due().is_some_and(|due| due <= now) {
                self.look_again().await;
            }
            // A collector that asked for patience gets it, whatever is news meanwhile.
            if self.due && (Instant::now() >= next_try || self.spread && self.delivery.has_news()) {
                self.spread = false;
                let wait = self.report().await;
                self.due = wait.is_some();
                next_try = Instant::now() + wait.unwrap_or_default();
                self.tell_status();
                if wait.is_none() {
                    // The collector may have asked for it.
                    next_renewal = next_renewal.min(Instant::now() + self.uplink.renewal_in());
                }
            }
            let wakes = [
                Some(self.next_sweep),
                Some(next_renewal),
                self.settling.due(),
                self.due.then_some(next_try),
                self.pulse.due(),
            ];
            tokio::select! {
                news = hear(self.watch.as_ref()) => self.heard(news),
                () = sleep_until(wakes.into_iter().flatten().min().unwrap_or(self.next_sweep)) => {}
            }
        }
    }

    fn heard(&mut self, news: News) {
        if news.lost {
            warn!("Events were lost; looking at everything.");
            let now = Instant::now();
            self.next_sweep = self.next_sweep.min(self.swept_at.map_or(now, |at| now.max(at + LOST)));
        }
        self.settling.add(news, Instant::now());
    }

    /// Looks at everything: at what nobody tells of, and at what should have been told.
    async fn sweep(&mut self) {
        let now = Instant::now();
        self.next_sweep = now + self.interval.mul_f64(1.0 - SPLAY + 2.0 * SPLAY * fraction());
        let first = self.swept_at.replace(now).is_none();
        self.hear_so_far();
        let told: BTreeSet<_> = self.settling.awaited().collect();
        let works = self.packages_change().await;
        let held = self.settling.take_all(works);
        let Some(changed) = self.look(Wanted::AllBut(held)).await else { return };
        self.hear_so_far();
        if first {
            return;
        }
        for source in changed.difference(&told).filter(|source| !self.settling.awaits(source)) {
            let watched = self.looker.places.as_ref().is_some_and(|places| places.tell_everything(source));
            self.missed += u64::from(watched);
            info!(source, watched, missed = self.missed, "The sweep found what no event had told.");
        }
    }

    /// Looks where something happened.
    async fn look_again(&mut self) {
        let now = Instant::now();
        let works = self.settling.asks_for_packages(now) && self.packages_change().await;
        let sources = self.settling.take(now, works);
        if !sources.is_empty() {
            let changed = self.look(Wanted::Only(sources)).await;
            self.due |= changed.is_some_and(|changed| !changed.is_empty());
        }
    }

    /// For `check` and `health`. A disk that takes no writes is said elsewhere.
    fn tell_status(&self) {
        let watched = self.looker.places.as_ref().map(|places| places.watched());
        let refused = self.looker.places.as_ref().map(|places| places.refused()).unwrap_or_default();
        let status = Status {
            at: Timestamp::now(),
            watched,
            refused,
            missed: self.missed,
            acknowledged_at: self.acknowledged_at,
            again_in_s: self.interval.mul_f64(1.0 + SPLAY).as_secs(),
            waits: None,
        };
        let _ = status.write(self.home.path());
    }

    fn hear_so_far(&mut self) {
        if let Some(watch) = &self.watch {
            let news = watch.so_far();
            self.heard(news);
        }
    }

    async fn packages_change(&self) -> bool {
        let looker = Arc::clone(&self.looker);
        tokio::task::spawn_blocking(move || looker.packages_change()).await.unwrap_or(false)
    }

    /// Looks at the machine. The sources that see something else than before; `None`: all failed.
    async fn look(&mut self, wanted: Wanted) -> Option<BTreeSet<&'static str>> {
        let looker = Arc::clone(&self.looker);
        let (seen, wanted) = match tokio::task::spawn_blocking(move || (looker.look(&wanted), wanted)).await {
            Ok(outcome) => outcome,
            Err(error) => {
                // Nothing is reported then: what was seen before is not what is.
                self.delivery.take_newest();
                let error = exit::chain(&error);
                error!(error, "Looking failed as a whole; the next sweep tries again.");
                return None;
            }
        };
        if matches!(wanted, Wanted::Only(_)) {
            let now = Instant::now();
            seen.took.iter().for_each(|(source, took)| self.settling.spend(source, *took, now));
        }
        // What happened between a look and the watch that it led to was not heard.
        self.settling.add(News { kernel: seen.unheard.clone(), ..News::default() }, Instant::now());
        let before = self.delivery.take_newest();
        let old = before.as_ref().map(Snapshot::root);
        let (snapshot, changed, replaced) = self.looker.snapshot(seen, before, &wanted);
        let wrote = self.authors.as_ref().map(Authors::take).unwrap_or_default();
        self.delivery.saw(old, snapshot, replaced, wrote);
        Some(changed)
    }

    /// Renews the certificate when it is due, whether or not reports are taken: it must not end meanwhile. Returns when
    /// to look again.
    async fn renew(&mut self) -> Duration {
        match self.uplink.renew_if_due().await {
            Ok(true) => {
                info!("Certificate renewed.");
                self.renewals.reset();
                // Somebody else may decide it: with another role the node is compared with others.
                if let Ok(Some(Enrolment { role, .. })) = self.home.enrolment()
                    && self.looker.take_role(&role)
                {
                    info!(role, "The node has another role.");
                    self.delivery.relabelled(&role);
                    self.due = true;
                }
            }
            Ok(false) => {}
            Err(error) => {
                warn!(error = exit::chain(&error), "The certificate was not renewed; trying again later.");
                return self.renewals.next_wait();
            }
        }
        self.uplink.renewal_in()
    }

    /// Tells the collector. Returns how long to wait before trying again; `None` when it holds the newest state.
    async fn report(&mut self) -> Option<Duration> {
        self.delivery.newest()?;
        if let Err(error) = self.uplink.report(&self.delivery).await {
            return Some(self.failed(&error));
        }
        self.backoff.reset();
        self.was_behind = false;
        self.acknowledged_at = Some(Timestamp::now());
        self.delivery.acknowledged();
        None
    }

    fn failed(&mut self, error: &UplinkError) -> Duration {
        if let UplinkError::Spread(wait) = error {
            self.spread = true;
            info!(reason = %error, "Report put off.");
            return *wait;
        }
        if let UplinkError::EpochBehind(heard) = error {
            match self.delivery.behind(*heard) {
                Ok(boot_epoch) => {
                    warn!(
                        boot_epoch,
                        "The state directory is older than it was; going on in a later boot epoch."
                    );
                    // At once: nothing stands in the way any more. Not twice, so that two agents that share one identity
                    // do not outbid each other without end.
                    let again = std::mem::replace(&mut self.was_behind, true);
                    return if again { self.backoff.next_wait() } else { Duration::ZERO };
                }
                Err(error) => warn!(error = exit::chain(&error), "The boot epoch was not kept."),
            }
        }
        self.backoff.set_last(self.uplink.longest_wait(self.interval));
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

/// Waits for news; for ever where nothing is told.
async fn hear(watch: Option<&Watch>) -> News {
    match watch {
        Some(watch) => watch.news().await,
        None => std::future::pending().await,
    }
}
