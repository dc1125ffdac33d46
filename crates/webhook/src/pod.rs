//! The parts of a pod that decide about an injection, read from its JSON and never written back.
//!
//! A patch adds to the pod by position, so that a field which this program has never heard of cannot be lost: the
//! webhook that writes whole containers back deletes every field newer than itself.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

/// A JSON string that stays where it was read, unless it has escapes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A map of labels or annotations; JSON's null reads as the empty string, as Go reads it.
pub type TextMap<'a> = BTreeMap<Text<'a>, Option<Text<'a>>>;

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, expecting = "a pod")]
pub struct Pod<'a> {
    /// Its metadata.
    #[serde(borrow, deserialize_with = "object")]
    pub metadata: Option<Metadata<'a>>,
    /// Its specification.
    #[serde(borrow, deserialize_with = "object")]
    pub spec: Option<Spec<'a>>,
}

/// Who the pod is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", expecting = "metadata")]
pub struct Metadata<'a> {
    /// Its name; absent when the API server is to make one.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// What the API server makes its name from.
    #[serde(borrow)]
    pub generate_name: Option<Text<'a>>,
    /// Its labels.
    #[serde(borrow)]
    pub labels: Option<TextMap<'a>>,
    /// Its annotations.
    #[serde(borrow)]
    pub annotations: Option<TextMap<'a>>,
    /// What made it.
    #[serde(borrow)]
    pub owner_references: Option<Vec<Option<Owner<'a>>>>,
}

/// What made a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, expecting = "an owner reference")]
pub struct Owner<'a> {
    /// Its kind.
    #[serde(borrow)]
    pub kind: Option<Text<'a>>,
    /// Its name.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// Whether it is the one that manages the pod.
    pub controller: Option<bool>,
}

/// What the pod runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", expecting = "a pod's spec")]
pub struct Spec<'a> {
    /// The service account that it runs as.
    #[serde(borrow)]
    pub service_account_name: Option<Text<'a>>,
    /// The nodes that it may run on.
    #[serde(borrow)]
    pub node_selector: Option<TextMap<'a>>,
    /// Its volumes.
    #[serde(borrow)]
    pub volumes: Option<Vec<Option<Volume<'a>>>>,
    /// Its containers.
    #[serde(borrow, deserialize_with = "objects")]
    pub containers: Option<Vec<Container<'a>>>,
    /// Its init containers, native sidecars among them.
    #[serde(borrow, deserialize_with = "objects")]
    pub init_containers: Option<Vec<Container<'a>>>,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", expecting = "a container")]
pub struct Container<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// Its environment: names only, since values may be secrets.
    #[serde(borrow)]
    pub env: Option<Vec<Option<Variable<'a>>>>,
    /// Its mounts.
    #[serde(borrow)]
    pub volume_mounts: Option<Vec<Option<Mount<'a>>>>,
}

/// The name of an environment variable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, expecting = "a variable with a name")]
pub struct Variable<'a> {
    /// The name.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
}

/// Where a container mounts a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", expecting = "a volume mount")]
pub struct Mount<'a> {
    /// The volume.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// Where.
    #[serde(borrow)]
    pub mount_path: Option<Text<'a>>,
}

/// A volume; of its source only what tells whether it is the token volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, expecting = "a volume")]
pub struct Volume<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// A projected source.
    #[serde(borrow)]
    pub projected: Option<Projected<'a>>,
}

/// A projected volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, expecting = "a projected volume")]
pub struct Projected<'a> {
    /// What is projected into it.
    #[serde(borrow)]
    pub sources: Option<Vec<Option<Source<'a>>>>,
}

/// One source of a projected volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(
    default,
    rename_all = "camelCase",
    expecting = "a source of a projected volume"
)]
pub struct Source<'a> {
    /// A service account token.
    #[serde(borrow)]
    pub service_account_token: Option<TokenSource<'a>>,
}

/// A service account token in a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, expecting = "a token source")]
pub struct TokenSource<'a> {
    /// Its audience; absent for that of the API server.
    #[serde(borrow)]
    pub audience: Option<Text<'a>>,
    /// Its file name in the volume.
    #[serde(borrow)]
    pub path: Option<Text<'a>>,
}

