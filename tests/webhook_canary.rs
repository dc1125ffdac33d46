use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::util::{Home, Server, eventually};

use secret::{NUMBER, SECRET, broken, found_in, review, shows_none};
use site::{MAPS, Site, account, address, kubeconfig};

mod secret;
mod site;

const FILES: [&str; 3] = [
    "--in-cluster=false",
    "--tls-cert=tls.crt",
    "--tls-key=tls.key",
];
const JSON: &str = "Content-Type: application/json\r\n";

/// Every way to be refused, and some to be served, with secrets in each place: neither an answer nor the log, neither an
/// Event nor a metric has one.
#[test]
fn the_webhook_shows_nothing_of_a_pod() {
    let site = Site::new();
    let file = json!({"identities": [{"namespace": SECRET, "serviceAccount": NUMBER}]});
    site.home.write("identities.json", file.to_string());
    let more = [
        "--watch-config-map",
        "--namespace=kube-system",
        "--enable-debugging-handlers",
        "--service-account-lookup-grace-period=60ms",
        "--watch-container-credentials-config=identities.json",
    ];
    let server = site.serve("trace", &[&FILES[..], &more].concat());
    server.wait_for("last good one stays");
    let asking = Asking { site, server };
    served(&asking);
    refused(&asking);
    renewed(&asking);
    let Asking { site, server } = asking;
    // Whatever the webhook said to anybody.
    eventually("Events", || {
        (site.posted.lock().unwrap().len() >= 4).then_some(())
    });
    let admin = address(&server, "metrics on http://");
    for path in ["/metrics", "/readyz", "/debug/alpha/cache"] {
        let (head, body) = crate::util::get(&admin, path);
        // A ConfigMap and a file that were bad from the beginning keep nobody else's pods from their roles.
        assert!(head.contains("200 OK"), "{path}: {head} {body}");
        shows_none(path, &(head + &body));
    }
    let log = server.log();
    for line in [
        "pod reviewed",
        "a request cannot be reviewed",
        "pod without credentials",
        "not taken, the last good one stays",
        "certificate not taken",
    ] {
        assert!(log.contains(line), "{line} is not in\n{log}");
    }
    let longest = log.lines().map(str::len).max().unwrap();
    assert!(longest < 4_000, "a line of {longest} bytes");
    shows_none("the log", &log);
    shows_none("the Events", &site.posted.lock().unwrap().join("\n"));
    // The net catches something: what was sent, and the key that was served.
    let sent = review("reader").to_string();
    let key = site.home.read("tls.crt") + irsa_testkit::canary::private_key().expose_pem();
    for text in [&sent, &STANDARD.encode(&sent), &key] {
        assert!(found_in(text).is_some(), "{text}");
    }
}

struct Asking {
    site: Site,
    server: Server,
}

impl Asking {
    /// The answer, in which nothing stands that must not.
    fn ask(&self, path: &str, headers: &str, body: &[u8]) -> String {
        let answer = self.site.ask(&self.server, path, headers, body);
        let begin = String::from_utf8_lossy(&body[..body.len().min(400)]);
        shows_none(&format!("the answer to {path} {headers} {begin}"), &answer);
        answer
    }

    fn post(&self, path: &str, body: &Value) -> String {
        self.ask(path, JSON, body.to_string().as_bytes())
    }
}

