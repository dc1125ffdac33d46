//! The issuer's rules, pure: no I/O, no clock, no environment, no randomness. Time is an argument.
//!
//! A Kubernetes cluster is an OIDC issuer: kube-apiserver signs service account tokens, and whoever can fetch two
//! public documents can verify them; AWS is told to trust them. This crate knows everything about those keys, documents,
//! tokens and trust, and decides what is to be done; `irsa-issuer`, `irsa-iam`, `irsa-apiserver` and their siblings read
//! and write, the command line wires.
//!
//! ```text
//!   key files ──► pem ──► block ──► keys ──► kid                       private (the other half, which signs)
//!                                    │
//!   issuer (the URL) ────────────────┼──► jwks, discovery ──► documents ──► publication ──► change
//!                                    │                                      (what to write, at a store_url)
//!          token: claims, signature, verify, explain           thumbprint (of the server's CA)
//!
//!   bucket, documents, provider, role (with trust) ──► bootstrap ──► every change of a cluster, in a safe order, and back
//!   facts (what is seen of the whole chain) ─────────► diagnosis ──► each cause once, with the strings that differ
//!   ring (the record), policy (the timers),
//!   observation (what is seen of every place) ───────► rotation ───► one step; a promotion demands proof
//!
//!   aws_answer, api_answer (what a refusal means), explain (what to do about an error): used by every adapter
//! ```
//!
//! In each line what is on the left is read by an adapter, what is on the right is done by one, and nothing between asks
//! anybody. Guarantees of a rotation stand in [`rotation`], which is searched and simulated against a world of its own.
//!
//! # Vocabulary
//!
//! - **issuer URL**: one string that tokens, discovery document, kube-apiserver and IAM hold byte for byte.
//! - **kid**: the Kubernetes key ID, computed from the public key ([`kid`]).
//! - **signing key** (private, one) and **verification keys** (public, many).
//! - a key is *published* when it is in the JWKS, *trusted* when API servers accept it, *promoted* when it signs,
//!   *withdrawn* when it is taken out of the JWKS, *erased* when its private half is destroyed ([`ring`]).
//! - **CA thumbprint**: an entry of IAM's ThumbprintList ([`thumbprint`]), not a key ID.
//!
//! # Rules
//!
//! - What parses is valid: an [`issuer::IssuerUrl`] or [`keys::PublicKey`] that exists needs no further check.
//! - Private key bytes live in [`private::PrivateKeyPem`] alone, which prints its kid and nothing else.
//! - Parsers of foreign bytes are bounded, refuse what is ambiguous, and are fuzzed.
//! - Errors name the object and the next step ([`explain::Explain`]).

pub mod algorithm;
pub mod api_answer;
pub mod aws_answer;
pub mod block;
pub mod bootstrap;
pub mod bucket;
pub mod cache_control;
pub mod change;
pub mod diagnosis;
pub mod discovery;
pub mod documents;
pub mod explain;
pub mod issuer;
pub mod jwks;
pub mod key_error;
pub mod keys;
pub mod kid;
pub mod observation;
pub mod partition;
pub mod pem;
pub mod policy;
pub mod private;
pub mod proof;
pub mod provider;
pub mod publication;
pub mod ring;
pub mod role;
pub mod rotation;
pub mod store_url;
mod strict_json;
pub mod thumbprint;
pub mod token;
pub mod trust;
