"""tokrevoke-logout: what is revoked, what is cleared, where it leads, and who is listened to."""

import json
import time
import urllib.parse

import pytest

import httpd as servers
from database import Database
from logouts import (APP, CALLBACK, DONE, FORM, GONE, HTML, JSON, SECURE, WANTS_JSON, changes_nothing, cookies, goes_to, is_cleared, is_done,
                     is_private, logout, post, text, write_files)
from storing import PAGE, EveryChild, are_accepted, are_revoked, basic, claims_of, until, without_jti
from test_cascade import digest_of


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    write_files(server, keys)
    return server.start(text())


@pytest.fixture(scope="module")
def db(site):
    return Database(site)


def cookie(token, name="session"):
    return f"Cookie: {name}={token}"


# ---- what is revoked ----

def test_logout_ends_the_token_of_the_cookie_and_of_no_other(site, mint):
    """CK-02: the cookie that is shown again afterwards opens nothing, in any child."""
    token, other = mint(sid="s", sub="dora"), mint(sid="s", sub="dora")
    assert site.get(PAGE, cookie(token)).status == 200
    r = goes_to(post(site, "/logout", cookie(token), HTML), "/bye.html")
    is_cleared(r, "session")
    assert r["Clear-Site-Data"] == '"cache", "storage"'
    with EveryChild(site) as children:
        assert children.verdicts(token) == {"revoked"}
    assert site.get(PAGE, cookie(token)).reason == "revoked"
    are_accepted(site, [other])


def test_a_client_that_prefers_json_is_told_so(site, mint):
    for header in (WANTS_JSON, "Accept: application/problem+json", "Accept: text/html;q=0.5, application/json"):
        token = mint()
        is_cleared(is_done(post(site, "/logout", cookie(token), header)), "session")
        are_revoked(site, [token])


@pytest.mark.parametrize("path, revoked, accepted", [("/logout", "", "same session, same subject, other"),
                                                     ("/session", "same session", "same subject, other"),
                                                     ("/subject", "same session, same subject", "other")])
def test_the_scope_takes_others_along(site, mint, path, revoked, accepted):
    sub = "scope-" + path
    made = {"same session": mint(sub=sub, sid="one" + path), "same subject": mint(sub=sub, sid="two" + path),
            "other": mint(sub="other" + path, sid="three" + path)}
    token = mint(sub=sub, sid="one" + path)
    assert post(site, path, cookie(token), WANTS_JSON).status == 200
    are_revoked(site, [token] + [made[x] for x in revoked.split(", ") if x])
    are_accepted(site, [made[x] for x in accepted.split(", ")])


def test_who_logs_in_again_is_let_in_and_stays_in(site, mint):
    """The dead token, shown again, ends nothing that came after it."""
    old = mint(sub="erin", iat=int(time.time()) - 10)
    assert post(site, "/subject", cookie(old), WANTS_JSON).status == 200
    fresh = mint(sub="erin", iat=int(time.time()) + 1)
    are_accepted(site, [fresh])
    time.sleep(1.1)
    assert post(site, "/subject", cookie(old), WANTS_JSON).status == 200
    are_accepted(site, [fresh])
    are_revoked(site, [old])


def test_a_token_without_session_ends_alone(site, mint):
    token, other = mint(sub="frank"), mint(sub="frank")
    is_done(post(site, "/session", cookie(token), WANTS_JSON))
    are_revoked(site, [token])
    are_accepted(site, [other])


def test_every_token_that_is_shown_dies_in_one_commit(site, db, mint):
    """Header, fields, cookies, query and body; each source as often as it is there."""
    tokens = [mint() for _ in range(11)]
    tokens[5] = without_jti(mint)
    t = tokens
    before = db.state()["last_seq"]
    body = urllib.parse.urlencode({"token": t[8], "refresh_token": t[9], "assertion": t[10]})
    r = post(site, f"/any?access_token={t[6]}&x=1&access%5Ftoken={t[7]}", f"Authorization: Bearer {t[0]}", f"X-Token: {t[1]}",
             f"X-Token: {t[2]}", f"Cookie: session={t[3]}; session={t[4]}", f"Cookie: old={t[5]}", WANTS_JSON, body=body)
    is_cleared(is_done(r), "session", "old")
    are_revoked(site, tokens)
    assert [row["seq"] for row in db.rows("seq > ?", before)] == list(range(before + 1, before + 12))
    assert {row["reason"] for row in db.rows("seq > ?", before)} == {"logout"}
    assert db.is_whole()


