//! Calls about objects, and looks past the API for tests.

use http::Method;

use super::{Object, State, error};
use crate::web::{Answer, Request};

impl State {
    pub(super) fn object_call(&mut self, bucket: &str, key: &str, request: &Request) -> Answer {
        let signed = !request.header("authorization").is_empty();
        if !signed && !self.is_public(bucket, key) {
            return error(403, "AccessDenied", "Access Denied");
        }
        if request.method == Method::PUT
            && let Some((key, bytes)) = self.quirks.race.take()
        {
            self.store(bucket, &key, bytes, "", "");
        }
        let found = self
            .buckets
            .get(bucket)
            .and_then(|bucket| bucket.objects.get(key))
            .cloned();
        let tag = found.as_ref().map_or("", |object| object.tag.as_str());
        match request.method {
            Method::GET | Method::HEAD => match found {
                None => error(404, "NoSuchKey", ""),
                Some(object) => read(object, request),
            },
            Method::PUT => {
                let absent = request.header("if-none-match") == "*";
                let expected = request.header("if-match");
                let refused = absent && found.is_some() || !expected.is_empty() && expected != tag;
                if refused && !self.quirks.ignores_conditions {
                    return error(412, "PreconditionFailed", "");
                }
                self.write(bucket, key, request)
            }
            Method::DELETE => {
                let expected = request.header("if-match");
                if !expected.is_empty() && expected != tag {
                    return error(412, "PreconditionFailed", "");
                }
                if let Some(bucket) = self.buckets.get_mut(bucket) {
                    bucket.objects.remove(key);
                }
                Answer::new(204, "")
            }
            _ => error(405, "MethodNotAllowed", ""),
        }
    }

    fn write(&mut self, bucket: &str, key: &str, request: &Request) -> Answer {
        let (kind, cache) = (
            request.header("content-type"),
            request.header("cache-control"),
        );
        let tag = self.store(bucket, key, request.body.to_vec(), kind, cache);
        if self.quirks.lost_answer.as_deref() == Some(key) {
            self.quirks.lost_answer = None;
            return Answer::default();
        }
        Answer {
            status: 200,
            headers: vec![("etag", tag)],
            body: Vec::new(),
        }
    }

    /// Every object with its bucket.
    pub(crate) fn everything(&self) -> Vec<(String, String, Vec<u8>)> {
        let rows = self.buckets.iter().flat_map(|(name, bucket)| {
            let object = |(key, object): (&String, &Object)| {
                (name.clone(), key.clone(), object.bytes.clone())
            };
            bucket.objects.iter().map(object)
        });
        rows.collect()
    }

    /// Whether a bucket is there.
    pub(crate) fn has_bucket(&self, name: &str) -> bool {
        self.buckets.contains_key(name)
    }

    /// A setting of a bucket as it was put.
    pub(crate) fn setting(&self, bucket: &str, name: &str) -> Option<String> {
        let bytes = self.buckets.get(bucket)?.settings.get(name)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Puts a setting of a bucket in place.
    pub(crate) fn set(&mut self, bucket: &str, name: &str, text: &str) {
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            bucket.settings.insert(name.to_owned(), text.into());
        }
    }

    /// Whether everybody can read an object that is there; of a distribution, by its ARN, whether that can.
    pub(crate) fn serves(&self, name: &str, key: &str, reader: Option<&str>) -> bool {
        let there = self
            .buckets
            .get(name)
            .is_some_and(|bucket| bucket.objects.contains_key(key));
        let policy = self.setting(name, "policy").unwrap_or_default();
        there
            && match reader {
                Some(arn) => policy.contains(arn) && policy.contains(&format!("{name}/{key}")),
                None => self.is_public(name, key),
            }
    }

    /// Puts an object in place, past all conditions.
    pub(crate) fn put(&mut self, bucket: &str, key: &str, bytes: &[u8]) {
        self.store(bucket, key, bytes.to_vec(), "", "");
    }
}

fn read(object: Object, request: &Request) -> Answer {
    if request.header("if-none-match") == object.tag {
        return Answer::new(304, "");
    }
    Answer {
        status: 200,
        headers: vec![
            ("etag", object.tag),
            ("content-type", object.content_type),
            ("cache-control", object.cache_control),
        ],
        body: object.bytes,
    }
}
