//! `irsa webhook serve` and `manifest`: flags, configuration file, what is refused before anything is served.

use crate::util::Home;

/// Of an API server that nobody runs.
const KUBECONFIG: &str = r#"{"apiVersion":"v1","kind":"Config","current-context":"c",
        "clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:1"}}],
        "contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{}}]}"#;

/// The argument lists of the distributions that deploy the upstream webhook today.
#[test]
fn flags_in_the_wild_are_taken() {
    let home = Home::new();
    for flags in [
        // the upstream repository, EKS Anywhere
        "--in-cluster=false --namespace=default --service-name=pod-identity-webhook --annotation-prefix=eks.amazonaws.com --token-audience=sts.amazonaws.com --logtostderr",
        // kOps
        "--in-cluster=false --namespace=kube-system --service-name=pod-identity-webhook --annotation-prefix=eks.amazonaws.com --token-audience=amazonaws.com --logtostderr --watch-config-map --sts-regional-endpoint --aws-default-region=eu-central-1 --v=5",
        // OpenShift's cloud credential operator
        "--in-cluster=false --namespace=openshift-cloud-credential-operator --service-name=pod-identity-webhook --tls-cert=/var/run/app/certs/tls.crt --tls-key=/var/run/app/certs/tls.key --port=9443 --tls-min-version=VersionTLS12 --tls-cipher-suites=TLS_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA -v=2",
        // a chart of the community
        "--port=8443 --metrics-port=9443 --sts-regional-endpoint=true --aws-default-region= --resync-period=1m0s --service-account-lookup-grace-period=100ms",
        // old guides
        "--in-cluster --tls-secret=pod-identity-webhook --alsologtostderr --stderrthreshold=INFO --log_dir=/tmp --vmodule=a=1",
        // EKS
        "--watch-container-credentials-config=/etc/kubernetes/identities.json --container-credentials-audience=a --container-credentials-full-uri=http://169.254.170.23/v1/credentials --container-credentials-token-mount-path=/a --container-credentials-token-volume-name=b --container-credentials-token-path=c --enable-debugging-handlers=true --kube-api=https://10.0.0.1 --kubeconfig=x",
        // pflag takes the last of two
        "--port=1 --port=2",
    ] {
        let mut args: Vec<_> = ["webhook", "serve"].into();
        args.extend(flags.split(' '));
        args.push("--version");
        let stdout = home.irsa(&args).ok().stdout;
        assert!(stdout.starts_with("irsa "), "{flags}");
    }
}

/// Upstream's image is started as `/webhook --flags`.
#[test]
fn a_program_called_webhook_is_the_webhook() {
    use std::os::unix::process::CommandExt as _;
    let started = |name: &str, flag: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_irsa"))
            .arg0(name)
            .arg(flag)
            .env_clear()
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(started("/webhook", "--version").0, Some(0));
    let (code, stderr) = started("/webhook", "--no-such-flag");
    assert!(
        code == Some(2) && stderr.contains("irsa webhook serve"),
        "{stderr}"
    );
    assert_eq!(started("irsa", "--in-cluster").0, Some(2));
}

#[test]
fn serving_is_refused_before_it_begins_when_it_cannot_work() {
    let home = Home::new();
    home.write("kubeconfig", KUBECONFIG);
    for (args, code, text) in [
        (
            &["--tls-cipher-suites=nope"][..],
            2,
            "does not exist in Go's crypto/tls",
        ),
        (&["--tls-min-version=1.4"], 2, "TLS version"),
        (&["--kube-api=::"], 2, "--kube-api"),
        (&["--in-cluster=maybe"], 2, "true or false"),
        (&["--service-account-lookup-grace-period=1"], 2, "100ms"),
        (&["--kubeconfig=missing"], 1, "kubeconfig \"missing\""),
        (
            &["--in-cluster=false", "--tls-cert=a.crt", "--tls-key=a.key"],
            1,
            "a.crt",
        ),
    ] {
        let all = [
            &[
                "webhook",
                "serve",
                "--kubeconfig=kubeconfig",
                "--listen=127.0.0.1:0",
                "--metrics-listen=127.0.0.1:0",
            ],
            args,
        ]
        .concat();
        let stderr = home.irsa(&all).code(code).stderr;
        assert!(stderr.contains(text), "{args:?}: {stderr}");
        assert!(code != 1 || stderr.contains("help:"), "{stderr}");
    }
}

