//! The file from which the status page knows a rotation: the endpoint needs no access to the key ring, which lies beside the
//! private keys.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use irsa_issuer::keyfile;
use irsa_issuer::serve::status::{RotatingKey, Rotation};
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

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

/// How long a file is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

type Reader = fn(&Path) -> Result<Rotation, String>;

/// Such a file, read again and again beside the requests. Reading may block for as long as it likes, as on a network file
/// system whose server is gone: then the file does not answer, and one thread waits for it, however often it is looked at.
pub(super) struct Followed {
    pub(super) file: PathBuf,
    reader: Reader,
    under_way: Option<JoinHandle<Result<Rotation, String>>>,
}

impl Followed {
    pub(super) fn new(file: PathBuf) -> Self {
        Self {
            file,
            reader: read,
            under_way: None,
        }
    }

    /// Begins a look, unless one is under way.
    pub(super) fn begin(&mut self) -> &mut JoinHandle<Result<Rotation, String>> {
        let (file, reader) = (&self.file, self.reader);
        self.under_way.get_or_insert_with(|| {
            let file = file.clone();
            tokio::task::spawn_blocking(move || reader(&file))
        })
    }

    /// What the look finds until then.
    pub(super) async fn found(&mut self, until: Instant) -> Result<Rotation, String> {
        let Ok(ended) = timeout_at(until, self.begin()).await else {
            return Err("does not answer: the read is still waited for".into());
        };
        self.under_way = None;
        ended.unwrap_or_else(|_| Err("cannot be read: the look at it failed".into()))
    }
}

/// Reads such a file, or says what is wrong with it.
fn read(file: &Path) -> Result<Rotation, String> {
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
    use std::sync::atomic::{AtomicU32, Ordering};

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

    /// Opening a pipe waits for its writer as a dead file server is waited for.
    #[tokio::test]
    async fn a_file_that_does_not_answer_is_told_and_costs_one_thread() {
        static READS: AtomicU32 = AtomicU32::new(0);
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("rotation.json");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let mut followed = Followed::new(pipe.clone());
        followed.reader = |file| {
            READS.fetch_add(1, Ordering::SeqCst);
            parse(&std::fs::read_to_string(file).map_err(|error| error.to_string())?)
        };
        let soon = |millis| Instant::now() + Duration::from_millis(millis);
        for _ in 0..3 {
            let why = followed.found(soon(20)).await.unwrap_err();
            assert!(why.starts_with("does not answer"), "{why}");
        }
        assert_eq!(READS.load(Ordering::SeqCst), 1);
        // It answers again: what it says is taken, and the next look is a new one.
        let text = r#"{"issuer":"https://h","written":"2026-11-22T10:00:00Z","keys":[]}"#;
        std::fs::write(&pipe, text).unwrap();
        let rotation = followed.found(soon(10_000)).await.unwrap();
        assert_eq!(rotation.issuer, "https://h");
        followed.begin();
        std::fs::write(&pipe, "{}").unwrap();
        followed.found(soon(10_000)).await.unwrap_err();
        assert_eq!(READS.load(Ordering::SeqCst), 2);
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
