"""What the application learns of whoever is logged in, and that nobody else can tell it that."""

import json
import re

import pytest

from backend import Backend, reply
from httpd import protected
from issuers import issuer, jwks, write_keys
from storing import until

CGI = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
cat > /dev/null
env -0 | tr '\\n\\0' '\\001\\n'
"""
PAGE = """<!--#echo var="REMOTE_USER" -->|<!--#echo var="AUTH_TYPE" -->|<!--#echo var="TOKEN_CLAIM_role" -->|\
<!--#include virtual="/open/env" -->|<!--#include virtual="/p/env/env" -->"""
ROLE = "TokRevokeClaimHeader X-Role role"
USER = "TokRevokeClaimHeader X-User sub"
WRONG = re.compile("spoof", re.I)

NO_H2 = pytest.mark.h1("HTTP/2 has no Connection")


@pytest.fixture(scope="module")
def backend():
    server = Backend()
    server.answer = lambda request: reply(json.dumps([[n, v] for n, v in request.headers]).encode())
    yield server
    server.close()


@pytest.fixture(scope="module")
def site(new_server, keys, backend):
    server = new_server()
    server.runs_scripts = True
    write_keys(server, keys)
    server.write("cgi/env", CGI, mode=0o755)
    for folder in ("indexed", "own", "mine"):
        (server.root / "htdocs" / folder).mkdir()
    server.write("htdocs/page.shtml", PAGE)
    server.write("htdocs/own/.htaccess", "TokRevokeClaimHeader X-Own role\n")
    server.write("htdocs/own/env.cgi", CGI, mode=0o755)
    server.write("htdocs/own/page.shtml", '<!--#include virtual="/open/env" -->|<!--#include virtual="/own/env.cgi" -->')
    server.write("htdocs/mine/.htaccess", "AuthType Bearer\nAuthName mine\nRequire valid-user\nTokRevokeClaimHeader X-Mine role\n")
    server.write("htdocs/mine/env.cgi", CGI, mode=0o755)
    server.write("htdocs/mine/page.shtml", '<!--#include virtual="/own/env.cgi" -->|<!--#include virtual="env.cgi" -->')
    return server.start(issuer("https://idp.test/", jwks("all")) + f"""
MergeTrailers On
ScriptAliasMatch "^/(?:p/[^/]+|open|err)/env(/.*)?$" "{{root}}/cgi/env$1"
ScriptAlias "/open/guarded" "{{root}}/cgi/env"
AliasMatch "^/p/[^/]+/(.*\\.(?:txt|shtml))$" "{{root}}/htdocs/$1"
Alias "/p/indexed/" "{{root}}/htdocs/indexed/"
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
AddHandler cgi-script .cgi
ProxyPassMatch "^/((?:p/[^/]+|open|err|own)/back.*)$" "http://127.0.0.1:{backend.port}/$1"
LogFormat "%u|%{{TOKEN_CLAIM_role}}e|%{{X-Role}}i|%{{X-Mark}}i" claims
CustomLog "{{root}}/logs/claims" claims
ErrorDocument 404 /err/env/404
<Directory "{{root}}/htdocs">
    Options +Includes +ExecCGI
</Directory>
<Directory "{{root}}/htdocs/own">
    AllowOverride AuthConfig
</Directory>
<Directory "{{root}}/htdocs/mine">
    AllowOverride AuthConfig
</Directory>
<Directory "{{root}}/cgi">
    Options +ExecCGI
    Require all granted
</Directory>
<Location "/open/">
    Require all granted
</Location>
<Location "/open/back">
    RequestHeader set X-From "expr=%{{reqenv:REDIRECT_TOKEN_CLAIM_role}}" "expr=-n reqenv('REDIRECT_TOKEN_CLAIM_role')"
</Location>
<Location "/open/guarded">
    TokRevokeGuardTokenEndpoint On
</Location>
<Location "/open/turned">
    RewriteEngine On
    RewriteRule "." "/open/guarded" [END]
</Location>
""" + protected("env", USER, ROLE) + protected("off", "TokRevokeClaimEnv Off") + protected("back", USER, ROLE) + protected(
        "plain") + protected("indexed", ROLE, "DirectoryIndex /open/env") + protected(
        "merged", "TokRevokeClaimHeader x_role acr", where="/p/back/back/merged/") + protected(
        "paths", "TokRevokeClaimHeader X-City address.city", "TokRevokeClaimHeader X-Json address",
        "TokRevokeClaimHeader X-Flag admin", "TokRevokeClaimHeader X-Level level", "TokRevokeClaimHeader X-List roles") + protected(
        "denied", USER, ROLE, "Require user nobody") + protected("closed", USER, ROLE, "ErrorDocument 401 /err/env/401") + protected(
        "rewritten", ROLE, "RewriteEngine On", "RewriteCond %{REMOTE_USER}|%{ENV:TOKEN_CLAIM_role}|%{HTTP:X-Role} ^alice\\|chief\\|chief$",
        'RewriteRule "." "/open/env?known" [END]') + protected(
        "copied", "RequestHeader set X-Copied %{TOKEN_CLAIM_role}e", 'RequestHeader set X-Expr "expr=%{REMOTE_USER}"',
        'RequestHeader set X-Reqenv "expr=%{reqenv:TOKEN_CLAIM_role}"') + protected(
        "turned", "RewriteEngine On", 'RewriteRule "." "/open/back" [END]') + protected(
        "guarded", ROLE, "TokRevokeGuardTokenEndpoint On") + protected(
        "optional", USER, ROLE, "TokRevokeOptional On", "Require all granted") + protected(
        "early", "SetEnvIf X-Role (.+) early=$1", "Require expr req('X-Role') == 'spoof'"))


