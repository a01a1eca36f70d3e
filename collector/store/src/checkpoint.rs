//! The collector's whole state after an entry, in parts: with it, what came before that entry may be cut off.
//!
//! A checkpoint is written part by part and counts only when it is whole. State is a function of a checkpoint and the
//! entries behind it, as it is of the whole journal.

use std::collections::BTreeMap;

use evenkeel_facts::{Digest, SectionDigest};
use jiff::Timestamp;
use prost::Message;
use uuid::Uuid;

use crate::entry::nodes::LabelsBytes;
use crate::entry::people::UserInvitedBytes;
use crate::entry::{Entry, Labels, UserInvited, time, uuid};
use crate::packed::{Meaning, Number};

/// One part of a state.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// What this entry did, when it was taken in.
    Entry(Timestamp, Entry),
    /// A node.
    Node(Box<NodePart>),
    /// A node that was sent away.
    Left(LeftPart),
    /// How often a token was used.
    Used(String, u32),
    /// The newest version of the policies of a name.
    Version(String, u32),
    /// A user.
    User(UserPart),
    /// An invitation, whether it was used, and whether it was revoked.
    Invitation(UserInvited, bool, bool),
    /// Facts of a node that were changed at one time.
    Changes(Timestamp, Uuid, Vec<String>),
}

/// A node as it is after an entry.
#[derive(Debug, Clone, PartialEq)]
pub struct NodePart {
    /// The node.
    pub node: Uuid,
    /// Its environment.
    pub environment: String,
    /// What it calls itself.
    pub labels: Labels,
    /// What people want to see beside its name.
    pub shown: BTreeMap<String, String>,
    /// When it was enrolled.
    pub enrolled: Timestamp,
    /// SHA-256 of its public key; empty where it is not known.
    pub key: Vec<u8>,
    /// Whether its certificates come from another authority.
    pub is_certified_elsewhere: bool,
    /// Whether it is heard.
    pub fresh: bool,
    /// When its first commit was taken in.
    pub since: Timestamp,
    /// The machines that hold its key, and since when they are so many; empty: one.
    pub holders: Vec<String>,
    /// Since when.
    pub held_since: Timestamp,
    /// What it is.
    pub sections: Vec<SectionDigest>,
    /// Its newest commit: boot epoch, sequence, root, when it was taken in.
    pub head: Option<(u64, u64, Digest, Timestamp)>,
    /// When facts became what they are.
    pub changed: Vec<(String, Timestamp)>,
    /// What could last be read of facts that cannot be read now (the canonical bytes of a section), and since when each
    /// was so, in order of path.
    pub lost: (Vec<u8>, Vec<Timestamp>),
}

/// A node that was sent away.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as the collector's state has it")]
pub struct LeftPart {
    pub node: Uuid,
    pub name: String,
    pub environment: String,
    pub key: Vec<u8>,
    pub enrolled: Timestamp,
    pub at: Timestamp,
    pub banned: bool,
    pub reason: String,
    pub by: String,
}

/// A user.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as the collector's state has it")]
pub struct UserPart {
    pub name: String,
    pub role: String,
    pub environments: Vec<String>,
    pub by: String,
    pub certified: Option<Timestamp>,
    pub ends: Option<Timestamp>,
    pub invited_until: Option<Timestamp>,
    /// When, by whom, why.
    pub revoked: Option<(Timestamp, String, String)>,
}

/// Parts are read in the order of their kinds, and within a kind of their keys.
pub(crate) mod kind {
    /// What nodes need to be there before them.
    pub(crate) const FIRST: i64 = 0;
    /// Nodes; the key is the node's number.
    pub(crate) const NODE: i64 = 1;
    /// All else.
    pub(crate) const REST: i64 = 2;
}

impl Part {
    pub(crate) fn kind(&self) -> i64 {
        match self {
            Self::Entry(_, Entry::EnvironmentsOrdered(_)) => kind::FIRST,
            Self::Node(_) => kind::NODE,
            _ => kind::REST,
        }
    }

    /// What tells it from every other: a digest of what would be written, with names and contents for their numbers. So times
    /// count to the millisecond, as they are kept.
    pub fn print(&self) -> Digest {
        let Ok(bytes) = self.pack(&mut Prints);
        Digest::of(&bytes)
    }

