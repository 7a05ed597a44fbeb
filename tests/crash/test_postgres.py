"""Revocations in PostgreSQL: kept over kills, shared between servers, and what happens while the database is away."""

import random
import signal
import time

import pytest

import pgserver
from crashing import (ACCEPTED, BOSS, FAILED, KILLED, REVOKED, SLOW, Caller, Load, ask, callers, check, clock, is_503, is_done, no_503,
                      revoke_all, until, wrong)

pytestmark = pytest.mark.skipif(bool(pgserver.unavailable()), reason=pgserver.unavailable() or "-")

STALE = 3  # TokRevokeMaxStaleness of some tests, in seconds


@pytest.fixture(scope="module")
def cluster():
    made = pgserver.Postgres()
    yield made
    made.remove()


@pytest.fixture
def pg(cluster):
    """Running, and with an empty database."""
    if cluster.process is None:
        cluster.start()
    cluster.hold(signal.SIGCONT)
    cluster.sql("DROP OWNED BY httpd; GRANT ALL ON SCHEMA public TO httpd")
    return cluster


@pytest.fixture
def new_pair(new_site, pg):
    """A maker of servers on that database."""
    def build(**how):
        site = new_site(**how)
        site.database = "pgsql:" + pg.conninfo
        site.expect_log(FAILED.pattern, always=True)
        site.expect_log(r"\[tokrevoke:warn\].* TR\d+: ", always=True)
        site.expect_log(KILLED, always=True)
        site.expect_log("possibly corrupted shared memory", always=True)  # of PostgreSQL's, when a backend of it was killed
        return site

    yield build


def test_revocations_survive_kill_and_restart(new_pair, seed):
    """The same promise as with a file."""
    rng = random.Random(seed)
    site = new_pair().up()
    kept = []
    for _ in range(4):
        with Load(site, rng) as load:
            time.sleep(rng.uniform(0.02, 0.1))
            if rng.random() < 0.5:
                site.kill_one(rng.choice(site.pids()))
                time.sleep(0.02)
            site.again()
        assert not load.failures, load.failures[:5]
        kept += [t for t in load.kept if t.expires > time.time() + 3600]
        for c in site.one_to_each().values():
            check(site, kept, load.good, c)
            c.close()
        site.graceful()
        check(site, kept, load.good)
    assert len(kept) > 20


def seen_by(site, tokens, homes):
    """Do all these children refuse these tokens?"""
    return all(ask(site, tokens, caller.connection()) == [REVOKED] * len(tokens) for caller in homes)


def test_two_servers_see_each_others_revocations_within_a_second(new_pair, mint, record_property):
    """In both directions, by every child that was asked, on connections that were open before."""
    sites = [new_pair(children=2).up() for _ in range(2)]
    homes = [callers(site) for site in sites]
    good = [mint() for _ in range(3)]
    slowest = 0.0
    for number in range(10):
        here = number % 2
        tokens = [mint(kind=("token", "digest", "subject")[number % 3]) for _ in range(3)]
        for token in tokens:
            assert is_done(homes[here][0].revoke(token))
        answered = time.monotonic()
        assert seen_by(sites[here], tokens, homes[here])
        until(lambda: seen_by(sites[1 - here], tokens, homes[1 - here]), 1, "the other server does not know after a second")
        slowest = max(slowest, time.monotonic() - answered)
        for site in sites:
            assert not wrong(site, good, ACCEPTED)
    print(f"slowest {slowest:.2f} s")
    record_property("slowest_s", round(slowest, 3))


def test_two_servers_that_revoke_at_once_number_their_rows_without_a_gap_in_either_table(new_pair, pg, seed):
    """Commits are seen in the order of their numbers: a follower that has seen one has not passed over an earlier one."""
    sites = [new_pair(children=2).up() for _ in range(2)]
    loads = [Load(site, random.Random(seed + i), limit=150) for i, site in enumerate(sites)]
    with loads[0], loads[1]:
        time.sleep(0.7)
    kept = [t for load in loads for t in load.kept if t.expires > time.time() + 3600]
    assert not loads[0].failures and not loads[1].failures and all(load.kept for load in loads)
    for site in sites:
        until(lambda s=site: not wrong(s, kept, REVOKED), 1, "not all are known after a second")
        assert not wrong(site, loads[0].good + loads[1].good, ACCEPTED)
    (count, row_count, total, row_sum), = pg.sql("SELECT count(*), min(row_count), sum(checksum), min(row_sum) "
                                                 "FROM tokrevoke_state CROSS JOIN tokrevoke_revocations")
    assert count == row_count
    assert (int(total) - int(row_sum)) % 2**64 == 0


