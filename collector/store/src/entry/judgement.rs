//! What people say of drift: the policy in force, what is signed off, what is kept as a baseline.

use evenkeel_facts::{Digest, SectionDigest};
use jiff::Timestamp;
use uuid::Uuid;

use super::time;

/// Somebody put a policy in force.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyApplied {
    /// The policy as it was written.
    pub text: String,
    /// Its version: the one in the text, or the next one if that was taken.
    pub version: u32,
    /// Who did it.
    pub by: String,
}

/// Somebody signed off what is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The acceptance's id.
    pub id: String,
    /// The findings, each as it was; empty if paths are accepted.
    pub findings: Vec<AcceptedFinding>,
    /// A glob over paths; empty if findings are accepted.
    pub paths: String,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub until: Timestamp,
    /// Who did it.
    pub by: String,
}

/// A finding as it was when it was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct AcceptedFinding {
    /// Its id.
    pub id: String,
    /// Its path.
    pub path: String,
    /// Environment and value (`None`: missing).
    pub values: Vec<(String, Option<String>)>,
}

/// Somebody ended an acceptance.
#[derive(Debug, Clone, PartialEq)]
pub struct Unaccepted {
    /// The acceptance.
    pub id: String,
    /// Who did it.
    pub by: String,
}

/// Somebody froze what some nodes are as something to hold others against.
#[derive(Debug, Clone, PartialEq)]
pub struct BaselineCreated {
    /// What it is called.
    pub name: String,
    /// What was frozen, as it was asked for: `prod`, `prod@2026-11-22T10:00:00Z`.
    pub from: String,
    /// The moment that it shows.
    pub as_of: Timestamp,
    /// The distinct contents.
    pub sections: Vec<SectionDigest>,
    /// The nodes.
    pub nodes: Vec<FrozenNode>,
    /// Instead of nodes: a policy whose expectations are the baseline.
    pub policy: String,
    /// Who did it.
    pub by: String,
}

/// A node in a baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct FrozenNode {
    /// The node.
    pub node: Uuid,
    /// Its environment.
    pub environment: String,
    /// Its host name.
    pub host: String,
    /// Its role.
    pub role: String,
    /// What it was: places in the baseline's list of contents.
    pub sections: Vec<u32>,
}

/// Somebody forgot a baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct BaselineDeleted {
    /// Which.
    pub name: String,
    /// Who did it.
    pub by: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PolicyAppliedBytes {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(uint32, tag = "2")]
    version: u32,
    #[prost(string, tag = "3")]
    by: String,
}

impl From<PolicyApplied> for PolicyAppliedBytes {
    fn from(PolicyApplied { text, version, by }: PolicyApplied) -> Self {
        Self { text, version, by }
    }
}

