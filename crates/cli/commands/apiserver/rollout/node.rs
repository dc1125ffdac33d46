//! One control-plane node: what its manifests say, what they shall say, and who else is there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use irsa_apiserver::component::{Component, Role};
use irsa_apiserver::distro::Distro;
use irsa_apiserver::file::{self, Backups};
use irsa_apiserver::flags::{Flag, TokenFlags};
use irsa_apiserver::live::ApiServer;
use irsa_apiserver::patch::{Manifest, Patched};
use irsa_apiserver::plan::{Phase, Wanted};
use irsa_apiserver::rollout::{self, Goal, Hold};
use irsa_core::kid::Kid;
use irsa_core::private::PrivateKeyPem;
use irsa_core::token::claims::{ServiceAccount, TokenRequest};
use irsa_issuer::keyfile;
use irsa_issuer::sign::{Signer, random_uuid};
use jiff::Timestamp;
use serde_json::Value;

use super::super::about;
use super::super::servers::below;
use super::keys::{Key, Sources, kids};
use super::{Args, diff, wait};
use crate::context::Context;
use crate::report::{self, Failure};

/// Test tokens live as long as kube-apiserver's shortest.
const CANARY_SECONDS: i64 = 600;

/// A node and everything that is known before anything is changed.
pub(super) struct Node {
    pub(super) server: ApiServer,
    pub(super) keys: Vec<Key>,
    peers: Vec<ApiServer>,
    api_server: File,
    manager: Option<File>,
    /// The key that kube-controller-manager signs with now.
    manager_kid: Option<Kid>,
    goal: Goal,
    account: ServiceAccount,
    allow_single: bool,
    canary: Option<Canary>,
    retired: Vec<String>,
}

/// A manifest and what it becomes.
struct File {
    path: PathBuf,
    before: String,
    patched: Patched,
    /// Where its component answers.
    port: u16,
    host: String,
}

/// A key that makes tokens as this node is going to sign them.
struct Canary {
    signer: Signer,
    audience: String,
}

impl File {
    fn read(
        path: PathBuf,
        role: Role,
        wanted: &Wanted,
        phase: Phase,
    ) -> Result<(Self, TokenFlags, Mounted), Failure> {
        let before = file::read(&path)?;
        let fail = |error: irsa_apiserver::patch::PatchError| about(&path, &error);
        let manifest = Manifest::read(&before, &path, Some(Distro::Kubeadm)).map_err(fail)?;
        let component = manifest
            .components
            .iter()
            .find(|component| component.role == role);
        let Some(component) = component else {
            return Err(Failure::usage(
                format!("{} has no {role}", path.display()),
                "name its manifest",
            ));
        };
        let (flags, _) = manifest.flags(component).map_err(fail)?;
        let document = manifest.document(component).map_err(fail)?;
        let patched = manifest.patch(wanted, phase).map_err(fail)?;
        let (port, host) = address(&document, role);
        let mounted = Mounted {
            component: component.clone(),
            document,
        };
        Ok((
            Self {
                path,
                before,
                patched,
                port,
                host,
            },
            flags,
            mounted,
        ))
    }

    fn changes(&self) -> bool {
        self.patched.text != self.before
    }
}

/// Where a component's files are on the host.
struct Mounted {
    component: Component,
    document: Value,
}

