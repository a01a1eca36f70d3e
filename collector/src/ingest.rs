//! FleetService: check-ins and the contents that they need.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use evenkeel_facts::{Author, Digest, Section, SectionDigest, encoding};
use evenkeel_proto::fleet::fleet_service_server::FleetService;
use evenkeel_proto::fleet::{
    CheckInRequest, CheckInResponse, Commit, EpochBehind, PutSectionsResponse, RetryAfter, SectionContent,
    Send, SendCommit, UpToDate, check_in_response::Answer,
};
use evenkeel_proto::{Malformed, authors, contents, times};
use evenkeel_runtime::label;
use evenkeel_runtime::seeded::{self, Bug};
use evenkeel_runtime::trust::Mark;
use evenkeel_store::entry::{Committed, Entry, Labels, NodeCloned, Presence};
use evenkeel_store::{Content, Reader, StoreError};
use jiff::Timestamp;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};
use tracing::{error, warn};
use uuid::Uuid;

use crate::access::{Origin, Peer};
use crate::ca::Ca;
use crate::holders::{Holders, Sender};
use crate::ledger::{Decision, Key, Ledger, LedgerError};
use crate::metrics::{Metrics, count};
use crate::named::{Held, Named, Said, make};
use crate::serve::Wish;
use crate::state::{NodeState, State};
use crate::waiting::{Refusal, Waiting};

mod limits;

pub use limits::Limits;

/// A boot epoch counts starts: no agent starts so often between two check-ins.
const MAX_EPOCHS_AHEAD: u64 = 1 << 32;
/// A content of so few compressed bytes is decoded where it comes: handing it over would cost more.
const SMALL: usize = 16 * 1024;

/// Takes in what nodes report.
pub struct Ingest {
    ledger: Ledger,
    waiting: Waiting,
    reader: Arc<Mutex<Reader>>,
    ca: Arc<Ca>,
    holders: Arc<Holders>,
    metrics: Arc<Metrics>,
    limits: Limits,
}

/// A commit as it came, checked, with every content at hand.
struct Arrived {
    boot_epoch: u64,
    sequence: u64,
    root: Digest,
    taken_at: Timestamp,
    labels: Labels,
    sections: Vec<(SectionDigest, Content)>,
    authors: Vec<Author>,
}

impl Ingest {
    /// Takes in over this ledger; `reader` finds contents that only the journal's past names. Nodes that hold less than
    /// the newest of `ca` are told so; those whose key is held twice are noted in `holders`.
    pub fn new(
        ledger: Ledger,
        reader: Reader,
        ca: Arc<Ca>,
        holders: Arc<Holders>,
        metrics: Arc<Metrics>,
        limits: Limits,
    ) -> Self {
        let reader = Arc::new(Mutex::new(reader));
        Self { ledger, waiting: Waiting::default(), reader, ca, holders, metrics, limits }
    }

    /// Whether the node holds other roots, or another issuer's certificate, than it should.
    fn must_renew(&self, node: Uuid, trust: Option<Mark>) -> bool {
        let state = self.ledger.state();
        let (Some(node), Some(trust)) = (state.node(node), trust) else { return false };
        node.holds(trust);
        self.ca.mark(&node.environment).is_some_and(|newest| newest != trust)
    }

