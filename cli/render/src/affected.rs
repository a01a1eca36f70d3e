//! Where the fleet has what advisories name.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use evenkeel_drift::affected::{Advised, Affected, Found, Place, Unjudged};
use evenkeel_drift::compare::Compare;
use evenkeel_drift::report::Severity;
use evenkeel_facts::natural;

use crate::columns::{Cell, Columns};
use crate::page::Page;
use crate::screen::{Ink, Screen};
use crate::sheet::Sheet;
use crate::text::{count, escape, names};
use crate::view::View;
use crate::words::reason_words;

/// Names of nodes in a table take at most this many columns; wide shows all names.
const NAMES_WIDTH: usize = 30;
/// So many things that cannot be told are named in a table.
const UNKNOWNS_SHOWN: usize = 5;
/// More advisories than this are shown by what they affect.
const ADVISORIES_SHOWN: usize = 10;

impl View for Affected {
    const WHAT: &'static str = "what is affected";

    fn arrange(&mut self) {
        crate::order::affected(self);
    }

    fn table(&self, screen: &Screen) -> String {
        show(self, screen, NAMES_WIDTH, UNKNOWNS_SHOWN)
    }

    fn wide(&self, screen: &Screen) -> String {
        show(self, screen, usize::MAX, usize::MAX)
    }

    fn schema(&self) -> Option<&'static str> {
        Some("evenkeel.affected/v1")
    }

    fn sheet(&self) -> Option<Sheet> {
        let heads = [
            "advisory",
            "aliases",
            "module",
            "version",
            "fixed",
            "in",
            "pending",
            "environment",
            "nodes",
            "stale",
            "summary",
        ];
        let mut sheet = Sheet::new(&heads);
        for Advised { id, aliases, summary, found } in &self.affected {
            let aliases = aliases.join(" ");
            for Found { module, version, fixed, thing, pending, places } in found {
                let fixed = fixed.as_deref().unwrap_or_default();
                for Place { environment, nodes, stale } in places {
                    let (nodes, stale) = (nodes.join(" "), stale.join(" "));
                    sheet.row([
                        id,
                        &*aliases,
                        module,
                        version,
                        fixed,
                        thing,
                        pending,
                        environment,
                        &nodes,
                        &stale,
                        summary,
                    ]);
                }
            }
        }
        for Unjudged { path, reason, places } in &self.unknowns {
            for Place { environment, nodes, stale } in places {
                let (nodes, stale) = (nodes.join(" "), stale.join(" "));
                let why = format!("cannot tell: {reason}");
                sheet.row(["", "", "", "", "", path, "", environment, &nodes, &stale, &why]);
            }
        }
        Some(sheet)
    }
}

fn show(affected: &Affected, screen: &Screen, names_width: usize, unknowns_shown: usize) -> String {
    let Affected { advisories, nodes, affected: advised, unknowns } = affected;
    let mut page = Page::new(screen);
    if advised.len() > ADVISORIES_SHOWN && names_width < usize::MAX {
        by_thing(&mut page, advised, names_width);
    } else {
        for advised in advised {
            one(&mut page, advised, names_width);
        }
    }
    if !unknowns.is_empty() {
        page.line(0, Ink::Of(Severity::Info), "CANNOT TELL");
        for Unjudged { path, reason, places } in unknowns.iter().take(unknowns_shown) {
            let on: Vec<String> = places.iter().map(|place| who(place, names_width)).collect();
            let line = format!("{}: {} on {}", escape(path), reason_words(reason), on.join(", "));
            page.line(2, Ink::Plain, &line);
        }
        if unknowns.len() > unknowns_shown {
            page.line(2, Ink::Plain, &format!("and {} more", unknowns.len() - unknowns_shown));
        }
        page.blank();
    }
    let asked = match advisories {
        1 => String::new(),
        several => format!("{several} advisories, "),
    };
    let looked = format!("({asked}{})", count(*nodes, "node"));
    let (ink, answer) = match advised.len() {
        0 if unknowns.is_empty() => (Ink::Good, "Nothing is affected".to_owned()),
        0 => (Ink::Plain, "Nothing is affected in what could be read".to_owned()),
        1 => (Ink::Of(Severity::Critical), "1 advisory affects something".to_owned()),
        several => (Ink::Of(Severity::Critical), format!("{several} advisories affect something")),
    };
    page.line(0, ink, &format!("{answer} {looked}"));
    page.finish()
}

