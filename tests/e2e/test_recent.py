"""What each child remembers of the tokens that it has just seen changes no answer: not of times, revocations, places or users."""

import contextlib
import itertools
import json
import re
import subprocess
import time
from pathlib import Path

import pytest

import httpd as servers
from httpd import H2, MPM, endpoint, protected
from issuers import issuer, jwks, write_keys
from storing import BASIC, JSON, PAGE, SLOW, EveryChild, basic, text, until, without_jti, write_users
from test_streams import STRICT, Site
from test_vhosts import host

ISS = "https://idp.test/"
FOUND = re.compile(r"this child found (\d+) tokens among those it had just seen, and kept (\d+); (\d+) of them are there now, and take (\d+) bytes")
ROLES = "Header always set X-Told \"%{TOKEN_CLAIM_role}e\" \"expr=-n reqenv('TOKEN_CLAIM_role')\""
serial = itertools.count()


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server(children=2)
    write_keys(server, keys)
    write_users(server, b"boss")
    admin = "\n    ".join(("SetHandler tokrevoke-admin", *BASIC))
    return server.start(text(
        issuer(STRICT, jwks("all"), "TokRevokeClockSkew 0"),
        protected("mail", "TokRevokeUserClaim email"), protected("env", "TokRevokeClaimEnv On", ROLES),
        protected("field", "TokRevokeClaimHeader X-Role role", 'Header always set X-Told "expr=%{req:X-Role}"'),
        protected("admins", "Require token-claim role admin"), protected("writers", "Require token-scope write"),
        f'<Location "/admin">\n    {admin}\n</Location>\n', endpoint("/introspect", *BASIC, handler="tokrevoke-introspect"),
        host("plain.test"), host("audience.test", issuer(ISS, jwks("all"), "TokRevokeAudience here")),
        host("keys.test", issuer(ISS, jwks("second"))), host("jti.test", issuer(ISS, jwks("all"), "TokRevokeRequireJti On"))))


@pytest.fixture
def children(site):
    with EveryChild(site) as everyone:
        yield everyone


# EveryChild asks for the page of the location "app".
def warm(children, *tokens):
    """From the third time on, each child knows them."""
    for _ in range(4):
        for token in tokens:
            assert children.verdicts(token) == {"accepted"}


def get(c, path, token, **how):
    return c.request("GET", path, "Authorization: Bearer " + token, **how)


def found_by_children(server):
    return [tuple(map(int, row)) for row in FOUND.findall(server.error_log())]


def own_server(new_server, keys, *more, children=2):
    server = new_server(children=children)
    write_keys(server, keys)
    return server.start("LogLevel tokrevoke:debug\n" + text(*more))


# ---- is it there at all? ----

def test_each_child_finds_a_token_from_the_third_time_on(new_server, keys, mint):
    server = own_server(new_server, keys)
    with EveryChild(server) as everyone:
        token, pids = mint(), set(everyone.children)
        for _ in range(10):
            assert everyone.verdicts(token) == {"accepted"}
    server.next_generation()
    rows = found_by_children(server)
    assert len([row for row in rows if row[:3] == (8, 1, 1) and row[3] < 16384]) == len(pids), rows
    server.stop()


def test_where_nothing_is_to_be_remembered_nothing_is(new_server, keys, mint):
    server = own_server(new_server, keys, "TokRevokeVerifiedCache off\n")
    with EveryChild(server) as everyone:
        token = mint()
        for _ in range(5):
            assert everyone.verdicts(token) == {"accepted"}
        server.revoke(token)
        assert everyone.verdicts(token) == {"revoked"}
    server.next_generation()
    assert not found_by_children(server)
    server.stop()


# ---- times ----

def test_expiry_is_exact_on_a_token_that_every_child_knows(site, children, mint):
    """JWT-02"""
    expires = int(time.time()) + 3
    token = mint(iss=STRICT, exp=expires)
    warm(children, token)
    seen = set()
    while time.time() < expires + 0.3:
        for c in children.at.values():
            before = time.time()
            r = get(c, PAGE, token)
            after = time.time()
            assert (r.status, r.reason) in ((200, None), (401, "expired")), r
            assert before < expires if r.status == 200 else after >= expires, (before, after, expires, r)
            seen.add(r.reason)
            if r["Connection"] == "close":
                break
    assert seen == {None, "expired"}


# ---- revocation ----

def revoke_kind(site, kind, value):
    r = site.get("/admin/revocations", JSON, basic(b"boss"), method="POST",
                 body=json.dumps({"kind": kind, "iss": ISS, **({"value": value} if value is not None else {})}))
    assert r.status == 201, r


KINDS = {"jti": ("token", "jti"), "sid": ("session", "sid"), "sub": ("subject", "sub"), "client_id": ("client", "client_id"),
         "azp": ("client", "azp")}


