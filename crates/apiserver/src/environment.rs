//! `$(NAME)` in the arguments of a container, which the kubelet puts the value of a variable in the place of.

use serde_json::Value;

use crate::component::Component;
use crate::mounts::Mounts;

/// An argument as the program gets it, where the container's `env` has plain values for what is named in it; else
/// as it is written. `$$(NAME)` stands for `$(NAME)` itself.
pub fn expanded(component: &Component, document: &Value, text: &str) -> String {
    let Mounts::Pod { container, .. } = &component.mounts else {
        return text.to_owned();
    };
    let env = container.key("env");
    let variables = env.find(document).and_then(Value::as_array);
    let plain = |name: &str| {
        let mut variables = variables.into_iter().flatten().rev();
        let one = variables.find(|one| one.get("name").and_then(Value::as_str) == Some(name))?;
        let value = one.get("value")?.as_str()?;
        // A value that is made of others is not looked into.
        (!value.contains('$')).then(|| value.to_owned())
    };
    let (mut done, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        done.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            done.push('$');
            rest = after;
            continue;
        }
        let named = after
            .strip_prefix('(')
            .and_then(|name| name.split_once(')'));
        let value = named.and_then(|(name, behind)| Some((plain(name)?, behind)));
        if let Some((value, behind)) = value {
            done.push_str(&value);
            rest = behind;
        } else {
            done.push('$');
            rest = after;
        }
    }
    done + rest
}

/// Whether a value names a variable that was not seen.
pub fn names_variable(text: &str) -> bool {
    text.split_once("$(")
        .is_some_and(|(_, name)| name.contains(')'))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::patch::Manifest;

    #[test]
    fn variables_are_put_in_as_the_kubelet_does() {
        let text = "{apiVersion: v1, kind: Pod, spec: {containers: [{command: [kube-apiserver], env: [\
            {name: A, value: first}, {name: A, value: last}, {name: B, value: $(A)}, {name: C, valueFrom: {}}]}]}}";
        let manifest = Manifest::read(text, Path::new("m.yaml"), None).unwrap();
        let component = manifest.components.first().unwrap();
        let document = manifest.document(component).unwrap();
        for (written, expected) in [
            ("https://$(A)/$(A)", "https://last/last"),
            ("$(B)$(C)$(D)", "$(B)$(C)$(D)"),
            ("$$(A) $A $(A $", "$(A) $A $(A $"),
        ] {
            assert_eq!(expanded(component, &document, written), expected);
        }
        assert!(names_variable("a$(B)"));
        assert!(!names_variable("a$(B"));
    }
}
