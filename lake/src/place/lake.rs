//! A lake: a place, its object store, and the Delta tables in it.

pub(crate) mod opened;

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::SchemaRef;
use aws_config::SdkConfig;
use bluelake_schemas::{
    Contract, EVENT_PARTITIONS, Millis, REJECTED_PARTITIONS, Stream, rejected_events_schema, without_field_ids,
};
use deltalake::{
    DeltaTable, DeltaTableError, TableProperty,
    kernel::{DataType, StructField, engine::arrow_conversion::TryIntoKernel as _},
    logstore::{StorageConfig, default_logstore},
    protocol::SaveMode,
};
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, path::Path, prefix::PrefixStore};
use uuid::Uuid;

use crate::{
    backoff::{Backoff, Chance},
    error::LakeError,
    layout::{REJECTED_EVENTS, WORKERS, partitions_of, table_names},
    place::{
        bucket::{
            self,
            lifecycle::{self, Tiers},
            tiers::{TableFiles, Tiering},
        },
        delta::quiet_commit,
        durable::DurableFileSystem,
        location::{LakeLocation, Place},
    },
};

use opened::{OpenedTable, OpenedTables};

/// How long log checkpoints name files that left. Older versions do not rest on it: the records and the log name them. A
/// fleet's compactions take out 100,000 files a day, each of which would be in every log checkpoint.
const TOMBSTONES_FOR: &str = "interval 2 days";
/// Tries to add columns, each on a fresh load.
const SCHEMA_ATTEMPTS: usize = 6;

/// An open lake. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lake {
    location: LakeLocation,
    /// "/" is the bucket, or the file system.
    root: Arc<dyn ObjectStore>,
    prefix: Path,
    bucket: Option<(aws_sdk_s3::Client, String, Option<String>)>,
    chance: Chance,
    opened: OpenedTables,
}

/// What `init` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitOutcome {
    /// The bucket or folder was made.
    pub place_created: bool,
    /// Tables that were made.
    pub tables_created: Vec<String>,
}

impl Lake {
    /// Opens the place without looking into it. `aws` is needed for a bucket only.
    ///
    /// # Errors
    /// [`LakeError::Location`] when the place cannot be used, for example without a region.
    pub fn at(location: &LakeLocation, aws: Option<&SdkConfig>) -> Result<Self, LakeError> {
        let fault = |reason: String| LakeError::Location { url: location.to_string(), reason };
        let location = &location.clone().fit_for_tables()?;
        match location.place() {
            Place::Folder(folder) => Ok(Self {
                location: location.clone(),
                root: Arc::new(DurableFileSystem::new()),
                prefix: Path::from_absolute_path(folder).map_err(|error| fault(error.to_string()))?,
                bucket: None,
                chance: Chance::default(),
                opened: OpenedTables::default(),
            }),
            Place::Bucket { bucket, prefix } => {
                let aws = aws.ok_or_else(|| fault("an S3 lake needs AWS settings".to_owned()))?;
                let region = aws.region().map(ToString::to_string);
                Ok(Self {
                    location: location.clone(),
                    root: Arc::new(bucket::store(bucket, aws)?),
                    prefix: Path::parse(prefix).map_err(|error| fault(error.to_string()))?,
                    bucket: Some((bucket::client(aws), bucket.clone(), region)),
                    chance: Chance::default(),
                    opened: OpenedTables::default(),
                })
            }
        }
    }

    /// Replaces the store of the location by the caller's, for a decorator that adds a concern (limits, faults in
    /// tests). "/" of the new store must be the same place as "/" of the old.
    #[must_use]
    pub fn with_store(mut self, decorate: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        self.root = decorate(self.root);
        self.opened = OpenedTables::default();
        self
    }

    /// The same lake with the caller's randomness.
    #[must_use]
    pub fn with_chance(self, chance: Chance) -> Self {
        Self { chance, ..self }
    }

    /// The randomness of the pauses between tries.
    #[must_use]
    pub fn chance(&self) -> &Chance {
        &self.chance
    }

    /// The lake's place.
    #[must_use]
    pub fn location(&self) -> &LakeLocation {
        &self.location
    }

