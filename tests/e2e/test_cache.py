"""mod_cache in front: a page that a cookie opened is shown to nobody else, and to nobody after logout."""

import http.server
import threading

import pytest

from httpd import ALIAS, endpoint, protected
from issuers import issuer, jwks, write_keys

COOKIE = "TokRevokeTokenFrom cookie=session"
ETAG = '"v1"'
MORE = {"pr1": ', private="Set-Cookie"', "pr2": ', no-cache="private"', "pr3": ', x="a, private, b"', "pr4": ", private=no-store",
        "pr5": ', x="open'}


class Eager(http.server.BaseHTTPRequestHandler):
    """An application that thinks that everything may be kept: public, with validators. Counts what reaches it."""

    protocol_version = "HTTP/1.1"
    served = 0

    def do_GET(self):
        type(self).served += 1
        known = self.headers.get("If-None-Match") == ETAG
        body = f"page {type(self).served} for {self.headers.get('Cookie', 'anonymous')}\n".encode()
        self.send_response(304 if known else 200)
        self.send_header("Cache-Control", "public, max-age=" + ("0" if "stale" in self.path else "3600") + MORE.get(self.path[-3:], ""))
        self.send_header("ETag", ETAG)
        self.send_header("Last-Modified", "Mon, 05 Jan 2026 00:00:00 GMT")
        if not known:
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not known and self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def app():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Eager)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


CACHES = {"disk": ("cache_disk", 'CacheRoot "{root}/cache"\n'), "socache": ("cache_socache", "CacheSocache shmcb\n")}


@pytest.fixture(scope="module", params=["disk quick", "disk late", "disk filter", "socache quick", "socache late"])
def site(request, new_server, keys, app):
    kind, where = request.param.split()
    server = new_server(children=1)
    server.extra_modules = ("cache", CACHES[kind][0], "socache_shmcb")
    write_keys(server, keys)
    (server.root / "cache").mkdir()
    (server.root / "cache").chmod(0o777)
    server.where = where
    filters = "SetOutputFilter CACHE" if where == "filter" else ""
    text = f"""
CacheEnable {kind} /
{CACHES[kind][1]}
CacheQuickHandler {"On" if where == "quick" else "Off"}
CacheHeader On
CacheDetailHeader On
CacheIgnoreNoLastMod On
CacheDefaultExpire 3600
CacheLock Off
ProxyPassMatch "^/p/([^/]+)/app/(.*)$" "http://127.0.0.1:{app}/$1/$2"
ProxyPassMatch "^/open/(.*)$" "http://127.0.0.1:{app}/open/$1"
""" + ALIAS + issuer("https://idp.test/", jwks("all")) + (
        protected("cookie", COOKIE, filters) + protected("field", "TokRevokeTokenFrom header=X-Token", filters)
        + protected("query", "TokRevokeTokenFrom query=tok", filters)
        + protected("strip", COOKIE, "TokRevokeStripToken On", filters)
        + protected("login", COOKIE, 'TokRevokeLoginURL "/login?next={url}"', filters)
        + protected("optional", COOKIE, "TokRevokeOptional On", "Require all granted", filters)
        + f'<Location "/open/">\nRequire all granted\n{filters}\n</Location>\n'
        + '<Location "/revoke">\nCacheDisable on\n</Location>\n<Location "/logout">\nCacheDisable on\n</Location>\n'
        + endpoint("/revoke") + endpoint("/logout", COOKIE, handler="tokrevoke-logout"))
    return server.start(text)


def cookie(token):
    return "Cookie: session=" + token


def is_hit(r):
    return any("HIT" in v.upper().split(" ")[0] for v in r.all("X-Cache"))


def test_the_cache_works_at_all(site):
    first, second = site.get("/open/page"), site.get("/open/page")
    assert first.status == second.status == 200 and first.body == second.body and is_hit(second), (first.headers, second.headers)


