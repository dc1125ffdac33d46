//! The API servers, each asked directly for its keys, for a token, and about the tokens of the others.

use std::collections::{BTreeMap, BTreeSet};

use irsa_apiserver::live::ApiServer;
use irsa_core::jwks::JwkSet;
use irsa_core::kid::Kid;
use irsa_core::observation::{Loaded, Server, StaleTokens, clock_ahead};
use irsa_core::token::Token;
use irsa_core::token::claims::ServiceAccount;
use jiff::Timestamp;

use super::files::disk;
use super::gates::Known;
use super::node::Node;
use crate::report::Failure;

/// What was asked of one server.
struct Answer {
    keys: JwkSet,
    signing: Kid,
    refuses: BTreeSet<String>,
    stale: Option<StaleTokens>,
}

/// What was seen of the servers.
pub(super) struct Looked {
    pub(super) servers: Vec<Server>,
    /// How many seconds the clock of each is ahead of this host's, if that is certain.
    pub(super) clocks: BTreeMap<String, i64>,
}

/// Asks each server, and every other one about its token; and looks at the files of this node's.
pub(super) async fn look(
    servers: &[ApiServer],
    account: &ServiceAccount,
    node: Option<&Node<'_>>,
    known: &mut Known,
) -> Result<Looked, Failure> {
    let mut tokens: Vec<Option<String>> = Vec::new();
    let mut clocks = BTreeMap::new();
    for server in servers {
        let asked = Timestamp::now();
        let token = server.mint(account, &[]).await.ok();
        if let Some(ahead) = token
            .as_deref()
            .and_then(made)
            .map(|made| clock_ahead(made, asked, Timestamp::now()))
        {
            clocks.insert(server.url().to_owned(), ahead);
        }
        tokens.push(token);
    }
    let mut found = Vec::new();
    for (server, token) in servers.iter().zip(&tokens) {
        let name = server.url().to_owned();
        let (loaded, stale) = match ask(server, token.as_deref(), servers, &tokens).await {
            Ok(answer) => {
                let keys = answer.keys.keys().iter().map(|jwk| &jwk.key);
                known.extend(keys.clone().map(|key| (key.kid(), key.clone())));
                let loaded = Loaded::Serving {
                    trusted: keys.map(irsa_core::keys::PublicKey::kid).collect(),
                    signing: answer.signing,
                    refuses: answer.refuses,
                };
                (loaded, answer.stale)
            }
            Err(why) => (Loaded::Unreachable { why }, None),
        };
        let disk = match node {
            Some(node) if node.server == name => Some(disk(node, known)?),
            Some(_) | None => None,
        };
        found.push(Server {
            name,
            loaded,
            disk,
            stale,
        });
    }
    Ok(Looked {
        servers: found,
        clocks,
    })
}

/// When a token was made, by the clock of its maker.
fn made(token: &str) -> Option<i64> {
    Token::parse(token).ok()?.time_claim("iat")
}

async fn ask(
    server: &ApiServer,
    token: Option<&str>,
    all: &[ApiServer],
    tokens: &[Option<String>],
) -> Result<Answer, String> {
    let words = |error: &dyn std::error::Error| error.to_string();
    let jwks = server.jwks().await.map_err(|error| words(&error))?;
    let jwks = jwks.ok_or("it serves no JWKS: its first issuer must be https")?;
    let keys = JwkSet::parse(jwks.as_bytes()).map_err(|error| words(&error))?;
    let token = Token::parse(token.ok_or("it makes no token")?).map_err(|error| words(&error))?;
    let signing = token
        .kid()
        .and_then(Kid::parse)
        .ok_or("its tokens bear no Kubernetes kid")?;
    let mut refuses = BTreeSet::new();
    for (other, token) in all.iter().zip(tokens) {
        let Some(token) = token else { continue };
        let review = server.review(token).await.map_err(|error| words(&error))?;
        if !review.authenticated {
            refuses.insert(other.url().to_owned());
        }
    }
    let stale = server.stale_tokens().await.map_err(|error| words(&error))?;
    Ok(Answer {
        keys,
        signing,
        refuses,
        stale: stale.map(|(started, count)| StaleTokens { started, count }),
    })
}
