"""CORS, and who may call the revocation endpoint."""

import pytest

from httpd import ALIAS, endpoint, protected
from issuers import issuer, jwks, write_keys
from test_accept import passes
from test_refuse import refused
from test_revoke import FORM, JSON, is_answer

APP = "https://app.test"
OTHER = "http://localhost:3000"
BASIC = ('AuthType Basic', 'AuthName "operators"', 'AuthBasicProvider file', 'AuthUserFile "{root}/conf/passwords"',
         'Require valid-user')
CAROL = "Authorization: Basic Y2Fyb2w6c2VjcmV0"
LISTED = f"TokRevokeAllowOrigin {APP} {OTHER}"
PREFLIGHT = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization, content-type")


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    write_keys(server, keys)
    server.write("conf/passwords", "carol:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")  # the password is "secret"
    return server.start(issuer("https://idp.test/", jwks("all")) + ALIAS + protected("app") + endpoint("/plain")
                        + endpoint("/listed", LISTED) + endpoint("/any", "TokRevokeAllowOrigin *")
                        + endpoint("/guarded", *BASIC) + endpoint("/guarded-listed", LISTED, *BASIC)
                        + endpoint("/by-token", LISTED, "AuthType Bearer", 'AuthName "revokers"', "Require user carol")
                        + endpoint("/elsewhere", "Require ip 192.0.2.1") + endpoint("/here", "Require ip 127.0.0.1")
                        + protected("shared", LISTED))


def preflight(server, path, origin, *more):
    return server.get(path, "Origin: " + origin, *(more or PREFLIGHT), method="OPTIONS")


def words(value):
    return {w.strip().lower() for w in value.split(",")}


@pytest.mark.parametrize("origin", [APP, OTHER])
@pytest.mark.parametrize("path", ["/listed", "/guarded-listed", "/by-token"])
def test_the_preflight_of_a_listed_origin_succeeds(site, path, origin):
    """R7009-24, H9: also where the location demands authentication; a preflight has no credentials."""
    r = preflight(site, path, origin)
    assert r.status in (200, 204), r
    assert r["Access-Control-Allow-Origin"] == origin
    assert "post" in words(r["Access-Control-Allow-Methods"])
    assert {"authorization", "content-type"} <= words(r["Access-Control-Allow-Headers"])
    assert int(r["Access-Control-Max-Age"]) > 0
    assert "origin" in words(r["Vary"])
    assert r["Access-Control-Allow-Credentials"] is None
    assert r["WWW-Authenticate"] is None and not r.body


@pytest.mark.parametrize("origin", ["https://evil.test", "https://app.test.evil.test", "https://APP.test/", "http://app.test", "null",
                                    "https://app.test:8443", "*", "", APP + ", " + OTHER, APP + " " + OTHER])
@pytest.mark.parametrize("path", ["/plain", "/listed", "/guarded-listed", "/guarded"])
def test_the_preflight_of_another_origin_is_given_nothing(site, path, origin):
    r = preflight(site, path, origin)
    assert r["Access-Control-Allow-Origin"] is None and r["Access-Control-Allow-Methods"] is None


