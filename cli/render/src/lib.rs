//! What the engine says, in every format that people and programs read. Pure: knows no network, no terminal, no
//! clock. Every text that came from a machine is escaped on every path.
//!
//! # Layout
//!
//! - [`view`]: what can be shown, and the formats
//! - `order`: names as people count, in every format
//! - [`screen`]: how wide the output is, and whether it shows colour
//! - [`report`]: a report as a table; [`wide`]: with every value and node
//! - [`gate`]: whether an environment may be promoted
//! - `frame`: what was compared and the counts; `unknowns`: what cannot be told
//! - [`affected`]: where the fleet has what advisories name
//! - [`explanation`]: one finding or path, with the rule that decided
//! - [`remedy`]: what mends a finding
//! - [`values`]: one fact's values, by role and environment
//! - [`nodes`], [`facts`], [`history`]: what the collector knows of its nodes
//! - [`results`]: findings, for `markdown`, `html`, `junit` and `sarif`; [`sheet`]: rows, for CSV and Markdown tables
//! - [`accepted`], [`baselines`], [`judgement`]: what is signed off, kept, and said by the policy; [`watch`]: findings come
//!   and go
//! - [`tokens`], [`users`], [`audit`]: who is let in, and what was done; [`contexts`]: where one has logged in
//! - [`scanned`]: what came of looking at hosts
//! - [`text`]: escaping and breaking; `page`: lines on a screen; `columns`: aligned columns; `when`: moments for people

pub mod accepted;
pub mod affected;
pub mod audit;
pub mod baselines;
mod columns;
pub mod contexts;
pub mod explanation;
pub mod facts;
mod frame;
pub mod gate;
pub mod history;
mod html;
pub mod judgement;
mod junit;
mod markdown;
pub mod nodes;
mod order;
mod page;
pub mod remedy;
pub mod report;
pub mod results;
mod sarif;
pub mod scanned;
pub mod screen;
pub mod sheet;
pub mod text;
pub mod tokens;
mod unknowns;
pub mod users;
pub mod values;
pub mod view;
pub mod watch;
mod when;
pub mod wide;
mod words;

pub use screen::Screen;
pub use view::{Format, Unsuited, View, render};
