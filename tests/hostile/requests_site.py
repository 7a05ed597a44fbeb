"""
The server that the raw requests go to, and how one of them is judged: what was answered, what the back end has seen, whether the
connection is in step afterwards, and that nothing was revoked but what should have been.
"""

import contextlib
import dataclasses
import json
import re
import socket
import time

from backend import Backend, reply
from httpd import ALIAS, endpoint, protected
from issuers import issuer, jwks, write_keys
from storing import BASIC, PAGE, basic, write_users
from tokens import MAIN, serial

EVENT = "http://schemas.openid.net/event/backchannel-logout"
HERE = "Host: site.test"
FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
BEARER = "Authorization: Bearer <good>"
BOSS = basic(b"boss")
CLIENT = "Authorization: Basic YzE6c2VjcmV0"  # c1:secret
ALLOW_POST, ALLOW_LOGOUT, ALLOW_ADMIN = "POST, OPTIONS", "GET, HEAD, POST, OPTIONS", "GET, HEAD, POST, OPTIONS"
REASONS = ("no_token", "multiple_tokens", "malformed", "algorithm", "unknown_issuer", "unknown_key", "bad_signature", "expired",
           "not_yet_valid", "lifetime", "audience", "token_type", "token_use", "revoked")
CGI = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
cat > /dev/null
env
"""
OWN_FIELDS = ("Host", "Connection", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Server")  # mod_proxy's
IDENTITY = re.compile(r"REMOTE.USER|ROLES|TOKEN_CLAIM", re.I)
CANARY = "GET /canary.txt HTTP/1.1\r\nHost: canary\r\nConnection: close\r\n\r\n"
SURE = "still in step"


@dataclasses.dataclass(frozen=True)
class Case:
    """
    request: the text of the bytes, one character each. <good> is a fresh token, <n> how long all behind the first empty line is,
    ⟦text⟧ a chunk of text, ⟦;ext|text⟧ one with an extension. answers: "401 no_token", "405 POST, OPTIONS", "303 /bye.html",
    '200 {}', see judge(). closed: the connection ends behind them, else it is in step and serves the next request. sees: what each
    request looks like to the back end: "GET /app/x", its fields, and behind an empty string its body. ends: the tokens that are
    revoked afterwards; all others live. cut: the client sends no more, so that the connection can't go on.
    """

    name: str
    row: str
    request: str
    answers: tuple
    closed: bool = False
    sees: tuple = ()
    ends: tuple = ()
    more: int = 0  # revocations that are no token of ours
    cut: bool = False
    fields: tuple = ()  # "Name: value" that the last answer has, "Name" that it has not

    def __str__(self):
        return self.name


def message(method, path, *lines, body="", host=HERE):
    head = "\r\n".join((f"{method} {path} HTTP/1.1", *((host,) if host else ()), *lines))
    return head + "\r\n\r\n" + body


def get(path, *lines, **how):
    return message("GET", path, *lines, **how)


def post(path, *lines, body="", kind=FORM, method="POST"):
    return message(method, path, *((kind,) if kind else ()), *lines, "Content-Length: <n>", body=body)


def chunked(path, *lines, body="", kind=FORM, end="0\r\n\r\n", method="POST"):
    return message(method, path, *((kind,) if kind else ()), *lines, "Transfer-Encoding: chunked", body=body + end)


class Wallet:
    """The tokens of one case, minted when it names them."""

    def __init__(self, mint, keys):
        self.mint, self.keys = mint, keys
        self.made = {}

    def __getitem__(self, name):
        if name not in self.made:
            self.made[name] = self.make(name)
        return self.made[name]

    def make(self, name):
        now = int(time.time())
        if name == "logout":
            claims = {"iss": MAIN, "aud": "app", "iat": now, "exp": now + 120, "jti": f"l{next(serial)}", "events": {EVENT: {}},
                      "sub": f"leaver-{next(serial)}"}
            return self.mint(header={"typ": "logout+jwt"}, payload=claims)
        if name == "rt":
            return f"opaque-{next(serial)}-refresh"
        if name in ("expired", "forged"):
            return self.mint(sub="mallory", roles=["admin"],
                **({"exp": 1000} if name == "expired" else {"key": self.keys.other["p256"]}))
        return self.mint(sub="bob" if name == "bob" else "alice", roles=["staff"])

    def living(self):
        return {n: t for n, t in self.made.items() if n not in ("logout", "rt", "expired", "forged")}

    def fill(self, text):
        text = re.sub(r"<([a-z]+[0-9]?)>", lambda m: m[0] if m[1] == "n" or m[1] in ("script", "b") else self[m[1]], text)
        text = re.sub(r"⟦(?:(;[^|⟧]*)\|)?([^⟧]*)⟧", lambda m: f"{len(m[2]):x}{m[1] or ''}\r\n{m[2]}\r\n", text)
        head, mark, rest = text.partition("\r\n\r\n")
        return (head.replace("<n>", str(len(rest))) + mark + rest).encode("latin-1")


def text(backend):
    to = f"http://127.0.0.1:{backend.port}"
    fields = ("TokRevokeClaimHeader X-Remote-User sub", "TokRevokeClaimHeader X-Roles roles")
    sources = "TokRevokeTokenFrom header cookie=session query=access_token"
    return (
        "TokRevokeCapacity 20000\nMergeTrailers On\n"
        + issuer(MAIN, jwks("all"), "TokRevokeLogoutAudience app") + ALIAS
        + f'ProxyPass /app/ {to}/app/\nProxyPass /open/ {to}/open/\nProxyPass /as/ {to}/as/\nScriptAlias /cgi/ "{{root}}/cgi/"\n'
        + f'ProxyPass /deep/app/ {to}/deep/app/ nocanon\n'
        + f'RewriteEngine On\nRewriteRule "^/turned/(.*)$" "{to}/app/$1" [P]\nRewriteRule "^/raw/(.*)$" "{to}/app/$1" [P,NE]\n'
        + '<Directory "{root}/cgi">\n    Require all granted\n</Directory>\n'
        + 'Header always set X-Uri "expr=%{REQUEST_URI}" "expr=%{HTTP:X-Mark} == \'judged\'"\n'
        + protected("app") + protected("app", sources, "TokRevokeStripToken On", *fields, where="/app/")
        + protected("deep", sources, "TokRevokeStripToken On", *fields, "Options +Includes", where="/deep/")
        + "".join(protected(name, sources, "TokRevokeStripToken On", *fields, where=f"/{name}/") for name in ("turned", "raw"))
        + protected("cgi", sources, "TokRevokeStripToken On", *fields, where="/cgi/env")
        + protected("field", "TokRevokeTokenFrom header=X-Token", "TokRevokeStripToken On", *fields, where="/app/field/")
        + '<Location "/as/">\n    TokRevokeGuardTokenEndpoint On\n    TokRevokeGuardRotation On\n    TokRevokeOpaque 1h\n</Location>\n'
        + endpoint("/revoke") + endpoint("/strict", "TokRevokeAnswers strict")
        + endpoint("/client", "TokRevokeClients {root}/conf/clients")
        + endpoint("/introspect", "TokRevokeClients {root}/conf/clients", handler="tokrevoke-introspect")
        + endpoint("/backchannel", handler="tokrevoke-backchannel-logout")
        + endpoint("/admin", *BASIC, handler="tokrevoke-admin") + endpoint("/admin-open", handler="tokrevoke-admin")
        + endpoint("/logout", "TokRevokeTokenFrom header cookie=session",
            'TokRevokeLogoutRedirect "/bye.html" "https://app.test/done"',
                   handler="tokrevoke-logout")
        + '<Files "secret.txt">\n    AuthType Bearer\n    AuthName files\n    Require valid-user\n</Files>\n')


class Site:
    def __init__(self, server, keys, mint, front="", modules=()):
        server.extra_modules = modules
        self.server, self.mint, self.keys = server, mint, keys
        self.backend = Backend()
        self.backend.answer = lambda request: reply({"ok": True})
        server.runs_scripts = True
        write_keys(server, keys)
        write_users(server, b"boss")
        server.write("conf/clients", "c1:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\npub:\n")
        server.write("cgi/env", CGI, mode=0o755)
        server.write("htdocs/canary.txt", SURE)
        server.write("htdocs/secret.txt", "the protected page\n")
        server.write("htdocs/bye.html", "bye")
        server.start(front + text(self.backend))
        self.watcher = None

    def close(self):
        if self.watcher:
            self.watcher.close()
        self.server.stop()
        self.backend.close()

    # ---- asking beside the case ----

    def ask(self, path, *headers):
        """By a connection of its own, which no case touches."""
        for _ in range(2):
            self.watcher = self.watcher or self.server.connect()
            with contextlib.suppress(EOFError, ConnectionError):
                return self.watcher.request("GET", path, *headers)
            self.watcher = None
        raise AssertionError("the server answers nobody")

    def revocations(self):
        """How many there have ever been."""
        r = self.ask("/admin/status", BOSS)
        assert r.status == 200, r
        return r.json()["table"]["inserted"]

    def lives(self, token):
        r = self.ask(PAGE, "Authorization: Bearer " + token)
        assert (r.status, r.reason) in ((200, None), (401, "revoked")), r
        return r.status == 200

    # ---- one case ----

    def exchange(self, data, cut):
        """All that comes back until the server closes the connection, at the latest after the canary."""
        answers = []
        with self.server.connect() as c:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                c.send_raw(data if cut else data + CANARY.encode())
                if cut:
                    c.sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(EOFError, ConnectionResetError):
                while True:
                    is_head = data.startswith(b"HEAD ") and not any(r.status >= 200 for r in answers)
                    answers.append(c.receive("HEAD" if is_head else "GET", interim=True))
            assert c.buffer == b"", c.buffer
        return answers

    def run(self, case):
        wallet = Wallet(self.mint, self.keys)
        data = wallet.fill(case.request)
        before = self.revocations()
        self.backend.take()
        answers = self.exchange(data, case.cut)
        if not case.closed and not case.cut:
            assert answers and answers[-1].text == SURE, ("not in step", answers)
            answers.pop()
        assert len(answers) == len(case.answers), (answers, [r.headers for r in answers])
        for r, want in zip(answers, case.answers):
            judge(r, want, wallet)
        self.has_seen(case, wallet)
        for name, token in wallet.living().items():
            assert self.lives(token) == (name not in case.ends), f"{name} must {'die' if name in case.ends else 'live'}"
        assert self.revocations() == before + len(case.ends) + case.more
        for field in case.fields:
            name, mark, value = field.partition(": ")
            assert answers[-1][name] == (value if mark else None), answers[-1].headers

    def has_seen(self, case, wallet):
        seen = [view(request) for request in self.backend.take()]
        wanted = [as_view(text, wallet) for text in case.sees]
        assert seen == wanted, f"\n{seen}\n{wanted}"


def view(request):
    """What the back end has seen: the line, the fields that are not the proxy's own in their order, the body."""
    fields = [f"{n}: {v}" for n, v in request.headers if n not in OWN_FIELDS]
    return (f"{request.method} {request.target}", sorted(fields), request.body.decode("latin-1"))


