//! Answers that stay true for as long as nothing happens: whoever asks again does not wait for the engine.
//!
//! What is answered is a function of the journal, the moment, the question and what the caller may see. So an answer is
//! kept by these, and the moment as a span: from when it was given until something happens by itself.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::scope::Scope;

/// The most answers kept of one kind.
const MOST: usize = 8;
/// The largest answer kept, in bytes on the wire.
pub(super) const LARGEST: usize = 4 << 20;

/// What was answered last.
#[derive(Debug)]
pub(super) struct Kept<Q, A>(Mutex<Vec<Answer<Q, A>>>);

/// An answer, and when it is one.
#[derive(Debug)]
pub(super) struct Answer<Q, A> {
    /// What was asked.
    pub(super) question: Q,
    /// By whom: only who may see the same is given it.
    pub(super) scope: Scope,
    /// The position of the journal that it shows.
    pub(super) journal: u64,
    /// The first moment at which it is true.
    pub(super) from: Timestamp,
    /// The first one at which it may be no more.
    pub(super) until: Timestamp,
    /// What was said.
    pub(super) said: Arc<A>,
}

impl<Q, A> Default for Kept<Q, A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q: PartialEq, A> Kept<Q, A> {
    /// What is said to this question at this position of the journal and this moment.
    pub(super) fn find(&self, question: &Q, scope: &Scope, journal: u64, now: Timestamp) -> Option<Arc<A>> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |answer: &&Answer<Q, A>| {
            answer.journal == journal
                && (answer.from..answer.until).contains(&now)
                && answer.scope == *scope
                && answer.question == *question
        };
        answers.iter().find(is_it).map(|answer| Arc::clone(&answer.said))
    }

    /// Keeps an answer instead of those that are older than it, and of too many the one that came first.
    pub(super) fn keep(&self, answer: Answer<Q, A>) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |kept: &Answer<Q, A>| kept.scope == answer.scope && kept.question == answer.question;
        answers.retain(|kept| kept.journal >= answer.journal && !is_same(kept));
        if answers.len() == MOST {
            answers.remove(0);
        }
        answers.push(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn answer(question: &'static str, journal: u64) -> Answer<&'static str, u64> {
        let (from, until) = (at(10), at(20));
        Answer { question, scope: Scope::Everywhere, journal, from, until, said: Arc::new(journal) }
    }

    /// Promise: what is kept is said only to the same question, by somebody who may see the same, while the journal stands
    /// where it stood, and until something happens by itself.
    #[test]
    fn only_what_is_still_true_is_said_again() {
        let kept = Kept::default();
        kept.keep(answer("report", 7));
        let find = |question, scope: &Scope, journal, second| {
            kept.find(&question, scope, journal, at(second)).map(|said| *said)
        };
        let only = Scope::Only(vec!["prod".into()]);
        assert_eq!(find("report", &Scope::Everywhere, 7, 10), Some(7));
        assert_eq!(find("report", &Scope::Everywhere, 7, 19), Some(7));
        assert_eq!(find("report", &Scope::Everywhere, 7, 20), None, "something happened by itself");
        assert_eq!(find("report", &Scope::Everywhere, 7, 9), None, "the clock was set back");
        assert_eq!(find("report", &Scope::Everywhere, 8, 10), None, "the journal went on");
        assert_eq!(find("values", &Scope::Everywhere, 7, 10), None);
        assert_eq!(find("report", &only, 7, 10), None, "who may see less");
    }

    #[test]
    fn what_is_over_and_what_is_too_much_is_forgotten() {
        let kept = Kept::default();
        let count = |kept: &Kept<_, _>| kept.0.lock().unwrap().len();
        kept.keep(answer("a", 7));
        kept.keep(answer("b", 7));
        kept.keep(answer("b", 7));
        assert_eq!(count(&kept), 2);
        kept.keep(answer("a", 8));
        assert_eq!((count(&kept), kept.find(&"b", &Scope::Everywhere, 7, at(10))), (1, None));
        for question in ["b", "c", "d", "e", "f", "g", "h", "i"] {
            kept.keep(answer(question, 8));
        }
        assert_eq!((count(&kept), kept.find(&"a", &Scope::Everywhere, 8, at(10))), (MOST, None));
    }
}
