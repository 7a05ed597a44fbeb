"""What the rounds say together: medians with least and most, beside the server without a check in the same round; the goals."""

import statistics
from dataclasses import dataclass

VARIANTS = {"ours": "mod_tokrevoke", "ours-live": "mod_tokrevoke, live revocations", "ours-no-cache": "mod_tokrevoke, cache off",
            "ours-revoked": "mod_tokrevoke, token revoked", "mod_auth_openidc": "mod_auth_openidc", "mod_oauth2": "mod_oauth2",
            "haproxy": "HAProxy jwt_verify + deny map", "bare": "no check"}
LOADS = {"one": "1 token", "thousand": "1,000 tokens", "many": "50,000 tokens", "new": "never seen"}
CONFIGS = {"default": "default", "tuned": "tuned", "haproxy": "HAProxy"}
PEERS = ("mod_auth_openidc", "mod_oauth2")
LEAST_OVER_US = 0.5  # what is nearer to nothing than this counts as this much when others are compared with it
MIB = 2 ** 20


@dataclass
class Spread:
    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values):
        values = list(values)
        return cls(statistics.median(values), min(values), max(values)) if values else None

    def text(self, digits=1, sign=False):
        plus = "+" if sign else ""
        return f"{self.median:{plus},.{digits}f} ({self.least:{plus},.{digits}f} to {self.most:{plus},.{digits}f})"


class Figures:
    def __init__(self, result):
        self.result = result
        self.rows = {(r["config"], r["alg"], r["load"], r["variant"]): r["rounds"] for r in result["requests"]}

    def has(self, config, load, variant, alg="RS256"):
        return bool(self.rows.get((config, alg, load, variant)))

    def spread(self, key, config, load, variant, alg="RS256"):
        return Spread.of(m[key] for m in self.rows.get((config, alg, load, variant), []))

    def pairs(self, config, load, variant, alg, other, other_load=None):
        """The rounds of a variant beside the same rounds of another."""
        return zip(self.rows.get((config, alg, load, variant), []), self.rows.get((config, alg, other_load or load, other), []))

    def over(self, config, load, variant, alg="RS256", other="bare"):
        """Microseconds of CPU more than the other's."""
        return Spread.of(m["cpu_us"] - o["cpu_us"] for m, o in self.pairs(config, load, variant, alg, other))

    def ratio(self, config, load, variant, alg="RS256", other="bare"):
        """Requests per second against the other's."""
        return Spread.of(m["rate"] / o["rate"] for m, o in self.pairs(config, load, variant, alg, other))

    def factor(self, config, load, peer, alg="RS256"):
        """How many times as much CPU over the bare server the peer takes; None if something was not measured."""
        mine, theirs = self.over(config, load, "ours", alg), self.over(config, load, peer, alg)
        return theirs.median / max(mine.median, LEAST_OVER_US) if mine and theirs else None

    def compared(self, peer):
        """(config, alg, load) of every row that was measured of us and of the peer."""
        rows = [(c, a, load) for c, a, load, v in self.rows if v == "ours"]
        return [(c, a, load) for c, a, load in rows if self.factor(c, load, peer, a) is not None]

    def factors(self, peer):
        return [self.factor(c, load, peer, a) for c, a, load in self.compared(peer)]

    def variants(self, config, alg="RS256"):
        found = {v for c, a, _, v in self.rows if (c, a) == (config, alg)}
        return [v for v in VARIANTS if v in found and v != "bare"]

    def loads(self, config, alg="RS256"):
        found = {load for c, a, load, _ in self.rows if (c, a) == (config, alg)}
        return [load for load in LOADS if load in found]


@dataclass
class Goal:
    work: str
    wanted: str
    reached: str
    is_met: bool | None  # None: not measured


def verdict(*checks):
    known = [c for c in checks if c is not None]
    return all(known) if known else None


def at_most(spread, limit):
    return None if spread is None else round(spread.median, 3) <= limit


def at_least(spread, limit):
    return None if spread is None else round(spread.median, 3) >= limit


def cost_goal(f, config, load, work, over_us, least_ratio):
    over, ratio = f.over(config, load, "ours"), f.ratio(config, load, "ours")
    if over is None:
        return Goal(f"{work}, {config} configuration", "", "", None)
    wanted = f"at most +{over_us:g} µs" + (f", at least {least_ratio}" if least_ratio else "")
    return Goal(f"{work}, {config} configuration", wanted, f"{over.text(2, sign=True)} µs; {ratio.text(2)}",
                verdict(at_most(over, over_us), at_least(ratio, least_ratio) if least_ratio else None))


def live_goals(f):
    for config in ("default", "tuned"):
        for load, name in LOADS.items():
            apart = f.over(config, load, "ours-live", other="ours")
            if apart:
                yield Goal(f"{f.result['settings']['live_revocations']:,} live revocations instead of none, {name}, {config}",
                           "no more than 0.3 µs apart", f"{apart.text(2, sign=True)} µs", abs(round(apart.median, 3)) <= 0.3)


def revoked_goals(f):
    for config in ("default", "tuned"):
        apart = f.over(config, "one", "ours-revoked", other="ours")
        ratio = f.ratio(config, "one", "ours-revoked", other="ours")
        if apart:
            yield Goal(f"a revoked token refused, against a good one served, {config}", "no slower",
                       f"{apart.text(2, sign=True)} µs; {ratio.text(2)} of the requests/s", at_most(apart, 0))


