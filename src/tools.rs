//! The tools: the wire's shapes, and one service call each.

pub mod agents;
pub mod answer;
pub mod arguments;
pub mod locks;
pub mod money;
pub mod ops;
pub mod progress;
pub mod raw;
pub mod schema;
pub mod search;
pub mod sql;
pub mod tasks;
pub mod workflows;

use crate::{app::App, config::Toolsets};

pub use answer::{Json, ToolError};
pub use arguments::{Keyed, Parameters};

/// All tool groups hang on this one type; the router is built once.
#[derive(Clone)]
pub struct Tools {
    /// The services.
    pub app: App,
}

use rmcp::handler::server::router::tool::ToolRouter;

/// Every tool with its group, in the order in which tools/list and the documentation show them.
pub const CATALOGUE: [(&str, &str); 32] = [
    ("workflows", "create_workflow"),
    ("workflows", "get_orchestration_status"),
    ("workflows", "list_workflows"),
    ("workflows", "complete_workflow"),
    ("workflows", "control_workflow"),
    ("workflows", "get_events"),
    ("workflows", "get_analytics"),
    ("tasks", "enqueue_tasks"),
    ("tasks", "claim_tasks"),
    ("tasks", "update_task"),
    ("tasks", "finish_task"),
    ("tasks", "manage_tasks"),
    ("agents", "register_agent"),
    ("agents", "list_agents"),
    ("agents", "update_agent"),
    ("agents", "manage_lock"),
    ("search", "search_documents"),
    ("search", "get_document"),
    ("search", "list_indices"),
    ("search", "get_mapping"),
    ("search", "count_documents"),
    ("search", "bulk_export"),
    ("search", "index_documents"),
    ("sql", "execute_query"),
    ("sql", "explain_query"),
    ("sql", "list_tables"),
    ("sql", "get_schema"),
    ("sql", "count_rows"),
    ("sql", "insert_data"),
    ("sql", "bulk_insert"),
    ("sql", "create_table"),
    ("ops", "get_server_info"),
];

/// The tools of `core`: what an agent needs to take part in work.
const CORE: [&str; 5] = ["create_workflow", "get_orchestration_status", "claim_tasks", "update_task", "finish_task"];

/// The group of a tool.
pub fn group_of(tool: &str) -> Option<&'static str> {
    CATALOGUE.iter().find(|(_, name)| *name == tool).map(|(group, _)| *group)
}

/// The place of a tool in lists.
pub fn position(tool: &str) -> usize {
    CATALOGUE.iter().position(|(_, name)| *name == tool).unwrap_or(CATALOGUE.len())
}

/// The tools of the groups that are served.
pub fn router(toolsets: &Toolsets) -> ToolRouter<Tools> {
    let mut router = Tools::workflow_tools()
        + Tools::task_tools()
        + Tools::agent_tools()
        + Tools::lock_tools()
        + Tools::search_read_tools()
        + Tools::search_export_tools()
        + Tools::search_write_tools()
        + Tools::sql_read_tools()
        + Tools::sql_write_tools()
        + Tools::ops_tools();
    if let Some(groups) = toolsets.groups() {
        for (group, name) in CATALOGUE {
            let core = CORE.contains(&name);
            if !groups.iter().any(|served| served == group || (core && served == crate::config::table::CORE)) {
                router.remove_route(name);
            }
        }
    }
    router
}
