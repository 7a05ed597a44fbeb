"""
What a day brings, one phase after the other: a crowd that asks (wrk, crowd.lua), and meanwhile somebody who revokes tokens, turns
keys and restarts httpd. In the first third of a day all of it; from then on the children stay, and so must what they hold. In the
evening httpd is restarted some times more, for what the parent holds.
"""

import collections
import os
import random
import re
import subprocess
import time
from pathlib import Path

from httpd import die_with_parent
from memory import growth, thirds
from place import PLACES, Site, wanted
from storing import FORM, EveryChild, until
from wallet import Wallet

SCRIPT = Path(__file__).with_name("crowd.lua")
PHASE = 200000  # requests, at most
LEAST_PHASES = 12
LONG = 2000000  # from so many on, children have filled what they may remember by default when the warm-up is over
CONNECTIONS = 24
FAR = 9999999999
# How often each group is asked for; brief: with a new connection each time.
SHARES = {"hot": 40, "many": 26, "fresh": 18, "revoked": 5, "expired": 4, "forged": 3, "retired": 2, "nobody": 1, "garbage": 1}
SHARES = {name: 1000 * share for name, share in SHARES.items()} | {"brief": 300}
TIMES = 8  # half of the fresh tokens come so often, the others once
WINDOW = 200  # and within so many others
EVENING = 3
LINE = re.compile(r"^(VERDICT|WRONG|COUNT)\t(.*?)(?:\t(\d+))?$", re.M)


class Crowd:
    """One run of wrk: so many requests, each answer compared with the one that must come."""

    def __init__(self, site, folder, seed):
        self.site, self.folder, self.seed = site, folder, seed
        self.process = None

    def begin(self, asks, requests):
        self.seed += 1
        (self.folder / "asks").write_text("".join(" ".join(map(str, ask)) + "\n" for ask in asks), encoding="ascii")
        shares = " ".join(f"{name}={share}" for name, share in SHARES.items())
        self.process = subprocess.Popen(
            ["wrk", "-t1", f"-c{CONNECTIONS}", "-d20h", "--timeout", "300s", "-s", str(SCRIPT), self.site.url],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=die_with_parent,
            env=os.environ | {"TR_ASKS": str(self.folder / "asks"), "TR_REQUESTS": str(requests), "TR_SHARES": shares,
                              "TR_SEED": str(self.seed)})

    def end(self):
        """(verdicts, counts, wrong answers)"""
        said = self.process.communicate()[0]
        assert self.process.returncode == 0, said
        verdicts, counts, wrong = {}, {}, []
        for kind, text, number in LINE.findall(said):
            if kind == "WRONG":
                wrong.append(text)
            else:
                (verdicts if kind == "VERDICT" else counts)[text] = int(number)
        assert verdicts, said
        return verdicts, counts, wrong

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


