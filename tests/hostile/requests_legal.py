"""Odd requests that are legal: each must get what it asks for."""

import urllib.parse

from requests_headers import ALICE
from requests_site import BEARER, BOSS, CLIENT, FORM, HERE, JSON, Case, chunked, get, message, post

FIELDS = "RFC 9110 5.5, RFC 9112 5"
BODY = "RFC 9112 6 and 7"
REVOKED, DONE = "200 {}", '200 {"revoked": true}'
HTML = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"


def passes(name, *lines, path="/app/x", row=FIELDS, left=(), seen=None, **how):
    """The application is asked in Alice's name, and sees what is left of the fields."""
    target = "GET " + (seen or path.partition("?access_token")[0])
    sees = "\r\n".join((ALICE.replace("GET /app/x", target), *left))
    return Case(f"app: {name}", row, get(path, *lines), ("200",), sees=(sees,), **how)


def sent(name, request, want=REVOKED, row=BODY, ends=("good",), **how):
    return Case(name, row, request, (want,), ends=ends, **how)


AUTHORIZATION = {
    "lower case": "Authorization: bearer <good>", "upper case": "Authorization: BEARER <good>",
    "mixed case": "Authorization: bEaReR <good>",
    "a field's name in lower case": "authorization: Bearer <good>", "in upper case": "AUTHORIZATION: Bearer <good>",
    "in mixed case": "aUtHoRiZaTiOn: Bearer <good>",
    "no blank behind the colon": "Authorization:Bearer <good>", "blanks behind the colon": "Authorization:     Bearer <good>",
    "a tab behind the colon": "Authorization:\tBearer <good>",
    "blanks behind the token": "Authorization: Bearer <good>    ", "tabs behind the token": "Authorization: Bearer <good>\t \t",
    "two blanks behind the scheme": "Authorization: Bearer  <good>",
    "many blanks behind the scheme": "Authorization: Bearer" + " " * 500 + "<good>",
    "folded behind the colon": "Authorization:\r\n Bearer <good>",
    "folded behind the scheme": "Authorization: Bearer\r\n <good>",
    "folded with many blanks": "Authorization: Bearer\r\n      <good>"}
COOKIES = {  # field: what the application sees of it
    "session=<good>": None, "session=<good>;": None, "session=<good>; ": None, " session=<good>": None, ";session=<good>": None,
    "; ; session=<good>": None,
    'session="<good>"': None, "session =<good>": None, "session= <good>": None, "session\t=\t<good>": None,
    "session=<good>\t": None,
    "a=1; session=<good>": "a=1", "session=<good>; a=1": "a=1", "a=1;session=<good>;b=2": "a=1; b=2", "a; session=<good>": "a",
    "a=; session=<good>": "a=",
    "=; session=<good>": "=", 'a="x y"; session=<good>': 'a="x y"', "a=b=c; session=<good>": "a=b=c",
    "SESSION=1; session=<good>": "SESSION=1",
    "session2=1; session=<good>": "session2=1", "xsession=1; session=<good>; session.=2": "xsession=1; session.=2",
    "session=<good>; session=<good>": None,
    "a=\xe9; session=<good>": "a=\xe9", "a={}[]@:/?; session=<good>": "a={}[]@:/?", "a=1,b=2; session=<good>": "a=1,b=2",
    "$Version=1; session=<good>": "$Version=1",
    "a=1, session=<good>": "a=1", "__Host-a=1; __Secure-b=2; session=<good>": "__Host-a=1; __Secure-b=2"}
