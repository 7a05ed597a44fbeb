"""Each rule that a token is judged by, with its reason; and the order of the rules."""

import itertools
import json
import time

import pytest

import issuers as at
from test_accept import passes, sized, spelled
from tokens import MAIN, b64, claims, compact, signature


def refused(main, token, reason, path="/p/app/ok.txt", status=401, host=None):
    """R9068-07: whatever is wrong."""
    r = main.bearer(path, token, host=host)
    assert (r.status, r.reason) == (status, reason), (r, token[:200])
    assert "invalid_token" in r["WWW-Authenticate"]
    assert r.user is None
    assert b"protected page" not in r.body
    return r


# ---- 1: a token is there ----

@pytest.mark.parametrize("headers", [
    (), ("Authorization: Basic YWxpY2U6cHc=",), ("Authorization: Bearer",), ("Authorization: Bearer ",), ("Authorization:",),
    ("Authorization: Bearerx y",), ("Authorization: DPoP abc",), ("Authorization: Negotiate abc",), ("Authorization: x",),
    ("Cookie: session=abc",), ("X-Token: abc",),
], ids=str)
def test_no_token_is_no_token(main, headers):
    """R6750-07: another scheme is no token, and other sources than the configured ones are not looked at."""
    r = main.get("/p/app/ok.txt", *headers)
    assert (r.status, r.reason) == (401, "no_token"), r


def test_a_token_in_the_url_or_the_body_is_not_looked_at(main, mint):
    """R6750-04, R6750-05"""
    r = main.get("/p/app/ok.txt?access_token=" + mint())
    assert (r.status, r.reason) == (401, "no_token")
    r = main.get("/p/app/ok.txt", "Content-Type: application/x-www-form-urlencoded", method="POST", body="access_token=" + mint())
    assert (r.status, r.reason) == (401, "no_token")


@pytest.mark.parametrize("form", ["{0}\tx", "\t{0}", '"{0}"', "{0} x", "{0}\xe9", "<{0}>", "{0};", "token={0}"], ids=repr)
def test_a_bearer_value_with_foreign_characters_is_malformed(main, mint, form):
    """R6750-01, BCP-11"""
    r = main.get("/p/app/ok.txt", "Authorization: Bearer " + form.format(mint()))
    assert r.status in (400, 401) and r.reason in ("malformed", "multiple_tokens", "no_token"), r


def test_a_tab_does_not_separate_scheme_and_token(main, mint):
    """R6750-01"""
    assert main.get("/p/app/ok.txt", "Authorization: Bearer\t" + mint()).status in (400, 401)


# ---- 2: form ----

def mangled(token):
    head, payload, sig = token.split(".")
    return {
        "one part": head, "two parts": f"{head}.{payload}", "no signature": f"{head}.{payload}.",
        "no payload": f"{head}..{sig}", "no header": f".{payload}.{sig}", "four parts": f"{token}.{sig}", "five parts":
        f"{token}.{sig}.{sig}", "a leading dot": f".{token}", "a trailing dot": f"{token}.", "dots only": "..",
        "padding on the header": f"{head}=.{payload}.{sig}", "padding on the signature": f"{token}==",
        "padding on the payload": f"{head}.{payload}=.{sig}",
        "a plus": f"{head}.{payload}.+{sig[1:]}", "a slash": f"{head}.{payload}./{sig[1:]}", "a percent": f"{head}.{payload}%.{sig}",
        "a tilde": f"{head}.{payload}.~{sig[1:]}", "a length of 4n+1": f"{head}.{payload}.{sig}A"
        if len(sig) % 4 == 0 else f"{head}.{payload}.{sig[:len(sig) // 4 * 4]}A",
        "JSON": '{"payload":"e30"}', "opaque": "rt_x1y2z3a4b5c6d7e8f9", "a letter": "x",
    }


@pytest.mark.parametrize("what", mangled("a.b.c"))
def test_what_is_no_compact_jws_is_malformed(main, mint, what):
    """JWS-01, JWS-02, JWS-14, BCP-11"""
    refused(main, mangled(mint())[what], "malformed")


