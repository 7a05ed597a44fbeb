"""
Fault H2: hostile frames, and odd ones that are legal. Whatever comes, the server goes on to answer others, nobody passes without a
good token, and what breaks off changes nothing.
"""

import random
from pathlib import Path

import hyperframe.frame as frames
import pytest

import httpd as servers
from httpd import H2, MPM
from requests_h2 import Raw, bearer, request
from requests_headers import SPELLINGS
from requests_site import BOSS, Site, view
from storing import PAGE, SLOW, clock

if MPM == "prefork" or H2:
    pytest.skip("speaks HTTP/2 without TLS, which mpm_prefork cannot", allow_module_level=True)

SEEN = ("GET /app/x", ["X-Remote-User: alice", 'X-Roles: ["staff"]'], "")
KIND = ("content-type", "application/x-www-form-urlencoded")
MALFORMED = "reset 1"  # PROTOCOL_ERROR
ANSWERED = ("userinfo in the authority",)


@pytest.fixture(scope="module")
def site(new_server, keys, mint):
    made = Site(new_server(children=2), keys, mint, "Protocols h2c http/1.1\n", ("http2",))
    made.server.expect_log("AH0(1095|1084|1097): .*request body failed", always=True)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def others_are_served(site):
    """Within two seconds of whatever a test does: this is the module's question to each of them."""
    yield
    token = site.mint(sub="other")
    began = clock()
    with site.server.connect() as c:
        r = c.request("GET", PAGE, "Authorization: Bearer " + token)
        assert r.status == 200 and c.request("GET", PAGE).status == 401
    assert clock() - began < 2 * SLOW
    site.backend.take()


@pytest.fixture
def c(site):
    with Raw(site.server) as made:
        yield made


@pytest.fixture
def alice(mint):
    return mint(sub="alice", roles=["staff"])


def seen(site):
    return [view(one) for one in site.backend.take()]


def still_serves(c, token):
    """The connection goes on."""
    answer = c.answer(c.begin(request(PAGE, bearer(token))))
    assert (answer.status, answer.body) == (200, b"the protected page\n"), answer
    return True


# ---- fields ----

