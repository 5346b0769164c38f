# SPDX-License-Identifier: MIT
"""What the newest grpcio makes of a brickd, its synchronous and its asynchronous half: with_grpcio.py SERVER"""
import asyncio
import contextlib
import json
import threading
import time

from cases import LIMIT, brickctl, case, eq, idle, run, server

import grpc
from llmbrick.protocols.grpc.common import common_pb2
from llmbrick.protocols.grpc.llm import llm_pb2

CODE = grpc.StatusCode
LLM, COMMON = "/protocols.grpc.llm.LLMService/", "/protocols.grpc.common.CommonService/"


class Failed(Exception):
    def __init__(self, error):
        super().__init__(f"{error.code().name}: {error.details()}")
        self.code, self.details = error.code(), error.details()


class Synchronous:
    """Channels with grpc's classic interface."""

    def __init__(self, address=server.plain, credentials=None, **options):
        options = list({"grpc.use_local_subchannel_pool": 1, **options}.items())
        self.channel = grpc.secure_channel(address, credentials, options) if credentials else \
            grpc.insecure_channel(address, options)

    def unary(self, method, request, **more):
        reply = llm_pb2.LLMResponse.FromString if method.startswith(LLM) else None
        try:
            return self.channel.unary_unary(method, None, reply)(request, **{"timeout": LIMIT, **more})
        except grpc.RpcError as e:
            raise Failed(e) from None

    def stream(self, method, request, leave=None, **more):
        """The replies; with `leave` only so many, and then the client cancels the call."""
        call, replies = self.channel.unary_stream(method)(request, **{"timeout": LIMIT, **more}), []
        try:
            for reply in call:
                replies.append(reply)
                if len(replies) == leave:
                    call.cancel()
                    break
        except grpc.RpcError as e:
            raise Failed(e) from None
        return replies

    def bidi(self, method, requests):
        """Each request is sent when the last one has been answered."""
        answered, replies = threading.Semaphore(), []

        def send():
            for request in requests:
                answered.acquire()
                yield request

        for reply in self.channel.stream_stream(method)(send(), timeout=LIMIT):
            replies.append(reply)
            answered.release()
        return replies

    def upload(self, method, requests):
        return self.channel.stream_unary(method)(iter(requests), timeout=LIMIT)

    def at_once(self, method, requests):
        call = self.channel.unary_unary(method)
        return [f.result() for f in [call.future(r, timeout=LIMIT) for r in requests]]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()


runner = asyncio.Runner()  # grpcio wants one loop for all its channels


class Asynchronous:
    """The same with asyncio."""

    def __init__(self, address=server.plain, credentials=None, **options):
        self.run = runner.run

        async def open_channel():
            pairs = list({"grpc.use_local_subchannel_pool": 1, **options}.items())
            return grpc.aio.secure_channel(address, credentials, pairs) if credentials else \
                grpc.aio.insecure_channel(address, pairs)

        self.channel = self.run(open_channel())

    def unary(self, method, request, **more):
        reply = llm_pb2.LLMResponse.FromString if method.startswith(LLM) else None

        async def ask():
            return await self.channel.unary_unary(method, None, reply)(request, **{"timeout": LIMIT, **more})

        try:
            return self.run(ask())
        except grpc.RpcError as e:
            raise Failed(e) from None

    def stream(self, method, request, leave=None, **more):
        async def read():
            call, replies = self.channel.unary_stream(method)(request, **{"timeout": LIMIT, **more}), []
            async for reply in call:
                replies.append(reply)
                if len(replies) == leave:
                    call.cancel()
                    break
            return replies

        try:
            return self.run(read())
        except grpc.RpcError as e:
            raise Failed(e) from None

    def bidi(self, method, requests):
        async def talk():
            call, replies = self.channel.stream_stream(method)(timeout=LIMIT), []
            for request in requests:
                await call.write(request)
                replies.append(await call.read())
            await call.done_writing()
            eq(await call.read(), grpc.aio.EOF)
            return replies

        return self.run(talk())

    def upload(self, method, requests):
        async def ask():
            return await self.channel.stream_unary(method)(iter(requests), timeout=LIMIT)

        return self.run(ask())

    def at_once(self, method, requests):
        async def ask():
            call = self.channel.unary_unary(method)
            return await asyncio.gather(*(call(r, timeout=LIMIT) for r in requests))

        return self.run(ask())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.run(self.channel.close())


