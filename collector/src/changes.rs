//! Which facts differ between two contents of a section.

use std::collections::HashMap;

use evenkeel_facts::{FactPath, Observation, Section};
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

/// Notes the time for every path whose observation differs.
pub fn note(
    old: Option<&Section>,
    new: Option<&Section>,
    at: Timestamp,
    times: &mut HashMap<FactPath, Timestamp>,
) {
    between(old, new, |path, _, _| {
        times.insert(path.clone(), at);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_facts::SectionBuilder;

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
}
