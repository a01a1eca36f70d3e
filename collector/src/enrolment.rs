//! EnrollmentService: tokens and keys become nodes; nodes renew their certificates.

mod admit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_proto::enroll::enrollment_service_server::EnrollmentService;
use evenkeel_proto::enroll::{
    EnrollRequest, EnrollResponse, EnrollUserRequest, RenewRequest, RenewResponse, RenewUserRequest,
    UserCertificate,
};
use evenkeel_runtime::identity::Identity;
use evenkeel_runtime::{duration, exit, label};
use evenkeel_store::Entry;
use evenkeel_store::entry::Enrolled;
use jiff::Timestamp;
use tonic::{Request, Response, Status};
use tracing::{info, warn};
use uuid::Uuid;

use self::admit::{Comer, NOT_OURS, Pass, admit};
use crate::access::{Origin, Peer};
use crate::ca::{Ca, CaError, SigningRequest};
use crate::ingest::{caller, member};
use crate::kubernetes::{self, KubernetesConfig, KubernetesError, Vouched};
use crate::ledger::{Decision, Ledger};
use crate::metrics::{Metrics, count};
use crate::rate::Rates;
use crate::serve::overload::come_back;
use crate::state::{NodeState, State};
use crate::token::Token;
use crate::users::Users;

/// The label of a node that says which Kubernetes node it is.
const KUBERNETES_NODE: &str = "kubernetes-node";
/// The most labels of one node.
const MAX_LABELS: usize = 32;

/// Lets machines in.
pub struct Enrolment {
    ca: Arc<Ca>,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    fleet_port: u16,
    recovery: Duration,
    users: Arc<Users>,
    kubernetes: KubernetesConfig,
    /// A signature costs a tenth of a millisecond, and is needed once in half a day.
    renewals: Rates<Uuid>,
}

impl Enrolment {
    /// Lets machines in with this authority; they will report on this port. For as long as `recovery` after its
    /// certificate has ended a node may still renew it.
    pub fn new(
        ca: Arc<Ca>,
        ledger: Ledger,
        metrics: Arc<Metrics>,
        fleet_port: u16,
        recovery: Duration,
        users: Arc<Users>,
        kubernetes: KubernetesConfig,
    ) -> Self {
        let renewals = Rates::new(Duration::from_secs(1), 10);
        Self { ca, ledger, metrics, fleet_port, recovery, users, kubernetes, renewals }
    }

    async fn enrol(&self, request: EnrollRequest, origin: Origin) -> Result<EnrollResponse, Status> {
        let EnrollRequest { token, csr, host, role, labels, service_account_token } = request;
        let labels = BTreeMap::from_iter(labels);
        if !label::is_label(&host) || !(role.is_empty() || label::is_label(&role)) {
            return Err(Status::invalid_argument("host and role are names of a-z, 0-9, '.', '_' and '-'"));
        }
        let are_labels = labels.iter().all(|(key, value)| label::is_label(key) && label::is_label(value));
        if labels.len() > MAX_LABELS || !are_labels {
            let sentence = format!("labels are at most {MAX_LABELS} names of a-z, 0-9, '.', '_' and '-'");
            return Err(Status::invalid_argument(sentence));
        }
        // Before the token is used up: a malformed request costs nothing.
        let csr = SigningRequest::parse(&csr).map_err(|error| refused(&error))?;
        let node = Uuid::new_v4();
        let pass = self.pass(&token, &service_account_token).await?;
        let (mut labels, mut role, mut decided) = (labels, role, None);
        if let Pass::Vouched(Vouched { node: Some(node), .. }) = &pass {
            labels.insert(KUBERNETES_NODE.to_owned(), label::from_host_name(node));
            decided = kubernetes::role(&self.kubernetes, node)
                .await
                .map_err(|error| Status::unavailable(exit::chain(&error)))?;
            role = decided.clone().unwrap_or(role);
        }
        let comer = Comer { host: host.clone(), key: csr.key_digest(), origin };
        let environment =
            admit(&self.ledger.state(), &pass, &comer, Timestamp::now()).map_err(Status::unauthenticated)?;
        let identity = Identity::Node { environment: environment.clone(), id: node };
        let certificates =
            self.ca.certify(&identity, &csr, self.ca.node_life()).map_err(|error| refused(&error))?;
        // Decided again on the state as it is then: of two that come with the last use, one is let in.
        let contended = pass.key();
        let decide = {
            let (host, role) = (host.clone(), role.clone());
            move |state: &State| match admit(state, &pass, &comer, Timestamp::now()) {
                Ok(environment) => {
                    let (token, key) = (pass.word(), comer.key);
                    let enrolled = Enrolled { node, environment, host, role, token, labels, key };
                    Decision { entries: vec![Entry::Enrolled(enrolled)], sections: vec![], answer: Ok(()) }
                }
                Err(why) => Decision::only(Err(why)),
            }
        };
        let admitted = self.ledger.change(contended, decide).await;
        admitted.map_err(|error| Status::unavailable(error.to_string()))?.map_err(Status::unauthenticated)?;
        info!(%node, environment, name = host, role, "Node enrolled.");
        Ok(EnrollResponse {
            node: node.to_string(),
            environment,
            certificates: certificates.iter().map(|certificate| certificate.to_vec()).collect(),
            roots: self.roots(),
            fleet_port: self.fleet_port.into(),
            fleet_host: String::new(),
            role: decided,
        })
    }

