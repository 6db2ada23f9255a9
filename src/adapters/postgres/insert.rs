//! Writing one row and giving back what it became, in the forms of execute_query.

use futures_util::FutureExt;
use tokio_postgres::{Client, types::Type};

use super::{
    Postgres,
    attempt::proved,
    catalog::{self, Column, Table, quoted},
    failure::meaning,
    load::{self, WRITE_TIME},
    pool::{End, Writes},
    values::{self, Rendering},
};
use crate::{
    domain::{
        json,
        sql::{NewRow, WrittenRow},
    },
    error::{Code, Error},
    ports::attempts::Attempt,
};

impl Postgres {
    /// Writes one row.
    pub(super) async fn insert_row(&self, row: &NewRow, attempt: Option<&dyn Attempt>) -> Result<WrittenRow, Error> {
        self.pool
            .transaction(
                Writes::Rows,
                WRITE_TIME,
                &(self, row, attempt),
                |work, (postgres, row, _)| catalog::find(work, &row.table, &postgres.access.schemas).boxed(),
                |work, (postgres, row, attempt), table| {
                    let done = async move { proved(work, *attempt, postgres.insert_in(work, table, row).await).await };
                    done.map(|done| (done, End::Commit)).boxed()
                },
            )
            .await
    }

    async fn insert_in(&self, client: &Client, table: Table, row: &NewRow) -> Result<WrittenRow, Error> {
        self.allowed(&table.schema)?;
        let returned = returned(&table, &row.returning)?;
        let prepared = load::single(&table, &row.row)?;
        let types = types(client, &table, &returned).await?;
        let renderings: Vec<Rendering> = types.iter().map(Rendering::of).collect();
        let list: Vec<String> = returned
            .iter()
            .zip(&renderings)
            .map(|(column, rendering)| rendering.expression(&quoted(&column.name)))
            .collect();
        let give = if list.is_empty() { "true".to_owned() } else { list.join(", ") };
        let statement = format!("{}\nRETURNING {give}", prepared.statement);
        let bound: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] =
            if prepared.empty { &[] } else { &[(&prepared.document, Type::TEXT)] };
        let written = match client.query_typed(&statement, bound).await.map_err(meaning) {
            Ok(written) => written,
            Err(error) if load::of_a_row(&error) => {
                client.batch_execute(load::UNDO).await.map_err(meaning)?;
                return Err(load::reason(client, &table, &row.row).await?.unwrap_or(error));
            }
            Err(error) => return Err(error),
        };
        let Some(answer) = written.first() else {
            return Err(Error::new(
                Code::Invalid,
                format!("a trigger or rule of `{}` discarded the row", table.shown()),
            )
            .argument("row"));
        };
        let mut out = vec![b'{'];
        for (place, (column, rendering)) in returned.iter().zip(&renderings).enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(json::of(&column.name).get().as_bytes());
            out.push(b':');
            rendering.write(answer, place, &mut out)?;
        }
        out.push(b'}');
        Ok(WrittenRow { table: table.shown(), row: values::json(out)? })
    }
}

/// The columns asked for; none means the primary key.
fn returned<'table>(table: &'table Table, asked: &[String]) -> Result<Vec<&'table Column>, Error> {
    if let [all] = asked
        && all == "*"
    {
        return Ok(table.columns.iter().collect());
    }
    if !asked.is_empty() {
        return asked.iter().map(|name| table.column(name, "returning")).collect();
    }
    let key = table.keys.iter().find(|key| key.primary).map(|key| key.columns.as_slice()).unwrap_or_default();
    Ok(key.iter().filter_map(|name| table.columns.iter().find(|column| column.name == *name)).collect())
}

/// The driver's types of the columns; a domain is described as the type behind it, as in a query.
async fn types(client: &Client, table: &Table, columns: &[&Column]) -> Result<Vec<Type>, Error> {
    let known: Option<Vec<Type>> = columns.iter().map(|column| Type::from_oid(column.type_oid)).collect();
    if let Some(known) = known {
        return Ok(known);
    }
    let list: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
    let describe = format!("-- insert_types\nSELECT {} FROM {}", list.join(", "), table.quoted());
    let described = client.prepare(&describe).await.map_err(meaning)?;
    Ok(described.columns().iter().map(|column| column.type_().clone()).collect())
}
