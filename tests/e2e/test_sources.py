"""Where tokens are looked for, and what the app behind sees of them."""

import http.server
import json
import threading

import pytest

from httpd import protected
from issuers import issuer, jwks, write_keys
from storing import until

ALL = "TokRevokeTokenFrom header header=X-Token cookie=session cookie=old query=access_token"
CGI = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
env
echo "BODY=$(cat)"
"""


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was sent, as JSON."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode("latin-1")
        answer = json.dumps({"line": self.requestline, "headers": self.headers.items(), "body": body}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def backend():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def site(new_server, keys, backend):
    server = new_server()
    server.runs_scripts = True
    write_keys(server, keys)
    server.write("cgi/env", CGI, mode=0o755)
    (server.root / "htdocs" / "cgi-index").mkdir()
    server.write("htdocs/parts.shtml", '<!--#include virtual="/p/strip/env" -->')
    server.write("htdocs/page.shtml", "<!--#printenv -->\n")
    server.write("htdocs/outer.shtml", '<!--#include virtual="/p/hop/x" -->\n')
    text = issuer("https://idp.test/", jwks("all")) + f"""
ScriptAliasMatch "^/p/[^/]+/env(/.*)?$" "{{root}}/cgi/env$1"
AliasMatch "^/p/[^/]+/dir/$" "{{root}}/htdocs/cgi-index/"
AliasMatch "^/p/[^/]+/(.*\\.(?:txt|shtml))$" "{{root}}/htdocs/$1"
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
<Directory "{{root}}/htdocs">
    Options +Includes
</Directory>
ProxyPassMatch "^/p/([^/]+)/back(.*)$" "http://127.0.0.1:{backend}/$1/back$2"
ProxyPass "/p/strip/raw" "http://127.0.0.1:{backend}/strip/raw" nocanon
LogFormat "%r|%q|%U|%{{Referer}}i|%{{Cookie}}i|%{{Authorization}}i|%{{X-Mark}}i" everything
CustomLog "{{root}}/logs/everything" everything
<Directory "{{root}}/cgi">
    CGIPassAuth On
    Options +ExecCGI
    Require all granted
</Directory>
""" + protected("all", ALL, "CGIPassAuth On") + protected("strip", ALL, "TokRevokeStripToken On", "CGIPassAuth On") + protected(
        "index", ALL, "TokRevokeStripToken On", "DirectoryIndex /p/strip/env") + protected(
        "ordered", "TokRevokeTokenFrom cookie=session header=X-Token header") + protected(
        "default", "CGIPassAuth On") + protected("case", "TokRevokeTokenFrom header=x-TOKEN cookie=Session query=Tok") + protected(
        "strip-header", "TokRevokeStripToken On", "CGIPassAuth On") + protected(
        "hop", ALL, "TokRevokeStripToken On", "CGIPassAuth On", "RewriteEngine On", 'RewriteRule "." "/p/strip/env" [END]') + protected(
        "strip-variables", ALL, "TokRevokeStripToken On", 'SetEnvIf Authorization "(.+)" HTTP_AUTHORIZATION=$1',
        'SetEnvIf Cookie "(.+)" CRUMBS=$1', 'SetEnvIf X-Flag "(.+)" FLAG=$1') + """
