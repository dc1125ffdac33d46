//! `irsa rotate` itself.

use irsa_core::issuer::IssuerUrl;
use irsa_core::kid::Kid;
use irsa_core::observation::Observation;
use irsa_core::policy::RotationPolicy;
use irsa_core::ring::KeyRing;
use irsa_issuer::sign::random_uuid;
use irsa_issuer::state::RingStore;
use jiff::Timestamp;

use super::args::{Args, NodeArgs, kind};
use super::compromise::{self, Breaks};
use super::gates::{Cluster, Known};
use super::node::Node;
use super::outcome::Outcome;
use super::places::{self, Buckets, KeysPlace, Use};
use super::servers;
use super::settled::{kept_no_longer_than_waited, lease_outlives, settled};
use super::sinks::Sinks;
use super::world::Outside;
use crate::args::DocumentArgs;
use crate::commands::apiserver::rollout::{Held, signalled, unless_told_again};
use crate::commands::apiserver::servers::ClusterArgs;
use crate::commands::apiserver::wanted::WantedArgs;
use crate::commands::webhook;
use crate::context::Context;
use crate::drive::{self, Course};
use crate::exit::Exit;
use crate::report::{self, Failure};

/// Advances a rotation as far as it is safe.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    context.block_on(async {
        let (dry_run, check) = (args.dry_run || args.check, args.check);
        let (state, keys) = settled(&args)?;
        let (issuer, _) = args.document.require(context)?;
        let asked = Asked::of(&args);
        let policy = args.policy.policy()?;
        kept_no_longer_than_waited(&args, &policy)?;
        let course = Course {
            issuer,
            policy,
            holder: holder()?,
            lease: args.lease,
            dry_run,
            at: args.at,
        };
        let yes = args.yes || dry_run;
        let (aws, bucket, ca_file) = (
            args.aws.clone(),
            args.bucket.clone(),
            args.fetch.ca_file.clone(),
        );
        let mut buckets = Buckets::new(&aws, &bucket, ca_file.as_deref());
        let to = if dry_run { Use::Look } else { Use::Save };
        let (cluster, root) = (args.cluster.clone(), args.node.root.clone());
        let config = async || cluster.config(&root).await;
        let store = places::open(&state, config, &mut buckets, to).await?;
        let mut world = outside(args, &keys, &config().await?, &mut buckets, context).await?;
        lease_outlives(&buckets, course.lease)?;
        world.sinks.unless_moved().await?;
        bind(&store, &world, &course).await?;
        let breaks = match &asked.compromised {
            Some(kid) => {
                let ring = read(&store, &course.issuer).await?;
                Some(breaks(kid, &ring, &mut world, &course.policy, yes).await?)
            }
            None => None,
        };
        let node = world.node.as_ref().filter(|_| !dry_run);
        let _lock = node.map(Node::lock).transpose()?;
        let edit = |ring: &KeyRing, observed: &Observation, now| asked.edit(ring, observed, now);
        let rotation = async {
            if let Some(node) = world.node.as_ref().filter(|_| !dry_run) {
                node.settle().await?;
            }
            drive::drive(&store, &mut world, &course, edit).await
        };
        let came = tokio::select! {
            came = rotation => came?,
            signal = signalled() => {
                return Err(Box::pin(stopped(&store, &world, &course, signal?)).await);
            }
        };
        context.print(&Outcome::new(&came, &course.policy, dry_run, breaks))?;
        if let Some(block) = came.block {
            return Err(block.into());
        }
        Ok(match (check && !came.actions.is_empty(), came.retryable) {
            (true, _) => Exit::Differences,
            (false, true) => Exit::TryAgain,
            (false, false) => Exit::Done,
        })
    })
}

