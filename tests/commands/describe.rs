//! `bluelake describe`: everything that can be queried has a meaning, without a lake.

use serde_json::Value;

use crate::support::command::Machine;

#[tokio::test]
async fn every_column_of_tables_and_views_has_meaning() {
    let machine = Machine::new();
    let all: Vec<Value> = serde_json::from_str(&machine.succeed(&["describe", "--json"]).await).unwrap();
    let names: Vec<&str> = all.iter().map(|one| one["name"].as_str().unwrap()).collect();
    for name in
        ["calendar", "points_ledger", "redemption_items", "rejected_events", "transactions", "user_events", "users"]
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    for one in &all {
        assert!(!one["grain"].as_str().unwrap().is_empty(), "{one}");
        assert!(!one["columns"].as_array().unwrap().is_empty(), "{one}");
        for column in one["columns"].as_array().unwrap() {
            assert!(!column["meaning"].as_str().unwrap().is_empty(), "{}: {column}", one["name"]);
            assert!(!column["type"].as_str().unwrap().is_empty(), "{}: {column}", one["name"]);
        }
    }
}

#[tokio::test]
async fn a_description_has_units_and_personal_columns() {
    let machine = Machine::new();
    let list = machine.succeed(&["describe"]).await;
    assert!(list.contains("points_ledger") && list.contains("view"), "{list}");
    let ledger = machine.succeed(&["describe", "points_ledger"]).await;
    assert!(ledger.starts_with("points_ledger (view): One row for each user and transaction"), "{ledger}");
    let line = |text: &str, word: &str| text.lines().find(|line| line.contains(word)).map(str::to_owned);
    assert!(line(&ledger, "│ points ").unwrap().contains("points"), "{ledger}");
    let users = machine.succeed(&["describe", "USERS"]).await;
    assert!(line(&users, "│ email ").unwrap().contains("yes"), "{users}");
}
