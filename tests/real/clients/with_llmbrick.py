# SPDX-License-Identifier: MIT
"""What upstream's own client, toGrpcClient() of the eight bricks of llmbrick, makes of a brickd: with_llmbrick.py SERVER"""
import asyncio
import contextlib
import functools
import importlib

from cases import LIMIT, TEXT, TYPES, brickctl, case, eq, idle, run, server  # first: it takes standard output

import grpc
from llmbrick.utils.logging import logger

logger.remove()  # it tells of each error that a case expects
STREAMS = ("LLM", "Translate", "Compose", "Common")


def upstream(kind):
    return importlib.import_module(f"llmbrick.bricks.{kind.lower()}").__dict__[kind + "Brick"]


def types(kind):
    return importlib.import_module(f"llmbrick.protocols.models.bricks.{kind.lower()}_types")


def client(kind, address=server.plain):
    return upstream(kind).toGrpcClient(address, verbose=False)


def request(kind, text, **more):
    make = types(kind).__dict__[kind + "Request"]
    return make(data={"text": text}) if kind == "Common" else make(**{TEXT.get(kind, "text"): text}, **more)


async def requests(*texts):
    for text in texts:
        yield request("Common", text)


def asynchronous(function):
    """A case that is a coroutine."""
    return case(functools.wraps(function)(lambda: asyncio.run(function())))


async def fails(awaitable, code):
    try:
        await awaitable
    except grpc.RpcError as e:
        eq(e.code(), code)
        return e.details()
    raise AssertionError(f"no {code}")


async def first(stream):
    async for reply in stream:
        return reply


async def collect(got, stream):
    async for reply in stream:
        got.append(reply)


async def until(condition):
    for _ in range(LIMIT * 50):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it does not happen")


async def tokens(stream):
    return "".join([reply.text async for reply in stream])


@asynchronous
async def what_a_service_is():
    for kind in TYPES:
        info = await client(kind).run_get_service_info()
        eq((info.service_name, info.models[0].model_id), ("echo", "echo"), kind)


@asynchronous
async def unary_calls_of_all_types():
    async def ask(kind, **more):
        return await client(kind).run_unary(request(kind, "hello 你好", **more))

    eq((await ask("Common")).data, {"text": "hello 你好"})
    eq((await ask("LLM")).text, "Echo: hello 你好")
    eq([(r.is_attack, r.detail) for r in (await ask("Guard")).results], [(False, "Echo: hello 你好")])
    eq([r.intent_category for r in (await ask("Intention")).results], ["echo"])
    eq((await ask("Rectify")).corrected_text, "hello 你好")
    eq(len((await ask("Retrieval", max_results=5)).documents), 5)
    eq((await ask("Translate", target_language="de")).text, "[de] hello 你好")
    documents = [types("Compose").Document(doc_id=name, metadata={"page": 7}) for name in "ab"]
    eq((await ask("Compose", input_documents=documents)).output, {"format": "hello 你好", "documents": ["a", "b"]})


@asynchronous
async def streams_of_replies():
    for kind in "LLM", "Translate":
        eq(await tokens(client(kind).run_output_streaming(request(kind, "hello"))), "".join(f"tok{i} " for i in range(10)))
    many = [r async for r in client("LLM").run_output_streaming(request("LLM", "hello", max_tokens=2000))]
    eq((len(many), [r.is_final for r in many].count(True), many[-1].is_final), (2000, 1, True))
    documents = [types("Compose").Document(doc_id=name) for name in "abc"]
    got = [r.output async for r in client("Compose").run_output_streaming(request("Compose", "", input_documents=documents))]
    eq(got, [{"document": name} for name in "abc"])
    eq(len([r async for r in client("Common").run_output_streaming(request("Common", "x"))]), 10)


@asynchronous
async def streams_of_requests():
    reply = await client("Common").run_input_streaming(requests(*"abc"))
    eq(reply.data, {"count": 3.0, "last": {"text": "c"}})
    got = [r.data["text"] async for r in client("Common").run_bidi_streaming(requests(*map(str, range(300))))]
    eq(got, [str(i) for i in range(300)])


