"""
Entries of every kind, through everything that a server and its database go through: what was acknowledged is in force, and what
is only remembered is remembered.
"""

import hashlib
import itertools
import json
import os
import signal
import time

import pytest

from database import KINDS, Database, digest
from httpd import endpoint
from issuers import issuer, jwks, write_keys
from storing import (BASIC, FORM, JSON, PAGE, EveryChild, ask, are_accepted, are_revoked, basic, claims_of, text, until, verdicts,
                     without_jti, write_users)

ISS, TWO = "https://idp.test/", "https://two.test/"
serial = itertools.count()
BOSS = basic(b"boss")
MORE = (f'<Location "/tr">\n    SetHandler tokrevoke-admin\n    {chr(10).join(BASIC)}\n</Location>\n'
        + endpoint("/opaque/revoke", "TokRevokeOpaque 10d", *BASIC) + issuer(TWO, jwks("all"))
        + '<Location "/token">\n    TokRevokeGuardTokenEndpoint On\n    TokRevokeOpaque 10d\n</Location>\n')


def start(server, keys):
    write_keys(server, keys)
    write_users(server, b"boss")
    return server.start(text(MORE))


@pytest.fixture
def site(new_server, keys):
    server = new_server()
    yield start(server, keys)
    server.stop()


def family_name(token):
    """What a token is called among the members of families, as docs/DATABASE.md says."""
    claims = claims_of(token)
    return hashlib.sha256(f"token:{len(claims['iss'])}:{claims['iss']}{claims['jti']}".encode()).hexdigest()


def number_of(token):
    """Of the family that a token begins."""
    return int(family_name(token)[:16], 16) >> 1


class Everything:
    """One entry of each kind, and who tells whether it counts: tokens it ends, and tokens that look alike and go on."""

    def __init__(self, mint):
        self.mint = mint
        n = f"{next(serial)}-{time.time()}"
        names = {"session": "sid", "subject": "sub", "client": "client_id"}
        self.items = [{"kind": kind, "iss": ISS, "value": f"{kind}-{n}"} for kind in names]
        self.items += [{"kind": "token", "iss": ISS, "value": f"jti-{n}"}, {"kind": "issuer", "iss": TWO}]
        self.single = [mint(), without_jti(mint)]
        self.opaque = f"opaque-refresh-token-{n}"
        self.first, self.member, stranger = mint(), mint(), mint()
        self.ended = [*self.single, *(mint(**{claim: f"{kind}-{n}"}) for kind, claim in names.items()), mint(jti=f"jti-{n}"),
                      mint(iss=TWO), self.first, self.member]
        self.good = [mint(**{claim: f"{kind}-{n}x"}) for kind, claim in names.items()] + [stranger, mint(jti=f"jti-{n}x")]
        self.logout = f"logout-{n}"

    def requests(self):
        for token in self.single:
            yield "/revoke", FORM, "token=" + token
        yield "/opaque/revoke", FORM, "token=" + self.opaque
        yield "/tr/revocations", JSON, json.dumps(self.items)

    def ask_for(self, server, status=(200, 201)):
        """What is asked for over HTTP."""
        for path, kind, body in self.requests():
            r = server.get(path, kind, BOSS, method="POST", body=body)
            assert r.status in status, (path, r, r.text)

    def store_outside(self, server):
        """What a token endpoint and a provider cause, as another program: a family with a second member, a logout token."""
        number, end = number_of(self.first), int(time.time()) + 3600
        Database(server).insert(("family", "", f"{number:016x}", None), ("member", "", family_name(self.member), end, number),
                                ("logout", ISS, self.logout, end))

    def revoke(self, server):
        self.ask_for(server)
        self.store_outside(server)
        self.wait(server)

    def wait(self, server, seconds=5):
        until(lambda: set(verdicts(server, self.ended)) == {"revoked"}, seconds, lambda: str(verdicts(server, self.ended)))

    def check(self, server):
        """In force, in the table, and known to be stored: revoking it again writes nothing."""
        are_revoked(server, self.ended)
        are_accepted(server, [*self.good, self.mint(iss=TWO, iat=int(time.time()) + 3)])
        assert is_guarded(server, self.opaque) and not is_guarded(server, self.opaque + "x")
        assert counts(server) == {kind: 1 + (kind == "token") for kind in KINDS}


