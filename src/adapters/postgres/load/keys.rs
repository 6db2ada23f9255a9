//! Which rows of one call share a key, where only the server can tell: `citext`, collations that fold, `interval`, ….

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::Type;

use super::{
    UNDO,
    batch::{Apart, Batch},
    of_a_row,
    one_by_one::{NOT_THE_ROWS, text},
    statement::Target,
};
use crate::{
    adapters::postgres::{
        catalog::Table,
        failure::{meaning, sqlstate},
        pool::Work,
    },
    domain::sql::Load,
    error::{Code, Error},
};

/// Rows by their places with a number that alike keys share. Rows whose key cannot be read have none, and are refused when they are written.
pub(super) async fn groups(client: &Work, batch: &Batch<'_>) -> Result<HashMap<usize, u64>, Error> {
    let keys: Vec<(usize, String)> =
        (0..batch.rows.len()).filter_map(|position| Some((position, batch.given_key(position)?))).collect();
    match ask(client, batch, &array(&keys, &HashSet::new())).await {
        Err(error) if sqlstate(&error) == Some("42883") => {
            // Nothing by which the type is ordered: the index will tell.
            client.batch_execute(UNDO).await.map_err(meaning)?;
            Ok(HashMap::new())
        }
        Err(error) if of_a_row(&error) => {
            client.batch_execute(UNDO).await.map_err(meaning)?;
            let unreadable = unreadable(client, batch, &array(&keys, &HashSet::new())).await?;
            ask(client, batch, &array(&keys, &unreadable)).await
        }
        done => done,
    }
}

/// Rows that share a key with an earlier one, other than the main key, which rows are told apart by anyway.
pub(super) async fn repeated(
    client: &Work,
    table: &Table,
    load: &Load,
    numbered: Option<usize>,
) -> Result<HashMap<usize, Option<String>>, Error> {
    let mut repeated = HashMap::new();
    for key in table.keys.iter().filter(|key| table.main_key().is_none_or(|main| main.name != key.name)) {
        let Target { columns, folding, nulls_equal, .. } = Target::of(table, key);
        let apart = Apart { key: columns, folding, nulls_equal, numbered, ..Apart::default() };
        let batch = Batch::new(table, &load.rows, apart, load.duplicates);
        let mut groups: Vec<(usize, u64)> = groups(client, &batch).await?.into_iter().collect();
        groups.sort_unstable();
        let mut seen = HashSet::new();
        let alone = if let [column] = key.columns.as_slice() { Some(column) } else { None };
        let again = groups.into_iter().filter(|(_, group)| !seen.insert(*group));
        repeated.extend(again.map(|(position, _)| (position, alone.cloned())));
    }
    Ok(repeated)
}

fn array(keys: &[(usize, String)], without: &HashSet<usize>) -> String {
    let kept = keys.iter().filter(|(position, _)| !without.contains(position));
    let rows: Vec<String> = kept.map(|(position, key)| format!("{{\"n\":{position}{key}}}")).collect();
    format!("[{}]", rows.join(","))
}

/// `k0 citext, k1 integer`.
fn typed(batch: &Batch<'_>) -> String {
    let columns = batch.apart().key.iter().filter_map(|place| batch.table.columns.get(*place));
    let typed: Vec<String> =
        columns.enumerate().map(|(number, column)| format!("k{number} {}", column.type_name)).collect();
    typed.join(", ")
}

async fn ask(client: &Work, batch: &Batch<'_>, keys: &str) -> Result<HashMap<usize, u64>, Error> {
    let folding = batch.apart().folding.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    let order: Vec<String> = (0..batch.apart().key.len())
        .zip(folding)
        .map(|(number, folding)| match folding {
            Some(folding) => format!("g.k{number} COLLATE {folding}"),
            None => format!("g.k{number}"),
        })
        .collect();
    let statement = format!(
        "-- load_keys\nSELECT g.n, pg_catalog.dense_rank() OVER (ORDER BY {})\n\
         FROM pg_catalog.json_to_recordset($1::pg_catalog.json) AS g (n pg_catalog.int4, {})",
        order.join(", "),
        typed(batch)
    );
    let rows = client.query_typed(&statement, &[(&keys, Type::TEXT)]).await.map_err(meaning)?;
    let mut groups = HashMap::with_capacity(rows.len());
    for row in rows {
        let (position, group): (i32, i64) = (row.try_get(0).map_err(meaning)?, row.try_get(1).map_err(meaning)?);
        groups.insert(usize::try_from(position).unwrap_or(usize::MAX), group.unsigned_abs());
    }
    Ok(groups)
}

/// Places of rows whose key is no value of its type.
async fn unreadable(client: &Work, batch: &Batch<'_>, keys: &str) -> Result<HashSet<usize>, Error> {
    let give =
        "-- load_keys_given\nSELECT pg_catalog.length(pg_catalog.set_config('callboard.rows', $1 /* keys */, true))";
    client.query_typed(give, &[(&keys, Type::TEXT)]).await.map_err(meaning)?;
    let body = format!(
        "DECLARE callboard_row json; callboard_bad bigint[] := '{{}}';
BEGIN
FOR callboard_row IN SELECT item FROM pg_catalog.json_array_elements(pg_catalog.current_setting('callboard.rows')::json) AS item
LOOP
  BEGIN
    PERFORM g.* FROM pg_catalog.json_to_record(callboard_row) AS g ({});
  EXCEPTION WHEN OTHERS THEN
    IF SQLSTATE = '42501' OR pg_catalog.left(SQLSTATE, 2) IN ({NOT_THE_ROWS}) THEN RAISE; END IF;
    callboard_bad := callboard_bad || (callboard_row->>'n')::bigint;
  END;
END LOOP;
PERFORM pg_catalog.set_config('callboard.outcome', pg_catalog.array_to_json(callboard_bad)::text, true);
END",
        typed(batch)
    );
    client
        .batch_execute(&format!("-- load_keys_one_by_one\nDO LANGUAGE plpgsql {}", text(&body)))
        .await
        .map_err(meaning)?;
    let answer = client
        .query_typed("-- load_outcome\nSELECT pg_catalog.current_setting('callboard.outcome')", &[])
        .await
        .map_err(meaning)?;
    let text: String = answer.first().map_or(Ok(String::new()), |row| row.try_get(0)).map_err(meaning)?;
    serde_json::from_str(&text)
        .map_err(|error| Error::new(Code::Internal, "the rows' outcome cannot be read").cause(error))
}
