//! One finding, or one fact, with everything that led to it.

use evenkeel_facts::Author;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::entity::thing_of;
use crate::evaluate::evaluate_naming;
use crate::fleet::Fleet;
use crate::policy::{AdviceTexts, Policy, Rule};
use crate::query::Query;
use crate::report::{Finding, Kind, State, Unknown};
use crate::rows::covers;
use crate::values::{Values, values};

/// One finding, or one fact, with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The fact or thing.
    pub path: String,
    /// The findings at the path (one for each role that differs), at the thing that it belongs to, also those that
    /// reports hide.
    pub findings: Vec<Finding>,
    /// What could not be told of it.
    pub unknowns: Vec<Unknown>,
    /// What the policy says of the path, and which rule says it: class, comparison and severity.
    pub rules: Vec<Deciding>,
    /// What a difference can break, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<AdviceTexts>,
    /// Every value and the nodes that hold it.
    pub values: Values,
    /// Since when each fresh node is as it is, and who made it so: those that deviate first, then those that changed
    /// last. Not the engine's: whoever keeps the journal adds it.
    #[serde(default)]
    pub nodes: Vec<NodeSince>,
    /// How many more nodes there are that `nodes` does not list.
    #[serde(default)]
    pub more_nodes: u64,
}

/// Since when a node's fact is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSince {
    /// The node's name.
    pub node: String,
    /// Its environment.
    pub environment: String,
    /// Its role.
    pub role: String,
    /// What it is.
    pub now: Side,
    /// Since when: when the collector took it in.
    pub since: Timestamp,
    /// Whether it has been so since the node's first report: then who made it so, and when, was before that.
    pub since_first_report: bool,
    /// What it was before, if the journal says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Side>,
    /// Who made it so, if the node saw that: best effort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Author>,
}

/// What a fact is, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Whether it was there.
    pub state: State,
    /// The value when present, the reason when unreadable.
    pub value: String,
}

/// What the policy decided, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deciding {
    /// `class`, `compare` or `severity`.
    pub attribute: String,
    /// What it is: `derived(ram)`, `integer`, `critical`.
    pub value: String,
    /// The path of the rule that set it; `None` when no rule did and the base holds.
    pub rule: Option<String>,
    /// Why, in the words of the rule.
    pub reason: String,
}

/// Explains a finding by its id (`f-…`) or a fact by its path. `None` when there is no such finding, or no node and
/// no unknown knows such a path. Of the query only environments, role and reference count.
pub fn explain(
    fleet: &Fleet,
    policy: &Policy,
    query: &Query,
    now: Timestamp,
    subject: &str,
) -> Option<Explanation> {
    let all = Query { min_severity: None, all: true, ..query.clone() };
    let report = evaluate_naming(fleet, policy, &all, now, usize::MAX);
    let by_id = report.findings.iter().find(|finding| finding.id == subject);
    let path = by_id.map_or(subject, |finding| &finding.path).to_owned();
    let wanted = |finding: &Finding| match by_id {
        Some(by_id) => finding.id == by_id.id,
        None => finding.path == path || Some(finding.path.as_str()) == thing_of(&path),
    };
    let findings: Vec<Finding> = report.findings.iter().filter(|finding| wanted(finding)).cloned().collect();
    let unknowns: Vec<Unknown> =
        report.unknowns.into_iter().filter(|unknown| covers(&unknown.path, &path)).collect();
    let values = values(fleet, &path);
    if findings.is_empty() && unknowns.is_empty() && values.roles.is_empty() {
        return None;
    }
    let advice = latent_advice(&findings).or_else(|| policy.advice(&path).cloned());
    let rules = rules(policy, &path);
    Some(Explanation { rules, advice, path, findings, unknowns, values, nodes: Vec::new(), more_nodes: 0 })
}

