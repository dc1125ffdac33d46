//! `irsa serve`.

mod config_file;
pub mod from;
mod rotation;
pub mod watch;

use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::thread;
use std::time::Duration;

use irsa_core::explain::on_one_line;
use irsa_issuer::serve::{Bound, Metrics, ServeError, Server, ServerConfig, SiteHandle};
use irsa_issuer::source::{Changes, IssuerSpec, Refused, SiteSource};
use jiff::Timestamp;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

use self::config_file::ConfigFile;
use self::watch::{Watch, WatchArgs};
use crate::args::{DocumentArgs, ServeArgs};
use crate::commands::obstacle;
use crate::context::{Context, Origin};
use crate::exit::Exit;
use crate::report::Failure;
use crate::settings::ServeSettings;

/// Serve the documents of one or many issuers, for as long as it runs.
///
/// One issuer by flags, many by the configuration file, each with keys of its own. Key files, configuration and
/// certificates are read again when they change; when new input is bad the last good documents stay. SIGHUP reads
/// everything at once, SIGTERM finishes the requests in flight and ends.
///
/// With --from, what irsa publish has put into a directory or bucket is served as it is: run as many beside each other
/// as you like, or a CDN in front of them; none writes, and none knows of the others.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One issuer; many come from the configuration file.
    #[command(flatten)]
    pub document: DocumentArgs,
    /// The endpoint.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Documents of a shared store instead of keys.
    #[command(flatten)]
    pub from: from::FromArgs,
    /// What the status page shows besides.
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// A look at the files may take one part in so many of the time.
const LOOK_COST: u32 = 100;
/// And yet the pause between two looks grows at most so much: a file system that hangs once must not blind us.
const MAX_SLOWDOWN: u32 = 10;
/// What the log says of keys that stay as they were.
const KEYS_NOT_TAKEN: &str = "new keys not taken";

/// Serves until a signal says to stop.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        document,
        serve,
        from,
        watch,
    } = args;
    context.start_logging()?;
    if from.from.is_some() {
        return from::run(from, watch, (document, serve), context);
    }
    let settings = ServeSettings::resolve(document, serve, &context.config, context);
    let (specs, config) = (settings.specs()?, settings.server()?);
    for spec in &specs {
        if let Some(obstacle) = obstacle(&spec.issuer) {
            tracing::warn!(issuer = %spec.issuer, "{obstacle}");
        }
    }
    watch.check(config.admin_listen)?;
    let runtime = runtime()?;
    let served = runtime.block_on(serve_issuers(
        &settings,
        specs,
        config,
        (&from, watch),
        context,
    ));
    // A look at the files may still be under way on a thread of its own; nothing waits for it.
    runtime.shutdown_background();
    served.map(|()| Exit::Done)
}

async fn serve_issuers(
    settings: &ServeSettings,
    specs: Vec<IssuerSpec>,
    config: ServerConfig,
    (store, watch): (&from::FromArgs, WatchArgs),
    context: &Context,
) -> Result<(), Failure> {
    // First of all: a signal that comes while ten thousand issuers load must not end the process.
    let (stop, hangup) = (stop_signal()?, listen_for(SignalKind::hangup())?);
    // Ten thousand names that nobody compares are not kept.
    let compared = if watch.compare.is_empty() {
        &[]
    } else {
        specs.as_slice()
    };
    let issuers: Vec<_> = compared.iter().map(|spec| spec.issuer.clone()).collect();
    let (source, changes) =
        SiteSource::load(specs, settings.max_age.value).map_err(refused_at_start)?;
    let metrics = Metrics::new();
    if changes.reloaded.is_empty() {
        // Nothing at all could be served: better not to start than to answer 503 to everybody.
        if let Some(first) = changes.refused.into_iter().next() {
            return Err(first.error.into());
        }
    } else {
        for refused in &changes.refused {
            refuse(&metrics, refused, KEYS_NOT_TAKEN);
        }
    }
    let handle = SiteHandle::new(source.site()?);
    let one = settings.issuers.origin != Origin::File;
    let seen = (handle.clone(), metrics.clone());
    let watch = Watch::new(watch, store, issuers, one, seen).await?;
    let bound = Server::bind(config, handle.clone(), metrics.clone())
        .await
        .map_err(refused_at_start)?;
    announce(&bound, settings.listen.tls_cert.value.is_some());
    let reloader = Reloader {
        source,
        config: ConfigFile::of(context, settings),
        certificates: bound.certificate_reloader(),
        handle,
        metrics,
    };
    let every = settings
        .reload_interval
        .value
        .max(Duration::from_millis(100));
    tokio::select! {
        served = bound.run(Box::pin(stop)) => served.map_err(Failure::from),
        ended = reloader.watch(hangup, every) => ended,
        () = watch.run() => Ok(()),
    }
}

/// What is wrong with the configuration is a refusal; what is wrong with the machine is a failure.
fn refused_at_start(error: ServeError) -> Failure {
    match error {
        ServeError::DuplicatePath { .. }
        | ServeError::BadPath { .. }
        | ServeError::ParseTls { .. }
        | ServeError::TlsPair { .. } => Failure::refused(&error),
        other => other.into(),
    }
}

/// One thread on one CPU: a work-stealing pool would only cost there.
fn runtime() -> Result<Runtime, Failure> {
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    let mut builder = if cpus == 1 {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    builder
        .enable_all()
        .build()
        .map_err(|error| Failure::system("the runtime cannot be started", &error))
}

fn announce(bound: &Bound, tls: bool) {
    let scheme = if tls { "https" } else { "http" };
    for address in bound.local_addrs() {
        tracing::info!("serving on {scheme}://{address}");
    }
    if let Some(address) = bound.admin_addr() {
        tracing::info!("status page, livez, readyz and metrics on http://{address}");
    }
}

fn listen_for(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::system("signals cannot be listened for", &error))
}

