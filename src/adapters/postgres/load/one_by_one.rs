//! The slow way, for a unit whose statement failed: one block on the server that tries each row on its own and keeps every reason.

use serde::Deserialize;
use tokio_postgres::{Client, types::Type};

use super::{
    batch::Batch,
    statement::{AGAIN, Conflict, OURS, SAME, Source, Statement, Target, rows, write},
    unit::Unit,
};
use crate::{
    adapters::postgres::{
        catalog::{Column, Table, quoted},
        failure::meaning,
    },
    domain::sql::{
        hints::{DUPLICATES, NOT_THERE, REPEATED},
        rows::Fault,
    },
    error::{Code, Error},
};

/// What became of the rows of a unit.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) inserted: u64,
    pub(super) updated: u64,
    pub(super) faults: Vec<(usize, Fault)>,
}

/// What the block leaves in `callboard.outcome`.
#[derive(Deserialize)]
struct Report {
    inserted: u64,
    updated: u64,
    faults: Vec<Failed>,
}

/// Position, SQLSTATE, sentence, column or nothing, detail, and the constraint or nothing.
type Failed = (usize, String, String, String, Option<String>, String);

/// Reasons that are not the row's own: they end the call.
pub(super) const NOT_THE_ROWS: &str = "'25','40','42501','53','54','55','57','58','F0','XX'";

/// How hstore begins what it says of a bad value; up to PostgreSQL 15 as an internal failure, later as 42601.
pub(super) const OF_HSTORE: [&str; 2] = ["Syntax error near ", "Unexpected end of string"];

/// Tries the rows at `positions` of a unit. With `first_only` it stops at the first that fails for a reason that cannot heal.
pub(super) async fn run(
    client: &Client,
    batch: &Batch<'_>,
    unit: &Unit,
    positions: &[usize],
    conflict: &Conflict,
    first_only: bool,
) -> Result<Outcome, Error> {
    let mut rows = String::from("[");
    let mut outcome = Outcome::default();
    for position in positions {
        match batch.document(*position) {
            Ok(document) => {
                if rows.len() > 1 {
                    rows.push(',');
                }
                rows.push_str(&format!("[{position},{document}]"));
            }
            Err(fault) => outcome.faults.push((*position, fault)),
        }
    }
    rows.push(']');
    let give =
        "-- load_rows_given\nSELECT pg_catalog.length(pg_catalog.set_config('callboard.rows', $1 /* rows */, true))";
    client.query_typed(give, &[(&rows, Type::TEXT)]).await.map_err(meaning)?;
    let statement = write(batch.table, &unit.columns, conflict, Source::Record("callboard_row"));
    client.batch_execute(&block(batch, unit, &statement, conflict, first_only)).await.map_err(meaning)?;
    let ask = "-- load_outcome\nSELECT pg_catalog.current_setting('callboard.outcome')";
    let answer = client.query_typed(ask, &[]).await.map_err(meaning)?;
    let text: String = answer.first().map_or(Ok(String::new()), |row| row.try_get(0)).map_err(meaning)?;
    let report: Report = serde_json::from_str(&text)
        .map_err(|error| Error::new(Code::Internal, "the rows' outcome cannot be read").cause(error))?;
    outcome.inserted = report.inserted;
    outcome.updated = report.updated;
    for (position, code, reason, column, detail, constraint) in report.faults {
        let named = (!column.is_empty()).then_some(column);
        let column = named.or_else(|| counted(batch.table, unit, &constraint));
        outcome.faults.push((position, Fault { column, code, reason, detail }));
    }
    Ok(outcome)
}

/// The column of a key that rows leave to a sequence, which gave a number that is taken.
fn counted(table: &Table, unit: &Unit, key: &str) -> Option<String> {
    let key = table.keys.iter().find(|known| known.name == key)?;
    let mut columns = table.columns.iter().enumerate().filter(|(_, column)| key.columns.contains(&column.name));
    let (_, column) = columns.find(|(place, column)| column.counted && !unit.columns.contains(place))?;
    Some(column.name.clone())
}

