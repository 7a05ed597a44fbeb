"""
Files that lose bits, pages, their end or their newest state: httpd does not start and names the file, or every acknowledged
revocation is in force. Never silently fewer.
"""

import os
import sqlite3

import pytest

import starting
from crashing import ISSUER, LONG, SECOND, Site, copy_state, is_done, own, revoke
from starting import NAME, trial

KINDS = ("token", "token", "session", "subject", "client", "named")


class Base:
    """
    Files of a database, and what they promise. Most revocations are in the main file, on pages that the log knows nothing of; the
    last ones are in the log only.
    """

    def __init__(self, site):
        self.site = site
        self.folder = site.root / "base"
        self.older = site.root / "older"
        site.up()
        self.kept = self.revoke(60)
        site.kill_all()
        self.checkpoint()
        self.in_main = len(self.kept)
        copy_state(site.state, self.older)
        site.up()
        self.kept += self.revoke(4)
        site.kill_all()
        self.good = site.mint()
        copy_state(site.state, self.folder)
        self.data = {name: (self.folder / name).read_bytes() for name in (NAME, NAME + "-wal", NAME + "-mark")}
        first = [t.value.encode() for t in self.kept[:20] if t.value]
        last = [t.value.encode() for t in self.kept[self.in_main:] if t.value]
        assert all(jti in self.data[NAME] and jti not in self.data[NAME + "-wal"] for jti in first)
        assert all(jti not in self.data[NAME] and jti in self.data[NAME + "-wal"] for jti in last)

    def revoke(self, n):
        kept = []
        with self.site.connect() as c:
            for i in range(n):
                kind = "digest" if i == 1 else KINDS[i % len(KINDS)]
                kept.append(self.site.mint(kind=kind, issuer=SECOND if i % 5 == 3 else ISSUER))
                assert is_done(revoke(c, kept[-1]))
        return kept

    def checkpoint(self):
        """Everything to the main file, by another hand than the module's."""
        db = sqlite3.connect(self.site.state / NAME)
        assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        db.close()
        own(self.site.state, self.site)


@pytest.fixture(scope="module")
def base(mint):
    site = Site(mint, children=1)
    site.expect_log(r"exit signal Killed", always=True)
    made = Base(site)
    yield made
    site.remove()


@pytest.fixture(scope="module")
def benches(base, mint):
    yield from starting.benches(base, mint)


