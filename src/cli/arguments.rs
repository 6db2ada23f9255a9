//! The words of the command line.

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use super::{GOOD, USAGE, output, setup::Client};
use crate::config::table::{SETTINGS, Section};

/// One MCP server that gives AI agents SQL, search and ETL through tool calls.
#[derive(Debug, Parser)]
#[command(name = "callboard", version = version(), after_long_help = settings_help())]
pub struct Arguments {
    /// What to do; nothing serves, or says what there is to do.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Writing tools refuse.
    #[arg(long, global = true)]
    pub read_only: bool,

    /// Groups of tools to serve, separated by commas: search, sql, ops.
    #[arg(long, global = true, value_name = "GROUPS")]
    pub toolsets: Option<String>,

    /// Where the embedded stores and exports live.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve MCP over stdin and stdout (what clients start).
    Serve,
    /// Call one tool and print its answer as JSON.
    ///
    /// Exit code 0: answered; 1: the tool refused, and the error is printed; 2: usage; 3: a backend is unavailable.
    Call {
        /// The tool's name; `callboard tools` lists them.
        tool: String,
        /// Its arguments as a JSON object; `-` reads them from stdin.
        #[arg(allow_hyphen_values = true)]
        arguments: Option<String>,
    },
    /// List the tools that this configuration serves.
    Tools {
        /// As tools/list serves them.
        #[arg(long, conflicts_with = "markdown")]
        json: bool,
        /// As a table.
        #[arg(long)]
        markdown: bool,
    },
    /// See the main job done on 15 sample products: a search index into a SQL table.
    Demo {
        /// First remove what an earlier demonstration left in the embedded stores.
        #[arg(long)]
        reset: bool,
    },
    /// Look at every backend, the data directory and the clients, and say what is wrong.
    ///
    /// Exit code 0: good; 1: degraded; 2: something does not work.
    Doctor {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Bring the embedded record store to the newest schema.
    Migrate {
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Put this server into a client's settings, keeping what is there.
    ///
    /// The flags given here (--read-only, --toolsets, --data-dir) go into the entry.
    Setup {
        /// Which client.
        client: Client,
        /// Only print the entry.
        #[arg(long)]
        print: bool,
    },
    /// Show settings: what is set and by what, what can be set, and where.
    Config {
        /// Which of these.
        #[command(subcommand)]
        what: What,
    },
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// What of the settings to show.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum What {
    /// What is set, with its source, without secrets.
    Show,
    /// The JSON Schema of callboard.toml.
    Schema,
    /// Where settings files are looked for.
    Path,
}

/// Version, commit and target.
pub fn version() -> String {
    let commit = env!("CALLBOARD_BUILD_COMMIT");
    let commit = if commit.is_empty() { String::new() } else { format!("commit {commit}, ") };
    format!("{} ({commit}{})", env!("CARGO_PKG_VERSION"), env!("CALLBOARD_BUILD_TARGET"))
}

/// What clap found wrong, or the help it was asked for.
pub fn explain(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() {
        // Nobody is left to tell.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        return ExitCode::from(USAGE);
    }
    output::write(&text);
    ExitCode::from(GOOD)
}

/// What a person sees who starts the program by hand.
pub fn first_steps() -> String {
    let mut command = Arguments::command();
    format!(
        "callboard {}: an MCP server for SQL, search and ETL.\n\n\
         MCP clients start it by themselves. Next steps:\n\
         \x20 callboard setup claude-code    put it into a client (also claude-desktop, cursor, vscode, zed, goose, codex)\n\
         \x20 callboard demo                 see the main job done on sample data\n\
         \x20 callboard doctor               see what it stands on and what is wrong\n\
         \x20 callboard --help               all commands and settings\n\n{}\n",
        env!("CARGO_PKG_VERSION"),
        command.render_usage()
    )
}

/// The script for a shell.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "callboard", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The settings, for the end of `--help`.
fn settings_help() -> String {
    let mut text = String::from(
        "Settings (environment variables; in callboard.toml the same in lower case without `callboard_`):\n",
    );
    for section in Section::ALL {
        text.push_str(&format!("\n  {}\n", section.title()));
        for setting in SETTINGS.iter().filter(|setting| setting.section == section) {
            let default = if setting.default.is_empty() { String::new() } else { format!(" [{}]", setting.default) };
            text.push_str(&format!("    {:<31} {}{default}\n", setting.name, setting.description.replace('`', "")));
        }
    }
    text.push_str("\nFurther databases: DATABASE_URL_<NAME>, described by DATABASE_DESC_<NAME>. Secrets also from NAME_FILE or /secrets/NAME.\n");
    text
}
