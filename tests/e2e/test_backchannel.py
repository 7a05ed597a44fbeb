"""OpenID Connect Back-Channel Logout 1.0 (errata 1): what a logout token must be, what it ends, and that it is good for once."""

import json
import re
import threading
import time
import urllib.parse

import pytest

import issuers as at
from database import Database
from httpd import ALIAS, endpoint
from issuers import issuer, issuers, jwks, locations, write_keys
from storing import FORM, JSON, SLOW, EveryChild, are_accepted, are_revoked, claims_of, text, until, verdicts
from test_accept import passes
from test_forgery import with_signature
from test_introspect import places, small
from test_refuse import mangled, refused
from test_store_stall import HIDE, verdicts_with_new_connections
from tokens import MAIN, b64, claims, compact, other_spelling, public_pem, serial

EVENT = "http://schemas.openid.net/event/backchannel-logout"
APP = "https://app.test/"
BOTH = "https://both.test/"
RS256 = "https://rs256.test/"
HANDLER = "tokrevoke-backchannel-logout"


def receiver(path="/backchannel", *directives):
    return endpoint(path, *directives, handler=HANDLER)


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    write_keys(server, keys)
    every = jwks("all")
    own = (issuer(APP, every, "TokRevokeLogoutAudience app app2")
           + issuer(BOTH, every, "TokRevokeAudience api", "TokRevokeLogoutAudience app")
           + issuer(RS256, every, "TokRevokeAlgorithms RS256"))
    front = endpoint("/logout", "TokRevokeTokenFrom cookie=session", "TokRevokeLogoutScope subject", handler="tokrevoke-logout")
    return server.start("TokRevokeCapacity 20000\n" + issuers() + own + ALIAS + locations() + front + receiver()
                        + receiver("/allowed", "TokRevokeAllowOrigin https://idp.test"))


def word(name):
    """A name that no other test uses."""
    return f"{name}-{next(serial)}"


def logout_claims(drop=(), **more):
    now = int(time.time())
    out = {"iss": MAIN, "aud": "app", "iat": now, "exp": now + 120, "jti": word("logout"), "events": {EVENT: {}}, **more}
    for name in (drop,) if isinstance(drop, str) else drop:
        del out[name]
    return out


@pytest.fixture(scope="session")
def logout(mint):
    """Makes logout tokens: sub or sid, or whatever else must be in them."""
    def make(alg="ES256", *, key=None, kid="", header=None, **more):
        return mint(alg, key=key, kid=kid, header={"typ": "logout+jwt"} if header is None else header, payload=logout_claims(**more))
    return make


def form(token, **more):
    return urllib.parse.urlencode({"logout_token": token, **more}, errors="surrogateescape")


def post(server, token, path="/backchannel", **more):
    return server.get(path, FORM, method="POST", body=form(token, **more))


def is_answer(r, status):
    """BCL-13, BCL-14, BCL-15, BCL-19, R6749-06: 200 or 400, JSON, never stored; nobody is asked who he is."""
    assert r.status == status, r
    assert r["Content-Type"].split(";")[0] == "application/json" and r["Content-Length"] == str(len(r.body))
    assert r["Cache-Control"] == "no-store" and r["WWW-Authenticate"] is None
    return r.json()


def accepted(r):
    assert is_answer(r, 200) == {}


def refused_logout(r, error="invalid_request", status=400):
    """BCL-14, R6749-05"""
    body = is_answer(r, status)
    assert set(body) == {"error", "error_description"} and body["error"] == error, r
    assert all(" " <= c <= "~" and c not in '"\\' for c in body["error_description"])
    return r


def changes_nothing(site, logout, mint, **more):
    """Refused, and the subject and session that it names go on."""
    sub, sid = more.get("sub", word("sub")), more.get("sid", word("sid"))
    refused_logout(post(site, logout(**{"sub": sub, "sid": sid, **more})))
    if all(isinstance(name, str) and 0 < len(name) < 100 and name.isprintable() for name in (sub, sid)):
        passes(site, mint(sub=sub, sid=sid), user=sub)


# ---- what it ends ----