def test_both_cookies_of_one_name_die_whichever_the_server_believes(site, mint):
    """CK-03"""
    for headers in (("Cookie: session={0}; session={1}",), ("Cookie: session={0}", "Cookie: a=1; session={1}"),
                    ('Cookie: session="{0}"; session={1}',), ("Cookie: session=; session={0}; session={1}",)):
        tokens = [mint(), mint()]
        is_done(post(site, "/plain", *(h.format(*tokens) for h in headers)))
        are_revoked(site, tokens)


def test_both_of_two_authorization_fields_die(site, mint):
    for headers in (("Authorization: Bearer {0}", "Authorization: bearer  {1}"), ("Authorization: Bearer {0}, Bearer {1}",),
                    ("Authorization: Basic YTpi", "Authorization: Bearer {0}", "Authorization: Bearer {1}")):
        tokens = [mint(), mint()]
        is_done(post(site, "/default", *(h.format(*tokens) for h in headers)))
        are_revoked(site, tokens)


def test_a_token_in_a_place_that_is_no_source_is_left_alone(site, mint):
    token = mint()
    is_done(post(site, f"/default?access_token={token}", cookie(token), f"X-Token: {token}", body=f"assertion={token}&x={token}"))
    are_accepted(site, [token])


@pytest.mark.parametrize("kind", [FORM, JSON])
def test_access_and_refresh_token_die_by_the_body_alone(site, mint, kind):
    """The seed's two tokens in one call."""
    access, refresh = mint(), mint(token_use="refresh")
    body = {"token": access, "refresh_token": refresh, "post_logout_redirect_uri": DONE, "unknown": "x"}
    body = json.dumps(body) if kind == JSON else urllib.parse.urlencode(body)
    goes_to(post(site, "/logout", kind=kind, body=body), DONE)
    are_revoked(site, [access, mint(jti=claims_of(refresh)["jti"])])


@pytest.mark.parametrize("kind", [FORM, JSON])
@pytest.mark.parametrize("path", ["/any", "/default"])
def test_a_form_source_is_read_of_either_kind_of_body(site, mint, kind, path):
    token = mint()
    body = json.dumps({"assertion": token}) if kind == JSON else "assertion=" + token
    is_done(post(site, path, kind=kind, body=body))
    assert (site.bearer(PAGE, token).reason == "revoked") == (path == "/any")


# ---- callers with no good token ----

BAD = {"no token": None, "an empty cookie": "", "a word": "garbage", "dots": "..", "quotes": '"x"', "20 kB": "x" * 20000}


@pytest.mark.parametrize("what", [*BAD, "expired", "forged", "revoked", "of an unknown issuer"])
def test_logout_works_without_a_good_token(site, db, mint, keys, what):
    """LO-03 as a relying party: whatever the cookie holds, it is cleared, and nothing is stored."""
    token = BAD.get(what)
    if what == "expired":
        token = mint(exp=1000)
    elif what == "forged":
        token = mint(key=keys.other["p256"])
    elif what == "of an unknown issuer":
        token = mint(iss="https://evil.test/")
    elif what == "revoked":
        token = mint()
        assert site.revoke(token, "/plain").status == 200
    before = db.state()["last_seq"]
    headers = () if token is None else (cookie(token),)
    is_cleared(goes_to(post(site, "/logout", HTML, *headers), "/bye.html"), "session")
    is_cleared(is_done(post(site, "/logout", WANTS_JSON, *headers)), "session")
    assert db.state()["last_seq"] == before


