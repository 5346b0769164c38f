#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes tables of what run.py has measured, of all runs in a folder together: FOLDER/README.md, FOLDER/rates.svg and the section
"Speed" of brickd's README.

Usage: report.py [--check] [FOLDER]

--check writes nothing and says whether they are up to date."""
import glob
import html
import json
import os
import re
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
README = os.path.join(os.path.dirname(os.path.dirname(HERE)), "README.md")
US = "brickd"
# what is beside what; the others are beside brickd
BESIDE = {"core-2": "brickd-2-workers"}


def rate(value):
    return f"{value:,.0f}"


def time_us(value):
    return f"{value:.0f} µs" if value < 1000 else f"{value / 1000:.1f} ms"


def mib(value):
    return f"{value / 2**20:.1f}"


def kib(value):
    return f"{value / 2**10:.1f}"


def ratio(value):
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def with_range(values):
    return f"{ratio(statistics.median(values))} ({ratio(min(values))}–{ratio(max(values))})"


def small(value):
    return f"{value:.2f}"


def cells(figures, columns):
    return [form(figures[key]) if key in figures else "-" for key, _, form in columns]


COST_COLUMNS = [
    ("rate", "per second", rate), ("instructions", "instructions", rate), ("syscalls", "system calls", small),
    ("cpu_us", "CPU µs", small), ("memory", "MiB", mib), ("failed", "failed", rate),
]
LATENCY_COLUMNS = [
    ("rate", "calls/s", rate), ("p50", "p50", time_us), ("p99", "p99", time_us), ("p99.9", "p99.9", time_us),
    ("failed", "failed", rate),
]
IDLE_COLUMNS = [
    ("ready_ms", "ready, ms", rate), ("answers_ms", "first answer, ms", rate), ("reload_ms", "reload, ms", rate),
    ("main", "main, MiB", mib), ("worker", "a worker, MiB", mib), ("memory", "all, MiB", mib),
    ("connection", "KiB a connection", kib), ("stream", "KiB a stalled stream", kib),
    ("after_large", "MiB after 400 x 1 MiB", mib), ("failed", "failed", rate),
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
    "rates": "brickd's rate divided by that of the server, in the same round: median (range)",
    "load": "What a call, or a message of a stream, costs",
    "latency": "Latency at a fixed rate, in shares of what each server can do",
    "scale": "CPU µs a call, with so many connections that call and beside so many open streams",
    "idle": "Starting, reloading and memory",
    "tokens": "Token streams through the brick openai: what is added to each token",
    "proxies": "Calls passed on to one backend, which is core",
}
STAGES = ["load", "instructions", "latency", "scale", "idle", "tokens", "proxies"]


def listed(value):
    return value if isinstance(value, list) else [value]


def merged(runs):
    """{stage: {what: {peer: {figure: median}}}} of all rounds of all runs; what failed is added up."""
    pool = {}
    for run in runs:
        for stage in STAGES:
            for what, peers in run.get(stage, {}).items():
                for peer, figures in peers.items():
                    # instructions are one more figure of a load
                    row = pool.setdefault("load" if stage == "instructions" else stage, {}).setdefault(what, {})
                    for figure, value in figures.items():
                        row.setdefault(peer, {}).setdefault(figure, []).extend(listed(value))
    return {stage: {what: {peer: {figure: sum(values) if figure == "failed" else statistics.median(values)
                                  for figure, values in figures.items()}
                           for peer, figures in peers.items()} for what, peers in whats.items()}
            for stage, whats in pool.items()}


def ratios(runs, what, peer, above=None):
    """The rate of `above`, or what the peer is beside, divided by the peer's: of each round of the runs that have both."""
    above, found = above or BESIDE.get(peer, US), []
    for run in runs:
        peers = run.get("load", {}).get(what, {})
        if above in peers and peer in peers:
            found += [a / b for a, b in zip(peers[above]["rate"], peers[peer]["rate"]) if b]
    return found


def compared(runs):
    """The loads that others have, too, and the servers that are beside brickd in them."""
    loads = {what: peers for run in runs for what, peers in run.get("load", {}).items() if len(peers) > 1}
    peers = dict.fromkeys(peer for run in runs for what in loads for peer in run.get("load", {}).get(what, {}))
    return list(loads), [peer for peer in peers if peer != US and peer not in BESIDE.values()]


