"""A 200 is a promise: from then on every process and thread refuses the token, on open connections too."""

import collections
import json
import os
import random
import threading
import time

import pytest

import httpd as servers
from httpd import ALIAS, MPM, endpoint, protected
from issuers import issuer, jwks, write_keys
from test_refuse import refused
from tokens import claims, compact

CONNECTIONS = 64
ROUNDS = 200
CHILDREN = 72 if MPM == "prefork" else 4


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server(children=CHILDREN)
    server.threads = 80
    write_keys(server, keys)
    return server.start("TokRevokeCapacity 100000\n" + issuer("https://idp.test/", jwks("all")) + ALIAS
                        + protected("app", "TokRevokeTokenFrom header cookie=session") + endpoint("/revoke"))


def request(token):
    return f"GET /p/app/ok.txt HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def served_by(site, connections):
    """Which child holds each connection."""
    for c in connections:
        c.send("GET", "/index.html")
    for c in connections:
        assert c.receive().status == 200
    return site.holders(connections)


def spread_connections(site):
    """64 open connections over all children: where one has none, the fullest child gives one up and we try again."""
    children = site.pids()
    want = CONNECTIONS if MPM == "prefork" else len(children)
    connections = [site.connect() for _ in range(CONNECTIONS)]
    for _ in range(400):
        try:
            homes = served_by(site, connections)
        except EOFError:  # while threads of a child are still being made, mpm_event closes connections that wait
            for c in connections:
                c.close()
            connections = [site.connect() for _ in range(CONNECTIONS)]
            continue
        count = collections.Counter(homes)
        if len(count) >= want:
            return connections, count
        fullest = max(count, key=count.get)
        for i in [i for i, pid in enumerate(homes) if pid == fullest][: max(1, count[fullest] // 3)]:
            connections[i].close()
            connections[i] = site.connect()
    raise AssertionError(f"connections reach only {len(count)} of {len(children)} children")


def statuses(connections, token):
    data = request(token)
    for c in connections:
        c.send_raw(data)
    return [c.receive().status for c in connections]


def test_after_the_200_every_child_refuses_the_token_on_open_connections(site, mint, record_property):
    """R7009-17: 200 rounds on 64 connections."""
    connections, count = spread_connections(site)
    assert len(count) >= 4
    began = time.monotonic()
    slowest = 0.0
    with site.connect() as caller:
        for i in range(ROUNDS):
            token = mint(("ES256", "RS256", "HS256", "EdDSA")[i % 4])
            assert statuses(connections, token) == [200] * CONNECTIONS
            sent = time.monotonic()
            assert caller.request("POST", "/revoke", "Content-Type: application/x-www-form-urlencoded", body="token=" + token).status == 200
            slowest = max(slowest, time.monotonic() - sent)
            assert statuses(connections, token) == [401] * CONNECTIONS, i
    record_property("rounds_s", round(time.monotonic() - began, 2))
    record_property("slowest_revocation_ms", round(slowest * 1000, 2))
    for c in connections:
        c.close()


def test_revocations_by_many_callers_at_once_are_all_kept(site, mint):
    """Every 200 counts, whoever else writes at the same time."""
    tokens = [[mint() for _ in range(40)] for _ in range(8)]
    failures = []

    def work(mine):
        try:
            with site.connect() as caller, site.connect() as reader:
                for token in mine:
                    r = caller.request("POST", "/revoke", "Content-Type: application/json", body=json.dumps({"token": token}))
                    reader.send_raw(request(token))
                    if (r.status, reader.receive().status) != (200, 401):
                        failures.append(r)
        except (OSError, EOFError) as e:
            failures.append(e)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in tokens]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    with site.connect() as c:
        for token in sum(tokens, []):
            c.send_raw(request(token))
            assert c.receive().reason == "revoked"


def test_no_good_token_is_refused_while_others_are_revoked(site, mint):
    """The other half of the promise."""
    good = [mint() for _ in range(20)]
    stop = threading.Event()
    wrong = []

    def read():
        try:
            with site.connect() as c:
                while not stop.is_set():
                    c.send_raw(request(random.choice(good)))
                    if (r := c.receive()).status != 200:
                        wrong.append(r)
        except (OSError, EOFError) as e:
            wrong.append(e)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for t in readers:
        t.start()
    with site.connect() as caller:
        for _ in range(300):
            assert caller.request("POST", "/revoke", "Content-Type: application/x-www-form-urlencoded", body="token=" + mint()).status == 200
    stop.set()
    for t in readers:
        t.join()
    assert not wrong


@pytest.mark.h1("streams that are sent together are handled side by side")
def test_the_revoking_answer_on_one_connection_precedes_every_later_request(site, mint):
    """Pipelined on one connection: the request behind the revocation is already refused."""
    with site.connect() as c:
        for _ in range(20):
            token = mint()
            body = "token=" + token
            c.send_raw(request(token) + (f"POST /revoke HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                                         f"Content-Length: {len(body)}\r\n\r\n{body}").encode() + request(token))
            assert [c.receive().status for _ in range(3)] == [200, 200, 401]


def rss_kb(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def test_children_do_not_grow_over_many_requests(new_server, keys, mint):
    """100,000 requests in the long runs, a tenth of it otherwise: good, refused and revoking ones on lasting connections."""
    total = 100_000 if servers.LONG else 10_000
    site = new_server(children=CHILDREN)
    site.threads = 80
    write_keys(site, keys)
    site.start("TokRevokeCapacity 1000\n" + issuer("https://idp.test/", jwks("all")) + ALIAS
               + protected("app", "TokRevokeTokenFrom header cookie=session", "TokRevokeStripToken On") + endpoint("/revoke"))
    good, revoked, foreign = mint(), mint(), mint(key=keys.other["p256"])
    assert site.revoke(revoked).status == 200
    odd = compact({"alg": "ES256", "kid": "p256", "x": ["y"] * 50}, claims(z="\u00e9" * 500), "ES256", keys["p256"])
    body = "token=" + revoked
    post = (f"POST /revoke HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
            f"{body}").encode()
    cookie = f"GET /p/app/ok.txt HTTP/1.1\r\nHost: x\r\nCookie: a=1; session={good}\r\n\r\n".encode()
    mix = [request(good), request(good), request(revoked), request(foreign), request("a.b.c"), request(odd), cookie, post]
    expected = [200, 200, 401, 401, 401, 200, 200, 200]
    failures = []

    connections, _ = spread_connections(site)  # every child has its share of the work, before and while we measure

    def work(mine, times):
        try:
            for _ in range(times):
                for c in mine:
                    c.send_raw(b"".join(mix))
                for c in mine:
                    if [c.receive().status for _ in mix] != expected:
                        failures.append("statuses")
                        return
        except (OSError, EOFError) as e:
            failures.append(e)

    def burst(count):
        times = count // len(mix) // len(connections)
        threads = [threading.Thread(target=work, args=(connections[i::8], times)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    limit = total // 10 if servers.SAN else 256 + total // 100  # kB; a sanitizer keeps books of its own
    growth = []
    burst(total)  # pools, arenas and a sanitizer's own books find their size first
    while not growth or (max(growth[-1].values()) >= limit and len(growth) < 5):  # of a thread that has had nothing to do yet, later
        before = {pid: rss_kb(pid) for pid in site.pids()}
        burst(total)
        growth.append({pid: rss_kb(pid) - before[pid] for pid in site.pids() if pid in before})
    for c in connections:
        c.close()
    assert not failures
    assert growth[-1] and max(growth[-1].values()) < limit, growth
    refused(site, revoked, "revoked")
