"""Files that DirectoryIndex or MultiViews finds, and that have a configuration of their own: they are protected as if asked for by name."""

import threading
import time

import pytest

from httpd import endpoint
from issuers import issuer, jwks, write_keys
from storing import Halt
from test_export import CGI, auth, env_of

PLACES = ("/files/", "/files/index", "/files/index.cgi")
SLOW = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
for i in $(seq 300); do echo line $i; sleep 0.1; done
echo end
"""
OWN = ("/own/", "/own/index", "/own/index.cgi")


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    server.runs_scripts = True
    server.extra_modules = ("negotiation",)
    write_keys(server, keys)
    for folder in ("files", "own", "optional", "lazy", "slow", "halt"):
        server.write(f"htdocs/{folder}/index.cgi", CGI, mode=0o755)
    server.halt = Halt(server)
    server.write("htdocs/slow/index.cgi", SLOW, mode=0o755)
    server.write("htdocs/own/.htaccess", '<Files "index.cgi">\nTokRevokeClaimHeader X-Own role\n</Files>\n')
    sections = "".join(f"""
<Directory "{{root}}/htdocs/{folder}">
    <Files "index.cgi">
        AuthType Bearer
        AuthName files
        TokRevokeTokenFrom header cookie=session query=tok
        {lines}
    </Files>
</Directory>
""" for folder, lines in {
        "files": "TokRevokeStripToken On\nTokRevokeClaimHeader X-Role role\nRequestHeader setifempty X-Role none\nRequire valid-user",
        "slow": "TokRevokeCutStreams On\nRequire valid-user",
        "halt": Halt.lines("RequestHeader", "\"expr=%{IS_SUBREQ} == 'true'\"") + "\nRequire valid-user",
        "optional": "TokRevokeOptional On\nTokRevokeClaimHeader X-Role role\nRequire all granted",
        "lazy": "Require all granted\n<If \"token_claim('role') == 'chief'\">\nSetEnv CHIEF yes\n</If>",
    }.items())
    server.expect_log("AH01630", always=True)
    return server.start(issuer("https://idp.test/", jwks("all")) + """
AddHandler cgi-script .cgi
DirectoryIndex index.cgi
MultiviewsMatch Any
<Directory "{root}/htdocs">
    Options +ExecCGI +MultiViews
    AllowOverride AuthConfig
</Directory>
""" + sections + endpoint("/revoke"))


def seen_by_app(r):
    env = env_of(r)
    return tuple(env.get(name) for name in ("REMOTE_USER", "AUTH_TYPE", "HTTP_X_ROLE", "TOKEN_CLAIM_role"))


@pytest.mark.parametrize("path", PLACES)
def test_the_application_knows_the_user(site, mint, path):
    for role, field in (("chief", "chief"), (None, "none")):
        r = site.get(path, auth(mint(role=role)), "X-Role: spoof", "x_role: spoof")
        assert seen_by_app(r) == ("alice", "Bearer", field, role or "null") and "spoof" not in r.text, r


@pytest.mark.parametrize("path", PLACES)
def test_an_answer_reached_by_a_cookie_is_private(site, mint, path):
    """R6750-15"""
    r = site.get(path, "Cookie: session=" + mint())
    assert r.status == 200 and r["Cache-Control"] == "no-store" and "Cookie" in r["Vary"], r.headers


@pytest.mark.parametrize("path", PLACES)
def test_the_application_never_sees_the_token(site, mint, path):
    token = mint()
    for query, field in (("", auth(token)), ("", f"Cookie: a=1; session={token}"), (f"?tok={token}&a=1", "X-None: 1")):
        r = site.get(path + query, field)
        assert env_of(r)["REMOTE_USER"] == "alice" and token not in r.text, r


def test_without_a_good_token_it_is_closed(site, mint):
    token = mint()
    assert site.get("/files/", auth(token)).status == 200
    assert site.revoke(token).status == 200
    for headers in ((), (auth(token),), (auth(mint(exp=1)),)):
        assert site.get("/files/", *headers).status == 401


def test_what_is_revoked_while_the_file_is_looked_for_lets_nobody_in(site, mint):
    token = mint()
    for status in (200, 401):
        with site.connect() as c:
            c.send("GET", "/halt/", auth(token))
            with site.halt.held():
                if status == 401:
                    assert site.revoke(token).status == 200
            r = c.receive()
            assert r.status == status, r
    assert r.reason == "revoked"


def test_a_long_answer_ends_with_its_token(site, mint):
    token = mint()
    threading.Timer(1, site.revoke, (token,)).start()
    began = time.monotonic()
    try:
        r = site.get("/slow/", auth(token))
    except Exception:
        r = None
    assert time.monotonic() - began < 5 and (r is None or "end" not in r.text), r
    site.wait_log("a response is cut after")


@pytest.mark.parametrize("path", OWN)
def test_a_name_from_a_htaccess_never_comes_from_the_client(site, path):
    """SBCP-06"""
    r = site.get(path, "X-Own: spoof", "x_own: spoof", "X-Kept: kept")
    assert env_of(r)["HTTP_X_KEPT"] == "kept" and "spoof" not in r.text, r


@pytest.mark.parametrize("path", ["/optional/", "/optional/index"])
def test_where_tokens_are_optional_only_a_good_one_counts(site, mint, path):
    r = site.get(path, "Cookie: session=" + mint(role="chief"), "X-Role: spoof")
    assert seen_by_app(r) == ("alice", "Bearer", "chief", "chief") and r["Cache-Control"] == "no-store", r
    for bad in ("x=1", "session=" + mint(role="chief", exp=1)):
        r = site.get(path, "Cookie: " + bad, "X-Role: spoof")
        assert seen_by_app(r) == (None, None, None, None) and "Cookie" in r["Vary"], r


@pytest.mark.parametrize("path", ["/lazy/", "/lazy/index"])
def test_an_open_file_that_looks_at_claims_says_so(site, mint, path):
    r = site.get(path, "Cookie: session=" + mint(role="chief"))
    assert env_of(r)["CHIEF"] == "yes" and r["Cache-Control"] == "no-store" and "Cookie" in r["Vary"], r
    r = site.get(path)
    assert "CHIEF" not in env_of(r) and "Cookie" in r["Vary"], r
