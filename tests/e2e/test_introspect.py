"""Token introspection (RFC 7662): who may ask, and what is said."""

import base64
import hashlib
import itertools
import json
import time
import urllib.parse

import pytest

import issuers as at
from database import Database
from httpd import ALIAS, endpoint
from issuers import issuer, issuers, jwks, locations, write_keys
from storing import BASIC, FORM, JSON, PAGE, SLOW, EveryChild, basic, claims_of, text, until, write_users
from test_refuse import BAD_HEADERS, BAD_PAYLOADS, DEFECTS, defective, mangled
from test_revoke import BAD
from test_store_stall import HIDE
from tokens import MAIN, b64, claims, compact, signature

ADMIN = basic(b"rs1")
INACTIVE = b'{"active":false}'
HANDLER = "tokrevoke-introspect"


def introspects(path, *directives):
    return endpoint(path, *directives, handler=HANDLER)


def places():
    return (introspects("/introspect", *BASIC) + introspects("/open")
            + introspects("/client", "TokRevokeClients {root}/conf/clients")
            + introspects("/user-or-client", *BASIC, "TokRevokeClients {root}/conf/clients")
            + introspects("/uid", *BASIC, "TokRevokeUserClaim uid")
            + introspects("/by-token", "AuthType Bearer", "AuthName resource-servers", "Require valid-user"))


def write_clients(server):
    """Clients c1 and "c:2 ä", and the public client pub."""
    sha = base64.b64encode(hashlib.sha1(b"p+ %").digest()).decode()
    server.write("conf/clients", f"c1:{{SHA}}{sha}\nc%3A2 %C3%A4:{{SHA}}{sha}\npub:\n")


def client(name, secret="p+ %"):
    """RFC 6749 2.3.1: form-encoded before Base64."""
    both = urllib.parse.quote_plus(name) + ":" + urllib.parse.quote_plus(secret)
    return "Authorization: Basic " + base64.b64encode(both.encode()).decode()


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    write_keys(server, keys)
    write_users(server, b"rs1", b"rs2")
    write_clients(server)
    return server.start("TokRevokeCapacity 10000\n" + issuers() + ALIAS + locations() + places())


@pytest.fixture
def small(new_server, keys):
    """For what changes a server: its database, its restarts. Not started yet."""
    server = new_server()
    write_keys(server, keys)
    write_users(server, b"rs1")
    write_clients(server)
    yield server
    server.stop()


def ask(c, token, *headers, path="/introspect", **more):
    body = urllib.parse.urlencode({"token": token, **more}, errors="surrogateescape")
    return c.request("POST", path, FORM, *(headers or (ADMIN,)), body=body)


def introspect(server, token, *headers, path="/introspect", **more):
    with server.connect() as c:
        return ask(c, token, *headers, path=path, **more)


def is_json(r, status):
    """R6749-06: also of errors."""
    assert r.status == status, r
    assert r["Content-Type"].split(";")[0] == "application/json"
    assert r["Cache-Control"] == "no-store" and r["Content-Length"] == str(len(r.body))
    return r.json()


def is_error(r, status, error):
    """R6749-05: and nothing about any token."""
    body = is_json(r, status)
    assert body["error"] == error and "active" not in body
    assert set(body) == {"error", "error_description"}
    assert all(" " <= c <= "~" and c not in '"\\' for c in body["error_description"])
    return r


def active(r):
    body = is_json(r, 200)
    assert body["active"] is True, r
    return body


def inactive(r):
    is_json(r, 200)
    assert r.body == INACTIVE
    return r


# ---- who may ask ----

def test_nobody_anonymous_is_told_anything(site, mint):
    """R7662-01: the same for a good token, a bad one and none."""
    seen = set()
    for body in ("token=" + mint(), "token=abc", "token=" + mint(exp=1000), "", "x=1"):
        for more in ((), ("Authorization: Bearer " + mint(),), (ADMIN,)):
            r = is_error(site.get("/open", FORM, *more, method="POST", body=body), 401, "invalid_client")
            assert r["WWW-Authenticate"].startswith("Basic realm=")
            seen.add((r.body, tuple((n, v) for n, v in r.headers if n != "Date")))
    assert len(seen) == 1


def test_a_user_that_httpd_does_not_know_is_refused(site, mint):
    """R7662-02"""
    site.expect_log("AH01617|AH01614")
    for headers in ((), ("Authorization: Basic cnMxOndyb25n",), ("Authorization: Bearer " + mint(),)):
        r = site.get("/introspect", FORM, *headers, method="POST", body="token=" + mint())
        assert r.status == 401 and r["WWW-Authenticate"].startswith("Basic ") and b"active" not in r.body


