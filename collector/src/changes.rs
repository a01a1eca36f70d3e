//! Which facts differ between two contents of a section.

use std::collections::HashMap;

use evenkeel_facts::{FactPath, Observation, Section, SectionBuilder, encoding};
use jiff::Timestamp;

/// Calls `each` for every path whose observation differs, in order of path. A side that has nothing noted is `None`.
pub fn between<'a>(
    old: Option<&'a Section>,
    new: Option<&'a Section>,
    mut each: impl FnMut(&'a FactPath, Option<&'a Observation>, Option<&'a Observation>),
) {
    let mut old = old.map(Section::facts).unwrap_or_default().iter().peekable();
    let mut new = new.map(Section::facts).unwrap_or_default().iter().peekable();
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some((a, _)), Some((b, _))) if a == b => {
                let ((path, before), (_, after)) = (old.next().expect("peeked"), new.next().expect("peeked"));
                if before != after {
                    each(path, Some(before), Some(after));
                }
            }
            (Some((a, before)), other) if other.is_none_or(|(b, _)| a < b) => {
                each(a, Some(before), None);
                old.next();
            }
            (_, Some((b, after))) => {
                each(b, None, Some(after));
                new.next();
            }
            (Some(_), None) => unreachable!("the arm before takes it"),
        }
    }
}

/// What could last be read of a node's facts that cannot be read now, and since when it was so. "Cannot tell" is not a
/// change: when the same is read again, it has been so all along.
#[derive(Debug, Default, Clone)]
pub struct Lost(HashMap<FactPath, (Observation, Timestamp)>);

impl Lost {
    /// For checkpoints: the observations as the canonical bytes of a section, and since when each was so, in order of path.
    pub(crate) fn part(&self) -> (Vec<u8>, Vec<Timestamp>) {
        if self.0.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let mut section = SectionBuilder::new("lost");
        for (path, (observation, _)) in &self.0 {
            section.observe(path.clone(), observation.clone());
        }
        let section = section.finish();
        let since = section.facts().iter().map(|(path, _)| self.0[path].1).collect();
        (section.encode(), since)
    }

    /// What was handed out. The error is a sentence.
    pub(crate) fn put(bytes: &[u8], since: &[Timestamp]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let section = encoding::decode(bytes).map_err(|error| error.to_string())?;
        let facts = section.facts().iter().cloned().zip(since);
        Ok(Self(facts.map(|((path, observation), since)| (path, (observation, *since))).collect()))
    }

    /// Notes in `times` when each path that a section now says differently became so. `since` is the time of a path
    /// that is not in `times`.
    pub fn note(
        &mut self,
        (old, new): (Option<&Section>, Option<&Section>),
        at: Timestamp,
        since: Timestamp,
        times: &mut HashMap<FactPath, Timestamp>,
    ) {
        let mut hidden = Hidden::of(new);
        between(old, new, |path, before, after| {
            let cannot_tell = match after {
                Some(Observation::Unreadable(_)) => true,
                Some(_) => false,
                None => hidden.covers(path),
            };
            let mut time = at;
            match (self.0.remove(path), before) {
                (Some((same, became)), _) if after == Some(&same) => time = became,
                (Some(lost), _) if cannot_tell => drop(self.0.insert(path.clone(), lost)),
                (None, Some(before)) if cannot_tell && !matches!(before, Observation::Unreadable(_)) => {
                    let became = times.get(path).copied().unwrap_or(since);
                    self.0.insert(path.clone(), (before.clone(), became));
                }
                _ => {}
            }
            times.insert(path.clone(), time);
        });
    }
}

/// What a section cannot tell, walked beside paths that are asked for in order: a section may hide as many paths as
/// another had, and each is looked at once.
struct Hidden<'a> {
    facts: std::slice::Iter<'a, (FactPath, Observation)>,
    next: Option<&'a FactPath>,
    /// Those that the path asked for last begins with, each the begin of the one behind it.
    above: Vec<&'a FactPath>,
}

