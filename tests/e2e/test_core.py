"""
A core of httpd's processes holds no HMAC secret and no client's secret: what was read of them is wiped, and what must stay lies in
pages that are left out of cores.
"""

import base64
import hashlib
import json
import os

import pytest
from jwcrypto.jwk import JWK

from clients import basic
from httpd import ALIAS, SAN, endpoint, protected
from issuers import issuer
from memory import core_of, find
from tokens import b64, claims, compact, fields, key_set

pytestmark = [pytest.mark.h1("mod_ssl and mod_http2 have copies of bodies"),
              pytest.mark.skipif(bool(SAN), reason="a sanitizer keeps what was freed")]
FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
BY_FILE, BY_SET = "https://file.test/", "https://set.test/"


def spellings(name, secret):
    return {name: secret, f"{name} in base64url": b64(secret).encode(), f"{name} in base64": base64.b64encode(secret),
            f"{name} in hex": secret.hex().encode()}


def hmac_key(secret):
    return JWK(kty="oct", k=b64(secret))


class Secrets:
    def __init__(self):
        self.file, self.set, self.old, self.fresh = (os.urandom(64) for _ in range(4))
        self.client = {name: f"{name}-{os.urandom(12).hex()}" for name in ("basic", "form", "json", "wrong")}

    def needles(self):
        found = {}
        for name in ("file", "set", "old", "fresh"):
            found |= spellings(f"the secret {name}", getattr(self, name))
        return found | {f"{name}'s secret": secret.encode() for name, secret in self.client.items()}


def keys_of(server, *kids):
    members = [fields(hmac_key(secret), kid=kid) for kid, secret in kids]
    return server.write("conf/oct.jwks", key_set(*members))


@pytest.fixture(scope="module")
def secrets():
    return Secrets()


@pytest.fixture(scope="module")
def server(new_server, secrets):
    server = new_server(children=2)
    server.threads = 8
    server.write("conf/hmac.secret", secrets.file)
    keys_of(server, ("set", secrets.set), ("old", secrets.old))
    hashes = {name: base64.b64encode(hashlib.sha1(secret.encode()).digest()).decode() for name, secret in secrets.client.items()}
    server.write("conf/clients", "".join(f"{name}:{{SHA}}{text}\n" for name, text in hashes.items()))
    return server.start(issuer(BY_FILE, "TokRevokeSharedSecret conf/hmac.secret") + issuer(BY_SET, "TokRevokeKeySet conf/oct.jwks")
                        + ALIAS + protected("app") + endpoint("/revoke", "TokRevokeClients conf/clients")
                        + endpoint("/introspect", "TokRevokeClients conf/clients", handler="tokrevoke-introspect"))


def token_of(iss, secret, kid=None):
    return compact({"alg": "HS256"} | ({"kid": kid} if kid else {}), claims(iss=iss), "HS256", hmac_key(secret))


def is_let_in(server, token):
    for _ in range(12):
        r = server.bearer("/p/app/ok.txt", token)
        assert r.status == 200, r.reason


def as_clients(server, secrets):
    for path in ("/revoke", "/introspect"):
        for _ in range(6):
            token, own = token_of(BY_FILE, secrets.file), secrets.client
            assert server.get(path, FORM, basic("basic", own["basic"]), method="POST", body="token=" + token).status == 200
            assert server.get(path, FORM, method="POST", body=f"client_id=form&client_secret={own['form']}&token={token}").status == 200
            assert server.get(path, JSON, method="POST",
                              body=json.dumps({"client_id": "json", "client_secret": own["json"], "token": token})).status == \
                (200 if path == "/revoke" else 400)
            assert server.get(path, FORM, basic("basic", own["wrong"]), method="POST", body="token=" + token).status == 401


def test_what_lies_in_a_processes_memory_is_found(server):
    """Else the other test could not fail."""
    for pid in [server.process.pid] + server.pids():
        assert sum(len(data) for _, _, data in core_of(pid)) > 1 << 20
        assert find(pid, {"a page's path": b"AliasMatch" if pid == server.process.pid else b"/htdocs/$1"})


def test_no_secret_is_in_a_core(server, secrets):
    """
    Of keys that are in force, were replaced, or are from before a restart; and of clients, whatever way they showed theirs. What
    httpd itself holds of a field Authorization is its own.
    """
    is_let_in(server, token_of(BY_FILE, secrets.file))
    is_let_in(server, token_of(BY_SET, secrets.old, "old"))
    begin = len(server.error_log())
    keys_of(server, ("set", secrets.set), ("fresh", secrets.fresh))
    server.wait_log("(?s)(oct.jwks was read anew.*){%d}" % len(server.pids()), since=begin)
    for restarted in (False, True):
        is_let_in(server, token_of(BY_SET, secrets.set, "set"))
        is_let_in(server, token_of(BY_SET, secrets.fresh, "fresh"))
        as_clients(server, secrets)
        left = {pid: find(pid, secrets.needles()) for pid in [server.process.pid] + server.pids()}
        assert not any(left.values()), {pid: [row[:3] for row in rows] for pid, rows in left.items()}
        if not restarted:
            server.next_generation()
            is_let_in(server, token_of(BY_FILE, secrets.file))
