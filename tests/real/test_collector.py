# SPDX-License-Identifier: MIT
"""brickd's spans as the receiver of an OpenTelemetry collector reads them, and collectors that are no good."""
import json
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

import registry  # noqa: E402
from harness import BUILD, Brickd, call, eq, generate_stubs, main, path, temp_dir, test, wait_for  # noqa: E402
from ports import free_port  # noqa: E402

program = os.path.join(registry.go(os.path.join(HERE, "programs", "collector"), os.path.join(BUILD, "tests", "real", "collector")),
                       "collector")
generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402

UNARY = path("LLM", "Unary")
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = [("traceparent", f"00-{TRACE}-{SPAN}-01")]
USAGE = [("x-usage-prompt-tokens", "20"), ("x-usage-completion-tokens", "5"), ("x-model", "m-1"), ("x-finish-reason", "length")]
CONTRACT = "  - { name: chat, module: contract, options: { type: LLM } }\n"


class Collector:
    """The receiver in a process; what its collector has been handed."""

    def __init__(self, mode="", address=None):
        self.address = address or f"127.0.0.1:{free_port()}"
        self.path = os.path.join(temp_dir(), "spans")
        with open(self.path, "w") as out:
            self.process = subprocess.Popen([program, self.address, mode], stdout=out)
        wait_for("the collector", lambda: self.lines() or self.process.poll() is not None)
        eq(self.process.poll(), None)

    def lines(self):
        with open(self.path) as f:
            return f.read().split("\n")[:-1]

    def resources(self):
        return [resource for line in self.lines()[1:] for resource in json.loads(line)["resourceSpans"]]

    def spans(self):
        return [s for r in self.resources() for scope in r["scopeSpans"] for s in scope["spans"]]

    def wait(self, count):
        wait_for(f"{count} spans", lambda: len(self.spans()) >= count)
        eq(len(self.spans()), count, "spans")
        return self.spans()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)


def attributes(of):
    def plain(value):
        (kind, content), = value.items()
        return [plain(v) for v in content["values"]] if kind == "arrayValue" else int(content) if kind == "intValue" else content

    return {a["key"]: plain(a["value"]) for a in of["attributes"]}


def traced(address, bricks=CONTRACT, **options):
    return Brickd(bricks, f'traces: {{ endpoint: "http://{address}/v1/traces", service: gate }}\nlog: {{ access: off }}', **options)


def ask(channel, prompt="case:ok", metadata=(), **fields):
    return call(channel, UNARY, llm_pb2.LLMRequest(prompt=prompt, **fields).SerializeToString(), metadata)


@test
def a_call_with_its_parent_and_the_use_of_a_model():
    with Collector() as collector, traced(collector.address) as d:
        channel, before = d.channel(), time.time_ns()
        ask(channel, "case:metadata", PARENT + USAGE, request_id="r1", model_id="big")
        s, = collector.wait(1)
        eq((s["traceId"], s["parentSpanId"], s["name"], s["kind"]), (TRACE, SPAN, "protocols.grpc.llm.LLMService/Unary", 2))
        assert before <= int(s["startTimeUnixNano"]) < int(s["endTimeUnixNano"]) <= time.time_ns(), s
        eq(attributes(s), {
            "rpc.system": "grpc", "rpc.service": "protocols.grpc.llm.LLMService", "rpc.method": "Unary",
            "rpc.grpc.status_code": 0, "brickd.brick": "chat", "brickd.request_id": "r1", "client.address": "127.0.0.1",
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "brickd", "gen_ai.request.model": "big",
            "gen_ai.response.model": "m-1", "gen_ai.response.finish_reasons": ["length"],
            "gen_ai.usage.input_tokens": 20, "gen_ai.usage.output_tokens": 5})
        resource, = collector.resources()
        own = attributes(resource["resource"])
        eq((own["service.name"], own["process.pid"]), ("gate", d.workers()[0]))
        eq(resource["scopeSpans"][0]["scope"]["name"], "brickd")
        ask(channel, "case:fail", request_id='"\\ \U0001f600 \u0001')
        ask(channel, "case:status")
        fail, status = collector.wait(3)[1:]
        eq((fail["status"], attributes(fail)["brickd.error_code"]), ({"code": 2}, 2003))
        eq(attributes(fail)["error.type"], "2003")
        eq(attributes(status)["error.type"], "FAILED_PRECONDITION")


@test
def the_steps_of_a_pipeline_are_children():
    bricks = "".join(f"  - {{ name: {name}, module: echo, options: {{ type: {kind} }} }}\n"
                     for name, kind in (("shield", "Guard"), ("docs", "Retrieval"), ("chat", "LLM")))
    bricks += "  - { name: p, module: pipeline, options: { type: LLM, steps: [ brick: shield, brick: docs, brick: chat ] } }\n"
    with Collector() as collector, traced(collector.address, bricks, port_extra="    bricks: [p]",
                                          modules=os.path.join(BUILD, "src", "bricks")) as d:
        eq(ask(d.channel(), "hello", PARENT)[1], "OK")
        spans = {s["name"]: s for s in collector.wait(4)}
        whole = spans.pop("protocols.grpc.llm.LLMService/Unary")
        eq((whole["parentSpanId"], set(spans)), (SPAN, {"shield", "docs", "chat"}))
        eq({(s["traceId"], s["parentSpanId"]) for s in spans.values()}, {(TRACE, whole["spanId"])})


def calls(d, count=300):
    channel = d.channel()
    for _ in range(count):
        eq(ask(channel)[1], "OK")


def lost(d):
    return sum(int(n) for n in re.findall(r"(\d+) spans dropped", d.log()))


@test
def many_spans():
    with Collector() as collector, traced(collector.address) as d:
        calls(d, 2000)
        d.stop()
        eq((len({s["spanId"] for s in collector.spans()}), lost(d)), (2000, 0))


@test
def a_collector_that_refuses():
    with Collector("refuses") as collector, traced(collector.address) as d:
        calls(d)
        d.stop()
        eq((collector.spans(), lost(d)), ([], 300))
        d.says("300 spans dropped: HTTP 500")


@test
def a_collector_that_is_busy():
    """It gets the same spans again, until the stop."""
    with Collector("busy") as collector, traced(collector.address) as d:
        calls(d)
        d.says("HTTP 503")
        calls(d)
        d.stop()
        eq((collector.spans(), lost(d)), ([], 600))


@test
def a_collector_that_is_slow():
    with Collector("slow") as collector, traced(collector.address) as d:
        calls(d)
        status, _ = d.stop()
        eq(status, 0)
        assert len(collector.spans()) + lost(d) >= 300, d.log()


@test
def a_collector_that_comes_and_goes():
    address = f"127.0.0.1:{free_port()}"
    with traced(address) as d:
        calls(d)
        d.says("Cannot send traces to")
        with Collector(address=address) as first:
            first.wait(300)
            first.process.send_signal(signal.SIGSTOP)
            calls(d)
            first.process.send_signal(signal.SIGCONT)
            first.wait(600)
        calls(d, 10)
        with Collector(address=address) as second:
            second.wait(10)
        d.stop()
        eq(lost(d), 0)


main()
