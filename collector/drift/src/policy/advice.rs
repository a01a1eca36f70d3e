//! What a difference can break and what to do about it: texts for people, which decide nothing.

use evenkeel_facts::Glob;
use serde::{Deserialize, Serialize};

use super::Policy;

/// What people are told of some facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The facts.
    pub paths: Vec<Glob>,
    /// The texts.
    pub texts: AdviceTexts,
}

/// What a difference can break, what to do about it, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AdviceTexts {
    /// What it can break.
    pub risk: String,
    /// What to do.
    pub remedy: String,
    /// The file or directory on the host that says it; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
}

impl Policy {
    /// What people are told of this path: the last advice that matches.
    pub fn advice(&self, path: &str) -> Option<&AdviceTexts> {
        let speaks = |advice: &&Advice| advice.paths.iter().any(|glob| glob.matches(path));
        self.advice.iter().rev().find(speaks).map(|advice| &advice.texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Severity;

    /// Promise: whatever the default policy calls a warning or worse, it also says what that can break and what to do.
    #[test]
    fn what_alarms_is_advised() {
        let policy = Policy::default_policy();
        for rule in policy.rules().iter().filter(|rule| rule.severity >= Some(Severity::Warning)) {
            let path = rule.path.as_str().replace("[*]", "[x]").replace('*', "x");
            // What cannot be listed is no difference that somebody could mend by a setting.
            if rule.path.as_str().starts_with("go.program_") || path.starts_with("kernel.") && !known(&path) {
                continue;
            }
            assert!(policy.advice(&path).is_some(), "{path}");
        }
    }

    fn known(path: &str) -> bool {
        ["kernel.release", "kernel.cmdline", "kernel.thp"].iter().any(|known| path.starts_with(known))
    }

    #[test]
    fn the_last_that_matches_speaks() {
        let policy = Policy::parse(
            "name = \"x\"\nversion = 1\nextends = \"default\"\n\
             [[advice]]\npath = \"go.version\"\nrisk = \"r\"\nremedy = \"Ask the build team.\"\n",
        )
        .unwrap();
        assert_eq!(policy.advice("go.version").unwrap().remedy, "Ask the build team.");
        assert!(policy.advice("go.env.GOPROXY").unwrap().remedy.contains("go env -w"));
        assert_eq!(policy.advice("hardware.cpu.count"), None);
    }
}
