"""Hostile bodies (fault B1), where two readers could see two requests, and where logging out must not lead (2.3, open redirect)."""

import urllib.parse

from requests_headers import refused
from requests_site import BEARER, BOSS, CLIENT, FORM, JSON, Case, chunked, get, message, post

B1, TARGET = "B1", "2.3 open redirect, LO-04"
BAD = ("400 invalid_request",)
EVENT = '{"kind":"issuer","iss":"https://idp.test/"}'

# Where a body counts: path, the fields that let one in, the parameter.
DOORS = {"/revoke": ((), "token"), "/client": ((CLIENT,), "token"), "/introspect": ((CLIENT,), "token"),
    "/backchannel": ((), "logout_token"),
         "/logout": (("Cookie: session=<bob>",), "token")}


def at_every_door(name, make, want=BAD, closed=True, only=tuple(DOORS), **how):
    """make(path, fields, parameter) gives the request; nothing at any of them may change."""
    return [Case(f"body: {name} at {path}", B1, make(path, *DOORS[path]), want, closed=closed, **how) for path in only]


def form(text, kind=FORM):
    """The text of a form; @ becomes the parameter and a good token of its kind."""
    def make(path, lines, parameter):
        token = "<logout>" if path == "/backchannel" else "<good>"
        return post(path, *lines, kind=kind, body=text.replace("PARAM", parameter).replace("TOKEN", token))
    return make


def chunks_of(text, *more, end="0\r\n\r\n"):
    def make(path, lines, parameter):
        token = "<logout>" if path == "/backchannel" else "<good>"
        return chunked(path, *lines, *more, body=text.replace("PARAM", parameter).replace("TOKEN", token), end=end)
    return make


def framed(*lines, body="token=<good>", path="/revoke"):
    return message("POST", path, FORM, *lines, body=body)


GZIP = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + "\x4b\x04\x00\x43\xbe\xb7\xe8\x01\x00\x00\x00"
MULTIPART = '--x\r\nContent-Disposition: form-data; name="token"\r\n\r\n<good>\r\n--x--\r\n'
UTF16 = "\xff\xfet\x00o\x00k\x00e\x00n\x00=\x00"

