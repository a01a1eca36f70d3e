//! Fleets written in a few lines of TOML.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use evenkeel_drift::acceptance::{Acceptance, Known, Subject};
use evenkeel_drift::report::{Quarantined, Severity};
use evenkeel_drift::{Fleet, Node, Policy, Query};
use evenkeel_facts::{FactPath, Glob, Observation, Section, SectionBuilder};
use jiff::Timestamp;
use serde::Deserialize;

/// A fleet, what is asked of it, and rules behind those of the default policy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What the scenario is for: said by the golden file, too.
    pub(crate) about: String,
    environments: Vec<String>,
    #[serde(default)]
    query: FileQuery,
    /// `[[rule]]` tables of a policy that extends the default one.
    policy: Option<String>,
    /// When it is; 2026-11-23 at ten, if nobody says otherwise.
    now: Option<Timestamp>,
    #[serde(default)]
    accepted: Vec<FileAcceptance>,
    #[serde(default)]
    quarantined: Vec<Quarantined>,
    #[serde(default)]
    changes: u64,
    node: Vec<FileNode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAcceptance {
    id: String,
    /// Either paths or one finding with its values.
    paths: Option<String>,
    finding: Option<String>,
    #[serde(default)]
    values: Vec<(String, String)>,
    until: Timestamp,
}

impl FileAcceptance {
    fn build(&self) -> Acceptance {
        let known = |finding: &String| Known {
            finding: finding.clone(),
            path: String::new(),
            values: self.values.iter().map(|(at, value)| (at.clone(), Some(value.clone()))).collect(),
        };
        let subject = match (&self.paths, &self.finding) {
            (Some(glob), None) => Subject::Paths(Glob::new(glob)),
            (None, Some(finding)) => Subject::Findings(vec![known(finding)]),
            _ => panic!("{} accepts paths or a finding", self.id),
        };
        Acceptance {
            id: self.id.clone(),
            subject,
            owner: "web team".into(),
            reason: "load test".into(),
            until: self.until,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FileQuery {
    environments: Option<Vec<String>>,
    role: Option<String>,
    reference: Option<String>,
    min_severity: Option<Severity>,
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileNode {
    /// One node of this name; `count` makes it `NAME-1`, `NAME-2` …
    name: String,
    count: Option<usize>,
    environment: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    stale: bool,
    since: Option<Timestamp>,
    #[serde(default)]
    changed: HashMap<FactPath, Timestamp>,
    /// By section name.
    #[serde(default)]
    sections: BTreeMap<String, BTreeMap<FactPath, Observation>>,
}

impl Scenario {
    pub(crate) fn fleet(&self) -> Fleet {
        let environments: Vec<Arc<str>> = self.environments.iter().map(|name| name.as_str().into()).collect();
        let nodes = self.node.iter().flat_map(|node| node.build(&self.environments)).collect();
        Fleet {
            journal: 7,
            environments,
            nodes,
            unique: true,
            acceptances: self.accepted.iter().map(FileAcceptance::build).collect(),
            quarantined: Arc::new(
                self.quarantined.iter().map(|one| (one.path.clone(), one.clone())).collect(),
            ),
            changes: self.changes,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now.unwrap_or_else(|| "2026-11-23T10:00:00Z".parse().unwrap())
    }

    pub(crate) fn query(&self) -> Query {
        let FileQuery { environments, role, reference, min_severity, all } = &self.query;
        Query {
            environments: environments.clone(),
            role: role.clone(),
            reference: reference.clone(),
            min_severity: min_severity.or(Some(Severity::Warning)),
            all: *all,
        }
    }

    pub(crate) fn policy(&self) -> Policy {
        match &self.policy {
            None => Policy::default_policy(),
            Some(rules) => {
                Policy::parse(&format!("name = \"mine\"\nversion = 2\nextends = \"default\"\n{rules}"))
                    .unwrap()
            }
        }
    }
}

impl FileNode {
    fn build(&self, environments: &[String]) -> Vec<Arc<Node>> {
        let sections: Vec<Arc<Section>> =
            self.sections.iter().map(|(name, facts)| section(name, facts)).collect();
        let names = match self.count {
            None => vec![self.name.clone()],
            Some(count) => (1..=count).map(|number| format!("{}-{number}", self.name)).collect(),
        };
        let node = |name: String| Node {
            id: name.as_str().into(),
            name: name.into(),
            environment: environments.iter().position(|known| *known == self.environment).unwrap(),
            role: self.role.as_str().into(),
            fresh: !self.stale,
            sections: sections.clone(),
            since: self.since.unwrap_or_else(|| "2026-11-01T00:00:00Z".parse().unwrap()),
            changed: Arc::new(self.changed.clone()),
            holders: None,
        };
        names.into_iter().map(node).map(Arc::new).collect()
    }
}

fn section(name: &str, facts: &BTreeMap<FactPath, Observation>) -> Arc<Section> {
    let mut section = SectionBuilder::new(name);
    for (path, observation) in facts {
        section.observe(path.clone(), observation.clone());
    }
    Arc::new(section.finish())
}
