"""A certificate authority for one test run, made with openssl."""

import pathlib
import subprocess
import threading


def openssl(*arguments, stdin=None):
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(map(str, arguments))}: {done.stderr.decode(errors='replace')}")
    return done.stdout


class Authority:
    """`certificate` and `key` are its files; `issue` makes server and client certificates."""

    def __init__(self, folder, name="irsa test CA"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.certificate = self.folder / "ca.crt"
        self.key = self.folder / "ca.key"
        # One file of serial numbers, and threads that issue at the same time.
        self._lock = threading.Lock()
        openssl(
            *"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(),
            *("-keyout", self.key, "-out", self.certificate, "-subj", f"/CN={name}"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    def issue(self, name, subject, addresses=("127.0.0.1",), names=("localhost",), days=2):
        """(certificate file, key file) signed by this authority, for servers and clients alike."""
        key, request, certificate = (self.folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
        openssl(
            *"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(),
            *("-keyout", key, "-out", request, "-subj", subject),
        )
        alternatives = ",".join([f"DNS:{each}" for each in names] + [f"IP:{each}" for each in addresses])
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\n"
            "extendedKeyUsage=serverAuth,clientAuth\n"
            f"subjectAltName={alternatives}\n"
        )
        with self._lock:
            openssl(
                *("x509", "-req", "-days", days, "-in", request, "-out", certificate, "-extfile", extensions),
                *("-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial"),
            )
        key.chmod(0o600)
        return certificate, key
