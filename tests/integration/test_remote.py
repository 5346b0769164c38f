# SPDX-License-Identifier: MIT
"""Bricks on other servers: module `remote`, in front of brickd and of servers as llmbrick's are."""
import concurrent.futures
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import grpc

from harness import (BUILD, SOURCE, Brickd, Stopwatch, call, eq, free_port, generate_stubs, main, memory, path, stream,
                     temp_dir, test, wait_for)

STUBS = generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.compose import compose_pb2  # noqa: E402
from protocols.grpc.guard import guard_pb2  # noqa: E402
from protocols.grpc.intention import intention_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402
from protocols.grpc.rectify import rectify_pb2  # noqa: E402
from protocols.grpc.retrieval import retrieval_pb2  # noqa: E402
from protocols.grpc.translate import translate_pb2  # noqa: E402

ECHO = os.path.join(BUILD, "src", "bricks", "echo.so")
UNARY, OUT, IN, BIDI = (path("Common", m) for m in ("Unary", "OutputStreaming", "InputStreaming", "BidiStreaming"))
GUARD = path("Guard", "Unary")


def common(text):
    request = common_pb2.CommonRequest()
    request.data["prompt"] = text
    return request.SerializeToString()


def llm(text):
    return llm_pb2.LLMRequest(prompt=text).SerializeToString()


def text_of(reply):
    return llm_pb2.LLMResponse.FromString(reply).text


# service: (request with a text, whether it streams out)
SERVICES = {
    "Common": (common, True),
    "LLM": (llm, True),
    "Compose": (lambda t: compose_pb2.ComposeRequest(target_format=t).SerializeToString(), True),
    "Translate": (lambda t: translate_pb2.TranslateRequest(text=t).SerializeToString(), True),
    "Guard": (lambda t: guard_pb2.GuardRequest(text=t).SerializeToString(), False),
    "Intention": (lambda t: intention_pb2.IntentionRequest(text=t).SerializeToString(), False),
    "Rectify": (lambda t: rectify_pb2.RectifyRequest(text=t).SerializeToString(), False),
    "Retrieval": (lambda t: retrieval_pb2.RetrievalRequest(query=t).SerializeToString(), False),
}
CASES = ["ok", "reserve", "three", "none", "empty", "garbage", "error-field", "fail", "fail-zero", "fail-201", "fail-200",
         "fail-negative", "fail-braces", "enosys", "errno", "status", "send-then-fail", "three-then-garbage", "metadata"]


def remote(options, kind="Common", name="far"):
    return f"  - {{ name: {name}, module: remote, options: {{ type: {kind}, {options} }} }}"


def echo(options="", kind="Common"):
    return f"  - {{ name: near, module: {ECHO}, options: {{ type: {kind}, {options} }} }}"


def backends(running):
    """Of all workers: {brick: [row of a backend]}."""
    status = json.loads(running.ctl("status", "--json").stdout)
    return {brick["name"]: brick.get("backends", []) for brick in status["bricks"]}


@test
def every_reply_is_that_of_the_backend_to_the_byte():
    bricks = "\n".join(f"  - {{ name: {s.lower()}, module: contract, options: {{ type: {s} }} }}" for s in SERVICES)
    with Brickd(bricks) as back:
        far = "\n".join(remote(f'to: "{back.address}"', s, s.lower()) for s in SERVICES)
        with Brickd(far) as front:
            direct, relayed = back.channel(), front.channel()

            def same(run, what):
                eq(run(relayed), run(direct), what)

            for name, (request, streams) in SERVICES.items():
                for case in CASES:
                    body = request("case:" + case)
                    if case != "metadata":
                        same(lambda ch: call(ch, path(name, "Unary"), body), f"{name} {case}")
                    same(lambda ch: call(ch, path(name, "GetServiceInfo"), metadata=[("x-case", "case:" + case)])[:3],
                         f"{name} info {case}")
                    if streams:
                        same(lambda ch: stream(ch, path(name, "OutputStreaming"), body), f"{name} stream {case}")
            for texts in (["a", "b"], [], ["a", "case:fail", "b"], ["case:stop", "x"], ["case:none"]):
                bodies = [common(t) for t in texts]
                same(lambda ch: ch.stream_unary(IN)(iter(bodies), timeout=10), f"in {texts}")
                same(lambda ch: list(ch.stream_stream(BIDI)(iter(bodies), timeout=10)), f"bidi {texts}")
            numbers = [common(str(i)) for i in range(200)]
            same(lambda ch: list(ch.stream_stream(BIDI)(iter(numbers), timeout=20)), "a long one")