impl<'a> Pod<'a> {
    /// The service account; empty when the pod names none.
    pub fn service_account(&self) -> &str {
        let spec = self.spec.as_ref();
        text(spec.and_then(|spec| spec.service_account_name.as_ref()))
    }

    /// The name, or what it will be made from.
    pub fn name(&self) -> &str {
        let Some(metadata) = &self.metadata else {
            return "";
        };
        match text(metadata.name.as_ref()) {
            "" => text(metadata.generate_name.as_ref()),
            name => name,
        }
    }

    /// An annotation; null counts as empty.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        entry(self.metadata.as_ref()?.annotations.as_ref()?, key)
    }

    /// A label; null counts as empty.
    pub fn label(&self, key: &str) -> Option<&str> {
        entry(self.metadata.as_ref()?.labels.as_ref()?, key)
    }

    /// Whether the pod says that it runs on Windows, in the two labels that upstream knows.
    pub fn is_windows(&self) -> bool {
        let selector = self
            .spec
            .as_ref()
            .and_then(|spec| spec.node_selector.as_ref());
        selector.is_some_and(|selector| {
            ["kubernetes.io/os", "beta.kubernetes.io/os"]
                .iter()
                .any(|key| entry(selector, key) == Some("windows"))
        })
    }

    /// The controller that made it, as `Kind/name`.
    pub fn owner(&self) -> Option<String> {
        let owners = self.metadata.as_ref()?.owner_references.as_ref()?;
        let owner = owners
            .iter()
            .flatten()
            .find(|owner| owner.controller == Some(true))?;
        Some(format!(
            "{}/{}",
            text(owner.kind.as_ref()),
            text(owner.name.as_ref())
        ))
    }

    /// The containers and init containers, in the order in which they are patched.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Container<'a>> {
        let spec = self.spec.as_ref();
        let lists = [
            spec.and_then(|spec| spec.containers.as_ref()),
            spec.and_then(|spec| spec.init_containers.as_ref()),
        ];
        lists.into_iter().flatten().flatten()
    }
}

impl Container<'_> {
    /// The name; empty when there is none.
    pub fn name(&self) -> &str {
        text(self.name.as_ref())
    }

    /// Whether its environment names this variable, with whatever value.
    pub fn defines(&self, variable: &str) -> bool {
        let env = self.env.iter().flatten().flatten();
        env.into_iter()
            .any(|found| text(found.name.as_ref()) == variable)
    }

    /// Its mounts, as volume and path.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = (&str, &str)> {
        let mounts = self.volume_mounts.iter().flatten().flatten();
        mounts.map(|mount| (text(mount.name.as_ref()), text(mount.mount_path.as_ref())))
    }
}

impl Volume<'_> {
    /// The name; empty when there is none.
    pub(crate) fn name(&self) -> &str {
        text(self.name.as_ref())
    }

    /// Whether it projects a token for this audience into a file of this name.
    pub(crate) fn has_token(&self, audience: &str, path: &str) -> bool {
        let sources = self.projected.iter().flat_map(|it| it.sources.iter());
        sources
            .flatten()
            .flatten()
            .filter_map(|source| source.service_account_token.as_ref())
            .any(|token| {
                text(token.audience.as_ref()) == audience && text(token.path.as_ref()) == path
            })
    }
}

fn entry<'m>(map: &'m TextMap<'_>, key: &str) -> Option<&'m str> {
    let found = map.get(key)?;
    Some(text(found.as_ref()))
}

fn text<'t>(text: Option<&'t Text<'_>>) -> &'t str {
    text.map_or("", |text| text.0.as_ref())
}

/// A JSON object. serde reads a struct from an array too, and a patch cannot add a member to an array.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let found = Option::<Object<T>>::deserialize(deserializer)?;
    Ok(found.map(|Object(found)| found))
}

fn objects<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let found = Option::<Vec<Object<T>>>::deserialize(deserializer)?;
    Ok(found.map(|all| all.into_iter().map(|Object(found)| found).collect()))
}
