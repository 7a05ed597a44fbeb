"""Applications of other people behind httpd, as the distribution packs them: PHP, gitweb, Radicale. Each private to its test."""

import os
import shutil
import socket
import subprocess
import time
from functools import lru_cache
from pathlib import Path

from httpd import REPO, die_with_parent, free_port

ROOT = os.geteuid() == 0
USER = "www-data"


@lru_cache(maxsize=None)
def folder():
    """Where tools/apps has unpacked them; filled when make has not done so yet."""
    there = Path(os.environ.get("TR_APPS", REPO / "build" / "apps")).resolve()
    if not (there / "usr").is_dir():
        subprocess.run([REPO / "tools" / "apps", there], check=True, capture_output=True, timeout=300)
    return there


def program(pattern):
    """The only file of them whose path fits."""
    (found,) = folder().glob(pattern)
    return found


def php_fpm():
    return program("usr/sbin/php-fpm*")


def php_cgi():
    return program("usr/bin/php-cgi*")


def php_module():
    return program("usr/lib/apache2/modules/libphp*.so")


def gitweb():
    """git's own package has it; the package gitweb only enables it in httpd's configuration."""
    return Path("/usr/share/gitweb/gitweb.cgi")


def give(path):
    """To httpd's user, who is somebody else where tests run as root."""
    if ROOT:
        shutil.chown(path, USER, USER)
        if Path(path).is_dir():
            for below in Path(path).rglob("*"):
                shutil.chown(below, USER, USER)


class Program:
    """A process that ends with the test, and whatever it says goes to a file."""

    def __init__(self, log, *command, environment=None):
        self.log = Path(log)
        with open(log, "ab") as to:
            self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=to, stderr=to,
                                            cwd=self.log.parent, env=environment or {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
                                            preexec_fn=die_with_parent)

    def wait_until(self, is_up, seconds=20):
        end = time.monotonic() + seconds
        while not is_up():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text(errors="replace")
            time.sleep(0.02)
        return self

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


def start_fpm(server):
    """A pool of two for this server, behind the unix socket run/php.sock."""
    at, socket_path = server.root, server.root / "run" / "php.sock"
    user = f"user = {USER}\ngroup = {USER}\nlisten.owner = {USER}\nlisten.group = {USER}\n" if ROOT else ""
    server.write("conf/php-fpm.conf", f"""
[global]
error_log = {at}/logs/php-fpm
daemonize = no
[www]
listen = {socket_path}
listen.mode = 0600
{user}pm = static
pm.max_children = 2
""")
    fpm = Program(at / "logs" / "php-fpm-console", php_fpm(), "-n", "-F", "-y", at / "conf" / "php-fpm.conf")
    return fpm.wait_until(socket_path.is_socket)


def start_radicale(server):
    """Calendars of whoever X-Remote-User names, each his own; returns the program and its port."""
    at, port = server.root, free_port()
    (at / "calendars").mkdir(exist_ok=True)
    give(at / "calendars")
    server.write("conf/radicale", f"""
[server]
hosts = 127.0.0.1:{port}
[auth]
type = http_x_remote_user
delay = 0
[rights]
type = owner_only
[storage]
filesystem_folder = {at}/calendars
[web]
type = none
""")
    def is_up():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    return Program(at / "logs" / "radicale", "/usr/bin/python3", "-B", "-m", "radicale", "--config",
                   at / "conf" / "radicale").wait_until(is_up), port
