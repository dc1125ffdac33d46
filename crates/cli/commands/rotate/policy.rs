//! The timers of a rotation on the command line.

use std::time::Duration;

use clap::Args;
use irsa_core::policy::{Assumptions, RotationPolicy, Timers};

use crate::args::duration;
use crate::report::Failure;

/// What is assumed of the world, and the timers that follow.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Timers")]
pub struct PolicyArgs {
    /// The longest that a relying party keeps a JWKS; AWS does not document its own
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "24h")]
    pub cache: Duration,
    /// The longest life of a token for AWS or another external audience
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "24h")]
    pub token_ttl: Duration,
    /// The longest life of a token for the API server; a year unless --service-account-extend-token-expiration=false
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "8760h")]
    pub cluster_token_ttl: Duration,
    /// How far two clocks may differ
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    pub skew: Duration,
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
    pub const fn assumptions(&self) -> Assumptions {
        Assumptions {
            caches: self.cache,
            public_token: self.token_ttl,
            cluster_token: self.cluster_token_ttl,
            skew: self.skew,
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

    /// A policy that is safe under its assumptions.
    pub fn policy(&self) -> Result<RotationPolicy, Failure> {
        RotationPolicy::new(self.assumptions(), self.timers())
            .map_err(|error| Failure::refused(&error))
    }
}