def test_an_expired_token_does_not_hide_a_good_one(site, mint):
    token = mint()
    is_done(post(site, "/plain", f"Cookie: session={mint(exp=1000)}; session={token}"))
    are_revoked(site, [token])


def test_sixteen_tokens_are_taken_and_more_are_refused(site, mint):
    good = mint()
    fifteen = "; ".join(f"session=x{i}" for i in range(15))
    r = post(site, "/plain", f"Cookie: {fifteen}; session=x15; session={good}", WANTS_JSON)
    assert r.status == 400 and r["Location"] is None
    assert cookies(r)["session"]["max-age"] == "0", "whoever set the others keeps nobody logged in in this browser"
    are_accepted(site, [good])
    first = mint()
    assert post(site, "/plain", f"Cookie: session={first}; {fifteen}; session=x15", WANTS_JSON).status == 400
    are_revoked(site, [first])
    is_done(post(site, "/plain", f"Cookie: {fifteen}; {fifteen}; session={good}", WANTS_JSON))
    are_revoked(site, [good])


# ---- cookies and data ----

def test_cookies_are_cleared_as_they_were_set(site):
    """CK-01"""
    r = is_done(post(site, "/cookies", WANTS_JSON))
    assert cookies(r) == {
        "s": {"": "", "path": "/app", "domain": "example.com", "samesite": "Strict", "httponly": "", **SECURE, **GONE},
        "__Host-a": {"": "", "path": "/", "httponly": "", "secure": "", **GONE},
        "__Secure-b": {"": "", "path": "/x", "httponly": "", "secure": "", **GONE},
        "c": {"": "", "path": "/", "samesite": "None", "httponly": "", "secure": "", **GONE},
        "d": {"": "", "path": "/", "httponly": "", "secure": "", "partitioned": "", **GONE}}


def test_without_cookie_sources_no_cookie_is_cleared(site, mint):
    assert cookies(is_done(site.get("/default", "Authorization: Bearer " + mint(), method="POST"))) == {}


@pytest.mark.parametrize("path, value", [("/quiet", None), ("/loud", '"cookies", "cache"'), ("/plain", '"cache", "storage"')])
def test_clear_site_data_is_what_the_configuration_says(site, path, value):
    assert is_done(post(site, path))["Clear-Site-Data"] == value


# ---- where it leads ----

def asked(uri, state=None):
    return urllib.parse.urlencode({"post_logout_redirect_uri": uri} | ({"state": state} if state is not None else {}))


@pytest.mark.parametrize("uri", [DONE, CALLBACK, "/bye.html", "/", "/app/?a=1&b=2#c", "/%2F%2Fevil.test", "/%5Cevil.test", "/a;b/..;/c"])
def test_a_listed_target_or_a_path_of_this_host_is_followed(site, uri):
    goes_to(post(site, "/logout", HTML, body=asked(uri)), uri)


EVIL = ["//evil.test", "///evil.test", "////evil.test", "/\\evil.test", "\\/evil.test", "\\\\evil.test", "/.//evil.test",
        "/a/..//evil.test", "/a//b", "/a\\b", "/\t/evil.test", "/\n/evil.test", "/\r/evil.test", "\t//evil.test", " //evil.test", " /",
        "/\x0b/evil.test", "/\x7f", "/\u0085/evil.test", "/a\r\nLocation: https://evil.test/", "/a\r\nSet-Cookie: x=y", "https://evil.test/",
        "http:evil.test", "https:/evil.test", "https:evil.test", "https:///evil.test", "//evil.test/%2f..", "javascript:alert(1)",
        "data:text/html,x", "evil.test", "./a", "?a", "#a", DONE + "/", DONE + "?x", DONE + "#", DONE + ".evil.test", DONE + "/../x",
        "https://app.test.evil.test/done", "https://app.test@evil.test/done", "https://app.test:443/done", "https://APP.test/done",
        "HTTPS://app.test/done", "http://app.test/done", "https://app.test//done", "https://app.test/d%6Fne", "https://app.test/done\r\nX: y",
        "https://app.test", "https://app.test\\@evil.test/done", "https://x:y@app.test/done", "/?to=//evil.test", "/bye.html\x00"]


