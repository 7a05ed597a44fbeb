"""When the database cannot be read or written for a while: nobody is let in on stale knowledge, and it heals by itself."""

import re
import shutil
import signal
import sqlite3
import threading
import time

import pytest

from database import KINDS, Database, checksum, digest, signed
from issuers import write_keys
from storing import (FORM, PAGE, ROOT, SLOW, EveryChild, are_accepted, are_revoked, ask, claims_of, clock, revoke_all, stopped,
                     text, until, verdicts, without_jti)


@pytest.fixture
def site(new_server, keys):
    server = new_server()
    write_keys(server, keys)
    yield server
    server.stop()


def file_pair(suffix):
    """How to take a file away, and put it back."""
    return (lambda db: db.file(suffix).rename(db.file(suffix + ".aside")),
            lambda db: db.file(suffix + ".aside").rename(db.file(suffix)))


def folder_aside(db):
    return db.path.parent.with_name("aside")


HIDE = {"the file": file_pair(""), "the write-ahead log": file_pair("-wal"),
        "the folder": (lambda db: db.path.parent.rename(folder_aside(db)), lambda db: folder_aside(db).rename(db.path.parent))}


@pytest.mark.parametrize("what", HIDE)
def test_without_its_database_httpd_says_so_once_then_lets_nobody_in_and_heals_by_itself(site, mint, record_property, what):
    site.start(text("TokRevokeMaxStaleness 2s\n"))
    db = Database(site)
    revoked, good = [mint() for _ in range(5)], mint()
    revoke_all(site, revoked)
    hide, show = HIDE[what]
    site.expect_log("TR023: ")
    with EveryChild(site) as children:
        assert children.verdicts(good) == {"accepted"}
        known = time.monotonic()
        revoked.append(mint())
        db.insert_token(revoked[-1], claims_of(revoked[-1]))
        children.until(revoked[-1])  # so it was read since then
        hide(db)
        began = clock()
        site.wait_log(r"\[tokrevoke:error\].* TR023: for \d")
        record_property("said_after_s", round(clock() - began, 2))
        assert clock() - began < 4 * SLOW
        found = children.verdicts(good)
        assert found == {"accepted"} or time.monotonic() - known > 2
        children.until(good, "unavailable", 4)
        record_property("closed_after_s", round(clock() - began, 2))
        assert time.monotonic() - known > 2 and clock() - began < 5 * SLOW
        for token in revoked:
            assert children.verdicts(token) == {"revoked"}
        r = site.bearer(PAGE, good)
        assert r.status == 503 and int(r["Retry-After"]) > 0
        assert r["WWW-Authenticate"] is None and r["Cache-Control"] == "no-store"
        with site.connect() as c:
            assert c.request("GET", PAGE).status == 401
            assert c.request("GET", PAGE, "Authorization: Bearer " + mint(exp=1000)).reason == "expired"
            assert c.request("GET", "/index.html").status == 200
        time.sleep(1)  # it is not said again
        assert len(re.findall("TR023: ", site.error_log())) == 1
        show(db)
        took = children.until(good, "accepted", 5)
        record_property("healed_after_s", round(took, 2))
        assert took < 4 * SLOW
        site.wait_log(r"\[tokrevoke:notice\].*the store of revocations can be read again")
        for token in revoked:
            assert children.verdicts(token) == {"revoked"}
        late = mint()
        db.insert_token(late, claims_of(late))
        assert children.until(late) < SLOW
    assert good not in site.error_log()
    site.stop()
    site.again()
    are_revoked(site, revoked + [late])
    are_accepted(site, [good])


@pytest.mark.parametrize("round_", range(2))
def test_a_revocation_that_could_not_be_stored_is_in_force_and_stored_when_the_database_is_back(site, mint, round_):
    site.start(text())
    db = Database(site)
    first, second, third = mint(), without_jti(mint), mint()
    if round_:
        revoke_all(site, [first])  # one child's connection is open before
    site.expect_log("TR025: |TR023: ")
    HIDE["the file"][0](db)
    for token, path, status in ((second, "/revoke", 503), (third, "/strict", 500), (second, "/revoke", 503)):
        r = site.get(path, FORM, method="POST", body="token=" + token)
        assert r.status == status and int(r["Retry-After"]) > 0, r
    are_revoked(site, [second, third])
    site.wait_log(r"\[tokrevoke:error\].* TR025: token [0-9a-f]+ is refused from now on")
    HIDE["the file"][1](db)
    until(lambda: db.rows("value = ?", digest(second)) and db.rows("value = ?", claims_of(third)["jti"]))
    site.wait_log(r"\[tokrevoke:notice\].* revocations? that could not be stored before (is|are) stored now")
    assert db.is_whole()
    revoke_all(site, [second, third])
    site.kill()
    site.again()
    are_revoked(site, [second, third])


