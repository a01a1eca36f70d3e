//! What the journal says, and its bytes (protobuf, so that fields can be added).
//!
//! # Layout
//!
//! - [`nodes`]: machines become nodes, change, fall silent, leave
//! - [`access`]: tokens that let machines in
//! - [`people`]: people are invited, log in, are sent away
//! - [`authority`]: the certificate authority moves
//! - [`environments`]: which environments there are, in which order
//! - [`judgement`]: the policy in force, what is signed off, baselines
//! - [`alerts`]: what receivers of alerts were told
//!
//! Each file holds the entries of its topic beside their bytes. Numbers of fields are never used for something else.

pub mod access;
pub mod alerts;
pub mod authority;
pub mod environments;
pub mod judgement;
pub mod nodes;
pub mod people;

use jiff::Timestamp;
use prost::Message as _;
use uuid::Uuid;

pub use access::{TokenCreated, TokenRevoked};
pub use alerts::{Alerted, Told};
pub use authority::{AuthorityMoved, Step};
pub use environments::EnvironmentsOrdered;
pub use judgement::{
    Accepted, AcceptedFinding, BaselineCreated, BaselineDeleted, FrozenNode, PolicyApplied, Unaccepted,
};
pub use nodes::{
    Committed, Enrolled, Holder, Labels, NodeCloned, NodeLeft, NodeSingle, NodeUnbanned, Presence,
};
pub use people::{UserCertified, UserInvited, UserRevoked};

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
    /// Somebody ended a token.
    TokenRevoked(TokenRevoked),
    /// Somebody sent a node away.
    NodeLeft(NodeLeft),
    /// Somebody lifted a ban.
    NodeUnbanned(NodeUnbanned),
    /// The certificate authority moved on.
    AuthorityMoved(AuthorityMoved),
    /// Two machines speak with the key of one node.
    NodeCloned(NodeCloned),
    /// Only one machine speaks with the node's key again.
    NodeSingle(NodeSingle),
    /// Somebody was invited.
    UserInvited(UserInvited),
    /// Somebody was sent away.
    UserRevoked(UserRevoked),
    /// Somebody put a policy in force.
    PolicyApplied(PolicyApplied),
    /// Somebody signed off what is known.
    Accepted(Accepted),
    /// Somebody ended an acceptance.
    Unaccepted(Unaccepted),
    /// Somebody kept a baseline.
    BaselineCreated(BaselineCreated),
    /// Somebody forgot a baseline.
    BaselineDeleted(BaselineDeleted),
    /// A receiver was told of findings.
    Alerted(Alerted),
    /// The environments have another order, or there are others.
    EnvironmentsOrdered(EnvironmentsOrdered),
}

impl Entry {
    /// The node that it is about, if it is about one.
    pub fn node(&self) -> Option<Uuid> {
        match self {
            Self::Enrolled(Enrolled { node, .. })
            | Self::Committed(Committed { node, .. })
            | Self::Presence(Presence { node, .. })
            | Self::NodeLeft(NodeLeft { node, .. })
            | Self::NodeUnbanned(NodeUnbanned { node, .. })
            | Self::NodeCloned(NodeCloned { node, .. })
            | Self::NodeSingle(NodeSingle { node }) => Some(*node),
            Self::TokenCreated(_)
            | Self::UserCertified(_)
            | Self::TokenRevoked(_)
            | Self::AuthorityMoved(_)
            | Self::UserInvited(_)
            | Self::UserRevoked(_)
            | Self::PolicyApplied(_)
            | Self::Accepted(_)
            | Self::Unaccepted(_)
            | Self::BaselineCreated(_)
            | Self::BaselineDeleted(_)
            | Self::Alerted(_)
            | Self::EnvironmentsOrdered(_) => None,
        }
    }

    /// Whether somebody did it to the collector, so that an audit shows it. What agents report is not.
    pub fn is_administrative(&self) -> bool {
        match self {
            Self::Committed(_)
            | Self::Presence(_)
            | Self::NodeCloned(_)
            | Self::NodeSingle(_)
            | Self::Alerted(_) => false,
            // Nobody did the first one.
            Self::EnvironmentsOrdered(EnvironmentsOrdered { before, .. }) => !before.is_empty(),
            Self::Enrolled(_)
            | Self::TokenCreated(_)
            | Self::TokenRevoked(_)
            | Self::NodeLeft(_)
            | Self::NodeUnbanned(_)
            | Self::AuthorityMoved(_)
            | Self::UserCertified(_)
            | Self::UserInvited(_)
            | Self::UserRevoked(_)
            | Self::PolicyApplied(_)
            | Self::Accepted(_)
            | Self::Unaccepted(_)
            | Self::BaselineCreated(_)
            | Self::BaselineDeleted(_) => true,
        }
    }

