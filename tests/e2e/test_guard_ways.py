"""The guard before other back ends than a proxied one, and on the ways that a request takes inside httpd."""

import base64
import contextlib
import itertools
import json
import os
import subprocess

import pytest

from backend import reply
from guarding import GUARD, ROTATION, Site, grants, is_refusal, location
from httpd import H2, MPM
from issuers import issuer, jwks
from storing import FORM, PAGE
from test_guard import CHUNKED, chunks

serial = itertools.count()

# Keeps what it gets, and answers with what the parameter say tells: nothing of the module, and no library for forms.
SCRIPT = """#!/usr/bin/python3
import base64, json, os, sys, tempfile
body = sys.stdin.buffer.read()
env = {k: os.environ[k] for k in ("REQUEST_METHOD", "QUERY_STRING", "CONTENT_LENGTH", "HTTP_ACCEPT_ENCODING") if k in os.environ}
kept, name = tempfile.mkstemp(dir=KEPT, suffix=".new")
os.write(kept, json.dumps({"env": env, "body": base64.b64encode(body).decode()}).encode())
os.rename(name, name[:-4])
say = os.path.join(KEPT, "..", "say")
sys.stdout.buffer.write(open(say, "rb").read())
"""


class Script:
    """A CGI script behind the guard, seen from outside."""

    def __init__(self, server):
        self.kept = server.root / "kept"
        self.kept.mkdir()
        self.kept.chmod(0o777)
        self.server = server
        server.write("cgi/token", SCRIPT.replace("KEPT", repr(str(self.kept))), mode=0o755)
        server.write("htdocs/indexed/token.cgi", SCRIPT.replace("KEPT", repr(str(self.kept))), mode=0o755)
        self.says(b'Content-Type: application/json\n\n{"ok": true}')

    def says(self, answer):
        self.server.write("say", answer)

    def grants(self, refresh, access="a", *headers):
        head = "\n".join(("Content-Type: application/json", *headers))
        self.says(f'{head}\n\n{json.dumps({"access_token": access, "refresh_token": refresh})}')

    def take(self):
        """[(environment, body)] since the last time."""
        taken = []
        for path in sorted(self.kept.iterdir(), key=lambda p: p.stat().st_mtime_ns):
            kept = json.loads(path.read_text())
            taken.append((kept["env"], base64.b64decode(kept["body"])))
            path.unlink()
        return taken


FRONT = """
ScriptAlias /cgi/ "{root}/cgi/"
ScriptAlias /direct/ "{root}/cgi/"
<Directory "{root}/cgi">
    Require all granted
</Directory>
<Directory "{root}/htdocs/rewritten">
    RewriteEngine On
    RewriteRule "^(.*)$" "/cgi/token" [QSA,L]
</Directory>
<Directory "{root}/htdocs/fallback">
    FallbackResource /cgi/token
</Directory>
<Directory "{root}/htdocs/indexed">
    DirectoryIndex token.cgi
    AddHandler cgi-script .cgi
    Options +ExecCGI
</Directory>
Action x-token-endpoint /cgi/token virtual
AddOutputFilter INCLUDES .shtml
<Directory "{root}/htdocs">
    Options +Includes
</Directory>
ProxyPassMatch "^/part-of/(.*)$" "{to}token?grant_type=refresh_token&refresh_token=$1" nocanon
RewriteEngine On
RewriteRule "^/token-of/(.*)$" "{to}token?grant_type=refresh_token&refresh_token=$1" [P,QSA]
RewriteRule "^/query-of/(.*)$" "/guarded/$1?grant_type=refresh_token" [PT,QSA]
"""

@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    server.runs_scripts = True
    server.extra_modules = ("actions", "deflate", "filter")
    script = []

    def prepare(s):
        script.append(Script(s))
        for name in ("rewritten", "fallback"):
            (s.root / "htdocs" / name).mkdir()
        s.write("htdocs/page.shtml", 'before <!--#include virtual="/guarded/token?$QUERY_STRING" --> behind')
        s.write("htdocs/rotating.shtml", 'before <!--#include virtual="/rotating/token?$QUERY_STRING" --> behind')

    scripts = (location("/direct/", GUARD, ROTATION), location("/rewritten/", GUARD, ROTATION),
               location("/fallback/", GUARD, ROTATION), location("/action/", GUARD, ROTATION, "SetHandler x-token-endpoint"),
               location("/indexed/token.cgi", GUARD, ROTATION))
    told = [f"ProxyPass /{where}-{name}/ {{to}}\n" + location(f"/{where}-{name}/", f"SetEnv {name} 1", *how)
            for where, how in (("plain", ()), ("guarded", (GUARD,))) for name in ENVIRONMENT]
    made = Site(server, keys, FRONT, *scripts, *told, location("/token-of/", GUARD, ROTATION), location("/part-of/", GUARD),
                location("/behind/revoke", GUARD, "SetHandler tokrevoke-revoke"), location("/static/", GUARD), prepare=prepare)
    made.script = script[0]
    yield made
    made.close()


