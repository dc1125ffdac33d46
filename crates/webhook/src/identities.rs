//! What is known about a pod's service account: from the watch, and from the API server when the watch may be late.
//!
//! **Guarantee.** With a grace period, a pod whose service account was annotated before the pod was created gets its
//! role, however late the watch is: an account that the watch has not seen, or has seen without a role, is read past
//! every cache after the request came in. **Caveat.** A role that was *changed* a moment ago may be the old one, and
//! an account without role is read only while few others are: the watch answers beyond `CONFIRMATIONS`. **Fairness.** Both
//! kinds of reads are shared among the addresses that ask: one that asks for accounts without end keeps no other from
//! reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use irsa_endpoint::Peer;
use kube::Client;
use tokio::time::{Instant, sleep, timeout_at};

use crate::accounts::{Accounts, Entry};
use crate::association::Associations;
use crate::decision::Known;
use crate::identity::Identity;
use crate::live;
use crate::mapping::Mappings;
use crate::metrics::Metrics;
use crate::places::Places;

/// Everything that is known about service accounts, and how to learn more.
#[derive(Debug)]
pub struct Identities {
    /// What the watch has seen.
    pub accounts: Accounts,
    /// The ConfigMap, when it is watched.
    pub mappings: ArcSwap<Mappings>,
    /// The container credentials file, when there is one.
    pub associations: ArcSwap<Associations>,
    /// How each source is.
    pub sources: Sources,
    live: Live,
}

/// Whether each source has been read, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Sources {
    /// The watch of service accounts.
    pub accounts: Source,
    /// The watch of the ConfigMap.
    pub config_map: Source,
    /// The container credentials file.
    pub file: Source,
}

/// One source.
#[derive(Debug, Default)]
pub struct Source {
    expected: AtomicBool,
    synced: AtomicBool,
    problem: ArcSwapOption<String>,
}

/// How to read past the watch.
struct Live {
    client: Option<Client>,
    prefix: String,
    grace: Duration,
    misses: Arc<Places>,
    confirmations: Arc<Places>,
    metrics: Metrics,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// What was found out about a service account.
#[derive(Debug, Clone)]
pub enum Found {
    /// All that there is to know; no identity when the account does not exist.
    Known {
        /// Whether the container credentials file names it.
        associated: bool,
        /// Its annotations.
        identity: Option<Arc<Identity>>,
        /// The ConfigMap as it was.
        mappings: Arc<Mappings>,
    },
    /// Nobody could say, for this reason.
    Unknown(String),
}

impl Identities {
    /// Without a client, and with a grace period of zero, only the watch is asked.
    pub fn new(client: Option<Client>, prefix: String, grace: Duration, metrics: Metrics) -> Self {
        Self {
            accounts: Accounts::default(),
            mappings: ArcSwap::default(),
            associations: ArcSwap::default(),
            sources: Sources::default(),
            live: Live {
                client: client.filter(|_| !grace.is_zero()),
                prefix,
                grace,
                misses: Places::new(MISSES, MISSES / 2),
                confirmations: Places::new(CONFIRMATIONS, CONFIRMATIONS / 2),
                metrics,
            },
        }
    }

    /// Finds out about a service account, within the grace period, for whoever asks from this address.
    pub async fn find(&self, namespace: &str, name: &str, peer: Peer) -> Found {
        let associated = self.associations.load().contains(namespace, name);
        let mappings = self.mappings.load_full();
        let mapped = mappings
            .find(namespace, name)
            .is_some_and(|entry| !entry.role.is_empty());
        let known = |identity| Found::Known {
            associated,
            identity,
            mappings: Arc::clone(&mappings),
        };
        match self.accounts.find(namespace, name) {
            Entry::Annotated(identity) if associated || identity.role.is_some() => {
                known(Some(identity))
            }
            found @ (Entry::Annotated(_) | Entry::Bare) => {
                let identity = match found {
                    Entry::Annotated(identity) => identity,
                    _ => Arc::default(),
                };
                let fresh = if associated || mapped {
                    None
                } else {
                    self.live.confirm(namespace, name, peer).await
                };
                known(Some(fresh.unwrap_or(identity)))
            }
            Entry::Missing => match self.live.look(&self.accounts, namespace, name, peer).await {
                Ok(identity) => known(identity),
                Err(_) if associated || mapped => known(None),
                Err(why) => Found::Unknown(why),
            },
        }
    }

    /// Whether every source that is in use has been read once.
    pub fn is_synced(&self) -> bool {
        self.all().iter().all(|(_, source)| source.is_synced())
    }

    /// What is wrong or not yet read, in words.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, source) in self.all() {
            if let Some(problem) = source.problem.load_full() {
                problems.push(format!("{name}: {problem}"));
            } else if !source.is_synced() {
                problems.push(format!("{name}: not read yet"));
            }
        }
        problems
    }

    /// The sources with their names.
    pub fn all(&self) -> [(&'static str, &Source); 3] {
        [
            ("service accounts", &self.sources.accounts),
            ("config map", &self.sources.config_map),
            ("container credentials file", &self.sources.file),
        ]
    }
}

