"""What the tests with a browser share: an old application with a login page, its logout, and pages of other sites."""

import socket

from browser import Certificate
from httpd import MPM, endpoint
from issuers import issuer, jwks, write_keys
from logouts import logout

APP = "https://app.test"
SPA = "https://spa.test"  # an origin that the application lists
EVIL = "https://evil.test"
PLAIN = "http://plain.test"  # the application without TLS: no secure context
API = "http://localhost:4000"  # where clients' own scripts have it
NAMES = ("app.test", "spa.test", "evil.test")
COOKIES = "TokRevokeTokenFrom header cookie=__Host-session cookie=session"

# Knows nothing of JWTs: what it hands out was put there for it.
LOGIN = """#!/usr/bin/python3 -I
import html, os, sys
from urllib.parse import parse_qs
if os.environ["REQUEST_METHOD"] == "POST":
    given = parse_qs(sys.stdin.read(int(os.environ["CONTENT_LENGTH"])))
    with open("{root}/people/" + given["user"][0]) as file:
        token = file.read()
    back = given.get("return", ["/app/"])[0]
    if not back.startswith("/") or back[1:2] in ("/", "\\\\"):
        back = "/app/"
    name, secure = ("__Host-session", "Secure; ") if "HTTPS" in os.environ else ("session", "")
    print(f"Status: 303 See Other\\nLocation: {back}\\nSet-Cookie: {name}={token}; Path=/; {secure}HttpOnly; SameSite=Lax\\n")
else:
    back = html.escape(parse_qs(os.environ["QUERY_STRING"]).get("return", ["/app/"])[0])
    print(f'''Content-Type: text/html\\n
<!DOCTYPE html><html lang="en"><title>Log in</title><h1>Who are you?</h1><form method="post" action="/login">
<input name="user" aria-label="Name" value="alice"><input type="hidden" name="return" value="{back}"><button>Log in</button></form></html>''')
"""

OLD_APP = """#!/usr/bin/python3 -I
import html, os
path = os.environ.get("PATH_INFO", "")
if path == "/data":
    print('Content-Type: application/json\\n\\n{"user": "%s"}' % os.environ["REMOTE_USER"])
else:
    if path in ("/cached", "/unkept"):
        print('Cache-Control: public, max-age=3600\\nETag: "an edition"')
    print(f'''Content-Type: text/html\\n
<!DOCTYPE html><html lang="en"><title>The old application</title><h1>Hello {os.environ.get("REMOTE_USER", "stranger")}</h1>
<p>This is {html.escape(os.environ["REQUEST_URI"])}</p><p><a id="away" href="/bye.html">Elsewhere</a> <a id="out" href="/logout">Log out</a>
<form method="post" action="/logout"><button id="now">Log out now</button></form></html>''')
"""

# As pages of applications do it: by a form's fields, by JSON at an address of their own host, and all that is stored at once.
CLIENTS = {
    "form": """
        async function revoke(token, hint) {
            const answer = await fetch('http://localhost:4000/oauth2/revoke', {
                method: 'POST',
                headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
                body: new URLSearchParams({ token, token_type_hint: hint })
            })
            return answer.ok
        }
        async function leave() {
            for (const kind of ['refresh_token', 'access_token']) {
                const token = localStorage.getItem(kind)
                if (token && !await revoke(token, kind)) throw new Error('not revoked: ' + kind)
            }
            localStorage.clear()
            window.location.href = '/login'
        }""",
    "json": """
        async function leave() {
            const answer = await fetch('/v1/auth/token/revoke', {
                method: 'POST',
                headers: { 'Content-Type': 'application/json' },
                body: JSON.stringify({ token: localStorage.getItem('access_token') })
            })
            const { revoked } = await answer.json()
            if (revoked !== true) throw new Error('not revoked')
            localStorage.clear()
            window.location.href = '/login'
        }""",
    "class": """
        class Tokens {
            async revokeAll() {
                try {
                    for (const kind of ['refresh_token', 'access_token']) await this.revoke(localStorage.getItem(kind), kind)
                } finally {
                    localStorage.removeItem('access_token')
                    localStorage.removeItem('refresh_token')
                }
            }
            async revoke(token, hint) {
                const params = new URLSearchParams({ token })
                params.set('token_type_hint', hint)
                const answer = await fetch('http://localhost:4000/oauth2/revoke', {
                    method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: params
                })
                if (answer.status === 400) throw new Error((await answer.json()).error)
                if (!answer.ok) throw new Error('status ' + answer.status)
            }
        }
        async function leave() {
            await new Tokens().revokeAll()
            window.location.href = '/login'
        }"""}


