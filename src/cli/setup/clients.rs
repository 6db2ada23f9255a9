//! The clients that setup knows: where their settings are, and the shape of an entry.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{NAME, entry::Entry, toml_file, yaml};
use crate::config::Environment;

/// A client of MCP servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// Claude Code, for the user.
    ClaudeCode,
    /// Claude Desktop.
    ClaudeDesktop,
    /// Cursor, for the user.
    Cursor,
    /// Visual Studio Code, for the user.
    Vscode,
    /// Zed.
    Zed,
    /// Goose.
    Goose,
    /// Codex.
    Codex,
}

/// What kind of file holds a client's servers.
pub enum Shape {
    /// JSON, possibly with comments; the servers are the members of `list`.
    Json {
        /// The member of the document that lists servers.
        list: &'static str,
    },
    /// `[mcp_servers.NAME]` sections.
    Toml,
    /// `extensions:`.
    Yaml,
}

impl Client {
    /// Every client.
    pub const ALL: [Self; 7] =
        [Self::ClaudeCode, Self::ClaudeDesktop, Self::Cursor, Self::Vscode, Self::Zed, Self::Goose, Self::Codex];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::ClaudeDesktop => "claude-desktop",
            Self::Cursor => "cursor",
            Self::Vscode => "vscode",
            Self::Zed => "zed",
            Self::Goose => "goose",
            Self::Codex => "codex",
        }
    }

    /// The shape of its settings.
    pub fn shape(self) -> Shape {
        match self {
            Self::ClaudeCode | Self::ClaudeDesktop | Self::Cursor => Shape::Json { list: "mcpServers" },
            Self::Vscode => Shape::Json { list: "servers" },
            Self::Zed => Shape::Json { list: "context_servers" },
            Self::Goose => Shape::Yaml,
            Self::Codex => Shape::Toml,
        }
    }

    /// Its settings file.
    pub fn path(self, environment: &Environment) -> Option<PathBuf> {
        let home = environment.home.clone();
        let below_home = |path: &str| home.clone().map(|home| home.join(path));
        let config = environment.config_home();
        // Zed and Goose use ~/.config on macOS too.
        let dot_config = if cfg!(windows) {
            config.clone()
        } else {
            environment.text("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| below_home(".config"))
        };
        match self {
            Self::ClaudeCode => match environment.text("CLAUDE_CONFIG_DIR") {
                Some(dir) => Some(PathBuf::from(dir).join(".claude.json")),
                None => below_home(".claude.json"),
            },
            Self::ClaudeDesktop => config.map(|dir| dir.join("Claude").join("claude_desktop_config.json")),
            Self::Cursor => below_home(".cursor/mcp.json"),
            Self::Vscode => config.map(|dir| dir.join("Code").join("User").join("mcp.json")),
            Self::Zed => dot_config.map(|dir| dir.join("zed").join("settings.json")),
            Self::Goose => dot_config.map(|dir| dir.join("goose").join("config.yaml")),
            Self::Codex => match environment.text("CODEX_HOME") {
                Some(dir) => Some(PathBuf::from(dir).join("config.toml")),
                None => below_home(".codex/config.toml"),
            },
        }
    }

    /// The file in a project's directory that it reads too.
    pub fn project_path(self, environment: &Environment) -> Option<PathBuf> {
        let file = match self {
            Self::ClaudeCode => ".mcp.json",
            Self::Cursor => ".cursor/mcp.json",
            Self::Vscode => ".vscode/mcp.json",
            Self::Zed => ".zed/settings.json",
            Self::Codex => ".codex/config.toml",
            Self::ClaudeDesktop | Self::Goose => return None,
        };
        Some(environment.working_dir.join(file))
    }

    /// The entry as this client writes it in JSON.
    pub fn json(self, entry: &Entry) -> Value {
        match self {
            Self::ClaudeCode | Self::Vscode => {
                json!({"type": "stdio", "command": entry.command, "args": entry.args, "env": {}})
            }
            Self::Zed => json!({"source": "custom", "command": entry.command, "args": entry.args, "env": {}}),
            Self::ClaudeDesktop | Self::Cursor | Self::Goose | Self::Codex => {
                json!({"command": entry.command, "args": entry.args, "env": {}})
            }
        }
    }

    /// A settings file that holds nothing but the entry.
    pub fn document(self, entry: &Entry) -> String {
        match self.shape() {
            Shape::Json { list } => {
                let document = json!({list: {NAME: self.json(entry)}});
                format!("{}\n", serde_json::to_string_pretty(&document).unwrap_or_default())
            }
            Shape::Toml => toml_file::section(entry),
            Shape::Yaml => format!("extensions:\n{}", yaml::block(entry)),
        }
    }
}
