"""TokRevokeGuardTokenEndpoint: a revoked refresh token never reaches the token endpoint, and all else passes as it is."""

import gzip
import itertools
import json
import time
import urllib.parse

import pytest

from backend import Backend, reply
from database import Database
from guarding import GUARD, Site, is_refusal, location, own_site
from httpd import H2, endpoint
from storing import BASIC, FORM, JSON, EveryChild, until, write_users

KIB64 = 65536
serial = itertools.count()


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    server.extra_modules = ("deflate", "filter")
    made = Site(server, keys,
                "ProxyPass /inflating/ {to}\n", location("/inflating/", GUARD, "SetInputFilter DEFLATE"),
                "ProxyPass /crossing/ {to}\n", location("/crossing/", GUARD, "TokRevokeAllowOrigin https://spa.test"),
                "ProxyPass /closed/ {to}\n", location("/closed/", GUARD, "Require all denied"),
                "ProxyPass /off/ {to}\n", location("/off/", GUARD), location("/off/never/", "TokRevokeGuardTokenEndpoint Off"))
    yield made
    made.close()


# ---- what passes ---------------------------------------------------------------------------------------------------

def chunks(body, *sizes):
    out, rest = b"", body
    for size in (*sizes, len(body)):
        piece, rest = rest[:size], rest[size:]
        out += b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b""
    return out + b"0\r\n\r\n"


CHUNKED = "Transfer-Encoding: chunked"
REFRESH = b"grant_type=refresh_token&refresh_token=alive&scope=a+b%20c"
EVERY_BYTE = bytes(range(256)) * 3
PART = b'--x\r\nContent-Disposition: form-data; name="grant_type"\r\n\r\npassword\r\n--x--\r\n'
PASSING = {  # method, target, headers, body, is it sent in chunks?
    "a refresh token that lives": ("POST", "", (FORM,), REFRESH, False),
    "the same in chunks": ("POST", "", (FORM, CHUNKED), REFRESH, True),
    "in odd spelling": ("POST", "?a=%zz;b", (FORM,), b"&&grant_type=refresh_token;refresh.token=%61live%&=&&", False),
    "another grant": ("POST", "", (FORM,), b"grant_type=authorization_code&code=c&redirect_uri=https%3A%2F%2Fa", False),
    "client credentials": ("POST", "", (FORM, "Authorization: Basic Yzpz"), b"grant_type=client_credentials", False),
    "a query": ("GET", "?grant_type=refresh_token&refresh_token=alive&x=%41%00b", (), None, False),
    "a query and a body": ("POST", "?grant_type=refresh_token", (FORM,), b"refresh_token=alive", False),
    "no body": ("POST", "", (), None, False),
    "an empty body": ("POST", "", (FORM, "Content-Length: 0"), None, False),
    "an empty body in chunks": ("POST", "", (FORM, CHUNKED), b"", True),
    "a form without a type": ("POST", "", (), REFRESH, False),
    "every byte as a form": ("POST", "", (FORM,), EVERY_BYTE, False),
    "every byte without a type": ("POST", "", (), EVERY_BYTE, False),
    "every byte as something else": ("POST", "", ("Content-Type: application/octet-stream",), EVERY_BYTE, False),
    "every byte in chunks": ("PUT", "", ("Content-Type: image/png", CHUNKED), EVERY_BYTE, True),
    "JSON": ("POST", "", (JSON,), b' {"grant_type": "refresh_token",\r\n"refresh_token":"alive", "n": 1e999} ', False),
    "JSON in chunks": ("PATCH", "", (JSON, CHUNKED), b'{"a":[1,2,{"b":null}]}', True),
    "broken JSON as text": ("POST", "", ("Content-Type: text/plain",), b'{"refresh_token":', False),
    "multipart": ("POST", "", ("Content-Type: multipart/form-data; boundary=x",), PART, False),
    "text with what would be revoked elsewhere": ("POST", "", ("Content-Type: text/plain; charset=utf-16",), REFRESH, False),
    "gzip of something else": ("POST", "", ("Content-Type: application/octet-stream", "Content-Encoding: gzip"),
                               gzip.compress(REFRESH), False),
    "an encoding that is none": ("POST", "", (FORM, "Content-Encoding: identity"), REFRESH, False),
    "64 KiB of a form": ("POST", "", (FORM,), b"a=" + b"x" * (KIB64 - 2), False),
    "64 KiB of a form in chunks": ("POST", "", (FORM, CHUNKED), b"a=" + b"x" * (KIB64 - 2), True),
    "64 KiB of something else and one more": ("POST", "", ("Content-Type: text/plain",), b"x" * (KIB64 + 1), False),
    "a large upload": ("PUT", "", ("Content-Type: video/mp4",), EVERY_BYTE * 2000, False),
    "a large upload in chunks": ("PUT", "", ("Content-Type: video/mp4", CHUNKED), EVERY_BYTE * 2000, True),
    "HEAD": ("HEAD", "?x", (), None, False),
    "OPTIONS": ("OPTIONS", "", ("Origin: https://a.test", "Access-Control-Request-Method: POST"), None, False),
    "DELETE with a body": ("DELETE", "", (FORM,), b"x=y", False),
    "GET with a body": ("GET", "", (FORM,), REFRESH, False),
    "fields of all kinds": ("POST", "", (FORM, "Accept-Encoding: gzip, br", "Range: bytes=0-1", "X-Odd: a,  b;\tc",
                                         "Cookie: a=b; c=d", "DPoP: x.y.z", "Content-Language: de"), REFRESH, False),
    "an odd method": ("X-REFRESH", "", (FORM,), REFRESH, False),
}
FRAMING = ("content-length", "transfer-encoding")


