"""
A day's worth of requests, as fast as one child answers them: 10,000,000 with `make soak`, which is 115 a second for 24 hours; fewer
otherwise. There are more tokens than either cache holds, keys are replaced and tokens revoked meanwhile, every answer has to be the
right one, and memory stays what it was.
"""

import contextlib
import os
import random
import re
import time
from pathlib import Path

import pytest

import httpd as servers
from httpd import MPM
from issuers import write_keys
from storing import PAGE, text
from tokens import fields, key_set, make

REQUESTS = 10_000_000 if os.environ.get("TR_LONG") else 80_000
TOKENS = 3000
CONNECTIONS, BURST = 4, 50
STEPS = 20  # at each of them keys change and a token is revoked
WARM = 10  # of these steps, until both caches are full and malloc has found its places
MOST_KB = 1024


def own_memory_kb(pid):
    """What is in no other process: the table and the verified-token cache are shared, and of a fixed size."""
    return int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii")).group(1))


class Crowd:
    """Asks for the page with one token after another, drawn at random, many on each connection at once."""

    def __init__(self, server, tokens):
        self.server, self.tokens, self.gone = server, tokens, set()
        self.draw = random.Random(6)
        self.head = f"GET {PAGE} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: Bearer "

    def revoke(self):
        one = self.draw.choice(sorted(set(range(TOKENS)) - self.gone))
        assert self.server.revoke(self.tokens[one]).status == 200
        self.gone.add(one)
        return one

    def ask(self, connections, requests, first):
        """The tokens of first are asked for before all others."""
        for _ in range(requests // (CONNECTIONS * BURST)):
            bursts = [first + self.draw.choices(range(TOKENS), k=BURST - len(first)) for _ in connections]
            first = []
            for c, burst in zip(connections, bursts):
                c.send_raw("".join(f"{self.head}{self.tokens[i]}\r\n\r\n" for i in burst).encode())
            for c, burst in zip(connections, bursts):
                for i in burst:
                    answer = c.receive()
                    assert answer.status == (401 if i in self.gone else 200), (i, answer, answer.reason)


@pytest.mark.h1("many requests on one connection at once")
@pytest.mark.skipif(MPM == "prefork", reason="a connection is a process there")
@pytest.mark.skipif(bool(servers.SAN), reason="a sanitizer keeps what was freed")
def test_after_a_days_worth_of_requests_memory_is_what_it_was(new_server, keys, mint):
    server = new_server(children=1)
    write_keys(server, keys)
    # One child, but there might be 256, so that it has the least share of memory: 512 tokens in 1 MB.
    server.start(f"ServerLimit 256\nMaxRequestWorkers {256 * server.threads}\nLogLevel warn\nTokRevokeVerifiedCache 2000\n" + text())
    (pid,) = server.pids()
    until = int(time.time()) + 12 * 3600
    crowd = Crowd(server, [mint("HS256" if n % 10 else "ES256", jti=f"j{n}", exp=until) for n in range(TOKENS)])
    found = []
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(CONNECTIONS)]
        for step in range(STEPS):
            extra = [fields(make("p256"), kid="extra")] if step % 2 else []
            server.write("conf/all.jwks", key_set(*(fields(key, kid=name) for name, key in keys.own.items()), *extra))
            crowd.ask(connections, REQUESTS // STEPS, [crowd.revoke()])
            os.truncate(server.root / "logs" / "access", 0)
            found.append(own_memory_kb(pid))
    assert server.pids() == [pid]
    assert max(found[WARM:]) - found[WARM] < MOST_KB, found
    server.stop()
