"""The server of a day: two children, places that ask for different things, and nothing that is written down for each request."""

import os
import re

from httpd import ALIAS, Installed, endpoint, protected
from issuers import issuer, jwks
from memory import Held, shared_bytes
from plain import Plain
from storing import BASIC, basic, write_users
from wallet import EMAIL

CAPACITY = 100000
RECENT_BYTES = 256 << 20  # of all children that there may be together, for tokens just seen
FOUND = re.compile(r"this child found (\d+) tokens among those it had just seen, and kept (\d+); (\d+) of them are there now, "
                   r"and take (\d+) bytes")
MODULES = ("authn_core", "authn_file", "auth_basic", "authz_core", "authz_user", "alias", "dir", "env", "mime", "headers",
           "unixd", "watchdog")
MOST_LOG = 4 << 20


def telling(what):
    return f'Header always set X-Told "expr={what}" "expr=-n {what}"'


# What each place asks for, and what it tells the page of a token: the answer says it again.
PLACES = {
    "app": ((), lambda token: "-"),
    "env": (("TokRevokeClaimEnv On", telling("%{reqenv:TOKEN_CLAIM_sub}")), lambda token: token.sub),
    "field": (("TokRevokeClaimHeader X-Subject sub", "TokRevokeClaimHeader X-Groups groups", telling("%{req:X-Subject}")),
              lambda token: token.sub),
    "mail": (("TokRevokeUserClaim email", telling("%{REMOTE_USER}")), lambda token: token.sub + EMAIL),
    "admins": (("Require token-claim role admin",), lambda token: "-"),
}


def wanted(token, place):
    if place == "admins" and token.role != "admin":
        return "403,insufficient_scope,-"
    return f"200,-,{PLACES[place][1](token)}"


class Site(Plain):
    """most_children: of which there are two, but each has the share of one in what they may remember together."""

    modules = MODULES

    def __init__(self, wallet, most_children):
        super().__init__(children=2)
        self.wallet, self.most_children = wallet, most_children
        self.remembered = []  # of children that have ended: found, kept, there at the end, bytes
        self.publish()
        write_users(self, b"boss")
        self.write("htdocs/page.txt", "x" * 1024)

    def mpm(self):
        n, t = self.most_children, self.threads
        return (f"StartServers {self.children}\nServerLimit {n}\nThreadsPerChild {t}\nThreadLimit {t}\n"
                f"MaxRequestWorkers {n * t}\nMinSpareThreads 1\nMaxSpareThreads {n * t}\n")

    def publish(self):
        self.write("conf/all.jwks", self.wallet.key_set())

    def first(self):
        return f"""
LoadModule tokrevoke_module "{Installed.module()}"
LimitRequestFieldSize 65536
LogLevel notice authz_core:crit tokrevoke:debug
AddType text/html .html
Header always echo ^X-Want$
Header always set X-Reason "%{{TOKREVOKE_REASON}}e" "expr=-n reqenv('TOKREVOKE_REASON')"
"""

    def up(self):
        admin = "\n    ".join(("SetHandler tokrevoke-admin", *BASIC))
        rules = ("TokRevokeClockSkew 0", "TokRevokeMaxLifetime unlimited")
        return self.start(f"TokRevokeCapacity {CAPACITY}\n" + issuer("https://idp.test/", jwks("all"), *rules) + ALIAS
                          + "".join(protected(name, *lines) for name, (lines, _) in PLACES.items()) + endpoint("/revoke")
                          + f'<Location "/admin">\n    {admin}\n</Location>\n')

    def table(self):
        answer = self.get("/admin/status", basic(b"boss"))
        assert answer.status == 200, answer
        return answer.json()["table"]

    def read_log(self):
        """What nobody announced; and the log is kept short. Only while nobody asks for anything."""
        left, log = self.unexpected(), self.root / "logs" / "error"
        if log.stat().st_size > MOST_LOG:
            self.take_remembered()
            os.truncate(log, 0)
            self.seen = len(self.error_log())
        return left

    def take_remembered(self):
        self.remembered += [tuple(map(int, row)) for row in FOUND.findall(self.error_log())]

    def held(self):
        """{pid: Held} of the children, what the parent holds, and bytes of shared memory, used and at most."""
        children = {pid: Held(pid) for pid in self.pids()}
        parent = Held(self.process.pid)
        return children, parent, sum(h.shared for h in (parent, *children.values())), shared_bytes(self.process.pid)
