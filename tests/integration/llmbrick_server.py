# SPDX-License-Identifier: MIT
"""A server of CommonService as llmbrick makes them: grpcio with asyncio, errors in the replies.

Usage: llmbrick_server.py ADDRESS STUBS [NAME]   prints "ready"; NAME is what its trailers call it

The prompt says what happens: `fail` is an error in the reply, `raise` an exception, `status` a gRPC status, `hold` in the
first message of a stream of requests: no other message is read."""
import asyncio
import sys

import grpc

address, stubs, *name = sys.argv[1:]
sys.path.insert(0, stubs)
from protocols.grpc.common import common_pb2  # noqa: E402

SUCCESS = common_pb2.ErrorDetail(code=200)


def reply(text):
    message = common_pb2.CommonResponse(error=SUCCESS)
    message.data["text"] = text
    return message


def failure(code, message):
    return common_pb2.CommonResponse(error=common_pb2.ErrorDetail(code=code, message=message, detail="a detail"))


async def answer(request, context):
    prompt = request.data["prompt"]
    context.set_trailing_metadata([("x-server", name[0])] if name else [])
    if prompt == "fail":
        return failure(5001, "the model says no")
    if prompt == "raise":
        raise RuntimeError("oops")
    if prompt == "status":
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: ü")
    if prompt == "slow":
        await asyncio.sleep(0.2)
    return reply("Echo: " + prompt)


async def unary(request, context):
    return await answer(request, context)


async def output(request, context):
    for i in range(5):
        yield reply(f"tok{i} ")
    yield await answer(request, context)


async def input_stream(requests, context):
    return reply(" ".join([request.data["prompt"] async for request in requests]))


async def bidi(requests, context):
    async for request in requests:
        yield common_pb2.CommonResponse(data=request.data, error=SUCCESS)
        if request.data["prompt"].startswith("hold"):
            await asyncio.sleep(3600)


async def info(request, context):
    return common_pb2.ServiceInfoResponse(service_name="python", version="1", error=SUCCESS)


def handlers():
    request, response = common_pb2.CommonRequest.FromString, common_pb2.CommonResponse.SerializeToString
    return grpc.method_handlers_generic_handler("protocols.grpc.common.CommonService", {
        "GetServiceInfo": grpc.unary_unary_rpc_method_handler(
            info, common_pb2.ServiceInfoRequest.FromString, common_pb2.ServiceInfoResponse.SerializeToString),
        "Unary": grpc.unary_unary_rpc_method_handler(unary, request, response),
        "OutputStreaming": grpc.unary_stream_rpc_method_handler(output, request, response),
        "InputStreaming": grpc.stream_unary_rpc_method_handler(input_stream, request, response),
        "BidiStreaming": grpc.stream_stream_rpc_method_handler(bidi, request, response),
    })


async def main():
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(),))
    assert server.add_insecure_port(address)
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


asyncio.run(main())
