"""What requests cost, in counts. They use the harness of tests/e2e for httpd."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

import workers  # noqa: E402
from costs import Ceilings  # noqa: E402
from httpd import Installed  # noqa: E402
from tokens import Keys, Mint  # noqa: E402


def pytest_configure(config):
    workers.configure(config)


@pytest.fixture(scope="session", autouse=True)
def no_debug_information():
    """Of the run's own copy of the module: valgrind does not know every compiler's, and gives up."""
    subprocess.run(["strip", "--strip-debug", Installed.module()], check=True, timeout=60)


@pytest.fixture(scope="session")
def keys():
    return Keys()


@pytest.fixture(scope="session")
def mint(keys):
    return Mint(keys)


@pytest.fixture(scope="session")
def ceilings():
    return Ceilings()


@pytest.fixture
def show(capsys, ceilings):
    """Print what was found, beside what it may be, whether the test fails or not."""
    def table(found):
        with capsys.disabled():
            print("\n" + ceilings.table(found))

    return table
