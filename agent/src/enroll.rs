//! `evenkeel-agent enroll`: this machine becomes a node. The key is made here and never leaves.

use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use evenkeel_proto::enroll::enrollment_service_client::EnrollmentServiceClient;
use evenkeel_proto::enroll::{EnrollRequest, EnrollResponse};
use evenkeel_runtime::backoff::Backoff;
use evenkeel_runtime::channel::{self, Address};
use evenkeel_runtime::files::FileError;
use evenkeel_runtime::keys::{self, Key};
use evenkeel_runtime::pin::Pin;
use evenkeel_runtime::{exit, files, label, tls};
use evenkeel_sources::{Host, identity};
use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use tracing::{info, warn};

use crate::args;
use crate::config::{AgentConfig, EnrollConfig};
use crate::error::AgentError;
use crate::home::{Enrolment, Home};
use crate::status::Status;

/// The port that a collector enrols on when the address says none.
const ENROLL_PORT: u16 = 7444;

/// How long a collector that asks to come back later is asked again.
const PATIENCE: Duration = Duration::from_secs(120);

/// A machine that wants to be a node.
#[derive(Debug)]
pub struct Request {
    /// Where machines enrol.
    pub collector: String,
    /// Why it may.
    pub proof: Proof,
    /// Which nodes should look alike.
    pub role: String,
    /// What people want to see beside its name.
    pub labels: HashMap<String, String>,
    /// Its name, if it is another than its host name.
    pub name: Option<String>,
}

/// Why a machine may be a node.
pub enum Proof {
    /// A token of the collector. It names the root to trust.
    Token(String),
    /// A Kubernetes service account's token, to be given to a collector below these roots.
    ServiceAccount {
        /// The token.
        token: String,
        /// Whom to give it to.
        roots: Vec<CertificateDer<'static>>,
    },
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(redacted)",
            Self::ServiceAccount { .. } => "ServiceAccount(redacted)",
        })
    }
}

/// Enrols, and gives the text to print.
pub fn run(args: &args::Enroll) -> Result<String, AgentError> {
    let config = AgentConfig::load(args.config.as_deref())?;
    let state_dir = args.state_dir.clone().unwrap_or(config.state_dir);
    let root = args.root.clone().unwrap_or(config.root);
    let host = Host::at(&root).map_err(AgentError::Host)?;
    let token = read_token(&args.token_file)?;
    let is_service = as_owner_of(&state_dir).map_err(AgentError::State)?;
    let home = Home::open(&state_dir).map_err(AgentError::State)?;
    let _lock = home.lock().map_err(AgentError::State)?;
    if let Some(enrolled) = home.enrolment().map_err(AgentError::State)?
        && !args.again
    {
        return Err(AgentError::Enrolled { node: enrolled.node, environment: enrolled.environment });
    }
    let request = Request {
        collector: args.collector.clone(),
        proof: Proof::Token(token),
        role: args.role.clone(),
        labels: args.label.iter().cloned().collect(),
        name: args.name.clone(),
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AgentError::Runtime)?;
    let Enrolment { node, environment, collector, .. } = runtime.block_on(enrol(&host, &home, request))?;
    let directory = home.path().display();
    let mut next = match &args.state_dir {
        Some(_) => format!("evenkeel-agent run --state-dir {directory}"),
        None if is_service && args.root.is_none() => "systemctl restart evenkeel-agent".to_owned(),
        None => "evenkeel-agent run".to_owned(),
    };
    if let Some(root) = &args.root {
        next = format!("{next} --root {}", root.display());
    }
    Ok(format!(
        "Enrolled into {environment} as node {node}, reporting to {collector}.\nIts identity is in {directory}. Next: {next}\n"
    ))
}

/// Root enrols a machine for the user whom the state directory belongs to, and as that user: a service's user could not read
/// what root writes, and root does not write where others may have laid links. Whether there is such a user.
fn as_owner_of(state_dir: &Path) -> Result<bool, FileError> {
    let Ok(directory) = state_dir.metadata() else { return Ok(false) };
    if !geteuid().is_root() || directory.uid() == 0 {
        return Ok(false);
    }
    let (user, group) = (Uid::from_raw(directory.uid()), Gid::from_raw(directory.gid()));
    setgroups(&[group])
        .and_then(|()| setgid(group))
        .and_then(|()| setuid(user))
        .map_err(|error| FileError::io("act as the owner of", state_dir)(error.into()))?;
    Ok(true)
}

