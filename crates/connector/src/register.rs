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
use crate::plan::{Observed, Request, Step, is_lost_answer};
use crate::role::SERVICE_LINKED_ROLE;

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
        role_is_ours: false,
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
    role_is_ours: bool,
    record: Record,
}

impl Run<'_> {
    async fn apply(&mut self, step: &Step) -> Result<(), Stop> {
        let registration = &self.request.registration;
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
            Step::CreateRole { boundary, .. } => {
                let made = self
                    .aws
                    .create_role(registration, boundary.as_deref())
                    .await;
                made.map_err(stop)?;
                self.role_is_ours = true;
                Ok(())
            }
            Step::PutRolePolicy { .. } => {
                // A role that stood before was known by its tag.
                self.role_is_ours = true;
                self.put_policy().await
            }
            Step::RegisterCluster { .. } => self.register().await,
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
            let token = &self.record.client_request_token;
            let error = match self.aws.register(self.request, token).await {
                Ok(activation) => {
                    self.record.role_arn = self.request.role_arn();
                    self.record.phase = Phase::Registered(activation);
                    self.journal.save(&self.record)?;
                    return Ok(());
                }
                Err(error) => error,
            };
            match error.verdict() {
                Verdict::Permanent => return Err(Stop::Refused(error)),
                Verdict::Unclear => return Err(Stop::Unclear(error)),
                Verdict::InUse => self.take_back_lost(error).await?,
                Verdict::MakeServiceLinkedRole if !made_service_linked_role => {
                    info!("{}", Step::CreateServiceLinkedRole);
                    self.aws.create_service_linked_role().await.map_err(stop)?;
                    made_service_linked_role = true;
                    info!("waiting until EKS knows the service-linked role");
                    if !pause.again().await {
                        return Err(Stop::Unclear(error));
                    }
                }
                Verdict::Wait | Verdict::MakeServiceLinkedRole => {
                    info!("waiting until EKS knows the new roles: {error}");
                    if !pause.again().await {
                        return Err(Stop::Unclear(error));
                    }
                }
            }
        }
    }

    /// A cluster of this name exists by now. If it is the one whose answer we missed, its code is lost for ever: it is
    /// deregistered, and the next request has a token of its own.
    async fn take_back_lost(&mut self, error: CallError) -> Result<(), Stop> {
        let name = self.request.registration.name.as_str();
        let found = self.aws.describe_cluster(name).await.map_err(stop)?;
        let Some(cluster) = found else {
            sleep(self.timing.first_delay).await;
            return Ok(());
        };
        if cluster.status == "DELETING" {
            sleep(self.timing.first_delay).await;
            return Ok(());
        }
        if !cluster.connected || !is_lost_answer(&cluster, &self.record) {
            return Err(Stop::Refused(error));
        }
        warn!(
            "\"{name}\" was registered by a request whose answer was lost: it is deregistered and registered anew"
        );
        self.aws.deregister(name).await.map_err(stop)?;
        self.record.client_request_token = Uuid::new_v4().to_string();
        self.record.role_arn = self.request.role_arn();
        self.journal.save(&self.record)?;
        Ok(())
    }

    /// Takes back what was made for a registration that AWS refuses.
    async fn undo(&self, source: CallError) -> RegisterError {
        let role = self.request.registration.role_name();
        let undone = if self.role_is_ours {
            match self.aws.delete_role(&role).await {
                Ok(()) => {
                    info!("role {role} was deleted again");
                    Undone::Role(role)
                }
                Err(error) => Undone::Stands {
                    role,
                    error: error.to_string(),
                },
            }
        } else {
            Undone::Nothing
        };
        if !matches!(undone, Undone::Stands { .. })
            && let Err(error) = self.journal.erase()
        {
            return error.into();
        }
        RegisterError::Refused {
            name: self.request.registration.name.to_string(),
            undone,
            source: Box::new(source),
        }
    }
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
