#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""LLMService on Debian's python3-grpcio, what brickd is an alternative to: with asyncio, on uvloop if it is there, or with threads.

Usage: python.py PORT FOLDER [threads], with protoc's messages in the folder."""
import asyncio
import concurrent.futures
import contextlib
import sys

import grpc

sys.path.insert(0, sys.argv[2])
from protocols.grpc.llm import llm_pb2 as llm  # noqa: E402

with contextlib.suppress(ImportError):
    import uvloop
    uvloop.install()

OK = 200
THREADS = 16
OPTIONS = [("grpc.so_reuseport", 0)]
CODEC = {
    "request_deserializer": llm.LLMRequest.FromString,
    "response_serializer": llm.LLMResponse.SerializeToString,
}


def answer(text, is_final):
    response = llm.LLMResponse(text=text, is_final=is_final)
    response.error.code = OK
    return response


def tokens(request):
    n = request.max_tokens if request.max_tokens > 0 else 10
    for i in range(n):
        yield answer(f"tok{i} ", i == n - 1)


def unary(request, context):
    return answer("Echo: " + request.prompt, True)


def output_streaming(request, context):
    return tokens(request)


async def unary_async(request, context):
    return answer("Echo: " + request.prompt, True)


async def output_streaming_async(request, context):
    for token in tokens(request):
        yield token


def listen(server, unary, output_streaming):
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("protocols.grpc.llm.LLMService", {
        "Unary": grpc.unary_unary_rpc_method_handler(unary, **CODEC),
        "OutputStreaming": grpc.unary_stream_rpc_method_handler(output_streaming, **CODEC),
    }),))
    if not server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}"):
        sys.exit("python.py: cannot listen")


async def serve_async():
    server = grpc.aio.server(options=OPTIONS)
    listen(server, unary_async, output_streaming_async)
    await server.start()
    await server.wait_for_termination()


def serve_with_threads():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(THREADS), options=OPTIONS)
    listen(server, unary, output_streaming)
    server.start()
    server.wait_for_termination()


if sys.argv[3:] == ["threads"]:
    serve_with_threads()
else:
    asyncio.run(serve_async())
