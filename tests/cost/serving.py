"""A small httpd of one child, with locations that differ in one thing each, and what a request to each of them makes it do."""

import collections
import contextlib
import re
import signal
import subprocess

import costs
from httpd import Installed, endpoint, environment, protected
from plain import Plain
from storing import until
from tokens import fields, key_set

# Servers, and their locations: all names of the same length, all serve the same page. What is not None asks for a token.
BARE = {
    "base": None,
    "more": None,  # reads an .htaccess file: what must not go unseen
}
OURS = {
    "open": None,
    "mute": ("TokRevokeClaimEnv Off",),
    "safe": (),
    "live": ("TokRevokeCutStreams On",),
    "gone": (),  # asked for with a token that is revoked
}
TELLING = {
    "near": None,
    "told": ("TokRevokeClaimHeader X-Subject sub", "TokRevokeClaimHeader X-Groups groups"),
}
NOWHERE = "/nowhere"  # its 404 marks where one kind of request ends and the next begins


def asking(places):
    return [name for name, extra in places.items() if extra is not None]


class Small(Plain):
    """tokens: one that is good, and one that will be revoked."""

    def __init__(self, places, keys, tokens):
        super().__init__(children=1)
        self.places = places
        self.good, self.revoked = tokens
        self.with_module = places is not BARE
        self.threads = 4
        for name in places:
            self.write(f"htdocs/{name}/page.txt", "x" * 1024)
        self.write("htdocs/more/.htaccess", "AddType text/plain .text\n")
        self.write("conf/jwks.json", key_set(fields(keys["rsa"], kid="rsa")))

    def mpm(self):
        t = self.threads
        return (f"StartServers 1\nServerLimit 1\nThreadsPerChild {t}\nMaxRequestWorkers {t}\nMinSpareThreads 1\n"
                f"MaxSpareThreads {t}\n")

    def common(self):
        return super().common() + f"""
<Directory "{self.root}/htdocs/more">
    AllowOverride All
</Directory>
"""

    def first(self):
        """As many where nothing is checked, because httpd compares each request with all of them."""
        if not self.with_module:
            return "".join(f'<Location "/{name}/">\nOptions None\n</Location>\n' for name in [*asking(OURS), "revoke"])
        return f"""
LoadModule tokrevoke_module "{Installed.module()}"
<TokRevokeIssuer "https://idp.test/">
    TokRevokeKeySet "{self.root}/conf/jwks.json"
</TokRevokeIssuer>
""" + "".join(protected(name, *self.places[name], where=f"/{name}/") for name in asking(self.places)) + endpoint("/revoke/")

    def up(self):
        self.start("")
        if "gone" in self.places:
            assert self.revoke(self.revoked, "/revoke/").status == 200
        return self

    def token(self, name):
        return "Authorization: Bearer " + (self.revoked if name == "gone" else self.good)

    def check(self, name, answer):
        assert answer.status == (401 if name == "gone" else 200), (name, answer, self.error_log())
        assert name == "gone" or len(answer.body) == 1024, (name, answer)

    def ask(self, connection, name, times):
        for _ in range(times):
            self.check(name, connection.request("GET", f"/{name}/page.txt", self.token(name)))

    def ask_each_thread(self, name):
        """Once, all at a time: what a thread takes with its first request, it takes here."""
        with contextlib.ExitStack() as held:
            connections = [held.enter_context(self.connect()) for _ in range(self.threads)]
            for connection in connections:  # so far that a thread waits for the rest
                connection.send_raw(f"GET /{name}/page.txt HTTP/1.1\r\nHost: {connection.host}\r\n".encode())
            until(lambda: all(connection.is_read() for connection in connections), message="not every thread has a request")
            for connection in connections:
                connection.send_raw(self.token(name).encode() + b"\r\n\r\n")
                self.check(name, connection.receive())

    def ask_all(self, times):
        """Everything once in each thread, unmeasured; then a 404; and of each place so many requests, and a 404."""
        for name in self.places:
            self.ask_each_thread(name)
        with self.connect() as connection:
            for name in self.places:
                self.ask(connection, name, 10)
            assert connection.request("GET", NOWHERE).status == 404
            for name in self.places:
                self.ask(connection, name, times)
                assert connection.request("GET", NOWHERE).status == 404


class Counted(Small):
    """Under callgrind, in one process. It counts while a connection is served, and writes a count down with each 404."""

    def __init__(self, places, keys, tokens):
        super().__init__(places, keys, tokens)
        self.children = 0
        self.counts = self.root / "counts"
        self.counts.mkdir()
        self.counts.chmod(0o777)

    def launch(self):
        with open(self.root / "logs" / "console", "ab") as console:
            command = costs.callgrind(self.counts, "ap_run_process_connection", "--dump-before=ap_send_error_response")
            self.process = subprocess.Popen([*command, *self.command("-X")], stdin=subprocess.DEVNULL, stdout=console,
                                            stderr=console, env=environment(self.root) | costs.PLAIN,
                                            preexec_fn=self.before_start, start_new_session=True, cwd=self.root)


def count_work(server, times):
    """{place: (instructions, allocations) of one request}"""
    server.ask_all(times)
    first, *dumps = costs.dumps(server.counts)
    assert first.allocations > 0 and len(dumps) >= len(server.places), server.error_log()
    return {name: (dump.instructions / times, dump.allocations / times) for name, dump in zip(server.places, dumps)}


# A call that another thread's came between has two lines; the second may have what was read.
LINE = re.compile(r"^(\d+) +(?:(\w+)\((\d*)|<\.\.\. \w+ resumed>)(.*)$", re.M)
REQUEST = re.compile(r'"GET /(\w+)/page\.txt ')

# Made by the C library, and only where the kernel does not let it read the time without asking.
CLOCKS = ("clock_gettime", "gettimeofday", "time")


def count_calls(server, times):
    """{place: how many system calls of each name one request makes}"""
    log = server.root / "logs" / "strace"
    with server.connect() as connection:  # threads that begin with the first request are there before anybody looks
        for name in server.places:
            server.ask(connection, name, 2)
    tracer = subprocess.Popen(["strace", "-f", "-s", "128", "-e", "signal=none", "-o", str(log), "-p", str(server.pids()[0])],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        said = tracer.stderr.readline()
        assert "attached" in said, said
        server.ask_all(times)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=20)
    found = requests(log.read_text(errors="replace"))
    assert all(len(found[name]) > times for name in server.places), found
    return {name: {call: n / times for call, n in sum(found[name][-times:], collections.Counter()).items()}
            for name in server.places}


def requests(text):
    """
    {place: the calls of each request}, made by its thread after it has read the request and before it looks for the next. What
    comes then, when there is none yet, is httpd's own waiting, and depends on who is faster.
    """
    out = collections.defaultdict(list)
    now, reading, begun = {}, {}, {}  # of each thread: the calls of its request, where that came from, what it reads last
    for thread, name, descriptor, rest in LINE.findall(text):
        if name == "read":
            if descriptor == reading.get(thread):
                now.pop(thread, None)
            begun[thread] = descriptor
        elif name in CLOCKS:
            continue
        if name and thread in now:
            now[thread][name] += 1
        if place := REQUEST.search(rest):
            now[thread] = collections.Counter()
            reading[thread] = begun[thread]
            out[place[1]].append(now[thread])
    return out