@pytest.mark.parametrize("names_sub", [False, True], ids=["sid", "sid-and-sub"])
def test_a_sid_ends_that_session_and_no_other(site, mint, logout, names_sub):
    """BCL-11"""
    sub = word("sub")
    s1, again, s2, none = mint(sub=sub, sid=sub + "1"), mint(sub=sub, sid=sub + "1"), mint(sub=sub, sid=sub + "2"), mint(sub=sub)
    for token in (s1, again, s2, none):
        passes(site, token, user=sub)
    accepted(post(site, logout(sid=sub + "1", **({"sub": sub} if names_sub else {}))))
    refused(site, s1, "revoked")
    refused(site, again, "revoked")
    passes(site, s2, user=sub)
    passes(site, none, user=sub)


def test_a_sub_ends_all_sessions_of_that_subject(site, mint, logout):
    """BCL-11"""
    sub, other = word("sub"), word("sub")
    tokens = [mint(sub=sub, sid=sub + "1"), mint(sub=sub, sid=sub + "2"), mint(sub=sub), mint(sub=sub, drop="iat"), mint(sub=sub, drop="jti")]
    theirs = mint(sub=other, sid=sub + "1")
    accepted(post(site, logout(sub=sub)))
    for token in tokens:
        refused(site, token, "revoked")
    passes(site, theirs, user=other)


def test_a_session_with_offline_access_ends_too(site, mint, logout):
    """BCL-12 is not followed: nothing of a session outlives its logout."""
    sid = word("sid")
    accepted(post(site, logout(sid=sid)))
    refused(site, mint(sid=sid, scope="openid offline_access"), "revoked")


def test_whom_nobody_knows_is_logged_out_already(site, logout):
    """BCL-10"""
    accepted(post(site, logout(sub=word("nobody"))))
    accepted(post(site, logout(sid=word("none"))))
    accepted(post(site, logout(sub="x" * 1024, sid="Ωμέγα \U0001F600 ' OR 1=1 --")))


def test_a_session_of_another_issuer_goes_on(site, mint, logout, keys):
    sid, sub = word("sid"), word("sub")
    theirs = mint(iss=at.SECOND, key=keys.other["p256"], sid=sid, sub=sub)
    accepted(post(site, logout(sid=sid)))
    accepted(post(site, logout(sub=sub)))
    passes(site, theirs, user=sub)
    accepted(post(site, logout(iss=at.SECOND, key=keys.other["p256"], sid=sid)))
    refused(site, theirs, "revoked")


@pytest.mark.parametrize("which", ["sid", "sub"])
def test_a_later_login_works_and_one_of_the_same_second_does_not(site, mint, logout, which):
    """BCL-11, BCL-18: whole seconds, and what cannot be told apart is over."""
    name = word("later")
    names = {"sub": name, "sid": name}
    before = mint(**names)
    accepted(post(site, logout(**{which: name})))
    now = int(time.time())
    refused(site, before, "revoked")
    refused(site, mint(**names, iat=now - 1), "revoked")
    passes(site, mint(**names, iat=now + 1), user=name)
    time.sleep(max(0, now + 1.02 - time.time()))
    passes(site, mint(**names, iat=int(time.time())), user=name)


def test_a_provider_whose_clock_is_ahead_ends_what_it_issued(site, mint, logout):
    """BCL-18: the cut-off is the logout token's iat, where that is later than now."""
    sid, now = word("sid"), int(time.time())
    early, late = mint(sid=sid, iat=now + 30), mint(sid=sid, iat=now + 41)
    passes(site, early)
    accepted(post(site, logout(sid=sid, iat=now + 40)))
    refused(site, early, "revoked")
    passes(site, late)


def test_every_child_obeys_at_once(small, mint, logout):
    site = small.start(text(receiver()))
    with EveryChild(site) as children:
        for which in ("sid", "sub") * 5:
            name = word("all")
            token = mint(sub=name, sid=name)
            assert children.verdicts(token) == {"accepted"}
            accepted(post(site, logout(**{which: name})))
            assert children.verdicts(token) == {"revoked"}


# ---- the request ----

