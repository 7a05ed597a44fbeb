"""Revocations that others store: another program, another httpd on the same file. In force in every child within one second."""

import os
import random
import signal
import threading
import time

import pytest

from database import Database, digest
from issuers import write_keys
from storing import (FORM, SLOW, EveryChild, are_accepted, are_revoked, claims_of, clock, followers, revoke_all, text, until,
                     verdicts, without_jti)
from test_lifecycle import KILLED

IN_FORCE = 1 * SLOW  # seconds


def revoke_outside(db, tokens):
    db.insert(*(("token", "https://idp.test/", claims_of(t)["jti"], claims_of(t)["exp"] + 61) for t in tokens))


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    write_keys(server, keys)
    return server.start(text())


@pytest.fixture(scope="module")
def db(site):
    return Database(site)


@pytest.fixture
def own_site(new_server, keys):
    """One that may be hurt."""
    server = new_server()
    write_keys(server, keys)
    yield server
    server.stop()


# ---- another program ----

def test_what_another_program_stores_is_in_force_in_every_child_within_a_second(site, db, mint, record_property):
    times = []
    with EveryChild(site) as children:
        for i in range(20):
            token = without_jti(mint) if i % 2 else mint()
            assert children.verdicts(token) == {"accepted"}
            db.insert_token(token, claims_of(token))
            times.append(children.until(token))
    record_property("in_force_ms", [round(1000 * t) for t in sorted(times)])
    assert max(times) < IN_FORCE, times
    assert db.is_whole()


def test_many_rows_in_one_transaction_are_in_force_within_a_second(site, db, mint):
    """More than are read at once."""
    tokens = [mint() for _ in range(20)]
    others = [("token", "https://idp.test/", f"nobody-{i}", int(time.time()) + 600) for i in range(3500)]
    db.insert(*others[:1000])
    revoke_outside(db, tokens[:10])
    db.insert(*others[1000:])
    revoke_outside(db, tokens[10:])
    assert until(lambda: verdicts(site, tokens) == ["revoked"] * 20)[1] < IN_FORCE
    assert db.is_whole()


def test_rows_that_concern_nobody_or_have_expired_do_no_harm(site, db, mint):
    """Also kinds that this version stores no row of, but knows."""
    good = mint()
    jti = claims_of(good)["jti"]
    now = int(time.time())
    db.insert(("token", "https://other.test/", jti, now + 600), ("token", "", jti, now + 600),
              ("digest", "https://idp.test/", digest(mint()), now + 600), ("session", "https://idp.test/", jti, now + 600),
              ("token", "https://idp.test/", "", now + 600),
              ("token", "https://idp.test/", "expired-long-ago", 1000), ("token", "https://idp.test/", "for-ever", None),
              ("token", "https://idp.test/", "x" * 100000, now + 600), ("token", "https://idp.test/", "ü€😀", now + 600))
    late = mint()
    revoke_outside(db, [late])
    until(lambda: verdicts(site, [late]) == ["revoked"])
    are_accepted(site, [good])
    until(lambda: not db.rows("value = 'expired-long-ago'"))
    assert len(db.rows("value = 'for-ever' OR length(value) > 50000 OR value = 'ü€😀'")) == 3
    site.stop()
    site.again()
    are_revoked(site, [late])
    are_accepted(site, [good])


def test_httpd_goes_on_numbering_where_another_program_ended(site, db, mint):
    for _ in range(5):
        revoke_outside(db, [mint()])
        before = db.state()
        mine = mint()
        revoke_all(site, [mine])
        assert db.row(claims_of(mine)["jti"])["seq"] == before["last_seq"] + 1
    assert db.is_whole()


def test_httpd_and_another_program_write_at_the_same_time_and_nothing_is_lost(site, db, mint):
    mine = [mint() for _ in range(60)]
    theirs = [mint() for _ in range(60)]
    before = db.state()["row_count"]
    program = threading.Thread(target=lambda: [revoke_outside(db, [t]) for t in theirs])
    program.start()
    revoke_all(site, mine)
    program.join()
    are_revoked(site, mine)
    until(lambda: set(verdicts(site, theirs)) == {"revoked"})
    assert db.state()["row_count"] == before + 120 and db.is_whole()


@pytest.mark.parametrize("again", ["graceful", "restart", "next_generation"])
def test_what_another_program_stores_during_a_restart_is_in_force_within_a_second_of_it(site, db, mint, again):
    before, after = mint(), mint()
    leaving = site.pids()
    revoke_outside(db, [before])
    getattr(site, again)()
    revoke_outside(db, [after])
    with EveryChild(site, leaving) as children:
        assert children.until(before) < IN_FORCE
        assert children.until(after) < IN_FORCE


