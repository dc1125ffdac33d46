use super::mask::masked;
use super::*;

fn lines(text: &str) -> String {
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    masked(&lines).join("\n")
}

#[test]
fn only_what_is_known_is_shown() {
    for (text, shown) in [
        // Flags in a list.
        (
            "    - --service-account-issuer=https://h/p",
            "    - --service-account-issuer=https://h/p",
        ),
        (
            "- service-account-issuer=https://h",
            "- service-account-issuer=https://h",
        ),
        ("- --etcd-servers=https://u:hunter2@h", "- --etcd-servers=…"),
        ("- v=hunter2", "- …"),
        ("- kube-apiserver", "- kube-apiserver"),
        (
            "- \"--api-audiences=a,b\"  # hunter2",
            "- \"--api-audiences=a,b\"  # …",
        ),
        (
            "- exec --service-account-issuer=a --password=hunter2",
            "- …",
        ),
        (
            "- --service-account-issuer=a --password=hunter2",
            "- --service-account-issuer=…",
        ),
        (
            "- --service-account-issuer\n- https://h\n- hunter2",
            "- --service-account-issuer\n- https://h\n- …",
        ),
        // Keys of other things.
        ("token: hunter2", "token: …"),
        ("token: 'it''s hunter2'", "token: '…'"),
        (
            "datastore-endpoint: postgres://u:hunter2@h/db",
            "datastore-endpoint: …",
        ),
        ("hunter2", "…"),
        ("# token: hunter2", "# …"),
        ("##", "#"),
        ("hunter2 is: x", "…: …"),
        ("aHVudGVyMg==: x", "…: …"),
        ("name: hunter/Hunter=2", "name: …"),
        ("path: https://u:hunter2@h", "path: …"),
        // Texts over several lines.
        ("key: |\n  hunter2\nname: a", "key: |\n  …\nname: a"),
        (
            "key: \"hunter2\n  hunter2: a\"\nname: a",
            "key: \"…\n…\"\nname: a",
        ),
        // Maps, lists and pairs of ours.
        (
            "service-account-issuer: https://h",
            "service-account-issuer: https://h",
        ),
        (
            "apiAudiences:\n- a\n- b\nother:\n- hunter2",
            "apiAudiences:\n- a\n- b\nother:\n- …",
        ),
        ("apiAudiences: [a, 'b'] # x", "apiAudiences: [a, 'b'] # …"),
        (
            "- name: service-account-issuer\n  value: https://h\n- name: x\n  value: hunter2",
            "- name: service-account-issuer\n  value: https://h\n- name: x\n  value: …",
        ),
        (
            "- {name: api-audiences, value: a}\n- {name: b, value: hunter2}",
            "- {name: api-audiences, value: a}\n- {name: b, value: …}",
        ),
        // Brackets and JSON.
        (
            "args: [a, --api-audiences=x, \"--b=hunter2\"]",
            "args: […, --api-audiences=x, \"--b=…\"]",
        ),
        (
            "args: [\"a\",\n  '--api-audiences=x,y',\n  b]",
            "args: [\"…\",\n  '--api-audiences=x,y',\n  …]",
        ),
        (
            "{\"token\":\"hunter2\",\"name\":\"a\"}",
            "{\"token\":\"…\",\"name\":\"a\"}",
        ),
        // A bracket that is none.
        (
            "a: |\n  [hunter2\n- --api-audiences=x",
            "a: |\n  […\n- --api-audiences=x",
        ),
        ("]hunter2", "…"),
    ] {
        assert_eq!(lines(text), shown, "{text}");
        assert!(!lines(text).contains("hunter2"), "{text}");
    }
}

#[test]
fn a_diff_with_hidden_values_says_that_it_is_none_to_apply() {
    let before = "token: hunter2\nkube-apiserver-arg:\n- v=2";
    let after = format!("{before}\n- service-account-issuer=https://h\n");
    assert_eq!(
        shown("f", before, &after),
        "(… stands for what is not shown: this is to be read, and not to be applied)\n--- f\n+++ f\n@@ -1,3 +1,4 @@\n \
         token: …\n kube-apiserver-arg:\n-- …\n\\ No newline at end of file\n+- …\n+- service-account-issuer=https://h\n"
    );
    let whole = shown("f", "kind: a\n", "kind: b\n");
    assert_eq!(whole, "--- f\n+++ f\n@@ -1 +1 @@\n-kind: a\n+kind: b\n");
    assert_eq!(shown("f", "a", "a"), "");
}
