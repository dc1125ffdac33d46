use zeroize::Zeroizing;

use super::*;
use crate::activation::ActivationCode;
use crate::image::Images;
use crate::manifest::agent::AgentSettings;

const ARN: &str = "arn:aws:eks:eu-central-1:111122223333:cluster/prod";

fn agent_manifests(code: Option<&ActivationCode>) -> Vec<Manifest> {
    let images = Images::default();
    let settings = AgentSettings {
        cluster_arn: ARN,
        region: "eu-central-1",
        activation_id: "0f8fad5b-d9cb-469f-a165-70867728950e",
        images: &images,
    };
    agent::manifests(&settings, code)
}

fn code() -> ActivationCode {
    ActivationCode::new(Zeroizing::new("cAnArYcAnArYcAnArY01".into()))
}

#[test]
fn the_code_is_in_one_object_only_and_shown_in_none() {
    let with_code: Vec<_> = agent_manifests(Some(&code()))
        .into_iter()
        .filter(|manifest| {
            let text = manifest.expose_value().to_string();
            text.contains(code().expose_code()) || text.contains(code().expose_base64().as_str())
        })
        .collect();
    assert_eq!(
        with_code
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["Secret eks-connector/eks-connector-activation-config"]
    );
    for manifest in agent_manifests(Some(&code())) {
        for text in [
            format!("{manifest:?}"),
            manifest.to_string(),
            manifest.shown().to_string(),
        ] {
            assert!(!text.contains(code().expose_base64().as_str()), "{text}");
        }
    }
    let without = agent_manifests(None);
    assert_eq!(without.len() + 1, agent_manifests(Some(&code())).len());
}

#[test]
fn every_object_is_one_that_deregistration_knows() {
    let known = agent::objects();
    for manifest in agent_manifests(Some(&code())) {
        assert!(known.contains(manifest.object()), "{manifest}");
        let value = manifest.expose_value();
        assert_eq!(
            value["metadata"]["annotations"][CLUSTER_ANNOTATION], ARN,
            "{manifest}"
        );
        assert_eq!(
            value["metadata"]["labels"][MANAGED_BY.0], MANAGED_BY.1,
            "{manifest}"
        );
        assert_eq!(value["kind"], manifest.object().kind.as_str());
    }
}

#[test]
fn pods_are_hardened() {
    let all = agent_manifests(None);
    let set = all
        .iter()
        .find(|m| m.object().kind == Kind::StatefulSet)
        .unwrap();
    let pod = &set.expose_value()["spec"]["template"]["spec"];
    let containers = ["initContainers", "containers"]
        .into_iter()
        .flat_map(|key| pod[key].as_array().unwrap());
    for container in containers {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(
            security["readOnlyRootFilesystem"],
            container["name"] != "connector-agent"
        );
    }
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    assert_eq!(pod["nodeSelector"]["kubernetes.io/arch"], "amd64");
    let keys: Vec<_> = pod["tolerations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["key"].as_str().unwrap())
        .collect();
    assert!(
        keys.contains(&"node-role.kubernetes.io/control-plane"),
        "{keys:?}"
    );
}

#[test]
fn the_embedded_configuration_is_well_formed() {
    let json: Value = serde_json::from_str(include_str!("manifest/amazon-ssm-agent.json")).unwrap();
    assert_eq!(json["Agent"]["ContainerMode"], true);
    let xml = include_str!("manifest/seelog.xml");
    assert_eq!(xml.matches('<').count(), xml.matches('>').count());
}
