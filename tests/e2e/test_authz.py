"""Who may be here, by claims and scopes: docs/DIRECTIVES.md, Authorization."""

import time

import pytest

from database import Database
from httpd import ALIAS, endpoint, protected
from issuers import issuer, jwks, write_keys
from storing import Halt, until
from test_answers import challenge
from test_accept import passes

ANONYMOUS = (401, "no_token")
LACKS = (403, "insufficient_scope")
GOOD = (200, None)

LOCATIONS = (
    protected("role", "Require token-claim role admin editor")
    + protected("spaced", 'Require token-claim role "chief of staff"')
    + protected("path", "Require token-claim realm_access.roles ops")
    + protected("level", "Require token-claim level 7 1.5 true")
    + protected("mail", r'Require token-claim email ~ "^[a-z]+@example\.(com|org)$"')
    + protected("loose", "Require token-claim groups ~ wiki")
    + protected("bomb", 'Require token-claim name ~ "^(a|a?)+$"')
    + protected("not-bomb", "<RequireAll>", "Require valid-user", 'Require not token-claim name ~ "^(a|a?)+$"', "</RequireAll>")
    + protected("scope", "Require token-scope read write")
    + protected("scopes-any", "Require token-scope read", "Require token-scope admin write", "Require token-scope read")
    + protected("scopes-all", "<RequireAll>", "Require token-scope read", "Require user alice", "</RequireAll>")
    + protected("quoted", 'AuthName "re\\"alm"', "Require token-scope read")
    + protected("asked", 'AuthName "%{req:X-Realm}"', "Require token-scope read")
    + protected("not-role", "<RequireAll>", "Require valid-user", "Require not token-claim role banned", "</RequireAll>")
    + protected("not-scope", "<RequireAll>", "Require valid-user", "Require not token-scope guest", "</RequireAll>")
    + protected("none", "<RequireAll>", "Require token-claim role admin", "<RequireNone>", "Require token-claim level 0",
                "Require token-scope guest", "</RequireNone>", "</RequireAll>")
    + protected("nested", "<RequireAny>", "<RequireAll>", "Require token-claim role admin", "Require token-scope write",
                "</RequireAll>", "<RequireAll>", "Require user root", "Require token-claim level 9", "</RequireAll>", "</RequireAny>")
    + protected("or-here", "<RequireAny>", "Require token-claim role admin", "Require ip 127.0.0.1", "</RequireAny>")
    + protected("here-too", "<RequireAll>", "Require ip 10.9.9.9", "Require token-claim role admin", "</RequireAll>")
    + protected("posts", "<Limit POST>", "Require token-scope write", "</Limit>", "<LimitExcept POST>", "Require token-scope read",
                "</LimitExcept>")
    + protected("forbidden", "AuthzSendForbiddenOnFailure On", "Require token-scope read")
    + protected("cookie", "TokRevokeTokenFrom cookie=session", "TokRevokeStripToken On", "Require token-claim role admin")
    + protected("expr", "Require expr \"token_claim('role') == 'admin'\"")
    + protected("expr-cookie", "TokRevokeTokenFrom cookie=session", "TokRevokeStripToken On",
                "Require expr \"token_claim('role') == 'admin'\"")
    + protected("expr-user", "Require expr \"token_claim('role') == 'admin' && %{REMOTE_USER} == 'alice'\"")
    + protected("expr-not", "<RequireAll>", "Require all granted", "Require not expr \"token_claim('role') == 'banned'\"",
                "</RequireAll>")
    + protected("expr-in", "Require expr \"'ops' in token_claim('realm_access.roles')\"")
    + protected("expr-open", "Require all granted", "<If \"token_claim('role') == 'admin'\">", "Header set X-If admin", "</If>",
                'Header set X-Claim "expr=[%{token_claim:sub}]"')
    + protected("expr-open-cookie", "TokRevokeTokenFrom cookie=session", "Require all granted",
                "<If \"token_claim('role') == 'admin'\">", "Header set X-If admin", "</If>")
    + protected("uses", "TokRevokeTokenFrom header cookie=session", "Require valid-user",
                "<If \"token_claim('role') == 'admin'\">", "Header always set X-If admin", "</If>",
                "SetEnvIfExpr \"token_claim('realm_access.roles') =~ /(.*)/\" ROLES=$1",
                'Header always set X-Roles "%{ROLES}e"',
                'Header always set X-Claim "expr=[%{token_claim:name}]"',
                'Header always set X-None "expr=[%{token_claim:none}]"',
                'RequestHeader set X-Level "expr=%{token_claim:level}"',
                'Header always set X-Level "expr=%{req:X-Level}"')
    + protected("late", "Require valid-user", Halt.lines("Header always"),
                'Header always set X-Claim "expr=[%{token_claim:sub}]"')
    + protected("own-page", "Require token-scope read", 'ErrorDocument 403 /errors/403.shtml', 'ErrorDocument 401 /errors/401.shtml')
    + protected("two-sources", "TokRevokeTokenFrom cookie=session", "TokRevokeUserClaim name", "Require all granted",
                "<If \"-n req('X-Other')\">", "TokRevokeTokenFrom cookie=other", "TokRevokeUserClaim sub", "</If>",
                'Header set X-Claim "expr=[%{token_claim:sub}]"',
                "<If \"token_claim('role') == 'admin'\">", "Header set X-If admin", "</If>")
    + protected("typed", 'AuthType "%{token_claim:none}Bearer"', "Require expr \"token_claim('role') == 'admin'\"")
    + protected("no-guest-but-bob", "<RequireAll>", "Require not token-scope guest", "<RequireNone>", "Require token-scope visitor",
                "</RequireNone>", "Require user bob", "</RequireAll>")
    + protected("lost", "Require expr \"token_claim('role') == 'admin'\"", "ErrorDocument 401 /elsewhere/ok.txt",
                "ErrorDocument 403 /p/expr-open/ok.txt")
    + protected("optional-role", "TokRevokeOptional On", "Require token-claim role admin")
    + protected("optional-scope", "TokRevokeOptional On", "Require token-scope read")
    + protected("optional-expr", "TokRevokeOptional On", "Require expr \"token_claim('role') == 'admin'\"")
    + protected("optional-not", "TokRevokeOptional On", "<RequireAll>", "Require valid-user", "Require not token-claim role banned",
                "</RequireAll>")
    + protected("optional-open", "TokRevokeOptional On", "TokRevokeTokenFrom cookie=session", "TokRevokeStripToken On",
                "Require all granted", 'Header set X-Claim "expr=[%{token_claim:sub}]"')
    + protected("told", "TokRevokeClaimHeader X-Name name", "Require all granted", 'Header set X-Claim "expr=[%{token_claim:sub}]"')
    + protected("login", "TokRevokeTokenFrom cookie=session", 'TokRevokeLoginURL "/login?next={url}"',
                "Require expr \"token_claim('role') == 'admin'\"")
    + protected("rewritten", "Require valid-user", "RewriteEngine On", "RewriteCond expr \"token_claim('role') != 'admin'\"",
                'RewriteRule "." "-" [F]')
    + '<Location "/elsewhere/">\n'
      'Header always set X-Claim "expr=[%{token_claim:sub}]"\n</Location>\nAlias "/elsewhere/" "{root}/htdocs/"\n'
    + '<Location "/basic/">\nAuthType Basic\nAuthName basic\nAuthBasicProvider file\nAuthUserFile "{root}/conf/passwords"\n'
      "Require token-claim role admin\nRequire token-scope read\n</Location>\n"
      'Alias "/basic/" "{root}/htdocs/"\n'
    + '<AuthzProviderAlias token-scope readers "read list">\n</AuthzProviderAlias>\n' + protected("alias", "Require readers")
    + '<Directory "{root}/htdocs/ht">\nAllowOverride AuthConfig\n</Directory>\n'
    + '<Directory "{root}/htdocs/ssi">\nOptions +Includes\n</Directory>\nAddType text/html .shtml\nAddOutputFilter INCLUDES .shtml\n'
    + protected("ssi", "Require valid-user")
    + '<Directory "{root}/htdocs/errors">\nOptions +Includes\n</Directory>\n'
)


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    write_keys(server, keys)
    for name, text in {
        "ht/.htaccess": 'AuthType Bearer\nAuthName ht\nRequire token-scope read\n', "ht/ok.txt": "the protected page\n",
        "errors/401.shtml": "unknown [<!--#if expr=\"-n token_claim('sub')\" -->known<!--#endif -->]\n",
        "errors/403.shtml": "not you, [<!--#if expr=\"token_claim('sub') == 'alice'\" -->alice<!--#endif -->]\n",
        "ssi/open.shtml": '[<!--#include virtual="/p/scope/ok.txt" -->]\n',
        "ssi/page.shtml": "<!--#if expr=\"token_claim('role') == 'admin'\" -->for admins<!--#else -->for others<!--#endif -->\n",
    }.items():
        (server.root / "htdocs" / name).parent.mkdir(exist_ok=True)
        server.write("htdocs/" + name, text)
    server.halt = Halt(server)
    server.write("conf/passwords", "carol:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")  # the password is "secret"
    server.expect_log("AH01630|AH01631|AH01629", always=True)
    # Whatever $ means to other patterns: to ours the end.
    return server.start("RegexDefaultOptions -DOLLAR_ENDONLY\n" + issuer("https://idp.test/", jwks("all")) + ALIAS + LOCATIONS
                        + endpoint("/revoke"))