class Asks:
    """What the crowd asks for in each phase: rows of group, path, the answer that must come, expiry, token."""

    def __init__(self, wallet, seed):
        self.wallet, self.rng = wallet, random.Random(seed)
        now = int(time.time())
        life = FAR - now
        self.steady = [self.row("hot", token, place) for token in self.tokens(20, now, life) for place in PLACES]
        self.steady += [self.row("many", token) for token in self.tokens(3000, now, life) for _ in range(2)]
        self.steady += [self.row("brief", token) for token in self.tokens(20, now, life)]
        self.steady += [self.refusal("forged", "bad_signature", wallet.forged(t)) for t in self.tokens(50, now, life)]
        self.steady += [self.refusal("garbage", "malformed", text) for text in ("abc", "a.b.c", "...", "x" * 6000)]
        self.steady += [self.refusal("nobody", "no_token", "-")]
        self.old = collections.deque(self.tokens(100, now, -60), maxlen=1000)  # of keys that stay
        self.turned = collections.defaultdict(list)  # of keys that do not
        self.revoked = collections.deque(maxlen=1000)
        self.retired = collections.deque(maxlen=300)
        for token in (wallet.mint(kid, now, life) for kid in wallet.keys):
            wallet.prove(token)

    def tokens(self, count, now, life_s):
        return [self.wallet.any(now, life_s) for _ in range(count)]

    def row(self, group, token, place=None):
        place = place or self.rng.choice(tuple(PLACES))
        return group, f"/p/{place}/page.txt", wanted(token, place), token.expires, token.text

    def refusal(self, group, reason, text, expires=FAR):
        return group, f"/p/{self.rng.choice(tuple(PLACES))}/page.txt", f"401,{reason},-", expires, text

    def fresh(self, requests, seconds):
        """Never seen before, each with its end a little behind the time when its turn will be, if the phase takes so long."""
        count = int(requests * SHARES["fresh"] / sum(SHARES.values()) / ((TIMES + 1) / 2)) + 1
        now, rows = int(time.time()), []
        for i in range(count):
            token = self.wallet.any(now, int(seconds * i / count) + self.rng.randrange(5, 30), turning=True)
            if token.kid.startswith("turn"):
                self.turned[token.kid].append(token)
            elif self.rng.random() < 0.05:
                self.old.append(token)
            rows += [(i + self.rng.random() * WINDOW, self.row("fresh", token)) for _ in range(self.rng.choice((1, TIMES)))]
        return [row for _, row in sorted(rows, key=lambda pair: pair[0])]

    def phase(self, requests, seconds):
        rows = self.steady + self.fresh(requests, seconds)
        now = time.time()
        rows += [self.refusal("expired", "expired", token.text) for token in self.old if token.expires <= now]
        rows += [self.refusal("revoked", "revoked", token.text, token.expires) for token in self.revoked if token.expires > now]
        return rows + [self.refusal("retired", "unknown_key", token.text) for token in self.retired]

    def retire(self, kid):
        self.retired.extend(self.turned.pop(kid, [])[-100:])


