//! One control-plane node: what its manifests say, what they shall say, and who else is there.

use std::path::Path;

use irsa_apiserver::component::Role;
use irsa_apiserver::flags::Flag;
use irsa_apiserver::live::ApiServer;
use irsa_apiserver::plan::{Phase, Wanted};
use irsa_apiserver::rollout::{self, Asked, Goal, Hold, Process, Used};
use irsa_core::kid::Kid;
use irsa_core::private::PrivateKeyPem;
use irsa_core::token::claims::ServiceAccount;
use irsa_issuer::keyfile;

use super::super::standing::{Standing, controller_manager};
use super::canary::Canary;
use super::controller_manager::ControllerManager;
use super::keys::{Key, Sources, kids};
use super::manifest::File;
use super::wait::{Watched, silent};
use super::{Args, diff};
use crate::context::Context;
use crate::report::{self, Failure};

/// A node and everything that is known before anything is changed.
pub(super) struct Node {
    pub(super) server: ApiServer,
    pub(super) keys: Vec<Key>,
    pub(super) peers: Vec<ApiServer>,
    pub(super) api_server: File,
    /// The manifest of kube-controller-manager, and where that answers.
    pub(super) manager: Option<(File, ControllerManager)>,
    /// The key that kube-controller-manager signs with now.
    manager_kid: Option<Kid>,
    pub(super) goal: Goal,
    pub(super) account: ServiceAccount,
    allow_single: bool,
    canary: Option<Canary>,
    retired: Vec<String>,
}

impl Node {
    /// Looks at everything; changes nothing.
    pub(super) async fn look(args: Args, context: &Context) -> Result<Self, Failure> {
        let Args {
            wanted,
            place_key,
            place_signing_key,
            key_directory,
            phase,
            remove_issuer,
            remove_key_file,
            manifest,
            controller_manager_manifest,
            server,
            peer,
            cluster,
            allow_single,
            timeout: _,
            root,
            backup: _,
            dry_run: _,
        } = args;
        let phase: Phase = phase.into();
        let mut wanted = Wanted {
            remove_issuers: remove_issuer,
            remove_key_files: remove_key_file,
            ..wanted.resolve(context)?
        };
        let sources = Sources {
            public: place_key,
            private: place_signing_key,
            directory: key_directory,
        };
        sources.name(&mut wanted)?;
        let named = controller_manager_manifest.as_deref();
        let manager = manager(&manifest, named, phase, &wanted)?;
        let standing = Standing::read(manifest, Role::ApiServer)?;
        let signs = |manager: &Standing| signs_with(manager, &root);
        let manager_kid = manager.as_ref().and_then(signs);
        let (keys, canary, goal) = aims(&sources, &wanted, phase, &standing, &root)?;
        let config = cluster.config(&root).await?;
        let url = server.unwrap_or_else(|| standing.url());
        let server = cluster.server(&config, &url)?;
        let peers = others(&cluster, &config, &server, peer).await?;
        let manager = manager.map(|standing| {
            let process = ControllerManager::at(&standing.url(), &config)?;
            Ok::<_, Failure>((File::of(standing, &wanted, phase)?, process))
        });
        Ok(Self {
            server,
            keys,
            peers,
            api_server: File::of(standing, &wanted, phase)?,
            manager: manager.transpose()?,
            manager_kid,
            goal,
            account: cluster.service_account,
            allow_single,
            canary,
            retired: wanted.remove_issuers,
        })
    }

    /// Whether the others allow it. Says when the others started, by which this node's server is told from them.
    pub(super) async fn may_begin(&self) -> Result<Vec<f64>, Failure> {
        self.server.ready().await?;
        let mut elsewhere = Vec::new();
        if self.api_server.changes() {
            let (own, asked) = self.ask_all().await?;
            let counted = rollout::distinct(&own, &asked);
            rollout::may_begin(&counted, self.allow_single)?;
            let others = asked
                .iter()
                .zip(&counted)
                .filter(|(_, (_, end))| end.is_ok());
            elsewhere.extend(others.filter_map(|(asked, _)| Some(asked.process?.started)));
        }
        if let Some((file, manager)) = &self.manager
            && file.changes()
        {
            // Before anything is changed: without it nobody would know whether it runs with its new key.
            manager.demand_started().await?;
        }
        self.tokens_allow().await?;
        Ok(elsewhere)
    }

    /// This node's process and those of the others, all asked twice in one order.
    async fn ask_all(&self) -> Result<(Process, Vec<Asked>), Failure> {
        let silent = || silent(&self.server);
        let own = self.server.process().await?.ok_or_else(silent)?;
        let mut first = Vec::new();
        for peer in &self.peers {
            let ready = peer.ready().await.map_err(|error| error.to_string());
            first.push((peer, ready, peer.process().await.ok().flatten()));
        }
        let again = self.server.process().await?.ok_or_else(silent)?;
        let mut asked = Vec::new();
        for (peer, ready, before) in first {
            let after = peer.process().await.ok().flatten();
            let process = before.zip(after).map(between);
            asked.push(Asked {
                url: peer.url().to_owned(),
                ready,
                process,
            });
        }
        Ok((between((own, again)), asked))
    }

