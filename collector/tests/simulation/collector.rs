//! The collector: its real ingest, ledger and store, on a disk of which nothing is left but what was synced.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use evenkeel_collector::access::Peer;
use evenkeel_collector::ca::{Ca, Lives};
use evenkeel_collector::config::Transport;
use evenkeel_collector::ingest::{Ingest, Limits};
use evenkeel_collector::ledger::{Decision, Keeper, Key, Ledger};
use evenkeel_collector::metrics::Metrics;
use evenkeel_collector::state::State;
use evenkeel_proto::fleet::check_in_response::Answer;
use evenkeel_proto::fleet::fleet_service_server::FleetService as _;
use evenkeel_proto::fleet::{CheckInRequest, SectionContent};
use evenkeel_runtime::seeded::{self, Bug};
use evenkeel_store::entry::{Enrolled, Presence};
use evenkeel_store::{Entry, FILE, Reader};
use jiff::Timestamp;
use tokio::runtime::Runtime;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::host::Host;
use crate::random::Random;

/// In their order of promotion.
pub(crate) const ENVIRONMENTS: [&str; 3] = ["dev", "staging", "prod"];

/// A collector that runs.
pub(crate) struct Collector {
    runtime: Runtime,
    directory: PathBuf,
    starts: u32,
    live: Live,
    /// Bytes of the write-ahead log that were synced though appends no longer wait for it; `None`: they do.
    synced: Option<u64>,
}

struct Live {
    ingest: Ingest,
    ledger: Ledger,
    keeper: Keeper,
    reader: Reader,
}

/// An answered check-in: which of those that came together, and the answer.
pub(crate) type Answered = (usize, Result<Option<Answer>, Status>);

impl Collector {
    /// On an empty disk, with these nodes enrolled.
    pub(crate) fn new(directory: &Path, hosts: &[Host], now: Timestamp) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
        let directory = directory.to_owned();
        let first = directory.join("collector-0");
        fs::create_dir_all(&first).expect("a directory is made");
        let (live, synced) = open(&first).expect("an empty store opens");
        let mut collector = Self { runtime, directory, starts: 0, live, synced };
        for host in hosts {
            let enrolled = Enrolled {
                node: host.id,
                environment: host.environment.to_owned(),
                host: host.name.clone(),
                role: String::new(),
                token: String::new(),
                labels: BTreeMap::new(),
                key: Vec::new(),
            };
            collector.enter(Entry::Enrolled(enrolled), now);
        }
        // The first power cut comes later than that.
        collector.live.keeper.turn(now);
        if collector.synced.is_some() {
            collector.synced = fs::metadata(collector.file("-wal")).ok().map(|file| file.len());
        }
        collector
    }

    /// Appends one entry.
    fn enter(&mut self, entry: Entry, now: Timestamp) {
        let ledger = self.live.ledger.clone();
        let decide = move |_: &State| Decision { entries: vec![entry], sections: vec![], answer: () };
        let mut change: Pin<Box<dyn Future<Output = _>>> = Box::pin(ledger.change(Key::None, decide));
        while until_queued(&self.runtime, &mut change, &self.live.keeper).is_none() {
            self.live.keeper.turn(now);
        }
    }

    /// The node was not heard for long.
    pub(crate) fn is_silent(&mut self, node: Uuid, now: Timestamp) {
        if self.live.ledger.state().node(node).is_some_and(|node| node.view.fresh) {
            self.enter(Entry::Presence(Presence { node, fresh: false, last_seen: now }), now);
        }
    }

    /// These check-ins come at the same time. The answers, in the order in which they were given.
    pub(crate) fn check_in(
        &mut self,
        requests: Vec<(Uuid, &'static str, CheckInRequest)>,
        now: Timestamp,
    ) -> Vec<Answered> {
        let Live { ingest, keeper, .. } = &mut self.live;
        let ingest = &*ingest;
        let nodes: Vec<Uuid> = requests.iter().map(|(node, ..)| *node).collect();
        let mut done = Vec::new();
        // By node: a turn of the ledger answers the first of each.
        let mut queued: BTreeMap<Uuid, VecDeque<_>> = BTreeMap::new();
        for (at, (id, environment, message)) in requests.into_iter().enumerate() {
            let mut request = Request::new(message);
            request.extensions_mut().insert(Peer::Node { environment: environment.to_owned(), id });
            let mut call: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(async move {
                ingest.check_in(request).await.map(|response| response.into_inner().answer)
            });
            match until_queued(&self.runtime, &mut call, keeper) {
                Some(answer) => done.push((at, answer)),
                None => queued.entry(nodes[at]).or_default().push_back((at, call)),
            }
        }
        while !queued.is_empty() {
            keeper.turn(now);
            for calls in queued.values_mut() {
                let Some((at, mut call)) = calls.pop_front() else { continue };
                match until_queued(&self.runtime, &mut call, keeper) {
                    Some(answer) => done.push((at, answer)),
                    None => calls.push_back((at, call)),
                }
            }
            queued.retain(|_, calls| !calls.is_empty());
        }
        done
    }

    /// Contents come.
    pub(crate) fn put(&mut self, node: Uuid, contents: Vec<SectionContent>) -> Result<(), Status> {
        let contents = tokio_stream::iter(contents.into_iter().map(Ok));
        self.runtime.block_on(self.live.ingest.put(node, contents))
    }

    /// The disk takes no writes, or takes them again.
    pub(crate) fn refuse_writes(&mut self, refuse: bool) {
        self.live.keeper.on_disk().expect("a disk").refuse_writes(refuse).expect("a setting");
    }

    /// The process ends at once, and with `power` the machine: of what was not synced, some is lost. It starts again.
    pub(crate) fn crash(&mut self, power: bool, random: &mut Random) -> Result<(), String> {
        let next = self.directory.join(format!("collector-{}", self.starts + 1));
        fs::create_dir_all(&next).expect("a directory is made");
        for suffix in ["", "-wal"] {
            if let Ok(mut bytes) = fs::read(self.file(suffix)) {
                if suffix == "-wal" && power {
                    self.cut(&mut bytes, random);
                }
                fs::write(next.join(format!("{FILE}{suffix}")), bytes).expect("a file is written");
            }
        }
        // What is left behind is closed only now: closing would have written the log back.
        let (live, synced) = open(&next)?;
        self.live = live;
        let _ = fs::remove_dir_all(self.directory.join(format!("collector-{}", self.starts)));
        self.starts += 1;
        self.synced = synced;
        Ok(())
    }

    /// What a power cut leaves of the log: all that was synced; and the begin of a transaction that was being written.
    fn cut(&self, log: &mut Vec<u8>, random: &mut Random) {
        if let Some(synced) = self.synced {
            let synced = usize::try_from(synced).unwrap_or(0).min(log.len());
            log.truncate(synced + random.below(log.len() - synced + 1));
        } else if random.happens(50) {
            let torn = log.len().min(32 + random.below(4_000));
            log.extend_from_within(..torn);
        }
    }

    /// The state as it is served.
    pub(crate) fn state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.live.ledger.state()
    }

    /// What is on the disk.
    pub(crate) fn reader(&self) -> &Reader {
        &self.live.reader
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("collector-{}", self.starts)).join(format!("{FILE}{suffix}"))
    }
}

