# SPDX-License-Identifier: MIT
"""Server reflection: a client that knows nothing but the address learns all it needs to call a brick."""
import threading

from google.protobuf import descriptor_pb2

from harness import *
from standard import descriptor_set, message_class, pool_of, standard

VERSIONS = ("v1", "v1alpha")
OWN = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
NOT_FOUND = 5
STREAMS_MAX = 100

ECHO = """
  - { name: echo, module: echo, options: { type: LLM } }
  - { name: find, module: echo, options: { type: Retrieval } }
"""


def echo(**options):
    return Brickd(ECHO, modules=os.path.join(BUILD, "src", "bricks"), **options)


class Reflection:
    """The client's side of one stream, by hand: one request, one response."""

    def __init__(self, channel, version="v1"):
        package = f"grpc.reflection.{version}."
        self.Request = standard(package + "ServerReflectionRequest")
        self.rpc = channel.stream_stream(
            f"/{package}ServerReflection/ServerReflectionInfo", self.Request.SerializeToString,
            standard(package + "ServerReflectionResponse").FromString)
        self.ask_more = threading.Semaphore(0)
        self.request = None
        self.stream = self.rpc(self.requests(), timeout=30)

    def requests(self):
        while True:
            self.ask_more.acquire()
            if self.request is None:
                return
            yield self.request

    def ask(self, **request):
        self.request = self.Request(**request)
        self.ask_more.release()
        response = next(self.stream)
        eq(response.original_request, self.request)
        eq(response.valid_host, self.request.host)
        return response

    def close(self):
        self.request = None
        self.ask_more.release()
        eq(list(self.stream), [])
        eq(self.stream.code(), grpc.StatusCode.OK)

    def services(self):
        return [service.name for service in self.ask(list_services="").list_services_response.service]

    def files(self, **request):
        response = self.ask(**request)
        eq(response.WhichOneof("message_response"), "file_descriptor_response", request)
        return [descriptor_pb2.FileDescriptorProto.FromString(b)
                for b in response.file_descriptor_response.file_descriptor_proto]

    def error(self, **request):
        response = self.ask(**request)
        eq(response.WhichOneof("message_response"), "error_response", request)
        return response.error_response.error_code


def in_order(files):
    """Imports first."""
    left, done = {f.name: f for f in files}, []

    def add(name):
        file = left.pop(name, None)
        if file:
            for other in file.dependency:
                add(other)
            done.append(file)

    for name in list(left):
        add(name)
    return done


class Generic:
    """A client for any server: an address, then names and dictionaries."""

    def __init__(self, channel, version):
        self.channel, self.reflection = channel, Reflection(channel, version)

    def call(self, service, method, /, **fields):
        pool = pool_of(in_order(self.reflection.files(file_containing_symbol=service)))
        found = pool.FindServiceByName(service).FindMethodByName(method)
        request, reply = (message_class(pool, t.full_name) for t in (found.input_type, found.output_type))
        rpc = self.channel.unary_unary(f"/{service}/{method}", request.SerializeToString, reply.FromString)
        return rpc(request(**fields), timeout=10)


@test
def a_client_that_knows_nothing_but_the_address():
    with echo() as d:
        for version in VERSIONS:
            client = Generic(d.channel(), version)
            bricks = [name for name in client.reflection.services() if not name.startswith("grpc.")]
            eq(bricks, ["protocols.grpc.llm.LLMService", "protocols.grpc.retrieval.RetrievalService"])
            reply = client.call(bricks[0], "Unary", prompt="hello")
            assert "hello" in reply.text, reply
            eq(reply.error.code, 200)
            reply = client.call(bricks[1], "Unary", query="hello")
            eq(reply.error.code, 200)
            assert client.call(bricks[0], "GetServiceInfo").service_name
            eq(client.call("grpc.health.v1.Health", "Check", service="echo").status, 1)
            client.reflection.close()


