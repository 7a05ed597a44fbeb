"""What the tests of the guard share: a token endpoint behind httpd, guarded and not, and ways to revoke refresh tokens."""

import json
import urllib.parse

import pytest

from backend import Backend, reply
from httpd import endpoint
from issuers import write_keys
from storing import BASIC, FORM, JSON, basic, text, write_users

ISS = "https://idp.test/"
GUARD = "TokRevokeGuardTokenEndpoint On"
ROTATION = "TokRevokeGuardRotation On\n    TokRevokeOpaque 2d"
REVOKED = {"error": "invalid_grant", "error_description": "The refresh token was revoked"}


def location(path, *directives):
    lines = "\n    ".join(directives)
    return f'<Location "{path}">\n    {lines}\n</Location>\n'


class Site:
    """
    A server and its back end. /plain/, /guarded/ and /rotating/ lead to the same place behind; /opaque revokes opaque tokens,
    /admin whatever is asked for.
    """

    def __init__(self, server, keys, *more, rules=(), prepare=None, **how):
        self.backend = Backend()
        self.server = server
        write_keys(server, keys)
        write_users(server, b"boss")
        if prepare:
            prepare(server)
        to = f"http://127.0.0.1:{self.backend.port}/as/"
        proxies = "".join(f"ProxyPass /{name}/ {to}\n" for name in ("plain", "guarded", "rotating"))
        server.start(text(proxies, location("/guarded/", GUARD), location("/rotating/", GUARD, ROTATION),
                          endpoint("/opaque", "TokRevokeOpaque 2d", *BASIC),
                          location("/admin", "SetHandler tokrevoke-admin", *BASIC),
                          *(m.replace("{to}", to) for m in more), **({"rules": rules} if rules else {}), **how))

    def __getattr__(self, name):
        return getattr(self.server, name)

    def close(self):
        self.server.stop()
        self.backend.close()

    # ---- revoking ----

    def revoke_opaque(self, *tokens):
        for token in tokens:
            r = self.server.get("/opaque", FORM, basic(b"boss"), method="POST", body=urllib.parse.urlencode({"token": token}))
            assert r.status == 200, r

    def revoke_kind(self, kind, value=None, iss=ISS):
        item = {"kind": kind, "iss": iss, **({"value": value} if value is not None else {})}
        r = self.server.get("/admin/revocations", JSON, basic(b"boss"), method="POST", body=json.dumps(item))
        assert r.status == 201, r

    # ---- asking ----

    def exchange(self, token, *headers, where="/rotating/token", c=None, **more):
        """A refresh as clients send it."""
        body = urllib.parse.urlencode({"grant_type": "refresh_token", "refresh_token": token, **more})
        if c is not None:
            return c.request("POST", where, FORM, *headers, body=body)
        return self.server.get(where, FORM, *headers, method="POST", body=body)

    def is_refused(self, token, where="/rotating/token", c=None):
        """And the back end hears nothing."""
        self.backend.take()
        is_refusal(self.exchange(token, where=where, c=c))
        assert self.backend.take() == []

    def passes(self, token, where="/guarded/token"):
        self.backend.take()
        r = self.exchange(token, where=where)
        assert r.status == 200, r
        assert token in urllib.parse.parse_qs(self.backend.only().body.decode())["refresh_token"]


def is_refusal(r, status=400, error="invalid_grant"):
    """RFC 6749 5.2"""
    assert r.status == status, (r, r.headers)
    assert r["Content-Type"] == "application/json" and r["Cache-Control"] == "no-store"
    assert r.json()["error"] == error and set(r.json()) == {"error", "error_description"}
    if error == "invalid_grant":
        assert r.json() == REVOKED and r.reason is None
    assert (r["Retry-After"] is not None) == (status == 503)


def grants(access, refresh, **more):
    """The answer of a token endpoint."""
    return reply({"access_token": access, "token_type": "Bearer", "expires_in": 600, "refresh_token": refresh, **more})


@pytest.fixture
def own_site(new_server, keys):
    """One that may be hurt."""
    made = []

    def build(*more, **how):
        server = new_server()
        made.append(Site(server, keys, *more, **how))
        return made[-1]

    yield build
    for one in made:
        one.close()
