"""The pages of tokrevoke-logout: what a browser gets, what its button does, and when GET logs out at once."""

import urllib.parse

import pytest

from logouts import (CALLBACK, DONE, HTML, TARGETS, WANTS_JSON, Page, changes_nothing, cookies, goes_to, is_cleared, is_done,
                     is_private, logout, text, write_files)
from storing import are_accepted, are_revoked


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    write_files(server, keys)
    server.write("htdocs/include.shtml", '<!--#include virtual="/get" -->\n')
    more = ("AddType text/html .shtml\nAddOutputFilter INCLUDES .shtml\n<Directory {root}/htdocs>\nOptions +Includes\n</Directory>\n"
            "RewriteEngine On\nRewriteRule ^/pretty/way/out$ /logout [PT]\n"
            '<LocationMatch "/sly$">\nSetHandler tokrevoke-logout\nTokRevokeTokenFrom cookie=session\n</LocationMatch>\n')
    return server.start(text(more))


def cookie(token):
    return "Cookie: session=" + token


def page_of(r):
    changes_nothing(r, 200)
    is_private(r, referrer="same-origin")  # what the button sends must be known for ours
    assert r["Content-Type"] == "text/html; charset=utf-8" and r["Content-Length"] == str(len(r.body))
    return Page(r)


def is_sealed(r):
    """Nothing runs, nothing is fetched from elsewhere, nobody frames it."""
    rules = dict(rule.strip().partition(" ")[::2] for rule in r["Content-Security-Policy"].split(";"))
    assert rules["default-src"] == "'none'" and rules["frame-ancestors"] == "'none'" and rules["base-uri"] == "'none'"
    assert "script-src" not in rules and "http" not in r["Content-Security-Policy"] and "*" not in r["Content-Security-Policy"]
    assert r["X-Frame-Options"] == "DENY"


def is_accessible(page, title):
    """What a screen reader needs; and no script, no resource."""
    assert page.open == [] and page.tags[0][0] == "html" and page.tags[0][1]["lang"] == "en"
    assert page.text("title") == title and page.text("h1") == title
    assert [len(page.all(tag)) for tag in ("html", "head", "title", "body", "main", "h1")] == [1] * 6
    assert {"charset": "utf-8"} in page.all("meta") and any(m.get("name") == "viewport" for m in page.all("meta"))
    assert all("main" in opened for found in page.texts.items() if found[0] in ("h1", "p", "button") for opened, _ in found[1])
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "img", "iframe", "object", "embed", "base", "svg", "video")]
    for tag, attrs in page.tags:
        assert not {"src", "href", "background", "srcset", "ping", "style"} & set(attrs), (tag, attrs)
        assert not [name for name in attrs if name.startswith("on")], (tag, attrs)
    assert "url(" not in str(page.texts) and "@import" not in str(page.texts) and "//" not in str(page.tags)


# ---- the page that asks ----

def test_get_asks_and_the_button_logs_out(site, mint):
    """LO-01, LO-02"""
    token = mint()
    r = site.get("/logout", cookie(token), HTML)
    page = page_of(r)
    is_sealed(r)
    is_accessible(page, "Log out")
    assert len(page.all("button")) == 1 and page.all("button")[0]["type"] == "submit" and page.text("button") == "Log out"
    assert page.fields == [] and len(r.body) < 2000
    are_accepted(site, [token])
    is_cleared(goes_to(page.submit(site, "/logout", cookie(token)), "/bye.html"), "session")
    are_revoked(site, [token])


def test_after_the_button_a_page_says_so_where_there_is_no_target(site, mint):
    token = mint()
    r = page_of(site.get("/plain", cookie(token), HTML)).submit(site, "/plain", cookie(token))
    assert r.status == 200
    is_cleared(r, "session")
    is_private(r)
    is_sealed(r)
    is_accessible(Page(r), "You are logged out")
    are_revoked(site, [token])


@pytest.mark.parametrize("state", [None, "a b&c=\"d\"'<e>", "{action}{fields}", "ünï", "\\x"])
@pytest.mark.parametrize("uri", [DONE, CALLBACK, "/bye.html?x=\"'<>&y", "/%22%3E"])
def test_the_page_passes_on_where_to_go_and_state(site, mint, uri, state):
    """LO-05 over the page: what HTML could misread comes through as it was."""
    token = mint()
    query = urllib.parse.urlencode({"post_logout_redirect_uri": uri} | ({} if state is None else {"state": state}))
    page = page_of(site.get("/logout?" + query, cookie(token), HTML))
    assert dict(page.fields) == {"post_logout_redirect_uri": uri} | ({} if state is None else {"state": state})
    r = page.submit(site, "/logout?" + query, cookie(token))
    assert r.status == 303
    target, fragment = urllib.parse.urldefrag(r["Location"])
    want, want_fragment = urllib.parse.urldefrag(uri)
    assert fragment == want_fragment and target.startswith(urllib.parse.quote(want, safe="/:?=&%'")), (target, want)
    if state is not None:
        assert urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)["state"] == [state]
    are_revoked(site, [token])


