#!/usr/bin/python3
"""A Rectify brick for rag.yaml: leaves out of a question what a search would only stumble over.

It needs grpcio and protobuf; on Debian, python3-grpcio and python3-protobuf."""
import re
from concurrent import futures

import grpc
from google.protobuf.wrappers_pb2 import StringValue

GREETING = re.compile(r"^\s*(hello|hi|hey|good (morning|evening))\b[ ,.!-]*(there[ ,.!-]*)?", re.I)
POLITENESS = re.compile(r"^((can|could|would) you |please |kindly |tell me |i (want|would like) to know )+", re.I)


def tidy(text):
    text = " ".join(GREETING.sub("", text).split())
    text = POLITENESS.sub("", text)
    return re.sub(r",? *(please|thanks|thank you)\b[ .!]*$", "", text, flags=re.I)


def unary(request, context):
    # The text is field 1 of RectifyRequest and of RectifyResponse, as it is of StringValue.
    return StringValue(value=tidy(request.value) or request.value)


server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
    "protocols.grpc.rectify.RectifyService",
    {"Unary": grpc.unary_unary_rpc_method_handler(unary, StringValue.FromString, StringValue.SerializeToString)}),))
server.start()  # on brickd's socket
server.wait_for_termination()
