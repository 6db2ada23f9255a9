//! Figures over many workflows.

use super::super::{Row, Transaction};
use crate::{
    domain::{
        tasks::Failure,
        workflows::figures::{Figure, GroupBy, Metric, Question},
    },
    error::Error,
    store::Sql,
    store::sql::sql,
};

/// Figures as they are asked for. Those of a group come in its order, days from the last one back; those of single workflows with the
/// largest first.
pub(super) async fn figures(transaction: &Transaction<'_>, asked: &Question) -> Result<Vec<Figure>, Error> {
    match (asked.metric, asked.group_by) {
        (Metric::Failures, _) => failures(transaction, asked).await,
        (
            Metric::Cost,
            GroupBy::Agent | GroupBy::Model | GroupBy::Day | GroupBy::Type | GroupBy::DayAndType | GroupBy::Nothing,
        ) => costs(transaction, asked).await,
        (_, GroupBy::Workflow) => single(transaction, asked).await,
        _ => groups(transaction, asked).await,
    }
}

fn word(group_by: GroupBy) -> &'static str {
    match group_by {
        GroupBy::Type => "type",
        GroupBy::Day => "day",
        GroupBy::DayAndType => "day_and_type",
        GroupBy::Workflow => "workflow",
        GroupBy::State => "state",
        GroupBy::Agent => "agent",
        GroupBy::Model => "model",
        GroupBy::Nothing => "nothing",
    }
}

fn most(asked: &Question) -> i64 {
    i64::try_from(asked.most).unwrap_or(i64::MAX)
}

fn offset(asked: &Question) -> i64 {
    i64::try_from(asked.offset).unwrap_or(i64::MAX)
}

async fn groups(transaction: &Transaction<'_>, asked: &Question) -> Result<Vec<Figure>, Error> {
    let found = transaction
        .query(Sql::both("-- figures_by_group\n\
             SELECT CASE $1 WHEN 'type' THEN type WHEN 'day' THEN ended_day WHEN 'day_and_type' THEN ended_day \
             WHEN 'state' THEN state ELSE '' END, CASE $1 WHEN 'day_and_type' THEN type ELSE '' END, count(*), \
             CAST(sum(CASE WHEN state = 'completed' THEN 1 ELSE 0 END) AS bigint), \
             CAST(sum(CASE WHEN state IN ('failed', 'timed_out') THEN 1 ELSE 0 END) AS bigint), \
             CAST(sum(CASE WHEN state = 'cancelled' THEN 1 ELSE 0 END) AS bigint), \
             CAST(avg(duration_ms) AS double precision), max(duration_ms), CAST(sum(cost_micros) AS bigint) \
             FROM workflow WHERE completed_at >= $2 GROUP BY 1, 2 \
             ORDER BY CASE WHEN $1 IN ('day', 'day_and_type') THEN max(ended_day) ELSE '' END DESC, 1, 2 LIMIT $3 OFFSET $4"),
            &[word(asked.group_by).into(), asked.since.into(), most(asked).into(), offset(asked).into()],
        )
        .await?;
    let read = |mut row: Row| {
        Ok(Figure {
            group: row.text_or_none()?.filter(|group| asked.group_by != GroupBy::Nothing || !group.is_empty()),
            subgroup: row.text_or_none()?.filter(|_| asked.group_by == GroupBy::DayAndType),
            count: row.integer()?,
            completed: row.integer()?,
            failed: row.integer()?,
            cancelled: row.integer()?,
            duration_ms_mean: row.real_or_none()?,
            duration_ms_max: row.integer_or_none()?,
            cost_micros: row.integer()?,
            ..Figure::default()
        })
    };
    found.into_iter().map(read).collect()
}

/// Reports of cost, also of workflows that have not ended and of tasks of none.
async fn costs(transaction: &Transaction<'_>, asked: &Question) -> Result<Vec<Figure>, Error> {
    let found = transaction
        .query(Sql::both("-- figures_of_cost\n\
             SELECT CASE $1 WHEN 'type' THEN type WHEN 'agent' THEN agent_id WHEN 'model' THEN model WHEN 'nothing' THEN '' ELSE day END, \
             CASE $1 WHEN 'day_and_type' THEN type ELSE '' END, CAST(sum(reports) AS bigint), CAST(sum(cost_micros) AS bigint), \
             CAST(sum(input_tokens) AS bigint), CAST(sum(output_tokens) AS bigint) FROM (\
             SELECT day, type, agent_id, model, cost_micros, input_tokens, output_tokens, reports FROM cost_daily WHERE day >= $2 \
             UNION ALL \
             SELECT day, type, agent_id, model, cost_micros, input_tokens, output_tokens, 1 FROM cost WHERE day >= $2) AS spent \
             GROUP BY 1, 2 ORDER BY CASE WHEN $1 IN ('day', 'day_and_type') THEN max(day) ELSE '' END DESC, 1, 2 LIMIT $3 OFFSET $4"),
            &[word(asked.group_by).into(), (&asked.since.day()).into(), most(asked).into(), offset(asked).into()],
        )
        .await?;
    let read = |mut row: Row| {
        Ok(Figure {
            group: row.text_or_none()?,
            subgroup: row.text_or_none()?.filter(|_| asked.group_by == GroupBy::DayAndType),
            count: row.integer()?,
            cost_micros: row.integer()?,
            input_tokens: row.integer()?,
            output_tokens: row.integer()?,
            ..Figure::default()
        })
    };
    found.into_iter().map(read).collect()
}

