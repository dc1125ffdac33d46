//! What others say about a text that they could not read, without the parts of it that they quote: it may be a token, a
//! key, or the value of a variable.

use irsa_core::explain::chain;
use serde::de::Error as _;
use serde_json::error::Category;

/// The same error, without what was found instead.
pub(crate) fn json(error: serde_json::Error) -> serde_json::Error {
    serde_json::Error::custom(of_json(&error))
}

/// What serde expected and where, without what it found instead.
pub fn of_json(error: &serde_json::Error) -> String {
    expected(error) + &place(error)
}

fn place(error: &serde_json::Error) -> String {
    match error.line() {
        0 => String::new(),
        line => format!(" at line {line} column {}", error.column()),
    }
}

/// What serde expected, without what it found instead.
pub fn expected(error: &serde_json::Error) -> String {
    let (text, place) = (error.to_string(), place(error));
    let said = text.strip_suffix(&place).unwrap_or(&text);
    // Where JSON itself is broken nothing is quoted.
    if error.classify() != Category::Data {
        return said.to_owned();
    }
    // A type says last what it expects. Names of fields are those of our own types.
    match said.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None if said.starts_with("missing field ") || said.starts_with("duplicate field ") => {
            said.to_owned()
        }
        None => "it has another form".to_owned(),
    }
}

/// An error of the cluster's client that may be shown with its causes.
///
/// An answer of another form than expected is quoted by it, and so is what a credential plugin printed.
pub(crate) fn of_cluster(error: kube::Error) -> kube::Error {
    match error {
        kube::Error::SerdeError(error) => kube::Error::SerdeError(json(error)),
        kube::Error::Service(error) if quotes(error.as_ref()) => {
            kube::Error::Service("the credentials of the kubeconfig cannot be had".into())
        }
        error => error,
    }
}

fn quotes(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).any(<dyn std::error::Error>::is::<kube::client::AuthError>)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        One,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Form {
        #[expect(dead_code, reason = "read only")]
        list: Vec<u8>,
        #[expect(dead_code, reason = "read only")]
        word: Option<Word>,
        #[expect(dead_code, reason = "read only")]
        map: Option<BTreeMap<String, bool>>,
    }

    #[test]
    fn no_value_is_quoted() {
        for (text, said) in [
            (
                r#"{"list":"s3cr3t"}"#,
                "expected a sequence at line 1 column 16",
            ),
            (
                r#"{"list":"s3cr3t, expected x"}"#,
                "expected a sequence at line 1 column 28",
            ),
            (
                r#"{"list":73313373}"#,
                "expected a sequence at line 1 column 16",
            ),
            (r#"{"list":[73313373]}"#, "expected u8 at line 1 column 17"),
            (
                r#"{"list":[],"word":"s3cr3t"}"#,
                "expected `one` at line 1 column 26",
            ),
            (
                r#"{"list":[],"map":{"x":"s3cr3t"}}"#,
                "expected a boolean at line 1 column 30",
            ),
            (
                r#"{"s3cr3t":1}"#,
                "expected one of `list`, `word`, `map` at line 1 column 9",
            ),
            (r"{}", "missing field `list` at line 1 column 2"),
            (
                "{\"list\":[],\n\"list\":[]}",
                "duplicate field `list` at line 2 column 6",
            ),
            (r#"{"list":s3cr3t}"#, "expected value at line 1 column 9"),
            (r#""s3cr3t""#, "expected struct Form at line 1 column 8"),
        ] {
            let error = serde_json::from_str::<Form>(text).unwrap_err();
            assert_eq!(of_json(&error), said, "{error}");
            let shown = of_cluster(kube::Error::SerdeError(error));
            assert!(shown.to_string().ends_with(said), "{shown}");
        }
        let custom = serde_json::Error::custom("s3cr3t");
        assert_eq!(of_json(&custom), "it has another form");
    }

    #[test]
    fn what_a_credential_plugin_printed_is_not_shown() {
        let ours = kube::client::AuthError::AuthExec("s3cr3t".into());
        let shown = of_cluster(kube::Error::Service(Box::new(ours)));
        assert!(!format!("{shown} {shown:?}").contains("s3cr3t"));
        let other = of_cluster(kube::Error::Service("refused".into()));
        assert!(other.to_string().contains("refused"));
    }
}
