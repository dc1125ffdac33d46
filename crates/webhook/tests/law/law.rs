//! The law of reviews: whatever comes in, the patch applies, a second pass changes nothing, and nothing is lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use irsa_webhook::decision::Known;
use irsa_webhook::identity::Identity;
use irsa_webhook::review::{Demand, Finding, Review};
use irsa_webhook::settings::{CONTAINER_CREDENTIALS_LABEL, ForeignVolume, Settings};
use serde_json::Value;

/// Panics when a body breaks the law.
pub(crate) fn holds(body: &[u8]) {
    // The set-up comes from the length, so that a seed is a review and nothing else.
    let entropy = body.len() as u64;
    let [associated, keep, required] = [1, 2, 4].map(|bit| body.len() & bit != 0);
    let Ok(review) = Review::parse(body) else {
        let error = Review::parse(body).expect_err("the same again");
        serde_json::from_slice::<Value>(&error.body()).expect("a refusal is JSON");
        return;
    };
    let mut settings = Settings::default();
    settings.default_region = Some("eu-central-1".into());
    settings.regional_sts = true;
    if keep {
        settings.foreign_volume = ForeignVolume::Keep;
    }
    let annotations = [(
        "eks.amazonaws.com/role-arn",
        "arn:aws:iam::111122223333:role/r",
    )];
    let identity = Identity::from_annotations("eks.amazonaws.com", annotations);
    let known = Known {
        associated,
        identity: Some(&identity),
        ..Known::default()
    };
    let demand = if required {
        Demand::Required
    } else {
        Demand::Optional
    };
    let operations = |body: &[u8]| -> (Value, Option<json_patch::Patch>) {
        let review = Review::parse(body).expect("a review");
        let answer = review.answer(&settings, Finding::Known(known), demand, entropy);
        let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let patch = answer["response"]["patch"].as_str().map(|text| {
            let json = STANDARD.decode(text).expect("base64");
            serde_json::from_slice(&json).expect("a patch")
        });
        (answer, patch)
    };
    let (answer, patch) = operations(body);
    let warnings = answer["response"]["warnings"].as_array();
    for warning in warnings.into_iter().flatten() {
        assert!(
            warning
                .as_str()
                .is_some_and(|text| !text.contains(char::is_control))
        );
    }
    let Some(patch) = patch else { return };
    assert_eq!(answer["response"]["allowed"], true);
    // A Value keeps only the last of two members of one name; what it cannot show cannot be compared.
    let Ok(mut whole) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    if Review::parse(whole.to_string().as_bytes())
        .map(|it| it.pod().cloned())
        .ok()
        != Some(review.pod().cloned())
    {
        return;
    }
    let before = whole["request"]["object"].clone();
    json_patch::patch(&mut whole["request"]["object"], &patch).expect("the patch applies");
    assert!(
        kept(&before, &whole["request"]["object"]),
        "something is lost"
    );
    let (_, again) = operations(whole.to_string().as_bytes());
    assert!(again.is_none(), "a second pass");
}

/// Whether everything that was there is there, in the same order.
fn kept(before: &Value, after: &Value) -> bool {
    match (before, after) {
        // An absent list and null are the same to Kubernetes.
        (Value::Null, _) => true,
        (Value::Object(before), Value::Object(after)) => before.iter().all(|(key, value)| {
            let found = after.get(key);
            // The label is the one value that is replaced.
            found.is_some_and(|found| {
                kept(value, found) || (key == CONTAINER_CREDENTIALS_LABEL && found == "enabled")
            })
        }),
        (Value::Array(before), Value::Array(after)) => {
            let mut rest = after.iter();
            before
                .iter()
                .all(|value| rest.any(|found| kept(value, found)))
        }
        (before, after) => before == after,
    }
}
