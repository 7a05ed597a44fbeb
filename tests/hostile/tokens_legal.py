"""
Odd, but legal: what must be accepted. Then what is the same token for its issuer however it is written, and what only looks the
same.
"""

import itertools
import json

import issuers as at
from tokens import ALGS, ASYMMETRIC, fields
from tokens_case import ABSENT, APART, LEGAL, SAME, Spec, case, good
from tokens_claims import DAY, FAMILIES
from tokens_signatures import ORDERS, PREFIX, numbers, pkcs1, shapes
from tokens_site import DOUBLE, SHORT, short_secret, weak
from tokens_texts import DOUBLES, NO_JSON, member, nested_text, padded


def body(text):
    return {"body": member(text)}


# ---- keys and algorithms --------------------------------------------------------------------------------------------


@LEGAL("every algorithm by every source of keys", "JWS-19", "JWS-20")
def algorithms():
    for alg in ALGS:
        for name, shape in shapes(alg):
            yield good(name, shape)
        yield good(f"{alg} without kid, among keys that have one", Spec(alg=alg, kid=None))
        yield good(f"{alg} with a kid that no key has, among keys without", Spec(alg=alg, iss=at.NOKID, kid="never-heard-of"))
    for alg in ASYMMETRIC:
        yield good(f"{alg} by a certificate without kid", Spec(alg=alg, iss=at.CERT, kid=None))


@LEGAL("another name of the same algorithm", "JWS-19")
def names():
    yield good("EdDSA as Ed25519", Spec(alg="EdDSA"), header={"alg": "Ed25519"})
    yield good("Ed25519 as EdDSA", Spec(alg="Ed25519"), header={"alg": "EdDSA"})
    yield good("Ed448 as EdDSA", Spec(alg="Ed448"), header={"alg": "EdDSA"})
    yield good("Ed448 as EdDSA, without kid", Spec(alg="Ed448", kid=None), header={"alg": "EdDSA"})
    yield good("the name in escapes", head=lambda text: text.replace('"ES256"', r'"\u0045S25\u0036"'))
    yield good("alg in escapes", head=lambda text: text.replace('"alg"', r'"\u0061lg"'))


@LEGAL("a key among others")
def keys():
    for i in range(8):
        yield good(f"{i + 1} keys tried", Spec(iss=at.NINE, kid=None, key=lambda forge, i=i: forge.nine[i]))
    for i in range(9):
        yield good(f"key {i + 1} of nine by its kid", Spec(iss=at.NINE_KID, kid=f"k{i}", key=lambda forge, i=i: forge.nine[i]))
    yield good("the first of two with one kid", Spec(iss=DOUBLE, kid="twice"))
    yield good("the second of two with one kid", Spec(iss=DOUBLE, kid="twice", key="other"))
    yield good("the second of two, without kid", Spec(iss=DOUBLE, kid=None, key="other"))
    yield good("a kid that is also another issuer's", Spec(iss=at.SECOND, key="other"))
    yield good("a key beside unfit ones", Spec(alg="ES512", iss=at.UNFIT, kid="good"))
    yield good("a key beside unfit ones, without kid", Spec(alg="ES512", iss=at.UNFIT, kid=None))
    for kid in ("e-1", "ed25519-identity", "oct-empty"):
        yield good(f"the last good keys, where {kid} came", Spec(iss=weak(kid)))
    for alg in ("RS256", "Ed25519", "HS512"):
        yield good(f"{alg} by a key that names it", Spec(alg=alg, iss=at.PINNED))
    yield good("the one algorithm that is allowed", Spec(alg="RS256", iss=at.RS256_ONLY))
    for alg, size in (("HS256", 32), ("HS256", 48), ("HS384", 48)):
        yield good(f"{alg} by a secret of {size} bytes", Spec(alg=alg, iss=SHORT, kid=f"oct-{size}",
                                                              key=lambda forge, size=size: short_secret(size)))
    yield good("a kid of 1024 bytes", Spec(alg="RS256", iss=at.NOKID, kid="k" * 1024))
    yield good("a kid of 1024 bytes in 4-byte letters", Spec(alg="RS256", iss=at.NOKID, kid="\U0001F511" * 256))
    yield good("a kid in escapes", head=lambda text: text.replace('"p256"', r'"\u0070256"'))


