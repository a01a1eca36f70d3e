//! `evenkeel token`: tokens, with which nodes enrol.

use std::path::PathBuf;
use std::time::Duration;

use evenkeel_proto::admin::{self as wire, CreateTokenRequest, ListTokensRequest, RevokeTokenRequest};
use evenkeel_proto::{Malformed, times};
use evenkeel_render::text::escape;
use evenkeel_render::tokens::{SCHEMA, Token as Row, Tokens as Shown};
use evenkeel_runtime::{duration, exit, files};
use jiff::Timestamp;

use super::Context;
use crate::error::CliError;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Token {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TokenCommand {
    /// Make a token: printed alone, so that it can go to a file
    Create(Create),
    /// List the tokens
    List,
    /// End a token before its time; nodes that enrolled with it stay
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
struct Revoke {
    /// The token's id, as lists show it
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The environment that nodes enrol into with it
    #[arg(long, value_name = "ENV")]
    env: String,
    /// How many nodes may enrol with it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// How long it is good for: 15m, 24h, 30d
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration::parse)]
    ttl: Duration,
    /// Only for nodes whose name matches: web-*
    #[arg(long, value_name = "GLOB", default_value = "", hide_default_value = true)]
    names: String,
    /// Only for nodes that come from this network: 10.0.0.0/8
    #[arg(long, value_name = "NET", default_value = "", hide_default_value = true)]
    network: String,
    /// Write it to this file (mode 0600) and not to standard output
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(super) fn run(context: &Context, arguments: Token) -> Result<u8, CliError> {
    match arguments.command {
        TokenCommand::Create(create) => created(context, create),
        TokenCommand::List => listed(context),
        TokenCommand::Revoke(revoke) => revoked(context, revoke),
    }
}

fn listed(context: &Context) -> Result<u8, CliError> {
    let client = context.client()?;
    let answer = client.wait(client.admin().list_tokens(ListTokensRequest {}))?;
    let tokens = answer.tokens.into_iter().map(from_wire).collect::<Result<_, _>>()?;
    context.console.show(&mut Shown { schema: SCHEMA.to_owned(), as_of: Timestamp::now(), tokens })?;
    Ok(exit::DONE)
}

fn from_wire(token: wire::Token) -> Result<Row, Malformed> {
    let wire::Token { id, environment, uses, used, created, expires, by, names, network, revoked_by } = token;
    let time = |field, time: Option<_>| time.map(|time| times::from_wire(field, Some(time))).transpose();
    let (created, expires) = (time("created", created)?, time("expires", expires)?);
    Ok(Row { id, environment, uses, used, created, expires, by, names, network, revoked_by })
}

fn revoked(context: &Context, Revoke { id }: Revoke) -> Result<u8, CliError> {
    let client = context.client()?;
    client.wait(client.admin().revoke_token(RevokeTokenRequest { id: id.clone() }))?;
    context.console.note(&format!("Token {} is revoked: no node enrols with it any more.", escape(&id)));
    Ok(exit::DONE)
}

fn created(context: &Context, create: Create) -> Result<u8, CliError> {
    let Create { env, uses, ttl, names, network, token_file } = create;
    // The token in it may still be on its way to a node, and is nowhere else.
    let is_taken =
        |file: &&PathBuf| file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
    if let Some(file) = token_file.as_ref().filter(is_taken) {
        return Err(CliError::Taken { file: file.clone() });
    }
    let request = CreateTokenRequest {
        environment: env.clone(),
        uses,
        ttl_seconds: ttl.as_secs().max(1),
        names,
        network,
    };
    let client = context.client()?;
    let answer = client.wait(client.admin().create_token(request))?;
    let line = format!("{}\n", escape(&answer.token));
    match &token_file {
        Some(file) => files::replace(file, line.as_bytes())?,
        None => context.console.print(&line)?,
    }
    let nodes = if uses == 1 { "one node".to_owned() } else { format!("{uses} nodes") };
    let file = token_file.map_or_else(|| "FILE".to_owned(), |file| file.display().to_string());
    context.console.note(&format!(
        "Token {} lets {nodes} enrol into {env} within {}. Bring it to the node in a file, and run there:\n  \
         evenkeel-agent enroll --collector {} --token-file {}",
        escape(&answer.id),
        duration::in_words(ttl.max(Duration::from_secs(1))),
        escape(&answer.enroll_address),
        escape(&file),
    ));
    Ok(exit::DONE)
}
