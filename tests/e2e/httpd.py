"""A private httpd for tests: its own folder, port, configuration and children, gone without a trace afterwards."""

import atexit
import contextlib
import ctypes
import grp
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from pathlib import Path

import leaks
import tls
import workers
from client import Conn

REPO = Path(__file__).resolve().parents[2]
MODULE = Path(os.environ.get("TR_MODULE", REPO / "build" / "mod_tokrevoke.so")).resolve()
MPM = os.environ.get("TR_MPM", "event")
SAN = os.environ.get("TR_SAN", "")
COUNTERS = os.environ.get("GCOV_PREFIX", "")  # where a module that counts what is run writes; tools/coverage
LONG = bool(SAN or os.environ.get("TR_LONG"))
H2 = bool(os.environ.get("TR_H2"))  # every request over HTTP/2 and TLS
SCHEME = "https" if H2 else "http"
if H2:
    assert MPM != "prefork", "mod_http2 does not work with mpm_prefork"
    from h2conn import Conn  # noqa: F811
    tls.trust_everywhere()

# Everything the tests configure; the module under test is added last.
MODULES = ("authn_core", "authn_file", "auth_basic", "authz_core", "authz_host", "authz_user", "alias", "dir", "env", "mime",
           "headers", "include", "proxy", "proxy_http", "rewrite", "setenvif", "log_config", "unixd", "watchdog")

LEVEL = re.compile(r"\[[\w-]*:(emerg|alert|crit|error|warn)\]")
ALARM = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error|exit signal|child pid \d+ exit|double free|corrupt")
DATABASE = re.compile(r"^\s*TokRevokeDatabase\b", re.M | re.I)
NO_DATABASE = re.compile(r"^\s*TokRevokeDatabase\s+none\b", re.M | re.I)
OCT = re.compile(rb'"kty": ?"oct"')
MEMORY_ONLY = re.compile(r"TR014: .*memory")

live = []  # servers that a test must leave with a clean log


def apxs(name):
    return subprocess.run(["apxs", "-q", name], capture_output=True, text=True, check=True).stdout.strip()


def files_of(pid):
    """What a process has open."""
    found = []
    with contextlib.suppress(OSError):
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.append(os.readlink(f"/proc/{pid}/fd/{entry}"))
    return found


class Installed:
    """Where this machine keeps httpd; asked once."""

    program = None

    copy = None

    @classmethod
    def module(cls):
        """The run's own copy of the module: a build that goes on beside it must not change what servers have mapped."""
        if cls.copy is None:
            folder = Path(tempfile.mkdtemp(prefix="tokrevoke-e2e-module-"))
            folder.chmod(0o755)
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            cls.copy = Path(shutil.copy(MODULE, folder))
        return cls.copy

    @classmethod
    def find(cls):
        if cls.program is None:
            cls.program = str(Path(apxs("SBINDIR")) / apxs("progname"))
            cls.modules = Path(apxs("LIBEXECDIR"))
            listing = subprocess.run([cls.program, "-l"], capture_output=True, text=True, check=True).stdout
            cls.static = {line.strip()[4:-2] for line in listing.splitlines() if line.strip().startswith("mod_")}
        return cls


def load_line(name):
    at = Installed.find()
    if name in at.static:
        return ""
    return f'LoadModule {name}_module "{at.modules}/mod_{name}.so"\n'


def environment(run):
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    if COUNTERS:
        env["GCOV_PREFIX"] = COUNTERS
    if SAN == "asan":
        found = [subprocess.run(["gcc", f"-print-file-name={lib}"], capture_output=True, text=True, check=True).stdout.strip()
                 for lib in ("libasan.so", "libubsan.so")]
        env["LD_PRELOAD"] = " ".join(str(Path(f).resolve()) for f in found)
        env["ASAN_OPTIONS"] = f"detect_leaks=0:quarantine_size_mb=4:thread_local_quarantine_size_kb=16:log_path={run}/san/asan:handle_abort=1"
        env["UBSAN_OPTIONS"] = f"print_stacktrace=1:log_path={run}/san/ubsan"
    return env


