//! How people are let in and sent away: invitations, first and later logins, certificates made by an admin, revocation.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_proto::admin::{
    CreateUserCertificateRequest, CreateUserCertificateResponse, InviteUserRequest, InviteUserResponse,
    ListUsersResponse, RevokeUserRequest, RevokeUserResponse, User as WireUser,
};
use evenkeel_proto::enroll::{EnrollUserRequest, RenewUserRequest, UserCertificate};
use evenkeel_proto::times;
use evenkeel_runtime::identity::{Identity, MAX_ENVIRONMENTS, Role};
use evenkeel_runtime::{duration, label};
use evenkeel_store::Entry;
use evenkeel_store::entry::{UserCertified, UserInvited, UserRevoked};
use jiff::Timestamp;
use tonic::Status;
use tracing::info;

use crate::access::Peer;
use crate::admin::end;
use crate::ca::{self, Ca, Issued, SigningRequest};
use crate::ledger::{Decision, Key, Ledger};
use crate::people::{Revoked, User};
use crate::pki::ELSEWHERE;
use crate::serve::OpenConnections;
use crate::state::State;
use crate::token::Token;

const INVITATION_LIFE: u64 = 15 * 60;
const MAX_INVITATION_LIFE: u64 = 30 * 24 * 60 * 60;
const CERTIFICATE_LIFE: u64 = 8 * 60 * 60;
const MAX_CERTIFICATE_LIFE: u64 = 90 * 24 * 60 * 60;
/// A certificate says only in which second it was given: one that must be told from those before a revocation in this
/// second waits for the next.
const NEXT_SECOND: Duration = Duration::from_millis(100);
const PATIENCE: u32 = 40;

/// Lets people in.
pub struct Users {
    ca: Arc<Ca>,
    ledger: Ledger,
    open: OpenConnections,
    addresses: Addresses,
    recovery: Duration,
}

/// Where people are to come.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// For their first login: `https://HOST:PORT`.
    pub enroll: String,
    /// To ask: the host, for those who came by the Unix socket and know none.
    pub fleet_host: String,
    /// The port there.
    pub fleet_port: u16,
}

/// Whoever a certificate is for.
#[derive(Debug, Clone)]
struct Somebody {
    name: String,
    role: Role,
    environments: Vec<String>,
}

/// Why somebody gets a certificate.
#[derive(Debug, Clone)]
enum Ground {
    /// An admin says so.
    Given(Peer),
    /// It holds an invitation.
    Invitation { id: String, hash: Vec<u8> },
    /// It holds a certificate, or came by the Unix socket.
    Renewal(Peer),
}

impl Users {
    /// Lets people in with this authority. For as long as `recovery` after its certificate has ended a user may still
    /// log in with it.
    pub fn new(
        ca: Arc<Ca>,
        ledger: Ledger,
        open: OpenConnections,
        addresses: Addresses,
        recovery: Duration,
    ) -> Self {
        Self { ca, ledger, open, addresses, recovery }
    }

    /// An invitation, made by this admin.
    pub async fn invite(&self, by: Peer, request: InviteUserRequest) -> Result<InviteUserResponse, Status> {
        let InviteUserRequest { name, role, environments, ttl_seconds } = request;
        let Somebody { name, role, environments } = self.somebody(name, &role, environments)?;
        let expires = end(ttl_seconds, INVITATION_LIFE, MAX_INVITATION_LIFE)?;
        let token = Token::generate_invitation();
        let invited = Entry::UserInvited(UserInvited {
            id: token.id.clone(),
            hash: token.hash(),
            name,
            role: role.to_string(),
            environments,
            expires,
            by: by.to_string(),
        });
        let decide = move |_: &State| Decision { entries: vec![invited], sections: vec![], answer: () };
        self.ledger.change(Key::None, decide).await.map_err(unavailable)?;
        Ok(InviteUserResponse {
            token: token.reveal(self.ca.pin()),
            id: token.id,
            enroll_address: self.addresses.enroll.clone(),
        })
    }

