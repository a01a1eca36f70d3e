//! `evenkeel user`: people are invited, listed and sent away; certificates for tools are made here, where their keys
//! are made, too.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use evenkeel_proto::admin::{
    self as wire, CreateUserCertificateRequest, InviteUserRequest, ListUsersRequest, RevokeUserRequest,
};
use evenkeel_proto::{Malformed, times};
use evenkeel_render::text::escape;
use evenkeel_render::users::{SCHEMA, User as Row, Users as Shown};
use evenkeel_runtime::keys::{self, Key};
use evenkeel_runtime::{duration, exit, files};

use super::Context;
use crate::args::label;
use crate::error::CliError;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct User {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, clap::Subcommand)]
enum UserCommand {
    /// Let a person in: prints a token with which they log in, once
    Invite(Invite),
    /// List who was let in, and until when
    List,
    /// Send a person away: all their certificates and invitations end at once
    Revoke(Revoke),
    /// Make a key and a certificate for a tool; prints the settings with which evenkeel uses them
    Create(Create),
}

/// Who, as what, and where.
#[derive(Debug, clap::Args)]
struct Somebody {
    /// Who it is for
    #[arg(value_name = "NAME", value_parser = label)]
    name: String,
    /// What they may do
    #[arg(long, value_enum, value_name = "viewer|operator|admin", hide_possible_values = true, default_value_t = Role::Viewer)]
    role: Role,
    /// Only in this environment; repeat it for several [default: in all]
    #[arg(long = "env", value_name = "ENV", value_parser = label)]
    environments: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Invite {
    #[command(flatten)]
    somebody: Somebody,
    /// How long the invitation is good for, at most 30 days: 15m, 24h
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration::parse)]
    ttl: Duration,
    /// Write it to this file (mode 0600) and not to standard output
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Revoke {
    /// Who
    #[arg(value_name = "NAME", value_parser = label)]
    name: String,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

#[derive(Debug, clap::Args)]
struct Create {
    #[command(flatten)]
    somebody: Somebody,
    /// How long it is good for, at most 90 days: 8h, 30d
    #[arg(long, value_name = "TIME", default_value = "8h", value_parser = duration::parse)]
    ttl: Duration,
    /// Where to write NAME.cert.pem, NAME.key.pem and ca.pem
    #[arg(long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// May read
    Viewer,
    /// May also make tokens
    Operator,
    /// May do everything
    Admin,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

pub(super) fn run(context: &Context, arguments: User) -> Result<u8, CliError> {
    match arguments.command {
        UserCommand::Invite(invite) => invited(context, invite),
        UserCommand::List => listed(context),
        UserCommand::Revoke(revoke) => revoked(context, revoke),
        UserCommand::Create(create) => created(context, create),
    }
}

fn invited(context: &Context, invite: Invite) -> Result<u8, CliError> {
    let Invite { somebody: Somebody { name, role, environments }, ttl, token_file } = invite;
    let of = if environments.is_empty() { String::new() } else { format!(" of {}", environments.join(", ")) };
    let request = InviteUserRequest {
        name: name.clone(),
        role: role.word().to_owned(),
        environments,
        ttl_seconds: ttl.as_secs().max(1),
    };
    let client = context.client()?;
    let answer = client.wait(client.admin().invite_user(request))?;
    let line = format!("{}\n", escape(&answer.token));
    match &token_file {
        Some(file) => files::replace(file, line.as_bytes())?,
        None => context.console.print(&line)?,
    }
    let file = token_file.map_or_else(|| "FILE".to_owned(), |file| file.display().to_string());
    context.console.note(&format!(
        "Invitation {} lets {name} log in as {}{of} within {}. Bring it to {name} in a file, and have them run:\n  \
         evenkeel login --collector {} --token-file {}",
        escape(&answer.id),
        role.word(),
        duration::in_words(ttl.max(Duration::from_secs(1))),
        escape(&answer.enroll_address),
        escape(&file),
    ));
    Ok(exit::DONE)
}

fn listed(context: &Context) -> Result<u8, CliError> {
    let client = context.client()?;
    let answer = client.wait(client.admin().list_users(ListUsersRequest {}))?;
    let users = answer.users.into_iter().map(from_wire).collect::<Result<_, _>>()?;
    context.console.show(&mut Shown { schema: SCHEMA.to_owned(), users })?;
    Ok(exit::DONE)
}

fn revoked(context: &Context, Revoke { name, reason }: Revoke) -> Result<u8, CliError> {
    let client = context.client()?;
    let answer = client.wait(client.admin().revoke_user(RevokeUserRequest { name: name.clone(), reason }))?;
    let closed = match answer.closed {
        0 => String::new(),
        1 => " One open connection was closed.".to_owned(),
        more => format!(" {more} open connections were closed."),
    };
    context.console.note(&format!("{name} is revoked: what was given until now is refused.{closed}"));
    Ok(exit::DONE)
}

fn from_wire(user: wire::User) -> Result<Row, Malformed> {
    let wire::User { name, role, environments, standing, certified, ends, by, revoked, revoked_by, reason } =
        user;
    let time = |field, time: Option<_>| time.map(|time| times::from_wire(field, Some(time))).transpose();
    Ok(Row {
        name,
        role,
        environments,
        standing,
        certified: time("certified", certified)?,
        ends: time("ends", ends)?,
        by,
        revoked: time("revoked", revoked)?,
        revoked_by,
        reason,
    })
}

fn created(context: &Context, create: Create) -> Result<u8, CliError> {
    let Create { somebody: Somebody { name, role, environments }, ttl, directory } = create;
    let key = Key::generate();
    let request = CreateUserCertificateRequest {
        name: name.clone(),
        role: role.word().to_owned(),
        csr: key.signing_request(),
        ttl_seconds: ttl.as_secs().max(1),
        environments,
    };
    let client = context.client()?;
    let answer = client.wait(client.admin().create_user_certificate(request))?;
    let cert = keys::certificates_to_pem(answer.certificates.iter().map(Vec::as_slice));
    let ca = keys::certificates_to_pem(answer.roots.iter().map(Vec::as_slice));
    let directory = std::path::absolute(&directory).unwrap_or(directory);
    files::own_directory(&directory)?;
    let mut settings = String::new();
    for (variable, file, content) in [
        ("EVENKEEL_CERT", format!("{name}.cert.pem"), &cert),
        ("EVENKEEL_KEY", format!("{name}.key.pem"), &key.to_pem()),
        ("EVENKEEL_CA", "ca.pem".to_owned(), &ca),
    ] {
        let path = directory.join(file);
        files::replace(&path, content.as_bytes())?;
        settings.extend([variable, "=", &quoted(&path), "\n"]);
    }
    context.console.print(&settings)?;
    context.console.note(
        "Bring the three files to where they are used, the key secretly. There, export these settings and \
         EVENKEEL_COLLECTOR=https://HOST:7443.",
    );
    Ok(exit::DONE)
}

/// For a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
