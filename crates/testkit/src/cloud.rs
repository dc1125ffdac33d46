//! A double of all of AWS that bootstrap meets, at one endpoint over TLS: S3, `CloudFront`, IAM and STS. It can end the
//! client at any of its writes, before or after the write is done, and change something behind its back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;

use crate::cloudfront::{self, CloudFront};
use crate::iam::{Call, Iam, Provider};
use crate::s3;
use crate::web::{Answer, Certificate, Request, Web};

/// What is done to the client at one of its writes.
pub struct Crash {
    /// Which write, from 0.
    pub at: usize,
    /// Whether the write is done first.
    pub after: bool,
    /// Ends the client.
    pub kill: Box<dyn Fn() + Send>,
}

impl std::fmt::Debug for Crash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crash")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// What somebody else does just after a request was answered.
#[derive(Debug)]
pub enum Meanwhile {
    /// Puts a setting of a bucket: its name, which setting, the text.
    Setting(&'static str, &'static str, String),
    /// Gives a role another trust policy: its name, the text.
    Trust(&'static str, String),
    /// Makes the provider with this ARN again.
    Provider(String),
}

#[derive(Debug, Default)]
struct State {
    s3: s3::State,
    cloudfront: CloudFront,
    iam: Iam,
    requests: Vec<String>,
    writes: usize,
    crash: Option<Crash>,
    /// After the first request in whose line this text is.
    meanwhile: Option<(&'static str, Meanwhile)>,
    /// Everything that was ever sent to it.
    received: Vec<Vec<u8>>,
}

/// A running double.
#[derive(Debug)]
pub struct Cloud {
    web: Web,
    certificate: Certificate,
    state: Arc<Mutex<State>>,
}

impl Default for Cloud {
    fn default() -> Self {
        Self::start()
    }
}

impl Cloud {
    /// Starts one in which nothing is.
    pub fn start() -> Self {
        let certificate = Certificate::make();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let web = Web::start_with(Some(&certificate), move |request| {
            lock(&shared).answer(&request)
        });
        Self {
            web,
            certificate,
            state,
        }
    }

    /// Its endpoint.
    pub fn url(&self) -> String {
        self.web.url()
    }

    /// What clients trust, in PEM.
    pub fn ca(&self) -> &str {
        &self.certificate.ca
    }

    /// Providers and roles.
    pub fn iam(&self) -> Iam {
        lock(&self.state).iam.clone()
    }

    /// Changes providers and roles.
    pub fn with_iam(&self, change: impl FnOnce(&mut Iam)) {
        change(&mut lock(&self.state).iam);
    }

    /// Distributions and origin access controls.
    pub fn cloudfront(&self) -> CloudFront {
        lock(&self.state).cloudfront.clone()
    }

    /// Changes distributions and origin access controls.
    pub fn with_cloudfront(&self, change: impl FnOnce(&mut CloudFront)) {
        change(&mut lock(&self.state).cloudfront);
    }

    /// Has something done just after the next request in whose line `text` is was answered.
    pub fn meanwhile(&self, text: &'static str, what: Meanwhile) {
        lock(&self.state).meanwhile = Some((text, what));
    }

    /// Every object: bucket, key, content.
    pub fn objects(&self) -> Vec<(String, String, Vec<u8>)> {
        lock(&self.state).s3.everything()
    }

    /// Whether a bucket is there.
    pub fn has_bucket(&self, name: &str) -> bool {
        lock(&self.state).s3.has_bucket(name)
    }

    /// A setting of a bucket as it was put.
    pub fn setting(&self, bucket: &str, name: &str) -> Option<String> {
        lock(&self.state).s3.setting(bucket, name)
    }

    /// Puts a setting of a bucket in place.
    pub fn set(&self, bucket: &str, name: &str, text: &str) {
        lock(&self.state).s3.set(bucket, name, text);
    }

    /// Puts an object in place, past all conditions.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        lock(&self.state).s3.put(bucket, key, bytes);
    }

    /// Every request so far, and forgets them.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).requests)
    }

    /// How many writes there were so far, and forgets them.
    pub fn take_writes(&self) -> usize {
        std::mem::take(&mut lock(&self.state).writes)
    }

    /// Everything that was ever sent to it.
    pub fn received(&self) -> Vec<Vec<u8>> {
        lock(&self.state).received.clone()
    }

    /// Ends the client at one of its next writes.
    pub fn crash(&self, crash: Option<Crash>) {
        let mut state = lock(&self.state);
        state.writes = 0;
        state.crash = crash;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        self.received.push(request.body.to_vec());
        let call = (request.method == Method::POST && request.uri.path() == "/")
            .then(|| Call::parse(&request.body));
        let line = match &call {
            Some(call) => call.action().to_owned(),
            None => format!("{} {}", request.method, request.uri),
        };
        let due = self
            .meanwhile
            .as_ref()
            .is_some_and(|(text, _)| line.contains(text));
        let meanwhile = self.meanwhile.take_if(|_| due);
        self.requests.push(line);
        let answer = self.respond(request, call.as_ref());
        match meanwhile {
            Some((_, Meanwhile::Setting(bucket, name, text))) => {
                self.s3.set(bucket, name, &text);
            }
            Some((_, Meanwhile::Trust(role, text))) => {
                if let Some(role) = self.iam.roles.get_mut(role) {
                    role.trust = text;
                }
            }
            Some((_, Meanwhile::Provider(arn))) => {
                self.iam.providers.insert(arn, Provider::default());
            }
            None => {}
        }
        answer
    }

    /// Answers, unless the client is to be ended.
    fn respond(&mut self, request: &Request, call: Option<&Call>) -> Answer {
        let reads = match call {
            Some(call) => call.reads(),
            None => matches!(request.method, Method::GET | Method::HEAD),
        };
        if reads {
            return self.act(request, call);
        }
        let number = self.writes;
        self.writes += 1;
        let due = self.crash.as_ref().is_some_and(|crash| crash.at == number);
        if !due {
            return self.act(request, call);
        }
        let crash = self.crash.take();
        if crash.as_ref().is_some_and(|crash| crash.after) {
            self.act(request, call);
        }
        if let Some(crash) = crash {
            (crash.kill)();
        }
        Answer::default()
    }

    fn act(&mut self, request: &Request, call: Option<&Call>) -> Answer {
        let Some(call) = call else {
            return if request.uri.path().starts_with(cloudfront::PREFIX) {
                self.cloudfront.answer(request)
            } else {
                self.s3.answer(request)
            };
        };
        let (s3, cloudfront) = (&self.s3, &self.cloudfront);
        // The double's own URL, https://localhost:PORT/BUCKET/PREFIX, or https://DISTRIBUTION/PREFIX.
        let reachable = |url: &str| {
            let host = url.split('/').nth(2).unwrap_or_default();
            let path = url.splitn(4, '/').nth(3).unwrap_or_default();
            let front = cloudfront.behind(host);
            let (bucket, prefix) = match &front {
                Some((_, bucket)) => (bucket.as_str(), path),
                None => path.split_once('/').unwrap_or((path, "")),
            };
            let reader = front.as_ref().map(|(arn, _)| arn.as_str());
            let key = |name: &str| {
                if prefix.is_empty() {
                    name.to_owned()
                } else {
                    format!("{prefix}/{name}")
                }
            };
            ["keys.json", ".well-known/openid-configuration"]
                .iter()
                .all(|name| s3.serves(bucket, &key(name), reader))
        };
        self.iam.answer(call, reachable)
    }
}
