# SPDX-License-Identifier: MIT
"""What an llmbrick client sees, to the letter and the byte: all services, all methods, every kind of end."""
import os
import signal
import socket
import subprocess
import threading
import time

from harness import (Brickd, Stopwatch, call, eq, generate_stubs, main, path, stream, test, wait_for)

generate_stubs()
from google.protobuf import struct_pb2  # noqa: E402
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.compose import compose_pb2  # noqa: E402
from protocols.grpc.guard import guard_pb2  # noqa: E402
from protocols.grpc.intention import intention_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402
from protocols.grpc.rectify import rectify_pb2  # noqa: E402
from protocols.grpc.retrieval import retrieval_pb2  # noqa: E402
from protocols.grpc.translate import translate_pb2  # noqa: E402


def common_request(text):
    request = common_pb2.CommonRequest()
    request.data["text"] = text
    return request


# service: (request with a text, reply type, tag of the error field, payload of tests/module/contract.c, streams out)
SERVICES = {
    "Common": (common_request, common_pb2.CommonResponse, 2, "0a0e0a0c0a047465787412041a026869", True),
    "LLM": (lambda t: llm_pb2.LLMRequest(prompt=t), llm_pb2.LLMResponse, 4, "0a0274301201611201621801", True),
    "Compose": (lambda t: compose_pb2.ComposeRequest(target_format=t), compose_pb2.ComposeResponse, 2,
                "0a0e0a0c0a047465787412041a026869", True),
    "Translate": (lambda t: translate_pb2.TranslateRequest(text=t), translate_pb2.TranslateResponse, 5,
                  "0a0274301201611a027a682001", True),
    "Guard": (lambda t: guard_pb2.GuardRequest(text=t), guard_pb2.GuardResponse, 2,
              "0a0a0801150000003f1a01640a00", False),
    "Intention": (lambda t: intention_pb2.IntentionRequest(text=t), intention_pb2.IntentionResponse, 2,
                  "0a0b0a0463686174150000803e", False),
    "Rectify": (lambda t: rectify_pb2.RectifyRequest(text=t), rectify_pb2.RectifyResponse, 2,
                "0a056669786564", False),
    "Retrieval": (lambda t: retrieval_pb2.RetrievalRequest(query=t), retrieval_pb2.RetrievalResponse, 2,
                  "0a050a01642a00", False),
}
INFO = "0a036c6c6d1201311a160a016d1201761a02656e1a027a6820012a0464657363"


def brick_list(module):
    return "\n".join(f"  - {{ name: {s.lower()}, module: {module}, options: {{ type: {s} }} }}" for s in SERVICES)


def success(field):
    return bytes([field << 3 | 2]) + bytes.fromhex("0308c801")


def error(field, code, message="", detail=""):
    """The reply that has only an error, packed by Google's own library."""
    body = common_pb2.ErrorDetail(code=code, message=message, detail=detail).SerializeToString()
    out = bytearray([field << 3 | 2])
    n = len(body)
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out) + body


NOT_IMPLEMENTED = "The requested operation is not implemented."


def expected_ends(what, method, reply_type):
    """case -> (code, message, detail): rows of the contract that are the same for every type."""
    failed = f"An error occurred while processing {method}."
    bad = (13, f"Invalid {what} response type!", f"The response from the brick is not of type {reply_type}.")
    return {
        "garbage": bad,
        "error-field": bad,
        "fail": (2003, "bad param", "the detail"),
        "fail-zero": (0, "zero", ""),
        "fail-201": (201, "created", ""),
        "fail-200": bad,
        "fail-negative": (-5, "minus five", ""),
        "fail-braces": (5001, "Error code: 401 - {'error': {'message': \"{0}\"}}", "{} %s"),
        "enosys": (12, "", NOT_IMPLEMENTED),
        "errno": (13, "No such file or directory", failed),
    }


daemon = Brickd(brick_list("contract"), extra="log: { access: off }")
channel = None


@test
def unary_of_every_type():
    for name, (request, reply_type, field, payload, _) in SERVICES.items():
        good = bytes.fromhex(payload) + success(field)
        for case in "ok", "reserve":
            reply, status, details, trailers = call(channel, path(name, "Unary"), request("case:" + case).SerializeToString())
            eq((reply, status, details, trailers), (good, "OK", "", {}), f"{name} {case}")
        reply, status, _, _ = call(channel, path(name, "Unary"), request("case:three").SerializeToString())
        eq((reply, status), (good, "OK"), f"{name} three replies to one request: the first counts")
        ends = expected_ends("unary", "Unary", reply_type.DESCRIPTOR.name)
        ends["none"] = ends["garbage"]
        ends["send-then-fail"] = (4000, "later", "")
        for case, end in ends.items():
            reply, status, _, trailers = call(channel, path(name, "Unary"), request("case:" + case).SerializeToString())
            eq((reply, status, trailers), (error(field, *end), "OK", {}), f"{name} {case}")


