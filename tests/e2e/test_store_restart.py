"""Restarts that change the capacity or the database: what is revoked stays so, in the new generation and in the old one."""

import itertools
import os
import pwd
import time
from pathlib import Path

import pytest

import httpd as servers
from database import Database
from issuers import write_keys
from storing import FORM, PAGE, ROOT, EveryChild, are_accepted, are_revoked, claims_of, revoke_all, text, until, without_jti
from test_lifecycle import Load

OTHER = "TokRevokeDatabase sqlite3:{root}/other/tokrevoke.db\n"
NONE = "TokRevokeDatabase none\n"
marks = itertools.count()


@pytest.fixture
def fresh(new_server, keys):
    """Not started yet."""
    server = new_server()
    write_keys(server, keys)
    yield server
    for slow in Slow.open:
        slow.c.close()
    Slow.open.clear()
    server.stop()


@pytest.fixture
def site(fresh):
    return fresh.start(text())


class Slow:
    """A request whose end has not been sent yet: the child that reads it outlives a graceful restart."""

    open = []

    def __init__(self, server, start):
        self.server = server
        self.mark = f"slow-{next(marks)}-end"
        self.c = server.connect()
        self.open.append(self)
        self.c.send_raw(start.encode() + f"\r\nHost: x\r\nX-Mark: {self.mark}\r\n".encode())

    def finish(self, rest):
        self.c.send_raw(rest.encode())
        r = self.c.receive()
        self.c.close()
        return r

    def home(self):
        return int(self.server.access_line(self.mark).split()[0])


def slow_page(server):
    return Slow(server, f"GET {PAGE} HTTP/1.1")


def slow_revocation(server):
    return Slow(server, f"POST /revoke HTTP/1.1\r\n{FORM}")


def page(token):
    return f"Authorization: Bearer {token}\r\n\r\n"


def revocation(token):
    return f"Content-Length: {len(token) + 6}\r\n\r\ntoken={token}"


def settle(server):
    """Requests that were begun must be read by a child before it hears of the restart. By the kernel's table, all of them are."""
    def all_read():
        ends = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
        ours = [end for end in ends if end[1].endswith(f":{server.port:04X}") and end[3] == "01"]
        return len(ours) >= len(Slow.open) and all(end[4].endswith(":00000000") and end[9] != "0" for end in ours)

    until(all_read)


CHANGES = {"the same": text(), "a smaller table": text(capacity=500), "a larger table": text(capacity=50000),
           "another database": text(OTHER), "another database and capacity": text(OTHER, capacity=600),
           "no database": text(NONE), "no database and another capacity": text(NONE, capacity=600)}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("again", ["graceful", "hard"])
def test_what_is_revoked_stays_revoked_when_a_restart_brings(site, mint, change, again):
    tokens = [without_jti(mint) if i % 3 == 0 else mint() for i in range(200)]
    good = [mint() for _ in range(5)]
    revoke_all(site, tokens)
    if change == "no database and another capacity":
        site.expect_log("TR008: ")
    site.reconfigure(CHANGES[change])
    site.next_generation() if again == "graceful" else site.restart()
    are_revoked(site, tokens)
    are_accepted(site, good)
    late = mint()
    revoke_all(site, [late])
    site.reconfigure(text())
    site.next_generation()
    are_revoked(site, tokens + [late])
    are_accepted(site, good)
    if change == "no database and another capacity":
        site.expect_log("TR008: ")


def test_with_a_database_another_capacity_takes_effect_with_a_graceful_restart(fresh, mint):
    site = fresh.start(text(capacity=10))
    site.expect_log("TR002: ")
    stored = []
    while site.revoke(token := mint()).status == 200:
        stored.append(token)
        assert len(stored) < 2000
    site.reconfigure(text(capacity=5000))
    site.next_generation()
    assert "TR008" not in site.error_log()
    more = [mint() for _ in range(len(stored) + 200)]
    revoke_all(site, more + [token])
    are_revoked(site, stored + more + [token])
    site.expect_log("TR002: ")


@pytest.mark.parametrize("again", ["stop and start", "graceful restart"])
def test_a_capacity_below_what_is_alive_is_raised_with_a_warning(site, mint, again):
    tokens = [mint() for _ in range(300)]
    revoke_all(site, tokens)
    dead = ("token", "https://idp.test/", "dead", 1000)
    Database(site).insert(*[dead] * 50)
    site.reconfigure(text(capacity=20))
    site.expect_log("TR016: ")
    if again == "stop and start":
        site.stop()
        site.again()
    else:
        site.next_generation()
    site.wait_log(r"\[tokrevoke:warn\].* TR016: 3\d\d revocations are alive.* 20 of TokRevokeCapacity; raise it")
    are_revoked(site, tokens)
    more = [mint() for _ in range(100)]
    revoke_all(site, more)
    are_revoked(site, tokens + more)
    site.expect_log("TR016: ")