    /// The contents that it names.
    pub(crate) fn sections(&self) -> &[SectionDigest] {
        match self {
            Self::Node(node) => &node.sections,
            Self::Entry(_, Entry::BaselineCreated(created)) => &created.sections,
            _ => &[],
        }
    }

    /// Its bytes.
    pub(crate) fn pack<N: Number>(&self, numbers: &mut N) -> Result<Vec<u8>, N::Error> {
        let milliseconds = |at: &Timestamp| at.as_millisecond();
        let part = match self.clone() {
            Self::Entry(at, entry) => {
                PartBytes { at: at.as_millisecond(), entry: entry.encode(), ..PartBytes::default() }
            }
            Self::Node(node) => {
                let mut sections = Vec::with_capacity(2 * node.sections.len());
                for SectionDigest { name, digest } in &node.sections {
                    sections.extend([numbers.of_name(name)?, numbers.of_section(*digest)?]);
                }
                PartBytes { node: Some(NodeBytes::of(*node, sections)), ..PartBytes::default() }
            }
            Self::Left(left) => {
                let LeftPart { node, name, environment, key, enrolled, at, banned, reason, by } = left;
                let (node, enrolled, at) =
                    (node.into_bytes().to_vec(), enrolled.as_millisecond(), at.as_millisecond());
                let left = LeftBytes { node, name, environment, key, enrolled, at, banned, reason, by };
                PartBytes { left: Some(left), ..PartBytes::default() }
            }
            Self::Used(name, number) => {
                PartBytes { used: Some(NumberBytes { name, number }), ..PartBytes::default() }
            }
            Self::Version(name, number) => {
                PartBytes { version: Some(NumberBytes { name, number }), ..PartBytes::default() }
            }
            Self::User(user) => {
                let UserPart { name, role, environments, by, certified, ends, invited_until, revoked } = user;
                let (revoked_at, revoked_by, reason) = match revoked {
                    Some((at, by, reason)) => (Some(at.as_millisecond()), by, reason),
                    None => (None, String::new(), String::new()),
                };
                let user = UserBytes {
                    name,
                    role,
                    environments,
                    by,
                    certified: certified.as_ref().map(milliseconds),
                    ends: ends.as_ref().map(milliseconds),
                    invited_until: invited_until.as_ref().map(milliseconds),
                    revoked_at,
                    revoked_by,
                    reason,
                };
                PartBytes { user: Some(user), ..PartBytes::default() }
            }
            Self::Invitation(invited, used, revoked) => {
                let invitation = InvitationBytes { invited: Some(invited.into()), used, revoked };
                PartBytes { invitation: Some(invitation), ..PartBytes::default() }
            }
            Self::Changes(at, node, paths) => {
                let changes = ChangesBytes { node: node.into_bytes().to_vec(), paths };
                PartBytes { at: at.as_millisecond(), changes: Some(changes), ..PartBytes::default() }
            }
        };
        Ok(part.encode_to_vec())
    }

    /// What was packed.
    pub(crate) fn unpack(bytes: &[u8], meanings: &impl Meaning) -> Result<Self, String> {
        let PartBytes { at, entry, node, left, used, version, user, invitation, changes } =
            PartBytes::decode(bytes).map_err(|error| error.to_string())?;
        let moment = |milliseconds: Option<i64>| milliseconds.map(time).transpose();
        if let Some(node) = node {
            return node.part(meanings).map(Box::new).map(Self::Node);
        }
        if let Some(LeftBytes { node, name, environment, key, enrolled, at, banned, reason, by }) = left {
            let (node, enrolled, at) = (uuid(&node)?, time(enrolled)?, time(at)?);
            return Ok(Self::Left(LeftPart {
                node,
                name,
                environment,
                key,
                enrolled,
                at,
                banned,
                reason,
                by,
            }));
        }
        if let Some(NumberBytes { name, number }) = used {
            return Ok(Self::Used(name, number));
        }
        if let Some(NumberBytes { name, number }) = version {
            return Ok(Self::Version(name, number));
        }
        if let Some(user) = user {
            let revoked = moment(user.revoked_at)?.map(|at| (at, user.revoked_by, user.reason));
            return Ok(Self::User(UserPart {
                name: user.name,
                role: user.role,
                environments: user.environments,
                by: user.by,
                certified: moment(user.certified)?,
                ends: moment(user.ends)?,
                invited_until: moment(user.invited_until)?,
                revoked,
            }));
        }
        if let Some(InvitationBytes { invited: Some(invited), used, revoked }) = invitation {
            return Ok(Self::Invitation(invited.try_into()?, used, revoked));
        }
        if let Some(ChangesBytes { node, paths }) = changes {
            return Ok(Self::Changes(time(at)?, uuid(&node)?, paths));
        }
        Ok(Self::Entry(time(at)?, Entry::decode(&entry)?))
    }
}

