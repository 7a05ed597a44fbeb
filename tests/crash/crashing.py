"""
What the crash tests share: a server that is killed and started again in one folder, tokens that cost microseconds, callers that
remember what they were promised, and the question that follows: is it still so?
"""

import base64
import collections
import ctypes
import hashlib
import hmac
import json
import os
import random
import re
import shutil
import signal
import threading
import time
from pathlib import Path

import httpd as servers
from client import Response
from httpd import ALARM, ALIAS, LEVEL, MPM, Httpd, endpoint, free_port, protected
from storing import clock

LONG = bool(os.environ.get("TR_CRASH_LONG"))
ROOT = os.geteuid() == 0
PAGE = "/p/app/ok.txt"
FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
BOSS = "Authorization: Basic " + base64.b64encode(b"boss:pw").decode()
ISSUER = "https://idp.test/"
SECOND = "https://" + "second" * 100 + ".test/"  # rows of other lengths
WEEK = 7 * 86400
SLOW = 5 if servers.SAN else 1  # a sanitizer stretches every deadline

FAILED = re.compile(r"\[tokrevoke:(?:error|crit|alert|emerg)\].* TR\d+: .*")
KILLED = r"child pid \d+ exit signal Killed \(9\)|children are killed successively"

sites = []  # all that exist, for the checks after each test


def adopt_orphans():
    """Children of a killed parent become ours, so that they can be reaped (Linux: PR_SET_CHILD_SUBREAPER)."""
    ctypes.CDLL(None).prctl(36, 1)


# ---- tokens ----

# kind: how it will be revoked. value: what stands in the row then; None for a digest.
Token = collections.namedtuple("Token", "text value issuer expires kind")
CLAIM = {"session": "sid", "subject": "sub", "client": "client_id"}


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=")


class Mint:
    """HS256, by the standard library alone: the load must not wait for its tokens."""

    HEAD = part({"alg": "HS256", "typ": "JWT"})

    def __init__(self):
        self.secret = os.urandom(64)
        self.name = os.urandom(6).hex()
        self.serial = 0
        self.lock = threading.Lock()

    def __call__(self, life=WEEK, issuer=ISSUER, kind="token"):
        with self.lock:
            self.serial += 1
            serial = self.serial
        now = int(time.time())
        name = f"{self.name}-{serial:07}"  # of one length, so that none is the beginning of another
        claims = {"iss": issuer, "sub": f"user-{serial % 50}", "iat": now - 5, "exp": now + life,
                  "nonce" if kind == "digest" else "jti": name}
        if kind in CLAIM:
            claims |= {CLAIM[kind]: name, "jti": "jti-" + name}
        text = self.HEAD + b"." + part(claims)
        mac = base64.urlsafe_b64encode(hmac.digest(self.secret, text, hashlib.sha256)).rstrip(b"=")
        return Token((text + b"." + mac).decode(), None if kind == "digest" else name, issuer, now + life, kind)

    def any(self, rng):
        """Every kind of row that ends a token, of both issuers."""
        kind = rng.choice(("token", "token", "token", "digest", "named", "session", "subject", "client"))
        return self(issuer=SECOND if rng.random() < 0.2 else ISSUER, kind=kind)


# ---- the server ----

def stat_of(pid):
    """(state, parent, process group) of a process."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    state, parent, group = text.rpartition(")")[2].split()[:3]
    return state, int(parent), int(group)


def every_process():
    """(pid, state, parent, group) of all there are."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                yield int(entry), *stat_of(entry)
            except (FileNotFoundError, ProcessLookupError):
                continue