@pytest.mark.parametrize("query", [
    "post_logout_redirect_uri=//evil.test&state=x", "post_logout_redirect_uri=https://evil.test/", "state=x",
    "post_logout_redirect_uri=%2F%5Cevil.test", f"post_logout_redirect_uri={DONE}&post_logout_redirect_uri={DONE}",
    "post_logout_redirect_uri=/%zz", "post_logout_redirect_uri=/%0d%0a", "post_logout_redirect_uri=", "post_logout_redirect_uri",
    "post_logout_redirect_uri=javascript:alert(1)", "x=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "action=//evil.test", "%00=%ff&&&=",
    "token=x&refresh_token=y"])
def test_the_page_holds_nothing_that_is_not_accepted(site, query):
    """LO-04"""
    r = site.get("/logout?" + query, HTML)
    page = page_of(r)
    assert page.fields == [] and page.form["action"] == "/logout" and "evil" not in r.text and "alert" not in r.text
    assert r.body == site.get("/logout", HTML).body


def test_state_that_is_twice_there_is_left_out(site):
    page = page_of(site.get("/logout?post_logout_redirect_uri=/a&state=1&state=2", HTML))
    assert page.fields == [("post_logout_redirect_uri", "/a")]


def test_tokens_of_the_query_are_posted_too(site, mint):
    tokens = [mint(), mint()]
    path = f"/any?x=1&access_token={tokens[0]}&y=%22&access%5Ftoken={tokens[1]}"
    page = page_of(site.get(path, HTML))
    are_accepted(site, tokens)
    assert page.submit(site, path).status == 200
    are_revoked(site, tokens)


def test_the_button_posts_to_this_host_however_the_page_was_asked_for(site, mint):
    for path in ("//evil.test/sly", "///evil.test//sly", "/a%5C%2F%22%3E%3Cb/sly", "//evil.test%2f..%2f/sly", "/a;x=1/sly"):
        r = site.get(path, HTML)
        if r.status == 404:  # httpd itself allows no encoded slash
            continue
        page = page_of(r)
        action = page.form["action"]
        assert action.startswith("/") and not action.startswith("//") and not set('\\"<>') & set(action), action
        token = mint()
        assert page.submit(site, "/", cookie(token)).status == 200
        are_revoked(site, [token])


def test_the_button_posts_to_the_address_that_was_asked_for(site, mint):
    """Not to the one that mod_rewrite made of it, which may not be open from outside."""
    token = mint()
    page = page_of(site.get("/pretty/way/out", HTML))
    assert page.form["action"] == "/pretty/way/out"
    goes_to(page.submit(site, "/pretty/way/out", cookie(token)), "/bye.html")
    are_revoked(site, [token])


