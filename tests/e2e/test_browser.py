"""Logging in and out in a real browser: chromium, over TLS, with pages of three sites."""

import pytest

from browser import Chromium
from httpd import MPM
from websites import API, APP, CLIENTS, EVIL, PLAIN, SPA, Website

pytestmark = pytest.mark.h1("its sites speak HTTP/2 over TLS by themselves, and one of them neither")

OPEN = (200, None)
REVOKED = (401, "revoked")


@pytest.fixture(scope="module")
def site(new_server, keys):
    return Website(new_server(children=2), keys)


@pytest.fixture(scope="module")
def chromium(site, node_folder):
    chromium = Chromium(node_folder, site.ports, site.certificate)
    yield chromium
    chromium.stop()


@pytest.fixture
def browser(chromium):
    yield chromium
    chromium.forget()


@pytest.fixture(scope="module")
def keeping_chromium(site, node_folder):
    chromium = Chromium(node_folder, site.ports, site.certificate, history="kept")
    yield chromium
    chromium.stop()


@pytest.fixture
def keeping_browser(keeping_chromium):
    """One that keeps pages that were left in memory, as it does for people."""
    yield keeping_chromium
    keeping_chromium.forget()


@pytest.fixture
def alice(browser):
    return browser.person()


@pytest.fixture
def tab(site, alice, mint):
    """A tab where alice has just logged in."""
    site.token = mint()
    tab = alice.tab()
    site.log_in(tab, site.token)
    return tab


def is_shut(site, tab, path="/app/"):
    """The application opens for nobody here."""
    assert tab.goto(APP + path) == 401
    assert "Hello" not in tab.text


# ---- a session ----

def test_log_in_look_around_log_out(site, alice, tab):
    """LO-01, LO-02: the page with its button, the way it leads to, and nothing left in the browser."""
    assert tab.look()["protocol"] == ("h2" if MPM != "prefork" else "http/1.1")
    assert tab.goto(APP + "/app/report?year=1999") == 200 and "This is /app/report?year=1999" in tab.text
    assert tab.back() == 200 and "This is /app/\n" in tab.text
    assert alice.cookie_names() == {"__Host-session"}
    tab.click("#out")
    assert tab.title == "Log out" and site.status(site.token) == OPEN
    tab.shot("the page that asks")
    tab.click("button")
    assert tab.url == APP + "/bye.html"
    assert alice.cookies() == [] and site.status(site.token) == REVOKED
    is_shut(site, tab)


def test_a_button_of_the_application_logs_out_at_once(site, alice, tab):
    tab.click("#now")
    assert tab.url == APP + "/bye.html" and alice.cookies() == [] and site.status(site.token) == REVOKED


def test_where_no_target_is_named_a_page_says_so(site, alice, tab):
    assert tab.goto(APP + "/out") == 200
    tab.click("button")
    assert tab.title == "You are logged out" and tab.url == APP + "/out"
    tab.shot("the page that says so")
    assert alice.cookies() == [] and site.status(site.token) == REVOKED


def test_logging_out_goes_to_another_origin_where_that_is_listed(site, alice, tab):
    """LO-04, LO-05: the page's own policy does not stand in the way."""
    tab.goto(f"{APP}/logout?post_logout_redirect_uri={SPA}/left.html&state=x")
    tab.click("button")
    assert tab.url == SPA + "/left.html?state=x" and site.status(site.token) == REVOKED


def test_the_button_works_without_tls(site, alice, mint):
    """There a browser says of a request only which origin it comes from."""
    token = mint()
    tab = alice.tab()
    site.log_in(tab, token, at=PLAIN)
    tab.click("#out")
    tab.click("button")
    assert tab.url == PLAIN + "/bye.html" and alice.cookies() == [] and site.status(token) == REVOKED


def test_logging_out_clears_what_the_page_stored(site, tab):
    tab.run("() => { localStorage.setItem('draft', 'x'); sessionStorage.setItem('draft', 'x'); document.cookie = 'theme=dark; Path=/; Secure' }")
    tab.click("#now")
    assert tab.run("() => [localStorage.length, document.cookie]") == [0, "theme=dark"]


def test_others_stay_logged_in(site, browser, tab, mint):
    """Bob, and alice at her other computer."""
    other = browser.person().tab()
    site.log_in(other, mint())
    bob = browser.person().tab(APP + "/login")
    site.admits("bob", mint(sub="bob"))
    bob.run("() => { document.querySelector('[name=user]').value = 'bob' }")
    bob.click("button")
    tab.click("#now")
    is_shut(site, tab)
    assert other.reload() == 200 and "Hello alice" in other.text
    assert bob.reload() == 200 and "Hello bob" in bob.text


def test_the_other_tab_of_the_same_browser_is_logged_out_too(site, alice, tab):
    other = alice.tab(APP + "/app/other")
    assert "Hello alice" in other.text
    tab.click("#now")
    assert other.fetch("/app/data")["status"] == 401
    assert other.reload() == 401


