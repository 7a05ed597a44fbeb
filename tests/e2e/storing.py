"""What the tests of the durable store share: a configuration, connections to every child, and waiting for what must come."""

import base64
import contextlib
import errno
import hashlib
import itertools
import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import httpd as servers
from httpd import ALIAS, endpoint, files_of, protected
from issuers import issuer, jwks
from tokens import unb64

PAGE = "/p/app/ok.txt"
FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
SLOW = 5 if servers.SAN else 1  # a sanitizer stretches every deadline
ROOT = os.geteuid() == 0
serial = itertools.count()
BASIC = ("AuthType Basic", "AuthName admin", "AuthBasicProvider file", "AuthUserFile {root}/conf/users", "Require valid-user")


def text(*more, capacity=20000, rules=("TokRevokeClockSkew 60",)):
    """One issuer, a page, an endpoint for everybody, one for administrators and one for users with a token."""
    return (f"TokRevokeCapacity {capacity}\n" + issuer("https://idp.test/", jwks("all"), *rules) + ALIAS + protected("app")
            + endpoint("/revoke") + endpoint("/strict", "TokRevokeAnswers strict") + endpoint("/admin/revoke", *BASIC)
            + endpoint("/own/revoke", "AuthType Bearer", "AuthName own", "Require valid-user") + "".join(more))


def write_users(server, *names):
    """A file of users whose password is pw."""
    lines = [name + b":{SHA}" + base64.b64encode(hashlib.sha1(b"pw").digest()) for name in names]
    server.write("conf/users", b"\n".join(lines) + b"\n")


def basic(name):
    return "Authorization: Basic " + base64.b64encode(name + b":pw").decode()


def claims_of(token):
    return json.loads(unb64(token.split(".")[1]))


def without_jti(mint, alg="ES256", **more):
    """Two tokens without jti may be the same token; these are not."""
    return mint(alg, drop="jti", nonce=next(serial), **more)


class Clock(threading.Thread):
    """
    Seconds in which this machine let processes run. A thread wants to wake a hundred times a second: where it comes late, the time
    that it lost does not count.
    """

    TICK, LATE = 0.01, 0.03

    def __init__(self):
        super().__init__(daemon=True)
        self.last = (time.monotonic(), 0.0)
        self.start()

    def run(self):
        while True:
            time.sleep(self.TICK)
            self.last = time.monotonic(), self.read()

    def read(self):
        at, seconds = self.last
        return seconds + min(time.monotonic() - at, self.LATE)


clock = Clock().read


def until(what, seconds=20, message="it did not happen in time", every=0.005):
    """Poll. Returns the first true value and how many seconds it took, by clock()."""
    began = clock()
    while not (value := what()):
        assert clock() - began < seconds * SLOW, message if isinstance(message, str) else message()
        time.sleep(every)
    return value, clock() - began


class Halt:
    """Where httpd waits while it evaluates expressions: it comes to the one pipe, and then reads from the other."""

    def __init__(self, server):
        self.came, self.go = server.root / "htdocs/came", server.root / "htdocs/go"
        for pipe in (self.came, self.go):
            os.mkfifo(pipe)
            pipe.chmod(0o666)

    @staticmethod
    def lines(directive, condition=""):
        """Of the configuration: directive is Header or RequestHeader."""
        return "\n".join(f'{directive} set X-Halt "expr=%{{file:{{root}}/htdocs/{pipe}}}" {condition}' for pipe in ("came", "go"))

    @staticmethod
    def meet(pipe):
        """Waits until somebody reads there; that one goes on."""
        def is_met():
            try:
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            except OSError as e:
                assert e.errno == errno.ENXIO
                return False
            return True

        until(is_met)

    @contextlib.contextmanager
    def held(self):
        """Somebody stands there, until the end."""
        self.meet(self.came)
        try:
            yield
        finally:
            self.meet(self.go)


@contextlib.contextmanager
def stopped(pids):
    """None of these processes does anything, until the end."""
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        until(lambda: all(map(is_stopped, pids)))
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def is_stopped(pid):
    """Every thread of it; a process that is gone is, too."""
    try:
        return all(re.search(r"\nState:\t[TZ]", task.read_text()) for task in Path(f"/proc/{pid}/task").glob("*/status"))
    except (FileNotFoundError, ProcessLookupError):
        return True


