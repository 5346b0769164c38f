# SPDX-License-Identifier: MIT
"""Blocking bricks: they wait on threads of their own, every wait ends, and only so many calls wait for them."""
import os
import re
import signal
import threading
import time

import grpc

from harness import BUILD, Brickd, call, eq, main, path, test, wait_for

ZOO = os.path.join(BUILD, "tests", "module")
UNARY, OUTPUT = path("Common", "Unary"), path("Common", "OutputStreaming")
INPUT, BIDI = path("Common", "InputStreaming"), path("Common", "BidiStreaming")


def daemon_of(delay="0s", threads=2, queue=8, **kwargs):
    return Brickd(f"  - {{ name: slow, module: blocking, options: {{ delay: {delay} }}, "
                  f"limits: {{ threads: {threads}, queue: {queue} }} }}\n", modules=ZOO, **kwargs)


def ends(daemon, method, count=1):
    """How the first calls of one method have ended, and after how many messages, by what the brick logs."""
    def found():
        return re.findall(rf"method {method}: (\w+) after (\d+) messages", daemon.log())
    wait_for(f"{count} ends of method {method}", lambda: len(found()) >= count, 20)
    return found()


class Requests:
    """A stream of requests that stays open until it is told to end."""

    def __init__(self, count):
        self.count, self.over = count, threading.Event()

    def __iter__(self):
        for _ in range(self.count):
            yield b""
        self.over.wait(30)


@test
def every_shape_is_answered():
    with daemon_of() as daemon:
        channel = daemon.channel()
        eq(call(channel, UNARY)[1], "OK")
        channel.stream_unary(INPUT)(iter([b"", b"", b""]), timeout=10)
        eq(ends(daemon, 3), [("done", "3")])
        eq(len(list(channel.stream_stream(BIDI)(iter([b""] * 50), timeout=10))), 50)
        eq(ends(daemon, 4), [("done", "50")])


@test
def a_full_pool_and_a_full_queue_refuse_with_pushback():
    with daemon_of(delay="1s", threads=2, queue=3) as daemon:
        channel = daemon.channel()
        futures = [channel.unary_unary(UNARY).future(b"", timeout=20) for _ in range(9)]
        results = []
        for future in futures:
            results.append(future.code().name)
            if future.code() is not grpc.StatusCode.OK:
                eq(future.details(), "The brick is busy")
                eq(dict(future.trailing_metadata())["grpc-retry-pushback-ms"], "1000")
        eq(sorted(results), ["OK"] * 5 + ["RESOURCE_EXHAUSTED"] * 4)
        eq(call(channel, UNARY)[1], "OK")


@test
def a_cancelled_call_leaves_the_queue():
    with daemon_of(delay="2s", threads=1, queue=2) as daemon:
        channel = daemon.channel()
        running = channel.unary_unary(UNARY).future(b"", timeout=20)
        time.sleep(0.3)
        waiting = [channel.unary_unary(UNARY).future(b"", timeout=20) for _ in range(2)]
        time.sleep(0.3)
        eq(call(channel, UNARY)[1], "RESOURCE_EXHAUSTED")
        for future in waiting:
            future.cancel()
        time.sleep(0.3)
        eq(call(channel, UNARY, timeout=0.2)[1], "DEADLINE_EXCEEDED", "there is room in the queue")
        eq(running.code().name, "OK")
        eq(call(channel, UNARY)[1], "OK")
        eq(len(ends(daemon, 1, 2)), 2, "calls that the brick has seen")


@test
def cancellation_ends_every_wait():
    with daemon_of(delay="30s", threads=4) as daemon:
        channel = daemon.channel()
        requests = Requests(3)
        calls = [channel.unary_unary(UNARY).future(b""), channel.unary_stream(OUTPUT)(b""),
                 channel.stream_unary(INPUT).future(iter(requests)), channel.stream_stream(BIDI)(iter(requests))]
        time.sleep(0.5)
        for one in calls:
            one.cancel()
        for method in 1, 2, 3, 4:
            # A stream that was cut must not look complete to the brick.
            eq([how for how, _ in ends(daemon, method)], ["ECANCELED"], f"method {method}")
        requests.over.set()


@test
def deadlines_end_every_wait():
    for limits in "", ", timeout: 500ms":
        bricks = f"  - {{ name: slow, module: blocking, options: {{ delay: 30s }}, limits: {{ threads: 4{limits} }} }}\n"
        with Brickd(bricks, modules=ZOO) as daemon:
            channel = daemon.channel()
            requests = Requests(3)
            limit = 20 if limits else 0.5
            calls = [channel.unary_unary(UNARY).future(b"", timeout=limit),
                     channel.unary_stream(OUTPUT)(b"", timeout=limit),
                     channel.stream_unary(INPUT).future(iter(requests), timeout=limit),
                     channel.stream_stream(BIDI)(iter(requests), timeout=limit)]
            for method, one in enumerate(calls, 1):
                eq([how for how, _ in ends(daemon, method)], ["ECANCELED"], f"method {method}")
                if method in (1, 3):
                    eq(one.code().name, "DEADLINE_EXCEEDED")
            requests.over.set()


@test
def a_stop_ends_every_wait_and_the_queue():
    daemon = daemon_of(delay="30s", threads=4, queue=4, extra="drain: { grace: 300ms }")
    with daemon:
        channel = daemon.channel()
        requests = Requests(3)
        calls = [channel.unary_stream(OUTPUT)(b""), channel.stream_stream(BIDI)(iter(requests))]
        calls += [channel.unary_unary(UNARY).future(b"") for _ in range(6)]
        time.sleep(0.5)
        status, took = daemon.stop(signal.SIGTERM)
        eq(status, 0)
        assert took.running < 3, took
        assert "holds" not in daemon.log(), daemon.log()
        for one in calls[2:]:
            eq(one.code().name, "UNAVAILABLE")
        requests.over.set()


if __name__ == "__main__":
    main()
