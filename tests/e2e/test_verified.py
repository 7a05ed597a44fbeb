"""
The verified-token cache (TokRevokeVerifiedCache): a signature is checked once for all children, and nothing but the signature
is remembered. A small library that is loaded before OpenSSL counts how often signatures are really checked.
"""

import os
import signal
import struct
import subprocess
import time

import pytest

import httpd as servers
from httpd import ALIAS, endpoint, protected
from issuers import issuer, jwks, write_keys
from storing import EveryChild, until
from test_accept import passes
from test_refuse import refused
from test_vhosts import host, passes_at
from tokens import fields, key_set, make

PAGE = "/p/app/ok.txt"
counted = pytest.mark.skipif(bool(servers.SAN), reason="the sanitizer's library wants to be loaded first")


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counting")
    for path in (folder, *list(folder.parents)[:2]):
        path.chmod(0o755)
    out = folder / "counting.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", out, servers.REPO / "tests" / "e2e" / "counting.c", "-ldl"], check=True)
    return out


class Signatures:
    """How many were checked since it was asked last."""

    def __init__(self, server):
        self.path = server.write("run/count", b"\0" * 8, 0o666)
        self.seen = 0

    def checked(self):
        before, self.seen = self.seen, struct.unpack("L", self.path.read_bytes())[0]
        return self.seen - before


def counting(new_server, keys, counter, **more):
    """A server whose signatures are counted; not started."""
    server = new_server()
    write_keys(server, keys)
    server.write("conf/turn.jwks", key_set(fields(keys["p256"], kid="p256")))
    server.signatures = Signatures(server)
    if not servers.SAN:
        server.environment = {"LD_PRELOAD": str(counter), "TR_COUNT": str(server.signatures.path), **more}
    return server


def text(*rules, cache="", more=""):
    return (cache + "TokRevokeCapacity 10000\n" + issuer("https://idp.test/", jwks("turn"), "TokRevokeClockSkew 0", *rules) + ALIAS
            + protected("app") + endpoint("/revoke") + endpoint("/strict", "TokRevokeAnswers strict") + more)


@pytest.fixture(scope="module")
def site(new_server, keys, counter):
    server = counting(new_server, keys, counter)
    return server.start(text())


def of_every_child(server, tokens):
    """What all children together say of each token. After a restart httpd may send away a child that it has too many; then again."""
    for _ in range(5):
        try:
            with EveryChild(server) as children:
                return [children.verdicts(token) for token in tokens]
        except (EOFError, ConnectionError):
            time.sleep(0.5)
    raise AssertionError("children come and go")


def everywhere(server, token):
    """The one verdict of all children."""
    found = of_every_child(server, [token])[0]
    assert len(found) == 1, found
    return found.pop()


# ---- it is remembered ----


@counted
def test_a_signature_is_checked_once_for_all_children(site, mint):
    token = mint()
    with EveryChild(site) as children:
        site.signatures.checked()
        passes(site, token)
        assert site.signatures.checked() == 1
        for _ in range(5):
            assert children.verdicts(token) == {"accepted"}
        assert site.revoke(token, path="/strict").json() == {"revoked": True}
    assert site.signatures.checked() == 0


@counted
def test_a_bad_signature_is_checked_each_time(site, mint):
    token = mint(key=mint.keys.other["p256"])
    site.signatures.checked()
    for i in range(5):
        refused(site, token, "bad_signature")
    assert site.signatures.checked() == 5


@counted
@pytest.mark.parametrize("again", ["graceful", "restart"])
def test_what_was_learnt_outlives_restarts_and_children(site, mint, again):
    tokens = [mint() for _ in range(20)]
    for token in tokens:
        passes(site, token)
    site.next_generation() if again == "graceful" else site.restart()
    site.signatures.checked()
    for token in tokens:
        passes(site, token)
    assert everywhere(site, tokens[0]) == "accepted"
    assert site.signatures.checked() == 0


