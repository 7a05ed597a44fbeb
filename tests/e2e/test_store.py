"""What a 200 leaves in the database, and that it holds through every kind of end and start."""

import hashlib
import json
import os
import re
import stat
import threading
import time
import urllib.parse

import pytest

from database import Database, checksum, digest, siphash128
from httpd import REPO
from issuers import issuer, jwks, write_keys
from storing import (FORM, JSON, PAGE, ROOT, are_accepted, are_revoked, basic, claims_of, revoke_all, text, two_rounds, until,
                     verdicts, without_jti, write_users)
from tokens import claims

REFERENCE = """a3817f04ba25a8e66df67214c7550293 da87c1d86b99af44347659119b22fc45 8177228da4a45dc7fca38bdef60affe4
9c70b60c5267a94e5f33b6b02985ed51 f88164c12d9c8faf7d0f6e7c7bcd5579 1368875980776f8854527a07690e9627
14eeca338b208613485ea0308fd7a15e a1f1ebbed8dbc153c0b84aa61ff08239 3b62a9ba6258f5610f83e264f31497b4""".split()


def test_the_tests_own_siphash_agrees_with_the_reference_vectors():
    """vectors_sip128 of the reference implementation: key 00 .. 0f, input 00 .. n-1."""
    for n, expected in enumerate(REFERENCE):
        assert siphash128(bytes(range(n)), bytes(range(16))).hex() == expected


def test_the_documented_example_has_the_documented_checksum():
    assert checksum(1, "token", "https://idp.example.com/", "abc", 0, 1795248549) == 3310088695287540437
    assert "3310088695287540437" in (REPO / "docs" / "DATABASE.md").read_text()


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    server.extra_modules = ("remoteip",)
    write_keys(server, keys)
    write_users(server, b"carol", b"d\xc3\xa4ve", b"mall\xff\xc3ory")
    return server.start("RemoteIPHeader X-Client\nRemoteIPInternalProxy 127.0.0.1\n" + text())


@pytest.fixture(scope="module")
def db(site):
    return Database(site)


def revoke(site, token, *headers, path="/revoke", **more):
    return site.get(path, FORM, *headers, method="POST", body=urllib.parse.urlencode({"token": token, **more}))


# ---- the row ----

def test_a_revocation_is_one_row_with_everything_that_is_known_of_it(site, db, mint):
    token = mint()
    c = claims_of(token)
    before = db.state()
    began = int(time.time())
    assert revoke(site, token, basic(b"carol"), path="/admin/revoke", reason="lost phone").status == 200
    row = db.row(c["jti"])
    assert began <= row.pop("revoked_at") <= int(time.time())
    row.pop("checksum")
    assert row == {"seq": before["last_seq"] + 1, "kind": "token", "issuer": "https://idp.test/", "value": c["jti"],
                   "issued_before_us": 0, "expires_at": c["exp"] + 1 + 60, "actor": "carol", "client_address": "127.0.0.1",
                   "reason": "lost phone"}
    after = db.state()
    assert after["schema_version"] == 1 and after["database_id"] == before["database_id"]
    assert (after["last_seq"], after["row_count"]) == (before["last_seq"] + 1, before["row_count"] + 1)
    assert db.is_whole()


