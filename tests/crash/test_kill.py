"""
Whoever is killed, wherever in its work, and whatever is restarted: every acknowledged revocation is kept, and no other token
is refused.
"""

import os
import random
import signal
import time

import pytest

import audit
from crashing import (ACCEPTED, FAILED, FORM, KILLED, MPM, REVOKED, SLOW, Load, ask, check, is_503, no_503, page, revoke_all,
                      until, verdict, wrong)

ROUNDS = int(os.environ.get("TR_CRASH_ROUNDS") or 25)
TOO_SMALL = 5
ROOM = 400 * max(ROUNDS, 100)
CAPACITIES = (TOO_SMALL, ROOM, 2 * ROOM)


class Model:
    """What callers were told, and what may still be either."""

    def __init__(self, mint, rng):
        self.rng = rng
        self.rounds = []  # of each round: tokens whose revocation was answered 200
        self.open = []  # no answer
        self.good = [mint.any(rng) for _ in range(30)]

    def take(self, load):
        self.rounds.append([t for t in load.kept if t.expires > time.time() + 3600])
        self.open += [t for t in load.open if t.expires > time.time() + 3600]
        self.good += load.good[:1]

    def all(self):
        return [t for r in self.rounds for t in r]

    def sample(self):
        """All of the last round, and of the others as many as there is time for."""
        older = [t for r in self.rounds[:-1] for t in r]
        return self.rounds[-1] + self.rng.sample(older, min(len(older), 60))

    def check(self, site):
        """By several children. Returns how many were asked."""
        homes = site.one_to_each()
        for c in homes.values():
            check(site, self.sample(), self.rng.sample(self.good, 10), c)
            c.close()
        return len(homes)

    def settle(self, site):
        """After a start from the disk: what is refused now was stored, so it is never accepted again."""
        verdicts = ask(site, self.open)
        assert set(verdicts) <= {ACCEPTED, REVOKED}, verdicts
        self.rounds[-1] += [t for t, v in zip(self.open, verdicts) if v == REVOKED]
        self.open = [t for t, v in zip(self.open, verdicts) if v == ACCEPTED][-200:]


class Chaos:
    """What happens to a server under load. Each returns True when no process of before is left."""

    def __init__(self, site, rng):
        self.site, self.rng = site, rng
        self.cleaned = 0

    def pause(self, most=0.03):
        time.sleep(self.rng.uniform(0, most))

    def one_child(self):
        pids, _ = until(self.site.pids, 10, "there are no children")
        self.site.kill_one(self.rng.choice(pids))
        self.pause()

    def some_children(self):
        for _ in range(self.rng.randrange(2, 5)):
            if pids := self.site.pids():
                self.site.kill_one(self.rng.choice(pids))
            self.pause()

    def every_child(self):
        for pid in self.rng.sample(pids := self.site.pids(), len(pids)):
            self.site.kill_one(pid)
        self.pause()

    def parent(self):
        """Its children go on answering; then they die too, one after the other or at once."""
        self.site.kill_parent()
        self.pause()
        if self.rng.random() < 0.5:
            for pid in self.site.members():
                self.site.kill_one(pid)
                self.pause(0.005)
        self.site.again()
        return True

    def group(self):
        self.site.again()
        return True

    def stop(self):
        self.site.process.send_signal(signal.SIGTERM)
        self.site.process.wait(30 * SLOW)
        self.site.again()
        return True

    def graceful(self):
        self.site.graceful()

    def restart(self):
        self.site.signalled(signal.SIGHUP)  # under load, unlike Httpd.restart

    def reload(self):
        """With another capacity, so that a new table is filled from the database while the old children still revoke."""
        self.site.capacity = self.rng.choice([c for c in CAPACITIES if c != self.site.capacity])
        self.site.reconfigure(self.site.text())
        self.site.signalled(self.rng.choice((signal.SIGUSR1, signal.SIGHUP)))

    def during_reload(self):
        self.site.capacity = self.rng.choice(CAPACITIES)
        self.site.reconfigure(self.site.text())
        self.site.process.send_signal(self.rng.choice((signal.SIGUSR1, signal.SIGHUP)))
        self.pause(0.1)
        if self.rng.random() < 0.5:
            self.site.kill_parent()
            self.pause()
        self.site.again()
        return True

    def during_cleaning(self):
        """Expired rows are deleted while others are added: both change the totals that the next start checks."""
        path = self.site.state / "tokrevoke.db"
        before = audit.deleted(path)
        end = time.monotonic() + 6  # in a long run the expired ones lie behind thousands of others, and their turn comes later
        while (now := audit.deleted(path)) == before and time.monotonic() < end:
            time.sleep(0.002)
        self.cleaned += now > before
        self.pause(0.01)
        self.site.again()
        return True

    def during_start(self):
        self.site.kill_all()
        self.site.begin()
        self.pause(0.2)
        if self.rng.random() < 0.5 and (pids := self.site.pids()):
            self.site.kill_one(self.rng.choice(pids))  # a child, or who reads the database for the parent
            self.pause()
        self.site.again()
        return True

    KINDS = (one_child, some_children, every_child, parent, group, stop, graceful, restart, reload, during_reload, during_start,
             during_cleaning)


