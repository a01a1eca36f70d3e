//! `evenkeel affected`: where the fleet has the versions that an advisory names.

use std::path::PathBuf;

use evenkeel_drift::Affected as Found;
use evenkeel_drift::affected::{Advisory, affected, wanted};
use evenkeel_proto::affected::to_wire;
use evenkeel_proto::report::GetAffectedRequest;
use evenkeel_runtime::exit;

use super::Context;
use crate::advisories;
use crate::error::CliError;
use crate::snapshots::{Files, Source};

/// The environment of snapshots that name none.
const UNNAMED: &str = "files";

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "evenkeel affected MODULE[@RANGE]... [OPTIONS]\n       evenkeel affected --osv FILE|DIR [OPTIONS]",
    after_help = "MODULE is a Go module, stdlib or toolchain; RANGE is <1.2.3, <=1.2.3, >1.2.3, >=1.2.3, 1.2.3, or several with \
    commas:\n'golang.org/x/net@<0.17.0' (quoted). With file:SNAPSHOT.json, or a directory, behind it those are looked at, and no \
    collector\nis needed."
)]
pub struct Affected {
    /// What to look for; and file:SNAPSHOT.json to look into
    #[arg(value_name = "MODULE[@RANGE]", required_unless_present = "osv")]
    subjects: Vec<String>,
    /// Look for what these reports name, in the OSV format: a file, or a directory such as a copy of the Go vulnerability database
    #[arg(long, value_name = "FILE|DIR")]
    osv: Option<PathBuf>,
    /// Only nodes of this environment (may be given several times)
    #[arg(long = "env", value_name = "ENV")]
    environments: Vec<String>,
    /// Exit with 1 if something is affected, 3 if that cannot be told
    #[arg(long)]
    exit_code: bool,
}

pub(super) fn run(context: &Context, arguments: Affected) -> Result<u8, CliError> {
    let Affected { subjects, osv, environments, exit_code } = arguments;
    let (files, modules): (Vec<String>, Vec<String>) =
        subjects.into_iter().partition(|subject| subject.starts_with("file:"));
    let asked = modules
        .iter()
        .map(|text| wanted::parse(text).map_err(|source| CliError::Wanted { text: text.clone(), source }));
    let mut asked: Vec<Advisory> = asked.collect::<Result<_, _>>()?;
    let mut unread = Vec::new();
    if let Some(place) = osv {
        let read = advisories::read(&place)?;
        asked.extend(read.reports);
        unread = read.unread;
    } else if asked.is_empty() {
        return Err(CliError::NothingWanted);
    }
    let mut found = if files.is_empty() {
        let client = context.client()?;
        let request =
            GetAffectedRequest { advisories: asked.into_iter().map(to_wire).collect(), environments };
        serde_json::from_str(&client.wait(client.reports().get_affected(request))?.json)?
    } else {
        let sources: Vec<Source> = files.iter().map(|file| Source::of(file)).collect();
        let files = Files::of(&sources, Some(UNNAMED), None)?;
        let query = evenkeel_drift::Query {
            environments: (!environments.is_empty()).then_some(environments),
            ..Default::default()
        };
        query.check(&files.fleet)?;
        affected(&files.fleet, query.environments.as_deref(), &asked)
    };
    context.console.show(&mut found)?;
    // What they name was not looked for, whatever was found of the others.
    if !unread.is_empty() {
        return Err(CliError::Unread { failed: unread });
    }
    let Found { affected, unknowns, nodes, advisories: _ } = &found;
    let unclear = !unknowns.is_empty() || *nodes == 0;
    Ok(match (affected.is_empty(), unclear) {
        _ if !exit_code => exit::DONE,
        (false, _) => exit::DRIFT,
        (true, true) => exit::CANNOT_TELL,
        (true, false) => exit::DONE,
    })
}
