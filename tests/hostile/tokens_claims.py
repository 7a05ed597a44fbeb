"""Hostile: claims that are not what the issuer's rules ask for, at the edge of each rule, and the order of the rules."""

import itertools

import issuers as at
from tokens import MAIN
from tokens_case import ABSENT, HOSTILE, Spec, case
from tokens_site import NEED_JTI
from tokens_texts import member

DAY = 86400
FAMILIES = ("RS256", "PS256", "ES384", "ES256K", "EdDSA", "Ed448", "HS256")


# ---- issuer ---------------------------------------------------------------------------------------------------------


ISSUERS = ("https://idp.test", "https://idp.test//", "https://IDP.test/", "HTTPS://idp.test/", "http://idp.test/",
           "https://idp.test/x",
           " https://idp.test/", "https://idp.test/ ", "*", "", "https://evil.test/", "https://idp.test:443/",
           "https://idp%2Etest/",
           "https://idp.test/?", "https://idp.test/#", "https://x@idp.test/", "https://idp.test./", "https://idp.tes",
           "ttps://idp.test/",
           "https://\u0456dp.test/", "https://idp.test/https://idp.test/", "https://idp.test\\", "//idp.test/", "idp.test",
           "i" * 1024)


@HOSTILE("an issuer that nobody trusts", "JWT-06", "R9068-04", "Envoy PR 15194", "iss partly matched (GHSA-75c5-xw7c-p5pm)")
def issuers():
    for iss in ISSUERS:
        yield case(repr(iss[:40]), "unknown_issuer", claims={"iss": iss})
    yield case("none", "unknown_issuer", claims={"iss": ABSENT})
    yield case("by another member", "unknown_issuer", claims={"iss": ABSENT, "issuer": MAIN, "Iss": MAIN, "ISS": MAIN})
    for alg in FAMILIES:
        yield case(f"{alg}", "unknown_issuer", Spec(alg=alg), claims={"iss": "https://evil.test/"})
        yield case(f"{alg}, signed by a stranger", "unknown_issuer", Spec(alg=alg), claims={"iss": "https://evil.test/"},
                   key="other")


@HOSTILE("an issuer that is no string", "JWT-06", "Envoy's *NotString")
def issuer_types():
    for value in (7, None, True, [], [MAIN], {}, {"iss": MAIN}, 1.5, 2**64, 10**30):
        yield case(f"{value!r}", "malformed", claims={"iss": value})
    yield case("1025 bytes", "malformed", claims={"iss": "i" * 1025}, twin={"iss": at.LONG_NAME})
    yield case("a control character", "malformed", claims={"iss": MAIN + "\n"})
    yield case("a NUL", "malformed", claims={"iss": MAIN + "\0"})


@HOSTILE("a token for everybody's issuer that is another's", "BCP-06")
def star():
    any_host = Spec(claims={"iss": "https://any.other/"})
    for what, iss, reason in (("with a key of its own", at.SECOND, "bad_signature"),
                              ("with algorithms of its own", at.RS256_ONLY, "algorithm")):
        yield case(f"one {what}", reason, any_host, claims={"iss": iss}, host="any.test")
    yield case("no string", "malformed", any_host, claims={"iss": 7}, host="any.test")
    yield case("at another host", "unknown_issuer", any_host, host="any.test", bent_host="typed.test")


# ---- time -----------------------------------------------------------------------------------------------------------


NO_TIME = {"a string": '"1999999999"', "an empty string": '""', "null": "null", "true": "true", "false": "false",
           "an array": "[1999999999]",
           "an object": '{"exp": 1999999999}', "1e400": "1e400", "-1e400": "-1e400",
           "1e99999999999999999999": "1e99999999999999999999",
           "400 digits": "1" + "0" * 400, "-400 digits": "-1" + "0" * 400, "a date": '"2033-05-18T03:33:19Z"'}


@HOSTILE("a time that is no finite number", "JWT-01", "JWT-02", "JWT-03", "JWT-04", "mod_auth_openidc exp 1e300",
         "libjwt c6fac6d")
def no_times():
    for name, (what, text) in itertools.product(("exp", "nbf", "iat"), NO_TIME.items()):
        yield case(f"{name} is {what}", "malformed", claims={name: ABSENT}, body=member(f'"{name}": {text}'))
    for alg in FAMILIES:
        yield case(f"no exp, {alg}", "malformed", Spec(alg=alg), claims={"exp": ABSENT})
    yield case("exp by another name", "malformed", claims={"exp": ABSENT, "EXP": 4e9, "expires": 4e9, "exp ": 4e9})


PAST = (0, -1, 1, 1.5, 946684800, -1e300, 1e-300, -2**63, -2**64, -10**30, -9223372036855)


