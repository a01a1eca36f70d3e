//! A policy before it is put in force: what is wrong with it, and what may be.

use std::collections::HashSet;
use std::sync::OnceLock;

use super::parse::{MOST_SAID, Mention, Parsed, parse};
use super::read::{Placed, places};
use super::{Mistake, Policy, PolicyError};
use crate::compare::Compare;
use crate::policy::nearest::nearest_within;

/// Every kind of fact that the sources declare.
const FACTS: &str = include_str!("../../policy/facts.txt");
/// Parameters of the kernel.
const SYSCTL: &str = include_str!("../../policy/sysctl.txt");
/// So many letters of a name may be wrong, and it is still that name.
const TYPING_ERRORS: usize = 2;
/// One wrong letter in so many is certainly a typing error.
const CERTAIN: usize = 6;

/// A policy that can be put in force, and what its author should look at again.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The policy.
    pub policy: Policy,
    /// What may be there later, and is not known now: the first of it, from the top down.
    pub doubts: Vec<Mistake>,
}

impl Policy {
    /// Reads a policy that somebody is about to put in force: also refuses what can never hold, and doubts what speaks of
    /// an environment, a parameter or a fact that is not known. A policy that is in force is only [parsed](Self::parse): what was
    /// known when it was put there holds on.
    pub fn check(text: &str, environments: &[impl AsRef<str>]) -> Result<Checked, PolicyError> {
        let Parsed { policy, mut mistakes, mut mentions } = parse(text)?;
        mentions.sort_by_key(|mention| mention.at);
        let environments: Vec<&str> = environments.iter().map(AsRef::as_ref).collect();
        let (mut wrong, mut doubts) = (Vec::new(), Vec::new());
        for Placed { at, value } in mentions {
            // A doubt costs, and refuses nothing.
            let doubts_more = doubts.len() < MOST_SAID;
            match value {
                Mention::Path(path) => match unknown_fact(&path) {
                    Some(Unknown::Wrong(what)) => wrong.push((at, what)),
                    Some(Unknown::Odd(what)) if doubts_more => doubts.push((at, what)),
                    None if doubts_more => doubts.extend(odd_parameter(&path).map(|what| (at, what))),
                    Some(Unknown::Odd(_)) | None => {}
                },
                Mention::Environment(name) if doubts_more => {
                    doubts.extend(unknown_environment(&name, &environments).map(|what| (at, what)));
                }
                Mention::Environment(_) => {}
                Mention::Expectation(expectation, paths, own) => {
                    let mut compares = paths.iter().map(|path| own.or_else(|| policy.comparison(path)));
                    wrong.extend(
                        compares.find_map(|compare| expectation.never(compare)).map(|what| (at, what)),
                    );
                }
            }
        }
        mistakes.extend(places(text, wrong));
        mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        if mistakes.is_empty() {
            Ok(Checked { policy, doubts: places(text, doubts) })
        } else {
            Err(PolicyError::Mistakes(mistakes))
        }
    }

    /// How the values of these facts compare; `None`: a pattern may match facts that compare in several ways.
    fn comparison(&self, path: &str) -> Option<Compare> {
        if !path.contains(['*', '?']) {
            return Some(self.verdict(path).compare);
        }
        self.wild
            .iter()
            .rev()
            .map(|at| &self.rules[*at])
            .filter(|rule| rule.path.as_str() == path)
            .find_map(|rule| rule.compare)
    }
}

/// A fact that no source of this version has.
enum Unknown {
    /// One that it has was meant.
    Wrong(String),
    /// A newer agent may have it.
    Odd(String),
}

fn unknown_fact(path: &str) -> Option<Unknown> {
    static KNOWN: OnceLock<Vec<&str>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| entries(FACTS).flat_map(|fact| things(fact).chain([fact])).collect());
    if known.iter().any(|fact| meet(path, fact)) || named().contains(path) {
        return None;
    }
    // In a short name two letters are another name.
    let near = near_fact(path, known, TYPING_ERRORS.min(without_keys(path).len() / CERTAIN));
    Some(match near {
        Some(near) => Unknown::Wrong(format!("no source has a fact `{path}`; did you mean `{near}`?")),
        None => Unknown::Odd(format!(
            "`{path}` is not known; docs/facts.md lists what is, and `evenkeel facts NODE` what a node has"
        )),
    })
}