@test
def empty_payloads():
    for name, (request, _, field, _, _) in SERVICES.items():
        reply, status, _, _ = call(channel, path(name, "Unary"), request("case:empty").SerializeToString())
        empty = b"\x0a\x00" if name in ("Common", "Compose") else b""
        eq((reply, status), (empty + success(field), "OK"), name)


@test
def service_info_of_every_type():
    for name in SERVICES:
        full = path(name, "GetServiceInfo")
        reply, status, _, _ = call(channel, full)
        eq((reply, status), (bytes.fromhex(INFO) + success(4), "OK"), name)
        ends = expected_ends("service info", "GetServiceInfo", "ServiceInfoResponse")
        ends["none"] = (12, "Service info not implemented!", "The brick did not implement service info.")
        for case, end in ends.items():
            reply, status, _, _ = call(channel, full, metadata=[("x-case", "case:" + case)])
            eq((reply, status), (error(4, *end), "OK"), f"{name} {case}")


@test
def output_streams():
    for name, (request, reply_type, field, payload, streams) in SERVICES.items():
        if not streams:
            continue
        full = path(name, "OutputStreaming")
        item = bytes.fromhex(payload) + success(field)
        for case, count in ("ok", 1), ("three", 3), ("none", 0):
            replies, status, details = stream(channel, full, request("case:" + case).SerializeToString())
            eq((replies, status, details), ([item] * count, "OK", ""), f"{name} {case}")
        ends = expected_ends("output streaming", "OutputStreaming", reply_type.DESCRIPTOR.name)
        for case, end in ends.items():
            replies, status, _ = stream(channel, full, request("case:" + case).SerializeToString())
            eq((replies, status), ([error(field, *end)], "OK"), f"{name} {case}")
        replies, status, _ = stream(channel, full, request("case:send-then-fail").SerializeToString())
        eq((replies, status), ([item, item, error(field, 4000, "later")], "OK"), name)
        replies, status, _ = stream(channel, full, request("case:three-then-garbage").SerializeToString())
        eq((replies, status), ([item] * 3 + [error(field, *ends["garbage"])], "OK"), name)


def common(text):
    return common_request(text).SerializeToString()


@test
def input_streams():
    full = path("Common", "InputStreaming")
    good = bytes.fromhex(SERVICES["Common"][3]) + success(2)
    rpc = channel.stream_unary(full)
    eq(rpc(iter([common("a"), common("b")]), timeout=10), good, "two requests")
    eq(rpc(iter([]), timeout=10), good, "no request")
    eq(rpc(iter([common("a"), common("case:fail"), common("b")]), timeout=10),
       error(2, 2003, "bad param", "the detail"), "an error")
    eq(rpc(iter([common("a"), b"\x0a\xff"]), timeout=10),
       error(2, 13, "Error parsing message with type 'protocols.grpc.common.CommonRequest'",
             "An error occurred while processing InputStreaming."), "not parseable")
    eq(rpc(iter([]), timeout=10, metadata=[("x-case", "case:none")]),
       error(2, 13, "Invalid input streaming response type!",
             "The response from the brick is not of type CommonResponse."), "no reply")
    # The reply may come before the client has sent all.
    done = threading.Event()

    def endless():
        while not done.is_set():
            yield common("case:stop")
            time.sleep(0.01)
    eq(rpc(endless(), timeout=10), good, "answered early")
    done.set()


@test
def bidi_streams():
    full = path("Common", "BidiStreaming")
    rpc = channel.stream_stream(full)
    texts = [common(str(i)) for i in range(200)]
    eq(list(rpc(iter(texts), timeout=20)), [t + success(2) for t in texts], "echo")
    eq(list(rpc(iter([]), timeout=10)), [], "empty")
    eq(list(rpc(iter([common("a"), common("case:fail"), common("b")]), timeout=10)),
       [common("a") + success(2), error(2, 2003, "bad param", "the detail")], "an error ends it")
    eq(list(rpc(iter([b"\x0a\xff"]), timeout=10)),
       [error(2, 13, "Error parsing message with type 'protocols.grpc.common.CommonRequest'",
              "An error occurred while processing BidiStreaming.")], "not parseable")