/// One advisory: what it is, and every place.
fn one(page: &mut Page, advised: &Advised, names_width: usize) {
    let Advised { id, aliases, summary, found } = advised;
    let aliases: Vec<_> = aliases.iter().map(|alias| escape(alias)).collect();
    if aliases.is_empty() {
        page.line(0, Ink::Of(Severity::Critical), &escape(id));
    } else {
        page.ends(0, (Ink::Of(Severity::Critical), &escape(id)), (Ink::Faint, &aliases.join(" ")));
    }
    if !summary.is_empty() {
        page.line(2, Ink::Plain, &escape(summary));
    }
    for group in found.chunk_by(|a, b| (&a.module, &a.version) == (&b.module, &b.version)) {
        let Found { module, version, fixed, .. } = &group[0];
        let fixed = fixed.as_ref().map(|fixed| format!(", fixed in {}", escape(fixed))).unwrap_or_default();
        page.line(2, Ink::Strong, &format!("{} {}{fixed}", escape(module), escape(version)));
        let mut table = Columns::new(&[]);
        for Found { thing, places, pending, .. } in group {
            for place in places {
                table.row(vec![
                    Cell::new(&place.environment),
                    Cell::new(inside(thing)),
                    Cell::number((place.nodes.len() + place.stale.len()) as u64),
                    Cell::escaped(who(place, names_width)),
                ]);
            }
            if !pending.is_empty() {
                table.row(vec![Cell::new(""), Cell::new(pending).ink(Ink::Faint)]);
            }
        }
        page.table(4, &table);
    }
    page.blank();
}

/// What one thing carries, by module and version: the advisories, and what they found.
type Upgrades<'a> = BTreeMap<(&'a str, &'a str), Vec<(&'a str, &'a Found)>>;

/// Many advisories, by what is to be upgraded: a person mends programs, not advisories.
fn by_thing(page: &mut Page, advised: &[Advised], names_width: usize) {
    let mut things: BTreeMap<&str, Upgrades<'_>> = BTreeMap::new();
    for Advised { id, found, .. } in advised {
        for each in found {
            let versions = things.entry(&each.thing).or_default();
            versions.entry((&each.module, &each.version)).or_default().push((id, each));
        }
    }
    let mut things: Vec<_> = things.into_iter().collect();
    things.sort_by(|(a, _), (b, _)| natural::order(a, b));
    for (thing, versions) in things {
        let ids: BTreeSet<&str> = versions.values().flatten().map(|(id, _)| *id).collect();
        let number = match ids.len() {
            1 => "1 advisory".to_owned(),
            several => format!("{several} advisories"),
        };
        page.ends(0, (Ink::Strong, &escape(inside(thing))), (Ink::Of(Severity::Critical), &number));
        for ((module, version), found) in versions {
            let ids: Vec<String> = found.iter().map(|(id, _)| (*id).to_owned()).collect();
            let text = format!("{} {}{}", escape(module), escape(version), mended(&found));
            page.ends(2, (Ink::Plain, &text), (Ink::Faint, &names(&ids, 26)));
            for place in &found[0].1.places {
                let line = format!("{}: {}", escape(&place.environment), who(place, names_width));
                page.line(4, Ink::Faint, &line);
            }
        }
        page.blank();
    }
    page.line(0, Ink::Faint, "-o wide shows every advisory by itself");
    page.blank();
}

/// From which version on all of these are fixed; as far as that is known.
fn mended(found: &[(&str, &Found)]) -> String {
    let fixed: Vec<&String> = found.iter().filter_map(|(_, found)| found.fixed.as_ref()).collect();
    let last = fixed.iter().copied().max_by(|a, b| Compare::Semver.order(a, b).unwrap_or(Ordering::Equal));
    match last {
        None => ", no fix known".to_owned(),
        Some(last) if fixed.len() == found.len() => format!(", fixed in {}", escape(last)),
        Some(last) => format!(", {} of {} fixed in {}", fixed.len(), found.len(), escape(last)),
    }
}

/// `github.com/acme/pay` of `go.program[github.com/acme/pay]`; a toolchain by its whole path.
fn inside(thing: &str) -> &str {
    thing.strip_prefix("go.program[").and_then(|rest| rest.strip_suffix(']')).unwrap_or(thing)
}

fn who(place: &Place, width: usize) -> String {
    let Place { environment: _, nodes, stale } = place;
    let fresh = names(nodes, width);
    match (fresh.is_empty(), stale.is_empty()) {
        (_, true) => fresh,
        (true, false) => format!("stale: {}", names(stale, width)),
        (false, false) => format!("{fresh}; stale: {}", names(stale, width)),
    }
}
