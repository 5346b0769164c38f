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

generate_stubs()
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
    request.data["text"] = text
    return request.SerializeToString()


def text_of(reply):
    return common_pb2.CommonResponse.FromString(reply).data["text"]


# service: (request with a text, whether it streams out)
SERVICES = {
    "Common": (common, True),
    "LLM": (lambda t: llm_pb2.LLMRequest(prompt=t).SerializeToString(), True),
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


def echo(options="type: Common", name="near"):
    return f"  - {{ name: {name}, module: {ECHO}, options: {{ {options} }} }}"


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


if __name__ == "__main__":
    main()