    /// A certificate for anybody, made by this admin.
    pub async fn create(
        &self,
        by: Peer,
        request: CreateUserCertificateRequest,
    ) -> Result<CreateUserCertificateResponse, Status> {
        let CreateUserCertificateRequest { name, role, csr, ttl_seconds, environments } = request;
        let somebody = self.somebody(name, &role, environments)?;
        let expires = end(ttl_seconds, CERTIFICATE_LIFE, MAX_CERTIFICATE_LIFE)?;
        let certificates = self.certify(&somebody, &csr, expires, Ground::Given(by)).await?;
        Ok(CreateUserCertificateResponse { certificates: der(&certificates), roots: der(&self.ca.roots()) })
    }

    /// A first login: an invitation becomes a certificate.
    pub async fn enroll(&self, request: EnrollUserRequest) -> Result<UserCertificate, Status> {
        let EnrollUserRequest { token, csr } = request;
        let Some(token) = Token::parse(&token, |pin| self.ca.is_pinned_by(pin)) else {
            return Err(Status::unauthenticated("this is not an invitation of this collector"));
        };
        if !token.is_invitation() {
            let sentence =
                "this token enrols a node, it invites nobody: evenkeel-agent enroll --token-file FILE";
            return Err(Status::unauthenticated(sentence));
        }
        let (hash, id) = (token.hash(), token.id);
        let somebody = {
            let state = self.ledger.state();
            let invited = state.people.invitation(&id, &hash, Timestamp::now());
            let UserInvited { name, role, environments, .. } = invited.map_err(Status::unauthenticated)?;
            let role = role.parse().map_err(Status::internal)?;
            Somebody { name: name.clone(), role, environments: environments.clone() }
        };
        let ground = Ground::Invitation { id, hash };
        let certificates =
            self.certify(&somebody, &csr, end(0, CERTIFICATE_LIFE, MAX_CERTIFICATE_LIFE)?, ground).await?;
        Ok(self.answer(somebody, &certificates, String::new()))
    }

    /// A later login: a certificate for who the caller is already.
    pub async fn renew(&self, caller: Peer, request: RenewUserRequest) -> Result<UserCertificate, Status> {
        let somebody = match caller.clone() {
            Peer::User { name, .. } if name.starts_with(ELSEWHERE) => {
                return Err(Status::failed_precondition(
                    "your certificate comes from another authority, which renews it",
                ));
            }
            Peer::User { name, role, scope, .. } => {
                Somebody { name, role, environments: scope.environments() }
            }
            Peer::Lapsed { identity: Identity::User { name, role, environments }, ended, .. } => {
                self.may_recover(ended)?;
                Somebody { name, role, environments }
            }
            Peer::Lapsed { .. } | Peer::Node { .. } | Peer::Anonymous => {
                return Err(Status::permission_denied("this takes a user's certificate"));
            }
        };
        let ground = Ground::Renewal(caller);
        let certificates = self
            .certify(&somebody, &request.csr, end(0, CERTIFICATE_LIFE, MAX_CERTIFICATE_LIFE)?, ground)
            .await?;
        Ok(self.answer(somebody, &certificates, self.addresses.fleet_host.clone()))
    }

    fn may_recover(&self, ended: Timestamp) -> Result<(), Status> {
        let off = Duration::try_from(Timestamp::now().duration_since(ended)).unwrap_or_default();
        if off <= self.recovery {
            return Ok(());
        }
        Err(Status::unauthenticated(format!(
            "your certificate ended {} ago, and one may log in with it for {}: ask an admin for an invitation",
            duration::in_words(off),
            duration::in_words(self.recovery)
        )))
    }

    /// Everybody.
    pub fn list(&self) -> ListUsersResponse {
        let now = Timestamp::now();
        let state = self.ledger.state();
        let users = state.people.users().map(|(name, user)| to_wire(name, user, now)).collect();
        ListUsersResponse { users }
    }

