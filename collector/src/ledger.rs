//! The one way to change the collector's state: decide on the current state, append to the journal, apply, answer.
//!
//! One thread owns the journal. It takes whatever waits, decides each on the state as it is, appends all of it in one
//! transaction (group commit), applies it, and only then answers. So an answer means durable, the state is never ahead
//! of the journal, and a failed append changes nothing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread;

use evenkeel_facts::{Digest, Section};
use evenkeel_runtime::exit;
use evenkeel_runtime::seeded::{self, Bug};
use evenkeel_store::{Batch, Content, Entry, Journal, Reader, StoreError, Writer};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tracing::error;
use uuid::Uuid;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::state::State;

/// How many changes one transaction may hold.
const GROUP: usize = 512;
/// How many changes may wait before senders do.
const QUEUE: usize = 4096;

/// What a change is about: two changes with the same key are never decided on the same state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// One node.
    Node(Uuid),
    /// One token.
    Token(String),
    /// Nothing that others could contend for.
    None,
}

/// What was decided.
#[derive(Debug)]
pub struct Decision<T> {
    /// What is appended; nothing is appended if there are no entries.
    pub entries: Vec<Entry>,
    /// Contents that the entries name.
    pub sections: Vec<Content>,
    /// The answer, given when the entries are durable.
    pub answer: T,
}

impl<T> Decision<T> {
    /// Nothing to append.
    pub fn only(answer: T) -> Self {
        Self { entries: Vec::new(), sections: Vec::new(), answer }
    }
}

/// A change was not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The journal takes no writes now.
    #[error("the journal cannot be written: {0}")]
    Journal(String),
    /// The collector is ending.
    #[error("the collector is shutting down")]
    Closed,
}

/// Handles to the ledger. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    state: Arc<RwLock<State>>,
    clock: Arc<Clock>,
    jobs: mpsc::Sender<Message>,
}

type Staged = (Vec<Entry>, Vec<Content>);

/// A change on its way: decides, and later answers.
struct Job {
    key: Key,
    decide: Box<Decide>,
}

type Decide = dyn FnOnce(&State) -> (Staged, Answer) + Send;
type Answer = Box<dyn FnOnce(Result<(), LedgerError>) + Send>;

