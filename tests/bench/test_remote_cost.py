# SPDX-License-Identifier: MIT
"""What a call to a brick on another server costs the worker, and what such a brick costs others while nobody calls it.

Usage: test_remote_cost.py BUILD_DIR"""
import contextlib
import functools
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from harness import BUILD, Brickd, main, temp_dir, test  # noqa: E402
from meter import MARK, Meter, Scenario, text, worker_under_callgrind  # noqa: E402

RELAY_INSTRUCTIONS = 65000  # more than a call of echo
RELAY_SYSTEM_CALLS = 0.8    # of a call, 64 at a time: 0.2 to 0.5, by how often the worker has to wait; 1.1 ungathered

INSTRUCTIONS_CHANCE = 500   # what may be chance
RUNS = 3                    # how many calls one system call serves depends on who else runs: the best counts
CALLS = 2000

MODULES = os.path.join(BUILD, "src", "bricks")
QUIET = "log: { access: off }"
ECHO = "  - {name: llm, module: echo, limits: {hold: 0s}}\n"
NEAR = Scenario("LLM", "Unary", text(2, b"x" * 32), 100, 400)
FAR = Scenario("Intention", "Unary", text(1, b"x" * 32), 100, 400)


def bricks(remote_too):
    """echo, and with remote_too a remote brick whose backend runs: (configuration, what to close)."""
    back = Brickd("  - {name: far, module: echo, options: {type: Intention}}", modules=MODULES, extra=QUIET)
    if not remote_too:
        return ECHO, contextlib.nullcontext()
    return ECHO + (f'  - {{name: far, module: remote, limits: {{hold: 0s}}, '
                   f'options: {{type: Intention, to: "{back.address}"}}}}\n'), back


@functools.cache
def instructions(remote_too):
    """Of one call of echo, and of one that is relayed: the fewest, as something else may happen during the calls."""
    folder = temp_dir()
    text_of_bricks, back = bricks(remote_too)
    with back, Brickd(text_of_bricks + MARK, modules=MODULES, extra=QUIET,
                      env={"BRICKD_WORKER": worker_under_callgrind(folder), "MALLOC_PERTURB_": "0"}) as front:
        meter = Meter(front, folder)
        return [min(meter.measure(s).total() for _ in range(RUNS)) / (s.many - s.few)
                for s in ([NEAR, FAR] if remote_too else [NEAR])]


@functools.cache
def system_calls(remote_too):
    """{(scenario, how many at once): the fewest of a call}."""
    text_of_bricks, back = bricks(remote_too)
    with back, Brickd(text_of_bricks, modules=MODULES, extra=QUIET) as front:
        meter = Meter(front, temp_dir())
        result = {}
        for scenario in [NEAR, FAR] if remote_too else [NEAR]:
            for at_once in 1, 64:
                meter.load(scenario, CALLS, at_once)
                result[scenario, at_once] = min(meter.system_calls(scenario, CALLS, at_once) for _ in range(RUNS))
        return result


@test
def instructions_of_a_relayed_call():
    near, far = instructions(True)
    print(f"# echo: {near:.0f}, relayed: {far:.0f}, {far - near:+.0f}")
    assert far - near <= RELAY_INSTRUCTIONS, (near, far)


@test
def system_calls_of_a_relayed_call():
    one, many = (system_calls(True)[FAR, n] for n in (1, 64))
    print(f"# 1x1: {one:.2f}, 1x64: {many:.2f}")
    assert many <= RELAY_SYSTEM_CALLS, many


@test
def an_idle_remote_costs_others_nothing():
    alone, beside = (instructions(remote_too)[0] for remote_too in (False, True))
    print(f"# instructions: {alone:.0f} alone, {beside:.0f} beside a remote")
    assert beside <= alone + INSTRUCTIONS_CHANCE, (alone, beside)
    for at_once, chance in (1, 0.1), (64, 0.05):
        alone, beside = (system_calls(remote_too)[NEAR, at_once] for remote_too in (False, True))
        print(f"# system calls at 1x{at_once}: {alone:.2f} alone, {beside:.2f} beside a remote")
        assert beside <= alone + chance, (at_once, alone, beside)


if __name__ == "__main__":
    main()
