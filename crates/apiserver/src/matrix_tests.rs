use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;

const ISSUER: &str = "https://kubernetes.default.svc";

fn example(name: &str) -> String {
    std::fs::read_to_string(format!(
        "{}/../../keys-example/{name}",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

fn token(issuer: &str, kid: &str) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.AAAA",
        part(json!({"alg": "ES256", "kid": kid})),
        part(json!({"iss": issuer}))
    )
}

fn yes() -> Review {
    Review {
        authenticated: true,
        error: None,
    }
}

fn unanswered(why: &str, passing: bool) -> Unanswered {
    Unanswered {
        why: why.to_owned(),
        passing,
    }
}

fn no() -> Review {
    Review {
        authenticated: false,
        error: Some("no keys found".to_owned()),
    }
}

fn server(url: &str) -> ServerSeen {
    let kid = example("p256.kid").trim().to_owned();
    let discovery = json!({"issuer": ISSUER, "jwks_uri": "https://10.0.0.1:6443/openid/v1/jwks", "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"]});
    ServerSeen {
        url: url.to_owned(),
        silent: None,
        discovery: Some(discovery.to_string()),
        jwks: Some(example("p256.jwks.json")),
        token: token(ISSUER, &kid),
        reviews: vec![Some(Ok(yes())), Some(Ok(yes()))],
        sts: Some(no()),
    }
}

fn found(servers: &[ServerSeen]) -> Vec<String> {
    judge(servers, None)
        .1
        .into_iter()
        .map(|finding| finding.message)
        .collect()
}

#[test]
fn a_healthy_cluster_has_nothing_to_report() {
    let (rows, findings) = judge(&[server("https://a"), server("https://b")], None);
    assert_eq!(findings, []);
    assert_eq!(rows[1].accepted_by, [Some(true), Some(true)]);
    assert_eq!(rows[0].kids, [rows[0].signing_kid.clone()]);
}

type Change = fn(&mut ServerSeen);

#[test]
fn each_fault_is_named() {
    let broken = |change: fn(&mut ServerSeen)| {
        let mut servers = [server("https://a"), server("https://b")];
        change(&mut servers[1]);
        found(&servers)
    };
    let cases: [(Change, &str); 7] = [
        (
            |server| server.reviews[0] = Some(Ok(no())),
            "https://a refuses a token of https://b",
        ),
        (
            |server| server.sts = Some(yes()),
            "accepts tokens for sts.amazonaws.com",
        ),
        (
            |server| server.discovery = None,
            "serves no discovery document",
        ),
        (
            |server| server.token = token(ISSUER, "other"),
            "not in its own JWKS",
        ),
        (
            |server| server.token = token("https://x,https://y", "k"),
            "two joined with a comma",
        ),
        (
            |server| server.jwks = Some("{}".to_owned()),
            "cannot be used",
        ),
        (
            |server| {
                server.discovery = server
                    .discovery
                    .take()
                    .map(|text| text.replace("https://10", "http://10"));
            },
            "bad jwks_uri: ",
        ),
    ];
    for (change, expected) in cases {
        let messages = broken(change);
        assert!(
            messages.iter().any(|message| message.contains(expected)),
            "{expected}: {messages:?}"
        );
    }
}

#[test]
fn servers_that_differ_are_shown() {
    let mut other = server("https://b");
    other.jwks = Some(example("several.jwks.json"));
    other.token = server("https://b").token;
    assert!(
        found(&[server("https://a"), other])
            .iter()
            .any(|message| message.starts_with("the keys of"))
    );
}