/// Goes on with a call until it is answered or waits for the ledger's next turn.
fn until_queued<T>(
    runtime: &Runtime,
    call: &mut Pin<Box<dyn Future<Output = T> + '_>>,
    keeper: &Keeper,
) -> Option<T> {
    let before = keeper.waiting();
    runtime.block_on(std::future::poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if keeper.waiting() > before => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    }))
}

fn open(directory: &Path) -> Result<(Live, Option<u64>), String> {
    let damaged = |error: evenkeel_store::StoreError| {
        format!("the store does not open: {}", evenkeel_runtime::exit::chain(&error))
    };
    let (writer, reader) = evenkeel_store::open(directory).map_err(damaged)?;
    if seeded::has(Bug::LostFsync) {
        writer.lose_sync().map_err(damaged)?;
    }
    let waits = writer.waits_for_disk().map_err(damaged)?;
    let log = fs::metadata(directory.join(format!("{FILE}-wal"))).map_or(0, |file| file.len());
    let state = State::new(&ENVIRONMENTS.map(str::to_owned), Instant::now());
    let metrics = Arc::new(Metrics::default());
    let (ledger, keeper) = Ledger::by_hand(state, writer, &reader, Arc::clone(&metrics)).map_err(damaged)?;
    let transport = Transport { sync_every: Duration::ZERO, ..Transport::default() };
    let limits = Limits::new(&transport, Duration::from_secs(180));
    let own = reader.another().map_err(damaged)?;
    let ingest = Ingest::new(ledger.clone(), own, authority(), Arc::default(), metrics, limits);
    Ok((Live { ingest, ledger, keeper, reader }, (!waits).then_some(log)))
}

/// One authority for all: no certificate is shown here.
fn authority() -> Arc<Ca> {
    static AUTHORITY: OnceLock<Arc<Ca>> = OnceLock::new();
    Arc::clone(AUTHORITY.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory is made");
        let day = Duration::from_secs(86_400);
        let lives = Lives { authority: 3_650 * day, collector: 90 * day, node: day };
        let environments = ENVIRONMENTS.map(str::to_owned);
        Arc::new(Ca::open(directory.path(), &environments, lives, false).expect("an authority is made"))
    }))
}
