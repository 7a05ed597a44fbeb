"""TokRevokeClients: who may call the revocation endpoint, and for which tokens."""

import json
import subprocess
import urllib.parse

import pytest
import requests

from clients import (BCRYPT, HASHES, ODD, RAW, SECRET, ask, basic, by_body, configure, is_invalid_client, is_invalid_request,
                     is_revoked, raw_basic)
from database import Database
from test_accept import passes
from test_refuse import refused
from test_revoke import EACH_WAY, FORM, JSON, is_answer
from tokens import claims


@pytest.fixture(scope="module")
def site(new_server, keys):
    return configure(new_server(), keys)


# ---- good credentials ----

@EACH_WAY
def test_a_client_authenticates_by_basic_or_by_body(site, mint, way):
    """R7009-10, R6749-01, R6749-02"""
    is_revoked(site, way, mint(), basic("app", SECRET))
    is_revoked(site, way, mint(), **by_body("app", SECRET))


@pytest.mark.parametrize("name", HASHES)
def test_every_kind_of_hash_is_checked(site, mint, name):
    is_revoked(site, "form", mint(), basic(name, SECRET))
    is_revoked(site, "json", mint(), **by_body(name, SECRET))
    token = mint()
    is_invalid_client(ask(site, "form", token, basic(name, SECRET[1:])))
    is_invalid_client(ask(site, "form", token, basic(name, HASHES[name])))
    passes(site, token)


@EACH_WAY
def test_id_and_secret_are_form_decoded_in_basic(site, mint, way):
    """R6749-01"""
    is_revoked(site, way, mint(), basic(*ODD))
    is_revoked(site, way, mint(), **by_body(*ODD))


@EACH_WAY
def test_id_and_secret_are_taken_raw_where_that_is_right(site, mint, way):
    """R6749-01: many clients do not encode; the id has no ':' then."""
    is_revoked(site, way, mint(), raw_basic(*RAW))
    is_revoked(site, way, mint(), basic(*RAW))
    is_revoked(site, way, mint(), **by_body(*RAW))
    is_invalid_client(ask(site, way, mint(), raw_basic("c%3A1", "p+ %ä")), "strict" in way)


@pytest.mark.parametrize("scheme", ["basic", "bASIC", "BASIC", "Basic  "])
def test_the_scheme_is_known_in_any_case(site, mint, scheme):
    """R6749-08"""
    is_revoked(site, "form", mint(), basic("app", SECRET).replace("Basic", scheme))


