//! Keeps the Secret, the caBundles and this replica's leaf as they should be.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use irsa_core::explain::Explain as _;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::sleep;

use super::bundle::{self, Service, injector};
use super::error::{CertificateError, api_error};
use super::make::{self, Leaf};
use super::plan::{self, Policy, Step, next_step};
use super::record::{Authority, Record, Trusted};
use super::secret::{self, SecretStore};
use crate::metrics::Metrics;
use crate::serve::{self, Served, State};

/// What the keeper keeps.
#[derive(Debug, Clone)]
pub struct KeeperConfig {
    /// The namespace of the Secret and the Service.
    pub namespace: String,
    /// The Secret.
    pub secret: String,
    /// The Service that the API server calls.
    pub service: String,
    /// Names and IP addresses of the certificate besides the Service's.
    pub names: Vec<String>,
    /// The `MutatingWebhookConfigurations` whose caBundle is kept.
    pub configurations: Vec<String>,
    /// How long things live.
    pub policy: Policy,
    /// How often everything is looked at.
    pub every: Duration,
}

/// The leaf that is served.
struct Serving {
    issuer: String,
    renew_at: i64,
    expires: i64,
}

/// Keeps everything for one replica.
pub struct Keeper {
    client: Client,
    secret: SecretStore,
    config: KeeperConfig,
    served: Arc<Served>,
    state: Arc<State>,
    metrics: Metrics,
    known: Option<Record>,
    serving: Option<Serving>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// A configuration as it was read, whole.
struct Configuration {
    name: String,
    object: Value,
}

impl Keeper {
    /// Ready to run.
    pub fn new(
        client: Client,
        config: KeeperConfig,
        served: Arc<Served>,
        state: Arc<State>,
        metrics: Metrics,
    ) -> Self {
        state.certificate_problem(Some("certificate: not made yet".to_owned()));
        let secret = SecretStore {
            client: client.clone(),
            namespace: config.namespace.clone(),
            name: config.secret.clone(),
        };
        Self {
            client,
            secret,
            config,
            served,
            state,
            metrics,
            known: None,
            serving: None,
        }
    }

    /// Keeps everything for ever.
    pub async fn run(mut self) {
        let mut failures: u32 = 0;
        let mut last_problem = String::new();
        loop {
            let kept = self.look(now()).await;
            // Without the API server the known CA still renews the leaf.
            let renewed = self.renew_leaf(now());
            let problem = kept.and(renewed).err();
            if let Some(error) = &problem {
                failures = failures.saturating_add(1);
                let text = error.to_string();
                if text != last_problem {
                    let why = std::error::Error::source(error).map(tracing::field::display);
                    tracing::warn!(%error, why, help = error.help(), "certificate not as it should be");
                }
                last_problem = text;
                self.metrics.certificate("failed");
            } else {
                failures = 0;
                last_problem.clear();
            }
            let usable = self
                .serving
                .as_ref()
                .is_some_and(|leaf| now() < leaf.expires);
            self.state.certificate_problem(if usable {
                None
            } else {
                let why = problem.map_or_else(|| "not trusted yet".to_owned(), |it| it.to_string());
                Some(format!("certificate: {why}"))
            });
            // Soon after a failure, which may be another replica's write, then at the usual pace.
            let soon = FIRST_RETRY * 2_u32.saturating_pow(failures.saturating_sub(1).min(10));
            let pause = if failures > 0 || !usable {
                soon
            } else {
                self.config.every
            };
            sleep(pause.min(self.config.every)).await;
        }
    }

    /// Reads everything, takes one step, and puts the bundles right. The order matters: the configurations are read
    /// before the Secret, so that a bundle made of an older Secret cannot replace one made of a newer.
    async fn look(&mut self, now: i64) -> Result<(), CertificateError> {
        let mut configurations = self.configurations().await?;
        let (mut record, secret) = self.secret.read().await?.unzip();
        let service = self.service();
        let next = record.as_ref().and_then(|record| record.next.clone());
        let next_is_trusted = next.is_some_and(|next| {
            configurations
                .iter_mut()
                .all(|one| bundle::trusts(&mut one.object, &service, &next.certificate))
        });
        let wanted = secret.as_ref().is_some_and(secret::wants_change);
        let policy = &self.config.policy;
        let step = next_step(record.as_ref(), next_is_trusted, wanted, policy, now);
        if let Some(changed) = self.step(step, record.as_ref(), &mut configurations, now)? {
            self.secret.write(&changed, secret).await?;
            tracing::info!(
                ?step,
                secret = self.config.secret,
                "the webhook's CA changed"
            );
            record = Some(changed);
        }
        let Some(record) = record else {
            return Ok(());
        };
        let bundle = record.bundle();
        self.metrics.ca_expires(record.current.expires);
        for one in &mut configurations {
            self.put_bundle(one, &service, &bundle).await?;
        }
        self.known = Some(record);
        Ok(())
    }