    /// The role of a node that somebody else decides, as it is now. A renewal does not wait for that to be known.
    async fn decided(&self, id: Uuid) -> Option<String> {
        let node = self.ledger.state().node(id)?.shown.get(KUBERNETES_NODE)?.clone();
        let role = kubernetes::role(&self.kubernetes, &node).await;
        let said = |error: &KubernetesError| {
            warn!(error = exit::chain(error), node = %id, "The role of a node is not known; it stays what it was.");
        };
        role.inspect_err(said).ok().flatten()
    }

    /// What a machine shows to be let in. A service account's token is good only where one is asked for.
    async fn pass(&self, token: &str, service_account_token: &str) -> Result<Pass, Status> {
        if token.is_empty() && !service_account_token.is_empty() {
            let vouched = kubernetes::vouch(&self.kubernetes, service_account_token).await;
            return vouched.map(Pass::Vouched).map_err(|error| match error {
                KubernetesError::Unreached { .. } | KubernetesError::File(_) | KubernetesError::Tls(_) => {
                    Status::unavailable(exit::chain(&error))
                }
                KubernetesError::NotConfigured
                | KubernetesError::Refused(_)
                | KubernetesError::Unknown(_) => Status::unauthenticated(error.to_string()),
            });
        }
        let Some(token) = Token::parse(token, |pin| self.ca.is_pinned_by(pin)) else {
            return Err(Status::unauthenticated(NOT_OURS));
        };
        if token.is_invitation() {
            let sentence = "this token invites a person, it enrols no node: evenkeel login --token-file FILE";
            return Err(Status::unauthenticated(sentence));
        }
        Ok(Pass::Token { hash: token.hash(), id: token.id })
    }

    /// Who asks for a new certificate, and whether the old one has ended. Who shows it has proved, by the handshake,
    /// that it holds the enrolled key.
    fn renewing<T>(&self, request: &Request<T>, key: &[u8]) -> Result<(Identity, bool), Status> {
        let Some(Peer::Lapsed { identity: Identity::Node { environment, id }, ended, .. }) =
            request.extensions().get::<Peer>()
        else {
            let id = caller(request, &self.ledger)?;
            let state = self.ledger.state();
            let node = member_of(&state, id, key)?;
            return Ok((Identity::Node { environment: node.environment.to_string(), id }, false));
        };
        member(&self.ledger.state(), *id, environment)?;
        member_of(&self.ledger.state(), *id, key)?;
        let off = Duration::try_from(Timestamp::now().duration_since(*ended)).unwrap_or_default();
        if off > self.recovery {
            return Err(Status::unauthenticated(format!(
                "the node's certificate ended {} ago, and a node recovers by itself for {}: enrol it again \
                 (evenkeel-agent enroll --again)",
                duration::in_words(off),
                duration::in_words(self.recovery)
            )));
        }
        info!(node = %id, environment, off_s = off.as_secs(), "Node recovers with its enrolled key.");
        Ok((Identity::Node { environment: environment.clone(), id: *id }, true))
    }