def rows_of_rates(runs):
    loads, peers = compared(runs)
    rows = []
    for peer in peers:
        found = [ratios(runs, what, peer) for what in loads]
        rows.append([f"{BESIDE[peer]} ÷ {peer}" if peer in BESIDE else peer]
                    + [with_range(values) if values else "" for values in found])
    return [""] + loads, rows


def rows_of(columns, stage):
    head = ["", "server"] + [title for _, title, _ in columns]
    rows = []
    for what, peers in stage.items():
        rows += [["" if i else what, peer] + cells(figures, columns) for i, (peer, figures) in enumerate(peers.items())]
    return head, rows


def rows_of_scale(stage):
    peers = list(dict.fromkeys(peer for row in stage.values() for peer in row))
    rows = [[what] + [small(row[peer]["cpu_us"]) if peer in row else "-" for peer in peers]
            for what, row in stage.items()]
    return [""] + peers, rows


def tables(runs):
    """(title, head, rows) of each stage that was measured."""
    result = merged(runs)
    columns = {"load": COST_COLUMNS, "latency": LATENCY_COLUMNS, "idle": IDLE_COLUMNS, "tokens": TOKEN_COLUMNS,
               "proxies": PROXY_COLUMNS}
    if compared(runs)[1]:
        yield TITLES["rates"], *rows_of_rates(runs)
    for stage in TITLES:
        if stage in result:
            yield TITLES[stage], *(rows_of_scale(result[stage]) if stage == "scale" else rows_of(columns[stage], result[stage]))


def machines(runs):
    return " and on ".join(dict.fromkeys("{cpus} × {cpu}, {memory_gib} GiB, {system}".format(**run["machine"]) for run in runs))


def rounds(runs):
    return sum(run["rounds"] for run in runs if run.get("load"))


def as_text(runs):
    out = [f"{rounds(runs)} rounds on {machines(runs)}"]
    for title, head, rows in tables(runs):
        widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]
        out.append("\n" + title)
        for row in [head] + rows:
            out.append("  ".join(c.ljust(w) if row[i] and i < 2 else c.rjust(w)
                                 for i, (c, w) in enumerate(zip(row, widths))).rstrip())
    return "\n".join(out) + "\n"


def parts_of(run):
    load = [f"{run['rounds']} rounds of {run['seconds']:g} s"] if run.get("load") else []
    return ", ".join(load + [stage for stage in STAGES[1:] if run.get(stage)])


def as_markdown(runs):
    out = ["# Results", "",
           "What [run.py](../run.py) has measured, made by [report.py](../report.py); [how](../README.md). Each run is a file here:",
           ""]
    for run in runs:
        m = run["machine"]
        out.append(f"- {run['date']}: {m['cpus']} × {m['cpu']}, {m['memory_gib']} GiB, Linux {m['kernel']}, {m['system']}: {parts_of(run)}")
    out += ["", "Figures are medians of all rounds of all runs. A rate means something on its machine only; instructions, system calls",
            "and, nearly, processor time repeat elsewhere.", "", "![The rates as bars](rates.svg)"]
    for title, head, rows in tables(runs):
        names = 2 if head[1:2] == ["server"] else 1
        out.append(f"\n{title}:\n\n| " + " | ".join(head) + " |")
        out.append("|" + "---|" * names + "--:|" * (len(head) - names))
        out += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(out) + "\n"


def costs(figures):
    """Of brickd's README: instructions / system calls / processor time."""
    instructions = f"{figures['instructions'] / 1000:.1f}k" if "instructions" in figures else "-"
    return f"{instructions} / {small(figures['syscalls']) if 'syscalls' in figures else '-'} / {figures['cpu_us']:.1f}"


def sentences(result):
    """Of memory, starts and token streams, as far as they were measured."""
    idle = result.get("idle", {}).get("idle", {}).get(US, {})
    if idle:
        yield (f"An idle connection costs {idle['connection'] / 2**10:.0f} KiB, a stalled stream {idle['stream'] / 2**10:.0f} KiB, "
               f"a start {idle['ready_ms']:.0f} ms.")
        yield (f"The main process has {idle['main'] / 2**20:.0f} MiB, a worker {idle['worker'] / 2**20:.0f} MiB, both "
               f"{idle['after_large'] / 2**20:.0f} MiB after 400 calls of 1 MiB at a time.")
    for what, peers in result.get("tokens", {}).items():
        yield (f"{what} through `openai`: {time_us(peers[US]['p50'])} added to a token (p99 {time_us(peers[US]['p99'])}).")


