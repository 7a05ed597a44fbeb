"""What the worst inputs cost, at every door that takes bytes from outside: work and memory grow as their size does."""

import json
import os
from pathlib import Path

import pytest

import costs

PROGRAM = Path(os.environ.get("TR_WORST", costs.HERE.parents[1] / "build" / "tests" / "cost" / "worst")).resolve()
GROWTH = 4.6  # what is four times as large costs that many times as much at most; the square would be 16

# The most of a door's shapes, at its largest: instructions for each byte of input, and bytes of memory. Measured, and half as much again.
MOST = {
    "claims": (1080, 85), "header": (1080, 85), "logout token": (1080, 85), "token": (10, 5), "json body": (1010, 85), "form body": (60, 3),
    "grant form": (620, 5), "grant json": (1010, 85), "key set": (350, 115), "key set members": (1010, 85), "pem": (1220, 5),
    "cookie": (160, 5), "redirect target": (300, 20), "clients": (170, 25), "credentials": (200, 12), "admin": (280, 15),
}
SMALL = 24576  # bytes of memory, and ...
LITTLE = 20000  # ... instructions that are no growth: pools begin with pages, and libraries with tables


def measure(folder, *args):
    """{(door, shape): three of (bytes, instructions, memory)}"""
    command = costs.callgrind(folder, "one_input", "--dump-after=input_done")
    said = costs.run([*command, PROGRAM, *args], env=os.environ | costs.PLAIN)
    rows, written = [json.loads(line) for line in said.splitlines()], costs.dumps(folder)
    assert len(rows) == len(written) and rows, f"{len(rows)} rows, {len(written)} counts of instructions"
    found = {}
    for row, dump in zip(rows, written):
        found.setdefault((row["door"], row["shape"]), []).append((row["bytes"], dump.instructions, row["memory"]))
    return found


def breaches(found):
    out = []
    for (door, shape), sizes in found.items():
        (_, little, small), _, (length, much, large) = sizes
        most, room = MOST[door]
        if much > GROWTH * max(little, LITTLE):
            out.append(f"{door}, {shape}: instructions grow from {little} to {much}")
        if large > GROWTH * small + SMALL:
            out.append(f"{door}, {shape}: memory grows from {small} to {large}")
        if much - LITTLE > most * length:
            out.append(f"{door}, {shape}: {much / length:.0f} instructions for each byte, and may be {most}")
        if large - SMALL > room * length:
            out.append(f"{door}, {shape}: {large / length:.0f} bytes of memory for each byte, and may be {room}")
    return out


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return measure(tmp_path_factory.mktemp("worst"))


def test_the_worst_input_of_every_door_costs_in_proportion(found):
    assert {door for door, _ in found} == set(MOST)
    assert all(len(sizes) == 3 and sizes[2][0] // sizes[0][0] == 4 for sizes in found.values())
    assert not (wrong := breaches(found)), "\n".join(wrong)


def test_what_grows_as_the_square_is_seen(tmp_path, monkeypatch):
    monkeypatch.setitem(MOST, "square", (10, 1))
    wrong = breaches(measure(tmp_path, "square"))
    assert len(wrong) == 2 and "grow from" in wrong[0] and "for each byte" in wrong[1], wrong