def prompt(text="hello", **more):
    return llm_pb2.LLMRequest(prompt=text, **more).SerializeToString()


def data(**values):
    request = common_pb2.CommonRequest()
    request.data.update(values)
    return request.SerializeToString()


def texts(replies):
    return [common_pb2.CommonResponse.FromString(r).data["n"] for r in replies]


@contextlib.contextmanager
def fails(code, details=None):
    try:
        yield
    except Failed as failed:
        eq(failed.code, code, failed.details)
        assert details is None or details in failed.details, failed.details
    else:
        raise AssertionError(f"no {code}")


@case
def calls_of_all_four_kinds(client):
    with client() as c:
        eq(c.unary(LLM + "Unary", prompt()).text, "Echo: hello")
        replies = [llm_pb2.LLMResponse.FromString(r) for r in c.stream(LLM + "OutputStreaming", prompt(max_tokens=3000))]
        eq(([r.text for r in replies], replies[-1].is_final), ([f"tok{i} " for i in range(3000)], True))
        reply = common_pb2.CommonResponse.FromString(c.upload(COMMON + "InputStreaming", [data(n=i) for i in range(500)]))
        eq((reply.data["count"], reply.data["last"]["n"]), (500, 499))
        eq(texts(c.bidi(COMMON + "BidiStreaming", [data(n=i) for i in range(300)])), list(range(300)))


@case
def health(client):
    with client() as c:
        check = "/grpc.health.v1.Health/Check"
        eq(c.unary(check, b""), b"\x08\x01")
        eq(c.unary(check, b"\x0a\x1dprotocols.grpc.llm.LLMService"), b"\x08\x01")
        with fails(CODE.NOT_FOUND):
            c.unary(check, b"\x0a\x01x")


@case
def errors(client):
    with client(server.faults) as c:
        error = c.unary(LLM + "Unary", prompt("case:fail")).error
        eq((error.code, error.message, error.detail), (2003, "bad param", "the detail"))
        for method in "Unary", "OutputStreaming":
            with fails(CODE.FAILED_PRECONDITION, "not in this state"):
                (c.unary if method == "Unary" else c.stream)(LLM + method, prompt("case:status"))
        with fails(CODE.UNIMPLEMENTED):
            c.unary(LLM + "Nothing", b"")
        with fails(CODE.UNIMPLEMENTED):
            c.unary("/no.Service/Unary", b"")
        with fails(CODE.UNKNOWN, "Error parsing message"):  # upstream's own words
            c.unary(LLM + "Unary", b"\xff")


@case
def deadlines(client):
    with client(server.faults) as c:
        for ask in c.unary, c.stream:
            with fails(CODE.DEADLINE_EXCEEDED):
                ask(LLM + ("Unary" if ask == c.unary else "OutputStreaming"), prompt("case:wait"), timeout=0.3)
    idle()


@case
def clients_that_leave(client):
    with client() as c:
        for _ in range(20):
            eq(len(c.stream(LLM + "OutputStreaming", prompt(model_id="slow"), leave=1)), 1)
        idle()
        eq(c.unary(LLM + "Unary", prompt()).text, "Echo: hello", "on the same connection")


@case
def calls_at_once(client):
    with client() as c:
        replies = c.at_once(LLM + "Unary", [prompt(str(i)) for i in range(64)])
        eq([llm_pb2.LLMResponse.FromString(r).text for r in replies], [f"Echo: {i}" for i in range(64)])


@case
def large_messages(client):
    with client(**{"grpc.max_receive_message_length": 64 << 20}) as c:
        text = "x" * ((4 << 20) - 20)
        eq(len(c.unary(LLM + "Unary", prompt(text)).text), len(text) + 6)
        with fails(CODE.RESOURCE_EXHAUSTED):
            c.unary(LLM + "Unary", prompt(text + "x" * 20))


@case
def compression(client):
    with client(server.gzip) as c:
        eq(c.unary(LLM + "Unary", prompt("y" * 100000), compression=grpc.Compression.Gzip).text, "Echo: " + "y" * 100000)
        eq(len(c.stream(LLM + "OutputStreaming", prompt("y" * 1000), compression=grpc.Compression.Gzip)), 10)
    with client() as c, fails(CODE.UNIMPLEMENTED):
        c.unary(LLM + "Unary", prompt("y" * 1000), compression=grpc.Compression.Gzip)