def test_without_its_database_httpd_checks_for_a_while_and_then_stops_trusting(new_pair, pg, mint):
    """503 for revocations at once, pages until the list is older than TokRevokeMaxStaleness, then 503; and all heals."""
    site = new_pair(children=2)
    site.more = f"TokRevokeMaxStaleness {STALE}s\n"
    site.up()
    good = mint()
    kept = revoke_all(site, [mint() for _ in range(3)])
    stopping = time.monotonic()
    pg.stop()
    stopped, stopped_at = time.monotonic(), clock()
    waiting = mint()
    with Caller(site) as caller:
        assert is_503(caller.revoke(waiting))
    assert clock() - stopped_at < 5 * SLOW, "the answer took too long"
    found = ask(site, [good, *kept, waiting])
    if time.monotonic() - stopped < STALE - 1:  # the last look may have been a while before
        assert found == [ACCEPTED] + [REVOKED] * (len(kept) + 1), found
    assert clock() - stopped_at < STALE, "pages were not answered for as long as they should"
    _, took = until(lambda: ask(site, [good])[0].startswith("503"), STALE + 4, "the list is old, and tokens are still trusted")
    assert time.monotonic() - stopping > STALE - 1, f"trust ended after {took} s already"
    assert set(ask(site, kept)) <= {REVOKED, *(v for v in ask(site, kept) if v.startswith("503"))}
    assert site.get("/index.html").status == 200  # what needs no token goes on
    pg.start()
    until(lambda: ask(site, [good]) == [ACCEPTED], 10, lambda: "pages do not come back:\n" + site.tail())
    late = mint()
    with Caller(site) as caller:
        until(lambda: caller.revoke(late).status == 200, 10, lambda: "revoking does not come back:\n" + site.tail())
    stored = "SELECT value FROM tokrevoke_revocations"
    until(lambda: [waiting.value] in pg.sql(stored), 10, "what waited is not stored", every=0.1)
    site.again()
    check(site, [*kept, waiting, late], [good])


def test_a_database_that_hangs_stops_revoking_and_not_checking(new_pair, pg, mint):
    """Every process of it stopped with SIGSTOP: connections neither answer nor close. One child has one, the other wants one."""
    site = new_pair(children=2).up()
    good = mint()
    one, other = callers(site)
    kept = [mint()]
    assert one.revoke(kept[0]).status == 200
    waiting = []
    pg.hold(signal.SIGSTOP)
    try:
        for caller in (one, other, one):
            waiting.append(mint())
            began = clock()
            r = caller.revoke(waiting[-1])
            assert is_503(r), r
            assert (took := clock() - began) < 12 * SLOW, f"the answer took {took:.1f} s"
            for each in (one, other):
                each.check([*kept, *waiting], [good])
    finally:
        pg.hold(signal.SIGCONT)
    for caller in (one, other):
        for token in waiting:
            until(lambda c=caller, t=token: c.revoke(t).status == 200, 15, lambda: "revoking does not come back:\n" + site.tail())
    site.again()
    check(site, kept + waiting, [good])


def test_killed_backends_lose_nothing(new_pair, pg, seed):
    """kill -9 of one makes PostgreSQL end all connections and recover; httpd connects again by itself."""
    rng = random.Random(seed)
    site = new_pair().up()
    kept = []
    for _ in range(3):
        with Load(site, rng, limit=10_000) as load:
            time.sleep(0.1)
            backends, _ = until(pg.backends, 5, "nobody is connected")
            pg.crash(rng.choice(backends))
            before = len(load.kept)
            until(lambda: len(load.kept) > before + 20, 20, lambda: "revoking does not come back:\n" + site.tail())
        assert not (bad := no_503(load)), bad[:5]
        kept += [t for t in load.kept if t.expires > time.time() + 3600]
    check(site, kept, load.good)
    site.again()
    check(site, kept, load.good)


def test_a_database_that_crashes_and_recovers_keeps_what_was_acknowledged(new_pair, pg, seed):
    """Stopped as in a crash, in the middle of the load."""
    rng = random.Random(seed)
    site = new_pair().up()
    with Load(site, rng, limit=10_000) as load:
        time.sleep(0.2)
        pg.stop(signal.SIGQUIT)
        pg.start()
        before = len(load.kept)
        until(lambda: len(load.kept) > before + 20, 20, lambda: "revoking does not come back:\n" + site.tail())
    kept = [t for t in load.kept if t.expires > time.time() + 3600]
    assert not (bad := no_503(load)), bad[:5]
    site.again()
    check(site, kept, load.good)


def test_a_server_that_came_back_with_less_is_not_believed_before_a_new_start(new_pair, pg, mint):
    """Restored behind httpd's back: who stores there next gets numbers that httpd has passed; also when there are more again."""
    site = new_pair(children=2)
    site.more = f"TokRevokeMaxStaleness {STALE}s\n"
    site.up()
    good = mint()
    kept = revoke_all(site, [mint() for _ in range(3)])
    pg.sql("UPDATE tokrevoke_state SET last_seq = last_seq - 1")
    until(lambda: ask(site, [good])[0].startswith("503"), STALE + 4, "nobody notices")
    pg.sql("UPDATE tokrevoke_state SET last_seq = last_seq + 5")
    for _ in range(10):
        assert ask(site, [good])[0].startswith("503")
        time.sleep(0.1)
    with Caller(site) as caller:
        assert is_503(caller.revoke(mint()))
    site.again()
    check(site, kept, [good])


