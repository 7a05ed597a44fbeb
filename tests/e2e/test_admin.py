"""tokrevoke-admin: administrators revoke by kind, one or a thousand at once, and see what was revoked."""

import itertools
import json
import struct
import threading
import time

import pytest

from database import Database, digest
from httpd import SCHEME
from issuers import issuer, jwks, write_keys
from storing import (BASIC, FORM, JSON, SLOW, EveryChild, are_accepted, are_revoked, basic, claims_of, clock, revoke_all, text,
                     until, verdicts, without_jti, write_users)

ISS = "https://idp.test/"
PROBLEM = "application/problem+json"
serial = itertools.count()


def admin(path, *directives):
    lines = "\n    ".join(directives)
    return f'<Location "{path}">\n    SetHandler tokrevoke-admin\n    {lines}\n</Location>\n'


LISTED = ("TokRevokeAllowOrigin https://console.test *", *BASIC)
ENDPOINTS = admin("/tr", *BASIC) + admin("/open") + admin("/listed", *LISTED)


def start(server, keys, *more, **how):
    write_keys(server, keys)
    write_users(server, b"boss", b"other")
    return server.start(text(ENDPOINTS, *more, **how))


@pytest.fixture(scope="module")
def site(new_server, keys):
    return start(new_server(), keys)


@pytest.fixture(scope="module")
def db(site):
    return Database(site)


@pytest.fixture
def own_site(new_server, keys):
    """One that may be hurt."""
    server = new_server()
    yield server
    server.stop()


def post(server, body, *headers, path="/tr/revocations", user=b"boss", kind=JSON):
    return server.get(path, kind, basic(user), *headers, method="POST", body=body if isinstance(body, str) else json.dumps(body))


def get(server, query="", path="/tr/revocations"):
    return server.get(path + query, basic(b"boss"))


def listed(server, query=""):
    r = get(server, query)
    assert r.status == 200 and r["Content-Type"] == "application/json" and r["Cache-Control"] == "no-store", r
    return r.json()


def item(kind, value=None, iss=ISS, **more):
    return {"kind": kind, "iss": iss, **({"value": value} if value is not None else {}), **more}


def revoked(server, body, *headers, **how):
    """The numbers."""
    r = post(server, body, *headers, **how)
    assert r.status == 201 and r["Content-Type"] == "application/json" and r["Cache-Control"] == "no-store", (r, r.text)
    found = r.json()
    assert list(found) == ["seq"]
    return found["seq"]


def problem(r, status, index=None):
    """The sentence of a problem document (RFC 9457 3)."""
    assert r.status == status and r["Content-Type"] == PROBLEM and r["Cache-Control"] == "no-store", (r, r.text)
    found = r.json()
    assert found["type"] == "about:blank" and found["status"] == status and found["title"]
    assert found.get("index") == index
    return found["detail"]


def name(what="user"):
    return f"{what}-{next(serial)}"


def now():
    return int(time.time())


# ---- kinds ----

def cases():
    sub, sid, client, azp, jti = (name(what) for what in ("sub", "sid", "client", "azp", "jti"))
    return {"subject": (item("subject", sub), {"sub": sub}, {"sub": sub + "x"}),
            "session": (item("session", sid), {"sid": sid}, {"sid": sid.upper()}),
            "client": (item("client", client), {"client_id": client}, {"client_id": client + " "}),
            "azp": (item("client", azp), {"azp": azp, "client_id": "another"}, {"azp": "another", "client_id": azp[1:]}),
            "token": (item("token", jti), {"jti": jti}, {"jti": jti + "0"})}


CASES = cases()


