"""
Odd but legal tokens are accepted by every child, on every use, with the right user; and what was accepted can be revoked,
whatever its jti is made of. To refuse too much is as much a mistake as to accept too much.
"""

import collections

import pytest

import tokens_legal  # noqa: F401  fills the table
from database import Database
from tokens_case import APART, LEGAL
from tokens_site import Findings, Site, accept, stand, start


@pytest.fixture(scope="module")
def server(new_server, keys):
    return start(new_server(), keys)


@pytest.fixture(scope="module")
def site(server, keys):
    made = Site(server, keys)
    yield made
    made.close()


@pytest.mark.parametrize("title", LEGAL.classes)
def test_an_odd_token_is_accepted_with_its_user_and_can_be_revoked(site, title):
    """JWS-04, JWS-10, JWS-12, JWS-13, JWS-19, JWT-01, JWT-05, JWT-09, JWT-11"""
    findings = Findings()
    for case in LEGAL.of(title):
        accept(site, case, findings)
    findings.tell()


@pytest.mark.parametrize("title", APART.classes)
def test_a_token_that_only_looks_like_a_revoked_one_stands(site, title):
    """JWT-07, JWT-10, JWT-11"""
    findings = Findings()
    for case in APART.of(title):
        stand(site, case, findings)
    findings.tell()


def test_the_table_has_not_shrunk():
    cases = LEGAL.all()
    names = collections.Counter(case.name for case in cases)
    assert len(cases) >= 700 and not [name for name, count in names.items() if count > 1]


def test_each_revocation_was_stored_once_and_no_child_is_gone(site):
    """R7009-13"""
    assert site.status()["table"]["used"] == len(Database(site.server).rows()) == site.stored
    assert site.is_whole, site.server.error_log()
