//! Where the demonstration plays: the data directory, the backends, and the names that are free.

use serde_json::Value;

use super::{NAME, OTHER_NAME, PRODUCTS, list, number, stage::End, stage::Stage, text};
use crate::config::Config;

/// The data directory and which stores are in it.
pub(super) struct Place {
    pub(super) data_dir: String,
    /// It is not where it would be by itself.
    data_dir_is_set: bool,
    backends: Vec<&'static str>,
}

impl Place {
    pub(super) fn of(config: &Config) -> Self {
        let mut backends = Vec::new();
        if !config.databases.is_empty() {
            backends.push("DATABASE_URL");
        }
        if config.search.is_some() {
            backends.push("ELASTICSEARCH_URL");
        }
        Self {
            data_dir: config.data_dir.display().to_string(),
            data_dir_is_set: !config
                .shown
                .iter()
                .any(|shown| shown.name == "CALLBOARD_DATA_DIR" && shown.source == "default"),
            backends,
        }
    }

    /// What a person can do now.
    pub(super) fn next_steps(&self, names: &Names) -> String {
        let mut environment = Vec::new();
        if self.data_dir_is_set {
            environment.push(format!("\"CALLBOARD_DATA_DIR\": {}", Value::from(self.data_dir.as_str())));
        }
        for name in &self.backends {
            environment.push(format!("\"{name}\": \"${{{name}}}\""));
        }
        let environment = match environment.as_slice() {
            [] => String::new(),
            set => format!(", \"env\": {{{}}}", set.join(", ")),
        };
        let program = std::env::current_exe().map_or("callboard".to_owned(), |path| path.display().to_string());
        let flag = if self.data_dir_is_set { format!(" --data-dir '{}'", self.data_dir) } else { String::new() };
        let Names { index, table, .. } = names;
        format!(
            "The index `{index}` and the table `{table}` are kept. Try them:\n\
             \x20 {program} call{flag} search_documents '{{\"index\":\"{index}\",\"text\":\"wireless\"}}'\n\
             \x20 {program} call{flag} execute_query '{{\"query\":\"select category, count(*), avg(price) from {table} group by 1\"}}'\n\
             \x20 {program} doctor{flag}\n\
             Add the server to an MCP client (`{program} setup CLIENT{flag}` does it for you):\n\
             \x20 {{\"mcpServers\": {{\"callboard\": {{\"command\": {}, \"args\": [\"serve\"]{environment}}}}}}}",
            Value::from(program.as_str())
        )
    }
}

/// What index and table are called.
pub(super) struct Names {
    pub(super) index: String,
    pub(super) table: String,
}

impl Names {
    /// Said when a name had to be another one.
    pub(super) fn note(&self) -> Option<String> {
        let taken = |what: &str| format!("`{NAME}` is {what} of yours, so the demonstration uses `{OTHER_NAME}`");
        match (self.index == NAME, self.table == NAME) {
            (true, true) => None,
            (false, true) => Some(taken("an index")),
            (true, false) => Some(taken("a table")),
            (false, false) => Some(taken("an index and a table")),
        }
    }
}

/// Names under which there is nothing, or only what an earlier demonstration left.
pub(super) async fn names(stage: &Stage) -> Result<Names, End> {
    let mut names = Names { index: NAME.to_owned(), table: NAME.to_owned() };
    if !index_is_ours(stage, NAME).await? {
        names.index = OTHER_NAME.to_owned();
    }
    if !table_is_ours(stage, NAME).await? {
        names.table = OTHER_NAME.to_owned();
    }
    Ok(names)
}

/// Nothing is there but documents with the ids of the sample.
pub(super) async fn index_is_ours(stage: &Stage, index: &str) -> Result<bool, End> {
    let listed = stage.ask("list_indices", &format!(r#"{{"pattern":"{index}"}}"#)).await?.map_err(End::Refused)?;
    let called = |summary: &Value| {
        let aliases = list(summary, "aliases").iter().any(|alias| alias == index);
        text(summary, "name") == index || aliases
    };
    if !list(&listed, "indices").iter().any(called) {
        return Ok(true);
    }
    let all = format!(r#"{{"index":"{index}"}}"#);
    let ours = format!(r#"{{"index":"{index}","query":{{"ids":{{"values":{}}}}}}}"#, ids()?);
    Ok(count(stage, "count_documents", &all).await? == count(stage, "count_documents", &ours).await?)
}

/// Nothing is there but the demonstration's columns and rows with the ids of the sample.
pub(super) async fn table_is_ours(stage: &Stage, table: &str) -> Result<bool, End> {
    let all = format!(r#"{{"table":"{table}"}}"#);
    let schema = match stage.ask("get_schema", &all).await? {
        Ok(schema) => schema,
        Err(envelope)
            if serde_json::from_str(&envelope).is_ok_and(|refusal: Value| text(&refusal, "code") == "not_found") =>
        {
            return Ok(true);
        }
        Err(envelope) => return Err(End::Refused(envelope)),
    };
    let columns: Value = serde_json::from_str(super::COLUMNS).unwrap_or_default();
    let wanted = columns.as_array().into_iter().flatten().map(|column| text(column, "name"));
    if !list(&schema, "columns").iter().map(|column| text(column, "name")).eq(wanted) {
        return Ok(false);
    }
    let ours = format!(r#"{{"table":"{table}","where":{{"id":{{"in":{}}}}}}}"#, ids()?);
    Ok(count(stage, "count_rows", &all).await? == count(stage, "count_rows", &ours).await?)
}

async fn count(stage: &Stage, tool: &str, arguments: &str) -> Result<u64, End> {
    Ok(number(&stage.ask(tool, arguments).await?.map_err(End::Refused)?, "count"))
}

/// The ids of the sample, as a JSON array.
fn ids() -> Result<String, End> {
    let products: Vec<Value> = serde_json::from_str(PRODUCTS)
        .map_err(|error| End::Unexpected(format!("the sample cannot be read: {error}")))?;
    Ok(Value::from_iter(products.iter().map(|product| text(product, "id"))).to_string())
}
