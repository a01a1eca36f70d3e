//! What cannot be told, in a few lines: what one thing lacks for one reason is one line.

use evenkeel_drift::gate::{NO_COMMON_ROLE, NO_NODES};
use evenkeel_drift::report::{Severity, Unknown};
use evenkeel_drift::unknown::{EVERYTHING, STALE};
use evenkeel_facts::FactPath;

use crate::page::Page;
use crate::screen::Ink;
use crate::text::{count, names, width};
use crate::words::{reason_words, with_role};

/// At least so many columns for the names of nodes.
const ROOM_FOR_NAMES: usize = 20;

/// A heading and up to `limit` lines; nothing when there are no unknowns.
pub(crate) fn cannot_tell<'a>(
    page: &mut Page,
    unknowns: impl IntoIterator<Item = &'a Unknown>,
    limit: usize,
) {
    let groups = alike(unknowns);
    if groups.is_empty() {
        return;
    }
    page.blank();
    page.line(0, Ink::Of(Severity::Info), "CANNOT TELL");
    for group in groups.iter().take(limit) {
        let text = what(group);
        let who = names(&group[0].nodes, page.room(width(&text) + 6).max(ROOM_FOR_NAMES));
        let on = match group[0].reason.as_str() {
            _ if who.is_empty() => "",
            STALE => "; stale: ",
            _ => " on ",
        };
        page.line(2, Ink::Plain, &[&text, on, &who].concat());
    }
    if groups.len() > limit {
        page.line(2, Ink::Plain, &format!("and {} more", groups.len() - limit));
    }
}

/// Unknowns that say the same of the same thing, in the order in which they came.
fn alike<'a>(unknowns: impl IntoIterator<Item = &'a Unknown>) -> Vec<Vec<&'a Unknown>> {
    let same = |a: &Unknown, b: &Unknown| {
        (thing(a), &a.reason, &a.role, &a.nodes) == (thing(b), &b.reason, &b.role, &b.nodes)
    };
    let mut groups: Vec<Vec<&Unknown>> = Vec::new();
    for unknown in unknowns {
        match groups.iter_mut().find(|group| same(group[0], unknown)) {
            Some(group) => group.push(unknown),
            None => groups.push(vec![unknown]),
        }
    }
    groups
}

/// The thing that the fact belongs to (`go.program[x]`), or the fact itself.
fn thing(unknown: &Unknown) -> String {
    let path = FactPath::new(&unknown.path).ok();
    path.as_ref().and_then(FactPath::entity).unwrap_or(&unknown.path).to_owned()
}

fn what(group: &[&Unknown]) -> String {
    let Unknown { path, severity: _, role, reason, nodes: _ } = group[0];
    match (reason.as_str(), group) {
        (NO_NODES, _) => "one of the two has no nodes".to_owned(),
        (NO_COMMON_ROLE, _) => "the two have no role in common: there is nothing to compare".to_owned(),
        (reason, [_]) => {
            let path = if path == EVERYTHING { "everything" } else { path };
            format!("{}: {}", with_role(path, role), reason_words(reason))
        }
        (reason, group) => {
            let thing = with_role(&thing(group[0]), role);
            format!("{thing}: {} {}", count(group.len() as u64, "fact"), reason_words(reason))
        }
    }
}
