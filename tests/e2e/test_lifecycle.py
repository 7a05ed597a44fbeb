"""Restarts, killed children, a full table: what was revoked stays revoked, and nothing hangs."""

import json
import os
import random
import re
import signal
import subprocess
import threading
import time

import pytest

import httpd as servers
from httpd import ALIAS, MPM, endpoint, protected
from issuers import issuer, jwks, write_keys
from storing import until
from test_accept import passes
from test_refuse import refused
from test_revoke import FORM, JSON, is_answer

PAGE = "/p/app/ok.txt"
KILLED = "AH00052|children are killed successively"  # what httpd itself says of children that are killed


def text(capacity=200000, *more):
    return (f"TokRevokeCapacity {capacity}\n" + issuer("https://idp.test/", jwks("all")) + ALIAS + protected("app")
            + endpoint("/revoke") + endpoint("/strict", "TokRevokeAnswers strict") + "".join(more))


NO_DATABASE = "TokRevokeDatabase none\n"


@pytest.fixture
def site(new_server, keys):
    server = new_server()
    write_keys(server, keys)
    yield server.start(text())
    server.stop()


@pytest.fixture
def memory_site(new_server, keys):
    """Without a database."""
    server = new_server()
    write_keys(server, keys)
    yield server.start(text(200000, NO_DATABASE))
    server.stop()


def revoke_all(site, tokens):
    with site.connect() as c:
        for token in tokens:
            assert c.request("POST", "/revoke", FORM, body="token=" + token).status == 200


def all_refused(site, tokens):
    """On one connection; on a next one where a child that leaves after a graceful restart has closed it between two requests."""
    c = site.connect()
    for token in tokens:
        try:
            r = c.request("GET", PAGE, "Authorization: Bearer " + token)
        except (EOFError, ConnectionError):
            assert c.buffer == b""
            c.close()
            c = site.connect()
            r = c.request("GET", PAGE, "Authorization: Bearer " + token)
        assert (r.status, r.reason) == (401, "revoked"), r
    c.close()


def test_the_start_says_that_revocations_live_in_memory_only(memory_site):
    memory_site.wait_log(r"\[tokrevoke:warn\].* TR014: .*memory")
    assert not (memory_site.root / "state").exists()


def test_with_a_database_nothing_is_said_of_memory(site):
    assert "TR014" not in site.error_log()


def with_an_earlier_version(new_server, keys, tmp_path, *more):
    """A server in whose process another version of the module was loaded before."""
    module = tmp_path / "earlier.so"
    subprocess.run(["cc", "-shared", "-fPIC", *servers.apxs("EXTRA_CPPFLAGS").split(), "-I" + servers.apxs("INCLUDEDIR"),
                    "-I" + servers.apxs("APR_INCLUDEDIR"), "-o", module, servers.REPO / "tests" / "e2e" / "earlier.c"], check=True)
    server = new_server()
    write_keys(server, keys)
    server.write("earlier.so", module.read_bytes())
    server.expect_log(r"TR065: .*lost", always=True)
    return server.start('LoadModule earlier_module "{root}/earlier.so"\n' + text(200000, *more))


def test_without_a_database_a_new_version_that_cannot_read_the_table_says_that_all_is_lost(new_server, keys, tmp_path):
    server = with_an_earlier_version(new_server, keys, tmp_path, NO_DATABASE)
    assert len(re.findall(r"\[tokrevoke:error\].* TR065: ", server.error_log())) == 1
    server.next_generation()
    assert server.error_log().count("TR065") == 1, "its own table it can read"
    server.stop()


def test_with_a_database_a_new_version_reads_all_from_there(new_server, keys, tmp_path):
    server = with_an_earlier_version(new_server, keys, tmp_path)
    assert "TR065" not in server.error_log()
    server.stop()


def test_without_a_database_restarts_keep_revocations_and_a_stop_and_start_forgets_them(memory_site, mint):
    token, good = mint(), mint()
    revoke_all(memory_site, [token])
    for again in (memory_site.graceful, memory_site.restart, memory_site.next_generation):
        again()
        refused(memory_site, token, "revoked")
        passes(memory_site, good)
    memory_site.stop()
    memory_site.again()
    passes(memory_site, token)


