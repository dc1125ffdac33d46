//! The only loop: look, decide, save or do one thing, look again.

use std::time::Duration;

use irsa_core::change::Expected;
use irsa_core::issuer::IssuerUrl;
use irsa_core::observation::Observation;
use irsa_core::policy::RotationPolicy;
use irsa_core::private::PrivateKeyPem;
use irsa_core::ring::{Event, KeyRing, What};
use irsa_core::rotation::rebuild::rebuild;
use irsa_core::rotation::{Action, Block, Step, Wait, next_step};
use irsa_issuer::state::RingStore;
use jiff::Timestamp;

use crate::report::Failure;

/// How the names of sinks begin that a write reaches through a network: it may arrive when its run is dead.
const REMOTE: &str = "s3://";
/// More than the steps of any rotation: a world that never comes to rest must not keep a run busy for ever.
const MOST_STEPS: usize = 1000;

/// The outside.
#[expect(async_fn_in_trait, reason = "one thread drives it")]
pub trait World {
    /// Everything that a decision needs.
    async fn observe(&mut self) -> Result<Observation, Failure>;

    /// A new key, in memory.
    fn new_key(&mut self) -> Result<PrivateKeyPem, Failure>;

    /// Keeps a new key.
    async fn keep(&mut self, key: &PrivateKeyPem) -> Result<(), Failure>;

    /// Refuses a change that cannot be begun, before anything of it is written down.
    async fn ready(&mut self, _action: &Action) -> Result<(), Failure> {
        Ok(())
    }

    /// Makes one change, and returns when it has been made.
    async fn apply(&mut self, action: &Action) -> Result<(), Failure>;
}

/// How a run goes.
#[derive(Debug, Clone)]
pub struct Course {
    /// Whose keys.
    pub issuer: IssuerUrl,
    /// The timers.
    pub policy: RotationPolicy,
    /// Who acts: host and process.
    pub holder: String,
    /// How long nobody else acts after this run has said what it is about to do.
    pub lease: Duration,
    /// Change nothing, and stop before the first deed.
    pub dry_run: bool,
    /// What time it is, if not now: for dry runs.
    pub at: Option<Timestamp>,
}

/// How far a run came.
#[derive(Debug)]
pub struct Came {
    /// What was done, or would be done first.
    pub actions: Vec<Action>,
    /// The ring at the end.
    pub ring: Option<KeyRing>,
    /// What is waited for.
    pub waits: Vec<Wait>,
    /// Why a person is needed.
    pub block: Option<Block>,
    /// Whether the same run may get further soon.
    pub retryable: bool,
}

/// A ring as it was loaded, to be saved over.
struct Held {
    ring: Option<KeyRing>,
    expected: Expected,
    /// Whether this run has changed it: from then on no error says that nothing was attempted.
    saved: bool,
}

/// Advances as far as the guards allow.
pub async fn drive<S: RingStore, W: World>(
    store: &S,
    world: &mut W,
    course: &Course,
    edit: impl FnOnce(&KeyRing, &Observation, Timestamp) -> Result<Option<KeyRing>, Failure>,
) -> Result<Came, Failure> {
    let mut held = load(store, course).await?;
    let came = advance(store, world, &mut held, course, edit).await;
    came.map_err(|failure| {
        if held.saved {
            failure.midway()
        } else {
            failure
        }
    })
}

async fn advance<S: RingStore, W: World>(
    store: &S,
    world: &mut W,
    held: &mut Held,
    course: &Course,
    edit: impl FnOnce(&KeyRing, &Observation, Timestamp) -> Result<Option<KeyRing>, Failure>,
) -> Result<Came, Failure> {
    let mut edit = Some(edit);
    let mut actions = Vec::new();
    let mut observed = world.observe().await?;
    for _ in 0..MOST_STEPS {
        match decide(held.ring.as_ref(), &observed, course, &mut edit)? {
            Step::Save(ring) => save(store, held, *ring, course).await?,
            Step::Act(action) if course.dry_run => {
                actions.push(action);
                return Ok(came(actions, held.ring.take(), Step::Wait(Vec::new())));
            }
            Step::Act(action) => {
                let acted = act(store, world, held, &action, course).await;
                let looked = match acted {
                    Ok(()) => world.observe().await,
                    Err(failure) => Err(failure),
                };
                // Also after a failed look: a lease that is kept keeps everybody else away until it ends.
                observed = match looked {
                    Ok(now) => now,
                    Err(failure) => {
                        give_up(store, held, &action, course).await;
                        return Err(failure);
                    }
                };
                actions.push(action);
            }
            step @ (Step::Wait(_) | Step::Blocked(_)) => {
                release(store, held, course).await?;
                return Ok(came(actions, held.ring.take(), step));
            }
        }
    }
    release(store, held, course).await?;
    Err(Failure::failed(
        format!("after {MOST_STEPS} steps there was still something to do"),
        "two runs may undo each other's work, or this is a bug in irsa: report it with irsa rotate history",
    ))
}

/// The next step: a ring where there is none, what was asked for first of all, then whatever the rotation needs.
fn decide(
    ring: Option<&KeyRing>,
    observed: &Observation,
    course: &Course,
    edit: &mut Option<
        impl FnOnce(&KeyRing, &Observation, Timestamp) -> Result<Option<KeyRing>, Failure>,
    >,
) -> Result<Step, Failure> {
    let now = course.at.unwrap_or_else(Timestamp::now);
    let Some(ring) = ring else {
        let rebuilt = rebuild(&course.issuer, observed, now);
        return Ok(rebuilt.map_or_else(|step| step, |ring| Step::Save(Box::new(ring))));
    };
    if !course.dry_run {
        ring.free_for(&course.holder, now)?;
    }
    let asked = match edit.take() {
        Some(edit) => edit(ring, observed, now)?,
        None => None,
    };
    Ok(asked.map_or_else(
        || next_step(ring, &course.policy, observed, now),
        |ring| Step::Save(Box::new(ring)),
    ))
}

