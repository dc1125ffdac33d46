"""Clients that mean harm, on connections of their own from an address of their own: nobody may lose a role to them."""

import contextlib
import os
import socket
import ssl
import threading
import time

FROM = "127.0.0.9"
CONNECTIONS = 64
STREAMS = 64
AGAIN_AFTER = 0.4


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def header(name, value):
    """A literal that nobody is to index (RFC 7541, 6.2.2), without Huffman's code."""
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


POST = b"".join(
    header(name, value)
    for name, value in [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", b"/mutate"),
        (b":authority", b"localhost"),
        (b"content-type", b"application/json"),
    ]
)
# As many posts as a connection takes: their headers are complete, their bodies never begin.
IDLE_POSTS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
IDLE_POSTS += b"".join(frame(1, 4, 2 * number + 1, POST) for number in range(STREAMS))
LARGE = b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 3000000\r\n\r\n"


class Attack:
    """A context manager; `begun` counts connections."""

    def __init__(self, port):
        self._address = ("127.0.0.1", port)
        self._stop = threading.Event()
        self.begun = 0
        kinds = (self._idle_posts, self._byte_by_byte, self._slow_header, self._no_handshake)
        self._threads = [threading.Thread(target=self._repeat, args=(kind,), daemon=True) for kind in kinds]

    def __enter__(self):
        for each in self._threads:
            each.start()
        time.sleep(2)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for each in self._threads:
            each.join()

    def _repeat(self, kind):
        """Holds connections of a kind, and begins anew with those that were ended."""
        held = []
        while not self._stop.is_set():
            while len(held) < CONNECTIONS and not self._stop.is_set():
                with contextlib.suppress(OSError):
                    held.append(kind())
                    self.begun += 1
            held = [each for each in held if self._goes_on(kind, each)]
            time.sleep(AGAIN_AFTER)
        for each in held:
            each.close()

    @staticmethod
    def _goes_on(kind, connection):
        more = {"_idle_posts": None, "_no_handshake": None}.get(kind.__name__, b"x")
        try:
            if more:
                connection.sendall(more)
            connection.setblocking(False)
            try:
                ended = connection.recv(65536) == b""
            except (BlockingIOError, ssl.SSLWantReadError):
                ended = False
            finally:
                connection.setblocking(True)
                connection.settimeout(5)
        except OSError:
            ended = True
        if ended or kind.__name__ == "_idle_posts":
            # Posts that were sent away are posted again.
            connection.close()
            return False
        return True

    def _plain(self):
        return socket.create_connection(self._address, timeout=5, source_address=(FROM, 0))

    def _tls(self, protocol):
        context = ssl._create_unverified_context()
        context.set_alpn_protocols([protocol])
        return context.wrap_socket(self._plain(), server_hostname="localhost")

    def _idle_posts(self):
        connection = self._tls("h2")
        connection.sendall(IDLE_POSTS)
        return connection

    def _byte_by_byte(self):
        connection = self._tls("http/1.1")
        connection.sendall(LARGE + b" " * (1 << 20))
        return connection

    def _slow_header(self):
        connection = self._tls("http/1.1")
        connection.sendall(b"POST /mutate HTTP/1.1\r\nx: ")
        return connection

    def _no_handshake(self):
        connection = self._plain()
        connection.sendall(b"\x16\x03\x01\x02\x00\x01" + os.urandom(8))
        return connection