    /// Names machines that hold one node's key; that it cannot be kept holds no report up. Whether this is another
    /// instance of the agent than spoke before.
    async fn notice_holders(&self, node: Uuid, request: &CheckInRequest, Origin(address): Origin) -> bool {
        let Ok(instance) = request.instance.as_slice().try_into().map(u64::from_be_bytes) else {
            return false;
        };
        // Before anything else is checked: a name that is none is nobody's.
        let host =
            request.commit.as_ref().map(|commit| commit.host.clone()).filter(|host| label::is_label(host));
        let last = {
            let state = self.ledger.state();
            let Some(node) = state.node(node) else { return false };
            node.spoken_by(instance, request.boot_epoch)
        };
        if last.is_none() && host.is_none() {
            return false;
        }
        let sender = Sender { instance, address, host };
        if let Some(holders) = self.holders.heard(node, last, sender, Instant::now()) {
            let decide = move |state: &State| {
                let mut decision = Decision::only(());
                let names = holders.iter().map(ToString::to_string);
                if state.node(node).is_some_and(|known| !names.eq(known.holders().iter().cloned())) {
                    decision.entries.push(Entry::NodeCloned(NodeCloned { node, holders }));
                }
                decision
            };
            if let Err(error) = self.ledger.change(Key::Node(node), decide).await {
                warn!(%node, %error, "Several machines hold one node's key, and it cannot be kept.");
            }
        }
        last.is_some()
    }

    async fn answer(&self, node: Uuid, request: CheckInRequest) -> Result<Answer, Status> {
        let CheckInRequest { root, boot_epoch, sequence, commit, instance: _, trust: _ } = request;
        let root = contents::digest_from_wire("root", &root).map_err(malformed)?;
        // Behind contents that were asked for, what was said before them holds.
        let commit = commit.or_else(|| self.waiting.commit(node, root));
        let now = Timestamp::now();
        let known = {
            let state = self.ledger.state();
            let node = state.node(node).ok_or_else(not_enrolled)?;
            let heard = node.epoch_heard();
            if boot_epoch < heard && !seeded::has(Bug::EpochIgnored) {
                return Ok(Answer::EpochBehind(EpochBehind { boot_epoch: heard }));
            }
            if boot_epoch.saturating_sub(heard) > MAX_EPOCHS_AHEAD {
                return Err(malformed(Malformed::new(
                    "boot_epoch",
                    format!("{boot_epoch} is too far above {heard}"),
                )));
            }
            let same = node.is_whole() && node.head.is_some_and(|head| head.root == root);
            // A new agent version is news, also when no fact has changed.
            let labelled = commit.as_ref().is_none_or(|commit| is_labelled(node, commit));
            let applied_twice = commit.is_some() && seeded::has(Bug::AppliedTwice);
            (same && labelled && !applied_twice).then_some(node.view.fresh)
        };
        let answer = match (known, commit) {
            (Some(true), _) => Ok(Answer::UpToDate(UpToDate {})),
            (Some(false), _) => self.heard_again(node, root, now).await,
            (None, None) => Ok(Answer::SendCommit(SendCommit {})),
            (None, Some(commit)) => self.commit(node, root, boot_epoch, sequence, commit).await,
        };
        // A node that is refused is not heard: what is known of it grows old, and it becomes stale.
        if let Ok(Answer::UpToDate(_)) = answer {
            let state = self.ledger.state();
            state.node(node).inspect(|node| state.heard(node, boot_epoch));
        }
        answer
    }

    /// A check-in that was overtaken by a commit while it waited is not answered as if nothing had changed.
    async fn heard_again(&self, node: Uuid, root: Digest, last_seen: Timestamp) -> Result<Answer, Status> {
        let decide = move |state: &State| {
            let Some(known) = state.node(node) else { return Decision::only(Err(not_enrolled())) };
            if !known.is_whole() || known.head.is_none_or(|head| head.root != root) {
                return Decision::only(Ok(Answer::SendCommit(SendCommit {})));
            }
            let mut decision = Decision::only(Ok(Answer::UpToDate(UpToDate {})));
            if !known.view.fresh {
                decision.entries.push(Entry::Presence(Presence { node, fresh: true, last_seen }));
            }
            decision
        };
        self.ledger.change(Key::Node(node), decide).await.map_err(unavailable)?
    }

