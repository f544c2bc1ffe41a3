//! The commands.
//!
//! Shape:   [`run`] reads the command line, does what it says, and gives the exit code: 0 fine, 1 the thing checked failed,
//!          2 usage or configuration.
//! Sources: spec/interface.md, "Commands".
#![allow(clippy::disallowed_methods, reason = "the terminal is outside of the machine")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[macro_use]
mod print;

mod actor;
mod audit;
mod callbacks;
mod check;
mod connectors;
mod dial;
mod fuzz;
mod hardening;
mod payments;
mod replay;
mod serve;
mod store_options;
mod stream_url;

/// Takes card and bank payments over an ordinary phone call.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server that calls attach to
    Serve(serve::Serve),
    /// Run call scripts in virtual time and compare what happens with what they expect
    Replay(replay::Replay),
    /// Call a flow from this terminal: its prompts as text, your keys as a telephone's
    Dial(dial::Dial),
    /// Look for faults in flow documents
    Check(check::Check),
    /// List payments and show how one stands
    Payments(payments::Payments),
    /// List callbacks that are not delivered, and have them delivered after all
    Callbacks(callbacks::Callbacks),
    /// Store, show, authorize and remove Pay Connectors
    Connectors(connectors::ConnectorsArguments),
    /// List who did what, to what, and what it was before
    Audit(audit::Audit),
    /// Print the address of a media stream that is good for one call
    StreamUrl(stream_url::StreamUrl),
    /// Play random calls against every flow and look for a rule that does not hold
    Fuzz(fuzz::Fuzz),
}

/// Where flow documents are.
#[derive(Debug, Args)]
struct FlowsFolder {
    /// The folder of flow documents
    #[arg(long, default_value = "flows", value_name = "DIR")]
    flows: PathBuf,
}

/// What went wrong with a command, for the person who gave it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct CommandFailure(String);

impl CommandFailure {
    fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Does what the command line says.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
            // A closed pipe is no reason to complain.
            let _ = error.print();
            return code;
        }
    };
    let done = match cli.command {
        Command::Serve(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Dial(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Payments(command) => command.run(),
        Command::Callbacks(command) => command.run(),
        Command::Connectors(command) => command.run(),
        Command::Audit(command) => command.run(),
        Command::StreamUrl(command) => command.run(),
        Command::Fuzz(command) => command.run(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("touchtone: {failure}");
            ExitCode::from(2)
        }
    }
}
