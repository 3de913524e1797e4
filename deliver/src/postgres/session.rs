//! A connection to the database that was looked at: the server is new enough, the schema and the tables of the target are
//! there.

use std::time::Duration;

use bluelake_lake::causes;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, Transaction};

use super::{
    OLDEST_SERVER, PostgresOptions,
    address::Encryption,
    ddl::{literal, own_tables},
    tls::Tls,
};
use crate::{
    columns::Table,
    error::DeliverError,
    sql::{DELIVERIES, LOADS, place, quoted},
    target::{Source, Standing},
};

/// Settings of each session: a statement waits for locks a minute, and a client that vanished is noticed.
const SETTINGS: &str = "SET lock_timeout = '60s'; SET idle_in_transaction_session_timeout = '10min'; \
     SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; \
     SET search_path = pg_catalog, pg_temp; SET TimeZone = 'UTC'; SET standard_conforming_strings = on";

/// A session. Its connection is driven by a task that ends with it.
pub(super) struct Session {
    pub(super) options: PostgresOptions,
    pub(super) client: Client,
    driver: JoinHandle<()>,
    /// The target's own tables are there.
    is_prepared: bool,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What a target holds of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) version: u64,
    pub(super) rows: u64,
}

impl Session {
    /// Connects, and looks at the server.
    pub(super) async fn open(options: &PostgresOptions) -> Result<Self, DeliverError> {
        let mut config = options.address.config.clone();
        config
            .application_name("bluelake")
            .connect_timeout(Duration::from_secs(10))
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(Duration::from_secs(60));
        if let Some(token) = options.token().await? {
            config.password(token);
        }
        let failed = options.fault("cannot connect", None);
        let (client, driver) = match &options.address.encryption {
            Encryption::None => {
                let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
                (client, tokio::spawn(async move { told(connection.await) }))
            }
            Encryption::Verified { roots } => {
                let tls = Tls::new(roots.as_deref()).map_err(|error| {
                    let problem = format!("the authorities cannot be read: {}", causes(&error));
                    options.refused("sslrootcert", &problem, "give a file with PEM certificates")
                })?;
                let (client, connection) = config.connect(tls).await.map_err(failed)?;
                (client, tokio::spawn(async move { told(connection.await) }))
            }
        };
        let session = Self { options: options.clone(), client, driver, is_prepared: false };
        session.check_server().await?;
        Ok(session)
    }

    /// Makes what is missing of the target's own tables.
    pub(super) async fn prepare(&mut self) -> Result<(), DeliverError> {
        if !self.is_prepared {
            self.make_own_tables().await?;
            self.let_read().await?;
            self.is_prepared = true;
        }
        Ok(())
    }

    /// Whether the target's own tables are there: who only looks does not make them.
    pub(super) async fn has_own_tables(&self) -> Result<bool, DeliverError> {
        if self.is_prepared {
            return Ok(true);
        }
        let ask = "SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL";
        let (first, second) = (place(&self.options.schema, DELIVERIES), place(&self.options.schema, LOADS));
        let row = self.client.query_one(ask, &[&first, &second]).await;
        Ok(row.map_err(self.options.fault("cannot look for the schema", None))?.get(0))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn check_server(&self) -> Result<(), DeliverError> {
        let options = &self.options;
        self.client.batch_execute(SETTINGS).await.map_err(options.fault("cannot set up the session", None))?;
        let ask = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
                   current_setting('server_encoding'), pg_is_in_recovery()";
        let row = self.client.query_one(ask, &[]).await.map_err(options.fault("cannot ask the server", None))?;
        let (number, version, encoding): (i32, String, String) = (row.get(0), row.get(1), row.get(2));
        judge_server(number, &version, &encoding, row.get(3))
            .map_err(|(problem, remedy)| options.refused("the server", &problem, remedy))
    }

    async fn make_own_tables(&mut self) -> Result<(), DeliverError> {
        let options = self.options.clone();
        let failed = |operation| options.fault(operation, None);
        let schema = &options.schema;
        let transaction = self.client.transaction().await.map_err(failed("cannot begin"))?;
        let there = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1), \
                     to_regclass($2) IS NOT NULL AND to_regclass($3) IS NOT NULL";
        let (first, second) = (place(schema, DELIVERIES), place(schema, LOADS));
        let row = transaction
            .query_one(there, &[schema, &first, &second])
            .await
            .map_err(failed("cannot look for the schema"))?;
        let (has_schema, has_tables): (bool, bool) = (row.get(0), row.get(1));
        if !has_tables {
            lock(&transaction, schema).await.map_err(failed("cannot lock the schema"))?;
            if !has_schema {
                let create = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
                transaction.batch_execute(&create).await.map_err(failed("cannot make the schema"))?;
            }
            let create = own_tables(schema);
            transaction.batch_execute(&create).await.map_err(failed("cannot make the tables of the delivery"))?;
            transaction.commit().await.map_err(failed("cannot make the tables of the delivery"))?;
        }
        Ok(())
    }