def put_in_place(db, other, aside):
    """The other's files for ours. Never is there a database with another's log: SQLite would take that for its own."""
    suffixes = ("", "-shm", "-wal")
    for suffix in suffixes:
        if db.file(suffix).exists():
            db.file(suffix).rename(db.file(suffix + aside))
    for suffix in reversed(suffixes):
        if other(suffix).exists():
            other(suffix).rename(db.file(suffix))


def test_a_database_that_was_replaced_by_another_is_not_believed(site, new_server, keys, mint):
    """Another one at the same path, as after an accident with a backup: not its content, and nothing is stored in it."""
    site.start(text("TokRevokeMaxStaleness 2s\n"))
    db = Database(site)
    token, good = mint(), mint()
    revoke_all(site, [token])
    other = new_server(children=2)
    write_keys(other, keys)
    other.start(text())
    theirs = mint()
    revoke_all(other, [theirs])
    other.stop()
    site.expect_log("TR023: |TR025: ")
    with stopped(site.members()):  # a child that looked between two of the moves would say, once and for all, that there is no file
        put_in_place(db, lambda suffix: Database(other).file(suffix), ".aside")
    late = mint()
    assert site.revoke(late).status == 503
    site.wait_log("TR023: .*(another database than|was removed or replaced)")
    until(lambda: verdicts_with_new_connections(site, [good]) == ["unavailable"])
    assert verdicts_with_new_connections(site, [token, late]) == ["revoked"] * 2
    assert [row["value"] for row in db.rows()] == [claims_of(theirs)["jti"]]
    with stopped(site.members()):
        put_in_place(db, lambda suffix: db.file(suffix + ".aside"), ".theirs")
    tokens, expected = [good, token, late, theirs], ["accepted", "revoked", "revoked", "accepted"]
    until(lambda: verdicts_with_new_connections(site, tokens) == expected)
    until(lambda: db.rows("value = ?", claims_of(late)["jti"]))


def verdicts_with_new_connections(server, tokens):
    """httpd closes a connection after each 503."""
    found = []
    for token in tokens:
        with server.connect() as c:
            found.append(ask(c, token))
    return found


def test_with_unlimited_staleness_a_missing_database_closes_nothing(site, mint):
    site.start(text("TokRevokeMaxStaleness unlimited\n"))
    db = Database(site)
    revoked, good = mint(), mint()
    revoke_all(site, [revoked])
    site.expect_log("TR023: ")
    HIDE["the file"][0](db)
    site.wait_log("TR023: ")
    time.sleep(2)  # longer than the shortest limit
    are_accepted(site, [good])
    are_revoked(site, [revoked])
    HIDE["the file"][1](db)
    site.wait_log("can be read again")


@pytest.mark.parametrize("seconds, status", [(1, 200), (12, 503)])
def test_another_writer_that_holds_the_lock_holds_up_revocations_and_nobody_else(site, mint, seconds, status):
    """Briefly: they wait. Longer than some seconds: 503, in force all the same, and stored when the lock is free."""
    site.start(text("TokRevokeMaxStaleness 2s\n"))
    db = Database(site)
    token, good = mint(), mint()
    site.expect_log("TR025: ")
    answers = []
    with db.connection("rw") as c:
        c.execute("BEGIN EXCLUSIVE")
        began, asked = time.monotonic(), clock()
        caller = threading.Thread(target=lambda: answers.append(site.revoke(token)))
        caller.start()
        until(lambda: verdicts(site, [token]) == ["revoked"])
        while time.monotonic() - began < seconds and caller.is_alive():
            are_accepted(site, [good])
            time.sleep(0.05)
        held = clock() - asked
        c.execute("ROLLBACK")
    caller.join(30)
    assert answers[0].status == status, answers
    assert status == 200 or held < 8 * SLOW, "the caller must hear within some seconds"
    until(lambda: db.rows("value = ?", claims_of(token)["jti"]))
    assert db.is_whole() and "TR023" not in site.error_log()
    site.expect_log("TR025: ")


def test_an_older_state_of_the_same_database_is_not_believed(site, mint):
    """A backup that is put in place while httpd runs."""
    site.start(text("TokRevokeMaxStaleness 2s\n"))
    db = Database(site)
    early, token, good = mint(), mint(), mint()
    revoke_all(site, [early])
    backup = site.root / "conf" / "backup.db"
    with db.connection() as source, sqlite3.connect(backup) as target:
        source.backup(target)
    target.close()
    revoke_all(site, [token])
    site.expect_log("TR023: |TR025: ", always=True)
    if ROOT:
        shutil.chown(backup, "www-data", "www-data")
    with stopped(site.members()):
        put_in_place(db, lambda suffix: backup.with_name(backup.name + suffix), ".aside")
    late = mint()
    assert site.revoke(late).status == 503
    until(lambda: verdicts_with_new_connections(site, [good]) == ["unavailable"])
    assert verdicts_with_new_connections(site, [early, token, late]) == ["revoked"] * 3
    assert [row["value"] for row in db.rows()] == [claims_of(early)["jti"]]
    with stopped(site.members()):
        put_in_place(db, lambda suffix: db.file(suffix + ".aside"), ".backup")
    until(lambda: verdicts_with_new_connections(site, [good, early, token, late]) == ["accepted"] + ["revoked"] * 3)
    until(lambda: db.rows("value = ?", claims_of(late)["jti"]))
    assert db.is_whole()


