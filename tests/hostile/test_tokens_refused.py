"""
Every bent token of the table is refused for its own reason: by every child, at first sight and when its twin is known, and at the
doors that ask for a token. Its twin, bent nowhere, is accepted all the while, so that no token is refused for another cause.
"""

import collections
import json

import pytest

import tokens_claims  # noqa: F401  each fills the table
import tokens_legal  # noqa: F401
import tokens_signatures  # noqa: F401
import tokens_texts  # noqa: F401
from database import Database
from tokens_case import HOSTILE, PAGE, SAME, with_signature
from tokens_site import Findings, Site, follow, is_refused, refuse, start
from tokens_vectors import VECTORS

# What must never get out of the table: lines of docs/STANDARDS.md, and holes that other verifiers had.
ORIGINS = {
    *(f"JWS-{n:02}" for n in range(1, 22)), *(f"JWT-{n:02}" for n in (*range(1, 9), 10, 11)),
    *(f"BCP-{n:02}" for n in (1, 2, 6, 7, 8, 9, 10, 11)),
    "R6750-12", "R9068-04", "R9068-09", "CVE-2015-9235", "CVE-2017-11424", "CVE-2018-0114", "CVE-2020-14967", "CVE-2020-14968",
    "CVE-2020-26160", "CVE-2020-28042", "CVE-2021-30246", "CVE-2022-21449", "CVE-2022-25898", "CVE-2022-3102", "CVE-2023-48223",
    "CVE-2023-51774", "CVE-2023-6681", "CVE-2026-32597", "CVE-2026-34950", "CVE-2026-45363", "GHSA-q843-6q5f-w55g",
    "GHSA-rp9m-7r4c-75qg", "GHSA-wcvh-g65p-v576", "16 KiB", "the order of the rules",
}


@pytest.fixture(scope="module")
def server(new_server, keys):
    return start(new_server(), keys)


@pytest.fixture(scope="module")
def site(server, keys):
    made = Site(server, keys)
    yield made
    made.close()


@pytest.mark.parametrize("title", HOSTILE.classes)
def test_a_bent_token_is_refused_for_its_own_reason_and_its_twin_is_accepted(site, title):
    """JWS-01 to JWS-21, JWT-01 to JWT-11, BCP-01 to BCP-11: the table says which."""
    findings = Findings()
    for case in HOSTILE.of(title):
        refuse(site, case, findings)
    findings.tell()


@pytest.mark.parametrize("title", SAME.classes)
def test_another_spelling_of_a_revoked_token_is_revoked(site, title):
    """JWT-08, JWT-10"""
    findings = Findings()
    for case in SAME.of(title):
        follow(site, case, findings)
    findings.tell()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.source)
def test_a_worked_example_of_the_standards_is_read_to_its_end(site, vector):
    """Its signature is good, as the reason says: what is wrong with it comes later. With another signature that is the reason."""
    bent = with_signature(vector.token, b"\1" * 64)
    answers = site.show(*((PAGE, None, token) for token in (vector.token, bent, vector.token)))
    for first, second, third in answers:
        assert is_refused(first, "expired" if vector.is_token else "malformed"), first
        assert is_refused(second, "bad_signature" if vector.is_token else "malformed"), second
        assert is_refused(third, first.reason), third


def serialized(token):
    head, payload, sig = token.split(".")
    return {"flattened": {"payload": payload, "protected": head, "signature": sig},
            "general": {"payload": payload, "signatures": [{"protected": head, "signature": sig}]}}


@pytest.mark.parametrize("how", ["flattened", "general"])
def test_a_token_in_json_serialization_is_none(site, mint, how):
    """JWS-01: in a field its commas say that there is more than one; at the other doors it is one that is no good."""
    token = mint()
    text = json.dumps(serialized(token)[how])
    r = site.server.bearer(PAGE, text)  # httpd hangs up after a 400
    assert (r.status, r.reason, r.user) == (400, "multiple_tokens", None), r
    assert site.introspect(text, None).body == b'{"active":false}'
    assert site.post("/strict", None, text).status == 401 and site.post("/revoke", None, text).status == 200
    assert site.server.bearer(PAGE, token).status == 200


def test_the_table_has_not_shrunk():
    cases = HOSTILE.all()
    names = collections.Counter(case.name for case in cases)
    assert len(cases) >= 2200 and not [name for name, count in names.items() if count > 1]
    assert {case.reason for case in cases} == {
        "malformed", "algorithm", "unknown_issuer", "unknown_key", "bad_signature", "expired", "not_yet_valid", "lifetime",
        "audience", "token_type",
        "token_use"}
    named = {origin for table in (HOSTILE, SAME) for origins in table.origins.values() for origin in origins}
    assert ORIGINS <= named, ORIGINS - named


def test_nothing_but_what_was_good_was_stored_and_no_child_is_gone(site):
    """R7009-25: however many forgeries were presented."""
    assert site.status()["table"]["used"] == len(Database(site.server).rows()) == site.stored
    assert site.is_whole, site.server.error_log()
