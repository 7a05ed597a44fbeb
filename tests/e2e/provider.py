"""
Other people's software: oidc-provider for node as the OpenID provider (node/provider.mjs), and python3-authlib as the client that
logs in at it, refreshes, revokes and introspects.
"""

import atexit
import json
import re
import secrets
import subprocess
import threading
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.integrations.requests_client import OAuth2Session

from httpd import REPO, die_with_parent
from workers import lend

CALLBACK = "https://client.test/callback"
SECRET = "s3cret-of-the-client-that-is-long-enough"
TIMEOUT = 20


class Provider:
    """One provider on a port of its own. there: the folder with its packages. options: see provider.mjs."""

    def __init__(self, there, **options):
        lend(REPO / "tests" / "e2e" / "node" / "provider.mjs", there)
        self.lock = threading.Lock()
        self.process = subprocess.Popen(["node", "provider.mjs"], cwd=there, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=die_with_parent)
        atexit.register(self.stop)
        answer = self.say(options)
        self.url, self.issuer = answer["url"], answer["issuer"]

    def say(self, command):
        with self.lock:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        assert line, f"the provider ended with {self.process.poll()}"
        return json.loads(line)

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self.process.stdout.close()

    def key_set(self):
        return requests.get(self.url + "/jwks", timeout=TIMEOUT).text

    def add_client(self, name, public=False, **more):
        """Register a client: confidential with SECRET by Basic, or public."""
        metadata = {"client_id": name, "redirect_uris": [CALLBACK], "response_types": ["code"],
                    "grant_types": ["authorization_code", "refresh_token"], "scope": "openid offline_access read write"}
        if public:
            metadata["token_endpoint_auth_method"] = "none"
        else:
            metadata["client_secret"] = SECRET
        self.say({"client": metadata | more})
        return name

    def take_requests(self):
        """What reached the token endpoint since the last call."""
        return self.say({"take": "requests"})

    def take_logouts(self):
        """The back-channel logouts that it has sent since the last call."""
        return self.say({"take": "logouts"})


def client_session(name, public=False, method="client_secret_basic"):
    """authlib's client, which finds the endpoints by the URLs it is given."""
    if public:
        return OAuth2Session(name, redirect_uri=CALLBACK, scope="openid read write", code_challenge_method="S256",
                             token_endpoint_auth_method="none")
    return OAuth2Session(name, SECRET, redirect_uri=CALLBACK, scope="openid read write", code_challenge_method="S256",
                         token_endpoint_auth_method=method, revocation_endpoint_auth_method=method)


class Browser:
    """Somebody at a browser: one session at the provider, in its cookies."""

    def __init__(self, provider, user):
        self.provider = provider
        self.user = user
        self.http = requests.Session()

    def login(self, name, public=False, token_endpoint=None):
        """The authorization code flow with PKCE as client name. Returns the tokens as authlib has them."""
        with client_session(name, public) as client:
            verifier = secrets.token_urlsafe(40)
            url, state = client.create_authorization_url(self.provider.url + "/auth", code_verifier=verifier, login_hint=self.user)
            answer = self.follow(url)
            assert parse_qs(urlsplit(answer).query)["state"] == [state], answer
            return client.fetch_token(token_endpoint or self.provider.url + "/token", authorization_response=answer, state=state,
                                      code_verifier=verifier, timeout=TIMEOUT)

    def follow(self, url):
        """Go on until the provider sends us back to the client."""
        for _ in range(10):
            r = self.http.get(url, allow_redirects=False, timeout=TIMEOUT)
            assert r.is_redirect, (r.status_code, r.text)
            url = requests.compat.urljoin(url, r.headers["Location"])
            if url.startswith(CALLBACK):
                return url
        raise AssertionError("redirected in circles, last to " + url)

    def logout(self, tokens):
        """Log out at the provider, saying yes; it tells its clients by itself."""
        page = self.http.get(self.provider.url + "/session/end", params={"id_token_hint": tokens["id_token"]}, timeout=TIMEOUT)
        action, secret = (re.search(rf'{name}="([^"]+)"', page.text) for name in ("action", "value"))
        assert action and secret, page.text
        r = self.http.post(action[1], data={"xsrf": secret[1], "logout": "yes"}, timeout=TIMEOUT)
        assert (r.status_code, r.text) == (200, "bye"), r.text