def auth(token):
    return f"Authorization: Bearer {token}"


def env_of(r):
    assert r.status == 200, r
    return dict(line.split("=", 1) for line in r.text.splitlines() if "=" in line)


def claims_of(r):
    return {name[12:]: value for name, value in env_of(r).items() if name.startswith("TOKEN_CLAIM_")}


def fields_of(r, status=200):
    """What the backend got; names as it got them."""
    assert r.status == status, r
    return [tuple(field) for field in json.loads(r.body)]


def values(fields, name):
    return [v for n, v in fields if n.lower() == name.lower()]


# ---- the environment ------------------------------------------------------------------------------------------------

def test_claims_are_in_the_environment_of_scripts(site, mint):
    body = dict(role="chief", admin=True, level=7, rate=1.5, roles=["a", "b c"], gone=None, empty="", text="Zoë \"x\" \\ =",
                lines="one\ntwo")
    got = claims_of(site.get("/p/env/env", auth(mint(**body))))
    assert got["sub"] == "alice" and got["iss"] == "https://idp.test/" and got["exp"].isdigit()
    want = {"role": "chief", "admin": "true", "level": "7", "rate": "1.5", "roles": '["a","b c"]', "gone": "null", "empty": "",
            "text": 'Zoë "x" \\ =', "lines": "one\x01two"}
    assert {name: got[name] for name in want} == want


def test_a_list_cannot_be_forged_with_a_string(site, mint):
    one = claims_of(site.get("/p/env/env", auth(mint(roles=["a,b"]))))["roles"]
    two = claims_of(site.get("/p/env/env", auth(mint(roles=["a", "b"]))))["roles"]
    assert one != two and json.loads(one) == ["a,b"] and json.loads(two) == ["a", "b"]


def test_nested_claims_are_there_by_their_paths_and_as_json(site, mint):
    got = claims_of(site.get("/p/env/env", auth(mint(
        realm_access={"roles": ["x"], "deep": {"er": 1}}, **{"https://a.test/role": "r", "a-b": "c", "ü": "u"}))))
    assert json.loads(got["realm_access"]) == {"roles": ["x"], "deep": {"er": 1}}
    assert got["realm_access_roles"] == '["x"]' and got["realm_access_deep"] == '{"er":1}' and got["realm_access_deep_er"] == "1"
    assert got["https___a_test_role"] == "r" and got["a_b"] == "c" and got["__"] == "u"


