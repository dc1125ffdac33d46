"""A TLS front before the API server that counts writes: the peer can kill a client at any of them."""

import http.client
import ssl

from harness import loopback
from harness.api_server import write_kubeconfig

PASSED = ("Authorization", "Content-Type", "Accept", "Impersonate-User")


class Front(loopback.Loopback):
    """A context manager: `kubeconfig` leads through the front, with the administrator's token."""

    def __init__(self, plane, world, folder):
        handler = type("Handler", (_Handler,), {"plane": plane, "world": world})
        super().__init__(handler, tls=plane.authority.issue("front", "/CN=front"))
        self.kubeconfig = folder / "front.kubeconfig"
        write_kubeconfig(self.kubeconfig, self.url, plane.authority.certificate, {"token": plane.client._token})


class _Handler(loopback.Handler):
    plane = None
    world = None

    def _any(self):
        body = self.body()
        writes = self.command != "GET" and "dryRun=All" not in self.path
        answer = self.world.effect(lambda: self._forward(body)) if writes else self._forward(body)
        if answer is None:
            self.close_connection = True
            return
        status, kind, body = answer
        self.answer(status, {"Content-Type": kind}, body)

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