@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_post_is_allowed(site, mint, logout, method):
    """BCL-01"""
    sid = word("sid")
    token = logout(sid=sid)
    r = site.get("/backchannel?" + form(token), FORM, method=method, body=None if method in ("GET", "HEAD") else form(token))
    assert r.status == 405 and r["Allow"] == "POST, OPTIONS" and r["Cache-Control"] == "no-store"
    passes(site, mint(sid=sid))
    accepted(post(site, token))


def test_options_says_what_is_allowed(site):
    r = site.get("/backchannel", method="OPTIONS")
    assert r.status == 204 and r["Allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("kind", [JSON, "Content-Type: text/plain", "Content-Type: multipart/form-data; boundary=x",
                                  "Content-Type: application/x-www-form-urlencodedX", "X-None: 1"])
def test_another_body_is_refused(site, mint, logout, kind):
    """BCL-01"""
    sid = word("sid")
    token = logout(sid=sid)
    refused_logout(site.get("/backchannel", kind, method="POST", body=json.dumps({"logout_token": token}) if kind == JSON else form(token)))
    passes(site, mint(sid=sid))


BODIES = {"nothing": "", "another parameter": "token={0}", "no value": "logout_token=", "no equals sign": "logout_token",
          "another case": "Logout_Token={0}", "twice": "logout_token={0}&logout_token={0}",
          "twice by escapes": "logout_token={0}&logout%5Ftoken={0}", "a broken escape": "logout_token={0}&x=%zz",
          "a NUL": "logout_token={0}%00", "another parameter twice": "logout_token={0}&state=1&state=2"}


@pytest.mark.parametrize("what", BODIES)
def test_a_form_without_one_logout_token_is_refused(site, mint, logout, what):
    """BCL-01"""
    sid = word("sid")
    refused_logout(site.get("/backchannel", FORM, method="POST", body=BODIES[what].format(logout(sid=sid))))
    passes(site, mint(sid=sid))


def test_other_parameters_and_other_spellings_of_the_media_type_are_taken(site, logout):
    """BCL-01"""
    accepted(post(site, logout(sid=word("sid")), state="1", callback="f", id_token_hint="abc"))
    kind = "Content-Type: Application/X-WWW-Form-Urlencoded; charset=UTF-8"
    accepted(site.get("/backchannel", kind, method="POST", body=form(logout(sid=word("sid")))))


def test_parameters_in_the_url_are_not_read(site, logout):
    refused_logout(site.get("/backchannel?" + form(logout(sid="x")), FORM, method="POST", body=""))


@pytest.mark.parametrize("size", [65536, 1 << 20])
def test_a_body_over_64_kib_is_too_large(site, size):
    """BCL-19"""
    refused_logout(site.get("/backchannel", FORM, method="POST", body="logout_token=" + "x" * size), status=413)


def test_a_page_of_another_site_hears_no_more_than_it_may(site, logout):
    """Whoever has a logout token is the provider; but an answer is read only where that is allowed."""
    r = site.get("/backchannel", FORM, "Origin: https://evil.test", method="POST", body=form(logout(sid=word("sid"))))
    assert r.status == 200 and r["Access-Control-Allow-Origin"] is None
    r = site.get("/allowed", FORM, "Origin: https://idp.test", method="POST", body=form(logout(sid=word("sid"))))
    assert r.status == 200 and r["Access-Control-Allow-Origin"] == "https://idp.test"


# ---- the token ----

@pytest.mark.parametrize("name", ["iss", "aud", "iat", "exp", "jti", "events"])
def test_each_required_claim_must_be_there(site, mint, logout, name):
    """BCL-05, BCL-07"""
    changes_nothing(site, logout, mint, drop=name)


def test_a_subject_or_a_session_must_be_there(site, logout):
    """BCL-06"""
    refused_logout(post(site, logout()))


def since(seconds, kind=float):
    """A time so far from the moment in which a test wants it: this file is read long before."""
    return lambda: kind(time.time() + seconds)


def made(claims_):
    return {name: value() if callable(value) else value for name, value in claims_.items()}


