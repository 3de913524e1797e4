//! The indices of a table: made from the contract, looked at before they are used, named together by an alias.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    client::{Call, Client, at},
    names::Names,
    shape,
};
use crate::{columns::Table, error::DeliverError};

/// The indices of a table, as last looked at.
pub(super) struct Indices {
    pub(super) names: Names,
    /// Those that are there, of all generations.
    known: BTreeSet<String>,
    /// The mapping that template and indices have.
    mapping: Value,
    /// Those that lack fields of it.
    lacking: Vec<String>,
    /// Template and indices have all fields.
    is_complete: bool,
}

impl Indices {
    /// Looks at all indices, and refuses those of another shape.
    pub(super) async fn look(client: &Client, table: &Table, table_id: &str) -> Result<Self, DeliverError> {
        let names = Names::new(&client.options.prefix, table.name);
        let mapping = shape::mapping(table, table_id);
        check_alias(client, &names).await?;
        let found = mappings(client, &names).await?;
        for (index, found) in &found {
            check(client, &format!("table '{}', index '{index}'", table.name), &mapping, found)?;
        }
        let lacking = found.iter().filter(|(_, found)| shape::lacks_fields(&mapping, found));
        let lacking = lacking.map(|(index, _)| index.clone()).collect();
        Ok(Self { names, known: found.into_keys().collect(), mapping, lacking, is_complete: false })
    }

    /// Puts the template, and gives the indices the fields that they lack: before the first document that has them.
    pub(super) async fn complete(&mut self, client: &Client) -> Result<(), DeliverError> {
        if self.is_complete {
            return Ok(());
        }
        self.put_template(client).await?;
        let body = json!({ "properties": at(&self.mapping, "/properties") });
        for index in &self.lacking {
            let path = format!("/{index}/_mapping");
            let about = format!("index '{index}'");
            client.find(&Call::new(Method::PUT, &path, "add fields to the mapping", &about).json(&body)).await?;
        }
        self.is_complete = true;
        Ok(())
    }

    /// Whether the table has the columns that it had when this was looked at.
    pub(super) fn fits(&self, table: &Table, table_id: &str) -> bool {
        self.mapping == shape::mapping(table, table_id)
    }

    async fn put_template(&self, client: &Client) -> Result<(), DeliverError> {
        let name = self.names.alias();
        let path = format!("/_index_template/{name}");
        let about = format!("index template '{name}'");
        let found = client.find(&Call::new(Method::GET, &path, "look at the template", &about)).await?;
        if let Some(found) = &found {
            let found = at(found, "/index_templates/0/index_template/template/mappings");
            check(client, &about, &self.mapping, found)?;
            if !shape::lacks_fields(&self.mapping, found) {
                return Ok(());
            }
        }
        let settings = shape::settings(client.options.shards, client.options.replicas);
        let body = shape::template(&self.names.pattern(), &self.mapping, &settings);
        client.expect(&Call::new(Method::PUT, &path, "put the template", &about).json(&body)).await?;
        Ok(())
    }

    /// The highest generation that has an index.
    pub(super) fn newest_generation(&self) -> Option<u64> {
        self.known.iter().filter_map(|index| Some(self.names.parsed(index)?.0)).max()
    }

    /// Those of a generation, with their months.
    pub(super) fn of(&self, generation: u64) -> BTreeMap<String, String> {
        let parsed = self.known.iter().filter_map(|index| Some((index, self.names.parsed(index)?)));
        parsed.filter(|(_, (of, _))| *of == generation).map(|(index, (_, month))| (index.clone(), month)).collect()
    }

    /// Makes the index of a day if it is not there; one in use is named by the alias.
    pub(super) async fn make(
        &mut self,
        client: &Client,
        generation: u64,
        day: &str,
        in_use: bool,
    ) -> Result<String, DeliverError> {
        let index = self.names.index(generation, day);
        if self.known.contains(&index) {
            return Ok(index);
        }
        let path = format!("/{index}");
        let about = format!("index '{index}'");
        let aliases = if in_use { json!({ self.names.alias(): {} }) } else { json!({}) };
        let call = json!({ "aliases": aliases });
        let call = Call::new(Method::PUT, &path, "make the index", &about).json(&call);
        let answer = client.answer(&call).await?;
        if answer.status != 200 && answer.fault().0 != "resource_already_exists_exception" {
            return Err(client.refusal(&call, &answer));
        }
        // Another template of the server may have a hand in it.
        let look = format!("/{index}/_mapping");
        let found = client.expect(&Call::new(Method::GET, &look, "look at the mapping", &about)).await?;
        check(client, &about, &self.mapping, at(&found, &format!("/{index}/mappings")))?;
        self.known.insert(index.clone());
        Ok(index)
    }

    /// Deletes indices.
    pub(super) async fn delete(&mut self, client: &Client, indices: &[String]) -> Result<(), DeliverError> {
        for index in indices {
            let path = format!("/{index}");
            let about = format!("index '{index}'");
            client.find(&Call::new(Method::DELETE, &path, "delete the index", &about)).await?;
            self.known.remove(index);
        }
        Ok(())
    }

