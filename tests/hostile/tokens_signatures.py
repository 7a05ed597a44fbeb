"""Hostile: signatures that only look good, keys that are not the issuer's, algorithms that are not the key's."""

import hashlib
import hmac
import json

import issuers as at
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from jwcrypto.jwk import JWK

from tokens import ALGS, ASYMMETRIC, KEY_OF, MAIN, b64, certificate_pem, curve_point, fields, private_object, public_pem, unb64
from tokens_case import HOSTILE, Spec, case
from tokens_site import DOUBLE, SHORT, SMALL_RSA, WEAK, short_secret, weak

SHAPES = {"key set with kid": (MAIN, ""), "key set without kid": (at.NOKID, None)}
PUBLIC = {"PEM": (at.PEM, None), "PEM with kid": (at.PEM_KID, ""), "certificate with kid": (at.CERT_KID, "")}
SECRET = {"secret": (at.SECRET, None), "secret with kid": (at.SECRET_KID, "")}


def by_key(function):
    """Is called once for each key; reading a private key takes its time."""
    known = {}

    def cached(jwk):
        name = jwk.thumbprint()
        if name not in known:
            known[name] = function(jwk)
        return known[name]

    return cached


private = by_key(private_object)


def shapes(alg):
    """One token of this algorithm for every source of keys."""
    for name, (iss, kid) in {**SHAPES, **(PUBLIC if alg in ASYMMETRIC else SECRET)}.items():
        yield f"{alg}, {name}", Spec(alg=alg, iss=iss, kid=kid)


def one_shape(alg):
    return Spec(alg=alg)


# ---- every algorithm ------------------------------------------------------------------------------------------------


@HOSTILE("a signature with one bit flipped", "JWS-01", "verify always says yes (cjose 0.4.0)")
def flipped():
    for alg in ALGS:
        for name, shape in shapes(alg):
            yield case(name, "bad_signature", shape, sig=lambda raw, made: bytes((raw[0] ^ 1,)) + raw[1:])
        yield case(f"{alg}, the last bit", "bad_signature", one_shape(alg),
                   sig=lambda raw, made: raw[:-1] + bytes((raw[-1] ^ 1,)))


def of_another(part):
    """The signature stays; so do the token's last bytes, by which a cache may look for it."""
    def change(token):
        pieces = token.split(".")
        content = json.loads(unb64(pieces[part]))
        content["sub" if part else "x"] = "mallory"
        pieces[part] = b64(json.dumps(content))
        return ".".join(pieces)

    return change


@HOSTILE("content that was not signed", "GHSA-rp9m-7r4c-75qg")
def content():
    for alg in ALGS:
        yield case(f"{alg}, payload", "bad_signature", one_shape(alg), text=of_another(1))
        yield case(f"{alg}, header", "bad_signature", one_shape(alg), text=of_another(0))


@HOSTILE("a key that nobody trusts", "CVE-2018-0114")
def foreign():
    for alg in ALGS:
        yield case(f"{alg} with the kid of a good one", "bad_signature", Spec(alg=alg), key="other")
        yield case(f"{alg} without kid", "bad_signature", Spec(alg=alg, kid=None, iss=at.NOKID), key="other")


@HOSTILE("a signature of another length", "JWS-17", "JWS-19", "r||s to DER overflow (HAProxy 648b0e7be)")
def lengths():
    for alg in ALGS:
        for name, bend in {
            "a byte less": lambda raw, made: raw[:-1], "a byte more": lambda raw, made: raw + b"\0",
            "a zero in front": lambda raw, made: b"\0" + raw, "one byte": lambda raw, made: raw[:1],
            "twice": lambda raw, made: raw * 2, "zeros": lambda raw, made: bytes(len(raw)),
            "9000 bytes": lambda raw, made: b"\1" * 9000,
        }.items():
            yield case(f"{alg}, {name}", "bad_signature", Spec(alg=alg), sig=bend)


# ---- one algorithm under the name of another ------------------------------------------------------------------------


SYNONYMS = {("EdDSA", "Ed25519"), ("Ed25519", "EdDSA"), ("Ed448", "EdDSA")}  # by the same key it is the same algorithm


def swaps():
    for signed in ALGS:
        for named in ALGS:
            if signed != named and (signed, named) not in SYNONYMS:
                yield signed, named, KEY_OF[signed] == KEY_OF[named]


