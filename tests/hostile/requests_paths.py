"""Hostile addresses (fault U1) and methods: without a good token, nothing behind a protected prefix hears of them."""

from requests_headers import ALICE, refused
from requests_site import (ALLOW_ADMIN, ALLOW_LOGOUT, ALLOW_POST, BEARER, BOSS, CLIENT, FORM, HERE, JSON, Case, get, message,
    post)

U1, METHODS, SMUGGLE = "U1", "standards H9, R7009-01", "request smuggling"

# What is protected: /app/ and /deep/ (proxied), /cgi/env, secret.txt wherever it is asked for.
ASKED = {  # address: without a token
    "/app/x": "401 no_token", "//app/x": "401 no_token", "///app///x": "401 no_token", "/./app/x": "401 no_token",
    "/app/./x": "401 no_token",
    "/app//x": "401 no_token", "/x/../app/x": "401 no_token", "/x/..//app/x": "401 no_token", "/app/../app/x": "401 no_token",
    "/app/x/..": "401 no_token", "/app/.": "401 no_token", "/%61pp/x": "401 no_token", "/%61%70%70/x": "401 no_token",
    "/app/%78": "401 no_token",
    "/%2e/app/x": "401 no_token", "/x/%2e%2e/app/x": "401 no_token", "/x/.%2e/app/x": "401 no_token",
    "/x/%2E./app/x": "401 no_token",
    "/app/x;a=b": "401 no_token", "/app/;/x": "401 no_token", "/app/..;/x": "401 no_token", "/app/x?": "401 no_token",
    "/app/?/../../open/x": "401 no_token",
    "/app/x%20": "401 no_token", "/app/x.": "401 no_token", "/app/x~": "401 no_token", "/app/x::$DATA": "401 no_token",
    "/app/\\x": "401 no_token",
    "/app/%5c..%5cx": "401 no_token", "/app/x%0d%0aX-Remote-User:%20mallory": "401 no_token", "/app/%c0%af": "401 no_token",
    "/app/\xe9": "401 no_token",
    "/app/%ff": "401 no_token", "/app/*": "401 no_token", "/app/http://evil.test/": "401 no_token", "/app/x//": "401 no_token",
    "/open/../app/x": "401 no_token",
    "/open/%2e%2e/app/x": "401 no_token", "/open/./../app/x": "401 no_token", "/open//..//app/x": "401 no_token",
    "/as/../app/x": "401 no_token",
    "/deep/app/x": "401 no_token", "/deep/app//x": "401 no_token", "//deep//app/x": "401 no_token",
    "/%64eep/app/x": "401 no_token",
    "/deep/./app/x": "401 no_token", "/deep/x/../app/x": "401 no_token", "/x/../deep/app/x": "401 no_token",
    "/deep/app/%2e%2e/app/x": "401 no_token",
    "/deep/app/..;/x": "401 no_token", "/deep/nothing": "401 no_token", "/cgi/env": "401 no_token", "//cgi//env": "401 no_token",
    "/cgi/env/more": "401 no_token",
    "/cgi/%65nv": "401 no_token", "/cgi/./env": "401 no_token", "/cgi/x/../env": "401 no_token",
    "/cgi/env/../env": "401 no_token", "/cgi/env?env": "401 no_token",
    "/secret.txt": "401 no_token", "//secret.txt": "401 no_token", "/./secret.txt": "401 no_token",
    "/secret%2etxt": "401 no_token",
    "/x/../secret.txt": "401 no_token", "/secret.txt/more": "401 no_token", "/secret.txt?x": "401 no_token",
    "/p/app/../../secret.txt": "401 no_token",
    # other addresses, behind which is nothing
    "/app%2fx": "404", "/app/%2fx": "404", "/app/%2F..%2Fx": "404", "/%2fapp/x": "404", "/app/..%2fapp/x": "404",
    "/x%2f..%2fapp/x": "404", "/deep%2fapp%2fx": "404",
    "/APP/x": "404", "/App/x": "404", "/app": "404", "/app;/x": "404", "/app;a=b/x": "404", "/;/app/x": "404",
    "/..;/app/x": "404", "/%3b/app/x": "404",
    "/app%20/x": "404", "/ap%70%00": "404", "/app%00/x": "404", "/app/x%00": "404", "/app/%00": "404", "/%00/app/x": "404",
    "/secret.txt%00": "404",
    "/secret.txt%00.html": "404", "/%252e%252e/app/x": "404", "/%61pp%252fx": "404", "/app%252fx": "404", "/\\app\\x": "404",
    "/%5capp/x": "404",
    "/app%5cx": "404", "/%ef%bc%8fapp/x": "404", "/a\xaapp/x": "404", "/Secret.txt": "404", "/secret.txt%20": "404",
    "/secret.txt.": "404",
    "/secret.txt%2f": "404", "/secret.txt%5c": "404", "/cgi%2fenv": "404", "/cgi/ENV": "404", "/cgi/env%20": "404",
    "/cgi/": "403", "/deep/%2fapp/x": "404",
    # no addresses at all
    "/../app/x": "400", "/app/../../app/x": "400", "/%2e%2e/app/x": "400", "/app/%zz": "400", "/app/%": "400", "/app/%6": "400",
    "/%u0061pp/x": "400",
    "/app/\x01": "400", "app/x": "400", "../app/x": "400", "": "400", "*": "400", "#": "400", "\\app\\x": "400",
    "/app/\x00": "400", "/app/\x7f": "400",
}
ABSOLUTE = {
    "http://site.test/app/x": "401 no_token", "HTTP://SITE.TEST/app/x": "401 no_token",
    "http://site.test//app//x": "401 no_token",
    "http://site.test:80/app/x": "401 no_token", "http://other.test/app/x": "401 no_token",
    "http://site.test/x/../app/x": "401 no_token",
    "http://user:pw@site.test/app/x": "400", "http:///app/x": "401 no_token", "http:/app/x": "401 no_token", "http:app/x": "400",
    "https://site.test/app/x": "401 no_token",
    "file:///app/x": "400", "http://site.test\\app\\x": "400", "http://site.test": "200", "http://[::1]/app/x": "401 no_token",
    "http://site.test:x/app/x": "400",
    "//site.test/app/x": "404"}
