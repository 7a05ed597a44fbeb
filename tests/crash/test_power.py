"""
Power is lost, at any moment: what no sync had returned for is on the disk, or is not, or in part, in any order. Every acknowledged
revocation is there after the next start, and the start needs nobody's help. The log's end, its start over, and the main file.
"""

import random

import pytest

import starting
from crashing import LONG, Caller, Site, copy_state, is_done
from power import Disk, Recorder
from starting import NAME, trial
from tracing import NEEDS_STRACE

pytestmark = NEEDS_STRACE

REVOCATIONS = 600
CUTS = 400 if LONG else 28


class Story:
    """Revocations one after the other, what reached the disk's door meanwhile, and when each was promised."""

    def __init__(self, site):
        self.kept, self.promised_at, self.good = [], [], site.mint()
        with Caller(site.up()) as caller:
            for _ in range(3):
                self.revoke(site, caller)
            folder = site.root / "before"
            copy_state(site.state, folder)
            self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
            before = len(self.kept)
            recorder = Recorder(site.home(caller.c), site)
            for _ in range(REVOCATIONS):
                self.revoke(site, caller)
                self.promised_at.append(recorder.now())
        self.calls = recorder.end()
        self.promised_at = [0] * before + self.promised_at
        site.kill_all()

    def revoke(self, site, caller):
        self.kept.append(site.mint())
        r = caller.revoke(self.kept[-1])
        assert is_done(r), (r, site.tail())

    def promised(self, at):
        return [token for token, when in zip(self.kept, self.promised_at) if when <= at]


@pytest.fixture(scope="module")
def story(mint):
    site = Site(mint, children=1)
    site.expect_log(r"exit signal Killed", always=True)
    try:
        yield Story(site)
    finally:
        site.remove()


@pytest.fixture(scope="module")
def benches(story, mint):
    yield from starting.benches(story, mint)


def moments(story, rng):
    """Numbers of calls. Half of them lie where the main file is written and the log starts over, which happens seldom."""
    rare = [i for i, call in enumerate(story.calls) if call.file == NAME and call.name == "pwrite64"]
    around = sorted({i for at in rare for i in range(at - 3, at + 12) if 0 < i < len(story.calls)})
    assert len(rare) > 10, "the log was never carried over to the main file"
    return sorted(rng.sample(around, min(CUTS // 2, len(around))) + rng.sample(range(len(story.calls)), CUTS - CUTS // 2))


def test_after_a_power_cut_every_promise_is_kept_and_the_start_needs_no_help(benches, story, seed):
    rng = random.Random(seed)
    disk, cases, fed = Disk(story.files), [], 0
    for number, moment in enumerate(moments(story, rng)):
        for call in story.calls[fed:moment]:
            disk.feed(call)
        fed = moment
        at = story.calls[moment - 1].at if moment else 0
        cases.append((f"cut {number} after call {moment}", disk.after_a_power_cut(rng), story.promised(at)))
    assert len({len(promised) for _, _, promised in cases}) > CUTS // 4
    refused = [name for name, said in trial(benches, cases).items() if said]
    assert not refused, refused


def test_with_one_sync_ignored_a_promise_would_be_broken(benches, story, seed):
    """What the test above is worth: the disk that it makes up is not kinder than that."""
    calls = story.calls
    syncs = [i for i, call in enumerate(calls) if call.name in ("fsync", "fdatasync") and call.file == NAME + "-wal"]
    # Behind those that a promise stands on comes the mark. Others are made where the log starts over, and one more makes up for them.
    promising = [i for i in syncs[:-1] if calls[i + 1].file == NAME + "-mark"]
    for ignored in random.Random(seed).sample(promising, 4):
        disk = Disk(story.files)
        end = next(i for i in syncs if i > ignored)
        for call in calls[:ignored] + calls[ignored + 1:end]:
            disk.feed(call)
        certain = {name: bytes(data) for name, data in disk.certain.items()}
        assert benches[0].starts(certain, story.promised(calls[end - 1].at)) is not None, ignored