/// What the default policy speaks of: also what agents are not to send, and what the collector makes.
fn named() -> &'static HashSet<String> {
    static NAMED: OnceLock<HashSet<String>> = OnceLock::new();
    NAMED.get_or_init(|| {
        let Policy { rules, advice, .. } = Policy::default_policy();
        let advised = advice.iter().flat_map(|advice| &advice.paths);
        rules.iter().map(|rule| &rule.path).chain(advised).map(|path| path.as_str().to_owned()).collect()
    })
}

/// The things that a fact is of: `go.program[*]` of `go.program[*].version`.
fn things(fact: &str) -> impl Iterator<Item = &str> {
    fact.match_indices("].").map(|(at, _)| &fact[..=at])
}

/// The known fact that was probably meant, with the keys of the path in it.
fn near_fact(path: &str, known: &[&str], most: usize) -> Option<String> {
    let shape = without_keys(path);
    let candidates = known.iter().map(|fact| {
        // What stands for any name is the path's own.
        let Some(family) = fact.strip_suffix(".*") else { return (*fact).to_owned() };
        let names = family.matches('.').count() + 1;
        let own = shape.splitn(names + 1, '.').nth(names);
        own.map_or_else(|| (*fact).to_owned(), |own| format!("{family}.{own}"))
    });
    let candidates: Vec<String> = candidates.collect();
    nearest_within(&shape, candidates.iter().map(String::as_str), most).map(str::to_owned)
}

/// Every key as `*`.
fn without_keys(path: &str) -> String {
    let mut shape = String::new();
    let mut rest = path;
    while let Some((before, behind)) = rest.split_once('[') {
        let Some((_, after)) = behind.split_once(']') else { break };
        shape.extend([before, "[*]"]);
        rest = after;
    }
    shape + rest
}

/// A parameter that no known kernel has, and that is nearly one that it has.
fn odd_parameter(path: &str) -> Option<String> {
    let key = path.strip_prefix("sysctl.").filter(|key| !key.contains(['*', '?', '[']))?;
    if entries(SYSCTL).any(|known| known == key) {
        return None;
    }
    let near = nearest_within(key, entries(SYSCTL), TYPING_ERRORS)?;
    Some(format!("`{path}` is not known; did you mean `sysctl.{near}`?"))
}

fn unknown_environment(name: &str, known: &[&str]) -> Option<String> {
    if known.contains(&name) {
        return None;
    }
    let hint = match nearest_within(name, known.iter().copied(), TYPING_ERRORS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.join(", ")),
    };
    Some(format!("there is no environment `{name}` yet; {hint}"))
}

fn entries(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.lines().filter(|line| !line.starts_with('#'))
}

