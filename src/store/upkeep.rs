//! Who leads, costs by day, and what is forgotten.

use std::collections::BTreeMap;

use super::{Store, Transaction};
use crate::{clock::Instant, error::Error, store::Sql, store::sql::sql};

/// Costs that one transaction sums up.
const COSTS_AT_ONCE: i64 = 1_000;

struct Lead {
    name: String,
    holder: String,
    now: Instant,
    until: Instant,
}

impl Store {
    /// Who leads now, if anybody does.
    pub async fn leader(&self, name: &str, now: Instant) -> Result<Option<String>, Error> {
        self.read((name.to_owned(), now), |transaction, (name, now)| {
            Box::pin(async move {
                let sql = Sql::both("-- leader_find\nSELECT holder FROM leader WHERE name = $1 AND until > $2");
                let rows = transaction.query(sql, &[name.into(), (*now).into()]).await?;
                rows.into_iter().next().map(|mut row| row.text()).transpose()
            })
        })
        .await
    }

    /// Leads until then, unless somebody else does.
    pub async fn lead(&self, name: &str, holder: &str, now: Instant, until: Instant) -> Result<bool, Error> {
        let asked = Lead { name: name.to_owned(), holder: holder.to_owned(), now, until };
        self.transact(asked, |transaction, asked| {
            Box::pin(async move {
                let changed = transaction
                    .execute(
                        sql!(
                            "-- leader_lead\n\
                         INSERT INTO leader (name, holder, until) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET \
                         holder = excluded.holder, until = CASE WHEN leader.holder = excluded.holder \
                         AND leader.until > excluded.until THEN leader.until ELSE excluded.until END \
                         WHERE leader.holder = excluded.holder OR leader.until <= $4 AND leader.until <= ",
                            (now)
                        ),
                        &[(&asked.name).into(), (&asked.holder).into(), asked.until.into(), asked.now.into()],
                    )
                    .await?;
                Ok(changed == 1)
            })
        })
        .await
    }

    /// Leads no longer, if it did: somebody else may at once.
    pub async fn step_down(&self, name: &str, holder: &str) -> Result<(), Error> {
        self.transact((name.to_owned(), holder.to_owned()), |transaction, (name, holder)| {
            Box::pin(async move {
                let sql = Sql::both("-- leader_step_down\nDELETE FROM leader WHERE name = $1 AND holder = $2");
                transaction.execute(sql, &[name.into(), holder.into()]).await.map(drop)
            })
        })
        .await
    }
}

impl Store {
    /// Adds costs to those of their day, up to so many, each exactly once. How many.
    pub async fn roll_up_costs(&self) -> Result<u64, Error> {
        self.transact((), |transaction, ()| Box::pin(roll_up(transaction))).await
    }
}

/// Money, tokens read, tokens written, reports.
type Sums = (i64, i64, i64, i64);

/// What is taken away is what is summed up: nothing that is written meanwhile is lost or counted twice.
async fn roll_up(transaction: &Transaction<'_>) -> Result<u64, Error> {
    let taken = transaction
        .query(
            sql!("-- cost_take\n\
             DELETE FROM cost WHERE id IN (SELECT id FROM cost ORDER BY id LIMIT $1", (lock "SKIP LOCKED"), ") \
             RETURNING day, type, agent_id, model, cost_micros, input_tokens, output_tokens"),
            &[COSTS_AT_ONCE.into()],
        )
        .await?;
    let count = taken.len() as u64;
    // In order, so that two who add to the same days never deadlock.
    let mut sums: BTreeMap<[String; 4], Sums> = BTreeMap::new();
    for mut row in taken {
        let of = [row.text()?, row.text()?, row.text()?, row.text()?];
        let sum = sums.entry(of).or_default();
        sum.0 = sum.0.saturating_add(row.integer()?);
        sum.1 = sum.1.saturating_add(row.integer()?);
        sum.2 = sum.2.saturating_add(row.integer()?);
        sum.3 += 1;
    }
    for ([day, kind, agent, model], (cost, input, output, reports)) in &sums {
        transaction
            .execute(Sql::both("-- cost_add\n\
                 INSERT INTO cost_daily (day, type, agent_id, model, cost_micros, input_tokens, output_tokens, reports) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (day, type, agent_id, model) DO UPDATE SET \
                 cost_micros = cost_daily.cost_micros + excluded.cost_micros, \
                 input_tokens = cost_daily.input_tokens + excluded.input_tokens, \
                 output_tokens = cost_daily.output_tokens + excluded.output_tokens, \
                 reports = cost_daily.reports + excluded.reports"),
                &[
                    day.into(),
                    kind.into(),
                    agent.into(),
                    model.into(),
                    (*cost).into(),
                    (*input).into(),
                    (*output).into(),
                    (*reports).into(),
                ],
            )
            .await?;
    }
    Ok(count)
}
