//! `evenkeel user`: certificates, with which people and tools ask from elsewhere. The key is made here and never
//! leaves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use evenkeel_proto::admin::CreateUserCertificateRequest;
use evenkeel_runtime::keys::{self, Key};
use evenkeel_runtime::label::is_label;
use evenkeel_runtime::{duration, exit, files};

use super::Context;
use crate::error::CliError;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct User {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, clap::Subcommand)]
enum UserCommand {
    /// Make a key and a certificate; prints the settings with which evenkeel uses them
    Create(Create),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Who it is for
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// What they may do
    #[arg(long, value_enum, value_name = "viewer|operator|admin", hide_possible_values = true, default_value_t = Role::Viewer)]
    role: Role,
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
    let UserCommand::Create(Create { name, role, ttl, directory }) = arguments.command;
    let key = Key::generate();
    let request = CreateUserCertificateRequest {
        name: name.clone(),
        role: role.word().to_owned(),
        csr: key.signing_request(),
        ttl_seconds: ttl.as_secs().max(1),
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

fn name(text: &str) -> Result<String, String> {
    if is_label(text) {
        Ok(text.to_owned())
    } else {
        Err("a name is 1 to 253 of a-z, 0-9, '.', '_' and '-'".to_owned())
    }
}

/// For a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
