//! The agent with one mistake made on purpose, `EVENKEEL_SEEDED_BUG`: what a suite on the real program must notice. Nobody
//! ships it; dev-dependencies turn the mistakes on.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use evenkeel_agent::args::Args;
use evenkeel_runtime::seeded;

#[expect(clippy::print_stderr, reason = "a person who runs the tests reads it")]
fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("broken_agent: {error}");
            ExitCode::from(2)
        }
    }
}

fn start() -> Result<(), Box<dyn Error>> {
    let name = std::env::var("EVENKEEL_SEEDED_BUG")?;
    if !seeded::seed_process(&name) {
        return Err(format!("there is no mistake {name:?}").into());
    }
    Ok(evenkeel_agent::run(&Args::parse(), &mut io::stdout().lock())?)
}
