"""TokRevokeCutStreams: what outlives its token ends within two seconds, and nothing else does."""

import contextlib
import json
import os
import re
import threading
import time

import pytest

from backend import Backend, reply
from guarding import location
from httpd import MPM, endpoint, protected
from issuers import issuer, jwks, write_keys
from storing import BASIC, JSON, SLOW, basic, text, until, write_users
from streaming import STUBBORN, Echo, WebSocket, read_until_cut

pytestmark = pytest.mark.h1("tunnels and chunks are of HTTP/1.1; streams of HTTP/2 are in test_streams_h2")

WITHIN = 2 * SLOW  # seconds
CUT = "TokRevokeCutStreams On"
FORM = "Content-Type: application/x-www-form-urlencoded"
STRICT = "https://strict.test/"  # no clock skew
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
BIG = 48 << 20  # more than all buffers on the way hold

SLOW_SCRIPT = """#!/usr/bin/python3
import sys, time
sys.stdout.write("Content-Type: text/plain\\n\\n")
for i in range(400):
    sys.stdout.write("line %d\\n" % i)
    sys.stdout.flush()
    time.sleep(0.05)
"""


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class Site:
    """A server before a backend for HTTP and one for WebSockets."""

    def __init__(self, server, keys, *more, modules=("proxy_wstunnel",), max_descriptors=None):
        self.server = server
        server.max_descriptors = max_descriptors
        self.backend, self.echo = Backend(), Echo()
        self.backend.answer = self.answer
        self.events_every = 0.05
        self.go = threading.Event()
        write_keys(server, keys)
        write_users(server, b"boss")
        server.extra_modules = modules
        server.runs_scripts = True
        server.write("cgi/slow", SLOW_SCRIPT, mode=0o755)
        server.write("htdocs/big.bin", os.urandom(1 << 20) * (BIG >> 20))
        server.write("htdocs/page.shtml", '<p>open</p><!--#include virtual="/cgi/slow" -->')
        server.write("htdocs/parts.shtml", "".join(f'<!--#include virtual="/part/{i}.txt" -->' for i in range(40)))
        (server.root / "htdocs" / "index").mkdir()
        server.write("htdocs/index/index.html", "an index\n")
        (server.root / "htdocs" / "part").mkdir()
        for i in range(40):
            server.write(f"htdocs/part/{i}.txt", f"part {i} " * 500)
        http, ws = f"127.0.0.1:{self.backend.port}", f"127.0.0.1:{self.echo.port}"
        server.start(text(
            issuer(STRICT, jwks("all"), "TokRevokeClockSkew 0"),
            protected("cut", CUT), protected("uncut"), protected("cgi", CUT, where="/cgi/"), protected("mapped", CUT, "EnableSendfile Off"),
            protected("sent", CUT, "EnableSendfile On"), protected("read", CUT, "EnableSendfile Off", "EnableMMAP Off"),
            'ScriptAlias /cgi/ "{root}/cgi/"\n',
            *(protected(name, CUT) for name in ("proxied", "upgraded", "tunnel")), protected("uncut-proxied"),
            f"ProxyPass /p/upgraded/ http://{ws}/ upgrade=websocket\nProxyPass /p/tunnel/ ws://{ws}/\n",
            f"ProxyPass /p/proxied/ http://{http}/ flushpackets=on\nProxyPass /p/uncut-proxied/ http://localhost:{self.backend.port}/ flushpackets=on\n",
            '<Directory "{root}/htdocs">\n    Options +Includes\n    AddOutputFilter INCLUDES .shtml\n</Directory>\n',
            '<Location "/part/">\n    Require all granted\n    TokRevokeCutStreams On\n</Location>\n',
            location("/admin", "SetHandler tokrevoke-admin", *BASIC),
            endpoint("/own/logout", "AuthType Bearer", "AuthName own", "Require valid-user", CUT, "TokRevokeTokenFrom header",
                     handler="tokrevoke-logout"),
            "MaxMemFree 1\n",  # memory of requests that have ended is given back, so that using it shows
            *more))

    def __getattr__(self, name):
        return getattr(self.server, name)

    def answer(self, request):
        """Of the backend: /events, /idle (one event), /download, /slow (begins late)."""
        if "events" in request.target:
            return self.events()
        if "idle" in request.target:
            return self.one_event()
        if "slow" in request.target:
            return self.late()
        if "told" in request.target:
            return self.told()
        if "echo" in request.target:
            return reply(request.body)
        return self.download()

    def events(self):
        yield CHUNKED
        for i in range(2000):
            yield chunk(b"data: %d\n\n" % i)
            time.sleep(self.events_every)
        yield chunk(b"")

    def late(self):
        time.sleep(4)
        yield reply({"late": True})

    def told(self):
        yield CHUNKED + chunk(b"data: one\n\n")
        self.go.wait(20)
        yield chunk(b"data: two\n\n") + chunk(b"")

    def download(self):
        yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG
        for _ in range(BIG >> 16):
            yield bytes(1 << 16)

    @staticmethod
    def one_event():
        """httpd hears of its backend only when that says something."""
        yield CHUNKED + chunk(b"data: one\n\n")
        time.sleep(4)
        yield chunk(b"")

    def revoke_kind(self, kind, value, iss="https://idp.test/"):
        r = self.server.get("/admin/revocations", JSON, basic(b"boss"), method="POST",
                            body=json.dumps({"kind": kind, "iss": iss, "value": value}))
        assert r.status == 201, r

    def open(self, path, token, *headers, version=b"1.1", first=b""):
        """A connection on which the answer has begun; what was read of it is in its buffer."""
        c = self.server.connect()
        c.token = token
        c.send_raw(first + b"GET %s HTTP/%s\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n"
                   % (path.encode(), version, token.encode(), b"".join(h.encode() + b"\r\n" for h in headers)))
        while b"\r\n\r\n" not in c.buffer:
            c.more()
        assert c.buffer.split(b" ")[1] == b"200", c.buffer
        return c

    def revoke_now(self, token):
        """Returns when it was answered."""
        assert self.server.revoke(token).status == 200
        return time.monotonic()

    def said(self):
        return re.findall(r"a response is cut after ([\d.]+) s: token ([0-9a-f]{16}), subject \"(\w+)\", client 127.0.0.1: (.+)",
                          self.server.error_log())

    def close(self):
        self.server.stop()
        self.backend.close()
        self.echo.close()


