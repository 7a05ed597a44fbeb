"""
A second reader of tokens, as simple as can be, for one issuer without audience, and a hand that bends their texts at random.
The two readers must say the same of every text.
"""

import base64
import hashlib
import hmac
import json
import math
import re

from tokens import ALGS, KEY_OF, MAIN, b64
from tokens_claims import DAY

SKEW = 60
MEMBERS = ("jti", "sub", "sid", "client_id", "azp")
OTHER_TYPES = ("logout+jwt", "secevent+jwt", "dpop+jwt", "statuslist+jwt")
OTHER_USES = ("refresh", "refresh_token", "refresh-token", "refreshtoken", "offline",
              "urn:ietf:params:oauth:token-type:refresh_token",
              "id", "id_token", "id-token", "idtoken", "urn:ietf:params:oauth:token-type:id_token")


class Refused(Exception):
    pass


def need(is_right, reason):
    if not is_right:
        raise Refused(reason)


# ---- texts ----------------------------------------------------------------------------------------------------------


def octets(text):
    need(re.fullmatch("[A-Za-z0-9_-]+", text) and len(text) % 4 != 1, "malformed")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(b64(raw) == text, "malformed")
    return raw


def depth_of(value):
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if below is None else 1 + max(map(depth_of, below), default=0)


def once(pairs):
    need(len(dict(pairs)) == len(pairs), "malformed")
    return dict(pairs)


def no_constant(name):
    raise Refused("malformed")


def strings_of(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from strings_of(member)
    elif isinstance(value, list):
        for member in value:
            yield from strings_of(member)


def read_object(raw):
    try:
        found = json.loads(raw.decode(), object_pairs_hook=once, parse_constant=no_constant, parse_int=float)
    except (ValueError, RecursionError):
        raise Refused("malformed") from None
    need(isinstance(found, dict) and depth_of(found) <= 32, "malformed")
    need(not any(re.search("[\0\ud800-\udfff]", text) for text in strings_of(found)), "malformed")
    return found


# ---- rules ----------------------------------------------------------------------------------------------------------


def text_or_none(found, name):
    value = found.get(name, "")
    need(isinstance(value, str) and len(value.encode()) <= 1024, "malformed")
    return value


def is_clean(text):
    return not re.search("[\0-\x1f\x7f-\x9f]", text)


def number(claims, name):
    need(isinstance(claims.get(name, 0.0), float) or name not in claims, "malformed")
    need(math.isfinite(claims.get(name, 0.0)), "malformed")
    return claims.get(name)


def check_header(header):
    need(header.get("alg") in ALGS if isinstance(header.get("alg"), str) else False, "algorithm")
    need(not {"crit", "b64", "zip"} & set(header), "malformed")
    kid, typ, cty = (text_or_none(header, name) for name in ("kid", "typ", "cty"))
    need(cty.lower() not in ("jwt", "application/jwt"), "malformed")
    return kid, typ


def check_key(header, kid, secret, signing_input, signature):
    kinds = KEY_OF.values() if not kid else {kid} & set(KEY_OF.values())
    kind = KEY_OF[header["alg"]]
    need(kind in kinds or (kid == "ed448" and header["alg"] == "EdDSA"), "unknown_key")
    name = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}.get(header["alg"])
    need(name and hmac.new(secret, signing_input.encode(), getattr(hashlib, name)).digest() == signature, "bad_signature")


def check_times(claims, now):
    need("exp" in claims, "malformed")
    exp, nbf, iat = (number(claims, name) for name in ("exp", "nbf", "iat"))
    need(now < exp + SKEW, "expired")
    need((nbf is None or nbf <= now + SKEW) and (iat is None or iat <= now + SKEW), "not_yet_valid")
    need(exp - (now if iat is None else iat) <= DAY, "lifetime")


def check_purpose(claims, typ):
    typ = typ.lower()
    need("cnf" not in claims and "events" not in claims and typ.removeprefix("application/") not in OTHER_TYPES, "token_type")
    uses = [claims.get(name) for name in ("token_use", "token_type", "type", "typ")]
    need(not {"at_hash", "c_hash"} & set(claims), "token_use")
    need(not any(isinstance(use, str) and use.lower() in OTHER_USES for use in uses), "token_use")


