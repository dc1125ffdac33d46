//! `irsa webhook serve`.

use std::ffi::OsString;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Parser;
use http::Uri;
use irsa_webhook::certificate::{Keeper, KeeperConfig, Policy};
use irsa_webhook::event::Notices;
use irsa_webhook::identities::Identities;
use irsa_webhook::metrics::Metrics;
use irsa_webhook::serve::{
    self, ListenConfig, PairFiles, Served, Server, State, TlsPolicy, Webhook, everywhere,
};
use irsa_webhook::settings::Settings;
use irsa_webhook::watch;
use kube::Client;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::flags::InjectionArgs;
use super::serve_flags::{CertificateArgs, KlogArgs, ServingArgs};
use crate::args::GlobalArgs;
use crate::context::{Context, Origin};
use crate::exit::Exit;
use crate::kubernetes::KubernetesArgs;
use crate::logging;
use crate::report::Failure;

/// Serve the pod identity webhook, for as long as it runs.
///
/// A drop-in for amazon-eks-pod-identity-webhook: it takes the same flags, annotations, ConfigMap and files, and
/// answers the same, as docs/webhook.md spells out. A program called "webhook" that is a link to irsa is this command.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub struct Args {
    /// What pods get.
    #[command(flatten)]
    pub injection: InjectionArgs,
    /// How to serve.
    #[command(flatten)]
    pub serving: ServingArgs,
    /// The certificate.
    #[command(flatten)]
    pub certificate: CertificateArgs,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
    /// klog.
    #[command(flatten)]
    pub klog: KlogArgs,
}

/// The command line of upstream's image, `/webhook --flags`, as one of ours.
pub fn as_upstream(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let Some(program) = arguments.next() else {
        return Vec::new();
    };
    let is_webhook = Path::new(&program).file_name() == Some("webhook".as_ref());
    let ours = is_webhook.then_some(["webhook", "serve"]);
    let program = if is_webhook { "irsa".into() } else { program };
    std::iter::once(program)
        .chain(ours.into_iter().flatten().map(OsString::from))
        .chain(arguments)
        .collect()
}

/// Whether `irsa webhook serve` starts with these flags: a mistake shows before it restarts in a cluster again and again.
pub(super) fn check_flags(flags: &[String]) -> Result<(), Failure> {
    /// The command line of a replica.
    #[derive(Parser)]
    #[command(name = "irsa webhook serve", no_binary_name = true)]
    struct Replica {
        #[command(flatten)]
        global: GlobalArgs,
        #[command(flatten)]
        args: Args,
    }
    let Replica { global, args } = Replica::try_parse_from(flags).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        Failure::usage(
            format!(
                "irsa webhook serve: {}",
                first.trim_start_matches("error: ")
            ),
            "irsa webhook serve --help lists the flags",
        )
    })?;
    if args.serving.version {
        return Err(Failure::usage(
            "irsa webhook serve: --version prints the version and serves nothing",
            "leave it out",
        ));
    }
    if let Some(filter) = &global.log {
        logging::check(filter).map_err(|error| {
            Failure::usage(
                format!("irsa webhook serve: --log \"{filter}\": {error}"),
                "give error, warn, info, debug, or directives like irsa_webhook=debug",
            )
        })?;
    }
    args.injection.laid()?;
    listen_config(&args.serving, &args.certificate)?;
    api_server(&args.serving)?;
    Ok(())
}

/// The API server that `--kube-api` names.
fn api_server(serving: &ServingArgs) -> Result<Option<Uri>, Failure> {
    let Some(url) = serving.kube_api.as_ref().filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    let url = url.parse().map_err(|error| {
        Failure::usage(
            format!("--kube-api \"{url}\" is not a URL: {error}"),
            "write it like https://10.0.0.1:6443",
        )
    })?;
    Ok(Some(crate::kubernetes::api_server(url)?))
}

