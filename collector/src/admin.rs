//! AdminService: what operators do. Every write lands in the journal with who and when.
//!
//! # Layout
//!
//! - [`tokens`]: made, listed, ended
//! - [`nodes`]: sent away, let back
//! - [`authority`]: the certificate authority's next step
//! - [`judgement`]: the policy, sign-off, baselines
//!
//! People are let in and sent away by [`Users`]; what was done is told by [`Audit`].

mod authority;
mod judgement;
mod nodes;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use evenkeel_proto::admin as wire;
use evenkeel_proto::admin::admin_service_server::AdminService;
use evenkeel_store::Entry;
use jiff::Timestamp;
use tonic::{Request, Response, Status};

use crate::access::Peer;
use crate::archive::Archive;
use crate::audit::Audit;
use crate::ca::Ca;
use crate::ledger::{Decision, Key, Ledger};
use crate::scope::Scope;
use crate::serve::OpenConnections;
use crate::tending::Tending;
use crate::users::Users;

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
    users: Arc<Users>,
    audit: Audit,
    archive: Archive,
}

impl Admin {
    /// `enroll_address` is shown to operators: `https://HOST:PORT`. Of `open`, those of a node that is sent away are
    /// closed.
    pub fn new(
        ca: Arc<Ca>,
        archive: Archive,
        tending: Arc<Tending>,
        open: OpenConnections,
        enroll_address: String,
        users: Arc<Users>,
        audit: Audit,
    ) -> Self {
        let ledger = archive.ledger().clone();
        Self { ca, ledger, tending, open, enroll_address, users, audit, archive }
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

    async fn apply_policy(
        &self,
        request: Request<wire::ApplyPolicyRequest>,
    ) -> Result<Response<wire::ApplyPolicyResponse>, Status> {
        let actor = Actor::of(&request);
        self.apply(request.into_inner(), actor).await.map(Response::new)
    }

    async fn accept(
        &self,
        request: Request<wire::AcceptRequest>,
    ) -> Result<Response<wire::AcceptResponse>, Status> {
        let actor = Actor::of(&request);
        self.sign_off(request.into_inner(), actor).await.map(Response::new)
    }

    async fn unaccept(
        &self,
        request: Request<wire::UnacceptRequest>,
    ) -> Result<Response<wire::UnacceptResponse>, Status> {
        let actor = Actor::of(&request);
        self.take_back(request.into_inner(), actor).await.map(Response::new)
    }

    async fn create_baseline(
        &self,
        request: Request<wire::CreateBaselineRequest>,
    ) -> Result<Response<wire::CreateBaselineResponse>, Status> {
        let actor = Actor::of(&request);
        self.keep(request.into_inner(), actor).await.map(Response::new)
    }

    async fn delete_baseline(
        &self,
        request: Request<wire::DeleteBaselineRequest>,
    ) -> Result<Response<wire::DeleteBaselineResponse>, Status> {
        let actor = Actor::of(&request);
        self.forget(request.into_inner(), actor).await.map(Response::new)
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
        let by = Peer::of(&request);
        self.users.create(by, request.into_inner()).await.map(Response::new)
    }

    async fn invite_user(
        &self,
        request: Request<wire::InviteUserRequest>,
    ) -> Result<Response<wire::InviteUserResponse>, Status> {
        let by = Peer::of(&request);
        self.users.invite(by, request.into_inner()).await.map(Response::new)
    }

    async fn list_users(
        &self,
        _: Request<wire::ListUsersRequest>,
    ) -> Result<Response<wire::ListUsersResponse>, Status> {
        Ok(Response::new(self.users.list()))
    }

    async fn revoke_user(
        &self,
        request: Request<wire::RevokeUserRequest>,
    ) -> Result<Response<wire::RevokeUserResponse>, Status> {
        let by = Peer::of(&request);
        self.users.revoke(by, request.into_inner()).await.map(Response::new)
    }

    async fn list_audit(
        &self,
        request: Request<wire::ListAuditRequest>,
    ) -> Result<Response<wire::ListAuditResponse>, Status> {
        let scope = Scope::of(&request);
        self.audit.list(&self.ledger, scope, request.into_inner()).await.map(Response::new)
    }
}

/// When something of this life (in seconds; 0: the usual one) ends that begins now.
pub(crate) fn end(seconds: u64, default: u64, most: u64) -> Result<Timestamp, Status> {
    let seconds = if seconds == 0 { default } else { seconds };
    if seconds > most {
        let days = most / (24 * 60 * 60);
        return Err(Status::invalid_argument(format!(
            "a life of {seconds} s is too long: at most {days} days"
        )));
    }
    Ok(Timestamp::now() + Duration::from_secs(seconds))
}
