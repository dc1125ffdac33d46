//! `irsa apiserver check`.

mod live;

use std::path::{Path, PathBuf};

use clap::ValueHint;
use irsa_apiserver::component::Role;
use irsa_apiserver::distro::Distro;
use irsa_apiserver::findings::{self, Finding, Severity};
use irsa_apiserver::flags::Flag;
use irsa_apiserver::layers::{self, LayerError};
use irsa_apiserver::patch::{Manifest, PatchError};
use irsa_apiserver::plan::Wanted;
use serde::Serialize;

use super::DistroChoice;
use super::layers::{Around, around};
use super::look::{Looked, look};
use super::servers::ClusterArgs;
use super::wanted::WantedArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::{self, Failure};

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
        let problem = |row: &FindingRow| row.finding.severity == Severity::Problem;
        if self.findings.is_empty() {
            lines.push("no problem found".to_owned());
        } else if !self.findings.iter().any(problem) {
            lines.push("no problem found, but for what the notes say".to_owned());
        }
        lines.join("\n")
    }
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
    // clap does not insist on what another argument of this line forbids.
    let of_live = [
        "server",
        "kubeconfig",
        "context",
        "tls_server_name",
        "service_account",
    ];
    if let Some(given) = of_live.into_iter().find(|id| context.is_typed(id)) {
        return Err(Failure::usage(
            format!("--{} is for --live", given.replace('_', "-")),
            "leave it out to check files, or give --live in place of the files",
        ));
    }
    let (mut looked, mut rows, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for path in files {
        let text = super::patch::read(&path)?.unwrap_or_else(|| {
            report::warning(&format!(
                "{} does not exist: these are the distribution's own settings",
                path.display()
            ));
            String::new()
        });
        let refused = |error: &PatchError| {
            Failure::prefixed(&format!("{} cannot be checked", path.display()), error)
        };
        let manifest = Manifest::read(&text, &super::patch::absolute(&path), distro.known())
            .map_err(|error| refused(&error))?;
        for component in &manifest.components {
            let one = look(&manifest, component, &root).map_err(|error| refused(&error))?;
            rows.push(row(&manifest, &one, &path));
            looked.push((path.clone(), one));
        }
        found.extend(of_layers(&text, &path, manifest.detected.distro)?);
        found.extend(of_file(&manifest, &path, wanted.as_ref()).map_err(|error| refused(&error))?);
    }
    found.extend(judge(&looked, wanted.as_ref()));
    let problem = found
        .iter()
        .any(|row| row.finding.severity == Severity::Problem);
    context.print(&Report {
        components: rows,
        findings: found,
    })?;
    Ok(if problem {
        Exit::Differences
    } else {
        Exit::Done
    })
}

/// What other files that are read with it make of its flags.
fn of_layers(text: &str, file: &Path, distro: Distro) -> Result<Vec<FindingRow>, Failure> {
    let Around { earlier, later } = around(file, distro)?;
    let differences = layers::differences(text, &earlier, &later).map_err(|error| {
        Failure::prefixed(&format!("{} cannot be checked", file.display()), &error)
    })?;
    let row = |error: &LayerError| FindingRow {
        file: file.to_owned(),
        line: None,
        finding: error.finding(),
    };
    Ok(differences.iter().map(row).collect())
}

/// What is found of a file as a whole.
fn of_file(
    manifest: &Manifest<'_>,
    file: &Path,
    wanted: Option<&Wanted>,
) -> Result<Vec<FindingRow>, PatchError> {
    let published = findings::published_by_distribution(manifest, wanted)?;
    let first = manifest.components.first();
    let row = |(place, finding)| FindingRow {
        file: file.to_owned(),
        line: first.and_then(|component| manifest.line(component, &place)),
        finding,
    };
    Ok(published.map(row).into_iter().collect())
}

/// What is found of each component, and between the two.
fn judge(looked: &[(PathBuf, Looked)], wanted: Option<&Wanted>) -> Vec<FindingRow> {
    let mut rows = Vec::new();
    for (file, one) in looked {
        let inspected = one.inspected();
        let found = findings::of_component(&inspected, wanted);
        let found = found.into_iter().chain(findings::not_looked_at(&inspected));
        rows.extend(found.map(|finding| {
            FindingRow {
                file: file.clone(),
                line: finding
                    .occurrence
                    .and_then(|index| one.lines.get(index).copied().flatten()),
                finding,
            }
        }));
    }
    let of_role = |role| looked.iter().find(move |(_, one)| one.role == role);
    if let (Some((_, api_server)), Some((file, manager))) =
        (of_role(Role::ApiServer), of_role(Role::ControllerManager))
    {
        let found = findings::between(&api_server.inspected(), &manager.inspected());
        rows.extend(found.into_iter().map(|finding| FindingRow {
            file: file.clone(),
            line: None,
            finding,
        }));
    }
    rows
}

fn row(manifest: &Manifest<'_>, looked: &Looked, path: &Path) -> ComponentRow {
    let of = |flag: Flag| FlagRow {
        flag: flag.name(),
        values: looked.flags.values(flag).to_vec(),
        written: looked.written.has(flag),
    };
    let set = Flag::ALL.into_iter();
    let set = set.filter(|flag| looked.flags.has(*flag));
    ComponentRow {
        file: path.to_owned(),
        component: looked.role.to_string(),
        distro: manifest.detected.distro.to_string(),
        evidence: manifest.detected.evidence.clone(),
        flags: set.map(of).collect(),
    }
}
