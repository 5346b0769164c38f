# SPDX-License-Identifier: MIT
"""A brick that leaves its calls to others (tests/module/relays.c), and what the ABI has for such bricks: nested options,
timers, what is known of a target, a guard that reads piece by piece (tests/module/reads.c)."""
import json
import os
import time

from harness import (BUILD, START_LIMIT, Brickd, call, eq, generate_stubs, main, memory, path, stream, test,
                     wait_for)

generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402

UNARY, STREAM = path("LLM", "Unary"), path("LLM", "OutputStreaming")
BIDI, INPUT = path("Common", "BidiStreaming"), path("Common", "InputStreaming")
ECHO = os.path.join(BUILD, "src", "bricks", "echo.so")


ONLY_FRONT = "    bricks: [front]"


def daemon(echo="", options="", kind="LLM"):
    return Brickd(f"""  - {{ name: front, module: relays, options: {{ type: {kind}, to: chat{options} }} }}
  - {{ name: chat, module: {ECHO}, options: {{ type: {kind}{echo} }} }}
  - {{ name: reader, module: reads }}
""", port_extra=ONLY_FRONT)


def prompt(text="hi"):
    return llm_pb2.LLMRequest(prompt=text).SerializeToString()


def reply(data):
    return llm_pb2.LLMResponse.FromString(data)


def in_flight(running):
    status = json.loads(running.ctl("status", "--json").stdout)
    return sum(worker["status"]["in_flight"] for worker in status["workers"])


@test
def unary_and_streams():
    with daemon(", tokens: 3000") as running:
        data, status, _, _ = call(running.channel(), UNARY, prompt("grüße"))
        eq((status, reply(data).text, reply(data).error.code), ("OK", "Echo: grüße", 200))
        replies, status, _ = stream(running.channel(), STREAM, prompt())
        eq((status, [reply(r).text for r in replies]), ("OK", [f"tok{i} " for i in range(3000)]))
        eq(call(running.channel(), path("LLM", "GetServiceInfo"))[1], "OK")


@test
def errors_pass_through():
    with daemon(", error_code: 429, error_message: slow down, tokens: 3") as running:
        error = reply(call(running.channel(), UNARY, prompt())[0]).error
        eq((error.code, error.message), (429, "slow down"))
        replies, status, _ = stream(running.channel(), STREAM, prompt())
        eq((status, [reply(r).error.code for r in replies]), ("OK", [200, 200, 429]))


@test
def streams_of_requests():
    with daemon(kind="Common") as running:
        def messages(n):
            for i in range(n):
                request = common_pb2.CommonRequest()
                request.data["n"] = i
                yield request.SerializeToString()

        replies = list(running.channel().stream_stream(BIDI)(messages(500), timeout=30))
        eq([common_pb2.CommonResponse.FromString(r).data["n"] for r in replies], list(range(500)))
        data = running.channel().stream_unary(INPUT)(messages(50), timeout=30)
        eq(common_pb2.CommonResponse.FromString(data).error.code, 200)


@test
def deadline_and_cancellation_pass_through():
    with daemon(", delay: 1h") as running:
        channel = running.channel()
        eq(call(channel, UNARY, prompt(), timeout=0.3)[1], "DEADLINE_EXCEEDED")
        rpcs = [channel.unary_stream(STREAM)(prompt()) for _ in range(20)]
        wait_for("the calls", lambda: in_flight(running) == 20, 20)
        for rpc in rpcs:
            rpc.cancel()
        wait_for("no calls in flight", lambda: in_flight(running) == 0, 20)
    with daemon(", delay: 1h", ", deadline: 100ms") as running:
        eq(call(running.channel(), UNARY, prompt())[1], "DEADLINE_EXCEEDED")