/// A deed failed, and the run ends: others need not wait for it, unless it may still arrive.
async fn give_up<S: RingStore>(store: &S, held: &mut Held, action: &Action, course: &Course) {
    let remote = action
        .place()
        .is_some_and(|place| place.starts_with(REMOTE));
    if !remote {
        give_back(store, held, course).await;
    }
}

/// Gives the lease back at the end of a run that failed: that failure is the one to tell.
async fn give_back<S: RingStore>(store: &S, held: &mut Held, course: &Course) {
    if let Err(failure) = release(store, held, course).await {
        tracing::warn!(
            "the lease is not given back and runs out by itself: {}",
            failure.message()
        );
    }
}

fn came(actions: Vec<Action>, ring: Option<KeyRing>, step: Step) -> Came {
    let retryable = step.is_retryable();
    let (waits, block) = match step {
        Step::Wait(waits) => (waits, None),
        Step::Blocked(block) => (Vec::new(), Some(block)),
        Step::Save(_) | Step::Act(_) => (Vec::new(), None),
    };
    Came {
        actions,
        ring,
        waits,
        block,
        retryable,
    }
}

/// Gives the lease back when the run was told to end in the middle of whatever it did; until when it keeps others away, if
/// what it was writing into a bucket may still arrive.
pub async fn end<S: RingStore>(store: &S, course: &Course) -> Result<Option<Timestamp>, Failure> {
    let mut held = load(store, course).await?;
    if !course.dry_run && !held.ring.as_ref().is_some_and(was_publishing) {
        release(store, &mut held, course).await?;
    }
    let lease = held.ring.as_ref().and_then(KeyRing::lease);
    Ok(lease
        .filter(|lease| lease.holder == course.holder)
        .map(|lease| lease.until))
}

/// Whether the last deed of a ring is a write through a network, which may arrive when its run is dead.
fn was_publishing(ring: &KeyRing) -> bool {
    let remote = |event: &Event| {
        let place = event.place.as_deref();
        place.is_some_and(|place| place.starts_with(REMOTE))
    };
    let last = ring.history().last();
    last.is_some_and(|event| {
        matches!(event.what, What::Published | What::Withdrawn) && remote(event)
    })
}

async fn load<S: RingStore>(store: &S, course: &Course) -> Result<Held, Failure> {
    let Some(stored) = store.load().await? else {
        return Ok(Held {
            ring: None,
            expected: Expected::Absent,
            saved: false,
        });
    };
    let ring = KeyRing::parse(&stored.bytes, &course.issuer)?;
    let mut held = Held {
        ring: Some(ring),
        expected: Expected::Unchanged(stored.tag),
        saved: false,
    };
    if store.is_exclusive() && !course.dry_run {
        bury_lease(store, &mut held, course).await?;
    }
    Ok(held)
}

/// A run that died left its lease: under the lock of the store nobody else is alive. What it was writing into a bucket
/// may still arrive, until its lease ends.
async fn bury_lease<S: RingStore>(
    store: &S,
    held: &mut Held,
    course: &Course,
) -> Result<(), Failure> {
    let lease = held.ring.as_ref().and_then(KeyRing::lease);
    let holder = lease.map(|lease| lease.holder.clone());
    if held.ring.as_ref().is_some_and(was_publishing) {
        return Ok(());
    }
    let freed = holder.and_then(|holder| held.ring.as_ref()?.released(&holder, Timestamp::now()));
    match freed {
        Some(ring) => save(store, held, ring, course).await,
        None => Ok(()),
    }
}

async fn release<S: RingStore>(store: &S, held: &mut Held, course: &Course) -> Result<(), Failure> {
    let ring = held.ring.as_ref();
    match ring.and_then(|ring| ring.released(&course.holder, Timestamp::now())) {
        Some(ring) => save(store, held, ring, course).await,
        None => Ok(()),
    }
}

async fn save<S: RingStore>(
    store: &S,
    held: &mut Held,
    ring: KeyRing,
    course: &Course,
) -> Result<(), Failure> {
    let ring = ring.signed_by(&course.holder);
    if !course.dry_run {
        let tag = store.save(&ring.to_bytes(), &held.expected).await?;
        held.expected = Expected::Unchanged(tag);
        held.saved = true;
    }
    held.ring = Some(ring);
    Ok(())
}

async fn act<S: RingStore, W: World>(
    store: &S,
    world: &mut W,
    held: &mut Held,
    action: &Action,
    course: &Course,
) -> Result<(), Failure> {
    if let Err(failure) = world.ready(action).await {
        // Nothing is under way: nobody need wait.
        give_back(store, held, course).await;
        return Err(failure);
    }
    let now = Timestamp::now();
    let until = now.saturating_add(course.lease).unwrap_or(Timestamp::MAX);
    let Some(ring) = &held.ring else {
        return Ok(());
    };
    let key = match action {
        Action::Create { .. } => Some(world.new_key()?),
        Action::Publish { .. }
        | Action::Trust { .. }
        | Action::Promote(_)
        | Action::Withdraw { .. }
        | Action::Distrust { .. }
        | Action::Erase { .. } => None,
    };
    let intended = match &key {
        // Its own entry says which key.
        Some(key) => {
            let leased = ring.leased(&course.holder, now, until)?;
            leased.created(key.public_key().kid(), action.why(), now)
        }
        None => ring.intend(action.event(&course.holder, now), until)?,
    };
    save(store, held, intended, course).await?;
    match key {
        Some(key) => world.keep(&key).await,
        None => world.apply(action).await,
    }
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