    /// What the Secret becomes, if anything.
    fn step(
        &self,
        step: Step,
        record: Option<&Record>,
        configurations: &mut [Configuration],
        now: i64,
    ) -> Result<Option<Record>, CertificateError> {
        let until = now.saturating_add(plan::seconds(self.config.policy.overlap));
        let make = || make::authority(&self.config.policy, now);
        Ok(match (step, record.cloned()) {
            (Step::Keep, _) => None,
            (_, None) => Some(match &self.known {
                // Somebody deleted the Secret: what every API server trusts goes on.
                Some(known) => known.clone(),
                None => Record {
                    current: make()?,
                    next: None,
                    previous: self.trusted_so_far(configurations, until),
                },
            }),
            (Step::Create | Step::Prepare, Some(mut record)) => {
                record.next = Some(make()?);
                Some(record)
            }
            (Step::Promote, Some(mut record)) => {
                let Some(next) = record.next.take() else {
                    return Ok(None);
                };
                let old = std::mem::replace(&mut record.current, next);
                record.previous.push(Trusted {
                    certificate: old.certificate,
                    until,
                });
                Some(record)
            }
            (Step::Retire, Some(mut record)) => {
                record.previous.retain(|one| now < one.until);
                Some(record)
            }
        })
    }

    /// Whoever served before us, with a certificate of another CA, is trusted until the rollout is over.
    fn trusted_so_far(&self, configurations: &mut [Configuration], until: i64) -> Vec<Trusted> {
        let service = self.service();
        let all = configurations
            .iter_mut()
            .flat_map(|one| bundle::trusted(&mut one.object, &service));
        all.map(|certificate| Trusted { certificate, until })
            .collect()
    }

    async fn put_bundle(
        &self,
        one: &mut Configuration,
        service: &Service,
        bundle: &str,
    ) -> Result<(), CertificateError> {
        match bundle::put(&mut one.object, service, bundle) {
            None => Err(CertificateError::Configuration(
                one.name.clone(),
                "does not name the webhook's Service",
            )),
            Some(false) => Ok(()),
            Some(true) => {
                let body = serde_json::from_value(one.object.clone()).map_err(|error| {
                    api_error("writing", &one.name, kube::Error::SerdeError(error))
                })?;
                self.configuration_api()
                    .replace(&one.name, &PostParams::default(), &body)
                    .await
                    .map_err(|source| api_error("writing the caBundle of", &one.name, source))?;
                tracing::info!(configuration = one.name, "caBundle written");
                Ok(())
            }
        }
    }

    /// Makes a leaf when there is none, it is due, or another CA signs now. Only a CA that every bundle was seen to
    /// hold is known.
    fn renew_leaf(&mut self, now: i64) -> Result<(), CertificateError> {
        let Some(record) = &self.known else {
            return Ok(());
        };
        let fits =
            |leaf: &Serving| leaf.issuer == record.current.certificate && now < leaf.renew_at;
        if self.serving.as_ref().is_some_and(fits) {
            return Ok(());
        }
        let authority: &Authority = &record.current;
        let Leaf {
            chain,
            key,
            made,
            expires,
        } = make::leaf(authority, &self.names(), &self.config.policy, now)?;
        serve::take(
            &self.served,
            "the webhook's own certificate",
            chain.as_bytes(),
            key.as_bytes(),
        )?;
        self.metrics.certificate("taken");
        self.metrics.certificate_expires(expires);
        tracing::info!(expires, "a new certificate is served");
        self.serving = Some(Serving {
            issuer: authority.certificate.clone(),
            renew_at: plan::renew_at(made, expires),
            expires,
        });
        Ok(())
    }

    fn service(&self) -> Service {
        Service {
            namespace: self.config.namespace.clone(),
            name: self.config.service.clone(),
        }
    }

    /// As upstream's certificate request has them.
    fn names(&self) -> Vec<String> {
        let (service, namespace) = (&self.config.service, &self.config.namespace);
        let mut names = vec![
            format!("{service}.{namespace}.svc"),
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc.cluster.local"),
        ];
        names.extend(self.config.names.iter().cloned());
        names
    }

    fn configuration_api(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<MutatingWebhookConfiguration>(&());
        Api::all_with(self.client.clone(), &resource)
    }

    async fn configurations(&self) -> Result<Vec<Configuration>, CertificateError> {
        let api = self.configuration_api();
        let mut found = Vec::new();
        for name in &self.config.configurations {
            let object = api
                .get_opt(name)
                .await
                .map_err(|source| api_error("reading", name, source))?;
            let Some(object) = object else {
                return Err(CertificateError::Configuration(
                    name.clone(),
                    "does not exist",
                ));
            };
            if injector(&object.metadata).is_some() {
                return Err(CertificateError::Configuration(
                    name.clone(),
                    "is annotated for another injector of caBundles; remove the annotation, or give files with --in-cluster=false",
                ));
            }
            let object = serde_json::to_value(object)
                .map_err(|error| api_error("reading", name, kube::Error::SerdeError(error)))?;
            found.push(Configuration {
                name: name.clone(),
                object,
            });
        }
        Ok(found)
    }
}

/// Unix seconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    plan::seconds(since.unwrap_or_default())
}

const FIRST_RETRY: Duration = Duration::from_millis(200);
