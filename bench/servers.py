"""
The servers that are compared: httpd without a check, with this module, with mod_auth_openidc, with mod_oauth2, and HAProxy with
and without jwt_verify. Each serves the same file of 1 KiB to the same requests, and each that checks tokens has to prove it
before it is measured.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from client import Conn
from httpd import Installed, die_with_parent, endpoint, free_port
from plain import Plain
from tokens import certificate_pem, fields, public_pem, secret_bytes, unb64
from tokens_for import ISS, KINDS, tampered

REPO = Path(__file__).resolve().parents[1]
PEERS = REPO / "build" / "peers"
LIBRARIES = ":".join(str(p.parent) for p in sorted((PEERS / "usr" / "lib").glob("*/liboauth2.so.0")))
PAGE = "/app/page.txt"
DENIED = 100000
LIVE = 1000000  # revocations in the database of the variant that has many, at most

# What a request costs depends on these two; everything else is as httpd has it when it is told nothing.
CONFIGS = {"default": "AllowOverride All", "tuned": "AllowOverride None\n    EnableMMAP Off"}


class Server(Plain):
    checks = True  # the tokens are looked at
    remembers_in_each_process = False

    def __init__(self, name, config, tokens):
        super().__init__(children=2)
        self.name, self.config, self.tokens, self.rules = name, config, tokens, CONFIGS[config]
        self.threads = 64
        self.database = None
        self.with_module = False
        (self.root / "htdocs" / "app").mkdir()
        self.write("htdocs/app/page.txt", "x" * 1024)
        self.write("conf/jwks.json", tokens.jwks())

    def text(self):
        return ""

    @property
    def page(self):
        return self.url + PAGE

    def processes(self):
        return sorted(self.members())

    def up(self):
        self.start(self.text().replace("{root}", str(self.root)))
        self.prove()
        return self

    def prove(self):
        assert self.get(PAGE).status == 200

    def prove_checks(self):
        for alg in self.algorithms():
            good = self.tokens.lines(alg, 1)[0]
            answer = self.bearer(PAGE, good)
            assert answer.status == 200 and len(answer.body) == 1024, (self.name, alg, answer, self.error_log())
            assert self.bearer(PAGE, tampered(good)).status == 401, (self.name, alg)
        assert self.get(PAGE).status == 401, self.name

    def algorithms(self):
        return ("RS256",)


class Bare(Server):
    checks = False


class Ours(Server):
    """database: a folder whose database is taken over, revocations and all; cache: what TokRevokeVerifiedCache says."""

    def __init__(self, name, config, tokens, database=None, cache=None):
        super().__init__(name, config, tokens)
        self.with_module, self.filled, self.cache = True, database, cache
        self.remembers_in_each_process = cache != "off"
        self.revoked = tokens.lines("RS256", 2)[1]

    def first(self):
        return f'LoadModule tokrevoke_module "{Installed.module()}"\n'

    def text(self):
        folder = self.root / "state"
        shutil.rmtree(folder, ignore_errors=True)
        if self.filled:
            shutil.copytree(self.filled, folder)
        else:
            folder.mkdir()
        if os.geteuid() == 0:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, "www-data", "www-data")
        cache = f"TokRevokeVerifiedCache {self.cache}\n" if self.cache else ""
        room = f"TokRevokeCapacity {2 * LIVE}\n" if self.filled else ""  # for those, and as many more
        return cache + room + f"""
TokRevokeDatabase sqlite3:{folder}/revocations.db
<TokRevokeIssuer "{ISS}">
    TokRevokeKeySet "{self.root}/conf/jwks.json"
</TokRevokeIssuer>
<Location "/app/">
    AuthType Bearer
    AuthName bench
    Require valid-user
</Location>
""" + endpoint("/revoke")

    def algorithms(self):
        return ("RS256", "ES256", "HS256")

    def prove(self):
        self.prove_checks()
        assert self.bearer(PAGE, self.revoked).status == 200
        assert self.revoke(self.revoked).status == 200
        assert self.bearer(PAGE, self.revoked).status == 401


class Peer(Server):
    def __init__(self, name, config, tokens):
        super().__init__(name, config, tokens)
        self.environment = {"LD_LIBRARY_PATH": LIBRARIES}
        self.write("conf/rsa.crt", certificate_pem(tokens.keys["rsa"], days=10000))

    def load(self, name):
        return f'LoadModule {name}_module "{next(PEERS.glob(f"usr/lib/apache2/modules/mod_{name}.so"))}"\n'

    def prove(self):
        self.prove_checks()


class OpenIDC(Peer):
    ALGORITHMS = ("RS256", "HS256")  # from keys that it has not to fetch

    def first(self):
        return self.load("auth_openidc")

    def algorithms(self):
        return self.ALGORITHMS

    def text(self):
        secret = secret_bytes(self.tokens.keys["oct"]).hex()
        return f"""
