//! kube-apiserver's token flags in files of any distribution.

use std::path::PathBuf;

use irsa_apiserver::component::Role;
use irsa_apiserver::file;
use irsa_apiserver::findings::{self, Inspected, Severity};
use irsa_apiserver::flags::Flag;
use irsa_apiserver::patch::{Manifest, PatchError};
use irsa_core::diagnosis::facts::{FlagsSeen, Seen, Unseen};

use crate::report::Failure;

/// The flags of each file that has a kube-apiserver in it.
pub(super) fn observe(paths: &[PathBuf]) -> Result<Seen<Vec<FlagsSeen>>, Failure> {
    if paths.is_empty() {
        let help = "add --apiserver-flags FILE with kube-apiserver's manifest, or --live";
        let unseen = Unseen::not_asked("kube-apiserver's flags were not given", help);
        return Ok(Seen::Unseen(unseen));
    }
    let mut seen = Vec::new();
    for path in paths {
        let text = file::read(path)?;
        let shown = path.display().to_string();
        let refused =
            |error: PatchError| Failure::prefixed(&format!("{shown} cannot be looked at"), &error);
        let manifest = Manifest::read(&text, path, None).map_err(refused)?;
        for component in &manifest.components {
            if component.role == Role::ApiServer {
                let (_, flags) = manifest.flags(component).map_err(refused)?;
                let document = manifest.document(component).map_err(refused)?;
                let occurrences = component
                    .shape
                    .read(&document)
                    .map_err(|error| refused(PatchError::from(error)))?;
                let inspected = Inspected {
                    role: component.role,
                    occurrences: &occurrences,
                    flags: &flags,
                    whole: component.is_whole(),
                    key_files: &[],
                    signing: None,
                };
                seen.push(FlagsSeen {
                    file: shown.clone(),
                    issuers: flags.values(Flag::Issuer).to_vec(),
                    audiences: flags.audiences().to_vec(),
                    others: others(&inspected),
                });
            }
        }
    }
    Ok(Seen::Found(seen))
}

/// What is wrong with flags that the diagnosis itself does not look at.
fn others(inspected: &Inspected<'_>) -> Vec<(String, String)> {
    let about_another = |index: usize| {
        let occurrence = inspected.occurrences.get(index);
        occurrence.is_some_and(|one| !matches!(one.flag, Flag::Issuer | Flag::ApiAudiences))
    };
    findings::of_component(inspected, None)
        .into_iter()
        .filter(|finding| finding.severity == Severity::Problem)
        .filter(|finding| finding.occurrence.is_some_and(about_another))
        .map(|finding| (finding.message, finding.help))
        .collect()
}
