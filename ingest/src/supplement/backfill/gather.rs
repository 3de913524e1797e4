//! Gathers decoded chunks to batches, one ahead of the batch that is being committed: decoding goes on meanwhile.

use tokio::sync::mpsc;

use super::{
    object::{Fault, Message},
    unseen::Pending,
};

/// The most chunks of one commit: its document names the part of each object.
const MAX_CHUNKS: usize = 1_000;

/// What the committer gets.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// It may hold nothing.
    pub(crate) batch: Pending,
    /// What came after it.
    pub(crate) fault: Option<Fault>,
}

/// A channel for one batch: with the one that is gathered and the one that is committed at most two are held.
pub(crate) fn channel() -> (mpsc::Sender<Gathered>, mpsc::Receiver<Gathered>) {
    mpsc::channel(1)
}

/// Gathers batches of about `bytes` until the messages end.
pub(crate) async fn gather(mut messages: mpsc::Receiver<Message>, batches: mpsc::Sender<Gathered>, bytes: usize) {
    // Nothing is gathered as long as a batch waits. A receiver that is gone has an error of its own.
    while let Ok(place) = batches.reserve().await {
        let (mut batch, mut fault) = (Pending::default(), None);
        while let Some(message) = messages.recv().await {
            match message {
                Message::Chunk(chunk) => batch.add(*chunk),
                Message::Fault(found) => fault = Some(found),
            }
            if fault.is_some() || batch.is_due(bytes, MAX_CHUNKS) {
                break;
            }
        }
        if batch.is_empty() && fault.is_none() {
            return;
        }
        place.send(Gathered { batch, fault });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use bluelake_lake::ArchivedObject;
    use bluelake_schemas::{Contract, Micros, Millis, Stream};
    use bluelake_transform::{Decoder, RecordPosition};

    use super::*;
    use crate::supplement::backfill::object::Chunk;

    fn chunk(number: u64) -> Message {
        let decoder = Arc::new(Decoder::new(&Contract::embedded().unwrap(), Stream::UserEvents).unwrap());
        let mut batch = decoder.batch();
        let arrived_at = Micros::new(1_790_000_000_000_000);
        let counts = batch.push(
            &RecordPosition { shard: "s", sequence: "1", arrived_at, hash_keys: None },
            b"not json",
            &mut |_, _| false,
        );
        Message::Chunk(Box::new(Chunk {
            object: Arc::new(ArchivedObject::new("a", "1", Millis::new(0))),
            from: number,
            to: number + 1,
            ended: false,
            counts,
            rows: batch.finish().unwrap(),
            ids: Vec::new(),
            room: None,
        }))
    }

    /// The first byte of each chunk of a batch, and the fault after it.
    fn shown(Gathered { batch, fault }: Gathered) -> Vec<String> {
        let fault = fault.map(|fault| match fault {
            Fault::Damaged { offset, .. } => format!("damaged at {offset}"),
            Fault::Failed(error) => format!("failed: {error}"),
        });
        let batch = (!batch.is_empty()).then(|| format!("{:?}", batch.starts()));
        batch.into_iter().chain(fault).collect()
    }

    fn damaged(offset: u64) -> Message {
        Message::Fault(Fault::Damaged { object: "a".to_owned(), offset, reason: String::new() })
    }

    #[tokio::test]
    async fn batches_are_gathered_one_ahead_and_in_order() {
        let (sender, messages) = mpsc::channel(1);
        let (batches, mut gathered) = channel();
        // Each chunk is more than a byte: a batch of its own.
        let gathering = tokio::spawn(gather(messages, batches, 1));
        sender.send(chunk(0)).await.unwrap();
        sender.send(chunk(1)).await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(sender.try_send(chunk(2)).is_err(), "as long as a batch waits no further chunk is taken");
        assert_eq!(shown(gathered.recv().await.unwrap()), ["[0]"]);
        sender.send(chunk(2)).await.unwrap();
        let rest = tokio::spawn(async move {
            sender.send(damaged(3)).await.unwrap();
            sender.send(chunk(4)).await.unwrap();
        });
        let mut found = Vec::new();
        while let Some(next) = gathered.recv().await {
            found.extend(shown(next));
        }
        assert_eq!(found, ["[1]", "[2]", "damaged at 3", "[4]"]);
        gathering.await.unwrap();
        rest.await.unwrap();
    }

    #[tokio::test]
    async fn what_was_gathered_before_damage_comes_first() {
        let (sender, messages) = mpsc::channel(8);
        let (batches, mut gathered) = channel();
        for message in [chunk(0), chunk(1), damaged(2), chunk(3)] {
            sender.send(message).await.unwrap();
        }
        drop(sender);
        tokio::spawn(gather(messages, batches, usize::MAX));
        let mut found = Vec::new();
        while let Some(next) = gathered.recv().await {
            found.extend(shown(next));
        }
        assert_eq!(found, ["[0, 1]", "damaged at 2", "[3]"]);
    }
}