@pytest.mark.parametrize("case", CASES)
def test_every_kind_ends_its_tokens_in_every_child_and_nobody_elses(site, mint, case):
    asked, theirs, others = CASES[case]
    mine, also_mine, other = mint(**theirs), mint(**theirs, drop="iat"), mint(**others)
    with EveryChild(site) as children:
        assert children.verdicts(mine) == {"accepted"}
        (seq,) = revoked(site, asked)
        assert children.verdicts(mine) == children.verdicts(also_mine) == {"revoked"}
        assert children.verdicts(other) == {"accepted"}
        later = mint(**theirs, iat=now() + 3)
        assert children.verdicts(later) == {"revoked" if case == "token" else "accepted"}
    assert Database(site).rows("seq = ?", seq)[0]["kind"] == asked["kind"]


def test_an_issuer_ends_all_that_it_has_issued_and_nothing_of_others(own_site, keys, mint):
    server = start(own_site, keys, issuer("https://two.test/", jwks("all")))
    mine, other = [mint(sub=name()) for _ in range(5)], mint(iss="https://two.test/")
    revoked(server, item("issuer"))
    are_revoked(server, mine)
    are_accepted(server, [other, mint(iat=now() + 3)])
    server.kill()
    server.again()
    are_revoked(server, mine)
    are_accepted(server, [other, mint(iat=now() + 3)])


def test_the_same_second_counts_as_before_and_the_next_one_is_accepted(site, mint):
    who, cut_off = name(), now() - 100
    revoked(site, item("subject", who, issued_before=cut_off))
    are_revoked(site, [mint(sub=who, iat=cut_off), mint(sub=who, iat=cut_off + 0.999), mint(sub=who, iat=cut_off - 1)])
    are_accepted(site, [mint(sub=who, iat=cut_off + 1)])


def test_a_later_cut_off_replaces_an_earlier_one_and_never_the_other_way(site, mint):
    who, base = name(), now() - 1000
    first, second = mint(sub=who, iat=base + 5), mint(sub=who, iat=base + 15)
    revoked(site, item("subject", who, issued_before=base))
    are_accepted(site, [first, second])
    revoked(site, item("subject", who, issued_before=base + 10))
    assert verdicts(site, [first, second]) == ["revoked", "accepted"]
    revoked(site, item("subject", who, issued_before=base))
    assert verdicts(site, [first, second]) == ["revoked", "accepted"]
    revoked(site, item("subject", who))
    are_revoked(site, [first, second])


def test_a_cut_off_in_the_future_ends_logins_until_then(site, mint):
    who, ahead = name(), now() + 20
    revoked(site, item("subject", who, issued_before=ahead))
    are_revoked(site, [mint(sub=who, iat=now()), mint(sub=who, iat=ahead)])
    are_accepted(site, [mint(sub=who, iat=ahead + 5)])


def test_the_row_says_what_was_asked_and_by_whom(site, db, mint):
    who, at = name(), now() - 7
    (seq,) = revoked(site, item("subject", who, issued_before=at + 0.25, reason="left the company ü"), user=b"other")
    row = db.row(who)
    assert row["seq"] == seq and row["kind"] == "subject" and row["issuer"] == ISS
    assert row["issued_before_us"] == at * 10**6 + 250000
    assert row["expires_at"] == at + 1 + 86400 + 60
    assert row["actor"] == "other" and row["client_address"] == "127.0.0.1" and row["reason"] == "left the company ü"
    assert now() - 5 <= row["revoked_at"] <= now()
    jti, end = name("jti"), now() + 500
    revoked(site, item("token", jti, expires=end))
    row = db.row(jti)
    assert row["expires_at"] == end + 60 and row["issued_before_us"] == 0 and row["reason"] == "" and row["actor"] == "boss"


def test_what_is_revoked_already_is_recorded_again(site, db):
    """Who asks, and when, is worth a row of its own."""
    who = name()
    (first,) = revoked(site, item("subject", who))
    (second,) = revoked(site, item("subject", who, issued_before=5), user=b"other")
    assert second > first
    assert [row["actor"] for row in db.rows("value = ?", who)] == ["boss", "other"]
    assert db.is_whole()


# ---- lists ----

