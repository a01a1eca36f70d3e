//! `evenkeel context`: the collectors that one has logged in to.

use evenkeel_render::contexts::{Context as Row, Contexts as Shown, SCHEMA};
use evenkeel_render::text::escape;
use evenkeel_runtime::identity::Identity;
use evenkeel_runtime::{exit, keys};
use jiff::Timestamp;

use super::Context;
use crate::args::label;
use crate::contexts::Contexts;
use crate::error::CliError;
use crate::place::variable;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct ContextCommand {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List them, and until when you are logged in
    List,
    /// Make one the current one
    Use(Named),
    /// Print the name of the current one
    Current,
    /// Forget one: its key and certificate are removed
    Delete(Named),
}

#[derive(Debug, clap::Args)]
struct Named {
    /// The context
    #[arg(value_name = "NAME", value_parser = label)]
    name: String,
}

pub(super) fn run(context: &Context, arguments: ContextCommand) -> Result<u8, CliError> {
    let mut contexts = Contexts::load(variable)?;
    match arguments.command {
        Verb::List => context.console.show(&mut shown(&contexts)?)?,
        Verb::Use(Named { name }) => {
            contexts.select(&name)?;
            context.console.note(&format!("Context {} is current.", escape(&name)));
        }
        Verb::Current => {
            let current = contexts.current().ok_or(CliError::NoCurrent)?;
            context.console.print(&format!("{}\n", escape(current)))?;
        }
        Verb::Delete(Named { name }) => {
            contexts.delete(&name)?;
            context.console.note(&format!("Context {} is deleted.", escape(&name)));
        }
    }
    Ok(exit::DONE)
}

fn shown(contexts: &Contexts) -> Result<Shown, CliError> {
    let rows = contexts.names().map(|name| row(contexts, name)).collect::<Result<_, _>>()?;
    Ok(Shown { schema: SCHEMA.to_owned(), as_of: Timestamp::now(), contexts: rows })
}

/// A certificate that cannot be read says nothing of who one is; asking in the context will say why.
fn row(contexts: &Contexts, name: &str) -> Result<Row, CliError> {
    let context = contexts.find(name)?;
    let leaf = keys::read_certificates(&context.cert).ok().map(|mut chain| chain.remove(0));
    let identity = leaf.as_ref().and_then(|leaf| Identity::of_certificate(leaf).ok());
    let (user, role, environments) = match identity {
        Some(Identity::User { name, role, environments }) => {
            (Some(name), Some(role.to_string()), environments)
        }
        Some(Identity::Node { .. }) | None => (None, None, Vec::new()),
    };
    let end = leaf.as_ref().and_then(|leaf| keys::validity(leaf));
    Ok(Row {
        name: name.to_owned(),
        current: contexts.current() == Some(name),
        collector: context.collector,
        user,
        role,
        environments,
        until: end.and_then(|(_, end)| Timestamp::try_from(end).ok()),
    })
}
