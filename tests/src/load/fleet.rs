//! Many nodes that share contents, what was seeded into them, and what a report must say of it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use evenkeel_drift::fleet as drift;
use evenkeel_facts::{Digest, FactPath, Observation, SectionBuilder, SectionDigest, root_digest};
use jiff::Timestamp;
use uuid::Uuid;

use super::content::{Content, Contents};
use super::random::Random;
use super::template::Template;

/// The environments of every simulated fleet, in their order of promotion: the collector's own default.
pub const ENVIRONMENTS: [&str; 4] = ["dev", "test", "staging", "prod"];

/// A fleet. Node `n` is in environment `n % 4`, so that every environment has its share of any prefix.
pub struct Fleet {
    /// The machine that all nodes look like.
    pub template: Template,
    /// The nodes.
    pub nodes: Vec<Node>,
    contents: Contents,
    seeded: BTreeMap<String, BTreeSet<String>>,
}

/// A node's state: what its next report says.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its host name, unique in the fleet.
    pub name: String,
    /// Index into [`ENVIRONMENTS`].
    pub environment: usize,
    /// Its contents, by name.
    pub contents: Vec<Arc<Content>>,
    /// Counts its commits.
    pub sequence: u64,
}

impl Fleet {
    /// So many equal nodes: each differs from the others only in its identity.
    pub fn new(template: Template, nodes: usize) -> Self {
        let nodes = (0..nodes).map(|number| Node::new(&template, number)).collect();
        Self { template, nodes, contents: Contents::default(), seeded: BTreeMap::new() }
    }

    /// Sets a fact on every node that `deviates`. Nodes that are set alike share the content.
    ///
    /// # Panics
    ///
    /// If the template does not have the path, or has this very value there: nothing would deviate.
    pub fn seed(&mut self, path: &str, value: &str, deviates: impl Fn(usize, &Node) -> bool) {
        let place = self.template.place(path).unwrap_or_else(|| panic!("the template has no {path}"));
        let name = self.template.contents[place].section.name();
        let (known, observation) = (FactPath::known(path), Observation::Present(value.into()));
        let common = self.template.contents[place].section.find(path);
        assert_ne!(common, Some(&observation), "{path} deviates from nothing");
        for (number, node) in self.nodes.iter_mut().enumerate() {
            if deviates(number, node) {
                let own = node.content_mut(name);
                *own = self.contents.with(own, &known, &observation);
                self.seeded.entry(path.to_owned()).or_default().insert(node.name.clone());
            }
        }
    }

    /// The deviating share of a fleet as budgets mean it: one node of a hundred has another value of one fact.
    pub fn seed_one_percent(&mut self) {
        for (at, (_, path, _)) in super::template::COMMON.iter().enumerate() {
            // A prime has no factor in common with the number of environments: each of them gets some.
            self.seed(path, &format!("9{at}"), |number, _| number % 701 == 90 * at + 7);
        }
    }

    /// Gives each node random facts with values of its own: drift that nobody shares.
    pub fn scatter(&mut self, facts_each: usize) {
        let mut random = Random::new(0x6576_656e);
        for node in &mut self.nodes {
            for _ in 0..facts_each {
                let base = &self.template.contents[pick(&self.template, &mut random)];
                let facts = base.section.facts();
                let path = &facts[random.below(facts.len())].0;
                let value = Observation::Present(format!("{} {}", node.name, random.below(1_000_000)).into());
                let own = node.content_mut(base.section.name());
                *own = super::content::with(&own.section, path, &value);
            }
        }
    }

    /// Renames every node and gives it contents of its own in every section: nothing of it was ever seen.
    pub fn make_new(&mut self, prefix: &str) {
        for node in &mut self.nodes {
            node.name = format!("{prefix}-{}", node.name);
            let own = Observation::Present(node.name.as_str().into());
            for content in &mut node.contents {
                let path = FactPath::known(&format!("{}.of", content.section.name()));
                *content = super::content::with(&content.section, &path, &own);
            }
        }
    }

    /// What a report of everything must find: for each seeded path the names of the deviating nodes.
    pub fn seeded(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.seeded
    }

