//! Tasks, costs and failures as callers write them.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::super::{
    arguments::Moment,
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
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct TaskArgument {
    /// Its name among these tasks.
    key: Option<String>,
    title: Option<String>,
    description: Option<String>,
    queue: Option<String>,
    /// Default 5.
    priority: Option<Level>,
    /// Keys of tasks it waits for.
    depends_on: Option<Lenient<Vec<String>>>,
    #[serde(alias = "capabilities")]
    #[schemars(extend("x-aliases" = ["capabilities"]))]
    required_capabilities: Option<Lenient<Vec<String>>>,
    #[serde(alias = "parameters")]
    #[schemars(extend("x-aliases" = ["parameters"]))]
    input: Option<Any>,
    delay_ms: Option<u64>,
    /// RFC 3339, instead of delay_ms.
    run_at: Option<Moment>,
    /// Default 5.
    max_attempts: Option<u64>,
    max_runtime_ms: Option<u64>,
    /// When a task it depends on dies (default cancel).
    #[schemars(with = "Option<DependencyPolicy>")]
    on_dependency_failure: Option<OnDependencyFailure>,
}

/// The words of [`OnDependencyFailure`].
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used")]
enum DependencyPolicy {
    Cancel,
    Continue,
    Park,
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
            run_at: task.run_at.map(|moment| moment.0),
            attempts_max: task.max_attempts,
            runtime_ms_max: task.max_runtime_ms,
            on_dependency_failure: task.on_dependency_failure,
        }
    }
}

/// Tokens of one report: a day's sum of millions of them still is a number that can be kept.
const TOKENS_MAX: i64 = 1_000_000_000_000;

/// What was spent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
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
            i64::try_from(count.unwrap_or_default()).ok().filter(|count| *count <= TOKENS_MAX).ok_or_else(|| {
                let count = count.unwrap_or_default();
                Error::invalid(argument, format!("`{argument}` is {count}; it takes 0 to {TOKENS_MAX}"))
            })
        };
        Ok(Self {
            amount: cost.usd.map(|usd| usd.0).unwrap_or_default(),
            model: cost.model.map(|model| text::name("cost.model", &model)).transpose()?,
            input_tokens: tokens("cost.input_tokens", cost.input_tokens)?,
            output_tokens: tokens("cost.output_tokens", cost.output_tokens)?,
        })
    }
}

/// What went wrong: a text, or an object.
pub struct FailureArgument(Told);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, extend("x-takes-text" = true))]
struct Told {
    message: String,
    /// invalid, denied, not_found, budget: never retried.
    code: Option<String>,
    /// false: never retried.
    retryable: Option<bool>,
}

impl<'de> Deserialize<'de> for FailureArgument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = <Json as Deserialize>::deserialize(deserializer)?;
        match value.get().trim_start().as_bytes().first() {
            Some(b'"') => {
                let message: String = serde_json::from_str(value.get()).map_err(D::Error::custom)?;
                // Some hosts send objects so; another object is what somebody's program said of the failure.
                let told = serde_json::from_str(&message).ok().filter(|_| message.trim_start().starts_with('{'));
                Ok(Self(told.unwrap_or(Told { code: None, message, retryable: None })))
            }
            Some(b'{') => Lenient::<Told>::deserialize(&*value).map(|told| Self(told.0)).map_err(D::Error::custom),
            _ => Err(D::Error::custom("expected a text, or an object with message, code, retryable")),
        }
    }
}

impl JsonSchema for FailureArgument {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Told::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Told::json_schema(generator)
    }
    fn inline_schema() -> bool {
        true
    }
}

impl FailureArgument {
    /// Reads it.
    ///
    /// # Errors
    /// `invalid` when something of it is too long, or the wait is.
    pub fn read(self, retry_after_ms: Option<u64>) -> Result<Failure, Error> {
        const RETRY_MS_MAX: u64 = 86_400_000;
        if let Some(asked) = retry_after_ms.filter(|asked| *asked > RETRY_MS_MAX) {
            let message = format!("`retry_after_ms` is {asked}; it takes 0 to {RETRY_MS_MAX}");
            return Err(Error::invalid("retry_after_ms", message));
        }
        let Told { code, message, retryable } = self.0;
        Ok(Failure {
            code: code.map(|code| text::name("error.code", &code)).transpose()?,
            message: text::bounded("error", &message, text::PARAGRAPH_MAX)?,
            retryable,
            retry_after_ms,
        })
    }
}
