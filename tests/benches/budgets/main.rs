//! `make bench`: the budgets, measured, in one table.
//!
//! # Layout
//!
//! - `table`: budgets, what was measured, and the verdict
//! - `clock`: processor time, medians
//! - `command`: what a program of somebody's took, from outside
//! - `agent`, `go`, `sizes`: the agent against its peers, side by side
//! - `idle`: the agent while nothing happens, for ten minutes or as long as one likes
//! - `changes`: from a change on the machine until the collector has it durably
//! - `wire`: bytes of messages
//! - `collector`, `scale`: a collector under load; and with many nodes
//! - `transport`: very many connections, and those that say nothing
//! - `drift`: the engine alone
//!
//! Not for: deciding whether a build is good. Nothing fails when a budget is missed; the table says by how much.

mod agent;
mod changes;
mod clock;
mod collector;
mod command;
mod drift;
mod go;
mod idle;
mod scale;
mod sizes;
mod table;
mod transport;
mod wire;

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use table::Table;

type Part = fn(&mut Table);

/// What can be run alone, in the order of the table.
const PARTS: &[(&str, Part)] = &[
    ("agent", agent::run),
    ("idle", idle::run),
    ("changes", changes::run),
    ("go", go::run),
    ("sizes", sizes::run),
    ("wire", wire::run),
    ("collector", collector::run),
    ("scale", scale::run),
    ("transport", transport::run),
    ("drift", drift::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let Some((command::MEASURE, program)) =
        arguments.split_first().map(|(first, rest)| (first.as_str(), rest))
    {
        return command::measure(program);
    }
    let wanted = match only(&arguments) {
        Ok(wanted) => wanted,
        Err(why) => {
            let _ = writeln!(io::stderr(), "{why}");
            return ExitCode::from(2);
        }
    };
    let mut table = Table::default();
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            let began = Instant::now();
            part(&mut table);
            say(&format!("{name}: done in {:.0} s", began.elapsed().as_secs_f64()));
        }
    }
    let written = write!(io::stdout().lock(), "{table}");
    ExitCode::from(u8::from(written.is_err()) * 2)
}

/// Tells whoever waits what is going on.
fn say(what: &str) {
    let _ = writeln!(io::stderr(), "bench: {what}");
}

/// `--only PART[,PART]`. Cargo adds `--bench`.
fn only(arguments: &[String]) -> Result<Vec<String>, String> {
    let mut wanted = Vec::new();
    let mut arguments = arguments.iter().filter(|argument| *argument != "--bench");
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--only", Some(list)) => wanted.extend(list.split(',').map(str::to_owned)),
            _ => return Err(format!("{argument:?} is not understood: --only PART[,PART]")),
        }
    }
    match wanted.iter().find(|name| !PARTS.iter().any(|(known, _)| known == name)) {
        None => Ok(wanted),
        Some(name) => {
            let known: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
            Err(format!("there is no part {name:?}; there are: {}", known.join(", ")))
        }
    }
}