def said(r):
    return r.status, r.reason


def asks(site, mint, where, **claims):
    return said(site.bearer(f"/p/{where}/ok.txt", mint(**claims)))


# ---- token-claim ----

@pytest.mark.parametrize("where, good, claims", [
    ("role", True, {"role": "admin"}), ("role", True, {"role": "editor"}), ("role", True, {"role": ["reader", "editor"]}),
    ("role", False, {}), ("role", False, {"role": None}), ("role", False, {"role": "Admin"}), ("role", False, {"role": "admins"}),
    ("role", False, {"role": "admin editor"}), ("role", False, {"role": ["admins", "reader"]}), ("role", False, {"role": []}),
    ("role", False, {"role": {"admin": True}}), ("role", False, {"role": [["admin"]]}), ("role", False, {"role": [{"a": "admin"}]}),
    ("role", False, {"role": '["admin"]'}), ("role", False, {"role": "admin\n"}), ("role", False, {"role": ""}),
    ("spaced", True, {"role": "chief of staff"}), ("spaced", False, {"role": "chief"}),
    ("path", True, {"realm_access": {"roles": ["dev", "ops"]}}), ("path", True, {"realm_access.roles": "ops"}),
    ("path", False, {"realm_access": {"roles": {"ops": 1}}}), ("path", False, {"realm_access": ["ops"]}), ("path", False, {"roles": "ops"}),
    ("level", True, {"level": 7}), ("level", True, {"level": "7"}), ("level", True, {"level": 1.5}), ("level", True, {"level": True}),
    ("level", True, {"level": [0, 7]}), ("level", False, {"level": 70}), ("level", False, {"level": False}),
    ("level", False, {"level": None}), ("level", False, {"level": "07"}),
    ("mail", True, {"email": "a@example.com"}), ("mail", True, {"email": ["x", "a@example.org"]}),
    ("mail", False, {"email": "a@example.com\n"}), ("mail", False, {"email": "a@example.com.evil.test"}), ("mail", False, {}),
    ("mail", False, {"email": "x\na@example.com"}),
    ("loose", True, {"groups": ["our-wiki-users"]}), ("loose", False, {"groups": ["our", "users"]}),
    ("loose", False, {"groups": {"wiki": 1}}), ("loose", False, {"groups": None}),
], ids=str)
def test_a_claim_lets_in_by_one_of_its_values(site, mint, where, good, claims):
    assert asks(site, mint, where, **claims) == (GOOD if good else LACKS)


