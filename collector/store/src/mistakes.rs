//! Mistakes that tests of this crate make on purpose, to see that they are noticed. Elsewhere none is made.

/// A mistake, by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// What is read is taken for what was written.
    DigestsBelieved,
    /// A backup is a copy of the file, without what is still in its log.
    LogLeftOut,
}

#[cfg(test)]
thread_local! {
    static MADE: std::cell::Cell<Option<Mistake>> = const { std::cell::Cell::new(None) };
}

/// Whether this mistake is made, on this thread.
#[cfg(test)]
pub(crate) fn makes(mistake: Mistake) -> bool {
    MADE.get() == Some(mistake)
}

/// Whether this mistake is made: never.
#[cfg(not(test))]
pub(crate) const fn makes(_: Mistake) -> bool {
    false
}

/// What comes of it when this mistake is made.
#[cfg(test)]
pub(crate) fn making<T>(mistake: Mistake, work: impl FnOnce() -> T) -> T {
    MADE.set(Some(mistake));
    let done = work();
    MADE.set(None);
    done
}
