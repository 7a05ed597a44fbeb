"""Another program that has the database open, such as a backup or somebody's sqlite3: httpd waits, says so, and goes on."""

import contextlib
import sqlite3

import pytest

import audit
from crashing import ACCEPTED, FAILED, REVOKED, SLOW, ask, callers, check, clock, is_503, revoke_all, until


@contextlib.contextmanager
def held(site, statement):
    """The database in a transaction of somebody else's."""
    db = sqlite3.connect(site.state / "tokrevoke.db", isolation_level=None)
    try:
        db.execute(statement)
        if statement == "BEGIN":
            db.execute("SELECT count(*) FROM tokrevoke_revocations").fetchone()
        yield
    finally:
        db.close()


@pytest.fixture
def site(new_site):
    site = new_site(children=2)
    site.more = "TokRevokeMaxStaleness 2s\n"
    site.expect_log(FAILED.pattern, always=True)
    return site.up()


def test_a_database_locked_by_another_program_stops_revoking_and_not_checking(site, mint):
    """503 within seconds; reading is possible all the time, so pages are answered, longer than TokRevokeMaxStaleness."""
    good = [mint() for _ in range(3)]
    kept = revoke_all(site, [mint() for _ in range(3)])
    one, other = callers(site)
    waiting = [mint(), mint()]
    with held(site, "BEGIN IMMEDIATE"):
        for caller, token in zip((one, other), waiting):
            began = clock()
            assert is_503(caller.revoke(token))
            assert clock() - began < 10 * SLOW
            for each in (one, other):
                each.check([*kept, token], good)
    for caller in (one, other):
        token = mint()
        until(lambda c=caller, t=token: c.revoke(t).status == 200, 2, lambda: "revoking does not come back:\n" + site.tail())
        kept.append(token)
    names = {t.value for t in waiting}
    until(lambda: names <= audit.values(site.state / "tokrevoke.db"), 3, "what waited is not stored", every=0.05)
    site.again()
    check(site, kept + waiting, good)


def test_what_another_program_writes_is_in_force_within_a_second(site, mint):
    """In every child, and after the next start; rows by another hand and by httpd's follow each other."""
    kept, homes = [], callers(site)
    for _ in range(5):
        kept += revoke_all(site, [mint()])
        token = mint()
        assert ask(site, [token]) == [ACCEPTED]
        audit.revoke(site.state / "tokrevoke.db", token.issuer, token.value, token.expires)
        for caller in homes:
            until(lambda c=caller, t=token: ask(site, [t], c.connection()) == [REVOKED], 1, "not in force after a second")
        kept.append(token)
    site.again()
    check(site, kept, [mint()])
    site.kill_all()
    assert audit.complaints(site.state / "tokrevoke.db") == []


def test_a_backup_under_way_disturbs_nothing(site, mint):
    """Somebody who reads for long, and a copy made by SQLite itself: it holds all that was acknowledged before."""
    kept = revoke_all(site, [mint() for _ in range(50)])
    with held(site, "BEGIN"):
        kept += revoke_all(site, [mint() for _ in range(50)])
        source = sqlite3.connect(f"file:{site.state / 'tokrevoke.db'}?mode=ro", uri=True)
        copy = sqlite3.connect(site.root / "backup.db")
        source.backup(copy)
        source.close()
        copy.close()
    assert {t.value for t in kept} <= audit.values(site.root / "backup.db")
    assert audit.complaints(site.root / "backup.db") == []
    check(site, kept, [mint()])
    site.again()
    check(site, kept, [mint()])