    /// Takes contents that a node was asked for, as they come.
    pub async fn put(
        &self,
        node: Uuid,
        mut contents: impl Stream<Item = Result<SectionContent, Status>> + Unpin,
    ) -> Result<(), Status> {
        let _upload = self.limits.upload().await;
        let _its_own = self.waiting.begin(node).map_err(not_kept)?;
        while let Some(content) = contents.next().await {
            let content = content?;
            // Before it is decompressed: what was not asked for is not worth it.
            self.waiting.expect(node).map_err(not_kept)?;
            let turn = self.limits.decoders.acquire().await;
            // Decompressing and decoding up to 16 MiB must not hold up everybody else's check-in.
            let decoded = if content.bundle.is_empty() && content.zstd.len() <= SMALL {
                decode(&content)
            } else {
                let decoded = tokio::task::spawn_blocking(move || decode(&content)).await;
                decoded.map_err(|error| Status::internal(error.to_string()))?
            };
            drop(turn);
            for (content, bytes) in decoded.map_err(not_decoded)? {
                self.waiting.put(node, content, bytes, Instant::now()).map_err(not_kept)?;
            }
        }
        Ok(())
    }

    async fn commit(
        &self,
        node: Uuid,
        root: Digest,
        boot_epoch: u64,
        sequence: u64,
        commit: Commit,
    ) -> Result<Answer, Status> {
        // One that names only what changed is small, and its base may be another by then.
        let whole = commit.base.is_empty().then(|| commit.clone());
        let Commit { sections, taken_at, host, role, agent, base, removed, deltas, authors, own } = commit;
        let said = Said { sections, base, removed, deltas };
        // Taken out of the state: while somebody looks at what came, nobody else waits.
        let held = Held::of(self.ledger.state().node(node).ok_or_else(not_enrolled)?);
        let Some(named) = Named::of(&held, root, said).map_err(malformed)? else {
            return Ok(Answer::SendCommit(SendCommit {}));
        };
        // Asked for contents, it comes again with the same commit: that is one sync, not two.
        let goes_on = self.waiting.goes_on(node);
        if !goes_on && let Err(wait) = self.limits.sync(node) {
            let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            return Ok(Answer::RetryAfter(RetryAfter { milliseconds }));
        }
        // Behind the limit: it is decompressed.
        let named = named.with_own(&own).map_err(malformed)?;
        let labels = labels(host, role, agent).map_err(malformed)?;
        let taken_at = times::from_wire("taken_at", taken_at).map_err(malformed)?;
        let authors = authors::from_wire(authors).map_err(malformed)?;
        let (sections, missing) = self.gather(node, named).await?;
        if !missing.is_empty() {
            let found = sections.iter().map(|(named, _)| named.digest).collect();
            self.waiting.ask(node, missing.iter().copied(), &found, !goes_on, Instant::now());
            let digests = missing.iter().map(|digest| digest.as_bytes().to_vec()).collect();
            let keeps_commit = whole.is_some_and(|commit| self.waiting.keep_commit(node, root, commit));
            let bundles = self.limits.bundles(Instant::now());
            return Ok(Answer::Send(Send { digests, bundles, keeps_commit }));
        }
        if let Some((named, _)) =
            sections.iter().find(|(named, content)| named.name != content.section().name())
        {
            return Err(malformed(Malformed::new(
                "sections",
                format!("{} is another section's content", named.name),
            )));
        }
        if sections.iter().map(|(_, content)| content.section().facts().len()).sum::<usize>()
            > encoding::MAX_FACTS
        {
            let sentence = format!("more than {} facts", encoding::MAX_FACTS);
            return Err(malformed(Malformed::new("sections", sentence)));
        }
        if let Some(path) = said_twice(&sections) {
            let sentence = format!("{path} stands in two sections of one source");
            return Err(malformed(Malformed::new("sections", sentence)));
        }
        let arrived = Arrived { boot_epoch, sequence, root, taken_at, labels, sections, authors };
        let answer = self
            .ledger
            .change(Key::Node(node), move |state| decide(state, node, arrived))
            .await
            .map_err(unavailable)??;
        self.waiting.forget(node);
        Ok(answer)
    }