def test_where_a_claim_is_asked_for_a_token_is_needed(site, mint):
    """R6750-07, R6750-08"""
    r = site.get("/p/role/ok.txt")
    assert said(r) == ANONYMOUS and challenge(r) == {"realm": "role"}
    r = site.bearer("/p/role/ok.txt", mint(role="admin", exp=1000))
    assert said(r) == (401, "expired") and challenge(r)["error"] == "invalid_token"
    token = mint(role="admin")
    passes(site, token, "/p/role/ok.txt")
    assert site.revoke(token).status == 200
    assert said(site.bearer("/p/role/ok.txt", token)) == (401, "revoked")


def test_a_claim_that_is_not_met_names_no_scope(site, mint):
    r = site.bearer("/p/role/ok.txt", mint(scope="read"))
    assert said(r) == LACKS and challenge(r)["error"] == "insufficient_scope" and "scope" not in challenge(r)


def test_a_pattern_that_takes_too_long_lets_nobody_in(site, mint):
    for where in ("bomb", "not-bomb"):
        site.expect_log("TR061: ")
        assert site.bearer(f"/p/{where}/ok.txt", mint(name="a" * 9000 + "!")).status == 500
    assert asks(site, mint, "bomb", name="aaa") == GOOD
    assert asks(site, mint, "not-bomb", name="aaa") == LACKS
    assert asks(site, mint, "not-bomb", name="b") == GOOD


# ---- token-scope ----

@pytest.mark.parametrize("good, claims", [
    (True, {"scope": "read write"}), (True, {"scope": "x write y read"}), (True, {"scp": ["write", "read"]}),
    (True, {"scp": "read write"}), (True, {"scope": ["read", "write"]}), (True, {"scope": "read", "scp": "write"}),
    (False, {}), (False, {"scope": "read"}), (False, {"scope": "reads writes"}), (False, {"scope": "readwrite"}),
    (False, {"scope": "Read Write"}), (False, {"scope": "read,write"}), (False, {"scope": "read\twrite"}), (False, {"scope": ["read write"]}),
    (False, {"scope": {"read": 1, "write": 1}}), (False, {"scope": None}), (False, {"scopes": "read write"}), (False, {"scope": True}),
    (False, {"scope": [["read", "write"]]}), (False, {"scp": []}), (False, {"scope": ""}),
], ids=str)
def test_all_scopes_that_are_asked_for_must_be_there(site, mint, good, claims):
    """R9068-08, R9068-10"""
    assert asks(site, mint, "scope", **claims) == (GOOD if good else LACKS)