    /// Its bytes, as the journal keeps them.
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.clone() {
            Self::Enrolled(entry) => Kind::Enrolled(entry.into()),
            Self::Committed(entry) => Kind::Committed(entry.into()),
            Self::Presence(entry) => Kind::Presence(entry.into()),
            Self::TokenCreated(entry) => Kind::TokenCreated(entry.into()),
            Self::UserCertified(entry) => Kind::UserCertified(entry.into()),
            Self::TokenRevoked(entry) => Kind::TokenRevoked(entry.into()),
            Self::NodeLeft(entry) => Kind::NodeLeft(entry.into()),
            Self::NodeUnbanned(entry) => Kind::NodeUnbanned(entry.into()),
            Self::AuthorityMoved(entry) => Kind::AuthorityMoved(entry.into()),
            Self::NodeCloned(entry) => Kind::NodeCloned(entry.into()),
            Self::NodeSingle(entry) => Kind::NodeSingle(entry.into()),
            Self::UserInvited(entry) => Kind::UserInvited(entry.into()),
            Self::UserRevoked(entry) => Kind::UserRevoked(entry.into()),
            Self::PolicyApplied(entry) => Kind::PolicyApplied(entry.into()),
            Self::Accepted(entry) => Kind::Accepted(entry.into()),
            Self::Unaccepted(entry) => Kind::Unaccepted(entry.into()),
            Self::BaselineCreated(entry) => Kind::BaselineCreated(entry.into()),
            Self::BaselineDeleted(entry) => Kind::BaselineDeleted(entry.into()),
            Self::Alerted(entry) => Kind::Alerted(entry.into()),
            Self::EnvironmentsOrdered(entry) => Kind::EnvironmentsOrdered(entry.into()),
        };
        Bytes { kind: Some(kind) }.encode_to_vec()
    }

    /// Reads an entry's bytes. The error is a sentence.
    pub fn decode(entry: &[u8]) -> Result<Self, String> {
        let entry = Bytes::decode(entry).map_err(|error| error.to_string())?;
        Ok(match entry.kind.ok_or("an entry of a kind that this version does not know")? {
            Kind::Enrolled(bytes) => Self::Enrolled(bytes.try_into()?),
            Kind::Committed(bytes) => Self::Committed(bytes.try_into()?),
            Kind::Presence(bytes) => Self::Presence(bytes.try_into()?),
            Kind::TokenCreated(bytes) => Self::TokenCreated(bytes.try_into()?),
            Kind::UserCertified(bytes) => Self::UserCertified(bytes.try_into()?),
            Kind::TokenRevoked(bytes) => Self::TokenRevoked(bytes.into()),
            Kind::NodeLeft(bytes) => Self::NodeLeft(bytes.try_into()?),
            Kind::NodeUnbanned(bytes) => Self::NodeUnbanned(bytes.try_into()?),
            Kind::AuthorityMoved(bytes) => Self::AuthorityMoved(bytes.try_into()?),
            Kind::NodeCloned(bytes) => Self::NodeCloned(bytes.try_into()?),
            Kind::NodeSingle(bytes) => Self::NodeSingle(bytes.try_into()?),
            Kind::UserInvited(bytes) => Self::UserInvited(bytes.try_into()?),
            Kind::UserRevoked(bytes) => Self::UserRevoked(bytes.into()),
            Kind::PolicyApplied(bytes) => Self::PolicyApplied(bytes.into()),
            Kind::Accepted(bytes) => Self::Accepted(bytes.try_into()?),
            Kind::Unaccepted(bytes) => Self::Unaccepted(bytes.into()),
            Kind::BaselineCreated(bytes) => Self::BaselineCreated(bytes.try_into()?),
            Kind::BaselineDeleted(bytes) => Self::BaselineDeleted(bytes.into()),
            Kind::Alerted(bytes) => Self::Alerted(bytes.try_into()?),
            Kind::EnvironmentsOrdered(bytes) => Self::EnvironmentsOrdered(bytes.into()),
        })
    }
}

pub(crate) fn uuid(bytes: &[u8]) -> Result<Uuid, String> {
    Uuid::from_slice(bytes).map_err(|error| error.to_string())
}

pub(crate) fn time(milliseconds: i64) -> Result<Timestamp, String> {
    Timestamp::from_millisecond(milliseconds).map_err(|error| error.to_string())
}

