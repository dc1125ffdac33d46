//! The issuer URL: one string that five places must hold byte for byte.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::explain::Explain;

/// IAM refuses longer provider URLs (`CreateOpenIDConnectProvider`, `Url`).
const MAX_CHARS: usize = 255;
/// Where relying parties look, below the issuer (OpenID Connect Discovery 1.0, section 4).
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// Whether an issuer may end in `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrailingSlash {
    /// Refuse it: the usual way in which one of the five places ends up with another string.
    #[default]
    Refuse,
    /// Accept it, for a cluster that already signs with such an issuer.
    Allow,
}

/// The `iss` of every token, the `issuer` of the discovery document and the URL of the IAM provider.
///
/// The text is kept and used byte for byte; nothing is normalised. It is https (http on loopback only), may have
/// a path, and has neither query, fragment nor user info, as both kube-apiserver (`--service-account-issuer`) and
/// IAM demand.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerUrl {
    text: String,
    host: String,
}

/// The `jwks_uri` of a discovery document: https, or http on loopback.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JwksUri(String);

/// Why a text is no issuer URL, or no `jwks_uri`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{text}\" {fault}")]
pub struct IssuerUrlError {
    what: &'static str,
    text: String,
    fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("is not an absolute URL")]
    NotAbsolute,
    #[error("is not https")]
    NotHttps,
    #[error("ends in a slash")]
    TrailingSlash,
    #[error("has a query, a fragment or user info")]
    Extra,
    #[error("has {0} characters, expected at most {MAX_CHARS}")]
    TooLong(usize),
    #[error("has an upper-case scheme, an odd character in the host or a broken percent escape")]
    Odd,
    #[error("joins several issuers with commas")]
    Joined,
    #[error("would be read as \"{0}\"")]
    NotCanonical(String),
}

/// Why AWS does not take an issuer: it fetches the documents from outside, over https, and documents that a provider URL
/// names no port (API reference of IAM's `CreateOpenIDConnectProvider`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AwsObstacle {
    /// Plain http.
    #[error("the issuer is not https, and AWS accepts no such provider")]
    NotHttps,
    /// An address of the machine itself.
    #[error("the issuer is an address of this machine, and AWS fetches the documents from outside")]
    Loopback,
    /// A host that only a cluster or private network reaches, and how that shows.
    #[error("AWS cannot reach the issuer: {0}, and AWS fetches the documents from outside")]
    Private(&'static str),
    /// A port, which trust policies do not show either.
    #[error("the issuer has a port, and AWS documents that a provider URL has none")]
    Port,
}

/// Ends of names that mean something in one network only.
const PRIVATE_DOMAINS: [&str; 7] = [
    ".svc",
    ".local",
    ".localhost",
    ".internal",
    ".home.arpa",
    ".test",
    ".invalid",
];

impl Explain for IssuerUrlError {
    fn help(&self) -> Option<String> {
        Some(match &self.fault {
            Fault::NotAbsolute => "write it like https://oidc.example.com/clusters/prod".into(),
            Fault::NotHttps => {
                "AWS and every other relying party fetch it over https; plain http is for loopback tests".into()
            }
            Fault::TrailingSlash => format!(
                "use \"{}\": tokens, discovery document, --service-account-issuer, IAM provider and trust policies \
                 must hold the same string, and one of them usually loses the slash; if the cluster already signs \
                 with it, add --allow-trailing-slash",
                self.text.trim_end_matches('/')
            ),
            Fault::Odd => "kube-apiserver and relying parties refuse such URLs: use letters, digits and hyphens".into(),
            Fault::Joined => {
                "name one: kube-apiserver never splits at commas, and takes each in a --service-account-issuer of its own"
                    .into()
            }
            Fault::Extra => "leave scheme, host and path only".into(),
            Fault::TooLong(_) => "IAM refuses longer provider URLs; choose a shorter path".into(),
            Fault::NotCanonical(canonical) => format!(
                "write \"{canonical}\": relying parties compare the string byte for byte, but fetch the other form"
            ),
        })
    }
}

