# SPDX-License-Identifier: MIT
"""When and where brickd enters a brick: what is due is told once, on a stack that no brick is on, and to nobody else."""
import os
import queue
import threading

from harness import BUILD, Brickd, call, eq, generate_stubs, main, path, test, wait_for

generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402

ZOO = os.path.join(BUILD, "tests", "module")
ECHO = f"  - {{ name: other, module: {BUILD}/src/bricks/echo.so, options: {{ type: Guard }} }}\n"
BIDI = path("Common", "BidiStreaming")
UNARY = path("LLM", "Unary")
GUARD = path("Guard", "Unary")
NOW = llm_pb2.LLMRequest(prompt="now").SerializeToString()
MALFORMED = b"\x0f\xff"


def zoo_daemon(name, limits="{}", extra=""):
    return Brickd(f"  - {{ name: tested, module: {name}, limits: {limits} }}\n" + ECHO, modules=ZOO, extra=extra)


def listed(daemon, name, column):
    """A number of a brick's line in `brickctl list`."""
    for line in daemon.ctl("list").stdout.splitlines():
        fields = line.split()
        if fields[0] == name:
            return int(fields[column])
    raise AssertionError(f"no brick {name}")


def in_flight(daemon, name):
    return listed(daemon, name, 6)


def bidi(daemon, messages):
    try:
        return list(daemon.channel().stream_stream(BIDI)(iter(messages), timeout=10))
    except Exception as error:  # pylint: disable=broad-except
        return error


@test
def calls_that_brickd_ends_are_given_back():
    with zoo_daemon("no-cancel", "{ concurrency: 2, queue: 0 }") as daemon:
        for _ in range(8):
            bidi(daemon, [b"", MALFORMED])
        wait_for("the brick to give all calls back", lambda: in_flight(daemon, "tested") == 0, 10)
        eq(len(bidi(daemon, [b"", b""])), 2)
        status, took = daemon.stop()
        eq(status, 0)
        assert took.running < 2.9, took
        assert "still holds" not in daemon.log(), daemon.log()


@test
def calls_that_clients_leave_are_given_back():
    with zoo_daemon("no-cancel", "{ concurrency: 2, queue: 0 }") as daemon:
        for _ in range(8):
            requests = queue.Queue()
            requests.put(b"")
            rpc = daemon.channel().stream_stream(BIDI)(iter(requests.get, None), timeout=20)
            next(rpc)
            rpc.cancel()
            requests.put(None)
            wait_for("the brick to give the call back", lambda: in_flight(daemon, "tested") == 0, 10)


@test
def a_brick_may_hold_its_lock_around_what_it_calls():
    with zoo_daemon("locks") as daemon:
        channel = daemon.channel()
        for _ in range(5):
            requests = queue.Queue()
            requests.put(b"")
            rpc = channel.stream_stream(BIDI)(iter(requests.get, None), timeout=20)
            wait_for("the call", lambda: in_flight(daemon, "tested") == 1, 10)
            rpc.cancel()
            requests.put(None)
            wait_for("its end", lambda: in_flight(daemon, "tested") == 0, 10)
            eq(call(daemon.channel(), GUARD)[1], "OK")
        assert "held the polling thread" not in daemon.whole_log(), daemon.log()


@test
def a_late_second_finish_meets_nobody_else():
    with zoo_daemon("finishes-late") as daemon:
        channel, stop, failed = daemon.channel(), threading.Event(), []

        def innocent():
            while not stop.is_set():
                reply, status, details, _ = call(channel, GUARD)
                if status != "OK" or b"not meant" in reply:
                    failed.append((reply, status, details))

        threads = [threading.Thread(target=innocent) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            eq(call(channel, UNARY, NOW)[1], "OK")
        daemon.says("'tested' finished a call twice", 20)
        stop.set()
        for thread in threads:
            thread.join()
        eq(failed, [])


@test
def what_waits_is_started_before_drain():
    daemon = zoo_daemon("drains", "{ threads: 1, queue: 20 }", "drain: { grace: 60s }")
    with daemon:
        unary = daemon.channel().unary_unary(UNARY)
        calls = [unary.future(NOW, timeout=60) for _ in range(16)]
        wait_for("the queue", lambda: listed(daemon, "tested", 7) > 2, 20)
        status, _ = daemon.stop()
        eq(status, 0)
        eq([rpc.code().name for rpc in calls], ["OK"] * 16)
        assert "SIG" not in daemon.log() and "crashed" not in daemon.log(), daemon.log()


main()
