use std::fmt::Write as _;

use serde_json::json;

use super::*;

fn set(path: Path, value: Value) -> Edit {
    Edit {
        document: 0,
        path,
        operation: Operation::Set(value),
    }
}

fn insert(path: Path, value: Value) -> Edit {
    Edit {
        document: 0,
        path,
        operation: Operation::Insert(value),
    }
}

#[test]
fn comments_order_and_quoting_survive() {
    let text = "# head\nspec:\n  containers:\n  - command:\n    - kube-apiserver\n    # before\n    - --a=1 # after\n    - \"--b=2\"\n    - '--c=3'\n    image: x   # odd   spacing\n# tail\n";
    let list = Path::keys(["spec", "containers"]).index(0).key("command");
    let after = apply(
        text,
        &[
            set(list.index(1), json!("--a=https://x.example/p")),
            set(list.index(2), json!("--b=9")),
            set(list.index(3), json!("--c=9")),
            insert(list.index(2), json!("--a=second")),
            insert(list.index(5), json!("--d=4")),
        ],
    )
    .unwrap();
    assert_eq!(
        after,
        "# head\nspec:\n  containers:\n  - command:\n    - kube-apiserver\n    # before\n    - --a=https://x.example/p # after\n    - --a=second\n    - \"--b=9\"\n    - '--c=9'\n    - --d=4\n    image: x   # odd   spacing\n# tail\n"
    );
}

#[test]
fn a_comment_beside_an_item_goes_with_it_and_no_other_comment_does() {
    let text = "# head\na:\n- x # one\n# about y\n- 'y'   # two\n- z # one\nb: 1 # three\n";
    let remove = |index| Edit {
        document: 0,
        path: Path::keys(["a"]).index(index),
        operation: Operation::Remove,
    };
    assert_eq!(
        apply(text, &[remove(1)]).unwrap(),
        "# head\na:\n- x # one\n# about y\n- z # one\nb: 1 # three\n"
    );
    assert_eq!(
        apply(text, &[remove(0)]).unwrap(),
        "# head\na:\n# about y\n- 'y'   # two\n- z # one\nb: 1 # three\n"
    );
    assert_eq!(
        apply(text, &[remove(2), remove(1)]).unwrap(),
        "# head\na:\n- x # one\n# about y\nb: 1 # three\n"
    );
}

#[test]
fn windows_line_ends_and_a_missing_last_one_survive() {
    let after = apply(
        "a:\r\n- x\r\n- y\r\nb: 1\r\n",
        &[insert(Path::keys(["a"]).index(2), json!("z"))],
    )
    .unwrap();
    assert_eq!(after, "a:\r\n- x\r\n- y\r\n- z\r\nb: 1\r\n");
    let after = apply("a:\n- x", &[insert(Path::keys(["a"]).index(1), json!("z"))]).unwrap();
    assert_eq!(after, "a:\n- x\n- z");
}

#[test]
fn nested_values_are_written_in_block_style() {
    let value = json!([{"name": "service-account-issuer", "value": "https://h"}]);
    let after = apply(
        "apiServer: {}\nkind: X\n",
        &[set(Path::keys(["apiServer"]), json!({"extraArgs": value}))],
    );
    assert_eq!(
        after.unwrap(),
        "apiServer:\n  extraArgs:\n  - name: service-account-issuer\n    value: https://h\nkind: X\n"
    );
    let after = apply(
        "apiServer:\n  timeoutForControlPlane: 4m0s\nkind: X\n",
        &[set(Path::keys(["apiServer", "extraArgs"]), value)],
    )
    .unwrap();
    assert_eq!(
        after,
        "apiServer:\n  timeoutForControlPlane: 4m0s\n  extraArgs:\n    - name: service-account-issuer\n      value: https://h\nkind: X\n"
    );
}

#[test]
fn an_alias_is_not_changed_behind_the_back() {
    let text = "a: &x\n- one\nb: *x\n";
    let error = apply(text, &[insert(Path::keys(["a"]).index(1), json!("two"))]).unwrap_err();
    assert!(matches!(error, YamlError::Unsafe { .. }), "{error}");
}

/// Nine to the power of twelve in four hundred bytes.
#[test]
fn aliases_of_aliases_are_refused_before_they_are_followed() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for at in 1..12 {
        let inner = vec![format!("*a{}", at - 1); 9].join(",");
        writeln!(text, "a{at}: &a{at} [{inner}]").unwrap();
    }
    let error = parse(&text).unwrap_err();
    assert!(matches!(error, YamlError::Repeats), "{error}");
    // What people write: one block used on every machine.
    let mut text = "x: &x {a: 1, b: [1, 2, 3]}\nall:\n".to_owned();
    text.push_str(&"- *x\n".repeat(90));
    assert_eq!(parse(&text).unwrap()[0]["all"][89]["a"], 1);
}

#[test]
fn more_than_anybody_writes_is_refused_in_words() {
    let error = parse(&"- x\n".repeat(300_000)).unwrap_err();
    assert!(matches!(error, YamlError::TooMuch { .. }), "{error}");
    let error = parse(&"[".repeat(5_000)).unwrap_err().to_string();
    assert!(!error.contains('{'), "{error}");
}

#[test]
fn repeated_keys_are_refused() {
    assert!(matches!(parse("a: 1\na: 2\n"), Err(YamlError::Invalid(_))));
}

#[test]
fn several_documents() {
    let text = "# one\na: 1\n---\n# two\na: [x]\n...\n";
    let edit = Edit {
        document: 1,
        ..insert(Path::keys(["a"]).index(1), json!("z"))
    };
    assert_eq!(
        apply(text, &[edit]).unwrap(),
        "# one\na: 1\n---\n# two\na: [x, z]\n...\n"
    );
}