COLLISIONS = {
    "the shorter path wins": ({"a": {"b": "deep"}, "a_b": "flat"}, {"a_b": "flat"}),
    "whatever their order": ({"a_b": "flat", "a": {"b": "deep"}}, {"a_b": "flat"}),
    "also when it is folded": ({"a": {"b": "deep"}, "a.b": "flat"}, {"a_b": "flat"}),
    "of two alike the one that needs no folding wins": ({"a.b": "dot", "a_b": "plain", "a-b": "dash"}, {"a_b": "plain"}),
    "of two that need it neither is there": ({"a.b": "dot", "a-b": "dash"}, {"a_b": None}),
    "of two in different case neither is there": ({"Role": "x", "role": "y"}, {"role": None, "Role": None}),
    "nor of two paths of one length": ({"a": {"b_c": 1}, "a_b": {"c": 2}}, {"a_b_c": None}),
}


@pytest.mark.parametrize("what", COLLISIONS)
def test_of_claims_that_would_share_a_name(site, mint, what):
    body, want = COLLISIONS[what]
    got = claims_of(site.get("/p/env/env", auth(mint(**body))))
    assert {name: got.get(name) for name in want} == want


def test_claims_can_be_left_out_of_the_environment(site, mint):
    r = site.get("/p/off/env", auth(mint(role="chief")))
    assert claims_of(r) == {} and env_of(r)["REMOTE_USER"] == "alice"


def test_two_thousand_claims_are_no_trouble(site, mint):
    got = claims_of(site.get("/p/env/env", auth(mint(**{f"c{i}": 1 for i in range(900)}))))
    assert len([name for name in got if name[0] == "c"]) == 900


def test_names_by_deep_paths_do_not_burst_the_environment(site, mint):
    """Each of many members at the end of a long path would have a name as long as the path."""
    deep = {f"a{i}": 1 for i in range(500)}
    for _ in range(27):
        deep = {"k" * 200: deep}
    assert "TOKEN_CLAIM_" + "k" * 200 in env_of(site.get("/p/env/env", auth(mint(**deep))))


def test_a_part_of_a_page_that_has_no_identity_gets_none(site, mint):
    """An open location inside a protected page. httpd itself lets it inherit the page's REMOTE_USER, if nothing else."""
    r = site.get("/p/plain/page.shtml", auth(mint(role="chief")))
    user, kind, role, outside, inside = r.text.split("|")
    assert (user, kind, role) == ("alice", "Bearer", "chief")
    assert "REQUEST_METHOD=" in outside and "TOKEN_CLAIM_" not in outside and "chief" not in outside
    assert "TOKEN_CLAIM_role=chief" in inside and "REMOTE_USER=alice" in inside and "HTTP_X_ROLE=chief" in inside


def test_a_redirect_inside_leaves_only_redirected_names(site, mint):
    seen = env_of(site.get("/p/rewritten/x", auth(mint(role="chief"))))
    assert seen["QUERY_STRING"] == "known"
    assert seen["REDIRECT_TOKEN_CLAIM_role"] == "chief" and "TOKEN_CLAIM_role" not in seen
    assert "HTTP_X_ROLE" not in seen and "REMOTE_USER" not in seen


def test_an_index_elsewhere_gets_no_header_of_another_place(site, mint):
    seen = env_of(site.get("/p/indexed/", auth(mint(role="chief")), "X-Role: spoof"))
    assert seen.get("HTTP_X_ROLE") in (None, "chief")


def test_who_is_known_is_told_to_logs_rewriting_and_header_rules(site, mint):
    token = mint(role="chief")
    fields = fields_of(site.get("/p/copied/back", auth(token), "X-Mark: known"))
    assert (values(fields, "X-Copied"), values(fields, "X-Expr")) == (["chief"], ["alice"])
    seen = env_of(site.get("/p/env/env", auth(token), "X-Mark: logged"))
    assert (seen["REMOTE_USER"], seen["AUTH_TYPE"]) == ("alice", "Bearer")
    assert env_of(site.get("/p/rewritten/x", auth(token)))["QUERY_STRING"] == "known"
    site.get("/p/env/env", "X-Role: spoof", "X-Mark: refused")
    until(lambda: {"alice|chief|chief|logged", "-|-|-|refused"} <= set((site.root / "logs" / "claims").read_text().splitlines()))


# ---- headers --------------------------------------------------------------------------------------------------------

