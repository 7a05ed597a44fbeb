"""Good tokens pass: every algorithm, key source and legal oddity. Refusing too much is as much a bug as accepting."""

import json
import time

import pytest

import issuers as at
from tokens import ALGS, ASYMMETRIC, MAIN, claims

PUBLIC = [(at.PEM, "pem"), (at.PEM_KID, "pem-kid"), (at.CERT, "cert"), (at.CERT_KID, "cert-kid")]
SETS = [(MAIN, "jwks-kid"), (at.NOKID, "jwks-nokid"), (at.UNLIMITED, "jwks-unlimited")]
SECRETS = [(at.SECRET, "secret"), (at.SECRET_KID, "secret-kid")]
SOURCES = ([pytest.param(alg, iss, id=f"{alg}-{name}") for alg in ALGS for iss, name in SETS]
           + [pytest.param(alg, iss, id=f"{alg}-{name}") for alg in ASYMMETRIC for iss, name in PUBLIC]
           + [pytest.param(alg, iss, id=f"{alg}-{name}") for alg in ALGS[13:] for iss, name in SECRETS])


def passes(main, token, path="/p/app/ok.txt", user="alice"):
    r = main.bearer(path, token)
    assert (r.status, r.reason, r.user) == (200, None, user), r
    assert r.text == "the protected page\n"


@pytest.mark.parametrize("kid", ["", None], ids=["kid", "no-kid"])
@pytest.mark.parametrize("alg, iss", SOURCES)
def test_a_token_of_every_algorithm_and_key_source_is_accepted(main, mint, alg, iss, kid):
    """JWS-19, JWS-20, JWT-09"""
    passes(main, mint(alg, iss=iss, kid=kid))


@pytest.mark.parametrize("alg, iss", SOURCES)
def test_a_tampered_token_is_refused(main, mint, alg, iss):
    head, payload, sig = mint(alg, iss=iss).split(".")
    _, other, _ = mint(alg, iss=iss, sub="mallory").split(".")
    flipped = ("B" if sig[0] == "A" else "A") + sig[1:]
    for forged in (f"{head}.{other}.{sig}", f"{head}.{payload}.{flipped}"):
        r = main.bearer("/p/app/ok.txt", forged)
        assert (r.status, r.reason) == (401, "bad_signature"), r


@pytest.mark.parametrize("alg", [a for a in ALGS if a not in ("Ed25519", "Ed448")])
def test_a_token_minted_by_jose_is_accepted(main, jose_tokens, alg):
    passes(main, jose_tokens[alg])


def test_an_ed448_token_under_the_name_eddsa_is_accepted(main, mint, keys):
    """JWS-19: the curve of the key decides."""
    passes(main, mint("EdDSA", key=keys["ed448"], kid="ed448"))
    passes(main, mint("EdDSA", key=keys["ed448"], kid=None))


@pytest.mark.parametrize("iss", [at.NOKID, at.PEM, at.CERT])
def test_a_key_without_a_kid_fits_any_kid(main, mint, iss):
    """JWS-11: kid is a hint."""
    passes(main, mint("RS256", iss=iss, kid="never-heard-of"))


ODD_CLAIMS = {  # a function of the time, where the time matters: the test may begin long after its collection
    "exp with a fraction": lambda now: {"exp": now + 900.25},
    "iat with a fraction": lambda now: {"iat": now - 3.75},
    "no iat": {"drop": "iat"},
    "no jti": {"drop": "jti"},
    "iat in the future within the skew": lambda now: {"iat": now + 15},
    "nbf in the future within the skew": lambda now: {"nbf": now + 15},
    "nbf in the past": {"nbf": 1},
    "nbf negative": {"nbf": -1},
    "exp in the past within the skew": lambda now: {"exp": now - 5, "iat": now - 900},
    "aud where none is asked": {"aud": "whoever"},
    "aud of a wrong type where none is asked": {"aud": 7},
    "extra claims": lambda now: {"a": None, "b": [], "c": {}, "d": True, "roles": ["x"], "acr": "1", "auth_time": now},
    "claims that look like others": {"EXP": 1, "Iss": "x", "exp ": 0, "": 1},
    "an unsigned 64-bit claim": {"big": 18446744073709551615},
    "an integer of 40 digits": {"big": 10**40},
    "the least 64-bit integer": {"big": -2**63},
    "token_use access": {"token_use": "access"},
    "token_type Bearer": {"token_type": "Bearer"},
    "typ Bearer, as Keycloak says": {"typ": "Bearer"},
    "type access": {"type": "access"},
    "a use claim that is no string": {"token_use": 7, "type": ["refresh"]},
    "nonce": {"nonce": "n-0S6_WzA2Mj"},
    "sid": {"sid": "08a5019c-17e1-4977-8f42-65a12843ea02"},
    "client_id and azp": {"client_id": "c1", "azp": "c2"},
    "empty sid and client_id": {"sid": "", "client_id": ""},
    "a jti of 1024 bytes": {"jti": "j" * 1024},
    "a sid of 1024 bytes": {"sid": "s" * 1024},
    "a jti of spaces and quotes": {"jti": ' "\\/ '},
    "text of many scripts": {"name": "Zoë Ωμέγα 漢字 \U0001F600"},
    "32 levels deep": {"deep": json.loads("[" * 31 + "]" * 31)},
}