def test_the_challenge_names_the_scopes_that_are_asked_for(site, mint):
    """R6750-10"""
    r = site.bearer("/p/scope/ok.txt", mint(scope="read"))
    assert r.status == 403
    assert challenge(r) == {"realm": "scope", "error": "insufficient_scope", "scope": "read write",
                            "error_description": "The token does not give access to this resource"}
    assert r.json() == {"error": "insufficient_scope", "message": "Insufficient scope",
                        "error_description": "The token does not give access to this resource"}
    assert r["Cache-Control"] == "no-store"


def test_scopes_of_several_lines_are_named_once(site, mint):
    assert challenge(site.bearer("/p/scopes-any/ok.txt", mint()))["scope"] == "read admin write"
    assert asks(site, mint, "scopes-any", scope="read") == GOOD
    assert asks(site, mint, "scopes-any", scope="write admin") == GOOD
    assert challenge(site.bearer("/p/alias/ok.txt", mint()))["scope"] == "read list"
    assert asks(site, mint, "alias", scope="list read") == GOOD


def test_only_scopes_that_would_help_are_named(site, mint):
    r = site.bearer("/p/scopes-all/ok.txt", mint(sub="bob", scope="read"))
    assert said(r) == LACKS and "scope" not in challenge(r)
    for claims in ({"scope": "guest"}, {"scope": "guest read"}):
        r = site.bearer("/p/not-scope/ok.txt", mint(**claims))
        assert said(r) == LACKS and "scope" not in challenge(r)
    r = site.bearer("/p/none/ok.txt", mint(role="admin", level=0))
    assert said(r) == LACKS and "scope" not in challenge(r)
    r = site.bearer("/p/no-guest-but-bob/ok.txt", mint())
    assert said(r) == LACKS and "scope" not in challenge(r)
    assert asks(site, mint, "no-guest-but-bob", sub="bob") == GOOD
    assert "scope" not in challenge(site.get("/p/scope/ok.txt"))
    assert "scope" not in challenge(site.bearer("/p/scope/ok.txt", mint(exp=1000)))


@pytest.mark.parametrize("name, realm", [('a"b', r'a\"b'), ("a\\", r"a\\"), (r'a\"b', r'a\"b'), (r"CORP\users", r"CORP\\users"),
                                         ('x", error="y', r'x\", error=\"y'), ("a\\\\", r"a\\")])
def test_no_realm_breaks_the_challenge(site, mint, name, realm):
    assert challenge(site.bearer("/p/asked/ok.txt", mint(), "X-Realm: " + name)) == {
        "realm": realm, "error": "insufficient_scope", "scope": "read",
        "error_description": "The token does not give access to this resource"}
    assert challenge(site.get("/p/asked/ok.txt", "X-Realm: " + name)) == {"realm": realm}
    assert challenge(site.bearer("/p/quoted/ok.txt", mint()))["realm"] == r're\"alm'


def test_a_browser_gets_the_scopes_too(site, mint):
    r = site.bearer("/p/scope/ok.txt", mint(), "Accept: text/html")
    assert r.status == 403 and b"<html>" in r.body and challenge(r)["scope"] == "read write"


def test_httpds_own_way_to_send_403_changes_nothing(site, mint):
    r = site.bearer("/p/forbidden/ok.txt", mint())
    assert said(r) == LACKS and challenge(r)["scope"] == "read"


def test_methods_may_ask_for_different_scopes(site, mint):
    reader, writer = mint(scope="read"), mint(scope="write")
    assert site.bearer("/p/posts/ok.txt", reader).status == 200
    r = site.bearer("/p/posts/ok.txt", reader, method="POST")
    assert r.status == 403 and challenge(r)["scope"] == "write"
    r = site.bearer("/p/posts/ok.txt", writer)
    assert r.status == 403 and challenge(r)["scope"] == "read"
    assert site.bearer("/p/posts/ok.txt", writer, method="POST").status not in (401, 403)


# ---- together ----

