"""What a protected resource answers: docs/DIRECTIVES.md, Reasons of refusal."""

import json
import re

import pytest

import issuers as at
from httpd import ALIAS, H2, protected
from issuers import issuer, jwks, write_keys
from test_accept import passes

PAGE = "/p/app/ok.txt"
BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.fixture(scope="module")
def site(new_server, keys):
    """A site with pages that call each other, .htaccess, rewriting, error pages and other kinds of authentication."""
    server = new_server()
    write_keys(server, keys)
    for name, text in {
        "inc/index.html": "<p>inside index</p>\n", "inc/part.txt": "the included part\n",
        "open/page.shtml": '<p>open</p>[<!--#include virtual="/inc/part.txt" -->]\n',
        "open/deep.shtml": '[<!--#include virtual="/inc/outer.shtml" -->]\n',
        "open/exec.shtml": '[<!--#config errmsg="ERR" --><!--#include virtual="/inc/only-bob/part.txt" -->]\n',
        "inc/outer.shtml": 'outer [<!--#include virtual="/inc/part.txt" -->] user=<!--#echo var="REMOTE_USER" -->\n',
        "inc/only-bob/part.txt": "for bob\n",
        "ht/.htaccess": 'AuthType Bearer\nAuthName "from htaccess"\nRequire valid-user\n', "ht/ok.txt": "the protected page\n",
        "errors/401.html": "<p>our own page</p>\n", "errors/403.html": "<p>not for you</p>\n",
        "cached/app.txt": "app\n",
    }.items():
        path = server.root / "htdocs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        server.write("htdocs/" + name, text)
    server.write("conf/passwords", "carol:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")  # the password is "secret"
    return server.start(issuer("https://idp.test/", jwks("all")) + ALIAS + """
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
<Directory "{root}/htdocs">
    Options +Includes +FollowSymLinks
</Directory>
<Directory "{root}/htdocs/ht">
    AllowOverride AuthConfig
</Directory>
<Location "/inc/">
    AuthType Bearer
    AuthName "inc"
    Require valid-user
</Location>
<Location "/inc/only-bob/">
    Require user bob
</Location>
<Location "/basic/">
    AuthType Basic
    AuthName "basic"
    AuthBasicProvider file
    AuthUserFile "{root}/conf/passwords"
    Require valid-user
</Location>
<Location "/none/">
    Require all granted
</Location>
<Location "/typed-none/">
    AuthType None
    Require all granted
</Location>
Alias "/basic/" "{root}/htdocs/"
Alias "/none/" "{root}/htdocs/"
Alias "/typed-none/" "{root}/htdocs/"
RewriteEngine On
RewriteRule "^/short$" "/inc/part.txt" [PT]
RewriteRule "^/hop$" "/inc/only-bob/part.txt" [PT]
""" + protected("error-page", "ErrorDocument 401 /errors/401.html", "ErrorDocument 403 /errors/403.html")
      + protected("error-text", 'ErrorDocument 401 "just text"')
      + protected("error-bob", "Require user bob", "ErrorDocument 403 /errors/403.html")
      + protected("headers", 'Header always set X-Frame-Options DENY', 'Header always set Cache-Control no-transform',
                  'Header set X-Only-Good yes')
      + protected("cookie", "TokRevokeTokenFrom header cookie=session")
      + protected("cookie-cc", "TokRevokeTokenFrom header cookie=session", 'Header set Cache-Control "max-age=60"',
                  'Header append Vary Accept-Language')
      + protected("cookie-private", "TokRevokeTokenFrom header cookie=session", 'Header set Cache-Control "private, max-age=5"')
      + protected("query", "TokRevokeTokenFrom header query=access_token")
      + protected("field", "TokRevokeTokenFrom header=X-Token")
      + protected("quoted", 'AuthName "re\\"alm"'))


def challenge(r):
    """The one challenge's attributes; each may be there once."""
    value = r["WWW-Authenticate"]
    assert value.startswith("Bearer ")
    found = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', value[7:])
    assert value == "Bearer " + ", ".join(f'{k}="{v}"' for k, v in found), value
    assert len(dict(found)) == len(found)
    return dict(found)


