"""A TLS front before the API server that counts writes: the peer can kill a client at any of them."""

import http.client
import http.server
import ssl
import threading

from harness.api_server import write_kubeconfig

PASSED = ("Authorization", "Content-Type", "Accept", "Impersonate-User")


class Front:
    """A context manager: `kubeconfig` leads through the front, with the administrator's token."""

    def __init__(self, plane, world, folder):
        certificate, key = plane.authority.issue("front", "/CN=front")
        handler = type("Handler", (_Handler,), {"plane": plane, "world": world})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.kubeconfig = folder / "front.kubeconfig"
        url = f"https://127.0.0.1:{self._server.server_address[1]}"
        write_kubeconfig(self.kubeconfig, url, plane.authority.certificate, {"token": plane.client._token})

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    plane = None
    world = None

    def log_message(self, *_):
        pass

    def _any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        writes = self.command != "GET" and "dryRun=All" not in self.path
        answer = self.world.effect(lambda: self._forward(body)) if writes else self._forward(body)
        if answer is None:
            self.close_connection = True
            return
        status, kind, body = answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = _any

    def _forward(self, body):
        context = ssl.create_default_context(cafile=str(self.plane.authority.certificate))
        address = self.plane.server.url.removeprefix("https://")
        connection = http.client.HTTPSConnection(address, context=context, timeout=30)
        headers = {name: self.headers[name] for name in PASSED if name in self.headers}
        connection.request(self.command, self.path, body or None, headers)
        received = connection.getresponse()
        answer = received.status, received.headers.get("Content-Type", ""), received.read()
        connection.close()
        return answer