@pytest.mark.parametrize("where, good, claims", [
    ("not-role", True, {"role": "reader"}), ("not-role", True, {}), ("not-role", False, {"role": "banned"}),
    ("not-role", False, {"role": ["reader", "banned"]}),
    ("not-scope", True, {"scope": "read"}), ("not-scope", False, {"scope": "read guest"}),
    ("none", True, {"role": "admin"}), ("none", True, {"role": "admin", "level": 1, "scope": "read"}),
    ("none", False, {"role": "admin", "level": 0}), ("none", False, {"role": "admin", "scope": "guest"}), ("none", False, {}),
    ("nested", True, {"role": "admin", "scope": "write"}), ("nested", True, {"sub": "root", "level": 9}),
    ("nested", False, {"role": "admin"}), ("nested", False, {"sub": "root", "scope": "write"}), ("nested", False, {"level": 9}),
    ("here-too", False, {"role": "admin"}),
], ids=str)
def test_claims_and_scopes_go_into_groups_of_require(site, mint, where, good, claims):
    if where == "here-too":
        assert asks(site, mint, where, **claims)[0] == 403
    else:
        assert asks(site, mint, where, **claims) == (GOOD if good else LACKS)


@pytest.mark.parametrize("where", ["not-role", "not-scope", "none", "nested", "role", "scope", "alias"])
def test_groups_want_a_token_first(site, mint, where):
    r = site.get(f"/p/{where}/ok.txt")
    assert said(r) == ANONYMOUS and challenge(r) == {"realm": where if where != "quoted" else ""}
    assert said(site.bearer(f"/p/{where}/ok.txt", "x.y.z")) == (401, "malformed")


def test_who_may_enter_without_a_token_need_not_bring_one(site, mint):
    assert site.get("/p/or-here/ok.txt").status == 200
    assert site.bearer("/p/or-here/ok.txt", mint()).status == 200


@pytest.mark.parametrize("where, claims", [("optional-role", {"role": "admin"}), ("optional-scope", {"scope": "read"}),
                                           ("optional-expr", {"role": "admin"})])
def test_the_anonymous_of_an_optional_location_have_no_claims(site, mint, where, claims):
    path = f"/p/{where}/ok.txt"
    r = site.get(path)
    assert said(r) == ANONYMOUS and challenge(r) == {"realm": where}
    assert said(site.bearer(path, mint(exp=1000, **claims))) == (401, "expired")
    r = site.bearer(path, mint())
    assert said(r) == LACKS and challenge(r).get("scope") == claims.get("scope")
    passes(site, mint(**claims), path)


def test_an_optional_location_may_turn_away_by_a_claim(site, mint):
    assert said(site.get("/p/optional-not/ok.txt")) == GOOD
    passes(site, mint(), "/p/optional-not/ok.txt")
    assert asks(site, mint, "optional-not", role="banned") == LACKS


def test_an_optional_location_shows_claims_of_good_tokens(site, mint):
    assert site.get("/p/optional-open/ok.txt")["X-Claim"] == "[]"
    assert site.get("/p/optional-open/ok.txt", "Cookie: session=" + mint())["X-Claim"] == "[alice]"
    assert site.get("/p/optional-open/ok.txt", "Cookie: session=" + mint(exp=1000))["X-Claim"] == "[]"


def test_an_expression_that_lets_nobody_in_sends_browsers_to_the_login_page(site, mint):
    html = "Accept: text/html"
    r = site.get("/p/login/ok.txt", html)
    assert (r.status, r["Location"]) == (302, "/login?next=%2Fp%2Flogin%2Fok.txt")
    assert site.get("/p/login/ok.txt", html, "Cookie: session=" + mint()).status == 403
    assert site.get("/p/login/ok.txt", html, "Cookie: session=" + mint(role="admin")).status == 200
    assert site.get("/p/login/ok.txt").status == 401


def test_who_signed_in_otherwise_has_no_claims(site, mint):
    site.expect_log("AH01614")
    r = site.get("/basic/ok.txt", "Authorization: Basic Y2Fyb2w6c2VjcmV0")
    assert r.status == 401 and r["WWW-Authenticate"].startswith("Basic ")
    assert site.get("/basic/ok.txt").status == 401
    assert site.bearer("/basic/ok.txt", mint(role="admin", scope="read")).status == 401


def test_claims_of_a_token_in_a_cookie_count(site, mint):
    assert said(site.get("/p/cookie/ok.txt", "Cookie: session=" + mint(role="admin"))) == GOOD
    assert said(site.get("/p/cookie/ok.txt", "Cookie: session=" + mint())) == LACKS


def test_an_htaccess_file_may_ask_for_scopes(site, mint):
    assert said(site.get("/ht/ok.txt")) == ANONYMOUS
    r = site.bearer("/ht/ok.txt", mint(scope="reader"))
    assert said(r) == LACKS and challenge(r)["scope"] == "read"
    assert said(site.bearer("/ht/ok.txt", mint(scope="read"))) == GOOD