@HOSTILE("a token that has expired", "JWT-02", "exp after a verdict was kept (CWE-613)", "apr_time_from_sec wraps round")
def expired():
    for exp in PAST:
        yield case(f"exp {exp}", "expired", Spec(iss=at.UNLIMITED), claims={"exp": exp})
    for alg in FAMILIES:
        yield case(f"61 s ago, {alg}", "expired", Spec(alg=alg), claims=lambda now: {"exp": now - 61},
                   twin={"claims": lambda now: {"exp": now - 20}})
    yield case("at its exp, without skew", "expired", Spec(iss=at.STRICT_TIME), claims=lambda now: {"exp": int(now)})
    yield case("a second after its exp, without skew", "expired", Spec(iss=at.STRICT_TIME), claims=lambda now: {"exp": now - 1})
    yield case("milliseconds in place of seconds, past", "expired", Spec(iss=at.UNLIMITED), claims={"exp": 1300819.380})
    yield case("before it began", "expired", claims=lambda now: {"exp": now - 900, "nbf": now + 900, "iat": now + 900})


SOON = {"claims": lambda now: {"nbf": now + 30, "exp": now + 900}}


@HOSTILE("a token from the future", "JWT-03", "JWT-04")
def future():
    for alg in FAMILIES:
        yield case(f"nbf in 5 minutes, {alg}", "not_yet_valid", Spec(alg=alg),
                   claims=lambda now: {"nbf": now + 300, "exp": now + 900}, twin=SOON,
                   is_signed=True)
    for name in ("nbf", "iat"):
        for what, value in (("1e300", 1e300), ("2**63", 2**63), ("2**64", 2**64), ("milliseconds", 1999999999000),
                            ("10**30", 10**30)):
            yield case(f"{name} {what}", "not_yet_valid", claims={name: value}, is_signed=True)
        yield case(f"{name} in 2 minutes", "not_yet_valid", claims=lambda now, name=name: {name: now + 120, "exp": now + 900},
                   is_signed=True,
                   twin={"claims": lambda now, name=name: {name: now + 30, "exp": now + 900}})
        yield case(f"{name} in a minute, without skew", "not_yet_valid", Spec(iss=at.STRICT_TIME), is_signed=True,
                   claims=lambda now, name=name: {name: now + 60, "exp": now + 900},
                   twin={"claims": lambda now, name=name: {name: now}})


FAR = (9999999999, 253402300800, 9223372036855, 18448744073709, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 1e18, 1e300)


@HOSTILE("a token that lives too long", "JWT-02", "libjwt c6fac6d", "apr_time_from_sec wraps round")
def lifetime():
    for exp in FAR:
        yield case(f"exp {exp}", "lifetime", claims={"exp": exp}, is_signed=True)
        yield case(f"exp {exp}, no iat", "lifetime", claims={"exp": exp, "iat": ABSENT}, is_signed=True)
    for alg in FAMILIES:
        yield case(f"a day and a second, {alg}", "lifetime", Spec(alg=alg),
                   claims=lambda now: {"iat": int(now), "exp": int(now) + DAY + 1},
                   twin={"claims": lambda now: {"iat": int(now), "exp": int(now) + DAY}}, is_signed=True)
    for what, iat in (("long ago", -10**9), ("-1e300", -1e300), ("-2**64", -2**64), ("0", 0)):
        yield case(f"iat {what}", "lifetime", claims={"iat": iat}, is_signed=True)
    yield case("a day, without iat", "lifetime", claims=lambda now: {"iat": ABSENT, "exp": now + DAY + 300}, is_signed=True,
               twin={"claims": lambda now: {"iat": ABSENT, "exp": now + DAY - 5}})
    yield case("an hour and a second where an hour is allowed", "lifetime", Spec(iss=at.STRICT_TIME), is_signed=True,
               claims=lambda now: {"iat": int(now) - 5, "exp": int(now) + 3596},
               twin={"claims": lambda now: {"iat": int(now) - 5, "exp": int(now) + 3595}})


# ---- audience, type, use --------------------------------------------------------------------------------------------


AUDIENCES = ("Legacy-App", "legacy", "legacy-app2", " legacy-app", "legacy-app ", "", [], ["x", "y"], [["legacy-app"]], 7, None,
             True,
             {"legacy-app": 1}, ["legacy-app", 7], [7, "legacy-app"], [None], "legacy-app other-app", "legacy-app,other-app", "*",
             "legacy-app\0",
             ["legacy-app\0"], "l\u0435gacy-app", 2**64, 1.5, [""], ["", "legacy"], "egacy-app", "https://legacy-app")


