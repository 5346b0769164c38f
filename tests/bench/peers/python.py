#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""LLMService on Debian's python3-grpcio, with asyncio: what brickd is an alternative to.

Usage: python.py PORT FOLDER, with protoc's messages in the folder."""
import asyncio
import sys

import grpc

sys.path.insert(0, sys.argv[2])
from protocols.grpc.llm import llm_pb2 as llm  # noqa: E402

OK = 200


async def unary(request, context):
    response = llm.LLMResponse(text="Echo: " + request.prompt, is_final=True)
    response.error.code = OK
    return response


async def output_streaming(request, context):
    n = request.max_tokens if request.max_tokens > 0 else 10
    for i in range(n):
        response = llm.LLMResponse(text=f"tok{i} ", is_final=i == n - 1)
        response.error.code = OK
        yield response


async def main(port):
    codec = {
        "request_deserializer": llm.LLMRequest.FromString,
        "response_serializer": llm.LLMResponse.SerializeToString,
    }
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("protocols.grpc.llm.LLMService", {
        "Unary": grpc.unary_unary_rpc_method_handler(unary, **codec),
        "OutputStreaming": grpc.unary_stream_rpc_method_handler(output_streaming, **codec),
    }),))
    if not server.add_insecure_port(f"127.0.0.1:{port}"):
        sys.exit("python.py: cannot listen")
    await server.start()
    await server.wait_for_termination()


asyncio.run(main(int(sys.argv[1])))
