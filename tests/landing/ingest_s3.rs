//! The same events into S3 and into a folder give the same rows.

use aws_sdk_kinesis::config::{Credentials, Region, SharedCredentialsProvider};
use bluelake_lake::{FileEnd, Lake, LakeError, StreamTable, Writer};
use bluelake_schemas::{Contract, Stream};

use crate::support::command::Machine;
use crate::support::oracle::Workload;
use crate::support::servers::{ACCESS_KEY, Kinesis, REGION, S3, SECRET_KEY};

const WORKLOAD: Workload = Workload { events: 5_000, seed: 12, bad_rate: 0.02, duplicate_rate: 0.02, days: 20 };
const LAKE: &str = "s3://bluelake-test/some/prefix";

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_holds_the_rows_of_a_folder() {
    let kinesis = Kinesis::with_streams(2, 3).await;
    let s3 = S3::start().await;
    let machine = Machine::new().with_kinesis(&kinesis).with_s3(&s3);
    WORKLOAD.put(&machine).await;
    machine.succeed(&["--lake", LAKE, "lake", "init"]).await;
    machine.succeed(&["--lake", LAKE, "ingest", "--once"]).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    WORKLOAD.verify(&machine, LAKE, &s3.bucket("bluelake-test").join("some/prefix")).await;
    WORKLOAD.verify(&machine, "./bluelake-data", &machine.path("bluelake-data")).await;
    for table in ["user_events", "transactions", "rejected_events"] {
        let (in_bucket, in_folder) = (machine.rows(LAKE, table).await, machine.rows("./bluelake-data", table).await);
        assert!(!in_bucket.is_empty());
        assert_eq!(in_bucket, in_folder, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn init_makes_the_bucket_and_resumes() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let s3 = S3::start().await;
    let machine = Machine::new().with_kinesis(&kinesis).with_s3(&s3);
    let made = machine.run(&["--lake", "s3://made-by-init", "lake", "init", "--json"]).await.expect_code(0).json();
    assert_eq!((made["place_created"].as_bool(), made["tables_created"].as_array().unwrap().len()), (Some(true), 3));
    let again = machine.run(&["--lake", "s3://made-by-init", "lake", "init", "--json"]).await.expect_code(0).json();
    assert_eq!((again["place_created"].as_bool(), again["tables_created"].as_array().unwrap().len()), (Some(false), 0));
    machine.succeed(&["--lake", "s3://made-by-init", "ingest", "--once"]).await;
    assert_eq!(machine.number("s3://made-by-init", "SELECT count(*) FROM transactions").await, 0);
}

/// The uploader of a new lake's events in this bucket.
async fn uploader(s3: &S3) -> bluelake_lake::Uploader {
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
    let aws = aws_types::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(&s3.endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    let contract = Contract::embedded().unwrap();
    let lake = Lake::at(&LAKE.parse().unwrap(), Some(&aws)).unwrap();
    lake.init(&contract).await.unwrap();
    let writer = Writer {
        worker: "test".to_owned(),
        stream_arn: "arn:test".to_owned(),
        stream_created_at: None,
        contract_version: contract.version(),
    };
    StreamTable::open(&lake, &contract, Stream::TransactionEvents, writer).await.unwrap().event_uploader()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_many_parts_is_one_object() {
    const PART: usize = 5 << 20;
    let s3 = S3::start().await;
    let uploader = uploader(&s3).await;
    let parts = [vec![1; PART], vec![2; PART], vec![3; PART], vec![4; 7]];
    let put = async |name: &str, parts: &[Vec<u8>]| -> Result<u64, LakeError> {
        let mut upload = uploader.begin(name.to_owned())?;
        for part in parts {
            upload = upload.part(part.clone().into()).await?;
        }
        let end = FileEnd { partition_values: Vec::new(), rows: 1, statistics: "{}".to_owned() };
        Ok(upload.finish(end).await?.size)
    };
    let folder = s3.bucket("bluelake-test").join("some/prefix/transactions");
    for (name, parts) in [("large.parquet", &parts[..]), ("small.parquet", &parts[3..])] {
        let size = put(name, parts).await.unwrap();
        let stored = std::fs::read(folder.join(name)).unwrap();
        assert!(stored == parts.concat() && size == u64::try_from(stored.len()).unwrap(), "{name}");
        for others in [&[vec![9; 5]][..], &[vec![9; PART], vec![9; 1]]] {
            let refused = put(name, others).await.unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
            assert!(std::fs::read(folder.join(name)).unwrap() == stored, "{name} is as it was");
        }
    }
}
