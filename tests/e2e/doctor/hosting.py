"""A web host over TLS whose every answer a test decides, and the certificates for it."""

import http.server
import ssl
import threading
import time

from harness.pki import Authority, openssl


class Chained(Authority):
    """Certificates for thirty days, sent with their CA: what a server is expected to do."""

    def issue(self, name, subject, addresses=("127.0.0.1",), names=("localhost",), days=30, alone=False):
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
            "extendedKeyUsage=serverAuth\n"
            f"subjectAltName={alternatives}\n"
        )
        openssl(
            *("x509", "-req", "-days", days, "-in", request, "-out", certificate, "-extfile", extensions),
            *("-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial"),
        )
        if not alone:
            certificate.write_text(certificate.read_text() + self.certificate.read_text())
        key.chmod(0o600)
        return certificate, key


class Page:
    """One answer: a status, headers, a body, and how long it takes."""

    def __init__(self, body=b"", status=200, delay=0, **headers):
        self.body = body
        self.status = status
        self.delay = delay
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Host:
    """A context manager: an https server on loopback that answers what `pages` (a path to a Page) says."""

    def __init__(self, port, certificate, key):
        self.port = port
        self.pages = {}
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                page = host.pages.get(self.path, Page(b"not found", 404))
                time.sleep(page.delay)
                self.send_response(page.status)
                for name, value in page.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(page.body)))
                self.end_headers()
                self.wfile.write(page.body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """A client that goes away is no news."""

        self.server = Server(("127.0.0.1", port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # The handshake belongs to the thread of the connection: a probe that hangs up must not stop the others.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
