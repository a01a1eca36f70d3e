//! What the journal says, and its bytes (protobuf, so that fields can be added).

use std::collections::BTreeMap;

use evenkeel_facts::{Digest, SectionDigest};
use jiff::Timestamp;
use prost::Message as _;
use uuid::Uuid;

/// An entry at its place in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Counts from 1, without gaps.
    pub position: u64,
    /// The collector's clock, to the millisecond: a label, it orders nothing.
    pub at: Timestamp,
    /// What happened.
    pub entry: Entry,
}

/// One change of the collector's state.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A machine became a node.
    Enrolled(Enrolled),
    /// A node is something else than before.
    Committed(Committed),
    /// A node fell silent past its deadline, or was heard again.
    Presence(Presence),
    /// Somebody made a token.
    TokenCreated(TokenCreated),
    /// Somebody was given a user certificate.
    UserCertified(UserCertified),
}

/// A machine became a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Enrolled {
    /// The node's identity.
    pub node: Uuid,
    /// Its environment.
    pub environment: String,
    /// Its host name.
    pub host: String,
    /// Its role.
    pub role: String,
    /// The token that it came with.
    pub token: String,
    /// What people want to see beside its name.
    pub labels: BTreeMap<String, String>,
}

/// A node is something else than before.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// The node.
    pub node: Uuid,
    /// Counts the starts of its agent.
    pub boot_epoch: u64,
    /// Counts its commits within the boot epoch.
    pub sequence: u64,
    /// When the sweep began, by the node's clock, to the millisecond.
    pub taken_at: Timestamp,
    /// The digest of all its sections after this commit.
    pub root: Digest,
    /// The sections that are new or different.
    pub changed: Vec<SectionDigest>,
    /// The names of the sections that are gone.
    pub removed: Vec<String>,
    /// Its host name, role and agent version, if they are new or different.
    pub labels: Option<Labels>,
}

/// What a node calls itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels {
    /// Host name.
    pub host: String,
    /// Role.
    pub role: String,
    /// Agent version.
    pub agent: String,
}

/// A node fell silent past its deadline, or was heard again.
#[derive(Debug, Clone, PartialEq)]
pub struct Presence {
    /// The node.
    pub node: Uuid,
    /// Whether it is heard.
    pub fresh: bool,
    /// When it was last heard, to the millisecond.
    pub last_seen: Timestamp,
}

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
}

/// Somebody was given a user certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct UserCertified {
    /// The name in the certificate.
    pub name: String,
    /// The role in the certificate.
    pub role: String,
    /// When it ends.
    pub expires: Timestamp,
    /// Who gave it.
    pub by: String,
}

