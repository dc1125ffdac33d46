"""The ConfigMap and the file of upstream, besides the annotations."""

import base64
import http.client
import json
import ssl

from replicas import NAME, NAMESPACE, ROLE, Replica, account, eventually, pod


def config_map(checks, client, plane, work, flags):
    """A replica with the ConfigMap and the file, asked without an API server in between."""
    file = work / "identities.json"
    file.write_text(json.dumps({"identities": [{"namespace": "default", "serviceAccount": "agent"}]}))
    replica = Replica(plane, work, "mapped", ("--watch-config-map", f"--watch-container-credentials-config={file}", *flags))
    try:
        client.apply(account("agent"))
        client.apply(account("mapped-1"))

        def config(entries):
            text = json.dumps(entries) if isinstance(entries, dict) else entries
            place = {"name": NAME, "namespace": NAMESPACE}
            client.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": place, "data": {"config": text}})

        config({"def*/mapped-*": {"RoleARN": ROLE, "TokenExpiration": 300}})
        eventually("the mapped replica", replica.ready)

        # Certificates of a replica that is not in the configuration are checked by nobody but us.
        def ask(name):
            return reviewed(replica, pod("p", name))

        eventually("the entry", lambda: ask("mapped-1"), 10)
        volume = ask("mapped-1")[0]["value"][0]["projected"]["sources"][0]["serviceAccountToken"]
        checks.equal("a pattern matches and its expiration is raised", 600, volume["expirationSeconds"])
        operations = ask("agent")
        paths = [each["path"] for each in operations]
        checks.equal("the agent's mode labels the pod", "/metadata/labels/eks.amazonaws.com~1pod-identity", paths[0])
        seconds = operations[1]["value"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"]
        checks.true("and spreads expirations", 79200 <= seconds <= 86400, seconds)
        config("bad json")
        eventually("the refusal", lambda: "not taken" in replica.log(), 10)
        checks.true("a bad ConfigMap changes nothing", bool(ask("mapped-1")))
        client.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/configmaps/{NAME}")
        eventually("the deletion", lambda: not ask("mapped-1"), 10)
        checks.true("D13: a deleted ConfigMap maps nothing", not ask("mapped-1"))
        file.unlink()
        eventually("the file's end", lambda: not ask("agent"), 10)
        checks.true("F3: a removed file associates nobody", not ask("agent"))
    finally:
        replica.process.stop()


def reviewed(replica, body):
    """The operations for a pod, asked directly over TLS without looking at the certificate."""
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("127.0.0.1", replica.port, context=context, timeout=10)
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": "u", "namespace": body["metadata"]["namespace"], "operation": "CREATE", "object": body},
    }
    try:
        connection.request("POST", "/mutate", json.dumps(review), {"Content-Type": "application/json; charset=utf-8"})
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    patch = answer["response"].get("patch")
    return json.loads(base64.b64decode(patch)) if patch else []