@HOSTILE("a signature under the name of another algorithm", "JWS-18", "JWS-19", "JWS-20", "BCP-02", "libjwt c948840")
def renamed():
    for signed, named, same_key in swaps():
        yield case(f"{signed} as {named}", "bad_signature" if same_key else "unknown_key", Spec(alg=signed),
                   header={"alg": named})


@HOSTILE("a signature under the name of another algorithm, without kid", "JWS-18", "JWS-19", "JWS-20")
def renamed_without_kid():
    for signed, named, same_key in swaps():
        if same_key or signed[:2] == named[:2] or {signed, named} & {"HS256", "ES256K"}:
            yield case(f"{signed} as {named}", "bad_signature", Spec(alg=signed, kid=None), header={"alg": named})


@HOSTILE("an algorithm that the issuer does not allow", "BCP-01", "BCP-02", "R9068-04", "libjwt c948840")
def not_allowed():
    rs256 = Spec(alg="RS256", iss=at.RS256_ONLY)
    for alg in ALGS[1:]:
        yield case(f"{alg} where RS256 alone is", "algorithm", rs256, alg=alg)
    for good, bad in (("RS256", "RS384"), ("RS256", "RS512"), ("RS256", "PS256"), ("Ed25519", "EdDSA"), ("HS512", "HS256"),
                      ("HS512", "HS384"), ("HS512", "ES256")):
        yield case(f"{bad} by keys that name {good}", "algorithm", Spec(alg=good, iss=at.PINNED), alg=bad)
    for alg in ALGS[13:]:
        yield case(f"{alg} by public keys", "algorithm", Spec(iss=at.PEM, kid=None), alg=alg)
    for alg in ("RS256", "ES256", "EdDSA"):
        yield case(f"{alg} by a secret", "algorithm", Spec(alg="HS256", iss=at.SECRET, kid=None), alg=alg)


# ---- public keys as secrets -----------------------------------------------------------------------------------------


@by_key
def public_forms(jwk):
    """Every byte string that a careless verifier may take for a secret; all of them are public."""
    key = private(jwk).public_key()
    enc, fmt = serialization.Encoding, serialization.PublicFormat
    pem, public = public_pem(jwk), fields(jwk)
    forms = {
        "PEM": pem, "PEM without line end": pem.rstrip(b"\n"), "PEM with CRLF": pem.replace(b"\n", b"\r\n"),
        "PEM behind a blank": b" " + pem, "PEM behind a line": b"\n" + pem,
        "DER": key.public_bytes(enc.DER, fmt.SubjectPublicKeyInfo), "certificate": certificate_pem(jwk),
        "JWK": json.dumps(public).encode(), "thumbprint": jwk.thumbprint().encode(), "nothing": b"", "zeros": bytes(32),
    }
    if jwk["kty"] == "RSA":
        forms |= {"PKCS1": key.public_bytes(enc.PEM, fmt.PKCS1), "modulus": unb64(public["n"]),
                  "modulus as text": public["n"].encode()}
    elif jwk["kty"] == "EC":
        forms |= {"point": curve_point(jwk), "x": unb64(public["x"])}
    else:
        forms |= {"x": unb64(public["x"]), "x as text": public["x"].encode()}
    return forms


FORMS = {
    "rsa": ("PEM", "PEM without line end", "PEM with CRLF", "PEM behind a blank", "PEM behind a line", "DER", "certificate",
            "JWK",
            "thumbprint", "nothing", "zeros", "PKCS1", "modulus", "modulus as text"),
    "p256": ("PEM", "PEM without line end", "PEM behind a blank", "DER", "certificate", "JWK", "nothing", "point", "x"),
    "p521": ("PEM", "DER", "point"), "k256": ("PEM", "DER", "point"),
    "ed25519": ("PEM", "PEM behind a line", "DER", "JWK", "nothing", "x", "x as text"), "ed448": ("PEM", "DER", "x"),
}


def secret_of(kind, form):
    return lambda forge: JWK(kty="oct", k=b64(public_forms(forge.keys[kind])[form]))


@HOSTILE("a public key as an HMAC secret", "BCP-02", "CVE-2015-9235", "CVE-2017-11424", "CVE-2023-48223", "CVE-2026-34950",
         "GHSA-q843-6q5f-w55g")
