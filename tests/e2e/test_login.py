"""TokRevokeLoginURL: a browser that comes without a good token is sent to the login page; everything else gets 401."""

from urllib.parse import unquote

import pytest

from httpd import ALIAS, endpoint, protected
from issuers import issuer, jwks, write_keys
from logouts import HTML

NAVIGATE = (HTML, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
COOKIE = "TokRevokeTokenFrom header cookie=__Host-session query=tok"
LOGIN = 'TokRevokeLoginURL "/login?next={url}"'
CGI = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
env
"""


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    server.runs_scripts = True
    write_keys(server, keys)
    server.write("cgi/env", CGI, mode=0o755)
    (server.root / "htdocs" / "dir").mkdir()
    server.write("htdocs/dir/index.html", "<p>the index</p>\n")
    server.write("htdocs/page.shtml", "<!--#echo var=\"REDIRECT_TOKREVOKE_REASON\" -->|<!--#echo var=\"REDIRECT_STATUS\" -->\n")
    server.write("htdocs/outer.shtml", '[<!--#include virtual="/p/login/ok.txt" -->]\n')
    (server.root / "htdocs" / "ht").mkdir()
    server.write("htdocs/ht/.htaccess", f'AuthType Bearer\nAuthName ht\nRequire valid-user\n{LOGIN}\n')
    server.write("htdocs/ht/ok.txt", "in\n")
    text = issuer("https://idp.test/", jwks("all")) + 'ScriptAlias "/why" "{root}/cgi/env"\n' + ALIAS + """
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
<Directory "{root}/htdocs">
    Options +Includes
</Directory>
<Directory "{root}/cgi">
    Options +ExecCGI
    Require all granted
</Directory>
RewriteEngine On
RewriteRule "^/nice/(.*)$" "/p/login/$1" [PT]
""" + (protected("login", COOKIE, LOGIN) + protected("bob", COOKIE, LOGIN, "Require user bob")
       + protected("far", COOKIE, 'TokRevokeLoginURL "https://sso.test/start?rd={url}&again={url}#top"')
       + protected("fixed", COOKIE, 'TokRevokeLoginURL "/login?plain"')
       + protected("self", COOKIE, 'TokRevokeLoginURL "/p/self/login.html?next={url}"')
       + protected("own", COOKIE, 'TokRevokeLoginURL "http://sso.test/p/own/login.html?next={url}"')
       + protected("both", COOKIE, LOGIN, "ErrorDocument 401 /page.shtml")
       + protected("script", COOKIE, LOGIN, "ErrorDocument 401 /why")
       + protected("inner", COOKIE, LOGIN, "ErrorDocument 401 /p/inner/page.shtml")
       + protected("missing", "ErrorDocument 404 /p/login/page.shtml")
       + '<Location "/open/">\nErrorDocument 404 /p/login/page.shtml\n</Location>\n'
       + '<Location "/short/">\nRewriteEngine On\nRewriteRule "." "/p/login/ok.txt" [END]\n</Location>\n'
       + protected("off", COOKIE, "TokRevokeLoginURL off", where="/p/login/off/")
       + '<Directory "{root}/htdocs/ht">\nAllowOverride AuthConfig\n</Directory>\n'
       + protected("cors", COOKIE, LOGIN, "TokRevokeAllowOrigin https://app.test")
       + endpoint("/revoke") + endpoint("/logout", COOKIE, handler="tokrevoke-logout"))
    return server.start(text)


def asked(r, begin="/login?next="):
    """What the login page is told, once it has decoded it."""
    assert r.status == 302, r
    where = r["Location"]
    assert where.startswith(begin), where
    told = where[len(begin):]
    assert all(c.isalnum() or c in "-._~%" for c in told), told
    return unquote(told)


def test_a_navigation_without_a_token_is_sent_to_the_login_page(site):
    r = site.get("/p/login/ok.txt?a=1&b=x%20y", *NAVIGATE)
    assert asked(r) == "/p/login/ok.txt?a=1&b=x%20y"
    assert r["Location"] == "/login?next=%2Fp%2Flogin%2Fok.txt%3Fa%3D1%26b%3Dx%2520y"
    assert r["Cache-Control"] == "no-store" and r.all("WWW-Authenticate") == [] and r.reason == "no_token"


def test_every_refusal_of_a_token_sends_a_navigation_there(site, mint):
    """Also a session that has run out while its user was away."""
    revoked = mint()
    assert site.revoke(revoked).status == 200
    for reason, token in (("expired", mint(exp=1000)), ("revoked", revoked), ("malformed", "x"),
                          ("bad_signature", mint()[:-8] + "AAAAAAAA")):
        r = site.get("/p/login/ok.txt", *NAVIGATE, "Cookie: __Host-session=" + token)
        assert asked(r) == "/p/login/ok.txt" and r.reason == reason, (reason, r)
        assert "no-store" in r["Cache-Control"] and r.all("WWW-Authenticate") == []
        site.wait_log(f"refused: {reason}, token")


def test_a_good_token_is_not_sent_away(site, mint):
    r = site.get("/p/login/ok.txt", *NAVIGATE, "Cookie: __Host-session=" + mint())
    assert (r.status, r.user) == (200, "alice")


@pytest.mark.parametrize("headers", [
    (), ("Accept: */*",), ("Accept: application/json",), ("Accept: text/*",), ("Accept: text/html;q=0",),
    ("Accept: application/json, text/html;q=0.5",), (HTML, "Sec-Fetch-Mode: cors"), (HTML, "Sec-Fetch-Mode: no-cors"),
    (HTML, "Sec-Fetch-Mode: same-origin"), (HTML, "Sec-Fetch-Mode: websocket"), (HTML, "Sec-Fetch-Mode: "),
    (HTML, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Mode: cors"),
], ids=str)
def test_what_is_no_navigation_for_html_gets_401(site, headers):
    r = site.get("/p/login/ok.txt", *headers)
    assert r.status == 401 and r.all("Location") == [] and r["WWW-Authenticate"] == 'Bearer realm="login"'


def test_a_browser_that_does_not_name_its_mode_is_sent_there(site):
    assert asked(site.get("/p/login/ok.txt", "Accept: text/html")) == "/p/login/ok.txt"
    assert asked(site.get("/p/login/ok.txt", "Accept: application/xhtml+xml")) == "/p/login/ok.txt"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_other_methods_get_401(site, method):
    """A login page could not bring them back."""
    r = site.get("/p/login/ok.txt", *NAVIGATE, method=method, body="x=1" if method in ("POST", "PUT") else None)
    assert r.status == 401 and r.all("Location") == [] and r["WWW-Authenticate"] == 'Bearer realm="login"'


def test_head_is_answered_like_get(site):
    with site.connect() as c:
        assert asked(c.request("HEAD", "/p/login/ok.txt", *NAVIGATE)) == "/p/login/ok.txt"
        assert asked(c.request("GET", "/p/login/ok.txt", *NAVIGATE)) == "/p/login/ok.txt"


def test_only_401_is_answered_with_the_login_page(site, mint):
    r = site.get("/p/login/ok.txt?tok=" + mint(), *NAVIGATE, "Authorization: Bearer " + mint())
    assert (r.status, r.reason) == (400, "multiple_tokens") and r.all("Location") == []
    site.expect_log("AH01663|AH01631")
    r = site.get("/p/bob/ok.txt", *NAVIGATE, "Cookie: __Host-session=" + mint())
    assert (r.status, r.reason) == (403, "insufficient_scope") and r.all("Location") == []


# ---- {url} ----

@pytest.mark.parametrize("target, told", [
    ("/p/login/a%2Cb/%C3%A4?x=%26", "/p/login/a%2Cb/%C3%A4?x=%26"), ("/p/login/?", "/p/login/"), ("/p/login/x?a?b=/c", "/p/login/x?a?b=/c"),
    ("//p/login/ok.txt", "/p/login/ok.txt"), ("///p/login/ok.txt?//x", "/p/login/ok.txt?//x"), ("/p/login//evil.test", "/p/login//evil.test"),
    ("/p/login/ok.txt;v=1+2?q='\"", "/p/login/ok.txt;v=1+2?q='\""), ("/p/./login/../login/ok.txt", "/p/./login/../login/ok.txt"),
])
def test_the_login_page_is_told_what_was_asked_for_as_it_was_asked(site, target, told):
    assert asked(site.get(target, *NAVIGATE)) == told


NO_PATH = ("\\/evil.test/../p/login/ok.txt", "http://evil.test//evil.test/../p/login/ok.txt", "http://evil.test/\\evil.test/../p/login/ok.txt")


@pytest.mark.parametrize("target", [
    "/\\evil.test/../p/login/ok.txt", "//evil.test/../p/login/ok.txt", "/\\/evil.test/../p/login/ok.txt",
    *(pytest.param(target, marks=pytest.mark.h1("HTTP/2 has paths only")) for target in NO_PATH)])
def test_the_login_page_is_handed_no_foreign_url(site, target):
    """CWE-601"""
    r = site.get(target, *NAVIGATE)
    assert r.status in (302, 400, 404), r
    if r.status == 302:
        told = asked(r)
        assert told[0] == "/" and told[1] not in "/\\" and "http:" not in told[:6], told


@pytest.mark.h1("HTTP/2 has no targets with a host")
def test_a_target_with_a_host_is_told_without_it(site):
    for host in ("127.0.0.1", "evil.test", "user:pw@evil.test:99"):
        r = site.get(f"http://{host}/p/login/ok.txt?x", *NAVIGATE)
        assert r.status in (302, 400), r
        if r.status == 302:
            assert asked(r) == "/p/login/ok.txt?x"


@pytest.mark.h1("HTTP/1.0")
def test_the_old_protocol_is_answered_too(site):
    with site.connect() as c:
        c.send_raw(f"GET /p/login/ok.txt HTTP/1.0\r\n{HTML}\r\n\r\n".encode())
        assert asked(c.receive()) == "/p/login/ok.txt"


def test_the_token_in_the_query_is_not_told(site, mint):
    """It would stand in the next server's log."""
    token = mint(exp=1000)
    for query, told in ((f"?tok={token}", ""), (f"?a=1&tok={token}&b=2", "?a=1&b=2"), (f"?%74ok={token}&c", "?c")):
        r = site.get("/p/login/ok.txt" + query, *NAVIGATE)
        assert asked(r) == "/p/login/ok.txt" + told and r.reason == "expired"


def test_what_is_too_long_to_tell_is_cut_at_the_query_or_left_out(site):
    assert asked(site.get("/p/login/ok.txt?" + "x" * 2000, *NAVIGATE)) == "/p/login/ok.txt?" + "x" * 2000
    assert asked(site.get("/p/login/ok.txt?" + "x" * 3000, *NAVIGATE)) == "/p/login/ok.txt"
    assert asked(site.get("/p/login/" + "/".join(["x" * 99] * 30), *NAVIGATE)) == "/"


def test_a_login_page_elsewhere_is_told_the_same_in_every_place(site):
    r = site.get("/p/far/ok.txt?a=1", *NAVIGATE)
    assert r.status == 302
    assert r["Location"] == "https://sso.test/start?rd=%2Fp%2Ffar%2Fok.txt%3Fa%3D1&again=%2Fp%2Ffar%2Fok.txt%3Fa%3D1#top"


def test_a_login_page_that_needs_not_be_told_is_not(site):
    assert site.get("/p/fixed/ok.txt", *NAVIGATE)["Location"] == "/login?plain"


def test_behind_a_proxy_that_speaks_tls_the_address_has_no_host_or_scheme(site):
    r = site.get("/p/login/ok.txt", *NAVIGATE, "X-Forwarded-Proto: https", "X-Forwarded-Host: app.test", "Forwarded: proto=https", host="app.test")
    assert r["Location"] == "/login?next=%2Fp%2Flogin%2Fok.txt"


def test_after_a_rewrite_the_address_that_the_browser_shows_is_told(site):
    assert asked(site.get("/nice/ok.txt?x", *NAVIGATE)) == "/nice/ok.txt?x"
    assert asked(site.get("/p/login/dir/", *NAVIGATE)) == "/p/login/dir/"


def test_a_location_below_can_switch_it_off_and_htaccess_can_switch_it_on(site):
    r = site.get("/p/login/off/ok.txt", *NAVIGATE)
    assert r.status == 401 and r.all("Location") == []
    assert asked(site.get("/ht/ok.txt", *NAVIGATE)) == "/ht/ok.txt"


# ---- no loops, and other answers ----

def test_a_login_page_that_is_protected_itself_is_no_loop(site):
    assert site.get("/p/self/ok.txt", *NAVIGATE)["Location"] == "/p/self/login.html?next=%2Fp%2Fself%2Fok.txt"
    for target in ("/p/self/login.html?next=%2Fp%2Fself%2Fok.txt", "/p/self/login.html", "/p/self/./log%69n.html", "//p/self/login.html"):
        r = site.get(target, *NAVIGATE)
        assert r.status == 401 and r.all("Location") == [], (target, r)


def test_a_login_page_of_this_very_host_is_no_loop_either(site):
    page = "/p/own/login.html"
    assert site.get(page, *NAVIGATE, host="sso.test").status == 401
    assert site.get(page, *NAVIGATE, host="SSO.test:8080").status == 401
    assert site.get(page, *NAVIGATE, host="other.test").status == 302
    assert site.get("/p/own/ok.txt", *NAVIGATE, host="sso.test").status == 302


def test_navigations_get_the_login_page_and_the_rest_the_error_document(site, mint):
    """It knows the reason, whether it is a page with SSI or a script."""
    old = mint(exp=1000)
    assert asked(site.get("/p/both/ok.txt", *NAVIGATE)) == "/p/both/ok.txt"
    for headers, reason in (((), "no_token"), (("Cookie: __Host-session=" + old,), "expired")):
        r = site.get("/p/both/ok.txt", HTML, "Sec-Fetch-Mode: cors", *headers)
        assert r.status == 401 and r.text == f"{reason}|401\n" and r.all("Location") == [], r
        assert r["WWW-Authenticate"].startswith("Bearer ") and r["Cache-Control"] == "no-store"
        r = site.get("/p/script/ok.txt", HTML, "Sec-Fetch-Mode: cors", *headers)
        env = dict(line.split("=", 1) for line in r.text.splitlines() if "=" in line)
        assert r.status == 401 and env["REDIRECT_TOKREVOKE_REASON"] == reason and env["REDIRECT_URL"] == "/p/script/ok.txt"


def test_an_error_document_behind_the_same_lock_ends_in_401(site):
    r = site.get("/p/inner/ok.txt", HTML, "Sec-Fetch-Mode: cors")
    assert r.status == 401 and r.all("Location") == [] and r["WWW-Authenticate"].startswith("Bearer ")


def test_the_error_document_of_something_else_sends_nobody_away(site, mint):
    r = site.bearer("/p/missing/none.txt", mint(), HTML)
    assert r.status == 404
    old = site.get("/p/missing/none.txt", HTML)
    assert old.status == 401 and old.all("Location") == []


def test_the_locked_error_document_of_an_open_place_sends_nobody_away(site, mint):
    """Who asked for what is not there is told so, and not to log in for the page that says it."""
    r = site.get("/open/none.txt", *NAVIGATE)
    assert r.status == 404 and r.all("Location") == [] and "|404" not in r.text
    assert site.get("/open/none.txt", *NAVIGATE, "Cookie: __Host-session=" + mint()).text == "(none)|404\n"


def test_behind_a_redirect_inside_httpd_the_login_page_is_told_the_address_of_before(site, mint):
    assert asked(site.get("/short/me?a=1", *NAVIGATE)) == "/short/me?a=1"
    r = site.get("/short/me", *NAVIGATE, method="POST", body="x")
    assert r.status == 401 and r.all("Location") == []
    assert site.get("/short/me", *NAVIGATE, "Cookie: __Host-session=" + mint()).text == "the protected page\n"


def test_a_part_of_a_page_sends_nobody_away(site):
    site.expect_log("unable to include")
    r = site.get("/outer.shtml", *NAVIGATE)
    assert r.status == 200 and r.all("Location") == [] and "the protected page" not in r.text


def test_a_listed_origin_may_read_the_redirect(site):
    r = site.get("/p/cors/ok.txt", HTML, "Origin: https://app.test")
    assert r.status == 302 and r["Access-Control-Allow-Origin"] == "https://app.test"


def test_the_connection_goes_on_after_a_redirect(site, mint):
    with site.connect() as c:
        assert c.request("GET", "/p/login/ok.txt", *NAVIGATE, body="ignored").status == 302
        r = c.request("GET", "/p/login/ok.txt", "Authorization: Bearer " + mint())
        assert (r.status, r.user) == (200, "alice")


# ---- cookies ----

@pytest.mark.parametrize("name", ["__Host-session", "__Secure-session"])
def test_cookies_with_a_prefix_are_found_and_cleared(new_server, keys, mint, name):
    """CK-01"""
    server = new_server()
    write_keys(server, keys)
    where = f"TokRevokeTokenFrom cookie={name}"
    server.start(issuer("https://idp.test/", jwks("all")) + ALIAS + protected("login", where)
                 + endpoint("/logout", where, handler="tokrevoke-logout"))
    token = mint()
    assert server.get("/p/login/ok.txt", f"Cookie: {name}={token}").user == "alice"
    for other in ("session", name.lower(), name + "x", name[2:]):
        assert server.get("/p/login/ok.txt", f"Cookie: {other}={token}").status == 401, other
    r = server.get("/logout", f"Cookie: {name}={token}", "Accept: application/json", method="POST")
    cleared = r["Set-Cookie"]
    assert r.status == 200 and cleared.startswith(name + "=;") and "Secure" in cleared and "Path=/" in cleared and "Domain" not in cleared
    assert server.get("/p/login/ok.txt", f"Cookie: {name}={token}").reason == "revoked"


def test_of_several_cookies_of_one_name_the_first_counts(site, mint):
    """CK-03"""
    good, old = mint(), mint(exp=1000)
    name = "__Host-session"
    for cookies in ((f"{name}={good}; {name}={old}",), (f"{name}={good}", f"{name}={old}"), (f"a=b; {name}={good}; c=d; {name}=",)):
        assert site.get("/p/login/ok.txt", *("Cookie: " + c for c in cookies)).user == "alice", cookies
    for cookies in ((f"{name}={old}; {name}={good}",), (f"{name}={old}", f"{name}={good}")):
        r = site.get("/p/login/ok.txt", *("Cookie: " + c for c in cookies))
        assert (r.status, r.reason) == (401, "expired"), cookies


# ---- configuration ----

@pytest.mark.parametrize("url, said", [
    ("login", "neither"), ("//sso.test/", "no //"), ("/\\sso.test", "character"), ("ftp://sso.test/", "http"),
    ("com.app:/x", "http"), ("javascript:alert(1)", "http"), ("https://", "host"), ("https://{url}/", "host"), ("https://sso.test{url}/", "host"),
    ("https://u@sso.test/", "@"), ("/a b", "character"), ("{url}", "neither"), ("/{url", "character"), ("", "takes one argument"),
])
def test_a_login_url_that_browsers_could_misread_is_an_error(new_server, keys, url, said):
    import re
    server = new_server()
    write_keys(server, keys)
    status, text = server.configtest(issuer("https://idp.test/", jwks("all")) + protected("x", f'TokRevokeLoginURL "{url}"'))
    assert status != 0 and "TokRevokeLoginURL" in text and re.search(said, text), text
