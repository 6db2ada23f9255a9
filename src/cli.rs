//! The command line: serve (default), call, tools, doctor, setup, config, migrate, demo, completions.

pub mod arguments;
pub mod call;
pub mod demo;
pub mod doctor;
pub mod migrate;
pub mod output;
pub mod serve;
pub mod settings;
pub mod setup;
pub mod tools;

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;

use crate::{
    config::{Config, Environment, Flags, Loaded},
    error::{Code, Error},
    telemetry,
};
use arguments::{Arguments, Command, What};

/// Everything is in order.
pub const GOOD: u8 = 0;
/// The tool refused.
pub const REFUSED: u8 = 1;
/// The command line or a setting is wrong.
pub const USAGE: u8 = 2;
/// The server or a backend cannot be reached.
pub const UNAVAILABLE: u8 = 3;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    // Whatever is made from here on is its user's alone.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return arguments::explain(&error),
    };
    let command = match arguments.command {
        Some(command) => command,
        None if std::io::stdin().is_terminal() => {
            output::write(&arguments::first_steps());
            return ExitCode::from(GOOD);
        }
        None => Command::Serve,
    };
    let flags = Flags { read_only: arguments.read_only, toolsets: arguments.toolsets, data_dir: arguments.data_dir };
    let code = dispatch(command, &flags).unwrap_or_else(|error| {
        output::complain(&error);
        USAGE
    });
    telemetry::flush();
    ExitCode::from(code)
}

fn dispatch(command: Command, flags: &Flags) -> Result<u8, Error> {
    let environment = Environment::of_process();
    match command {
        Command::Serve => serve::run(ready(load(&environment, flags)?)),
        Command::Call { tool, arguments } => call::run(ready(load(&environment, flags)?), &tool, arguments),
        Command::Tools { json, markdown } => tools::run(load(&environment, flags)?, json, markdown),
        Command::Demo { reset } => demo::run(ready(load(&environment, flags)?), reset),
        Command::Doctor { json } => {
            let loaded = Config::load(&environment, flags)?;
            telemetry::start(&loaded.config.log);
            doctor::run(loaded, &environment, flags, json)
        }
        Command::Migrate { dry_run } => migrate::run(&load(&environment, flags)?, dry_run),
        Command::Setup { client, print } => setup::run(client, print, &environment, flags),
        Command::Config { what: What::Show } => Ok(settings::show(&Config::load(&environment, flags)?)),
        Command::Config { what: What::Schema } => Ok(settings::schema()),
        Command::Config { what: What::Path } => Ok(settings::path(&environment, &Config::load(&environment, flags)?)),
        Command::Completions { shell } => {
            output::write(&arguments::completions(shell));
            Ok(GOOD)
        }
    }
}

/// Reads the settings, starts the log, and says what is odd.
fn load(environment: &Environment, flags: &Flags) -> Result<Config, Error> {
    let Loaded { config, warnings, notes, .. } = Config::load(environment, flags)?;
    telemetry::start(&config.log);
    for note in notes {
        tracing::info!("{note}");
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}

/// Makes the data directory, for the user alone. Where that fails the backends that need it say so; the others work.
fn ready(config: Config) -> Config {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    if let Err(error) = builder.create(&config.data_dir) {
        tracing::warn!(
            "the data directory `{}` cannot be created ({error}); set CALLBOARD_DATA_DIR to one that can be written to",
            config.data_dir.display()
        );
    }
    config
}

/// Steps of tasks after which the network gets its turn. A step of ours is a whole call, so few: an engine that answers in time must not look
/// late because many calls came at once.
const STEPS: u32 = 16;

/// A runtime for a command: one thread; what blocks goes to the pool beside it.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(STEPS)
        .build()
        .map_err(|error| Error::new(Code::Internal, "no runtime could be started").cause(error))
}
