//! The file from which the status page knows a rotation: the endpoint needs no access to the key ring, which lies beside the
//! private keys.

use std::io::Read as _;
use std::path::Path;

use irsa_issuer::keyfile;
use irsa_issuer::serve::status::{RotatingKey, Rotation};
use jiff::Timestamp;

/// What `irsa rotate status -o json` prints, as far as it is shown.
#[derive(serde::Deserialize)]
struct Status {
    issuer: String,
    written: Timestamp,
    keys: Vec<Row>,
}

#[derive(serde::Deserialize)]
struct Row {
    kid: String,
    state: String,
    #[serde(default)]
    since: Option<Timestamp>,
    #[serde(default)]
    compromised: bool,
    #[serde(default)]
    next: String,
    #[serde(default)]
    opens: Option<Timestamp>,
}

/// Reads such a file, or says what is wrong with it.
pub(super) fn read(file: &Path) -> Result<Rotation, String> {
    let mut text = String::new();
    let opened = keyfile::open_regular(file);
    let (opened, _) = opened.map_err(|error| format!("cannot be read: {error}"))?;
    let read = opened.take(MAX_STATUS + 1).read_to_string(&mut text);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > MAX_STATUS {
        return Err("is larger than 1 MiB: what irsa rotate status -o json prints is not".into());
    }
    parse(&text)
}

fn parse(text: &str) -> Result<Rotation, String> {
    let status: Status = serde_json::from_str(text)
        .map_err(|error| format!("is not what irsa rotate status -o json prints: {error}"))?;
    let key = |row: Row| RotatingKey {
        kid: row.kid,
        state: row.state,
        since: row.since,
        next: row.next,
        opens: row.opens,
        compromised: row.compromised,
    };
    Ok(Rotation {
        issuer: status.issuer,
        written: status.written,
        keys: status.keys.into_iter().map(key).collect(),
    })
}

const MAX_STATUS: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("rotation.json");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let why = read(&pipe).unwrap_err();
        assert!(why.contains("a pipe, a socket or a device"), "{why}");
    }

    #[test]
    fn a_rotation_is_what_rotate_status_prints() {
        let rotation = parse(
            r#"{"issuer":"https://h","generation":7,"written":"2026-11-22T10:00:00Z","servers":[],"keys":[{"kid":"a",
               "state":"current","since":null,"compromised":false,"next":"is replaced","opens":"2026-12-01T00:00:00Z"}]}"#,
        )
        .unwrap();
        assert_eq!(rotation.keys[0].state, "current");
        assert!(rotation.keys[0].opens.is_some());
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"issuer":"h","written":"today","keys":[]}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
