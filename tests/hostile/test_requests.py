"""
Raw requests, byte for byte: hostile ones, which get nothing, and odd ones that are legal, which get what they ask for. The tables are
in requests_*.py.
"""

import collections

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


def test_no_case_is_lost():
    """The tables never get shorter by accident, and no two cases bear one name."""
    names = collections.Counter(case.name for case in HOSTILE + LEGAL)
    assert [name for name, count in names.items() if count > 1] == []
    assert [len(t) >= n for t, n in FLOORS] == [True] * len(FLOORS), [len(t) for t, _ in FLOORS]