@test
def no_handler():
    with Brickd(brick_list("contract-unary")) as deaf:
        eq(call(deaf.channel(), path("LLM", "GetServiceInfo"))[0].hex(),
           "2259080c12286765745f736572766963655f696e666f2068616e646c6572206e6f7420696d706c656d656e7465641a2b5468652072"
           "6571756573746564206f7065726174696f6e206973206e6f7420696d706c656d656e7465642e")
    with Brickd(brick_list("contract-info")) as silent:
        ch = silent.channel()
        for name, (request, _, field, _, streams) in SERVICES.items():
            body = request("x").SerializeToString()
            eq(call(ch, path(name, "Unary"), body)[0],
               error(field, 12, "Unary handler not registered", NOT_IMPLEMENTED), name)
            if streams:
                eq(stream(ch, path(name, "OutputStreaming"), body)[0],
                   [error(field, 12, "Server streaming handler not registered", NOT_IMPLEMENTED)], name)
        eq(ch.stream_unary(path("Common", "InputStreaming"))(iter([common("a")]), timeout=10),
           error(2, 12, "Client streaming handler not registered", NOT_IMPLEMENTED))
        eq(list(ch.stream_stream(path("Common", "BidiStreaming"))(iter([common("a")]), timeout=10)),
           [error(2, 12, "Bidi streaming handler not registered", NOT_IMPLEMENTED)])
        # the golden bytes
        eq(call(ch, path("LLM", "Unary"), b"")[0].hex(),
           "224d080c121c556e6172792068616e646c6572206e6f7420726567697374657265641a2b54686520726571756573746564"
           "206f7065726174696f6e206973206e6f7420696d706c656d656e7465642e")


@test
def statuses_that_are_not_ok():
    for full in ("/no.such.Service/Unary", path("LLM", "NoSuchMethod"), path("Guard", "OutputStreaming"),
                 path("Rectify", "BidiStreaming")):
        eq(call(channel, full)[1:3], ("UNIMPLEMENTED", "Method not found!"), full)
    with Brickd("  - { name: llm, module: contract, options: { type: LLM } }",
                port_extra="    health: false\n    reflection: false") as plain:
        for full in ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
                     "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
            eq(call(plain.channel(), full)[1:3], ("UNIMPLEMENTED", "Method not found!"), full)
    for name, (request, _, _, _, streams) in SERVICES.items():
        kind = type(request("x")).DESCRIPTOR.full_name
        details = ("Unexpected <class 'google.protobuf.message.DecodeError'>: "
                   f"Error parsing message with type '{kind}'")
        eq(call(channel, path(name, "Unary"), b"\x0a\xff")[1:3], ("UNKNOWN", details), name)
        if streams:
            eq(stream(channel, path(name, "OutputStreaming"), b"\x0a\xff"), ([], "UNKNOWN", details), name)
        if name not in ("Common", "Compose"):
            eq(call(channel, path(name, "Unary"), b"\x0a\x02\xc3\x28")[1:3], ("UNKNOWN", details), name + " UTF-8")
    eq(call(channel, path("LLM", "GetServiceInfo"), b"\xff")[1], "UNKNOWN")
    eq(call(channel, path("LLM", "Unary"), SERVICES["LLM"][0]("case:status").SerializeToString())[1:3],
       ("FAILED_PRECONDITION", "not in this state"))


@test
def the_largest_request():
    def prompt(size):
        return llm_pb2.LLMRequest(prompt="x" * size).SerializeToString()
    body = prompt(4194293)
    eq(call(channel, path("LLM", "Unary"), body)[1], "OK", len(body))
    body = prompt(4194304)
    eq(call(channel, path("LLM", "Unary"), body)[1:3],
       ("RESOURCE_EXHAUSTED", f"Received message larger than max ({len(body)} vs. 4194304)"))


