//! The engine from outside: small fleets with golden reports, random fleets against a naive engine, and what else is
//! asked of a fleet.

mod naive;
mod properties;
mod questions;
mod random;
mod scenario;
mod scenarios;
mod signing;
mod steps;
