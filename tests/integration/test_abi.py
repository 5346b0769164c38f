# SPDX-License-Identifier: MIT
"""Modules that were built for an older ABI load, and do what they did: tests/abi/1.2 has them."""
import os
import platform
import shutil
import sys

from harness import BUILD, SOURCE, Brickd, call, eq, generate_stubs, main, path, stream, temp_dir, test, wait_for

generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402

if platform.machine() != "x86_64":
    print("1..0 # SKIP the modules are for x86-64")
    sys.exit(0)

UNARY, BIDI = path("Common", "Unary"), path("Common", "BidiStreaming")


def old_modules():
    """In a folder that brickd trusts, whatever the rights of the checkout are."""
    folder = temp_dir()
    for name in "everything", "pipeline", "blocking":
        shutil.copy(os.path.join(SOURCE, "tests", "abi", "1.2", name + ".so"), folder)
    return folder


MODULES = old_modules()


def request(**fields):
    message = common_pb2.CommonRequest()
    message.data.update(fields)
    return message.SerializeToString()


def fields_of(reply):
    return dict(common_pb2.CommonResponse.FromString(reply).data)


def everything(options):
    return Brickd(f"  - {{ name: old, module: everything, options: {{ list: [3, 7], {options} }} }}\n", modules=MODULES)


@test
def a_module_without_the_sdk():
    with everything("word: grüße") as daemon:
        daemon.says("made for ABI 1.2 with grüße")
        reply, status, details, trailers = call(daemon.channel(), UNARY, request(a="b"), metadata=[("x-ask", "why")])
        eq((status, fields_of(reply), trailers.get("x-word")), ("OK", {"word": "grüße"}, "why"), details)
        sent = [request(n=str(i)) for i in range(2000)]
        got = list(daemon.channel().stream_stream(BIDI)(iter(sent), timeout=20))
        eq([fields_of(r) for r in got], [{"n": str(i)} for i in range(2000)])
        eq(daemon.stop()[0], 0)
        daemon.says("drains")


@test
def its_errors():
    with everything("fail: 2003") as daemon:
        error = common_pb2.CommonResponse.FromString(call(daemon.channel(), UNARY)[0]).error
        eq((error.code, error.message, error.detail), (2003, "as asked", "1.2"))
    daemon = everything("word: " + "x" * 99).start(ready=False)
    eq(daemon.process.wait(20), 78)
    daemon.says("options.word: expected a short word")


@test
def a_module_that_calls_another():
    bricks = f"""  - {{ name: echo, module: {BUILD}/src/bricks/echo.so, options: {{ type: LLM }} }}
  - {{ name: old, module: pipeline, options: {{ target: echo }} }}
"""
    with Brickd(bricks, modules=MODULES) as daemon:
        reply, status, details, _ = call(daemon.channel(), UNARY, request(prompt="two"))
        eq((status, fields_of(reply)), ("OK", {"text": "Echo: two"}), details)
        replies, status, details = stream(daemon.channel(), path("Common", "OutputStreaming"), request(prompt="x"))
        eq((len(replies), status), (10, "OK"), details)


@test
def a_module_that_blocks():
    with Brickd("  - { name: old, module: blocking }\n", modules=MODULES) as daemon:
        channel = daemon.channel()
        eq(call(channel, UNARY)[1], "OK")
        eq(len(list(channel.stream_stream(BIDI)(iter([request(a="b")] * 100), timeout=20))), 100)
        endless = channel.unary_stream(path("Common", "OutputStreaming"))(request(), timeout=20)
        next(endless)
        endless.cancel()
        wait_for("the end of its stream", lambda: "method 2: ECANCELED" in daemon.log(), 10)


if __name__ == "__main__":
    main()
