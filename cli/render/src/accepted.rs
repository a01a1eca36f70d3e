//! What is signed off.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::columns::{Cell, Columns};
use crate::page::Page;
use crate::screen::{Ink, Screen};
use crate::sheet::Sheet;
use crate::text::escape;
use crate::view::View;
use crate::when::{moment, stamp};

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.accepted/v1";

/// Acceptances, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// What is signed off.
    pub acceptances: Vec<Acceptance>,
}

/// One acceptance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Its id, for `evenkeel unaccept`.
    pub id: String,
    /// The paths of the findings that are accepted, each once, in order; none if `paths` says which.
    pub findings: Vec<String>,
    /// A glob over paths; empty if findings are accepted.
    pub paths: String,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub until: Timestamp,
    /// Whether it has.
    pub expired: bool,
    /// Who gave it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl Acceptance {
    fn what(&self) -> String {
        match self.findings.as_slice() {
            [] => self.paths.clone(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        }
    }
}

impl View for Accepted {
    const WHAT: &'static str = "a list of what is accepted";

    fn table(&self, screen: &Screen) -> String {
        self.rows(screen, false)
    }

    fn wide(&self, screen: &Screen) -> String {
        self.rows(screen, true)
    }

    fn sheet(&self) -> Option<Sheet> {
        let heads = ["id", "what", "owner", "until", "expired", "reason", "by", "at"];
        let mut sheet = Sheet::new(&heads);
        for one in &self.acceptances {
            let Acceptance { id, findings, paths, owner, reason, until, expired, by, at } = one;
            let what = if findings.is_empty() { paths.clone() } else { findings.join(" ") };
            let (until, at) = (until.to_string(), at.to_string());
            let expired = if *expired { "yes" } else { "no" };
            sheet.row([&**id, &what, owner, &until, expired, reason, by, &at]);
        }
        Some(sheet)
    }
}

impl Accepted {
    fn rows(&self, screen: &Screen, wide: bool) -> String {
        if self.acceptances.is_empty() {
            return "Nothing is accepted.\n".into();
        }
        if !wide {
            return self.lines(screen);
        }
        let headers = ["ID", "WHAT", "OWNER", "UNTIL (UTC)", "REASON", "GIVEN (UTC)", "BY"];
        let mut table = Columns::new(&headers).lead();
        for one in &self.acceptances {
            let until = if one.expired { format!("over: {}", stamp(one.until)) } else { stamp(one.until) };
            table.row(vec![
                Cell::new(&one.id),
                Cell::new(&one.what()).ink(Ink::Strong),
                Cell::new(&one.owner),
                Cell::new(&until).ink(if one.expired { Ink::Faint } else { Ink::Plain }),
                Cell::new(&one.reason),
                Cell::new(&stamp(one.at)),
                Cell::new(&one.by),
            ]);
        }
        table.render(screen, 0)
    }

    /// What and until when, then who answers for it and why: reasons are sentences.
    fn lines(&self, screen: &Screen) -> String {
        let mut page = Page::new(screen);
        for one in &self.acceptances {
            let (word, ink) = if one.expired { ("over since", Ink::Faint) } else { ("until", Ink::Strong) };
            let what = format!("{}  {}", escape(&one.id), escape(&one.what()));
            page.ends(0, (ink, &what), (Ink::Faint, &format!("{word} {}", moment(one.until))));
            page.line(2, Ink::Plain, &format!("{}: {}", escape(&one.owner), escape(&one.reason)));
        }
        page.finish()
    }
}
