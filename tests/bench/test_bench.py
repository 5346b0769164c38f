# SPDX-License-Identifier: MIT
"""The benchmark works: a very short run of every stage, and the parts that think.

Usage: test_bench.py BUILD_DIR"""
import json
import os
import subprocess
import sys
import xml.dom.minidom

from google.protobuf import struct_pb2

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
import callgrind  # noqa: E402
import h2load  # noqa: E402
import report  # noqa: E402
import slices  # noqa: E402
import stages  # noqa: E402
import wire  # noqa: E402
from harness import BUILD, Stopwatch, eq, main, temp_dir, test  # noqa: E402
from scenarios import LOADS  # noqa: E402

RUN_LIMIT = 100
TINY = ["--rounds", "1", "--seconds", "0.05", "--fewer", "100", "--idle", "10", "--scale", "1,20", "--streams", "20",
        "--token-seconds", "1"]
MACHINE = {"cpus": 2, "cpu": "Fast", "kernel": "6", "system": "Debian", "memory_gib": 24}

# main (100 of its own) calls malloc of libc 3 times, and then a function of its own object twice
PROFILE = """version: 1
positions: line
events: Ir

ob=(1) /usr/bin/program
fl=(1) main.c
fn=(1) main
+10 60
cob=(2) /lib/libc.so.6
cfi=(2) malloc.c
cfn=(2) malloc
calls=3 200
* 30
+2 40
cfn=(3) helper
calls=2 50
* 8
fn=(3)
-5 8

ob=(2)
fl=(2)
fn=(2)
200 30
"""


def run(*args):
    process = subprocess.run([os.path.join(HERE, "run.py"), "--build", BUILD, "--no-build", *args],
                             capture_output=True, text=True, timeout=RUN_LIMIT)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@test
def profiles_are_read():
    path = os.path.join(temp_dir(), "out")
    with open(path, "w") as f:
        f.write(PROFILE)
    counts = callgrind.read(path)
    eq(dict(counts.self_cost), {("program", "main"): 100, ("program", "helper"): 8, ("libc.so.6", "malloc"): 30})
    eq(dict(counts.calls), {(("program", "main"), ("libc.so.6", "malloc")): 3,
                            (("program", "main"), ("program", "helper")): 2})
    eq(counts.total(), 138)
    eq(counts.total({"program"}), 108)
    eq(counts.less(counts).total(), 0)


@test
def requests_are_what_protobuf_reads():
    message = struct_pb2.Struct.FromString(wire.struct_of(text="hello" * 100, more="x"))
    eq(dict(message), {"text": "hello" * 100, "more": "x"})
    eq(h2load.unframed(wire.framed(b"a") + wire.framed(b"")), [b"a", b""])


@test
def rounds_have_medians():
    result = stages.medians([{"rate": 100, "failed": 1}, {"rate": 300, "failed": 0}, {"rate": 110, "failed": 2}])
    eq(result, {"rate": 110, "failed": 3, "spread": 100 / 110})
    eq(stages.percentile(list(range(1000)), 99), 990)
    eq(stages.percentile([], 99), 0)


def a_run(date, ours, theirs, **more):
    figures = {"cpu_us": [5.0], "memory": [2**20], "failed": [0]}
    return {"date": date, "machine": MACHINE, "rounds": len(ours), "seconds": 1,
            "load": {"unary": {"brickd": {"rate": ours} | figures, "core": {"rate": theirs} | figures}}} | more


@test
def runs_are_merged():
    runs = [a_run("2026-01-01 00:00", [100, 300], [100, 100]),
            a_run("2026-01-02 00:00", [80], [40], instructions={"unary": {"core": {"instructions": 7}}})]
    eq(report.ratios(runs, "unary", "core"), [1, 3, 2])  # of the same round, of all runs
    eq(report.with_range([1, 3, 2]), "2.00 (1.00–3.00)")
    core = report.merged(runs)["load"]["unary"]["core"]
    eq((core["rate"], core["instructions"], core["failed"]), (100, 7, 0))
    text = report.as_markdown(runs)
    assert "- 2026-01-01 00:00: 2 × Fast" in text and "- 2026-01-02 00:00: " in text and "| core | 2.00 (1.00–3.00) |" in text, text
    assert "| core: instructions / system calls / processor µs | 0.0k / - / 5.0 |" in report.speed(runs), report.speed(runs)


