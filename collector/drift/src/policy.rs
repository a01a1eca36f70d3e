//! Which facts are compared, how, and how bad a difference is.

mod advice;
mod check;
mod expectation;
mod nearest;
#[cfg(test)]
mod noise_tests;
mod parse;
mod place;
mod reach;
mod read;

use std::collections::HashMap;
use std::sync::OnceLock;

use evenkeel_facts::Glob;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::compare::Compare;
use crate::report::Severity;

pub use advice::{Advice, AdviceTexts};
pub use check::Checked;
pub use expectation::Expectation;
pub(crate) use nearest::nearest;
pub use parse::{Mistake, PolicyError};
pub use place::{Holders, Place};

const DEFAULT: &str = include_str!("../policy/default.toml");

/// An ordered list of rules, with a name and a version.
#[derive(Debug, Clone)]
pub struct Policy {
    name: String,
    version: u32,
    rules: Vec<Rule>,
    advice: Vec<Advice>,
    /// Whether some rule does not hold for everybody; whether one holds for single nodes.
    limited: Limited,
    /// Rules whose path is one fact, by that path; ascending indices into `rules`.
    literal: HashMap<String, Vec<usize>>,
    /// The rules with wildcards, ascending.
    wild: Vec<usize>,
}

/// What the policy says of the facts that a glob matches. What is `None` is left to other rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The facts.
    pub path: Glob,
    /// What kind of fact.
    pub class: Option<Class>,
    /// How values compare.
    pub compare: Option<Compare>,
    /// How bad a difference is.
    pub severity: Option<Severity>,
    /// Not looked at: neither compared nor counted.
    pub ignore: Option<bool>,
    /// Compared and counted, and no alarm.
    pub hide: Option<bool>,
    /// What the value has to be.
    pub expect: Option<Expected>,
    /// For how long a change that came to an earlier environment may be missing in a later one.
    pub promote_within: Option<SignedDuration>,
    /// For whom the rule holds.
    pub holders: Holders,
    /// Why, for people.
    pub reason: String,
}

/// What a value has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Of the value, where there is one.
    pub value: Expectation,
    /// Whether it may be missing.
    pub or_absent: bool,
}

/// How far the rules are limited to some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limited {
    /// Some rule holds for some environments or nodes only.
    pub(crate) by_environment: bool,
    /// Some rule holds for single nodes only.
    pub(crate) by_node: bool,
    /// Some rule expects something.
    pub(crate) expects: bool,
}

/// What kind of fact it is: whether a difference is drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Class {
    /// Compared; a difference is a finding.
    #[default]
    #[serde(rename = "config")]
    Config,
    /// Different on every machine; never compared with others.
    #[serde(rename = "identity")]
    Identity,
    /// Changes by itself; never compared.
    #[serde(rename = "volatile")]
    Volatile,
    /// Follows the size of the memory.
    #[serde(rename = "derived(ram)")]
    DerivedRam,
    /// Follows the number of processors.
    #[serde(rename = "derived(cpu)")]
    DerivedCpu,
    /// Belongs to one network interface.
    #[serde(rename = "interface")]
    Interface,
    /// There only with a kernel module.
    #[serde(rename = "module")]
    Module,
    /// What the next restart or boot will bring: held against what runs on the same node, never against others.
    #[serde(rename = "latent")]
    Latent,
}

impl Class {
    /// Whether facts of this class are compared at all.
    pub fn is_compared(self) -> bool {
        !matches!(self, Self::Identity | Self::Volatile | Self::Latent)
    }
}

/// What the policy says of one path: for each attribute the last rule that matches and sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// What kind of fact.
    pub class: Class,
    /// How values compare.
    pub compare: Compare,
    /// How bad a difference is.
    pub severity: Option<Severity>,
    /// It is not looked at.
    pub ignore: bool,
    /// It raises no alarm.
    pub hide: bool,
    class_rule: Option<usize>,
    compare_rule: Option<usize>,
    severity_rule: Option<usize>,
    ignore_rule: Option<usize>,
    hide_rule: Option<usize>,
    expect_rule: Option<usize>,
    promote_rule: Option<usize>,
}

impl Verdict {
    /// How bad a difference is; info unless a rule says otherwise.
    pub fn severity(&self) -> Severity {
        self.severity.unwrap_or(Severity::Info)
    }

    /// Whether differences at the path are looked at.
    pub fn is_compared(&self) -> bool {
        self.class.is_compared() && !self.ignore
    }
}

impl Rule {
    /// A rule for everybody that sets nothing yet.
    fn of(path: Glob) -> Self {
        Self {
            path,
            class: None,
            compare: None,
            severity: None,
            ignore: None,
            hide: None,
            expect: None,
            promote_within: None,
            holders: Holders::default(),
            reason: String::new(),
        }
    }
}

