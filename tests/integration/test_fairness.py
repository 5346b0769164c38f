# SPDX-License-Identifier: MIT
"""Whom a brick has places and memory for: clients that take all they can, or do nothing, and others beside them."""
import json
import os
import socket
import struct
import threading
import time

import grpc

from harness import memory
from harness import (BUILD, SANITIZED, START_LIMIT, Brickd, Bystander, Stopwatch, call, eq, generate_stubs, main, path, temp_dir, test,
                     wait_for)
from http2 import ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, Connection, frame, message, request

generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.guard import guard_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402

ECHO = os.path.join(BUILD, "src", "bricks", "echo.so")
LLM, STREAM, BIDI = path("LLM", "Unary"), path("LLM", "OutputStreaming"), path("Common", "BidiStreaming")
MIB = 1 << 20
# a client that lets nothing be sent to it
DEAF = PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)) + frame(SETTINGS, ACK)
QUIET = "log: { access: off }"


def brick(name, kind, options="", limits="{}"):
    return f"  - {{ name: {name}, module: {ECHO}, options: {{ type: {kind}, {options} }}, limits: {limits} }}\n"


def prompt(text):
    return llm_pb2.LLMRequest(prompt=text).SerializeToString()


def held(running, name):
    """How many calls a brick works on, and how many wait for it."""
    bricks = json.loads(running.ctl("status", "--json").stdout)["bricks"]
    found = next(b for b in bricks if b["name"] == name)
    return found["in_flight"], found["queued"]


def leave(*connections):
    """At once, though a thread of theirs still reads."""
    for connection in connections:
        try:
            connection.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        connection.close()


def calls(full, n, body=b"", end=True):
    """Frames that begin n calls on a new connection."""
    return b"".join(frame(HEADERS, END_HEADERS, 1 + 2 * k, request(full)) +
                    frame(DATA, END_STREAM if end else 0, 1 + 2 * k, message(body)) for k in range(n))


def new_client(running, full=LLM, timeout=5):
    channel = grpc.insecure_channel(running.address, options=[("grpc.use_local_subchannel_pool", 1)])
    try:
        return call(channel, full, timeout=timeout)[1]
    finally:
        channel.close()


def silent_connections(full, end, connections=6, streams=999):
    bricks = brick("llm", "LLM", "tokens: 1000000, size: 4KiB") + brick("common", "Common")
    name = "llm" if "LLM" in full else "common"
    own = path("LLM" if name == "llm" else "Common", "Unary")
    with Brickd(bricks, extra=QUIET) as running, Bystander(running, own) as bystander:
        silent = [Connection(running.port, preface=DEAF).read_all() for _ in range(connections)]
        for connection in silent:
            assert connection.send(calls(full, streams, end=end))
        wait_for("places to be scarce", lambda: sum(held(running, name)) > 4000)
        bystander.seen()
        for source in range(5):
            eq(new_client(running, own), "OK", f"new client {source}")
        seen = bystander.seen()
        eq(seen["failures"], [])
        in_flight, queued = held(running, name)
        assert in_flight <= 4096 and queued <= 1024 + 512, (in_flight, queued)
        leave(*silent)


@test
def streams_that_nobody_reads_leave_places_for_others():
    silent_connections(STREAM, end=True)


@test
def so_do_those_of_many_connections():
    silent_connections(STREAM, end=True, connections=60, streams=100)


@test
def streams_that_nobody_writes_leave_places_for_others():
    silent_connections(BIDI, end=False)


@test
def many_connections_do_not_outweigh_one_client():
    limits = "{ concurrency: 4, queue: 800 }"
    with Brickd(brick("llm", "LLM", "delay: 200ms", limits), extra=QUIET) as running:
        crowd = [Connection(running.port, source="127.0.0.2").read_all() for _ in range(200)]
        for connection in crowd:
            assert connection.send(calls(LLM, 4))
        wait_for("a full queue", lambda: held(running, "llm")[1] > 700)
        eq(new_client(running, timeout=60), "OK")
        _, queued = held(running, "llm")
        assert queued > 400, f"{queued} of 800 calls of the others still wait"

        # The queue is full again, with their calls: the newest of them makes room.
        leave(*crowd)
        crowd = [Connection(running.port, source="127.0.0.3").read_all() for _ in range(300)]
        for connection in crowd:
            assert connection.send(calls(LLM, 4))
        wait_for("a full queue", lambda: held(running, "llm")[1] > 780)
        eq(new_client(running, timeout=60), "OK")
        leave(*crowd)


