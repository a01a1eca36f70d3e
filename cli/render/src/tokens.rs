//! Tokens with which nodes enrol.

use evenkeel_drift::report::Severity;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::columns::{Cell, Columns};
use crate::screen::{Ink, Screen};
use crate::sheet::Sheet;
use crate::text::count;
use crate::view::View;
use crate::when::minute;

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.tokens/v1";

/// Tokens, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The moment that the list speaks of.
    pub as_of: Timestamp,
    /// The tokens.
    pub tokens: Vec<Token>,
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The public part by which lists and logs name it.
    pub id: String,
    /// The environment that it lets into.
    pub environment: String,
    /// How many nodes may enrol with it.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When it ends or has ended.
    pub expires: Option<Timestamp>,
    /// Who made it.
    pub by: String,
    /// A glob that a node's name must match; empty: any name.
    pub names: String,
    /// The network that a node must come from; empty: any.
    pub network: String,
    /// Who ended it before its time; empty: nobody.
    pub revoked_by: String,
}

impl View for Tokens {
    const WHAT: &'static str = "a list of tokens";

    fn table(&self, screen: &Screen) -> String {
        self.rows(screen, false)
    }

    fn wide(&self, screen: &Screen) -> String {
        self.rows(screen, true)
    }

    fn sheet(&self) -> Option<Sheet> {
        let mut sheet = Sheet::new(&[
            "token",
            "environment",
            "state",
            "uses",
            "used",
            "created",
            "expires",
            "made by",
            "names",
            "network",
            "revoked by",
        ]);
        for token in &self.tokens {
            let Token { id, environment, uses, used, created, expires, by, names, network, revoked_by } =
                token;
            let [created, expires] =
                [created, expires].map(|time| time.map(|time| time.to_string()).unwrap_or_default());
            let counts = [uses, used].map(ToString::to_string);
            sheet.row([
                id.as_str(),
                environment,
                token.state(self.as_of),
                &counts[0],
                &counts[1],
                &created,
                &expires,
                by,
                names,
                network,
                revoked_by,
            ]);
        }
        Some(sheet)
    }
}

impl Tokens {
    fn rows(&self, screen: &Screen, wide: bool) -> String {
        if self.tokens.is_empty() {
            return "No tokens: `evenkeel token create --env ENV` makes one.\n".into();
        }
        let headers = ["TOKEN", "ENVIRONMENT", "STATE", "USED", "UNTIL (UTC)", "ONLY FOR"];
        let more = ["MADE BY", "CREATED (UTC)", "REVOKED BY"];
        let mut table =
            Columns::new(&if wide { [&headers[..], &more].concat() } else { headers.to_vec() }).lead();
        let time = |time: Option<Timestamp>| Cell::new(&time.map_or_else(|| "-".into(), minute));
        for token in &self.tokens {
            let state = token.state(self.as_of);
            let mut row = vec![
                Cell::new(&token.id).ink(Ink::Strong),
                Cell::new(&token.environment),
                Cell::new(state).ink(match state {
                    "open" => Ink::Good,
                    "revoked" => Ink::Of(Severity::Warning),
                    _ => Ink::Plain,
                }),
                Cell::new(&format!("{} of {}", token.used, token.uses)),
                time(token.expires),
                Cell::new(&token.only_for()),
            ];
            if wide {
                let revoked_by = if token.revoked_by.is_empty() { "-" } else { &token.revoked_by };
                row.extend([Cell::new(&token.by), time(token.created), Cell::new(revoked_by)]);
            }
            table.row(row);
        }
        format!("{}\n{}\n", table.render(screen, 0), count(self.tokens.len() as u64, "token"))
    }
}

impl Token {
    /// `open`: it lets nodes in. Else why it does not.
    fn state(&self, now: Timestamp) -> &'static str {
        if !self.revoked_by.is_empty() {
            "revoked"
        } else if self.used >= self.uses {
            "used up"
        } else if self.expires.is_some_and(|end| end <= now) {
            "expired"
        } else {
            "open"
        }
    }

    fn only_for(&self) -> String {
        let network = (!self.network.is_empty()).then(|| format!("from {}", self.network));
        let names = (!self.names.is_empty()).then(|| self.names.clone());
        let limits: Vec<String> = names.into_iter().chain(network).collect();
        if limits.is_empty() { "-".into() } else { limits.join(" ") }
    }
}
