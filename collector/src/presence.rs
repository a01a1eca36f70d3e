//! Nodes that fall silent past their deadline become stale: named, counted, and no drift. Each transition is an entry
//! of the journal, so that a report is a function of the journal alone. So is the end of a clone: one machine of several
//! that held a key is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// Looks every second until the end.
pub async fn watch(ledger: Ledger, holders: Arc<Holders>, stale_after: Duration, shutdown: Shutdown) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = ticks.tick() => {}
        }
        let single = single(&ledger.state(), &holders, Instant::now(), stale_after);
        for node in single {
            let entry = Entry::NodeSingle(NodeSingle { node });
            let decide = move |_: &State| Decision { entries: vec![entry], sections: vec![], answer: () };
            let _ = ledger.change(Key::Node(node), decide).await;
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

/// Nodes whose key was held by several machines, and of which only one was heard for so long.
fn single(state: &State, holders: &Holders, now: Instant, quiet: Duration) -> Vec<Uuid> {
    let held = state.nodes().filter(|node| !node.holders().is_empty() && state.is_running_for(quiet, now));
    held.map(|node| node.id).filter(|node| holders.is_single(*node, quiet, now)).collect()
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
