"""Hostile: texts that are no compact JWS, base64url that is none, JSON that is none or says two things, odd headers."""

import json

import issuers as at
from tokens import ALGS, MAIN, b64, unb64
from tokens_case import ABSENT, HOSTILE, Spec, case

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


# ---- three parts ----------------------------------------------------------------------------------------------------


def pieces(change):
    return lambda token: change(*token.split("."))


def alg_none(token, alg="none", sig=""):
    return b64(json.dumps({"alg": alg})) + "." + token.split(".")[1] + "." + sig


NO_JWS = {
    "one part": lambda h, p, s: h, "two parts": lambda h, p, s: f"{h}.{p}", "no signature": lambda h, p, s: f"{h}.{p}.",
    "no payload": lambda h, p, s: f"{h}..{s}", "no header": lambda h, p, s: f".{p}.{s}",
    "four parts": lambda h, p, s: f"{h}.{p}.{s}.{s}",
    "five parts": lambda h, p, s: f"{h}.{p}.{s}.{s}.{s}", "six parts": lambda h, p, s: f"{h}.{p}.{s}.{s}.{s}.{s}",
    "two dots": lambda h, p, s: f"{h}..{p}.{s}", "a leading dot": lambda h, p, s: f".{h}.{p}.{s}",
    "a trailing dot": lambda h, p, s: f"{h}.{p}.{s}.",
    "two trailing dots": lambda h, p, s: f"{h}.{p}.{s}..", "dots only": lambda h, p, s: "..",
    "a thousand dots": lambda h, p, s: "." * 1000,
    "backwards": lambda h, p, s: f"{s}.{p}.{h}", "a letter": lambda h, p, s: "x",
    "opaque": lambda h, p, s: "rt_x1y2z3a4b5c6d7e8f9", "twice": lambda h, p, s: f"{h}.{p}.{s}{h}.{p}.{s}",
    "the scheme again": lambda h, p, s: f"Bearer {h}.{p}.{s}", "a tilde behind (SD-JWT)": lambda h, p, s: f"{h}.{p}.{s}~",
    "a disclosure behind (SD-JWT)": lambda h, p, s: f"{h}.{p}.{s}~WyJhIiwiYiIsMV0~",
    "unfinished JSON": lambda h, p, s: '{"payload":"' + p + '"}',
    "60,000 letters": lambda h, p, s: "x" * 60000, "60,000 letters in three parts": lambda h, p, s: ".".join(["x" * 20000] * 3),
}


@HOSTILE("a text that is no compact JWS", "JWS-01", "JWS-14", "BCP-11")
def no_jws():
    for what, change in NO_JWS.items():
        yield case(what, "malformed", text=pieces(change))
    yield case("payload first", "algorithm", text=pieces(lambda h, p, s: f"{p}.{h}.{s}"))
    for alg in ("RS256", "Ed448", "HS512"):
        for what in ("two parts", "no signature", "no payload", "four parts"):
            yield case(f"{what}, {alg}", "malformed", Spec(alg=alg), text=pieces(NO_JWS[what]))


FOREIGN = {"a plus": "+", "a slash": "/", "padding": "=", "two of padding": "==", "a percent": "%41", "a tilde": "~",
           "a star": "*", "a blank": " ",
           "a tab": "\t", "a colon": ":", "a semicolon": ";", "a quote": '"', "a backslash": "\\", "a brace": "{",
           "a question mark": "?",
           "e acute": "\xe9", "a letter of full width": "\uff21", "an at sign": "@", "a bracket": "[", "a back quote": "`",
           "an ampersand": "&"}


@HOSTILE("a character that base64url has not", "JWS-02", "BCP-11",
         "apr_base64 takes both alphabets, padding, and stops at the first other")
def foreign():
    for what, mark in FOREIGN.items():
        for part in range(3):
            if part < 2 or mark.strip(" \t"):  # httpd takes blanks off the end of a field
                yield case(f"{what} behind part {part + 1}", "malformed", text=lambda token, mark=mark, part=part: ".".join(
                    piece + mark * (i == part) for i, piece in enumerate(token.split("."))))
        yield case(f"{what} inside the payload", "malformed",
                   text=pieces(lambda h, p, s, mark=mark: f"{h}.{p[:8]}{mark}{p[8:]}.{s}"))


