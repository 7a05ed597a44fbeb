"""
A child that is stopped while it holds a lock of all httpd's processes, and killed there: pages go on meanwhile, whoever wants to revoke
waits or hears 503, and from its death on everything is as before.
"""

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

import audit
import httpd as servers
from crashing import FAILED, KILLED, SLOW, ask, callers, check, is_503, is_done, is_stopped, revoke_all, until

pytestmark = pytest.mark.skipif(bool(servers.SAN), reason="a sanitizer wants to be the first library")


@pytest.fixture(scope="module")
def holding(tmp_path_factory):
    folder = tmp_path_factory.mktemp("holding")
    built = folder / "holding.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_LARGEFILE64_SOURCE", "-I" + servers.apxs("APR_INCLUDEDIR"), "-o", str(built),
                    str(Path(__file__).with_name("holding.c")), "-ldl"], check=True)
    return built


@pytest.fixture
def site(new_site, holding):
    site = new_site(children=2)
    folder = site.root / "hold"
    folder.mkdir()
    folder.chmod(0o777)
    site.environment = {"LD_PRELOAD": str(holding), "TR_HOLD": str(folder)}
    site.expect_log(KILLED, always=True)
    site.expect_log(FAILED.pattern, always=True)
    return site.up()


class Background(threading.Thread):
    """A revocation that waits for its answer."""

    def __init__(self, caller, token):
        super().__init__()
        self.caller, self.token, self.answer, self.failure = caller, token, None, None
        self.start()

    def run(self):
        try:
            self.answer = self.caller.revoke(self.token)
        except Exception as e:  # noqa: BLE001 - a thread's own error would be lost
            self.failure = e

    def result(self):
        self.join(30)
        assert not self.is_alive() and self.failure is None, self.failure
        return self.answer


@pytest.mark.parametrize("when", ["locked", "unlocking"])
@pytest.mark.parametrize("lock", ["table", "store"])
@pytest.mark.parametrize("patient", [False, True], ids=["killed at once", "killed after the others have given up"])
def test_a_child_killed_where_it_holds_a_lock_blocks_nobody(site, mint, lock, when, patient):
    """K2"""
    good = [mint() for _ in range(3)]
    one, other = callers(site)
    kept = revoke_all(site, [mint() for _ in range(3)])
    for caller in (one, other):
        kept += [token := mint()]
        assert caller.revoke(token).status == 200
    order = site.root / "hold" / f"{lock}-{when}"
    order.touch()
    order.chmod(0o666)
    taken, waiting = mint(), mint()
    first = Background(one, taken)
    until(lambda: not order.exists() and is_stopped(one.pid), 10, "nobody came to hold the lock")
    other.check(kept, good)
    second = Background(other, waiting)
    if patient:  # whoever waits for the store has a limit; nobody goes past the lock of the table
        second.join(5 * SLOW if lock == "store" else 1)
        assert second.is_alive() == (lock == "table")
    os.kill(one.pid, signal.SIGKILL)
    assert first.result() is None, "who was killed has answered"
    r = second.result()
    assert is_503(r) if patient and lock == "store" else is_done(r), r
    kept += [waiting] if is_done(r) else []
    late = mint()
    until(lambda: is_done(other.revoke(late)), 1, lambda: "revoking does not come back:\n" + site.tail())
    kept.append(late)
    (found,) = ask(site, [taken])
    until(lambda: len(site.pids()) > 1, 20, "no child is born")
    for caller in callers(site):
        caller.check([*kept, waiting], good)
        assert ask(site, [taken], caller.connection()) == [found]
        kept.append(mint())
        assert is_done(caller.revoke(kept[-1]))
    until(lambda: waiting.value in audit.values(site.state / "tokrevoke.db"), 5, "what waited is not stored", every=0.05)
    site.again()
    check(site, [*kept, waiting], good)
    site.stop()
    assert audit.complaints(site.state / "tokrevoke.db") == []
