"""A disk that is full, read-only, or gone: revoking says so, checking goes on, and all that was promised is there afterwards."""

import contextlib
import fcntl
import os
import random
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

import audit
from crashing import (ACCEPTED, FAILED, KILLED, REVOKED, ROOT, Caller, Load, ask, callers, check, is_503, is_done, is_mounted,
                      no_503, revoke_all, until)


def mount(*arguments):
    return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)


def may_mount(tmp="/tmp"):
    """A mount of our own, tried once."""
    if not ROOT:
        return "mounting needs root"
    where = os.path.join(tmp, f"tokrevoke-mount-{os.getpid()}")
    os.mkdir(where)
    try:
        done = mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", where)
        if done.returncode == 0:
            subprocess.run(["umount", where], check=True)
            return ""
        return "mounting is not permitted here: " + done.stderr.strip()
    finally:
        os.rmdir(where)


REFUSED = may_mount()
pytestmark = pytest.mark.skipif(bool(REFUSED), reason=REFUSED)


@contextlib.contextmanager
def mounted(site, *arguments):
    """state/ is a file system of its own until the end, which finds no process in it."""
    site.state.mkdir()
    done = mount(*arguments, str(site.state))
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        site.kill_all()
        subprocess.run(["umount", str(site.state)], check=True)
        assert not is_mounted(site.state)


def give(site):
    shutil.chown(site.state, "www-data", "www-data")
    site.state.chmod(0o750)


