//! What was done to this collector: by whom, when. Read from the journal.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use evenkeel_drift::Policy;
use evenkeel_proto::admin::{AuditEntry, ListAuditRequest, ListAuditResponse};
use evenkeel_proto::times;
use evenkeel_runtime::exit;
use evenkeel_store::entry::{
    Accepted, AuthorityMoved, BaselineCreated, BaselineDeleted, Enrolled, EnvironmentsOrdered, NodeLeft,
    NodeUnbanned, PolicyApplied, Step, TokenCreated, TokenRevoked, Unaccepted, UserCertified, UserInvited,
    UserRevoked,
};
use evenkeel_store::{Entry, Reader, Record};
use jiff::Timestamp;
use tonic::Status;
use uuid::Uuid;

use crate::ledger::Ledger;
use crate::scope::Scope;
use crate::state::State;

/// The most entries a page, and as many as come when nobody says how many.
const PAGE: u32 = 1000;

/// Answers from the journal.
pub struct Audit {
    reader: Arc<Mutex<Reader>>,
}

/// What an entry says to a person who reads the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Deed {
    who: String,
    action: &'static str,
    subject: String,
    environments: Vec<String>,
    what: String,
}

/// Which deeds are asked for.
struct Filter {
    scope: Scope,
    since: Option<Timestamp>,
    who: String,
}

impl Audit {
    /// Reads with this reader.
    pub fn new(reader: Reader) -> Self {
        Self { reader: Arc::new(Mutex::new(reader)) }
    }

    /// One page of what concerns these environments.
    pub async fn list(
        &self,
        ledger: &Ledger,
        scope: Scope,
        request: ListAuditRequest,
    ) -> Result<ListAuditResponse, Status> {
        let ListAuditRequest { since, who, page_size, page_token } = request;
        let since = since.map(|time| times::from_wire("since", Some(time))).transpose();
        let since = since.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let before = match page_token.as_str() {
            "" => u64::MAX,
            token => token
                .parse()
                .map_err(|_| Status::invalid_argument("page_token is not one that this service gave"))?,
        };
        let size = if page_size == 0 { PAGE } else { page_size.min(PAGE) } as usize;
        let filter = Filter { scope, since, who };
        let (reader, ledger) = (Arc::clone(&self.reader), ledger.clone());
        let read = move || {
            let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            page(&reader, &ledger, before, &filter, size)
        };
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| Status::internal(error.to_string()))?
            .map_err(|error| Status::internal(exit::chain(&error)))
    }
}

fn page(
    reader: &Reader,
    ledger: &Ledger,
    before: u64,
    filter: &Filter,
    size: usize,
) -> Result<ListAuditResponse, evenkeel_store::StoreError> {
    let mut answer = ListAuditResponse::default();
    reader.audit(before, |record| {
        let Record { position, at, entry } = record;
        // Time is a label: a clock that was set back may have put an older one before a newer one.
        if filter.since.is_some_and(|since| at < since) {
            return true;
        }
        let Some(deed) = deed(entry, &ledger.state()).filter(|deed| filter.wants(deed)) else { return true };
        if let (Some(last), true) = (answer.entries.last(), answer.entries.len() == size) {
            answer.next_page_token = last.journal.to_string();
            return false;
        }
        let Deed { who, action, subject, environments, what } = deed;
        answer.entries.push(AuditEntry {
            journal: position,
            at: Some(times::to_wire(at)),
            who,
            action: action.to_owned(),
            subject,
            environments,
            what,
        });
        true
    })?;
    Ok(answer)
}

impl Filter {
    fn wants(&self, deed: &Deed) -> bool {
        let name = deed.who.split_once(' ').map_or(deed.who.as_str(), |(_, name)| name);
        let by_whom = self.who.is_empty() || self.who == deed.who || self.who == name;
        by_whom && self.concerns(deed)
    }

    /// What concerns all environments is for those who see all of them.
    fn concerns(&self, deed: &Deed) -> bool {
        self.scope == Scope::Everywhere
            || !deed.environments.is_empty()
                && deed.environments.iter().all(|environment| self.scope.includes(environment))
    }
}

/// What somebody said of drift, and what is held against what; `None`: the entry is of another kind.
fn judgement(entry: Entry) -> Option<Deed> {
    Some(match entry {
        Entry::PolicyApplied(PolicyApplied { text, version, by }) => Deed {
            what: match Policy::parse(&text) {
                Ok(policy) => format!("put the policy {} in force", policy.with_version(version).label()),
                Err(_) => format!("put a policy in force, as version {version}"),
            },
            who: by,
            action: "policy.applied",
            subject: version.to_string(),
            environments: Vec::new(),
        },
        Entry::Accepted(Accepted { id, findings, paths, owner, reason, until, by }) => Deed {
            what: match findings.as_slice() {
                [] => format!("accepted {paths} for {owner} until {until:.0}: {reason}"),
                [one] => format!("accepted {} for {owner} until {until:.0}: {reason}", one.path),
                several => {
                    format!("accepted {} findings for {owner} until {until:.0}: {reason}", several.len())
                }
            },
            who: by,
            action: "accepted",
            subject: id,
            environments: Vec::new(),
        },
        Entry::Unaccepted(Unaccepted { id, by }) => Deed {
            what: format!("ended the sign-off {id}"),
            who: by,
            action: "unaccepted",
            subject: id,
            environments: Vec::new(),
        },
        Entry::BaselineCreated(BaselineCreated { name, from, nodes, by, .. }) => Deed {
            what: format!("kept {from} as baseline {name}"),
            who: by,
            action: "baseline.created",
            subject: name,
            environments: nodes
                .into_iter()
                .map(|node| node.environment)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        },
        Entry::BaselineDeleted(BaselineDeleted { name, by }) => Deed {
            what: format!("forgot baseline {name}"),
            who: by,
            action: "baseline.deleted",
            subject: name,
            environments: Vec::new(),
        },
        Entry::EnvironmentsOrdered(EnvironmentsOrdered { names, before }) => Deed {
            who: "configuration".to_owned(),
            what: format!("ordered the environments {}; they were {}", names.join(", "), before.join(", ")),
            action: "environments.ordered",
            subject: names.join(","),
            environments: Vec::new(),
        },
        _ => return None,
    })
}

