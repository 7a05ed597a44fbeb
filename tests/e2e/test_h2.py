"""What HTTP/2 has of its own: requests beside each other on one connection, crumbs of cookies, trailers, streams that break off."""

import concurrent.futures
import json
import random

import pytest

from httpd import ALIAS, H2, endpoint, protected
from issuers import issuer, jwks, write_keys
from storing import FORM, PAGE

pytestmark = pytest.mark.skipif(not H2, reason="of HTTP/2 alone")


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    write_keys(server, keys)
    return server.start(issuer("https://idp.test/", jwks("all")) + ALIAS
                        + protected("app", "TokRevokeTokenFrom header cookie=session", "TokRevokeStripToken On")
                        + endpoint("/revoke") + endpoint("/logout", "TokRevokeTokenFrom header cookie=session", handler="tokrevoke-logout"))


def bearer(token):
    return "Authorization: Bearer " + token


def test_the_answers_really_come_over_http_2(site):
    site.get(PAGE, "X-Mark: proof-of-h2")
    assert '"GET /p/app/ok.txt HTTP/2.0"' in site.access_line("proof-of-h2")


def test_requests_beside_each_other_on_one_connection_keep_their_own_identity(site, mint):
    """Of 84 users, every third revoked, every fourth expired, some anonymous; in any order, again and again."""
    people = []
    for i in range(84):
        token = mint(sub=f"user-{i}", **({"exp": 1000} if i % 4 == 1 else {}))
        verdict = (401, "expired", None) if i % 4 == 1 else (200, None, f"user-{i}")
        if i % 3 == 0 and verdict[0] == 200:
            assert site.revoke(token).status == 200
            verdict = (401, "revoked", None)
        people.append((bearer(token) if i % 2 else "Cookie: session=" + token, verdict))
    people += [("X-None: 1", (401, "no_token", None))] * 8
    with site.connect() as c:
        for _ in range(5):
            random.shuffle(people)
            for header, _ in people:
                c.send("GET", PAGE, header)
            seen = [c.receive() for _ in people]
            assert [(r.status, r.reason, r.user) for r in seen] == [verdict for _, verdict in people]


def test_what_is_asked_after_the_answer_is_refused_on_the_same_connection(site, mint):
    """A 200 is a promise to the connection's other streams too, however many are on their way."""
    with site.connect() as c:
        for _ in range(60):
            token = mint()
            for _ in range(8):
                c.send("GET", PAGE, bearer(token))
            c.send("POST", "/revoke", FORM, body="token=" + token)
            before = [c.receive() for _ in range(8)]
            assert {(r.status, r.reason) for r in before} <= {(200, None), (401, "revoked")}
            assert c.receive().status == 200
            for _ in range(8):
                c.send("GET", PAGE, bearer(token))
            assert {(r.status, r.reason) for r in (c.receive() for _ in range(8))} == {(401, "revoked")}


def test_many_streams_that_revoke_at_the_same_time_are_all_kept(site, mint):
    tokens = [[mint() for _ in range(40)] for _ in range(4)]

    def work(mine):
        with site.connect() as c:
            for token in mine:
                c.send("POST", "/revoke", FORM, body="token=" + token)
            assert {c.receive().status for _ in mine} == {200}

    with concurrent.futures.ThreadPoolExecutor(len(tokens)) as pool:
        list(pool.map(work, tokens))
    with site.connect() as c:
        for token in sum(tokens, []):
            c.send("GET", PAGE, bearer(token))
        assert {c.receive().reason for _ in range(160)} == {"revoked"}


def test_a_cookie_in_crumbs_is_one_cookie_field(site, mint):
    """RFC 9113 section 8.2.3: the crumbs are put together, so a token in any of them counts."""
    token = mint(sub="crumbs")
    for crumbs in (("a=1", f"session={token}"), (f"session={token}", "a=1"), ("a=1", f"session={token}", "b=2")):
        r = site.get(PAGE, *("Cookie: " + c for c in crumbs))
        assert (r.status, r.user) == (200, "crumbs")
    assert site.revoke(token).status == 200
    r = site.get(PAGE, "Cookie: a=1", f"Cookie: session={token}")
    assert (r.status, r.reason) == (401, "revoked")


def test_a_token_in_trailers_is_no_token(site, mint):
    """They come when the decision has been made; a handler may be handed them, we never look."""
    token = mint()
    chunked = f"POST {PAGE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n%s\r\n5\r\nhello\r\n0\r\n{bearer(token)}\r\n\r\n"
    with site.connect() as c:
        c.send_raw((chunked % "").encode())
        assert (r := c.receive()).status == 401 and r.reason == "no_token"
        c.send_raw((chunked % (bearer(mint(exp=1000)) + "\r\n")).encode())
        assert (r := c.receive()).status == 401 and r.reason == "expired"
        c.send("GET", PAGE, bearer(token))
        assert c.receive().status == 200


def test_trailers_after_the_body_do_not_change_what_is_revoked(site, mint):
    token, other = mint(), mint()
    with site.connect() as c:
        body = "token=" + token
        c.send_raw((f"POST /revoke HTTP/1.1\r\nHost: x\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n"
                    f"{bearer(other)}\r\nContent-Type: application/json\r\n\r\n").encode())
        assert c.receive().status == 200
    assert site.bearer(PAGE, token).reason == "revoked"
    assert site.bearer(PAGE, other).status == 200


@pytest.mark.parametrize("path", ["/revoke", "/logout"])
def test_a_stream_that_breaks_off_revokes_nothing_and_harms_no_other(site, mint, path):
    """The body has the whole token and lacks its end; the connection goes on."""
    kept = [mint() for _ in range(10)]
    with site.connect() as c:
        for token in kept:
            c.send_raw(f"POST {path} HTTP/1.1\r\nHost: x\r\n{FORM}\r\nContent-Length: 5000\r\n\r\ntoken={token}".encode())
            c.break_off()
            with pytest.raises(ConnectionResetError):
                c.receive()
            assert c.request("GET", PAGE, bearer(token)).status == 200
        done = mint()
        assert c.request("POST", "/revoke", "Content-Type: application/json", body=json.dumps({"token": done})).status == 200
        assert c.request("GET", PAGE, bearer(done)).reason == "revoked"
        for token in kept:
            assert c.request("GET", PAGE, bearer(token)).status == 200


def test_a_body_whose_length_is_a_lie_revokes_nothing(site, mint):
    """RFC 9113 section 8.1.1: less DATA than Content-Length says is malformed; nobody is told that it worked."""
    token = mint()
    with site.connect() as c:
        c.send_raw(f"POST /revoke HTTP/1.1\r\nHost: x\r\n{FORM}\r\nContent-Length: 5000\r\n\r\ntoken={token}".encode())
        c.h2.end_stream(c.stream.id)
        c.stream = None
        c.flush()
        try:
            assert c.receive().status >= 400
        except ConnectionResetError:
            pass
    assert site.bearer(PAGE, token).status == 200
