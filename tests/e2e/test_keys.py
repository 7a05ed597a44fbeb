"""Key set files that change under a running server."""

import os
import signal
import subprocess
import time

import pytest

from httpd import ALIAS, endpoint, protected
from issuers import issuer, jwks, write_keys
from storing import EveryChild, until
from test_accept import passes
from test_refuse import refused
from tokens import b64, fields, key_set, make, secret_bytes

PAGE = "/p/app/ok.txt"


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    write_keys(server, keys)
    server.write("conf/turn.jwks", key_set(fields(keys["p256"], kid="p256")))
    return server.start(issuer("https://idp.test/", jwks("turn")) + issuer("https://fixed.test/", jwks("all")) + ALIAS
                        + protected("app") + endpoint("/revoke"))


def every_child(site, token, status):
    with EveryChild(site) as children:
        return agree(children, token, status)


def agree(children, token, status):
    found = children.verdicts(token)
    return found == {"accepted"} if status == 200 else "accepted" not in found


def becomes(site, token, status, within=4.0):
    """How long it took until all children agree."""
    with EveryChild(site) as children:
        return until(lambda: agree(children, token, status), within, f"not {status} within {within} s", every=0.05)[1]


def set_keys(site, text):
    site.write("conf/turn.jwks", text)


def overwrite(site, text):
    """In place, the same inode."""
    with open(site.root / "conf" / "turn.jwks", "r+", encoding="utf-8") as f:
        f.write(text)
        f.truncate()


@pytest.mark.parametrize("put", [set_keys, overwrite], ids=["replaced", "rewritten in place"])
def test_a_new_key_is_taken_and_an_old_one_dropped_without_a_restart(site, mint, put):
    new = make("p256")
    old_token = mint()
    set_keys(site, key_set(fields(mint.keys["p256"], kid="p256")))
    becomes(site, old_token, 200)
    token = mint(key=new, kid="new")
    refused(site, token, "unknown_key")
    generation = site.pids()
    put(site, key_set(fields(mint.keys["p256"], kid="p256"), fields(new, kid="new")))
    becomes(site, token, 200)
    passes(site, old_token)
    put(site, key_set(fields(new, kid="new")))
    becomes(site, old_token, 401)
    passes(site, token)
    refused(site, old_token, "unknown_key")
    assert set(generation) <= set(site.pids()), "children were replaced"


def test_a_key_replaced_under_the_same_kid_counts(site, mint):
    new = make("p256")
    set_keys(site, key_set(fields(mint.keys["p256"], kid="p256")))
    becomes(site, mint(), 200)
    set_keys(site, key_set(fields(new, kid="p256")))
    becomes(site, mint(key=new), 200)
    refused(site, mint(), "bad_signature")


def test_a_change_of_the_same_size_and_second_is_seen(site, mint):
    """The modification time alone, in seconds, would miss it."""
    a, b = make("p256"), make("p256")
    set_keys(site, key_set(fields(a, kid="x")))
    becomes(site, mint(key=a, kid="x"), 200)
    second = int(time.time())
    set_keys(site, key_set(fields(b, kid="x")))
    os.utime(site.root / "conf" / "turn.jwks", (second, second))
    becomes(site, mint(key=b, kid="x"), 200)
    set_keys(site, key_set(fields(a, kid="x")))
    os.utime(site.root / "conf" / "turn.jwks", (second, second))
    becomes(site, mint(key=a, kid="x"), 200)


BROKEN = {
    "truncated": lambda good: good[:-5], "empty": lambda good: "", "HTML": lambda good: "<html>moved</html>",
    "an array": lambda good: "[]", "no keys": lambda good: '{"a":1}', "keys no array": lambda good: '{"keys":7}',
    "a weak key": lambda good: key_set({"kty": "RSA", "kid": "w", "e": "AQAB", "n": b64(b"\xc1" + b"\x55" * 126 + b"\x01")}),
    "a short secret": lambda good: key_set({"kty": "oct", "kid": "s", "k": b64(b"x" * 16)}),
    "e = 1": lambda good: key_set({"kty": "RSA", "kid": "w", "e": "AQ", "n": fields(make("rsa"))["n"]}),
    "a point off the curve": lambda good: key_set({"kty": "EC", "crv": "P-256", "kid": "w", "x": b64(b"\1" * 32), "y": b64(b"\1" * 32)}),
    "257 keys": lambda good: key_set(*[{"kty": "XYZ"}] * 257), "over 1 MiB": lambda good: good[:-1] + " " * 1048576 + "}",
    "duplicate members": lambda good: '{"keys":[],"keys":[]}',
}


def slug(what):
    return "".join(c for c in what if c.isalnum())


@pytest.fixture(scope="module")
def hospital(new_server, keys, mint):
    """An issuer and a key file for every way to break one; all are broken at once, and later healed at once."""
    server = new_server()
    write_keys(server, keys)
    good = key_set(fields(keys["p256"], kid="p256"))
    for what in BROKEN:
        server.write(f"conf/{slug(what)}.jwks", good)
    server.start("".join(issuer(f"https://{slug(what)}.test/", jwks(slug(what))) for what in BROKEN) + ALIAS + protected("app"))
    server.expect_log(r"\[tokrevoke:error\].* TR\d+: .*\.jwks", always=True)
    for what in BROKEN:
        assert server.bearer(PAGE, mint(iss=f"https://{slug(what)}.test/")).status == 200
    for what, make_bad in BROKEN.items():
        server.write(f"conf/{slug(what)}.jwks", make_bad(good))
    return server


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_leaves_the_last_good_keys_in_force_and_logs_an_error(hospital, mint, what):
    hospital.wait_log(rf"\[tokrevoke:error\].* TR\d+: .*/{slug(what)}\.jwks")
    assert every_child(hospital, mint(iss=f"https://{slug(what)}.test/"), 200)


