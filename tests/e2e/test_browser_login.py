"""The way to the login page and back, and pages for everybody that know who is there, in a real browser."""

import pytest

from test_browser import REVOKED, alice, browser, chromium  # noqa: F401: fixtures
from websites import APP, COOKIES, EVIL, PLAIN, Website

pytestmark = pytest.mark.h1("its sites speak HTTP/2 over TLS by themselves, and one of them neither")

ASKED = "/wiki/a%20page?q=1&more=%26&q=%C3%A9"
TO_LOGIN = "/login?return=%2Fwiki%2Fa%2520page%3Fq%3D1%26more%3D%2526%26q%3D%25C3%25A9"


def wiki(where):
    return f"""
<{where}>
    {COOKIES}
    TokRevokeLoginURL /login?return={{url}}
    AuthType Bearer
    AuthName "wiki"
    Require valid-user
</{where.split()[0]}>
"""


MORE = wiki("Location /wiki") + wiki('LocationMatch "/secret$"') + f"""
ScriptAlias /wiki {{root}}/cgi/app
ScriptAlias /board {{root}}/cgi/app
<Location /board>
    {COOKIES}
    TokRevokeOptional On
    AuthType Bearer
    AuthName "board"
    Require all granted
</Location>
"""


@pytest.fixture(scope="module")
def site(new_server, keys):
    website = Website(new_server(children=2), keys, MORE)
    website.server.write("htdocs/lures/link.html", f'<!DOCTYPE html><title>x</title><a href="{APP}{ASKED}">a page</a>')
    website.server.write("htdocs/lures/post.html", f'<!DOCTYPE html><title>x</title><form method="post" action="{APP}/wiki/page">'
                                                   "<button>save</button></form>")
    return website


@pytest.mark.parametrize("at", [APP, PLAIN])
def test_a_page_leads_to_login_and_login_back_to_the_page(site, alice, mint, at):  # noqa: F811
    tab = alice.tab()
    assert tab.goto(at + ASKED) == 200 and tab.url == at + TO_LOGIN
    assert tab.requests() == [["GET", at + ASKED, 302], ["GET", at + TO_LOGIN, 200]]
    tab.shot("sent to log in")
    site.admits("alice", mint())
    tab.click("button")
    assert tab.url == at + ASKED and "Hello alice" in tab.text


def test_a_link_of_another_site_leads_there_too(site, alice, mint):  # noqa: F811
    tab = alice.tab(EVIL + "/lures/link.html")
    tab.click("a")
    assert tab.url == APP + TO_LOGIN
    site.admits("alice", mint())
    tab.click("button")
    assert tab.url == APP + ASKED and "Hello alice" in tab.text
    tab.goto(EVIL + "/lures/link.html")
    tab.click("a")
    assert tab.url == APP + ASKED and "Hello alice" in tab.text


def test_after_logout_every_page_leads_to_login(site, alice, mint):  # noqa: F811
    """And so does the back button."""
    token = mint()
    tab = alice.tab()
    site.log_in(tab, token)
    assert tab.goto(APP + ASKED) == 200
    other = alice.tab(APP + "/wiki/other")
    tab.click("#now")
    assert tab.url == APP + "/bye.html" and site.status(token) == REVOKED
    tab.back()
    assert tab.url == APP + TO_LOGIN and "Hello" not in tab.text
    assert other.reload() == 200 and other.url == APP + "/login?return=%2Fwiki%2Fother"


def test_a_saved_cookie_of_a_revoked_token_leads_to_login_once(site, browser, alice, mint):  # noqa: F811
    tab = alice.tab()
    site.log_in(tab, mint())
    thief = browser.person()
    thief.take_cookies(alice.cookies())
    tab.click("#now")
    stolen = thief.tab()
    assert stolen.goto(APP + "/wiki/page") == 200 and stolen.url == APP + "/login?return=%2Fwiki%2Fpage"
    assert len(stolen.requests()) == 2


def test_scripts_and_forms_are_told_401(site, alice):  # noqa: F811
    """Only who goes somewhere is sent elsewhere: a script that asks for HTML stays, and nobody's form is lost on the way."""
    tab = alice.tab(APP + "/blank.html")
    for options in ({}, {"headers": {"Accept": "text/html"}}, {"method": "POST"}, {"mode": "same-origin", "headers": {"Accept": "text/html"}}):
        answer = tab.fetch("/wiki/page", **options)
        assert (answer["status"], answer["redirected"]) == (401, False) and answer["challenge"].startswith("Bearer "), options
    got = tab.run("""() => new Promise((resolve) => {
        const request = new XMLHttpRequest()
        request.onloadend = () => resolve([request.status, request.responseURL])
        request.open('GET', '/wiki/page')
        request.setRequestHeader('Accept', 'text/html')
        request.send()
    })""")
    assert got == [401, APP + "/wiki/page"]
    tab.goto(APP + "/lures/post.html")
    tab.click("button")
    assert tab.url == APP + "/wiki/page" and "Unauthorized" in tab.text


def test_an_address_that_looks_like_another_host_comes_to_login_as_a_path(site, alice, mint):  # noqa: F811
    tab = alice.tab()
    for path in ("//evil.test/secret", "///evil.test/secret", "/\\evil.test/secret"):
        tab.goto(APP + path)
        assert tab.url == APP + "/login?return=%2Fevil.test%2Fsecret", path
    site.admits("alice", mint())
    tab.click("button")
    assert tab.url == APP + "/evil.test/secret"


def test_a_page_for_everybody_knows_who_is_there(site, browser, alice, mint):  # noqa: F811
    """Before, during and after a session; a copy of the cookie is nobody afterwards."""
    tab = alice.tab()
    assert tab.goto(APP + "/board") == 200 and "Hello stranger" in tab.text
    site.log_in(tab, mint())
    assert tab.goto(APP + "/board") == 200 and "Hello alice" in tab.text
    saved = alice.cookies()
    tab.click("#now")
    tab.back()
    assert tab.url == APP + "/board" and "Hello stranger" in tab.text
    thief = browser.person()
    thief.take_cookies(saved)
    assert "Hello stranger" in thief.tab(APP + "/board").text