def without(headers, names):
    return [h for h in headers if h[0].lower() not in names]


def send(site, prefix, method, target, headers, body, chunked):
    with site.connect() as c:
        if chunked:
            c.send(method, prefix + "token" + target, *headers)
            c.send_raw(chunks(body, 1, 10, 100))
        else:
            c.send(method, prefix + "token" + target, *headers, body=body)
        return c.receive(method)


@pytest.mark.parametrize("prefix", ["/guarded/", "/rotating/"])
@pytest.mark.parametrize("what", PASSING)
def test_what_is_not_refused_passes_byte_for_byte(site, what, prefix):
    """R7009-19: beside the same request to the same place with no guard before it."""
    said = b'{"a": [1,2],  "b":"\xc3\xa4"}\n'
    site.backend.answer = lambda request: reply(said, "200 OK", "Content-Type: application/json;charset=UTF-8", "X-Odd: a,  b",
                                                "Set-Cookie: a=b; Path=/", "Set-Cookie: c=d")
    expected = send(site, "/plain/", *PASSING[what])
    before = site.backend.only()
    got = send(site, prefix, *PASSING[what])
    after = site.backend.only()
    assert (after.method, after.target, after.version) == (before.method, before.target, before.version)
    assert after.body == before.body == (PASSING[what][3] or b"")
    removed = ("accept-encoding", "range") if prefix == "/rotating/" and b"alive" in (PASSING[what][3] or b"") else ()
    assert without(after.headers, FRAMING) == without(before.headers, FRAMING + removed)
    if removed and expected.status == 206:
        assert (got.status, got.body) == (200, said)
        return
    assert (got.status, got.body) == (expected.status, expected.body)
    assert without(got.headers, ("date",)) == without(expected.headers, ("date",))


@pytest.mark.parametrize("kind", [FORM, JSON, None])
def test_a_client_that_waits_for_100_continue_gets_it_once(site, kind):
    site.backend.answer = lambda request: reply({"ok": True})
    for prefix in ("/guarded/", "/rotating/"):
        site.backend.take()
        body = b'{"a":1}' if kind == JSON else REFRESH
        with site.connect() as c:
            c.send("POST", prefix + "token", *filter(None, (kind,)), "Expect: 100-continue", f"Content-Length: {len(body)}")
            assert c.receive(interim=True).status == 100
            c.send_raw(body)
            r = c.receive(interim=True)
            assert r.status == 200 and c.buffer == b""
        assert site.backend.only().body == body


