//! Nodes that fall silent past their deadline become stale: named, counted, and no drift. Each transition is an entry
//! of the journal, so that a report is a function of the journal alone. So is the end of a clone: one machine of several
//! that held a key is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_runtime::seeded::{self, Bug};
use evenkeel_runtime::shutdown::Shutdown;
use evenkeel_store::Entry;
use evenkeel_store::entry::{NodeSingle, Presence};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;
use uuid::Uuid;

use crate::holders::Holders;
use crate::ledger::{Decision, Key, Ledger};
use crate::state::State;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// A look that comes so much later than it should: the process was stopped, or its machine. Meanwhile nobody could be heard.
const DEAF: Duration = Duration::from_secs(2);

/// Since when the collector listens without a gap.
#[derive(Debug, Clone, Copy)]
struct Listening(Instant);

impl Listening {
    /// It has waited so long for its next look.
    fn has_waited(&mut self, waited: Duration, now: Instant) {
        if waited > LOOK + DEAF && !seeded::has(Bug::StopUnnoticed) {
            warn!(for_ms = waited.as_millis(), "The collector was stopped; nobody is called silent for it.");
            self.0 = now;
        }
    }

    /// For how long the node is silent: time in which nobody listened does not count.
    fn silence(self, silent_for: Duration, now: Instant) -> Duration {
        silent_for.min(now.duration_since(self.0))
    }
}

/// Looks every second until the end.
pub async fn watch(ledger: Ledger, holders: Arc<Holders>, stale_after: Duration, shutdown: Shutdown) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut listening = Listening(Instant::now());
    loop {
        let began = Instant::now();
        tokio::select! {
            () = shutdown.wait() => return,
            _ = ticks.tick() => {}
        }
        listening.has_waited(began.elapsed(), Instant::now());
        let single = single(&ledger.state(), &holders, Instant::now(), stale_after);
        for node in single {
            let entry = Entry::NodeSingle(NodeSingle { node });
            let decide = move |_: &State| Decision { entries: vec![entry], sections: vec![], answer: () };
            let _ = ledger.change(Key::Node(node), decide).await;
        }
        let silent = silent(&ledger.state(), listening, Instant::now(), stale_after);
        let mut changes = JoinSet::new();
        for node in silent {
            let ledger = ledger.clone();
            changes.spawn(async move {
                let decide = move |state: &State| declare(state, node, listening, stale_after);
                (node, ledger.change(Key::Node(node), decide).await)
            });
        }
        // Together, so that a network that is cut off costs one transaction and not one for each node.
        while let Some(change) = changes.join_next().await {
            // A journal that takes no writes is said elsewhere; the next tick tries again.
            if let Ok((node, Ok(Some(name)))) = change {
                warn!(%node, name, "Node is stale.");
            }
        }
    }
}

/// Nodes whose key was held by several machines, and of which only one was heard for so long.
fn single(state: &State, holders: &Holders, now: Instant, quiet: Duration) -> Vec<Uuid> {
    let held = state.nodes().filter(|node| !node.holders().is_empty() && state.is_running_for(quiet, now));
    held.map(|node| node.id).filter(|node| holders.is_single(*node, quiet, now)).collect()
}

fn silent(state: &State, listening: Listening, now: Instant, limit: Duration) -> Vec<Uuid> {
    let silent_for = |node| listening.silence(state.silent_for(node, now), now);
    let silent = state.nodes().filter(|node| node.view.fresh && silent_for(node) > limit);
    silent.map(|node| node.id).collect()
}

/// Decided again on the state as it is then: the node may have been heard in between.
fn declare(state: &State, id: Uuid, listening: Listening, limit: Duration) -> Decision<Option<String>> {
    let (Some(node), now) = (state.node(id), Instant::now()) else { return Decision::only(None) };
    if !node.view.fresh || listening.silence(state.silent_for(node, now), now) <= limit {
        return Decision::only(None);
    }
    let last_seen = node.last_seen().unwrap_or(node.enrolled);
    let entry = Entry::Presence(Presence { node: id, fresh: false, last_seen });
    Decision { entries: vec![entry], sections: vec![], answer: Some(node.view.name.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise P9: a collector that was stopped, and could hear nobody, calls nobody silent for that time.
    #[test]
    fn time_in_which_nobody_listened_does_not_count() {
        let (second, began) = (Duration::from_secs(1), Instant::now());
        let mut listening = Listening(began);
        // A slow machine is no stopped one.
        listening.has_waited(3 * second, began + 100 * second);
        assert_eq!(listening.silence(90 * second, began + 100 * second), 90 * second);
        listening.has_waited(60 * second, began + 160 * second);
        assert_eq!(listening.silence(150 * second, began + 160 * second), Duration::ZERO);
        assert_eq!(listening.silence(157 * second, began + 167 * second), 7 * second);
        assert_eq!(listening.silence(second, began + 167 * second), second);
    }
}