class Day:
    """say is told of each phase, folder holds what wrk reads."""

    def __init__(self, requests, folder, say):
        phases = max(LEAST_PHASES, -(-requests // PHASE))
        self.count = phases + -phases % 3
        self.each = -(-requests // self.count)
        self.wallet = Wallet(seed=requests)
        self.asks = Asks(self.wallet, seed=requests)
        self.site = Site(self.wallet, most_children=16 if requests >= LONG else 64)
        self.crowd = Crowd(self.site, folder, seed=requests)
        self.restarts = {0, max(1, self.count // 12)}  # phases
        self.say = say
        self.phases, self.evening, self.wrong, self.unexpected = [], [], [], []
        self.verdicts = collections.Counter()
        self.seconds = 0.0  # of the crowd
        self.revoked = 0

    def run(self):
        self.site.expect_log("AH03093", always=True)  # mpm_event complains of requests that reach a child on its way out
        self.site.up()
        for number in range(self.count):
            self.phase(number)
        for _ in range(EVENING):
            self.site.next_generation()
            self.ask(self.asks.steady, self.each // 10, lambda: None)
            self.evening.append(self.site.held()[1].own)
        self.site.next_generation()
        self.unexpected += self.site.read_log()
        self.site.take_remembered()
        return self

    def end(self):
        self.crowd.stop()
        self.site.stop()
        self.unexpected += self.site.unexpected()
        self.site.remove()

    # ---- a phase ----

    def phase(self, number):
        before = self.site.pids()
        began, started = self.seconds, time.monotonic()
        doomed = [self.wallet.any(int(time.time()), self.wallet.rng.randrange(20, 120)) for _ in range(self.each // 200 + 20)]
        last = self.phases[-1]["seconds"] if self.phases else 0
        out = self.wallet.next_turn()
        rows = self.asks.phase(self.each, last)
        errors = self.ask(rows, self.each, lambda: self.meanwhile(number, doomed))
        if number in self.restarts:
            until(lambda: not set(before) & set(self.site.pids()), 60, "children of the generation before stay")
        assert number in self.restarts or errors == 0, f"{errors} connections broke"
        self.look(out)
        self.asks.revoked.extend(doomed)
        self.unexpected += self.site.read_log()
        self.note(number, self.seconds - began, time.monotonic() - started)

    def ask(self, rows, requests, meanwhile):
        """Returns how many connections broke."""
        began = time.monotonic()
        self.crowd.begin(rows, requests)
        try:
            meanwhile()
            verdicts, counts, wrong = self.crowd.end()
        finally:
            self.crowd.stop()
        self.seconds += time.monotonic() - began
        self.verdicts.update(verdicts)
        self.wrong += wrong
        assert counts["timeout"] == 0 and sum(verdicts.values()) >= requests - 2 * CONNECTIONS, (verdicts, counts)
        return counts["connect"] + counts["read"] + counts["write"]

    def meanwhile(self, number, doomed):
        self.site.publish()
        half = len(doomed) // 2
        self.revoke(doomed[:half])
        if number in self.restarts:
            self.site.graceful()
        self.revoke(doomed[half:])

    def revoke(self, tokens):
        """On a new connection for every few, so that all children are asked."""
        left = list(tokens)
        while left:
            with self.site.connect() as c:
                for token in left[:25]:
                    try:
                        answer = c.request("POST", "/revoke", FORM, body="token=" + token.text)
                    except (EOFError, ConnectionError):  # a child that leaves
                        break
                    assert answer.status == 200, (answer, self.site.error_log()[-2000:])
                    left.pop(0)
                    self.revoked += 1
                    if answer["Connection"] == "close":
                        break

    def look(self, out):
        """In every child: the key to come is known, the one that is out is not, and a revocation counts with the next request."""
        now = int(time.time())
        with EveryChild(self.site) as children:
            children.until(self.wallet.mint(f"turn{self.wallet.turn + 1}", now, 600).text, "accepted", 30)
            for token in self.asks.turned[out][-1:]:
                children.until(token.text, "unknown_key", 30)
            for token in self.asks.tokens(3, now, 600):
                seen = [children.verdicts(token.text) for _ in range(4)]
                assert self.site.revoke(token.text).status == 200
                self.revoked += 1
                seen.append(children.verdicts(token.text))
                if seen != [{"accepted"}] * 4 + [{"revoked"}]:
                    self.wrong.append(f"in every child: {seen}")
        self.asks.retire(out)

    def note(self, number, asking, whole):
        until(self.site.quiet, 20, "connections stay")
        children, parent, shared, mapped = self.site.held()
        table = self.site.table()

        def most(name):
            return max(getattr(held, name) for held in children.values())

        self.phases.append({
            "requests": self.each * (number + 1), "requests_each": self.each, "seconds": round(asking, 2),
            "whole_seconds": round(whole, 2), "restart": number in self.restarts, "children": sorted(children),
            **{name: most(name) for name in ("own", "private_dirty", "rss", "peak", "threads", "descriptors")},
            "pss": sum(h.pss for h in (parent, *children.values())), "parent": parent.own, "shared": shared, "mapped": mapped,
            "parent_descriptors": parent.descriptors, **{name: table[name] for name in ("used", "inserted", "reclaimed")}})
        self.say(self.phases[-1])

    # ---- what came of it ----

    def column(self, name):
        return [phase[name] for phase in self.phases]

    def settled(self):
        """The phases behind the warm-up."""
        middle, last = thirds(self.phases)
        return middle + last

    def stayed(self):
        """What the children that were there longest remembered."""
        return sorted(self.site.remembered)[-2:]

    def result(self):
        return {"requests": sum(self.verdicts.values()), "seconds_of_requests": round(self.seconds, 1),
                "verdicts": dict(self.verdicts), "tokens": self.wallet.serial, "revoked": self.revoked, "wrong": len(self.wrong),
                "unexpected": len(self.unexpected), "most_children": self.site.most_children,
                "growth": {n: growth(self.column(n)) for n in ("own", "private_dirty", "descriptors", "threads", "mapped")},
                "evening": self.evening, "remembered": self.site.remembered, "phases": self.phases}
