//! Simulated nodes become nodes: through the enrolment port, with one bulk token an environment.

use std::sync::Arc;

use arc_swap::ArcSwap;
use evenkeel_proto::admin::CreateTokenRequest;
use evenkeel_proto::admin::admin_service_client::AdminServiceClient;
use evenkeel_proto::enroll::EnrollRequest;
use evenkeel_proto::enroll::enrollment_service_client::EnrollmentServiceClient;
use evenkeel_runtime::channel;
use evenkeel_runtime::keys::Key;
use evenkeel_runtime::pin::Pin;
use evenkeel_runtime::tls::{self, Chain};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tonic::Status;
use tonic::transport::Channel;

use super::LoadError;
use super::drive::{Tally, deal, drive};
use super::fleet::{ENVIRONMENTS, Node};
use super::phase::Phase;
use super::target::Target;

/// Enrolments under way at the same time, over one connection: as many as a collector lets strangers have. A client
/// learns that limit only with the first answer, and what is above it is refused.
const AT_ONCE: usize = 8;
const TOKEN_LIFE: u64 = 60 * 60;

/// A node with the certificate that says so.
pub struct Member {
    /// The node.
    pub node: Node,
    certificates: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Member {
    /// What it proves itself with. A new one each time: no session of a former connection is resumed.
    pub fn tls(&self) -> Result<ClientConfig, LoadError> {
        let chain = Chain { certificates: self.certificates.clone(), key: self.key.clone_key() };
        Ok(tls::client(&self.roots, chain)?)
    }
}

/// Enrols these nodes, each into its environment and with a key of its own.
pub async fn enrol(collector: &Target, nodes: Vec<Node>) -> Result<(Vec<Member>, Phase), LoadError> {
    let mut tokens = Vec::new();
    for (at, environment) in ENVIRONMENTS.iter().enumerate() {
        let uses = nodes.iter().filter(|node| node.environment == at).count();
        tokens.push(token(collector, environment, uses).await?);
    }
    let pin = pin(&tokens[0])?;
    let tls = Arc::new(ArcSwap::from_pointee(tls::pinned_client(pin)?));
    let channel = channel::over_tls(&collector.enroll, tls);
    let tokens: Arc<[String]> = tokens.into();
    let workers = deal(nodes, AT_ONCE).into_iter();
    drive(collector.process, workers.map(|nodes| each(channel.clone(), nodes, Arc::clone(&tokens)))).await
}

async fn each(
    channel: Channel,
    nodes: Vec<Node>,
    tokens: Arc<[String]>,
) -> Result<(Vec<Member>, Tally), LoadError> {
    let (mut members, mut tally) = (Vec::new(), Tally::default());
    for node in nodes {
        let token = tokens[node.environment].clone();
        let began = tally.begin();
        members.push(one(channel.clone(), node, token).await?);
        tally.done(began, 0);
    }
    Ok((members, tally))
}

async fn one(channel: Channel, node: Node, token: String) -> Result<Member, LoadError> {
    let key = Key::generate();
    let request = EnrollRequest {
        token,
        csr: key.signing_request(),
        host: node.name.clone(),
        ..EnrollRequest::default()
    };
    let enrolled = EnrollmentServiceClient::new(channel).enroll(request).await;
    let enrolled = enrolled.map_err(LoadError::call("a node was not enrolled"))?.into_inner();
    let der = |certificates: Vec<Vec<u8>>| certificates.into_iter().map(CertificateDer::from).collect();
    Ok(Member {
        node,
        certificates: der(enrolled.certificates),
        roots: der(enrolled.roots),
        key: key.to_der(),
    })
}

/// A token for so many machines. The journal goes on by one entry.
pub async fn token(collector: &Target, environment: &str, uses: usize) -> Result<String, LoadError> {
    let request = CreateTokenRequest {
        environment: environment.to_owned(),
        uses: u32::try_from(uses).unwrap_or(u32::MAX),
        ttl_seconds: TOKEN_LIFE,
        ..CreateTokenRequest::default()
    };
    let created = AdminServiceClient::new(collector.local()).create_token(request).await;
    Ok(created.map_err(LoadError::call("no token was made"))?.into_inner().token)
}

fn pin(token: &str) -> Result<Pin, LoadError> {
    let pin = token.split('.').nth(1).and_then(|pin| pin.parse().ok());
    pin.ok_or_else(|| {
        LoadError::call("a token has no pin")(Status::internal(token.chars().take(3).collect::<String>()))
    })
}
