//! The certificate authority: its generations, and the next step of a rotation.

use evenkeel_proto::admin as wire;
use evenkeel_proto::times;
use evenkeel_runtime::exit;
use evenkeel_store::entry::Step;
use tonic::Status;

use super::{Actor, Admin};

/// The most nodes that are named.
const SHOWN: usize = 100;

impl Admin {
    pub(super) fn authority(&self) -> wire::Authority {
        let generation = |shown: crate::ca::rotation::Shown| wire::Generation {
            number: shown.number,
            state: shown.state.word().to_owned(),
            pin: shown.pin.to_string(),
            begins: Some(times::to_wire(shown.begins)),
            ends: Some(times::to_wire(shown.ends)),
        };
        let step = self.tending.ca().next_step();
        let behind = self.tending.behind();
        let obstacle = match (step, behind.len()) {
            (Step::Prepared, _) | (_, 0) => String::new(),
            (Step::Activated, 1) => "1 node does not trust the new root yet".to_owned(),
            (Step::Activated, count) => format!("{count} nodes do not trust the new root yet"),
            (Step::Retired, 1) => "1 node has no certificate of the new generation yet".to_owned(),
            (Step::Retired, count) => format!("{count} nodes have no certificate of the new generation yet"),
        };
        wire::Authority {
            generations: self.tending.ca().generations().into_iter().map(generation).collect(),
            next_step: word(step).to_owned(),
            obstacle,
            behind_count: behind.len() as u64,
            behind: behind.into_iter().take(SHOWN).collect(),
        }
    }

    pub(super) async fn rotate(
        &self,
        force: bool,
        Actor { by, scope: _ }: Actor,
    ) -> Result<wire::Authority, Status> {
        let before = self.authority();
        if !before.obstacle.is_empty() && !force {
            return Err(Status::failed_precondition(format!(
                "{}: {}; without that they would have to be enrolled again",
                before.obstacle,
                before.behind.join(", ")
            )));
        }
        let step = self.tending.ca().next_step();
        self.tending.take_step(step, by).await.map_err(|error| Status::internal(exit::chain(&error)))?;
        Ok(self.authority())
    }
}

fn word(step: Step) -> &'static str {
    match step {
        Step::Prepared => "prepare",
        Step::Activated => "activate",
        Step::Retired => "retire",
    }
}
