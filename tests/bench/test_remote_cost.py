# SPDX-License-Identifier: MIT
"""What a call to a brick on another server costs the worker, and what such a brick costs others while nobody calls it.

Usage: test_remote_cost.py BUILD_DIR"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from harness import BUILD, Brickd, main, temp_dir, test, wait_for  # noqa: E402
from meter import MARK, Meter, Scenario, text, worker_under_callgrind  # noqa: E402

RELAY_INSTRUCTIONS = 65000  # more than a call of echo
RELAY_SYSTEM_CALLS = 0.4    # of a call, 64 at a time

MODULES = os.path.join(BUILD, "src", "bricks")
QUIET = "log: { access: off }"
ECHO = "  - {name: llm, module: echo, limits: {hold: 0s}}\n"
NEAR = Scenario("LLM", "Unary", text(2, b"x" * 32), 100, 400)
FAR = Scenario("Intention", "Unary", text(1, b"x" * 32), 100, 400)


def backend():
    return Brickd("  - {name: far, module: echo, options: {type: Intention}}", modules=MODULES, extra=QUIET)


def remote(back):
    return f'  - {{name: far, module: remote, limits: {{hold: 0s}}, options: {{type: Intention, to: "{back.address}"}}}}\n'


def instructions(bricks, *scenarios):
    """Of one call of each scenario."""
    folder = temp_dir()
    with Brickd(bricks + MARK, modules=MODULES, extra=QUIET,
                env={"BRICKD_WORKER": worker_under_callgrind(folder), "MALLOC_PERTURB_": "0"}) as front:
        meter = Meter(front, folder)
        return [meter.measure(s).total() / (s.many - s.few) for s in scenarios]


def system_calls(bricks, scenario, at_once, n=4000):
    """Of one call, in all threads of the worker."""
    with Brickd(bricks, modules=MODULES, extra=QUIET) as front:
        meter = Meter(front, temp_dir())
        meter.load(scenario, n, at_once)
        worker, = front.workers()
        out = os.path.join(front.dir, "strace")
        tracer = subprocess.Popen(["strace", "-f", "-c", "-U", "name,calls", "-o", out, "-p", str(worker)],
                                  stderr=subprocess.PIPE, text=True)
        wait_for("strace attached", lambda: "attached" in tracer.stderr.readline())
        meter.load(scenario, n, at_once)
        tracer.terminate()
        tracer.wait()
        with open(out) as f:
            table = f.read()
        return sum(int(count) for count in re.findall(r"^\s*(?!total)\S+\s+(\d+)\s*$", table, re.M)) / n


@test
def instructions_of_a_relayed_call():
    with backend() as back:
        near, far = instructions(ECHO + remote(back), NEAR, FAR)
    print(f"# echo: {near:.0f}, relayed: {far:.0f}, {far - near:+.0f}")
    assert far - near <= RELAY_INSTRUCTIONS, (near, far)


def fewest(bricks, scenario, at_once):
    """Of several runs: how many calls one system call serves depends on who else runs."""
    return min(system_calls(bricks, scenario, at_once) for _ in range(3))


@test
def system_calls_of_a_relayed_call():
    with backend() as back:
        one, many = (fewest(remote(back), FAR, n) for n in (1, 64))
    print(f"# 1x1: {one:.2f}, 1x64: {many:.2f}")
    assert many <= RELAY_SYSTEM_CALLS, many


@test
def an_idle_remote_costs_others_nothing():
    with backend() as back:
        for what, count, chance in (
                ("instructions", lambda bricks: instructions(bricks, NEAR)[0], 500),
                ("system calls 1x1", lambda bricks: fewest(bricks, NEAR, 1), 0.1),
                ("system calls 1x64", lambda bricks: fewest(bricks, NEAR, 64), 0.05)):
            alone, beside = count(ECHO), count(ECHO + remote(back))
            print(f"# {what}: {alone:.2f} alone, {beside:.2f} beside a remote")
            assert beside <= alone + chance, (what, alone, beside)


if __name__ == "__main__":
    main()
