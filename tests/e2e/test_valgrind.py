"""Under valgrind, which sees what no sanitizer of ours is compiled into: starts, graceful restarts, work, stops."""

import signal
import xml.etree.ElementTree as xml

import pytest

from httpd import H2, SAN, Httpd
from issuers import configure

pytestmark = pytest.mark.skipif(bool(SAN) or H2, reason="once, and not on top of a sanitizer")


class Watched(Httpd):
    def command(self, *args, name="httpd.conf"):
        found = self.root / "san" / "%p.xml"
        return ["valgrind", "--vgdb=no", "--leak-check=full", "--show-leak-kinds=definite", "--keep-debuginfo=yes", "--fair-sched=yes",
                "--xml=yes", f"--xml-file={found}", *super().command(*args, name=name)]

    def wait_until_up(self, timeout=120):
        return super().wait_until_up(timeout)

    def reports(self):
        return [(path.name, xml.parse(path).getroot()) for path in sorted((self.root / "san").glob("*.xml"))]

    def clear(self):
        for path in (self.root / "san").iterdir():
            path.unlink()


def frames(error):
    return [(frame.findtext("fn") or "?", frame.findtext("obj") or "?") for frame in error.iter("frame")]


def faults(reports):
    """Wrong use of memory by anybody, and what was lost by us; httpd keeps some of its own for ever."""
    for name, report in reports:
        for error in report.iter("error"):
            where = frames(error)
            if not error.findtext("kind").startswith("Leak_") or any("tokrevoke" in obj for _, obj in where):
                yield f"{name}: {error.findtext('kind')}: " + " < ".join(fn for fn, _ in where[:12])


@pytest.fixture
def watched(keys):
    server = Watched(children=1)
    server.threads = 4
    configure(server, keys)
    yield server
    if server.process.poll() is None:
        server.stop()
    server.clear()
    server.remove()


def test_valgrind_finds_nothing_in_starts_restarts_work_and_stops(watched, mint):
    """Each process writes its report when it ends: the parent of each stop, and the children of each generation."""
    for _ in range(2):
        good, gone = mint(), mint("RS256")
        assert watched.bearer("/p/app/ok.txt", good).status == 200
        assert watched.revoke(gone).status == 200
        watched.graceful()
        assert watched.bearer("/p/app/ok.txt", good).status == 200
        assert watched.bearer("/p/app/ok.txt", gone).reason == "revoked"
        assert watched.bearer("/p/app/ok.txt", mint(exp=1000)).reason == "expired"
    watched.process.send_signal(signal.SIGTERM)
    watched.process.wait(120)
    reports = watched.reports()
    assert len(reports) >= 1 + 3, "the parent, and the children of three generations"
    assert all(report.findtext("status/state") for _, report in reports)
    left = list(faults(reports))
    watched.clear()
    assert not left, "\n".join(left)
    assert not watched.unexpected()


def test_what_valgrind_reports_is_not_passed_over():
    frame = "<frame><obj>/x/{}.so</obj><fn>f</fn></frame>"
    error = "<error><kind>{}</kind><stack>" + frame + "</stack></error>"
    report = xml.fromstring("<valgrindoutput>" + error.format("InvalidRead", "libapr") + error.format("Leak_DefinitelyLost", "libapr")
                            + error.format("Leak_DefinitelyLost", "mod_tokrevoke") + "</valgrindoutput>")
    assert list(faults([("1", report)])) == ["1: InvalidRead: f", "1: Leak_DefinitelyLost: f"]
