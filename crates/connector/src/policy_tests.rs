use super::*;

const SCOPE: Scope<'_> = Scope {
    partition: "aws",
    region: "eu-central-1",
    account: "111122223333",
    cluster: "prod",
    role_arn: None,
};

fn actions(policy: &Value) -> Vec<String> {
    let all = policy["Statement"].as_array().unwrap();
    let mut actions: Vec<_> = all
        .iter()
        .flat_map(|statement| statement["Action"].as_array().unwrap())
        .map(|action| action.as_str().unwrap().to_owned())
        .collect();
    actions.sort_unstable();
    actions.dedup();
    actions
}

#[test]
fn an_operator_needs_no_right_on_other_roles() {
    let all = [Work::Register, Work::Deregister, Work::Observe, Work::View];
    let policy = operator_policy(&all, &SCOPE);
    for statement in policy["Statement"].as_array().unwrap() {
        let wide = statement["Resource"] == "*";
        let actions = statement["Action"].as_array().unwrap();
        for action in actions.iter().filter_map(Value::as_str) {
            assert!(!wide || !action.starts_with("iam:"), "{action} on *");
            assert!(!action.ends_with('*'), "{action}");
        }
    }
    let sids: Vec<_> = policy["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .map(|statement| statement["Sid"].as_str().unwrap())
        .collect();
    let mut unique = sids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(
        unique.len(),
        sids.len(),
        "IAM refuses a repeated Sid: {sids:?}"
    );
}

#[test]
fn a_given_role_needs_no_role_management() {
    let arn = "arn:aws:iam::111122223333:role/path/given";
    let scope = Scope {
        role_arn: Some(arn),
        ..SCOPE
    };
    let policy = operator_policy(&[Work::Register, Work::Deregister], &scope);
    for action in actions(&policy) {
        assert!(
            !["iam:CreateRole", "iam:PutRolePolicy", "iam:DeleteRole"].contains(&action.as_str()),
            "{action}"
        );
    }
    assert!(
        policy
            .to_string()
            .contains(&format!("\"Resource\":\"{arn}\""))
    );
}

#[test]
fn observing_writes_nothing() {
    let policy = operator_policy(&[Work::Observe], &SCOPE);
    assert_eq!(
        actions(&policy),
        ["eks:DescribeCluster", "iam:GetRole", "iam:GetRolePolicy"]
    );
}

#[test]
fn the_agent_role_trusts_systems_manager_only() {
    assert!(trusts_systems_manager(&trust_policy()));
    for (service, action, effect) in [
        ("eks.amazonaws.com", "sts:AssumeRole", "Allow"),
        ("ssm.amazonaws.com", "sts:TagSession", "Allow"),
        ("ssm.amazonaws.com", "sts:AssumeRole", "Deny"),
    ] {
        let document = json!({"Statement": {"Effect": effect, "Action": action, "Principal": {"Service": service}}});
        assert!(!trusts_systems_manager(&document), "{document}");
    }
    assert!(!trusts_systems_manager(&json!({})));
    let single = json!({"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ssm.amazonaws.com"}}});
    assert!(trusts_systems_manager(&single));
}
