"""The configuration most tests share: issuers with every kind of key source and rule, and locations with every kind of source."""

from functools import lru_cache

from httpd import ALIAS, endpoint, protected
from tokens import KEY_OF, certificate_pem, fields, key_set, make, public_pem, secret_bytes

ASYM_KINDS = ("rsa", "p256", "p384", "p521", "k256", "ed25519", "ed448")

NOKID = "https://nokid.test/"
PEM = "https://pem.test/"
PEM_KID = "https://pem-kid.test/"
CERT = "https://cert.test/"
CERT_KID = "https://cert-kid.test/"
SECRET = "https://secret.test/"
SECRET_KID = "https://secret-kid.test/"
AUD = "https://aud.test/"
RS256_ONLY = "https://rs256-only.test/"
NO_SUCH_KEY = "https://no-such-key.test/"
TYPED = "https://typed.test/"
USE = "https://use.test/"
STRICT_TIME = "https://strict-time.test/"
UNLIMITED = "https://unlimited.test/"
PINNED = "https://pinned.test/"
UNFIT = "https://unfit.test/"
NINE = "https://nine.test/"
NINE_KID = "https://nine-kid.test/"
SECOND = "https://second.test/"
LONG_NAME = "https://" + "long" * 253 + ".tst"  # 1024 bytes


@lru_cache(maxsize=None)
def key_files(keys):
    """{path: content} of key files of every kind, and the keys of the ninefold ones. Slow to make, the same for every server."""
    own = keys.own
    nine = [make("p256") for _ in range(9)]
    files = {
        "conf/all.jwks": key_set(*(fields(k, kid=name) for name, k in own.items())),
        "conf/nokid.jwks": key_set(*(fields(k) for k in own.values())),
        "conf/rsa-only.jwks": key_set(fields(own["rsa"], kid="rsa")),
        "conf/second.jwks": key_set(fields(keys.other["p256"], kid="p256"), fields(own["rsa"], kid="rsa")),
        "conf/pinned.jwks": key_set(fields(own["rsa"], kid="rsa", alg="RS256", use="sig", key_ops=["verify"]),
                                    fields(own["ed25519"], kid="ed25519", alg="Ed25519"),
                                    fields(own["oct"], kid="oct", alg="HS512")),
        "conf/unfit.jwks": key_set(
            fields(own["rsa"], kid="enc", use="enc"), fields(own["p256"], kid="sign", key_ops=["sign"]),
            fields(own["p384"], kid="odd", alg="ES999"), {"kty": "XYZ", "kid": "strange", "x": 1},
            {"kty": "OKP", "crv": "X25519", "kid": "x25519", "x": fields(own["ed25519"])["x"]},
            fields(own["p521"], kid="good")),
        "conf/secret.bin": secret_bytes(own["oct"]) + b"\n",
        "conf/nine.jwks": key_set(*(fields(k) for k in nine)),
        "conf/nine-kid.jwks": key_set(*(fields(k, kid=f"k{i}") for i, k in enumerate(nine)))}
    for kind in ASYM_KINDS:
        files[f"conf/{kind}.pem"] = public_pem(own[kind])
        files[f"conf/{kind}.crt"] = certificate_pem(own[kind])
    return files, nine


def write_keys(server, keys):
    files, server.nine = key_files(keys)
    for path, content in files.items():
        server.write(path, content)


def issuer(iss, *lines):
    body = "\n    ".join(lines)
    return f'<TokRevokeIssuer "{iss}">\n    {body}\n</TokRevokeIssuer>\n'


def jwks(name):
    return f'TokRevokeKeySet "{{root}}/conf/{name}.jwks"'


def issuers():
    every = jwks("all")
    named = "TokRevokePublicKey {root}/conf/%s.%s %s"
    bare = "TokRevokePublicKey {root}/conf/%s.%s"
    return (
        issuer("https://idp.test/", every)
        + issuer(NOKID, jwks("nokid"))
        + issuer(PEM, *(bare % (k, "pem") for k in ASYM_KINDS))
        + issuer(PEM_KID, *(named % (k, "pem", k) for k in ASYM_KINDS))
        + issuer(CERT, *(bare % (k, "crt") for k in ASYM_KINDS))
        + issuer(CERT_KID, *(named % (k, "crt", k) for k in ASYM_KINDS))
        + issuer(SECRET, "TokRevokeSharedSecret {root}/conf/secret.bin")
        + issuer(SECRET_KID, "TokRevokeSharedSecret {root}/conf/secret.bin oct")
        + issuer(AUD, every, "TokRevokeAudience legacy-app other-app")
        + issuer(RS256_ONLY, every, "TokRevokeAlgorithms RS256")
        + issuer(NO_SUCH_KEY, jwks("rsa-only"), "TokRevokeAlgorithms RS256 ES256 HS256")
        + issuer(TYPED, every, "TokRevokeTokenType at+jwt")
        + issuer(USE, every, "TokRevokeTokenUse token_use access service")
        + issuer(STRICT_TIME, every, "TokRevokeClockSkew 0", "TokRevokeMaxLifetime 1h")
        + issuer(UNLIMITED, every, "TokRevokeMaxLifetime unlimited")
        + issuer(PINNED, jwks("pinned"))
        + issuer(UNFIT, jwks("unfit"))
        + issuer(NINE, jwks("nine"))
        + issuer(NINE_KID, jwks("nine-kid"))
        + issuer(SECOND, jwks("second"))
        + issuer(LONG_NAME, every))


def locations():
    return (
        protected("app")
        + protected("cookie", "TokRevokeTokenFrom header cookie=session")
        + protected("cookie-first", "TokRevokeTokenFrom cookie=session header")
        + protected("query", "TokRevokeTokenFrom header query=access_token")
        + protected("field", "TokRevokeTokenFrom header=X-Token")
        + protected("all", "TokRevokeTokenFrom header header=X-Token cookie=session cookie=old query=access_token")
        + protected("uid", "TokRevokeUserClaim uid")
        + protected("nested", "TokRevokeUserClaim realm.user.name")
        + protected("only-bob", "Require user bob")
        + protected("bob-or-here", "<RequireAny>", "Require user bob", "Require ip 127.0.0.1", "</RequireAny>")
        + protected("alice-not-here", "<RequireAll>", "Require user alice", "Require not ip 127.0.0.1", "</RequireAll>")
        + protected("not-mallory", "<RequireAll>", "Require valid-user", "<RequireNone>", "Require user mallory",
                    "</RequireNone>", "</RequireAll>")
        + endpoint("/revoke")
        + endpoint("/oauth2/revoke")
        + endpoint("/strict", "TokRevokeAnswers strict")
        + endpoint("/v1/auth/token/revoke", "TokRevokeAnswers strict"))


def configure(server, keys):
    write_keys(server, keys)
    virtual = "<VirtualHost 127.0.0.1:{port}>\nServerName 127.0.0.1\n</VirtualHost>\n"
    any_issuer = ("<VirtualHost 127.0.0.1:{port}>\nServerName any.test\n" + issuer("*", jwks("all")) + "</VirtualHost>\n")
    text = "TokRevokeCapacity 10000\n" + issuers() + ALIAS + locations() + virtual + any_issuer
    return server.start(text)


def kid_of(alg):
    return KEY_OF[alg]
