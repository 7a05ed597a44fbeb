"""The server, and what it is asked: every child, at first sight and when the token is known, and the other doors."""

import itertools
import json
import urllib.parse

from jwcrypto.jwk import JWK

from httpd import ALIAS, endpoint
from issuers import issuer, issuers, jwks, locations, write_keys
from storing import BASIC, FORM, EveryChild, basic, write_users
from test_vhosts import host
from tokens import MAIN, b64, fields, key_set, unb64
from tokens_case import PAGE, Forge
from tokens_vectors import VECTORS

NEED_JTI = "https://need-jti.test/"
DOUBLE = "https://double.test/"
SHORT = "https://short.test/"
RFC = "joe"
CHILDREN = 3
THREADS = 8
ADMIN = basic(b"rs1")
ALL = jwks("all")

# Keys with which anybody can sign, or that can be guessed: {kid: a function of Keys that gives the JWK}.
WEAK = {
    "e-1": lambda keys: {"kty": "RSA", "e": "AQ", "n": fields(keys.other["rsa"])["n"]},
    "rsa-1024": lambda keys: fields(SMALL_RSA),
    "ed25519-identity": lambda keys: {"kty": "OKP", "crv": "Ed25519", "x": b64(b"\1" + bytes(31))},
    "ed25519-order-2": lambda keys: {"kty": "OKP", "crv": "Ed25519", "x": b64(b"\xec" + b"\xff" * 30 + b"\x7f")},
    "ed25519-order-4": lambda keys: {"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(32))},
    "ed448-identity": lambda keys: {"kty": "OKP", "crv": "Ed448", "x": b64(b"\1" + bytes(56))},
    "oct-empty": lambda keys: {"kty": "oct", "k": ""},
    "oct-16": lambda keys: {"kty": "oct", "k": b64(b"0123456789abcdef")},
}
SMALL_RSA = JWK.generate(kty="RSA", size=1024)


def weak(kid):
    return f"https://{kid}.test/"


def short_secret(size):
    return JWK(kty="oct", k=b64(bytes(range(size))))


def write_sets(server, keys):
    own, other = keys.own["p256"], keys.other["p256"]
    server.write("conf/double.jwks", key_set(fields(own, kid="twice"), fields(other, kid="twice")))
    server.write("conf/short.jwks", key_set(*(fields(short_secret(size), kid=f"oct-{size}") for size in (32, 48))))
    server.write("conf/rfc.jwks", key_set(*(vector.jwk for vector in VECTORS if vector.is_token)))
    for kid in WEAK:
        server.write(f"conf/{kid}.jwks", key_set(fields(own, kid="p256")))


def more_issuers():
    every = "TokRevokeAlgorithms RS256 ES256 EdDSA Ed25519 Ed448 HS256"
    return (issuer(NEED_JTI, ALL, "TokRevokeRequireJti On") + issuer(DOUBLE, jwks("double")) + issuer(SHORT, jwks("short"))
            + issuer(RFC, jwks("rfc")) + "".join(issuer(weak(kid), jwks(kid), every) for kid in WEAK))


def hosts():
    return (host("127.0.0.1") + host("any.test", issuer("*", ALL)) + host("audience.test",
                                                                          issuer(MAIN, ALL, "TokRevokeAudience here"))
            + host("keys.test", issuer(MAIN, jwks("second"))) + host("rs256.test", issuer(MAIN, ALL, "TokRevokeAlgorithms RS256"))
            + host("typed.test", issuer(MAIN, ALL, "TokRevokeTokenType at+jwt"))
            + host("jti.test", issuer(MAIN, ALL, "TokRevokeRequireJti On")))


def doors():
    return (endpoint("/introspect", *BASIC, handler="tokrevoke-introspect") + endpoint("/admin", *BASIC,
                                                                                       handler="tokrevoke-admin")
            + endpoint("/logout", "TokRevokeTokenFrom cookie=session", handler="tokrevoke-logout")
            + "KeepAliveTimeout 600\n")


def start(server, keys):
    """The issuers of the end-to-end tests, and some more; then weak keys come into the key sets of some of them."""
    server.children, server.threads = CHILDREN, THREADS
    write_keys(server, keys)
    write_users(server, b"rs1")
    write_sets(server, keys)
    server.start("TokRevokeCapacity 10000\n" + issuers() + more_issuers() + ALIAS + locations() + doors() + hosts())
    server.expect_log(r"\[tokrevoke:error\].* TR\d+: .*\.jwks", always=True)
    for kid, make in WEAK.items():
        server.write(f"conf/{kid}.jwks", key_set(fields(keys.own["p256"], kid="p256"), dict(make(keys), kid=kid)))
    for kid in WEAK:
        server.wait_log(rf"\[tokrevoke:error\].* TR\d+: .*/{kid}\.jwks")
    return server


class Site:
    """A connection to some children, kept open from case to case."""

    def __init__(self, server, keys):
        self.server = server
        self.forge = Forge(keys)
        self.forge.nine = server.nine
        self.everyone = EveryChild(server)
        self.children = list(self.everyone.at.values())[:CHILDREN]
        self.pids = server.pids()
        self.stored = 0  # revocations that are there because we asked for them
        self.turn = itertools.cycle(self.children)

    def close(self):
        self.everyone.close()

    @property
    def is_whole(self):
        """Nobody has crashed or was replaced."""
        return set(self.everyone.at) <= set(self.server.pids())

    def status(self):
        r = next(self.turn).request("GET", "/admin/status", ADMIN)
        assert r.status == 200, r
        return r.json()

    def show(self, *asked):
        """What every child answers to (path, host, token), one after the other."""
        for c in self.children:
            for path, name, token in asked:
                c.send("GET", path, "Authorization: Bearer " + token, host=name)
        return [[c.receive() for _ in asked] for c in self.children]

    def post(self, path, name, token, *headers):
        body = urllib.parse.urlencode({"token": token}, errors="surrogateescape")
        return next(self.turn).request("POST", path, FORM, *headers, body=body, host=name)

    def introspect(self, token, name):
        return self.post("/introspect", name, token, ADMIN)


# ---- answers --------------------------------------------------------------------------------------------------------


def is_admitted(r, user):
    shown = r.user.encode("latin-1").decode(errors="replace") if r.user else None
    return (r.status, r.reason, shown, r.body) == (200, None, user, b"the protected page\n")


def is_refused(r, reason):
    return ((r.status, r.reason, r.user) == (401, reason, None) and 'error="invalid_token"' in r["WWW-Authenticate"]
            and b"protected page" not in r.body)


def tells_of(r, token):
    """RFC 7662 2.2: what the issuer wrote, and as it wrote it."""
    told, written = r.json(), json.loads(unb64(token.split(".")[1]))
    is_told = all(told.get(name) == written.get(name) for name in ("iss", "sub", "jti", "sid"))
    return r.status == 200 and told["active"] is True and is_told


class Findings:
    """What was other than it must be; all of a class is told at once."""

    def __init__(self):
        self.wrong = []

    def check(self, is_right, case, what, answer):
        if not is_right:
            self.wrong.append(f"{case.name}: {what}: {answer!r}")

    def tell(self):
        assert not self.wrong, f"{len(self.wrong)} wrong answers:\n" + "\n".join(self.wrong[:40])


def compare(findings, case, rows, expected, what):
    """rows: of each child. expected: a function for each answer of a child."""
    for number, answers in enumerate(rows):
        for place, (answer, (name, is_right)) in enumerate(zip(answers, expected)):
            findings.check(is_right(answer), case, f"{what}, child {number}, request {place}, {name}", answer)


# ---- one case -------------------------------------------------------------------------------------------------------


def refuse(site, case, findings):
    """
    At first sight, when its twin has become known to every child, and again; then at the other doors. Whatever is done with it,
    the twin of the same jti stays good, unless it was signed by its issuer and so could be revoked.
    """
    twin, token = site.forge.make(case)
    there = case.path, case.host, twin
    here = case.bent_path or case.path, case.bent_host or case.host, token
    bent = "bent", lambda r: is_refused(r, case.reason)
    whole = "twin", lambda r: is_admitted(r, case.user)
    compare(findings, case, site.show(here, there, there, there, here, here, there),
            (bent, whole, whole, whole, bent, bent, whole),
            "shown")
    present(site, case, token, findings)
    left = ("twin", lambda r: is_refused(r, "revoked")) if case.is_signed and not case.is_alone else whole
    compare(findings, case, site.show(here, there), (bent, left), "after it was revoked")


def present(site, case, token, findings):
    name = case.bent_host or case.host
    if case.bent_path is None and case.path == PAGE:
        r = site.introspect(token, name)
        findings.check((r.status, r.body) == (200, b'{"active":false}'), case, "introspected", r)
    r = site.post("/strict", name, token)
    if not case.is_signed:
        findings.check((r.status, r.json()) == (401, {"revoked": False, "error": "invalid token"}), case, "revoked strictly", r)
    r = site.post("/revoke", name, token)
    findings.check((r.status, r.json()) == (200, {}), case, "revoked", r)
    site.stored += case.is_signed
    if ";" not in token:  # which would be where a cookie ends
        r = site.post("/logout", name, token, "Cookie: session=" + token)
        findings.check(r.status == 200 and r.json() == {"message": "Successfully logged out"}, case, "logged out", r)


def accept(site, case, findings):
    """At first sight and when it is known; then it is revoked, and refused by everybody."""
    _, token = site.forge.make(case)
    here = case.path, case.host, token
    admitted = "token", lambda r: is_admitted(r, case.user)
    revoked = "token", lambda r: is_refused(r, "revoked")
    compare(findings, case, site.show(here, here, here, here), (admitted,) * 4, "shown")
    if case.path == PAGE:
        r = site.introspect(token, case.host)
        findings.check(tells_of(r, token), case, "introspected", r)
    r = site.post("/strict", case.host, token)
    findings.check((r.status, r.json()) == (200, {"revoked": True}), case, "revoked", r)
    site.stored += 1
    compare(findings, case, site.show(here, here), (revoked,) * 2, "after it was revoked")


def follow(site, case, findings):
    """Twin and bent token are one and the same to the issuer: both are good until one of them is revoked, and none afterwards."""
    twin, token = site.forge.make(case)
    both = (case.path, case.host, token), (case.path, case.host, twin)
    admitted = "token", lambda r: is_admitted(r, case.user)
    revoked = "token", lambda r: is_refused(r, "revoked")
    compare(findings, case, site.show(*both, *both, *both), (admitted,) * 6, "shown")
    r = site.post("/revoke", case.host, twin)
    findings.check(r.status == 200, case, "the twin was revoked", r)
    site.stored += 1
    compare(findings, case, site.show(*both, *both), (revoked,) * 4, "after the twin was revoked")
    r = site.introspect(token, case.host)
    findings.check((r.status, r.body) == (200, b'{"active":false}'), case, "introspected", r)


def stand(site, case, findings):
    """Twin and bent token only look alike: one is revoked, and the other stays good."""
    twin, token = site.forge.make(case)
    both = (case.path, case.host, token), (case.path, case.host, twin)
    admitted = "token", lambda r: is_admitted(r, case.user)
    revoked = "twin", lambda r: is_refused(r, "revoked")
    compare(findings, case, site.show(*both, *both, *both), (admitted,) * 6, "shown")
    r = site.post("/revoke", case.host, twin)
    findings.check(r.status == 200, case, "the twin was revoked", r)
    site.stored += 1
    compare(findings, case, site.show(*both, *both), (admitted, revoked) * 2, "after the twin was revoked")
