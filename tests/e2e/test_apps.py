"""
Applications as the distribution packs them, unchanged, behind the check: PHP through FPM, CGI and httpd's module, gitweb, Radicale
behind a proxy. Each sees the user of the token, and nobody else whom a client names in a header.
"""

import json
import shutil
import subprocess

import pytest

import apps
import httpd
from httpd import Httpd, endpoint, protected
from issuers import issuer, jwks, write_keys

# What a client may try to be taken for somebody else.
SPOOFS = ("Remote-User: mallory", "Remote_User: mallory", "REMOTE_USER: mallory", "X-Remote-User: mallory", "X_Remote_User: mallory",
          "Auth-Type: Basic", "Auth_Type: Basic", "Redirect-Remote-User: mallory", "Redirect_Status: 200", "User: mallory",
          "Token-Claim-Sub: mallory", "TOKEN_CLAIM_sub: mallory", "Proxy-Authorization: Basic bWFsbG9yeTp4", "From: mallory")
DUMP = """<?php
header('Content-Type: application/json');
echo json_encode(['server' => $_SERVER, 'env' => getenv()]);
"""
PAGES = "/app", "/open"


def serve(server, keys, text, *modules):
    write_keys(server, keys)
    server.extra_modules = modules
    for page in PAGES:
        (server.root / "htdocs" / page[1:]).mkdir()
        server.write("htdocs" + page + "/index.php", DUMP)
    return server.start(issuer("https://idp.test/", jwks("all")) + protected("app", "TokRevokeTokenFrom header cookie=session", where="/app")
                        + "DirectoryIndex index.php index.html\n" + text)


def with_fpm(server, keys):
    serve(server, keys, '<FilesMatch "\\.php$">\n    SetHandler "proxy:unix:{root}/run/php.sock|fcgi://localhost"\n</FilesMatch>\n', "proxy_fcgi")
    return [apps.start_fpm(server)]


def with_cgi(server, keys):
    """mod_actions redirects to the interpreter, so that place must ask for the token, too."""
    server.runs_scripts = True
    shutil.copy(apps.php_cgi(), server.root / "cgi" / "php")
    serve(server, keys, 'ScriptAlias "/php-bin/" "{root}/cgi/"\nAction run-php "/php-bin/php"\n'
          '<FilesMatch "\\.php$">\n    SetHandler run-php\n</FilesMatch>\n'
          '<Location "/php-bin/">\n    Require all granted\n</Location>\n'
          '<LocationMatch "^/php-bin/php/app(/|$)">\n    AuthType Bearer\n    AuthName app\n'
          '    TokRevokeTokenFrom header cookie=session\n    Require valid-user\n</LocationMatch>\n', "actions")
    return []