/// `None`: nobody did it. The state knows of nodes and tokens what the entry does not say.
fn deed(entry: Entry, state: &State) -> Option<Deed> {
    Some(match entry {
        Entry::Enrolled(Enrolled { node, environment, host, role, token, .. }) => Deed {
            what: format!("enrolled {host} as node {node} of {}", cohort(&environment, &role)),
            who: format!("token {token}"),
            action: "node.enrolled",
            subject: node.to_string(),
            environments: vec![environment],
        },
        Entry::TokenCreated(TokenCreated { id, environment, uses, expires, by, .. }) => Deed {
            what: format!("made token {id}: {} into {environment} until {expires:.0}", nodes(uses)),
            who: by,
            action: "token.created",
            subject: id,
            environments: vec![environment],
        },
        Entry::TokenRevoked(TokenRevoked { id, by }) => Deed {
            what: format!("revoked token {id}"),
            who: by,
            action: "token.revoked",
            environments: state
                .token(&id)
                .map(|token| token.created.environment.clone())
                .into_iter()
                .collect(),
            subject: id,
        },
        Entry::NodeLeft(NodeLeft { node, banned, reason, by }) => {
            let (name, environments) = called(node, state);
            Deed {
                what: format!("{} {name}{}", if banned { "banned" } else { "evicted" }, because(&reason)),
                who: by,
                action: if banned { "node.banned" } else { "node.evicted" },
                subject: node.to_string(),
                environments,
            }
        }
        Entry::NodeUnbanned(NodeUnbanned { node, by }) => {
            let (name, environments) = called(node, state);
            Deed {
                what: format!("lifted the ban of {name}"),
                who: by,
                action: "node.unbanned",
                subject: node.to_string(),
                environments,
            }
        }
        Entry::AuthorityMoved(AuthorityMoved { step, generation, pin, by }) => {
            let (did, action) = match step {
                Step::Prepared => ("prepared", "authority.prepared"),
                Step::Activated => ("activated", "authority.activated"),
                Step::Retired => ("retired", "authority.retired"),
            };
            Deed {
                what: format!("{did} generation {generation} of the certificate authority, pin {pin}"),
                who: by,
                action,
                subject: generation.to_string(),
                environments: Vec::new(),
            }
        }
        Entry::UserInvited(UserInvited { id, name, role, environments, expires, by, .. }) => Deed {
            what: format!(
                "invited {name} as {role} of {}: {id}, until {expires:.0}",
                everywhere_or(&environments)
            ),
            who: by,
            action: "user.invited",
            subject: name,
            environments,
        },
        Entry::UserCertified(UserCertified { name, role, environments, expires, by, invitation }) => {
            let of = everywhere_or(&environments);
            let own = by == format!("{role} {name}");
            Deed {
                what: match (invitation.as_str(), own) {
                    ("", true) => format!("logged in as {role} of {of} until {expires:.0}"),
                    ("", false) => format!("gave {name} a certificate as {role} of {of} until {expires:.0}"),
                    (id, _) => format!("logged in with invitation {id} as {role} of {of} until {expires:.0}"),
                },
                action: if own { "user.login" } else { "user.certified" },
                who: by,
                subject: name,
                environments,
            }
        }
        Entry::UserRevoked(UserRevoked { name, reason, by }) => Deed {
            what: format!("revoked {name}{}", because(&reason)),
            who: by,
            action: "user.revoked",
            subject: name,
            environments: Vec::new(),
        },
        other => return judgement(other),
    })
}

/// How a node is or was called, and its environment, if the journal still knows.
fn called(id: Uuid, state: &State) -> (String, Vec<String>) {
    let member = state.node(id).map(|node| (node.view.name.to_string(), node.environment.to_string()));
    let left = || state.left_node(id).map(|left| (left.name.clone(), left.environment.to_string()));
    match member.or_else(left) {
        Some((name, environment)) => (format!("{name} of {environment} ({id})"), vec![environment]),
        None => (id.to_string(), Vec::new()),
    }
}

fn cohort(environment: &str, role: &str) -> String {
    if role.is_empty() { environment.to_owned() } else { format!("{environment}, role {role}") }
}

fn nodes(uses: u32) -> String {
    if uses == 1 { "one node".to_owned() } else { format!("{uses} nodes") }
}

fn everywhere_or(environments: &[String]) -> String {
    if environments.is_empty() { "all environments".to_owned() } else { environments.join(", ") }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}
