"""
Tests that kill, starve and damage what the revocations are stored in. They use the harness of tests/e2e.

TR_CRASH_ROUNDS=N   rounds of killing (25)             TR_CRASH_SEED=N   the random choices of a run that failed
TR_CRASH_LONG=1     every call, every offset, not a sample
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

import crashing  # noqa: E402
import workers  # noqa: E402


def pytest_configure(config):
    workers.configure(config)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left():
    crashing.adopt_orphans()
    yield
    left = [(site.root, site.members()) for site in crashing.sites]
    for site in list(crashing.sites):
        site.remove()
    assert not left, f"a test left a server: {left}"


@pytest.fixture(scope="session")
def mint():
    return crashing.Mint()


@pytest.fixture
def new_site(mint):
    """A maker of servers that end with the test; a log line that nobody announced fails it."""
    made = []

    def build(**how):
        made.append(crashing.Site(mint, **how))
        return made[-1]

    yield build
    left = []
    for site in made:
        site.kill_all()
        left += site.unexpected()
        site.remove()
    assert not left, "unannounced in the error log:\n" + "\n".join(left)


@pytest.fixture
def seed():
    """Shown when the test fails; TR_CRASH_SEED repeats its choices."""
    chosen = int(os.environ.get("TR_CRASH_SEED") or int.from_bytes(os.urandom(4), "big"))
    print(f"TR_CRASH_SEED={chosen}")
    return chosen