def check_identity(claims):
    for name in MEMBERS:
        need(is_clean(text_or_none(claims, name)), "malformed")
    need(claims.get("jti") != "" and claims.get("sub"), "malformed")


def verdict(token, secret, now):
    """(reason, None) or (None, user)."""
    try:
        need(len(token) <= 16384 and token.count(".") == 2, "malformed")
        raw = [octets(part) for part in token.split(".")]
        header, claims = read_object(raw[0]), read_object(raw[1])
        kid, typ = check_header(header)
        iss = text_or_none(claims, "iss")
        need(is_clean(iss), "malformed")
        need(iss == MAIN, "unknown_issuer")
        check_key(header, kid, secret, token.rpartition(".")[0], raw[2])
        check_times(claims, now)
        check_purpose(claims, typ)
        check_identity(claims)
    except Refused as refused:
        return refused.args[0], None
    return None, claims["sub"]


# ---- a hand that bends --------------------------------------------------------------------------------------------------


WORDS = (
    '"exp"', '"nbf"', '"iat"', '"iss"', '"sub"', '"jti"', '"sid"', '"aud"', '"cnf"', '"events"', '"typ"', '"kid"', '"cty"',
    '"crit"', '"alg"',
    '"at_hash"', '"token_use"', '"client_id"', '"HS256"', '"HS512"', '"none"', '"oct"', '"JWT"', '"refresh"', '"logout+jwt"',
    '"alice"', ",", ":", "{",
    "}", "[", "]", '"', "\\", "\\u0000", "\\u0041", "\\ud83d\\ude00", "\\ud800", "\\udc00", "\\n", "\\/", '\\"', "\n", "\t", " ",
    "\r", "\0", "\x7f",
    "\x80", "\xe9", "\u2028", "\ufeff", "\U0001F600", "null", "true", "false", "0", "-", "1", "9", ".", "e", "E", "+", "1e400",
    "-1e400", "1.5",
    "-0", "-0.0", "01", "18446744073709551616", "9223372036854775808", "1" + "0" * 40, "1e-400", "NaN", "Infinity", '"x": 1',
    ', "x": {}', ', "": []',
    '{"a": 1}', "[1, 2]", "[[[[", "]]]]", ", ", '": "', "/*", "//",
)


def bend_text(dice, text):
    """A few changes of a JSON text."""
    raw = text.encode()
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        place = dice.randrange(len(raw) + 1)
        end = min(len(raw), place + dice.choice((0, 0, 1, 1, 2, 5, 20)))
        what = dice.randrange(5)
        if what < 2:
            raw = raw[:place] + dice.choice(WORDS).encode() + raw[end:]
        elif what == 2:
            raw = raw[:place] + raw[end:]
        elif what == 3:
            raw = raw[:place] + raw[place:end] * 2 + raw[end:]
        else:
            raw = raw[:place] + bytes((dice.randrange(256),)) + raw[end:]
    return raw


def add_member(dice, text):
    """One more, or one of another value: still JSON."""
    members = json.loads(text)
    name = dice.choice((*MEMBERS, "exp", "nbf", "iat", "iss", "aud", "cnf", "events", "typ", "token_use", "type", "kid", "cty",
                        "crit", "b64", "at_hash", "x"))
    members[name] = dice.choice((None, True, 0, 1, -1, 1.5, "", "x", "alice", "JWT", "at+jwt", "Logout+JWT", "refresh", "oct",
                                 "a\tb", "\x85", "e\u0301",
                                 [], {}, ["x"], {"a": 1}, 2**64, 10**30, 1e300, -1e300, "x" * 1024, "x" * 1025, MAIN))
    return json.dumps(members).encode()


def bend_token(dice, token):
    """A change of the finished token, in characters that a field may hold."""
    place = dice.randrange(len(token))
    end = min(len(token), place + dice.choice((0, 1, 1, 2, 4)))
    return token[:place] + dice.choice(("", "A", "B", "_", "-", ".", "=", "+", "/", "~", "AAAA", "Q")) + token[end:]
