use serde_json::json;

use super::*;
use crate::edit;

fn change(flag: Flag, after: &[&str]) -> FlagChange {
    FlagChange {
        flag,
        before: Vec::new(),
        after: after.iter().map(|value| (*value).to_owned()).collect(),
    }
}

fn apply(shape: &Shape, document: &Value, change: &FlagChange) -> Value {
    let edits = shape.edits(0, document, change).unwrap();
    let after = edit::apply(std::slice::from_ref(document), &edits).unwrap();
    let read = shape.flags(&after[0]).unwrap();
    assert_eq!(read.values(change.flag), change.after, "{shape:?}");
    after.into_iter().next().unwrap()
}

fn pod() -> Shape {
    Shape::Arguments {
        lists: vec![Path::keys(["command"]), Path::keys(["args"])],
        prefix: "--",
    }
}

#[test]
fn arguments_of_both_forms_are_read_and_kept() {
    let document = json!({"command": ["kube-apiserver", "--service-account-issuer", "https://a"], "args": ["--v=2", "--service_account_issuer=https://b"]});
    let after = apply(
        &pod(),
        &document,
        &change(Flag::Issuer, &["https://c", "https://a", "https://b"]),
    );
    assert_eq!(
        after,
        json!({"command": ["kube-apiserver", "--service-account-issuer", "https://c"],
               "args": ["--v=2", "--service_account_issuer=https://a", "--service-account-issuer=https://b"]})
    );
    let after = apply(&pod(), &after, &change(Flag::Issuer, &[]));
    assert_eq!(
        after,
        json!({"command": ["kube-apiserver"], "args": ["--v=2"]})
    );
}

#[test]
fn a_new_argument_stands_with_its_like() {
    let document =
        json!({"command": ["kube-apiserver", "--service-account-key-file=/a", "--tls-x=1"]});
    let after = apply(
        &pod(),
        &document,
        &change(Flag::JwksUri, &["https://a/keys.json"]),
    );
    assert_eq!(
        after["command"][2],
        "--service-account-jwks-uri=https://a/keys.json"
    );
    let k3s = Shape::Arguments {
        lists: vec![Path::keys(["kube-apiserver-arg"])],
        prefix: "",
    };
    let after = apply(
        &k3s,
        &json!({"tls-san": ["x"]}),
        &change(Flag::Issuer, &["https://a", "https://b"]),
    );
    assert_eq!(
        after["kube-apiserver-arg"],
        json!([
            "service-account-issuer=https://a",
            "service-account-issuer=https://b"
        ])
    );
    let after = apply(
        &k3s,
        &json!({"kube-apiserver-arg": "v=2"}),
        &change(Flag::Issuer, &["https://a"]),
    );
    assert_eq!(
        after["kube-apiserver-arg"],
        json!(["v=2", "service-account-issuer=https://a"])
    );
}

#[test]
fn flags_in_one_string_are_refused() {
    let document = json!({"command": ["kube-apiserver --service-account-issuer=https://a --v=2"]});
    assert!(matches!(pod().read(&document), Err(ShapeError::Shell(_))));
}

#[test]
fn a_map_holds_one_of_each() {
    let map = Shape::Map {
        path: Path::keys(["apiServer", "extraArgs"]),
        lists: false,
        denied: &[],
    };
    let after = apply(
        &map,
        &json!({"kind": "X"}),
        &change(Flag::Issuer, &["https://a"]),
    );
    assert_eq!(
        after["apiServer"]["extraArgs"]["service-account-issuer"],
        "https://a"
    );
    let after = apply(&map, &after, &change(Flag::ApiAudiences, &["a", "b"]));
    assert_eq!(after["apiServer"]["extraArgs"]["api-audiences"], "a,b");
    let error = map
        .edits(
            0,
            &after,
            &change(Flag::Issuer, &["https://a", "https://b"]),
        )
        .unwrap_err();
    assert!(matches!(error, ShapeError::OnlyOne { .. }));
    let lists = Shape::Map {
        path: Path::keys(["extraArgs"]),
        lists: true,
        denied: &[],
    };
    apply(
        &lists,
        &json!({"extraArgs": {"v": "2"}}),
        &change(Flag::Issuer, &["https://a", "https://b"]),
    );
}

