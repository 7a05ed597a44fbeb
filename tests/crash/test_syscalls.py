"""
One revocation, and each system call that it makes on the database's files: killed there, failing there, failing from there on,
or told that it wrote what it did not write. Whatever was answered 200 is kept, or the next start says that something is missing.
"""

import shutil

import pytest

from crashing import FAILED, KILLED, LONG, callers, check, copy_state, is_503, own, revoke_all, until
from tracing import CHANGING, NEEDS_STRACE, READING, Tracer, count, has_fired, rules, sample, sizes

pytestmark = NEEDS_STRACE

ERRORS = {"pwrite64": ("EIO", "ENOSPC", "EDQUOT", "EROFS"), "write": ("EIO", "ENOSPC", "EDQUOT"),
          "fdatasync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"), "fsync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"), "ftruncate": ("EIO",),
          "fallocate": ("ENOSPC", "EDQUOT", "EINTR"), "openat": ("EACCES", "EMFILE", "ENFILE", "EROFS", "EDQUOT"),
          "unlink": ("EROFS",), "fcntl": ("EIO", "ENOLCK"), "fchmod": ("EPERM",), "fchown": ("EPERM",)}
RETRIED = {"pwrite64": "EINTR", "openat": "EINTR", "ftruncate": "EINTR", "fcntl": "EINTR"}  # a signal came: whoever is told tries again


class Stage:
    """
    A server with two children and a caller of each: the one that is tampered with, and the other. One revocation at a time, each
    by one thread from beginning to end, so that a call's number is the same every time.
    """

    def __init__(self, site, warm):
        self.site = site
        self.warm = warm  # has the child revoked before?
        self.kept, self.good = [], [site.mint() for _ in range(3)]
        site.expect_log(KILLED, always=True)
        site.expect_log(FAILED.pattern, always=True)

    def begin(self):
        self.site.again()
        self.victim, self.other = callers(self.site)
        if self.warm:
            self.expect_200(self.victim)

    def expect_200(self, caller):
        token = self.site.mint()
        r = caller.revoke(token)
        assert r is not None and r.status == 200, (r, self.site.tail())
        self.kept.append(token)

    def calls(self, paths=None):
        """{call: how often} of one revocation."""
        self.begin()
        with Tracer(self.victim.pid, self.site, paths=paths) as tracer:
            self.expect_200(self.victim)
            log = tracer.end()
        self.log = log
        return count(log)

    def attempt(self, inject, paths=None):
        """One revocation with that fault; returns (token, answer or None, did the fault happen)."""
        token = self.site.mint()
        call = inject.split(":")[0]
        with Tracer(self.victim.pid, self.site, inject, call, paths) as tracer:
            r = self.victim.revoke(token)
            if r is not None:
                assert r.status == 200 or is_503(r), r
                for caller in (self.victim, self.other):
                    caller.check([*self.kept[-2:], token], self.good)  # in force, even if it is not stored
                if r.status == 200:
                    self.kept.append(token)
                    self.site.kill_all()  # before anybody can mend it
                    return token, r, has_fired(tracer.end())
            self.other.check(self.kept[-3:], self.good)
            fired = has_fired(tracer.end())
        return token, r, fired

    def others_revoke(self, seconds=5):
        """No lock is left behind by who died or failed."""
        def done():
            token = self.site.mint()
            if self.other.revoke(token).status != 200:
                return False
            self.kept.append(token)
            return True
        until(done, seconds, lambda: "after a fault in one child, the other cannot revoke:\n" + self.site.tail())

    def heals(self, token, seconds=5):
        """The fault is over: the child revokes again, also what it could not store before."""
        until(lambda: self.victim.revoke(token).status == 200, seconds, lambda: "the child does not heal:\n" + self.site.tail())
        self.kept.append(token)
        self.expect_200(self.victim)

    def is_alive(self):
        return self.victim.pid in self.site.pids()

    def survives(self):
        """Killed and started anew: all that was promised is there."""
        self.site.again()
        check(self.site, self.kept, self.good)