#[test]
fn a_block_scalar() {
    let text = "a:\n- |\n  kind: X # c\n  b: 1\n- z\n";
    let after = apply(
        text,
        &[set(
            Path::keys(["a"]).index(0),
            json!("kind: X # c\nb: 2\nc: 3\n"),
        )],
    )
    .unwrap();
    assert_eq!(after, "a:\n- |\n  kind: X # c\n  b: 2\n  c: 3\n- z\n");
}

#[test]
fn advice_for_programmers_is_left_out() {
    for (said, told) in [
        (
            "duplicate mapping key: a, set DuplicateKeyPolicy in Options if acceptable at line 2, column 1",
            "duplicate mapping key: a at line 2, column 1",
        ),
        (
            "multiple YAML documents detected; use from_str_multidoc at line 3, column 1",
            "multiple YAML documents detected at line 3, column 1",
        ),
        ("tabs disallowed at line 7", "tabs disallowed at line 7"),
    ] {
        assert_eq!(without_advice(said), told);
    }
    // As the library says it in this version.
    let error = parse("a: 1\na: 2\n").unwrap_err().to_string();
    assert!(
        error.contains("duplicate mapping key") && !error.contains("Options"),
        "{error}"
    );
}

fn shift(path: Path, to: usize) -> Edit {
    Edit {
        document: 0,
        path,
        operation: Operation::Move(to),
    }
}

#[test]
fn an_item_moves_with_its_comments() {
    let list = Path::keys(["a"]);
    for (text, expected) in [
        (
            "a:\n# one\n- x # x\n- y\n\n# ours, since today\n- z # z\n# tail\nb: 1\n",
            "a:\n# ours, since today\n- z # z\n# one\n- x # x\n- y\n\n# tail\nb: 1\n",
        ),
        // The last line has no end, and quotes go along.
        (
            "a:\n  - \"x\"\n  - 'y'\n  - z",
            "a:\n  - z\n  - \"x\"\n  - 'y'",
        ),
        (
            "a:\r\n- x # x\r\n- y\r\n- z # z\r\n",
            "a:\r\n- z # z\r\n- x # x\r\n- y\r\n",
        ),
        ("a:\r\n- x\r\n- y\r\n- z", "a:\r\n- z\r\n- x\r\n- y"),
        ("a:\n- x\r\n- y\n- z\n", "a:\n- z\n- x\r\n- y\n"),
        // Entries with lines of their own.
        (
            "a:\n- k: x\n  v: 1\n  # about x\n- k: y\n# about z\n- k: z # z\n  v: 3\n",
            "a:\n# about z\n- k: z # z\n  v: 3\n- k: x\n  v: 1\n  # about x\n- k: y\n",
        ),
        ("a: [x, 'y',\n  \"z\"]\n", "a: [\"z\", x,\n  'y']\n"),
        ("a: [x, y, z] # all\n", "a: [z, x, y] # all\n"),
    ] {
        assert_eq!(apply(text, &[shift(list.index(2), 0)]).unwrap(), expected);
    }
    // Whose comment it is cannot be told.
    let error = apply("a: [x, # x\n  y,\n  z]\n", &[shift(list.index(2), 0)]).unwrap_err();
    assert!(error.to_string().contains("take another's"), "{error}");
}

#[test]
fn a_new_item_takes_nobody_s_comment() {
    let list = Path::keys(["a"]);
    let text = "a:\n# one\n- x # x\n# two\n- y\n# tail\n";
    for (at, expected) in [
        (0, "a:\n- new\n# one\n- x # x\n# two\n- y\n# tail\n"),
        (1, "a:\n# one\n- x # x\n- new\n# two\n- y\n# tail\n"),
        (2, "a:\n# one\n- x # x\n# two\n- y\n- new\n# tail\n"),
    ] {
        assert_eq!(
            apply(text, &[insert(list.index(at), json!("new"))]).unwrap(),
            expected
        );
    }
}

#[test]
fn json_stays_json_and_looks_the_same() {
    let list = Path::keys(["a", "args"]);
    let text = "{\n  \"a\": {\n    \"args\": [\n      \"x\",\n      \"y\"\n    ],\n    \"volumes\": [\n      {\n        \"name\": \"v\"\n      }\n    ]\n  }\n}\n";
    let after = apply(
        text,
        &[
            insert(list.index(1), json!("--z=1")),
            insert(list.index(3), json!("--end=1")),
            shift(list.index(1), 0),
            insert(Path::keys(["a", "volumes"]).index(1), json!({"name": "w"})),
            set(Path::keys(["a", "new"]), json!(["q"])),
        ],
    )
    .unwrap();
    assert_eq!(
        after,
        "{\n  \"a\": {\n    \"args\": [\n      \"--z=1\",\n      \"x\",\n      \"y\",\n      \"--end=1\"\n    ],\n    \"volumes\": [\n      {\n        \"name\": \"v\"\n      },\n      {\n        \"name\": \"w\"\n      }\n    ], \"new\": [\"q\"]\n  }\n}\n"
    );
    for (text, expected) in [
        ("{\"a\":[\"x\"]}", "{\"a\":[\"x\", \"--z=1\"]}"),
        ("a: ['x']\n", "a: ['x', '--z=1']\n"),
        ("a: [x,y]\n", "a: [x,y,--z=1]\n"),
        ("{\"a\": []}", "{\"a\": [\"--z=1\"]}"),
        ("a: [\n  x\n]\n", "a: [\n  x,\n  --z=1\n]\n"),
    ] {
        let end = parse(text).unwrap()[0]["a"].as_array().unwrap().len();
        let after = apply(
            text,
            &[insert(Path::keys(["a"]).index(end), json!("--z=1"))],
        );
        assert_eq!(after.unwrap(), expected);
    }
}