enum Message {
    Job(Job),
    Probe(oneshot::Sender<Result<(), LedgerError>>),
    Settle(oneshot::Sender<Result<(), LedgerError>>),
    Upkeep(Box<dyn FnOnce(&mut Writer) + Send>),
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl Ledger {
    /// Replays the journal into a new state, notes which environments there are now, and starts the writing thread. The
    /// thread ends when every handle is gone.
    pub fn start(
        state: State,
        journal: impl Journal + 'static,
        reader: &Reader,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let configured = state.environments().to_vec();
        let (ledger, mut keeper) = Self::by_hand(state, journal, reader, metrics)?;
        keeper.note_order(&configured)?;
        thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| keeper.run())).is_err() {
                    // A state that may differ from its journal answers nobody: start again from the journal.
                    error!("The ledger failed; the collector ends.");
                    std::process::abort();
                }
            })
            .expect("a thread can be started");
        Ok(ledger)
    }

    /// The same without a thread: whoever holds the keeper says when it takes its next turn, and what time it is then.
    pub fn by_hand(
        mut state: State,
        journal: impl Journal + 'static,
        reader: &Reader,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Keeper), StoreError> {
        let last = journal.position().saturating_sub(u64::from(seeded::has(Bug::LastEntryNotReplayed)));
        state.replay(reader, last, &mut |digest| reader.content(digest))?;
        for position in reader.damaged_checkpoints()? {
            error!(position, "What says that a checkpoint is whole is damaged; it does not count.");
        }
        let mut journal: Box<dyn Journal> = Box::new(journal);
        for (digest, nodes) in state.damaged() {
            error!(%digest, nodes = nodes.join(" "), "A content is damaged; these nodes are not judged until they have sent it again.");
            put_aside(&mut *journal, digest, &metrics);
        }
        for (digest, baselines) in state.judgement().damaged() {
            error!(
                %digest, baselines = baselines.join(" "),
                "A content of a baseline is damaged; its nodes that had it are not compared. Make the baseline anew."
            );
            put_aside(&mut *journal, digest, &metrics);
        }
        let state = Arc::new(RwLock::new(state));
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let clock = Arc::new(Clock::default());
        let keeper = Keeper {
            state: Arc::clone(&state),
            clock: Arc::clone(&clock),
            journal,
            metrics,
            inbox,
            later: VecDeque::new(),
            unwritten: None,
        };
        Ok((Self { state, clock, jobs }, keeper))
    }

    /// The state as of now. Hold it briefly: a write waits for it.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, and the moment that a report on it speaks of.
    pub fn now(&self) -> (RwLockReadGuard<'_, State>, Timestamp) {
        let state = self.state();
        let moment = self.clock.read(self.clock.time());
        (state, moment)
    }

    /// Decides on the state, appends, applies; then gives the answer. An answer means: durable.
    pub async fn change<T: Send + 'static>(
        &self,
        key: Key,
        decide: impl FnOnce(&State) -> Decision<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (sender, receiver) = oneshot::channel();
        let decide = Box::new(move |state: &State| {
            let Decision { entries, sections, answer } = decide(state);
            let reply: Answer = Box::new(move |result: Result<(), LedgerError>| {
                // Nobody waits any more: the caller went away, what was appended stays.
                let _ = sender.send(result.map(|()| answer));
            });
            ((entries, sections), reply)
        });
        self.jobs.send(Message::Job(Job { key, decide })).await.map_err(|_| LedgerError::Closed)?;
        receiver.await.map_err(|_| LedgerError::Closed)?
    }

    /// Whether the journal takes a write now.
    pub async fn probe(&self) -> Result<(), LedgerError> {
        let (sender, receiver) = oneshot::channel();
        self.jobs.send(Message::Probe(sender)).await.map_err(|_| LedgerError::Closed)?;
        receiver.await.map_err(|_| LedgerError::Closed)?
    }

    /// Has the ledger do something to the store, between two transactions: briefly, and not what changes the state. Waits for
    /// it: not for a thread that has to answer others.
    pub fn upkeep<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (sender, receiver) = oneshot::channel();
        let work = move |writer: &mut Writer| {
            let _ = sender.send(work(writer).map_err(|error| refused(&error)));
        };
        self.jobs.blocking_send(Message::Upkeep(Box::new(work))).map_err(|_| LedgerError::Closed)?;
        receiver.blocking_recv().map_err(|_| LedgerError::Closed)?
    }

    /// A content is damaged: it is put aside, and asked for again when somebody has it.
    pub async fn put_aside(&self, digest: Digest) -> Result<(), LedgerError> {
        let (sender, receiver) = oneshot::channel();
        let work = move |writer: &mut Writer| {
            let _ = sender.send(writer.quarantine(digest).map_err(|error| refused(&error)));
        };
        self.jobs.send(Message::Upkeep(Box::new(work))).await.map_err(|_| LedgerError::Closed)?;
        receiver.await.map_err(|_| LedgerError::Closed)?
    }

    /// At the end: the journal's file alone is the store then, and whoever copies it has everything.
    pub async fn settle(&self) -> Result<(), LedgerError> {
        let (sender, receiver) = oneshot::channel();
        self.jobs.send(Message::Settle(sender)).await.map_err(|_| LedgerError::Closed)?;
        receiver.await.map_err(|_| LedgerError::Closed)?
    }
}

/// Changes that can be decided on the same state.
#[derive(Default)]
struct Group {
    jobs: Vec<Job>,
    keys: HashSet<Key>,
}

impl Group {
    /// Takes a change; gives it back if another with its key is in.
    fn take(&mut self, job: Job) -> Option<Job> {
        if job.key != Key::None && !self.keys.insert(job.key.clone()) {
            return Some(job);
        }
        self.jobs.push(job);
        None
    }
}

/// The owner of the journal.
pub struct Keeper {
    state: Arc<RwLock<State>>,
    clock: Arc<Clock>,
    journal: Box<dyn Journal>,
    metrics: Arc<Metrics>,
    inbox: mpsc::Receiver<Message>,
    /// Changes that waited for another with their key.
    later: VecDeque<Job>,
    /// What a seeded mistake has answered and not written.
    unwritten: Option<Batch>,
}

impl Keeper {
    fn run(mut self) {
        let clock = Arc::clone(&self.clock);
        loop {
            let mut group = Group::default();
            if self.later.is_empty() {
                match self.inbox.blocking_recv() {
                    Some(message) => {
                        let waits = self.take(message, &mut group);
                        self.later.extend(waits);
                    }
                    None => return,
                }
            }
            self.turn_with(group, || clock.time());
        }
    }