def fill(site):
    """To the last byte, as another program would; the blocks that are freed later."""
    with open(site.state / "ballast", "ab", buffering=0) as f:
        for size in (65536, 4096, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    f.write(b"x" * size)
    return site.state / "ballast"


def until_503(site, caller, kept):
    """The database may have room in blocks it owns already; revoke until it has none. Returns the token that was answered 503."""
    for number in range(2000):
        fill(site)
        token = site.mint(kind=("token", "session", "subject", "client", "named")[number % 5])
        r = caller.revoke(token)
        if not is_done(r):
            assert is_503(r), r
            return token
        kept.append(token)
    raise AssertionError("the disk is never full")


@pytest.fixture
def small(new_site):
    site = new_site(children=2)
    site.expect_log(FAILED.pattern, always=True)
    site.expect_log(KILLED, always=True)
    with mounted(site, "-t", "tmpfs", "-o", "size=8m,mode=750", "tmpfs"):
        give(site)
        yield site


def test_a_full_disk_stops_revoking_and_not_checking(small, mint):
    """503 with Retry-After by every child; pages are answered as before; what was answered 503 is in force at once."""
    small.up()
    good = [mint() for _ in range(5)]
    kept = revoke_all(small, [mint() for _ in range(5)])
    both = callers(small)
    for _ in range(3):
        for caller in both:
            refused = until_503(small, caller, kept)
            for each in both:
                each.check([*kept, refused], good)
    assert FAILED.search(small.said())


def connections(site):
    """How often the children have the database open: one of them reads what others store, those that have revoked write."""
    fds = [fd for pid in site.pids() for fd in Path(f"/proc/{pid}/fd").iterdir()]
    return sum(os.path.realpath(fd) == str(site.state / "tokrevoke.db") for fd in fds)


def stays_trusted(site, both, kept, good):
    """Pages are answered for longer than TokRevokeMaxStaleness, here two seconds."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        for caller in both:
            until_503(site, caller, kept)
            caller.check(kept, good)


def begin_to_starve(site):
    """Up, with one child that reads and one that writes, and rows that are to be deleted when there is no room for that."""
    site.more = "TokRevokeMaxStaleness 2s\n"
    site.up()
    kept = [site.mint() for _ in range(3)]
    revoke_all(site, kept + [site.mint(life=2) for _ in range(3)])
    until(lambda: connections(site) >= 2, 5, "nobody reads the database")
    return kept


def test_a_full_disk_is_no_reason_to_stop_trusting_the_list(small, mint):
    """It can be read, so nothing is missed."""
    kept = begin_to_starve(small)
    stays_trusted(small, callers(small), kept, [mint() for _ in range(3)])


def test_new_children_on_a_full_disk_are_never_wrong_and_heal(small, mint):
    """Those of before may have taken SQLite's shared memory with them, and there is no room for a new one: then nobody passes."""
    kept = begin_to_starve(small)
    for caller in callers(small):
        until_503(small, caller, kept)
        caller.close()
    small.graceful()
    good = [mint() for _ in range(3)]
    end = time.monotonic() + 4
    while time.monotonic() < end:
        fill(small)
        verdicts = ask(small, [*kept[-3:], *good])
        assert {REVOKED} == set(verdicts[:3]) and set(verdicts[3:]) <= {ACCEPTED, "503 unavailable"}, verdicts
        time.sleep(0.1)
    (small.state / "ballast").unlink()
    until(lambda: ask(small, good) == [ACCEPTED] * 3, 2, lambda: "pages do not come back:\n" + small.tail())
    kept += revoke_all(small, [mint()])
    check(small, kept, good)


def test_a_disk_with_room_again_revokes_again_and_stores_what_waited(small, mint):
    """Within two seconds, without a restart, and without anybody revoking the same token again."""
    small.up()
    good = [mint() for _ in range(5)]
    kept, waiting = [], []
    both = callers(small)
    for caller in both * 5:
        waiting.append(until_503(small, caller, kept))
    (small.state / "ballast").unlink()
    freed = time.monotonic()

    def revokes(caller):
        token = mint()
        if caller.revoke(token).status == 200:
            kept.append(token)
            return True
        return False

    for caller in both:
        until(lambda c=caller: revokes(c), 2, lambda: "revoking does not come back:\n" + small.tail())
    names = {t.value for t in waiting}
    until(lambda: names <= audit.values(small.state / "tokrevoke.db"), 3, "what waited is not stored", every=0.05)
    print(f"stored {time.monotonic() - freed:.2f} s after there was room")
    small.again()
    check(small, kept + waiting, good)


def test_a_list_that_finds_no_room_is_in_force_at_once_and_stored_as_a_whole_later(small, mint):
    """Of four kinds, more than the room that is left takes."""
    small.up()
    kept, good = [], [mint() for _ in range(3)]
    with Caller(small) as caller:
        until_503(small, caller, kept)
        fill(small)
        tokens = [mint(kind=("session", "subject", "client", "named")[i % 4]) for i in range(1000)]
        assert is_503(caller.revoke(tokens))
        caller.check(tokens[::50], good)
    (small.state / "ballast").unlink()
    names = {t.value for t in tokens}
    until(lambda: names <= audit.values(small.state / "tokrevoke.db"), 4, "what waited is not stored", every=0.05)
    small.again()
    check(small, kept + tokens, good)


def test_a_disk_that_fills_and_empties_under_load_loses_nothing(small, seed):
    """Every 200 through it is kept."""
    rng = random.Random(seed)
    small.up()
    kept = []
    for _ in range(3):
        with Load(small, rng, limit=10_000) as load:
            time.sleep(0.1)
            fill(small)
            time.sleep(0.2)
            (small.state / "ballast").unlink()
            before = len(load.kept)
            until(lambda: len(load.kept) > before + 20, 5, lambda: "revoking does not come back:\n" + small.tail())
        assert not (bad := no_503(load)), bad[:5]
        kept += [t for t in load.kept if t.expires > time.time() + 3600]
        small.again()
        check(small, kept, load.good)
    assert len(kept) > 50


def test_a_start_on_a_full_disk_serves_everything_or_says_why_not(small, mint):
    """Killed while the disk was full, and started while it still is."""
    small.up()
    kept = []
    with Caller(small) as caller:
        until_503(small, caller, kept)
    small.kill_all()
    fill(small)
    said = small.fails_to_start()
    if said is None:
        check(small, kept, [mint()])
    else:
        assert str(small.state) in said and FAILED.search(said), said
    small.kill_all()
    (small.state / "ballast").unlink()
    small.up()
    check(small, kept, [mint()])
    revoke_all(small, [mint()])


def test_a_start_on_a_read_only_disk_fails_and_names_the_folder(small, mint):
    """A list that cannot grow is found out at start, not with the first stolen token."""
    small.up()
    kept = revoke_all(small, [mint() for _ in range(3)])
    small.kill_all()
    for way in ("remount,ro", "remount,rw"):
        assert mount("-o", way, str(small.state)).returncode == 0
        if way == "remount,ro":
            said = small.fails_to_start()
            assert said is not None, "it serves, although it can revoke nothing"
            assert str(small.state) in said and FAILED.search(said), said
    small.up()
    check(small, kept, [mint()])


# ---- a disk that is gone ----

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2  # what was not synced is lost, as in a power cut


def shut_down(path):
    """From here on every write to that file system fails, and what was not synced never reaches the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
    finally:
        os.close(fd)


@pytest.fixture
def ext4(new_site):
    """state/ on an ext4 of its own in a file; gives (site, a function that cuts the power and mounts it again)."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    site = new_site(children=2)
    site.expect_log(FAILED.pattern, always=True)
    site.expect_log(KILLED, always=True)
    image = site.root / "image"
    with open(image, "wb") as f:
        f.truncate(24 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", str(image)], check=True)
    site.state.mkdir()

    def attach():
        return mount("-t", "ext4", "-o", "loop,commit=300", str(image), str(site.state))

    if (done := attach()).returncode != 0:
        pytest.skip("a loop device is not permitted here: " + done.stderr.strip())

    def power_cut():
        shut_down(site.state)
        site.kill_all()
        subprocess.run(["umount", str(site.state)], check=True)
        assert (done := attach()).returncode == 0, done.stderr

    try:
        give(site)
        os.sync()
        yield site, power_cut
    finally:
        site.kill_all()
        subprocess.run(["umount", str(site.state)], check=True)
        assert not is_mounted(site.state)


def test_a_power_cut_loses_nothing_that_was_acknowledged(ext4, seed):
    """Only what was synced is on the disk afterwards; the first time also the folder's entries are new."""
    rng = random.Random(seed)
    site, power_cut = ext4
    kept, good = [], [site.mint() for _ in range(3)]
    for number in range(5):
        site.up()
        check(site, kept, good)
        with Load(site, rng, limit=10_000) as load:
            time.sleep(rng.uniform(0.05, 0.2))
            # Only what was answered before: while ext4 is being shut down, it may say of a sync that it was done.
            promised = list(load.kept)
            power_cut()
        assert not (bad := no_503(load)), bad[:5]
        kept += [t for t in promised if t.expires > time.time() + 3600]
        assert len(kept) > 5 * (number + 1)
    site.up()
    check(site, kept, good)


def test_a_disk_that_dies_leaves_pages_answered(ext4, mint):
    """Nothing can be read or written any more; the list is in memory."""
    site, _ = ext4
    site.up()
    good = [mint() for _ in range(3)]
    kept = revoke_all(site, [mint() for _ in range(3)])
    shut_down(site.state)
    refused = mint()
    for caller in callers(site):
        assert is_503(caller.revoke(refused))
        caller.check([*kept, refused], good)
