"""A client that puts HTTP/2 frames on the wire as it is told, right or wrong, and keeps what comes back."""

import select

import hpack
import hyperframe.frame as frames

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WIDE = (1 << 31) - 1 - 65535


class Answer:
    """What has come of one stream; how it ended: "whole", "reset 1", "goaway 1" or "closed"."""

    def __init__(self):
        self.status, self.headers, self.body, self.end = None, [], b"", None

    def all(self, name):
        return [v for n, v in self.headers if n == name]

    @property
    def reason(self):
        return (self.all("x-reason") or [None])[0]

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.end} {self.body[:100]!r}>"


def flag(frame, **wanted):
    for name, is_wanted in wanted.items():
        if is_wanted:
            frame.flags.add(name)


class Raw:
    def __init__(self, server):
        self.sock = server.connect().sock
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.answers, self.blocks = {}, {}
        self.goaway, self.is_closed = None, False
        self.settings = {}
        self.next = 1
        self.send_bytes(PREFACE)
        self.send(frames.SettingsFrame(0, settings={frames.SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 30}),
                  frames.WindowUpdateFrame(0, window_increment=WIDE))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    # ---- sending ----

    def send_bytes(self, data):
        """False: the server has closed the connection."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.is_closed = True
        return not self.is_closed

    def send(self, *some):
        return self.send_bytes(b"".join(frame.serialize() for frame in some))

    def stream(self):
        self.next += 2
        self.answers[self.next - 2] = Answer()
        return self.next - 2

    def begin(self, fields, end=True, pieces=1, padding=0):
        """A request's fields, in one HEADERS frame and as many CONTINUATION frames as there are more pieces."""
        return self.begin_block(self.encoder.encode(fields), end, pieces, padding)

    def begin_block(self, block, end=True, pieces=1, padding=0):
        stream = self.stream()
        size = -(-len(block) // pieces)
        parts = [block[i:i + size] for i in range(0, len(block), size)]
        first = frames.HeadersFrame(stream, parts[0], pad_length=padding)
        flag(first, END_STREAM=end, END_HEADERS=len(parts) == 1, PADDED=padding)
        rest = [frames.ContinuationFrame(stream, part) for part in parts[1:]]
        if rest:
            rest[-1].flags.add("END_HEADERS")
        self.send(first, *rest)
        return stream

    def data(self, stream, data, end=True, padding=0):
        frame = frames.DataFrame(stream, data, pad_length=padding)
        flag(frame, END_STREAM=end, PADDED=padding)
        return self.send(frame)

    def reset(self, stream, code=8):
        self.answers[stream].end = "reset by us"
        return self.send(frames.RstStreamFrame(stream, error_code=code))

    # ---- receiving ----

    def more(self):
        """Take one frame. False: there will be none."""
        try:
            head = self.take(9)
            frame, length = frames.Frame.parse_frame_header(memoryview(head))
            frame.parse_body(memoryview(self.take(length)))
        except (EOFError, ConnectionResetError):
            self.is_closed = True
            for answer in self.answers.values():
                answer.end = answer.end or (f"goaway {self.goaway}" if self.goaway else "closed")
            return False
        self.note(frame)
        return True

    def take(self, count):
        data = b""
        while len(data) < count:
            piece = self.sock.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def note(self, frame):
        if isinstance(frame, frames.SettingsFrame) and "ACK" not in frame.flags:
            self.settings.update(frame.settings)
            self.send(frames.SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, frames.PingFrame) and "ACK" not in frame.flags:
            self.send(frames.PingFrame(0, frame.opaque_data, flags=["ACK"]))
        elif isinstance(frame, frames.GoAwayFrame):
            self.goaway = frame.error_code
        elif isinstance(frame, (frames.HeadersFrame, frames.ContinuationFrame)):
            self.blocks[frame.stream_id] = self.blocks.get(frame.stream_id, b"") + frame.data
            if "END_HEADERS" in frame.flags:
                self.note_fields(self.answers[frame.stream_id], self.decoder.decode(self.blocks.pop(frame.stream_id)))
        elif isinstance(frame, frames.DataFrame):
            self.answers[frame.stream_id].body += frame.data
        elif isinstance(frame, frames.RstStreamFrame):
            answer = self.answers[frame.stream_id]
            answer.end = answer.end or f"reset {frame.error_code}"
        if "END_STREAM" in frame.flags:
            self.answers[frame.stream_id].end = self.answers[frame.stream_id].end or "whole"

    @staticmethod
    def note_fields(answer, fields):
        fields = [tuple(f.decode("latin-1") if isinstance(f, bytes) else f for f in pair) for pair in fields]
        status = dict(fields).get(":status")
        if status and not status.startswith("1"):
            answer.status, answer.headers = int(status), fields

    def answer(self, stream):
        answer = self.answers[stream]
        while answer.end is None and self.more():
            pass
        return answer

    def has_been_told_to_go(self):
        """By what has come up to now."""
        while not self.is_closed and select.select([self.sock], [], [], 0)[0]:
            self.more()
        return self.is_closed or self.goaway is not None

    def wait_for_the_end(self):
        while self.more():
            pass


def request(path, *more, method="GET", authority="site.test", scheme="http", drop=()):
    fields = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
    return [f for f in fields if f[0] not in drop] + list(more)


def bearer(token):
    return ("authorization", "Bearer " + token)