/// What to tell about a run that was told to end: each of its steps stands, or is taken up by the next run. A rollout gives
/// its turn back, and the run its lease on the ring, where that is safe.
async fn stopped(
    store: &impl RingStore,
    world: &Outside<'_>,
    course: &Course,
    signal: &str,
) -> Failure {
    let waited_for = match &world.node {
        Some(node) => unless_told_again(node.held.give_back())
            .await
            .unwrap_or(true),
        None => false,
    };
    let again = if waited_for {
        "run the same command again on this node: it proves or puts back what was written, and takes its turn over, for which \
         other nodes wait"
    } else {
        "run the same command again: it looks at what stands, and goes on from there"
    };
    let help = match unless_told_again(drive::end(store, course)).await {
        None => format!(
            "{again}; its lease may stand in the ring until it ends, and no run acts before"
        ),
        Some(Ok(None)) => again.to_owned(),
        Some(Ok(Some(until))) => format!(
            "{again}; not before {until:.0}: until then a write of this run into a bucket may still arrive, and no run acts"
        ),
        Some(Err(failure)) => format!(
            "{again}; the lease of this run may stand in the ring until it ends, since it could not be given back: {}",
            failure.message()
        ),
    };
    Failure::again(format!("{signal}: the run ended"), help)
}

/// Makes the place of private keys this issuer's. One that is not that of earlier runs is left as it is: it is mistyped, or
/// lost, and the run says so.
async fn bind(store: &impl RingStore, world: &Outside<'_>, course: &Course) -> Result<(), Failure> {
    let ring = match store.load().await? {
        Some(stored) => Some(KeyRing::parse(&stored.bytes, &course.issuer)?),
        None => None,
    };
    let known = ring.as_ref().and_then(KeyRing::keys_place);
    let found = world.keys.place_id().await?;
    let other = known.is_some() && known != found.as_deref();
    if course.dry_run || other {
        world.keys.demand(&course.issuer).await?;
    } else {
        world.keys.bind(&course.issuer).await?;
    }
    Ok(())
}

async fn read(store: &impl RingStore, issuer: &IssuerUrl) -> Result<KeyRing, Failure> {
    match store.load().await? {
        Some(stored) => Ok(KeyRing::parse(&stored.bytes, issuer)?),
        None => Err(Failure::usage(
            "there is no key ring yet, so no key of it can be compromised",
            "run irsa rotate once without --compromised: it makes the ring from what it sees",
        )),
    }
}

async fn breaks(
    kid: &Kid,
    ring: &KeyRing,
    world: &mut Outside<'_>,
    policy: &RotationPolicy,
    yes: bool,
) -> Result<Breaks, Failure> {
    if !ring.knows(kid) {
        return Err(unknown(format!("key {kid} is not in the key ring")));
    }
    // A token that names no key is told by its signature.
    let mut known = Known::new();
    servers::look(&world.servers, &world.account, None, &mut known).await?;
    let breaks = Breaks::find(kid, ring, &world.cluster, &known).await?;
    compromise::confirm(kid, &breaks, policy, yes)?;
    Ok(breaks)
}

fn unknown(what: String) -> Failure {
    Failure::usage(
        what,
        "irsa rotate status shows the keys and servers of the ring",
    )
}

/// What a person asks of the ring.
struct Asked {
    now: bool,
    shorten: bool,
    adopt: Option<Kid>,
    forget: Option<String>,
    compromised: Option<Kid>,
}

impl Asked {
    fn of(args: &Args) -> Self {
        Self {
            now: args.now,
            shorten: args.shorten_waits,
            adopt: args.adopt.clone(),
            forget: args.forget_server.clone(),
            compromised: args.compromised.clone(),
        }
    }

