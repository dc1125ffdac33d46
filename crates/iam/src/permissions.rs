//! The least IAM policy of each command that talks to AWS.

use serde_json::{Value, json};

/// A command and what it needs.
#[derive(Debug, Clone, Copy)]
pub struct CommandPolicy {
    /// As it is typed, with hyphens for blanks.
    pub command: &'static str,
    /// What the policy is for, in words.
    pub about: &'static str,
    statements: &'static [Statement],
}

/// What is allowed: the `Sid`, the actions, the resources with names still to be filled in.
type Statement = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// What stands for the operator's own names.
#[derive(Debug, Clone)]
pub struct Names {
    /// `aws`, `aws-cn`, `aws-us-gov`, `aws-eusc`.
    pub partition: String,
    /// Twelve digits.
    pub account: String,
    /// The bucket.
    pub bucket: String,
    /// The prefix in it, like `clusters/prod/`; may be empty.
    pub prefix: String,
    /// The bucket of a key ring.
    pub ring_bucket: String,
    /// The place of the key ring in it, like `rings/prod/`.
    pub ring_prefix: String,
    /// Host and path of the issuer.
    pub issuer: String,
    /// The role, or a pattern.
    pub role: String,
}

const DOCUMENTS: &[&str] = &["arn:{partition}:s3:::{bucket}/{prefix}*"];
const BUCKET: &[&str] = &["arn:{partition}:s3:::{bucket}"];
const RING: &[&str] = &["arn:{partition}:s3:::{ring_bucket}/{ring_prefix}*"];
const RING_BUCKET: &[&str] = &["arn:{partition}:s3:::{ring_bucket}"];
const PROVIDER: &[&str] = &["arn:{partition}:iam::{account}:oidc-provider/{issuer}"];
const PROVIDERS: &[&str] = &["arn:{partition}:iam::{account}:oidc-provider/*"];
const ROLE: &[&str] = &["arn:{partition}:iam::{account}:role/{role}"];
/// Lists, and everything of `CloudFront` that they come with, cannot be limited to one resource.
const EVERYTHING: &[&str] = &["*"];

const READ_DOCUMENTS: Statement = ("Documents", &["s3:GetObject"], DOCUMENTS);
const WRITE_DOCUMENTS: Statement = ("Documents", &["s3:GetObject", "s3:PutObject"], DOCUMENTS);
/// Without it S3 answers 403 instead of 404 for what does not exist.
const TELL_ABSENT_FROM_FORBIDDEN: Statement =
    ("TellAbsentFromForbidden", &["s3:ListBucket"], BUCKET);
const SET_BUCKET_UP: Statement = (
    "Bucket",
    &[
        "s3:CreateBucket",
        "s3:GetBucketOwnershipControls",
        "s3:GetBucketPolicy",
        "s3:GetBucketPublicAccessBlock",
        "s3:GetBucketTagging",
        "s3:GetBucketVersioning",
        "s3:ListBucket",
        "s3:PutBucketOwnershipControls",
        "s3:PutBucketPolicy",
        "s3:PutBucketPublicAccessBlock",
        "s3:PutBucketTagging",
        "s3:PutBucketVersioning",
        "s3:TagResource",
    ],
    BUCKET,
);
const LOOK_AT_PROVIDER: &[&str] = &["iam:GetOpenIDConnectProvider"];
const MAKE_PROVIDER: &[&str] = &[
    "iam:AddClientIDToOpenIDConnectProvider",
    "iam:CreateOpenIDConnectProvider",
    "iam:GetOpenIDConnectProvider",
    "iam:TagOpenIDConnectProvider",
    "iam:UpdateOpenIDConnectProviderThumbprint",
];
const DELETE_PROVIDER: Statement = (
    "Provider",
    &[
        "iam:DeleteOpenIDConnectProvider",
        "iam:GetOpenIDConnectProvider",
    ],
    PROVIDER,
);
/// For a cluster whose distribution, and with it the name of the issuer, is gone.
const WHO_TRUSTS: Statement = (
    "WhoTrusts",
    &[
        "iam:GetOpenIDConnectProvider",
        "iam:ListOpenIDConnectProviders",
    ],
    EVERYTHING,
);
const LOOK_AT_ROLE: &[&str] = &[
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
];
const MAKE_ROLE: &[&str] = &[
    "iam:AttachRolePolicy",
    "iam:CreateRole",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
    "iam:TagRole",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRole",
];
const DELETE_ROLE: &[&str] = &[
    "iam:DeleteRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListInstanceProfilesForRole",
    "iam:ListRolePolicies",
];
const MAKE_DISTRIBUTION: Statement = (
    "Distribution",
    &[
        "cloudfront:CreateDistribution",
        "cloudfront:CreateOriginAccessControl",
        "cloudfront:GetDistribution",
        "cloudfront:GetDistributionConfig",
        "cloudfront:ListDistributions",
        "cloudfront:ListOriginAccessControls",
        "cloudfront:ListTagsForResource",
        "cloudfront:TagResource",
        "cloudfront:UpdateDistribution",
    ],
    EVERYTHING,
);

