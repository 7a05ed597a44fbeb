"""TokRevokeClients: the file while httpd runs, guessing, time, many at once, and errors of the configuration."""

import concurrent.futures
import statistics
import time
from pathlib import Path

import pytest

from clients import BCRYPT, HASHES, RAW, SECRET, ask, basic, by_body, configure, is_revoked, raw_basic
from test_accept import passes
from test_refuse import refused
from test_revoke import FORM, is_answer


@pytest.fixture(scope="module")
def site(new_server, keys):
    return configure(new_server(), keys)


# ---- the file, while httpd runs ----

def test_an_edit_counts_at_once(site, mint):
    """In every child, also for secrets that are remembered."""
    other = HASHES["htpasswd-s"].replace("W8r", "W8s")

    def statuses(*headers, **more):
        return {ask(site, "form", mint(), *headers, path="/edited", **more).status for _ in range(12)}

    assert statuses(basic("app", SECRET)) == {200}
    site.write("conf/edited", f"app:{other}\nnew:{BCRYPT}\n")
    assert statuses(basic("app", SECRET)) == {401}
    assert statuses(basic("new", SECRET)) == {200}
    site.write("conf/edited", f"new:{BCRYPT}\napp:\n")
    assert statuses(basic("app", SECRET)) == {401}
    assert statuses(client_id="app") == {200}
    site.write("conf/edited", f"app:{BCRYPT}\n")
    assert statuses(client_id="app") == {401}
    assert statuses(basic("app", SECRET)) == {200}


BROKEN = {"plain text": f"app:{BCRYPT}\nlegacy:secret\n", "no colon": f"app:{BCRYPT}\nx", "empty": "", "cut off": "app:",
          "twice": f"app:{BCRYPT}\napp:{BCRYPT}\n", "too large": f"app:{BCRYPT}\n" + "#" * 1048576, "gone": None}


def test_a_broken_file_lets_nobody_in_and_heals_without_a_restart(site, mint):
    """R7009-23: 503, and one line in the log however often it is asked."""
    site.expect_log("TR030: clients cannot be authenticated and are answered 503: .*/conf/edited")
    said = site.error_log().count("TR030")
    for what, text in BROKEN.items():
        if text is None:
            (site.root / "conf" / "edited").unlink()
        else:
            site.write("conf/edited", text)
        for headers, more in (((basic("app", SECRET),), {}), ((), {"client_id": "app"}), ((), {})):
            token = mint()
            r = is_answer(ask(site, "form", token, *headers, path="/edited", **more), 503, None)
            assert r.json()["error"] == "temporarily_unavailable" and int(r["Retry-After"]) > 0, what
            assert r["WWW-Authenticate"] is None
            passes(site, token)
    site.write("conf/edited", f"app:{BCRYPT}\n")
    is_revoked(site, "form", mint(), basic("app", SECRET), path="/edited")
    assert site.error_log().count("TR030") == said + 1
    assert "secret" not in site.wait_log("TR030.*").group()


# ---- brute force ----

def elsewhere(server, *headers, body):
    """The answer to a request from another address of this machine."""
    with server.connect(source="127.0.0.2") as c:
        return c.request("POST", "/revoke", FORM, *headers, body=body)


def test_after_100_failures_a_client_must_wait(site, mint):
    """R6749-07: counted over all children and endpoints, for one address and one client, in every spelling of its id."""
    site.expect_log(r"TR031: client \"htpasswd-2\" has failed .* 127\.0\.0\.1")
    is_revoked(site, "form", mint(), basic("htpasswd-2", SECRET))
    spellings = (basic("htpasswd-2", "x"), raw_basic("htpasswd%2D2", "x"), raw_basic("%68tpasswd-2", "x"))
    for i in range(100):
        if i % 4 == 3:
            r = ask(site, "strict json", mint(), **by_body("htpasswd-2", "x"))
        else:
            r = ask(site, "form", mint(), spellings[i % 4])
        assert r.status == 401, i
    for headers, more in (((spellings[1],), {}), ((basic("htpasswd-2", SECRET),), {}), ((), by_body("htpasswd-2", SECRET))):
        token = mint()
        r = is_answer(ask(site, "form", token, *headers, **more), 429, None)
        assert r.json()["error"] == "invalid_client" and 1 <= int(r["Retry-After"]) <= 60
        assert r["WWW-Authenticate"] is None
        assert ask(site, "strict form", token, *headers, **more).json() == {"revoked": False, "error": "invalid_client"}
        passes(site, token)
    is_revoked(site, "form", mint(), basic("htpasswd-5", SECRET))
    token = mint()
    assert elsewhere(site, basic("htpasswd-2", SECRET), body="token=" + token).status == 200
    refused(site, token, "revoked")