WRONG = {
    "aud": ["", 7, None, [], {}, ["app", 7], [["app"]], True],
    "iat": ["1700000000", None, True, [], 1e300, since(100), since(-90000)],
    "exp": ["9999999999", None, True, [], 0, -1, since(-61), 1e300, 10**30, since(90000)],
    "nbf": ["x", None, since(600)],
    "jti": ["", 7, None, [], {}, "j" * 1025, "a\nb", "a\x85b"],
    "sub": ["", 7, None, [], {}, "s" * 1025, "a\x7f"],
    "sid": ["", 7, None, [], {}, "s" * 1025, "a\tb"],
    "iss": ["", 7, None, "https://evil.test/", "https://idp.test", "*"],
    "nonce": ["n", "", None, 1, True, [], {}],
    "events": [None, [], {}, "x", 1, True, EVENT, [EVENT], {EVENT: None}, {EVENT: []}, {EVENT: True}, {EVENT: ""}, {EVENT: "{}"},
               {EVENT + "/": {}}, {EVENT.upper(): {}}, {EVENT.replace("http:", "https:"): {}}, {"x": {EVENT: {}}},
               {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}}],
}


@pytest.mark.parametrize("name, value", [pytest.param(n, v, id=f"{n}-{i}") for n, values in WRONG.items() for i, v in enumerate(values)])
def test_a_claim_of_a_wrong_type_or_value_is_refused(site, mint, logout, name, value):
    """BCL-04, BCL-06, BCL-07, BCL-08"""
    changes_nothing(site, logout, mint, **made({name: value}))


RIGHT = {
    "aud an array": {"aud": ["x", "app"]}, "more in the event": {"events": {EVENT: {"x": 1}}},
    "another event beside it": {"events": {EVENT: {}, "urn:example:x": None}}, "a fraction of a second": {"iat": since(-0.5)},
    "an old iat": {"iat": since(-80000, int)}, "iat ahead within the skew": {"iat": since(40, int)},
    "just past its exp, within the skew": {"exp": since(-20, int)}, "nbf": {"nbf": 1},
    "other claims": {"trace_id": "x", "toe": 1, "cnf": {}, "Nonce": "n", "at_hash": "x", "client_id": "c", "big": 2**70},
    "long names": {"jti": "j" * 1000, "sid": "s" * 1024}, "other scripts": {"jti": "Ωμέγα \U0001F600", "sid": "漢字"},
}


@pytest.mark.parametrize("what", RIGHT)
def test_what_the_text_allows_is_accepted(site, mint, logout, what):
    """BCL-01, BCL-04, BCL-07"""
    more = {"sid": word("sid"), "jti": word("jti"), **made(RIGHT[what])}
    passes(site, mint(sid=more["sid"]))
    accepted(post(site, logout(**more)))
    refused(site, mint(sid=more["sid"]), "revoked")


@pytest.mark.parametrize("typ, good", [("logout+jwt", True), ("LOGOUT+JWT", True), ("application/logout+jwt", True), ("JWT", True), ("jwt", True),
                                       ("at+jwt", False), ("secevent+jwt", False), ("dpop+jwt", False), ("", False),
                                       ("x/logout+jwt", False), ("logout+jwt2", False), (7, False), (None, False)])
def test_a_type_must_be_that_of_a_logout_token_or_of_any_jwt(site, mint, logout, typ, good):
    """BCL-16, BCP-10"""
    if good:
        accepted(post(site, logout(sid=word("sid"), header={"typ": typ})))
    else:
        changes_nothing(site, logout, mint, header={"typ": typ})


def test_a_token_without_a_type_is_accepted(site, mint, keys):
    """BCL-16"""
    sid = word("sid")
    accepted(post(site, compact({"alg": "ES256", "kid": "p256"}, logout_claims(sid=sid), "ES256", keys["p256"])))
    refused(site, mint(sid=sid), "revoked")


@pytest.mark.parametrize("iss, aud, good", [(APP, "app", True), (APP, ["x", "app2"], True), (APP, "App", False), (APP, "app ", False), (APP, "api", False),
                                            (BOTH, "app", True), (BOTH, "api", False), (BOTH, ["api", "app"], True), (at.AUD, "legacy-app", True),
                                            (at.AUD, "app", False), (MAIN, "whoever", True)])