def pair(back_bricks=None, options="", kind="Common", **front):
    """A brickd with bricks, and another with the remote brick `far` in front of it."""
    back = Brickd(back_bricks or echo()).start()
    return back, Brickd(remote(f'to: "{back.address}", {options}', kind), **front).start()


class Both:
    def __init__(self, *args, **kwargs):
        self.back, self.front = pair(*args, **kwargs)

    def __enter__(self):
        return self.back, self.front

    def __exit__(self, *error):
        self.front.__exit__(*error)
        self.back.__exit__(*error)


def kill(running):
    """As if its machine had lost power: the kernel closes its sockets all the same."""
    workers = running.workers()
    running.process.kill()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    running.process.wait()


def in_flight(running):
    status = json.loads(running.ctl("status", "--json").stdout)
    return sum(worker["status"]["in_flight"] for worker in status["workers"])


@test
def metadata_both_ways_and_the_trace():
    with Both("  - { name: far, module: contract, options: { type: Common } }", 'brick: far') as (back, front):
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        _, status, _, trailers = call(
            front.channel(), UNARY, common("case:metadata"),
            metadata=[("x-one", "1"), ("x-bytes-bin", b"\x00\xff"), ("traceparent", trace), ("x-brick", "far"),
                      ("authorization", "Bearer secret")])
        eq(status, "OK")
        eq((trailers["x-one"], trailers["found"], trailers["x-bytes-bin"]), ("1", "1", b"\x00\xff"))


@test
def deadlines_and_cancellation_reach_the_backend():
    with Both("  - { name: far, module: contract, options: { type: Common } }") as (back, front):
        channel = front.channel()
        watch = Stopwatch()
        eq(call(channel, UNARY, common("case:wait"), timeout=0.3)[1], "DEADLINE_EXCEEDED")
        assert watch.elapsed().running < 2
        back.says("waits, deadline set")
        wait_for("cancel() after the deadline", lambda: back.log().count("was told to give up") == 1, 5)
        calls = [channel.unary_unary(UNARY).future(common("case:wait")),
                 channel.unary_stream(OUT)(common("case:wait"))]
        wait_for("two more calls", lambda: back.log().count("waits, deadline") == 3, 5)
        for rpc in calls:
            rpc.cancel()
        wait_for("cancel() after the client's", lambda: back.log().count("was told to give up") == 3, 5)
        wait_for("no call in flight", lambda: in_flight(front) == 0 and in_flight(back) == 0, 5)


@test
def a_client_that_does_not_read_holds_a_bounded_part():
    with Both(echo("tokens: 20000, size: 4KiB", "LLM"), kind="LLM") as (back, front):
        rpc = front.channel().unary_stream(path("LLM", "OutputStreaming"))(llm("hi"), timeout=60)
        assert text_of(next(rpc)).startswith("tok0 ")
        time.sleep(1)
        for running in back, front:
            held = memory(running)
            assert held is None or held < 60 << 20, held  # the whole stream is 80 MB
        n = 1
        for reply in rpc:
            assert text_of(reply).startswith(f"tok{n} "), n
            n += 1
        eq(n, 20000)