def confused():
    algs = {"rsa": "RS256", "p256": "ES256", "p521": "ES512", "k256": "ES256K", "ed25519": "EdDSA", "ed448": "Ed448"}
    for kind, forms in FORMS.items():
        for i, form in enumerate(forms):
            bend = {"alg": ALGS[13 + i % 3], "key": secret_of(kind, form)}
            shape = Spec(alg=algs[kind])
            yield case(f"{kind}, {form}, by its kid", "unknown_key", shape, kid=kind, twin={"kid": kind}, **bend)
            yield case(f"{kind}, {form}, without kid", "bad_signature", Spec(alg=algs[kind], iss=at.NOKID, kid=None), **bend)
    for form in FORMS["rsa"]:
        yield case(f"rsa, {form}, where secrets are allowed and there is none", "unknown_key",
                   Spec(alg="RS256", iss=at.NO_SUCH_KEY), alg="HS256", key=secret_of("rsa", form), kid="rsa")
        yield case(f"rsa, {form}, where the key is a PEM", "algorithm", Spec(alg="RS256", iss=at.PEM_KID), alg="HS256",
                   key=secret_of("rsa", form), kid="rsa")


@HOSTILE("a secret that is not quite the issuer's", "CVE-2026-45363")
def near_secrets():
    def near(change):
        return lambda forge: JWK(kty="oct", k=b64(change(unb64(forge.keys["oct"].export(as_dict=True)["k"]))))

    changes = {
        "with the file's line end": lambda k: k + b"\n", "as base64url": lambda k: b64(k).encode(),
        "as hex": lambda k: k.hex().encode(),
        "without its last byte": lambda k: k[:-1], "its first half": lambda k: k[:32], "backwards": lambda k: k[::-1],
        "empty": lambda k: b"", "one NUL": lambda k: b"\0", "hashed": lambda k: hashlib.sha256(k).digest(),
        "word": lambda k: b"secret",
    }
    for what, change in changes.items():
        for iss, kid in ((at.SECRET, None), (MAIN, "")):
            yield case(f"{what}, {iss}", "bad_signature", Spec(alg="HS256", iss=iss, kid=kid), key=near(change))


@HOSTILE("a MAC that is cut", "CVE-2016-7036")
def cut_macs():
    for alg in ALGS[13:]:
        for size in (1, 4, 16, 31):
            yield case(f"{alg}, {size} bytes", "bad_signature", Spec(alg=alg), sig=lambda raw, made, size=size: raw[:size])
    for alg, name in (("HS384", "sha384"), ("HS512", "sha512")):
        def short(raw, made, name=name):
            secret = unb64(made.jwk.export(as_dict=True)["k"])
            return hmac.new(secret, made.signing_input.encode(), name).digest()[:32]

        yield case(f"{alg} cut to the length of HS256", "bad_signature", Spec(alg="HS256"), header={"alg": alg}, sig=short)
        yield case(f"{alg}, the head of it as HS256", "bad_signature", Spec(alg="HS256"), sig=short)


@HOSTILE("a secret too short for its hash", "JWS-15")
def short_secrets():
    def key(size):
        return lambda forge: short_secret(size)

    twin = Spec(alg="HS256", iss=SHORT, kid="oct-32", key=key(32))
    yield case("32 bytes for HS384", "unknown_key", twin, alg="HS384")
    yield case("32 bytes for HS512", "algorithm", twin, alg="HS512")
    yield case("48 bytes for HS512", "algorithm", Spec(alg="HS384", iss=SHORT, kid="oct-48", key=key(48)), alg="HS512")


# ---- a signature that is no signature -------------------------------------------------------------------------------


ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "ES512": int("01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
                 "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409", 16),
    "ES256K": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
}


def numbers(alg, change):
    """change: of (r, s, order) to the two numbers that are there instead."""
    def bend(raw, made):
        half = len(raw) // 2
        r, s = int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
        return b"".join((x % (1 << 8 * half)).to_bytes(half, "big") for x in change(r, s, ORDERS[alg]))

    return bend


def der(raw, made):
    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


