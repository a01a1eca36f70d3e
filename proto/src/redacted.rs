//! Messages that carry a token's secret do not show it.

use std::fmt;

use crate::{admin, enroll};

impl fmt::Debug for enroll::EnrollRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, csr, host, role, labels, service_account_token: _ } = self;
        f.debug_struct("EnrollRequest")
            .field("token", &"redacted")
            .field("csr", csr)
            .field("host", host)
            .field("role", role)
            .field("labels", labels)
            .field("service_account_token", &"redacted")
            .finish()
    }
}

impl fmt::Debug for admin::CreateTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, id, enroll_address } = self;
        f.debug_struct("CreateTokenResponse")
            .field("token", &"redacted")
            .field("id", id)
            .field("enroll_address", enroll_address)
            .finish()
    }
}

impl fmt::Debug for enroll::EnrollUserRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, csr } = self;
        f.debug_struct("EnrollUserRequest").field("token", &"redacted").field("csr", csr).finish()
    }
}

impl fmt::Debug for admin::InviteUserResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, id, enroll_address } = self;
        f.debug_struct("InviteUserResponse")
            .field("token", &"redacted")
            .field("id", id)
            .field("enroll_address", enroll_address)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let request = enroll::EnrollRequest {
            token: "canary".into(),
            service_account_token: "canary".into(),
            ..enroll::EnrollRequest::default()
        };
        let response =
            admin::CreateTokenResponse { token: "canary".into(), ..admin::CreateTokenResponse::default() };
        assert!(!format!("{request:?}{response:?}").contains("canary"));
        let request = enroll::EnrollUserRequest { token: "canary".into(), csr: Vec::new() };
        let response =
            admin::InviteUserResponse { token: "canary".into(), ..admin::InviteUserResponse::default() };
        assert!(!format!("{request:?}{response:?}").contains("canary"));
    }
}