def test_the_audience_is_the_client_at_the_provider(site, logout, iss, aud, good):
    """BCL-04"""
    r = post(site, logout(iss=iss, aud=aud, sid=word("sid")))
    accepted(r) if good else refused_logout(r)


@pytest.mark.parametrize("alg", ["RS256", "PS512", "ES384", "ES256K", "Ed25519", "Ed448", "HS256"])
def test_every_algorithm_of_the_issuer_is_accepted(site, mint, logout, alg):
    """BCL-03"""
    sid = word("sid")
    accepted(post(site, logout(alg, sid=sid)))
    refused(site, mint(sid=sid), "revoked")


def test_a_signature_that_is_not_the_issuers_is_refused(site, mint, logout, keys):
    """BCL-02, BCL-03: none, confused algorithms, foreign keys, bent signatures, tokens of another form."""
    sid = word("sid")
    good = logout(sid=sid)
    head, payload, sig = good.split(".")
    bad = [logout(sid=sid, key=keys.other["p256"]), logout(sid=sid, kid="unknown"), logout("ES256", sid=sid, kid="p384"),
           logout("ES256", sid=sid, iss=RS256), logout("HS256", sid=sid, iss=RS256), logout("HS256", sid=sid, key=keys.other["oct"]),
           f"{b64(json.dumps({'alg': 'none'}))}.{payload}.", f"{b64(json.dumps({'alg': 'none'}))}.{payload}.{sig}",
           f"{head}.{payload}.", f"{head}.{payload}", other_spelling(good) + "A", with_signature(good, bytes(64)),
           f"{head}.{b64(json.dumps(logout_claims(sid=sid)))}.{sig}", "a.b.c.d.e", f"{good}.{sig}.{sig}"]
    bad += mangled(good).values()
    for secret in (public_pem(keys["p256"]), public_pem(keys["rsa"])):
        bad.append(compact_hmac(secret, {"alg": "HS256", "kid": "p256", "typ": "logout+jwt"}, logout_claims(sid=sid)))
    for header in ({"crit": ["x"]}, {"b64": False}, {"zip": "DEF"}, {"cty": "JWT"}, {"jwk": {"kty": "oct"}, "alg": "HS256"}):
        bad.append(logout(sid=sid, header={"typ": "logout+jwt", **header}))
    for token in bad:
        refused_logout(post(site, token))
    passes(site, mint(sid=sid))
    accepted(post(site, good))
    refused(site, mint(sid=sid), "revoked")


def compact_hmac(secret, header, payload):
    """What whoever knows a public key can make."""
    import hashlib
    import hmac
    head = b64(json.dumps(header)) + "." + b64(json.dumps(payload))
    return head + "." + b64(hmac.new(secret, head.encode(), hashlib.sha256).digest())


def test_an_algorithm_that_was_not_registered_is_refused(site, logout):
    """BCL-03"""
    accepted(post(site, logout("RS256", iss=RS256, sid=word("sid"))))
    for alg in ("ES256", "PS256", "RS512", "EdDSA", "HS256"):
        refused_logout(post(site, logout(alg, iss=RS256, sid=word("sid"))))


def test_a_payload_with_a_claim_twice_is_refused(site, mint, keys):
    sid = word("sid")
    body = json.dumps(logout_claims(sid=sid))
    for twice in ('"sid": "x"', '"jti": "x"', '"events": {}', r'"\u0073id": "x"'):
        token = mint(header={"typ": "logout+jwt"}, payload=body[:-1] + ", " + twice + "}")
        refused_logout(post(site, token))
    passes(site, mint(sid=sid))


def test_other_tokens_of_the_issuer_are_no_logout_tokens(site, mint):
    """BCP-10"""
    sub = word("sub")
    for more in ({}, {"aud": "app"}, {"aud": "app", "nonce": "n", "at_hash": "x"}, {"header": {"typ": "at+jwt"}}, {"token_use": "refresh"},
                 {"events": {EVENT: {}}}, {"events": {EVENT: {}}, "aud": "app", "nonce": "n"}):
        refused_logout(post(site, mint(sub=sub, **more)))
    passes(site, mint(sub=sub), user=sub)


