//! A `NetworkPolicy` that leaves the webhook's port to the API servers, for clusters whose operator knows their addresses.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{ManifestError, ManifestOptions, labels};

/// The policy as YAML, with the reasons as comments. `from` are addresses and CIDRs, which must not be empty.
pub fn render_policy(options: &ManifestOptions, from: &[String]) -> Result<String, ManifestError> {
    super::check(options)?;
    let blocks = from
        .iter()
        .map(|text| Ok(json!({"ipBlock": {"cidr": cidr(text)?}})))
        .collect::<Result<Vec<_>, ManifestError>>()?;
    if blocks.is_empty() {
        return Err(ManifestError::Address(String::new()));
    }
    Ok(TEMPLATE
        .replace("{{labels}}", &labels().to_string())
        .replace("{{namespace}}", &json!(options.namespace).to_string())
        .replace("{{from}}", &json!(blocks).to_string()))
}

/// The same as an object.
pub fn policy(options: &ManifestOptions, from: &[String]) -> Result<Value, ManifestError> {
    serde_saphyr::from_str(&render_policy(options, from)?)
        .map_err(|error| ManifestError::Yaml(error.to_string().into()))
}

/// An address is the CIDR of itself.
fn cidr(text: &str) -> Result<String, ManifestError> {
    let fail = || ManifestError::Address(text.to_owned());
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| fail())?;
    let most: u8 = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Ok(most), str::parse).map_err(|_| fail())?;
    if bits > most {
        return Err(fail());
    }
    Ok(format!("{address}/{bits}"))
}

const TEMPLATE: &str = include_str!("network.yaml");

#[cfg(test)]
mod tests {
    use irsa_core::explain::Explain as _;

    use super::super::{MANAGED_BY, NAME};
    use super::*;

    fn options() -> ManifestOptions {
        ManifestOptions {
            namespace: "kube-system".into(),
            image: "-".into(),
            replicas: 2,
            flags: Vec::new(),
        }
    }

    #[test]
    fn only_who_is_named_reaches_the_port() {
        let from = ["10.0.0.0/28", "192.0.2.7", "2001:db8::/64"].map(str::to_owned);
        let text = render_policy(&options(), &from).unwrap();
        assert!(!text.contains("{{"), "{text}");
        let found = policy(&options(), &from).unwrap();
        let blocks = json!([
            {"ipBlock": {"cidr": "10.0.0.0/28"}},
            {"ipBlock": {"cidr": "192.0.2.7/32"}},
            {"ipBlock": {"cidr": "2001:db8::/64"}},
        ]);
        assert_eq!(found["spec"]["ingress"][0]["from"], blocks);
        assert_eq!(found["metadata"]["name"], NAME);
        assert_eq!(
            found["metadata"]["labels"]["app.kubernetes.io/managed-by"],
            MANAGED_BY
        );
        // What it selects, and the ports, are those of the Deployment.
        let objects = super::super::objects(&options()).unwrap();
        let pod = &objects[7]["spec"]["template"];
        let selected = &found["spec"]["podSelector"]["matchLabels"];
        assert_eq!(selected["app"], pod["metadata"]["labels"]["app"]);
        let open: Vec<_> = pod["spec"]["containers"][0]["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| &port["containerPort"])
            .collect();
        let ingress = found["spec"]["ingress"].as_array().unwrap();
        let allowed: Vec<_> = ingress
            .iter()
            .map(|rule| &rule["ports"][0]["port"])
            .collect();
        assert_eq!(allowed, open);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "1.2.3.4/",
            "1.2.3.4/-1",
            "api.example.com",
            "1.1.1.1\n---",
        ] {
            let error = render_policy(&options(), &[text.to_owned()]).unwrap_err();
            assert!(error.to_string().contains("no CIDR"), "{text}: {error}");
            assert!(error.help().is_some());
        }
        assert!(render_policy(&options(), &[]).is_err());
    }
}
