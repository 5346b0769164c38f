# SPDX-License-Identifier: MIT
"""Bricks of other languages behind brickd, with grpc-js of npm and grpc-go of the module proxy: test_programs.py BUILD_DIR node|go"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

import registry  # noqa: E402
from harness import BUILD, SOURCE, START_LIMIT, Brickd, call, eq, generate_stubs, main, path, stream, test  # noqa: E402

LANGUAGE = sys.argv.pop(2)


def program():
    """The brick, as a command. It and what it needs stay in a folder of the build directory."""
    source, folder = os.path.join(HERE, "programs", LANGUAGE), os.path.join(BUILD, "tests", "real", LANGUAGE)
    if LANGUAGE == "go":
        return [os.path.join(registry.go(source, folder), "brick")]
    return [registry.npm(source, folder), os.path.join(folder, "brick.js"), os.path.join(SOURCE, "proto")]


command = program()
generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402


@test
def a_brick_of_another_language():
    text = (f"  - {{ name: chat, module: process, options: {{ type: LLM, command: {command},"
            f" start_timeout: {5 * START_LIMIT}s }} }}\n")
    request = llm_pb2.LLMRequest(prompt="hello").SerializeToString()
    with Brickd(text, start_limit=5 * START_LIMIT) as running:
        channel = running.channel()
        reply = llm_pb2.LLMResponse.FromString(call(channel, path("LLM", "Unary"), request)[0])
        eq((reply.text, reply.error.code), (f"{LANGUAGE} hello", 200))
        fail = llm_pb2.LLMRequest(prompt="fail").SerializeToString()
        eq(call(channel, path("LLM", "Unary"), fail)[1:3], ("FAILED_PRECONDITION", "as told"))
        replies, status, _ = stream(channel, path("LLM", "OutputStreaming"), request)
        eq(status, "OK")
        eq([llm_pb2.LLMResponse.FromString(r).text for r in replies], [f"{LANGUAGE} {i}" for i in range(100)])
        running.says("serving in ")
        running.ctl("restart", "chat")
        eq(call(channel, path("LLM", "Unary"), request)[1], "OK")
        eq(running.stop()[0], 0)
        assert "was killed" not in running.log(), running.log()


main()
