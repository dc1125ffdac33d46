//! Registers a cluster: observes, and makes the planned changes in AWS one at a time.

mod error;
mod wait;

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use uuid::Uuid;

use crate::aws::Aws;
use crate::call::{CallError, Verdict};
use irsa_core::explain::Explain as _;

use crate::journal::{JournalError, LockedJournal, Phase, Record};
use crate::plan::{ClusterRecord, Observed, Request, Step, is_lost_answer};
use crate::role::SERVICE_LINKED_ROLE;
use crate::undo::{Reason, Undo, undo};

pub use error::{RegisterError, Undone};
pub use wait::await_connected;

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Before the second attempt; doubled for each further one.
    pub first_delay: Duration,
    /// The longest delay between two attempts.
    pub longest_delay: Duration,
    /// How long `RegisterCluster` is tried: roles take up to three minutes to be known everywhere.
    pub register_limit: Duration,
    /// Between two looks at the cluster's status.
    pub poll: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_secs(5),
            longest_delay: Duration::from_secs(30),
            register_limit: Duration::from_mins(3),
            poll: Duration::from_secs(5),
        }
    }
}

/// Looks at everything that the plan depends on; changes nothing.
pub async fn observe(aws: &Aws, request: &Request) -> Result<Observed, RegisterError> {
    let fail = |error| RegisterError::Observe(Box::new(error));
    let registration = &request.registration;
    let cluster = aws
        .describe_cluster(registration.name.as_str())
        .await
        .map_err(fail)?;
    if !request.owns_role() {
        return Ok(Observed {
            cluster,
            ..Observed::default()
        });
    }
    let service_linked_role = match aws.role(SERVICE_LINKED_ROLE).await {
        Ok(found) => Some(found.is_some()),
        // EKS makes it itself, or says that it is missing.
        Err(error) if error.is("AccessDenied") => None,
        Err(error) => return Err(fail(error)),
    };
    let own_role = aws.role(&registration.role_name()).await.map_err(fail)?;
    Ok(Observed {
        cluster,
        own_role: own_role.map(|role| role.record),
        service_linked_role,
    })
}

/// Makes the planned changes in AWS. At the end the journal holds the activation.
pub async fn execute(
    aws: &Aws,
    request: &Request,
    steps: &[Step],
    journal: &LockedJournal,
    timing: Timing,
) -> Result<Record, RegisterError> {
    let mut run = Run {
        aws,
        request,
        journal,
        timing,
        record: begin(request, steps, journal)?,
    };
    for step in steps {
        info!("{step}");
        match run.apply(step).await {
            Ok(()) => {}
            Err(Stop::Refused(error)) => return Err(run.undo(error).await),
            Err(Stop::Unclear(source)) => {
                return Err(RegisterError::Interrupted {
                    name: request.registration.name.to_string(),
                    registered: false,
                    source: Box::new(source),
                });
            }
            Err(Stop::Other(error)) => return Err(error),
        }
    }
    Ok(run.record)
}

/// The record of this registration, on disk before anything is asked of AWS.
fn begin(
    request: &Request,
    steps: &[Step],
    journal: &LockedJournal,
) -> Result<Record, RegisterError> {
    let again = steps
        .iter()
        .any(|step| matches!(step, Step::RegisterCluster { again: true, .. }));
    if again && let Some(mut record) = journal.load()? {
        // The role may be another one than last time; the answer to the old request is known by the old one.
        record.phase = Phase::Registering;
        return Ok(record);
    }
    let record = Record {
        cluster_arn: request.registration.cluster_arn(),
        role_arn: request.role_arn(),
        client_request_token: Uuid::new_v4().to_string(),
        mark: Uuid::new_v4().to_string(),
        started: Timestamp::now(),
        phase: Phase::Registering,
    };
    journal.save(&record)?;
    Ok(record)
}

