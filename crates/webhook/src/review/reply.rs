//! The answer as it goes over the wire.

use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api_version: Option<&'a str>,
    pub(super) response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response<'a> {
    pub(super) uid: &'a str,
    pub(super) allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Status {
    pub(super) metadata: Empty,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<u16>,
}

#[derive(Serialize)]
pub(super) struct Empty {}

pub(super) fn encode(reply: &Reply<'_>) -> Vec<u8> {
    // Strings, numbers and lists of them cannot fail to be written.
    serde_json::to_vec(reply).unwrap_or_default()
}

/// Names in a pod are chosen by whoever made it: none may break out of its line in a terminal.
pub(super) fn plain(text: &str) -> String {
    let visible = |c: char| match c {
        ' '..='~' => c.to_string(),
        c => c.escape_debug().to_string(),
    };
    text.chars().take(MAX_WARNING).map(visible).collect()
}

/// The API server cuts longer warnings when there are many.
pub(super) const MAX_WARNING: usize = 256;