/// The longest or the most expensive.
async fn single(transaction: &Transaction<'_>, asked: &Question) -> Result<Vec<Figure>, Error> {
    let found = transaction
        .query(
            Sql::both(
                "-- figures_by_workflow\n\
             SELECT id, name, state, duration_ms, cost_micros, completed_at FROM workflow WHERE completed_at >= $1 \
             ORDER BY CASE WHEN $2 THEN duration_ms ELSE cost_micros END DESC, id LIMIT $3 OFFSET $4",
            ),
            &[asked.since.into(), (asked.metric == Metric::Duration).into(), most(asked).into(), offset(asked).into()],
        )
        .await?;
    let read = |mut row: Row| {
        let (id, name, state) = (row.text()?, row.text()?, row.text()?);
        let duration_ms = row.integer_or_none()?;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a workflow")]
        let mean = duration_ms.map(|duration| duration as f64);
        Ok(Figure {
            group: Some(id),
            name: Some(name),
            count: 1,
            completed: i64::from(state == "completed"),
            failed: i64::from(state == "failed" || state == "timed_out"),
            cancelled: i64::from(state == "cancelled"),
            duration_ms_mean: mean,
            duration_ms_max: duration_ms,
            cost_micros: row.integer()?,
            completed_at: row.time_or_none()?,
            ..Figure::default()
        })
    };
    found.into_iter().map(read).collect()
}

/// Counts the failures in a task's list, whose objects begin with their attempt: no text of a caller can look so inside it.
macro_rules! failures_of {
    ($errors:literal) => {
        concat!("(length(", $errors, ") - length(replace(", $errors, ", '{\"attempt\":', ''))) / 11")
    };
}

/// Workflows that failed and tasks of none that are dead, and those that are open and have failed attempts.
async fn failures(transaction: &Transaction<'_>, asked: &Question) -> Result<Vec<Figure>, Error> {
    let found = transaction
        .query(sql!("-- work_failed\n\
                 SELECT w.id AS id, w.name AS name, w.type, w.cost_micros, w.duration_ms, w.completed_at, w.state, \
                 (SELECT CAST(sum(", [failures_of!("t.errors")], ") AS bigint) FROM task t WHERE t.workflow_id = w.id), \
                 r.error, w.reason, (SELECT t.errors FROM task t WHERE t.workflow_id = w.id AND (t.ended = 'dead' \
                 OR w.completed_at IS NULL AND t.errors <> '[]') ORDER BY COALESCE(t.ended, '') = 'dead' DESC, t.completed_at, t.id LIMIT 1), \
                 COALESCE(w.completed_at, w.changed_at) AS at \
                 FROM workflow w LEFT JOIN workflow_result r ON r.workflow_id = w.id \
                 WHERE w.completed_at >= $1 AND w.state IN ('failed', 'timed_out') OR w.completed_at IS NULL AND w.changed_at >= $1 \
                 AND EXISTS (SELECT 1 FROM task t WHERE t.workflow_id = w.id AND t.errors <> '[]') \
                 UNION ALL \
                 SELECT t.id, COALESCE(t.title, t.key), NULL, t.cost_micros, NULL, t.completed_at, COALESCE(r.state, t.ended), ", [failures_of!("t.errors")], ", NULL, NULL, t.errors, COALESCE(t.completed_at, r.since) \
                 FROM task t LEFT JOIN task_run r ON r.task_id = t.id \
                 WHERE t.workflow_id IS NULL AND t.errors <> '[]' AND (t.ended = 'dead' AND t.completed_at >= $1 OR r.since >= $1) \
                 ORDER BY at DESC, id DESC LIMIT $2 OFFSET $3"),
            &[asked.since.into(), most(asked).into(), offset(asked).into()],
        )
        .await?;
    let read = |mut row: Row| {
        let mut figure = Figure {
            group: Some(row.text()?),
            name: row.text_or_none()?,
            subgroup: row.text_or_none()?,
            count: 1,
            cost_micros: row.integer()?,
            duration_ms_max: row.integer_or_none()?,
            completed_at: row.time_or_none()?,
            state: row.text_or_none()?,
            attempts_failed: row.integer_or_none()?,
            ..Figure::default()
        };
        figure.failed = i64::from(figure.completed_at.is_some());
        let (error, reason, errors) = (row.text_or_none()?, row.text_or_none()?, row.text_or_none()?);
        figure.error = error.or_else(|| errors.as_deref().and_then(first)).or(reason);
        Ok(figure)
    };
    found.into_iter().map(read).collect()
}

fn first(errors: &str) -> Option<String> {
    serde_json::from_str::<Vec<Failure>>(errors).ok()?.into_iter().next().map(|failure| failure.message)
}
