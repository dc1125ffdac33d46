//! The configuration file that a running endpoint follows.

use std::path::PathBuf;

use irsa_issuer::keyfile::open_regular;
use irsa_issuer::keyset::Stamp;
use irsa_issuer::source::IssuerSpec;

use crate::config::{Config, ConfigError};
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
        let held = irsa_issuer::keyfile::read_regular(&self.path).ok();
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
        let refused = |error: ConfigError| Failure::refused(&error);
        // A pipe may be read once, before anything is served; in place of the file it would hold up all following.
        open_regular(&self.path)
            .map_err(|source| ConfigError::Read {
                path: self.path.clone(),
                source,
            })
            .map_err(refused)?;
        let config = Config::load(&self.path).map_err(refused)?;
        let allowed = self
            .allow_trailing_slash
            .or(config.allow_trailing_slash)
            .unwrap_or(false);
        crate::settings::specs(&config.issuers, crate::settings::slash(allowed))
    }
}
