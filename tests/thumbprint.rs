use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::util::Home;

/// A chain of leaf and CA for 127.0.0.1 and localhost: PEM of the leaf, of the CA, and of the leaf's key.
fn chain() -> (String, String, String) {
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
    (leaf.pem(), ca.pem(), key.serialize_pem())
}

fn serve(home: &Home, chain: &str, key: &str) -> crate::util::Server {
    home.key("sa", "ES256");
    home.write("tls.crt", chain);
    home.write("tls.key", key);
    home.irsa(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--issuer",
        "https://h",
        "--keys",
        "sa.pub",
        "--tls-cert",
        "tls.crt",
        "--tls-key",
        "tls.key",
    ])
    .start()
}

#[test]
fn the_last_certificate_sent_is_taken_from_a_server_with_an_unknown_ca() {
    let (leaf, ca, key) = chain();
    let home = Home::new();
    let server = serve(&home, &(leaf.clone() + &ca), &key);
    home.write("chain.pem", leaf + &ca);
    home.write("ca.pem", ca);
    let of_file = |name: &str| home.irsa(&["thumbprint", "--pem", name]).ok().stdout;
    let ran = home.irsa(&["thumbprint", &server.address()]).ok();
    assert_eq!(ran.stdout.trim().len(), 40);
    assert_eq!(ran.stdout, of_file("chain.pem"));
    assert_eq!(ran.stdout, of_file("ca.pem"));
    assert!(
        ran.stderr.contains("certificate 2 of 2, \"CN=test CA\""),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr
            .contains("AWS needs it: the chain does not end in a public root"),
        "{}",
        ran.stderr
    );
    let json = home
        .irsa(&[
            "thumbprint",
            "-o",
            "json",
            &format!("https://{}", server.address()),
        ])
        .ok();
    assert!(
        json.stdout.contains("\"needed_by_aws\": true"),
        "{}",
        json.stdout
    );
    assert_eq!(json.stdout.matches("\"subject\"").count(), 2);
}

#[test]
fn a_lone_leaf_is_warned_of() {
    let (leaf, _, key) = chain();
    let home = Home::new();
    let server = serve(&home, &leaf, &key);
    let ran = home.irsa(&["thumbprint", &server.address()]).ok();
    assert!(
        ran.stderr.contains("warning: only the leaf is sent"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_private_ca_is_trusted_by_file_only() {
    let (leaf, ca, key) = chain();
    let home = Home::new();
    home.write("ca.pem", &ca);
    home.key("sa", "ES256");
    home.write("tls.crt", leaf + &ca);
    home.write("tls.key", key);
    let port = free_port();
    let issuer = format!("https://localhost:{port}/a");
    let server = home
        .irsa(&[
            "serve",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--issuer",
            &issuer,
            "--keys",
            "sa.pub",
            "--tls-cert",
            "tls.crt",
            "--tls-key",
            "tls.key",
        ])
        .start();
    server.address();
    let mint = [
        "token",
        "mint",
        "--key",
        "sa.key",
        "--issuer",
        &issuer,
        "--subject",
        "a/b",
    ];
    home.write("token", home.irsa(&mint).ok().stdout);
    let verify = ["token", "verify", "--issuer", &issuer, "token"];
    let refused = home.irsa(&verify).code(1);
    assert!(refused.stderr.contains("--ca-file"), "{}", refused.stderr);
    let accepted = home
        .irsa(&[&verify[..], &["--ca-file", "ca.pem"]].concat())
        .ok();
    assert!(
        accepted.stdout.contains(&format!("{issuer}/keys.json")),
        "{}",
        accepted.stdout
    );
}

#[test]
fn what_is_no_server_is_refused_or_retried() {
    let home = Home::new();
    home.irsa(&["thumbprint", "http://localhost"]).code(2);
    home.irsa(&["thumbprint"]).code(2);
    home.irsa(&["thumbprint", &format!("127.0.0.1:{}", free_port())])
        .code(4);
    home.write("x.pem", "x");
    home.irsa(&["thumbprint", "--pem", "x.pem"]).code(1);
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[test]
fn a_file_given_as_a_server_is_called_a_file() {
    let home = Home::new();
    home.write("chain.pem", &chain().0);
    let ran = home.irsa(&["thumbprint", "chain.pem"]).code(2);
    assert!(
        ran.stderr.contains("irsa thumbprint --pem chain.pem"),
        "{}",
        ran.stderr
    );
}
