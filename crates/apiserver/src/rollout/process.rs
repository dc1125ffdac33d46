//! Which process answers: an address is only a name, and one API server may have several.
//!
//! Every kube-apiserver says in its metrics when its process started, to a hundredth of a second. Answers with the same
//! instant are taken for one process. If two servers ever started in the same hundredth they are counted once, which
//! only makes a rollout more careful.

/// An API server that was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Its address.
    pub url: String,
    /// Whether it is ready, or why not.
    pub ready: Result<(), String>,
    /// When its process started, in seconds since 1970.
    pub started: Option<f64>,
}

/// What runs after a manifest was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// A process that started afterwards.
    Anew,
    /// The process from before the change, which never made way.
    Untouched,
    /// The process of the change, or none.
    No,
}

/// Of these servers, those that are healthy and certainly other processes than this node's and than each other; the
/// rest with the reason why they do not count.
pub fn distinct(own: f64, asked: &[Asked]) -> Vec<(String, Result<(), String>)> {
    let mut known: Vec<(&str, f64)> = Vec::new();
    let mut all = Vec::new();
    for Asked {
        url,
        ready,
        started,
    } in asked
    {
        let verdict = match (ready, started) {
            (Err(why), _) => Err(why.clone()),
            (Ok(()), None) => Err(
                "it does not say when it started, so it cannot be told from this node's own"
                    .to_owned(),
            ),
            (Ok(()), Some(at)) if same(own, *at) => {
                Err("it is this node's own API server under another name".to_owned())
            }
            (Ok(()), Some(at)) => {
                let twin = known.iter().find(|(_, other)| same(*other, *at));
                let twin = twin.map(|(other, _)| format!("it is the same API server as {other}"));
                known.push((url, *at));
                twin.map_or(Ok(()), Err)
            }
        };
        all.push((url.clone(), verdict));
    }
    all
}

/// Whether what answers after a manifest was put back runs with it. `before` is when the process from before the change
/// started, `failed` when that of the change did, if it was seen at all.
pub fn back(started: Option<f64>, before: f64, failed: Option<f64>) -> Back {
    match started {
        Some(at) if at > failed.unwrap_or(before) => Back::Anew,
        Some(at) if failed.is_none() && same(at, before) => Back::Untouched,
        _ => Back::No,
    }
}

/// Whether two instants are one: the metrics have hundredths of a second, and a float's last digits are no difference.
pub(super) fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < 0.005
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(url: &str, started: Option<f64>) -> Asked {
        Asked {
            url: url.to_owned(),
            ready: Ok(()),
            started,
        }
    }

    #[test]
    fn names_of_one_process_count_once_and_this_node_s_own_never() {
        let ill = Asked {
            ready: Err("no answer".into()),
            ..asked("https://d", None)
        };
        let all = [
            asked("https://own-by-another-name", Some(1000.25)),
            asked("https://a", Some(1000.26)),
            asked("https://a-by-another-name", Some(1000.26)),
            asked("https://b", Some(900.0)),
            asked("https://silent", None),
            ill,
        ];
        let found = distinct(1000.25, &all);
        let healthy: Vec<_> = found.iter().filter(|(_, end)| end.is_ok()).collect();
        let names: Vec<_> = healthy.iter().map(|(url, _)| url.as_str()).collect();
        assert_eq!(names, ["https://a", "https://b"]);
        let reasons: Vec<_> = found
            .iter()
            .filter_map(|(_, end)| end.as_ref().err())
            .collect();
        for (reason, text) in reasons.iter().zip([
            "own",
            "same API server as https://a",
            "when it started",
            "no answer",
        ]) {
            assert!(reason.contains(text), "{reason}");
        }
    }

    #[test]
    fn only_a_new_process_or_the_untouched_one_runs_with_what_was_put_back() {
        for (started, failed, wanted) in [
            (Some(30.0), Some(20.0), Back::Anew),
            (Some(20.0), Some(20.0), Back::No),
            (Some(10.0), Some(20.0), Back::No),
            (Some(20.0), None, Back::Anew),
            (Some(10.0), None, Back::Untouched),
            (None, None, Back::No),
            (None, Some(20.0), Back::No),
        ] {
            assert_eq!(
                back(started, 10.0, failed),
                wanted,
                "{started:?} {failed:?}"
            );
        }
    }
}
