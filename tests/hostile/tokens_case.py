"""
A token that is bent in one place, and its twin that is not: what they are, and who signs them. A case is a row of the table; its
name is the same in every run. Signed is only when a test comes to it, with keys and times of that moment.
"""

import dataclasses
import itertools
import json
import os
import time
from collections.abc import Callable

from tokens import KEY_OF, MAIN, b64, signature, unb64

PAGE = "/p/app/ok.txt"
ABSENT = ...  # a member that the token has not


@dataclasses.dataclass(frozen=True)
class Spec:
    """A token. Functions are called when it is made."""

    alg: str = "ES256"  # signs; the header says it, too, where it says nothing else
    iss: str = MAIN
    kid: str | None = ""  # "": the name of the key; None: none
    key: object = None  # None: the issuer's own; "other": one of that kind that nobody trusts; else a function of the forge
    header: object = dataclasses.field(default_factory=dict)  # members to add or take away
    claims: object = dataclasses.field(default_factory=dict)  # the same, or a function of the time
    head: Callable | None = None  # of the header's JSON text: what is there instead
    body: Callable | None = None  # of the payload's
    sig: Callable | None = None  # of the signature's bytes and a Made
    text: Callable | None = None  # of the finished token
    size: int | None = None  # in bytes, by a claim that fills it up


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    reason: str | None  # None: it is accepted
    twin: Spec
    bent: Spec
    user: str = "alice"
    path: str = PAGE
    host: str | None = None
    bent_path: str | None = None
    bent_host: str | None = None
    is_signed: bool = False  # by its issuer, and alive: then it can be revoked
    is_alone: bool = False  # in that its jti is not the twin's: else the twin falls with it


@dataclasses.dataclass(frozen=True)
class Made:
    """What a function for a signature may want to know."""

    forge: object
    jwk: object
    signing_input: str


def part(x):
    return b64(json.dumps(x) if isinstance(x, dict) else x)


def merged(base, more):
    return {name: value for name, value in {**base, **more}.items() if value is not ABSENT}


def raw_signature(token):
    return unb64(token.rpartition(".")[2])


def with_signature(token, raw):
    return token.rpartition(".")[0] + "." + b64(raw)


class Forge:
    """Signs for the issuers of the tests, and for nobody."""

    def __init__(self, keys):
        self.keys = keys
        self.serial = itertools.count()
        self.nine = ()  # the keys of the issuers with nine

    def key(self, spec):
        kind = KEY_OF[spec.alg]
        if spec.key == "other":
            return self.keys.other[kind]
        return spec.key(self) if spec.key else self.keys[kind]

    def header(self, spec):
        head = {"alg": spec.alg, "typ": "JWT"}
        if spec.kid is not None:
            head["kid"] = spec.kid or KEY_OF[spec.alg]
        return merged(head, spec.header(self) if callable(spec.header) else spec.header)

    @staticmethod
    def claims(spec, jti, now):
        base = {"iss": spec.iss, "sub": "alice", "iat": int(now) - 5, "exp": int(now) + 600, "jti": jti}
        return merged(base, spec.claims(now) if callable(spec.claims) else spec.claims)

    def signing_input(self, spec, jti, now):
        head, body = self.header(spec), self.claims(spec, jti, now)
        if spec.size is not None:
            return self.filled(spec, head, body)
        head, body = json.dumps(head), json.dumps(body)
        return part(spec.head(head) if spec.head else head) + "." + part(spec.body(body) if spec.body else body)

    def filled(self, spec, head, body):
        """Some lengths no base64url text has: then the header takes a byte more."""
        length = len(b64(signature(spec.alg, self.key(spec), "x")))
        for more in range(4):
            left = part(dict(head, pad="x" * more))
            rest = spec.size - len(left) - length - 2
            fill = rest * 3 // 4 - len(json.dumps(dict(body, pad="")))
            right = part(dict(body, pad="x" * fill))
            if len(right) == rest:
                return left + "." + right
        raise AssertionError(spec.size)

    def sign(self, spec, jti, now):
        signing_input = self.signing_input(spec, jti, now)
        return signing_input + "." + b64(signature(spec.alg, self.key(spec), signing_input))

    def finish(self, spec, token):
        if spec.sig:
            made = Made(self, self.key(spec), token.rpartition(".")[0])
            token = with_signature(token, spec.sig(raw_signature(token), made))
        return spec.text(token) if spec.text else token

    def make(self, case):
        """(twin, bent token), with one jti. What is bent only after it was signed is bent from the twin itself."""
        jti, now = f"t{os.getpid()}-{next(self.serial)}", time.time()
        signed = self.sign(case.twin, jti, now)
        content = dataclasses.replace(case.bent, sig=None, text=None)
        again = signed if content == dataclasses.replace(case.twin, sig=None, text=None) else self.sign(content, jti, now)
        return self.finish(case.twin, signed), self.finish(case.bent, again)


class Table:
    """Cases by the class that they belong to: {title: function that yields them}."""

    def __init__(self):
        self.classes = {}
        self.origins = {}

    def __call__(self, title, *origins):
        """The class whose cases the function yields. origins: lines of docs/STANDARDS.md, and holes that others had."""
        def add(build):
            assert title not in self.classes, title
            self.classes[title] = build
            self.origins[title] = origins
            return build

        return add

    def of(self, title):
        return [dataclasses.replace(case, name=f"{title}: {case.name}") for case in self.classes[title]()]

    def all(self):
        return [case for title in self.classes for case in self.of(title)]


FIELDS = {field.name for field in dataclasses.fields(Case)}


def case(what, reason, base=Spec(), twin=None, **more):
    """base, and what is changed in it; twin: what is changed in the twin."""
    about = {name: more.pop(name) for name in tuple(more) if name in FIELDS}
    return Case(what, reason, dataclasses.replace(base, **(twin or {})), dataclasses.replace(base, **more), **about)


def good(what, base=Spec(), **more):
    """Nothing is wrong with it, so it is its own twin."""
    about = {name: more.pop(name) for name in tuple(more) if name in FIELDS}
    spec = dataclasses.replace(base, **more)
    return Case(what, None, spec, spec, **about)


HOSTILE = Table()  # refused, each for its own reason
LEGAL = Table()  # accepted, however odd
SAME = Table()  # another spelling of the twin, which falls with it
APART = Table()  # another token, which stands when the twin falls
