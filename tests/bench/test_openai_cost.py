# SPDX-License-Identifier: MIT
"""What a token and a unary call cost through the brick `openai`, in instructions of all threads of the worker.

Usage: test_openai_cost.py BUILD_DIR"""
import functools
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from harness import BUILD, Brickd, main, temp_dir, test  # noqa: E402
from meter import MARK, Meter, Scenario, text, worker_under_callgrind  # noqa: E402

TOKENS = 100
TOKEN_INSTRUCTIONS = 13000
CALL_INSTRUCTIONS = 165000
SCENARIOS = {
    "unary": Scenario("LLM", "Unary", text(2, b"x" * 32), 20, 70),
    "stream": Scenario("LLM", "OutputStreaming", text(2, b"x" * 32), 3, 13, TOKENS),
}


@functools.cache
def measurements():
    folder = temp_dir()
    upstream = subprocess.Popen([f"{BUILD}/tests/bench/upstream", str(TOKENS), "0"], stdout=subprocess.PIPE, text=True)
    bricks = f"""  - name: chat
    module: openai
    limits: {{hold: 0s}}
    options: {{base_url: "http://127.0.0.1:{upstream.stdout.readline().strip()}/v1", model: any}}
"""
    try:
        with Brickd(bricks + MARK, modules=os.path.join(BUILD, "src", "bricks"), extra="log: { access: off }",
                    env={"BRICKD_WORKER": worker_under_callgrind(folder, by_thread=False), "MALLOC_PERTURB_": "0"}) as brickd:
            meter = Meter(brickd, folder)
            return {name: meter.measure(scenario).total() / (scenario.many - scenario.few) / scenario.messages
                    for name, scenario in SCENARIOS.items()}
    finally:
        upstream.terminate()
        upstream.wait()


def check(name, limit):
    print(f"# {name}: {measurements()[name]:.0f} instructions of {limit}")
    assert measurements()[name] <= limit, name


@test
def instructions_of_a_token():
    check("stream", TOKEN_INSTRUCTIONS)


@test
def instructions_of_a_unary_call():
    check("unary", CALL_INSTRUCTIONS)


main()
