"""A private PostgreSQL: its own folder and port on the loopback, no socket anywhere else, gone without a trace afterwards."""

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from crashing import ROOT, every_process
from httpd import free_port

USER = "postgres"


def programs():
    """The folder of the newest installed server; None without one."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def unavailable():
    """Why there can be no server here; empty if there can."""
    if programs() is None:
        return "postgresql is not installed"
    if ROOT and USER not in {entry.pw_name for entry in pwd.getpwall()}:
        return f"there is no user {USER} for the server, and it does not run as root"
    return ""


class Postgres:
    """One cluster with one database, whose owner comes over TCP with a password."""

    def __init__(self):
        self.bin = programs()
        self.root = Path(tempfile.mkdtemp(prefix="tokrevoke-pg-"))
        self.root.chmod(0o755)
        self.data = self.root / "data"
        self.password = "top-" + os.urandom(8).hex()
        self.port = free_port()
        self.process = None
        atexit.register(self.remove)
        (self.root / "password").write_text(self.password)
        if ROOT:
            shutil.chown(self.root, USER, USER)
            shutil.chown(self.root / "password", USER, USER)
        self.run("initdb", "-D", self.data, "-U", "boss", "-A", "scram-sha-256", "--pwfile", self.root / "password",
                 "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8")
        self.start()
        self.sql(f"CREATE ROLE httpd LOGIN PASSWORD '{self.password}'", database="postgres")
        self.sql("CREATE DATABASE tokrevoke OWNER httpd", database="postgres")

    @property
    def conninfo(self):
        return f"host=127.0.0.1 port={self.port} dbname=tokrevoke user=httpd password={self.password}"

    def as_user(self):
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"] if ROOT else ["setpriv"]

    def run(self, program, *arguments):
        done = subprocess.run([*self.as_user(), self.bin / program, *map(str, arguments)], capture_output=True, text=True,
                              check=False, cwd=self.root, timeout=120)
        assert done.returncode == 0, done.stderr + done.stdout

    def start(self):
        """Start and wait until it answers. It dies with us (setpriv --pdeathsig)."""
        with open(self.root / "log", "ab") as log:
            self.process = subprocess.Popen([*self.as_user(), "--pdeathsig=INT", self.bin / "postgres", "-D", self.data,
                                             "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
                                             "-c", "unix_socket_directories="],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.root,
                                            start_new_session=True)
        self.wait()

    def wait(self):
        """Until it answers."""
        end = time.monotonic() + 60
        ask = [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ask, check=False).returncode != 0:
            assert self.process.poll() is None and time.monotonic() < end, (self.root / "log").read_text()
            time.sleep(0.02)

    def crash(self, pid):
        """Kill a process of it; it ends all the others and recovers. Returns when it answers again."""
        others = {other for other, _ in self.family()}
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 60
        while others & {other for other, _ in self.family()}:
            assert time.monotonic() < end, "PostgreSQL does not recover"
            time.sleep(0.005)
        self.wait()

    def stop(self, how=signal.SIGINT):
        """SIGINT ends connections and stops, SIGQUIT stops as in a crash; SIGCONT for one that was held."""
        if self.process is not None:
            self.hold(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def family(self):
        """[(pid, command line)] of the server's processes that are not its first."""
        out = []
        for pid, state, parent, _ in every_process():
            if self.process is not None and parent == self.process.pid and state not in "ZX":
                try:
                    out.append((pid, Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")))
                except (FileNotFoundError, ProcessLookupError):
                    continue
        return out

    def backends(self):
        """Those that serve httpd."""
        return [pid for pid, line in self.family() if "httpd tokrevoke" in line]

    def hold(self, how):
        """Stop or continue every process of it: a server that neither answers nor closes."""
        for pid in [self.process.pid, *(pid for pid, _ in self.family())]:
            try:
                os.kill(pid, how)
            except ProcessLookupError:
                continue

    def sql(self, text, database="tokrevoke"):
        """Rows as lists of text."""
        done = subprocess.run([self.bin / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1",
                               "-p", str(self.port), "-U", "boss", "-d", database, "-c", text], capture_output=True, text=True,
                              check=False, timeout=60, env={**os.environ, "PGPASSWORD": self.password})
        assert done.returncode == 0, done.stderr
        return [line.split("|") for line in done.stdout.splitlines()]

    def remove(self):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.root, ignore_errors=True)
