//! One file per command.

pub mod accept;
pub mod affected;
pub mod audit;
pub mod baseline;
pub mod completions;
pub mod context;
pub mod diff;
pub mod explain;
pub mod facts;
pub mod fix;
pub mod gate;
pub mod history;
pub mod login;
pub mod node;
pub mod nodes;
pub mod policy;
pub mod report;
pub mod scan;
pub mod token;
pub mod user;
pub mod values;
pub mod watch;

use crate::args::{Args, Command, Connection};
use crate::client::Client;
use crate::console::Console;
use crate::error::CliError;

/// What every command works with.
pub struct Context {
    /// Where output goes.
    pub console: Console,
    /// Where the collector is, as it was said.
    pub connection: Connection,
}

impl Context {
    /// The collector; only commands that need one ask for it.
    pub fn client(&self) -> Result<Client, CliError> {
        Client::new(&self.connection)
    }
}

/// Does what the arguments say; the exit code comes back.
pub fn run(mut args: Args) -> Result<u8, CliError> {
    // What -o names there is a directory, and no format.
    let directory = match args.command {
        Command::Scan(_) => std::mem::take(&mut args.global.looks.output),
        _ => Vec::new(),
    };
    let context = Context { console: Console::new(&args.global.looks)?, connection: args.global.connection };
    match args.command {
        Command::Report(arguments) => report::run(&context, arguments),
        Command::Diff(arguments) => diff::run(&context, arguments),
        Command::Explain(arguments) => explain::run(&context, arguments),
        Command::Values(arguments) => values::run(&context, arguments),
        Command::Nodes(arguments) => nodes::run(&context, arguments),
        Command::Facts(arguments) => facts::run(&context, arguments),
        Command::History(arguments) => history::run(&context, arguments),
        Command::Gate(arguments) => gate::run(&context, arguments),
        Command::Fix(arguments) => fix::run(&context, arguments),
        Command::Affected(arguments) => affected::run(&context, arguments),
        Command::Watch(arguments) => watch::run(&context, &arguments),
        Command::Accept(arguments) => accept::run(&context, arguments),
        Command::Accepted(arguments) => accept::list(&context, &arguments),
        Command::Unaccept(arguments) => accept::end(&context, arguments),
        Command::Baseline(arguments) => baseline::run(&context, arguments),
        Command::Policy(arguments) => policy::run(&context, arguments),
        Command::Scan(arguments) => scan::run(&context, &directory, arguments),
        Command::Token(arguments) => token::run(&context, arguments),
        Command::Node(arguments) => node::run(&context, arguments),
        Command::User(arguments) => user::run(&context, arguments),
        Command::Login(arguments) => login::run(&context, arguments),
        Command::Context(arguments) => context::run(&context, arguments),
        Command::Audit(arguments) => audit::run(&context, arguments),
        Command::Completions(arguments) => completions::run(&context, &arguments),
    }
}
