"""What httpd shows of its own configuration, and what it says of a database that it cannot use, holds no password."""

import subprocess
import sys

import pytest

from httpd import REPO, environment, endpoint
from issuers import issuer, jwks, write_keys
from tokens import claims

sys.path.append(str(REPO / "tests" / "crash"))
import pgserver  # noqa: E402

PASSWORD = "geheim-8c1f"
CONNINFOS = {
    "words": f"host=db.test user=tokrevoke password={PASSWORD} dbname=r",
    "quoted": f"host=db.test password='{PASSWORD} \\\\'x'",
    "a uri": f"postgresql://tokrevoke:{PASSWORD}@db.test/r",
    "a uri's parameter": f"postgresql://db.test/r?user=tokrevoke&password={PASSWORD}",
    "an escaped name": f"postgresql://db.test/r?p%61ssword={PASSWORD}",
    "the key's password": f"host=db.test sslkey=/x sslpassword={PASSWORD}",
}
INFO = '<Location "/info">\nSetHandler server-info\n</Location>\n<Location "/status">\nSetHandler server-status\n</Location>\n'


def database(conninfo):
    return f'TokRevokeDatabase "pgsql:{conninfo}"\n'


@pytest.fixture(scope="module")
def showing(new_server):
    """Nothing is opened while there is no issuer."""
    server = new_server(children=2)
    server.extra_modules = ("info", "status")
    return server.start(database(CONNINFOS["words"]) + INFO)


def has_database_without_password(text):
    assert "TokRevokeDatabase" in text and "pgsql:" in text
    assert PASSWORD not in text and "8c1f" not in text


@pytest.mark.parametrize("kind", CONNINFOS)
def test_server_info_shows_no_password_of_the_database(showing, kind):
    """Nor after a graceful restart, which reads the configuration anew."""
    for again in (False, True):
        showing.reconfigure(database(CONNINFOS[kind]) + INFO)
        if again:
            showing.graceful()
        else:
            showing.next_generation()
        for page in ("/info", "/info?config", "/info?mod_tokrevoke.c"):
            r = showing.get(page)
            assert r.status == 200
            has_database_without_password(r.body.decode())
        for page in ("/status", "/status?auto"):
            assert PASSWORD.encode() not in showing.get(page).body


@pytest.mark.parametrize("kind", CONNINFOS)
def test_a_dump_of_the_configuration_shows_no_password_of_the_database(showing, kind):
    showing.write("conf/test.conf", showing.compose(database(CONNINFOS[kind])))
    done = subprocess.run(showing.command("-t", "-D", "DUMP_CONFIG", name="test.conf"), capture_output=True, text=True, timeout=60,
                          env=environment(showing.root), check=False)
    assert done.returncode == 0
    has_database_without_password(done.stdout)
    assert PASSWORD not in done.stderr


def test_a_path_of_a_database_is_shown_as_it_is(showing):
    showing.write("conf/test.conf", showing.compose('TokRevokeDatabase "sqlite3:{root}/a folder/r.db"\n'))
    done = subprocess.run(showing.command("-t", "-D", "DUMP_CONFIG", name="test.conf"), capture_output=True, text=True, timeout=60,
                          env=environment(showing.root), check=False)
    assert f'TokRevokeDatabase "sqlite3:{showing.root}/a folder/r.db"' in done.stdout


NOT_UNDERSTOOD = {
    "a space in a word": f"host=127.0.0.1 password=first {PASSWORD}",
    "a quote that is not closed": f"host=127.0.0.1 password='{PASSWORD}",
    "an equals sign is missing": f"host=127.0.0.1 {PASSWORD}",
    "no such option": f"host=127.0.0.1 {PASSWORD}=x",
    "a uri with a broken escape": f"postgresql://u:%{PASSWORD}@127.0.0.1/r",
    "a uri with a bracket": f"postgresql://u:{PASSWORD}@[127.0.0.1/r",
    "a uri with a broken parameter": f"postgresql://127.0.0.1/r?{PASSWORD}",
    "nobody listens": f"host=127.0.0.1 port=1 user=u password={PASSWORD}",
}


@pytest.mark.parametrize("what", NOT_UNDERSTOOD)
def test_a_database_that_cannot_be_opened_is_named_without_its_password(new_server, keys, what):
    server = new_server()
    write_keys(server, keys)
    said = server.start_fails(database(NOT_UNDERSTOOD[what]) + issuer("https://idp.test/", jwks("all")))
    assert "TR019: revocations cannot be stored: the PostgreSQL database: " in said
    assert PASSWORD not in said and "8c1f" not in said
    if what == "nobody listens":
        assert "127.0.0.1" in said and "port 1 failed" in said


@pytest.mark.skipif(bool(pgserver.unavailable()), reason=pgserver.unavailable() or "-")
def test_what_postgresql_says_of_a_row_that_it_refuses_tells_nobody_the_names_in_it(new_server, keys, mint):
    """Behind the first line of its error it shows the whole row."""
    server = new_server(children=2)
    write_keys(server, keys)
    postgres = pgserver.Postgres()
    try:
        server.start(database(postgres.conninfo) + issuer("https://idp.test/", jwks("all")) + endpoint("/revoke"))
        postgres.sql("ALTER TABLE tokrevoke_revocations ADD CONSTRAINT never CHECK (seq < 0)")
        mine = claims(jti="a-name-that-nobody-should-read", sub="a-subject-that-nobody-should-read")
        server.expect_log("TR0")
        r = server.revoke(mint(payload=mine))
        assert r.status == 503
        server.wait_log('violates check constraint "never"')
        assert "nobody-should-read" not in server.error_log() and postgres.password not in server.error_log()
        server.stop()
    finally:
        server.stop()
        postgres.remove()
