//! Kubernetes Events on the service account whose pod goes without credentials: `kubectl describe sa` shows them.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use crate::metrics::Metrics;

/// Something to tell about a service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub account: String,
    /// The Event's reason.
    pub reason: &'static str,
    /// The Event's text.
    pub sentence: String,
}

/// Where notices go. A flood is cut off rather than kept: the API server has other work.
#[derive(Debug, Clone)]
pub struct Notices {
    sender: mpsc::Sender<Notice>,
    metrics: Metrics,
}

impl Notices {
    /// A sender, and the task that writes Events for ever.
    pub fn new(
        client: Client,
        instance: Option<String>,
        metrics: Metrics,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let notices = Self {
            sender,
            metrics: metrics.clone(),
        };
        (notices, write(client, instance, receiver, metrics))
    }

    /// Hands a notice over, at once.
    pub fn tell(&self, notice: Notice) {
        if self.sender.try_send(notice).is_err() {
            self.metrics.event("dropped");
        }
    }
}

async fn write(
    client: Client,
    instance: Option<String>,
    mut receiver: mpsc::Receiver<Notice>,
    metrics: Metrics,
) {
    // Events of one reason on one account within six minutes become one with a count.
    let reporter = Reporter {
        controller: "pod-identity-webhook".to_owned(),
        instance,
    };
    let recorder = Recorder::new(client, reporter);
    while let Some(notice) = receiver.recv().await {
        let reference = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("ServiceAccount".to_owned()),
            namespace: Some(notice.namespace.clone()),
            name: Some(notice.account.clone()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: EventType::Warning,
            reason: notice.reason.to_owned(),
            note: Some(notice.sentence.chars().take(MAX_NOTE).collect()),
            action: "Inject".to_owned(),
            secondary: None,
        };
        match recorder.publish(&event, &reference).await {
            Ok(()) => metrics.event("written"),
            Err(error) => {
                metrics.event("failed");
                tracing::debug!(%error, reason = notice.reason, "an Event could not be written");
            }
        }
    }
}

/// Notices that wait to be written.
const WAITING: usize = 256;
/// The API server takes one kilobyte.
const MAX_NOTE: usize = 1_000;
