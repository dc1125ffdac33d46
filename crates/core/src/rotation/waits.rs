//! What is waited for, and until when.

use super::holds::{Side, holds};
use super::questions::{refusals, untrusted, unwanted_trust};
use super::scene::Scene;
use super::step::{Reason, Step, Wait};
use crate::kid::Kid;
use crate::observation::Server;
use crate::ring::{RingKey, Seen, Stage, Track, What};

/// Nothing can be done: until when, and for what?
pub(super) fn wait(scene: &Scene<'_>) -> Step {
    Step::Wait(waits(scene))
}

/// Everything that is waited for, what a clock ends first.
pub(super) fn waits(scene: &Scene<'_>) -> Vec<Wait> {
    let timeless = |reason| Wait {
        until: None,
        reason,
    };
    let mut waits: Vec<Wait> = refusals(scene).map(timeless).collect();
    let node = |kid: &Kid, server: &Server, what| {
        timeless(Reason::Node {
            server: server.name.clone(),
            kid: kid.clone(),
            what,
        })
    };
    waits.extend(untrusted(scene).map(|(key, server)| node(&key.kid, server, What::Trusted)));
    waits.extend(unwanted_trust(scene).map(|(kid, server)| node(kid, server, What::Distrusted)));
    for key in scene.ring.keys() {
        match &key.stage {
            Stage::Next(seen) => waits.extend(age(scene, key, seen)),
            Stage::Signing { seen, .. } => {
                let servers = scene.observed.servers.iter();
                let others: Vec<&Server> = servers
                    .filter(|server| scene.lags(server, &key.kid))
                    .collect();
                if !others.is_empty() {
                    waits.extend(age(scene, key, seen));
                }
                waits.extend(
                    others
                        .into_iter()
                        // A run that is there waits for what is said above, and no run can place what is lost.
                        .filter(|server| server.disk.is_none())
                        .filter(|_| scene.observed.at_rest.contains(&key.kid))
                        .map(|server| node(&key.kid, server, What::Promoted)),
                );
            }
            Stage::Draining { .. } => waits.extend(drain(scene, key)),
        }
    }
    if scene.ring.next().is_none() {
        waits.push(Wait {
            until: Some(scene.due_at()),
            reason: Reason::Calendar,
        });
    }
    waits.sort_by_key(|wait| (wait.until.is_none(), wait.until));
    waits
}

fn age(scene: &Scene<'_>, key: &RingKey, seen: &Seen) -> Option<Wait> {
    if !scene.is_published(&key.kid) {
        return Some(Wait {
            until: None,
            reason: Reason::NotPublic(key.kid.clone()),
        });
    }
    let until = scene.aged_at(seen.everywhere()?);
    (until > scene.now).then(|| Wait {
        until: Some(until),
        reason: Reason::Aging(key.kid.clone()),
    })
}

fn drain(scene: &Scene<'_>, key: &RingKey) -> Vec<Wait> {
    let kid = || key.kid.clone();
    let Stage::Draining {
        public, cluster, ..
    } = &key.stage
    else {
        return Vec::new();
    };
    let mut waits = Vec::new();
    let mut push = |until, reason| waits.push(Wait { until, reason });
    match scene.drained_at(key) {
        None => {
            let servers = scene.signers(key).into_iter().map(str::to_owned).collect();
            push(
                None,
                Reason::StillSigns {
                    kid: kid(),
                    servers,
                },
            );
        }
        Some((public_end, cluster_end)) => {
            if *public == Track::Held {
                push(Some(public_end), Reason::PublicDrain(kid()));
            }
            if *cluster == Track::Held {
                push(Some(cluster_end), Reason::ClusterDrain(kid()));
            }
        }
    }
    if matches!(public, Track::Leaving { .. }) {
        push(None, Reason::StillPublic(kid()));
    }
    let side = if *cluster == Track::Held {
        Side::Cluster
    } else {
        Side::Public
    };
    if *public == Track::Held || *cluster == Track::Held {
        for hold in holds(scene, key, side) {
            push(None, Reason::Held { kid: kid(), hold });
        }
    }
    waits
}
