# SPDX-License-Identifier: MIT
"""Modules that were built for an older ABI load, and do what they did: the folders of tests/abi have them."""
import glob
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys

from harness import BUILD, SOURCE, Brickd, call, eq, generate_stubs, main, path, stream, temp_dir, test, wait_for

generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402

if platform.machine() != "x86_64":
    print("1..0 # SKIP the modules are for x86-64")
    sys.exit(0)

UNARY, BIDI = path("Common", "Unary"), path("Common", "BidiStreaming")


ABI = os.path.join(SOURCE, "tests", "abi")


def old_modules(minor):
    """In a folder that brickd trusts, whatever the rights of the checkout are."""
    folder = temp_dir()
    for module in glob.glob(os.path.join(ABI, minor, "*.so")):
        shutil.copy(module, folder)
    return folder


MODULES = old_modules("1.2")
MODULES_3 = old_modules("1.3")
MODULES_4 = old_modules("1.4")


def request(**fields):
    message = common_pb2.CommonRequest()
    message.data.update(fields)
    return message.SerializeToString()


def fields_of(reply):
    return dict(common_pb2.CommonResponse.FromString(reply).data)


def everything(options):
    return Brickd(f"  - {{ name: old, module: everything, options: {{ list: [3, 7], {options} }} }}\n", modules=MODULES)


@test
def every_minor_has_modules_that_load():
    """1.0 and 1.1 were never released. A new minor needs a folder at once."""
    with open(os.path.join(SOURCE, "src", "brick.h")) as f:
        newest = int(re.search(r"#define BRICK_ABI_MINOR (\d+)", f.read())[1])
    eq(sorted(name for name in os.listdir(ABI) if name[0].isdigit()), [f"1.{minor}" for minor in range(2, newest + 1)])
    for folder in MODULES, MODULES_3, MODULES_4:
        modules = glob.glob(os.path.join(folder, "*.so"))
        assert modules, folder
        for module in modules:
            done = subprocess.run([os.path.join(BUILD, "src", "brickd-worker"), "--inspect", module], timeout=60,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            eq(done.returncode, 0, done.stdout)


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
        wait_for("the end of its stream", lambda: "method 2: ECANCELED" in daemon.log(), 20)


def prompt(text):
    return llm_pb2.LLMRequest(prompt=text).SerializeToString()


@test
def a_module_of_1_3_that_leaves_its_calls_to_others():
    bricks = f"""  - name: old
    module: relays
    options: {{ type: LLM, to: [echo], guard: {{ brick: reader }}, delay: 1ms, deadline: 20s }}
  - {{ name: echo, module: {BUILD}/src/bricks/echo.so, options: {{ type: LLM }} }}
  - {{ name: reader, module: reads }}
"""
    with Brickd(bricks, port_extra="    bricks: [old]", modules=MODULES_3) as daemon:
        daemon.says(f"echo has methods 0x7, named in {daemon.config}:7:32")
        wait_for("the watch", lambda: "old: the first target serves" in daemon.log(), 20)
        reply, status, details, _ = call(daemon.channel(), path("LLM", "Unary"), prompt("two"))
        eq((status, llm_pb2.LLMResponse.FromString(reply).text), ("OK", "Echo: two"), details)
        replies, status, details = stream(daemon.channel(), path("LLM", "OutputStreaming"), prompt("x"))
        eq((len(replies), status), (10, "OK"), details)
        reply = call(daemon.channel(), path("LLM", "Unary"), prompt("it is bad, this"))[0]
        eq(llm_pb2.LLMResponse.FromString(reply).error.code, 403)


@test
def a_module_of_1_3_that_takes_memory_back():
    with Brickd("  - { name: old, module: author, limits: { memory: 64KiB } }\n", modules=MODULES_3) as daemon:
        replies, status, details = stream(daemon.channel(), path("Common", "OutputStreaming"), request(n=1000))
        eq((len(replies), status), (1000, "OK"), details)
        error = common_pb2.CommonResponse.FromString(call(daemon.channel(), UNARY, request(do="keep", r=-12))[0]).error
        eq((error.code, error.message), (13, "Cannot allocate memory"))


@test
def a_module_of_1_4_that_asks_for_the_groups_of_its_caller():
    daemon = Brickd("  - { name: old, module: contract, options: { type: Common } }\n", modules=MODULES_4)
    identities = os.path.join(daemon.dir, "identities.yaml")
    with open(identities, "w") as f:
        f.write(f"""identities:
  - {{ name: member, token: "sha256:{hashlib.sha256(b'secret').hexdigest()}", allow: "*", groups: [staff, board] }}
""")
    os.chmod(identities, 0o600)
    with open(daemon.config, "a") as f:
        f.write(f"identities: {identities}\n")
    with daemon:
        rpc = daemon.channel().unary_unary(UNARY).with_call(
            request(), metadata=[("authorization", "Bearer secret"), ("x-case", "case:identity")], timeout=20)[1]
        trailers = sorted((key, value) for key, value in rpc.trailing_metadata() if key in ("identity", "group"))
        eq(trailers, [("group", "board"), ("group", "staff"), ("identity", "member")])


if __name__ == "__main__":
    main()
