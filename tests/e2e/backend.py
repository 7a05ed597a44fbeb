"""
A server behind httpd, for tests: keeps every request byte for byte, as it comes, and answers what the test says.
"""

import json
import socket
import threading
import time


class Kept:
    """One request. The body grows while it comes; as_sent is what was on the wire, with its chunks."""

    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
        self.body = b""
        self.as_sent = b""
        self.is_whole = False

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def __getitem__(self, name):
        found = self.all(name)
        assert len(found) < 2, (name, found)
        return found[0] if found else None

    def __repr__(self):
        return f"<{self.method} {self.target} {self.headers} {self.body[:200]!r}>"


def reply(body, status="200 OK", *headers, length=True):
    """The bytes of an answer; body: a dict becomes JSON."""
    kind = ()
    if isinstance(body, dict):
        body, kind = json.dumps(body).encode(), ("Content-Type: application/json",)
    head = [f"HTTP/1.1 {status}", *kind, *headers] + ([f"Content-Length: {len(body)}"] if length else [])
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body


class Backend:
    """
    answer(request) gives the bytes to send, or None to close the connection without a word; or it is a generator of such pieces.
    An answer without a Content-Length and chunks must be the last: close_after tells.
    """

    def __init__(self):
        self.kept = []
        self.answer = lambda request: reply({"ok": True})
        self.close_after = False
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = set()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.connections.add(conn)
            threading.Thread(target=self.talk, args=(conn,), daemon=True).start()

    def talk(self, conn):
        try:
            while self.one(conn, conn.makefile("rb")):
                pass
        except (OSError, ValueError):
            pass
        finally:
            self.connections.discard(conn)
            conn.close()

    def one(self, conn, stream):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return False
            head += line
        request = Kept(head[:-4])
        with self.changed:
            self.kept.append(request)
            self.changed.notify_all()
        if request["Expect"] == "100-continue":
            conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.read_body(request, stream)
        answer = self.answer(request)
        if answer is None:
            return False
        for piece in (answer,) if isinstance(answer, bytes) else answer:
            if piece is None:
                return False
            conn.sendall(piece)
        return not self.close_after

    def grow(self, request, as_sent, data):
        with self.changed:
            request.as_sent += as_sent
            request.body += data
            self.changed.notify_all()

    def read_body(self, request, stream):
        if request["Transfer-Encoding"] == "chunked":
            while True:
                line = stream.readline()
                size = int(line.split(b";")[0], 16)
                data = b"".join(self.pieces(stream, size))
                end = stream.readline()
                self.grow(request, line + data + end, data)
                if not size:
                    break
        else:
            for data in self.pieces(stream, int(request["Content-Length"] or 0)):
                self.grow(request, data, data)
        with self.changed:
            request.is_whole = True
            self.changed.notify_all()

    @staticmethod
    def pieces(stream, size):
        while size:
            data = stream.read1(size)
            if not data:
                raise OSError("cut off")
            size -= len(data)
            yield data

    def wait(self, what, seconds=10):
        """Until what(self) is true, which is returned."""
        end = time.monotonic() + seconds
        with self.changed:
            while not (found := what(self)):
                left = end - time.monotonic()
                assert left > 0, f"it did not come: {self.kept}"
                self.changed.wait(left)
        return found

    def take(self):
        """What was kept since the last time."""
        with self.changed:
            taken, self.kept = self.kept, []
        return taken

    def only(self):
        """The one request since the last time."""
        (request,) = self.take()
        return request

    def close(self):
        self.listener.close()
        for conn in list(self.connections):
            conn.close()
