use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use irsa_testkit::cloud::Crash;

use crate::bootstrap_setting::{CLUSTER, Setting};
use crate::cloudfront::CDN;
use crate::util::eventually;

/// Everything that a run leaves in the cloud.
type State = (Vec<String>, Vec<String>, Vec<String>, String);

fn state(setting: &Setting) -> State {
    let (objects, providers, roles) = setting.end_state();
    let front = setting.cloud.cloudfront();
    let settings: Vec<_> = ["policy", "publicAccessBlock", "tagging", "versioning"]
        .map(|name| setting.cloud.setting("oidc-bucket", name))
        .into();
    (
        objects,
        providers,
        roles,
        format!("{front:#?}\n{settings:#?}"),
    )
}

/// The client is killed at its write number `at`, before or after the write is done. The next run ends where an
/// undisturbed one does, the key is that which was made first, and nothing is left over.
fn killed(config: &str, at: usize, after: bool, expected: &State) {
    let place = format!(
        "killed {} write {at}",
        if after { "after" } else { "before" }
    );
    let setting = Setting::new(config);
    let pid = Arc::new(AtomicU32::new(0));
    let victim = Arc::clone(&pid);
    let kill = Box::new(move || {
        let pid = eventually("the client's process ID", || {
            match victim.load(Ordering::SeqCst) {
                0 => None,
                pid => Some(pid.to_string()),
            }
        });
        assert!(
            std::process::Command::new("kill")
                .args(["-9", &pid])
                .status()
                .unwrap()
                .success()
        );
    });
    setting.cloud.crash(Some(Crash { at, after, kill }));
    let server = setting.bootstrap(&["--yes"]).start();
    pid.store(server.pid(), Ordering::SeqCst);
    let (_, code) = server.finish();
    // On a busy machine it may give up waiting just before it is killed.
    assert_ne!(code, Some(0), "{place}: not stopped");
    let key = setting.home.read("keys/sa.pub");
    // AWS trusts the issuer only when its documents can be read.
    if !setting.cloud.iam().providers.is_empty() {
        let documents = setting.cloud.objects();
        let documents = documents
            .iter()
            .filter(|(_, key, _)| !key.contains("probe"));
        assert_eq!(documents.count(), 2, "{place}");
    }
    setting.bootstrap(&["--yes"]).ok();
    assert_eq!(state(&setting), *expected, "{place}");
    let again = setting.home.read("keys/sa.pub");
    assert_eq!(again, key, "{place}: the key was made anew");
    assert_eq!(setting.files(), ["sa.key", "sa.pub"], "{place}");
}

/// Kills at each of these writes, some runs beside each other: most of their time they wait.
fn sweep(config: &str, writes: Range<usize>, expected: &State) {
    let cases: Vec<(usize, bool)> = writes.flat_map(|at| [(at, false), (at, true)]).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..BESIDE {
            scope.spawn(|| {
                while let Some((at, after)) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    killed(config, *at, *after, expected);
                }
            });
        }
    });
}

/// As many runs at once.
const BESIDE: usize = 3;

fn undisturbed(config: &str) -> (Setting, usize) {
    let whole = Setting::new(config);
    whole.cloud.take_writes();
    whole.bootstrap(&["--yes"]).ok();
    let writes = whole.cloud.take_writes();
    (whole, writes)
}

#[test]
fn killed_at_every_write_it_converges() {
    let (whole, writes) = undisturbed(CLUSTER);
    assert!(writes >= 12, "{writes}");
    sweep(CLUSTER, 0..writes, &state(&whole));
}

/// Of a chain with a distribution the writes that differ: those up to the policy that lets the distribution in.
#[test]
fn killed_at_every_write_of_a_distribution_it_converges() {
    let (whole, writes) = undisturbed(CDN);
    let requests = whole.cloud.take_requests();
    let reads = |line: &&String| {
        ["GET ", "HEAD ", "Get", "List"]
            .iter()
            .any(|verb| line.starts_with(verb))
    };
    let made: Vec<&String> = requests.iter().filter(|line| !reads(line)).collect();
    assert_eq!(made.len(), writes, "{made:#?}");
    let at = |text: &str| made.iter().position(|line| line.contains(text)).unwrap();
    let first = at("/origin-access-control");
    let last = at("PUT /oidc-bucket/?policy");
    assert!(first < at("/distribution") && at("/distribution") < last);
    sweep(CDN, first..last + 1, &state(&whole));
}