BAD_FIELDS = {  # what is wrong: (fields in place of those of a good request, how it ends)
    "a name in mixed case": lambda g: request("/app/x", g, ("X-Remote-User", "mallory")),
    "a name in upper case": lambda g: request("/app/x", ("AUTHORIZATION", g[1])),
    "an upper-case letter at its end": lambda g: request("/app/x", g, ("x-remote-useR", "mallory")),
    "connection": lambda g: request("/app/x", g, ("connection", "x-remote-user")),
    "connection: close": lambda g: request("/app/x", g, ("connection", "close")),
    "proxy-connection": lambda g: request("/app/x", g, ("proxy-connection", "x-remote-user")),
    "keep-alive": lambda g: request("/app/x", g, ("keep-alive", "x-remote-user")),
    "upgrade": lambda g: request("/app/x", g, ("upgrade", "websocket")),
    "transfer-encoding": lambda g: request("/app/x", g, ("transfer-encoding", "chunked")),
    "te of another kind": lambda g: request("/app/x", g, ("te", "gzip")),
    "te that names a field": lambda g: request("/app/x", g, ("te", "trailers, x-remote-user")),
    "two paths": lambda g: [*request("/app/x", drop=(":path",)), (":path", "/canary.txt"), (":path", "/app/x"), g],
    "two methods": lambda g: [(":method", "GET"), *request("/app/x", g)],
    "two authorities": lambda g: [(":authority", "other.test"), *request("/app/x", g)],
    "two schemes": lambda g: [(":scheme", "https"), *request("/app/x", g)],
    "no path": lambda g: request("/app/x", g, drop=(":path",)),
    "no method": lambda g: request("/app/x", g, drop=(":method",)),
    "no scheme": lambda g: request("/app/x", g, drop=(":scheme",)),
    "an empty path": lambda g: request("", g),
    "a path behind other fields": lambda g: [*request("/app/x", drop=(":path",)), g, (":path", "/app/x")],
    "a method behind other fields": lambda g: [*request("/app/x", g), (":method", "POST")],
    "an unknown pseudo-header": lambda g: request("/app/x", (":user", "mallory"), g),
    "a status": lambda g: request("/app/x", (":status", "200"), g),
    "a line break in a value": lambda g: request("/app/x", g, ("x-a", "1\r\nx-remote-user: mallory")),
    "a bare LF in a value": lambda g: request("/app/x", g, ("x-a", "1\nx-remote-user: mallory")),
    "a bare CR in a value": lambda g: request("/app/x", g, ("x-a", "1\rx-remote-user: mallory")),
    "a NUL in a value": lambda g: request("/app/x", g, ("x-a", "1\0")),
    "a NUL in the token": lambda g: request("/app/x", (g[0], g[1] + "\0")),
    "a line break in a name": lambda g: request("/app/x", g, ("x-a: 1\r\nx-remote-user", "mallory")),
    "a blank in a name": lambda g: request("/app/x", g, ("x-remote-user ", "mallory")),
    "a colon in a name": lambda g: request("/app/x", g, ("x-remote-user:", "mallory")),
    "an empty name": lambda g: request("/app/x", g, ("", "mallory")),
    "a NUL in a name": lambda g: request("/app/x", g, ("x-a\0", "mallory")),
    "a line break in the path": lambda g: request("/app/x HTTP/1.1\r\nx-remote-user: mallory\r\nx: ", g),
    "a blank in the path": lambda g: request("/app/x y", g),
    "a NUL in the path": lambda g: request("/app/x\0", g),
    "a path without a slash": lambda g: request("app/x", g),
    "a path with a host": lambda g: request("http://site.test/app/x", g),
    "a line break in the method": lambda g: request("/app/x", g, method="GET /canary.txt HTTP/1.1\r\n\r\nGET"),
    "a blank in the method": lambda g: request("/app/x", g, method="GET /app/x"),
    "an empty method": lambda g: request("/app/x", g, method=""),
    "a line break in the authority": lambda g: request("/app/x", g, authority="a\r\nx-remote-user: mallory"),
    "userinfo in the authority": lambda g: request("/app/x", g, authority="x@site.test"),
    "a slash in the authority": lambda g: request("/app/x", g, authority="site.test/app"),
    "a blank in the authority": lambda g: request("/app/x", g, authority="site test"),
    "two hosts": lambda g: request("/app/x", g, ("host", "site.test"), ("host", "other.test"), drop=(":authority",)),
    "a length that is none": lambda g: request("/app/x", g, ("content-length", "x"), method="POST"),
    "two lengths": lambda g: request("/app/x", g, ("content-length", "0"), ("content-length", "5"), method="POST"),
    "CONNECT with a path": lambda g: request("/app/x", g, method="CONNECT"),
    "CONNECT to a protocol": lambda g: request("/app/x", (":protocol", "websocket"), g, method="CONNECT"),
}


@pytest.mark.parametrize("what", BAD_FIELDS)
def test_a_malformed_request_ends_without_an_answer_from_behind(site, c, alice, what):
    """Though it has a good token: the stream is reset before anybody behind hears of it, and the connection goes on."""
    answer = c.answer(c.begin(BAD_FIELDS[what](bearer(alice))))
    assert answer.status == 400 if what in ANSWERED else answer.end == MALFORMED, answer
    assert seen(site) == [] and still_serves(c, alice)


def test_of_authority_and_host_the_authority_counts(site, c, alice):
    """RFC 9113 8.3.1: a Host that says otherwise neither chooses the virtual host nor is told to anybody."""
    answer = c.answer(c.begin(request("/app/x", bearer(alice), ("host", "other.test"), authority="site.test")))
    assert answer.status == 200
    (one,) = site.backend.take()
    assert one["X-Forwarded-Host"] == "site.test" and view(one) == SEEN


@pytest.mark.parametrize("what", SPELLINGS)
def test_no_spelling_of_an_identity_passes(site, c, alice, what):
    name, value = (part.strip() for part in SPELLINGS[what].lower().split(":", 1))
    assert c.answer(c.begin(request("/app/x", bearer(alice), (name, value)))).status == 200
    assert seen(site) == [SEEN]
    assert c.answer(c.begin(request("/app/x", (name, value)))).reason == "no_token"
    assert seen(site) == []


