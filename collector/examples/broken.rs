//! The collector with one mistake made on purpose, `EVENKEEL_SEEDED_BUG`: what a suite on the real program must notice.
//! Nobody ships it; dev-dependencies turn the mistakes on.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser as _;
use evenkeel_collector::args::{Arguments, Command};
use evenkeel_collector::{Listeners, run};
use evenkeel_runtime::shutdown::Shutdown;
use evenkeel_runtime::{logging, seeded};

#[expect(clippy::print_stderr, reason = "a person who runs the tests reads it")]
fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("broken: {error}");
            ExitCode::from(2)
        }
    }
}

fn start() -> Result<(), Box<dyn Error>> {
    let name = std::env::var("EVENKEEL_SEEDED_BUG")?;
    if !seeded::seed_process(&name) {
        return Err(format!("there is no mistake {name:?}").into());
    }
    let Command::Run(arguments) = Arguments::parse().command else {
        return Err("it only runs".into());
    };
    logging::init("evenkeel-collector");
    let config = arguments.resolve()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals()?;
        let listeners = Listeners::bind(&config).await?;
        Ok(run(config, listeners, shutdown).await?)
    })
}
