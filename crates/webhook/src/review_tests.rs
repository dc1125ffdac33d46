//! The protocol, from bytes to bytes.

use serde_json::{Value, json};

use super::*;
use crate::identity::Identity;

const R: &str = "arn:aws:iam::111122223333:role/s3-reader";

fn identity() -> Identity {
    let annotations = [
        ("eks.amazonaws.com/role-arn", R),
        ("eks.amazonaws.com/token-expiration", "3600"),
    ];
    Identity::from_annotations("eks.amazonaws.com", annotations)
}

fn request(more: &Value) -> Value {
    let mut review = json!({"request": {
        "uid": "918ef1dc-928f-4525-99ef-988389f263c3",
        "namespace": "default",
        "operation": "CREATE",
        "object": {"metadata": {"name": "p"}, "spec": {"serviceAccountName": "sa", "containers": [{"name": "c"}]}},
    }});
    merge(&mut review, more);
    review
}

fn merge(base: &mut Value, more: &Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, more) => *base = more.clone(),
    }
}

fn answer(review: &Value, identity: Option<&Identity>, demand: Demand) -> (Value, Vec<Note>) {
    let bytes = review.to_string().into_bytes();
    let known = Known {
        identity,
        ..Known::default()
    };
    let answer = Review::parse(&bytes).unwrap().answer(
        &Settings::default(),
        Finding::Known(known),
        demand,
        0,
    );
    (serde_json::from_slice(&answer.body).unwrap(), answer.notes)
}

fn operations(body: &Value) -> Value {
    let patch = body["response"]["patch"].as_str().unwrap();
    serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap()
}

fn refused(body: &[u8]) -> Value {
    serde_json::from_slice(&Review::parse(body).unwrap_err().body()).unwrap()
}

#[test]
fn h1_h2_h4_what_is_no_review_is_refused_in_upstreams_form() {
    let bad_content = json!({"response": {"uid": "", "allowed": false,
        "status": {"metadata": {}, "message": "bad content"}}});
    assert_eq!(refused(b""), bad_content);
    assert_eq!(refused(b"null"), bad_content);
    assert_eq!(refused(b"{}"), bad_content);
    assert_eq!(
        refused(br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}"#),
        bad_content
    );
    for cut in [&b"{\"request\":{"[..], b"[]", b"\xff", b"{\"request\":1}"] {
        assert_eq!(refused(cut)["response"]["allowed"], false);
    }
}

/// H5. Decision: HTTP 400 with the request's uid, and nothing of the object in the message.
#[test]
fn h5_an_object_that_is_no_pod() {
    let review = request(&json!({"request": {"object": "hunter2"}}));
    let body = refused(review.to_string().as_bytes());
    assert_eq!(
        body["response"]["uid"],
        "918ef1dc-928f-4525-99ef-988389f263c3"
    );
    assert!(!body.to_string().contains("hunter2"), "{body}");
    for spec in [
        json!([]),
        json!({"containers": [null]}),
        json!({"containers": [[]]}),
    ] {
        let review = request(&json!({"request": {"object": {"spec": spec}}}));
        assert!(Review::parse(review.to_string().as_bytes()).is_err());
    }
}

#[test]
fn h6_h7_d20_the_answer_repeats_type_and_uid() {
    for version in [
        None,
        Some("admission.k8s.io/v1"),
        Some("admission.k8s.io/v1beta1"),
    ] {
        let mut review = request(&json!({}));
        if let Some(version) = version {
            merge(
                &mut review,
                &json!({"apiVersion": version, "kind": "AdmissionReview"}),
            );
        }
        let (body, notes) = answer(&review, Some(&identity()), Demand::Optional);
        assert_eq!(body.get("apiVersion").and_then(Value::as_str), version);
        assert_eq!(body.get("kind").is_some(), version.is_some());
        let response = &body["response"];
        assert_eq!(response["uid"], "918ef1dc-928f-4525-99ef-988389f263c3");
        assert_eq!(response["allowed"], true);
        assert_eq!(response["patchType"], "JSONPatch");
        assert_eq!(response.get("warnings"), None);
        assert_eq!(notes, []);
        let token = &operations(&body)[0]["value"][0]["projected"]["sources"][0];
        assert_eq!(token["serviceAccountToken"]["expirationSeconds"], 3_600);
    }
}