@pytest.mark.parametrize("uri", EVIL, ids=ascii)
def test_no_other_target_is_followed(site, mint, uri):
    """LO-04, and the list of security texts: backslash, several slashes, http:host, suffix and prefix, several @, ..;/"""
    token = mint()
    r = post(site, "/logout", cookie(token), HTML, body=asked(uri, "xyz"))
    if "\x00" in uri:  # no such parameter can be sent
        changes_nothing(r, 400)
        return
    goes_to(r, "/bye.html")
    is_cleared(r, "session")
    are_revoked(site, [token])
    r = post(site, "/plain", HTML, body=asked(uri, "xyz"))
    assert r.status == 200 and r["Location"] is None and "evil" not in r.text


@pytest.mark.parametrize("state", ["xyz", "a b+c", "&state=2", "#top", "ünïcödé", "%20%", "\r\nX-Evil: 1", "'\"<>\\", "=" * 100, "x" * 5000])
@pytest.mark.parametrize("uri", [DONE, CALLBACK, "/bye.html?state=1"])
def test_state_comes_back_as_it_was_sent(site, state, uri):
    """LO-05"""
    r = post(site, "/logout", HTML, body=asked(uri, state))
    assert r.status == 303 and r["X-Evil"] is None
    got, want = urllib.parse.urlsplit(r["Location"]), urllib.parse.urlsplit(uri)
    assert (got.scheme, got.netloc, got.path, got.fragment) == (want.scheme, want.netloc, want.path, want.fragment)
    assert urllib.parse.parse_qsl(got.query) == urllib.parse.parse_qsl(want.query) + [("state", state)]


def test_state_goes_nowhere_without_a_target_that_was_asked_for(site):
    goes_to(post(site, "/logout", HTML, body="state=xyz"), "/bye.html")


def test_who_asks_for_nothing_gets_the_default(site):
    goes_to(post(site, "/logout"), "/bye.html")
    goes_to(post(site, "/logout", "Accept: */*"), "/bye.html")
    is_done(post(site, "/plain"))
    is_done(post(site, "/plain", "Accept: */*"))
    r = post(site, "/plain", HTML)
    assert r.status == 200 and r["Content-Type"] == "text/html; charset=utf-8" and "You are logged out" in r.text


# ---- bodies and methods ----

@pytest.mark.parametrize("kind, body", [
    (FORM, "token=%zz"), (FORM, "token=a&token=b"), (FORM, "x=%00"), (JSON, "{"), (JSON, "[]"), (JSON, '{"token":1}'), (JSON, '{"state":{}}'),
    (JSON, '{"refresh_token":null}'), (JSON, '{"post_logout_redirect_uri":["/"]}'), ("Content-Type: text/plain", "token=x"),
    ("Content-Type: multipart/form-data; boundary=x", "--x--"), (None, "token=x"), (FORM, "&".join(f"p{i}=" for i in range(65)))], ids=str)
def test_a_body_that_cannot_be_read_is_refused_and_nothing_done(site, mint, kind, body):
    """It may hold a token that its sender thinks is revoked."""
    token = mint()
    r = changes_nothing(post(site, "/logout", cookie(token), kind=kind, body=body), 400)
    assert r.json()["error"] == "invalid_request"
    are_accepted(site, [token])


def test_an_empty_body_may_be_of_any_kind(site, mint):
    for kind in (FORM, JSON, None, "Content-Type: text/plain"):
        token = mint()
        is_done(post(site, "/plain", cookie(token), kind=kind))
        are_revoked(site, [token])