impl IssuerUrl {
    /// Reads an issuer URL.
    pub fn parse(text: &str, slash: TrailingSlash) -> Result<Self, IssuerUrlError> {
        let fail = |fault| IssuerUrlError {
            what: "issuer",
            text: shorten(text),
            fault,
        };
        if text.len() > MAX_CHARS {
            return Err(fail(Fault::TooLong(text.len())));
        }
        if text.contains(['?', '#']) {
            return Err(fail(Fault::Extra));
        }
        let url = parse_url(text).map_err(fail)?;
        if text.ends_with('/') {
            // Two slashes would leave one behind when the discovery path is appended.
            if slash == TrailingSlash::Refuse || text.ends_with("//") {
                return Err(fail(Fault::TrailingSlash));
            }
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        Ok(Self {
            text: text.to_owned(),
            host,
        })
    }

    /// The issuer as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The issuer without a final slash: what document paths are appended to.
    pub fn base(&self) -> &str {
        self.text.strip_suffix('/').unwrap_or(&self.text)
    }

    /// Where relying parties fetch the discovery document.
    pub fn discovery_url(&self) -> String {
        format!("{}{DISCOVERY_PATH}", self.base())
    }

    /// Where the JWKS stands unless the operator chose another place: `<issuer>/keys.json`.
    pub fn default_jwks_uri(&self) -> JwksUri {
        JwksUri(format!("{}/keys.json", self.base()))
    }

    /// The path of the issuer, without a final slash: empty, or like `/clusters/prod`.
    pub fn path(&self) -> &str {
        let after_scheme = self.base().split_once("://").map_or("", |(_, rest)| rest);
        after_scheme
            .find('/')
            .and_then(|at| after_scheme.get(at..))
            .unwrap_or("")
    }

    /// Host and path without scheme and port: the end of the IAM provider's ARN, and the prefix of the condition
    /// keys `…:aud` and `…:sub` in trust policies.
    pub fn iam_name(&self) -> String {
        let slash = if self.text.ends_with('/') { "/" } else { "" };
        format!("{}{}{slash}", self.host, self.path())
    }

    /// Whether the issuer is reachable from this machine only (http is accepted for these).
    pub fn is_loopback(&self) -> bool {
        Url::parse(&self.text).is_ok_and(|url| loopback(&url))
    }

    /// Why nobody outside a cluster or private network reaches the issuer, if its host says so: an address of RFC 1918,
    /// 4193 or 3927, or a name that public DNS does not know (RFC 6761, 6762, 8375; ICANN's `internal`; Kubernetes'
    /// `svc` and `cluster.local`).
    fn unreachable(&self) -> Option<&'static str> {
        let url = Url::parse(&self.text).ok()?;
        match url.host()? {
            Host::Domain(name) if !name.contains('.') => {
                Some("its host is a name without a domain")
            }
            Host::Domain(name) => PRIVATE_DOMAINS
                .iter()
                .any(|private| name.ends_with(private))
                .then_some("its host is a name that public DNS does not know"),
            Host::Ipv4(ip) => (ip.is_private() || ip.is_link_local())
                .then_some("its host is an address of a private network"),
            Host::Ipv6(ip) => (ip.is_unique_local() || ip.is_unicast_link_local())
                .then_some("its host is an address of a private network"),
        }
    }

    /// Whether the URL names a port, which AWS documents as not allowed.
    fn has_port(&self) -> bool {
        Url::parse(&self.text).is_ok_and(|url| url.port().is_some())
    }

    /// Why AWS would not take or not reach the issuer, if the URL alone says so.
    pub fn aws_obstacle(&self) -> Option<AwsObstacle> {
        if !self.is_https() {
            Some(AwsObstacle::NotHttps)
        } else if self.is_loopback() {
            Some(AwsObstacle::Loopback)
        } else if let Some(reason) = self.unreachable() {
            Some(AwsObstacle::Private(reason))
        } else {
            self.has_port().then_some(AwsObstacle::Port)
        }
    }

    /// Whether the issuer is https, which kube-apiserver demands before it serves any document.
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https://")
    }
}

