//! Nodes that fall silent past their deadline become stale: named, counted, and no drift. Each transition is an entry
//! of the journal, so that a report is a function of the journal alone.

use std::time::{Duration, Instant};

use evenkeel_runtime::shutdown::Shutdown;
use evenkeel_store::Entry;
use evenkeel_store::entry::Presence;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;
use uuid::Uuid;

use crate::ledger::{Decision, Key, Ledger};
use crate::state::State;

/// Looks every second until the end.
pub async fn watch(ledger: Ledger, stale_after: Duration, shutdown: Shutdown) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = ticks.tick() => {}
        }
        let silent = silent(&ledger.state(), Instant::now(), stale_after);
        let mut changes = JoinSet::new();
        for node in silent {
            let ledger = ledger.clone();
            changes.spawn(async move {
                let decide = move |state: &State| declare(state, node, Instant::now(), stale_after);
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

fn silent(state: &State, now: Instant, limit: Duration) -> Vec<Uuid> {
    let silent = state.nodes().filter(|node| node.view.fresh && state.silent_for(node, now) > limit);
    silent.map(|node| node.id).collect()
}

/// Decided again on the state as it is then: the node may have been heard in between.
fn declare(state: &State, id: Uuid, now: Instant, limit: Duration) -> Decision<Option<String>> {
    let Some(node) = state.node(id) else { return Decision::only(None) };
    if !node.view.fresh || state.silent_for(node, now) <= limit {
        return Decision::only(None);
    }
    let last_seen = node.last_seen().unwrap_or(node.enrolled);
    let entry = Entry::Presence(Presence { node: id, fresh: false, last_seen });
    Decision { entries: vec![entry], sections: vec![], answer: Some(node.view.name.to_string()) }
}