/// Enrols as the configuration says, as often as it takes. The files are read anew each time: a token in them may be
/// renewed by somebody else.
pub async fn until_enrolled(host: &Host, home: &Home, config: &EnrollConfig) -> Enrolment {
    let mut backoff = Backoff::up_to(Duration::MAX);
    loop {
        let enrolled = match of_config(config) {
            Ok(request) => enrol(host, home, request).await,
            Err(error) => Err(error),
        };
        match enrolled {
            Ok(enrolment) => {
                info!(node = enrolment.node, environment = enrolment.environment, "Enrolled.");
                return enrolment;
            }
            Err(error) => {
                let wait = backoff.next_wait();
                let retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                let error = exit::chain(&error);
                warn!(error, retry_in_ms, "Not enrolled; trying again later.");
                let _ = Status::waiting(error, wait).write(home.path());
                tokio::time::sleep(wait).await;
            }
        }
    }
}

fn of_config(config: &EnrollConfig) -> Result<Request, AgentError> {
    let EnrollConfig { collector, token_file, service_account_token_file, roots, role, labels } = config;
    let proof = match (token_file, service_account_token_file, roots) {
        (_, Some(token), Some(roots)) => Proof::ServiceAccount {
            token: read_text(token)?,
            roots: keys::read_certificates(roots).map_err(AgentError::TokenFile)?,
        },
        (Some(token), ..) => Proof::Token(read_token(token)?),
        _ => return Err(AgentError::Token),
    };
    let labels = labels.clone().into_iter().collect();
    Ok(Request { collector: collector.clone(), proof, role: role.clone(), labels, name: None })
}

async fn enrol(host: &Host, home: &Home, request: Request) -> Result<Enrolment, AgentError> {
    let Request { collector, proof, role, labels, name } = request;
    let address = Address::parse(&collector, ENROLL_PORT).map_err(AgentError::Usage)?;
    let (token, service_account_token, tls) = match proof {
        Proof::Token(token) => {
            let pin = pin(&token).ok_or(AgentError::Token)?;
            (token, String::new(), tls::pinned_client(pin).map_err(AgentError::Tls)?)
        }
        Proof::ServiceAccount { token, roots } => {
            (String::new(), token, tls::anonymous_client(&roots).map_err(AgentError::Tls)?)
        }
    };
    let own = || identity::host_name(host).unwrap_or_default();
    let key = Key::generate();
    let request = EnrollRequest {
        token,
        csr: key.signing_request(),
        host: label::from_host_name(&name.clone().unwrap_or_else(own)),
        role: role.clone(),
        labels,
        service_account_token,
    };
    let response = call(&address, tls, request).await?;
    let host = if response.fleet_host.is_empty() { address.host() } else { &response.fleet_host };
    let port = u16::try_from(response.fleet_port).unwrap_or_default();
    let enrolment = Enrolment {
        node: response.node,
        environment: response.environment,
        collector: Address::new(host, port).to_string(),
        role: response.role.unwrap_or(role),
        name: name.as_deref().map(label::from_host_name),
    };
    home.keep_identity(&enrolment, &key, &response.certificates, &response.roots)
        .map_err(AgentError::State)?;
    Ok(enrolment)
}

async fn call(
    address: &Address,
    tls: ClientConfig,
    request: EnrollRequest,
) -> Result<EnrollResponse, AgentError> {
    let channel = channel::over_tls(address, Arc::new(ArcSwap::from_pointee(tls)));
    let mut client = EnrollmentServiceClient::new(channel);
    let patience = Instant::now() + PATIENCE;
    loop {
        let status = match client.enroll(request.clone()).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => status,
        };
        // Many machines of one address enrol one after the other.
        match channel::pushback(&status) {
            Some(wait) if Instant::now() + wait < patience => tokio::time::sleep(wait).await,
            _ => return Err(failed(address, status)),
        }
    }
}

fn failed(address: &Address, status: tonic::Status) -> AgentError {
    let address = address.to_string();
    match channel::obstacle(&status) {
        Some(obstacle) => AgentError::Unreached { address, obstacle },
        None => AgentError::Refused { address, status: Box::new(status) },
    }
}

/// A token from a file, or from standard input: never from an argument, where every user of the machine could read it.
fn read_token(path: &Path) -> Result<String, AgentError> {
    if path != Path::new("-") {
        return read_text(path);
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(4096).read_to_end(&mut bytes);
    read.map_err(FileError::io("read", path)).map_err(AgentError::TokenFile)?;
    text(bytes)
}

fn read_text(path: &Path) -> Result<String, AgentError> {
    text(files::read(path).map_err(AgentError::TokenFile)?)
}

fn text(bytes: Vec<u8>) -> Result<String, AgentError> {
    String::from_utf8(bytes).map(|text| text.trim().to_owned()).map_err(|_| AgentError::Token)
}

/// The pin in `ek1.<pin>.<id>.<secret>`.
fn pin(token: &str) -> Option<Pin> {
    match token.split('.').collect::<Vec<_>>().as_slice() {
        ["ek1", pin, _, _] => pin.parse().ok(),
        _ => None,
    }
}