def test_a_large_body_is_refused(site, mint):
    token = mint()
    r = changes_nothing(post(site, "/logout", cookie(token), body="x=" + "y" * 65536), 413)
    assert r.json()["error"] == "invalid_request"
    with site.connect() as c:
        c.send_raw((f"POST /logout HTTP/1.1\r\nHost: x\r\n{cookie(token)}\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n").encode())
        c.send_raw(b"10001\r\n" + b"x" * 65537 + b"\r\n0\r\n\r\n")
        changes_nothing(c.receive(), 413)
    are_accepted(site, [token])
    is_done(post(site, "/plain", cookie(token), body="x=" + "y" * 65534))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "PROPFIND", "BREW"])
def test_other_methods_are_refused(site, mint, method):
    token = mint()
    r = changes_nothing(site.get("/get", cookie(token), HTML, method=method, body="token=" + token), 405)
    assert r["Allow"] == "GET, HEAD, POST, OPTIONS" and r.json()["error"] == "invalid_request"
    are_accepted(site, [token])


def test_options_tells_the_methods(site):
    r = changes_nothing(site.get("/logout", method="OPTIONS"), 204)
    assert r["Allow"] == "GET, HEAD, POST, OPTIONS"


# ---- other sites ----

FOREIGN = {"marked": ("Sec-Fetch-Site: cross-site",), "marked, own origin": ("Sec-Fetch-Site: cross-site", f"Origin: {servers.SCHEME}://{{here}}"),
           "an unknown word": ("Sec-Fetch-Site: same-party",), "two words": ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"),
           "an empty word": ("Sec-Fetch-Site:",), "an origin": ("Origin: https://evil.test",), "null": ("Origin: null",),
           "another port": ("Origin: http://127.0.0.1:1",), "its name in another": (f"Origin: {servers.SCHEME}://{{here}}.evil.test",),
           "a path": (f"Origin: {servers.SCHEME}://{{here}}/",), "two origins": (f"Origin: {servers.SCHEME}://{{here}}", "Origin: https://evil.test"),
           "a star": ("Origin: *",), "an empty origin": ("Origin:",)}
AT_HOME = {"marked": ("Sec-Fetch-Site: same-origin",), "a sibling": ("Sec-Fetch-Site: same-site", "Origin: https://www.evil.test"),
           "the address bar": ("Sec-Fetch-Site: none",), "own origin": (f"Origin: {servers.SCHEME}://{{here}}",), "behind TLS": ("Origin: https://{here}",),
           "nothing": ()}


def filled(site, headers):
    return tuple(h.format(here=f"127.0.0.1:{site.port}") for h in headers)


@pytest.mark.parametrize("accept", [HTML, WANTS_JSON])
@pytest.mark.parametrize("path", ["/logout", "/get", "/star"])
@pytest.mark.parametrize("what", FOREIGN)
def test_a_post_of_another_site_is_refused(site, mint, path, what, accept):
    """LO-02: also where every origin may read."""
    token = mint()
    r = changes_nothing(post(site, path, cookie(token), accept, *filled(site, FOREIGN[what]), body="x=1"), 403)
    assert r["Content-Type"].startswith("text/html" if accept == HTML else "application/json")
    are_accepted(site, [token])


@pytest.mark.parametrize("what", AT_HOME)
def test_a_post_from_here_is_taken(site, mint, what):
    token = mint()
    is_done(post(site, "/plain", cookie(token), WANTS_JSON, *filled(site, AT_HOME[what])))
    are_revoked(site, [token])


def test_a_listed_origin_may_log_out_with_the_cookies(site, mint):
    token = mint()
    r = is_done(post(site, "/listed", cookie(token), WANTS_JSON, "Origin: " + APP, "Sec-Fetch-Site: cross-site"))
    assert r["Access-Control-Allow-Origin"] == APP and r["Access-Control-Allow-Credentials"] == "true" and "Origin" in r["Vary"]
    assert cookies(r)["session"]["samesite"] == "None" and "secure" in cookies(r)["session"]  # browsers take no other here
    are_revoked(site, [token])


