"""
Log in while everybody is being logged out, over HTTP: some end tokens, sessions and users up to a moment, others use tokens of before
and after it on open connections to every child. No token issued before the cut-off is accepted by a request that began after the
answer, and no token issued after it is ever refused.
"""

import json
import os
import random
import threading
import time

import pytest

from httpd import ALIAS, MPM, SAN, endpoint, protected
from issuers import issuer, jwks, write_keys
from storing import BASIC, FORM, JSON, basic, write_users
from tokens import MAIN, claims

LONG = bool(os.environ.get("TR_LONG"))
ROUNDS = 100000 if LONG else 1000000
SECONDS = 7200 if LONG else 20 if MPM == "event" else 8
CHILDREN = 4
ENDERS, USERS_OF_TOKENS = 3, 3
NAMES = 40  # users at any time
AHEAD = 40  # an issuer's clock may be a minute ahead, so that a second takes no second here
KINDS = ("subject", "session")
OLDEST = 20


class Cut:
    """Of one name: up to which iat its tokens were asked to end, and are known to have ended."""

    def __init__(self):
        self.asked = self.answered = 0


class Person:
    """A user with two sessions, whose tokens begin in the past and go on into the future."""

    def __init__(self, number, mint):
        self.name = f"user-{number}"
        self.mint = mint
        self.lock = threading.Lock()
        self.cuts = {self.name: Cut(), self.name + "-a": Cut(), self.name + "-b": Cut()}
        self.single = {}
        self.tokens = []
        self.second = int(time.time()) - OLDEST  # where cut-offs have come to; they go back and forth around it
        for _ in range(4):
            self.log_in(self.second + random.randrange(5))

    def log_in(self, iat):
        sid = self.name + random.choice(("-a", "-b"))
        body = claims(sub=self.name, sid=sid, iat=iat, exp=iat + 600)
        token = (self.mint("HS256", payload=body), iat, (self.name, sid), body["jti"])
        self.single[body["jti"]] = Cut()
        self.tokens.append(token)
        return token

    def holders(self, token):
        """Everything that can have ended this token: (cut, second that counts)."""
        _, iat, names, jti = token
        return [(self.cuts[name], iat) for name in names] + [(self.single[jti], 1)]