QUERIES = {  # query: what the application sees of it
    "access_token=<good>": "", "access_token=<good>&": "", "&access_token=<good>": "", "a=1&access_token=<good>": "?a=1",
    "access_token=<good>&a=1": "?a=1",
    "a=1&access_token=<good>&b=2": "?a=1&b=2", "a&access_token=<good>&b": "?a&b", "%61ccess_token=<good>": "",
    "access%5Ftoken=<good>&a=%20+": "?a=%20+",
    "ACCESS_TOKEN=1&access_token=<good>": "?ACCESS_TOKEN=1", "a=%zz&access_token=<good>": "?a=%zz",
    "a=1&a=2&access_token=<good>": "?a=1&a=2",
    "a=access_token=x&access_token=<good>": "?a=access_token=x", "a=\xe9&access_token=<good>": "?a=\xe9",
    "a;b&access_token=<good>": "?a;b",
    "xaccess_token=1&access_token=<good>&access_tokenx=2": "?xaccess_token=1&access_tokenx=2",
    "?access_token=1&access_token=<good>": "??access_token=1"}
HARMLESS = {  # fields beside a good token that change nothing, and that the application sees
    "an empty value": "X-A:", "many blanks": "X-A:" + " " * 1000 + "1", "8-bit bytes": "X-A: \xe9\xff", "UTF-8": "X-A: \xc3\xa9",
    "every visible character": "X-A: !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "a tab inside": "X-A: a\tb", "every character of a name": "X!#$%&'*+-.^_`|~1: a", "a name of 200": "X-" + "a" * 200 + ": 1",
    "a digit first": "1X: 1", "a number": "7: 1", "60,000 bytes": "X-A: " + "a" * 60000,
    "a name near ours": "X-Remote-Users: 1", "another": "XRemoteUser: 1", "a third": "X-Remote: 1", "a fourth": "Remote-User: 1",
    "roles of another": "X-Role: 1", "DNT": "DNT: 1",
    "If-Match": 'If-Match: "a"', "a date": "If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT", "Accept without types": "Accept:",
    "Accept-Encoding": "Accept-Encoding: gzip, br;q=0",
    "Cache-Control": "Cache-Control: no-cache, max-age=0", "Pragma": "Pragma: no-cache", "From": "From: a@b",
    "Referer": "Referer: about:blank", "User-Agent": "User-Agent: a (b; c) d/1 (e (f))",
    "Via": "Via: 1.0 fred, 1.1 p.example.net"}


def seen_as(line):
    name, _, value = line.partition(":")
    return f"{name}: {value.strip(' ')}"


