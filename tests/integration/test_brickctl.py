#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test_brickctl.py BRICKCTL FAKE_CONTROL COMPLETION PROTO_DIR

brickctl against a server that shares no code with it: grpcio's, with messages that protoc makes, in
this process. What brickd itself would say on its control socket, fake-control says."""

import concurrent.futures
import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback

import grpc

from stopwatch import Stopwatch

BRICKCTL, FAKE_CONTROL, COMPLETION = sys.argv[1:4]
PROTO_DIR = pathlib.Path(sys.argv[4])
FOLDER = tempfile.TemporaryDirectory(prefix="brickctl-")
TMP = pathlib.Path(FOLDER.name)

LIMIT = 30  # seconds that anything here may take


def compile_protos():
    subprocess.run(
        ["protoc", f"-I{PROTO_DIR}", "-I/usr/include", f"--python_out={TMP}"]
        + [str(p.relative_to(PROTO_DIR)) for p in PROTO_DIR.glob("protocols/grpc/*/*.proto")],
        check=True,
        cwd=PROTO_DIR,
    )
    sys.path.insert(0, str(TMP))


compile_protos()
# pylint: disable=wrong-import-position
from google.protobuf import json_format  # noqa: E402
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.compose import compose_pb2  # noqa: E402
from protocols.grpc.guard import guard_pb2  # noqa: E402
from protocols.grpc.intention import intention_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402
from protocols.grpc.rectify import rectify_pb2  # noqa: E402
from protocols.grpc.retrieval import retrieval_pb2  # noqa: E402
from protocols.grpc.translate import translate_pb2  # noqa: E402

OK = common_pb2.ErrorDetail(code=200)


class Server:
    """Answers as llmbrick's servers do. What a request's text says decides about the answer."""

    def __init__(self, address):
        self.seen = []  # (method, metadata) of each call
        self.cancelled = threading.Event()
        self.server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)]
        )
        self.server.add_generic_rpc_handlers([self.health()])
        for service in self.services():
            self.server.add_generic_rpc_handlers([service])
        port = self.server.add_insecure_port(address)
        self.address = address if address.startswith("unix:") else f"127.0.0.1:{port}"
        self.server.start()

    def note(self, method, context):
        self.seen.append((method, dict(context.invocation_metadata())))

    @staticmethod
    def health():
        def check(name, context):
            statuses = {
                "": b"\x08\x01",
                "b0": b"\x08\x01",
                "protocols.grpc.llm.LLMService": b"\x08\x01",
                "protocols.grpc.guard.GuardService": b"\x08\x02",
                "bad": b"\xff",
            }
            if name not in statuses:
                context.abort(grpc.StatusCode.NOT_FOUND, name)
            return statuses[name]

        handler = grpc.unary_unary_rpc_method_handler(check, lambda b: b[2:].decode())
        return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})

    def services(self):
        return [
            self.service(
                "llm.LLMService",
                {
                    "Unary": (llm_pb2.LLMRequest, self.llm),
                    "OutputStreaming": (llm_pb2.LLMRequest, self.llm_stream),
                },
            ),
            self.service("guard.GuardService", {"Unary": (guard_pb2.GuardRequest, self.guard)}),
            self.service(
                "intention.IntentionService",
                {"Unary": (intention_pb2.IntentionRequest, self.intention)},
            ),
            self.service(
                "rectify.RectifyService", {"Unary": (rectify_pb2.RectifyRequest, self.rectify)}
            ),
            self.service(
                "retrieval.RetrievalService",
                {"Unary": (retrieval_pb2.RetrievalRequest, self.retrieval)},
            ),
            self.service(
                "translate.TranslateService",
                {"Unary": (translate_pb2.TranslateRequest, self.translate)},
            ),
            self.service(
                "compose.ComposeService", {"Unary": (compose_pb2.ComposeRequest, self.compose)}
            ),
            self.service(
                "common.CommonService",
                {
                    "Unary": (common_pb2.CommonRequest, self.common),
                    "OutputStreaming": (common_pb2.CommonRequest, self.common_stream),
                    "InputStreaming": (common_pb2.CommonRequest, self.common_input),
                    "BidiStreaming": (common_pb2.CommonRequest, self.common_bidi),
                },
            ),
        ]

    def service(self, name, methods):
        kinds = {
            "Unary": grpc.unary_unary_rpc_method_handler,
            "OutputStreaming": grpc.unary_stream_rpc_method_handler,
            "InputStreaming": grpc.stream_unary_rpc_method_handler,
            "BidiStreaming": grpc.stream_stream_rpc_method_handler,
        }
        handlers = {
            method: kinds[method](
                behaviour,
                request_deserializer=request.FromString,
                response_serializer=lambda reply: (
                    reply if isinstance(reply, bytes) else reply.SerializeToString()
                ),
            )
            for method, (request, behaviour) in methods.items()
        }
        handlers["GetServiceInfo"] = grpc.unary_unary_rpc_method_handler(
            self.info,
            request_deserializer=common_pb2.ServiceInfoRequest.FromString,
            response_serializer=lambda reply: reply.SerializeToString(),
        )
        return grpc.method_handlers_generic_handler(f"protocols.grpc.{name}", handlers)

    def info(self, _, context):
        self.note("GetServiceInfo", context)
        model = common_pb2.ModelInfo(
            model_id="m-1", supported_languages=["en", "zh"], support_streaming=True
        )
        return common_pb2.ServiceInfoResponse(
            service_name="test", version="1.2", models=[model], error=OK
        )

    def llm(self, request, context):
        self.note("Unary", context)
        if request.prompt == "slow":
            time.sleep(2)
        if request.prompt == "fail":
            error = common_pb2.ErrorDetail(code=2003, message="bad prompt", detail="no luck")
            return llm_pb2.LLMResponse(error=error)
        if request.prompt == "abort":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")
        if request.prompt == "no message":
            return b"\x0a\x05cut"
        if request.prompt == "no text":
            return b"\x0a\x01\xff"
        if request.prompt == "escape":
            return llm_pb2.LLMResponse(text="\x1b[2Jred\u009b1m", error=OK)
        text = f"{request.prompt}/{request.temperature:.1f}/{request.max_tokens}"
        text += "".join(f"/{c.role}:{c.content}" for c in request.context)
        return llm_pb2.LLMResponse(text=text, tokens=["a", "b"], is_final=True, error=OK)

    def llm_stream(self, request, context):
        self.note("OutputStreaming", context)
        context.add_callback(self.cancelled.set)
        for i in range(1000 if request.prompt == "endless" else 4):
            if request.prompt == "fail" and i == 2:
                error = common_pb2.ErrorDetail(code=500, message="broke")
                yield llm_pb2.LLMResponse(error=error)
                return
            yield llm_pb2.LLMResponse(text=f"w{i} ", is_final=i == 3, error=OK)
            time.sleep(0.3 if request.prompt in ("drip", "endless") else 0)

    def guard(self, request, context):
        self.note("Unary", context)
        result = guard_pb2.GuardResult(is_attack=True, confidence=0.7, detail=request.text)
        return guard_pb2.GuardResponse(results=[result, guard_pb2.GuardResult()], error=OK)

    def intention(self, request, _):
        result = intention_pb2.IntentionResult(intent_category=request.text, confidence=0.1)
        return intention_pb2.IntentionResponse(results=[result], error=OK)

    def rectify(self, request, _):
        return rectify_pb2.RectifyResponse(corrected_text=request.text.upper(), error=OK)

    def retrieval(self, request, _):
        documents = [
            retrieval_pb2.Document(doc_id=str(i), title=request.query, snippet="x\ny", score=1 / 3)
            for i in range(request.max_results)
        ]
        for i, document in enumerate(documents):
            document.metadata.update({"rank": i, "tags": ["a", None, 1.5, True], "in": {"k": "v"}})
        return retrieval_pb2.RetrievalResponse(documents=documents, error=OK)

    def translate(self, request, _):
        text = f"{request.text}>{request.target_language}"
        return translate_pb2.TranslateResponse(
            text=text, language_code=request.target_language, is_final=True, error=OK
        )

    def compose(self, request, _):
        reply = compose_pb2.ComposeResponse(error=OK)
        reply.output.update({d.doc_id: json_format.MessageToDict(d.metadata) for d in
                             request.input_documents})
        return reply

    def common(self, request, _):
        return common_pb2.CommonResponse(data=request.data, error=OK)

    def common_stream(self, request, _):
        for _ in range(2):
            yield common_pb2.CommonResponse(data=request.data, error=OK)

    def common_input(self, requests, _):
        reply = common_pb2.CommonResponse(error=OK)
        reply.data.update({"n": [json_format.MessageToDict(r.data) for r in requests]})
        return reply

    def common_bidi(self, requests, context):
        context.add_callback(self.cancelled.set)
        for request in requests:
            if "end" in request.data:
                return
            yield common_pb2.CommonResponse(data=request.data, error=OK)


SERVER = Server("127.0.0.1:0")


def environment():
    drop = ("NO_COLOR", "BRICKD_CONFIG", "BRICKD_BIN", "BRICKD_LIBEXEC")
    keep = {k: v for k, v in os.environ.items() if k not in drop}
    return keep | {"TERM": "xterm", "http_proxy": "http://127.0.0.1:9"}


def brickctl(*arguments, stdin="", status=0, address=True):
    """Runs it; what it printed to stdout and to stderr."""
    command = [BRICKCTL, *arguments]
    if address:
        command[1:1] = ["--address", SERVER.address]
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=environment(),
        check=False,
    )
    assert done.returncode == status, (command, done)
    return done.stdout, done.stderr


def start(*arguments, stdin=subprocess.DEVNULL):
    return subprocess.Popen(
        [BRICKCTL, "--address", SERVER.address, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def read_until(stream, text):
    """Reads what is there, as it comes, until it ends with the text."""
    got = ""
    end = time.monotonic() + LIMIT
    while not got.endswith(text):
        ready, _, _ = select.select([stream], [], [], max(0, end - time.monotonic()))
        assert ready, f"only {got!r}"
        piece = os.read(stream.fileno(), 4096).decode()
        assert piece, f"ended after {got!r}"
        got += piece
    return got


def on_terminal(*arguments):
    """What it prints to a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [BRICKCTL, "--address", SERVER.address, *arguments], stdout=slave, env=environment()
    )
    os.close(slave)
    got = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # Linux's end of file
            break
        got += piece
    os.close(master)
    assert process.wait(LIMIT) == 0
    return got.decode()