/// No value of the caller stands in this text; names and types come from the catalog, in quotes.
fn block(batch: &Batch<'_>, unit: &Unit, statement: &Statement, conflict: &Conflict, first_only: bool) -> String {
    let columns: Vec<_> = unit.columns.iter().filter_map(|place| batch.table.columns.get(*place)).collect();
    let names: Vec<String> = columns.iter().map(|column| text(&column.name)).collect();
    let types: Vec<String> = columns.iter().map(|column| text(&column.type_name)).collect();
    let written = written(batch, unit, statement, conflict);
    let repeated = repeated(batch, unit, &columns, conflict);
    let body = format!(
        "#variable_conflict use_column
DECLARE
  callboard_position integer; callboard_row json; callboard_new bigint; callboard_changed bigint; callboard_missing bigint; callboard_seen tid[] := '{{}}';
  callboard_inserted bigint := 0; callboard_updated bigint := 0; callboard_faults json[] := '{{}}';
  callboard_code text; callboard_reason text; callboard_column text; callboard_detail text;
  callboard_constraint text; callboard_place integer;
  callboard_names text[] := ARRAY[{names}]::text[]; callboard_types text[] := ARRAY[{types}]::text[];
BEGIN
FOR callboard_position, callboard_row IN
  SELECT (item->>0)::integer, item->1
  FROM pg_catalog.json_array_elements(pg_catalog.current_setting('callboard.rows')::json) AS item
LOOP
  BEGIN
{written}
    callboard_inserted := callboard_inserted + callboard_new;
    callboard_updated := callboard_updated + callboard_changed;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS callboard_code = RETURNED_SQLSTATE, callboard_reason = MESSAGE_TEXT,
      callboard_column = COLUMN_NAME, callboard_detail = PG_EXCEPTION_DETAIL, callboard_constraint = CONSTRAINT_NAME;
    IF callboard_code = 'XX000' AND callboard_reason ~ '^({of_hstore})' THEN callboard_code := '42601'; END IF;
    IF callboard_code = '42501' OR pg_catalog.left(callboard_code, 2) IN ({NOT_THE_ROWS}) THEN RAISE; END IF;{repeated}
    IF callboard_column = '' AND (pg_catalog.left(callboard_code, 2) IN ('22', '23') OR callboard_code = '42601') THEN
      FOR callboard_place IN 1 .. pg_catalog.cardinality(callboard_names) LOOP
        BEGIN
          EXECUTE pg_catalog.format('SELECT g.%1$I FROM pg_catalog.json_to_record($1) AS g (%1$I %2$s)',
            callboard_names[callboard_place], callboard_types[callboard_place]) USING callboard_row;
        EXCEPTION WHEN OTHERS THEN
          callboard_column := callboard_names[callboard_place]; EXIT;
        END;
      END LOOP;
    END IF;
    callboard_faults := callboard_faults || pg_catalog.json_build_array(callboard_position, callboard_code, callboard_reason,
      callboard_column, CASE WHEN callboard_detail = '' THEN NULL ELSE callboard_detail END, callboard_constraint);
    IF {first_only} AND callboard_code <> '23503' THEN EXIT; END IF;
  END;
END LOOP;
PERFORM pg_catalog.set_config('callboard.outcome', pg_catalog.json_build_object('inserted', callboard_inserted,
  'updated', callboard_updated, 'faults', pg_catalog.array_to_json(callboard_faults))::text, true);
END",
        names = names.join(", "),
        types = types.join(", "),
        of_hstore = OF_HSTORE.join("|"),
    );
    format!("-- load_one_by_one\nDO LANGUAGE plpgsql {}", text(&body))
}

