//! Every tool, one row each: what settings, the choke point and lists know of it. Its arguments, answer and description are in `src/tools/`.

/// A tool.
#[derive(Debug)]
pub struct Tool {
    /// One of [`TOOLSETS`].
    pub group: &'static str,
    /// What callers call.
    pub name: &'static str,
    /// It belongs to what an agent needs to take part in work.
    pub core: bool,
    /// It changes something, and therefore takes an idempotency key.
    pub writes: bool,
    /// It may overwrite or end what is there.
    pub destructive: bool,
    /// The same call again changes nothing more.
    pub idempotent: bool,
}

/// The set of tools, from several groups, that an agent needs to take part in work.
pub const CORE: &str = "core";

/// What CALLBOARD_TOOLSETS takes. Groups of later versions are taken too, so that one setting does for all versions.
pub const TOOLSETS: &[&str] =
    &["all", CORE, "workflows", "tasks", "agents", "memory", "discoveries", "search", "sql", "transfers", "ops"];

/// In the order in which tools/list and the documentation show them.
pub const TOOLS: &[Tool] = &[
    writes("workflows", "create_workflow").core(),
    reads("workflows", "get_orchestration_status").core(),
    reads("workflows", "list_workflows"),
    writes("workflows", "complete_workflow").destructive(),
    writes("workflows", "control_workflow").destructive(),
    reads("workflows", "get_events"),
    reads("workflows", "get_analytics"),
    writes("tasks", "enqueue_tasks"),
    writes("tasks", "claim_tasks").core(),
    writes("tasks", "update_task").core(),
    writes("tasks", "finish_task").core().idempotent(),
    writes("tasks", "manage_tasks").destructive(),
    writes("agents", "register_agent").idempotent(),
    reads("agents", "list_agents"),
    writes("agents", "update_agent").destructive().idempotent(),
    writes("agents", "manage_lock"),
    reads("search", "search_documents"),
    reads("search", "get_document"),
    reads("search", "list_indices"),
    reads("search", "get_mapping"),
    reads("search", "count_documents"),
    reads("search", "bulk_export"),
    writes("search", "index_documents").destructive(),
    reads("sql", "execute_query"),
    reads("sql", "explain_query"),
    reads("sql", "list_tables"),
    reads("sql", "get_schema"),
    reads("sql", "count_rows"),
    writes("sql", "insert_data"),
    writes("sql", "bulk_insert").destructive(),
    writes("sql", "create_table"),
    reads("ops", "get_server_info"),
];

const fn reads(group: &'static str, name: &'static str) -> Tool {
    Tool { group, name, core: false, writes: false, destructive: false, idempotent: true }
}

const fn writes(group: &'static str, name: &'static str) -> Tool {
    Tool { group, name, core: false, writes: true, destructive: false, idempotent: false }
}

impl Tool {
    const fn core(mut self) -> Self {
        self.core = true;
        self
    }

    const fn destructive(mut self) -> Self {
        self.destructive = true;
        self
    }

    const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Whether it is served where only these sets are.
    pub fn is_in(&self, sets: &[String]) -> bool {
        sets.iter().any(|set| set == self.group || (self.core && set == CORE))
    }
}

/// The tool of a name.
pub fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

/// The groups that this version has tools of.
pub fn groups() -> impl Iterator<Item = &'static str> {
    TOOLSETS.iter().copied().filter(|set| TOOLS.iter().any(|tool| tool.group == *set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_can_be_asked_for() {
        for tool in TOOLS {
            assert!(TOOLSETS.contains(&tool.group), "{tool:?}");
        }
    }
}
