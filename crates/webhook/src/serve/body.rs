//! A request's body, paid for as it comes.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::room::{GaveWay, Seat};

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// Larger than [`MAX_BODY`].
    TooLarge,
    /// Not here in time.
    TooSlow,
    /// The connection or its framing broke.
    Broken,
    /// Others needed the room.
    GaveWay,
}

impl From<GaveWay> for BodyFault {
    fn from(_: GaveWay) -> Self {
        Self::GaveWay
    }
}

/// Reads a body whole, within a bound of time and of memory.
pub(super) async fn read(body: Incoming, seat: &mut Seat) -> Result<Vec<u8>, BodyFault> {
    let announced = body.size_hint();
    if announced.lower() > MAX_BODY as u64 {
        return Err(BodyFault::TooLarge);
    }
    let at_most = announced.upper().map_or(MAX_BODY, |bytes| {
        usize::try_from(bytes).map_or(MAX_BODY, |bytes| bytes.min(MAX_BODY))
    });
    let bytes = timeout(READ_WITHIN, collect(body, at_most, seat)).await;
    let bytes = bytes.map_err(|_| BodyFault::TooSlow)??;
    seat.received();
    Ok(bytes)
}

/// Frames are copied out: a frame of one byte may keep kilobytes alive.
async fn collect(
    mut body: Incoming,
    at_most: usize,
    seat: &mut Seat,
) -> Result<Vec<u8>, BodyFault> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame.map_err(|_| BodyFault::Broken)?.into_data() else {
            continue;
        };
        let length = bytes.len() + part.len();
        if length > at_most {
            return Err(BodyFault::TooLarge);
        }
        if length > bytes.capacity() {
            let capacity = (bytes.capacity() * 2).clamp(length, at_most.max(length));
            seat.grow(capacity - bytes.capacity()).await?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// The API server takes objects of 1.5 MB from etcd and requests of 3 MB from clients.
pub(super) const MAX_BODY: usize = 8 << 20;
/// The API server waits no longer for an answer than 30 s, and 10 s unless told otherwise.
pub(super) const READ_WITHIN: Duration = Duration::from_secs(10);