@pytest.fixture(scope="module")
def site(new_server, keys):
    one = Site(new_server(children=2), keys)
    yield one
    one.close()


@contextlib.contextmanager
def logged(site, *whys):
    """Exactly these causes are logged meanwhile."""
    before = len(site.said())
    yield
    until(lambda: len(site.said()) - before >= len(whys), message=lambda: site.error_log()[-3000:])
    assert sorted(row[3] for row in site.said()[before:]) == sorted(whys)


# ---- tunnels ----

@pytest.mark.parametrize("way", ["upgraded", "tunnel"])
def test_a_websocket_ends_both_ways_when_its_token_is_revoked(site, mint, way, record_property):
    """By mod_proxy_http and by mod_proxy_wstunnel; the backend never says a word by itself. Another user's goes on."""
    token, gone = mint(), site.echo.gone
    with WebSocket(site, f"/p/{way}/chat", token) as ws, WebSocket(site, f"/p/{way}/chat", mint(sub="bob")) as other:
        assert ws.echoes(STUBBORN) and other.echoes(b"hello")
        with logged(site, "revoked by token"):
            began = site.revoke_now(token)
            data, ended, _ = read_until_cut(ws.sock)
        record_property("cut_ms", round(1000 * (ended - began)))
        assert data == b"" and ended - began < WITHIN
        site.echo.wait_gone(gone + 1)
        assert other.echoes(b"still here")


@pytest.mark.parametrize("way", ["upgraded", "tunnel"])
def test_a_websocket_ends_when_its_token_expires(site, mint, way, record_property):
    expires = int(time.time()) + 3
    with WebSocket(site, f"/p/{way}/chat", mint(iss=STRICT, exp=expires)) as ws:
        with logged(site, "expired"):
            while time.time() < expires - 0.7:
                assert ws.echoes(b"x" * 300)
                time.sleep(0.1)
            read_until_cut(ws.sock)
        late = time.time() - expires
    record_property("cut_ms", round(1000 * late))
    assert 0 <= late < WITHIN


def test_what_a_client_goes_on_sending_reaches_nobody(site, mint):
    """At once; three times: the next look of the watcher's might come in between."""
    for _ in range(3):
        token = mint()
        with WebSocket(site, "/p/tunnel/chat", token) as ws:
            assert ws.echoes(b"before")
            site.echo.heard.clear()
            with logged(site, "revoked by token"):
                site.revoke_now(token)
                with contextlib.suppress(OSError, EOFError):
                    for _ in range(20):
                        ws.echoes(b"after")
            assert b"after" not in site.echo.heard


