//! Certificates for people and tools.

use std::time::Duration;

use evenkeel_proto::admin::{CreateUserCertificateRequest, CreateUserCertificateResponse};
use evenkeel_runtime::identity::{Identity, Role};
use evenkeel_runtime::{exit, label};
use evenkeel_store::Entry;
use evenkeel_store::entry::UserCertified;
use jiff::Timestamp;
use tonic::Status;

use super::{Actor, Admin, end};
use crate::ca::SigningRequest;

const LIFE: u64 = 8 * 60 * 60;
const MAX_LIFE: u64 = 90 * 24 * 60 * 60;

impl Admin {
    pub(super) async fn certify_user(
        &self,
        request: CreateUserCertificateRequest,
        Actor { by, scope: _ }: Actor,
    ) -> Result<CreateUserCertificateResponse, Status> {
        let CreateUserCertificateRequest { name, role, csr, ttl_seconds } = request;
        if !label::is_label(&name) {
            return Err(Status::invalid_argument(format!(
                "{name:?} is not a name of a-z, 0-9, '.', '_' and '-'"
            )));
        }
        let role: Role = role.parse().map_err(Status::invalid_argument)?;
        let expires = end(ttl_seconds, LIFE, MAX_LIFE)?;
        let life = Duration::try_from(expires.duration_since(Timestamp::now())).unwrap_or_default();
        let identity = Identity::User { name: name.clone(), role, environments: Vec::new() };
        let certificates = SigningRequest::parse(&csr)
            .and_then(|request| self.ca.certify(&identity, &request, life))
            .map_err(|error| Status::invalid_argument(exit::chain(&error)))?;
        self.record(Entry::UserCertified(UserCertified { name, role: role.to_string(), expires, by }))
            .await?;
        Ok(CreateUserCertificateResponse {
            certificates: certificates.iter().map(|certificate| certificate.to_vec()).collect(),
            roots: self.ca.roots().iter().map(|root| root.to_vec()).collect(),
        })
    }
}