@HOSTILE("an audience that is somebody else", "JWT-05", "BCP-07", "R9068-04", "GHSA-wcvh-g65p-v576", "CVE-2020-26160")
def audience():
    twin = Spec(iss=at.AUD, claims={"aud": "legacy-app"})
    for aud in AUDIENCES:
        reason = "malformed" if "\0" in str(aud) or aud in ("legacy-app\0", ["legacy-app\0"]) else "audience"
        yield case(f"{aud!r}", reason, twin, claims={"aud": aud}, is_signed=reason == "audience")
    for alg in FAMILIES:
        yield case(f"none, {alg}", "audience", Spec(alg=alg, iss=at.AUD, claims={"aud": "other-app"}), claims={}, is_signed=True)
    yield case("by another name", "audience", twin, claims={"AUD": "legacy-app", "audience": "legacy-app"}, is_signed=True)
    yield case("at another host", "audience", Spec(claims={"aud": "there"}), bent_host="audience.test", is_signed=True)


OTHER_TYPES = ("logout+jwt", "secevent+jwt", "dpop+jwt", "statuslist+jwt", "client-authentication+jwt", "oauth-authz-req+jwt",
               "kb+jwt", "dc+sd-jwt",
               "vc+sd-jwt", "token-introspection+jwt")
SPELLINGS = {"as it is": str, "in capitals": str.upper, "with application/": lambda typ: "application/" + typ,
             "with Application/ in capitals": lambda typ: "APPLICATION/" + typ.title()}


@HOSTILE("a type of token that is no access token", "BCP-09", "BCP-10", "JWS-12")
def types():
    for typ, (how, spell) in itertools.product(OTHER_TYPES, SPELLINGS.items()):
        yield case(f"{typ}, {how}", "token_type", header={"typ": spell(typ)}, is_signed=True)
    for alg in FAMILIES:
        yield case(f"logout+jwt, {alg}", "token_type", Spec(alg=alg), header={"typ": "logout+jwt"}, is_signed=True)
    wanted = Spec(iss=at.TYPED, header={"typ": "at+jwt"})
    for typ in ("JWT", "at+jwt2", "x/at+jwt", "application/application/at+jwt", "", "logout+jwt", "at+jwt ", " at+jwt", "at jwt",
                "application/",
                "application/at", "at+jwt;v=1", "a\u0442+jwt", ABSENT):
        yield case(f"{'none' if typ is ABSENT else repr(typ)} where at+jwt is wanted", "token_type", wanted, header={"typ": typ},
                   is_signed=True)
    yield case("at another host", "token_type", bent_host="typed.test", is_signed=True)