#[derive(Clone, PartialEq, prost::Message)]
struct Bytes {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 20, 21, 22, 23, 24, 40, 50")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Enrolled(nodes::EnrolledBytes),
    #[prost(message, tag = "2")]
    Committed(nodes::CommittedBytes),
    #[prost(message, tag = "3")]
    Presence(nodes::PresenceBytes),
    #[prost(message, tag = "4")]
    TokenCreated(access::TokenCreatedBytes),
    #[prost(message, tag = "5")]
    UserCertified(people::UserCertifiedBytes),
    #[prost(message, tag = "6")]
    TokenRevoked(access::TokenRevokedBytes),
    #[prost(message, tag = "7")]
    NodeLeft(nodes::NodeLeftBytes),
    #[prost(message, tag = "8")]
    NodeUnbanned(nodes::NodeUnbannedBytes),
    #[prost(message, tag = "9")]
    UserInvited(people::UserInvitedBytes),
    #[prost(message, tag = "10")]
    UserRevoked(people::UserRevokedBytes),
    #[prost(message, tag = "12")]
    AuthorityMoved(authority::AuthorityMovedBytes),
    #[prost(message, tag = "13")]
    NodeCloned(nodes::NodeClonedBytes),
    #[prost(message, tag = "14")]
    NodeSingle(nodes::NodeSingleBytes),
    #[prost(message, tag = "20")]
    PolicyApplied(judgement::PolicyAppliedBytes),
    #[prost(message, tag = "21")]
    Accepted(judgement::AcceptedBytes),
    #[prost(message, tag = "22")]
    Unaccepted(judgement::UnacceptedBytes),
    #[prost(message, tag = "23")]
    BaselineCreated(judgement::BaselineCreatedBytes),
    #[prost(message, tag = "24")]
    BaselineDeleted(judgement::BaselineDeletedBytes),
    #[prost(message, tag = "40")]
    Alerted(alerts::AlertedBytes),
    #[prost(message, tag = "50")]
    EnvironmentsOrdered(environments::EnvironmentsOrderedBytes),
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use evenkeel_facts::{Digest, SectionDigest};

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
            authors: vec![],
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
                key: vec![1, 2, 3],
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
                names: text("web-*"),
                network: text("10.0.0.0/8"),
            }),
            Entry::UserCertified(UserCertified {
                name: text("ada"),
                role: text("viewer"),
                environments: vec![text("dev"), text("test")],
                expires: at,
                by: text("root"),
                invitation: text("u1"),
            }),
            Entry::UserInvited(UserInvited {
                id: text("u1"),
                hash: vec![1, 2],
                name: text("ada"),
                role: text("viewer"),
                environments: vec![text("dev")],
                expires: at,
                by: text("root"),
            }),
            Entry::UserRevoked(UserRevoked { name: text("ada"), reason: text("left"), by: text("root") }),
            Entry::TokenRevoked(TokenRevoked { id: text("t"), by: text("root") }),
            Entry::NodeLeft(NodeLeft { node, banned: true, reason: text("stolen"), by: text("root") }),
            Entry::NodeUnbanned(NodeUnbanned { node, by: text("root") }),
            Entry::AuthorityMoved(AuthorityMoved {
                step: Step::Activated,
                generation: 2,
                pin: text("ab"),
                by: text("root"),
            }),
            Entry::NodeCloned(NodeCloned {
                node,
                holders: vec![Holder { host: text("a"), address: text("10.0.0.1") }],
            }),
            Entry::NodeSingle(NodeSingle { node }),
            Entry::PolicyApplied(PolicyApplied { text: text("name = 1"), version: 3, by: text("root") }),
            Entry::Accepted(Accepted {
                id: text("a-1"),
                findings: vec![AcceptedFinding {
                    id: text("f-1"),
                    path: text("go.version"),
                    values: vec![(text("prod"), Some(text("1.21.6"))), (text("dev"), None)],
                }],
                paths: text("sysctl.*"),
                owner: text("web team"),
                reason: text("load test"),
                until: at,
                by: text("root"),
            }),
            Entry::Unaccepted(Unaccepted { id: text("a-1"), by: text("root") }),
            Entry::BaselineCreated(BaselineCreated {
                name: text("launch"),
                from: text("prod"),
                as_of: at,
                sections: vec![SectionDigest { name: text("vm"), digest: Digest::of(b"vm") }],
                nodes: vec![FrozenNode {
                    node,
                    environment: text("prod"),
                    host: text("web-1"),
                    role: text("web"),
                    sections: vec![0],
                }],
                policy: text(""),
                by: text("root"),
            }),
            Entry::BaselineDeleted(BaselineDeleted { name: text("launch"), by: text("root") }),
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