@pytest.fixture(params=["first", "later"])
def stage(request, new_site):
    """The first revocation of a child, which opens the database, and a later one."""
    return Stage(new_site(children=2), warm=request.param == "later")


def each(calls, names, few=4):
    for name in names:
        for n in sample(calls[name], LONG, few):
            yield name, n


def run(cases, one):
    """Every case; all that failed are shown."""
    failures, fired = [], 0
    cases = list(cases)
    for case in cases:
        try:
            fired += bool(one(*case))
        except AssertionError as e:
            failures.append(f"{case}: {e}")
    assert not failures, f"{len(failures)} of {len(cases)}:\n" + "\n".join(failures[:5])
    assert fired > len(cases) // 2, f"only {fired} of {len(cases)} faults happened"


def test_every_changing_call_of_a_revocation_is_known(stage):
    """A call that none of the tests below makes fail would be a gap in them."""
    calls = stage.calls()
    assert not set(calls) - set(CHANGING) - set(READING), calls
    assert calls["pwrite64"] >= 2 and calls["fdatasync"] + calls["fsync"] >= 1, stage.log
    assert not set(calls) & set(CHANGING) - set(ERRORS), calls


def test_a_child_killed_at_any_call_loses_nothing_it_acknowledged(stage):
    calls = stage.calls()

    def one(name, n):
        stage.begin()
        _, r, fired = stage.attempt(f"{name}:signal=KILL:when={n}")
        if r is None:
            until(lambda: not stage.is_alive(), 5, "the connection was closed, and the child lives")
            stage.others_revoke()
        else:
            assert r.status == 200
        stage.survives()
        return fired

    run(each(calls, [c for c in calls if LONG or c in CHANGING]), one)


@pytest.mark.parametrize("lasting", ["once", "from then on"])
def test_a_call_that_fails_costs_a_503_at_most_and_the_child_heals(stage, lasting):
    calls = stage.calls()
    plus = "" if lasting == "once" else "+"

    def one(error, name, n):
        stage.begin()
        token, r, fired = stage.attempt(f"{name}:error={error}:when={n}{plus}")
        assert r is not None, "the connection was closed without an answer:\n" + stage.site.tail()
        if r.status != 200:
            assert stage.is_alive()
            patience = 20 if name == "fcntl" else 5  # SQLite waits for locks that it holds itself after a failed unlock
            stage.others_revoke(patience)
            stage.heals(token, patience)
        stage.survives()
        return fired

    def cases():
        for name in [c for c in ERRORS if calls[c]]:
            few = 2 if name == "fcntl" and plus else 4  # SQLite tries locks again and again: ten seconds each
            for i, n in enumerate(sample(calls[name], LONG, few)):
                errors = ERRORS[name] if LONG else ERRORS[name][i % len(ERRORS[name]):][:1]
                yield from ((error, name, n) for error in errors)

    run(cases(), one)


def test_a_call_that_a_signal_interrupts_is_made_again_or_costs_a_503(stage):
    """Also twice in a row."""
    calls = stage.calls()

    def one(name, n):
        stage.begin()
        token, r, fired = stage.attempt(f"{name}:error={RETRIED[name]}:when={n}..{n + 1}")
        assert r is not None, "the connection was closed without an answer:\n" + stage.site.tail()
        if r.status != 200:
            stage.others_revoke()
            stage.heals(token)
        stage.survives()
        return fired

    run(each(calls, [c for c in (RETRIED if LONG else ("pwrite64", "openat")) if calls[c]], few=2), one)


