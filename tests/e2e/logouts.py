"""What the tests of logout share: the server, a browser that reads pages and submits forms, and the parts of Set-Cookie."""

import html.parser
import urllib.parse

from httpd import ALIAS, H2, protected
from issuers import issuer, jwks, write_keys
from storing import BASIC, write_users

FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
HTML = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
WANTS_JSON = "Accept: application/json"
APP = "https://app.test"
DONE = "https://app.test/done"
CALLBACK = "https://app.test/callback?from=here#top"
ANY = "TokRevokeTokenFrom header header=X-Token cookie=session cookie=old query=access_token form=assertion"
TARGETS = f'TokRevokeLogoutRedirect "/bye.html" {DONE} "{CALLBACK}"'
BEARER = ("AuthType Bearer", 'AuthName "logout"', "Require valid-user")
GONE = {"max-age": "0", "expires": "Thu, 01 Jan 1970 00:00:00 GMT"}
SECURE = {"secure": ""} if H2 else {}  # what was asked over TLS
TEMPLATE = """<!DOCTYPE html><html lang="fr"><head><title>Fin</title></head><body><main><h1>À bientôt</h1>
<form method="post" action="{action}"><style>p { color: red }</style>{fields}<button>Sortir</button></form></main></body></html>
"""


def logout(path, *directives):
    lines = "\n    ".join(directives)
    return f'\n<Location "{path}">\n    SetHandler tokrevoke-logout\n    {lines}\n</Location>\n'


def text(*more):
    cookie = "TokRevokeTokenFrom header cookie=session"
    return (issuer("https://idp.test/", jwks("all")) + ALIAS + protected("app", "TokRevokeTokenFrom header cookie=session")
            + logout("/logout", cookie, TARGETS) + logout("/plain", cookie) + logout("/default")
            + logout("/session", cookie, "TokRevokeLogoutScope session") + logout("/subject", cookie, "TokRevokeLogoutScope subject")
            + logout("/any", ANY) + logout("/get", ANY, TARGETS, "TokRevokeLogoutGet On")
            + logout("/listed", cookie, f"TokRevokeAllowOrigin * {APP}") + logout("/star", cookie, "TokRevokeAllowOrigin *")
            + logout("/quiet", cookie, "TokRevokeClearSiteData off") + logout("/loud", cookie, 'TokRevokeClearSiteData cookies "cache"')
            + logout("/cookies", 'TokRevokeLogoutCookie "s;Path=/app;Domain=example.com;SameSite=Strict" __Host-a "__Secure-b;Path=/x"',
                     "TokRevokeLogoutCookie c;SameSite=None d;Partitioned")
            + logout("/bearer", cookie, TARGETS, *BEARER) + logout("/stripped", ANY, "TokRevokeStripToken On", *BEARER)
            + logout("/bob", cookie, "AuthType Bearer", "AuthName bob", "Require user bob")
            + logout("/custom", cookie, TARGETS, "TokRevokeLogoutPage {root}/conf/page.html")
            + logout("/opaque", cookie, "TokRevokeOpaque 30d") + logout("/opaque-off", cookie, "TokRevokeOpaque off", *BASIC)
            + logout("/opaque-user", cookie, "TokRevokeOpaque 30d", *BASIC) + "".join(more))


def write_files(server, keys):
    write_keys(server, keys)
    write_users(server, b"carol")
    server.write("conf/page.html", TEMPLATE)
    server.write("htdocs/bye.html", "<p>bye</p>\n")


class Page(html.parser.HTMLParser):
    """The structure of a page."""

    def __init__(self, r):
        super().__init__(convert_charrefs=True)
        self.tags = []
        self.form = None
        self.fields = []
        self.texts = {}
        self.open = []
        self.feed(r.body.decode("utf-8", "strict"))
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag == "form":
            assert self.form is None, "one form"
            self.form = attrs
        if tag in ("input", "button") and attrs.get("name"):
            assert self.form is not None and "form" in self.open
            self.fields.append((attrs["name"], attrs.get("value", "")))
        if tag not in ("input", "meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append((tuple(self.open), data.strip()))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def text(self, tag):
        (found,) = self.texts[tag]
        return found[1]

    def submit(self, server, path, *headers):
        """What the button does: post the fields to the form's action, seen from path."""
        assert self.form["method"].lower() == "post" and self.form.get("enctype") is None
        target = urllib.parse.urlsplit(urllib.parse.urljoin(server.url + path, self.form["action"]))
        assert target.netloc == f"127.0.0.1:{server.port}", self.form
        where = target.path + ("?" + target.query if target.query else "")
        return server.get(where, FORM, HTML, "Origin: " + server.url, *headers, method="POST",
                          body=urllib.parse.urlencode(self.fields))


def cookies(r):
    """{name: {attribute: value}} of all Set-Cookie fields; the value of the cookie is under ""."""
    found = {}
    for field in r.all("Set-Cookie"):
        pair, *attributes = [part.strip() for part in field.split(";")]
        name, _, value = pair.partition("=")
        assert name not in found, field
        found[name] = {"": value}
        for attribute in attributes:
            key, _, value = attribute.partition("=")
            assert key.lower() not in found[name], field
            found[name][key.lower()] = value
    return found


def is_cleared(r, *names):
    """Each is gone as a cookie for the whole host."""
    assert cookies(r) == {name: {"": "", "path": "/", "httponly": "", **SECURE, **GONE} for name in names}, r.headers


def is_private(r, referrer="no-referrer"):
    assert "no-store" in r["Cache-Control"] and r["X-Content-Type-Options"] == "nosniff" and r["Referrer-Policy"] == referrer


def is_done(r):
    """The JSON that says so."""
    assert r.status == 200 and r.json() == {"message": "Successfully logged out"}, r
    assert r["Content-Type"] == "application/json" and r["Location"] is None
    is_private(r)
    return r


def goes_to(r, target):
    assert r.status == 303 and r["Location"] == target, (r, r.headers)
    is_private(r)
    return r


def changes_nothing(r, status):
    assert r.status == status, (r, r.headers)
    assert not r.all("Set-Cookie") and r["Clear-Site-Data"] is None and r["Location"] is None
    assert "no-store" in r["Cache-Control"]
    return r


def post(server, path, *headers, body="", kind=FORM):
    return server.get(path, *((kind,) if kind else ()), *headers, method="POST", body=body)
