//! Messages under way. Any of them may be the next that arrives, or never arrive, or arrive again.

use evenkeel_proto::fleet::check_in_response::Answer;
use evenkeel_proto::fleet::{CheckInRequest, SectionContent};
use tonic::Status;

/// A message. `call` is the request that it is, or that it answers: an answer reaches nobody else.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) host: usize,
    pub(crate) call: u64,
    pub(crate) body: Body,
}

/// What it says.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    CheckIn(Box<CheckInRequest>),
    Put(Vec<SectionContent>),
    Answer(Box<Result<Option<Answer>, Status>>),
    Taken(Result<(), Status>),
}

impl Body {
    pub(crate) fn is_request(&self) -> bool {
        matches!(self, Self::CheckIn(_) | Self::Put(_))
    }
}