APPLICATION = [
    *(passes(f"Authorization, {name}", line) for name, line in AUTHORIZATION.items()),
    *(passes(f"Cookie {ascii(field)[:60]}", "Cookie: " + field, left=(f"Cookie: {left}",) if left else ()) for field,
        left in COOKIES.items()),
    *(passes(f"query {ascii(query)[:60]}", path="/app/x?" + query, seen="/app/x" + left) for query, left in QUERIES.items()),
    *(passes(f"beside it {name}", BEARER, line, left=(seen_as(line),)) for name, line in HARMLESS.items()),
    passes("two cookie fields", "Cookie: a=1", "Cookie: session=<good>", left=("Cookie: a=1",)),
    passes("1,000 harmless cookies", "Cookie: " + "; ".join(f"c{i}=v" for i in range(1000)) + "; session=<good>",
        left=("Cookie: " + "; ".join(f"c{i}=v" for i in range(1000)),)),
    passes("a cookie beside a header", BEARER, "Cookie: session=<expired>"),
        passes("Basic and a cookie", "Authorization: Basic YTpi", "Cookie: session=<good>", left=("Authorization: Basic YTpi",)),
    passes("an empty header and a cookie", "Authorization: Bearer", "Cookie: session=<good>"),
    passes("95 fields", BEARER, *(f"X-{i}: 1" for i in range(95)), left=tuple(f"X-{i}: 1" for i in range(95))),
    passes("a field of its own", "X-Token: <good>", path="/app/field/x"), passes("that field in lower case", "x-token:<good>",
        path="/app/field/x"),
    passes("that field and blanks", "X-Token:   <good>  ", path="/app/field/x"),
    passes("an empty query", BEARER, path="/app/x?", seen="/app/x"), passes("a query of questions", BEARER, path="/app/x???"),
        passes("8-bit bytes in a query", BEARER, path="/app/x?\xe9"),
    passes("every legal character of a path", BEARER, path="/app/-._~!$&'()*+,;=:@"),
        passes("a long path", BEARER, path="/app/" + "a" * 8000), passes("a long query", BEARER, path="/app/x?" + "a" * 60000),
    passes("dots in a path", BEARER, path="/app/a/../x", seen="/app/x"), passes("double slashes", BEARER, path="//app//x",
        seen="/app/x"), passes("percent-encoded letters", BEARER, path="/%61pp/%78", seen="/app/x"),
    passes("a percent-encoded blank", BEARER, path="/app/a%20b"), passes("UTF-8 in a path", BEARER, path="/app/%C3%A9"),
    passes("its own address in full", BEARER, path="http://site.test/app/x", seen="/app/x"),
        passes("in full and upper case", BEARER, path="HTTP://SITE.TEST/app/x", seen="/app/x"),
    passes("in full with a port", BEARER, path="http://site.test:80/app/x", seen="/app/x"),
    passes("a connection that is kept", BEARER, "Connection: keep-alive"), passes("a connection that is closed", BEARER,
        "Connection: close", closed=True),
    passes("a connection that is closed, in upper case", BEARER, "CONNECTION: CLOSE", closed=True),
    passes("an expectation without a body", BEARER, "Expect:"),
    Case("app: empty lines before the request", FIELDS, "\r\n" + get("/app/x", BEARER), ("200",), sees=(ALICE,)),
    Case("app: a part of the answer", FIELDS, get("/app/x", BEARER, "Range: bytes=0-0"), ("206",),
        sees=(ALICE + "\r\nRange: bytes=0-0",)),
    Case("app: a Host with a port", FIELDS, get("/app/x", BEARER, host="Host: site.test:8080"), ("200",), sees=(ALICE,)),
    Case("app: a Host of an address", FIELDS, get("/app/x", BEARER, host="hOsT:\t[::1]:80"), ("200",), sees=(ALICE,)),
    Case("app: a Host with a dot behind", FIELDS, get("/app/x", BEARER, host="Host: site.test."), ("200",), sees=(ALICE,)),
    Case("app: the Host last", FIELDS, get("/app/x", BEARER, HERE, host=None), ("200",), sees=(ALICE,)),
    Case("app: HTTP/1.0", FIELDS, f"GET /app/x HTTP/1.0\r\n{BEARER}\r\n\r\n", ("200",), closed=True, sees=(ALICE,)),
    Case("app: HTTP/1.0, kept", FIELDS, f"GET /app/x HTTP/1.0\r\n{BEARER}\r\nConnection: keep-alive\r\n\r\n", ("200",),
        sees=(ALICE,)),
    Case("app: HTTP/1.0 without a token", "R6750-06", "GET /app/x HTTP/1.0\r\n\r\n", ("401 no_token",), closed=True),
    Case("app: HEAD", FIELDS, message("HEAD", "/app/x", BEARER), ("200",), sees=(ALICE.replace("GET", "HEAD"),)),
    *(Case(f"app: {method} without a body", FIELDS, message(method, "/app/x", BEARER), ("200",),
        sees=(ALICE.replace("GET", method),))
      for method in ("DELETE", "OPTIONS", "PROPFIND", "REPORT", "BREW", "get", "M-SEARCH")),
    *(Case(f"app: {method} of nothing", FIELDS, post("/app/x", BEARER, method=method), ("200",),
        sees=(ALICE.replace("GET", method) + f"\r\n{FORM}\r\nContent-Length: 0",))
      for method in ("POST", "PUT", "PATCH")),
    *(Case(f"app: a body {name}", BODY, request, want, sees=(ALICE.replace("GET", "POST") + f"\r\n{seen}",)) for name, request,
        want, seen in (
        ("of bytes", post("/app/x", BEARER, kind=None, body="".join(map(chr, range(256)))), ("200",),
        "Content-Length: <n>\r\n\r\n" + "".join(map(chr, range(256)))),
        ("with a token in it", post("/app/x", BEARER, body="access_token=x&token=y"), ("200",),
        f"{FORM}\r\nContent-Length: <n>\r\n\r\naccess_token=x&token=y"),
        ("that looks like a request", post("/app/x", BEARER, kind=None, body=get("/app/y")), ("200",),
        "Content-Length: <n>\r\n\r\n" + get("/app/y")),
        ("in one chunk", chunked("/app/x", BEARER, kind=None, body="⟦hello⟧"), ("200",), "Content-Length: 5\r\n\r\nhello"),
        ("in chunks with extensions", chunked("/app/x", BEARER, kind=None, body='⟦;a=b|he⟧⟦;c;d="e;f"|llo⟧'), ("200",),
        "Content-Length: 5\r\n\r\nhello"),
        ("in chunks with zeros", chunked("/app/x", BEARER, kind=None, body="0005\r\nhello\r\n", end="000\r\n\r\n"), ("200",),
        "Content-Length: 5\r\n\r\nhello"),
        ("in chunks and trailers", chunked("/app/x", BEARER, kind=None, body="⟦hello⟧", end="0\r\nX-Sum: 1\r\n\r\n"), ("200",),
        "Content-Length: 5\r\n\r\nhello"),
        ("with a coding in upper case", message("POST", "/app/x", BEARER, "Transfer-Encoding: CHUNKED", body="⟦hello⟧0\r\n\r\n"),
        ("200",), "Content-Length: 5\r\n\r\nhello"),
        ("of a length with zeros", message("POST", "/app/x", BEARER, "Content-Length: 0005", body="hello"), ("200",),
        "Content-Length: 5\r\n\r\nhello"),
        ("that waits", post("/app/x", BEARER, "Expect: 100-continue", kind=None, body="hello"), ("100", "200"),
        "Expect: 100-continue\r\nContent-Length: <n>\r\n\r\nhello"))),
    Case("app: two requests at once", BODY, get("/app/x", BEARER) + get("/app/x", "Cookie: session=<good>"), ("200", "200"),
        sees=(ALICE, ALICE)),
    Case("app: a preflight of its own", FIELDS, message("OPTIONS", "/app/x", BEARER, "Origin: https://a.test",
        "Access-Control-Request-Method: PUT"), ("200",),
         sees=(ALICE.replace("GET", "OPTIONS") + "\r\nOrigin: https://a.test\r\nAccess-Control-Request-Method: PUT",)),
    Case("open: a body that waits", BODY, post("/open/x", "Expect: 100-continue", kind=None, body="hello"), ("100", "200"),
         sees=("POST /open/x\r\nExpect: 100-continue\r\nContent-Length: <n>\r\n\r\nhello",)),
    *(Case(f"script: {name}", FIELDS, request, ("200 alice",)) for name, request in (
        ("a header", get("/cgi/env", BEARER)), ("a cookie", get("/cgi/env", "Cookie: a=1; session=<good>")),
        ("a query", get("/cgi/env?access_token=<good>")),
        ("a body", post("/cgi/env", BEARER, body="a=b")), ("chunks", chunked("/cgi/env", BEARER, body="⟦a=b⟧")),
        ("more path", get("/cgi/env/a/b", BEARER)),
        ("another method", message("DELETE", "/cgi/env", BEARER)))),
    Case("file: the page", FIELDS, get("/secret.txt", BEARER), ("200 page",)),
        Case("file: twice the page", FIELDS, get("/secret.txt", BEARER) * 2, ("200 page", "200 page")),
    Case("file: a part of the page", FIELDS, get("/secret.txt", BEARER, "Range: bytes=0-2"), ("206",)),
]

