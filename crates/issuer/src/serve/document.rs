//! One public document, rendered once: a request costs a lookup and a copy of ready headers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    X_CONTENT_TYPE_OPTIONS,
};
use irsa_core::documents::DocumentName;
use sha2::{Digest as _, Sha256};

use super::ServeError;

/// A document as it leaves the server: path, body, strong entity tag and every header. Clones share it: the last good
/// one that a source keeps is the one that is served.
#[derive(Clone, Debug)]
pub struct Document(Arc<Rendered>);

#[derive(Debug)]
struct Rendered {
    kind: DocumentName,
    path: Box<str>,
    body: Bytes,
    etag: HeaderValue,
    cache_control: HeaderValue,
}

impl Document {
    /// Renders a document. `max_age` becomes `Cache-Control: public, max-age=N`: caches of relying parties are
    /// wanted, since without them every token check would come here.
    pub fn new(
        kind: DocumentName,
        path: String,
        body: Vec<u8>,
        max_age: Duration,
    ) -> Result<Self, ServeError> {
        let cache_control = header(&path, &format!("public, max-age={}", max_age.as_secs()))?;
        let etag = header(&path, &entity_tag(&body))?;
        Ok(Self(Arc::new(Rendered {
            kind,
            path: path.into(),
            body: Bytes::from(body),
            etag,
            cache_control,
        })))
    }

    /// Which document it is.
    pub fn kind(&self) -> DocumentName {
        self.0.kind
    }

    /// The URL path that serves it.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The bytes that are served.
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// The strong entity tag, quotes included.
    pub fn etag(&self) -> &[u8] {
        self.0.etag.as_bytes()
    }

    /// Every header of a 200 except those that the transport adds (length and date).
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = self.cache_headers();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(self.0.kind.content_type()),
        );
        headers
    }

    /// The headers of a 304: RFC 9110 wants those of the 200 that guide a cache, and none about the content.
    pub(super) fn cache_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(HEADERS);
        headers.insert(CACHE_CONTROL, self.0.cache_control.clone());
        headers.insert(ETAG, self.0.etag.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers
    }

    /// Whether an `If-None-Match` value names this document. The comparison is weak, as RFC 9110 asks for
    /// this header: `W/"x"` matches `"x"`.
    pub(super) fn matches(&self, if_none_match: &[u8]) -> bool {
        let wanted = self.etag();
        // nearly every client sends back exactly what it got
        if_none_match == wanted || names_tag(if_none_match, wanted)
    }
}

fn header(path: &str, text: &str) -> Result<HeaderValue, ServeError> {
    HeaderValue::from_str(text).map_err(|source| ServeError::Header {
        path: path.into(),
        source,
    })
}

/// 128 bits of SHA-256 in hex, quoted: strong, and the same on every replica that serves the same bytes.
fn entity_tag(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let bits = digest.get(..TAG_BYTES).unwrap_or_default();
    format!("\"{}\"", base16ct::lower::encode_string(bits))
}

/// Walks a list of entity tags; `*` names every document. Anything malformed ends the list without a match, so the
/// worst a strange header can do is to get the document.
fn names_tag(mut list: &[u8], wanted: &[u8]) -> bool {
    loop {
        list = skip_separators(list);
        if list == b"*" {
            return true;
        }
        list = list.strip_prefix(b"W/").unwrap_or(list);
        let Some(inner) = list.strip_prefix(b"\"") else {
            return false;
        };
        let Some(end) = inner.iter().position(|byte| *byte == b'"') else {
            return false;
        };
        let (tag, rest) = list.split_at(end + 2);
        if tag == wanted {
            return true;
        }
        list = rest;
    }
}

fn skip_separators(list: &[u8]) -> &[u8] {
    let start = list
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t' | b','));
    start
        .and_then(|start| list.get(start..))
        .unwrap_or_default()
        .trim_ascii_end()
}

const TAG_BYTES: usize = 16;
const HEADERS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let body = b"{}".to_vec();
        Document::new(
            DocumentName::Jwks,
            "/keys.json".into(),
            body,
            Duration::from_mins(5),
        )
        .unwrap()
    }

    #[test]
    fn the_tag_is_strong_and_follows_the_bytes() {
        let document = document();
        assert_eq!(document.etag(), b"\"44136fa355b3678a1146ad16f7e8649e\"");
        let other = Document::new(
            DocumentName::Jwks,
            "/k".into(),
            b"{ }".to_vec(),
            Duration::ZERO,
        )
        .unwrap();
        assert_ne!(other.etag(), document.etag());
    }

    #[test]
    fn if_none_match_is_a_list_compared_weakly() {
        let document = document();
        let tag = "\"44136fa355b3678a1146ad16f7e8649e\"";
        for (value, expected) in [
            (tag.to_owned(), true),
            (format!("W/{tag}"), true),
            ("*".to_owned(), true),
            (" * ".to_owned(), true),
            (format!("\"a\", W/\"b,c\",\t{tag}"), true),
            (format!(", ,{tag},"), true),
            ("\"a\", \"b\"".to_owned(), false),
            (format!("a, {tag}"), false),
            (tag.trim_matches('"').to_owned(), false),
            ("\"".to_owned(), false),
            ("W/".to_owned(), false),
            (String::new(), false),
            ("\"*\"".to_owned(), false),
        ] {
            let header = HeaderValue::from_str(&value).unwrap();
            assert_eq!(document.matches(header.as_bytes()), expected, "{value}");
        }
    }
}