class Race:
    def __init__(self, site, mint):
        self.site = site
        self.mint = mint
        self.faults = []
        self.rounds = self.looks = self.accepted = self.refused = 0
        self.count = threading.Lock()
        self.number = 0
        self.people = [self.newcomer() for _ in range(NAMES)]

    def newcomer(self):
        with self.count:
            self.number += 1
            return Person(self.number, self.mint)

    # ---- ending ----

    def ask(self, c, person, cuts, *request, **more):
        """cuts: {cut: second} of what the request ends when it is answered."""
        with person.lock:
            for cut, second in cuts.items():
                cut.asked = max(cut.asked, second)
        r = c.request(*request, **more)
        if r.status not in (200, 201):
            self.faults.append(f"{request[1]}: {r!r}")
            return
        with person.lock:
            for cut, second in cuts.items():
                cut.answered = max(cut.answered, second)

    def cut_off(self, c, person, second):
        """As an administrator: a user or a session up to this second."""
        kind = random.choice(KINDS)
        value = person.name if kind == "subject" else person.name + random.choice(("-a", "-b"))
        body = json.dumps({"kind": kind, "iss": MAIN, "value": value, "issued_before": second + random.choice((0, 0.5, 0.999))})
        self.ask(c, person, {person.cuts[value]: second}, "POST", "/admin/revocations", JSON, basic(b"admin"), body=body)

    def log_out(self, c, person, token):
        """With a token whose iat is ahead of our clock, so that the cut-off is known: it is that iat."""
        scope = random.choice(KINDS)
        cuts = {person.cuts[token[2][0 if scope == "subject" else 1]]: token[1], person.single[token[3]]: 1}
        self.ask(c, person, cuts, "POST", f"/logout/{scope}", "Accept: application/json", "Authorization: Bearer " + token[0], body="")

    def revoke(self, c, person, token):
        self.ask(c, person, {person.single[token[3]]: 1}, "POST", "/revoke", FORM, body="token=" + token[0])

    def end_one(self, c):
        place = random.randrange(NAMES)
        person = self.people[place]
        now = int(time.time())
        second = person.second + random.randrange(-2, 4)
        person.second = max(person.second, second)
        fresh = person.log_in(second + 1)
        what = random.random()
        if what < 0.5:
            self.cut_off(c, person, second)
        elif what < 0.8 and fresh[1] > now + 3:
            self.log_out(c, person, fresh)
        else:
            self.revoke(c, person, random.choice(person.tokens))
        self.look([c], person, [fresh])
        self.look([c], person, [random.choice(person.tokens)])
        with self.count:
            self.rounds += 1
        if second > now + AHEAD:
            self.people[place] = self.newcomer()

    # ---- using ----

    def look(self, connections, person, tokens):
        """One request on each connection at once; what was known when they began decides what they may say."""
        known = [any(cut.answered >= second for cut, second in person.holders(t)) for t in tokens]
        for c, token in zip(connections, tokens, strict=True):
            c.send("GET", "/p/app/ok.txt", "Authorization: Bearer " + token[0])
        answers = [c.receive() for c in connections]
        for token, r, was_ended in zip(tokens, answers, known, strict=True):
            self.judge(person, token, r, was_ended)

    def judge(self, person, token, r, was_ended):
        if r.status == 200:
            self.accepted += 1
            if was_ended:
                self.faults.append(f"accepted after the answer: iat {token[1]} of {token[2]}")
        elif (r.status, r.reason) == (401, "revoked"):
            self.refused += 1
            with person.lock:
                if not any(cut.asked >= second for cut, second in person.holders(token)):
                    self.faults.append(f"refused, and nobody asked: iat {token[1]} of {token[2]}")
        else:
            self.faults.append(repr(r))

    # ---- threads ----

    def is_over(self):
        return bool(self.faults) or self.rounds >= ROUNDS or time.monotonic() > self.end

    def work(self, job):
        connections = [self.site.connect() for _ in range(8 if MPM != "prefork" else 2)]
        try:
            while not self.is_over():
                job(connections)
        except Exception as e:  # pylint: disable=broad-except
            self.faults.append(repr(e))
        finally:
            for c in connections:
                c.close()

    def run(self):
        def use_some(connections):
            person = random.choice(self.people)
            self.look(connections, person, random.choices(person.tokens[-20:], k=len(connections)))
            self.looks += 1

        self.end = time.monotonic() + SECONDS
        jobs = [lambda connections: self.end_one(random.choice(connections))] * ENDERS + [use_some] * USERS_OF_TOKENS
        threads = [threading.Thread(target=self.work, args=(job,)) for job in jobs]
        for t in threads:
            t.start()
        for t in threads:
            t.join()


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server(children=CHILDREN)
    write_keys(server, keys)
    write_users(server, b"admin")
    scopes = "".join(f'<Location "/logout/{kind}">\nSetHandler tokrevoke-logout\nTokRevokeLogoutScope {kind}\n</Location>\n' for kind in KINDS)
    return server.start(
        "TokRevokeCapacity 1000000\n" + issuer(MAIN, jwks("all")) + ALIAS + protected("app") + endpoint("/revoke") + scopes
        + '<Location "/admin">\nSetHandler tokrevoke-admin\n' + "\n".join(BASIC) + "\n</Location>\n")


@pytest.mark.alone("runs for a time, and is worth as much as it gets done")
def test_no_token_of_before_the_cut_off_is_accepted_after_the_answer(site, mint, record_property):
    """R7009-17, BCL-18: concurrent logins, logouts everywhere, revocations and requests."""
    race = Race(site, mint)
    race.run()
    for name in ("rounds", "looks", "accepted", "refused"):
        record_property(name, getattr(race, name))
    assert not race.faults, race.faults[:5]
    assert race.rounds > (20 if SAN else 300) and race.accepted > 100 and race.refused > 100