@test
def the_services_of_each_port():
    other = free_port()
    with echo(port_extra=f'    bricks: [find]\n    health: false\n  - listen: "127.0.0.1:{other}"\n    bricks: []') as d:
        eq(Reflection(d.channel()).services(), ["protocols.grpc.retrieval.RetrievalService"] + OWN[1:])
        with grpc.insecure_channel(f"127.0.0.1:{other}") as empty:
            eq(Reflection(empty, "v1alpha").services(), OWN)


@test
def every_file_with_all_it_needs():
    expected = {file.name: file for file in descriptor_set().file}
    with echo() as d:
        for version in VERSIONS:
            reflection = Reflection(d.channel(), version)
            for name, file in expected.items():
                files = reflection.files(file_by_filename=name)
                eq(files[0], file, name)
                eq(len({f.name for f in files}), len(files), name)
                for f in files:
                    eq(f, expected[f.name], name)
                pool_of(in_order(files))
            for service in reflection.services():
                pool = pool_of(in_order(reflection.files(file_containing_symbol=service)))
                for method in pool.FindServiceByName(service).methods:
                    for symbol in (f"{service}.{method.name}", method.input_type.full_name,
                                   method.output_type.full_name):
                        reflection.files(file_containing_symbol=symbol)
            eq(reflection.files(file_containing_symbol="grpc.health.v1.HealthCheckResponse.ServingStatus")[0].name,
               "grpc/health/v1/health.proto")
            reflection.close()


@test
def what_is_not_there_is_an_answer():
    with echo() as d:
        for version in VERSIONS:
            reflection = Reflection(d.channel(), version)
            kind = "protocols.grpc.llm.LLMRequest"
            for request in ({"file_by_filename": "no.proto"}, {"file_by_filename": ""},
                            {"file_containing_symbol": "protocols.grpc.llm"}, {"file_containing_symbol": "LLMService"},
                            {"file_containing_symbol": "é" * 500}, {"all_extension_numbers_of_type": kind},
                            {"file_containing_extension": {"containing_type": kind, "extension_number": 1}}):
                eq(reflection.error(host="h", **request), NOT_FOUND, request)
            eq(reflection.error(host="nothing"), 3)
            assert reflection.services()
            reflection.close()


def raw(channel, requests):
    """(how many responses, status, details)"""
    replies = []
    try:
        for reply in channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")(
                iter(requests), timeout=10):
            replies.append(reply)
        return len(replies), "OK", ""
    except grpc.RpcError as e:
        return len(replies), e.code().name, e.details()


@test
def what_a_client_may_do_is_bounded():
    good = b"\x3a\x00"
    with echo() as d:
        ch = d.channel()
        eq(raw(ch, []), (0, "OK", ""))
        eq(raw(ch, [good] * 300), (300, "OK", ""))
        eq(raw(ch, [good, b"\x22\x80\x40" + b"x" * 8192, good]),
           (1, "RESOURCE_EXHAUSTED", "The request is too large"))
        eq(raw(ch, [good, b"\x22\xff"]), (1, "INTERNAL", "The request cannot be parsed"))
        eq(raw(ch, [b"\x22\x02\xff\xfe"]), (0, "INTERNAL", "The request cannot be parsed"))

        streams = [Reflection(ch) for _ in range(STREAMS_MAX)]
        for stream in streams:
            stream.services()
        eq(raw(ch, [good]), (0, "RESOURCE_EXHAUSTED", "Too many streams are open"))
        assert Reflection(ch, "v1alpha").services()
        streams.pop().close()
        wait_for("a free place", lambda: raw(ch, [good]) == (1, "OK", ""), 20)

        # a stop waits for none of them
        status, took = d.stop()
        eq(status, 0)
        assert took.running < 2.9, took
        for stream in streams:
            try:
                next(stream.stream)
                raise AssertionError("a stream went on")
            except grpc.RpcError as e:
                eq((e.code().name, e.details()), ("UNAVAILABLE", "The server is stopping"))


@test
def off():
    with echo(port_extra="    reflection: false") as d:
        eq(raw(d.channel(), [b"\x3a\x00"]), (0, "UNIMPLEMENTED", "Method not found!"))


main()