impl Policy {
    /// The policy that ships with evenkeel: `policy/default.toml`, commented.
    pub fn default_policy() -> Self {
        static PARSED: OnceLock<Policy> = OnceLock::new();
        let parse =
            || Self::parse(DEFAULT).unwrap_or_else(|error| panic!("the embedded policy is wrong: {error}"));
        PARSED.get_or_init(parse).clone()
    }

    /// The text of the policy that ships with evenkeel.
    pub fn default_text() -> &'static str {
        DEFAULT
    }

    /// Its name and version, as reports write them: `default@1`.
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The same policy under another version.
    #[must_use]
    pub fn with_version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What it says of this path for everybody.
    pub fn verdict(&self, path: &str) -> Verdict {
        self.verdict_at(path, &Place::default())
    }

    /// What it says of this path for some: environment before everybody, role before environment, node before role;
    /// on one level the last rule.
    pub fn verdict_at(&self, path: &str, place: &Place<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        let none = Vec::new();
        let mut literal = self.literal.get(path).unwrap_or(&none).iter().copied().peekable();
        let mut apply = |at: usize| {
            let rule = &self.rules[at];
            if rule.holders.include(place) {
                verdict.apply(at, rule);
            }
        };
        for &wild in &self.wild {
            while let Some(at) = literal.next_if(|at| *at < wild) {
                apply(at);
            }
            let rule = &self.rules[wild];
            if path.starts_with(rule.path.literal_prefix()) && rule.path.matches(path) {
                apply(wild);
            }
        }
        literal.for_each(apply);
        verdict
    }

    /// How far its rules are limited to some.
    pub(crate) fn limited(&self) -> Limited {
        self.limited
    }

    /// Every rule that expects something.
    pub(crate) fn expecting(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.expect.is_some())
    }

    /// What a verdict expects, and the rule that says so.
    pub fn expected(&self, verdict: &Verdict) -> Option<(&Expected, &Rule)> {
        let rule = &self.rules[verdict.expect_rule?];
        rule.expect.as_ref().map(|expected| (expected, rule))
    }

    /// How long a promotion may take, and the rule that says so.
    pub fn deadline(&self, verdict: &Verdict) -> Option<(SignedDuration, &Rule)> {
        let rule = &self.rules[verdict.promote_rule?];
        rule.promote_within.map(|within| (within, rule))
    }

    /// The rule that decided to ignore or hide.
    pub fn silencing(&self, verdict: &Verdict) -> Option<&Rule> {
        verdict.ignore_rule.filter(|_| verdict.ignore).or(verdict.hide_rule).map(|at| &self.rules[at])
    }

    /// The rule that set the class, the one that set the comparison, and the one that set the severity.
    pub fn deciding(&self, verdict: &Verdict) -> [Option<&Rule>; 3] {
        [verdict.class_rule, verdict.compare_rule, verdict.severity_rule]
            .map(|at| at.map(|at| &self.rules[at]))
    }

    /// How bad a difference at this path or anywhere below it can be, whatever facts there are.
    pub fn worst_below(&self, path: &str) -> Severity {
        let mut worst = None;
        for rule in self.rules.iter().rev() {
            let Some(severity) = rule.severity else { continue };
            if reach::reaches(&rule.path, path) {
                worst = worst.max(Some(severity));
            }
            if reach::owns(&rule.path, path) {
                return worst.unwrap_or(Severity::Info);
            }
        }
        worst.unwrap_or(Severity::Info)
    }

    fn new(name: String, version: u32, mut rules: Vec<Rule>, advice: Vec<Advice>) -> Self {
        // The nearer decides, so it is read later.
        rules.sort_by_key(|rule| rule.holders.level());
        let limited = Limited {
            by_environment: rules
                .iter()
                .any(|rule| !rule.holders.environments.is_empty() || !rule.holders.nodes.is_empty()),
            by_node: rules.iter().any(|rule| !rule.holders.nodes.is_empty()),
            expects: rules.iter().any(|rule| rule.expect.is_some()),
        };
        let mut literal: HashMap<String, Vec<usize>> = HashMap::new();
        let mut wild = Vec::new();
        for (at, rule) in rules.iter().enumerate() {
            if rule.path.is_literal() {
                literal.entry(rule.path.as_str().to_owned()).or_default().push(at);
            } else {
                wild.push(at);
            }
        }
        Self { name, version, rules, advice, limited, literal, wild }
    }
}

