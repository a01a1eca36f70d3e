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

/// Who takes the steps that are due by themselves.
const ITSELF: &str = "the collector";

/// The collector's certificates, and the authority behind them.
pub struct Tending {
    ca: Arc<Ca>,
    ledger: Ledger,
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
    /// The journal.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Tending {
    /// Of a collector that is reached by these names. It looks once in a `period`; a node may be off for as long as
    /// `patience` and still recover, so a rotation waits for so long.
    pub fn new(
        ca: Arc<Ca>,
        ledger: Ledger,
        names: Vec<String>,
        tickets: Arc<Tickets>,
        period: Duration,
        patience: Duration,
    ) -> Result<Self, TendingError> {
        let (fleet, enroll) = configurations(&ca, &names, &tickets)?;
        let (fleet, enroll) =
            (Arc::new(ArcSwap::from_pointee(fleet)), Arc::new(ArcSwap::from_pointee(enroll)));
        Ok(Self { ca, ledger, names, tickets, period, patience, fleet, enroll })
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
            mark.is_some() && node.mark() != mark
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
        info!(?step, generation = shown.number, pin = %shown.pin, by, "The certificate authority moved.");
        let moved = AuthorityMoved { step, generation: shown.number, pin: shown.pin.to_string(), by };
        let entry = Entry::AuthorityMoved(moved);
        let decide = move |_: &_| Decision { entries: vec![entry], sections: vec![], answer: () };
        Ok(self.ledger.change(Key::None, decide).await?)
    }

    /// Looks once in a period, until the end.
    pub async fn watch(&self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(self.period) => {}
            }
            if let Err(error) = self.look().await {
                error!(error = exit::chain(&error), "The collector's certificates were not tended.");
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
        let (fleet, enroll) = configurations(&self.ca, &self.names, &self.tickets)?;
        self.fleet.store(Arc::new(fleet));
        self.enroll.store(Arc::new(enroll));
        Ok(())
    }
}

fn configurations(
    ca: &Ca,
    names: &[String],
    tickets: &Arc<Tickets>,
) -> Result<(ServerConfig, ServerConfig), TendingError> {
    let fleet = tls::mutual_server(&ca.roots(), ca.certify_collector(names)?, tickets)?;
    Ok((fleet, tls::enrolment_server(ca.certify_collector(names)?, tickets)?))
}
