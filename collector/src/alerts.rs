//! Alerts: receivers are told of findings as they open, change and end, and of nothing else.
//!
//! # Layout
//!
//! - [`config`]: who is told of what, and when nobody is
//! - [`told`]: what each receiver was told, as the journal has it
//! - [`due`]: what is open less what was told: what has to be said
//! - [`message`]: the same news in the words of each kind of receiver
//! - [`post`]: the one way out
//!
//! What a receiver took is an entry of the journal. So a restart says nothing twice, a receiver that was away hears what
//! is true when it is back, and one that is new hears of everything that is open.

pub mod config;
pub mod due;
pub mod message;
pub mod post;
pub mod told;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_runtime::backoff::Backoff;
use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::shutdown::Shutdown;
use evenkeel_runtime::tls::{self, TlsError};
use evenkeel_runtime::{exit, keys};
use evenkeel_store::Entry;
use evenkeel_store::entry::{Alerted, Told};
use http::header;
use jiff::Timestamp;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use self::config::{AlertsConfig, Receiver, Words};
use self::due::News;
use self::post::{Place, PostError};
use crate::ledger::{Decision, Key, Ledger, LedgerError};
use crate::metrics::Metrics;
use crate::state::State;
use crate::transitions::{Judged, Transitions};

/// How often is looked whether something waited long enough.
const PERIOD: Duration = Duration::from_millis(500);