def test_a_copy_of_the_cookie_opens_nothing_after_logout(site, browser, alice, tab):
    """Somebody had saved it."""
    saved = alice.cookies()
    thief = browser.person()
    thief.take_cookies(saved)
    stolen = thief.tab(APP + "/app/")
    assert "Hello alice" in stolen.text
    tab.click("#now")
    assert stolen.reload() == 401
    assert stolen.fetch("/app/data")["status"] == 401
    late = browser.person()
    late.take_cookies(saved)
    is_shut(site, late.tab())


# ---- the back button ----

def leave_by(tab, where):
    tab.run("(path) => { document.querySelector('form').action = path }", where)
    tab.click("#now")
    assert tab.url == APP + "/bye.html"


@pytest.mark.parametrize("path", ["/app/", "/app/cached"])
def test_the_back_button_shows_nothing_after_logout(site, tab, path):
    """Neither what the application said nothing about nor what it wants kept for an hour."""
    tab.goto(APP + path)
    tab.click("#away")
    tab.back()
    assert "Hello alice" in tab.text
    leave_by(tab, "/logout")
    assert tab.back() == 401 and "Hello" not in tab.text
    tab.shot("after logout, back" + path)


@pytest.mark.parametrize("path, asks", [("/common/news.html", []), ("/app/cached", []), ("/app/", [["GET", APP + "/app/", 200]])])
def test_while_logged_in_the_back_button_asks_only_for_what_may_not_be_kept(site, tab, path, asks):
    """So this browser does keep pages, and the tests beside this one would see it."""
    tab.goto(APP + path)
    tab.click("#away")
    tab.requests()
    tab.back()
    assert tab.url == APP + path and tab.requests() == asks


@pytest.mark.parametrize("path", ["/app/", "/app/cached"])
def test_the_back_button_shows_nothing_even_if_logout_clears_no_cache(site, tab, path):
    """What is kept was for a request with the cookie (Vary), and that is gone."""
    tab.goto(APP + path)
    leave_by(tab, "/keeping")
    assert tab.back() == 401 and "Hello" not in tab.text


@pytest.fixture
def kept_tab(site, keeping_browser, mint):
    tab = keeping_browser.person().tab()
    site.log_in(tab, mint())
    return tab


def test_what_is_kept_in_memory_is_not_shown_after_logout(site, kept_tab):
    """Whole pages, as they were left; first that this browser has them."""
    kept_tab.goto(APP + "/app/report")  # of the page that logging in led to, docs/DIRECTIVES.md has to say more
    kept_tab.click("#away")
    kept_tab.requests()
    kept_tab.back()
    assert "Hello alice" in kept_tab.text and kept_tab.requests() == []
    leave_by(kept_tab, "/logout")
    assert kept_tab.back() == 401 and "Hello" not in kept_tab.text


@pytest.mark.parametrize("path", [None, "/app/report", "/app/cached"])
def test_what_is_kept_in_memory_is_not_shown_after_the_page_that_asks(site, kept_tab, path):
    """Whether the application wants its pages kept or not, and right after logging in."""
    if path:
        kept_tab.goto(APP + path)
    kept_tab.click("#out")
    kept_tab.click("button")
    assert kept_tab.url == APP + "/bye.html"
    assert kept_tab.back() == 200 and kept_tab.title == "Log out"
    assert kept_tab.back() == 401 and "Hello" not in kept_tab.text


def test_a_location_may_forbid_to_keep_what_the_application_wants_kept(site, kept_tab):
    """
    The page that is on the screen while its own button logs out goes to memory only afterwards: what docs/DIRECTIVES.md advises
    against that.
    """
    kept_tab.goto(APP + "/app/unkept")
    leave_by(kept_tab, "/logout")
    assert kept_tab.back() == 401 and "Hello" not in kept_tab.text


# ---- scripts ----

def test_fetch_is_answered_401_and_goes_nowhere(site, alice):
    """A script is told so in JSON, with the reason."""
    tab = alice.tab(APP + "/blank.html")
    answer = tab.fetch("/app/data")
    assert (answer["status"], answer["redirected"], answer["url"]) == (401, False, APP + "/app/data")
    assert answer["challenge"].startswith("Bearer ")


def test_fetch_learns_that_the_token_was_revoked(site, tab, mint):
    token = mint()
    site.server.revoke(token, "/oauth2/revoke")
    answer = tab.fetch("/app/data", headers={"Authorization": "Bearer " + token})
    assert answer["status"] == 401 and "RevokedTokenError" in answer["body"] and 'error="invalid_token"' in answer["challenge"]


