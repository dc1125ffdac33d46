"""Nothing of a pod, no token and no key in whatever the webhook says to anybody."""

import base64
import json

from replicas import SECRET, SECRET_OF_PODS, Replica

KEYS = ("ca.key", "next-ca.key")


class Keys:
    """Every private key of the CA that was in the Secret when somebody looked."""

    def __init__(self):
        self._lines = set()

    def look(self, client):
        answer = client.request("GET", SECRET)
        if answer.status != 200:
            return
        for name, text in answer.json()["data"].items():
            if name in KEYS:
                lines = base64.b64decode(text).decode().splitlines()
                self._lines |= {line for line in lines if line and not line.startswith("-----")}

    def __len__(self):
        return len(self._lines)

    def found_in(self, text):
        return any(line in text for line in self._lines)


def secrecy(checks, client, keys):
    """Looks through the logs of all replicas that ever ran, the last of each page that they showed, and every Event."""
    events = json.dumps(client.get("/apis/events.k8s.io/v1/events"))
    said = {each.process.name: each.log() for each in Replica.all} | {"the Events": events}
    said |= {f"{path} of {each.process.name}": text for each in Replica.all for path, text in each.pages.items()}
    checks.true("replicas were looked at", len(Replica.all) >= 6 and any("/metrics" in each for each in said), said.keys())
    checks.true("keys of the CA were seen", len(keys) >= 3, len(keys))
    for name, text in said.items():
        where = text.find(SECRET_OF_PODS)
        checks.true(f"{name}: nothing of a pod", where < 0, text[max(where - 300, 0) : where + 100])
        checks.true(f"{name}: no token", "eyJ" not in text, "a token")
        checks.true(f"{name}: no private key", "PRIVATE KEY" not in text and not keys.found_in(text), "a key")
