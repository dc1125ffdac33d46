//! `irsa apiserver check`.

mod live;

use std::path::{Path, PathBuf};

use clap::ValueHint;
use irsa_apiserver::component::{Component, Role};
use irsa_apiserver::file;
use irsa_apiserver::findings::{self, Finding, Inspected, Seen, Severity};
use irsa_apiserver::flags::{Flag, TokenFlags};
use irsa_apiserver::patch::{Manifest, PatchError};
use irsa_apiserver::plan::Wanted;
use irsa_apiserver::shape::Occurrence;
use irsa_core::block::KeyFile;
use irsa_core::explain::Explain as _;
use irsa_core::kid::Kid;
use irsa_core::private::PrivateKeyPem;
use irsa_issuer::keyfile;
use serde::Serialize;

use super::DistroChoice;
use super::servers::{ClusterArgs, below};
use super::wanted::WantedArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::Failure;

/// Compare kube-apiserver's token flags with what is wanted, and find what is wrong with them.
///
/// Reads the files of any distribution. Key files that are on this host are read too, where the manifest's volumes put
/// them: a key that kube-apiserver would pass over, or a signing key that nobody verifies, is found before it hurts.
/// Without --issuer only what is wrong in itself is reported. Exits with 3 when there is a problem.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the flags should be.
    #[command(flatten)]
    pub wanted: WantedArgs,
    /// The files: manifests of kube-apiserver and kube-controller-manager, or the cluster's configuration
    #[arg(required_unless_present = "live", conflicts_with = "live", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// The distribution that the files are of: auto, or one of kubeadm, kubeadm-config, capi, eks-anywhere, k3s, rke2,
    /// kind, talos, kops
    #[arg(long, value_name = "DISTRO", default_value = "auto")]
    pub distro: DistroChoice,
    /// Where the host's files are found, when the manifests come from another one
    #[arg(long, value_name = "DIR", default_value = "/", value_hint = ValueHint::DirPath)]
    pub root: PathBuf,
    /// Ask the API servers themselves, each one directly: what they serve, sign, and accept of each other
    #[arg(long)]
    pub live: bool,
    /// Address of an API server, with --live (several: repeat it) [default: those that registered themselves]
    #[arg(long, value_name = "URL", requires = "live")]
    pub server: Vec<String>,
    /// The cluster, with --live.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

#[derive(Serialize)]
struct Report {
    components: Vec<ComponentRow>,
    findings: Vec<FindingRow>,
}

#[derive(Serialize)]
struct ComponentRow {
    file: PathBuf,
    component: String,
    distro: String,
    evidence: String,
    flags: Vec<FlagRow>,
}

#[derive(Serialize)]
struct FlagRow {
    flag: &'static str,
    values: Vec<String>,
    /// Whether the file says so, or the distribution does by itself.
    written: bool,
}

#[derive(Serialize)]
struct FindingRow {
    file: PathBuf,
    line: Option<usize>,
    #[serde(flatten)]
    finding: Finding,
}

impl Render for Report {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for row in &self.components {
            lines.push(format!(
                "{} in {} ({}: {})",
                row.component,
                row.file.display(),
                row.distro,
                row.evidence
            ));
            for flag in &row.flags {
                let origin = if flag.written {
                    ""
                } else {
                    "  (set by the distribution)"
                };
                lines.extend(
                    flag.values
                        .iter()
                        .map(|value| format!("  --{}={value}{origin}", flag.flag)),
                );
            }
        }
        for row in &self.findings {
            let line = row.line.map_or_else(String::new, |line| format!(":{line}"));
            lines.push(row.finding.text(&format!("{}{line}: ", row.file.display())));
        }
        if self.findings.is_empty() {
            lines.push("no problem found".to_owned());
        }
        lines.join("\n")
    }
}

/// One component with everything that was found out about it.
struct Looked {
    file: PathBuf,
    role: Role,
    row: ComponentRow,
    occurrences: Vec<Occurrence>,
    lines: Vec<Option<usize>>,
    flags: TokenFlags,
    key_files: Vec<(String, Seen<KeyFile>)>,
    signing: Option<(String, Seen<Kid>)>,
}

/// Checks the files, and kube-controller-manager's key against kube-apiserver's when both were given.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        wanted,
        files,
        distro,
        root,
        live,
        server,
        cluster,
    } = args;
    let wanted: Option<Wanted> = if wanted.given(context) {
        Some(wanted.resolve(context)?)
    } else {
        None
    };
    if live {
        return live::run(&cluster, &server, wanted.as_ref(), context);
    }
    let mut looked = Vec::new();
    for path in files {
        let text = file::read(&path)?;
        let refused = |error: &PatchError| {
            Failure::prefixed(&format!("{} cannot be checked", path.display()), error)
        };
        let manifest =
            Manifest::read(&text, &path, distro.known()).map_err(|error| refused(&error))?;
        for component in &manifest.components {
            looked.push(look(&manifest, component, &path, &root).map_err(|error| refused(&error))?);
        }
    }
    let rows = judge(&looked, wanted.as_ref());
    let problem = rows
        .iter()
        .any(|row| row.finding.severity == Severity::Problem);
    context.print(&Report {
        components: looked.into_iter().map(|one| one.row).collect(),
        findings: rows,
    })?;
    Ok(if problem {
        Exit::Differences
    } else {
        Exit::Done
    })
}

