"""strace on a server: which system calls it makes on the database's files, and one of them made to fail or to be its last."""

import collections
import re
import shutil
import signal
import subprocess

import pytest

NEEDS_STRACE = [
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
    pytest.mark.skipif(shutil.which("strace") is not None and
                       subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, capture_output=True).returncode != 0,
                       reason="strace may not trace here"),
]

# What changes the files or says when a change is safe. The rest of the calls only read.
CHANGING = ("pwrite64", "write", "pwritev", "writev", "fdatasync", "fsync", "ftruncate", "fallocate", "openat", "unlink",
            "unlinkat", "rename", "renameat2", "fchmod", "fchown", "mkdir", "fcntl", "link", "symlink")
READING = ("pread64", "read", "lseek", "fstat", "newfstatat", "stat", "lstat", "statx", "access", "faccessat", "faccessat2",
           "close", "mmap", "munmap", "readlink", "readlinkat", "getdents64", "statfs", "fstatfs", "fadvise64")

LINE = re.compile(r"^(\d+) +(\w+)\(", re.M)


class Tracer:
    """strace attached to a process and its threads. Calls are counted for each thread and each name of a call."""

    def __init__(self, pid, site, inject=None, calls=None, paths=None):
        self.log = site.root / "logs" / "strace"
        self.log.unlink(missing_ok=True)
        command = ["strace", "-f", "-o", str(self.log), *rules(site, inject, calls, paths), "-p", str(pid)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True)
        said = self.process.stderr.readline()
        assert "attached" in said, said

    def end(self):
        """Let the process go on without us; returns what was seen."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.communicate(timeout=2)
        except subprocess.TimeoutExpired:  # strace 6.1 may wait for ever for threads that were killed
            self.process.kill()
            self.process.communicate()
        return self.log.read_text(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.end()


def rules(site, inject, calls=None, paths=None):
    """Options of strace: this call of these on the database's files."""
    out = ["-e", "trace=" + (calls or "%file,%desc"), "-e", "signal=none"]
    for path in paths or [site.state, *site.files()]:
        out += ["-P", str(path)]
    if inject:
        out += ["-e", "inject=" + inject]
    return out


def count(log):
    """How often each call was made: of the thread that made it most often."""
    threads = collections.Counter(LINE.findall(log))
    out = collections.Counter()
    for (_, name), n in threads.items():
        out[name] = max(out[name], n)
    return out


def sizes(log):
    """How many bytes each pwrite64 was to write, in order."""
    return [int(n) for n in re.findall(r"pwrite64\(.*, (\d+), \d+\) += ", log)]


def has_fired(log):
    """Did the fault happen? Of a call that was its caller's last, strace saw no result."""
    return "(INJECTED)" in log or re.search(r"= \?$|<unfinished \.\.\.>$", log, re.M) is not None


def sample(n, all_of_them, few=4):
    """1 to n, or a few of them with the first and the last."""
    if all_of_them or n <= few:
        return list(range(1, n + 1))
    return [1 + (n - 1) * i // (few - 1) for i in range(few)]
