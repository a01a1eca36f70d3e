//! Machines become nodes, change, fall silent, leave.

use std::collections::BTreeMap;
use std::fmt;

use evenkeel_facts::{Author, Digest, SectionDigest};
use jiff::Timestamp;
use uuid::Uuid;

use super::{time, uuid};

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
    /// The token that it came with, or the rule that let it in without one.
    pub token: String,
    /// What people want to see beside its name.
    pub labels: BTreeMap<String, String>,
    /// SHA-256 of its public key; empty where it is not known.
    pub key: Vec<u8>,
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
    /// Who changed something of it, as far as the node saw.
    pub authors: Vec<Author>,
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

/// Somebody sent a node away.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeLeft {
    /// The node.
    pub node: Uuid,
    /// Whether it may not come back: its key and its name in its environment are refused until the ban is lifted.
    pub banned: bool,
    /// Why; may be empty.
    pub reason: String,
    /// Who sent it away.
    pub by: String,
}

/// Somebody lifted a ban: the machine may enrol again, as a new node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeUnbanned {
    /// The node.
    pub node: Uuid,
    /// Who lifted it.
    pub by: String,
}

/// Two machines speak with the key of one node: it was cloned, or its state was restored elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeCloned {
    /// The node.
    pub node: Uuid,
    /// Who speaks with its key, as far as the connections tell.
    pub holders: Vec<Holder>,
}

/// One of several machines that speak with one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// The host name that it reports; empty where it has not told since.
    pub host: String,
    /// The network address that it was seen at.
    pub address: String,
}

impl fmt::Display for Holder {
    /// `web-1 at 10.0.0.7`, of which either part may not be known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.as_str(), self.address.as_str()) {
            ("", "") => f.write_str("somebody"),
            (host, "") => f.write_str(host),
            ("", address) => f.write_str(address),
            (host, address) => write!(f, "{host} at {address}"),
        }
    }
}

/// Only one machine speaks with the node's key again.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSingle {
    /// The node.
    pub node: Uuid,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EnrolledBytes {
    #[prost(bytes = "vec", tag = "1")]
    node: Vec<u8>,
    #[prost(string, tag = "2")]
    environment: String,
    #[prost(string, tag = "3")]
    host: String,
    #[prost(string, tag = "4")]
    role: String,
    #[prost(string, tag = "5")]
    token: String,
    #[prost(btree_map = "string, string", tag = "6")]
    labels: BTreeMap<String, String>,
    #[prost(bytes = "vec", tag = "7")]
    key: Vec<u8>,
}

impl From<Enrolled> for EnrolledBytes {
    fn from(Enrolled { node, environment, host, role, token, labels, key }: Enrolled) -> Self {
        Self { node: node.into(), environment, host, role, token, labels, key }
    }
}

impl TryFrom<EnrolledBytes> for Enrolled {
    type Error = String;