def test_a_graceful_restart_keeps_revocations(site, mint):
    tokens = [mint(drop=() if i % 2 else "jti") for i in range(50)]
    good = mint()
    revoke_all(site, tokens)
    for _ in range(3):
        site.graceful()
        all_refused(site, tokens)
        passes(site, good)
    late = mint()
    revoke_all(site, [late])
    site.graceful()
    all_refused(site, [late] + tokens)


def test_a_plain_restart_keeps_revocations_too(site, mint):
    """SIGHUP reloads in the same parent process: the table has no reason to go."""
    tokens = [mint() for _ in range(20)]
    revoke_all(site, tokens)
    site.restart()
    all_refused(site, tokens)


def test_old_children_that_finish_their_work_see_new_revocations(site, mint):
    """A connection that outlives a graceful restart is served by a child of before, or closed; never wrongly."""
    token, good = mint(), mint()
    held = [site.connect() for _ in range(8)]
    for c in held:
        assert c.request("GET", PAGE, "Authorization: Bearer " + token).status == 200
    site.graceful()
    assert site.revoke(token).status == 200
    for c in held:
        try:
            assert c.request("GET", PAGE, "Authorization: Bearer " + token).status == 401
        except (EOFError, ConnectionError):
            pass
        c.close()
    passes(site, good)


class Load:
    """Callers that revoke new tokens as fast as they can, and remember what was acknowledged."""

    def __init__(self, site, mint, threads=4):
        self.site, self.mint = site, mint
        self.acknowledged, self.failures = [], []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.work) for _ in range(threads)]

    def work(self):
        connection = None
        while not self.stop.is_set():
            token = self.mint()
            try:
                connection = connection or self.site.connect()
                r = connection.request("POST", "/revoke", FORM, body="token=" + token)
                if r.status == 200:
                    self.acknowledged.append(token)
                else:
                    self.failures.append(r)
            except (EOFError, OSError):  # the child ended: no answer, no promise
                connection = None
        if connection:
            connection.close()

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *exc):
        self.stop.set()
        for t in self.threads:
            t.join(30)
            assert not t.is_alive(), "a revocation hangs"


def test_graceful_restarts_under_load_lose_nothing(site, mint):
    """G1"""
    with Load(site, mint) as load:
        for _ in range(5):
            time.sleep(0.2)
            site.graceful()
        until(lambda: len(load.acknowledged) > 50)
    assert not load.failures
    all_refused(site, load.acknowledged)
    site.expect_log("AH00485")  # httpd may run out of scoreboard slots between so many generations


def test_killed_children_take_nothing_with_them(site, mint):
    """K1, K2, H13: whoever dies, wherever in its work, what was acknowledged holds and the rest go on."""
    site.expect_log(KILLED, always=True)
    rng = random.Random(7)
    with Load(site, mint) as load:
        for _ in range(15):
            time.sleep(rng.uniform(0.02, 0.12))
            pids = site.pids()
            for pid in rng.sample(pids, min(len(pids), rng.choice((1, 1, 2)))):
                os.kill(pid, signal.SIGKILL)
        before = len(load.acknowledged)
        end = time.monotonic() + 20
        while len(load.acknowledged) < before + 50:
            assert time.monotonic() < end, "revocations came to a standstill"
            time.sleep(0.01)
    assert not load.failures
    all_refused(site, load.acknowledged)
    passes(site, mint())


def test_all_children_at_once_may_be_killed(site, mint):
    site.expect_log(KILLED, always=True)
    tokens = [mint() for _ in range(20)]
    revoke_all(site, tokens)
    for pid in site.pids():
        os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while True:
        try:
            all_refused(site, tokens)
            break
        except (EOFError, OSError):
            assert time.monotonic() < end
            time.sleep(0.05)


def behind_a_locked_door(server, keys):
    """A place for lock files that httpd's user cannot reach. By another user than root there is no such case, and all works."""
    write_keys(server, keys)
    server.write("locked/keep", "")
    (server.root / "locked").chmod(0o700)
    return "Mutex flock:{root}/locked tokrevoke\n" + text()