def free_port():
    """
    Below the ports that connections get by themselves: while httpd is down, a caller's own end could take its place. Test processes
    that run side by side take turns in the range.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    for _ in range(1000):
        port = random.randrange(10000 + workers.NUMBER, lowest, workers.COUNT)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no free port")


def die_with_parent():
    """No server outlives a killed test run (Linux: PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Httpd:
    """
    One server. The folder exists from the start, so that key files can be written before start(text). text is what a test adds
    to the common part; the word {root} in it becomes the folder.
    """

    def __init__(self, children=4):
        self.root = Path(tempfile.mkdtemp(prefix="tokrevoke-e2e-"))
        self.root.chmod(0o755)
        for name in ("conf", "run", "logs", "htdocs", "cgi", "san"):
            (self.root / name).mkdir()
        (self.root / "san").chmod(0o777)
        (self.root / "run").chmod(0o755)
        self.children = children
        self.threads = 32  # of a child; with fewer than there are connections, mpm_event closes idle ones
        self.port = None
        self.process = None
        self.serving = set()
        self.sockets = set()  # references to those of the connections that tests have made and not forgotten
        self.seen = 0
        self.expected = []
        self.always = [re.compile(tls.HARMLESS)] if H2 else []
        self.database = "sqlite3:{root}/state/tokrevoke.db"  # where the test's own text says nothing; None: no directive
        self.extra_modules = ()
        self.environment = {}  # beside what every server gets
        self.max_descriptors = None  # of each process
        self.with_module = True
        self.runs_scripts = False  # cgid's own restarts leave lines in the log, so only who needs it loads it
        self.write("htdocs/ok.txt", "the protected page\n")
        self.write("htdocs/index.html", "<p>index</p>\n")
        atexit.register(self.remove)

    # ---- files and configuration ----

    def write(self, name, content, mode=None):
        """Write a file atomically below the folder; returns its path. Everybody may read what is not named as a secret is, and has none."""
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        content = content if isinstance(content, bytes) else content.encode()
        leaks.known.hear_file(name, content)
        fresh.write_bytes(content)
        if OCT.search(content) and os.geteuid() == 0:
            os.chown(fresh, -1, grp.getgrnam("www-data").gr_gid)  # the children read it again
        secret = 0o600 if name.startswith("conf/") and name.endswith((".bin", ".secret")) else 0o640 if OCT.search(content) else 0o644
        fresh.chmod(mode or secret)
        os.rename(fresh, path)
        return path

    def mpm(self):
        n = self.children
        if MPM == "prefork":
            n = max(12, n)
            return (f"StartServers {n}\nMinSpareServers 1\nMaxSpareServers {n + 64}\n"
                    f"ServerLimit {n + 64}\nMaxRequestWorkers {n + 64}\n")
        t = self.threads
        return (f"StartServers {n}\nServerLimit 16\nThreadsPerChild {t}\nThreadLimit {t}\nMaxRequestWorkers {t * n}\n"
                f"MinSpareThreads 1\nMaxSpareThreads {t * n}\n")

    def common(self):
        cgi = "cgi" if MPM == "prefork" else "cgid"
        text = load_line(f"mpm_{MPM}")
        wanted = MODULES + ((cgi,) if self.runs_scripts else ()) + tuple(self.extra_modules) + (tls.MODULES if H2 else ())
        for name in dict.fromkeys(wanted):
            text += load_line(name)
        if self.with_module:
            text += f'LoadModule tokrevoke_module "{Installed.module()}"\n'
        root = self.root
        text += f"""
ServerRoot "{root}"
DefaultRuntimeDir "{root}/run"
PidFile "{root}/run/httpd.pid"
Mutex default
ServerName 127.0.0.1
Listen 127.0.0.1:{self.port}
{self.mpm()}
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
Timeout 30
LimitRequestFieldSize 65536
LimitRequestLine 65536
ErrorLog "{root}/logs/error"
LogLevel info{' tokrevoke:trace8' if self.with_module else ''}
LogFormat "%P %>s %{{tokrevoke-reason}}n %u \\"%r\\" %{{X-Mark}}i" marked
CustomLog "{root}/logs/access" marked
TypesConfig /dev/null
AddType text/html .html
AddType text/plain .txt
DocumentRoot "{root}/htdocs"
DirectoryIndex index.html
UseCanonicalName Off
Header always set X-Reason "%{{TOKREVOKE_REASON}}e" "expr=-n reqenv('TOKREVOKE_REASON')"
Header always set X-User "expr=%{{REMOTE_USER}}" "expr=-n %{{REMOTE_USER}}"
"""
        text += tls.configuration(root) if H2 else ""
        if self.runs_scripts and cgi == "cgid":
            text += f'ScriptSock "{root}/run/cgid.sock"\n'
        if os.geteuid() == 0:
            text += "User www-data\nGroup www-data\n"
        text += f"""
<Directory "{root}">
    AllowOverride None
    Require all granted
</Directory>
"""
        return text

    def compose(self, text):
        if self.port is None:
            self.port = free_port()
        if self.with_module and self.database and not DATABASE.search(text):
            text = f"TokRevokeDatabase {self.database}\n" + text
        if NO_DATABASE.search(text):
            self.expect_log(MEMORY_ONLY, always=True)
        return self.common() + text.replace("{root}", str(self.root)).replace("{port}", str(self.port))

    def command(self, *args, name="httpd.conf"):
        return [Installed.find().program, "-d", str(self.root), "-f", str(self.root / "conf" / name), *args]

    def configtest(self, text):
        """(exit status, what it said) of httpd -t for the common part and text."""
        self.write("conf/test.conf", self.compose(text))
        done = subprocess.run(self.command("-t", name="test.conf"), capture_output=True, text=True, timeout=60,
                              env=environment(self.root), check=False)
        assert not leaks.known.leaks(done.stdout + done.stderr)
        return done.returncode, done.stdout + done.stderr

    # ---- life ----

    def start(self, text):
        for _ in range(5):  # another process may take the free port between our look and httpd's bind
            self.write("conf/httpd.conf", self.compose(text))
            self.launch()
            if self.wait_until_up():
                live.append(self)
                return self
            if "Address already in use" not in self.error_log():
                break
            self.port = None
        raise AssertionError("httpd did not start:\n" + self.error_log())

    def start_fails(self, text, timeout=20):
        """Start expecting a refusal; returns everything it said."""
        self.write("conf/httpd.conf", self.compose(text))
        self.launch()
        try:
            status = self.process.wait(timeout)
        finally:
            if self.process.poll() is None:
                self.process.terminate()
                self.process.wait(20)
        assert status != 0, self.error_log()
        assert not leaks.known.leaks(self.error_log())
        self.seen = len(self.error_log())
        return self.error_log()

    def forget_stranger(self):
        """The number that a killed server has left in its file may be another program's by now, and httpd would not start beside it."""
        left = self.root / "run" / "httpd.pid"
        if self.process is None or self.process.poll() is not None:
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(left.read_text(encoding="ascii")), 0)
                left.unlink()

    def launch(self):
        self.forget_stranger()
        with open(self.root / "logs" / "console", "ab") as console:
            self.process = subprocess.Popen(self.command("-D", "FOREGROUND"), stdin=subprocess.DEVNULL, stdout=console,
                                            stderr=console, env=environment(self.root) | self.environment,
                                            preexec_fn=self.before_start, start_new_session=True, cwd=self.root)

    def before_start(self):
        die_with_parent()
        if self.max_descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.max_descriptors, self.max_descriptors))

    def wait_until_up(self, timeout=30):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return False
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    pass
            except OSError:
                time.sleep(0.02)
                continue
            if len(self.pids()) >= max(self.children, 12 if MPM == "prefork" else 0):
                return True
            time.sleep(0.02)
        return False

    def reconfigure(self, text):
        self.write("conf/httpd.conf", self.compose(text))

    def generations(self):
        return len(re.findall(r"resuming normal operations", self.error_log()))

    def signalled(self, what):
        before = self.generations()
        self.process.send_signal(what)
        end = time.monotonic() + 30
        while self.generations() == before:
            assert self.process.poll() is None, "httpd ended: " + self.error_log()
            assert time.monotonic() < end, "httpd did not come back"
            time.sleep(0.01)

    def graceful(self):
        self.signalled(signal.SIGUSR1)

    def restart(self):
        self.quiet()
        self.signalled(signal.SIGHUP)

    def quiet(self):
        """
        Wait until no connection is being closed: mpm_event may touch a socket that a thread has just freed when it is ended in that
        moment (close_worker_sockets), and then a child ends with a segmentation fault, also without any module. Is it quiet?
        """
        end = time.monotonic() + 0.5
        busy = re.compile(rf"^ *\d+: [0-9A-F]+:{self.port:04X} [0-9A-F:]+ 0[1458B] ", re.M)
        while (is_busy := busy.search(Path("/proc/net/tcp").read_text(encoding="ascii"))) and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(0.02)
        return not is_busy

    def next_generation(self):
        """
        Restart gracefully, and wait until every child of before has gone: they may answer by the old configuration for a moment,
        and mpm_event itself complains of requests that reach a child on its way out (AH03093). A child may be born while the restart
        is asked for, so no list of before tells which they are; but each generation has a pipe of its own, by which its children hear
        of their end.
        """
        self.graceful()
        parents = self.pipes(self.process.pid)
        end = time.monotonic() + 20
        while any(not parents & pipes for pipes in self.pipes_of_children()):
            assert time.monotonic() < end, "children of the generation before stay"
            time.sleep(0.02)

    @staticmethod
    def pipes(pid):
        found = set()
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                found.add(os.readlink(fd))
        return {link for link in found if link.startswith("pipe:")}

    def pipes_of_children(self):
        program = os.readlink(f"/proc/{self.process.pid}/exe")
        for pid in self.offspring():
            with contextlib.suppress(OSError):  # it has gone meanwhile
                if os.readlink(f"/proc/{pid}/exe") == program:
                    yield self.pipes(pid)

    def again(self):
        """Start once more, with the files that are there. Somebody's connection may have taken the port for a moment."""
        for _ in range(20):
            before = self.error_log().count("Address already in use")
            self.launch()
            is_up = self.wait_until_up()
            if is_up or self.error_log().count("Address already in use") == before:
                break
            time.sleep(0.5)
        assert is_up, "httpd did not start:\n" + self.error_log()
        live.append(self)
        return self

    def kill(self):
        """The whole process group with one blow, as when the power fails; returns when none of it lives."""
        with contextlib.suppress(ProcessLookupError):  # the children of a parent that has ended by itself may have ended, too
            os.killpg(self.process.pid, signal.SIGKILL)
        end = time.monotonic() + 20
        while self.members():
            assert time.monotonic() < end, "processes outlive SIGKILL"
            time.sleep(0.005)
        self.process.wait(10)
        self.remove_clock()
        self.expect_log("AH00098: pid file .* overwritten", always=True)
        if self in live:
            live.remove(self)

    def members(self):
        """The living processes of the group."""
        found = []
        for entry in os.listdir("/proc"):
            try:
                state, _, group = Path(f"/proc/{int(entry)}/stat").read_text(errors="replace").rpartition(")")[2].split()[:3]
            except (ValueError, OSError):
                continue
            if int(group) == self.process.pid and state not in "ZX":
                found.append(int(entry))
        return found

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.expect_log("AH03093", always=True)  # mpm_event complains of a request that was answered just now
            self.hang_up()
            if SAN:
                self.let_them_begin()
            # A child that was told to leave in peace hears no other word while threads of it have connections: all of them with
            # mpm_worker, and those of HTTP/2 that wait for their client with mpm_event.
            if not self.quiet() and MPM != "worker" and not H2:
                self.leave()
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)
        if self in live:
            live.remove(self)

    def hang_up(self):
        """
        End the connections that are left, perhaps by a test that has failed: children that a graceful restart has told to leave may
        wait for each of them, whatever else they are told, until httpd kills them and says so.
        """
        for made in tuple(self.sockets):
            if sock := made():
                sock.close()

    def let_them_begin(self):
        """
        A child that hears of its end before it has threads frees its memory in httpd's signal handler, and the address sanitizer may
        stand in free() at that moment: then the child waits for itself, until httpd kills it and says so.
        """
        end = time.monotonic() + 2
        while time.monotonic() < end:
            with contextlib.suppress(OSError):  # one has gone meanwhile
                ours = self.pipes(self.process.pid)  # and not of the generation before
                ready = [pid for pid in self.pids() if ours & self.pipes(pid) and len(os.listdir(f"/proc/{pid}/task")) > 4]
                if len(ready) >= self.children:
                    return
            time.sleep(0.01)

    def leave(self):
        """Let the children end what they do, for a moment."""
        self.process.send_signal(signal.SIGWINCH)
        end = time.monotonic() + 1
        while self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)

    def remove_clock(self):
        """libfaketime leaves these of a process that was killed."""
        if self.process is not None:
            for name in ("faketime_shm", "sem.faketime_sem"):
                Path(f"/dev/shm/{name}_{self.process.pid}").unlink(missing_ok=True)

    def remove(self):
        self.stop()
        self.remove_clock()
        shutil.rmtree(self.root, ignore_errors=True)

    def pids(self):
        """The children that serve requests: cgid's helper is no one of them. Asked thousands of times, so without ps."""
        found = []
        for pid in self.offspring():
            with contextlib.suppress(OSError):
                state, *rest = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
                if state not in b"ZX" and self.serves(pid, rest[18]):
                    found.append(pid)
        return sorted(found)

    def offspring(self):
        """Every child process, by the kernel's list; that may pass over one while another ends, so it must say the same twice."""
        names = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = None
        try:
            while found != (fresh := names.read_bytes()):
                found = fresh
        except (FileNotFoundError, ProcessLookupError):
            if self.process.poll() is None:
                raise
            found = b""
        return [int(pid) for pid in found.split()]

    def serves(self, pid, began):
        """Once it does, it always will; began tells a process from a later one of the same number."""
        if (pid, began) not in self.serving and self.role(pid) == "server":
            self.serving.add((pid, began))
        return (pid, began) in self.serving

    @staticmethod
    def role(pid):
        """cgid's helper holds a listening unix socket and no TCP listener; its threads number one."""
        try:
            links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return "gone"
        one_thread = re.search(r"^Threads:\s+1$", status, re.M)
        polls = any("eventpoll" in link for link in links)
        return "cgid" if MPM != "prefork" and one_thread and not polls else "server"

    # ---- logs ----

    def error_log(self):
        text = ""
        for name in ("console", "error"):
            path = self.root / "logs" / name
            if path.exists():
                text += path.read_text(errors="replace")
        return text

    def access_log(self):
        return (self.root / "logs" / "access").read_text(errors="replace")

    def access_line(self, mark, timeout=20):
        """The access log's line of the request that carried X-Mark: mark; written just after the answer."""
        end = time.monotonic() + timeout
        while True:
            for line in self.access_log().splitlines():
                if line.endswith(" " + mark):
                    return line
            assert time.monotonic() < end, f"no log line for {mark}"
            time.sleep(0.005)

    def expect_log(self, pattern, always=False):
        """Announce lines of this test (or all tests on this server) that would otherwise fail it."""
        (self.always if always else self.expected).append(re.compile(pattern))

    def wait_log(self, pattern, timeout=20, since=0):
        end = time.monotonic() + timeout
        while not (found := re.search(pattern, self.error_log()[since:])):
            assert time.monotonic() < end, f"no line matches {pattern}:\n" + self.error_log()[since:]
            time.sleep(0.02)
        return found

    def unexpected(self):
        """Lines since the last call that nobody announced."""
        text = self.error_log()
        fresh, self.seen = text[self.seen:], len(text)
        bad = ["a token, a jti or a secret is in the log: " + line for line in leaks.known.leaks(fresh)]
        for line in fresh.splitlines():
            if not (LEVEL.search(line) or ALARM.search(line)):
                continue
            if not any(p.search(line) for p in self.expected + self.always):
                bad.append(line)
        for report in sorted((self.root / "san").iterdir()):
            bad.append(report.read_text(errors="replace")[:4000])
        return bad

    def holders(self, connections):
        """The child at the other end of each connection, by the kernel's books; None where no child has taken it yet."""
        at = {}
        for row in re.finditer(rf"^ *\d+: [0-9A-F]+:{self.port:04X} .*$", Path("/proc/net/tcp").read_text(encoding="ascii"), re.M):
            there, inode = row[0].split()[2:10:7]
            at[int(there.rpartition(":")[2], 16)] = f"socket:[{inode}]"
        who = {link: pid for pid in self.pids() for link in files_of(pid)}
        return [who.get(at.get(c.sock.getsockname()[1])) for c in connections]

    # ---- requests ----

    @property
    def url(self):
        return f"{SCHEME}://127.0.0.1:{self.port}"

    def connect(self, source=None):
        c = Conn("127.0.0.1", self.port, source=source)
        self.sockets.add(weakref.ref(c.sock, self.sockets.discard))
        return c

    def get(self, path, *headers, method="GET", body=None, host=None):
        with self.connect() as c:
            return c.request(method, path, *headers, body=body, host=host)

    def bearer(self, path, token, *headers, method="GET", host=None):
        return self.get(path, "Authorization: Bearer " + token, *headers, method=method, host=host)

    def revoke(self, token, path="/revoke", host=None):
        return self.get(path, "Content-Type: application/x-www-form-urlencoded", method="POST", body="token=" + token,
                        host=host)


def protected(name, *directives, where=None):
    """A Location /p/NAME/ that wants a token; files below it come from htdocs."""
    lines = "\n    ".join(directives)
    require = "" if any(d.lstrip().startswith(("Require", "<Require")) for d in directives) else "Require valid-user"
    return f"""
<Location "{where or '/p/' + name + '/'}">
    AuthType Bearer
    AuthName "{name}"
    {require}
    {lines}
</Location>
"""


ALIAS = 'AliasMatch "^/p/[^/]+/(.*)$" "{root}/htdocs/$1"\n'


def endpoint(path, *directives, handler="tokrevoke-revoke"):
    lines = "\n    ".join(directives)
    return f"""
<Location "{path}">
    SetHandler {handler}
    {lines}
</Location>
"""