@HOSTILE("a token that is bound to a key, or an event", "BCP-10", "DPOP-01", "SET-18")
def bound():
    for value in ({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, {"x5t#S256": "abc"}, {"jwk": {}}, {}, None, [], "", 0,
                  False):
        yield case(f"cnf {value!r:.20}", "token_type", claims={"cnf": value}, is_signed=True)
    for value in ({"http://schemas.openid.net/event/backchannel-logout": {}}, {}, None, [], "", 0, False):
        yield case(f"events {value!r:.20}", "token_type", claims={"events": value}, is_signed=True)


USES = ("refresh", "Refresh", "REFRESH", "refresh_token", "id", "ID", "id_token", "Id_Token")


@HOSTILE("a token for another use", "BCP-10", "R9068-09")
def uses():
    for name, use in itertools.product(("token_use", "token_type", "type", "typ"), USES):
        yield case(f"{name} {use}", "token_use", claims={name: use}, is_signed=True)
    for name in ("at_hash", "c_hash"):
        for value in ("MTIzNDU2Nzg5MDEyMzQ1Ng", "", None, 7):
            yield case(f"{name} {value!r}", "token_use", claims={name: value}, is_signed=True)
    for alg in FAMILIES:
        yield case(f"refresh, {alg}", "token_use", Spec(alg=alg), claims={"token_use": "refresh"}, is_signed=True)
    wanted = Spec(iss=at.USE, claims={"token_use": "access"})
    for use in (ABSENT, "refresh", "Access", "ACCESS", "access ", " access", "", ["access"], None, True, {"access": 1}, 7):
        yield case(f"{'none' if use is ABSENT else repr(use)} where access is wanted", "token_use", wanted,
                   claims={"token_use": use}, is_signed=True)


# ---- identity -------------------------------------------------------------------------------------------------------


IDENTITY = ("jti", "sub", "sid", "client_id", "azp")
CONTROLS = {"a line end": "a\nb", "a carriage return": "a\rb", "a tab": "\t", "DEL": "a\x7f", "a unit separator": "a\x1fb",
            "next line": "a\x85b",
            "a control introducer": "\x9b", "an escape": "\x1b[31m", "a bell": "\x07"}


@HOSTILE("an identity that is no fit string", "JWT-07", "JWT-11", "TeslaGov 28", "Envoy's *NotString")
def identities():
    for name in IDENTITY:
        for value in (7, None, True, [], {}, ["x"], 1.5, 2**64):
            yield case(f"{name} {value!r}", "malformed", claims={name: value})
        for what, most in (("letters", "x" * 1024), ("2-byte letters", "\xe9" * 512), ("4-byte letters", "\U0001F600" * 256)):
            yield case(f"{name} of 1025 bytes, {what}", "malformed", claims={name: most + "x"}, twin={"claims": {name: most}},
                       user=most if name == "sub" else "alice")
        yield case(f"{name} of 4000 bytes", "malformed", claims={name: "x" * 4000})
    yield case("an empty jti", "malformed", claims={"jti": ""})
    yield case("no jti where one is wanted", "malformed", Spec(iss=NEED_JTI), claims={"jti": ABSENT}, is_signed=True,
               is_alone=True)
    yield case("no jti at another host", "malformed", Spec(claims={"jti": ABSENT}), bent_host="jti.test", is_signed=True)


@HOSTILE("a control character in an identity", "JWT-11", "R6750-12", "mod_auth_openidc CR in a header")
def controls():
    for name, (what, value) in itertools.product(IDENTITY, CONTROLS.items()):
        yield case(f"{name}, {what}", "malformed", claims={name: value})
    for name in IDENTITY:
        yield case(f"{name}, a NUL", "malformed", claims={name: "alice\0"})
        yield case(f"{name}, a NUL in the middle", "malformed", claims={name: "alice\0bob"})


@HOSTILE("a user that is no name", "R6750-12", "TeslaGov 28")
def users():
    uid = Spec(claims={"uid": "bob"})
    at_uid = {"path": "/p/uid/ok.txt", "user": "bob", "is_signed": True}
    for value in ("", None, True, False, 1.5, [], ["bob"], {}, {"bob": 1}, "bob\n", "b\x85", "\x1b", "bob\r\nX-Role: admin"):
        yield case(f"uid {value!r}", "malformed", uid, claims={"uid": value}, **at_uid)
    yield case("uid missing", "malformed", uid, claims={}, **at_uid)
    yield case("uid by another name", "malformed", uid, claims={"UID": "bob", "uid ": "bob"}, **at_uid)
    yield case("no sub", "malformed", claims={"sub": ABSENT}, is_signed=True)
    yield case("an empty sub", "malformed", claims={"sub": ""}, is_signed=True)
    yield case("another page, where another claim is wanted", "malformed", bent_path="/p/uid/ok.txt", is_signed=True)
    nested = Spec(claims={"realm": {"user": {"name": "carol"}}})
    at_nested = {"path": "/p/nested/ok.txt", "user": "carol", "is_signed": True}
    for value in ({"user": "x"}, {"user": {}}, {"user": {"name": None}}, {"user": [{"name": "carol"}]}, "realm.user.name",
                  {"user": {"name": ""}}):
        yield case(f"nested {value!r}", "malformed", nested, claims={"realm": value}, **at_nested)


# ---- the order ------------------------------------------------------------------------------------------------------


DEFECTS = {  # in the order of the rules; each is the first that is told, of those that come together
    "algorithm": {"header": {"alg": "HS999"}}, "unknown_issuer": {"claims": {"iss": "https://evil.test/"}},
           "unknown_key": {"header": {"kid": "unknown"}},
    "bad_signature": {"key": "other"}, "expired": {"claims": {"exp": 1000}}, "not_yet_valid": {"claims": {"nbf": 4000000000}},
    "lifetime": {"claims": {"iat": -10**9}}, "audience": {"claims": {"aud": "other"}},
           "token_type": {"header": {"typ": "logout+jwt"}},
    "token_use": {"claims": {"token_use": "refresh"}}, "malformed": {"claims": {"sid": 7}},
}
SIGNED = ("not_yet_valid", "lifetime", "audience", "token_type", "token_use")


def together(names):
    bend = {"header": {}, "claims": {"aud": "legacy-app"}}
    for name in names:
        for place, change in DEFECTS[name].items():
            bend[place] = {**bend[place], **change} if place in bend else change
    return bend


@HOSTILE("more than one thing that is wrong", "the order of the rules")
def order():
    names = list(DEFECTS)
    for alg in FAMILIES:
        twin = Spec(alg=alg, iss=at.AUD, claims={"aud": "legacy-app"})
        for i, name in enumerate(names):
            yield case(f"{alg}, all from {name} on", name, twin, **together(names[i:]))
    twin = Spec(iss=at.AUD, claims={"aud": "legacy-app"})
    for first, second in itertools.combinations(names, 2):
        is_signed = first in SIGNED and second != "malformed"
        yield case(f"{first} and {second}", first, twin, is_signed=is_signed, **together((first, second)))