def test_a_resource_server_may_show_a_token_of_its_own(site, mint):
    """R7662-02: and a bad one is refused as RFC 6750 says."""
    own, token = mint(sub="rs"), mint()
    assert active(introspect(site, token, "Authorization: Bearer " + own, path="/by-token"))["sub"] == "alice"
    for bad in (mint(exp=1000), "abc", mint(token_use="refresh")):
        r = introspect(site, token, "Authorization: Bearer " + bad, path="/by-token")
        assert r.status == 401 and r["WWW-Authenticate"].startswith("Bearer ") and "invalid_token" in r["WWW-Authenticate"]
        assert b"active" not in r.body
    r = introspect(site, token, "X-None: 1", path="/by-token")
    assert r.status == 401 and r["WWW-Authenticate"] == 'Bearer realm="resource-servers"'
    assert site.revoke(own).status == 200
    r = introspect(site, token, "Authorization: Bearer " + own, path="/by-token")
    assert r.status == 401 and b"active" not in r.body


@pytest.mark.parametrize("name", ["c1", "c:2 ä"])
def test_a_client_that_shows_its_secret_is_answered(site, mint, name):
    """R7662-01, R6749-01, R6749-02: by Basic, or in the body; the token need not be its own."""
    token = mint(client_id="another")
    assert active(introspect(site, token, client(name), path="/client"))["client_id"] == "another"
    assert active(introspect(site, token, "X-None: 1", path="/client", client_id=name, client_secret="p+ %"))["sub"] == "alice"
    inactive(introspect(site, "abc", client(name), path="/client"))


def test_nobody_else_is_answered_where_clients_are_known(site, mint):
    """R7662-01, R7662-02, R6749-04: the same bytes for a good token and a bad one."""
    seen = set()
    for token in (mint(), "abc", mint(exp=1000)):
        for headers, more in (((client("c1", "wrong"),), {}), ((client("c9"),), {}), (("X-None: 1",), {}),
                              (("X-None: 1",), {"client_id": "c1", "client_secret": "wrong"}), (("X-None: 1",), {"client_id": "c1"}),
                              (("X-None: 1",), {"client_id": "pub"}), ((client("pub"),), {}), (("Authorization: Bearer " + mint(),), {})):
            r = is_error(introspect(site, token, *headers, path="/client", **more), 401, "invalid_client")
            assert r["WWW-Authenticate"].startswith("Basic realm=")
            seen.add((r.body, tuple((n, v) for n, v in r.headers if n != "Date")))
    assert len(seen) == 1


def test_two_ways_to_authenticate_are_one_too_many(site, mint):
    """R6749-03"""
    r = introspect(site, mint(), client("c1"), path="/client", client_id="c1", client_secret="p+ %")
    is_error(r, 400, "invalid_request")


def test_credentials_in_the_url_are_no_credentials(site, mint):
    """R6749-02"""
    r = site.get("/client?client_id=c1&client_secret=p%2B+%25", FORM, method="POST", body="token=" + mint())
    is_error(r, 401, "invalid_client")


def test_a_user_of_httpds_own_needs_no_client(site, mint):
    active(introspect(site, mint(), ADMIN, path="/user-or-client"))


def test_a_file_of_clients_that_breaks_lets_nobody_ask(small, mint):
    site = small.start(text(places()))
    active(introspect(site, mint(), client("c1"), path="/client"))
    site.expect_log("TR030: ")
    site.write("conf/clients", "c1:plain text\n")
    is_error(introspect(site, mint(), client("c1"), path="/client"), 503, "temporarily_unavailable")


# ---- the request ----

@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_only_post_is_allowed(site, mint, method):
    """R7662-03"""
    r = site.get("/introspect?token=" + mint(), ADMIN, method=method, body=None if method in ("GET", "HEAD") else "token=" + mint())
    assert r.status == 405 and r["Allow"] == "POST, OPTIONS" and r["Cache-Control"] == "no-store"
    assert b"active" not in r.body


def test_options_says_what_is_allowed(site):
    r = site.get("/introspect", ADMIN, method="OPTIONS")
    assert r.status == 204 and r["Allow"] == "POST, OPTIONS"