/// Where a new row has the key of one that this call wrote before, it is not the table's row that it meets.
fn repeated(batch: &Batch<'_>, unit: &Unit, columns: &[&Column], conflict: &Conflict) -> String {
    if *conflict != Conflict::Error {
        return String::new();
    }
    let table = batch.table;
    let from = rows(columns, Source::Record("callboard_row"));
    let main = table.main_key().map(|key| &key.name);
    let keys =
        table.keys.iter().map(|key| (key, Target::of(table, key))).filter(|(_, target)| target.is_in(&unit.columns));
    keys.map(|(key, target)| {
        let column = if let [column] = key.columns.as_slice() { column } else { "" };
        let detail = if Some(&key.name) == main { DUPLICATES } else { "" };
        format!(
            "\n    IF callboard_constraint = {} AND callboard_code = '23505' AND pg_catalog.has_table_privilege({}::oid, 'SELECT') THEN\n      \
             IF EXISTS (SELECT FROM {} o, {from} WHERE {} AND {OURS}) THEN\n        \
             callboard_code := '21000'; callboard_reason := {}; callboard_column := {}; callboard_detail := {};\n      END IF;\n    END IF;",
            text(&key.name),
            table.oid,
            table.quoted(),
            target.equal(table),
            text(REPEATED),
            text(column),
            text(detail)
        )
    })
    .collect()
}

/// The statement for one row, and what it must have done.
fn written(batch: &Batch<'_>, unit: &Unit, statement: &Statement, conflict: &Conflict) -> String {
    let raise = |code: &str, message: &str, detail: &str, column: &str| {
        format!(
            "RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = {}, DETAIL = {}, COLUMN = {};",
            text(message),
            text(detail),
            text(column)
        )
    };
    if !statement.counts {
        let gone = match conflict {
            Conflict::Error => {
                let gone = raise("09000", "a trigger or rule of the table took the row away", "", "");
                format!("\nIF callboard_new = 0 THEN {gone} END IF;")
            }
            _ => String::new(),
        };
        return format!(
            "{};\nGET DIAGNOSTICS callboard_new = ROW_COUNT; callboard_changed := 0;{gone}",
            statement.text
        );
    }
    let numbered = conflict.numbered(batch.table, &unit.columns);
    if let Some(column) = numbered.and_then(|place| batch.table.columns.get(place)) {
        let missing = raise("428C9", &not_there(batch.table, conflict, &column.name), NOT_THERE, &column.name);
        return format!(
            "{} INTO callboard_new, callboard_changed, callboard_missing;\nIF callboard_missing > 0 THEN {missing} END IF;",
            statement.text
        );
    }
    let Conflict::Update(target) = conflict else { return format!("{};", statement.text) };
    let again = match target.strict {
        true => {
            let Fault { code, reason, detail, .. } = batch.duplicate();
            let single = match target.columns.as_slice() {
                [place] => batch.table.columns.get(*place).map(|column| column.name.as_str()),
                _ => None,
            };
            let again = raise(&code, &reason, detail.as_deref().unwrap_or_default(), single.unwrap_or_default());
            format!(
                "\nIF pg_catalog.current_setting('{AGAIN}', true) = 'yes' THEN {again} END IF;\n\
                 IF pg_catalog.current_setting('{SAME}', true) <> '' THEN\n\
                 callboard_seen := callboard_seen || pg_catalog.current_setting('{SAME}')::tid;\n\
                 PERFORM pg_catalog.set_config('{SAME}', '', true);\nEND IF;"
            )
        }
        false => String::new(),
    };
    format!("{} INTO callboard_new, callboard_changed;{again}", statement.text)
}

/// No row is found by what one names that names a number which the database gives.
fn not_there(table: &Table, conflict: &Conflict, number: &str) -> String {
    let key = match conflict {
        Conflict::Update(target) => target.columns.as_slice(),
        _ => &[],
    };
    let key: Vec<String> =
        key.iter().filter_map(|place| table.columns.get(*place)).map(|column| quoted(&column.name)).collect();
    let number = quoted(number);
    match key.is_empty() || key.contains(&number) {
        true => format!("no row has this {number}, and a new one cannot be given it"),
        false => {
            format!("no row has this {} and this {number}, and a new one cannot be given the latter", key.join(", "))
        }
    }
}

/// A string literal.
pub(in crate::adapters::postgres) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