def test_requests_and_curl_authenticate_as_they_do_it(site, mint):
    token = mint()
    r = requests.post(site.url + "/revoke", data={"token": token}, auth=("app", SECRET), timeout=20)
    assert (r.status_code, r.text) == (200, "{}")
    refused(site, token, "revoked")
    token = mint()
    done = subprocess.run(["curl", "-sS", "-m", "20", "-u", ":".join(RAW), "-d", "token=" + token,
                           site.url + "/revoke"], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "{}"
    refused(site, token, "revoked")


def test_a_path_is_relative_to_the_server_root(site, mint):
    is_revoked(site, "form", mint(), basic("app", SECRET), path="/relative")


def test_the_client_may_be_named_in_the_body_too(site, mint):
    is_revoked(site, "form", mint(), basic("app", SECRET), client_id="app")


def test_another_scheme_is_nothing_to_us(site, mint):
    is_revoked(site, "form", mint(), "Authorization: Bearer abc", **by_body("app", SECRET))
    is_invalid_client(ask(site, "form", mint(), "Authorization: Bearer abc"))


def test_the_client_is_the_actor_and_the_user(site, mint):
    db = Database(site)
    for headers, more, actor, user in (((basic(*ODD),), {}, "c:1", "c:1"), ((), {"client_id": "spa"}, "spa", "-")):
        body = claims()
        mark = body["jti"] + "-" + actor
        r = ask(site, "form", mint(payload=body), "X-Mark: " + mark, *headers, **more)
        assert r.status == 200
        assert db.row(body["jti"])["actor"] == actor
        assert f" {user} " in site.access_line(mark)


def test_httpds_own_user_stays_the_actor(site, mint):
    """Both must be good."""
    body = claims()
    token = mint(payload=body)
    bearer = "Authorization: Bearer " + mint(sub="erin")
    assert ask(site, "form", token, path="/both", **by_body("app", SECRET)).status == 401
    is_invalid_client(ask(site, "form", token, bearer, path="/both"))
    passes(site, token)
    assert ask(site, "form", token, bearer, path="/both", **by_body("app", SECRET)).status == 200
    assert Database(site).row(body["jti"])["actor"] == "erin"


# ---- bad credentials ----

# what was sent: (headers, parameters)
WRONG = {
    "nothing": ((), {}), "a wrong secret": ((basic("app", "x"),), {}), "an unknown client": ((basic("nobody", SECRET),), {}),
    "the secret of another": ((basic("app", "p+ %ä"),), {}), "another case": ((basic("App", SECRET),), {}),
    "no secret": ((basic("app", ""),), {}), "no id": ((basic("", SECRET),), {}), "no colon": (("Authorization: Basic YXBw",), {}),
    "no Base64": (("Authorization: Basic app:open",), {}), "Basic alone": (("Authorization: Basic",), {}),
    "padding missing": ((basic("other", SECRET).rstrip("="),), {}), "padding too much": ((basic("app", SECRET) + "==",), {}),
    "the other alphabet": (("Authorization: Basic YXBwOj8_",), {}),
    "two fields": ((basic("app", SECRET), basic("app", SECRET)), {}),
    "a NUL": (("Authorization: Basic YXBwADpvcGVuIHNlc2FtZQ==",), {}),
    "a NUL in escapes": ((raw_basic("app", "open+sesame%00"),), {}),
    "a long secret": ((basic("app", SECRET * 100),), {}), "a long id": ((basic("a" * 2000, SECRET),), {}),
    "a control character": ((basic("app\n", SECRET),), {}),
    "a wrong secret in the body": ((), by_body("app", "x")), "an unknown client in the body": ((), by_body("nobody", SECRET)),
    "a secret alone": ((), {"client_secret": SECRET}), "an empty id": ((), by_body("", SECRET)),
    "an empty secret": ((), by_body("app", "")), "an id alone": ((), {"client_id": "app"}),
    "an unknown id alone": ((), {"client_id": "nobody"}), "a body encoded twice": ((), by_body("app", "open%20sesame")),
    "a public client by Basic": ((basic("spa", "x"),), {}),
    "a public client by Basic without a secret": ((basic("spa", ""),), {}),
    "a public client with a secret": ((), by_body("spa", "x")),
    "an assertion": ((), {"client_id": "app", "client_assertion": "a.b.c",
                          "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}),
    "an assertion without type": ((), {"client_assertion": "a.b.c"}),
    "a type without assertion": ((), {"client_assertion_type": "x"}),
}
BAD_REQUEST = {
    "Basic and a secret": ((basic("app", SECRET),), {"client_secret": SECRET}),
    "Basic and the same in the body": ((basic("app", SECRET),), by_body("app", SECRET)),
    "Basic and an assertion": ((basic("app", SECRET),), {"client_assertion": "a.b.c"}),
    "broken Basic and the body": (("Authorization: Basic x",), by_body("app", SECRET)),
    "a secret and an assertion": ((), {**by_body("app", SECRET), "client_assertion": "a.b.c"}),
    "Basic and another id": ((basic("app", SECRET),), {"client_id": "other"}),
    "Basic and an unknown id": ((basic("app", SECRET),), {"client_id": "nobody"}),
}


@EACH_WAY
@pytest.mark.parametrize("what", WRONG)
def test_bad_credentials_are_refused_and_nothing_is_revoked(site, mint, way, what):
    """R7009-10, R6749-04, R7523-01"""
    token = mint()
    headers, more = WRONG[what]
    is_invalid_client(ask(site, way, token, *headers, **more), "strict" in way)
    passes(site, token)


@EACH_WAY
@pytest.mark.parametrize("what", BAD_REQUEST)
def test_two_ways_at_once_are_an_invalid_request(site, mint, way, what):
    """R6749-03"""
    token = mint()
    headers, more = BAD_REQUEST[what]
    is_invalid_request(ask(site, way, token, *headers, **more), "strict" in way)
    passes(site, token)


@pytest.mark.parametrize("body", [{"client_id": 5}, {"client_id": "app", "client_secret": None}, {"client_assertion": {}},
                                  {"client_id": ["app"], "client_secret": "x"}], ids=str)
def test_members_that_are_no_strings_are_an_invalid_request(site, mint, body):
    token = mint()
    is_invalid_request(site.get("/revoke", JSON, method="POST", body=json.dumps({"token": token, **body})))
    passes(site, token)


def test_a_client_id_twice_is_an_invalid_request(site, mint):
    """R7009-06"""
    token = mint()
    r = site.get("/revoke", FORM, method="POST", body=f"token={token}&client_id=spa&client_id=spa")
    is_invalid_request(r)
    passes(site, token)


@pytest.mark.parametrize("path", ["/revoke", "/strict"])
def test_credentials_in_the_url_are_not_read(site, mint, path):
    """R6749-02"""
    token = mint()
    for query in (by_body("app", SECRET), {"client_id": "spa"}):
        r = site.get(f"{path}?{urllib.parse.urlencode(query)}", FORM, method="POST", body="token=" + token)
        is_invalid_client(r, path == "/strict")
    passes(site, token)


@EACH_WAY
def test_no_refusal_tells_what_was_wrong_or_whether_the_token_is_good(site, mint, keys, way):
    """R7009-10: byte by byte, headers and their order included; garbage, a good, a foreign and a missing token alike."""
    seen = set()
    tokens = (mint(), "garbage", mint(key=keys.other["p256"]), mint(exp=1000), mint(client_id="other"), "")
    for headers, more in WRONG.values():
        assert ask(site, way, mint(), basic("app", SECRET)).status == 200  # its failures are forgiven, or it would be throttled
        for token in tokens:
            r = ask(site, way, token, *headers, **more)
            seen.add((r.status, tuple((n, v) for n, v in r.headers if n != "Date"), r.body))
    assert len(seen) == 1, seen


def test_the_realm_is_the_name_of_the_location(site, mint):
    """RFC 7617 2: quotes in it are escaped."""
    assert is_invalid_client(ask(site, "form", mint()))["WWW-Authenticate"] == r'Basic realm="the \"clients\" of idp"'
    assert is_invalid_client(ask(site, "strict form", mint()), True)["WWW-Authenticate"].startswith('Basic realm="')


def test_a_page_of_a_listed_origin_can_read_the_refusal(site, mint):
    r = is_invalid_client(ask(site, "form", mint(), "Origin: https://app.test", path="/cors"))
    assert r["Access-Control-Allow-Origin"] == "https://app.test"
    r = site.get("/cors", "Origin: https://app.test", "Access-Control-Request-Method: POST", method="OPTIONS")
    assert r.status == 204 and r["WWW-Authenticate"] is None


def test_no_error_is_anything_but_plain_json(site, mint):
    """R6749-05: nothing of the input is repeated."""
    for headers, more in list(WRONG.values()) + list(BAD_REQUEST.values()) + [((basic('a"\\é<b>', "x"),), {})]:
        r = ask(site, "form", mint(), *headers, **more)
        for text in r.json().values():
            assert all(c in " !" or "#" <= c <= "[" or "]" <= c <= "~" for c in text)
        assert b"<b>" not in r.body and b"nobody" not in r.body


def test_no_secret_is_in_the_log(site, mint):
    for headers, more in WRONG.values():
        ask(site, "form", mint(), *headers, **more)
    ask(site, "form", mint(), basic("app", "s3cr3t-in-basic"))
    ask(site, "form", mint(), **by_body("app", "s3cr3t-in-body"))
    log = site.error_log() + site.access_log()
    assert "s3cr3t" not in log and SECRET not in log and BCRYPT not in log


# ---- public clients, and tokens of others ----

@EACH_WAY
def test_a_public_client_names_itself(site, mint, way):
    """R7009-12"""
    is_revoked(site, way, mint(client_id="spa"), client_id="spa")
    is_revoked(site, way, mint(), client_id="spa")


OF_ANOTHER = [{"client_id": "other"}, {"azp": "other"}, {"client_id": "app", "azp": "other"},
              {"client_id": "other", "azp": "app"}, {"client_id": "App"}, {"client_id": "spa", "azp": "spa"}]


@EACH_WAY
@pytest.mark.parametrize("names", OF_ANOTHER, ids=str)
def test_a_token_of_another_client_is_refused_and_lives_on(site, mint, way, names):
    """R7009-11, T3"""
    token = mint(**names)
    r = is_answer(ask(site, way, token, basic("app", SECRET)), 400, None)
    if "strict" in way:
        assert r.json() == {"revoked": False, "error": "invalid_grant"}
    else:
        assert r.json()["error"] == "invalid_grant"
    passes(site, token)


@EACH_WAY
def test_a_public_client_cannot_revoke_the_token_of_another(site, mint, way):
    """R7009-12"""
    token = mint(client_id="app")
    assert ask(site, way, token, client_id="spa").json()["error"] == "invalid_grant"
    passes(site, token)
    is_revoked(site, way, token, basic("app", SECRET))


@EACH_WAY
@pytest.mark.parametrize("names", [{}, {"client_id": "app"}, {"azp": "app"}, {"client_id": "app", "azp": "app"}], ids=str)
def test_a_token_of_its_own_or_of_nobody_is_revoked(site, mint, way, names):
    """R7009-11"""
    is_revoked(site, way, mint(**names), basic("app", SECRET))


@pytest.mark.parametrize("what", ["garbage", "forged", "expired"])
def test_a_bad_token_is_still_revoked_for_an_authenticated_client(site, mint, keys, what):
    """R7009-14"""
    token = {"garbage": "abc", "forged": mint(key=keys.other["p256"], client_id="other"),
             "expired": mint(exp=1000, client_id="other")}
    is_answer(ask(site, "form", token[what], basic("app", SECRET)), 200, {})


def test_only_a_client_with_a_secret_revokes_opaque_tokens(site):
    """Anybody can say that he is a public client."""
    db = Database(site)
    before = db.state()["row_count"]
    assert ask(site, "form", "opaque-1", client_id="spa").status == 200
    assert db.state()["row_count"] == before
    assert ask(site, "form", "opaque-1", basic("app", SECRET)).status == 200
    assert db.state()["row_count"] == before + 1
