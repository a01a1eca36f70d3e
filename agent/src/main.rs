//! The program `evenkeel-agent`.

use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use evenkeel_agent::args::Args;
use evenkeel_runtime::exit;

fn main() -> ExitCode {
    let args = Args::parse();
    match evenkeel_agent::run(&args, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(error) if exit::is_closed_pipe(&error) => ExitCode::from(exit::DONE),
        Err(error) => {
            error.tell(&mut io::stderr().lock());
            ExitCode::from(exit::ERROR)
        }
    }
}
