//! Who may ask from elsewhere, or might until not long ago.

use evenkeel_drift::report::Severity;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::columns::{Cell, Columns};
use crate::screen::{Ink, Screen};
use crate::sheet::Sheet;
use crate::text::count;
use crate::view::View;
use crate::when::{minute, moment};

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.users/v1";

/// Users, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The users.
    pub users: Vec<User>,
}

/// One user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub name: String,
    /// What it may do, by its newest certificate or invitation.
    pub role: String,
    /// Where it may do it; empty: everywhere.
    pub environments: Vec<String>,
    /// `active`, `ended`, `invited` or `revoked`.
    pub standing: String,
    /// When its newest certificate was given.
    pub certified: Option<Timestamp>,
    /// When its last certificate, or its invitation, ends or has ended.
    pub ends: Option<Timestamp>,
    /// Who let it in.
    pub by: String,
    /// When it was revoked last.
    pub revoked: Option<Timestamp>,
    /// By whom.
    pub revoked_by: String,
    /// Why.
    pub reason: String,
}

impl View for Users {
    const WHAT: &'static str = "a list of users";

    fn table(&self, screen: &Screen) -> String {
        self.rows(screen, false)
    }

    fn wide(&self, screen: &Screen) -> String {
        self.rows(screen, true)
    }

    fn sheet(&self) -> Option<Sheet> {
        let mut sheet = Sheet::new(&[
            "user",
            "role",
            "environments",
            "state",
            "last login",
            "ends",
            "let in by",
            "revoked",
            "revoked by",
            "reason",
        ]);
        for user in &self.users {
            let User { name, role, environments, standing, certified, ends, by, revoked, revoked_by, reason } =
                user;
            let [certified, ends, revoked] =
                [certified, ends, revoked].map(|time| time.map(|time| time.to_string()).unwrap_or_default());
            let environments = environments.join(" ");
            sheet.row([
                name.as_str(),
                role,
                &environments,
                standing,
                &certified,
                &ends,
                by,
                &revoked,
                revoked_by,
                reason,
            ]);
        }
        Some(sheet)
    }
}

impl Users {
    fn rows(&self, screen: &Screen, wide: bool) -> String {
        if self.users.is_empty() {
            return "No users: `evenkeel user invite NAME` lets one in.\n".into();
        }
        let headers = ["USER", "ROLE", "ENVIRONMENTS", "STATE", "UNTIL (UTC)"];
        let more = ["LAST LOGIN (UTC)", "LET IN BY", "REVOKED"];
        let mut table =
            Columns::new(&if wide { [&headers[..], &more].concat() } else { headers.to_vec() }).lead();
        let time = |time: Option<Timestamp>| Cell::new(&time.map_or_else(|| "-".into(), minute));
        for user in &self.users {
            let all = user.environments.is_empty();
            let mut row = vec![
                Cell::new(&user.name).ink(Ink::Strong),
                Cell::new(&user.role),
                Cell::new(&if all { "all".to_owned() } else { user.environments.join(", ") }),
                Cell::new(&user.standing).ink(match user.standing.as_str() {
                    "active" => Ink::Good,
                    "revoked" => Ink::Of(Severity::Warning),
                    _ => Ink::Plain,
                }),
                time(user.ends),
            ];
            if wide {
                row.extend([time(user.certified), Cell::new(&user.by), Cell::new(&user.revocation())]);
            }
            table.row(row);
        }
        format!("{}\n{}\n", table.render(screen, 0), count(self.users.len() as u64, "user"))
    }
}

impl User {
    fn revocation(&self) -> String {
        let Some(at) = self.revoked else { return "-".into() };
        let why = if self.reason.is_empty() { String::new() } else { format!(": {}", self.reason) };
        format!("{} by {}{why}", moment(at), self.revoked_by)
    }
}