    fn edit(
        &self,
        ring: &KeyRing,
        observed: &Observation,
        now: Timestamp,
    ) -> Result<Option<KeyRing>, Failure> {
        let why = || "asked for on the command line".to_owned();
        let mut edited: Option<KeyRing> = None;
        if let Some(kid) = &self.compromised {
            // Declared before, by another node's run, or spent by now: a second time changes nothing.
            match ring.key(kid) {
                Some(key) if key.compromised.is_none() => {
                    edited = ring.compromised(kid, why(), now);
                }
                None if !ring.knows(kid) => {
                    return Err(unknown(format!("key {kid} is not in the key ring")));
                }
                Some(_) | None => {}
            }
        }
        if let Some(kid) = &self.adopt {
            let ring = edited.as_ref().unwrap_or(ring);
            let adopted = ring.adopted(kid, observed, why(), now);
            if adopted.is_none() && !ring.knows(kid) {
                return Err(Failure::usage(
                    format!(
                        "key {kid} is in no JWKS, on no API server and not where private keys rest"
                    ),
                    "give --adopt the kid that the blocked run has named",
                ));
            }
            edited = adopted.or(edited);
        }
        if let Some(server) = &self.forget {
            let found = edited
                .as_ref()
                .unwrap_or(ring)
                .forgotten(server, why(), now);
            edited = Some(found.ok_or_else(|| {
                unknown(format!("API server \"{server}\" is not in the key ring"))
            })?);
        }
        if self.shorten {
            let ring = edited.as_ref().unwrap_or(ring);
            edited = Some(ring.shortened(why(), now));
        }
        if self.now {
            let ring = edited.as_ref().unwrap_or(ring);
            if ring.next().is_some() {
                report::note("a rotation is under way already");
            } else {
                edited = Some(ring.request(why(), now));
            }
        }
        Ok(edited)
    }
}

async fn outside<'a>(
    args: Args,
    keys: &KeysPlace,
    config: &kube::Config,
    buckets: &mut Buckets<'_>,
    context: &'a Context,
) -> Result<Outside<'a>, Failure> {
    let Args {
        document,
        to,
        served,
        algorithm,
        fetch,
        cluster,
        server,
        node,
        ignore_stale_tokens,
        // What has been settled before.
        state: _,
        private_keys: _,
        policy: _,
        bucket: _,
        aws: _,
        now: _,
        shorten_waits: _,
        adopt: _,
        forget_server: _,
        compromised: _,
        yes: _,
        lease: _,
        dry_run: _,
        at: _,
        check: _,
    } = args;
    let documents = document.require(context)?;
    let servers = cluster.servers(config, &server).await?;
    let urls: Vec<String> = servers
        .iter()
        .map(|server| server.url().to_owned())
        .collect();
    let account = cluster.service_account.clone();
    let node = on_node(node, document, cluster, &urls, context)?;
    let prefix = webhook::flags::prefix_of_file(context);
    Ok(Outside {
        kind: kind(algorithm),
        keys: keys.open(config)?,
        sinks: Sinks::open(documents, to, served, &fetch, buckets).await?,
        servers,
        account,
        cluster: Cluster::new(config, &prefix)?,
        node,
        ignore_stale_tokens,
        known: Known::new(),
    })
}

fn on_node<'a>(
    node: NodeArgs,
    document: DocumentArgs,
    cluster: ClusterArgs,
    servers: &[String],
    context: &'a Context,
) -> Result<Option<Node<'a>>, Failure> {
    let NodeArgs {
        here,
        manifest,
        controller_manager_manifest,
        key_directory,
        allow_single,
        rollout_timeout: timeout,
        root,
        backup,
    } = node;
    let (Some(here), Some(manifest)) = (here, manifest) else {
        return Ok(None);
    };
    let here = here.trim_end_matches('/').to_owned();
    if !servers.contains(&here) {
        return Err(Failure::usage(
            format!(
                "{here} is not among the API servers: {}",
                servers.join(", ")
            ),
            "give --here the address of this node's API server as it stands in that list",
        ));
    }
    let peers = servers
        .iter()
        .filter(|url| **url != here)
        .cloned()
        .collect();
    let wanted = WantedArgs {
        document,
        key_file: Vec::new(),
        signing_key_file: None,
        api_audience: Vec::new(),
        alone: true,
    };
    Ok(Some(Node {
        server: here,
        manifest,
        controller_manager_manifest,
        peers,
        key_directory,
        wanted,
        cluster,
        allow_single,
        timeout,
        root,
        backup,
        held: Held::default(),
        context,
    }))
}

/// Host, process and chance: nobody else has this name, also where every container's process is number 1.
fn holder() -> Result<String, Failure> {
    let name = rustix::system::uname();
    let host = name.nodename().to_string_lossy().into_owned();
    let chance: String = random_uuid()?.chars().take(8).collect();
    Ok(format!("{host}:{}:{chance}", std::process::id()))
}
