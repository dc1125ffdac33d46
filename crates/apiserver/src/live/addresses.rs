//! Where the API servers of a cluster are, as they register themselves.

use serde_json::Value;

/// The addresses in the `EndpointSlice`s of the Service default/kubernetes, as URLs.
pub(super) fn addresses(slices: &Value) -> Vec<String> {
    let items = slices
        .get("items")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut found = Vec::new();
    for slice in items {
        let list = |key: &str| {
            slice
                .get(key)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default()
        };
        let port = list("ports")
            .first()
            .and_then(|port| port.get("port")?.as_u64())
            .unwrap_or(6443);
        for endpoint in list("endpoints") {
            let addresses = endpoint
                .get("addresses")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            for address in addresses.iter().filter_map(Value::as_str) {
                let host = if address.contains(':') {
                    format!("[{address}]")
                } else {
                    address.to_owned()
                };
                found.push(format!("https://{host}:{port}"));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_of_both_families() {
        let slices = json!({"items": [
            {"addressType": "IPv4", "ports": [{"name": "https", "port": 6443}], "endpoints": [{"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.1"]}]},
            {"addressType": "IPv6", "ports": [{"port": 443}], "endpoints": [{"addresses": ["fd00::1"]}]},
        ]});
        assert_eq!(
            addresses(&slices),
            [
                "https://10.0.0.1:6443",
                "https://10.0.0.2:6443",
                "https://[fd00::1]:443"
            ]
        );
        assert_eq!(addresses(&json!({})), Vec::<String>::new());
    }
}