@LEGAL("a signature made by hand")
def signatures():
    yield good("PKCS #1 block by block", Spec(alg="RS256"), sig=pkcs1(PREFIX["sha256"], "sha256"))
    for alg in ORDERS:
        yield good(f"{alg}, n - s", Spec(alg=alg), sig=numbers(alg, lambda r, s, n: (r, n - s)))


# ---- the header -----------------------------------------------------------------------------------------------------


@LEGAL("a type of token", "JWS-12")
def types():
    for typ in ("JWT", "jwt", "Jwt", "at+jwt", "AT+JWT", "at+JWT", "application/at+jwt", "APPLICATION/AT+JWT", "application/jwt",
                "my-own+jwt", "", "JWS", "x",
                "text/plain", "token\xe9", "x" * 1024, "refresh", ABSENT):
        yield good(f"{'none' if typ is ABSENT else repr(typ[:30])}", header={"typ": typ})
    for typ in ("at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "Application/At+Jwt", "APPLICATION/AT+JWT"):
        yield good(f"{typ} where at+jwt is wanted", Spec(iss=at.TYPED), header={"typ": typ})
    yield good("in escapes where at+jwt is wanted", Spec(iss=at.TYPED, header={"typ": "at+jwt"}),
               head=lambda text: text.replace("at+jwt", r"at\u002bjwt"))


@LEGAL("a header member that is not used", "JWS-10", "JWS-13")
def members():
    odd = {
        "jku": "https://evil.test/jwks", "x5u": "https://evil.test/x", "x5c": ["MIIB"], "x5t": "abc", "x5t#S256": "abc",
        "jwk": {"kty": "oct", "k": "AA"},
        "unknown": {"a": [1, {"b": None}]}, "ver": 2, "nonce": "n", "url": "https://idp.test/", "ppt": "x", "svt": 1,
        "enc": "A256GCM", "epk": {}, "p2c": 2**40,
        "iv": "AA", "tag": "AA", "iss": "https://evil.test/", "exp": 1, "": 1, "ALG": "none", "KID": "x", "Crit": ["x"],
        "B64": False, "alg ": "none",
        "big": 2**64 - 1, "real": 1.5e300, "text": "\u6f22\u5b57 \U0001F600", "client_id": 7,
    }
    for name, value in odd.items():
        yield good(f"{name!r}", header={name: value})
    yield good("a key of its own beside a good signature", header=lambda forge: {"jwk": fields(forge.keys.other["p256"],
                                                                                               kid="p256")})
    for cty in ("json", "application/json", "", "at+jwt", "jwt2", "JW", "application/jwt+x", "x/jwt", "c" * 1024):
        yield good(f"cty {cty[:20]!r}", header={"cty": cty})
    for alg in FAMILIES:
        yield good(f"a dozen of them, {alg}", Spec(alg=alg), header={f"x{i}": i for i in range(12)})


SPACES = {"none": lambda text: json.dumps(json.loads(text), separators=(",", ":")),
          "everywhere": lambda text: json.dumps(json.loads(text), indent=4),
          "of all kinds": lambda text: text.replace(" ", " \t\r\n ").replace("{", "\n{\t").replace("}", "\r}"),
          "before": lambda text: "\r\n\t " + text,
          "behind": lambda text: text + "\n\n", "1000 of them": lambda text: text + " " * 1000}


def in_escapes(text):
    """Every name and string; numbers stay."""
    out, inside = [], False
    for letter in text:
        if letter == '"':
            inside = not inside
        out.append(f"\\u{ord(letter):04x}" if inside and letter != '"' else letter)
    return "".join(out)


def backwards(text):
    return json.dumps(dict(reversed(json.loads(text).items())))


@LEGAL("blanks, escapes and another order", "JWS-04", "JWT-08")
def spelling():
    for what, change in SPACES.items():
        yield good(f"blanks in the header: {what}", head=change)
        yield good(f"blanks in the payload: {what}", body=change)
    for what, change in (("in escapes", in_escapes), ("in escapes of capitals",
                                                      lambda text: in_escapes(text).upper().replace("\\U", "\\u")),
                         ("backwards", backwards)):
        yield good(f"the header {what}", head=change)
        yield good(f"the payload {what}", body=change)
        yield good(f"both {what}", Spec(alg="RS256"), head=change, body=change)
    yield good("slashes with a backslash", body=lambda text: text.replace("/", "\\/"))
    for rest, alg in itertools.product(range(3), ("ES256", "RS256", "Ed448", "HS384")):
        yield good(f"parts of 3n + {rest} bytes, {alg}", Spec(alg=alg), head=lambda text, rest=rest: padded(text, rest),
                   body=lambda text, rest=rest: padded(text, rest))


# ---- JSON -----------------------------------------------------------------------------------------------------------


JSON = {
    "a pair of surrogates": r'"x": "\ud83d\ude00"', "a surrogate pair in capitals": r'"x": "\uD83D\uDE00"',
    "all escapes": r'"x": "\"\\\/\b\f\n\r\t\u0001\u007f"',
    "a noncharacter": r'"x": "\uffff"', "the last of Unicode": '"x": "\U0010FFFF"', "a replacement character": '"x": "\ufffd"',
    "a byte order mark inside": '"x": "\ufeff"',
    "line separators": '"x": "\u2028\u2029"', "right to left": '"x": "\u202e\u05d0"', "a combining mark": '"x": "e\u0301"',
    "DEL": '"x": "\x7f"', "C1 controls": '"x": "\x80\x9f"',
    "an empty name": '"": 1', "a name of blanks": '"   ": 1', "a name of 5000 bytes": f'"{"n" * 5000}": 1',
    "a name in Greek": '"\u03a9": 1', "a name with a dot": '"a.b.c": 1',
    "a name with a quote": r'"a\"b": 1', "names that differ in case": '"x": 1, "X": 2',
    "names that differ by an accent": '"\xe9": 1, "e\u0301": 2',
    "the same name on two levels": '"x": {"x": {"x": 1}}',
    "the name of a claim inside": '"x": {"exp": 1, "jti": 7, "crit": 1, "sub": null}',
    "empty things": '"x": {}, "y": [], "z": ""',
    "32 levels": nested_text(32), "31 levels": nested_text(31), "32 levels of objects": '"x": ' + '{"a":' * 31 + "1" + "}" * 31,
    "32 levels in turn":
    '"x": ' + '[{"a":' * 15 + "[1]" + "}]" * 15, "32 levels and a fraction": '"y": 1.5, ' + nested_text(32),
    "32 levels and an escape": r'"y": "\n", ' + nested_text(32),
    "32 levels and a number of 40 digits": '"y": 1' + "0" * 39 + ", " + nested_text(32),
    "brackets in a string": '"x": "' + "[{" * 100 + '"',
    "brackets behind an escaped quote": r'"x": "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["',
    "a thousand members": ", ".join(f'"m{i}": {i}' for i in range(800)),
    "a long array": '"x": [' + ", ".join("1" for _ in range(2000)) + "]",
    "a string of 8000 bytes": f'"x": "{"s" * 8000}"',
    "text in many scripts": '"x": "Zo\xeb \u03a9\u03bc\u03ad\u03b3\u03b1 \u6f22\u5b57 \U0001F600"',
    "no such escape outside of strings": '"x": "\\\\u0000"', "a script": '"x": "<script>alert(1)</script>"',
    "a format": '"x": "%s%n%99999d"',
}
NUMBERS = ("0", "-0", "0.0", "-0.0", "1E5", "1e+5", "1E-5", "0e0", "-1.5e-10", "18446744073709551615", "18446744073709551616",
           "9223372036854775807", "9223372036854775808",
           "-9223372036854775808", "-9223372036854775809", "1" + "0" * 40, "1" + "0" * 400, "-1" + "0" * 400, "1e400", "-1e400",
           "1e-400", "1e308", "5e-324", "0." + "3" * 400,
           "1e99999999999999999999", "123456789012345678", "1234567890123456789", "0.1e1", "999999999999999999",
           "-999999999999999999")


@LEGAL("JSON in a claim that is not used", "JWS-04", "JWT-09")
def unused():
    for what, text in JSON.items():
        yield good(what, **body(text))
    for text in NUMBERS:
        name = text if len(text) < 24 else f"{text[:8]}... of {len(text)} characters"
        yield good(f"the number {name}", **body(f'"x": {text}'))
        yield good(f"the number {name} in an array", **body(f'"x": [{text}, {{"y": {text}}}]'))
    for value in ("true", "false", "null", "[]", "{}", '""', "[null]", "[[], {}]"):
        yield good(f"{value}", **body(f'"x": {value}'))
    yield good("what would be wrong, in a string",
               **body('"x": ' + json.dumps(json.dumps([str(text) for text in NO_JSON.values() if len(text) < 100]))))
    yield good("members that stand twice, in a string", **body('"x": ' + json.dumps(json.dumps(list(DOUBLES.values())))))


@LEGAL("JSON in a header member that is not used", "JWS-04")
def unused_in_header():
    for what, text in JSON.items():
        yield good(what, head=member(text))
    for text in ("18446744073709551615", "1e400", "-0.0", "1" + "0" * 400):
        yield good(f"the number {text[:24]}", head=member(f'"x": {text}'))


# ---- time -----------------------------------------------------------------------------------------------------------


def at_exp(write):
    """exp as a text of its own, made of a time ten minutes ahead."""
    return {"claims": {"exp": ABSENT}, "body": lambda text: text[:-1] + f', "exp": {write(json.loads(text)["iat"] + 605)}' + "}"}


EXP = {
    "an exponent": lambda t: f"{t / 1e9:.9f}e9", "a capital E": lambda t: f"{t / 1e9:.9f}E9",
    "a plus in the exponent": lambda t: f"{t / 1e9:.9f}e+9",
    "zeros in the exponent": lambda t: f"{t / 1e9:.9f}e0009", "a negative exponent": lambda t: f"{t}000e-3",
    ".0": lambda t: f"{t}.0", "a fraction": lambda t: f"{t}.5",
    "fifty zeros behind the point": lambda t: f"{t}." + "0" * 50,
    "a hundred digits behind the point": lambda t: f"{t}." + "3" * 100, "e0": lambda t: f"{t}e0",
    "all digits behind the point": lambda t: f"0.{t}e10", "a long way round": lambda t: f"{t}{'0' * 300}e-300",
}


@LEGAL("a time in its odd forms", "JWT-01")
def times():
    for what, write in EXP.items():
        yield good(f"exp with {what}", **at_exp(write))
    for alg in FAMILIES:
        yield good(f"exp with a fraction, {alg}", Spec(alg=alg), claims=lambda now: {"exp": now + 600.25})
    claims = {
        "iat with a fraction": lambda now: {"iat": now - 3.75}, "nbf with a fraction": lambda now: {"nbf": now - 0.25},
        "no iat": {"iat": ABSENT},
        "nbf 0": {"nbf": 0}, "nbf negative": {"nbf": -1}, "nbf -1e300": {"nbf": -1e300}, "nbf -2**64": {"nbf": -2**64},
        "nbf -0.0": {"nbf": -0.0},
        "nbf now": lambda now: {"nbf": int(now)}, "nbf within the skew": lambda now: {"nbf": now + 30},
        "iat within the skew": lambda now: {"iat": now + 30},
        "exp within the skew": lambda now: {"exp": now - 20},
        "nbf and iat are exp": lambda now: {"exp": now + 30, "nbf": now + 30, "iat": now + 30},
        "exp before iat": lambda now: {"iat": now + 30, "exp": now + 10},
        "a life of a day": lambda now: {"iat": int(now), "exp": int(now) + DAY},
        "a life of a day with fractions": lambda now: {"iat": int(now) + 0.5, "exp": int(now) + DAY + 0.5},
        "a day without iat": lambda now: {"iat": ABSENT, "exp": now + DAY - 5},
        "times of others": {"auth_time": 1, "updated_at": "yesterday", "EXP": 1, "Nbf": 1e300},
    }
    for what, more in claims.items():
        yield good(what, claims=more)
    for exp in (4e9, 9999999999, 253402300800, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 1e18, 1e300, 9223372036855,
                18448744073709):
        yield good(f"exp {exp} where nothing limits it", Spec(iss=at.UNLIMITED), claims={"exp": exp})
    yield good("an hour, where an hour is allowed", Spec(iss=at.STRICT_TIME),
               claims=lambda now: {"iat": int(now) - 5, "exp": int(now) + 3595})
    yield good("iat and nbf of this second, without skew", Spec(iss=at.STRICT_TIME),
               claims=lambda now: {"iat": int(now), "nbf": int(now)})


# ---- other claims ---------------------------------------------------------------------------------------------------


@LEGAL("an audience that names us", "JWT-05")
def audience():
    for what, aud in {
        "a string": "legacy-app", "another string": "other-app", "an array of one": ["legacy-app"],
        "both": ["legacy-app", "other-app"], "the last": ["x", "y", "other-app"],
        "the first": ["legacy-app", "x"], "twice": ["legacy-app", "legacy-app"], "among empty ones": ["", "legacy-app", ""],
        "the last of 500": [f"app{i}" for i in range(500)] + ["legacy-app"],
        "among near ones": ["Legacy-App", "legacy", "legacy-app "] + ["legacy-app"],
    }.items():
        yield good(what, Spec(iss=at.AUD), claims={"aud": aud})
    yield good("in escapes", Spec(iss=at.AUD, claims={"aud": "legacy-app"}),
               body=lambda text: text.replace('"legacy-app"', r'"\u006cegacy\u002Dapp"'))
    for alg in FAMILIES:
        yield good(f"an array, {alg}", Spec(alg=alg, iss=at.AUD), claims={"aud": ["x", "legacy-app"]})
    for aud in ("whoever", [], "", 7, None, {"a": 1}, ["x", 7]):
        yield good(f"{aud!r} where none is asked", claims={"aud": aud})
    yield good("at another host", claims={"aud": "here"}, host="audience.test")


@LEGAL("a use that is access", "JWT-09")
def uses():
    for name, use in itertools.product(("token_use", "token_type", "type", "typ"),
                                       ("access", "Bearer", "access_token", "at+jwt", "", "refreshing", "identity", 7, None,
                                        ["refresh"])):
        yield good(f"{name} {use!r}", claims={name: use})
    for use in ("access", "service"):
        yield good(f"{use} where it is wanted", Spec(iss=at.USE), claims={"token_use": use})
    yield good("access where it is wanted, whatever else is said", Spec(iss=at.USE),
               claims={"token_use": "access", "type": "refresh", "at_hash": "x"})


@LEGAL("claims of others", "JWT-09")
def others():
    for name, value in {
        "nonce": "n-0S6_WzA2Mj", "acr": "1", "amr": ["pwd", "otp"], "roles": ["a", "b"], "scope": "read write", "scp": ["read"],
        "realm_access": {"roles": ["x"]},
        "vot": "P1", "act": {"sub": "x"}, "may_act": {}, "EXP": 1, "Iss": "x", "JTI": 7, "sub ": 7, "cnF": {}, "Events": {},
        "at_hash2": "x", "status": {"status_list": {"idx": 1, "uri": "http://x/"}},
        "_claim_names": {}, "address": {"country": "\u6f22"}, "email": "a@b", "picture": "https://x/", "uid": None, "crit": ["x"],
        "b64": False, "alg": "none", "kid": 7, "cty": "JWT", "jwk": {},
    }.items():
        yield good(name, claims={name: value})
    yield good("no sub where another claim is the user", claims={"sub": ABSENT, "uid": "eve"}, path="/p/uid/ok.txt", user="eve")


# ---- identity -------------------------------------------------------------------------------------------------------


JTIS = (" ", "  ", "0", "null", "*", "%", "/", "\\", '"', "'", ";", "--", "<>", "a b", "a\xa0b", "\xe9", "e\u0301",
        "\u6f22\u5b57", "\U0001F600", "\u202e", "\ufeff", "\u200b", "\ufffd", "\uffff",
        "\U0010FFFF", "' OR 1=1 --", "'; DROP TABLE revocation; --", "../../x", "%00", "${jti}", "%s%n", "{}", "[]", "j" * 1024,
        "\xe9" * 512, "\U0001F600" * 256, "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "-", "a,b", "a.b", "a=b&c=d", "token", "jti")


@LEGAL("an odd jti", "JWT-07", "JWT-11")
def jtis():
    for jti in JTIS:
        yield good(f"{jti[:20]!r}{len(jti)}", claims={"jti": jti})
    for alg in ALGS:
        yield good(f"none, {alg}", Spec(alg=alg), claims=lambda now, alg=alg: {"jti": ABSENT, "nonce": f"{now}{alg}"})
    for iss in (at.NOKID, at.PEM, at.UNLIMITED):
        yield good(f"one that is another issuer's, {iss}", Spec(iss=iss, kid=None),
                   claims={"jti": "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"})
    yield good("an issuer of 1024 bytes", Spec(iss=at.LONG_NAME))


USERS = ("j\xfcrgen \u6f22", "\U0001F600", "e\u0301", "O'Brien", 'a"b', "a\\b", "a,b", "a;b", "a%0ab", "..", "admin", "%s%n",
         "${x}", "<b>", "a@b", "0", "null", "s" * 1024, "\xe9" * 512, "\u200b", "-")


@LEGAL("an odd user", "JWT-11", "R6750-12")
def users():
    for sub in USERS:
        yield good(f"{sub[:20]!r}{len(sub)}", claims={"sub": sub}, user=sub)
    for uid, user in ((7, "7"), (-12, "-12"), (0, "0"), (9007199254740993, "9007199254740993"), (2**63 - 1, str(2**63 - 1)),
                      (-2**63, str(-2**63)), ("bob", "bob")):
        yield good(f"uid {uid!r}", claims={"uid": uid}, path="/p/uid/ok.txt", user=user)
    yield good("a nested one", claims={"realm": {"user": {"name": "carol"}}}, path="/p/nested/ok.txt", user="carol")
    yield good("one with dots in its name", claims={"realm.user.name": "dora"}, path="/p/nested/ok.txt", user="dora")
    yield good("in escapes", body=lambda text: text.replace('"alice"', r'"\u0061l\u0069ce"'))


@LEGAL("sessions and clients")
def sessions():
    for name in ("sid", "client_id", "azp"):
        for value in ("", " ", "x" * 1024, "\xe9" * 512, "08a5019c-17e1-4977-8f42-65a12843ea02", "\U0001F600"):
            yield good(f"{name} {value[:10]!r}{len(value)}", claims={name: value})
    yield good("client_id and azp differ", claims={"client_id": "c1", "azp": "c2"})


@LEGAL("a large token", "16 KiB")
def sizes():
    for alg in ("ES256", "RS256", "ES512", "EdDSA", "Ed448", "HS256"):
        yield good(f"{alg}, 16384 bytes", Spec(alg=alg), size=16384)
    for size in (4093, 4094, 4095, 4096, 4097, 8000, 16380, 16381, 16382, 16383):  # 4096: no process remembers longer ones whole
        yield good(f"{size} bytes", size=size)


@LEGAL("an issuer for everybody's tokens")
def star():
    for what, more in (("another", {"iss": "https://any.other/"}), ("none", {"iss": ABSENT}), ("an empty one", {"iss": ""}),
                       ("a star", {"iss": "*"}), ("its own", {}),
                       ("of 1024 bytes", {"iss": "i" * 1024}), ("in Chinese", {"iss": "\u6f22\u5b57"})):
        yield good(what, claims=more, host="any.test")


# ---- the same, and not the same -------------------------------------------------------------------------------------


def respelled(old, new):
    return lambda text: text.replace(old, new)


def jti_in_escapes(text):
    jti = json.loads(text)["jti"]
    return text.replace(json.dumps(jti), '"' + "".join(f"\\u{ord(c):04X}" for c in jti) + '"')


@SAME("another spelling of a token that has a jti", "JWT-08", "JWT-10")
def with_jti():
    yield case("jti in escapes", None, body=jti_in_escapes)
    yield case("the name jti in escapes", None, body=respelled('"jti"', r'"\u006at\u0069"'))
    yield case("iss in escapes", None, body=respelled('"https://idp.test/"', r'"\u0068ttps:\/\/idp.test\/"'))
    yield case("blanks", None, body=lambda text: json.dumps(json.loads(text), indent=2))
    yield case("another order", None, body=backwards)
    yield case("one more claim", None, claims={"x": 1})
    yield case("one more in the header", None, header={"x": 1})
    yield case("another life", None, claims=lambda now: {"exp": now + 300})
    yield case("another subject", None, claims={"sub": "alice", "sid": "s2"})
    yield case("another type", None, header={"typ": "at+jwt"})
    for alg in ALGS:
        if alg != "ES256":
            yield case(f"signed anew by {alg}", None, alg=alg)
    yield case("a jti of letters beyond ASCII in escapes", None, Spec(claims={"jti": "caf\xe9 \U0001F600"}),
               body=lambda text: text.replace("\\u00e9", "\xe9"))


@SAME("another spelling of a token that has none", "JWT-10")
def without_jti():
    for alg in ORDERS:
        yield case(f"{alg}, n - s", None, Spec(alg=alg, claims=lambda now: {"jti": ABSENT, "nonce": str(now)}),
                   sig=numbers(alg, lambda r, s, n: (r, n - s)))


@APART("a jti that only looks the same", "JWT-07", "JWT-11")
def near_jtis():
    for what, one, other in (
            ("another case", "Jti-a", "jti-a"), ("a blank behind", "jti-b", "jti-b "), ("a blank before", "jti-c", " jti-c"),
            ("a letter less", "jti-dd", "jti-d"),
            ("composed and not", "caf\xe9", "cafe\u0301"), ("a space of no width", "jti-e", "jti-e\u200b"),
            ("a Cyrillic letter", "jti-a1", "jti-\u04301"),
            ("full width", "jti-f", "jti-\uff46"), ("a sharp s", "stra\xdfe", "strasse"), ("a dotless i", "jti-i", "jt\u0131-i"),
            ("a byte order mark", "jti-g", "\ufeffjti-g"),
            ("the last of 1024 bytes", "x" * 1023 + "a", "x" * 1023 + "b"),
            ("the first of 1024 bytes", "a" + "x" * 1023, "b" + "x" * 1023),
            ("1023 and 1024 bytes", "y" * 1023, "y" * 1024), ("a quote", "jti-h", "jti-h'"), ("a percent", "jti-k", "jti-%6b"),
            ("a backslash", "jti-n", "jti-\\n"),
            ("zeros in front", "1", "01"), ("a number's other form", "10", "1e1"), ("a slash", "jti/l", "jti\\l")):
        yield case(what, None, Spec(claims={"jti": one}), claims={"jti": other})
    for iss in (at.NOKID, at.UNLIMITED, at.SECOND):
        yield case(f"another issuer's, {iss}", None, Spec(alg="RS256", kid=None), iss=iss)


@APART("no jti, and not the same content", "JWT-10")
def near_contents():
    twin = Spec(claims=lambda now: {"jti": ABSENT, "nonce": str(now)})
    yield case("a blank behind", None, twin, body=lambda text: text + " ")
    yield case("a blank behind the header", None, twin, head=lambda text: text + " ")
    yield case("one more claim", None, twin, claims=lambda now: {"jti": ABSENT, "nonce": str(now), "x": 1})
    yield case("a jti", None, twin, claims=lambda now: {"nonce": str(now)})
    for alg in ("RS256", "EdDSA", "HS256"):
        yield case(f"{alg}, a blank behind", None, Spec(alg=alg, claims=twin.claims), body=lambda text: text + " ")