def test_without_a_token_the_challenge_names_the_realm_only(main):
    """R6750-07, R6749-06"""
    r = main.get(PAGE)
    assert r.status == 401
    assert r["WWW-Authenticate"] == 'Bearer realm="app"'
    assert r["Cache-Control"] == "no-store"
    assert r["Content-Type"].split(";")[0] == "application/json"
    assert "error" not in r.json() and r.json()["message"]


def test_an_invalid_token_is_said_to_be_so(main, mint):
    """R6750-08, R6750-11"""
    r = main.bearer(PAGE, mint(exp=1000))
    assert r.status == 401
    attributes = challenge(r)
    assert list(attributes)[:2] == ["realm", "error"] and attributes["error"] == "invalid_token"
    assert attributes["error_description"] == r.json()["error_description"]
    assert r.json()["error"] == "invalid_token" and r.json()["message"] == "Invalid token"
    assert "error_type" not in r.json()
    assert r["Cache-Control"] == "no-store"


def test_a_revoked_token_is_said_to_be_revoked(main, mint):
    token = mint()
    passes(main, token)
    assert main.revoke(token).status == 200
    r = main.bearer(PAGE, token)
    assert (r.status, r.reason) == (401, "revoked")
    assert challenge(r) == {"realm": "app", "error": "invalid_token", "error_description": "The token was revoked"}
    assert r.json() == {"error": "invalid_token", "error_description": "The token was revoked", "message": "Invalid token",
                        "error_type": "RevokedTokenError"}
    assert r["Content-Type"].split(";")[0] == "application/json"


def test_every_reason_has_a_clean_challenge_and_body(main, mint, keys):
    """R6750-06, R6750-12, R6749-05"""
    bad = [mint(**{"jti": 'x"y\\\r\n'}), mint(iss='"><script>'), mint(kid='a"b\\'), mint(exp="x"), mint(nbf=4e9), mint(iat=-10**9),
           mint(iss=at.AUD), mint(header={"typ": "logout+jwt"}), mint(token_use="id"), mint(key=keys.other["p256"]), "a.b.c", "é", "x",
           mint(header={"alg": "none"})]
    for token in bad:
        r = main.bearer(PAGE, token)
        assert r.status == 401
        for text in challenge(r).values():
            assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]*", text), text
        assert set(r.json()) <= {"error", "error_description", "message", "error_type"}
        assert r["Cache-Control"] == "no-store"


def test_two_tokens_are_an_invalid_request(main, mint):
    """R6750-02, R6750-03, R6750-09"""
    token = mint()
    r = main.get(PAGE, "Authorization: Bearer " + token, "Authorization: Bearer " + token)
    assert (r.status, r.reason) == (400, "multiple_tokens")
    assert challenge(r)["error"] == "invalid_request"
    assert r.json()["error"] == "invalid_request"
    assert r["Cache-Control"] == "no-store"


def test_a_good_token_of_the_wrong_user_is_403(main, mint):
    """R6750-10"""
    main.expect_log("AH01631|AH01630")
    r = main.bearer("/p/only-bob/ok.txt", mint())
    assert (r.status, r.reason) == (403, "insufficient_scope")
    assert challenge(r)["error"] == "insufficient_scope" and challenge(r)["realm"] == "only-bob"
    assert r.json()["error"] == "insufficient_scope"
    assert r["Cache-Control"] == "no-store"
    passes(main, mint(sub="bob"), "/p/only-bob/ok.txt", "bob")
    assert main.get("/p/only-bob/ok.txt").status == 401


def test_a_bad_token_where_the_user_is_wrong_too_is_401(main, mint):
    assert main.bearer("/p/only-bob/ok.txt", mint(exp=1000)).status == 401


def test_require_any_lets_in_by_address_without_a_token(main, mint):
    r = main.get("/p/bob-or-here/ok.txt")
    assert (r.status, r.reason) == (200, None)
    assert main.bearer("/p/bob-or-here/ok.txt", mint(sub="bob")).status == 200


