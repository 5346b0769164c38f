# SPDX-License-Identifier: MIT
"""Programs of clients that go through cases, and print a line of JSON for each: { client, name, failure }."""
import json
import subprocess
import sys
import threading

from harness import eq

LIMIT = 300


def results(command):
    """What the program says, case by case."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as running:
        limit = threading.Timer(LIMIT, running.kill)
        limit.start()
        try:
            for line in running.stdout:
                yield json.loads(line)
        finally:
            limit.cancel()
    eq(running.returncode, 0, "the end of the program")


def tap(number, result):
    """Tells of the case; whether it failed."""
    failure = result["failure"]
    if failure:
        print("# " + failure.replace("\n", "\n# "))
    print(f"{'not ' if failure else ''}ok {number} - {result['client']}: {result['name']}", flush=True)
    return bool(failure)


def end(number, failed):
    print(f"1..{number}")
    sys.exit(1 if failed or not number else 0)