def reference(reply):
    """The JSON that protobuf's own mapping makes."""
    return json_format.MessageToDict(
        reply, including_default_value_fields=True, preserving_proto_field_name=True
    )


class Control:
    """A fake brickd's control socket, with a configuration that names it."""

    count = 0

    def __init__(self, ports=("127.0.0.1:0",), **answers):
        Control.count += 1
        self.folder = TMP / f"control-{Control.count}"
        self.folder.mkdir()
        self.config = self.folder / "brickd.yaml"
        self.config.write_text(
            f"control: {self.folder}/socket\nmodules: {self.folder}\nports:\n"
            + "".join(f"  - {{ listen: {port!r}, bricks: [b{i}] }}\n"
                      for i, port in enumerate(ports))
            + "bricks:\n"
            + "".join(f"  - {{ name: b{i}, module: m{i} }}\n" for i, _ in enumerate(ports))
        )
        for method, answer in answers.items():
            (self.folder / method.replace("_", ".")).write_text(answer)
        self.process = subprocess.Popen(
            [FAKE_CONTROL, self.folder / "socket", self.folder], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "listening\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def brickctl(self, *arguments, **options):
        return brickctl("-c", self.config, *arguments, address=False, **options)

    def arguments_of(self, method):
        return (self.folder / f"{method}.arguments").read_text()


def brick(**more):
    return {"name": "b0", "type": "Guard", "module": "m0", "state": "ready", "in_flight": 3, "queued": 4, "calls": 30,
            "failures": 1} | more


def worker(pid, generation, state):
    return {
        "pid": pid,
        "index": 0,
        "generation": generation,
        "state": state,
        "uptime_seconds": 3700,
        "restarts": 2,
        "status": None if state == "starting" else {"connections": 7, "in_flight": 1},
    }


def make_status(**more):
    status = {
        "version": "1.9.9",
        "state": "serving",
        "pid": 4242,
        "config": "/etc/brickd/brickd.yaml",
        "generation": 3,
        "uptime_seconds": 93784,
        "ports": [{"listen": "127.0.0.1:0", "address": SERVER.address}],
        "workers": [
            worker(11, 2, "retiring"),
            worker(12, 3, "ready"),
            worker(13, 3, "starting"),
        ],
        "bricks": [brick()],
        "last_reload": {"ok": False, "generation": 4, "text": "f:1:1: no\nmore", "time": int(time.time()) - 65},
    }
    return json.dumps(status | more)


def test_text_answer():
    request = '{"prompt":"hi","temperature":0.5,"max_tokens":7,"context":[{"role":"r","content":"c"}]}'
    assert brickctl("call", "LLM", request) == ("hi/0.5/7/r:c\n", "")
    assert SERVER.seen[-1][0] == "Unary"
    assert "x-brick" not in SERVER.seen[-1][1]
    assert SERVER.seen[-1][1]["user-agent"].startswith("brickctl/")


def test_short_form():
    assert brickctl("call", "llm", "hello there")[0] == "hello there/0.0/0\n"
    assert brickctl("call", "llm", '"a \\u00e9"')[0] == "a é/0.0/0\n"
    assert brickctl("call", "LLMService", "-", stdin="from\nstdin\n")[0] == "from\nstdin\n/0.0/0\n"
    assert brickctl("call", "protocols.grpc.rectify.RectifyService", "x")[0] == "X\n"


def test_json_is_protobufs():
    cases = [
        ("LLM", SERVER.llm, llm_pb2.LLMRequest(prompt="x")),
        ("Guard", SERVER.guard, guard_pb2.GuardRequest(text="ü\n")),
        ("Intention", SERVER.intention, intention_pb2.IntentionRequest(text="t")),
        ("Rectify", SERVER.rectify, rectify_pb2.RectifyRequest(text="t")),
        ("Retrieval", SERVER.retrieval, retrieval_pb2.RetrievalRequest(query="q", max_results=3)),
        ("Translate", SERVER.translate, translate_pb2.TranslateRequest(text="t", target_language="d")),
    ]
    compose = compose_pb2.ComposeRequest(input_documents=[compose_pb2.Document(doc_id="d")])
    compose.input_documents[0].metadata.update({"a": {"b": [1, 2.5, None, "s", False, {}]}})
    common = common_pb2.CommonRequest()
    common.data.update({"big": 1e300, "int": 2**40, "neg": -0.1, "none": None, "e": [], "o": {}})
    cases += [("Compose", SERVER.compose, compose), ("Common", SERVER.common, common)]

    class Context:
        def invocation_metadata(self):
            return ()

    for service, handler, request in cases:
        text = json.dumps(reference(request))
        out, _ = brickctl("call", "--json", service, text)
        assert out.count("\n") == 1, out
        assert json.loads(out) == reference(handler(request, Context())), out


def test_tree():
    out, _ = brickctl("call", "Retrieval", '{"query":"q","max_results":1}')
    assert "documents:\n  - doc_id: 0\n    title: q\n    snippet: \n      x\n      y\n" in out, out
    assert "score: 0.333333" in out and "error" not in out, out


def test_info():
    out, _ = brickctl("info", "guard")
    assert "service_name: test\n" in out and "supported_languages:\n" in out, out
    out, _ = brickctl("call", "guard", "info", "--json")
    assert json.loads(out)["models"][0]["model_id"] == "m-1"


def test_brick_by_name():
    brickctl("call", "--type", "guard", "shield", "x")
    assert SERVER.seen[-1][1]["x-brick"] == "shield"


def test_metadata():
    brickctl("call", "guard", "x", "-m", "tenant=a=b", "--metadata", "x-bin=\x7f")
    assert SERVER.seen[-1][1]["tenant"] == "a=b"
    assert SERVER.seen[-1][1]["x-bin"] == b"\x7f"
    for wrong in ("Tenant=a", "tenant", "a=\n", "grpc-timeout=1", "=x"):
        assert "--metadata" in brickctl("call", "guard", "x", "-m", wrong, status=64)[1]


def test_brick_error():
    out, err = brickctl("call", "llm", "fail", status=1)
    assert (out, err) == ("", "brick error 2003: bad prompt (no luck)\n")
    out, err = brickctl("call", "llm", "fail", "--json", status=1)
    assert json.loads(out)["error"]["code"] == 2003 and err.startswith("brick error 2003")
    assert brickctl("call", "llm", "--stream", "fail", status=1) == (
        "w0 w1 \n",
        "brick error 500: broke\n",
    )


def test_grpc_error():
    out, err = brickctl("call", "llm", "abort", status=2)
    assert (out, err) == ("", "gRPC error PERMISSION_DENIED: not you\n")
    watch = Stopwatch()
    _, err = brickctl("call", "llm", "slow", "--timeout", "300ms", status=2)
    assert err.startswith("gRPC error DEADLINE_EXCEEDED"), err
    assert watch.elapsed().running < 5


def test_reply_that_cannot_be_read():
    for prompt in ("no message", "no text"):
        out, err = brickctl("call", "llm", prompt, status=2)
        assert (out, err) == ("", "brickctl: The reply is not a valid LLMResponse\n")


def test_unreachable():
    for address in ("127.0.0.1:1", "unix:/nowhere/socket"):
        _, err = brickctl("call", "-a", address, "llm", "x", status=2, address=False)
        assert err.startswith("gRPC error UNAVAILABLE: "), err


def test_unix_socket():
    server = Server(f"unix:{TMP}/socket")
    out, _ = brickctl("call", "-a", server.address, "rectify", "over unix", address=False)
    assert out == "OVER UNIX\n"
    server.server.stop(None).wait()


def test_stream():
    assert brickctl("call", "llm", "-s", "x")[0] == "w0 w1 w2 w3 \n"
    out, _ = brickctl("call", "llm", "outputstreaming", "x", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["text"] for line in lines] == ["w0 ", "w1 ", "w2 ", "w3 "]
    assert [line["is_final"] for line in lines] == [False, False, False, True]
    out, _ = brickctl("call", "common", "-s", '{"data":{"a":"b"}}')
    assert out == "data:\n  a: b\n\ndata:\n  a: b\n", out


def test_stream_comes_as_it_is_made():
    process = start("call", "llm", "--stream", "drip")
    read_until(process.stdout, "w0 ")
    first = time.monotonic()
    read_until(process.stdout, "w3 \n")
    assert time.monotonic() - first > 0.6
    assert process.wait(LIMIT) == 0


def test_input_streaming():
    lines = "".join(f'{{"data":{{"i":{i}}}}}\n' for i in range(100)) + '\n{"data":{"i":100}}'
    out, _ = brickctl("call", "common", "InputStreaming", "--json", stdin=lines)
    assert json.loads(out)["data"]["n"] == [{"i": i} for i in range(101)]
    out, _ = brickctl("call", "common", "InputStreaming", "--json")
    assert json.loads(out)["data"]["n"] == []


def test_bidi_is_a_conversation():
    process = start("call", "common", "BidiStreaming", "-", "--json", stdin=subprocess.PIPE)
    for i in range(3):
        process.stdin.write(f'{{"data":{{"i":{i}}}}}\n')
        process.stdin.flush()
        assert json.loads(read_until(process.stdout, "\n"))["data"] == {"i": i}
    process.stdin.close()
    assert process.wait(LIMIT) == 0


def test_bidi_that_the_server_ends():
    process = start("call", "common", "BidiStreaming", stdin=subprocess.PIPE)
    process.stdin.write('{"data":{"end":true}}\n')
    process.stdin.flush()
    assert process.wait(LIMIT) == 0  # though stdin is still open
    process.stdin.close()


def test_wrong_line():
    lines = '{"data":{}}\n{"data":1}\n'
    _, err = brickctl("call", "common", "BidiStreaming", stdin=lines, status=64)
    assert err == "brickctl: line 2: data: expected an object, got a number\n", err


def test_wrong_requests():
    cases = {
        '{"promt":"x"}': "promt: no such field; did you mean 'prompt'?",
        '{"context":[{"role":1}]}': "context[0].role: expected a string, got a number",
        '{"max_tokens":1.5}': "max_tokens: expected an integer, got a fraction",
        '{"max_tokens":3000000000}': "max_tokens: out of range",
        '{"prompt":': "not JSON: ",
    }
    for request, reason in cases.items():
        err = brickctl("call", "llm", request, status=64)[1]
        assert err.startswith(f"brickctl: Invalid request: {reason}"), err


def test_usage():
    for arguments in (
        [],
        ["cal"],
        ["call"],
        ["call", "lm", "x"],
        ["call", "llm"],
        ["call", "llm", "Bidi", "x"],
        ["call", "guard", "--stream", "x"],
        ["call", "llm", "Unary", "--stream", "x"],
        ["call", "llm", "x", "--timeout", "soon"],
        ["call", "llm", "x", "--wait"],
        ["call", "--type", "nothing", "llm", "x"],
        ["log-level", "loud"],
        ["log-level", "--brick", "a", "--module", "b", "info"],
        ["help", "nothing"],
    ):
        command = [BRICKCTL, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        assert done.returncode == 64 and done.stderr and not done.stdout, (command, done)


def test_interrupt_cancels():
    SERVER.cancelled.clear()
    process = start("call", "llm", "--stream", "endless")
    read_until(process.stdout, "w0 ")
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT) == -signal.SIGINT
    assert SERVER.cancelled.wait(5)


def test_reader_that_goes_away():
    process = start("call", "llm", "--stream", "endless")
    read_until(process.stdout, "w0 ")
    process.stdout.close()
    assert process.wait(LIMIT) == -signal.SIGPIPE


def test_full_disk():
    with open("/dev/full", "w", encoding="utf-8") as full:
        command = [BRICKCTL, "call", "-a", SERVER.address, "llm", "x"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 74 and b"Failed to write" in done.stderr, done


def test_terminal():
    tree = on_terminal("call", "guard", "x")
    assert "\033[1mresults" in tree
    assert "\033[" not in on_terminal("call", "guard", "x", "--no-color")
    assert "\033[" not in brickctl("call", "guard", "x")[0]
    assert on_terminal("call", "llm", "escape").rstrip() == "\\x1b[2Jred\\x9b1m"


def test_status():
    with Control(Status=make_status()) as control:
        out, _ = control.brickctl("status")
        assert "brickd        1.9.9, serving, pid 4242, up 1 d 2 h\n" in out, out
        assert "/etc/brickd/brickd.yaml, generation 3\n" in out
        assert re.search(r"last reload   failed 1 min \d+ s ago: f:1:1: no\n", out), out
        lines = out.splitlines()
        assert lines[-5].split() == ["12", "3", "ready", "1", "h", "1", "min", "2", "7", "1"], lines
        assert lines[-4].split()[-2:] == ["-", "-"], lines
        assert json.loads(control.brickctl("status", "--json")[0])["pid"] == 4242


def test_unhealthy_brick():
    bricks = [brick(state="unhealthy", unhealthy="its index is gone"), brick(name="b1", state="retiring")]
    with Control(Status=make_status(bricks=bricks)) as control:
        rows = [line.split() for line in control.brickctl("list")[0].splitlines()]
        assert rows[1][3] == "unhealthy" and rows[2][3] == "retiring", rows
        out, _ = control.brickctl("status")
        assert out.endswith("\n\nb0 is not healthy: its index is gone\n"), out


def test_list():
    with Control(Status=make_status()) as control:
        out, _ = control.brickctl("list")
        head, row = out.splitlines()
        assert head.split() == "NAME TYPE MODULE STATE CALLS FAILED IN FLIGHT QUEUED".split()
        assert row.split() == ["b0", "Guard", "m0", "ready", "30", "1", "3", "4"]
        assert json.loads(control.brickctl("list", "-j")[0])[0]["calls"] == 30


def make_stats(seconds, calls, failures, buckets, total):
    """Of one brick, at a time; its calls' durations by buckets up to 10 ms, 100 ms, and more."""
    return json.dumps({
        "version": "1.9.9", "state": "serving", "generation": 3, "workers": 2, "workers_ready": 1,
        "time": int(seconds * 1e9), "bounds": [10_000_000, 100_000_000],
        "bricks": [brick(calls=calls, failures=failures,
                         duration={"sum": int(total * 1e9), "buckets": buckets}),
                   brick(name="idle", calls=0, duration={"sum": 0, "buckets": [0, 0, 0]})],
    })


def test_top_as_lines():
    for options, first in ([], "TIME"), (["--json"], None):
        with Control(Stats=make_stats(10, 100, 5, [50, 50, 0], 3)) as control:
            command = [BRICKCTL, "-c", control.config, "top", "-i", "1s", "--count=2", *options]
            top = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
            if first:
                assert top.stdout.readline().split()[0] == first
            else:
                while not (control.folder / "Stats.arguments").exists():
                    time.sleep(0.01)
                time.sleep(0.2)
            # 20 calls in 2 s, one of which has failed; half of them took up to 10 ms, half up to 100 ms
            (control.folder / "new").write_text(make_stats(12, 120, 6, [60, 60, 0], 3.5))
            (control.folder / "new").rename(control.folder / "Stats")
            out, _ = top.communicate(timeout=LIMIT)
            assert top.returncode == 0
            lines = out.splitlines()
            if first:
                cells = [line.split()[1:] for line in lines]
                want = ["Guard", "ready", "10.0", "0.5", "25.0ms", "10.0ms", "98.2ms", "3", "4"]
                assert cells[0] == ["b0", *want], cells
                assert cells[1] == ["idle", "Guard", "ready", "0.0", "0.0", "-", "-", "-", "3", "4"], cells
                assert len(cells) == 4 and cells[2][3:8] == ["0.0", "0.0", "-", "-", "-"], cells
            else:
                row = json.loads(lines[0])[0]
                assert (row["calls_per_second"], row["failures_per_second"], row["mean_seconds"]) == (10, 0.5, 0.025)
                assert json.loads(lines[1])[0]["p99_seconds"] is None


def test_top_without_brickd():
    with Control() as control:
        control.process.kill()
        control.process.wait()
        for arguments in ["top"], ["top", "--json", "-n1"]:
            assert "brickd is not running" in control.brickctl(*arguments, status=2)[1]
        control.brickctl("top", "-i", "1ms", status=64)
        control.brickctl("top", "-n", "0", status=64)


class Terminal:
    """A program on a terminal of its own, and what it has drawn."""

    def __init__(self, command, columns, lines):
        self.fd, slave = pty.openpty()
        self.process = subprocess.Popen(["setsid", "--ctty", *command], env=environment(),
                                        stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.drawn, self.seen = "", ""
        self.resize(columns, lines)

    def resize(self, columns, lines):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def wait_for(self, text):
        end = time.monotonic() + LIMIT
        while text not in self.drawn:
            assert select.select([self.fd], [], [], end - time.monotonic())[0], (text, self.drawn)
            new = os.read(self.fd, 65536).decode()
            self.drawn += new
            self.seen += new
        drawn, self.drawn = self.drawn, ""
        return drawn

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def exit_status(self):
        with contextlib.suppress(OSError):
            while os.read(self.fd, 65536):
                pass
        os.close(self.fd)
        return self.process.wait(LIMIT)


def test_top_on_a_terminal():
    with Control(Stats=make_stats(10, 100, 5, [50, 50, 0], 3)) as control:
        top = Terminal([BRICKCTL, "-c", control.config, "top", "-i", "200ms"], 110, 24)
        drawn = top.wait_for("idle")
        assert "generation 3, 1 of 2 workers ready" in drawn and "by name" in drawn, drawn
        top.press("c")
        top.wait_for("calls")
        top.resize(30, 5)
        drawn = top.wait_for("b0")
        assert "idle" not in drawn and "QUEUED" not in drawn, drawn
        top.resize(110, 24)
        top.wait_for("idle")
        control.process.kill()
        control.process.wait()
        top.wait_for("fused")  # of "Connection refused": only what changes is drawn
        assert "No answer from brickd" in top.seen, top.seen
        top.press("q")
        assert top.exit_status() == 0

        unknown = [BRICKCTL, "-c", control.config, "top"]
        assert Terminal(unknown, 80, 24).exit_status() == 2


def test_list_without_brickd():
    with Control() as control:
        control.process.kill()
        control.process.wait()
        out, err = control.brickctl("list")
        assert out.splitlines()[1].split() == ["b0", "-", "m0", "stopped"] + ["0"] * 4 and not err
        _, err = control.brickctl("status", status=2)
        assert err.startswith("brickctl: brickd is not running: nothing listens on "), err
        control.config.write_text("bricks: 7\n")
        assert "brickd.yaml:1:9: bricks: " in control.brickctl("list", status=78)[1]
        control.config.write_text("control: null\nbricks: 7\n")
        assert "no control socket" in control.brickctl("status", status=78)[1]


def test_default_file_with_mistakes():
    # under a directory of our own at the default's place, which is the build's
    default = re.search(r"otherwise (/\S+)", brickctl("help", "list", address=False)[0]).group(1)
    place = next(p for p in pathlib.Path(default).parents if p.is_dir())
    if os.geteuid() != 0 or str(place) == "/" or subprocess.run(
            ["unshare", "-m", "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        return
    hide = 'mount -t tmpfs none "$1" && mkdir -p "${2%/*}" && printf "%s" "$3" >"$2" && exec "$4" status'

    def status_of(text):
        return subprocess.run(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", hide, "sh", place, default, text, BRICKCTL],
            capture_output=True, text=True, timeout=LIMIT, check=False, env=environment())

    with Control(Status=make_status()) as control:
        done = status_of(f"control: {control.folder}/socket\nbricks: 7\n")
        assert done.returncode == 0 and "b0" in done.stdout, done
        done = status_of("control: [\n")
        assert done.returncode == 78 and "not running" not in done.stderr and default in done.stderr, done


def test_socket_of_somebody_else():
    if os.geteuid() == 0:
        as_nobody = ["setpriv", "--reuid=65534", "--clear-groups"]
    else:
        as_nobody = []
    with Control(Status=make_status()) as control:
        (control.folder / "socket").chmod(0)
        os.chmod(TMP, 0o755)
        program = shutil.copy(BRICKCTL, TMP)  # where anybody can run it
        command = as_nobody + [program, "status", "--control", f"{control.folder}/socket"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        assert done.returncode == 2 and "run brickctl as root or as the user of brickd" in done.stderr, done


def test_reload():
    with Control(Reload="serving 2 bricks") as control:
        assert control.brickctl("reload") == ("serving 2 bricks\n", "")
        assert control.arguments_of("Reload") == "false"
        out, _ = control.brickctl("reload", "--wait", "--json")
        assert json.loads(out) == {"ok": True, "text": "serving 2 bricks"}
        assert control.arguments_of("Reload") == "true"


def test_reload_that_fails():
    text = "f.yaml:3:1: ports: expected a list\nf.yaml:4:1: x: unknown"
    with Control(Reload_error=f"org.brickd.Error.Config\n{text}") as control:
        assert control.brickctl("reload", status=78) == ("", f"{text}\n")
    with Control(Reload_error="org.brickd.Error.Failed\nworker died") as control:
        assert control.brickctl("reload", status=1) == ("", "worker died\n")
        out, _ = control.brickctl("reload", "--json", status=1)
        assert json.loads(out) == {"ok": False, "text": "worker died"}
        assert control.brickctl("reload", "--quiet", status=1) == ("", "")


def test_reload_of_a_file_that_is_wrong():
    with Control(Reload_error="org.brickd.Error.Config\nit is wrong") as control:
        socket = f"control: {control.folder}/socket\n"
        control.config.write_text(socket + "ports: 7\n")  # brickd is asked, and says it
        assert control.brickctl("reload", status=78)[1] == "it is wrong\n"
        control.config.write_text(socket + "ports: [\n")  # who knows what it means
        assert "--control" in control.brickctl("reload", status=78)[1]
        assert control.brickctl("reload", "--control", f"{control.folder}/socket", status=78)[
            1
        ] == ("it is wrong\n")


def test_stop_and_log_level():
    with Control(Stop="", LogLevel="") as control:
        assert control.brickctl("stop") == ("", "")
        assert control.brickctl("log-level", "debug") == ("", "")
        assert control.arguments_of("LogLevel") == "debug,,"
        control.brickctl("log-level", "--brick", "chat", "info")
        assert control.arguments_of("LogLevel") == "info,chat,"
        control.brickctl("log-level", "info", "--module=openai")
        assert control.arguments_of("LogLevel") == "info,,openai"


def test_brickd_that_does_not_answer():
    with Control() as control:
        watch = Stopwatch()
        err = control.brickctl("status", "--timeout", "300ms", status=2)[1]
        assert "did not answer" in err and watch.elapsed().running < 2, err
        control.process.send_signal(signal.SIGSTOP)
        err = control.brickctl("status", "--timeout", "300ms", status=2)[1]
        assert "did not answer" in err and watch.elapsed().running < 4, err


def test_call_by_configuration():
    with Control(Status=make_status()) as control:
        control.brickctl("call", "b0", "hi")
        assert SERVER.seen[-1][1]["x-brick"] == "b0"
        control.brickctl("call", "Guard", "hi")
        assert "x-brick" not in SERVER.seen[-1][1]
        err = control.brickctl("call", "b9", "hi", status=64)[1]
        assert err == "brickctl: There is no brick or service 'b9'; did you mean 'b0'?\n", err


def test_health():
    port = SERVER.address.partition(":")[2]
    assert brickctl("health")[0] == "SERVING\n"
    assert json.loads(brickctl("health", "--json", "llm")[0]) == {
        "name": "protocols.grpc.llm.LLMService",
        "status": "SERVING",
    }
    assert brickctl("health", "guard", status=1)[0] == "NOT_SERVING\n"
    assert brickctl("health", "b7", status=2)[1] == "gRPC error NOT_FOUND: b7\n"
    assert brickctl("health", "bad", status=2)[1] == "brickctl: The reply is not a valid HealthCheckResponse\n"
    brickctl("health", "a", "b", status=64)
    with Control(ports=[f"[::]:{port}", "127.0.0.1:1"]) as control:
        control.config.write_text(
            control.config.read_text().replace(" bricks: [b0]", " allow_insecure: true, bricks: [b0]")
        )
        assert control.brickctl("health")[0] == "SERVING\n"
        assert control.brickctl("health", "b0")[0] == "SERVING\n"
        assert control.brickctl("health", "b1", status=2)[1].startswith("gRPC error UNAVAILABLE: ")
        err = control.brickctl("health", "b9", status=64)[1]
        assert err == "brickctl: There is no brick or service 'b9'; did you mean 'b0'?\n", err


def test_call_the_port_that_has_the_brick():
    port = SERVER.address.partition(":")[2]
    with Control(ports=["127.0.0.1:1", f"[::]:{port}", "unix:/nowhere"]) as control:
        control.config.write_text(
            control.config.read_text().replace(" bricks: [b1]", " allow_insecure: true, bricks: [b1]")
        )
        control.brickctl("call", "--type", "guard", "b1", "hi")
        assert SERVER.seen[-1][1]["x-brick"] == "b1"
        err = control.brickctl("call", "--type", "guard", "b0", "hi", status=2)[1]
        assert "127.0.0.1:1" in err, err
        err = control.brickctl("call", "--type", "guard", "b2", "hi", status=2)[1]
        assert "/nowhere" in err, err


def test_open():
    def page(text, env=None, status=0):
        file = TMP / "open.yaml"
        file.write_text(f"bricks: [{{ name: b, module: echo }}]\ncontrol: null\nports:\n{text}")
        env = os.environ | {"DISPLAY": "", "WAYLAND_DISPLAY": ""} | (env or {})
        done = subprocess.run([BRICKCTL, "open", "-c", file], capture_output=True, text=True, timeout=LIMIT,
                              check=False, env=env)
        assert done.returncode == status, done
        return (done.stderr if status else done.stdout).rstrip("\n")

    grpc_port = "  - listen: 127.0.0.1:1\n"
    http_port = "  - { listen: 127.0.0.1:8081, protocol: http }\n"
    assert page(grpc_port + http_port) == "http://127.0.0.1:8081/"
    assert page("  - { listen: '[::]:443', protocol: http, allow_insecure: true }\n") == "http://127.0.0.1:443/"
    assert page("  - { listen: 'unix:/s', protocol: http }\n" + http_port) == "http://127.0.0.1:8081/"
    for without in (grpc_port, "  - { listen: 127.0.0.1:1, protocol: http, http: { page: false } }\n"):
        assert page(without, status=78).endswith("open.yaml: no port serves the page; add one with 'protocol: http'")
    assert "only a running brickd knows" in page("  - { listen: 127.0.0.1:0, protocol: http }\n", status=2)
    # a desktop, whose program says nothing to the user
    programs = TMP / "desktop"
    programs.mkdir()
    os.mkfifo(programs / "seen")
    (programs / "xdg-open").write_text(f'#!/bin/sh\necho hello\necho hello >&2\necho "$1" >{programs}/seen\n')
    (programs / "xdg-open").chmod(0o755)
    env = {"DISPLAY": ":0", "PATH": f"{programs}:/usr/bin:/bin"}
    assert page(http_port, env) == "http://127.0.0.1:8081/"
    assert (programs / "seen").read_text() == "http://127.0.0.1:8081/\n"
    # no such program: the user has the address
    assert page(http_port, env | {"PATH": "/nonexistent"}) == "http://127.0.0.1:8081/"


def test_only_ports_for_grpc_are_called():
    port = SERVER.address.partition(":")[2]
    with Control(ports=["127.0.0.1:1", f"127.0.0.1:{port}"]) as control:
        text = control.config.read_text().replace("'127.0.0.1:1', bricks: [b0]", "'127.0.0.1:1', protocol: http")
        control.config.write_text(text)
        control.brickctl("call", "--type", "guard", "b0", "hi", status=0)
        assert SERVER.seen[-1][1]["x-brick"] == "b0"
        control.config.write_text(text.replace(f"'127.0.0.1:{port}'", f"'127.0.0.1:{port}', protocol: http"))
        err = control.brickctl("call", "--type", "guard", "b0", "hi", status=78)[1]
        assert err.endswith("there are no ports for gRPC; use --address\n"), err


def test_type_that_brickd_describes():
    with Control() as control:
        control.process.kill()
        brickd = control.folder / "brickd"
        brickd.write_text('#!/bin/sh\necho "m 1.0: a module"\necho "type: Guard"\necho more\n')
        brickd.chmod(0o755)
        text = control.config.read_text().replace("127.0.0.1:0", SERVER.address)
        control.config.write_text(text)
        assert "--type" in control.brickctl("call", "b0", "hi", status=64)[1]
        os.environ["BRICKD_BIN"] = str(control.folder)
        try:
            command = [BRICKCTL, "-c", control.config, "call", "b0", "hi"]
            done = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
        finally:
            del os.environ["BRICKD_BIN"]
        assert done.returncode == 0, done
        assert SERVER.seen[-1][1]["x-brick"] == "b0"


def test_other_programs():
    programs = TMP / "programs"
    programs.mkdir()
    for name in ("brickd", "brickctl-index", "brickctl-train"):
        (programs / name).write_text('#!/bin/sh\necho "$(basename "$0")" "$@"; exit 7\n')
        (programs / name).chmod(0o755)
    where = environment() | {"BRICKD_BIN": str(programs), "BRICKD_LIBEXEC": str(programs)}
    cases = {
        ("check", "f.yaml"): "brickd --check f.yaml\n",
        ("-c", "g.yaml", "check"): "brickd --check g.yaml\n",
        ("index", "--help", "-x", "a b"): "brickctl-index --help -x a b\n",
        ("train", "--help", "-x", "a b"): "brickctl-train --help -x a b\n",
    }
    for arguments, expected in cases.items():
        done = subprocess.run(
            [BRICKCTL, *arguments], env=where, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (7, expected), done
    where["BRICKD_BIN"] = "/nowhere"
    done = subprocess.run([BRICKCTL, "check"], env=where, capture_output=True, check=False)
    assert done.returncode == 69 and b"/nowhere/brickd" in done.stderr, done


def complete(*words, config=None):
    """What bash offers for the last word."""
    script = (
        f"source {shlex.quote(COMPLETION)}; COMP_WORDS=({shlex.join(['brickctl', *words])});"
        f'COMP_CWORD={len(words)}; _brickctl; printf "%s\n" "${{COMPREPLY[@]}}"'
    )
    where = environment() | {"PATH": f"{os.path.dirname(BRICKCTL)}:/usr/bin:/bin"}
    if config:
        where["BRICKD_CONFIG"] = str(config)
    done = subprocess.run(
        ["bash", "-c", script], env=where, capture_output=True, text=True, timeout=LIMIT, check=True
    )
    assert not done.stderr, done
    return set(done.stdout.split())


def help_words(text, pattern):
    return set(re.findall(pattern, text, re.MULTILINE))


def test_completion_is_complete():
    text, _ = brickctl("help", address=False)
    commands = help_words(text.partition("Commands:")[2].partition("\n\n")[0], r"^  ([a-z-]+) ")
    assert complete("") == commands
    assert complete("--") == help_words(text, "(--[a-z-]+)")
    for command in commands - {"index", "train"}:
        text, _ = brickctl("help", command, address=False)
        assert complete(command, "--") == help_words(text, "(--[a-z-]+)"), command


def test_completion_of_arguments():
    with Control(Status=make_status()) as control:
        assert complete("call", "b", config=control.config) == {"b0"}
        assert complete("-c", str(control.config), "info", "b") == {"b0"}
        assert {"LLM", "b0"} <= complete("call", "", config=control.config)
    assert complete("call", "--stream", "x", "Bi") == {"BidiStreaming"}
    assert complete("call", "--type", "G") == {"Guard"}
    assert complete("log-level", "d") == {"debug"}
    assert complete("log-level", "--module", "x", "d") == {"debug"}
    assert complete("call", "--timeout", "") == set()
    assert complete("top", "--interval", "") == set()
    assert complete("st") == {"status", "stop"}
    assert complete("token", "") == {"new"}
    assert complete("token", "new", "") == set()


def test_completion_passes_over_values_of_options():
    for command in ("call", "log-level", "token"):
        text, _ = brickctl("help", command, address=False)
        expected = complete(command, "")
        assert expected, command
        for line in text.splitlines():
            found = re.match(r"  (?:(-[a-z]),|   ) (--[a-z-]+)( [A-Z]\S*)?", line)
            for option in filter(None, found.groups()[:2]) if found else ():
                words = [option, "x"] if found[3] else [option]
                assert complete(command, *words, "") == expected, (command, line)


def main():
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_")]
    print(f"1..{len(tests)}", flush=True)
    for number, (name, function) in enumerate(tests, 1):
        try:
            function()
            print(f"ok {number} - {name[5:]}", flush=True)
        except Exception:  # pylint: disable=broad-except
            print(f"not ok {number} - {name[5:]}", flush=True)
            print("# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
    SERVER.server.stop(None)
    FOLDER.cleanup()


main()