def test_a_script_of_a_listed_origin_uses_its_token(site, browser, mint):
    """H9: preflight and answer; and what a refusal says can be read, too."""
    token = mint()
    tab = browser.person().tab(SPA + "/blank.html")
    bearer = {"Authorization": "Bearer " + token}
    answer = tab.fetch(APP + "/app/data", headers=bearer)
    assert (answer["status"], answer["type"]) == (200, "cors") and "alice" in answer["body"]
    site.server.revoke(token, "/oauth2/revoke")
    answer = tab.fetch(APP + "/app/data", headers=bearer)
    assert answer["status"] == 401 and "RevokedTokenError" in answer["body"]


def test_a_script_of_another_origin_gets_nothing(site, browser, mint):
    tab = browser.person().tab(EVIL + "/blank.html")
    for options in ({"headers": {"Authorization": "Bearer " + mint()}}, {"credentials": "include"}, {}):
        assert tab.fetch(APP + "/app/data", **options) == {"error": "TypeError"}


CALLERS = [(name, API, "") for name in CLIENTS] + [("form", SPA, ""), ("json", SPA, "-elsewhere"), ("class", SPA, "")]


@pytest.mark.parametrize("name, origin, page", CALLERS)
def test_a_clients_own_script_logs_out(site, browser, mint, name, origin, page):
    """R7009-24: from the same origin and from a listed one, with what such pages keep in their storage."""
    token, other = mint(), mint()
    tab = browser.person().tab(f"{origin}/clients/{name}{page}.html")
    tab.run("(tokens) => { for (const [k, v] of Object.entries(tokens)) localStorage.setItem(k, v) }",
            {"access_token": token} | ({"refresh_token": other} if name != "json" else {}))
    tab.click("button")
    assert tab.url == (APP if page else origin) + "/login"
    tab.goto(origin + "/blank.html")
    assert tab.run("() => localStorage.length") == 0
    assert site.status(token) == REVOKED
    assert site.status(other) == (REVOKED if name != "json" else OPEN)


def test_a_script_of_an_origin_that_is_not_listed_is_told_nothing(site, browser, mint):
    """R7009-24: JSON does not even get past the preflight. A form's fields do, as from anywhere: the answer stays unread."""
    token = mint()
    tab = browser.person().tab(EVIL + "/clients/json-elsewhere.html")
    tab.run("(token) => { localStorage.setItem('access_token', token) }", token)
    assert "Failed to fetch" in tab.click("button", until="pageerror")
    assert tab.url == EVIL + "/clients/json-elsewhere.html" and site.status(token) == OPEN
    tab.goto(EVIL + "/clients/form.html")
    assert "Failed to fetch" in tab.click("button", until="pageerror")
    assert tab.run("() => localStorage.getItem('access_token')") == token


# ---- pages of others ----

@pytest.fixture
def lax_tab(site, alice, tab):
    """Logged in by a cookie that the browser sends from every site."""
    (cookie,) = alice.cookies()
    alice.take_cookies([cookie | {"sameSite": "None"}])
    assert tab.reload() == 200
    return tab


def test_a_form_of_another_site_logs_nobody_out(site, alice, lax_tab):
    """LO-02, by POST."""
    lax_tab.goto(EVIL + "/lures/form.html")
    lax_tab.click("button")
    assert lax_tab.url == APP + "/logout" and "Forbidden" in lax_tab.text
    assert alice.cookie_names() == {"__Host-session"} and site.status(site.token) == OPEN


def test_an_image_of_another_site_logs_nobody_out(site, alice, lax_tab):
    """LO-02: also where GET may."""
    lax_tab.goto(EVIL + "/lures/image.html")
    assert ["GET", APP + "/leave"] in [asked[:2] for asked in lax_tab.requests()]
    assert alice.cookie_names() == {"__Host-session"} and site.status(site.token) == OPEN


def test_the_logout_page_shows_in_no_frame(site, lax_tab):
    lax_tab.goto(EVIL + "/lures/frame.html")
    assert ["GET", APP + "/logout", 200] in lax_tab.requests()
    assert lax_tab.run("() => { try { return frames[0].location.href } catch (error) { return error.name } }") == "SecurityError"
    lax_tab.goto(APP + "/blank.html")
    lax_tab.run("""() => new Promise((resolve) => {
        const frame = document.createElement('iframe')
        frame.src = '/logout'
        frame.onload = resolve
        document.body.append(frame)
    })""")
    assert lax_tab.run("() => document.querySelector('iframe').contentDocument === null")


def test_where_get_may_log_out_a_visit_does(site, alice, tab):
    assert tab.goto(APP + "/leave") == 200
    assert alice.cookies() == [] and site.status(site.token) == REVOKED


def test_a_listed_origin_may_log_out_by_a_form(site, alice, lax_tab):
    """It is asked for by its cookie, and answered as any page."""
    lax_tab.goto(SPA + "/lures/form.html")
    lax_tab.run("(to) => { document.querySelector('form').action = to }", APP + "/listed")
    lax_tab.click("button")
    assert lax_tab.url == APP + "/bye.html"
    assert alice.cookies() == [] and site.status(site.token) == REVOKED
