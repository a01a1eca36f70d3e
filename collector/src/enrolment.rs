//! EnrollmentService: tokens and keys become nodes; nodes renew their certificates.

use std::collections::BTreeMap;
use std::sync::Arc;

use evenkeel_proto::enroll::enrollment_service_server::EnrollmentService;
use evenkeel_proto::enroll::{EnrollRequest, EnrollResponse, RenewRequest, RenewResponse};
use evenkeel_runtime::identity::Identity;
use evenkeel_runtime::{exit, label};
use evenkeel_store::Entry;
use evenkeel_store::entry::Enrolled;
use jiff::Timestamp;
use tonic::{Request, Response, Status};
use tracing::{info, warn};
use uuid::Uuid;

use crate::ca::{Ca, CaError, NODE_LIFE, SigningRequest};
use crate::ingest::caller;
use crate::ledger::{Decision, Key, Ledger};
use crate::metrics::{Metrics, count};
use crate::state::State;
use crate::token::Token;

/// The most labels of one node.
const MAX_LABELS: usize = 32;

/// Lets machines in.
pub struct Enrolment {
    ca: Arc<Ca>,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    fleet_port: u16,
}

impl Enrolment {
    /// Lets machines in with this authority; they will report on this port.
    pub fn new(ca: Arc<Ca>, ledger: Ledger, metrics: Arc<Metrics>, fleet_port: u16) -> Self {
        Self { ca, ledger, metrics, fleet_port }
    }

    async fn enrol(&self, request: EnrollRequest) -> Result<EnrollResponse, Status> {
        let EnrollRequest { token, csr, host, role, labels } = request;
        let labels = BTreeMap::from_iter(labels);
        if !label::is_label(&host) || !(role.is_empty() || label::is_label(&role)) {
            return Err(Status::invalid_argument("host and role are names of a-z, 0-9, '.', '_' and '-'"));
        }
        let are_labels = labels.iter().all(|(key, value)| label::is_label(key) && label::is_label(value));
        if labels.len() > MAX_LABELS || !are_labels {
            let sentence = format!("labels are at most {MAX_LABELS} names of a-z, 0-9, '.', '_' and '-'");
            return Err(Status::invalid_argument(sentence));
        }
        let Some(token) = Token::parse(&token, self.ca.pin()) else {
            return Err(Status::unauthenticated("this is not a token of this collector"));
        };
        // Before the token is used up: a malformed request costs nothing.
        let csr = SigningRequest::parse(&csr).map_err(|error| refused(&error))?;
        let node = Uuid::new_v4();
        let (hash, id) = (token.hash(), token.id);
        let environment =
            admit(&self.ledger.state(), &id, &hash, Timestamp::now()).map_err(Status::unauthenticated)?;
        let identity = Identity::Node { environment: environment.clone(), id: node };
        let certificates = self.ca.certify(&identity, &csr, NODE_LIFE).map_err(|error| refused(&error))?;
        // Decided again on the state as it is then: of two that come with the last use, one is let in.
        let decide = {
            let (id, host, role) = (id.clone(), host.clone(), role.clone());
            move |state: &State| match admit(state, &id, &hash, Timestamp::now()) {
                Ok(environment) => {
                    let enrolled = Enrolled { node, environment, host, role, token: id, labels };
                    Decision { entries: vec![Entry::Enrolled(enrolled)], sections: vec![], answer: Ok(()) }
                }
                Err(why) => Decision::only(Err(why)),
            }
        };
        let admitted = self.ledger.change(Key::Token(id), decide).await;
        admitted.map_err(|error| Status::unavailable(error.to_string()))?.map_err(Status::unauthenticated)?;
        info!(%node, environment, name = host, role, "Node enrolled.");
        Ok(EnrollResponse {
            node: node.to_string(),
            environment,
            certificates: certificates.iter().map(|certificate| certificate.to_vec()).collect(),
            roots: self.roots(),
            fleet_port: self.fleet_port.into(),
            fleet_host: String::new(),
        })
    }

    fn roots(&self) -> Vec<Vec<u8>> {
        self.ca.roots().iter().map(|root| root.to_vec()).collect()
    }
}

/// The environment that a token lets into now, or why it does not. The sentence goes to whoever holds the token.
fn admit(state: &State, id: &str, hash: &[u8], now: Timestamp) -> Result<String, String> {
    match state.token(id) {
        Some(token) if token.created.hash != hash => Err("this is not a token of this collector".to_owned()),
        None => Err("this is not a token of this collector".to_owned()),
        Some(token) if token.created.expires <= now => {
            Err(format!("token {id} expired at {:.0}", token.created.expires))
        }
        Some(token) if token.used >= token.created.uses => {
            Err(format!("token {id} is used up ({} of {})", token.used, token.created.uses))
        }
        Some(token) => Ok(token.created.environment.clone()),
    }
}

#[tonic::async_trait]
impl EnrollmentService for Enrolment {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        let result = self.enrol(request.into_inner()).await;
        match &result {
            Ok(_) => count(&self.metrics.enrolments, "enrolled"),
            Err(status) => {
                warn!(error = status.message(), "Enrolment refused.");
                count(&self.metrics.enrolments, "refused");
            }
        }
        result.map(Response::new)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let node = caller(&request, &self.ledger)?;
        let environment =
            self.ledger.state().node(node).map(|node| node.environment.to_string()).unwrap_or_default();
        let identity = Identity::Node { environment, id: node };
        let issued = SigningRequest::parse(&request.into_inner().csr)
            .and_then(|request| self.ca.certify(&identity, &request, NODE_LIFE));
        let certificates = issued.map_err(|error| refused(&error))?;
        count(&self.metrics.enrolments, "renewed");
        let certificates = certificates.iter().map(|certificate| certificate.to_vec()).collect();
        Ok(Response::new(RenewResponse { certificates, roots: self.roots() }))
    }
}

fn refused(error: &CaError) -> Status {
    match error {
        CaError::Request => Status::invalid_argument(error.to_string()),
        CaError::File(_) | CaError::Make(_) => Status::internal(exit::chain(error)),
    }
}
