"""What the revocation endpoint makes of odd requests: methods, types, bodies, limits."""

import json
import subprocess

import pytest

from httpd import H2
from test_accept import passes
from test_refuse import refused
from test_revoke import EACH_WAY, FORM, JSON, PAGE, WAYS, ask, is_answer, is_bad_request, revoked_by

ENDPOINTS = pytest.mark.parametrize("path", ["/revoke", "/strict"])


def strict(way_or_path):
    return "strict" in way_or_path


@ENDPOINTS
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "PROPFIND", "NONSENSE"])
def test_only_post_revokes(main, mint, path, method):
    """R7009-01"""
    token = mint()
    body = "token=" + token if method not in ("GET", "HEAD", "DELETE") else None
    r = main.get(f"{path}?token={token}", FORM, method=method, body=body)
    assert r.status in ((405, 501) if method == "NONSENSE" else (405,)), r
    allowed = [m.strip() for m in r["Allow"].split(",")]
    assert "POST" in allowed and "GET" not in allowed
    if method not in ("HEAD", "NONSENSE"):
        is_answer(r, 405, None)
    passes(main, token)


@ENDPOINTS
def test_parameters_in_the_url_are_not_read(main, mint, path):
    """R7009-02"""
    token, other = mint(), mint()
    is_bad_request(main.get(f"{path}?token={token}", FORM, method="POST", body=""), strict(path))
    is_bad_request(main.get(f"{path}?token={token}", JSON, method="POST", body="{}"), strict(path))
    assert main.get(f"{path}?token={token}", FORM, method="POST", body="token=" + other).status == 200
    passes(main, token)
    refused(main, other, "revoked")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded;charset=UTF-8",
                                  "application/x-www-form-urlencoded ; charset=utf-8", "APPLICATION/X-WWW-FORM-URLENCODED"])
def test_a_form_is_known_by_its_media_type(main, mint, kind):
    """R7009-03"""
    token = mint()
    is_answer(main.get("/revoke", "Content-Type: " + kind, method="POST", body="token=" + token), 200, {})
    refused(main, token, "revoked")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/json;x=y"])
def test_json_is_known_by_its_media_type(main, mint, kind):
    token = mint()
    is_answer(main.get("/revoke", "Content-Type: " + kind, method="POST", body=json.dumps({"token": token})), 200, {"revoked": True})
    refused(main, token, "revoked")


@ENDPOINTS
@pytest.mark.parametrize("kind", ["Content-Type: text/plain", "Content-Type: multipart/form-data; boundary=x", "X-None: 1", "Content-Type:",
                                  "Content-Type: application/x-www-form-urlencodedX", "Content-Type: application/jsonx",
                                  "Content-Type: text/json", "Content-Type: application/jwt", "Content-Type: x"])
def test_another_body_is_an_invalid_request(main, mint, path, kind):
    """R7009-03, H6"""
    token = mint()
    for body in ("token=" + token, json.dumps({"token": token})):
        is_bad_request(main.get(path, kind, method="POST", body=body), strict(path))
    passes(main, token)


BAD_FORMS = ["", "foo=1", "token", "token=", "token=&x=1", "TOKEN=@", "token =@", "&", "&&&", "=", "=@", "token=@&token=@", "token=@&token=",
             "token=&token=@", "token=@&token_type_hint=a&token_type_hint=b", "token=@%", "token=@%zz", "token=@%2", "token=@%00", "to%00ken=@",
             "token=@&x=%g0", "token=@&tok%65n=@", "token=@&reason=1&reason=2", "[token]=@", "token[]=@", "\0", "token=@\0"]


@ENDPOINTS
@pytest.mark.parametrize("form", BAD_FORMS, ids=repr)
def test_a_form_without_just_one_sound_token_is_an_invalid_request(main, mint, path, form):
    """R7009-04, R7009-05, R7009-06"""
    token = mint()
    is_bad_request(main.get(path, FORM, method="POST", body=form.replace("@", token)), strict(path))
    passes(main, token)


