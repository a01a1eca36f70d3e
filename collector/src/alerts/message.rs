//! The same news in the words of each kind of receiver.

use std::fmt::Write as _;
use std::time::Duration;

use evenkeel_facts::{Digest, escape};
use evenkeel_store::entry::Told;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::due::{Change, News};

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.alerts/v1";
/// So many findings one message to a webhook holds.
pub const MOST: usize = 100;
/// So many lines one message to people has.
const LINES: usize = 20;
/// An Alertmanager takes what it does not hear of again within so many repetitions to be over.
const MISSED: u32 = 5;

/// One message of a webhook: `evenkeel.alerts/v1`. Fields are added, never renamed.
#[derive(Debug, Serialize)]
struct Message<'a> {
    schema: &'static str,
    /// The same for the same news: who has seen it before has this message twice.
    id: String,
    receiver: &'a str,
    at: Timestamp,
    link: &'a str,
    alerts: Vec<Alert<'a>>,
}

/// What happened to one finding.
#[derive(Debug, Serialize)]
struct Alert<'a> {
    /// The finding's id, the same for as long as the difference lasts.
    finding: &'a str,
    change: Change,
    severity: &'a str,
    kind: &'a str,
    path: &'a str,
    role: &'a str,
    environments: &'a [String],
    /// How many nodes deviate; some of them are named.
    node_count: u64,
    nodes: &'a [String],
    since: Timestamp,
    summary: &'a str,
}

impl<'a> Alert<'a> {
    fn of(News { change, told, is_urgent: _ }: &'a News) -> Self {
        let Told {
            id,
            print: _,
            open: _,
            path,
            kind,
            severity,
            role,
            environments,
            nodes,
            node_count,
            since,
            summary,
        } = told;
        Self {
            finding: id,
            change: *change,
            severity,
            kind,
            path,
            role,
            environments,
            node_count: *node_count,
            nodes,
            since: *since,
            summary,
        }
    }
}

/// The same news have the same id.
pub fn id(receiver: &str, news: &[News]) -> String {
    let mut said = receiver.to_owned();
    for News { change, told, is_urgent: _ } in news {
        let _ = write!(said, "\n{} {change:?} {:x}", told.id, told.print);
    }
    data_encoding::HEXLOWER.encode(&Digest::of(said.as_bytes()).as_bytes()[..16])
}

/// For a webhook.
pub fn webhook(receiver: &str, link: &str, at: Timestamp, news: &[News]) -> String {
    let alerts = news.iter().map(Alert::of).collect();
    let message = Message { schema: SCHEMA, id: id(receiver, news), receiver, at, link, alerts };
    serde_json::to_string(&message).expect("text, numbers and times are JSON")
}

/// For people, in Slack's words.
pub fn slack(link: &str, news: &[News]) -> String {
    let count = |open: bool| news.iter().filter(|news| news.told.open == open).count();
    let parts = [(count(true), "open"), (count(false), "over")];
    let parts: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let mut text = format!("*evenkeel*: {}", parts.join(", "));
    for News { change, told, is_urgent: _ } in news.iter().take(LINES) {
        let word = match change {
            Change::Opened => told.severity.as_str(),
            Change::Reopened => "back",
            Change::Changed => "changed",
            Change::Resolved => "over",
            Change::Accepted => "accepted",
        };
        let role = if told.role.is_empty() { String::new() } else { format!(" ({})", plain(&told.role)) };
        let _ = write!(text, "\n• *{word}* `{}`{role}: {}", plain(&told.path), plain(&told.summary));
        if told.open {
            let _ = write!(text, " — since {:.0}, `evenkeel explain {}`", told.since, plain(&told.id));
        }
    }
    if news.len() > LINES {
        let _ = write!(text, "\n… and {} more: `evenkeel report`", news.len() - LINES);
    }
    if !link.is_empty() {
        let _ = write!(text, "\n<{link}>");
    }
    json!({ "text": text }).to_string()
}