impl Entry {
    /// The node that it is about, if it is about one.
    pub fn node(&self) -> Option<Uuid> {
        match self {
            Self::Enrolled(Enrolled { node, .. })
            | Self::Committed(Committed { node, .. })
            | Self::Presence(Presence { node, .. }) => Some(*node),
            Self::TokenCreated(_) | Self::UserCertified(_) => None,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let kind = match self.clone() {
            Self::Enrolled(Enrolled { node, environment, host, role, token, labels }) => {
                bytes::Kind::Enrolled(bytes::Enrolled {
                    node: node.into(),
                    environment,
                    host,
                    role,
                    token,
                    labels,
                })
            }
            Self::Committed(committed) => bytes::Kind::Committed(committed.into()),
            Self::Presence(Presence { node, fresh, last_seen }) => {
                let last_seen = last_seen.as_millisecond();
                bytes::Kind::Presence(bytes::Presence { node: node.into(), fresh, last_seen })
            }
            Self::TokenCreated(TokenCreated { id, hash, environment, uses, expires, by }) => {
                let expires = expires.as_millisecond();
                bytes::Kind::TokenCreated(bytes::TokenCreated { id, hash, environment, uses, expires, by })
            }
            Self::UserCertified(UserCertified { name, role, expires, by }) => {
                bytes::Kind::UserCertified(bytes::UserCertified {
                    name,
                    role,
                    expires: expires.as_millisecond(),
                    by,
                })
            }
        };
        bytes::Entry { kind: Some(kind) }.encode_to_vec()
    }

    pub(crate) fn decode(entry: &[u8]) -> Result<Self, String> {
        let entry = bytes::Entry::decode(entry).map_err(|error| error.to_string())?;
        Ok(match entry.kind.ok_or("an entry of a kind that this version does not know")? {
            bytes::Kind::Enrolled(bytes::Enrolled { node, environment, host, role, token, labels }) => {
                Self::Enrolled(Enrolled { node: uuid(&node)?, environment, host, role, token, labels })
            }
            bytes::Kind::Committed(committed) => Self::Committed(committed.try_into()?),
            bytes::Kind::Presence(bytes::Presence { node, fresh, last_seen }) => {
                Self::Presence(Presence { node: uuid(&node)?, fresh, last_seen: time(last_seen)? })
            }
            bytes::Kind::TokenCreated(bytes::TokenCreated { id, hash, environment, uses, expires, by }) => {
                Self::TokenCreated(TokenCreated { id, hash, environment, uses, expires: time(expires)?, by })
            }
            bytes::Kind::UserCertified(bytes::UserCertified { name, role, expires, by }) => {
                Self::UserCertified(UserCertified { name, role, expires: time(expires)?, by })
            }
        })
    }
}

impl From<Committed> for bytes::Committed {
    fn from(committed: Committed) -> Self {
        let Committed { node, boot_epoch, sequence, taken_at, root, changed, removed, labels } = committed;
        let section =
            |SectionDigest { name, digest }| bytes::Section { name, digest: digest.as_bytes().to_vec() };
        let labels = labels.map(|Labels { host, role, agent }| bytes::Labels { host, role, agent });
        Self {
            node: node.into(),
            boot_epoch,
            sequence,
            taken_at: taken_at.as_millisecond(),
            root: root.as_bytes().to_vec(),
            changed: changed.into_iter().map(section).collect(),
            removed,
            labels,
        }
    }
}

impl TryFrom<bytes::Committed> for Committed {
    type Error = String;

