"""A small HTTP/1.1 client that sends exactly the bytes it is told, and tells exactly what came back."""

import json
import socket
from pathlib import Path

import leaks


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # list of (name, value), as received
        self.body = body

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def __getitem__(self, name):
        """The field's value; None if it is not there. More than one is an error of the test or the server."""
        found = self.all(name)
        assert len(found) < 2, (name, found)
        return found[0] if found else None

    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode(errors="replace")

    @property
    def reason(self):
        return self["X-Reason"]

    @property
    def user(self):
        return self["X-User"]

    def __repr__(self):
        return f"<{self.status} reason={self.all('X-Reason')} {self.body[:200]!r}>"


class Conn:
    """A keep-alive connection."""

    def __init__(self, host, port, timeout=20, source=None):
        self.host = f"{host}:{port}"
        self.sock = socket.create_connection((host, port), timeout, (source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def send_raw(self, data):
        leaks.known.hear(data)
        self.sock.sendall(data)

    def send(self, method, path, *headers, body=None, host=None):
        head = [f"{method} {path} HTTP/1.1", f"Host: {host or self.host}", *headers]
        if isinstance(body, str):
            body = body.encode()
        if body is not None:
            head.append(f"Content-Length: {len(body)}")
        self.send_raw(("\r\n".join(head) + "\r\n\r\n").encode("utf-8", "surrogateescape") + (body or b""))

    def break_off(self):
        """Send no more of the body that has begun."""
        self.sock.shutdown(socket.SHUT_WR)

    def is_read(self):
        """Has the server taken everything that was sent? By the kernel's table: nothing is left at either end."""
        here, there = (f":{port:04X}" for port in (self.sock.getsockname()[1], self.sock.getpeername()[1]))
        unsent, unread = None, None
        for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
            local, remote, state, queues = line.split()[1:5]
            if local.endswith(here) and remote.endswith(there):
                unsent = int(queues.partition(":")[0], 16)
            elif local.endswith(there) and remote.endswith(here) and state == "01":
                unread = int(queues.partition(":")[2], 16)
        return unsent == unread == 0

    def request(self, method, path, *headers, body=None, host=None):
        self.send(method, path, *headers, body=body, host=host)
        return self.receive(method)

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("connection closed, so far: %r" % self.buffer[:300])
        self.buffer += data

    def take_until(self, mark):
        while (at := self.buffer.find(mark)) < 0:
            self.more()
        taken, self.buffer = self.buffer[:at], self.buffer[at + len(mark):]
        return taken

    def take(self, count):
        while len(self.buffer) < count:
            self.more()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def receive(self, method="GET", interim=False):
        """The next final response; with interim also a 1xx one."""
        head = self.take_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = [(n, v.strip()) for n, _, v in (line.partition(":") for line in head[1:])]
        if 100 <= status < 200:
            return Response(status, headers, b"") if interim else self.receive(method)
        return Response(status, headers, self.receive_body(method, status, headers))

    def receive_body(self, method, status, headers):
        if method == "HEAD" or status in (204, 304):
            return b""
        fields = {n.lower(): v for n, v in headers}
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.take_until(b"\r\n").split(b";")[0], 16):
                body += self.take(size)
                self.take(2)
            self.take_until(b"\r\n")
            return body
        if "content-length" in fields:
            return self.take(int(fields["content-length"]))
        body = self.buffer
        while data := self.sock.recv(65536):
            body += data
        self.buffer = b""
        return body

    def ended(self):
        """Did the server close the connection, with nothing more to read?"""
        try:
            return not self.buffer and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