@pytest.mark.parametrize("page", ["app/page", "app/stale", "ok.txt", "app/pr1", "app/pr2", "app/pr3", "app/pr4", "app/pr5"])
def test_a_cookie_page_is_gone_after_logout(site, mint, page):
    """H11, R6750-15"""
    token = mint()
    path = "/p/cookie/" + page
    for _ in range(3):
        r = site.get(path, cookie(token))
        assert r.status == 200 and not is_hit(r) and r.body, r.headers
        assert "Cookie" in r["Vary"] and {"private", "no-store"} & {v.strip() for v in r["Cache-Control"].split(",")}
    assert site.get("/logout", cookie(token), "Accept: application/json", method="POST").status == 200
    for headers in ((cookie(token),), (), ("Cookie: session=x",), (cookie(token), "Cache-Control: only-if-cached"),
                    (cookie(token), "If-None-Match: " + ETAG), (cookie(token), "Cache-Control: max-stale=100000")):
        r = site.get(path, *headers)
        assert r.status in (401, 504) and b"page" not in r.body.replace(b"the protected page", b"page ") and not is_hit(r), (headers, r)


def test_one_user_is_not_shown_the_page_of_another(site, mint):
    for place, headers in (("cookie", cookie), ("field", lambda t: "X-Token: " + t)):
        alice, bob = mint(), mint(sub="bob")
        first = site.get(f"/p/{place}/app/mine", headers(alice))
        second = site.get(f"/p/{place}/app/mine", headers(bob))
        assert (first.user, second.user) == ("alice", "bob") and first.body != second.body and not is_hit(second)


def test_a_page_reached_by_a_token_in_the_query_is_not_kept(site, mint):
    path = "/p/query/app/mine?tok=" + mint()
    assert site.get(path).body != site.get(path).body


def test_a_page_whose_token_was_stripped_is_not_kept(site, mint):
    alice, bob = mint(), mint(sub="bob")
    assert site.get("/p/strip/app/mine", cookie(alice)).body != site.get("/p/strip/app/mine", cookie(bob)).body
    assert site.get("/p/strip/app/mine").status == 401


@pytest.mark.parametrize("place", ["cookie", "optional"])
def test_not_modified_stays_private(site, mint, place):
    """What a browser keeps is renewed by the headers of a 304."""
    token = mint()
    for page in ("app/page", "ok.txt"):
        first = site.get(f"/p/{place}/{page}", cookie(token))
        r = site.get(f"/p/{place}/{page}", cookie(token), "If-None-Match: " + first["ETag"])
        assert r.status == 304 and "Cookie" in r["Vary"], r.headers
        assert {"private", "no-store"} & {v.strip() for v in r["Cache-Control"].split(",")}, r.headers


def test_refusals_and_redirects_to_the_login_page_are_not_kept(site, mint):
    html = "Accept: text/html"
    assert site.get("/p/login/app/x", html).status == 302
    r = site.get("/p/login/app/x", html, cookie(mint()))
    assert r.status == 200 and r.text.startswith("page")
    assert site.get("/p/login/app/x").status == 401
    assert site.get("/p/login/app/x", html).status == 302


def test_an_optional_page_is_kept_for_the_anonymous_only(site, mint):
    token = mint()
    public = site.get("/p/optional/app/front")
    assert public.text.endswith("anonymous\n") and public.user is None
    mine = site.get("/p/optional/app/front", cookie(token))
    assert mine.user == "alice" and token in mine.text and not is_hit(mine)
    again = site.get("/p/optional/app/front")
    assert again.body == public.body and is_hit(again) and again.user is None, again.headers
    assert site.get("/logout", cookie(token), "Accept: application/json", method="POST").status == 200
    after = site.get("/p/optional/app/front", cookie(token))
    assert after.status == 200 and after.user is None and after.body != mine.body and after.reason == "revoked"
    assert site.get("/p/optional/app/front").body == public.body