def test_the_tables_are_the_documented_ones(db):
    found = dict(db.select("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    assert set(found) == {"tokrevoke_state", "tokrevoke_revocations"}
    columns = {name: [(row[1], row[2], row[3], row[5]) for row in db.select(f"PRAGMA table_info({name})")] for name in found}
    assert columns["tokrevoke_state"] == [
        ("id", "INTEGER", 0, 1), ("schema_version", "INTEGER", 1, 0), ("database_id", "TEXT", 1, 0), ("last_seq", "BIGINT", 1, 0),
        ("row_count", "BIGINT", 1, 0), ("row_sum", "BIGINT", 1, 0)]
    assert columns["tokrevoke_revocations"] == [
        ("seq", "INTEGER", 0, 1), ("kind", "TEXT", 1, 0), ("issuer", "TEXT", 1, 0), ("value", "TEXT", 1, 0),
        ("issued_before_us", "BIGINT", 1, 0), ("expires_at", "BIGINT", 0, 0), ("revoked_at", "BIGINT", 1, 0),
        ("actor", "TEXT", 1, 0), ("client_address", "TEXT", 1, 0), ("reason", "TEXT", 1, 0), ("checksum", "BIGINT", 1, 0)]
    assert db.select("PRAGMA journal_mode") == [("wal",)] and db.select("PRAGMA auto_vacuum") == [(2,)]


def test_the_documented_queries_run(site, db, mint):
    revoke_all(site, [mint()])
    blocks = re.findall(r"```sql\n-- sqlite3\b.*\n((?:[^`])*)```", (REPO / "docs" / "DATABASE.md").read_text())
    assert len(blocks) >= 5
    assert all(db.select(block) is not None for block in blocks)


@pytest.mark.parametrize("path", ["/revoke", "/strict"])
@pytest.mark.parametrize("kind", [FORM, JSON], ids=["form", "json"])
def test_every_form_of_the_request_stores_token_and_reason(site, db, mint, path, kind):
    token = mint()
    params = {"token": token, "token_type_hint": "access_token", "reason": "why not"}
    body = urllib.parse.urlencode(params) if kind == FORM else json.dumps(params)
    assert site.get(path, kind, method="POST", body=body).status == 200
    row = db.row(claims_of(token)["jti"])
    assert (row["actor"], row["reason"]) == ("", "why not")


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA", "HS256"])
def test_a_token_without_jti_is_stored_as_the_digest_of_its_signing_input(site, db, mint, alg):
    token = without_jti(mint, alg)
    assert revoke(site, token).status == 200
    row = db.row(hashlib.sha256(".".join(token.split(".")[:2]).encode()).hexdigest())
    assert (row["kind"], row["issuer"], row["expires_at"]) == ("digest", "https://idp.test/", claims_of(token)["exp"] + 61)
    assert row["value"] == digest(token)


@pytest.mark.parametrize("user, stored", [(b"carol", "carol"), (b"d\xc3\xa4ve", "däve"), (b"mall\xff\xc3ory", "mall??ory")])
def test_the_actor_is_who_authenticated_at_the_endpoint(site, db, mint, user, stored):
    token = mint()
    assert revoke(site, token, basic(user), path="/admin/revoke").status == 200
    assert db.row(claims_of(token)["jti"])["actor"] == stored


def test_the_actor_is_the_tokens_user_where_the_endpoint_asks_for_a_token(site, db, mint):
    token = mint(sub="erin")
    assert revoke(site, token, "Authorization: Bearer " + token, path="/own/revoke").status == 200
    assert db.row(claims_of(token)["jti"])["actor"] == "erin"


def test_without_the_right_to_revoke_nothing_is_stored(site, db, mint):
    token, before = mint(), db.state()
    for headers in ((), ("Authorization: Basic Y2Fyb2w6d3Jvbmc=",)):
        site.expect_log("AH0161[78]|AH01614")
        assert revoke(site, token, *headers, path="/admin/revoke").status == 401
    assert revoke(site, token, path="/own/revoke").status == 401
    assert db.state() == before
    are_accepted(site, [token])


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_the_client_address_is_the_one_behind_a_trusted_proxy(site, db, mint, address):
    token = mint()
    assert revoke(site, token, "X-Client: " + address).status == 200
    assert db.row(claims_of(token)["jti"])["client_address"] == address


@pytest.mark.parametrize("more, stored", [(600, 601), (600.25, 601), (600.999, 601)], ids=["whole", "quarter", "nearly-whole"])
def test_the_row_outlives_the_token_by_the_largest_skew_and_the_retention(new_server, keys, mint, more, stored):
    server = new_server(children=2)
    write_keys(server, keys)
    others = (issuer("https://second.test/", jwks("all"), "TokRevokeClockSkew 90")
              + issuer("https://third.test/", jwks("all"), "TokRevokeClockSkew 7"))
    server.start(text(others, "TokRevokeRetain 2h\n", rules=("TokRevokeClockSkew 0",)))
    now = int(time.time())
    token = mint(exp=now + more)
    revoke_all(server, [token])
    assert Database(server).row(claims_of(token)["jti"])["expires_at"] == now + stored + 90 + 7200
    server.stop()


@pytest.mark.parametrize("exp", [2**32 + 5, 10**13, 10**300], ids=["2106", "10^13", "10^300"])
def test_a_token_that_outlives_everybody_is_revoked_for_ever(new_server, keys, mint, exp):
    server = new_server(children=2)
    write_keys(server, keys)
    server.start(text(rules=("TokRevokeMaxLifetime unlimited",)))
    token = mint(exp=exp)
    revoke_all(server, [token])
    db = Database(server)
    until_then = db.row(claims_of(token)["jti"])["expires_at"]
    assert (until_then is None or exp < until_then < 2**63 - 1) and db.is_whole()
    server.stop()
    server.again()
    are_revoked(server, [token])
    server.stop()


# ---- the reason ----

REASONS = {
    "nothing": ("", ""),
    "umlauts": ("café €  😀".encode(), "café €  😀"),
    "a quote": (b"' OR 1=1; DROP TABLE tokrevoke_state; --", "' OR 1=1; DROP TABLE tokrevoke_state; --"),
    "a line break": (b"a\r\nb\tc", "a??b?c"),
    "control characters": (bytes(range(1, 32)) + b"\x7f", "?" * 32),
    "no UTF-8": (b"a\xffb\xfe\x80c", "a?b??c"),
    "a long form": (b"\xc0\x80\xe0\x80\xaf\xf0\x80\x80\x80", "?" * 9),
    "a surrogate": (b"\xed\xa0\x80\xed\xbf\xbf", "??????"),
    "beyond Unicode": (b"\xf4\x90\x80\x80\xf5\x80\x80\x80", "????????"),
    "a character cut off": ("x€".encode()[:-1], "x??"),
    "percent signs": (b"%s%n%lld %%", "%s%n%lld %%"),
    "the longest": (b"r" * 1024, "r" * 1024),
}


@pytest.mark.parametrize("what", REASONS)
def test_a_reason_is_stored_as_clean_text(site, db, mint, what):
    given, stored = REASONS[what]
    token = mint()
    assert revoke(site, token, reason=given).status == 200
    assert db.row(claims_of(token)["jti"])["reason"] == stored
    assert db.is_whole()


@pytest.mark.parametrize("given, stored", [("x\\u0001y\\u001f\\u007f", "x?y??"), ("\\u00e9\\ud83d\\ude00", "é😀"), ("\\n", "?")])
def test_a_reason_in_json_is_stored_as_clean_text(site, db, mint, given, stored):
    token = mint()
    assert site.get("/revoke", JSON, method="POST", body=f'{{"token":"{token}","reason":"{given}"}}').status == 200
    assert db.row(claims_of(token)["jti"])["reason"] == stored


@pytest.mark.parametrize("path", ["/revoke", "/strict"])
@pytest.mark.parametrize("reason", ["r" * 1025, "é" * 513, "r" * 20000], ids=len)
def test_a_reason_over_1024_bytes_is_a_bad_request_and_revokes_nothing(site, db, mint, path, reason):
    token, before = mint(), db.state()
    for kind, body in ((FORM, urllib.parse.urlencode({"token": token, "reason": reason})),
                       (JSON, json.dumps({"token": token, "reason": reason}))):
        r = site.get(path, kind, method="POST", body=body)
        assert r.status == 400 and b"1024" in r.body, r
    assert db.state() == before
    are_accepted(site, [token])


# ---- how many rows ----

def test_revoking_twice_gives_one_row(site, db, mint):
    tokens = [mint(), without_jti(mint)]
    for _ in range(3):
        for path in ("/revoke", "/strict", "/revoke"):
            revoke_all(site, tokens, path)
    for token in tokens:
        db.row(claims_of(token).get("jti") or digest(token))


def test_what_revokes_nothing_stores_nothing(site, db, mint, keys):
    before = db.state()
    for token in (mint(key=keys.other["p256"]), mint(exp=1000), "a.b.c", "x", mint(iss="https://evil.test/"), mint(jti=7)):
        assert revoke(site, token).status == 200
    assert site.get("/revoke", FORM, method="POST", body="tokem=x").status == 400
    assert db.state() == before


def test_a_second_token_with_the_same_jti_that_lives_longer_is_stored_too(site, db, mint):
    short = claims()
    long = dict(short, exp=short["exp"] + 500)
    tokens = [mint(payload=short), mint(payload=long)]
    revoke_all(site, tokens + tokens)
    assert [row["expires_at"] for row in db.rows("value = ?", short["jti"])] == [short["exp"] + 61, long["exp"] + 61]
    revoke_all(site, [tokens[0]])
    assert len(db.rows("value = ?", short["jti"])) == 2


def at_once(site, tokens):
    """A client for each, all at the same moment. Returns the statuses."""
    gate = threading.Barrier(len(tokens))
    statuses = [None] * len(tokens)

    def work(i):
        with site.connect() as c:
            gate.wait(30)
            statuses[i] = c.request("POST", "/revoke", FORM, body="token=" + tokens[i]).status

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(tokens))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    return statuses


def test_64_clients_revoke_64_tokens_at_once_and_every_row_is_there(site, db, mint):
    tokens = [without_jti(mint) if i % 4 == 0 else mint() for i in range(64)]
    before = db.state()
    assert at_once(site, tokens) == [200] * 64
    are_revoked(site, tokens)
    after = db.state()
    assert (after["last_seq"], after["row_count"]) == (before["last_seq"] + 64, before["row_count"] + 64)
    for token in tokens:
        db.row(claims_of(token).get("jti") or digest(token))
    assert db.is_whole()


def test_64_clients_revoke_one_token_at_once(site, db, mint):
    """Whoever comes before the first has ended waits for a row of his own; a later caller does not."""
    token = mint()
    assert at_once(site, [token] * 64) == [200] * 64
    are_revoked(site, [token])
    rows = len(db.rows("value = ?", claims_of(token)["jti"]))
    assert 1 <= rows <= 64
    revoke_all(site, [token])
    assert len(db.rows("value = ?", claims_of(token)["jti"])) == rows
    assert db.is_whole()


# ---- the files ----

def test_the_files_belong_to_httpds_user_and_nobody_else_reads_them(site, db):
    import grp
    import pwd
    user, group = (pwd.getpwnam("www-data").pw_uid, grp.getgrnam("www-data").gr_gid) if ROOT else (os.geteuid(), os.getegid())
    folder = db.path.parent.stat()
    assert (stat.S_IMODE(folder.st_mode), folder.st_uid, folder.st_gid) == (0o750, user, group)
    assert sorted(p.name for p in db.path.parent.iterdir()) == [
        "tokrevoke.db", "tokrevoke.db-mark", "tokrevoke.db-shm", "tokrevoke.db-wal"]
    for path in db.path.parent.iterdir():
        found = path.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o640, user, group), path


