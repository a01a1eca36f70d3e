//! People are let in, and sent away.

use jiff::Timestamp;

use super::time;

/// Somebody was invited: a token with which one person logs in for the first time.
#[derive(Debug, Clone, PartialEq)]
pub struct UserInvited {
    /// The invitation's id.
    pub id: String,
    /// The digest of its secret.
    pub hash: Vec<u8>,
    /// Who is invited.
    pub name: String,
    /// What they may do.
    pub role: String,
    /// Where they may do it; empty: everywhere.
    pub environments: Vec<String>,
    /// When the invitation ends.
    pub expires: Timestamp,
    /// Who invited them.
    pub by: String,
}

/// Somebody was given a user certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct UserCertified {
    /// The name in the certificate.
    pub name: String,
    /// The role in the certificate.
    pub role: String,
    /// The environments in the certificate; empty: all.
    pub environments: Vec<String>,
    /// When it ends.
    pub expires: Timestamp,
    /// Who gave it: an admin, or the user who logged in again.
    pub by: String,
    /// The invitation that it was given for; empty: none.
    pub invitation: String,
}

/// Every certificate and invitation that a user had until now is worth nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct UserRevoked {
    /// Whose.
    pub name: String,
    /// Why; may be empty.
    pub reason: String,
    /// Who did it.
    pub by: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UserInvitedBytes {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "vec", tag = "2")]
    hash: Vec<u8>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    role: String,
    #[prost(string, repeated, tag = "5")]
    environments: Vec<String>,
    #[prost(int64, tag = "6")]
    expires: i64,
    #[prost(string, tag = "7")]
    by: String,
}

impl From<UserInvited> for UserInvitedBytes {
    fn from(invited: UserInvited) -> Self {
        let UserInvited { id, hash, name, role, environments, expires, by } = invited;
        Self { id, hash, name, role, environments, expires: expires.as_millisecond(), by }
    }
}

impl TryFrom<UserInvitedBytes> for UserInvited {
    type Error = String;

    fn try_from(bytes: UserInvitedBytes) -> Result<Self, String> {
        let UserInvitedBytes { id, hash, name, role, environments, expires, by } = bytes;
        Ok(Self { id, hash, name, role, environments, expires: time(expires)?, by })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UserCertifiedBytes {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    role: String,
    #[prost(int64, tag = "3")]
    expires: i64,
    #[prost(string, tag = "4")]
    by: String,
    #[prost(string, repeated, tag = "5")]
    environments: Vec<String>,
    #[prost(string, tag = "6")]
    invitation: String,
}

impl From<UserCertified> for UserCertifiedBytes {
    fn from(certified: UserCertified) -> Self {
        let UserCertified { name, role, environments, expires, by, invitation } = certified;
        Self { name, role, expires: expires.as_millisecond(), by, environments, invitation }
    }
}

impl TryFrom<UserCertifiedBytes> for UserCertified {
    type Error = String;

    fn try_from(bytes: UserCertifiedBytes) -> Result<Self, String> {
        let UserCertifiedBytes { name, role, expires, by, environments, invitation } = bytes;
        Ok(Self { name, role, environments, expires: time(expires)?, by, invitation })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UserRevokedBytes {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    reason: String,
    #[prost(string, tag = "3")]
    by: String,
}

impl From<UserRevoked> for UserRevokedBytes {
    fn from(UserRevoked { name, reason, by }: UserRevoked) -> Self {
        Self { name, reason, by }
    }
}

impl From<UserRevokedBytes> for UserRevoked {
    fn from(UserRevokedBytes { name, reason, by }: UserRevokedBytes) -> Self {
        Self { name, reason, by }
    }
}