def with_module(server, keys):
    """Debian's PHP has no threads: mpm_prefork."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpd, "MPM", "prefork")
        serve(server, keys, f'LoadModule php_module "{apps.php_module()}"\n'
              '<FilesMatch "\\.php$">\n    SetHandler application/x-httpd-php\n</FilesMatch>\n')
    return []


PREFORK = pytest.mark.h1("mod_http2 does not work with mpm_prefork")


@pytest.fixture(scope="module", params=[with_fpm, with_cgi, pytest.param(with_module, marks=PREFORK)],
                ids=["fpm", "cgi", "module"])
def php(request, keys):
    server, programs = Httpd(children=2), []
    try:
        programs = request.param(server, keys)
        yield server
    finally:
        server.stop()
        for program in programs:
            program.stop()
        left = server.unexpected()
        server.remove()
    assert not left, "\n".join(left)


def seen(answer):
    """What the page saw: (variables of the request, those a header made)."""
    assert answer.status == 200, answer
    everything = answer.json()
    variables = everything["env"] | everything["server"]
    return ({n: v for n, v in variables.items() if not n.startswith("HTTP_")},
            {n: v for n, v in variables.items() if n.startswith("HTTP_")})


def test_php_sees_the_user_of_the_token(php, mint):
    """H1: as with any other way of authentication of httpd."""
    token = mint(sub="alice")
    for answer in (php.bearer("/app/", token), php.bearer("/app/index.php?x=1", token), php.get("/app/", "Cookie: session=" + token)):
        variables, _ = seen(answer)
        assert variables["REMOTE_USER"] == "alice" and variables["AUTH_TYPE"] == "Bearer"


def test_php_sees_the_claims(php, mint):
    """H1: strings as they are, all else as JSON."""
    token = mint(sub="alice", groups=["staff", "a,b"], level=7, boss=False, address={"country": "NL"})
    variables, _ = seen(php.get("/app/", "Authorization: Bearer " + token, *SPOOFS))
    seen_claims = {n: v for n, v in variables.items() if n.startswith("TOKEN_CLAIM_")}
    assert seen_claims["TOKEN_CLAIM_sub"] == "alice"
    assert json.loads(seen_claims["TOKEN_CLAIM_groups"]) == ["staff", "a,b"]
    assert (seen_claims["TOKEN_CLAIM_level"], seen_claims["TOKEN_CLAIM_boss"]) == ("7", "false")
    assert seen_claims["TOKEN_CLAIM_address_country"] == "NL"
    assert json.loads(seen_claims["TOKEN_CLAIM_address"]) == {"country": "NL"}


def test_php_sees_no_user_that_a_header_names(php, mint):
    variables, _ = seen(php.get("/app/", "Authorization: Bearer " + mint(sub="alice"), *SPOOFS))
    assert variables["REMOTE_USER"] == "alice" and variables["AUTH_TYPE"] == "Bearer"
    assert "mallory" not in json.dumps(variables)


def test_php_sees_no_user_on_a_page_that_asks_for_none(php, mint):
    for headers in (SPOOFS, ("Authorization: Bearer " + mint(sub="alice"),)):
        variables, _ = seen(php.get("/open/", *headers))
        assert not {"REMOTE_USER", "AUTH_TYPE", "REDIRECT_REMOTE_USER"} & set(variables)
        assert not [name for name in variables if "TOKEN_CLAIM" in name]
        assert "mallory" not in json.dumps(variables)


def test_php_is_not_reached_without_a_good_token(php, mint):
    for headers in ((), ("Authorization: Bearer x.y.z",), ("Authorization: Bearer " + mint(exp=1),)):
        assert php.get("/app/", *headers).status == 401
        assert php.get("/app/index.php/more", *headers).status == 401


# ---- gitweb ----

GITWEB = r"""
our $projectroot = "%(root)s/git";
our @git_base_url_list = ();
# Everybody sees the projects that are called after him.
our $export_auth_hook = sub {
    my ($folder) = @_;
    my $user = $cgi->remote_user();
    return defined $user && $folder =~ m{/\Q$user\E-[^/]*\z};
};
our $site_footer = undef;
"""


@pytest.fixture(scope="module")
def gitweb(new_server, keys):
    server = new_server(children=2)
    server.runs_scripts = True
    shutil.copy(apps.gitweb(), server.root / "cgi" / "gitweb.cgi")
    server.write("conf/gitweb.perl", GITWEB % {"root": server.root})
    for name in ("alice-tools", "bob-notes", "mallory-plans"):
        at = server.root / "git" / name
        subprocess.run(["git", "init", "-q", "--bare", at], check=True)
        (at / "description").write_text(f"the project {name}\n")
        git = ["git", "--git-dir", at, "-c", "user.name=x", "-c", "user.email=x@test.test"]
        tree = subprocess.run([*git, "hash-object", "-t", "tree", "-w", "/dev/null"], check=True, capture_output=True, text=True).stdout.strip()
        commit = subprocess.run([*git, "commit-tree", "-m", "begin", tree], check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run([*git, "update-ref", "HEAD", commit], check=True)
    apps.give(server.root / "git")
    write_keys(server, keys)
    where = 'ScriptAlias "%s" "{root}/cgi/gitweb.cgi"\n'
    return server.start(issuer("https://idp.test/", jwks("all")) + 'SetEnv GITWEB_CONFIG "{root}/conf/gitweb.perl"\n' + where % "/git"
                        + where % "/open" + endpoint("/revoke") + protected("git", "TokRevokeTokenFrom header cookie=session", where="/git"))


def projects(answer):
    assert answer.status == 200, answer
    return {name for name in ("alice-tools", "bob-notes", "mallory-plans") if name in answer.text}


def test_gitweb_shows_each_user_his_own(gitweb, mint):
    for user, project in (("alice", "alice-tools"), ("bob", "bob-notes")):
        token = mint(sub=user)
        assert projects(gitweb.bearer("/git", token)) == {project}
        assert projects(gitweb.get("/git", "Cookie: session=" + token)) == {project}
        assert gitweb.bearer(f"/git?p={project};a=summary", token).status == 200
        assert gitweb.bearer("/git?p=mallory-plans;a=summary", token).status == 404


def test_gitweb_is_told_no_user_by_a_header(gitweb, mint):
    assert projects(gitweb.get("/git", "Authorization: Bearer " + mint(sub="alice"), *SPOOFS)) == {"alice-tools"}
    assert gitweb.get("/git?p=mallory-plans;a=summary", "Authorization: Bearer " + mint(sub="alice"), *SPOOFS).status == 404
    assert gitweb.get("/open", *SPOOFS).status == 404  # gitweb's answer where there is nothing to list
    assert gitweb.get("/git", *SPOOFS).status == 401


def test_gitweb_is_closed_to_a_revoked_token(gitweb, mint):
    token = mint(sub="alice")
    assert projects(gitweb.bearer("/git", token)) == {"alice-tools"}
    assert gitweb.revoke(token).status == 200
    assert gitweb.bearer("/git", token).status == 401


# ---- Radicale ----

@pytest.fixture(scope="module")
def calendars(new_server, keys):
    """It gives everybody what belongs to whom X-Remote-User names; WSGI takes X_Remote_User for the same."""
    server = new_server(children=2)
    write_keys(server, keys)
    program, port = apps.start_radicale(server)
    there = f"http://127.0.0.1:{port}/"
    yield server.start(issuer("https://idp.test/", jwks("all")) + f'ProxyPass "/cal/" "{there}"\nProxyPass "/open/" "{there}"\n'
                       + protected("cal", "TokRevokeClaimHeader X-Remote-User sub", "RequestHeader set X-Script-Name /cal",
                                   "TokRevokeTokenFrom header cookie=session", "TokRevokeStripToken On", where="/cal/")
                       + endpoint("/revoke"))
    program.stop()


EVENT = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//tests//EN\r
BEGIN:VEVENT\r
UID:dentist\r
DTSTAMP:20260102T030405Z\r
DTSTART:20260203T090000Z\r
SUMMARY:dentist of %s\r
END:VEVENT\r
END:VCALENDAR\r
"""