@HOSTILE("numbers that are no ECDSA signature", "JWS-17", "CVE-2022-21449", "CVE-2020-14968", "libjwt 5fada81")
def ecdsa():
    changes = {
        "r and s are 0": lambda r, s, n: (0, 0), "r is 0": lambda r, s, n: (0, s), "s is 0": lambda r, s, n: (r, 0),
        "r is n": lambda r, s, n: (n, s), "s is n": lambda r, s, n: (r, n), "both are n": lambda r, s, n: (n, n),
        "r and s are 1": lambda r, s, n: (1, 1), "r is n + 1": lambda r, s, n: (n + 1, s), "exchanged": lambda r, s, n: (s, r),
        "all ones": lambda r, s, n: (-1, -1), "-r": lambda r, s, n: (n - r, s), "s + 1": lambda r, s, n: (r, s + 1),
    }
    for alg in ORDERS:
        for what, change in changes.items():
            yield case(f"{alg}, {what}", "bad_signature", Spec(alg=alg), sig=numbers(alg, change))
        yield case(f"{alg}, DER", "bad_signature", Spec(alg=alg), sig=der)
    # These 66 bytes have room for other names of the same numbers.
    yield case("ES512, r + n", "bad_signature", Spec(alg="ES512"), sig=numbers("ES512", lambda r, s, n: (r + n, s)))
    yield case("ES512, s + n", "bad_signature", Spec(alg="ES512"), sig=numbers("ES512", lambda r, s, n: (r, s + n)))
    yield case("ES512, s + 32n", "bad_signature", Spec(alg="ES512"), sig=numbers("ES512", lambda r, s, n: (r, s + 32 * n)))


# ---- RSA, block by block --------------------------------------------------------------------------------------------


PREFIX = {"sha256": "3031300d060960864801650304020105000420", "sha384": "3041300d060960864801650304020205000430",
          "sha512": "3051300d060960864801650304020305000440", "sha1": "3021300906052b0e03021a05000414"}
NO_NULL = "302f300b0609608648016503040201" "0420"


def raw_rsa(jwk, block):
    numbers_of = private(jwk).private_numbers()
    return pow(int.from_bytes(block, "big"), numbers_of.d, numbers_of.public_numbers.n).to_bytes(256, "big")


def pkcs1(prefix, name, begin=b"\0\1", fill=b"\xff", end=b"\0", tail=b"", fill_len=None):
    """An encoded block (RFC 8017 9.2) with something wrong in it, signed by the real key."""
    def bend(raw, made):
        info = bytes.fromhex(prefix) + hashlib.new(name, made.signing_input.encode()).digest()
        room = 256 - len(begin) - len(end) - len(info) - len(tail)
        count = room if fill_len is None else fill_len
        block = begin + fill * count + end + info + tail
        return raw_rsa(made.jwk, block + bytes(256 - len(block)))

    return bend


BLOCKS = {
    "short fill and garbage behind": pkcs1(PREFIX["sha256"], "sha256", fill_len=8),
    "no fill and garbage behind": pkcs1(PREFIX["sha256"], "sha256", fill_len=0),
    "one byte of garbage behind": pkcs1(PREFIX["sha256"], "sha256", tail=b"x"),
    "block type 2": pkcs1(PREFIX["sha256"], "sha256", begin=b"\0\2"),
    "block type 0": pkcs1(PREFIX["sha256"], "sha256", begin=b"\0\0"),
    "no zero in front": pkcs1(PREFIX["sha256"], "sha256", begin=b"\1\1"),
    "fill of zeros": pkcs1(PREFIX["sha256"], "sha256", fill=b"\0"), "fill of FE": pkcs1(PREFIX["sha256"], "sha256", fill=b"\xfe"),
    "no end of the fill": pkcs1(PREFIX["sha256"], "sha256", end=b""),
    "another end of the fill": pkcs1(PREFIX["sha256"], "sha256", end=b"\1"),
    "no parameters": pkcs1(NO_NULL, "sha256"), "SHA-1": pkcs1(PREFIX["sha1"], "sha1"),
    "SHA-512": pkcs1(PREFIX["sha512"], "sha512"),
    "SHA-384 by name": pkcs1(PREFIX["sha384"][:-2] + "20", "sha256"), "the hash alone": pkcs1("", "sha256"),
}


def modulus(made):
    return int.from_bytes(unb64(fields(made.jwk)["n"]), "big")


def value(change):
    def bend(raw, made):
        return (change(int.from_bytes(raw, "big"), modulus(made)) % (1 << 8 * len(raw))).to_bytes(len(raw), "big")

    return bend


@HOSTILE("an RSA signature that is bent", "JWS-16", "CVE-2020-14967", "CVE-2021-30246", "CVE-2022-25898")
def rsa():
    for what, block in BLOCKS.items():
        yield case(what, "bad_signature", Spec(alg="RS256"), sig=block)
    for alg in ("RS256", "PS256"):
        for what, change in {
            "n - s": lambda s, n: n - s, "1": lambda s, n: 1, "n": lambda s, n: n, "n - 1": lambda s, n: n - 1,
            "n + 1": lambda s, n: n + 1,
            "all ones": lambda s, n: -1, "s + 1": lambda s, n: s + 1,
        }.items():
            yield case(f"{alg}, {what}", "bad_signature", Spec(alg=alg), sig=value(change))