OIDCOAuthVerifyCertFiles rsa#{self.root}/conf/rsa.crt
OIDCOAuthVerifySharedKeys hex#oct#{secret}
<Location "/app/">
    AuthType oauth20
    Require valid-user
</Location>
"""


class OAuth2(Peer):
    """With the key of one algorithm, because it tries all that it has."""

    def __init__(self, name, config, tokens, alg="RS256"):
        super().__init__(name, config, tokens)
        self.alg = alg

    def first(self):
        return self.load("oauth2")

    def algorithms(self):
        return (self.alg,)

    def text(self):
        kind = KINDS[self.alg]
        return f"""
<Location "/app/">
    AuthType oauth2
    OAuth2TokenVerify jwk '{json.dumps(fields(self.tokens.keys[kind], kid=kind))}'
    Require valid-user
</Location>
"""


class HAProxy:
    """Answers the page by itself. The deny map is its nearest thing to a list of revoked tokens: by jti, read at start."""

    PROGRAM = PEERS / "usr" / "sbin" / "haproxy"
    CHECK = """
    http-request set-var(txn.token) http_auth_bearer
    http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
    http-request set-var(txn.jti) var(txn.token),jwt_payload_query('$.jti')
    http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless { var(txn.alg) -m str RS256 }
    http-request deny deny_status 401 unless { var(txn.token),jwt_verify(txn.alg,"%(root)s/rsa.pem") -m int 1 }
    http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }
    http-request deny deny_status 401 if { var(txn.jti),map(%(root)s/denied.map) -m found }
"""

    def __init__(self, name, tokens, folder, checks):
        self.name, self.tokens, self.checks = name, tokens, checks
        self.root = folder / name.replace(" ", "-")
        self.root.mkdir(exist_ok=True)
        self.process, self.port = None, free_port()
        self.revoked = tokens.lines("RS256", 2)[1]

    @property
    def page(self):
        return f"http://127.0.0.1:{self.port}{PAGE}"

    def processes(self):
        return [self.process.pid]

    def up(self):
        (self.root / "page.txt").write_text("x" * 1024)
        (self.root / "rsa.pem").write_bytes(public_pem(self.tokens.keys["rsa"]))
        jtis = [f"{n:08x}-0000-4000-8000-{n:012x}" for n in range(DENIED - 1)] + [jti_of(self.revoked)]
        (self.root / "denied.map").write_text("".join(f"{jti} 1\n" for jti in jtis))
        (self.root / "haproxy.cfg").write_text(f"""
global
    maxconn 1000
    nbthread {os.cpu_count()}
defaults
    mode http
    timeout client 60s
    timeout http-keep-alive 60s
frontend page
    bind 127.0.0.1:{self.port}
{self.CHECK % {"root": self.root} if self.checks else ""}
    http-request return status 200 content-type text/plain file {self.root}/page.txt
""")
        with open(self.root / "log", "wb") as log:
            self.process = subprocess.Popen([str(self.PROGRAM), "-db", "-f", str(self.root / "haproxy.cfg")], stdout=log,
                                            stderr=log, preexec_fn=die_with_parent,
                                            env={**os.environ, "LD_LIBRARY_PATH": LIBRARIES})
        end = time.monotonic() + 20
        while not answers(self.port):
            assert self.process.poll() is None and time.monotonic() < end, (self.root / "log").read_text()
            time.sleep(0.02)
        self.prove()
        return self

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def ask(self, token):
        with Conn("127.0.0.1", self.port) as c:
            return c.request("GET", PAGE, *([f"Authorization: Bearer {token}"] if token else []))

    def prove(self):
        good = self.tokens.lines("RS256", 1)[0]
        answer = self.ask(good)
        assert answer.status == 200 and len(answer.body) == 1024, answer
        if self.checks:
            for token in (tampered(good), self.revoked, None):
                assert self.ask(token).status == 401


def jti_of(token):
    return json.loads(unb64(token.split(".")[1]))["jti"]


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def fill(server, tokens):
    """Show a server every token of a file once, on as many connections as it has later."""
    lines = tokens.read_text().split()
    host = f"Host: 127.0.0.1:{server.port}\r\n"
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(Conn("127.0.0.1", server.port, timeout=60)) for _ in range(8)]
        for at in range(0, len(lines), 20 * len(conns)):
            parts = [(c, lines[at + 20 * i:at + 20 * (i + 1)]) for i, c in enumerate(conns)]
            for conn, part in parts:
                conn.send_raw("".join(f"GET {PAGE} HTTP/1.1\r\n{host}Authorization: Bearer {t}\r\n\r\n" for t in part).encode())
            for conn, part in parts:
                for _ in part:
                    answer = conn.receive()
                    assert answer.status == 200, (server.name, answer, server.error_log()[-2000:])