@test
def nor_do_those_of_one_local_user():
    place = temp_dir() + "/socket"
    limits = "{ concurrency: 4, queue: 800 }"
    with Brickd(brick("llm", "LLM", "delay: 200ms", limits), port_extra=f"  - listen: unix:{place}") as running:
        crowd = [Connection(place).read_all() for _ in range(300)]
        for connection in crowd:
            assert connection.send(calls(LLM, 4))
        wait_for("a full queue", lambda: held(running, "llm")[1] > 780)
        eq(new_client(running, timeout=60), "OK")
        _, queued = held(running, "llm")
        assert queued > 620, f"{queued} of 800 calls of the local user still wait"
        leave(*crowd)
        wait_for("the user in the log", lambda: f"unix:uid={os.getuid()}" in running.log())


@test
def a_stream_that_nobody_reads_ends():
    with Brickd(brick("llm", "LLM", "tokens: 1000000, size: 4KiB"), port_extra="    limits: { stall: 1s }") as running:
        rpc = running.channel().unary_stream(STREAM)(prompt("x"), timeout=60)
        wait_for("the stream", lambda: held(running, "llm") == (1, 0))
        wait_for("its end", lambda: held(running, "llm") == (0, 0))
        try:
            for _ in rpc:
                pass
            raise AssertionError("the stream ended well")
        except grpc.RpcError as e:
            eq((e.code().name, e.details()), ("DEADLINE_EXCEEDED", "The client does not read: limits.stall"))
        wait_for("the line", lambda: "(llm): The client does not read: limits.stall" in running.log())


@test
def a_stream_that_is_read_slowly_goes_on():
    with Brickd(brick("llm", "LLM", "tokens: 8, size: 2MiB"), port_extra="    limits: { stall: 1s }") as running:
        replies = running.channel(**{"grpc.max_receive_message_length": -1}).unary_stream(STREAM)(prompt("x"), timeout=60)
        for n in range(8):
            next(replies)
            time.sleep(0.5)
        eq(list(replies), [])


@test
def a_client_that_sends_nothing_loses_its_call():
    never = threading.Event()

    def silence(*messages):
        yield from messages
        never.wait(60)

    with Brickd(brick("common", "Common"), port_extra="    limits: { stall: 1s }") as running:
        channel = running.channel()
        for kind, messages in (("stream_stream", ()), ("stream_stream", (b"",)), ("stream_unary", (b"",))):
            full = path("Common", "BidiStreaming" if kind == "stream_stream" else "InputStreaming")
            rpc = getattr(channel, kind)(full)
            try:
                if kind == "stream_unary":
                    rpc(silence(*messages), timeout=60)
                else:
                    for _ in rpc(silence(*messages), timeout=60):
                        pass
                raise AssertionError("the call ended well")
            except grpc.RpcError as e:
                eq((e.code().name, e.details()), ("DEADLINE_EXCEEDED", "The client does not send: limits.stall"))
        never.set()
        wait_for("free places", lambda: held(running, "common") == (0, 0))


@test
def a_brick_may_think_for_longer_than_clients_may():
    module = os.path.join(BUILD, "tests", "module", "contract.so")
    with Brickd(f"  - {{ name: contract, module: {module}, options: {{ type: Common }} }}\n",
                port_extra="    limits: { stall: 1s }") as running:
        def messages():
            for text in ("case:think", "and answer"):
                data = common_pb2.CommonRequest()
                data.data["prompt"] = text
                yield data.SerializeToString()
                time.sleep(3 if text == "case:think" else 0)

        eq(len(list(running.channel().stream_stream(BIDI)(messages(), timeout=60))), 1)