@pytest.mark.parametrize("how", ["length", "chunks"])
@pytest.mark.parametrize("prefix", ["/guarded/", "/rotating/"])
def test_other_bodies_stream_before_they_have_ended(site, prefix, how):
    """The back end has the first half while the client has not sent the second."""
    site.backend.answer = lambda request: reply({"length": len(request.body)})
    half = b"x" * 200_000
    with site.connect() as c:
        length = f"Content-Length: {2 * len(half)}" if how == "length" else CHUNKED
        c.send("POST", prefix + "upload?a=b", "Content-Type: application/octet-stream", length)
        c.send_raw(half if how == "length" else chunks(half)[:-5])
        # What is less than one of mod_proxy's buffers it keeps to itself for the moment.
        site.backend.wait(lambda b: b.kept and len(b.kept[0].body) > len(half) - 70_000)
        assert not site.backend.kept[0].is_whole
        c.send_raw(half if how == "length" else chunks(half))
        assert c.receive().json() == {"length": 2 * len(half)}
    assert site.backend.only().body == 2 * half


@pytest.mark.parametrize("request_", ["POST other", "GET", "code grant"])
@pytest.mark.parametrize("prefix", ["/guarded/", "/rotating/"])
def test_answers_stream_before_they_have_ended(site, prefix, request_):
    goes_on = site.backend.changed
    state = {"first": False}

    def answer(request):
        yield reply(b"", "200 OK", "Content-Type: application/json", CHUNKED, length=False) + b"5\r\nfirst\r\n"
        with goes_on:
            assert goes_on.wait_for(lambda: state["first"], 20)
        yield b"6\r\nsecond\r\n0\r\n\r\n"

    site.backend.answer = answer
    with site.connect() as c:
        if request_ == "POST other":
            c.send("POST", prefix + "x", "Content-Type: text/plain", body=b"x")
        elif request_ == "GET":
            c.send("GET", prefix + "x")
        else:
            c.send("POST", prefix + "x", FORM, body=b"grant_type=authorization_code&code=x&refresh_token=y")
        assert b"first" in c.take_until(b"first") + b"first"
        with goes_on:
            state["first"] = True
            goes_on.notify_all()
        assert c.take_until(b"second") is not None
    site.backend.take()


def test_a_connection_that_is_kept_alive_is_guarded_at_every_request(site):
    """Also where the client does not wait for answers. httpd itself ends a connection with each 400."""
    site.backend.answer = lambda request: reply({"target": request.target})
    site.revoke_opaque("dead")
    site.backend.take()
    body = "grant_type=refresh_token&refresh_token="
    with site.connect() as c:
        for i in range(3):
            assert c.request("POST", f"/guarded/{i}", FORM, body=body + "alive").json() == {"target": f"/as/{i}"}
        for i in range(3, 7):
            c.send("POST", f"/guarded/{i}", FORM, body=body + ("dead" if i == 6 else "alive"))
        for i in range(3, 6):
            assert c.receive().json() == {"target": f"/as/{i}"}
        is_refusal(c.receive())
    assert sorted(k.target for k in site.backend.take()) == [f"/as/{i}" for i in range(6)]


