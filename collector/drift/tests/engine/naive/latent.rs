//! What runs against what comes, node by node.

use std::collections::BTreeMap;

use evenkeel_drift::report::{Finding, Kind, Severity, State, Status, ValueCount};
use evenkeel_drift::{Node, Policy};

use super::fact::id;
use super::rules::{self, Who};
use super::times::Times;
use super::{Look, View};

/// What a node says: the text to show, and whether it is about to change. `None`: nothing.
type Says = Option<(String, bool)>;

impl<'a> View<'a> {
    pub(crate) fn latent(&self, policy: &Policy) -> Vec<Finding> {
        let mut findings = Vec::new();
        for next in self.homes.keys() {
            let running = if let Some(key) =
                next.strip_prefix("sysctl.persisted[").and_then(|rest| rest.strip_suffix("].value"))
            {
                format!("sysctl.{key}")
            } else if next == "kernel.next_release" {
                "kernel.release".to_owned()
            } else if next.ends_with(".restart_pending") {
                next.clone()
            } else {
                continue;
            };
            let says = |node: &'a Node| -> Says {
                let Look::Present(value) = self.look(node, &running) else { return None };
                if *next == running {
                    let text = value.to_string();
                    let pending = !["", "0", "false", "no", "none"].contains(&text.trim());
                    return Some((text, pending));
                }
                if *next == "kernel.next_release"
                    && self.homes.contains_key("kernel.installed")
                    && let Look::Present(own) = self.look(node, "kernel.installed")
                    && !own.to_string().split_whitespace().any(|one| one == value.to_string())
                {
                    return Some((value.to_string(), false));
                }
                let compare = rules::said(policy, &running, Who::default()).compare;
                match self.look(node, next) {
                    Look::Present(next) if compare.canonical(&next) != compare.canonical(&value) => {
                        Some((format!("{value}, then {next}"), true))
                    }
                    _ => Some((value.to_string(), false)),
                }
            };
            findings.extend(self.latent_at(policy, &running, next, &says));
        }
        findings
    }

    /// Whether a node would be named if its next boot changed a kernel parameter.
    pub(crate) fn would_name(&self, policy: &Policy, path: &str, name: &str) -> bool {
        let all = self.role.cohorts.iter();
        let mut all = all.flat_map(|(environment, nodes)| nodes.iter().map(move |node| (environment, *node)));
        all.any(|(environment, node)| {
            let role = Some(self.role.name.as_str());
            let who = Who { environment: Some(environment), role, node: Some(name) };
            let is_read = matches!(self.look(node, path), Look::Present(_));
            *node.name == *name && is_read && !rules::said(policy, path, who).ignore
        })
    }

    fn latent_at(
        &self,
        policy: &Policy,
        path: &str,
        next: &str,
        says: &dyn Fn(&'a Node) -> Says,
    ) -> Option<Finding> {
        let everybody = rules::said(policy, path, Who::default());
        if path != next && (!everybody.is_compared() || !self.homes.contains_key(path)) {
            return None;
        }
        let of = |environment: &'a str, node: &'a Node| {
            let (role, node) = (Some(self.role.name.as_str()), Some(&*node.name));
            rules::said(policy, path, Who { environment: Some(environment), role, node })
        };
        let all = self.role.cohorts.iter();
        let all = all.flat_map(|(environment, nodes)| nodes.iter().map(|node| (environment.as_str(), *node)));
        let changing: Vec<(&'a Node, rules::Said<'_>)> = all
            .filter(|(_, node)| says(node).is_some_and(|(_, changes)| changes))
            .map(|(environment, node)| (node, of(environment, node)))
            .filter(|(_, rules)| !rules.ignore)
            .collect();
        let severity = |rules: &rules::Said<'_>| match rules.severity {
            None if path == next => Severity::Warning,
            _ => self.severity(path, rules),
        };
        let severity = changing.iter().map(|(_, rules)| severity(rules)).max()?;
        let hidden = changing.iter().all(|(_, rules)| rules.hide);
        // Of whom nothing changes, or who is ignored, nothing is said.
        let changing: Vec<&Node> = changing.into_iter().map(|(node, _)| node).collect();
        let became = |node: &&Node| {
            let of = |path: &str| Times { path, thing: None }.became(node);
            of(path).max(of(next))
        };
        let since = changing.iter().map(became).min()?;
        let mut nodes: Vec<String> = changing.iter().map(|node| node.name.to_string()).collect();
        nodes.sort();
        let mut values = Vec::new();
        for (environment, nodes) in &self.role.cohorts {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for node in nodes.iter().filter(|node| changing.iter().any(|one| one.id == node.id)) {
                *counts.entry(says(node).unwrap().0).or_default() += 1;
            }
            let mut counts: Vec<_> = counts.into_iter().collect();
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            values.extend(counts.into_iter().map(|(value, nodes)| ValueCount {
                environment: environment.clone(),
                value: Some(value),
                state: State::Present,
                nodes,
            }));
        }
        Some(Finding {
            id: id("latent", &self.role.name, path),
            path: path.to_owned(),
            kind: Kind::Latent,
            severity,
            status: if hidden { Status::Explained } else { Status::Open },
            role: self.role.name.clone(),
            values,
            nodes: nodes.into(),
            since,
            summary: String::new(),
            reason: String::new(),
            expected: None,
            parts: Vec::new(),
            acceptance: None,
        })
    }
}
