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

    /// The timers of the last run, and over them those that were given here.
    pub fn over(&self, saved: Option<&Waits>) -> Result<RotationPolicy, Failure> {
        let Some(saved) = saved else {
            return self.policy();
        };
        let skew = self.skew.unwrap_or(saved.skew);
        let caches = self.cache.or(self.publish_wait);
        let tokens = (
            self.token_ttl.or(self.drain),
            self.cluster_token_ttl.or(self.cluster_drain),
        );
        // A wait that was saved covers what it was computed from: nothing needs to be assumed beyond it.
        let assumptions = Assumptions {
            caches: self.cache.unwrap_or_default(),
            public_token: self.token_ttl.unwrap_or_default(),
            cluster_token: self.cluster_token_ttl.unwrap_or_default(),
            skew,
        };
        let kept = |given: Option<Duration>, timer: Option<Duration>, saved: Duration, margin| {
            if given.is_some() {
                timer
            } else {
                Some(saved.max(margin))
            }
        };
        let timers = Timers {
            period: self.period.or(Some(saved.period)),
            publish_wait: kept(caches, self.publish_wait, saved.publish, skew),
            public_drain: kept(tokens.0, self.drain, saved.public, skew * 2),
            cluster_drain: kept(tokens.1, self.cluster_drain, saved.cluster, skew * 2),
        };
        RotationPolicy::new(assumptions, timers).map_err(|error| Failure::refused(&error))
    }

    /// A policy that is safe under its assumptions.
    pub fn policy(&self) -> Result<RotationPolicy, Failure> {
        RotationPolicy::new(self.assumptions(), self.timers())
            .map_err(|error| Failure::refused(&error))
    }
}