def test_require_all_and_none_are_honoured(main, mint):
    main.expect_log("AH01631|AH01630")
    assert main.bearer("/p/alice-not-here/ok.txt", mint()).status in (401, 403)
    assert main.bearer("/p/not-mallory/ok.txt", mint()).status == 200
    assert main.bearer("/p/not-mallory/ok.txt", mint(sub="mallory")).status == 403
    assert main.get("/p/not-mallory/ok.txt").status == 401


@pytest.mark.parametrize("accept, html", [
    (BROWSER, True), ("Accept: text/html", True), ("Accept: application/xhtml+xml", True), ("Accept: TEXT/HTML;level=1", True),
    ("Accept: text/html, application/json;q=0.5", True), ("Accept: application/json, text/html;q=0.9", False),
    ("Accept: text/html;q=0", False), ("Accept: text/html, application/json", False), ("Accept: */*", False), ("Accept: text/*", False),
    ("Accept: application/json", False), ("Accept: application/problem+json, text/html;q=0.1", False), ("Accept:", False),
    ("X-None: 1", False), ("Accept: text/htmlx", False), ("Accept: ,;q=,text", False),
], ids=str)
def test_only_who_asks_for_html_gets_html(main, mint, accept, html):
    for r in (main.get(PAGE, accept), main.bearer(PAGE, mint(exp=1000), accept)):
        assert r.status == 401 and r["WWW-Authenticate"].startswith('Bearer realm="app"')
        assert r["Content-Type"].split(";")[0] == ("text/html" if html else "application/json")
        assert r["Cache-Control"] == "no-store"
        assert (b"<html>" in r.body) == html
        if not html:
            json.loads(r.body)


def test_an_error_document_replaces_the_page_for_browsers(site, mint):
    """R6750-06, H3: the challenge stays."""
    r = site.get("/p/error-page/ok.txt", BROWSER)
    assert r.status == 401 and "our own page" in r.text
    assert r["WWW-Authenticate"] == 'Bearer realm="error-page"' and r["Cache-Control"] == "no-store"
    r = site.bearer("/p/error-page/ok.txt", mint(exp=1000), BROWSER)
    assert r.status == 401 and "our own page" in r.text and challenge(r)["error"] == "invalid_token"
    r = site.get("/p/error-text/ok.txt", BROWSER)
    assert r.status == 401 and r.text.strip() == "just text" and r["WWW-Authenticate"] == 'Bearer realm="error-text"'


def test_an_error_document_does_not_replace_json(site, mint):
    r = site.bearer("/p/error-page/ok.txt", mint(exp=1000), "Accept: application/json")
    assert r.status == 401 and r.json()["error"] == "invalid_token"


def test_an_error_document_for_403_works(site, mint):
    site.expect_log("AH01631")
    r = site.bearer("/p/error-bob/ok.txt", mint(), BROWSER)
    assert r.status == 403 and "not for you" in r.text and challenge(r)["error"] == "insufficient_scope"


def test_head_is_refused_like_get_without_a_body(main):
    with main.connect() as c:
        head = c.request("HEAD", PAGE)
        get = c.request("GET", PAGE)
    assert head.status == get.status == 401
    assert head["WWW-Authenticate"] == get["WWW-Authenticate"] and head["Cache-Control"] == "no-store"
    assert head["Content-Type"] == get["Content-Type"] and get.json()


def test_a_refused_post_leaves_the_connection_in_step(main, mint):
    """The body of the refused request is not the next request."""
    body = "GET /p/app/ok.txt HTTP/1.1\r\nHost: x\r\n\r\n"
    with main.connect() as c:
        assert c.request("POST", PAGE, "Content-Type: text/plain", body=body).status == 401
        assert c.request("POST", PAGE, "Content-Type: text/plain", "Authorization: Bearer x.y.z", body=body * 500).status == 401
        r = c.request("GET", PAGE, "Authorization: Bearer " + mint())
        assert (r.status, r.text) == (200, "the protected page\n")


def test_a_refused_chunked_post_leaves_the_connection_in_step(main, mint):
    with main.connect() as c:
        c.send_raw(f"POST {PAGE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".encode())
        assert c.receive().status == 401
        assert c.request("GET", PAGE, "Authorization: Bearer " + mint()).status == 200


