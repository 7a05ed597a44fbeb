"""
Every snippet of README.md and docs/ is run: configurations by httpd, commands by a shell, queries by their database, answers beside
those of a server. What cannot be done here as it stands is done beside: sudo without becoming root, the system's httpd by a private one.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import time

import pytest

from database import COLUMNS, Database, checksum, signed, siphash128
from httpd import REPO, Installed, protected
from pages import Shell, all_blocks, read
from tokens import certificate_pem, fields, key_set, public_pem, secret_bytes

sys.path.append(str(REPO / "tests" / "crash"))
import pgserver  # noqa: E402

pytestmark = pytest.mark.h1("the pages speak of plain servers")
ISSUER = "https://idp.example.com/"
SITE = "https://www.example.com"
STATE = "/var/lib/tokrevoke"
NEEDS_POSTGRES = pytest.mark.skipif(bool(pgserver.unavailable()), reason=pgserver.unavailable() or "-")
JTI = "0b5c2a0e"  # of the queries

# A database's own words at the head of a query.
SQL = {kind: re.compile(rf"-- (?:\w+, )?{kind}\b") for kind in ("sqlite3", "psql")}

# Which test runs which blocks; each block must be in exactly one.
CLAIMS = {
    "whole page": lambda b: b.page in ("FLOWS.md", "COOKBOOK.md"),  # test_flows.py, test_cookbook.py
    "drawing": lambda b: b.page == "ARCHITECTURE.md" and not b.language,
    "first screen": lambda b: b.page == "README.md" and b.language == "apache",
    "configuration": lambda b: b.page not in ("README.md", "FLOWS.md", "COOKBOOK.md") and b.language == "apache",
    "logout page": lambda b: b.page == "DIRECTIVES.md" and b.language == "html",
    "make": lambda b: b.language == "sh" and all(re.match(r"(sudo )?make\b", line) for line in b.commands()),
    "enable": lambda b: b.language == "sh" and "a2enmod" in b.text,
    "first requests": lambda b: b.page == "README.md" and b.language == "sh" and "curl" in b.text,
    "requests": lambda b: b.page == "DIRECTIVES.md" and b.language == "sh" and "curl" in b.text,
    "clients": lambda b: b.language == "sh" and "htpasswd" in b.text,
    "refusals": lambda b: b.language == "json" and "error_type" in b.text,
    "list": lambda b: b.language == "json" and '"revocations"' in b.text,
    "roles": lambda b: b.language == "sh" and "createuser" in b.text,
    "sqlite3": lambda b: b.language == "sql" and SQL["sqlite3"].match(b.text) and "?" not in b.text,
    "psql": lambda b: b.language == "sql" and SQL["psql"].match(b.text) and not SQL["sqlite3"].match(b.text) and "?" not in b.text,
    "write": lambda b: b.language == "sql" and "?" in b.text,
    "checksum": lambda b: b.language == "sh" and "SIPHASH" in b.text,
    "shells": lambda b: b.language == "sh" and "sqlite3 -readonly" in b.text,
    "backup": lambda b: b.language == "sh" and ".backup" in b.text,
    "restore": lambda b: b.language == "sh" and "systemctl stop" in b.text,
    "mark": lambda b: b.page == "DATABASE.md" and b.text.startswith("TR1 "),
    "notice": lambda b: b.page == "OPERATIONS.md" and not b.language and "was presented" in b.text,
}
BLOCKS = all_blocks()


def of(claim):
    return [b for b in BLOCKS if b.page not in ("FLOWS.md", "COOKBOOK.md") and CLAIMS[claim](b)]


def each(claim):
    return pytest.mark.parametrize("block", of(claim), ids=str)


def only(claim):
    (block,) = of(claim)
    return block


def test_every_snippet_is_run_by_one_test():
    for block in BLOCKS:
        claims = [name for name, is_it in CLAIMS.items() if is_it(block)]
        assert len(claims) == 1, f"{block} is run by {claims or 'no test'}:\n{block.text}"
    assert not [name for name in CLAIMS if name != "whole page" and not of(name)], "a claim without a block"


# ---- configurations ----

FILES = ("conf/idp.jwks.json", "conf/idp-2026.pem", "conf/idp-2025.crt", "conf/hmac.secret", "conf/clients.htpasswd",
         "conf/administrators")


def write_files(server, keys):
    """What the configurations name."""
    sha = "{SHA}" + base64.b64encode(hashlib.sha1(b"pw").digest()).decode()
    contents = (key_set(fields(keys["p256"], kid="p256")), public_pem(keys["rsa"]), certificate_pem(keys["rsa"]),
                secret_bytes(keys["oct"]), f"shop:{sha}\n", f"alice:{sha}\nbob:{sha}\n")
    for name, content in zip(FILES, contents):
        server.write(name, content)


@pytest.fixture(scope="module")
def checker(new_server, keys):
    server = new_server()
    write_files(server, keys)
    return server


def here(server, text):
    """With the places of this server."""
    return text.replace(STATE, f"{server.root}/state").replace("/run/lock/apache2", f"{server.root}/run")


def context_of(block):
    """What the section's own table says, where it has one."""
    section = re.search(rf"^#+ {re.escape(block.section)}$(.*?)(?=^#|\Z)", read("docs/" + block.page), re.M | re.S)[1]
    found = re.search(r"^\| Context \| (.*?) \|$", section, re.M)
    return found[1] if found else ""