/// Why a step ends the run.
enum Stop {
    /// AWS refuses for good.
    Refused(CallError),
    /// It can go on from here.
    Unclear(CallError),
    Other(RegisterError),
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        Self::Other(error.into())
    }
}

/// One run over the steps.
struct Run<'a> {
    aws: &'a Aws,
    request: &'a Request,
    journal: &'a LockedJournal,
    timing: Timing,
    record: Record,
}

impl Run<'_> {
    async fn apply(&mut self, step: &Step) -> Result<(), Stop> {
        match step {
            Step::CreateServiceLinkedRole => {
                match self.aws.create_service_linked_role().await {
                    // EKS makes it for those who may not, or says that it is missing.
                    Err(error) if error.is("AccessDenied") => {
                        warn!("{error}; left to EKS");
                        Ok(())
                    }
                    done => done.map_err(stop),
                }
            }
            Step::CreateRole { boundary, .. } => self.create_role(boundary.as_deref()).await,
            Step::PutRolePolicy { .. } => self.put_policy().await,
            Step::RegisterCluster { .. } => self.register().await,
        }
    }

    async fn create_role(&self, boundary: Option<&str>) -> Result<(), Stop> {
        let registration = &self.request.registration;
        let mark = &self.record.mark;
        let Err(error) = self.aws.create_role(registration, mark, boundary).await else {
            return Ok(());
        };
        if !error.is("EntityAlreadyExists") {
            return Err(stop(error));
        }
        // Made by our own request whose answer was lost, or by another run of this moment: the tag says for whom.
        let role = self.aws.role(&registration.role_name()).await;
        match role.map_err(stop)? {
            Some(role) if registration.owns(&role.record.tags) => Ok(()),
            _ => Err(Stop::Refused(error)),
        }
    }

    /// A new role may be unknown to this call for some seconds.
    async fn put_policy(&self) -> Result<(), Stop> {
        let mut pause = Pause::new(self.timing);
        loop {
            match self.aws.put_agent_policy(&self.request.registration).await {
                Err(error) if error.is("NoSuchEntity") && pause.again().await => {}
                done => return done.map_err(stop),
            }
        }
    }

    async fn register(&mut self) -> Result<(), Stop> {
        let mut pause = Pause::new(self.timing);
        let mut made_service_linked_role = false;
        loop {
            let error = match self.aws.register(self.request, &self.record).await {
                Ok(activation) => {
                    self.record.role_arn = self.request.role_arn();
                    self.record.phase = Phase::Registered(activation);
                    self.journal.save(&self.record)?;
                    return Ok(());
                }
                Err(error) => error,
            };
            match error.verdict() {
                Verdict::Unclear => return Err(Stop::Unclear(error)),
                // A request that was sent before may have been done, and is refused with either now.
                verdict @ (Verdict::InUse | Verdict::Permanent) => match self.way(verdict).await? {
                    Way::Lost => self.take_back_lost().await?,
                    Way::Leaving => {}
                    Way::Closed => return Err(Stop::Refused(error)),
                },
                Verdict::MakeServiceLinkedRole if !made_service_linked_role => {
                    info!("{}", Step::CreateServiceLinkedRole);
                    self.aws.create_service_linked_role().await.map_err(stop)?;
                    made_service_linked_role = true;
                    info!("waiting until EKS knows the service-linked role");
                }
                Verdict::Wait | Verdict::MakeServiceLinkedRole => {
                    info!("waiting until EKS knows the new roles: {error}");
                }
            }
            if !pause.again().await {
                return Err(Stop::Unclear(error));
            }
        }
    }

    /// What stands where this registration should.
    async fn way(&self, verdict: Verdict) -> Result<Way, Stop> {
        let name = self.request.registration.name.as_str();
        let found = match self.aws.describe_cluster(name).await {
            Ok(found) => found,
            // The refusal says more than that nothing could be seen.
            Err(_) if verdict == Verdict::Permanent => return Ok(Way::Closed),
            Err(error) => return Err(stop(error)),
        };
        let in_use = verdict == Verdict::InUse;
        Ok(match found {
            None if in_use => Way::Leaving,
            Some(cluster) if in_use && cluster.status == "DELETING" => Way::Leaving,
            Some(cluster) if is_lost_answer(&cluster, &self.record) => Way::Lost,
            _ => Way::Closed,
        })
    }

    /// The registration whose answer was missed has a code that nobody knows: it is deregistered, and the next request
    /// has a token of its own.
    async fn take_back_lost(&mut self) -> Result<(), Stop> {
        let name = self.request.registration.name.as_str();
        warn!(
            "\"{name}\" was registered by a request whose answer was lost: it is deregistered and registered anew"
        );
        self.aws.deregister(name).await.map_err(stop)?;
        self.record.client_request_token = Uuid::new_v4().to_string();
        self.record.role_arn = self.request.role_arn();
        self.journal.save(&self.record)?;
        Ok(())
    }

    /// Takes back what this registration made, as AWS refuses it. The journal is kept while something of it may stand.
    async fn undo(&self, source: CallError) -> RegisterError {
        let registration = &self.request.registration;
        let seen = self.aws.describe_cluster(registration.name.as_str()).await;
        let over = match &seen {
            Ok(Some(cluster)) => !is_lost_answer(cluster, &self.record),
            Ok(None) => true,
            Err(_) => false,
        };
        let undone = if self.request.owns_role() {
            self.undo_role(seen).await
        } else {
            Undone::Nothing
        };
        if over
            && !matches!(undone, Undone::Stands { .. })
            && let Err(error) = self.journal.erase()
        {
            return error.into();
        }
        RegisterError::Refused {
            name: registration.name.to_string(),
            undone,
            source: Box::new(source),
        }
    }

    async fn undo_role(&self, seen: Result<Option<ClusterRecord>, CallError>) -> Undone {
        let registration = &self.request.registration;
        let role = registration.role_name();
        let Ok(cluster) = seen else {
            let reason = Reason::Unseen;
            return Undone::Kept { role, reason };
        };
        let stands = |error: &CallError| Undone::Stands {
            role: role.clone(),
            error: error.to_string(),
        };
        let found = match self.aws.role(&role).await {
            Ok(found) => found.map(|role| role.record),
            Err(error) => return stands(&error),
        };
        match undo(
            registration,
            &self.record.mark,
            found.as_ref(),
            cluster.as_ref(),
        ) {
            Undo::Nothing => Undone::Nothing,
            Undo::Keep(reason) => Undone::Kept { role, reason },
            Undo::Delete => match self.aws.delete_role(&role).await {
                Ok(()) => {
                    info!("role {role} was deleted again");
                    Undone::Role(role)
                }
                Err(error) => stands(&error),
            },
        }
    }
}

/// What stands where a registration should, after EKS has refused it.
enum Way {
    /// The answer to an earlier request of ours that was lost.
    Lost,
    /// Nothing, or what goes away: to be tried again.
    Leaving,
    /// Somebody else's, or nothing that explains the refusal.
    Closed,
}

/// Delays that double, up to a limit for all together.
struct Pause {
    start: Instant,
    next: Duration,
    timing: Timing,
}

impl Pause {
    fn new(timing: Timing) -> Self {
        Self {
            start: Instant::now(),
            next: timing.first_delay,
            timing,
        }
    }

    /// Waits, unless the limit would be passed.
    async fn again(&mut self) -> bool {
        if self.start.elapsed() + self.next > self.timing.register_limit {
            return false;
        }
        sleep(self.next).await;
        self.next = (self.next * 2).min(self.timing.longest_delay);
        true
    }
}

fn stop(error: CallError) -> Stop {
    // Whether it ends the registration is the same question for every call.
    if error.retryable() || error.verdict() != Verdict::Permanent {
        Stop::Unclear(error)
    } else {
        Stop::Refused(error)
    }
}
