"""A web host over TLS whose every answer a test decides, and the certificates for it."""

import time

from harness import loopback
from harness.pki import Authority


class Chained(Authority):
    """Certificates for thirty days, sent with their CA: what a server is expected to do."""

    def issue(self, name, subject, addresses=("127.0.0.1",), names=("localhost",), days=30, alone=False):
        certificate, key = super().issue(name, subject, addresses, names, days)
        if not alone:
            certificate.write_text(certificate.read_text() + self.certificate.read_text())
        return certificate, key


class Page:
    """One answer: a status, headers, a body, and how long it takes."""

    def __init__(self, body=b"", status=200, delay=0, **headers):
        self.body = body
        self.status = status
        self.delay = delay
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Host(loopback.Loopback):
    """A context manager: an https server on loopback that answers what `pages` (a path to a Page) says."""

    def __init__(self, port, certificate, key):
        self.port = port
        self.pages = {}
        host = self

        class Handler(loopback.Handler):
            def do_GET(self):
                page = host.pages.get(self.path, Page(b"not found", 404))
                time.sleep(page.delay)
                self.answer(page.status, page.headers, page.body)

        super().__init__(Handler, port, tls=(certificate, key))