def in_context(block):
    """The block where it may stand, with an issuer in any case."""
    text, context = block.text, context_of(block)
    trusted = f'<TokRevokeIssuer "{ISSUER}">\n%s</TokRevokeIssuer>\n'
    keys = "" if re.search(r"TokRevoke(KeySet|PublicKey|SharedSecret)", text) else "TokRevokeKeySet conf/idp.jwks.json\n"
    if context.startswith("issuer"):
        return trusted % (keys + text)
    if context.startswith("directory") and not text.startswith("<"):
        text = f'<Location "/somewhere">\n{text}</Location>\n'
    return text if "<TokRevokeIssuer" in text else trusted % keys + text


@each("configuration")
def test_configurations_are_taken(checker, block):
    status, said = checker.configtest(here(checker, in_context(block)))
    assert status == 0 and "Syntax OK" in said, said


@each("logout page")
def test_the_logout_page_is_taken(checker, block):
    checker.write("conf/logout.html", block.text)
    page = "TokRevokeLogoutPage conf/logout.html\n"
    status, said = checker.configtest(f'<Location "/logout">\nSetHandler tokrevoke-logout\n{page}</Location>\n')
    assert status == 0, said


# ---- the first screen ----

HANDS = r"""
sudo() { if [ "$1" = -u ]; then local user=$2; shift 2; become "$user" "$@"; else "$@"; fi; }
become() { local user=$1; shift; if [ "$(id -u)" = 0 ] && id "$user" >/dev/null 2>&1; then setpriv --reuid="$user" --regid="$user" --init-groups "$@"; else "$@"; fi; }
curl() {
    local words=() word
    for word; do
        case $word in alice) word=alice:pw ;; https://www.example.com/*) word=$APP${word#https://www.example.com} ;; esac
        words+=("$word")
    done
    command curl -sS -m 20 -o body -w '%{http_code} ' "${words[@]}" && cat body && echo
}
htpasswd() { command htpasswd -i "$@" 2>&1 <<< "$SECRET" | grep -v '^Adding password'; }
if [ "$(id -u)" != 0 ]; then
    install() { local words=(); while [ $# -gt 0 ]; do case $1 in -o|-g) shift ;; *) words+=("$1") ;; esac; shift; done; command install "${words[@]}"; }
fi
"""


def shell_for(server, **names):
    shell = Shell(server.root, APP=f"http://127.0.0.1:{server.port}", SECRET="the secret of the shop", CLIENT_ID="shop", **names)
    shell.must(HANDS)
    return shell


def an_access_token(mint, **more):
    return mint(iss=ISSUER, aud="legacy-app", **more)


@pytest.fixture
def first(new_server, keys):
    """The first screen of README.md and nothing else, down to its LoadModule."""
    server = new_server(children=2)
    write_files(server, keys)
    server.with_module = False
    (server.root / "modules").mkdir()
    shutil.copy(Installed.module(), server.root / "modules" / "mod_tokrevoke.so")
    (server.root / "htdocs" / "app").mkdir()
    server.write("htdocs/app/index.html", "<p>the application</p>\n")
    return server.start(here(server, only("first screen").text))


def test_the_first_screen_serves_the_first_requests(first, mint):
    shell = shell_for(first, TOKEN=an_access_token(mint))
    for line in only("first requests").text.splitlines():
        command, _, promised = line.partition(" # ")
        said, status = shell.run(command)
        assert status == 0 and said.startswith(promised), (line, said)
        assert said.rstrip() == promised or len(promised) == 3, said
    shell.close()
    assert first.get("/logout", "Cookie: session=x", "Accept: text/html", method="POST")["Location"] == "/bye.html"


