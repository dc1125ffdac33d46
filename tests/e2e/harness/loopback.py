"""An HTTP server on loopback, a thread for each connection, whose answers a test decides."""

import http.server
import ssl
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *arguments):
        # A client that goes away is no news.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*arguments)


class Loopback:
    """A context manager: `url`. With `tls`, certificate and key, it is https."""

    def __init__(self, handler, port=0, tls=None):
        self._server = _Server(("127.0.0.1", port), handler)
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            # The handshake belongs to the thread of the connection: a probe that hangs up must not stop the others.
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """From now on nobody answers."""
        self._server.shutdown()
        self._server.server_close()

    def send_certificate(self, certificate, key):
        """From now on, instead of the first one."""
        self._server.socket.context.load_cert_chain(certificate, key)
