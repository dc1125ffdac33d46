//! The container images of the connector, pinned.

use irsa_core::explain::Explain;

/// The EKS Connector itself; the version of the last published chart (`eks-connector-chart` 0.0.11, `appVersion`).
pub const CONNECTOR: &str = "public.ecr.aws/eks-connector/eks-connector:0.0.11";
/// The Systems Manager agent that carries the console's requests; the version of the same chart.
pub const SSM_AGENT: &str = "public.ecr.aws/amazon-ssm-agent/amazon-ssm-agent:3.2.2303.0";

/// The two images of a connector pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Init container and proxy.
    pub connector: String,
    /// The Systems Manager agent.
    pub agent: String,
}

/// Why an image reference is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Neither tag nor digest, or the tag that always moves.
    #[error("image \"{0}\" is not pinned, expected a tag other than latest, or a digest")]
    Unpinned(String),
    /// Nothing that a container runtime could pull.
    #[error("\"{0}\" is no image reference, expected like registry.example.com/name:tag")]
    Malformed(String),
    /// A registry with something else in it.
    #[error("\"{0}\" is no image mirror, expected a registry with an optional path")]
    Mirror(String),
    /// Another name before the equals sign.
    #[error("\"{0}\" names no container image, expected connector=REFERENCE or agent=REFERENCE")]
    Unknown(String),
}

impl Explain for ImageError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Mirror(_) => {
                "write it like --image-mirror registry.example.com/ecr-public".into()
            }
            _ => format!("write it like --image connector={CONNECTOR} --image agent={SSM_AGENT}"),
        })
    }
}

impl Default for Images {
    fn default() -> Self {
        Self {
            connector: CONNECTOR.to_owned(),
            agent: SSM_AGENT.to_owned(),
        }
    }
}

impl Images {
    /// The pinned images, from a mirror of `public.ecr.aws` if one is named, with single ones replaced by
    /// `connector=REFERENCE` and `agent=REFERENCE`.
    pub fn resolve<S: AsRef<str>>(
        mirror: Option<&str>,
        replaced: impl IntoIterator<Item = S>,
    ) -> Result<Self, ImageError> {
        let mut images = Self::default();
        if let Some(mirror) = mirror {
            let registry = mirror.trim_end_matches('/');
            if registry.is_empty()
                || registry.contains("://")
                || !registry.bytes().all(is_reference_byte)
            {
                return Err(ImageError::Mirror(mirror.to_owned()));
            }
            for image in [&mut images.connector, &mut images.agent] {
                if let Some((_, path)) = image.split_once('/') {
                    *image = format!("{registry}/{path}");
                }
            }
        }
        for text in replaced {
            let text = text.as_ref();
            match text.split_once('=') {
                Some(("connector", image)) => images.connector = pinned(image)?,
                Some(("agent", image)) => images.agent = pinned(image)?,
                _ => return Err(ImageError::Unknown(text.to_owned())),
            }
        }
        Ok(images)
    }
}

fn pinned(image: &str) -> Result<String, ImageError> {
    let malformed = || ImageError::Malformed(image.to_owned());
    if image.is_empty() || image.contains("://") || !image.bytes().all(is_reference_byte) {
        return Err(malformed());
    }
    if let Some((name, digest)) = image.split_once('@') {
        let hex = digest.strip_prefix("sha256:").ok_or_else(malformed)?;
        let well_formed = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        return if well_formed && !name.is_empty() {
            Ok(image.to_owned())
        } else {
            Err(malformed())
        };
    }
    // A colon before the last slash belongs to the registry's port.
    let last = image.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((name, tag)) if !name.is_empty() && !tag.is_empty() && tag != "latest" => {
            Ok(image.to_owned())
        }
        Some(("", _)) => Err(malformed()),
        _ => Err(ImageError::Unpinned(image.to_owned())),
    }
}

const fn is_reference_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b':' | b'@')
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [&str; 0] = [];

    #[test]
    fn a_mirror_keeps_paths_and_tags() {
        let images = Images::resolve(Some("registry.example.com:5000/ecr/"), NONE).unwrap();
        assert_eq!(
            images.connector,
            "registry.example.com:5000/ecr/eks-connector/eks-connector:0.0.11"
        );
        assert_eq!(
            images.agent,
            "registry.example.com:5000/ecr/amazon-ssm-agent/amazon-ssm-agent:3.2.2303.0"
        );
    }

    #[test]
    fn one_image_can_be_replaced() {
        let digest = format!("r.example.com:5000/c@sha256:{}", "ab".repeat(32));
        let images = Images::resolve(Some("m"), [format!("connector={digest}")]).unwrap();
        assert_eq!(images.connector, digest);
        assert!(images.agent.starts_with("m/"));
    }

    #[test]
    fn images_that_move_are_refused() {
        for image in ["r/c", "r/c:latest", "r:5000/c"] {
            assert!(
                matches!(
                    Images::resolve(None, [format!("agent={image}")]),
                    Err(ImageError::Unpinned(_))
                ),
                "{image}"
            );
        }
        for image in [
            "",
            "https://r/c:1",
            "r/c@sha256:ab",
            "r/c@md5:ab",
            "r/c d:1",
            ":1",
        ] {
            assert!(
                matches!(
                    Images::resolve(None, [format!("agent={image}")]),
                    Err(ImageError::Malformed(_))
                ),
                "{image}"
            );
        }
        assert!(Images::resolve(None, ["proxy=r/c:1"]).is_err());
        assert!(Images::resolve(Some("https://r"), NONE).is_err());
    }

    #[test]
    fn the_defaults_are_pinned() {
        for image in [CONNECTOR, SSM_AGENT] {
            pinned(image).unwrap();
        }
    }
}
