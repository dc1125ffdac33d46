"""What the rules give, asked of the API server itself: SubjectAccessReview and impersonated requests."""

import http.client
import json
import ssl

from site_of_connector import ADMIN, DEV, NAMESPACE

WORKLOADS = [("apps", name) for name in ("deployments", "daemonsets", "statefulsets", "replicasets")] + [("batch", "jobs")]
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:eks-connector"
NOBODY = "arn:aws:iam::111122223333:role/Nobody"


def allowed(site, user, verb, resource, group="", namespace="", name="", groups=()):
    attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace, "name": name}
    spec = {"user": user, "groups": list(groups), "resourceAttributes": attributes}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = site.plane.client.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body).json()
    return answer["status"]["allowed"]


def as_connector(site, path, user=None, method="GET", body=None, **more):
    """The status of a request as the proxy makes it: the service account's token, and Impersonate-User."""
    token = site.plane.client.create_token(NAMESPACE, "eks-connector")
    context = ssl.create_default_context(cafile=str(site.plane.authority.certificate))
    connection = http.client.HTTPSConnection(site.plane.server.url.removeprefix("https://"), context=context, timeout=30)
    headers = {"Authorization": f"Bearer {token}", **more}
    if user is not None:
        headers["Impersonate-User"] = user
    if body:
        headers["Content-Type"] = "application/json"
    connection.request(method, path, json.dumps(body) if body else None, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def rights(site, checks):
    """The granted ARNs can list what their grants say and nothing else; nobody else can be impersonated."""
    site.register()
    for user in (ADMIN, DEV):
        checks.true(f"the connector may impersonate {user}", allowed(site, ACCOUNT, "impersonate", "users", name=user))
    for user in (NOBODY, "system:admin", "system:kube-controller-manager", "", "kubernetes-admin", ADMIN + "x"):
        checks.equal(f"and not {user!r}", False, allowed(site, ACCOUNT, "impersonate", "users", name=user))
    for resource in ("groups", "serviceaccounts", "userextras", "uids"):
        group = "" if resource in ("groups", "serviceaccounts") else "authentication.k8s.io"
        name = "system:masters" if resource == "groups" else "x"
        checks.equal(f"no {resource}", False, allowed(site, ACCOUNT, "impersonate", resource, group, name=name))

    listed = [("", "nodes"), ("", "namespaces"), ("", "pods"), ("", "events"), *WORKLOADS]
    for group, resource in listed:
        for verb in ("get", "list"):
            checks.true(f"full: {verb} {resource}", allowed(site, ADMIN, verb, resource, group))
        for verb in ("create", "update", "patch", "delete", "watch", "deletecollection"):
            checks.equal(f"full: {verb} {resource}", False, allowed(site, ADMIN, verb, resource, group))
    for group, resource in (
        ("", "secrets"),
        ("", "configmaps"),
        ("", "serviceaccounts"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("", "pods/exec"),
        ("", "pods/log"),
    ):
        checks.equal(f"full: list {resource}", False, allowed(site, ADMIN, "list", resource, group))

    for resource in ("nodes", "namespaces"):
        checks.true(f"restricted: list {resource}", allowed(site, DEV, "list", resource))
    for group, resource in [("", "pods"), *WORKLOADS]:
        checks.true(f"restricted: list {resource} in team-a", allowed(site, DEV, "list", resource, group, "team-a"))
        for namespace in ("team-b", "kube-system", "default", ""):
            checks.equal(
                f"restricted: list {resource} in {namespace!r}", False, allowed(site, DEV, "list", resource, group, namespace)
            )
    checks.equal("restricted: secrets in team-a", False, allowed(site, DEV, "list", "secrets", "", "team-a"))
    impersonated(site, checks)


def impersonated(site, checks):
    """The same over the wire, as the proxy asks."""
    pods, team_a, team_b = "/api/v1/pods", "/api/v1/namespaces/team-a/pods", "/api/v1/namespaces/team-b/pods"
    for user, path, status in (
        (ADMIN, pods, 200),
        (ADMIN, "/apis/apps/v1/deployments", 200),
        (ADMIN, "/api/v1/nodes", 200),
        (ADMIN, "/api/v1/secrets", 403),
        (DEV, team_a, 200),
        (DEV, "/apis/apps/v1/namespaces/team-a/deployments", 200),
        (DEV, team_b, 403),
        (DEV, pods, 403),
        (DEV, "/api/v1/nodes", 200),
        (NOBODY, pods, 403),
        ("system:kube-controller-manager", pods, 403),
        (None, pods, 403),
        # A missing ARN makes the proxy send an empty header: it is the service account then, which may see nothing.
        ("", pods, 403),
        (None, "/version", 200),
        (None, f"/api/v1/namespaces/{NAMESPACE}/secrets", 403),
        (None, f"/api/v1/namespaces/{NAMESPACE}/secrets/eks-connector-activation-config", 403),
        (None, f"/api/v1/namespaces/{NAMESPACE}/secrets/eks-connector-state-0", 404),
    ):
        checks.equal(f"GET {path} as {user!r}", status, as_connector(site, path, user))
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "x"}}
    path = "/api/v1/namespaces/team-a/serviceaccounts"
    checks.equal("nothing can be made", 403, as_connector(site, path, ADMIN, "POST", account))
    masters = {"Impersonate-Group": "system:masters"}
    checks.equal("no group can be taken", 403, as_connector(site, pods, ADMIN, **masters))