impl From<PolicyAppliedBytes> for PolicyApplied {
    fn from(PolicyAppliedBytes { text, version, by }: PolicyAppliedBytes) -> Self {
        Self { text, version, by }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AcceptedBytes {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, repeated, tag = "2")]
    findings: Vec<AcceptedFindingBytes>,
    #[prost(string, tag = "3")]
    paths: String,
    #[prost(string, tag = "4")]
    owner: String,
    #[prost(string, tag = "5")]
    reason: String,
    #[prost(int64, tag = "6")]
    until: i64,
    #[prost(string, tag = "7")]
    by: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AcceptedFindingBytes {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    path: String,
    #[prost(message, repeated, tag = "3")]
    values: Vec<ValueBytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ValueBytes {
    #[prost(string, tag = "1")]
    environment: String,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

impl From<Accepted> for AcceptedBytes {
    fn from(Accepted { id, findings, paths, owner, reason, until, by }: Accepted) -> Self {
        let value = |(environment, value)| ValueBytes { environment, value };
        let finding = |AcceptedFinding { id, path, values }| AcceptedFindingBytes {
            id,
            path,
            values: values.into_iter().map(value).collect(),
        };
        let findings = findings.into_iter().map(finding).collect();
        Self { id, findings, paths, owner, reason, until: until.as_millisecond(), by }
    }
}

impl TryFrom<AcceptedBytes> for Accepted {
    type Error = String;

    fn try_from(bytes: AcceptedBytes) -> Result<Self, String> {
        let AcceptedBytes { id, findings, paths, owner, reason, until, by } = bytes;
        let value = |ValueBytes { environment, value }| (environment, value);
        let finding = |AcceptedFindingBytes { id, path, values }| AcceptedFinding {
            id,
            path,
            values: values.into_iter().map(value).collect(),
        };
        let findings = findings.into_iter().map(finding).collect();
        Ok(Self { id, findings, paths, owner, reason, until: time(until)?, by })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UnacceptedBytes {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    by: String,
}

impl From<Unaccepted> for UnacceptedBytes {
    fn from(Unaccepted { id, by }: Unaccepted) -> Self {
        Self { id, by }
    }
}

impl From<UnacceptedBytes> for Unaccepted {
    fn from(UnacceptedBytes { id, by }: UnacceptedBytes) -> Self {
        Self { id, by }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BaselineCreatedBytes {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    from: String,
    #[prost(int64, tag = "3")]
    as_of: i64,
    #[prost(message, repeated, tag = "4")]
    sections: Vec<SectionBytes>,
    #[prost(message, repeated, tag = "5")]
    nodes: Vec<FrozenNodeBytes>,
    #[prost(string, tag = "6")]
    policy: String,
    #[prost(string, tag = "7")]
    by: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SectionBytes {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FrozenNodeBytes {
    #[prost(bytes = "vec", tag = "1")]
    node: Vec<u8>,
    #[prost(string, tag = "2")]
    environment: String,
    #[prost(string, tag = "3")]
    host: String,
    #[prost(string, tag = "4")]
    role: String,
    #[prost(uint32, repeated, tag = "5")]
    sections: Vec<u32>,
}

impl From<BaselineCreated> for BaselineCreatedBytes {
    fn from(created: BaselineCreated) -> Self {
        let BaselineCreated { name, from, as_of, sections, nodes, policy, by } = created;
        let section =
            |SectionDigest { name, digest }| SectionBytes { name, digest: digest.as_bytes().to_vec() };
        let node = |FrozenNode { node, environment, host, role, sections }| FrozenNodeBytes {
            node: Uuid::into_bytes(node).to_vec(),
            environment,
            host,
            role,
            sections,
        };
        Self {
            name,
            from,
            as_of: as_of.as_millisecond(),
            sections: sections.into_iter().map(section).collect(),
            nodes: nodes.into_iter().map(node).collect(),
            policy,
            by,
        }
    }
}

impl TryFrom<BaselineCreatedBytes> for BaselineCreated {
    type Error = String;

    fn try_from(bytes: BaselineCreatedBytes) -> Result<Self, String> {
        let BaselineCreatedBytes { name, from, as_of, sections, nodes, policy, by } = bytes;
        let section = |SectionBytes { name, digest }| {
            let digest = Digest::try_from(digest.as_slice()).map_err(|error| error.to_string())?;
            Ok(SectionDigest { name, digest })
        };
        let node = |FrozenNodeBytes { node, environment, host, role, sections }| {
            Ok(FrozenNode { node: super::uuid(&node)?, environment, host, role, sections })
        };
        Ok(Self {
            name,
            from,
            as_of: time(as_of)?,
            sections: sections.into_iter().map(section).collect::<Result<_, String>>()?,
            nodes: nodes.into_iter().map(node).collect::<Result<_, String>>()?,
            policy,
            by,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BaselineDeletedBytes {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    by: String,
}

impl From<BaselineDeleted> for BaselineDeletedBytes {
    fn from(BaselineDeleted { name, by }: BaselineDeleted) -> Self {
        Self { name, by }
    }
}

impl From<BaselineDeletedBytes> for BaselineDeleted {
    fn from(BaselineDeletedBytes { name, by }: BaselineDeletedBytes) -> Self {
        Self { name, by }
    }
}