def page(body, head=""):
    return f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>A page</title>{head}<body>{body}</body></html>\n'


def write_pages(server):
    server.write("htdocs/blank.html", page("<p>nothing here</p>"))
    server.write("htdocs/bye.html", page("<h1>Goodbye</h1>"))
    server.write("htdocs/left.html", page("<h1>Back at the other origin</h1>"))
    server.write("htdocs/common/news.html", page('<p>for everybody</p><a id="away" href="/bye.html">Elsewhere</a>'))
    for name, script in CLIENTS.items():
        body = f'<button onclick="leave()">Log out</button><script>{script}</script>'
        server.write(f"htdocs/clients/{name}.html", page(body))
        server.write(f"htdocs/clients/{name}-elsewhere.html", page(body, f'<base href="{APP}/">'))
    post = '<form method="post" action="%s"><button>A kitten</button></form>'
    server.write("htdocs/lures/form.html", page(post % f"{APP}/logout"))
    server.write("htdocs/lures/image.html", page(f'<img src="{APP}/leave" alt="a kitten">'))
    server.write("htdocs/lures/frame.html", page(f'<iframe src="{APP}/logout"></iframe>'))


def text(tls, *more):
    h2 = "Protocols h2 http/1.1\n" if MPM != "prefork" else ""
    return (issuer("https://idp.test/", jwks("all")) + h2 + f"""
Listen 127.0.0.1:{tls}
SSLSessionCache shmcb:{{root}}/run/tls(512000)
<VirtualHost 127.0.0.1:{tls}>
    ServerName app.test
    SSLEngine on
    SSLCertificateFile {{root}}/conf/tls.crt
    SSLCertificateKeyFile {{root}}/conf/tls.key
    SSLOptions +StdEnvVars
</VirtualHost>
ScriptAlias /login {{root}}/cgi/login
ScriptAlias /app {{root}}/cgi/app
<Location /common>
    Header set Cache-Control "public, max-age=3600"
</Location>
<Location /app>
    {COOKIES}
    TokRevokeAllowOrigin {SPA}
    Header set Access-Control-Allow-Origin {SPA}
    AuthType Bearer
    AuthName "app"
    Require valid-user
</Location>
<Location /app/unkept>
    Header set Cache-Control no-store
</Location>
""" + logout("/logout", COOKIES, f"TokRevokeLogoutRedirect /bye.html {SPA}/left.html")
            + logout("/out", COOKIES) + logout("/leave", COOKIES, "TokRevokeLogoutGet On")
            + logout("/keeping", COOKIES, "TokRevokeClearSiteData off", "TokRevokeLogoutRedirect /bye.html")
            + logout("/listed", COOKIES, f"TokRevokeAllowOrigin {SPA}", "TokRevokeLogoutRedirect /bye.html")
            + endpoint("/oauth2/revoke", f"TokRevokeAllowOrigin {SPA}")
            + endpoint("/v1/auth/token/revoke", f"TokRevokeAllowOrigin {SPA}", "TokRevokeAnswers strict") + "".join(more))


class Website:
    """The server, and the ports by which a browser finds it."""

    def __init__(self, server, keys, *more):
        self.server = server
        self.certificate = Certificate(*NAMES)
        server.runs_scripts = True
        server.extra_modules = ("ssl", "socache_shmcb") + (("http2",) if MPM != "prefork" else ())
        write_keys(server, keys)
        write_pages(server)
        server.write("conf/tls.crt", self.certificate.pem)
        server.write("conf/tls.key", self.certificate.key, mode=0o600)
        server.write("cgi/login", LOGIN.replace("{root}", str(server.root)), mode=0o755)
        server.write("cgi/app", OLD_APP, mode=0o755)
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.tls = s.getsockname()[1]
        server.start(text(self.tls, *more))
        self.ports = {"443": self.tls, "80": server.port, "4000": server.port}

    def admits(self, user, token):
        """From now on the login page hands this token to that user."""
        self.server.write(f"people/{user}", token)

    def status(self, token):
        """(status, reason) of a request with the token, by a client that is no browser."""
        r = self.server.bearer("/app/data", token)
        return r.status, r.reason

    def log_in(self, tab, token, at=APP):
        """As a person does: the form, its button, the page behind it."""
        self.admits("alice", token)
        assert tab.goto(at + "/login") == 200
        tab.click("button")
        look = tab.look()
        assert look["url"] == at + "/app/" and "Hello alice" in look["text"], look