def pss(hashed, salt, mask):
    def bend(raw, made):
        return private(made.jwk).sign(made.signing_input.encode(), padding.PSS(padding.MGF1(mask), salt), hashed)

    return bend


@HOSTILE("a PSS signature with other parameters", "JWS-16")
def pss_parameters():
    for alg, md in (("PS256", hashes.SHA256()), ("PS384", hashes.SHA384()), ("PS512", hashes.SHA512())):
        for salt in (0, 20, md.digest_size - 1, md.digest_size + 1, padding.PSS.MAX_LENGTH):
            name = salt if isinstance(salt, int) else "the most"
            yield case(f"{alg}, salt {name}", "bad_signature", Spec(alg=alg), sig=pss(md, salt, md))
        for mask in (hashes.SHA1(), hashes.SHA256(), hashes.SHA512()):
            if mask.name != md.name:
                yield case(f"{alg}, mask by {mask.name}", "bad_signature", Spec(alg=alg), sig=pss(md, md.digest_size, mask))
    yield case("PS256 with SHA-1", "bad_signature", Spec(alg="PS256"), sig=pss(hashes.SHA1(), 20, hashes.SHA1()))


# ---- Edwards curves -------------------------------------------------------------------------------------------------


GROUPS = {"Ed25519": 2**252 + 27742317777372353535851937790883648493,
          "Ed448": 2**446 - 13818066809895115352007386748515426880336692474882178609894547503885}


def scalar(alg, times):
    def bend(raw, made):
        half = len(raw) // 2
        number = int.from_bytes(raw[half:], "little") + times * GROUPS[alg]
        return raw[:half] + number.to_bytes(half, "little")

    return bend


def replaced(begin=None, end=None):
    """One half by other bytes; b"" of it: as they are."""
    def bend(raw, made):
        half = len(raw) // 2
        return (raw[:half] if begin is None else begin.ljust(half, b"\0")) + (raw[half:] if end is None else end.ljust(half,
                                                                                                                       b"\0"))

    return bend


