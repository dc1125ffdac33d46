use irsa_testkit::s3::{ACCOUNT, Quirks, S3Double};
use serde_json::Value;

use crate::util::{Home, Irsa, Ran};

pub(crate) const TARGET: &str = "s3://oidc-bucket/prod";

pub(crate) struct Setting {
    pub(crate) home: Home,
    pub(crate) s3: S3Double,
}

impl Setting {
    pub(crate) fn new(quirks: Quirks) -> Self {
        let home = Home::new();
        home.key("a", "ES256");
        home.key("b", "ES384");
        Self {
            home,
            s3: S3Double::start(quirks),
        }
    }

    pub(crate) fn irsa(&self, args: &[&str]) -> Irsa<'_> {
        self.home
            .irsa(args)
            .env("AWS_ENDPOINT_URL_S3", &self.s3.url())
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("IRSA_LOG", "warn")
    }

    pub(crate) fn publish(&self, more: &[&str]) -> Irsa<'_> {
        self.irsa(
            &[
                &["publish", "--to", TARGET, "--bucket-owner", ACCOUNT],
                more,
            ]
            .concat(),
        )
    }

    /// The bucket as `--create-bucket` makes it, with key a.
    pub(crate) fn created(quirks: Quirks) -> Self {
        let setting = Self::new(quirks);
        setting.publish(&["--create-bucket", "a.pub"]).ok();
        setting.s3.take_requests();
        setting
    }

    pub(crate) fn jwks(&self) -> String {
        String::from_utf8(self.s3.object("oidc-bucket", "prod/keys.json").unwrap()).unwrap()
    }

    pub(crate) fn writes(&self) -> Vec<String> {
        let requests = self.s3.take_requests().into_iter();
        requests
            .filter(|line| !line.starts_with("GET") && !line.starts_with("HEAD"))
            .collect()
    }
}

fn kids(ran: &Ran) -> usize {
    ran.stdout.matches("  + key").count()
}

