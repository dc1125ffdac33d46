//! Every vector of the upstream webhook, compared as applied pods and as paths of operations.

use serde_json::{Value, json};

use super::*;
use crate::decision::{Known, decide};
use crate::identity::Identity;

const R: &str = "arn:aws:iam::111122223333:role/s3-reader";
const RC: &str = "arn:aws-cn:iam::111122223333:role/s3-reader";
const M: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount";

fn volume(audience: &str, seconds: i64) -> Value {
    named_volume("aws-iam-token", audience, seconds, "token")
}

fn named_volume(name: &str, audience: &str, seconds: i64, path: &str) -> Value {
    json!({"name": name, "projected": {"sources": [{"serviceAccountToken":
        {"audience": audience, "expirationSeconds": seconds, "path": path}}]}})
}

fn mount() -> Value {
    json!({"name": "aws-iam-token", "readOnly": true, "mountPath": M})
}

fn var(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

fn role_env(role: &str) -> Vec<Value> {
    let file = format!("{M}/token");
    vec![
        var("AWS_ROLE_ARN", role),
        var("AWS_WEB_IDENTITY_TOKEN_FILE", &file),
    ]
}

fn region(name: &str) -> Vec<Value> {
    vec![var("AWS_DEFAULT_REGION", name), var("AWS_REGION", name)]
}

fn sts() -> Vec<Value> {
    vec![var("AWS_STS_REGIONAL_ENDPOINTS", "regional")]
}

fn container(more: Value) -> Value {
    merged(
        json!({"name": "balajilovesoreos", "image": "amazonlinux"}),
        more,
    )
}

fn merged(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else {
        panic!("an object")
    };
    base.as_object_mut().unwrap().extend(more);
    base
}

fn pod(spec: Value) -> Value {
    let base = json!({"serviceAccountName": "default", "containers": [container(json!({}))]});
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "balajilovesoreos", "uid": "be8695c4-4ad0-4038-8786-c508853aa255"},
        "spec": merged(base, spec)})
}

fn annotated(mut pod: Value, name: &str, value: &str) -> Value {
    pod["metadata"]["annotations"] = json!({ format!("eks.amazonaws.com/{name}"): value });
    pod
}

/// How the webhook is set up, and what the service account says.
struct Setup {
    settings: Settings,
    account: Vec<(&'static str, String)>,
    associated: bool,
}

impl Setup {
    fn role(role: &str) -> Self {
        Self {
            settings: Settings::default(),
            account: vec![("role-arn", role.to_owned())],
            associated: false,
        }
    }