@pytest.mark.parametrize("claim", KINDS)
def test_what_ends_a_token_ends_it_with_the_next_request_of_every_child(site, children, mint, claim):
    for _ in range(3):
        n = next(serial)
        names = {name: f"{name}-{n}" for name in KINDS}
        token, other = mint(**names), mint(**{**names, claim: f"other-{n}", **({} if claim == "jti" else {"jti": f"j-{n}"})})
        warm(children, token, other)
        kind, name = KINDS[claim]
        revoke_kind(site, kind, names[name])
        assert children.verdicts(token) == {"revoked"}
        assert children.verdicts(other) == {"accepted"}
        assert children.verdicts(token) == {"revoked"}


def test_a_token_without_jti_and_one_that_shows_itself_at_the_endpoint_end_everywhere(site, children, mint):
    tokens = [without_jti(mint), mint(), mint("RS256"), mint("HS256")]
    warm(children, *tokens)
    for token in tokens:
        assert site.revoke(token).status == 200
        assert children.verdicts(token) == {"revoked"}


def test_an_issuer_ends_for_all_that_was_known(new_server, keys, mint):
    """On a server of its own, whose issuer is over then."""
    server = own_server(new_server, keys)
    write_users(server, b"boss")
    admin = "\n    ".join(("SetHandler tokrevoke-admin", *BASIC))
    server.stop()
    server.start(text(f'<Location "/admin">\n    {admin}\n</Location>\n'))
    with EveryChild(server) as everyone:
        tokens = [mint(sub=f"s{i}") for i in range(4)]
        warm(everyone, *tokens)
        revoke_kind(server, "issuer", None)
        for token in tokens:
            assert everyone.verdicts(token) == {"revoked"}
        later = mint(iat=int(time.time()) + 2)
        warm(everyone, later)
    server.stop()


def introspect(site, token):
    return site.get("/introspect", "Content-Type: application/x-www-form-urlencoded", basic(b"boss"), method="POST",
                    body="token=" + token).json()


def test_introspection_and_the_page_agree_on_a_token_that_is_known(site, children, mint):
    token = mint(scope="read write")
    warm(children, token)
    for _ in range(6):
        found = introspect(site, token)
        assert (found["active"], found["scope"], found["sub"]) == (True, "read write", "alice")
    site.revoke(token)
    for _ in range(6):
        assert introspect(site, token) == {"active": False}


# ---- places ----

def test_two_hosts_judge_one_token_by_their_own_rules(site, children, mint):
    tokens = {"plain": mint(), "here": mint(aud=["here", "there"]), "nameless": without_jti(mint)}
    right = {"plain": {"plain.test"}, "here": {"plain.test", "audience.test"}, "nameless": {"plain.test"}}
    right["plain"] = right["plain"] | {"jti.test"}
    right["here"] = right["here"] | {"jti.test"}
    for _ in range(6):
        for c in children.at.values():
            for name, token in tokens.items():
                for where in ("plain.test", "audience.test", "keys.test", "jti.test"):
                    r = get(c, PAGE, token, host=where)
                    assert (r.status == 200) == (where in right[name]), (name, where, r, r.reason)


def test_two_locations_take_two_users_from_one_token(site, children, mint):
    both, nobody = mint(email="alice@example.test"), mint()
    for _ in range(6):
        for c in children.at.values():
            assert get(c, PAGE, both).user == "alice"
            assert get(c, "/p/mail/ok.txt", both).user == "alice@example.test"
            assert get(c, PAGE, nobody).user == "alice"
            assert get(c, "/p/mail/ok.txt", nobody).reason == "malformed"


def test_what_another_module_does_to_what_it_is_told_ends_with_the_request(new_server, keys, mint, tmp_path):
    module = tmp_path / "meddling.so"
    subprocess.run(["cc", "-shared", "-fPIC", *servers.apxs("EXTRA_CPPFLAGS").split(), "-I" + servers.apxs("INCLUDEDIR"),
                    "-I" + servers.apxs("APR_INCLUDEDIR"), "-o", module, servers.REPO / "tests" / "e2e" / "meddling.c"], check=True)
    server = new_server(children=1)
    write_keys(server, keys)
    server.write("meddling.so", module.read_bytes())
    server.start('LoadModule meddling_module "{root}/meddling.so"\n' + text(
        protected("env", "TokRevokeClaimHeader X-Role role", 'Header always set X-Told "expr=%{reqenv:TOKEN_CLAIM_role} %{req:X-Role}"')))
    token = mint(role="admin")
    assert [server.bearer(PAGE, token).user for _ in range(12)] == ["blice"] * 12
    assert [server.bearer("/p/env/ok.txt", token)["X-Told"] for _ in range(12)] == ["bdmin bdmin"] * 12
    server.stop()


