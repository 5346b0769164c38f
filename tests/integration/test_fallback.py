# SPDX-License-Identifier: MIT
"""Another brick steps in when the first one is slow: the time limits `first_token` and `stall` of `openai` and `remote`."""
import asyncio
import json
import os
import sys
import time

from door import CHAT, Door, error, question, text_of
from harness import BUILD, CALL_LIMIT, SOURCE, Brickd, eq, generate_stubs, main, path, stream, test, wait_for

sys.path.insert(0, os.path.join(SOURCE, "src", "bricks", "openai", "tests"))
from fault_server import FaultServer  # noqa: E402

generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402

MODULES = os.path.join(BUILD, "src", "bricks")
BACKUP = "".join(f"tok{i} " for i in range(3))
LIMITS = "first_token: 300ms, stall: 300ms"


async def silent(request):
    await request.wait_closed()
    return False


async def pings(request):
    """Which are no part of a reply."""
    await request.head()
    while True:
        await request.chunk(b": ping\n\n")
        await asyncio.sleep(0.05)


async def half(request):
    await request.head()
    await request.say("half")
    await request.wait_closed()
    return False


def brick(name, module, options, default=False):
    chosen = "default: true" if default else f"match: {{ x-brick: {name} }}"
    return f"  - {{ name: {name}, module: {module}, options: {{ {options} }}, {chosen} }}\n"


class Slow:
    """Bricks that are slow in one way or another, those that call them, and pipelines with a fallback for each."""

    def __enter__(self):
        self.api = FaultServer()
        self.api.scenarios.update(silent=silent, pings=pings, half=half)

        def api(name, model, limits=""):
            return brick(name, "openai", f'base_url: "{self.api.url}", model: {model}, {limits}')

        self.far = Brickd(brick("echo", "echo", "", default=True) + api("silent", "silent") + api("half", "half"),
                          modules=MODULES).start()
        self.near = Brickd(brick("silent", "echo", "tokens: 3", default=True) + brick("large", "echo", "tokens: 400, size: 64KiB"),
                           modules=MODULES).start()
        bricks = brick("backup", "echo", "tokens: 3", default=True)
        bricks += "".join(api(f"a-{model}", model, LIMITS) for model in self.api.scenarios)
        for name, to in {"silent": [self.far], "half": [self.far], "next": [self.far, self.near], "large": [self.near]}.items():
            addresses = json.dumps([server.address for server in to])
            there = "silent" if name == "next" else name
            bricks += brick(f"r-{name}", "remote", f"type: LLM, to: {addresses}, brick: {there}, {LIMITS}")
        for name in ("a-silent", "a-pings", "a-half", "r-silent", "r-half"):
            bricks += brick(f"p-{name}", "pipeline", f"type: LLM, steps: [ brick: [{name}, backup] ]")
        self.front = Door(bricks, modules=MODULES).start()
        self.channel = self.front.grpc()
        wait_for("connections", lambda: {b["state"] for brick in self.bricks() for b in brick.get("backends", [])} == {"ready"})
        return self

    def bricks(self):
        return json.loads(self.front.ctl("status", "--json").stdout)["bricks"]

    def __exit__(self, *exception):
        self.channel.close()
        for running in (self.front, self.far, self.near):
            running.__exit__(*exception)
        self.api.close()

    def ask(self, name):
        """(text, error code, gRPC status) of a stream."""
        request = llm_pb2.LLMRequest(prompt="p", max_tokens=3)
        replies, status, _ = stream(self.channel, path("LLM", "OutputStreaming"), request.SerializeToString(),
                                    metadata=[("x-brick", name)])
        replies = [llm_pb2.LLMResponse.FromString(reply) for reply in replies]
        return "".join(r.text for r in replies), max([r.error.code for r in replies], default=0), status

    def post(self, name, **more):
        status, fields, body = self.front.ask(
            "POST", CHAT, question(model=name, max_tokens=3, **more), Content_Type="application/json")
        return status, fields["content-type"], body


slow = Slow()


@test
def another_brick_begins_the_reply():
    for name in ("a-silent", "a-pings", "r-silent"):
        eq(slow.ask(f"p-{name}"), (BACKUP, 200, "OK"), name)
        status, kind, body = slow.post(f"p-{name}", stream=True)
        eq((status, kind.split(";")[0], text_of(body)), (200, "text/event-stream", BACKUP), name)


@test
def another_address_begins_the_reply():
    eq(slow.ask("r-next"), (BACKUP, 200, "OK"))
    failures = next([b["failures"] for b in brick["backends"]] for brick in slow.bricks() if brick["name"] == "r-next")
    eq(failures, [1, 0])


@test
def without_another_the_call_fails_with_a_real_status():
    eq(slow.ask("a-silent")[1], 4004)
    eq(slow.ask("r-silent")[2], "DEADLINE_EXCEEDED")
    for name in ("a-silent", "r-silent"):
        status, kind, body = slow.post(name, stream=True)
        eq((status, kind.split(";")[0]), (504, "application/json"), body)
        assert error(body)["message"], body


@test
def a_reply_that_has_begun_is_not_begun_again():
    eq(slow.ask("p-a-half")[:2], ("half", 4004))
    text, _, status = slow.ask("p-r-half")
    eq((text, status), ("half", "DEADLINE_EXCEEDED"))
    status, _, body = slow.post("p-a-half", stream=True)
    eq((status, b"half" in body, b"[DONE]" in body), (200, True, False), body)


@test
def a_client_that_rests_is_not_late():
    request = llm_pb2.LLMRequest(prompt="p").SerializeToString()
    replies = slow.channel.unary_stream(path("LLM", "OutputStreaming"))(
        request, timeout=CALL_LIMIT, metadata=[("x-brick", "r-large")])
    next(replies)
    time.sleep(1)
    eq(sum(1 for _ in replies), 399)


with slow:
    main()
