"""A revoked token that is shown again: one line in the log for the token and minute, whichever children it reaches."""

import hashlib
import re

import pytest

from issuers import write_keys
from storing import EveryChild, are_accepted, revoke_all, text, verdicts, without_jti
from test_store_clock import FAKETIME, give_clock, set_clock
from test_store_clock import servers

LINE = re.compile(r'\[tokrevoke:notice\] .*a revoked token was presented: token ([0-9a-f]+), subject "(.*)", client (\S+?), revoked by \w+'
                  r"(?:, and (\d+) times since .*)?$", re.M)


def fingerprint(token):
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def lines(server, token):
    """[(subject, client, times not said)] of it."""
    return [found[1:] for found in LINE.findall(server.error_log()) if found[0] == fingerprint(token)]


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    server.extra_modules = ("remoteip",)
    write_keys(server, keys)
    return server.start("RemoteIPHeader X-Client\nRemoteIPInternalProxy 127.0.0.1\n" + text())


def test_it_is_said_once_for_all_children_with_subject_and_client_and_never_the_token(site, mint):
    token = mint(sub="mallory")
    revoke_all(site, [token])
    assert lines(site, token) == []
    with EveryChild(site) as children:
        for _ in range(5):
            assert children.verdicts(token) == {"revoked"}
    assert lines(site, token) == [("mallory", "127.0.0.1", "")]
    assert not any(part in site.error_log() for part in token.split(".")[1:])


def test_each_token_is_said_for_itself(site, mint):
    tokens = [without_jti(mint) if i % 2 else mint() for i in range(50)]
    revoke_all(site, tokens)
    for _ in range(3):
        verdicts(site, tokens)
    assert [lines(site, token) for token in tokens] == [[("alice", "127.0.0.1", "")]] * 50


def test_tokens_that_are_refused_for_another_reason_are_not_said(site, mint, keys):
    dead = mint(exp=1000)
    forged = mint(key=keys.other["p256"])
    good = mint()
    revoke_all(site, [dead, forged])
    verdicts(site, [dead, forged, good])
    assert not any(lines(site, token) for token in (dead, forged, good))


def test_the_client_is_the_one_behind_a_trusted_proxy(site, mint):
    token = mint()
    revoke_all(site, [token])
    assert site.bearer("/p/app/ok.txt", token, "X-Client: 2001:db8::9").status == 401
    assert lines(site, token) == [("alice", "2001:db8::9", "")]


@pytest.mark.parametrize("subject, said", [("dörte", "d\\xc3\\xb6rte"), ('a"b\\c', 'a"b\\\\c'), ("x" * 1024, "x" * 200),
                                           ("é" * 150, "\\xc3\\xa9" * 100), ("%s%n", "%s%n")], ids=repr)
def test_no_subject_breaks_the_line(site, mint, subject, said):
    token = mint(sub=subject)
    revoke_all(site, [token])
    site.bearer("/p/app/ok.txt", token)
    assert lines(site, token) == [(said, "127.0.0.1", "")]


@pytest.mark.skipif(not FAKETIME or bool(servers.SAN), reason="needs libfaketime, and no sanitizer")
def test_a_minute_later_it_is_said_again_with_how_often_it_was_shown(new_server, keys, mint):
    """Without a database, whose following would seem to have stalled when the steady clock jumps."""
    site = new_server()
    write_keys(site, keys)
    give_clock(site, DONT_FAKE_MONOTONIC="0")
    site.start(text("TokRevokeDatabase none\n"))
    token, other = mint(), mint()
    revoke_all(site, [token, other])
    verdicts(site, [token] * 8)
    set_clock(site, "+59")
    verdicts(site, [token])
    assert [one[2] for one in lines(site, token)] == [""]
    set_clock(site, "+61")
    verdicts(site, [token, other, token, token])
    assert [one[2] for one in lines(site, token)] == ["", "8"]
    assert [one[2] for one in lines(site, other)] == [""]
    set_clock(site, "+122")
    verdicts(site, [token, token])
    assert [one[2] for one in lines(site, token)] == ["", "8", "2"]
    are_accepted(site, [mint()])
    site.stop()