def test_exports_and_requirements_are_those_of_the_token_at_hand(site, children, mint):
    tokens = [mint(role="admin", scope="read"), mint(role="guest", scope="read write"), mint(scope="write"), mint(role=["admin"])]
    site.expect_log("AH01631: user alice: authorization failure")
    told = ["admin", "guest", None, '["admin"]']
    for turn in range(6):
        for c in children.at.values():
            for token, role in zip(tokens, told):
                env, field = get(c, "/p/env/ok.txt", token), get(c, "/p/field/ok.txt", token)
                assert (env.status, env["X-Told"]) == (200, role), (turn, env)
                assert (field.status, field["X-Told"] or None) == (200, role), (turn, field)
            assert [get(c, "/p/admins/ok.txt", t).status for t in tokens] == [200, 403, 403, 200]
            assert [get(c, "/p/writers/ok.txt", t).status for t in tokens] == [403, 200, 200, 403]


def test_a_claim_that_cannot_be_a_field_is_refused_each_time_where_it_would_be_one(site, children, mint):
    evil = mint(role="a\r\nX-Evil: 1")
    for _ in range(6):
        for c in children.at.values():
            assert get(c, PAGE, evil).status == 200
            assert get(c, "/p/field/ok.txt", evil).reason == "malformed"


def test_no_neighbour_of_a_known_token_passes(site, children, mint):
    """One character changed, anywhere."""
    token = mint("HS256")
    warm(children, token)
    (c, *_) = children.at.values()
    for i, old in enumerate(token):
        new = chr(ord(old) ^ 1)
        if not new.isalnum() and new not in "-_.":
            new = "A" if old != "A" else "B"
        r = get(c, PAGE, token[:i] + new + token[i + 1:])
        assert r.status == 401, (i, old, new)
    assert get(c, PAGE, token).status == 200
    assert get(c, PAGE, token[:-1]).status == 401 and get(c, PAGE, token + "A").status in (400, 401)


# ---- what is held ----

@pytest.mark.skipif(H2, reason="reads an answer of HTTP/1.1 as it comes")
def test_a_stream_keeps_its_token_while_thousands_of_others_come(new_server, keys, mint):
    site = Site(new_server(children=1), keys)
    with contextlib.closing(site):
        token, steady = mint(sub="streamer", jti="streamed"), mint(sub="bob")
        for _ in range(4):
            assert site.bearer(PAGE, token).status == 200
        with site.open("/p/proxied/events", token) as c, site.open("/p/proxied/events", steady) as other:
            with site.connect() as flood:
                for _ in range(900):
                    one = mint("HS256", sub="crowd")
                    for _ in range(2):
                        assert get(flood, PAGE, one).status == 200
            site.revoke_kind("subject", "streamer")
            until(lambda: is_cut(c), 5, "it goes on")
            assert not is_cut(other)
        until(site.said)
        assert [(row[2], row[3]) for row in site.said()] == [("streamer", "revoked by subject")]


def is_cut(c):
    try:
        c.more()
    except (EOFError, ConnectionError):
        return True
    return False


def resident_kb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii")).group(1))


@pytest.mark.skipif(MPM != "event" or H2, reason="each child sweeps by itself, whatever it is")
def test_what_was_kept_under_other_keys_is_dropped_within_seconds(new_server, keys, mint):
    server = own_server(new_server, keys, children=1)
    with server.connect() as c:
        for one in [mint("HS256") for _ in range(60)]:
            for _ in range(3):
                assert get(c, PAGE, one).status == 200
    server.write("conf/all.jwks", (server.root / "conf" / "nokid.jwks").read_text(encoding="utf-8"))
    time.sleep(20)
    server.next_generation()
    (row,) = found_by_children(server)
    assert (row[0], row[1]) >= (60, 60) and row[2:] == (0, 0), row
    server.stop()


@pytest.mark.skipif(MPM == "prefork" or H2, reason="prefork: each child has one connection, others stay idle; HTTP/2: takes long")
def test_memory_is_flat_over_thousands_of_tokens(new_server, keys, mint):
    # One child, but there might be 256, so that it has the least share: 512 tokens in 1 MB.
    server = new_server(children=1)
    write_keys(server, keys)
    server.start(f"ServerLimit 256\nMaxRequestWorkers {256 * server.threads}\nLogLevel tokrevoke:debug\n" + text())
    (pid,) = server.pids()

    def crowd(count):
        with server.connect() as c:
            for _ in range(count):
                one = mint("HS256", sub="crowd", pad="x" * 400)
                for _ in range(3):
                    assert get(c, PAGE, one).status == 200

    crowd(2600)
    before = resident_kb(pid)
    crowd(2600)
    assert resident_kb(pid) - before < 2000 * SLOW
    server.next_generation()
    (row,) = found_by_children(server)
    assert row[0] >= 5100 and row[1] >= 5100 and row[2] <= 512 and row[3] <= 1 << 20, row
    server.stop()
