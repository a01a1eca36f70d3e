//! What an agent says to the collector until its state is acknowledged, message by message. Knows no network.

use evenkeel_facts::{Snapshot, root_digest};
use evenkeel_proto::fleet::check_in_response::Answer;
use evenkeel_proto::fleet::{CheckInRequest, Commit, EpochBehind, RetryAfter, SectionContent, Send};
use evenkeel_proto::{authors, contents, times};
use evenkeel_runtime::trust::Mark;
use std::time::Duration;
use tonic::{Code, Status};

use crate::delivery::Delivery;
use crate::uplink::UplinkError;

/// A check-in, the contents that it asked for, and once more; more than that is a collector that makes no progress.
pub const MAX_ROUNDS: usize = 4;

/// A report that is under way.
#[derive(Debug, Clone)]
pub struct Conversation {
    request: CheckInRequest,
    rounds: usize,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Nothing: the collector holds this state durably.
    Acknowledged,
    /// A check-in.
    CheckIn,
    /// These contents, and then a check-in.
    Put(Vec<SectionContent>),
}

impl Conversation {
    /// About the newest state; `None`: there is none. With news the collector is told at once what the sections are, or
    /// what of them changed since the state that it acknowledged; without, only that nothing changed, until it asks.
    pub fn begin(delivery: &Delivery, instance: [u8; 8], trust: Option<Mark>) -> Option<Self> {
        let snapshot = delivery.newest()?;
        delivery.sending();
        let news = || match delivery.base() {
            Some(base) => labelled(delivery, snapshot, base.name_changes(snapshot.sections.iter())),
            None => whole(delivery, snapshot),
        };
        let request = CheckInRequest {
            root: root_digest(&snapshot.section_digests()).as_bytes().to_vec(),
            boot_epoch: delivery.place().boot_epoch,
            sequence: delivery.place().sequence,
            commit: delivery.has_news().then(news),
            instance: instance.to_vec(),
            trust: trust.map(|mark| mark.as_bytes().to_vec()).unwrap_or_default(),
        };
        Some(Self { request, rounds: 0 })
    }

    /// The check-in that is to be sent now.
    pub fn request(&mut self) -> Result<CheckInRequest, UplinkError> {
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return Err(UplinkError::NoProgress);
        }
        Ok(self.request.clone())
    }

    /// A check-in was refused. Whether it is to be sent again: a collector that knows no bases takes what changed for the
    /// whole.
    pub fn refused(&mut self, delivery: &Delivery, status: &Status) -> bool {
        let has_base = self.request.commit.as_ref().is_some_and(|commit| !commit.base.is_empty());
        let again = status.code() == Code::InvalidArgument && has_base;
        if again {
            self.request.commit = delivery.newest().map(|snapshot| whole(delivery, snapshot));
        }
        again
    }

    /// A check-in was answered.
    pub fn answered(&mut self, delivery: &Delivery, answer: Option<Answer>) -> Result<Next, UplinkError> {
        let Some(snapshot) = delivery.newest() else { return Ok(Next::Acknowledged) };
        match answer {
            Some(Answer::UpToDate(_)) => Ok(Next::Acknowledged),
            Some(Answer::SendCommit(_)) => {
                self.request.commit = Some(whole(delivery, snapshot));
                Ok(Next::CheckIn)
            }
            Some(Answer::Send(wanted)) => {
                if wanted.keeps_commit {
                    self.request.commit = None;
                }
                Ok(Next::Put(wanted_contents(snapshot, &wanted)?))
            }
            Some(Answer::RetryAfter(RetryAfter { milliseconds })) => {
                Err(UplinkError::RetryAfter(Duration::from_millis(milliseconds)))
            }
            Some(Answer::EpochBehind(EpochBehind { boot_epoch })) => {
                Err(UplinkError::EpochBehind(boot_epoch))
            }
            None => {
                let sentence = "the answer is of a kind that this agent does not know";
                Err(UplinkError::Call(Box::new(Status::internal(sentence))))
            }
        }
    }
}

fn whole(delivery: &Delivery, snapshot: &Snapshot) -> Commit {
    let sections = contents::digests_to_wire(&snapshot.section_digests());
    // Nobody else has them, so the collector would ask for them.
    let own = contents::own(snapshot.sections.iter());
    labelled(delivery, snapshot, Commit { sections, own, ..Commit::default() })
}

fn labelled(delivery: &Delivery, snapshot: &Snapshot, named: Commit) -> Commit {
    Commit {
        taken_at: Some(times::to_wire(snapshot.taken_at)),
        host: snapshot.host.clone(),
        role: snapshot.role.clone(),
        agent: snapshot.agent.clone(),
        authors: authors::to_wire(delivery.wrote()),
        ..named
    }
}

fn wanted_contents(snapshot: &Snapshot, wanted: &Send) -> Result<Vec<SectionContent>, UplinkError> {
    let Send { digests, bundles, keeps_commit: _ } = wanted;
    let is_wanted = |digest: &[u8; 32]| digests.iter().any(|wanted| wanted == digest);
    let sections = snapshot.sections.iter().filter(|section| is_wanted(section.digest().as_bytes()));
    if *bundles {
        return contents::to_bundles(&sections.collect::<Vec<_>>()).map_err(UplinkError::TooLarge);
    }
    let to_wire = |section| {
        contents::to_wire(section)
            .ok_or_else(|| UplinkError::TooLarge(evenkeel_facts::Section::name(section).to_owned()))
    };
    sections.map(to_wire).collect()
}