def test_a_client_that_waits_for_100_is_refused_at_once(main):
    """It need not send the body: the refusal is the answer, and no 100 comes before it."""
    with main.connect() as c:
        c.send_raw(f"POST {PAGE} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n".encode())
        r = c.receive(interim=True)
        assert r.status == 401
        assert H2 or (r["Connection"] == "close" and c.ended())


def test_pipelined_requests_are_judged_one_by_one(main, mint):
    good, bad = mint(), mint(exp=1000)
    with main.connect() as c:
        for token in (good, bad, good, None, good):
            c.send("GET", PAGE, *(["Authorization: Bearer " + token] if token else []))
        seen = [c.receive() for _ in range(5)]
    assert [r.status for r in seen] == [200, 401, 200, 401, 200]
    assert [r.reason for r in seen] == [None, "expired", None, "no_token", None]


def test_headers_of_the_administrator_stand_on_refusals_too(site, mint):
    r = site.get("/p/headers/ok.txt")
    assert r.status == 401 and r["X-Frame-Options"] == "DENY" and r["X-Only-Good"] is None
    assert site.bearer("/p/headers/ok.txt", mint())["X-Frame-Options"] == "DENY"


def test_a_quote_in_the_realm_is_escaped(site):
    assert site.get("/p/quoted/ok.txt")["WWW-Authenticate"] == 'Bearer realm="re\\"alm"'


# ---- caches ----

def test_an_answer_reached_by_a_cookie_is_not_stored(site, mint):
    """R6750-15, H11"""
    r = site.get("/p/cookie/ok.txt", "Cookie: session=" + mint())
    assert r.status == 200
    assert "no-store" in r["Cache-Control"] and "cookie" in r["Vary"].lower()


def test_an_error_of_the_app_reached_by_a_cookie_is_not_stored(site, mint):
    r = site.get("/p/cookie/missing.txt", "Cookie: session=" + mint())
    assert r.status == 404
    assert "no-store" in r["Cache-Control"] and "cookie" in r["Vary"].lower()


def test_what_the_app_says_of_caches_stays_and_becomes_private(site, mint):
    r = site.get("/p/cookie-cc/ok.txt", "Cookie: session=" + mint())
    assert r.status == 200 and directives(r) == {"max-age=60", "private"}
    assert {"cookie", "accept-language"} <= {v.strip().lower() for v in ",".join(r.all("Vary")).split(",")}
    r = site.get("/p/cookie-private/ok.txt", "Cookie: session=" + mint())
    assert r.status == 200 and directives(r) == {"private", "max-age=5"}
    assert ",".join(r.all("Cache-Control")).count("private") == 1
    r = site.bearer("/p/cookie-cc/ok.txt", mint())
    assert r.status == 200 and directives(r) == {"max-age=60"}


def directives(r):
    return {d.strip() for d in ",".join(r.all("Cache-Control")).split(",")}


def test_no_configuration_makes_a_refusal_cacheable(site, mint):
    for r in (site.get("/p/headers/ok.txt"), site.bearer("/p/headers/ok.txt", mint(exp=1000)), site.get("/p/headers/ok.txt", BROWSER)):
        assert r.status == 401 and "no-store" in directives(r), r.headers


def test_an_answer_reached_by_a_header_may_be_stored(site, mint):
    r = site.bearer("/p/cookie/ok.txt", mint())
    assert r.status == 200 and (r["Cache-Control"] or "").find("no-store") < 0


def test_a_cookie_refusal_is_not_stored(site, mint):
    r = site.get("/p/cookie/ok.txt", "Cookie: session=" + mint(exp=1000))
    assert r.status == 401 and "no-store" in r["Cache-Control"]


def test_a_query_answer_is_private(site, mint):
    """R6750-05"""
    r = site.get("/p/query/ok.txt?access_token=" + mint())
    assert r.status == 200 and "private" in r["Cache-Control"]


def test_an_answer_reached_by_another_header_is_private(site, mint):
    r = site.get("/p/field/ok.txt", "X-Token: " + mint())
    assert r.status == 200 and "private" in r["Cache-Control"] and "x-token" in r["Vary"].lower()


# ---- pages within pages ----