/// Whether some path matches both the pattern and the known fact. In a fact a star that fills a key (`[*]`) stays within
/// its brackets, as keys hold none.
fn meet(pattern: &str, fact: &str) -> bool {
    let (pattern, fact) = (pattern.as_bytes(), fact.as_bytes());
    let plain = |text: &[u8]| text.iter().take_while(|byte| !matches!(byte, b'*' | b'?')).count();
    let shared = plain(pattern).min(plain(fact));
    if pattern[..shared] != fact[..shared] {
        return false;
    }
    // By how much of the fact is used up; one row for each byte of the pattern, from its end.
    let mut next = vec![false; fact.len() + 1];
    for p in (0..=pattern.len()).rev() {
        let mut row = vec![false; fact.len() + 1];
        for f in (0..=fact.len()).rev() {
            let is_key = f > 0 && fact[f - 1] == b'[' && fact.get(f + 1) == Some(&b']');
            row[f] = match (pattern.get(p), fact.get(f)) {
                (None, None) => true,
                (Some(b'*'), Some(_)) => next[f] || row[f + 1],
                (Some(b'*'), None) => next[f],
                (Some(byte), Some(b'*')) => row[f + 1] || next[f] && !(is_key && *byte == b']'),
                (None, Some(b'*')) => row[f + 1],
                (Some(byte), Some(known)) => (byte == known || *byte == b'?') && next[f + 1],
                (None, Some(_)) | (Some(_), None) => false,
            };
        }
        next = row;
    }
    next[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: [&str; 4] = ["dev", "test", "staging", "prod"];

    fn check(body: &str) -> Result<Checked, PolicyError> {
        Policy::check(&format!("name = \"x\"\nversion = 1\nextends = \"default\"\n{body}"), &USUAL)
    }

    fn refused(body: &str) -> String {
        check(body).unwrap_err().to_string()
    }

    fn doubted(body: &str) -> Vec<String> {
        check(body).unwrap().doubts.iter().map(ToString::to_string).collect()
    }

    fn rule(path: &str, more: &str) -> String {
        format!("[[rule]]\npath = \"{path}\"\nreason = \"r\"\n{more}\n")
    }

    /// Promise: a path that no source can have is refused, with the one that was probably meant.
    #[test]
    fn a_fact_that_cannot_be_is_refused() {
        for (path, hint) in [
            ("go.verson", "did you mean `go.version`?"),
            ("sysclt.net.core.somaxconn", "did you mean `sysctl.net.core.somaxconn`?"),
            ("go.evn.GOPROXY", "did you mean `go.env.GOPROXY`?"),
            ("go.program[*].modul[golang.org/x/net]", "did you mean `go.program[*].module[*]`?"),
            ("package[openssl]version", "did you mean `package[*].version`?"),
        ] {
            assert_eq!(
                refused(&rule(path, "severity = \"info\"")),
                format!("line 5, column 8: no source has a fact `{path}`; {hint}")
            );
        }
        assert_eq!(
            refused("[expect]\n\"glibc.verison\" = \"2.36\"\n"),
            "line 5, column 1: no source has a fact `glibc.verison`; did you mean `glibc.version`?"
        );
    }

    /// Promise: a fact that a newer agent may have is taken, with a doubt.
    #[test]
    fn a_fact_that_is_not_known_is_doubted() {
        for path in ["weather", "weather.*", "os.ip", "container[*].image"] {
            assert_eq!(
                doubted(&rule(path, "severity = \"info\"")),
                [format!(
                    "line 5, column 8: `{path}` is not known; docs/facts.md lists what is, and `evenkeel facts NODE` what \
                     a node has"
                )]
            );
        }
    }

    /// Promise: a policy is checked in a time that grows with its length: of its doubts the first are said.
    #[test]
    fn a_long_policy_is_checked_in_one_go() {
        let lines: String = (0..9_000)
            .flat_map(|at| {
                ["\"sysctl.net.core.somaxcon".to_owned(), at.to_string(), "\" = \"1\"\n".to_owned()]
            })
            .collect();
        assert_eq!(doubted(&format!("[expect]\n{lines}")).len(), MOST_SAID);
    }

    #[test]
    fn facts_things_and_patterns_are_known() {
        for path in [
            "go.version",
            "go.program[github.com/acme/pay].module[golang.org/x/net]",
            "go.program[*]",
            "package[openssl]",
            "package[*].version",
            "*.version",
            "*",
            "custom.our.own",
            "sysctl.net.ipv4.conf.eth0.rp_filter",
            "sysctl.persisted[vm.swappiness].value",
            "file[/etc/hosts].digest",
            "file[*",
            "o?.id",
        ] {
            assert_eq!(doubted(&rule(path, "severity = \"info\"")), Vec::<String>::new(), "{path}");
        }
    }

    /// Promise: what may come with another kernel or another configuration is no mistake, and is doubted.
    #[test]
    fn what_may_be_there_later_is_doubted() {
        assert_eq!(
            doubted(&rule("sysctl.net.core.somaxcon", "severity = \"info\"")),
            [
                "line 5, column 8: `sysctl.net.core.somaxcon` is not known; did you mean `sysctl.net.core.somaxconn`?"
            ]
        );
        assert_eq!(doubted(&rule("sysctl.vendor.special", "severity = \"info\"")), Vec::<String>::new());
        assert_eq!(
            doubted(&rule("go.version", "severity = \"info\"\nenvironments = [\"prd\", \"qa\", \"dev\"]")),
            [
                "line 8, column 17: there is no environment `prd` yet; did you mean `prod`?",
                "line 8, column 24: there is no environment `qa` yet; there are dev, test, staging, prod"
            ]
        );
    }

    /// Promise: an expectation that no value can meet is refused.
    #[test]
    fn what_can_never_be_met_is_refused() {
        for (path, expected, why) in [
            ("sysctl.net.core.somaxconn", "\">= abc\"", "`>= abc` can never be met: \"abc\" is no number"),
            (
                "sysctl.vm.swappiness",
                "\"one of 10, 60\"",
                "\"one of 10, 60\" is one text; write a list: [\"10\", \"60\"]",
            ),
            ("sysctl.vm.swappiness", "\"60..10\"", "`60..10` can never be met: it ends before it begins"),
            ("go.version", "\"< newest\"", "`< newest` can never be met: \"newest\" is no version of Go"),
            ("go.version", "[\"1.21.6\", \"> x\"]", "`> x` can never be met: \"x\" is no version of Go"),
            ("time.zone", "\"> UTC\"", "`> UTC` can never be met: \"UTC\" is no number"),
            (
                "package[openssl].version",
                "\">= new\"",
                "`>= new` can never be met: \"new\" is no version of a package",
            ),
        ] {
            assert_eq!(
                refused(&rule(path, &format!("expect = {expected}"))),
                format!("line 7, column 10: {why}"),
                "{path}"
            );
        }
        for (path, expected) in [
            ("sysctl.net.core.somaxconn", "\">= 65535\""),
            ("sysctl.net.ipv4.tcp_congestion_control", "\"bbr\""),
            ("go.version", "\">= 1.21rc2\""),
            ("kernel.release", "\">= 6.1.0-30-amd64\""),
            ("glibc.version", "\"2.36..2.41\""),
            ("package[openssl].version", "\">= 3.0.15-1~deb12u1\""),
            ("hardware.memory.bytes", "\"> 1000000000\""),
            ("go.program[*].module[golang.org/x/net]", "\">= 0.17.0\""),
        ] {
            assert_eq!(doubted(&rule(path, &format!("expect = {expected}"))), Vec::<String>::new(), "{path}");
        }
    }

    /// Promise: a pattern is refused only where every fact that it matches compares in one way.
    #[test]
    fn what_a_pattern_expects_may_be_met() {
        for path in ["*.go_version", "g*.version", "go.*ersion", "package[open*].version"] {
            assert_eq!(
                doubted(&format!("[expect]\n\"{path}\" = \">= new\"\n")),
                Vec::<String>::new(),
                "{path}"
            );
        }
        for (path, expected, why) in [
            ("package[*].version", ">= new", "`>= new` can never be met: \"new\" is no version of a package"),
            ("g*.version", "one of 1, 2", "\"one of 1, 2\" is one text; write a list: [\"1\", \"2\"]"),
        ] {
            let column = path.len() + 6;
            let said = refused(&format!("[expect]\n\"{path}\" = \"{expected}\"\n"));
            assert_eq!(said, format!("line 5, column {column}: {why}"));
        }
    }

    /// Promise: what ships can be put in force.
    #[test]
    fn the_policies_that_ship_are_in_order() {
        let checklist = include_str!("../../../../deploy/policies/go-launch-checklist.toml");
        let default = include_str!("../../policy/default.toml");
        for text in [checklist, default] {
            assert_eq!(Policy::check(text, &USUAL).unwrap().doubts, []);
        }
    }
}
