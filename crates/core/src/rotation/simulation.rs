//! The machine over simulated time: whether timers are safe in a world, shown by trying.
//!
//! The world is adversarial: every API server issues the longest tokens at every instant, every relying party uses the
//! oldest copy of the JWKS that it may still have, and clocks differ as far as they may. With [`Plan::crash`] runs also
//! die between any two writes, race each other, stall and come back, writes arrive after their sender is dead, and API
//! servers restart by themselves. After each event every rule is checked.

mod chaos;
pub(crate) mod effect;
mod report;
pub(crate) mod run;
pub(crate) mod world;

use std::time::Duration;

use jiff::Timestamp;

pub(crate) use self::chaos::Chaos;
use self::chaos::Random;
use self::effect::Effect;
pub use self::report::{Happening, Moment, Plan, Report};
use self::run::{Fences, Rules, Run, Turned};
pub use self::world::Violation;
use self::world::{Nodes, World, number};
use crate::issuer::{IssuerUrl, TrailingSlash};
use crate::ring::{What, after};
use crate::rotation::guard::Guards;
use crate::rotation::{Action, Step};

/// A simulation in progress.
pub(crate) struct Simulation {
    pub(crate) world: World,
    pub(crate) rules: Rules,
    chaos: Chaos,
    random: Random,
    start: Timestamp,
    runs: Vec<Option<Run>>,
    under_way: Vec<(Effect, Timestamp)>,
    started: usize,
    report: Report,
}

/// Goes through one rotation.
pub fn simulate(plan: &Plan) -> Report {
    let chaos = if plan.crash {
        Chaos {
            crash: 12,
            stall: 12,
            restart: 8,
            lose_ring: 0,
            lose_key: 0,
            skew: true,
            faults: 24,
        }
    } else {
        Chaos::default()
    };
    let mut simulation = Simulation::new(plan, chaos, Guards::ALL, Fences::ALL);
    simulation.rotate(1);
    simulation.report
}

impl Simulation {
    pub(crate) fn new(plan: &Plan, chaos: Chaos, guards: Guards, fences: Fences) -> Self {
        let start = Timestamp::UNIX_EPOCH;
        Self {
            world: World::new(plan.truth, plan.servers, 1, start),
            rules: Rules {
                policy: plan.policy,
                guards,
                fences,
                lease: LEASE,
                history: false,
                looks: 16,
            },
            chaos,
            random: Random(plan.seed),
            start,
            runs: vec![None; plan.servers],
            under_way: Vec::new(),
            started: 0,
            report: Report {
                timeline: Vec::new(),
                violation: None,
                blocked: None,
                complete: false,
                writes: 0,
                took: Duration::ZERO,
                crashes: 0,
            },
        }
    }

    /// Runs until one key younger than key `than` is all that there is, a rule is broken or a person is needed.
    pub(crate) fn rotate(&mut self, than: u8) -> &Report {
        let policy = self.rules.policy;
        let tick = policy
            .publish_wait()
            .min(policy.public_drain(Duration::ZERO))
            / self.rules.looks;
        let tick = tick.clamp(Duration::from_secs(1), Duration::from_hours(12));
        let whole = policy.period()
            + policy.publish_wait()
            + policy.public_drain(Duration::ZERO)
            + policy.cluster_drain(Duration::ZERO);
        let end = after(self.world.now, whole.saturating_mul(6) + tick * 4096);
        while self.world.now < end && !self.is_over(than) {
            self.tick();
            if self.is_over(than) {
                break;
            }
            self.request(than);
            self.pass(tick);
        }
        self.report.complete = self.world.is_fresh(than);
        self.report.writes = self.world.writes;
        self.report.took = self.elapsed();
        &self.report
    }

