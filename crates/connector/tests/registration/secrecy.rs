use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use irsa_connector::connect::Target;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::server::Fault::{Garble, LoseAnswer, Refuse};
use crate::site::{Site, files, run};

/// Collects all that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The server's codes all begin like this.
const CANARY: &str = "cAnArYcOdE";

fn spellings() -> [String; 3] {
    let base64 = |skip: usize| {
        let text = format!("{CANARY}0000000001");
        let encoded = base64::prelude::BASE64_STANDARD.encode(&text.as_bytes()[skip..]);
        encoded[..10].to_owned()
    };
    [
        CANARY.to_owned(),
        base64(0),
        CANARY.bytes().map(|b| format!("{b}, ")).collect(),
    ]
}

fn demand_absent(text: &str, what: &str) {
    for spelling in spellings() {
        assert!(
            !text.contains(&spelling),
            "the code is in {what}: {spelling}"
        );
    }
}

#[test]
fn the_code_is_in_no_log_even_at_trace_and_in_no_error() {
    let log = Log::default();
    let writer = log.clone();
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let subscriber = tracing_subscriber::registry()
        .with(layer)
        .with(tracing_subscriber::filter::LevelFilter::TRACE);
    // One thread for client and server, so that this test sees its own and no other's.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let guard = tracing::subscriber::set_default(subscriber);
    runtime.block_on(async {
        for faults in [
            vec![],
            vec![LoseAnswer],
            vec![Garble],
            vec![Refuse(428, "ResourcePropagationDelayException", "")],
        ] {
            let site = Site::new().await;
            site.server.world().fault("eks:RegisterCluster", &faults);
            let mut connected = site.register().await;
            if connected.is_err() {
                connected = site.register().await;
            }
            demand_absent(&format!("{:?}", connected.unwrap()), "the result");
            let facts = irsa_connector::examine::facts(
                &site.aws().await,
                &site.registration(),
                &irsa_connector::aws::Caller {
                    account: "111122223333".into(),
                    arn: "arn:aws:iam::111122223333:user/x".into(),
                },
                Ok(
                    kube::Client::try_from(kube::Config::new(site.server.url().parse().unwrap()))
                        .unwrap(),
                ),
                jiff::Timestamp::now(),
            )
            .await;
            demand_absent(&format!("{facts:?}"), "what the doctor knows");
            crate::deregistration::everything(&site).await;
        }
        // An answer that is cut off, and objects that are refused.
        let site = Site::new().await;
        site.server
            .world()
            .fault("eks:RegisterCluster", &vec![LoseAnswer; 9]);
        let error = site.register().await.unwrap_err();
        demand_absent(&format!("{error} {error:?}"), "an error");
        let site = Site::new().await;
        site.server.world().fault(
            "PATCH secrets/eks-connector-activation-config",
            &[Refuse(403, "Forbidden", "no")],
        );
        let error = site.register().await.unwrap_err();
        demand_absent(&format!("{error} {error:?}"), "an error");
    });
    drop(guard);
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(
        text.contains("CreateRole") && text.len() > 10_000,
        "the net is open: {} bytes",
        text.len()
    );
    demand_absent(&text, "the log");
}

#[tokio::test]
async fn the_code_is_in_files_for_their_owner_only() {
    let site = Site::new().await;
    let mut connection = site.connection().await;
    connection.target = Target::Files(site.home.path().join("out"));
    connection.wait = None;
    run(&connection, &site.journal()).await.unwrap();
    let mut holders = 0;
    for path in files(site.home.path()) {
        let text = std::fs::read_to_string(&path).unwrap();
        if spellings().iter().any(|spelling| text.contains(spelling)) {
            holders += 1;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
            let folder = std::fs::metadata(path.parent().unwrap())
                .unwrap()
                .permissions()
                .mode()
                & 0o777;
            assert_eq!(folder, 0o700, "{}", path.display());
        }
    }
    assert_eq!(holders, 2, "the journal and the manifest");
}

#[tokio::test]
async fn the_secret_holds_the_code_once_encoded_and_the_journal_forgets_it() {
    let site = Site::new().await;
    site.register().await.unwrap();
    let secret =
        site.server.world().objects["v1/eks-connector/secrets/eks-connector-activation-config"]
            .clone();
    let code = base64::prelude::BASE64_STANDARD
        .decode(secret["data"]["code"].as_str().unwrap())
        .unwrap();
    assert_eq!(code, site.server.world().clusters["prod"].code.as_bytes());
    for path in files(site.home.path()) {
        demand_absent(
            &std::fs::read_to_string(&path).unwrap(),
            &path.display().to_string(),
        );
    }
    let others = site.server.world().objects.clone();
    for (name, object) in others
        .iter()
        .filter(|(name, _)| !name.contains("activation-config"))
    {
        demand_absent(&object.to_string(), name);
    }
}
