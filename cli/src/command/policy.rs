//! `evenkeel policy`: looked at before it is put in force, shown, put in force.

use std::path::{Path, PathBuf};

use evenkeel_drift::Policy as Rules;
use evenkeel_drift::policy::Checked;
use evenkeel_proto::admin::ApplyPolicyRequest;
use evenkeel_proto::report::GetPolicyRequest;
use evenkeel_render::judgement::{Judgement, SCHEMA};
use evenkeel_render::text::escape;
use evenkeel_runtime::{exit, files};

use super::Context;
use crate::error::CliError;
use crate::snapshots::KNOWN;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Policy {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PolicyCommand {
    /// Say whether a file is a policy, and where it is not
    Check(Check),
    /// Show the policy in force, or what it says of one path and which rule decides
    Show(Show),
    /// Put a policy in force: all later reports are judged by it
    Apply(Check),
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The policy (TOML)
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// What it says of this path
    path: Option<String>,
    /// The policy in this file, and not that of the collector
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn run(context: &Context, arguments: Policy) -> Result<u8, CliError> {
    match arguments.command {
        PolicyCommand::Check(Check { file }) => {
            let checked = Rules::check(&read(&file)?, &KNOWN);
            let Checked { policy, doubts } =
                checked.map_err(|source| CliError::Policy { path: file.clone(), source })?;
            for doubt in doubts {
                context.console.note(&format!(
                    "{}: {}",
                    escape(&file.display().to_string()),
                    escape(&doubt.to_string())
                ));
            }
            let rules = policy.rules().len() - shipped(&policy);
            let own = if rules == 1 { "one path".to_owned() } else { format!("{rules} paths") };
            context.console.print(&format!(
                "{}: {}, rules for {own}\n",
                escape(&file.display().to_string()),
                escape(&policy.label())
            ))?;
            Ok(exit::DONE)
        }
        PolicyCommand::Show(show_what) => show(context, show_what),
        PolicyCommand::Apply(Check { file }) => {
            let text = read(&file)?;
            // Which environments there are, the collector knows.
            Rules::check(&text, &KNOWN).map_err(|source| CliError::Policy { path: file.clone(), source })?;
            let client = context.client()?;
            let answer = client.wait(client.admin().apply_policy(ApplyPolicyRequest { text }))?;
            let label = escape(&answer.label);
            let how = if answer.changed { "in force" } else { "in force already" };
            for doubt in &answer.doubts {
                context.console.note(&format!("{}: {}", escape(&file.display().to_string()), escape(doubt)));
            }
            context.console.note(&format!("Policy {label} is {how}."));
            Ok(exit::DONE)
        }
    }
}

fn show(context: &Context, Show { path, file }: Show) -> Result<u8, CliError> {
    let (label, text, rules) = if let Some(file) = file {
        let (text, policy) = parse(&file)?;
        let rules = path.as_deref().map(|path| evenkeel_drift::explain::rules(&policy, path));
        (policy.label(), text, rules)
    } else {
        let client = context.client()?;
        let request = GetPolicyRequest { path: path.clone().unwrap_or_default() };
        let answer = client.wait(client.reports().get_policy(request))?;
        let rules = if answer.json.is_empty() { None } else { Some(serde_json::from_str(&answer.json)?) };
        (answer.label, answer.text, rules)
    };
    if let (Some(path), Some(rules)) = (path, rules) {
        let schema = SCHEMA.to_owned();
        context.console.show(&mut Judgement { schema, policy: label, path, rules })?;
        return Ok(exit::DONE);
    }
    let lines: Vec<_> = text.lines().map(escape).collect();
    context.console.print(&format!("{}\n", lines.join("\n")))?;
    context.console.note(&format!("That is the policy {}.", escape(&label)));
    Ok(exit::DONE)
}

/// How many of its rules are those of the policy that ships.
fn shipped(policy: &Rules) -> usize {
    let default = Rules::default_policy();
    let is_shipped = |rule| default.rules().contains(rule);
    policy.rules().iter().filter(|rule| is_shipped(rule)).count()
}

fn parse(path: &Path) -> Result<(String, Rules), CliError> {
    let text = read(path)?;
    match Rules::parse(&text) {
        Ok(policy) => Ok((text, policy)),
        Err(source) => Err(CliError::Policy { path: path.to_owned(), source }),
    }
}

/// The text of a policy.
pub(super) fn read(path: &Path) -> Result<String, CliError> {
    let bytes = files::read(path).map_err(CliError::Input)?;
    String::from_utf8(bytes)
        .map_err(|_| CliError::Asked { message: format!("{} is not text: a policy is TOML", path.display()) })
}
