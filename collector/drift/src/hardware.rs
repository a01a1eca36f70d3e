//! What the size of a machine and its kernel explain by themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use evenkeel_facts::Observation;

use crate::contents::Contents;
use crate::formula::{self, Formula, Size};
use crate::kernel_default::{self, Release};
use crate::spread::{Spread, What};

/// The machines behind the nodes of a role.
pub(crate) struct Hardware {
    /// The profile that most nodes have.
    base: usize,
    /// The profile of each other node.
    others: HashMap<u32, usize>,
    profiles: Vec<Profile>,
    /// How many nodes have each profile.
    sizes: Vec<u32>,
}

/// Machines of equal size under kernels of one release.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Profile {
    /// `hardware.memory.bytes` as it was sent.
    memory: Option<String>,
    /// `hardware.cpu.count` as it was sent.
    processors: Option<String>,
    release: Option<Release>,
}

impl Profile {
    fn size(&self) -> Size {
        let number = |text: &Option<String>| text.as_deref().and_then(|text| text.trim().parse().ok());
        Size { memory: number(&self.memory), processors: number(&self.processors) }
    }
}

impl Hardware {
    /// Reads `hardware.memory.bytes`, `hardware.cpu.count` and `kernel.release`.
    pub(crate) fn new(sources: &[Contents<'_>], nodes: u32) -> Self {
        let mut own: BTreeMap<u32, [usize; 2]> = BTreeMap::new();
        let mut parts: Vec<Profile> = vec![Profile::default()];
        let mut base = [0; 2];
        for (slot, source) in ["hardware", "kernel"].into_iter().enumerate() {
            let Some(contents) = sources.iter().find(|contents| contents.source == source) else { continue };
            for (at, group) in contents.groups.iter().enumerate() {
                let text = |path: &str| match group.find(path) {
                    Some(Observation::Present(value)) => Some(value.to_string()),
                    _ => None,
                };
                let part = Profile {
                    memory: text("hardware.memory.bytes"),
                    processors: text("hardware.cpu.count"),
                    release: text("kernel.release").as_deref().and_then(kernel_default::release),
                };
                let part = parts.iter().position(|known| *known == part).unwrap_or_else(|| {
                    parts.push(part);
                    parts.len() - 1
                });
                if at == 0 {
                    base[slot] = part;
                    for own in own.values_mut() {
                        own[slot] = part;
                    }
                } else {
                    for (_, places) in contents.parts(at) {
                        places.iter().for_each(|place| own.entry(place).or_insert(base)[slot] = part);
                    }
                }
            }
        }
        let (mut profiles, mut sizes): (Vec<Profile>, Vec<u32>) = Default::default();
        let mut by_parts: HashMap<[usize; 2], usize> = HashMap::new();
        let mut profile = |at: [usize; 2], nodes: u32| {
            let profile = *by_parts.entry(at).or_insert_with(|| {
                let [size, kernel] = at.map(|at| &parts[at]);
                profiles.push(Profile { release: kernel.release, ..size.clone() });
                sizes.push(0);
                profiles.len() - 1
            });
            sizes[profile] += nodes;
            profile
        };
        let rest = nodes - u32::try_from(own.len()).unwrap_or(nodes);
        let base = profile(base, rest);
        let others = own.into_iter().map(|(place, parts)| (place, profile(parts, 1))).collect();
        Self { base, others, profiles, sizes }
    }

    /// Whether the memory of each node gives what it holds, wherever the value can be read.
    pub(crate) fn memory_explains(&self, path: &str, spread: &Spread, contents: &Contents<'_>) -> bool {
        self.explains(path, spread, contents, |profile| profile.memory.as_deref())
    }

    /// Whether the processors of each node give what it holds, wherever the value can be read.
    pub(crate) fn processors_explain(&self, path: &str, spread: &Spread, contents: &Contents<'_>) -> bool {
        self.explains(path, spread, contents, |profile| profile.processors.as_deref())
    }

    /// Whether each machine here gets the value by itself, as far as a formula is known.
    pub(crate) fn gives(&self, path: &str, value: &str) -> bool {
        formula::of(path).is_some_and(|formula| {
            let mut profiles = self.profiles.iter().zip(&self.sizes).filter(|(_, size)| **size > 0);
            profiles.all(|(profile, _)| formula.derives(value, &profile.size()) == Some(true))
        })
    }

    /// Whether every node that can be read holds what its own kernel sets by itself; where the kernel says so.
    pub(crate) fn kernels_explain(
        &self,
        path: &str,
        spread: &Spread,
        contents: &Contents<'_>,
    ) -> Option<&'static str> {
        let default = kernel_default::of(path)?;
        let held = self.held(spread, contents);
        let holds = held.into_iter().all(|(outcome, profile)| {
            match (&spread.outcomes[outcome].what, self.profiles[profile].release) {
                (What::Present(value), Some(release)) => default.holds(value, release),
                _ => false,
            }
        });
        holds.then_some(default.source.as_str())
    }

