//! The vectors about fields that nobody knows, Windows and the container credentials mode, and those that upstream has
//! none of, with our decision beside each.

use super::*;

/// D3. The list is CSV and nothing is trimmed. Decision: kept; a name that fits no container is said.
#[test]
fn d3_skip_lists() {
    let two = [json!({"name": "a"}), json!({"name": "b"})];
    for (list, skipped, notes) in [
        ("a, b", [true, false], 1),
        ("", [false, false], 0),
        ("\"a\",b", [true, true], 0),
        ("a\"", [false, false], 1),
    ] {
        let given = annotated(pod(json!({"containers": two})), "skip-containers", list);
        let (_, _, patch) = Setup::role(R).apply(&given);
        let fates = patch
            .containers
            .iter()
            .map(|(_, fate)| *fate == Fate::Skipped);
        assert_eq!(fates.collect::<Vec<_>>(), skipped, "{list}");
        assert_eq!(patch.notes.len(), notes, "{list}");
    }
}

/// W14 to W16 and D6: what we do not know survives, byte for byte.
#[test]
fn w14_w15_w16_d6_unknown_fields_survive() {
    let odd = json!({"readinessProbe": {"grpc": {"port": 5000}}, "restartPolicy": "Always",
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "fieldOfTheYear2040": {"deep": [1.5, null, {"x": "\u{1f600}"}]}, "env": null});
    let given = pod(json!({
        "containers": [container(odd.clone())],
        "initContainers": [
            {"name": "initcontainer", "image": "amazonlinux"},
            merged(json!({"name": "native-sidecar"}), odd.clone())],
        "futureSpecField": {"a": 1}}));
    let (applied, ..) = Setup::role(R).region("us-west-2").apply(&given);
    let env = json!([region("us-west-2"), role_env(R)].concat());
    let mut expected = given.clone();
    expected["spec"]["volumes"] = json!([volume("sts.amazonaws.com", 86_400)]);
    for at in [
        "/spec/containers/0",
        "/spec/initContainers/0",
        "/spec/initContainers/1",
    ] {
        expected.pointer_mut(at).unwrap()["env"] = env.clone();
        expected.pointer_mut(at).unwrap()["volumeMounts"] = json!([mount()]);
    }
    assert_eq!(applied, expected);
}

#[test]
fn w17_w18_windows() {
    for key in ["kubernetes.io/os", "beta.kubernetes.io/os"] {
        let given = pod(json!({"nodeSelector": {key: "windows"}}));
        let file = r"C:\var\run\secrets\eks.amazonaws.com\serviceaccount\token";
        let env = vec![
            var("AWS_ROLE_ARN", R),
            var("AWS_WEB_IDENTITY_TOKEN_FILE", file),
        ];
        let day = [volume("sts.amazonaws.com", 86_400)];
        check("W17/W18", &Setup::role(R), &given, &day, &[full(&[env])]);
    }
}

fn agent_env() -> Vec<Value> {
    vec![
        var("AWS_CONTAINER_CREDENTIALS_FULL_URI", "U"),
        var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/cc/T"),
    ]
}

fn agent_mount() -> Value {
    json!({"name": "V", "readOnly": true, "mountPath": "/cc"})
}

#[test]
fn c1_c4_c5_c6_the_container_credentials_mode() {
    let needs_all = [
        ("token-expiration", "10000"),
        ("sts-regional-endpoints", "true"),
    ];
    let with_role = [needs_all.as_slice(), &[("role-arn", R)]].concat();
    for (id, account) in [("C1", needs_all.as_slice()), ("C4", &with_role)] {
        let env = [sts(), region("cn-north-1"), agent_env()].concat();
        let expected = container(json!({"env": env, "volumeMounts": [agent_mount()]}));
        let setup = Setup::agent(account).region("cn-north-1");
        let volumes = [named_volume("V", "A", 10_000, "T")];
        let paths = check(id, &setup, &pod(json!({})), &volumes, &[expected]);
        assert_eq!(paths[..2], ["/metadata/labels", "/spec/volumes"], "{id}");
    }
    let expected = container(json!({"env": agent_env(), "volumeMounts": [agent_mount()]}));
    let mine = json!({"name": "my-volume", "emptyDir": {}});
    let token = named_volume("V", "A", 79_200, "T");
    let paths = check(
        "C5",
        &Setup::agent(&[]),
        &pod(json!({"volumes": [mine]})),
        &[token.clone(), mine.clone()],
        std::slice::from_ref(&expected),
    );
    assert_eq!(paths[..2], ["/metadata/labels", "/spec/volumes/0"]);
    check(
        "C6",
        &Setup::agent(&[]),
        &pod(json!({})),
        &[token],
        &[expected],
    );
}

#[test]
fn c2_skipped_containers_in_the_container_credentials_mode() {
    let sidecar = json!({"name": "sidecar", "image": "amazonlinux"});
    let given = pod(json!({"containers": [sidecar, container(json!({}))]}));
    let given = annotated(given, "skip-containers", "sidecar");
    let expected = container(json!({"env": agent_env(), "volumeMounts": [agent_mount()]}));
    let volumes = [named_volume("V", "A", 79_200, "T")];
    check(
        "C2",
        &Setup::agent(&[]),
        &given,
        &volumes,
        &[sidecar, expected],
    );
}