/// Every command that talks to AWS.
pub const COMMANDS: &[CommandPolicy] = &[
    CommandPolicy {
        command: "publish",
        about: "write an issuer's documents to a bucket that is set up",
        statements: &[WRITE_DOCUMENTS, TELL_ABSENT_FROM_FORBIDDEN],
    },
    CommandPolicy {
        command: "publish-create-bucket",
        about: "the same, and make the bucket or set it up: --create-bucket, --access, --adopt-bucket",
        statements: &[WRITE_DOCUMENTS, SET_BUCKET_UP],
    },
    CommandPolicy {
        command: "publish-check",
        about: "look only: --check, --dry-run",
        statements: &[READ_DOCUMENTS, TELL_ABSENT_FROM_FORBIDDEN],
    },
    CommandPolicy {
        command: "serve",
        about: "serve --from s3://BUCKET",
        statements: &[READ_DOCUMENTS, TELL_ABSENT_FROM_FORBIDDEN],
    },
    CommandPolicy {
        command: "rotate",
        about: "rotate --to s3://BUCKET, with the key ring in a Secret or a directory",
        statements: &[WRITE_DOCUMENTS, TELL_ABSENT_FROM_FORBIDDEN],
    },
    CommandPolicy {
        command: "rotate-state-s3",
        about: "the same, with the key ring in a bucket too: --state s3://BUCKET/PREFIX",
        statements: &[
            WRITE_DOCUMENTS,
            TELL_ABSENT_FROM_FORBIDDEN,
            ("KeyRing", &["s3:GetObject", "s3:PutObject"], RING),
            ("TellAbsentRing", &["s3:ListBucket"], RING_BUCKET),
        ],
    },
    CommandPolicy {
        command: "iam-provider-apply",
        about: "make the OIDC provider of an issuer and mend it",
        statements: &[(
            "Provider",
            &[
                "iam:AddClientIDToOpenIDConnectProvider",
                "iam:CreateOpenIDConnectProvider",
                "iam:GetOpenIDConnectProvider",
                "iam:RemoveClientIDFromOpenIDConnectProvider",
                "iam:TagOpenIDConnectProvider",
                "iam:UpdateOpenIDConnectProviderThumbprint",
            ],
            PROVIDER,
        )],
    },
    CommandPolicy {
        command: "iam-provider-show",
        about: "look at the OIDC provider; also provider apply --check and --dry-run",
        statements: &[("Provider", LOOK_AT_PROVIDER, PROVIDER)],
    },
    CommandPolicy {
        command: "iam-provider-delete",
        about: "delete the OIDC provider",
        statements: &[DELETE_PROVIDER],
    },
    CommandPolicy {
        command: "iam-role-apply",
        about: "make roles for service accounts and mend them",
        statements: &[("Role", MAKE_ROLE, ROLE)],
    },
    CommandPolicy {
        command: "iam-role-show",
        about: "look at a role; also role apply --check and --dry-run",
        statements: &[("Role", LOOK_AT_ROLE, ROLE)],
    },
    CommandPolicy {
        command: "iam-role-delete",
        about: "delete roles",
        statements: &[("Role", DELETE_ROLE, ROLE)],
    },
    CommandPolicy {
        command: "iam-role-lint",
        about: "look through the trust policies of the account",
        statements: &[
            ("Roles", LOOK_AT_ROLE, ROLE),
            ("Providers", LOOK_AT_PROVIDER, PROVIDERS),
            (
                "Lists",
                &["iam:ListOpenIDConnectProviders", "iam:ListRoles"],
                EVERYTHING,
            ),
        ],
    },
    CommandPolicy {
        command: "doctor",
        about: "look at everything; with less it sees less, and says so",
        statements: &[
            ("Provider", LOOK_AT_PROVIDER, PROVIDER),
            (
                "NearMisses",
                &["iam:ListOpenIDConnectProviders"],
                EVERYTHING,
            ),
            ("Role", &["iam:GetRole"], ROLE),
            (
                "Bucket",
                &[
                    "s3:GetBucketPolicy",
                    "s3:GetBucketPublicAccessBlock",
                    "s3:ListBucket",
                ],
                BUCKET,
            ),
        ],
    },
    CommandPolicy {
        command: "publish-cloudfront",
        about: "publish with a CloudFront distribution in front: --access cloudfront",
        statements: &[WRITE_DOCUMENTS, SET_BUCKET_UP, MAKE_DISTRIBUTION],
    },
    CommandPolicy {
        command: "bootstrap",
        about: "the whole chain with access: policy or none",
        statements: &[
            WRITE_DOCUMENTS,
            SET_BUCKET_UP,
            ("Provider", MAKE_PROVIDER, PROVIDER),
            ("Roles", MAKE_ROLE, ROLE),
        ],
    },
    CommandPolicy {
        command: "bootstrap-cloudfront",
        about: "the whole chain with access: cloudfront",
        statements: &[
            WRITE_DOCUMENTS,
            SET_BUCKET_UP,
            MAKE_DISTRIBUTION,
            // The issuer has the domain of a distribution that is not there yet.
            ("Provider", MAKE_PROVIDER, PROVIDERS),
            ("Roles", MAKE_ROLE, ROLE),
        ],
    },
    CommandPolicy {
        command: "bootstrap-check",
        about: "look only: bootstrap --check, --dry-run and teardown --dry-run",
        statements: &[
            READ_DOCUMENTS,
            (
                "Bucket",
                &[
                    "s3:GetBucketOwnershipControls",
                    "s3:GetBucketPolicy",
                    "s3:GetBucketPublicAccessBlock",
                    "s3:GetBucketTagging",
                    "s3:GetBucketVersioning",
                    "s3:ListBucket",
                ],
                BUCKET,
            ),
            (
                "Distribution",
                &[
                    "cloudfront:ListDistributions",
                    "cloudfront:ListOriginAccessControls",
                    "cloudfront:ListTagsForResource",
                ],
                EVERYTHING,
            ),
            WHO_TRUSTS,
            (
                "Roles",
                &[
                    "iam:GetRole",
                    "iam:GetRolePolicy",
                    "iam:ListAttachedRolePolicies",
                    "iam:ListInstanceProfilesForRole",
                    "iam:ListRolePolicies",
                ],
                ROLE,
            ),
        ],
    },
    CommandPolicy {
        command: "teardown",
        about: "take down what bootstrap set up",
        statements: &[
            (
                "Documents",
                &["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject"],
                DOCUMENTS,
            ),
            (
                "Bucket",
                &[
                    "s3:DeleteBucket",
                    "s3:GetBucketOwnershipControls",
                    "s3:GetBucketPolicy",
                    "s3:GetBucketPublicAccessBlock",
                    "s3:GetBucketTagging",
                    "s3:GetBucketVersioning",
                    "s3:ListBucket",
                    "s3:ListBucketVersions",
                    "s3:PutBucketPublicAccessBlock",
                ],
                BUCKET,
            ),
            DELETE_PROVIDER,
            WHO_TRUSTS,
            ("Roles", DELETE_ROLE, ROLE),
            (
                "Distribution",
                &[
                    "cloudfront:DeleteDistribution",
                    "cloudfront:DeleteOriginAccessControl",
                    "cloudfront:GetDistribution",
                    "cloudfront:GetDistributionConfig",
                    "cloudfront:GetOriginAccessControl",
                    "cloudfront:ListDistributions",
                    "cloudfront:ListOriginAccessControls",
                    "cloudfront:ListTagsForResource",
                    "cloudfront:UpdateDistribution",
                ],
                EVERYTHING,
            ),
        ],
    },
];

impl CommandPolicy {
    /// The policy with the operator's names in it.
    pub fn document(&self, names: &Names) -> Value {
        let fill = |resource: &&str| {
            resource
                .replace("{partition}", &names.partition)
                .replace("{account}", &names.account)
                .replace("{bucket}", &names.bucket)
                .replace("{prefix}", &names.prefix)
                .replace("{ring_bucket}", &names.ring_bucket)
                .replace("{ring_prefix}", &names.ring_prefix)
                .replace("{issuer}", &names.issuer)
                .replace("{role}", &names.role)
        };
        let statement = |(sid, actions, resources): &(&str, &[&str], &[&str])| {
            let resources: Vec<String> = resources.iter().map(fill).collect();
            json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources})
        };
        let statements: Vec<Value> = self.statements.iter().map(statement).collect();
        json!({"Version": "2012-10-17", "Statement": statements})
    }
}

/// The policy of a command.
pub fn of(command: &str) -> Option<&'static CommandPolicy> {
    COMMANDS.iter().find(|policy| policy.command == command)
}
