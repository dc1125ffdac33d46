use super::*;
use crate::algorithm::Curve;
use crate::bucket::distribution::{
    CACHING_DISABLED, DistributionChange, DistributionState, OriginState,
};
use crate::bucket::{BucketChange, PublicAccessBlock};
use crate::documents::DocumentName;
use crate::issuer::{IssuerUrl, TrailingSlash};
use crate::private::PrivateKeyPem;
use crate::provider::{ProviderArn, ProviderChange, STS_AUDIENCE};
use crate::publication::Stored;
use crate::role::RoleChange;
use crate::store_url::BucketName;
use crate::trust::{Grant, Subject, TrustPolicy};

const DISTRIBUTION: &str = "arn:aws:cloudfront::1:distribution/E1";

/// A cluster and the outside world, of which a run sees what it has made.
struct World {
    cdn: bool,
    seen: Seen,
}

impl World {
    fn new(cdn: bool) -> Self {
        Self {
            cdn,
            seen: Seen::default(),
        }
    }

    fn issuer(&self) -> Option<IssuerUrl> {
        let text = match (self.cdn, &self.seen.cdn.distribution) {
            (true, None) => return None,
            (true, Some(_)) => "https://d1.cloudfront.net",
            (false, _) => "https://oidc.s3.eu-west-1.amazonaws.com",
        };
        IssuerUrl::parse(text, TrailingSlash::Refuse).ok()
    }

    fn wanted(&self) -> Wanted {
        let issuer = self.issuer();
        let key = PrivateKeyPem::from_scalar(Curve::P256, &[1]).unwrap();
        let documents = issuer
            .clone()
            .filter(|_| self.seen.key == KeySeen::Present)
            .map(|issuer| IssuerDocuments::render(issuer, None, [key.public_key()]).unwrap());
        let bucket = BucketName::parse("oidc").unwrap();
        let objects = documents.iter().flat_map(|documents| {
            DocumentName::ALL.map(|name| format!("arn:aws:s3:::oidc/{}", documents.path(name)))
        });
        let role = |issuer: &IssuerUrl| RoleWanted {
            name: "app".into(),
            path: None,
            grants: vec![Grant {
                provider: ProviderArn::of(issuer, "aws", "1"),
                audience: STS_AUDIENCE.into(),
                subjects: vec![Subject::parse("demo/app", false).unwrap()],
            }],
            policy_arns: vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".into()],
            inline: None,
            boundary: None,
            max_session: None,
            tags: BTreeMap::new(),
        };
        Wanted {
            key: Some(KeyWanted {
                private: "keys/sa.key".into(),
                public: "keys/sa.pub".into(),
                algorithm: "RS256".into(),
            }),
            bucket: Some(BucketWanted {
                bucket: bucket.clone(),
                region: "eu-west-1".into(),
                access: Access::Policy,
                documents: objects.collect(),
                create: true,
                adopt: false,
            }),
            distribution: self.cdn.then(|| DistributionWanted {
                bucket,
                region: "eu-west-1".into(),
                aliases: Vec::new(),
                certificate: None,
            }),
            documents,
            read_back: true,
            provider: issuer.as_ref().map(|issuer| ProviderWanted {
                issuer: issuer.clone(),
                client_ids: vec![STS_AUDIENCE.into()],
                ca_thumbprints: Vec::new(),
                tags: BTreeMap::new(),
                prune: false,
            }),
            roles: vec![("app".into(), issuer.as_ref().map(role))],
        }
    }

    fn plan(&self) -> Vec<Change> {
        plan(&self.wanted(), &self.seen).unwrap()
    }

