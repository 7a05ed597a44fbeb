"""Fixtures: keys, mints, the server most tests share, and the rule that a test leaves no unannounced line in an error log."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import httpd as servers
import workers
from httpd import REPO, Httpd
from issuers import configure
from tokens import KEY_OF, ALGS, Keys, Mint, claims, fields


def pytest_configure(config):
    config.addinivalue_line("markers", "h1(why): of HTTP/1.1 alone, and so left out of the run over HTTP/2")
    workers.configure(config)


def pytest_collection_modifyitems(items):
    for item in items:
        if servers.H2 and (mark := item.get_closest_marker("h1")):
            item.add_marker(pytest.mark.skip(reason=mark.args[0]))


@pytest.fixture(scope="session")
def keys():
    return Keys()


@pytest.fixture(scope="session")
def mint(keys):
    return Mint(keys)


@pytest.fixture(scope="session")
def node_folder():
    """The folder where npm has put what package.json names; filled from the lock file when make has not done so yet."""
    here, there = REPO / "tests" / "e2e" / "node", Path(os.environ.get("TR_NODE", REPO / "build" / "node"))
    if not all((there / "node_modules" / name).is_dir() for name in ("jose", "oidc-provider", "playwright-core")):
        there.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(here / name, there)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=there, check=True, capture_output=True, timeout=180)
    workers.lend(here / "mint.js", there)
    return there


@pytest.fixture(scope="session")
def jose_tokens(keys, node_folder):
    """One token of every algorithm, minted by jose for node: {alg: token}."""
    jobs = []
    for alg in ALGS:
        if alg in ("Ed25519", "Ed448"):
            continue  # this jose knows them as EdDSA
        jobs.append({"alg": alg, "kid": KEY_OF[alg], "key": fields(keys[KEY_OF[alg]], private=True), "claims": claims()})
    done = subprocess.run(["node", "mint.js"], cwd=node_folder, input="\n".join(json.dumps(j) for j in jobs), capture_output=True,
                          text=True, check=True, timeout=60)
    return {row["alg"]: row["token"] for row in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="session")
def main(keys):
    """The server with all the issuers of issuers.py."""
    server = Httpd()
    configure(server, keys)
    yield server
    server.stop()
    left = server.unexpected()
    server.remove()
    assert not left, "\n".join(left)


@pytest.fixture(scope="module")
def new_server():
    """A maker of servers that end with the file's tests."""
    made = []

    def build(**how):
        made.append(Httpd(**how))
        return made[-1]

    yield build
    left = []
    for server in made:
        server.stop()
        left += server.unexpected()
        server.remove()
    assert not left, "\n".join(left)


@pytest.fixture(autouse=True)
def clean_logs(request):
    yield
    left = [line for server in servers.live for line in server.unexpected()]
    for server in servers.live:
        server.expected = []
    assert not left, "unannounced in the error log:\n" + "\n".join(left)