    /// Whether every server accepts what is going to be signed, or has stopped signing with what is to go.
    async fn tokens_allow(&self) -> Result<(), Failure> {
        let all = std::iter::once(&self.server).chain(&self.peers);
        match self.goal.phase {
            Phase::Sign => {
                let canary = self.canary.as_ref().ok_or(Hold::NoProof)?;
                let token = canary.token(&self.server, &self.account).await?;
                for server in all {
                    rollout::accepts(server.url(), &server.review(&token).await?)?;
                }
            }
            Phase::Retire => {
                let gone = |kid: &&Kid| self.goal.gone.contains(kid);
                if let Some(kid) = self.manager_kid.as_ref().filter(gone) {
                    return Err(Hold::StillSigns {
                        server: "kube-controller-manager of this node".to_owned(),
                        what: format!("key {kid}"),
                    }
                    .into());
                }
                for server in all {
                    let token = server.mint(&self.account, &[]).await?;
                    let (issuers, gone) = (&self.retired, &self.goal.gone);
                    rollout::has_stopped_signing(server.url(), &token, issuers, gone)?;
                }
            }
            Phase::Accept | Phase::New => {}
        }
        Ok(())
    }

    /// What is going to change in both manifests.
    pub(super) fn diff(&self) -> String {
        let manager = self.manager.iter().map(|(file, _)| file);
        let files = std::iter::once(&self.api_server).chain(manager);
        files
            .map(|file| diff(&file.standing.path, &file.standing.text, &file.patched.text))
            .collect()
    }

    /// The server, with what it must show.
    pub(super) fn watched<'a>(&'a self, goal: &'a Goal) -> Watched<'a> {
        Watched {
            server: &self.server,
            goal,
            account: &self.account,
            canary: self.canary.as_ref(),
        }
    }
}

fn between(((started, before), (_, after)): ((f64, Used), (f64, Used))) -> Process {
    Process {
        started,
        used: [before, after],
    }
}

/// The keys to place, a token as it is going to be signed, and what the server must show at the end.
fn aims(
    sources: &Sources,
    wanted: &Wanted,
    phase: Phase,
    standing: &Standing,
    root: &Path,
) -> Result<(Vec<Key>, Option<Canary>, Goal), Failure> {
    let read = |file: &str| {
        let placed = sources.find(file);
        placed.or_else(|| standing.on_host(root, file))
    };
    let current = standing.flags.value(Flag::SigningKeyFile);
    let current = current.and_then(|file| standing.on_host(root, file));
    let keys = sources.keys(root, current.as_deref());
    let signing = wanted.signing_key_file.as_deref().and_then(read);
    let signing = signing.or(current);
    let canary = Canary::read(signing.as_deref(), &wanted.issuer, &standing.flags)?;
    let goal = Goal {
        phase,
        issuer: wanted.issuer.clone(),
        kids: kids(&wanted.key_files, read)?,
        gone: kids(&wanted.remove_key_files, read)?,
        signing: canary.as_ref().map(|canary| canary.kid().clone()),
        elsewhere: Vec::new(),
    };
    Ok((keys, canary, goal))
}

/// The key that kube-controller-manager signs with now, if it can be read here.
fn signs_with(manager: &Standing, root: &Path) -> Option<Kid> {
    let path = manager.on_host(root, manager.flags.value(Flag::PrivateKeyFile)?)?;
    let key = PrivateKeyPem::parse(&keyfile::read(&path).ok()?).ok()?;
    Some(key.public_key().kid())
}

fn manager(
    manifest: &Path,
    named: Option<&Path>,
    phase: Phase,
    wanted: &Wanted,
) -> Result<Option<Standing>, Failure> {
    let keys_change = phase == Phase::Sign && wanted.signing_key_file.is_some();
    let Some(path) = controller_manager(manifest, named) else {
        if keys_change {
            report::warning(
                "no manifest of kube-controller-manager: it goes on signing tokens of legacy Secrets with its own key",
            );
        }
        return Ok(None);
    };
    Standing::read(path, Role::ControllerManager).map(Some)
}

/// The other API servers: those named, else those that registered themselves but this one.
async fn others(
    cluster: &super::super::servers::ClusterArgs,
    config: &kube::Config,
    server: &ApiServer,
    named: Vec<String>,
) -> Result<Vec<ApiServer>, Failure> {
    let urls = if named.is_empty() {
        server.all().await?
    } else {
        named
    };
    let other = urls
        .into_iter()
        .filter(|url| url.trim_end_matches('/') != server.url());
    other.map(|url| cluster.server(config, &url)).collect()
}