@test
def a_client_that_does_not_read_holds_a_bounded_part():
    with daemon(", tokens: 20000, size: 4KiB") as running:
        rpc = running.channel().unary_stream(STREAM)(prompt(), timeout=60)
        next(rpc)
        time.sleep(1)
        held = memory(running)
        assert held is None or held < 60000000, held  # the whole stream is 80 MB
        eq(1 + sum(1 for _ in rpc), 20000)


@test
def a_timer_before():
    with daemon(options=", delay: 200ms") as running:
        began = time.monotonic()
        data, status, _, _ = call(running.channel(), UNARY, prompt("hi"))
        eq((status, reply(data).text), ("OK", "Echo: hi"))
        assert time.monotonic() - began >= 0.2
        eq(call(running.channel(), UNARY, prompt(), timeout=0.05)[1], "DEADLINE_EXCEEDED")
        wait_for("no calls in flight", lambda: in_flight(running) == 0, 20)


@test
def what_is_known_of_a_target():
    bricks = f"""  - name: front
    module: relays
    options: {{ type: LLM, to: [first, chat] }}
  - {{ name: first, module: contract, options: {{ type: LLM }} }}
  - {{ name: chat, module: {ECHO} }}
"""
    with Brickd(bricks, port_extra=ONLY_FRONT) as running:
        running.says(f"first has methods 0x7, named in {running.config}:7:32")
        running.says(f"chat has methods 0x7, named in {running.config}:7:39")
        wait_for("the watch", lambda: "front: the first target serves" in running.log(), 20)
        channel = running.channel()
        sick = prompt("case:sick")
        eq(call(channel, UNARY, sick)[1], "OK")
        wait_for("the watch", lambda: "Brick 'front' is not healthy: the first target does not" in running.log(), 20)
        eq(reply(call(channel, UNARY, prompt("hi"))[0]).text, "Echo: hi")  # from the second


@test
def a_guard_that_reads_piece_by_piece():
    with daemon(options=", guard: { brick: reader }") as running:
        channel = running.channel()
        eq(reply(call(channel, UNARY, prompt("good"))[0]).text, "Echo: good")
        error = reply(call(channel, UNARY, prompt("it is bad, this"))[0]).error
        eq((error.code, error.message), (403, "The guard says no."))
        error = reply(call(channel, UNARY, prompt("this is odd"))[0]).error
        eq(error.code, 13)
        running.says("Brick 'reader' settled more of a text than it had, or less than before")
    with Brickd(f"""  - {{ name: front, module: relays, options: {{ type: LLM, to: chat, guard: {{ brick: chat }} }} }}
  - {{ name: chat, module: {ECHO} }}
""", port_extra=ONLY_FRONT) as running:  # no guard at all
        data, _, _, _ = call(running.channel(), UNARY, prompt())
        eq(reply(data).error.code, 12)


@test
def nested_options_are_checked():
    for options, mistakes in (
        (", guard: {}", ["bricks[0].options.guard.brick: required"]),
        (", guard: { brik: reader }", ['bricks[0].options.guard.brik: unknown key; did you mean "brick"?']),
        (", guard: { brick: nobody }", ['bricks[0].options.guard.brick: no brick has the name "nobody"']),
        (", guard: { brick: front }", ["bricks[0].options.guard.brick: a brick cannot call itself"]),
    ):
        running = daemon(options=options)
        running.start(ready=False)
        eq(running.process.wait(START_LIMIT), 78, options)
        for mistake in mistakes:
            assert mistake in running.log(), running.log()


@test
def a_circle_through_nested_options_is_found():
    running = Brickd("""  - { name: a, module: relays, options: { type: LLM, to: [b] } }
  - { name: b, module: relays, options: { type: LLM, to: c, guard: { brick: a } } }
  - { name: c, module: relays, options: { type: LLM, to: b } }
""")
    running.start(ready=False)
    eq(running.process.wait(START_LIMIT), 78)
    assert "bricks[1].options.guard.brick: bricks call each other in a cycle: a -> b -> a" in running.log(), running.log()


main()