@pytest.mark.parametrize("what", ODD_CLAIMS)
def test_odd_but_legal_claims_are_accepted(main, mint, what):
    """JWT-01, JWT-09, BCP-09"""
    given = ODD_CLAIMS[what]
    passes(main, mint(**(given(int(time.time())) if callable(given) else given)))


def spelled(template, **more):
    """Claims as JSON text in which TIME stands for a time in the near future."""
    body = claims(drop=("exp",), **more)
    return json.dumps(body)[:-1] + ", " + template.replace("TIME", str(int(time.time()) + 600)) + "}"


RAW_PAYLOADS = {
    "exp as an exponent": lambda: spelled(f'"exp": {(int(time.time()) + 600) / 1e9:.9f}e9'),
    "exp with a plus in the exponent": lambda: spelled(f'"exp": {(int(time.time()) + 600) / 1e9:.9f}E+9'),
    "exp with .0": lambda: spelled('"exp": TIME.0'),
    "a number past doubles in an unused claim": lambda: spelled('"exp": TIME, "huge": 1e400, "tiny": 1e-400'),
    "minus zero": lambda: spelled('"exp": TIME, "zero": -0, "nbf": -0.0'),
    "white space everywhere": lambda: " \r\n\t" + json.dumps(claims(), indent=4) + "\n ",
    "names and values in escapes": lambda: spelled(r'"\u0065xp": TIME').replace('"alice"', r'"\u0061lice"'),
    "a surrogate pair": lambda: spelled(r'"exp": TIME, "x": "\ud83d\ude00"'),
    "an empty object inside": lambda: spelled('"exp": TIME, "x": {"": {}}'),
}


@pytest.mark.parametrize("what", RAW_PAYLOADS)
def test_odd_but_legal_json_is_accepted(main, mint, what):
    """JWT-01, JWS-04, JWT-08"""
    passes(main, mint(payload=RAW_PAYLOADS[what]()))


@pytest.mark.parametrize("header", [
    {"typ": "jwt"}, {"typ": "at+jwt"}, {"typ": "AT+JWT"}, {"typ": "application/at+jwt"}, {"typ": "my-own+jwt"}, {"typ": ""},
    {"cty": "json"}, {"unknown": {"a": [1]}}, {"ver": 2},
    {"jku": "https://evil.test/jwks"}, {"x5u": "https://evil.test/x"}, {"x5c": ["MIIB"]}, {"x5t": "abc"},
    {"jwk": {"kty": "oct", "k": "AA"}},
], ids=str)
def test_odd_but_legal_headers_are_accepted(main, mint, header):
    """JWS-10, JWS-12, JWS-13: what is not used does not matter."""
    passes(main, mint(header=header))


def test_a_header_without_typ_is_accepted(main, mint, keys):
    from tokens import compact
    passes(main, compact({"alg": "ES256"}, claims(), "ES256", keys["p256"]))


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_the_wanted_typ_is_accepted_in_each_spelling(main, mint, typ):
    """JWS-12"""
    passes(main, mint(iss=at.TYPED, header={"typ": typ}))


@pytest.mark.parametrize("aud", ["legacy-app", "other-app", ["legacy-app"], ["x", "other-app"],
                                 [f"app{i}" for i in range(500)] + ["legacy-app"]], ids=lambda a: str(a)[:30])
def test_an_audience_that_names_us_is_accepted(main, mint, aud):
    """JWT-05"""
    passes(main, mint(iss=at.AUD, aud=aud))


@pytest.mark.parametrize("use", ["access", "service"])
def test_the_wanted_token_use_is_accepted(main, mint, use):
    passes(main, mint(iss=at.USE, token_use=use))


def test_with_a_token_use_of_its_own_the_general_rule_is_off(main, mint):
    passes(main, mint(iss=at.USE, token_use="access", type="refresh", at_hash="x"))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
