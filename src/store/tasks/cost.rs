//! What work has cost.

use futures_util::future::try_join;

use crate::{
    clock::Instant,
    domain::tasks::Cost,
    error::Error,
    store::{Sql, Transaction, Value},
};

/// What was spent, by whom, on what.
pub(super) struct Spent<'a> {
    pub cost: &'a Cost,
    pub task_id: &'a str,
    pub workflow_id: Option<&'a str>,
    pub agent_id: Option<&'a str>,
    pub now: Instant,
}

/// Adds to the costs of tasks, and to the reports of the day. The cost of a workflow is changed with its counts.
pub(super) async fn add(transaction: &Transaction<'_>, spent: &[Spent<'_>]) -> Result<(), Error> {
    let days: Vec<String> = spent.iter().map(|spent| spent.now.day()).collect();
    let tasks: Vec<Vec<Value<'_>>> =
        spent.iter().map(|spent| vec![spent.task_id.into(), spent.cost.amount.0.into()]).collect();
    let reports: Vec<Vec<Value<'_>>> = spent
        .iter()
        .zip(&days)
        .map(|(spent, day)| {
            vec![
                spent.now.into(),
                day.into(),
                spent.workflow_id.into(),
                spent.agent_id.unwrap_or_default().into(),
                spent.cost.model.as_deref().unwrap_or_default().into(),
                spent.cost.amount.0.into(),
                spent.cost.input_tokens.into(),
                spent.cost.output_tokens.into(),
            ]
        })
        .collect();
    try_join(transaction.write_rows(ADD_TO_TASK, &tasks), transaction.write_rows(REPORT, &reports)).await.map(drop)
}

const ADD_TO_TASK: Sql = Sql {
    postgres: "-- task_cost\n\
               UPDATE task SET cost_micros = cost_micros + more.cost FROM unnest($1::text[], $2::bigint[]) AS more (id, cost) \
               WHERE task.id = more.id",
    sqlite: "-- task_cost\nUPDATE task SET cost_micros = cost_micros + $2 WHERE id = $1",
};

const REPORT: Sql = Sql {
    postgres: "-- cost_add\n\
               INSERT INTO cost (at, day, type, agent_id, model, cost_micros, input_tokens, output_tokens) \
               SELECT at, day, COALESCE((SELECT type FROM workflow WHERE id = new.workflow_id), ''), agent_id, model, cost, input, output \
               FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[]) \
               AS new (at, day, workflow_id, agent_id, model, cost, input, output)",
    sqlite: "-- cost_add\n\
             INSERT INTO cost (at, day, type, agent_id, model, cost_micros, input_tokens, output_tokens) \
             VALUES ($1, $2, COALESCE((SELECT type FROM workflow WHERE id = $3), ''), $4, $5, $6, $7, $8)",
};
