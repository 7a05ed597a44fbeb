"""What revoking takes along: a refresh token's session or subject, and opaque tokens from callers who have shown who they are."""

import hashlib
import time

import pytest

from database import Database
from httpd import endpoint
from issuers import write_keys
from storing import BASIC, FORM, PAGE, basic, claims_of, text, write_users

HOUR = 3600


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    write_keys(server, keys)
    write_users(server, b"carol")
    opaque = "TokRevokeOpaque 2d"
    return server.start(text(
        endpoint("/cascade/session", "TokRevokeCascade session"), endpoint("/cascade/subject", "TokRevokeCascade subject"),
        endpoint("/cascade/none", "TokRevokeCascade token"), endpoint("/opaque/open", opaque),
        endpoint("/opaque/known", opaque, *BASIC), endpoint("/opaque/strict", opaque, "TokRevokeAnswers strict", *BASIC),
        endpoint("/opaque/off", *BASIC), "TokRevokeRetain 100\n"))


@pytest.fixture
def db(site):
    return Database(site)


def verdicts(site, *tokens):
    return [site.bearer(PAGE, t).reason or "accepted" for t in tokens]


def pair(mint, sub, sid, **more):
    """Access and refresh token of one login."""
    return mint(sub=sub, sid=sid, **more), mint(sub=sub, sid=sid, token_use="refresh", **more)


CASES = {"none": ["accepted"] * 3, "session": ["revoked", "accepted", "accepted"], "subject": ["revoked", "revoked", "accepted"]}


@pytest.mark.parametrize("cascade", CASES)
def test_a_refresh_token_takes_along_what_the_location_says(site, mint, cascade):
    """R7009-19, R7009-20"""
    me = f"user-{cascade}"
    access, refresh = pair(mint, me, f"s1-{cascade}")
    elsewhere, other = mint(sub=me, sid=f"s2-{cascade}"), mint(sub="somebody", sid=f"s3-{cascade}")
    assert verdicts(site, access, elsewhere, other) == ["accepted"] * 3
    answer = site.revoke(refresh, path=f"/cascade/{cascade}")
    assert (answer.status, answer.body) == (200, b"{}")
    assert verdicts(site, access, elsewhere, other) == CASES[cascade]
    later = mint(sub=me, sid=f"s1-{cascade}", iat=int(time.time()) + 2)
    assert verdicts(site, later) == ["accepted"], "a later login works at once"


def test_a_dead_refresh_token_ends_no_later_login(site, db, mint):
    """Whoever kept it would log its user out for ever: what was issued after the first revocation stays."""
    _, refresh = pair(mint, "eve", "s-eve", iat=int(time.time()) - 50)
    assert site.revoke(refresh, path="/cascade/subject").status == 200
    before = db.state()
    time.sleep(1.1)
    later = mint(sub="eve", iat=int(time.time()))
    assert site.revoke(refresh, path="/cascade/subject").status == 200
    assert db.state() == before
    assert verdicts(site, later) == ["accepted"]
    alone = mint(sub="eve", token_use="refresh", iat=int(time.time()) - 50, nonce=1)
    assert site.revoke(alone, path="/cascade/none").status == 200
    assert site.revoke(alone, path="/cascade/subject").status == 200
    assert verdicts(site, later) == ["accepted"], "dead by the subject's cut-off already"


def test_a_dead_refresh_token_of_a_clock_ahead_still_ends_what_it_says(site, mint):
    """That there is some cut-off of its subject does not mean that there is one as late as the token."""
    now = int(time.time())
    _, old = pair(mint, "mia", "s-mia", iat=now - 50)
    assert site.revoke(old, path="/cascade/subject").status == 200
    access, ahead = pair(mint, "mia", "s-mia", iat=now + 30)
    assert verdicts(site, access) == ["accepted"]
    assert site.revoke(ahead, path="/cascade/none").status == 200
    assert site.revoke(ahead, path="/cascade/subject").status == 200
    assert verdicts(site, access) == ["revoked"]


def test_an_access_token_takes_nothing_along(site, mint):
    """R7009-21"""
    access, refresh = pair(mint, "ann", "s-ann")
    assert site.revoke(access, path="/cascade/subject").status == 200
    assert verdicts(site, access, mint(sub="ann", sid="s-ann")) == ["revoked", "accepted"]


def test_an_id_token_takes_nothing_along(site, mint):
    access, _ = pair(mint, "ida", "s-ida")
    assert site.revoke(mint(sub="ida", sid="s-ida", token_use="id"), path="/cascade/subject").status == 200
    assert verdicts(site, access) == ["accepted"]


