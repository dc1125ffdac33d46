//! The configuration file that a running endpoint follows.

use std::path::PathBuf;
use std::time::Duration;

use irsa_issuer::keyfile::open_regular;
use irsa_issuer::keyset::Stamp;
use irsa_issuer::source::IssuerSpec;

use crate::config::{Config, MAX_BYTES, Seconds, ServeSection};
use crate::context::{Context, Origin};
use crate::report::Failure;
use crate::settings::{MAX_AGE, ServeSettings};

/// The configuration file: issuers and what goes for all of them.
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    /// Whether the issuers come from it. Else flags name them, and the file says how they are served.
    has_issuers: bool,
    allow_trailing_slash: Option<bool>,
    /// The life in caches of a flag or a variable, which no file changes.
    max_age: Option<Duration>,
    /// What it said of the endpoint when this process started: what runs.
    serve: ServeSection,
    /// The keys that a flag or a variable decides, whatever the file says.
    decided: Vec<&'static str>,
    loaded: Stamp,
    pending: Option<Stamp>,
    /// For how many looks in a row no state was seen twice, and what the last of many held.
    restless: u32,
    glimpsed: Option<Vec<u8>>,
}

/// What the file says now.
pub(super) struct Followed {
    /// The issuers, when they come from it.
    pub(super) specs: Option<Vec<IssuerSpec>>,
    pub(super) max_age: Duration,
    /// The settings in which it differs from what runs, and that only a new process takes.
    pub(super) later: Vec<&'static str>,
}

impl ConfigFile {
    pub(super) fn of(context: &Context, settings: &ServeSettings) -> Option<Self> {
        let path = context.global.config.clone()?;
        let from_flag = settings.allow_trailing_slash.origin < Origin::File;
        Some(Self {
            has_issuers: settings.issuers.origin == Origin::File,
            loaded: Stamp::of(std::slice::from_ref(&path)),
            allow_trailing_slash: from_flag.then_some(settings.allow_trailing_slash.value),
            max_age: (settings.max_age.origin < Origin::File).then_some(settings.max_age.value),
            serve: context.config.serve.clone(),
            decided: at_start(&ServeSection::default(), &ServeSection::default())
                .map(|(id, _)| id)
                .into_iter()
                .filter(|id| context.is_typed(id))
                .collect(),
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

    pub(super) fn read(&mut self) -> Result<Followed, Failure> {
        self.loaded = Stamp::of(std::slice::from_ref(&self.path));
        (self.pending, self.restless, self.glimpsed) = (None, 0, None);
        // A pipe may be read once, before anything is served; in place of the file it would hold up all following.
        let file = open_regular(&self.path).map(|(file, _)| file);
        let config = Config::of(&self.path, file).map_err(|error| Failure::refused(&error))?;
        let allowed = self
            .allow_trailing_slash
            .or(config.allow_trailing_slash)
            .unwrap_or(false);
        let slash = crate::settings::slash(allowed);
        let specs = || crate::settings::specs(&config.issuers, slash);
        let specs = self.has_issuers.then(specs).transpose()?;
        let in_file = config.serve.max_age.map(|Seconds(age)| age);
        Ok(Followed {
            specs,
            max_age: self.max_age.or(in_file).unwrap_or(MAX_AGE),
            later: at_start(&self.serve, &config.serve)
                .into_iter()
                .filter(|(key, differs)| *differs && !self.decided.contains(key))
                .map(|(key, _)| key)
                .collect(),
        })
    }
}

/// The settings that a process takes once, and whether they differ: sockets that are open, limits of connections that stand.
fn at_start(old: &ServeSection, new: &ServeSection) -> [(&'static str, bool); 10] {
    let ServeSection {
        listen,
        tls_cert,
        tls_key,
        behind_proxy,
        admin_listen,
        // followed
        max_age: _,
        reload_interval,
        max_connections,
        header_timeout,
        idle_timeout,
        drain_timeout,
    } = new;
    [
        ("listen", old.listen != *listen),
        ("tls_cert", old.tls_cert != *tls_cert),
        ("tls_key", old.tls_key != *tls_key),
        ("behind_proxy", old.behind_proxy != *behind_proxy),
        ("admin_listen", old.admin_listen != *admin_listen),
        ("reload_interval", old.reload_interval != *reload_interval),
        ("max_connections", old.max_connections != *max_connections),
        ("header_timeout", old.header_timeout != *header_timeout),
        ("idle_timeout", old.idle_timeout != *idle_timeout),
        ("drain_timeout", old.drain_timeout != *drain_timeout),
    ]
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
            has_issuers: true,
            allow_trailing_slash: None,
            max_age: None,
            serve: ServeSection::default(),
            decided: vec!["listen"],
            loaded: Stamp::of(&[path.to_owned()]),
            pending: None,
            restless: 0,
            glimpsed: None,
        }
    }

    const NEW: &str = "issuers:\n  - issuer: https://h/new\n    keys: [a.pub]\n";

    #[test]
    fn what_a_flag_decides_is_not_said_to_count_from_the_next_start() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("irsa.yaml");
        let mut file = followed(&path);
        let serve = "serve: {listen: ['127.0.0.1:1'], idle_timeout: 7s}\n";
        written(&path, &format!("{NEW}{serve}"), 1);
        assert_eq!(file.read().unwrap().later, ["idle_timeout"]);
    }

    #[test]
    fn a_change_counts_once_it_holds_still() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("irsa.yaml");
        written(&path, "issuers: []\n", 0);
        let mut file = followed(&path);
        assert!(!file.has_changed());
        written(&path, NEW, 1);
        assert_eq!([file.has_changed(), file.has_changed()], [false, true]);
        assert_eq!(file.read().unwrap().specs.unwrap().len(), 1);
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
            assert_eq!(file.read().unwrap().specs.unwrap().len(), 1);
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