ENVIRONMENT = ("proxy-sendcl", "proxy-sendchunked", "proxy-sendchunks", "force-proxy-request-1.0", "proxy-nokeepalive",
               "proxy-initial-not-pooled")
VIRTUAL = ("<VirtualHost 127.0.0.1:{port}>\nServerName 127.0.0.1\n</VirtualHost>\n"
           "<VirtualHost 127.0.0.1:{port}>\nServerName as.test\n" + issuer("https://as.test/", jwks("all"))
           + "ProxyPass /token {to}token\n" + location("/token", GUARD, ROTATION) + "</VirtualHost>\n"
           "<VirtualHost 127.0.0.1:{port}>\nServerName open.test\nProxyPass /token {to}token\n</VirtualHost>\n")
SCRIPTS = {"CGI": "/direct/token", "a redirect inside httpd": "/rewritten/token", "a fallback": "/fallback/token",
           "an action": "/action/token", "the index of an unguarded folder": "/indexed/"}
EACH_SCRIPT = pytest.mark.parametrize("way", SCRIPTS)


@EACH_SCRIPT
def test_a_script_gets_what_passes_byte_for_byte_and_never_a_revoked_token(site, mint, way):
    """R7009-19: also where httpd redirects to it inside."""
    where = SCRIPTS[way]
    site.script.says(b'Content-Type: application/json\n\n{"ok": true}')
    site.script.take()
    for body, headers in ((b"grant_type=refresh_token&refresh_token=alive&x=%zz", (FORM,)),
                          (bytes(range(256)), ("Content-Type: image/png",)), (b"x=" + b"y" * 65534, (FORM,)),
                          (b"z" * 200_000, ("Content-Type: text/plain",)), (b"a=b", ()), (b"", (FORM,))):
        r = site.get(where + "?q=1", *headers, method="POST", body=body)
        assert (r.status, r.body) == (200, b'{"ok": true}'), (r, r.body)
        ((env, got),) = site.script.take()
        assert got == body and env["REQUEST_METHOD"] == "POST" and "q=1" in env["QUERY_STRING"]
        assert env.get("CONTENT_LENGTH") == str(len(body))
    with site.connect() as c:
        body = b"grant_type=refresh_token&refresh_token=alive"
        c.send("POST", where, FORM, CHUNKED)
        c.send_raw(chunks(body, 3, 5))
        assert c.receive().status == 200
    assert site.script.take()[0][1] == body
    site.expect_log("TR045: ")
    jwt = mint(token_use="refresh")
    dead = f"dead-{next(serial)}"
    site.revoke_opaque(dead)
    assert site.revoke(jwt).status == 200
    for token in (dead, jwt):
        for _ in range(2):
            is_refusal(site.exchange(token, where=where))
        is_refusal(site.get(where + "?grant_type=refresh_token&refresh_token=" + token))
        is_refusal(site.get(where + "?grant_type=refresh_token", FORM, method="POST", body="refresh%5ftoken=" + token))
    assert site.script.take() == []


@EACH_SCRIPT
def test_a_script_rotates(site, way):
    """SBCP-03"""
    site.expect_log("TR045: ")
    where, tokens = SCRIPTS[way], [f"cgi-{next(serial)}" for _ in range(4)]
    for old, new in itertools.pairwise(tokens):
        site.script.grants(new, "a", "Set-Cookie: a=b")
        r = site.exchange(old, "Accept-Encoding: gzip", where=where)
        assert r.status == 200 and r.json()["refresh_token"] == new and r["Set-Cookie"] == "a=b"
        assert "HTTP_ACCEPT_ENCODING" not in site.script.take()[0][0]
    for token in tokens:
        is_refusal(site.exchange(token, where=where))
    assert site.script.take() == []


@EACH_SCRIPT
def test_what_a_script_says_is_withheld_where_it_cannot_be_understood(site, way):
    site.expect_log("TR047: ")
    for said in (b"Content-Type: text/plain\nSet-Cookie: rt=secret\n\nrefresh_token=secret",
                 b"Status: 201 Made\nX-A: secret\n\nsecret",
                 b"Content-Type: application/json\nContent-Encoding: gzip\n\n{\"refresh_token\":\"secret\"}"):
        site.script.says(said)
        r = site.exchange("r-1", where=SCRIPTS[way])
        is_refusal(r, 502, "server_error")
        assert b"secret" not in r.body and "secret" not in str(r.headers)