/// A receiver was not told.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// A file that its configuration names.
    #[error(transparent)]
    File(#[from] FileError),
    /// What its URL file holds.
    #[error("{file}: {why}")]
    Place {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// The roots below which it is believed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It is to be believed below the system's roots, and there are none.
    #[error("this system has no certificate roots: install ca-certificates, or name a file with `roots`")]
    NoRoots,
    /// It did not take the message.
    #[error(transparent)]
    Post(#[from] PostError),
    /// It took the message, and that could not be kept: it will be sent again.
    #[error("it was told, and will be told again: the journal takes no entry")]
    Journal(#[source] LedgerError),
}

/// Tells every receiver until the end.
pub async fn run(
    config: Arc<AlertsConfig>,
    transitions: Transitions,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
) {
    forget(&config, &ledger).await;
    let mut tasks = JoinSet::new();
    for place in 0..config.receivers.len() {
        let teller = Teller {
            config: Arc::clone(&config),
            place,
            ledger: ledger.clone(),
            metrics: Arc::clone(&metrics),
            judged: transitions.judged(),
            gone: HashMap::new(),
            quiet: None,
            waiting: None,
            repeated: None,
            backoff: Backoff::up_to(Duration::from_secs(300)),
            not_before: None,
        };
        tasks.spawn(teller.run(shutdown.clone()));
    }
    while tasks.join_next().await.is_some() {}
}

/// Who is not configured any more is told of everything when it is again.
async fn forget(config: &AlertsConfig, ledger: &Ledger) {
    let configured: BTreeSet<&str> = config.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    let gone: Vec<String> = {
        let state = ledger.state();
        state.alerts.receivers().filter(|name| !configured.contains(name)).map(str::to_owned).collect()
    };
    for receiver in gone {
        let alerted = Alerted { receiver: receiver.clone(), told: Vec::new(), forgotten: true };
        // A journal that takes nothing now: the next start says it.
        if keep(ledger, alerted).await.is_ok() {
            info!(receiver, "Receiver of alerts is not configured any more.");
        }
    }
}

async fn keep(ledger: &Ledger, alerted: Alerted) -> Result<(), LedgerError> {
    let entry = Entry::Alerted(alerted);
    let decide = move |_: &State| Decision { entries: vec![entry], sections: vec![], answer: () };
    ledger.change(Key::None, decide).await
}

/// Tells one receiver.
struct Teller {
    config: Arc<AlertsConfig>,
    /// Its place among the receivers.
    place: usize,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    judged: watch::Receiver<Option<Arc<Judged>>>,
    /// Since when what it was told of is not there any more.
    gone: HashMap<String, Instant>,
    /// The judgement that had nothing to say.
    quiet: Option<Arc<Judged>>,
    /// Since when something waits.
    waiting: Option<Instant>,
    /// When it last heard of everything that stands.
    repeated: Option<Instant>,
    backoff: Backoff,
    not_before: Option<Instant>,
}

impl Teller {
    async fn run(mut self, shutdown: Shutdown) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                _ = ticks.tick() => {}
            }
            let Some(judged) = self.judged.borrow().clone() else { continue };
            let now = Instant::now();
            // What was nothing of this judgement a moment ago is nothing now.
            let is_same = self.quiet.as_ref().is_some_and(|quiet| Arc::ptr_eq(quiet, &judged));
            if is_same && !self.is_repetition(now) {
                continue;
            }
            let known = self.ledger.state().alerts.of(&self.receiver().name);
            let config = Arc::clone(&self.config);
            let receiver = &config.receivers[self.place];
            let news = due::due(receiver, &config, &known, &judged, &mut self.gone, now);
            self.metrics.waiting_alerts(&self.receiver().name, news.len());
            self.quiet = (news.is_empty() && self.gone.is_empty()).then(|| Arc::clone(&judged));
            if !self.is_time(&news, now) {
                continue;
            }
            let standing: Vec<Told> =
                known.into_values().map(|last| last.told).filter(|told| told.open).collect();
            tokio::select! {
                () = shutdown.wait() => return,
                () = self.tell(news, &standing, judged.at, now) => {}
            }
        }
    }

    fn receiver(&self) -> &Receiver {
        &self.config.receivers[self.place]
    }

    /// Whether it is told now: at once of what is critical, of other things when they have waited a little.
    fn is_time(&mut self, news: &[News], now: Instant) -> bool {
        let is_repetition = self.is_repetition(now);
        if news.is_empty() {
            self.waiting = None;
            return is_repetition && self.not_before.is_none_or(|at| at <= now);
        }
        let since = *self.waiting.get_or_insert(now);
        let is_ripe = news.iter().any(|news| news.is_urgent)
            || now.duration_since(since) >= self.config.group_wait
            || is_repetition;
        is_ripe && self.not_before.is_none_or(|at| at <= now)
    }

    /// Whether an Alertmanager has to hear again of what stands.
    fn is_repetition(&self, now: Instant) -> bool {
        self.receiver().kind == Words::Alertmanager
            && self.repeated.is_none_or(|at| now.duration_since(at) >= self.config.repeat)
    }

    async fn tell(&mut self, news: Vec<News>, standing: &[Told], at: Timestamp, now: Instant) {
        let name = self.receiver().name.clone();
        match self.send(news, standing, at).await {
            Ok(count) => {
                if count > 0 {
                    self.metrics.alerts(&name, "sent", count);
                    info!(receiver = name, findings = count, "Alerts were sent.");
                }
                (self.waiting, self.repeated, self.not_before) = (None, Some(now), None);
                self.backoff.reset();
            }
            Err(error) => {
                let named = match &error {
                    AlertError::Post(error) => error.retry_after,
                    _ => None,
                };
                let wait = named.unwrap_or_else(|| self.backoff.next_wait());
                self.not_before = Some(Instant::now() + wait);
                self.metrics.alerts(&name, "failed", 1);
                let error = exit::chain(&error);
                warn!(receiver = name, error, again_in_s = wait.as_secs(), "Alerts were not sent.");
            }
        }
    }

    /// In messages that are not too long; each is kept when it was taken.
    async fn send(&self, news: Vec<News>, standing: &[Told], at: Timestamp) -> Result<usize, AlertError> {
        let Receiver { name, kind, .. } = self.receiver();
        let (link, repeat) = (&self.config.link, self.config.repeat);
        let (place, tls, token) = self.way()?;
        let mut told = 0;
        match kind {
            Words::Webhook | Words::Slack => {
                for news in news.chunks(message::MOST) {
                    let json = match kind {
                        Words::Slack => message::slack(link, news),
                        _ => message::webhook(name, link, at, news),
                    };
                    let mut headers =
                        vec![(header::HeaderName::from_static("idempotency-key"), message::id(name, news))];
                    headers.extend(token.clone());
                    place.post(tls.clone(), &headers, json).await?;
                    told += self.told(news).await?;
                }
            }
            Words::Alertmanager => {
                let place = place.at("/api/v2/alerts");
                let alerts = message::alertmanager(link, at, repeat, &news, standing);
                for alerts in alerts.chunks(message::MOST) {
                    let json = Value::from(alerts.to_vec()).to_string();
                    let headers: Vec<_> = token.clone().into_iter().collect();
                    place.post(tls.clone(), &headers, json).await?;
                    // A fleet's worth of alerts is no burst.
                    if alerts.len() == message::MOST {
                        sleep(Duration::from_millis(50)).await;
                    }
                }
                told += self.told(&news).await?;
            }
        }
        Ok(told)
    }

    async fn told(&self, news: &[News]) -> Result<usize, AlertError> {
        if news.is_empty() {
            return Ok(0);
        }
        let told: Vec<Told> = news.iter().map(|news| news.told.clone()).collect();
        let receiver = self.receiver().name.clone();
        let kept = keep(&self.ledger, Alerted { receiver, told, forgotten: false }).await;
        kept.map_err(AlertError::Journal)?;
        Ok(news.len())
    }

    /// Where, and how. Files are read each time: secrets are rotated.
    #[expect(clippy::type_complexity, reason = "a place, and the two things that may go with it")]
    fn way(
        &self,
    ) -> Result<(Place, Option<Arc<ClientConfig>>, Option<(header::HeaderName, String)>), AlertError> {
        let Receiver { url, url_file, token_file, roots, .. } = self.receiver();
        let from_file = !url_file.as_os_str().is_empty();
        let shown = if from_file { url_file.display().to_string() } else { "url".to_owned() };
        let wrong = |why| AlertError::Place { file: shown.clone(), why };
        let text = if from_file { read(url_file)? } else { url.reveal().to_owned() };
        let place = Place::parse(&text).map_err(wrong)?;
        let has_token = !token_file.as_os_str().is_empty();
        place.check_token(has_token).map_err(wrong)?;
        let token = if has_token {
            Some((header::AUTHORIZATION, format!("Bearer {}", read(token_file)?)))
        } else {
            None
        };
        let tls = if !place.is_tls() {
            None
        } else if roots.as_os_str().is_empty() {
            Some(Arc::new(tls::anonymous_client_http1(&roots_of_the_system()?)?))
        } else {
            Some(Arc::new(tls::anonymous_client_http1(&keys::read_certificates(roots)?)?))
        };
        Ok((place, tls, token))
    }
}

fn roots_of_the_system() -> Result<Vec<CertificateDer<'static>>, AlertError> {
    let found = rustls_native_certs::load_native_certs().certs;
    // Some old root that cannot be read keeps the others from nobody.
    let is_readable = |root: &CertificateDer<'static>| RootCertStore::empty().add(root.clone()).is_ok();
    let roots: Vec<_> = found.into_iter().filter(is_readable).collect();
    if roots.is_empty() { Err(AlertError::NoRoots) } else { Ok(roots) }
}

/// One line of text.
fn read(file: &Path) -> Result<String, AlertError> {
    let text = String::from_utf8(files::read(file)?)
        .map_err(|_| FileError::content(file, "it is no text".to_owned()))?;
    Ok(text.trim().to_owned())
}