def test_a_protected_part_is_not_included_for_anonymous_readers(site, mint):
    site.expect_log("unable to include .* subrequest setup returned 401")
    """H1: the page is open, its part is not."""
    r = site.get("/open/page.shtml")
    assert r.status == 200 and "open" in r.text and "the included part" not in r.text
    r = site.bearer("/open/page.shtml", mint())
    assert r.status == 200 and "the included part" in r.text
    r = site.bearer("/open/page.shtml", mint(exp=1000))
    assert r.status == 200 and "the included part" not in r.text


def test_a_protected_part_of_a_protected_part_is_included(site, mint):
    r = site.bearer("/open/deep.shtml", mint())
    # mod_include shows a nested page the outermost page's variables, which is open and knows no user.
    assert "outer [the included part" in r.text
    r = site.bearer("/inc/outer.shtml", mint())
    assert "the included part" in r.text and "user=alice" in r.text


def test_the_rules_of_the_included_part_hold(site, mint):
    site.expect_log("unable to include .* subrequest setup returned 403")
    site.expect_log("AH01631|AH01630")
    assert "for bob" not in site.bearer("/open/exec.shtml", mint()).text
    assert "for bob" in site.bearer("/open/exec.shtml", mint(sub="bob")).text


def test_a_directory_index_is_protected(site, mint):
    r = site.get("/inc/")
    assert r.status == 401 and "inside" not in r.text
    r = site.bearer("/inc/", mint())
    assert (r.status, r.user) == (200, "alice") and "inside index" in r.text


def test_a_rewritten_path_is_protected_where_it_ends(site, mint):
    site.expect_log("AH01631|AH01630")
    assert site.get("/short").status == 401
    assert site.bearer("/short", mint()).text == "the included part\n"
    assert site.bearer("/hop", mint()).status == 403
    assert site.bearer("/hop", mint(sub="bob")).text == "for bob\n"


def test_an_htaccess_file_may_ask_for_tokens(site, mint):
    r = site.get("/ht/ok.txt")
    assert r.status == 401 and r["WWW-Authenticate"] == 'Bearer realm="from htaccess"'
    passes(site, mint(), "/ht/ok.txt")


def test_other_kinds_of_authentication_are_left_alone(site, mint):
    """H2"""
    r = site.get("/basic/ok.txt")
    assert r.status == 401 and r["WWW-Authenticate"].startswith("Basic ") and r["Cache-Control"] is None
    assert b"<html>" in r.body
    assert site.get("/basic/ok.txt", "Authorization: Basic Y2Fyb2w6c2VjcmV0").status == 200
    site.expect_log("AH01614|AH01617|AH01618")
    r = site.get("/basic/ok.txt", "Authorization: Basic Y2Fyb2w6d3Jvbmc=")
    assert r.status == 401 and r["WWW-Authenticate"].startswith("Basic ")
    r = site.bearer("/basic/ok.txt", mint())
    assert r.status == 401 and r["WWW-Authenticate"].startswith("Basic ")


def test_open_pages_stay_open(site, mint):
    for path in ("/none/ok.txt", "/typed-none/ok.txt", "/errors/401.html"):
        assert site.get(path).status == 200
        assert site.bearer(path, mint(exp=1000)).status == 200


@pytest.mark.parametrize("path", ["//p//app//ok.txt", "/p/./app/ok.txt", "/p/x/../app/ok.txt", "/p/%61pp/ok.txt", "/p/app/./ok.txt"])
def test_another_spelling_of_the_path_is_protected_too(main, path):
    r = main.get(path)
    assert r.status in (401, 404, 400) and b"protected page" not in r.body


def test_the_reason_is_in_the_log(main, mint):
    for reason, token in (("expired", mint(exp=1000)), ("malformed", "x.y"), ("-", mint())):
        mark = "reason-" + reason
        main.bearer(PAGE, token, "X-Mark: " + mark)
        assert main.access_line(mark).split()[2] == reason


def test_the_error_log_holds_no_token(main, mint, keys):
    """SBCP-05"""
    for token in (mint(exp=1000), mint(key=keys.other["p256"]), mint()):
        main.bearer(PAGE, token)
        main.revoke(token)
        main.bearer(PAGE, token)
        log = main.error_log()
        for part in token.split(".")[1:]:
            assert part not in log