impl Verdict {
    fn apply(&mut self, at: usize, rule: &Rule) {
        if let Some(class) = rule.class {
            (self.class, self.class_rule) = (class, Some(at));
        }
        if let Some(compare) = rule.compare {
            (self.compare, self.compare_rule) = (compare, Some(at));
        }
        if rule.severity.is_some() {
            (self.severity, self.severity_rule) = (rule.severity, Some(at));
        }
        if let Some(ignore) = rule.ignore {
            (self.ignore, self.ignore_rule) = (ignore, Some(at));
        }
        if let Some(hide) = rule.hide {
            (self.hide, self.hide_rule) = (hide, Some(at));
        }
        if rule.expect.is_some() {
            self.expect_rule = Some(at);
        }
        if rule.promote_within.is_some() {
            self.promote_rule = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_that_sets_it_decides() {
        let policy = Policy::parse(
            r#"
            name = "mine"
            version = 7
            extends = "default"
            [[rule]]
            path = "sysctl.net.core.*"
            severity = "info"
            reason = "we do not care"
            "#,
        )
        .unwrap();
        assert_eq!(policy.label(), "mine@7");
        let verdict = policy.verdict("sysctl.net.core.somaxconn");
        assert_eq!((verdict.severity(), verdict.compare), (Severity::Info, Compare::Integer));
        assert_eq!(policy.deciding(&verdict)[2].unwrap().reason, "we do not care");
    }

    /// Promise: the checklist that ships is a policy, and says what it says it says.
    #[test]
    fn the_checklist_of_a_launch_is_a_policy() {
        let text = include_str!("../../../deploy/policies/go-launch-checklist.toml");
        let policy = Policy::parse(text).unwrap();
        let expected = |path: &str| {
            policy.expected(&policy.verdict(path)).map(|(expected, _)| expected.value.to_string())
        };
        assert_eq!(expected("go.version").as_deref(), Some("1.21.6"));
        assert_eq!(expected("go.program[x].go_version").as_deref(), Some("1.21.6"));
        assert_eq!(expected("sysctl.net.core.somaxconn").as_deref(), Some("65535"));
        assert_eq!(expected("go.program[x].setting[vcs.modified]").as_deref(), Some("false"));
        for path in
            ["glibc.version", "kernel.release", "tzdata.version", "time.transitions", "go.env.GOFLAGS"]
        {
            assert_eq!(policy.verdict(path).severity, Some(Severity::Critical), "{path}");
        }
    }

    #[test]
    fn the_default_policy_knows_what_matters() {
        let policy = Policy::default_policy();
        for (path, class, compare, severity) in [
            ("go.version", Class::Config, Compare::Go, Severity::Critical),
            ("go.program[github.com/acme/pay].go_version", Class::Config, Compare::Go, Severity::Critical),
            ("go.program[github.com/acme/pay]", Class::Config, Compare::Text, Severity::Warning),
            ("go.program[x].module[golang.org/x/net]", Class::Config, Compare::Semver, Severity::Warning),
            ("go.program[x].version", Class::Config, Compare::Build, Severity::Info),
            ("go.program[x].setting[vcs.revision]", Class::Config, Compare::Text, Severity::Info),
            ("go.program[x].setting[vcs.time]", Class::Volatile, Compare::Text, Severity::Info),
            ("sysctl.net.core.somaxconn", Class::Config, Compare::Integer, Severity::Critical),
            ("sysctl.net.ipv4.tcp_max_syn_backlog", Class::DerivedRam, Compare::Integer, Severity::Warning),
            ("sysctl.net.ipv4.conf.all.forwarding", Class::Config, Compare::Integer, Severity::Info),
            ("sysctl.net.ipv4.conf.eth0.forwarding", Class::Interface, Compare::Integer, Severity::Info),
            ("sysctl.net.ipv4.conf.veth12ab.forwarding", Class::Volatile, Compare::Integer, Severity::Info),
            ("sysctl.net.bridge.bridge-nf-call-iptables", Class::Module, Compare::Integer, Severity::Info),
            ("sysctl.net.core.bpf_jit_harden", Class::Config, Compare::Integer, Severity::Info),
            ("identity.machine_id", Class::Identity, Compare::Text, Severity::Warning),
            ("identity.hostname", Class::Identity, Compare::Text, Severity::Info),
            ("go.program[x].restart_pending", Class::Latent, Compare::Text, Severity::Info),
            ("sysctl.persisted[vm.x].value", Class::Config, Compare::Integer, Severity::Info),
            ("kernel.release", Class::Config, Compare::Kernel, Severity::Warning),
        ] {
            let verdict = policy.verdict(path);
            assert_eq!(
                (verdict.class, verdict.compare, verdict.severity()),
                (class, compare, severity),
                "{path}"
            );
        }
    }

    #[test]
    fn a_subtree_is_as_bad_as_the_worst_below_it() {
        let policy = Policy::default_policy();
        for (path, worst) in [
            ("sysctl", Severity::Critical),
            ("sysctl.net", Severity::Critical),
            ("sysctl.vm", Severity::Warning),
            ("sysctl.debug", Severity::Info),
            ("sysctl.net.core.bpf_jit_harden", Severity::Info),
            ("go.program", Severity::Critical),
            ("go.program[x]", Severity::Critical),
            ("go.program[x].version", Severity::Info),
            ("package", Severity::Info),
        ] {
            assert_eq!(policy.worst_below(path), worst, "{path}");
        }
    }
}
