"""
What httpd makes of the place it is told to keep revocations at: it begins with an empty list only where there was none, and says
which file is wrong and what to do.
"""

import os
import shutil
import socket
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

from database import Database
from httpd import environment
from issuers import write_keys
from storing import PAGE, ROOT, are_accepted, are_revoked, claims_of, revoke_all, text, until
from test_config import IN_LOCATION

FILES = ("", "-wal", "-shm", "-mark")
only_root = pytest.mark.skipif(not ROOT, reason="needs files of another user")


def own(path):
    """To httpd's user."""
    if ROOT:
        shutil.chown(path, "www-data", "www-data")


def changed(path, statement):
    """Run a statement in the database; afterwards there is no write-ahead log."""
    with sqlite3.connect(path) as c:
        c.execute(statement)
        c.commit()
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    c.close()
    for each in path.parent.iterdir():
        own(each)


@pytest.fixture(scope="module")
def held(new_server, keys, mint):
    """A database with three revocations, all of it in one file: (its folder, the tokens)."""
    server = new_server(children=2)
    write_keys(server, keys)
    server.start(text())
    tokens = [mint() for _ in range(3)]
    revoke_all(server, tokens)
    server.stop()
    changed(Database(server).path, "SELECT 1")
    return server.root / "state", tokens


@pytest.fixture
def server(new_server, keys):
    made = new_server(children=2)
    write_keys(made, keys)
    yield made
    made.stop()


def folder(server, mode=0o750):
    path = server.root / "state"
    path.mkdir(mode=mode)
    path.chmod(mode)
    own(path)
    return path


def put(path, content=b"", mode=0o640):
    path.write_bytes(content)
    path.chmod(mode)
    own(path)
    return path


def copy(held, server, *without):
    """The database of before, without some of its files."""
    path = folder(server)
    for name in ("tokrevoke.db", "tokrevoke.db-mark"):
        if name not in without:
            put(path / name, (held[0] / name).read_bytes())
    return path


def refused(server, *fragments):
    """A start that fails with one line of ours that holds all of this. Returns it."""
    said = server.start_fails(text())
    lines = [line for line in said.splitlines() if "tokrevoke:crit" in line]
    assert len(lines) == 1 and " TR" in lines[0], said
    for fragment in fragments:
        assert str(fragment) in lines[0], (fragment, lines[0])
    assert server.members() == []
    return lines[0]


# ---- something else is there ----

def link(path, target):
    path.symlink_to(target)


