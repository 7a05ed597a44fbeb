"""
The client of client.py over HTTP/2 and TLS. It is given the bytes of HTTP/1.1 requests, as the other one, and puts them into
frames: bodies of a known length and chunks become DATA, trailers become trailers, requests that do not wait for answers become
streams beside each other. What HTTP/2 has no words for is an error of the test, which wants the mark h1.
"""

import socket
import ssl

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

import client
import leaks
import tls
from client import Response

WINDOW = 1 << 20
NO_H2 = (b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"te")
UNSAYABLE = (h2.exceptions.ProtocolError, KeyError)


class Stream:
    """One request, and what has come of its answer."""

    def __init__(self, id_, method):
        self.id = id_
        self.method = method
        self.interim = []
        self.status = None
        self.headers = []
        self.data = b""
        self.is_whole = False
        self.reset = None


def fields_of(raw):
    """(status, the other fields); names are spelled as in HTTP/1.1, for tests that look at them as they are."""
    fields = [(n.decode("latin-1").title(), v.decode("latin-1")) for n, v in raw]
    return int(dict(fields)[":Status"]), [f for f in fields if f[0] != ":Status"]


class H2Connection(h2.connection.H2Connection):
    """The library takes the first GOAWAY for the end; a server that leaves in peace answers what it has begun."""

    def _receive_goaway_frame(self, frame):
        event = h2.events.ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        return [], [event]


