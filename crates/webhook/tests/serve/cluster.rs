//! A stand-in for the API server, for what a real one does not do on demand: being late, silent or unwilling.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

type Body = BoxBody<Bytes, Infallible>;

/// What the cluster holds and how it answers.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<Inner>);

struct Inner {
    /// Role by `NAMESPACE/NAME`; none for a service account without annotation.
    accounts: Mutex<BTreeMap<String, Option<String>>>,
    /// The status of lists; 0 for no answer at all.
    lists: AtomicU16,
    /// Every event that was ever told: a watch gets those that came after the version it begins with, as from an API
    /// server, however late it comes.
    events: watch::Sender<Vec<String>>,
    reads: AtomicUsize,
    address: SocketAddr,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cluster = Self(Arc::new(Inner {
            accounts: Mutex::default(),
            lists: AtomicU16::new(200),
            events: watch::Sender::default(),
            reads: AtomicUsize::new(0),
            address: listener.local_addr().unwrap(),
        }));
        let serving = cluster.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let cluster = serving.clone();
                let service = service_fn(move |request| {
                    let cluster = cluster.clone();
                    async move { Ok::<_, Infallible>(cluster.answer(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        cluster
    }

    pub(crate) fn client(&self) -> kube::Client {
        let url = format!("http://{}", self.0.address).parse().unwrap();
        kube::Client::try_from(kube::Config::new(url)).unwrap()
    }

    /// Puts an account in; the watch is told only by [`Cluster::tell`].
    pub(crate) fn put(&self, key: &str, role: Option<&str>) {
        let role = role.map(str::to_owned);
        self.0.accounts.lock().unwrap().insert(key.into(), role);
    }

    /// Sends a watch event about an account as it is now.
    pub(crate) fn tell(&self, kind: &str, key: &str) {
        let mut object = self.object(key).unwrap();
        self.0.events.send_modify(|events| {
            object["metadata"]["resourceVersion"] = json!(version(events.len() + 1));
            events.push(json!({"type": kind, "object": object}).to_string() + "\n");
        });
    }

    /// How lists are answered from now on; 0: not at all.
    pub(crate) fn answer_lists_with(&self, status: u16) {
        self.0.lists.store(status, Ordering::SeqCst);
    }

    /// How many single accounts were read.
    pub(crate) fn reads(&self) -> usize {
        self.0.reads.load(Ordering::SeqCst)
    }

    fn object(&self, key: &str) -> Option<Value> {
        let accounts = self.0.accounts.lock().unwrap();
        let role = accounts.get(key)?;
        let (namespace, name) = key.split_once('/').unwrap();
        let annotations = role
            .as_ref()
            .map(|role| json!({"eks.amazonaws.com/role-arn": role}));
        Some(json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": "1", "annotations": annotations},
        }))
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (path, query) = (
            request.uri().path(),
            request.uri().query().unwrap_or_default(),
        );
        if path != "/api/v1/serviceaccounts" {
            self.0.reads.fetch_add(1, Ordering::SeqCst);
            let parts: Vec<_> = path.split('/').collect();
            let key = format!("{}/{}", parts[4], parts[6]);
            if parts[6].starts_with("stuck-") {
                std::future::pending::<()>().await;
            }
            return match self.object(&key) {
                Some(object) => respond(200, &object),
                None => respond(404, &status(404, "NotFound")),
            };
        }
        match self.0.lists.load(Ordering::SeqCst) {
            0 => std::future::pending().await,
            200 if query.contains("watch=") => self.watch(query),
            200 => {
                let version = version(self.0.events.borrow().len());
                let keys: Vec<_> = self.0.accounts.lock().unwrap().keys().cloned().collect();
                let items: Vec<_> = keys.iter().filter_map(|key| self.object(key)).collect();
                respond(
                    200,
                    &json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                        "metadata": {"resourceVersion": version}, "items": items}),
                )
            }
            other => respond(other, &status(other, "Forbidden")),
        }
    }

    fn watch(&self, query: &str) -> Response<Body> {
        let mut parameters = query.split('&');
        let from = parameters.find_map(|one| one.strip_prefix("resourceVersion="));
        let seen = from.unwrap().parse::<usize>().unwrap() - FIRST_VERSION;
        let receiver = self.0.events.subscribe();
        let lines = stream::unfold((receiver, seen), |(mut receiver, seen)| async move {
            let told = receiver.wait_for(|events| events.len() > seen).await.ok()?;
            let line = Bytes::from(told[seen].clone());
            drop(told);
            Some((Ok(Frame::data(line)), (receiver, seen + 1)))
        });
        Response::new(StreamBody::new(lines).boxed())
    }
}

/// Versions of a list begin with 1: 0 means any.
const FIRST_VERSION: usize = 1;

/// The version of the cluster after so many events.
fn version(events: usize) -> String {
    (FIRST_VERSION + events).to_string()
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": reason, "code": code})
}

fn respond(status: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Full::from(body.to_string()).boxed());
    *response.status_mut() = status.try_into().unwrap();
    let headers = response.headers_mut();
    headers.insert("content-type", "application/json".parse().unwrap());
    response
}
