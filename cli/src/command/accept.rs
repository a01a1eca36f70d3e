//! `evenkeel accept`, `accepted` and `unaccept`: what is known is signed off, with an owner, a reason and an end.

use std::collections::BTreeSet;

use evenkeel_proto::admin::{AcceptRequest, UnacceptRequest};
use evenkeel_proto::report::{self as wire, ListAcceptancesRequest};
use evenkeel_proto::{Malformed, times};
use evenkeel_render::accepted::{Acceptance, Accepted as Shown, SCHEMA};
use evenkeel_render::text::escape;
use evenkeel_runtime::exit;
use jiff::Timestamp;

use super::Context;
use crate::error::CliError;
use crate::moment;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "evenkeel accept FINDING... --owner WHO --reason WHY --until TIME\n       \
    evenkeel accept 'GLOB' --owner WHO --reason WHY --until TIME\n       \
    evenkeel accept --all-open --owner WHO --reason WHY --until TIME",
    after_help = "A finding is accepted with the values that it has now: with others it is open again, and so it is at the end."
)]
pub struct Accept {
    /// Ids of findings (f-…), or one glob over paths ('sysctl.net.*')
    #[arg(value_name = "FINDING|GLOB", required_unless_present = "all_open", conflicts_with = "all_open")]
    subjects: Vec<String>,
    /// Everything that is open now
    #[arg(long)]
    all_open: bool,
    /// Who answers for it
    #[arg(long, value_name = "WHO")]
    owner: String,
    /// Why it is as it is
    #[arg(long, value_name = "WHY")]
    reason: String,
    /// When it ends: 30d, 2026-12-31, 2026-12-31T18:00:00Z
    #[arg(long, value_name = "TIME", value_parser = |text: &str| moment::until(text, Timestamp::now()))]
    until: Timestamp,
}

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Accepted {}

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Unaccept {
    /// The sign-off (a-…), as `evenkeel accepted` lists it
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn run(context: &Context, arguments: Accept) -> Result<u8, CliError> {
    let Accept { subjects, all_open, owner, reason, until } = arguments;
    let (findings, mut globs): (Vec<String>, Vec<String>) =
        subjects.into_iter().partition(|subject| subject.starts_with("f-"));
    if globs.len() + usize::from(!findings.is_empty()) > 1 {
        return Err(CliError::Asked {
            message: "accept findings, or one glob over paths: several things at once have several reasons"
                .to_owned(),
        });
    }
    let request = AcceptRequest {
        findings,
        paths: globs.pop().unwrap_or_default(),
        all_open,
        owner,
        reason,
        until: Some(times::to_wire(until)),
    };
    let client = context.client()?;
    let answer = client.wait(client.admin().accept(request))?;
    let covered = match answer.covered {
        0 => "nothing that is open now, and what comes at these paths".to_owned(),
        1 => "one finding".to_owned(),
        more => format!("{more} findings"),
    };
    context.console.note(&format!("{} covers {covered}, until {until:.0}.", escape(&answer.id)));
    context.console.print(&format!("{}\n", escape(&answer.id)))?;
    Ok(exit::DONE)
}

pub(super) fn list(context: &Context, arguments: &Accepted) -> Result<u8, CliError> {
    let Accepted {} = arguments;
    let client = context.client()?;
    let answer = client.wait(client.reports().list_acceptances(ListAcceptancesRequest {}))?;
    let acceptances = answer.acceptances.into_iter().map(from_wire).collect::<Result<_, _>>()?;
    context.console.show(&mut Shown { schema: SCHEMA.to_owned(), acceptances })?;
    Ok(exit::DONE)
}

pub(super) fn end(context: &Context, arguments: Unaccept) -> Result<u8, CliError> {
    let Unaccept { id } = arguments;
    let client = context.client()?;
    client.wait(client.admin().unaccept(UnacceptRequest { id: id.clone() }))?;
    context.console.note(&format!("{} is over: what it covered is open again.", escape(&id)));
    Ok(exit::DONE)
}

fn from_wire(one: wire::Acceptance) -> Result<Acceptance, Malformed> {
    let wire::Acceptance { id, findings, paths, owner, reason, until, by, at, expired } = one;
    let findings: BTreeSet<String> = findings.into_iter().map(|finding| finding.path).collect();
    Ok(Acceptance {
        id,
        findings: findings.into_iter().collect(),
        paths,
        owner,
        reason,
        until: times::from_wire("until", until)?,
        expired,
        by,
        at: times::from_wire("at", at)?,
    })
}
