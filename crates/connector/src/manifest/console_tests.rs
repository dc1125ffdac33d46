use super::*;

const ADMIN: &str = "arn:aws:iam::111122223333:role/Admin";
const DEV: &str = "arn:aws:iam::111122223333:role/Dev";

fn grants(texts: &[&str]) -> Grants {
    Grants::parse(texts).unwrap()
}

/// What the API server would hold after these changes.
fn applied(mut standing: Vec<Standing>, edits: Vec<ConsoleChange>) -> Vec<Standing> {
    for edit in edits {
        let object = edit.object().clone();
        let before = standing.iter().position(|s| s.object == object);
        match edit {
            ConsoleChange::Create(manifest) => {
                assert!(before.is_none(), "{object} exists");
                let mut value = manifest.expose_value().clone();
                value["metadata"]["resourceVersion"] = json!("1");
                standing.push(Standing { object, value });
            }
            ConsoleChange::Replace(manifest) => {
                let at = before.unwrap();
                let mut value = manifest.expose_value().clone();
                assert_eq!(
                    value["metadata"]["resourceVersion"],
                    standing[at].value["metadata"]["resourceVersion"]
                );
                value["metadata"]["resourceVersion"] = json!(format!("{}1", version(&value)));
                standing[at].value = value;
            }
            ConsoleChange::Delete {
                resource_version, ..
            } => {
                let at = before.unwrap();
                assert_eq!(resource_version, version(&standing[at].value));
                standing.remove(at);
            }
        }
    }
    standing
}

#[test]
fn an_empty_list_is_refused_not_rendered() {
    assert_eq!(
        manifests(&Grants::default()).unwrap_err(),
        ConsoleError::NoGrants
    );
    for manifest in manifests(&grants(&[&format!("{ADMIN}=full")])).unwrap() {
        assert!(!impersonates_anyone(manifest.expose_value()), "{manifest}");
    }
    let anyone = json!({"rules": [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": null}]});
    assert!(impersonates_anyone(&anyone));
}

#[test]
fn what_is_written_is_read_back() {
    let all = grants(&[
        &format!("{ADMIN}=full"),
        &format!("{DEV}=ns:a,b"),
        "arn:aws:iam::111122223333:user/own=impersonate",
    ]);
    let standing = applied(Vec::new(), changes(&[], &all).unwrap());
    assert_eq!(read(&standing).unwrap(), all);
    assert!(
        changes(&standing, &all).unwrap().is_empty(),
        "a second run changes nothing"
    );
}

#[test]
fn every_step_between_two_states_ends_in_the_wanted_one() {
    let states = [
        grants(&[]),
        grants(&[&format!("{ADMIN}=full")]),
        grants(&[&format!("{ADMIN}=full"), &format!("{DEV}=full")]),
        grants(&[&format!("{ADMIN}=full"), &format!("{DEV}=ns:a")]),
        grants(&[&format!("{DEV}=ns:a,b")]),
        grants(&[&format!("{ADMIN}=ns:b"), &format!("{DEV}=ns:a")]),
    ];
    for from in &states {
        for to in &states {
            let standing = applied(Vec::new(), changes(&[], from).unwrap());
            let edits = changes(&standing, to).unwrap();
            let gone: Vec<_> = from
                .principals()
                .filter(|p| !to.principals().any(|o| o == *p))
                .collect();
            if !gone.is_empty() {
                assert_eq!(
                    edits[0].object().name,
                    IMPERSONATION,
                    "cut off first: {from:?} to {to:?}"
                );
            }
            let after = applied(standing, edits);
            assert_eq!(read(&after).unwrap(), *to);
            if to.is_empty() {
                assert!(after.is_empty(), "nothing is left: {after:?}");
            }
        }
    }
}

#[test]
fn rules_of_others_are_refused_and_roles_of_others_left_alone() {
    let role = |resources: &str, verbs: &str| Standing {
        object: ObjectRef::cluster(Kind::ClusterRole, IMPERSONATION),
        value: json!({"metadata": {"resourceVersion": "7"}, "rules": [{"apiGroups": [""], "resources": [resources], "verbs": [verbs], "resourceNames": [ADMIN]}]}),
    };
    assert!(matches!(
        read(&[role("groups", "impersonate")]),
        Err(ConsoleError::Foreign { .. })
    ));
    assert!(matches!(
        read(&[role("users", "*")]),
        Err(ConsoleError::Foreign { .. })
    ));
    assert_eq!(
        read(&[role("users", "impersonate")])
            .unwrap()
            .to_string_list(),
        [format!("{ADMIN}=impersonate")]
    );
    let group = Standing {
        object: ObjectRef::cluster(Kind::ClusterRoleBinding, FULL_BINDING),
        value: json!({"roleRef": {"name": FULL}, "subjects": [{"kind": "Group", "name": "admins"}]}),
    };
    assert!(matches!(read(&[group]), Err(ConsoleError::Foreign { .. })));

    let widened = Standing {
        object: ObjectRef::cluster(Kind::ClusterRole, FULL),
        value: json!({"metadata": {"resourceVersion": "7"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get"]}]}),
    };
    let edits = changes(&[widened], &grants(&[&format!("{ADMIN}=full")])).unwrap();
    assert!(
        edits.iter().all(|edit| edit.object().name != FULL),
        "{edits:?}"
    );
}

#[test]
fn a_path_in_a_standing_rule_is_repaired() {
    let standing = Standing {
        object: ObjectRef::cluster(Kind::ClusterRole, IMPERSONATION),
        value: json!({"metadata": {"resourceVersion": "7"}, "rules": [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"],
            "resourceNames": ["arn:aws:iam::111122223333:role/path/Admin"]}]}),
    };
    let before = read(std::slice::from_ref(&standing)).unwrap();
    let edits = changes(&[standing], &before).unwrap();
    assert!(
        matches!(
            &edits[..],
            [ConsoleChange::Create(_), ConsoleChange::Replace(_)]
                | [ConsoleChange::Replace(_), ConsoleChange::Create(_)]
        ),
        "{edits:?}"
    );
}
