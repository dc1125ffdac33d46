"""The documents in S3 (SeaweedFS, whose STS checks tokens itself): read by everybody, by nobody, and gone."""

import json

from scene import SUBJECT, bad, verdicts

from harness import free_ports, irsa
from harness.seaweed import Seaweed


def stores(checks, work, scene):
    (port,) = free_ports(1)
    issuer = f"https://localhost:{port}/oidc-bucket/prod"
    with Seaweed(work, scene.authority, trusted=[(issuer, SUBJECT)], port=port) as store:
        environment = {**store.environment, "IRSA_CA_FILE": str(store.ca), "IRSA_LOG": "warn"}
        key = work / "keys/sa.pub"
        irsa.must(0, "publish", "--to", "s3://oidc-bucket/prod", "--create-bucket", key, environment=environment)
        irsa.must(0, "iam", "provider", "apply", "--issuer", issuer, environment=environment)

        def doctor():
            words = ("doctor", "--issuer", issuer, "--bucket", "s3://oidc-bucket/prod", "-o", "json")
            ended = irsa.run(*words, environment=environment)
            return ended.code, json.loads(ended.text())

        code, report = doctor()
        checks.equal("documents in S3: nothing is named", [], bad(report))
        checks.equal("documents in S3: exit code", 0, code)
        for name in ("bucket", "bucket-policy", "provider", "thumbprint"):
            found = [check["verdict"] for check in report["checks"] if check["id"] == name]
            checks.equal(f"documents in S3: {name}", ["ok"], found)

        token = work / "bucket-token"
        token.write_text(scene.token(iss=issuer))
        words = ("doctor", "--issuer", issuer, "--token-file", token, "--role-arn", store.role_arn, "--ask-sts", "-o", "json")
        report = json.loads(irsa.run(*words, environment=environment).text())
        # Its roles are in a file: they cannot be looked at.
        checks.equal("an STS that others wrote accepts the token", ["ok"], verdicts(report, "sts"))
        checks.equal("an STS that others wrote: nothing is named", [], bad(report))
        token.write_text(scene.token(key="next", iss=issuer))
        report = json.loads(irsa.run(*words, environment=environment).text())
        checks.equal("an STS that others wrote refuses a key that is not published", [("failure", "token-key")], bad(report))
        said = next(check["message"] for check in report["checks"] if check["id"] == "sts")
        checks.contains("and doctor says why", said, "STS answers", "because of token-key")

        client = s3(store)
        policy = client.get_bucket_policy(Bucket="oidc-bucket")["Policy"]
        client.delete_bucket_policy(Bucket="oidc-bucket")
        code, report = doctor()
        checks.equal("a bucket without policy is named, and nothing else", [("failure", "bucket-policy")], bad(report))
        wide = policy.replace("oidc-bucket/prod/keys.json", "oidc-bucket/*")
        client.put_bucket_policy(Bucket="oidc-bucket", Policy=wide)
        code, report = doctor()
        checks.equal("a policy that opens the whole bucket", [("warning", "bucket-policy")], bad(report))

        for item in client.list_objects_v2(Bucket="oidc-bucket").get("Contents", []):
            client.delete_object(Bucket="oidc-bucket", Key=item["Key"])
        for item in versions(client):
            client.delete_object(Bucket="oidc-bucket", Key=item["Key"], VersionId=item["VersionId"])
        client.delete_bucket(Bucket="oidc-bucket")
        code, report = doctor()
        checks.equal("a bucket that is gone while the provider stays", [("failure", "takeover")], bad(report))
        checks.equal("a bucket that is gone needs a person", 1, code)
        why = next(check["why"] for check in report["checks"] if check["id"] == "takeover")
        checks.contains("why it is dangerous", why, "your account accepts")


def versions(client):
    listed = client.list_object_versions(Bucket="oidc-bucket")
    return listed.get("Versions", []) + listed.get("DeleteMarkers", [])


def s3(store):
    import botocore.config
    import botocore.session

    session = botocore.session.Session()
    session.set_credentials(store.environment["AWS_ACCESS_KEY_ID"], store.environment["AWS_SECRET_ACCESS_KEY"])
    return session.create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=store.endpoint,
        verify=str(store.ca),
        config=botocore.config.Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
