//! One node's connection: check-ins, contents, and their bytes. What the agent says on the wire, without its disk.

use std::sync::Arc;

use arc_swap::ArcSwap;
use evenkeel_proto::commits::Base;
use evenkeel_proto::fleet::check_in_response::Answer;
use evenkeel_proto::fleet::fleet_service_client::FleetServiceClient;
use evenkeel_proto::fleet::{CheckInRequest, Commit, SectionContent, Send};
use evenkeel_proto::{contents, times};
use evenkeel_runtime::channel::{self, Address};
use jiff::Timestamp;
use prost::Message as _;
use rustls::ClientConfig;
use tonic::transport::Channel;

use super::LoadError;
use super::content::Content;
use super::enrol::Member;
use super::fleet::Node;

/// The agent's version, as simulated nodes say it.
const AGENT: &str = env!("CARGO_PKG_VERSION");
/// A check-in, the contents that it asked for, and once more.
const MAX_ROUNDS: usize = 4;

/// A node's connection to the collector, under its own certificate.
pub struct Connection {
    client: FleetServiceClient<Channel>,
    /// What the collector has acknowledged over it.
    held: Option<Vec<Arc<Content>>>,
    address: Address,
    tls: Arc<ArcSwap<ClientConfig>>,
}

impl Connection {
    /// Connects when it is first used.
    pub fn new(address: &Address, member: &Member) -> Result<Self, LoadError> {
        let tls = Arc::new(ArcSwap::from_pointee(member.tls()?));
        let client = FleetServiceClient::new(channel::over_tls(address, Arc::clone(&tls)));
        Ok(Self { client, held: None, address: address.clone(), tls })
    }

    /// The channel alone, under this node's certificate: for what the generated client does not say.
    pub fn channel(address: &Address, member: &Member) -> Result<Channel, LoadError> {
        Ok(channel::over_tls(address, Arc::new(ArcSwap::from_pointee(member.tls()?))))
    }

    /// Hangs up, and connects again when it is next used: with the ticket of the session before, if one was given.
    pub fn again(&mut self) {
        self.client = FleetServiceClient::new(channel::over_tls(&self.address, Arc::clone(&self.tls)));
    }

    /// Says that nothing changed, and expects that the collector knows it.
    pub async fn unchanged(&mut self, node: &Node) -> Result<u64, LoadError> {
        let request = check_in(node, false);
        let sent = request.encoded_len() as u64;
        match self.check_in(request).await? {
            Some(Answer::UpToDate(_)) => {
                self.held = Some(node.contents.clone());
                Ok(sent)
            }
            answer => Err(unexpected(node, "an unchanged check-in", answer)),
        }
    }

    /// Connects and says who it is; a collector that has no state of the node asks for it.
    pub async fn greet(&mut self, node: &Node) -> Result<(), LoadError> {
        match self.check_in(check_in(node, false)).await? {
            Some(Answer::SendCommit(_) | Answer::UpToDate(_)) => Ok(()),
            answer => Err(unexpected(node, "a greeting", answer)),
        }
    }

    /// Reports the node's state, with what the collector asks for, until it is acknowledged. Returns the bytes sent.
    pub async fn report(&mut self, node: &Node) -> Result<u64, LoadError> {
        let mut request = check_in(node, true);
        if let (Some(held), Some(commit)) = (&self.held, &mut request.commit) {
            let sections = node.contents.iter().map(|content| &*content.section);
            let Commit { sections, base, removed, deltas, own, .. } = base(held, node).name_changes(sections);
            *commit = Commit { sections, base, removed, deltas, own, ..std::mem::take(commit) };
        }
        let mut sent = 0;
        for _ in 0..MAX_ROUNDS {
            sent += request.encoded_len() as u64;
            match self.check_in(request.clone()).await? {
                Some(Answer::UpToDate(_)) => {
                    self.held = Some(node.contents.clone());
                    return Ok(sent);
                }
                Some(Answer::Send(wanted)) => {
                    let messages = wanted_contents(node, &wanted);
                    if wanted.keeps_commit {
                        request.commit = None;
                    }
                    sent += messages.iter().map(|message| message.encoded_len() as u64).sum::<u64>();
                    let put = self.client.put_sections(tokio_stream::iter(messages)).await;
                    put.map_err(LoadError::call("contents were not taken"))?;
                }
                // It holds another state than it has acknowledged: all of it, then.
                Some(Answer::SendCommit(_)) if self.held.take().is_some() => request = check_in(node, true),
                answer => return Err(unexpected(node, "a report", answer)),
            }
        }
        Err(unexpected(node, "a report with all contents", None))
    }

    async fn check_in(&mut self, request: CheckInRequest) -> Result<Option<Answer>, LoadError> {
        let answer = self.client.check_in(request).await;
        Ok(answer.map_err(LoadError::call("a check-in was not taken"))?.into_inner().answer)
    }
}

/// The check-in of a node, with its commit or without.
pub fn check_in(node: &Node, news: bool) -> CheckInRequest {
    let commit = news.then(|| Commit {
        sections: contents::digests_to_wire(&node.section_digests()),
        taken_at: Some(times::to_wire(Timestamp::now())),
        host: node.name.clone(),
        role: String::new(),
        agent: AGENT.to_owned(),
        own: contents::own(node.contents.iter().map(|content| &*content.section)),
        ..Commit::default()
    });
    CheckInRequest {
        root: node.root().as_bytes().to_vec(),
        boot_epoch: 1,
        sequence: node.sequence,
        commit,
        ..CheckInRequest::default()
    }
}

/// What the collector holds of the node, with the contents that the node has others for now.
fn base(held: &[Arc<Content>], node: &Node) -> Base {
    let mut base = Base::new(held.iter().map(|content| content.named()).collect());
    for old in held.iter().filter(|old| node.contents.iter().all(|new| new.digest != old.digest)) {
        base.replace(Arc::clone(&old.section));
    }
    base
}

/// The contents that a collector asked for.
///
/// # Panics
///
/// If a section is too large to travel: a simulated node has none.
pub fn wanted_contents(node: &Node, wanted: &Send) -> Vec<SectionContent> {
    let is_wanted = |digest: &[u8; 32]| wanted.digests.iter().any(|wanted| wanted == digest);
    let contents = node.contents.iter().filter(|content| is_wanted(content.digest.as_bytes()));
    let sections: Vec<_> = contents.map(|content| &*content.section).collect();
    if wanted.bundles {
        return contents::to_bundles(&sections).expect("they fit messages");
    }
    sections.into_iter().map(|section| contents::to_wire(section).expect("it fits a message")).collect()
}

fn unexpected(node: &Node, request: &'static str, answer: Option<Answer>) -> LoadError {
    LoadError::Answer { node: node.name.clone(), request, answer: format!("{answer:?}") }
}