@pytest.mark.parametrize("alg", ["ES256", "RS256", "ES512", "Ed448"])
def test_the_last_character_has_one_spelling(main, mint, alg):
    """JWS-03: unused bits of the last character of any part are zero."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    parts = mint(alg, sub="alice").split(".")
    tried = 0
    for i, part in enumerate(parts):
        if len(part) % 4:
            other = list(parts)
            other[i] = part[:-1] + alphabet[alphabet.index(part[-1]) + 1]
            refused(main, ".".join(other), "malformed")
            tried += 1
    assert tried or alg == "ES512"


BAD_HEADERS = {
    "an array": b'["ES256"]', "a string": b'"ES256"', "a number": b"1", "null": b"null", "empty object": b"{}",
    "truncated": b'{"alg":"ES256"', "trailing garbage": b'{"alg":"ES256"} x', "two objects": b'{"alg":"ES256"}{}',
    "a NUL behind": b'{"alg":"ES256"}\0', "a comment": b'{"alg":"ES256"/*x*/}', "single quotes": b"{'alg':'ES256'}",
    "a byte order mark": b'\xef\xbb\xbf{"alg":"ES256"}', "UTF-16": '{"alg":"ES256"}'.encode("utf-16"),
    "invalid UTF-8": b'{"alg":"ES256","x":"\xff"}', "overlong UTF-8": b'{"alg":"ES256","x":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"alg":"ES256","x":"\xed\xa0\x80"}', "a lone surrogate": rb'{"alg":"ES256","x":"\ud800"}',
    "alg twice": b'{"alg":"ES256","alg":"ES256"}', "alg twice by escapes": rb'{"alg":"ES256","al\u0067":"none"}',
    "kid twice": b'{"alg":"ES256","kid":"p256","kid":"p256"}', "duplicates inside": b'{"alg":"ES256","x":{"a":1,"a":2}}',
    "a NUL escape": rb'{"alg":"ES256","x":"a\u0000b"}', "a raw control character": b'{"alg":"ES256","x":"a\nb"}',
    "NaN": b'{"alg":"ES256","x":NaN}', "a leading zero": b'{"alg":"ES256","x":01}', "a trailing comma": b'{"alg":"ES256",}',
    "33 levels": b'{"alg":"ES256","x":' + b"[" * 32 + b"]" * 32 + b"}",
    "2000 levels": b'{"alg":"ES256","x":' + b"[" * 2000 + b"]" * 2000 + b"}",
    "crit": b'{"alg":"ES256","crit":["x"],"x":1}', "an empty crit": b'{"alg":"ES256","crit":[]}',
    "crit no array": b'{"alg":"ES256","crit":"exp"}', "crit null": b'{"alg":"ES256","crit":null}',
    "crit with a known name": b'{"alg":"ES256","crit":["alg"]}',
    "crit of RFC 7515 appendix E": rb'{"alg":"ES256","crit":["http://example.invalid/UNDEFINED"],"http://example.invalid/UNDEFINED":true}',
    "b64 false": b'{"alg":"ES256","b64":false}', "b64 true": b'{"alg":"ES256","b64":true}',
    "b64 false and crit": b'{"alg":"ES256","b64":false,"crit":["b64"]}', "zip": b'{"alg":"ES256","zip":"DEF"}',
    "kid a number": b'{"alg":"ES256","kid":7}', "kid null": b'{"alg":"ES256","kid":null}', "typ a number": b'{"alg":"ES256","typ":7}',
    "typ an array": b'{"alg":"ES256","typ":["JWT"]}', "cty a number": b'{"alg":"ES256","cty":7}', "cty JWT": b'{"alg":"ES256","cty":"JWT"}',
    "cty jwt": b'{"alg":"ES256","cty":"jwt"}',
    "a kid of 1025 bytes": b'{"alg":"ES256","kid":"' + b"k" * 1025 + b'"}',
    "a JWE": b'{"alg":"RSA-OAEP","enc":"A256GCM"}',
}


@pytest.mark.parametrize("what", BAD_HEADERS)
def test_a_bad_header_is_refused(main, keys, what):
    """JWS-04, JWS-05, JWS-08, JWS-09, JWS-11, JWS-13"""
    text = BAD_HEADERS[what]
    reason = "algorithm" if what in ("empty object", "a JWE") else "malformed"
    signing_input = b64(text) + "." + b64(json.dumps(claims()))
    token = signing_input + "." + b64(signature("ES256", keys["p256"], signing_input))
    refused(main, token, reason)


BAD_PAYLOADS = {
    "an array": "[]", "a string": '"x"', "a number": "1", "nothing but a space": " ", "truncated": lambda: json.dumps(claims())[:-1],
    "trailing garbage": lambda: json.dumps(claims()) + "x", "a NUL behind": lambda: json.dumps(claims()) + "\0",
    "text behind a NUL": lambda: json.dumps(claims()) + '\0{"a":1}',
    "a byte order mark": lambda: "\ufeff" + json.dumps(claims()), "UTF-16": lambda: json.dumps(claims()).encode("utf-16"),
    "invalid UTF-8": lambda: json.dumps(claims(x="@@")).encode().replace(b"@@", b"\xff\xfe"),
    "Latin-1": lambda: json.dumps(claims(x="@@")).encode().replace(b"@@", b"\xe9"),
    "jti twice": lambda: spelled('"exp": TIME, "jti": "other"'),
    "jti twice by escapes": lambda: spelled(r'"exp": TIME, "\u006ati": "other"'),
    "exp twice": lambda: spelled('"exp": TIME, "exp": TIME'), "duplicates inside": lambda: spelled('"exp": TIME, "x": [{"a":1,"a":1}]'),
    "a NUL escape in jti": lambda: spelled(r'"exp": TIME', jti="a\0b"),
    "a NUL escape in a name": lambda: spelled(r'"exp": TIME, "a\u0000": 1'),
    "33 levels": lambda: spelled('"exp": TIME, "x": ' + "[" * 32 + "]" * 32),
    "Infinity": lambda: spelled('"exp": TIME, "x": Infinity'), "a hexadecimal number": lambda: spelled('"exp": TIME, "x": 0x10'),
}


@pytest.mark.parametrize("what", BAD_PAYLOADS)
def test_a_payload_that_is_no_sound_object_is_malformed(main, mint, what):
    """JWS-04, JWS-05, JWT-11"""
    payload = BAD_PAYLOADS[what]
    refused(main, mint(payload=payload if isinstance(payload, str) else payload()), "malformed")


def test_a_token_over_16_kib_is_malformed(main, mint):
    refused(main, sized(mint, 16385), "malformed")
    refused(main, sized(mint, 30000), "malformed")
    refused(main, "x" * 60000, "malformed")


# ---- 3: algorithm ----

@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "es256", "ES256 ", "ES-256", "HS1", "RS1", "RSA1_5", "dir",
                                 "A256KW", "ES256\n", "RS256,ES256", 5, None, True, [], ["ES256"], {}, 1.5], ids=repr)
def test_an_unknown_algorithm_is_refused(main, keys, alg):
    """JWS-06, JWS-07, R9068-04"""
    token = compact({"alg": alg, "kid": "p256"}, claims(), "ES256", keys["p256"])
    refused(main, token, "algorithm")


def test_alg_missing_is_refused(main, keys):
    """JWS-06"""
    refused(main, compact({"kid": "p256"}, claims(), "ES256", keys["p256"]), "algorithm")


@pytest.mark.parametrize("alg", ["none", "None", "NONE"])
def test_alg_none_with_an_empty_signature_is_refused(main, alg):
    """JWS-07: three parts, the last one empty, is no token at all."""
    token = b64(json.dumps({"alg": alg})) + "." + b64(json.dumps(claims())) + "."
    refused(main, token, "malformed")


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256", "ES256", "EdDSA", "HS256"])
def test_an_algorithm_outside_the_list_is_refused(main, mint, alg):
    """BCP-01"""
    refused(main, mint(alg, iss=at.RS256_ONLY), "algorithm")


@pytest.mark.parametrize("alg, kind", [("RS384", "rsa"), ("PS256", "rsa"), ("EdDSA", "ed25519"), ("HS256", "oct"), ("ES256", "p256")])
def test_without_a_list_the_keys_decide(main, mint, alg, kind):
    """BCP-02: a key that names its algorithm is for no other."""
    refused(main, mint(alg, iss=at.PINNED), "algorithm")


# ---- 4: issuer ----

@pytest.mark.parametrize("iss", ["https://idp.test", "https://idp.test//", "https://IDP.test/", "HTTPS://idp.test/", "http://idp.test/",
                                 "https://idp.test/x", " https://idp.test/", "https://idp.test/ ", "*", "", "https://evil.test/",
                                 "https://idp.test:443/", "https://idp%2Etest/"])
def test_an_issuer_is_compared_byte_by_byte(main, mint, iss):
    """JWT-06, R9068-04"""
    refused(main, mint(iss=iss), "unknown_issuer")


def test_a_token_without_issuer_is_refused_where_nobody_claims_it(main, mint):
    refused(main, mint(drop="iss"), "unknown_issuer")


@pytest.mark.parametrize("iss", [7, None, True, ["https://idp.test/"], {}, "i" * 1025], ids=lambda x: str(x)[:20])
def test_an_issuer_that_is_no_fit_string_is_malformed(main, mint, iss):
    refused(main, mint(iss=iss), "malformed")


def test_the_star_issuer_is_asked_only_where_no_other_claims_the_token(main, mint, keys):
    """BCP-06: on that virtual host both exist."""
    refused(main, mint(iss=at.SECOND), "bad_signature", host="any.test")
    refused(main, mint(iss=at.RS256_ONLY), "algorithm", host="any.test")
    refused(main, mint(iss=7), "malformed", host="any.test")


# ---- 5 and 6: key and signature ----

@pytest.mark.parametrize("kid", ["unknown", "P256", "p256 ", "../../etc/passwd", "' OR 1=1 --", "p256\\u0000", "k" * 1024])
def test_a_kid_that_no_key_has_is_refused(main, mint, kid):
    """JWS-11, BCP-08"""
    refused(main, mint(kid=kid), "unknown_key")


def test_a_kid_of_a_key_of_another_kind_is_refused(main, mint):
    for kid in ("rsa", "p384", "k256", "ed25519", "oct"):
        refused(main, mint("ES256", kid=kid), "unknown_key")


def test_an_allowed_algorithm_without_a_key_is_refused(main, mint):
    refused(main, mint("ES256", iss=at.NO_SUCH_KEY), "unknown_key")
    refused(main, mint("HS256", iss=at.NO_SUCH_KEY, kid=None), "unknown_key")


@pytest.mark.parametrize("kid, alg", [("enc", "RS256"), ("sign", "ES256"), ("odd", "ES384")])
def test_a_key_for_other_purposes_verifies_nothing(main, mint, kid, alg):
    """JWS-21"""
    r = main.bearer("/p/app/ok.txt", mint(alg, iss=at.UNFIT, kid=kid))
    assert (r.status, r.reason) in ((401, "unknown_key"), (401, "algorithm")), r


@pytest.mark.parametrize("kid", ["", None], ids=["kid", "no-kid"])
@pytest.mark.parametrize("alg", ["RS256", "PS384", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed448", "HS256"])
def test_a_foreign_key_verifies_nothing(main, mint, keys, alg, kid):
    from tokens import KEY_OF
    refused(main, mint(alg, key=keys.other[KEY_OF[alg]], kid=kid), "bad_signature")


def test_an_issuers_key_is_of_no_use_for_another_issuer(main, mint, keys):
    """BCP-06: both are trusted, each for itself."""
    refused(main, mint(iss=MAIN, key=keys.other["p256"]), "bad_signature")
    refused(main, mint(iss=at.SECOND, key=keys["p256"]), "bad_signature")
    passes(main, mint(iss=at.SECOND, key=keys.other["p256"]))


def test_the_ninth_key_is_not_tried(main, mint):
    """eight signatures a token."""
    refused(main, mint(iss=at.NINE, key=main.nine[8], kid=None), "bad_signature")


# ---- 7: time ----

def now():
    return int(time.time())


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ['"1999999999"', "null", "true", "[1999999999]", "{}", '""', "1e400", "-1e400", "1" + "0" * 400],
                         ids=lambda v: v[:12])
def test_a_time_that_is_no_finite_number_is_malformed(main, mint, name, value):
    """JWT-01, JWT-04"""
    text = json.dumps(claims(**{name: "@@"})).replace('"@@"', value)
    refused(main, mint(payload=text), "malformed")


def test_a_token_without_exp_is_malformed(main, mint):
    refused(main, mint(drop="exp"), "malformed")


@pytest.mark.parametrize("exp", [0, -1, -1e300, 1, 946684800, -9223372036854775808, -18446744073709551616])
def test_a_token_that_expired_long_ago_is_expired(main, mint, exp):
    refused(main, mint(iss=at.UNLIMITED, exp=exp), "expired")


def test_expiry_counts_with_the_skew(main, mint):
    """JWT-02"""
    refused(main, mint(exp=now() - 61), "expired")
    passes(main, mint(exp=now() - 55))


def test_without_skew_a_token_ends_at_its_exp(main, mint):
    """JWT-02: not accepted on or after exp."""
    refused(main, mint(iss=at.STRICT_TIME, exp=now()), "expired")
    refused(main, mint(iss=at.STRICT_TIME, exp=time.time()), "expired")
    passes(main, mint(iss=at.STRICT_TIME, exp=now() + 3))
    exp = time.time() + 2.5
    token = mint(iss=at.STRICT_TIME, exp=exp)
    passes(main, token)
    time.sleep(max(0, exp + 0.05 - time.time()))
    refused(main, token, "expired")


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_from_the_future_is_not_yet_valid(main, mint, name):
    """JWT-03, JWT-04"""
    refused(main, mint(**{name: now() + 90, "exp": now() + 900}), "not_yet_valid")
    refused(main, mint(**{name: 1e300}), "not_yet_valid")
    passes(main, mint(**{name: now() + 40, "exp": now() + 900}))
    refused(main, mint(iss=at.STRICT_TIME, **{name: now() + 3, "exp": now() + 900}), "not_yet_valid")
    passes(main, mint(iss=at.STRICT_TIME, **{name: now()}))


def test_a_token_that_lives_too_long_is_refused(main, mint):
    day = 86400
    refused(main, mint(iat=now(), exp=now() + day + 1), "lifetime")
    passes(main, mint(iat=now(), exp=now() + day))
    refused(main, mint(drop="iat", exp=now() + day + 5), "lifetime")
    passes(main, mint(drop="iat", exp=now() + day - 5))
    refused(main, mint(iat=now() - day, exp=now() + 600), "lifetime")
    refused(main, mint(iss=at.STRICT_TIME, iat=now() - 5, exp=now() + 3600), "lifetime")
    passes(main, mint(iss=at.STRICT_TIME, iat=now() - 5, exp=now() + 3590))


@pytest.mark.parametrize("exp", [9999999999, 253402300800, 9223372036855, 18448744073709, 2**63 - 1, 2**63, 2**64, 1e18, 1e300])
def test_a_far_future_is_no_overflow(main, mint, exp):
    """JWT-01: never expired by wrapping round, never accepted with a limit."""
    refused(main, mint(exp=exp), "lifetime")
    refused(main, mint(exp=exp, drop="iat"), "lifetime")
    passes(main, mint(iss=at.UNLIMITED, exp=exp))


# ---- 8 and 9: audience, type, use ----

@pytest.mark.parametrize("aud", ["Legacy-App", "legacy", "legacy-app2", " legacy-app", "", [], ["x", "y"], [["legacy-app"]], 7, None,
                                 {"legacy-app": 1}, ["legacy-app", 7], "legacy-app other-app"], ids=str)
def test_an_audience_that_does_not_name_us_is_refused(main, mint, aud):
    """JWT-05, BCP-07, R9068-04"""
    refused(main, mint(iss=at.AUD, aud=aud), "audience")


def test_a_token_without_audience_is_refused_where_one_is_asked(main, mint):
    """BCP-07"""
    refused(main, mint(iss=at.AUD), "audience")


@pytest.mark.parametrize("typ", ["logout+jwt", "secevent+jwt", "dpop+jwt", "statuslist+jwt", "LOGOUT+JWT",
                                 "application/logout+jwt", "Application/DPoP+jwt"])
def test_a_type_that_is_no_access_token_is_refused(main, mint, typ):
    """BCP-09"""
    refused(main, mint(header={"typ": typ}), "token_type")


@pytest.mark.parametrize("typ", ["JWT", "at+jwt2", "x/at+jwt", "application/application/at+jwt", "", "logout+jwt"])
def test_another_type_than_the_wanted_is_refused(main, mint, typ):
    """R9068-01"""
    refused(main, mint(iss=at.TYPED, header={"typ": typ}), "token_type")


def test_no_type_is_refused_where_one_is_wanted(main, mint, keys):
    token = compact({"alg": "ES256", "kid": "p256"}, claims(iss=at.TYPED), "ES256", keys["p256"])
    refused(main, token, "token_type")


@pytest.mark.parametrize("more", [{"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}, {"cnf": {"x5t#S256": "abc"}},
                                  {"cnf": {}}, {"cnf": None}, {"events": {}}, {"events": None},
                                  {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}], ids=str)
def test_a_bound_token_or_an_event_is_no_bearer_token(main, mint, more):
    """DPOP-01, SET-18"""
    refused(main, mint(**more), "token_type")


@pytest.mark.parametrize("name", ["token_use", "token_type", "type", "typ"])
@pytest.mark.parametrize("value", ["refresh", "Refresh", "REFRESH_TOKEN", "refresh-token", "id", "ID", "id_token", "ID-Token",
                                   "urn:ietf:params:oauth:token-type:id_token"])
def test_a_refresh_or_id_token_by_its_claims_is_refused(main, mint, name, value):
    refused(main, mint(**{name: value}), "token_use")


@pytest.mark.parametrize("name", ["at_hash", "c_hash"])
def test_an_id_token_by_its_hashes_is_refused(main, mint, name):
    """R9068-09"""
    refused(main, mint(**{name: "MTIzNDU2Nzg5MDEyMzQ1Ng"}), "token_use")


@pytest.mark.parametrize("more", [{}, {"token_use": "refresh"}, {"token_use": "Access"}, {"token_use": ["access"]},
                                  {"token_use": None}], ids=str)
def test_a_token_without_the_wanted_use_is_refused(main, mint, more):
    refused(main, mint(iss=at.USE, **more), "token_use")


# ---- 10: identity ----

@pytest.mark.parametrize("name", ["jti", "sub", "sid", "client_id", "azp"])
@pytest.mark.parametrize("value", [7, None, True, [], {}, ["x"], "x" * 1025], ids=lambda v: str(v)[:10])
def test_an_identity_that_is_no_fit_string_is_malformed(main, mint, name, value):
    """JWT-07, JWT-11"""
    refused(main, mint(**{name: value}), "malformed")


@pytest.mark.parametrize("name", ["jti", "sub", "sid", "client_id"])
@pytest.mark.parametrize("value", ["a\nb", "a\rb", "\t", "a\x7f", "a\x1fb", "a\x85b", "\x9b"], ids=repr)
def test_a_control_character_in_an_identity_is_malformed(main, mint, name, value):
    """R6750-12: nothing can be slipped into a header or a log."""
    refused(main, mint(**{name: value}), "malformed")


def test_an_empty_jti_is_malformed(main, mint):
    refused(main, mint(jti=""), "malformed")


def test_a_token_without_user_is_malformed(main, mint):
    refused(main, mint(drop="sub"), "malformed")
    refused(main, mint(), "malformed", path="/p/uid/ok.txt")
    refused(main, mint(realm={"user": "x"}), "malformed", path="/p/nested/ok.txt")


@pytest.mark.parametrize("uid", ["", None, True, 1.5, [], ["bob"], {}, "bob\n", "b\x85"], ids=repr)
def test_a_user_that_is_no_name_is_malformed(main, mint, uid):
    refused(main, mint(uid=uid), "malformed", path="/p/uid/ok.txt")


# ---- the order ----

DEFECTS = {  # in the order of the checks; each touches other parts of the token than the rest, except where excluded below
    "algorithm": {"header": {"alg": "HS999"}},
    "unknown_issuer": {"iss": "https://evil.test/"},
    "unknown_key": {"header": {"kid": "unknown"}},
    "bad_signature": {"forge": True},
    "expired": {"exp": 1000},
    "not_yet_valid": {"nbf": 4000000000},
    "lifetime": {"iat": -10**9},
    "audience": {"aud": "other"},
    "token_type": {"header": {"typ": "logout+jwt"}},
    "token_use": {"token_use": "refresh"},
    "malformed": {"sid": 7},
    "revoked": {"jti": "order-of-checks"},
}


def defective(mint, keys, names):
    more, header, forge = {"aud": "legacy-app"}, {}, False
    for name in names:
        defect = dict(DEFECTS[name])
        header.update(defect.pop("header", {}))
        forge = defect.pop("forge", forge)
        more.update(defect)
    return mint(**{"iss": at.AUD, **more}, header=header, key=keys.other["p256"] if forge else None)


@pytest.mark.parametrize("first, second", itertools.combinations(DEFECTS, 2))
def test_the_first_rule_that_fails_gives_the_reason(main, mint, keys, first, second):
    assert main.revoke(mint(iss=at.AUD, jti="order-of-checks")).status == 200
    refused(main, defective(mint, keys, [first, second]), first)


def test_without_a_defect_the_token_of_the_order_tests_passes(main, mint, keys):
    passes(main, defective(mint, keys, []))


def test_with_every_defect_at_once_the_order_is_kept_to_the_end(main, mint, keys):
    assert main.revoke(mint(iss=at.AUD, jti="order-of-checks")).status == 200
    names = list(DEFECTS)
    for i, name in enumerate(names):
        refused(main, defective(mint, keys, names[i:]), name)


def test_a_bad_time_comes_before_expiry_and_after_the_signature(main, mint, keys):
    refused(main, mint(exp="x", key=keys.other["p256"]), "bad_signature")
    refused(main, mint(exp=1000, nbf="x"), "malformed")


def test_a_bad_crit_comes_before_the_issuer(main, mint):
    refused(main, mint(iss="https://evil.test/", header={"crit": ["x"]}), "malformed")
