"""Hostile header sections: fault H1, smuggled identities, and what must not be read as a token."""

from requests_site import BEARER, CLIENT, HERE, JSON, Case, chunked, get, message, post

ALICE = "GET /app/x\r\nX-Remote-User: alice\r\nX-Roles: [\"staff\"]"
H1, H7, SPOOF = "H1", "standards H7", "2.3 identity header spoofing"


def refused(name, row, request, want="400", **how):
    """By httpd itself, or by us; the back end hears nothing and the connection ends where the status is 400."""
    return Case(name, row, request, (want,), closed=want.startswith(("400", "413", "417")), **how)


def spoofed(name, *lines, left=(), path="/app/x", row=SPOOF):
    """A good token and a name that the client would like to have: the back end is told Alice and what is left."""
    return Case(f"spoof: {name}", row, get(path, BEARER, *lines), ("200",), sees=("\r\n".join((ALICE, *left)),))


def open_spoof(name, *lines, left=()):
    """Where nobody logs in, the names are the server's all the same."""
    return Case(f"spoof without login: {name}", SPOOF, get("/open/x", *lines), ("200",),
        sees=("\r\n".join(("GET /open/x", *left)),))


def script_spoof(name, *lines):
    """A script folds names: its environment knows Alice once and nobody else."""
    return Case(f"spoof a script: {name}", SPOOF, get("/cgi/env", BEARER, *lines), ("200 alice",))


SPELLINGS = {
    "the name itself": "X-Remote-User: mallory", "lower case": "x-remote-user: mallory", "upper case": "X-REMOTE-USER: mallory",
    "mixed case": "x-ReMoTe-uSeR: mallory", "underscores": "X_Remote_User: mallory", "one underscore": "X-Remote_User: mallory",
    "dots": "X.Remote.User: mallory", "another dot": "X.Remote-User: mallory", "plus": "X+Remote+User: mallory",
    "tilde": "X~Remote~User: mallory", "hash": "X#Remote#User: mallory", "exclamation": "X!Remote!User: mallory",
    "the other claim": "X-Roles: mallory", "the other claim, folded": "x_roles: mallory", "empty": "X-Remote-User:",
    "caret and bar": "X^Remote|User: mallory", "star": "X*Remote*User: mallory", "percent": "X%Remote%User: mallory"}

CONNECTION = {
    "named": "Connection: keep-alive, X-Remote-User", "alone": "Connection: X-Remote-User",
    "close first": "Connection: close, X-Remote-User",
    "lower case": "Connection: x-remote-user", "upper case": "CONNECTION: X-REMOTE-USER",
    "with a tab": "Connection: keep-alive,\tX-Remote-User",
    "without a blank": "Connection: keep-alive,X-Remote-User,X-Roles", "empty members": "Connection: ,,X-Remote-User,,",
    "both": "Connection: X-Remote-User, X-Roles", "blanks around": "Connection:   X-Remote-User  ,  X-Roles  ",
    "underscores": "Connection: X_Remote_User", "a repeated name": "Connection: X-Remote-User, X-Remote-User, X-Remote-User",
    "in Proxy-Connection": "Proxy-Connection: keep-alive, X-Remote-User"}