def commits(database):
    """How many of them the write-ahead log holds (https://sqlite.org/fileformat2.html#walformat)."""
    log = database.file("-wal").read_bytes()
    page = struct.unpack(">I", log[8:12])[0]
    frames = (log[at:at + 24] for at in range(32, len(log), 24 + page))
    return sum(struct.unpack(">I", frame[4:8])[0] != 0 for frame in frames if frame[8:16] == log[16:24])


def test_a_thousand_at_once_are_one_commit_in_force_everywhere_and_survive_a_kill(own_site, keys, mint):
    server = start(own_site, keys)
    db = Database(server)
    names = [name() for _ in range(1000)]
    tokens = [mint(sub=n) for n in names[::50]]
    good = mint(sub=name())
    revoke_all(server, [mint()])
    before, commits_before = db.state(), commits(db)
    with EveryChild(server) as children:
        numbers = revoked(server, [item("subject", n, reason=f"batch, {n}") for n in names])
        for token in tokens[:4]:
            assert children.verdicts(token) == {"revoked"}
    assert numbers == list(range(before["last_seq"] + 1, before["last_seq"] + 1001))
    assert commits(db) - commits_before == 1
    assert [row["value"] for row in db.rows("kind = 'subject'")] == names
    server.kill()
    server.again()
    are_revoked(server, tokens)
    are_accepted(server, [good])
    assert db.is_whole()


def test_a_list_may_mix_kinds_and_is_answered_in_its_order(site, db, mint):
    who, sid, jti = name(), name("sid"), name("jti")
    numbers = revoked(site, [item("token", jti), item("session", sid), item("subject", who), item("subject", who)])
    assert numbers == sorted(numbers) and len(set(numbers)) == 4
    assert [db.rows("seq = ?", n)[0]["value"] for n in numbers] == [jti, sid, who, who]
    are_revoked(site, [mint(jti=jti), mint(sid=sid), mint(sub=who)])
    assert revoked(site, [item("subject", name())])[0] == numbers[-1] + 1


WRONG = {"a kind that is none": {"kind": "user"}, "no kind": {"kind": None},
         "an issuer that is not trusted": {"iss": "https://idp.test"},
         "the star": {"iss": "*"}, "no value": {"value": ""}, "a number as value": {"value": 7},
         "milliseconds": {"issued_before": 1000 * int(time.time())}, "a time as text": {"issued_before": "2020-01-01"},
         "expires for a subject": {"expires": int(time.time()) + 100}, "a misspelt member": {"issuedBefore": 5},
         "a reason that is too long": {"reason": "x" * 1025}, "a line end in the value": {"value": "a\nb"}}


@pytest.mark.parametrize("what", WRONG)
def test_an_item_that_is_wrong_is_named_and_none_of_its_list_is_stored_or_in_force(site, db, mint, what):
    first, last = name(), name()
    before = db.state()
    r = post(site, [item("subject", first), {**item("subject", "x"), **WRONG[what]}, item("subject", last)])
    assert problem(r, 400, 1).startswith("item 1: ")
    assert problem(post(site, {**item("subject", "x"), **WRONG[what]}), 400, 0).startswith("item 0: ")
    are_accepted(site, [mint(sub=first), mint(sub=last)])
    assert db.state() == before


def test_a_body_that_is_no_list_of_items_is_refused(site, db):
    before = db.state()
    for body in ("", "[]", "null", "1", "{", "[1]", '"x"', "{} {}", '{"kind":"subject","kind":"token"}', "[[]]", "kind=subject",
                 "\xff"):
        assert post(site, body).status == 400, body
    assert "1 to 1000" in problem(post(site, [item("subject", "a")] * 1001), 400)
    assert db.state() == before


def test_a_body_of_another_type_or_length_is_refused(site, db):
    before = db.state()
    body = json.dumps(item("subject", name()))
    for kind in (FORM, "Content-Type: text/plain", "X-None: 1", "Content-Type: application/jsonx",
                 "Content-Type: multipart/form-data"):
        problem(post(site, body, kind=kind), 415)
    problem(post(site, " " * (4 << 20) + body), 413)
    assert db.state() == before
    assert revoked(site, " " * ((4 << 20) - len(body)) + body)
    assert revoked(site, body, kind="Content-Type: Application/JSON; charset=utf-8")


