"""What a request costs in numbers that are the same in every run, and what it may cost: the file ceilings."""

import json
import os
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
CEILINGS = HERE / "ceilings"
PROGRAM = Path(os.environ.get("TR_COST", HERE.parents[1] / "build" / "tests" / "cost" / "gate")).resolve()

# The same instructions on every processor of a kind: no library picks what this one can do besides.
PLAIN = {"OPENSSL_ia32cap": "0", "OPENSSL_armcap": "0", "OPENSSL_s390xcap": "z900", "OPENSSL_ppccap": "0",
         "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX_Usable,-AVX2_Usable,-AVX512F,-AVX512VL,-EVEX,-ERMS,-FSRM"}


def plain(number):
    return f"{number:,.0f}" if number == int(number) or abs(number) >= 100 else f"{number:.2f}"


class Ceilings:
    """The file: a line for each number, with what it was when the line was last changed, and the most it may be."""

    def __init__(self, path=CEILINGS):
        self.rows = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                row, quantity, usual, most = line.split()
                assert (row, quantity) not in self.rows, f"{path}: {row} {quantity} stands here twice"
                self.rows[row, quantity] = (float(usual), float(most))

    def names(self, prefix=""):
        return {row for row, _ in self.rows if row.startswith(prefix)}

    def breaches(self, found):
        """found: {(row, quantity): number}. Every one must have its line and be no more than that says."""
        out = []
        for (row, quantity), number in sorted(found.items()):
            if (row, quantity) not in self.rows:
                out.append(f"{row}: {quantity} is {plain(number)}, and {CEILINGS.name} has no line for it")
                continue
            usual, most = self.rows[row, quantity]
            if number > most:
                out.append(f"{row}: {quantity} is {plain(number)}, was {plain(usual)} and may be {plain(most)}")
        return out

    def table(self, found):
        """For people."""
        lines = [f"{'request':<22}{'quantity':<16}{'now':>12}{'usual':>12}{'at most':>12}"]
        for (row, quantity), number in found.items():
            usual, most = map(plain, self.rows[row, quantity]) if (row, quantity) in self.rows else ("-", "-")
            lines.append(f"{row:<22}{quantity:<16}{plain(number):>12}{usual:>12}{most:>12}")
        return "\n".join(lines)


def callgrind(folder, counted, dump):
    """The command that runs another under callgrind: counts inside the function counted, writes and begins anew at dump."""
    return ["valgrind", "--tool=callgrind", "-q", "--vgdb=no", f"--toggle-collect={counted}", dump,
            f"--callgrind-out-file={folder}/counts.%p"]


ALLOCATING = {"malloc", "calloc", "realloc", "memalign", "posix_memalign", "aligned_alloc"}
FUNCTION = re.compile(r"(c?fn)=\((\d+)\)(?: ([^'@]+))?")


class Dump:
    """What callgrind has written down: instructions, and calls of malloc and its relatives."""

    def __init__(self, path):
        names, called = {}, None
        self.instructions = self.allocations = 0
        for line in path.read_text(encoding="utf-8").splitlines():
            if found := FUNCTION.match(line):
                if found[3]:  # the first time; afterwards the number stands for it
                    names[found[2]] = found[3]
                called = found[2] if found[1] == "cfn" else called
            elif line.startswith("calls=") and names[called] in ALLOCATING:
                self.allocations += int(line[len("calls="):].split()[0])
            elif line.startswith("totals:"):
                self.instructions = int(line.split()[1])


def dumps(folder):
    """Every Dump, in order."""
    found = {int(path.suffix[1:]): path for path in Path(folder).glob("counts.*.*")}
    return [Dump(found[n]) for n in sorted(found)]


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **more)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def make_tokens(folder):
    path = Path(folder) / "tokens"
    path.write_text(run([PROGRAM, "tokens"]), encoding="utf-8")
    return path


def measure_gate(folder, tokens, waste=()):
    """{(row, quantity): number per request} of tests/cost/gate.c."""
    said = run([*callgrind(folder, "one_request", "--dump-after=row_done"), PROGRAM, "rows", tokens, *waste],
               env=os.environ | PLAIN)
    rows = [json.loads(line) for line in said.splitlines()]
    written = dumps(folder)
    assert len(rows) == len(written) and rows, f"{len(rows)} rows, {len(written)} counts of instructions"
    out = {}
    for row, dump in zip(rows, written):
        n = row["requests"]
        out[row["row"], "instructions"] = dump.instructions / n
        for quantity in ("allocations", "locks", "pool"):
            out[row["row"], quantity] = row[quantity] / n
    return without_signatures(out)


SIGNED = {"new-RS256": "RS256", "new-ES256": "ES256", "new-EdDSA": "EdDSA", "new-HS256": "HS256", "forged": "RS256"}


def without_signatures(found):
    """What a signature costs depends mostly on OpenSSL and the processor it is built for: the rest is counted by itself."""
    return {(row, quantity): number - (found["signature-" + SIGNED[row], quantity] if row in SIGNED else 0)
            for (row, quantity), number in found.items()}