def test_a_script_that_sends_httpd_elsewhere_for_the_answer_rotates(site):
    """CGI's local redirect (RFC 3875 6.2.2)."""
    site.expect_log("TR045: ")
    new = f"elsewhere-{next(serial)}"
    site.write("htdocs/answer.txt", json.dumps({"refresh_token": new}))
    site.script.says(b"Location: /answer.txt\n\n")
    old = f"elsewhere-{next(serial)}"
    r = site.exchange(old, where="/direct/token")
    assert r.status == 200 and r.json() == {"refresh_token": new}
    is_refusal(site.exchange(old, where="/direct/token"))
    is_refusal(site.exchange(new, where="/direct/token"))


def test_a_page_that_includes_the_token_endpoint_does_not_lead_around(site):
    """A subrequest."""
    site.backend.answer = lambda request: reply({"ok": True})
    site.revoke_opaque("dead")
    site.backend.take()
    r = site.get("/page.shtml?grant_type=refresh_token&refresh_token=dead")
    assert site.backend.take() == [] and b"invalid_grant" in r.body
    r = site.get("/page.shtml?grant_type=refresh_token&refresh_token=alive")
    assert site.backend.only().target.endswith("refresh_token=alive") and r.body == b'before {"ok": true} behind'
    site.expect_log("TR045: ")
    old, new = (f"included-{next(serial)}" for _ in range(2))
    site.backend.answer = lambda request: grants("a", new)
    assert new.encode() in site.get("/rotating.shtml?grant_type=refresh_token&refresh_token=" + old).body
    site.is_refused(old)
    site.is_refused(new)


def test_a_token_that_rewriting_puts_into_the_query_is_seen(site):
    site.backend.answer = lambda request: reply({"ok": True})
    site.revoke_opaque("dead")
    site.backend.take()
    assert site.get("/token-of/alive").status == 200
    assert site.backend.only().target == "/as/token?grant_type=refresh_token&refresh_token=alive"
    site.expect_log("TR045: ")
    is_refusal(site.get("/token-of/dead"))
    is_refusal(site.get("/token-of/good?refresh_token=dead"))
    is_refusal(site.get("/query-of/token?refresh_token=dead"))
    is_refusal(site.get("/query-of/token", FORM, method="POST", body="refresh_token=dead"))
    assert site.backend.take() == []


def test_a_token_that_a_proxys_address_has_in_its_query_is_seen(site):
    site.backend.answer = lambda request: reply({"ok": True})
    site.revoke_opaque("dead")
    site.backend.take()
    assert site.get("/part-of/alive").status == 200
    assert site.backend.only().target == "/as/token?grant_type=refresh_token&refresh_token=alive"
    is_refusal(site.get("/part-of/dead"))
    assert site.backend.take() == []


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_what_mod_proxy_is_told_about_bodies_stays_in_force(site, name):
    site.backend.answer = lambda request: reply({"ok": True})
    for body in (b"a=b", b"a=" + b"x" * 65534, b""):
        for chunked in (False, True):
            seen = []
            for where in ("plain", "guarded"):
                site.backend.take()
                with site.connect() as c:
                    if chunked:
                        c.send("POST", f"/{where}-{name}/token", FORM, CHUNKED)
                        c.send_raw(chunks(body, 1000))
                    else:
                        c.send("POST", f"/{where}-{name}/token", FORM, body=body)
                    assert c.receive().status == 200
                kept = site.backend.only()
                assert kept.body == body
                seen.append([h for h in kept.headers if h[0] not in ("Content-Length", "Transfer-Encoding")])
            assert seen[0] == seen[1]


def test_a_handler_of_ours_behind_the_guard_reads_its_body(site, mint):
    token = mint()
    assert site.bearer(PAGE, token).status == 200
    assert site.revoke(token, path="/behind/revoke").status == 200
    assert site.bearer(PAGE, token).reason == "revoked"


@pytest.fixture(scope="module")
def hosts(new_server, keys):
    made = Site(new_server(), keys, VIRTUAL)
    yield made
    made.close()