def respelled(part, change):
    """For tokens of which that part ends in fewer than four characters."""
    def bend(token):
        parts = token.split(".")
        assert len(parts[part]) % 4 > 1, "no bits are left over here"
        parts[part] = change(parts[part])
        return ".".join(parts)

    return bend


def loose_bits(by):
    """The last character has 4 or 2 bits that mean nothing; by: of them to set."""
    def change(piece):
        return piece[:-1] + ALPHABET[ALPHABET.index(piece[-1]) | (by if len(piece) % 4 == 2 else min(by, 3))]

    return change


@HOSTILE("a last character with loose bits", "JWS-03", "apr_base64 takes any")
def loose():
    for alg in ALGS:
        if alg not in ("ES512", "ES384", "HS384", "Ed448"):  # a multiple of three bytes leaves no bits over
            for by in (1, 2, 3):
                yield case(f"the signature, {alg}, {by}", "malformed", Spec(alg=alg), text=respelled(2, loose_bits(by)))
    for pad in (1, 2):
        for part in (0, 1):
            shape = Spec(head=lambda text, pad=pad: padded(text, pad), body=lambda text, pad=pad: padded(text, pad))
            for by in (1, 3):
                yield case(f"part {part + 1} of 3n + {pad} bytes, {by}", "malformed", shape, text=respelled(part, loose_bits(by)))


def padded(text, rest):
    return text + " " * ((rest - len(text.encode())) % 3)


@HOSTILE("a part of 4n + 1 characters", "JWS-02", "apr_base64 drops the last")
def length():
    for rest in range(3):
        for part in (0, 1):
            shape = Spec(head=lambda text, rest=rest: padded(text, rest), body=lambda text, rest=rest: padded(text, rest))
            yield case(f"part {part + 1} of 3n + {rest} bytes", "malformed", shape, text=lambda token, part=part: ".".join(
                piece + "AAAA"[:(1 - len(piece)) % 4] * (i == part) for i, piece in enumerate(token.split("."))))
    for alg in ("ES256", "RS256", "ES512", "HS256"):
        yield case(f"the signature, {alg}", "malformed", Spec(alg=alg),
                   text=lambda token: token + "AAAA"[:(1 - len(token.split(".")[2])) % 4])
        yield case(f"the signature, {alg}, cut", "malformed", Spec(alg=alg),
                   text=lambda token: token[:len(token) - (len(token.split(".")[2]) - 1) % 4])


@HOSTILE("a token that is too large", "16 KiB")
def too_large():
    for alg in ("ES256", "HS256", "RS256"):
        yield case(f"{alg}, 16385 bytes", "malformed", Spec(alg=alg), size=16385, twin={"size": 16384})
    yield case("16386 bytes", "malformed", size=16386, twin={"size": 16383})
    yield case("30000 bytes", "malformed", size=30000)


@HOSTILE("an encrypted token", "JWS-14", "CVE-2023-51774", "CVE-2022-3102", "CVE-2023-6681")
def encrypted():
    for alg, more in (("RSA-OAEP", {}), ("RSA1_5", {}), ("dir", {}), ("A256KW", {}), ("ECDH-ES", {}),
                      ("PBES2-HS256+A128KW", {"p2c": 2**31, "p2s": "AA"}),
                      ("RS256", {}), ("dir", {"zip": "DEF"})):
        header = b64(json.dumps({"alg": alg, "enc": "A256GCM", **more}))
        yield case(f"{alg}{' with zip' if 'zip' in more else ''}, five parts", "malformed",
                   text=lambda token,
                   header=header: f"{header}.AAAA.AAAAAAAAAAAAAAAA.{token.split('.')[1]}.AAAAAAAAAAAAAAAAAAAAAA")
        if alg != "RS256" and not more:
            yield case(f"{alg}, three parts", "algorithm", header={"alg": alg, "enc": "A256GCM"})
    yield case("no key in it", "malformed", text=pieces(lambda h, p, s: f"{h}..{p}.{s}.{s}"))


# ---- the algorithm's name -------------------------------------------------------------------------------------------


NAMES = ("none", "None", "NONE", "nOnE", "", " none", "none ", "es256", "Es256", "ES256 ", " ES256", "ES-256", "ES256K ", "ES257",
         "ES2", "E", "RS1",
         "HS1", "RSA1_5", "dir", "A256KW", "ES256\n", "ES256\t", "RS256,ES256", "ES256,none", "SHA256withECDSA", "ed25519",
         "eddsa", "Ed25519ph",
         "HS256/64", "ES256\ufeff", "\uff25S256", "null", "0", "x" * 5000)