    /// Does what the change says, and checks what must hold at that moment.
    fn apply(&mut self, change: &Change) {
        match change {
            Change::GenerateKey { .. } => {
                assert_eq!(self.seen.key, KeySeen::Absent, "a key is never made twice");
                self.seen.key = KeySeen::PrivateOnly;
            }
            Change::RestorePublicKey { .. } => self.seen.key = KeySeen::Present,
            Change::Bucket(change) => self.bucket(change),
            Change::Distribution(change) => self.distribution(change),
            Change::Document(change) => {
                let bucket = self.seen.bucket.as_ref().unwrap();
                assert!(bucket.versioned && bucket.owner_enforced);
                let stored = Some(Stored {
                    bytes: change.bytes.clone(),
                    tag: "t".into(),
                });
                match change.name {
                    DocumentName::Jwks => self.seen.documents.jwks = stored,
                    DocumentName::Discovery => {
                        assert!(self.seen.documents.jwks.is_some(), "keys come first");
                        self.seen.documents.discovery = stored;
                    }
                }
                self.seen.read_back = false;
            }
            Change::ReadBack { .. } => {
                assert!(
                    self.seen.documents.discovery.is_some() && self.seen.documents.jwks.is_some()
                );
                let bucket = self.seen.bucket.as_ref().unwrap();
                assert!(bucket.policy.is_some(), "nobody could read it");
                assert!(!self.cdn || self.seen.cdn.distribution.as_ref().unwrap().deployed);
                self.seen.read_back = true;
            }
            Change::Provider(ProviderChange::Create(made)) => {
                assert!(
                    self.seen.read_back,
                    "AWS trusts nothing that was not read back"
                );
                self.seen.provider = Some(ProviderState {
                    url: made.issuer.iam_name(),
                    client_ids: made.client_ids.clone(),
                    ..ProviderState::default()
                });
            }
            Change::Role { name, change } => self.role(name, change),
            other => panic!("{other}"),
        }
    }

    fn bucket(&mut self, change: &BucketChange) {
        if let BucketChange::Create { .. } = change {
            self.seen.bucket = Some(BucketState {
                tagged: true,
                adoptable: true,
                owner_enforced: true,
                versioned: false,
                block: PublicAccessBlock::CLOSED,
                policy: None,
            });
            return;
        }
        let state = self.seen.bucket.as_mut().unwrap();
        match change {
            BucketChange::Version => state.versioned = true,
            BucketChange::Block(block) => state.block = *block,
            BucketChange::Policy { json, .. } => {
                assert!(
                    !self.cdn || json.contains(DISTRIBUTION) && !json.contains("IrsaPublicRead")
                );
                state.policy = Some(json.clone());
            }
            other => panic!("{other}"),
        }
    }

    fn distribution(&mut self, change: &DistributionChange) {
        let cdn = &mut self.seen.cdn;
        match change {
            DistributionChange::CreateAccessControl { .. } => {
                cdn.access_control = Some("O1".into());
            }
            DistributionChange::Create { access_control, .. } => {
                cdn.distribution = Some(DistributionState {
                    id: "E1".into(),
                    arn: DISTRIBUTION.into(),
                    domain: "d1.cloudfront.net".into(),
                    tagged: true,
                    deployed: false,
                    enabled: true,
                    https_only: true,
                    aliases: Vec::new(),
                    certificate: None,
                    origins: vec![OriginState {
                        id: "bucket".into(),
                        domain: "oidc.s3.eu-west-1.amazonaws.com".into(),
                        path: String::new(),
                        access_control: Some(access_control.clone()),
                    }],
                    default_origin: "bucket".into(),
                    cache_policy: Some(CACHING_DISABLED.into()),
                });
            }
            DistributionChange::Wait { .. } => cdn.distribution.as_mut().unwrap().deployed = true,
            other => panic!("{other}"),
        }
    }

    fn role(&mut self, name: &str, change: &RoleChange) {
        assert!(
            self.seen.provider.is_some(),
            "a role trusts a provider that is there"
        );
        match change {
            RoleChange::Create { trust, .. } => {
                let state = RoleState {
                    arn: "arn:aws:iam::1:role/app".into(),
                    path: "/".into(),
                    trust: TrustPolicy::parse(trust).unwrap(),
                    policy_arns: Vec::new(),
                    inline: None,
                    boundary: None,
                    max_session: None,
                    tags: BTreeMap::new(),
                };
                self.seen.roles.insert(name.to_owned(), state);
            }
            RoleChange::Attach(arn) => {
                let state = self.seen.roles.get_mut(name).unwrap();
                state.policy_arns.push(arn.clone());
            }
            other => panic!("{other}"),
        }
    }
}

