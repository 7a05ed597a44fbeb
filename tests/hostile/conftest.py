"""Tokens and requests of people who mean harm. They use the harness of tests/e2e, and its fixtures."""

import importlib.util
import sys
from pathlib import Path

HARNESS = Path(__file__).resolve().parents[1] / "e2e"
sys.path.insert(0, str(HARNESS))


def of_the_harness():
    """Its conftest.py, which bears the name of this file."""
    spec = importlib.util.spec_from_file_location("conftest_of_e2e", HARNESS / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


e2e = of_the_harness()
pytest_configure = e2e.pytest_configure
pytest_collection_modifyitems = e2e.pytest_collection_modifyitems
keys, mint, new_server, clean_logs = e2e.keys, e2e.mint, e2e.new_server, e2e.clean_logs
