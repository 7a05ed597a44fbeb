"""TokRevokeOptional: a public location that knows its user when a good token is there."""

import json

import pytest

from httpd import ALIAS, endpoint, protected
from issuers import issuer, jwks, write_keys
from test_sources import CGI, backend, cgi_env  # noqa: F401 (backend is a fixture)

OPEN = ("TokRevokeOptional On", "TokRevokeTokenFrom header cookie=session query=tok", "CGIPassAuth On")
GRANTED = ("Require all granted",)
HTML = "Accept: text/html"


@pytest.fixture(scope="module")
def site(new_server, keys, backend):  # noqa: F811
    server = new_server()
    server.runs_scripts = True
    write_keys(server, keys)
    server.write("cgi/env", CGI, mode=0o755)
    (server.root / "htdocs" / "dir").mkdir()
    server.write("htdocs/dir/index.shtml", "user=<!--#echo var=\"REMOTE_USER\" -->\n")
    server.write("htdocs/page.shtml", "user=<!--#echo var=\"REMOTE_USER\" --> why=<!--#echo var=\"TOKREVOKE_REASON\" -->\n")
    server.write("htdocs/outer.shtml", '[<!--#include virtual="/p/locked/ok.txt" -->]\n')
    server.write("htdocs/note.shtml", "<!--#echo var=\"REDIRECT_TOKREVOKE_REASON\" -->\n")
    text = issuer("https://idp.test/", jwks("all")) + f"""
ScriptAliasMatch "^/p/[^/]+/env(/.*)?$" "{{root}}/cgi/env$1"
ProxyPassMatch "^/p/([^/]+)/back(.*)$" "http://127.0.0.1:{backend}/$1/back$2"
DirectoryIndex index.shtml index.html
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
<Directory "{{root}}/htdocs">
    Options +Includes
</Directory>
<Directory "{{root}}/cgi">
    CGIPassAuth On
    Options +ExecCGI
    Require all granted
</Directory>
RewriteEngine On
RewriteRule "^/p/rewritten/hello$" "-" [E=SEEN:%{{LA-U:REMOTE_USER}}]
""" + ALIAS + (
        protected("open", *OPEN, *GRANTED) + protected("user", *OPEN)
        + protected("strip", *OPEN, *GRANTED, "TokRevokeStripToken On")
        + protected("alice", *OPEN, "Require user alice", 'TokRevokeLoginURL "/login?next={url}"')
        + protected("not-bob", *OPEN, "<RequireAll>", "Require all granted", "Require not user bob", "</RequireAll>")
        + protected("any", *OPEN, "<RequireAny>", "Require ip 127.0.0.1", "Require user bob", "</RequireAny>")
        + protected("nobody", *OPEN, "Require all denied")
        + protected("expr", *OPEN, 'Require expr "%{REMOTE_USER} == \'alice\'"')
        + protected("off", *OPEN[1:], *GRANTED) + protected("locked", *OPEN[1:])
        + protected("reopened", "TokRevokeOptional Off", *OPEN[1:])
        + protected("cookie", "TokRevokeOptional On", "TokRevokeTokenFrom cookie=session", *GRANTED)
        + protected("cc", *OPEN, *GRANTED, 'Header set Cache-Control "public, max-age=600"')
        + protected("error", *OPEN, "Require user alice", "ErrorDocument 401 /note.shtml")
        + protected("outer", *OPEN, *GRANTED)
        + '<Location "/p/bare/">\nTokRevokeOptional On\nRequire all granted\n</Location>\n'
        + protected("below", "TokRevokeOptional Off", where="/p/open/below/")
        + protected("fallback", *OPEN, *GRANTED, "ErrorDocument 404 /note.shtml", "FallbackResource /p/fallback/page.shtml")
        + protected("lost", *OPEN, *GRANTED, "ErrorDocument 404 /note.shtml")
        + endpoint("/revoke") + "".join(
            endpoint(f"/in/{name}", "AuthType Bearer", "AuthName in", "TokRevokeOptional On", f"Require {need}", handler="tokrevoke-" + name)
            for name, need in (("introspect", "valid-user"), ("admin", "valid-user"))))
    return server.start(text)


