"""The measurements of bench/: what is thrown away, what a figure is made of, which may reach the pages. Nothing is measured."""

import json
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import SimpleNamespace

import pytest

from httpd import REPO

sys.path.append(str(REPO / "bench"))
import figures  # noqa: E402
import loads  # noqa: E402
import plot  # noqa: E402


def program(name):
    """One of the programs of bench/, as a module."""
    loader = SourceFileLoader(f"bench_{name}", str(REPO / "bench" / name))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module", autouse=True)
def nothing_compiled_is_left():
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    yield
    sys.dont_write_bytecode = before


OVER = {"bare": 0, "ours": 1.0, "ours-live": 1.1, "ours-revoked": 0.5, "mod_auth_openidc": 33, "mod_oauth2": 47}


def measured(over, drift=0.0):
    return {"rate": 2e6 / (50 + over + drift), "cpu_us": 36 + over + drift, "requests": 1, "others": 0, "p50_ms": 1, "p99_ms": 2}


def result(over=(), drifts=(0, 5, 1, 9, 3), **settings):
    """A whole measurement on a machine that is slower in some rounds; over: what is otherwise than OVER."""
    rows = []
    for config in ("default", "tuned"):
        for load in figures.LOADS:
            rows += [{"config": config, "alg": "RS256", "load": load, "variant": v, "rounds": [measured(us, d) for d in drifts]}
                     for v, us in {**OVER, **dict(over)}.items() if v != "ours-revoked" or load == "one"]
    rows += [{"config": "haproxy", "alg": "RS256", "load": "one", "variant": v, "rounds": [measured(us) for _ in drifts]}
             for v, us in (("bare", 0), ("haproxy", 28))]
    return {"requests": rows, "measurements": 5, "thrown_away": 0, "when": "now",
            "settings": {"rounds": 5, "seconds": 4, "tolerated": 0.06, "quick": False, "live_revocations": 1000000, **settings},
            "machine": {"cpu": "A <b> & C", "cores": 2, "memory_gib": 4, "kernel": "6", "virtual": True, "system": "S"},
            "versions": {"mod_tokrevoke": "1", "httpd": "2.4", "mpm": "event", "OpenSSL": "3", "jansson": "2", "SQLite": "3",
                         "wrk": "4", "mod_auth_openidc": "2.4", "mod_oauth2": "3.3", "liboauth2": "1.4", "HAProxy": "2.6"},
            "revoking": {"syncs": [6000.0], "clients": {c: {"none": [20000.0], "sqlite3": [14000.0]} for c in ("1", "8", "64")}},
            "start": {"revocations": 1000000, "none": [0.1], "live": [1.4], "load": [1.2], "database_bytes": 111000000},
            "memory": {"revocations": 1000000, "bytes_per_revocation": 38.4, "shared_bytes": 38400000, "verified_tokens": 65536,
                       "bytes_per_verified_token": 40.0},
            "rooms": {"rows": [{"room": "table", "what": "10,000,000 entries, a look-up that finds nothing", "median_ns": 215.0,
                                "min_ns": 210.0, "max_ns": 220.0}]}}


def goal(found, start):
    (one,) = [g for g in found if g.work.startswith(start)]
    return one


def test_a_difference_is_of_two_measurements_of_one_round():
    spread = figures.Figures(result()).over("default", "one", "ours")
    assert [round(x, 6) for x in (spread.least, spread.median, spread.most)] == [1, 1, 1], "the machine's drift is in it"


def test_goals_that_were_reached_are_called_so():
    assert all(g.is_met for g in figures.goals(result()))


@pytest.mark.parametrize("over, which", [({"ours": 1.51, "ours-live": 1.51}, "a good token seen before, default"),
                                         ({"ours-live": 1.4}, "1,000,000 live revocations instead of none, 1 token, tuned"),
                                         ({"ours-live": 0.6}, "1,000,000 live revocations instead of none, 1 token, tuned"),
                                         ({"ours-revoked": 1.1}, "a revoked token refused, against a good one served, default"),
                                         ({"mod_oauth2": 0.9}, "mod_oauth2, same run")])
def test_a_goal_missed_by_a_hair_is_missed(over, which):
    assert goal(figures.goals(result(over)), which).is_met is False


