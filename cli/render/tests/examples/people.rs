//! Who is let in, and what was done.

use evenkeel_render::audit::{self, Audit, Entry};
use evenkeel_render::contexts::{self, Context, Contexts};
use evenkeel_render::tokens::{self, Token, Tokens};
use evenkeel_render::users::{self, User, Users};

use super::{at, strings};

/// Turns a line around and repaints a terminal.
const EVIL: &str = "left\u{1b}[2J\u{202e}=cmd|' /C calc'!A0";

pub(crate) fn users() -> Users {
    let user = |name: &str, standing: &str, environments: &[&str]| User {
        name: name.into(),
        role: "operator".into(),
        environments: strings(environments),
        standing: standing.into(),
        certified: Some(at("2026-11-22T08:00:00Z")),
        ends: Some(at("2026-11-22T16:00:00Z")),
        by: "admin root".into(),
        revoked: None,
        revoked_by: String::new(),
        reason: String::new(),
    };
    Users {
        schema: users::SCHEMA.into(),
        users: vec![
            user("ada", "active", &[]),
            User { role: "viewer".into(), certified: None, ..user("bob", "invited", &["dev", "staging"]) },
            User {
                ends: None,
                revoked: Some(at("2026-11-22T09:30:00Z")),
                revoked_by: "admin root".into(),
                reason: EVIL.into(),
                ..user("eve", "revoked", &["prod"])
            },
        ],
    }
}

pub(crate) fn tokens() -> Tokens {
    let token = |id: &str, uses, used| Token {
        id: id.into(),
        environment: "staging".into(),
        uses,
        used,
        created: Some(at("2026-11-22T09:50:00Z")),
        expires: Some(at("2026-11-22T10:05:00Z")),
        by: "operator ada".into(),
        names: String::new(),
        network: String::new(),
        revoked_by: String::new(),
    };
    Tokens {
        schema: tokens::SCHEMA.into(),
        as_of: at("2026-11-22T10:00:00Z"),
        tokens: vec![
            Token { names: "web-*".into(), network: "10.0.0.0/8".into(), ..token("1a2b3c4d5e", 100, 7) },
            token("2b3c4d5e6f", 1, 1),
            Token { expires: Some(at("2026-11-22T09:55:00Z")), ..token("3c4d5e6f70", 1, 0) },
            Token { revoked_by: "admin root".into(), ..token("4d5e6f7081", 1, 0) },
        ],
    }
}

pub(crate) fn contexts() -> Contexts {
    let context = |name: &str, until: &str| Context {
        name: name.into(),
        current: false,
        collector: format!("https://{name}.example.com:7443"),
        user: Some("ada".into()),
        role: Some("operator".into()),
        environments: Vec::new(),
        until: Some(at(until)),
    };
    Contexts {
        schema: contexts::SCHEMA.into(),
        as_of: at("2026-11-22T10:00:00Z"),
        contexts: vec![
            context("berlin", "2026-11-21T18:00:00Z"),
            Context {
                current: true,
                environments: strings(&["dev", "staging"]),
                ..context("main", "2026-11-22T18:00:00Z")
            },
            Context { user: None, role: None, until: None, ..context("new", "2026-11-22T18:00:00Z") },
        ],
    }
}

pub(crate) fn audit() -> Audit {
    let entry = |journal, who: &str, action: &str, what: &str| Entry {
        journal,
        at: at("2026-11-22T09:30:07Z"),
        who: who.into(),
        action: action.into(),
        subject: "x".into(),
        environments: strings(&["staging"]),
        what: what.into(),
    };
    Audit {
        schema: audit::SCHEMA.into(),
        entries: vec![
            entry(1042, "admin root", "user.revoked", &format!("revoked eve: {EVIL}")),
            entry(
                1041,
                "token 1a2b3c4d5e",
                "node.enrolled",
                "enrolled stg-web-1 as node 67e55044-10b1-426f-9247-bb680e5fe0c8 of staging, role web",
            ),
            entry(
                7,
                "operator ada",
                "token.created",
                "made token 1a2b3c4d5e: 100 nodes into staging until 2026-11-22T10:05:00Z",
            ),
        ],
        more: true,
    }
}
