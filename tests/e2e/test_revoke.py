"""The revocation endpoint: the table in docs/DIRECTIVES.md."""

import json
import time
import urllib.parse

import pytest

import issuers as at
from test_accept import passes, sized
from test_refuse import refused
from tokens import MAIN, b64, claims, compact

FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
PAGE = "/p/app/ok.txt"

WAYS = {"form": ("/revoke", FORM, {}), "json": ("/revoke", JSON, {"revoked": True}), "strict form": ("/strict", FORM, {"revoked": True}),
        "strict json": ("/strict", JSON, {"revoked": True})}
EACH_WAY = pytest.mark.parametrize("way", WAYS)
RFC_WAYS = pytest.mark.parametrize("way", ["form", "json"])


def encode(kind, params):
    return urllib.parse.urlencode(params) if kind == FORM else json.dumps(params)


def ask(server, way, token, **more):
    path, kind, _ = WAYS[way]
    return server.get(path, kind, method="POST", body=encode(kind, {"token": token, **more}))


def is_answer(r, status, body):
    assert r.status == status, r
    assert r["Content-Type"].split(";")[0] == "application/json"
    assert "no-store" in r["Cache-Control"]
    assert r["Content-Length"] == str(len(r.body))
    if body is not None:
        assert r.json() == body
    return r


def revoked_by(server, way, token, **more):
    is_answer(ask(server, way, token, **more), 200, WAYS[way][2])


def is_bad_request(r, strict, status=400):
    is_answer(r, status, None)
    if strict:
        assert r.json()["revoked"] is False and isinstance(r.json()["error"], str)
    else:
        assert r.json()["error"] == "invalid_request"


# ---- good tokens ----

@EACH_WAY
def test_a_good_token_is_revoked_once_and_again(main, mint, way):
    """R7009-13, R7009-15"""
    token = mint()
    passes(main, token)
    for _ in range(3):
        revoked_by(main, way, token)
        refused(main, token, "revoked")


@EACH_WAY
@pytest.mark.parametrize("alg", ["RS256", "PS512", "ES384", "ES256K", "Ed25519", "Ed448", "HS256"])
def test_a_token_of_every_kind_of_algorithm_is_revoked(main, mint, way, alg):
    token = mint(alg)
    passes(main, token)
    revoked_by(main, way, token)
    refused(main, token, "revoked")


def test_revoking_one_token_leaves_the_others(main, mint):
    one, other = mint(sid="s", client_id="c"), mint(sid="s", client_id="c")
    revoked_by(main, "form", one)
    refused(main, one, "revoked")
    passes(main, other)


OTHERWISE_BAD = {
    "a wrong audience": {"iss": at.AUD, "aud": "someone-else"}, "no audience": {"iss": at.AUD},
    "a wrong type": {"iss": at.TYPED}, "a logout token's type": {"header": {"typ": "logout+jwt"}},
    "a bound token": {"cnf": {"jkt": "x"}},
}


@EACH_WAY
@pytest.mark.parametrize("what", OTHERWISE_BAD)
def test_a_token_that_is_good_elsewhere_is_revoked_all_the_same(main, mint, way, what):
    """R7009-27: the table gained its jti, as a good token of that name shows."""
    more = dict(OTHERWISE_BAD[what])
    jti = f"else-{way}-{what}"
    revoked_by(main, way, mint(jti=jti, **more))
    good = {"aud": "legacy-app", "header": {"typ": "at+jwt"}, "iss": more.get("iss", MAIN), "jti": jti}
    refused(main, mint(**good), "revoked")


@EACH_WAY
def test_a_token_that_is_not_yet_valid_is_revoked(main, mint, way):
    """R7009-27: and still is when its time comes."""
    begin = int(time.time()) + (4 if way == "form" else 60)
    token = mint(iss=at.STRICT_TIME, nbf=begin, exp=begin + 60)
    refused(main, token, "not_yet_valid")
    revoked_by(main, way, token)
    jti = f"future-{way}"
    revoked_by(main, way, mint(nbf=4e9, jti=jti))
    refused(main, mint(jti=jti), "revoked")
    if way == "form":
        time.sleep(max(0, begin - time.time()) + 0.1)
        refused(main, token, "revoked")


