# SPDX-License-Identifier: MIT
"""Token streams whose client reads slowly: messages that wait leave as one, if the brick is told so."""
import os
import threading

from harness import BUILD, Brickd, eq, generate_stubs, main, path, test

generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402

TOKENS = 20000
TEXT = "".join(f"tok{i} " for i in range(TOKENS))
STREAM = path("LLM", "OutputStreaming")

daemon = Brickd(
    """
  - { name: joined, module: echo, options: { type: LLM }, merge: true, default: true }
  - { name: apart, module: echo, options: { type: LLM }, match: { x-brick: apart } }
  - { name: broken, module: echo, options: { type: LLM, error_code: 4000 }, match: { x-brick: broken }, merge: true }
""", modules=os.path.join(BUILD, "src", "bricks"), extra="log: { access: off }")


def read_slowly(brick):
    """Reads nothing before the windows must be full."""
    request = llm_pb2.LLMRequest(prompt="x", max_tokens=TOKENS).SerializeToString()
    # 64 KiB of flow control, no more
    channel = daemon.channel(**{"grpc.http2.bdp_probe": 0})
    replies = channel.unary_stream(STREAM)(request, timeout=30, metadata=[("x-brick", brick)])
    threading.Event().wait(0.5)
    return replies


def parsed(replies):
    return [llm_pb2.LLMResponse.FromString(reply) for reply in replies]


@test
def a_slow_client_gets_fewer_messages_and_all_text():
    replies = parsed(read_slowly("joined"))
    eq("".join(r.text for r in replies), TEXT)
    assert 1 < len(replies) < TOKENS * 3 // 4, len(replies)
    eq([r.is_final for r in replies], [False] * (len(replies) - 1) + [True])
    eq({r.error.code for r in replies}, {200})


@test
def without_it_every_message_is_one():
    replies = parsed(read_slowly("apart"))
    eq((len(replies), "".join(r.text for r in replies)), (TOKENS, TEXT))


@test
def an_error_stays_a_message_of_its_own():
    replies = list(read_slowly("broken"))
    last = llm_pb2.LLMResponse.FromString(replies[-1])
    eq((last.error.code, last.text), (4000, ""))
    eq("".join(r.text for r in parsed(replies[:-1])) + f"tok{TOKENS - 1} ", TEXT)


@test
def only_for_streams_of_tokens():
    wrong = Brickd("  - { name: shield, module: echo, options: { type: Guard }, merge: true }",
                   modules=os.path.join(BUILD, "src", "bricks"))
    wrong.start(ready=False)
    eq(wrong.process.wait(20), 78)
    assert "bricks[0].merge: only streams of LLM and Translate bricks can be merged" in wrong.log(), wrong.log()


with daemon:
    main()
