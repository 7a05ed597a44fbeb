"""
TokRevokeGuardRotation: a refresh token that was exchanged is revoked, and one that is shown again ends its family (RFC 9700
4.14.2).
"""

import gzip
import itertools
import json
import threading
import time

import pytest

from backend import reply
from database import Database
from guarding import GUARD, ROTATION, Site, grants, is_refusal, location, own_site
from storing import FORM, PAGE, EveryChild, claims_of, until

serial = itertools.count()
LARGE = 262144


class Issuer:
    """A token endpoint that rotates, but does not see itself when a token is shown twice. kind: of its refresh tokens."""

    def __init__(self, mint, kind="opaque", **more):
        self.mint, self.kind, self.more = mint, kind, more
        self.given = []  # (access token, refresh token)

    def first(self):
        return self.refresh()

    def refresh(self):
        if self.kind == "opaque":
            return f"rt-{next(serial)}-{time.monotonic_ns():x}"
        if self.kind == "JWT":
            return self.mint(token_use="refresh", **self.more)
        return self.mint("HS512", kid="inner", token_use="refresh", **self.more)

    def __call__(self, request):
        access, refresh = self.mint(), self.refresh()
        self.given.append((access, refresh))
        return grants(access, refresh)


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    server.extra_modules = ("deflate", "filter")
    made = Site(server, keys,
                "ProxyPass /deflating/ {to}\n", location("/deflating/", GUARD, ROTATION, "SetOutputFilter DEFLATE"),
                "ProxyPass /inflating/ {to}\n", location("/inflating/", GUARD, ROTATION, "SetOutputFilter INFLATE"),
                "ProxyPass /own/ {to}\n", location("/own/", GUARD, ROTATION, "ProxyErrorOverride On",
                                                        "ErrorDocument 502 /broken.html"),
                prepare=lambda s: s.write("htdocs/broken.html", "<p>our own page</p>"))
    yield made
    made.close()


def verdict(site, access):
    r = site.bearer(PAGE, access)
    return "accepted" if r.status == 200 else r.reason


def chain(site, issuer, steps, first=None, where="/rotating/token"):
    """Exchange a token, and what it was exchanged for, and so on: all of them, and the access tokens."""
    site.backend.answer = issuer
    tokens, accesses = [first or issuer.first()], []
    for _ in range(steps):
        r = site.exchange(tokens[-1], where=where)
        assert r.status == 200, (r, site.error_log()[-2000:])
        tokens.append(r.json()["refresh_token"])
        accesses.append(r.json()["access_token"])
    return tokens, accesses


KINDS = pytest.mark.parametrize("kind", ["opaque", "JWT", "JWT of the issuer's own"])


# ---- rotation --------------------------------------------------------------------------------------------------------

@KINDS
def test_the_old_token_is_dead_at_once_in_every_child(site, mint, kind):
    """SBCP-03"""
    site.expect_log("TR045: ")
    issuer = Issuer(mint, kind)
    with EveryChild(site.server) as children:
        for _ in range(5):
            site.backend.answer = issuer
            old = issuer.first()
            assert site.exchange(old).status == 200
            for pid in children.children:
                site.is_refused(old, c=children.at.pop(pid))
            children.connect()


def test_what_is_stored_of_an_exchange_is_one_commit_that_names_its_reason(site, mint):
    db = Database(site.server)
    before = db.state()["last_seq"]
    (first, second), (access,) = chain(site, Issuer(mint, "JWT"), 1)
    rows = [r for r in db.rows() if r["seq"] > before]
    assert [r["kind"] for r in rows] == ["opaque", "token", "member", "member"]
    assert rows[1]["value"] == claims_of(first)["jti"] and rows[1]["expires_at"] >= claims_of(first)["exp"] + 60
    assert {r["reason"] for r in rows} == {"refresh token rotation"} and {r["client_address"] for r in rows} == {"127.0.0.1"}
    assert db.is_whole()
    assert second not in str(rows) and first not in str(rows) and access not in str(rows)


