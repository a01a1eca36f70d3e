//! `evenkeel-collector`: a thin main over the library.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use evenkeel_collector::args::{Arguments, Command, Run};
use evenkeel_collector::{Listeners, run};
use evenkeel_runtime::shutdown::Shutdown;
use evenkeel_runtime::{exit, logging};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::init("evenkeel-collector");
    let Command::Run(arguments) = arguments.command;
    match start(arguments) {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(error) => {
            // For the person who started it: a caret under a wrong key is unreadable inside a JSON string.
            let _ = writeln!(std::io::stderr(), "evenkeel-collector cannot run: {}", exit::chain(&*error));
            ExitCode::from(exit::ERROR)
        }
    }
}

fn start(arguments: Run) -> Result<(), Box<dyn Error>> {
    let config = arguments.resolve()?;
    config.check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals()?;
        let listeners = Listeners::bind(&config).await?;
        Ok(run(config, listeners, shutdown).await?)
    })
}