    fn try_from(committed: bytes::Committed) -> Result<Self, String> {
        let bytes::Committed { node, boot_epoch, sequence, taken_at, root, changed, removed, labels } =
            committed;
        let digest = |bytes: &[u8]| Digest::try_from(bytes).map_err(|error| error.to_string());
        let section =
            |bytes::Section { name, digest: bytes }| Ok(SectionDigest { name, digest: digest(&bytes)? });
        Ok(Self {
            node: uuid(&node)?,
            boot_epoch,
            sequence,
            taken_at: time(taken_at)?,
            root: digest(&root)?,
            changed: changed.into_iter().map(section).collect::<Result<_, String>>()?,
            removed,
            labels: labels.map(|bytes::Labels { host, role, agent }| Labels { host, role, agent }),
        })
    }
}

fn uuid(bytes: &[u8]) -> Result<Uuid, String> {
    Uuid::from_slice(bytes).map_err(|error| error.to_string())
}

fn time(milliseconds: i64) -> Result<Timestamp, String> {
    Timestamp::from_millisecond(milliseconds).map_err(|error| error.to_string())
}

/// The journal's bytes. Numbers of fields are never used for something else.
mod bytes {
    use std::collections::BTreeMap;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Entry {
        #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5")]
        pub(super) kind: Option<Kind>,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Kind {
        #[prost(message, tag = "1")]
        Enrolled(Enrolled),
        #[prost(message, tag = "2")]
        Committed(Committed),
        #[prost(message, tag = "3")]
        Presence(Presence),
        #[prost(message, tag = "4")]
        TokenCreated(TokenCreated),
        #[prost(message, tag = "5")]
        UserCertified(UserCertified),
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Enrolled {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) node: Vec<u8>,
        #[prost(string, tag = "2")]
        pub(super) environment: String,
        #[prost(string, tag = "3")]
        pub(super) host: String,
        #[prost(string, tag = "4")]
        pub(super) role: String,
        #[prost(string, tag = "5")]
        pub(super) token: String,
        #[prost(btree_map = "string, string", tag = "6")]
        pub(super) labels: BTreeMap<String, String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Committed {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) node: Vec<u8>,
        #[prost(uint64, tag = "2")]
        pub(super) boot_epoch: u64,
        #[prost(uint64, tag = "3")]
        pub(super) sequence: u64,
        #[prost(int64, tag = "4")]
        pub(super) taken_at: i64,
        #[prost(bytes = "vec", tag = "5")]
        pub(super) root: Vec<u8>,
        #[prost(message, repeated, tag = "6")]
        pub(super) changed: Vec<Section>,
        #[prost(string, repeated, tag = "7")]
        pub(super) removed: Vec<String>,
        #[prost(message, optional, tag = "8")]
        pub(super) labels: Option<Labels>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Section {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) digest: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Labels {
        #[prost(string, tag = "1")]
        pub(super) host: String,
        #[prost(string, tag = "2")]
        pub(super) role: String,
        #[prost(string, tag = "3")]
        pub(super) agent: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Presence {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) node: Vec<u8>,
        #[prost(bool, tag = "2")]
        pub(super) fresh: bool,
        #[prost(int64, tag = "3")]
        pub(super) last_seen: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct TokenCreated {
        #[prost(string, tag = "1")]
        pub(super) id: String,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) hash: Vec<u8>,
        #[prost(string, tag = "3")]
        pub(super) environment: String,
        #[prost(uint32, tag = "4")]
        pub(super) uses: u32,
        #[prost(int64, tag = "5")]
        pub(super) expires: i64,
        #[prost(string, tag = "6")]
        pub(super) by: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct UserCertified {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) role: String,
        #[prost(int64, tag = "3")]
        pub(super) expires: i64,
        #[prost(string, tag = "4")]
        pub(super) by: String,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn commit(node: Uuid, sequence: u64) -> Entry {
        let at: Timestamp = "2026-11-22T10:00:00.5Z".parse().unwrap();
        let section =
            SectionDigest { name: "sysctl.net".into(), digest: Digest::of(&sequence.to_be_bytes()) };
        Entry::Committed(Committed {
            node,
            boot_epoch: 3,
            sequence,
            taken_at: at,
            root: Digest::of(b"root"),
            changed: vec![section],
            removed: vec![],
            labels: None,
        })
    }

    #[test]
    fn entries_round_trip() {
        let at: Timestamp = "2026-11-22T10:00:00.5Z".parse().unwrap();
        let node = Uuid::from_u128(7);
        let text = |t: &str| t.to_owned();
        for entry in [
            Entry::Enrolled(Enrolled {
                node,
                environment: text("prod"),
                host: text("web-1"),
                role: text("web"),
                token: text("t"),
                labels: BTreeMap::from([(text("rack"), text("7"))]),
            }),
            commit(node, 1),
            Entry::Presence(Presence { node, fresh: false, last_seen: at }),
            Entry::TokenCreated(TokenCreated {
                id: text("t"),
                hash: vec![1, 2],
                environment: text("dev"),
                uses: 3,
                expires: at,
                by: text("root"),
            }),
            Entry::UserCertified(UserCertified {
                name: text("ada"),
                role: text("viewer"),
                expires: at,
                by: text("root"),
            }),
        ] {
            assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }
        assert!(Entry::decode(&[]).is_err());
    }

    /// Budget: a commit takes at most 300 bytes.
    #[test]
    fn a_commit_is_small() {
        assert!(commit(Uuid::from_u128(7), 1).encode().len() < 150);
    }
}
