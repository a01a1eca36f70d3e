//! Findings for a pull request: short enough for a comment, and nothing in it is a link or pings anybody.

use std::fmt::Write as _;

use evenkeel_drift::report::{Finding, Kind, Status};

use crate::results::{Mood, Results, held};
use crate::sheet::{code, line};
use crate::text::count;
use crate::when::moment;
use crate::words::{kind_word, reason_words, severity_word, status_word, with_role};

/// GitHub takes comments of 65,536 characters, GitLab more; what is left is for what a bot adds around it.
const MAX_BYTES: usize = 60_000;
/// So many nodes are named at a finding, and so many facts that have the same cause.
const SHOWN: usize = 5;

/// The findings, the worst first, as far as a comment has room for them.
pub(crate) fn page(results: &Results<'_>) -> String {
    let sign = match results.mood {
        Mood::Good => "✅",
        Mood::Unclear => "❔",
        Mood::Warning => "⚠️",
        Mood::Critical => "❌",
    };
    let mut out = format!("### {sign} {}\n\n{}\n", title(results), results.answer);
    let mut left = results.findings.len();
    for group in results.findings.chunk_by(|a, b| a.severity == b.severity) {
        let heads = ["fact".to_owned()].into_iter().chain(results.columns.iter().map(|name| code(name)));
        let heads: Vec<String> = heads.chain(["nodes".to_owned()]).collect();
        let rule = line(heads.iter().map(|_| "---".to_owned()));
        let head = format!(
            "\n**{}** ({})\n\n{}{rule}",
            severity_word(group[0].severity),
            group.len(),
            line(heads.into_iter())
        );
        for (at, finding) in group.iter().enumerate() {
            let row = row(results, finding);
            let head = if at == 0 { head.as_str() } else { "" };
            if out.len() + head.len() + row.len() > MAX_BYTES {
                break;
            }
            out.extend([head, &row]);
            left -= 1;
        }
    }
    if left > 0 {
        let _ =
            write!(out, "\n… and {} more, for which a comment has no room.\n", count(left as u64, "finding"));
    }
    unknowns(&mut out, results);
    let mut about = Vec::new();
    about.extend(results.as_of.map(|as_of| format!("as of {}", moment(as_of))));
    about.extend(results.policy.map(|policy| format!("policy {}", code(policy))));
    if !about.is_empty() {
        let _ = write!(out, "\n<sub>evenkeel, {}</sub>\n", about.join(", "));
    }
    out
}

fn title(results: &Results<'_>) -> String {
    match results.columns[..] {
        [one, reference] => format!("{} held against {}", code(one), code(reference)),
        _ => format!(
            "{}, reference {}",
            count(results.columns.len() as u64, "environment"),
            code(results.reference)
        ),
    }
}

fn row(results: &Results<'_>, finding: &Finding) -> String {
    let Finding { path, role, kind, status, nodes, summary, reason, .. } = finding;
    let mut fact = code(&with_role(path, role));
    if *status != Status::Open {
        let _ = write!(fact, "<br>{}: {}", status_word(*status), code(reason));
    }
    // What the values do not show by themselves.
    if !matches!(kind, Kind::Differs | Kind::Split | Kind::Missing) {
        let _ = write!(fact, "<br>{}: {}", kind_word(*kind), code(summary));
    }
    if !finding.parts.is_empty() {
        let _ = write!(fact, "<br>with it: {}", some(finding.parts.iter().map(|part| &*part.path)));
    }
    let cells = results.columns.iter().map(|environment| {
        let held = held(finding, environment, results.reference);
        let several = held.len() > 1;
        let each = held.iter().map(|held| {
            let text = code(&held.text);
            let text = if held.odd { format!("**{text}**") } else { text };
            if several { format!("{text} ({})", held.nodes) } else { text }
        });
        each.collect::<Vec<_>>().join("<br>")
    });
    let names = some(nodes.iter().map(String::as_str));
    line([fact].into_iter().chain(cells).chain([names]))
}

/// The first of them, and how many more there are.
fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> = names.take(SHOWN).map(code).collect();
    shown.extend((more > 0).then(|| format!("+{more}")));
    shown.join(" ")
}

fn unknowns(out: &mut String, results: &Results<'_>) {
    const UNKNOWNS_SHOWN: usize = 20;
    if results.unknowns.is_empty() {
        return;
    }
    let _ = write!(out, "\n**cannot tell** ({})\n\n", results.unknowns.len());
    for unknown in results.unknowns.iter().take(UNKNOWNS_SHOWN) {
        let nodes = some(unknown.nodes.iter().map(String::as_str));
        let on = if nodes.is_empty() { String::new() } else { format!(" on {nodes}") };
        let path = code(&with_role(&unknown.path, &unknown.role));
        let _ = writeln!(out, "- {path}: {}{on}", code(&reason_words(&unknown.reason)));
    }
    if results.unknowns.len() > UNKNOWNS_SHOWN {
        let _ = writeln!(out, "- and {} more", results.unknowns.len() - UNKNOWNS_SHOWN);
    }
}