BODIES = {"nothing": "", "another parameter": "x=1", "no value": "token=", "no equals sign": "token", "another case": "Token={0}",
          "twice": "token={0}&token={0}", "twice by escapes": "token={0}&t%6Fken={0}", "a broken escape": "token={0}&x=%zz",
          "a NUL": "token={0}%00", "a hint twice": "token={0}&token_type_hint=a&token_type_hint=b"}


@pytest.mark.parametrize("what", BODIES)
def test_a_form_without_one_token_is_an_invalid_request(site, mint, what):
    """R7662-03"""
    is_error(site.get("/introspect", FORM, ADMIN, method="POST", body=BODIES[what].format(mint())), 400, "invalid_request")


@pytest.mark.parametrize("kind", [JSON, "Content-Type: text/plain", "Content-Type: multipart/form-data; boundary=x", "X-None: 1"])
def test_another_body_is_an_invalid_request(site, mint, kind):
    """R7662-03: form-encoded, and nothing else."""
    body = json.dumps({"token": mint()}) if kind == JSON else "token=" + mint()
    is_error(site.get("/introspect", kind, ADMIN, method="POST", body=body), 400, "invalid_request")


def test_parameters_in_the_url_are_not_read(site, mint):
    """R7662-03"""
    is_error(site.get("/introspect?token=" + mint(), FORM, ADMIN, method="POST", body=""), 400, "invalid_request")


def test_a_body_over_64_kib_is_too_large(site):
    is_error(site.get("/introspect", FORM, ADMIN, method="POST", body="token=" + "x" * 65536), 413, "invalid_request")


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "banana", "", "x" * 2000, "ключ"])
def test_a_hint_changes_nothing(site, mint, hint):
    """R7662-08"""
    token = mint()
    plain = introspect(site, token)
    active(plain)
    assert introspect(site, token, token_type_hint=hint).body == plain.body
    inactive(introspect(site, "abc", token_type_hint=hint))


# ---- good tokens ----

def test_a_good_token_is_active_with_all_its_claims(site, mint):
    """R7662-06, R7662-07, R7662-09, R7662-11, R7662-13: what it says itself, and no more."""
    given = claims(aud=["legacy-app", "x"], scope="read write", client_id="c1", sid="s1", roles=["admin"], name="Zoë 漢字 \U0001F600",
                   nested={"a": [1, None, {"b": True}]}, nbf=1, username="al")
    r = introspect(site, mint(payload=given))
    assert active(r) == {**given, "active": True, "token_type": "Bearer"}
    assert r.body.startswith(b'{"active":true,')


@pytest.mark.parametrize("alg", ["RS256", "PS512", "ES384", "ES256K", "Ed25519", "Ed448", "HS256"])
def test_a_token_of_every_kind_of_algorithm_is_active(site, mint, alg):
    assert active(introspect(site, mint(alg)))["sub"] == "alice"


def test_a_token_minted_by_jose_is_active(site, jose_tokens):
    for token in jose_tokens.values():
        assert active(introspect(site, token))["iss"] == MAIN


NOW = int(time.time())  # when tests are collected: a long time before they begin
FORMS = {  # claims -> members of the answer; None: must not be there
    "exp with an exponent": ({"payload": '"exp": 1.9e9', "iss": at.UNLIMITED}, {"exp": 1900000000}),
    "exp with a fraction": ({"exp": NOW + 9000.75}, {"exp": NOW + 9000}),
    "iat and nbf with fractions": ({"iat": NOW - 3.5, "nbf": NOW - 2.5}, {"iat": NOW - 4, "nbf": NOW - 3}),
    "exp beyond 64 bits": ({"exp": 1e300, "iss": at.UNLIMITED}, {"exp": None}),
    "exp just within 64 bits": ({"exp": 2**63 - 1, "iss": at.UNLIMITED}, {"exp": 2**63 - 1}),
    "exp just beyond": ({"exp": 2**63, "iss": at.UNLIMITED}, {"exp": None}),
    "no iat": ({"drop": "iat"}, {"iat": None, "nbf": None}),
    "scope an array": ({"scope": ["read", "write"]}, {"scope": "read write"}),
    "scp an array": ({"scp": ["read", "write"]}, {"scope": "read write", "scp": ["read", "write"]}),
    "scp a string": ({"scp": "read write"}, {"scope": "read write"}),
    "scope and scp": ({"scope": "a", "scp": "b"}, {"scope": "a", "scp": "b"}),
    "a scope with a blank in an array": ({"scope": ["read", "a admin"]}, {"scope": "read"}),
    "scope no string": ({"scope": 7}, {"scope": None}),
    "azp": ({"azp": "c9"}, {"client_id": "c9", "azp": "c9"}),
    "azp and client_id": ({"azp": "c9", "client_id": "c1"}, {"client_id": "c1", "azp": "c9"}),
    "aud a string": ({"aud": "x"}, {"aud": "x"}),
    "token_type": ({"token_type": "access"}, {"token_type": "Bearer"}),
    "no jti": ({"drop": "jti"}, {"jti": None}),
}


