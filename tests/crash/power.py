"""What a disk may hold after a power cut, by the calls that were made on it: only what a sync has returned for is certain."""

import re
import signal
import subprocess
from pathlib import Path

SECTOR = 512
CALLS = "pwrite64,write,pwritev,writev,ftruncate,fallocate,fdatasync,fsync,openat,unlink,unlinkat,rename,renameat,renameat2"
LINE = re.compile(r"^(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$")
AT = re.compile(r"\d+<([^>]*)>")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class Recorder:
    """strace attached to a process: each call that changes the database's files, whole, and none of PATH-shm, which no disk keeps."""

    def __init__(self, pid, site):
        self.log = site.root / "logs" / "power"
        paths = [option for path in [site.state, *site.files()] if path.suffix != ".db-shm" for option in ("-P", str(path))]
        self.process = subprocess.Popen(
            ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", "signal=none", "-e", "trace=" + CALLS, *paths, "-o", str(self.log),
             "-p", str(pid)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = self.process.stderr.readline()
        assert "attached" in said, said

    def now(self):
        """A moment in the log. strace writes a line before it lets the caller go on."""
        return self.log.stat().st_size

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=20)
        return [Call(*found) for found in calls(self.log.read_text(encoding="ascii"))]


def plain(text):
    """Without the escapes of -xx."""
    return bytes.fromhex(text.replace("\\x", "")).decode() if "\\x" in text else text


def calls(text):
    """(end of its line in the log, name, arguments, result) of each call, in the order in which they ended."""
    begun, at = {}, 0
    for line in text.splitlines(keepends=True):
        at += len(line)
        found = LINE.match(line)
        if not found:
            continue
        thread, name, rest, resumed, end = found.groups()
        if resumed:
            name, rest = resumed, begun.pop(thread) + end.lstrip()
        elif rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>").rstrip()  # strace puts a blank before it
            continue
        arguments, _, result = rest.rpartition(" = ")
        yield at, name, arguments, int(re.match(r"-?\d+", result)[0])


class Call:
    def __init__(self, at, name, arguments, result):
        self.at, self.name, self.result = at, name, result
        where = AT.search(arguments) if name != "openat" else TEXT.search(arguments)
        self.file = Path(plain(where[1])).name if where else ""
        self.is_creating = name == "openat" and "O_CREAT" in arguments and result >= 0
        if name == "pwrite64":
            self.data = bytes.fromhex(TEXT.search(arguments)[1].replace("\\x", ""))
            self.offset = int(re.search(r", \d+, (\d+)\)", arguments)[1])
            assert result == len(self.data), (name, arguments[-60:], result)
        elif name == "ftruncate":
            self.length = int(re.search(r", (\d+)\)", arguments)[1])
        else:
            assert name in ("fsync", "fdatasync", "openat"), f"a call that this disk does not know: {name}({arguments[:200]}"


def write(data, offset, piece):
    data.extend(bytes(max(0, offset - len(data))))
    data[offset:offset + len(piece)] = piece


class Disk:
    def __init__(self, files):
        self.certain = {name: bytearray(data) for name, data in files.items()}
        self.pending = {name: [] for name in files}

    def feed(self, call):
        if call.file not in self.certain:
            assert not call.is_creating, f"a new file: {call.file}"
            return
        if call.name == "pwrite64":
            self.pending[call.file] += [(call.offset + at, call.data[at:at + SECTOR]) for at in range(0, len(call.data), SECTOR)]
        elif call.name == "ftruncate":
            self.pending[call.file].append((call.length, None))
        elif call.name in ("fsync", "fdatasync") and call.result == 0:
            self.do(self.certain[call.file], self.pending[call.file])
            self.pending[call.file] = []

    @staticmethod
    def do(data, changes):
        for offset, piece in changes:
            if piece is not None:
                write(data, offset, piece)
            elif offset < len(data):
                del data[offset:]
            else:
                data.extend(bytes(offset - len(data)))

    def after_a_power_cut(self, rng):
        """{file: bytes}: of what is not certain nothing, all, a beginning, or any sectors in any order, each maybe half written."""
        out = {}
        for name, certain in self.certain.items():
            data, changes = bytearray(certain), list(self.pending[name])
            how = rng.choice(("none", "all", "beginning", "any", "any", "torn"))
            if how in ("any", "torn"):
                changes = [change for change in changes if rng.random() < 0.5]
                rng.shuffle(changes)
            if how == "torn":
                changes = [(at, piece and piece[:rng.randrange(len(piece) + 1)]) for at, piece in changes]
            self.do(data, {"none": [], "beginning": changes[:rng.randrange(len(changes) + 1)]}.get(how, changes))
            out[name] = bytes(data)
        return out
