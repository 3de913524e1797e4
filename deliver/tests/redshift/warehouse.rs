//! A target in the Data API of the tests, and the comparison of what it holds with a lake.

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_types::{
    SdkConfig,
    region::Region,
    service_config::{LoadServiceConfig, ServiceConfigKey},
};
use bluelake_deliver::{
    Columns, DeliverError, Delivered, Delivery, RedshiftAddress, RedshiftOptions, RedshiftTarget, TableVerdict,
};
use bluelake_lake::{Chance, Lake};
use bluelake_schemas::Contract;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::{
    copy::ROLE,
    data_api::{DataApi, WORKGROUP},
    s3::{ACCESS_KEY, REGION, SECRET_KEY},
};
use crate::{
    server::{PASSWORD, Server, rows, value},
    world::{World, assert_rows, options},
};

/// The database, and the Data API over it.
pub(crate) struct Warehouse {
    pub(crate) server: Server,
    pub(crate) api: DataApi,
}

impl Warehouse {
    /// Starts one, or says that the test does not run.
    pub(crate) async fn start() -> Option<Self> {
        let server = Server::start().await?;
        let api = DataApi::over(server.port, PASSWORD, &server.client().await).await;
        Some(Self { server, api })
    }

    pub(crate) async fn client(&self) -> Client {
        self.server.client().await
    }

    /// The folder of a table in the bucket, below the prefix.
    pub(crate) async fn folder_of(&self, table: &str) -> String {
        let ask = format!("SELECT lake_table_id FROM lake.deliveries WHERE table_name = '{table}'");
        let id = value(&self.client().await, &ask).await;
        let hash: [u8; 32] = Sha256::digest(id.as_bytes()).into();
        let half = u64::from_le_bytes(*hash[8..].first_chunk().unwrap());
        format!("finance/{table}-{half:016x}")
    }

    pub(crate) fn place(&self) -> Place {
        Place { data_api: self.api.endpoint.clone(), s3: self.api.s3.endpoint.clone() }
    }
}

/// Where the services are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) data_api: String,
    pub(crate) s3: String,
}

impl LoadServiceConfig for Place {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        match key.service_id() {
            "S3" => Some(self.s3.clone()),
            "Redshift Data" => Some(self.data_api.clone()),
            _ => None,
        }
    }
}

pub(crate) fn aws(place: &Place, key: &str) -> SdkConfig {
    let credentials = Credentials::new(key, SECRET_KEY, None, None, "test");
    SdkConfig::builder()
        .behavior_version(aws_sdk_redshiftdata::config::BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .service_config(place.clone())
        .build()
}

pub(crate) fn settings(schema: &str) -> RedshiftOptions {
    RedshiftOptions {
        name: "finance".to_owned(),
        address: RedshiftAddress::parse(&format!("redshift-serverless://{WORKGROUP}/postgres")).unwrap(),
        secret_arn: None,
        schema: schema.to_owned(),
        staging: "s3://staging/bluelake".parse().unwrap(),
        iam_role: ROLE.to_owned(),
    }
}

pub(crate) fn target_of(settings: RedshiftOptions, place: &Place) -> RedshiftTarget {
    RedshiftTarget::new(settings, &aws(place, ACCESS_KEY), &Chance::default()).unwrap()
}

pub(crate) fn delivery(world: &World, place: &Place) -> Delivery<RedshiftTarget> {
    delivery_to(&world.lake, &world.contract, target_of(settings("lake"), place), Columns::All)
}

pub(crate) fn delivery_to(
    lake: &Lake,
    contract: &Contract,
    target: RedshiftTarget,
    columns: Columns,
) -> Delivery<RedshiftTarget> {
    Delivery::new(lake.clone(), contract.clone(), target, options(columns))
}

/// Delivers once.
pub(crate) async fn deliver(world: &World, place: &Place) -> Delivered {
    try_deliver(world, place).await.unwrap()
}

pub(crate) async fn try_deliver(world: &World, place: &Place) -> Result<Delivered, DeliverError> {
    delivery(world, place).run(&CancellationToken::new()).await
}

pub(crate) async fn rebuild(world: &World, place: &Place) -> Delivered {
    delivery(world, place).rebuild(&CancellationToken::new()).await.unwrap()
}

/// What differs, without the values that do not fit and are told.
pub(crate) fn differs(verdict: &TableVerdict) -> bool {
    let is_told = |fault: &String| fault.ends_with("do not fit and are null: 'lake.losses' names them");
    !verdict.differences.is_empty() || !verdict.faults.iter().all(is_told) || verdict.version.is_none()
}

/// Fails unless the target holds what the lake does now, by delivery's own proof and without it.
pub(crate) async fn expect_equal(world: &World, warehouse: &Warehouse) {
    for verdict in delivery(world, &warehouse.place()).verify().await.unwrap() {
        assert!(!differs(&verdict), "{verdict:?}");
        assert_eq!(verdict.version, Some(world.version(&verdict.table).await), "{}", verdict.table);
    }
    let client = warehouse.client().await;
    for (table, columns) in [
        (
            "transactions",
            "event_id, event_type, event_date, points, points_civilian, donor_id, zip_code, distance_ft, stream_sequence",
        ),
        ("user_events", "event_id, event_type, event_date, user_id, email, display_name, status, stream_sequence"),
    ] {
        let lake = world.query(&format!("SELECT {columns} FROM {table} ORDER BY event_id")).await;
        let held = rows(&client, &format!("SELECT {columns} FROM lake.{table} ORDER BY event_id COLLATE \"C\"")).await;
        assert_rows(&lake, &held, table);
    }
    world.expect_equal_views(&client, "lake", &["interactions", "donations", "redemptions", "transfers"]).await;
    // Each donation has extras that Redshift does not take; nothing else is lost.
    let donations = "SELECT count(*) FROM lake.transactions WHERE event_type = 'donation'";
    let listed = "SELECT count(*) FROM lake.losses l JOIN lake.transactions t USING (stream_sequence) \
                  WHERE l.column_name = 'extras' AND t.extras IS NULL AND l.event_id = t.event_id AND l.bytes = 15";
    assert_eq!(value(&client, donations).await, value(&client, listed).await);
    assert_eq!(value(&client, listed).await, value(&client, "SELECT count(*) FROM lake.losses").await);
}
