"""
Putting load on a server, and what it cost: requests per second by wrk, CPU of all the server's processes from /proc, and the
share of the machine that something else took meanwhile.
"""

import os
import re
import subprocess
import time
from pathlib import Path

CONNECTIONS = 32
TICK = os.sysconf("SC_CLK_TCK")
# Requests are put together before wrk's clock starts, so that many tokens cost it little more than one.
SCRIPT = """
local requests, n, order = {}, 0, os.getenv("TR_ORDER")
function init(args)
    math.randomseed(tonumber(os.getenv("TR_SEED")))
    for line in io.lines(os.getenv("TR_TOKENS")) do
        requests[#requests + 1] = wrk.format("GET", nil, { ["Authorization"] = "Bearer " .. line })
    end
end
function request()
    if order == "random" then return requests[math.random(#requests)] end
    n = n + 1
    if n > #requests then
        if order == "once" then os.exit(3) end
        n = 1
    end
    return requests[n]
end
"""


class TokensRanOut(Exception):
    pass


class Disturbed(Exception):
    """wrk met what is no answer, a connection that broke or took too long; or the server changed its processes."""


def cpu_s(pid):
    """User and system time of a process: in nanoseconds where the kernel tells each thread's, else in ticks."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text(encoding="ascii").split()[0])
        return total / 1e9
    except FileNotFoundError:
        if not Path("/proc/self/schedstat").exists():
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / TICK
        raise


def busy_s():
    """CPU time of the whole machine that was not idle; what a hypervisor took is in it."""
    fields = [int(f) for f in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICK


def own_s():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def percentile(out, percent):
    """Milliseconds of wrk's table of latencies."""
    value, unit = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)$", out, re.M).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]


def wrk(url, seconds, *options, connections=CONNECTIONS, environment=None):
    """(everything wrk said, requests, requests per second)"""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", *options, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})})
    if done.returncode == 3:
        raise TokensRanOut(url)
    assert done.returncode == 0, done.stdout + done.stderr
    requests = int(re.search(r"(\d+) requests in", done.stdout).group(1))
    if "Socket errors" in done.stdout or requests == 0:
        raise Disturbed(done.stdout)
    return done.stdout, requests, float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))


class Load:
    """
    What a client sends: one token, many at random, or each one once. order "around" begins again when all were sent, and is for a
    server that does not look at them.
    """

    def __init__(self, name, tokens, order="one", refused=False):
        self.name, self.tokens, self.order, self.refused = name, tokens, order, refused
        self.seed = 0

    def options(self, folder, loops):
        if self.order == "one":
            token = self.tokens.read_text().split()[0]
            return ["-H", f"Authorization: Bearer {token}"], {}
        self.seed += 1
        order = "around" if loops and self.order == "once" else self.order
        script = folder / "load.lua"
        script.write_text(SCRIPT)
        return ["-s", str(script)], {"TR_TOKENS": str(self.tokens), "TR_ORDER": order, "TR_SEED": str(self.seed)}


def watched(server, run):
    """
    (what run() returned, CPU seconds of the server's processes, share of the machine that was neither theirs nor ours). Disturbed
    if the server changed its processes in between.
    """
    pids = server.processes()
    used, all_used, own, wall = sum(map(cpu_s, pids)), busy_s(), own_s(), time.monotonic()
    returned = run()
    wall = time.monotonic() - wall
    if server.processes() != pids:
        raise Disturbed("other processes")
    used, all_used, own = sum(map(cpu_s, pids)) - used, busy_s() - all_used, own_s() - own
    return returned, used, round(max(0.0, all_used - used - own) / (wall * os.cpu_count()), 4)


def measure(server, load, seconds, folder):
    """One measurement."""
    options, environment = load.options(folder, not server.checks)
    (out, requests, rate), used, others = watched(server, lambda: wrk(server.page, seconds, *options, environment=environment))
    refused = int(m.group(1)) if (m := re.search(r"Non-2xx or 3xx responses: (\d+)", out)) else 0
    assert refused == (requests if load.refused else 0), f"{server.name}, {load.name}: {refused} of {requests} were refused"
    return {"rate": rate, "cpu_us": round(1e6 * used / requests, 3), "requests": requests, "others": others,
            "p50_ms": percentile(out, 50), "p99_ms": percentile(out, 99)}
