"""
A provider and a client that other people wrote: oidc-provider's tokens, its back-channel logout, its token endpoint behind our guard,
and authlib's revocation and introspection.
"""

import concurrent.futures
import json
import subprocess
import time

import pytest
import requests
from authlib.integrations.base_client import OAuthError

from httpd import ALIAS, endpoint, protected
from issuers import issuer, jwks
from provider import SECRET, Browser, Provider, client_session
from test_refuse import refused
from tokens import unb64

PAGE = "/p/app/ok.txt"
CONFIDENTIAL = ("web", "whole", "steady", "lax")
REUSE = "TR045: refresh token [0-9a-f]+ was shown again"
ODD = {"odd%41+id": "a+b%41 c", "half%": "100%+sure=yes"}  # authlib sends them raw, and form-decoding would change them


def handler(path, name, *directives):
    return f'<Location "{path}">\n    SetHandler tokrevoke-{name}\n    ' + "\n    ".join(directives) + "\n</Location>\n"


def guarded(path, provider, *directives):
    lines = "\n    ".join(("TokRevokeGuardTokenEndpoint On", "TokRevokeOpaque 1d", *directives))
    return f'ProxyPass "{path}" "{provider.url}/token"\n<Location "{path}">\n    {lines}\n</Location>\n'


def hashed(secret):
    return subprocess.run(["openssl", "passwd", "-6", secret], capture_output=True, text=True, check=True).stdout.strip()


def write_clients(server):
    """TokRevokeClients: an id stands percent-encoded where it has a colon or a percent sign."""
    secrets = {name: hashed(SECRET) for name in CONFIDENTIAL} | {name.replace("%", "%25"): hashed(s) for name, s in ODD.items()}
    secrets["spa"] = ""
    server.write("conf/clients", "".join(f"{name}:{secret}\n" for name, secret in secrets.items()))


class Site:
    """The provider, and a server that trusts it."""

    def __init__(self, server, node_folder):
        self.server = server
        self.provider = Provider(node_folder)
        server.write("conf/provider.jwks", self.provider.key_set())
        write_clients(server)
        every = ["web", "whole", "spa", "steady", "lax"]
        server.start(
            issuer(self.provider.issuer, jwks("provider"), "TokRevokeAudience legacy-app", f"TokRevokeLogoutAudience {' '.join(every)}")
            + ALIAS + protected("app") + endpoint("/revoke")
            + handler("/clients/revoke", "revoke", "TokRevokeClients {root}/conf/clients", "TokRevokeOpaque 1d")
            + handler("/introspect", "introspect", "TokRevokeClients {root}/conf/clients")
            + handler("/backchannel", "backchannel-logout") + handler("/logout-everywhere", "logout", "TokRevokeLogoutScope subject")
            + guarded("/token", self.provider) + guarded("/rotating/token", self.provider, "TokRevokeGuardRotation On"))
        back = {"backchannel_logout_uri": self.url("/backchannel"), "backchannel_logout_session_required": True}
        self.provider.add_client("web", **back)
        self.provider.add_client("whole", **(back | {"backchannel_logout_session_required": False}))
        self.provider.add_client("spa", public=True, access_token_alg="ES256", **back)
        self.provider.add_client("steady", rotate_refresh_token=False)
        self.provider.add_client("lax", keeps_rotated=True)

    def url(self, path):
        return self.server.url + path

    def browser(self, user="alice"):
        return Browser(self.provider, user)

    def login(self, client="web", user="alice", **how):
        return self.browser(user).login(client, public=client == "spa", **how)

    def refresh(self, path, client, refresh_token):
        with client_session(client, public=client == "spa") as session:
            return session.refresh_token(self.url(path), refresh_token)

    def is_refused(self, path, client, refresh_token):
        """By the guard: the provider has not heard of it."""
        if path.startswith("/rotating"):
            self.server.expect_log(REUSE)
        self.provider.take_requests()
        with pytest.raises(OAuthError) as refusal:
            self.refresh(path, client, refresh_token)
        assert refusal.value.error == "invalid_grant"
        assert self.provider.take_requests() == []

    def passes(self, tokens):
        r = self.server.bearer(PAGE, tokens["access_token"])
        assert (r.status, r.reason) == (200, None), (r, self.server.error_log()[-2000:])
        return r

    def refuses(self, tokens, reason="revoked"):
        return refused(self.server, tokens["access_token"], reason)


