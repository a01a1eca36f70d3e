//! Nodes that fall silent past their deadline become stale: named, counted, and no drift. Each transition is an entry
//! of the journal, so that a report is a function of the journal alone.

use std::time::Duration;

use evenkeel_runtime::shutdown::Shutdown;
use evenkeel_store::Entry;
use evenkeel_store::entry::Presence;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;
use uuid::Uuid;

use crate::ledger::{Decision, Key, Ledger};
use crate::state::State;

/// Looks every second until the end.
pub async fn watch(ledger: Ledger, stale_after: Duration, shutdown: Shutdown) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let limit = SignedDuration::try_from(stale_after).unwrap_or(SignedDuration::MAX);
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = ticks.tick() => {}
        }
        let silent = silent(&ledger.state(), Timestamp::now(), limit);
        for node in silent {
            let decide = move |state: &State| declare(state, node, Timestamp::now(), limit);
            // A journal that takes no writes is said elsewhere; the next tick tries again.
            if let Ok(Some(name)) = ledger.change(Key::Node(node), decide).await {
                warn!(%node, name, "Node is stale.");
            }
        }
    }
}

fn silent(state: &State, now: Timestamp, limit: SignedDuration) -> Vec<Uuid> {
    let silent =
        state.nodes().filter(|node| node.view.fresh && now.duration_since(state.last_heard(node)) > limit);
    silent.map(|node| node.id).collect()
}

/// Decided again on the state as it is then: the node may have been heard in between.
fn declare(state: &State, id: Uuid, now: Timestamp, limit: SignedDuration) -> Decision<Option<String>> {
    let Some(node) = state.node(id) else { return Decision::only(None) };
    let last_seen = state.last_heard(node);
    if !node.view.fresh || now.duration_since(last_seen) <= limit {
        return Decision::only(None);
    }
    let entry = Entry::Presence(Presence { node: id, fresh: false, last_seen });
    Decision { entries: vec![entry], sections: vec![], answer: Some(node.view.name.to_string()) }
}