    /// Makes the missing parts of the lake: the bucket or folder, and the tables of the contract.
    ///
    /// # Errors
    /// Any [`LakeError`]; parts made before it stay and are found by the next try.
    pub async fn init(&self, contract: &Contract) -> Result<InitOutcome, LakeError> {
        let place_created = match (&self.bucket, self.location.folder()) {
            (Some((client, bucket, region)), _) => {
                bucket::create(client, bucket, region.as_deref(), &self.chance).await?
            }
            (None, Some(folder)) if !folder.exists() => {
                std::fs::create_dir_all(folder).map_err(|error| LakeError::Location {
                    url: self.location.to_string(),
                    reason: format!("the folder cannot be made: {error}"),
                })?;
                true
            }
            (None, _) => false,
        };
        self.probe_put_if_absent().await?;
        let mut outcome = InitOutcome { place_created, tables_created: Vec::new() };
        for stream in Stream::ALL {
            let schema = contract.stream(stream).table_schema();
            self.create(stream.table(), &schema, &EVENT_PARTITIONS, &mut outcome).await?;
        }
        self.create(REJECTED_EVENTS, &rejected_events_schema(), &REJECTED_PARTITIONS, &mut outcome).await?;
        Ok(outcome)
    }

    /// Brings the life-cycle rules of the bucket to what is wanted of the tables' files; with `dry_run` only says how they
    /// differ. Rules of others stay as they are.
    ///
    /// # Errors
    /// [`LakeError::Location`] when the lake is in a folder; [`LakeError::Bucket`] names the call that failed and the
    /// permission that is missing.
    pub async fn set_tiers(&self, wanted: &Tiering, dry_run: bool) -> Result<Tiers, LakeError> {
        let Some((client, bucket, _)) = &self.bucket else {
            let reason = "tiers are of buckets: files in a folder have no class of storage".to_owned();
            return Err(LakeError::Location { url: self.location.to_string(), reason });
        };
        let tables: Vec<TableFiles> = table_names()
            .map(|table| TableFiles::new(table, self.table_path(table).as_ref(), partitions_of(table)[0]))
            .collect();
        let lake = if self.prefix.as_ref().is_empty() { String::new() } else { format!("{}/", self.prefix) };
        lifecycle::set(client, bucket, (&tables, &lake), wanted, dry_run).await
    }

    /// Loads a table.
    ///
    /// # Errors
    /// [`LakeError::NotALake`] when the table does not exist.
    pub async fn table(&self, name: &str) -> Result<DeltaTable, LakeError> {
        self.find_table(name).await?.ok_or_else(|| LakeError::NotALake {
            url: self.location.to_string(),
            reason: format!("table '{name}' is missing"),
        })
    }

    /// A table at its newest version, for queries: one that was opened before only reads what came since.
    ///
    /// # Errors
    /// Those of [`Lake::table`].
    pub(crate) async fn opened(&self, name: &str) -> Result<OpenedTable, LakeError> {
        let folder = self.table_path(name);
        if let Some(opened) = self.opened.newest(name, self.root.as_ref(), &folder).await {
            return Ok(opened);
        }
        let opened = OpenedTable::new(self.table(name).await?);
        self.opened.keep(name, &opened, self.root.as_ref(), &folder).await;
        Ok(opened)
    }

    /// What is kept of the tables that were opened.
    pub(crate) fn opened_tables(&self) -> &OpenedTables {
        &self.opened
    }

    /// Loads a table if it exists.
    ///
    /// # Errors
    /// When the place cannot be read, or holds no readable Delta table.
    pub async fn find_table(&self, name: &str) -> Result<Option<DeltaTable>, LakeError> {
        let mut table = self.unloaded(name)?;
        let found = table.log_store().is_delta_table_location().await;
        let found = found.map_err(|error| match error {
            DeltaTableError::ObjectStore { source } => {
                LakeError::store("look for a table at", self.describe(&self.table_path(name)))(source)
            }
            other => LakeError::table(name, "look for its Delta log")(other),
        });
        if !found? {
            return Ok(None);
        }
        table.load().await.map_err(LakeError::table(name, "load its Delta log"))?;
        Ok(Some(table))
    }

