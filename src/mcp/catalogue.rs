//! The tools as documents: what `callboard tools` prints, what `tools/` and the README's table hold.

use rmcp::model::Tool;

use super::server::Server;
use crate::domain::catalogue;

/// All tools in one JSON document, each as tools/list serves it.
pub fn json(server: &Server) -> String {
    pretty(&serde_json::json!({ "tools": server.catalogue() }))
}

/// One document per tool, with its path below `tools/`.
pub fn files(server: &Server) -> Vec<(String, String)> {
    let file = |tool: &Tool| {
        let group = group_of(tool);
        (format!("{group}/{}.json", tool.name), pretty(tool))
    };
    server.catalogue().iter().map(file).collect()
}

/// A table in Markdown.
pub fn markdown(server: &Server) -> String {
    let mut table = String::from("| group | tool | arguments | what it does |\n|---|---|---|---|\n");
    let mut last = "";
    for tool in server.catalogue() {
        let group = group_of(tool);
        let shown = if group == last { "" } else { group };
        last = group;
        let (required, optional) = arguments(tool);
        let arguments = match (required.is_empty(), optional.is_empty()) {
            (_, true) => required.join(", "),
            (true, false) => format!("({})", optional.join(", ")),
            (false, false) => format!("{}; {}", required.join(", "), optional.join(", ")),
        };
        table.push_str(&format!("| {shown} | `{}` | {arguments} | {} |\n", tool.name, first_sentence(tool)));
    }
    table
}

/// A list for a terminal.
pub fn plain(server: &Server) -> String {
    let mut list = String::new();
    let width = server.catalogue().iter().map(|tool| tool.name.len()).max().unwrap_or_default();
    let mut last = "";
    for tool in server.catalogue() {
        let group = group_of(tool);
        if group != last {
            list.push_str(&format!("{group}\n"));
            last = group;
        }
        list.push_str(&format!("  {:<width$}  {}\n", tool.name, first_sentence(tool)));
    }
    list
}

fn group_of(tool: &Tool) -> &'static str {
    catalogue::find(&tool.name).map_or("other", |row| row.group)
}

/// Names of required arguments in the order of their declaration, and of optional ones.
fn arguments(tool: &Tool) -> (Vec<&str>, Vec<&str>) {
    let properties = tool.input_schema.get("properties").and_then(|properties| properties.as_object());
    let required: Vec<&str> = match tool.input_schema.get("required").and_then(|required| required.as_array()) {
        Some(names) => names.iter().filter_map(|name| name.as_str()).collect(),
        None => Vec::new(),
    };
    let names = properties.map(|properties| properties.keys().map(String::as_str)).into_iter().flatten();
    let optional = names.filter(|name| !required.contains(name)).collect();
    (required, optional)
}

fn first_sentence(tool: &Tool) -> &str {
    let text = tool.description.as_deref().unwrap_or_default();
    text.find(". ").and_then(|at| text.get(..=at)).unwrap_or(text)
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