@counted
def test_a_child_that_is_born_later_knows_what_others_have_learnt(site, mint):
    token = mint()
    passes(site, token)
    site.expect_log(r"AH00052|AH1039[23]", always=True)
    before = set(site.pids())
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: site.pids() and not before & set(site.pids()), 20, "no new children")
    site.signatures.checked()
    assert everywhere(site, token) == "accepted"
    assert site.signatures.checked() == 0


@counted
def test_off_checks_every_signature(new_server, keys, counter, mint):
    server = counting(new_server, keys, counter).start(text(cache="TokRevokeVerifiedCache off\n"))
    token = mint()
    server.signatures.checked()
    for _ in range(10):
        passes(server, token)
    assert server.signatures.checked() == 10
    assert server.revoke(token).status == 200
    refused(server, token, "revoked")
    server.reconfigure(text(cache="TokRevokeVerifiedCache 100\n"))
    server.next_generation()
    other = mint()
    server.signatures.checked()
    for _ in range(10):
        passes(server, other)
    assert server.signatures.checked() == 1
    refused(server, token, "revoked")
    server.reconfigure(text(cache="TokRevokeVerifiedCache 1\n"))
    server.next_generation()
    server.signatures.checked()
    passes(server, other)
    assert server.signatures.checked() == 1, "another size begins anew"
    server.reconfigure(text(cache="TokRevokeVerifiedCache OFF\n"))
    server.next_generation()
    server.signatures.checked()
    passes(server, other)
    passes(server, other)
    assert server.signatures.checked() == 2


def test_more_tokens_than_places_are_verified_again_and_nothing_else(new_server, keys, counter, mint):
    server = counting(new_server, keys, counter).start(text(cache="TokRevokeVerifiedCache 2\n"))
    good = [mint() for _ in range(12)]
    bad = [mint(key=keys.other["p256"]) for _ in range(4)]
    for _ in range(4):
        for token in good:
            passes(server, token)
        for token in bad:
            refused(server, token, "bad_signature")


@counted
def test_without_shared_memory_for_it_httpd_goes_on_and_says_so(new_server, keys, counter, mint):
    server = counting(new_server, keys, counter, TR_REFUSE="20000000")
    server.expect_log(r"\[tokrevoke:warn\].* TR064: 40000064 bytes of shared memory to remember 1000000 ", always=True)
    server.start(text(cache="TokRevokeVerifiedCache 1000000\n"))
    assert server.error_log().count("TR064") == 1
    token = mint()
    with EveryChild(server) as children:
        server.signatures.checked()
        assert children.verdicts(token) == {"accepted"}
        assert server.signatures.checked() == len(children.children), "each for itself"
    refused(server, mint(key=keys.other["p256"]), "bad_signature")


# ---- other keys ----


def turn(site, *members):
    site.write("conf/turn.jwks", key_set(*members))


@pytest.fixture
def known(site, mint):
    """A token that every child has accepted; its key is put back afterwards."""
    own = fields(mint.keys["p256"], kid="p256")
    turn(site, own)
    token = mint()
    with EveryChild(site) as children:
        children.until(token, "accepted")
        yield token, children, own
    turn(site, own)
    with EveryChild(site) as children:
        children.until(token, "accepted")


def test_a_key_taken_out_ends_what_it_had_verified(site, mint, known):
    token, children, own = known
    new = make("p256")
    turn(site, fields(new, kid="new"))
    children.until(token, "unknown_key")
    assert site.revoke(token, path="/strict").status == 401
    assert children.verdicts(mint(key=new, kid="new")) == {"accepted"}
    turn(site, own)
    children.until(token, "accepted")


def test_a_key_replaced_under_its_kid_ends_what_it_had_verified(site, mint, known):
    token, children, own = known
    new = make("p256")
    fresh = mint(key=new)
    for _ in range(2):
        turn(site, fields(new, kid="p256"))
        children.until(token, "bad_signature")
        assert children.verdicts(fresh) == {"accepted"}
        turn(site, own)
        children.until(token, "accepted")
        assert children.verdicts(fresh) == {"bad_signature"}