class Server:
    """A server as llmbrick's is: grpcio with asyncio in a process of its own."""

    def __init__(self, address=None, *arguments):
        self.port = free_port()
        self.address = address or f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(SOURCE, "tests", "integration", "llmbrick_server.py"), self.address, STUBS,
             *arguments], stdout=subprocess.PIPE, text=True)
        eq(self.process.stdout.readline(), "ready\n")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@test
def a_server_of_llmbrick():
    socket = os.path.join(temp_dir(), "s")
    for address, to in (None, None), (f"unix:{socket}", f"unix:{socket}"):
        with Server(address) as back, Brickd(remote(f'to: "{to or back.address}"')) as front:
            channel = front.channel()
            with grpc.insecure_channel(back.address) as direct:
                for text in "hello", "fail", "raise", "status", "ü" * 1000:
                    body = common(text)
                    eq(call(channel, UNARY, body), call(direct, UNARY, body), text)
                    eq(stream(channel, OUT, body), stream(direct, OUT, body), text)
                bodies = [common(str(i)) for i in range(100)]
                eq(channel.stream_unary(IN)(iter(bodies), timeout=10), direct.stream_unary(IN)(iter(bodies), timeout=10))
                eq(list(channel.stream_stream(BIDI)(iter(bodies), timeout=10)),
                   list(direct.stream_stream(BIDI)(iter(bodies), timeout=10)))
                eq(call(channel, path("Common", "GetServiceInfo")), call(direct, path("Common", "GetServiceInfo")))


@test
def a_backend_that_does_not_read_holds_a_bounded_part():
    with Server() as back, Brickd(remote(f'to: "{back.address}"')) as front:
        sent = itertools.count()
        big = common("hold" + "x" * 65536)

        def endless():
            while next(sent) < 3000:
                yield big
        rpc = front.channel().stream_stream(BIDI)(endless(), timeout=60)
        assert next(rpc).startswith(big)
        time.sleep(1.5)
        n = next(sent)
        held = memory(front)
        assert n < 1500, n  # not even half of 200 MB
        assert held is None or held < 100 << 20, held
        rpc.cancel()
        wait_for("no call in flight", lambda: in_flight(front) == 0, 5)


@test
def large_messages_pass_both_ways():
    with Both(echo("", "LLM"), kind="LLM") as (back, front):
        text = "x" * 4_000_000
        reply, status, details, _ = call(front.channel(), path("LLM", "Unary"), llm(text))
        eq((status, details), ("OK", ""))
        assert text_of(reply) == "Echo: " + text


@test
def errors_as_statuses_come_back_as_errors():
    with Both(echo('error_code: 503, error_message: "later: ä"'), "errors: status") as (back, front):
        reply, status, details, _ = call(front.channel(), UNARY, common("x"))
        eq((status, details), ("OK", ""))
        error = common_pb2.CommonResponse.FromString(reply).error
        eq((status, error.code, error.message), ("OK", 503, "later: ä"))
        eq(call(back.channel(), UNARY, common("x"))[0], reply, "the same bytes")
        _, status, details, trailers = call(front.channel(), UNARY, common("x"), metadata=[("x-brick-status", "grpc")])
        eq((status, details, trailers["x-brick-error-code"]), ("UNAVAILABLE", "later: ä", "503"))


@test
def failures_are_tried_again():
    with Both(echo("error_code: 503, error_every: 2", "Guard"), "errors: status", "Guard") as (back, front):
        channel = front.channel()
        codes = [guard_pb2.GuardResponse.FromString(call(channel, GUARD, b"")[0]).error.code for _ in range(20)]
        eq(codes, [200] * 20)
    with Both(echo("error_code: 503, error_every: 2", "Guard"), "errors: status, retry: { attempts: 1 }",
              "Guard") as (back, front):
        channel = front.channel()
        codes = [guard_pb2.GuardResponse.FromString(call(channel, GUARD, b"")[0]).error.code for _ in range(20)]
        eq(sorted(codes), [200] * 10 + [503] * 10)