GOOD_FORMS = ["token=@", "token=@&", "&token=@", "x=y&token=@", "token=@&x", "token=@&x=&y=", "%74oken=@", "token=@&x=%20+",
              "token_type_hint=&token=@", "token=@&x=1&token_type_hint=refresh_token", "token=@&&x=1"]


@pytest.mark.parametrize("form", GOOD_FORMS)
def test_a_form_with_one_token_is_understood(main, mint, form):
    token = mint()
    is_answer(main.get("/revoke", FORM, method="POST", body=form.replace("@", token)), 200, {})
    refused(main, token, "revoked")


def test_a_percent_encoded_token_is_decoded(main, mint):
    token = mint()
    body = "token=" + "".join(f"%{ord(c):02x}" for c in token)
    is_answer(main.get("/revoke", FORM, method="POST", body=body), 200, {})
    refused(main, token, "revoked")


BAD_JSON = ["", " ", "{}", "[]", '"@"', "null", "7", '{"token":""}', '{"token":null}', '{"token":7}', '{"token":true}', '{"token":["@"]}',
            '{"token":{"x":"@"}}', '["@"]', '[{"token":"@"}]', '{"token":"@"', '{"token":"@"}}', '{"token":"@"} x', '{"token":"@",}',
            '{"token":"@","token":"@"}', r'{"token":"@","tok\u0065n":"@"}', '{"Token":"@"}', "{'token':'@'}", '{token:"@"}', "token=@",
            '{"token":"@"}{"token":"@"}', '\ufeff{"token":"@"}', '{"token":"@\\u0000"}', '{"token":"@"}\0',
             '{"token":"@","x":"\udcff"}', '{"token":"@","x":' + "[" * 40 + "]" * 40 + "}"]


@ENDPOINTS
@pytest.mark.parametrize("body", BAD_JSON, ids=lambda b: ascii(b)[:40])
def test_json_without_just_one_sound_token_is_an_invalid_request(main, mint, path, body):
    """R7009-04"""
    token = mint()
    data = body.replace("@", token).encode("utf-8", "surrogateescape")
    is_bad_request(main.get(path, JSON, method="POST", body=data), strict(path))
    passes(main, token)


@pytest.mark.parametrize("body", ['{"token":"@"}', ' {"token" : "@"}\n', '{"a":[1,{"b":null}],"token":"@","x":1.5}',
                                  r'{"\u0074oken":"@"}', '{"token":"@","token_type_hint":"access_token"}', '{"token":"@","x":1e999}'])
def test_json_with_one_token_is_understood(main, mint, body):
    token = mint()
    is_answer(main.get("/revoke", JSON, method="POST", body=body.replace("@", token)), 200, {"revoked": True})
    refused(main, token, "revoked")


def test_a_token_in_escapes_is_decoded(main, mint):
    token = mint()
    body = '{"token":"' + "".join(f"\\u{ord(c):04x}" for c in token) + '"}'
    is_answer(main.get("/revoke", JSON, method="POST", body=body), 200, {"revoked": True})
    refused(main, token, "revoked")


# ---- limits ----

@EACH_WAY
def test_a_body_of_64_kib_is_read_and_a_larger_one_is_413(main, mint, way):
    """R7009-25"""
    path, kind, done = WAYS[way]
    for size, status in ((65536, 200), (65537, 413), (200000, 413)):
        token = mint()
        start = "token=" + token + "&x=" if kind == FORM else json.dumps({"token": token})[:-1] + ', "x": "'
        end = "" if kind == FORM else '"}'
        body = start + "y" * (size - len(start) - len(end)) + end
        assert len(body) == size
        r = is_answer(main.get(path, kind, method="POST", body=body), status, done if status == 200 else None)
        if status == 413:
            assert "error" in r.json()
            passes(main, token)
        else:
            refused(main, token, "revoked")


