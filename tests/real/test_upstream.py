# SPDX-License-Identifier: MIT
"""Upstream's eight examples behind brickd beside the same on upstream's own server: every reply is the same."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))

import grpc  # noqa: E402
from google.protobuf import json_format  # noqa: E402

import pypi  # noqa: E402
from harness import BUILD, CALL_LIMIT, START_LIMIT, Brickd, eq, generate_stubs, main, path, temp_dir, test  # noqa: E402
from ports import free_port  # noqa: E402

TYPES = ("Common", "LLM", "Guard", "Intention", "Rectify", "Retrieval", "Translate", "Compose")
HERE = os.path.dirname(os.path.abspath(__file__))

venv = pypi.get(BUILD)
print("#", venv.versions(), flush=True)
generate_stubs()


def message(kind, name):
    module = __import__(f"protocols.grpc.{kind.lower()}.{kind.lower()}_pb2", fromlist=["_pb2"])
    return getattr(module, name)


def requests(kind):
    """Serialised requests, of a type that has a text also one without."""
    make = message(kind, f"{kind}Request")
    texts = ["", "hello", "An attack: 攻擊 & ‘quotes’ {braces}", "one two three\n" * 100]
    if kind == "Common":
        dicts = [{}, *({"text": text, "more": [1, None, {"a": True}]} for text in texts)]
        made = [json_format.ParseDict({"data": d}, make()) for d in dicts]
    elif kind == "Compose":
        documents = [{"doc_id": t[:3], "title": t, "metadata": {"page": 7}} for t in texts]
        made = [json_format.ParseDict({"input_documents": documents[:n], "target_format": "html"[:n]}, make())
                for n in range(5)]
    elif kind == "LLM":
        made = [make(prompt=text, temperature=0.7, context=[{"role": "user", "content": "c"}]) for text in texts]
    elif kind == "Retrieval":
        made = [make(query=text, max_results=3) for text in texts]
    elif kind == "Translate":
        made = [make(text=text, target_language=language) for text in texts for language in ("", "de")]
    else:
        made = [make(text=text, session_id="s") for text in texts]
    return [m.SerializeToString() for m in made] + [b"\xff not a message"]


def calls(kind):
    """(method, streams of requests, of replies, requests)"""
    for request in requests(kind):
        yield "Unary", False, False, [request]
        yield "OutputStreaming", False, True, [request]
    *good, bad = requests(kind)
    for stream in ([], good, good[2:], good[::-1], [bad]):  # bad ones only first: brickd reads ahead and tells at once
        yield "InputStreaming", True, False, stream
        yield "BidiStreaming", True, True, stream
    yield "GetServiceInfo", False, False, [b""]
    yield "NoSuchMethod", False, False, [b""]


def ask(channel, kind, method, requests_stream, replies_stream, sent):
    """What a client sees: the replies and how it ended. As JSON, for the order of a Struct is by chance."""
    name = "stream" if requests_stream else "unary"
    call = getattr(channel, f"{name}_{'stream' if replies_stream else 'unary'}")(path(kind, method))
    argument = iter(sent) if requests_stream else sent[0]
    replies, rpc = [], None
    try:
        if replies_stream:
            rpc = call(argument, timeout=CALL_LIMIT)
            for reply in rpc:
                replies.append(reply)
        else:
            reply, rpc = call.with_call(argument, timeout=CALL_LIMIT)
            replies.append(reply)
    except grpc.RpcError as e:
        rpc = e
    reply_type = message("Common", "ServiceInfoResponse") if method == "GetServiceInfo" else message(kind, f"{kind}Response")
    told = [json_format.MessageToDict(reply_type.FromString(reply)) for reply in replies]
    seen = json.dumps([told, rpc.code().name, rpc.details(), dict(rpc.trailing_metadata() or ())], sort_keys=True)
    return seen.replace(": Wire format was corrupt", "")  # of the newest protobuf; brickd checks requests and has it not


class Upstream:
    """An example on upstream's own server."""

    def __init__(self, kind):
        self.address = f"127.0.0.1:{free_port()}"
        self.log = os.path.join(temp_dir(), "log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [venv.python, os.path.join(HERE, "upstream_server.py"), self.address.rpartition(":")[2],
                 venv.example(kind, "grpc_server.py")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def channel(self):
        channel = grpc.insecure_channel(self.address)
        try:
            grpc.channel_ready_future(channel).result(START_LIMIT)
        except grpc.FutureTimeoutError:
            with open(self.log) as log:
                raise AssertionError("upstream's server does not answer: " + log.read()) from None
        return channel

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


CLASSES = {kind: f"My{kind}Brick" for kind in TYPES} | {"Common": "MyBrick"}
# what upstream's scripts give to the constructors
ARGUMENTS = {
    "Common": {"my_init_data": "Initialization data for gRPC server", "res_prefix": "From gRPC server"},
    "LLM": {"default_prompt": "gRPC default prompt", "model_id": "grpc-llm", "supported_languages": ["en", "zh"],
            "version": "1.0.0", "description": "gRPC LLMBrick example"},
    "Guard": {"sensitivity": 0.7, "verbose": True},
    "Intention": {"model_name": "grpc_demo_model", "res_prefix": "grpc_test", "verbose": True},
    "Rectify": {"mode": "upper", "supported_languages": ["en", "zh"], "description": "RectifyBrick gRPC server"},
    "Retrieval": {"index_name": "grpc_index"},
    "Translate": {"model_name": "demo_model", "default_target_language": "zh", "verbose": True},
    "Compose": {"desc_prefix": "GRPCServer", "default_format": "xml", "verbose": True},
}


def brick(kind, **options):
    options |= {"type": kind, "python": venv.python}
    return f"  - {{ name: {kind.lower()}, module: python, options: {json.dumps(options)} }}\n"


def script(kind):
    return brick(kind, script=venv.example(kind, "grpc_server.py"))


def class_of_file(kind):
    return brick(kind, arguments=ARGUMENTS[kind], **{"class": f"{venv.example(kind, 'my_brick.py')}:{CLASSES[kind]}"})


def eight(make):
    """A brickd with eight processes, of which each takes a second of a processor to import OpenAI's package."""
    return Brickd("".join(map(make, TYPES)), start_limit=5 * START_LIMIT)


upstream = {kind: Upstream(kind) for kind in TYPES}
compared = 0


def compare(running):
    global compared
    for kind in TYPES:
        channel, expected = running.channel(), upstream[kind].channel()
        for call in calls(kind):
            eq(ask(channel, kind, *call), ask(expected, kind, *call), f"{kind} {call[0]}")
            compared += 1
    print(f"# {compared} calls compared")


def by_upstreams_client(kind, address):
    return json.loads(subprocess.check_output(
        [venv.python, os.path.join(HERE, "upstream_client.py"), address, kind, venv.example(kind)],
        timeout=60, text=True, stderr=subprocess.DEVNULL).splitlines()[-1])


@test
def scripts_of_upstream_unchanged():
    with eight(script) as running:
        compare(running)


@test
def classes_of_upstream_unchanged():
    with eight(class_of_file) as running:
        compare(running)
        for kind in ("Common", "LLM"):
            eq(by_upstreams_client(kind, running.address), by_upstreams_client(kind, upstream[kind].address))


try:
    main()
finally:
    for server in upstream.values():
        server.stop()