@pytest.mark.parametrize("what", FORMS)
def test_members_have_the_form_of_the_text(site, mint, what):
    """R7662-06, R7662-09"""
    given, expected = dict(FORMS[what][0]), FORMS[what][1]
    if "payload" in given:
        given["payload"] = json.dumps(claims(iss=given.pop("iss"), exp="@@")).replace('"exp": "@@"', given["payload"])
    body = active(introspect(site, mint(**given)))
    for name, value in expected.items():
        assert body.get(name) == value and type(body.get(name)) is type(value), (name, body)


HOSTILE = {
    "active false": {"active": False}, "active a string": {"active": "false"}, "active null": {"active": None},
    "names that look like active": {"Active": False, "active ": False, "ACTIVE": 0, "": False},
    "an object in an object": {"x": {"active": False, "y": {"active": False, "error": "invalid_client"}}},
    "an error": {"error": "invalid_client", "error_description": "x"},
    "quotes and braces in names": {'a":1,"active":false,"b': 1, "}{": 2, '"': 3, "\\": 4},
    "quotes and braces in values": {"x": '","active":false,"y":"', "y": "\\\"}", "z": "</script><script>"},
    "control characters": {"x": "a\r\nSet-Cookie: a=b\r\n\r\n", "\r\nX-Evil: 1": 1, "t": "\x01\x1f\x7f\x85"},
    "huge numbers": {"n": 1e40, "m": -2**63, "u": 2**63 - 1, "f": 1e300, "g": 5e-324, "h": -1e308},
    "other scripts": {"Ωμέγα": "漢字", "\U0001F600": "\u2028\u2029\ufeff\u202e", "\ud7ff": "\U0010ffff"},
    "a name of 1 KiB": {"n" * 1024: "v" * 1024}, "names of 1 KiB": {str(i) * 1024: i for i in range(6)},
    "300 claims": {f"c{i}": i for i in range(300)}, "31 levels": {"deep": json.loads("[" * 31 + "]" * 31)},
    "prototypes": {"__proto__": {"active": False}, "constructor": 1},
    "percent signs": {"%s%n%d": "%s%n%d%x"},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_claims_are_only_claims(site, mint, what):
    """R7662-06: our own members say what we mean, the rest is what the issuer signed."""
    given = claims(**HOSTILE[what])
    r = introspect(site, mint(payload=given))
    pairs = json.JSONDecoder(object_pairs_hook=list).decode(r.text)
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)) and pairs[0] == ("active", True)
    body = active(r)
    assert {n: v for n, v in body.items() if n not in ("active", "token_type")} == {n: v for n, v in given.items() if n != "active"}
    assert all(name in ("Date", "Server", "Cache-Control", "Content-Length", "Content-Type", "X-User") for name, _ in r.headers), r.headers


def test_numbers_that_fit_no_double_are_near_or_nothing(site, mint):
    payload = json.dumps(claims(a="@a", b="@b", c="@c")).replace('"@a"', "1" + "0" * 40).replace('"@b"', "1e400").replace('"@c"', str(2**64))
    body = active(introspect(site, mint(payload=payload)))
    assert (body["a"], body["b"], body["c"]) == (1e40, None, 2.0**64)


def test_a_name_that_is_spelled_with_escapes_is_the_same_name(site, mint):
    """R7662-06"""
    payload = json.dumps(claims(zzz=1)).replace('"zzz": 1', r'"\u0061ctive": false, "token\u005ftype": "x"')
    body = active(introspect(site, mint(payload=payload)))
    assert body["token_type"] == "Bearer"


def test_the_claim_of_the_user_is_that_of_the_location(site, mint):
    """R7662-07: a token that the locations with this claim refuse is not active here."""
    inactive(introspect(site, mint(), path="/uid"))
    assert active(introspect(site, mint(uid="bob"), path="/uid"))["uid"] == "bob"
    assert active(introspect(site, mint(uid=1234), path="/uid"))["uid"] == 1234


