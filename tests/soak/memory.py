"""What the processes of a server hold, by the kernel's books, and whether that grows."""

import os
import re
from pathlib import Path

KIB = 1024


class Held:
    """
    Of one process. own: memory that is in no file and that nobody else can write to: heap, stacks, what it has of its parent.
    (What the kernel calls private has in it shared memory that only one has touched so far, and not what nobody has changed
    since the fork.) shared: its part in the shared memory that is in use.
    """

    def __init__(self, pid):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        found = {name: int(kib) * KIB for name, kib in re.findall(r"^(\w+): +(\d+) kB$", rollup, re.M)}
        self.own, self.rss, self.pss, self.private_dirty = (found[name] for name in ("Anonymous", "Rss", "Pss", "Private_Dirty"))
        self.shared = found.get("Pss_Shmem", 0)
        self.peak = int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.M)[1]) * KIB
        self.threads = int(re.search(r"^Threads:\s+(\d+)$", status, re.M)[1])
        self.descriptors = len(os.listdir(f"/proc/{pid}/fd"))


def shared_bytes(pid):
    """Memory that a process has mapped together with others, used or not."""
    total = 0
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        span, kind = line.split()[:2]
        if kind.endswith("s"):
            begin, end = (int(x, 16) for x in span.split("-"))
            total += end - begin
    return total


def thirds(values):
    """The middle third and the last; what comes before them is the warm-up."""
    n = len(values)
    return values[n // 3:2 * n // 3], values[2 * n // 3:]


def growth(values):
    """By how much the most of the last third is above the most of the middle one; below 0 where it is less."""
    middle, last = thirds(values)
    return max(last) - max(middle)