@pytest.fixture(scope="module")
def site(new_server, node_folder):
    made = Site(new_server(), node_folder)
    yield made
    made.provider.stop()


def claims_of(token):
    return json.loads(unb64(token.split(".")[1]))


def next_second():
    time.sleep(1.01 - time.time() % 1)


# ---- its tokens ----

@pytest.mark.parametrize("client", ["web", "spa"])
def test_its_access_tokens_pass_until_they_are_revoked(site, client):
    """R7009-13: RS256 and ES256."""
    tokens, other = site.login(client), site.login(client)
    assert site.passes(tokens).user == "alice"
    assert site.server.revoke(tokens["access_token"]).status == 200
    site.refuses(tokens)
    site.passes(other)


def test_its_id_and_refresh_tokens_are_no_access_tokens(site):
    """BCL-17 has the like for logout tokens."""
    tokens = site.login()
    refused(site.server, tokens["id_token"], "audience")
    refused(site.server, tokens["refresh_token"], "malformed")


# ---- its back-channel logout ----

def told(site):
    return [(sent["client_id"], sent["error"]) for sent in site.provider.take_logouts()]


def test_its_logout_ends_that_session_and_no_other(site):
    """BCL-11, BCL-13, BCL-16: a logout token with sid and sub, posted by the provider itself."""
    phone, laptop = site.browser(), site.browser()
    on_phone, again, on_laptop = phone.login("web"), phone.login("web"), laptop.login("web")
    bob = site.login(user="bob")
    assert claims_of(on_phone["access_token"])["sid"] == claims_of(again["access_token"])["sid"]
    phone.logout(on_phone)
    assert told(site) == [("web", None)]
    for tokens in (on_phone, again):
        site.refuses(tokens)
    for tokens in (on_laptop, bob):
        site.passes(tokens)


def test_after_its_logout_a_login_works_at_once(site):
    """BCL-18: another session has another sid, so not even the second matters."""
    browser = site.browser("carol")
    before = browser.login("web")
    browser.logout(before)
    after = browser.login("web")
    site.passes(after)
    site.refuses(before)
    assert told(site) == [("web", None)]


def test_it_tells_each_client_of_the_session(site):
    """The public client's tokens end by the sid that this client had."""
    browser = site.browser("dave")
    web, spa = browser.login("web"), browser.login("spa", public=True)
    browser.logout(web)
    assert sorted(told(site)) == [("spa", None), ("web", None)]
    site.refuses(web)
    site.refuses(spa)


def test_a_logout_without_sid_ends_all_sessions_of_the_user(site):
    """BCL-11: who logs in after that second passes; other users always did."""
    phone, laptop = site.browser("erin"), site.browser("erin")
    on_phone, on_laptop, frank = phone.login("whole"), laptop.login("whole"), site.login("whole", "frank")
    assert "sid" not in claims_of(on_phone["access_token"])
    phone.logout(on_phone)
    assert told(site) == [("whole", None)]
    site.refuses(on_phone)
    site.refuses(on_laptop)
    site.passes(frank)
    next_second()
    site.passes(site.login("whole", "erin"))
    site.refuses(on_laptop)


def test_logging_out_everywhere_here_ends_all_of_its_tokens_for_the_user(site):
    """GTR-05: of every session and every client; a login after that second passes."""
    tokens = [site.login("web", "grace"), site.login("spa", "grace"), site.login("steady", "grace")]
    heidi = site.login("web", "heidi")
    r = site.server.get("/logout-everywhere", "Authorization: Bearer " + tokens[1]["access_token"], "Accept: application/json", method="POST",
                        body="")
    assert (r.status, r.json()) == (200, {"message": "Successfully logged out"}), r
    for one in tokens:
        site.refuses(one)
    site.passes(heidi)
    next_second()
    site.passes(site.login("web", "grace"))