#[test]
fn named_arguments_repeat() {
    let list = Shape::Named {
        path: Path::keys(["apiServer", "extraArgs"]),
        unique: false,
    };
    let after = apply(
        &list,
        &json!({"apiServer": {"certSANs": ["x"]}}),
        &change(Flag::Issuer, &["https://a"]),
    );
    let after = apply(&list, &after, &change(Flag::KeyFile, &["/a", "/b"]));
    let after = apply(
        &list,
        &after,
        &change(Flag::Issuer, &["https://b", "https://a"]),
    );
    let names: Vec<_> = after["apiServer"]["extraArgs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["value"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["https://b", "https://a", "/a", "/b"]);
    apply(&list, &after, &change(Flag::KeyFile, &["/b"]));
}

#[test]
fn fields_hold_the_first_and_the_others() {
    const FIELDS: &[Field] = &[
        Field {
            flag: Flag::Issuer,
            name: "serviceAccountIssuer",
            rest: Rest::Field("additional"),
        },
        Field {
            flag: Flag::KeyFile,
            name: "keyFiles",
            rest: Rest::Same,
        },
        Field {
            flag: Flag::JwksUri,
            name: "jwks",
            rest: Rest::Nowhere,
        },
    ];
    let fields = Shape::Fields {
        path: Path::keys(["spec", "kubeAPIServer"]),
        fields: FIELDS,
    };
    let after = apply(
        &fields,
        &json!({"spec": {"a": 1}}),
        &change(Flag::Issuer, &["https://a", "https://b"]),
    );
    let after = apply(
        &fields,
        &after,
        &change(Flag::Issuer, &["https://b", "https://a"]),
    );
    assert_eq!(
        after["spec"]["kubeAPIServer"],
        json!({"serviceAccountIssuer": "https://b", "additional": ["https://a"]})
    );
    let after = apply(&fields, &after, &change(Flag::KeyFile, &["/a", "/b"]));
    let after = apply(&fields, &after, &change(Flag::KeyFile, &["/b"]));
    apply(
        &fields,
        &after,
        &change(Flag::JwksUri, &["https://a/keys.json"]),
    );
    let error = fields
        .edits(0, &after, &change(Flag::ApiAudiences, &["x"]))
        .unwrap_err();
    assert!(matches!(error, ShapeError::NoPlace { .. }));
}

#[test]
fn a_name_that_may_stand_once_holds_one() {
    let list = Shape::Named {
        path: Path::keys(["extraArgs"]),
        unique: true,
    };
    apply(
        &list,
        &json!({"extraArgs": [{"name": "v", "value": "2"}]}),
        &change(Flag::Issuer, &["https://a"]),
    );
    let error = list
        .edits(
            0,
            &json!({}),
            &change(Flag::Issuer, &["https://a", "https://b"]),
        )
        .unwrap_err();
    assert!(matches!(error, ShapeError::OnlyOne { .. }));
}

#[test]
fn what_adds_to_other_files_is_refused() {
    let k3s = Shape::Arguments {
        lists: vec![Path::keys(["kube-apiserver-arg"])],
        prefix: "",
    };
    for text in ["service-account-issuer+=https://a", "--api-audiences-=x"] {
        let error = k3s
            .read(&json!({"kube-apiserver-arg": ["v=2", text]}))
            .unwrap_err();
        assert!(matches!(error, ShapeError::Additive { .. }));
    }
}

#[test]
fn a_flag_that_is_refused_in_one_form_goes_to_the_other() {
    const FIELDS: &[Field] = &[Field {
        flag: Flag::Issuer,
        name: "a.b",
        rest: Rest::Nowhere,
    }];
    let both = Shape::Both(
        Box::new(Shape::Fields {
            path: Path::root(),
            fields: FIELDS,
        }),
        Box::new(Shape::Map {
            path: Path::keys(["extra"]),
            lists: false,
            denied: &[Flag::KeyFile],
        }),
    );
    let after = apply(
        &both,
        &json!({"x": 1}),
        &change(Flag::Issuer, &["https://a"]),
    );
    let after = apply(&both, &after, &change(Flag::JwksUri, &["https://a/k"]));
    assert_eq!(after["a"]["b"], "https://a");
    assert_eq!(after["extra"]["service-account-jwks-uri"], "https://a/k");
    let error = both
        .edits(0, &after, &change(Flag::KeyFile, &["/a"]))
        .unwrap_err();
    assert!(matches!(error, ShapeError::NoPlace { .. }));
}
