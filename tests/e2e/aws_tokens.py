"""Tokens shown to STS: minted by irsa, and made by a kube-apiserver that signs with a published key."""

import contextlib
import ssl
import urllib.error
import urllib.parse
import urllib.request

from harness import ControlPlane, irsa

SUBJECT = "system:serviceaccount:demo:app"


def mint(work, key, issuer, audience="sts.amazonaws.com", subject="demo/app"):
    words = ["token", "mint", "--key", work / f"keys/{key}.key", "--issuer", issuer, "--audience", audience, "--subject", subject]
    return irsa.must(0, *words).text().strip()


def assume(store, token):
    """(status, answer) of AssumeRoleWithWebIdentity, which is not signed."""
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": store.role_arn,
        "RoleSessionName": "irsa-e2e",
        "WebIdentityToken": token,
    }
    request = urllib.request.Request(store.endpoint + "/", data=urllib.parse.urlencode(form).encode())
    try:
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=str(store.ca)), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@contextlib.contextmanager
def signing_control_plane(checks, folder, store, issuer, how):
    """A kube-apiserver that signs with the published key in `folder` and names this issuer: STS takes its tokens."""
    flags = [
        f"--service-account-issuer={issuer}",
        f"--service-account-key-file={folder / 'keys/sa.pub'}",
        f"--service-account-signing-key-file={folder / 'keys/sa.key'}",
    ]
    with ControlPlane(folder, service_account=flags) as plane:
        for kind, name in (("Namespace", "demo"), ("ServiceAccount", "app"), ("ServiceAccount", "other")):
            metadata = {"name": name} if kind == "Namespace" else {"name": name, "namespace": "demo"}
            plane.client.apply({"apiVersion": "v1", "kind": kind, "metadata": metadata})
        token = plane.client.create_token("demo", "app", audiences=["sts.amazonaws.com"])
        checks.equal(f"STS takes a token of kube-apiserver, {how}", 200, assume(store, token)[0])
        other = plane.client.create_token("demo", "other", audiences=["sts.amazonaws.com"])
        checks.true(f"and not that of another service account, {how}", assume(store, other)[0] >= 400)
        yield plane