#[test]
fn the_configuration_file_stands_under_the_flags() {
    let home = Home::new();
    home.write(
        "accounts.yaml",
        "kind: ServiceAccount\nmetadata: {name: a, namespace: default, annotations: {eks.amazonaws.com/role-arn: \
         'arn:aws:iam::111122223333:role/a'}}\n",
    );
    home.write(
        "pod.yaml",
        "kind: Pod\nmetadata: {name: p}\nspec: {serviceAccountName: a, containers: [{name: c}]}\n",
    );
    home.write(
        "etc/irsa.yaml",
        "webhook:\n  aws_default_region: eu-west-1\n  token_expiration: 3600\n  shutdown_delay: 5s\n  \
         foreign_volume: keep\n  tls_name: [hook.example.com]\n  tls_cert: a.crt\n",
    );
    let config = ["--config", "etc/irsa.yaml"];
    let shown = |more: &[&str]| {
        let review = ["webhook", "review", "--service-accounts", "accounts.yaml"];
        let args = [&review[..], &["pod.yaml", "-o", "json"], &config, more].concat();
        home.irsa(&args).ok().stdout
    };
    let text = shown(&[]);
    assert!(
        text.contains("eu-west-1") && text.contains("3600"),
        "{text}"
    );
    let text = shown(&["--aws-default-region=eu-north-1"]);
    assert!(
        text.contains("eu-north-1") && !text.contains("eu-west-1"),
        "{text}"
    );
    let text = home.irsa(&[&["config", "show"][..], &config].concat()).ok();
    let rows: Vec<Vec<_>> = text
        .stdout
        .lines()
        .filter(|line| line.starts_with("webhook."))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let default = |row: &&Vec<&str>| row.last() == Some(&"default");
    assert_eq!(rows.iter().filter(default).count(), rows.len() - 6);
    let rows: Vec<_> = rows.into_iter().filter(|row| !default(&row)).collect();
    assert_eq!(
        rows,
        [
            ["webhook.aws_default_region", "eu-west-1", "file"],
            ["webhook.foreign_volume", "keep", "file"],
            ["webhook.shutdown_delay", "5s", "file"],
            ["webhook.tls_cert", "etc/a.crt", "file"],
            ["webhook.tls_name", "hook.example.com", "file"],
            ["webhook.token_expiration", "3600", "file"],
        ]
    );
    for (text, problem, help) in [
        (
            "webhook: {token_expire: 5}",
            "token_expire",
            "token_expiration",
        ),
        ("webhook: {shutdown_delay: 5}", "100ms", ""),
        ("webhook: {foreign_volume: drop}", "drop", ""),
    ] {
        home.write("bad.yaml", text);
        let args = ["webhook", "serve", "--config", "bad.yaml", "--version"];
        let stderr = home.irsa(&args).code(2).stderr;
        assert!(
            stderr.contains(problem) && stderr.contains(help),
            "{stderr}"
        );
    }
}

/// What the file says of certificates is what `serve` reads, from where the file is.
#[test]
fn serving_follows_the_configuration_file() {
    let home = Home::new();
    home.write("kubeconfig", KUBECONFIG);
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    home.write("etc/tls.crt", pair.cert.pem());
    home.write("etc/tls.key", pair.signing_key.serialize_pem());
    home.write("etc/none.crt", "nothing");
    let serve = |text: &str, more: &[&str]| {
        home.write("etc/irsa.yaml", text);
        let args = [
            "webhook",
            "serve",
            "--kubeconfig=kubeconfig",
            "--config=etc/irsa.yaml",
        ];
        home.irsa(&[&args[..], more].concat()).code(1).stderr
    };
    let common =
        "webhook:\n  in_cluster: false\n  listen: 127.0.0.1:0\n  metrics_listen: 127.0.0.1:0\n  ";
    let stderr = serve(&format!("{common}tls_cert: gone.crt\n"), &[]);
    assert!(stderr.contains("cannot read etc/gone.crt"), "{stderr}");
    let files = format!("{common}tls_cert: tls.crt\n  tls_key: tls.key\n  ");
    for name in ["none.crt", "gone.crt"] {
        let stderr = serve(&format!("{files}client_ca: {name}\n"), &[]);
        assert!(
            stderr.contains(&format!(
                "etc/{name} does not hold the certificates of a CA"
            )),
            "{stderr}"
        );
    }
    // A flag wins: an address that this host does not have.
    let stderr = serve(&files, &["--listen=203.0.113.1:1"]);
    assert!(
        stderr.contains("cannot listen on 203.0.113.1:1"),
        "{stderr}"
    );
}