ANSWERS = {
    "with blanks and letters": reply(b' {"access_token" : "a",\r\n"refresh_token":"\\u0072-%d", "x": "\xc3\xa4", "n": 1e999} \n',
                                     "200 OK", "Content-Type: application/json; charset=UTF-8", "X-Odd: a,  b",
                                     "Set-Cookie: a=b; Path=/",
                                     "Set-Cookie: c=d", "Cache-Control: no-store", "ETag: \"x\""),
    "with status 201": reply(b'{"refresh_token":"r-%d"}', "201 Made", "Location: /there"),
    "with no type": reply(b'{"refresh_token":"r-%d"}'),
    "with a byte order mark": reply(b'\xef\xbb\xbf{"refresh_token":"r-%d"}'),
    "in chunks": reply(b"", "200 OK", "Content-Type: application/json", "Transfer-Encoding: chunked", length=False)
    + b'4\r\n{"re\r\n1;a=b\r\nf\r\n13\r\nresh_token":"r-%02d"}\r\n0\r\n\r\n',
    "with 256 KiB": reply(b'{"refresh_token":"r-%02d","x":"' + b"y" * (LARGE - 31 - 4) + b'"}'),
    "with an encoding that is none": reply(b'{"refresh_token":"r-%d"}', "200 OK", "Content-Encoding: identity"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_goes_on_byte_for_byte_and_the_old_token_dies(site, what):
    site.expect_log("TR045: ")
    number = next(serial) + 10
    answer = ANSWERS[what].replace(b"%02d" if b"%02d" in ANSWERS[what] else b"%d", b"%d" % number)
    if b"Content-Length" in answer:
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
        answer = b"\r\n".join(lines + [b"Content-Length: %d" % len(body)]) + b"\r\n\r\n" + body
    site.backend.answer = lambda request: answer
    expected = site.exchange("x", where="/plain/token")
    old = f"old-{number}"
    got = site.exchange(old)
    assert (got.status, got.body) == (expected.status, expected.body)
    assert [h for h in got.headers if h[0] not in ("Date", "Content-Length", "Transfer-Encoding")] == [
        h for h in expected.headers if h[0] not in ("Date", "Content-Length", "Transfer-Encoding")]
    site.is_refused(old)


UNCHANGED = {
    "no other refresh token": reply({"access_token": "a"}), "the same one": grants("a", "{old}"), "null": grants("a", None),
    "an empty one": grants("a", ""), "nothing": reply(b"", "204 No Content", length=False), "an empty body": reply(b""),
    "an error": reply({"error": "invalid_grant", "refresh_token": "no"}, "400 Bad Request"),
    "an error page": reply(b"<p>no</p>", "500 Broken", "Content-Type: text/html"),
    "a refusal with a challenge": reply({"error": "invalid_client"}, "401 No", 'WWW-Authenticate: Basic realm="x"'),
    "a redirect": reply(b"", "302 Found", "Location: https://a.test/?refresh_token=x"),
    "an encoded error": reply(gzip.compress(b"no"), "503 No", "Content-Encoding: gzip"),
    "a large error": reply(b"x" * (LARGE * 2), "400 No"),
}


@pytest.mark.parametrize("what", UNCHANGED)
def test_an_answer_that_gives_out_nothing_new_passes_and_revokes_nothing(site, what):
    old = f"kept-{next(serial)}"
    site.backend.answer = lambda request: UNCHANGED[what].replace(b"{old}", old.encode().ljust(5))
    if what == "the same one":
        site.backend.answer = lambda request: grants("a", old)
    expected = site.exchange(old, where="/plain/token")
    before = Database(site.server).state()["last_seq"]
    got = site.exchange(old)
    assert (got.status, got.body) == (expected.status, expected.body)
    assert [h for h in got.headers if h[0] != "Date"] == [h for h in expected.headers if h[0] != "Date"]
    assert Database(site.server).state()["last_seq"] == before
    site.backend.answer = lambda request: reply({"ok": True})
    site.passes(old, where="/rotating/token")


UNREADABLE = {
    "gzip": reply(gzip.compress(b'{"refresh_token":"new-token"}'), "200 OK", "Content-Type: application/json",
                  "Content-Encoding: gzip"),
    "JSON that is encoded": reply(b'{"access_token":"new-token"}', "200 OK", "Content-Encoding: x-own"),
    "256 KiB and one more": reply(b'{"refresh_token":"new-token","x":"' + b"y" * (LARGE - 35) + b'"}'),
    "no JSON": reply(b"access_token=a&refresh_token=new-token", "200 OK", "Content-Type: application/x-www-form-urlencoded"),
    "an array": reply(b'[{"refresh_token":"new-token"}]'),
    "a member twice": reply(b'{"refresh_token":"x","refresh_token":"new-token"}'),
    "no string": reply(b'{"refresh_token":["new-token"]}'),
    "a page": reply(b"<p>new-token</p>", "200 OK", "Content-Type: text/html"),
    "half of it": reply(b'{"refresh_token":"new-token"'),
    "a part": reply(b'"new-token"}', "206 Part", "Content-Range: bytes 1-12/13"),
    "endless": reply(b"", "200 OK", "Content-Type: application/json", "Transfer-Encoding: chunked", length=False)
    + b"10000\r\n" + b" " * 65536 + b"\r\n",
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_an_answer_that_cannot_be_understood_is_withheld(site, what):
    site.expect_log("TR047: |AH01110")

    def answer(request):
        yield UNREADABLE[what].replace(b"\r\n\r\n", b"\r\nSet-Cookie: rt=new-token\r\nX-Secret: new-token\r\n\r\n", 1)
        if what == "endless":
            for _ in range(8):
                yield b"10000\r\n" + b" " * 65536 + b"\r\n"
            yield None  # only then: httpd keeps the connection of a whole answer, and may use it before it hears of its end

    site.backend.answer = answer
    with site.connect() as c:
        r = site.exchange("r-x", c=c)
        is_refusal(r, 502, "server_error")
        assert b"new-token" not in r.body and "new-token" not in str(r.headers)
    site.wait_log("TR047: |withheld: ")
    site.backend.answer = lambda request: reply({"ok": True})
    site.passes("r-x", where="/rotating/token")


def test_an_answer_that_is_cut_off_is_withheld(site):
    """The back end closes the connection too early."""
    site.expect_log("TR047: |AH01110|AH01102|AH00898")
    parts = {"length": reply(b'{"refresh_token":"new-token"}').replace(b"Length: 29", b"Length: 30"),
             "chunks": reply(b"", "200 OK", "Transfer-Encoding: chunked", length=False)
             + b'1d\r\n{"refresh_token":"new-token"}\r\n'}
    for what, part in parts.items():
        site.backend.answer = lambda request, part=part: (piece for piece in (part, None))
        r = site.exchange("r-cut")
        assert r.status == 502 and b"new-token" not in r.body, (what, r, r.body)
    site.backend.answer = lambda request: None
    assert site.exchange("r-cut").status == 502
    site.backend.answer = lambda request: reply({"ok": True})
    site.passes("r-cut", where="/rotating/token")


def test_a_slow_answer_is_held_back_until_it_is_whole(site):
    site.expect_log("TR045: ")
    go = threading.Event()

    def answer(request):
        whole = grants("a", f"slow-{next(serial)}")
        yield whole[:-5]
        assert go.wait(20)
        yield whole[-5:]

    site.backend.answer = answer
    with site.connect() as c:
        c.sock.settimeout(0.5)
        c.send("POST", "/rotating/token", FORM, body="grant_type=refresh_token&refresh_token=slow")
        with pytest.raises(TimeoutError):
            c.receive()
        assert c.buffer == b""
        c.sock.settimeout(20)
        go.set()
        assert c.receive().status == 200
    site.is_refused("slow")


def test_encodings_and_ranges_are_not_asked_for_and_filters_of_ours_go_on(site, mint):
    """mod_deflate on the way, in both directions."""
    site.expect_log("TR045: ")
    site.backend.answer = Issuer(mint)
    for where in ("/rotating/token", "/deflating/token"):
        old = f"plain-{next(serial)}"
        r = site.exchange(old, "Accept-Encoding: gzip", "Range: bytes=0-3", "If-Range: x", where=where)
        kept = site.backend.only()
        assert not any(kept.all(name) for name in ("Accept-Encoding", "Range", "If-Range"))
        assert r.status == 200 and r["Content-Encoding"] is None and "refresh_token" in r.json()
        site.is_refused(old)
    old = f"packed-{next(serial)}"
    packed = gzip.compress(json.dumps({"refresh_token": f"p-{next(serial)}"}).encode())
    site.backend.answer = lambda request: reply(packed, "200 OK", "Content-Encoding: gzip")
    r = site.exchange(old, where="/inflating/token")
    assert r.status == 200 and "refresh_token" in r.json()
    site.is_refused(old)


def test_pages_of_ours_for_errors_behind_are_no_answers_of_the_token_endpoint(site):
    """ProxyErrorOverride"""
    site.backend.answer = lambda request: reply(b"secret of the back end", "502 No")
    r = site.exchange("some-token", where="/own/token")
    assert (r.status, r.body) == (502, b"<p>our own page</p>")
    site.backend.answer = lambda request: reply({"ok": True})
    site.passes("some-token", where="/rotating/token")


@pytest.mark.parametrize("body", ["refresh_token=a&refresh_token=b", "refresh_token=a+b", "refresh_token=a%20",
                                  "refresh_token=a;b", "refresh_token=a%00b", "refresh_token=a&refresh.token=b"])
def test_a_token_that_two_servers_read_in_two_ways_is_not_exchanged(site, body):
    """RFC 6749 3.2: nobody could tell which one to revoke."""
    site.backend.take()
    r = site.get("/rotating/token", FORM, method="POST", body="grant_type=refresh_token&" + body)
    is_refusal(r, 400, "invalid_request")
    assert site.backend.take() == []


# ---- reuse -------------------------------------------------------------------------------------------------------------

@KINDS
@pytest.mark.parametrize("shown", [0, 1, 3])
def test_reuse_ends_the_family(site, mint, kind, shown):
    """SBCP-03: all refresh tokens of the chain, and the access tokens that it brought."""
    site.expect_log("TR045: ")
    issuer = Issuer(mint, kind)
    tokens, accesses = chain(site, issuer, 4)
    others, other_accesses = chain(site, issuer, 2)
    assert {verdict(site, a) for a in accesses + other_accesses} == {"accepted"}
    site.is_refused(tokens[shown])
    site.wait_log(r"\[tokrevoke:warn\].* TR045: refresh token [0-9a-f]{16} was shown again")
    for token in tokens:
        site.is_refused(token)
    assert {verdict(site, a) for a in accesses} == {"revoked"}
    assert {verdict(site, a) for a in other_accesses} == {"accepted"}
    site.backend.answer = issuer
    site.passes(others[-1], where="/rotating/token")
    seq = Database(site.server).state()["last_seq"]
    for _ in range(5):
        site.is_refused(tokens[shown])
    assert Database(site.server).state()["last_seq"] == seq, "shown again and again it stores nothing"


def test_reuse_of_a_jwt_ends_its_session(site, mint):
    """Also the access tokens that the chain did not bring. A later login works at once."""
    site.expect_log("TR045: ")
    sid = f"reused-{next(serial)}"
    outside, other = mint(sid=sid), mint(sid=sid + "x")
    tokens, _ = chain(site, Issuer(mint, "JWT", sid=sid), 2)
    assert verdict(site, outside) == "accepted"
    site.is_refused(tokens[0])
    assert verdict(site, outside) == "revoked" and verdict(site, other) == "accepted"
    assert verdict(site, mint(sid=sid, iat=int(time.time()) + 2)) == "accepted"


def test_a_token_that_was_revoked_elsewhere_ends_its_family_when_it_is_shown(site, mint):
    site.expect_log("TR045: ")
    for kind, revoke in (("opaque", site.revoke_opaque), ("JWT", site.revoke)):
        issuer = Issuer(mint, kind)
        tokens, accesses = chain(site, issuer, 2)
        revoke(tokens[-1])
        assert {verdict(site, a) for a in accesses} == {"accepted"}
        site.is_refused(tokens[-1])
        assert {verdict(site, a) for a in accesses} == {"revoked"}


def test_a_forged_token_ends_nothing(site, mint, keys):
    """Who knows a jti or a sid has no power over the session."""
    sid, jti = f"victim-{next(serial)}", f"victim-jti-{next(serial)}"
    mine = mint(sid=sid)
    victim = mint(token_use="refresh", sid=sid, jti=jti)
    assert site.revoke(victim).status == 200
    for forged in (mint(token_use="refresh", sid=sid, jti=jti, key=keys.other["p256"]), victim.rpartition(".")[0] + ".AAAA"):
        site.is_refused(forged)
    assert verdict(site, mine) == "accepted"
    site.expect_log("TR045: ")
    site.is_refused(victim)
    assert verdict(site, mine) == "revoked"


def test_another_spelling_of_the_signature_neither_exchanges_twice_nor_leaves_the_family(site, mint):
    from test_guard import other_bits
    site.expect_log("TR045: ")
    issuer = Issuer(mint, "JWT")
    site.backend.answer = issuer
    first = issuer.first()
    second = site.exchange(other_bits(first)).json()["refresh_token"]
    third = site.exchange(second).json()["refresh_token"]
    site.is_refused(first)
    site.is_refused(third)


@KINDS
def test_of_two_simultaneous_exchanges_no_two_chains_live(site, mint, kind):
    """Whoever comes second shows a token that was exchanged: both lose what they got."""
    site.expect_log("TR045: ")
    issuer = Issuer(mint, kind)
    rounds = 12
    for _ in range(rounds):
        both = threading.Barrier(2)

        def answer(request):
            both.wait(20)
            return issuer(request)

        site.backend.answer = answer
        old, got = issuer.first(), []
        askers = [threading.Thread(target=lambda: got.append(site.exchange(old))) for _ in range(2)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join(30)
        assert sorted(r.status for r in got) == [200, 400], got
        is_refusal(next(r for r in got if r.status == 400))
        issuer_given = issuer.given[-2:]
        for access, refresh in issuer_given:
            site.is_refused(refresh)
            assert verdict(site, access) == "revoked"


def test_many_exchanges_of_one_token_leave_no_living_chain(site, mint):
    site.expect_log("TR045: ")
    issuer = Issuer(mint)
    site.backend.answer = issuer
    old, got = issuer.first(), []
    askers = [threading.Thread(target=lambda: got.append(site.exchange(old))) for _ in range(16)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(30)
    assert sorted(r.status for r in got) == [200] + [400] * 15
    given = list(issuer.given)
    for access, refresh in given:
        site.is_refused(refresh)
        assert verdict(site, access) == "revoked"


def test_logging_out_everywhere_while_an_exchange_is_under_way_ends_what_it_brings(site, mint):
    """Its tokens were issued after the cut-off."""
    me = f"leaving-{next(serial)}"
    go, came = threading.Event(), threading.Event()
    late = int(time.time()) + 2
    access, refresh = mint(sub=me, iat=late), mint(sub=me, iat=late, token_use="refresh")

    def answer(request):
        came.set()
        assert go.wait(20)
        return grants(access, refresh)

    site.backend.answer = answer
    got = []
    asker = threading.Thread(target=lambda: got.append(site.exchange(mint(sub=me, token_use="refresh"))))
    asker.start()
    assert came.wait(20)
    site.revoke_kind("subject", me)
    go.set()
    asker.join(30)
    is_refusal(got[0])
    site.is_refused(refresh)
    assert verdict(site, access) == "revoked"


# ---- faults --------------------------------------------------------------------------------------------------------------

@KINDS
def test_when_an_exchange_cannot_be_stored_its_answer_is_withheld(own_site, mint, kind):
    """R7009-23: and nothing of it reaches the client."""
    site = own_site("TokRevokeMaxStaleness unlimited\n")
    db = Database(site.server)
    issuer = Issuer(mint, kind)
    tokens, accesses = chain(site, issuer, 2)
    site.expect_log("TR025: |TR023: |TR045: ", always=True)
    db.path.rename(db.path.with_name("aside"))
    r = site.exchange(tokens[-1])
    is_refusal(r, 503, "temporarily_unavailable")
    access, refresh = issuer.given[-1]
    for secret in (access, refresh):
        assert secret.encode() not in r.body and secret not in str(r.headers)
    site.backend.take()
    is_refusal(site.exchange(tokens[-1]), 503, "temporarily_unavailable")
    assert site.backend.take() == []
    db.path.with_name("aside").rename(db.path)
    until(lambda: site.exchange(tokens[-1]).status == 400)
    site.is_refused(refresh)
    assert {verdict(site, a) for a in accesses} == {"revoked"}
    until(lambda: db.is_whole() and db.rows("kind = 'family'"))
    assert site.exchange(issuer.first()).status == 200


def test_a_full_table_withholds_answers(own_site, mint):
    site = own_site(capacity=10)
    site.expect_log("TR002: |TR016: ", always=True)
    site.backend.answer = Issuer(mint)
    statuses = [site.exchange(f"full-{i}").status for i in range(4000)]
    assert set(statuses) == {200, 503}
    is_refusal(site.exchange("one-more"), 503, "temporarily_unavailable")


@KINDS
def test_chains_are_remembered_after_kill_9_and_restart(own_site, mint, kind):
    site = own_site()
    site.expect_log("TR045: ", always=True)
    issuer = Issuer(mint, kind)
    living, living_accesses = chain(site, issuer, 2)
    ended, ended_accesses = chain(site, issuer, 3)
    site.is_refused(ended[1])
    site.kill()
    site.again()
    for token in ended:
        site.is_refused(token)
    assert {verdict(site, a) for a in ended_accesses} == {"revoked"}
    site.backend.answer = issuer
    r = site.exchange(living[-1])
    assert r.status == 200
    newest = r.json()["refresh_token"]
    site.is_refused(living[0])
    site.is_refused(newest)
    assert {verdict(site, a) for a in living_accesses} == {"revoked"}


def test_without_a_database_rotation_works_in_memory(own_site, mint):
    site = own_site("TokRevokeDatabase none\n")
    site.expect_log("TR045: ")
    tokens, accesses = chain(site, Issuer(mint), 3)
    site.is_refused(tokens[0])
    site.is_refused(tokens[-1])
    assert {verdict(site, a) for a in accesses} == {"revoked"}
