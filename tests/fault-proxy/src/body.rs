//! Bodies of answers, whole or with a fault in the middle.

use std::{convert::Infallible, io, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};

use crate::line::ResetSwitch;

/// A body on its way to the client.
pub(crate) type Outgoing = UnsyncBoxBody<Bytes, io::Error>;

/// Pauses of a body that drips.
const DRIP: Duration = Duration::from_millis(50);

fn never(error: Infallible) -> io::Error {
    match error {}
}

pub(crate) fn whole(bytes: Bytes) -> Outgoing {
    Full::new(bytes).map_err(never).boxed_unsync()
}

pub(crate) fn passed_on(body: Incoming) -> Outgoing {
    body.map_err(io::Error::other).boxed_unsync()
}

/// A body at `bytes_per_second`.
pub(crate) fn dripping(bytes: Bytes, bytes_per_second: usize) -> Outgoing {
    let drop = (bytes_per_second / 20).max(1);
    let drops = stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(DRIP).await;
        let next = rest.split_to(drop.min(rest.len()));
        Some((Ok(Frame::data(next)), rest))
    });
    StreamBody::new(drops).boxed_unsync()
}

/// A body of N bytes, then the end of the connection; with a switch, by a reset.
pub(crate) fn broken_off(bytes: Bytes, after: usize, reset: Option<ResetSwitch>) -> Outgoing {
    let first = stream::iter([Ok(Frame::data(bytes.slice(..after.min(bytes.len()))))]);
    let end = stream::once(async move {
        // The bytes before must be on their way first.
        tokio::time::sleep(DRIP).await;
        if let Some(reset) = reset {
            reset.throw();
        }
        Err(io::Error::other("broken off by a rule"))
    });
    StreamBody::new(first.chain(end)).boxed_unsync()
}