    fn explains<'p>(
        &'p self,
        path: &str,
        spread: &Spread,
        contents: &Contents<'_>,
        size: impl Fn(&'p Profile) -> Option<&'p str>,
    ) -> bool {
        let held = self.held(spread, contents);
        if held.iter().any(|(_, profile)| size(&self.profiles[*profile]).is_none()) {
            return false;
        }
        let formula = formula::of(path);
        if let Some(formula) = formula
            && held.iter().all(|(outcome, profile)| {
                derives(formula, &spread.outcomes[*outcome].what, &self.profiles[*profile])
            })
        {
            return true;
        }
        let mut value_of: BTreeMap<&str, usize> = BTreeMap::new();
        let equal = held.iter().all(|(outcome, profile)| {
            let size = size(&self.profiles[*profile]).unwrap_or_default();
            *value_of.entry(size).or_insert(*outcome) == *outcome
        });
        let sizes = value_of.into_iter().map(|(size, outcome)| (size, &spread.outcomes[outcome].what));
        equal && (formula.is_none() || are_proportional(sizes))
    }

    /// Which outcomes nodes of which profile hold, of those that can be read.
    fn held(&self, spread: &Spread, contents: &Contents<'_>) -> Vec<(usize, usize)> {
        let mut held = BTreeSet::new();
        let mut rest = self.sizes.clone();
        for &(group, outcome) in spread.exceptions() {
            for place in contents.parts(group).flat_map(|(_, places)| places.iter().collect::<Vec<_>>()) {
                let profile = self.others.get(&place).copied().unwrap_or(self.base);
                rest[profile] -= 1;
                held.insert((outcome, profile));
            }
        }
        let rest = rest.into_iter().enumerate().filter(|(_, rest)| *rest > 0);
        held.extend(rest.map(|(profile, _)| (spread.base(), profile)));
        held.into_iter().filter(|(outcome, _)| spread.outcomes[*outcome].what.is_readable()).collect()
    }
}

/// Nobody sets a parameter to nothing: one that is not there comes with a module or a namespace.
fn derives(formula: &Formula, what: &What, profile: &Profile) -> bool {
    match what {
        What::Present(value) => formula.derives(value, &profile.size()) == Some(true),
        _ => true,
    }
}

/// Whether all values stand to their sizes as the first does, to a seventh: a formula whose factor is another in this
/// kernel.
fn are_proportional<'s>(held: impl Iterator<Item = (&'s str, &'s What)>) -> bool {
    let mut first: Option<Vec<f64>> = None;
    for (size, what) in held {
        let What::Present(value) = what else { return false };
        let (Ok(size), Some(words)) = (size.trim().parse::<f64>(), numbers(value)) else { return false };
        let shares: Vec<f64> = words.into_iter().map(|word| word / size).collect();
        match &first {
            None => first = Some(shares),
            Some(first) => {
                let near = |(a, b): (&f64, &f64)| (a - b).abs() <= a.abs() / 7.0;
                if first.len() != shares.len() || !first.iter().zip(&shares).all(near) {
                    return false;
                }
            }
        }
    }
    true
}

fn numbers(value: &str) -> Option<Vec<f64>> {
    value.split_whitespace().map(|word| word.parse().ok()).collect()
}
