//! Words for what the engine says.

use std::borrow::Cow;

use evenkeel_drift::report::{Kind, Severity, State, Status};

use crate::text::escape;

/// `sysctl.net.core.somaxconn (web)`; escaped.
pub(crate) fn with_role(path: &str, role: &str) -> String {
    match role {
        "" => escape(path).into_owned(),
        role => format!("{} ({})", escape(path), escape(role)),
    }
}

/// A value, or what stands in its place: words in angle brackets are evenkeel's own. Not escaped.
pub(crate) fn value_text(state: State, value: Option<&str>) -> Cow<'_, str> {
    match (state, value) {
        (State::Present, Some("")) => "<empty>".into(),
        (State::Present, Some(value)) => value.into(),
        (State::Present, None) => "<present>".into(),
        (State::Absent, _) => "<absent>".into(),
        (State::Unreadable, None | Some("")) => "<cannot tell>".into(),
        (State::Unreadable, Some(reason)) => format!("<cannot tell: {reason}>").into(),
    }
}

/// The word for a reason, readable. Escaped.
pub(crate) fn reason_words(reason: &str) -> String {
    match reason {
        "not_collected" => "not collected".into(),
        "stale" => "no fresh node".into(),
        "unversioned" => "without a version to compare".into(),
        "permission" => "no permission".into(),
        "partial" => "seen in part".into(),
        other => escape(other).into_owned(),
    }
}

/// The word for a severity.
pub(crate) fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// The word for a status.
pub(crate) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Open => "open",
        Status::Explained => "explained",
        Status::Accepted => "accepted",
        Status::Resolved => "resolved",
    }
}

/// The word for a kind.
pub(crate) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Differs => "differs",
        Kind::Split => "split",
        Kind::Missing => "missing",
        Kind::Violates => "violates",
        Kind::Latent => "latent",
        Kind::Duplicate => "duplicate",
        Kind::Lagging => "lagging",
    }
}

/// Rounded down to a tenth, as the report rounds: 99.9 % is never shown as 100 %.
pub(crate) fn percent(share: f64) -> String {
    let tenths = (share * 1000.0 + 1e-6).floor() / 10.0;
    if tenths.fract() == 0.0 { format!("{tenths:.0} %") } else { format!("{tenths:.1} %") }
}