    /// The contents at hand (in memory, put just now, made of what is at hand, or in the store), and the digests of
    /// those that are not.
    async fn gather(
        &self,
        node: Uuid,
        named: Named,
    ) -> Result<(Vec<(SectionDigest, Content)>, Vec<Digest>), Status> {
        let mut found = Vec::with_capacity(named.sections.len());
        let mut to_make = Vec::new();
        {
            let state = self.ledger.state();
            for one in &named.sections {
                let known = state.content(one.digest).map(Content::from);
                let known = known.or_else(|| self.waiting.find(node, one.digest));
                match known.or_else(|| named.own(one.digest).map(Content::from)) {
                    Some(content) => found.push((one.clone(), content)),
                    None => to_make.push((one.clone(), named.ingredients(&state, one.digest))),
                }
            }
        }
        let mut wanted = Vec::new();
        for (one, ingredients) in to_make {
            match ingredients.and_then(|(base, delta)| make(one.digest, &base, delta)) {
                Some(section) => {
                    let content = Content::checked(one.digest, Arc::new(section)).prepared();
                    found.push((one, content));
                }
                None => wanted.push(one),
            }
        }
        if wanted.is_empty() {
            return Ok((found, Vec::new()));
        }
        let reader = Arc::clone(&self.reader);
        let read = move || {
            let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let look = |named: SectionDigest| match reader.section(named.digest) {
                Err(StoreError::DamagedSection { .. }) => Ok::<_, StoreError>((Err(()), named)),
                read => Ok((Ok(read?), named)),
            };
            wanted.into_iter().map(look).collect::<Result<Vec<_>, _>>()
        };
        let looked =
            tokio::task::spawn_blocking(read).await.map_err(|error| Status::internal(error.to_string()))?;
        let mut missing = Vec::new();
        for (section, named) in
            looked.map_err(|error| Status::internal(evenkeel_runtime::exit::chain(&error)))?
        {
            match section {
                Ok(Some(section)) => found.push((named, Arc::new(section).into())),
                Ok(None) => missing.push(named.digest),
                // The node has it: it sends it again.
                Err(()) => {
                    error!(digest = %named.digest, "A content is damaged and put aside; it is asked for again.");
                    self.metrics.damaged.inc();
                    self.ledger.put_aside(named.digest).await.map_err(unavailable)?;
                    missing.push(named.digest);
                }
            }
        }
        Ok((found, missing))
    }
}

/// The contents that came, and how many bytes each is in its canonical form. Those of a bundle are compressed here, for
/// they came as something else.
fn decode(came: &SectionContent) -> Result<Vec<(Content, usize)>, contents::Undecoded> {
    let kept = |(section, bytes)| {
        let section = Arc::new(section);
        let alone = came.bundle.is_empty();
        let content = if alone {
            Content::received(section, &came.zstd, bytes)
        } else {
            Content::from(section).prepared()
        };
        (content, bytes)
    };
    Ok(contents::from_wire(came)?.into_iter().map(kept).collect())
}

