# SPDX-License-Identifier: MIT
"""Counts what the polling thread of a worker does for calls: instructions, by callgrind."""
import glob
import os
import re
import subprocess

import callgrind
from harness import BUILD, call, path, wait_for

POLLING = ("brickd-worker", "poll_run")
# several times the calls that are kept to be used again: each gets the memory that it needs, and keeps it
WARM_UP = 80
LOAD_LIMIT = 120

# a call of this brick makes callgrind write down what it has counted
MARK = f"  - {{name: mark, module: {BUILD}/tests/bench/mark.so, limits: {{hold: 0s}}}}\n"


def text(number, value):
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def varint(value):
    out = b""
    while value > 0x7f:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


class Scenario:
    def __init__(self, service, method, request, few, many, messages=1, brick=None, allocates=False, chance=0):
        self.path, self.request, self.brick = path(service, method), request, brick
        self.few, self.many, self.messages = few, many, messages
        self.allocates = allocates or brick is not None  # for the calls between bricks
        self.chance = chance  # how much its counts vary by the time that things take


def worker_under_callgrind(folder, by_thread=True):
    """The path of a program that is brickd-worker under callgrind. Its dumps are FOLDER/out.NUMBER-THREAD, of the polling
    thread, or FOLDER/out.NUMBER, of all threads together."""
    program = os.path.join(folder, "worker")
    with open(program, "w") as f:
        f.write(f"#!/bin/sh\nexec valgrind -q --tool=callgrind {'--separate-threads=yes ' if by_thread else ''}"
                f"--callgrind-out-file='{folder}/out' '{BUILD}/src/brickd-worker' \"$@\"\n")
    os.chmod(program, 0o755)
    return program


class Meter:
    def __init__(self, brickd, folder):
        self.brickd, self.folder, self.dumps = brickd, folder, 0
        self.channel = brickd.channel()

    def mark(self):
        """What was counted since the last mark."""
        _, status, details, _ = call(self.channel, path("Rectify", "Unary"))
        assert status == "OK", details
        self.dumps += 1
        dump = os.path.join(self.folder, f"out.{self.dumps}")
        threads = map(callgrind.read, glob.glob(dump) + glob.glob(f"{dump}-*"))
        polling = [counts for counts in threads if counts.self_cost[POLLING]]
        assert len(polling) == 1, f"{len(polling)} threads run {POLLING[1]}()"
        return polling[0]

    def load(self, scenario, n, at_once=1, connections=1):
        body = os.path.join(self.folder, "body")
        with open(body, "wb") as f:
            f.write(b"\0" + len(scenario.request).to_bytes(4, "big") + scenario.request)
        out = subprocess.run(
            ["h2load", "-n", str(n), "-c", str(connections), "-m", str(at_once), "-d", body, "-H", "content-type: application/grpc",
             "-H", "te: trailers", *(["-H", f"x-brick: {scenario.brick}"] if scenario.brick else []),
             f"http://{self.brickd.address}{scenario.path}"],
            capture_output=True, text=True, timeout=LOAD_LIMIT).stdout
        assert f" {n} succeeded, 0 failed" in out, out

    def system_calls(self, scenario, n, at_once, connections=1):
        """Of one call, in all threads of the worker."""
        worker, = self.brickd.workers()
        out = os.path.join(self.folder, "strace")
        tracer = subprocess.Popen(["strace", "-f", "-c", "-U", "name,calls", "-o", out, "-p", str(worker)],
                                  stderr=subprocess.PIPE, text=True)
        wait_for("strace attached", lambda: "attached" in tracer.stderr.readline())
        self.load(scenario, n, at_once, connections)
        tracer.terminate()
        tracer.wait()
        with open(out) as f:
            return sum(int(k) for k in re.findall(r"^\s*(?!total)\S+\s+(\d+)\s*$", f.read(), re.M)) / n

    def measure(self, scenario):
        """The difference that many - few calls make."""
        self.load(scenario, WARM_UP, at_once=WARM_UP // 4)
        self.mark()
        self.load(scenario, scenario.few)
        few = self.mark()
        self.load(scenario, scenario.many)
        return self.mark().less(few)