def two_rounds(db):
    """The background work, which comes once a second, has looked twice: expired rows of our own are gone."""
    for _ in range(2):
        db.insert(("token", "https://dead.test/", f"dead-{next(serial)}", 1000))
        until(lambda: not db.rows("issuer = 'https://dead.test/'"))


def revoke_all(server, tokens, path="/revoke"):
    with server.connect() as c:
        for token in tokens:
            r = c.request("POST", path, FORM, body="token=" + token)
            assert r.status == 200, (r, server.error_log())


def ask(c, token):
    """The verdict of the child at the other end."""
    r = c.request("GET", PAGE, "Authorization: Bearer " + token)
    return "accepted" if r.status == 200 else r.reason


def verdicts(server, tokens):
    """By whichever child; on a new connection where one that leaves has closed the last between two requests."""
    found = []
    c = server.connect()
    while len(found) < len(tokens):
        try:
            found.append(ask(c, tokens[len(found)]))
        except (EOFError, ConnectionError):
            assert c.buffer == b""
            c.close()
            c = server.connect()
    c.close()
    return found


def are_revoked(server, tokens):
    found = verdicts(server, tokens)
    assert set(found) == {"revoked"}, found


def are_accepted(server, tokens):
    found = verdicts(server, tokens)
    assert set(found) == {"accepted"}, found


def home(server, c):
    """The child that holds this connection, and has answered on it."""
    assert c.request("GET", "/index.html").status == 200
    return server.holders([c])[0]


class EveryChild:
    """
    A connection to each child of now, but not to those that are leaving, and questions to all of them at once. Children that come
    later are left alone: mpm_prefork makes one for each connection that is held.
    """

    def __init__(self, server, leaving=()):
        self.server = server
        self.at = {}
        found = None
        while found is None or found != self.children:  # else some were of a generation that another restart has ended meanwhile
            found, _ = until(lambda: set(server.pids()) - set(leaving))
            self.children = set(found)
            self.reach_all()
            for pid in set(self.at) - self.children:
                self.at.pop(pid).close()

    def connect(self):
        """Where there is no connection: httpd closes one after each 503."""
        self.reach_all()
        assert self.children, "no child is left"

    def reach_all(self):
        while missing := (self.children & set(self.server.pids())) - set(self.at):
            self.reach(min(missing))
        self.children &= set(self.server.pids())

    def reach(self, pid):
        """
        For a moment this child is the only one that runs: who takes a connection is a matter of luck otherwise. A child that is born
        meanwhile may take one after the other, and this one may be on its way out, so both are asked each time.
        """
        end = time.monotonic() + 20 * SLOW
        while pid in (pids := self.server.pids()):
            assert time.monotonic() < end, f"no connection reaches {pid} of {pids}"
            with stopped([other for other in pids if other != pid]), contextlib.suppress(EOFError, OSError):
                c = self.server.connect()
                c.sock.settimeout(2 * SLOW)
                if home(self.server, c) == pid:
                    c.sock.settimeout(20)
                    self.at[pid] = c
                    return
                c.close()

    def verdicts(self, token):
        self.connect()
        for c in self.at.values():
            c.send("GET", PAGE, "Authorization: Bearer " + token)
        found = {pid: c.receive() for pid, c in self.at.items()}
        for pid, r in found.items():
            if r["Connection"] == "close":
                self.at.pop(pid).close()
        return {"accepted" if r.status == 200 else r.reason for r in found.values()}

    def until(self, token, verdict="revoked", seconds=5):
        """Returns how long it took until all said so."""
        return until(lambda: self.verdicts(token) == {verdict}, seconds, lambda: f"{self.verdicts(token)}")[1]

    def close(self):
        for c in self.at.values():
            c.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def followers(server, database):
    """The children that have the database open; before anything was revoked, that is the one that follows."""
    return [pid for pid in server.pids() if str(database.path) in files_of(pid)]
