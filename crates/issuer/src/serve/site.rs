//! Everything that is served, as one immutable value that is swapped whole.
//!
//! A request reads one snapshot: it never sees a discovery document of before a change beside a JWKS of after it
//! within one lookup, and readers never wait for a writer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};
use irsa_core::documents::DocumentName;
use irsa_core::issuer::DISCOVERY_PATH;

use super::{Document, ServeError};

/// One issuer as the caller made it.
#[derive(Clone, Debug)]
pub struct ServedIssuer {
    /// The issuer URL; the metric label.
    pub issuer: String,
    /// The documents, or why this issuer cannot be served: then its paths answer 503 and the others go on.
    pub documents: Result<Vec<Document>, String>,
    /// The paths that belong to this issuer, with or without documents.
    pub paths: Vec<String>,
    /// The verification keys in its JWKS, for the metrics.
    pub keys: Vec<ServedKey>,
}

/// A verification key that is being served.
#[derive(Clone, Debug)]
pub struct ServedKey {
    /// The kid in the JWKS.
    pub kid: String,
    /// Since when this key exists or is published; its age is a metric.
    pub since: SystemTime,
}

/// All issuers of this endpoint with their exact-path routes.
#[derive(Debug)]
pub struct Site {
    routes: HashMap<Box<str>, Route>,
    issuers: Vec<Issuer>,
}

/// What a path leads to.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) target: Target,
    kind: DocumentName,
    issuer: usize,
    requests: Arc<Requests>,
}

#[derive(Debug)]
pub(super) enum Target {
    Document(Document),
    Unavailable,
}

/// An issuer as the metrics and the readiness check see it.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) url: Box<str>,
    pub(super) problem: Option<Box<str>>,
    pub(super) keys: Box<[ServedKey]>,
    pub(super) requests: Arc<Requests>,
}

/// Requests of one issuer by document and status; found with the route, so that no label is looked up per request.
#[derive(Debug, Default)]
pub(super) struct Requests([[AtomicU64; STATUSES.len()]; DocumentName::ALL.len()]);

/// The statuses that a known path can answer, in the order of the counters.
pub(super) const STATUSES: [&str; 5] = ["200", "204", "304", "405", "503"];

/// Names one of [`STATUSES`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Status {
    Ok,
    NoContent,
    NotModified,
    MethodNotAllowed,
    Unavailable,
}

impl Requests {
    pub(super) fn of(&self, kind: DocumentName) -> &[AtomicU64; STATUSES.len()] {
        let [discovery, jwks] = &self.0;
        match kind {
            DocumentName::Discovery => discovery,
            DocumentName::Jwks => jwks,
        }
    }
}

impl Route {
    /// The counter of an answer with this status.
    pub(super) fn counter(&self, status: Status) -> &AtomicU64 {
        let [ok, no_content, not_modified, not_allowed, unavailable] = self.requests.of(self.kind);
        match status {
            Status::Ok => ok,
            Status::NoContent => no_content,
            Status::NotModified => not_modified,
            Status::MethodNotAllowed => not_allowed,
            Status::Unavailable => unavailable,
        }
    }
}

impl Site {
    /// Lays out the routes. A path that is claimed twice is an error that names both issuers.
    pub fn new(served: Vec<ServedIssuer>) -> Result<Self, ServeError> {
        let paths = served.iter().map(|one| one.paths.len()).sum();
        let mut site = Self {
            routes: HashMap::with_capacity(paths),
            issuers: Vec::with_capacity(served.len()),
        };
        for issuer in served {
            site.add(issuer)?;
        }
        Ok(site)
    }

    /// The number of issuers that have documents, and of all issuers.
    pub fn up(&self) -> (usize, usize) {
        let up = self
            .issuers
            .iter()
            .filter(|issuer| issuer.problem.is_none())
            .count();
        (up, self.issuers.len())
    }

    /// Every document that is served, with its issuer.
    pub fn documents(&self) -> impl Iterator<Item = (&str, &Document)> {
        self.routes.values().filter_map(|route| {
            let issuer = self.issuers.get(route.issuer)?;
            match &route.target {
                Target::Document(document) => Some((&*issuer.url, document)),
                Target::Unavailable => None,
            }
        })
    }

    pub(super) fn route(&self, path: &str) -> Option<&Route> {
        self.routes.get(path)
    }