/// Serves until a signal says to stop.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        injection,
        serving,
        certificate,
        kubernetes,
        klog,
    } = args;
    if serving.version {
        return crate::commands::version::run(crate::commands::version::Args {}, context);
    }
    start_logging(&klog, context)?;
    let (serving, certificate) = (serving.over(context), certificate.over(context));
    let settings = injection.settings(context)?;
    let config = listen_config(&serving, &certificate)?;
    let api_server = api_server(&serving)?;
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads.min(MAX_THREADS))
        .enable_all()
        .build()
        .map_err(|error| Failure::system("the runtime cannot be started", &error))?;
    let served = runtime.block_on(async {
        let mut config_of_cluster = kubernetes.config_of_watches().await?;
        if let Some(url) = api_server {
            config_of_cluster.cluster_url = url;
        }
        let client = Client::try_from(config_of_cluster)
            .map_err(|error| crate::kubernetes::KubernetesError::client(&error))?;
        serve_pods(settings, serving, certificate, config, client).await
    });
    runtime.shutdown_background();
    served
}

fn start_logging(klog: &KlogArgs, context: &Context) -> Result<(), Failure> {
    let talkative = klog.verbosity.is_some_and(|level| level >= 3);
    if talkative && context.log.origin == Origin::Default {
        let started = logging::start("info,irsa_webhook=debug", context.log_format.value);
        return started.map_err(|error| Failure::usage(error, "use --log debug"));
    }
    context.start_logging()
}

fn listen_config(
    serving: &ServingArgs,
    certificate: &CertificateArgs,
) -> Result<ListenConfig, Failure> {
    for (flag, time) in [
        ("--certificate-life", certificate.certificate_life),
        ("--ca-life", certificate.ca_life),
        ("--certificate-interval", certificate.certificate_interval),
    ] {
        if time.is_zero() {
            return Err(Failure::usage(
                format!("{flag} is 0"),
                "give a time like 24h, or leave it out",
            ));
        }
    }
    Ok(ListenConfig {
        address: serving.listen.unwrap_or_else(|| everywhere(serving.port)),
        metrics: Some(
            serving
                .metrics_listen
                .unwrap_or_else(|| everywhere(serving.metrics_port)),
        ),
        policy: policy(certificate)?,
        client_ca: certificate.client_ca.clone(),
        limits: serve::limits(certificate.certificate_interval),
        shutdown_delay: serving.shutdown_delay,
    })
}

/// What rustls does not speak is said, and what Go does not know is refused.
fn policy(certificate: &CertificateArgs) -> Result<TlsPolicy, Failure> {
    let refused = |flag: &str, error: serve::TlsPolicyError| {
        Failure::usage(
            format!("{flag}: {error}"),
            "see `go doc crypto/tls CipherSuites` for the names, or leave the flag out",
        )
    };
    let mut policy = TlsPolicy::default();
    let version = certificate.tls_min_version.as_str();
    if !version.is_empty() {
        let (only_tls13, too_old) = serve::parse_min_version(version)
            .map_err(|error| refused("--tls-min-version", error))?;
        policy.only_tls13 = only_tls13;
        if too_old {
            tracing::warn!(version, "TLS 1.2 is the oldest version that is spoken");
        }
    }
    let (suites, unsupported) = serve::parse_ciphers(&certificate.tls_cipher_suites)
        .map_err(|error| refused("--tls-cipher-suites", error))?;
    policy.suites = suites;
    if !unsupported.is_empty() {
        let suites = unsupported.join(",");
        tracing::warn!(
            suites,
            "cipher suites are passed over: nothing safe speaks them"
        );
    }
    Ok(policy)
}