/// Resolves when the process is told to end.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let (mut terminate, mut interrupt) = (
        listen_for(SignalKind::terminate())?,
        listen_for(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: finishing the requests in flight"),
            _ = interrupt.recv() => tracing::info!("SIGINT: finishing the requests in flight"),
        }
    })
}

/// Says what was not taken: in the log, in the metrics and on the status page.
fn refuse(metrics: &Metrics, refused: &Refused, what: &str) {
    metrics.reload_failed();
    pin(metrics, &refused.issuer, &refused.error);
    tracing::warn!(
        issuer = refused.issuer,
        error = %refused.error,
        why = std::error::Error::source(&refused.error).map(tracing::field::display),
        last_good_kept = refused.last_good_kept,
        "{what}"
    );
}

/// Puts what went wrong on the status page.
fn pin(metrics: &Metrics, subject: &str, error: &dyn std::error::Error) {
    let what = on_one_line(error);
    metrics.board().problem(Timestamp::now(), subject, &what);
}

/// Everything that follows the files while the server runs.
struct Reloader {
    source: SiteSource,
    config: Option<ConfigFile>,
    certificates: irsa_issuer::serve::CertificateReloader,
    handle: SiteHandle,
    metrics: Metrics,
}

impl Reloader {
    /// Looks at the files for ever, on a thread of its own: reading ten thousand files must not hold up a request.
    /// The pause after a look grows with the time that the look took, within a bound: see [`LOOK_COST`].
    async fn watch(mut self, mut hangup: Signal, every: Duration) -> Result<(), Failure> {
        let mut pause = every;
        loop {
            let start;
            tokio::select! {
                () = sleep(pause) => {
                    start = Instant::now();
                    self = self.beside(Self::look).await?;
                }
                _ = hangup.recv() => {
                    tracing::info!("SIGHUP: reading everything again");
                    start = Instant::now();
                    self = self.beside(Self::reload).await?;
                    if let Err(error) = self.certificates.reload().await {
                        tracing::warn!(%error, "certificate not taken, the last good one stays");
                    }
                }
            }
            pause = (start.elapsed() * LOOK_COST).clamp(every, every * MAX_SLOWDOWN);
        }
    }

    /// Does blocking work beside the requests. If it panics, that is a bug, and no reason to stop serving.
    async fn beside(mut self, work: fn(&mut Self)) -> Result<Self, Failure> {
        let worked = tokio::task::spawn_blocking(move || {
            if std::panic::catch_unwind(AssertUnwindSafe(|| work(&mut self))).is_err() {
                self.metrics.reload_failed();
                tracing::error!(
                    "looking at the files failed, which is a bug in irsa; what is served stays"
                );
            }
            self
        });
        Ok(worked
            .await
            .map_err(|source| ServeError::Stopped { source })?)
    }

    fn look(&mut self) {
        if self.config.as_mut().is_some_and(ConfigFile::has_changed) {
            self.follow_config();
        }
        let changes = self.source.poll();
        self.take(changes);
    }

    fn reload(&mut self) {
        self.follow_config();
        let changes = self.source.reload();
        self.take(changes);
    }

    fn follow_config(&mut self) {
        let Some(file) = &mut self.config else {
            return;
        };
        let taken = file.read().and_then(|followed| {
            let specs = followed.specs.unwrap_or_else(|| self.source.specs());
            let changes = self.source.replace(specs, followed.max_age)?;
            Ok((changes, followed.later))
        });
        match taken {
            Ok((changes, later)) => {
                if !later.is_empty() {
                    tracing::warn!(
                        file = %file.path.display(),
                        settings = later.join(" "),
                        "changed settings of the endpoint itself count when it is started again"
                    );
                }
                self.take(changes);
            }
            Err(failure) => {
                self.metrics.reload_failed();
                let subject = file.path.display().to_string();
                let board = self.metrics.board();
                board.problem(Timestamp::now(), &subject, &failure.message());
                tracing::warn!(
                    file = %file.path.display(),
                    error = failure.message(),
                    "configuration not taken, the last good one stays"
                );
            }
        }
    }

    fn take(&self, changes: Changes) {
        for refused in &changes.refused {
            refuse(&self.metrics, refused, KEYS_NOT_TAKEN);
        }
        if changes.is_empty() {
            return;
        }
        match self.source.site() {
            Ok(site) => {
                self.handle.swap(site);
                if !changes.reloaded.is_empty() {
                    self.metrics.reload_succeeded();
                }
                for reloaded in &changes.reloaded {
                    let what = if reloaded.changed {
                        "new documents are served"
                    } else {
                        "read again: the documents are the same"
                    };
                    tracing::info!(issuer = reloaded.issuer, "{what}");
                    if !reloaded.withdrawn.is_empty() {
                        tracing::warn!(
                            issuer = reloaded.issuer,
                            kids = reloaded.withdrawn.join(" "),
                            "keys are served no more: tokens that they signed are refused"
                        );
                    }
                }
                for issuer in &changes.removed {
                    tracing::warn!(issuer, "issuer is served no more");
                }
            }
            Err(error) => {
                self.metrics.reload_failed();
                tracing::warn!(%error, "new issuers not taken, the last good ones stay");
            }
        }
    }
}