    fn roots(&self) -> Vec<Vec<u8>> {
        self.ca.roots().iter().map(|root| root.to_vec()).collect()
    }
}

#[tonic::async_trait]
impl EnrollmentService for Enrolment {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        let origin = request.extensions().get().copied().unwrap_or(Origin(None));
        let result = self.enrol(request.into_inner(), origin).await;
        match &result {
            Ok(_) => count(&self.metrics.enrolments, "enrolled"),
            Err(status) => {
                let from = origin.0.map(|from| from.to_string());
                warn!(error = status.message(), from, "Enrolment refused.");
                count(&self.metrics.enrolments, "refused");
            }
        }
        result.map(Response::new)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        if let Some(Peer::Node { id, .. } | Peer::Lapsed { identity: Identity::Node { id, .. }, .. }) =
            request.extensions().get::<Peer>()
        {
            let taken = self.renewals.take(*id, Instant::now());
            taken.map_err(|wait| come_back("the node renews its certificate too often", wait))?;
        }
        let csr = SigningRequest::parse(&request.get_ref().csr).map_err(|error| refused(&error))?;
        let (identity, was_lapsed) = self.renewing(&request, &csr.key_digest())?;
        let issued = self.ca.certify(&identity, &csr, self.ca.node_life());
        let certificates = issued.map_err(|error| refused(&error))?;
        count(&self.metrics.enrolments, if was_lapsed { "recovered" } else { "renewed" });
        let certificates = certificates.iter().map(|certificate| certificate.to_vec()).collect();
        let role = match &identity {
            Identity::Node { id, .. } => self.decided(*id).await,
            Identity::User { .. } => None,
        };
        Ok(Response::new(RenewResponse { certificates, roots: self.roots(), role }))
    }

    async fn enroll_user(
        &self,
        request: Request<EnrollUserRequest>,
    ) -> Result<Response<UserCertificate>, Status> {
        let result = self.users.enroll(request.into_inner()).await;
        match &result {
            Ok(_) => count(&self.metrics.enrolments, "user_enrolled"),
            Err(status) => {
                warn!(error = status.message(), "Login refused.");
                count(&self.metrics.enrolments, "user_refused");
            }
        }
        result.map(Response::new)
    }

    async fn renew_user(
        &self,
        request: Request<RenewUserRequest>,
    ) -> Result<Response<UserCertificate>, Status> {
        let caller = Peer::of(&request);
        let answer = self.users.renew(caller, request.into_inner()).await?;
        count(&self.metrics.enrolments, "user_renewed");
        Ok(Response::new(answer))
    }
}

/// The node, if it renews what is ours to renew, for the key that it enrolled with: a ban is of that key.
fn member_of<'a>(state: &'a State, id: Uuid, key: &[u8]) -> Result<&'a NodeState, Status> {
    match state.node(id) {
        Some(node) if node.is_certified_elsewhere => Err(Status::failed_precondition(
            "the node's certificate comes from another authority, which renews it",
        )),
        Some(node) if !node.holds_key(key) => Err(Status::failed_precondition(
            "this is not the key that the node enrolled with: enrol it again",
        )),
        Some(node) => Ok(node),
        None => Err(Status::permission_denied("this collector does not know the node: enrol it again")),
    }
}

fn refused(error: &CaError) -> Status {
    match error {
        CaError::Request => Status::invalid_argument(error.to_string()),
        CaError::Step => Status::failed_precondition(error.to_string()),
        CaError::File(_) | CaError::Make(_) => Status::internal(exit::chain(error)),
    }
}
