use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

const HEADER: &str = r#"{"alg":"RS256","kid":"k"}"#;
const CLAIMS: &str = r#"{"aud":["sts.amazonaws.com"],"exp":4600,"iat":1000,"iss":"https://oidc.example.com/demo","jti":"j","kubernetes.io":{"namespace":"demo","pod":{"name":"web","uid":"p"},"serviceaccount":{"name":"app","uid":"u"}},"nbf":1000,"sub":"system:serviceaccount:demo:app"}"#;

fn of(header: &str, claims: &str, at: i64) -> Explanation {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let token = Token::parse(&format!("{}.{}.AA", encode(header), encode(claims))).unwrap();
    explain(&token, Timestamp::from_second(at).unwrap())
}

fn only_problem(header: &str, claims: &str, at: i64) -> (Verifier, String) {
    let problems = of(header, claims, at).problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    (problems[0].verifier, problems[0].reason.clone())
}

#[test]
fn a_good_token_has_no_problem_and_every_claim_a_meaning() {
    let explanation = of(HEADER, CLAIMS, 2000);
    assert_eq!(explanation.problems, []);
    let meaning = |name: &str| {
        explanation
            .claims
            .iter()
            .find(|s| s.name == name)
            .unwrap()
            .meaning
            .clone()
    };
    assert_eq!(
        meaning("exp"),
        "expires 1970-01-01T01:16:40Z (in 43 min 20 s), 1 h after it was issued"
    );
    assert!(meaning("sub").contains("ServiceAccount app of namespace demo"));
    assert_eq!(meaning("kubernetes.io"), "dies with pod web");
}

#[test]
fn each_problem_names_who_refuses() {
    let edit = |from: &str, to: &str| CLAIMS.replace(from, to);
    let cases = [
        (
            HEADER.replace("RS256", "HS256"),
            CLAIMS.to_owned(),
            Verifier::Both,
            "HS256",
        ),
        (
            HEADER.replace("RS256", "RS512"),
            CLAIMS.to_owned(),
            Verifier::KubeApiserver,
            "RS512",
        ),
        (
            r#"{"alg":"ES256"}"#.to_owned(),
            CLAIMS.to_owned(),
            Verifier::Sts,
            "no kid",
        ),
        (
            HEADER.to_owned(),
            edit("sts.amazonaws.com", "vault"),
            Verifier::Sts,
            "Incorrect token audience",
        ),
        (
            HEADER.to_owned(),
            edit("/demo\",\"jti", "/demo/\",\"jti"),
            Verifier::Sts,
            "slash",
        ),
        (
            HEADER.to_owned(),
            edit("https://oidc.example.com", "https://127.0.0.1:6443"),
            Verifier::Sts,
            "loopback",
        ),
        (
            HEADER.to_owned(),
            edit("example.com", "example.com:8443"),
            Verifier::Sts,
            "port",
        ),
        (
            HEADER.to_owned(),
            edit("https://oidc", "http://oidc"),
            Verifier::Sts,
            "not https",
        ),
        (
            HEADER.to_owned(),
            edit("system:serviceaccount:demo:app", "alice"),
            Verifier::KubeApiserver,
            "alice",
        ),
        (
            HEADER.to_owned(),
            edit("\"nbf\":1000", "\"nbf\":3000"),
            Verifier::Both,
            "nbf",
        ),
        (
            HEADER.to_owned(),
            edit("\"exp\":4600,", ""),
            Verifier::Sts,
            "never expires",
        ),
        (
            HEADER.to_owned(),
            edit("\"iat\":1000,", ""),
            Verifier::Sts,
            "no iat",
        ),
        // Beyond every calendar, and no number: there, and of no use.
        (
            HEADER.to_owned(),
            edit("\"exp\":4600", "\"exp\":99999999999999999999"),
            Verifier::Both,
            "its exp is no time",
        ),
        (
            HEADER.to_owned(),
            edit("\"iat\":1000", "\"iat\":\"noon\""),
            Verifier::Sts,
            "its iat is no time",
        ),
    ];
    for (header, claims, verifier, reason) in cases {
        let (found, text) = only_problem(&header, &claims, 2000);
        assert_eq!(found, verifier, "{text}");
        assert!(text.contains(reason), "{text}");
    }
    assert!(
        only_problem(HEADER, CLAIMS, 5000)
            .1
            .contains("6 min 40 s ago")
    );
}

#[test]
fn an_issuer_that_only_a_cluster_reaches_is_out_of_the_reach_of_sts() {
    for (host, why) in [
        ("kubernetes.default.svc.cluster.local", "public DNS"),
        ("kubernetes.default.svc", "public DNS"),
        ("oidc.corp.internal", "public DNS"),
        ("minio", "without a domain"),
        ("10.96.0.1", "private network"),
        ("[fd00::1]", "private network"),
    ] {
        let claims = CLAIMS.replace("https://oidc.example.com/demo", &format!("https://{host}"));
        let (verifier, reason) = only_problem(HEADER, &claims, 2000);
        assert_eq!(verifier, Verifier::Sts);
        assert!(reason.contains(why), "{host}: {reason}");
    }
}

#[test]
fn a_start_that_is_no_time_is_a_problem() {
    let claims = CLAIMS.replace("\"nbf\":1000", "\"nbf\":\"soon\"");
    let (verifier, reason) = only_problem(HEADER, &claims, 2000);
    assert_eq!(verifier, Verifier::Both);
    assert!(reason.starts_with("its nbf is no time"), "{reason}");
}