/// Applies first changes until there are none; what was done.
fn run(world: &mut World) -> Vec<String> {
    let mut done = Vec::new();
    while let Some(change) = world.plan().into_iter().next() {
        assert!(done.len() < 30, "it goes round in circles: {done:?}");
        world.apply(&change);
        done.push(change.to_string().lines().next().unwrap().to_owned());
    }
    done
}

#[test]
fn from_nothing_in_the_only_safe_order() {
    let mut world = World::new(false);
    let stages: Vec<Stage> = world.plan().iter().map(Change::stage).collect();
    assert!(stages.is_sorted(), "{stages:?}");
    assert_eq!(
        run(&mut world),
        [
            "generate signing key keys/sa.key (RS256, mode 0600)",
            "write keys/sa.pub, the public half of the key beside it",
            "create bucket in eu-west-1, without ACLs, tagged irsa:managed",
            "keep old versions of the bucket's objects",
            "set Block Public Access to: BlockPublicAcls IgnorePublicAcls",
            "put bucket policy: plain http denied, other statements kept",
            "create keys.json (215 bytes)",
            "create .well-known/openid-configuration (242 bytes)",
            "read both documents back through https://oidc.s3.eu-west-1.amazonaws.com",
            "create OIDC provider https://oidc.s3.eu-west-1.amazonaws.com",
            "role app: create role at /",
            "role app: attach arn:aws:iam::aws:policy/ReadOnlyAccess",
        ]
    );
    assert_eq!(world.plan(), []);
}

#[test]
fn a_distribution_comes_before_the_issuer_that_it_names() {
    let mut world = World::new(true);
    let later = world
        .plan()
        .iter()
        .filter(|change| matches!(change, Change::Later { .. }))
        .count();
    assert_eq!(later, 6, "{:#?}", world.plan());
    let done = run(&mut world);
    let at = |text: &str| done.iter().position(|line| line.contains(text)).unwrap();
    assert!(at("create origin access control") < at("create CloudFront distribution"));
    assert!(at("create CloudFront distribution") < at("put bucket policy"));
    assert!(at("wait until") < at("read both documents"));
    assert!(at("read both documents") < at("create OIDC provider https://d1.cloudfront.net"));
    let block = world.seen.bucket.unwrap().block;
    assert_eq!(block, PublicAccessBlock::CLOSED, "the bucket stays private");
}

#[test]
fn a_run_cut_off_anywhere_goes_on_to_the_same_end() {
    for cdn in [false, true] {
        let whole = run(&mut World::new(cdn));
        for cut in 0..whole.len() {
            let mut world = World::new(cdn);
            for _ in 0..cut {
                let change = world.plan().swap_remove(0);
                world.apply(&change);
            }
            // What the run knew is lost: whether the documents can be read is found out anew.
            world.seen.read_back = false;
            let rest: Vec<String> = run(&mut world)
                .into_iter()
                .filter(|line| !line.starts_with("read both"))
                .collect();
            let expected: Vec<_> = whole[cut..]
                .iter()
                .filter(|line| !line.starts_with("read both"))
                .collect();
            assert_eq!(
                rest.iter().collect::<Vec<_>>(),
                expected,
                "cut off after {cut}"
            );
        }
    }
}

#[test]
fn a_provider_that_is_there_is_not_touched_while_the_documents_cannot_be_read() {
    let mut world = World::new(false);
    run(&mut world);
    world.seen.read_back = false;
    world.seen.provider.as_mut().unwrap().client_ids.clear();
    let stages: Vec<Stage> = world.plan().iter().map(Change::stage).collect();
    assert_eq!(stages, [Stage::ReadBack, Stage::Provider]);
}

#[test]
fn a_published_key_is_not_dropped_by_setting_up_again() {
    let mut world = World::new(false);
    run(&mut world);
    let other = PrivateKeyPem::from_scalar(Curve::P256, &[2]).unwrap();
    let issuer = world.issuer().unwrap();
    let theirs = IssuerDocuments::render(issuer, None, [other.public_key()]).unwrap();
    world.seen.documents.jwks = Some(Stored {
        bytes: theirs.bytes(DocumentName::Jwks).to_vec(),
        tag: "t".into(),
    });
    let error = plan(&world.wanted(), &world.seen).unwrap_err();
    assert!(error.to_string().contains("would drop a key"), "{error}");
    assert!(error.help().unwrap().contains("name the file"));
}
