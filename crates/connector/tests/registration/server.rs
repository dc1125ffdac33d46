//! The server, and what it can be told to do wrong.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::aws::{FakeCluster, FakeRole};
use crate::{aws, kubernetes};

/// An answer: status, extra header, body.
pub(crate) type Answer = (u16, Option<(&'static str, String)>, String);

/// What goes wrong with one call.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The service refuses: status, code, text.
    Refuse(u16, &'static str, &'static str),
    /// The service acts, and the connection breaks before its answer.
    LoseAnswer,
    /// The service acts, and nothing of its answer but the status arrives.
    Garble,
    /// Somebody else does this before the service acts.
    Meanwhile(fn(&mut World)),
}

/// At which outside effect the client is killed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kill {
    Before(usize),
    After(usize),
}

/// Everything that stands outside.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact about the outside, independent of the others"
)]
pub(crate) struct World {
    pub(crate) clusters: BTreeMap<String, FakeCluster>,
    pub(crate) roles: BTreeMap<String, FakeRole>,
    pub(crate) service_linked_role: bool,
    /// Whether the same token gets the same answer again; otherwise `ResourceInUseException`.
    pub(crate) idempotent: bool,
    pub(crate) registered: usize,
    /// Whether `DescribeCluster` leaves out tags, and whether it tells the request's token.
    pub(crate) hides_tags: bool,
    pub(crate) tells_tokens: bool,
    /// A role that somebody else makes when a test says so.
    pub(crate) role_to_appear: Option<(String, FakeRole)>,
    pub(crate) objects: BTreeMap<String, Value>,
    pub(crate) versions: u64,
    /// Reads and writes in order, as `service:Action`.
    pub(crate) calls: Vec<String>,
    /// The writes among them, with what they wrote.
    pub(crate) writes: Vec<(String, Value)>,
    pub(crate) faults: BTreeMap<&'static str, VecDeque<Fault>>,
    pub(crate) kill: Option<Kill>,
    effects: usize,
    killed: Arc<Notify>,
}

/// What the server does with a write.
enum Fate {
    Go,
    KillBefore,
    KillAfter,
}

/// The server; it goes when the test's runtime ends.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    world: Arc<Mutex<World>>,
}

impl World {
    pub(crate) fn fault(&mut self, call: &'static str, faults: &[Fault]) {
        self.faults
            .entry(call)
            .or_default()
            .extend(faults.iter().cloned());
    }

    fn fate(&mut self) -> Fate {
        self.effects += 1;
        match self.kill {
            Some(Kill::Before(at)) if at == self.effects => Fate::KillBefore,
            Some(Kill::After(at)) if at == self.effects => Fate::KillAfter,
            _ => Fate::Go,
        }
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            world: Arc::default(),
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = accepting.clone();
                let service = service_fn(move |request| {
                    let server = server.clone();
                    async move { server.answer(request).await }
                });
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    drop(
                        connection
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Runs a client until it ends or is killed; whether it ended.
    pub(crate) async fn run_killable<T>(&self, client: impl Future<Output = T>) -> Option<T> {
        let killed = Arc::clone(&self.world().killed);
        let client = std::pin::pin!(client);
        tokio::select! {
            biased;
            () = killed.notified() => None,
            done = client => Some(done),
        }
    }

    /// A new client: kills count from here.
    pub(crate) fn next_run(&self, kill: Option<Kill>) {
        let mut world = self.world();
        world.effects = 0;
        world.kill = kill;
        world.calls.clear();
        world.writes.clear();
    }

    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let outcome = act(
            &mut self.world(),
            parts.method.as_str(),
            parts.uri.path(),
            parts.uri.query().unwrap_or_default(),
            &body,
        );
        let (status, header, body) = match outcome {
            Outcome::Answered(answer) => answer,
            Outcome::Lost => return Err(io::Error::other("the connection breaks")),
            Outcome::Killed => return pending().await,
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        if let Some((key, value)) = header {
            response.headers_mut().insert(key, value.parse().unwrap());
        }
        Ok(response)
    }
}

/// What the client sees of a request.
enum Outcome {
    Answered(Answer),
    /// It was done, and nobody is told.
    Lost,
    /// The client ends here.
    Killed,
}

/// Does what was asked for, with what is arranged to go wrong.
fn act(world: &mut World, method: &str, path: &str, query: &str, body: &Bytes) -> Outcome {
    let to_kubernetes = path.starts_with("/api");
    let (name, is_write) = if to_kubernetes {
        kubernetes::name(method, path, query, body)
    } else {
        aws::name(method, path, body)
    };
    world.calls.push(name.clone());
    let fault = world
        .faults
        .iter_mut()
        .find(|(call, _)| **call == name)
        .and_then(|(_, faults)| faults.pop_front());
    if let Some(Fault::Refuse(status, code, text)) = fault {
        return Outcome::Answered(aws::refusal(&name, status, code, text));
    }
    if let Some(Fault::Meanwhile(act)) = fault {
        act(world);
    }
    let fate = if is_write { world.fate() } else { Fate::Go };
    if matches!(fate, Fate::KillBefore) {
        world.killed.notify_one();
        return Outcome::Killed;
    }
    let answer = if to_kubernetes {
        kubernetes::answer(world, method, path, query, body)
    } else {
        aws::answer(world, method, path, body)
    };
    if matches!(fate, Fate::KillAfter) {
        world.killed.notify_one();
        return Outcome::Killed;
    }
    match fault {
        Some(Fault::LoseAnswer) => Outcome::Lost,
        Some(Fault::Garble) => Outcome::Answered((200, None, String::new())),
        _ => Outcome::Answered(answer),
    }
}