def test_a_key_bound_to_another_algorithm_ends_what_it_had_verified(site, mint, known):
    token, children, own = known
    rsa = fields(mint.keys["rsa"], kid="rsa")
    with_rsa = mint("RS256")
    turn(site, own, rsa)
    children.until(with_rsa, "accepted")
    turn(site, own, dict(rsa, alg="RS512"))
    children.until(with_rsa, "algorithm")
    assert children.verdicts(token) == {"accepted"}


def test_a_broken_file_leaves_what_is_known(site, mint, known):
    token, children, own = known
    site.expect_log(r"TR010: .*turn\.jwks")
    since = len(site.error_log())
    site.write("conf/turn.jwks", "{")
    until(lambda: site.error_log()[since:].count("TR010") >= len(children.children), 10, "not every child has noticed")
    assert children.verdicts(token) == {"accepted"}
    turn(site, own)
    until(lambda: "read anew" in site.error_log()[since:], 10)


# ---- other rules ----


RULES = {
    "audience": (("TokRevokeAudience here",), "audience"),
    "algorithms": (("TokRevokeAlgorithms RS256 ES384",), "algorithm"),
    "type": (("TokRevokeTokenType at+jwt",), "token_type"),
    "use": (("TokRevokeTokenUse use access",), "token_use"),
    "lifetime": (("TokRevokeMaxLifetime 1m",), "lifetime"),
}


def test_a_changed_rule_counts_for_tokens_that_are_known(site, mint):
    def with_rules(changed):
        return text(more="".join(issuer(f"https://{what}.test/", jwks("turn"), *(rules if changed else ())) for what, (rules, _) in RULES.items()))

    tokens = {what: mint(iss=f"https://{what}.test/") for what in RULES}
    for changed in (False, True, False, True):
        site.reconfigure(with_rules(changed))
        site.next_generation()
        found = of_every_child(site, tokens.values())
        assert found == [{reason if changed else "accepted"} for _, reason in RULES.values()]
    site.reconfigure(text())
    site.next_generation()


def test_an_issuer_that_is_taken_out_is_unknown_at_once(site, mint):
    token = mint()
    assert everywhere(site, token) == "accepted"
    site.reconfigure(text().replace("https://idp.test/", "https://other.test/"))
    site.next_generation()
    assert everywhere(site, token) == "unknown_issuer"
    site.reconfigure(text())
    site.next_generation()
    assert everywhere(site, token) == "accepted"


def begin(site, token):
    """A request whose end is still to come."""
    c = site.connect()
    c.send_raw(f"GET {PAGE} HTTP/1.1\r\nHost: {c.host}\r\nAuthorization: Bearer {token}\r\n".encode())
    return c


@pytest.mark.h1("half a request")
def test_children_of_two_generations_each_judge_by_their_own_rules(site, mint):
    """What was begun before a graceful restart ends by the rules of before; what its child learns then is no news to others."""
    tokens = [mint() for _ in range(8)]
    held = [begin(site, token) for token in tokens]
    until(lambda: None not in site.holders(held), 10, "no child takes them")
    time.sleep(0.2)  # for a thread of that child to begin to read
    site.reconfigure(text("TokRevokeAudience here"))
    site.graceful()
    for token in tokens[:4]:
        refused(site, token, "audience")
    for c in held:
        c.send_raw(b"\r\n")
    assert [c.receive().status for c in held] == [200] * len(held)
    for c in held:
        c.close()
    for token in tokens:
        refused(site, token, "audience")
    site.reconfigure(text())
    site.next_generation()
    passes(site, tokens[0])


@pytest.fixture(scope="module")
def hosts(new_server, keys, counter):
    server = counting(new_server, keys, counter)
    idp = "https://idp.test/"
    return server.start(text(more=(
        host("plain.test") + host("same.test", issuer(idp, jwks("turn"), "TokRevokeClockSkew 0"))
        + host("keys.test", issuer(idp, jwks("second"))) + host("audience.test", issuer(idp, jwks("turn"), "TokRevokeAudience here"))
        + host("skew.test", issuer(idp, jwks("turn"), "TokRevokeClockSkew 1")) + host("rsa.test", issuer(idp, jwks("all"), "TokRevokeAlgorithms RS256"))
        + host("more.test", issuer("https://more.test/", jwks("all"))))))