def test_a_logout_token_lets_nobody_in(site, mint, logout):
    """BCL-17, BCP-09, BCP-10: it is no access token, with whatever type."""
    for header in ({"typ": "logout+jwt"}, {"typ": "JWT"}, {}):
        token = logout(sub="alice", sid=word("sid"), header=header)
        refused(site, token, "token_type")
    assert site.revoke(token).status == 200


@pytest.mark.parametrize("which", ["sid", "sub"])
def test_a_logout_token_ends_no_session_where_people_log_out(site, mint, logout, which):
    """BCL-17, BCL-09: else it could be used once more there."""
    name = word("front")
    token = logout(**{which: name})
    accepted(post(site, token))
    later = mint(sub=name, sid=name, iat=int(time.time()) + 1)
    time.sleep(1.1)
    for body in ("token=" + token, "refresh_token=" + token):
        r = site.get("/logout", FORM, "Accept: application/json", method="POST", body=body)
        assert r.status == 200, r
    r = site.get("/logout", FORM, "Accept: application/json", "Cookie: session=" + token, method="POST", body="")
    assert r.status == 200, r
    passes(site, later, user=name)


def test_a_logout_token_that_was_revoked_is_good_all_the_same(site, mint, logout):
    """Its use is remembered apart from revocations: nobody can keep a provider from logging out, and a logout revokes no access token."""
    sid, jti = word("sid"), word("jti")
    token = logout(sid=sid, jti=jti)
    assert site.revoke(token).status == 200
    accepted(post(site, token))
    refused(site, mint(sid=sid), "revoked")
    accepted(post(site, logout(sid=word("sid"), jti=jti + "x")))
    passes(site, mint(jti=jti + "x"))


def test_the_log_does_not_hold_the_token(site, logout):
    """SBCP-05"""
    good, bad = logout(sid=word("sid")), logout(sid=word("sid"), exp=1000)
    accepted(post(site, good))
    refused_logout(post(site, bad))
    site.wait_log(r"logged out: logout token [0-9a-f]{16}")
    site.wait_log(r"not logged out: logout token [0-9a-f]{16}: 400: The token has expired")
    log = site.error_log() + site.access_log()
    assert not any(part in log for part in good.split(".")[1:] + bad.split(".")[1:])


# ---- once ----

def test_a_token_is_good_for_once_and_its_replay_changes_nothing(site, mint, logout):
    """BCL-09: who logged in again since stays."""
    name = word("again")
    token = logout(sid=name)
    accepted(post(site, token))
    later = mint(sid=name, iat=int(time.time()) + 1)
    passes(site, later)
    time.sleep(1.1)
    for _ in range(5):
        refused_logout(post(site, token))
    passes(site, later)
    rows = Database(site).rows("value = ?", name)
    assert len(rows) == 1 and rows[0]["kind"] == "session"
    accepted(post(site, logout(sid=name, iat=int(time.time()) + 2)))
    refused(site, later, "revoked")


def test_it_is_the_jti_of_the_issuer_that_is_used_up(site, logout, keys):
    """BCL-09: another signature, time or session makes no other token; another issuer does."""
    jti = word("jti")
    first = logout(sid=word("sid"), jti=jti)
    accepted(post(site, first))
    refused_logout(post(site, other_spelling(first)))
    refused_logout(post(site, logout(sid=word("sid"), jti=jti)))
    refused_logout(post(site, logout("RS256", sub=word("sub"), jti=jti, exp=int(time.time()) + 500)))
    accepted(post(site, logout(sid=word("sid"), jti=jti, iss=at.SECOND, key=keys.other["p256"])))
    accepted(post(site, logout(sid=word("sid"), jti=jti.upper())))


def test_a_token_that_was_refused_is_not_used_up(site, logout):
    """BCL-09: nobody can use it up with a body that is not a provider's."""
    token = logout(sid=word("sid"))
    refused_logout(site.get("/backchannel", JSON, method="POST", body=json.dumps({"logout_token": token})))
    refused_logout(site.get("/backchannel", FORM, method="POST", body=form(token) + "&" + form(token)))
    refused_logout(post(site, token + "A"))
    accepted(post(site, token))


