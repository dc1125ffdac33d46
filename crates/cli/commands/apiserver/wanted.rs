//! What the flags shall be: from options, else from the configuration file.

use clap::Args;
use irsa_apiserver::plan::Wanted;
use irsa_core::provider::STS_AUDIENCE;

use crate::args::DocumentArgs;
use crate::commands::warn_of_issuer;
use crate::config::ApiserverSection;
use crate::context::Context;
use crate::report::Failure;

/// The wanted state.
#[derive(Debug, Clone, Args)]
#[command(
    next_help_heading = "Wanted state",
    mut_arg("jwks_uri", |arg| arg.help("Where the JWKS stands, for kube-apiserver's own discovery document [default: what is there stays]"))
)]
pub struct WantedArgs {
    /// The issuer and its documents.
    #[command(flatten)]
    pub document: DocumentArgs,
    /// Public key file to accept tokens with, as kube-apiserver sees the path (several: repeat it)
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub key_file: Vec<String>,
    /// Private key file to sign with, as kube-apiserver sees the path
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub signing_key_file: Option<String>,
    /// Audience for kube-apiserver to accept besides those in force (several: repeat it)
    #[arg(long, value_name = "AUDIENCE", value_parser = audience)]
    pub api_audience: Vec<String>,
    /// Whether the section of the configuration file is passed over: a rotation names every key itself.
    #[arg(skip)]
    pub alone: bool,
}

impl WantedArgs {
    /// Whether anything was said, here or in the file.
    pub fn given(&self, context: &Context) -> bool {
        self.document.issuer.issuer.is_some()
            || context.config.apiserver != ApiserverSection::default()
    }

    /// The wanted state.
    pub fn resolve(self, context: &Context) -> Result<Wanted, Failure> {
        let Self {
            mut document,
            key_file,
            signing_key_file,
            api_audience,
            alone,
        } = self;
        let section = if alone {
            ApiserverSection::default()
        } else {
            context.config.apiserver.clone()
        };
        if document.issuer.issuer.is_none() {
            document.issuer.issuer = section.issuer;
            document.jwks_uri = document.jwks_uri.or(section.jwks_uri);
        }
        let stays = alone && document.jwks_uri.is_none();
        let (issuer, jwks_uri) = document.require(context)?;
        if !issuer.is_https() {
            return Err(Failure::usage(
                format!("the issuer \"{issuer}\" is not https"),
                "kube-apiserver serves neither document for it, and AWS accepts no such issuer",
            ));
        }
        let or =
            |given: Vec<String>, file: Vec<String>| if given.is_empty() { file } else { given };
        if !alone {
            warn_of_issuer(&issuer);
        }
        let wanted = Wanted {
            issuer,
            jwks_uri: jwks_uri.filter(|_| !stays),
            key_files: or(key_file, section.key_files),
            signing_key_file: signing_key_file.or(section.signing_key_file),
            api_audiences: or(api_audience, section.api_audiences),
            remove_issuers: Vec::new(),
            remove_key_files: Vec::new(),
        };
        // What stands in the file was not looked at by the parser of options.
        let paths = wanted.key_files.iter().chain(&wanted.signing_key_file);
        for text in paths {
            path(text).map_err(|reason| refused("path", text, reason))?;
        }
        for text in &wanted.api_audiences {
            audience(text).map_err(|reason| refused("audience", text, reason))?;
        }
        Ok(wanted)
    }
}

fn refused(what: &str, text: &str, reason: String) -> Failure {
    Failure::usage(format!("{what} \"{text}\" is refused"), reason)
}

/// A path as it can stand in a flag of kube-apiserver.
pub(super) fn path(text: &str) -> Result<String, String> {
    let plain = !text
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || ",\"'".contains(c));
    let parts = text.split('/').any(|part| part == ".." || part == ".");
    if text.starts_with('/') && text.len() > 1 && plain && !parts {
        Ok(text.to_owned())
    } else {
        Err(
            "an absolute path without blanks, commas or quotes, as kube-apiserver sees it"
                .to_owned(),
        )
    }
}

fn audience(text: &str) -> Result<String, String> {
    if text == STS_AUDIENCE {
        return Err(
            "tokens that pods have for AWS would be accepted by the cluster: ask for this audience in the pods only".to_owned(),
        );
    }
    let plain = !text.is_empty()
        && !text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || ",\"'".contains(c));
    if plain {
        Ok(text.to_owned())
    } else {
        Err("a text without blanks, commas or quotes".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_flag_is_refused() {
        assert!(path("/etc/kubernetes/pki/sa.pub").is_ok());
        for bad in ["sa.pub", "/", "/a b", "/a,b", "/a/../b", "/a\nb", "/a\"b"] {
            assert!(path(bad).is_err(), "{bad}");
        }
        assert!(audience("https://kubernetes.default.svc").is_ok());
        for bad in ["", "a,b", "sts.amazonaws.com"] {
            assert!(audience(bad).is_err(), "{bad}");
        }
    }
}
