//! The clients of a rehearsal: every token that is issued is used until it expires, wherever it must be accepted.

use std::time::Duration;

use irsa_core::issuer::IssuerUrl;
use irsa_core::jwks::JwkSet;
use irsa_core::token::Token;
use irsa_core::token::claims::ServiceAccount;
use irsa_core::token::verify::{Expectation, verify};
use irsa_issuer::relying_party::{RelyingParty, TIMEOUT};
use irsa_issuer::sign::Signer;
use jiff::{SignedDuration, Timestamp};

use super::stage::StandIn;
use super::{CACHE, TOKEN_TTL};
use crate::commands::token::mint::mint;
use crate::report::Failure;

/// For AWS, and for the API servers.
const AUDIENCES: [&str; 2] = ["sts.amazonaws.com", "https://kubernetes.default.svc"];
/// Whose tokens they are.
const ACCOUNT: &str = "default/rehearsal";
/// Who else verifies.
const RELYING_PARTY: &str = "the relying party";

/// A token that has not expired.
struct Alive {
    token: Token,
    issued_by: String,
    audience: &'static str,
    expires: Timestamp,
}

/// The clients, and what happened to them.
pub(super) struct Traffic {
    issuer: IssuerUrl,
    account: ServiceAccount,
    alive: Vec<Alive>,
    relying_party: RelyingParty,
    /// The JWKS that the relying party goes on using, and since when.
    held: Option<(Timestamp, JwkSet)>,
    /// How many tokens were issued.
    pub(super) issued: usize,
    /// How often one of them was verified.
    pub(super) used: usize,
    /// Each refusal of a token that was valid.
    pub(super) refused: Vec<String>,
}

impl Traffic {
    pub(super) fn new(issuer: IssuerUrl) -> Result<Self, Failure> {
        Ok(Self {
            issuer,
            account: ServiceAccount::parse(ACCOUNT)?,
            alive: Vec::new(),
            relying_party: RelyingParty::new(None, TIMEOUT),
            held: None,
            issued: 0,
            used: 0,
            refused: Vec::new(),
        })
    }

    /// Each server issues a token for each audience, and everything that is alive is used everywhere.
    pub(super) async fn round(
        &mut self,
        servers: impl Iterator<Item = &StandIn> + Clone,
    ) -> Result<(), Failure> {
        let now = Timestamp::now();
        self.alive.retain(|token| token.expires > now);
        for server in servers.clone() {
            for audience in AUDIENCES {
                let token = self.issue(&server.signer, audience, now)?;
                self.alive.push(Alive {
                    token,
                    issued_by: server.name.clone(),
                    audience,
                    expires: after(now, TOKEN_TTL),
                });
                self.issued += 1;
            }
        }
        let published = self.keys(now).await?;
        let [public, cluster] = AUDIENCES;
        self.verify_all(RELYING_PARTY, public, &published, now);
        for server in servers {
            self.verify_all(&server.name, cluster, &server.keys(), now);
        }
        Ok(())
    }

    /// Signs with a key that is gone; who refuses it. The relying party fetches the JWKS anew: that of the rehearsal
    /// has been withdrawn for longer than it keeps one.
    pub(super) async fn forge(
        &mut self,
        signer: &Signer,
        servers: impl Iterator<Item = &StandIn>,
    ) -> Result<Vec<String>, Failure> {
        let now = Timestamp::now();
        let published = self.relying_party.keys(&self.issuer).await?.keys;
        let [public, cluster] = AUDIENCES;
        let mut verifiers = vec![(RELYING_PARTY.to_owned(), public, published)];
        verifiers.extend(servers.map(|server| (server.name.clone(), cluster, server.keys())));
        let mut refusing = Vec::new();
        for (name, audience, keys) in verifiers {
            let token = self.issue(signer, audience, now)?;
            if verify(&token, &self.expectation(audience, &keys, now)).is_err() {
                refusing.push(name);
            }
        }
        Ok(refusing)
    }

    fn issue(&self, signer: &Signer, audience: &str, now: Timestamp) -> Result<Token, Failure> {
        let lifetime = (now, TOKEN_TTL);
        let text = mint(signer, &self.issuer, audience, &self.account, lifetime)?;
        Ok(Token::parse(&text)?)
    }

    /// The JWKS as the relying party has it: fetched anew only when the old one may be kept no longer.
    async fn keys(&mut self, now: Timestamp) -> Result<JwkSet, Failure> {
        if let Some((since, keys)) = &self.held
            && now < after(*since, CACHE)
        {
            return Ok(keys.clone());
        }
        let keys = self.relying_party.keys(&self.issuer).await?.keys;
        self.held = Some((now, keys.clone()));
        Ok(keys)
    }

    fn verify_all(&mut self, who: &str, audience: &str, keys: &JwkSet, now: Timestamp) {
        let expected = self.expectation(audience, keys, now);
        let mut refused = Vec::new();
        let asked = self.alive.iter().filter(|token| token.audience == audience);
        for token in asked.clone() {
            if let Err(refusal) = verify(&token.token, &expected) {
                refused.push(format!("{who}, a token of {}: {refusal}", token.issued_by));
            }
        }
        self.used += asked.count();
        self.refused.extend(refused);
    }

    fn expectation<'a>(
        &'a self,
        audience: &'a str,
        keys: &'a JwkSet,
        now: Timestamp,
    ) -> Expectation<'a> {
        Expectation {
            issuer: &self.issuer,
            audience,
            keys,
            now,
        }
    }
}

/// Tokens count in whole seconds, and so does this.
fn after(now: Timestamp, wait: Duration) -> Timestamp {
    let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    whole.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "traffic_tests.rs"]
mod tests;