    /// Lets the read role read what is there already.
    async fn let_read(&mut self) -> Result<(), DeliverError> {
        let options = self.options.clone();
        let Some(role) = &options.read_role else { return Ok(()) };
        let about = format!("cannot let {} read", quoted(role));
        let failed = || options.fault(&about, None);
        let ask = "SELECT has_schema_privilege($1::text, $2::text, 'USAGE') \
                   AND has_table_privilege($1::text, $3::text, 'SELECT')";
        let deliveries = place(&options.schema, DELIVERIES);
        let row = self.client.query_one(ask, &[role, &options.schema, &deliveries]).await;
        let may: bool = row.map_err(failed())?.get(0);
        if may {
            return Ok(());
        }
        let transaction = self.client.transaction().await.map_err(failed())?;
        lock(&transaction, &options.schema).await.map_err(failed())?;
        let (schema, role) = (quoted(&options.schema), quoted(role));
        let grant = format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}"
        );
        transaction.batch_execute(&grant).await.map_err(failed())?;
        transaction.commit().await.map_err(failed())
    }

    /// How the target stands with a table.
    pub(super) async fn standing(&mut self, source: &Source) -> Result<Standing, DeliverError> {
        if !self.has_own_tables().await? {
            return Ok(Standing::default());
        }
        let table = source.table()?;
        let options = self.options.clone();
        let failed = |operation| options.fault(operation, Some(table.name));
        let transaction = self.client.transaction().await.map_err(failed("cannot begin"))?;
        // A load that ends meanwhile makes table and position at once: so the table is looked for on both sides of it.
        let before = columns_there(&transaction, &options, table.name).await?;
        let position = position(&transaction, &options, source, false).await?;
        let loads = format!("SELECT version FROM {} WHERE table_name = $1", place(&options.schema, LOADS));
        let loading = transaction.query_opt(&loads, &[&table.name]).await.map_err(failed("cannot read the load"))?;
        let loading = loading.map(|row| row.get::<_, i64>(0)).and_then(|version| u64::try_from(version).ok());
        let after = columns_there(&transaction, &options, table.name).await?;
        match &position {
            Some(_) if after.is_empty() => Err(rebuild(&options, table.name, "the table is gone from the target")),
            None if !before.is_empty() => Err(options.refused(
                &format!("table '{}'", table.name),
                &format!("the schema '{}' has a table of this name that Bluelake did not load", options.schema),
                "rename or drop it, or give the target another schema",
            )),
            _ => Ok(Standing {
                held: position.as_ref().map(|position| position.version),
                loading,
                rows: position.map_or(0, |position| position.rows),
                losses: 0,
            }),
        }
    }
}

fn told(ended: Result<(), tokio_postgres::Error>) {
    if let Err(error) = ended {
        tracing::debug!(error = causes(&error), "the connection to the target ended");
    }
}

/// Pure: whether rows can be delivered to such a server.
fn judge_server(number: i32, version: &str, encoding: &str, is_replica: bool) -> Result<(), (String, &'static str)> {
    if number < OLDEST_SERVER {
        let problem = format!("its version {version} is too old: 12 is the oldest that is delivered to");
        return Err((problem, "upgrade it, or deliver to another"));
    }
    if encoding != "UTF8" {
        let problem = format!("the encoding of its database is {encoding}, which cannot hold every text");
        return Err((problem, "make a database with ENCODING 'UTF8' and give its address"));
    }
    if is_replica {
        return Err(("it is a replica, which is read-only".to_owned(), "give the address of the primary"));
    }
    Ok(())
}

/// That a table must be loaded anew.
pub(super) fn rebuild(options: &PostgresOptions, table: &str, reason: &str) -> DeliverError {
    DeliverError::Rebuild { target: options.name.clone(), table: table.to_owned(), reason: reason.to_owned() }
}

