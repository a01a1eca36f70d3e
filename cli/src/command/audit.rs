//! `evenkeel audit`: what was done to the collector, by whom, when.

use evenkeel_proto::admin::{self as wire, ListAuditRequest};
use evenkeel_proto::{Malformed, times};
use evenkeel_render::audit::{Audit as Shown, Entry, SCHEMA};
use evenkeel_runtime::exit;
use jiff::Timestamp;

use super::Context;
use crate::error::CliError;
use crate::moment;

/// What is shown at most when no time is given: the newest.
const USUAL: usize = 1000;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Audit {
    /// Everything since: 2h, 7d, 2026-11-20, 2026-11-20T03:12:00Z; without it, the newest 1000
    #[arg(long, value_name = "TIME", value_parser = |text: &str| moment::parse(text, Timestamp::now()))]
    since: Option<Timestamp>,
    /// Only what this user, token or node did (its name or id)
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
}

pub(super) fn run(context: &Context, arguments: Audit) -> Result<u8, CliError> {
    let Audit { since, who } = arguments;
    let client = context.client()?;
    let mut shown = Shown { schema: SCHEMA.to_owned(), entries: Vec::new(), more: false };
    let mut page_token = String::new();
    loop {
        let request = ListAuditRequest {
            since: since.map(times::to_wire),
            who: who.clone().unwrap_or_default(),
            page_size: 0,
            page_token,
        };
        let page = client.wait(client.admin().list_audit(request))?;
        for entry in page.entries {
            shown.entries.push(from_wire(entry)?);
        }
        page_token = page.next_page_token;
        shown.more = !page_token.is_empty();
        if !shown.more || (since.is_none() && shown.entries.len() >= USUAL) {
            break;
        }
    }
    context.console.show(&mut shown)?;
    Ok(exit::DONE)
}

fn from_wire(entry: wire::AuditEntry) -> Result<Entry, Malformed> {
    let wire::AuditEntry { journal, at, who, action, subject, environments, what } = entry;
    Ok(Entry { journal, at: times::from_wire("at", at)?, who, action, subject, environments, what })
}
