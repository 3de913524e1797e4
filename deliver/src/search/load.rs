//! A load of a whole table into indices of a new generation beside those in use, which the alias names at the end instead
//! of the old ones. Each partition is written down as loaded, so a load goes on where it ended.

use bluelake_lake::{Extent, FeedFile};

use super::{
    SearchTarget,
    apply::Writer,
    bulk::Bulk,
    indices::{Indices, alias_members},
    names::FIRST,
    position::{self, Fence, Found, Loading, Position, Stop},
};
use crate::{
    error::DeliverError,
    target::{Applied, Load, Source},
};

impl SearchTarget {
    /// Begins a load, or goes on with one.
    pub(super) async fn begin(&mut self, source: &Source) -> Result<Load, Stop> {
        let table = source.table()?;
        let columns = source.columns.to_string();
        let found = self.position(source).await?;
        if let Some(loading) = found.as_ref().and_then(|found| found.position.loading.as_ref())
            && loading.columns == columns
        {
            return Ok(Load { version: loading.version, done: loading.done.clone() });
        }
        // What others made meanwhile must be seen: a number is not used twice.
        self.indices.remove(source.name());
        self.look_to_write(source, &table).await?;
        let newest = self.indices_of(source.name())?.1.newest_generation();
        let begun = found.as_ref().map(|found| found.position.begun);
        let generation = newest.max(begun).map_or(FIRST, |newest| newest + 1);
        let version = source.version();
        let loading = Loading { version, generation, columns, done: [].into(), rows: 0, rejected: 0 };
        let before = found.as_ref().map(|found| found.position.clone()).unwrap_or_default();
        let to = Position {
            table_id: source.feed.table_id().map_err(DeliverError::from)?,
            lake: source.lake.clone(),
            loading: Some(loading),
            begun: generation,
            ..before
        };
        match position::write(&self.client, source.name(), found.as_ref(), to).await? {
            Some(_) => Ok(Load { version, done: [].into() }),
            None => Err(Stop::Overtaken),
        }
    }

    /// The position, as long as it has this load.
    async fn loading(&self, source: &Source, load: &Load) -> Result<(Found, Loading), Stop> {
        let found = self.position(source).await?.ok_or(Stop::Overtaken)?;
        let columns = source.columns.to_string();
        let is_it = |loading: &Loading| loading.version == load.version && loading.columns == columns;
        let loading = found.position.loading.clone().filter(is_it);
        Ok((found, loading.ok_or(Stop::Overtaken)?))
    }

    /// Loads files of whole partitions.
    pub(super) async fn load_files(
        &mut self,
        source: &Source,
        load: &Load,
        files: &[FeedFile],
    ) -> Result<Applied, Stop> {
        let (mut found, mut loading) = self.loading(source, load).await?;
        let table = source.table()?;
        self.look_to_write(source, &table).await?;
        let expected = files.iter().map(|file| file.rows).fold(loading.rows, u64::saturating_add);
        let most = self.options().max_rejected.of(expected).saturating_sub(loading.rejected);
        let about = format!("table '{}'", source.name());
        let (client, indices) = self.indices_of(source.name())?;
        let client = client.clone();
        let fence = Fence::new(&client, source.name(), &found.position);
        let mut writer = Writer {
            client: &client,
            source,
            table: &table,
            indices,
            bulk: Bulk::new(&client, &fence, &about, most),
            version: load.version,
            generation: loading.generation,
            in_use: false,
        };
        let outcome = writer.write(files, None).await;
        let settled = writer.end();
        // Of the partitions of a group the first gives the list its name.
        let [kind, day] = files.first().map(|file| file.partition.clone()).unwrap_or_default();
        let name = format!("{:020}-{kind}-{day}", load.version);
        let kept = self.keep(source, &name, outcome.is_ok(), &settled).await;
        outcome?;
        kept?;
        let refused = u64::try_from(settled.refused.len()).unwrap_or(u64::MAX);
        loop {
            if files.iter().all(|file| loading.done.contains(&file.partition)) {
                return Ok(Applied::Done { added: 0, removed: 0 });
            }
            loading.done.extend(files.iter().map(|file| file.partition.clone()));
            loading.rows += settled.sent;
            loading.rejected += refused;
            let generation = loading.generation;
            let to = Position { loading: Some(loading), ..found.position.clone() };
            if position::write(&client, source.name(), Some(&found), to).await?.is_some() {
                return Ok(Applied::Done { added: settled.sent.saturating_sub(refused), removed: 0 });
            }
            // Another process loads too, or took a step.
            (found, loading) = self.loading(source, load).await?;
            if loading.generation != generation {
                return Err(Stop::Overtaken);
            }
        }
    }

