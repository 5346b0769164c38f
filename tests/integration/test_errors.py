# SPDX-License-Identifier: MIT
"""Errors of bricks as gRPC statuses: by port, by call, and the table of the manual page."""
import os
import re

from harness import SOURCE, Brickd, call, eq, generate_stubs, main, path, stream, test, wait_for

generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402

UNARY = path("LLM", "Unary")
GRPC, IN_BAND = ("x-brick-status", "grpc"), ("x-brick-status", "in-band")
BRICKS = "  - { name: chat, module: contract, options: { type: LLM } }"
TYPE_URL = b"type.googleapis.com/protocols.grpc.common.ErrorDetail"

plain = Brickd(BRICKS)
strict = Brickd(BRICKS, port_extra="    errors: status")


def request(case):
    return llm_pb2.LLMRequest(prompt="case:" + case).SerializeToString()


def fail_with(channel, code, *metadata):
    return call(channel, UNARY, request("fail-code"), [("x-code", str(code)), *metadata])


def field(number, payload):
    assert len(payload) < 128
    return bytes([number << 3 | 2, len(payload)]) + payload


def expected_details(status, code, message, detail):
    """A google.rpc.Status by hand: Debian has no Python package with it."""
    error = common_pb2.ErrorDetail(code=code, message=message, detail=detail).SerializeToString()
    return bytes([8, status]) + field(2, message.encode()) + field(3, field(1, TYPE_URL) + field(2, error))


@test
def by_port_and_by_call():
    for daemon, metadata, as_status in (
            (plain, [], False), (plain, [GRPC], True), (plain, [IN_BAND], False),
            (plain, [("x-brick-status", "GRPC")], False),
            (strict, [], True), (strict, [GRPC], True), (strict, [IN_BAND], False)):
        reply, status, details, trailers = fail_with(daemon.channel(), 2003, *metadata)
        if not as_status:
            error = llm_pb2.LLMResponse.FromString(reply).error
            eq((status, error.code, error.message, trailers), ("OK", 2003, "as told", {}), str(metadata))
            continue
        eq((status, details), ("INVALID_ARGUMENT", "as told"), str(metadata))
        eq(trailers, {"x-brick-error-code": "2003",
                      "grpc-status-details-bin": expected_details(3, 2003, "as told", "the detail")})


@test
def success_is_as_ever():
    reply, status, _, trailers = call(strict.channel(), UNARY, request("ok"))
    eq((status, llm_pb2.LLMResponse.FromString(reply).error.code, trailers), ("OK", 200, {}))


@test
def what_brickd_says_in_a_brick_s_stead():
    channel = strict.channel()
    eq(call(channel, UNARY, request("none"))[1:3], ("INTERNAL", "Invalid unary response type!"))
    eq(call(channel, UNARY, request("enosys"))[1], "UNIMPLEMENTED")


@test
def a_stream_keeps_its_messages():
    full = path("LLM", "OutputStreaming")
    replies, status, details = stream(strict.channel(), full, request("send-then-fail"))
    eq((len(replies), status, details), (2, "INTERNAL", "later"))
    replies, status, _ = stream(strict.channel(), full, request("send-then-fail"), metadata=[IN_BAND])
    eq((len(replies), status), (3, "OK"))


@test
def the_manual_s_table():
    with open(os.path.join(SOURCE, "man", "brickd.yaml.5.scd")) as f:
        section = f.read().partition("\n# ERRORS\n")[2].partition("\n# ")[0]
    rows = re.findall(r"^(\d+)(?:-(\d+))? +([A-Z_]+)$", section, re.M)
    assert len(rows) > 40, rows
    expected = {}
    for first, last, status in rows:
        for code in {int(first), int(last or first), (int(first) + int(last or first)) // 2}:
            expected.setdefault(code, status)
    expected.update({code: "UNKNOWN" for code in (-5, 0, 1, 2, 11, 14, 16, 201, 204, 399, 600, 999, 1000, 1004, 10000)})
    channel = plain.channel()
    for code, status in expected.items():
        _, actual, _, trailers = fail_with(channel, code, GRPC)
        eq((actual, trailers["x-brick-error-code"]), (status, str(code)), str(code))


@test
def seen_in_the_log():
    eq(fail_with(strict.channel(), 4005)[1], "RESOURCE_EXHAUSTED")
    wait_for("the line", lambda: "chat Unary RESOURCE_EXHAUSTED error 4005" in strict.log())


@test
def brickctl_shows_the_error_itself():
    result = strict.ctl("call", "chat", "case:fail", check=False)
    eq((result.returncode != 0, "2003" in result.stdout + result.stderr), (True, True), result.stderr)


with plain, strict:
    main()
