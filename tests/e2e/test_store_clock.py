"""
A clock that is wrong for a while: what was revoked does not come back to life, and is not deleted. libfaketime gives the server a
clock that the test sets; the steady clock goes on as ever.
"""

import os
import signal
import time
from pathlib import Path

import pytest

import httpd as servers
from database import Database
from httpd import endpoint
from issuers import write_keys
from storing import (BASIC, FORM, PAGE, are_accepted, are_revoked, claims_of, revoke_all, text, two_rounds, until, verdicts,
                     without_jti, basic, write_users)
from test_lifecycle import KILLED, Load

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
pytestmark = [pytest.mark.skipif(not FAKETIME, reason="needs libfaketime (Debian: apt install libfaketime)"),
              pytest.mark.skipif(bool(servers.SAN), reason="a sanitizer and libfaketime do not go together")]


def give_clock(server, **more):
    server.environment = {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1",
                          "FAKETIME_TIMESTAMP_FILE": str(server.root / "conf" / "clock")} | more
    set_clock(server, "+0")


def set_clock(server, offset):
    server.write("conf/clock", offset + "\n")


@pytest.fixture
def site(new_server, keys):
    server = new_server()
    write_keys(server, keys)
    give_clock(server)
    server.expect_log("AH00098", always=True)
    yield server
    server.stop()


def test_a_clock_that_is_years_ahead_for_a_while_revives_nothing_and_deletes_nothing(site, mint):
    site.start(text())
    db = Database(site)
    tokens = [without_jti(mint) if i % 2 else mint() for i in range(20)]
    good = mint()
    revoke_all(site, tokens)
    rows = db.rows()
    set_clock(site, "+10y")
    assert set(verdicts(site, tokens + [good])) == {"expired"}
    two_rounds(Database(site))
    assert db.rows() == rows
    set_clock(site, "+0")
    are_revoked(site, tokens)
    are_accepted(site, [good])
    two_rounds(Database(site))
    are_revoked(site, tokens)
    assert db.rows() == rows and db.is_whole()


def test_what_is_revoked_while_the_clock_is_ahead_is_revoked_when_it_is_right_again(site, mint):
    site.start(text())
    token = mint()
    set_clock(site, "+10y")
    assert verdicts(site, [token]) == ["expired"]
    assert site.get("/strict", FORM, method="POST", body="token=" + token).status == 200
    two_rounds(Database(site))
    set_clock(site, "+0")
    are_revoked(site, [token])
    site.kill()
    site.again()
    are_revoked(site, [token])


@pytest.mark.parametrize("what", ["children are killed", "a graceful restart", "a hard restart", "another capacity",
                                  "another database", "another program stores"])
def test_nothing_is_forgotten_when_during_a_wrong_time(site, mint, what):
    """What is read and taken over then must not be judged by that clock."""
    site.start(text())
    site.expect_log(KILLED, always=True)
    db = Database(site)
    tokens = [without_jti(mint) if i % 2 else mint() for i in range(20)]
    good, later = mint(), mint()
    revoke_all(site, tokens)
    set_clock(site, "+10y")
    assert verdicts(site, [good]) == ["expired"]
    if what == "children are killed":
        before = site.pids()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(lambda: site.pids() and not set(before) & set(site.pids()), 20)
    elif what == "a hard restart":
        site.restart()
    elif what == "another program stores":
        db.insert_token(later, claims_of(later))
        tokens.append(later)
    else:
        site.reconfigure(text({"another database": "TokRevokeDatabase sqlite3:{root}/other/x.db\n"}.get(what, ""),
                              capacity=30000 if what == "another capacity" else 20000))
        site.next_generation()
    two_rounds(Database(site, site.root / "other" / "x.db") if what == "another database" else db)
    set_clock(site, "+0")
    until(lambda: site.bearer(PAGE, good).status == 200)
    are_revoked(site, tokens)
    are_accepted(site, [good])


def test_a_clock_that_is_years_behind_for_a_while_revives_nothing(site, mint):
    site.start(text())
    db = Database(site)
    tokens = [without_jti(mint) if i % 2 else mint() for i in range(20)]
    good, late = mint(), mint()
    revoke_all(site, tokens)
    rows = db.rows()
    set_clock(site, "-10y")
    assert set(verdicts(site, tokens + [good])) == {"not_yet_valid"}
    revoke_all(site, [late])
    two_rounds(Database(site))
    assert len(db.rows()) == len(rows) + 1
    set_clock(site, "+0")
    are_revoked(site, tokens + [late])
    are_accepted(site, [good])
    site.kill()
    site.again()
    are_revoked(site, tokens + [late])