def test_the_preflight_of_a_listed_origin_allows_cookies(site):
    ask = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type")
    r = changes_nothing(site.get("/listed", "Origin: " + APP, *ask, method="OPTIONS"), 204)
    assert r["Access-Control-Allow-Origin"] == APP and r["Access-Control-Allow-Credentials"] == "true"
    r = changes_nothing(site.get("/listed", "Origin: https://evil.test", *ask, method="OPTIONS"), 204)
    assert r["Access-Control-Allow-Origin"] == "*" and r["Access-Control-Allow-Credentials"] is None
    r = changes_nothing(site.get("/logout", "Origin: " + APP, *ask, method="OPTIONS"), 204)
    assert r["Access-Control-Allow-Origin"] is None and r["Access-Control-Allow-Credentials"] is None


# ---- a location with AuthType Bearer ----

@pytest.mark.parametrize("accept", [HTML, WANTS_JSON])
@pytest.mark.parametrize("what", ["good", "expired", "forged", "revoked", "none", "two"])
def test_authentication_keeps_nobody_from_logging_out(site, mint, keys, what, accept):
    """Whoever has no good token any more is logged out in place of the refusal."""
    made = {"good": mint(), "expired": mint(exp=1000), "forged": mint(key=keys.other["p256"]), "revoked": mint(), "two": mint()}
    headers = () if what == "none" else (cookie(made[what]),)
    if what == "revoked":
        site.revoke(made[what], "/plain")
    if what == "two":
        headers += (f"Authorization: Bearer {made['good']}", f"Authorization: Bearer {made['good']}")
    r = post(site, "/bearer", accept, *headers, body=asked(DONE, "s"))
    if accept == HTML:
        goes_to(r, DONE + "?state=s")
    else:
        is_done(r)
    is_cleared(r, "session")
    assert r["WWW-Authenticate"] is None
    if what in ("good", "two"):
        are_revoked(site, [made["good"]])


def test_without_a_good_token_a_guarded_logout_still_asks_on_get_and_refuses_other_sites(site):
    r = changes_nothing(site.get("/bearer", HTML, cookie("garbage")), 200)
    assert "<form" in r.text
    changes_nothing(post(site, "/bearer", cookie("garbage"), "Sec-Fetch-Site: cross-site"), 403)
    changes_nothing(site.get("/bearer", method="PUT"), 405)
    r = changes_nothing(post(site, "/bearer", body="token=%zz"), 400)
    assert r["Referrer-Policy"] == "no-referrer"


def test_a_good_token_of_another_user_is_turned_away_by_require(site, mint):
    """Whom the administrator does not let in stays out."""
    site.expect_log("AH01631|AH01630")
    token = mint()
    assert post(site, "/bob", cookie(token)).status == 403
    are_accepted(site, [token])


@pytest.mark.parametrize("good", [True, False])
def test_tokens_that_are_stripped_from_the_request_are_revoked_all_the_same(site, mint, good):
    first = mint() if good else mint(exp=1000)
    tokens = [mint(), mint(), mint()]
    r = post(site, "/stripped", f"Cookie: session={first}; session={tokens[0]}; old={tokens[1]}; a=1", WANTS_JSON,
             body="refresh_token=" + tokens[2])
    is_cleared(is_done(r), "session", "old")
    are_revoked(site, tokens + ([first] if good else []))


def test_more_tokens_than_are_taken_are_told_where_they_are_stripped_too(site, mint):
    many = "; ".join(f"session=x{i}" for i in range(16))
    assert post(site, "/stripped", f"Cookie: session={mint()}; {many}", WANTS_JSON).status == 400


# ---- opaque refresh tokens ----

def test_an_opaque_refresh_token_dies_with_the_access_token_it_came_with(site, db, mint):
    token = mint()
    is_done(post(site, "/opaque", cookie(token), body="refresh_token=rt-by-token"))
    are_revoked(site, [token])
    row = db.row(digest_of("rt-by-token"))
    assert row["kind"] == "opaque" and 29 * 86400 < row["expires_at"] - time.time() < 31 * 86400
    expired = mint(exp=int(time.time()) - 3600)
    is_done(post(site, "/opaque", cookie(expired), body="refresh_token=rt-by-expired"))
    assert db.row(digest_of("rt-by-expired"))["kind"] == "opaque"
    before = db.state()["last_seq"]
    is_done(post(site, "/opaque", cookie(expired), body="refresh_token=rt-by-the-same"))
    assert db.state()["last_seq"] == before, "an expired token brings one"


