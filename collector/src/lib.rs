//! The collector: authenticates, stores, indexes, compares, serves. One process, one embedded store.
//!
//! # Layout
//!
//! - [`config`], [`args`]: what can be set
//! - [`ca`], [`ca_command`], [`pki`], [`kubernetes`], [`tending`], [`token`], [`enrolment`]: how machines become nodes
//! - [`access`]: who may call what: one table; [`scope`]: in which environments
//! - [`serve`], [`http`], [`probe`]: the ports; [`health`]: the command that asks how it is
//! - [`ingest`], [`named`], [`waiting`]: what nodes report; [`holders`]: two machines with one key
//! - [`rate`]: how often somebody may do something
//! - [`ledger`]: the one way to change anything: decide, append, apply, answer
//! - [`state`], [`changes`]: what the journal says, in memory; the fleet index; [`judgement`]: what people say of drift;
//!   [`volatility`]: what keeps changing by itself
//! - [`archive`]: the same at a moment in the past; [`clock`]: what a moment is; [`transitions`]: findings come and go
//! - [`retention`]: checkpoints, and how much of the past is kept
//! - [`presence`]: nodes that fall silent
//! - [`query`], [`operand`], [`history`], [`admin`], [`users`], [`audit`]: what people ask and do; [`people`]: who they are
//! - [`metrics`]: what is counted
//!
//! Not for: deciding what drift is (`evenkeel-drift`), or knowing how the journal is kept (`evenkeel-store`).

pub mod access;
pub mod admin;
pub mod alerts;
pub mod archive;
pub mod args;
pub mod audit;
pub mod ca;
pub mod ca_command;
pub mod changes;
pub mod clock;
pub mod config;
pub mod enrolment;
pub mod health;
pub mod history;
pub mod holders;
pub mod http;
pub mod ingest;
pub mod judgement;
pub mod kubernetes;
pub mod ledger;
pub mod metrics;
pub mod named;
pub mod operand;
pub mod people;
pub mod pki;
pub mod presence;
pub mod probe;
pub mod query;
pub mod rate;
pub mod retention;
pub mod scope;
pub mod serve;
pub mod state;
pub mod store_command;
pub mod tending;
pub mod token;
pub mod transitions;
pub mod users;
pub mod volatility;
pub mod waiting;

mod run;

pub use config::Config;
pub use run::{Listeners, RunError, run};