def bad_tokens(site, mint):
    revoked = mint()
    assert site.revoke(revoked).status == 200
    return {"expired": mint(exp=1000), "revoked": revoked, "malformed": "x.y", "bad_signature": mint()[:-8] + "AAAAAAAA"}


# ---- who passes ----

@pytest.mark.parametrize("place", ["open", "user", "not-bob", "any", "strip"])
def test_nobody_is_turned_away_for_lack_of_a_token(site, place):
    r = site.get(f"/p/{place}/ok.txt")
    assert (r.status, r.user, r.reason) == (200, None, None) and r.all("WWW-Authenticate") == []
    env = cgi_env(site.get(f"/p/{place}/env"))
    assert "REMOTE_USER" not in env and "AUTH_TYPE" not in env and "TOKREVOKE_REASON" not in env


@pytest.mark.parametrize("place", ["open", "user", "not-bob", "any", "strip"])
def test_a_good_token_makes_the_user_known(site, mint, place):
    for header in ("Authorization: Bearer " + mint(), "Cookie: session=" + mint()):
        r = site.get(f"/p/{place}/ok.txt", header)
        assert (r.status, r.user, r.reason) == (200, "alice", None), r
        env = cgi_env(site.get(f"/p/{place}/env", header))
        assert env["REMOTE_USER"] == "alice" and env["AUTH_TYPE"] == "Bearer"


def test_the_access_log_tells_the_user_and_the_anonymous_apart(site, mint):
    site.get("/p/user/ok.txt", "X-Mark: anonymous")
    site.bearer("/p/user/ok.txt", mint(), "X-Mark: known")
    site.bearer("/p/user/ok.txt", mint(exp=1000), "X-Mark: old")
    assert site.access_line("anonymous").split()[1:4] == ["200", "-", "-"]
    assert site.access_line("known").split()[1:4] == ["200", "-", "alice"]
    assert site.access_line("old").split()[1:4] == ["200", "expired", "-"]


@pytest.mark.parametrize("place", ["open", "user"])
def test_a_bad_token_does_not_count_and_is_told_in_the_log(site, mint, place):
    for reason, token in bad_tokens(site, mint).items():
        since = len(site.error_log())
        r = site.get(f"/p/{place}/page.shtml", "Cookie: session=" + token)
        assert (r.status, r.user, r.reason) == (200, None, reason), r
        assert r.text == f"user=(none) why={reason}\n" and r.all("WWW-Authenticate") == []
        site.wait_log(rf"\[tokrevoke:info\].*does not count: {reason}, token [0-9a-f]+", since=since)
        env = cgi_env(site.get(f"/p/{place}/env", "Cookie: session=" + token))
        assert env["TOKREVOKE_REASON"] == reason and "REMOTE_USER" not in env and "AUTH_TYPE" not in env


def test_a_revoked_token_is_noticed_as_everywhere(site, mint):
    token = mint()
    assert site.revoke(token).status == 200
    since = len(site.error_log())
    assert site.bearer("/p/open/ok.txt", token).status == 200
    site.wait_log("a revoked token was presented: token [0-9a-f]+, subject \"alice\"", since=since)


def test_a_token_that_is_revoked_stops_counting_at_once(site, mint):
    token = mint()
    assert site.bearer("/p/open/ok.txt", token).user == "alice"
    assert site.revoke(token).status == 200
    for _ in range(8):
        assert site.bearer("/p/open/ok.txt", token).user is None


def test_more_than_one_token_does_not_count(site, mint):
    for headers, query in ((("Authorization: Bearer " + mint(), "Authorization: Bearer " + mint()), ""),
                           (("Authorization: Bearer " + mint(),), "?tok=" + mint())):
        r = site.get("/p/open/ok.txt" + query, *headers)
        assert (r.status, r.user, r.reason) == (200, None, "multiple_tokens")


def test_a_bad_token_is_not_made_good_by_the_next_source(site, mint):
    r = site.get("/p/open/ok.txt", "Authorization: Bearer " + mint(exp=1000), "Cookie: session=" + mint())
    assert (r.status, r.user, r.reason) == (200, None, "expired")