def test_of_many_posts_of_one_token_at_the_same_time_one_is_accepted(site, mint, logout):
    """BCL-09"""
    for _ in range(10):
        sid = word("sid")
        token = logout(sid=sid)
        connections = [site.connect() for _ in range(16)]
        start = threading.Barrier(len(connections))
        answers = []

        def ask(c):
            start.wait()
            answers.append(c.request("POST", "/backchannel", FORM, body=form(token)))

        threads = [threading.Thread(target=ask, args=(c,)) for c in connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for c in connections:
            c.close()
        assert sorted(r.status for r in answers) == [200] + [400] * 15
        for r in answers:
            accepted(r) if r.status == 200 else refused_logout(r)
        refused(site, mint(sid=sid), "revoked")


def replayed(children, token):
    """The statuses of a replay at each child; httpd closes a connection after each 400."""
    children.connect()
    found = {c.request("POST", "/backchannel", FORM, body=form(token)).status for c in children.at.values()}
    children.close()
    children.at.clear()
    return found


def test_every_child_knows_what_was_used_and_so_does_the_next_start(small, mint, logout):
    """BCL-09"""
    site = small.start(text(receiver()))
    name = word("start")
    tokens = [logout(sid=name), logout(sub=name)]
    for token in tokens:
        accepted(post(site, token))
    early, later = mint(sub=name, sid=name), mint(sub=name, sid=name, iat=int(time.time()) + 2)
    with EveryChild(site) as children:
        for token in tokens:
            assert replayed(children, token) == {400}
    site.next_generation()
    for token in tokens:
        refused_logout(post(site, token))
    for capacity in (20000, 30000):
        site.kill()
        site.reconfigure(text(receiver(), capacity=capacity))
        site.again()
        for token in tokens:
            refused_logout(post(site, token))
    are_accepted(site, [later])
    are_revoked(site, [early])
    assert Database(site).is_whole()


def test_a_restart_with_another_capacity_forgets_nothing(small, logout):
    """BCL-09"""
    site = small.start(text(receiver()))
    token = logout(sid=word("sid"))
    accepted(post(site, token))
    site.reconfigure(text(receiver(), capacity=30000))
    site.next_generation()
    refused_logout(post(site, token))


def test_another_server_of_the_same_database_knows_what_was_used(small, new_server, keys, mint, logout):
    """BCL-09: within a second."""
    site = small.start(text(receiver()))
    other = new_server(children=2)
    write_keys(other, keys)
    other.start(text(f"TokRevokeDatabase sqlite3:{site.root}/state/tokrevoke.db\n", receiver()))
    name = word("two")
    token, before = logout(sid=name), mint(sid=name)
    accepted(post(site, token))
    later = mint(sid=name, iat=int(time.time()) + 1)
    until(lambda: verdicts(other, [before]) == ["revoked"], 2)
    refused_logout(post(other, token))
    are_accepted(other, [later])
    are_accepted(site, [later])
    other.stop()


def test_the_store_says_what_happened(small, logout):
    site = small.start(text(receiver()))
    name = word("row")
    one, all_ = logout(sid=name, jti=name + "1"), logout(sub=name, jti=name + "2")
    for token in (one, all_):
        accepted(post(site, token))
    rows = Database(site).rows()
    assert [(row["kind"], row["issuer"], row["value"]) for row in rows] == [
        ("session", MAIN, name), ("logout", MAIN, name + "1"), ("subject", MAIN, name), ("logout", MAIN, name + "2")]
    now = time.time()
    for row, token in zip(rows, (one, one, all_, all_)):
        assert row["reason"] == "back-channel logout" and row["client_address"] == "127.0.0.1" and not row["actor"]
        if row["kind"] == "logout":
            assert claims_of(token)["exp"] + 60 <= row["expires_at"] <= claims_of(token)["exp"] + 62
        else:
            assert now - 30 < row["issued_before_us"] / 1e6 <= now + 1
            assert abs(row["expires_at"] - (now + 86400 + 60)) < 30
    assert Database(site).is_whole()


# ---- when we break ----

@pytest.mark.parametrize("which", ["sid", "sub"])
def test_a_logout_that_could_not_be_stored_is_400_and_the_same_token_succeeds_later(small, mint, logout, which):
    """BCL-13, BCL-09"""
    site = small.start(text(receiver()))
    db = Database(site)
    name = word("failed")
    access, token, other = mint(sub=name, sid=name), logout(**{which: name}), word("other")
    accepted(post(site, logout(sid=other)))
    site.expect_log("TR025: |TR023: ")
    HIDE["the file"][0](db)
    for _ in range(3):
        r = refused_logout(post(site, token), "temporarily_unavailable")
        assert "stored" in r.json()["error_description"]
    assert verdicts_with_new_connections(site, [access]) == ["revoked"]
    site.wait_log(r"\[tokrevoke:error\].* TR025: what logout token [0-9a-f]{16} ends is refused from now on")
    HIDE["the file"][1](db)
    until(lambda: db.rows("value = ?", name))
    accepted(post(site, token))
    refused_logout(post(site, token))
    site.kill()
    site.again()
    are_revoked(site, [access])
    refused_logout(post(site, token))
    assert db.is_whole()


def test_a_full_table_is_400_and_the_same_token_succeeds_later(small, mint, logout):
    """BCL-13"""
    site = small.start(text(receiver(), capacity=10))
    site.expect_log("TR002: |TR016: ")
    name = word("full")
    token, access = logout(sid=name), mint(sid=name)
    while site.revoke(mint()).status == 200:
        pass
    r = refused_logout(post(site, token), "temporarily_unavailable")
    site.reconfigure(text(receiver(), capacity=5000))
    site.next_generation()
    accepted(post(site, token))
    are_revoked(site, [access])


def test_without_knowing_what_others_did_nothing_is_promised(small, mint, logout):
    """BCL-13: the token may have been used at another server."""
    site = small.start(text("TokRevokeMaxStaleness 2s\n", receiver()))
    db = Database(site)
    token, bad = logout(sid=word("sid")), logout(sid=word("sid"), nonce="n")
    site.expect_log("TR023: |TR025: ")
    HIDE["the file"][0](db)
    until(lambda: verdicts_with_new_connections(site, [mint()]) == ["unavailable"], 5 * SLOW)
    refused_logout(post(site, token), "temporarily_unavailable")
    refused_logout(post(site, bad))
    HIDE["the file"][1](db)
    until(lambda: verdicts_with_new_connections(site, [mint()]) == ["accepted"], 5 * SLOW)
    accepted(post(site, token))


def test_without_a_database_a_token_is_good_for_once_too(small, mint, logout):
    site = small.start(text("TokRevokeDatabase none\n", receiver()))
    name = word("memory")
    token, access = logout(sid=name), mint(sid=name)
    accepted(post(site, token))
    refused(site, access, "revoked")
    with EveryChild(site) as children:
        assert replayed(children, token) == {400}
    site.next_generation()
    refused_logout(post(site, token))
    passes(site, mint(sid=name, iat=int(time.time()) + 2))


def test_a_body_that_ends_early_is_no_logout(site, mint, logout):
    """BCL-13"""
    sid = word("sid")
    body = form(logout(sid=sid))
    with site.connect() as c:
        c.send_raw(f"POST /backchannel HTTP/1.1\r\nHost: x\r\n{FORM}\r\nContent-Length: {len(body) + 10}\r\n\r\n{body}".encode())
        c.break_off()
        try:
            assert c.receive().status == 400
        except (EOFError, ConnectionResetError):
            pass
    passes(site, mint(sid=sid))


def test_a_logged_out_session_introspects_as_inactive(small, mint, logout):
    """R7662-07"""
    site = small.start(text(receiver(), places()))
    from test_introspect import active, inactive, introspect
    name = word("introspect")
    token, other = mint(sid=name, sub=name), mint(sub=name)
    active(introspect(site, token))
    accepted(post(site, logout(sid=name)))
    inactive(introspect(site, token))
    active(introspect(site, other))
    accepted(post(site, logout(sub=name)))
    inactive(introspect(site, other))
    assert not re.search("TR03[56]", site.error_log())