def test_children_that_cannot_open_the_lock_check_tokens_and_revoke_nothing(new_server, keys, mint):
    site = new_server()
    site.start(NO_DATABASE + behind_a_locked_door(site, keys))
    site.expect_log(r"TR015: |TR003: ", always=True)
    token = mint()
    passes(site, token)
    if os.geteuid() == 0:
        site.wait_log("TR015: ")
        r = site.revoke(token)
        assert r.status == 503 and r["Retry-After"]
        time.sleep(2.2)  # the background work meets the missing lock twice
        passes(site, token)
    else:
        assert site.revoke(token).status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="the parent must be root for its children to be locked out")
def test_with_a_database_a_lock_that_httpds_user_cannot_open_is_refused_at_start(new_server, keys):
    site = new_server()
    said = site.start_fails(behind_a_locked_door(site, keys))
    assert "Mutex" in said and "TR" in said, said


# ---- a full table ----

def test_a_full_table_stops_revoking_and_not_checking(new_server, keys, mint):
    """R7009-23, T1: 503 and Retry-After, never a 200 for what was not recorded; no live entry is pushed out."""
    site = new_server()
    write_keys(site, keys)
    site.start(text(10))
    site.expect_log(r"TR\d+: .*(full|room|capacity)")
    stored, status = [], 200
    while status == 200 and len(stored) < 2000:
        token = mint()
        r = site.revoke(token)
        status = r.status
        if status == 200:
            stored.append(token)
    assert 10 <= len(stored) < 2000
    assert r.status == 503 and int(r["Retry-After"]) > 0 and r.json()["error"] == "temporarily_unavailable"
    is_answer(r, 503, None)
    passes(site, token)
    r = is_answer(site.get("/revoke", JSON, method="POST", body=json.dumps({"token": token})), 503, None)
    assert r.json()["error"] == "temporarily_unavailable" and int(r["Retry-After"]) > 0
    for kind, body in ((FORM, "token=" + token), (JSON, json.dumps({"token": token}))):
        r = is_answer(site.get("/strict", kind, method="POST", body=body), 500, None)
        assert r.json()["revoked"] is False and isinstance(r.json()["error"], str)
    assert site.revoke(stored[0]).status == 200  # again, and needs no new place
    assert site.revoke("garbage").status == 200
    all_refused(site, stored)
    passes(site, token)
    site.graceful()
    all_refused(site, stored)
    site.expect_log(r"TR\d+: .*(full|room|capacity)")


def test_forged_and_expired_tokens_do_not_fill_the_table(new_server, keys, mint):
    """R7009-25, R7009-27"""
    site = new_server()
    write_keys(site, keys)
    site.start(text(10))
    with site.connect() as c:
        for i in range(400):
            bad = (mint(key=keys.other["p256"]), mint(exp=1000), "a.b.c", mint(iss="https://evil.test/"))[i % 4]
            assert c.request("POST", "/revoke", FORM, body="token=" + bad).status == 200
    tokens = [mint() for _ in range(10)]
    revoke_all(site, tokens)
    all_refused(site, tokens)


def test_expired_entries_make_room(new_server, keys, mint):
    """T1: their tokens can be accepted nowhere any more."""
    site = new_server()
    write_keys(site, keys)
    site.start(text(10, issuer("https://short.test/", jwks("all"), "TokRevokeClockSkew 0")))
    site.expect_log(r"TR\d+: .*(full|room|capacity)")
    count = 0
    while site.revoke(mint(iss="https://short.test/", exp=(end := int(time.time()) + 3))).status == 200:
        count += 1
        assert count < 2000
    # The other issuer's skew is 60 s, and an entry is kept for the largest skew of all.
    time.sleep(max(0, end + 1 - time.time()))
    assert site.revoke(mint(iss="https://short.test/", exp=int(time.time()) + 60)).status == 503
    site.expect_log(r"TR\d+: .*(full|room|capacity)")


