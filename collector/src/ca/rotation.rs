//! One generation takes another's place, in three steps, and at each of them both sides of every connection trust each
//! other: a new one is *prepared* (agents are told to trust it), *activated* (it issues, with a cross certificate for
//! those who still trust only the old root), and the old one *retired*.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use evenkeel_runtime::exit;
use evenkeel_runtime::files::FileError;
use evenkeel_runtime::pin::Pin;
use evenkeel_store::entry::Step;
use jiff::Timestamp;
use tracing::warn;

use super::generation::{Generation, end_of};
use super::register::{Entry, Register, State, directory_of};
use super::{Ca, CaError, Held};

/// A generation, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Counts from 1.
    pub number: u32,
    /// What it is for.
    pub state: State,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Of its root.
    pub pin: Pin,
    /// From when its root is valid.
    pub begins: Timestamp,
    /// Until when.
    pub ends: Timestamp,
}

impl Ca {
    /// The generations, the oldest first.
    pub fn generations(&self) -> Vec<Shown> {
        let shown = |Held { entry, generation }: &Held| {
            let moment = |time| Timestamp::try_from(time).unwrap_or_default();
            let (begins, ends) =
                evenkeel_runtime::keys::validity(&generation.root.certificate).expect("it was parsed");
            let Entry { number, state, since } = entry.clone();
            let pin = generation.pin();
            Shown { number, state, since, pin, begins: moment(begins), ends: moment(ends) }
        };
        self.generations.load().iter().map(shown).collect()
    }

    /// What a rotation does next.
    pub fn next_step(&self) -> Step {
        next_step(&self.generations())
    }

    /// Does it, durably, and returns the generation that it is about. The collector's own certificate is made anew by
    /// whoever calls.
    pub fn take_step(&self, step: Step) -> Result<Shown, CaError> {
        let _one = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        // Two who ask at once must not take two steps.
        if step != self.next_step() {
            return Err(CaError::Step);
        }
        let now = Timestamp::now();
        let mut held: Vec<Held> = Vec::new();
        let (current, before) = (self.generations.load_full(), self.generations());
        for Held { entry, generation } in current.iter() {
            let (mut entry, generation) = (entry.clone(), Arc::clone(generation));
            let state = match (step, entry.state) {
                (Step::Retired, State::Retiring) => continue,
                (Step::Activated, State::Active) => State::Retiring,
                (Step::Activated, State::Prepared) => State::Active,
                (_, state) => state,
            };
            if state != entry.state {
                (entry.state, entry.since) = (state, now);
            }
            held.push(Held { entry, generation });
        }
        if step == Step::Prepared {
            held.push(self.make_next(&current, now)?);
        }
        let register = Register { generations: held.iter().map(|held| held.entry.clone()).collect() };
        register.write(&self.directory)?;
        self.generations.store(Arc::new(held));
        // The step is taken. What is left to do is done at the next start, if not now.
        if let Err(error) = self.write_roots() {
            warn!(error = exit::chain(&error), "The file of roots was not written.");
        }
        register.remove_others(&self.directory);
        let about = |generations: Vec<Shown>| match step {
            Step::Retired => generations.into_iter().next(),
            Step::Prepared | Step::Activated => generations.into_iter().last(),
        };
        // The one that is retired is in the list of before only.
        let list = if step == Step::Retired { before } else { self.generations() };
        Ok(about(list).expect("there is always one"))
    }

    fn make_next(&self, current: &[Held], now: Timestamp) -> Result<Held, CaError> {
        let last = current.last().expect("there is always one");
        let number = last.entry.number + 1;
        let place = directory_of(&self.directory, number);
        // What a step that was cut off has left is nobody's yet.
        match std::fs::remove_dir_all(&place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(FileError::io("remove", &place)(error).into());
            }
            _ => {}
        }
        let (life, before) = (Some(self.lives.authority), Some(&last.generation.root));
        let generation = Generation::open(&place, number, &self.environments, life, before)?;
        let entry = Entry { number, state: State::Prepared, since: now };
        Ok(Held { entry, generation: Arc::new(generation) })
    }

    /// When the active root ends, for whoever must be told in time.
    pub fn ends(&self) -> Result<Timestamp, CaError> {
        let end = end_of(&self.active().root.certificate)?;
        Ok(Timestamp::from_second(end.unix_timestamp()).unwrap_or_default())
    }
}