    /// Adds the columns of `schema` that the table lacks, and gives it back reloaded.
    ///
    /// # Errors
    /// [`LakeError::Refused`] when a column exists with another type, or would be required.
    pub(crate) async fn with_columns_of(
        &self,
        name: &str,
        mut table: DeltaTable,
        schema: &SchemaRef,
    ) -> Result<DeltaTable, LakeError> {
        let mut last_error = None;
        let mut backoff = Backoff::of_conflicts(&self.chance);
        for attempt in 0..SCHEMA_ATTEMPTS {
            backoff.before(attempt).await;
            let missing = missing_columns(name, &table, schema)?;
            if missing.is_empty() {
                return Ok(table);
            }
            let names: Vec<_> = missing.iter().map(|field| field.name().clone()).collect();
            tracing::info!(table = name, columns = ?names, "adding columns of the contract");
            let properties = quiet_commit(0);
            match table.add_columns().with_fields(missing).with_commit_properties(properties).await {
                Ok(table) => return Ok(table),
                // A commit came between, or the answer was lost: the table itself decides.
                Err(error) => last_error = Some(Box::new(LakeError::table(name, "add columns")(error))),
            }
            table = self.table(name).await?;
        }
        Err(LakeError::Contention { table: name.to_owned(), attempts: SCHEMA_ATTEMPTS, source: last_error })
    }

    /// Makes sure that the store refuses to create an existing object: commits rest on that.
    ///
    /// # Errors
    /// [`LakeError::Refused`] when it does not.
    pub async fn probe_put_if_absent(&self) -> Result<(), LakeError> {
        let path = self.prefix.clone().join(WORKERS).join(format!("probe-{}", Uuid::new_v4()));
        let create = || PutOptions::from(PutMode::Create);
        let at = self.describe(&path);
        self.root.put_opts(&path, "1".into(), create()).await.map_err(LakeError::store("write", &at))?;
        let second = self.root.put_opts(&path, "2".into(), create()).await;
        self.root.delete(&path).await.map_err(LakeError::store("delete", &at))?;
        match second {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(LakeError::store("write", &at)(error)),
            Ok(_) => Err(LakeError::Refused {
                table: self.location.to_string(),
                check: "the store does not honour put-if-absent".to_owned(),
                remedy: "use a store with conditional writes (If-None-Match), as Amazon S3 has".to_owned(),
            }),
        }
    }

    /// The time by the store's clock: the write time of an object that is put and deleted for that.
    ///
    /// # Errors
    /// When the store cannot be written to.
    pub async fn store_time(&self) -> Result<Millis, LakeError> {
        let path = self.prefix.clone().join(WORKERS).join(format!("clock-{}", Uuid::new_v4()));
        let at = self.describe(&path);
        self.root.put(&path, "1".into()).await.map_err(LakeError::store("write", &at))?;
        let written = self.root.head(&path).await.map_err(LakeError::store("look at", &at))?;
        self.root.delete(&path).await.map_err(LakeError::store("delete", &at))?;
        Ok(written.last_modified.into())
    }

