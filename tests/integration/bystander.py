# SPDX-License-Identifier: MIT
"""bystander.py ADDRESS PATH: a grpcio client in a process of its own, which calls until its input ends and says as JSON
what it saw. A line of input begins the count anew: {"calls", "failures", "worst", "typical"}, seconds."""
import json
import sys
import threading
import time

import grpc

from stopwatch import Stopwatch

lock, seen, failures = threading.Lock(), [], []


def run():
    channel = grpc.insecure_channel(sys.argv[1])
    unary = channel.unary_unary(sys.argv[2])
    while True:
        watch = Stopwatch()
        try:
            unary(b"", timeout=20)
            failure = None
        except grpc.RpcError as e:
            failure = f"{e.code().name} {e.details()}"
        with lock:
            seen.append(watch.elapsed().running)
            if failure:
                failures.append(failure)
        time.sleep(0.01)


threading.Thread(target=run, daemon=True).start()
for _ in sys.stdin:
    # The call that is under way counts: it may be the one that is held up.
    with lock:
        before = len(seen)
    while True:
        with lock:
            if len(seen) > before:
                break
        time.sleep(0.001)
    with lock:
        print(json.dumps({"calls": len(seen), "failures": failures, "worst": max(seen),
                          "typical": sorted(seen)[len(seen) // 2]}), flush=True)
        seen, failures = [], []