# ---- its token endpoint, guarded ----

EACH_GUARD = pytest.mark.parametrize("path", ["/token", "/rotating/token"])


@EACH_GUARD
@pytest.mark.parametrize("client", ["web", "spa"])
def test_logging_in_and_refreshing_go_through_the_guard(site, path, client):
    tokens = site.login(client, token_endpoint=site.url(path))
    for _ in range(3):
        site.passes(tokens)
        fresh = site.refresh(path, client, tokens["refresh_token"])
        assert fresh["refresh_token"] != tokens["refresh_token"]
        tokens = fresh


@EACH_GUARD
def test_a_revoked_refresh_token_never_reaches_it(site, path):
    """R7009-19, SBCP-03"""
    tokens, other = site.login(), site.login()
    with client_session("web") as session:
        assert session.revoke_token(site.url("/clients/revoke"), tokens["refresh_token"], "refresh_token").status_code == 200
    site.is_refused(path, "web", tokens["refresh_token"])
    assert site.refresh(path, "web", other["refresh_token"])["access_token"]
    assert [seen["refresh_token"] for seen in site.provider.take_requests()] == [other["refresh_token"]]


def test_without_rotation_the_guard_leaves_an_exchanged_token_to_the_provider(site):
    """Whose own rotation then refuses it."""
    tokens = site.login()
    site.refresh("/token", "web", tokens["refresh_token"])
    site.provider.take_requests()
    with pytest.raises(OAuthError):
        site.refresh("/token", "web", tokens["refresh_token"])
    assert [seen["status"] for seen in site.provider.take_requests()] == [400]
    lax = site.login("lax")
    for _ in range(2):
        assert site.refresh("/token", "lax", lax["refresh_token"])["access_token"]


@pytest.mark.parametrize("client", ["web", "lax", "spa"])
def test_with_rotation_a_refresh_token_works_once(site, client):
    """SBCP-03: also where the provider would take it again."""
    tokens = site.login(client)
    site.refresh("/rotating/token", client, tokens["refresh_token"])
    site.is_refused("/rotating/token", client, tokens["refresh_token"])
    site.is_refused("/token", client, tokens["refresh_token"])


@pytest.mark.parametrize("client", ["web", "lax"])
def test_a_refresh_token_shown_again_ends_its_family(site, client):
    """SBCP-03: the newest refresh token and the access tokens that came of it, and nothing of another login."""
    first, other = site.login(client), site.login(client)
    second = site.refresh("/rotating/token", client, first["refresh_token"])
    third = site.refresh("/rotating/token", client, second["refresh_token"])
    for tokens in (second, third):
        site.passes(tokens)
    known = len(site.server.error_log())
    site.is_refused("/rotating/token", client, first["refresh_token"])
    site.server.wait_log(REUSE, since=known)
    for tokens in (third, second, first):
        site.is_refused("/rotating/token", client, tokens["refresh_token"])
    for tokens in (second, third):
        site.refuses(tokens)
    site.passes(other)
    assert site.refresh("/rotating/token", client, other["refresh_token"])["access_token"]


def test_a_refresh_token_that_stays_the_same_goes_on_working(site):
    """Where the provider does not rotate, there is nothing to revoke."""
    tokens = site.login("steady")
    for _ in range(4):
        fresh = site.refresh("/rotating/token", "steady", tokens["refresh_token"])
        assert fresh["refresh_token"] == tokens["refresh_token"]
        site.passes(fresh)


def test_of_many_who_exchange_one_token_at_once_one_gets_through_at_most(site):
    """And then what he got has ended, too: nobody can tell which of them is the thief."""
    site.server.expect_log(REUSE)
    for _ in range(5):
        token = site.login("lax")["refresh_token"]
        site.provider.take_requests()

        def exchange(token):
            try:
                return site.refresh("/rotating/token", "lax", token)
            except OAuthError as refusal:
                assert refusal.error == "invalid_grant"
                return None

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            got = [tokens for tokens in pool.map(exchange, [token] * 8) if tokens]
        assert len(got) <= 1
        for tokens in got:
            site.is_refused("/rotating/token", "lax", tokens["refresh_token"])
            site.refuses(tokens)


