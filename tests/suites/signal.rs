//! Signal and noise: what is done on purpose is found, each thing once, with its nodes and its time; what machines do by
//! themselves, or because they are of another size, raises nothing.

mod engine;
mod seeded;
mod sizes;