@ENDPOINTS
def test_a_chunked_body_is_held_to_the_same_limit(main, mint, path):
    token = mint()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
    start = "token=" + token
    with main.connect() as c:
        c.send_raw((head + f"{len(start):x}\r\n{start}\r\n" + "3\r\n&x=\r\n" + "1000\r\n" + "y" * 4096 + "\r\n" + "0\r\n\r\n").encode())
        assert c.receive().status == 200
        refused(main, token, "revoked")
        chunk = "1000\r\n" + "y" * 4096 + "\r\n"
        c.send_raw((head + "3\r\n&x=\r\n" + chunk * 17 + "0\r\n\r\n").encode())
        r = c.receive()
        assert r.status == 413 and r["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("size", [1, 7])
def test_a_body_in_tiny_chunks_is_put_together(main, mint, size):
    token = mint()
    body = ("token=" + token).encode()
    parts = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + size]), body[i:i + size]) for i in range(0, len(body), size))
    with main.connect() as c:
        c.send_raw(f"POST /revoke HTTP/1.1\r\nHost: x\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + parts + b"0\r\n\r\n")
        is_answer(c.receive(), 200, {})
        refused(main, token, "revoked")
        assert c.request("GET", PAGE).status == 401


@ENDPOINTS
def test_64_parameters_are_read_and_65_are_refused(main, mint, path):
    def form(count, token):
        return "&".join(f"p{i}=v" for i in range(count - 1)) + "&token=" + token

    token, other = mint(), mint()
    assert main.get(path, FORM, method="POST", body=form(64, token)).status == 200
    refused(main, token, "revoked")
    r = main.get(path, FORM, method="POST", body=form(65, other))
    assert r.status in (400, 413) and "error" in r.json()
    passes(main, other)


@ENDPOINTS
def test_many_members_of_json_are_held_to_the_same_limit(main, mint, path):
    token = mint()
    body = json.dumps({**{f"p{i}": "v" for i in range(64)}, "token": token})
    r = main.get(path, JSON, method="POST", body=body)
    assert r.status in (400, 413) and "error" in r.json()
    passes(main, token)


def test_a_refused_body_leaves_the_connection_in_step(main, mint):
    token = mint()
    with main.connect() as c:
        r = c.request("POST", "/revoke", "Content-Type: text/plain", body="x" * 5000)
        assert r.status == 400 and (H2 or r["Connection"] == "close")  # httpd's way with 400
    with main.connect() as c:
        assert c.request("POST", "/strict", FORM, body="token=garbage&x=" + "x" * 5000).status == 401
        assert c.request("GET", "/revoke", FORM, body="token=" + token).status == 405
        assert c.request("POST", "/revoke", FORM, body="token=" + token).status == 200
    refused(main, token, "revoked")


def test_a_large_body_that_waits_for_100_is_refused_unsent(main):
    with main.connect() as c:
        c.send_raw(f"POST /revoke HTTP/1.1\r\nHost: x\r\n{FORM}\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n".encode())
        assert c.receive(interim=True).status == 413


def test_a_body_that_waits_for_100_is_asked_for(main, mint):
    token = mint()
    body = "token=" + token
    with main.connect() as c:
        c.send_raw(f"POST /revoke HTTP/1.1\r\nHost: x\r\n{FORM}\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert c.receive(interim=True).status == 100
        c.send_raw(body.encode())
        is_answer(c.receive(), 200, {})
    refused(main, token, "revoked")


def test_a_body_that_breaks_off_revokes_nothing(main, mint):
    """The rest of the token may be missing: there is no 200."""
    token = mint()
    with main.connect() as c:
        c.send_raw(f"POST /revoke HTTP/1.1\r\nHost: x\r\n{FORM}\r\nContent-Length: 5000\r\n\r\ntoken={token}".encode())
        c.break_off()
        try:
            assert c.receive().status in (400, 408)
        except (EOFError, ConnectionResetError):
            pass
    passes(main, token)


def test_a_token_in_the_authorization_header_is_not_what_is_revoked(main, mint):
    mine, other = mint(), mint()
    r = main.get("/revoke", FORM, "Authorization: Bearer " + mine, method="POST", body="token=" + other)
    assert r.status == 200
    passes(main, mine)
    refused(main, other, "revoked")
    is_bad_request(main.get("/revoke", FORM, "Authorization: Bearer " + mine, method="POST", body=""), False)


def test_no_error_repeats_what_was_sent(main):
    """R6749-05"""
    for body in ('<script>"x"', "token=%zz<b>", "token=a&token=<i>"):
        r = main.get("/revoke", FORM, "X-None: <u>", method="POST", body=body)
        assert b"<" not in r.body and "<" not in str(r.headers)


# ---- calls as clients of such endpoints print them in their documentation (port and host aside) ----

def curl(*args):
    done = subprocess.run(["curl", "-sS", "-i", "--max-time", "20", *args], capture_output=True, text=True, check=True).stdout
    head, _, body = done.partition("\n\n") if "\r\n\r\n" not in done else done.partition("\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


def test_curl_with_a_form_works_as_clients_write_it(main, mint):
    url = main.url + "/oauth2/revoke"
    form = ("-H", "Content-Type: application/x-www-form-urlencoded")
    for data in ("token=rt_x1y2z3a4b5c6d7e8f9&token_type_hint=refresh_token",
                 "token=eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9...&token_type_hint=access_token"):
        status, head, body = curl("-X", "POST", url, *form, "-d", data)
        assert status == 200 and body.strip() == "{}" and "content-type: application/json" in head
    token = mint("EdDSA")
    passes(main, token)
    status, _, body = curl("-X", "POST", url, *form, "-d",
                           f"token={token}&token_type_hint=access_token")
    assert status == 200 and json.loads(body) == {}
    refused(main, token, "revoked")
    status, _, body = curl("-X", "POST", url, *form, "-d", "token_type_hint=access_token")
    assert status == 400 and json.loads(body)["error"] == "invalid_request"


PRINTED = """{
    "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjEyMzQ1In0.eyJzdWIiOiJiM2Y4YzlkMi0xYTJiLTRjNWQtOGU3Zi05YThiN2M2ZDVlNGYiLCJyZWFsbSI6ImFjbWUiLCJyb2xlcyI6WyJhZG1pbiJdLCJwZXJtaXNzaW9ucyI6WyJ1c2VyczpyZWFkIiwidXNlcnM6d3JpdGUiXSwianRpIjoiYWJjZGVmMTIzNDU2IiwidG9rZW5fdXNlIjoiYWNjZXNzIiwiZXhwIjoxNzQwMDAwOTAwLCJpYXQiOjE3NDAwMDAwMDB9.signature"
  }"""


def test_curl_with_json_works_as_clients_write_it(main, mint):
    url = main.url + "/v1/auth/token/revoke"
    status, head, body = curl("-X", "POST", url, "-H", "Content-Type: application/json", "-d", PRINTED)
    assert status == 401 and json.loads(body) == {"revoked": False, "error": "invalid token"} and "www-authenticate: bearer" in head
    token = mint("HS256", jti="abcdef123456", token_use="access", realm="acme", roles=["admin"])
    passes(main, token)
    status, _, body = curl("--request", "POST", "--url", url, "--header", "Content-Type: application/json", "--data",
                           '\n{\n  "token": "' + token + '"\n}\n')
    assert status == 200 and json.loads(body) == {"revoked": True}
    refused(main, token, "revoked")
    refresh = mint("HS256", token_use="refresh")
    status, _, body = curl("-X", "POST", url, "-H", "Content-Type: application/json", "-d", json.dumps({"token": refresh}))
    assert status == 401 and json.loads(body) == {"revoked": False, "error": "unexpected token use"}
    assert ask(main, "json", token).status == 200
    revoked_by(main, "json", token)
