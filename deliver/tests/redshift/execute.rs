//! Runs the statements of a request in one transaction of PostgreSQL.

use tokio_postgres::{Client, IsolationLevel, NoTls, Transaction, types::Type};

use super::{
    copy,
    translate::{check, is_widening, translated},
};
use serde_json::{Value, json};

/// What a statement gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub(super) rows: i64,
    /// The rows of an answer, as the Data API has them.
    pub(super) answer: Option<Vec<Value>>,
}

/// Where the database is, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) database: String,
}

impl Login {
    async fn connect(&self) -> Result<Client, String> {
        let address = format!(
            "host=127.0.0.1 port={} user={} password={} dbname={}",
            self.port, self.user, self.password, self.database
        );
        let (client, connection) = tokio_postgres::connect(&address, NoTls).await.map_err(|error| said(&error))?;
        tokio::spawn(connection);
        Ok(client)
    }
}

/// What the database said, as Redshift would.
pub(super) fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("ERROR: {}", error.message()),
        None => format!("ERROR: the connection to the database broke off: {error}"),
    }
}

/// Runs them; what each gave, or which of them failed and what was said. `fault` happens before the end.
pub(super) async fn run(
    login: &Login,
    s3: &str,
    statements: &[String],
    is_batch: bool,
    fault: Option<String>,
) -> Result<Vec<Given>, (usize, String)> {
    let mut client = login.connect().await.map_err(|error| (0, error))?;
    if statements.iter().any(|statement| is_widening(&statement.to_uppercase())) {
        return alone(&client, &statements[0]).await.map_err(|error| (0, error));
    }
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await;
    let mut transaction = transaction.map_err(|error| (0, said(&error)))?;
    let mut given = Vec::new();
    for (number, statement) in statements.iter().enumerate() {
        let one = one(&mut transaction, s3, statement, is_batch).await.map_err(|error| (number, error))?;
        given.push(one);
        if let Some(fault) = fault.as_ref().filter(|_| number + 1 == statements.len()) {
            return Err((number, fault.clone()));
        }
    }
    let last = statements.len() - 1;
    bind_views(&mut transaction).await.map_err(|error| (last, error))?;
    transaction.commit().await.map_err(|error| (last, said(&error)))?;
    Ok(given)
}

/// A column is made wider: no view is in the way that is bound to names.
async fn alone(client: &Client, statement: &str) -> Result<Vec<Given>, String> {
    check(statement, false)?;
    let views = client.query("SELECT name FROM late_views", &[]).await.map_err(|error| said(&error))?;
    let mut all: String = views.iter().map(|row| format!("DROP VIEW IF EXISTS {};", row.get::<_, String>(0))).collect();
    all.push_str(&translated(statement));
    client.batch_execute(&all).await.map_err(|error| said(&error))?;
    for row in client.query("SELECT definition FROM late_views", &[]).await.map_err(|error| said(&error))? {
        let _ = client.batch_execute(&row.get::<_, String>(0)).await;
    }
    Ok(vec![Given::default()])
}

async fn one(transaction: &mut Transaction<'_>, s3: &str, statement: &str, is_batch: bool) -> Result<Given, String> {
    check(statement, is_batch)?;
    let failed = |error| said(&error);
    if statement.starts_with("COPY ") {
        let rows = copy::copy(transaction, s3, statement).await.map_err(|error| format!("ERROR: {error}"))?;
        return Ok(Given { rows: i64::try_from(rows).unwrap(), answer: None });
    }
    let translated = translated(statement);
    if statement.starts_with("SELECT") {
        let columns = transaction.prepare(&translated).await.map_err(failed)?;
        let kinds: Vec<Type> = columns.columns().iter().map(|column| column.type_().clone()).collect();
        let answer = transaction.simple_query(&translated).await.map_err(failed)?;
        let rows: Vec<Value> = answer
            .iter()
            .filter_map(|row| match row {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    Some(kinds.iter().enumerate().map(|(place, kind)| field(kind, row.get(place))).collect())
                }
                _ => None,
            })
            .collect();
        return Ok(Given { rows: i64::try_from(rows.len()).unwrap(), answer: Some(rows) });
    }
    if let Some(name) = statement.strip_prefix("DROP VIEW IF EXISTS ") {
        transaction.execute("DELETE FROM late_views WHERE name = $1", &[&name]).await.map_err(failed)?;
    }
    if statement.starts_with("CREATE VIEW ") {
        let name = statement.split(' ').nth(2).unwrap();
        if !statement.ends_with(" WITH NO SCHEMA BINDING") {
            return Err("a view that is bound to its tables holds up their exchange".to_owned());
        }
        let insert = "INSERT INTO late_views VALUES ($1, $2)";
        transaction.execute(insert, &[&name, &translated]).await.map_err(failed)?;
        return Ok(Given::default());
    }
    if statement.starts_with("DROP TABLE ") {
        for row in transaction.query("SELECT name FROM late_views", &[]).await.map_err(failed)? {
            let drop = format!("DROP VIEW IF EXISTS {}", row.get::<_, String>(0));
            transaction.batch_execute(&drop).await.map_err(failed)?;
        }
    }
    let rows = transaction.execute(&translated, &[]).await.map_err(failed)?;
    Ok(Given { rows: i64::try_from(rows).unwrap(), answer: None })
}

/// Views that are bound to names show whatever has the names at the end.
async fn bind_views(transaction: &mut Transaction<'_>) -> Result<(), String> {
    let ask = "SELECT definition FROM late_views WHERE to_regclass(name) IS NULL";
    let rows = transaction.query(ask, &[]).await.map_err(|error| said(&error))?;
    for row in rows {
        let point = transaction.savepoint("view").await.map_err(|error| said(&error))?;
        match point.batch_execute(&row.get::<_, String>(0)).await {
            Ok(()) => point.commit().await.map_err(|error| said(&error))?,
            Err(_) => point.rollback().await.map_err(|error| said(&error))?,
        }
    }
    Ok(())
}

fn field(kind: &Type, text: Option<&str>) -> Value {
    let Some(text) = text else { return json!({ "isNull": true }) };
    match *kind {
        Type::INT8 | Type::INT4 | Type::INT2 => json!({ "longValue": text.parse::<i64>().unwrap() }),
        Type::FLOAT8 => json!({ "doubleValue": text.parse::<f64>().unwrap() }),
        Type::BOOL => json!({ "booleanValue": text == "t" }),
        _ => json!({ "stringValue": text }),
    }
}