def is_stopped(pid):
    """Every thread of it; a process that is gone is, too."""
    try:
        return all("\nState:\tT" in (task / "status").read_text(encoding="ascii") for task in Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return True


ADMIN = """
<Location "/boss">
    SetHandler tokrevoke-admin
    AuthType Basic
    AuthName boss
    AuthUserFile "{root}/conf/users"
    Require valid-user
</Location>
"""


class Site(Httpd):
    """
    One folder and one port, and any number of servers one after another. up() starts one; kill_all() leaves no process of it. The
    database's files are in state/, which httpd makes itself.
    """

    def __init__(self, mint, children=3, threads=32):
        super().__init__(children)
        self.mint = mint
        self.threads = threads
        self.port = free_port()
        self.capacity = 20000
        self.per_child = 0
        self.database = "sqlite3:state/tokrevoke.db"
        self.more = ""
        self.wrapper = ()  # a program that runs httpd, such as strace
        self.offsets = collections.Counter()
        self.expect_log("AH00098: pid file .* overwritten", always=True)  # what httpd says at a start after a kill
        self.write("conf/secret.bin", mint.secret, 0o600)
        self.write("conf/users", b"boss:{SHA}" + base64.b64encode(hashlib.sha1(b"pw").digest()))
        sites.append(self)

    @property
    def state(self):
        return self.root / "state"

    def files(self):
        return [self.state / ("tokrevoke.db" + end) for end in ("", "-wal", "-shm", "-mark")]

    # ---- configuration ----

    def mpm(self):
        n, t = self.children, self.threads
        if MPM == "prefork":
            n = max(6, n)
            text = (f"StartServers {n}\nMinSpareServers {n}\nMaxSpareServers {n + 32}\nServerLimit {n + 32}\n"
                    f"MaxRequestWorkers {n + 32}\n")
        else:
            text = (f"StartServers {n}\nServerLimit 16\nThreadsPerChild {t}\nThreadLimit {t}\nMaxRequestWorkers {t * (n + 4)}\n"
                    f"MinSpareThreads {t * (n - 1) + 1}\nMaxSpareThreads {t * (n + 2)}\n")
        return text + f"MaxConnectionsPerChild {self.per_child}\n"

    def text(self):
        rules = "TokRevokeSharedSecret {root}/conf/secret.bin\nTokRevokeMaxLifetime unlimited\nTokRevokeClockSkew 0\n"
        return (f'TokRevokeDatabase "{self.database}"\nTokRevokeCapacity {self.capacity}\n'
                + "".join(f'<TokRevokeIssuer "{i}">\n{rules}</TokRevokeIssuer>\n' for i in (ISSUER, SECOND))
                + ALIAS + protected("app") + endpoint("/revoke") + ADMIN + self.more)

    def command(self, *args, name="httpd.conf"):
        return [*self.wrapper, *super().command(*args, name=name)]

    # ---- life ----

    def begin(self):
        """Start and do not wait."""
        self.rotate()
        self.write("conf/httpd.conf", self.compose(self.text()))
        self.launch()

    def up(self):
        self.begin()
        assert self.wait_until_up(), "httpd did not start:\n" + self.tail()
        return self

    def fails_to_start(self, timeout=20 * SLOW):
        """Start expecting a refusal. Returns what it said, or None if it came up after all."""
        self.begin()
        if self.wait_until_up(timeout):
            return None
        assert self.process.poll(), "httpd neither starts nor ends, or ended with status 0:\n" + self.tail()
        for line in ("AH00020: Configuration Failed", FAILED.pattern, r"\[tokrevoke:warn\].* TR\d+: "):
            self.expect_log(line, always=True)
        return self.error_log()

    def wait_until_up(self, timeout=30 * SLOW):
        """Up is who answers. The port is open earlier, while revocations are still being read."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return False
            try:
                if self.get("/index.html").status == 200:
                    return True
            except (OSError, EOFError):
                time.sleep(0.005)
        return False

    def members(self):
        """Every living process of this server: its folder is in their command lines, whoever their parent is."""
        return [pid for pid, _ in self.family()]

    def family(self):
        """[(pid, parent)] of them."""
        mark = os.fsencode(str(self.root)) + b"\0"
        found = []
        for pid, state, parent, _ in every_process():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if state not in "ZX" and mark in f.read():
                        found.append((pid, parent))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def pids(self):
        """The children; without an exec of ps, for there are thousands of rounds."""
        return sorted(pid for pid, parent in self.family() if parent == self.process.pid)

    def kill_one(self, pid):
        """Kill a process of this server."""
        if pid in self.members():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def kill_parent(self):
        """httpd's parent only: its children live on without it. Unreaped, so that its number stays taken."""
        os.kill(self.process.pid, signal.SIGKILL)

    def kill_all(self):
        """The whole process group with one call, like a power cut; returns when nobody of it is left."""
        if self.process is None:
            return
        if self.process.returncode is None:  # unreaped: the number is still this group's
            os.killpg(self.process.pid, signal.SIGKILL)
        end = time.monotonic() + 20 * SLOW
        while left := self.members():
            assert time.monotonic() < end, f"these do not die: {left}"
            for pid in left:
                self.kill_one(pid)
            time.sleep(0.002)
        self.process.wait(20)
        for pid, state, parent, group in every_process():
            if state == "Z" and parent == os.getpid() and group == self.process.pid:
                os.waitpid(pid, 0)

    def again(self):
        """Killed, and started anew from what is on the disk."""
        self.kill_all()
        return self.up()

    def remove(self):
        self.kill_all()
        shutil.rmtree(self.root, ignore_errors=True)
        if self in sites:
            sites.remove(self)

    # ---- logs ----

    def rotate(self):
        """Each server of a folder begins with empty logs; what the last one left must have been announced."""
        left = self.unexpected()
        assert not left, "unannounced in the error log:\n" + "\n".join(left)
        for name in ("console", "error", "access"):
            path = self.root / "logs" / name
            if path.exists():
                path.rename(path.with_name(name + ".before"))
        self.offsets.clear()

    def unexpected(self):
        """As in Httpd, by the files' own offsets."""
        bad = []
        for name in ("console", "error"):
            path = self.root / "logs" / name
            if not path.exists():
                continue
            with open(path, errors="replace") as f:
                f.seek(self.offsets[name])
                fresh = f.read()
                self.offsets[name] = f.tell()
            bad += [line for line in fresh.splitlines() if (LEVEL.search(line) or ALARM.search(line))
                    and not any(p.search(line) for p in self.expected + self.always)]
        return bad + [report.read_text(errors="replace")[:4000] for report in (self.root / "san").iterdir()]

    def said(self, start=0):
        """What the error log says from there on."""
        path = self.root / "logs" / "error"
        if not path.exists():
            return ""
        with open(path, errors="replace") as f:
            f.seek(start)
            return f.read()

    def tail(self):
        """The end of the error log without what is only information."""
        return "\n".join([line for line in self.error_log().splitlines() if ":info]" not in line][-12:])

    # ---- connections ----

    def connect_to(self, pid):
        """A connection that this child holds: for a moment it is the only one that runs."""
        others = [other for other in self.pids() if other != pid]
        try:
            for other in others:
                os.kill(other, signal.SIGSTOP)
            until(lambda: all(is_stopped(other) for other in others), 5, "a stopped child goes on")
            for _ in range(20):
                c = self.connect()
                if self.home(c) == pid:  # not one that was accepted just before
                    return c
                c.close()
            raise AssertionError(f"no connection to child {pid}:\n" + self.tail())
        finally:
            for other in others:
                os.kill(other, signal.SIGCONT)

    def home(self, connection, mark=[0]):  # noqa: B006
        """The child that holds a connection, by the access log."""
        mark[0] += 1
        name = f"home{mark[0]}"
        assert connection.request("GET", "/index.html", f"X-Mark: {name}").status == 200
        return int(self.access_line(name).split()[0])

    def one_to_each(self, want=2, patience=0.1):
        """Connections to that many children, or to as many as answer in that time: {pid: connection}."""
        found = {}
        end = time.monotonic() + patience * SLOW
        while len(found) < want and (time.monotonic() < end or not found):
            assert time.monotonic() < end + 20 * SLOW, "nobody answers:\n" + self.tail()
            try:
                c = self.connect()
                pid = self.home(c)
            except (OSError, EOFError):
                time.sleep(0.01)
                continue
            if pid in found:
                c.close()
            else:
                found[pid] = c
        return found


# ---- asking ----

ACCEPTED, REVOKED = "accepted", "revoked"


def verdict(r):
    if r.status == 200:
        return ACCEPTED
    if r.status == 401 and r.reason == "revoked":
        return REVOKED
    return f"{r.status} {r.reason}"


def page(token):
    return f"GET {PAGE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token.text}\r\n\r\n".encode()


def ask(site, tokens, connection=None, batch=40):
    """
    The verdict on each token, on one connection; on further ones where a child ends between two requests, as it may after a
    graceful restart.
    """
    verdicts = []
    c = connection
    end = time.monotonic() + 30 * SLOW
    while len(verdicts) < len(tokens):
        some = tokens[len(verdicts):len(verdicts) + batch]
        try:
            c = c or site.connect()
            c.send_raw(b"".join(map(page, some)))
            for _ in some:
                verdicts.append(verdict(c.receive()))
        except TimeoutError as e:
            raise AssertionError("a page request hangs") from e
        except (OSError, EOFError):
            assert time.monotonic() < end, "nobody answers:\n" + site.tail()
            c = None
            time.sleep(0.005)
    if c is not None and c is not connection:
        c.close()
    return verdicts


def wrong(site, tokens, expected, connection=None):
    """The tokens whose verdict is another one: [(jti, verdict)]."""
    tokens = list(tokens)
    return [(t.value or t.text[-12:], v) for t, v in zip(tokens, ask(site, tokens, connection)) if v != expected]


def check(site, kept, good, connection=None):
    """Every promise is kept, and nothing else is refused."""
    bad = wrong(site, kept, REVOKED, connection)
    assert not bad, f"{len(bad)} of {len(kept)} acknowledged revocations lost: {bad[:5]}"
    bad = wrong(site, good, ACCEPTED, connection)
    assert not bad, f"never revoked: {bad[:5]}"


def item(token):
    """How an administrator revokes it."""
    own = {"expires": token.expires} if token.kind == "named" else {}
    return {"kind": "token" if token.kind == "named" else token.kind, "iss": token.issuer, "value": token.value, **own}


def revoke(connection, token):
    """One token, or a list of such as only an administrator revokes."""
    if isinstance(token, list) or token.kind not in ("token", "digest"):
        body = json.dumps([item(t) for t in token] if isinstance(token, list) else item(token))
        return connection.request("POST", "/boss/revocations", JSON, BOSS, body=body)
    return connection.request("POST", "/revoke", FORM, body="token=" + token.text)


def is_done(r):
    return r is not None and r.status in (200, 201)


class Caller:
    """A client of one child, or of any. httpd closes a connection after each 503, so it comes with new ones."""

    def __init__(self, site, pid=None):
        self.site, self.pid = site, pid
        self.c = None

    def connection(self):
        if self.c is None:
            self.c = self.site.connect() if self.pid is None else self.site.connect_to(self.pid)
        return self.c

    def revoke(self, token):
        """The answer; None when the connection ended without one."""
        c = self.connection()
        try:
            r = revoke(c, token)
        except TimeoutError as e:
            raise AssertionError("a revocation hangs:\n" + self.site.tail()) from e
        except (OSError, EOFError):
            self.close()
            return None
        if r["Connection"] == "close":
            self.close()
        return r

    def check(self, kept, good=()):
        check(self.site, kept, good, self.connection())

    def close(self):
        if self.c is not None:
            self.c.close()
            self.c = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def callers(site, want=2):
    """Of different children."""
    made = []
    for pid, c in site.one_to_each(want, patience=10).items():
        made.append(Caller(site, pid))
        made[-1].c = c
    assert len(made) == want, f"only {len(made)} of {want} children answer"
    return made


def revoke_all(site, tokens):
    with Caller(site) as caller:
        for token in tokens:
            r = caller.revoke(token)
            assert is_done(r), (r, site.tail())
    return tokens


def is_503(r):
    """RFC 7009 2.2.1: the client may try again, and is told when."""
    told = r.status == 503 and r.json()
    return told and int(r["Retry-After"]) > 0 and (told.get("error") == "temporarily_unavailable" or told.get("status") == 503)


def no_503(load):
    """What went wrong under load besides honest refusals to promise anything."""
    return [f for f in load.failures if not (isinstance(f, Response) and is_503(f))]


def until(what, seconds, message="it did not happen in time", every=0.01):
    """Poll; returns the first true value, and how long it took, by clock()."""
    began = clock()
    while not (value := what()):
        assert clock() - began < seconds * SLOW, message if isinstance(message, str) else message()
        time.sleep(every)
    return value, clock() - began


# ---- load ----

class Load:
    """Callers that revoke as fast as they can while a reader asks for pages. What they were answered is kept."""

    def __init__(self, site, rng, threads=4, limit=60, restless=False):
        self.site = site
        self.limit = limit  # of one thread, so that rounds stay short
        self.restless = restless  # a connection for each request
        self.kept, self.open, self.failures = [], [], []
        self.lists = []  # without an answer
        self.good = [site.mint.any(rng) for _ in range(4)]
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(self.revoking, rng.getrandbits(32))) for _ in range(threads)]
        self.threads.append(threading.Thread(target=self.work, args=(self.reading, rng.getrandbits(32))))

    def revoking(self, c, rng):
        """One revocation. An answer that never came is no promise."""
        draw = rng.random()
        if draw < 0.1:
            kinds = ("named", "session", "subject", "client")
            tokens = [self.site.mint(kind=rng.choice(kinds)) for _ in range(rng.choice((2, 5, 40)))]
        elif draw < 0.3:  # rows that are cleaned away meanwhile
            tokens = [self.site.mint(life=rng.randrange(1, 4), kind=rng.choice(("token", "named")))]
        else:
            tokens = [self.site.mint.any(rng)]
        try:
            r = revoke(c, tokens if len(tokens) > 1 else tokens[0])
        except (OSError, EOFError):
            self.open += tokens
            self.lists += [tokens] if len(tokens) > 1 else []
            raise
        if is_done(r):
            self.kept += tokens
            return
        self.open += tokens
        self.failures.append(r)
        if r["Connection"] == "close":
            raise EOFError

    def reading(self, c, rng):
        for token, expected in ((rng.choice(self.good), ACCEPTED), (rng.choice(self.kept or [None]), REVOKED)):
            if token is None or token.expires < time.time() + 60:
                continue
            c.send_raw(page(token))
            if (found := verdict(c.receive())) != expected:
                self.failures.append((token.value, found, expected))

    def work(self, step, seed):
        rng = random.Random(seed)
        c = None
        done = 0
        while not self.stop.is_set() and done < self.limit:
            try:
                c = c or self.site.connect()
                step(c, rng)
                done += 1
                if self.restless:
                    c.close()
                    c = None
            except TimeoutError:
                self.failures.append("a request hangs")
                return
            except (OSError, EOFError):
                c = None
                time.sleep(0.001)
            except Exception as e:  # noqa: BLE001 - a thread's own error would be lost
                self.failures.append(repr(e))
                return
        if c:
            c.close()

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *exc):
        self.stop.set()
        for t in self.threads:
            t.join(60)
            assert not t.is_alive(), "a request hangs"


def own(path, site):
    """Give files that a test has put in place to httpd's user."""
    if ROOT:
        for each in [path, *path.rglob("*")]:
            shutil.chown(each, "www-data", "www-data")
    return site


def copy_state(source, target):
    """The database's files as they are, but not PATH-shm, which SQLite makes anew."""
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(mode=0o750)
    for path in source.iterdir():
        if not path.name.endswith("-shm"):
            shutil.copyfile(path, target / path.name)
            (target / path.name).chmod(0o640)


def is_mounted(path):
    return any(line.split()[1] == str(path) for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines())