OTHER_METHODS = ("PUT", "DELETE", "PATCH", "PROPFIND", "MKCOL", "COPY", "MOVE", "LOCK", "REPORT", "OPTIONS", "HEAD", "POST",
    "TRACE")


def at(path, want, *lines, suffix=""):
    how = {"closed": want.startswith("400")}
    return Case(f"path: {ascii(path)}{suffix}", U1, get(path, *lines), (want,), **how)


def without_body(method, path, *lines):
    return message(method, path, *lines)


PATHS = [
    *(at(path, want) for path, want in ASKED.items()), *(at(path, want) for path, want in ABSOLUTE.items()),
    *(at(path, "401 expired", "Authorization: Bearer <expired>", suffix=" with an expired token") for path in ("//app/x",
        "/x/../app/x", "/%61pp/x", "/app/..;/x")),
    *(at(path, "401 bad_signature", "Cookie: session=<forged>", suffix=" with a forged cookie") for path in ("//app/x",
        "/x/../app/x", "/%61pp/x", "/app/..;/x")),

    # What was judged is what goes on: an encoded question mark is of the path, whatever stands behind it.
    *(Case(f"path: {path} with {line.partition(':')[0]}", U1, get(path, line), ("200",), sees=(ALICE.replace("/app/x", behind),))
      for line in (BEARER, "Cookie: session=<good>") for path, behind in (
        ("/app/x%3f", "/app/x%3F"), ("/app/x%3F%3f", "/app/x%3F%3F"), ("/app/x%3faccess_token=a", "/app/x%3Faccess_token=a"),
        ("/app/x%3fa=b&access_token=a", "/app/x%3Fa=b&access_token=a"), ("/app/x%3faccess_token=a/y",
        "/app/x%3Faccess_token=a/y"),
        ("/app/x%3faccess_token=a?b=c", "/app/x%3Faccess_token=a?b=c"), ("/app/x%3faccess_token=a%20b",
        "/app/x%3Faccess_token=a%20b"),
        ("/deep/app/x%3f", "/deep/app/x%3f"), ("/deep/app/x%3faccess_token=a?b=c", "/deep/app/x%3faccess_token=a?b=c"))),
    *(Case(f"path: {path}, and a cookie", U1, get(path, "Cookie: session=<good>"), ("200",),
        sees=(ALICE.replace("/app/x", behind),))
      for path, behind in (
        ("/app/x%3faccess_token=a?access_token=a", "/app/x%3Faccess_token=a"), ("/app/x%3f?access_token=a", "/app/x%3F"),
        ("/deep/app/x%3faccess_token=a?access_token=a", "/deep/app/x%3faccess_token=a"),
        ("/deep/app/x?a=b&access_token=a&c=d", "/deep/app/x?a=b&c=d"),
        ("/turned/x?a=b&access_token=a&c=d", "/app/x?a=b&c=d"), ("/raw/x?a=b&access_token=a&c=d", "/app/x?a=b&c=d"),
        ("/raw/x?access_token=a", "/app/x"))),
    *(Case(f"path: {path}, rewritten", U1, get(path, "Cookie: session=<good>"),
        ("403",)) for path in ("/turned/x%3faccess_token=a", "/raw/x%3fa")),

    # ---- methods, at the protected application ----
    *(Case(f"method: {method} without a token", METHODS, without_body(method, "/app/x"),
        ("401 no_token",)) for method in OTHER_METHODS if method != "TRACE"),
    *(Case(f"method: {method} without a token", METHODS, without_body(method, "/app/x"), ("401 no_token",)) for method in ("BREW",
        "get", "Get", "GETX")),
    Case("method: an overlong one", METHODS, without_body("G" * 5000, "/app/x"), ("401 no_token",)),
    Case("method: TRACE", METHODS, without_body("TRACE", "/app/x"), ("401 no_token",)),
    Case("method: TRACE with a body", METHODS, message("TRACE", "/app/x", "Content-Length: <n>", body="a"), ("401 no_token",)),
    Case("method: CONNECT", METHODS, message("CONNECT", "app.test:443"), ("405",)),
    Case("method: a blank before it", METHODS, " " + get("/app/x"), ("400",), closed=True),
    Case("method: a colon in it", METHODS, without_body("GE:T", "/app/x"), ("400",), closed=True),
    Case("method: a NUL in it", METHODS, without_body("GE\x00T", "/app/x"), ("400",), closed=True),
    *(Case(f"method: overridden by {name}", METHODS, get(path, line), ("401 no_token",)) for name, path, line in (
        ("a field", "/app/x", "X-HTTP-Method-Override: POST"), ("another field", "/app/x", "X-HTTP-Method: POST"),
        ("a third", "/app/x", "X-Method-Override: POST"),
        ("a parameter", "/app/x?_method=POST", "X-None: 1"))),
    *(Case(f"rewritten by {line.split(':')[0]}", U1, get("/canary.txt", line), ("200",)) for line in (
        "X-Original-URL: /app/x", "X-Rewrite-URL: /app/x", "X-Forwarded-Prefix: /app", "X-Accel-Redirect: /app/x",
        "X-Sendfile: /secret.txt",
        "X-Original-URI: /app/x", "Destination: http://site.test/app/x", "Client-IP: 127.0.0.1")),
    *(Case(f"not opened by {line.split(':')[0]}", U1, get("/app/x", line), ("401 no_token",)) for line in (
        "X-Original-URL: /canary.txt", "X-Rewrite-URL: /canary.txt", "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Remote-User: mallory", "REMOTE_USER: mallory", "X-Auth-Request-User: mallory", "X-Mellon-ECP: 1",
        "Accept: application/vnd.paos+xml",
        "PAOS: ver=\"urn:liberty:paos:2003-08\"", "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT", "If-None-Match: *",
        "Range: bytes=0-1",
        "Service-Worker: script", "Purpose: prefetch", "Sec-Fetch-Mode: navigate", "X-Requested-With: XMLHttpRequest")),
    Case("method: OPTIONS with a preflight's fields", METHODS, message("OPTIONS", "/app/x", "Origin: https://evil.test",
        "Access-Control-Request-Method: GET"),
         ("401 no_token",), fields=("Access-Control-Allow-Origin",)),
    Case("method: OPTIONS *", METHODS, message("OPTIONS", "*"), ("200",)),

    # ---- at our endpoints ----
    *(Case(f"method: {method} {path}", METHODS, without_body(method, path, CLIENT), (f"405 {ALLOW_POST}",))
      for path in ("/revoke", "/introspect", "/backchannel") for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "PROPFIND")),
    *(Case(f"method: {method} {path} with tokens in its query", METHODS, message(method,
        path + "?token=<good>&logout_token=<logout>", CLIENT), (f"405 {ALLOW_POST}",))
      for path in ("/revoke", "/introspect", "/backchannel") for method in ("GET", "PUT")),
    *(Case(f"method: {method} /logout", METHODS, message(method, "/logout", "Cookie: session=<good>"),
        (f"405 {ALLOW_LOGOUT}",)) for method in ("PUT", "DELETE", "PATCH")),
    *(Case(f"method: {method} /admin/revocations", METHODS, message(method, "/admin/revocations", BOSS),
        (f"405 {ALLOW_ADMIN}",)) for method in ("PUT", "DELETE", "PATCH")),
    *(Case(f"method: TRACE {path}, which httpd answers itself", METHODS, message("TRACE", path, "Cookie: session=<good>", BEARER),
        ("200 echo",))
      for path in ("/revoke?token=<good>", "/introspect", "/logout", "/backchannel", "/admin/status", "/secret.txt")),
    *(Case(f"method: lower case at {path}", METHODS, message("post", path, FORM, CLIENT, "Content-Length: <n>",
        body="token=<good>"), (f"405 {allow}",))
      for path, allow in (("/revoke", ALLOW_POST), ("/introspect", ALLOW_POST), ("/logout", ALLOW_LOGOUT),
          ("/backchannel", ALLOW_POST))),
    *(Case(f"method: overridden by {name} at /revoke", METHODS, message("GET", "/revoke" + query, *lines, FORM,
        "Content-Length: <n>", body="token=<good>"),
           (f"405 {ALLOW_POST}",)) for name, query, lines in (
        ("a field", "", ("X-HTTP-Method-Override: POST",)), ("a parameter", "?_method=POST", ()),
        ("another field", "", ("X-HTTP-Method: POST",)))),
    Case("method: a GET that logs out", "LO-02", get("/logout?post_logout_redirect_uri=//evil.test", "Cookie: session=<good>"),
        ("200",), fields=("Location",)),
    Case("method: an image that logs out", "LO-02", get("/logout", "Cookie: session=<good>", "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Dest: image"), ("200",)),
    Case("revoke: parameters in the address", "R7009-02", post("/revoke?token=<good>", body=""), ("400 invalid_request",),
        closed=True),
    Case("admin: an unknown address", U1, get("/admin/nothing", BOSS), ("404 problem",)),
    Case("admin: dots", U1, get("/admin/../admin/./status", BOSS), ("200",)),
    Case("admin: dots without a name", U1, get("/x/../admin//status"), ("401",)),
    Case("admin: an encoded slash", U1, get("/admin%2fstatus"), ("404",)),
    *(Case(f"admin: a bad query {query}", U1, get("/admin/revocations?" + query, BOSS), ("400 problem",),
        closed=True) for query in (
        "limit=0", "limit=-1", "limit=99999999999999999999", "limit=1&limit=2", "limit=%zz", "after=x", "kind=everything",
        "kind=%00", "unknown=1", "jti=%")),

    # ---- two requests that look like one, and one that looks like two ----
    refused("smuggle: HTTP/1.2 of two words", SMUGGLE, f"GET /app/x HTTP/1.1 HTTP/1.1\r\n{HERE}\r\n\r\n"),
    refused("smuggle: a blank in the address", SMUGGLE, f"GET /app/x /canary.txt HTTP/1.1\r\n{HERE}\r\n\r\n"),
    refused("smuggle: two blanks", SMUGGLE, f"GET  /app/x HTTP/1.1\r\n{HERE}\r\n\r\n"),
    refused("smuggle: a tab", SMUGGLE, f"GET\t/app/x HTTP/1.1\r\n{HERE}\r\n\r\n"),
    refused("smuggle: a blank at the end", SMUGGLE, f"GET /app/x HTTP/1.1 \r\n{HERE}\r\n\r\n"),
    refused("smuggle: no version", SMUGGLE, f"GET /app/x HTTP/\r\n{HERE}\r\n\r\n"),
    refused("smuggle: a version in lower case", SMUGGLE, f"GET /app/x http/1.1\r\n{HERE}\r\n\r\n"),
    refused("smuggle: a version of another protocol", SMUGGLE, f"GET /app/x HTTPS/1.1\r\n{HERE}\r\n\r\n"),
    refused("smuggle: a line break in the address", SMUGGLE, f"GET /app/x\nX-Remote-User: mallory HTTP/1.1\r\n{HERE}\r\n\r\n"),
    Case("smuggle: HTTP/2.0 over HTTP/1", SMUGGLE, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ("400",), closed=True),
    Case("smuggle: a version from the future", SMUGGLE, f"GET /app/x HTTP/3.1\r\n{HERE}\r\n\r\n", ("401 no_token",)),
    Case("smuggle: the second of two is judged on its own", SMUGGLE, get("/app/x", BEARER) + get("/app/x"),
        ("200", "401 no_token"), sees=(ALICE,)),
    Case("smuggle: the first of two is judged on its own", SMUGGLE, get("/app/x") + get("/app/x", BEARER),
        ("401 no_token", "200"), sees=(ALICE,)),
    Case("smuggle: a cookie does not stay with the connection", SMUGGLE, get("/app/x", "Cookie: session=<good>") + get("/app/x"),
        ("200", "401 no_token"), sees=(ALICE,)),
    Case("smuggle: an identity does not stay with the connection", SMUGGLE, get("/cgi/env",
        BEARER) + get("/open/x") + get("/cgi/env"),
         ("200 alice", "200", "401 no_token"), sees=("GET /open/x",)),
    Case("smuggle: a request in the body of a refused one", SMUGGLE, post("/app/x", kind=None, body=get("/open/x")),
        ("401 no_token",)),
    Case("smuggle: a request in a body that nobody reads", SMUGGLE, message("GET", "/revoke", "Content-Length: <n>",
        body=get("/app/x", BEARER)),
         (f"405 {ALLOW_POST}",)),
    Case("smuggle: a request in the body of GET", SMUGGLE, message("GET", "/app/x", BEARER, "Content-Length: <n>",
        body=get("/app/y")), ("200",),
         sees=(ALICE + "\r\nContent-Length: <n>\r\n\r\n" + get("/app/y"),)),
    Case("smuggle: JSON for a form", SMUGGLE, post("/revoke", body='{"token":"<good>"}'), ("400 invalid_request",), closed=True),
    Case("smuggle: a form for JSON", SMUGGLE, post("/revoke", kind=JSON, body="token=<good>"), ("400 invalid_request",),
        closed=True),
]
