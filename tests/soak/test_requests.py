"""A day's requests in short: every answer is the right one, and in the end the server holds no more than it did before."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from day import CONNECTIONS, Day
from httpd import REPO
from memory import growth
from place import CAPACITY, RECENT_BYTES

REQUESTS = int(os.environ.get("TR_REQUESTS") or 300000)
JSON = Path(os.environ.get("TR_SOAK_JSON") or REPO / "build" / "soak" / "requests.json")
MIB = 1 << 20
MARGIN = MIB  # of a process's own memory, between the middle third and the last
MOST_ROWS = 60
HEAD = "  requests      a second   child's own MB     RSS   dirty   parent MB   threads   files   shared MB   in the table"


def row(phase):
    p = phase | {name: phase[name] / MIB for name in ("own", "rss", "private_dirty", "parent", "shared")}
    return (f"{p['requests']:>10,} {p['requests_each'] / p['seconds']:>12,.0f} {p['own']:>15.2f} {p['rss']:>7.2f}"
            f" {p['private_dirty']:>7.2f} {p['parent']:>10.2f} {p['threads']:>9} {p['descriptors']:>7} {p['shared']:>11.2f}"
            f" {p['used']:>14,}{'   restarted' if p['restart'] else ''}")


@pytest.fixture(scope="module")
def day(request):
    assert shutil.which("wrk"), "wrk puts on the load: make deps"
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(text):
        with capture.global_and_fixture_disabled():
            print(text, flush=True)

    def tell(phase):
        n = len(whole.phases)
        if n % max(1, whole.count // MOST_ROWS) == 0 or phase["restart"]:
            say(row(phase))

    with tempfile.TemporaryDirectory(prefix="tokrevoke-soak-") as folder:
        whole = Day(REQUESTS, Path(folder), tell)
        say("\n" + HEAD)
        try:
            whole.run()
        finally:
            whole.end()
    JSON.parent.mkdir(parents=True, exist_ok=True)
    JSON.write_text(json.dumps(whole.result(), indent=1) + "\n")
    say(f"{whole.wallet.serial:,} tokens, {whole.revoked:,} revoked, {sum(whole.verdicts.values()):,} answers:")
    say(", ".join(f"{n:,} {verdict}" for verdict, n in whole.verdicts.most_common()))
    for of_child in whole.stayed():
        say("a child found {:,} tokens among those just seen, kept {:,}; {:,} are there, {:,} bytes".format(*of_child))
    return whole


def test_every_answer_was_the_right_one(day):
    assert not day.wrong, "\n".join(day.wrong[:20])
    assert sum(day.verdicts.values()) >= REQUESTS - 2 * CONNECTIONS * day.count


def test_a_day_brings_every_kind_of_answer(day):
    reasons = ("revoked", "expired", "bad_signature", "unknown_key", "malformed", "no_token")
    least = {"200,-": 0.6, "403,insufficient_scope": 0.05} | {f"401,{reason}": 0.002 for reason in reasons}
    total = sum(day.verdicts.values())
    assert {verdict for verdict in least if day.verdicts[verdict] >= least[verdict] * total} == set(day.verdicts), day.verdicts


def test_nothing_stands_in_the_error_log_that_nobody_announced(day):
    assert not day.unexpected, "\n".join(day.unexpected[:20])


def test_no_child_ends_by_itself(day):
    assert len({tuple(phase["children"]) for phase in day.settled()}) == 1


def test_a_child_holds_no_more_memory_in_the_end_than_before(day):
    assert growth(day.column("own")) <= MARGIN, day.column("own")


def test_no_descriptor_no_thread_and_no_shared_memory_is_added(day):
    for name in ("descriptors", "parent_descriptors", "threads", "mapped"):
        assert growth(day.column(name)) <= 0, (name, day.column(name))


def test_the_parent_holds_no_more_after_many_restarts_than_after_some(day):
    assert max(day.evening) <= max(day.column("parent")) + MARGIN, (day.evening, day.column("parent"))


def test_what_children_remember_is_replaced_and_bounded(day):
    stayed = day.stayed()
    assert len(stayed) == 2, day.site.remembered
    for found, kept, there, size in stayed:
        assert found > kept > there > 0 and size <= RECENT_BYTES // day.site.most_children, stayed


def test_every_revocation_was_written_once_and_has_room(day):
    assert day.phases[-1]["inserted"] == day.revoked
    assert max(day.column("used")) < CAPACITY


def test_bytes_that_each_request_leaves_behind_are_growth():
    assert growth([12 * MIB + 32 * n * 25000 // 2 for n in range(12)]) > MARGIN, "the short day"
    assert growth([12 * MIB + 1 * n * 200000 // 2 for n in range(51)]) > MARGIN, "the long one"


def test_what_is_taken_in_the_first_third_is_no_growth():
    assert growth([1, 5, 9, 9, 8, 9, 9, 9, 8]) == 0
