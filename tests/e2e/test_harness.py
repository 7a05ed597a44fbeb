"""The harness itself: it must notice what it is there to notice."""

import base64

import pytest

import leaks
from httpd import ALIAS, LEVEL, ALARM, Conn
from tokens import b64, claims, fields, key_set, make


@pytest.fixture
def bare(new_server):
    server = new_server()
    server.with_module = False
    return server.start(ALIAS + 'Alias /gone "{root}/nowhere"\n<Location /closed>\nRequire all denied\n</Location>\n')


def test_a_line_in_the_error_log_is_noticed_unless_announced(bare):
    assert bare.get("/closed").status == 403
    assert any("AH01630" in line for line in bare.unexpected())
    bare.expect_log("AH01630")
    assert bare.get("/closed").status == 403
    assert not bare.unexpected()


def test_a_sanitizer_report_is_noticed(bare):
    (bare.root / "san" / "asan.1").write_text("==1==ERROR: AddressSanitizer: heap-use-after-free\n")
    assert any("heap-use-after-free" in line for line in bare.unexpected())
    (bare.root / "san" / "asan.1").unlink()


@pytest.mark.parametrize("line, noticed", [
    ("[Sat Nov 21 03:42:39 2026] [tokrevoke:warn] [pid 1] TR099: x", True), ("[date] [core:error] x", True), ("[date] [:emerg] x", True),
    ("[date] [core:notice] [pid 1] AH00052: child pid 7 exit signal Segmentation fault (11)", True),
    ("src/x.c:7:3: runtime error: signed integer overflow", True), ("[date] [core:info] x", False), ("[date] [tokrevoke:debug] error", False)])
def test_the_lines_that_count_are_told_from_the_others(line, noticed):
    assert bool(LEVEL.search(line) or ALARM.search(line)) == noticed


def test_four_children_serve(bare):
    assert len(bare.pids()) >= 4


def by_a_test(server):
    return [server.connect() for _ in range(4)]


def by_somebody_else(server):
    return [Conn("127.0.0.1", server.port) for _ in range(4)]


def before_a_graceful_restart(server):
    held = by_a_test(server)
    for c in held:
        assert c.request("GET", "/ok.txt").status == 200
    server.graceful()
    return held


@pytest.mark.parametrize("held", [by_a_test, by_somebody_else, before_a_graceful_restart])
def test_no_connection_that_is_left_keeps_a_child_from_its_end(bare, held):
    """A child that was told to leave in peace waits for it, and httpd complains of that child when it kills it."""
    connections = held(bare)
    bare.stop()
    assert not bare.unexpected(), connections


# ---- tokens and secrets in a log ----

SECRET = bytes(range(200, 232))
OPAQUE, SHORT_OPAQUE = "0123456789abcdef-of-a-refresh-token", "shorttok"
JTI = "urn:x:7f3a-1"


@pytest.fixture(scope="module")
def heard(mint):
    """(what the harness knows, the token)"""
    token = mint(payload=claims(jti=JTI))
    known = leaks.Known()
    known.hear(f"GET / HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    known.hear(f"POST /x HTTP/1.1\r\n\r\ntoken={OPAQUE}&client_secret=open+s%65same".encode())
    known.hear(b'POST /x HTTP/1.1\r\n\r\n{"refresh_token": "%s"}' % SHORT_OPAQUE.encode())
    known.hear(b"POST /x HTTP/1.1\r\nAuthorization: Basic " + base64.b64encode(b"app:gingerbread") + b"\r\n\r\n")
    known.hear_file("conf/hmac.secret", SECRET + b"\n")
    known.hear_file("conf/test.conf", b'TokRevokeDatabase "pgsql:host=x password=topsecret1 user=y"\n')
    return known, token


def spoken(words):
    return f"[Sat Nov 21 03:42:39.1 2026] [tokrevoke:trace8] [pid 1:tid 2] [client 127.0.0.1:5] {words}\n"


LEAKED = {
    "a whole token": lambda token: f"token {token}", "its signature": lambda token: token.rpartition(".")[2],
    "a half of its signature": lambda token: "x" + token.rpartition(".")[2][:40], "a jti": lambda _: f'jti "{JTI}" is revoked',
    "a jti behind a word": lambda _: f"jti={JTI}", "a token of somebody else": lambda _: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
    "an opaque token": lambda _: f"refresh token {OPAQUE}", "a short opaque token": lambda _: f"refresh token {SHORT_OPAQUE}.",
    "a secret of a form": lambda _: 'secret "open sesame"', "a secret of Basic": lambda _: "app:gingerbread",
    "an HMAC secret": lambda _: SECRET.decode("latin-1"), "the same in hex": lambda _: SECRET.hex(),
    "the same in base64url": lambda _: b64(SECRET), "a database's password": lambda _: "password=topsecret1 failed",
}


@pytest.mark.parametrize("what", LEAKED)
def test_what_must_not_be_logged_is_noticed(heard, what):
    known, token = heard
    line = spoken(LEAKED[what](token))
    assert known.leaks(spoken("all is well") + line) == [line.rstrip("\n")]
    assert known.leaks("AH00526: " + LEAKED[what](token))


def test_an_oct_key_of_a_key_set_is_noticed(heard):
    known, _ = heard
    key = make("oct")
    known.hear_file("conf/oct.jwks", key_set(fields(key)).encode())
    assert known.leaks(spoken("k is " + fields(key)["k"]))


@pytest.mark.parametrize("line", [
    spoken("token 5f3c2d1e0a9b8c7d is refused: revoked"), spoken(f"revoked: {JTI}-and-more is another"), spoken(""), "",
    "[Sat Nov 21 03:42:39 2026] [core:trace4] [pid 1] headers_in: Authorization: Bearer " + LEAKED["a token of somebody else"](""),
    spoken("refused: no_token, referer: http://127.0.0.1/?access_token=" + OPAQUE)])
def test_what_may_be_logged_is_left_in_peace(heard, line):
    """Other modules, and what httpd itself adds to each line, are not this module's words."""
    assert not heard[0].leaks(line)


def test_a_leak_fails_the_test_in_which_it_happens(bare):
    bare.get("/ok.txt", "Authorization: Bearer " + LEAKED["a token of somebody else"](""))
    with open(bare.root / "logs" / "error", "a", encoding="utf-8") as log:
        log.write(spoken("token c2lnbmF0dXJl?") + spoken(LEAKED["a token of somebody else"]("")))
    assert any("a token, a jti or a secret is in the log" in line for line in bare.unexpected())