def test_two_hosts_with_other_keys_or_rules_never_share_a_verdict(hosts, mint, keys):
    for _ in range(3):
        token, foreign = mint(), mint(key=keys.other["p256"])
        for _ in range(2):
            passes_at(hosts, token, "plain.test")
            passes_at(hosts, foreign, "keys.test")
            refused(hosts, token, "bad_signature", host="keys.test")
            refused(hosts, foreign, "bad_signature", host="plain.test")
            refused(hosts, token, "audience", host="audience.test")
            refused(hosts, token, "algorithm", host="rsa.test")
            passes_at(hosts, token, "skew.test")


@counted
def test_two_hosts_with_the_same_keys_and_rules_share_and_others_check_for_themselves(hosts, mint):
    token = mint()
    hosts.signatures.checked()
    passes_at(hosts, token, "plain.test")
    assert hosts.signatures.checked() == 1
    passes_at(hosts, token, "same.test")
    assert hosts.signatures.checked() == 0
    for name in ("skew.test", "more.test"):
        passes_at(hosts, token, name)
        assert hosts.signatures.checked() == 1, name


# ---- another token, another moment ----


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
CLASSES = {"capital": str.isupper, "small": str.islower, "digit": str.isdigit, "other": lambda c: c in "-_"}


def flips(token):
    """In each part, of each class of characters up to four, each of the six bits that a character stands for."""
    begin = 0
    for part in token.split("."):
        for is_of_class in CLASSES.values():
            at = [begin + i for i, c in enumerate(part) if is_of_class(c)]
            for i in at[::max(1, len(at) // 4)][:4]:
                for bit in range(6):
                    yield token[:i] + ALPHABET[ALPHABET.index(token[i]) ^ 1 << bit] + token[i + 1:]
        begin += len(part) + 1


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_one_bit_anywhere_is_another_token(site, mint, alg):
    token = mint(alg)
    turn(site, fields(mint.keys["p256"], kid="p256"), fields(mint.keys["rsa"], kid="rsa"))
    with EveryChild(site) as children:
        children.until(token, "accepted")
    tried = 0
    with site.connect() as c:
        for other in flips(token):
            r = c.request("GET", PAGE, "Authorization: Bearer " + other)
            assert r.status == 401 and r.reason != "revoked", (r, other)
            tried += 1
        assert c.request("GET", PAGE, "Authorization: Bearer " + token).status == 200
    assert tried > 150


def watch(site, mint, claim, early, late):
    """All children's verdicts on a token that they know, while the second of claim comes: early before it, late from then on."""
    with EveryChild(site) as children:
        for _ in range(5):  # a busy machine may sleep through one of both
            seen = set()
            moment = int(time.time()) + 3
            token = mint(**{claim: moment})
            while (before := time.time()) < moment + 0.5:
                found = children.verdicts(token)
                after = time.time()
                assert after >= moment or found == {early}, (found, after - moment)
                assert before < moment or found == {late}, (found, before - moment)
                seen |= found
            if seen == {early, late}:
                return
    raise AssertionError(seen)


def test_expiry_is_exact_to_the_second_where_the_signature_is_known(site, mint):
    watch(site, mint, "exp", "accepted", "expired")


def test_a_token_that_is_not_valid_yet_waits_where_its_signature_is_known(site, mint):
    watch(site, mint, "nbf", "not_yet_valid", "accepted")


def test_a_revocation_is_in_force_on_the_next_request_of_every_child_that_knows_the_token(site, mint):
    with EveryChild(site) as children:
        for i in range(6):
            token = mint(sid=f"s{i}")
            for _ in range(2):
                assert children.verdicts(token) == {"accepted"}
            assert site.revoke(token).status == 200
            assert children.verdicts(token) == {"revoked"}
