//! Who a connection's certificates say calls, and whether a call may go on. Asked for every connection and every call;
//! nothing else decides.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evenkeel_runtime::identity::Identity;
use evenkeel_runtime::keys;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use tonic::Status;

use crate::access::{self, Peer};
use crate::ca::{self, Ca};
use crate::ledger::Ledger;

/// How long a connection lasts whose certificate has ended: long enough to renew it.
const LAPSED: Duration = Duration::from_secs(30);

/// Lets peers in, and calls through.
pub trait Admission: Send + Sync {
    /// Who a chain that TLS has verified says calls, and until when. The chain is empty when nothing was shown. The
    /// error is a sentence for the log: the connection is closed.
    fn authenticate(&self, chain: &[CertificateDer<'static>]) -> Result<(Peer, Option<SystemTime>), String>;

    /// Whether this peer may make this call (`/package.Service/Method`) now.
    fn admit(&self, peer: &Peer, method: &str) -> Result<(), Status>;
}

/// By the certificates of this authority, the table of access, and who was sent away.
pub struct ByCertificate {
    ca: Arc<Ca>,
    ledger: Ledger,
}

impl ByCertificate {
    /// With this authority; the ledger knows who was sent away.
    pub fn new(ca: Arc<Ca>, ledger: Ledger) -> Self {
        Self { ca, ledger }
    }
}

impl Admission for ByCertificate {
    /// Behind the leaf stands exactly one certificate, so it is the one that the leaf was verified with; it must be the
    /// intermediate that speaks for that environment.
    fn authenticate(&self, chain: &[CertificateDer<'static>]) -> Result<(Peer, Option<SystemTime>), String> {
        let (leaf, issuer) = match chain {
            [] => return Ok((Peer::Anonymous, None)),
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
        if !self.ca.is_issuer_of(&identity, issuer) {
            return Err(format!("{identity} was not issued by the intermediate that speaks for it"));
        }
        let given = ca::given_at(leaf).ok_or("the certificate has no beginning")?;
        // A resumed session was verified when it began, not now.
        let now = SystemTime::now();
        if end <= now {
            let ended = Timestamp::try_from(end).map_err(|error| error.to_string())?;
            // Long enough to renew; what comes next is another connection.
            return Ok((Peer::Lapsed { identity, given, ended }, Some(now + LAPSED)));
        }
        Ok((Peer::certified(identity, given), Some(end)))
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