def test_the_mark_names_the_database_and_its_last_number(site, db, mint):
    revoke_all(site, [mint()])
    state = db.state()
    assert db.mark() == (state["database_id"], state["last_seq"])


def test_no_token_stands_in_any_file_of_the_folder(site, db, mint):
    """Nor in the logs. The control: what is stored is found by the same search."""
    tokens = [make(alg) for alg in ("RS256", "ES256", "HS256") for make in (mint, lambda alg: without_jti(mint, alg))]
    for token in tokens:
        assert revoke(site, token, basic(b"carol"), path="/admin/revoke", reason="searched for").status == 200
        assert site.bearer(PAGE, token).status == 401
    stored = b"".join(p.read_bytes() for p in db.path.parent.iterdir())
    logged = (site.error_log() + site.access_log()).encode()
    for token in tokens:
        assert (claims_of(token).get("jti") or digest(token)).encode() in stored
        head, payload, signature = token.encode().split(b".")
        for part in (token.encode(), payload, signature, payload[:40], signature[:40]):
            assert part not in stored and part not in logged
        assert head not in stored
    assert b"pw" not in logged


# ---- ends and starts ----

def stopped_and_started(server):
    server.stop()
    server.again()


def killed_and_started(server):
    server.kill()
    server.again()


WAYS = {"stopped and started": stopped_and_started, "killed with all its children and started": killed_and_started,
        "restarted hard": lambda server: server.restart(), "restarted gracefully": lambda server: server.next_generation()}