def test_success_forgives_failures(site, mint):
    for _ in range(3):
        for _ in range(60):
            assert ask(site, "form", "x", basic("htpasswd-s", "x")).status == 401
        assert ask(site, "form", "x", basic("htpasswd-s", SECRET)).status == 200


def test_success_forgives_no_failures_of_another_client(site, mint):
    """What it sent may be read as another's id, too."""
    site.expect_log(r"TR031: client \"raw id\" has failed")
    for i in range(100):
        if i == 99:
            is_revoked(site, "form", mint(), raw_basic(*RAW))
        assert ask(site, "form", "x", **by_body("raw id", "x")).status == 401, i
    assert ask(site, "form", "x", **by_body("raw id", "x")).status == 429


# ---- time, and many at once ----

def cpu_s(server):
    """CPU time of all children: what a client sees of it, without what else the machine does."""
    return sum(int(file.read_text(encoding="ascii").split()[0]) for pid in server.pids()
               for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


@pytest.mark.alone("compares times")
def test_an_unknown_id_takes_as_long_as_a_wrong_secret(site, mint):
    """The cheapest of requests in turn; a hash costs many times what the rest does."""
    kinds = {"unknown": [basic("nobody", "x")], "wrong": [basic("known", "x")], "public": [basic("public", "x")], "none": []}
    took = {kind: [] for kind in kinds}
    with site.connect() as c:
        for _ in range(15):
            for kind, header in kinds.items():
                begin = cpu_s(site)
                assert c.request("POST", "/slow", FORM, *header, body="token=x").status == 401
                took[kind].append(cpu_s(site) - begin)
    cheapest = {kind: min(times) for kind, times in took.items()}
    plain = cheapest.pop("none")
    assert max(cheapest.values()) < 1.5 * min(cheapest.values()), cheapest
    assert min(cheapest.values()) > 3 * plain, (cheapest, plain)


@pytest.mark.alone("compares times")
def test_a_good_secret_is_hashed_once_in_each_child(site, mint):
    """So that a client that calls often does not wait for bcrypt each time."""
    with site.connect() as c:
        took = []
        for _ in range(15):
            begin = cpu_s(site)
            assert c.request("POST", "/slow", FORM, basic("known", "secret"), body="token=x").status == 200
            took.append(cpu_s(site) - begin)
    assert statistics.median(took) < took[0] / 3, took


def test_many_clients_at_once_are_each_told_the_right_thing(site, mint):
    """Good and bad, by Basic and by body, in every child; every good token is revoked, no other."""
    jobs = []
    for i in range(160):
        name, good = f"busy-{i % 8}", i % 2 == 0
        jobs.append((mint(client_id=name), name, SECRET if good else "x", good, "form json".split()[i // 2 % 2], i % 3 == 0))

    def run(job):
        token, name, secret, _, way, in_body = job
        return ask(site, way, token, **by_body(name, secret)) if in_body else ask(site, way, token, basic(name, secret))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(run, jobs))
    for (token, _, _, good, *_), r in zip(jobs, answers):
        assert r.status == (200 if good else 401), r
        if good:
            refused(site, token, "revoked")
        else:
            passes(site, token)


# ---- the configuration ----

@pytest.mark.parametrize("text, says", [
    ("app:secret\n", "line 1: what follows the ':'"), ("# x\napp\n", "line 2: there is no ':'"),
    (":x\n", "line 1: the client_id"),
    (f"app:{BCRYPT}\napp:\n", "line 2: this client_id was in the file before"), ("", "it names no client"),
    ("app:", "line 1: the line of a public client has no end"), ("a%:\n", "line 1: a '%'"),
    ("#" * 1048577, "larger than 1048576"),
    (None, "No such file")], ids=lambda x: str(x)[:20])
def test_a_file_that_is_wrong_is_an_error_of_the_configuration(site, text, says):
    if text is not None:
        site.write("conf/wrong", text)
    else:
        (site.root / "conf" / "wrong").unlink(missing_ok=True)
    status, said = site.configtest('<Location "/x">\nTokRevokeClients conf/wrong\n</Location>\n')
    assert status != 0
    assert "TokRevokeClients" in said and f"{site.root}/conf/wrong: " in said and says in said
    assert "secret" not in said


def test_a_folder_is_no_file_of_clients(site):
    status, said = site.configtest('<Location "/x">\nTokRevokeClients conf\n</Location>\n')
    assert status != 0 and "it is no regular file" in said