    /// Sends somebody away: on every call from now on, on open connections too.
    pub async fn revoke(&self, by: Peer, request: RevokeUserRequest) -> Result<RevokeUserResponse, Status> {
        let RevokeUserRequest { name, reason } = request;
        let revoked = UserRevoked { name: name.clone(), reason, by: by.to_string() };
        let decide = move |state: &State| {
            let known = state.people.user(&revoked.name).is_some()
                // Of them the journal knows nothing before.
                || revoked.name.starts_with(ELSEWHERE) && label::is_label(&revoked.name);
            let entries = known.then_some(Entry::UserRevoked(revoked)).into_iter().collect();
            Decision { entries, sections: vec![], answer: known }
        };
        if !self.ledger.change(Key::None, decide).await.map_err(unavailable)? {
            return Err(Status::not_found(format!("there is no user {name:?}: see evenkeel user list")));
        }
        // Whoever revokes itself still hears the answer; every further call of it is refused.
        let is_meant = |peer: &Peer| {
            matches!(peer, Peer::User { name: known, certified: Some(_), .. } if *known == name)
                && *peer != by
        };
        let closed = self.open.close(is_meant) as u64;
        info!(user = name, closed, "User revoked.");
        Ok(RevokeUserResponse { closed })
    }

    /// Checks what an admin says of somebody.
    fn somebody(&self, name: String, role: &str, environments: Vec<String>) -> Result<Somebody, Status> {
        if name.starts_with(ELSEWHERE) {
            let sentence = format!("{name:?}: names that begin with {ELSEWHERE:?} are of another authority");
            return Err(Status::invalid_argument(sentence));
        }
        if !label::is_label(&name) {
            return Err(Status::invalid_argument(format!(
                "{name:?} is not a name of a-z, 0-9, '.', '_' and '-'"
            )));
        }
        let role = role.parse().map_err(Status::invalid_argument)?;
        let known: Vec<String> = self.ledger.state().environments().iter().map(ToString::to_string).collect();
        if let Some(unknown) = environments.iter().find(|environment| !known.contains(environment)) {
            let sentence = format!("there is no environment {unknown:?}; there are: {}", known.join(", "));
            return Err(Status::invalid_argument(sentence));
        }
        let mut environments = environments;
        environments.sort_unstable();
        environments.dedup();
        if environments.len() > MAX_ENVIRONMENTS {
            let sentence =
                format!("at most {MAX_ENVIRONMENTS} environments can be named; with none, all are meant");
            return Err(Status::invalid_argument(sentence));
        }
        Ok(Somebody { name, role, environments })
    }

    /// Signs, and gives out what was signed only when the journal has it, and nothing has revoked it meanwhile.
    async fn certify(
        &self,
        somebody: &Somebody,
        csr: &[u8],
        expires: Timestamp,
        ground: Ground,
    ) -> Result<Issued, Status> {
        let request =
            SigningRequest::parse(csr).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let Somebody { name, role, environments } = somebody.clone();
        let identity = Identity::User { name: name.clone(), role, environments: environments.clone() };
        let (by, invitation, key) = match &ground {
            Ground::Given(by) => (by.to_string(), String::new(), Key::None),
            Ground::Invitation { id, .. } => (format!("{role} {name}"), id.clone(), Key::Token(id.clone())),
            Ground::Renewal(_) => (format!("{role} {name}"), String::new(), Key::None),
        };
        let certified = UserCertified { name, role: role.to_string(), environments, expires, by, invitation };
        for _ in 0..PATIENCE {
            let life = Duration::try_from(expires.duration_since(Timestamp::now())).unwrap_or_default();
            let certificates = self
                .ca
                .certify(&identity, &request, life)
                .map_err(|error| Status::internal(evenkeel_runtime::exit::chain(&error)))?;
            let given = ca::given_at(&certificates[0]).ok_or_else(|| Status::internal("no certificate"))?;
            let (certified, ground) = (certified.clone(), ground.clone());
            let decide = move |state: &State| {
                if let Err(why) = ground.holds(state) {
                    return Decision::only(Err(why));
                }
                if state.people.refusal(&certified.name, given).is_some() {
                    return Decision::only(Ok(false));
                }
                let entries = vec![Entry::UserCertified(certified)];
                Decision { entries, sections: vec![], answer: Ok(true) }
            };
            if self.ledger.change(key.clone(), decide).await.map_err(unavailable)?? {
                return Ok(certificates);
            }
            tokio::time::sleep(NEXT_SECOND).await;
        }
        let sentence = format!(
            "the collector's clock is behind the last revocation of {}: set it right, then log in",
            somebody.name
        );
        Err(Status::failed_precondition(sentence))
    }

