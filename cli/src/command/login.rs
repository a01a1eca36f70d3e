//! `evenkeel login`: an invitation becomes a key, a certificate and a context; later the certificate is made anew.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use evenkeel_proto::enroll::{EnrollUserRequest, RenewUserRequest, UserCertificate};
use evenkeel_render::text::escape;
use evenkeel_runtime::channel::Address;
use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::keys::{self, Key};
use evenkeel_runtime::pin::Pin;
use evenkeel_runtime::{exit, label};
use jiff::Timestamp;

use super::Context;
use crate::client::Client;
use crate::contexts::{Certificates, Contexts};
use crate::error::CliError;
use crate::place::{Place, variable};

/// Where people enrol, when the address says no port.
const ENROLL_PORT: u16 = 7444;
/// Longer than any token.
const MAX_TOKEN_BYTES: u64 = 4096;

/// Arguments. The first time --collector and --token-file are needed: the address and the token that `evenkeel user
/// invite` printed.
#[derive(Debug, clap::Args)]
pub struct Login {
    /// The first time: the invitation; - reads it from standard input
    #[arg(long, value_name = "FILE", requires = "collector")]
    token_file: Option<PathBuf>,
}

pub(super) fn run(context: &Context, arguments: Login) -> Result<u8, CliError> {
    let mut contexts = Contexts::load(variable)?;
    let wanted = context.connection.context.clone();
    let answer = match (&context.connection.collector, &arguments.token_file) {
        (Some(url), Some(file)) => first(&mut contexts, url, file, wanted)?,
        (Some(url), None) => {
            let known = contexts.of_collector(url);
            let Some(name) = wanted.or(known) else {
                return Err(CliError::NoInvitation { collector: url.clone() });
            };
            again(&mut contexts, &name)?
        }
        (None, _) => {
            let name = wanted.or_else(|| variable("EVENKEEL_CONTEXT")?.into_string().ok());
            let name = name.or_else(|| contexts.current().map(str::to_owned));
            match name.filter(|_| context.connection.data_dir.is_none()) {
                Some(name) => again(&mut contexts, &name)?,
                None => by_socket(context, &mut contexts)?,
            }
        }
    };
    context.console.note(&said(&answer));
    Ok(exit::DONE)
}

/// What became of it.
struct LoggedIn {
    context: String,
    collector: String,
    certificate: UserCertificate,
}

/// With an invitation. The key is made here; nothing is sent before the collector has shown that it is the one that
/// the invitation names.
fn first(
    contexts: &mut Contexts,
    url: &str,
    file: &Path,
    wanted: Option<String>,
) -> Result<LoggedIn, CliError> {
    let address = Address::parse(url, ENROLL_PORT).map_err(CliError::Address)?;
    let token = read_token(file)?;
    let pin = pin(&token).ok_or_else(|| CliError::Token { file: file.to_owned() })?;
    let name = wanted.unwrap_or_else(|| label::from_host_name(address.host()));
    // Before the invitation is used up: a name that is taken must not cost it.
    contexts.check_free(&name, &address)?;
    let key = Key::generate();
    let client = Client::pinned(&address, pin)?;
    let request = EnrollUserRequest { token, csr: key.signing_request() };
    let certificate = client.wait(client.enrolment().enroll_user(request)).map_err(|error| match error {
        CliError::Forbidden { place, message } => CliError::NotInvited { place, message },
        other => other,
    })?;
    let host = if certificate.fleet_host.is_empty() { address.host() } else { &certificate.fleet_host };
    keep(contexts, name, Address::new(host, port(&certificate)).to_string(), &key, certificate)
}

/// With the context's own key.
fn again(contexts: &mut Contexts, name: &str) -> Result<LoggedIn, CliError> {
    let context = contexts.find(name)?;
    let place = Place::of_context(name, &context)?;
    let key = keys::read_key(&context.key)?;
    let client = Client::renewing(&place)?;
    let request = RenewUserRequest { csr: key.signing_request() };
    let certificate = client.wait(client.enrolment().renew_user(request))?;
    certificates(&certificate).write(&context)?;
    contexts.select(name)?;
    Ok(LoggedIn { context: name.to_owned(), collector: context.collector, certificate })
}

/// As the user of the collector's own host who runs this.
fn by_socket(context: &Context, contexts: &mut Contexts) -> Result<LoggedIn, CliError> {
    let key = Key::generate();
    let client = context.client()?;
    let certificate =
        client.wait(client.enrolment().renew_user(RenewUserRequest { csr: key.signing_request() }))?;
    let name = context.connection.context.clone();
    let name = name.unwrap_or_else(|| label::from_host_name(&certificate.fleet_host));
    let address = Address::new(&certificate.fleet_host, port(&certificate));
    contexts.check_free(&name, &address)?;
    keep(contexts, name, address.to_string(), &key, certificate)
}

fn keep(
    contexts: &mut Contexts,
    context: String,
    collector: String,
    key: &Key,
    certificate: UserCertificate,
) -> Result<LoggedIn, CliError> {
    contexts.keep(&context, &collector, key, &certificates(&certificate))?;
    Ok(LoggedIn { context, collector, certificate })
}

fn certificates(certificate: &UserCertificate) -> Certificates {
    Certificates { chain: certificate.certificates.clone(), roots: certificate.roots.clone() }
}

fn port(certificate: &UserCertificate) -> u16 {
    u16::try_from(certificate.fleet_port).unwrap_or_default()
}

fn said(LoggedIn { context, collector, certificate }: &LoggedIn) -> String {
    let UserCertificate { name, role, environments, certificates, .. } = certificate;
    let of = if environments.is_empty() { String::new() } else { format!(" of {}", environments.join(", ")) };
    let end = certificates.first().and_then(|leaf| keys::validity(leaf));
    let until = end
        .and_then(|(_, end)| Timestamp::try_from(end).ok())
        .map_or_else(String::new, |end| format!(" until {}", end.strftime("%Y-%m-%d %H:%M UTC")));
    escape(&format!(
        "Logged in to {collector} as {name}, {role}{of}{until}. The current context is {context}."
    ))
    .into_owned()
}

/// From a file, or from standard input: never from an argument, where every user of the machine could read it.
fn read_token(file: &Path) -> Result<String, CliError> {
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().take(MAX_TOKEN_BYTES).read_to_end(&mut bytes);
        read.map_err(FileError::io("read", file))?;
        bytes
    } else {
        files::read(file)?
    };
    let text = String::from_utf8(bytes).map_err(|_| CliError::Token { file: file.to_owned() })?;
    Ok(text.trim().to_owned())
}

/// The pin in `ek1.<pin>.<id>.<secret>`.
fn pin(token: &str) -> Option<Pin> {
    match token.split('.').collect::<Vec<_>>().as_slice() {
        ["ek1", pin, _, _] => pin.parse().ok(),
        _ => None,
    }
}