def test_a_large_body_in_chunks_is_taken_and_a_larger_one_refused(site):
    for size, status in ((4 << 20, 201), ((4 << 20) + 1, 413)):
        body = json.dumps(item("subject", name())).encode()
        body += b" " * (size - len(body))
        with site.connect() as c:
            c.send_raw(b"POST /tr/revocations HTTP/1.1\r\nHost: x\r\n" + f"{JSON}\r\n{basic(b'boss')}\r\n".encode()
                       + b"Transfer-Encoding: chunked\r\n\r\n")
            try:
                for at in range(0, size, 100000):
                    part = body[at:at + 100000]
                    c.send_raw(b"%x\r\n%s\r\n" % (len(part), part))
                c.send_raw(b"0\r\n\r\n")
            except OSError:
                assert status == 413
            assert c.receive().status == status


# ---- who may ----

def test_nobody_revokes_without_a_name(site, db, mint):
    """Also where the configuration forgot to ask for one."""
    who, before = name(), db.state()
    site.expect_log("AH01617: user boss: .*Password Mismatch|AH01614: client used wrong authentication scheme|AH0161")
    r = site.get("/open/revocations", JSON, method="POST", body=json.dumps(item("subject", who)))
    assert "must be known" in problem(r, 403)
    r = site.get("/open/revocations", JSON, basic(b"boss"), method="POST", body=json.dumps(item("subject", who)))
    assert problem(r, 403)
    for headers in ((JSON,), (JSON, "Authorization: Basic Ym9zczp3cm9uZw=="), (JSON, "Authorization: Basic !!")):
        r = site.get("/tr/revocations", *headers, method="POST", body=json.dumps(item("subject", who)))
        assert r.status == 401 and r["WWW-Authenticate"].startswith("Basic")
    are_accepted(site, [mint(sub=who)])
    assert db.state() == before


def test_reading_is_httpds_own_business(site):
    assert site.get("/tr/revocations").status == site.get("/tr/status").status == 401
    assert site.get("/open/revocations").status == site.get("/open/status").status == 200


OWN = f"Origin: {SCHEME}://{{host}}"
CROSS = {"another site": ("Sec-Fetch-Site: cross-site",), "an unknown word": ("Sec-Fetch-Site: elsewhere",),
         "another origin": ("Origin: https://evil.test",), "no origin at all": ("Origin: null",),
         "another port": ("Origin: http://127.0.0.1:1",),
         "another site that claims to be ours": ("Sec-Fetch-Site: cross-site", OWN)}
HOME = {"a program": (), "the same origin": ("Sec-Fetch-Site: same-origin",), "the same site": ("Sec-Fetch-Site: same-site",),
        "the address bar": ("Sec-Fetch-Site: none",), "our own origin": (OWN,)}


def filled(server, headers):
    return [h.replace("{host}", f"127.0.0.1:{server.port}") for h in headers]


@pytest.mark.parametrize("what", CROSS)
def test_a_page_of_another_site_revokes_nothing(site, db, what):
    before = db.state()
    for path in ("/tr/revocations", "/listed/revocations"):
        r = post(site, item("subject", name()), *filled(site, CROSS[what]), path=path)
        assert "another site" in problem(r, 403)
    assert db.state() == before


@pytest.mark.parametrize("what", HOME)
def test_whoever_is_at_home_revokes(site, what):
    assert revoked(site, item("subject", name()), *filled(site, HOME[what]))