def test_a_guard_stands_in_its_virtual_host(hosts, mint):
    site = hosts
    site.backend.answer = lambda request: reply({"ok": True})
    jwt = mint(iss="https://as.test/", token_use="refresh")
    body = "grant_type=refresh_token&refresh_token="

    def ask(host, token):
        return site.get("/token", FORM, method="POST", body=body + token, host=host)

    assert ask("as.test", jwt).status == ask("open.test", jwt).status == 200
    site.revoke_opaque("dead")
    assert site.revoke(jwt, host="as.test").status == 200
    site.expect_log("TR045: ")
    for token in ("dead", jwt):
        site.backend.take()
        is_refusal(ask("as.test", token))
        assert site.backend.take() == []
        assert ask("open.test", token).status == 200


def test_head_is_judged_and_gives_out_nothing(site):
    site.backend.answer = lambda request: reply(b"", "200 OK", "Content-Type: application/json")
    site.revoke_opaque("dead")
    query = "/guarded/token?grant_type=refresh_token&refresh_token="
    site.backend.take()
    assert site.get(query + "alive", method="HEAD").status == 200
    assert len(site.backend.take()) == 1
    r = site.get(query + "dead", method="HEAD")
    assert r.status == 400 and r["Content-Type"] == "application/json" and site.backend.take() == []
    assert site.get(query.replace("guarded", "rotating") + "alive", method="HEAD").status == 200


def test_a_static_file_behind_the_guard_is_what_it_was(site):
    (site.root / "htdocs" / "static").mkdir()
    site.write("htdocs/static/file.txt", "as it was")
    assert site.get("/static/file.txt").body == b"as it was"
    assert site.get("/static/none.txt").status == 404


# ---- HTTP/2 ------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def h2_site(new_server, keys):
    server = new_server()
    server.extra_modules = ("http2",)
    made = Site(server, keys, "" if H2 else "Protocols h2c http/1.1\n")
    yield made
    made.close()


def curl(site, path, *options, stdin=None):
    """(status, body) over HTTP/2; in plain text, unless the whole run is over TLS."""
    done = subprocess.run(["curl", "-sS", "-m", "20", "--http2" if H2 else "--http2-prior-knowledge", "-w", "\n%{http_version} %{http_code}", *options,
                           site.server.url + path], capture_output=True, input=stdin, timeout=30, check=True)
    body, _, last = done.stdout.rpartition(b"\n")
    version, status = last.split()
    assert version == b"2"
    return int(status), body


@pytest.mark.skipif(MPM == "prefork", reason="mod_http2 does not work with mpm_prefork")
def test_over_http_2_it_is_the_same(h2_site, mint):
    site = h2_site
    site.backend.answer = lambda request: reply({"ok": True})
    jwt, dead = mint(token_use="refresh"), "dead-2"
    site.revoke_opaque(dead)
    assert site.revoke(jwt).status == 200
    site.backend.take()
    form = "grant_type=refresh_token&refresh_token="
    for length in ((), ("-H", "Content-Length:")):
        assert curl(site, "/guarded/token", *length, "-d", form + "alive") == (200, b'{"ok": true}')
        assert site.backend.only().body == (form + "alive").encode()
        for token in (dead, jwt):
            status, body = curl(site, "/guarded/token", *length, "-d", form + token)
            assert status == 400 and json.loads(body)["error"] == "invalid_grant"
        assert site.backend.take() == []
    status, _ = curl(site, "/guarded/token", "-X", "POST", "-H", FORM, "-T", "-", stdin=form.encode() + b"dead-2")
    assert status == 400 and site.backend.take() == []
    status, _ = curl(site, "/guarded/token", "-X", "POST", "-H", FORM, "-T", "-", stdin=form.encode() + b"alive")
    assert status == 200 and site.backend.only().body == form.encode() + b"alive"
    large = os.urandom(3_000_000)
    status, _ = curl(site, "/guarded/upload", "-X", "POST", "-H", "Content-Type: image/png", "-T", "-", stdin=large)
    assert status == 200 and site.backend.only().body == large
    # mod_http2 resets a stream whose body nobody reads to its end, sometimes before curl has looked at the answer.
    with contextlib.suppress(subprocess.CalledProcessError):
        assert curl(site, "/guarded/token", "-X", "POST", "-H", FORM, "-T", "-", stdin=b"x" * 65537)[0] == 413
    assert site.backend.take() == []
    assert curl(site, "/guarded/token?" + form + "dead-2")[0] == 400
    site.expect_log("TR045: ")
    site.backend.answer = lambda request: grants("a", "h2-new")
    status, body = curl(site, "/rotating/token", "-d", form + "h2-old", "--compressed")
    assert status == 200 and json.loads(body)["refresh_token"] == "h2-new"
    assert curl(site, "/rotating/token", "-d", form + "h2-old")[0] == 400
    assert curl(site, "/rotating/token", "-d", form + "h2-new")[0] == 400