#[test]
fn the_wanted_issuer_is_compared() {
    let of = |issuer: &str, jwks_uri: Option<&str>| {
        let wanted = Wanted {
            issuer: IssuerUrl::parse(issuer, TrailingSlash::Refuse).unwrap(),
            jwks_uri: jwks_uri.map(|uri| JwksUri::parse(uri).unwrap()),
            key_files: Vec::new(),
            signing_key_file: None,
            api_audiences: Vec::new(),
            remove_issuers: Vec::new(),
            remove_key_files: Vec::new(),
        };
        let (_, findings) = judge(&[server("https://a")], Some(&wanted));
        findings
            .into_iter()
            .map(|finding| finding.message)
            .collect::<Vec<_>>()
    };
    let ours = "https://oidc.example.com/prod";
    let found = of(ours, None);
    assert!(
        found[0].contains(&format!("expected \"{ours}\"")),
        "{found:?}"
    );
    // So is where the JWKS is, when that is said.
    assert_eq!(of(ISSUER, None), [""; 0]);
    assert_eq!(
        of(ISSUER, Some("https://10.0.0.1:6443/openid/v1/jwks")),
        [""; 0]
    );
    let found = of(ISSUER, Some("https://oidc.example.com/keys.json"));
    assert!(
        found[0].contains("expected \"https://oidc.example.com/keys.json\""),
        "{found:?}"
    );
}

#[test]
fn a_server_that_does_not_answer_is_marked_and_the_others_are_judged() {
    let dead = |url| ServerSeen::silent(url, unanswered("connection refused", true), 3);
    let alive = |url| ServerSeen {
        reviews: vec![None, Some(Ok(yes())), Some(Ok(no()))],
        ..server(url)
    };
    let (rows, findings) = judge(
        &[dead("https://a"), alive("https://b"), alive("https://c")],
        None,
    );
    assert_eq!(rows[0].accepted_by, [None; 3]);
    assert_eq!(rows[1].accepted_by, [None, Some(true), Some(false)]);
    let messages: Vec<_> = findings
        .iter()
        .map(|finding| finding.message.as_str())
        .collect();
    assert_eq!(messages[0], "https://a does not answer: connection refused");
    assert!(
        messages[1].starts_with("https://c refuses a token of https://b"),
        "{messages:?}"
    );
    assert_eq!(messages.len(), 3, "{messages:?}");
}

/// One that restarts between two questions, and one that does not believe who asks.
#[test]
fn what_was_not_heard_is_a_problem() {
    let mut deaf = server("https://a");
    deaf.reviews[1] = Some(Err(unanswered("a TokenReview: 500", true)));
    let strict = ServerSeen::silent(
        "https://b",
        unanswered("a TokenRequest: 401 Unauthorized", false),
        2,
    );
    assert_eq!((deaf.passing(), strict.passing()), (1, 0));
    let (rows, findings) = judge(&[deaf, strict], None);
    assert_eq!(rows[0].accepted_by, [Some(true), None]);
    let messages: Vec<_> = findings
        .iter()
        .map(|finding| finding.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "https://b refuses to say: a TokenRequest: 401 Unauthorized",
            "https://b was not heard on a token of https://a: a TokenReview: 500",
        ]
    );
    assert_ne!(findings[0].help, findings[1].help);
}

#[test]
fn tokens_in_secrets_are_told_by_their_key() {
    let (rows, _) = judge(&[server("https://a")], None);
    let token = |secret: &str, created: &str, kid: &str| LegacyToken {
        secret: secret.to_owned(),
        created: created.to_owned(),
        kid: kid.to_owned(),
    };
    let ours = rows[0].signing_kid.clone();
    assert_eq!(judge_legacy(&rows, &[]), []);
    assert_eq!(
        judge_legacy(&rows, &[token("a/b", "2026-01-01T00:00:00Z", &ours)]),
        []
    );
    let found = judge_legacy(
        &rows,
        &[
            token("a/b", "2026-01-01T00:00:00Z", &ours),
            token("c/d", "2026-02-01T00:00:00Z", "lost"),
        ],
    );
    assert!(
        found[0].message.contains("1 Secrets") && found[0].message.contains("c/d"),
        "{found:?}"
    );
    assert_eq!(found[1].severity, Severity::Note);
}
