//! `irsa keys inspect`.

use std::path::{Path, PathBuf};

use clap::ValueHint;
use irsa_core::block::{KeyBlock, KeyFile, Verdict};
use irsa_issuer::keyfile;
use serde::Serialize;

use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Render};
use crate::report::{self, Failure};
use crate::visible::visible;

/// Show what each PEM block of a key file is, its kid, and what kube-apiserver does with it.
///
/// kube-apiserver passes over blocks that it cannot read without a word, and its two key flags read different
/// things. Private keys are looked at, never printed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Key files, certificates, anything in PEM; - is standard input
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Inspected {
    blocks: Vec<Block>,
}

#[derive(Serialize)]
struct Block {
    file: PathBuf,
    line: usize,
    label: String,
    form: String,
    key: Option<String>,
    algorithm: Option<&'static str>,
    kid: Option<String>,
    problem: Option<String>,
    service_account_key_file: Use,
    service_account_signing_key_file: Use,
}

#[derive(Serialize)]
struct Use {
    verdict: &'static str,
    reason: Option<String>,
}

impl From<&Verdict> for Use {
    fn from(verdict: &Verdict) -> Self {
        let (verdict, reason) = match verdict {
            Verdict::Used => ("used", None),
            Verdict::Skipped(reason) => ("skipped", Some((*reason).to_owned())),
            Verdict::NothingElse(reason) => (
                "refused",
                Some(format!(
                    "{reason}; no other block will do, so kube-apiserver exits"
                )),
            ),
            Verdict::Refused(reason) => ("refused", Some((*reason).to_owned())),
        };
        Self { verdict, reason }
    }
}

impl Use {
    fn text(&self) -> String {
        match &self.reason {
            None => self.verdict.to_owned(),
            Some(reason) => format!("{}: {reason}", self.verdict),
        }
    }
}

impl Block {
    fn new(file: &Path, block: &KeyBlock) -> Self {
        let key = block.key.as_ref().ok();
        let problem = block.key.as_ref().err().filter(|_| block.is_key());
        Self {
            file: file.to_owned(),
            line: block.line,
            label: block.label.clone(),
            form: block.form.to_string(),
            key: key.map(irsa_core::keys::PublicKey::describe),
            algorithm: key.map(|key| key.algorithm().name()),
            kid: key.map(|key| key.kid().to_string()),
            problem: problem.map(ToString::to_string),
            service_account_key_file: (&block.as_verification).into(),
            service_account_signing_key_file: (&block.as_signing).into(),
        }
    }

    fn text(&self) -> String {
        let key = match (&self.key, self.algorithm, &self.problem) {
            (Some(key), Some(algorithm), _) => format!("{key}, {algorithm}"),
            (_, _, Some(problem)) => problem.clone(),
            _ => "no key".to_owned(),
        };
        let mut lines = vec![
            format!(
                "{}:{}  {}",
                visible(&self.file.display().to_string()),
                self.line,
                visible(&self.label)
            ),
            format!("  is                                  {}", self.form),
            format!("  key                                 {key}"),
        ];
        lines.extend(
            self.kid
                .iter()
                .map(|kid| format!("  kid                                 {kid}")),
        );
        lines.push(format!(
            "  --service-account-key-file          {}",
            self.service_account_key_file.text()
        ));
        lines.push(format!(
            "  --service-account-signing-key-file  {}",
            self.service_account_signing_key_file.text()
        ));
        lines.join("\n")
    }
}

impl Render for Inspected {
    fn text(&self) -> String {
        self.blocks
            .iter()
            .map(Block::text)
            .collect::<Vec<_>>()
            .join("\n\n")
    }
}

/// Reads the files and shows their blocks.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args { files } = args;
    let mut blocks = Vec::new();
    let mut broken = false;
    for path in files {
        let file = KeyFile::parse(&keyfile::read(&path)?);
        broken |= !file.damaged.is_empty();
        for damaged in &file.damaged {
            report::warning(&format!(
                "{}:{}: the block \"{}\" is damaged (no matching END line, or broken base64); kube-apiserver skips it",
                path.display(),
                damaged.line,
                damaged.label
            ));
        }
        if file.blocks.is_empty() {
            report::warning(&format!(
                "{}: no PEM block: kube-apiserver exits with such a file",
                path.display()
            ));
        }
        blocks.extend(file.blocks.iter().map(|block| Block::new(&path, block)));
    }
    let found = !blocks.is_empty();
    if found || context.output.value == output::Format::Json {
        context.print(&Inspected { blocks })?;
    }
    if found {
        return Ok(Exit::Done);
    }
    if broken {
        return Err(Failure::failed(
            "there is no whole PEM block to look at",
            "kube-apiserver skips a damaged block in silence: take the file from where it was made, or write its public half anew",
        ));
    }
    Err(Failure::failed(
        "there is no PEM block to look at",
        "name a file with lines like -----BEGIN PUBLIC KEY-----, as /etc/kubernetes/pki/sa.pub; of a key in DER openssl makes one: \
         openssl pkey -in FILE, with -pubin for a public key",
    ))
}
