//! What receivers of alerts were told.

use jiff::Timestamp;

use super::time;

/// A receiver was told of findings: it has answered that it has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Alerted {
    /// The receiver, as the configuration calls it.
    pub receiver: String,
    /// What it was told. A finding that is told again takes the place of what was told before.
    pub told: Vec<Told>,
    /// Instead: the receiver is gone, and what it was told is forgotten.
    pub forgotten: bool,
}

/// One finding as a receiver was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The finding's id.
    pub id: String,
    /// A digest of what it said; another finding under this id has another.
    pub print: u64,
    /// Whether it was open. If not, it was told that it is over.
    pub open: bool,
    /// The fact.
    pub path: String,
    /// The kind of finding, as reports name it.
    pub kind: String,
    /// The severity, as reports name it.
    pub severity: String,
    /// The role.
    pub role: String,
    /// The environments that deviate.
    pub environments: Vec<String>,
    /// Some of the nodes that deviate, in order.
    pub nodes: Vec<String>,
    /// How many nodes deviate.
    pub node_count: u64,
    /// Since when.
    pub since: Timestamp,
    /// One sentence.
    pub summary: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AlertedBytes {
    #[prost(string, tag = "1")]
    receiver: String,
    #[prost(message, repeated, tag = "2")]
    told: Vec<ToldBytes>,
    #[prost(bool, tag = "3")]
    forgotten: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ToldBytes {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(fixed64, tag = "2")]
    print: u64,
    #[prost(bool, tag = "3")]
    open: bool,
    #[prost(string, tag = "4")]
    path: String,
    #[prost(string, tag = "5")]
    kind: String,
    #[prost(string, tag = "6")]
    severity: String,
    #[prost(string, tag = "7")]
    role: String,
    #[prost(string, repeated, tag = "8")]
    environments: Vec<String>,
    #[prost(string, repeated, tag = "9")]
    nodes: Vec<String>,
    #[prost(uint64, tag = "10")]
    node_count: u64,
    #[prost(int64, tag = "11")]
    since_ms: i64,
    #[prost(string, tag = "12")]
    summary: String,
}

impl From<Alerted> for AlertedBytes {
    fn from(Alerted { receiver, told, forgotten }: Alerted) -> Self {
        Self { receiver, told: told.into_iter().map(Into::into).collect(), forgotten }
    }
}

impl TryFrom<AlertedBytes> for Alerted {
    type Error = String;

    fn try_from(AlertedBytes { receiver, told, forgotten }: AlertedBytes) -> Result<Self, String> {
        let told = told.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok(Self { receiver, told, forgotten })
    }
}

impl From<Told> for ToldBytes {
    fn from(told: Told) -> Self {
        let Told {
            id,
            print,
            open,
            path,
            kind,
            severity,
            role,
            environments,
            nodes,
            node_count,
            since,
            summary,
        } = told;
        let since_ms = since.as_millisecond();
        Self {
            id,
            print,
            open,
            path,
            kind,
            severity,
            role,
            environments,
            nodes,
            node_count,
            since_ms,
            summary,
        }
    }
}

impl TryFrom<ToldBytes> for Told {
    type Error = String;

    fn try_from(bytes: ToldBytes) -> Result<Self, String> {
        let ToldBytes {
            id,
            print,
            open,
            path,
            kind,
            severity,
            role,
            environments,
            nodes,
            node_count,
            since_ms,
            summary,
        } = bytes;
        let since = time(since_ms)?;
        Ok(Self {
            id,
            print,
            open,
            path,
            kind,
            severity,
            role,
            environments,
            nodes,
            node_count,
            since,
            summary,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::*;

    #[test]
    fn what_was_told_round_trips() {
        let at = "2026-11-22T10:00:00.5Z".parse().unwrap();
        let text = |text: &str| text.to_owned();
        let entry = Entry::Alerted(Alerted {
            receiver: text("ops"),
            told: vec![Told {
                id: text("f-1"),
                print: u64::MAX,
                open: true,
                path: text("go.version"),
                kind: text("differs"),
                severity: text("critical"),
                role: text("web"),
                environments: vec![text("staging")],
                nodes: vec![text("web-1")],
                node_count: 9,
                since: at,
                summary: text("staging: 1.20, prod 1.21"),
            }],
            forgotten: false,
        });
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }
}
