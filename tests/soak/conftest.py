"""
Many requests of many kinds, and what the server holds after them. They use the harness of tests/e2e, and the tokens of bench.

TR_REQUESTS=N        how many (300000)
TR_SOAK_JSON=FILE    where the figures go
"""

import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "tests" / "e2e")]
sys.path.append(str(REPO / "bench"))

import workers  # noqa: E402


def pytest_configure(config):
    workers.configure(config)