def grants(site, checks):
    """Grants are added, listed and revoked on the live cluster."""
    pods = "/api/v1/pods"
    empty = site.run(1, "connector", "grant", f"{ADMIN}=full")
    checks.contains("without a connector", empty.errors(), "there is no connector in this cluster")
    site.register()
    sso = "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_View_0123456789abcdef"
    seen = "arn:aws:iam::111122223333:role/AWSReservedSSO_View_0123456789abcdef"
    dry = site.run(0, "connector", "grant", f"{sso}=full", "--dry-run")
    checks.contains("a dry run", dry.text(), "update ClusterRole eks-connector-service", "nothing was changed")
    checks.equal("gives nothing", 403, as_connector(site, pods, seen))
    site.run(0, "connector", "grant", f"{sso}=full")
    checks.equal("an SSO role, as the console names it", 200, as_connector(site, pods, seen))
    site.run(0, "connector", "grant", f"{DEV}=ns:team-b")
    checks.equal(
        "access adds up", [200, 200], [as_connector(site, f"/api/v1/namespaces/{name}/pods", DEV) for name in ("team-a", "team-b")]
    )
    again = site.run(0, "connector", "grant", f"{DEV}=ns:team-b")
    checks.contains("twice is once", again.text(), "nothing to do")
    rows = json.loads(site.run(0, "connector", "grants", "-o", "json").text())["grants"]
    access = {row["arn"]: (row["access"], row["namespaces"]) for row in rows}
    checks.equal("the list", {ADMIN: ("full", []), seen: ("full", []), DEV: ("namespaces", ["team-a", "team-b"])}, access)
    site.run(0, "connector", "revoke", sso, DEV)
    checks.equal("revoked", [403, 403], [as_connector(site, pods, seen), as_connector(site, "/api/v1/namespaces/team-a/pods", DEV)])
    checks.equal("the other one stays", 200, as_connector(site, pods, ADMIN))
    site.run(0, "connector", "revoke", ADMIN)
    left = [name for name in site.objects() if "meta-access" not in name]
    checks.equal("the last one leaves no rule, least of all an empty one", [], left)
    checks.equal("nobody", False, allowed(site, ACCOUNT, "impersonate", "users", name=ADMIN))


def agents(site, checks):
    """The pods pass admission; what they show is read by status and doctor."""
    site.register()
    client = site.plane.client
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/eks-connector"
    template = client.get(path)["spec"]["template"]
    for number in range(2):
        metadata = {"name": f"eks-connector-{number}", "namespace": NAMESPACE, "labels": template["metadata"]["labels"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        made = client.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod)
        checks.equal(f"pod {number} passes admission", 201, made.status)
        checks.equal("without a warning", None, made.headers.get("Warning"))
    privileged = {**template["spec"], "hostNetwork": True}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": NAMESPACE}, "spec": privileged}
    refused = client.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod)
    checks.equal("the namespace's pod security level is in force", 403, refused.status)

    labels = {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}
    client.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": labels}})
    waiting = {
        "state": {"waiting": {"reason": "ImagePullBackOff"}},
        "image": "public.ecr.aws/x",
        "imageID": "",
        "ready": False,
        "restartCount": 3,
    }
    show(site, {"initContainerStatuses": [{"name": "connector-init", **waiting}]})
    status = json.loads(site.run(0, "connector", "status", "--region", "eu-central-1", "--name", "prod", "-o", "json").text())
    checks.equal("the last error", "connector-init: ImagePullBackOff", status["pods"][0]["last_error"])
    checks.equal("restarts", 3, status["pods"][0]["restarts"])
    sick = doctor(site, 1)
    checks.contains("the doctor says why", sick, "bad   pods", "image public.ecr.aws/x cannot be pulled", "--image-mirror")
    show(site, {"conditions": [{"type": "Ready", "status": "True"}]})
    well = doctor(site, 0)
    checks.contains(
        "the doctor is content",
        well,
        "ok    registration: ACTIVE",
        "ok    pods: 2 ready",
        f"ok    grants: {ADMIN} full",
        "ok    agent policy",
    )
    checks.true("but for one who asks without a grant", well.count("doubt") == 1 and "you (arn" in well, well)
    site.plane.kubectl("patch", "secret", "eks-connector-activation-config", "-n", NAMESPACE, "-p", '{"data":{"code":"c2hvcnQ="}}')
    checks.contains("a code that is none", doctor(site, 1), "holds no activation code")
    client.call("DELETE", "/api/v1/nodes/n")
    for number in range(2):
        client.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/eks-connector-{number}?gracePeriodSeconds=0")


def show(site, status):
    for number in range(2):
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/eks-connector-{number}/status"
        pod = site.plane.client.get(path)
        pod["status"] = status
        site.plane.client.call("PUT", path, pod)


def doctor(site, code):
    return site.run(code, "connector", "doctor", "--region", "eu-central-1", "--name", "prod").text()
