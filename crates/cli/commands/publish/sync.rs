//! One issuer: observed, decided, written, read back through its public URL.

use irsa_core::change::Change;
use irsa_core::documents::{DocumentName, IssuerDocuments};
use irsa_core::explain::Explain;
use irsa_core::publication::{self, Observed, PublicationError, Stored};
use irsa_issuer::publish::{self, PublishError, Publisher};
use irsa_issuer::relying_party::{FetchError, RelyingParty};
use tokio::time::sleep;

use super::result::Published;
use crate::aws::PAUSES;
use crate::report;

/// What shall happen to one issuer.
#[derive(Debug)]
pub struct Job<'a> {
    /// What shall stand there.
    pub documents: &'a IssuerDocuments,
    /// Where, in the user's words.
    pub to: String,
    /// Keys to be dropped.
    pub withdraw: &'a [String],
    /// The issuer URL is answered by the store itself: what is read there is what stands in the store.
    pub direct: bool,
    /// Calls to the store name the account that it must belong to.
    pub owned: bool,
    /// Reads the documents through the issuer URL.
    pub reader: Option<RelyingParty>,
    /// Reading was allowed only just now: it takes some seconds to work everywhere.
    pub patient: bool,
}

/// Why an issuer is not published.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The store.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The decision.
    #[error(transparent)]
    Decide(#[from] PublicationError),
    /// Written, but not to be had through the issuer URL.
    #[error("the documents are in {to}, but relying parties cannot fetch them")]
    Unreadable {
        /// Where they are.
        to: String,
        /// Why.
        source: FetchError,
    },
    /// Written, but the issuer URL shows something else.
    #[error("{url} shows other bytes than were written to {to}")]
    Differs {
        /// What was fetched.
        url: String,
        /// Where the right ones are.
        to: String,
    },
    /// Some of many.
    #[error("{failed} of {total} issuers were not published")]
    Some {
        /// How many.
        failed: usize,
        /// Of how many.
        total: usize,
        /// The first that needs a person, or the first.
        source: Box<SyncError>,
    },
}

impl SyncError {
    /// The error of a run: of those that need a person before those that go away.
    pub fn worst(mut errors: Vec<Self>, total: usize) -> Option<Self> {
        let failed = errors.len();
        let worst = errors.iter().position(|error| !error.retryable());
        let first = (failed > 0).then(|| errors.swap_remove(worst.unwrap_or(0)))?;
        Some(if total == 1 {
            first
        } else {
            let source = Box::new(first);
            Self::Some {
                failed,
                total,
                source,
            }
        })
    }
}

impl Explain for SyncError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Publish(error) => return error.help(),
            Self::Decide(error) => return error.help(),
            Self::Unreadable { source, .. } => match source {
                FetchError::Status { status, .. } if status.as_u16() == 403 => {
                    "nothing depends on them yet; let the bucket be read: --access policy; if it says that it is, Block \
                     Public Access of the account forbids it; or put a server or CDN in front. --no-read-back skips this \
                     check"
                        .into()
                }
                other => format!(
                    "nothing depends on them yet; {}. --no-read-back skips this check",
                    other.help().unwrap_or_default()
                ),
            },
            Self::Differs { .. } => "a cache may still hold the old ones: run it again when its time is over; if it stays so, \
                the issuer URL leads to another place"
                .into(),
            Self::Some { source, .. } => return source.help(),
        })
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Publish(error) => error.retryable(),
            Self::Decide(error) => error.retryable(),
            Self::Unreadable { source, .. } => source.retryable(),
            Self::Differs { .. } => true,
            Self::Some { source, .. } => source.retryable(),
        }
    }
}