@test
def nested_requests():
    def nested(depth):
        value = struct_pb2.Value(string_value="x")
        for _ in range(depth):
            outer = struct_pb2.Value()
            outer.list_value.values.append(value)
            value = outer
        request = common_pb2.CommonRequest()
        request.data.fields["k"].CopyFrom(value)
        return request.SerializeToString()
    eq(call(channel, path("Common", "Unary"), nested(40))[1], "OK")
    # Deeper than any parser accepts, made by hand: a list in a list in a list ...
    body = b""
    for _ in range(30000):
        for tag in 0x0a, 0x32:
            n, head = len(body), bytearray([tag])
            while True:
                head.append(n & 127 | (128 if n > 127 else 0))
                n >>= 7
                if n == 0:
                    break
            body = bytes(head) + body
        if len(body) > 100000:
            break
    entry = b"\x0a\x01k\x12" + varint(len(body)) + body
    fields = b"\x0a" + varint(len(entry)) + entry
    eq(call(channel, path("Common", "Unary"), b"\x0a" + varint(len(fields)) + fields)[1], "UNKNOWN")
    eq(call(channel, path("Common", "Unary"), common("x"))[1], "OK", "still serves")


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


@test
def metadata_and_trailers():
    _, status, _, trailers = call(
        channel, path("LLM", "Unary"), llm_pb2.LLMRequest(prompt="case:metadata").SerializeToString(),
        metadata=[("x-one", "1"), ("x-bytes-bin", b"\x00\xff")])
    eq(status, "OK")
    eq((trailers["x-one"], trailers["found"], trailers["x-bytes-bin"]), ("1", "1", b"\x00\xff"))
    assert trailers["peer"].startswith("ipv4:127.0.0.1:"), trailers


@test
def compressed_requests_are_refused_before_they_are_inflated():
    _, status, _, _ = call(
        daemon.channel(**{"grpc.default_compression_algorithm": 2}), path("LLM", "Unary"),
        llm_pb2.LLMRequest(prompt="x" * 10000).SerializeToString())
    eq(status, "UNIMPLEMENTED")


@test
def deadlines_and_cancellation_reach_the_brick():
    with Brickd(brick_list("contract")) as timed:  # whose log has nothing of other tests
        wait, ch = llm_pb2.LLMRequest(prompt="case:wait").SerializeToString(), timed.channel()
        watch = Stopwatch()
        eq(call(ch, path("LLM", "Unary"), wait, timeout=0.3)[1], "DEADLINE_EXCEEDED")
        assert watch.elapsed().running < 5
        timed.says("waits, deadline set")
        timed.says("was told to give up")
        future = ch.unary_unary(path("LLM", "Unary")).future(wait)
        timed.says("waits, deadline none")
        future.cancel()
        timed.says("was told to give up", 2)
        # Also before the brick has had a message, and when the client is simply gone.
        rpc = ch.stream_stream(path("Common", "BidiStreaming"))(iter(threading.Event().wait, True),
                                                                metadata=[("x-case", "case:wait")])
        timed.says("common: waits")
        rpc.cancel()
        timed.says("was told to give up", 3)
        eq(timed.whole_log().count("was told to give up"), 3)


@test
def two_bricks_of_a_type_are_told_apart():
    bricks = """
  - { name: small, module: contract, options: { type: LLM }, default: true }
  - { name: big, module: contract-info, options: { type: LLM }, match: { x-brick: [huge], model_id: [m-big, m-huge] } }
"""
    with Brickd(bricks) as several:
        ch = several.channel()

        def answers(metadata=None, model=""):
            reply, status, _, _ = call(ch, path("LLM", "Unary"),
                                       llm_pb2.LLMRequest(model_id=model, prompt="x").SerializeToString(), metadata)
            if status != "OK":
                return status
            return "big" if llm_pb2.LLMResponse.FromString(reply).error.code == 12 else "small"
        eq(answers(), "small")
        eq(answers(model="m-big"), "big")
        eq(answers(model="m-huge"), "big")
        eq(answers(model="other"), "small")
        eq(answers([("x-brick", "big")]), "big")
        eq(answers([("x-brick", "huge")]), "big")
        eq(answers([("x-brick", "small")], model="m-big"), "small")
        eq(answers([("x-brick", "nobody")]), "NOT_FOUND")


@test
def two_bricks_of_a_type_must_say_which_calls_are_theirs():
    bricks = """
  - { name: one, module: contract, options: { type: LLM } }
  - { name: two, module: contract, options: { type: LLM } }
"""
    several = Brickd(bricks).start(ready=False)
    eq(several.process.wait(20), 78)
    several.says("exactly one of them needs `default: true`")
    several.says("brickd.yaml:")


@test
def no_bricks_at_all():
    with Brickd("  []") as empty:
        eq(call(empty.channel(), path("LLM", "Unary"))[1:3], ("UNIMPLEMENTED", "Method not found!"))
        empty.says("warning")


