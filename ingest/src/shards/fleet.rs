//! A worker among others: it beats, watches the heartbeats of the rest, and knows which shards are its own.
//!
//! No guarantee rests on this: if workers see each other wrongly, shards are read twice, and the fence lets one win.

mod assignment;
pub(crate) mod membership;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bluelake_lake::{Heartbeat, Heartbeats, Lake, LakeError, ShardId};
use bluelake_schemas::{Millis, Stream};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use assignment::Shards;
use assignment::{Member, assigned_to};
use membership::Membership;

/// Heartbeats of dead workers are removed when they have stood still for this time.
const LONG_GONE: Duration = Duration::from_secs(600);

/// How a worker takes part in a fleet.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// The worker's id ([`Heartbeats::is_valid_id`]).
    pub worker: String,
    /// Streams that it reads.
    pub streams: Vec<Stream>,
    /// The most shards that it takes, over all streams.
    pub max_shards: Option<usize>,
    /// Time between two beats.
    pub beat: Duration,
    /// A worker whose heartbeat stands still for this time is taken for gone.
    pub expiry: Duration,
    /// When the run began.
    pub started_at: Millis,
}

impl FleetOptions {
    /// Beats every 2 seconds and takes over from a worker that is silent for 10.
    #[must_use]
    pub fn new(worker: &str, streams: &[Stream], started_at: Millis) -> Self {
        Self {
            worker: worker.to_owned(),
            streams: streams.to_vec(),
            max_shards: None,
            beat: Duration::from_secs(2),
            expiry: Duration::from_secs(10),
            started_at,
        }
    }
}

/// A worker's place in the fleet. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    heartbeats: Heartbeats,
    options: FleetOptions,
    own: Mutex<Own>,
    others: watch::Receiver<Arc<Vec<Heartbeat>>>,
    beat_now: Notify,
    stop: CancellationToken,
    beating: Mutex<Option<JoinHandle<()>>>,
}

/// The worker's own heartbeat, and the shards that it knows.
#[derive(Debug)]
struct Own {
    heartbeat: Heartbeat,
    known: Shards,
}

/// What a worker may do with the shards of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Shards that are the worker's to read.
    pub(crate) mine: BTreeSet<ShardId>,
    /// Shards that another living worker still reads or has not committed yet.
    pub(crate) held: BTreeSet<ShardId>,
}

impl Share {
    /// A worker's share of the shards of `stream` among the living. Pure; `shards` are the shards of all streams that
    /// need a reader.
    pub(crate) fn decide(own: &Heartbeat, others: &[Heartbeat], shards: &Shards, stream: &str) -> Self {
        let mut members: Vec<Member> = others.iter().map(Member::of).collect();
        members.push(Member::of(own));
        let mut mine = assigned_to(&own.worker, &members, shards);
        let held = others.iter().filter_map(|other| other.holds.get(stream)).flatten().cloned().collect();
        Self { mine: mine.remove(stream).unwrap_or_default(), held }
    }
}

impl Fleet {
    /// Writes the first heartbeat, lists the others, and goes on beating until [`Fleet::leave`].
    ///
    /// # Errors
    /// When the heartbeat cannot be written or the others cannot be listed.
    pub async fn join(lake: &Lake, options: FleetOptions) -> Result<Self, LakeError> {
        let heartbeats = Heartbeats::of(lake);
        let heartbeat = Heartbeat {
            worker: options.worker.clone(),
            incarnation: Uuid::new_v4(),
            beat: 1,
            started_at: options.started_at,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            streams: options.streams.iter().map(|stream| stream.name().to_owned()).collect(),
            max_shards: options.max_shards,
            holds: BTreeMap::new(),
        };
        let mut membership = Membership::new(&options.worker, options.expiry);
        let began = Instant::now();
        heartbeats.put(&heartbeat).await?;
        membership.observe(heartbeats.list().await?, began.elapsed());
        let others = membership.others(began.elapsed()).into_iter().cloned().collect();
        let (sender, receiver) = watch::channel(Arc::new(others));
        let fleet = Self(Arc::new(Inner {
            heartbeats,
            options,
            own: Mutex::new(Own { heartbeat, known: Shards::new() }),
            others: receiver,
            beat_now: Notify::new(),
            stop: CancellationToken::new(),
            beating: Mutex::new(None),
        }));
        let beating = tokio::spawn(fleet.clone().beat(membership, sender, began));
        *fleet.0.beating.lock().unwrap_or_else(PoisonError::into_inner) = Some(beating);
        Ok(fleet)
    }