BODIES = [
    *(c for name, text in {
        "twice": "PARAM=TOKEN&PARAM=TOKEN", "twice, once percent-encoded": "PARAM=TOKEN&%" + "PARAM=x", "a NUL": "PARAM=TOKEN%00",
        "a raw NUL": "PARAM=TOKEN\x00",
        "a NUL in a name": "PARAM=TOKEN&a%00b=c", "a percent sign at the end": "PARAM=TOKEN%",
        "half an escape": "PARAM=TOKEN&x=%4", "a wrong escape": "PARAM=TOKEN&x=%zz",
        "an escape of Unicode": "PARAM=TOKEN&x=%u0041", "65 parameters": "&".join(f"p{i}=1" for i in range(64)) + "&PARAM=TOKEN",
        "10,000 parameters": "&".join(f"p{i}" for i in range(9000)) + "&PARAM=TOKEN",
    }.items() for c in at_every_door(name, form(text))),
    *(c for name, text in {
        "an ampersand only": "&", "60,000 ampersands": "&" * 60000, "an equals sign only": "=", "a name only": "PARAM",
        "an empty value": "PARAM=",
        "another case": "PARAM".upper() + "S=TOKEN", "brackets": "PARAM[]=TOKEN", "a blank before the name": " PARAM=TOKEN",
        "a plus before the name": "+PARAM=TOKEN",
        "a semicolon between": "a=b;PARAM=TOKEN", "60 KiB of percent signs": "x=" + "%25" * 20000, "an empty one": "",
        "a byte order mark": "\xef\xbb\xbfPARAM=TOKEN",
        "only a newline before": "\r\nPARAM=TOKEN", "nothing but 8-bit": "\xff" * 1000,
    }.items() for c in at_every_door(name, form(text), only=("/revoke", "/client", "/introspect", "/backchannel"))),
    *(c for name, kind in {
        "no type": None, "an empty type": "Content-Type:", "text": "Content-Type: text/plain",
        "a longer type": "Content-Type: application/x-www-form-urlencodedX",
        "two types": FORM + ", application/json", "a parameter first": "Content-Type: ;application/x-www-form-urlencoded",
        "multipart": "Content-Type: multipart/form-data; boundary=x", "XML": "Content-Type: application/xml",
        "a JWT": "Content-Type: application/jwt",
        "an event": "Content-Type: application/secevent+jwt",
        "a type in quotes": 'Content-Type: "application/x-www-form-urlencoded"',
    }.items() for c in at_every_door(name, form("PARAM=TOKEN", kind))),
    *(Case(f"body: two Content-Type fields, {a} first", B1, message("POST", "/revoke", first, second, "Content-Length: <n>",
        body="token=<good>"), BAD, closed=True)
      for a, first, second in (("form", FORM, JSON), ("JSON", JSON, FORM))),
    Case("body: multipart, whole", B1, post("/revoke", kind="Content-Type: multipart/form-data; boundary=x", body=MULTIPART), BAD,
        closed=True),
    Case("body: UTF-16", B1, post("/revoke", body=UTF16 + "<good>"), BAD, closed=True),
    *(Case(f"body: gzip {name}", B1, post("/revoke", "Content-Encoding: gzip", body=body), BAD, closed=True) for name,
        body in (("real", GZIP), ("a bomb", GZIP * 3000))),
    *(Case(f"JSON: {name}", B1, post("/revoke", kind=JSON, body=body), BAD, closed=True) for name, body in {
        "nothing": "", "an array": '["<good>"]', "a string": '"<good>"', "null": "null", "a number": '{"token":7}',
        "an object": '{"token":{"a":"<good>"}}',
        "an array of tokens": '{"token":["<good>"]}', "true": '{"token":true}', "twice": '{"token":"<good>","token":"<good>"}',
        "twice, once in escapes": '{"token":"<good>","t\\u006fken":"<good>"}',
        "a byte order mark": '\xef\xbb\xbf{"token":"<good>"}', "a trailing comma": '{"token":"<good>",}',
        "single quotes": "{'token':'<good>'}", "a comment": '{"token":"<good>"/**/}', "rubbish behind": '{"token":"<good>"}x',
        "two objects": '{"token":"<good>"}{}',
        "a NUL behind": '{"token":"<good>"}\x00', "a NUL in an escape": '{"token":"<good>\\u0000"}',
        "a lone surrogate": '{"token":"<good>","x":"\\ud800"}',
        "overlong UTF-8": '{"token":"<good>","x":"\xc0\xae"}', "a surrogate in UTF-8": '{"token":"<good>","x":"\xed\xa0\x80"}',
        "a raw line break": '{"token":"<good>","x":"\n"}',
        "NaN": '{"token":"<good>","x":NaN}', "depth 40": '{"token":"<good>","x":' + "[" * 40 + "]" * 40 + "}",
        "depth 30,000": '{"token":"<good>","x":' + "[" * 30000 + "]" * 30000 + "}",
        "unclosed 60,000": "[" * 60000, "cut in the token": '{"token":"<good>',
        "65 members": "{" + "".join(f'"p{i}":1,' for i in range(64)) + '"token":"<good>"}',
        "UTF-16": '{\x00"\x00t\x00"\x00}\x00', "prototype": '{"__proto__":{"token":"<good>"}}',
        "a leading zero": '{"token":"<good>","x":01}'}.items()),
    *(Case(f"JSON at {path}", B1, post(path, *DOORS[path][0], kind=JSON, body=f'{{"{DOORS[path][1]}":"<{token}>"}}'), BAD,
        closed=True)
      for path, token in (("/introspect", "good"), ("/backchannel", "logout"))),
    *(Case(f"strict: {name}", B1, post("/strict", kind=kind, body=body), ('400 {"revoked": false}',), closed=True) for name, kind,
        body in (
        ("a form of nothing", FORM, ""), ("twice", FORM, "token=<good>&token=<good>"), ("no type", None, "token=<good>"),
        ("JSON of nothing", JSON, "{}"),
        ("JSON twice", JSON, '{"token":"<good>","token":"x"}'))),
    *(Case(f"admin: {name}", B1, post("/admin/revocations", BOSS, kind=kind, body=body), (f"{status} problem",),
        closed=status == 400) for name, kind, body, status in (
        ("a form", FORM, "kind=issuer&iss=https://idp.test/", 415), ("no type", None, EVENT, 415), ("nothing", JSON, "", 400),
        ("a string", JSON, '"x"', 400),
        ("an empty array", JSON, "[]", 400), ("an unknown kind", JSON, '{"kind":"all","iss":"https://idp.test/"}', 400),
        ("an unknown member", JSON, EVENT[:-1] + ',"x":1}', 400),
        ("a member twice", JSON, EVENT[:-1] + ',"iss":"https://idp.test/"}', 400),
        ("a foreign issuer", JSON, EVENT.replace("idp", "evil"), 400),
        ("a NUL", JSON, EVENT[:-1] + ',"reason":"\\u0000"}', 400), ("a time as text", JSON,
        EVENT[:-1] + ',"issued_before":"now"}', 400),
        ("a time out of range", JSON, EVENT[:-1] + ',"issued_before":1e300}', 400), ("one bad of two", JSON, f"[{EVENT},7]", 400),
        ("1,001", JSON, "[" + ",".join([EVENT] * 1001) + "]", 400))),
    *(Case(f"admin: {name}", "CSRF", post("/admin/revocations", BOSS, *lines, kind=JSON, body=EVENT), ("403 problem",)) for name,
        lines in (
        ("from another site", ("Sec-Fetch-Site: cross-site",)), ("from another origin", ("Origin: https://evil.test",)),
        ("from null", ("Origin: null",)))),

    # ---- lengths and chunks ----
    *(c for c in at_every_door("65,537 bytes", form("PARAM=TOKEN&x=" + "y" * 65537), ("413 invalid_request",))),
    *(c for c in at_every_door("65,537 bytes in chunks",
        chunks_of("⟦PARAM=TOKEN&x=⟧" + "⟦" + "y" * 16384 + "⟧" * 1 + ("⟦" + "y" * 16384 + "⟧") * 3), ("413 invalid_request",))),
    *(Case(f"body: {name}", B1, framed(*lines, body=""), ("413 invalid_request",), closed=True) for name, lines in (
        ("one terabyte is announced", ("Content-Length: 1099511627776",)), ("one terabyte, asking first",
        ("Content-Length: 1099511627776", "Expect: 100-continue")))),
    *(refused(f"length: {name}", SMUGGLE, framed(*lines)) for SMUGGLE in ("request smuggling",) for name, lines in {
        "negative": ("Content-Length: -1",), "a plus": ("Content-Length: +5",), "hexadecimal": ("Content-Length: 0x5",),
        "octal is no number": ("Content-Length: 5o",),
        "empty": ("Content-Length:",), "a word": ("Content-Length: five",), "a fraction": ("Content-Length: 5.0",),
        "a list": ("Content-Length: 5, 5",), "past 64 bits": ("Content-Length: 99999999999999999999",),
        "two": ("Content-Length: 0", "Content-Length: <n>"), "the same twice": ("Content-Length: <n>", "Content-Length: <n>"),
        "a blank inside": ("Content-Length: 1 0",),
        "an 8-bit digit": ("Content-Length: \xb2",), "an exponent": ("Content-Length: 1e1",)}.items()),
    *(refused(f"coding: {name}", "request smuggling", framed(*lines, body="⟦token=<good>⟧0\r\n\r\n"), want) for name, want,
        lines in (
        ("not last", "400", ("Transfer-Encoding: chunked, gzip",)), ("gzip alone", "400", ("Transfer-Encoding: gzip",)),
        ("identity", "400", ("Transfer-Encoding: identity",)),
        ("unknown", "400", ("Transfer-Encoding: xchunked",)), ("a quoted one", "400", ('Transfer-Encoding: "chunked"',)),
        ("a vertical tab", "400", ("Transfer-Encoding: \x0bchunked",)),
        ("a blank before the colon", "400", ("Transfer-Encoding : chunked",)),
        ("an underscore in the name", "400 invalid_request", ("Transfer_Encoding: chunked",)),
        ("a semicolon", "400", ("Transfer-Encoding: chunked;q=1",)), ("empty", "400", ("Transfer-Encoding:",)))),
    *(refused(f"chunk: {name}", "request smuggling", chunked("/revoke", body=body, end=end), want) for name, want, body, end in (
        ("a size of nothing", "400", "\r\ntoken=<good>\r\n", "0\r\n\r\n"), ("a negative size", "400", "-5\r\ntoken\r\n",
        "0\r\n\r\n"),
        ("a size with 0x", "400", "0x5\r\ntoken\r\n", "0\r\n\r\n"), ("a size past 64 bits", "413",
        "FFFFFFFFFFFFFFFFF\r\ntoken=<good>\r\n", "0\r\n\r\n"),
        ("a size of 2^63", "413", "8000000000000000\r\ntoken=<good>\r\n", "0\r\n\r\n"),
        ("too long for its size", "400", "2\r\ntoken=<good>\r\n", "0\r\n\r\n"),
        ("a letter that is no digit", "400", "g\r\ntoken\r\n", "0\r\n\r\n"),
        ("a blank before its size", "400", " 5\r\ntoken\r\n", "0\r\n\r\n"),
        ("a bare LF", "400", "5\ntoken\n", "0\n\n"), ("a NUL in its size", "400", "5\x00\r\ntoken\r\n", "0\r\n\r\n"),
        ("an endless extension", "413", "5;" + "a" * 70000 + "\r\ntoken\r\n", "0\r\n\r\n"),
        ("a bad trailer", "400 invalid_request", "⟦token=<good>⟧", "0\r\nX A: b\r\n\r\n"),
        ("a trailer with a NUL", "400 invalid_request", "⟦token=<good>⟧", "0\r\nX: \x00\r\n\r\n"))),
    Case("smuggle: both length and chunks", "TE+CL", message("POST", "/revoke", FORM, "Content-Length: 3",
        "Transfer-Encoding: chunked", body="⟦x=<good>⟧0\r\n\r\n"), BAD, closed=True),
    Case("smuggle: both, and a request behind", "TE+CL", message("POST", "/app/x", "Content-Length: 5",
        "Transfer-Encoding: chunked", body="0\r\n\r\n" + get("/app/x")), ("401 no_token",), closed=True),
    Case("smuggle: chunks over HTTP/1.0", "TE+CL",
        "POST /revoke HTTP/1.0\r\n" + FORM + "\r\nTransfer-Encoding: chunked\r\n\r\n⟦token=<good>⟧0\r\n\r\n",
         ("200 {}",), closed=True, ends=("good",)),
    *(Case(f"smuggle: {name}, which httpd takes for once", "TE+CL", framed(*lines, body="⟦token=<good>⟧0\r\n\r\n"), ("200 {}",),
        ends=("good",)) for name, lines in (
        ("chunked twice", ("Transfer-Encoding: chunked, chunked",)), ("chunked in two fields",
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")))),
    Case("smuggle: chunked twice, before the application", "TE+CL", chunked("/app/x", BEARER, "Transfer-Encoding: chunked",
        kind=None, body="⟦a⟧"), ("500",), closed=True),
    refused("smuggle: an Expect of another kind", B1, framed("Expect: 200-ok", "Content-Length: <n>"), "417"),

    # ---- bodies that break off ----
    *(Case(f"cut: {name}", "B1 truncated", request, want, cut=True) for name, request, want in (
        ("within the body", framed("Content-Length: 5000"), BAD), ("within a chunk",
        chunked("/revoke", body="1000\r\ntoken=<good>", end=""), BAD),
        ("before the last chunk", chunked("/revoke", body="⟦token=<good>⟧", end=""), BAD),
        ("within the trailers", chunked("/revoke", body="⟦token=<good>⟧", end="0\r\nX-A: b"), BAD),
        ("before the body", framed("Content-Length: 12", body=""), BAD), ("at introspection",
        message("POST", "/introspect", FORM, CLIENT, "Content-Length: 5000", body="token=<good>"), BAD),
        ("at logout", message("POST", "/logout", FORM, "Cookie: session=<bob>", "Content-Length: 5000", body="token=<good>"),
        BAD),
        ("at back-channel logout", message("POST", "/backchannel", FORM, "Content-Length: 5000", body="logout_token=<logout>"),
        BAD),
        ("at the guard", message("POST", "/as/token", FORM, "Content-Length: 5000",
        body="grant_type=refresh_token&refresh_token=<rt>"), BAD),
        ("at admin", message("POST", "/admin/revocations", JSON, BOSS, "Content-Length: 5000", body=EVENT), ("400 problem",)),
        ("within the fields", "GET /app/x HTTP/1.1\r\nHost: site.test\r\n" + BEARER + "\r\n", ("400",)),
        ("within the line", "GET /app/x HT", ()))),

    # ---- the guarded token endpoint: the back end hears of none of these ----
    *(Case(f"guard: {name}", "SBCP-03", request, (want,), closed=want.startswith(("400", "413"))) for name, want, request in (
        ("two refresh tokens", "400 invalid_request",
        post("/as/token", body="grant_type=refresh_token&refresh_token=<rt>&refresh_token=x")),
        ("one of them in the address", "400 invalid_request", post("/as/token?refresh_token=x",
        body="grant_type=refresh_token&refresh_token=<rt>")),
        ("65,537 bytes", "413 invalid_request",
        post("/as/token", body="grant_type=refresh_token&refresh_token=<rt>&x=" + "y" * 65537)),
        ("gzip", "415 invalid_request", post("/as/token", "Content-Encoding: gzip",
        body="grant_type=refresh_token&refresh_token=<rt>")),
        ("a NUL in the token", "400 invalid_request", post("/as/token", body="grant_type=refresh_token&refresh_token=<rt>%00")))),

    # ---- what could go wrong at back-channel logout ----
    *(Case(f"back-channel: {name}", "BCL-01", post("/backchannel", body=body), BAD, closed=True) for name, body in (
        ("an access token", "logout_token=<good>"), ("a token by another name", "token=<logout>"),
        ("twice", "logout_token=<logout>&logout_token=<logout>"),
        ("no JWT", "logout_token=x"), ("forged", "logout_token=<forged>"), ("expired", "logout_token=<expired>"),
        ("with a blank", "logout_token=<logout>%20"),
        ("with padding", "logout_token=<logout>%3d"))),
]

EVIL = ["//evil.test", "///evil.test", "////evil.test/", "/\\evil.test", "\\/evil.test", "\\\\evil.test", "/\\/evil.test",
    "/%09/evil.test".replace("%09", "\t"), "\t//evil.test",
        "/\n/evil.test", "/\r/evil.test", " //evil.test", "https:evil.test", "https:/evil.test", "https:///evil.test",
        "https:\\\\evil.test", "http:evil.test", "HTTPS://evil.test",
        "https://app.test@evil.test/done", "https://app.test:x@evil.test/done", "https://a@b@app.test/done",
        "https://app.test%40evil.test/done", "https://app.test\\@evil.test/done",
        "https://app.test/done/..;/", "/..;//evil.test", "/a/..;//evil.test", "https://app.test/done?x",
        "https://app.test/done#x", "https://app.test/done/", "https://app.test.evil.test/done",
        "https://APP.test/done", "https://app.test:443/done", "http://app.test/done", "https://app.test//done",
        "https://app.test/d%6fne", "https://app.test", "javascript:alert(1)",
        "data:text/html,x", "vbscript:x", "evil.test", "./x", "?x", "#x", "/a//b", "/a\\b", "/\x0b/evil.test", "/\x7f",
        "/x\r\nLocation: https://evil.test/", "/x\r\nSet-Cookie: a=b",
        "/x\nX-Evil: 1", "https://app.test/done\r\nX-Evil: 1", "/\xc2\x85/evil.test", "https://evil.test/https://app.test/done",
        "/.//evil.test", "/%2e//evil.test", "//%65vil.test",
        "https://[app.test]/done", "https://app.test\x00.evil.test/done"]
HTML = "Accept: text/html"


def asked(uri):
    return "post_logout_redirect_uri=" + urllib.parse.quote(uri.encode("latin-1"), safe="")


TARGETS = [
    *(Case(f"target: {ascii(uri)}", TARGET, post("/logout", HTML, "Cookie: session=<good>", body=asked(uri) + "&state=s"),
           ("303 /bye.html",) if "\x00" not in uri else ("400",), closed="\x00" in uri,
           ends=("good",) if "\x00" not in uri else ()) for uri in EVIL),
    Case("target: twice", TARGET, post("/logout", HTML, "Cookie: session=<good>",
        body=asked("/bye.html") + "&" + asked("//evil.test")), ("400",), closed=True),
    Case("target: in the address", TARGET, post("/logout?" + asked("https://evil.test/"), HTML, "Cookie: session=<good>",
        body=""), ("303 /bye.html",), ends=("good",)),
    Case("target: by Referer", TARGET, post("/logout", HTML, "Cookie: session=<good>", "Referer: http://site.test/",
        "X-Forwarded-Host: evil.test", body=""), ("303 /bye.html",), ends=("good",)),
    Case("target: by Host", TARGET, post("/logout", HTML, "Cookie: session=<good>", body=asked("http://evil.test/"),
        ).replace("Host: site.test", "Host: evil.test"), ("303 /bye.html",), ends=("good",)),
    Case("target: a list", TARGET,
        post("/logout", kind=JSON, body='{"post_logout_redirect_uri":["//evil.test"],"token":"<good>"}'), BAD, closed=True),
    *(Case(f"target: state {ascii(state)}", TARGET, post("/logout", HTML, "Cookie: session=<good>",
        body=asked("/bye.html") + "&state=" + urllib.parse.quote(state)),
           ("303 /bye.html?state=" + urllib.parse.quote(state, safe=""),), ends=("good",),
           fields=("X-Evil",)) for state in ("\r\nX-Evil: 1", "//evil.test", "#@evil.test", "&a=b", "%0d%0a")),
]
