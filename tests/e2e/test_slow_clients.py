"""Clients who send their requests' bodies drop by drop, more than there are threads: whoever sends his at once is served."""

import contextlib
import select
import threading
import time

import pytest

import clients
from httpd import ALIAS, H2, MPM, endpoint, protected
from issuers import issuer, jwks, write_keys
from test_revoke import FORM

THREADS = 16
FEW = 76 if MPM == "prefork" else THREADS  # who could be kept waiting
SHARE = FEW // 4
CROWD = FEW + FEW // 2
FULL = r"TR066: too many clients let us wait|AH00(484|161|286): server reached MaxRequestWorkers"
SLOWLY = FORM + "\r\nContent-Length: 60000"

# Where a body may come, how it begins, how it goes on; what is answered when too many do so, and when one never ends.
DOORS = {
    "revoke": ("POST /revoke", SLOWLY, "token=", "a", 503, 408),
    "guard": ("POST /token", SLOWLY, "grant_type=", "a", 503, 408),
    "no token": ("POST /p/app/ok.txt", SLOWLY, "a=", "a", 401, 401),
    "length of a chunk": ("POST /revoke", FORM + "\r\nTransfer-Encoding: chunked", "6\r\ntoken=\r\n4;", "x", 503, 408),
    "introspect": ("POST /introspect", SLOWLY, "token=", "a", 503, 408),
    "logout": ("POST /logout", SLOWLY, "token=", "a", 503, 408),
    "backchannel": ("POST /backchannel", SLOWLY, "logout_token=", "a", 503, 408),
    "admin": ("POST /admin/revocations", "Content-Type: application/json\r\nContent-Length: 60000", "[", " ", 503, 408),
    "wrong method": ("PUT /revoke", SLOWLY, "token=", "a", 405, 405),
    "another site": ("POST /logout", SLOWLY + "\r\nSec-Fetch-Site: cross-site", "token=", "a", 403, 403),
    "browser": ("POST /p/app/ok.txt", SLOWLY + "\r\nAccept: text/html", "a=", "a", 401, 401),
}
UNSAID = ("length of a chunk",) if H2 else ()  # HTTP/2 has no word for it
CROWDED = [door for door in DOORS if door not in UNSAID][:None if MPM == "event" and not H2 else 3]


class Slow:
    """One who has sent the beginning of a body."""

    def __init__(self, server, door, token, more=b""):
        self.request, fields, begin, self.drop, *_ = DOORS[door]
        self.since = time.monotonic()
        self.answer = None
        self.c = server.connect()
        bearer = f"Authorization: Bearer {token}\r\n" if door == "admin" else ""
        self.c.send_raw(f"{self.request} HTTP/1.1\r\nHost: 127.0.0.1\r\n{bearer}{fields}\r\n\r\n{begin}".encode() + more)

    def drip(self):
        with contextlib.suppress(OSError):
            self.c.send_raw(self.drop.encode())

    def look(self):
        """Has he been answered? Over HTTP/2 other frames come before."""
        if self.answer is None and select.select([self.c.sock], [], [], 0)[0]:
            if H2:
                self.c.more()
            if not H2 or self.c.queue[0].is_whole:
                self.answer = self.c.receive("POST")
                self.took = time.monotonic() - self.since
        return self.answer is not None


class Crowd:
    """All of them, each with one byte more every half second, until the block ends."""

    def __init__(self, slow):
        self.slow = slow
        self.over = threading.Event()
        self.lock = threading.Lock()  # a connection of HTTP/2 is nothing for two threads
        self.thread = threading.Thread(target=self.go_on, daemon=True)

    def go_on(self):
        while not self.over.wait(0.5):
            with self.lock:
                for one in self.slow:
                    one.drip()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.thread.join(20)
        for one in self.slow:
            one.c.close()

    def wait_for(self, count, timeout=40):
        """Until so many have been answered; they."""
        end = time.monotonic() + timeout
        while True:
            with self.lock:
                found = [one for one in self.slow if one.look()]
            if len(found) >= count:
                return found
            assert time.monotonic() < end, f"{len(found)} of {count} were answered"
            time.sleep(0.02)


