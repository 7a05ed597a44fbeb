"""What the gate and all below it cost a request: instructions, allocations, locks, bytes of its pool."""

import pytest

import costs


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return costs.make_tokens(tmp_path_factory.mktemp("tokens"))


def test_no_request_costs_the_gate_more_than_it_may(tokens, tmp_path, ceilings, show):
    found = costs.measure_gate(tmp_path, tokens)
    show(found)
    assert not (wrong := ceilings.breaches(found)), "\n".join(wrong)
    assert {row for row, _ in found} == ceilings.names() - ceilings.names("httpd-"), "a line that nothing is measured for"


def test_no_ceiling_lets_a_recent_token_allocate_or_take_a_lock(ceilings):
    hits, none = ceilings.names("hit"), ("allocations", "locks")
    assert len(hits) >= 7
    assert {ceilings.rows[row, quantity][1] for row in hits for quantity in none} == {0}


@pytest.mark.parametrize("waste, quantity", [("memory", "allocations"), ("lock", "locks"), ("pool", "pool"),
                                             ("time", "instructions")])
def test_what_is_wasted_with_each_request_goes_beyond_a_ceiling(tokens, tmp_path, ceilings, waste, quantity):
    breaches = ceilings.breaches(costs.measure_gate(tmp_path, tokens, [waste]))
    for row in ceilings.names("hit"):
        assert any(line.startswith(f"{row}: {quantity} is ") for line in breaches), (row, breaches)


def test_a_number_without_a_line_is_a_breach(ceilings):
    assert ceilings.breaches({("hit", "pages"): 0}) and not ceilings.breaches({("hit", "locks"): 0})