@EACH_WAY
def test_a_token_that_lives_too_long_is_revoked(main, mint, way):
    jti = f"long-{way}"
    revoked_by(main, way, mint(exp=int(time.time()) + 10**8, jti=jti))
    refused(main, mint(jti=jti), "revoked")


@RFC_WAYS
@pytest.mark.parametrize("use", [{"token_use": "refresh"}, {"typ": "Refresh"}, {"type": "id_token"}, {"at_hash": "x"}], ids=str)
def test_a_refresh_or_id_token_is_revoked(main, mint, way, use):
    """R7009-19"""
    jti = f"use-{way}-{use}"
    revoked_by(main, way, mint(jti=jti, **use))
    refused(main, mint(jti=jti), "revoked")


@pytest.mark.parametrize("way", ["strict form", "strict json"])
@pytest.mark.parametrize("use", [{"token_use": "refresh"}, {"typ": "ID"}, {"c_hash": "x"}], ids=str)
def test_a_strict_endpoint_refuses_another_use(main, mint, way, use):
    jti = f"strict-{way}-{use}"
    r = is_answer(ask(main, way, mint(jti=jti, **use)), 401, {"revoked": False, "error": "unexpected token use"})
    assert r["WWW-Authenticate"].startswith("Bearer ")
    passes(main, mint(jti=jti))


# ---- bad tokens ----

def forged_none(mint, keys):
    return b64('{"alg":"none"}') + "." + mint().split(".")[1] + ".eA"


BAD = {
    "a word": lambda mint, keys: "abc", "an opaque token": lambda mint, keys: "rt_x1y2z3a4b5c6d7e8f9", "dots": lambda mint, keys: "..",
    "junk": lambda mint, keys: "a.b.c", "spaces": lambda mint, keys: "   ", "five parts": lambda mint, keys: "a.b.c.d.e",
    "another script": lambda mint, keys: "токен", "quotes": lambda mint, keys: '"},{"', "20 kB": lambda mint, keys: "x" * 20000,
    "no signature": lambda mint, keys: mint().rpartition(".")[0] + ".", "alg none": forged_none,
    "a forged signature": lambda mint, keys: mint(key=keys.other["p256"]),
    "a foreign issuer": lambda mint, keys: mint(iss="https://evil.test/"), "an unknown key": lambda mint, keys: mint(kid="x"),
    "expired": lambda mint, keys: mint(exp=1000), "just expired": lambda mint, keys: mint(exp=time.time() - 61),
    "no exp": lambda mint, keys: mint(drop="exp"), "exp a string": lambda mint, keys: mint(exp="9999999999"),
    "crit": lambda mint, keys: mint(header={"crit": ["x"]}), "a token of 20 kB": lambda mint, keys: sized(mint, 20000),
    "a secret of its own": lambda mint, keys: mint("HS256", key=keys.other["oct"], kid=None),
    "a wrong curve": lambda mint, keys: compact({"alg": "ES256", "kid": "p256"}, claims(), "ES384", keys["p384"]),
}


@RFC_WAYS
@pytest.mark.parametrize("what", BAD)
def test_a_bad_token_is_answered_like_a_good_one(main, mint, keys, way, what):
    """R7009-14"""
    is_answer(ask(main, way, BAD[what](mint, keys)), 200, WAYS[way][2])


@pytest.mark.parametrize("way", ["strict form", "strict json"])
@pytest.mark.parametrize("what", BAD)
def test_a_strict_endpoint_refuses_a_bad_token(main, mint, keys, way, what):
    """R6750-16"""
    r = is_answer(ask(main, way, BAD[what](mint, keys)), 401, {"revoked": False, "error": "invalid token"})
    assert r["WWW-Authenticate"].startswith("Bearer ")


@RFC_WAYS
def test_no_answer_tells_a_good_token_from_a_bad_one(main, mint, keys, way):
    """R7009-16: byte by byte, headers and their order included."""
    good = mint()
    seen = set()
    for token in [good, good] + [make(mint, keys) for make in BAD.values()]:
        r = ask(main, way, token)
        seen.add((r.status, tuple((n, v) for n, v in r.headers if n != "Date"), r.body))
    assert len(seen) == 1, seen


