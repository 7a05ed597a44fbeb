"""Children that end after a few connections, and fewer of them than callers: nothing that was acknowledged is lost, and nobody waits for ever."""

import os
import threading
import time

import pytest

from database import Database
from httpd import MPM
from issuers import write_keys
from storing import FORM, SLOW, are_accepted, are_revoked, ask, text
from test_store_restart import book

# By how many connections a child lives for: callers, and revocations of each. httpd makes a few children a second; an mpm_event of
# which each child ends after one or three may leave callers waiting, with or without the module.
CALLERS = {1: (4, 2), 3: (4, 3), 10: (4, 5)} if MPM == "prefork" else {6: (2, 4), 10: (4, 5)}
if os.environ.get("TR_LONG"):
    CALLERS = {lives: (callers, 10 * each) for lives, (callers, each) in CALLERS.items()}
SMALL = ("MinSpareServers 6\nMaxRequestWorkers 12\n" if MPM == "prefork" else
         "MinSpareThreads 16\nMaxSpareThreads 32\nMaxRequestWorkers 16\n")


class Callers:
    """Each revokes one token after the other, and looks whether the last two and a good one have their verdicts."""

    def __init__(self, site, mint, callers, each):
        self.site = site
        self.tokens = [[mint() for _ in range(each)] for _ in range(callers)]
        self.good = mint()
        self.kept, self.failures, self.seen = [], [], set()
        self.threads = [threading.Thread(target=self.work, args=(tokens,)) for tokens in self.tokens]

    def answer(self, what):
        """On a new connection; on the next one where a child that ends has closed it."""
        end = time.monotonic() + 60 * SLOW
        while True:
            try:
                with self.site.connect() as c:
                    c.sock.settimeout(5 * SLOW)  # mpm_event may leave a connection to a child that ends without answering
                    return what(c)
            except (EOFError, OSError):
                assert time.monotonic() < end, "nobody answers"

    def one(self, token, before):
        r = self.answer(lambda c: c.request("POST", "/revoke", FORM, body="token=" + token))
        if r.status != 200:
            self.failures.append(r)
            return
        self.kept.append(token)
        found = [self.answer(lambda c, t=t: ask(c, t)) for t in (token, before or token, self.good)]
        if found != ["revoked", "revoked", "accepted"]:
            self.failures.append(found)

    def work(self, tokens):
        before = None
        for token in tokens:
            try:
                self.one(token, before)
            except Exception as e:  # noqa: BLE001 - a thread's own error would be lost
                self.failures.append(repr(e))
                return
            before = token

    def run(self):
        for t in self.threads:
            t.start()
        while any(t.is_alive() for t in self.threads):
            self.seen |= set(self.site.pids())
            self.threads[0].join(0.02)
        return self


@pytest.mark.parametrize("per_child", CALLERS)
def test_children_that_come_and_go_lose_nothing(new_server, keys, mint, per_child):
    """G2"""
    site = new_server(children=8)
    site.threads = 2
    write_keys(site, keys)
    site.start(text())
    site.reconfigure(text(f"MaxConnectionsPerChild {per_child}\n{SMALL}"))
    site.graceful()
    site.expect_log("AH0004[5-9]|AH00161|AH00484|AH00485|AH00486|AH03093|AH03490|AH03269|AH10159", always=True)  # httpd has as many as it may have
    first = Callers(site, mint, *CALLERS[per_child]).run()
    before = book(site)
    second = Callers(site, mint, *CALLERS[per_child]).run()
    after = book(site)
    assert not first.failures + second.failures, (first.failures + second.failures)[:3]
    assert first.seen - set(site.pids()), "no child has ended"
    assert after["fds"] <= before["fds"] and after["maps"] <= before["maps"] + 4, (before, after)
    kept = first.kept + second.kept
    assert len(kept) == 2 * CALLERS[per_child][0] * CALLERS[per_child][1]
    site.reconfigure(text())
    site.kill()
    site.again()
    are_revoked(site, kept)
    are_accepted(site, [second.good])
    assert Database(site).is_whole()
    site.stop()
