//! The API server, as far as objects, versions and names go. What only a real one knows is tested on a real one.

use serde_json::{Value, json};

use crate::server::{Answer, World};

/// An object's place: `apiVersion[/namespace]/plural[/name]`.
struct Place {
    collection: String,
    plural: String,
    namespace: Option<String>,
    name: Option<String>,
    api_version: String,
}

/// Asked in the address, or in a deletion's options.
fn is_dry(query: &str, body: &[u8]) -> bool {
    let options: Value = serde_json::from_slice(body).unwrap_or_default();
    query.contains("dryRun=All") || options["dryRun"] == json!(["All"])
}

pub(crate) fn name(method: &str, path: &str, query: &str, body: &[u8]) -> (String, bool) {
    let place = place(path);
    let dry = is_dry(query, body);
    let name = place.name.as_deref().unwrap_or("*");
    let verb = if dry { "DRY-RUN" } else { method };
    (
        format!("{verb} {}/{name}", place.plural),
        method != "GET" && !dry,
    )
}

pub(crate) fn answer(
    world: &mut World,
    method: &str,
    path: &str,
    query: &str,
    body: &[u8],
) -> Answer {
    let place = place(path);
    let dry = is_dry(query, body);
    match (method, &place.name) {
        ("GET", Some(name)) => match world.objects.get(&format!("{}/{name}", place.collection)) {
            Some(object) => ok(object),
            None => status(404, "NotFound", path),
        },
        ("GET", None) => list(world, &place, query),
        ("PATCH", Some(name)) => {
            let object: Value = serde_json::from_slice(body).unwrap();
            assert!(query.contains("fieldManager=irsa"), "{query}");
            write(world, &place, name, object, dry)
        }
        ("POST", None) => {
            let object: Value = serde_json::from_slice(body).unwrap();
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            if world
                .objects
                .contains_key(&format!("{}/{name}", place.collection))
            {
                return status(409, "AlreadyExists", path);
            }
            write(world, &place, &name, object, dry)
        }
        ("DELETE", Some(name)) => {
            let key = format!("{}/{name}", place.collection);
            let options: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
            let Some(found) = world.objects.get(&key) else {
                return status(404, "NotFound", path);
            };
            let wanted = &options["preconditions"]["resourceVersion"];
            if wanted.is_string() && *wanted != found["metadata"]["resourceVersion"] {
                return status(409, "Conflict", path);
            }
            if dry {
                return ok(&json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}));
            }
            world.objects.remove(&key);
            if place.plural == "namespaces" {
                let inside = format!("/{name}/");
                world.objects.retain(|key, _| !key.contains(&inside));
            }
            ok(&json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
        }
        other => panic!("{other:?} {path}"),
    }
}

fn write(world: &mut World, place: &Place, name: &str, mut object: Value, dry: bool) -> Answer {
    if let Some(namespace) = &place.namespace
        && !world
            .objects
            .contains_key(&format!("v1/namespaces/{namespace}"))
    {
        return status(404, "NotFound", namespace);
    }
    let key = format!("{}/{name}", place.collection);
    let wanted = &object["metadata"]["resourceVersion"];
    let standing = world
        .objects
        .get(&key)
        .map_or(&Value::Null, |found| &found["metadata"]["resourceVersion"]);
    if wanted.is_string() && wanted != standing {
        return status(409, "Conflict", name);
    }
    world.versions += 1;
    object["metadata"]["resourceVersion"] = json!(world.versions.to_string());
    if !dry {
        world.objects.insert(key, object.clone());
    }
    ok(&object)
}

fn list(world: &World, place: &Place, query: &str) -> Answer {
    let name = url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "fieldSelector")
        .and_then(|(_, selector)| selector.strip_prefix("metadata.name=").map(str::to_owned));
    let items: Vec<_> = world
        .objects
        .iter()
        .filter(|(key, _)| {
            let parts: Vec<_> = key.rsplitn(3, '/').collect();
            key.starts_with(&place.api_version)
                && parts[1] == place.plural
                && name.as_ref().is_none_or(|name| name == parts[0])
        })
        .map(|(_, object)| object.clone())
        .collect();
    ok(&json!({"kind": "List", "apiVersion": place.api_version, "metadata": {}, "items": items}))
}

fn place(path: &str) -> Place {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let (api_version, rest) = match parts[0] {
        "api" => (parts[1].to_owned(), &parts[2..]),
        _ => (format!("{}/{}", parts[1], parts[2]), &parts[3..]),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
            (Some((*namespace).to_owned()), rest)
        }
        rest => (None, rest),
    };
    let prefix = namespace.as_ref().map_or_else(
        || api_version.clone(),
        |namespace| format!("{api_version}/{namespace}"),
    );
    Place {
        collection: format!("{prefix}/{}", rest[0]),
        plural: rest[0].to_owned(),
        namespace,
        name: rest.get(1).map(|name| (*name).to_owned()),
        api_version,
    }
}

fn ok(object: &Value) -> Answer {
    (
        200,
        Some(("content-type", "application/json".into())),
        object.to_string(),
    )
}

fn status(code: u16, reason: &str, message: &str) -> Answer {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message});
    (
        code,
        Some(("content-type", "application/json".into())),
        body.to_string(),
    )
}
