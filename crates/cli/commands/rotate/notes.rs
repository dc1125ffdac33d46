//! What a person should know about a key ring, although nothing stops a run.

use irsa_core::policy::{RotationPolicy, spell};
use irsa_core::ring::KeyRing;
use irsa_core::ring::timing::Timer;

/// All of it, each as a sentence.
pub(super) fn of(ring: &KeyRing, policy: &RotationPolicy) -> Vec<String> {
    let mut notes = timers(ring, policy);
    notes.extend(left_behind(ring));
    notes
}

/// Key files of the distribution that hold a retired key.
fn left_behind(ring: &KeyRing) -> impl Iterator<Item = String> {
    let current = ring.signing().map(|key| key.kid.to_string());
    let current = current.unwrap_or_default();
    ring.left_behind().into_iter().map(move |left| {
        let state = if left.compromised { "stolen" } else { "retired" };
        let mend = if left.trusted {
            "API servers still trust it, so leave the files as they are, and run irsa rotate on that node right after either"
                .to_owned()
        } else {
            format!(
                "put the pair of {current} there, which is in the key directory of the API server, and upload it anew with \
                 kubeadm init phase upload-certs --upload-certs"
            )
        };
        format!(
            "{} on the node of {} holds the {state} key {}, with which kubeadm upgrade and kubeadm join --control-plane would \
             make an API server sign: {mend}",
            left.paths.join(" and "),
            left.server,
            left.kid
        )
    })
}

/// Waits that are longer than this command line says.
fn timers(ring: &KeyRing, policy: &RotationPolicy) -> Vec<String> {
    let timing = ring.timing();
    let earlier = timing.earlier.iter().map(|earlier| {
        format!(
            "the {} was {} until {}: what began before then keeps it. Give every node the same timers; if the longer one was a \
             mistake: irsa rotate --shorten-waits",
            earlier.timer.as_str(),
            spell(earlier.wait),
            earlier.until
        )
    });
    let longer = timing
        .now
        .filter(|waits| waits.for_served() > policy.publish_wait());
    let served = longer.map(|waits| {
        format!(
            "the JWKS is served with a max-age of {}, which is longer than --cache: the publish wait is {}",
            spell(waits.served),
            spell(waits.of_timer(Timer::PublishWait))
        )
    });
    earlier.chain(served).collect()
}