/// What a commit changes, on the state as it is now. A repeated one changes nothing and is acknowledged again; a late
/// one changes nothing, and only an agent whose state directory was restored still listens for its answer.
fn decide(state: &State, id: Uuid, arrived: Arrived) -> Decision<Result<Answer, Status>> {
    let Arrived { boot_epoch, sequence, root, taken_at, labels, sections, authors } = arrived;
    let up_to_date = || Ok(Answer::UpToDate(UpToDate {}));
    let Some(node) = state.node(id) else { return Decision::only(Err(not_enrolled())) };
    let applied_twice = seeded::has(Bug::AppliedTwice);
    if let Some(head) = &node.head {
        let is_known = head.root == root && node.is_whole();
        if is_known && node.view.fresh && node.labels() == labels && !applied_twice {
            return Decision::only(up_to_date());
        }
        let order = if seeded::has(Bug::EpochIgnored) {
            sequence.cmp(&head.sequence)
        } else {
            (boot_epoch, sequence).cmp(&(head.boot_epoch, head.sequence))
        };
        match order {
            Ordering::Equal if is_known && !applied_twice => return Decision::only(up_to_date()),
            Ordering::Equal if is_known => {}
            Ordering::Less if seeded::has(Bug::StaleOverwrites) => {}
            // Not a repetition but another state at a place that is taken: the state directory is older than it was.
            Ordering::Less | Ordering::Equal => {
                let behind = EpochBehind { boot_epoch: head.boot_epoch };
                return Decision::only(Ok(Answer::EpochBehind(behind)));
            }
            Ordering::Greater => {}
        }
    }
    let held = |name: &str| node.view.sections.iter().find(|section| section.name() == name);
    let is_new =
        |named: &SectionDigest| held(&named.name).is_none_or(|section| section.digest() != named.digest);
    let changed: Vec<_> = sections.iter().filter(|(named, _)| is_new(named)).collect();
    // Also what the store has lost of it.
    let names = node.view.sections.iter().map(|section| section.name()).chain(node.damaged());
    let removed =
        names.filter(|name| !sections.iter().any(|(named, _)| named.name == *name)).map(str::to_owned);
    let removed: Vec<_> = if seeded::has(Bug::RemovalForgotten) { Vec::new() } else { removed.collect() };
    let mut now: Vec<SectionDigest> = changed.iter().map(|(named, _)| named.clone()).collect();
    if let ([first, second, ..], true) = (&mut now[..], seeded::has(Bug::SectionsMixed)) {
        std::mem::swap(&mut first.digest, &mut second.digest);
    }
    let committed = Committed {
        node: id,
        boot_epoch,
        sequence,
        taken_at,
        root,
        changed: now,
        removed,
        labels: (node.labels() != labels).then_some(labels),
        authors,
    };
    let contents = changed.into_iter().map(|(_, content)| content.clone()).collect();
    Decision { entries: vec![Entry::Committed(committed)], sections: contents, answer: up_to_date() }
}

/// A path that two sections of one source note: nobody could tell which of them is meant.
fn said_twice(sections: &[(SectionDigest, Content)]) -> Option<String> {
    let mut by_source: Vec<&Section> = sections.iter().map(|(_, content)| &**content.section()).collect();
    by_source.sort_by_key(|section| section.source());
    for of_source in by_source.chunk_by(|a, b| a.source() == b.source()).filter(|of| !are_apart(of)) {
        let mut seen = HashSet::new();
        let mut paths = of_source.iter().flat_map(|section| section.facts()).map(|(path, _)| path.as_str());
        if let Some(path) = paths.find(|path| !seen.insert(*path)) {
            return Some(path.to_owned());
        }
    }
    None
}

/// Whether the paths of each section end before those of the next begin. They do where a section is a directory, and
/// then no fact needs to be looked at: with a thousand sysctls that would be much of what a commit costs.
fn are_apart(sections: &[&Section]) -> bool {
    let ends =
        |section: &&'_ Section| Some((section.facts().first()?.0.clone(), section.facts().last()?.0.clone()));
    let mut ranges: Vec<_> = sections.iter().filter_map(ends).collect();
    ranges.sort_unstable();
    ranges.windows(2).all(|pair| pair[0].1 < pair[1].0)
}

/// Whether the node is known by what this commit calls it.
fn is_labelled(node: &NodeState, Commit { host, role, agent, .. }: &Commit) -> bool {
    *node.view.name == **host && *node.view.role == **role && node.agent == *agent
}

fn labels(host: String, role: String, agent: String) -> Result<Labels, Malformed> {
    let refuse = |field| Malformed::new(field, "not a label of a-z, 0-9, '.', '_' and '-'");
    if !label::is_label(&host) {
        return Err(refuse("host"));
    }
    if !role.is_empty() && !label::is_label(&role) {
        return Err(refuse("role"));
    }
    if agent.len() > 64 || agent.chars().any(char::is_control) {
        return Err(refuse("agent"));
    }
    Ok(Labels { host, role, agent })
}