SPELLINGS = ("X-Role", "x-role", "X_Role", "X-ROLE", "x.role", "X!Role", "X~ROLE", "X_rOLE")
OPEN = ("/open/back", "/own/back", "/err/back")


def test_claims_reach_the_proxied_application(site, mint):
    fields = fields_of(site.get("/p/back/back", auth(mint(role="chief"))))
    assert [(n, v) for n, v in fields if n in ("X-User", "X-Role")] == [("X-User", "alice"), ("X-Role", "chief")]


def test_any_claim_can_be_a_header(site, mint):
    body = dict(address={"city": "Zürich", "zip": 8001}, admin=False, level=3, roles=["a", "b"])
    fields = fields_of(site.get("/p/paths/back", auth(mint(**body))))
    assert values(fields, "X-City")[0].encode("latin-1").decode() == "Zürich"
    assert json.loads(values(fields, "X-Json")[0].encode("latin-1").decode()) == body["address"]
    assert [values(fields, f"X-{name}") for name in ("Flag", "Level", "List")] == [["false"], ["3"], ['["a","b"]']]


@pytest.mark.parametrize("claims", [{}, {"role": None}, {"role": " chief"}, {"role": "chief "}], ids=str)
def test_there_is_no_header_without_a_claim_that_it_can_carry(site, mint, claims):
    """A blank at an end would be lost on the way, and " chief" be taken for "chief"."""
    fields = fields_of(site.get("/p/back/back", auth(mint(**claims)), "X-Role: spoof"))
    assert values(fields, "X-Role") == [] and values(fields, "X-User") == ["alice"]


def test_an_empty_claim_is_an_empty_header(site, mint):
    assert [v.strip() for v in values(fields_of(site.get("/p/back/back", auth(mint(role="")))), "X-Role")] in ([""], [])


@pytest.mark.parametrize("role", ["a\r\nX-Admin: 1", "a\nb", "a\tb", "\x7f", "a\x1f", "\x85", ["a\u0080"], {"a": "\x7f"}], ids=repr)
def test_a_control_character_in_a_claim_for_a_header_is_malformed(site, mint, role):
    r = site.get("/p/back/back", auth(mint(role=role)))
    assert (r.status, r.reason) == (401, "malformed"), r
    assert site.get("/p/plain/back", auth(mint(role=role))).status == 200


def test_a_place_inside_replaces_the_claim_of_a_header(site, mint):
    fields = fields_of(site.get("/p/back/back/merged/x", auth(mint(role="chief", acr="high")), "X-Role: spoof"))
    assert (values(fields, "X-User"), values(fields, "X-Role"), values(fields, "x_role")) == (["alice"], [], ["high"])


@pytest.mark.parametrize("path", ["/p/back/back", "/p/plain/back", "/p/copied/back", *OPEN])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_a_header_comes_from_the_client(site, mint, path, spelling):
    """SBCP-06"""
    fields = fields_of(site.get(path, f"{spelling}: spoof", auth(mint(role="chief")), "X-Kept: kept", f"{spelling}: spoof"))
    assert not WRONG.search(str(fields)), fields
    assert values(fields, "X-Kept") == ["kept"]
    assert values(fields, "X-Role") == (["chief"] if path == "/p/back/back" else [])


@pytest.mark.parametrize("path", OPEN)
def test_nor_without_a_token_on_open_paths(site, path):
    """SBCP-06"""
    for spelling in SPELLINGS:
        fields = fields_of(site.get(path, f"{spelling}: spoof", f"{spelling}: spoof2", "X-User: spoof", "x_user: spoof"))
        assert not WRONG.search(str(fields)), fields


def test_error_documents_see_no_header_from_the_client(site, mint):
    token = mint(role="chief")
    spoofs = ("X-Role: spoof", "x_user: spoof")
    for path, who in (("/p/closed/x", ()), ("/p/closed/x", (auth(mint(exp=1)),)), ("/p/closed/x.txt", (auth(token),)),
                      ("/nowhere", ()), ("/nowhere", (auth(token),)), ("/mine/none", (auth(token),))):
        r = site.get(path, *spoofs, *who, "Accept: text/html", *(("X-Mine: spoof",) if "mine" in path else ()))
        assert r.status in (401, 404), r
        seen = dict(line.split("=", 1) for line in r.text.splitlines() if "=" in line)
        assert seen["REDIRECT_STATUS"] == str(r.status) and not WRONG.search(r.text), r
        assert not {"HTTP_X_ROLE", "HTTP_X_USER", "HTTP_X_MINE", "TOKEN_CLAIM_role", "REMOTE_USER"} & set(seen), seen