@pytest.mark.parametrize("first, then", [(NONE, ""), ("", OTHER)], ids=["none to one", "one to another"])
def test_a_capacity_below_what_the_table_before_holds_is_raised_too(fresh, mint, first, then):
    """None of it is in the database that comes."""
    site = fresh.start(text(first))
    tokens = [mint() for _ in range(300)]
    revoke_all(site, tokens)
    site.expect_log("TR016: ")
    site.reconfigure(text(then, capacity=20))
    site.next_generation()
    are_revoked(site, tokens)
    site.expect_log("TR016: ")


# ---- children of before ----

@pytest.mark.parametrize("change", CHANGES)
def test_a_child_of_before_that_still_serves_refuses_what_was_revoked_after_the_restart(site, mint, change):
    requests = [slow_page(site) for _ in range(6)]
    good = slow_page(site)
    settle(site)
    old = set(site.pids())
    if change == "no database and another capacity":
        site.expect_log("TR008: ")
    site.reconfigure(CHANGES[change])
    site.graceful()
    tokens = [without_jti(mint) if i % 2 else mint() for i in range(6)]
    with EveryChild(site, leaving=old):  # the new generation serves
        pass
    revoke_all(site, tokens)
    answers = [request.finish(page(token)) for request, token in zip(requests, tokens)]
    assert [(r.status, r.reason) for r in answers] == [(401, "revoked")] * 6
    assert {request.home() for request in requests} <= old
    assert good.finish(page(mint())).status == 200


def test_a_child_of_before_hears_of_what_another_program_stored(site, mint):
    request = slow_page(site)
    settle(site)
    site.reconfigure(text(capacity=30000))
    old = set(site.pids())
    site.graceful()
    token = mint()
    Database(site).insert_token(token, claims_of(token))
    with EveryChild(site, leaving=old) as children:
        children.until(token)
    r = request.finish(page(token))
    assert (r.status, r.reason) == (401, "revoked") and request.home() in old


@pytest.mark.parametrize("change", [*CHANGES, "a database after none"])
def test_what_a_child_of_before_revokes_is_in_force_in_the_new_generation_when_it_answers(fresh, mint, change):
    """A 200 is a promise for every process. It may answer 503 instead: the caller asks again, and reaches a new child."""
    site = fresh.start(text(NONE) if change == "a database after none" else text())
    requests = [slow_revocation(site) for _ in range(6)]
    settle(site)
    old = set(site.pids())
    if change == "no database and another capacity":
        site.expect_log("TR008: ")
    site.reconfigure(CHANGES.get(change, text()))
    site.graceful()
    late = []
    with EveryChild(site, leaving=old) as children:
        for request in requests:
            token = mint()
            assert children.verdicts(token) == {"accepted"}
            status = request.finish(revocation(token)).status
            found = children.verdicts(token)
            assert request.home() in old and status in (200, 503)
            if status == 200 and found != {"revoked"}:
                late.append(found)
            time.sleep(0.03)
    assert not late, late


def test_a_child_of_before_revokes_in_the_table_of_several_generations(site, mint):
    """Capacity changed twice while a request stays open."""
    requests = [slow_page(site) for _ in range(2)]
    settle(site)
    old = set()
    for capacity in (30000, 40000):
        old |= set(site.pids())
        site.reconfigure(text(capacity=capacity))
        site.graceful()
    tokens = [mint(), mint()]
    with EveryChild(site, leaving=old):
        pass
    revoke_all(site, tokens)
    for request, token in zip(requests, tokens):
        r = request.finish(page(token))
        assert (r.status, r.reason) == (401, "revoked")


def test_a_child_of_long_ago_lets_nobody_in_on_stale_knowledge(fresh, mint):
    """Its table is no longer written to after so many generations; that must not look as if nothing were revoked."""
    more = "TokRevokeMaxStaleness 2s\n"
    site = fresh.start(text(more))
    requests = [slow_page(site) for _ in range(2)]
    settle(site)
    for capacity in (30000, 40000, 50000, 60000):
        site.reconfigure(text(more, capacity=capacity))
        site.graceful()
    token = mint()
    revoke_all(site, [token])
    r = requests[0].finish(page(token))
    assert r.status == 503 or (r.status, r.reason) == (401, "revoked"), r
    time.sleep(2.5)
    assert requests[1].finish(page(mint())).status in (503, 401)
    are_accepted(site, [mint()])
    are_revoked(site, [token])