@pytest.mark.parametrize("way", WAYS)
def test_what_was_revoked_is_refused_and_all_else_accepted_when_httpd_was(site, db, mint, way):
    algs = ("RS256", "ES256", "EdDSA", "HS256")
    revoked = [without_jti(mint, algs[i % 4]) if i % 3 == 0 else mint(algs[i % 4]) for i in range(40)]
    good = [without_jti(mint, algs[i % 4]) if i % 3 == 0 else mint(algs[i % 4]) for i in range(20)]
    good.append(mint(payload=dict(claims_of(good[1]), jti="another-" + claims_of(revoked[1])["jti"])))
    good.append(mint(payload=dict(claims_of(revoked[0]), iat=claims_of(revoked[0])["iat"] - 1)))  # another signing input
    revoke_all(site, revoked)
    before = db.rows()
    WAYS[way](site)
    are_revoked(site, revoked)
    are_accepted(site, good)
    assert db.rows() == before and db.is_whole()
    revoke_all(site, revoked)  # known to be stored
    assert db.rows() == before
    late = mint()
    revoke_all(site, [late])
    are_revoked(site, [late])
    assert db.row(claims_of(late)["jti"])["seq"] == before[-1]["seq"] + 1


def test_the_start_says_how_many_revocations_were_loaded(new_server, keys, mint):
    server = new_server(children=2)
    write_keys(server, keys)
    server.start(text())
    server.wait_log(r"\[tokrevoke:notice\].*a new database for revocations was made: .*/state/tokrevoke\.db")
    server.wait_log(r"\[tokrevoke:notice\].* 0 revocations loaded from .*/state/tokrevoke\.db in \d")
    revoke_all(server, [mint() for _ in range(17)])
    server.stop()
    since = len(server.error_log())
    server.again()
    server.wait_log(r"\[tokrevoke:notice\].* 17 revocations loaded from .*/state/tokrevoke\.db in \d", since=since)
    assert "a new database" not in server.error_log()[since:]
    server.stop()


