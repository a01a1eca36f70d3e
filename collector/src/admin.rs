//! AdminService: what operators do. Every write lands in the journal with who and when.
//!
//! # Layout
//!
//! - [`tokens`]: made, listed, ended
//! - [`nodes`]: sent away, let back
//! - [`users`]: certificates for people and tools
//! - [`authority`]: the certificate authority's next step

mod authority;
mod nodes;
mod tokens;
mod users;

use std::sync::Arc;
use std::time::Duration;

use evenkeel_proto::admin as wire;
use evenkeel_proto::admin::admin_service_server::AdminService;
use evenkeel_store::Entry;
use jiff::Timestamp;
use tonic::{Request, Response, Status};

use crate::access::Peer;
use crate::ca::Ca;
use crate::ledger::{Decision, Key, Ledger};
use crate::scope::Scope;
use crate::serve::OpenConnections;
use crate::tending::Tending;

/// Who does something, and where they may.
struct Actor {
    /// As the journal keeps it.
    by: String,
    scope: Scope,
}

impl Actor {
    fn of<T>(request: &Request<T>) -> Self {
        let by = request.extensions().get::<Peer>().map(ToString::to_string).unwrap_or_default();
        Self { by, scope: Scope::of(request) }
    }
}

/// Serves operators.
pub struct Admin {
    ca: Arc<Ca>,
    ledger: Ledger,
    tending: Arc<Tending>,
    open: OpenConnections,
    enroll_address: String,
}

impl Admin {
    /// `enroll_address` is shown to operators: `https://HOST:PORT`. Of `open`, those of a node that is sent away are
    /// closed.
    pub fn new(
        ca: Arc<Ca>,
        ledger: Ledger,
        tending: Arc<Tending>,
        open: OpenConnections,
        enroll_address: String,
    ) -> Self {
        Self { ca, ledger, tending, open, enroll_address }
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
        request: Request<wire::CreateTokenRequest>,
    ) -> Result<Response<wire::CreateTokenResponse>, Status> {
        let actor = Actor::of(&request);
        self.make_token(request.into_inner(), actor).await.map(Response::new)
    }

    async fn list_tokens(
        &self,
        request: Request<wire::ListTokensRequest>,
    ) -> Result<Response<wire::ListTokensResponse>, Status> {
        Ok(Response::new(self.tokens(&Actor::of(&request).scope)))
    }

    async fn revoke_token(
        &self,
        request: Request<wire::RevokeTokenRequest>,
    ) -> Result<Response<wire::RevokeTokenResponse>, Status> {
        let actor = Actor::of(&request);
        self.end_token(request.into_inner(), actor).await.map(Response::new)
    }

    async fn evict_node(
        &self,
        request: Request<wire::EvictNodeRequest>,
    ) -> Result<Response<wire::EvictNodeResponse>, Status> {
        let actor = Actor::of(&request);
        let wire::EvictNodeRequest { node, reason } = request.into_inner();
        let node = Some(self.send_away(&node, false, reason, actor).await?);
        Ok(Response::new(wire::EvictNodeResponse { node }))
    }

    async fn ban_node(
        &self,
        request: Request<wire::BanNodeRequest>,
    ) -> Result<Response<wire::BanNodeResponse>, Status> {
        let actor = Actor::of(&request);
        let wire::BanNodeRequest { node, reason } = request.into_inner();
        let node = Some(self.send_away(&node, true, reason, actor).await?);
        Ok(Response::new(wire::BanNodeResponse { node }))
    }

    async fn unban_node(
        &self,
        request: Request<wire::UnbanNodeRequest>,
    ) -> Result<Response<wire::UnbanNodeResponse>, Status> {
        let actor = Actor::of(&request);
        let node = Some(self.lift_ban(&request.into_inner().node, actor).await?);
        Ok(Response::new(wire::UnbanNodeResponse { node }))
    }

    async fn get_authority(
        &self,
        _: Request<wire::GetAuthorityRequest>,
    ) -> Result<Response<wire::Authority>, Status> {
        Ok(Response::new(self.authority()))
    }

    async fn rotate_authority(
        &self,
        request: Request<wire::RotateAuthorityRequest>,
    ) -> Result<Response<wire::Authority>, Status> {
        let actor = Actor::of(&request);
        self.rotate(request.into_inner().force, actor).await.map(Response::new)
    }

    async fn create_user_certificate(
        &self,
        request: Request<wire::CreateUserCertificateRequest>,
    ) -> Result<Response<wire::CreateUserCertificateResponse>, Status> {
        let actor = Actor::of(&request);
        self.certify_user(request.into_inner(), actor).await.map(Response::new)
    }
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
