//! What the fleet, the policy and everything else was at a moment: the journal replayed up to it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use evenkeel_drift::{Fleet, Policy};
use evenkeel_facts::{Digest, Section};
use evenkeel_runtime::exit;
use evenkeel_store::{Reader, StoreError};
use jiff::Timestamp;
use tonic::Status;

use crate::ledger::Ledger;
use crate::scope::Scope;
use crate::state::State;

/// Reads the state of now, and of moments in the past. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Archive {
    ledger: Ledger,
    reader: Arc<Mutex<Reader>>,
    /// The past that was asked for last, by its position in the journal: one question is often followed by another.
    past: Arc<Mutex<Option<Arc<State>>>>,
}

/// The fleet and what it is judged by, at a moment.
#[derive(Debug, Clone)]
pub struct View {
    /// What the caller may see of the fleet.
    pub fleet: Fleet,
    /// The policy that was in force.
    pub policy: Arc<Policy>,
    /// The moment.
    pub now: Timestamp,
    /// Until before then the fleet is the same if the journal does not go on: what is quarantined changes by itself.
    pub until: Timestamp,
}

impl Archive {
    /// Reads the journal with this reader.
    pub fn new(ledger: Ledger, reader: Reader) -> Self {
        Self { ledger, reader: Arc::new(Mutex::new(reader)), past: Arc::default() }
    }

    /// Where it is written.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What is in the caller's environments now.
    pub fn view(&self, scope: &Scope) -> View {
        let whole = {
            let (state, now) = self.ledger.now();
            Self::of(&state, now)
        };
        // What is made for some environments only is made while nobody waits for the state.
        View { fleet: scope.view(whole.fleet), ..whole }
    }

    /// What was in them at a moment. Replays the journal up to it: not for a thread that has to answer others.
    pub fn view_at(&self, scope: &Scope, at: Timestamp) -> Result<View, Status> {
        let now = self.ledger.now().1;
        if at > now {
            return Err(Status::invalid_argument(format!("{at} has not come yet: it is {now:.0}")));
        }
        let state = self.state_at(at).map_err(|error| Status::internal(exit::chain(&error)))?;
        let Some(state) = state else {
            let begin = self.reader().begin().ok().flatten();
            let begin =
                begin.map_or_else(|| "it is empty".to_owned(), |begin| format!("it begins at {begin}"));
            return Err(Status::out_of_range(format!("the journal does not reach back to {at}: {begin}")));
        };
        let whole = Self::of(&state, at);
        Ok(View { fleet: scope.view(whole.fleet), ..whole })
    }

    /// A content, wherever it is known from.
    pub fn section(&self, digest: Digest) -> Result<Arc<Section>, StoreError> {
        if let Some(known) = self.ledger.state().content(digest) {
            return Ok(known);
        }
        self.reader().content(digest)
    }

    /// `None`: the journal begins later.
    fn state_at(&self, at: Timestamp) -> Result<Option<Arc<State>>, StoreError> {
        let position = self.reader().position_at(at)?;
        if position == 0 {
            return Ok(None);
        }
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = past.as_ref().filter(|state| state.journal == position) {
            return Ok(Some(Arc::clone(known)));
        }
        let environments: Vec<String> =
            self.ledger.state().environments().iter().map(ToString::to_string).collect();
        let mut state = State::new(&environments, Instant::now());
        // A reader of its own: a long replay keeps no short question waiting.
        let reader = self.reader().another()?;
        let known = |digest| self.ledger.state().content(digest);
        state.replay(&reader, position, &mut |digest| {
            known(digest).map_or_else(|| reader.content(digest), Ok)
        })?;
        let state = Arc::new(state);
        *past = Some(Arc::clone(&state));
        Ok(Some(state))
    }

    fn of(state: &State, now: Timestamp) -> View {
        let fleet = state.fleet(now);
        let until = if fleet.quarantined.is_empty() { Timestamp::MAX } else { state.calmer_at(now) };
        View { fleet, policy: Arc::clone(state.judgement().policy()), now, until }
    }

    fn reader(&self) -> std::sync::MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
