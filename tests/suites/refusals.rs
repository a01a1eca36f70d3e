//! Who or what is not let in, and what a person is told: what was tried, where, why it failed, what to do next.

mod certificates;
mod enrolment;
mod questions;