ODD = {  # legal, and asks for Alice's page
    "trailers are understood": lambda t: request("/app/x", bearer(t), ("te", "trailers")),
    "a host and no authority": lambda t: request("/app/x", bearer(t), ("host", "site.test"), drop=(":authority",)),
    "a host that says the same": lambda t: request("/app/x", bearer(t), ("host", "site.test")),
    "a scheme in lower case": lambda t: request("/app/x", ("authorization", "bearer " + t)),
    "blanks around the value": lambda t: request("/app/x", ("authorization", "  Bearer   " + t + "  ")),
    "pseudo-headers in another order": lambda t: [*reversed(request("/app/x")), bearer(t)],
    "one cookie": lambda t: request("/app/x", ("cookie", "session=" + t)),
    "a cookie of two crumbs": lambda t: request("/app/x", ("cookie", "session=" + t), ("cookie", "session=" + t)),
    "empty crumbs": lambda t: request("/app/x", ("cookie", ""), ("cookie", "session=" + t), ("cookie", "")),
    "a crumb behind the token of a header": lambda t: request("/app/x", bearer(t), ("cookie", "session=x")),
    "a query": lambda t: request("/app/x?access_token=" + t),
    "an empty trailer of an expectation": lambda t: request("/app/x", bearer(t), ("expect", "")),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_request_that_is_legal_is_served(site, c, alice, what):
    assert c.answer(c.begin(ODD[what](alice))).status == 200
    (line, fields, body), = seen(site)
    assert (line, body) == (SEEN[0], "") and [f for f in fields if f.startswith("X-")] == SEEN[1]
    assert all(alice not in field for field in fields)


@pytest.mark.parametrize("crumbs, left, verdict", [
    (("a=1", "session=T", "b=2"), "a=1; b=2", 200), (("a=1; session=T", "b=2"), "a=1; b=2", 200),
    (("a=1",) * 50 + ("session=T",), "; ".join(["a=1"] * 50), 200),
    (("session=X", "session=T"), None, 401), (("sess", "ion=T"), None, 401), (("session=T;", "x"), "x", 200),
    (("session=", "T"), None, 401)], ids=str)
def test_crumbs_of_cookies_are_joined_with_semicolons(site, c, alice, crumbs, left, verdict):
    """RFC 9113 8.2.3: never into one name or one value; the first of a name counts."""
    answer = c.answer(c.begin(request("/app/x", *(("cookie", crumb.replace("T", alice)) for crumb in crumbs))))
    assert answer.status == verdict, answer
    assert seen(site) == ([(SEEN[0], sorted([*SEEN[1], f"Cookie: {left}"]), "")] if verdict == 200 else [])


# ---- frames ----

@pytest.mark.parametrize("pieces", [2, 5, 8])
def test_fields_in_several_frames_are_one_request(site, c, alice, pieces):
    """CONTINUATION, as many as nghttp2 does not yet take for an attack."""
    assert c.answer(c.begin(request("/app/x", bearer(alice)), pieces=pieces)).status == 200
    assert seen(site) == [SEEN]
    assert c.answer(c.begin(request("/app/x"), pieces=2)).reason == "no_token"


def test_padding_is_no_part_of_anything(site, c, alice, mint):
    assert c.answer(c.begin(request("/app/x", bearer(alice)), padding=200)).status == 200
    assert seen(site) == [SEEN]
    token = mint()
    stream = c.begin(request("/revoke", KIND, method="POST"), end=False, padding=1)
    c.data(stream, b"token=", end=False, padding=255)
    c.data(stream, token.encode(), padding=7)
    assert c.answer(stream).status == 200
    assert not site.lives(token)


def test_fields_that_break_off_are_no_request(site, alice):
    for count in range(1, 6):
        with Raw(site.server) as c:
            block = c.encoder.encode(request("/app/x", bearer(alice)))
            stream = c.stream()
            c.send(frames.HeadersFrame(stream, block, flags=["END_STREAM"]),
                *[frames.ContinuationFrame(stream, b"")] * (count - 1))
    assert seen(site) == []


@pytest.mark.parametrize("has_fields", [False, True], ids=["empty", "full"])
def test_endless_fields_end_the_connection(site, has_fields):
    """CVE-2024-27316: no more than a bounded number of frames is taken."""
    with Raw(site.server) as c:
        stream = c.stream()
        c.send(frames.HeadersFrame(stream, c.encoder.encode(request("/app/x")), flags=["END_STREAM"]))
        flood = frames.ContinuationFrame(stream, c.encoder.encode([("x-a", "b" * 100)]) if has_fields else b"").serialize()
        sent = 0
        while not c.has_been_told_to_go() and sent < 1_000_000:
            c.send_bytes(flood * 100)
            sent += 100
        assert sent < 1_000_000
        c.wait_for_the_end()
        assert c.answers[stream].status is None
    assert seen(site) == []


def memory(site):
    """KiB that the children hold."""
    return sum(int(line.split()[1]) for pid in site.server.pids() for line in Path(f"/proc/{pid}/status").read_text().splitlines()
               if line.startswith("VmRSS:"))


def test_a_small_block_that_means_megabytes_costs_little(site, alice):
    """CVE-2026-49975: a field of 4,000 bytes, put into the table once, and named by one byte 16,000 times: 64 MB."""
    before = memory(site)
    for _ in range(5):
        with Raw(site.server) as c:
            assert still_serves(c, alice)
            begin = c.encoder.encode(request("/app/x", bearer(alice)))
            name, value = b"x-bomb", b"b" * 3900
            literal = b"\x40" + bytes([len(name)]) + name + b"\x7f" + bytes([(len(value) - 127) & 127 | 128,
                (len(value) - 127) >> 7]) + value
            stream = c.begin_block(begin + literal + b"\xbe" * 12000)
            answer = c.answer(stream)
            assert answer.status in (None, 400, 431), answer
    assert seen(site) == []
    if not servers.SAN:
        assert memory(site) < before + 40_000


@pytest.mark.parametrize("name, make, code", [
    ("DATA before any request", lambda c: c.send(frames.DataFrame(1, b"x")), 1),
    ("HEADERS on stream 0", lambda c: c.send_bytes(b"\0\0\1\1\5\0\0\0\0\x82"), 1),
    ("HEADERS on an even stream", lambda c: c.send_bytes(b"\0\0\1\1\5\0\0\0\2\x82"), 1),
    ("CONTINUATION alone", lambda c: c.send(frames.ContinuationFrame(1, b"")), 1),
    ("a SETTINGS of a wrong length", lambda c: c.send_bytes(b"\0\0\5\4\0\0\0\0\0abcde"), 6),
    ("a frame of 16 MB", lambda c: c.send_bytes(b"\xff\xff\xff\0\0\0\0\0\1"), 6),
    ("an index of no field", lambda c: c.begin_block(b"\xff\xff\xff\xff\x0f"), 9),
    ("a broken Huffman code", lambda c: c.begin_block(b"\x82\x86\x84\x41\x84\xff\xff\xff\xff"), 9),
    ("a window past its end", lambda c: c.send(frames.WindowUpdateFrame(0, window_increment=(1 << 31) - 1)), 3),
    ("PUSH_PROMISE by a client", lambda c: c.send(frames.PushPromiseFrame(1, promised_stream_id=2, data=b"\x82",
    flags=["END_HEADERS"])), 1),
    ("a request within a request's fields", lambda c: c.send(frames.HeadersFrame(1, b"\x82"),
    frames.HeadersFrame(3, b"\x82", flags=["END_HEADERS"])), 1),
], ids=lambda v: v if isinstance(v, str) else "")
def test_a_broken_connection_ends_alone(site, name, make, code):
    with Raw(site.server) as other, Raw(site.server) as c:
        make(c)
        c.wait_for_the_end()
        assert c.goaway == code, (name, c.goaway)
        assert still_serves(other, site.mint())
    assert seen(site) == []


# ---- streams ----

def test_a_hundred_streams_at_once_get_each_its_own_answer(site, c, mint, keys):
    """Good, revoked, expired, forged and none, at pages, the application and an endpoint; three rounds in any order."""
    dead = mint(sub="dead")
    assert site.server.revoke(dead).status == 200
    people = [(200, None, mint(sub=f"user-{i}")) for i in range(40)] + [(401, "revoked", dead)] * 15
    people += [(401, "expired", mint(exp=1000)) for _ in range(15)] + [(401, "bad_signature",
        mint(key=keys.other["p256"])) for _ in range(15)]
    people += [(401, "no_token", None)] * 15
    while "settings are not there" and not c.settings:
        c.more()
    for _ in range(3):
        random.shuffle(people)
        streams = []
        for i, (status, reason, token) in enumerate(people):
            credentials = [] if token is None else [bearer(token) if i % 2 else ("cookie", "session=" + token)]
            streams.append((c.begin(request("/app/x", *credentials)), status, reason))
        for stream, status, reason in streams:
            answer = c.answer(stream)
            assert (answer.status, answer.reason) == (status, reason), answer
        users = sorted(field for _, fields, _ in seen(site) for field in fields if field.startswith("X-Remote-User"))
        assert users == sorted(f"X-Remote-User: user-{i}" for i in range(40))


def test_streams_that_are_reset_leave_the_others_right(site, mint):
    """Rapid reset (CVE-2023-44487): a hundred and fifty, beside ten that wait for their answer."""
    good, bad = mint(sub="alice"), mint(exp=1000)
    with Raw(site.server) as c:
        waiting = []
        for i in range(150):
            stream = c.begin(request("/app/x", bearer(bad if i % 3 else good)))
            if i % 15 == 0 and len(waiting) < 10:
                waiting.append((stream, 401 if i % 3 else 200))
            else:
                c.reset(stream)
        for stream, status in waiting:
            answer = c.answer(stream)
            assert answer.status in (status, None) and (answer.status or answer.end != "whole"), answer


DOORS = {"/revoke": b"token=%s", "/logout": b"token=%s", "/client": b"token=%s&client_id=pub",
    "/introspect": b"token=%s&client_id=c1&client_secret=secret",
         "/backchannel": b"logout_token=%s", "/admin/revocations": b'{"kind":"token","iss":"https://idp.test/","value":"%s"}'}


@pytest.mark.parametrize("path", DOORS)
def test_a_body_that_breaks_off_changes_nothing(site, c, mint, path):
    """Before any of it, within it, and where its length says that there is more."""
    before, tokens = site.revocations(), [mint() for _ in range(12)]
    kind, known = KIND, ()
    if path.startswith("/admin"):
        kind, known = ("content-type", "application/json"), (("authorization", BOSS.partition(": ")[2]),)
    for i, token in enumerate(tokens):
        name = token if not known else token[-20:]
        text = DOORS[path] % name.encode()
        more = (("content-length", str(len(text) + 1)),) if i % 3 == 0 else ()
        stream = c.begin(request(path, kind, *known, *more, method="POST"), end=False)
        if i % 3 < 2:
            c.data(stream, text if more else text[:len(text) // 2], end=False)
        c.reset(stream)
    assert still_serves(c, tokens[0])
    assert site.revocations() == before and all(site.lives(token) for token in tokens)


def test_a_body_that_breaks_off_is_none_to_the_application(site, c, alice):
    for length in (0, 5, 3000):
        stream = c.begin(request("/app/x", bearer(alice), ("content-length", "5000"), method="POST"), end=False)
        c.data(stream, b"x" * length, end=False)
        c.reset(stream)
        stream = c.begin(request("/app/x", ("content-length", "5000"), method="POST"), end=False)
        c.data(stream, b"x" * length, end=False)
        assert c.answer(stream).reason == "no_token"
    assert still_serves(c, alice)
    assert [one for one in site.backend.take() if one.is_whole] == []


@pytest.mark.parametrize("said, sent", [(5, 100), (5000, 100)])
def test_a_length_that_is_a_lie_is_no_body(site, c, mint, said, sent):
    """RFC 9113 8.1.1"""
    token = mint()
    body = (b"token=" + token.encode()).ljust(sent, b"&")
    stream = c.begin(request("/revoke", KIND, ("content-length", str(said)), method="POST"), end=False)
    c.data(stream, body)
    answer = c.answer(stream)
    assert answer.status != 200, answer
    assert site.lives(token)


def test_what_is_asked_behind_the_answer_of_a_revocation_is_refused_on_every_stream(site, c, mint):
    for _ in range(10):
        token = mint()
        stream = c.begin(request("/revoke", KIND, method="POST"), end=False)
        c.data(stream, b"token=" + token.encode())
        assert c.answer(stream).status == 200
        assert {c.answer(s).reason for s in [c.begin(request("/app/x", bearer(token))) for _ in range(20)]} == {"revoked"}
    assert seen(site) == []


def test_trailers_name_nobody_and_bring_no_token(site, c, alice):
    stream = c.begin(request("/app/x", bearer(alice), method="POST"), end=False)
    c.data(stream, b"hello", end=False)
    c.send(frames.HeadersFrame(stream, c.encoder.encode([("x-remote-user", "mallory"), ("x_roles", "mallory")]),
        flags=["END_HEADERS", "END_STREAM"]))
    assert c.answer(stream).status == 200
    (one,) = site.backend.take()
    assert view(one)[1] == ["Content-Length: 5", *SEEN[1]] and one.body == b"hello"
    stream = c.begin(request("/app/x", method="POST"), end=False)
    c.send(frames.HeadersFrame(stream, c.encoder.encode([bearer(alice)]), flags=["END_HEADERS", "END_STREAM"]))
    answer = c.answer(stream)
    # A stream that is refused while its client goes on may be reset by mod_http2 before the refusal has gone out.
    assert (answer.reason == "no_token" or answer.status is None) and seen(site) == [], answer