def test_a_refresh_token_without_session_is_revoked_alone(site, db, mint):
    refresh = mint(sub="bea", typ="Refresh")
    assert site.revoke(refresh, path="/cascade/session").status == 200
    assert [row["kind"] for row in db.rows("value = ?", claims_of(refresh)["jti"])] == ["token"]
    assert verdicts(site, mint(sub="bea")) == ["accepted"]


def test_both_are_stored_with_one_commit_and_kept_long_enough(site, db, mint):
    refresh = mint(sub="kim", sid="s-kim", typ="Refresh", exp=int(time.time()) + 20 * HOUR)
    before, began = db.state()["last_seq"], int(time.time())
    assert site.revoke(refresh, path="/cascade/session").status == 200
    rows = db.rows("seq > ?", before)
    assert [(row["kind"], row["value"]) for row in rows] == [("token", claims_of(refresh)["jti"]), ("session", "s-kim")]
    assert rows[0]["expires_at"] == claims_of(refresh)["exp"] + 1 + 60 + 100
    cut_off = rows[1]["issued_before_us"] // 1000000
    assert began <= cut_off <= time.time()
    assert rows[1]["expires_at"] == cut_off + 1 + 24 * HOUR + 60 + 100


@pytest.mark.parametrize("shift, verdict", [(-30, "revoked"), (-1, "revoked"), (0, "revoked"), (1, "accepted"), (2, "accepted")])
def test_the_same_second_counts_as_before(site, db, mint, shift, verdict):
    sub = f"sec{shift}"
    assert site.revoke(mint(sub=sub, typ="Refresh"), path="/cascade/subject").status == 200
    cut_off = db.rows("value = ?", sub)[0]["issued_before_us"] // 1000000
    for fraction in (0, 0.5, 0.999):
        assert verdicts(site, mint(sub=sub, iat=cut_off + shift + fraction)) == [verdict], fraction
    assert verdicts(site, mint(sub=sub, drop="iat")) == ["revoked"]


def test_a_cut_off_survives_a_stop_and_a_start(site, mint):
    access, refresh = pair(mint, "rob", "s-rob")
    assert site.revoke(refresh, path="/cascade/session").status == 200
    site.stop()
    site.again()
    later = mint(sub="rob", sid="s-rob", iat=int(time.time()) + 2)
    assert verdicts(site, access, later) == ["revoked", "accepted"]


def test_an_issuer_with_another_name_has_other_sessions(main, mint):
    """The same sid at two issuers is two sessions."""
    refresh = mint(iss="https://aud.test/", aud="legacy-app", sid="shared", typ="Refresh")
    assert main.revoke(refresh).status == 200
    assert main.bearer("/p/app/ok.txt", mint(sid="shared")).status == 200


# ---- opaque tokens ----

def ask(site, path, token, *headers, hint=""):
    return site.get(path, FORM, *headers, method="POST", body="token=" + token + hint)


def digest_of(token):
    return hashlib.sha256(token.encode()).hexdigest()


def test_an_opaque_token_of_a_known_caller_is_stored_as_its_digest(site, db):
    began = int(time.time())
    for token in ("rt_x1y2z3a4b5c6d7e8f9", "two.parts", "a-._~b"):
        answer = ask(site, "/opaque/known", token, basic(b"carol"), hint="&token_type_hint=refresh_token")
        assert (answer.status, answer.body) == (200, b"{}")
        row = db.row(digest_of(token))
        assert (row["kind"], row["issuer"], row["actor"]) == ("opaque", "", "carol")
        assert began + 2 * 24 * HOUR <= row["expires_at"] <= time.time() + 2 * 24 * HOUR + 1


def test_an_opaque_token_of_anybody_fills_nothing(site, db):
    """R7009-25, R7009-27: only somebody known may store what nobody here can verify."""
    before = db.state()
    assert ask(site, "/opaque/open", "rt_of_nobody").status == 200
    assert ask(site, "/opaque/off", "rt_switched_off", basic(b"carol")).status == 200
    assert db.state() == before


def test_a_jwt_that_only_its_issuer_can_verify_is_opaque(site, db, mint, keys):
    """Like the refresh tokens of issuers that sign them with a secret of their own."""
    theirs = mint(iss="https://elsewhere.test/")
    assert ask(site, "/opaque/known", theirs, basic(b"carol")).status == 200
    assert db.row(digest_of(theirs.rpartition(".")[0]))["kind"] == "opaque"
    before = db.state()
    forged = mint(key=keys.other["p256"])
    expired = mint(exp=int(time.time()) - 1000)
    for token in (forged, expired):
        assert ask(site, "/opaque/known", token, basic(b"carol")).status == 200
    assert db.state() == before


