"""cases.py ISSUER CA_FILE TOKENS: the tokens as they are, and changed, with the right verdict on each."""

import base64
import json
import os
import sys


def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def main():
    issuer, ca_file, folder = sys.argv[1:]
    cases = []

    def add(name, token, accept=False, audience="sts.amazonaws.com"):
        cases.append({"name": name, "token": token, "audience": audience, "accept": accept})

    for algorithm in ("RS256", "ES256", "ES384", "ES512"):
        tokens = {}
        for kind in ("good", "audience", "issuer", "foreign"):
            with open(os.path.join(folder, f"{algorithm}.{kind}"), encoding="ascii") as file:
                tokens[kind] = file.read().strip()
        header, claims, signature = tokens["good"].split(".")
        add(f"{algorithm} as minted", tokens["good"], accept=True)
        add(f"{algorithm} for another audience", tokens["audience"])
        add(f"{algorithm} asked for by another audience", tokens["good"], audience="other.example.com")
        add(f"{algorithm} of that other audience", tokens["audience"], accept=True, audience="other.example.com")
        add(f"{algorithm} of an issuer with a slash", tokens["issuer"])
        add(f"{algorithm} signed by a key that is not published", tokens["foreign"])
        foreign = tokens["foreign"].split(".")
        add(f"{algorithm} with a foreign signature under our kid", f"{header}.{foreign[1]}.{foreign[2]}")

        middle = bytearray(decode(signature))
        middle[len(middle) // 2] ^= 1
        add(f"{algorithm} with a changed signature", f"{header}.{claims}.{encode(bytes(middle))}")
        add(f"{algorithm} with a cut signature", f"{header}.{claims}.{encode(decode(signature)[:-1])}")
        add(f"{algorithm} without a signature", f"{header}.{claims}.")
        zeros = encode(bytes(len(middle)))
        add(f"{algorithm} with a signature of zeros", f"{header}.{claims}.{zeros}")

        other = json.loads(decode(claims))
        other["sub"] = "system:serviceaccount:kube-system:admin"
        add(f"{algorithm} with another subject", f"{header}.{encode(json.dumps(other).encode())}.{signature}")
        for alg in ("none", "HS256"):
            changed = json.loads(decode(header)) | {"alg": alg}
            add(f"{algorithm} as {alg}", f"{encode(json.dumps(changed).encode())}.{claims}.{signature}")
    json.dump({"issuer": issuer, "ca_file": ca_file, "cases": cases}, sys.stdout)


main()