def test_a_healed_file_counts_again(hospital, mint):
    new = make("p256")
    for what in BROKEN:
        hospital.write(f"conf/{slug(what)}.jwks", key_set(fields(new, kid="healed")))
    for what in BROKEN:
        becomes(hospital, mint(iss=f"https://{slug(what)}.test/", key=new, kid="healed"), 200)
        refused(hospital, mint(iss=f"https://{slug(what)}.test/"), "unknown_key")


def test_a_file_that_is_gone_leaves_the_last_good_keys_in_force(site, mint):
    token = mint()
    set_keys(site, key_set(fields(mint.keys["p256"], kid="p256")))
    becomes(site, token, 200)
    since = len(site.error_log())
    site.expect_log(r"TR\d+: .*turn\.jwks")
    os.unlink(site.root / "conf" / "turn.jwks")
    site.wait_log(r"\[tokrevoke:error\].* TR\d+: .*turn\.jwks", since=since)
    assert every_child(site, token, 200)
    until(lambda: site.error_log()[since:].count("turn.jwks") >= len(site.pids()), message="some children do not notice")
    lines = site.error_log()[since:].count("turn.jwks")
    time.sleep(2)
    assert site.error_log()[since:].count("turn.jwks") == lines, "the same trouble is told again and again"
    set_keys(site, key_set(fields(mint.keys["p256"], kid="p256")))
    becomes(site, token, 200)
    time.sleep(1.1)


def test_a_set_without_usable_keys_is_no_error_but_a_warning(site, mint):
    """Every key may be withdrawn."""
    set_keys(site, key_set(fields(mint.keys["p256"], kid="p256")))
    becomes(site, mint(), 200)
    site.expect_log(r"\[tokrevoke:warn\].* TR\d+: .*turn\.jwks")
    set_keys(site, key_set())
    becomes(site, mint(), 401)
    time.sleep(1.1)
    set_keys(site, key_set(fields(mint.keys["p256"], kid="p256")))
    becomes(site, mint(), 200)


def test_a_revocation_survives_a_change_of_keys(site, mint):
    set_keys(site, key_set(fields(mint.keys["p256"], kid="p256")))
    becomes(site, mint(), 200)
    token = mint(jti="kept-over-rotation")
    assert site.revoke(token).status == 200
    new = make("p256")
    set_keys(site, key_set(fields(new, kid="p256")))
    becomes(site, mint(key=new), 200)
    refused(site, mint(key=new, jti="kept-over-rotation"), "revoked")


def test_a_changing_file_never_refuses_a_good_token(site, mint):
    """Keys are exchanged while requests run: the old ones hold until the new ones are there."""
    a, b = fields(mint.keys["p256"], kid="p256"), fields(make("p384"), kid="other")
    set_keys(site, key_set(a))
    token = mint()
    becomes(site, token, 200)
    end = time.monotonic() + 3.5
    with site.connect() as c:
        while time.monotonic() < end:
            set_keys(site, key_set(a, b) if int(time.monotonic() * 5) % 2 else key_set(a))
            for _ in range(20):
                assert c.request("GET", PAGE, "Authorization: Bearer " + token).status == 200


def test_secrets_in_a_key_file_are_taken(site, mint, keys):
    set_keys(site, key_set({"kty": "oct", "kid": "oct", "k": b64(secret_bytes(keys["oct"]))}))
    becomes(site, mint("HS256"), 200)
    passes(site, mint("HS512", kid=None))


def test_a_child_that_is_born_later_serves_with_the_keys_of_now(site, mint):
    """The parent's keys are as old as its configuration: a new child reads what has changed before its first request."""
    new = make("p256")
    set_keys(site, key_set(fields(mint.keys["p256"], kid="p256")))
    becomes(site, mint(), 200)
    set_keys(site, key_set(fields(new, kid="new")))
    old, token = mint(), mint(key=new, kid="new")
    becomes(site, token, 200)
    site.expect_log(r"AH00052|AH1039[23]", always=True)  # httpd tells of killed children when it comes to it
    for pid in site.pids():
        os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 20
    answers = []
    while len(answers) < 20:
        try:
            answers.append((site.bearer(PAGE, token).status, site.bearer(PAGE, old).status))
        except (EOFError, OSError):  # nobody serves yet, or the child was on its way out
            assert time.monotonic() < end
            time.sleep(0.01)
    assert answers == [(200, 401)] * 20


PSS = "openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_pss_keygen_md:{} -pkeyopt rsa_pss_keygen_mgf1_md:{} -pkeyopt rsa_pss_keygen_saltlen:{}"


@pytest.mark.parametrize("md, mgf1, salt, good", [("sha256", "sha256", 32, True), ("sha512", "sha512", 64, True), ("sha256", "sha1", 32, False),
                                                  ("sha256", "sha256", 64, False)])
def test_a_pss_key_is_taken_when_an_algorithm_fits_its_restrictions(new_server, md, mgf1, salt, good):
    """RFC 4055 3.1, RFC 7518 3.5; as the only key, so that nothing before it has loaded a digest."""
    server = new_server()
    private = subprocess.run(PSS.format(md, mgf1, salt).split(), capture_output=True, check=True).stdout
    public = subprocess.run(["openssl", "pkey", "-pubout"], input=private, capture_output=True, check=True).stdout
    server.write("conf/pss.pem", public)
    status, said = server.configtest(issuer("https://pss.test/", "TokRevokePublicKey conf/pss.pem"))
    assert (status == 0) == good, said
    assert good or "hashes or salt" in said