@asynchronous
async def errors_in_replies():
    for kind in TYPES:
        error = (await client(kind, server.faults).run_unary(request(kind, "case:fail"))).error
        eq((error.code, error.message, error.detail), (2003, "bad param", "the detail"), kind)
    for kind in STREAMS:
        got = [r async for r in client(kind, server.faults).run_output_streaming(request(kind, "case:send-then-fail"))]
        eq((len(got), got[-1].error.code), (3, 4000), kind)


@asynchronous
async def errors_of_grpc():
    for kind in TYPES:
        call = client(kind, server.faults).run_unary(request(kind, "case:status"))
        eq(await fails(call, grpc.StatusCode.FAILED_PRECONDITION), "not in this state", kind)
    for kind in STREAMS:
        stream = client(kind, server.faults).run_output_streaming(request(kind, "case:status"))
        await fails(first(stream), grpc.StatusCode.FAILED_PRECONDITION)
    large = request("LLM", "x" * (5 << 20))
    await fails(client("LLM").run_unary(large), grpc.StatusCode.RESOURCE_EXHAUSTED)
    await fails(client("LLM", "127.0.0.1:1").run_unary(request("LLM", "x")), grpc.StatusCode.UNAVAILABLE)


@asynchronous
async def deadlines():
    """Upstream's client has none of its own: its users put a limit around the call."""
    for kind in TYPES:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(client(kind, server.faults).run_unary(request(kind, "case:wait")), 0.2)
            raise AssertionError("an answer")
    for kind in STREAMS:
        with contextlib.suppress(asyncio.TimeoutError):
            stream = client(kind, server.faults).run_output_streaming(request(kind, "case:wait"))
            await asyncio.wait_for(first(stream), 0.2)
            raise AssertionError("an answer")
    await asyncio.to_thread(idle)


@asynchronous
async def clients_that_leave():
    """By cancellation: if its user only stops reading, upstream's client does not tell the server."""
    for kind in STREAMS:
        left = asyncio.create_task(first(client(kind, server.faults).run_output_streaming(request(kind, "case:wait"))))
        await asyncio.sleep(0.1)
        left.cancel()
    got = []
    left = asyncio.create_task(collect(got, client("LLM").run_output_streaming(request("LLM", "hello", model_id="slow"))))
    await until(lambda: got)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    assert left.cancelled()
    await asyncio.to_thread(idle)


@asynchronous
async def calls_at_once():
    """Each on a connection of its own, as upstream makes them."""
    llm = client("LLM")
    replies = await asyncio.gather(*(llm.run_unary(request("LLM", str(i))) for i in range(64)))
    eq([r.text for r in replies], [f"Echo: {i}" for i in range(64)])


@asynchronous
async def a_reload_meanwhile():
    got, stream = [], client("LLM").run_output_streaming(request("LLM", "hello", model_id="slow", max_tokens=100))
    reading = asyncio.create_task(collect(got, stream))
    await until(lambda: got)
    await asyncio.to_thread(brickctl, "reload")
    for _ in range(5):
        eq((await client("LLM").run_unary(request("LLM", "x"))).text, "Echo: x")
    await reading
    eq((len(got), got[-1].is_final), (100, True))


@contextlib.contextmanager
def channels(token, ca):
    """toGrpcClient() makes plain channels only; this is how its users get TLS and a token."""
    with open(ca, "rb") as f:
        tls = grpc.ssl_channel_credentials(f.read())
    secure = grpc.composite_channel_credentials(tls, grpc.access_token_call_credentials(token))
    plain = grpc.aio.insecure_channel
    grpc.aio.insecure_channel = lambda address: grpc.aio.secure_channel(address, secure)
    try:
        yield
    finally:
        grpc.aio.insecure_channel = plain


@asynchronous
async def tls_and_a_token():
    with channels(server.token, server.ca):
        for kind in TYPES:
            await client(kind, server.tls).run_unary(request(kind, "hello"))
        for kind in STREAMS:
            await first(client(kind, server.tls).run_output_streaming(request(kind, "hello")))
    with channels("another", server.ca):
        for kind in TYPES:
            await fails(client(kind, server.tls).run_unary(request(kind, "hello")), grpc.StatusCode.UNAUTHENTICATED)
    with channels(server.token, server.certificate):
        await fails(client("LLM", server.tls).run_unary(request("LLM", "hello")), grpc.StatusCode.UNAVAILABLE)
    await asyncio.to_thread(idle)


run("llmbrick")
