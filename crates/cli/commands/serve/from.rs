//! `irsa serve --from`: one of any number of endpoints that serve what was published to a shared store.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::ValueHint;
use irsa_core::issuer::IssuerUrl;
use irsa_issuer::publish::dir::Directory;
use irsa_issuer::publish::s3::{self, S3Store};
use irsa_issuer::serve::{CertificateReloader, Metrics, Server, ServerConfig, SiteHandle};
use irsa_issuer::source::Changes;
use irsa_issuer::source::replica::Replica;
use irsa_issuer::store::AnyStore;
use tokio::signal::unix::{Signal, SignalKind};
use tokio::time::sleep;

use super::watch::{Watch, WatchArgs};
use super::{announce, listen_for, refuse, refused_at_start, runtime, stop_signal};
use crate::args::{DocumentArgs, IssuerArgs, ServeArgs};
use crate::aws::AwsArgs;
use crate::commands::publish::Target;
use crate::commands::publish::s3::Reach;
use crate::context::{Context, Origin};
use crate::exit::Exit;
use crate::report::Failure;
use crate::settings::{self, ServeSettings};

/// A request to S3 costs money, and a published key is waited for longer than this before it signs.
const S3_INTERVAL: Duration = Duration::from_secs(30);

/// Serving from a shared store.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Shared store")]
pub struct FromArgs {
    /// Serve what irsa publish has put there: dir:PATH or s3://BUCKET[/PREFIX]. With --issuer it is that issuer's place;
    /// without, the issuers of the configuration file stand at the paths of their URLs below it. S3 is looked at every
    /// 30 s unless --reload-interval says otherwise
    #[arg(long, env = "IRSA_FROM", value_name = "STORE", value_parser = Target::parse, hide_env_values = true, conflicts_with = "keys")]
    pub from: Option<Target>,
    /// The account that the bucket must belong to: with it S3 refuses a bucket that somebody else has made under this
    /// name
    #[arg(
        long,
        env = "IRSA_BUCKET_OWNER",
        value_name = "ACCOUNT",
        hide_env_values = true
    )]
    pub bucket_owner: Option<String>,
    /// CA certificates in PEM to trust besides the system's, for the store
    #[arg(long, env = "IRSA_CA_FILE", value_name = "FILE", value_hint = ValueHint::FilePath, hide_env_values = true)]
    pub ca_file: Option<PathBuf>,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
}

/// Serves until a signal says to stop.
pub fn run(
    args: FromArgs,
    watch: WatchArgs,
    (document, serve): (DocumentArgs, ServeArgs),
    context: &Context,
) -> Result<Exit, Failure> {
    let (one, issuers) = issuers(&document, context)?;
    // The issuers are ours already, and have no keys: the settings are about the endpoint alone.
    let endpoint_only = DocumentArgs {
        issuer: IssuerArgs {
            issuer: None,
            ..document.issuer
        },
        jwks_uri: None,
    };
    let settings = ServeSettings::resolve(endpoint_only, serve, &context.config, context);
    let config = settings.server()?;
    watch.check(config.admin_listen)?;
    let interval = &settings.reload_interval;
    let from_s3 = matches!(args.from, Some(Target::S3(_)));
    let every = if from_s3 && interval.origin == Origin::Default {
        S3_INTERVAL
    } else {
        interval.value.max(Duration::from_millis(100))
    };
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let stores = match &args.from {
            Some(target) => stores_at(&args, target, issuers.clone(), one).await?,
            None => Vec::new(),
        };
        let replica = Replica::new(stores, settings.max_age.value).map_err(refused_at_start)?;
        let metrics = Metrics::new();
        let (replica, handle) = first_look(replica, &metrics).await?;
        let seen = (handle.clone(), metrics.clone());
        let watch = Watch::new(watch, &args, issuers, one, seen).await?;
        serve_replica(replica, config, (handle, metrics), watch, every).await
    });
    runtime.shutdown_background();
    served.map(|()| Exit::Done)
}

/// The one issuer of the command line, or all of the configuration file.
fn issuers(document: &DocumentArgs, context: &Context) -> Result<(bool, Vec<IssuerUrl>), Failure> {
    if document.jwks_uri.is_some() {
        let help = "leave --jwks-uri out: the published discovery document says where the keys are";
        return Err(Failure::usage("--jwks-uri does not go with --from", help));
    }
    if document.issuer.issuer.is_some() {
        return Ok((true, vec![document.require(context)?.0]));
    }
    let slash = context.flag(
        "allow_trailing_slash",
        document.issuer.allow_trailing_slash,
        context.config.allow_trailing_slash,
    );
    let slash = settings::slash(slash.value);
    let entries = &context.config.issuers;
    if entries.is_empty() {
        let help = "add --issuer URL, or a configuration file with issuers: and --config FILE";
        return Err(Failure::usage("no issuer to serve", help));
    }
    let parse = |entry: &crate::config::IssuerEntry| settings::parse_issuer(&entry.issuer, slash);
    let issuers = entries.iter().map(parse).collect::<Result<_, _>>()?;
    Ok((false, issuers))
}