impl Mounted {
    fn on_host(&self, root: &Path, file: &str) -> Option<PathBuf> {
        let host = self.component.mounts.host_path(&self.document, file)?;
        Some(below(root, &host))
    }
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
        let (api_server, flags, mounted) = File::read(manifest, Role::ApiServer, &wanted, phase)?;
        let beside = api_server
            .path
            .with_file_name("kube-controller-manager.yaml");
        let manager = controller_manager_manifest.or_else(|| beside.exists().then_some(beside));
        let manager = if let Some(path) = manager {
            Some(File::read(path, Role::ControllerManager, &wanted, phase)?)
        } else {
            report::warning(
                "no manifest of kube-controller-manager: it goes on signing tokens of legacy Secrets with its own key",
            );
            None
        };
        let manager_kid = manager.as_ref().and_then(|(_, flags, mounted)| {
            let path = mounted.on_host(&root, flags.value(Flag::PrivateKeyFile)?)?;
            let key = PrivateKeyPem::parse(&keyfile::read(&path).ok()?).ok()?;
            Some(key.public_key().kid())
        });
        let manager = manager.map(|(file, _, _)| file);
        let read = |file: &str| sources.find(file).or_else(|| mounted.on_host(&root, file));
        let current = flags
            .value(Flag::SigningKeyFile)
            .and_then(|file| mounted.on_host(&root, file));
        let keys = sources.keys(&root, current.as_deref().unwrap_or(Path::new("/")));
        let signing = wanted
            .signing_key_file
            .as_deref()
            .and_then(read)
            .or(current);
        let canary = canary(signing.as_deref(), &flags)?;
        let goal = Goal {
            phase,
            issuer: wanted.issuer.clone(),
            kids: kids(&wanted.key_files, read)?,
            gone: kids(&wanted.remove_key_files, read)?,
            signing: canary.as_ref().map(|canary| canary.signer.kid().clone()),
        };
        let config = cluster.config(&root).await?;
        let url =
            server.unwrap_or_else(|| format!("https://{}:{}", api_server.host, api_server.port));
        let server = cluster.server(&config, &url)?;
        let peers = others(&cluster, &config, &server, peer).await?;
        Ok(Self {
            server,
            keys,
            peers,
            api_server,
            manager,
            manager_kid,
            goal,
            account: cluster.service_account,
            allow_single,
            canary,
            retired: wanted.remove_issuers,
        })
    }

    /// Whether the others allow it.
    pub(super) async fn may_begin(&self) -> Result<(), Failure> {
        self.server.ready().await?;
        let mut health = Vec::new();
        for peer in &self.peers {
            let answer = peer.ready().await.map_err(|error| error.to_string());
            health.push((peer.url().to_owned(), answer));
        }
        let needed = self.api_server.changes();
        if needed {
            rollout::may_begin(&health, self.allow_single)?;
        }
        let all = std::iter::once(&self.server).chain(&self.peers);
        match self.goal.phase {
            Phase::Sign => {
                let token = self.canary(&self.server).await?.ok_or(Hold::NoProof)?;
                for server in all {
                    rollout::accepts(server.url(), &server.review(&token).await?)?;
                }
            }
            Phase::Retire => {
                if let Some(kid) = self
                    .manager_kid
                    .as_ref()
                    .filter(|kid| self.goal.gone.contains(kid))
                {
                    return Err(Hold::StillSigns {
                        server: "kube-controller-manager of this node".to_owned(),
                        what: format!("key {kid}"),
                    }
                    .into());
                }
                for server in all {
                    let token = server.mint(&self.account, &[]).await?;
                    rollout::has_stopped_signing(
                        server.url(),
                        &token,
                        &self.retired,
                        &self.goal.gone,
                    )?;
                }
            }
            Phase::Accept | Phase::New => {}
        }
        Ok(())
    }

    /// What is going to change in both manifests.
    pub(super) fn diff(&self) -> String {
        let files = std::iter::once(&self.api_server).chain(&self.manager);
        files
            .map(|file| diff(&file.path, &file.before, &file.patched.text))
            .collect()
    }

    /// Replaces the manifest and waits for the new state; puts it back when that does not come.
    pub(super) async fn write_api_server(
        &self,
        backups: &Backups,
        timeout: Duration,
    ) -> Result<Vec<PathBuf>, Failure> {
        let started = self.server.started().await?;
        let Some(started) = started else {
            return Err(Failure::usage(
                format!("{} does not say when it started", self.server.url()),
                "its /metrics must have process_start_time_seconds: nothing else tells the new process from the old one",
            ));
        };
        let File {
            path,
            before,
            patched,
            ..
        } = &self.api_server;
        if !self.api_server.changes() {
            wait::until(self, None, timeout).await?;
            return Ok(Vec::new());
        }
        let backup = backups.save(path, before, &patched.text, phase_name(self.goal.phase))?;
        file::replace(path, before, &patched.text)?;
        if let Err(missing) = wait::until(self, Some(started), timeout).await {
            return Err(wait::put_back(self, backups, missing, timeout).await);
        }
        Ok(vec![backup])
    }

    /// The manifest of the API server, to be put back.
    pub(super) fn restore(&self, backups: &Backups) -> Result<(), Failure> {
        let File { path, patched, .. } = &self.api_server;
        let saved = backups.last(path, &patched.text)?;
        file::replace(path, &patched.text, &saved.text)?;
        Ok(saved.forget()?)
    }

    /// Shows every other API server a token that this one signed now.
    pub(super) async fn prove_to_peers(&self) -> Result<Vec<String>, Failure> {
        let token = self.server.mint(&self.account, &[]).await?;
        let mut proved = Vec::new();
        for peer in &self.peers {
            let Ok(review) = peer.review(&token).await else {
                report::warning(&format!(
                    "{} does not answer now: whether it accepts tokens of this node was not seen",
                    peer.url()
                ));
                continue;
            };
            if let Err(hold) = rollout::accepts(peer.url(), &review) {
                return Err(wait::WaitError::Refused {
                    server: self.server.url().to_owned(),
                    manifest: self.api_server.path.clone(),
                    hold,
                }
                .into());
            }
            proved.push(format!(
                "{} accepts what {} signs",
                peer.url(),
                self.server.url()
            ));
        }
        Ok(proved)
    }

    /// Gives kube-controller-manager its key, and waits until it was away and is back.
    pub(super) async fn write_controller_manager(
        &self,
        backups: &Backups,
        timeout: Duration,
    ) -> Result<Option<PathBuf>, Failure> {
        let Some(manager) = self.manager.as_ref().filter(|manager| manager.changes()) else {
            return Ok(None);
        };
        let File {
            path,
            before,
            patched,
            port,
            host,
        } = manager;
        let backup = backups.save(path, before, &patched.text, phase_name(self.goal.phase))?;
        let watch = wait::Restart::watch(host, *port)?;
        file::replace(path, before, &patched.text)?;
        if let Err(error) = watch.until_back(timeout).await {
            file::replace(path, &patched.text, before)?;
            backups.last(path, before)?.forget()?;
            return Err(error.into());
        }
        Ok(Some(backup))
    }

    pub(super) fn goal(&self) -> &Goal {
        &self.goal
    }

    pub(super) fn account(&self) -> &ServiceAccount {
        &self.account
    }

    /// A token of the wanted issuer, signed with the key that is going to sign.
    pub(super) async fn canary(&self, server: &ApiServer) -> Result<Option<String>, Failure> {
        let Some(Canary { signer, audience }) = &self.canary else {
            return Ok(None);
        };
        let uid = server.uid(&self.account).await?;
        let token_id = random_uuid()?;
        let request = TokenRequest {
            issuer: &self.goal.issuer,
            audience,
            service_account: &self.account,
            uid: &uid,
            token_id: &token_id,
            issued_at: Timestamp::now(),
            lifetime: CANARY_SECONDS,
        };
        Ok(Some(signer.token(&request.to_bytes())?))
    }
}

