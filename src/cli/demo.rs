//! `callboard demo`: the main job on sample data, each step as the tool call that an agent would make.

mod board;
mod grid;
mod reset;
mod stage;
mod work;

use serde_json::Value;

use super::{GOOD, call, output};
use crate::{app::App, config::Config, error::Error};
use stage::{End, Stage};

/// The sample: 15 products with 12 fields.
const PRODUCTS: &str = include_str!("demo/products.json");
/// The table they go into.
const COLUMNS: &str = r#"[{"name":"id","type":"varchar(50)"},{"name":"name","type":"varchar(255)"},{"name":"category","type":"varchar(100)"},{"name":"subcategory","type":"varchar(100)"},{"name":"price","type":"numeric(10,2)"},{"name":"description","type":"text"},{"name":"stock_quantity","type":"integer"},{"name":"created_at","type":"timestamptz"},{"name":"ratings","type":"numeric(3,2)"},{"name":"reviews_count","type":"integer"},{"name":"brand","type":"varchar(100)"},{"name":"tags","type":"text[]"}]"#;
/// What it is called, index and table.
const NAME: &str = "products";
/// What it is called where `products` is somebody else's.
const OTHER_NAME: &str = "callboard_demo_products";
/// The last thing it shows.
const SHOWN: &str = "id, name, category, price, stock_quantity, ratings, created_at, tags";

/// Runs the demonstration, after removing what an earlier one left when `reset`.
pub fn run(mut config: Config, reset: bool) -> Result<u8, Error> {
    // The demonstration is about all tools, whatever groups a client is served.
    config.toolsets = crate::config::Toolsets::default();
    let place = board::Place::of(&config);
    if reset && let Some(refusal) = reset::run(&config)? {
        output::line(&refusal);
        return Ok(super::REFUSED);
    }
    super::runtime()?.block_on(async {
        let app = App::new(config)?;
        let background = app.background.clone();
        let mut stage = Stage::new(app);
        let end = play(&mut stage, &place).await;
        background.stop(std::time::Duration::from_secs(5)).await;
        match end {
            Ok(()) => Ok(GOOD),
            Err(End::Refused(envelope)) => {
                output::line(&format!("    failed: {envelope}"));
                Ok(call::code_of(&envelope))
            }
            Err(End::Unexpected(what)) => {
                output::line(&format!("    failed: {what}"));
                Ok(super::REFUSED)
            }
            Err(End::Gone(error)) => Err(error),
        }
    })
}

async fn play(stage: &mut Stage, place: &board::Place) -> Result<(), End> {
    let (search, sql) = stage.backends().await?;
    output::line(
        "Part one: 15 products go from a search index into a SQL table. Each step is a tool call, as an agent would make it.\n",
    );
    output::line(&format!("  search: {search}\n  sql:    {sql}\n  data:   {}\n", place.data_dir));
    let names = board::names(stage).await?;
    if let Some(note) = names.note() {
        output::line(&format!("  {note}\n"));
    }
    let loaded = first_load(stage, &names).await?;
    stage.expect_eq("rows loaded", loaded, 15)?;
    look(stage, &names).await?;
    again(stage, &names).await?;
    work::play(stage).await?;
    output::line(&format!("\nDone: {} calls, {} in the tools.\n", stage.calls(), stage.spent()));
    output::line(&place.next_steps(&names));
    Ok(())
}

