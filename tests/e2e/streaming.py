"""A backend and clients that keep connections open: WebSockets (RFC 6455) with no library, event streams, uploads."""

import base64
import hashlib
import os
import socket
import struct
import threading
import time
from pathlib import Path

from client import Conn

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE = 1, 8
STUBBORN = b"stubborn"


def frame(payload, mask=b"", kind=TEXT):
    """RFC 6455 5.2; under 126 bytes, or up to 64 KiB."""
    length = len(payload)
    masked = 128 if mask else 0
    head = bytes([128 | kind]) + (bytes([masked | length]) if length < 126 else bytes([masked | 126]) + struct.pack(">H", length))
    return head + mask + (bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if mask else payload)


def read_frame(read):
    """(kind, payload) from read(n), which gives exactly n bytes or raises EOFError."""
    kind, length = read(2)
    masked, length = length & 128, length & 127
    if length == 126:
        length, = struct.unpack(">H", read(2))
    mask = read(4) if masked else b"\0\0\0\0"
    return kind & 15, bytes(b ^ mask[i % 4] for i, b in enumerate(read(length)))


def exactly(sock, n):
    data = b""
    while len(data) < n:
        piece = sock.recv(n - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


class Echo:
    """
    A WebSocket server that sends back what it gets. Who has heard STUBBORN does not leave when it has read everything, and writes
    nothing, until httpd has closed the connection both ways. gone counts the connections that have ended.
    """

    def __init__(self):
        self.heard, self.gone = [], 0  # of all connections
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(sock,), daemon=True).start()

    def talk(self, sock):
        try:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += exactly(sock, 1)
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            key = {n.lower(): v for n, v in fields.items()}[b"sec-websocket-key"]
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            self.echo(sock)
        except (OSError, EOFError):
            pass
        sock.close()
        with self.changed:
            self.gone += 1
            self.changed.notify_all()

    def echo(self, sock):
        is_stubborn = False
        try:
            while True:
                kind, payload = read_frame(lambda n: exactly(sock, n))
                with self.changed:
                    self.heard.append(payload)
                is_stubborn |= payload == STUBBORN
                if kind == CLOSE:
                    return
                sock.sendall(frame(payload, kind=kind))
        except EOFError:
            pass
        if is_stubborn:
            is_half_closed(sock)

    def wait_gone(self, count, seconds=3):
        with self.changed:
            assert self.changed.wait_for(lambda: self.gone >= count, seconds), f"only {self.gone} connections have ended"

    def close(self):
        self.listener.close()


def is_half_closed(sock, seconds=10):
    """Does the other end of a connection of this machine still belong to a process, though it has ended what it sends? Waits."""
    port = sock.getpeername()[1]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
        if not any(int(row[1].split(":")[1], 16) == port and row[9] != "0" for row in rows):
            return False
        time.sleep(0.02)
    return True


class WebSocket(Conn):
    """A client's end."""

    def __init__(self, server, path, token):
        super().__init__("127.0.0.1", server.port)
        self.send("GET", path, "Authorization: Bearer " + token, "Upgrade: websocket", "Connection: Upgrade",
                  "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode())
        self.answer = self.receive(interim=True)
        assert self.answer.status == 101, self.answer

    def echoes(self, text):
        self.sock.sendall(frame(text, mask=os.urandom(4)))
        return read_frame(self.take) == (TEXT, text)


def read_until_cut(sock, seconds=10):
    """(what came, when it ended, how): the rest of what a server sends. How: "end" or "reset"."""
    sock.settimeout(seconds)
    data = bytearray()
    while True:
        try:
            piece = sock.recv(65536)
        except ConnectionResetError:
            return bytes(data), time.monotonic(), "reset"
        if not piece:
            return bytes(data), time.monotonic(), "end"
        data += piece