/// Keeps others from making tables of the schema until the transaction ends.
pub(super) async fn lock(transaction: &Transaction<'_>, schema: &str) -> Result<(), tokio_postgres::Error> {
    let key = literal(&format!("bluelake:{schema}"));
    transaction.batch_execute(&format!("SELECT pg_advisory_xact_lock(hashtextextended({key}, 0))")).await
}

/// The position of a table, locked until the transaction ends if that is asked for. It refuses the table of another lake,
/// and one that was loaded with other columns.
pub(super) async fn position(
    transaction: &Transaction<'_>,
    options: &PostgresOptions,
    source: &Source,
    locked: bool,
) -> Result<Option<Position>, DeliverError> {
    let name = source.name();
    let lock = if locked { " FOR UPDATE" } else { "" };
    let ask = format!(
        "SELECT version, rows, lake_table_id, lake, columns FROM {} WHERE table_name = $1{lock}",
        place(&options.schema, DELIVERIES)
    );
    let row =
        transaction.query_opt(&ask, &[&name]).await.map_err(options.fault("cannot read the position", Some(name)))?;
    let Some(row) = row else { return Ok(None) };
    let (version, rows): (i64, i64) = (row.get(0), row.get(1));
    let (id, lake, columns): (String, String, String) = (row.get(2), row.get(3), row.get(4));
    if id != source.feed.table_id()? {
        return Err(another_lake(options, name, &lake));
    }
    if columns != source.columns.to_string() {
        let reason = format!("it was loaded with columns = {columns}, and bluelake.toml says {}", source.columns);
        return Err(rebuild(options, name, &reason));
    }
    let number = |value: i64| u64::try_from(value).unwrap_or_default();
    Ok(Some(Position { version: number(version), rows: number(rows) }))
}

/// That another lake delivers to the schema.
pub(super) fn another_lake(options: &PostgresOptions, table: &str, lake: &str) -> DeliverError {
    options.refused(
        &format!("table '{table}'"),
        &format!(
            "the schema '{}' holds the table of another lake, {lake}, or of this one before it was made anew",
            options.schema
        ),
        "give the target another schema, or drop this one if nobody needs it",
    )
}

/// The columns that a table has in the target, with their types; none when it is not there.
pub(super) async fn columns_there(
    transaction: &Transaction<'_>,
    options: &PostgresOptions,
    name: &str,
) -> Result<Vec<(String, String)>, DeliverError> {
    let ask = "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute \
               WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let at = place(&options.schema, name);
    let rows = transaction.query(ask, &[&at]).await;
    let rows = rows.map_err(options.fault("cannot look at its columns", Some(name)))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Pure: the columns that a table in the target lacks; or the one that is of another type, with what it is and should be.
pub(super) fn missing_columns<'a>(
    table: &'a Table,
    there: &[(String, String)],
) -> Result<Vec<&'a crate::columns::Column>, String> {
    let mut missing = Vec::new();
    for column in &table.columns {
        let wanted = super::ddl::type_of(&column.kind);
        match there.iter().find(|(name, _)| *name == column.name) {
            None => missing.push(column),
            Some((_, found)) if found == wanted => {}
            Some((name, found)) => {
                return Err(format!("its column '{name}' is of the type {found} and should be {wanted}"));
            }
        }
    }
    Ok(missing)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bluelake_schemas::{Contract, Stream};

    use super::*;
    use crate::{columns::Columns, postgres::ddl::type_of};

    #[test]
    fn servers_that_cannot_hold_the_rows_are_refused() {
        assert_eq!(judge_server(150_018, "15.18", "UTF8", false), Ok(()));
        for (number, encoding, is_replica, expected) in [
            (110_022, "UTF8", false, "too old"),
            (150_018, "LATIN1", false, "LATIN1"),
            (150_018, "UTF8", true, "replica"),
        ] {
            let (problem, _) = judge_server(number, "x", encoding, is_replica).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn a_table_of_another_shape_is_told_from_one_that_is_older() {
        let contract = Contract::embedded().unwrap();
        let schema = contract.stream(Stream::UserEvents).table_schema();
        let table = Table::new("user_events", &schema, &contract, &Columns::All).unwrap();
        let mut there: Vec<(String, String)> =
            table.columns.iter().map(|column| (column.name.clone(), type_of(&column.kind).to_owned())).collect();
        assert_eq!(missing_columns(&table, &there), Ok(Vec::new()));
        let (name, _) = there.pop().unwrap();
        assert_eq!(missing_columns(&table, &there).unwrap().first().unwrap().name, name);
        there.push((name, "money".to_owned()));
        assert!(missing_columns(&table, &there).unwrap_err().contains("money"));
    }
}
