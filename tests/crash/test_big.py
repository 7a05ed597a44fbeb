"""A start with very many revocations, on a slow disk: it takes its time, and no request is answered before all of them are in force."""

import os
import shutil
import subprocess
import threading
import time

import pytest

from crashing import ACCEPTED, ISSUER, LONG, REVOKED, ROOT, SLOW, ask, check, clock, own, revoke_all, until

FILL = os.environ.get("TR_FILL_STORE")
ROWS = 10_000_000 if LONG else 150_000
ROWS_A_SECOND = 25_000  # a tenth of what one processor reads and checks beside other work

pytestmark = pytest.mark.skipif(not FILL, reason="TR_FILL_STORE names no program; make crash does")


class Impatient(threading.Thread):
    """Asks for a page with a revoked token from before the start on, and keeps what it is told."""

    def __init__(self, site, token):
        super().__init__()
        self.site, self.token = site, token
        self.verdicts, self.stop = [], threading.Event()

    def run(self):
        while not self.stop.is_set():
            try:
                with self.site.connect() as c:
                    c.send_raw((f"GET /p/app/ok.txt HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token.text}\r\n\r\n").encode())
                    self.verdicts.append(c.receive().reason)
            except (OSError, EOFError):
                pass
            time.sleep(0.01)


def test_a_start_with_very_many_revocations_answers_nobody_before_all_are_in_force(new_site, mint, record_property):
    """J-big"""
    site = new_site(children=2)
    site.capacity = ROWS + 10000
    site.expect_log("exit signal Killed", always=True)
    site.up()
    kept = revoke_all(site, [mint() for _ in range(3)])
    site.kill_all()
    for path in site.files() + [site.state]:
        if ROOT and path.exists():
            shutil.chown(path, "root")
    subprocess.run([FILL, f"sqlite3:{site.state}/tokrevoke.db", str(ROWS)], check=True, timeout=3600)
    own(site.state, site)
    site.up()
    kept += revoke_all(site, [mint() for _ in range(3)])  # the last rows
    site.kill_all()
    if shutil.which("strace"):  # each read takes a while
        site.wrapper = ["strace", "-f", "-o", "/dev/null", "-e", "trace=pread64", "-e", "inject=pread64:delay_enter=100"]
    caller = Impatient(site, kept[-1])
    site.begin()
    caller.start()
    began = clock()
    try:
        assert site.wait_until_up(20 + 10 * ROWS / ROWS_A_SECOND), "httpd did not start:\n" + site.tail()
        took = clock() - began
        until(lambda: caller.verdicts, 10, "the caller is not answered")
    finally:
        caller.stop.set()
        caller.join(30)
        site.wrapper = ()
    record_property("start_s", round(took, 2))
    assert set(caller.verdicts) == {"revoked"}, caller.verdicts[:5]
    assert took < (5 + ROWS / ROWS_A_SECOND) * SLOW, f"{took:.1f} s for {ROWS} rows"
    assert f"{ROWS + len(kept)}" in site.said(), site.tail()
    good = mint(issuer=ISSUER)
    for c in site.one_to_each(2, patience=10).values():
        assert ask(site, [good, *kept], c) == [ACCEPTED] + [REVOKED] * len(kept)
        c.close()
    site.again()
    check(site, kept, [good])
