"""The webhook on a real API server: what is decided, what is injected, and what happens when things go wrong."""

import base64
import os
import signal
import time

import yaml
from attack import Attack
from commands import Issuer, commands, verify
from load import Load
from mutual import Clients, mutual
from replicas import (
    CONFIGURATION,
    NAME,
    NAMESPACE,
    ROLE,
    SECRET,
    SECRET_OF_PODS,
    Balancer,
    Replica,
    account,
    create,
    eventually,
    pod,
    registration,
    role_of,
)
from secrecy import Keys, secrecy
from sources import config_map
from speed import speed

from harness import Checks, ControlPlane, scene, working_folder

MOUNT = "/var/run/secrets/eks.amazonaws.com/serviceaccount"


def main():
    checks = Checks("webhook")
    with working_folder() as work:
        issuer = Issuer(work)
        clients = Clients(work)
        flags = {"service_account": issuer.flags(), "flags": clients.flags()}
        with ControlPlane(work, servers=2, controller_manager=True, **flags) as plane:
            run(checks, plane, issuer, work)
            scene("mutual", mutual, checks, plane, clients, work, CERTIFICATES)
            secrecy(checks, plane.client, KEYS)
    # The API servers have ended: what is left of the machine is another part's.
    scene("speed", speed, checks)
    checks.report()


def run(checks, plane, issuer, work):
    client = plane.client
    for each in [account("reader", role_arn=ROLE), account("bare")]:
        client.apply(each)
    first, second = (Replica(plane, work, name, CERTIFICATES) for name in ("first", "second"))
    not_registered(checks, first)
    client.apply(registration(first.url))
    eventually("the first replica to be ready", first.ready)
    injection(checks, client)
    refusals(checks, client, first)
    system_namespace(checks, client)
    scene("races", races, checks, plane, first)
    scene("verify", verify, checks, plane, issuer, work)
    scene("attacked", attacked, checks, plane, first)
    scene("config map", config_map, checks, client, plane, work, CERTIFICATES)
    scene("agreement", agreement, checks, plane, first, second)
    scene("authority under load", authority_under_load, checks, plane, first, second)
    scene("one stops", one_stops, checks, plane, first, second, work)
    scene("no permission", no_permission, checks, plane, work)
    second.process.stop()
    scene("commands", commands, checks, plane, work)


KEYS = Keys()
# Short lives, so that a certificate is renewed and a CA changed while the test looks on.
CERTIFICATES = ("--shutdown-delay=1s", "--certificate-life=9s", "--ca-life=36s", "--ca-overlap=3s", "--certificate-interval=500ms")


def not_registered(checks, replica):
    """Not ready while nobody would call it, and the page says what is missing."""
    eventually("a page", lambda: replica.page("/readyz")[0] == 503 and "does not exist" in replica.page("/readyz")[1])
    status, text = replica.page("/readyz")
    checks.equal("not ready before it is registered", 503, status)
    checks.contains("the reason is said", text, "MutatingWebhookConfiguration", NAME)
    checks.equal("yet alive", (200, "ok"), replica.page("/livez"))


def created(client, body, **keywords):
    answer = create(client, body, **keywords)
    if answer.status != 201:
        raise AssertionError(f"{answer.status} {answer.body[:600]}")
    return answer