    fn answer(&self, somebody: Somebody, certificates: &Issued, fleet_host: String) -> UserCertificate {
        let Somebody { name, role, environments } = somebody;
        info!(user = name, %role, "User logged in.");
        UserCertificate {
            name,
            role: role.to_string(),
            environments,
            certificates: der(certificates),
            roots: der(&self.ca.roots()),
            fleet_port: self.addresses.fleet_port.into(),
            fleet_host,
        }
    }
}

impl Ground {
    /// Whether it is good in this state. The error goes to whoever claims it.
    fn holds(&self, state: &State) -> Result<(), Status> {
        match self {
            Self::Given(peer) => match state.refusal(peer) {
                Some(why) => Err(Status::permission_denied(why)),
                None => Ok(()),
            },
            Self::Renewal(peer) => match state.refusal(peer) {
                Some(why) => Err(Status::permission_denied(why)),
                None => still_is(state, peer),
            },
            Self::Invitation { id, hash } => {
                let invited = state.people.invitation(id, hash, Timestamp::now());
                invited.map(|_| ()).map_err(Status::unauthenticated)
            }
        }
    }
}

/// Whoever was made less than its certificate says does not renew what it was.
fn still_is(state: &State, peer: &Peer) -> Result<(), Status> {
    let (name, role, environments) = match peer {
        // The socket's groups say who that is now.
        Peer::User { certified: None, .. } => return Ok(()),
        Peer::User { name, role, scope, .. } => (name, role, scope.clone().environments()),
        Peer::Lapsed { identity: Identity::User { name, role, environments }, .. } => {
            (name, role, environments.clone())
        }
        Peer::Lapsed { .. } | Peer::Node { .. } | Peer::Anonymous => return Ok(()),
    };
    match state.people.user(name) {
        Some(user) if user.role != role.to_string() || user.environments != environments => {
            Err(Status::permission_denied(format!(
                "{name} is {} by now: log in with the invitation for that",
                user.role
            )))
        }
        _ => Ok(()),
    }
}

fn to_wire(name: &str, user: &User, now: Timestamp) -> WireUser {
    let User { role, environments, by, certified, ends, invited_until, revoked } = user;
    let Revoked { at, by: revoked_by, reason } = match revoked {
        Some(revoked) => revoked.clone(),
        None => Revoked { at: Timestamp::UNIX_EPOCH, by: String::new(), reason: String::new() },
    };
    WireUser {
        name: name.to_owned(),
        role: role.clone(),
        environments: environments.clone(),
        standing: user.standing(now).word().to_owned(),
        certified: certified.map(times::to_wire),
        ends: ends.or(*invited_until).map(times::to_wire),
        by: by.clone(),
        revoked: revoked.as_ref().map(|_| times::to_wire(at)),
        revoked_by,
        reason,
    }
}

fn der(certificates: &[rustls_pki_types::CertificateDer<'static>]) -> Vec<Vec<u8>> {
    certificates.iter().map(|certificate| certificate.to_vec()).collect()
}

fn unavailable(error: crate::ledger::LedgerError) -> Status {
    Status::unavailable(error.to_string())
}
