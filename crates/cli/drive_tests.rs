use std::collections::BTreeSet;

use irsa_core::issuer::TrailingSlash;
use irsa_core::kid::Kid;
use irsa_core::observation::{Disk, Loaded, Published, Server, Sink};
use irsa_issuer::state::dir::StateDirectory;

use super::*;

/// A cluster whose key is not published yet, and a run that fails at one point.
struct Fails {
    before_the_deed: bool,
    deeds: usize,
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
                name: "dir:www".into(),
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
            return Err(Failure::failed("the public half is nowhere", "none"));
        }
        Ok(())
    }

    async fn apply(&mut self, _: &Action) -> Result<(), Failure> {
        self.deeds += 1;
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
        changed: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let ring = runtime.block_on(async {
        let came = drive(&store, &mut world, &course, |_, _, _| Ok(None)).await;
        assert!(came.is_err());
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
        changed: Some(path.join("ring.json")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let course = course();
    let came = runtime.block_on(drive(&store, &mut world, &course, |_, _, _| Ok(None)));
    let failure = came.err().unwrap();
    assert_eq!(failure.message(), "the public half is nowhere");
}
