//! A double of the API server that holds secrets and gives damaged answers, and a webhook before it.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use irsa_testkit::canary;
use irsa_testkit::web::{Answer, Web};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use super::secret::{ROLE, SECRET, review};
use crate::util::{Home, Server};

/// A double of the API server; what was posted to it is kept.
pub(super) fn cluster(posted: Arc<Mutex<Vec<String>>>) -> Web {
    let maps = AtomicUsize::new(0);
    Web::start(move |request| {
        let path = request.uri.path().to_owned();
        let query = request.uri.query().unwrap_or_default();
        if request.method != "GET" {
            posted
                .lock()
                .unwrap()
                .push(String::from_utf8(request.body.to_vec()).unwrap());
        }
        match path.rsplit('/').next().unwrap() {
            // The end of a watch, after which everything is listed again.
            _ if query.contains("watch=") => Answer::new(410, status(410, "Expired")),
            "serviceaccounts" => list(&[
                account("reader"),
                account("taken"),
                json!({"metadata": {"name": "bare", "namespace": "ns"}}),
            ]),
            "configmaps" => {
                let number = maps.fetch_add(1, Ordering::SeqCst);
                list(&[
                    json!({"metadata": {"name": "pod-identity-webhook", "namespace": "kube-system", "resourceVersion": "1"},
                    "data": {"config": MAPS[number % MAPS.len()]}}),
                ])
            }
            "pods" => list(&pods()),
            "unwilling" => Answer::new(500, status(500, SECRET)),
            "garbled" => Answer::new(
                200,
                json!({"metadata": {"name": "garbled", "annotations": SECRET}}).to_string(),
            ),
            "text" => Answer::new(200, SECRET),
            "silent" => Answer::default(),
            "pod-identity-webhook" if path.contains("/secrets/") => {
                Answer::new(200, damaged_secret().to_string())
            }
            "pod-identity-webhook" if path.contains("/mutatingwebhookconfigurations/") => {
                let service =
                    json!({"name": "pod-identity-webhook", "namespace": "eks", "path": "/mutate"});
                let webhook =
                    json!({"name": "a.example.com", "clientConfig": {"service": service}});
                Answer::new(200, json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
                    "metadata": {"name": "pod-identity-webhook", "resourceVersion": "1"}, "webhooks": [webhook]}).to_string())
            }
            _ if request.method != "GET" => Answer::new(201, request.body.to_vec()),
            _ => Answer::new(404, status(404, "NotFound")),
        }
    })
}

pub(super) fn list(items: &[Value]) -> Answer {
    Answer::new(200, json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}).to_string())
}

pub(super) fn status(code: u16, message: &str) -> String {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "Expired", "code": code}).to_string()
}

pub(super) fn account(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "resourceVersion": "1", "annotations": {
        "eks.amazonaws.com/role-arn": ROLE, "kubectl.kubernetes.io/last-applied-configuration": SECRET,
        "eks.amazonaws.com/token-expiration": SECRET, "eks.amazonaws.com/sts-regional-endpoints": SECRET}}})
}

/// Pods of the cluster: one that was never injected, and one whose variables hold something else.
pub(super) fn pods() -> Vec<Value> {
    let mut bare = review("reader")["request"]["object"].clone();
    bare["metadata"]["namespace"] = "ns".into();
    let mut other = bare.clone();
    other["spec"]["volumes"] = json!([{"name": "aws-iam-token", "projected": {"sources": [
        {"serviceAccountToken": {"audience": "sts.amazonaws.com", "path": "token"}}]}}]);
    other["spec"]["initContainers"] = json!([]);
    let main = &mut other["spec"]["containers"][0];
    main["env"] = json!([{"name": "AWS_ROLE_ARN", "value": SECRET}, {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": SECRET}]);
    main["volumeMounts"] = json!([{"name": "aws-iam-token", "mountPath": "/var/run/secrets/eks.amazonaws.com/serviceaccount"}]);
    vec![bare, other]
}

/// Values of the ConfigMap that are refused, one after the other.
pub(super) const MAPS: [&str; 4] = [
    "\"s3cr3t-0f-a-p0d\"",
    "{\"ns/x\":\"s3cr3t-0f-a-p0d\"}",
    "{\"ns/x\":{\"RoleARN\":[\"s3cr3t-0f-a-p0d\"],\"Audience\":7331337313371}}",
    "{\"ns/x\":{\"RoleARN\":\"s3cr3t-0f-a-p0d",
];

pub(super) fn damaged_secret() -> Value {
    let key = canary::private_key();
    let data = [("ca.crt", SECRET), ("ca.key", key.expose_pem())];
    let data: Value = data
        .map(|(key, text)| (key.to_owned(), STANDARD.encode(text).into()))
        .into_iter()
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pod-identity-webhook", "resourceVersion": "1"}, "data": data})
}

pub(super) struct Site {
    pub(super) home: Home,
    pub(super) posted: Arc<Mutex<Vec<String>>>,
    tls: Arc<ClientConfig>,
    _cluster: Web,
}

impl Site {
    /// With a certificate whose private key is the canary.
    pub(super) fn new() -> Self {
        let home = Home::new();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::from_pem(canary::private_key().expose_pem()).unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &ca)
            .unwrap();
        home.write("tls.crt", leaf.pem());
        home.write("tls.key", canary::private_key().expose_pem());
        let posted = Arc::default();
        let web = cluster(Arc::clone(&posted));
        home.write(
            "kubeconfig",
            kubeconfig(&web.url(), json!({"token": SECRET})),
        );
        Self {
            home,
            posted,
            tls: Arc::new(trusting(&ca.pem())),
            _cluster: web,
        }
    }

    pub(super) fn serve(&self, log: &str, more: &[&str]) -> Server {
        let args = [
            "webhook",
            "serve",
            "--kubeconfig=kubeconfig",
            "--listen=127.0.0.1:0",
            "--metrics-listen=127.0.0.1:0",
            "--certificate-interval=50ms",
            "--v=9",
            "--log-format=json",
        ];
        self.home
            .irsa(&[&args[..], more].concat())
            .env("IRSA_LOG", log)
            .start()
    }

    /// One request over TLS: the whole answer.
    pub(super) fn ask(&self, server: &Server, path: &str, headers: &str, body: &[u8]) -> String {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).unwrap();
        let tcp = std::net::TcpStream::connect(address(server, "serving on https://")).unwrap();
        let mut stream = StreamOwned::new(connection, tcp);
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        // A body that is too large is refused before it is read.
        drop(
            stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(body)),
        );
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8(answer).unwrap()
    }
}

pub(super) fn kubeconfig(server: &str, user: Value) -> String {
    json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": user}]})
    .to_string()
}

pub(super) fn address(server: &Server, words: &str) -> String {
    let log = server.wait_for(words);
    log.split(words)
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned()
}

/// Whoever has a certificate of this CA.
fn trusting(ca: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