@HOSTILE("an Edwards signature that is bent", "JWS-19", "Ed25519 verifies under other spellings of s")
def edwards():
    for alg in GROUPS:
        for times in (1, 2, 3):
            yield case(f"{alg}, s + {times}L", "bad_signature", Spec(alg=alg), sig=scalar(alg, times))
        for what, bend in {
            "R is the identity": replaced(begin=b"\1"), "R is the identity and s is 0": replaced(b"\1", b""),
            "s is 0": replaced(end=b""),
            "R is 0": replaced(begin=b""), "R is all ones": replaced(begin=b"\xff" * 57),
            "s is all ones": replaced(end=b"\xff" * 57),
        }.items():
            yield case(f"{alg}, {what}", "bad_signature", Spec(alg=alg),
                       sig=lambda raw, made, bend=bend: bend(raw, made)[:len(raw)])
        yield case(f"{alg}, exchanged", "bad_signature", Spec(alg=alg),
                   sig=lambda raw, made: raw[len(raw) // 2:] + raw[:len(raw) // 2])


# ---- keys -----------------------------------------------------------------------------------------------------------


@by_key
def certificate(jwk):
    return "".join(certificate_pem(jwk).decode().splitlines()[1:-1])


@HOSTILE("a key that the token brings along", "JWS-10", "BCP-08", "CVE-2018-0114", "an address to fetch (CWE-918)")
def brought():
    for alg in ("RS256", "PS384", "ES256", "ES512", "ES256K", "EdDSA", "Ed448", "HS256"):
        kind = KEY_OF[alg]
        brings = {"jwk": lambda forge, kind=kind: {"jwk": fields(forge.keys.other[kind], kid=kind)},
                  "jku": lambda forge: {"jku": "http://127.0.0.1:1/keys.json"},
                  "x5u": lambda forge: {"x5u": "http://127.0.0.1:1/x"}}
        if kind != "oct":
            brings["x5c"] = lambda forge, kind=kind: {"x5c": [certificate(forge.keys.other[kind])]}
        for member, header in brings.items():
            yield case(f"{alg}, {member}", "bad_signature", Spec(alg=alg), key="other", header=header)
            yield case(f"{alg}, {member} and a kid of its own", "unknown_key", Spec(alg=alg), key="other", header=header,
                       kid="mine")


@HOSTILE("a kid that no key has", "JWS-11", "BCP-08")
def kids():
    kids = ("unknown", "P256", "p256 ", " p256", "p25", "p2566", "../../etc/passwd", "/etc/passwd", "file:///dev/null",
            "' OR 1=1 --",
            "p256%00", "*", "http://127.0.0.1:1/keys", "p\u0435256", "k" * 1024, "0", "$(id)", "`id`", "%s%s%s%n", "p256\nrsa")
    for kid in kids:
        yield case(repr(kid[:24]), "unknown_key", kid=kid)
    for alg in ALGS:
        yield case(f"{alg} by the key of another kind", "unknown_key", Spec(alg=alg),
                   kid="rsa" if KEY_OF[alg] != "rsa" else "p256")


@HOSTILE("a key that is not for this", "JWS-21", "JWS-19")
def purposes():
    twin = Spec(alg="ES512", iss=at.UNFIT, kid="good")
    for kid, alg in (("enc", "RS256"), ("sign", "ES256"), ("odd", "ES384")):
        yield case(f"{alg}, {kid}", "algorithm", twin, alg=alg, kid=kid)
    yield case("X25519", "algorithm", twin, alg="EdDSA", kid="x25519")
    yield case("X25519 as Ed25519", "algorithm", twin, alg="Ed25519", kid="x25519")
    yield case("the kid of one, the signature of another", "unknown_key", twin, kid="enc")


@HOSTILE("a key of another issuer", "BCP-06", "JWT-07")
def issuers_keys():
    yield case("the second issuer's key for the first", "bad_signature", Spec(), key="other")
    yield case("the first issuer's key for the second", "bad_signature", Spec(iss=at.SECOND, key="other"), key=None)
    yield case("of two keys with one kid, none", "bad_signature", Spec(iss=DOUBLE, kid="twice"), key=lambda forge: forge.nine[0])
    yield case("a ninth key", "bad_signature", Spec(iss=at.NINE, kid=None, key=lambda forge: forge.nine[7]),
               key=lambda forge: forge.nine[8])
    yield case("nine keys and a stranger's", "bad_signature", Spec(iss=at.NINE, kid=None, key=lambda forge: forge.nine[0]),
               key="other")
    yield case("the kid of another of the nine", "bad_signature",
               Spec(iss=at.NINE_KID, kid="k0", key=lambda forge: forge.nine[0]), kid="k1")
    yield case("an algorithm without a key", "unknown_key", Spec(alg="RS256", iss=at.NO_SUCH_KEY), alg="ES256")
    yield case("a secret where there is none", "unknown_key", Spec(alg="RS256", iss=at.NO_SUCH_KEY), alg="HS256", kid=None)
    yield case("another host's key", "bad_signature", bent_host="keys.test")
    yield case("another host's algorithms", "algorithm", bent_host="rs256.test")


# ---- keys that came with the set, and were left out -----------------------------------------------------------------


def with_e_1(raw, made):
    info = bytes.fromhex(PREFIX["sha256"]) + hashlib.sha256(made.signing_input.encode()).digest()
    return b"\0\1" + b"\xff" * (256 - len(info) - 3) + b"\0" + info


def constant(raw_r, size):
    return lambda raw, made: raw_r.ljust(size, b"\0")


@HOSTILE("a key with which anybody can sign", "JWS-16", "JWS-15",
         "OpenSSL takes RSA with e = 1, points of small order, empty secrets")
def weak_keys():
    def secret(value):
        return lambda forge: JWK(kty="oct", k=b64(value))

    forged = {
        "e-1": {"alg": "RS256", "key": "other", "sig": with_e_1},
        "rsa-1024": {"alg": "RS256", "key": lambda forge: SMALL_RSA},
        "ed25519-identity": {"alg": "EdDSA", "sig": constant(b"\1", 64)},
        "ed25519-order-2": {"alg": "Ed25519", "sig": constant(b"\1", 64)},
        "ed25519-order-4": {"alg": "EdDSA", "sig": constant(b"\1", 64)},
        "ed448-identity": {"alg": "Ed448", "sig": constant(b"\1", 114)},
        "oct-empty": {"alg": "HS256", "key": secret(b"")},
        "oct-16": {"alg": "HS256", "key": secret(b"0123456789abcdef")},
    }
    assert set(forged) == set(WEAK)
    for kid, bend in forged.items():
        shape = Spec(iss=weak(kid))
        yield case(kid, "unknown_key", shape, kid=kid, **bend)
        yield case(f"{kid}, without kid", "unknown_key", shape, kid=None, twin={"kid": None}, **bend)
