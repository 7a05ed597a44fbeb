"""
Raw requests, byte for byte: hostile ones, which get nothing, and odd ones that are legal, which get what they ask for. The tables are
in requests_*.py.
"""

import collections
import random
import urllib.parse

import pytest

from httpd import H2
from requests_bodies import BODIES, TARGETS
from requests_headers import HEADERS
from requests_legal import APPLICATION, ENDPOINTS
from requests_paths import PATHS
from requests_site import Site

pytestmark = pytest.mark.skipif(H2, reason="the bytes are HTTP/1.1")
HOSTILE = HEADERS + PATHS + BODIES + TARGETS
LEGAL = APPLICATION + ENDPOINTS
FLOORS = ((HEADERS, 245), (PATHS, 311), (BODIES, 312), (TARGETS, 68), (APPLICATION, 159), (ENDPOINTS, 155))
HTTPD_SAYS = ("AH01136: Unescaped URL path matched ProxyPass", "AH01093: chunked, chunked Transfer-Encoding is not supported",
              "AH10244: invalid URI path", "AH10508: Unsafe URL with %3f", "AH0126[45]: ", "AH028(09|1[12]): ",
              "AH01614: client used wrong authentication scheme")


@pytest.fixture(scope="module")
def site(new_server, keys, mint):
    made = Site(new_server(), keys, mint)
    for line in HTTPD_SAYS:
        made.server.expect_log(line, always=True)
    yield made
    made.close()


@pytest.mark.parametrize("case", HOSTILE, ids=str)
def test_a_hostile_request_gets_nothing(site, case):
    site.run(case)


@pytest.mark.parametrize("case", LEGAL, ids=str)
def test_an_odd_request_that_is_legal_gets_what_it_asks_for(site, case):
    site.run(case)


def test_the_oldest_protocol_has_no_way_around(site):
    """HTTP/0.9 has no status line, only a body."""
    with site.server.connect() as c:
        c.send_raw(b"GET /app/x\r\n\r\n")
        data = b""
        while more := c.sock.recv(4096):
            data += more
    assert b"Missing token" in data and site.backend.take() == []


PIECES = ("x", "/", "//", ".", "..", ";", "&", "=", "+", ":", "@", "*", "access_token", "access_token=a", "%3f", "%3F", "%23", "%25", "%2e", "%20x",
          "%26", "%3d", "%2b", "%5c", "%c3%a9")
QUERY = ("?", "&", "=", "a", "+", ";", "%26", "%3f", "access_token", "access_token=a", "access_token=", "%61ccess_token=b")


def test_the_path_that_was_judged_goes_on_and_the_query_but_for_the_token(site):
    """Whatever address a user of a cookie thinks of: else rules of one path would let in to another."""
    chance, seed = random.Random(), random.randrange(1 << 32)
    chance.seed(seed)
    cookie, count = "Cookie: session=" + site.mint(sub="alice", roles=["staff"]), 0
    for _ in range(600):
        path = "/app/" + "".join(chance.choices(PIECES, k=chance.randint(1, 8)))
        query = "".join(chance.choices(QUERY, k=chance.randint(0, 6)))
        site.backend.take()
        r = site.server.get(path + ("?" + query if query else ""), cookie, "X-Mark: judged")
        seen = site.backend.take()
        assert len(seen) == (1 if r.status == 200 and r["X-Uri"].startswith("/app/") else 0), (seed, path, query, r)
        for request in seen:
            count += 1
            there, _, asked = request.target.partition("?")
            assert urllib.parse.unquote(there, "latin-1") == r["X-Uri"], (seed, path, query, request, r["X-Uri"])
            kept = [one for one in query.split("&") if one and urllib.parse.unquote_plus(one.partition("=")[0]) != "access_token"]
            assert [one for one in asked.split("&") if one] == kept, (seed, path, query, request)
    assert count > 300, count


def test_no_case_is_lost():
    """The tables never get shorter by accident, and no two cases bear one name."""
    names = collections.Counter(case.name for case in HOSTILE + LEGAL)
    assert [name for name, count in names.items() if count > 1] == []
    assert [len(t) >= n for t, n in FLOORS] == [True] * len(FLOORS), [len(t) for t, _ in FLOORS]