<Location "/o/turned">
RewriteEngine On
RewriteRule "." "/p/strip/env" [END]
</Location>
AliasMatch "^/o/(.*\\.shtml)$" "{root}/htdocs/$1"
"""
    return server.start(text)


def verdict(r):
    return r.status, r.reason, r.user


GOOD = (200, None, "alice")


def cgi_env(r):
    assert r.status == 200, r
    return dict(line.split("=", 1) for line in r.text.splitlines() if "=" in line)


# ---- which one counts ----

def test_each_source_is_found(site, mint):
    for header, query in ((f"Authorization: Bearer {mint()}", ""), (f"X-Token: {mint()}", ""), (f"Cookie: session={mint()}", ""),
                          (f"Cookie: old={mint()}", ""), ("X-None: 1", "?access_token=" + mint())):
        assert verdict(site.get("/p/all/ok.txt" + query, header)) == GOOD, header


@pytest.mark.parametrize("form", ["a=1; session={0}; b=2", "session={0}", "session={0};", ";; session={0}", "a; session={0}",
                                  'session="{0}"', "a=1;session={0};b=2", "  session={0}  ", "x=session; session={0}", "a=b=c; session={0}",
                                  "Session=x; session={0}", "xsession=x; session={0}", "session={0}; session=garbage", "=x; session={0}"])
def test_a_cookie_is_found_in_the_usual_company(site, mint, form):
    assert verdict(site.get("/p/all/ok.txt", "Cookie: " + form.format(mint()))) == GOOD


@pytest.mark.parametrize("form", ["SESSION={0}", "session2={0}", "xsession={0}", "a=session={0}", "sess={0}", "$session={0}"])
def test_another_cookie_is_no_token(site, mint, form):
    assert verdict(site.get("/p/all/ok.txt", "Cookie: " + form.format(mint()))) == (401, "no_token", None)


def test_of_two_cookies_with_one_name_the_first_counts(site, mint):
    """CK-03 decided for the first cookie."""
    bob, alice = mint(sub="bob"), mint()
    assert site.get("/p/all/ok.txt", f"Cookie: session={alice}; session={bob}").user == "alice"
    assert site.get("/p/all/ok.txt", f"Cookie: session={bob}; session={alice}").user == "bob"
    assert verdict(site.get("/p/all/ok.txt", f"Cookie: session=garbage; session={alice}")) == (401, "malformed", None)


def test_two_cookie_fields_are_read_in_their_order(site, mint):
    """H7: httpd joins them with a comma."""
    bob, alice = mint(sub="bob"), mint()
    assert site.get("/p/all/ok.txt", f"Cookie: session={alice}", f"Cookie: session={bob}").user == "alice"
    assert site.get("/p/all/ok.txt", "Cookie: a=1", f"Cookie: session={bob}").user == "bob"
    assert site.get("/p/all/ok.txt", f"Cookie: session={bob}", "Cookie: a=1").user == "bob"


def test_the_configured_order_decides_between_sources(site, mint):
    carol, bob, alice = mint(sub="carol"), mint(sub="bob"), mint()
    headers = (f"Authorization: Bearer {alice}", f"X-Token: {bob}", f"Cookie: session={carol}")
    assert site.get("/p/all/ok.txt", *headers).user == "alice"
    assert site.get("/p/all/ok.txt", *headers[1:]).user == "bob"
    assert site.get("/p/all/ok.txt", *headers[2:]).user == "carol"
    assert site.get("/p/ordered/ok.txt", *headers).user == "carol"
    assert site.get("/p/ordered/ok.txt", *headers[:2]).user == "bob"


def test_a_bad_token_is_not_made_good_by_the_next_source(site, mint):
    r = site.get("/p/all/ok.txt", f"Authorization: Bearer {mint(exp=1000)}", f"Cookie: session={mint()}")
    assert verdict(r) == (401, "expired", None)


def test_another_scheme_leaves_the_word_to_the_next_source(site, mint):
    r = site.get("/p/all/ok.txt", "Authorization: Basic YTpi", f"Cookie: session={mint()}")
    assert verdict(r) == GOOD
    for empty in ("Authorization: Bearer", "Authorization:", "X-Token:", "Cookie: x=1"):
        assert verdict(site.get("/p/all/ok.txt", empty, f"Cookie: old={mint()}")) == GOOD, empty


def test_an_empty_source_is_no_token(site):
    for header in ("X-Token:", "X-Token:   ", "Cookie: session=", 'Cookie: session=""', "Cookie:", "Cookie: session"):
        assert verdict(site.get("/p/all/ok.txt", header)) == (401, "no_token", None), header
    assert verdict(site.get("/p/all/ok.txt?access_token=")) == (401, "no_token", None)
    assert verdict(site.get("/p/all/ok.txt?access_token")) == (401, "no_token", None)


@pytest.mark.parametrize("headers, query", [
    (("Authorization: Bearer {0}", "Authorization: Bearer {0}"), ""), (("Authorization: Bearer {0}", "Authorization: Basic YTpi"), ""),
    (("Authorization: Basic YTpi", "Authorization: Bearer {0}"), ""), (("Authorization: Bearer {0}, Bearer {0}",), ""),
    (("Authorization: Bearer {0}",), "?access_token={0}"), ((), "?access_token={0}&access_token={0}"),
    ((), "?access_token={0}&x=1&access_token="), ((), "?access_token=&access_token={0}"), ((), "?access_token={0}&access%5Ftoken={0}"),
    (("X-Token: {0}", "X-Token: {0}"), ""),
], ids=str)
def test_more_than_one_token_is_refused(site, mint, headers, query):
    """R6750-02, R6750-03"""
    token = mint()
    r = site.get("/p/all/ok.txt" + query.format(token), *(h.format(token) for h in headers))
    assert r.status in (400, 401) and r.reason in ("multiple_tokens", "malformed"), r
    if "X-Token" not in str(headers):
        assert (r.status, r.reason) == (400, "multiple_tokens"), r


def test_a_query_parameter_is_found_in_the_usual_company(site, mint):
    for form in ("?a=1&access_token={0}&b=2", "?access_token={0}#x", "?&&access_token={0}", "?access%5Ftoken={0}", "?a&access_token={0}"):
        r = site.get("/p/all/ok.txt" + form.format(mint()))
        assert r.status in (200, 400) if "#" in form else verdict(r) == GOOD, form


def test_a_percent_encoded_token_is_decoded(site, mint):
    token = mint()
    encoded = "".join(f"%{ord(c):02X}" for c in token[:30]) + token[30:].replace(".", "%2e")
    assert verdict(site.get("/p/all/ok.txt?access_token=" + encoded)) == GOOD


@pytest.mark.parametrize("query", ["?xaccess_token={0}", "?access_tokenx={0}", "?ACCESS_TOKEN={0}", "?x=access_token={0}", "?token={0}"])
def test_another_parameter_is_no_token(site, mint, query):
    assert verdict(site.get("/p/all/ok.txt" + query.format(mint()))) == (401, "no_token", None)


def test_a_broken_escape_in_the_token_is_refused(site, mint):
    r = site.get(f"/p/all/ok.txt?access_token={mint()}%zz")
    assert r.status in (400, 401) and r.reason == "malformed"


def test_names_of_cookies_and_parameters_are_case_sensitive_and_of_fields_not(site, mint):
    assert verdict(site.get("/p/case/ok.txt", f"X-Token: {mint()}")) == GOOD
    assert verdict(site.get("/p/case/ok.txt", f"Cookie: Session={mint()}")) == GOOD
    assert verdict(site.get("/p/case/ok.txt", f"Cookie: session={mint()}")) == (401, "no_token", None)
    assert verdict(site.get("/p/case/ok.txt?Tok=" + mint())) == GOOD
    assert verdict(site.get("/p/case/ok.txt?tok=" + mint())) == (401, "no_token", None)
    assert verdict(site.bearer("/p/case/ok.txt", mint())) == (401, "no_token", None)


def test_a_raw_header_holds_the_token_and_nothing_else(site, mint):
    for form in ("Bearer {0}", '"{0}"', "{0} x", "{0},{0}"):
        r = site.get("/p/case/ok.txt", "X-Token: " + form.format(mint()))
        assert r.status in (400, 401) and r.reason in ("malformed", "multiple_tokens"), r


# ---- what the app sees ----

def test_without_stripping_the_app_sees_the_token(site, mint):
    token = mint()
    env = cgi_env(site.bearer("/p/all/env", token))
    assert env["HTTP_AUTHORIZATION"] == "Bearer " + token
    assert env["REMOTE_USER"] == "alice" and env["AUTH_TYPE"] == "Bearer"
    assert cgi_env(site.get("/p/all/env?access_token=" + token))["QUERY_STRING"] == "access_token=" + token


WAYS = {
    "header": (("Authorization: Bearer {0}",), ""), "field": (("X-Token: {0}",), ""), "cookie": (("Cookie: a=1; session={0}; b=2",), ""),
    "quoted cookie": (('Cookie: session="{0}"; b=2',), ""), "second cookie": (("Cookie: a=1; old={0}",), ""),
    "two cookies": (("Cookie: session={0}; x=1; session={0}; old={0}",), ""), "cookie fields": (("Cookie: a=1", "Cookie: session={0}"), ""),
    "query": ((), "?a=1&access_token={0}&b=2"), "query alone": ((), "?access_token={0}"), "escaped query": ((), "?access%5ftoken={0}&b=2"),
    "header and cookie": (("Authorization: Bearer {0}", "Cookie: session={0}; b=2"), ""),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_stripped_token_is_seen_by_nobody_behind(site, mint, way):
    """The CGI script, the proxied app, an SSI page and the access log."""
    token = mint()
    headers, query = WAYS[way]
    headers = tuple(h.format(token) for h in headers) + ("X-Mark: strip-" + way.replace(" ", "-"),)
    query = query.format(token)
    secret = token.split(".")[1]
    for path in ("env", "back", "page.shtml"):
        r = site.get(f"/p/strip/{path}{query}", *headers)
        assert r.status == 200, r
        assert secret not in r.text, (path, r.text)
        assert "alice" in r.text or path == "back"
    mark = "strip-" + way.replace(" ", "-")

    def logged(log):
        return [line for line in (site.root / "logs" / log).read_text().splitlines() if line.endswith(mark)]

    until(lambda: len(logged("everything")) >= 3 and len(logged("access")) >= 3)
    assert secret not in "".join(logged("everything"))
    assert secret not in site.access_log()


@pytest.mark.parametrize("claims", [{}, {"exp": 1}], ids=["good", "expired"])
def test_variables_made_of_a_stripped_token_do_not_hold_it(site, mint, claims):
    token = mint(**claims)
    for field in (f"Authorization: Bearer {token}", f"Cookie: a=1; session={token}; b=2"):
        r = site.get("/p/strip-variables/env", field, "X-Flag: on")
        assert r.status == (401 if claims else 200) and token not in r.text, r
    if not claims:
        env = cgi_env(r)
        assert (env["CRUMBS"], env["HTTP_COOKIE"], env["FLAG"]) == ("a=1; session=; b=2", "a=1; b=2", "on")


def test_what_is_no_token_takes_no_variable_apart(site, mint):
    env = cgi_env(site.get("/p/strip-variables/env", f"Authorization: Bearer {mint()}", "Cookie: session=on", "X-Flag: on"))
    assert env["FLAG"] == "on"


def test_a_token_is_not_seen_behind_a_redirect_or_in_a_part_of_a_page(site, mint):
    token = mint()
    env = cgi_env(site.get("/o/turned?a=1&access_token=" + token))
    assert (env["REMOTE_USER"], env["REDIRECT_QUERY_STRING"]) == ("alice", "a=1") and token not in str(env)
    r = site.get("/o/parts.shtml", "Cookie: session=" + token)
    assert "REMOTE_USER=alice" in r.text and token not in r.text, r


def test_stripping_leaves_the_rest_as_it_was(site, mint):
    token = mint()
    env = cgi_env(site.get(f"/p/strip/env/more?a=1&access_token={token}&b=%20x&c", "Cookie: a=1; session=" + token + "; b=2", "X-Other: y"))
    assert env["QUERY_STRING"] == "a=1&b=%20x&c"
    assert env["REQUEST_URI"] == "/p/strip/env/more?a=1&b=%20x&c"
    assert env["HTTP_COOKIE"] in ("a=1; b=2", "a=1;b=2") and env["HTTP_X_OTHER"] == "y" and env["PATH_INFO"] == "/more"
    assert env["REMOTE_USER"] == "alice"
    env = cgi_env(site.get(f"/p/strip/env?access_token={token}"))
    assert env["QUERY_STRING"] == "" and env["REQUEST_URI"].rstrip("?") == "/p/strip/env"
    assert "HTTP_AUTHORIZATION" not in cgi_env(site.bearer("/p/strip/env", token))
    env = cgi_env(site.get("/p/strip/env", "Cookie: session=" + token))
    assert "HTTP_COOKIE" not in env


def test_stripping_keeps_credentials_of_another_scheme(site, mint):
    env = cgi_env(site.get("/p/strip/env", "Authorization: Basic YTpi", "Cookie: session=" + mint()))
    assert env["HTTP_AUTHORIZATION"] == "Basic YTpi"


def test_a_location_strips_only_its_own_sources(site, mint):
    token = mint()
    env = cgi_env(site.get("/p/strip-header/env?access_token=x", "Authorization: Bearer " + token, "Cookie: session=mine"))
    assert "HTTP_AUTHORIZATION" not in env and env["HTTP_COOKIE"] == "session=mine" and env["QUERY_STRING"] == "access_token=x"


def test_a_proxied_app_sees_the_rest(site, mint):
    token = mint()
    r = site.get(f"/p/strip/back?a=1&access_token={token}&b=2", "Cookie: a=1; session=" + token, method="POST", body="x=1")
    seen = r.json()
    assert seen["line"] == "POST /strip/back?a=1&b=2 HTTP/1.1" and seen["body"] == "x=1"
    assert dict(seen["headers"])["Cookie"] == "a=1"


def test_an_address_that_the_proxy_takes_as_it_came_has_no_token(site, mint):
    r = site.get(f"/p/strip/raw/x?a=1&access_token={mint()}&b=%2f")
    assert r.json()["line"] == "GET /strip/raw/x?a=1&b=%2f HTTP/1.1"


def test_a_proxied_app_never_sees_a_refused_request(site, mint):
    r = site.bearer("/p/strip/back", mint(exp=1000))
    assert r.status == 401 and "line" not in r.json()


def test_a_directory_index_knows_the_user_of_a_stripped_token(site, mint):
    """The identity outlives the token: the index is another request inside."""
    for header, query in ((f"Authorization: Bearer {mint()}", ""), (f"Cookie: session={mint()}", ""), ("X-None: 1", "?access_token=" + mint())):
        r = site.get("/p/index/dir/" + query, header)
        env = cgi_env(r)
        assert env["REMOTE_USER"] == "alice"
        assert "access_token=ey" not in r.text and "session=ey" not in r.text and "Bearer ey" not in r.text


def test_a_part_of_a_page_that_is_redirected_knows_the_user_of_a_stripped_token(site, mint):
    """The page is open: what has the token is the part, before its redirect."""
    for header in (f"Authorization: Bearer {mint()}", f"Cookie: session={mint()}"):
        env = cgi_env(site.get("/outer.shtml", header))
        assert env.get("REMOTE_USER") == "alice", env


def test_a_client_cannot_name_the_user(site, mint):
    env = cgi_env(site.bearer("/p/strip/env", mint(), "Remote-User: root", "X-Remote-User: root"))
    assert env["REMOTE_USER"] == "alice"
    assert site.get("/p/strip/env", "Remote-User: root").status == 401


def test_cgi_sees_no_reason_when_the_token_was_good(site, mint):
    assert "TOKREVOKE_REASON" not in cgi_env(site.bearer("/p/all/env", mint()))
