"""The harness itself: it must notice what it is there to notice."""

import pytest

from httpd import ALIAS, LEVEL, ALARM, Conn


@pytest.fixture
def bare(new_server):
    server = new_server()
    server.with_module = False
    return server.start(ALIAS + 'Alias /gone "{root}/nowhere"\n<Location /closed>\nRequire all denied\n</Location>\n')


def test_a_line_in_the_error_log_is_noticed_unless_announced(bare):
    assert bare.get("/closed").status == 403
    assert any("AH01630" in line for line in bare.unexpected())
    bare.expect_log("AH01630")
    assert bare.get("/closed").status == 403
    assert not bare.unexpected()


def test_a_sanitizer_report_is_noticed(bare):
    (bare.root / "san" / "asan.1").write_text("==1==ERROR: AddressSanitizer: heap-use-after-free\n")
    assert any("heap-use-after-free" in line for line in bare.unexpected())
    (bare.root / "san" / "asan.1").unlink()


@pytest.mark.parametrize("line, noticed", [
    ("[Sat Nov 21 03:42:39 2026] [tokrevoke:warn] [pid 1] TR099: x", True), ("[date] [core:error] x", True), ("[date] [:emerg] x", True),
    ("[date] [core:notice] [pid 1] AH00052: child pid 7 exit signal Segmentation fault (11)", True),
    ("src/x.c:7:3: runtime error: signed integer overflow", True), ("[date] [core:info] x", False), ("[date] [tokrevoke:debug] error", False)])
def test_the_lines_that_count_are_told_from_the_others(line, noticed):
    assert bool(LEVEL.search(line) or ALARM.search(line)) == noticed


def test_four_children_serve(bare):
    assert len(bare.pids()) >= 4


def by_a_test(server):
    return [server.connect() for _ in range(4)]


def by_somebody_else(server):
    return [Conn("127.0.0.1", server.port) for _ in range(4)]


def before_a_graceful_restart(server):
    held = by_a_test(server)
    for c in held:
        assert c.request("GET", "/ok.txt").status == 200
    server.graceful()
    return held


@pytest.mark.parametrize("held", [by_a_test, by_somebody_else, before_a_graceful_restart])
def test_no_connection_that_is_left_keeps_a_child_from_its_end(bare, held):
    """A child that was told to leave in peace waits for it, and httpd complains of that child when it kills it."""
    connections = held(bare)
    bare.stop()
    assert not bare.unexpected(), connections
