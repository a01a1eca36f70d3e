//! The certificate authority moves.

/// The certificate authority moved on.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthorityMoved {
    /// What was done.
    pub step: Step,
    /// To which generation of root and intermediates.
    pub generation: u32,
    /// The pin of that generation's root, in hexadecimal digits.
    pub pin: String,
    /// Who did it.
    pub by: String,
}

/// The steps by which one generation takes another's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The new generation is made, and agents are told to trust it.
    Prepared,
    /// The new generation issues; the old one is still believed.
    Activated,
    /// The old generation is believed no more.
    Retired,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AuthorityMovedBytes {
    #[prost(uint32, tag = "1")]
    step: u32,
    #[prost(uint32, tag = "2")]
    generation: u32,
    #[prost(string, tag = "3")]
    pin: String,
    #[prost(string, tag = "4")]
    by: String,
}

impl From<AuthorityMoved> for AuthorityMovedBytes {
    fn from(AuthorityMoved { step, generation, pin, by }: AuthorityMoved) -> Self {
        let step = match step {
            Step::Prepared => 1,
            Step::Activated => 2,
            Step::Retired => 3,
        };
        Self { step, generation, pin, by }
    }
}

impl TryFrom<AuthorityMovedBytes> for AuthorityMoved {
    type Error = String;

    fn try_from(bytes: AuthorityMovedBytes) -> Result<Self, String> {
        let AuthorityMovedBytes { step, generation, pin, by } = bytes;
        let step = match step {
            1 => Step::Prepared,
            2 => Step::Activated,
            3 => Step::Retired,
            other => return Err(format!("step {other} of the authority is not known")),
        };
        Ok(Self { step, generation, pin, by })
    }
}