/// Nothing in a fact can end a line, close the markup, or call somebody (`<!channel>`).
fn plain(text: &str) -> String {
    let text = escape(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('`', "'")
}

/// For an Alertmanager: what changed, and what still stands.
pub fn alertmanager(
    link: &str,
    at: Timestamp,
    repeat: Duration,
    news: &[News],
    standing: &[Told],
) -> Vec<Value> {
    let changed = |told: &Told| news.iter().any(|news| news.told.id == told.id);
    let still = standing.iter().filter(|told| !changed(told));
    let all = news.iter().map(|news| &news.told).chain(still);
    let one = |told: &Told| {
        let ends = if told.open { at + repeat * MISSED } else { at };
        json!({
            "labels": {
                "alertname": "EvenkeelDrift",
                "finding": told.id,
                "path": told.path,
                "kind": told.kind,
                "severity": told.severity,
                "role": told.role,
                "environment": told.environments.join(","),
            },
            "annotations": {
                "summary": told.summary,
                "nodes": nodes(told),
                "command": format!("evenkeel explain {}", told.id),
            },
            "startsAt": told.since,
            "endsAt": ends,
            "generatorURL": link,
        })
    };
    all.map(one).collect()
}

fn nodes(told: &Told) -> String {
    let named = told.nodes.join(", ");
    match told.node_count.saturating_sub(told.nodes.len() as u64) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(summary: &str, open: bool) -> Told {
        Told {
            id: "f-1".into(),
            print: 7,
            open,
            path: "go.version".into(),
            kind: "differs".into(),
            severity: "critical".into(),
            role: "web".into(),
            environments: vec!["dev".into(), "staging".into()],
            nodes: vec!["n1".into(), "n2".into()],
            node_count: 9,
            since: "2026-11-20T03:12:00.5Z".parse().unwrap(),
            summary: summary.into(),
        }
    }

    fn news(change: Change, summary: &str) -> News {
        let open = !matches!(change, Change::Resolved | Change::Accepted);
        News { change, told: told(summary, open), is_urgent: false }
    }

    const AT: &str = "2026-11-22T10:00:00Z";

    #[test]
    fn a_webhook_is_told_everything() {
        let text =
            webhook("ops", "", AT.parse().unwrap(), &[news(Change::Opened, "staging: 1.20, prod 1.21")]);
        let expected = json!({
            "schema": "evenkeel.alerts/v1",
            "id": id("ops", &[news(Change::Opened, "")]),
            "receiver": "ops",
            "at": "2026-11-22T10:00:00Z",
            "link": "",
            "alerts": [{
                "finding": "f-1", "change": "opened", "severity": "critical", "kind": "differs", "path": "go.version",
                "role": "web", "environments": ["dev", "staging"], "node_count": 9, "nodes": ["n1", "n2"],
                "since": "2026-11-20T03:12:00.5Z", "summary": "staging: 1.20, prod 1.21",
            }],
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        assert_ne!(id("ops", &[news(Change::Opened, "")]), id("ops", &[news(Change::Changed, "")]));
    }

    /// Promise: no fact calls a whole channel, ends a line or closes the markup.
    #[test]
    fn people_are_told_in_lines() {
        let said = slack(
            "https://drift.example.org",
            &[news(Change::Opened, "<!channel> `x`\n*boo* & \u{202e}"), news(Change::Resolved, "all alike")],
        );
        let text = serde_json::from_str::<Value>(&said).unwrap()["text"].as_str().unwrap().to_owned();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "*evenkeel*: 1 open, 1 over");
        assert!(lines[1].starts_with("• *critical* `go.version` (web): &lt;!channel&gt; 'x'"), "{text}");
        assert!(lines[1].ends_with(" — since 2026-11-20T03:12:00Z, `evenkeel explain f-1`"), "{text}");
        assert!(!text.contains('\u{202e}'));
        assert_eq!(lines[2..], ["• *over* `go.version` (web): all alike", "<https://drift.example.org>"]);
        let many = vec![news(Change::Opened, "x"); 30];
        assert!(slack("", &many).contains("and 10 more: `evenkeel report`"));
    }

    /// Promise: an Alertmanager hears again of what stands, so that it does not take it to be over.
    #[test]
    fn an_alertmanager_hears_of_what_stands() {
        let standing = [told("old", true), Told { id: "f-2".into(), ..told("x", true) }];
        let alerts = alertmanager(
            "",
            AT.parse().unwrap(),
            Duration::from_secs(60),
            &[news(Change::Resolved, "old")],
            &standing,
        );
        let ends: Vec<_> = alerts
            .iter()
            .map(|alert| (alert["labels"]["finding"].as_str().unwrap(), alert["endsAt"].as_str().unwrap()))
            .collect();
        assert_eq!(ends, [("f-1", "2026-11-22T10:00:00Z"), ("f-2", "2026-11-22T10:05:00Z")]);
        assert_eq!(alerts[0]["annotations"]["nodes"], "n1, n2 and 7 more");
    }
}
