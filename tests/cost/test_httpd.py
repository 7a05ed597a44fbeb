"""What a request costs httpd where a token is asked for, beside one where none is: system calls, allocations, instructions."""

import pytest

import serving

REQUESTS = 150
NOTHING = ("open", "mute", "safe", "live", "near", "told")  # what costs none


@pytest.fixture(scope="module")
def tokens(mint):
    return [mint("RS256", sid="9f3c1d6f7a115b1f", client_id="web", scope="openid profile", groups=["staff", "admins"])
            for _ in range(2)]


def measured(kind, count, keys, tokens):
    """{place: what count says of it} of all places of all servers."""
    found = {}
    for places in (serving.BARE, serving.OURS, serving.TELLING):
        server = kind(places, keys, tokens)
        try:
            found.update(count(server.up(), REQUESTS))
            assert not (left := server.unexpected()), left
        finally:
            server.remove()
    return found


@pytest.fixture(scope="module")
def calls(keys, tokens):
    return measured(serving.Small, serving.count_calls, keys, tokens)


@pytest.fixture(scope="module")
def work(keys, tokens):
    return measured(serving.Counted, serving.count_work, keys, tokens)


@pytest.fixture(scope="module")
def instructions(work):
    return {name: instructions for name, (instructions, _) in work.items()}


@pytest.fixture(scope="module")
def allocations(work):
    return {name: allocations for name, (_, allocations) in work.items()}


def over(found):
    """How much more than by httpd alone."""
    return {name: number - found["base"] for name, number in found.items() if name != "base"}


def rows(quantity, found):
    return {(f"httpd-{name}", quantity): number for name, number in over(found).items() if name != "more"}


def total(calls):
    return {name: sum(made.values()) for name, made in calls.items()}


def test_a_recent_token_costs_no_system_call(calls, ceilings, show):
    found = rows("system-calls", total(calls))
    show(found)
    assert not (wrong := ceilings.breaches(found)), "\n".join([*wrong, str(calls)])
    for name in NOTHING:
        assert ceilings.rows[f"httpd-{name}", "system-calls"][1] < 0.5, "none is none, whatever anybody writes into the file"


def test_a_recent_token_costs_no_allocation(allocations, ceilings, show):
    found = rows("allocations", allocations)
    show(found)
    assert not (wrong := ceilings.breaches(found)), "\n".join(wrong)
    for name in NOTHING:
        assert ceilings.rows[f"httpd-{name}", "allocations"][1] < 0.5, "none is none, whatever anybody writes into the file"


def test_a_recent_token_costs_httpd_few_instructions(instructions, ceilings, show):
    found = rows("instructions", instructions)
    show(found)
    assert not (wrong := ceilings.breaches(found)), "\n".join(wrong)


def test_a_file_that_is_read_with_each_request_goes_beyond_the_ceilings(calls, instructions, ceilings):
    """Were a checked request to do so, it would not go unseen."""
    found = {("httpd-safe", "system-calls"): over(total(calls))["more"],
             ("httpd-safe", "instructions"): over(instructions)["more"] + over(instructions)["safe"]}
    assert len(ceilings.breaches(found)) == 2, found


def test_every_line_of_httpd_is_measured(calls, instructions, ceilings):
    places = {*serving.BARE, *serving.OURS, *serving.TELLING}
    assert set(calls) == set(instructions) == places
    assert ceilings.names("httpd-") == {f"httpd-{name}" for name in places - set(serving.BARE)}