impl Found {
    /// As the decision takes it.
    pub fn known<'a>(&'a self, namespace: &str, name: &str) -> Result<Known<'a>, &'a str> {
        match self {
            Self::Known {
                associated,
                identity,
                mappings,
            } => Ok(Known {
                associated: *associated,
                identity: identity.as_deref(),
                mapping: mappings.find(namespace, name),
                exact_mapping: mappings.exact(namespace, name),
            }),
            Self::Unknown(why) => Err(why),
        }
    }
}

impl Source {
    /// The source is in use: readiness waits for it.
    pub fn expect(&self) {
        self.expected.store(true, Ordering::Relaxed);
    }

    /// It was read whole.
    pub fn synced(&self) {
        self.synced.store(true, Ordering::Relaxed);
        self.problem.store(None);
    }

    /// It works again.
    pub fn well(&self) {
        if self.problem.load().is_some() {
            self.problem.store(None);
        }
    }

    /// It could not be read; what was read before stays.
    pub fn failed(&self, problem: String) {
        self.problem.store(Some(Arc::new(problem)));
    }

    /// Whether it was read whole once, or is not in use.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Relaxed) || !self.expected.load(Ordering::Relaxed)
    }

    /// Whether it is in use.
    pub fn is_expected(&self) -> bool {
        self.expected.load(Ordering::Relaxed)
    }
}

impl Live {
    /// Reads an account that the watch knows without a role, unless too many others are being read. None when the
    /// watch's answer stands.
    async fn confirm(&self, namespace: &str, name: &str, peer: Peer) -> Option<Arc<Identity>> {
        let client = self.client.as_ref()?;
        let Some(_place) = self.confirmations.try_take(peer) else {
            self.metrics.live_read("skipped");
            return None;
        };
        let deadline = Instant::now() + self.grace.min(CONFIRM_WITHIN);
        let read = live::read(client, namespace, name, &self.prefix);
        let Ok(Ok(found)) = timeout_at(deadline, read).await else {
            self.metrics.live_read("failed");
            return None;
        };
        self.metrics.live_read("confirmed");
        // A deleted account's pod is refused by the API server itself.
        found.map(Arc::new)
    }

    /// Reads an account that the watch has not seen, again and again until the grace period is over, or until the watch
    /// brings it with something to say.
    async fn look(
        &self,
        accounts: &Accounts,
        namespace: &str,
        name: &str,
        peer: Peer,
    ) -> Result<Option<Arc<Identity>>, String> {
        let Some(client) = &self.client else {
            return Err("the watch has not seen it, and no grace period is set".into());
        };
        let reading = self.read(client, accounts, namespace, name, peer);
        tokio::select! {
            biased;
            identity = seen(accounts, namespace, name) => {
                self.metrics.live_read("overtaken");
                Ok(Some(identity))
            }
            read = reading => read,
        }
    }

    async fn read(
        &self,
        client: &Client,
        accounts: &Accounts,
        namespace: &str,
        name: &str,
        peer: Peer,
    ) -> Result<Option<Arc<Identity>>, String> {
        let deadline = Instant::now() + self.grace;
        let mut problem = "no answer within the grace period".to_owned();
        let mut pause = FIRST_PAUSE;
        loop {
            let read = async {
                let _place = self.misses.take(peer).await;
                live::read(client, namespace, name, &self.prefix).await
            };
            let read = timeout_at(deadline, read).await;
            if let Ok(Ok(found)) = read {
                self.metrics
                    .live_read(if found.is_some() { "found" } else { "missing" });
                return Ok(found.map(Arc::new));
            }
            // Bare by the watch: annotated a moment later or not, nobody else can say now.
            if let Entry::Bare = accounts.find(namespace, name) {
                self.metrics.live_read("failed");
                return Ok(Some(Arc::default()));
            }
            if let Ok(Err(error)) = &read {
                problem = live::reason(error);
            }
            if read.is_err() || Instant::now() + pause >= deadline {
                break;
            }
            sleep(pause).await;
            pause *= 2;
        }
        self.metrics.live_read("failed");
        Err(problem)
    }
}

/// Waits, for ever if need be, until the watch brings an account that has annotations.
async fn seen(accounts: &Accounts, namespace: &str, name: &str) -> Arc<Identity> {
    let mut pause = FIRST_PAUSE;
    loop {
        if let Entry::Annotated(identity) = accounts.find(namespace, name) {
            return identity;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_AGAIN);
    }
}

/// Reads of unseen accounts at once, half of them for one address; others wait within their grace period.
const MISSES: usize = 32;
/// Reads of accounts without role at once, half of them for one address; others take the watch's answer.
const CONFIRMATIONS: usize = 32;
/// An account that the watch knows holds its pod up no longer than this.
const CONFIRM_WITHIN: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(25);
/// How often at least whoever waits looks at what the watch has brought.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
