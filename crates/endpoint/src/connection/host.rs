//! Whom a request says it asks: the `Host` field of HTTP/1, `:authority` of HTTP/2.
//!
//! What is served depends on neither. A request whose framing is in doubt is refused all the same, as RFC 9112, section
//! 3.2, demands; and a listener on loopback can be told to answer to loopback's names alone.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Full;

/// The names to which a side answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// Every name.
    #[default]
    Any,
    /// On listeners that are bound to a loopback address those of loopback: `localhost` and the addresses, with any port.
    /// A page in a browser on this machine can have its own name resolve to loopback (DNS rebinding) and then read what
    /// is meant for this machine; the name is what it cannot hide. Every name on the other listeners.
    LoopbackOnLoopback,
}

/// Why a request is not answered by whoever answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not exactly one `Host`, or one that is none (RFC 9112, section 3.2).
    BadHost,
    /// A name that is not ours (RFC 9110, section 15.5.20).
    Misdirected,
}

impl Refusal {
    pub(super) fn answer<B>(self, request: &Request<B>) -> Response<Full<Bytes>> {
        let (status, text) = match self {
            Self::BadHost => (StatusCode::BAD_REQUEST, BAD_HOST),
            Self::Misdirected => (StatusCode::MISDIRECTED_REQUEST, MISDIRECTED),
        };
        let body = if request.method() == Method::HEAD {
            ""
        } else {
            text
        };
        let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if request.version() < Version::HTTP_2 {
            // a body that nobody reads must not be taken for the next request
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Whether a request names a host as it must, and one that is asked here.
pub(super) fn check<B>(request: &Request<B>, only_loopback: bool) -> Result<(), Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    let lacking = host.is_none() && request.version() == Version::HTTP_11;
    if lacking || hosts.next().is_some() || !host.is_none_or(is_well_formed) {
        return Err(Refusal::BadHost);
    }
    if !only_loopback {
        return Ok(());
    }
    let authority = request.uri().authority();
    let authority = authority.map(|authority| authority.as_str().as_bytes());
    // Browsers name a host always: whoever names none is none.
    let ours = host.is_none_or(is_loopback) && authority.is_none_or(is_loopback);
    if ours {
        Ok(())
    } else {
        Err(Refusal::Misdirected)
    }
}

/// Whether nothing in it ends a host and its port: `uri-host [ ":" port ]` of RFC 9110, section 7.2, or nothing.
fn is_well_formed(host: &[u8]) -> bool {
    let belongs = |byte: &u8| byte.is_ascii_graphic() && !b"/?#@\\\"<>^`{|}".contains(byte);
    host.iter().all(belongs)
}

fn is_loopback(authority: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(authority) else {
        return false;
    };
    let (v6, rest) = match text.strip_prefix('[') {
        Some(text) => match text.split_once(']') {
            Some((host, rest)) => (Some(host), rest),
            None => return false,
        },
        None => (None, text),
    };
    let (before, port) = rest.split_once(':').unwrap_or((rest, ""));
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    if let Some(host) = v6 {
        let address = host.parse::<Ipv6Addr>();
        return before.is_empty()
            && address.is_ok_and(|address| address.to_canonical().is_loopback());
    }
    let address = before.parse::<Ipv4Addr>();
    before.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

const BAD_HOST: &str = "a request names its host in one Host field (RFC 9112, section 3.2)\n";
const MISDIRECTED: &str = "this port is bound to loopback and answers to the names of loopback alone, so that no web page \
                           reaches it under another: ask localhost, 127.0.0.1 or [::1]\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(version: Version, target: &str, hosts: &[&str], only: bool) -> Option<Refusal> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        check(&request.body(()).unwrap(), only).err()
    }

    #[test]
    fn http_1_1_needs_exactly_one_host() {
        use Refusal::BadHost;
        for (version, hosts, expected) in [
            (Version::HTTP_11, &["h"][..], None),
            (Version::HTTP_11, &[""], None),
            (Version::HTTP_11, &["h.example:8443"], None),
            (Version::HTTP_11, &["[::1]:8443"], None),
            (Version::HTTP_11, &[], Some(BadHost)),
            (Version::HTTP_11, &["h", "h"], Some(BadHost)),
            (Version::HTTP_11, &["h", "i"], Some(BadHost)),
            (Version::HTTP_11, &["u@h"], Some(BadHost)),
            (Version::HTTP_11, &["h/x"], Some(BadHost)),
            (Version::HTTP_11, &["h i"], Some(BadHost)),
            (Version::HTTP_10, &[], None),
            (Version::HTTP_10, &["h", "h"], Some(BadHost)),
            (Version::HTTP_2, &[], None),
            (Version::HTTP_2, &["h", "h"], Some(BadHost)),
        ] {
            let found = asked(version, "/", hosts, false);
            assert_eq!(found, expected, "{version:?} {hosts:?}");
        }
    }

    #[test]
    fn on_loopback_only_the_names_of_loopback_are_answered() {
        for host in [
            "localhost",
            "LocalHost:9090",
            "127.0.0.1",
            "127.0.0.1:9090",
            "127.1.2.3:1",
            "[::1]",
            "[::1]:9090",
            "[::ffff:127.0.0.1]:9090",
        ] {
            assert_eq!(asked(Version::HTTP_11, "/", &[host], true), None, "{host}");
            let target = format!("http://{host}/");
            assert_eq!(asked(Version::HTTP_2, &target, &[], true), None, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9090",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1:9090",
            "[::2]:9090",
            "::1",
            "2130706433",
        ] {
            let refused = Some(Refusal::Misdirected);
            assert_eq!(
                asked(Version::HTTP_11, "/", &[host], true),
                refused,
                "{host}"
            );
            assert_eq!(asked(Version::HTTP_11, "/", &[host], false), None, "{host}");
        }
        for (target, host) in [
            ("http://evil.example:9090/", "localhost"),
            ("http://localhost/", "evil.example"),
        ] {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                let found = asked(version, target, &[host], true);
                assert_eq!(found, Some(Refusal::Misdirected), "{target} {host}");
            }
        }
    }
}