def test_every_client_that_gets_is_asked(site, mint):
    """Also one that wants JSON: GET changes nothing."""
    token = mint()
    for header in (WANTS_JSON, "Accept: */*", "X-None: 1", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: none"):
        assert page_of(site.get("/logout", cookie(token), header)).form["action"] == "/logout"
    are_accepted(site, [token])


@pytest.mark.parametrize("path", ["/logout", "/get"])
def test_head_changes_nothing(site, mint, path):
    token = mint()
    r = changes_nothing(site.get(path, cookie(token), HTML, method="HEAD"), 200)
    is_private(r, referrer="same-origin")
    is_sealed(r)
    assert r["Content-Type"] == "text/html; charset=utf-8" and not r.body
    are_accepted(site, [token])


# ---- a template ----

def test_an_administrators_template_is_used_and_its_button_works(site, mint):
    token = mint()
    r = site.get("/custom?" + urllib.parse.urlencode({"post_logout_redirect_uri": DONE, "state": "é&"}), HTML)
    page = page_of(r)
    is_sealed(r)
    assert page.all("html")[0]["lang"] == "fr" and page.text("h1") == "À bientôt" and "p { color: red }" in r.text
    r = page.submit(site, "/custom", cookie(token))
    goes_to(r, DONE + "?state=%C3%A9%26")
    are_revoked(site, [token])


def test_a_template_in_htaccess_is_read_and_checked_there(new_server, keys, mint):
    server = new_server(children=2)
    write_files(server, keys)
    (server.root / "htdocs" / "own").mkdir()
    server.write("htdocs/own/out.txt", "x")
    server.write("htdocs/own/.htaccess", 'SetHandler tokrevoke-logout\nTokRevokeTokenFrom cookie=session\nTokRevokeLogoutGet Off\n'
                                         f'TokRevokeLogoutPage "{server.root}/conf/page.html"\n{TARGETS}\n')
    server.start(text("<Directory {root}/htdocs/own>\nAllowOverride AuthConfig FileInfo\n</Directory>\n"))
    token = mint()
    page = page_of(server.get("/own/out.txt", HTML))
    assert page.text("h1") == "À bientôt"
    goes_to(page.submit(server, "/own/out.txt", cookie(token)), "/bye.html")
    are_revoked(server, [token])
    server.write("htdocs/own/.htaccess", "TokRevokeLogoutRedirect //evil.test\n")
    server.expect_log(r"htaccess: TokRevokeLogoutRedirect: \"//evil.test\"")
    assert server.get("/own/out.txt").status == 500


# ---- TokRevokeLogoutGet On ----

VISITS = {"none said": (), "typed": ("Sec-Fetch-Site: none", "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate"),
          "a link here": ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Dest: document"), "a sibling's": ("Sec-Fetch-Site: same-site",),
          "fetch": ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Dest: empty")}
LURES = {"an image elsewhere": ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: image", "Sec-Fetch-Mode: no-cors"),
         "a link elsewhere": ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1"),
         "a frame elsewhere": ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: iframe"), "a script call": ("Origin: https://evil.test",),
         "an image in a guest book": ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Dest: image"),
         "a style sheet": ("Sec-Fetch-Site: same-site", "Sec-Fetch-Dest: style"),
         "prefetched": ("Sec-Fetch-Site: same-origin", "Sec-Purpose: prefetch;prerender"), "prefetched, older": ("Purpose: prefetch",)}


@pytest.mark.parametrize("what", VISITS)
def test_where_get_may_log_out_a_visit_does(site, mint, what):
    token = mint()
    is_cleared(goes_to(site.get("/get", cookie(token), HTML, *VISITS[what]), "/bye.html"), "session", "old")
    are_revoked(site, [token])


@pytest.mark.parametrize("what", LURES)
def test_where_get_may_log_out_a_lure_gets_the_page(site, mint, what):
    """LO-02: an image in a page of another site logs nobody out."""
    token = mint()
    page = page_of(site.get("/get", cookie(token), HTML, *LURES[what]))
    are_accepted(site, [token])
    goes_to(page.submit(site, "/get", cookie(token)), "/bye.html")
    are_revoked(site, [token])


def test_where_get_may_log_out_the_query_says_where_to(site, mint):
    tokens = [mint() for _ in range(3)]
    query = urllib.parse.urlencode({"post_logout_redirect_uri": DONE, "state": "s t", "access_token": tokens[0]})
    goes_to(site.get("/get?" + query, f"Cookie: session={tokens[1]}; old={tokens[2]}", HTML), DONE + "?state=s%20t")
    are_revoked(site, tokens)
    goes_to(site.get("/get?post_logout_redirect_uri=//evil.test&state=x", HTML), "/bye.html")
    is_done(site.get("/get", WANTS_JSON))


def test_a_page_that_includes_logout_logs_nobody_out(site, mint):
    token = mint()
    r = site.get("/include.shtml", cookie(token), HTML)
    assert r.status == 200 and "<form" in r.text and cookies(r) == {}
    are_accepted(site, [token])


def test_a_look_ahead_of_a_guarded_logout_logs_nobody_out(new_server, keys, mint):
    """mod_rewrite's %{LA-U} asks in a subrequest, by GET: authentication runs there, and nothing more."""
    server = new_server(children=2)
    write_files(server, keys)
    bearer = ("AuthType Bearer", "AuthName x", "Require valid-user")
    server.start(text(logout("/always", "TokRevokeTokenFrom cookie=session", "TokRevokeLogoutGet On", *bearer),
                      "RewriteEngine On\nRewriteCond %{LA-U:REMOTE_USER} nobody\nRewriteRule ^/always$ - [F]\n"))
    token = mint()
    both = f"Cookie: session=garbage; session={token}"
    changes_nothing(server.get("/always", both, method="PUT"), 405)
    are_accepted(server, [token])
    is_done(server.get("/always", both))
    are_revoked(server, [token])