def test_a_listed_origin_may_revoke_from_its_site(site):
    body = json.dumps(item("subject", name()))
    for headers in (("Origin: https://console.test", "Sec-Fetch-Site: cross-site"), ("Origin: https://console.test",)):
        r = post(site, body, *headers, path="/listed/revocations")
        assert r.status == 201 and r["Access-Control-Allow-Origin"] == "https://console.test"
    r = site.get("/listed/revocations", "Origin: https://console.test", "Access-Control-Request-Method: POST", method="OPTIONS")
    assert r.status == 204 and "POST" in r["Access-Control-Allow-Methods"]


# ---- what there is ----

def test_methods_and_paths_that_are_not_there(site):
    for path, allow in (("revocations", "GET, HEAD, POST, OPTIONS"), ("status", "GET, HEAD, OPTIONS")):
        for method in ("PUT", "DELETE", "PATCH", "PROPFIND"):
            r = site.get("/tr/" + path, basic(b"boss"), method=method, body="{}")
            problem(r, 405)
            assert r["Allow"] == allow
        r = site.get("/tr/" + path, basic(b"boss"), method="OPTIONS")
        assert r.status == 204 and r["Allow"] == allow
        r = site.get("/tr/" + path, basic(b"boss"), method="HEAD")
        assert r.status == 200 and r["Content-Type"] == "application/json" and r.body == b""
    problem(post(site, {}, path="/tr/status"), 405)
    for path in ("/tr", "/tr/revocation", "/tr/revocations/5", "/tr/Status", "/tr/revocations.json"):
        for method in ("GET", "POST"):
            problem(site.get(path, basic(b"boss"), JSON, method=method, body="{}" if method == "POST" else None), 404)


def test_refusals_keep_the_connection_usable(site):
    with site.connect() as c:
        for path, status in (("/tr/nothing", 404), ("/open/revocations", 403), ("/tr/status", 405), ("/tr/revocations", 415)):
            assert c.request("POST", path, basic(b"boss"), body="x" * 1000).status == status
        assert c.request("GET", "/tr/status", basic(b"boss")).status == 200


def test_the_list_tells_everything_newest_first(own_site, keys, mint):
    server = start(own_site, keys)
    opaque, at = without_jti(mint), now() - 50
    revoke_all(server, [opaque, plain := mint()])
    numbers = revoked(server, [item("subject", "alice", issued_before=at + 0.5, reason="a \"reason\" </b>"),
                               item("session", "s1", issued_before=at), item("issuer", issued_before=at)], user=b"other")
    page = listed(server)
    assert page["next"] is None
    assert [r["kind"] for r in page["revocations"]] == ["issuer", "session", "subject", "token", "digest"]
    assert [r["seq"] for r in page["revocations"]] == [*reversed(numbers), 2, 1]
    whole = page["revocations"][2]
    assert 0 <= now() - whole.pop("revoked_at") < 60
    assert whole == {"seq": numbers[0], "kind": "subject", "iss": ISS, "value": "alice", "issued_before": at + 0.5,
                     "expires": at + 1 + 86400 + 60, "actor": "other", "client_address": "127.0.0.1",
                     "reason": "a \"reason\" </b>"}
    token, without = page["revocations"][3:]
    assert token["value"] == claims_of(plain)["jti"] and token["issued_before"] is None
    assert without["value"] == digest(opaque) and without["actor"] == ""
    assert page["revocations"][0]["value"] == ""