impl<'a> Hidden<'a> {
    fn of(section: Option<&'a Section>) -> Self {
        let facts = section.map(Section::facts).unwrap_or_default().iter();
        let mut hidden = Self { facts, next: None, above: Vec::new() };
        hidden.step();
        hidden
    }

    fn step(&mut self) {
        self.next =
            self.facts.find(|(_, now)| matches!(now, Observation::Unreadable(_))).map(|(path, _)| path);
    }

    /// Whether this path, which is not before the one asked for last, lies below something that cannot be read.
    fn covers(&mut self, path: &FactPath) -> bool {
        let begins = |top: &&FactPath, path: &FactPath| path.as_str().starts_with(top.as_str());
        while let Some(top) = self.next.filter(|top| *top <= path) {
            self.above.truncate(self.above.iter().take_while(|above| begins(above, top)).count());
            self.above.push(top);
            self.step();
        }
        self.above.truncate(self.above.iter().take_while(|above| begins(above, path)).count());
        self.above.iter().any(|top| top.covers(path.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_facts::{Reason, SectionBuilder};

    fn section(facts: &[(&str, &str)]) -> Section {
        let mut section = SectionBuilder::new("s");
        for (path, value) in facts {
            section.present(FactPath::known(path), *value);
        }
        section.finish()
    }

    #[test]
    fn only_what_differs_is_named() {
        let old = section(&[("a", "1"), ("b", "1"), ("d", "1"), ("f", "1")]);
        let new = section(&[("b", "2"), ("c", "1"), ("d", "1"), ("g", "1")]);
        let mut seen = Vec::new();
        between(Some(&old), Some(&new), |path, before, after| {
            seen.push((path.as_str(), before.is_some(), after.is_some()));
        });
        assert_eq!(
            seen,
            [
                ("a", true, false),
                ("b", true, true),
                ("c", false, true),
                ("f", true, false),
                ("g", false, true)
            ]
        );
        let mut count = 0;
        between(None, Some(&new), |_, _, _| count += 1);
        between(Some(&new), Some(&new), |_, _, _| count += 100);
        assert_eq!(count, 4);
    }

    /// Promise: "cannot tell" is not a change. What is read again as it was has been so all along.
    #[test]
    fn a_failed_sweep_resets_no_time() {
        let day = |day: i64| Timestamp::from_second(1_790_000_000 + day * 86_400).unwrap();
        let seen = section(&[("s.a", "1"), ("s.b", "1")]);
        let mut failed = SectionBuilder::new("s");
        failed.unreadable(FactPath::known("s"), Reason::Timeout);
        let failed = failed.finish();
        let again = section(&[("s.a", "1"), ("s.b", "2")]);
        let (mut lost, mut times) = (Lost::default(), HashMap::new());
        lost.note((Some(&seen), Some(&failed)), day(1), day(0), &mut times);
        assert_eq!(times["s.a"], day(1));
        lost.note((Some(&failed), Some(&again)), day(2), day(0), &mut times);
        assert_eq!((times["s.a"], times["s.b"]), (day(0), day(2)));
        assert!(lost.0.is_empty());
    }

    /// Promise: what lies below something that cannot be read is not said to be gone, whatever stands between the two.
    #[test]
    fn what_is_hidden_is_found_at_every_depth() {
        let tops = ["a", "a.b", "a.b.c", "k[x]", "z.y"];
        let mut section = SectionBuilder::new("s");
        for top in tops {
            section.unreadable(FactPath::known(top), Reason::Permission);
        }
        section.present(FactPath::known("a-b"), "1");
        let section = section.finish();
        let mut paths = [
            "a-b.c", "a.b.c.d", "a.b.cc", "a.c", "a[q].r", "aa", "ab.c", "k[w]", "k[x].m", "k[xy].m", "z.yy",
            "zz",
        ];
        paths.sort_unstable();
        let mut hidden = Hidden::of(Some(&section));
        for path in paths.map(FactPath::known) {
            let expected = tops.iter().any(|top| FactPath::known(top).covers(path.as_str()));
            assert_eq!(hidden.covers(&path), expected, "{path}");
        }
    }
}
