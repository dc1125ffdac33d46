//! A set-up in which everything fits, and ways to break it: each is named, and nothing else.

#[path = "diagnosis/aws_breaks_tests.rs"]
mod aws_breaks;
#[path = "diagnosis/healthy_tests.rs"]
mod healthy;
#[path = "diagnosis/issuer_breaks_tests.rs"]
mod issuer_breaks;

use serde_json::json;

use self::healthy::*;
use super::Verdict::{Failure, Warning};
use super::facts::*;
use super::*;
use crate::issuer::{IssuerUrl, TrailingSlash};
use crate::thumbprint::Chain;
use crate::token::Token;

#[test]
fn a_set_up_in_which_everything_fits_has_no_finding() {
    let checks = diagnose(&healthy());
    let other: Vec<_> = checks
        .iter()
        .filter(|check| check.verdict != Verdict::Ok)
        .collect();
    assert!(other.is_empty(), "{other:#?}");
    assert!(checks.len() >= 20, "{}", checks.len());
}

#[test]
fn with_the_issuer_alone_the_rest_is_unseen() {
    let unseen = || Unseen::not_asked("not given", "--option");
    let facts = Facts {
        flags: Seen::Unseen(unseen()),
        servers: Seen::Unseen(unseen()),
        tokens: Seen::Unseen(unseen()),
        provider: Seen::Unseen(unseen()),
        role: Seen::Unseen(unseen()),
        bucket: Seen::Unseen(unseen()),
        account: Seen::Unseen(unseen()),
        webhook: Seen::Unseen(unseen()),
        exchange: Seen::Unseen(unseen()),
        ..healthy()
    };
    assert_eq!(named(&facts), []);
    let checks = diagnose(&facts);
    let unseen = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Unseen);
    assert_eq!(unseen.count(), 9);
}

#[test]
fn each_cause_is_named_and_nothing_else() {
    for (what, verdict, id, change) in issuer_breaks::BREAKS.iter().chain(aws_breaks::BREAKS) {
        let mut facts = healthy();
        change(&mut facts);
        assert_eq!(named(&facts), [(*verdict, *id)], "{what}");
    }
}

#[test]
fn a_set_of_keys_that_verify_nothing_says_why_of_each() {
    let mut facts = healthy();
    let mut set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]});
    let small: serde_json::Value = serde_json::from_slice(&jwks(SA).to_bytes()).unwrap();
    let mut small = small["keys"][0].clone();
    let cut: String = small["n"].as_str().unwrap().chars().take(171).collect();
    let cut = cut + "_";
    (small["n"], small["kid"]) = (cut.into(), "small".into());
    set["keys"].as_array_mut().unwrap().push(small);
    answer(facts.jwks.as_mut().unwrap()).body = set.to_string().into_bytes();
    assert_eq!(named(&facts), [(Failure, "jwks")]);
    let message = the(&facts, "jwks").message;
    assert!(message.contains("key 0: its type \"OKP\""), "{message}");
    assert!(
        message.contains("\"small\": RSA 1032 bits, expected at least 2048"),
        "{message}"
    );
}

fn the(facts: &Facts, id: &str) -> Check {
    let mut found = diagnose(facts).into_iter().filter(|check| check.id == id);
    found.next().unwrap_or_else(|| panic!("no {id}"))
}

#[test]
fn the_two_strings_are_shown_with_the_difference() {
    let mut facts = healthy();
    found(&mut facts.flags)[0].issuers[0].push('/');
    let strings = the(&facts, "flags-issuer").strings.unwrap();
    assert_eq!(strings.found, format!("{ISSUER}/"));
    assert_eq!(strings.expected, ISSUER);
    assert_eq!(strings.common, ISSUER.len());
    assert!(strings.difference.contains("slash"), "{strings:?}");
    let mut facts = healthy();
    facts.role = role(&json!({"StringEquals": {format!("{NAME}/:sub"): SUBJECT}}));
    let check = the(&facts, "trust");
    let strings = check.strings.unwrap();
    assert_eq!(
        (strings.found, strings.expected),
        (format!("{NAME}/:sub"), format!("{NAME}:sub"))
    );
    assert!(check.message.contains("statement 1"), "{}", check.message);
    assert!(check.help.unwrap().contains("--service-account demo/app"));
}

#[test]
fn a_thumbprint_is_needed_for_a_private_ca_only() {
    let [leaf, ca] = [0, 1].map(|at| chain().certificates()[at].thumbprint.to_string());
    let zero = "0".repeat(40);
    for (thumbprints, alone, expected) in [
        (vec![], false, Failure),
        (vec![&zero], false, Failure),
        (vec![&leaf], false, Failure),
        (vec![&zero, &ca.to_uppercase()], false, Verdict::Ok),
        // pinned to a certificate that will be renewed
        (vec![&leaf], true, Warning),
    ] {
        let mut facts = healthy();
        private_ca(&mut facts);
        if alone {
            let end = CHAIN.find("-----END").unwrap() + "-----END CERTIFICATE-----".len();
            facts.hosts[0].tls.as_mut().unwrap().chain =
                Chain::from_pem(&CHAIN.as_bytes()[..end]).unwrap();
        }
        let thumbprints: Vec<&str> = thumbprints.into_iter().map(String::as_str).collect();
        facts.provider = provider(&["sts.amazonaws.com"], &thumbprints);
        assert_eq!(
            the(&facts, "thumbprint").verdict,
            expected,
            "{thumbprints:?}"
        );
    }
    let mut facts = healthy();
    private_ca(&mut facts);
    facts.provider = Seen::Unseen(Unseen::not_asked("no credentials", "log in"));
    let check = the(&facts, "thumbprint");
    assert_eq!(check.verdict, Verdict::Unseen);
    assert!(check.message.contains(&ca), "{}", check.message);
}

