"""Key pairs for service account tokens, made with openssl: nothing of irsa's own."""

import base64
import hashlib
import pathlib

from .pki import openssl


class KeyPair:
    """`private` (PKCS#1 or SEC1, mode 0600) and `public` (PKIX) are files; `kid` is what Kubernetes names the key."""

    def __init__(self, folder, name, algorithm="rsa2048"):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.private = folder / f"{name}.key"
        self.public = folder / f"{name}.pub"
        self.private.touch(mode=0o600)
        if algorithm.startswith("rsa"):
            made = openssl("genrsa", "-traditional", algorithm.removeprefix("rsa"))
        else:
            made = openssl("ecparam", "-name", algorithm, "-genkey", "-noout")
        self.private.write_bytes(made)
        self.public.write_bytes(openssl("pkey", "-in", self.private, "-pubout"))
        self.kid = kid(self.public)


def kid(public):
    """The kid of a PKIX public key file, computed apart from irsa's own code."""
    der = openssl("pkey", "-pubin", "-in", public, "-outform", "DER")
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
