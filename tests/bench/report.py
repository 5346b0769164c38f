# SPDX-License-Identifier: MIT
"""What was measured, for people: tables of text or Markdown, and a plot."""
import html

BASE = "core"  # what ratios refer to, if it was measured


def rate(value):
    return f"{value:,.0f}"


def time_us(value):
    return f"{value:.0f} µs" if value < 1000 else f"{value / 1000:.1f} ms"


def mib(value):
    return f"{value / 2**20:.1f}"


def kib(value):
    return f"{value / 2**10:.1f}"


def cells(figures, columns):
    return [form(figures[key]) if key in figures else "-" for key, _, form in columns]


LOAD_COLUMNS = [
    ("rate", "per second", rate), ("p50", "p50", time_us), ("p99", "p99", time_us),
    ("cpu_us", "CPU µs each", lambda v: f"{v:.2f}"), ("memory", "MiB", mib), ("spread", "±", lambda v: f"{v:.0%}"),
    ("failed", "failed", rate),
]
LATENCY_COLUMNS = [
    ("rate", "calls/s", rate), ("p50", "p50", time_us), ("p99", "p99", time_us), ("p99.9", "p99.9", time_us),
    ("failed", "failed", rate),
]
IDLE_COLUMNS = [
    ("ready_ms", "ready, ms", rate), ("answers_ms", "first answer, ms", rate), ("reload_ms", "reload, ms", rate),
    ("main", "main, MiB", mib), ("worker", "a worker, MiB", mib), ("memory", "all, MiB", mib),
    ("connection", "KiB a connection", kib), ("stream", "KiB a stalled stream", kib),
]
TOKEN_COLUMNS = [
    ("rate", "tokens/s", rate), ("p50", "p50", time_us), ("p99", "p99", time_us), ("p99.9", "p99.9", time_us),
    ("cpu_us", "CPU µs a token", lambda v: f"{v:.2f}"), ("stream", "KiB a stream", kib), ("failed", "failed", rate),
]
PROXY_COLUMNS = [
    ("rate", "per second", rate), ("added", "added to p50", time_us), ("p50", "p50", time_us), ("p99", "p99", time_us),
    ("cpu_us", "CPU µs each", lambda v: f"{v:.2f}"), ("memory", "MiB", mib), ("spread", "±", lambda v: f"{v:.0%}"),
    ("failed", "failed", rate),
]
TITLES = {
    "load": "Throughput",
    "latency": "Latency at a fixed rate, in shares of what each server can do",
    "scale": "CPU µs a call, with so many connections that call and beside so many open streams",
    "idle": "Starting, reloading and memory",
    "tokens": "Token streams through the brick openai: what is added to each token",
    "proxies": "Calls passed on to one backend, which is core",
}


def rows_of(columns, stage, ratio=False):
    head = ["", "server"] + ["× " + BASE] * ratio + [title for _, title, _ in columns]
    rows = []
    for what, peers in stage.items():
        base = peers.get(BASE, {}).get("rate")
        for i, (peer, figures) in enumerate(peers.items()):
            own = [f"{figures['rate'] / base:.2f}" if base else "-"] if ratio else []
            rows.append(["" if i else what, peer] + own + cells(figures, columns))
    return head, rows


def rows_of_scale(stage):
    peers = list(dict.fromkeys(peer for row in stage.values() for peer in row))
    rows = [[what] + [f"{row[peer]['cpu_us']:.2f}" if peer in row else "-" for peer in peers]
            for what, row in stage.items()]
    return [""] + peers, rows


def tables(result):
    """(title, head, rows) of each stage that was measured."""
    forms = {
        "load": lambda stage: rows_of(LOAD_COLUMNS, stage, ratio=True),
        "latency": lambda stage: rows_of(LATENCY_COLUMNS, stage),
        "scale": rows_of_scale,
        "idle": lambda stage: rows_of(IDLE_COLUMNS, stage),
        "proxies": lambda stage: rows_of(PROXY_COLUMNS, stage),
        "tokens": lambda stage: rows_of(TOKEN_COLUMNS, stage),
    }
    return [(TITLES[name], *form(result[name])) for name, form in forms.items() if result.get(name)]


def machine(result):
    m = result["machine"]
    return (f"{m['cpus']} × {m['cpu']}, {m['memory_gib']} GiB, Linux {m['kernel']}, {m['system']}; "
            f"medians of {result['rounds']} interleaved rounds of {result['seconds']:g} s")


def as_text(result):
    out = [machine(result)]
    for title, head, rows in tables(result):
        widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]
        out.append("\n" + title)
        for row in [head] + rows:
            out.append("  ".join(c.ljust(w) if row[i] and i < 2 else c.rjust(w)
                                 for i, (c, w) in enumerate(zip(row, widths))).rstrip())
    return "\n".join(out) + "\n"


def as_markdown(result):
    out = ["Measured on " + machine(result) + "."]
    for title, head, rows in tables(result):
        names = 1 if head[1:2] != ["server"] else 2
        out.append(f"\n{title}:\n\n| " + " | ".join(head) + " |")
        out.append("|" + "---|" * names + "--:|" * (len(head) - names))
        out += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(out) + "\n"


def as_summary(result):
    """Markdown: the rate of each server in each load that others have, too."""
    loads = {what: peers for what, peers in result.get("load", {}).items() if len(peers) > 1}
    names = list(dict.fromkeys(peer for peers in loads.values() for peer in peers))
    out = ["| per second | " + " | ".join(loads) + " |", "|---|" + "--:|" * len(loads)]
    for name in names:
        rates = [rate(peers[name]["rate"]) if name in peers else "" for peers in loads.values()]
        out.append(f"| {name} | " + " | ".join(rates) + " |")
    return "\n".join(out) + "\n\n" + machine(result) + ".\n"


COLOURS = ["#1b6ca8", "#f28e2b", "#9aa5b1", "#59a14f", "#b07aa1", "#e15759", "#76b7b2", "#edc948", "#9c755f",
           "#ff9da7"]
BAR, GAP, LEFT, WIDTH = 14, 16, 190, 860


def svg(result):
    """Bars: the rate of each server in each load that more than one has, the longest of a load as long as the plot."""
    loads = {what: peers for what, peers in result.get("load", {}).items() if len(peers) > 1}
    names = list(dict.fromkeys(peer for peers in loads.values() for peer in peers))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    out, y = [], 30
    for what, peers in loads.items():
        longest = max(figures["rate"] for figures in peers.values()) or 1
        out.append(f'<text x="{LEFT - 10}" y="{y + len(peers) * BAR / 2 + 4:.0f}" text-anchor="end">'
                   f"{html.escape(what)}</text>")
        for peer, figures in peers.items():
            length = figures["rate"] / longest * (WIDTH - LEFT - 190)
            out.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{colour[peer]}"/>')
            out.append(f'<text x="{LEFT + length + 6:.1f}" y="{y + BAR - 4}" fill="#444">{html.escape(peer)} '
                       f'{figures["rate"]:,.0f}</text>')
            y += BAR
        y += GAP
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 10}" font-family="sans-serif" '
            'font-size="11">\n<rect width="100%" height="100%" fill="white"/>\n'
            f'<text x="{LEFT}" y="18" font-weight="bold">Calls, or messages of streams, per second</text>\n')
    return head + "\n".join(out) + "\n</svg>\n"