/// The sample index, its mapping, the table, the documents out and the rows in. How many rows are new or changed or were there.
async fn first_load(stage: &mut Stage, names: &board::Names) -> Result<u64, End> {
    let (index, table) = (&names.index, &names.table);
    let arguments = format!(r#"{{"index":"{index}","documents":{PRODUCTS},"id_field":"id"}}"#);
    let shown = format!(r#"{{"index":"{index}","documents":[… 15 products …],"id_field":"id"}}"#);
    let done = stage.step("index_documents", &arguments, &shown, |answer| {
        format!("{} indexed, {} failed", number(answer, "indexed"), list(answer, "failed").len())
    });
    let indexed = number(&done.await?, "indexed");
    stage.expect_eq("documents indexed", indexed, 15)?;

    stage
        .plain("list_indices", &format!(r#"{{"pattern":"{index}"}}"#), |answer| match list(answer, "indices").first() {
            Some(index) => {
                format!("{}: {} documents, {}", text(index, "name"), number(index, "documents"), text(index, "health"))
            }
            None => "no index".to_owned(),
        })
        .await?;

    let fields = |answer: &Value| {
        let field = |field: &Value| format!("{} {}", text(field, "path"), text(field, "type"));
        list(answer, "fields").iter().map(field).collect::<Vec<_>>().join(", ")
    };
    let mapping = stage.plain("get_mapping", &format!(r#"{{"index":"{index}"}}"#), fields).await?;
    stage.expect_columns(&mapping, COLUMNS)?;

    let arguments = format!(r#"{{"table":"{table}","columns":{COLUMNS},"primary_key":["id"],"if_not_exists":true}}"#);
    let created = |answer: &Value| {
        let word = if answer.get("created") == Some(&Value::Bool(true)) { "created" } else { "already there" };
        format!("{}: {word}", text(answer, "table"))
    };
    stage.step("create_table", &arguments, &arguments, created).await?;

    stage
        .plain("get_schema", &format!(r#"{{"table":"{table}"}}"#), |answer| {
            let column = |column: &Value| format!("{} {}", text(column, "name"), text(column, "type"));
            list(answer, "columns").iter().map(column).collect::<Vec<_>>().join(", ")
        })
        .await?;
    let load = load(stage, names).await?;
    Ok(load.inserted + load.updated + load.unchanged)
}

struct Load {
    inserted: u64,
    updated: u64,
    unchanged: u64,
}

/// The documents become rows as they are: a field is the column of its name, and no value passes through a number type on the way.
async fn load(stage: &mut Stage, names: &board::Names) -> Result<Load, End> {
    let export = format!(r#"{{"index":"{}","format":"ndjson"}}"#, names.index);
    let exported = stage.text("bulk_export", &export, &export, |answer| {
        format!("{} documents, complete: {}", number(answer, "count"), answer.get("complete").unwrap_or(&Value::Null))
    });
    let rows = stage::documents(&exported.await?)?;
    let arguments = |rows: &str| {
        format!(
            r#"{{"table":"{}","rows":{rows},"on_conflict":"update","conflict_columns":["id"],"on_error":"reject"}}"#,
            names.table
        )
    };
    let shown = arguments("[… the documents, field = column …]");
    let answer = stage
        .step("bulk_insert", &arguments(&rows), &shown, |answer| {
            format!(
                "{} inserted, {} updated, {} unchanged, {} rejected",
                number(answer, "inserted"),
                number(answer, "updated"),
                number(answer, "unchanged"),
                list(answer, "rejected").len()
            )
        })
        .await?;
    if let Some(reject) = list(&answer, "rejected").first() {
        return Err(End::Unexpected(format!("a row was rejected: {reject}")));
    }
    Ok(Load {
        inserted: number(&answer, "inserted"),
        updated: number(&answer, "updated"),
        unchanged: number(&answer, "unchanged"),
    })
}

async fn look(stage: &mut Stage, names: &board::Names) -> Result<(), End> {
    let table = &names.table;
    let counted = stage
        .plain("count_rows", &format!(r#"{{"table":"{table}"}}"#), |answer| format!("{} rows", number(answer, "count")))
        .await?;
    stage.expect_eq("rows in the table", number(&counted, "count"), 15)?;
    let query = format!(
        r#"{{"query":"select {SHOWN} from {table} where price > $1 order by price desc","params":[0],"max_rows":100}}"#
    );
    let answer =
        stage.step("execute_query", &query, &query, |answer| format!("{} rows", number(answer, "row_count"))).await?;
    output::line(&grid::draw(list(&answer, "columns"), list(&answer, "rows"), output::terminal_width()));
    Ok(())
}

async fn again(stage: &mut Stage, names: &board::Names) -> Result<(), End> {
    output::line("The same load again. Nothing has changed, so nothing is written:\n");
    let load = load(stage, names).await?;
    stage.expect_eq("rows unchanged", load.unchanged, 15)
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("?")
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