def as_view(text, wallet):
    head, _, body = wallet.fill(text).decode("latin-1").partition("\r\n\r\n")
    line, *fields = head.split("\r\n")
    return (line, sorted(fields), body)


def identity(r):
    """What a script was told of who is logged in: every variable that an application could take for that."""
    told = dict(line.split("=", 1) for line in r.text.splitlines() if "=" in line)
    return {name: value for name, value in told.items() if IDENTITY.search(name) and not name.startswith(("TOKEN_CLAIM_",
        "REMOTE_PORT"))}


ALICE = {"REMOTE_USER": "alice", "HTTP_X_REMOTE_USER": "alice", "HTTP_X_ROLES": '["staff"]'}


def judge(r, want, wallet):
    """
    One answer against "status word": the word is a reason of ours, the fields Allow or Location, JSON, "alice" for a script that
    knows her and nobody else, or the error of a JSON answer. Without a word it is httpd's own.
    """
    status, _, word = want.partition(" ")
    assert r.status == int(status), (r, r.headers)
    text = r.text + "".join(f"{n}: {v}\n" for n, v in r.headers)
    assert not any(token in text for token in wallet.made.values()) or word == "echo", "a token comes back"
    if r.status >= 300:
        assert "the protected page" not in r.text and "mallory" not in text
    if word in REASONS:
        is_refusal(r, word)
    elif r.status in (204, 405) and word:
        assert r["Allow"] == word and "no-store" in r["Cache-Control"]
    elif r.status in (301, 302, 303):
        assert r["Location"] == word, r.headers
    elif word == "alice":
        assert identity(r) == ALICE
    elif word == "page":
        assert r.text == "the protected page\n"
    elif word.startswith("{"):
        told, wanted = r.json(), json.loads(word)
        assert (wanted.items() <= told.items() if wanted else told == {}) and "no-store" in r["Cache-Control"], r
    elif word == "problem":
        assert r["Content-Type"] == "application/problem+json" and r.json()["status"] == r.status and "no-store" in r["Cache-Control"]
    elif word and word != "echo":
        assert r["Content-Type"].split(";")[0] == "application/json" and "no-store" in r["Cache-Control"], r.headers
        assert r.json()["error"] == word, r
    elif r.status >= 400:
        assert r.reason is None, (r, r.headers)


def is_refusal(r, word):
    """R6750-06 to R6750-16: of a protected page."""
    assert r.reason == word, (r, r.headers)
    assert r["Cache-Control"] == "no-store" and r["X-User"] is None
    challenge = r["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="')
    if word == "no_token":
        assert r.status == 401 and "error" not in challenge
    elif word == "multiple_tokens":
        assert r.status == 400 and 'error="invalid_request"' in challenge
    else:
        assert r.status == 401 and 'error="invalid_token"' in challenge
