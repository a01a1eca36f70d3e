//! `evenkeel fix`: what mends a finding, as text. It runs nothing.

use std::collections::BTreeSet;

use evenkeel_drift::report::Finding;
use evenkeel_drift::{Explanation, Values};
use evenkeel_proto::report::{ExplainRequest, GetValuesRequest};
use evenkeel_runtime::exit;

use super::Context;
use super::explain::persisted;
use crate::client::Client;
use crate::error::CliError;
use crate::remedies::latent::{self, Boot, Keep};
use crate::remedies::{Manager, remedy};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is run: read it, then copy what you want. The deviating nodes get what most nodes of the reference\n\
    have, or what the policy expects."
)]
pub struct Fix {
    /// A finding's id (f-…), or the fact's path where only one finding speaks of it
    #[arg(value_name = "FINDING")]
    finding: String,
    /// For what the next boot changes: whether what runs is right, or what the files say
    #[arg(long, value_enum, value_name = "running|persisted", hide_possible_values = true)]
    keep: Option<Keep>,
    /// Print only the commands, only the file, or only the Ansible task
    #[arg(long = "as", value_enum, value_name = "shell|file|ansible", hide_possible_values = true)]
    only: Option<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The commands
    Shell,
    /// The file, such as one of sysctl.d
    #[value(alias = "sysctl.d")]
    File,
    /// The task
    Ansible,
}

pub(super) fn run(context: &Context, arguments: Fix) -> Result<u8, CliError> {
    let Fix { finding: subject, keep, only } = arguments;
    let client = context.client()?;
    let request = ExplainRequest { subject: subject.clone() };
    let answer = client.wait(client.reports().explain(request))?;
    let Explanation { findings, advice, values, .. } = serde_json::from_str(&answer.json)?;
    let finding = match &findings[..] {
        [finding] => finding,
        [] => return Err(CliError::NothingToFix { subject }),
        several => {
            let ids = several.iter().map(|finding| finding.id.clone()).collect();
            return Err(CliError::SeveralFindings { subject, ids });
        }
    };
    let advice = advice.map(|advice| advice.remedy).unwrap_or_default();
    let mut remedy = if let Some(key) = latent::key(finding) {
        if keep.is_none() && only.is_some() {
            return Err(CliError::Choose { path: finding.path.clone() });
        }
        let next = persisted(&client, key, "value")?;
        let boot = Boot::of(finding, &values, next.as_ref(), persisted(&client, key, "source")?.as_ref());
        latent::remedy(finding, key, &advice, &boot, keep)?
    } else if keep.is_some() {
        return Err(CliError::NothingToKeep { path: finding.path.clone() });
    } else {
        let manager = if finding.path.starts_with("package[") { manager(&client, finding)? } else { None };
        remedy(finding, &advice, manager)?
    };
    let part = match only {
        None => {
            context.console.show(&mut remedy)?;
            return Ok(exit::DONE);
        }
        Some(Part::Shell) => Some(remedy.shell),
        Some(Part::File) => remedy.file.map(|file| file.content),
        Some(Part::Ansible) => Some(remedy.ansible),
    };
    let part = part.filter(|part| !part.is_empty());
    let part = part.ok_or_else(|| CliError::NoSuchRemedy { path: finding.path.clone() })?;
    context.console.print(&part)?;
    Ok(exit::DONE)
}

/// The package manager of the nodes that are to be changed; `None` when they do not have one and the same.
fn manager(client: &Client, finding: &Finding) -> Result<Option<Manager>, CliError> {
    let answer = client.wait(client.reports().get_values(GetValuesRequest { path: "os.id".to_owned() }))?;
    let Values { roles, .. } = serde_json::from_str(&answer.json)?;
    let held = roles.iter().flat_map(|role| &role.environments).flat_map(|environment| &environment.values);
    let concerned = held.filter(|held| held.nodes.iter().any(|node| finding.nodes.contains(node)));
    let distributions: BTreeSet<Option<&str>> = concerned.map(|held| held.value.as_deref()).collect();
    let managers: Vec<Option<Manager>> =
        distributions.into_iter().map(|id| id.and_then(Manager::of)).collect();
    Ok(match managers[..] {
        [first, ref rest @ ..] if rest.iter().all(|other| *other == first) => first,
        _ => None,
    })
}
