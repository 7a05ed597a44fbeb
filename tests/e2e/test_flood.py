"""A flood of forged tokens, each of which costs eight signature checks: what it may take, and whom it stops."""

import itertools
import os
import threading
import time
import urllib.parse

import pytest

from backend import Backend
from guarding import GUARD, ROTATION, grants, location
from httpd import ALIAS, endpoint, protected
from issuers import issuer
from test_revoke import FORM
from tokens import fields, key_set, make

FLOOD = r"TR067: tokens with wrong signatures take too much time"
SENDERS = 8
AT_ONCE = 20
ELSEWHERE = "127.0.0.9"

pytestmark = pytest.mark.skipif(os.cpu_count() > 24, reason="too few senders to keep a fifth of so many processors busy")


@pytest.fixture(scope="module")
def site(new_server):
    server = new_server(children=2)
    server.backend = Backend()
    keys = [make("p521") for _ in range(8)]
    server.write("conf/eight.json", key_set(*map(fields, keys)))
    server.start(issuer("https://idp.test/", 'TokRevokeKeySet "{root}/conf/eight.json"') + ALIAS + protected("app")
                 + protected("optional", "TokRevokeOptional On") + endpoint("/revoke")
                 + f"ProxyPass /as/ http://127.0.0.1:{server.backend.port}/as/\n" + location("/as/", GUARD, ROTATION))
    server.key = keys[-1]
    yield server
    server.stop()
    server.backend.close()


class Flood:
    """Forged tokens from one address, on several connections, many at once on each."""

    def __init__(self, server, token, source):
        self.server, self.source = server, source
        self.request = f"GET /p/app/ok.txt HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        self.answers = []
        self.over = threading.Event()
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self.go_on, daemon=True) for _ in range(SENDERS)]

    def go_on(self):
        with self.server.connect(source=self.source) as c:
            while not self.over.is_set():
                c.send_raw(self.request * AT_ONCE)
                for _ in range(AT_ONCE):
                    answer = c.receive()
                    self.answers.append(answer)
                    if answer.status == 429:
                        self.stopped.set()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        for thread in self.threads:
            thread.join(60)


def ask(server, token, source, path="/p/app/ok.txt"):
    with server.connect(source=source) as c:
        return c.request("GET", path, "Authorization: Bearer " + token)


@pytest.mark.h1("sends many requests at once by hand")
def test_a_flood_is_stopped_and_nobody_else(site, mint, keys):
    site.expect_log(FLOOD)
    known, unknown = (mint("ES512", key=site.key, kid=None) for _ in range(2))
    forged = mint("ES512", key=keys.other["p521"], kid=None)
    assert ask(site, known, ELSEWHERE).status == 200
    assert ask(site, forged, "127.0.0.1").reason == "bad_signature"
    with Flood(site, forged, "127.0.0.1") as flood:
        assert flood.stopped.wait(60), len(flood.answers)
        for _ in range(20):  # a remembered token passes from there, too
            assert ask(site, known, "127.0.0.1").status == 200
        for _ in range(5):  # whoever has sent few is answered as ever
            assert ask(site, mint("ES512", key=site.key, kid=None), ELSEWHERE).status == 200
            assert ask(site, forged, ELSEWHERE).reason == "bad_signature"
        stopped = [ask(site, unknown, "127.0.0.1") for _ in range(20)]
        assert {r.status for r in stopped} <= {200, 429}, stopped  # in a moment when there is time again it is checked
        revoking = site.get("/revoke", FORM, method="POST", body="token=" + forged)
        assert revoking.status in (200, 503), revoking
        optional = ask(site, forged, "127.0.0.1", "/p/optional/ok.txt")
        assert optional.status == 200 and optional.user is None and optional.reason in ("bad_signature", "unavailable")
    assert {r.status for r in flood.answers} == {401, 429}
    refused = [r for r in flood.answers if r.status == 429]
    assert all(r.reason == "unavailable" and int(r["Retry-After"]) > 0 and r["WWW-Authenticate"] is None for r in refused)
    checked = [r for r in flood.answers if r.status == 401]
    assert len(checked) >= 99 and {r.reason for r in checked} == {"bad_signature"}


@pytest.mark.h1("sends many requests at once by hand")
def test_what_the_token_endpoint_gave_out_is_not_taken_back_in_a_flood(site, mint, keys):
    site.expect_log(FLOOD)
    serial = itertools.count()
    site.backend.answer = lambda request: grants(mint("ES512", key=site.key, kid=None), f"given-{next(serial)}")
    with Flood(site, mint("ES512", key=keys.other["p521"], kid=None), "127.0.0.1") as flood:
        assert flood.stopped.wait(60), len(flood.answers)
        for i in range(20):
            body = urllib.parse.urlencode({"grant_type": "refresh_token", "refresh_token": f"shown-{i}"})
            assert site.get("/as/token", FORM, method="POST", body=body).status == 200, i


@pytest.mark.h1("follows the other test")
def test_when_a_flood_is_over_its_address_is_answered_again(site, mint):
    for _ in range(200):
        if ask(site, mint("ES512", key=site.key, kid=None), "127.0.0.1").status == 200:
            return
        time.sleep(0.1)
    raise AssertionError("still refused")