def test_an_expired_or_forged_token_ends_no_other_of_its_name(main, mint, keys):
    """R7009-27: neither is stored."""
    for i, bad in enumerate([{"exp": 1000}, {"key": keys.other["p256"]}, {"kid": "x"}, {"header": {"crit": ["x"]}}]):
        for way in WAYS:
            jti = f"kept-{i}-{way}"
            ask(main, way, mint(jti=jti, **bad))
            passes(main, mint(jti=jti))


# ---- identity ----

@pytest.mark.parametrize("a, b", [("Jti1", "jti1"), ("x", "x "), ("abc", "ab"), ("a", "aa"), ("1", "01"), ("é", "e\u0301")])
def test_a_jti_is_compared_as_it_is(main, mint, a, b):
    """JWT-07"""
    one, other = mint(jti="cmp-" + a), mint(jti="cmp-" + b)
    revoked_by(main, "form", one)
    refused(main, one, "revoked")
    passes(main, other)


def test_the_same_jti_of_another_issuer_is_another_token(main, mint, keys):
    """JWT-07"""
    one, other = mint(jti="shared"), mint(jti="shared", iss=at.SECOND, key=keys.other["p256"])
    revoked_by(main, "form", one)
    refused(main, one, "revoked")
    passes(main, other)
    revoked_by(main, "form", other)
    refused(main, other, "revoked")


def test_issuer_and_jti_do_not_run_into_each_other(main, mint, keys):
    """A naive key of their concatenation would be the same."""
    one = mint(iss=MAIN, jti="x")
    revoked_by(main, "form", one)
    passes(main, mint(iss=MAIN, jti="/x"))
    passes(main, mint(iss=at.NOKID, jti="x"))


def test_another_spelling_of_the_jti_is_the_same_token(main, mint):
    """JWT-08"""
    body = claims(jti="spelled")
    plain, escaped = json.dumps(body), json.dumps(body).replace('"spelled"', r'"\u0073pelled"')
    assert plain != escaped
    passes(main, mint(payload=escaped))
    revoked_by(main, "form", mint(payload=plain))
    refused(main, mint(payload=escaped), "revoked")


def test_a_new_token_with_the_same_jti_is_revoked_too(main, mint):
    """Other times, other key, other algorithm: issuer and jti are the identity."""
    revoked_by(main, "json", mint(jti="again"))
    refused(main, mint("RS256", jti="again", sub="bob", exp=int(time.time()) + 50), "revoked")


def test_a_long_jti_is_revoked_whole(main, mint):
    """JWT-11"""
    one, other = mint(jti="j" * 1023 + "1"), mint(jti="j" * 1023 + "2")
    revoked_by(main, "form", one)
    refused(main, one, "revoked")
    passes(main, other)


def test_a_token_without_jti_is_revoked_by_its_content(main, mint):
    """JWT-10"""
    one, other = mint(drop="jti"), mint(drop="jti", sub="alice", x=1)
    passes(main, one)
    revoked_by(main, "form", one)
    refused(main, one, "revoked")
    passes(main, other)


def test_tokens_of_no_issuer_are_revoked_apart_from_others(main, mint):
    one, other = mint(drop="iss", jti="nobody"), mint(iss="https://some.body/", jti="nobody")
    r = main.revoke(one, host="any.test")
    assert (r.status, r.body) == (200, b"{}")
    refused(main, one, "revoked", host="any.test")
    assert main.bearer(PAGE, other, host="any.test").status == 200


def test_a_revocation_outlives_the_token_by_the_skew(main, mint):
    """R7009-28: it is never the expiry of the entry that lets a token in again."""
    end = int(time.time()) + 5
    token = mint(exp=end - 60)
    passes(main, token)
    revoked_by(main, "form", token)
    while time.time() < end + 1:
        r = main.bearer(PAGE, token)
        assert r.status == 401 and r.reason in ("revoked", "expired")
        time.sleep(0.1)
    refused(main, token, "expired")


@EACH_WAY
@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "banana", "", "x" * 2000, "ключ"])
def test_a_hint_changes_nothing(main, mint, way, hint):
    """R7009-08, R7009-09"""
    token = mint()
    revoked_by(main, way, token, token_type_hint=hint)
    refused(main, token, "revoked")


@EACH_WAY
def test_a_reason_and_unknown_members_are_taken(main, mint, way):
    """R7009-07"""
    token = mint()
    revoked_by(main, way, token, reason="laptop lost", callback="f", client_id="c1")
    refused(main, token, "revoked")