def wrapped(text, width=128):
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def speed(runs):
    """The section "Speed" of brickd's README."""
    (loads, _), result = compared(runs), merged(runs)
    head, rows = rows_of_rates(runs)
    rows = [row for row in rows if not row[0].startswith(US) or row[0].startswith(US + "-2")]
    out = ["## Speed", ""]
    out += wrapped("How many times as many calls, or messages of a stream, one worker of brickd serves a second as the same service on "
                   "other libraries, each written and tuned by hand: `core` is libgrpc's C core, on which brickd stands, `cpp` grpc++, "
                   "`rust-h2` HTTP/2 without a gRPC library. Median and range of "
                   f"{rounds(runs)} rounds of short slices in turns, on {machines(runs)}.")
    out += ["", "| brickd ÷ | " + " | ".join(head[1:]) + " |", "|---|" + "--:|" * len(loads)]
    out += ["| " + " | ".join(row) + " |" for row in rows]
    for peer in (US, "core"):
        found = [result["load"][what].get(peer) for what in loads]
        out.append(f"| {peer}: instructions / system calls / processor µs | "
                   + " | ".join(costs(figures) if figures else "" for figures in found) + " |")
    out += ["", *wrapped(" ".join([*sentences(result),
                                   "[All figures](tests/bench/results/README.md), [how to repeat them](tests/bench/README.md)."]))]
    return "\n".join(out) + "\n"


COLOURS = ["#1b6ca8", "#f28e2b", "#9aa5b1", "#59a14f", "#b07aa1", "#e15759", "#76b7b2", "#edc948", "#9c755f",
           "#ff9da7"]
BAR, GAP, LEFT, WIDTH = 14, 16, 190, 860


def svg(runs):
    """Bars: the rate of each server in each load that more than one has, brickd's being 1; lines: the range of the rounds."""
    loads = compared(runs)[0]
    names = list(dict.fromkeys(peer for run in runs for what in loads for peer in run.get("load", {}).get(what, {})))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    out, y = [], 30
    for what in loads:
        parts = {peer: [1 / value for value in ratios(runs, what, peer, US) if value] for peer in names}
        parts = {peer: values for peer, values in parts.items() if values}
        scale = (WIDTH - LEFT - 190) / max((value for values in parts.values() for value in values), default=1)
        out.append(f'<text x="{LEFT - 10}" y="{y + len(parts) * BAR / 2 + 4:.0f}" text-anchor="end">{html.escape(what)}</text>')
        for peer, values in parts.items():
            length, low, high = (scale * f(values) for f in (statistics.median, min, max))
            out.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{colour[peer]}"/>')
            out.append(f'<path d="M{LEFT + low:.1f} {y + BAR / 2 - 1}H{LEFT + high:.1f}" stroke="#444"/>')
            out.append(f'<text x="{LEFT + high + 6:.1f}" y="{y + BAR - 4}" fill="#444">{html.escape(peer)} '
                       f"{ratio(statistics.median(values))}</text>")
            y += BAR
        y += GAP
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 10}" font-family="sans-serif" '
            'font-size="11">\n<rect width="100%" height="100%" fill="white"/>\n'
            f'<text x="{LEFT}" y="18" font-weight="bold">Calls, or messages of streams, a second; brickd = 1</text>\n')
    return head + "\n".join(out) + "\n</svg>\n"


def load_runs(folder):
    runs = []
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path) as f:
            runs.append(json.load(f))
    return runs


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except FileNotFoundError:
        return ""


def pages(folder):
    """{path: what it should contain}"""
    runs = load_runs(folder)
    if not any(run.get("load") for run in runs):
        sys.exit(f"report.py: no run with rates in {folder}: tests/bench/run.py --output {folder}")
    readme, found = re.subn(r"^## Speed\n.*?(?=^## )", lambda _: speed(runs) + "\n", read(README), flags=re.DOTALL | re.MULTILINE)
    if found != 1:
        sys.exit(f"report.py: {README} has no section Speed")
    return {os.path.join(folder, "README.md"): as_markdown(runs), os.path.join(folder, "rates.svg"): svg(runs), README: readme}


def main():
    arguments = sys.argv[1:]
    check = "--check" in arguments
    folder = next((a for a in arguments if a != "--check"), os.path.join(HERE, "results"))
    old = {path: text for path, text in pages(folder).items() if read(path) != text}
    for path, text in old.items():
        if check:
            print(f"{path} is not what the runs say: tests/bench/report.py writes it")
        else:
            with open(path, "w") as f:
                f.write(text)
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
