//! A review as it comes over the wire. Fields that decide nothing are not read.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::pod::Text;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an AdmissionReview")]
pub(super) struct Wire<'a> {
    #[serde(borrow)]
    pub(super) api_version: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) request: Option<Request<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a request")]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    pub(super) uid: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) resource: Option<Resource<'a>>,
    #[serde(borrow)]
    pub(super) sub_resource: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) namespace: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) operation: Option<Text<'a>>,
    pub(super) dry_run: Option<bool>,
    #[serde(borrow)]
    pub(super) object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(expecting = "a resource")]
pub(super) struct Resource<'a> {
    #[serde(borrow)]
    pub(super) group: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) resource: Option<Text<'a>>,
}

impl Request<'_> {
    /// A field that is missing says nothing against it: upstream looks at none of them.
    pub(super) fn creates_a_pod(&self) -> bool {
        let says = |text: &Option<Text<'_>>, expected: &str| {
            text.as_ref().is_none_or(|text| text.0 == expected)
        };
        let pods = self
            .resource
            .as_ref()
            .is_none_or(|it| says(&it.group, "") && says(&it.resource, "pods"));
        pods && says(&self.sub_resource, "") && says(&self.operation, "CREATE")
    }
}
