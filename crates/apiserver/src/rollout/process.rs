//! Which process answers: an address is only a name, and one API server may have several.
//!
//! Every kube-apiserver says in its metrics when its process started, to a hundredth of a second, and what it has used:
//! CPU time, to a hundredth too, and memory, to a byte. These only grow. Two names are of one process only if the instants
//! are the same and each of the three, asked twice in turn, grows in the order of asking. Servers that were started at
//! the same moment and do the same work are told apart by the memory.

/// An API server that was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Its address.
    pub url: String,
    /// Whether it is ready, or why not.
    pub ready: Result<(), String>,
    /// Its process, if it says so.
    pub process: Option<Process>,
}

/// A process by its metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Process {
    /// When it started, in seconds since 1970.
    pub started: f64,
    /// What it had used when it was asked first and then once more.
    pub used: [Used; 2],
}

/// What a process has used since it started; each only grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Used {
    /// CPU time in seconds (`process_cpu_seconds_total`).
    pub cpu_seconds: f64,
    /// Bytes allocated on the heap, freed ones included (`go_memstats_alloc_bytes_total`).
    pub allocated_bytes: f64,
    /// How many allocations these were (`go_memstats_mallocs_total`).
    pub allocations: f64,
}

impl Used {
    fn grows_to(&self, later: &Self) -> bool {
        self.cpu_seconds <= later.cpu_seconds
            && self.allocated_bytes <= later.allocated_bytes
            && self.allocations <= later.allocations
    }
}

impl Process {
    /// Whether another answer, asked for after this one both times, can be of the same process.
    fn is(&self, later: &Self) -> bool {
        let ([first, third], [second, fourth]) = (self.used, later.used);
        same(self.started, later.started)
            && first.grows_to(&second)
            && second.grows_to(&third)
            && third.grows_to(&fourth)
    }
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
/// rest with the reason why they do not count. This node's own was asked first.
pub fn distinct(own: &Process, asked: &[Asked]) -> Vec<(String, Result<(), String>)> {
    let mut known: Vec<(&str, Process)> = Vec::new();
    let mut all = Vec::new();
    for Asked {
        url,
        ready,
        process,
    } in asked
    {
        let verdict = match (ready, process) {
            (Err(why), _) => Err(why.clone()),
            (Ok(()), None) => Err(
                "it does not say when it started, so it cannot be told from this node's own"
                    .to_owned(),
            ),
            (Ok(()), Some(process)) if own.is(process) => {
                Err("it is this node's own API server under another name".to_owned())
            }
            (Ok(()), Some(process)) => {
                let twin = known.iter().find(|(_, other)| other.is(process));
                let twin = twin.map(|(other, _)| format!("it is the same API server as {other}"));
                known.push((url, *process));
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

    fn process(started: f64, cpu: [f64; 2]) -> Process {
        used(started, cpu, [1e9, 1e9])
    }

    fn used(started: f64, cpu: [f64; 2], bytes: [f64; 2]) -> Process {
        let at = |time: usize| Used {
            cpu_seconds: cpu[time],
            allocated_bytes: bytes[time],
            allocations: bytes[time] / 100.0,
        };
        Process {
            started,
            used: [at(0), at(1)],
        }
    }

    #[test]
    fn servers_that_start_and_work_alike_are_told_apart_by_the_byte() {
        let own = used(1000.25, [50.0, 50.0], [1e9, 1e9 + 4096.0]);
        let twin = used(1000.25, [50.0, 50.0], [1e9 + 1e6, 1e9 + 1.1e6]);
        let alias = used(1000.25, [50.0, 50.0], [1e9 + 2048.0, 1e9 + 6144.0]);
        let found = distinct(
            &own,
            &[
                asked("https://twin", Some(twin)),
                asked("https://alias", Some(alias)),
            ],
        );
        let counts: Vec<_> = found.iter().map(|(_, end)| end.is_ok()).collect();
        assert_eq!(counts, [true, false]);
    }

    fn asked(url: &str, process: Option<Process>) -> Asked {
        Asked {
            url: url.to_owned(),
            ready: Ok(()),
            process,
        }
    }

    #[test]
    fn names_of_one_process_count_once_and_this_node_s_own_never() {
        let ill = Asked {
            ready: Err("no answer".into()),
            ..asked("https://d", None)
        };
        let own = process(1000.25, [50.0, 50.2]);
        let all = [
            asked(
                "https://own-by-another-name",
                Some(process(1000.25, [50.0, 50.3])),
            ),
            asked("https://a", Some(process(1000.26, [70.0, 70.1]))),
            asked(
                "https://a-by-another-name",
                Some(process(1000.26, [70.0, 70.1])),
            ),
            // Started in the same hundredth as this node's own, and another process.
            asked("https://b", Some(process(1000.25, [42.0, 42.1]))),
            asked("https://silent", None),
            ill,
        ];
        let found = distinct(&own, &all);
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
