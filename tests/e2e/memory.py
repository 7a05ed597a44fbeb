"""What a core of a process would hold: its memory, but for what it has asked to leave out (MADV_DONTDUMP), and pages of files."""

import re
import struct
from mmap import PAGESIZE as PAGE
from pathlib import Path

REGION = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) [0-9a-f]+ \S+ \d+ *(.*)$")
IS_THERE = 0b11 << 62  # in memory, or in swap


def regions(pid):
    """(begin, end, name) of each that a core holds by the kernel's default filter: what is the process' own, or shared without a file."""
    found = []
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        if head := REGION.match(line):
            found.append((int(head[1], 16), int(head[2], 16), head[3], head[4], set()))
        elif line.startswith("VmFlags:"):
            found[-1][4].update(line.split()[1:])
    for begin, end, rights, name, flags in found:
        is_file = name.startswith("/") and not name.startswith("/dev/zero")
        if "r" in rights and not flags & {"dd", "io"} and name != "[vvar]" and (not is_file or "w" in rights):
            yield begin, end, name


def runs(pagemap, begin, end):
    """(begin, end) of neighbouring pages that there are: most of a stack was never touched."""
    pagemap.seek(begin // PAGE * 8)
    pages = pagemap.read((end - begin) // PAGE * 8)
    first = None
    for i, (entry,) in enumerate(struct.iter_unpack("<Q", pages)):
        if entry & IS_THERE and first is None:
            first = begin + i * PAGE
        elif not entry & IS_THERE and first is not None:
            yield first, begin + i * PAGE
            first = None
    if first is not None:
        yield first, end


def core_of(pid):
    """[(name, begin, bytes)]"""
    out = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem, open(f"/proc/{pid}/pagemap", "rb") as pagemap:
        for begin, end, name in regions(pid):
            for first, last in runs(pagemap, begin, end):
                mem.seek(first)
                data = b""
                while len(data) < last - first:
                    piece = mem.read(last - first - len(data))
                    assert piece, (name, hex(first))
                    data += piece
                out.append((name, first, data))
    return out


def find(pid, needles):
    """[(needle's name, region, address, what is around it)] for needles = {name: bytes}."""
    pattern = re.compile(b"|".join(map(re.escape, needles.values())))
    names = {needle: name for name, needle in needles.items()}
    return [(names[m[0]], name, hex(begin + m.start()), data[max(0, m.start() - 40):m.end() + 40])
            for name, begin, data in core_of(pid) for m in pattern.finditer(data)]
