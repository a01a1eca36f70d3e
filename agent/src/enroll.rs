//! `evenkeel-agent enroll`: this machine becomes a node. The key is made here and never leaves.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use evenkeel_proto::enroll::enrollment_service_client::EnrollmentServiceClient;
use evenkeel_proto::enroll::{EnrollRequest, EnrollResponse};
use evenkeel_runtime::channel::{self, Address};
use evenkeel_runtime::files::FileError;
use evenkeel_runtime::keys::Key;
use evenkeel_runtime::pin::Pin;
use evenkeel_runtime::{files, label, tls};
use evenkeel_sources::{Host, identity};
use tonic::Status;

use crate::args;
use crate::config::AgentConfig;
use crate::error::AgentError;
use crate::home::{Enrolment, Home};

/// The port that a collector enrols on when the address says none.
const ENROLL_PORT: u16 = 7444;

/// How long a collector that asks to come back later is asked again.
const PATIENCE: Duration = Duration::from_secs(120);

/// Enrols, and gives the text to print.
pub fn run(args: &args::Enroll) -> Result<String, AgentError> {
    let config = AgentConfig::load(args.config.as_deref())?;
    let state_dir = args.state_dir.clone().unwrap_or(config.state_dir);
    let root = args.root.clone().unwrap_or(config.root);
    let host = Host::at(&root).map_err(AgentError::Host)?;
    let home = Home::open(&state_dir).map_err(AgentError::State)?;
    let _lock = home.lock().map_err(AgentError::State)?;
    if let Some(enrolled) = home.enrolment().map_err(AgentError::State)?
        && !args.again
    {
        return Err(AgentError::Enrolled { node: enrolled.node, environment: enrolled.environment });
    }
    let address = Address::parse(&args.collector, ENROLL_PORT).map_err(AgentError::Usage)?;
    let token = read_token(args)?;
    let pin = pin(&token).ok_or(AgentError::Token)?;
    let name = args.name.clone().unwrap_or_else(|| identity::host_name(&host).unwrap_or_default());
    let key = Key::generate();
    let request = EnrollRequest {
        token,
        csr: key.signing_request(),
        host: label::from_host_name(&name),
        role: args.role.clone(),
        labels: args.label.iter().cloned().collect::<HashMap<_, _>>(),
        service_account_token: String::new(),
    };
    let response = call(&address, pin, request)?;
    let host = if response.fleet_host.is_empty() { address.host() } else { &response.fleet_host };
    let port = u16::try_from(response.fleet_port).unwrap_or_default();
    let enrolment = Enrolment {
        node: response.node,
        environment: response.environment,
        collector: Address::new(host, port).to_string(),
        role: args.role.clone(),
        name: args.name.as_deref().map(label::from_host_name),
    };
    home.keep_identity(&enrolment, &key, &response.certificates, &response.roots)
        .map_err(AgentError::State)?;
    let Enrolment { node, environment, collector, .. } = enrolment;
    let directory = home.path().display();
    let here = if args.state_dir.is_some() { format!(" --state-dir {directory}") } else { String::new() };
    Ok(format!(
        "Enrolled into {environment} as node {node}, reporting to {collector}.\nIts identity is in {directory}. Next: evenkeel-agent run{here}\n"
    ))
}

fn call(address: &Address, pin: Pin, request: EnrollRequest) -> Result<EnrollResponse, AgentError> {
    let config = tls::pinned_client(pin).map_err(AgentError::Tls)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AgentError::Runtime)?;
    runtime.block_on(async {
        let channel = channel::over_tls(address, Arc::new(ArcSwap::from_pointee(config)));
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
    })
}

fn failed(address: &Address, status: Status) -> AgentError {
    let address = address.to_string();
    match channel::obstacle(&status) {
        Some(obstacle) => AgentError::Unreached { address, obstacle },
        None => AgentError::Refused { address, status: Box::new(status) },
    }
}

/// From a file, or from standard input: never from an argument, where every user of the machine could read it.
fn read_token(args: &args::Enroll) -> Result<String, AgentError> {
    let path = args.token_file.as_path();
    let bytes = if path == std::path::Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().take(4096).read_to_end(&mut bytes);
        read.map_err(FileError::io("read", path)).map_err(AgentError::TokenFile)?;
        bytes
    } else {
        files::read(path).map_err(AgentError::TokenFile)?
    };
    String::from_utf8(bytes).map(|text| text.trim().to_owned()).map_err(|_| AgentError::Token)
}

/// The pin in `ek1.<pin>.<id>.<secret>`.
fn pin(token: &str) -> Option<Pin> {
    match token.split('.').collect::<Vec<_>>().as_slice() {
        ["ek1", pin, _, _] => pin.parse().ok(),
        _ => None,
    }
}