/// What is found of each component, and between the two.
fn judge(looked: &[Looked], wanted: Option<&Wanted>) -> Vec<FindingRow> {
    let mut rows = Vec::new();
    for one in looked {
        let found = findings::of_component(&one.inspected(), wanted);
        rows.extend(found.into_iter().map(|finding| {
            FindingRow {
                file: one.file.clone(),
                line: finding
                    .occurrence
                    .and_then(|index| one.lines.get(index).copied().flatten()),
                finding,
            }
        }));
    }
    let of_role = |role| looked.iter().find(move |one| one.role == role);
    if let (Some(api_server), Some(manager)) =
        (of_role(Role::ApiServer), of_role(Role::ControllerManager))
    {
        let found = findings::between(&api_server.inspected(), &manager.inspected());
        rows.extend(found.into_iter().map(|finding| FindingRow {
            file: manager.file.clone(),
            line: None,
            finding,
        }));
    }
    rows
}

impl Looked {
    fn inspected(&self) -> Inspected<'_> {
        Inspected {
            role: self.role,
            occurrences: &self.occurrences,
            flags: &self.flags,
            key_files: &self.key_files,
            signing: self.signing.as_ref(),
        }
    }
}

fn look(
    manifest: &Manifest<'_>,
    component: &Component,
    path: &Path,
    root: &Path,
) -> Result<Looked, PatchError> {
    let document = manifest.document(component)?;
    let (written, flags) = manifest.flags(component)?;
    let occurrences = component.shape.read(&document)?;
    let lines = occurrences
        .iter()
        .map(|one| manifest.line(component, &one.path))
        .collect();
    let open = |file: &str| match component.mounts.host_path(&document, file) {
        None => Seen::NotMounted,
        Some(on_host) => read(&below(root, &on_host)),
    };
    // A path that the distribution chose is no fault of the file.
    let is_written = |flag, value: &str| written.values(flag).iter().any(|one| one == value);
    let fault = |flag, file: &str| match open(file) {
        Seen::NotMounted if !is_written(flag, file) => Seen::NotHere,
        seen => seen,
    };
    let key_files = flags
        .values(Flag::KeyFile)
        .iter()
        .map(|file| {
            (
                file.clone(),
                fault(Flag::KeyFile, file).map(|text| Ok(KeyFile::parse(&text))),
            )
        })
        .collect();
    let signing_flag = match component.role {
        Role::ApiServer => Flag::SigningKeyFile,
        Role::ControllerManager => Flag::PrivateKeyFile,
    };
    let signing = flags.value(signing_flag).map(|file| {
        let kid = fault(signing_flag, file).map(|text| match PrivateKeyPem::parse(&text) {
            Ok(key) => Ok(key.public_key().kid()),
            Err(error) => Err(error.to_string()),
        });
        (file.to_owned(), kid)
    });
    let row = row(manifest, component, path, &written, &flags);
    Ok(Looked {
        file: path.to_owned(),
        role: component.role,
        row,
        occurrences,
        lines,
        flags,
        key_files,
        signing,
    })
}

fn row(
    manifest: &Manifest<'_>,
    component: &Component,
    path: &Path,
    written: &TokenFlags,
    flags: &TokenFlags,
) -> ComponentRow {
    let of = |flag: Flag| FlagRow {
        flag: flag.name(),
        values: flags.values(flag).to_vec(),
        written: written.has(flag),
    };
    let set = Flag::ALL.into_iter().filter(|flag| flags.has(*flag));
    ComponentRow {
        file: path.to_owned(),
        component: component.role.to_string(),
        distro: manifest.detected.distro.to_string(),
        evidence: manifest.detected.evidence.clone(),
        flags: set.map(of).collect(),
    }
}

/// A key file of this host. That it is not here says nothing: the manifest may be of another host.
fn read(path: &Path) -> Seen<zeroize::Zeroizing<Vec<u8>>> {
    match keyfile::read(path) {
        Ok(text) => Seen::Read(text),
        Err(keyfile::KeyFileError::Read { source, .. }) => match source.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => Seen::NotHere,
            _ => Seen::Unreadable(source.to_string()),
        },
        Err(error) => Seen::Unreadable(error.help().unwrap_or_else(|| error.to_string())),
    }
}