def test_a_connection_that_was_not_upgraded_serves_further_requests(site, mint):
    """The filter of the connection goes with its request."""
    token = mint()
    with site.connect() as c:
        for _ in range(3):
            assert c.request("GET", "/p/cut/ok.txt", "Authorization: Bearer " + token, "Upgrade: websocket",
                             "Connection: Upgrade").status == 200
        site.revoke_now(token)
        assert c.request("GET", "/p/cut/ok.txt", "Authorization: Bearer " + mint(), "Upgrade: websocket").status == 200
        assert c.request("GET", "/p/cut/ok.txt", "Authorization: Bearer " + token).reason == "revoked"
        assert c.request("GET", "/index.html").status == 200


def test_a_request_behind_one_that_asked_to_upgrade_is_read_when_that_is_gone(site, mint):
    """Where httpd reads it before the answer before it has left, the filter of the connection stands in front of its body."""
    body = b"x" * 100
    with site.connect() as c:
        c.send_raw(b"GET /p/sent/big.bin HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\nConnection: Upgrade\r\nAuthorization: Bearer %s\r\n\r\n"
                   b"POST /p/proxied/echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nAuthorization: Bearer %s\r\n"
                   b"Content-Length: %d\r\n\r\n" % (mint().encode(), mint().encode(), len(body)))
        c.take_until(b"\r\n\r\n")
        left = BIG - len(c.buffer)
        while left > 0:
            left -= len(c.sock.recv(min(left, 1 << 20)))
        c.buffer = b""
        assert c.receive(interim=True).status == 100
        for byte in body:
            c.send_raw(bytes([byte]))
            time.sleep(0.002)
        r = c.receive()
        assert r.status == 200 and r.body == body


# ---- answers through a proxy ----

def is_truncated(data):
    """A chunked answer without its last chunk."""
    return b"Transfer-Encoding: chunked" in data and not data.endswith(b"0\r\n\r\n")


def test_an_event_stream_is_cut_at_its_next_event(site, mint, record_property):
    token = mint()
    with site.open("/p/proxied/events", token) as c, site.open("/p/proxied/events", mint(sub="bob")) as other:
        with logged(site, "revoked by token"):
            began = site.revoke_now(token)
            data, ended, _ = read_until_cut(c.sock)
        record_property("cut_ms", round(1000 * (ended - began)))
        assert is_truncated(c.buffer + data) and ended - began < WITHIN
        for _ in range(5):
            other.more()


def test_no_event_passes_once_its_token_is_revoked(site, mint):
    """Three times: the next look of the watcher's might come in between."""
    for _ in range(3):
        token = mint()
        site.go.clear()
        with site.open("/p/proxied/told", token) as c, logged(site, "revoked by token"):
            c.take_until(b"one\n\n")
            site.revoke_now(token)
            site.go.set()
            assert b"two" not in c.buffer + read_until_cut(c.sock)[0]


def test_an_event_stream_with_no_events_is_cut(site, mint, record_property):
    token = mint()
    with site.open("/p/proxied/idle", token) as c:
        began = site.revoke_now(token)
        data, ended, _ = read_until_cut(c.sock)
        record_property("cut_ms", round(1000 * (ended - began)))
        assert is_truncated(c.buffer + data) and ended - began < WITHIN


def test_all_streams_of_a_subject_in_every_child_are_cut(site, mint):
    """Two tokens of it; another subject's are left alone."""
    streams = [site.open("/p/proxied/events", mint(sub="carol")) for _ in range(8)]
    others = [site.open("/p/proxied/events", mint(sub="dave")) for _ in range(4)]
    with logged(site, *["revoked by subject"] * 8):
        site.revoke_kind("subject", "carol")
        began = time.monotonic()
        for c in streams:
            assert is_truncated(c.buffer + read_until_cut(c.sock)[0])
        assert time.monotonic() - began < WITHIN
    for c in others:
        c.more()
    for c in streams + others:
        c.close()


def test_a_stream_ends_when_its_token_expires(site, mint):
    expires = int(time.time()) + 3
    with site.open("/p/proxied/events", mint(iss=STRICT, exp=expires)) as c:
        with logged(site, "expired"):
            data, _, _ = read_until_cut(c.sock)
        assert is_truncated(c.buffer + data) and 0 <= time.time() - expires < WITHIN