    fn try_from(bytes: EnrolledBytes) -> Result<Self, String> {
        let EnrolledBytes { node, environment, host, role, token, labels, key } = bytes;
        Ok(Self { node: uuid(&node)?, environment, host, role, token, labels, key })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CommittedBytes {
    #[prost(bytes = "vec", tag = "1")]
    node: Vec<u8>,
    #[prost(uint64, tag = "2")]
    boot_epoch: u64,
    #[prost(uint64, tag = "3")]
    sequence: u64,
    #[prost(int64, tag = "4")]
    taken_at: i64,
    #[prost(bytes = "vec", tag = "5")]
    root: Vec<u8>,
    #[prost(message, repeated, tag = "6")]
    changed: Vec<SectionBytes>,
    #[prost(string, repeated, tag = "7")]
    removed: Vec<String>,
    #[prost(message, optional, tag = "8")]
    labels: Option<LabelsBytes>,
    #[prost(message, repeated, tag = "30")]
    authors: Vec<AuthorBytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AuthorBytes {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(uint32, tag = "2")]
    pid: u32,
    #[prost(string, tag = "3")]
    command: String,
    #[prost(string, tag = "4")]
    user: String,
    #[prost(string, tag = "5")]
    login: String,
    #[prost(string, tag = "6")]
    unit: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SectionBytes {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelsBytes {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(string, tag = "2")]
    role: String,
    #[prost(string, tag = "3")]
    agent: String,
}

impl From<Author> for AuthorBytes {
    fn from(Author { path, pid, command, user, login, unit }: Author) -> Self {
        Self { path, pid, command, user, login, unit }
    }
}

impl From<AuthorBytes> for Author {
    fn from(AuthorBytes { path, pid, command, user, login, unit }: AuthorBytes) -> Self {
        Self { path, pid, command, user, login, unit }
    }
}

impl From<Labels> for LabelsBytes {
    fn from(Labels { host, role, agent }: Labels) -> Self {
        Self { host, role, agent }
    }
}

impl From<LabelsBytes> for Labels {
    fn from(LabelsBytes { host, role, agent }: LabelsBytes) -> Self {
        Self { host, role, agent }
    }
}

impl From<Committed> for CommittedBytes {
    fn from(committed: Committed) -> Self {
        let Committed { node, boot_epoch, sequence, taken_at, root, changed, removed, labels, authors } =
            committed;
        let section =
            |SectionDigest { name, digest }| SectionBytes { name, digest: digest.as_bytes().to_vec() };
        Self {
            node: node.into(),
            boot_epoch,
            sequence,
            taken_at: taken_at.as_millisecond(),
            root: root.as_bytes().to_vec(),
            changed: changed.into_iter().map(section).collect(),
            removed,
            labels: labels.map(Into::into),
            authors: authors.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<CommittedBytes> for Committed {
    type Error = String;

    fn try_from(bytes: CommittedBytes) -> Result<Self, String> {
        let CommittedBytes { node, boot_epoch, sequence, taken_at, root, changed, removed, labels, authors } =
            bytes;
        let digest = |bytes: &[u8]| Digest::try_from(bytes).map_err(|error| error.to_string());
        let section =
            |SectionBytes { name, digest: bytes }| Ok(SectionDigest { name, digest: digest(&bytes)? });
        Ok(Self {
            node: uuid(&node)?,
            boot_epoch,
            sequence,
            taken_at: time(taken_at)?,
            root: digest(&root)?,
            changed: changed.into_iter().map(section).collect::<Result<_, String>>()?,
            removed,
            labels: labels.map(Into::into),
            authors: authors.into_iter().map(Into::into).collect(),
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PresenceBytes {
    #[prost(bytes = "vec", tag = "1")]
    node: Vec<u8>,
    #[prost(bool, tag = "2")]
    fresh: bool,
    #[prost(int64, tag = "3")]
    last_seen: i64,
}

impl From<Presence> for PresenceBytes {
    fn from(Presence { node, fresh, last_seen }: Presence) -> Self {
        Self { node: node.into(), fresh, last_seen: last_seen.as_millisecond() }
    }
}

impl TryFrom<PresenceBytes> for Presence {
    type Error = String;

    fn try_from(PresenceBytes { node, fresh, last_seen }: PresenceBytes) -> Result<Self, String> {
        Ok(Self { node: uuid(&node)?, fresh, last_seen: time(last_seen)? })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NodeLeftBytes {
    #[prost(bytes = "vec", tag = "1")]
    node: Vec<u8>,
    #[prost(bool, tag = "2")]
    banned: bool,
    #[prost(string, tag = "3")]
    reason: String,
    #[prost(string, tag = "4")]
    by: String,
}

impl From<NodeLeft> for NodeLeftBytes {
    fn from(NodeLeft { node, banned, reason, by }: NodeLeft) -> Self {
        Self { node: node.into(), banned, reason, by }
    }
}

impl TryFrom<NodeLeftBytes> for NodeLeft {
    type Error = String;

    fn try_from(NodeLeftBytes { node, banned, reason, by }: NodeLeftBytes) -> Result<Self, String> {
        Ok(Self { node: uuid(&node)?, banned, reason, by })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NodeUnbannedBytes {
    #[prost(bytes = "vec", tag = "1")]
    node: Vec<u8>,
    #[prost(string, tag = "2")]
    by: String,
}

impl From<NodeUnbanned> for NodeUnbannedBytes {
    fn from(NodeUnbanned { node, by }: NodeUnbanned) -> Self {
        Self { node: node.into(), by }
    }
}

impl TryFrom<NodeUnbannedBytes> for NodeUnbanned {
    type Error = String;

    fn try_from(NodeUnbannedBytes { node, by }: NodeUnbannedBytes) -> Result<Self, String> {
        Ok(Self { node: uuid(&node)?, by })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NodeClonedBytes {
    #[prost(bytes = "vec", tag = "1")]
    node: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    holders: Vec<HolderBytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HolderBytes {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(string, tag = "2")]
    address: String,
}

impl From<NodeCloned> for NodeClonedBytes {
    fn from(NodeCloned { node, holders }: NodeCloned) -> Self {
        let bytes = |Holder { host, address }| HolderBytes { host, address };
        Self { node: node.into(), holders: holders.into_iter().map(bytes).collect() }
    }
}

impl TryFrom<NodeClonedBytes> for NodeCloned {
    type Error = String;

    fn try_from(NodeClonedBytes { node, holders }: NodeClonedBytes) -> Result<Self, String> {
        let holder = |HolderBytes { host, address }| Holder { host, address };
        Ok(Self { node: uuid(&node)?, holders: holders.into_iter().map(holder).collect() })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NodeSingleBytes {
    #[prost(bytes = "vec", tag = "1")]
    node: Vec<u8>,
}

impl From<NodeSingle> for NodeSingleBytes {
    fn from(NodeSingle { node }: NodeSingle) -> Self {
        Self { node: node.into() }
    }
}

impl TryFrom<NodeSingleBytes> for NodeSingle {
    type Error = String;

    fn try_from(NodeSingleBytes { node }: NodeSingleBytes) -> Result<Self, String> {
        Ok(Self { node: uuid(&node)? })
    }
}
