//! The tables by both scans, ours and that of deltalake: every report has the same rows.

use std::path::Path;

use bluelake_lake::{AsOf, Lake, LakeReading};
use bluelake_queries::{
    OutputFormat, ParameterKind, QueryOptions, QuerySession, ReportCatalog, ReportParameters, write_report,
};

use crate::answers::reports::with_lake;
use crate::support::lake_files::compact;

const ZONES: [&str; 2] = ["UTC", "America/Chicago"];

async fn session(reading: LakeReading, is_general: bool, zone: &str) -> QuerySession {
    let tables = reading.tables.into_iter();
    let tables = tables.map(|table| (table.name, if is_general { table.general } else { table.provider })).collect();
    let options = QueryOptions { time_zone: zone.parse().unwrap(), target_partitions: 2, ..QueryOptions::default() };
    QuerySession::new(tables, options).await.unwrap()
}

async fn report(session: &QuerySession, catalog: &ReportCatalog, name: &str, user: &str) -> String {
    let report = catalog.get(name).unwrap();
    let users = report.header().parameters.iter().filter(|parameter| parameter.kind == ParameterKind::User);
    let parameters = users.fold(ReportParameters::new(), |given, parameter| given.with(&parameter.name, user));
    let result = report.run(session, &parameters).await.unwrap();
    let mut bytes = Vec::new();
    write_report(&result, OutputFormat::Csv, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Compares all reports, and says how many rows they have.
async fn compare(lake: &Path) -> usize {
    let lake = Lake::at(&lake.display().to_string().parse().unwrap(), None).unwrap();
    let catalog = ReportCatalog::embedded().unwrap();
    let mut rows = 0;
    for zone in ZONES {
        let ours = session(lake.read(&AsOf::Newest).await.unwrap(), false, zone).await;
        let general = session(lake.read(&AsOf::Newest).await.unwrap(), true, zone).await;
        let most = "SELECT user_id FROM points_ledger GROUP BY user_id ORDER BY count(*) DESC, user_id LIMIT 1";
        let batches = ours.collect(most).await.unwrap();
        let user = arrow::util::display::array_value_to_string(batches[0].column(0), 0).unwrap();
        for name in catalog.reports().map(|report| report.name().to_owned()) {
            let found = report(&ours, &catalog, &name, &user).await;
            let same = found == report(&general, &catalog, &name, &user).await;
            assert!(same, "{name} in {zone} differs by the scan");
            rows += found.lines().count() - 1;
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn every_report_is_the_same_by_both_scans() {
    let (machine, _kinesis) = with_lake().await;
    let lake = machine.path("bluelake-data");
    let small = compare(&lake).await;
    assert!(small > 1_000, "the reports have {small} rows");
    compact(&lake).await;
    assert_eq!(compare(&lake).await, small, "compaction changes no report");
}
