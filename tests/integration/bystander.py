# SPDX-License-Identifier: MIT
"""bystander.py ADDRESS PATH: a client in a process of its own, of gRPC or, if PATH is of chat completions, of HTTP, on one
connection. It calls until its input ends and says as JSON what it saw. A line of input begins the count anew: {"calls", "failures", "worst", "typical"}, seconds."""
import http.client
import json
import sys
import threading
import time

import grpc

from stopwatch import Stopwatch

lock, seen, failures = threading.Lock(), [], []


def grpc_client():
    unary = grpc.insecure_channel(sys.argv[1]).unary_unary(sys.argv[2])

    def call():
        try:
            unary(b"", timeout=20)
        except grpc.RpcError as e:
            return f"{e.code().name} {e.details()}"

    return call


def http_client():
    connection = http.client.HTTPConnection(sys.argv[1], timeout=20)
    body = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "hello"}]})

    def call():
        try:
            connection.request("POST", sys.argv[2], body)
            answer = connection.getresponse()
            said = answer.read()
            return None if answer.status == 200 else f"{answer.status} {said}"
        except (OSError, http.client.HTTPException) as e:
            connection.close()
            return repr(e)

    return call


def run():
    call = http_client() if sys.argv[2].startswith("/v1/") else grpc_client()
    while True:
        watch = Stopwatch()
        failure = call()
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
