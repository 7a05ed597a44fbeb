"""TokRevokeCutStreams over HTTP/2, where one connection carries many answers."""

import time

import h2.config
import h2.connection
import h2.events
import pytest

from httpd import MPM
from test_streams import BIG, STRICT, WITHIN, Site, logged

pytestmark = pytest.mark.h1("speaks HTTP/2 without TLS")

if MPM == "prefork":
    pytest.skip("mod_http2 does not run on mpm_prefork", allow_module_level=True)


class Client:
    """A connection whose streams can be followed one by one; with prior knowledge, without TLS."""

    def __init__(self, server, window=1 << 30):
        self.sock = server.connect().sock
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.update_settings({4: window})  # RFC 9113 6.5.2: of each stream
        self.status, self.length, self.ended = {}, {}, {}  # by stream; ended: (how, when)
        self.port = server.port
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def get(self, path, token):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", f"127.0.0.1:{self.port}"),
                                      ("authorization", "Bearer " + token)], end_stream=True)
        self.flush()
        return stream

    def follow(self, until, seconds=10, reading=True):
        """Take what comes until until() is true or the time is over; not reading: open no window."""
        end = time.monotonic() + seconds
        while not until() and (left := end - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                break
            except ConnectionResetError:
                data = b""
            if not data:
                self.end_all("closed")
                return
            for event in self.h2.receive_data(data):
                self.note(event, reading)
            try:
                self.flush()
            except (BrokenPipeError, ConnectionResetError):
                self.end_all("closed")
                return

    def end_all(self, how):
        for stream in self.status:
            self.ended.setdefault(stream, (how, time.monotonic()))

    def note(self, event, reading):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.ResponseReceived):
            self.status[stream] = int(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.DataReceived):
            self.length[stream] = self.length.get(stream, 0) + len(event.data)
            if reading and stream not in self.ended:
                self.h2.increment_flow_control_window(event.flow_controlled_length)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended[stream] = ("complete", time.monotonic())
        elif isinstance(event, h2.events.StreamReset):
            self.ended.setdefault(stream, ("reset", time.monotonic()))

    def begins(self, *streams):
        self.follow(lambda: all(self.length.get(s) for s in streams))
        assert all(self.status.get(s) == 200 for s in streams), (self.status, self.ended)
        return streams

    def is_cut(self, stream, began):
        self.follow(lambda: stream in self.ended, 5)
        how, when = self.ended[stream]
        assert how in ("reset", "closed") and when - began < WITHIN, (how, when - began)
        return how

    def close(self):
        self.sock.close()


@pytest.fixture(scope="module")
def site(new_server, keys):
    one = Site(new_server(children=2), keys, "Protocols h2c http/1.1\n", modules=("proxy_wstunnel", "http2"))
    yield one
    one.close()


@pytest.fixture
def client(site):
    one = Client(site)
    yield one
    one.close()


def test_a_stream_in_which_something_is_written_ends_alone(site, client, mint):
    token = mint()
    mine, other = client.begins(client.get("/p/proxied/events", token), client.get("/p/proxied/events", mint(sub="bob")))
    with logged(site, "revoked by token"):
        began = site.revoke_now(token)
        assert client.is_cut(mine, began) == "reset"
    before = client.length[other]
    client.follow(lambda: False, 1)
    assert other not in client.ended and client.length[other] > before


def test_a_stream_in_which_nothing_is_written_is_cut_if_need_be_with_its_connection(site, client, mint):
    """Where mod_http2 comes to write once more, it tells of the end by a reset; else the connection ends."""
    token = mint()
    (mine,) = client.begins(client.get("/p/proxied/idle", token))
    assert client.is_cut(mine, site.revoke_now(token)) in ("closed", "reset")


def test_a_stream_ends_when_its_token_expires(site, client, mint):
    expires = int(time.time()) + 3
    (mine,) = client.begins(client.get("/p/proxied/events", mint(iss=STRICT, exp=expires)))
    client.follow(lambda: mine in client.ended, 3 + WITHIN)
    assert client.ended[mine][0] == "reset" and 0 <= time.time() - expires < WITHIN


@pytest.mark.parametrize("path", ["/p/sent/big.bin", "/p/mapped/big.bin", "/p/read/big.bin", "/p/proxied/download"])
def test_a_download_is_cut_though_its_reader_is_slow(site, mint, path):
    """However much of it mod_http2 has taken over."""
    token = mint()
    client = Client(site)
    mine = client.get(path, token)
    client.follow(lambda: False, 1, reading=False)  # the window is used up now
    assert 0 < client.length[mine] < BIG
    began = site.revoke_now(token)
    client.follow(lambda: mine in client.ended, WITHIN, reading=False)
    if mine not in client.ended:
        client.h2.increment_flow_control_window(1 << 29)
        client.flush()
    client.follow(lambda: mine in client.ended, 5)
    assert client.ended[mine][0] in ("reset", "closed") and client.length[mine] < BIG, (client.ended, client.length)
    assert client.ended[mine][1] - began < WITHIN
    client.close()


def test_a_script_is_cut_with_its_connection(site, client, mint):
    token = mint()
    (mine,) = client.begins(client.get("/cgi/slow", token))
    assert client.is_cut(mine, site.revoke_now(token)) == "closed"


def test_other_streams_of_a_connection_complete(site, client, mint):
    """A connection serves on after one of its streams was cut."""
    token = mint()
    (mine,) = client.begins(client.get("/p/proxied/events", token))
    client.is_cut(mine, site.revoke_now(token))
    time.sleep(1)
    (page,) = client.begins(client.get("/p/cut/ok.txt", mint()))
    client.follow(lambda: page in client.ended)
    assert client.ended[page][0] == "complete"


@pytest.mark.parametrize("path", ["/p/cut/ok.txt", "/p/proxied/echo", "/p/cut/index/"])
def test_a_token_whose_answers_are_complete_cuts_nothing(site, client, mint, path):
    """What was answered is not watched any more, though its connection is in use."""
    token = mint()
    done = [client.get(path, token) for _ in range(5)]
    client.follow(lambda: all(s in client.ended for s in done))
    assert {client.ended[s][0] for s in done} == {"complete"}
    (other,) = client.begins(client.get("/p/proxied/events", mint(sub="bob")))
    done.append(client.get(path, token))
    client.follow(lambda: done[-1] in client.ended)
    with logged(site):
        site.revoke_now(token)
        client.follow(lambda: other in client.ended, 2.5)
    before = client.length[other]
    client.follow(lambda: False, 0.5)
    assert other not in client.ended and client.length[other] > before

