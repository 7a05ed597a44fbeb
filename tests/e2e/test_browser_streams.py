"""A page that listens to an event stream, and what it sees when its token ends."""

import re

import pytest

from storing import until
from streaming import Echo
from test_browser import alice, browser, chromium  # noqa: F401: fixtures
from websites import APP, COOKIES, Website

pytestmark = pytest.mark.h1("its sites speak HTTP/2 over TLS by themselves")

# Goes on for half a minute, and says so if it is let.
TICKER = """#!/usr/bin/python3 -I
import sys, time
print("Content-Type: text/event-stream\\n\\nretry: 100\\n")
for tick in range(300):
    print(f"data: {tick}\\n", flush=True)
    time.sleep(0.1)
print("event: over\\ndata: x\\n", flush=True)
"""

# Open it, wait for the first word, and remember how it ends.
LISTEN = """() => new Promise((resolve) => {
    window.stream = new EventSource('/ticker')
    window.ended = new Promise((end) => {
        stream.addEventListener('over', () => end('over'))
        stream.addEventListener('error', () => stream.readyState === EventSource.CLOSED && end('closed'))
    })
    stream.onmessage = () => resolve('open')
    stream.onerror = () => resolve('error')
})"""

TALK = """() => new Promise((resolve) => {
    window.stream = new WebSocket('wss://app.test/socket/')
    window.ended = new Promise((end) => { stream.onclose = ({ wasClean }) => { resolve('closed'); end(wasClean ? 'said goodbye' : 'cut') } })
    stream.onmessage = () => resolve('open')
    stream.onopen = () => stream.send('hello')
})"""

GOES_ON = "() => new Promise((resolve) => { stream.onmessage = () => resolve(true); if (stream.send) stream.send('again') })"
MORE = f"""
ScriptAlias /ticker {{root}}/cgi/ticker
<Location /ticker>
    {COOKIES}
    TokRevokeCutStreams On
    AuthType Bearer
    AuthName "ticker"
    Require valid-user
</Location>
<Location /socket/>
    {COOKIES}
    TokRevokeCutStreams On
    ProxyPass "http://127.0.0.1:%d/" upgrade=websocket
    AuthType Bearer
    AuthName "socket"
    Require valid-user
</Location>
"""


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server(children=2)
    server.write("cgi/ticker", TICKER, mode=0o755)
    return Website(server, keys, MORE % Echo().port)


@pytest.fixture
def tabs(site, browser, alice, mint):  # noqa: F811
    """Alice's and bob's."""
    found = alice.tab(), browser.person().tab()
    for tab in found:
        site.log_in(tab, mint())
    return found


def test_an_event_stream_ends_when_its_user_logs_out_in_another_tab(site, alice, tabs):  # noqa: F811
    """The browser asks once more, and the answer 401 ends it. Somebody else's goes on."""
    listening, bob = tabs
    assert listening.run(LISTEN) == "open" and bob.run(LISTEN) == "open"
    alice.tab(APP + "/app/").click("#now")
    assert listening.run("() => window.ended") == "closed"
    until(lambda: re.search(r' 401 .*"GET /ticker ', site.server.access_log()))
    assert bob.run(GOES_ON)


def test_a_web_socket_ends_when_its_user_logs_out_in_another_tab(alice, tabs):  # noqa: F811
    talking, bob = tabs
    assert talking.run(TALK) == "open" and bob.run(TALK) == "open"
    assert talking.run(GOES_ON)
    alice.tab(APP + "/app/").click("#now")
    assert talking.run("() => window.ended") == "cut"
    assert bob.run(GOES_ON)
    assert talking.run(TALK) == "closed"