#[test]
fn aws_reaches_no_loopback_and_documents_no_port() {
    let mut facts = healthy();
    facts.relying_party = RelyingParty::Aws;
    assert_eq!(named(&facts), [(Failure, "issuer-url")]);
    facts.issuer =
        IssuerUrl::parse("https://oidc.example.com:8443/demo", TrailingSlash::Allow).unwrap();
    assert_eq!(the(&facts, "issuer-url").verdict, Warning);
    facts.issuer = IssuerUrl::parse("http://127.0.0.1/demo", TrailingSlash::Allow).unwrap();
    assert_eq!(the(&facts, "issuer-url").verdict, Failure);
}

#[test]
fn what_may_pass_is_told_from_what_does_not() {
    let mut facts = healthy();
    answer(&mut facts.discovery).status = 503;
    facts.jwks = None;
    assert!(the(&facts, "discovery").retryable);
    answer(&mut facts.discovery).status = 404;
    assert!(!the(&facts, "discovery").retryable);
    // A name without address behind a provider is a danger, not a passing thing.
    fails(&mut facts.discovery, NoAnswerKind::Name);
    let check = the(&facts, "discovery");
    assert!(!check.retryable && check.why.unwrap().contains("whoever gets it"));
}

#[test]
fn what_forbids_above_the_bucket_is_named_with_how_to_see_it() {
    let mut facts = healthy();
    denied(&mut facts);
    let mut checks = diagnose(&facts).into_iter();
    let check = checks.find(|check| (check.id, check.verdict) == ("account-access-block", Failure));
    let check = check.unwrap();
    assert!(check.message.contains("S3 refuses all the same"));
    assert!(check.help.unwrap().starts_with("ask shows it"));
}

#[test]
fn the_answer_of_sts_is_no_news_beside_its_cause() {
    let mut facts = healthy();
    facts.role = role(&json!({"StringEquals": {format!("{NAME}:sub"): "x"}}));
    let denied = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
    found(&mut facts.exchange).answer = Err(("AccessDenied".into(), denied.into()));
    assert_eq!(named(&facts), [(Failure, "trust")]);
    let check = the(&facts, "sts");
    assert_eq!(check.sts, Some(StsAnswer::Denied));
    assert!(
        check.message.ends_with("because of trust"),
        "{}",
        check.message
    );
}

#[test]
fn a_token_without_claims_is_told_which() {
    let encode = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    };
    let text = format!(
        "{}.{}.AA",
        encode(r#"{"alg":"RS256"}"#),
        encode(r#"{"iss":"kubernetes/serviceaccount","sub":"a"}"#)
    );
    let mut facts = healthy();
    found(&mut facts.tokens)[0].token = Token::parse(&text);
    assert_eq!(named(&facts), [(Failure, "token")]);
    let check = the(&facts, "token");
    assert!(check.message.contains("aud, exp, iat"), "{}", check.message);
    assert!(check.help.unwrap().contains("legacy"));
}

#[test]
fn without_a_token_the_service_account_is_judged() {
    let mut facts = healthy();
    facts.tokens = Seen::Unseen(Unseen::not_asked("no token", "--token-file"));
    assert_eq!(named(&facts), []);
    facts.provider = provider(&["openshift"], &[]);
    let ids: Vec<_> = named(&facts).into_iter().map(|(_, id)| id).collect();
    // The audience that pods ask for is no client ID, and the policy names it.
    assert_eq!(ids, ["client-ids", "trust"]);
    facts.account = Seen::Unseen(Unseen::not_asked("no account", "--service-account"));
    assert_eq!(the(&facts, "trust").verdict, Verdict::Unseen);
}

/// The example's token with another claim. Its signature fits no more, which is another check's finding.
fn with_claim(name: &str, value: &serde_json::Value) -> Token {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let parts: Vec<_> = TOKEN.trim().split('.').collect();
    let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let mut claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims[name] = value.clone();
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    Token::parse(&format!("{}.{claims}.{}", parts[0], parts[2])).unwrap()
}

#[test]
fn iat_and_nbf_are_judged_each_by_both_clocks() {
    let skew = crate::token::verify::SKEW_SECONDS;
    for claim in ["iat", "nbf"] {
        let judged = |value: serde_json::Value, host_ahead: i64| {
            let mut facts = healthy();
            found(&mut facts.tokens)[0].token = Ok(with_claim(claim, &value));
            let host = facts.discovery.outcome.as_mut().unwrap();
            host.date = Some(facts.now.as_second() + host_ahead);
            the(&facts, "token-time")
        };
        let now = healthy().now.as_second();
        let future = judged((now + skew + 100).into(), 0);
        assert_eq!(future.verdict, Failure, "{claim}");
        let expected = format!("{} s in the future", skew + 100);
        assert!(future.message.starts_with(claim), "{}", future.message);
        assert!(future.message.ends_with(&expected), "{}", future.message);
        assert_eq!(future.sts, Some(StsAnswer::VerificationKey));
        // Within what clocks may differ, and where one of the two clocks takes it.
        for (ahead, host_ahead) in [(skew, 0), (skew + 100, 100), (skew + 100, 200)] {
            let check = judged((now + ahead).into(), host_ahead);
            assert_eq!(check.verdict, Verdict::Ok, "{claim} {ahead} {host_ahead}");
        }
        for no_time in [json!("noon"), json!(true), json!([])] {
            let check = judged(no_time, 0);
            assert_eq!(check.message, format!("{claim} is no time"));
            assert_eq!(check.sts, Some(StsAnswer::Claim));
        }
    }
}
