# SPDX-License-Identifier: MIT
"""Bricks of a user's own, made with the real llmbrick, behind brickd."""
import json
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

import pypi  # noqa: E402
from harness import BUILD, START_LIMIT, Brickd, call, eq, generate_stubs, main, path, temp_dir, test, wait_for  # noqa: E402

venv = pypi.get(BUILD)
generate_stubs()
from protocols.grpc.guard import guard_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402

UNARY, OUT = path("LLM", "Unary"), path("LLM", "OutputStreaming")
bricks = os.path.join(temp_dir(), "bricks")  # a copy, which a test may change
shutil.copytree(os.path.join(HERE, "bricks"), bricks)


def brick(name, what, kind="LLM", more="", **options):
    options |= {"type": kind, "class": what, "python": venv.python, "path": bricks}
    return f"  - {{ name: {name}, module: python, {more} options: {json.dumps(options)} }}\n"


def daemon(bricks):
    return Brickd(bricks, start_limit=5 * START_LIMIT)  # llmbrick takes a second of a processor to import


def ask(channel, prompt, model="", **keys):
    request = llm_pb2.LLMRequest(prompt=prompt, model_id=model)
    reply, status, details, _ = call(channel, UNARY, request.SerializeToString(), **keys)
    eq(status, "OK", details)
    return llm_pb2.LLMResponse.FromString(reply)


def pids(running):
    return [p["pid"] for p in json.loads(running.ctl("status", "--json").stdout)["processes"]]


@test
def classes_functions_and_instances():
    text = (brick("pii", "my_bricks.guard:PiiGuard", "Guard", arguments={"sensitivity": 0.8})
            + brick("plain", "my_bricks.chat:Chat", more="default: true,")
            + brick("function", "my_bricks.chat:make_chat", arguments={"style": "loud"}, more="match: { model_id: f },")
            + brick("coroutine", "my_bricks.chat:make_later", arguments={"style": "x"}, more="match: { model_id: c },")
            + brick("instance", f"{bricks}/my_bricks/chat.py:ready", more="match: { model_id: i },"))
    with daemon(text) as running:
        channel = running.channel()
        for number, found in (("123", False), ("1234", True)):
            reply = call(channel, path("Guard", "Unary"), guard_pb2.GuardRequest(text=number).SerializeToString())[0]
            eq(guard_pb2.GuardResponse.FromString(reply).results[0].is_attack, found)
        for model, style in {"": "plain", "f": "LOUD", "c": "later x", "i": "ready"}.items():
            eq(ask(channel, "hello", model).text, f"{style} hello True")
        running.says("the model is loaded")
        running.stop()
        eq(running.log().count("the model is freed after 0 tokens"), 4, running.log())


@test
def errors_hooks_and_streams():
    with daemon(brick("chat", "my_bricks.chat:Chat")) as running:
        channel = running.channel()
        error = ask(channel, "raise").error
        # upstream's logger formats the text again, and raises for braces: what the client sees is upstream's own
        eq((error.code, error.detail), (13, "An error occurred while processing Unary."))
        request = llm_pb2.LLMRequest(prompt="100", max_tokens=100).SerializeToString()
        eq(len(list(channel.unary_stream(OUT)(request, timeout=60))), 100)
        running.says("the talk of 100 tokens has ended")

        cancelled = channel.unary_stream(OUT)(llm_pb2.LLMRequest(prompt="endless", max_tokens=10**9).SerializeToString())
        next(cancelled)
        sent = wait_for("a pause, for nobody reads", lambda: pause(channel))
        assert sent < 20000, sent
        cancelled.cancel()
        running.says("the talk of endless tokens has ended")
        running.ctl("restart", "chat")
        running.says(f"the model is freed after {sent} tokens")


def pause(channel):
    """The number of tokens sent, if it does not grow any more."""
    before, after = (int(ask(channel, "sent").text) for _ in range(2))
    return before == after and before > 101 and before


SCRIPT = """
import sys
from llmbrick.servers.grpc.server import GrpcServer
from my_bricks.chat import Chat
from my_bricks.guard import PiiGuard

server = GrpcServer(port=50051)
server.register_service(Chat(style=sys.argv[1]))
server.register_service(PiiGuard())
server.run()
print("the end of the script")
"""


@test
def a_script_with_two_bricks_which_are_opened_and_closed():
    with open(os.path.join(bricks, "two.py"), "w") as f:
        f.write(SCRIPT)
    options = {"script": os.path.join(bricks, "two.py"), "python": venv.python, "argv": ["formal"]}
    text = "".join(f"  - {{ name: {kind.lower()}, module: python, options: {json.dumps(options | {'type': kind})} }}\n"
                   for kind in ("LLM", "Guard"))
    with daemon(text) as running:
        eq(ask(running.channel(), "hello").text, "formal hello True")
        request = guard_pb2.GuardRequest(text="0123456789").SerializeToString()
        reply = call(running.channel(), path("Guard", "Unary"), request)[0]
        eq(guard_pb2.GuardResponse.FromString(reply).results[0].detail, "0123456789")
        running.stop()
        for line in ("the model is loaded", "the model is freed", "the end of the script"):
            eq(running.log().count(line), 2, line)


@test
def a_crash_ends_the_calls_inside_and_no_others():
    with daemon(brick("chat", "my_bricks.chat:Chat")) as running:
        channel, before = running.channel(), pids(running)
        eq(call(channel, UNARY, llm_pb2.LLMRequest(prompt="crash").SerializeToString())[1], "UNAVAILABLE")
        eq(ask(channel, "again", timeout=60).text, "plain again True")
        running.says("Fatal Python error: Segmentation fault")
        assert pids(running) != before


MISTAKES = {
    "my_bricks.chat:Chatt": "my_bricks.chat has no Chatt; its bricks: Chat, ready, NoKey",
    "my_brick.chat:Chat": "there is no Python module my_brick: set `path` to the directory that has it",
    "my_bricks.guard:PiiGuard": "my_bricks.guard:PiiGuard serves Guard, but `type` says LLM",
    "my_bricks.chat:NoKey": "my_bricks.chat:NoKey: PermissionError: the key has expired",
    "os:getcwd": "os:getcwd makes something of type str, which is no brick of llmbrick",
}


@test
def mistakes_are_the_verdict_of_a_reload():
    good = brick("chat", "my_bricks.chat:Chat")
    with daemon(good) as running:
        before = pids(running)
        for what, expected in MISTAKES.items():
            running.write(brick("chat", what))
            done = running.ctl("reload", check=False)
            assert done.returncode == 1 and expected in done.stderr, (what, done.stderr)
        running.says("in __init__")  # of the traceback
        running.write(good)
        running.ctl("reload")
        eq(pids(running), before, "what has not changed goes on")
        with open(os.path.join(bricks, "my_bricks", "chat.py"), "a") as f:
            f.write("\n# changed\n")
        running.ctl("reload")
        assert pids(running) != before
        eq(ask(running.channel(), "hello").text, "plain hello True")


main()
