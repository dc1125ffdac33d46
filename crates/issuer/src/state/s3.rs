//! An object in a bucket: written over the version that it was made from (`If-Match`), and no private key in it.
//!
//! An S3 tag is a function of the content, so `A`, `B`, `A` bears the first tag again, and a stalled write over `A` would
//! land. A key ring never repeats itself: each save counts the generation up.

use irsa_core::change::Expected;
use irsa_core::publication::Stored;

use super::{RingStore, StateError};
use crate::publish::s3::S3Store;
use crate::publish::{PublishError, Publisher as _};

/// The object's name below its place.
const RING: &str = "ring.json";

/// A place in a bucket that no relying party reads.
#[derive(Debug)]
pub struct S3Ring(S3Store);

impl S3Ring {
    /// The record at a place of its own.
    pub fn new(store: S3Store) -> Self {
        Self(store)
    }

    fn conflict(&self) -> StateError {
        StateError::Conflict(self.0.location().to_string())
    }
}

impl RingStore for S3Ring {
    async fn load(&self) -> Result<Option<Stored>, StateError> {
        Ok(self.0.get(RING).await?)
    }

    async fn save(&self, bytes: &[u8], expected: &Expected) -> Result<String, StateError> {
        match self.0.put_if(RING, bytes, expected).await {
            Ok(()) => {}
            Err(PublishError::Conflict(_)) => return Err(self.conflict()),
            Err(error) => return Err(error.into()),
        }
        // Its tag is in no answer that we see; if another run was faster by now, the tag is not ours.
        match self.0.get(RING).await? {
            Some(stored) if stored.bytes == bytes => Ok(stored.tag),
            _ => Err(self.conflict()),
        }
    }

    fn is_exclusive(&self) -> bool {
        false
    }
}