def test_a_page_put_together_of_parts_passes_nothing_on(site):
    r = site.get("/own/page.shtml", "X-Role: spoof", "X-User: spoof", "X-Own: spoof", "x-OWN: spoof2")
    assert r.status == 200 and r.text.count("REQUEST_METHOD=") == 2 and not WRONG.search(r.text), r


@NO_H2
def test_a_name_from_a_htaccess_counts_in_its_place(site, mint):
    spoofs = ("X-Own: spoof", "X-Mine: spoof")
    seen = env_of(site.get("/own/env.cgi", auth(mint(role="chief")), *spoofs))
    assert "HTTP_X_OWN" not in seen
    token = auth(mint(role="chief"))
    assert env_of(site.get("/mine/env.cgi", token, *spoofs, "Connection: x-mine, close"))["HTTP_X_MINE"] == "chief"
    r = site.get("/mine/page.shtml", token, "X-Mine: spoof", "X_Own: spoof", "X-Own: spoof")
    outside, inside = r.text.split("|")
    assert "HTTP_X_MINE" not in outside and "HTTP_X_OWN" not in outside, r
    assert "HTTP_X_MINE=chief" in inside and not WRONG.search(r.text), r


@NO_H2
@pytest.mark.parametrize("way", ["Connection: X-Role", "Connection: close, X-Role", "Connection: keep-alive,x-role ,X-User",
                                 "Connection: X_ROLE;X-Role", "Connection: foo X-Role", "Proxy-Connection: X-Role",
                                 'Connection: "X-Role"', "Connection: ,,X-Role,,", "Connection:\tX-Role\t",
                                 "Connection: keep-alive\r\nConnection: X-Role", "Keep-Alive: X-Role", "Trailer: X-Role",
                                 "TE: X-Role, trailers", "Connection: TE, X-Role\r\nTE: trailers"], ids=repr)
def test_a_client_cannot_make_the_proxy_drop_a_header(site, mint, way):
    fields = fields_of(site.get("/p/back/back", auth(mint(role="chief")), way))
    assert values(fields, "X-Role") == ["chief"] and values(fields, "X-User") == ["alice"], fields


def test_where_tokens_are_optional_only_a_good_one_makes_headers(site, mint):
    spoofs = ("X-User: spoof", "x_role: spoof")
    assert values(fields_of(site.get("/p/optional/back", auth(mint(role="chief")), *spoofs)), "X-Role") == ["chief"]
    for who in ((), (auth(mint(role="chief", exp=1)),), (auth(mint(role="a\nb")),), (auth("x.y.z"),)):
        fields = fields_of(site.get("/p/optional/back", *who, *spoofs))
        assert not WRONG.search(str(fields)) and values(fields, "X-Role") == values(fields, "X-User") == [], fields


@pytest.mark.parametrize("role", ["a\r\nX-Admin: 1", "a\nb", "a\rb", "\r\n\r\nGET / HTTP/1.1\r\n\r\n"], ids=repr)
def test_a_line_break_that_a_header_rule_takes_from_a_claim_is_malformed(site, mint, backend, role):
    backend.take()
    for path in ("/p/copied/back", "/p/turned/back"):
        r = site.get(path, auth(mint(role=role)))
        assert (r.status, r.reason) == (401, "malformed") and backend.take() == [], r