async fn serve_pods(
    settings: Settings,
    serving: ServingArgs,
    certificate: CertificateArgs,
    config: ListenConfig,
    client: Client,
) -> Result<Exit, Failure> {
    // First of all: a signal that comes while the service accounts load must not end the process.
    let stop = crate::commands::serve::stop_signal()?;
    let metrics = Metrics::default();
    let identities = Arc::new(Identities::new(
        Some(client.clone()),
        settings.annotation_prefix.clone(),
        serving.service_account_lookup_grace_period,
        metrics.clone(),
    ));
    let mut background = Background {
        client,
        identities,
        metrics,
        tasks: JoinSet::new(),
    };
    background.follow_cluster(&settings, &serving, &certificate.namespace);
    let webhook = Webhook {
        settings: Arc::new(settings),
        identities: Arc::clone(&background.identities),
        metrics: background.metrics.clone(),
        notices: serving.events.then(|| background.write_events()),
        state: Arc::new(State::default()),
        debugging: serving.enable_debugging_handlers,
    };
    let chain = Arc::new(Served::default());
    background
        .keep_certificate(certificate, &chain, &webhook.state)
        .await?;
    let server = Server::bind(config)?;
    announce(&server);
    let all_answered = server.run(webhook, &chain, Box::pin(stop)).await?;
    background.tasks.shutdown().await;
    if all_answered {
        return Ok(Exit::Done);
    }
    Err(Failure::system(
        "requests in flight were cut off",
        &std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            "not answered within the drain time",
        ),
    ))
}

fn announce(server: &Server) {
    if let Some(address) = server.address() {
        tracing::info!("serving on https://{address}/mutate");
    }
    if let Some(address) = server.metrics_address() {
        tracing::info!("metrics on http://{address}/metrics");
    }
}

/// Whatever runs beside the server.
struct Background {
    client: Client,
    identities: Arc<Identities>,
    metrics: Metrics,
    tasks: JoinSet<()>,
}

impl Background {
    /// Starts whatever follows service accounts, ConfigMap and file.
    fn follow_cluster(&mut self, settings: &Settings, serving: &ServingArgs, namespace: &str) {
        let Self {
            client,
            identities,
            metrics,
            tasks,
        } = self;
        identities.sources.accounts.expect();
        tasks.spawn(watch::accounts(
            client.clone(),
            Arc::clone(identities),
            settings.annotation_prefix.clone(),
            metrics.clone(),
        ));
        if serving.watch_config_map {
            identities.sources.config_map.expect();
            tasks.spawn(watch::config_map(
                client.clone(),
                namespace.to_owned(),
                Arc::clone(identities),
                metrics.clone(),
            ));
        }
        let file = &serving.watch_container_credentials_config;
        if !file.is_empty() {
            identities.sources.file.expect();
            tasks.spawn(watch::associations(
                file.into(),
                FILE_INTERVAL,
                Arc::clone(identities),
                metrics.clone(),
            ));
        }
    }

    /// Starts what writes Events, and gives where to hand them over.
    fn write_events(&mut self) -> Notices {
        let name = |variable| std::env::var(variable).ok();
        let instance = name("POD_NAME").or_else(|| name("HOSTNAME"));
        let (notices, writing) = Notices::new(self.client.clone(), instance, self.metrics.clone());
        self.tasks.spawn(writing);
        notices
    }

    /// Starts what makes or follows the certificate. Files must hold a good one.
    async fn keep_certificate(
        &mut self,
        certificate: CertificateArgs,
        chain: &Arc<Served>,
        state: &Arc<State>,
    ) -> Result<(), Failure> {
        let metrics = self.metrics.clone();
        if certificate.in_cluster {
            let keeper = Keeper::new(
                self.client.clone(),
                keeper_config(certificate),
                Arc::clone(chain),
                Arc::clone(state),
                metrics,
            );
            self.tasks.spawn(keeper.run());
            return Ok(());
        }
        let files = PairFiles {
            cert: certificate.tls_cert,
            key: certificate.tls_key,
        };
        let every = certificate.certificate_interval;
        let following = serve::follow_files(files, every, Arc::clone(chain), metrics).await?;
        self.tasks.spawn(following);
        Ok(())
    }
}

fn keeper_config(certificate: CertificateArgs) -> KeeperConfig {
    KeeperConfig {
        namespace: certificate.namespace,
        secret: certificate.tls_secret,
        service: certificate.service_name,
        names: certificate.tls_name,
        configurations: certificate.webhook_configuration,
        policy: Policy {
            authority_life: certificate.ca_life,
            leaf_life: certificate.certificate_life,
            overlap: certificate.ca_overlap,
        },
        every: certificate.certificate_interval,
    }
}

const FILE_INTERVAL: Duration = Duration::from_secs(2);
/// Reviews are short; more threads only cost memory.
const MAX_THREADS: usize = 4;
