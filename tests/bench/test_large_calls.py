# SPDX-License-Identifier: MIT
"""What a call with 64 KiB each way costs a worker.

Usage: test_large_calls.py BUILD_DIR"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from harness import BUILD, Brickd, main, temp_dir, test  # noqa: E402
from meter import MARK, Meter, Scenario, text, worker_under_callgrind  # noqa: E402

# of which 262,000 are the four copies that libgrpc, protobuf-c and echo make, counted byte by byte
INSTRUCTIONS = 405000
# one to send, and half of one to receive: two requests come at a time
SYSTEM_CALLS = 2.2

RUNS = 8  # how many requests one system call takes depends on who else runs: the best counts
CALLS = 500
LARGE = Scenario("LLM", "Unary", text(2, b"x" * 65536), 20, 60)
MODULES = os.path.join(BUILD, "src", "bricks")
QUIET = "log: { access: off }"
ECHO = "  - {name: llm, module: echo, limits: {hold: 0s}}\n"


@test
def instructions_of_a_large_call():
    folder = temp_dir()
    with Brickd(ECHO + MARK, modules=MODULES, extra=QUIET,
                env={"BRICKD_WORKER": worker_under_callgrind(folder), "MALLOC_PERTURB_": "0"}) as brickd:
        cost = Meter(brickd, folder).measure(LARGE).total() / (LARGE.many - LARGE.few)
    print(f"# {cost:.0f} instructions of {INSTRUCTIONS}")
    assert cost <= INSTRUCTIONS, cost


@test
def system_calls_of_a_large_call():
    with Brickd(ECHO, modules=MODULES, extra=QUIET) as brickd:
        meter = Meter(brickd, temp_dir())
        meter.load(LARGE, CALLS, 4, 4)
        counts = []
        while len(counts) < RUNS and min(counts, default=SYSTEM_CALLS + 1) > SYSTEM_CALLS:
            counts.append(meter.system_calls(LARGE, CALLS, 4, 4))
    print("# system calls: " + ", ".join(f"{n:.2f}" for n in counts))
    assert min(counts) <= SYSTEM_CALLS, counts


main()