def announce(site):
    site.expect_log(KILLED, always=True)
    site.expect_log("AH00485", always=True)  # no free slot between so many generations
    site.expect_log(r"AH0004[5-9]", always=True)  # a child that does not end at once is sent another signal
    site.expect_log("AH03092|AH03093", always=True)  # a child that is ending has closed its poll set
    site.expect_log(r"\[tokrevoke:warn\].*TR\d+: .*TokRevokeCapacity", always=True)


# What httpd says after some events. mpm_event's own, with or without the module: a child that is told to end at once looks at
# sockets that its workers are closing.
BADLY = ["exit signal Segmentation fault"] if MPM == "event" else []
EXPECTED = dict.fromkeys((Chaos.stop, Chaos.restart), BADLY)
EXPECTED |= dict.fromkeys((Chaos.reload, Chaos.during_reload), BADLY + [r"TR\d+: .*could not be stored"])
EXPECTED[Chaos.during_start] = [r"\[tokrevoke:crit\].* TR\d+: .*ended early \(signal 9\)", "AH00020: Configuration Failed"]


def run(site, seed, rounds):
    """The rounds; returns the model."""
    rng = random.Random(seed)
    chaos = Chaos(site, rng)
    model = Model(site.mint, rng)
    bag, asked, kept = [], [], 0
    site.capacity = ROOM
    site.up()
    for number in range(rounds):
        bag = bag or rng.sample(Chaos.KINDS, len(Chaos.KINDS))  # each kind of event as often
        event = bag.pop()
        site.per_child = 20 if number % 3 == 1 else 0  # counts from the next start or reload on
        site.expected = []
        for line in EXPECTED.get(event, ()):
            site.expect_log(line)
        try:
            limit = 400 if event is Chaos.during_cleaning else 60
            with Load(site, rng, restless=number % 3 == 1, limit=limit) as load:
                time.sleep(rng.uniform(0.005, 0.05))
                is_new = event(chaos)
                chaos.pause(0.02)
            kept += len(load.kept)
            model.take(load)
            bad = no_503(load) if event in (Chaos.reload, Chaos.during_reload) else load.failures
            assert not bad, bad[:5]
            asked.append(model.check(site))
            if site.capacity == TOO_SMALL or (not is_new and rng.random() < 0.5):
                site.capacity = max(site.capacity, ROOM)  # what was too small has some room for one round, not for many
                site.again()
                asked.append(model.check(site))
                is_new = True
            if is_new:
                model.settle(site)
            assert not (bad := site.unexpected()), "unannounced in the error log:\n" + "\n".join(bad)
        except Exception as e:
            raise AssertionError(f"round {number} of seed {seed}, {event.__name__}: {e}") from e
    assert kept > 10 * rounds, "the load was no load"
    assert chaos.cleaned or rounds < len(Chaos.KINDS), "expired revocations were never deleted"
    assert sum(n > 1 for n in asked) > len(asked) // 2, f"too few children were asked: {asked}"
    return model


def test_no_acknowledged_revocation_is_lost_whoever_is_killed_or_restarted(new_site, seed):
    site = new_site()
    announce(site)
    model = run(site, seed, ROUNDS)
    site.again()
    check(site, model.all(), model.good)
    site.stop()
    assert audit.complaints(site.state / "tokrevoke.db") == []