def make_calendar(server, user, *headers):
    return server.get(f"/cal/{user}/days/", *headers, method="MKCALENDAR").status


def test_radicale_gives_each_user_his_own(calendars, mint):
    """H2: the header comes from the token."""
    for user, other in (("anna", "ben"), ("ben", "anna")):
        who = "Authorization: Bearer " + mint(sub=user)
        assert make_calendar(calendars, user, who) == 201
        put = calendars.get(f"/cal/{user}/days/1.ics", who, "Content-Type: text/calendar", method="PUT", body=EVENT % user)
        assert put.status == 201, put
        assert f"dentist of {user}" in calendars.get(f"/cal/{user}/days/", who).text
        assert calendars.get(f"/cal/{user}/days/", "Cookie: session=" + mint(sub=user)).status == 200
        assert make_calendar(calendars, other, who) == 403
        assert calendars.get(f"/cal/{other}/", who).status == 403


@pytest.mark.h1("Connection")
@pytest.mark.parametrize("name", ["X-Remote-User", "x-remote-user", "X_Remote_User", "X_REMOTE_USER", "X-Remote_User", "X_Remote-User"])
def test_radicale_takes_no_user_from_the_client(calendars, mint, name):
    mallory = "Authorization: Bearer " + mint(sub="mallory")
    for more in ((), ("Connection: X-Remote-User",), ("Connection: close, x_remote_user",), (f"{name}: carol",)):
        assert make_calendar(calendars, "carol", mallory, f"{name}: carol", *more) == 403
        assert calendars.get("/cal/carol/", f"{name}: carol", *more).status == 401
        # Radicale's own answer to somebody unknown
        assert calendars.get("/open/carol/", f"{name}: carol", *more).status in (401, 403)
        assert calendars.get("/open/carol/days/", f"{name}: carol", *more, method="MKCALENDAR").status in (401, 403)


def test_radicale_is_closed_to_a_revoked_token(calendars, mint):
    token = mint(sub="dora")
    assert make_calendar(calendars, "dora", "Authorization: Bearer " + token) == 201
    assert calendars.revoke(token).status == 200
    assert calendars.bearer("/cal/dora/days/", token).status == 401