def counts(server):
    return server.get("/tr/status", BOSS).json()["table"]["by_kind"]


def is_guarded(server, refresh_token):
    """Is this refresh token turned away? One that is let through meets no token endpoint, and no file."""
    r = server.get("/token", FORM, method="POST", body="grant_type=refresh_token&refresh_token=" + refresh_token)
    assert r.status in (400, 404, 405), r
    return r.status == 400 and r.json()["error"] == "invalid_grant"


def kill(server):
    server.kill()
    server.again()


def stop(server):
    server.stop()
    server.again()


def graceful_with_a_new_table(server):
    server.reconfigure(text(MORE, capacity=30000))
    server.next_generation()


def graceful(server):
    server.next_generation()


def restart(server):
    server.restart()


def twice(server):
    graceful_with_a_new_table(server)
    kill(server)


@pytest.mark.parametrize("through", [kill, stop, graceful, graceful_with_a_new_table, restart, twice], ids=lambda f: f.__name__)
def test_entries_of_every_kind_survive(site, mint, through):
    every = Everything(mint)
    every.revoke(site)
    every.check(site)
    before = Database(site).state()
    through(site)
    every.check(site)
    assert Database(site).state() == before and Database(site).is_whole()
    for token in every.single:
        assert site.get("/revoke", FORM, method="POST", body="token=" + token).status == 200
    if through in (kill, stop, twice):
        assert Database(site).state() == before, "what a start has read is known to be stored"


def test_entries_of_every_kind_survive_the_death_of_every_child(site, mint):
    every = Everything(mint)
    site.expect_log(r"exit signal Killed \(9\)|children are killed successively")
    every.revoke(site)
    killed = site.pids()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not set(killed) & set(site.pids()) and site.pids(), 20)
    until(lambda: answers(site), 20)
    every.check(site)


def answers(server):
    try:
        return server.get("/index.html").status == 200
    except (OSError, EOFError):
        return False


def test_another_httpd_hears_of_entries_of_every_kind_within_a_second_and_knows_them_when_it_starts(site, new_server, keys, mint):
    other = new_server()
    other.database = f"sqlite3:{site.root}/state/tokrevoke.db"
    start(other, keys)
    every = Everything(mint)
    with EveryChild(other) as children:
        every.revoke(site)
        for token in every.ended:
            children.until(token, seconds=1)
    until(lambda: counts(other) == counts(site), 2)
    every.check(other)
    kill(other)
    every.check(other)
    every.check(site)
    other.stop()


def test_entries_of_every_kind_that_could_not_be_stored_are_in_force_and_stored_when_the_database_is_back(site, mint):
    every, db = Everything(mint), Database(site)
    site.expect_log("TR025: |TR023: ", always=True)
    aside = db.path.with_name("aside")
    db.path.rename(aside)
    every.ask_for(site, status=(503,))
    by_http = [t for t in every.ended if t not in (every.first, every.member)]
    for token in by_http:
        with site.connect() as c:
            assert ask(c, token) == "revoked"
    aside.rename(db.path)
    until(lambda: len(db.rows()) == 8)
    every.store_outside(site)
    every.wait(site)
    kill(site)
    every.check(site)
    assert sorted(row["kind"] for row in db.rows()) == sorted([*KINDS, "token"])
    assert db.is_whole()


def test_what_another_program_stores_of_every_kind_is_in_force(site, mint):
    every = Everything(mint)
    digests = [hashlib.sha256(every.opaque.encode()).hexdigest(), digest(every.single[1])]
    now = int(time.time())
    rows = [(i["kind"], i["iss"], i.get("value", ""), now + 600, 0 if i["kind"] == "token" else now * 10**6) for i in every.items]
    Database(site).insert(*rows, ("token", ISS, claims_of(every.single[0])["jti"], now + 600), ("opaque", "", digests[0], None),
                          ("digest", ISS, digests[1], now + 600))
    every.store_outside(site)
    every.wait(site, 2)
    until(lambda: sum(counts(site).values()) == 11)
    every.check(site)
    kill(site)
    every.check(site)
    assert site.bearer(PAGE, every.good[0]).status == 200