def test_the_list_can_be_filtered(own_site, keys, mint):
    server = start(own_site, keys)
    revoke_all(server, [no_jti := without_jti(mint), one := mint()])
    jti = claims_of(one)["jti"]
    revoked(server, [item("subject", "alice"), item("subject", "bob+ ä"), item("session", "alice"), item("client", "c"),
                     item("token", "alice")])

    def values(query):
        return [(r["kind"], r["value"]) for r in listed(server, query)["revocations"]]

    assert values("?kind=subject") == [("subject", "bob+ ä"), ("subject", "alice")]
    assert values("?kind=session") == [("session", "alice")]
    assert values("?kind=token") == [("token", "alice"), ("token", jti), ("digest", digest(no_jti))]
    assert values("?kind=digest") == [("digest", digest(no_jti))]
    assert values("?kind=issuer") == values("?kind=family") == values("?kind=opaque") == []
    assert values("?sub=alice") == values("?sub=alice&kind=subject") == [("subject", "alice")]
    assert values("?sub=bob%2B+%C3%A4") == [("subject", "bob+ ä")]
    assert values("?jti=" + jti) == [("token", jti)]
    assert values("?jti=" + digest(no_jti)) == [("digest", digest(no_jti))]
    assert values("?sub=nobody") == values("?jti=%25") == []
    assert values("?kind=token&limit=1") == [("token", "alice")]
    for query in ("?kind=user", "?limit=0", "?limit=1001", "?limit=x", "?after=x", "?after=-1", "?subject=alice", "?sub=a&jti=b",
                  "?kind=token&sub=a", "?limit=1&limit=1", "?sub=%ff", "?sub=%0", "?sub=a%00"):
        problem(get(server, query), 400)


def test_pages_have_no_gaps_and_no_doubles_while_new_ones_arrive(own_site, keys):
    server = start(own_site, keys)
    known = revoked(server, [item("subject", f"s{i}") for i in range(57)])
    stop = threading.Event()
    writer = threading.Thread(target=lambda: [revoked(server, item("session", "x")) for _ in range(1000) if not stop.is_set()])
    writer.start()
    found, after, pages = [], known[-1] + 1, 0
    while after:
        page = listed(server, f"?limit=10&after={after}")
        found += [r["seq"] for r in page["revocations"]]
        after = page["next"]
        pages += 1
        assert after is None or after == found[-1]
    stop.set()
    writer.join()
    assert found == known[::-1] and pages == 6
    assert listed(server, "?limit=57&kind=subject")["next"] is None
    assert listed(server, "?limit=56&kind=subject")["next"] == known[1]
    assert len(listed(server, "?limit=1000&kind=subject")["revocations"]) == 57


def test_what_has_expired_or_is_only_remembered_is_not_listed(own_site, keys):
    server = start(own_site, keys)
    end = now() + 3600
    Database(server).insert(("member", "", "a" * 64, end, 5), ("logout", ISS, "l1", end), ("family", "", "0" * 15 + "7", end),
                            ("opaque", "", "b" * 64, None), ("token", ISS, "dead", 1000),
                            ("subject", ISS, "alice", end, 7 * 10**6))
    found = listed(server)["revocations"]
    assert [(r["kind"], r["value"]) for r in found] == [("subject", "alice"), ("opaque", "b" * 64), ("family", "0" * 15 + "7")]
    assert found[0]["issued_before"] == 7 and found[1]["expires"] is None and found[0]["actor"] == "tests"
    assert listed(server, "?kind=token")["revocations"] == found[1:2]


def test_the_status_tells_how_it_is(own_site, keys, mint):
    server = start(own_site, keys)
    token = mint()
    revoke_all(server, [token])
    seq = revoked(server, [item("subject", "zoe"), item("session", "s")])[-1]
    are_revoked(server, [token] * 3)

    def status():
        r = get(server, path="/tr/status")
        assert r.status == 200 and r["Content-Type"] == "application/json" and r["Cache-Control"] == "no-store"
        return r.json()

    until(lambda: status()["store"]["last_seq"] == seq)
    found = status()
    assert found["informed"] is True and found["version"] and found["presented"] == 3
    assert found["table"]["capacity"] == 20000 and found["table"]["used"] == 3
    assert {k: n for k, n in found["table"]["by_kind"].items() if n} == {"token": 1, "subject": 1, "session": 1}
    assert found["store"]["name"] == f"{server.root}/state/tokrevoke.db"
    assert 0 <= found["store"]["age_seconds"] < 2 * SLOW and found["store"]["stalls"] == 0


# ---- when it does not work ----