@test
def a_full_brick_says_when_to_come_back():
    bricks = """
  - { name: llm, module: contract, options: { type: LLM }, limits: { concurrency: 1, queue: 1 } }
"""
    with Brickd(bricks) as full:
        ch = full.channel()
        late = llm_pb2.LLMRequest(prompt="case:late").SerializeToString()
        first = ch.unary_unary(path("LLM", "Unary")).future(late, timeout=20)
        time.sleep(0.3)
        second = ch.unary_unary(path("LLM", "Unary")).future(late, timeout=20)
        time.sleep(0.3)
        _, status, _, trailers = call(ch, path("LLM", "Unary"), late)
        eq((status, trailers.get("grpc-retry-pushback-ms")), ("RESOURCE_EXHAUSTED", "1000"))
        good = bytes.fromhex(SERVICES["LLM"][3]) + success(4)
        eq((first.result(), second.result()), (good, good), "one in the brick, one in its queue")


@test
def a_brick_has_a_timeout_of_its_own():
    bricks = """
  - { name: llm, module: contract, options: { type: LLM }, limits: { timeout: 200ms } }
"""
    with Brickd(bricks) as timed:
        watch = Stopwatch()
        eq(call(timed.channel(), path("LLM", "Unary"), llm_pb2.LLMRequest(prompt="case:wait").SerializeToString())[1:3],
           ("DEADLINE_EXCEEDED", "Deadline Exceeded"))
        took = watch.elapsed()
        assert 0.15 < took.seconds and took.running < 3, took
        wait_for("cancel()", lambda: "was told to give up" in timed.log(), 20)


@test
def stop_within_the_grace():
    with Brickd(brick_list("contract"), extra="drain: { grace: 3s }") as stopping:
        ch = stopping.channel()
        late = ch.unary_unary(path("LLM", "Unary")).future(
            llm_pb2.LLMRequest(prompt="case:late").SerializeToString(), timeout=20)
        time.sleep(0.3)
        status, took = stopping.stop()
        eq(late.result(), bytes.fromhex(SERVICES["LLM"][3]) + success(4), "the running call is answered")
        eq(status, 0)
        assert took.running < 2.9, took
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", stopping.port)) != 0, "the listener is closed"


@test
def stop_when_the_grace_is_over():
    with Brickd(brick_list("contract"), extra="drain: { grace: 500ms }") as stopping:
        ch = stopping.channel()
        wait = llm_pb2.LLMRequest(prompt="case:wait").SerializeToString()
        future = ch.unary_unary(path("LLM", "Unary")).future(wait, timeout=20)
        wait_for("the call", lambda: "llm: waits" in stopping.log(), 20)
        status, took = stopping.stop(signal.SIGINT)
        eq((future.code().name, future.details()), ("UNAVAILABLE", "Cancelling all calls"))
        eq(status, 0)
        assert 0.45 < took.seconds and took.running < 2.5, took


@test
def stop_when_idle_is_at_once():
    with Brickd(brick_list("contract"), extra="drain: { grace: 15s }") as idle:
        eq(call(idle.channel(), path("LLM", "Unary"), b"")[1], "OK")
        status, took = idle.stop()
        eq(status, 0)
        assert took.running < 7, took  # a sanitizer looks for leaks at the end


@test
def a_taken_port_is_an_error_that_names_its_holder():
    second = Brickd(brick_list("contract"), port=daemon.port).start(ready=False)
    eq(second.process.wait(20), 69)
    line = second.log().strip().splitlines()[-1]
    assert daemon.address in line and "brickd" in line, second.log()


@test
def the_reply_on_the_wire():
    """Headers and trailers as nghttp sees them."""
    body = SERVICES["LLM"][0]("case:ok").SerializeToString()
    frame = os.path.join(daemon.dir, "frame")
    with open(frame, "wb") as f:
        f.write(b"\0" + len(body).to_bytes(4, "big") + body)
    out = subprocess.run(
        ["nghttp", "-v", "-d", frame, "-H", "content-type: application/grpc", "-H", "te: trailers", "-H",
         ":method: POST", f"http://{daemon.address}{path('LLM', 'Unary')}"],
        capture_output=True, timeout=20).stdout.decode(errors="replace")
    for line in (":status: 200", "content-type: application/grpc", "grpc-status: 0"):
        assert line in out, out
    assert "grpc-message" not in out, out


if __name__ == "__main__":
    with daemon:
        channel = daemon.channel()
        main()