impl JwksUri {
    /// Reads a `jwks_uri`.
    pub fn parse(text: &str) -> Result<Self, IssuerUrlError> {
        let fail = |fault| IssuerUrlError {
            what: "jwks_uri",
            text: shorten(text),
            fault,
        };
        if text.contains('#') {
            return Err(fail(Fault::Extra));
        }
        parse_url(text).map_err(fail)?;
        Ok(Self(text.to_owned()))
    }

    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path below `issuer`, like `keys.json`; `None` when the JWKS stands on another host, outside the issuer,
    /// in the way of the discovery document, or at a path that a file system and a web server may read differently
    /// (empty or dotted segments, percent-encoding, a query).
    pub fn below<'a>(&'a self, issuer: &IssuerUrl) -> Option<&'a str> {
        let path = self.0.strip_prefix(issuer.base())?.strip_prefix('/')?;
        let plain = path
            .split('/')
            .all(|segment| !matches!(segment, "" | "." | ".."));
        let discovery = DISCOVERY_PATH.trim_start_matches('/');
        let in_the_way = |a: &str, b: &str| {
            a.strip_prefix(b)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let free = !in_the_way(path, discovery) && !in_the_way(discovery, path);
        (plain && free && !path.contains(['?', '%'])).then_some(path)
    }

    /// Whether it is fetched over TLS.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuerUrl({})", self.text)
    }
}

impl fmt::Display for JwksUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JwksUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwksUri({})", self.0)
    }
}

/// The checks that both kinds of URL share.
fn parse_url(text: &str) -> Result<Url, Fault> {
    let url = Url::parse(text).map_err(|_| Fault::NotAbsolute)?;
    if url.host().is_none() {
        return Err(Fault::NotAbsolute);
    }
    if !(url.scheme() == "https" || url.scheme() == "http" && loopback(&url)) {
        return Err(Fault::NotHttps);
    }
    if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
        return Err(Fault::Extra);
    }
    if text.split(',').skip(1).any(|rest| rest.contains("://")) {
        return Err(Fault::Joined);
    }
    if !same_text(text, url.as_str()) {
        let canonical = url.as_str();
        let canonical = canonical.strip_suffix('/').unwrap_or(canonical);
        return Err(Fault::NotCanonical(shorten(canonical)));
    }
    // kube-apiserver reads the URL with Go's url.Parse, which is stricter here than the URL standard.
    if !has_plain_scheme(text) || !has_plain_host(&url) || !has_whole_escapes(text) {
        return Err(Fault::Odd);
    }
    Ok(url)
}

/// Whether the parser read the text as it stands. The slash that it adds to an empty path does not count, nor
/// the case of the host: both forms reach the same server.
fn same_text(text: &str, parsed: &str) -> bool {
    let parsed = if text.ends_with('/') {
        parsed
    } else {
        parsed.strip_suffix('/').unwrap_or(parsed)
    };
    let authority = |t: &str| {
        let start = t.find("://").map_or(0, |at| at + 3);
        t.get(start..)
            .and_then(|rest| rest.find('/'))
            .map_or(t.len(), |at| start + at)
    };
    let (at, bt) = (authority(text), authority(parsed));
    match (text.split_at_checked(at), parsed.split_at_checked(bt)) {
        (Some((a, a_path)), Some((b, b_path))) => a.eq_ignore_ascii_case(b) && a_path == b_path,
        _ => false,
    }
}

fn has_plain_scheme(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

fn has_plain_host(url: &Url) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    match url.host() {
        Some(Host::Domain(name)) => name.bytes().all(plain),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    }
}

fn has_whole_escapes(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|after| after.len() >= 2 && after.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
}

fn loopback(url: &Url) -> bool {
    match url.host() {
        // Names below localhost are loopback by RFC 6761, but not for every resolver.
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => Ipv4Addr::is_loopback(&ip),
        Some(Host::Ipv6(ip)) => Ipv6Addr::is_loopback(&ip),
        None => false,
    }
}

/// Error messages quote what was typed, but not a megabyte of it.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "issuer_tests.rs"]
mod tests;
