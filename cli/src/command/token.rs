//! `evenkeel token`: tokens, with which nodes enrol.

use std::path::PathBuf;
use std::time::Duration;

use evenkeel_proto::admin::CreateTokenRequest;
use evenkeel_render::text::escape;
use evenkeel_runtime::{duration, exit, files};

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
    /// Write it to this file (mode 0600) and not to standard output
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(super) fn run(context: &Context, arguments: Token) -> Result<u8, CliError> {
    let TokenCommand::Create(Create { env, uses, ttl, token_file }) = arguments.command;
    let request = CreateTokenRequest { environment: env.clone(), uses, ttl_seconds: ttl.as_secs().max(1) };
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
        in_words(ttl),
        escape(&answer.enroll_address),
        escape(&file),
    ));
    Ok(exit::DONE)
}

/// `15 minutes`, in the largest unit that needs no fraction.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs().max(1);
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let whole = |(length, _): &&(u64, &str)| seconds.is_multiple_of(*length);
    let (length, unit) = units.iter().find(whole).unwrap_or(&units[3]);
    let number = seconds / length;
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words() {
        for (seconds, words) in
            [(900, "15 minutes"), (86_400, "1 day"), (90, "90 seconds"), (7_200, "2 hours")]
        {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