@pytest.mark.h1("HTTP/1.0")
def test_http_1_0_is_guarded_too(site):
    site.backend.answer = lambda request: reply({"ok": True})
    site.revoke_opaque("dead")
    site.backend.take()
    for token, status in (("alive", 200), ("dead", 400)):
        with site.connect() as c:
            body = f"grant_type=refresh_token&refresh_token={token}"
            c.send_raw(f"POST /guarded/token HTTP/1.0\r\n{FORM}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            assert c.receive().status == status
            assert c.ended()
    assert [k.body for k in site.backend.take()] == [b"grant_type=refresh_token&refresh_token=alive"]


def test_what_other_conditions_forbid_is_none_of_the_guards_business(site):
    site.backend.take()
    site.expect_log("AH01630")
    assert site.exchange("whatever", where="/closed/token").status == 403
    assert site.backend.take() == []


def test_only_where_it_is_on_tokens_are_looked_at(site):
    site.revoke_opaque("dead")
    site.passes("dead", where="/plain/token")
    site.passes("dead", where="/off/never/token")
    site.is_refused("dead", where="/off/token")


# ---- what is too large, or can be read in two ways -------------------------------------------------------------------

@pytest.mark.parametrize("kind", [FORM, JSON, "Content-Type: multipart/form-data; boundary=x", None])
@pytest.mark.parametrize("how", ["length", "chunks"])
def test_one_byte_more_than_64_kib_is_refused(site, how, kind):
    site.backend.take()
    body = b"x" * (KIB64 + 1)
    with site.connect() as c:
        if how == "length":
            c.send("POST", "/guarded/token", *filter(None, (kind,)), body=body)
        else:
            c.send("POST", "/guarded/token", *filter(None, (kind,)), CHUNKED)
            c.send_raw(chunks(body, 1000, 2000))
        is_refusal(c.receive(), 413, "invalid_request")
        assert H2 or c.ended()
    assert site.backend.take() == []


DOUBTFUL = {
    "gzip of a form": (FORM, "Content-Encoding: gzip", gzip.compress(REFRESH), 415),
    "an unknown encoding": (FORM, "Content-Encoding: x-rot13", REFRESH, 415),
    "gzip of JSON": (JSON, "Content-Encoding: gzip", gzip.compress(b"{}"), 415),
    "a charset with two bytes": (FORM + "; charset=utf-16", "", REFRESH.decode().encode("utf-16"), 415),
    "EBCDIC": (FORM + "; charset=IBM037", "", REFRESH.decode().encode("cp037"), 415),
    "two charsets": (FORM + "; charset=utf-8; charset=utf-7", "", REFRESH, 415),
    "two types": ("Content-Type: application/json, application/x-www-form-urlencoded", "", b"{}", 415),
    "a type twice": (JSON, FORM, b"{}", 415),
    "broken JSON": (JSON, "", b'{"refresh_token":"a"', 400),
    "JSON with a member twice": (JSON, "", b'{"refresh_token":"alive","refresh_token":"dead"}', 400),
    "a JSON array": (JSON, "", b'[{"grant_type":"refresh_token","refresh_token":"dead"}]', 400),
    "JSON in another charset": (JSON, "", b'{"refresh_token":"dead"}'.decode().encode("utf-16"), 400),
    "a JSON token that is no string": (JSON, "", b'{"grant_type":"refresh_token","refresh_token":5}', 400),
    "multipart with a refresh token": ("Content-Type: multipart/form-data; boundary=x", "",
                                       PART.replace(b"password", b"refresh_token"), 400),
    "multipart in base64": ("Content-Type: multipart/form-data; boundary=x", "",
                            PART.replace(b'"\r\n\r\n', b'"\r\nContent-Transfer-Encoding: base64\r\n\r\n'), 400),
    "too many refresh tokens": (FORM, "", b"&".join(b"refresh_token=%d" % i for i in range(20)), 400),
}


@pytest.mark.parametrize("what", DOUBTFUL)
def test_what_can_be_read_in_two_ways_goes_no_further(site, what):
    kind, more, body, status = DOUBTFUL[what]
    site.backend.take()
    is_refusal(site.get("/guarded/token", kind, *filter(None, (more,)), method="POST", body=body), status, "invalid_request")
    assert site.backend.take() == []


def test_behind_an_input_filter_the_decoded_body_counts_and_goes_on(site):
    site.revoke_opaque("dead")
    site.backend.take()
    body = REFRESH.replace(b"alive", b"dead")
    site.backend.answer = lambda request: reply({"ok": True})
    r = site.get("/inflating/token", FORM, "Content-Encoding: gzip", method="POST", body=gzip.compress(body))
    is_refusal(r)
    assert site.backend.take() == []
    r = site.get("/inflating/token", FORM, "Content-Encoding: gzip", method="POST", body=gzip.compress(REFRESH))
    assert r.status == 200
    kept = site.backend.only()
    assert kept.body == REFRESH and kept["Content-Encoding"] is None


# ---- what is refused ---------------------------------------------------------------------------------------------------

def form(*pairs):
    return urllib.parse.urlencode(pairs).encode()


def escaped(token):
    return b"".join(b"%%%02x" % c for c in token)


ENOUGH = b"grant_type=refresh_token&refresh_token="
MULTI = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n--x--\r\n'


def spell(token):
    """{what: (headers, query, body)} of requests that some server takes for a refresh with this token."""
    t = token.encode()
    spelled = {
        "plain": ENOUGH + t, "escaped": ENOUGH + escaped(t), "upper case escapes": ENOUGH + escaped(t).upper(),
        "the other order": b"refresh_token=" + t + b"&grant_type=refresh_token", "no grant type": b"refresh_token=" + t,
        "an empty grant type": b"grant_type=&refresh_token=" + t, "between others": b"a=b&" + ENOUGH + t + b"&c=d",
        "the second of two": b"grant_type=refresh_token&refresh_token=alive&refresh_token=" + t,
        "the first of two": ENOUGH + t + b"&refresh_token=alive",
        "the grant type twice": b"grant_type=authorization_code&" + ENOUGH + t,
        "a dot": b"grant_type=refresh_token&refresh.token=" + t, "a space": b"grant_type=refresh_token&refresh+token=" + t,
        "a bracket": b"grant_type=refresh_token&refresh[token=" + t, "an array": b"grant_type=refresh_token&refresh_token[]=" + t,
        "an escaped array": b"grant_type=refresh_token&refresh_token%5B0%5D=" + t,
        "leading blanks": b"grant_type=refresh_token&+%20refresh_token=" + t,
        "blanks around the value": ENOUGH + b"+%09" + t + b"%0d%0a", "capitals": b"Grant_Type=Refresh_Token&REFRESH_TOKEN=" + t,
        "a NUL in the name": b"grant_type=refresh_token&refresh_token%00x=" + t, "a NUL in the value": ENOUGH + t + b"%00x",
        "semicolons": b"grant_type=refresh_token;refresh_token=" + t + b";a=b",
        "an entity": b"grant_type=refresh_token&amp;refresh_token=" + t,
        "broken escapes around": b"%zz=%&%=&" + ENOUGH + t + b"&%",
        "an escaped name": b"grant_type=refresh_token&" + escaped(b"refresh_token") + b"=" + t,
        "unicode escapes": b"grant_type=refresh_token&refresh%u005ftoken=%u" + b"%04x" % t[0] + t[1:],
        "wide letters": b"grant_type=refresh_token&%uff52efresh_token=" + t,
        "a long s": "grant_type=refresh_token&refre\u017fh_token=".encode() + t,
        "after 60 KiB": b"x=" + b"y" * 60000 + b"&" + ENOUGH + t,
    }
    found = {what: ((FORM,), "", body) for what, body in spelled.items()}
    obj = json.dumps({"grant_type": "refresh_token", "refresh_token": token}).encode()
    unicode = "".join(f"\\u{ord(c):04x}" for c in token)
    found |= {
        "no type": ((), "", ENOUGH + t), "an empty type": (("Content-Type: ",), "", ENOUGH + t),
        "a type with a charset": ((FORM + '; charset="UTF-8"',), "", ENOUGH + t),
        "two types": (("Content-Type: application/x-www-form-urlencoded, text/plain",), "", ENOUGH + t),
        "a type in capitals": ((FORM.upper().replace("CONTENT-TYPE", "Content-Type"),), "", ENOUGH + t),
        "a type with something behind": ((FORM + "X",), "", ENOUGH + t),
        "the query": ((), "?" + (ENOUGH + t).decode(), None),
        "the query with a body": ((FORM,), "?" + (ENOUGH + t).decode(), b"a=b"),
        "the query beside text": (("Content-Type: text/plain",), "?" + (ENOUGH + t).decode(), b"a=b"),
        "one half in the query": ((FORM,), "?grant_type=refresh_token", b"refresh_token=" + t),
        "the other half in the query": ((FORM,), "?refresh_token=" + token, b"grant_type=refresh_token"),
        "JSON": ((JSON,), "", obj), "JSON of another type": (("Content-Type: application/vnd.api+json",), "", obj),
        "JSON escapes": ((JSON,), "", f'{{"grant_type":"refresh_token","refresh\\u005ftoken":"{unicode}"}}'.encode()),
        "JSON in capitals": ((JSON,), "", obj.replace(b"refresh_token\":", b"RefreshToken\":")),
        "JSON arrays": ((JSON,), "", json.dumps({"grant_type": ["refresh_token"], "refresh_token": [token]}).encode()),
        "JSON as a form": ((FORM,), "", obj), "JSON without a type": ((), "", b"\r\n " + obj),
        "JSON and the query": ((JSON,), "?grant_type=refresh_token", json.dumps({"refresh_token": token}).encode()),
        "text behind a query that names the grant": (("Content-Type: text/plain",), "?grant_type=refresh_token",
                                                     json.dumps({"refresh_token": token}).encode()),
        "bytes behind such a query": (("Content-Type: application/octet-stream",), "?grant_type=refresh_token", b"refresh_token=" + t),
        "a line end inside": ((FORM,), "", ENOUGH + t[:3] + b"%0A" + t[3:]), "a plain charset": ((FORM + "; charset=latin1",), "", ENOUGH + t),
        "chunks": ((FORM, CHUNKED), "", ENOUGH + t),
    }
    return found


MULTIPART = {
    "multipart": b"refresh_token", "folded": b"refresh.token", "escaped": b"refresh%5Ftoken",
    "with a backslash": b"refresh\\_token",
    "in capitals": b"Refresh_Token", "by RFC 8187": b"a\"; name*=\"utf-8''%72efresh_token",
}


@pytest.mark.parametrize("kind", ["opaque", "JWT"])
@pytest.mark.parametrize("prefix", ["/guarded/", "/rotating/"])
def test_a_revoked_token_reaches_the_back_end_in_no_spelling(site, mint, kind, prefix):
    """R7009-19: and until it is revoked, it does."""
    token = f"op-{next(serial)}.aqu~e" if kind == "opaque" else mint(token_use="refresh")
    requests = spell(token)
    ambiguous = set()
    for what, (headers, query, body) in requests.items():
        r = send(site, prefix, "POST", query, headers, body, CHUNKED in headers)
        kept = site.backend.take()
        if prefix == "/guarded/" or r.status == 200:
            assert r.status == 200 and len(kept) == 1, what
        else:
            ambiguous.add(what)
            is_refusal(r, 400, "invalid_request")
    assert (prefix == "/rotating/") == bool(ambiguous) and len(ambiguous) < 12, ambiguous
    if kind == "opaque":
        site.revoke_opaque(token)
    else:
        assert site.revoke(token).status == 200
    if prefix == "/rotating/":
        site.expect_log("TR045: ")
    for what, (headers, query, body) in requests.items():
        for method in ("POST", "GET", "PUT", "X-ODD"):
            r = send(site, prefix, method, query, headers, body, CHUNKED in headers)
            assert site.backend.take() == [], what
            is_refusal(r)
    for what, name in MULTIPART.items():
        r = send(site, prefix, "POST", "?grant_type=refresh_token", ("Content-Type: multipart/form-data; boundary=x",),
                 MULTI % (name, token.encode()), False)
        assert site.backend.take() == [], what
        is_refusal(r, 400, "invalid_request")


def other_bits(token):
    """The same signature with another last character: bits that a strict decoder refuses and others pass over."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) | 1]


@pytest.mark.parametrize("drop", [(), "jti"])
def test_no_spelling_of_its_signature_helps_a_revoked_jwt(site, mint, drop):
    """JWT-10"""
    token = mint(token_use="refresh", drop=drop, nonce=next(serial))
    head, _, mark = token.rpartition(".")
    spellings = [other_bits(token), token + "=", token + "==", token + "\n", head + "." + mark[:5] + "!" + mark[5:], head + ".",
                 head + ".AAAA", " " + token, token + "\t", token + ".", token + ".x..y"]
    for other in spellings:
        site.passes(other)
    assert site.revoke(token).status == 200
    for other in [token, *spellings]:
        site.is_refused(other, where="/guarded/token")


CUTS = {"session": "sid", "subject": "sub", "client": "client_id", "issuer": None}


@pytest.mark.parametrize("kind", CUTS)
def test_session_subject_client_and_issuer_reach_refresh_jwts(site, mint, kind):
    """R7009-19, GTR-05: and a later login works at once."""
    me = f"guard-{kind}-{next(serial)}"
    iss = "https://idp.test/"
    jwt = {"token_use": "refresh", "sid": me, "sub": me, "client_id": me}
    token, other = mint(**jwt), mint(token_use="refresh", sid="x", sub="x", client_id="x")
    offline = mint(drop="exp", **jwt)
    foreign = mint("HS512", kid="their-own", **jwt)
    for t in (token, offline, foreign, other):
        site.passes(t)
    if kind == "issuer":
        site.revoke_kind(kind)
    else:
        site.revoke_kind(kind, me, iss)
    for t in (token, offline, foreign, other_bits(token)):
        site.is_refused(t, where="/guarded/token")
        site.is_refused(t, where="/rotating/token")
    later = {**jwt, "iat": int(time.time()) + 2}
    site.passes(mint(**later))
    site.passes(mint(drop="exp", **later))
    if kind != "issuer":
        site.passes(other)


def test_a_revoked_token_is_refused_by_every_child_at_once(site, mint):
    """R7009-17"""
    with EveryChild(site.server) as children:
        for _ in range(10):
            jwt, opaque = mint(token_use="refresh"), f"op-{next(serial)}"
            assert site.revoke(jwt).status == 200
            site.revoke_opaque(opaque)
            for token in (jwt, opaque):
                for pid in children.children:
                    site.is_refused(token, where="/guarded/token", c=children.at.pop(pid))
                children.connect()


def test_a_refusal_is_counted_and_logged_without_the_token(site, mint):
    """SBCP-05"""
    token, opaque = mint(token_use="refresh", sub="careless"), "rt_0123456789abcdefghij"
    assert site.revoke(token).status == 200
    site.revoke_opaque(opaque)
    since = len(site.error_log())
    for t in (token, opaque):
        site.is_refused(t, where="/guarded/token")
    site.wait_log(r'\[tokrevoke:notice\].* a revoked token was presented: .*subject "careless".*revoked by token', since=since)
    site.wait_log(r"\[tokrevoke:notice\].* a revoked token was presented: .*revoked by opaque", since=since)
    assert token not in site.error_log() and opaque not in site.error_log()
    assert token not in site.access_log() and opaque not in site.access_log()
    mark = f"noted-{next(serial)}"
    is_refusal(site.exchange(token, "X-Mark: " + mark, where="/guarded/token"))
    assert " revoked " in site.access_line(mark)


def test_a_page_of_a_listed_origin_may_read_a_refusal(site):
    site.revoke_opaque("dead")
    r = site.exchange("dead", "Origin: https://spa.test", where="/crossing/token")
    is_refusal(r)
    assert r["Access-Control-Allow-Origin"] == "https://spa.test"
    assert site.exchange("dead", "Origin: https://evil.test", where="/crossing/token")["Access-Control-Allow-Origin"] is None


def test_where_the_list_cannot_be_known_refreshing_is_answered_503_and_all_else_passes(own_site, mint):
    site = own_site("TokRevokeMaxStaleness 2s\n")
    db = Database(site.server)
    jwt, dead = mint(token_use="refresh"), "dead"
    site.revoke_opaque(dead)
    site.passes(jwt)
    site.expect_log("TR023: ")
    db.path.rename(db.path.with_name("aside"))

    def status(token, where):
        r = site.exchange(token, where=where)
        assert r.status in (200, 503)
        return r.status

    until(lambda: status("alive", "/guarded/token") == 503)
    site.backend.take()
    for where in ("/guarded/token", "/rotating/token"):
        for token in ("alive", jwt, other_bits(jwt)):
            is_refusal(site.exchange(token, where=where), 503, "temporarily_unavailable")
    site.is_refused(dead, where="/guarded/token")
    assert site.backend.take() == []
    r = site.get("/guarded/token", FORM, method="POST", body="grant_type=authorization_code&code=x")
    assert r.status == 200 and site.backend.only().body == b"grant_type=authorization_code&code=x"
    db.path.with_name("aside").rename(db.path)
    until(lambda: status("alive", "/guarded/token") == 200)
    site.passes(jwt)


def test_a_guard_needs_no_issuer(new_server, keys):
    """Opaque tokens are named by themselves."""
    server, backend = new_server(), Backend()
    write_users(server, b"boss")
    server.start(f"ProxyPass /token http://127.0.0.1:{backend.port}/token\n" + location("/token", GUARD)
                 + endpoint("/opaque", "TokRevokeOpaque 2d", *BASIC))
    one = Site.__new__(Site)
    one.server, one.backend = server, backend
    one.passes("alive", where="/token")
    one.revoke_opaque("dead")
    one.is_refused("dead", where="/token")
    server.stop()
    backend.close()


def test_it_is_refused_after_kill_9_and_restart(own_site, mint):
    """Durable like every revocation."""
    site = own_site()
    jwt = mint(token_use="refresh")
    site.revoke_opaque("dead")
    assert site.revoke(jwt).status == 200
    site.kill()
    site.again()
    site.wait_until_up()
    for token in ("dead", jwt):
        site.is_refused(token, where="/guarded/token")
    site.passes("alive")
