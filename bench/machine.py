"""What was measured with, and on what: named beside every result."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path

from httpd import MPM, Installed
from servers import PEERS, REPO


def said(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def first(pattern, text):
    found = re.search(pattern, text, re.M)
    return found.group(1).strip() if found else "unknown"


def package(*names):
    """The version of the first of these Debian packages that is installed."""
    for name in names:
        version = said("dpkg-query", "-W", "-f=${Version}", name)
        if version and "no packages" not in version:
            return version
    return "unknown"


def peers():
    lines = (PEERS / "versions").read_text().splitlines() if (PEERS / "versions").exists() else []
    return dict(line.split() for line in lines)


def describe():
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = peers()
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": {"cpu": first(r"^model name\s*:\s*(.*)$", cpus), "cores": os.cpu_count(),
                    "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2 ** 30),
                    "kernel": platform.release(), "virtual": " hypervisor " in cpus,
                    "system": first(r'^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text(encoding="utf-8"))},
        "versions": {"mod_tokrevoke": said("git", "-C", str(REPO), "describe", "--always", "--dirty"),
                     "httpd": first(r"Apache/(\S+)", said(Installed.find().program, "-v")), "mpm": MPM,
                     "OpenSSL": first(r"^OpenSSL (\S+)", said("openssl", "version")), "jansson": package("libjansson4"),
                     "SQLite": package("libsqlite3-0"), "wrk": first(r"wrk (?:debian/)?(\S+)", said("wrk", "-v")),
                     "mod_auth_openidc": found.get("libapache2-mod-auth-openidc"),
                     "mod_oauth2": found.get("libapache2-mod-oauth2"), "liboauth2": found.get("liboauth2-0"),
                     "HAProxy": found.get("haproxy")}}
