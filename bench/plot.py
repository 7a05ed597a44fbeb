"""The plot of what a check costs, as SVG: a dot for the median and a line from least to most, on a logarithmic scale."""

import math
from xml.sax.saxutils import escape

from figures import LOADS, Figures

LOW, HIGH = 0.1, 1000.0  # microseconds; what is less stands at the edge
LEFT, RIGHT, WIDTH, ROW, GAP, TOP = 250, 130, 960, 22, 14, 96
SHOWN = {"ours": ("mod_tokrevoke", "#0b6e4f"), "ours-live": ("… with live revocations", "#48a67f"),
         "mod_auth_openidc": ("mod_auth_openidc", "#b5651d"), "mod_oauth2": ("mod_oauth2", "#8e2f5c"),
         "haproxy": ("HAProxy, over bare HAProxy", "#3a5fa0")}


def x_of(us):
    share = math.log10(min(max(us, LOW), HIGH) / LOW) / math.log10(HIGH / LOW)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def text(x, y, words, size=13, anchor="start", fill="#222", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}" '
            f'font-weight="{weight}">{escape(words)}</text>')


def line(x1, y1, x2, y2, stroke, width=1.0):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" stroke-width="{width}"/>'


def dot(y, spread, name, color):
    middle = y + ROW / 2
    out = [text(LEFT - 12, middle + 4, name, anchor="end"),
           line(x_of(spread.least), middle, x_of(spread.most), middle, color, 3),
           f'<circle cx="{x_of(spread.median):.1f}" cy="{middle:.1f}" r="5.5" fill="{color}"/>',
           text(x_of(spread.most) + 12, middle + 4, f"{spread.median:+.1f} µs", fill=color, weight="bold")]
    return "".join(out)


def groups(f):
    """(title, [(name, color, spread)]) of every load in every configuration."""
    for config, named in (("default", "default configuration"), ("tuned", "tuned configuration"), ("haproxy", "HAProxy")):
        for load, what in LOADS.items():
            rows = [(*SHOWN[v], f.over(config, load, v)) for v in SHOWN if f.has(config, load, v)]
            if rows:
                yield f"{what}, RS256, {named}", rows


def svg(result, caption):
    f = Figures(result)
    body, y = [], TOP
    for title, rows in groups(f):
        body.append(text(20, y + 15, title, size=14, weight="bold"))
        y += ROW
        for name, color, spread in rows:
            body.append(dot(y, spread, name, color))
            y += ROW
        y += GAP
    grid = []
    for power in range(int(math.log10(LOW)), int(math.log10(HIGH)) + 1):
        x = x_of(10.0 ** power)
        grid.append(line(x, TOP - 8, x, y, "#ddd"))
        grid.append(text(x, TOP - 14, f"{10.0 ** power:g} µs", size=12, anchor="middle", fill="#555"))
    head = [text(20, 30, "CPU a checked request costs over the same server without a check", size=19, weight="bold"),
            text(20, 52, "dot: median of the rounds; line: least to most; logarithmic; left edge: 0.1 µs or less", fill="#555")]
    foot = [text(20, y + 12 + 17 * i, words, size=12, fill="#555") for i, words in enumerate(caption)]
    height = y + 24 + 17 * len(caption)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'font-family="system-ui, sans-serif"><rect width="100%" height="100%" fill="#fff"/>'
            + "\n".join(grid + head + body + foot) + "</svg>\n")
