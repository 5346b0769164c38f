# SPDX-License-Identifier: MIT
"""How much memory clients can make a worker hold: by requests that slow bricks have, and by streams that nobody reads."""
import contextlib
import os
import socket
import struct
import threading

import grpc

from door import CHAT, Door, question
from harness import BUILD, SANITIZED, Brickd, Bystander, Stopwatch, call, eq, generate_stubs, main, path, test, wait_for, memory
from http2 import ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, Connection, frame, message, request

generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402

ECHO = os.path.join(BUILD, "src", "bricks", "echo.so")
LLM, STREAM, COMMON = path("LLM", "Unary"), path("LLM", "OutputStreaming"), path("Common", "Unary")
MIB = 1 << 20
QUIET = "log: { access: off }"
READS = PREFACE + frame(SETTINGS) + frame(SETTINGS, ACK)
# a client that lets nothing be sent to it
DEAF = PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)) + frame(SETTINGS, ACK)
LARGE = message(llm_pb2.LLMRequest(prompt="x" * (4 * MIB - 100)).SerializeToString())


def bricks(options, limits="{}"):
    return (f"  - {{ name: llm, module: {ECHO}, options: {{ type: LLM, {options} }}, limits: {limits} }}\n"
            f"  - {{ name: common, module: {ECHO}, options: {{ type: Common }} }}\n")


def send_request(connection, stream, body):
    return connection.send(frame(HEADERS, END_HEADERS, stream, request(LLM)) +
                           b"".join(frame(DATA, 0, stream, body[i:i + 16384]) for i in range(0, len(body), 16384)) +
                           frame(DATA, END_STREAM, stream))


def large_requests(most, options, limits="{}"):
    """30 requests of 4 MiB on each of 4 connections, to a brick that takes a minute for one."""
    with Brickd(bricks(options, limits), extra=QUIET) as running:
        eq(call(running.channel(), COMMON)[1], "OK")
        before = memory(running)
        clients = [Connection(running.port, preface=READS).read_all() for _ in range(4)]
        for client in clients:
            for stream in range(1, 61, 2):
                assert send_request(client, stream, LARGE)
        eq(call(running.channel(), COMMON)[1], "OK")
        if before:
            held = memory(running) - before
            assert held < most, f"480 MiB of requests hold {held / MIB:.0f} MiB"
        for client in clients:
            client.close()


@test
def requests_that_a_slow_brick_has_are_bounded():
    large_requests(900 * MIB, "delay: 60s")


@test
def requests_that_wait_for_a_brick_are_bounded():
    large_requests(400 * MIB, "delay: 60s", "{ concurrency: 1 }")


@test
def who_has_many_large_requests_is_told():
    with Brickd(bricks("delay: 60s"), extra=QUIET, port_extra="    limits: { unfinished: 8MiB }") as running:
        unary = running.channel().unary_unary(LLM)
        prompt = llm_pb2.LLMRequest(prompt="x" * (3 * MIB)).SerializeToString()
        calls = [unary.future(prompt, timeout=60) for _ in range(3)]
        wait_for("a refusal", lambda: any(c.done() for c in calls))
        refused, = (c for c in calls if c.done())
        eq((refused.code().name, refused.details()), ("RESOURCE_EXHAUSTED", "Too many large requests at a time"))
        # others have memory of their own, and small requests need none
        other = running.channel().unary_unary(LLM).future(prompt, timeout=60)
        eq(call(running.channel(), COMMON)[1], "OK")
        assert not other.done(), other
        # what has ended counts no more
        for c in calls:
            c.cancel()
        wait_for("memory for another",
                 lambda: unary.future(prompt, timeout=1).code().name == "DEADLINE_EXCEEDED")
        other.cancel()