    pub(super) fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    fn add(&mut self, served: ServedIssuer) -> Result<(), ServeError> {
        let ServedIssuer {
            issuer,
            documents,
            paths,
            keys,
        } = served;
        let requests = Arc::<Requests>::default();
        let index = self.issuers.len();
        self.issuers.push(Issuer {
            url: issuer.into(),
            problem: documents.as_ref().err().map(|why| why.as_str().into()),
            keys: keys.into(),
            requests: Arc::clone(&requests),
        });
        let route = |kind, target| Route {
            target,
            kind,
            issuer: index,
            requests: Arc::clone(&requests),
        };
        match documents {
            Ok(documents) => {
                for document in documents {
                    let path = document.path().to_owned();
                    self.insert(path, route(document.kind(), Target::Document(document)))?;
                }
            }
            Err(_) => {
                for path in paths {
                    let kind = name_at(&path);
                    self.insert(path, route(kind, Target::Unavailable))?;
                }
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: String, route: Route) -> Result<(), ServeError> {
        let url = |index: usize| {
            self.issuers
                .get(index)
                .map(|issuer| issuer.url.to_string())
                .unwrap_or_default()
        };
        if !path.starts_with('/') || path.contains(['?', '#']) {
            return Err(ServeError::BadPath {
                path,
                issuer: url(route.issuer),
            });
        }
        match self.routes.entry(path.into()) {
            Entry::Vacant(free) => {
                free.insert(route);
                Ok(())
            }
            Entry::Occupied(taken) => Err(ServeError::DuplicatePath {
                path: taken.key().to_string(),
                first: url(taken.get().issuer),
                second: url(route.issuer),
            }),
        }
    }

    /// Lets an issuer that stays keep its counters: a counter that falls back to zero reads as a restart.
    fn inherit(&mut self, old: &Self) {
        let kept: HashMap<&str, &Arc<Requests>> = old
            .issuers
            .iter()
            .map(|issuer| (&*issuer.url, &issuer.requests))
            .collect();
        for issuer in &mut self.issuers {
            if let Some(requests) = kept.get(&*issuer.url) {
                issuer.requests = Arc::clone(requests);
            }
        }
        for route in self.routes.values_mut() {
            if let Some(issuer) = self.issuers.get(route.issuer) {
                route.requests = Arc::clone(&issuer.requests);
            }
        }
    }
}

/// The document that a path serves, known even while its issuer has none.
fn name_at(path: &str) -> DocumentName {
    if path.ends_with(DISCOVERY_PATH) {
        DocumentName::Discovery
    } else {
        DocumentName::Jwks
    }
}

/// The site that is served now. Clones share it.
#[derive(Clone, Debug)]
pub struct SiteHandle(Arc<ArcSwap<Site>>);

impl SiteHandle {
    /// Starts with this site.
    pub fn new(site: Site) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(site)))
    }

    /// Serves another site from the next request on. Answers in flight keep the old one.
    pub fn swap(&self, mut site: Site) {
        site.inherit(&self.0.load());
        self.0.store(Arc::new(site));
    }

    /// The site as it is now.
    pub fn current(&self) -> Arc<Site> {
        self.0.load_full()
    }

    pub(super) fn read(&self) -> Guard<Arc<Site>> {
        self.0.load()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::*;

    fn issuer(url: &str, path: &str) -> ServedIssuer {
        let document = Document::new(
            DocumentName::Jwks,
            path.into(),
            b"{}".to_vec(),
            Duration::ZERO,
        )
        .unwrap();
        ServedIssuer {
            issuer: url.into(),
            documents: Ok(vec![document]),
            paths: vec![path.into()],
            keys: Vec::new(),
        }
    }

    #[test]
    fn a_path_claimed_twice_names_both_issuers() {
        let error =
            Site::new(vec![issuer("https://a", "/k"), issuer("https://b", "/k")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "path \"/k\" of issuer \"https://b\" is already served for issuer \"https://a\""
        );
    }

    #[test]
    fn an_issuer_without_documents_claims_its_paths_too() {
        let mut broken = issuer("https://b", "/k");
        broken.documents = Err("no usable key".into());
        assert!(Site::new(vec![issuer("https://a", "/k"), broken.clone()]).is_err());
        let site = Site::new(vec![issuer("https://a", "/j"), broken]).unwrap();
        assert_eq!(site.up(), (1, 2));
        assert!(matches!(
            site.route("/k").unwrap().target,
            Target::Unavailable
        ));
    }

    #[test]
    fn paths_that_no_request_can_have_are_refused() {
        for path in ["", "keys.json", "/k?a", "/k#a"] {
            assert!(
                Site::new(vec![issuer("https://a", path)]).is_err(),
                "{path}"
            );
        }
    }

    #[test]
    fn counters_survive_a_swap_and_leave_with_their_issuer() {
        let site = SiteHandle::new(Site::new(vec![issuer("https://a", "/k")]).unwrap());
        let count = |site: &SiteHandle| {
            let site = site.current();
            site.route("/k")
                .unwrap()
                .counter(Status::Ok)
                .fetch_add(1, Ordering::Relaxed)
        };
        assert_eq!(count(&site), 0);
        site.swap(Site::new(vec![issuer("https://b", "/j"), issuer("https://a", "/k")]).unwrap());
        assert_eq!(count(&site), 1);
        site.swap(Site::new(vec![issuer("https://b", "/k")]).unwrap());
        assert_eq!(count(&site), 0);
    }
}