def test_the_answer_and_the_log_do_not_hold_the_token(site, mint):
    """R7662-13, SBCP-05"""
    token, bad = mint(), mint(exp=1000)
    r = introspect(site, token)
    assert not any(part in r.text for part in token.split("."))
    inactive(introspect(site, bad))
    log = site.error_log() + site.access_log()
    assert not any(part in log for part in token.split(".")[1:] + bad.split(".")[1:])
    site.wait_log("introspected: token [0-9a-f]{16}: active")
    site.wait_log("introspected: token [0-9a-f]{16}: not active: expired")


def test_what_a_browser_asks_from_elsewhere_cannot_be_read(site, mint):
    r = introspect(site, mint(), ADMIN, "Origin: https://evil.test")
    assert r["Access-Control-Allow-Origin"] is None


# ---- bad tokens ----

def bad_header(keys, text):
    signing_input = b64(text) + "." + b64(json.dumps(claims()))
    return signing_input + "." + b64(signature("ES256", keys["p256"], signing_input))


def refused_tokens(mint, keys):
    """(name, token) of what section "Which tokens are accepted" refuses, every reason among them."""
    for what in mangled("a.b.c"):
        yield what, mangled(mint())[what]
    for what, make in BAD.items():
        yield what, make(mint, keys)
    for what, content in BAD_HEADERS.items():
        yield "header: " + what, bad_header(keys, content)
    for what, payload in BAD_PAYLOADS.items():
        yield "payload: " + what, mint(payload=payload if isinstance(payload, str) else payload())
    for what in DEFECTS:
        if what != "revoked":
            yield what, defective(mint, keys, [what])
    for alg in ("none", "NONE", "es256", "HS1", 5, None, ["ES256"]):
        yield f"alg {alg}", compact({"alg": alg, "kid": "p256"}, claims(), "ES256", keys["p256"])
    for name, value in itertools.product(("exp", "nbf", "iat"), ('"1999999999"', "null", "true", "{}", "1e400")):
        yield f"{name} {value}", mint(payload=json.dumps(claims(**{name: "@@"})).replace('"@@"', value))
    for name, value in itertools.product(("jti", "sub", "sid", "client_id", "azp"), (7, None, ["x"], "x" * 1025, "a\nb", "a\x85")):
        yield f"{name} {value!r:.20}", mint(**{name: value})
    for more in ({"iss": "https://idp.test"}, {"iss": "HTTPS://idp.test/"}, {"drop": "iss"}, {"kid": "unknown"}, {"kid": "../p256"},
                 {"key": keys.other["p256"]}, {"drop": "exp"}, {"exp": 10**30}, {"iat": NOW + 3600, "exp": NOW + 7200}, {"nbf": NOW + 6000},
                 {"iss": at.STRICT_TIME, "exp": NOW}, {"iat": NOW - 10**6}, {"iss": at.AUD, "aud": "other"}, {"iss": at.AUD},
                 {"iss": at.AUD, "aud": ["legacy-app", 7]}, {"header": {"typ": "logout+jwt"}}, {"header": {"typ": "dpop+jwt"}},
                 {"iss": at.TYPED}, {"iss": at.USE}, {"iss": at.USE, "token_use": "refresh"}, {"cnf": {"jkt": "x"}},
                 {"cnf": {"x5t#S256": "x"}}, {"events": {}}, {"token_use": "refresh"}, {"typ": "ID"}, {"at_hash": "x"}, {"c_hash": "x"},
                 {"jti": ""}, {"drop": "sub"}, {"iss": at.RS256_ONLY}, {"iss": at.PINNED}, {"iss": at.NO_SUCH_KEY}):
        yield str(more), mint(**more)


def test_whatever_is_refused_is_inactive_and_nothing_more(site, mint, keys):
    """R7662-04, R7662-05, R7662-07, R7662-12: the same bytes for every reason that a protected page knows."""
    reasons = set()
    revoked = mint()
    assert site.revoke(revoked).status == 200
    with site.connect() as c:
        for what, token in [*refused_tokens(mint, keys), ("revoked", revoked)]:
            r = ask(c, token)
            assert (r.status, r.body) == (200, INACTIVE), (what, r)
            if all("!" <= letter <= "~" for letter in token) and "," not in token:
                page = c.request("GET", PAGE, "Authorization: Bearer " + token)
                assert page.status == 401, (what, page)
                reasons.add(page.reason)
    assert reasons == {"malformed", "algorithm", "unknown_issuer", "unknown_key", "bad_signature", "expired", "not_yet_valid",
                       "lifetime", "audience", "token_type", "token_use", "revoked"}