TYPES = ["application/x-www-form-urlencoded", "APPLICATION/X-WWW-FORM-URLENCODED",
    "application/x-www-form-urlencoded;charset=utf-8", "application/x-www-form-urlencoded ; charset=\"UTF-8\"",
         "application/x-www-form-urlencoded;", "application/x-www-form-urlencoded; a=b; c=d",
         "  application/x-www-form-urlencoded  "]
JSON_TYPES = ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8", "application/json ;a=b",
    "application/json;"]
FORMS = ["token=<good>", "token=<good>&", "&token=<good>", "&&token=<good>&&", "a=b&token=<good>", "token=<good>&a=b",
    "token=<good>&a", "token=<good>&a=&b=", "%74oken=<good>", "%74%6f%6B%65%6E=<good>",
         "token=<good>&x=%00".replace("%00", "%01"), "token=<good>&x=+%20", "token_type_hint=refresh_token&token=<good>",
         "token=<good>&token_type_hint=saml", "token_type_hint=&token=<good>",
         "token=<good>&reason=a+b", "token=<good>&x=a=b=c", "token=<good>&TOKEN=x", "token=<good>&token.x=1&token[]=2",
         "=&token=<good>", "token=<good>&x=\xe9\xff", "token=<good>&x=" + "y" * 60000,
         "&".join(f"p{i}=1" for i in range(63)) + "&token=<good>", "token=<good>&x=/?:@-._~!$'()*,;", "token=<good>&client_id="]