def injection(checks, client):
    body = pod("injected", "reader", volumes=[{"name": "mine", "emptyDir": {}}])
    body["spec"]["containers"][0] |= {
        "startupProbe": {"grpc": {"port": 5000}, "periodSeconds": 3},
        "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
    }
    body["spec"]["initContainers"] = [{"name": "native", "image": "app", "restartPolicy": "Always"}]
    found = created(client, body).json()
    main, init = found["spec"]["containers"][0], found["spec"]["initContainers"][0]
    env = [
        {"name": "AWS_ROLE_ARN", "value": ROLE},
        {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": f"{MOUNT}/token"},
    ]
    checks.equal("the variables come after the pod's own", [{"name": "PASSWORD", "value": SECRET_OF_PODS}, *env], main["env"])
    checks.equal("an init container gets them too", env, init["env"])
    checks.equal("a native sidecar stays one", "Always", init["restartPolicy"])
    checks.equal("a probe survives", 5000, main["startupProbe"]["grpc"]["port"])
    checks.equal("a resize policy survives", "NotRequired", main["resizePolicy"][0]["restartPolicy"])
    token = {"serviceAccountToken": {"audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token"}}
    volume = found["spec"]["volumes"][0]
    checks.equal("the volume comes first", ("aws-iam-token", [token]), (volume["name"], volume["projected"]["sources"]))
    mount = {"name": "aws-iam-token", "mountPath": MOUNT, "readOnly": True}
    checks.true("the mount", mount in main["volumeMounts"], main["volumeMounts"])

    checks.equal("without a role nothing is injected", None, role_of(created(client, pod("no-role", "bare")).json()))
    skipped = pod("skipped", "reader", labels={"eks.amazonaws.com/skip-pod-identity-webhook": "x"})
    checks.equal("a pod may refuse", None, role_of(created(client, skipped).json()))
    ran = created(client, pod("dry", "reader"), dry_run=True).json()
    checks.equal("a dry run shows it", ROLE, role_of(ran))


def refusals(checks, client, replica):
    """What cannot be injected is said to whoever creates the pod, and to the service account's owner."""
    taken = pod("taken", "reader", volumes=[{"name": "mine", "emptyDir": {}}])
    taken["spec"]["containers"][0]["volumeMounts"] = [{"name": "mine", "mountPath": MOUNT}]
    answer = created(client, taken)
    checks.contains("a warning", str(answer.headers.get_all("Warning")), "mounts volume")
    checks.equal("the pod is valid and without role", None, role_of(answer.json()))
    foreign = pod("foreign", "reader", volumes=[{"name": "aws-iam-token", "emptyDir": {}}])
    answer = created(client, foreign)
    checks.contains("another warning", str(answer.headers.get_all("Warning")), "aws-iam-token")

    events = "/apis/events.k8s.io/v1/namespaces/default/events"

    def reasons():
        return {each["reason"] for each in client.get(events)["items"] if each["regarding"].get("name") == "reader"}

    eventually("Events", lambda: {"MountPathTaken", "TokenVolumeTaken"} <= reasons(), 10)
    checks.true("Events on the service account", {"MountPathTaken", "TokenVolumeTaken"} <= reasons(), reasons())
    before = len(client.get(events)["items"])
    created(client, foreign | {"metadata": {"name": "x", "namespace": "default"}}, dry_run=True)
    checks.equal("no Event for a dry run", before, len(client.get(events)["items"]))

    required = {"irsa/require-role": "true"}
    answer = create(client, pod("required", "bare", labels=required))
    checks.equal("a pod that requires a role is denied without", 403, answer.status)
    checks.contains("and told why", answer.body.decode(), "irsa/require-role")
    found = created(client, pod("required", "reader", labels=required)).json()
    checks.equal("and injected with one", ROLE, role_of(found))
    checks.true("notes are counted", replica.metric('irsa_webhook_notes_total{reason="MountPathTaken"}') >= 1)
    checks.true("pods are counted", replica.metric('pod_identity_webhook_pod_count{method="sts_web_identity"}') >= 4)


def system_namespace(checks, client):
    """Where the cluster must be able to start the label demands nothing; the role is there all the same."""
    for each in [account("system", NAMESPACE, role_arn=ROLE), account("plain", NAMESPACE)]:
        client.apply(each)
    required = {"irsa/require-role": "true"}
    found = created(client, pod("system", "system", NAMESPACE, labels=required)).json()
    checks.equal("a pod of the system that requires its role gets it", ROLE, role_of(found))
    found = created(client, pod("system-plain", "plain", NAMESPACE, labels=required)).json()
    checks.equal("and is not denied without", None, role_of(found))
    labels = required | {"eks.amazonaws.com/skip-pod-identity-webhook": ""}
    found = created(client, pod("both", "reader", labels=labels)).json()
    checks.equal("whoever refuses the webhook is not asked for a role", None, role_of(found))


def attacked(checks, plane, replica):
    """Idle HTTP/2 posts, bodies byte by byte, slow headers, handshakes that never end: no pod goes without its role."""
    with Load(plane) as quiet:
        time.sleep(3)
    with Attack(replica.port) as attack, Load(plane) as load:
        time.sleep(6)
        resident = replica.resident_mib()
    ratio = load.median / quiet.median
    print(
        f"attack of {attack.begun} connections: a pod took {quiet.median:.1f} ms and {load.median:.1f} ms ({ratio:.1f} times),"
        f" the slowest {load.slowest:.0f} ms; {resident:.0f} MiB resident"
    )
    given_way = sum(replica.metric(f'irsa_webhook_requests_given_way_total{{lane="{lane}"}}') for lane in ("small", "large"))
    checks.true("the attack took all the room there was", given_way > 0, replica.page("/metrics")[1])
    checks.equal(f"of {load.count} pods none lost its role", [], load.lost[:5])
    # The API server waits for five seconds, and the node's limit is 256 MiB.
    checks.true("nobody waited long", ratio < 10 and load.slowest < 2500, (ratio, load.slowest))
    checks.true("memory is bounded", resident < 200, resident)


def races(checks, plane, replica):
    """D22: annotated, or made, a moment before the pod."""
    late = []
    for number in range(40):
        name = f"race-{number}"
        server = plane.servers[number % 2].client
        if number % 4 < 2:
            server.apply(account(name))
            time.sleep(0.02)
        server.apply(account(name, role_arn=f"{ROLE}-{number}"))
        found = created(server, pod(name, name)).json()
        if role_of(found) != f"{ROLE}-{number}":
            late.append(name)
    checks.equal("no pod overtakes its service account", [], late)
    reads = sum(replica.metric(f'irsa_webhook_live_reads_total{{result="{each}"}}') for each in ("found", "confirmed"))
    checks.true("some were read past the watch", reads > 0, replica.page("/metrics")[1])


def authorities(client):
    """What the Secret has by key, and the certificates in the bundles."""
    KEYS.look(client)
    entries = {key: base64.b64decode(value).decode() for key, value in client.get(SECRET)["data"].items()}
    bundles = {
        base64.b64decode(each["clientConfig"].get("caBundle", "")).decode() for each in client.get(CONFIGURATION)["webhooks"]
    }
    return entries, bundles


def agreement(checks, plane, first, second):
    """Two replicas, two API servers, one CA."""
    client = plane.client
    eventually("the second replica to be ready", second.ready)
    balancer = Balancer([first, second])
    client.apply(registration(balancer.url))
    eventually("one bundle", lambda: len(authorities(client)[1]) == 1)
    entries, bundles = authorities(client)
    checks.true("the CA of the Secret is in every bundle", all(entries["ca.crt"].strip() in each for each in bundles))
    for number, server in enumerate(plane.servers):
        found = created(server.client, pod(f"both-{number}", "reader")).json()
        checks.equal(f"server {number} gets it injected", ROLE, role_of(found))
    configuration = client.get(CONFIGURATION)
    configuration["webhooks"][0]["clientConfig"].pop("caBundle")
    client.call("PUT", CONFIGURATION, configuration)
    eventually("the bundle to come back", lambda: len(authorities(client)[1]) == 1 and "" not in authorities(client)[1])
    checks.true("a bundle that was lost comes back", True)


def authority_under_load(checks, plane, first, second):
    """Leaves are renewed and the CA changes while pods are created: none goes without its role."""
    client = plane.client
    before = authorities(client)[0]["ca.crt"]
    leaves = first.metric('irsa_webhook_certificates_total{result="taken"}')
    with Load(plane) as load:
        eventually("another CA", lambda: authorities(client)[0]["ca.crt"] != before, 60)
        entries, bundles = authorities(client)
        checks.true("the old CA is trusted on", all(before.strip() in each for each in bundles))
        eventually("the old CA's end", lambda: "previous-ca.crt" not in authorities(client)[0], 30)
        eventually("its end in the bundle", lambda: all(before.strip() not in each for each in authorities(client)[1]), 10)
    checks.true("a load", load.count > 200, load.count)
    checks.equal(f"of {load.count} pods none lost its role", [], load.lost[:5])
    checks.true("leaves were renewed", first.metric('irsa_webhook_certificates_total{result="taken"}') >= leaves + 2)
    before = authorities(client)[0]["ca.crt"]
    ask = {"metadata": {"annotations": {"irsa/change-ca": "now"}}}
    client.call("PATCH", SECRET, ask, content_type="application/merge-patch+json")
    eventually("the CA that was asked for", lambda: authorities(client)[0]["ca.crt"] != before, 20)
    asked_again(checks, client, ask)
    checks.true("once", "irsa/change-ca" not in client.get(SECRET)["metadata"].get("annotations", {}))
    client.call("DELETE", SECRET)
    current = authorities_eventually(client)
    checks.true("a deleted Secret is written again as it was", current["ca.crt"].strip() in next(iter(authorities(client)[1])))


def asked_again(checks, client, ask):
    """Asked for while one is on its way: that one never signs, since its key was in the same Secret."""
    client.call("PATCH", SECRET, ask, content_type="application/merge-patch+json")
    first = eventually("a next CA", lambda: authorities(client)[0].get("next-ca.crt"), 20)
    client.call("PATCH", SECRET, ask, content_type="application/merge-patch+json")
    signed = set()

    def replaced():
        entries = authorities(client)[0]
        signed.add(entries["ca.crt"])
        return entries.get("next-ca.crt") not in (None, first)

    eventually("another next CA", replaced, 10)
    second = authorities(client)[0].get("next-ca.crt")

    def promoted():
        current = authorities(client)[0]["ca.crt"]
        signed.add(current)
        return current == second

    eventually("the second to sign", promoted, 30)
    checks.true("the first never signed", first not in signed)


def authorities_eventually(client):
    def there():
        return client.request("GET", SECRET).status == 200 and authorities(client)[0]

    return eventually("the Secret", there)


def one_stops(checks, plane, first, second, work):
    """Under load a replica is told to stop, and another is killed: whoever is called next answers."""
    third = Replica(plane, work, "third", CERTIFICATES)
    eventually("the third replica to be ready", third.ready)
    plane.client.apply(registration(Balancer([first, second, third]).url))
    time.sleep(1)
    with Load(plane) as load:
        time.sleep(1)
        first.process.ask_to_stop()
        eventually("its end", lambda: not first.process.running(), 20)
        time.sleep(1)
    checks.equal("it ends well", 0, first.process.exit_code())
    checks.equal(f"of {load.count} pods none lost its role", [], load.lost[:5])
    with Load(plane) as load:
        time.sleep(1)
        killed = time.monotonic()
        os.kill(third.process.pid, signal.SIGKILL)
        time.sleep(3)
    failed = [each for each in load.lost if each.status != 201]
    checks.equal(f"of {load.count} pods none failed when a replica was killed", [], failed[:5])
    # What was on its way to the killed replica is gone: failurePolicy Ignore lets it through. So is what the Service still
    # sends there, until its endpoints have forgotten the replica: here a tenth of a second. Nothing after that, and
    # each client has one pod on its way at a time.
    in_flight = [each for each in load.lost if each.began <= killed]
    later = [each.began - killed for each in load.lost if each.began > killed]
    checks.true("whoever was on its way lost one at most", len(in_flight) <= load.threads, in_flight)
    checks.true("nothing is lost that began after the Service forgot it", max(later, default=0) < FORGOTTEN, load.lost)
    print(f"killed: {len(in_flight)} pods on their way and {len(later)} after it of {load.count} lost their role")


# Seconds: the balancer looks ten times a second, and asks for a page.
FORGOTTEN = 0.5


def no_permission(checks, plane, work):
    """Without permission to list service accounts: alive, not ready, and the reason is said."""
    client = plane.client
    client.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "weak", "namespace": "default"}})
    token = client.create_token("default", "weak")
    kubeconfig = work / "weak.kubeconfig"
    admin = plane.kubeconfig.read_text()
    weak = yaml.safe_load(admin)
    for each in weak["users"]:
        each["user"] = {"token": token}
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(yaml.safe_dump(weak))
    replica = Replica(plane, work, "weak", CERTIFICATES, kubeconfig=kubeconfig)
    try:
        eventually("the refusal", lambda: "serviceaccounts" in replica.page("/readyz")[1], 15)
        status, text = replica.page("/readyz")
        checks.equal("not ready without permission", 503, status)
        checks.contains("the reason is said", text, "serviceaccounts", "403", "get, list and watch")
    finally:
        replica.process.stop()


main()