VALUES = (5, None, True, False, [], ["ES256"], {}, {"ES256": 1}, 1.5, 2**64)


@HOSTILE("an algorithm that nobody knows", "JWS-06", "JWS-07", "R9068-04", "libjwt 096082e", "CVE-2020-28042",
         "cjose crashed on alg that was no string")
def names():
    for name in NAMES:
        yield case(repr(name[:20]), "algorithm", header={"alg": name})
    for value in VALUES:
        yield case(f"{value!r}", "algorithm", header={"alg": value})
    yield case("missing", "algorithm", header={"alg": ABSENT})
    yield case("in another case of its name", "algorithm", header=lambda forge: {"alg": ABSENT, "Alg": "ES256", "ALG": "ES256"})
    for alg in ("none", "None", "NONE"):
        for what, sig, reason in (("nothing", "", "malformed"), ("a letter", "A", "malformed"), ("a byte", "AA", "algorithm")):
            yield case(f"{alg} and {what} for a signature", reason,
                       text=lambda token, alg=alg, sig=sig: alg_none(token, alg, sig))


# ---- what a header may not ask for ----------------------------------------------------------------------------------


CRIT = {
    "an extension": {"crit": ["x"], "x": 1}, "an extension that is not there": {"crit": ["x"]}, "nothing": {"crit": []},
    "null": {"crit": None},
    "a string": {"crit": "exp"}, "a number": {"crit": 1}, "an object": {"crit": {"x": 1}, "x": 1}, "true": {"crit": True},
    "alg": {"crit": ["alg"]},
    "kid": {"crit": ["kid"]}, "exp": {"crit": ["exp"], "exp": 1}, "itself": {"crit": ["crit"]},
    "twice the same": {"crit": ["x", "x"], "x": 1},
    "an empty name": {"crit": [""], "": 1}, "a number in it": {"crit": [1]}, "b64": {"crit": ["b64"], "b64": True},
    "the name of RFC 7515 appendix E": {"crit": ["http://example.invalid/UNDEFINED"], "http://example.invalid/UNDEFINED": True},
}


@HOSTILE("a header that asks for what is not understood", "JWS-08", "JWS-09", "CVE-2026-32597", "cjose 1daa23d", "libjwt fe8840a")
def critical():
    for what, header in CRIT.items():
        yield case(f"crit: {what}", "malformed", header=header)
    for alg in ("RS256", "PS256", "EdDSA", "HS256"):
        yield case(f"crit, {alg}", "malformed", Spec(alg=alg), header={"crit": ["x"], "x": 1})
    for value in (False, True, None, 0, "false"):
        yield case(f"b64 {value!r}", "malformed", header={"b64": value})
        yield case(f"b64 {value!r} and crit", "malformed", header={"b64": value, "crit": ["b64"]})
    for value in ("DEF", "", None, 1):
        yield case(f"zip {value!r}", "malformed", header={"zip": value})
    yield case("an unencoded payload (RFC 7797)", "malformed", header={"b64": False, "crit": ["b64"]},
               text=pieces(lambda h, p, s: f"{h}.{unb64(p).decode().replace(',', ';')}.{s}"))


@HOSTILE("a token in a token", "JWS-13")
def nested():
    inner = b64('{"alg":"none"}') + "." + b64("{}") + "."
    for cty in ("JWT", "jwt", "Jwt", "application/jwt", "APPLICATION/JWT"):
        yield case(f"cty {cty}", "malformed", header={"cty": cty})
    yield case("as the payload", "malformed", header={"cty": "JWT"}, body=lambda text: inner)
    yield case("as the payload, without cty", "malformed", body=lambda text: inner)
    yield case("as a JSON string", "malformed", body=lambda text: json.dumps(inner))


TYPES = (7, None, True, [], ["x"], {}, {"a": 1}, 1.5)


@HOSTILE("a header member of a wrong type", "JWS-11", "JWS-12", "libjwt cfd8902")
def types():
    for name in ("kid", "typ", "cty"):
        for value in TYPES:
            yield case(f"{name} {value!r}", "malformed", header={name: value})
    for what, letters, last in (("letters", "x" * 1024, "x"), ("2-byte letters", "\xe9" * 512, "x"),
                                ("escapes", "\t" * 1024, "\t")):
        yield case(f"kid of 1025 bytes, in {what}", "malformed", Spec(alg="RS256", iss=at.NOKID), header={"kid": letters + last},
                   twin={"header": {"kid": letters}})
    yield case("kid of 10,000 bytes", "malformed", header={"kid": "k" * 10000})