def set_up(server, keys, threads):
    server.threads = threads
    write_keys(server, keys)
    server.write("conf/clients", f"app:{clients.BCRYPT}\n")
    return server.start(
        issuer("https://idp.test/", jwks("all")) + ALIAS + protected("app") + endpoint("/revoke")
        + endpoint("/introspect", clients.file_line("clients"), handler="tokrevoke-introspect")
        + endpoint("/logout", handler="tokrevoke-logout")
        + endpoint("/backchannel", handler="tokrevoke-backchannel-logout")
        + endpoint("/admin", "AuthType Bearer", "AuthName admin", "Require valid-user", handler="tokrevoke-admin")
        + '<Location "/token">\n    TokRevokeGuardTokenEndpoint On\n</Location>\n')


@pytest.fixture(scope="module")
def small(new_server, keys):
    return set_up(new_server(children=1), keys, THREADS)


def in_two_parts(server, token, pause):
    with server.connect() as c:
        body = f"token={token}".encode()
        c.send_raw(f"POST /revoke HTTP/1.1\r\nHost: x\r\n{FORM}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:9])
        time.sleep(pause)
        with contextlib.suppress(OSError):
            c.send_raw(body[9:])
        return c.receive("POST").status


def comes_to_be(status, ask, timeout=40):
    end = time.monotonic() + timeout
    while ask() != status:
        assert time.monotonic() < end


@pytest.mark.h1("with mpm_worker each connection of HTTP/2 keeps a thread of its own from its beginning to its end")
@pytest.mark.parametrize("door", CROWDED)
def test_more_of_them_than_threads_stop_nobody_else(small, mint, door):
    small.expect_log(FULL)
    full, late = DOORS[door][-2:]
    good = mint()
    with Crowd([Slow(small, door, good) for _ in range(CROWD)]) as crowd:
        answered = crowd.wait_for(CROWD - SHARE)
        assert {one.answer.status for one in answered} <= {full, late}
        quick = [one for one in answered if one.answer.status == full]
        assert len(quick) > CROWD // 2 and not (full == 503 and any(int(one.answer["Retry-After"]) < 1 for one in quick)), quick
        assert small.bearer("/p/app/ok.txt", good).status == 200
        if not H2:  # there a body never comes together with its head
            assert small.revoke(good).status == 200 and small.bearer("/p/app/ok.txt", good).status == 401
        comes_to_be(200, lambda: in_two_parts(small, mint(), 0.001))  # a moment later is early enough
    comes_to_be(200, lambda: in_two_parts(small, mint(), 0.3))  # when they have gone, there is room to wait again


def test_a_body_that_drips_has_its_time(new_server, keys, mint):
    server = set_up(new_server(children=1), keys, 64)  # room for all of these to wait
    token = mint()
    doors = [door for door in DOORS if door not in UNSAID]
    with Crowd([Slow(server, door, token) for door in doors]) as crowd:
        with server.connect() as c:
            head = f"POST /admin/revocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            c.send_raw((head + f"Content-Length: {1 << 20}\r\n\r\n[").encode() + b" " * ((1 << 20) - 2))
            crowd.wait_for(len(doors))
            c.send_raw(b"]")  # much had come: that is worth more time
            assert "array" in c.receive("POST").json()["detail"]
    for one, door in zip(crowd.slow, doors):
        status = DOORS[door][-1]
        assert one.answer.status == status, (door, one.answer)
        if not H2 or status == 408:  # there nobody reads the rest of a stream to keep its connection
            assert one.took > 9.9, (door, one.took)


@pytest.mark.h1("HTTP/2 cannot close one direction only")
def test_half_closed_connections_hold_nobody(small, mint):
    crowd = [Slow(small, "revoke", None) for _ in range(CROWD)]
    for one in crowd:
        one.c.break_off()
    for one in crowd:
        assert one.c.receive("POST").status in (400, 503)
    token = mint()
    with small.connect() as c:
        c.send("POST", "/revoke", FORM, body="token=" + token)
        c.break_off()
        assert c.receive("POST").status == 200
    assert small.bearer("/p/app/ok.txt", token).status == 401
    small.expect_log(FULL)
