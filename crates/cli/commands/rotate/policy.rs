//! The timers of a rotation on the command line.

use std::time::Duration;

use clap::Args;
use irsa_core::policy::{Assumptions, RotationPolicy, Timers};
use irsa_core::ring::timing::Waits;

use crate::args::duration;
use crate::report::Failure;

/// What is assumed of the world, and the timers that follow.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Timers")]
pub struct PolicyArgs {
    /// The longest that a relying party keeps a JWKS; AWS does not document its own [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub cache: Option<Duration>,
    /// The longest life of a token for AWS or another external audience [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub token_ttl: Option<Duration>,
    /// The longest life of a token for the API server; a year unless --service-account-extend-token-expiration=false
    /// [default: 8760h]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub cluster_token_ttl: Option<Duration>,
    /// How far two clocks may differ [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub skew: Option<Duration>,
    /// How long a key signs before the next rotation begins [default: 2160h, which is 90 days]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub period: Option<Duration>,
    /// How long a key is published and trusted before it signs [default: --cache and --skew]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub publish_wait: Option<Duration>,
    /// How long a key stays published after it last signed [default: --token-ttl and twice --skew]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub drain: Option<Duration>,
    /// How long a key stays trusted after it last signed [default: --cluster-token-ttl and twice --skew]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub cluster_drain: Option<Duration>,
}

impl PolicyArgs {
    /// What is assumed.
    pub fn assumptions(&self) -> Assumptions {
        let default = Assumptions::default();
        Assumptions {
            caches: self.cache.unwrap_or(default.caches),
            public_token: self.token_ttl.unwrap_or(default.public_token),
            cluster_token: self.cluster_token_ttl.unwrap_or(default.cluster_token),
            skew: self.skew.unwrap_or(default.skew),
        }
    }

    /// The timers as given.
    pub const fn timers(&self) -> Timers {
        Timers {
            period: self.period,
            publish_wait: self.publish_wait,
            public_drain: self.drain,
            cluster_drain: self.cluster_drain,
        }
    }

    /// The timers of the last run, and over them those that were given here: for showing a key ring.
    pub fn over(&self, saved: Option<&Waits>) -> Result<RotationPolicy, Failure> {
        let Some(saved) = saved else {
            return self.policy();
        };
        let given = self.given_over(saved)?;
        let kept = |is_given: bool, given, saved| if is_given { given } else { saved };
        let publish_wait = kept(
            self.cache.or(self.publish_wait).is_some(),
            given.publish_wait(),
            saved.publish,
        );
        // A period that no longer holds the wait is not that of the next run either.
        let fits = publish_wait <= saved.period;
        let timers = Timers {
            period: self.period.or(fits.then_some(saved.period)),
            publish_wait: Some(publish_wait),
            public_drain: Some(kept(
                self.token_ttl.or(self.drain).is_some(),
                given.public_drain(Duration::ZERO),
                saved.public,
            )),
            cluster_drain: Some(kept(
                self.cluster_token_ttl.or(self.cluster_drain).is_some(),
                given.cluster_drain(Duration::ZERO),
                saved.cluster,
            )),
        };
        let assumptions = Assumptions {
            skew: self.skew.unwrap_or(saved.skew),
            ..*given.assumptions()
        };
        Ok(RotationPolicy::remembered(assumptions, timers))
    }

    /// What was given, in the world of the last run: it must be safe there, also where the defaults are not.
    fn given_over(&self, saved: &Waits) -> Result<RotationPolicy, Failure> {
        let skew = self.skew.unwrap_or(saved.skew);
        let of = |wait: Duration, skews| wait.saturating_sub(skew.saturating_mul(skews));
        let assumptions = Assumptions {
            caches: self.cache.unwrap_or_else(|| of(saved.publish, 1)),
            public_token: self.token_ttl.unwrap_or_else(|| of(saved.public, 2)),
            cluster_token: self
                .cluster_token_ttl
                .unwrap_or_else(|| of(saved.cluster, 2)),
            skew,
        };
        let timers = self.timers();
        let all = [
            self.cache,
            self.token_ttl,
            self.cluster_token_ttl,
            self.skew,
        ]
        .into_iter()
        .chain([timers.period, timers.publish_wait])
        .chain([timers.public_drain, timers.cluster_drain]);
        // What is only remembered is shown, whatever it is.
        if all.flatten().next().is_none() {
            return Ok(RotationPolicy::remembered(assumptions, timers));
        }
        RotationPolicy::new(assumptions, timers).map_err(|error| Failure::refused(&error))
    }

    /// A policy that is safe under its assumptions.
    pub fn policy(&self) -> Result<RotationPolicy, Failure> {
        RotationPolicy::new(self.assumptions(), self.timers())
            .map_err(|error| Failure::refused(&error))
    }
}