@pytest.mark.parametrize("gap", [" ", "  ", "      "], ids=len)
def test_the_scheme_is_read_without_regard_to_case_and_spaces(main, mint, scheme, gap):
    """R6750-01"""
    r = main.get("/p/app/ok.txt", f"Authorization: {scheme}{gap}{mint()}")
    assert (r.status, r.user) == (200, "alice"), r


def test_field_names_are_read_without_regard_to_case(main, mint):
    assert main.get("/p/app/ok.txt", f"AUTHORIZATION: Bearer {mint()}").status == 200


def test_a_token_of_16_kib_is_accepted(main, mint):
    token = sized(mint, 16384)
    passes(main, token)


def sized(mint, size):
    """A token of exactly that many bytes."""
    body = dict(claims(), pad="")
    for i in range(6):  # some lengths no base64url text has: then the header takes a byte more
        header = {"pad": "x" * i}
        fixed = len(mint(header=header, payload="{}")) - len("e30")
        body["pad"] = "x" * ((size - fixed) * 3 // 4 - len(json.dumps(dict(body, pad=""))))
        token = mint(header=header, payload=body)
        if len(token) == size:
            return token
    raise AssertionError(size)


def test_an_issuer_and_a_kid_of_1024_bytes_are_accepted(main, mint):
    passes(main, mint(iss=at.LONG_NAME))
    passes(main, mint("RS256", iss=at.NOKID, kid="k" * 1024))


def test_a_subject_of_1024_bytes_is_accepted(main, mint):
    passes(main, mint(sub="s" * 1024), user="s" * 1024)


def test_a_subject_beyond_ascii_becomes_the_user(main, mint):
    r = main.bearer("/p/app/ok.txt", mint(sub="jürgen 漢"))
    assert r.status == 200
    assert r.user.encode("latin-1").decode() == "jürgen 漢"


@pytest.mark.parametrize("uid, user", [("bob", "bob"), (7, "7"), (-12, "-12"), (9007199254740993, "9007199254740993")])
def test_a_string_or_an_integer_becomes_the_user(main, mint, uid, user):
    passes(main, mint(uid=uid), "/p/uid/ok.txt", user)


def test_a_dotted_path_reaches_the_user(main, mint):
    passes(main, mint(realm={"user": {"name": "carol"}}), "/p/nested/ok.txt", "carol")
    passes(main, mint(**{"realm.user.name": "dora"}), "/p/nested/ok.txt", "dora")


def test_a_token_without_sub_passes_where_another_claim_names_the_user(main, mint):
    passes(main, mint(drop="sub", uid="eve"), "/p/uid/ok.txt", "eve")


def test_an_algorithm_named_by_the_key_is_accepted(main, mint):
    for alg in ("RS256", "Ed25519", "HS512"):
        passes(main, mint(alg, iss=at.PINNED))


def test_keys_beside_unfit_ones_are_used(main, mint):
    """JWS-21: the rest of the set stays in force."""
    passes(main, mint("ES512", iss=at.UNFIT, kid="good"))
    passes(main, mint("ES512", iss=at.UNFIT, kid=None))


def test_eight_keys_are_tried_and_a_ninth_is_reached_by_its_kid(main, mint):
    for i in range(8):
        passes(main, mint(iss=at.NINE, key=main.nine[i], kid=None))
    for i in range(9):
        passes(main, mint(iss=at.NINE_KID, key=main.nine[i], kid=f"k{i}"))


@pytest.mark.parametrize("more", [{}, {"iss": "https://any.other/"}, {"drop": "iss"}, {"iss": ""}], ids=str)
def test_the_star_issuer_takes_any_or_no_issuer(main, mint, more):
    r = main.bearer("/p/app/ok.txt", mint(**more), host="any.test")
    assert (r.status, r.user) == (200, "alice"), r


def test_a_good_token_passes_on_every_use(main, mint):
    token = mint("RS256")
    with main.connect() as c:
        for _ in range(50):
            assert c.request("GET", "/p/app/ok.txt", "Authorization: Bearer " + token).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_every_method_is_judged_alike(main, mint, method):
    """The default handler refuses some methods itself, but never with 401."""
    body = "x=1" if method in ("POST", "PUT", "PATCH") else None
    auth = "Authorization: Bearer " + mint()
    assert main.get("/p/app/ok.txt", auth, method=method, body=body).status != 401
    r = main.get("/p/app/ok.txt", method=method, body=body)
    assert (r.status, r.reason) == (401, "no_token")