def test_the_first_screen_is_there_as_a_file():
    load, _, rest = only("first screen").text.partition("\n")
    assert load.startswith("LoadModule ") and rest == read("conf/minimal.conf")


# ---- installing ----

def make(*words):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS")) and name not in ("B", "COV")}
    return subprocess.run(["make", *words], cwd=REPO, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What make install puts where, below a folder of its own; the module is not built anew for it."""
    folder = tmp_path_factory.mktemp("installed")
    done = make("-o", "build/mod_tokrevoke.so", "install", f"DESTDIR={folder}")
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


@each("make")
def test_make_knows_its_targets(installed, block):
    """Installing is done, the rest is asked for without doing it: these tests are part of it."""
    for line in block.commands():
        words = line.split()[line.split().index("make") + 1:]
        if words == ["install"]:
            assert list(installed.rglob("mod_tokrevoke.so")) and list(installed.rglob("tokrevoke.load"))
            assert (installed / STATE[1:]).is_dir()
        else:
            done = make("-n", *words)
            assert done.returncode == 0, done.stderr


@each("enable")
def test_what_was_installed_is_enabled(installed, new_server, keys, block):
    server = new_server(children=2)
    write_files(server, keys)
    server.with_module = False
    (load,) = installed.rglob("tokrevoke.load")
    (module,) = installed.rglob("mod_tokrevoke.so")
    server.write("conf/enabled-tokrevoke.load", re.sub(r"/\S*/mod_tokrevoke\.so", str(module), load.read_text()))
    server.write("conf/enabled-tokrevoke.conf", here(server, load.with_suffix(".conf").read_text()))
    text = "Include conf/enabled-tokrevoke.load\nInclude conf/enabled-tokrevoke.conf\n"

    def enable():
        server.start(text)

    hands = {"sudo a2enmod tokrevoke": enable, "sudo apachectl configtest": lambda: server.configtest(text)[0] == 0 or pytest.fail(),
             "sudo apachectl graceful": server.graceful}
    for line in block.commands():
        hands[line]()
    assert server.get("/").status == 200


# ---- the endpoints ----

@pytest.fixture(scope="module")
def site(new_server, keys):
    """The endpoints as DIRECTIVES.md configures them, clients as it makes them, and an application."""
    server = new_server(children=2)
    write_files(server, keys)
    (server.root / FILES[4]).unlink()
    shell = shell_for(server)
    shell.must(only("clients").text)
    shell.close()
    os.chmod(server.root / FILES[4], 0o644)
    wanted = ("tokrevoke-revoke", "tokrevoke-introspect", "tokrevoke-admin")
    endpoints = [b.text for b in of("configuration") if b.page == "DIRECTIVES.md" and any(f"SetHandler {name}\n" in b.text for name in wanted)]
    assert len(endpoints) == len(wanted)
    return server.start(f'<TokRevokeIssuer "{ISSUER}">\nTokRevokeKeySet conf/idp.jwks.json\n</TokRevokeIssuer>\n'
                        + protected("app", where="/index.html") + "".join(endpoints))


def test_the_file_of_clients_is_as_described(site):
    lines = (site.root / FILES[4]).read_text().splitlines()
    assert re.fullmatch(r"shop:\$2y\$.*", lines[0]) and lines[1] == "pub:"


@each("requests")
def test_requests_are_answered(site, mint, block):
    shell = shell_for(site, TOKEN=an_access_token(mint))
    for line in block.text.replace("\\\n", " ").splitlines():
        said, status = shell.run(line)
        assert status == 0 and re.match(r"20[01] \{.+\}|200 \{\}", said), (line, said)
        assert "introspect" not in line or '"active":true' in said
    shell.close()


def shape(value):
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(member) for member in value]
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def test_the_list_of_revocations_looks_as_shown(new_server, keys, site):
    (request,) = [b for b in of("requests") if "/tokrevoke/revocations" in b.text]
    shell = shell_for(site)
    shell.run(request.text)
    shell.close()
    boss = "Authorization: Basic " + base64.b64encode(b"alice:pw").decode()
    real, shown = site.get("/tokrevoke/revocations?kind=subject", boss).json(), json.loads(only("list").text)
    assert list(real) == list(shown)
    real, shown = real["revocations"][0], shown["revocations"][0]
    assert list(real) == list(shown) and shape(real) == shape(shown)
    same = ("kind", "iss", "value", "actor", "reason")
    assert [real[name] for name in same] == [shown[name] for name in same]


def test_refusals_look_as_shown(new_server, keys, mint):
    server = new_server(children=2)
    write_files(server, keys)
    server.start(f'<TokRevokeIssuer "{ISSUER}">\nTokRevokeKeySet conf/idp.jwks.json\n</TokRevokeIssuer>\nTokRevokeMaxStaleness 2s\n'
                 + protected("app", where="/index.html") + '<Location "/revoke">\nSetHandler tokrevoke-revoke\n</Location>\n')
    revoked, missing, unavailable = only("refusals").text.splitlines()
    token = an_access_token(mint)
    assert server.revoke(token).status == 200
    assert server.bearer("/index.html", token).text.rstrip() == revoked
    assert server.get("/index.html").text.rstrip() == missing
    server.expect_log("TR023: ", always=True)  # more than one child may say so, also when this test is over
    (server.root / "state" / "tokrevoke.db").rename(server.root / "state" / "elsewhere.db")
    end = time.monotonic() + 15
    good = an_access_token(mint)
    while (answer := server.bearer("/index.html", good)).status != 503:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert answer.text.rstrip() == unavailable


@each("notice")
def test_the_notice_reads_as_shown(site, mint, block):
    token = an_access_token(mint)
    assert site.revoke(token, path="/oauth2/revoke").status == 200
    assert site.bearer("/index.html", token).status == 401
    first, second = block.text.splitlines()
    said = site.wait_log(r"\[tokrevoke:notice\] .*(a revoked token was presented: .*)")[1]
    numbers = re.compile(r"\b[0-9a-f]{16}\b|\d+\.\d+\.\d+\.\d+")
    assert numbers.sub("N", said) == numbers.sub("N", first.partition(" … ")[2])
    assert second.startswith(first + ", and ")


# ---- the database ----

def record(server):
    """A token that alice takes back by its jti, as the queries ask for it."""
    boss = "Authorization: Basic " + base64.b64encode(b"alice:pw").decode()
    item = {"kind": "token", "iss": ISSUER, "value": JTI, "reason": "lost"}
    assert server.get("/tokrevoke/revocations", boss, "Content-Type: application/json", method="POST", body=json.dumps(item)).status == 201


@pytest.fixture(scope="module")
def stored(site):
    record(site)
    return Database(site)


@each("sqlite3")
def test_queries_of_sqlite_find_something(stored, block):
    assert stored.select(block.text)


def test_the_check_by_sql_finds_equal_numbers(stored):
    (block,) = [b for b in of("sqlite3") if "counted" in b.text]
    ((count, counted, *_),) = stored.select(block.text)
    assert count == counted > 0


def test_another_program_revokes_as_described(site, stored, mint):
    """Statement by statement as on the page, with values."""
    token = an_access_token(mint, jti="by-another-program")
    assert site.bearer("/index.html", token).status == 200
    expires = int(time.time()) + 700
    statements = [s.strip() for s in re.sub(r"^--.*$", "", only("write").text, flags=re.M).split(";") if s.strip()]
    begin, select, insert, update, commit = statements
    with stored.connection("rw") as c:
        c.execute("PRAGMA synchronous = FULL")
        c.execute(begin)
        ((version, seq, count, total),) = c.execute(select).fetchall()
        assert version == 1
        own = checksum(seq + 1, "token", ISSUER, "by-another-program", 0, expires)
        values = dict(zip(COLUMNS, (seq + 1, "token", ISSUER, "by-another-program", 0, expires, int(time.time()), "shop", "", "", own)))
        names = [name.strip() for name in re.search(r"\((.*?)\)", insert, re.S)[1].split(",")]
        c.execute(insert, [values[name] for name in names if name != "issued_before_us"])
        c.execute(update, (seq + 1, count + 1, signed(total + own)))
        c.execute(commit)
    assert stored.is_whole()
    end = time.monotonic() + 5
    while site.bearer("/index.html", token).status != 401:
        assert time.monotonic() < end, "not heard of"
        time.sleep(0.05)


def test_the_checksum_is_made_as_described(tmp_path):
    shell = Shell(tmp_path)
    said, status = shell.run(only("checksum").text)
    shell.close()
    after = read("docs/DATABASE.md").partition(only("checksum").text)[2]
    assert status == 0 and said.strip() == re.search(r"It prints `([0-9A-F]+)`", after)[1]


def test_the_mark_is_as_shown():
    mark = only("mark").text
    start, _, last = mark.rstrip("\n").rpartition(" ")
    assert len(mark) == 75 and len(start) + 1 == 58
    assert f"{struct.unpack('<Q', siphash128((start + ' ').encode())[:8])[0]:016x}" == last


def test_backup_and_restore_go_as_described(new_server, keys, mint):
    server = new_server(children=2)
    write_files(server, keys)
    server.start(f'<TokRevokeIssuer "{ISSUER}">\nTokRevokeKeySet conf/idp.jwks.json\n</TokRevokeIssuer>\n'
                 + protected("app", where="/index.html") + '<Location "/revoke">\nSetHandler tokrevoke-revoke\n</Location>\n')
    token = an_access_token(mint)
    assert server.revoke(token).status == 200
    shell = shell_for(server)

    def run(text):
        for line in text.splitlines():
            line = here(server, line).replace("/var/backups", f"{server.root}/backups").replace("/root/", f"{server.root}/")
            if line == "sudo systemctl stop apache2":
                server.stop()
            elif line == "sudo systemctl start apache2":
                server.again()
            else:
                shell.must(line.replace("sudo mv", "[ ! -e \"tokrevoke.db$end\" ] || sudo mv"))

    (server.root / "backups").mkdir()
    run(only("backup").text)
    assert sqlite3.connect(server.root / "backups" / "tokrevoke" / "tokrevoke.db").execute(
        "SELECT count(*) FROM tokrevoke_revocations").fetchone() == (1,)
    run(only("restore").text)
    shell.close()
    assert (server.root / "tokrevoke-before" / "tokrevoke.db").exists()
    assert server.bearer("/index.html", token).status == 401
    assert server.bearer("/index.html", an_access_token(mint)).status == 200


# ---- PostgreSQL ----

@pytest.fixture(scope="module")
def postgres():
    made = pgserver.Postgres()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def site_of_postgres(new_server, keys, postgres):
    server = new_server(children=2)
    write_files(server, keys)
    server.database = f'"pgsql:{postgres.conninfo}"'
    (admin,) = [b.text for b in of("configuration") if "SetHandler tokrevoke-admin" in b.text]
    server.start(f'<TokRevokeIssuer "{ISSUER}">\nTokRevokeKeySet conf/idp.jwks.json\n</TokRevokeIssuer>\n' + admin)
    record(server)
    yield server
    server.stop()


@NEEDS_POSTGRES
@pytest.mark.parametrize("block", of("psql") + [b for b in of("sqlite3") if SQL["psql"].match(b.text)], ids=str)
def test_queries_of_postgresql_find_something(site_of_postgres, postgres, block):
    assert postgres.sql(block.text)


@NEEDS_POSTGRES
def test_the_databases_own_shells_are_opened_as_described(site, stored, site_of_postgres, postgres):
    shell = shell_for(site, PGHOST="127.0.0.1", PGPORT=str(postgres.port), PGUSER="boss", PGPASSWORD=postgres.password)
    for line in only("shells").commands():
        said, status = shell.run(here(site, line) + " <<< 'SELECT count(*) AS how_many FROM tokrevoke_revocations;'")
        assert status == 0 and "how_many" in said, said
    shell.close()


@NEEDS_POSTGRES
@each("roles")
def test_roles_and_databases_are_made_as_described(postgres, tmp_path, block):
    """By a superuser with a password. This server has a database of that name, so the new one gets another."""
    shell = Shell(tmp_path, PGHOST="127.0.0.1", PGPORT=str(postgres.port), PGUSER="boss", PGPASSWORD=postgres.password)
    shell.must(f'PATH="{postgres.bin}:$PATH"; sudo() {{ shift 2; setsid -w "$@" <<< $'"'secret\\nsecret'; }")
    for line in block.commands():
        said, status = shell.run(re.sub(r"(createdb .*) tokrevoke$", r"\1 described", line))
        assert status == 0, said
    shell.close()
    ((owner, encoding),) = postgres.sql("SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding) FROM pg_database "
                                        "WHERE datname = 'described'", database="postgres")
    postgres.sql("DROP DATABASE described", database="postgres")
    assert owner == re.search(r"-O (\S+)", block.text)[1] and encoding == "UTF8"