    /// As `irsa rotate --now` does: nobody wants to look at ninety days of nothing.
    fn request(&mut self, than: u8) {
        let Some(ring) = &self.world.store else {
            return;
        };
        let idle = self.runs.iter().all(Option::is_none) && !ring.is_rotating();
        let old = ring
            .signing()
            .is_some_and(|key| number(&key.kid) <= usize::from(than));
        if idle && old && ring.requested().is_none() {
            self.world.store = Some(
                ring.request(String::new(), self.world.now)
                    .without_history(),
            );
        }
    }

    fn is_over(&self, than: u8) -> bool {
        let over = self.report.violation.is_some() || self.report.blocked.is_some();
        let idle = self.runs.iter().all(Option::is_none) && self.under_way.is_empty();
        over || idle && self.world.is_fresh(than)
    }

    /// The instant at which every node's timer starts a run.
    fn tick(&mut self) {
        for node in 0..self.runs.len() {
            let free = !self.rules.fences.node || self.runs.get(node).is_some_and(Option::is_none);
            if free {
                self.start_run(node);
            }
        }
        // A run that stalls sits this one out.
        let stall = if self.chaos.faults > 0 {
            self.chaos.stall
        } else {
            0
        };
        let stalled: Vec<bool> = (0..self.runs.len())
            .map(|_| self.random.happens(stall))
            .collect();
        let mut turns = 0;
        while self.report.violation.is_none() && self.report.blocked.is_none() {
            let active = |at: &usize| {
                self.runs.get(*at).is_some_and(Option::is_some)
                    && !stalled.get(*at).unwrap_or(&false)
            };
            let active: Vec<usize> = (0..self.runs.len()).filter(active).collect();
            let Some(node) = self.random.pick(&active) else {
                break;
            };
            self.turn(node);
            self.mischief(node);
            self.check();
            turns += 1;
            if turns > MOST_TURNS {
                break;
            }
        }
    }

    fn start_run(&mut self, node: usize) {
        self.started += 1;
        let fast = if self.chaos.skew {
            self.world
                .truth
                .skew
                .mul_f64(f64::from(self.random.byte()) / 255.0)
        } else {
            Duration::ZERO
        };
        let run = Run::start(
            &self.world,
            &format!("run-{}", self.started),
            Nodes::of([node]),
            fast,
        );
        if let Some(slot) = self.runs.get_mut(node) {
            *slot = Some(run);
        }
    }

    fn turn(&mut self, node: usize) {
        let Some(Some(run)) = self.runs.get_mut(node) else {
            return;
        };
        let before = self.world.store.as_ref().map(|ring| {
            (
                ring.signing().map(|key| key.kid.clone()),
                ring.tombstones().len(),
            )
        });
        match run.turn(&mut self.world, &self.rules) {
            Turned::On => {}
            Turned::Decided(action, made) => self.note(&action, made.as_ref()),
            Turned::Rest | Turned::Lost => self.end(node),
            Turned::Blocked(block) => {
                self.report.blocked = Some(block);
                self.end(node);
            }
        }
        self.note_decisions(before);
    }

    /// Things go wrong between any two turns.
    fn mischief(&mut self, node: usize) {
        if self.random.happens(64) {
            self.arrive();
            self.world.refresh();
        }
        if self.chaos.faults == 0 {
            return;
        }
        if self.random.happens(self.chaos.crash)
            && let Some(Some(run)) = self.runs.get(node)
        {
            if let (Some(effect), Some(end)) = (run.under_way(), run.lease_end())
                && self.random.happens(128)
            {
                self.under_way.push((effect.clone(), end));
            }
            self.end(node);
            self.report.crashes += 1;
            self.happened(Happening::Crash { node: node + 1 });
        }
        if self.random.happens(self.chaos.restart) {
            let servers: Vec<usize> = (0..self.world.servers.len()).collect();
            if let Some(server) = self.random.pick(&servers) {
                self.world.restart(server);
                self.happened(Happening::Restart { server: server + 1 });
            }
        }
        if self.random.happens(self.chaos.lose_ring) && self.world.store.take().is_some() {
            self.happened(Happening::RingLost);
        }
        if self.random.happens(self.chaos.lose_key) && self.world.lose_next() {
            self.happened(Happening::KeyLost);
        }
    }