def peer_goals(f):
    for peer in PEERS:
        if factors := f.factors(peer):
            ahead = all(f.over(c, load, peer, a).median > f.over(c, load, "ours", a).median for c, a, load in f.compared(peer))
            reached = f"{min(factors):.1f} to {max(factors):.0f} times our CPU over bare, on {len(factors)} row{'s' if len(factors) > 1 else ''}"
            yield Goal(f"{peer}, same run", "behind on every row", reached, ahead)


def storing(result, clients):
    """Revocations per second without a store, with one, and the ratio of both in the same round."""
    of = result["revoking"]["clients"][clients]
    return Spread.of(of["none"]), Spread.of(of["sqlite3"]), Spread.of(s / n for s, n in zip(of["sqlite3"], of["none"]))


def storing_goals(result):
    if of := result.get("revoking"):
        syncs = Spread.of(of["syncs"])
        _, rate, ratio = storing(result, "64")
        wanted = "at least 0.6 of the endpoint with no store" + ("; 10,000/s" if syncs.median >= 5000 else "")
        yield Goal("revoking, durable, 64 clients", wanted,
                   f"{ratio.text(2)}; {rate.text(0)} a second; {syncs.median:,.0f} syncs/s here",
                   verdict(at_least(ratio, 0.6), at_least(rate, 10000) if syncs.median >= 5000 else None))
    if of := result.get("start"):
        took, load = Spread.of(of["live"]), Spread.of(of["load"])
        yield Goal(f"start with {of['revocations']:,} live revocations, until the first answer", "at most 1.5 s",
                   f"{took.text(2)} s, of which loading {load.text(2)} s; with none {Spread.of(of['none']).text(2)} s",
                   at_most(took, 1.5))
    if of := result.get("memory"):
        yield Goal("memory per revocation of capacity", "at most 40 bytes", f"{of['bytes_per_revocation']:.1f} bytes",
                   of["bytes_per_revocation"] <= 40)


def nanoseconds(row):
    def said(ns):
        return f"{ns / 1000:.1f} µs" if ns >= 10000 else f"{ns:.0f} ns" if ns >= 100 else f"{ns:.1f} ns"
    return f"{said(row['median_ns'])} ({said(row['min_ns'])} to {said(row['max_ns'])})"


def room_goals(result):
    """Of what bench/rooms measured, where that was added."""
    for row in result.get("rooms", {}).get("rows", []):
        if (row["room"], row["what"]) == ("table", "10,000,000 entries, a look-up that finds nothing"):
            yield Goal("a look-up in the table of revocations, 10,000,000 entries, nothing found", "at most 300 ns",
                       nanoseconds(row), row["median_ns"] <= 300)


def goals(result):
    f = Figures(result)
    out = []
    for load, work, over_us, ratio in (("one", "a good token seen before", 1.5, 0.95),
                                       ("thousand", "1,000 good tokens seen before, at random", 1.5, 0.95),
                                       ("many", "50,000 tokens at random, filled", 5, 0.88),
                                       ("new", "RS256, a token never seen before", 20, None)):
        out += [cost_goal(f, config, load, work, over_us, ratio) for config in ("default", "tuned")]
    out += [*live_goals(f), *revoked_goals(f), *room_goals(result), *storing_goals(result), *peer_goals(f)]
    return [g for g in out if g.wanted]


# ---- tables ----


def cells(f, config, alg="RS256"):
    """Rows of the table of one configuration: the variant, then for each load the ratio and the CPU over bare."""
    loads = f.loads(config, alg)
    bare = [f.spread("cpu_us", config, load, "bare", alg) for load in loads]
    yield ["no check", *(f"1; {b.text()} µs" if b else "–" for b in bare)]
    for variant in f.variants(config, alg):
        row = [VARIANTS[variant]]
        for load in loads:
            ratio, over = f.ratio(config, load, variant, alg), f.over(config, load, variant, alg)
            row.append(f"{ratio.median:.2f}; {over.text(sign=True)}" if ratio else "–")
        yield row


def aligned(rows):
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows)


def tables(f):
    """(title, header, rows) of every table of requests."""
    for config, alg in (("default", "RS256"), ("tuned", "RS256"), ("default", "HS256"), ("default", "ES256"),
                        ("haproxy", "RS256")):
        if loads := f.loads(config, alg):
            yield f"{alg}, {CONFIGS[config]}", ["", *(LOADS[load] for load in loads)], list(cells(f, config, alg))


def terminal(result):
    f, parts = Figures(result), []
    for title, header, rows in tables(f):
        parts.append(f"{title}: requests/s against no check; microseconds of CPU a request over it, median (least to most)\n"
                     + aligned([header, *rows]))
    marks = {True: "reached", False: "MISSED", None: "?"}
    found = goals(result)
    if found:
        parts.append("goals\n" + aligned([[marks[g.is_met], g.work, g.wanted, g.reached] for g in found]))
    parts.append(f"{result['measurements']} measurements, {result['thrown_away']} thrown away because something else took over "
                 f"{100 * result['settings']['tolerated']:.0f} % of the machine")
    return "\n\n".join(parts) + "\n"
