//! End-to-end tests of the binary, one module for each area. No network, no root, no other program.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may panic, also in its helpers"
)]

mod util;

/// kube-apiserver's flags: both passes and back, what is wrong, what is wanted.
mod apiserver;
/// Configurations of k3s and RKE2 that say nothing yet, or are not there; files that cannot be read or written.
mod apiserver_k3s;
/// Manifests that are not as kubeadm writes them.
mod apiserver_manifests;
/// The README's command lines, run for each distribution.
mod apiserver_readme;
/// The whole chain set up.
mod bootstrap;
/// The whole chain, killed at every write.
mod bootstrap_killed;
/// What of a configuration is refused, and when.
mod bootstrap_refused;
/// Keys that a rotation has changed since.
mod bootstrap_rotated;
/// A cluster, and a double of AWS to set it up in.
mod bootstrap_setting;
/// No command ever shows a private key.
mod canary;
/// The whole chain with a distribution in front of the bucket.
mod cloudfront;
/// Precedence of flags, environment and file; `irsa config show`.
mod config;
/// EKS Connector: what is refused without AWS, and the policies.
mod connector;
/// What a user installs: images, charts, units, rules, and the pages about them.
mod deploy;
/// The documentation agrees with the binary.
mod docs;
/// The doctor, on doubles of IAM, STS and S3.
mod doctor;
/// The doctor before several servers behind one name.
mod doctor_fleet;
/// What the doctor looks at: an issuer over TLS, and doubles.
mod doctor_site;
/// The doctor that looks again and again.
mod doctor_watch;
/// JWKS and discovery documents on standard output.
mod documents;
/// IAM without IAM: policies, lint, other tools' forms.
mod iam;
/// Key files: made, inspected, refused.
mod keys;
/// Publishing to a directory.
mod publish;
/// Many issuers in one bucket, a store that is busy, and replicas that serve from it.
mod publish_bucket;
mod publish_many;
/// Publishing to a double of S3.
mod publish_s3;
/// The README's first command.
mod quickstart;
/// Rotations: simulated, refused, looked at.
mod rotate;
/// `irsa rotate`: where things rest.
mod rotate_places;
/// Timers tried in a simulated world, and output that nobody reads.
mod rotate_simulate;
/// `irsa rotate`: timers, and what they make of a ring.
mod rotate_timers;
/// The long-running endpoint: reload, last-known-good, drain.
mod serve;
/// The status page: what is compared, shown, and kept from the public.
mod status;
/// The whole chain taken down.
mod teardown;
/// CA thumbprints of files and servers.
mod thumbprint;
/// A server of this machine over TLS.
mod tls;
/// Tokens: minted, verified, explained.
mod token;
/// The pod identity webhook: reviews offline.
mod webhook;
/// The pod identity webhook: nothing of a pod, no token and no key comes out.
mod webhook_canary;
/// The pod identity webhook: its flags, its configuration file, its manifest.
mod webhook_serve;