# ---- token_claim() ----

def test_an_expression_lets_in_by_a_claim(site, mint):
    """R6750-07, R6750-08, R6750-10: the expression is false before anybody is known, which must not end in a bare 403."""
    for where in ("expr", "expr-user"):
        path = f"/p/{where}/ok.txt"
        passes(site, mint(role="admin"), path)
        r = site.get(path)
        assert said(r) == ANONYMOUS and challenge(r) == {"realm": where}
        r = site.bearer(path, mint(role="reader"))
        assert said(r) == LACKS and challenge(r)["error"] == "insufficient_scope"
        r = site.bearer(path, mint(role="admin", exp=1000))
        assert said(r) == (401, "expired") and challenge(r)["error"] == "invalid_token"
    assert asks(site, mint, "expr-user", role="admin", sub="bob") == LACKS


def test_an_expression_lets_no_revoked_token_in(site, mint):
    token = mint(role="admin")
    passes(site, token, "/p/expr/ok.txt")
    assert site.revoke(token).status == 200
    assert said(site.bearer("/p/expr/ok.txt", token)) == (401, "revoked")


def test_who_is_let_in_by_an_expression_is_known_as_elsewhere(site, mint):
    r = site.get("/p/expr-cookie/ok.txt", "Cookie: a=b; session=" + mint(role="admin"))
    assert (r.status, r.user) == (200, "alice")
    assert "no-store" in r["Cache-Control"] and "cookie" in r["Vary"].lower()


def test_an_expression_may_turn_away_by_a_claim(site, mint):
    assert site.get("/p/expr-not/ok.txt").status == 200
    r = site.bearer("/p/expr-not/ok.txt", mint())
    assert (r.status, r.user) == (200, "alice")
    assert asks(site, mint, "expr-not", role="banned") == LACKS


def test_an_array_is_a_list_in_expressions(site, mint):
    assert asks(site, mint, "expr-in", realm_access={"roles": ["dev", "ops"]}) == GOOD
    assert asks(site, mint, "expr-in", realm_access={"roles": "ops"}) == GOOD
    for roles in (["dev", "opsx"], [], [["ops"]], None, {"ops": 1}, '["ops"]'):
        assert asks(site, mint, "expr-in", realm_access={"roles": roles}) == LACKS


def test_claims_are_there_in_every_kind_of_expression(site, mint):
    token = mint(role="admin", name="Zoë", level=7, realm_access={"roles": ["a", "b"]})
    r = site.bearer("/p/uses/ok.txt", token)
    assert r.status == 200 and r["X-If"] == "admin" and r["X-Roles"] == '["a","b"]' and r["X-None"] == "[]" and r["X-Level"] == "7"
    assert r["X-Claim"].encode("latin-1").decode() == "[Zoë]"
    r = site.bearer("/p/uses/ok.txt", mint(role="reader", level={"a": [1, None, True]}))
    assert r.status == 200 and r["X-If"] is None and r["X-Claim"] == "[]" and r["X-Level"] == '{"a":[1,null,true]}'


def test_a_token_that_is_refused_has_no_claims(site, mint, keys):
    revoked = mint(role="admin", name="x")
    assert site.revoke(revoked).status == 200
    twice = "Authorization: Bearer " + mint(role="admin", name="x")
    for headers in ((), ("Authorization: Bearer " + revoked,), ("Authorization: Bearer " + mint(role="admin", name="x", exp=1000),),
                    ("Authorization: Bearer " + mint(role="admin", name="x", key=keys.other["p256"]),), (twice, twice)):
        r = site.get("/p/uses/ok.txt", *headers)
        assert r.status in (400, 401) and r["X-If"] is None and r["X-Claim"] == "[]" and r["X-Roles"] == "", r.headers
        r = site.get("/p/expr-open/ok.txt", *headers)
        assert r.status == 200 and r["X-If"] is None and r["X-Claim"] == "[]"


def test_a_token_that_becomes_good_after_it_was_refused_has_no_claims(site, mint):
    """Its nbf is 60 seconds of clock skew ahead, and a little more: more still where the machine stands still meanwhile."""
    for ahead in (2, 10, 60):
        good_at = int(time.time()) + ahead
        with site.connect() as c:
            c.send("GET", "/p/late/ok.txt", "Authorization: Bearer " + mint(nbf=good_at + 60))
            with site.halt.held():
                was_too_early = time.time() < good_at
                time.sleep(max(0, good_at + 0.1 - time.time()))
            r = c.receive()
        if was_too_early:
            break
    assert was_too_early and r.status == 401 and r["X-Claim"] == "[]", r.headers


