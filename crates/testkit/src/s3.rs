//! A double of S3, written from its documented rules: conditional writes, Block Public Access, bucket policies for
//! anonymous reads, `ExpectedBucketOwner`. And of stores that fall short of them.

mod object;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;
use serde_json::Value;

use crate::web::{Answer, Request, Web};

/// The account that owns all buckets.
pub const ACCOUNT: &str = "123456789012";

/// What the double does otherwise than S3, or on purpose.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent deviation"
)]
pub struct Quirks {
    /// `If-Match` and `If-None-Match` of writes are not looked at.
    pub ignores_conditions: bool,
    /// Tags in `CreateBucket` are not looked at.
    pub ignores_tags: bool,
    /// Block Public Access of the account forbids public policies.
    pub account_block: bool,
    /// The calls about Block Public Access are not known.
    pub no_access_block: bool,
    /// What somebody else writes just before the next write: key and content.
    pub race: Option<(String, Vec<u8>)>,
    /// The next write of this key is done, and the connection closed without an answer.
    pub lost_answer: Option<String>,
    /// Every bucket is another account's, which lets everybody read the objects and nothing else.
    pub squatted: bool,
    /// Requests that do not find the bucket, each once, like `GET b/?policy`: S3 soon after one was made.
    pub unsettled: Vec<String>,
    /// So many of the next requests are answered 503.
    pub busy: usize,
}

#[derive(Debug, Default)]
struct Bucket {
    objects: BTreeMap<String, Object>,
    /// Sub-resources (`policy`, `tagging`) as they were put.
    settings: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Vec<u8>,
    tag: String,
    content_type: String,
    cache_control: String,
}

/// What the double remembers.
#[derive(Debug, Default)]
pub(crate) struct State {
    buckets: BTreeMap<String, Bucket>,
    requests: Vec<String>,
    quirks: Quirks,
    versions: u64,
}

/// A running double.
#[derive(Debug)]
pub struct S3Double {
    web: Web,
    state: Arc<Mutex<State>>,
}

impl S3Double {
    /// Starts one without buckets.
    pub fn start(quirks: Quirks) -> Self {
        let state = Arc::new(Mutex::new(State {
            quirks,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        Self {
            web: Web::start(move |request| lock(&shared).answer(&request)),
            state,
        }
    }

    /// Its endpoint.
    pub fn url(&self) -> String {
        self.web.url()
    }

    /// Makes a bucket as S3 does: closed.
    pub fn make_bucket(&self, name: &str) {
        lock(&self.state).make_bucket(name, b"");
    }

    /// Puts an object in place, past all conditions.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        lock(&self.state).store(bucket, key, bytes.to_vec(), "", "");
    }

    /// The content of an object.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let state = lock(&self.state);
        Some(state.buckets.get(bucket)?.objects.get(key)?.bytes.clone())
    }

    /// `Content-Type` and `Cache-Control` of an object.
    pub fn headers(&self, bucket: &str, key: &str) -> Option<(String, String)> {
        let state = lock(&self.state);
        let object = state.buckets.get(bucket)?.objects.get(key)?;
        Some((object.content_type.clone(), object.cache_control.clone()))
    }

    /// The names of all objects.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let state = lock(&self.state);
        let found = state.buckets.get(bucket);
        found.map_or_else(Vec::new, |bucket| bucket.objects.keys().cloned().collect())
    }