OBJECTS = ['{"token":"<good>"}', ' \t\r\n{ "token" : "<good>" }\n', '{"token_type_hint":"access_token","token":"<good>"}',
    '{"token":"<good>","a":null,"b":[1,{"c":true}],"d":1.5e3}', '{"\\u0074oken":"<good>"}',
           '{"token":"<good>","x":1e999}', '{"token":"<good>","x":99999999999999999999999}', '{"token":"<good>","":1}',
           '{"token":"<good>","Token":"x","TOKEN":1}', '{"token":"<good>","x":"\\ud83d\\ude00"}',
           '{"token":"<good>","x":"\xc3\xa9"}', '{"token":"<good>","x":"\\/\\b\\f"}',
           '{"token":"<good>","x":' + "[" * 30 + "]" * 30 + "}", '{"token":"<good>","x":"' + "y" * 60000 + '"}',
           '{"token":"<good>","reason":"laptop lost"}', "{" + "".join(f'"p{i}":1,' for i in range(63)) + '"token":"<good>"}',
           '{"token":"<good>","x":-0.0,"y":0}']
LENGTHS = (("in one chunk", chunked("/revoke", body="⟦token=<good>⟧")), ("in three chunks",
    chunked("/revoke", body="⟦to⟧⟦ken=⟧⟦<good>⟧")), ("in chunks with extensions",
        chunked("/revoke", body='⟦;x|tok⟧⟦;y="z"|en=<good>⟧')),
           ("in chunks with zeros before their size", chunked("/revoke", body="0006\r\ntoken=\r\n⟦<good>⟧", end="0000\r\n\r\n")),
           ("in chunks and trailers", chunked("/revoke", body="⟦token=<good>⟧", end="0\r\nX-A: 1\r\nX-B:\r\n\r\n")),
           ("with announced trailers", chunked("/revoke", "Trailer: X-A", body="⟦token=<good>⟧", end="0\r\nX-A: 1\r\n\r\n")),
           ("in chunks and an extension of the last", chunked("/revoke", body="⟦token=<good>⟧", end="0;a=b\r\n\r\n")),
           ("in chunks of a coding in upper case", message("POST", "/revoke", FORM, "Transfer-Encoding: Chunked",
           body="⟦token=<good>⟧0\r\n\r\n")),
           ("of a length with zeros", message("POST", "/revoke", FORM, "Content-Length: 000<n>", body="token=<good>")),
           ("of a length with blanks", message("POST", "/revoke", FORM, "Content-Length:   <n>  ", body="token=<good>")),
           ("of fields in lower case",
           "POST /revoke HTTP/1.1\r\nhost:a\r\ncontent-type:application/x-www-form-urlencoded\r\ncontent-length:<n>\r\n\r\ntoken=<good>"),
           ("with identity", post("/revoke", "Content-Encoding: identity", body="token=<good>")),
           ("with an Accept of something else", post("/revoke", "Accept: image/png", body="token=<good>")),
           ("in full", post("http://site.test/revoke", body="token=<good>")),
           ("with an empty query", post("/revoke?", body="token=<good>")), ("with a query of another token",
           post("/revoke?token=<bob>", body="token=<good>")),
           ("behind dots", post("/x/../revoke", body="token=<good>")), ("behind double slashes",
           post("//revoke", body="token=<good>")), ("percent-encoded", post("/%72evoke", body="token=<good>")),
           ("beside a header's token", post("/revoke", "Authorization: Bearer <bob>", body="token=<good>")),
           ("beside a cookie's token", post("/revoke", "Cookie: session=<bob>", body="token=<good>")),
           ("of another site", post("/revoke", "Origin: https://evil.test", "Sec-Fetch-Site: cross-site", body="token=<good>")),
           ("by a client that nobody asked for", post("/revoke", CLIENT, body="token=<good>")))