def test_a_token_whose_claim_cannot_be_a_header_has_no_claims(site, mint):
    """Authentication would refuse it as malformed."""
    for name, claim in (("Alice", "[alice]"), ("Alice\n", "[]")):
        assert site.bearer("/p/told/ok.txt", mint(name=name))["X-Claim"] == claim


def test_a_claim_brings_no_control_character_into_a_header(site, mint):
    """R6750-12"""
    for name in ("a\r\nX-Evil: 1", "a\nb", "\x7f", "\u0085", "a\tb"):
        r = site.bearer("/p/uses/ok.txt", mint(name=name, level=[name]))
        assert r.status == 200 and r["X-Claim"] == "[]" and r["X-Evil"] is None


def test_an_open_location_may_look_at_claims(site, mint):
    r = site.bearer("/p/expr-open/ok.txt", mint(role="admin"))
    assert r.status == 200 and r["X-If"] == "admin" and r["X-Claim"] == "[alice]" and r.user is None


def test_an_open_page_that_a_cookie_changed_is_private(site, mint):
    """R6750-15"""
    r = site.get("/p/expr-open-cookie/ok.txt", "Cookie: session=" + mint(role="admin"))
    assert r.status == 200 and r["X-If"] == "admin" and "no-store" in r["Cache-Control"] and "cookie" in r["Vary"].lower()


def test_elsewhere_no_token_is_looked_at(site, mint):
    r = site.bearer("/elsewhere/ok.txt", mint())
    assert r.status == 200 and r["X-Claim"] == "[]"


def test_claims_are_there_in_pages_of_server_side_includes(site, mint):
    server_page = "/p/ssi/ssi/page.shtml"
    assert "for admins" in site.bearer(server_page, mint(role="admin")).text
    assert "for others" in site.bearer(server_page, mint()).text


def test_a_page_includes_what_its_reader_may_see(site, mint):
    site.expect_log("unable to include .* subrequest setup returned 40[13]")
    assert "the protected page" in site.bearer("/ssi/open.shtml", mint(scope="read write")).text
    for headers in ((), ("Authorization: Bearer " + mint(scope="read"),)):
        assert "the protected page" not in site.get("/ssi/open.shtml", *headers).text


def test_an_error_page_knows_whom_it_turns_away(site, mint):
    html = "Accept: text/html"
    r = site.bearer("/p/own-page/ok.txt", mint(), html)
    assert r.status == 403 and "not you, [alice]" in r.text and challenge(r)["scope"] == "read"
    for r in (site.get("/p/own-page/ok.txt", html), site.bearer("/p/own-page/ok.txt", mint(exp=1000), html)):
        assert r.status == 401 and "unknown []" in r.text and "scope" not in challenge(r)


def test_an_error_page_is_not_asked_what_its_request_owes(site, mint):
    for headers, status, shown in (((), 401, "[]"), (("Authorization: Bearer " + mint(exp=1000),), 401, "[]"),
                                   (("Authorization: Bearer " + mint(),), 403, "[alice]")):
        r = site.get("/p/lost/ok.txt", "Accept: text/html", *headers)
        assert (r.status, r.text) == (status, "the protected page\n") and challenge(r)["realm"] == "lost"
        assert r["X-Claim"] in (None, shown)


def test_the_token_is_looked_for_where_the_configuration_says_in_the_end(site, mint):
    cookies = f"Cookie: session={mint(name='n', role='admin')}; other={mint(sub='bob')}"
    r = site.get("/p/two-sources/ok.txt", cookies)
    assert (r.status, r["X-If"], r["X-Claim"]) == (200, "admin", "[alice]")
    r = site.get("/p/two-sources/ok.txt", cookies, "X-Other: 1")
    assert (r.status, r["X-Claim"]) == (200, "[bob]")
    r = site.get("/p/two-sources/ok.txt", "Cookie: session=" + mint(role="admin"))
    assert (r.status, r["X-If"], r["X-Claim"]) == (200, None, "[]")  # a token without the user claim is none


def test_a_kind_of_authentication_that_depends_on_a_claim_ends(site, mint):
    """AuthType may be an expression, and the function asks for AuthType."""
    assert said(site.get("/p/typed/ok.txt")) == ANONYMOUS
    assert site.bearer("/p/typed/ok.txt", mint(role="admin")).status == 200
    assert site.bearer("/p/typed/ok.txt", mint()).status == 403


def test_rewriting_may_ask_for_claims(site, mint):
    passes(site, mint(role="admin"), "/p/rewritten/ok.txt")
    assert site.bearer("/p/rewritten/ok.txt", mint()).status == 403
    assert said(site.get("/p/rewritten/ok.txt")) == ANONYMOUS