def test_a_revocation_lasts_through_many_kills(new_server, keys, mint):
    server = new_server(children=2)
    write_keys(server, keys)
    server.start(text())
    revoked, good = [], mint()
    for _ in range(5):
        token = mint()
        revoke_all(server, [token])
        revoked.append(token)
        killed_and_started(server)
        are_revoked(server, revoked)
        are_accepted(server, [good])
    assert Database(server).is_whole()
    server.stop()


# ---- expiry ----

def test_expired_rows_vanish_within_seconds_and_the_totals_stay_right(new_server, keys, mint):
    server = new_server(children=2)
    write_keys(server, keys)
    server.start(text(rules=("TokRevokeClockSkew 0",)))
    db = Database(server)
    living = [mint() for _ in range(5)]
    began = time.monotonic()
    revoke_all(server, living)
    end = int(time.time() + 3 + 30 * (time.monotonic() - began))  # twelve times as many are to be stored by then
    dying = [mint(exp=end) for _ in range(30)]
    revoke_all(server, [token for pair in zip(dying, living) for token in pair] + dying)
    assert db.state()["row_count"] == 35
    last = db.state()["last_seq"]
    until(lambda: db.state()["row_count"] == 5, max(0, end - time.time()) + 10, lambda: f"{db.state()}")
    assert time.time() > end
    assert [row["value"] for row in db.rows()] == [claims_of(token)["jti"] for token in living]
    assert db.state()["last_seq"] == last and db.is_whole()
    assert set(verdicts(server, dying)) == {"expired"}
    stopped_and_started(server)
    are_revoked(server, living)
    server.stop()


def test_retained_rows_outlive_their_tokens(new_server, keys, mint):
    server = new_server(children=2)
    write_keys(server, keys)
    server.start(text("TokRevokeRetain 1h\n", rules=("TokRevokeClockSkew 0",)))
    db = Database(server)
    soon = int(time.time()) + 4
    token = mint(exp=soon)
    revoke_all(server, [token])
    until(lambda: verdicts(server, [token]) == ["expired"], 10)
    two_rounds(db)
    assert db.row(claims_of(token)["jti"])["expires_at"] == soon + 1 + 3600
    server.stop()