    /// Has the alias name what was loaded.
    pub(super) async fn finish(&mut self, source: &Source, load: &Load) -> Result<Applied, Stop> {
        let files = source.feed.files_at(load.version, &Extent::All).await;
        let files = files.map_err(DeliverError::of_feed(&self.options().name))?;
        let (mut found, mut loading) = self.loading(source, load).await?;
        let generation = loading.generation;
        let table = source.table()?;
        // Another process may have made some of the indices.
        self.indices.remove(source.name());
        self.look(source, &table).await?;
        let (client, indices) = self.indices_of(source.name())?;
        let loaded: Vec<String> = indices.of(generation).into_keys().collect();
        Indices::refresh(client, &loaded).await?;
        let moved = loop {
            // Another process may have begun it anew.
            if loading.generation != generation || files.iter().any(|file| !loading.done.contains(&file.partition)) {
                return Err(Stop::Overtaken);
            }
            let to = Position {
                version: Some(loading.version),
                generation,
                columns: loading.columns,
                rows: loading.rows,
                rejected: loading.rejected,
                loading: None,
                swapping: true,
                ..found.position.clone()
            };
            if let Some(moved) = position::write(&self.client, source.name(), Some(&found), to).await? {
                break moved;
            }
            // Another process took a step.
            (found, loading) = self.loading(source, load).await?;
        };
        self.complete_swap(source, moved).await?;
        Ok(Applied::Done { added: 0, removed: 0 })
    }

    /// Has the alias name the indices of the generation in use and no others, and deletes older ones, where that is still to
    /// be done. An index of a higher generation is a load that somebody began meanwhile.
    pub(super) async fn complete_swap(&mut self, source: &Source, found: Found) -> Result<Found, Stop> {
        let table = source.table()?;
        let generation = found.position.generation;
        let (client, indices) = self.indices_of(source.name())?;
        let named = alias_members(client, &indices.names).await?;
        if !found.position.swapping && indices.of(generation).into_keys().eq(named) {
            return Ok(found);
        }
        self.indices.remove(source.name());
        self.look(source, &table).await?;
        let client = self.client.clone();
        let fence = Fence::new(&client, source.name(), &found.position);
        let (_, indices) = self.indices_of(source.name())?;
        fence.look().await?;
        indices.swap(&client, generation).await?;
        for older in (FIRST..generation).rev() {
            let older: Vec<String> = indices.of(older).into_keys().collect();
            indices.delete(&client, &older).await?;
        }
        if !found.position.swapping {
            return Ok(found);
        }
        let to = Position { swapping: false, ..found.position.clone() };
        let moved = position::write(&self.client, source.name(), Some(&found), to).await?;
        moved.ok_or(Stop::Overtaken)
    }

    /// Ends a load and deletes what it made.
    pub(super) async fn abandon(&mut self, source: &Source) -> Result<(), Stop> {
        let Some(found) = self.position(source).await? else { return Ok(()) };
        let Some(loading) = found.position.loading.clone() else { return Ok(()) };
        let table = source.table()?;
        self.indices.remove(source.name());
        self.look(source, &table).await?;
        let to = Position { loading: None, ..found.position.clone() };
        if position::write(&self.client, source.name(), Some(&found), to).await?.is_none() {
            return Err(Stop::Overtaken);
        }
        let (client, indices) = self.indices_of(source.name())?;
        let client = client.clone();
        let made: Vec<String> = indices.of(loading.generation).into_keys().collect();
        indices.delete(&client, &made).await?;
        Ok(())
    }
}