    /// The fleet as the drift engine reads it. Equal contents are one allocation, as in a collector.
    pub fn view(&self, since: Timestamp) -> drift::Fleet {
        let role: Arc<str> = Arc::default();
        let nodes = self.nodes.iter().enumerate().map(|(number, node)| drift::Node {
            id: Uuid::from_u128(number as u128).to_string().into(),
            name: node.name.as_str().into(),
            environment: node.environment,
            role: Arc::clone(&role),
            fresh: true,
            sections: node.contents.iter().map(|content| Arc::clone(&content.section)).collect(),
            since,
            changed: Arc::default(),
            holders: None,
        });
        drift::Fleet {
            journal: 1,
            environments: ENVIRONMENTS.map(Arc::from).into(),
            nodes: nodes.map(Arc::new).collect(),
            unique: true,
            ..drift::Fleet::default()
        }
    }

    /// How many distinct contents its nodes have.
    pub fn distinct_contents(&self) -> usize {
        let contents = self.nodes.iter().flat_map(|node| &node.contents);
        contents.map(|content| content.digest).collect::<HashSet<_>>().len()
    }
}

impl Node {
    fn new(template: &Template, number: usize) -> Self {
        let (environment, name) = (number % ENVIRONMENTS.len(), format!("node-{number:06}"));
        let mut identity = SectionBuilder::new("identity");
        identity.present(FactPath::known("identity.hostname"), name.as_str());
        let machine = Digest::of(name.as_bytes()).to_string();
        identity.present(FactPath::known("identity.machine_id"), machine);
        let mut contents = template.contents.clone();
        contents.push(Content::new(identity.finish()));
        contents.sort_by(|a, b| a.section.name().cmp(b.section.name()));
        Self { name, environment, contents, sequence: 1 }
    }

    /// Sets a fact to a value that no other node has, in the section of this name, and counts one commit.
    pub fn change(&mut self, section: &str, path: &FactPath, value: &str) {
        let own = self.content_mut(section);
        *own = super::content::with(&own.section, path, &Observation::Present(value.into()));
        self.sequence += 1;
    }

    /// Names and addresses of its sections.
    pub fn section_digests(&self) -> Vec<SectionDigest> {
        self.contents.iter().map(|content| content.named()).collect()
    }

    /// The address of the whole.
    pub fn root(&self) -> Digest {
        root_digest(&self.section_digests())
    }

    fn content_mut(&mut self, name: &str) -> &mut Arc<Content> {
        let own = self.contents.iter_mut().find(|content| content.section.name() == name);
        own.expect("every node has the template's sections")
    }
}

/// A content with facts, each fact of the machine as likely as any other.
fn pick(template: &Template, random: &mut Random) -> usize {
    let mut at = random.below(template.facts());
    for (place, content) in template.contents.iter().enumerate() {
        match at.checked_sub(content.section.facts().len()) {
            Some(rest) => at = rest,
            None => return place,
        }
    }
    unreachable!("the number is below the sum of all")
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_drift::{Policy, Query, evaluate};

    fn fleet(nodes: usize) -> Fleet {
        Fleet::new(Template::of(Vec::new()), nodes)
    }

    #[test]
    fn nodes_share_everything_but_their_identity() {
        let fleet = fleet(100);
        assert_eq!(fleet.distinct_contents(), fleet.template.contents.len() + 100);
    }

    /// The engine finds exactly what was seeded: the generator can be believed about larger fleets.
    #[test]
    fn what_was_seeded_is_what_a_report_finds() {
        let mut fleet = fleet(2_000);
        fleet.seed_one_percent();
        let query = Query { min_severity: None, all: true, ..Query::default() };
        let report = evaluate(
            &fleet.view(Timestamp::UNIX_EPOCH),
            &Policy::default_policy(),
            &query,
            Timestamp::UNIX_EPOCH,
        );
        let found: BTreeMap<String, BTreeSet<String>> = report
            .findings
            .into_iter()
            .map(|finding| (finding.path, finding.nodes.iter().cloned().collect()))
            .collect();
        assert_eq!(found.len(), super::super::template::COMMON.len());
        assert_eq!(&found, fleet.seeded());
    }

    #[test]
    fn scattered_drift_is_shared_by_nobody() {
        let mut fleet = fleet(10);
        let before = fleet.distinct_contents();
        fleet.scatter(5);
        assert!(fleet.distinct_contents() >= before + 10);
    }
}