/// One issuer stands at the root of a store; of many, each at its own place below.
pub(super) async fn stores_at(
    args: &FromArgs,
    target: &Target,
    issuers: Vec<IssuerUrl>,
    one: bool,
) -> Result<Vec<(IssuerUrl, AnyStore)>, Failure> {
    match target {
        Target::S3(root) => {
            let reach = Reach::new(args.aws.load(args.ca_file.as_deref()).await?)?;
            let client = s3::client(reach.config(), reach.is_compatible());
            let store = S3Store::new(client, root.clone(), args.bucket_owner.clone());
            let place = |issuer: IssuerUrl| {
                let place = if one {
                    root.clone()
                } else {
                    reach.place(root, &issuer)?
                };
                Ok((issuer, AnyStore::S3(store.at(place))))
            };
            issuers.into_iter().map(place).collect()
        }
        Target::Directory(root) => {
            let place = |issuer: IssuerUrl| {
                let place = if one {
                    root.clone()
                } else {
                    root.join(issuer.path().trim_start_matches('/'))
                };
                (issuer, AnyStore::Directory(Directory::new(place)))
            };
            Ok(issuers.into_iter().map(place).collect())
        }
    }
}

async fn first_look(
    mut replica: Replica<AnyStore>,
    metrics: &Metrics,
) -> Result<(Replica<AnyStore>, SiteHandle), Failure> {
    let changes = replica.look(SystemTime::now()).await;
    let handle = SiteHandle::new(replica.site()?);
    metrics.source_seen(replica.seen());
    if changes.reloaded.is_empty() {
        // Nothing at all could be served: better not to start than to answer 503 to everybody.
        if let Some(first) = changes.refused.into_iter().next() {
            return Err(first.error.into());
        }
    } else {
        tell(&changes, metrics);
    }
    Ok((replica, handle))
}

async fn serve_replica(
    replica: Replica<AnyStore>,
    config: ServerConfig,
    (handle, metrics): (SiteHandle, Metrics),
    watch: Watch,
    every: Duration,
) -> Result<(), Failure> {
    let (stop, hangup) = (stop_signal()?, listen_for(SignalKind::hangup())?);
    let tls = config.tls.is_some();
    let bound = Server::bind(config, handle.clone(), metrics.clone())
        .await
        .map_err(refused_at_start)?;
    announce(&bound, tls);
    let follower = Follower {
        replica,
        certificates: bound.certificate_reloader(),
        handle,
        metrics,
    };
    tokio::select! {
        served = bound.run(Box::pin(stop)) => served.map_err(Failure::from),
        () = follower.watch(hangup, every) => Ok(()),
        () = watch.run() => Ok(()),
    }
}

/// Everything that follows the store while the server runs.
struct Follower {
    replica: Replica<AnyStore>,
    certificates: CertificateReloader,
    handle: SiteHandle,
    metrics: Metrics,
}

impl Follower {
    async fn watch(mut self, mut hangup: Signal, every: Duration) {
        loop {
            tokio::select! {
                () = sleep(every) => {}
                _ = hangup.recv() => {
                    tracing::info!("SIGHUP: looking at the store again");
                    if let Err(error) = self.certificates.reload().await {
                        tracing::warn!(%error, "certificate not taken, the last good one stays");
                    }
                }
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let changes = self.replica.look(SystemTime::now()).await;
        self.metrics.source_seen(self.replica.seen());
        if !changes.reloaded.is_empty() {
            match self.replica.site() {
                Ok(site) => {
                    self.handle.swap(site);
                    self.metrics.reload_succeeded();
                }
                Err(error) => {
                    self.metrics.reload_failed();
                    tracing::warn!(%error, "new documents not taken, the last good ones stay");
                }
            }
        }
        tell(&changes, &self.metrics);
    }
}

fn tell(changes: &Changes, metrics: &Metrics) {
    for refused in &changes.refused {
        refuse(metrics, refused, "documents of the store not taken");
    }
    for reloaded in &changes.reloaded {
        tracing::info!(issuer = reloaded.issuer, "new documents are served");
        if !reloaded.withdrawn.is_empty() {
            tracing::warn!(
                issuer = reloaded.issuer,
                kids = reloaded.withdrawn.join(" "),
                "keys are served no more: tokens that they signed are refused"
            );
        }
    }
}