def test_while_revocation_cannot_be_known_nobody_is_known(new_server, keys, mint):
    """A child without a table answers for itself: it is the one that was left over by too many restarts, or a database that cannot be read."""
    server = new_server()
    write_keys(server, keys)
    server.start("TokRevokeMaxStaleness 2s\n" + issuer("https://idp.test/", jwks("all")) + ALIAS
                 + protected("open", *OPEN[:2], *GRANTED) + protected("locked"))
    token = mint()
    assert server.bearer("/p/open/ok.txt", token).user == "alice"
    server.expect_log("TR0", always=True)
    for path in (server.root / "state").iterdir():
        path.rename(path.with_name("gone-" + path.name))
    import time
    end = time.monotonic() + 20
    while (r := server.bearer("/p/locked/ok.txt", token)).status != 503:
        assert time.monotonic() < end, r
        time.sleep(0.2)
    r = server.bearer("/p/open/ok.txt", token)
    assert (r.status, r.user, r.reason) == (200, None, "unavailable") and r.all("Retry-After") == []
    assert server.get("/p/open/ok.txt").reason is None


# ---- Require ----

@pytest.mark.parametrize("place", ["alice", "expr"])
def test_where_a_certain_user_is_required_the_anonymous_get_the_plain_challenge(site, mint, place):
    site.expect_log("AH01663|AH01631|AH01629")
    r = site.get(f"/p/{place}/ok.txt")
    assert (r.status, r.reason, r.user) == (401, "no_token", None)
    assert r["WWW-Authenticate"] == f'Bearer realm="{place}"' and r["Cache-Control"] == "no-store"
    assert site.bearer(f"/p/{place}/ok.txt", mint()).user == "alice"
    r = site.bearer(f"/p/{place}/ok.txt", mint(sub="bob"))
    assert (r.status, r.reason) == (403, "insufficient_scope")


def test_a_bad_token_where_a_user_is_required_is_refused_for_what_it_is(site, mint):
    site.expect_log("AH01663|AH01631")
    for reason, token in bad_tokens(site, mint).items():
        r = site.bearer("/p/alice/ok.txt", token)
        assert (r.status, r.reason) == (401, reason) and 'error="invalid_token"' in r["WWW-Authenticate"]


def test_where_a_user_is_required_a_navigation_is_sent_to_the_login_page(site):
    site.expect_log("AH01663|AH01631")
    r = site.get("/p/alice/ok.txt?x", HTML)
    assert r.status == 302 and r["Location"] == "/login?next=%2Fp%2Falice%2Fok.txt%3Fx"


def test_an_error_document_of_such_a_place_knows_the_reason(site, mint):
    site.expect_log("AH01663|AH01631")
    for reason, headers in (("no_token", ()), ("expired", ("Cookie: session=" + mint(exp=1000),))):
        r = site.get("/p/error/ok.txt", HTML, *headers)
        assert r.status == 401 and r.text == reason + "\n" and r["Cache-Control"] == "no-store", r


def test_who_is_not_wanted_is_refused_and_the_anonymous_pass(site, mint):
    site.expect_log("AH01663|AH01631")
    assert site.bearer("/p/not-bob/ok.txt", mint(sub="bob")).status == 403
    assert site.get("/p/not-bob/ok.txt").status == 200


def test_what_is_denied_to_all_stays_denied(site, mint):
    site.expect_log("AH01630")
    assert site.get("/p/nobody/ok.txt").status == 403
    assert site.bearer("/p/nobody/ok.txt", mint()).status == 403


def test_without_it_an_open_location_knows_nobody_and_a_closed_one_stays_closed(site, mint):
    assert site.bearer("/p/off/ok.txt", mint()).user is None
    assert site.get("/p/reopened/ok.txt").status == 401
    assert site.bearer("/p/bare/ok.txt", mint()).user is None  # no AuthType Bearer, so tokens are none of this module's business there


def test_what_lies_below_can_be_closed(site, mint):
    assert site.get("/p/open/below/ok.txt").status == 401
    assert site.bearer("/p/open/below/ok.txt", mint(exp=1000)).reason == "expired"
    assert site.bearer("/p/open/below/ok.txt", mint()).user == "alice"