def test_an_answer_that_has_not_begun_is_cut(site, mint):
    token = mint()
    with site.connect() as c:
        c.send("GET", "/p/proxied/slow", "Authorization: Bearer " + token)
        site.backend.wait(lambda b: any("slow" in k.target for k in b.kept))
        began = site.revoke_now(token)
        data, ended, _ = read_until_cut(c.sock)
        assert data == b"" and ended - began < WITHIN


def test_an_upload_is_cut(site, mint):
    token = mint()
    with site.connect() as c:
        c.send_raw(b"POST /p/proxied/up HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nAuthorization: Bearer %s\r\n\r\nbegin"
                   % token.encode())
        time.sleep(0.3)
        began = site.revoke_now(token)
        data, ended, _ = read_until_cut(c.sock)
        assert b" 200 " not in data and ended - began < WITHIN
        site.expect_log("AH01095")  # by mod_proxy, which read the body
        until(lambda: "AH01095" in site.error_log())


# ---- downloads, and this server's own answers ----

@pytest.mark.parametrize("path", ["/p/sent/big.bin", "/p/mapped/big.bin", "/p/read/big.bin", "/p/proxied/download"])
def test_a_download_is_cut_though_its_reader_is_slow(site, mint, path):
    """By sendfile, from memory, by reading and through a proxy; mpm_event waits without a thread for all but the last."""
    token = mint()
    with site.open(path, token) as c:
        time.sleep(0.5)  # everything on the way is full now
        with logged(site, "revoked by token"):
            site.revoke_now(token)
        time.sleep(0.3 * SLOW)
        data, _, _ = read_until_cut(c.sock)
        assert len(c.buffer) + len(data) < BIG


def test_a_script_is_cut(site, mint):
    token = mint()
    with site.open("/cgi/slow", token) as c:
        began = site.revoke_now(token)
        data, ended, _ = read_until_cut(c.sock)
        assert is_truncated(c.buffer + data) and ended - began < WITHIN


def test_a_protected_part_of_an_open_page_is_cut(site, mint):
    """The token belongs to the part that the page includes."""
    token = mint()
    with site.open("/page.shtml", token) as c:
        began = site.revoke_now(token)
        data, ended, _ = read_until_cut(c.sock)
        assert is_truncated(c.buffer + data) and ended - began < WITHIN


def test_a_page_whose_open_parts_alone_are_to_be_cut_is_whole(site, mint):
    """Each part is watched while it lasts; what it was watched by is gone when the next begins."""
    for _ in range(5):
        r = site.bearer("/p/uncut/parts.shtml", mint())
        assert r.status == 200 and r.text == "".join(f"part {i} " * 500 for i in range(40))
    site.bearer("/p/uncut/ok.txt", mint())


# ---- what is not cut ----

def test_without_the_directive_nothing_is_cut(site, mint):
    token = mint()
    with site.open("/p/uncut-proxied/events", token) as c:
        with logged(site):
            site.revoke_now(token)
            time.sleep(2)
        c.buffer = b""
        c.more()
        assert b"data: " in c.buffer


def test_a_connection_whose_answer_is_complete_is_left_alone(site, mint):
    token = mint()
    with site.connect() as c:
        assert c.request("GET", "/p/cut/ok.txt", "Authorization: Bearer " + token).status == 200
        with logged(site):
            site.revoke_now(token)
            time.sleep(2)
        assert c.request("GET", "/p/cut/ok.txt", "Authorization: Bearer " + token).reason == "revoked"
        assert c.request("GET", "/p/cut/ok.txt", "Authorization: Bearer " + mint()).status == 200


def test_logging_out_with_the_token_that_is_revoked_is_answered(site, mint):
    """By our endpoint, and by an application that revokes before it answers."""
    token = mint()
    r = site.bearer("/own/logout", token, "Accept: application/json", method="POST")
    assert r.status == 200 and r.json() == {"message": "Successfully logged out"}
    token = mint()

    def goodbye(_):
        site.revoke_now(token)
        return reply(b"x" * 20000, "200 OK", "X-Bye: yes")

    before, site.backend.answer = site.backend.answer, goodbye
    try:
        r = site.bearer("/p/proxied/logout", token)
    finally:
        site.backend.answer = before
    assert r["X-Bye"] == "yes" and r.body == b"x" * 20000


def test_other_peoples_revocations_cut_nothing(site, mint):
    with site.open("/p/proxied/events", mint()) as c, WebSocket(site, "/p/tunnel/chat", mint()) as ws:
        with logged(site):
            for _ in range(50):
                site.revoke_now(mint())
                c.more()
                assert ws.echoes(b"ping")