#[test]
fn from_nothing_to_documents_that_anybody_can_read() {
    let setting = Setting::new(Quirks::default());
    let dry = setting
        .publish(&["--create-bucket", "--dry-run", "a.pub"])
        .ok()
        .stdout;
    assert!(setting.writes().is_empty());
    let wet = setting.publish(&["--create-bucket", "a.pub"]).ok().stdout;
    let end = |text: &str| {
        text.lines()
            .filter(|line| !line.contains("written"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(end(&wet), end(&dry), "what is shown is what is done");
    assert!(
        wet.ends_with("written and read back through the issuer URL\n"),
        "{wet}"
    );
    assert_eq!(
        setting.s3.keys("oidc-bucket"),
        ["prod/.well-known/openid-configuration", "prod/keys.json"]
    );
    assert_eq!(
        setting.s3.headers("oidc-bucket", "prod/keys.json").unwrap(),
        (
            "application/jwk-set+json".to_owned(),
            "public, max-age=300".to_owned()
        )
    );
    assert_eq!(
        setting
            .s3
            .headers("oidc-bucket", "prod/.well-known/openid-configuration")
            .unwrap()
            .0,
        "application/json"
    );
    let block = setting
        .s3
        .setting("oidc-bucket", "publicAccessBlock")
        .unwrap();
    assert!(
        block.contains("<BlockPublicAcls>true") && block.contains("<RestrictPublicBuckets>false"),
        "{block}"
    );
    assert!(
        setting
            .s3
            .setting("oidc-bucket", "versioning")
            .unwrap()
            .contains("Enabled")
    );
    assert!(
        setting
            .s3
            .setting("oidc-bucket", "tagging")
            .unwrap()
            .contains("irsa:managed")
    );
    let policy: Value =
        serde_json::from_str(&setting.s3.setting("oidc-bucket", "policy").unwrap()).unwrap();
    assert_eq!(policy["Statement"].as_array().unwrap().len(), 2);

    let again = setting.publish(&["--create-bucket", "a.pub"]).ok().stdout;
    assert!(again.starts_with("nothing to do"), "{again}");
}

#[test]
fn the_order_is_jwks_first_and_a_change_costs_two_writes() {
    let setting = Setting::created(Quirks::default());
    let ran = setting.publish(&["a.pub", "b.pub"]).ok();
    assert_eq!(kids(&ran), 1);
    let requests = setting.s3.take_requests();
    let probe = |line: &&String| !line.contains(".irsa-probe-");
    let writes: Vec<&String> = requests
        .iter()
        .filter(|line| line.starts_with("PUT"))
        .filter(probe)
        .collect();
    assert_eq!(
        writes,
        [
            "PUT oidc-bucket/prod/keys.json",
            "PUT oidc-bucket/prod/.well-known/openid-configuration"
        ]
    );
    assert!(
        setting
            .s3
            .keys("oidc-bucket")
            .iter()
            .all(|key| !key.contains("probe")),
        "the scratch object is gone"
    );
}

#[test]
fn a_second_run_makes_two_requests() {
    let setting = Setting::created(Quirks::default());
    setting.publish(&["a.pub"]).ok();
    let requests = setting.s3.take_requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    // An own domain in front, not read back: two again, to the store.
    let issuer = [
        "--issuer",
        "https://oidc.example.com/prod",
        "--no-read-back",
    ];
    let to = ["publish", "--to", "s3://oidc-bucket/other", "a.pub"];
    setting.irsa(&[&to, &issuer[..]].concat()).ok();
    setting.s3.take_requests();
    setting.irsa(&[&to, &issuer[..]].concat()).ok();
    assert_eq!(setting.s3.take_requests().len(), 2);
}

#[test]
fn a_published_key_is_never_dropped_and_check_tells() {
    let setting = Setting::created(Quirks::default());
    let before = setting.jwks();
    let refused = setting.publish(&["b.pub"]).code(1).stderr;
    assert!(
        refused.contains("would drop a key") && refused.contains("--withdraw"),
        "{refused}"
    );
    setting.publish(&["--check", "b.pub"]).code(3);
    setting.publish(&["--check", "a.pub", "b.pub"]).code(3);
    setting.publish(&["--check", "a.pub"]).ok();
    assert_eq!((setting.jwks(), setting.writes()), (before, Vec::new()));
}

#[test]
fn a_lost_race_is_reported_and_nothing_of_theirs_overwritten() {
    let setting = Setting::created(Quirks::default());
    setting.publish(&["a.pub", "b.pub"]).ok();
    let theirs = setting.s3.object("oidc-bucket", "prod/keys.json").unwrap();
    setting.home.key("c", "ES256");
    // Past the scratch object, which is written first: the race is for the JWKS.
    let race = |quirks: &mut Quirks| quirks.race = Some(("prod/keys.json".into(), theirs.clone()));
    setting.s3.with_quirks(race);
    let ran = setting.publish(&["a.pub", "b.pub", "c.pub"]).code(4);
    assert!(
        ran.stderr
            .contains("was changed by somebody else while this run looked"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        setting.s3.object("oidc-bucket", "prod/keys.json").unwrap(),
        theirs
    );
    setting.publish(&["a.pub", "b.pub", "c.pub"]).ok();
}

#[test]
fn an_answer_that_got_lost_is_not_taken_for_a_race() {
    let setting = Setting::created(Quirks::default());
    setting
        .s3
        .with_quirks(|quirks| quirks.lost_answer = Some("prod/keys.json".into()));
    setting.publish(&["a.pub", "b.pub"]).ok();
    assert!(setting.jwks().contains("ES384"));
}

#[test]
fn a_store_that_ignores_conditions_is_found_out() {
    let setting = Setting::new(Quirks {
        ignores_conditions: true,
        ..Quirks::default()
    });
    setting.s3.make_bucket("oidc-bucket");
    let refused = setting
        .publish(&["--access", "policy", "a.pub"])
        .code(1)
        .stderr;
    assert!(
        refused.contains("ignores If-None-Match")
            && refused.contains("--allow-unconditional-writes"),
        "{refused}"
    );
    assert!(setting.s3.keys("oidc-bucket").is_empty());
    setting
        .publish(&["--allow-unconditional-writes", "a.pub"])
        .ok();
    setting
        .publish(&["--allow-unconditional-writes", "a.pub", "b.pub"])
        .ok();
    assert!(setting.jwks().contains("ES384"));
}

#[test]
fn what_cannot_be_read_by_relying_parties_is_no_success() {
    let setting = Setting::new(Quirks::default());
    setting.s3.make_bucket("oidc-bucket");
    let from = std::time::Instant::now();
    let ran = setting.publish(&["--timeout", "1s", "a.pub"]).code(1);
    assert!(
        ran.stderr.contains("relying parties cannot fetch them")
            && ran.stderr.contains("--access policy"),
        "{}",
        ran.stderr
    );
    assert!(from.elapsed().as_secs() < 30);
    setting.publish(&["--no-read-back", "a.pub"]).ok();
}

#[test]
fn impossible_targets_are_refused_before_anything_is_sent() {
    let setting = Setting::new(Quirks::default());
    for target in [
        "s3://my.bucket",
        "s3://Ab",
        "s3://abc/..",
        "s4://abc",
        "dir:",
    ] {
        setting.irsa(&["publish", "--to", target, "a.pub"]).code(2);
    }
    let aws = [
        "publish",
        "--to",
        "s3://oidc-bucket",
        "--region",
        "eu-west-1",
        "a.pub",
        "--issuer",
    ];
    let elsewhere = setting
        .home
        .irsa(&[&aws[..], &["https://other.s3.eu-west-1.amazonaws.com"]].concat());
    let ran = elsewhere.code(2);
    assert!(
        ran.stderr.contains("is bucket \"other\" of S3"),
        "{}",
        ran.stderr
    );
    let nobody = setting.home.irsa(
        &[
            &aws[..],
            &["https://oidc-bucket.s3.eu-west-1.amazonaws.com"],
        ]
        .concat(),
    );
    let ran = nobody.env("AWS_EC2_METADATA_DISABLED", "true").code(2);
    assert!(
        ran.stderr.contains("no AWS credentials are found"),
        "{}",
        ran.stderr
    );
    let options = [
        "publish",
        "--to",
        "dir:public",
        "--issuer",
        "https://h",
        "--create-bucket",
        "a.pub",
    ];
    setting.home.irsa(&options).code(2);
    assert!(setting.s3.take_requests().is_empty());
}
