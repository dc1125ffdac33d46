//! Every order of events in a small world, searched by stateright: the same machine, ring, runs and world as in
//! [`super::simulation`], with every crash, pause, restart and late write at every point.

mod faults;

use std::time::Duration;

use jiff::Timestamp;
use stateright::{Model, Property};

use self::faults::{CALM, Faults};
use super::Block;
use super::guard::Guards;
use super::simulation::effect::Effect;
use super::simulation::run::{Fences, Rules, Run, Turned};
use super::simulation::world::{Nodes, World, kid};
use crate::kid::Kid;
use crate::policy::{Assumptions, RotationPolicy, Timers};
use crate::ring::{KeyRing, after};

/// The unit of time: caches and external tokens last for one, tokens for the API server for two.
const TICK: Duration = Duration::from_hours(1);
/// Far above what any rotation in this world needs: what has not come to rest by then never does.
const MOST_TICKS: u8 = 24;

/// The runs that there can be at once.
const RUNS: usize = 3;

const RULES: &str = "no rule is broken";
const NO_PERSON: &str = "no person is needed";
const NO_SPENT: &str = "no spent key comes back";
const NO_LASTING: &str = "no server signs with a retired key for longer than it takes to see it";
const FRESH: &str = "one fresh key is all that is left";

struct Rotation {
    servers: usize,
    faults: Faults,
    guards: Guards,
    fences: Fences,
    holds: bool,
    /// It begins after a rotation, with the private half of the key that signs lost and a manifest written anew.
    lost: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    world: World,
    /// Two runs, one on the first node, one on all others; and a second one on the first node, which that node's lock
    /// keeps away while the first lives.
    runs: [Option<Run>; RUNS],
    /// Which of them have ended since the last tick.
    ran: [bool; RUNS],
    under_way: Vec<(Effect, Timestamp)>,
    faults: Faults,
    ticks: u8,
    /// For how many ticks the public URL has shown an old copy.
    lag: u8,
    /// For how many ticks, in which no run lost a race, a server has signed with a retired key.
    astray: u8,
    /// A run has lost a race since the last tick.
    lost: bool,
    /// A run said that it was done, or needs a person.
    verdict: Option<&'static str>,
}