/// What the policy advises of a path is about values that differ between nodes. Where all that is found is what the next
/// boot changes, the question is another.
fn latent_advice(findings: &[Finding]) -> Option<AdviceTexts> {
    let only = |of: fn(&str) -> bool| {
        let is_so = |finding: &Finding| finding.kind == Kind::Latent && of(&finding.path);
        !findings.is_empty() && findings.iter().all(is_so)
    };
    let texts = |risk: &str, remedy: &str, file: &str| {
        Some(AdviceTexts { risk: risk.to_owned(), remedy: remedy.to_owned(), file: file.to_owned() })
    };
    if only(|path| path.starts_with("sysctl.")) {
        texts(
            "What was set while the machine ran is gone after the next boot: it comes back with what the files say.",
            "Decide which of the two is right: keep what runs, in a file of /etc/sysctl.d that is read last; or take what the files say, now and not at the next boot. `evenkeel fix` prints either.",
            "/etc/sysctl.d/*.conf",
        )
    } else if only(|path| path == "kernel.release") {
        texts(
            "The next boot, whenever it comes, brings another kernel than the one that was tested under this load.",
            "Reboot when it suits you, one node at a time; or make the boot loader start the kernel that runs.",
            "/boot, the boot loader's configuration",
        )
    } else {
        None
    }
}

/// What the policy says of a path, with the rules that say it.
pub fn rules(policy: &Policy, path: &str) -> Vec<Deciding> {
    let verdict = policy.verdict(path);
    let [class, compare, severity] = policy.deciding(&verdict);
    let deciding = |attribute: &str, value: String, rule: Option<&Rule>| Deciding {
        attribute: attribute.to_owned(),
        value,
        rule: rule.map(|rule| rule.path.to_string()),
        reason: rule.map_or("No rule says otherwise.", |rule| &rule.reason).to_owned(),
    };
    let mut rules = vec![
        deciding("class", word(&verdict.class), class),
        deciding("compare", word(&verdict.compare), compare),
        deciding("severity", word(&verdict.severity()), severity),
    ];
    if let Some((expected, rule)) = policy.expected(&verdict) {
        let absent = if expected.or_absent { ", or missing" } else { "" };
        rules.push(deciding("expect", format!("{}{absent}", expected.value), Some(rule)));
    }
    if let Some((within, rule)) = policy.deadline(&verdict) {
        let whole = within.as_secs() % 3600 == 0;
        let within = if whole { format!("{} hours", within.as_hours()) } else { format!("{within:#}") };
        rules.push(deciding("promote_within", within, Some(rule)));
    }
    if verdict.ignore || verdict.hide {
        let how = if verdict.ignore { "ignore" } else { "hide" };
        rules.push(deciding(how, "true".to_owned(), policy.silencing(&verdict)));
    }
    // What holds for some only comes behind: there it decides.
    for rule in policy.rules().iter().filter(|rule| !rule.holders.is_everybody() && rule.path.matches(path)) {
        rules.push(Deciding {
            attribute: format!("for {}", rule.holders),
            value: settings(rule),
            rule: Some(rule.path.to_string()),
            reason: rule.reason.clone(),
        });
    }
    rules
}

/// What a rule sets, in the words of the policy file.
fn settings(rule: &Rule) -> String {
    let Rule {
        path: _,
        class,
        compare,
        severity,
        ignore,
        hide,
        expect,
        promote_within,
        holders: _,
        reason: _,
    } = rule;
    let mut words = Vec::new();
    words.extend(class.map(|class| format!("class {}", word(&class))));
    words.extend(compare.map(|compare| format!("compare {}", word(&compare))));
    words.extend(severity.map(|severity| format!("severity {}", word(&severity))));
    words.extend(ignore.map(|ignore| format!("ignore {ignore}")));
    words.extend(hide.map(|hide| format!("hide {hide}")));
    words.extend(expect.as_ref().map(|expected| format!("expect {}", expected.value)));
    words.extend(promote_within.map(|within| format!("promote_within {} hours", within.as_hours())));
    words.join(", ")
}

/// The word that the policy file has for it.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
