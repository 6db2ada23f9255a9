//! The words of the command line.

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use super::{GOOD, USAGE, output, setup::Client};
use crate::{
    config::{setting::Section, table::settings},
    domain::catalogue::{self, CORE},
};

/// One MCP server that gives AI agents durable workflows and tasks, a SQL database and search, and moves data between them.
#[derive(Debug, Parser)]
#[command(name = "callboard", version = version(), after_long_help = settings_help())]
pub struct Arguments {
    /// What to do. Without a command it serves; at a terminal it shows the first steps instead.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Only read: tools that write refuse every call.
    #[arg(long, global = true)]
    pub read_only: bool,

    /// Groups of tools to serve, separated by commas.
    #[arg(long, global = true, value_name = "GROUPS", help = groups_help())]
    pub toolsets: Option<String>,

    /// Directory of the embedded stores and the exports.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve MCP over stdin and stdout: what clients start.
    Serve,
    /// Call one tool and print its answer as JSON.
    ///
    /// Exit code 0: the tool answered; 1: it refused, and the error is printed; 2: the command line or a setting is wrong, or there is no such
    /// tool; 3: a backend is unavailable or too slow.
    Call {
        /// The tool's name; `callboard tools` lists them.
        tool: String,
        /// Its arguments as a JSON object; `-` reads them from stdin.
        #[arg(allow_hyphen_values = true)]
        arguments: Option<String>,
    },
    /// List the tools that this configuration serves.
    Tools {
        /// Print them as JSON, as tools/list serves them.
        #[arg(long, conflicts_with = "markdown")]
        json: bool,
        /// Print them as a Markdown table.
        #[arg(long)]
        markdown: bool,
    },
    /// Show what the tools do on sample data: 15 products go from a search index into a SQL table, then two agents share a workflow.
    Demo {
        /// First remove what an earlier demonstration left in the embedded stores.
        #[arg(long)]
        reset: bool,
    },
    /// Check every backend, the data directory, the settings and the clients, and say what is wrong.
    ///
    /// Exit code 0: everything works; 1: the backends work, but something needs attention; 2: something does not work.
    Doctor {
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Bring the record store (embedded or PostgreSQL) to the newest schema.
    Migrate {
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Add this server to a client's settings.
    ///
    /// The flags given here (--read-only, --toolsets, --data-dir) go into the entry; into a new one also what the environment says of them. An
    /// entry that is there keeps everything else: its own flags, its environment, its comments. A copy of the file is kept beside it.
    Setup {
        /// The client.
        client: Client,
        /// Only print the entry, and say what would change.
        #[arg(long)]
        print: bool,
    },
    /// Show the settings: what is set and where, what can be set, and in which files.
    Config {
        /// What to show.
        #[command(subcommand)]
        what: What,
    },
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// What of the settings to show.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum What {
    /// What is set and where it was set, without secrets.
    Show,
    /// The JSON Schema of callboard.toml.
    Schema,
    /// The files that settings are read from, the strongest first.
    Path,
}

/// Version, commit and target.
pub fn version() -> String {
    let commit = env!("CALLBOARD_BUILD_COMMIT");
    let commit = if commit.is_empty() { String::new() } else { format!("commit {commit}, ") };
    format!("{} ({commit}{})", env!("CARGO_PKG_VERSION"), env!("CALLBOARD_BUILD_TARGET"))
}

/// The groups of this version.
fn groups_help() -> String {
    format!(
        "Groups of tools to serve, separated by commas: {}; `{CORE}` is what an agent needs to take part in work",
        catalogue::groups().collect::<Vec<_>>().join(", ")
    )
}

/// What clap found wrong, or the help it was asked for.
pub fn explain(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() {
        // stderr is closed: there is no other place to report it.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        return ExitCode::from(USAGE);
    }
    output::write(&text);
    ExitCode::from(GOOD)
}

/// What a person sees who starts the program by hand.
pub fn first_steps() -> String {
    let mut command = Arguments::command();
    let others: Vec<&str> =
        Client::ALL.iter().map(|client| client.name()).filter(|name| *name != "claude-code").collect();
    format!(
        "callboard {}: an MCP server that gives AI agents workflows and tasks, a SQL database and search.\n\n\
         MCP clients start it themselves. First steps:\n\
         \x20 callboard setup claude-code    add it to a client (also {})\n\
         \x20 callboard demo                 see it work on sample data\n\
         \x20 callboard doctor               check backends, settings and clients\n\
         \x20 callboard tools                list the tools\n\
         \x20 callboard --help               all commands and settings\n\n{}\n",
        env!("CARGO_PKG_VERSION"),
        others.join(", "),
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
        let settings = settings().filter(|setting| setting.section == section);
        if section == Section::Later {
            // There is nothing to say of one that does nothing.
            let names: Vec<&str> = settings.map(|setting| setting.name).collect();
            names.chunks(4).for_each(|line| text.push_str(&format!("    {}\n", line.join(", "))));
            continue;
        }
        for setting in settings {
            let default = if setting.default.is_empty() { String::new() } else { format!(" [{}]", setting.default) };
            text.push_str(&format!("    {:<31} {}{default}\n", setting.name, setting.description));
        }
    }
    text.push_str("\nFurther databases: DATABASE_URL_<NAME>, described by DATABASE_DESC_<NAME>. Secrets also from NAME_FILE or /secrets/NAME.\n");
    text
}