@test
def what_requests_unpack_to_is_bounded():
    """2 bytes of these requests unpack to more than 60: without a bound, 64 of them take 1.5 GiB."""
    many = message(b"\x1a\x00" * 250000)
    with Brickd(bricks("delay: 60s"), extra=QUIET) as running:
        eq(call(running.channel(), COMMON)[1], "OK")
        before = memory(running)
        client = Connection(running.port, preface=READS).read_all()
        for stream in range(1, 129, 2):
            assert send_request(client, stream, many)
        running.says("got no memory: calls of this worker hold half of 'memory'")
        # others are served, also with requests that are not small
        large = common_pb2.CommonRequest()
        large.data["text"] = "x" * 200000
        for body in b"", large.SerializeToString():
            eq(call(running.channel(), COMMON, body)[1], "OK")
        if before:
            held = memory(running) - before
            assert held < 400 * MIB, f"64 requests of 500 KB hold {held / MIB:.0f} MiB"
        client.close()
        wait_for("the memory", lambda: not before or memory(running) - before < 100 * MIB)


@test
def large_messages_of_streams_that_nobody_reads_are_bounded():
    with Brickd(bricks("tokens: 1000000, size: 1MiB"), extra=QUIET) as running:
        eq(call(running.channel(), COMMON)[1], "OK")
        before = memory(running)
        silent = [Connection(running.port, preface=DEAF).read_all() for _ in range(8)]
        for client in silent:
            assert client.send(b"".join(frame(HEADERS, END_HEADERS, stream, request(STREAM)) +
                                        frame(DATA, END_STREAM, stream, message(b"")) for stream in range(1, 400, 2)))
        wait_for("the line", lambda: "The client has too many replies to read" in running.log())
        eq(call(running.channel(), COMMON)[1], "OK")
        if before:
            held = memory(running) - before
            assert held < 800 * MIB, f"1600 streams that nobody reads hold {held / MIB:.0f} MiB"
        for client in silent:
            client.close()