def test_what_it_refuses_itself_comes_back_as_it_is(site):
    """A grant that nobody revoked: the guard has no opinion, and passes on what the provider says, header by header."""
    form = {"grant_type": "refresh_token", "refresh_token": "never-heard-of"}
    ours = requests.post(site.url("/rotating/token"), data=form, auth=("web", SECRET), timeout=20)
    its = requests.post(site.provider.url + "/token", data=form, auth=("web", SECRET), timeout=20)
    assert (ours.status_code, ours.content) == (its.status_code, its.content) and ours.status_code == 400
    for name in ("Content-Type", "Cache-Control"):
        assert ours.headers[name] == its.headers[name]


# ---- authlib at our endpoints ----

METHODS = pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])


@METHODS
def test_authlib_revokes_what_is_its_own(site, method):
    """R7009-10, R6749-01, R6749-02"""
    tokens = site.login()
    site.passes(tokens)
    with client_session("web", method=method) as session:
        r = session.revoke_token(site.url("/clients/revoke"), tokens["access_token"], "access_token")
    assert (r.status_code, r.json()) == (200, {}), r.text
    site.refuses(tokens)


@METHODS
def test_authlib_introspects(site, method):
    """R7662 by a client: the claims while it is good, and nothing but inactive afterwards."""
    tokens = site.login(user="ivan")
    with client_session("web", method=method) as session:
        r = session.introspect_token(site.url("/introspect"), tokens["access_token"], "access_token")
        assert r.status_code == 200, r.text
        said, own = r.json(), claims_of(tokens["access_token"])
        assert said["active"] is True and said["token_type"] == "Bearer"
        assert {name: said[name] for name in own} == own
        site.server.revoke(tokens["access_token"])
        for token in (tokens["access_token"], tokens["id_token"], tokens["refresh_token"], "junk"):
            r = session.introspect_token(site.url("/introspect"), token)
            assert (r.status_code, r.json()) == (200, {"active": False}), token


def test_authlib_revokes_as_a_public_client(site):
    """R7009-12"""
    mine, other = site.login("spa"), site.login("web")
    with client_session("spa", public=True) as session:
        assert session.revoke_token(site.url("/clients/revoke"), mine["access_token"]).status_code == 200
        r = session.revoke_token(site.url("/clients/revoke"), other["access_token"])
    assert (r.status_code, r.json()["error"]) == (400, "invalid_grant")
    site.refuses(mine)
    site.passes(other)


@METHODS
def test_authlib_revokes_nothing_of_another_client(site, method):
    """R7009-11"""
    tokens = site.login("lax")
    with client_session("web", method=method) as session:
        r = session.revoke_token(site.url("/clients/revoke"), tokens["access_token"])
    assert (r.status_code, r.json()["error"]) == (400, "invalid_grant")
    site.passes(tokens)


@METHODS
@pytest.mark.parametrize("path", ["/clients/revoke", "/introspect"])
def test_authlib_with_a_wrong_secret_is_refused(site, method, path):
    """R7009-10, R6749-04"""
    tokens = site.login()
    with client_session("web", method=method) as session:
        session.client_secret = "wrong"
        r = session.revoke_token(site.url(path), tokens["access_token"])
    assert (r.status_code, r.json()["error"]) == (401, "invalid_client")
    assert r.headers["WWW-Authenticate"].startswith("Basic ")
    site.passes(tokens)


@METHODS
@pytest.mark.parametrize("name", ODD)
def test_authlib_may_have_an_odd_name_and_secret(site, method, name):
    """R6749-01: it does not encode them as RFC 6749 wants, as many clients do not."""
    with client_session(name, method=method) as session:
        session.client_secret = ODD[name]
        r = session.introspect_token(site.url("/introspect"), site.login()["access_token"])
        assert (r.status_code, r.json()["active"]) == (200, True), r.text
