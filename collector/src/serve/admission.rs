//! Who a connection's certificates say calls, and whether a call may go on. Asked for every connection and every call;
//! nothing else decides.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evenkeel_runtime::identity::Identity;
use evenkeel_runtime::keys;
use evenkeel_store::Entry;
use evenkeel_store::entry::Enrolled;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use tonic::Status;

use crate::access::{self, Peer};
use crate::ca::{self, Ca};
use crate::ledger::{Decision, Key, Ledger};
use crate::pki::Pki;
use crate::state::State;

/// Who a connection's certificates say calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Authenticated {
    /// Who.
    pub peer: Peer,
    /// Until when.
    pub end: Option<SystemTime>,
    /// A node that was let in by a rule and not by a token: it is enrolled when it first comes.
    pub newcomer: Option<Box<Enrolled>>,
}

impl Authenticated {
    fn until(peer: Peer, end: Option<SystemTime>) -> Self {
        Self { peer, end, newcomer: None }
    }
}

/// How long a connection lasts whose certificate has ended: long enough to renew it.
const LAPSED: Duration = Duration::from_secs(30);

/// Lets peers in, and calls through.
pub trait Admission: Send + Sync {
    /// Who a chain that TLS has verified says calls. The chain is empty when nothing was shown. The error is a sentence
    /// for the log: the connection is closed.
    fn authenticate(&self, chain: &[CertificateDer<'static>]) -> Result<Authenticated, String>;

    /// Enrols a newcomer, unless it is a member already. The error is a sentence for the log.
    fn welcome(&self, newcomer: Box<Enrolled>) -> Welcome<'_>;

    /// Whether this peer may make this call (`/package.Service/Method`) now.
    fn admit(&self, peer: &Peer, method: &str) -> Result<(), Status>;
}

/// A newcomer is being enrolled.
pub type Welcome<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// By the certificates of this authority or of another that is believed, the table of access, and who was sent away.
pub struct ByCertificate {
    ca: Arc<Ca>,
    pki: Arc<Pki>,
    ledger: Ledger,
}

impl ByCertificate {
    /// With these authorities; the ledger knows who was sent away.
    pub fn new(ca: Arc<Ca>, pki: Arc<Pki>, ledger: Ledger) -> Self {
        Self { ca, pki, ledger }
    }
}

impl Admission for ByCertificate {
    /// Behind the leaf of a certificate of ours stands exactly one certificate, so it is the one that the leaf was
    /// verified with; it must be the intermediate that speaks for that environment.
    fn authenticate(&self, chain: &[CertificateDer<'static>]) -> Result<Authenticated, String> {
        let (leaf, issuer) = match chain {
            [] => return Ok(Authenticated::until(Peer::Anonymous, None)),
            [leaf, issuer] if self.ca.is_intermediate(issuer) => (leaf, issuer),
            _ if self.pki.is_configured() => return self.pki.authenticate(chain),
            [leaf, issuer] => (leaf, issuer),
            other => {
                return Err(format!(
                    "{} certificates were shown, a leaf and its issuer were expected",
                    other.len()
                ));
            }
        };
        let identity = Identity::of_certificate(leaf).map_err(|error| error.to_string())?;
        let (_, end) = keys::validity(leaf).ok_or("the certificate has no end")?;
        // TLS has verified the chain below some root that is believed: with others than ours, it need not be ours.
        if self.pki.is_configured() && !self.ca.has_issued(leaf, issuer) {
            return Err(format!("{identity} was not issued by the intermediate that is shown with it"));
        }
        if !self.ca.is_issuer_of(&identity, issuer) {
            return Err(format!("{identity} was not issued by the intermediate that speaks for it"));
        }
        let given = ca::given_at(leaf).ok_or("the certificate has no beginning")?;
        // A resumed session was verified when it began, not now.
        let now = SystemTime::now();
        if end <= now {
            let ended = Timestamp::try_from(end).map_err(|error| error.to_string())?;
            // Long enough to renew; what comes next is another connection.
            let lapsed = Peer::Lapsed { identity, given, ended };
            return Ok(Authenticated::until(lapsed, Some(now + LAPSED)));
        }
        Ok(Authenticated::until(Peer::certified(identity, given), Some(end)))
    }

    /// One that was evicted comes back like this, too; one that was banned does not.
    fn welcome(&self, newcomer: Box<Enrolled>) -> Welcome<'_> {
        Box::pin(async move {
            let node = newcomer.node;
            if self.ledger.state().node(node).is_some() {
                return Ok(());
            }
            let decide = move |state: &State| {
                if state.node(node).is_some() {
                    return Decision::only(Ok(()));
                }
                if let Some(banned) = state.left_node(node).filter(|left| left.banned) {
                    return Decision::only(Err(banned.sentence()));
                }
                let entries = vec![Entry::Enrolled(*newcomer)];
                Decision { entries, sections: vec![], answer: Ok(()) }
            };
            let welcomed = self.ledger.change(Key::Node(node), decide).await;
            welcomed.map_err(|error| error.to_string())?
        })
    }

    /// The table of access, and who was sent away: also on connections that were open before.
    fn admit(&self, peer: &Peer, method: &str) -> Result<(), Status> {
        access::check(peer, method).map_err(|why| match peer {
            Peer::Anonymous | Peer::Lapsed { .. } => Status::unauthenticated(why),
            Peer::Node { .. } | Peer::User { .. } => Status::permission_denied(why),
        })?;
        match self.ledger.state().refusal(peer) {
            Some(why) => Err(Status::permission_denied(why)),
            None => Ok(()),
        }
    }
}
