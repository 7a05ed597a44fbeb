"""
Tokens and keys for the tests, by python3-jwcrypto and python3-cryptography: never by the code under test. Header and payload may be
given as raw text, so that anything can be signed.
"""

import base64
import datetime
import itertools
import json
import os
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.x509.oid import NameOID
from jwcrypto.jwa import JWA
from jwcrypto.jwk import JWK

ALGS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "Ed448",
        "HS256", "HS384", "HS512")
ASYMMETRIC = ALGS[:13]
KEY_OF = {"ES256": "p256", "ES384": "p384", "ES512": "p521", "ES256K": "k256", "EdDSA": "ed25519", "Ed25519": "ed25519",
          "Ed448": "ed448"}
KEY_OF.update({a: "rsa" for a in ALGS[:6]})
KEY_OF.update({a: "oct" for a in ALGS[13:]})

MAIN = "https://idp.test/"
serial = itertools.count()


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def make(kind):
    if kind == "rsa":
        return JWK.generate(kty="RSA", size=2048)
    if kind == "oct":
        return JWK(kty="oct", k=b64(os.urandom(64)))
    if kind in ("ed25519", "ed448"):
        return JWK.generate(kty="OKP", crv=kind.title())
    return JWK.generate(kty="EC", crv={"p256": "P-256", "p384": "P-384", "p521": "P-521", "k256": "secp256k1"}[kind])


class Keys:
    """One key of every kind that the issuers own, and a second set that belongs to nobody they trust. Made once per run."""

    KINDS = ("rsa", "p256", "p384", "p521", "k256", "ed25519", "ed448", "oct")

    def __init__(self):
        self.own = {kind: make(kind) for kind in self.KINDS}
        self.other = {kind: make(kind) for kind in self.KINDS}

    def __getitem__(self, kind):
        return self.own[kind]


def fields(jwk, kid=None, private=False, **more):
    """A JWK as a dict for a key set; oct keys are all private."""
    out = jwk.export(private_key=private or jwk["kty"] == "oct", as_dict=True)
    out.pop("kid", None)
    if kid is not None:
        out["kid"] = kid
    out.update(more)
    return out


def key_set(*members):
    return json.dumps({"keys": list(members)})


def public_pem(jwk):
    return jwk.export_to_pem()


def secret_bytes(jwk):
    return unb64(jwk.export(as_dict=True)["k"])


def private_object(jwk):
    return serialization.load_pem_private_key(jwk.export_to_pem(private_key=True, password=None), None)


def certificate_pem(jwk, days=30):
    """A self-signed certificate; its dates do not matter to the module."""
    key = private_object(jwk)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    begin = datetime.datetime(2020, 1, 1)
    builder = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
               .serial_number(x509.random_serial_number()).not_valid_before(begin)
               .not_valid_after(begin + datetime.timedelta(days=days)))
    edwards = isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return builder.sign(key, None if edwards else hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def signature(alg, key, signing_input):
    """The raw signature of jwcrypto, which knows Ed25519 and Ed448 under their older common name."""
    return JWA.signing_alg("EdDSA" if alg in ("Ed25519", "Ed448") else alg).sign(key, signing_input.encode())


def compact(header, payload, alg, key):
    """header and payload: dict, text or bytes."""
    def part(x):
        return b64(json.dumps(x) if isinstance(x, dict) else x)

    signing_input = part(header) + "." + part(payload)
    return signing_input + "." + b64(signature(alg, key, signing_input))


def claims(iss=MAIN, drop=(), **more):
    """Claims of a good access token; None of them repeats between calls but the subject."""
    now = int(time.time())
    out = {"iss": iss, "sub": "alice", "iat": now - 5, "exp": now + 600, "jti": f"t{os.getpid()}-{next(serial)}"}
    out.update(more)
    for name in (drop,) if isinstance(drop, str) else drop:
        out.pop(name, None)
    return out


class Mint:
    """Signs for the issuers of the tests."""

    def __init__(self, keys):
        self.keys = keys

    def __call__(self, alg="ES256", *, key=None, kid="", header=None, payload=None, **more):
        """
        kid: "" = the name of the key, None = none. header: members to add. payload: a dict or raw text in place of claims(**more).
        """
        kind = KEY_OF[alg]
        head = {"alg": alg, "typ": "JWT"}
        if kid is not None:
            head["kid"] = kid or kind
        head.update(header or {})
        return compact(head, claims(**more) if payload is None else payload, alg, key or self.keys[kind])


def other_spelling(token):
    """An ECDSA token with s replaced by n - s: as good a signature of the same content (P-256)."""
    head, _, sig = token.rpartition(".")
    raw = unb64(sig)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    s = order - int.from_bytes(raw[32:], "big")
    return head + "." + b64(raw[:32] + s.to_bytes(32, "big"))


def der_signature(token):
    """The same ECDSA signature in the encoding of X.509, which JWS does not allow."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    head, _, sig = token.rpartition(".")
    raw = unb64(sig)
    half = len(raw) // 2
    der = encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
    return head + "." + b64(der)


def curve_point(jwk):
    """The uncompressed point of an EC key: bytes everybody knows."""
    key = private_object(jwk).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