def test_the_access_log_tells_why(site, mint):
    token = mint()
    with site.open("/p/proxied/events", token, "X-Mark: cut-in-access-log") as c:
        site.revoke_now(token)
        read_until_cut(c.sock)
    assert " 200 revoked alice " in site.access_line("cut-in-access-log")


# ---- life ----

def descriptors(site):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in site.pids())


def quiet_descriptors(site):
    """How many there are, if that is the same for a moment."""
    seen = descriptors(site)
    time.sleep(0.3)
    return seen if descriptors(site) == seen else None


def test_no_descriptor_stays_open(site, mint):
    token = mint()
    with site.connect() as c:
        for _ in range(5):
            c.request("GET", "/p/cut/ok.txt", "Authorization: Bearer " + token)
        before = descriptors(site)
        for _ in range(200):
            assert c.request("GET", "/p/cut/ok.txt", "Authorization: Bearer " + token).status == 200
        assert descriptors(site) <= before + 4


def test_a_graceful_restart_leaves_streams_alone_and_they_are_still_cut(site, mint):
    token = mint()
    with site.open("/p/proxied/events", token) as c, WebSocket(site, "/p/tunnel/chat", token) as ws:
        site.graceful()
        time.sleep(1)
        c.more()
        assert ws.echoes(b"old child")
        began = site.revoke_now(token)
        data, ended, _ = read_until_cut(c.sock)
        assert is_truncated(c.buffer + data) and ended - began < WITHIN
        read_until_cut(ws.sock)
        assert time.monotonic() - began < WITHIN
    site.expect_log("AH03093")


# ---- when something is missing ----

@pytest.fixture
def own_site(new_server, keys):
    """One that may be hurt; of a single child."""
    made = []

    def build(*more, **how):
        made.append(Site(new_server(children=1), keys, *more, **how))
        return made[-1]

    yield build
    for one in made:
        one.close()


def expect_watcher_cuts(site, stream, ask):
    """Of a download nobody reads httpd hears nothing, so only the watcher can have ended it. ask: a connection to revoke by."""
    with stream, ask:
        assert ask.request("POST", "/revoke", FORM, body="token=" + stream.token).status == 200
        until(lambda: "revoked by token" in site.error_log())
        time.sleep(0.5)
        assert len(stream.buffer) + len(read_until_cut(stream.sock)[0]) < BIG


def test_a_stream_that_begins_after_a_long_silence_is_cut(own_site, mint):
    """Who watches has gone to sleep meanwhile, and is woken."""
    site = own_site()
    token = mint()
    assert site.bearer("/p/cut/ok.txt", token).status == 200
    time.sleep(12)
    expect_watcher_cuts(site, site.open("/p/sent/big.bin", token), site.connect())


def test_a_stream_is_cut_though_a_proxy_names_another_client(own_site, mint):
    """mod_remoteip changes the client's address in everything that httpd tells; the connection is the proxy's."""
    site = own_site("RemoteIPHeader X-Real-IP\nRemoteIPInternalProxy 127.0.0.1\n", modules=("proxy_wstunnel", "remoteip"))
    expect_watcher_cuts(site, site.open("/p/sent/big.bin", mint(), "X-Real-IP: 192.0.2.7"), site.connect())
    assert "client 192.0.2.7: revoked by token" in site.error_log()


def test_a_stream_is_cut_whose_client_is_named_by_the_proxy_protocol(own_site, mint):
    site = own_site("RemoteIPProxyProtocol On\n", modules=("proxy_wstunnel", "remoteip"))
    first, other = b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 80\r\n", site.connect()
    other.send_raw(first)
    expect_watcher_cuts(site, site.open("/p/sent/big.bin", mint(), first=first), other)
    assert "client 192.0.2.7: revoked by token" in site.error_log()


def test_a_client_that_is_too_slow_for_httpd_leaves_nothing_behind(own_site, mint):
    """mpm_event closes its socket before the request ends; what gets the same number then is left alone."""
    site = own_site("Timeout 1\n")
    token = mint()
    assert site.bearer("/p/cut/ok.txt", token).status == 200
    before, _ = until(lambda: quiet_descriptors(site))
    slow = [site.open("/p/sent/big.bin", token) for _ in range(5)]
    assert descriptors(site) >= before + 10  # its file and its socket
    after = before + (2 * len(slow) if MPM == "prefork" else 0)  # for each child that had nothing to watch before
    until(lambda: descriptors(site) <= after, 20, message=lambda: f"{before} became {descriptors(site)}")
    others = [site.open("/p/proxied/events", mint()) for _ in range(5)]  # they get the same numbers
    with logged(site):
        site.revoke_now(token)
        time.sleep(2)
    for c in others:
        c.buffer = b""
        c.more()
    for c in slow + others:
        c.close()