def device(path):
    """/dev/zero, which can be read for ever and takes whatever is written."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o640, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("no device can be made here")


def listening(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))


THINGS = {"a link to nowhere": lambda p: link(p, p.parent / "other"),
          "a link to a file": lambda p: link(p, put(p.parent / "other")),
          "a link to another place": lambda p: link(p, "/etc/hostname"),
          "a folder": lambda p: p.mkdir(), "a pipe": os.mkfifo, "a socket": listening, "a device": device}


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize("what", THINGS)
def test_something_else_than_a_file_in_its_place_is_refused(server, what, suffix):
    path = folder(server) / ("tokrevoke.db" + suffix)
    THINGS[what](path)
    if not path.is_symlink():
        own(path)
    kind = path.lstat().st_mode
    refused(server, f"{path} is no regular file")
    assert path.lstat().st_mode == kind
    if what == "a link to nowhere":
        assert not (path.parent / "other").exists()


@only_root
@pytest.mark.parametrize("suffix", FILES)
def test_a_file_of_another_user_is_refused(held, server, suffix):
    path = copy(held, server) / ("tokrevoke.db" + suffix)
    put(path, path.read_bytes() if path.exists() else b"", 0o666)
    os.chown(path, 0, 0)
    refused(server, f"{path} belongs to root", f"chown www-data: {path}")


@pytest.mark.parametrize("suffix", FILES)
def test_a_file_that_everybody_may_write_is_refused(held, server, suffix):
    path = copy(held, server) / ("tokrevoke.db" + suffix)
    put(path, path.read_bytes() if path.exists() else b"", 0o642)
    refused(server, f"{path} can be written to by everybody", f"chmod o-w {path}")


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o200])
@pytest.mark.parametrize("suffix", FILES)
def test_a_file_that_cannot_be_read_and_written_is_refused(held, server, suffix, mode):
    path = copy(held, server) / ("tokrevoke.db" + suffix)
    put(path, path.read_bytes() if path.exists() else b"", mode)
    refused(server, f"{path} cannot be read and written", f"chmod u+rw {path}")


GARBAGE = {"text": b"hello\n" * 100, "zeros": bytes(8192), "random": os.urandom(8192), "two bytes": b"xy",
           "a header and no more": b"SQLite format 3\0", "a web page": b"<html>" + b" " * 5000}


@pytest.mark.parametrize("what", GARBAGE)
def test_what_is_no_database_is_refused_and_left_as_it_is(server, what):
    path = put(folder(server) / "tokrevoke.db", GARBAGE[what])
    refused(server, path, "not a database")
    assert path.read_bytes() == GARBAGE[what]


def test_the_database_of_another_application_is_refused_and_left_as_it_is(server):
    path = folder(server) / "tokrevoke.db"
    with sqlite3.connect(path) as c:
        c.execute("CREATE TABLE accounts (name TEXT)")
    c.close()
    own(path)
    refused(server, f"{path} is the database of another application", "name another file")
    with sqlite3.connect(path) as c:
        assert c.execute("SELECT name FROM sqlite_master").fetchall() == [("accounts",)]
    c.close()


def test_a_newer_schema_is_refused(held, server):
    path = copy(held, server) / "tokrevoke.db"
    changed(path, "UPDATE tokrevoke_state SET schema_version = 2")
    refused(server, path, "newer version of mod_tokrevoke", "schema 2", "install that version")


DAMAGE = {
    "a row is missing": "DELETE FROM tokrevoke_revocations WHERE seq = 2",
    "a value is another": "UPDATE tokrevoke_revocations SET value = 'x' WHERE seq = 2",
    "an expiry is earlier": "UPDATE tokrevoke_revocations SET expires_at = expires_at - 1 WHERE seq = 3",
    "a kind is unknown": "UPDATE tokrevoke_revocations SET kind = 'user' WHERE seq = 1",
    "a row is counted twice": "UPDATE tokrevoke_state SET row_count = 4",
    "the sum is another": "UPDATE tokrevoke_state SET row_sum = row_sum + 1",
    "the state is gone": "DELETE FROM tokrevoke_state",
    "the id is cut": "UPDATE tokrevoke_state SET database_id = 'x'",
    "the schema is 0": "UPDATE tokrevoke_state SET schema_version = 0",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_database_that_was_tampered_with_is_refused(held, server, what):
    path = copy(held, server) / "tokrevoke.db"
    changed(path, DAMAGE[what])
    refused(server, path, "damaged")


# ---- nothing is there, or less than before ----

@pytest.mark.parametrize("left", ["nothing", "an empty file"])
def test_a_database_that_is_gone_is_not_begun_anew_while_its_mark_knows_of_revocations(held, server, mint, left):
    path = copy(held, server, "tokrevoke.db") / "tokrevoke.db"
    if left != "nothing":
        put(path)
    mark = Database(server).file("-mark")
    refused(server, f"{path} is missing or empty", "up to number 3 were stored", "restore it from a backup", f"remove {mark}")
    assert not path.exists() or path.stat().st_size == 0
    mark.unlink()
    server.start(text())
    are_accepted(server, [mint()])


def test_an_empty_file_without_a_mark_becomes_a_database(server, mint):
    put(folder(server) / "tokrevoke.db")
    server.start(text())
    token = mint()
    revoke_all(server, [token])
    assert Database(server).row(claims_of(token)["jti"])


def test_a_database_that_is_older_than_its_mark_is_refused(held, server, new_server, keys, mint):
    """As after a backup was put back, or the file system lost the last writes."""
    path = copy(held, server)
    server.start(text())
    token = mint()
    revoke_all(server, [token])
    server.stop()
    for name in ("tokrevoke.db-wal", "tokrevoke.db-shm"):
        (path / name).unlink(missing_ok=True)
    put(path / "tokrevoke.db", (held[0] / "tokrevoke.db").read_bytes())
    refused(server, path / "tokrevoke.db", "up to number 4 were acknowledged, it knows them up to 3", "newer backup",
            f"remove {path / 'tokrevoke.db-mark'} to accept the loss")
    (path / "tokrevoke.db-mark").unlink()
    server.again()
    are_revoked(server, held[1])
    are_accepted(server, [token])


def test_the_mark_of_another_database_is_refused(held, server):
    path = copy(held, server)
    mark = (path / "tokrevoke.db-mark")
    server.start(text())
    server.stop()
    changed(path / "tokrevoke.db", "UPDATE tokrevoke_state SET database_id = '0123456789abcdef0123456789abcdef'")
    refused(server, f"{mark} belongs to another database", f"remove {mark}")


def test_a_missing_mark_is_made_anew(held, server):
    path = copy(held, server, "tokrevoke.db-mark")
    server.start(text())
    are_revoked(server, held[1])
    assert Database(server).mark()[1] == 3 and stat.S_IMODE((path / "tokrevoke.db-mark").stat().st_mode) == 0o640


@pytest.mark.parametrize("content", [b"", b"TR1", b"x" * 76, b"\0" * 76])
def test_a_damaged_mark_is_told_and_made_anew(held, server, content):
    path = copy(held, server) / "tokrevoke.db-mark"
    put(path, content)
    server.expect_log("TR020: ", always=True)
    server.start(text())
    server.wait_log(rf"\[tokrevoke:warn\].* TR020: {path} is damaged")
    are_revoked(server, held[1])
    assert Database(server).mark()[1] == 3


# ---- the folder ----

def test_a_folder_with_missing_parents_is_not_made(server):
    server.database = "sqlite3:{root}/no/such/x.db"
    refused(server, f"the folder {server.root}/no/such cannot be made", "No such file or directory")
    assert not (server.root / "no").exists()


def test_a_file_in_place_of_the_folder_is_refused(server):
    put(server.root / "state")
    refused(server, f"{server.root}/state is no folder")


def test_a_link_in_place_of_the_folder_is_refused(server):
    (server.root / "elsewhere").mkdir()
    own(server.root / "elsewhere")
    (server.root / "state").symlink_to(server.root / "elsewhere")
    refused(server, f"{server.root}/state is no folder", "symbolic links are not followed")
    assert not list((server.root / "elsewhere").iterdir())


@only_root
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_an_empty_folder_of_root_is_given_to_httpds_user(server, mint, mode):
    """As a package or a start that was interrupted leaves it."""
    path = folder(server, mode)
    os.chown(path, 0, 0)
    server.start(text())
    are_accepted(server, [mint()])
    assert (path.owner(), path.group(), stat.S_IMODE(path.stat().st_mode)) == ("www-data", "www-data", mode)


@only_root
@pytest.mark.parametrize("owner, mode, content",
                         [("root", 0o755, True), ("daemon", 0o755, False), ("daemon", 0o755, True), ("root", 0o1755, False)],
                         ids=["in use", "of somebody else", "of somebody else and in use", "sticky"])
def test_any_other_folder_is_never_given_away(server, owner, mode, content):
    path = folder(server, mode)
    if content:
        (path / "file").write_text("x")
    shutil.chown(path, owner, owner)
    refused(server, f"the folder {path} belongs to {owner}", f"chown www-data: {path}")
    assert (path.owner(), path.group()) == (owner, owner)
    assert [p.name for p in path.iterdir()] == ["file"] * content


def test_a_folder_that_everybody_may_write_is_told(server, mint):
    path = folder(server, 0o777)
    server.expect_log("TR020: ", always=True)
    server.start(text())
    server.wait_log(rf"\[tokrevoke:warn\].* TR020: the folder {path} can be written to by everybody.*chmod o-w {path}")
    are_accepted(server, [mint()])


@pytest.mark.parametrize("place", ["sqlite3:fresh/x.db", "SQLITE3:{root}/fresh/x.db",
                                   '"sqlite3:{root}/with spaces & ümläut/x y.db"', "sqlite3:./fresh/../fresh/x.db",
                                   '"sqlite3:{root}/odd?mode=memory#%41/file:x"'])
def test_a_path_is_taken_as_it_stands(server, mint, place):
    server.database = place
    server.start(text())
    token = mint()
    revoke_all(server, [token])
    named = place.strip('"').partition(":")[2].replace("{root}/", "").replace("./fresh/../", "")
    assert Database(server, server.root / named).row(claims_of(token)["jti"])
    server.stop()
    server.again()
    are_revoked(server, [token])


# ---- looking leaves no trace ----

def snapshot(server):
    return sorted(str(p.relative_to(server.root)) for p in server.root.rglob("*")
                  if "logs" not in p.parts and p.name != "httpd.pid")


def run(server, *args):
    return subprocess.run(server.command(*args), capture_output=True, text=True, timeout=60, check=False,
                          env=environment(server.root))


@pytest.mark.parametrize("args", [("-t",), ("-t", "-D", "DUMP_VHOSTS"), ("-t", "-D", "DUMP_RUN_CFG"), ("-S",), ("-M",),
                                  ("-t", "-D", "DUMP_MODULES")], ids=" ".join)
def test_looking_at_the_configuration_makes_no_file(server, args):
    server.reconfigure(text())
    before = snapshot(server)
    done = run(server, *args)
    assert done.returncode == 0, done.stderr
    assert snapshot(server) == before


@pytest.mark.parametrize("args", [("-t",), ("-S",)], ids=" ".join)
def test_looking_beside_a_running_server_does_not_touch_its_database(held, server, mint, args):
    copy(held, server)
    server.start(text())
    until(lambda: (server.root / "state" / "tokrevoke.db-shm").exists())
    before = snapshot(server)
    rows, mark = Database(server).rows(), Database(server).mark()
    assert run(server, *args).returncode == 0
    assert snapshot(server) == before and (Database(server).rows(), Database(server).mark()) == (rows, mark)


def test_the_first_reading_of_the_configuration_at_start_makes_no_file(server):
    """httpd reads everything twice. The log that the first time opens makes the second time fail, before our turn comes."""
    marker = "{root}/logs/the-first-time-is-over"
    said = server.start_fails(text(f'<IfFile "{marker}">\nTokRevokeNonsense On\n</IfFile>\nCustomLog "{marker}" marked\n'))
    assert "TokRevokeNonsense" in said and (server.root / "logs" / "the-first-time-is-over").exists()
    assert not (server.root / "state").exists()


def test_a_bad_configuration_makes_no_file(server):
    status, _ = server.configtest(text("TokRevokeNonsense On\n"))
    assert status == 1
    server.start_fails(text(IN_LOCATION % "TokRevokeAnswers loose"))
    assert not (server.root / "state").exists()


def test_the_default_database_needs_no_directive_and_configtest_does_not_make_it(server):
    """Only looked at: the place is the system's own."""
    place = Path("/var/lib/tokrevoke")

    def content():
        return sorted((p.name, p.stat().st_mtime_ns) for p in place.iterdir()) if place.exists() else None

    before = content()
    server.database = None
    status, said = server.configtest(text())
    assert status == 0 and "Syntax OK" in said
    assert content() == before and not (server.root / "state").exists()


def test_a_site_without_database_files_serves_only_after_they_were_made(server, mint):
    """The files are there before the first request is answered."""
    server.start(text())
    assert server.bearer(PAGE, mint()).status == 200
    state = Database(server).state()
    assert (state["last_seq"], state["row_count"], state["row_sum"]) == (0, 0, 0)
    assert Database(server).mark() == (state["database_id"], 0)