#[tonic::async_trait]
impl FleetService for Ingest {
    async fn check_in(&self, request: Request<CheckInRequest>) -> Result<Response<CheckInResponse>, Status> {
        let node = caller(&request, &self.ledger)?;
        let origin = request.extensions().get().copied().unwrap_or(Origin(None));
        let hang_up = request.extensions().get::<Wish>().is_some_and(|wish| wish.hang_up);
        let request = request.into_inner();
        if self.notice_holders(node, &request, origin).await && request.commit.is_none() {
            // Another instance: who is it? Its commit says.
            count(&self.metrics.check_ins, "send_commit");
            let answer = Some(Answer::SendCommit(SendCommit {}));
            return Ok(Response::new(CheckInResponse { answer, ..CheckInResponse::default() }));
        }
        let trust = Mark::try_from(request.trust.as_slice()).ok();
        let renew = self.must_renew(node, trust);
        let answer = self.answer(node, request).await;
        count(&self.metrics.check_ins, answer.as_ref().map_or("refused", word));
        let within = self.limits.reconnect_within(self.ledger.state().nodes().count());
        let reconnect_within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        Ok(Response::new(CheckInResponse { answer: Some(answer?), renew, hang_up, reconnect_within }))
    }

    async fn put_sections(
        &self,
        request: Request<Streaming<SectionContent>>,
    ) -> Result<Response<PutSectionsResponse>, Status> {
        let node = caller(&request, &self.ledger)?;
        self.put(node, request.into_inner()).await?;
        Ok(Response::new(PutSectionsResponse {}))
    }
}

/// The calling node. Its certificate's environment must be the one that it was enrolled into.
pub fn caller<T>(request: &Request<T>, ledger: &Ledger) -> Result<Uuid, Status> {
    let Some(Peer::Node { environment, id }) = request.extensions().get::<Peer>() else {
        return Err(Status::permission_denied("only a node reports"));
    };
    member(&ledger.state(), *id, environment).map(|_| *id)
}

/// The node of this identity, if it is a member of the fleet.
pub fn member<'a>(state: &'a State, id: Uuid, environment: &str) -> Result<&'a NodeState, Status> {
    match state.node(id) {
        Some(node) if *node.environment == *environment => Ok(node),
        Some(_) => {
            Err(Status::permission_denied("this node was enrolled into another environment: enrol it again"))
        }
        None => Err(state
            .left_node(id)
            .map_or_else(not_enrolled, |left| Status::permission_denied(left.sentence()))),
    }
}

fn word(answer: &Answer) -> &'static str {
    match answer {
        Answer::UpToDate(_) => "up_to_date",
        Answer::Send(_) => "send",
        Answer::RetryAfter(RetryAfter { .. }) => "retry_after",
        Answer::SendCommit(SendCommit {}) => "send_commit",
        Answer::EpochBehind(_) => "epoch_behind",
    }
}

fn not_kept(refusal: Refusal) -> Status {
    match refusal {
        Refusal::NotAsked => Status::failed_precondition(refusal.to_string()),
        Refusal::Full | Refusal::Twice => Status::resource_exhausted(refusal.to_string()),
    }
}

fn not_decoded(error: contents::Undecoded) -> Status {
    match error {
        contents::Undecoded::TooLarge => Status::out_of_range(error.to_string()),
        contents::Undecoded::Malformed(error) => malformed(error),
    }
}

fn not_enrolled() -> Status {
    Status::permission_denied("this collector does not know the node: enrol it again")
}

fn malformed(error: Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

/// The journal takes no writes: nothing is acknowledged, the agent keeps what it has.
fn unavailable(error: LedgerError) -> Status {
    Status::unavailable(error.to_string())
}

#[cfg(test)]
mod tests;
