"""
What durable storage costs: revocations per second at 1, 8 and 64 clients, stored in SQLite, beside the same endpoint with
"TokRevokeDatabase none", in interleaved rounds; how long a start takes with many revocations stored; how much memory they need.
Every revocation is of a new token (HS256, the signature that costs least, so that storing weighs most). After the rounds, every
token of a sample has to be in the database.
"""

import contextlib
import hashlib
import hmac
import json
import os
import re
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

from client import Conn
from loads import Disturbed, watched, wrk
from servers import PAGE, REPO, Ours
from tokens import b64, secret_bytes
from tokens_for import ISS

CLIENTS = (1, 8, 64)
TRIES = 3
PER_SECOND = 40000  # tokens made for each second of a round; a server that is faster stops early and is not counted
SCRIPT = """
local tokens, n = {}, 0
for line in io.lines(os.getenv("TR_TOKENS")) do tokens[#tokens + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
function request()
    n = n + 1
    if n > #tokens then os.exit(3) end
    return wrk.format(nil, nil, nil, "token=" .. tokens[n])
end
"""


class Endpoint(Ours):
    """The module with another database."""

    def __init__(self, tokens, database):
        super().__init__(database, "tuned", tokens)

    def text(self):
        text = "TokRevokeCapacity 4000000\n" + super().text()
        return re.sub(r"^TokRevokeDatabase .*$", "TokRevokeDatabase none", text, flags=re.M) if self.name == "none" else text


def numbered(secret, numbers):
    """Tokens whose jti is their number, so that what was stored can be told from what was not."""
    head, now = b64('{"alg":"HS256","typ":"at+jwt","kid":"oct"}'), int(time.time())
    for n in numbers:
        claims = {"iss": ISS, "sub": f"user{n % 1000}", "jti": f"{n:032x}", "iat": now, "exp": now + 3600}
        text = head + "." + b64(json.dumps(claims))
        yield text + "." + b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def sync_rate(folder):
    """Appends of 4 KiB with fdatasync, one after the other: what the disk allows."""
    fd, n, end = os.open(folder / "probe", os.O_CREAT | os.O_WRONLY | os.O_APPEND), 0, time.monotonic() + 1
    while time.monotonic() < end:
        os.write(fd, b"x" * 4096)
        os.fdatasync(fd)
        n += 1
    os.close(fd)
    return n


def revocations_per_second(server, clients, seconds, tokens):
    """And the share of the machine that others took, among whom is the kernel where it writes."""
    (out, _, rate), _, others = watched(server, lambda: wrk(
        f"{server.url}/revoke", seconds, "-s", str(tokens.parent / "post.lua"), connections=clients,
        environment={"TR_TOKENS": str(tokens)}))
    assert "Non-2xx" not in out, out
    return rate, others


class Revoker:
    """Revokes a new token with each request."""

    def __init__(self, folder, secret, seconds):
        self.file, self.secret, self.seconds = folder / "tokens", secret, seconds
        self.number = 0  # of the next token
        (folder / "post.lua").write_text(SCRIPT)

    def rate(self, server, clients):
        """(revocations per second, share of the machine that others took, numbers of some that were acknowledged)"""
        for _ in range(TRIES):
            first, count = self.number, PER_SECOND * (self.seconds + 1)
            self.number += count
            self.file.write_text("\n".join(numbered(self.secret, range(first, first + count))) + "\n")
            with contextlib.suppress(Disturbed):
                rate, others = revocations_per_second(server, clients, self.seconds, self.file)
                # wrk asks its script for a request once before it begins, and some are under way when it ends
                return rate, others, range(first + 2, first + int(rate * self.seconds) - 2 * clients, 997)
        raise AssertionError(f"{server.name}: connections broke {TRIES} times")