fn next_step(generations: &[Shown]) -> Step {
    let is_there = |state| generations.iter().any(|shown| shown.state == state);
    if is_there(State::Retiring) {
        Step::Retired
    } else if is_there(State::Prepared) {
        Step::Activated
    } else {
        Step::Prepared
    }
}

/// The step that is due by itself. A generation is replaced at half of its life; each further step waits for `patience`
/// (as long as a node may be off and still recover) and for nodes that have not followed, but not for ever: a node that
/// is still behind at three quarters of the old root's life must be enrolled again.
pub fn due(
    generations: &[Shown],
    is_anybody_behind: bool,
    patience: Duration,
    now: Timestamp,
) -> Option<Step> {
    let part = |shown: &Shown, part: f64| {
        let life = Duration::try_from(shown.ends.duration_since(shown.begins)).unwrap_or_default();
        shown.begins + life.mul_f64(part)
    };
    let oldest = generations.first()?;
    let step = next_step(generations);
    let since = generations.iter().map(|shown| shown.since).max()?;
    let is_due = match step {
        Step::Prepared => now >= part(oldest, 0.5),
        Step::Activated | Step::Retired => {
            let is_late = now >= part(oldest, 0.75) && step == Step::Activated || now >= oldest.ends;
            is_late || now >= since + patience && !is_anybody_behind
        }
    };
    is_due.then_some(step)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LIVES, node, open};
    use super::super::{Ca, SigningRequest};
    use super::*;
    use evenkeel_runtime::keys::Key;
    use evenkeel_runtime::tickets::Tickets;
    use evenkeel_runtime::tls::{self, COLLECTOR_NAME, Chain};
    use rustls::{ClientConfig, ClientConnection, ServerConnection};
    use rustls_pki_types::{CertificateDer, ServerName};

    /// A node as it was certified at some moment: what it trusts, and what it shows.
    struct Certified {
        roots: Vec<CertificateDer<'static>>,
        certificates: Vec<CertificateDer<'static>>,
        key: Key,
    }

    fn certified(ca: &Ca) -> Certified {
        let key = Key::generate();
        let request = SigningRequest::parse(&key.signing_request()).unwrap();
        let certificates = ca.certify(&node("dev"), &request, LIVES.node).unwrap();
        Certified { roots: ca.roots(), certificates, key }
    }

    /// Whether both sides accept each other.
    fn shake_hands(ca: &Ca, client: ClientConfig) -> Result<(), rustls::Error> {
        let tickets = Arc::new(Tickets::new(false).unwrap());
        let chain = ca.certify_collector(&["collector".into()]).unwrap();
        let server = tls::mutual_server(&ca.roots(), chain, None, &tickets).unwrap();
        let name = ServerName::try_from(COLLECTOR_NAME).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        while client.is_handshaking() || server.is_handshaking() || client.wants_write() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            if !wire.is_empty() {
                client.read_tls(&mut wire.as_slice()).unwrap();
                client.process_new_packets()?;
            }
        }
        Ok(())
    }

    fn connect(ca: &Ca, who: &Certified) -> Result<(), rustls::Error> {
        let chain = Chain { certificates: who.certificates.clone(), key: who.key.to_der() };
        shake_hands(ca, tls::client(&who.roots, chain).unwrap())
    }

    /// Promise: at every step of a rotation a node that has not heard of it is still believed and still believes, until
    /// the old generation is retired; a node that has heard of it notices nothing at all.
    #[test]
    fn nobody_is_left_behind_before_the_last_step() {
        let directory = tempfile::tempdir().unwrap();
        let ca = open(directory.path(), &["dev"]).unwrap();
        let (old, old_pin) = (certified(&ca), ca.pin());
        assert_eq!(ca.next_step(), Step::Prepared);
        ca.take_step(Step::Prepared).unwrap();
        let between = certified(&ca);
        assert_eq!((between.roots.len(), ca.pin()), (2, old_pin));
        connect(&ca, &old).unwrap();
        connect(&ca, &between).unwrap();

        assert_eq!(ca.next_step(), Step::Activated);
        assert_eq!(ca.take_step(Step::Activated).unwrap().number, 2);
        let new = certified(&ca);
        assert!(ca.pin() != old_pin && ca.is_pinned_by(old_pin));
        for who in [&old, &between, &new] {
            connect(&ca, who).unwrap();
        }
        // A restart changes nothing of it.
        let ca = open(directory.path(), &["dev"]).unwrap();
        for who in [&old, &between, &new] {
            connect(&ca, who).unwrap();
        }

        assert_eq!(ca.next_step(), Step::Retired);
        assert!(matches!(ca.take_step(Step::Activated), Err(CaError::Step)), "not twice");
        assert_eq!(ca.take_step(Step::Retired).unwrap().number, 1);
        assert_eq!(ca.certify_collector(&[]).unwrap().certificates.len(), 2, "nothing leads to the old root");
        connect(&ca, &new).unwrap();
        assert!(connect(&ca, &old).is_err(), "the old root is trusted no more");
        assert!(connect(&ca, &between).is_err(), "the old generation is believed no more");
        assert!(!ca.is_pinned_by(old_pin) && !directory.path().join("1").exists());
    }

    /// Promise: a token that was made before a rotation is good until its root is retired.
    #[test]
    fn a_pin_finds_its_root() {
        let directory = tempfile::tempdir().unwrap();
        let ca = open(directory.path(), &["dev"]).unwrap();
        let old = ca.pin();
        ca.take_step(Step::Prepared).unwrap();
        ca.take_step(Step::Activated).unwrap();
        // The fleet port asks for a certificate, which a pinned client has none of: the server refuses after the client
        // was satisfied.
        let refusal = |pin| shake_hands(&ca, tls::pinned_client(pin).unwrap()).unwrap_err().to_string();
        for pin in [old, ca.pin()] {
            assert_eq!(refusal(pin), "peer sent no certificates");
        }
        assert_eq!(refusal("ab".repeat(32).parse().unwrap()), "invalid peer certificate: UnknownIssuer");
    }

    fn shown(number: u32, state: State, since: i64, begins: i64, ends: i64) -> Shown {
        let day = |day: i64| Timestamp::from_second(day * 86_400).unwrap();
        let pin = "ab".repeat(32).parse().unwrap();
        Shown { number, state, since: day(since), pin, begins: day(begins), ends: day(ends) }
    }

    #[test]
    fn steps_are_taken_in_time() {
        use State::{Active, Prepared, Retiring};
        let patience = Duration::from_secs(30 * 86_400);
        let due = |generations: &[Shown], behind, day: i64| {
            due(generations, behind, patience, Timestamp::from_second(day * 86_400).unwrap())
        };
        let one = [shown(1, Active, 0, 0, 1000)];
        assert_eq!((due(&one, false, 499), due(&one, true, 500)), (None, Some(Step::Prepared)));
        let two = [shown(1, Active, 0, 0, 1000), shown(2, Prepared, 500, 500, 1500)];
        assert_eq!((due(&two, false, 529), due(&two, false, 530)), (None, Some(Step::Activated)));
        assert_eq!((due(&two, true, 749), due(&two, true, 750)), (None, Some(Step::Activated)));
        let last = [shown(1, Retiring, 530, 0, 1000), shown(2, Active, 530, 500, 1500)];
        assert_eq!((due(&last, false, 559), due(&last, false, 560)), (None, Some(Step::Retired)));
        assert_eq!((due(&last, true, 999), due(&last, true, 1000)), (None, Some(Step::Retired)));
    }
}