    /// A setting as it was put: `policy`, `tagging`, `publicAccessBlock`.
    pub fn setting(&self, bucket: &str, name: &str) -> Option<String> {
        let state = lock(&self.state);
        let bytes = state.buckets.get(bucket)?.settings.get(name)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Every request so far, like `PUT b/k`, and forgets them.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).requests)
    }

    /// Changes what it does.
    pub fn with_quirks(&self, change: impl FnOnce(&mut Quirks)) {
        change(&mut lock(&self.state).quirks);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    pub(crate) fn answer(&mut self, request: &Request) -> Answer {
        let path = request.uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query = request.uri.query().unwrap_or_default();
        let setting = query.split(['=', '&']).next().unwrap_or_default();
        let mut line = format!("{} {path}", request.method);
        if key.is_empty() && !setting.is_empty() && setting != "x-id" {
            line = format!("{line}?{setting}");
        }
        let settles = self.quirks.unsettled.iter().position(|one| *one == line);
        self.requests.push(line);
        if self.quirks.busy > 0 {
            self.quirks.busy -= 1;
            return error(503, "SlowDown", "Please reduce your request rate.");
        }
        let owner = request.header("x-amz-expected-bucket-owner");
        let wrong = owner != ACCOUNT || self.quirks.squatted;
        if !owner.is_empty() && wrong || self.quirks.squatted && key.is_empty() {
            return error(403, "AccessDenied", "Access Denied");
        }
        if key.is_empty() && request.method == Method::PUT && setting.is_empty() {
            return self.create(bucket, request);
        }
        let mut exists = self.buckets.contains_key(bucket);
        if let Some(place) = settles.filter(|_| exists) {
            self.quirks.unsettled.remove(place);
            exists = false;
        }
        if !exists {
            let body = if request.method == Method::HEAD {
                ""
            } else {
                "NoSuchBucket"
            };
            return error(404, body, "The specified bucket does not exist");
        }
        if key.is_empty() {
            self.bucket_call(bucket, setting, request)
        } else {
            self.object_call(bucket, key, request)
        }
    }

    fn make_bucket(&mut self, name: &str, tags: &[u8]) {
        let mut bucket = Bucket::default();
        let switches = [
            "BlockPublicAcls",
            "IgnorePublicAcls",
            "BlockPublicPolicy",
            "RestrictPublicBuckets",
        ];
        let closed = switches
            .map(|name| format!("<{name}>true</{name}>"))
            .concat();
        let block =
            format!("<PublicAccessBlockConfiguration>{closed}</PublicAccessBlockConfiguration>");
        bucket
            .settings
            .insert("publicAccessBlock".into(), block.into_bytes());
        let controls = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>";
        bucket
            .settings
            .insert("ownershipControls".into(), controls.into());
        if !tags.is_empty() {
            bucket.settings.insert("tagging".into(), tags.to_vec());
        }
        self.buckets.insert(name.to_owned(), bucket);
    }

    fn create(&mut self, name: &str, request: &Request) -> Answer {
        if self.buckets.contains_key(name) {
            return error(409, "BucketAlreadyOwnedByYou", "You own it.");
        }
        let body = String::from_utf8_lossy(&request.body).into_owned();
        if body.contains("<LocationConstraint>us-east-1<") {
            return error(400, "InvalidLocationConstraint", "us-east-1 is not named");
        }
        let inner = body
            .split("<Tags>")
            .nth(1)
            .and_then(|rest| rest.split("</Tags>").next());
        let tags = inner
            .filter(|_| !self.quirks.ignores_tags)
            .map(|inner| format!("<Tagging><TagSet>{inner}</TagSet></Tagging>"));
        self.make_bucket(name, tags.unwrap_or_default().as_bytes());
        Answer::new(200, "")
    }

    fn bucket_call(&mut self, bucket: &str, setting: &str, request: &Request) -> Answer {
        if setting == "publicAccessBlock" && self.quirks.no_access_block {
            return error(501, "NotImplemented", "not known here");
        }
        let account_block = self.quirks.account_block;
        let Some(found) = self.buckets.get_mut(bucket) else {
            return error(404, "NoSuchBucket", "");
        };
        if request.method == Method::HEAD {
            return Answer::new(200, "");
        }
        if request.method == Method::DELETE {
            if !found.objects.is_empty() {
                return error(409, "BucketNotEmpty", "");
            }
            self.buckets.remove(bucket);
            return Answer::new(204, "");
        }
        if request.method == Method::PUT {
            let closed = !self.quirks.no_access_block
                && found.is_set("publicAccessBlock", "<BlockPublicPolicy>true");
            let text = String::from_utf8_lossy(&request.body);
            // Of a statement for everybody that allows: the double knows no subtler ones.
            let public = text.contains(r#""Effect":"Allow","Principal":"*""#);
            if setting == "policy" && public && (account_block || closed) {
                let text = "because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.";
                return error(403, "AccessDenied", text);
            }
            found
                .settings
                .insert(setting.to_owned(), request.body.to_vec());
            return Answer::new(200, "");
        }
        found.look(setting)
    }

    fn store(
        &mut self,
        bucket: &str,
        key: &str,
        bytes: Vec<u8>,
        kind: &str,
        cache: &str,
    ) -> String {
        self.versions += 1;
        let tag = format!("\"{:032x}\"", self.versions);
        let object = Object {
            bytes,
            tag: tag.clone(),
            content_type: kind.to_owned(),
            cache_control: cache.to_owned(),
        };
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            bucket.objects.insert(key.to_owned(), object);
        }
        tag
    }

    /// Whether the bucket policy lets everybody read the object, and no switch is against it.
    fn is_public(&self, name: &str, key: &str) -> bool {
        if self.quirks.squatted {
            return true;
        }
        let Some(bucket) = self.buckets.get(name) else {
            return false;
        };
        let arn = format!("arn:aws:s3:::{name}/{key}");
        let policy = bucket
            .settings
            .get("policy")
            .and_then(|text| serde_json::from_slice::<Value>(text).ok());
        let statements = policy
            .as_ref()
            .and_then(|policy| policy.get("Statement"))
            .and_then(Value::as_array);
        let allows = |statement: &Value| {
            let resources = statement.get("Resource").and_then(Value::as_array);
            let named = resources
                .is_some_and(|list| list.iter().any(|one| one == &Value::from(arn.as_str())));
            named
                && statement.get("Effect") == Some(&Value::from("Allow"))
                && statement.get("Principal") == Some(&Value::from("*"))
        };
        let restricted = !self.quirks.no_access_block
            && bucket.is_set("publicAccessBlock", "<RestrictPublicBuckets>true");
        !restricted
            && !self.quirks.account_block
            && statements.is_some_and(|list| list.iter().any(allows))
    }
}

