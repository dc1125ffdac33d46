//! Where a connected cluster runs, as `ConnectorConfigProvider` of the EKS API names it.

use std::fmt;

use irsa_core::explain::Explain;

/// The providers of the EKS API, in its order and spelling.
pub const PROVIDERS: [&str; 9] = [
    "EKS_ANYWHERE",
    "ANTHOS",
    "GKE",
    "AKS",
    "OPENSHIFT",
    "TANZU",
    "RANCHER",
    "EC2",
    "OTHER",
];

/// A provider: one of [`PROVIDERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provider(&'static str);

/// A text that names no provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no provider, expected one of {all}", all = PROVIDERS.join(", "))]
pub struct ProviderError(String);

impl Explain for ProviderError {
    fn help(&self) -> Option<String> {
        Some(
            "clusters made with kubeadm, k3s, RKE2, Talos, kind or kOps are --provider OTHER, or EC2 when their nodes are EC2 instances"
                .into(),
        )
    }
}

impl Provider {
    /// Reads a provider in any case; `eks-anywhere` is `EKS_ANYWHERE`.
    pub fn parse(text: &str) -> Result<Self, ProviderError> {
        let wanted = text.to_ascii_uppercase().replace(['-', ' '], "_");
        PROVIDERS
            .into_iter()
            .find(|known| *known == wanted)
            .map(Self)
            .ok_or_else(|| ProviderError(text.to_owned()))
    }

    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_case_is_a_provider() {
        for text in ["eks_anywhere", "EKS-Anywhere", "EKS_ANYWHERE"] {
            assert_eq!(Provider::parse(text).unwrap().as_str(), "EKS_ANYWHERE");
        }
        for known in PROVIDERS {
            assert_eq!(Provider::parse(known).unwrap().to_string(), known);
        }
    }

    #[test]
    fn another_text_is_refused_with_all_names() {
        let error = Provider::parse("kubeadm").unwrap_err();
        assert!(error.to_string().contains("EKS_ANYWHERE, ANTHOS"));
        assert!(error.help().unwrap().contains("--provider OTHER"));
    }

    #[test]
    fn the_names_are_those_of_the_published_api() {
        let mut known: Vec<_> = aws_sdk_eks::types::ConnectorConfigProvider::values().to_vec();
        let mut ours = PROVIDERS.to_vec();
        known.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, known);
    }
}
