//! Where the sections of a group are not what another group's are. Found once, when the group comes to be, and kept: no
//! report walks a section again.

use std::sync::Arc;

use evenkeel_facts::{FactPath, Observation, Reason, Section, Value};

/// What a group says otherwise than the group that all of a source are held against.
#[derive(Debug, Clone)]
pub(crate) struct Deviations {
    /// Facts that are not noted equally.
    pub(crate) facts: Arc<[Deviation]>,
    /// Whether it has sections of the same names.
    pub(crate) same_names: bool,
    /// Whether it can tell the same.
    pub(crate) same_gaps: bool,
    /// What cannot be read or told in it: one allocation with the other group where it is the same.
    pub(crate) gaps: Arc<Gaps>,
}

/// One fact: where it stands in both. At least one of them notes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deviation {
    /// The section and the fact in it, of the group that all are held against.
    pub(crate) base: Option<Spot>,
    /// The same of this group.
    pub(crate) own: Option<Spot>,
}

/// A section of a group, by number, and a fact in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    section: u16,
    fact: u32,
}

impl Spot {
    /// What stands there, and in which section.
    pub(crate) fn of(self, sections: &[Arc<Section>]) -> (&Section, &(FactPath, Observation)) {
        let section = &sections[usize::from(self.section)];
        (section, &section.facts()[self.fact as usize])
    }
}

/// What a group cannot tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Gaps {
    /// Every path that could not be read.
    pub(crate) unreadable: Vec<(FactPath, Reason)>,
    /// Every fact that says `(devel)`.
    pub(crate) unversioned: Vec<(FactPath, Value)>,
}

impl Gaps {
    /// Of these sections.
    pub(crate) fn of(sections: &[Arc<Section>]) -> Self {
        let mut gaps = Self::default();
        for (path, seen) in sections.iter().flat_map(|section| section.facts()) {
            match seen {
                Observation::Unreadable(reason) => gaps.unreadable.push((path.clone(), *reason)),
                Observation::Present(value @ Value::Text(text)) if text.starts_with("(devel)") => {
                    gaps.unversioned.push((path.clone(), value.clone()));
                }
                Observation::Present(_) | Observation::Absent => {}
            }
        }
        gaps
    }
}

impl Deviations {
    /// Of a group that the others are held against.
    pub(crate) fn none(sections: &[Arc<Section>]) -> Self {
        Self { facts: Arc::default(), same_names: true, same_gaps: true, gaps: Arc::new(Gaps::of(sections)) }
    }

    /// Of one group's sections from those of another, both by name.
    pub(crate) fn between(base: &[Arc<Section>], gaps: &Arc<Gaps>, own: &[Arc<Section>]) -> Self {
        let own_gaps = Gaps::of(own);
        let mut walk = Walk { facts: Vec::new() };
        let (mut b, mut o) = (0, 0);
        let mut same_names = true;
        loop {
            match (base.get(b), own.get(o)) {
                (None, None) => break,
                (Some(x), Some(y)) if x.name() == y.name() => {
                    if !Arc::ptr_eq(x, y) {
                        walk.section((b, Some(x)), (o, Some(y)));
                    }
                    (b, o) = (b + 1, o + 1);
                }
                (Some(x), y) if y.is_none_or(|y| x.name() < y.name()) => {
                    (same_names, b) = (false, b + 1);
                    walk.section((b - 1, Some(x)), (o, None));
                }
                (_, y) => {
                    (same_names, o) = (false, o + 1);
                    walk.section((b, None), (o - 1, y));
                }
            }
        }
        let same_gaps = own_gaps == **gaps;
        let gaps = if same_gaps { Arc::clone(gaps) } else { Arc::new(own_gaps) };
        Self { facts: walk.facts.into(), same_names, same_gaps, gaps }
    }
}

struct Walk {
    facts: Vec<Deviation>,
}

impl Walk {
    /// Walks the facts of two sections of the same name side by side, by path.
    fn section(&mut self, base: (usize, Option<&Arc<Section>>), own: (usize, Option<&Arc<Section>>)) {
        let (left, right) = (facts(base.1), facts(own.1));
        let spot = |section: usize, fact: usize| {
            Some(Spot { section: u16::try_from(section).ok()?, fact: u32::try_from(fact).ok()? })
        };
        let (mut l, mut r) = (0, 0);
        loop {
            match (left.get(l), right.get(r)) {
                (None, None) => return,
                (Some((a, before)), Some((b, after))) if a == b => {
                    if before != after {
                        self.facts.push(Deviation { base: spot(base.0, l), own: spot(own.0, r) });
                    }
                    (l, r) = (l + 1, r + 1);
                }
                (Some((a, _)), other) if other.is_none_or(|(b, _)| a < b) => {
                    self.facts.push(Deviation { base: spot(base.0, l), own: None });
                    l += 1;
                }
                _ => {
                    self.facts.push(Deviation { base: None, own: spot(own.0, r) });
                    r += 1;
                }
            }
        }
    }
}

fn facts(section: Option<&Arc<Section>>) -> &[(FactPath, Observation)] {
    section.map_or(&[], |section| section.facts())
}