/// D1, D2: what is there and empty is added to, not replaced.
#[test]
fn d1_d2_empty_lists_and_maps() {
    let mut given = pod(json!({"volumes": []}));
    given["metadata"]["labels"] = json!({});
    let (applied, paths, _) = Setup::agent(&[]).apply(&given);
    assert_eq!(
        paths[..2],
        [
            "/metadata/labels/eks.amazonaws.com~1pod-identity",
            "/spec/volumes/0"
        ]
    );
    assert_eq!(
        applied["metadata"]["labels"],
        json!({"eks.amazonaws.com/pod-identity": "enabled"})
    );
    // Found by the fuzzer: no metadata at all.
    given.as_object_mut().unwrap().remove("metadata");
    let (applied, paths, _) = Setup::agent(&[]).apply(&given);
    assert_eq!(paths[0], "/metadata");
    assert_eq!(
        applied["metadata"],
        json!({"labels": {"eks.amazonaws.com/pod-identity": "enabled"}})
    );
    let given = pod(json!({"containers": [container(json!({"env": [], "volumeMounts": []}))]}));
    let (applied, paths, _) = Setup::role(R).apply(&given);
    assert_eq!(paths[3], "/spec/containers/0/volumeMounts/-");
    assert_eq!(applied["spec"]["containers"][0]["env"], json!(role_env(R)));
}

/// D15: the API server may call again after other webhooks. A sidecar that came in between is injected, the rest
/// stays. The second pass over our own output is checked for every vector in `Setup::apply`.
#[test]
fn d15_reinvocation_injects_what_came_later() {
    let (mut pod, ..) = Setup::role(R).apply(&pod(json!({})));
    pod["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "sidecar"}));
    let (applied, paths, _) = Setup::role(R).apply(&pod);
    assert_eq!(
        paths,
        ["/spec/containers/1/env", "/spec/containers/1/volumeMounts"]
    );
    assert_eq!(
        applied["spec"]["containers"][0],
        pod["spec"]["containers"][0]
    );
}

/// D16. Upstream produces a pod that the API server refuses. Decision: that container is left alone and it is said.
#[test]
fn d16_something_else_is_mounted_where_the_token_belongs() {
    for path in [M.to_owned(), format!("{M}/"), format!("{M}/.")] {
        let taken = json!({"name": "other", "volumeMounts": [{"name": "mine", "mountPath": path}]});
        let given = pod(json!({"containers": [container(json!({})), taken]}));
        let (applied, _, patch) = Setup::role(R).apply(&given);
        assert_eq!(applied["spec"]["containers"][1], taken);
        assert_eq!(applied["spec"]["containers"][0], full(&[role_env(R)]));
        assert!(
            matches!(&patch.notes[..], [Note::MountPathTaken { container, volume, .. }]
            if container == "other" && volume == "mine")
        );
        let alone = json!({"spec": {"serviceAccountName": "a", "containers": [taken]}});
        let (applied, ..) = Setup::role(R).apply(&alone);
        assert_eq!(applied, alone, "no volume that nobody mounts");
    }
}

/// D17. Decision: upstream's later semantics (its pull request 316) by default.
#[test]
fn d17_a_volume_of_our_name_with_another_audience_and_with_ours() {
    let given = pod(json!({"volumes": [volume("vault", 3_600)]}));
    let (applied, _, patch) = Setup::role(R).apply(&given);
    assert_eq!(applied, given);
    assert_eq!(patch.operations, []);
    assert_eq!(patch.notes[0].reason(), "TokenVolumeTaken");

    let ours = volume("sts.amazonaws.com", 3_600);
    let given = pod(json!({"volumes": [ours]}));
    check(
        "D17",
        &Setup::role(R),
        &given,
        &[ours],
        &[full(&[role_env(R)])],
    );
}

/// D19: the slash stays in the mount and is cleaned from the variable.
#[test]
fn d19_a_mount_path_with_trailing_slash() {
    let mut setup = Setup::role(R);
    setup.settings.mount_path = "/token/".into();
    let (applied, ..) = setup.apply(&pod(json!({})));
    let container = &applied["spec"]["containers"][0];
    assert_eq!(container["volumeMounts"][0]["mountPath"], "/token/");
    assert_eq!(container["env"][1]["value"], "/token/token");
    for (path, expected) in [
        ("/a//b/../c/./", "/a/c"),
        ("/..", "/"),
        ("a/..", "."),
        ("../a", "../a"),
    ] {
        assert_eq!(clean(path), expected);
    }
}

#[test]
fn an_empty_audience_is_left_out() {
    let setup = Setup::role(R).account("audience", "");
    let (applied, ..) = setup.apply(&pod(json!({})));
    let source = &applied["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(
        *source,
        json!({"expirationSeconds": 86_400, "path": "token"})
    );
}