# ---- JSON -----------------------------------------------------------------------------------------------------------


def member(text):
    """One more at the end of an object's text, which may be bytes."""
    def add(whole):
        more = text if isinstance(text, bytes) else text.encode()
        return whole[:-1].encode() + b", " + more + b"}"

    return add


def nested_text(levels):
    """An object with something in it that makes so many levels."""
    return '"x": ' + "[" * (levels - 1) + "]" * (levels - 1)


NO_OBJECT = {
    "an array": lambda text: f"[{text}]", "an empty array": lambda text: "[]", "a string": lambda text: json.dumps(text),
    "a number": lambda text: "1",
    "null": lambda text: "null", "true": lambda text: "true", "a blank": lambda text: " ", "a brace": lambda text: "{",
    "cut": lambda text: text[:-1],
    "cut in a string": lambda text: text[:-2], "a letter behind": lambda text: text + " x",
    "a comma behind": lambda text: text + ",",
    "a brace behind": lambda text: text + "}", "an object behind": lambda text: text + "{}",
    "itself behind": lambda text: text + text,
    "a line and an object behind": lambda text: text + "\n{}", "a letter before": lambda text: "x" + text,
    "a NUL behind": lambda text: text + "\0",
    "text behind a NUL": lambda text: text + '\0{"a": 1}', "a NUL before": lambda text: "\0" + text,
    "NULs alone": lambda text: "\0\0\0",
    "a byte order mark": lambda text: "\ufeff" + text, "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, big end first": lambda text: text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"), "UTF-7": lambda text: text.replace("{", "+AHs-"),
    "gzip": lambda text: b"\x1f\x8b\x08" + text.encode(),
    "XML": lambda text: "<jwt/>", "a form": lambda text: "alg=ES256&iss=x", "CBOR": lambda text: b"\xa1\x01\x26",
    "YAML": lambda text: text.replace('"', "'"),
    "a vertical tab for a blank": lambda text: text.replace(" ", "\v"),
    "a no-break space for a blank": lambda text: text.replace(" ", "\xa0"),
    "a form feed before": lambda text: "\f" + text,
}

NO_JSON = {
    "a comma at the end": '"x": 1,', "two commas": '"x": 1,, "y": 2', "no value": '"x":', "no colon": '"x" 1', "no name": ": 1",
    "a name without quotes": "x: 1",
    "single quotes": "'x': 1", "a comment": '"x": 1 /* y */', "a comment of one line": '"x": 1 // y\n', "NaN": '"x": NaN',
    "Infinity": '"x": Infinity',
    "-Infinity": '"x": -Infinity', "a hexadecimal number": '"x": 0x10', "an octal number": '"x": 010',
    "a leading zero": '"x": 01', "a plus": '"x": +1',
    "a minus alone": '"x": -', "two minus": '"x": --1', "no digit before the point": '"x": .5',
    "no digit after the point": '"x": 5.',
    "no digit in the exponent": '"x": 1e', "a sign alone in the exponent": '"x": 1e+', "an underscore in a number": '"x": 1_000',
    "True": '"x": True',
    "TRUE": '"x": TRUE', "nul": '"x": nul', "undefined": '"x": undefined', "a raw line end": '"x": "a\nb"',
    "a raw tab": '"x": "a\tb"',
    "a raw NUL": '"x": "a\0b"', "a NUL escape": r'"x": "a\u0000b"', "a NUL escape in a name": r'"a\u0000": 1',
    "a wrong escape": r'"x": "\x41"',
    "an escape of an apostrophe": r'"x": "\'"', "a cut escape": r'"x": "\u00"', "an escape that is no number": r'"x": "\u00zz"',
    "a lone high surrogate": r'"x": "\ud800"', "a lone low surrogate": r'"x": "\udc00"',
    "surrogates exchanged": r'"x": "\udc00\ud800"',
    "two high surrogates": r'"x": "\ud800\ud800"', "invalid UTF-8": b'"x": "\xff"', "UTF-8 that is cut": b'"x": "\xe2\x82"',
    "overlong UTF-8": b'"x": "\xc0\xaf"', "an overlong NUL": b'"x": "\xc0\x80"', "a surrogate in UTF-8": b'"x": "\xed\xa0\x80"',
    "CESU-8": b'"x": "\xed\xa0\xbd\xed\xb8\x80"', "beyond Unicode": b'"x": "\xf4\x90\x80\x80"',
    "a continuation alone": b'"x": "\x80"',
    "Latin-1": b'"x": "\xe9"', "five bytes": b'"x": "\xf8\x88\x80\x80\x80"', "invalid UTF-8 in a name": b'"\xff": 1',
    "brackets crossed": '"x": [{]}',
    "a bracket left open": '"x": [', "a bracket too many": '"x": []]', "33 levels": nested_text(33), "34 levels": nested_text(34),
    "2000 levels": nested_text(2000), "33 levels of objects": '"x": ' + '{"a":' * 32 + "1" + "}" * 32,
    "33 levels in turn": '"x": ' + '[{"a":' * 16 + "1" + "}]" * 16,
    "levels without end": '"x": ' + "[" * 8000,
}

DOUBLES = {"a member twice": '"x": 1, "x": 1', "twice by an escape": r'"x": 1, "\u0078": 2',
           "twice inside": '"x": {"a": 1, "a": 2}',
           "twice in an array": '"x": [{"a": 1, "a": 1}]', "an empty name twice": '"": 1, "": 2', "twice, far from each other":
           '"x": 1, ' + ", ".join(f'"y{i}": {i}' for i in range(100)) + ', "x": 2',
           "a long name twice": f'"{"n" * 300}": 1, "{"n" * 300}": 1'}


@HOSTILE("a header that is no object", "JWS-04", "jansson takes an array at the top, json_loads stops at a NUL")
def header_objects():
    for what, change in NO_OBJECT.items():
        yield case(what, "malformed", head=change)


@HOSTILE("a payload that is no object", "JWS-04", "jansson takes an array at the top, json_loads stops at a NUL")
def payload_objects():
    for what, change in NO_OBJECT.items():
        yield case(what, "malformed", body=change)


@HOSTILE("a header that is no JSON", "JWS-04", "JWT-11", "jansson takes 2047 levels")
def header_json():
    for what, text in NO_JSON.items():
        yield case(what, "malformed", head=member(text))


@HOSTILE("a payload that is no JSON", "JWS-04", "JWT-11", "jansson takes 2047 levels")
def payload_json():
    for what, text in NO_JSON.items():
        yield case(what, "malformed", body=member(text))
    for alg in ("RS256", "EdDSA", "HS256"):
        yield case(f"33 levels, {alg}", "malformed", Spec(alg=alg), body=member(nested_text(33)),
                   twin={"body": member(nested_text(32))})
    for what, text in (("a fraction", '"y": 1.5, '), ("an escape", r'"y": "\n", '), ("40 digits", '"y": 1' + "0" * 39 + ", ")):
        yield case(f"33 levels and {what}", "malformed", body=member(text + nested_text(33)),
                   twin={"body": member(text + nested_text(32))})
    yield case("33 levels, and 32", "malformed", body=member(nested_text(33)), twin={"body": member(nested_text(32))})
    yield case("33 levels in the header, and 32", "malformed", head=member(nested_text(33)),
               twin={"head": member(nested_text(32))})


@HOSTILE("a member that stands twice", "JWS-05", "libjwt took the last", "jansson takes the last")
def doubles():
    for what, text in DOUBLES.items():
        yield case(f"the header: {what}", "malformed", head=member(text))
        yield case(f"the payload: {what}", "malformed", body=member(text))
    for text in ('"alg": "ES256"', '"alg": "none"', r'"al\u0067": "none"', '"kid": "p256"', r'"\u006bid": "other"',
                 '"typ": "JWT"'):
        yield case(f"the header: {text}", "malformed", head=member(text))
    for text in (f'"iss": "{MAIN}"', r'"\u0069ss": "https://evil.test/"', '"sub": "alice"', '"sub": "mallory"',
                 r'"\u0073ub": "mallory"', '"exp": 4e9',
                 r'"e\u0078p": 4e9', '"jti": "other"', r'"\u006ati": "other"', r'"\u006A\u0074\u0069": "other"', '"iat": 1',
                 '"iat": 1e400, "iat": 1'):
        yield case(f"the payload: {text}", "malformed", body=member(text))