LIMIT = 40  # descriptors of a child; with more connections than threads mpm_event would close idle ones


@contextlib.contextmanager
def no_descriptor_left(site):
    """Its only child has all that it may have, most of them for connections that say nothing more."""
    (child,) = site.pids()
    held = []
    while len(os.listdir(f"/proc/{child}/fd")) < LIMIT:
        assert len(held) < LIMIT
        held.append(site.connect())
        held[-1].send_raw(b"GET ")  # until then it is not accepted
        time.sleep(0.1)
    yield
    for c in held:
        c.close()


@pytest.mark.skipif(MPM != "event", reason="counts the descriptors of a child of mpm_event")
def test_what_could_not_be_cut_is_not_begun(own_site, mint):
    """With no descriptor to spare when the first is to be watched: 503, and not an answer that nobody watches."""
    site = own_site(max_descriptors=LIMIT)
    with site.connect() as c:
        assert c.request("GET", "/p/uncut/ok.txt", "Authorization: Bearer " + mint()).status == 200
        with no_descriptor_left(site):
            r = c.request("GET", "/p/proxied/download", "Authorization: Bearer " + mint())  # a file would be opened before
        assert r.status == 503 and r["Retry-After"] and r["Cache-Control"] == "no-store", (r, site.error_log()[-800:])
        site.expect_log("TR060")
        assert "TR060" in site.error_log()
    until(lambda: site.bearer("/p/cut/ok.txt", mint()).status == 200)


@pytest.mark.skipif(MPM != "event", reason="counts the descriptors of a child of mpm_event")
def test_a_stream_is_cut_when_no_descriptor_is_left(own_site, mint):
    """What the watcher needs it has since it began."""
    site = own_site(max_descriptors=LIMIT)
    expires = int(time.time()) + 6
    with site.open("/p/sent/big.bin", mint(iss=STRICT, exp=expires)) as c, no_descriptor_left(site):
        assert time.time() < expires
        until(lambda: "expired" in [row[3] for row in site.said()])
        assert time.time() - expires < WITHIN
        time.sleep(0.5)
        assert len(c.buffer) + len(read_until_cut(c.sock)[0]) < BIG


def test_that_the_database_cannot_be_read_cuts_nothing(own_site, mint):
    site = own_site("TokRevokeMaxStaleness 2\n")
    site.expect_log("TR0(23|25|27)", always=True)
    token = mint()
    with site.open("/p/proxied/events", token) as c:
        os.rename(site.root / "state", site.root / "away")
        until(lambda: site.bearer("/p/cut/ok.txt", token).status == 503)
        time.sleep(1)
        c.buffer = b""
        c.more()
        assert site.said() == []
        os.rename(site.root / "away", site.root / "state")
        until(lambda: site.bearer("/p/cut/ok.txt", token).status == 200)
        with logged(site, "revoked by token"):
            site.revoke_now(token)
            read_until_cut(c.sock)


def test_what_a_child_watches_that_can_never_hear_of_revocations_again_is_cut(own_site, mint):
    """It is two tables behind: nobody writes to its own any more, and its requests are answered 503."""
    site = own_site()
    site.expect_log("AH03093|AH00(046|045)", always=True)
    token, conf = mint(), (site.root / "conf/httpd.conf").read_text(encoding="utf-8")
    with site.open("/p/proxied/events", token) as c, WebSocket(site, "/p/tunnel/chat", token) as ws:
        for capacity in (5000, 6000):
            site.write("conf/httpd.conf", f"{conf}TokRevokeCapacity {capacity}\n")
            site.graceful()
        time.sleep(1.5)
        c.more()
        assert ws.echoes(b"still there") and site.said() == []
        with logged(site, "unavailable", "unavailable"):
            site.write("conf/httpd.conf", f"{conf}TokRevokeCapacity 7000\n")
            site.graceful()
            began = time.monotonic()
            data, ended, _ = read_until_cut(c.sock)
            assert is_truncated(c.buffer + data) and ended - began < WITHIN
            read_until_cut(ws.sock)
    assert site.bearer("/p/cut/ok.txt", token).status == 200
