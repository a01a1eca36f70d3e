//! `evenkeel baseline`: what others are held against, kept under a name.

use std::path::PathBuf;

use evenkeel_drift::Policy;
use evenkeel_proto::admin::{CreateBaselineRequest, DeleteBaselineRequest};
use evenkeel_proto::report::{self as wire, ListBaselinesRequest};
use evenkeel_proto::{Malformed, times};
use evenkeel_render::baselines::{Baseline as Kept, Baselines, SCHEMA};
use evenkeel_runtime::exit;

use super::Context;
use super::policy::read;
use crate::error::CliError;
use crate::operand::Operand;
use crate::snapshots::KNOWN;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Baseline {
    #[command(subcommand)]
    command: BaselineCommand,
}

#[derive(Debug, clap::Subcommand)]
enum BaselineCommand {
    /// Keep what an environment or node is, or was, or what a policy expects
    Create(Create),
    /// List the baselines
    List,
    /// Forget one
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// What it is called: evenkeel diff baseline/NAME ENV
    name: String,
    /// ENV, ENV@TIME, node/NAME or node/NAME@TIME
    #[arg(
        long,
        value_name = "WHAT",
        required_unless_present = "expectations",
        conflicts_with = "expectations"
    )]
    from: Option<Operand>,
    /// A policy file, whose expectations are the baseline
    #[arg(long, value_name = "FILE")]
    expectations: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Delete {
    /// Its name
    name: String,
}

pub(super) fn run(context: &Context, arguments: Baseline) -> Result<u8, CliError> {
    match arguments.command {
        BaselineCommand::Create(create) => keep(context, create),
        BaselineCommand::List => list(context),
        BaselineCommand::Delete(Delete { name }) => {
            let client = context.client()?;
            client.wait(client.admin().delete_baseline(DeleteBaselineRequest { name: name.clone() }))?;
            context.console.note(&format!("Baseline {name} is forgotten."));
            Ok(exit::DONE)
        }
    }
}

fn keep(context: &Context, Create { name, from, expectations }: Create) -> Result<u8, CliError> {
    let (from, policy) = match (&from, &expectations) {
        (Some(Operand::File(_) | Operand::Baseline(_)), _) => {
            return Err(CliError::Asked {
                message: "a baseline is made from ENV or node/NAME, each with @TIME if need be".to_owned(),
            });
        }
        (Some(operand), _) => (operand.to_string(), String::new()),
        (None, Some(path)) => {
            let text = read(path)?;
            Policy::check(&text, &KNOWN).map_err(|source| CliError::Policy { path: path.clone(), source })?;
            let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
            (file.unwrap_or_default(), text)
        }
        (None, None) => unreachable!("the arguments require one of them"),
    };
    let client = context.client()?;
    let request = CreateBaselineRequest { name: name.clone(), from, policy };
    let answer = client.wait(client.admin().create_baseline(request))?;
    let what = match answer.nodes {
        0 => "expectations".to_owned(),
        1 => "one node".to_owned(),
        more => format!("{more} nodes"),
    };
    context
        .console
        .note(&format!("Kept: {what}. Hold others against it with `evenkeel diff ENV baseline/{name}`."));
    Ok(exit::DONE)
}

fn list(context: &Context) -> Result<u8, CliError> {
    let client = context.client()?;
    let answer = client.wait(client.reports().list_baselines(ListBaselinesRequest {}))?;
    let baselines = answer.baselines.into_iter().map(from_wire).collect::<Result<_, _>>()?;
    context.console.show(&mut Baselines { schema: SCHEMA.to_owned(), baselines })?;
    Ok(exit::DONE)
}

fn from_wire(one: wire::Baseline) -> Result<Kept, Malformed> {
    let wire::Baseline { name, from, as_of, created, by, nodes } = one;
    let (as_of, created) = (times::from_wire("as_of", as_of)?, times::from_wire("created", created)?);
    Ok(Kept { name, from, as_of, nodes, created, by })
}