def test_a_user_brings_an_opaque_refresh_token(site, db):
    is_done(post(site, "/opaque-user", basic(b"carol"), body="refresh_token=rt-by-user"))
    row = db.row(digest_of("rt-by-user"))
    assert (row["kind"], row["actor"]) == ("opaque", "carol")


def test_nobody_else_fills_the_table_with_opaque_tokens(site, db, mint, keys):
    dead = mint()
    is_done(post(site, "/plain", cookie(dead)))
    before = db.state()["last_seq"]
    for headers in ((), (cookie("garbage"),), (cookie(mint(key=keys.other["p256"])),), (cookie(mint(exp=1000)),), (cookie(dead),)):
        is_done(post(site, "/opaque", *headers, body="refresh_token=rt-by-nobody"))
    is_done(post(site, "/opaque-user", basic(b"carol"), body="token=rt-in-the-wrong-place"))
    is_done(post(site, "/opaque-off", basic(b"carol"), body="refresh_token=rt-switched-off"))
    assert db.state()["last_seq"] == before


# ---- the store ----

@pytest.mark.parametrize("accept", [HTML, WANTS_JSON])
def test_what_cannot_be_stored_is_said_and_cleared_all_the_same(new_server, keys, mint, accept):
    """CK-02, decided for clearing: 503, in force at once, durable when the database is back, and a repetition tells the truth."""
    server = new_server(children=2)
    write_files(server, keys)
    server.start(text())
    db = Database(server)
    token, other = mint(sub="grace"), mint(sub="grace")
    server.expect_log("TR025: |TR023: ", always=True)
    db.file("").rename(db.file(".aside"))
    for _ in range(2):
        r = post(server, "/subject", cookie(token), accept)
        assert r.status == 503 and int(r["Retry-After"]) > 0 and r["Location"] is None
        assert "no-store" in r["Cache-Control"]
        is_cleared(r, "session")
        assert r["Clear-Site-Data"] == '"cache", "storage"'
        if accept == HTML:
            assert r["Content-Type"].startswith("text/html")
        else:
            assert r.json()["error"] == "temporarily_unavailable"
    server.wait_log(r"\[tokrevoke:error\].* TR025: token [0-9a-f]{16} is refused from now on")
    are_revoked(server, [token, other])
    is_cleared(goes_to(post(server, "/logout", HTML, cookie("garbage")), "/bye.html"), "session")  # nothing to store
    db.file(".aside").rename(db.file(""))
    until(lambda: db.rows("value = ?", "grace"))
    is_done(post(server, "/subject", cookie(token), WANTS_JSON))
    assert db.is_whole()
    assert token not in server.error_log()
    server.kill()
    server.again()
    are_revoked(server, [token, other])


def test_logout_says_what_it_did_in_the_log_and_never_a_token(site, mint):
    token = mint()
    since = len(site.error_log())
    is_done(post(site, "/plain", f"Cookie: session={token}; session=garbage-in-a-cookie"))
    site.wait_log(r"\[tokrevoke:info\].* logged out: token [0-9a-f]{16}; passed over: [0-9a-f]{16} malformed", since=since)
    assert token not in site.error_log() and "garbage-in-a-cookie" not in site.error_log()


def test_https_clears_with_secure(new_server, keys, mint):
    """Where TLS ends in front of httpd, ServerName says so."""
    server = new_server(children=2)
    write_files(server, keys)
    server.start(text("<VirtualHost 127.0.0.1:{port}>\nServerName https://127.0.0.1\n</VirtualHost>\n"))
    r = is_done(post(server, "/plain", cookie(mint()), WANTS_JSON))
    assert "secure" in cookies(r)["session"]
    changes_nothing(post(server, "/plain", f"Origin: http://127.0.0.1:{server.port}"), 403)
    is_done(post(server, "/plain", f"Origin: https://127.0.0.1:{server.port}", WANTS_JSON))


