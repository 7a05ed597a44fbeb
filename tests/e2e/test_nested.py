"""A place within another: what it says itself counts, directive by directive, and what it does not say is inherited."""

import pytest

from clients import CLIENTS, file_line, raw_basic
from database import Database
from httpd import ALIAS, endpoint, protected
from issuers import issuer, jwks, write_keys
from logouts import HTML, TEMPLATE, Page, cookies, logout
from storing import BASIC, basic, write_users
from test_cors import preflight
from test_revoke import FORM, WAYS, is_answer

PAGE = "/p/app/ok.txt"
OUTER, INNER = "https://outer.test", "https://inner.test"
SECRET = "open sesame"
SHOWN = ('Header always set X-Saw "expr=%{HTTP:Cookie}" "expr=-n req(\'Cookie\')"',
         'Header always set X-Sub "expr=%{reqenv:TOKEN_CLAIM_sub}" "expr=-n reqenv(\'TOKEN_CLAIM_sub\')"')
COOKIE = "TokRevokeTokenFrom header cookie=session"


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    write_keys(server, keys)
    write_users(server, b"carol")
    server.write("conf/clients", CLIENTS)
    server.write("conf/others", "inner:" + next(line for line in CLIENTS.splitlines() if line.startswith("app:"))[4:] + "\n")
    server.write("conf/outer.html", TEMPLATE.replace("Fin", "outer"))
    server.write("conf/inner.html", TEMPLATE.replace("Fin", "inner"))
    said = {"answers": ("TokRevokeAnswers strict", "TokRevokeAnswers rfc7009"),
            "origin": (f"TokRevokeAllowOrigin {OUTER}", f"TokRevokeAllowOrigin {INNER}"),
            "cascade": ("TokRevokeCascade subject", "TokRevokeCascade token"),
            "clients": (file_line("clients"), file_line("others"))}
    text = (issuer("https://idp.test/", jwks("all")) + 'AliasMatch "^/p/outer/(?:kept|inner)/(.*)$" "{root}/htdocs/$1"\n' + ALIAS
            + protected("app"))
    for name, (outer, inner) in said.items():
        text += endpoint(f"/{name}", outer) + endpoint(f"/{name}/kept") + endpoint(f"/{name}/inner", inner)
    text += endpoint("/opaque", "TokRevokeOpaque 2d", *BASIC) + endpoint("/opaque/inner", "TokRevokeOpaque off")
    text += (logout("/logout", COOKIE, "TokRevokeLogoutGet On", "TokRevokeLogoutPage {root}/conf/outer.html")
             + logout("/logout/inner", "TokRevokeLogoutGet Off", "TokRevokeLogoutPage {root}/conf/inner.html"))
    text += protected("outer", COOKIE, "TokRevokeStripToken On", "TokRevokeClaimEnv Off", *SHOWN)
    text += protected("kept", "Header always set X-Kept yes", where="/p/outer/kept/")
    text += protected("inner", "TokRevokeStripToken Off", "TokRevokeClaimEnv On", where="/p/outer/inner/")
    return server.start(text)


def test_the_inner_place_says_how_revoking_is_answered(site, mint):
    for path, way in (("/answers", "strict form"), ("/answers/kept", "strict form"), ("/answers/inner", "form")):
        is_answer(site.revoke(mint(), path=path), 200, WAYS[way][2])


def test_the_inner_place_says_which_origins_may_call(site):
    for path, good, bad in (("/origin", OUTER, INNER), ("/origin/kept", OUTER, INNER), ("/origin/inner", INNER, OUTER)):
        assert preflight(site, path, good)["Access-Control-Allow-Origin"] == good
        assert preflight(site, path, bad)["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize("path, verdict", [("/cascade", "revoked"), ("/cascade/kept", "revoked"), ("/cascade/inner", None)])
def test_the_inner_place_says_what_a_refresh_token_takes_along(site, mint, path, verdict):
    sub = path.replace("/", "-")
    access, refresh = mint(sub=sub), mint(sub=sub, typ="Refresh")
    assert site.revoke(refresh, path=path).status == 200
    assert site.bearer(PAGE, access).reason == verdict


@pytest.mark.parametrize("path, who", [("/clients", "app"), ("/clients/kept", "app"), ("/clients/inner", "inner")])
def test_the_inner_place_says_which_clients_there_are(site, mint, path, who):
    other = {"app": "inner", "inner": "app"}[who]
    for client, status in ((other, 401), (who, 200)):
        r = site.get(path, FORM, raw_basic(client, SECRET), method="POST", body="token=" + mint())
        assert r.status == status, (client, r)


def test_the_inner_place_says_whether_opaque_tokens_are_kept(site):
    db = Database(site)
    for path, stored in (("/opaque", 1), ("/opaque/inner", 0)):
        before = db.state()["last_seq"]
        is_answer(site.get(path, FORM, basic(b"carol"), method="POST", body="token=opaque-" + path[1:].replace("/", "-")), 200, None)
        assert db.state()["last_seq"] - before == stored, path


def test_the_inner_place_says_whether_get_logs_out_and_what_page_asks(site, mint):
    token = mint()
    asked = site.get("/logout/inner", "Cookie: session=" + token, HTML)
    assert Page(asked).text("title") == "inner" and not cookies(asked)
    assert site.bearer(PAGE, token).reason is None
    lure = site.get("/logout", "Cookie: session=" + token, HTML, "Sec-Fetch-Site: cross-site")
    assert Page(lure).text("title") == "outer"
    done = site.get("/logout", "Cookie: session=" + token, HTML)
    assert done.status == 200 and [c for c in cookies(done)] == ["session"]
    assert site.bearer(PAGE, token).reason == "revoked"


def test_the_inner_place_says_what_an_application_sees(site, mint):
    token = mint()
    for folder, saw, sub in (("outer/", "theme=dark", None), ("outer/kept/", "theme=dark", None),
                             ("outer/inner/", "theme=dark; session=" + token, "alice")):
        r = site.get(f"/p/{folder}index.html", "Cookie: theme=dark; session=" + token)
        assert (r.status, r["X-Saw"], r["X-Sub"]) == (200, saw, sub), folder