#[test]
fn h8_an_unknown_service_account_is_allowed_and_said() {
    let (body, notes) = answer(&request(&json!({})), None, Demand::Optional);
    assert_eq!(body["response"]["allowed"], true);
    assert_eq!(body["response"].get("patch"), None);
    assert_eq!(notes, [Note::NoSuchAccount]);
    assert!(
        body["response"]["warnings"][0]
            .as_str()
            .unwrap()
            .contains("does not exist")
    );
}

#[test]
fn a_service_account_without_role_is_nothing_to_speak_of() {
    let bare = Identity::default();
    let (body, notes) = answer(&request(&json!({})), Some(&bare), Demand::Optional);
    assert_eq!(
        body["response"],
        json!({"uid": "918ef1dc-928f-4525-99ef-988389f263c3", "allowed": true})
    );
    assert_eq!(notes, []);
}

/// D4. Upstream counts a miss. Decision: allowed without a look-up; the API server has always filled the name in.
#[test]
fn d4_no_service_account_name() {
    let review = request(&json!({"request": {"object": {"spec": {"serviceAccountName": ""}}}}));
    let text = review.to_string();
    let parsed = Review::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.service_account(), None);
    let (body, notes) = answer(&review, Some(&identity()), Demand::Optional);
    assert_eq!(body["response"].get("patch"), None);
    assert_eq!(notes, []);
}

/// The name goes into the path of a request to the API server.
#[test]
fn what_is_no_name_is_looked_up_nowhere() {
    for (namespace, name) in [
        ("default", "../secrets/a"),
        ("default", "a/b"),
        ("default", "a?b=c"),
        ("default", "A"),
        ("a/b", "sa"),
        ("..", "sa"),
        ("", "sa"),
    ] {
        let more =
            json!({"namespace": namespace, "object": {"spec": {"serviceAccountName": name}}});
        let review = request(&json!({ "request": more }));
        let text = review.to_string();
        let parsed = Review::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed.service_account(), None, "{namespace}/{name}");
        let (body, _) = answer(&review, Some(&identity()), Demand::Optional);
        assert_eq!(body["response"].get("patch"), None, "{namespace}/{name}");
    }
}

/// D5: the namespace is that of the request.
#[test]
fn d5_the_namespace_of_the_request_wins() {
    let review =
        request(&json!({"request": {"object": {"metadata": {"namespace": "kube-system"}}}}));
    let text = review.to_string();
    let parsed = Review::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.service_account(), Some(("default", "sa")));
}

/// Upstream patches whatever it is sent. Decision: only pods that are being created; their containers cannot change
/// later, and a patch on an update would have the API server refuse it.
#[test]
fn only_the_creation_of_pods_is_patched() {
    for other in [
        json!({"operation": "UPDATE"}),
        json!({"operation": "DELETE", "object": null}),
        json!({"subResource": "ephemeralcontainers"}),
        json!({"resource": {"group": "apps", "version": "v1", "resource": "deployments"}}),
        json!({"resource": {"group": "", "version": "v1", "resource": "services"}}),
    ] {
        let review = request(&json!({ "request": other }));
        let (body, notes) = answer(&review, Some(&identity()), Demand::Required);
        assert_eq!(
            body["response"],
            json!({"uid": "918ef1dc-928f-4525-99ef-988389f263c3", "allowed": true}),
            "{other}"
        );
        assert_eq!(notes, []);
    }
    let pods = json!({"resource": {"group": "", "version": "v1", "resource": "pods"}});
    let (body, _) = answer(
        &request(&json!({ "request": pods })),
        Some(&identity()),
        Demand::Optional,
    );
    assert_eq!(body["response"]["patchType"], "JSONPatch");
}