impl Job<'_> {
    /// What would be done.
    pub async fn show(&self, publisher: &impl Publisher) -> Result<Published, SyncError> {
        let changes = self.decide(publisher).await?;
        Ok(self.published(&changes, false))
    }

    /// What would be done in a store that does not exist yet.
    pub fn show_in_nothing(&self) -> Result<Published, SyncError> {
        let changes = publication::plan(self.documents, &Observed::default(), self.withdraw)?;
        Ok(self.published(&changes, false))
    }

    /// Publishes. When the store itself answers the issuer URL and shows what is wanted, that is all: two requests.
    pub async fn publish(&self, publisher: &impl Publisher) -> Result<Published, SyncError> {
        if self.direct && self.stands(publisher).await? {
            self.warn_of_unpublished(&self.as_wanted());
            return Ok(self.read_back(&[]));
        }
        let changes = self.decide(publisher).await?;
        publish::apply(publisher, &changes).await?;
        if self.reader.is_none() {
            return Ok(self.published(&changes, true));
        }
        self.await_seen().await?;
        Ok(self.read_back(&changes))
    }

    /// Whether everything is in order, in two requests. Of a bucket that must belong to an account the discovery document
    /// is asked for by name of that account, so that a bucket in other hands is not taken for ours because it shows the
    /// same documents; the JWKS, which is what changes, is fetched as relying parties do.
    async fn stands(&self, publisher: &impl Publisher) -> Result<bool, SyncError> {
        if !self.owned {
            return Ok(self.is_seen().await.is_ok());
        }
        if self.reader.is_none() || self.is_seen_as(&[DocumentName::Jwks]).await.is_err() {
            return Ok(false);
        }
        let path = self.documents.path(DocumentName::Discovery);
        let stored = publisher.get(path).await?;
        Ok(stored
            .is_some_and(|stored| stored.bytes == self.documents.bytes(DocumentName::Discovery)))
    }

    /// Looks until relying parties see what is wanted; once, unless there is reason to be patient.
    pub async fn await_seen(&self) -> Result<(), SyncError> {
        let mut seen = self.is_seen().await;
        for pause in PAUSES {
            if seen.is_ok() || !self.patient {
                break;
            }
            sleep(pause).await;
            seen = self.is_seen().await;
        }
        seen
    }

    fn published(&self, changes: &[Change], written: bool) -> Published {
        let issuer = self.documents.issuer().to_string();
        Published::new(issuer, self.to.clone(), changes, written)
    }

    fn read_back(&self, changes: &[Change]) -> Published {
        let mut published = self.published(changes, true);
        published.read_back = true;
        published
    }

    async fn decide(&self, publisher: &impl Publisher) -> Result<Vec<Change>, SyncError> {
        let observed = publish::observe(publisher, self.documents).await?;
        self.warn_of_unpublished(&observed);
        self.warn_of_what_stays(&observed);
        Ok(publication::plan(self.documents, &observed, self.withdraw)?)
    }

    /// Whether relying parties see what is wanted, byte for byte.
    pub async fn is_seen(&self) -> Result<(), SyncError> {
        self.is_seen_as(&DocumentName::ALL).await
    }

    async fn is_seen_as(&self, names: &[DocumentName]) -> Result<(), SyncError> {
        let Some(reader) = &self.reader else {
            return Ok(());
        };
        let mut reader = reader.clone();
        for name in names.iter().copied() {
            let url = match name {
                DocumentName::Jwks => self.documents.jwks_uri().as_str().to_owned(),
                DocumentName::Discovery => self.documents.issuer().discovery_url(),
            };
            let to = self.to.clone();
            match reader.get(&url).await {
                Ok(bytes) if bytes == self.documents.bytes(name) => {}
                Ok(_) => return Err(SyncError::Differs { url, to }),
                Err(source) => return Err(SyncError::Unreadable { to, source }),
            }
        }
        Ok(())
    }

    /// A withdrawal that was done before is no error, and a mistyped one should be seen.
    fn warn_of_unpublished(&self, observed: &Observed) {
        for kid in publication::not_published(observed, self.withdraw) {
            report::warning(&format!(
                "key \"{kid}\" is to be withdrawn and is not published"
            ));
        }
    }

    /// Keys that are added or withdrawn later are not, where nobody writes any more.
    fn warn_of_what_stays(&self, observed: &Observed) {
        if let Some(path) = publication::left_behind(self.documents, observed) {
            report::warning(&format!(
                "the JWKS of {} moves: {path} in {} stays as it is for whoever still holds the old discovery document; \
                 remove it when nobody may hold that any more (Cache-Control)",
                self.documents.issuer(),
                self.to
            ));
        }
    }

    /// The store as it is when the documents are as they shall be.
    pub fn as_wanted(&self) -> Observed {
        let stored = |name| {
            Some(Stored {
                bytes: self.documents.bytes(name).to_vec(),
                tag: String::new(),
            })
        };
        Observed {
            discovery: stored(DocumentName::Discovery),
            jwks: stored(DocumentName::Jwks),
            other_jwks: None,
        }
    }
}