HEADERS = [
    *(spoofed(name, line) for name, line in SPELLINGS.items()),
    *(open_spoof(name, line) for name, line in SPELLINGS.items()),
    *(script_spoof(name, line) for name, line in SPELLINGS.items()),
    spoofed("twice", "X-Remote-User: mallory", "X-Remote-User: mallory"),
    spoofed("in two spellings", "X-Remote-User: mallory", "x_remote_user: mallory", "X.ROLES: mallory"),
    spoofed("ninety times", *(f"X-Remote{'-_.+!'[i % 5]}User: mallory" for i in range(90))),
    spoofed("folded", "X-Remote-User: mall\r\n ory"),
    spoofed("behind a harmless field", "X-A: 1\r\nX-Remote-User: mallory", left=("X-A: 1",)),
    spoofed("a longer name is another name", "X-Remote-User-Agent: 1", left=("X-Remote-User-Agent: 1",)),
    Case("spoof: in trailers", SPOOF, chunked("/app/x", BEARER, body="⟦a⟧", kind=None,
        end="0\r\nX-Remote-User: mallory\r\nX_Roles: mallory\r\n\r\n"),
         ("200",), sees=(ALICE.replace("GET", "POST") + "\r\nContent-Length: 1\r\n\r\na",)),
    Case("spoof a script: in trailers", SPOOF, chunked("/cgi/env", BEARER, body="⟦a⟧", kind=None,
                                                       end="0\r\nX-Remote-User: mallory\r\nx_roles: mallory\r\n\r\n"),
                                                           ("200 alice",)),
    *(Case(f"Connection: {name}", "1: Connection drops what the server set", get("/app/x", BEARER, line), ("200",),
           closed="close" in line, sees=(ALICE,)) for name, line in CONNECTION.items()),
    Case("Connection: in two fields", "1: Connection drops what the server set",
         get("/app/x", BEARER, "Connection: keep-alive", "Connection: X-Remote-User"), ("200",), sees=(ALICE,)),
    Case("Connection: names Authorization", "H1", get("/app/x", BEARER, "Connection: Authorization"), ("200",), sees=(ALICE,)),
    Case("Connection: names Cookie", "H1", get("/app/x", "Cookie: session=<good>", "Connection: Cookie"), ("200",),
        sees=(ALICE,)),
    Case("Connection: names Host", "H1", get("/app/x", BEARER, "Connection: Host"), ("200",), sees=(ALICE,)),
    Case("Trailer names the identity", "H1", get("/app/x", BEARER, "Trailer: X-Remote-User"), ("200",), sees=(ALICE,)),
    Case("TE names the identity", "H1", get("/app/x", BEARER, "TE: trailers, X-Remote-User"), ("200",), sees=(ALICE,)),
    Case("Keep-Alive names the identity", "H1", get("/app/x", BEARER, "Keep-Alive: X-Remote-User"), ("200",), sees=(ALICE,)),
    Case("Upgrade to another protocol", "H1", get("/app/x", BEARER, "Upgrade: h2c, websocket",
        "Connection: Upgrade, X-Remote-User"), ("200",),
         sees=(ALICE,)),
    Case("REMOTE_USER of another proxy", SPOOF, get("/cgi/env", BEARER, "X-Forwarded-User: bob"), ("200 alice",)),

    # ---- no token, or more than one ----
    *(Case(f"no token: {name}", "R6750", get("/app/x", line), ("401 no_token",)) for name, line in {
        "no credentials": "X-None: 1", "an empty field": "Authorization:", "a scheme alone": "Authorization: Bearer",
        "a scheme and blanks": "Authorization: Bearer    ", "Basic": "Authorization: Basic <good>",
        "Token": "Authorization: Token <good>",
        "no scheme": "Authorization: <good>", "JWT": "Authorization: JWT <good>", "DPoP": "Authorization: DPoP <good>",
        "a longer scheme": "Authorization: Bearerx <good>", "a colon": "Authorization: Bearer: <good>",
        "an equals sign": "Authorization: Bearer=<good>",
        "an underscore": "Authorization: Bearer_<good>", "glued": "Authorization: Bearer<good>",
        "in quotes": 'Authorization: "Bearer <good>"',
        "the proxy's field": "Proxy-Authorization: Bearer <good>", "another field": "X-Authorization: Bearer <good>",
        "an underscore in the name": "Author_ization: Bearer <good>", "the name of CGI": "HTTP_AUTHORIZATION: Bearer <good>",
        "another cookie": "Cookie: sessions=<good>", "a prefix of a cookie's name": "Cookie: xsession=<good>",
        "a cookie in upper case": "Cookie: SESSION=<good>",
        "a cookie in a cookie": "Cookie: a=session=<good>", "an empty cookie": "Cookie: session=",
        "two quotes": 'Cookie: session=""',
        "Set-Cookie": "Set-Cookie: session=<good>", "Cookie2": "Cookie2: session=<good>"}.items()),
    *(Case(f"malformed: {name}", "2.3 header parsing", get("/app/x", line), ("401 malformed",)) for name, line in {
        "TeslaGov's X": "Authorization: Bearer X", "a quoted token": 'Authorization: Bearer "<good>"',
        "a parameter": "Authorization: Bearer token=<good>",
        "a blank inside": "Authorization: Bearer <good> x", "a tab inside": "Authorization: Bearer <good>\tx",
        "a semicolon": "Authorization: Bearer <good>;",
        "padding": "Authorization: Bearer <good>=", "8-bit": "Authorization: Bearer \xe9<good>",
        "8-bit behind": "Authorization: Bearer <good>\xff",
        "an overlong UTF-8": "Authorization: Bearer \xc0\xae<good>", "dots": "Authorization: Bearer ..",
        "one dot": "Authorization: Bearer .",
        "two schemes": "Authorization: Bearer Bearer <good>", "folded inside": "Authorization: Bearer <good>\r\n x",
        "a soft hyphen": "Authorization: Bearer \xad<good>", "percent": "Authorization: Bearer %65<good>",
        "17 KiB": "Authorization: Bearer " + "a" * 17000 + ".b.c", "60 KiB of dots": "Authorization: Bearer " + "." * 60000,
        "a quote at one end of a cookie": 'Cookie: session="<good>', "a cookie with a blank": "Cookie: session=<good> x",
        "8-bit in a cookie": "Cookie: session=\xe9<good>",
        "a comma glued in a cookie": "Cookie: session=<good>,session=<bob>"}.items()),
    *(Case(f"two tokens: {name}", H7, get("/app/x", *lines), ("400 multiple_tokens",), closed=True) for name, lines in {
        "two fields": (BEARER, "Authorization: Bearer <bob>"), "the same twice": (BEARER, BEARER),
        "good and bad": (BEARER, "Authorization: Bearer x.y.z"),
        "bad and good": ("Authorization: Bearer x.y.z", BEARER), "a comma": ("Authorization: Bearer <good>, Bearer <bob>",),
        "a trailing comma": ("Authorization: Bearer <good>,",), "another scheme first": ("Authorization: Basic YTpi", BEARER),
        "another scheme behind": (BEARER, "Authorization: Basic YTpi"), "DPoP beside it": (BEARER, "Authorization: DPoP x"),
        "other case": (BEARER, "authorization: bearer <bob>"), "folded": ("Authorization: Bearer <good>,\r\n Bearer <bob>",),
        "an empty one first": ("Authorization: Bearer", BEARER)}.items()),
    Case("two tokens: header and query", "R6750-03", get("/app/x?access_token=<bob>", BEARER), ("400 multiple_tokens",),
        closed=True),
    Case("two tokens: the same in header and query", "R6750-03", get("/app/x?access_token=<good>", BEARER),
        ("400 multiple_tokens",), closed=True),
    Case("two tokens: query twice", "R6750-03", get("/app/x?access_token=<good>&access_token=<bob>"), ("400 multiple_tokens",),
        closed=True),
    Case("two tokens: query twice, once percent-encoded", "R6750-03", get("/app/x?access_token=<good>&%61ccess_token=<bob>"),
         ("400 multiple_tokens",), closed=True),
    Case("two tokens: a field of its own twice", H7, get("/app/field/x", "X-Token: <good>", "X-Token: <bob>"),
        ("400 multiple_tokens",), closed=True),
    Case("a bad header is not made good by a cookie", "R6750", get("/app/x", "Authorization: Bearer x.y.z",
        "Cookie: session=<good>"), ("401 malformed",)),
    Case("an expired header is not made good by a query", "R6750", get("/app/x?access_token=<good>",
        "Authorization: Bearer <expired>"),
         ("400 multiple_tokens",), closed=True),
    Case("of two cookies the first counts", "H1", get("/app/x", "Cookie: session=<expired>; session=<good>"), ("401 expired",)),
    Case("of two cookie fields the first counts", "H1", get("/app/x", "Cookie: session=<forged>", "Cookie: session=<good>"),
        ("401 bad_signature",)),
    Case("eight thousand cookies", "H1", get("/app/x", "Cookie: " + "; ".join(f"c{i}=" for i in range(8000))), ("401 no_token",)),
    Case("semicolons only", "H1", get("/app/x", "Cookie: " + ";" * 60000), ("401 no_token",)),
    Case("commas only", "H1", get("/app/x", "Authorization: " + ", " * 30000), ("401 no_token",)),
    Case("equals signs only", "H1", get("/app/x", "Cookie: " + "=" * 60000), ("401 no_token",)),
    Case("chunk count of a peer's cookies", "CVE-2024-24814", get("/app/x", "Cookie: session_chunks=99999999; session_0=<good>"),
        ("401 no_token",)),
    Case("a field of its own, with a scheme", "H1", get("/app/field/x", "X-Token: Bearer <good>"), ("401 malformed",)),
    Case("a field of its own, in underscores", "H1", get("/app/field/x", "X_Token: <good>"), ("401 no_token",)),
    refused("httpd: a fragment", H1, get("/app/x#access_token=<good>")),
    Case("a token in the path", "R6750", get("/app/;access_token=<good>"), ("401 no_token",)),
    Case("a token in the body", "R6750-04", post("/app/x", body="access_token=<good>"), ("401 no_token",)),
    Case("a token behind a semicolon of the query", "R6750", get("/app/x?a=b;access_token=<good>"), ("401 no_token",)),
    Case("a query that breaks off in an escape", "R6750", get("/app/x?access_token=<good>%"), ("401 malformed",)),
    Case("a query with a NUL", "R6750", get("/app/x?access_token=<good>%00"), ("401 malformed",)),
    Case("a query of a wrong escape", "R6750", get("/app/x?access_token=<good>%zz"), ("401 malformed",)),
    Case("the refusal of a HEAD", "R6750-06", message("HEAD", "/app/x"), ("401 no_token",)),

    # ---- what httpd itself refuses, before anybody else looks ----
    *(refused(f"httpd: {name}", H1, get("/app/x", *lines)) for name, lines in {
        "NUL in a value": (BEARER, "X-A: a\x00b"), "NUL in a name": (BEARER, "X-A\x00: b"),
        "NUL in the token": ("Authorization: Bearer <good>\x00",),
        "a bare CR in a value": (BEARER, "X-A: a\rb"), "a bare CR before an identity": (BEARER, "X-A: a\rX-Remote-User: mallory"),
        "a bare CR in the token": ("Authorization: Bearer <good>\rX",),
        "a blank before the colon": ("Authorization : Bearer <good>",),
        "a blank in a name": (BEARER, "X Remote-User: mallory"), "no colon": (BEARER, "X-Remote-User mallory"),
        "no name": (BEARER, ": mallory"),
        "a control character": (BEARER, "X-A: \x01"), "DEL": (BEARER, "X-A: \x7f"),
        "a slash in a name": (BEARER, "X/Remote/User: mallory"),
        "an 8-bit name": (BEARER, "X-Remot\xe9-User: mallory"), "brackets in a name": (BEARER, "X(Remote)User: mallory"),
        "a backspace": (BEARER, "X-A: \x08"), "a quote in a name": (BEARER, 'X"Remote: mallory'),
        "an escape sequence": (BEARER, "X-A: \x1b[31m"),
        "an escape in a cookie": ("Cookie: session=<good>\x1b",), "two hosts": (BEARER, "Host: other.test"),
        "101 fields": (BEARER, *(f"X-{i}: 1" for i in range(101))),
        "66,000 bytes in a field": (BEARER, "X-A: " + "a" * 66000), "a folded field of 66,000 bytes": (BEARER,
        "X-A: a" + "\r\n a" * 33000)}.items()),
    refused("httpd: no host", H1, get("/app/x", BEARER, host=None)),
    refused("httpd: an empty first field", H1, f"GET /app/x HTTP/1.1\r\n {HERE}\r\n{BEARER}\r\n\r\n"),
    refused("httpd: a host with a blank", H1, get("/app/x", BEARER, host="Host: a b")),
    refused("httpd: a host with a slash", H1, get("/app/x", BEARER, host="Host: a/b")),
    refused("httpd: a host with an @", H1, get("/app/x", BEARER, host="Host: a@b")),
    refused("httpd: an empty host", H1, get("/app/x", BEARER, host="Host:")),
    refused("httpd: a host with a bad port", H1, get("/app/x", BEARER, host="Host: a:x")),
    refused("httpd: fields before a bare LF", H1, f"GET /app/x HTTP/1.1\n{HERE}\nX-Remote-User: mallory\n\n"),
    refused("httpd: a bare LF within", H1, get("/app/x", BEARER, "X-A: a\nX-Remote-User: mallory")),
    refused("httpd: a bare CR ends a line", H1, f"GET /app/x HTTP/1.1\r{HERE}\r{BEARER}\r\r\n\r\n"),

    # ---- the same before our endpoints ----
    *(refused(f"{path}: {name}", H1, request(path)) for path in ("/revoke", "/introspect", "/logout", "/admin/revocations",
        "/backchannel", "/as/token")
      for name, request in {
          "NUL in a value": lambda p: post(p, CLIENT, "X-A: \x00", body="token=<good>"),
          "a bare CR": lambda p: post(p, CLIENT, "X-A: a\rContent-Length: 0", body="token=<good>"),
          "a blank before the colon": lambda p: post(p, CLIENT, "Cookie : session=<good>", body="token=<good>")}.items()),
    Case("admin: no credentials", "H1", get("/admin/status"), ("401",)),
    Case("admin: a bearer token", "H1", get("/admin/status", BEARER), ("401",)),
    Case("admin: identity in a field", SPOOF, post("/admin-open/revocations", "X-Remote-User: boss", "REMOTE_USER: boss",
        "X_Remote_User: boss", kind=JSON,
                                                   body='{"kind":"issuer","iss":"https://idp.test/"}'), ("403 problem",)),
    Case("introspect: no credentials", "R7662-02", post("/introspect", body="token=<good>"), ("401 invalid_client",)),
    Case("introspect: a bearer token", "R7662-02", post("/introspect", BEARER, body="token=<good>"), ("401 invalid_client",)),
    Case("introspect: a public client", "R7662-02", post("/introspect", body="token=<good>&client_id=pub"),
        ("401 invalid_client",)),
    Case("introspect: credentials twice", H7, post("/introspect", CLIENT, CLIENT, body="token=<good>"), ("401 invalid_client",)),
    Case("introspect: two ways at once", "R6749", post("/introspect", CLIENT,
        body="token=<good>&client_id=c1&client_secret=secret"), ("400 invalid_request",),
         closed=True),
    Case("introspect: broken Base64", "standards H10", post("/introspect", "Authorization: Basic YzE6c2VjcmV0!",
        body="token=<good>"), ("401 invalid_client",)),
    Case("introspect: no colon", "standards H10", post("/introspect", "Authorization: Basic YzE=", body="token=<good>"),
        ("401 invalid_client",)),
    Case("introspect: a NUL in the secret", "standards H10", post("/introspect", "Authorization: Basic YzE6c2VjcmV0AA==",
        body="token=<good>"),
         ("401 invalid_client",)),
    Case("introspect: an identity in a field", SPOOF, post("/introspect", "X-Remote-User: boss", "REMOTE_USER: boss",
        body="token=<good>"), ("401 invalid_client",)),
    Case("revoke: no client where one is asked for", "R7009", post("/client", body="token=<good>"), ("401 invalid_client",)),
    Case("revoke: a token in the header only", "R7009-02", post("/revoke", BEARER, body=""), ("400 invalid_request",),
        closed=True),
    Case("revoke: a token in a cookie only", "R7009-02", post("/revoke", "Cookie: session=<good>; token=<good>", body=""),
        ("400 invalid_request",), closed=True),
    *(Case(f"logout: foreign, {name}", "CSRF", post("/logout", "Cookie: session=<good>", *lines, body=""),
        ("403 access_denied",)) for name, lines in {
        "marked": ("Sec-Fetch-Site: cross-site",), "another origin": ("Origin: https://evil.test",), "null": ("Origin: null",),
        "a suffix": ("Origin: http://site.test.evil.test",), "userinfo": ("Origin: http://site.test@evil.test",),
        "marked twice": ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"),
        "in upper case": ("Sec-Fetch-Site: SAME-ORIGIN",),
        "another port": ("Origin: http://site.test:81",), "a path": ("Origin: http://site.test/",)}.items()),
    Case("logout: a host of the attacker's choice", "CSRF", post("/logout", "Cookie: session=<good>", "Origin: http://evil.test",
        "X-Forwarded-Host: evil.test",
                                                               body=""), ("403 access_denied",)),
]