/// The contents and the names that these bytes name by number.
pub(crate) fn named(bytes: &[u8]) -> Result<(Vec<u64>, Vec<u64>), String> {
    let part = PartBytes::decode(bytes).map_err(|error| error.to_string())?;
    let sections = part.node.map(|node| node.sections).unwrap_or_default();
    let names = sections.iter().copied().step_by(2).collect();
    Ok((sections.into_iter().skip(1).step_by(2).collect(), names))
}

/// Numbers that are made of what they stand for.
struct Prints;

impl Prints {
    fn of(digest: Digest) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&digest.as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}

impl Number for Prints {
    type Error = std::convert::Infallible;

    fn of_name(&mut self, name: &str) -> Result<u64, Self::Error> {
        Ok(Self::of(Digest::of(name.as_bytes())))
    }

    fn of_section(&mut self, digest: Digest) -> Result<u64, Self::Error> {
        Ok(Self::of(digest))
    }
}

/// The entry that a part is, if it is one.
pub(crate) fn entry(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let entry = PartBytes::decode(bytes).map_err(|error| error.to_string())?.entry;
    Ok((!entry.is_empty()).then_some(entry))
}

#[derive(Clone, PartialEq, Message)]
struct PartBytes {
    #[prost(int64, tag = "1")]
    at: i64,
    #[prost(bytes = "vec", tag = "2")]
    entry: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    node: Option<NodeBytes>,
    #[prost(message, optional, tag = "4")]
    left: Option<LeftBytes>,
    #[prost(message, optional, tag = "5")]
    used: Option<NumberBytes>,
    #[prost(message, optional, tag = "6")]
    version: Option<NumberBytes>,
    #[prost(message, optional, tag = "7")]
    user: Option<UserBytes>,
    #[prost(message, optional, tag = "8")]
    invitation: Option<InvitationBytes>,
    #[prost(message, optional, tag = "9")]
    changes: Option<ChangesBytes>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeBytes {
    #[prost(bytes = "vec", tag = "1")]
    node: Vec<u8>,
    #[prost(string, tag = "2")]
    environment: String,
    #[prost(message, optional, tag = "3")]
    labels: Option<LabelsBytes>,
    #[prost(btree_map = "string, string", tag = "4")]
    shown: BTreeMap<String, String>,
    #[prost(int64, tag = "5")]
    enrolled: i64,
    #[prost(bytes = "vec", tag = "6")]
    key: Vec<u8>,
    #[prost(bool, tag = "7")]
    is_certified_elsewhere: bool,
    #[prost(bool, tag = "8")]
    fresh: bool,
    #[prost(int64, tag = "9")]
    since: i64,
    #[prost(string, repeated, tag = "10")]
    holders: Vec<String>,
    #[prost(int64, tag = "11")]
    held_since: i64,
    /// Name, content, name, content, and so on.
    #[prost(uint64, repeated, tag = "12")]
    sections: Vec<u64>,
    #[prost(message, optional, tag = "13")]
    head: Option<HeadBytes>,
    #[prost(string, repeated, tag = "14")]
    changed: Vec<String>,
    #[prost(int64, repeated, tag = "15")]
    changed_at: Vec<i64>,
    #[prost(bytes = "vec", tag = "16")]
    lost: Vec<u8>,
    #[prost(int64, repeated, tag = "17")]
    lost_since: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct HeadBytes {
    #[prost(uint64, tag = "1")]
    boot_epoch: u64,
    #[prost(uint64, tag = "2")]
    sequence: u64,
    #[prost(bytes = "vec", tag = "3")]
    root: Vec<u8>,
    #[prost(int64, tag = "4")]
    changed_at: i64,
}

impl NodeBytes {
    fn of(node: NodePart, sections: Vec<u64>) -> Self {
        let NodePart {
            node,
            environment,
            labels,
            shown,
            enrolled,
            key,
            is_certified_elsewhere,
            fresh,
            since,
            holders,
            held_since,
            sections: _,
            head,
            changed,
            lost: (lost, lost_since),
        } = node;
        let (changed, changed_at): (Vec<_>, Vec<_>) =
            changed.into_iter().map(|(path, at)| (path, at.as_millisecond())).unzip();
        let head = head.map(|(boot_epoch, sequence, root, at)| HeadBytes {
            boot_epoch,
            sequence,
            root: root.as_bytes().to_vec(),
            changed_at: at.as_millisecond(),
        });
        Self {
            node: node.into_bytes().to_vec(),
            environment,
            labels: Some(labels.into()),
            shown,
            enrolled: enrolled.as_millisecond(),
            key,
            is_certified_elsewhere,
            fresh,
            since: since.as_millisecond(),
            holders,
            held_since: held_since.as_millisecond(),
            sections,
            head,
            changed,
            changed_at,
            lost,
            lost_since: lost_since.iter().map(|at| at.as_millisecond()).collect(),
        }
    }

    fn part(self, meanings: &impl Meaning) -> Result<NodePart, String> {
        let section = |pair: &[u64]| match pair {
            [name, digest] => {
                Ok(SectionDigest { name: meanings.name(*name)?, digest: meanings.section(*digest)? })
            }
            _ => Err("a section without a name".to_owned()),
        };
        let head = |HeadBytes { boot_epoch, sequence, root, changed_at }| {
            let root = Digest::try_from(root.as_slice()).map_err(|error| error.to_string())?;
            Ok::<_, String>((boot_epoch, sequence, root, time(changed_at)?))
        };
        let times = |all: Vec<i64>| all.into_iter().map(time).collect::<Result<Vec<_>, _>>();
        Ok(NodePart {
            node: uuid(&self.node)?,
            environment: self.environment,
            labels: self.labels.unwrap_or_default().into(),
            shown: self.shown,
            enrolled: time(self.enrolled)?,
            key: self.key,
            is_certified_elsewhere: self.is_certified_elsewhere,
            fresh: self.fresh,
            since: time(self.since)?,
            holders: self.holders,
            held_since: time(self.held_since)?,
            sections: self.sections.chunks(2).map(section).collect::<Result<_, _>>()?,
            head: self.head.map(head).transpose()?,
            changed: self.changed.into_iter().zip(times(self.changed_at)?).collect(),
            lost: (self.lost, times(self.lost_since)?),
        })
    }
}

#[derive(Clone, PartialEq, Message)]
struct LeftBytes {
    #[prost(bytes = "vec", tag = "1")]
    node: Vec<u8>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    environment: String,
    #[prost(bytes = "vec", tag = "4")]
    key: Vec<u8>,
    #[prost(int64, tag = "5")]
    enrolled: i64,
    #[prost(int64, tag = "6")]
    at: i64,
    #[prost(bool, tag = "7")]
    banned: bool,
    #[prost(string, tag = "8")]
    reason: String,
    #[prost(string, tag = "9")]
    by: String,
}

#[derive(Clone, PartialEq, Message)]
struct NumberBytes {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    number: u32,
}

#[derive(Clone, PartialEq, Message)]
struct UserBytes {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    role: String,
    #[prost(string, repeated, tag = "3")]
    environments: Vec<String>,
    #[prost(string, tag = "4")]
    by: String,
    #[prost(int64, optional, tag = "5")]
    certified: Option<i64>,
    #[prost(int64, optional, tag = "6")]
    ends: Option<i64>,
    #[prost(int64, optional, tag = "7")]
    invited_until: Option<i64>,
    #[prost(int64, optional, tag = "8")]
    revoked_at: Option<i64>,
    #[prost(string, tag = "9")]
    revoked_by: String,
    #[prost(string, tag = "10")]
    reason: String,
}

#[derive(Clone, PartialEq, Message)]
struct InvitationBytes {
    #[prost(message, optional, tag = "1")]
    invited: Option<UserInvitedBytes>,
    #[prost(bool, tag = "2")]
    used: bool,
    #[prost(bool, tag = "3")]
    revoked: bool,
}

#[derive(Clone, PartialEq, Message)]
struct ChangesBytes {
    #[prost(bytes = "vec", tag = "1")]
    node: Vec<u8>,
    #[prost(string, repeated, tag = "2")]
    paths: Vec<String>,
}