def test_inactive_answers_are_equal_to_the_last_header(site, mint):
    """R7662-05"""
    tokens = ["abc", mint(exp=1000), mint(aud="x", iss=at.AUD), mint(token_use="refresh"), "x" * 20000]
    seen = {tuple((n, v) for n, v in introspect(site, t).headers if n != "Date") for t in tokens}
    assert len(seen) == 1


def test_without_skew_a_token_is_inactive_from_its_exp_on(site, mint):
    """R7662-04, R7662-11"""
    exp = time.time() + 3.5
    token = mint(iss=at.STRICT_TIME, exp=exp)
    active(introspect(site, token))
    time.sleep(max(0, exp + 0.1 - time.time()))
    inactive(introspect(site, token))


# ---- revoked ----

def views(children, token):
    """What each child says of the token."""
    children.connect()
    found = {pid: ask(c, token) for pid, c in children.at.items()}
    for pid, r in found.items():
        if r["Connection"] == "close":
            children.at.pop(pid).close()
    return {r.json().get("active", r.json().get("error")) for r in found.values()}


KINDS = {"session": "sid", "subject": "sub", "client": "client_id", "issuer": None}


def test_a_revoked_token_is_inactive_at_once_in_every_child(small, mint):
    """R7662-04, R7662-07, R7662-11"""
    site = small.start(text(places()))
    with EveryChild(site) as children:
        for _ in range(20):
            token = mint()
            assert views(children, token) == {True}
            assert site.revoke(token).status == 200
            assert views(children, token) == {False}


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_that_fell_with_others_is_inactive_in_every_child(small, mint, kind):
    """R7662-07: stored by another program, so within a second; a later one is active."""
    site = small.start(text(places(), issuer("https://other.test/", jwks("all"))))
    mine = {"sid": "s1", "sub": "carol", "client_id": "c1"}
    token, by_azp = mint(**mine), mint(sid="s1", sub="carol", azp="c1")
    other = mint(iss="https://other.test/", **mine)
    later = mint(**mine, iat=int(time.time()) + 50)
    value = mine[KINDS[kind]] if KINDS[kind] else ""
    with EveryChild(site) as children:
        for good in (token, by_azp, other, later):
            assert views(children, good) == {True}
        now = time.time()
        Database(site).insert((kind, MAIN, value, int(now) + 90000, int(now * 1e6)))
        until(lambda: views(children, token) == {False}, 2)
        assert views(children, by_azp) == {False}
        assert views(children, other) == {True}
        assert views(children, later) == {True}


def test_what_is_not_known_is_unavailable(small, mint):
    """R7662-07: rather no answer than active; what is bad anyway is inactive all the same."""
    site = small.start(text(places(), "TokRevokeMaxStaleness 2s\n"))
    db = Database(site)
    good, revoked = mint(), mint()
    assert site.revoke(revoked).status == 200
    site.expect_log("TR023: ")
    active(introspect(site, good))
    HIDE["the file"][0](db)
    until(lambda: introspect(site, good).status == 503, 5 * SLOW)
    r = is_error(introspect(site, good), 503, "temporarily_unavailable")
    assert int(r["Retry-After"]) > 0 and r["WWW-Authenticate"] is None
    inactive(introspect(site, revoked))
    inactive(introspect(site, mint(exp=1000)))
    inactive(introspect(site, "abc"))
    is_error(introspect(site, good, "X-None: 1", path="/open"), 401, "invalid_client")
    HIDE["the file"][1](db)
    until(lambda: introspect(site, good).status == 200, 5 * SLOW)
    active(introspect(site, good))


def test_it_works_in_a_virtual_host_with_issuers_of_its_own(small, mint):
    site = small.start(text(places()) + "<VirtualHost 127.0.0.1:{port}>\nServerName 127.0.0.1\n</VirtualHost>\n"
                       "<VirtualHost 127.0.0.1:{port}>\nServerName any.test\n" + issuer("*", jwks("all")) + "</VirtualHost>\n")
    token = mint(iss="https://some.body/")
    inactive(introspect(site, token))
    r = site.get("/introspect", FORM, ADMIN, method="POST", body="token=" + token, host="any.test")
    assert active(r)["iss"] == "https://some.body/"


def test_a_token_without_jti_that_was_revoked_is_inactive(site, mint):
    token = mint(drop="jti", nonce="once")
    active(introspect(site, token))
    assert site.revoke(token).status == 200
    inactive(introspect(site, token))
    assert claims_of(token)["sub"] == "alice"
