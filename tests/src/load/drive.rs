//! Many nodes at once, over a bounded number of connections.

use std::time::{Duration, Instant};

use evenkeel_facts::FactPath;
use evenkeel_runtime::backoff::fraction;
use evenkeel_runtime::channel::Address;
use tokio::task::JoinSet;

use super::LoadError;
use super::enrol::Member;
use super::node::Connection;
use super::phase::Phase;
use super::process::Process;
use super::target::Target;

/// So often a node tries to come back.
const MOST_TRIES: u32 = 50;

/// What one worker did.
#[derive(Debug, Default)]
pub struct Tally {
    latencies: Vec<Duration>,
    sent: u64,
}

impl Tally {
    /// An exchange begins.
    pub fn begin(&self) -> Instant {
        Instant::now()
    }

    /// It is done.
    pub fn done(&mut self, began: Instant, sent: u64) {
        self.latencies.push(began.elapsed());
        self.sent += sent;
    }
}

/// Deals items out to so many workers, in order.
pub fn deal<T>(items: Vec<T>, count: usize) -> Vec<Vec<T>> {
    let mut workers: Vec<Vec<T>> = (0..count.min(items.len()).max(1)).map(|_| Vec::new()).collect();
    let count = workers.len();
    for (number, item) in items.into_iter().enumerate() {
        workers[number % count].push(item);
    }
    workers
}

/// Runs workers side by side and waits for all of them. The first error ends it.
pub async fn drive<R, W>(
    collector: Process,
    workers: impl IntoIterator<Item = W>,
) -> Result<(Vec<R>, Phase), LoadError>
where
    R: Send + 'static,
    W: Future<Output = Result<(Vec<R>, Tally), LoadError>> + Send + 'static,
{
    let (began, cpu) = (Instant::now(), collector.cpu()?);
    let mut tasks: JoinSet<_> = workers.into_iter().collect();
    let (mut results, mut phase) = (Vec::new(), Phase::default());
    while let Some(joined) = tasks.join_next().await {
        let (done, tally) = joined.expect("a worker does not panic")?;
        results.extend(done);
        phase.latencies.extend(tally.latencies);
        phase.sent += tally.sent;
    }
    phase.latencies.sort_unstable();
    (phase.wall, phase.cpu) = (began.elapsed(), collector.cpu()?.saturating_sub(cpu));
    Ok((results, phase))
}

/// First reports: each node connects, reports and hangs up, so many at the same time.
pub async fn first_sync(
    collector: &Target,
    members: Vec<Member>,
    at_once: usize,
) -> Result<(Vec<Member>, Phase), LoadError> {
    let address = &collector.fleet;
    let workers = deal(members, at_once).into_iter().map(|members| first_reports(address.clone(), members));
    drive(collector.process, workers).await
}

async fn first_reports(address: Address, members: Vec<Member>) -> Result<(Vec<Member>, Tally), LoadError> {
    let mut tally = Tally::default();
    for member in &members {
        let began = tally.begin();
        let sent = Connection::new(&address, member)?.report(&member.node).await?;
        tally.done(began, sent);
    }
    Ok((members, tally))
}

/// A node that keeps its connection.
pub struct Session {
    /// The node.
    pub member: Member,
    connection: Connection,
}

/// What the nodes of open connections do.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Nothing changed.
    Unchanged,
    /// The node reports its state, whatever it is.
    Report,
    /// One fact of a section is set to a value that no node ever had: new content each time.
    ChangeUniquely {
        /// The section's name.
        section: String,
        /// The fact.
        path: FactPath,
    },
    /// One fact of a section goes back and forth between two values that are known: a rollout.
    ChangeAlike {
        /// The section's name.
        section: String,
        /// The fact.
        path: FactPath,
    },
}

/// Every node connects, and stays.
pub async fn connect(
    collector: &Target,
    members: Vec<Member>,
    at_once: usize,
) -> Result<(Vec<Session>, Phase), LoadError> {
    let address = &collector.fleet;
    let workers = deal(members, at_once).into_iter().map(|members| greetings(address.clone(), members));
    drive(collector.process, workers).await
}

async fn greetings(address: Address, members: Vec<Member>) -> Result<(Vec<Session>, Tally), LoadError> {
    let (mut sessions, mut tally) = (Vec::new(), Tally::default());
    for member in members {
        let began = tally.begin();
        let mut connection = Connection::new(&address, &member)?;
        connection.greet(&member.node).await?;
        tally.done(began, 0);
        sessions.push(Session { member, connection });
    }
    Ok((sessions, tally))
}

/// Every node hangs up, and then all connect again at the same time, with the tickets that they hold. Who is asked to make
/// room for others tries again, as agents do, and is counted once.
pub async fn reconnect(
    collector: &Target,
    mut sessions: Vec<Session>,
) -> Result<(Vec<Session>, Phase), LoadError> {
    for session in &mut sessions {
        session.connection.again();
    }
    let workers = sessions.into_iter().map(|mut session| async move {
        let mut tally = Tally::default();
        let began = tally.begin();
        let mut tries = 0;
        while let Err(error) = session.connection.greet(&session.member.node).await {
            tries += 1;
            if tries == MOST_TRIES {
                return Err(error);
            }
            session.connection.again();
            tokio::time::sleep(Duration::from_millis(500).mul_f64(fraction())).await;
        }
        tally.done(began, 0);
        Ok((vec![session], tally))
    });
    drive(collector.process, workers).await
}

/// Every open connection at the same time, each node so many times, one after the other.
pub async fn steady(
    collector: &Target,
    sessions: Vec<Session>,
    deed: &Deed,
    rounds: usize,
) -> Result<(Vec<Session>, Phase), LoadError> {
    let workers = sessions.into_iter().map(|session| rounds_of(session, deed.clone(), rounds));
    drive(collector.process, workers).await
}

async fn rounds_of(
    mut session: Session,
    deed: Deed,
    rounds: usize,
) -> Result<(Vec<Session>, Tally), LoadError> {
    let mut tally = Tally::default();
    for round in 0..rounds {
        let node = &mut session.member.node;
        match &deed {
            Deed::Unchanged | Deed::Report => {}
            Deed::ChangeUniquely { section, path } => {
                let value = format!("{} {}", node.name, node.sequence);
                node.change(section, path, &value);
            }
            Deed::ChangeAlike { section, path } => node.change(section, path, ["on", "off"][round % 2]),
        }
        let began = tally.begin();
        let sent = match deed {
            Deed::Unchanged => session.connection.unchanged(node).await?,
            _ => session.connection.report(node).await?,
        };
        tally.done(began, sent);
    }
    Ok((vec![session], tally))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_work_and_nothing_is_lost() {
        let dealt = deal((0..10).collect(), 4);
        assert_eq!(dealt.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 2, 2]);
        assert_eq!(deal(vec![1], 8), [[1]]);
        assert_eq!(deal(Vec::<u8>::new(), 8), [Vec::<u8>::new()]);
    }
}