def test_entries_of_an_issuer_without_skew_make_room_when_they_expire(new_server, keys, mint):
    site = new_server()
    write_keys(site, keys)
    site.start(text(10).replace("</TokRevokeIssuer>", "TokRevokeClockSkew 0\n</TokRevokeIssuer>"))
    site.expect_log(r"TR\d+: .*(full|room|capacity)")
    live = mint()
    assert site.revoke(live).status == 200
    count = 0
    while site.revoke(mint(exp=int(time.time()) + 3)).status == 200:
        count += 1
        assert count < 2000
    deadline = time.monotonic() + 15
    fresh = mint()
    while site.revoke(fresh).status != 200:
        assert time.monotonic() < deadline, "expired entries keep their places"
        time.sleep(0.2)
    refused(site, live, "revoked")
    refused(site, fresh, "revoked")
    site.expect_log(r"TR\d+: .*(full|room|capacity)")


def test_without_a_database_another_capacity_waits_for_a_stop_and_start(memory_site, mint):
    """The table that exists is kept, with a warning."""
    tokens = [mint() for _ in range(30)]
    revoke_all(memory_site, tokens)
    for capacity in (20, 20000):
        since = len(memory_site.error_log())
        memory_site.expect_log("TR008: .*TokRevokeCapacity")
        memory_site.reconfigure(text(capacity, NO_DATABASE))
        memory_site.graceful()
        memory_site.wait_log(r"\[tokrevoke:warn\].* TR008: .*TokRevokeCapacity", since=since)
        all_refused(memory_site, tokens)
        assert not [x for x in memory_site.unexpected() if "apacity" not in x]
    more = [mint() for _ in range(100)]
    revoke_all(memory_site, more)
    all_refused(memory_site, tokens + more)


def test_retained_entries_outlive_their_tokens(new_server, keys, mint):
    """TokRevokeRetain: with ten minutes of it the places stay taken."""
    site = new_server()
    write_keys(site, keys)
    site.start(text(10, "TokRevokeRetain 10m\n").replace("</TokRevokeIssuer>", "TokRevokeClockSkew 0\n</TokRevokeIssuer>"))
    site.expect_log(r"TR\d+: .*(full|room|capacity)")
    while site.revoke(mint(exp=(end := int(time.time()) + 3), iat=end - 5)).status == 200:
        pass
    time.sleep(max(0, end + 2.2 - time.time()))
    assert site.revoke(mint()).status == 503
    site.expect_log(r"TR\d+: .*(full|room|capacity)")


# ---- locks ----

@pytest.mark.parametrize("name", ["default", "tokrevoke"])
def test_a_lock_that_dies_with_its_holder_is_refused_at_start(new_server, keys, name):
    """posixsem blocks for ever when its holder is killed."""
    server = new_server()
    write_keys(server, keys)
    said = server.start_fails(text(1000, f"Mutex posixsem {name}\n") if name != "default" else "Mutex posixsem default\n" + text(1000))
    assert "posixsem" in said and "TR" in said


@pytest.mark.parametrize("kind", ["pthread", "fcntl:{root}/run", "file:{root}/run", "sysvsem"])
def test_the_other_locks_work(new_server, keys, mint, kind):
    server = new_server()
    write_keys(server, keys)
    server.start(text(1000, f"Mutex {kind} tokrevoke\n"))
    token = mint()
    passes(server, token)
    revoke_all(server, [token])
    server.graceful()
    refused(server, token, "revoked")
    late = mint()
    revoke_all(server, [late])
    refused(server, late, "revoked")


@pytest.mark.alone("counts the shared memory of the whole machine")
def test_a_stop_leaves_nothing_behind(new_server, keys, mint):
    """No file in the run folder but httpd's own, and no shared memory of System V."""
    def segments():
        with open("/proc/sysvipc/shm", encoding="ascii") as f:
            return len(f.readlines())

    before = segments()
    server = new_server()
    write_keys(server, keys)
    server.start(text())
    token = mint()
    revoke_all(server, [token])
    server.graceful()
    server.stop()
    assert segments() <= before
    assert not [p.name for p in (server.root / "run").iterdir() if "tokrevoke" in p.name]
    assert MPM in ("event", "worker", "prefork")