def test_a_revocation_is_either_stored_or_not_and_stays_so(new_site, seed):
    """Whatever a kill leaves without an answer has one verdict, with every child and after every later start."""
    rng = random.Random(seed)
    site = new_site()
    announce(site)
    site.up()
    with Load(site, rng, threads=8, limit=1000) as load:
        time.sleep(0.2)
        site.kill_all()
        site.up()
    undecided = [t for t in load.open if t.expires > time.time() + 3600]
    assert undecided, "the kill met no revocation under way"
    assert not load.failures, load.failures[:5]
    first = ask(site, undecided)
    assert set(first) <= {ACCEPTED, REVOKED}
    for tokens in load.lists:
        assert len(set(ask(site, tokens))) == 1, "a list is stored in part"
    for _ in range(3):
        for c in site.one_to_each().values():
            assert ask(site, undecided, c) == first
            c.close()
        site.again()


# ---- between two generations ----

RELOADS = pytest.mark.parametrize("more", [0, 1], ids=["the same table", "a new table"])


def reload(site, more):
    """A graceful restart with that much more capacity, while requests are under way. Returns when the new children answer."""
    old = set(site.pids())
    site.capacity += more
    site.reconfigure(site.text())
    site.graceful()
    until(lambda: not set(site.one_to_each()) & old, 10, "the old children still take connections")


@RELOADS
def test_what_an_old_child_revokes_counts_for_the_new_ones_at_once(new_site, mint, more):
    """
    Its request began before the reload, and is finished when the new children have long been serving. When they have a table of
    their own it may be answered 503: then the client comes again, and to a new child.
    """
    site = new_site().up()
    for _ in range(3):
        token = mint()
        body = "token=" + token.text
        with site.connect() as slow:
            head = f"POST /revoke HTTP/1.1\r\nHost: x\r\n{FORM}\r\nContent-Length: {len(body)}\r\n\r\n"
            slow.send_raw((head + body[:20]).encode())
            until(slow.is_read, 5, "nobody reads the request")
            reload(site, more)
            homes = site.one_to_each()
            slow.send_raw(body[20:].encode())
            r = slow.receive()
            assert r.status == 200 or (more and is_503(r)), r
            if r.status != 200:
                revoke_all(site, [token])
            for c in homes.values():
                check(site, [token], [mint()], c)
                c.close()


@RELOADS
def test_what_a_new_child_revokes_counts_for_the_old_ones_at_once(new_site, mint, more):
    """A request that is half sent when everything is reloaded is answered by an old child."""
    site = new_site().up()
    token = mint()
    request = page(token)
    held = [site.connect() for _ in range(3)]
    for c in held:
        c.send_raw(request[:-10])
        until(c.is_read, 5, "nobody reads the request")
    reload(site, more)
    revoke_all(site, [token])
    for c in held:
        c.send_raw(request[-10:])
        assert verdict(c.receive()) == REVOKED
        c.close()


@pytest.mark.parametrize("signal_name", ["SIGUSR1", "SIGHUP"])
def test_revocations_during_a_reload_reach_the_old_and_the_new_children(new_site, mint, signal_name):
    """While the new table is being filled, a child of before revokes for both, or answers 503."""
    site = new_site()
    announce(site)
    site.expect_log(FAILED.pattern, always=True)
    site.up()
    rng = random.Random(1)
    for capacity in (30000, 40000, 50000):
        held = [site.connect() for _ in range(6)]
        for c in held:
            site.home(c)
        site.capacity = capacity
        site.reconfigure(site.text())
        with Load(site, rng, limit=1000) as load:
            site.signalled(getattr(signal, signal_name))
            until(lambda: load.kept, 10, "nothing can be revoked")
        assert not no_503(load), no_503(load)[:5]
        kept = [t for t in load.kept if t.expires > time.time() + 3600]
        for c in site.one_to_each().values():
            check(site, kept, load.good, c)
            c.close()
        for c in held:
            for token in kept[-3:]:
                try:
                    r = c.request("GET", "/p/app/ok.txt", "Authorization: Bearer " + token.text)
                except (EOFError, OSError):
                    break  # its child has left
                assert verdict(r) == REVOKED
            c.close()
    site.again()
    assert not wrong(site, kept, REVOKED)
