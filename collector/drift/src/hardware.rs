//! Whether the size of the machines explains a difference.

use std::collections::HashMap;

use evenkeel_facts::{Observation, Value};

use crate::contents::Contents;
use crate::spread::Spread;

/// The memory and the processors of each node of a role.
pub(crate) struct Hardware {
    /// For each node a number that equal sizes share; 0 where it is not known.
    memory: Vec<usize>,
    processors: Vec<usize>,
}

impl Hardware {
    /// Reads `hardware.memory.bytes` and `hardware.cpu.count`.
    pub(crate) fn new(sources: &[Contents<'_>], nodes: usize) -> Self {
        let source = sources.iter().find(|contents| contents.source == "hardware");
        let sizes = |path| source.map_or_else(|| vec![0; nodes], |contents| sizes(contents, path, nodes));
        Self { memory: sizes("hardware.memory.bytes"), processors: sizes("hardware.cpu.count") }
    }

    /// Whether nodes with equal memory hold equal values, wherever the value can be read.
    pub(crate) fn memory_explains(&self, spread: &Spread, contents: &Contents<'_>) -> bool {
        explains(&self.memory, spread, contents)
    }

    /// Whether nodes with equally many processors hold equal values, wherever the value can be read.
    pub(crate) fn processors_explain(&self, spread: &Spread, contents: &Contents<'_>) -> bool {
        explains(&self.processors, spread, contents)
    }
}

fn sizes(contents: &Contents<'_>, path: &str, nodes: usize) -> Vec<usize> {
    let mut numbers: HashMap<&Value, usize> = HashMap::new();
    let mut sizes = vec![0; nodes];
    for group in &contents.groups {
        if let Some(Observation::Present(value)) = group.find(path) {
            let next = numbers.len() + 1;
            let number = *numbers.entry(value).or_insert(next);
            group.nodes.iter().for_each(|node| sizes[*node] = number);
        }
    }
    sizes
}

fn explains(sizes: &[usize], spread: &Spread, contents: &Contents<'_>) -> bool {
    let mut value_of = vec![None; sizes.len() + 1];
    contents.groups.iter().enumerate().all(|(at, group)| {
        let outcome = spread.outcome_of(at);
        !spread.outcomes[outcome].what.is_readable()
            || group.nodes.iter().all(|node| {
                let size = sizes[*node];
                size != 0 && *value_of[size].get_or_insert(outcome) == outcome
            })
    })
}