def some(count, few, step=7):
    """Offsets: a few spread over all, or every step-th in the long form."""
    return range(0, count, step) if LONG else sorted({count * i // few for i in range(few)})


FILES = pytest.mark.parametrize("end", ["", "-wal", "-mark"])


def test_undamaged_copies_start_with_everything(benches, base):
    """What all the others are measured by."""
    assert trial(benches, [("as it was", base.data)]) == {"as it was": None}


@FILES
def test_a_flipped_bit_is_found_or_harmless(benches, base, end):
    name = NAME + end
    data = base.data[name]

    def cases():
        for at in some(len(data), 24 if end != "-mark" else 8, 7 if end != "-mark" else 1):
            damaged = bytearray(data)
            damaged[at] ^= 1 << at % 8
            yield f"bit {at % 8} of byte {at}", {**base.data, name: bytes(damaged)}

    trial(benches, cases())


def test_a_flipped_bit_in_what_a_revocation_says_is_found(benches, base):
    """Not harmless by luck: the jti of a row, in the main file and in the log."""
    def cases():
        for end, tokens in (("", base.kept[:20:4]), ("-wal", base.kept[-2:])):
            for token in tokens:
                damaged = bytearray(base.data[NAME + end])
                damaged[damaged.rfind(token.value.encode()) + len(token.value) - 1] ^= 1
                yield f"{token.value} in {NAME}{end}", {**base.data, NAME + end: bytes(damaged)}

    assert set(trial(benches, cases()).values()) == {"refused"}


@FILES
def test_a_file_cut_short_is_found(benches, base, end):
    name = NAME + end
    data = base.data[name]
    lengths = list(some(len(data), 12, 97)) + [len(data) - 1]
    if end != "-mark":
        lengths += range(0, len(data), 4096)
    outcomes = trial(benches, ((f"{length} bytes", {**base.data, name: data[:length]}) for length in sorted(set(lengths))))
    if end == "-wal":
        assert set(outcomes.values()) == {"refused"}  # every frame was acknowledged


@FILES
def test_a_zeroed_sector_is_found_or_harmless(benches, base, end):
    name = NAME + end
    data = base.data[name]
    sectors = range(0, len(data), 512)
    chosen = sectors if LONG else [sectors[i * len(sectors) // 16] for i in range(min(16, len(sectors)))]
    trial(benches, ((f"sector at {at}", {**base.data, name: data[:at] + bytes(len(data[at:at + 512])) + data[at + 512:]})
                    for at in sorted(set(chosen))))


def without(files, *names):
    return {name: data for name, data in files.items() if name not in names}


def test_missing_or_foreign_files_are_refused(benches, base):
    wal, mark = NAME + "-wal", NAME + "-mark"
    data = base.data
    text = b"This is no database.\n" * 1000
    other = sqlite_file()
    outcomes = trial(benches, [
        ("empty database", {**data, NAME: b""}),
        ("empty database, no log", without({**data, NAME: b""}, wal)),
        ("no database", without(data, NAME)),
        ("no database, no log", without(data, NAME, wal)),
        ("no log", without(data, wal)),
        ("empty log", {**data, wal: b""}),
        ("text in place of the database", without({**data, NAME: text}, wal)),
        ("text in place of the database, with its log", {**data, NAME: text}),
        ("text in place of the log", {**data, wal: text}),
        ("random bytes", without({**data, NAME: os.urandom(len(data[NAME]))}, wal)),
        ("another program's database", without({**data, NAME: other}, wal)),
        ("log in place of the database", {**data, NAME: data[wal]}),
    ])
    assert not (bad := [name for name, said in outcomes.items() if said != "refused"]), f"started all the same: {bad}"
    odd = [("no mark", without(data, mark)), ("empty mark", {**data, mark: b""}), ("text as mark", {**data, mark: text})]
    trial(benches, odd)


def test_a_refused_start_spoils_nothing(benches, base):
    """A file that was moved away, or another put in its place: with the right one back, all is in force."""
    bench = benches[0]
    for name, data in (("missing", None), ("empty", b""), ("text", b"This is no database.\n" * 1000), ("foreign", sqlite_file())):
        files = without(base.data, NAME) if data is None else {**base.data, NAME: data}
        assert bench.starts(files) == "refused", name
        left = {path.name: path.read_bytes() for path in bench.site.state.iterdir() if not path.name.endswith("-shm")}
        assert bench.starts({**left, NAME: base.data[NAME]}) is None, f"{name}: the rest was changed while the start was refused"


def sqlite_file():
    """A good database of somebody else."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE songs (title TEXT)")
    db.execute("INSERT INTO songs VALUES ('x')")
    db.commit()
    data = db.serialize()
    db.close()
    return data


def test_an_older_copy_put_back_is_refused(benches, base):
    """The mark says that there was more. With an older mark too, nobody can know."""
    older = {path.name: path.read_bytes() for path in base.older.iterdir() if path.name != NAME + "-mark"}
    mark = {NAME + "-mark": base.data[NAME + "-mark"]}
    assert trial(benches, [("older copy", {**older, **mark})]) == {"older copy": "refused"}


# ---- a log that was being written ----

def snapshot(site):
    return {path.name: path.read_bytes() for path in site.state.iterdir() if not path.name.endswith("-shm")}


@pytest.fixture(scope="module")
def growing(mint, base):
    """The files before and after one more revocation, while the server runs: the one log is the beginning of the other."""
    site = Site(mint, children=1)
    site.expect_log(r"exit signal Killed", always=True)
    copy_state(base.folder, site.state)
    own(site.state, site)
    site.up()
    with site.connect() as c:
        more = [mint() for _ in range(2)]
        assert revoke(c, more[0]).status == 200
        before = snapshot(site)
        assert revoke(c, more[1]).status == 200
        after = snapshot(site)
    site.remove()
    assert after[NAME + "-wal"].startswith(before[NAME + "-wal"]) and before[NAME] == after[NAME]
    return before, after, more


def cuts(before, after):
    first, last = len(before[NAME + "-wal"]), len(after[NAME + "-wal"])
    step = 7 if LONG else (last - first) // 12
    return [*range(first, last, step), first + 1, first + 24, last - 1]


def test_a_torn_end_that_was_never_acknowledged_does_not_stop_the_start(benches, base, growing):
    """Power lost while a revocation was being written: the log ends anywhere in it."""
    before, after, more = growing
    kept = base.kept
    base.kept = [*kept, more[0]]
    try:
        log, longer = before[NAME + "-wal"], after[NAME + "-wal"]
        outcomes = trial(benches, ((f"log of {n}", {**before, NAME + "-wal": longer[:n]}) for n in cuts(before, after)))
        outcomes |= trial(benches, [("garbage behind the log", {**before, NAME + "-wal": log + os.urandom(3000)}),
                                    ("zeros behind the log", {**before, NAME + "-wal": log + bytes(5000)}),
                                    ("the mark was not written", {**after, NAME + "-mark": before[NAME + "-mark"]})])
    finally:
        base.kept = kept
    assert set(outcomes.values()) == {None}, outcomes


def test_a_torn_end_that_was_acknowledged_is_refused(benches, growing):
    """The mark knows of the revocation that the log has lost."""
    before, after, _ = growing
    outcomes = trial(benches, ((f"log of {n}", {**after, NAME + "-wal": after[NAME + "-wal"][:n]}) for n in cuts(before, after)))
    assert set(outcomes.values()) == {"refused"}, outcomes
