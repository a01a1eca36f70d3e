//! What the size of a machine and its kernel explain, node by node.

use evenkeel_drift::formula::{self, Size};
use evenkeel_drift::{Node, kernel_default};
use evenkeel_facts::Observation;

use super::fact::Said;

/// What a node says of itself, as text.
fn own(node: &Node, source: &str, path: &str) -> Option<String> {
    let sections = node.sections.iter().filter(|section| section.source() == source);
    sections.filter_map(|section| section.find(path)).find_map(|seen| match seen {
        Observation::Present(value) => Some(value.to_string()),
        _ => None,
    })
}

/// Whether the size of each node that can be read gives what it says.
pub(crate) fn sized(path: &str, said: &[Said<'_>], size: &str) -> bool {
    let readable: Vec<&Said<'_>> = said.iter().filter(|s| s.what.is_some()).collect();
    let size_of = |s: &Said<'_>| own(s.node, "hardware", size);
    if readable.iter().any(|s| size_of(s).is_none()) {
        return false;
    }
    let formula = formula::of(path);
    if let Some(formula) = formula
        && readable.iter().all(|s| match s.what.as_ref().unwrap() {
            None => true,
            Some(value) => formula.derives(value, &whole_size(s.node)) == Some(true),
        })
    {
        return true;
    }
    let equal =
        readable.iter().all(|a| readable.iter().all(|b| size_of(a) != size_of(b) || a.what == b.what));
    equal && (formula.is_none() || proportional(&readable, size))
}

/// Whether each node that can be read holds a default of its own kernel.
pub(crate) fn own_defaults(path: &str, said: &[Said<'_>]) -> bool {
    let Some(default) = kernel_default::of(path) else { return false };
    said.iter().filter(|s| s.what.is_some()).all(|s| {
        let release = own(s.node, "kernel", "kernel.release").and_then(|text| kernel_default::release(&text));
        match (s.what.clone().unwrap(), release) {
            (Some(value), Some(release)) => default.holds(&value, release),
            _ => false,
        }
    })
}

fn whole_size(node: &Node) -> Size {
    let number = |path: &str| own(node, "hardware", path).and_then(|text| text.trim().parse().ok());
    Size { memory: number("hardware.memory.bytes"), processors: number("hardware.cpu.count") }
}

fn proportional(readable: &[&Said<'_>], size: &str) -> bool {
    let mut sizes: Vec<(String, Vec<f64>)> = Vec::new();
    for s in readable {
        let Some(value) = s.what.clone().unwrap() else { return false };
        let text = own(s.node, "hardware", size).unwrap();
        let Ok(number) = text.trim().parse::<f64>() else { return false };
        let words: Option<Vec<f64>> =
            value.split_whitespace().map(|word| Some(word.parse::<f64>().ok()? / number)).collect();
        let Some(words) = words else { return false };
        sizes.push((text, words));
    }
    sizes.sort_by(|a, b| a.0.cmp(&b.0));
    let first = &sizes[0].1;
    sizes.iter().all(|(_, shares)| {
        shares.len() == first.len() && first.iter().zip(shares).all(|(a, b)| (a - b).abs() <= a.abs() / 7.0)
    })
}
