# SPDX-License-Identifier: MIT
"""Clients in processes of their own that call an echo brick without pause, and count every call.

As a program: load.py ADDRESS KIND THREADS calls until its standard input ends, and prints the counts as JSON.
KIND is "new", a connection for every few calls, "long", one connection for all, or "both", so many threads of each."""
import collections
import json
import os
import subprocess
import sys
import threading
import time

import grpc

UNARY = "/protocols.grpc.llm.LLMService/Unary"
STREAM = "/protocols.grpc.llm.LLMService/OutputStreaming"
CALLS_PER_CONNECTION = 5
CALL_LIMIT = 20
# As clients are: a call that no server has seen is sent again. With LOAD_RETRIES=0 not even that.
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", int(os.environ.get("LOAD_RETRIES", "1"))),
           ("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 100)]


class Client:
    """The calls of one thread."""

    def __init__(self, address, kind, seed):
        self.address, self.kind, self.seed = address, kind, seed
        self.serial = 0
        self.ok, self.slowest, self.losses = 0, 0.0, collections.Counter()

    def call(self, channel):
        """None, or what is wrong with the answer. Every fourth call is a stream."""
        self.serial += 1
        text = f"{self.seed}-{self.serial}".encode()
        request = b"\x12" + bytes([len(text)]) + text
        try:
            if self.serial % 4:
                return None if b"Echo: " + text in channel.unary_unary(UNARY)(request, timeout=CALL_LIMIT) else "wrong"
            replies = list(channel.unary_stream(STREAM)(request, timeout=CALL_LIMIT))
            return None if len(replies) > 1 else "wrong"
        except grpc.RpcError as e:
            return f"{e.code().name} {e.details()}"

    def calls(self, channel, more):
        while more():
            start = time.monotonic()
            loss = self.call(channel)
            self.slowest = max(self.slowest, time.monotonic() - start)
            if loss:
                self.losses[f"{self.kind}: {loss}"] += 1
            else:
                self.ok += 1

    def run(self, stopping):
        while not stopping.is_set():
            channel = grpc.insecure_channel(self.address, options=OPTIONS)
            end = self.serial + CALLS_PER_CONNECTION
            self.calls(channel, lambda: not stopping.is_set() and (self.kind == "long" or self.serial < end))
            channel.close()


def program(address, kind, threads):
    stopping = threading.Event()
    kinds = ("new", "long") if kind == "both" else (kind,)
    clients = [Client(address, k, seed) for k in kinds for seed in range(int(threads))]
    running = [threading.Thread(target=client.run, args=(stopping,)) for client in clients]
    for thread in running:
        thread.start()
    while not all(client.ok for client in clients):
        time.sleep(0.01)
    print("running", flush=True)
    sys.stdin.read()
    stopping.set()
    for thread in running:
        thread.join()
    print(json.dumps({"ok": sum(c.ok for c in clients), "slowest": max(c.slowest for c in clients),
                      "losses": sum((c.losses for c in clients), collections.Counter())}))


class Load:
    """A load on address between enter and exit; then `ok`, `slowest` and `losses`, by kind of client and reason."""

    def __init__(self, address, **threads):
        self.address, self.threads = address, threads or {"new": 3, "long": 3}

    def __enter__(self):
        self.processes = [subprocess.Popen([sys.executable, "-B", __file__, self.address, kind, str(threads)],
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                          for kind, threads in self.threads.items()]
        for process in self.processes:
            assert process.stdout.readline() == "running\n", "the load did not start"
        return self

    def __exit__(self, *_):
        results = []
        for process in self.processes:
            out, _ = process.communicate(timeout=2 * CALL_LIMIT)
            results.append(json.loads(out))
        self.ok = sum(r["ok"] for r in results)
        self.slowest = max(r["slowest"] for r in results)
        self.losses = {k: v for r in results for k, v in r["losses"].items()}

    def __str__(self):
        return f"{self.ok} calls, lost {self.losses or 'none'}, slowest {self.slowest * 1000:.0f} ms"


if __name__ == "__main__":
    program(*sys.argv[1:])
