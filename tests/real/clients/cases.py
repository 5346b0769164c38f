# SPDX-License-Identifier: MIT
"""What clients in Python share: the cases, where the server is, and how to see what it does. A program prints a line of
JSON for each case: { client, name, failure }, where failure is null if all is well. What else it prints is lost."""
import json
import os
import subprocess
import sys
import time
import traceback
from types import SimpleNamespace

TYPES = ("Common", "LLM", "Guard", "Intention", "Rectify", "Retrieval", "Translate", "Compose")
TEXT = {"LLM": "prompt", "Retrieval": "query", "Compose": "target_format"}  # of a request; of others: text
LIMIT = 60  # of anything that is to happen, on a busy machine

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it tells of each handshake that a case spoils
results, sys.stdout = sys.stdout, open(os.devnull, "w")
server = SimpleNamespace(**json.loads(sys.argv[1]))
_cases = []


def case(function):
    _cases.append(function)
    return function


def eq(actual, expected, what=""):
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {actual!r}")


def brickctl(*args):
    return subprocess.run([server.brickctl, "-c", server.config, *args], check=True, timeout=LIMIT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True).stdout


def in_flight():
    return sum(brick["in_flight"] for brick in json.loads(brickctl("status", "--json"))["bricks"])


def idle():
    """Waits until no call is in flight: the server has noticed that its client has left."""
    end = time.monotonic() + LIMIT
    while in_flight():
        assert time.monotonic() < end, "calls are still in flight"
        time.sleep(0.02)


def run(client, arguments=()):
    """Goes through the cases, for each of the arguments if there are any."""
    for function in _cases:
        for argument in arguments or [None]:
            failure = None
            try:
                function(argument) if arguments else function()
            except Exception:
                failure = traceback.format_exc()
            name = f"{client} {argument.__name__}" if arguments else client
            result = {"client": name, "name": function.__name__.replace("_", " "), "failure": failure}
            print(json.dumps(result), file=results, flush=True)
