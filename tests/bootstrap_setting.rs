use irsa_testkit::cloud::Cloud;

use crate::util::{Home, Irsa};

/// A cluster with two roles, and an AWS that has nothing of it.
pub(crate) struct Setting {
    pub(crate) home: Home,
    pub(crate) cloud: Cloud,
}

pub(crate) const CLUSTER: &str = "\
cluster:
  name: prod
  keys:
    generate: keys
    algorithm: ES256
  publish:
    to: s3://oidc-bucket/prod
  roles:
    - name: payments-api
      service_accounts: [payments/api]
      policy_arns: [arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess]
    - name: reports
      service_accounts: [reports/reader, reports/writer]
      policy_file: policy.json
";

impl Setting {
    pub(crate) fn new(config: &str) -> Self {
        let home = Home::new();
        let cloud = Cloud::start();
        home.write("irsa.yaml", config);
        home.write("ca.pem", cloud.ca());
        home.write(
            "policy.json",
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#,
        );
        Self { home, cloud }
    }

    /// A cluster that is set up.
    pub(crate) fn done(config: &str) -> Self {
        let setting = Self::new(config);
        setting.bootstrap(&["--yes"]).ok();
        setting.cloud.take_requests();
        setting.cloud.take_writes();
        setting
    }

    pub(crate) fn irsa(&self, args: &[&str]) -> Irsa<'_> {
        self.home
            .irsa(args)
            .env("AWS_ENDPOINT_URL", &self.cloud.url())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("IRSA_CONFIG", "irsa.yaml")
            .env("IRSA_CA_FILE", "ca.pem")
            .env("IRSA_LOG", "warn")
    }

    pub(crate) fn bootstrap(&self, more: &[&str]) -> Irsa<'_> {
        self.irsa(&[&["bootstrap"], more].concat())
    }

    pub(crate) fn issuer(&self) -> String {
        format!("{}/oidc-bucket/prod", self.cloud.url())
    }

    /// Everything that a run leaves, but for what is random or of one run.
    pub(crate) fn end_state(&self) -> (Vec<String>, Vec<String>, Vec<String>) {
        let objects = self.cloud.objects().into_iter();
        let iam = self.cloud.iam();
        let providers = iam
            .providers
            .into_iter()
            .map(|(arn, provider)| format!("{arn} {:?} {:?}", provider.client_ids, provider.tags));
        let host = self.cloud.url();
        let roles = iam.roles.into_iter().map(|(name, role)| {
            format!(
                "{name} {:?} {:?} {:?} {}",
                role.attached, role.inline, role.tags, role.trust
            )
        });
        (
            objects
                .map(|(bucket, key, _)| format!("{bucket}/{key}"))
                .collect(),
            providers.map(|line| line.replace(&host, "HOST")).collect(),
            roles.collect(),
        )
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.home.path("keys")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}