    /// Appends which environments there are, where the journal says otherwise or nothing.
    fn note_order(&mut self, configured: &[Arc<str>]) -> Result<(), StoreError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let Some(news) = state.news_of_order(configured) else { return Ok(()) };
        let entries = vec![(Timestamp::now(), Entry::EnvironmentsOrdered(news))];
        for record in self.journal.append(Batch { entries, ..Batch::default() })? {
            let load = &mut |digest| Err(StoreError::Damaged(format!("section {digest} is missing")));
            state.apply(&record, load)?;
        }
        Ok(())
    }

    /// The store that it writes, if it is on this machine's disk.
    pub fn on_disk(&mut self) -> Option<&mut Writer> {
        self.journal.on_disk()
    }

    /// How many changes wait to be decided.
    pub fn waiting(&self) -> usize {
        self.later.len() + self.inbox.len()
    }

    /// Decides, appends, applies and answers what waits, at this time: as much of it as one transaction may hold.
    pub fn turn(&mut self, now: Timestamp) {
        self.turn_with(Group::default(), || now);
    }

    fn turn_with(&mut self, mut group: Group, now: impl FnOnce() -> Timestamp) {
        if let Some(batch) = self.unwritten.take() {
            let _ = self.commit(batch);
        }
        for job in std::mem::take(&mut self.later) {
            self.later.extend(group.take(job));
        }
        // One key that asks a lot must not keep others out: what waits for it does not count.
        while group.jobs.len() < GROUP && self.later.len() < QUEUE {
            match self.inbox.try_recv() {
                Ok(message) => {
                    let waits = self.take(message, &mut group);
                    self.later.extend(waits);
                }
                Err(_) => break,
            }
        }
        self.decide(group.jobs, now());
    }

    fn take(&mut self, message: Message, group: &mut Group) -> Option<Job> {
        match message {
            Message::Job(job) => group.take(job),
            Message::Probe(reply) => {
                let _ = reply.send(self.journal.probe().map_err(|error| refused(&error)));
                None
            }
            Message::Settle(reply) => {
                let _ = reply.send(self.journal.settle().map_err(|error| refused(&error)));
                None
            }
            Message::Upkeep(work) => {
                // What is kept elsewhere is looked after there: whoever asked is told that nobody answers.
                if let Some(store) = self.journal.on_disk() {
                    work(store);
                }
                None
            }
        }
    }

    /// Decides each on the state as it is, and appends all in one transaction.
    fn decide(&mut self, jobs: Vec<Job>, now: Timestamp) {
        let mut answers = Vec::with_capacity(jobs.len());
        let mut batch = Batch::default();
        let now = self.clock.decide(now);
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            for job in jobs {
                let ((entries, sections), answer) = (job.decide)(&state);
                batch.entries.extend(entries.into_iter().map(|entry| (now, entry)));
                batch.sections.extend(sections);
                answers.push(answer);
            }
        }
        let result = if batch.entries.is_empty() {
            Ok(())
        } else if seeded::has(Bug::AckBeforeCommit) && batch.entries.iter().any(|(_, entry)| is_commit(entry))
        {
            self.unwritten = Some(batch);
            Ok(())
        } else {
            self.commit(batch)
                .or_else(|error| if seeded::has(Bug::FailedWriteAcked) { Ok(()) } else { Err(error) })
        };
        self.clock.settle();
        for answer in answers {
            answer(result.clone());
        }
    }

    fn commit(&mut self, batch: Batch) -> Result<(), LedgerError> {
        let contents = batch.sections.iter().map(|content| (content.digest(), Arc::clone(content.section())));
        let contents: HashMap<Digest, Arc<Section>> = contents.collect();
        let records = self.journal.append(batch).map_err(|error| {
            error!(error = exit::chain(&error), "The journal cannot be written; nothing was acknowledged.");
            self.metrics.journal_failures.inc();
            refused(&error)
        })?;
        self.metrics.group_size.observe(f64::from(u32::try_from(records.len()).unwrap_or(u32::MAX)));
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            let load = &mut |digest: Digest| {
                contents
                    .get(&digest)
                    .cloned()
                    .ok_or_else(|| StoreError::Damaged(format!("section {digest} is missing")))
            };
            state.apply(&record, load).expect("a decision brings every content that its entries name");
        }
        self.clock.settle();
        Ok(())
    }
}

/// At a start. A disk that is full keeps no collector from it: the content is found damaged, and put aside, when somebody
/// sends it again.
fn put_aside(journal: &mut dyn Journal, digest: Digest, metrics: &Metrics) {
    metrics.damaged.inc();
    if let Some(Err(error)) = journal.on_disk().map(|store| store.quarantine(digest)) {
        error!(%digest, error = exit::chain(&error), "A damaged content could not be put aside.");
    }
}

/// Whether a node has reported.
fn is_commit(entry: &Entry) -> bool {
    matches!(entry, Entry::Committed(_))
}

fn refused(error: &StoreError) -> LedgerError {
    LedgerError::Journal(exit::chain(error))
}