def test_bytes_that_were_never_written_are_kept_or_missed_aloud(stage):
    """
    A short write that the kernel reports and did not make leaves a hole. Nobody can know that at once; the next start must: with
    every acknowledged revocation, or not at all and with the file's name. Not in PATH-shm, which is memory, and made anew.
    """
    site = stage.site
    paths = [path for path in site.files() if not path.name.endswith("-shm")]
    stage.calls(paths)
    wanted = sizes(stage.log)
    assert len(wanted) >= 5, stage.log
    site.kill_all()
    pristine = site.root / "pristine"
    copy_state(site.state, pristine)
    kept = list(stage.kept)

    def one(n, length):
        site.kill_all()
        copy_state(pristine, site.state)
        own(site.state, site)
        stage.kept = list(kept)
        stage.begin()
        _, r, fired = stage.attempt(f"pwrite64:retval={length}:when={n}", paths)
        assert r is not None, "the connection was closed without an answer:\n" + site.tail()
        site.kill_all()
        said = site.fails_to_start()
        if said is None:
            check(site, stage.kept, stage.good)
        else:
            assert any(str(site.state / "tokrevoke.db") in line for line in FAILED.findall(said)), said
        return fired

    run([(n, length) for n in sample(len(wanted), LONG) for length in short(wanted[n - 1])], one)


def short(size):
    """Lengths that are less."""
    return [0, 1, size // 2, size - 1] if LONG else [size // 2]


# ---- the start ----

UNREADABLE = ("pread64", "read", "lseek", "fstat", "newfstatat", "mmap")


def start_calls(site):
    """{call: how often} of a start that recovers and reads what a kill left."""
    site.wrapper = ["strace", "-f", "-o", str(site.root / "logs" / "strace"), *rules(site, None)]
    site.again()
    site.kill_all()
    site.wrapper = ()
    return count((site.root / "logs" / "strace").read_text(errors="replace"))


def start_with(site, inject):
    """Did it come up under that fault? And did the fault happen?"""
    log = site.root / "logs" / "strace"
    log.unlink(missing_ok=True)
    site.wrapper = ["strace", "-f", "-o", str(log), *rules(site, inject, inject.split(":")[0])]
    try:
        said = site.fails_to_start()
    finally:
        site.wrapper = ()
    return said, has_fired(log.read_text(errors="replace"))


@pytest.mark.parametrize("fault", ["signal=KILL", "error=EIO", *(["error=ENOSPC", "error=EROFS"] if LONG else [])])
@pytest.mark.parametrize("state", ["new", "old"])
def test_a_start_that_is_killed_or_fails_at_any_call_spoils_nothing(new_site, mint, fault, state):
    """It refuses, or it serves with every revocation; and the next start without the fault is as if nothing had been."""
    site = new_site(children=1)
    site.expect_log(KILLED, always=True)
    site.expect_log(FAILED.pattern, always=True)
    site.expect_log(r"AH00016: Configuration Failed", always=True)
    site.up()
    kept, good = [], [mint() for _ in range(2)]
    if state == "old":
        kept = revoke_all(site, [mint() for _ in range(3)])
    site.kill_all()
    pristine = site.root / "pristine"
    copy_state(site.state, pristine)

    def restore():
        site.kill_all()
        if state == "new":
            shutil.rmtree(site.state)
        else:
            copy_state(pristine, site.state)
            own(site.state, site)

    restore()
    calls = start_calls(site)

    def one(name, when):
        restore()
        said, fired = start_with(site, f"{name}:{fault}:when={when}")
        if said is None:
            check(site, kept, good)
        elif fault != "signal=KILL":
            assert str(site.state) in said, said
        site.kill_all()
        site.up()
        check(site, kept, good)
        late = revoke_all(site, [mint()])
        site.again()
        check(site, kept + late, good)
        return fired

    cases = list(each(calls, [c for c in calls if c in CHANGING], few=2))
    if fault == "error=EIO":  # what cannot be read, once and from there on
        cases += [(name, f"{n}{plus}") for name, n in each(calls, [c for c in UNREADABLE if calls[c]], few=2)
                  for plus in (("", "+") if LONG else ("", "+")[n % 2:][:1])]
    run(cases, one)