def test_strict_answers_take_opaque_tokens_too(site, db):
    answer = ask(site, "/opaque/strict", "rt_strict", basic(b"carol"))
    assert (answer.status, answer.json()) == (200, {"revoked": True})
    assert db.row(digest_of("rt_strict"))["kind"] == "opaque"
    assert ask(site, "/opaque/strict", "a" * 16385, basic(b"carol")).status == 401


def test_an_opaque_token_is_no_jwt_without_its_signature(site, mint):
    """Who knows only a part of a token cannot revoke it."""
    token = mint(drop="jti")
    assert ask(site, "/opaque/known", token.rpartition(".")[0], basic(b"carol")).status == 200
    assert verdicts(site, token) == ["accepted"]


# ---- configuration ----

@pytest.mark.parametrize("line, word", [
    ("TokRevokeOpaque 0", "0 would forget"), ("TokRevokeOpaque soon", "duration"), ("TokRevokeCascade everything", "everything"),
    ("TokRevokeLogoutScope all", "all"), ("TokRevokeClearSiteData biscuits", "biscuits"), ("TokRevokeClearSiteData", "list"),
    ("TokRevokeGuardTokenEndpoint maybe", "On or Off"), ("TokRevokeLogoutPage conf/none.html", "none.html")])
def test_a_wrong_word_is_refused_with_its_reason(new_server, line, word):
    status, said = new_server().configtest(f'<Location "/x">\n{line}\n</Location>\n')
    assert status == 1 and word in said


def test_the_guard_cannot_come_from_htaccess(new_server, keys):
    server = new_server(children=2)
    write_keys(server, keys)
    server.write("htdocs/.htaccess", "TokRevokeGuardTokenEndpoint On\n")
    server.start(text('<Directory "{root}/htdocs">\nAllowOverride AuthConfig\n</Directory>\n'))
    server.expect_log("TokRevokeGuardTokenEndpoint cannot stand in .htaccess")
    assert server.get("/ok.txt").status == 500


@pytest.mark.parametrize("opaque, lives", [("TokRevokeOpaque 40d", 40 * 24 * HOUR), ("", None)])
def test_where_a_token_endpoint_is_guarded_cut_offs_live_as_long_as_refresh_tokens(new_server, keys, mint, opaque, lives):
    server = new_server(children=2)
    write_keys(server, keys)
    guarded = f'<Location "/token">\nTokRevokeGuardTokenEndpoint On\n{opaque}\n</Location>\n'
    server.start(text(endpoint("/cascade", "TokRevokeCascade subject"), guarded))
    began = int(time.time())
    assert server.revoke(mint(sub="zoe", typ="Refresh"), path="/cascade").status == 200
    expires = Database(server).rows("value = ?", "zoe")[0]["expires_at"]
    assert expires is None if lives is None else began + lives + 60 <= expires <= time.time() + lives + 62


def test_a_cut_off_is_kept_for_the_server_that_lets_tokens_live_longest(new_server, keys, mint):
    """One table for all virtual hosts: one may let tokens of the same issuer live longer than the one that was asked."""
    server = new_server(children=2)
    write_keys(server, keys)
    own = "\n".join(("TokRevokeMaxLifetime 40d", "TokRevokeKeySet {root}/conf/all.jwks"))
    vhosts = ("<VirtualHost 127.0.0.1:{port}>\nServerName 127.0.0.1\n</VirtualHost>\n<VirtualHost 127.0.0.1:{port}>\nServerName long.test\n"
              f'<TokRevokeIssuer "https://idp.test/">\n{own}\n</TokRevokeIssuer>\n</VirtualHost>\n')
    server.start(text(endpoint("/cascade", "TokRevokeCascade subject"), vhosts))
    began = int(time.time())
    assert server.revoke(mint(sub="zoe", typ="Refresh"), path="/cascade").status == 200
    expires = Database(server).rows("value = ?", "zoe")[0]["expires_at"]
    assert began + 40 * 24 * HOUR + 60 <= expires <= time.time() + 40 * 24 * HOUR + 62
    assert server.bearer(PAGE, mint(sub="zoe", exp=began + 30 * 24 * HOUR), host="long.test").reason == "revoked"