impl Bucket {
    fn is_set(&self, setting: &str, text: &str) -> bool {
        let body = self.settings.get(setting);
        body.is_some_and(|body| String::from_utf8_lossy(body).contains(text))
    }

    /// A setting as it is shown, or a list of the objects.
    fn look(&self, setting: &str) -> Answer {
        match (setting, self.settings.get(setting)) {
            (_, Some(body)) => Answer::new(200, body.clone()),
            ("versioning", None) => Answer::new(200, "<VersioningConfiguration/>"),
            ("versions", _) => {
                let key = |key: &String| {
                    format!("<Version><Key>{key}</Key><VersionId>null</VersionId></Version>")
                };
                let keys = self.objects.keys().map(key).collect::<Vec<_>>().concat();
                Answer::new(
                    200,
                    format!("<ListVersionsResult>{keys}</ListVersionsResult>"),
                )
            }
            ("list-type" | "max-keys", _) => {
                let key = |key: &String| {
                    format!(
                        "<Contents><Key>{key}</Key><LastModified>2020-01-01T00:00:00Z</LastModified></Contents>"
                    )
                };
                let keys = self.objects.keys().map(key).collect::<Vec<_>>().concat();
                Answer::new(200, format!("<ListBucketResult>{keys}</ListBucketResult>"))
            }
            ("policy", None) => error(404, "NoSuchBucketPolicy", ""),
            ("tagging", None) => error(404, "NoSuchTagSet", ""),
            ("publicAccessBlock", None) => error(404, "NoSuchPublicAccessBlockConfiguration", ""),
            _ => error(404, "OwnershipControlsNotFoundError", ""),
        }
    }
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    if code.is_empty() {
        return Answer::new(status, "");
    }
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Answer::new(status, body)
}
