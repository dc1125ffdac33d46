//! Certificate and key files: read, checked as a pair, swapped while serving.
//!
//! Files are looked at by polling their metadata: kubelet's projected volumes, cert-manager, certbot and plain `cp`
//! replace files in ways that file notifications report differently, and a renewal is not urgent. A changed pair is
//! taken only when two looks in a row see the same, so that a certificate is not paired with the key before it, and
//! only when it parses and fits; otherwise the last good pair stays and is warned about once.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use irsa_endpoint::tls::{self, Pair, PairError, PairFiles, PairTexts, Served};
use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use url::Url;

use super::{Metrics, ServeError, SiteHandle};
use crate::keyset::Stamp;

/// Checks the files as the server would take them, and returns when the first certificate of the chain expires.
pub fn validate_tls(files: &PairFiles) -> Result<SystemTime, ServeError> {
    let pair = load(files)?;
    let seconds = u64::try_from(pair.expires).unwrap_or_default();
    Ok(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
}

/// The pair that is served now, and where the next one comes from.
#[derive(Debug)]
pub(super) struct Certificates {
    files: PairFiles,
    served: Arc<Served>,
    /// How the files looked just before the first pair was read.
    loaded: Stamp,
    metrics: Metrics,
    /// Whose hosts the certificate should name.
    site: SiteHandle,
}

impl Certificates {
    /// Loads the first pair; without one there is nothing to serve.
    pub(super) fn load(
        files: PairFiles,
        metrics: Metrics,
        site: SiteHandle,
    ) -> Result<Self, ServeError> {
        let loaded = stamp(&files);
        let pair = load(&files)?;
        announce(&pair, &files, &metrics);
        warn_of_names(&pair, &files, &site);
        let served = Arc::new(Served::default());
        served.put(pair);
        Ok(Self {
            files,
            served,
            loaded,
            metrics,
            site,
        })
    }

    /// TLS 1.2 and 1.3 with this certificate, offering HTTP/2 before HTTP/1.1.
    pub(super) fn server_config(&self) -> Result<rustls::ServerConfig, ServeError> {
        tls::server_config(&self.served, provider(), &[&TLS13, &TLS12], None)
            .map_err(|source| ServeError::TlsSetup { source })
    }

    /// Takes the pair that the files hold now, or keeps the last good one, warns and says why. Says whether it is another
    /// one than before.
    pub(super) fn reload(&self) -> Result<bool, ServeError> {
        match load(&self.files) {
            Ok(pair) => {
                announce(&pair, &self.files, &self.metrics);
                warn_of_names(&pair, &self.files, &self.site);
                let is_new = self.served.put(pair);
                self.metrics.certificate_reload_succeeded();
                Ok(is_new)
            }
            Err(error) => {
                self.metrics.certificate_reload_failed();
                Err(error)
            }
        }
    }

    /// What the files look like from outside; differs after any kind of replacement, and when who may read them changed.
    pub(super) fn look(&self) -> Stamp {
        stamp(&self.files)
    }

    pub(super) fn loaded(&self) -> &Stamp {
        &self.loaded
    }

    pub(super) fn files(&self) -> &PairFiles {
        &self.files
    }
}

/// Decides from successive looks when to read the files again.
#[derive(Debug)]
pub(super) struct Watcher {
    taken: Stamp,
    last: Stamp,
    /// For how many looks in a row they did not hold still.
    restless: u32,
}

/// After so many looks files that are touched again and again are read all the same: a certificate must not expire
/// because of an agent that sets their mode or owner. Half a pair is refused when it is read, and tried again.
const RESTLESS_LOOKS: u32 = 5;

impl Watcher {
    pub(super) fn new(first: Stamp) -> Self {
        Self {
            taken: first.clone(),
            last: first,
            restless: 0,
        }
    }

    /// Whether the files changed and then held still for one look, or never do.
    pub(super) fn settled_change(&mut self, look: Stamp) -> bool {
        let changed = look != self.taken;
        self.restless = if changed { self.restless + 1 } else { 0 };
        let due = changed && (look == self.last || self.restless >= RESTLESS_LOOKS);
        if due {
            self.taken = look.clone();
            self.restless = 0;
        }
        self.last = look;
        due
    }

    /// What was taken last could not be read: it is tried again, though nothing about the files may show when it can be.
    pub(super) fn try_again(&mut self) {
        self.taken = Stamp::default();
    }
}

fn stamp(files: &PairFiles) -> Stamp {
    Stamp::of(&[files.cert.clone(), files.key.clone()])
}

fn load(files: &PairFiles) -> Result<Pair, ServeError> {
    let PairTexts { chain, key } = files.read().map_err(|error| ServeError::ReadTls {
        path: error.path,
        source: error.source,
    })?;
    let parse = |path: &PathBuf, expected, source| ServeError::ParseTls {
        path: path.clone(),
        expected,
        source,
    };
    Pair::parse(&chain, &key, &provider()).map_err(|error| match error {
        PairError::Chain(source) => parse(&files.cert, "a certificate", source),
        PairError::Key(source) => parse(&files.key, "a private key", source),
        PairError::Mismatch(source) => ServeError::TlsPair {
            cert: files.cert.clone(),
            key: files.key.clone(),
            source,
        },
    })
}

/// Tells operators what they would otherwise learn from a client's error.
fn announce(pair: &Pair, files: &PairFiles, metrics: &Metrics) {
    metrics.certificate_expires(pair.expires);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    if u64::try_from(pair.expires).unwrap_or_default() <= now.as_secs() {
        tracing::warn!(cert = %files.cert.display(), "the TLS certificate has expired");
    }
    let Ok(seen) = fs::metadata(&files.key) else {
        return;
    };
    let mode = seen.mode() & 0o777;
    if is_exposed(mode, seen.gid(), &own_groups()) {
        let mode = format!("{mode:04o}");
        tracing::warn!(key = %files.key.display(), mode, "the TLS key can be read by others");
    }
}

/// Relying parties that connect to an issuer's host refuse a certificate that does not name it. Behind something else that
/// ends TLS it need not: so this is no error.
fn warn_of_names(pair: &Pair, files: &PairFiles, site: &SiteHandle) {
    let site = site.read();
    let issuers = site.issuers().iter();
    let hosts: BTreeSet<String> = issuers
        .filter_map(|issuer| Url::parse(&issuer.url).ok())
        .filter(|url| url.scheme() == "https")
        .filter_map(|url| url.host_str().map(str::to_owned))
        .collect();
    for host in hosts
        .iter()
        .filter(|host| !pair.names(host))
        .take(MOST_HOSTS)
    {
        tracing::warn!(
            host,
            cert = %files.cert.display(),
            "the TLS certificate does not name the issuer's host: whoever connects here directly refuses it"
        );
    }
}

/// So many hosts are warned of at most.
const MOST_HOSTS: usize = 10;

/// Whether somebody else may read or replace a key. A Secret's volume is given to the group of the pod (`fsGroup`), so
/// that reading by a group of our own is how it is meant.
fn is_exposed(mode: u32, group: u32, own: &[u32]) -> bool {
    mode & 0o027 != 0 || mode & 0o040 != 0 && !own.contains(&group)
}

/// The groups of this process. What cannot be asked is not ours: then a warning too many is better than one too few.
fn own_groups() -> Vec<u32> {
    let more = rustix::process::getgroups().unwrap_or_default();
    let all = std::iter::once(rustix::process::getegid()).chain(more);
    all.map(rustix::process::Gid::as_raw).collect()
}

/// AES-128 with SHA-256 before the others: the documents are public, and a handshake whose key schedule hashes with
/// SHA-384 costs a fifth more on processors that only know how to hurry SHA-256.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| !PREFERRED.contains(&suite.suite()));
    provider
}