/// What `review` and `audit` go by is what the replicas go by.
#[test]
fn the_configuration_is_in_the_manifest_and_typed_flags_win() {
    let home = Home::new();
    home.write(
        "irsa.yaml",
        "webhook:\n  aws_default_region: eu-central-1\n  sts_regional_endpoint: true\n  foreign_volume: keep\n  tls_name: [a.example.com, b.example.com]\n  certificate_life: 36h\n  \
         token_expiration: 3600\n  port: 8444\n  tls_cert: mine.crt\n",
    );
    let base = ["--config", "irsa.yaml", "webhook", "manifest"];
    let more = ["--image", "i:1", "--", "--token-expiration=7200"];
    let ran = home.irsa(&[&base[..], &more].concat()).ok();
    let args = ran.stdout.lines().find(|line| line.contains("args: "));
    let args = args.unwrap();
    for flag in [
        "--aws-default-region=eu-central-1",
        "--sts-regional-endpoint=true",
        "--foreign-volume=keep",
        "--tls-name=a.example.com",
        "--tls-name=b.example.com",
        "--certificate-life=129600s",
        "--token-expiration=7200",
        "--port=8443",
    ] {
        assert!(args.contains(&format!("\"{flag}\"")), "{flag}: {args}");
    }
    assert!(!args.contains("3600\"") && !args.contains("mine"), "{args}");
    assert!(
        ran.stderr.contains("webhook.port, webhook.tls_cert"),
        "{}",
        ran.stderr
    );
    home.write("irsa.yaml", "webhook: {compose_role_arn: true}\n");
    let stderr = home.irsa(&[&base[..], &more].concat()).code(2).stderr;
    assert!(stderr.contains("in which account"), "{stderr}");
}

#[test]
fn the_manifest_takes_only_flags_that_the_webhook_takes() {
    let home = Home::new();
    let manifest = |flags: &[&str]| {
        let args = [
            &[
                "webhook",
                "manifest",
                "--image",
                "registry.example.com/irsa:1",
                "--",
            ],
            flags,
        ]
        .concat();
        home.irsa(&args)
    };
    let text = manifest(&["--aws-default-region=eu-central-1"]).ok().stdout;
    assert!(
        text.contains("\"--aws-default-region=eu-central-1\""),
        "{text}"
    );
    let stderr = manifest(&["--aws-region=x"]).code(2).stderr;
    assert!(stderr.contains("--aws-region"), "{stderr}");
    manifest(&["--port=1"]).code(2);
    // With these it would end as soon as a replica is started.
    for (flag, why) in [
        ("--compose-role-arn", "in which account"),
        ("--account-id=12", "12"),
        ("--tls-min-version=VersionTLS14", "--tls-min-version"),
        ("--tls-cipher-suites=ROT13", "--tls-cipher-suites"),
        ("--kube-api=https://a b", "--kube-api"),
        ("--kube-api=127.0.0.1:6443", "no URL with https://"),
        ("--token-mount-path=", "--token-mount-path"),
        ("--token-mount-path=var/run", "--token-mount-path"),
        ("--annotation-prefix=", "--annotation-prefix"),
        (
            "--container-credentials-token-volume-name=Bad_Name",
            "Bad_Name",
        ),
        ("--certificate-life=0s", "--certificate-life"),
        ("--ca-life=0s", "--ca-life"),
        ("--certificate-interval=0s", "--certificate-interval"),
        ("--log=irsa_webhook=loud", "--log"),
        ("--version", "serves nothing"),
    ] {
        let stderr = manifest(&[flag]).code(2).stderr;
        assert!(stderr.contains(why), "{flag}: {stderr}");
    }
    manifest(&["--log=debug", "--log-format=json"]).ok();
    // Every argument of the Deployment is one that `serve` takes.
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with("args: "))
        .unwrap();
    let args: Vec<String> =
        serde_json::from_str(line.trim_start().trim_start_matches("args: ")).unwrap();
    let mut args: Vec<_> = args.iter().map(String::as_str).collect();
    args.push("--version");
    home.irsa(&args).ok();
}