def test_no_endpoint_takes_the_anonymous_for_somebody(site, mint):
    form, asked = "Content-Type: application/x-www-form-urlencoded", mint()
    for headers in ((), ("Authorization: Bearer " + mint(exp=1000),)):
        assert site.get("/in/introspect", form, *headers, method="POST", body="token=" + asked).status == 401
        r = site.get("/in/admin/revocations", "Content-Type: application/json", *headers, method="POST",
                     body=json.dumps({"kind": "subject", "iss": "https://idp.test/", "value": "nobody"}))
        assert r.status in (401, 403), r
    r = site.get("/in/introspect", form, "Authorization: Bearer " + mint(), method="POST", body="token=" + asked)
    assert r.status == 200 and r.json()["active"] is True


# ---- inside httpd ----

def test_a_page_behind_a_redirect_knows_why_a_token_did_not_count(site, mint):
    old = mint(exp=1000)
    r = site.get("/p/lost/none.txt", HTML, "Cookie: session=" + old)
    assert r.status == 404 and r.text == "expired\n" and "cookie" in fields_of(r, "Vary")
    assert site.get("/p/fallback/none", "Cookie: session=" + old).text.startswith("user=(none)")
    assert site.get("/p/fallback/none", "Cookie: session=" + mint()).text.startswith("user=alice")



def test_indexes_parts_and_redirects_know_what_the_request_knows(site, mint):
    for place in ("open", "user"):
        assert site.get(f"/p/{place}/dir/").text == "user=(none)\n"
        assert site.bearer(f"/p/{place}/dir/", mint()).text == "user=alice\n"
        assert site.bearer(f"/p/{place}/dir/", mint(exp=1000)).text == "user=(none)\n"


def test_a_public_page_shows_its_protected_part_to_those_who_may_see_it(site, mint):
    site.expect_log("unable to include")
    assert "the protected page" not in site.get("/p/outer/outer.shtml").text
    r = site.get("/p/outer/outer.shtml", "Cookie: session=" + mint())
    assert "[the protected page" in r.text and "no-store" in r["Cache-Control"] and "Cookie" in r["Vary"]


@pytest.mark.parametrize("kind", ["good", "expired", "revoked", "malformed", "bad_signature"])
def test_a_stripped_token_is_seen_by_nobody_behind_whether_it_counts_or_not(site, mint, kind):
    token = mint() if kind == "good" else bad_tokens(site, mint)[kind]
    for headers, query in ((("Authorization: Bearer " + token,), ""), (("Cookie: a=1; session=" + token,), ""), ((), "?tok=" + token)):
        env = cgi_env(site.get("/p/strip/env" + query, *headers))
        assert token not in str(env) and env.get("REMOTE_USER") == ("alice" if kind == "good" else None), env
        seen = json.loads(site.get("/p/strip/back" + query, *headers).body)
        assert token not in str(seen), seen


def test_after_stripping_an_index_still_knows(site, mint):
    assert site.get("/p/strip/dir/", "Cookie: session=" + mint()).text == "user=alice\n"
    assert site.get("/p/strip/dir/", "Cookie: session=" + mint(exp=1000)).text == "user=(none)\n"


# ---- caches ----

def fields_of(r, name):
    return {v.strip().lower() for v in ",".join(r.all(name)).split(",") if v.strip()}


def test_the_answer_to_the_anonymous_says_that_a_cookie_would_change_it(site):
    """R6750-15"""
    assert fields_of(site.get("/p/cookie/ok.txt"), "Vary") == {"cookie"}
    assert fields_of(site.get("/p/open/ok.txt"), "Vary") == {"cookie", "authorization"}
    assert fields_of(site.get("/p/open/missing.txt"), "Vary") >= {"cookie"}
    assert site.get("/p/open/ok.txt").all("Cache-Control") == []
    assert fields_of(site.get("/p/cc/ok.txt"), "Cache-Control") == {"public", "max-age=600"}


def test_the_answer_to_a_user_is_private(site, mint):
    r = site.get("/p/cookie/ok.txt", "Cookie: session=" + mint())
    assert fields_of(r, "Cache-Control") == {"no-store"} and fields_of(r, "Vary") == {"cookie"}
    assert fields_of(site.get("/p/cc/ok.txt", "Cookie: session=" + mint()), "Cache-Control") == {"public", "max-age=600", "private"}


def test_the_answer_to_a_bad_token_is_private_too(site, mint):
    """The page may say so."""
    r = site.get("/p/cc/ok.txt", "Cookie: session=" + mint(exp=1000))
    assert "private" in fields_of(r, "Cache-Control") and "cookie" in fields_of(r, "Vary")