@test
def a_thread_that_waits_for_a_client_does_not_wait_for_ever():
    module = os.path.join(BUILD, "tests", "module", "blocking.so")
    with Brickd(f"  - {{ name: blocking, module: {module} }}\n", port_extra="    limits: { stall: 1s }") as running:
        silent = Connection(running.port).read_all()
        assert silent.send(calls(BIDI, 4, end=False))  # all of its threads
        wait_for("the calls", lambda: held(running, "blocking") == (4, 0))
        eq(new_client(running, path("Common", "Unary"), timeout=20), "OK")
        leave(silent)


@test
def who_lets_others_wait_has_less_time():
    limits = "{ concurrency: 1, queue: 8 }"
    with Brickd(brick("llm", "LLM", "tokens: 1000000, size: 4KiB", limits),
                port_extra="    limits: { stall: 20s }") as running:
        silent = Connection(running.port, preface=DEAF).read_all()
        assert silent.send(calls(STREAM, 1))
        wait_for("the stream", lambda: held(running, "llm") == (1, 0))
        eq(new_client(running, timeout=15), "OK")
        leave(silent)


def streams_of_brickd(full, body):
    """Watches or reflection: who has most of the places for them gives one up to others, and to nobody else."""
    def last(rpc):
        try:
            for _ in rpc:
                pass
        except grpc.RpcError as e:
            return e.code().name, e.details()

    over = threading.Event()

    def messages():
        yield body
        over.wait(60)

    def open_one(channel):
        rpc = channel.stream_stream(full)(messages()) if "Reflection" in full else channel.unary_stream(full)(body)
        next(rpc)
        return rpc

    def finds_a_place(channel):
        try:
            return open_one(channel)
        except grpc.RpcError:
            return None

    with Brickd(brick("llm", "LLM"), port_extra="    limits: { watches: 100 }") as running:
        crowd = [Connection(running.port, source="127.0.0.2") for _ in range(10)]
        for client in crowd:
            assert client.send(calls(full, 10, body, end=False))
            client.was_read()
        channel = running.channel()
        own = [open_one(channel) for _ in range(50)]
        eq(last(channel.unary_stream(full)(body)), ("RESOURCE_EXHAUSTED", "Too many streams are open"))
        # another connection of this client has its own share
        other = open_one(running.channel())
        eq(last(own.pop()), ("RESOURCE_EXHAUSTED", "Too many streams are open, and this client has the most"))
        assert all(rpc.is_active() for rpc in own + [other])
        leave(*crowd)
        wait_for("a place", lambda: finds_a_place(channel))
        over.set()


@test
def health_watches_of_one_client_leave_places_for_others():
    streams_of_brickd("/grpc.health.v1.Health/Watch", b"")


