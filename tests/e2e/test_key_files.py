"""
Files that say whom to trust: what everybody could have written is not believed, at start or later. A secret and the file of clients
are files themselves and belong to root or httpd's user; public keys may be links.
"""

import os
import pwd
from pathlib import Path

import pytest

from clients import BCRYPT, SECRET, basic
from httpd import ALIAS, endpoint, protected
from issuers import issuer, jwks, write_keys
from tokens import fields, key_set

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="files are given to others")
NOBODY = 65534

FILES = {  # directive, its words but the file, a good file
    "TokRevokeKeySet": (issuer("https://idp.test/", "TokRevokeKeySet %s"), "conf/all.jwks"),
    "TokRevokePublicKey": (issuer("https://idp.test/", "TokRevokePublicKey %s"), "conf/rsa.pem"),
    "TokRevokeSharedSecret": (issuer("https://idp.test/", "TokRevokeSharedSecret %s"), "conf/secret.bin"),
    "TokRevokeClients": (endpoint("/revoke", "TokRevokeClients %s"), "conf/clients"),
    "TokRevokeLogoutPage": (endpoint("/logout", "TokRevokeLogoutPage %s", handler="tokrevoke-logout"), "conf/page.html"),
}
PUBLIC = ("TokRevokeKeySet", "TokRevokePublicKey", "TokRevokeLogoutPage")
OWN = ("TokRevokeSharedSecret", "TokRevokeClients")


@pytest.fixture(scope="module")
def site(new_server, keys):
    """Only ever tested, never started."""
    server = new_server()
    write_keys(server, keys)
    server.write("conf/clients", f"app:{BCRYPT}\n")
    server.write("conf/page.html", '<form method="post" action="{action}">{fields}<button>Out</button></form>')
    return server


@pytest.fixture
def odd(site, request):
    """A folder for what is wrong."""
    folder = site.root / "odd"
    folder.mkdir(mode=0o755)
    yield folder
    folder.chmod(0o700)
    for path in folder.iterdir():
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()


def configtest(site, directive, path):
    return site.configtest(FILES[directive][0] % path)


def refused(site, directive, path, *fragments):
    status, said = configtest(site, directive, path)
    assert status == 1 and f"{directive}: " in said and path.name in said, said
    for fragment in fragments:
        assert fragment in said, said


def warned(site, directive, path, fragment):
    status, said = configtest(site, directive, path)
    assert status == 0 and f"TR068: {directive}: {path}: {fragment}" in said, said


def quiet(site, directive, path):
    status, said = configtest(site, directive, path)
    assert status == 0 and "TR068" not in said, said


def copy_of(site, directive, folder):
    good = site.root / FILES[directive][1]
    path = folder / good.name
    path.write_bytes(good.read_bytes())
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("directive", FILES)
def test_a_file_of_root_alone_is_good(site, odd, directive):
    """Processes of httpd's user that read it later say what they lack then."""
    status, said = configtest(site, directive, copy_of(site, directive, odd))
    assert status == 0, said


@pytest.mark.parametrize("mode", [0o602, 0o646, 0o666, 0o777])
@pytest.mark.parametrize("directive", FILES)
def test_a_file_that_everybody_can_write_to_is_refused(site, odd, directive, mode):
    path = copy_of(site, directive, odd)
    path.chmod(mode)
    refused(site, directive, path, "it can be written to by everybody: chmod o-w")
    path.chmod(0o660)
    assert configtest(site, directive, path)[0] == 0


@pytest.mark.parametrize("directive", [name for name in FILES if name != "TokRevokeLogoutPage"])
def test_of_a_file_in_a_folder_that_everybody_can_write_to_there_is_a_warning(site, odd, directive):
    path = copy_of(site, directive, odd)
    odd.chmod(0o777)
    warned(site, directive, path, "its folder can be written to by everybody")
    odd.chmod(0o1777)
    quiet(site, directive, path)


@pytest.mark.parametrize("directive", OWN)
def test_a_link_to_what_says_who_is_let_in_is_refused(site, odd, directive):
    (odd / "link").symlink_to(copy_of(site, directive, odd))
    refused(site, directive, odd / "link", "it is a symbolic link, and such are not followed here: name the file itself")
    (odd / "nowhere").symlink_to(odd / "missing")
    refused(site, directive, odd / "nowhere", "it is a symbolic link")


@pytest.mark.parametrize("directive", PUBLIC)
def test_a_link_to_what_everybody_may_know_is_followed_and_its_end_is_looked_at(site, odd, directive):
    """As certificates are kept by the programs that renew them."""
    path = copy_of(site, directive, odd)
    (odd / "link").symlink_to(path)
    status, said = configtest(site, directive, odd / "link")
    assert status == 0, said
    path.chmod(0o606)
    refused(site, directive, odd / "link", "it can be written to by everybody")


@pytest.mark.parametrize("directive", FILES)
def test_what_is_no_file_is_refused_without_waiting(site, odd, directive):
    os.mkfifo(odd / "fifo", 0o600)
    (odd / "folder").mkdir()
    for path in (odd / "fifo", odd / "folder", Path("/dev/null"), Path("/dev/zero")):
        refused(site, directive, path, "it is no regular file")
    refused(site, directive, odd / "missing", "No such file")


