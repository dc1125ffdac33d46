//! An action taken apart into what can be cut short by a crash.

use std::collections::BTreeSet;

use super::world::{World, server_name, sink_name};
use crate::kid::Kid;
use crate::rotation::Action;

/// One write, whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Effect {
    StorePrivate(Kid),
    Add {
        sink: usize,
        kid: Kid,
        over: BTreeSet<Kid>,
    },
    Remove {
        sink: usize,
        kid: Kid,
        over: BTreeSet<Kid>,
    },
    WriteTrust {
        server: usize,
        kid: Kid,
    },
    WriteDistrust {
        server: usize,
        kid: Kid,
    },
    WriteSigning {
        server: usize,
        kid: Kid,
    },
    Restart {
        server: usize,
    },
    Erase(Kid),
}

impl Effect {
    /// Whether it travels over the network, and may arrive when its sender is dead.
    pub(crate) const fn travels(&self) -> bool {
        matches!(self, Self::Add { .. } | Self::Remove { .. })
    }
}

/// The writes of an action, in their order. A key that is created gets its number from `made`.
pub(crate) fn effects(action: &Action, world: &World, made: Option<Kid>) -> Vec<Effect> {
    let server = |name: &str| {
        (0..world.servers.len())
            .find(|at| server_name(*at) == name)
            .unwrap_or(usize::MAX)
    };
    let sink = |name: &str| {
        (0..world.sinks.len())
            .find(|at| sink_name(*at) == name)
            .unwrap_or(usize::MAX)
    };
    let over = |sink: usize| {
        world
            .sinks
            .get(sink)
            .map(|keys| keys.keys().cloned().collect())
            .unwrap_or_default()
    };
    match action {
        Action::Create { .. } => made.map(Effect::StorePrivate).into_iter().collect(),
        Action::Publish { kid, sink: name } => {
            let sink = sink(name);
            vec![Effect::Add {
                sink,
                kid: kid.clone(),
                over: over(sink),
            }]
        }
        Action::Withdraw { kid, sink: name } => {
            let sink = sink(name);
            vec![Effect::Remove {
                sink,
                kid: kid.clone(),
                over: over(sink),
            }]
        }
        Action::Trust { kid, server: name } => {
            let (server, kid) = (server(name), kid.clone());
            vec![
                Effect::WriteTrust { server, kid },
                Effect::Restart { server },
            ]
        }
        Action::Distrust { kid, server: name } => {
            let (server, kid) = (server(name), kid.clone());
            vec![
                Effect::WriteDistrust { server, kid },
                Effect::Restart { server },
            ]
        }
        Action::Promote(promotion) => {
            let (server, kid) = (server(promotion.server()), promotion.kid().clone());
            vec![
                Effect::WriteSigning { server, kid },
                Effect::Restart { server },
            ]
        }
        Action::Erase { kid } => vec![Effect::Erase(kid.clone())],
    }
}