    fn agent(account: &[(&'static str, &str)]) -> Self {
        let settings = Settings {
            container_credentials: crate::settings::ContainerCredentials {
                audience: "A".into(),
                mount_path: "/cc".into(),
                volume_name: "V".into(),
                token_path: "T".into(),
                full_uri: "U".into(),
            },
            ..Settings::default()
        };
        let account = account
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        Self {
            settings,
            account: account.collect(),
            associated: true,
        }
    }

    fn region(mut self, region: &str) -> Self {
        self.settings.default_region = Some(region.into());
        self
    }

    fn sts(mut self) -> Self {
        self.settings.regional_sts = true;
        self
    }

    fn expiration(mut self, seconds: i64) -> Self {
        self.settings.set_token_expiration(seconds);
        self
    }

    fn account(mut self, name: &'static str, value: &str) -> Self {
        self.account.push((name, value.into()));
        self
    }

    fn keep_foreign(mut self) -> Self {
        self.settings.foreign_volume = ForeignVolume::Keep;
        self
    }

    fn patch(&self, pod: &Value) -> Patch {
        let text = pod.to_string();
        let view: Pod<'_> = serde_json::from_str(&text).unwrap();
        let keys: Vec<_> = self
            .account
            .iter()
            .map(|(name, value)| (format!("eks.amazonaws.com/{name}"), value))
            .collect();
        let identity = Identity::from_annotations(
            "eks.amazonaws.com",
            keys.iter()
                .map(|(key, value)| (key.as_str(), value.as_str())),
        );
        let known = Known {
            associated: self.associated,
            identity: Some(&identity),
            ..Known::default()
        };
        let wish = view.annotation("eks.amazonaws.com/token-expiration");
        let wish = wish.and_then(crate::identity::parse_expiration);
        let injection = decide(&self.settings, known, wish, 0).unwrap();
        build(&self.settings, &view, &injection)
    }

    /// The pod with the patch applied, the paths, and the notes.
    fn apply(&self, pod: &Value) -> (Value, Vec<String>, Patch) {
        let patch = self.patch(pod);
        let json = serde_json::to_value(&patch.operations).unwrap();
        let operations: json_patch::Patch = serde_json::from_value(json).unwrap();
        let mut applied = pod.clone();
        json_patch::patch(&mut applied, &operations).unwrap();
        // D15: our own output, seen again, is left alone.
        assert_eq!(self.patch(&applied).operations, [], "a second pass");
        let paths = patch.operations.iter().map(|it| it.path.clone()).collect();
        (applied, paths, patch)
    }
}

/// Vector, set-up, pod, volumes expected, containers expected, init containers expected.
fn check(
    id: &str,
    setup: &Setup,
    pod: &Value,
    volumes: &[Value],
    containers: &[Value],
) -> Vec<String> {
    let (applied, paths, _) = setup.apply(pod);
    let mut expected = pod.clone();
    expected["spec"]["volumes"] = json!(volumes);
    expected["spec"]["containers"] = json!(containers);
    if setup.associated {
        expected["metadata"]["labels"]["eks.amazonaws.com/pod-identity"] = json!("enabled");
    }
    assert_eq!(applied, expected, "{id}");
    paths
}

fn full(env: &[Vec<Value>]) -> Value {
    container(json!({"env": env.concat(), "volumeMounts": [mount()]}))
}

#[test]
fn w1_w2_volumes() {
    let paths = check(
        "W1",
        &Setup::role(R),
        &pod(json!({})),
        &[volume("sts.amazonaws.com", 86_400)],
        &[full(&[role_env(R)])],
    );
    let env = [
        "/spec/volumes",
        "/spec/containers/0/env",
        "/spec/containers/0/volumeMounts",
    ];
    assert_eq!(paths, env);

    let mine = json!({"name": "my-volume", "emptyDir": {}});
    let paths = check(
        "W2",
        &Setup::role(R),
        &pod(json!({"volumes": [mine]})),
        &[volume("sts.amazonaws.com", 86_400), mine.clone()],
        &[full(&[role_env(R)])],
    );
    assert_eq!(paths[0], "/spec/volumes/0");
}

/// W3 and C3. Upstream adds variables for a token that the volume does not hold. Decision: with
/// `--foreign-volume keep` as upstream; by default the pod is left alone and the reason is said.
#[test]
fn w3_c3_a_foreign_volume_of_our_name() {
    let foreign = json!({"name": "aws-iam-token", "hostPath": {"path": "/x"}});
    let bare = json!({"name": "aws-iam-token"});
    let given = pod(json!({"volumes": [foreign],
        "containers": [container(json!({"volumeMounts": [bare]}))]}));
    let paths = check(
        "W3",
        &Setup::role(R).keep_foreign(),
        &given,
        std::slice::from_ref(&foreign),
        &[container(
            json!({"env": role_env(R), "volumeMounts": [bare]}),
        )],
    );
    assert_eq!(paths, ["/spec/containers/0/env"]);
    let (applied, _, patch) = Setup::role(R).apply(&given);
    assert_eq!(applied, given);
    assert_eq!(patch.notes[0].reason(), "TokenVolumeTaken");

    let foreign = json!({"name": "V", "hostPath": {"path": "/x"}});
    let elsewhere = json!({"name": "V", "mountPath": "/some/other/path"});
    let given = pod(json!({"volumes": [foreign],
        "containers": [container(json!({"volumeMounts": [elsewhere]}))]}));
    let env = vec![
        var("AWS_CONTAINER_CREDENTIALS_FULL_URI", "U"),
        var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/cc/T"),
    ];
    let paths = check(
        "C3",
        &Setup::agent(&[]).keep_foreign(),
        &given,
        std::slice::from_ref(&foreign),
        &[container(json!({"env": env, "volumeMounts": [elsewhere]}))],
    );
    assert_eq!(paths, ["/metadata/labels", "/spec/containers/0/env"]);
    let (applied, ..) = Setup::agent(&[]).apply(&given);
    assert_eq!(applied, given);
}

#[test]
fn w4_to_w8_region_and_sts() {
    let day = [volume("sts.amazonaws.com", 86_400)];
    let paris = vec![var("AWS_REGION", "paris")];
    let with = |env: &[Value]| pod(json!({"containers": [container(json!({"env": env}))]}));
    let paths = check(
        "W4",
        &Setup::role(R),
        &with(&paris),
        &day,
        &[full(&[paris, role_env(R)])],
    );
    assert_eq!(
        paths,
        [
            "/spec/volumes",
            "/spec/containers/0/env/-",
            "/spec/containers/0/env/-",
            "/spec/containers/0/volumeMounts"
        ]
    );
    let expected = [full(&[region("seattle"), role_env(R)])];
    check(
        "W5",
        &Setup::role(R).region("seattle"),
        &pod(json!({})),
        &day,
        &expected,
    );

    let given = pod(json!({"initContainers": [container(json!({}))]}));
    let (applied, paths, _) = Setup::role(R).region("seattle").apply(&given);
    assert_eq!(applied["spec"]["containers"], json!(expected), "W6");
    assert_eq!(applied["spec"]["initContainers"], json!(expected), "W6");
    assert_eq!(
        paths,
        [
            "/spec/volumes",
            "/spec/containers/0/env",
            "/spec/containers/0/volumeMounts",
            "/spec/initContainers/0/env",
            "/spec/initContainers/0/volumeMounts"
        ]
    );

    let cn = || Setup::role(RC).region("cn-north-1").sts();
    let expected = [full(&[sts(), region("cn-north-1"), role_env(RC)])];
    check("W7", &cn(), &pod(json!({})), &day, &expected);
    let own = [vec![var("AWS_REGION", "cn-northwest-1")], sts()].concat();
    let expected = [full(&[own.clone(), role_env(RC)])];
    check("W8", &cn(), &with(&own), &day, &expected);

    let with_all = [own.clone(), vec![var("AWS_ROLE_ARN", RC)]].concat();
    let given = with(&with_all);
    let hour = [volume("sts.amazonaws.com", 3_600)];
    let untouched = [container(json!({"env": with_all}))];
    let paths = check("W9", &cn().expiration(3_600), &given, &hour, &untouched);
    assert_eq!(paths, ["/spec/volumes"]);
    let (_, _, patch) = cn().apply(&given);
    assert_eq!(
        patch.notes[0].reason(),
        "CredentialsHalfDefined",
        "W9 is said"
    );

    for (id, wish, seconds) in [
        ("W10", "3600", 3_600),
        ("W11", "0", 600),
        ("none", "x", 86_400),
    ] {
        let given = annotated(with(&own), "token-expiration", wish);
        let volumes = [volume("sts.amazonaws.com", seconds)];
        check(id, &cn(), &given, &volumes, &expected);
    }
    let setup = Setup::role(R)
        .sts()
        .region("us-east-1")
        .account("sts-regional-endpoints", "false");
    let expected = [full(&[region("us-east-1"), role_env(R)])];
    check("W12", &setup, &pod(json!({})), &day, &expected);
}

#[test]
fn w13_skipped_containers_and_halves() {
    let sidecar = json!({"name": "sidecar", "image": "amazonlinux"});
    let own = var("AWS_ROLE_ARN", "already-defined");
    let main = json!({"name": "main", "image": "amazonlinux", "env": [own]});
    let given = annotated(
        pod(json!({"containers": [sidecar, main]})),
        "skip-containers",
        "sidecar",
    );
    let env = [vec![own.clone()], region("us-west-2")].concat();
    let main =
        json!({"name": "main", "image": "amazonlinux", "env": env, "volumeMounts": [mount()]});
    let setup = Setup::role(R).region("us-west-2");
    let day = [volume("sts.amazonaws.com", 86_400)];
    check("W13", &setup, &given, &day, &[sidecar, main]);
    let (_, _, patch) = setup.apply(&given);
    assert_eq!(patch.containers[0].1, Fate::Skipped);
    assert!(
        matches!(&patch.notes[0], Note::HalfDefined { container, missing }
        if container == "main" && *missing == "AWS_WEB_IDENTITY_TOKEN_FILE")
    );
}

#[path = "injection_decided_tests.rs"]
mod decided;