WRONG = {"a wrong checksum": ("token", "https://idp.test/", "x", 0, 1),
         "an unknown kind": ("user", "https://idp.test/", "x", 0, None),
         "a digest that is none": ("digest", "https://idp.test/", "x" * 64, 0, 0)}


@pytest.mark.parametrize("what", WRONG)
def test_a_row_that_cannot_be_right_is_not_passed_over(site, mint, what):
    """It might be the one that matters: nobody is let in until it is gone."""
    site.start(text("TokRevokeMaxStaleness 2s\n"))
    db = Database(site)
    kind, issuer, value, cut_off, error = WRONG[what]
    revoked, late, good = mint(), mint(), mint()
    revoke_all(site, [revoked])
    site.expect_log("TR023: |TR025: ", always=True)
    with db.connection("rw") as c:
        c.execute("BEGIN IMMEDIATE")
        seq = db.state()["last_seq"] + 1
        own = checksum(seq, kind, issuer, value, cut_off, None) + error if kind in KINDS else 0
        c.execute(f"INSERT INTO tokrevoke_revocations VALUES ({seq}, ?, ?, ?, ?, NULL, 0, '', '', '', ?)",
                  (kind, issuer, value, cut_off, own))
        before = db.state()
        c.execute("UPDATE tokrevoke_state SET last_seq = ?, row_count = row_count + 1, row_sum = ?",
                  (seq, signed(before["row_sum"] + own)))
        c.execute("COMMIT")
        site.wait_log(rf"TR023: .*damaged.* behind number {seq - 1}")
        until(lambda: verdicts_with_new_connections(site, [good]) == ["unavailable"])
        assert verdicts_with_new_connections(site, [revoked]) == ["revoked"]
        c.execute("BEGIN IMMEDIATE")
        c.execute(f"DELETE FROM tokrevoke_revocations WHERE seq = {seq}")
        c.execute("UPDATE tokrevoke_state SET row_count = row_count - 1, row_sum = ?", (before["row_sum"],))
        c.execute("COMMIT")
    until(lambda: verdicts_with_new_connections(site, [good]) == ["accepted"])
    db.insert_token(late, claims_of(late))
    until(lambda: verdicts(site, [late]) == ["revoked"], 2)
    assert db.is_whole()


def test_more_than_the_table_holds_from_another_program_lets_nobody_in_until_the_capacity_is_raised(site, mint):
    """What did not fit might be this token's revocation."""
    site.start(text("TokRevokeMaxStaleness 2s\n", capacity=10))
    db = Database(site)
    revoked, last, good = mint(), mint(), mint()
    revoke_all(site, [revoked])
    site.expect_log("TR023: |TR002: |TR016: ", always=True)
    end = int(time.time()) + 3600
    db.insert(*(("token", "https://idp.test/", f"one-of-many-{i}", end) for i in range(3000)))
    db.insert_token(last, claims_of(last))
    site.wait_log("TR023: .*TokRevokeCapacity")
    until(lambda: verdicts_with_new_connections(site, [good]) == ["unavailable"])
    assert verdicts_with_new_connections(site, [revoked]) == ["revoked"]
    site.reconfigure(text("TokRevokeMaxStaleness 2s\n", capacity=5000))
    site.next_generation()
    are_revoked(site, [revoked, last])
    are_accepted(site, [good])
    assert db.is_whole()


@pytest.mark.parametrize("what", ["the file", "the folder"])
def test_a_graceful_restart_that_needs_a_missing_database_ends_httpd_and_says_why(site, mint, what):
    """Rather no server than one that has forgotten. The same configuration needs no reading."""
    site.start(text())
    db = Database(site)
    token, good = mint(), mint()
    revoke_all(site, [token])
    hide, show = HIDE[what]
    hide(db)
    site.expect_log("TR019: |TR021: |TR023: |AH00020", always=True)
    site.next_generation()
    assert verdicts_with_new_connections(site, [token, good]) == ["revoked", "accepted"]
    site.reconfigure(text(capacity=30000))
    site.process.send_signal(signal.SIGUSR1)
    site.process.wait(20)
    site.wait_log(rf"\[tokrevoke:crit\].* TR\d+: .*{db.path.parent}")
    site.kill()
    if what == "the folder" and db.path.parent.exists():
        shutil.rmtree(db.path.parent)
    show(db)
    site.again()
    are_revoked(site, [token])
    are_accepted(site, [good])
