#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A Rectify brick for rag.yaml: it leaves the words around a question out, which a search would look for, too.

It needs grpcio and protobuf: python3-grpcio and python3-protobuf of Debian."""
import re
from concurrent import futures

import grpc
from google.protobuf.wrappers_pb2 import StringValue

BEFORE = re.compile(r"^((hello|hi|hey|good (morning|evening))( there)?|please|(can|could|would) you|tell me|"
                    r"i('d| would) like to know)\b[\s,.!]*", re.I)
AFTER = re.compile(r"[\s,]*\b(please|thanks|thank you)[\s.!]*$", re.I)


def tidy(text):
    question, n = text.strip(), 1
    while n:
        question, n = BEFORE.subn("", question)
    return AFTER.sub("", question) or text


def unary(request, context):
    return StringValue(value=tidy(request.value))


# Field 1 of RectifyRequest and of RectifyResponse is the text, as it is of StringValue.
method = grpc.unary_unary_rpc_method_handler(unary, StringValue.FromString, StringValue.SerializeToString)
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((
    grpc.method_handlers_generic_handler("protocols.grpc.rectify.RectifyService", {"Unary": method}),))
server.start()  # listens on brickd's socket
server.wait_for_termination()
