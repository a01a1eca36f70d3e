//! Tokens that let machines in.

use jiff::Timestamp;

use super::time;

/// Somebody made a token.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenCreated {
    /// The token's id.
    pub id: String,
    /// The digest of its secret.
    pub hash: Vec<u8>,
    /// The environment that it lets into.
    pub environment: String,
    /// How many nodes may enrol with it.
    pub uses: u32,
    /// When it ends.
    pub expires: Timestamp,
    /// Who made it.
    pub by: String,
    /// A glob that a node's name must match; empty: any name.
    pub names: String,
    /// The network (`10.0.0.0/8`) that a node must come from; empty: any.
    pub network: String,
}

/// Somebody ended a token before its time.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRevoked {
    /// The token's id.
    pub id: String,
    /// Who ended it.
    pub by: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TokenCreatedBytes {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "vec", tag = "2")]
    hash: Vec<u8>,
    #[prost(string, tag = "3")]
    environment: String,
    #[prost(uint32, tag = "4")]
    uses: u32,
    #[prost(int64, tag = "5")]
    expires: i64,
    #[prost(string, tag = "6")]
    by: String,
    #[prost(string, tag = "7")]
    names: String,
    #[prost(string, tag = "8")]
    network: String,
}

impl From<TokenCreated> for TokenCreatedBytes {
    fn from(created: TokenCreated) -> Self {
        let TokenCreated { id, hash, environment, uses, expires, by, names, network } = created;
        Self { id, hash, environment, uses, expires: expires.as_millisecond(), by, names, network }
    }
}

impl TryFrom<TokenCreatedBytes> for TokenCreated {
    type Error = String;

    fn try_from(bytes: TokenCreatedBytes) -> Result<Self, String> {
        let TokenCreatedBytes { id, hash, environment, uses, expires, by, names, network } = bytes;
        Ok(Self { id, hash, environment, uses, expires: time(expires)?, by, names, network })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TokenRevokedBytes {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    by: String,
}

impl From<TokenRevoked> for TokenRevokedBytes {
    fn from(TokenRevoked { id, by }: TokenRevoked) -> Self {
        Self { id, by }
    }
}

impl From<TokenRevokedBytes> for TokenRevoked {
    fn from(TokenRevokedBytes { id, by }: TokenRevokedBytes) -> Self {
        Self { id, by }
    }
}