@pytest.mark.parametrize("round_", range(3))
def test_when_the_following_child_is_killed_another_takes_over_within_two_seconds(own_site, mint, record_property, round_):
    own_site.start(text())
    own_site.expect_log(KILLED, always=True)
    db = Database(own_site)
    (follower,), _ = until(lambda: followers(own_site, db))
    with EveryChild(own_site, leaving=[follower]) as children:
        time.sleep(random.uniform(0, 0.2))  # any moment of its round
        os.kill(follower, signal.SIGKILL)
        token = mint()
        revoke_outside(db, [token])
        began = clock()
        until(lambda: follower not in own_site.pids())
        children.until(token)
        took = clock() - began
    record_property("after_kill_ms", round(1000 * took))
    assert took < 2 * SLOW
    assert follower not in followers(own_site, db)
    assert "TR023" not in own_site.error_log()


def test_when_all_children_are_killed_the_new_ones_follow(own_site, mint):
    own_site.start(text())
    own_site.expect_log(KILLED, always=True)
    db = Database(own_site)
    until(lambda: followers(own_site, db))
    killed = own_site.pids()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    token = mint()
    revoke_outside(db, [token])
    until(lambda: not set(killed) & set(own_site.pids()) and own_site.pids(), 20)

    def refused():
        try:
            return verdicts(own_site, [token]) == ["revoked"]
        except (OSError, EOFError):
            return False

    until(refused, 5)


def test_one_child_follows_for_all(own_site):
    own_site.start(text())
    db = Database(own_site)
    until(lambda: followers(own_site, db))
    time.sleep(1)  # five rounds
    assert len(followers(own_site, db)) == 1


# ---- another httpd ----

@pytest.fixture(scope="module")
def pair(new_server, keys):
    """Two that share a database file, as two httpds of one machine may."""
    first, second = new_server(), new_server()
    for server in (first, second):
        write_keys(server, keys)
    first.start(text())
    second.database = f"sqlite3:{first.root}/state/tokrevoke.db"
    second.start(text())
    return first, second


def test_two_httpds_on_one_file_hear_of_each_others_revocations_within_a_second(pair, mint, record_property):
    """R7009-18"""
    db = Database(pair[0])
    times = []
    with EveryChild(pair[0]) as first, EveryChild(pair[1]) as second:
        for i in range(20):
            (here, there) = (first, second) if i % 2 else (second, first)
            token = without_jti(mint) if i % 3 else mint()
            assert here.verdicts(token) == there.verdicts(token) == {"accepted"}
            revoke_all(here.server, [token])
            began = clock()
            assert here.verdicts(token) == {"revoked"}
            there.until(token)
            times.append(clock() - began)
    record_property("in_force_ms", [round(1000 * t) for t in sorted(times)])
    assert max(times) < IN_FORCE, times
    assert db.is_whole()


def test_two_httpds_that_write_at_the_same_time_lose_nothing(pair, mint):
    db = Database(pair[0])
    tokens = {server: [mint() for _ in range(80)] for server in pair}
    before = db.state()["row_count"]
    failures = []

    def work(server, mine):
        with server.connect() as c:
            for token in mine:
                if (r := c.request("POST", "/revoke", FORM, body="token=" + token)).status != 200:
                    failures.append(r)
                    return

    threads = [threading.Thread(target=work, args=(server, tokens[server][i::4])) for server in pair for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures
    for server in pair:
        until(lambda server=server: set(verdicts(server, tokens[pair[0]] + tokens[pair[1]])) == {"revoked"})
    assert db.state()["row_count"] == before + 160 and db.is_whole()


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_an_httpd_hears_what_the_other_stored_while_it_was_away(pair, mint, way):
    first, second = pair
    early, good = mint(), mint()
    revoke_all(second, [early])
    getattr(second, way)()
    token = mint()
    revoke_all(first, [token])
    second.again()
    are_revoked(second, [early, token])
    are_accepted(second, [good])


def test_the_first_httpd_may_stop_and_start_while_the_other_goes_on(pair, mint):
    first, second = pair
    for _ in range(3):
        first.stop()
        token = mint()
        revoke_all(second, [token])
        first.again()
        are_revoked(first, [token])
        later = mint()
        revoke_all(first, [later])
        until(lambda later=later: verdicts(second, [later]) == ["revoked"], 2)
    assert Database(first).is_whole()