    /// Has the alias name the indices of this generation and none of others, at once.
    pub(super) async fn swap(&self, client: &Client, generation: u64) -> Result<(), DeliverError> {
        let alias = self.names.alias();
        let named = alias_members(client, &self.names).await?;
        let wanted: BTreeSet<String> = self.of(generation).into_keys().collect();
        let mut actions: Vec<Value> = Vec::new();
        // One of this generation that was made since the look stays.
        let is_other = |index: &&String| self.names.parsed(index).is_none_or(|(of, _)| of != generation);
        actions.extend(
            named
                .difference(&wanted)
                .filter(is_other)
                .map(|index| json!({ "remove": { "index": index, "alias": alias } })),
        );
        actions.extend(wanted.difference(&named).map(|index| json!({ "add": { "index": index, "alias": alias } })));
        if actions.is_empty() {
            return Ok(());
        }
        let about = format!("alias '{alias}'");
        let body = json!({ "actions": actions });
        let call = Call::new(Method::POST, "/_aliases", "move the alias", &about).json(&body);
        let answer = client.answer(&call).await?;
        // An earlier try may have succeeded, or another process.
        if answer.status == 200 || alias_members(client, &self.names).await? == wanted {
            return Ok(());
        }
        match answer.status {
            404 => Err(client.told(&about, 503, "", "cannot move the alias: an index was deleted meanwhile")),
            _ => Err(client.refusal(&call, &answer)),
        }
    }

    /// Has searches see all that was written to indices.
    pub(super) async fn refresh(client: &Client, indices: &[String]) -> Result<(), DeliverError> {
        for index in indices {
            let path = format!("/{index}/_refresh");
            let about = format!("index '{index}'");
            // One that is not there was deleted by another process, which was faster.
            client.find(&Call::new(Method::POST, &path, "refresh the index", &about)).await?;
        }
        Ok(())
    }
}

/// Refuses an alias that has a use already.
async fn check_alias(client: &Client, names: &Names) -> Result<(), DeliverError> {
    let alias = names.alias();
    let remedy = "give the target another index_prefix, or take away what has the name if nobody needs it";
    let path = format!("/{alias}/_mapping");
    let about = format!("alias '{alias}'");
    let found = client.find(&Call::new(Method::GET, &path, "look at the alias", &about)).await?;
    let Some(Value::Object(found)) = found else { return Ok(()) };
    if found.contains_key(&alias) {
        return Err(client.options.refused(&about, "an index has its name", remedy));
    }
    match found.keys().find(|index| names.parsed(index).is_none()) {
        Some(index) => {
            let problem = format!("it names the index '{index}', which Bluelake did not make");
            Err(client.options.refused(&about, &problem, remedy))
        }
        None => Ok(()),
    }
}

/// The indices that the alias of a table names.
pub(super) async fn alias_members(client: &Client, names: &Names) -> Result<BTreeSet<String>, DeliverError> {
    let alias = names.alias();
    let path = format!("/_alias/{alias}");
    let about = format!("alias '{alias}'");
    let found = client.find(&Call::new(Method::GET, &path, "look at the alias", &about)).await?;
    let members = found.as_ref().and_then(Value::as_object).map(|found| found.keys().cloned().collect());
    Ok(members.unwrap_or_default())
}

/// The mappings of all indices of a table.
async fn mappings(client: &Client, names: &Names) -> Result<BTreeMap<String, Value>, DeliverError> {
    let path = format!("/{}/_mapping", names.pattern());
    let about = format!("indices '{}'", names.pattern());
    let found = client.find(&Call::new(Method::GET, &path, "look at the indices", &about)).await?;
    let Some(Value::Object(found)) = found else { return Ok(BTreeMap::new()) };
    let own = found.into_iter().filter(|(index, _)| names.parsed(index).is_some());
    Ok(own.map(|(index, found)| (index, at(&found, "/mappings").clone())).collect())
}

/// Refuses what is of another shape, or of another table.
fn check(client: &Client, about: &str, wanted: &Value, found: &Value) -> Result<(), DeliverError> {
    let differences = shape::differences(wanted, found);
    let remedy = "give the target another index_prefix, or take away what has the name if nobody needs it";
    if !differences.is_empty() {
        let problem = format!("it is there already with another shape: {}", differences.join("; "));
        return Err(client.options.refused(about, &problem, remedy));
    }
    let id = |mapping: &Value| at(mapping, "/_meta/bluelake/table_id").as_str().map(str::to_owned);
    match id(found) {
        None => Err(client.options.refused(about, "it is there already, and Bluelake did not make it", remedy)),
        Some(found) if Some(&found) != id(wanted).as_ref() => {
            let problem = "it holds the table of another lake, or of this one before it was made anew";
            Err(client.options.refused(about, problem, remedy))
        }
        Some(_) => Ok(()),
    }
}
