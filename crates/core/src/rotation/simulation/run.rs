//! A run of `irsa rotate` that can be stopped between any two of its deeds: the loop of the command, one turn at a time.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use super::effect::{Effect, effects};
use super::world::{Nodes, World};
use crate::kid::Kid;
use crate::policy::RotationPolicy;
use crate::ring::{KeyRing, after};
use crate::rotation::guard::Guards;
use crate::rotation::rebuild::rebuild;
use crate::rotation::scene::Scene;
use crate::rotation::{Action, Block, Step, decide};

/// What protects the world from runs that are late: in the product, all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is taken away by itself in a test"
)]
pub(crate) struct Fences {
    /// The store refuses a save over another generation.
    pub(crate) save: bool,
    /// A sink refuses a write over other bytes.
    pub(crate) sink: bool,
    /// A node's files change under that node's lock, which a run holds as long as it lives.
    pub(crate) node: bool,
    /// A write that is under way does not arrive after the lease of its run.
    pub(crate) lease: bool,
}

impl Fences {
    pub(crate) const ALL: Self = Self {
        save: true,
        sink: true,
        node: true,
        lease: true,
    };
}

/// How a simulated world is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) policy: RotationPolicy,
    pub(crate) guards: Guards,
    pub(crate) fences: Fences,
    /// How long a lease lasts.
    pub(crate) lease: Duration,
    /// Whether rings keep their history: a search for states compares them without.
    pub(crate) history: bool,
    /// How many runs start in one publish wait.
    pub(crate) looks: u32,
}

/// A run in progress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    holder: String,
    /// The nodes whose files it reaches.
    nodes: Nodes,
    /// How fast its clock is.
    fast: Duration,
    turn: Turn,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Turn {
    /// It has read the ring, and looks.
    Look(Option<Box<KeyRing>>),
    /// It is about to save a ring over `over`, then to do these things.
    Save {
        over: Option<u64>,
        ring: Box<KeyRing>,
        deeds: VecDeque<Effect>,
    },
    /// It is doing things.
    Do {
        ring: Box<KeyRing>,
        deeds: VecDeque<Effect>,
    },
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turned {
    /// There is more to do.
    On,
    /// This was decided.
    Decided(Action, Option<Kid>),
    /// It came as far as it could.
    Rest,
    /// Somebody else was there.
    Lost,
    /// A person is needed.
    Blocked(Block),
}

impl Run {
    /// A run starts: it takes its node's lock and reads the ring.
    pub(crate) fn start(world: &World, holder: &str, nodes: Nodes, fast: Duration) -> Self {
        Self {
            holder: holder.to_owned(),
            nodes,
            fast,
            turn: Turn::Look(world.store.clone().map(Box::new)),
        }
    }

    /// The write that is under way if the run dies now.
    pub(crate) fn under_way(&self) -> Option<&Effect> {
        match &self.turn {
            Turn::Look(_) | Turn::Save { .. } => None,
            Turn::Do { deeds, .. } => deeds.front().filter(|deed| deed.travels()),
        }
    }

    /// Until when its writes may arrive.
    pub(crate) fn lease_end(&self) -> Option<Timestamp> {
        match &self.turn {
            Turn::Look(_) | Turn::Save { .. } => None,
            Turn::Do { ring, .. } => ring.lease().map(|lease| lease.until),
        }
    }

    fn clock(&self, world: &World) -> Timestamp {
        after(world.now, self.fast)
    }

    /// Does one thing, and looks what is next.
    pub(crate) fn turn(&mut self, world: &mut World, rules: &Rules) -> Turned {
        let (ring, deeds) = match self.turn.clone() {
            Turn::Look(ring) => return self.look(ring.map(|ring| *ring), world, rules),
            Turn::Save { over, ring, deeds } => {
                let found = world.store.as_ref().map(KeyRing::generation);
                if rules.fences.save && found != over {
                    return Turned::Lost;
                }
                world.store = Some((*ring).clone());
                (ring, deeds)
            }
            Turn::Do { ring, mut deeds } => {
                let now = self.clock(world);
                let late = ring.lease().is_some_and(|lease| lease.until <= now);
                let done = deeds.pop_front().is_none_or(|deed| {
                    let arrives = !(rules.fences.lease && deed.travels() && late);
                    arrives && world.apply(&deed, rules.fences.sink)
                });
                if !done {
                    return Turned::Lost;
                }
                (ring, deeds)
            }
        };
        if deeds.is_empty() {
            return self.look(Some(*ring), world, rules);
        }
        self.turn = Turn::Do { ring, deeds };
        Turned::On
    }

    fn look(&mut self, ring: Option<KeyRing>, world: &mut World, rules: &Rules) -> Turned {
        let observed = world.observe(self.nodes);
        let now = self.clock(world);
        let over = ring.as_ref().map(KeyRing::generation);
        if ring
            .as_ref()
            .is_some_and(|ring| ring.free_for(&self.holder, now).is_err())
        {
            return Turned::Lost;
        }
        let step = match &ring {
            Some(ring) => decide(&Scene {
                ring,
                policy: &rules.policy,
                observed: &observed,
                now,
                guards: rules.guards,
            }),
            None => match rebuild(&super::issuer(), &observed, now) {
                Ok(ring) => Step::Save(Box::new(ring)),
                Err(step) => step,
            },
        };
        match (step, ring) {
            (Step::Save(ring), _) => {
                self.save(over, ring.signed_by(&self.holder), VecDeque::new(), rules);
                Turned::On
            }
            (Step::Act(action), Some(ring)) => self.intend(action, &ring, world, rules),
            (Step::Act(_), None) => Turned::Rest,
            // What this ring cannot explain may be the work of a run that was faster.
            (Step::Blocked(_), _) if world.store.as_ref().map(KeyRing::generation) != over => {
                Turned::Lost
            }
            (Step::Blocked(block), ring) => self
                .release(ring, now, rules)
                .unwrap_or(Turned::Blocked(block)),
            (Step::Wait(_), ring) => self.release(ring, now, rules).unwrap_or(Turned::Rest),
        }
    }

    fn intend(
        &mut self,
        action: Action,
        ring: &KeyRing,
        world: &mut World,
        rules: &Rules,
    ) -> Turned {
        let now = self.clock(world);
        let until = after(now, rules.lease);
        let Ok(mut intended) = ring.intend(action.event(&self.holder, now), until) else {
            return Turned::Lost;
        };
        let made = match &action {
            Action::Create { why } => {
                let kid = world.new_kid();
                intended = intended.created(kid.clone(), why.clone(), now);
                Some(kid)
            }
            Action::Publish { .. }
            | Action::Trust { .. }
            | Action::Promote(_)
            | Action::Withdraw { .. }
            | Action::Distrust { .. }
            | Action::Erase { .. } => None,
        };
        let deeds = effects(&action, world, made.clone()).into();
        self.save(Some(ring.generation()), intended, deeds, rules);
        Turned::Decided(action, made)
    }

    /// Gives the lease back, if it was taken.
    fn release(&mut self, ring: Option<KeyRing>, now: Timestamp, rules: &Rules) -> Option<Turned> {
        let ring = ring?;
        let released = ring.released(&self.holder, now)?;
        self.save(Some(ring.generation()), released, VecDeque::new(), rules);
        Some(Turned::On)
    }

    fn save(&mut self, over: Option<u64>, ring: KeyRing, deeds: VecDeque<Effect>, rules: &Rules) {
        let ring = if rules.history {
            ring
        } else {
            ring.without_history()
        };
        let ring = Box::new(ring);
        self.turn = Turn::Save { over, ring, deeds };
    }
}
