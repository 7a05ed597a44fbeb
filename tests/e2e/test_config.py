"""Bad configurations do not start: configtest names the file, the directive and the reason."""

import os

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwcrypto.jwk import JWK

from issuers import issuer, issuers, jwks, locations, write_keys
from httpd import ALIAS
from tokens import b64, fields, key_set, make, private_object, public_pem, secret_bytes

SET = jwks("all")
IN_ISSUER = '<TokRevokeIssuer "https://idp.test/">\n%s\n</TokRevokeIssuer>\n'
IN_LOCATION = '<Location "/x">\n%s\n</Location>\n'


@pytest.fixture(scope="module")
def site(new_server, keys):
    """Only ever tested, never started."""
    server = new_server()
    write_keys(server, keys)
    weak = JWK.from_pyca(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    odd = fields(make("rsa"))
    server.write("conf/weak.pem", public_pem(weak))
    server.write("conf/private.pem", keys["rsa"].export_to_pem(private_key=True, password=None))
    server.write("conf/private-ec.pem", private_object(keys["p256"]).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()))
    server.write("conf/empty", "")
    server.write("conf/garbage", "hello\n")
    server.write("conf/cut.pem", public_pem(keys["rsa"])[:200])
    server.write("conf/short.bin", b"x" * 31)
    server.write("conf/short-newline.bin", b"x" * 31 + b"\n")
    server.write("conf/32.bin", b"0123456789abcdefghijklmnopqrstuv")
    server.write("conf/large.bin", b"x" * 1048577)
    server.write("conf/large.jwks", key_set(fields(keys["rsa"]))[:-1] + " " * 1048576 + "}")
    for name, members in {
        "weak": [fields(weak)], "e1": [dict(odd, e="AQ")], "even": [dict(odd, e="BA")], "shortoct": [{"kty": "oct", "k": b64(b"x" * 31)}],
        "emptyoct": [{"kty": "oct", "k": ""}], "hs512": [{"kty": "oct", "alg": "HS512", "k": b64(b"x" * 63)}],
        "offcurve": [{"kty": "EC", "crv": "P-256", "x": b64(b"\1" * 32), "y": b64(b"\1" * 32)}],
        "shortpoint": [dict(fields(keys["p256"]), x=b64(b"\1" * 31))], "identity": [{"kty": "OKP", "crv": "Ed25519", "x": b64(b"\1" + bytes(31))}],
        "shortx": [{"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(31))}], "nokty": [{"x": 1}], "many": [{"kty": "XYZ"}] * 257,
        "padded": [dict(fields(keys["p256"]), x=fields(keys["p256"])["x"] + "=")], "kidnumber": [dict(fields(keys["p256"]), kid=7)],
        "nomodulus": [{"kty": "RSA", "e": "AQAB"}],
    }.items():
        server.write(f"conf/{name}.jwks", key_set(*members))
    for name, content in {"array": "[]", "html": "<html>", "nokeys": "{}", "keysobject": '{"keys":{}}', "elements": '{"keys":[7]}',
                          "duplicate": '{"keys":[],"keys":[]}', "truncated": '{"keys":[', "dupmember": '{"keys":[{"kty":"oct","kty":"oct"}]}'}.items():
        server.write(f"conf/{name}.jwks", content)
    os.mkfifo(server.root / "conf" / "fifo")
    for name in ("rsa.pem", "rsa.crt", "private.pem", "empty"):  # that stand in the place of a secret
        (server.root / "conf" / name).chmod(0o600)
    return server


def test_a_good_configuration_passes(site):
    status, said = site.configtest("TokRevokeCapacity 10\nTokRevokeDatabase none\nTokRevokeRetain 1d\n"
                                   + issuers() + ALIAS + locations())
    assert status == 0 and "Syntax OK" in said, said


GOOD = [
    IN_ISSUER % f"{SET}\nTokRevokeClockSkew 0\nTokRevokeMaxLifetime unlimited",
    IN_ISSUER % f"{SET}\nTokRevokeClockSkew 90s\nTokRevokeMaxLifetime 5m", IN_ISSUER % f"{SET}\nTokRevokeClockSkew 1m\nTokRevokeMaxLifetime 7d",
    IN_ISSUER % f"{SET}\nTokRevokeMaxLifetime 12h\nTokRevokeLogoutAudience client", IN_ISSUER % "TokRevokeKeySet conf/all.jwks",
    IN_ISSUER % "TokRevokePublicKey conf/rsa.pem\nTokRevokePublicKey conf/rsa.crt other\nTokRevokeKeySet conf/all.jwks",
    IN_ISSUER % "TokRevokeSharedSecret conf/32.bin", IN_ISSUER % "TokRevokeSharedSecret conf/32.bin\nTokRevokeAlgorithms HS256",
    IN_ISSUER % f"{SET}\nTokRevokeAlgorithms RS256 ES256\nTokRevokeAlgorithms EdDSA",
    IN_ISSUER.replace("TokRevokeIssuer", "tokrevokeissuer") % "tokrevokekeyset conf/all.jwks",
    issuer("*", SET), IN_LOCATION % "TokRevokeTokenFrom header cookie=session query=t header=X-T\nTokRevokeAnswers STRICT",
    IN_LOCATION % "TokRevokeAllowOrigin https://a.test http://localhost:3000 https://[::1]:8443", "",
    IN_LOCATION % "TokRevokeTokenFrom cookie=a cookie=A query=t query=T",
    "<VirtualHost *:80>\n" + issuer("https://other.test/", SET, "TokRevokeRequireJti On") + "</VirtualHost>\n",
    "<VirtualHost *:80>\n" + issuer("https://idp.test/", SET) + "</VirtualHost>\n" + issuer("https://idp.test/", SET),
    *(f"TokRevokeDatabase {value}\n" for value in (
        "sqlite3:{root}/fresh/x.db", "sqlite3:fresh/x.db", "SQLite3:fresh/x.db", '"sqlite3:{root}/a folder/an ümläut.db"', "none", "NONE", "sqlite3:/x.db")),
    *(f"TokRevokeVerifiedCache {value}\n" for value in ("off", "Off", "1", "65536", "100000000")),
    *(f"TokRevokeMaxStaleness {value}\n" for value in ("2", "2s", "90", "5m", "12h", "7d", "unlimited", "Unlimited")),
]


@pytest.mark.parametrize("text", GOOD, ids=range(len(GOOD)))
def test_a_configuration_that_is_right_passes(site, text):
    status, said = site.configtest(text)
    assert status == 0, said


def secret(name):
    return IN_ISSUER % f"TokRevokeSharedSecret {name}"


def pem(name):
    return IN_ISSUER % f"TokRevokePublicKey {name}"


def keyset(name):
    return IN_ISSUER % f"TokRevokeKeySet conf/{name}.jwks"


def rule(line):
    return IN_ISSUER % f"{SET}\n{line}"


# what stands in the configuration -> what the message must hold
BAD = {
    "a key set that is missing": (keyset("missing"), "TokRevokeKeySet", "missing.jwks"),
    "a key set that is a folder": (IN_ISSUER % "TokRevokeKeySet conf", "TokRevokeKeySet", "/conf"),
    "a key set that is a pipe": (IN_ISSUER % "TokRevokeKeySet conf/fifo", "TokRevokeKeySet", "fifo"),
    "a key set from a URL": (IN_ISSUER % "TokRevokeKeySet https://idp.test/jwks", "TokRevokeKeySet", "https://idp.test/jwks", "mod_tokrevoke_jwks"),
    "a key set from a plain URL": (IN_ISSUER % "TokRevokeKeySet http://idp.test/jwks", "TokRevokeKeySet", "mod_tokrevoke_jwks"),
    "a key set that is too large": (keyset("large"), "TokRevokeKeySet", "large.jwks", "1 MiB|1048576|large"),
    "an array": (keyset("array"), "TokRevokeKeySet", "array.jwks"), "a web page": (keyset("html"), "TokRevokeKeySet", "html.jwks"),
    "no keys member": (keyset("nokeys"), "TokRevokeKeySet", "nokeys.jwks", "keys"), "keys an object": (keyset("keysobject"), "keysobject.jwks", "keys"),
    "keys no objects": (keyset("elements"), "TokRevokeKeySet", "elements.jwks"), "a duplicate member": (keyset("duplicate"), "duplicate.jwks", "duplicate"),
    "a duplicate inside": (keyset("dupmember"), "dupmember.jwks", "duplicate"), "a truncated set": (keyset("truncated"), "truncated.jwks"),
    "257 keys": (keyset("many"), "TokRevokeKeySet", "many.jwks", "256"), "RSA 1024 in a set": (keyset("weak"), "TokRevokeKeySet", "weak.jwks", "2048"),
    "e = 1": (keyset("e1"), "e1.jwks", "exponent"), "an even e": (keyset("even"), "even.jwks", "exponent"),
    "no modulus": (keyset("nomodulus"), "nomodulus.jwks"), "a short oct key": (keyset("shortoct"), "shortoct.jwks", "32|256"),
    "an empty oct key": (keyset("emptyoct"), "emptyoct.jwks"), "63 bytes for HS512": (keyset("hs512"), "hs512.jwks", "HS512|hash|64"),
    "a point off the curve": (keyset("offcurve"), "offcurve.jwks"), "a short coordinate": (keyset("shortpoint"), "shortpoint.jwks"),
    "the identity point": (keyset("identity"), "identity.jwks", "order|weak|point"), "a short Edwards key": (keyset("shortx"), "shortx.jwks"),
    "padding in a key": (keyset("padded"), "padded.jwks"), "a kid that is a number": (keyset("kidnumber"), "kidnumber.jwks", "kid"),
    "a PEM file that is missing": (pem("conf/none.pem"), "TokRevokePublicKey", "none.pem"),
    "a PEM file without a key": (pem("conf/garbage"), "TokRevokePublicKey", "garbage", "PEM"),
    "a PEM file that is empty": (pem("conf/empty"), "TokRevokePublicKey", "conf/empty"),
    "a PEM file cut short": (pem("conf/cut.pem"), "TokRevokePublicKey", "cut.pem"), "a private key": (pem("conf/private.pem"), "private.pem", "private"),
    "an EC private key": (pem("conf/private-ec.pem"), "private-ec.pem", "private"), "RSA 1024": (pem("conf/weak.pem"), "TokRevokePublicKey", "weak.pem", "2048"),
    "a secret that is missing": (secret("conf/none.bin"), "TokRevokeSharedSecret", "none.bin"),
    "a secret of 31 bytes": (secret("conf/short.bin"), "TokRevokeSharedSecret", "short.bin", "32|RFC 7518"),
    "31 bytes and a newline": (secret("conf/short-newline.bin"), "short-newline.bin", "32|RFC 7518"), "an empty secret": (secret("conf/empty"), "conf/empty"),
    "a public key as secret": (secret("conf/rsa.pem"), "TokRevokeSharedSecret", "rsa.pem", "no secret"),
    "a certificate as secret": (secret("conf/rsa.crt"), "TokRevokeSharedSecret", "rsa.crt", "no secret"),
    "a private key as secret": (secret("conf/private.pem"), "TokRevokeSharedSecret", "private.pem"),
    "a secret over 1 MiB": (secret("conf/large.bin"), "TokRevokeSharedSecret", "large.bin"),
    "a secret too short for its algorithm": (IN_ISSUER % "TokRevokeSharedSecret conf/32.bin\nTokRevokeAlgorithms HS256 HS512", "TokRevokeAlgorithms",
                                             "HS512", "7518"),
    "an unknown algorithm": (rule("TokRevokeAlgorithms RS256 RS1"), "TokRevokeAlgorithms", "RS1"), "none": (rule("TokRevokeAlgorithms none"),
                                                                                                         "TokRevokeAlgorithms", "none"),
    "an algorithm in small letters": (rule("TokRevokeAlgorithms rs256"), "TokRevokeAlgorithms", "rs256"),
    "no algorithm": (rule("TokRevokeAlgorithms"), "TokRevokeAlgorithms"), "no audience": (rule("TokRevokeAudience"), "TokRevokeAudience"),
    "an empty audience": (rule('TokRevokeAudience ""'), "TokRevokeAudience"), "no type": (rule("TokRevokeTokenType"), "TokRevokeTokenType"),
    "a use without values": (rule("TokRevokeTokenUse token_use"), "TokRevokeTokenUse", "token_use"),
    "a negative skew": (rule("TokRevokeClockSkew -1"), "TokRevokeClockSkew", "-1"), "a skew of words": (rule("TokRevokeClockSkew soon"),
                                                                                                    "TokRevokeClockSkew", "soon"),
    "an unknown unit": (rule("TokRevokeClockSkew 3w"), "TokRevokeClockSkew", "3w"), "a fraction": (rule("TokRevokeClockSkew 1.5h"), "TokRevokeClockSkew"),
    "an endless number": (rule("TokRevokeMaxLifetime 99999999999999999999d"), "TokRevokeMaxLifetime"),
    "a far too long life": (rule("TokRevokeMaxLifetime 999999d"), "TokRevokeMaxLifetime", "999999d"), "no life": (rule("TokRevokeMaxLifetime"), "TokRevokeMaxLifetime"),
    "an issuer without keys": (IN_ISSUER % "TokRevokeAudience x", "TokRevokeIssuer", "https://idp.test/", "key"),
    "an empty section": (IN_ISSUER % "", "TokRevokeIssuer", "key"), "no name": (IN_ISSUER.replace(' "https://idp.test/"', "") % SET, "TokRevokeIssuer"),
    "two names": (IN_ISSUER.replace('test/"', 'test/" x') % SET, "TokRevokeIssuer"), "an empty name": (IN_ISSUER.replace("https://idp.test/", "") % SET,
                                                                                                "TokRevokeIssuer"),
    "a name over 1 KiB": (IN_ISSUER.replace("https://idp.test/", "x" * 1025) % SET, "TokRevokeIssuer", "1 KiB|1024"),
    "an issuer twice": (IN_ISSUER % SET + IN_ISSUER % SET, "https://idp.test/", "twice"),
    "a section in a location": (IN_LOCATION % (IN_ISSUER % SET), "TokRevokeIssuer"), "a section that is not closed": (
        '<TokRevokeIssuer "x">\n' + SET, "TokRevokeIssuer"),
    "another directive inside": (rule("ServerAdmin x"), "ServerAdmin", "TokRevokeIssuer"),
    "a server directive inside": (rule("TokRevokeCapacity 5"), "TokRevokeCapacity", "TokRevokeIssuer"),
    "a section inside a section": (rule(issuer("y", SET)), "TokRevokeIssuer"), "an unknown directive inside": (rule("TokRevokeNonsense On"), "TokRevokeNonsense"),
    "a location directive inside": (rule("TokRevokeTokenFrom header"), "TokRevokeTokenFrom", "TokRevokeIssuer"),
    **{f"{name} outside": (f"{name} conf/all.jwks\n", name, "TokRevokeIssuer") for name in (
        "TokRevokeKeySet", "TokRevokePublicKey", "TokRevokeSharedSecret", "TokRevokeAlgorithms", "TokRevokeAudience", "TokRevokeLogoutAudience",
        "TokRevokeTokenType", "TokRevokeTokenUse", "TokRevokeClockSkew", "TokRevokeMaxLifetime")},
    "two claims of use": (rule("TokRevokeTokenUse token_use access\nTokRevokeTokenUse typ Bearer"), "TokRevokeTokenUse", "twice"),
    "a use without values": (rule("TokRevokeTokenUse token_use"), "TokRevokeTokenUse token_use", "missing"),
    "a claim with an endless name": (IN_LOCATION % ("TokRevokeUserClaim " + "x" * 256), "TokRevokeUserClaim", "255"),
    "no lifetime": (rule("TokRevokeMaxLifetime 0"), "TokRevokeMaxLifetime", "refuse every token"),
    "the origin of sandboxed pages": (IN_LOCATION % "TokRevokeAllowOrigin null", "TokRevokeAllowOrigin", "sandboxed"),
    "TokRevokeRequireJti outside": ("TokRevokeRequireJti On\n", "TokRevokeRequireJti", "TokRevokeIssuer"),
    **{f"{name} in a location": (IN_LOCATION % f"{name} {value}", name) for name, value in (
        ("TokRevokeCapacity", "10"), ("TokRevokeVerifiedCache", "10"), ("TokRevokeDatabase", "none"), ("TokRevokeRequireJti", "On"), ("TokRevokeRetain", "1h"), ("TokRevokeKeySet", "x"),
        ("TokRevokeMaxStaleness", "1h"))},
    **{f"{name} in a virtual host": (f"<VirtualHost *:80>\n{name} {value}\n</VirtualHost>\n", name) for name, value in (
        ("TokRevokeCapacity", "10"), ("TokRevokeVerifiedCache", "off"), ("TokRevokeDatabase", "none"), ("TokRevokeRetain", "1h"), ("TokRevokeMaxStaleness", "1h"))},
    **{f"{name} in an issuer": (rule(f"{name} {value}"), name, "TokRevokeIssuer") for name, value in (
        ("TokRevokeDatabase", "none"), ("TokRevokeMaxStaleness", "1h"))},
    "a location directive outside": ("TokRevokeTokenFrom cookie=x\n", "TokRevokeTokenFrom", "not allowed here"),
    "no capacity": ("TokRevokeCapacity 0\n", "TokRevokeCapacity", "0"), "a negative capacity": ("TokRevokeCapacity -5\n", "TokRevokeCapacity", "-5"),
    "a capacity of words": ("TokRevokeCapacity many\n", "TokRevokeCapacity", "many"), "a capacity with a unit": ("TokRevokeCapacity 5k\n", "TokRevokeCapacity"),
    "an endless capacity": ("TokRevokeCapacity 99999999999999999999\n", "TokRevokeCapacity"), "a huge capacity": ("TokRevokeCapacity 4294967296\n", "TokRevokeCapacity"),
    **{f"a cache of {value} verified tokens": (f"TokRevokeVerifiedCache {value}\n", "TokRevokeVerifiedCache", f'"{value}" is neither off') for value in (
        "0", "-1", "5k", "many", "100000001", "99999999999999999999", "on")},
    "two caches": ("TokRevokeVerifiedCache 1 2\n", "TokRevokeVerifiedCache"), "an empty cache": ('TokRevokeVerifiedCache ""\n', "TokRevokeVerifiedCache"),
    "no database": ("TokRevokeDatabase\n", "TokRevokeDatabase"), "two databases": ("TokRevokeDatabase none sqlite3:x.db\n", "TokRevokeDatabase"),
    "an empty database": ('TokRevokeDatabase ""\n', "TokRevokeDatabase", "sqlite3:PATH"),
    **{f"the database {value}": (f'TokRevokeDatabase "{value}"\n', "TokRevokeDatabase", "sqlite3:PATH") for value in (
        "off", "sqlite3", "/tmp/x.db", "sqlite:/tmp/x.db", "sqlite2:/tmp/x.db", "mysql:host=db", "oracle:x", "redis://db", "file:/tmp/x.db")},
    **{f"the database {value}": (f'TokRevokeDatabase "{value}"\n', "TokRevokeDatabase", "path") for value in (
        "sqlite3:", "sqlite3::memory:", "sqlite3:/tmp/", "sqlite3:/" + "x" * 4100)},
    **{f"a staleness of {value}": (f"TokRevokeMaxStaleness {value}\n", "TokRevokeMaxStaleness", "2s" if value[:1] in "01" and value[-1] != "h" else value)
       for value in ("0", "1", "1s", "0d", "-5", "soon", "2w", "1.5h", "99999999999999999999d", "none", "off")},
    "no staleness": ("TokRevokeMaxStaleness\n", "TokRevokeMaxStaleness"),
    "a flag that is none": ("TokRevokeRequireJti Maybe\n", "TokRevokeRequireJti"), "a bad retention": ("TokRevokeRetain x\n", "TokRevokeRetain", "x"),
    "an unknown source": (IN_LOCATION % "TokRevokeTokenFrom body", "TokRevokeTokenFrom", "body"),
    "a cookie without name": (IN_LOCATION % "TokRevokeTokenFrom cookie=", "TokRevokeTokenFrom", "cookie="),
    "a header without name": (IN_LOCATION % "TokRevokeTokenFrom header=", "TokRevokeTokenFrom", "header="),
    "a header that cannot be": (IN_LOCATION % 'TokRevokeTokenFrom "header=X Y"', "TokRevokeTokenFrom", "X Y"),
    "a cookie that cannot be": (IN_LOCATION % 'TokRevokeTokenFrom "cookie=a;b"', "TokRevokeTokenFrom", "a;b"),
    "a header with a word of its own": (IN_LOCATION % "TokRevokeTokenFrom header=Authorization", "TokRevokeTokenFrom", "written header or cookie=NAME"),
    "cookies as a header": (IN_LOCATION % "TokRevokeTokenFrom header=cookie", "TokRevokeTokenFrom", "written header or cookie=NAME"),
    "a source twice": (IN_LOCATION % "TokRevokeTokenFrom header header", "TokRevokeTokenFrom", "twice"), "no source": (IN_LOCATION % "TokRevokeTokenFrom", "TokRevokeTokenFrom"),
    "an empty claim": (IN_LOCATION % 'TokRevokeUserClaim ""', "TokRevokeUserClaim"), "no claim": (IN_LOCATION % "TokRevokeUserClaim", "TokRevokeUserClaim"),
    "stripping a bit": (IN_LOCATION % "TokRevokeStripToken Some", "TokRevokeStripToken"), "unknown answers": (IN_LOCATION % "TokRevokeAnswers loose",
                                                                                                       "TokRevokeAnswers", "loose"),
    "an origin with a path": (IN_LOCATION % "TokRevokeAllowOrigin https://a.test/", "TokRevokeAllowOrigin", "https://a.test/"),
    "an origin without scheme": (IN_LOCATION % "TokRevokeAllowOrigin a.test", "TokRevokeAllowOrigin", "a.test"),
    "an origin in capitals": (IN_LOCATION % "TokRevokeAllowOrigin https://A.test", "TokRevokeAllowOrigin", "https://A.test"),
    "no origin": (IN_LOCATION % "TokRevokeAllowOrigin", "TokRevokeAllowOrigin"),
}


def test_a_password_in_a_database_that_is_refused_is_not_repeated(site):
    status, said = site.configtest('TokRevokeDatabase "host=db password=geheim"\n')
    assert status == 1 and "pgsql:CONNINFO" in said and "password" not in said and "geheim" not in said


@pytest.mark.parametrize("what", BAD)
def test_a_bad_configuration_is_refused_with_its_reason(site, what):
    """JWS-15, JWS-16, BCP-04"""
    text, *fragments = BAD[what]
    status, said = site.configtest(text)
    assert status == 1, said
    for fragment in fragments:
        assert any(one in said for one in fragment.split("|")), (fragment, said)
    assert "line " in said or "conf/" in said


def test_no_message_gives_a_secret_away(site, keys):
    """SBCP-05"""
    secret_text = secret_bytes(keys["oct"]).hex()[:31]
    site.write("conf/leak.bin", secret_text)
    site.write("conf/leak.jwks", key_set({"kty": "oct", "k": b64(secret_text)}))
    for text in (secret("conf/leak.bin"), keyset("leak")):
        status, said = site.configtest(text)
        assert status == 1 and secret_text not in said and b64(secret_text) not in said


def test_a_key_file_that_the_children_cannot_read_is_not_refused_at_start(new_server, keys, mint):
    """PEM and secret files are read by the parent, as root; the children need not see them."""
    server = new_server()
    write_keys(server, keys)
    assert (server.root / "conf" / "secret.bin").stat().st_mode & 0o777 == 0o600
    from httpd import protected
    server.start(issuer("https://secret.test/", "TokRevokeSharedSecret conf/secret.bin") + ALIAS + protected("app"))
    assert server.bearer("/p/app/ok.txt", mint("HS256", iss="https://secret.test/")).status == 200


def test_a_bad_directive_in_htaccess_is_a_server_error(new_server, keys):
    """httpd's way: 500 and a line in the log, never an open door."""
    server = new_server()
    write_keys(server, keys)
    (server.root / "htdocs" / "ht").mkdir()
    server.write("htdocs/ht/ok.txt", "the protected page\n")
    server.write("htdocs/ht/.htaccess", "AuthType Bearer\nAuthName x\nRequire valid-user\nTokRevokeTokenFrom nowhere\n")
    server.start(issuer("https://idp.test/", SET) + '<Directory "{root}/htdocs/ht">\nAllowOverride AuthConfig\n</Directory>\n')
    server.expect_log("TokRevokeTokenFrom")
    r = server.get("/ht/ok.txt")
    assert r.status == 500 and b"protected page" not in r.body
    for line in ("TokRevokeCapacity 10", "TokRevokeVerifiedCache 10", '<TokRevokeIssuer "x">', "TokRevokeKeySet x", "TokRevokeDatabase none", "TokRevokeMaxStaleness 5m"):
        server.write("htdocs/ht/.htaccess", "AuthType Bearer\nRequire valid-user\n" + line + "\n")
        server.expect_log("TokRevoke.* (not allowed here|was not closed)")
        assert server.get("/ht/ok.txt").status == 500


def test_without_issuers_nobody_is_trusted_and_nothing_breaks(new_server, mint):
    """No table is needed, and no database."""
    from httpd import endpoint, protected
    server = new_server()
    server.start(ALIAS + protected("app") + endpoint("/revoke") + endpoint("/strict", "TokRevokeAnswers strict"))
    assert not (server.root / "state").exists()
    r = server.bearer("/p/app/ok.txt", mint())
    assert (r.status, r.reason) == (401, "unknown_issuer")
    assert server.get("/p/app/ok.txt").reason == "no_token"
    r = server.revoke(mint())
    assert (r.status, r.body) == (200, b"{}")
    assert server.revoke(mint(), path="/strict").status == 401
    server.graceful()
    assert server.bearer("/p/app/ok.txt", mint()).status == 401


def test_issuers_may_come_and_go_with_graceful_restarts(new_server, keys, mint):
    """The table is made when it is first needed, and kept from then on."""
    from httpd import endpoint, protected
    server = new_server()
    write_keys(server, keys)
    common = ALIAS + protected("app") + endpoint("/revoke")
    server.start(common)
    token = mint()
    assert server.bearer("/p/app/ok.txt", token).status == 401
    server.reconfigure(common + issuer("https://idp.test/", SET))
    server.next_generation()
    assert server.bearer("/p/app/ok.txt", token).status == 200
    assert server.revoke(token).status == 200
    for text in (common, common + issuer("https://idp.test/", SET)):
        server.reconfigure(text)
        server.next_generation()
    r = server.bearer("/p/app/ok.txt", token)
    assert (r.status, r.reason) == (401, "revoked")