def test_others_have_to_be_behind_with_every_algorithm():
    whole = result()
    whole["requests"] += [{"config": "default", "alg": "ES256", "load": "one", "variant": v, "rounds": [measured(us)]}
                          for v, us in (("bare", 0), ("ours", 5), ("mod_oauth2", 4))]
    assert goal(figures.goals(whole), "mod_oauth2, same run").is_met is False
    assert goal(figures.goals(whole), "mod_auth_openidc, same run").is_met


def test_what_costs_us_nothing_makes_nobody_endlessly_slow():
    assert figures.Figures(result({"ours": -0.2})).factor("default", "one", "mod_auth_openidc") == pytest.approx(66)


@pytest.mark.parametrize("change", [{"quick": True}, {"rounds": 4}, {"seconds": 3}, {"tolerated": 0.5}])
def test_only_a_real_measurement_reaches_the_readme(change):
    report = program("report")
    assert report.is_measurement(result())
    assert not report.is_measurement(result(**change))


@pytest.mark.parametrize("part", ["revoking", "start", "memory", "rooms"])
def test_a_measurement_without_one_of_its_parts_is_none(part):
    whole = result()
    del whole[part]
    assert program("report").shortcomings(whole) == [f"{part} was not measured"]


def test_a_row_of_which_every_round_was_thrown_away_is_no_measurement_and_no_error():
    report, whole = program("report"), result()
    next(r for r in whole["requests"] if r["variant"] == "ours")["rounds"] = []
    assert not report.is_measurement(whole)
    assert "no measurement" in report.BLOCKS["machine"](whole) and "| – |" in report.BLOCKS["requests"](whole)
    assert report.BLOCKS["goals"](whole) and report.BLOCKS["peers"](whole)


def test_the_readme_says_the_figures():
    text = program("report").BLOCKS["readme"](result())
    assert "**+1.0 (+1.0 to +1.0) µs**" in text and "14,000" in text and "38 MB of shared memory and 111 MB on disk" in text


def test_only_marked_blocks_are_written_anew():
    page = "before\n<!-- measured: start -->\nold\n<!-- end -->\nafter\n"
    text = program("report").filled(page, result())
    assert text.startswith("before\n<!-- measured: start -->\nWith 1,000,000") and text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text


def test_the_plot_is_well_formed_whatever_the_machine_is_called():
    from xml.dom import minidom
    picture = minidom.parseString(plot.svg(result(), ["A <b> & C"])).toxml()
    assert "mod_auth_openidc" in picture and "A &lt;b&gt; &amp; C" in picture


def test_the_pages_say_what_was_measured():
    done = subprocess.run([sys.executable, str(REPO / "bench" / "report"), "--check"], capture_output=True, text=True,
                          check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stderr
    assert json.loads((REPO / "docs" / "performance.json").read_text())["requests"]


# ---- what is thrown away ----


def bench(tolerate=0.06):
    run = program("run")
    it = object.__new__(run.Bench)
    it.args = SimpleNamespace(tolerate=tolerate, rounds=2, seconds=1)
    it.result = {"requests": [], "measurements": 0, "thrown_away": 0}
    return it


def attempts(*outcomes):
    left = list(outcomes)

    def attempt():
        outcome = left.pop(0)
        if outcome is None:
            raise loads.Disturbed
        return {"others": outcome, "cpu_us": 1.0}
    return attempt


def test_a_measurement_beside_other_work_is_made_again_and_counted():
    it = bench()
    assert it.try_quietly(attempts(0.07, None, 0.05))["others"] == 0.05
    assert (it.result["measurements"], it.result["thrown_away"]) == (3, 2)


def test_a_machine_that_never_is_quiet_gives_no_figure():
    it = bench()
    assert it.try_quietly(attempts(0.07, 0.5, None, 0.07, 0.01)) is None
    assert it.result["thrown_away"] == 4


def test_a_round_without_one_of_its_variants_counts_for_none(monkeypatch):
    it = bench()
    outcomes = {"bare": [0.01, 0.01], "ours": [0.01, None]}
    monkeypatch.setattr(type(it), "start", lambda self, makers, with_many: {n: SimpleNamespace(remove=lambda: 0) for n in makers})
    monkeypatch.setattr(type(it), "known", lambda self, server, load: {"cpu_us": 1.0} if outcomes[load].pop(0) else None)
    it.rounds("default", "RS256", {"bare": 0, "ours": 0}, [("one", {n: (n, n) for n in ("bare", "ours")})])
    assert [len(row["rounds"]) for row in it.result["requests"]] == [1, 1]
