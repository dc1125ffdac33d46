//! The configuration file that a running endpoint follows.

use std::path::PathBuf;

use irsa_issuer::keyfile::open_regular;
use irsa_issuer::keyset::Stamp;
use irsa_issuer::source::IssuerSpec;

use crate::config::{Config, MAX_BYTES};
use crate::context::{Context, Origin};
use crate::report::Failure;
use crate::settings::ServeSettings;

/// The configuration file, when the issuers come from it.
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    allow_trailing_slash: Option<bool>,
    loaded: Stamp,
    pending: Option<Stamp>,
    /// For how many looks in a row no state was seen twice, and what the last of many held.
    restless: u32,
    glimpsed: Option<Vec<u8>>,
}

impl ConfigFile {
    pub(super) fn of(context: &Context, settings: &ServeSettings) -> Option<Self> {
        let path = context.global.config.clone()?;
        let from_flag = settings.allow_trailing_slash.origin < Origin::File;
        (settings.issuers.origin == Origin::File).then(|| Self {
            loaded: Stamp::of(std::slice::from_ref(&path)),
            allow_trailing_slash: from_flag.then_some(settings.allow_trailing_slash.value),
            pending: None,
            restless: 0,
            glimpsed: None,
            path,
        })
    }

    /// As in [`irsa_issuer::source::SiteSource::poll`], a change counts once it has been seen twice.
    pub(super) fn has_changed(&mut self) -> bool {
        let stamp = Stamp::of(std::slice::from_ref(&self.path));
        let settled = self.pending.as_ref() == Some(&stamp);
        let changed = stamp != self.loaded;
        self.pending = changed.then_some(stamp);
        if changed && !settled {
            return self.is_quiet_inside();
        }
        self.restless = 0;
        changed
    }

    /// Whether a file that is touched again and again holds what it held at the look before.
    fn is_quiet_inside(&mut self) -> bool {
        self.restless = self.restless.saturating_add(1);
        if self.restless < 5 {
            return false;
        }
        let held = irsa_files::read_regular(&self.path, MAX_BYTES).ok();
        let held = held.map(|bytes| bytes.to_vec());
        let quiet = held.is_some() && held == self.glimpsed;
        self.glimpsed = held;
        quiet
    }

    pub(super) fn read(&mut self) -> Result<Vec<IssuerSpec>, Failure> {
        self.loaded = Stamp::of(std::slice::from_ref(&self.path));
        (self.pending, self.restless, self.glimpsed) = (None, 0, None);
        self.specs()
    }

    fn specs(&self) -> Result<Vec<IssuerSpec>, Failure> {
        // A pipe may be read once, before anything is served; in place of the file it would hold up all following.
        let file = open_regular(&self.path).map(|(file, _)| file);
        let config = Config::of(&self.path, file).map_err(|error| Failure::refused(&error))?;
        let allowed = self
            .allow_trailing_slash
            .or(config.allow_trailing_slash)
            .unwrap_or(false);
        crate::settings::specs(&config.issuers, crate::settings::slash(allowed))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::*;

    fn written(path: &Path, text: &str, second: u64) {
        fs::write(path, text).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + second);
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    fn followed(path: &Path) -> ConfigFile {
        ConfigFile {
            path: path.to_owned(),
            allow_trailing_slash: None,
            loaded: Stamp::of(&[path.to_owned()]),
            pending: None,
            restless: 0,
            glimpsed: None,
        }
    }

    const NEW: &str = "issuers:\n  - issuer: https://h/new\n    keys: [a.pub]\n";

    #[test]
    fn a_change_counts_once_it_holds_still() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("irsa.yaml");
        written(&path, "issuers: []\n", 0);
        let mut file = followed(&path);
        assert!(!file.has_changed());
        written(&path, NEW, 1);
        assert_eq!([file.has_changed(), file.has_changed()], [false, true]);
        assert_eq!(file.read().unwrap().len(), 1);
        assert!(!file.has_changed());
    }

    /// Something touches it before every look, as some agents do: what is in it counts all the same.
    #[test]
    fn a_file_that_is_touched_at_every_look_is_taken_by_what_it_holds() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("irsa.yaml");
        written(&path, "issuers: []\n", 0);
        let mut file = followed(&path);
        for round in [0, 100] {
            let looks: Vec<_> = (1..=6)
                .map(|look| {
                    written(&path, NEW, round + look);
                    file.has_changed()
                })
                .collect();
            assert_eq!(looks, [false, false, false, false, false, true], "{round}");
            assert_eq!(file.read().unwrap().len(), 1);
        }
    }

    /// Half a file that is being written must not be taken.
    #[test]
    fn a_file_that_is_another_at_every_look_is_not_taken_until_it_holds_still() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("irsa.yaml");
        written(&path, "issuers: []\n", 0);
        let mut file = followed(&path);
        for look in 1..30 {
            written(&path, &format!("{NEW}# {look}\n"), look);
            assert!(!file.has_changed(), "{look}");
        }
        assert!(file.has_changed());
    }
}