@pytest.mark.parametrize("path", ["/p/expr/ok.txt", "/p/scope/ok.txt"])
def test_a_refused_post_leaves_the_connection_in_step(site, mint, path):
    good = "Authorization: Bearer " + mint(role="admin", scope="read write")
    with site.connect() as c:
        for headers in ((), ("Authorization: Bearer " + mint(),), ("Authorization: Bearer x.y.z",)):
            r = c.request("POST", path, "Content-Type: text/plain", *headers, body="GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert r.status in (401, 403) and r.json()
            assert c.request("GET", path, good).status == 200
        assert c.request("HEAD", path).status == 401


def test_claims_of_one_request_are_not_those_of_the_next(site, mint):
    with site.connect() as c:
        for _ in range(3):
            r = c.request("GET", "/p/expr-open/ok.txt", "Authorization: Bearer " + mint(role="admin"))
            assert (r["X-If"], r["X-Claim"]) == ("admin", "[alice]")
            r = c.request("GET", "/p/expr-open/ok.txt")
            assert (r["X-If"], r["X-Claim"]) == (None, "[]")
            assert c.request("GET", "/p/expr/ok.txt").status == 401


def test_while_nothing_is_known_of_revocations_no_token_has_claims(new_server, keys, mint):
    site, token = new_server(), mint(role="admin", scope="read write")
    write_keys(site, keys)
    site.expect_log("AH01630|TR023: ", always=True)
    site.start("TokRevokeMaxStaleness 2s\n" + issuer("https://idp.test/", jwks("all")) + ALIAS + protected(
        "open", "Require all granted", 'Header set X-Claim "expr=[%{token_claim:sub}]"')
        + protected("expr", "Require expr \"token_claim('role') == 'admin'\"") + protected("scope", "Require token-scope read"))
    path = Database(site).path
    assert site.bearer("/p/open/ok.txt", token)["X-Claim"] == "[alice]"
    path.rename(path.with_name("aside"))
    until(lambda: site.bearer("/p/scope/ok.txt", token).status == 503)
    r = site.bearer("/p/open/ok.txt", token)
    assert r.status == 200 and r["X-Claim"] == "[]"
    r = site.bearer("/p/expr/ok.txt", token)
    assert said(r) == (503, "unavailable") and r["WWW-Authenticate"] is None
    path.with_name("aside").rename(path)
    until(lambda: site.bearer("/p/expr/ok.txt", token).status == 200)
    assert site.bearer("/p/open/ok.txt", token)["X-Claim"] == "[alice]"


def test_an_open_page_that_may_differ_by_cookie_says_so(site):
    r = site.get("/p/expr-open-cookie/ok.txt")
    assert r.status == 200 and "cookie" in r["Vary"].lower() and r["Cache-Control"] is None


# ---- configuration ----

@pytest.mark.parametrize("line, error", [
    ("Require token-claim", "Require token-claim: it needs the name of a claim"),
    ("Require token-claim role", "Require token-claim: it needs a value"),
    ('Require token-claim role ""', "Require token-claim: a value is empty"),
    ('Require token-claim "" x', "the name of the claim is empty"),
    (f"Require token-claim {'x' * 256} y", "the name of the claim is empty or longer than 255 bytes"),
    ("Require token-claim role ~", "Require token-claim: ~ needs one pattern"),
    ('Require token-claim role ~ ""', "Require token-claim: ~ needs one pattern"),
    ("Require token-claim role ~ a b", "Require token-claim: ~ needs one pattern"),
    ('Require token-claim role ~ "(a"', 'Require token-claim: "(a" is no regular expression'),
    ("Require token-scope", "Require token-scope: it needs a scope"),
    ('Require token-scope ""', 'Require token-scope: "" is no scope'),
    ('Require token-scope "read write"', 'Require token-scope: "read write" is no scope'),
    ("Require token-scope re\\ad", "is no scope"),
    ('Require token-scope \'re"ad\'', "is no scope"),
    ("Require token-scope réad", "is no scope"),
    ("Require expr \"token_claim('') == 'x'\"", "token_claim: the name of the claim is empty"),
    (f"Require expr \"token_claim('{'x' * 256}') == 'x'\"", "token_claim: the name of the claim is empty or longer"),
], ids=lambda x: str(x)[:40])
def test_a_mistake_is_found_when_the_configuration_is_read(site, line, error):
    status, text = site.configtest(issuer("https://idp.test/", jwks("all")) + protected("x", line))
    assert status != 0 and error in text, text


def test_what_is_right_is_read(site):
    status, text = site.configtest(issuer("https://idp.test/", jwks("all")) + protected(
        "x", "Require token-claim role ~ ~", "Require token-claim role x ~ y", "Require token-scope https://api.test/read:all openid"))
    assert status == 0, text
