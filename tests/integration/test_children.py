# SPDX-License-Identifier: MIT
"""Bricks that call other bricks inside one worker: tests/module/pipeline.c, and echo behind it."""
import json
import os
import time

from harness import BUILD, START_LIMIT, Brickd, call, eq, generate_stubs, main, path, stream, test, wait_for

generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402

UNARY, STREAM = path("Common", "Unary"), path("Common", "OutputStreaming")
ECHO = os.path.join(BUILD, "src", "bricks", "echo.so")


def daemon(chat="{}", pipe="{ target: chat }"):
    return Brickd(f"""  - {{ name: pipe, module: pipeline, options: {pipe} }}
  - {{ name: chat, module: {ECHO}, options: {chat} }}
""")


def prompt(text="hi"):
    request = common_pb2.CommonRequest()
    request.data["prompt"] = text
    return request.SerializeToString()


def reply(data):
    return common_pb2.CommonResponse.FromString(data)


def memory(running):
    """Resident KiB of the only worker; 0 under a sanitizer, which keeps what is freed."""
    pid, = running.workers()
    with open(f"/proc/{pid}/maps") as maps:
        if "libasan" in maps.read():
            return 0
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Rss:"))


def in_flight(running):
    status = json.loads(running.ctl("status", "--json").stdout)
    return sum(worker["status"]["in_flight"] for worker in status["workers"])


@test
def unary():
    with daemon() as running:
        data, status, _, _ = call(running.channel(), UNARY, prompt("grüße"))
        eq(status, "OK")
        eq(reply(data).data["text"], "Echo: grüße")
        eq(reply(data).error.code, 200)


@test
def stream_in_order():
    with daemon("{ tokens: 3000 }") as running:
        replies, status, _ = stream(running.channel(), STREAM, prompt())
        eq(status, "OK")
        eq([reply(r).data["text"] for r in replies], [f"tok{i} " for i in range(3000)])


@test
def errors_pass_through():
    with daemon("{ error_code: 429, error_message: slow down, tokens: 3 }") as running:
        error = reply(call(running.channel(), UNARY, prompt())[0]).error
        eq((error.code, error.message), (429, "slow down"))
        replies, status, _ = stream(running.channel(), STREAM, prompt())
        eq(status, "OK")
        eq([reply(r).error.code for r in replies], [200, 200, 429])


@test
def deadline_and_cancellation_pass_through():
    with daemon("{ delay: 1h }") as running:
        channel = running.channel()
        eq(call(channel, UNARY, prompt(), timeout=0.3)[1], "DEADLINE_EXCEEDED")
        rpcs = [channel.unary_stream(STREAM)(prompt()) for _ in range(20)]
        time.sleep(0.2)
        for rpc in rpcs:
            rpc.cancel()
        wait_for("no calls in flight", lambda: in_flight(running) == 0, 20)
        status, took = running.stop()
        eq(status, 0)
        assert took.running < 2.9, took  # nobody holds a call any more


@test
def a_client_that_does_not_read_holds_a_bounded_part():
    with daemon("{ tokens: 20000, size: 4KiB }") as running:
        rpc = running.channel().unary_stream(STREAM)(prompt(), timeout=60)
        first = reply(next(rpc)).data["text"]
        assert first.startswith("tok0 "), first
        time.sleep(1)
        held = memory(running)
        assert held < 60000, held  # the whole stream is 80 MB
        n = 1
        for data in rpc:
            assert reply(data).data["text"].startswith(f"tok{n} "), n
            n += 1
        eq(n, 20000)


@test
def calls_leave_nothing_behind():
    with daemon() as running:
        channel = running.channel()

        def burst():
            for _ in range(1500):
                call(channel, UNARY, prompt())
            for _ in range(300):
                rpc = channel.unary_stream(STREAM)(prompt())
                next(rpc)
                rpc.cancel()
            return memory(running)

        before, after = burst(), burst()
        assert after < before + 4000, (before, after)


@test
def wrong_targets_are_mistakes_of_the_file():
    for pipe, place in (
        ("{ target: nobody }", "bricks[0].options.target"),
        ("{}", "bricks[0].options"),
        ("{ target: pipe }", "bricks[0].options.target"),
    ):
        running = daemon(pipe=pipe)
        running.start(ready=False)
        eq(running.process.wait(START_LIMIT), 78, pipe)
        assert place in running.log(), running.log()


@test
def a_target_of_the_wrong_type_is_blamed_by_the_brick():
    running = daemon(chat="{ type: Guard }")
    running.start(ready=False)
    eq(running.process.wait(START_LIMIT), 78)
    running.says("bricks[0].options.target: is not the name of an LLM brick")


main()
