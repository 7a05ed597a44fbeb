"""The tokens of a day, by python3-cryptography (bench/tokens_for.py): of keys that stay, and of keys that come and go."""

import json
import random
from dataclasses import dataclass

from jwcrypto.jws import JWS

from tokens import MAIN, b64, fields, key_set, make
from tokens_for import KINDS, signer, tampered

ALGS = {kind: alg for alg, kind in KINDS.items()}
EMAIL = "@mail.test"


@dataclass(frozen=True)
class Token:
    text: str
    sub: str
    role: str
    expires: int
    kid: str


class Wallet:
    """Keys of three kinds that stay, and HS256 keys that are used one after the other: turn is the number of the one of now."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.keys = {kind: make(kind) for kind in KINDS.values()}
        self.signers = {kind: signer(ALGS[kind], key) for kind, key in self.keys.items()}
        self.turn, self.serial = -1, 0
        self.next_turn()

    def next_turn(self):
        """The next key is published one turn before it is used, and taken out one turn after that. Returns which one is out."""
        self.turn += 1
        for n in (self.turn, self.turn + 1):
            if (kid := f"turn{n}") not in self.keys:
                self.keys[kid] = make("oct")
                self.signers[kid] = signer("HS256", self.keys[kid])
        out = f"turn{self.turn - 2}"
        self.keys.pop(out, None)
        self.signers.pop(out, None)
        return out

    @property
    def kid(self):
        return f"turn{self.turn}"

    def key_set(self):
        return key_set(*(fields(key, kid=kid) for kid, key in self.keys.items()))

    def mint(self, kid, now, life_s):
        """What a provider writes; one in fifty has many groups, one in five hundred is too long to be remembered whole."""
        self.serial += 1
        sub, role = f"u{self.serial}", self.rng.choice(("admin", "user", "user"))
        groups = 2 if self.serial % 50 else 100 if self.serial % 500 else 400
        claims = {"iss": MAIN, "sub": sub, "email": sub + EMAIL, "role": role, "aud": "legacy-app", "client_id": "web",
                  "iat": now - 5, "exp": now + life_s, "jti": f"{self.rng.getrandbits(128):032x}", "sid": f"s{self.serial}",
                  "scope": "openid profile orders:read", "groups": [f"group-{i}" for i in range(groups)]}
        head = {"alg": ALGS.get(kid, "HS256"), "typ": "at+jwt", "kid": kid}
        signed = ".".join(b64(json.dumps(part, separators=(",", ":"))) for part in (head, claims))
        return Token(signed + "." + b64(self.signers[kid](signed.encode())), sub, role, now + life_s, kid)

    def any(self, now, life_s, turning=False):
        """Of the usual mixture; turning: also of the key that is used just now."""
        n = self.rng.random()
        return self.mint("rsa" if n < 0.03 else "p256" if n < 0.2 else self.kid if turning and n < 0.6 else "oct", now, life_s)

    def forged(self, token):
        return tampered(token.text)

    def prove(self, token):
        """By another implementation of JWS than the one that put it together."""
        JWS().deserialize(token.text, self.keys[token.kid])
