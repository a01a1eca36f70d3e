//! What a policy says, by asking every rule.

use evenkeel_drift::Policy;
use evenkeel_drift::compare::Compare;
use evenkeel_drift::policy::{Class, Expected, Rule};
use evenkeel_drift::report::Severity;
use jiff::SignedDuration;

/// Of whom a rule is asked.
#[derive(Clone, Copy, Default)]
pub(crate) struct Who<'a> {
    pub(crate) environment: Option<&'a str>,
    pub(crate) role: Option<&'a str>,
    pub(crate) node: Option<&'a str>,
}

/// What the rules say of one path for one place.
pub(crate) struct Said<'p> {
    pub(crate) class: Class,
    pub(crate) compare: Compare,
    pub(crate) severity: Option<Severity>,
    pub(crate) ignore: bool,
    pub(crate) hide: bool,
    pub(crate) expect: Option<(&'p Expected, &'p Rule)>,
    pub(crate) promote_within: Option<SignedDuration>,
}

impl Said<'_> {
    pub(crate) fn is_compared(&self) -> bool {
        let never = [Class::Identity, Class::Volatile, Class::Latent];
        !self.ignore && !never.contains(&self.class)
    }
}

/// The nearest rule that sets it decides; of equally near ones the last.
pub(crate) fn said<'p>(policy: &'p Policy, path: &str, who: Who<'_>) -> Said<'p> {
    let holding: Vec<(usize, usize, &Rule)> = policy
        .rules()
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.path.matches(path) && holds(rule, who))
        .map(|(at, rule)| (nearness(rule), at, rule))
        .collect();
    Said {
        class: decides(&holding, |rule| rule.class).unwrap_or_default(),
        compare: decides(&holding, |rule| rule.compare).unwrap_or_default(),
        severity: decides(&holding, |rule| rule.severity),
        ignore: decides(&holding, |rule| rule.ignore).unwrap_or_default(),
        hide: decides(&holding, |rule| rule.hide).unwrap_or_default(),
        expect: decides(&holding, |rule| rule.expect.as_ref().map(|expected| (expected, rule))),
        promote_within: decides(&holding, |rule| rule.promote_within),
    }
}

fn holds(rule: &Rule, Who { environment, role, node }: Who<'_>) -> bool {
    let one_of = |names: &[String], own: Option<&str>| {
        names.is_empty() || own.is_some_and(|own| names.contains(&own.to_owned()))
    };
    let by_name = rule.holders.nodes.is_empty()
        || node.is_some_and(|node| rule.holders.nodes.iter().any(|glob| glob.matches(node)));
    one_of(&rule.holders.environments, environment) && one_of(&rule.holders.roles, role) && by_name
}

/// Everybody, environment, role, node.
fn nearness(rule: &Rule) -> usize {
    let limits = [&rule.holders.environments, &rule.holders.roles];
    if !rule.holders.nodes.is_empty() {
        return 3;
    }
    limits.iter().enumerate().filter(|(_, names)| !names.is_empty()).map(|(at, _)| at + 1).max().unwrap_or(0)
}

/// What the rule says that is nearest, and last among its equals, of those that say it.
fn decides<'p, T>(holding: &[(usize, usize, &'p Rule)], sets: impl Fn(&'p Rule) -> Option<T>) -> Option<T> {
    let setting = holding.iter().filter_map(|(near, at, rule)| Some((near, at, sets(rule)?)));
    setting.max_by_key(|(near, at, _)| (*near, *at)).map(|(_, _, value)| value)
}