@test
def a_backend_that_is_down_is_passed_over():
    with Brickd(echo()) as first, Brickd(echo("error_code: 7")) as second, \
            Brickd(remote(f'to: ["{first.address}", "{second.address}"]')) as front:
        channel = front.channel()

        def who():
            reply, status, details, _ = call(channel, UNARY, common("x"))
            assert status == "OK", (status, details)
            return {0: "first", 200: "first", 7: "second"}[common_pb2.CommonResponse.FromString(reply).error.code]
        eq([who() for _ in range(5)], ["first"] * 5)
        kill(first)
        eq([who() for _ in range(20)], ["second"] * 20)  # also the very first: it falls back before its reply
        eq(common_pb2.CommonResponse.FromString(stream(channel, OUT, common("x"))[0][-1]).error.code, 7)
        front.says(f"backend dns:///{first.address} is failing")
        with Brickd(echo(), port=first.port):
            wait_for("the first again", lambda: who() == "first", 10)


@test
def without_any_backend_calls_fail_and_health_says_so():
    port = free_port()
    with Brickd(remote(f'to: "127.0.0.1:{port}"')) as front:
        channel = front.channel()
        _, status, details, _ = call(channel, UNARY, common("x"))
        eq(status, "UNAVAILABLE")
        assert "127.0.0.1" in details, details
        front.says(f"Brick 'far' is not healthy: backend dns:///127.0.0.1:{port} does not serve")
        with Brickd(echo(), port=port):
            front.says("Brick 'far' is healthy again")
            eq(call(channel, UNARY, common("x"))[1], "OK")


@test
def servers_that_call_each_other_in_a_circle():
    a, b = free_port(), free_port()
    with Brickd(remote(f'to: "127.0.0.1:{b}"'), port=a) as one, Brickd(remote(f'to: "127.0.0.1:{a}"'), port=b):
        channel = one.channel()
        wait_for("both connected", lambda: call(channel, UNARY, common("x"))[1] == "OK")
        reply = call(channel, UNARY, common("x"))[0]
        error = common_pb2.CommonResponse.FromString(reply).error
        eq(error.code, 508)
        assert "in a circle" in error.message, error.message


@test
def calls_with_one_session_go_to_one_backend():
    def rectify(session):
        return rectify_pb2.RectifyRequest(text="x", session_id=session).SerializeToString()
    backs = [Brickd(echo(f"error_code: {n}", "Rectify")).start() for n in (1, 2, 3)]
    to = ", ".join(f'"{back.address}"' for back in backs)
    try:
        with Brickd(remote(f"to: [{to}], affinity: session_id", "Rectify") + "\n" +
                    remote(f"to: [{to}], affinity: x-user", "Common", "keyed")) as front:
            channel = front.channel()

            def of(session):
                reply, status, details, _ = call(channel, path("Rectify", "Unary"), rectify(session))
                assert status == "OK", details
                return rectify_pb2.RectifyResponse.FromString(reply).error.code
            wait_for("three connections", lambda: front.log().count("is ready") >= 3)
            sessions = [f"s{i}" for i in range(60)]
            homes = {s: of(s) for s in sessions}
            eq(sorted(set(homes.values())), [1, 2, 3])
            assert min(list(homes.values()).count(n) for n in (1, 2, 3)) >= 8, homes
            eq({s: of(s) for s in sessions}, homes, "again")
            backs[1].stop()
            moved = {s: of(s) for s in sessions}
            eq({s: n for s, n in moved.items() if homes[s] != 2}, {s: n for s, n in homes.items() if n != 2})
            eq(set(moved[s] for s in sessions if homes[s] == 2), {1, 3})
    finally:
        for back in backs:
            if back.process.poll() is None:
                back.stop()


if __name__ == "__main__":
    main()