def test_without_a_database_revoking_works_and_listing_says_that_it_cannot(own_site, keys, mint):
    write_keys(own_site, keys)
    write_users(own_site, b"boss")
    own_site.start("TokRevokeDatabase none\n" + text(ENDPOINTS))
    token = mint(sub="zoe")
    with EveryChild(own_site) as children:
        assert revoked(own_site, [item("subject", "zoe"), item("token", "x")]) == [None, None]
        assert children.verdicts(token) == {"revoked"}
    assert "memory" in problem(get(own_site), 501)
    found = get(own_site, path="/tr/status").json()
    assert found["store"] is None and found["informed"] is True and found["table"]["used"] == 2


def test_a_full_table_is_503_and_nothing_of_the_list_is_stored(own_site, keys, mint):
    server = start(own_site, keys, capacity=20)
    db = Database(server)
    (first,) = revoked(server, item("subject", "early"))
    own_site.expect_log("TR002: ")
    r = post(server, [item("subject", f"s{i}") for i in range(200)])
    assert "full" in problem(r, 503) and int(r["Retry-After"]) > 0
    assert db.state()["last_seq"] == first
    are_revoked(server, [mint(sub="early")])
    server.wait_log(r"\[tokrevoke:error\].* TR002: .*boss")
    server.stop()
    server.again()
    are_revoked(server, [mint(sub="early")])
    are_accepted(server, [mint(sub=f"s{i}") for i in range(3)])


def test_a_list_that_cannot_be_stored_is_503_in_force_and_stored_later(own_site, keys, mint):
    server = start(own_site, keys)
    db = Database(server)
    revoked(server, item("subject", "early"))
    names = [name() for _ in range(300)]
    tokens = [mint(sub=n) for n in names[::60]]
    server.expect_log("TR025: |TR023: |TR050: ", always=True)
    aside = db.path.with_name("aside")
    db.path.rename(aside)
    r = post(server, [item("subject", n) for n in names])
    assert "could not be stored" in problem(r, 503) and int(r["Retry-After"]) > 0
    are_revoked(server, tokens)
    r = get(server)
    assert "could not be read" in problem(r, 503) and int(r["Retry-After"]) > 0
    server.wait_log(r"\[tokrevoke:error\].* TR050: .*tokrevoke\.db")
    server.wait_log(r"\[tokrevoke:error\].* TR025: .*boss")
    aside.rename(db.path)
    until(lambda: len(db.rows("kind = 'subject'")) == 301)
    assert [row["value"] for row in db.rows("value <> 'early'")] == names
    assert len(listed(server, "?limit=1000")["revocations"]) == 301
    assert db.is_whole()
    server.kill()
    server.again()
    are_revoked(server, tokens)


def test_a_damaged_row_makes_the_list_an_error(own_site, keys):
    server = start(own_site, keys)
    db = Database(server)
    numbers = revoked(server, [item("subject", name()) for _ in range(3)])
    time.sleep(0.5 * SLOW)  # whoever follows has read them
    with db.connection("rw") as c:
        c.execute("UPDATE tokrevoke_revocations SET value = 'x' WHERE seq = ?", (numbers[0],))
    server.expect_log("TR050: |TR027: ", always=True)
    problem(get(server), 503)
    server.wait_log(f"TR050: .*damaged.* number {numbers[0]} ")
    assert len(listed(server, "?limit=1")["revocations"]) == 1


def test_lists_and_revocations_at_the_same_time(site, mint):
    """Nobody waits for a reader of the list, and what was answered is in the next list."""
    errors = []
    stop = threading.Event()

    def read():
        while not stop.is_set():
            r = get(site, "?limit=1000&sub=nobody-at-all")
            if r.status != 200 or r.json()["revocations"]:
                errors.append(r)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    slowest = 0
    for _ in range(40):
        began = clock()
        who = name()
        (seq,) = revoked(site, item("subject", who))
        slowest = max(slowest, clock() - began)
        assert [r["seq"] for r in listed(site, "?sub=" + who)["revocations"]] == [seq]
    stop.set()
    for reader in readers:
        reader.join()
    assert not errors and slowest < 2 * SLOW