def broken(load):
    """What went wrong but honest refusals to promise anything: a child of before may say 503."""
    return [failure for failure in load.failures if failure.status != 503]


def test_restarts_that_change_the_capacity_under_load_lose_nothing(site, mint):
    site.expect_log("AH00485|AH03093")
    with Load(site, mint) as load:
        for i in range(8):
            site.reconfigure(text(capacity=30000 + 1000 * i))
            site.graceful()
            time.sleep(0.2)
        until(lambda: len(load.acknowledged) > 30)
    assert not broken(load)
    are_revoked(site, load.acknowledged)
    site.kill()
    site.again()
    are_revoked(site, load.acknowledged)
    assert Database(site).is_whole()
    site.expect_log("AH00485|AH03093")


# ---- without a database, and back ----

def test_from_no_database_to_one_and_back_keeps_what_is_in_force(fresh, mint):
    site = fresh.start(text(NONE))
    tokens = []
    good = mint()
    for line in ("", NONE, "", NONE, ""):
        token = mint()
        revoke_all(site, [token])
        tokens.append(token)
        site.reconfigure(text(line))
        site.next_generation()
        are_revoked(site, tokens)
        are_accepted(site, [good])
    stored = {row["value"] for row in Database(site).rows()}
    assert {claims_of(token)["jti"] for token in tokens[1::2]} == stored
    revoke_all(site, tokens)  # now all of them are stored
    site.stop()
    site.again()
    are_revoked(site, tokens)


def test_what_is_revoked_again_after_a_change_of_the_database_is_stored_in_the_new_one(site, mint):
    tokens = [mint() for _ in range(10)]
    revoke_all(site, tokens)
    site.reconfigure(text(OTHER))
    site.next_generation()
    revoke_all(site, tokens)
    db = Database(site, site.root / "other" / "tokrevoke.db")
    assert [row["value"] for row in db.rows()] == [claims_of(token)["jti"] for token in tokens] and db.is_whole()
    site.kill()
    site.again()
    are_revoked(site, tokens)


# ---- many of them ----

def resident_kb(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def system_objects():
    """Shared memory and semaphores of System V, and files in /dev/shm, of httpd's users."""
    users = {0, os.geteuid()} | ({pwd.getpwnam("www-data").pw_uid} if ROOT else set())
    # Neither PostgreSQL's nor libfaketime's: other tests may run beside this one.
    files = [p for p in Path("/dev/shm").glob("*") if "faketime" not in p.name and not p.name.startswith("PostgreSQL")]
    count = {"posix": len([p for p in files if p.stat().st_uid in users])}
    for name in ("shm", "sem", "msg"):
        head, *lines = Path("/proc/sysvipc/" + name).read_text().splitlines()
        count[name] = len([line for line in lines if int(line.split()[head.split().index("uid")]) in users])
    return count


def book(server):
    pid = server.process.pid
    return {"kb": resident_kb(pid), "fds": len(list(Path(f"/proc/{pid}/fd").iterdir())),
            "maps": len(Path(f"/proc/{pid}/maps").read_text().splitlines())}


@pytest.mark.alone("counts the shared memory and semaphores of the whole machine")
@pytest.mark.parametrize("change", ["the same", "another capacity each time", "two databases in turn"])
def test_the_parent_does_not_grow_over_many_graceful_restarts_under_load(site, mint, record_property, change):
    count = 500 if os.environ.get("TR_LONG") else 60 if change == "the same" else 30
    site.expect_log("AH00485|AH03093", always=True)
    before = system_objects()
    texts = {"the same": [text()], "another capacity each time": [text(capacity=20000 + 10 * i) for i in range(7)],
             "two databases in turn": [text(), text(OTHER)]}[change]

    def restart(times):
        for i in range(times):
            site.reconfigure(texts[i % len(texts)])
            site.graceful()

    with Load(site, mint, threads=2) as load:
        restart(12)
        first = book(site)
        restart(count)
        last = book(site)
        until(lambda: len(load.acknowledged) > 20)
    assert not (load.failures if change == "the same" else broken(load))
    record_property("parent", [first, last])
    assert last["fds"] <= first["fds"], (first, last)
    if not servers.SAN:  # which keeps books of its own
        assert last["maps"] <= first["maps"] + 4, (first, last)
        assert last["kb"] <= first["kb"] + 512, (first, last)
    after = system_objects()
    assert all(after[name] <= before[name] + 1 for name in after), (before, after)
    are_revoked(site, load.acknowledged[-200:])