@test
def reflection_streams_of_one_client_leave_places_for_others():
    streams_of_brickd("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b"\x3a\0")


def large_calls(running, n, body):
    """All of them have been read when this returns."""
    silent = Connection(running.port, preface=DEAF)
    data = message(body)
    for k in range(n):
        assert silent.send(frame(HEADERS, END_HEADERS, 1 + 2 * k, request(LLM)) +
                           b"".join(frame(DATA, 0, 1 + 2 * k, data[i:i + 16384]) for i in range(0, len(data), 16384)) +
                           frame(DATA, END_STREAM, 1 + 2 * k))
    return silent.was_read().read_all()


@test
def replies_that_nobody_reads_hold_little():
    with Brickd(brick("llm", "LLM"), extra=QUIET) as running:
        eq(new_client(running), "OK")
        before = memory(running)
        silent = large_calls(running, 40, prompt("x" * (4 * MIB - 100)))
        wait_for("the line", lambda: "The client has too many replies to read" in running.log())
        wait_for("the calls", lambda: held(running, "llm")[0] == 0)
        eq(new_client(running), "OK")
        if before:
            peak = memory(running) - before
            assert peak < 150 * MIB, f"160 MiB that nobody reads hold {peak / MIB:.0f} MiB"
        leave(silent)
        if before:
            wait_for("the memory", lambda: memory(running) - before < 32 * MIB)


@test
def nor_do_they_on_many_connections():
    with Brickd(brick("llm", "LLM"), extra=QUIET) as running:
        eq(new_client(running), "OK")
        before = memory(running)
        silent = [large_calls(running, 10, prompt("x" * (4 * MIB - 100))) for _ in range(16)]
        wait_for("the calls", lambda: held(running, "llm")[0] == 0)
        eq(new_client(running), "OK")
        if before:
            wait_for("640 MiB that nobody reads to hold little", lambda: memory(running) - before < 450 * MIB)
        leave(*silent)
        if before:
            wait_for("the memory", lambda: memory(running) - before < 32 * MIB)


@test
def unread_replies_end_as_well():
    with Brickd(brick("llm", "LLM"), extra=QUIET, port_extra="    limits: { stall: 1s }") as running:
        eq(new_client(running), "OK")
        before = memory(running)
        silent = large_calls(running, 12, prompt("x" * MIB))
        wait_for("the line", lambda: "The client does not read" in running.log())
        if before:
            wait_for("the memory", lambda: memory(running) - before < 16 * MIB)
        leave(silent)


@test
def a_large_request_keeps_its_id_for_the_log():
    with Brickd(brick("llm", "LLM")) as running:
        large = llm_pb2.LLMRequest(prompt="x" * MIB, request_id="r-17", session_id="s" * 200, client_id="c-3")
        eq(call(running.channel(), LLM, large.SerializeToString())[1], "OK")
        wait_for("the line", lambda: "request_id=r-17" in running.log())
        line = next(x for x in running.log().splitlines() if "request_id=r-17" in x)
        assert "client_id=c-3" in line and f"session_id={'s' * 128} " in line, line


@test
def a_burst_of_large_calls_leaves_no_memory_behind():
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    limits = "    limits: { unfinished: 256MiB }"
    with Brickd(brick("llm", "LLM", "delay: 1s"), extra=QUIET + "\nmemory: 2GiB", port_extra=limits) as running:
        eq(new_client(running), "OK")
        before = memory(running)
        body = prompt("x" * MIB)
        with grpc.insecure_channel(running.address, options=options) as channel:
            unary = channel.unary_unary(LLM)
            futures = [unary.future(body, timeout=60) for _ in range(200)]
            statuses = {f.code().name for f in futures}
            # A client that is slow to read its replies may be refused before it has sent all its calls.
            eq(statuses - {"RESOURCE_EXHAUSTED"}, {"OK"})
        if before:
            wait_for("the memory", lambda: memory(running) - before < 16 * MIB)


@test
def a_brick_has_its_timeout_for_calls_of_bricks():
    bricks = ("  - { name: pipe, module: pipeline, options: { target: chat } }\n" +
              brick("chat", "LLM", "delay: 1h", "{ timeout: 200ms }"))
    asked = common_pb2.CommonRequest()
    asked.data["prompt"] = "hi"
    with Brickd(bricks) as running:
        channel = running.channel()
        for timeout in (60, 0.1):
            watch = Stopwatch()
            _, status, details, _ = call(channel, path("Common", "Unary"), asked.SerializeToString(), timeout=timeout)
            eq((status, details), ("DEADLINE_EXCEEDED", "Deadline Exceeded"), f"a client with {timeout} s")
            assert watch.elapsed().running < 20
        wait_for("the end", lambda: held(running, "chat") == (0, 0) and held(running, "pipe") == (0, 0))


def serves_others(one_round):
    """Another client is served in between: one_round() says how long all took, and what that client saw. Something else
    may hold this machine up, but not in three rounds."""
    for _ in range(3):
        took, seen = one_round()
        print(f"# it took {took:.2f} s, the other client's worst call {seen['worst']:.2f} s")
        eq(seen["failures"], [])
        if seen["worst"] < max(took / 2, 0.3):
            return
    raise AssertionError(f"{seen} in {took} s")


def greeted(running, n):
    return [Connection(running.port, preface=PREFACE + frame(SETTINGS) + frame(SETTINGS, ACK)) for _ in range(n)]


def burst(full, body, n, connections):
    """Requests that lack their last byte, which then comes for all of them at once: others are served between them."""
    rules = os.path.join(BUILD, "src", "bricks", "guard-rules.so")
    bricks = f"  - {{ name: guard, module: {rules} }}\n" + brick("llm", "LLM") + brick("common", "Common")
    data = message(body)

    def one_round():
        clients = greeted(running, connections)
        for client in clients:
            client.socket.settimeout(START_LIMIT)
            for stream in range(1, 2 * n, 2):
                assert client.send(frame(HEADERS, END_HEADERS, stream, request(full)) +
                                   b"".join(frame(DATA, 0, stream, data[i:min(i + 16384, len(data) - 1)])
                                            for i in range(0, len(data) - 1, 16384)))
        bystander.seen()
        watch = Stopwatch()
        for client in clients:
            client.send(b"".join(frame(DATA, END_STREAM, stream, data[-1:]) for stream in range(1, 2 * n, 2)))
        for client in clients:
            client.ends(n)
        took, seen = watch.elapsed().seconds, bystander.seen()
        leave(*clients)
        return took, seen

    with Brickd(bricks, extra=QUIET, env={"BRICKD_DATA": os.path.join(BUILD, "src", "bricks")}) as running, \
         Bystander(running, LLM) as bystander:
        serves_others(one_round)


@test
def many_requests_at_once_are_not_one_turn():
    words = "".join(word + " " for word in ("developer message", "bypass", "ignor", "system")) * 1000
    burst(path("Guard", "Unary"), guard_pb2.GuardRequest(text=words[:20000]).SerializeToString(), 900, 2)


@test
def nor_are_large_messages_of_streams():
    burst(BIDI, b"\x0a\x02\x0a\x00" * 70000, 100, 2)


@test
def many_calls_of_many_connections_are_not_one_turn():
    n = 200 if SANITIZED else 999
    data = calls(LLM, n)

    def one_round():
        clients = greeted(running, 50)
        bystander.seen()
        watch = Stopwatch()
        for client in clients:
            assert client.send(data)
        for client in clients:
            client.ends(n)
        took, seen = watch.elapsed().seconds, bystander.seen()
        leave(*clients)
        return took, seen

    with Brickd(brick("llm", "LLM"), extra=QUIET) as running, Bystander(running, LLM) as bystander:
        serves_others(one_round)


def unbegun(leave_all, options=""):
    """Connections with many calls each that lack a message, and which end at once: others are served in between."""
    bricks = brick("llm", "LLM")

    def one_round():
        descriptors = f"/proc/{running.workers()[0]}/fd"
        before = len(os.listdir(descriptors))
        clients = greeted(running, 10 if SANITIZED else 25)
        for client in clients:
            assert client.send(b"".join(frame(HEADERS, END_HEADERS, 1 + 2 * k, request(LLM)) for k in range(999)) +
                               frame(DATA, 0, 1, b"\0"))
        for client in clients:
            client.was_read()
        bystander.seen()
        leave_all(clients)
        wait_for("the first connection to go", lambda: len(os.listdir(descriptors)) < before + len(clients))
        watch = Stopwatch()
        wait_for("the connections to go", lambda: len(os.listdir(descriptors)) <= before)
        return watch.elapsed().seconds, bystander.seen()

    with Brickd(bricks, extra=f"{QUIET}\nmemory: 4GiB", port_extra=f"    limits: {{ connections: 100{options} }}") as running, \
         Bystander(running, LLM) as bystander:
        serves_others(one_round)


@test
def connections_that_end_at_once_do_not_hold_others_up():
    unbegun(lambda clients: leave(*clients))


@test
def nor_do_those_that_are_reset():
    unbegun(lambda clients: [client.reset() for client in clients])


@test
def nor_do_those_that_brickd_closes():
    unbegun(lambda _: None, ", request_time: 3s")


main()