@test
def large_messages_of_streams_that_are_read_arrive():
    with Brickd(bricks("tokens: 5, size: 1MiB"), extra=QUIET) as running:
        channel = running.channel(**{"grpc.max_receive_message_length": -1})
        ends = []

        def read():
            try:
                ends.append(sum(1 for _ in channel.unary_stream(STREAM)(b"", timeout=60)))
            except grpc.RpcError as e:
                ends.append(e.details())
        readers = [threading.Thread(target=read) for _ in range(40)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(60)
        eq(len(ends), 40)
        assert len(set(ends)) == 1 and isinstance(ends[0], int), set(ends)


CHECK, REFLECTION = "/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


def small_calls(full, n, body=b"", end=True):
    return b"".join(frame(HEADERS, END_HEADERS, stream, request(full)) + frame(DATA, END_STREAM if end else 0, stream, message(body))
                    for stream in range(1, 2 * n, 2))


def small_replies_that_nobody_reads(full, connections, peak, rest, port_extra=""):
    """999 calls on each connection, whose clients let nothing be sent to them."""
    with Brickd(bricks(""), extra=QUIET, port_extra=port_extra) as running:
        eq(call(running.channel(), COMMON)[1], "OK")
        before = memory(running)
        # a sanitizer makes each call dear, and memory is not measured then
        silent = [Connection(running.port, preface=DEAF) for _ in range(3 if SANITIZED else connections)]
        for client in silent:
            assert client.send(small_calls(full, 999))
        for client in silent:
            client.was_read().read_all()
        eq(call(running.channel(), COMMON)[1], "OK")
        if before:
            held = memory(running) - before
            assert held < peak, f"they hold {held / MIB:.0f} MiB"
            wait_for("the memory", lambda: memory(running) - before < rest)
        eq(call(running.channel(), COMMON)[1], "OK")
        for client in silent:
            client.close()


@test
def small_replies_that_nobody_reads_are_bounded():
    small_replies_that_nobody_reads(LLM, 30, 250 * MIB, 200 * MIB)


@test
def replies_to_health_checks_that_nobody_reads_are_bounded():
    small_replies_that_nobody_reads(CHECK, 12, 200 * MIB, 64 * MIB)


@test
def health_checks_at_once_are_taken_as_they_come():
    with Brickd(bricks(""), extra=QUIET) as running, Bystander(running, CHECK) as bystander:
        before = memory(running)
        with open(f"/proc/{running.workers()[0]}/clear_refs", "w") as f:
            f.write("5")  # the peak begins anew
        bystander.seen()
        clients = [Connection(running.port, preface=READS) for _ in range(10 if SANITIZED else 40)]
        body = small_calls(CHECK, 999)
        watch = Stopwatch()
        for client in clients:
            client.send(body)
        for client in clients:
            client.ends(999)
        took, seen = watch.elapsed().seconds, bystander.seen()
        print(f"# it took {took:.2f} s, another client's worst health check {seen['worst']:.2f} s")
        eq(seen["failures"], [])
        assert seen["worst"] < max(took / 2, 0.3), (seen, took)
        if before:
            peak = memory(running, "VmHWM") - before
            assert peak < 100 * MIB, f"{peak / MIB:.0f} MiB"
        for client in clients:
            client.close()


@test
def they_end_in_time_as_well():
    small_replies_that_nobody_reads(CHECK, 1, 64 * MIB, 8 * MIB, "    limits: { stall: 1s }")


@test
def streams_of_brickd_that_nobody_writes_leave_places_for_others():
    with Brickd(bricks(""), extra=QUIET, port_extra="    limits: { stall: 1s }") as running:
        client = Connection(running.port, preface=READS)
        assert client.send(small_calls(REFLECTION, 100, b"\x3a\0", end=False))
        client.was_read().read_all()

        def answer():
            try:
                return next(running.channel().stream_stream(REFLECTION)(iter([b"\x3a\0"])))
            except grpc.RpcError as e:
                eq(e.details(), "Too many streams are open")
        wait_for("a place", answer)
        client.close()


# what OpenAI's library for Python sends
SDK = """Accept: application/json
Content-Type: application/json
User-Agent: OpenAI/Python 1.99.1
X-Stainless-Lang: python
X-Stainless-Package-Version: 1.99.1
X-Stainless-OS: Linux
X-Stainless-Arch: x64
X-Stainless-Runtime: CPython
X-Stainless-Runtime-Version: 3.11.2
Authorization: Bearer sk-0123456789abcdef0123456789abcdef0123456789abcdef
X-Stainless-Async: false
x-stainless-retry-count: 0
x-stainless-read-timeout: 600
Accept-Encoding: gzip, deflate
Connection: keep-alive
""".replace("\n", "\r\n")


def a_stream_by_http_takes(most, text="hello", fields="", count=500):
    """KiB each of the worker's memory; the brick holds the request, of which it has copies of its own."""
    body = question(text, stream=True)
    request = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    bricks = f"  - {{ name: chat, module: {ECHO}, options: {{ type: LLM, delay: 500ms, tokens: 1000 }}, limits: {{ concurrency: 1000 }} }}\n"
    with Door(bricks, extra=QUIET, limits="{ connections: 1000 }") as door, contextlib.ExitStack() as clients:
        before = memory(door)
        if before is None:
            return
        streams = [clients.enter_context(socket.create_connection(("127.0.0.1", door.port), timeout=30)) for _ in range(count)]
        for stream in streams:
            stream.sendall(request)
        for stream in streams:  # the head, the role and the first piece
            got = b""
            while b'"content":"tok' not in got:
                got += stream.recv(65536)
        each = (memory(door) - before) / count / 1024
        assert each < most, f"a stream takes {each:.1f} KiB"


@test
def streams_by_http_take_little_memory():
    a_stream_by_http_takes(3.4)
    a_stream_by_http_takes(24, "x" * 4000, SDK)


main()