@test
def each_begins_and_each_follows():
    orders = [slices.in_turns(["a", "b", "c"], number) for number in range(6)]
    eq({order[0] for order in orders}, {"a", "b", "c"})
    eq({(order[i], order[i + 1]) for order in orders for i in range(2)}, {(x, y) for x in "abc" for y in "abc" if x != y})


@test
def every_stage_runs():
    output, watch = os.path.join(temp_dir(), "result"), Stopwatch()
    text = run("--only", "brickd,core", "--stages", "load,latency,scale,idle,tokens,proxies", "--output", output, *TINY)
    took = watch.elapsed()
    result, = report.load_runs(output)
    eq(set(result["load"]), {load.name for load in LOADS})
    for load in LOADS:
        peers = result["load"][load.name]
        eq(set(peers), {"brickd"} if load.brick else {"brickd", "core"}, load.name)
        assert all(len(figures["rate"]) == 1 and figures["cpu_us"][0] > 0 for figures in peers.values()), peers
    eq(set(result["scale"]), {"1 connections", "20 connections", "1 open streams", "20 open streams"})
    idle = result["idle"]["idle"]["brickd"]
    assert idle["ready_ms"] > 0 and idle["worker"] > 0 and idle["after_large"] > 0, idle
    tokens = result["tokens"]["20 streams of 20 tokens/s"]["brickd"]
    if took.running == took.seconds:  # a stall is longer than the load
        assert 200 < tokens["rate"] < 600, tokens
    for title in report.TITLES.values():
        assert title in text, title
    xml.dom.minidom.parseString(report.svg([result]))


@test
def instructions_are_counted():
    output = os.path.join(temp_dir(), "counted")
    run("--only", "core", "--stages", "instructions", "--loads", "49 B, 1x1", "--output", output, *TINY, "--fewer", "8")
    counted = report.load_runs(output)[0]["instructions"]["unary 49 B, 1x1"]["core"]["instructions"]
    assert 10_000 < counted < 200_000, counted


@test
def other_servers_take_part():
    text = run("--only", "python,again", "--stages", "load", "--loads", "49 B, 1x1", "--peer",
               f"again={BUILD}/tests/bench/peer-core {{port}}", *TINY)
    assert "python" in text and "again" in text, text


@test
def costs_of_ports_for_http():
    process = subprocess.run([sys.executable, os.path.join(HERE, "http_costs.py"), BUILD, "--json", "--rounds", "1", "--seconds",
                              "0.2", "--streams", "20", "--stalled", "5", "--reloads", "1"],
                             capture_output=True, text=True, timeout=RUN_LIMIT)
    assert process.returncode == 0, process.stdout + process.stderr
    results = json.loads(process.stdout)
    eq(set(results), {"unary", "streams", "stalled", "reloads"})
    assert results["unary"]["ratio"] > 0 and results["streams"]["tokens/s"] > 0 and results["reloads"]["requests"] > 0, results
    eq(results["reloads"]["failed"], 0)


@test
def gateways_are_compared():
    process = subprocess.run([sys.executable, os.path.join(HERE, "gateways.py"), BUILD, "--gateways", "nginx,brickd", "--clients",
                              "2", "--rounds", "1", "--seconds", "0.2"], capture_output=True, text=True, timeout=RUN_LIMIT)
    assert process.returncode == 0, process.stdout + process.stderr
    rows = [line for line in process.stdout.splitlines() if "| brickd |" in line or "| nginx |" in line]
    eq(len(rows), 6, process.stdout)


main()
