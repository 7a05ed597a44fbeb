"""Servers that are started on files which a test has made: each holds all that they promise, or does not start and says why."""

import concurrent.futures
import os
import shutil

from crashing import ACCEPTED, FAILED, REVOKED, Site, ask, own, wrong

NAME = "tokrevoke.db"


class Bench:
    """One server that is started on one set of files after the other. base: what they promise."""

    def __init__(self, base, site):
        self.base, self.site = base, site
        site.expect_log(r"TR\d+: ", always=True)
        site.expect_log(r"exit signal Killed|AH00016: Configuration Failed", always=True)

    def lay(self, files):
        """state/ with these files: {name: bytes}."""
        self.site.kill_all()
        shutil.rmtree(self.site.state, ignore_errors=True)
        self.site.state.mkdir(mode=0o750)
        for name, data in files.items():
            (self.site.state / name).write_bytes(data)
            (self.site.state / name).chmod(0o640)
        own(self.site.state, self.site)

    def starts(self, files, kept=None):
        """
        None when all is in force, "refused" when it did not start and said why, or what is wrong. kept: what is promised, where
        that is not all of the base's.
        """
        kept = self.base.kept if kept is None else kept
        self.lay(files)
        said = self.site.fails_to_start()
        try:
            if said is not None:
                named = any(str(self.site.state / NAME) in line for line in FAILED.findall(said))
                return "refused" if named else "no line names the file: " + said
            if bad := wrong(self.site, kept, REVOKED):
                return f"{len(bad)} of {len(kept)} acknowledged revocations are silently gone: {bad}"
            return None if (v := ask(self.site, [self.base.good])) == [ACCEPTED] else f"never revoked: {v}"
        finally:
            self.site.kill_all()


def benches(base, mint):
    """As many servers as processors, for the many starts; for a fixture."""
    made = []
    for _ in range(os.cpu_count() or 1):
        site = Site(mint, children=1)
        made.append(Bench(base, site))
    yield made
    for bench in made:
        bench.site.kill_all()
        left = bench.site.unexpected()
        bench.site.remove()
        assert not left, left


def trial(benches, cases):
    """
    Start on each case, (name, {file: bytes}[, what is promised]), and return {name: outcome}; one that is neither refused nor whole fails the test.
    """
    free = list(benches)

    def one(item):
        bench = free.pop()
        try:
            return item[0], bench.starts(*item[1:])
        finally:
            free.append(bench)

    cases = list(cases)
    assert cases
    with concurrent.futures.ThreadPoolExecutor(len(benches)) as pool:
        outcomes = dict(pool.map(one, cases))
    bad = [f"{name}: {said}" for name, said in outcomes.items() if said not in (None, "refused")]
    assert not bad, f"{len(bad)} of {len(cases)}:\n" + "\n".join(bad[:10])
    return outcomes
