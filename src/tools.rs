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

use rmcp::handler::server::router::tool::ToolRouter;

use crate::{app::App, config::Toolsets, domain::catalogue::TOOLS};

pub use answer::{Json, ToolError};
pub use arguments::{Keyed, Parameters};

/// All tool groups hang on this one type; the router is built once.
#[derive(Clone)]
pub struct Tools {
    /// The services.
    pub app: App,
}

/// The tools of the sets that are served.
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
    if let Some(sets) = toolsets.groups() {
        TOOLS.iter().filter(|tool| !tool.is_in(sets)).for_each(|tool| router.remove_route(tool.name));
    }
    router
}