    pub(crate) fn table_path(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    pub(crate) fn root(&self) -> &Arc<dyn ObjectStore> {
        &self.root
    }

    /// A path of the store in the notation of users.
    pub(crate) fn describe(&self, path: &Path) -> String {
        match &self.bucket {
            Some((_, bucket, _)) => format!("s3://{bucket}/{path}"),
            None => format!("/{path}"),
        }
    }

    /// A table that is not loaded: it may be one that cannot be.
    pub(crate) fn unloaded(&self, name: &str) -> Result<DeltaTable, LakeError> {
        let url = self
            .location
            .url()
            .join(&format!("{name}/"))
            .map_err(|error| LakeError::Location { url: self.location.to_string(), reason: error.to_string() })?;
        let prefixed = Arc::new(PrefixStore::new(self.root.clone(), self.table_path(name)));
        let log_store = default_logstore(prefixed, self.root.clone(), &url, &StorageConfig::default());
        Ok(DeltaTable::new(log_store))
    }

    async fn create(
        &self,
        name: &str,
        schema: &SchemaRef,
        partitions: &[&str],
        outcome: &mut InitOutcome,
    ) -> Result<(), LakeError> {
        if let Some(table) = self.made_table(name).await? {
            self.with_columns_of(name, table, schema).await?;
            return Ok(());
        }
        let fields = kernel_fields(name, schema)?;
        let created = self
            .unloaded(name)?
            .create()
            .with_table_name(name)
            .with_columns(fields)
            .with_partition_columns(partitions.iter().copied())
            .with_configuration_property(TableProperty::DeletedFileRetentionDuration, Some(TOMBSTONES_FOR))
            .with_save_mode(SaveMode::ErrorIfExists)
            .with_commit_properties(quiet_commit(0))
            .await;
        match created {
            Ok(_) => {
                outcome.tables_created.push(name.to_owned());
                Ok(())
            }
            // Another process has just made it, or this one did and the answer was lost.
            Err(error) => match self.made_table(name).await? {
                Some(table) => self.with_columns_of(name, table, schema).await.map(drop),
                None => Err(LakeError::table(name, "create it")(error)),
            },
        }
    }

    /// Loads a table if it exists. A table in the making by another process exists and cannot be loaded yet.
    async fn made_table(&self, name: &str) -> Result<Option<DeltaTable>, LakeError> {
        let mut backoff = Backoff::of_conflicts(&self.chance);
        for _ in 1..SCHEMA_ATTEMPTS {
            match self.find_table(name).await {
                Err(LakeError::Table { source, .. }) => {
                    tracing::debug!(table = name, error = %source, "not loaded; looking again");
                    tokio::time::sleep(backoff.pause()).await;
                }
                found => return found,
            }
        }
        self.find_table(name).await
    }
}

/// The columns of the log. Only files have their numbers: by Delta's rules the columns of a table with numbers in its
/// schema are read by number.
fn kernel_fields(table: &str, schema: &SchemaRef) -> Result<Vec<StructField>, LakeError> {
    without_field_ids(schema)
        .iter()
        .map(|field| {
            let kernel: Result<StructField, _> = field.try_into_kernel();
            kernel
                .map_err(|error| LakeError::table(table, "write its schema")(DeltaTableError::Arrow { source: error }))
        })
        .collect()
}

/// Columns of the contract that the table lacks.
fn missing_columns(name: &str, table: &DeltaTable, schema: &SchemaRef) -> Result<Vec<StructField>, LakeError> {
    let state = table.snapshot().map_err(LakeError::table(name, "read its schema"))?;
    let kernel_schema = state.schema();
    let present: HashMap<_, _> = kernel_schema.fields().map(|field| (field.name().clone(), field)).collect();
    let mut missing = Vec::new();
    for wanted in kernel_fields(name, schema)? {
        match present.get(wanted.name()) {
            Some(field) if !field.is_nullable() && wanted.is_nullable() => {
                return Err(LakeError::Refused {
                    table: name.to_owned(),
                    check: format!("column '{}' is required in the table and optional in the contract", wanted.name()),
                    remedy: "keep the field required".to_owned(),
                });
            }
            Some(field) if same_type(field.data_type(), wanted.data_type()) => {}
            Some(field) => {
                return Err(LakeError::Refused {
                    table: name.to_owned(),
                    check: format!(
                        "column '{}' is {} in the table and {} in the contract",
                        wanted.name(),
                        field.data_type(),
                        wanted.data_type()
                    ),
                    remedy: "give the field its old type, or a new name".to_owned(),
                });
            }
            None if !wanted.is_nullable() => {
                return Err(LakeError::Refused {
                    table: name.to_owned(),
                    check: format!("column '{}' is new and required", wanted.name()),
                    remedy: "make the new field optional: rows from before do not have it".to_owned(),
                });
            }
            None => missing.push(wanted),
        }
    }
    Ok(missing)
}

/// Whether two types are equal, except for descriptions and other metadata of nested fields.
fn same_type(left: &DataType, right: &DataType) -> bool {
    match (left, right) {
        (DataType::Array(left), DataType::Array(right)) => {
            left.contains_null() == right.contains_null() && same_type(left.element_type(), right.element_type())
        }
        (DataType::Struct(left), DataType::Struct(right)) => {
            left.fields().len() == right.fields().len()
                && left.fields().zip(right.fields()).all(|(left, right)| {
                    left.name() == right.name()
                        && left.is_nullable() == right.is_nullable()
                        && same_type(left.data_type(), right.data_type())
                })
        }
        _ => left == right,
    }
}