STEPS = {"an hour ahead": lambda: "+1h", "an hour behind": lambda: "-1h", "ten years ahead": lambda: "+10y",
         "a second that comes twice": lambda: "-1", "the end of 31 bits": lambda: f"+{2**31 - 1 - int(time.time())}"}


@pytest.mark.parametrize("step", STEPS)
def test_a_clock_that_steps_to_and_fro_under_load_costs_no_revocation_and_refuses_nobody(site, mint, step):
    """C1: with tokens that are good at each of these times. While somebody waits for a lock and the time comes back, some may hear 503."""
    site.expect_log("TR025: .*does not stop writing")
    site.start(text(rules=("TokRevokeClockSkew 60", "TokRevokeMaxLifetime unlimited")))
    now = int(time.time())

    def long_lived():
        return mint(iat=now - 7200, exp=now + 20 * 365 * 86400)

    good = [long_lived() for _ in range(3)]
    with Load(site, long_lived, threads=2) as load:
        for offset in (STEPS[step](), "+0") * 3:
            before = len(load.acknowledged)
            set_clock(site, offset)
            until(lambda n=before: len(load.acknowledged) > n + 10)
            are_accepted(site, good)
    assert {r.status for r in load.failures} <= {503}, load.failures[:3]
    two_rounds(Database(site))
    are_revoked(site, load.acknowledged)
    site.kill()
    site.again()
    are_revoked(site, load.acknowledged)
    are_accepted(site, good)
    assert Database(site).is_whole()


def test_a_start_with_a_clock_that_is_behind_forgets_nothing(site, mint):
    site.start(text())
    tokens = [mint() for _ in range(5)]
    revoke_all(site, tokens)
    site.kill()
    set_clock(site, "-10y")
    site.again()
    assert set(verdicts(site, tokens)) == {"not_yet_valid"}
    two_rounds(Database(site))
    set_clock(site, "+0")
    are_revoked(site, tokens)
    are_accepted(site, [mint()])


def test_the_retention_covers_a_clock_that_is_set_back(site, mint):
    """The token is over, its row is kept; an hour back, its time has come again."""
    site.start(text("TokRevokeRetain 2h\n", rules=("TokRevokeClockSkew 0",)))
    now = int(time.time())
    set_clock(site, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)))  # it stands still, so that this is in time
    token, other = (mint(exp=now + 2, iat=now - 7200) for _ in range(2))
    revoke_all(site, [token])
    assert len(Database(site).rows()) == 1
    set_clock(site, "+0")
    until(lambda: set(verdicts(site, [token, other])) == {"expired"})
    two_rounds(Database(site))
    set_clock(site, "-1h")
    are_revoked(site, [token])
    are_accepted(site, [other])


def test_cleaning_goes_on_when_the_clock_was_wrong_for_a_while(site, mint):
    site.start(text(rules=("TokRevokeClockSkew 0",)))
    db = Database(site)
    set_clock(site, "+10y")
    two_rounds(Database(site))
    set_clock(site, "+0")
    revoke_all(site, [mint(exp=int(time.time()) + 2) for _ in range(5)])
    until(lambda: db.state()["row_count"] == 0)
    assert db.is_whole()


def test_a_clock_that_was_set_right_since_the_start_cuts_off_by_the_right_time(site, mint):
    """As on a machine that has no clock of its own and asks the network for the time a while after httpd has begun."""
    set_clock(site, "-3h")
    site.start(text(endpoint("/cascade", "TokRevokeCascade subject")))
    set_clock(site, "+0")
    old, refresh = mint(sub="zoe", iat=int(time.time()) - 600), mint(sub="zoe", typ="Refresh")
    are_accepted(site, [old])
    assert site.revoke(refresh, path="/cascade").status == 200
    are_revoked(site, [old])
    are_accepted(site, [mint(sub="zoe", iat=int(time.time()) + 2)])


def test_an_opaque_token_is_kept_by_the_right_time_too(site, keys):
    set_clock(site, "-30d")
    write_users(site, b"carol")
    site.start(text(endpoint("/opaque", "TokRevokeOpaque 7d", *BASIC)))
    set_clock(site, "+0")
    began = int(time.time())
    assert site.get("/opaque", FORM, basic(b"carol"), method="POST", body="token=rt_1").status == 200
    (row,) = Database(site).rows("kind = 'opaque'")
    assert began + 7 * 86400 <= row["expires_at"] <= time.time() + 7 * 86400 + 1
