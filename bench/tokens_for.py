"""
Tokens for the measurements, made before they begin, by python3-cryptography and not by the code that is measured. They are kept
in build/bench/ and used again while they live long enough.
"""

import json
import multiprocessing
import os
import time
import uuid

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from tokens import b64, fields, key_set, make, private_object, secret_bytes

ISS = "https://idp.example.com/"
KINDS = {"RS256": "rsa", "ES256": "p256", "HS256": "oct"}
LIFE_S = 12 * 3600
LEAST_LEFT_S = 4 * 3600


def claims(now):
    """About 300 bytes, as an identity provider writes them."""
    return {"iss": ISS, "sub": str(uuid.uuid4()), "aud": "legacy-app", "client_id": "web", "iat": now, "exp": now + LIFE_S,
            "jti": str(uuid.uuid4()), "sid": str(uuid.uuid4()), "scope": "openid profile orders:read"}


def signer(alg, jwk):
    if alg == "HS256":
        def sign(data):
            mac = hmac.HMAC(secret_bytes(jwk), hashes.SHA256())
            mac.update(data)
            return mac.finalize()
        return sign
    key = private_object(jwk)
    if alg == "RS256":
        return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def sign_ec(data):
        r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return sign_ec


def mint(work):
    alg, exported, count, now = work
    sign = signer(alg, JWK.from_json(exported))
    head = b64(json.dumps({"alg": alg, "typ": "at+jwt", "kid": KINDS[alg]}))
    out = []
    for _ in range(count):
        text = head + "." + b64(json.dumps(claims(now), separators=(",", ":")))
        out.append(text + "." + b64(sign(text.encode())))
    return out


class Tokens:
    """Keys and files of tokens: lines(alg, n) are the first n of an algorithm's file."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.keys_file = folder / "keys.json"
        if not self.fresh():
            for old in folder.iterdir():
                old.unlink()
            keys = {kind: json.loads(make(kind).export()) for kind in KINDS.values()}
            self.keys_file.touch(mode=0o600)
            self.keys_file.write_text(json.dumps({"made": int(time.time()), "keys": keys}))
        kept = json.loads(self.keys_file.read_text())
        self.made = kept["made"]
        self.keys = {kind: JWK(**key) for kind, key in kept["keys"].items()}

    def fresh(self):
        try:
            return json.loads(self.keys_file.read_text())["made"] + LIFE_S - LEAST_LEFT_S > time.time()
        except (OSError, ValueError, KeyError):
            return False

    def jwks(self):
        return key_set(*(fields(key, kid=kind) for kind, key in self.keys.items()))

    def lines(self, alg, count):
        path = self.folder / alg
        have = path.read_text().split() if path.exists() else []
        if len(have) < count:
            have += self.more(alg, count - len(have))
            fresh = path.with_name(alg + ".new")
            fresh.write_text("\n".join(have) + "\n")
            os.rename(fresh, path)
        return have[:count]

    def more(self, alg, count):
        if count > 2000:
            print(f"making {count} {alg} tokens", flush=True)
        key = self.keys[KINDS[alg]]
        step = max(1, min(2000, count // (os.cpu_count() or 1)))
        parts = [(alg, key.export(), min(step, count - at), self.made) for at in range(0, count, step)]
        with multiprocessing.Pool() as pool:
            made = [token for part in pool.map(mint, parts, chunksize=1) for token in part]
        for token in (made[0], made[-1]):  # by another implementation of JWS than the one that put it together
            JWS().deserialize(token, key)
        return made

    def file(self, alg, count, first=0):
        """A file of tokens first .. first + count, one a line."""
        path = self.folder / f"{alg}-{first}-{count}"
        if not path.exists():
            path.write_text("\n".join(self.lines(alg, first + count)[first:]) + "\n")
        return path


def tampered(token):
    """One character in the middle of the signature is another."""
    at = token.rindex(".") + 40
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1:]