impl State {
    fn meddle(&mut self, left: fn(&mut Faults) -> &mut u8, with: impl FnOnce(&mut World)) {
        *left(&mut self.faults) -= 1;
        with(&mut self.world);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Event {
    Start(usize),
    Turn(usize),
    Crash(usize),
    CrashLate(usize),
    Arrive(usize),
    Restart(usize),
    Refresh,
    Compromise,
    Forget,
    Anew(usize),
    Join,
    Tick,
}

impl Rotation {
    fn new(servers: usize, faults: Faults) -> Self {
        Self {
            servers,
            faults,
            guards: Guards::ALL,
            fences: Fences::ALL,
            holds: false,
            lost: false,
        }
    }

    fn rules(&self) -> Rules {
        let truth = truth();
        let timers = Timers {
            period: Some(TICK * 1000),
            ..Timers::default()
        };
        Rules {
            policy: RotationPolicy::new(truth, timers).unwrap(),
            guards: self.guards,
            fences: self.fences,
            lease: TICK / 2,
            history: false,
            looks: 1,
        }
    }

    fn nodes(&self, run: usize) -> Nodes {
        if run == 1 {
            // Also that of a node that joins.
            Nodes::of(1..=self.servers)
        } else {
            Nodes::of([0])
        }
    }

    fn goal(state: &State) -> bool {
        let quiet = state.faults.anew == 0 && state.faults.joins == 0;
        quiet
            && state.world.is_fresh(1)
            && state.runs.iter().all(Option::is_none)
            && state.under_way.is_empty()
    }

    /// As the calendar does when a rotation has been forgotten.
    fn request(state: &mut State) {
        let Some(ring) = &state.world.store else {
            return;
        };
        let old = ring.signing().is_some_and(|key| key.kid == kid(1));
        if old
            && !ring.is_rotating()
            && ring.requested().is_none()
            && state.runs.iter().all(Option::is_none)
        {
            ask(&mut state.world);
        }
    }

    /// Every node's run in turn, twice.
    fn calm(&self, world: &mut World) {
        for at in [0, 1, 0, 1] {
            let mut run = Run::start(world, "first", self.nodes(at), Duration::ZERO);
            while let Turned::On | Turned::Decided(..) = run.turn(world, &self.rules()) {
                // until it rests
            }
        }
    }

    fn turn(&self, state: &mut State, at: usize) -> Option<()> {
        let mut run = state.runs[at].take()?;
        match run.turn(&mut state.world, &self.rules()) {
            Turned::On | Turned::Decided(..) => state.runs[at] = Some(run),
            Turned::Lost => {
                state.ran[at] = true;
                // Nothing else depends on it: fewer states are to be searched.
                state.lost = state.world.signs_with_retired();
            }
            // The run on that node goes on.
            Turned::Rest | Turned::Blocked(Block::SpentSigner { .. }) => state.ran[at] = true,
            Turned::Blocked(Block::PrivateLost { .. }) if self.lost => {
                state.ran[at] = true;
                ask(&mut state.world);
            }
            Turned::Blocked(_) => {
                state.ran[at] = true;
                state.verdict = Some("blocked");
            }
        }
        Some(())
    }

    /// An hour passes: runs may start again, what nobody may write any more is lost, the public URL ages.
    fn tick(&self, state: &mut State) -> Option<()> {
        let active = state.runs.iter().filter(|run| run.is_some()).count();
        state.faults.stalls -= u8::try_from(active).ok()?;
        let stalled = state.runs[0].is_some();
        state.ran = [false, false, self.fences.node || !stalled];
        let to = after(state.world.now, TICK);
        if self.fences.lease {
            state.under_way.retain(|(_, end)| *end > to);
        }
        Self::request(state);
        state.world.pass(to);
        // No copy is older than two ticks.
        let current = state.world.public.keys().eq(state.world.sinks[0].keys());
        state.lag = if current { 0 } else { state.lag + 1 };
        if state.lag > 1 {
            state.world.refresh();
            state.lag = 0;
        }
        let astray = state.world.signs_with_retired();
        let counts = u8::from(!std::mem::take(&mut state.lost));
        state.astray = if astray { state.astray + counts } else { 0 };
        state.ticks += 1;
        Some(())
    }
}

/// A person asks for another key.
fn ask(world: &mut World) {
    if let Some(ring) = &world.store {
        let asked = ring.request(String::new(), world.now);
        world.store = Some(asked.without_history());
    }
}

/// The key that may turn out to be compromised: the one that signs next, or has just begun to.
fn newest(ring: &KeyRing) -> Option<Kid> {
    let key = ring
        .next()
        .or_else(|| ring.signing().filter(|key| key.kid != kid(1)))?;
    key.compromised.is_none().then(|| key.kid.clone())
}

fn truth() -> Assumptions {
    Assumptions {
        caches: TICK,
        public_token: TICK,
        cluster_token: TICK * 2,
        skew: Duration::ZERO,
    }
}

impl Model for Rotation {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let mut world = World::new(truth(), self.servers, 1, Timestamp::UNIX_EPOCH);
        world.lags = self.faults.lags;
        world.held = self.holds.then(|| kid(1));
        // The first runs make the ring and learn what each node has to report; they are alike in every order.
        self.calm(&mut world);
        ask(&mut world);
        if self.lost {
            while !world.is_fresh(1) {
                self.calm(&mut world);
                world.pass(after(world.now, TICK));
            }
            world.lose_signing();
            world.write_anew(0);
        }
        vec![State {
            world,
            runs: [None, None, None],
            // Nobody starts a second run before the first one stalls.
            ran: [false, false, true],
            under_way: Vec::new(),
            faults: self.faults,
            ticks: 0,
            lag: 0,
            astray: 0,
            lost: false,
            verdict: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Event>) {
        if Self::goal(state) || state.verdict.is_some() {
            return;
        }
        for at in 0..RUNS {
            match &state.runs[at] {
                None if !state.ran[at] => actions.push(Event::Start(at)),
                None => {}
                Some(run) => {
                    actions.push(Event::Turn(at));
                    if state.faults.crashes > 0 {
                        actions.push(Event::Crash(at));
                    }
                    if state.faults.late > 0 && run.under_way().is_some() {
                        actions.push(Event::CrashLate(at));
                    }
                }
            }
        }
        actions.extend((0..state.under_way.len()).map(Event::Arrive));
        for (at, server) in state.world.servers.iter().enumerate() {
            if state.faults.restarts > 0 && server.disk != server.loaded {
                actions.push(Event::Restart(at));
            }
        }
        if state.faults.anew > 0 {
            actions.extend((0..self.servers).map(Event::Anew));
        }
        if state.faults.joins > 0 {
            actions.push(Event::Join);
        }
        if state.world.lags && !state.world.public.keys().eq(state.world.sinks[0].keys()) {
            actions.push(Event::Refresh);
        }
        if let Some(ring) = &state.world.store {
            if state.faults.compromises > 0
                && ring.next().is_some_and(|key| key.compromised.is_none())
            {
                actions.push(Event::Compromise);
            }
            if state.faults.amnesia > 0 {
                actions.push(Event::Forget);
            }
        }
        let active = state.runs.iter().filter(|run| run.is_some()).count();
        let rested = (0..RUNS).all(|at| state.ran[at] || state.runs[at].is_some());
        if rested
            && active <= usize::from(state.faults.stalls)
            && state.ticks < MOST_TICKS
            && !state.world.is_fresh(1)
        {
            actions.push(Event::Tick);
        }
    }

    fn next_state(&self, state: &State, event: Event) -> Option<State> {
        let mut next = state.clone();
        match event {
            Event::Start(at) => {
                // Every process has a name of its own.
                let holder = format!("{at}.{}.{}", next.faults.crashes, next.faults.late);
                next.runs[at] = Some(Run::start(
                    &next.world,
                    &holder,
                    self.nodes(at),
                    Duration::ZERO,
                ));
                self.turn(&mut next, at)?;
            }
            Event::Turn(at) => self.turn(&mut next, at)?,
            Event::Crash(at) => {
                next.runs[at] = None;
                next.ran[at] = true;
                next.faults.crashes -= 1;
            }
            Event::CrashLate(at) => {
                let run = next.runs[at].take()?;
                next.under_way
                    .push((run.under_way()?.clone(), run.lease_end()?));
                next.ran[at] = true;
                next.faults.late -= 1;
            }
            Event::Arrive(at) => {
                let (effect, _) = next.under_way.remove(at);
                next.world.apply(&effect, self.fences.sink);
            }
            Event::Restart(at) => {
                next.world.restart(at);
                next.faults.restarts -= 1;
            }
            Event::Refresh => next.world.refresh(),
            Event::Compromise => {
                let key = newest(next.world.store.as_ref()?)?;
                next.world.compromise(&key);
                next.faults.compromises -= 1;
            }
            Event::Forget => {
                next.world.store = None;
                next.faults.amnesia -= 1;
            }
            Event::Anew(at) => next.meddle(|faults| &mut faults.anew, |world| world.write_anew(at)),
            Event::Join => next.meddle(|faults| &mut faults.joins, World::join),
            Event::Tick => self.tick(&mut next)?,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(RULES, |_, state: &State| state.world.violation().is_none()),
            Property::always(NO_PERSON, |_, state: &State| state.verdict.is_none()),
            Property::always(NO_SPENT, |_, state: &State| {
                state.world.leftover().is_none()
            }),
            // One tick may end before its node's run has seen it; in the next one that run mends it.
            Property::always(NO_LASTING, |_, state: &State| state.astray < 2),
            Property::eventually("one fresh key is all that is left", |_, state: &State| {
                Self::goal(state)
            }),
        ]
    }
}

#[path = "model_tests.rs"]
mod tests;