const PREFERRED: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn files(home: &tempfile::TempDir) -> PairFiles {
        PairFiles {
            cert: home.path().join("tls.crt"),
            key: home.path().join("tls.key"),
        }
    }

    #[test]
    fn a_key_for_a_group_of_ours_alone_is_not_exposed() {
        for (mode, group, exposed) in [
            (0o600, 7, false),
            (0o400, 7, false),
            // A Secret in a pod with an fsGroup, and the ssl-cert group of a distribution.
            (0o440, 7, false),
            (0o640, 8, false),
            (0o440, 9, true),
            (0o640, 9, true),
            (0o660, 7, true),
            (0o444, 7, true),
            (0o644, 7, true),
            (0o604, 7, true),
            (0o602, 7, true),
        ] {
            assert_eq!(
                is_exposed(mode, group, &[7, 8]),
                exposed,
                "{mode:04o} {group}"
            );
        }
    }

    #[test]
    fn our_own_group_is_among_ours() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let group = fs::metadata(file.path()).unwrap().gid();
        assert!(own_groups().contains(&group));
    }

    #[test]
    fn a_change_is_taken_once_and_only_when_it_holds_still() {
        let home = tempfile::tempdir().unwrap();
        let files = files(&home);
        let looks = [1, 2, 3].map(|length| {
            fs::write(&files.cert, vec![b'x'; length]).unwrap();
            stamp(&files)
        });
        let mut watcher = Watcher::new(looks[0].clone());
        for (which, expected) in [
            (0, false),
            (1, false),
            (2, false),
            (2, true),
            (2, false),
            (0, false),
            (0, true),
        ] {
            let look = looks[which].clone();
            assert_eq!(watcher.settled_change(look), expected, "{which}");
        }
    }

    #[test]
    fn files_that_are_touched_before_every_look_are_read_all_the_same() {
        let home = tempfile::tempdir().unwrap();
        let files = files(&home);
        let look = |length: usize| {
            fs::write(&files.cert, vec![b'x'; length]).unwrap();
            stamp(&files)
        };
        let mut watcher = Watcher::new(look(1));
        let seen: Vec<_> = (2..12)
            .map(|each| watcher.settled_change(look(each)))
            .collect();
        let due: Vec<_> = (0..10).map(|each| each % 5 == 4).collect();
        assert_eq!(seen, due);
    }

    /// What could not be read before can be read now, though its content is as old as it was.
    #[test]
    fn a_key_that_is_given_to_us_is_a_change() {
        let home = tempfile::tempdir().unwrap();
        let files = files(&home);
        fs::write(&files.key, "").unwrap();
        let (before, mut watcher) = (stamp(&files), Watcher::new(stamp(&files)));
        // The clock of a file system stands still for some milliseconds.
        while stamp(&files) == before {
            fs::set_permissions(&files.key, Permissions::from_mode(0o600)).unwrap();
        }
        let seen = [(); 3].map(|()| watcher.settled_change(stamp(&files)));
        assert_eq!(seen, [false, true, false]);
    }
}
