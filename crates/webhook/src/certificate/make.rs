//! Makes certificates. Elliptic keys: small, fast, and every API server knows them.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use zeroize::Zeroizing;

use super::plan::{Policy, seconds};
use super::record::{Authority, CLOCK_SKEW};

/// A leaf and its key, in PEM.
pub(super) struct Leaf {
    pub(super) chain: String,
    pub(super) key: Zeroizing<String>,
    /// Unix seconds.
    pub(super) made: i64,
    /// Unix seconds.
    pub(super) expires: i64,
}

/// A new CA. `now` is in Unix seconds.
pub(super) fn authority(policy: &Policy, now: i64) -> Result<Authority, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    // Told apart by their time in a bundle; the key identifiers tell machines.
    name.push(DnType::CommonName, format!("pod-identity-webhook-ca@{now}"));
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = at(now - CLOCK_SKEW).into();
    params.not_after = at(now.saturating_add(seconds(policy.authority_life))).into();
    params.use_authority_key_identifier_extension = true;
    let certificate = params.self_signed(&key)?;
    let pem = certificate.pem();
    Authority::new(pem, Zeroizing::new(key.serialize_pem()))
        .map_err(|_| rcgen::Error::CouldNotParseCertificate)
}

/// A new leaf for these names, DNS names and IP addresses. It never outlives its CA.
pub(super) fn leaf(
    authority: &Authority,
    names: &[String],
    policy: &Policy,
    now: i64,
) -> Result<Leaf, rcgen::Error> {
    let ca_key = KeyPair::from_pem(authority.expose_key())?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, ca_key)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names.to_vec())?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "pod-identity-webhook");
    params.distinguished_name = name;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Not before its CA, which began as much earlier.
    let begins = now.max(authority.made) - CLOCK_SKEW;
    let expires = now
        .saturating_add(seconds(policy.leaf_life))
        .min(authority.expires);
    params.not_before = at(begins).into();
    params.not_after = at(expires).into();
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Leaf {
        chain: certificate.pem(),
        key: Zeroizing::new(key.serialize_pem()),
        made: now,
        expires,
    })
}

fn at(unix_seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::record::{Record, Trusted};
    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn a_leaf_is_served_and_trusted_by_its_ca_alone() {
        use std::sync::Arc;

        use rustls::client::WebPkiServerVerifier;
        use rustls::client::danger::ServerCertVerifier as _;
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

        let policy = Policy::default();
        let (ours, other) = (
            authority(&policy, NOW).unwrap(),
            authority(&policy, NOW).unwrap(),
        );
        let names = ["hook.ns.svc".to_owned(), "127.0.0.1".to_owned()];
        let leaf = leaf(&ours, &names, &policy, NOW).unwrap();
        let der = CertificateDer::from_pem_slice(leaf.chain.as_bytes()).unwrap();
        let verify = |ca: &Authority, name: &'static str, at: i64| {
            let mut roots = rustls::RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(ca.certificate.as_bytes()).unwrap())
                .unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .unwrap();
            let now = UnixTime::since_unix_epoch(Duration::from_secs(at.try_into().unwrap()));
            let name = ServerName::try_from(name).unwrap();
            verifier
                .verify_server_cert(&der, &[], &name, &[], now)
                .is_ok()
        };
        assert!(verify(&ours, "hook.ns.svc", NOW));
        assert!(
            verify(&ours, "127.0.0.1", NOW - 60),
            "a clock that is behind"
        );
        assert!(!verify(&ours, "other.ns.svc", NOW));
        assert!(!verify(&other, "hook.ns.svc", NOW));
        assert!(!verify(&ours, "hook.ns.svc", leaf.expires + 1));
        let served = crate::serve::Served::default();
        let expires =
            crate::serve::take(&served, "test", leaf.chain.as_bytes(), leaf.key.as_bytes());
        assert_eq!(expires.unwrap(), leaf.expires);
    }

    #[test]
    fn a_leaf_never_outlives_its_ca() {
        let policy = Policy {
            authority_life: Duration::from_hours(24),
            ..Policy::default()
        };
        let ca = authority(&policy, NOW).unwrap();
        let leaf = leaf(&ca, &["a".to_owned()], &policy, NOW).unwrap();
        assert_eq!(leaf.expires, ca.expires);
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_shows_no_key() {
        let policy = Policy::default();
        let current = authority(&policy, NOW).unwrap();
        let next = authority(&policy, NOW).unwrap();
        let old = authority(&policy, NOW).unwrap();
        let record = Record {
            previous: vec![Trusted {
                certificate: old.certificate.clone(),
                until: NOW + 5,
            }],
            next: Some(next),
            current,
        };
        assert_eq!(Record::parse(&record.entries()).unwrap(), record);
        assert_eq!(record.bundle().matches("BEGIN CERTIFICATE").count(), 3);
        assert!(!record.bundle().contains("PRIVATE"));
        assert!(!format!("{record:?}").contains("PRIVATE"));

        let bare = Record {
            next: None,
            previous: Vec::new(),
            ..record.clone()
        };
        assert_eq!(Record::parse(&bare.entries()).unwrap(), bare);
        let mut bad: BTreeMap<_, _> = record.entries();
        bad.insert("ca.crt".into(), b"x".to_vec());
        assert!(Record::parse(&bad).is_err());
        let message = Record::parse(&BTreeMap::new()).unwrap_err().to_string();
        assert_eq!(message, "it has no key \"ca.key\"");
    }
}
