"""A double of AWS STS, for the tests only. It is not AWS: it enforces what AWS documents of AssumeRoleWithWebIdentity, and
answers with the codes of the API reference and the texts that users report. IAM behind it is MiniStack's.

Checked, in this order: the token's form and claims; a provider whose URL is the token's iss byte for byte; its client IDs;
discovery document and JWKS over TLS in five seconds without redirects; the certificate by the provider's thumbprint, as no
test has one of a public CA; kid, algorithm and signature; exp; the role and its trust policy.
"""

import contextlib
import hashlib
import http.client
import json
import socket
import ssl
import time
import urllib.parse
import xml.sax.saxutils

import jwt

from harness import loopback

ACCOUNT = "000000000000"
NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
TIMEOUT = 5
ACTION = "sts:AssumeRoleWithWebIdentity"


class Refused(Exception):
    def __init__(self, code, message, status=400):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


def invalid(message):
    return Refused("InvalidIdentityToken", message)


def no_key():
    return invalid(
        "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity "
        "documentation for requirements"
    )


def unreachable():
    return Refused(
        "IDPCommunicationError",
        "The request could not be fulfilled because the identity provider (IDP) that was asked to verify the incoming identity "
        "token could not be reached",
    )


class Sts(loopback.Loopback):
    """A context manager; `url` is its endpoint, `iam` a botocore client, `ca` what certificates must be signed by."""

    def __init__(self, iam, ca):
        self.iam, self.ca = iam, ca
        double = self

        class Handler(loopback.Handler):
            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.body().decode()))
                try:
                    status, text = 200, double.answer(form)
                except Refused as refused:
                    status, text = refused.status, error(refused)
                self.answer(status, {"Content-Type": "text/xml"}, text.encode())

        super().__init__(Handler)

    def answer(self, form):
        if form.get("Action") == "GetCallerIdentity":
            inner = f"<Arn>arn:aws:iam::{ACCOUNT}:user/e2e</Arn><UserId>AIDA</UserId><Account>{ACCOUNT}</Account>"
            return result("GetCallerIdentity", inner)
        self.assume(form["RoleArn"], form["WebIdentityToken"])
        name = form["RoleArn"].rsplit("/", 1)[-1]
        session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{form['RoleSessionName']}"
        return result(
            "AssumeRoleWithWebIdentity",
            f"<AssumedRoleUser><Arn>{session}</Arn><AssumedRoleId>AROA:x</AssumedRoleId></AssumedRoleUser>"
            "<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>"
            "<SessionToken>session</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>",
        )

    def assume(self, role_arn, token):
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            raise invalid(
                "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
            ) from None
        for claim in ("iss", "sub", "aud", "exp", "iat"):
            if claim not in claims:
                raise invalid(f"Missing a required claim: {claim}")
        provider = self.provider(claims["iss"])
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        accepted = [each for each in audiences if each in provider["ClientIDList"]]
        if not accepted:
            raise invalid("Incorrect token audience")
        self.verify(token, header, self.keys(claims["iss"], provider))
        now = int(time.time())
        if claims["exp"] <= now:
            message = f"Token expired: current date/time {now} must be before the expiration date/time{claims['exp']}"
            raise Refused("ExpiredTokenException", message)
        if max(claims.get("nbf", 0), claims["iat"]) > now + 60:
            raise no_key()
        self.authorize(role_arn, provider["Arn"], {"aud": accepted[0], "sub": claims["sub"]})

    def provider(self, issuer):
        for entry in self.iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
            found = self.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=entry["Arn"])
            url = found["Url"] if "://" in found["Url"] else f"https://{found['Url']}"
            if url == issuer:
                return {"Arn": entry["Arn"], **found}
        raise invalid(f"No OpenIDConnect provider found in your account for {issuer}")

    def keys(self, issuer, provider):
        thumbprints = provider.get("ThumbprintList", [])
        try:
            document = json.loads(self.fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration", thumbprints))
            # AWS passes over the slash.
            if document["issuer"].rstrip("/") != issuer.rstrip("/") or not document["jwks_uri"].startswith("https://"):
                raise no_key()
            return json.loads(self.fetch(document["jwks_uri"], thumbprints))["keys"]
        except (ValueError, KeyError, TypeError):
            raise no_key() from None

    def fetch(self, url, thumbprints):
        parts = urllib.parse.urlsplit(url)
        end = time.monotonic() + TIMEOUT
        try:
            plain = socket.create_connection((parts.hostname, parts.port or 443), TIMEOUT)
        except OSError:
            raise unreachable() from None
        with contextlib.closing(plain):
            self.pinned(parts, thumbprints)
            context = ssl.create_default_context(cafile=str(self.ca))
            try:
                stream = context.wrap_socket(plain, server_hostname=parts.hostname)
            except ssl.SSLError:
                raise no_key() from None
            connection = http.client.HTTPConnection(parts.hostname, parts.port or 443)
            connection.sock = stream
            stream.settimeout(max(0.1, end - time.monotonic()))
            try:
                connection.request("GET", parts.path, headers={"Host": parts.netloc})
                answer = connection.getresponse()
                body = answer.read(1 << 20)
            except OSError:
                raise unreachable() from None
            if answer.status != 200:
                raise no_key()
            return body

    def pinned(self, parts, thumbprints):
        """The SHA-1 of the last certificate that is sent must be one of the provider's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            raw = socket.create_connection((parts.hostname, parts.port or 443), TIMEOUT)
            with context.wrap_socket(raw, server_hostname=parts.hostname) as stream:
                chain = [certificate.public_bytes(2) for certificate in stream._sslobj.get_unverified_chain()]
        except OSError:
            raise unreachable() from None
        if hashlib.sha1(chain[-1]).hexdigest() not in thumbprints:
            raise invalid("OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint")

    def verify(self, token, header, keys):
        for key in keys:
            if key.get("kid") != header.get("kid") or key.get("use", "sig") != "sig":
                continue
            try:
                jwt.decode(
                    token,
                    jwt.PyJWK(key).key,
                    algorithms=[key.get("alg", "RS256")],
                    options={"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False},
                )
            except (jwt.InvalidTokenError, jwt.InvalidKeyError):
                continue
            return
        raise no_key()

    def authorize(self, role_arn, provider_arn, claims):
        denied = Refused("AccessDenied", f"Not authorized to perform {ACTION}", 403)
        try:
            role = self.iam.get_role(RoleName=role_arn.rsplit("/", 1)[-1])["Role"]
        except self.iam.exceptions.NoSuchEntityException:
            raise denied from None
        if role["Arn"] != role_arn:
            raise denied
        name = provider_arn.split("oidc-provider/", 1)[1]
        effects = {
            statement["Effect"]
            for statement in role["AssumeRolePolicyDocument"]["Statement"]
            if applies(statement, provider_arn, {f"{name}:{claim}": value for claim, value in claims.items()})
        }
        if effects != {"Allow"}:
            raise denied


def applies(statement, provider_arn, context):
    """The part of IAM's language that the tests use; anything else must not pass unseen."""
    listed = lambda value: value if isinstance(value, list) else [value]  # noqa: E731
    if provider_arn not in listed(statement["Principal"].get("Federated", [])):
        return False
    if ACTION not in listed(statement["Action"]):
        return False
    lowered = {key.lower(): value for key, value in context.items()}
    for operator, block in statement.get("Condition", {}).items():
        for key, expected in block.items():
            value = lowered.get(key.lower())
            if operator == "StringEquals":
                fits = value in listed(expected)
            elif operator == "StringLike":
                fits = value is not None and any(like(each, value) for each in listed(expected))
            else:
                raise AssertionError(f"{operator} is not one that this double knows")
            if not fits:
                return False
    return True


def like(pattern, text):
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(like(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and like(pattern[1:], text[1:])


def result(action, inner):
    return (
        f'<{action}Response xmlns="{NAMESPACE}"><{action}Result>{inner}</{action}Result>'
        f"<ResponseMetadata><RequestId>e2e</RequestId></ResponseMetadata></{action}Response>"
    )


def error(refused):
    message = xml.sax.saxutils.escape(refused.message)
    return (
        f'<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>Sender</Type><Code>{refused.code}</Code>'
        f"<Message>{message}</Message></Error><RequestId>e2e</RequestId></ErrorResponse>"
    )
