//! Mistakes that a test can have made on purpose, to see that it notices. A build that is shipped has none of them: without
//! the feature `seeded-bugs` the question is answered `false` by the compiler.
//!
//! A simulation makes one on its thread; a whole program (`collector/examples/broken.rs`, `agent/examples/broken_agent.rs`) on all of its threads.

/// A mistake, by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The collector answers before the journal is written.
    AckBeforeCommit,
    /// The collector answers as if a write that failed had not.
    FailedWriteAcked,
    /// The collector's store does not wait for the disk.
    LostFsync,
    /// The collector begins without the journal's last entry.
    LastEntryNotReplayed,
    /// A content is taken for what its delta claims that it is.
    DigestNotChecked,
    /// A commit on a base is applied to whatever the collector holds of the node.
    WrongBase,
    /// A check-in that comes twice is applied twice.
    AppliedTwice,
    /// The collector orders by sequence alone.
    EpochIgnored,
    /// A late check-in replaces what is newer.
    StaleOverwrites,
    /// Two sections of one commit change places.
    SectionsMixed,
    /// Sections that are gone stay.
    RemovalForgotten,
    /// The agent forgets a state when it begins to send it.
    ForgottenBeforeAck,
    /// The agent gives a new state the place of the one before.
    SequenceReused,
    /// The agent takes the last acknowledged state for what the collector holds, though another was sent since.
    AcknowledgedKept,
    /// The collector believes a clock that jumps.
    ClockBelieved,
    /// A collector that was stopped calls those silent whom it could not hear.
    StopUnnoticed,
}

/// Those that the simulation of the protocol can make and must notice.
pub const ALL: [Bug; 14] = [
    Bug::AckBeforeCommit,
    Bug::FailedWriteAcked,
    Bug::LostFsync,
    Bug::LastEntryNotReplayed,
    Bug::DigestNotChecked,
    Bug::WrongBase,
    Bug::AppliedTwice,
    Bug::EpochIgnored,
    Bug::StaleOverwrites,
    Bug::SectionsMixed,
    Bug::RemovalForgotten,
    Bug::ForgottenBeforeAck,
    Bug::SequenceReused,
    Bug::AcknowledgedKept,
];

#[cfg(feature = "seeded-bugs")]
thread_local! {
    static SEEDED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

#[cfg(feature = "seeded-bugs")]
static OF_PROCESS: std::sync::OnceLock<Bug> = std::sync::OnceLock::new();

/// Those that a whole program can make, by their names.
#[cfg(feature = "seeded-bugs")]
pub const OF_PROGRAMS: [(&str, Bug); 7] = [
    ("AckBeforeCommit", Bug::AckBeforeCommit),
    ("FailedWriteAcked", Bug::FailedWriteAcked),
    ("LastEntryNotReplayed", Bug::LastEntryNotReplayed),
    ("AppliedTwice", Bug::AppliedTwice),
    ("ClockBelieved", Bug::ClockBelieved),
    ("StopUnnoticed", Bug::StopUnnoticed),
    ("ForgottenBeforeAck", Bug::ForgottenBeforeAck),
];

/// Whether this mistake is to be made, on this thread.
#[cfg(feature = "seeded-bugs")]
pub fn has(bug: Bug) -> bool {
    SEEDED.get() == Some(bug) || OF_PROCESS.get() == Some(&bug)
}

/// Whether this mistake is to be made: never.
#[cfg(not(feature = "seeded-bugs"))]
#[inline]
pub const fn has(_: Bug) -> bool {
    false
}

/// From now on this mistake is made on this thread; `None`: none.
#[cfg(feature = "seeded-bugs")]
pub fn seed(bug: Option<Bug>) {
    SEEDED.set(bug);
}

/// For as long as this process lives the mistake of this name is made on every thread. Whether there is one of this name.
#[cfg(feature = "seeded-bugs")]
pub fn seed_process(name: &str) -> bool {
    let found = OF_PROGRAMS.into_iter().find(|(known, _)| *known == name);
    found.is_some_and(|(_, bug)| OF_PROCESS.set(bug).is_ok())
}