ENDPOINTS = [
    *(sent(f"revoke: type {kind}", post("/revoke", kind="Content-Type: " + kind, body="token=<good>")) for kind in TYPES),
    *(sent(f"revoke: type {kind}", post("/revoke", kind="Content-Type: " + kind, body='{"token":"<good>"}'),
        DONE) for kind in JSON_TYPES),
    *(sent(f"revoke: form {ascii(text)[:50]} of {len(text)}", post("/revoke", body=text)) for text in FORMS),
    *(sent(f"revoke: JSON {ascii(text)[:50]} of {len(text)}", post("/revoke", kind=JSON, body=text), DONE) for text in OBJECTS),
    *(sent(f"revoke: {name}", request) for name, request in LENGTHS),
    Case("revoke: a body that waits", BODY, post("/revoke", "Expect: 100-continue", body="token=<good>"), ("100", REVOKED),
        ends=("good",)),
    Case("revoke: a body that waits, in upper case", BODY, post("/revoke", "EXPECT: 100-CONTINUE", body="token=<good>"),
        ("100", REVOKED), ends=("good",)),
    Case("revoke: HTTP/1.0", BODY, f"POST /revoke HTTP/1.0\r\n{FORM}\r\nContent-Length: <n>\r\n\r\ntoken=<good>", (REVOKED,),
        closed=True, ends=("good",)),
    Case("revoke: HTTP/1.0, kept", BODY,
        f"POST /revoke HTTP/1.0\r\n{FORM}\r\nConnection: Keep-Alive\r\nContent-Length: <n>\r\n\r\ntoken=<good>", (REVOKED,),
            ends=("good",)),
    Case("revoke: what is no token", "R7009-07", post("/revoke", body="token=x"), (REVOKED,)),
        Case("revoke: forged", "R7009-07", post("/revoke", body="token=<forged>"), (REVOKED,)),
    Case("revoke: expired", "R7009-07", post("/revoke", body="token=<expired>"), (REVOKED,)),
        Case("revoke: with a blank behind", "R7009-07", post("/revoke", body="token=<good>+"), (REVOKED,)),
    Case("revoke: 60 KiB of no token", "R7009-07", post("/revoke", body="token=" + "." * 60000), (REVOKED,)),
        Case("revoke: strict, no token", "R7009-07", post("/strict", body="token=x"), ('401 {"revoked": false}',)),
    sent("revoke: strict", post("/strict", body="token=<good>"), DONE), sent("revoke: strict JSON",
        post("/strict", kind=JSON, body='{"token":"<good>"}'), DONE),
    Case("revoke: OPTIONS", "R7009-01", message("OPTIONS", "/revoke"), ("204 POST, OPTIONS",)),
    *(sent(f"client: {name}", post("/client", *lines, body="token=<good>" + more), row="R6749") for name, lines, more in (
        ("Basic", (CLIENT,), ""), ("basic in lower case", (CLIENT.replace("Basic", "basic"),), ""),
        ("blanks behind the scheme", (CLIENT.replace("Basic ", "Basic   "),), ""),
        ("in the body", (), "&client_id=c1&client_secret=secret"),
        ("percent-encoded in the body", (), "&client_id=%63%31&client_secret=%73ecret"),
        ("Basic and its name in the body", (CLIENT,), "&client_id=c1"), ("a public one", (), "&client_id=pub"))),
    *(Case(f"introspect: {name}", "R7662-01", request, ('200 {"active": true, "sub": "alice"}',)) for name, request in (
        ("a form", post("/introspect", CLIENT, body="token=<good>")), ("the client in the body",
        post("/introspect", body="token=<good>&client_id=c1&client_secret=secret")),
        ("a hint", post("/introspect", CLIENT, body="token_type_hint=x&token=<good>")),
        ("chunks", chunked("/introspect", CLIENT, body="⟦tok⟧⟦en=<good>⟧")),
        ("percent-encoded", post("/introspect", CLIENT, body="%74oken=<good>&a=%20")))),
    *(Case(f"introspect: {name}", "R7662-04", post("/introspect", CLIENT, body=f"token={text}"),
        ('200 {"active": false}',)) for name, text in (
        ("no token", "x"), ("forged", "<forged>"), ("expired", "<expired>"), ("8-bit", "\xff"), ("long", "." * 60000))),
    *(Case(f"back-channel: {name}", "BCL-01", request, ("200 {}",), more=2) for name, request in (
        ("a form", post("/backchannel", body="logout_token=<logout>")), ("more parameters",
        post("/backchannel", body="state=1&logout_token=<logout>&a=b")), ("percent-encoded",
            post("/backchannel", body="logout%5Ftoken=<logout>")),
        ("chunks", chunked("/backchannel", body="⟦logout_token=⟧⟦<logout>⟧")),
        ("with credentials", post("/backchannel", CLIENT, "Cookie: a=b", body="logout_token=<logout>")))),
    *(Case(f"logout: {name}", "LO-01", request, (want,), ends=ends) for name, want, ends, request in (
        ("a cookie", "303 /bye.html", ("good",), post("/logout", "Cookie: session=<good>")),
        ("JSON is wanted", '200 {"message": "Successfully logged out"}', ("good",),
        post("/logout", "Accept: application/json", "Cookie: session=<good>")),
        ("a header", "303 /bye.html", ("good",), post("/logout", BEARER)), ("both", "303 /bye.html", ("good", "bob"),
        post("/logout", BEARER, "Cookie: session=<bob>")),
        ("two cookies of one name", "303 /bye.html", ("good", "bob"), post("/logout", "Cookie: session=<good>; session=<bob>")),
        ("two headers", "303 /bye.html", ("good", "bob"), post("/logout", BEARER, "Authorization: Bearer <bob>")),
        ("in the body", "303 /bye.html", ("good", "bob"), post("/logout", body="token=<good>&refresh_token=<bob>")),
        ("in JSON", "303 /bye.html", ("good",), post("/logout", kind=JSON, body='{"token":"<good>"}')),
        ("nobody", "303 /bye.html", (), post("/logout")), ("an expired one", "303 /bye.html", (),
        post("/logout", "Cookie: session=<expired>")), ("a forged one", "303 /bye.html", (),
            post("/logout", "Cookie: session=<forged>")),
        ("no type and no body", "303 /bye.html", ("good",), post("/logout", "Cookie: session=<good>", kind=None)),
        ("chunks of nothing", "303 /bye.html", ("good",), chunked("/logout", "Cookie: session=<good>")),
        ("from its own page", "303 /bye.html", ("good",), post("/logout", "Cookie: session=<good>", "Origin: http://site.test",
        "Sec-Fetch-Site: same-origin")),
        ("by Origin alone", "303 /bye.html", ("good",), post("/logout", "Cookie: session=<good>", "Origin: http://SITE.TEST:80")),
        ("behind TLS", "303 /bye.html", ("good",), post("/logout", "Cookie: session=<good>", "Origin: https://site.test")))),
    *(Case(f"logout: target {uri}", "LO-04, LO-05", post("/logout", HTML, "Cookie: session=<good>",
        body="post_logout_redirect_uri=" + urllib.parse.quote(uri, safe="")), ("303 " + (where or uri),), ends=("good",)) for uri,
            where in (
        ("/bye.html", None), ("https://app.test/done", None), ("/", None), ("/a/b?c=d&e=f#g", None), ("/%2f%2fevil.test", None),
        ("/a;b/..;/c", None), ("/?to=https:evil.test", None), ("/é", "/%C3%A9"), ("/a b", "/a%20b"), ("/\"<>", "/%22%3C%3E"))),
    Case("logout: a page that asks", "LO-02", get("/logout", HTML, "Cookie: session=<good>"), ("200",)),
        Case("logout: OPTIONS", "LO-01", message("OPTIONS", "/logout"), ("204 GET, HEAD, POST, OPTIONS",)),
    Case("logout: HEAD", "LO-02", message("HEAD", "/logout", "Cookie: session=<good>"), ("200",)),
    *(Case(f"admin: {name}", "RFC 9110", get(path, BOSS), ("200",)) for name, path in (
        ("status", "/admin/status"), ("a list", "/admin/revocations?limit=1"), ("an empty query", "/admin/revocations?"),
        ("percent-encoded parameters", "/admin/revocations?%6cimit=%31&kind=%74oken"))),
    Case("admin: HEAD", "RFC 9110", message("HEAD", "/admin/status", BOSS), ("200",)),
        Case("admin: OPTIONS", "RFC 9110", message("OPTIONS", "/admin/revocations", BOSS), ("204 GET, HEAD, POST, OPTIONS",)),
    *(Case(f"admin: {name}", "RFC 9110", request, ("201",), more=1) for name, request in (
        ("one", post("/admin/revocations", BOSS, kind=JSON, body='{"kind":"token","iss":"https://idp.test/","value":"one"}')),
        ("an array, in chunks", chunked("/admin/revocations", BOSS, kind=JSON,
        body='⟦[{"kind":"token",⟧⟦"iss":"https://idp.test/","value":"two"}]⟧')),
        ("white space and escapes", post("/admin/revocations", BOSS, kind="Content-Type: Application/JSON;charset=utf-8",
        body=' {\n"\\u006bind" : "token", "iss":"https:\\/\\/idp.test\\/", "value":"three"} \r\n')))),
    *(Case(f"guard: {name}", "SBCP-03", post(f"/as/token{query}", kind=kind, body=body), ("200",),
           sees=(f"POST /as/token{query}\r\n" + (f"{kind}\r\n" if kind else "") + f"Content-Length: <n>\r\n\r\n{body}",)) for name, query, kind, body in (
        ("another grant", "", FORM, "grant_type=client_credentials&x=%zz"), ("a password", "?a=b", FORM,
        "grant_type=password&username=a&password=%00"), ("JSON of another grant", "", JSON,
        '{"grant_type":"authorization_code","code":"x"}'),
        ("nothing", "", FORM, ""), ("bytes", "", "Content-Type: image/png", "\x00\xff"))),
]