class Conn(client.Conn):
    """One connection; receive() gives the answers in the order of the requests."""

    context = None

    def __init__(self, host, port, timeout=20, source=None):
        self.queue = []
        self.unsent = b""
        self.stream = None  # of the request whose body has not been sent
        self.left = 0  # of that body; None: as chunks tell
        self.last = None  # after GOAWAY: the last stream that is answered
        super().__init__(host, port, timeout, source)
        try:
            self.sock = self.trusting().wrap_socket(self.sock, server_hostname=host)
        except (ssl.SSLError, EOFError) as e:
            raise ConnectionResetError(str(e)) from e
        assert self.sock.selected_alpn_protocol() == "h2"
        self.h2 = H2Connection(h2.config.H2Configuration(
            header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False))
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
        self.h2.increment_flow_control_window(WINDOW)
        self.flush()

    @classmethod
    def trusting(cls):
        if Conn.context is None:
            Conn.context = ssl.create_default_context(cafile=tls.Certificate.folder() / "ca.pem")
            Conn.context.set_alpn_protocols(["h2"])
        return Conn.context

    @property
    def buffer(self):
        """What has come of the body of the oldest answer that nobody has taken."""
        return self.queue[0].data if self.queue else b""

    @buffer.setter
    def buffer(self, data):
        if self.queue:
            self.queue[0].data = data

    # ---- sending ----

    def flush(self):
        try:
            self.sock.sendall(self.h2.data_to_send())
        except ssl.SSLError as e:
            raise ConnectionResetError(str(e)) from e

    def send_raw(self, data):
        leaks.known.hear(data)
        if self.last is not None and self.stream is None:
            raise ConnectionResetError("the server takes no more requests here")
        self.unsent += data
        while self.step():
            pass
        self.flush()

    def step(self):
        """Put a piece of what is unsent into frames. Was there enough of it?"""
        if self.stream is None:
            head, mark, rest = self.unsent.partition(b"\r\n\r\n")
            if not mark:
                return False
            self.unsent = rest
            self.begin(head.split(b"\r\n"))
            return True
        if self.left is not None:
            piece, self.unsent = self.unsent[:self.left], self.unsent[self.left:]
            self.left -= len(piece)
            self.put(piece, not self.left)
            return bool(piece)
        return self.chunk()

    def begin(self, lines):
        method, target, version = lines[0].split(b" ")
        assert version == b"HTTP/1.1" and target[:1] in b"/*", "mark the test h1"
        fields = [(n.lower(), v.strip(b" \t")) for n, mark, v in (line.partition(b":") for line in lines[1:])]
        hosts = [v for n, v in fields if n == b"host"]
        fields = [f for f in fields if f[0] != b"host"]
        assert len(hosts) < 2 and not any(n in NO_H2 or not n or n[:1] in b" \t" for n, _ in fields), "mark the test h1"
        given = dict(fields)
        self.left = None if b"transfer-encoding" in given else int(given.get(b"content-length") or 0)
        head = [(b":method", method), (b":scheme", b"https"), *((b":authority", h) for h in hosts), (b":path", target)]
        stream = Stream(self.h2.get_next_available_stream_id(), method.decode())
        self.h2.send_headers(stream.id, head + [f for f in fields if f[0] != b"transfer-encoding"], end_stream=self.left == 0)
        self.queue.append(stream)
        self.stream = stream if self.left != 0 else None

    def chunk(self):
        line, mark, rest = self.unsent.partition(b"\r\n")
        if not mark:
            return False
        size = int(line.split(b";")[0], 16)
        if size:
            if len(rest) < size + 2:
                return False
            self.unsent = rest[size + 2:]
            self.put(rest[:size], False)
            return True
        end, mark, rest = (b"\r\n" + rest).partition(b"\r\n\r\n")
        if not mark:
            return False
        self.unsent = rest
        trailers = [(n.lower(), v.strip(b" \t")) for n, _, v in (line.partition(b":") for line in end.split(b"\r\n")[1:])]
        if trailers:
            self.h2.send_headers(self.stream.id, trailers, end_stream=True)
            self.stream = None
        else:
            self.put(b"", True)
        return True

    def put(self, data, is_last):
        """DATA as the windows allow; a server that has answered and wants no more is sent no more."""
        stream = self.stream
        if is_last:
            self.stream = None
        try:
            while (data or is_last) and not stream.is_whole and stream.reset is None:
                window = min(self.h2.local_flow_control_window(stream.id), self.h2.max_outbound_frame_size)
                if data and not window:
                    self.flush()
                    self.more()
                    continue
                piece, data = data[:window], data[window:]
                self.h2.send_data(stream.id, piece, end_stream=is_last and not data)
                is_last = is_last and bool(data)
        except UNSAYABLE:
            if not stream.is_whole and stream.reset is None:
                raise

    def break_off(self):
        self.h2.reset_stream(self.stream.id, h2.errors.ErrorCodes.CANCEL)
        self.stream.reset, self.stream = h2.errors.ErrorCodes.CANCEL, None
        self.flush()

    # ---- receiving ----

    def more(self):
        try:
            data = self.sock.recv(65536)
        except ssl.SSLEOFError:
            data = b""
        if not data:
            raise EOFError("connection closed, so far: %r" % self.buffer[:300])
        for event in self.h2.receive_data(data):
            self.take_event(event)
        self.flush()

    def take_event(self, event):
        if isinstance(event, h2.events.ConnectionTerminated):
            self.last = event.last_stream_id
            return
        stream = next((s for s in self.queue if s.id == getattr(event, "stream_id", None)), None)
        if isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if stream is None:
            return
        if isinstance(event, h2.events.InformationalResponseReceived):
            stream.interim.append(Response(*fields_of(event.headers), b""))
        elif isinstance(event, h2.events.ResponseReceived):
            stream.status, stream.headers = fields_of(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            stream.data += event.data
        elif isinstance(event, h2.events.StreamEnded):
            stream.is_whole = True
        elif isinstance(event, h2.events.StreamReset) and not stream.is_whole:
            stream.reset = event.error_code

    def receive(self, method="GET", interim=False):
        stream = self.queue[0]
        while True:
            if interim and stream.interim:
                return stream.interim.pop(0)
            if stream.is_whole:
                return self.queue.pop(0) and Response(stream.status, stream.headers, stream.data)
            if stream.reset is not None:
                self.queue.pop(0)
                raise ConnectionResetError(f"stream reset: {stream.reset}")
            if self.last is not None and stream.id > self.last:
                raise EOFError("the server has taken no more requests")
            self.more()

    def ended(self):
        try:
            while True:
                self.more()
        except (EOFError, ConnectionResetError):
            return not self.buffer
        except socket.timeout:
            return False