@NEEDS_ROOT
@pytest.mark.parametrize("directive", FILES)
def test_what_says_who_is_let_in_belongs_to_root_or_httpds_user(site, odd, directive):
    path = copy_of(site, directive, odd)
    os.chown(path, pwd.getpwnam("www-data").pw_uid, 0)
    assert configtest(site, directive, path)[0] == 0
    os.chown(path, NOBODY, 0)
    if directive in OWN:
        refused(site, directive, path, f"it belongs to the user with number {NOBODY}, and must belong to root or httpd's user: chown")
    else:
        assert configtest(site, directive, path)[0] == 0


def test_of_a_secret_that_everybody_can_read_there_is_a_warning(site, odd):
    path = copy_of(site, "TokRevokeSharedSecret", odd)
    for mode in (0o604, 0o644):
        path.chmod(mode)
        warned(site, "TokRevokeSharedSecret", path, "it is a secret, and can be read by everybody: chmod o-r")
    path.chmod(0o640)
    quiet(site, "TokRevokeSharedSecret", path)


# ---- while httpd runs ----

@pytest.fixture(scope="module")
def running(new_server, keys):
    server = new_server(children=2)
    write_keys(server, keys)
    server.write("conf/clients", f"app:{BCRYPT}\n")
    return server.start(issuer("https://idp.test/", jwks("all")) + issuer("https://secret.test/", "TokRevokeSharedSecret conf/secret.bin")
                        + ALIAS + protected("app") + endpoint("/revoke", "TokRevokeClients conf/clients"))


@pytest.mark.parametrize("what", ["a file", "the end of a link"])
def test_keys_that_everybody_could_have_written_do_not_replace_the_good_ones(running, mint, keys, what):
    path = running.root / "conf" / "all.jwks"
    good, begin = path.read_bytes(), len(running.error_log())
    running.expect_log("TR010")
    forged = running.write("conf/fresh.jwks", good.replace(b"p256", b"p257"), 0o666)
    if what == "a file":
        forged.rename(path)
    else:
        path.unlink()
        path.symlink_to(forged)
    said = r"TR010: key set \S+/all.jwks has changed but cannot be used: it can be written to by everybody: chmod o-w"
    running.wait_log(rf"(?s)({said}.*){{{len(running.pids())}}}", since=begin)  # by every child
    assert running.bearer("/p/app/ok.txt", mint()).status == 200
    begin = len(running.error_log())
    path.unlink()
    running.write("conf/all.jwks", good)
    running.wait_log("all.jwks was read anew", since=begin)
    assert running.bearer("/p/app/ok.txt", mint()).status == 200


def spoil_by_mode(path):
    path.chmod(0o646)


def spoil_by_link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def spoil_by_fifo(path):
    path.unlink()
    os.mkfifo(path, 0o644)


def spoil_by_folder(path):
    path.unlink()
    path.mkdir()


def spoil_by_owner(path):
    os.chown(path, NOBODY, 0)


@pytest.mark.parametrize("spoil", [spoil_by_mode, spoil_by_link, spoil_by_fifo, spoil_by_folder,
                                   pytest.param(spoil_by_owner, marks=NEEDS_ROOT)])
def test_clients_from_a_file_that_is_not_to_be_believed_are_answered_503(running, mint, spoil):
    path = running.root / "conf" / "clients"
    head = basic("app", SECRET)
    body = ("Content-Type: application/x-www-form-urlencoded", head)
    running.expect_log("TR030")
    begin = len(running.error_log())
    spoil(path)
    r = running.get("/revoke", *body, method="POST", body="token=" + mint())
    assert r.status == 503 and r["Retry-After"]
    running.wait_log("clients cannot be authenticated", since=begin)
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    running.write("conf/clients", f"app:{BCRYPT}\n")
    assert running.get("/revoke", *body, method="POST", body="token=" + mint()).status == 200


@NEEDS_ROOT
def test_a_secret_that_root_alone_can_read_works_at_start_and_over_restarts(running, mint):
    assert (running.root / "conf" / "secret.bin").stat().st_mode & 0o777 == 0o600
    for restart in (running.next_generation, running.restart):
        assert running.bearer("/p/app/ok.txt", mint("HS256", iss="https://secret.test/")).status == 200
        restart()
    assert running.bearer("/p/app/ok.txt", mint("HS256", iss="https://secret.test/")).status == 200


def test_of_a_key_set_with_secrets_that_everybody_can_read_there_is_a_warning(site, odd, keys):
    path = copy_of(site, "TokRevokeKeySet", odd)
    for mode in (0o644, 0o604):
        path.chmod(mode)
        # The children read it again: without the group, they could do so no more.
        warned(site, "TokRevokeKeySet", path, "it holds secrets, and can be read by everybody: chgrp to the group of httpd's user")
    path.chmod(0o640)
    quiet(site, "TokRevokeKeySet", path)
    path.write_text(key_set(fields(keys["rsa"], kid="rsa"), fields(keys["p256"], kid="p256")))
    path.chmod(0o644)
    quiet(site, "TokRevokeKeySet", path)


def test_a_worry_is_told_once_at_each_start(new_server, keys):
    server = new_server(children=1)
    write_keys(server, keys)
    (server.root / "conf" / "secret.bin").chmod(0o644)
    server.expect_log("TR068: TokRevokeSharedSecret: ")
    server.start(issuer("https://secret.test/", "TokRevokeSharedSecret conf/secret.bin") + ALIAS + protected("app"))
    assert server.error_log().count("TR068") == 1
    server.next_generation()
    assert server.error_log().count("TR068") == 2