@pytest.mark.parametrize("asked", ["x-a, x\"b", "x-a;y", "x-a, <script>", "x-a: b"])
def test_only_names_are_said_back(site, asked):
    """What an application takes is not known here, so the answer says what was asked for, unless that cannot be names."""
    usual = preflight(site, "/p/shared/ok.txt", APP, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-a, X_b")
    assert (usual["Access-Control-Allow-Methods"], usual["Access-Control-Allow-Headers"]) == ("PUT", "x-a, X_b")
    r = preflight(site, "/p/shared/ok.txt", APP, "Access-Control-Request-Method: PUT;x", "Access-Control-Request-Headers: " + asked)
    assert r["Access-Control-Allow-Origin"] == APP and words(r["Access-Control-Allow-Headers"]) == {"authorization", "content-type"}
    assert r["Access-Control-Allow-Methods"] == "GET"


def test_options_tells_the_methods(site):
    for path in ("/plain", "/listed"):
        for r in (site.get(path, method="OPTIONS"), preflight(site, path, "https://evil.test")):
            assert r.status in (200, 204) and words(r["Allow"]) >= {"post", "options"}
            assert r["Access-Control-Allow-Origin"] is None


def test_options_that_is_no_preflight_gets_no_way_round_authentication(site):
    assert site.get("/guarded-listed", method="OPTIONS").status == 401
    assert site.get("/guarded-listed", "Origin: " + APP, method="OPTIONS").status == 401
    assert preflight(site, "/guarded-listed", "https://evil.test").status == 401
    assert site.get("/p/shared/ok.txt", method="OPTIONS").status == 401


def test_a_post_of_a_listed_origin_may_read_its_answer(site, mint):
    token = mint()
    r = site.get("/listed", FORM, "Origin: " + APP, method="POST", body="token=" + token)
    is_answer(r, 200, {})
    assert r["Access-Control-Allow-Origin"] == APP and "origin" in words(r["Vary"])
    assert r["Access-Control-Allow-Credentials"] is None
    refused(site, token, "revoked")
    r = site.get("/listed", FORM, "Origin: " + APP, method="POST", body="")
    assert r.status == 400 and r["Access-Control-Allow-Origin"] == APP
    r = site.get("/listed", FORM, "Origin: " + APP, method="PUT", body="")
    assert r.status == 405 and r["Access-Control-Allow-Origin"] == APP


def test_a_post_of_another_origin_is_carried_out_and_not_readable(site, mint):
    """CORS hides answers; it is no access control."""
    token = mint()
    r = site.get("/listed", FORM, "Origin: https://evil.test", method="POST", body="token=" + token)
    assert r.status == 200 and r["Access-Control-Allow-Origin"] is None
    refused(site, token, "revoked")


def test_without_origin_the_answer_has_no_cors_fields(site, mint):
    r = site.get("/listed", FORM, method="POST", body="token=" + mint())
    assert r.status == 200 and not [n for n, _ in r.headers if n.lower().startswith("access-control")]


def test_the_star_allows_every_origin(site, mint):
    r = preflight(site, "/any", "https://who.ever")
    assert r.status in (200, 204) and r["Access-Control-Allow-Origin"] == "*" and r["Access-Control-Allow-Credentials"] is None
    r = site.get("/any", JSON, "Origin: null", method="POST", body='{"token":"x"}')
    assert r.status == 200 and r["Access-Control-Allow-Origin"] == "*"


def test_a_preflight_revokes_nothing(site, mint):
    token = mint()
    site.get("/listed?token=" + token, "Origin: " + APP, FORM, *PREFLIGHT, method="OPTIONS", body="token=" + token)
    passes(site, token)


def test_the_preflight_of_a_protected_page_is_answered_for_listed_origins(site, mint):
    r = preflight(site, "/p/shared/ok.txt", APP, "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization")
    assert r.status in (200, 204) and r["Access-Control-Allow-Origin"] == APP
    assert "authorization" in words(r["Access-Control-Allow-Headers"])
    assert b"protected page" not in r.body
    for path, origin in (("/p/shared/ok.txt", "https://evil.test"), ("/p/app/ok.txt", APP)):
        r = preflight(site, path, origin, "Access-Control-Request-Method: GET")
        assert r.status == 401 and r["Access-Control-Allow-Origin"] is None


def test_a_preflight_is_told_back_nothing_but_names(site):
    asked = ("Access-Control-Request-Method: GET<b>", 'Access-Control-Request-Headers: x-a, "<b>"')
    r = preflight(site, "/p/shared/ok.txt", APP, *asked)
    assert r["Access-Control-Allow-Methods"] == "GET" and r["Access-Control-Allow-Headers"] == "Authorization, Content-Type"


def test_basic_authentication_guards_the_endpoint(site, mint):
    """The answer to strangers is httpd's own, whatever the token."""
    token = mint()
    for headers in ((), ("Authorization: Bearer " + token,), ("Authorization: Basic Y2Fyb2w6d3Jvbmc=",)):
        site.expect_log("AH01614|AH01617|AH01618")
        r = site.get("/guarded", FORM, *headers, method="POST", body="token=" + token)
        assert r.status == 401 and r["WWW-Authenticate"].startswith("Basic ")
    passes(site, token)
    is_answer(site.get("/guarded", FORM, CAROL, method="POST", body="token=" + token), 200, {})
    refused(site, token, "revoked")


def test_a_guarded_endpoint_refuses_other_methods_after_authentication(site):
    assert site.get("/guarded", CAROL).status == 405
    assert site.get("/guarded").status == 401


def test_a_token_may_guard_the_endpoint(site, mint):
    token = mint()
    site.expect_log("AH01631|AH01630")
    assert site.get("/by-token", FORM, method="POST", body="token=" + token).status == 401
    assert site.get("/by-token", FORM, "Authorization: Bearer " + token, method="POST", body="token=" + token).status == 403
    passes(site, token)
    carol = mint(sub="carol")
    auth = "Authorization: Bearer " + carol
    assert site.get("/by-token", FORM, auth, method="POST", body="token=" + token).status == 200
    refused(site, token, "revoked")
    assert site.get("/by-token", FORM, auth, method="POST", body="token=" + carol).status == 200
    assert site.get("/by-token", FORM, auth, method="POST", body="token=" + carol).status == 401


def test_addresses_may_guard_the_endpoint(site, mint):
    token = mint()
    site.expect_log("AH01630")
    assert site.get("/elsewhere", FORM, method="POST", body="token=" + token).status == 403
    passes(site, token)
    assert site.get("/here", FORM, method="POST", body="token=" + token).status == 200
    refused(site, token, "revoked")