def test_a_name_of_one_virtual_host_counts_for_all(new_server, keys):
    server = new_server()
    server.runs_scripts = True
    write_keys(server, keys)
    server.write("cgi/env", CGI, mode=0o755)
    server.start(issuer("https://idp.test/", jwks("all")) + """
ScriptAlias "/env" "{root}/cgi/env"
<VirtualHost 127.0.0.1:{port}>
    ServerName one.test
    ScriptAlias "/env" "{root}/cgi/env"
    <Directory "{root}/nowhere">
        <IfModule mod_headers.c>
            TokRevokeClaimHeader X-Role role
        </IfModule>
    </Directory>
</VirtualHost>
<VirtualHost 127.0.0.1:{port}>
    ServerName two.test
    ScriptAlias "/env" "{root}/cgi/env"
</VirtualHost>
<Directory "{root}/cgi">
    Options +ExecCGI
</Directory>
""")
    for host in ("one.test", "two.test"):
        seen = env_of(server.get("/env", "X-Role: spoof", "X-Other: 1", host=host))
        assert "HTTP_X_ROLE" not in seen and seen["HTTP_X_OTHER"] == "1"
    server.next_generation()
    assert "HTTP_X_ROLE" not in env_of(server.get("/env", "X-Role: spoof", host="two.test"))


@NO_H2
def test_other_names_in_connection_still_count(site, mint):
    token = mint(role="chief")
    fields = fields_of(site.get("/p/back/back", auth(token), "X-Hop: 1", "Connection: X-Role, X-Hop"))
    assert values(fields, "X-Hop") == [] and values(fields, "X-Role") == ["chief"]
    with site.connect() as c:
        c.send("GET", "/p/back/back", auth(token), "Connection: X-Role, close")
        assert c.receive().status == 200 and c.ended()


def trailing(path, trailer, *headers):
    head = "\r\n".join((f"POST {path} HTTP/1.1", "Host: a.test", "Content-Type: application/x-www-form-urlencoded",
                        "Transfer-Encoding: chunked", *headers))
    return f"{head}\r\n\r\n3\r\na=b\r\n0\r\n{trailer}: spoof\r\nX-Kept: kept\r\n\r\n".encode()


@pytest.mark.parametrize("path", ["/open/guarded", "/open/turned"])
@pytest.mark.parametrize("spelling", ["X-Role", "x-user"])
def test_trailers_that_httpd_merges_bring_no_header(site, path, spelling):
    """Whoever reads the body before the script's environment is made has merged them by then (MergeTrailers)."""
    with site.connect() as c:
        c.send_raw(trailing(path, spelling))
        seen = env_of(c.receive())
    assert seen.get("HTTP_X_KEPT") == "kept", "the trailers were merged"
    assert not WRONG.search(str(seen)), seen


def test_trailers_leave_the_header_of_the_token(site, mint):
    with site.connect() as c:
        c.send_raw(trailing("/p/guarded/env", "X-Role", auth(mint(role="chief"))))
        seen = env_of(c.receive())
    assert (seen["HTTP_X_ROLE"], seen["HTTP_X_KEPT"]) == ("chief", "kept")


def test_access_rules_and_variables_never_see_what_the_client_sent(site, mint):
    site.expect_log("AH01630")
    r = site.get("/p/early/env", auth(mint()), "X-Role: spoof")
    assert r.status == 403, r


# ---- the directives -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("header", ["Authorization", "cookie", "Host", "Connection", "Content-Length", "content_length",
                                    "Transfer-Encoding", "TE", "Upgrade", "Trailer", "Expect", "Keep-Alive", "Origin",
                                    "Proxy-Authorization", "Proxy-Connection", "Sec-Fetch-Site", "Content-Type", "Proxy"])
def test_headers_that_http_itself_needs_are_refused(site, header):
    status, said = site.configtest(f"<Location /x>\nTokRevokeClaimHeader {header} sub\n</Location>\n")
    assert status != 0 and "TokRevokeClaimHeader" in said and header in said, said


@pytest.mark.parametrize("args", ['"" sub', "X:Y sub", '"X Y" sub', "X-Ü sub", 'X-A ""', "X-A", "X-A " + "c" * 256])
def test_what_is_no_header_or_no_claim_is_refused(site, args):
    status, said = site.configtest(f"<Location /x>\nTokRevokeClaimHeader {args}\n</Location>\n")
    assert status != 0 and "TokRevokeClaimHeader" in said, said


def test_one_header_twice_in_one_place_is_refused(site):
    status, said = site.configtest("<Location /x>\nTokRevokeClaimHeader X-A sub\nTokRevokeClaimHeader x_a jti\n</Location>\n")
    assert status != 0 and "twice" in said, said
