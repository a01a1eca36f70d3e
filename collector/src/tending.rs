//! Certificates are tended: the collector's own is made anew before it ends, and the authority is rotated when it is
//! time, so that nobody has to think about either.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use evenkeel_runtime::exit;
use evenkeel_runtime::shutdown::Shutdown;
use evenkeel_runtime::tickets::Tickets;
use evenkeel_runtime::tls::{self, TlsError};
use evenkeel_store::Entry;
use evenkeel_store::entry::{AuthorityMoved, Step};
use jiff::Timestamp;
use rustls::ServerConfig;
use tracing::{error, info};

use crate::ca::{Ca, CaError, rotation};
use crate::ledger::{Decision, Key, Ledger, LedgerError};
use crate::metrics::{Metrics, count};
use crate::pki::{Pki, PkiError};

/// Who takes the steps that are due by themselves.
const ITSELF: &str = "the collector";

/// The collector's certificates, and the authority behind them.
pub struct Tending {
    ca: Arc<Ca>,
    pki: Arc<Pki>,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    names: Vec<String>,
    tickets: Arc<Tickets>,
    period: Duration,
    patience: Duration,
    fleet: Arc<ArcSwap<ServerConfig>>,
    enroll: Arc<ArcSwap<ServerConfig>>,
}

/// A step was not taken, or not taken whole.
#[derive(Debug, thiserror::Error)]
pub enum TendingError {
    /// The authority.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The collector's own certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The files of another authority.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The journal.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Tending {
    /// Of a collector that is reached by these names. It looks once in a `period`; a node may be off for as long as
    /// `patience` and still recover, so a rotation waits for so long.
    pub fn new(
        (ca, pki): (Arc<Ca>, Arc<Pki>),
        ledger: Ledger,
        metrics: Arc<Metrics>,
        (names, tickets): (Vec<String>, Arc<Tickets>),
        (period, patience): (Duration, Duration),
    ) -> Result<Self, TendingError> {
        let (fleet, enroll) = configurations(&ca, &pki, &names, &tickets)?;
        let (fleet, enroll) =
            (Arc::new(ArcSwap::from_pointee(fleet)), Arc::new(ArcSwap::from_pointee(enroll)));
        Ok(Self { ca, pki, ledger, metrics, names, tickets, period, patience, fleet, enroll })
    }

    /// For the fleet port; swapped while it runs.
    pub fn fleet(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.fleet)
    }

    /// For the enrolment port; swapped while it runs.
    pub fn enroll(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.enroll)
    }

    /// The authority.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// The names of the nodes that, as far as they have told, do not hold the newest roots and issuer.
    pub fn behind(&self) -> Vec<String> {
        let state = self.ledger.state();
        let marks: Vec<_> =
            state.environments().iter().map(|name| (Arc::clone(name), self.ca.mark(name))).collect();
        let is_behind = |node: &&crate::state::NodeState| {
            let mark = marks.iter().find(|(name, _)| *name == node.environment).and_then(|(_, mark)| *mark);
            mark.is_some() && node.mark() != mark && !node.is_certified_elsewhere
        };
        let mut behind: Vec<String> =
            state.nodes().filter(is_behind).map(|node| node.view.name.to_string()).collect();
        behind.sort();
        behind
    }

    /// Takes a step of a rotation, and serves with what it has made.
    pub async fn take_step(&self, step: Step, by: String) -> Result<(), TendingError> {
        let shown = self.ca.take_step(step)?;
        self.renew()?;
        if step == Step::Retired {
            self.forget_sessions();
        }
        info!(?step, generation = shown.number, pin = %shown.pin, by, "The certificate authority moved.");
        let moved = AuthorityMoved { step, generation: shown.number, pin: shown.pin.to_string(), by };
        let entry = Entry::AuthorityMoved(moved);
        let decide = move |_: &_| Decision { entries: vec![entry], sections: vec![], answer: () };
        Ok(self.ledger.change(Key::None, decide).await?)
    }

    /// Somebody was sent away for good: sessions from before begin anew, with a handshake in full.
    pub fn forget_sessions(&self) {
        if let Err(error) = self.tickets.forget() {
            error!(error = exit::chain(&error), "Session tickets were not forgotten.");
        }
    }

    /// What is wrong with the certificates; `None`: nothing.
    pub fn fault(&self) -> Option<String> {
        self.pki.failure().map(|why| format!("{why}; the certificates from before are in service"))
    }

    /// Looks once in a period, and more often at files of another authority, until the end.
    pub async fn watch(self: Arc<Self>, shutdown: Shutdown) {
        let files = async {
            loop {
                tokio::time::sleep(self.pki.reload()).await;
                self.reload();
            }
        };
        let own = async {
            loop {
                tokio::time::sleep(self.period).await;
                if let Err(error) = self.look().await {
                    error!(error = exit::chain(&error), "The collector's certificates were not tended.");
                }
            }
        };
        tokio::select! {
            () = shutdown.wait() => {}
            () = files, if self.pki.is_configured() => {}
            () = own => {}
        }
    }

    fn reload(&self) {
        let loaded = match self.pki.look() {
            Ok(false) => return,
            Ok(true) => self.renew(),
            Err(error) => Err(error.into()),
        };
        match loaded {
            Ok(()) => {
                info!("New certificates are in service.");
                count(&self.metrics.certificates, "loaded");
            }
            Err(error) => {
                error!(
                    error = exit::chain(&error),
                    "New certificates are of no use; those from before are in service."
                );
                count(&self.metrics.certificates, "refused");
            }
        }
    }

    async fn look(&self) -> Result<(), TendingError> {
        let is_anybody_behind = !self.behind().is_empty();
        let due = rotation::due(&self.ca.generations(), is_anybody_behind, self.patience, Timestamp::now());
        match due {
            Some(step) => self.take_step(step, ITSELF.to_owned()).await,
            None => self.renew(),
        }
    }

    fn renew(&self) -> Result<(), TendingError> {
        let (fleet, enroll) = configurations(&self.ca, &self.pki, &self.names, &self.tickets)?;
        self.fleet.store(Arc::new(fleet));
        self.enroll.store(Arc::new(enroll));
        Ok(())
    }
}

fn configurations(
    ca: &Ca,
    pki: &Pki,
    names: &[String],
    tickets: &Arc<Tickets>,
) -> Result<(ServerConfig, ServerConfig), TendingError> {
    let roots = [ca.roots(), pki.roots()].concat();
    let fleet = tls::mutual_server(&roots, ca.certify_collector(names)?, pki.certified(), tickets)?;
    Ok((fleet, tls::enrolment_server(ca.certify_collector(names)?)?))
}
