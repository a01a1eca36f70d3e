//! `evenkeel-collector`: a thin main over the library.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use evenkeel_collector::args::{Arguments, Backup, Ca, Check, Command, Health, Run};
use evenkeel_collector::config::default_data_dir;
use evenkeel_collector::{Listeners, RunError, ca_command, health, run, store_command};
use evenkeel_runtime::files::FileError;
use evenkeel_runtime::shutdown::Shutdown;
use evenkeel_runtime::{exit, heaps, logging};

/// With 5,000 agents that had synchronised, two took 48 KB an agent and as many as there are threads 81 KB; one cost a sixth
/// of the new contents taken in a second.
const HEAPS: u32 = 2;
/// Each thread keeps the paths of facts that it met last; many more than there are cores do nothing sooner.
const BLOCKING_THREADS: usize = 32;

fn main() -> ExitCode {
    let (what, result) = match Arguments::parse().command {
        Command::Run(arguments) => ("evenkeel-collector cannot run", start(arguments)),
        Command::Ca(arguments) => ("evenkeel-collector ca", ca(arguments)),
        Command::Backup(Backup { file, data_dir }) => {
            ("evenkeel-collector backup", say(store_command::backup(&place(data_dir), &file)))
        }
        Command::Restore(Backup { file, data_dir }) => {
            ("evenkeel-collector restore", say(store_command::restore(&file, &place(data_dir))))
        }
        Command::Check(Check { file, data_dir }) => {
            ("evenkeel-collector check", say(store_command::check(&place(data_dir), file.as_deref())))
        }
        Command::Health(arguments) => ("evenkeel-collector health", how(arguments)),
    };
    match result {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(error) => {
            // For the person who started it: a caret under a wrong key is unreadable inside a JSON string.
            let _ = writeln!(std::io::stderr(), "{what}: {}", exit::chain(&*error));
            if let Some(next) = next(&*error) {
                let _ = writeln!(std::io::stderr(), "{next}");
            }
            ExitCode::from(exit::ERROR)
        }
    }
}

/// What to do next, where the message does not say it.
fn next(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if error.is::<ConfigError>() {
        return Some("Correct the file; deploy/examples/collector.toml has every option.");
    }
    error.downcast_ref::<RunError>().and_then(RunError::next)
}

/// The configuration cannot be read, or is wrong.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct ConfigError(FileError);

fn ca(Ca { command, data_dir }: Ca) -> Result<(), Box<dyn Error>> {
    let data_dir = place(data_dir);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    say(runtime.block_on(ca_command::run(command, &data_dir)))
}

fn how(arguments: Health) -> Result<(), Box<dyn Error>> {
    say(health::ask(arguments.resolve()?))
}

fn place(data_dir: Option<PathBuf>) -> PathBuf {
    data_dir.unwrap_or_else(default_data_dir)
}

fn say<E: Error + 'static>(text: Result<String, E>) -> Result<(), Box<dyn Error>> {
    let text = text?;
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever reads it has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn start(arguments: Run) -> Result<(), Box<dyn Error>> {
    heaps::at_most(HEAPS);
    logging::init("evenkeel-collector");
    let config = arguments.resolve().map_err(ConfigError)?;
    config.check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals()?;
        let listeners = Listeners::bind(&config).await?;
        Ok(run(config, listeners, shutdown).await?)
    })
}
