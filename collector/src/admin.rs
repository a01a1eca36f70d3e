//! AdminService: what operators do. Every write lands in the journal with who and when.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_proto::admin::admin_service_server::AdminService;
use evenkeel_proto::admin::{
    CreateTokenRequest, CreateTokenResponse, CreateUserCertificateRequest, CreateUserCertificateResponse,
};
use evenkeel_runtime::identity::{Identity, Role};
use evenkeel_runtime::{exit, label};
use evenkeel_store::Entry;
use evenkeel_store::entry::{TokenCreated, UserCertified};
use jiff::Timestamp;
use tonic::{Request, Response, Status};

use crate::access::Peer;
use crate::ca::{Ca, SigningRequest};
use crate::ledger::{Decision, Key, Ledger};
use crate::scope::Scope;
use crate::token::Token;

const TOKEN_LIFE: u64 = 15 * 60;
const MAX_TOKEN_LIFE: u64 = 365 * 24 * 60 * 60;
const USER_LIFE: u64 = 8 * 60 * 60;
const MAX_USER_LIFE: u64 = 90 * 24 * 60 * 60;

/// Serves operators.
pub struct Admin {
    ca: Arc<Ca>,
    ledger: Ledger,
    enroll_address: String,
}

impl Admin {
    /// `enroll_address` is shown to operators: `https://HOST:PORT`.
    pub fn new(ca: Arc<Ca>, ledger: Ledger, enroll_address: String) -> Self {
        Self { ca, ledger, enroll_address }
    }

    async fn record(&self, entry: Entry) -> Result<(), Status> {
        let decide = move |_: &_| Decision { entries: vec![entry], sections: vec![], answer: () };
        self.ledger.change(Key::None, decide).await.map_err(|error| Status::unavailable(error.to_string()))
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let (by, scope) = (who(&request), Scope::of(&request));
        let CreateTokenRequest { environment, uses, ttl_seconds } = request.into_inner();
        scope.check(&environment)?;
        let known: Vec<String> = self.ledger.state().environments().iter().map(ToString::to_string).collect();
        if !known.contains(&environment) {
            let sentence =
                format!("there is no environment {environment:?}; there are: {}", known.join(", "));
            return Err(Status::invalid_argument(sentence));
        }
        let expires = end(ttl_seconds, TOKEN_LIFE, MAX_TOKEN_LIFE)?;
        let token = Token::generate();
        self.record(Entry::TokenCreated(TokenCreated {
            id: token.id.clone(),
            hash: token.hash(),
            environment,
            uses: uses.max(1),
            expires,
            by,
        }))
        .await?;
        Ok(Response::new(CreateTokenResponse {
            token: token.reveal(self.ca.pin()),
            id: token.id,
            enroll_address: self.enroll_address.clone(),
        }))
    }

    async fn create_user_certificate(
        &self,
        request: Request<CreateUserCertificateRequest>,
    ) -> Result<Response<CreateUserCertificateResponse>, Status> {
        let by = who(&request);
        let CreateUserCertificateRequest { name, role, csr, ttl_seconds } = request.into_inner();
        if !label::is_label(&name) {
            return Err(Status::invalid_argument(format!(
                "{name:?} is not a name of a-z, 0-9, '.', '_' and '-'"
            )));
        }
        let role: Role = role.parse().map_err(Status::invalid_argument)?;
        let expires = end(ttl_seconds, USER_LIFE, MAX_USER_LIFE)?;
        let life = Duration::try_from(expires.duration_since(Timestamp::now())).unwrap_or_default();
        let identity = Identity::User { name: name.clone(), role, environments: Vec::new() };
        let certificates = SigningRequest::parse(&csr)
            .and_then(|request| self.ca.certify(&identity, &request, life))
            .map_err(|error| Status::invalid_argument(exit::chain(&error)))?;
        self.record(Entry::UserCertified(UserCertified { name, role: role.to_string(), expires, by }))
            .await?;
        Ok(Response::new(CreateUserCertificateResponse {
            certificates: certificates.iter().map(|certificate| certificate.to_vec()).collect(),
            roots: self.ca.roots().iter().map(|root| root.to_vec()).collect(),
        }))
    }
}

fn who<T>(request: &Request<T>) -> String {
    request.extensions().get::<Peer>().map(ToString::to_string).unwrap_or_default()
}

fn end(seconds: u64, default: u64, most: u64) -> Result<Timestamp, Status> {
    let seconds = if seconds == 0 { default } else { seconds };
    if seconds > most {
        let days = most / (24 * 60 * 60);
        return Err(Status::invalid_argument(format!(
            "a life of {seconds} s is too long: at most {days} days"
        )));
    }
    Ok(Timestamp::now() + Duration::from_secs(seconds))
}