    /// A write of a dead run arrives, unless its lease has run out.
    fn arrive(&mut self) {
        let Some((effect, end)) = self.under_way.pop() else {
            return;
        };
        if !self.rules.fences.lease || self.world.now < end {
            self.world.apply(&effect, self.rules.fences.sink);
        }
    }

    fn pass(&mut self, tick: Duration) {
        let jitter = if self.chaos.skew {
            tick.mul_f64(f64::from(self.random.byte()) / 512.0)
        } else {
            Duration::ZERO
        };
        let to = after(self.world.now, tick + jitter).max(self.nothing_before());
        if self.rules.fences.lease {
            self.under_way.retain(|(_, end)| *end > to);
        }
        self.world.pass(to);
        self.check();
    }

    /// The instant before which every run would only wait for a clock.
    fn nothing_before(&self) -> Timestamp {
        let Some(ring) = self
            .world
            .store
            .as_ref()
            .filter(|_| self.runs.iter().all(Option::is_none))
        else {
            return Timestamp::MIN;
        };
        let everywhere = self.world.observe(Nodes::of(0..self.runs.len()));
        let now = self.world.now;
        match super::next_step(ring, &self.rules.policy, &everywhere, now) {
            Step::Wait(waits) if waits.iter().all(|wait| wait.until.is_some()) => {
                waits.first().and_then(|wait| wait.until).unwrap_or(now)
            }
            Step::Wait(_) | Step::Save(_) | Step::Act(_) | Step::Blocked(_) => Timestamp::MIN,
        }
    }

    fn check(&mut self) {
        if self.report.violation.is_none()
            && let Some(violation) = self.world.violation()
        {
            self.report.violation = Some((self.elapsed(), violation));
        }
    }

    fn end(&mut self, node: usize) {
        if let Some(slot) = self.runs.get_mut(node) {
            *slot = None;
        }
    }

    fn elapsed(&self) -> Duration {
        let elapsed = self.world.now.duration_since(self.start);
        Duration::try_from(elapsed).unwrap_or_default()
    }

    fn note(&mut self, action: &Action, made: Option<&crate::kid::Kid>) {
        self.happened(Happening::Deed {
            what: action.what(),
            key: action.kid().or(made).map(number),
            place: action.place().map(str::to_owned),
        });
    }

    /// Decisions that are saves, not deeds, and that a reader wants to see.
    fn note_decisions(&mut self, before: Option<(Option<crate::kid::Kid>, usize)>) {
        let Some((signing, spent)) = before else {
            return;
        };
        let Some(ring) = &self.world.store else {
            return;
        };
        let now_signing = ring.signing().map(|key| key.kid.clone());
        let buried = ring.tombstones().len() > spent;
        if now_signing != signing {
            let key = now_signing.as_ref().map(number);
            self.happened(Happening::Deed {
                what: What::Chosen,
                key,
                place: None,
            });
        }
        if buried {
            self.happened(Happening::Deed {
                what: What::Buried,
                key: None,
                place: None,
            });
        }
    }

    fn happened(&mut self, what: Happening) {
        if !matches!(what, Happening::Deed { .. }) {
            self.chaos.faults = self.chaos.faults.saturating_sub(1);
        }
        let at = self.elapsed();
        self.report.timeline.push(Moment { at, what });
    }
}

/// How long a simulated lease lasts.
const LEASE: Duration = Duration::from_mins(15);
/// Turns at one instant after which the machine is said not to come to rest.
const MOST_TURNS: usize = 10_000;

/// The issuer of every simulated ring.
#[expect(clippy::expect_used, reason = "a constant")]
pub(crate) fn issuer() -> IssuerUrl {
    IssuerUrl::parse("https://oidc.example.com", TrailingSlash::Refuse).expect("a valid issuer URL")
}

#[cfg(test)]
#[path = "simulation/tests.rs"]
mod tests;
