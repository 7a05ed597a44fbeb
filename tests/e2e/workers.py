"""
Test processes side by side (pytest-xdist). A file of tests belongs to one of them, which has its own keys, servers and ports. A
test that is marked alone has the machine to itself: no other begins before it ends.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
COUNT = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
PATIENCE = 15  # seconds for a process that was interrupted to stop its servers

# What takes longest begins first, so that all processes end at about the same time.
LONGEST = ("syscalls", "cutoff_race", "browser", "snippets", "keys", "store_stall", "streams", "store_restart", "store",
           "store_start", "lifecycle", "introspect", "store_clock", "flows", "store_follow", "browser_login", "browser_streams",
           "backchannel", "guard")


def lend(path, folder):
    """A copy of the file, also while another process reads the one that it lent before."""
    fresh = folder / f"{path.name}.{os.getpid()}"
    shutil.copy(path, fresh)
    os.rename(fresh, folder / path.name)


class Worker:
    """
    One of the processes. Who wants to be alone must not wait until by chance nobody runs, so there are two locks: everybody
    passes the gate, one after the other, and then holds the room, together with others or alone; the one alone keeps it shut.
    """

    def __init__(self, folder):
        self.gate, self.room = (os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600) for name in ("gate", "room"))
        self.diary = folder / f"{os.getpid()}.runs"

    def pytest_collection_modifyitems(self, items):
        rank = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: rank.get(item.path.name, len(rank)))  # stable: within a file the order stays

    def pytest_sessionstart(self):
        self.diary.write_text("nothing yet", encoding="utf-8")

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        with self.turn(item.get_closest_marker("alone")):
            self.diary.write_text(item.nodeid, encoding="utf-8")
            yield

    @contextlib.contextmanager
    def turn(self, alone):
        fcntl.flock(self.gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(self.room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            if not alone:
                fcntl.flock(self.gate, fcntl.LOCK_UN)
            yield
        finally:
            fcntl.flock(self.room, fcntl.LOCK_UN)
            fcntl.flock(self.gate, fcntl.LOCK_UN)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough: servers are being stopped now

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_sessionfinish(self):
        yield
        self.diary.unlink()  # before xdist tells that this process has ended


class Conductor:
    """The process that gives the others their tests and collects what they say."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tokrevoke-e2e-workers-"))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node):
        node.workerinput["folder"] = str(self.folder)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session):
        """Whoever still runs was not heard to end: it is interrupted, and gets the time that it needs to leave nothing behind."""
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        told = {}
        for diary in self.folder.glob("*.runs"):
            pid = int(diary.stem)
            with contextlib.suppress(OSError):  # it has just ended
                reporter.ensure_newline()
                reporter.write_line(f"interrupted in {diary.read_text(encoding='utf-8')}")
                os.kill(pid, signal.SIGINT)
                told[diary] = pid
        end = time.monotonic() + PATIENCE
        while any(diary.exists() for diary in told) and time.monotonic() < end:
            time.sleep(0.02)

    def pytest_unconfigure(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def configure(config):
    """As a worker or the one that conducts them; a run in one process needs neither."""
    config.addinivalue_line("markers", "alone(why): no other test runs at the same time")
    if config.pluginmanager.has_plugin("workers-of-tokrevoke"):  # both folders of tests in one run
        return
    if hasattr(config, "workerinput"):
        if "folder" not in config.workerinput:
            raise pytest.UsageError("name the folder of tests, or run them in one process")
        config.pluginmanager.register(Worker(Path(config.workerinput["folder"])), "workers-of-tokrevoke")
    elif getattr(config.option, "numprocesses", None):
        config.pluginmanager.register(Conductor(), "workers-of-tokrevoke")
