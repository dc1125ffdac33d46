use std::collections::BTreeSet;
use std::sync::Arc;

use irsa_core::issuer::TrailingSlash;
use irsa_core::kid::Kid;
use irsa_core::observation::{Disk, Loaded, Published, Server, Sink};
use irsa_core::publication::Stored;
use irsa_issuer::state::StateError;
use irsa_issuer::state::dir::StateDirectory;
use tokio::sync::Notify;

use super::*;
use crate::exit::Exit;

/// A cluster whose key is not published yet, and a run that fails at one point.
struct Fails {
    before_the_deed: bool,
    deeds: usize,
    /// The one place of the documents.
    sink: &'static str,
    /// A deed that does not end, and who is told that it was begun.
    hangs: Option<Arc<Notify>>,
    /// The key ring that somebody else changes before the second deed, while the first one succeeds.
    changed: Option<std::path::PathBuf>,
}

fn kid() -> Kid {
    Kid::parse(&("B".repeat(42) + "A")).unwrap()
}

impl World for Fails {
    async fn observe(&mut self) -> Result<Observation, Failure> {
        let keys = BTreeSet::from([kid()]);
        let server = Server {
            name: "https://10.0.0.1:6443".into(),
            loaded: Loaded::Serving {
                trusted: keys.clone(),
                signing: kid(),
                refuses: BTreeSet::new(),
            },
            disk: Some(Disk::new(keys, kid())),
            stale: None,
        };
        Ok(Observation {
            sinks: vec![Sink {
                name: self.sink.into(),
                published: Published::default(),
            }],
            servers: vec![server],
            ..Observation::default()
        })
    }

    fn new_key(&mut self) -> Result<PrivateKeyPem, Failure> {
        Err(Failure::failed("no key is made here", "none"))
    }

    async fn keep(&mut self, _: &PrivateKeyPem) -> Result<(), Failure> {
        Ok(())
    }

    async fn ready(&mut self, _: &Action) -> Result<(), Failure> {
        if let Some(ring) = self.changed.as_ref().filter(|_| self.deeds > 0) {
            let text = std::fs::read_to_string(ring).unwrap();
            std::fs::write(ring, text + "\n").unwrap();
        }
        if self.before_the_deed || self.changed.is_some() && self.deeds > 0 {
            return Err(Failure::usage("there are no credentials", "none"));
        }
        Ok(())
    }

    async fn apply(&mut self, _: &Action) -> Result<(), Failure> {
        self.deeds += 1;
        if let Some(begun) = &self.hangs {
            begun.notify_one();
            std::future::pending::<()>().await;
        }
        if self.changed.is_some() {
            return Ok(());
        }
        Err(Failure::failed("the disk is full", "none"))
    }
}

fn course() -> Course {
    let issuer = IssuerUrl::parse("https://h/a", TrailingSlash::Refuse).unwrap();
    Course {
        issuer,
        policy: RotationPolicy::default(),
        holder: "host:1".into(),
        lease: Duration::from_mins(30),
        dry_run: false,
        at: None,
    }
}

/// How often a deed was begun, and the ring that a run leaves.
fn run(before_the_deed: bool) -> (usize, KeyRing) {
    let home = tempfile::tempdir().unwrap();
    let store = StateDirectory::lock(&home.path().join("ring")).unwrap();
    let course = course();
    let mut world = Fails {
        before_the_deed,
        deeds: 0,
        sink: "dir:www",
        hangs: None,
        changed: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let ring = runtime.block_on(async {
        let came = drive(&store, &mut world, &course, |_, _, _| Ok(None)).await;
        let Failure::Failed(failed) = came.unwrap_err() else {
            panic!("it has something to tell");
        };
        assert_eq!(failed.exit(), Exit::Failed, "a ring was begun by then");
        let stored = store.load().await.unwrap().unwrap();
        KeyRing::parse(&stored.bytes, &course.issuer).unwrap()
    });
    (world.deeds, ring)
}

#[test]
fn what_cannot_be_begun_is_neither_told_nor_waited_for() {
    let (deeds, ring) = run(true);
    let told = ring.history().iter().map(|event| event.what);
    assert_eq!(told.collect::<Vec<_>>(), [What::Begun]);
    assert_eq!((deeds, ring.lease()), (0, None));
}

#[test]
fn what_was_begun_is_told_and_nobody_waits_for_it() {
    let (deeds, ring) = run(false);
    let told = ring.history().iter().map(|event| event.what);
    assert_eq!(told.collect::<Vec<_>>(), [What::Begun, What::Published]);
    assert_eq!((deeds, ring.lease()), (1, None));
}

#[test]
fn what_failed_is_told_although_the_lease_cannot_be_given_back() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ring");
    let store = StateDirectory::lock(&path).unwrap();
    let mut world = Fails {
        before_the_deed: false,
        deeds: 0,
        sink: "dir:www",
        hangs: None,
        changed: Some(path.join("ring.json")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let course = course();
    let came = runtime.block_on(drive(&store, &mut world, &course, |_, _, _| Ok(None)));
    let failure = came.err().unwrap();
    assert_eq!(failure.message(), "there are no credentials");
}

/// A store that others may use at the same time, as a Secret or a bucket.
struct Shared(StateDirectory);

impl RingStore for Shared {
    async fn load(&self) -> Result<Option<Stored>, StateError> {
        self.0.load().await
    }

    async fn save(&self, bytes: &[u8], expected: &Expected) -> Result<String, StateError> {
        self.0.save(bytes, expected).await
    }

    fn is_exclusive(&self) -> bool {
        false
    }
}

/// A run is told to end in the middle of its deed: until when others wait, and what the ring says of it.
async fn told_to_end(sink: &'static str) -> (Option<Timestamp>, Option<Timestamp>) {
    let home = tempfile::tempdir().unwrap();
    let store = Shared(StateDirectory::lock(&home.path().join("ring")).unwrap());
    let (begun, course) = (Arc::new(Notify::new()), course());
    let mut world = Fails {
        before_the_deed: false,
        deeds: 0,
        sink,
        hangs: Some(Arc::clone(&begun)),
        changed: None,
    };
    tokio::select! {
        _ = drive(&store, &mut world, &course, |_, _, _| Ok(None)) => panic!("its deed does not end"),
        () = begun.notified() => {}
    }
    let until = end(&store, &course).await.unwrap();
    let stored = store.load().await.unwrap().unwrap();
    let ring = KeyRing::parse(&stored.bytes, &course.issuer).unwrap();
    (until, ring.lease().map(|lease| lease.until))
}

#[tokio::test]
async fn a_run_that_is_told_to_end_keeps_nobody_waiting_but_for_a_write_that_may_arrive() {
    assert_eq!(told_to_end("dir:www").await, (None, None));
    let (until, lease) = told_to_end("s3://bucket").await;
    assert!(until.is_some() && until == lease);
}
