//! The API servers of a cluster, each asked directly.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use irsa_apiserver::live::{ApiServer, LiveError};
use irsa_apiserver::matrix::ServerSeen;
use irsa_core::token::claims::ServiceAccount;

use crate::kubernetes::KubernetesArgs;
use crate::report::Failure;

/// How the API servers are reached.
#[derive(Debug, Clone, Args)]
pub struct ClusterArgs {
    /// The cluster.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
    /// Name in the API servers' certificates, when their addresses are not in them
    #[arg(long, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// ServiceAccount to make test tokens for; they live ten minutes and are shown to nobody
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "kube-system/default", value_parser = account)]
    pub service_account: ServiceAccount,
}

/// The administrator's kubeconfig on a control-plane node that kubeadm made.
const ADMIN: &str = "/etc/kubernetes/admin.conf";
/// Those of k3s and RKE2, which are on machines that manage other clusters too: only where the user has none.
const OF_RANCHER: [&str; 2] = ["/etc/rancher/k3s/k3s.yaml", "/etc/rancher/rke2/rke2.yaml"];

/// The kubeconfig to take on this machine when none is named.
fn administrators(root: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let admin = below(root, ADMIN);
    if admin.exists() {
        return Some(admin);
    }
    if home.is_some_and(Path::exists) {
        return None;
    }
    let files = OF_RANCHER.iter().map(|path| below(root, path));
    // Mostly root's own: whoever may not read it goes without.
    files.into_iter().find(|path| File::open(path).is_ok())
}

fn home_kubeconfig() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join(".kube/config"))
}

impl ClusterArgs {
    /// A configuration with credentials; the address in it may be a load balancer's. On a control-plane node the
    /// administrator's own when none is named.
    pub async fn config(&self, root: &Path) -> Result<kube::Config, Failure> {
        let mut arguments = self.kubernetes.clone();
        let named = arguments.kubeconfig.is_some()
            || arguments.context.is_some()
            || std::env::var_os("KUBECONFIG").is_some();
        if !named {
            arguments.kubeconfig = administrators(root, home_kubeconfig().as_deref());
        }
        Ok(arguments.config().await?)
    }

    /// The server at an address.
    pub fn server(&self, config: &kube::Config, url: &str) -> Result<ApiServer, Failure> {
        let name = self.tls_server_name.as_deref();
        ApiServer::new(config, url, name).map_err(|error| Failure::refused(&error))
    }

    /// The servers that are named, else those that registered themselves.
    pub async fn servers(
        &self,
        config: &kube::Config,
        named: &[String],
    ) -> Result<Vec<ApiServer>, Failure> {
        let urls = if named.is_empty() {
            let front = ApiServer::new(
                config,
                &config.cluster_url.to_string(),
                config.tls_server_name.as_deref(),
            );
            front
                .map_err(|error| Failure::refused(&error))?
                .all()
                .await?
        } else {
            named.to_vec()
        };
        if urls.is_empty() {
            return Err(Failure::usage(
                "the API servers of this cluster have not registered themselves",
                "name each one with --server https://ADDRESS:PORT",
            ));
        }
        urls.iter().map(|url| self.server(config, url)).collect()
    }
}

/// Asks every server, and every other about its token. Fails only when none answers.
pub(in crate::commands::apiserver) async fn look(
    servers: &[ApiServer],
    account: &ServiceAccount,
) -> Result<Vec<ServerSeen>, Failure> {
    let (mut seen, mut lost) = (Vec::new(), None);
    for server in servers {
        seen.push(match alone(server, account).await {
            Ok(seen) => seen,
            Err(error) => {
                let silent = ServerSeen::silent(server.url(), (&error).into(), servers.len());
                lost.get_or_insert(error);
                silent
            }
        });
    }
    if let Some(error) = lost.filter(|_| seen.iter().all(|one| one.silent.is_some())) {
        return Err(error.into());
    }
    let answers: Vec<bool> = seen.iter().map(|one| one.silent.is_none()).collect();
    for one in seen.iter_mut().filter(|one| one.silent.is_none()) {
        for (server, answers) in servers.iter().zip(&answers) {
            one.reviews.push(if *answers {
                let review = server.review(&one.token).await;
                Some(review.map_err(|error| (&error).into()))
            } else {
                None
            });
        }
    }
    Ok(seen)
}

/// Everything that one server says by itself.
async fn alone(server: &ApiServer, account: &ServiceAccount) -> Result<ServerSeen, LiveError> {
    let token = server.mint(account, &[]).await?;
    let sts = server
        .mint(account, &[irsa_core::provider::STS_AUDIENCE])
        .await?;
    Ok(ServerSeen {
        url: server.url().to_owned(),
        silent: None,
        discovery: server.discovery().await?,
        jwks: server.jwks().await?,
        token,
        reviews: Vec::new(),
        sts: Some(server.review(&sts).await?),
    })
}

fn account(text: &str) -> Result<ServiceAccount, String> {
    ServiceAccount::parse(text).map_err(|error| error.to_string())
}

/// A path of a host below the directory where that host's files are.
pub(in crate::commands::apiserver) fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_s_own_kubeconfig_goes_before_that_of_k3s() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = below(root.path(), path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let chosen = |home| administrators(root.path(), home);
        assert_eq!(chosen(None), None);
        let of_k3s = write("/etc/rancher/k3s/k3s.yaml");
        let home = write("/home/a/.kube/config");
        assert_eq!(chosen(Some(&home)), None);
        assert_eq!(chosen(None).as_ref(), Some(&of_k3s));
        assert_eq!(chosen(Some(Path::new("/nowhere"))), Some(of_k3s));
        let of_kubeadm = write(ADMIN);
        assert_eq!(chosen(Some(&home)), Some(of_kubeadm));
    }
}
