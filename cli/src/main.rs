//! The program `evenkeel`.

use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use evenkeel_cli::Args;
use evenkeel_runtime::exit;

fn main() -> ExitCode {
    match evenkeel_cli::run(Args::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            error.tell(&mut io::stderr().lock());
            ExitCode::from(exit::ERROR)
        }
    }
}