def rates(folder, tokens, rounds, seconds):
    servers = {name: Endpoint(tokens, name).up() for name in ("none", "sqlite3")}
    result, syncs, shares, acknowledged = {(name, c): [] for name in servers for c in CLIENTS}, [], [], []
    revoker = Revoker(folder, secret_bytes(tokens.keys["oct"]), seconds)
    for _ in range(rounds):
        syncs.append(sync_rate(folder))
        for clients in CLIENTS:
            for name, server in servers.items():
                rate, others, some = revoker.rate(server, clients)
                result[name, clients].append(rate)
                shares.append(others)
                acknowledged += some if name == "sqlite3" else ()
        print(f"  round: {syncs[-1]} syncs/s; " + ", ".join(f"{c} clients {result['sqlite3', c][-1]:.0f}/s of "
                                                             f"{result['none', c][-1]:.0f}/s" for c in CLIENTS), flush=True)
    with sqlite3.connect(f"file:{servers['sqlite3'].root}/state/revocations.db?mode=ro", uri=True) as db:
        stored = {row[0] for row in db.execute("SELECT value FROM tokrevoke_revocations")}
    missing = [n for n in acknowledged if f"{n:032x}" not in stored]
    assert acknowledged and not missing, f"acknowledged but not stored: {missing[:5]}"
    for server in servers.values():
        server.remove()
    return {"syncs": syncs, "others": shares, "clients": {str(c): {name: result[name, c] for name in servers} for c in CLIENTS}}


# ---- many that are stored ----


def fill(folder, count):
    """A folder with a database that holds so many live revocations."""
    folder.mkdir()
    folder.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(folder, "www-data", "www-data")
    subprocess.run([str(REPO / "build" / "bench" / "fill_store"), f"sqlite3:{folder}/revocations.db", str(count)], check=True,
                   user="www-data" if os.geteuid() == 0 else None)
    return folder


def start_s(server):
    """Seconds from the start of the program until it has answered a good token."""
    token = server.tokens.lines("RS256", 1)[0]
    began = time.monotonic()
    server.launch()
    while True:
        assert server.process.poll() is None and time.monotonic() < began + 60, server.error_log()
        try:
            with Conn("127.0.0.1", server.port) as c:
                assert c.request("GET", PAGE, f"Authorization: Bearer {token}").status == 200
                return time.monotonic() - began
        except OSError:
            time.sleep(0.002)


def starts(tokens, filled, count, rounds):
    servers = {"none": Ours("none", "tuned", tokens), "live": Ours("live", "tuned", tokens, database=filled)}
    result = {name: [] for name in servers}
    loads = []
    for server in servers.values():
        server.up()
        server.stop()
    for _ in range(rounds):
        for name, server in servers.items():
            result[name].append(round(start_s(server), 4))
            server.stop()
        loads.append(float(re.findall(r"revocations loaded from .* in ([\d.]+) s", servers["live"].error_log())[-1]))
        print(f"  start with none {result['none'][-1]:.3f} s, with {count} {result['live'][-1]:.3f} s", flush=True)
    assert re.search(rf"\b{count + 1} revocations loaded", servers["live"].error_log()), servers["live"].error_log()
    size = (servers["live"].root / "state" / "revocations.db").stat().st_size
    for server in servers.values():
        server.remove()
    return {"revocations": count, **result, "load": loads, "database_bytes": size}


class Sized(Ours):
    """The module with a table for so many."""

    def __init__(self, tokens, capacity, cache=None):
        super().__init__(f"capacity {capacity}", "tuned", tokens, cache=cache)
        self.capacity = capacity

    def text(self):
        return f"TokRevokeCapacity {self.capacity}\n" + super().text()


def shared_bytes(server):
    """What the server has mapped that its processes share and write."""
    server.up()
    total = 0
    for line in Path(f"/proc/{server.process.pid}/maps").read_text(encoding="utf-8").splitlines():
        span, flags, *_ = line.split()
        if flags == "rw-s":
            low, high = (int(x, 16) for x in span.split("-"))
            total += high - low
    server.remove()
    return total


def memory(tokens):
    few, many, verified = 1000, 1000000, 65536
    small, large = (shared_bytes(Sized(tokens, n, cache="off")) for n in (few, many))
    with_cache = shared_bytes(Sized(tokens, few, cache=verified))
    result = {"revocations": many, "bytes_per_revocation": round((large - small) / (many - few), 2), "shared_bytes": large,
              "verified_tokens": verified, "bytes_per_verified_token": round((with_cache - small) / verified, 2)}
    print(f"  {result['bytes_per_revocation']} bytes a revocation of capacity", flush=True)
    return result
