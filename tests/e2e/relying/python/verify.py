"""Verifies the tokens of cases.json with PyJWT and with joserfc."""

import json
import ssl
import sys
import urllib.request

import jwt
from joserfc import jwt as jose_jwt
from joserfc.jwk import KeySet

ALGORITHMS = ["RS256", "ES256", "ES384", "ES512"]


def pyjwt(token, issuer, audience, discovery, tls):
    client = jwt.PyJWKClient(discovery["jwks_uri"], ssl_context=tls)
    jwt.decode(
        token,
        client.get_signing_key_from_jwt(token),
        algorithms=discovery["id_token_signing_alg_values_supported"],
        issuer=issuer,
        audience=audience,
        options={"require": ["exp", "iat", "nbf", "sub", "aud", "iss"]},
    )


def joserfc(token, issuer, audience, discovery, tls):
    with urllib.request.urlopen(discovery["jwks_uri"], context=tls) as answer:
        keys = KeySet.import_key_set(json.load(answer))
    decoded = jose_jwt.decode(token, keys, algorithms=ALGORITHMS)
    claims = jose_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
        sub={"essential": True},
    )
    claims.validate(decoded.claims)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    tls = ssl.create_default_context(cafile=plan["ca_file"])
    issuer = plan["issuer"]
    with urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration", context=tls) as answer:
        discovery = json.load(answer)
    if discovery["issuer"] != issuer:
        sys.exit(f"discovery names {discovery['issuer']}")
    for library in (pyjwt, joserfc):
        for case in plan["cases"]:
            try:
                library(case["token"], issuer, case["audience"], discovery, tls)
                verdict, why = True, ""
            except Exception as error:  # every refusal is an exception of its own here
                verdict, why = False, f"{type(error).__name__}: {error}"
            if verdict != case["accept"]:
                sys.exit(f"{library.__name__}: {case['name']}: accepted={verdict} {why}")
            print(f"{library.__name__}: {case['name']}: {'accepted' if verdict else f'refused ({why})'}")


main()