def test_a_start_without_the_database_fails_and_says_so_without_the_password(new_pair, pg, mint):
    site = new_pair()
    site.up()
    kept = revoke_all(site, [mint()])
    site.kill_all()
    pg.stop()
    said = site.fails_to_start()
    assert said is not None, "it serves without knowing what was revoked"
    line = FAILED.search(said)
    assert line and str(pg.port) in line.group(0), said
    assert pg.password not in said
    pg.start()
    site.up()
    check(site, kept, [mint()])


def test_a_damaged_row_is_not_served(new_pair, pg, mint):
    """Changed, deleted, or the count of them or the version changed, behind httpd's back: the next start refuses."""
    site = new_pair(children=1).up()
    revoke_all(site, [mint() for _ in range(4)])
    site.kill_all()
    for harm in ("UPDATE tokrevoke_revocations SET value = value || 'x' WHERE seq = 2",
                 "DELETE FROM tokrevoke_revocations WHERE seq = 3",
                 "UPDATE tokrevoke_state SET row_sum = row_sum + 1",
                 "UPDATE tokrevoke_state SET schema_version = 2",
                 "UPDATE tokrevoke_state SET schema_version = 0",
                 "DELETE FROM tokrevoke_state",
                 "UPDATE tokrevoke_revocations SET expires_at = 1 WHERE seq = 4"):
        pg.sql("DROP TABLE IF EXISTS keep_r, keep_s; CREATE TABLE keep_r AS TABLE tokrevoke_revocations;"
               "CREATE TABLE keep_s AS TABLE tokrevoke_state")
        pg.sql(harm)
        said = site.fails_to_start()
        assert said is not None and FAILED.search(said), (harm, said)
        pg.sql("DELETE FROM tokrevoke_revocations; INSERT INTO tokrevoke_revocations TABLE keep_r;"
               "DELETE FROM tokrevoke_state; INSERT INTO tokrevoke_state TABLE keep_s; DROP TABLE keep_r, keep_s")
    site.up()


# ---- the list for administrators ----

def page_of(site, query=""):
    r = site.get("/boss/revocations" + query, BOSS)
    assert r.status == 200, (r, site.tail())
    return r.json()


def test_the_list_is_read_from_the_server_and_leaves_no_connection_behind(new_pair, pg, mint):
    site = new_pair(children=2).up()
    tokens = [mint(kind=kind) for kind in ("token", "digest", "session", "subject", "client", "named") * 2]
    revoke_all(site, tokens)
    whole = page_of(site)
    assert [r["kind"] for r in whole["revocations"]] == ["token", "client", "subject", "session", "digest", "token"] * 2
    assert [r["seq"] for r in whole["revocations"]] == list(range(len(tokens), 0, -1)) and whole["next"] is None
    assert {r["actor"] for r in whole["revocations"]} == {"boss", ""}
    assert [r["value"] for r in page_of(site, "?kind=subject")["revocations"]] == [tokens[9].value, tokens[3].value]
    assert [r["seq"] for r in page_of(site, "?sub=" + tokens[3].value)["revocations"]] == [4]
    assert [r["kind"] for r in page_of(site, "?kind=token&limit=3")["revocations"]] == ["token", "digest", "token"]
    first = page_of(site, "?limit=5")
    second = page_of(site, f"?limit=5&after={first['next']}")
    assert [r["seq"] for r in first["revocations"] + second["revocations"]] == list(range(12, 2, -1))
    assert page_of(site, "?sub=%27%3B--%20%5C%C3%A4")["revocations"] == []
    # Those that store and that follow stay. PostgreSQL's side of a connection ends a moment after ours.
    listing = ("SELECT query FROM pg_stat_activity WHERE datname = 'tokrevoke' AND "
               "(query LIKE 'PREPARE tokrevoke_step %' OR query LIKE 'PREPARE tokrevoke_list %')")
    until(lambda: not pg.sql(listing), 5, lambda: f"connections are left: {pg.sql(listing)}")
    told = site.get("/boss/status", BOSS).json()
    assert "PostgreSQL" in told["store"]["name"] and pg.password not in told["store"]["name"]


def test_without_its_server_the_list_is_an_error_and_comes_back_with_it(new_pair, pg, mint):
    site = new_pair(children=2).up()
    token = mint(kind="subject")
    revoke_all(site, [token])
    pg.stop(signal.SIGQUIT)
    r = site.get("/boss/revocations", BOSS)
    assert is_503(r), r
    assert "TR050" in site.said() and pg.password not in site.said()
    pg.start()
    until(lambda: site.get("/boss/revocations", BOSS).status == 200, 10, "the list does not come back")
    assert page_of(site)["revocations"][0]["value"] == token.value


def test_a_thousand_at_once_are_one_transaction(new_pair, pg, mint):
    site = new_pair(children=2).up()
    tokens = [mint(kind=("session", "subject", "client", "named")[i % 4]) for i in range(1000)]
    with Caller(site) as caller:
        assert is_done(caller.revoke(tokens))
    assert len(pg.sql("SELECT DISTINCT xmin::text FROM tokrevoke_revocations")) == 1
    homes = callers(site)
    for caller in homes:
        caller.check(tokens[::20])
        caller.close()
    site.again()
    check(site, tokens[::20], [mint()])
