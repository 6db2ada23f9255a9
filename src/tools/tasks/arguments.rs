//! Tasks, costs and failures as callers write them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::super::{
    money::{Level, Usd},
    raw::{Any, Lenient},
};
use crate::{
    domain::{
        json::Json,
        tasks::{Cost, Failure, OnDependencyFailure},
        text,
    },
    error::Error,
    services::tasks::request::TaskRequest,
};

/// A task of create_workflow and enqueue_tasks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskArgument {
    key: Option<String>,
    title: Option<String>,
    description: Option<String>,
    queue: Option<String>,
    priority: Option<Level>,
    depends_on: Option<Lenient<Vec<String>>>,
    #[serde(alias = "capabilities")]
    required_capabilities: Option<Lenient<Vec<String>>>,
    #[serde(alias = "parameters")]
    input: Option<Any>,
    delay_ms: Option<u64>,
    run_at: Option<String>,
    max_attempts: Option<u64>,
    max_runtime_ms: Option<u64>,
    on_dependency_failure: Option<OnDependencyFailure>,
}

impl From<TaskArgument> for TaskRequest {
    fn from(task: TaskArgument) -> Self {
        let list = |names: Option<Lenient<Vec<String>>>| names.map(|names| names.0).unwrap_or_default();
        Self {
            key: task.key,
            title: task.title,
            description: task.description,
            queue: task.queue,
            priority: task.priority.map(|level| level.0),
            depends_on: list(task.depends_on),
            capabilities: list(task.required_capabilities),
            input: task.input.map(|input| input.0),
            delay_ms: task.delay_ms,
            run_at: task.run_at,
            attempts_max: task.max_attempts,
            runtime_ms_max: task.max_runtime_ms,
            on_dependency_failure: task.on_dependency_failure,
        }
    }
}

/// Tokens of one report: a day's sum of millions of them still is a number that can be kept.
const TOKENS_MAX: i64 = 1_000_000_000_000;

/// What was spent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostArgument {
    usd: Option<Usd>,
    model: Option<String>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl TryFrom<CostArgument> for Cost {
    type Error = Error;

    fn try_from(cost: CostArgument) -> Result<Self, Error> {
        let tokens = |argument: &'static str, count: Option<u64>| {
            i64::try_from(count.unwrap_or_default())
                .ok()
                .filter(|count| *count <= TOKENS_MAX)
                .ok_or_else(|| Error::invalid(argument, format!("`{argument}` is at most {TOKENS_MAX}")))
        };
        Ok(Self {
            amount: cost.usd.map(|usd| usd.0).unwrap_or_default(),
            model: cost.model.map(|model| text::name("cost.model", &model)).transpose()?,
            input_tokens: tokens("cost.input_tokens", cost.input_tokens)?,
            output_tokens: tokens("cost.output_tokens", cost.output_tokens)?,
        })
    }
}

/// What went wrong: a text, or {code, message}.
pub struct FailureArgument(Json);

impl<'de> Deserialize<'de> for FailureArgument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Json as Deserialize>::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for FailureArgument {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Failure".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
    fn inline_schema() -> bool {
        true
    }
}

impl FailureArgument {
    /// Reads it.
    ///
    /// # Errors
    /// `invalid` when it is neither a text nor an object with a message.
    pub fn read(&self, retry_after_ms: Option<u64>) -> Result<Failure, Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Told {
            code: Option<String>,
            message: String,
        }
        const RETRY_MS_MAX: u64 = 86_400_000;
        if let Some(asked) = retry_after_ms.filter(|asked| *asked > RETRY_MS_MAX) {
            let message = format!("`retry_after_ms` is {asked}; it takes 0 to {RETRY_MS_MAX}");
            return Err(Error::invalid("retry_after_ms", message));
        }
        let text = self.0.get();
        let told = match serde_json::from_str::<String>(text) {
            Ok(message) => Told { code: None, message },
            Err(_) => serde_json::from_str(text).map_err(|error| {
                Error::invalid("error", "`error` is neither a text nor an object")
                    .hint("e.g. \"no answer\", or {\"code\": \"invalid\", \"message\": \"no such page\"}")
                    .cause(error)
            })?,
        };
        Ok(Failure {
            code: told.code.map(|code| text::name("error.code", &code)).transpose()?,
            message: text::bounded("error", &told.message, text::PARAGRAPH_MAX)?,
            retry_after_ms,
        })
    }
}