/// A role is injected, or a sentence says why not.
fn served(asking: &Asking) {
    assert!(
        asking
            .post("/mutate", &review("reader"))
            .contains("JSONPatch")
    );
    let mut taken = review("reader");
    taken["request"]["object"]["spec"]["volumes"][0] =
        json!({"name": "aws-iam-token", "secret": {"secretName": SECRET}});
    assert!(asking.post("/mutate", &taken).contains("aws-iam-token"));
    taken = review("taken");
    taken["request"]["object"]["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] =
        "/var/run/secrets/eks.amazonaws.com/serviceaccount".into();
    assert!(
        asking
            .post("/mutate/required", &taken)
            .contains("\"allowed\":false")
    );
    for name in ["bare", "nobody", "unwilling", "garbled", "text", "silent"] {
        let answer = asking.post("/mutate", &review(name));
        assert!(answer.contains("\"allowed\":true"), "{name}: {answer}");
        asking.post("/mutate/required", &review(name));
    }
}

fn refused(asking: &Asking) {
    let whole = review("reader");
    for body in broken(&whole, "") {
        asking.post("/mutate", &body);
    }
    let text = whole.to_string();
    for cut in (1..text.len()).step_by(97) {
        let answer = asking.ask("/mutate", JSON, &text.as_bytes()[..cut]);
        assert!(answer.contains("400 Bad Request"), "{answer}");
    }
    let deep = format!("{}\"{SECRET}\"", "[".repeat(4000));
    let nested = format!("{{\"request\":{text}}}");
    for body in [SECRET, &format!("\"{SECRET}\""), &deep, &nested] {
        asking.ask("/mutate", JSON, body.as_bytes());
    }
    let mut bytes = text.clone().into_bytes();
    bytes[40] = 0xff;
    asking.ask("/mutate", JSON, &bytes);
    let mut long = review("taken");
    let name = "n".repeat(100_000);
    long["request"]["object"]["metadata"]["name"] = json!(name);
    long["request"]["object"]["metadata"]["ownerReferences"][0]["name"] = json!(name);
    long["request"]["object"]["spec"]["volumes"][0] = json!({"name": name});
    long["request"]["object"]["spec"]["containers"][0]["volumeMounts"][0] = json!({"name": name,
        "mountPath": "/var/run/secrets/eks.amazonaws.com/serviceaccount"});
    asking.post("/mutate", &long);
    let huge = json!([SECRET.repeat(200_000)]).to_string();
    asking.ask("/mutate", JSON, huge.as_bytes());
    asking.ask("/mutate", JSON, huge.repeat(3).as_bytes());
    let kind = format!("Content-Type: {SECRET}\r\n");
    asking.ask("/mutate", &kind, text.as_bytes());
    let headers = format!("{JSON}Authorization: Bearer {SECRET}\r\nCookie: {SECRET}\r\n");
    asking.ask(
        &format!("/mutate?token={SECRET}"),
        &headers,
        text.as_bytes(),
    );
    asking.ask(&format!("/{SECRET}"), JSON, text.as_bytes());
}

/// Half a renewal of the certificate, in several ways.
fn renewed(asking: &Asking) {
    let Asking { site, server } = asking;
    let key = site.home.read("tls.key");
    for part in [
        &key[..120],
        &key[30..],
        &format!("-----BEGIN {SECRET}\n{key}"),
        &key.replace("PRIVATE", SECRET),
    ] {
        site.home.write("tls.key", part);
        let times = || server.log().matches("still not taken").count();
        let before = times();
        // The first may be about the part before.
        eventually("a refusal", || (times() > before + 1).then_some(()));
    }
}

/// With the lines of the libraries too, and with a Secret that somebody damaged.
#[test]
fn libraries_and_a_damaged_secret_show_nothing_either() {
    let site = Site::new();
    let all = "irsa=trace,hyper=trace,hyper_util=trace,h2=trace,rustls=trace,tokio=trace,tower=trace,tower_http=trace,kube=trace,kube_client=trace,kube_runtime=trace";
    let server = site.serve(all, &FILES);
    eventually("readiness", || {
        crate::util::get(&address(&server, "metrics on http://"), "/readyz")
            .0
            .contains("200")
            .then_some(())
    });
    for name in ["reader", "bare", "nobody"] {
        let body = review(name).to_string();
        let answer = site.ask(
            &server,
            "/mutate",
            &format!("{JSON}Authorization: Bearer {SECRET}\r\n"),
            body.as_bytes(),
        );
        assert!(answer.contains("\"allowed\":true"), "{answer}");
    }
    assert!(server.log().contains("kube_client"), "{}", server.log());
    shows_none("the log", &server.log());
    let server = site.serve("trace", &["--in-cluster=true"]);
    shows_none(
        "the log",
        &server.wait_for("does not hold the webhook's CA"),
    );
}

/// Commands that look at pods, manifests and kubeconfigs.
#[test]
fn commands_show_nothing_of_what_they_cannot_read() {
    let site = Site::new();
    let runs = |args: &[&str], input: &str| {
        let ran = site
            .home
            .irsa(args)
            .env("IRSA_LOG", "trace")
            .stdin(input)
            .any();
        shows_none(
            &format!("irsa {} < {input}", args.join(" ")),
            &(ran.stdout + &ran.stderr),
        );
    };
    site.home
        .write("accounts.json", list_of(&[account("reader")]));
    let from_file = ["webhook", "review", "--service-accounts=accounts.json", "-"];
    let whole = review("reader");
    runs(&from_file, &whole.to_string());
    runs(
        &[&from_file[..], &["-o", "json"]].concat(),
        &whole.to_string(),
    );
    let pod = &whole["request"]["object"];
    let bodies = broken(pod, "/spec/containers/0")
        .into_iter()
        .chain(broken(pod, "/metadata"));
    for body in bodies.step_by(2) {
        runs(&from_file, &body.to_string());
    }
    for text in [
        format!("kind: Pod\nspec:\n  a: {SECRET}\n b: [{SECRET}\n"),
        format!("kind: Pod\nspec: {{a: \"{SECRET}}}\n"),
        format!("{{\"kind\":\"Pod\",\"a\":\"{SECRET}"),
    ] {
        runs(&from_file, &text);
    }
    for (number, config) in MAPS.iter().enumerate() {
        let name = format!("map-{number}.json");
        site.home.write(&name, list_of(&[json!({"kind": "ConfigMap", "metadata": {"name": "pod-identity-webhook"}, "data": {"config": config}})]));
        runs(
            &["webhook", "review", "--service-accounts", &name, "-"],
            &pod.to_string(),
        );
        runs(
            &[
                "webhook",
                "audit",
                "--kubeconfig=kubeconfig",
                "--config-map=kube-system",
            ],
            "",
        );
    }
    let audit = site
        .home
        .irsa(&["webhook", "audit", "--kubeconfig=kubeconfig"])
        .env("IRSA_LOG", "trace")
        .ok();
    assert!(
        audit.stdout.contains("no ARN of a role") && audit.stdout.contains("not injected"),
        "{}",
        audit.stdout
    );
    shows_none("irsa webhook audit", &(audit.stdout + &audit.stderr));
    for name in ["garbled", "text", "silent"] {
        runs(
            &["webhook", "review", "--kubeconfig=kubeconfig", "-"],
            &review(name).to_string(),
        );
    }
}

fn list_of(items: &[Value]) -> String {
    json!({"kind": "List", "apiVersion": "v1", "items": items}).to_string()
}

/// A kubeconfig holds tokens and keys: what is wrong with it is said without them.
#[test]
fn a_kubeconfig_is_not_quoted() {
    let home = Home::new();
    let plugin = |script: &str| {
        let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script], "interactiveMode": "Never"});
        kubeconfig("http://127.0.0.1:1", json!({"exec": exec}))
    };
    for (text, said) in [
        (
            format!("users:\n- name: u\n  user:\n    token: [{SECRET}]\n"),
            "line 4",
        ),
        (
            format!(
                "users:\n- name: u\n  user:\n    token: {SECRET}\n   client-key-data: {SECRET}\n"
            ),
            "line 5",
        ),
        (format!("users: {SECRET}\n"), "line 1"),
        (
            kubeconfig(
                "http://127.0.0.1:1",
                json!({"token": format!("{SECRET}\n")}),
            ),
            "line break",
        ),
        (
            plugin(&format!(
                "echo '{{\"kind\":\"ExecCredential\",\"status\":{{\"token\":[\"{SECRET}\"]}}}}'"
            )),
            "auth exec output",
        ),
        (
            plugin(&format!("echo {SECRET}; echo please log in >&2; exit 3")),
            "please log in",
        ),
    ] {
        home.write("kubeconfig", &text);
        for args in [
            &["webhook", "audit", "--kubeconfig=kubeconfig"][..],
            &["webhook", "audit"],
        ] {
            let path = home.path("kubeconfig");
            let ran = home
                .irsa(args)
                .env("KUBECONFIG", path.to_str().unwrap())
                .env("PATH", "/usr/bin:/bin")
                .code(1);
            assert!(ran.stderr.contains(said), "{text}: {}", ran.stderr);
            shows_none(&text, &(ran.stdout + &ran.stderr));
        }
    }
}