#[test]
fn a_pod_that_requires_its_role_is_denied_without() {
    let denied = |body: &Value| {
        let status = &body["response"]["status"];
        assert_eq!(body["response"]["allowed"], false);
        assert_eq!(body["response"].get("patch"), None);
        assert_eq!(
            (&status["reason"], &status["code"]),
            (&json!("Forbidden"), &json!(403))
        );
        status["message"].as_str().unwrap().to_owned()
    };
    let bare = Identity::default();
    let (body, _) = answer(&request(&json!({})), Some(&bare), Demand::Required);
    assert!(denied(&body).contains("irsa/require-role"));
    let (body, _) = answer(&request(&json!({})), None, Demand::Required);
    assert!(denied(&body).contains("does not exist"));
    let volume = json!({"request": {"object": {"spec": {"volumes": [{"name": "aws-iam-token", "emptyDir": {}}]}}}});
    let (body, _) = answer(&request(&volume), Some(&identity()), Demand::Required);
    assert!(denied(&body).contains("aws-iam-token"));
    let (body, _) = answer(&request(&json!({})), Some(&identity()), Demand::Required);
    assert_eq!(body["response"]["allowed"], true);
}

#[test]
fn a_service_account_that_cannot_be_read_is_said() {
    let review = request(&json!({"request": {"dryRun": true}})).to_string();
    let parsed = Review::parse(review.as_bytes()).unwrap();
    assert!(parsed.is_dry_run());
    let finding = Finding::Unknown("no answer within 1 s");
    let answer = parsed.answer(&Settings::default(), finding, Demand::Optional, 0);
    assert_eq!(answer.verdict, Verdict::NoRole);
    assert_eq!(answer.notes[0].reason(), "ServiceAccountUnknown");
}

#[test]
fn a_warning_stays_on_its_line_and_is_short() {
    let long = "x".repeat(1_000);
    let name = format!("a\n\u{1b}[31m{long}");
    let identity = Identity::from_annotations(
        "eks.amazonaws.com",
        [("eks.amazonaws.com/role-arn", name.as_str())],
    );
    let (body, _) = answer(&request(&json!({})), Some(&identity), Demand::Optional);
    let warning = body["response"]["warnings"][0].as_str().unwrap();
    assert!(warning.contains("a\\n\\u{1b}[31m"), "{warning}");
    assert!(warning.len() < 300);
}

/// D21: the size of the body is no reason to fail.
#[test]
fn d21_a_pod_of_two_megabytes() {
    let env: Vec<_> = (0..20_000)
        .map(|n| json!({"name": format!("VARIABLE_{n}"), "value": "x".repeat(64)}))
        .collect();
    let review = request(
        &json!({"request": {"object": {"spec": {"containers": [{"name": "c", "env": env}]}}}}),
    );
    assert!(review.to_string().len() > 2_000_000);
    let (body, _) = answer(&review, Some(&identity()), Demand::Optional);
    let operations = operations(&body);
    assert_eq!(operations[1]["path"], "/spec/containers/0/env/-");
    assert_eq!(operations.as_array().unwrap().len(), 4);
}

#[test]
fn text_with_escapes_is_read_as_text() {
    let review = br#"{"request":{"uid":"\u0061","namespace":"d","object":{"metadata":{"annotations":{"k":null}},
        "spec":{"serviceAccountName":"s\u0061","containers":[{"name":"\u0063"}],"volumes":[null]}}}}"#;
    let parsed = Review::parse(review).unwrap();
    assert_eq!(parsed.service_account(), Some(("d", "sa")));
    assert_eq!(parsed.pod().unwrap().annotation("k"), Some(""));
}

#[test]
fn a_uid_that_no_api_server_makes_comes_back_nowhere() {
    for uid in [
        "u\u{1b}[2J\u{9b}\nFORGED INFO\u{202e}",
        &"u".repeat(MAX_UID + 1),
        "a b",
    ] {
        let more = json!({"request": {"uid": uid, "object": {"spec": 5}}});
        let review = request(&more).to_string();
        let error = Review::parse(review.as_bytes()).unwrap_err();
        assert!(matches!(error, Malformed::Uid), "{error}");
        let body = String::from_utf8(error.body()).unwrap();
        assert!(
            !error.to_string().contains(uid) && !body.contains("FORGED"),
            "{body}"
        );
        assert!(body.len() < 1_000);
    }
    let longest = json!({"request": {"uid": "u".repeat(MAX_UID)}});
    assert!(Review::parse(request(&longest).to_string().as_bytes()).is_ok());
}