    /// Removes the heartbeat, so that the others need not wait for it to expire. Best effort.
    pub async fn leave(self) {
        self.0.stop.cancel();
        let beating = self.0.beating.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(beating) = beating {
            // A beat under way must not write the heartbeat again after its removal.
            let _ = beating.await;
        }
        if let Err(error) = self.0.heartbeats.remove(&self.0.options.worker).await {
            tracing::warn!(error = bluelake_lake::causes(&error), "the heartbeat could not be taken away");
        }
    }

    /// Workers that are alive, this one included.
    #[must_use]
    pub fn living(&self) -> usize {
        self.0.others.borrow().len() + 1
    }

    /// Whether this worker is the first of the living for a piece of work that one of them should do, such as a
    /// partition to compact. For a moment workers may see different workers alive: only efficiency depends on it.
    #[must_use]
    pub fn is_first_for(&self, work: &str) -> bool {
        let others = self.0.others.borrow().clone();
        assignment::is_first_for(&self.0.options.worker, others.iter().map(|other| other.worker.as_str()), work)
    }

    /// Records every shard of a stream that needs a reader, and gives this worker's share of them.
    pub(crate) fn share(&self, stream: Stream, wanting: BTreeSet<ShardId>) -> Share {
        let others = self.0.others.borrow().clone();
        let mut own = self.own();
        own.known.insert(stream.name().to_owned(), wanting);
        Share::decide(&own.heartbeat, &others, &own.known, stream.name())
    }

    /// Publishes which shards of a stream this worker reads or has not committed yet.
    pub(crate) fn hold(&self, stream: Stream, shards: BTreeSet<ShardId>) {
        let before = self.own().heartbeat.holds.insert(stream.name().to_owned(), shards.clone());
        if before.unwrap_or_default() != shards {
            self.0.beat_now.notify_one();
        }
    }

    /// Changes whenever a worker comes, goes, or takes or leaves a shard.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Vec<Heartbeat>>> {
        self.0.others.clone()
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.0.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn beat(self, mut membership: Membership, others: watch::Sender<Arc<Vec<Heartbeat>>>, began: Instant) {
        let mut warned_of_double = false;
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = tokio::time::sleep(self.0.options.beat) => {}
                () = self.0.beat_now.notified() => {}
            }
            let own = {
                let mut own = self.own();
                own.heartbeat.beat += 1;
                own.heartbeat.clone()
            };
            let observed = async {
                // A double is looked for before the own heartbeat is overwritten.
                let found = self.0.heartbeats.list().await?;
                self.0.heartbeats.put(&own).await?;
                Ok::<_, LakeError>(found)
            };
            match observed.await {
                Ok(found) => membership.observe(found, began.elapsed()),
                // If this lasts, the others take over this worker's shards; the fence then decides.
                Err(error) => {
                    tracing::warn!(error = bluelake_lake::causes(&error), "the heartbeat failed; trying again");
                }
            }
            if membership.has_double(&own) && !std::mem::replace(&mut warned_of_double, true) {
                tracing::error!(worker = own.worker, "another process beats under this worker id: give each its own");
            }
            let now = began.elapsed();
            let living: Vec<Heartbeat> = membership.others(now).into_iter().cloned().collect();
            others.send_if_modified(|known| {
                let changed = !same_fleet(known, &living);
                if changed {
                    tracing::info!(workers = ?living.iter().map(|other| &other.worker).collect::<Vec<_>>(), "the fleet has changed");
                    *known = Arc::new(living);
                }
                changed
            });
            for worker in membership.long_gone(LONG_GONE, now) {
                let _ = self.0.heartbeats.remove(&worker).await;
            }
        }
    }
}

/// Whether only the beats have changed.
fn same_fleet(left: &[Heartbeat], right: &[Heartbeat]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| {
            left.worker == right.worker
                && left.streams == right.streams
                && left.max_shards == right.max_shards
                && left.holds == right.holds
        })
}