fn canary(signing: Option<&Path>, flags: &TokenFlags) -> Result<Option<Canary>, Failure> {
    let Some(path) = signing.filter(|path| path.exists()) else {
        return Ok(None);
    };
    // kube-apiserver's own file: its mode is its owner's business here.
    let key = PrivateKeyPem::parse(&keyfile::read(path)?)?;
    Ok(Some(Canary {
        signer: Signer::new(&key)?,
        audience: flags.audiences().first().cloned().unwrap_or_default(),
    }))
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

/// Where a component answers on its node.
fn address(document: &Value, role: Role) -> (u16, String) {
    let (port, name, loopback) = match role {
        Role::ApiServer => (6443, "--advertise-address=", "127.0.0.1"),
        Role::ControllerManager => (10257, "--bind-address=", "127.0.0.1"),
    };
    let words = document.to_string();
    let value = |flag: &str| {
        let rest = words.split_once(flag)?.1;
        rest.split('"').next().map(str::to_owned)
    };
    let port = value("--secure-port=")
        .and_then(|text| text.parse().ok())
        .unwrap_or(port);
    let host = value(name)
        .filter(|host| host != "0.0.0.0" && host != "::")
        .unwrap_or_else(|| loopback.to_owned());
    (
        port,
        if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        },
    )
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Accept => "accept",
        Phase::Sign => "sign",
        Phase::New => "new",
        Phase::Retire => "retire",
    }
}
