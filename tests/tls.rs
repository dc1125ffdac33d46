//! A server of this machine over TLS, with a CA that nobody knows.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::util::{Home, Server};

/// Leaf and CA for 127.0.0.1 and localhost, in PEM.
pub(crate) struct Chain {
    pub(crate) leaf: String,
    pub(crate) ca: String,
    key: String,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "test CA");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &ca)
            .unwrap();
        Self {
            leaf: leaf.pem(),
            ca: ca.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Leaf and CA, as a server should send them.
    pub(crate) fn whole(&self) -> String {
        format!("{}{}", self.leaf, self.ca)
    }

    /// Serves the documents of an issuer whose key is `sa.pub`, and sends these certificates.
    pub(crate) fn serve(&self, home: &Home, sent: &str, issuer: &str, listen: &str) -> Server {
        home.key("sa", "ES256");
        home.write("tls.crt", sent);
        home.write("tls.key", &self.key);
        let documents = ["serve", "--issuer", issuer, "--keys", "sa.pub"];
        let tls = ["--tls-cert", "tls.crt", "--tls-key", "tls.key"];
        let args = [&documents[..], &tls, &["--listen", listen]].concat();
        home.irsa(&args).start()
    }
}

/// A port for an issuer that must be known before its server listens.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