# ---- configuration ----

@pytest.mark.parametrize("line, words", [
    ("TokRevokeLogoutRedirect //evil.test", "//"), ("TokRevokeLogoutRedirect bye.html", "begins with /"),
    ("TokRevokeLogoutRedirect /ok https:/x", "https://"), ("TokRevokeLogoutRedirect javascript:alert(1)", "scheme"),
    ("TokRevokeLogoutRedirect https://u:p@app.test/", "@"), ('TokRevokeLogoutRedirect "/a b"', "percent-encoded"),
    ('TokRevokeLogoutRedirect ""', "argument"), ("TokRevokeLogoutCookie session=x", "name"), ("TokRevokeLogoutCookie s;Path=app", "Path="),
    ("TokRevokeLogoutCookie __Host-s;Path=/app", "__Host-"), ("TokRevokeLogoutCookie s;Max-Age=0", "attributes"),
    ("TokRevokeLogoutScope user", "token, session, subject"), ("TokRevokeClearSiteData everything", "cache"),
    ("TokRevokeLogoutGet maybe", "On or Off"), ("TokRevokeLogoutPage {root}/conf/none.html", "none.html"),
    ("TokRevokeLogoutPage {root}/conf", "conf"), ("TokRevokeLogoutPage {root}/conf/no-action.html", "{action}"),
    ("TokRevokeLogoutPage {root}/conf/no-fields.html", "{fields}"), ("TokRevokeLogoutPage {root}/conf/get.html", "post"),
    ("TokRevokeLogoutPage {root}/conf/large.html", "65536"), ("TokRevokeLogoutPage {root}/conf/nul.html", "NUL")])
def test_what_cannot_be_right_is_an_error_of_the_configuration(site, line, words):
    site.write("conf/no-action.html", "<form method=post>{fields}</form>")
    site.write("conf/no-fields.html", "<form method=post action={action}></form>")
    site.write("conf/get.html", "<form action={action}>{fields}</form>")
    site.write("conf/large.html", "<form method=post action={action}>{fields}</form>" + " " * 65536)
    site.write("conf/nul.html", b"<form method=post action={action}>{fields}\0</form>")
    status, said = site.configtest(text(logout("/x", line)))
    assert status != 0 and line.split()[0] in said and words in said, said


def test_whatever_the_base_says_a_location_may_say_otherwise(new_server, keys, mint):
    server = new_server(children=2)
    write_files(server, keys)
    outer = ("<Location />\nTokRevokeTokenFrom header cookie=session\nTokRevokeLogoutScope subject\nTokRevokeLogoutRedirect /bye.html\n"
             "TokRevokeLogoutCookie a b\nTokRevokeClearSiteData off\n</Location>\n")
    server.start(text(outer, logout("/inherits"), logout("/differs", "TokRevokeLogoutScope token", f"TokRevokeLogoutRedirect {DONE}",
                                                         "TokRevokeLogoutCookie c", "TokRevokeClearSiteData cache")))
    tokens = [mint(sub="henry"), mint(sub="henry"), mint(sub="irene"), mint(sub="irene")]
    r = goes_to(post(server, "/differs", cookie(tokens[0])), DONE)
    assert set(cookies(r)) == {"c"} and r["Clear-Site-Data"] == '"cache"'
    are_accepted(server, [tokens[1]])
    r = goes_to(post(server, "/inherits", cookie(tokens[2])), "/bye.html")
    assert set(cookies(r)) == {"a", "b"} and r["Clear-Site-Data"] is None
    are_revoked(server, [tokens[0], tokens[2], tokens[3]])


def test_ours_answers_only_where_it_was_set(site, mint):
    token = mint()
    assert post(site, "/index.html", cookie(token)).status in (200, 405)
    are_accepted(site, [token])
    is_private(post(site, "/plain"))
