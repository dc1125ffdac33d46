use crate::tls::{Chain, free_port};
use crate::util::{Home, Server};

fn serve(home: &Home, chain: &Chain, sent: &str) -> Server {
    chain.serve(home, sent, "https://h", "127.0.0.1:0")
}

#[test]
fn the_last_certificate_sent_is_taken_from_a_server_with_an_unknown_ca() {
    let chain = Chain::new();
    let home = Home::new();
    let server = serve(&home, &chain, &chain.whole());
    home.write("chain.pem", chain.whole());
    home.write("ca.pem", &chain.ca);
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
    let chain = Chain::new();
    let home = Home::new();
    let server = serve(&home, &chain, &chain.leaf);
    let ran = home.irsa(&["thumbprint", &server.address()]).ok();
    assert!(
        ran.stderr.contains("warning: only the leaf is sent"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_private_ca_is_trusted_by_file_only() {
    let (home, chain) = (Home::new(), Chain::new());
    home.write("ca.pem", &chain.ca);
    let port = free_port();
    let issuer = format!("https://localhost:{port}/a");
    let listen = format!("127.0.0.1:{port}");
    let server = chain.serve(&home, &chain.whole(), &issuer, &listen);
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
    let refused = home.irsa(&["thumbprint", "--pem", "x.pem"]).code(1);
    assert!(refused.stderr.contains("x.pem: "), "{}", refused.stderr);
}

#[test]
fn a_file_given_as_a_server_is_called_a_file() {
    let home = Home::new();
    home.write("chain.pem", Chain::new().leaf);
    let ran = home.irsa(&["thumbprint", "chain.pem"]).code(2);
    assert!(
        ran.stderr.contains("irsa thumbprint --pem chain.pem"),
        "{}",
        ran.stderr
    );
}