@case
def tls_and_tokens(client):
    def read(name):
        with open(name, "rb") as f:
            return f.read()

    ca = read(server.ca)

    def credentials(token):
        return grpc.composite_channel_credentials(grpc.ssl_channel_credentials(ca), grpc.access_token_call_credentials(token))

    with client(server.tls, credentials(server.token)) as c:
        eq(c.unary(LLM + "Unary", prompt()).text, "Echo: hello")
        eq(len(c.stream(LLM + "OutputStreaming", prompt())), 10)
    with client(server.tls, credentials("another")) as c, fails(CODE.UNAUTHENTICATED):
        c.unary(LLM + "Unary", prompt())
    with client(server.tls, grpc.ssl_channel_credentials(ca)) as c, fails(CODE.UNAUTHENTICATED):
        c.stream(LLM + "OutputStreaming", prompt())
    with client(server.tls, grpc.ssl_channel_credentials(read(server.certificate))) as c, fails(CODE.UNAVAILABLE):
        c.unary(LLM + "Unary", prompt())
    mutual = grpc.ssl_channel_credentials(ca, read(server.key), read(server.certificate))
    with client(server.mutual, mutual) as c:
        eq(c.unary(LLM + "Unary", prompt()).text, "Echo: hello")
    with client(server.mutual, grpc.ssl_channel_credentials(ca)) as c, fails(CODE.UNAVAILABLE):
        c.unary(LLM + "Unary", prompt())


@case
def a_unix_socket(client):
    with client(server.unix) as c:
        eq(c.unary(LLM + "Unary", prompt()).text, "Echo: hello")


def configured(**config):
    return {"grpc.service_config": json.dumps(config)}


@case
def retries(client):
    """The brick takes one call at a time, and its clients try again when they have been told to."""
    name = {"service": "protocols.grpc.llm.LLMService"}
    policy = {"maxAttempts": 5, "initialBackoff": "0.3s", "maxBackoff": "2s", "backoffMultiplier": 2,
              "retryableStatusCodes": ["RESOURCE_EXHAUSTED"]}
    busy = prompt(model_id="busy")
    with client(**configured(methodConfig=[{"name": [name], "retryPolicy": policy}])) as c:
        eq(len(c.at_once(LLM + "Unary", [busy] * 2)), 2)
    with client(**{"grpc.enable_retries": 0}) as c:
        try:
            c.at_once(LLM + "Unary", [busy] * 16)
        except grpc.RpcError as e:
            eq(e.code(), CODE.RESOURCE_EXHAUSTED)
        else:
            raise AssertionError("the brick has taken all calls")
    idle()


@case
def round_robin_with_health(client):
    def options(service):
        return configured(loadBalancingConfig=[{"round_robin": {}}], healthCheckConfig={"serviceName": service})

    with client(**options("protocols.grpc.llm.LLMService")) as c:
        eq(c.unary(LLM + "Unary", prompt()).text, "Echo: hello")
    with client(**options("no.Service")) as c, fails(CODE.UNAVAILABLE):
        c.unary(LLM + "Unary", prompt())


@case
def keepalive(client):
    """A PING a second, also during a call that is silent for four."""
    with client(**{"grpc.keepalive_time_ms": 1100, "grpc.keepalive_timeout_ms": LIMIT * 1000,
                   "grpc.http2.max_pings_without_data": 0}) as c:
        eq(c.unary(LLM + "Unary", prompt(model_id="late")).text, "Echo: hello")


@case
def reloads_meanwhile(client):
    """The old workers ask for new connections; no call fails, and streams go on."""
    with client() as c, Synchronous() as streaming:
        got, end = [], time.monotonic() + LIMIT
        thread = threading.Thread(target=lambda: got.append(
            len(streaming.stream(LLM + "OutputStreaming", prompt(model_id="slow", max_tokens=100)))))
        thread.start()
        for _ in range(2):
            reload = threading.Thread(target=brickctl, args=["reload"])
            reload.start()
            while reload.is_alive():
                eq(c.unary(LLM + "Unary", prompt()).text, "Echo: hello")
                assert time.monotonic() < end
            for _ in range(50):
                c.unary(LLM + "Unary", prompt())
        thread.join()
        eq(got, [100])


run("grpcio", [Synchronous, Asynchronous])
