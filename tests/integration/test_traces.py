# SPDX-License-Identifier: MIT
"""Spans as a collector of OpenTelemetry gets them, and W3C trace context from callers to upstreams."""
import collections
import http.server
import json
import threading
import urllib.request

from harness import *

generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402

MODULES = os.path.join(BUILD, "src", "bricks")
UNARY = path("LLM", "Unary")
CONTRACT = "  - { name: chat, module: contract, options: { type: LLM } }\n"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OK = b'{"partialSuccess":{}}'


class Server:
    """HTTP on a free port of the loopback; answer(handler, body) says what comes back."""

    def __init__(self, answer):
        self.requests = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.requests.append((self.path, dict(self.headers), body))
                answer(self, body)

            def reply(self, status, body=OK, **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Collector(Server):
    """Takes spans; `faults`: the statuses of the first answers, or how long they are silent."""

    def __init__(self, *faults):
        self.faults = collections.deque(faults)
        self.accepted, self.times = [], []
        super().__init__(self.take)

    def take(self, handler, body):
        self.times.append(time.monotonic())
        fault = self.faults.popleft() if self.faults else 200
        if isinstance(fault, float):
            time.sleep(fault)
        elif fault != 200:
            handler.reply(fault, b"", **({"Retry_After": "1"} if fault == 429 else {}))
            return
        self.accepted.append(json.loads(body))
        handler.reply(200)

    def resources(self):
        return [r for body in list(self.accepted) for r in body["resourceSpans"]]

    def spans(self):
        return [s for r in self.resources() for scope in r["scopeSpans"] for s in scope["spans"]]

    def wait(self, count):
        wait_for(f"{count} spans", lambda: len(self.spans()) >= count, 20)
        eq(len(self.spans()), count, "spans")
        return self.spans()


def attributes(of):
    """With types: 64-bit numbers are strings in protobuf's JSON."""
    found = {}
    for a in of["attributes"]:
        (kind, value), = a["value"].items()
        if kind == "arrayValue":
            found[a["key"]] = [item["stringValue"] for item in value["values"]]
            continue
        assert isinstance(value, str) and kind in ("stringValue", "intValue"), a
        found[a["key"]] = int(value) if kind == "intValue" else value
    return found


def traces(url, more=""):
    return f"traces: {{ endpoint: \"{url}/v1/traces\" {more} }}"


def request(what="case:ok", **fields):
    return llm_pb2.LLMRequest(prompt=what, **fields).SerializeToString()


def parent(flags="01", trace=TRACE, span=SPAN):
    return [("traceparent", f"00-{trace}-{span}-{flags}")]


@test
def a_call_is_a_span():
    with Collector() as c, Brickd(CONTRACT, traces(c.url, ", service: gate")) as d:
        before = time.time_ns()
        channel = d.channel()
        call(channel, UNARY, request(request_id="r-\"1\""), parent())
        s, = c.wait(1)
        eq({k: s[k] for k in ("traceId", "parentSpanId", "name", "kind", "status")},
           {"traceId": TRACE, "parentSpanId": SPAN, "name": "protocols.grpc.llm.LLMService/Unary", "kind": 2,
            "status": {}})
        assert re.fullmatch("[0-9a-f]{16}", s["spanId"]) and s["spanId"] != SPAN, s
        assert before <= int(s["startTimeUnixNano"]) < int(s["endTimeUnixNano"]) <= time.time_ns(), s
        eq(attributes(s), {
            "rpc.system": "grpc", "rpc.service": "protocols.grpc.llm.LLMService", "rpc.method": "Unary",
            "rpc.grpc.status_code": 0, "brickd.brick": "chat", "brickd.request_id": 'r-"1"', "client.address": "127.0.0.1",
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "brickd", "gen_ai.request.model": "chat"})
        resource, = c.resources()
        own = attributes(resource["resource"])
        eq((own["service.name"], own["process.pid"]), ("gate", d.workers()[0]))
        eq(resource["scopeSpans"][0]["scope"]["name"], "brickd")
        (where, headers, _), = c.requests
        eq((where, headers["Content-Type"]), ("/v1/traces", "application/json"))

        call(channel, UNARY, request("case:fail-negative"), [("x-request-id", "m1")])
        call(channel, UNARY, request("case:status"))
        call(channel, UNARY, b"\xff\xff")
        call(channel, "/nobody/Knows")
        found = c.wait(5)[1:]
        eq([s["status"] for s in found], [{"code": 2}, {}, {"code": 2}, {"code": 2}])
        eq([attributes(s).get("error.type") for s in found], ["-5", "FAILED_PRECONDITION", "UNKNOWN", "UNIMPLEMENTED"])
        eq([attributes(s)["rpc.grpc.status_code"] for s in found], [0, 9, 2, 12])
        eq((attributes(found[0])["brickd.error_code"], attributes(found[0])["brickd.request_id"]), (-5, "m1"))
        eq(found[3]["name"], "unknown method")
        assert all("parentSpanId" not in s for s in found)
        eq(len({s["traceId"] for s in found}), 4, "traces")


USAGE = [("x-usage-prompt-tokens", "20"), ("x-usage-completion-tokens", "5"), ("x-model", "m-1"),
         ("x-finish-reason", "length")]


def about_model(span):
    return {key[7:]: value for key, value in attributes(span).items() if key.startswith("gen_ai.")}


@test
def the_span_of_a_call_to_a_model_says_what_it_has_used():
    http = free_port()
    bricks = CONTRACT + "  - { name: other, module: contract, options: { type: Common } }\n"
    with Collector() as c, Brickd(bricks, traces(c.url), port_extra=f'  - {{ listen: "127.0.0.1:{http}", protocol: http }}') as d:
        call(d.channel(), UNARY, request("case:metadata secret", model_id="big"), USAGE)
        call(d.channel(), path("Common", "Unary"), b"", USAGE)
        body = json.dumps({"model": "chat", "prompt": "case:metadata secret", "stream": True}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{http}/v1/completions", body, dict(USAGE)),
                                    timeout=10) as answer:
            assert answer.read()
        one, common, two = c.wait(3)
        used = {"provider.name": "brickd", "response.model": "m-1", "response.finish_reasons": ["length"],
                "usage.input_tokens": 20, "usage.output_tokens": 5}
        eq(about_model(one), {"operation.name": "chat", "request.model": "big", **used})
        eq(about_model(common), {})
        eq(about_model(two), {"operation.name": "text_completion", "request.model": "chat", **used})
        assert "secret" not in json.dumps(c.accepted)


@test
def each_step_of_a_pipeline_is_a_span():
    bricks = "".join(f"  - {{ name: {name}, module: echo, options: {{ type: {kind} }} }}\n"
                     for name, kind in (("shield", "Guard"), ("intent", "Intention"), ("docs", "Retrieval"), ("chat", "LLM")))
    steps = "[ brick: shield, parallel: [ { brick: intent, name: what }, brick: docs ], brick: chat ]"
    bricks += f"  - {{ name: p, module: pipeline, options: {{ type: LLM, steps: {steps} }} }}\n"
    with Collector() as c, Brickd(bricks, traces(c.url), port_extra="    bricks: [p]", modules=MODULES) as d:
        call(d.channel(), UNARY, request())
        spans = c.wait(5)
        whole, = [s for s in spans if "parentSpanId" not in s]
        steps = [s for s in spans if s is not whole]
        eq({s["name"] for s in steps}, {"shield", "what", "docs", "chat"})
        eq({s["parentSpanId"] for s in steps}, {whole["spanId"]})
        for s in steps:
            assert int(whole["startTimeUnixNano"]) <= int(s["startTimeUnixNano"]), s
            assert int(s["endTimeUnixNano"]) <= int(whole["endTimeUnixNano"]), s
            eq(about_model(s), {"operation.name": "chat", "provider.name": "brickd", "request.model": "chat"} if s["name"] == "chat" else {})


@test
def a_step_that_asks_a_model_says_what_it_has_used():
    module = os.path.join(MODULES, "pipeline.so")
    inner, outer = (f"  - {{ name: {name}, module: {module}, options: {{ type: LLM, steps: [ brick: {step} ] }} }}\n"
                    for name, step in (("inner", "chat"), ("outer", "inner")))
    with Collector() as c, Brickd(CONTRACT + inner + outer, traces(c.url), port_extra="    bricks: [outer]") as d:
        for what in "case:metadata secret", "case:fail-negative":
            call(d.channel(), UNARY, request(what), USAGE)
        spans = {(s["name"], attributes(s).get("gen_ai.request.model"), s["traceId"]): about_model(s) for s in c.wait(6)}
        eq(len(spans), 6)
        for (name, model, _), about in spans.items():
            eq((about["operation.name"], about["provider.name"], model), ("chat", "brickd", "outer" if "/" in name else name))
        used = [about for (name, *_), about in spans.items() if name == "chat" and "usage.input_tokens" in about]
        eq([(about["response.model"], about["usage.input_tokens"], about["usage.output_tokens"]) for about in used], [("m-1", 20, 5)])


@test
def a_call_by_http_is_a_span():
    http = free_port()
    with Collector() as c, Brickd(CONTRACT, traces(c.url), port_extra=f'  - {{ listen: "127.0.0.1:{http}", protocol: http }}'):
        body = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "case:ok"}]}).encode()
        answer = urllib.request.urlopen(urllib.request.Request(
            f"http://127.0.0.1:{http}/v1/chat/completions", body, dict(parent())), timeout=10)
        eq(answer.status, 200)
        s, = c.wait(1)
        eq((s["traceId"], s["parentSpanId"]), (TRACE, SPAN))
        own = attributes(s)
        eq((own["http.route"], own["http.response.status_code"], own["brickd.request_id"]),
           ("/v1/chat/completions", 200, answer.headers["x-request-id"]))


def calls_of(d):
    """Their lines, of a log in JSON."""
    return [line for line in map(json.loads, d.log().splitlines()) if "rpc_method" in line]


@test
def the_log_and_the_span_agree():
    with Collector() as c, Brickd(CONTRACT, traces(c.url) + "\nlog: { format: json }") as d:
        call(d.channel(), UNARY, request())
        s, = c.wait(1)
        line, = wait_for("its line", lambda: calls_of(d))
        eq((line["trace_id"], line["span_id"]), (s["traceId"], s["spanId"]))
    with Brickd(CONTRACT, "log: { format: json }") as d:  # the caller's own, if nobody traces here
        call(d.channel(), UNARY, request(), parent("00"))
        call(d.channel(), UNARY, request())
        with_, without = wait_for("two lines", lambda: len(found := calls_of(d)) > 1 and found)
        eq((with_["trace_id"], with_["span_id"]), (TRACE, SPAN))
        assert "trace_id" not in without, without


@test
def the_caller_decides_what_is_sampled():
    with Collector() as c, Brickd(CONTRACT, traces(c.url, ", sample: 0")) as d:
        channel = d.channel()
        for _ in range(20):
            call(channel, UNARY, request())
        call(channel, UNARY, request(), parent("00"))
        call(channel, UNARY, request(), parent("fe"))
        call(channel, UNARY, request(), parent("01"))
        s, = c.wait(1)
        eq((s["traceId"], s["parentSpanId"]), (TRACE, SPAN))
    with Collector() as c, Brickd(CONTRACT, traces(c.url, ", sample: 0.5")) as d:
        channel = d.channel()
        for _ in range(200):
            call(channel, UNARY, request())
        d.stop()
        assert 60 < len(c.spans()) < 140, len(c.spans())


@test
def unsound_parents_are_ignored():
    good = parent()[0][1]
    unsound = [good[:-1], good + "0", good + "-x", "ff" + good[2:], "0" + good[1:].replace("-", "x", 1), good.upper(),
               good.replace(TRACE, "0" * 32), good.replace(SPAN, "0" * 16), "", good.replace("-", "_"), "00" + good]
    with Collector() as c, Brickd(CONTRACT, traces(c.url)) as d:
        channel = d.channel()
        for value in unsound:
            call(channel, UNARY, request(), [("traceparent", value)])
        call(channel, UNARY, request(), parent() + parent(span="c" * 16))  # which one?
        call(channel, UNARY, request(), [("traceparent", "01" + good[2:] + "-later-version")])
        call(channel, UNARY, request(), [("traceparent", "cc" + good[2:])])
        found = c.wait(len(unsound) + 3)
        eq([s.get("parentSpanId") for s in found], [None] * (len(unsound) + 1) + [SPAN] * 2)


@test
def bricks_that_call_bricks():
    bricks = (f"  - {{ name: pipe, module: pipeline, options: {{ target: chat }} }}\n"
              f"  - {{ name: chat, module: {MODULES}/echo.so, options: {{ type: LLM, delay: 50ms }} }}\n")
    with Collector() as c, Brickd(bricks, traces(c.url)) as d:
        r = common_pb2.CommonRequest()
        r.data["prompt"] = "hi"
        eq(call(d.channel(), path("Common", "Unary"), r.SerializeToString(), parent())[1], "OK")
        found = {attributes(s)["brickd.brick"]: s for s in c.wait(2)}
        outer, inner = found["pipe"], found["chat"]
        eq((outer["traceId"], inner["traceId"]), (TRACE, TRACE))
        eq((outer["parentSpanId"], inner["parentSpanId"]), (SPAN, outer["spanId"]))
        eq((outer["kind"], inner["kind"]), (2, 1))
        eq(attributes(inner)["rpc.service"], "protocols.grpc.llm.LLMService")
        times = [int(s[k]) for s, k in ((outer, "startTimeUnixNano"), (inner, "startTimeUnixNano"),
                                        (inner, "endTimeUnixNano"), (outer, "endTimeUnixNano"))]
        eq(times, sorted(times))
        assert times[2] - times[1] >= 50_000_000, times


@test
def upstreams_join_the_trace():
    def answer(handler, _):
        handler.reply(200, json.dumps({"choices": [{"message": {"content": "hi"}}]}).encode(),
                      Content_Type="application/json")

    def bricks(url):
        return f"  - {{ name: chat, module: {MODULES}/openai.so, options: {{ base_url: \"{url}/v1\", model: m }} }}\n"

    def sent(extra, metadata):
        with Server(answer) as api, Brickd(bricks(api.url), extra) as d:
            eq(call(d.channel(), UNARY, request(), metadata)[1], "OK")
            headers = {k.lower(): v for k, v in api.requests[0][1].items()}
            return headers.get("traceparent"), headers.get("tracestate"), headers.get("x-request-id")

    state = [("tracestate", "a=1,b=2"), ("tracestate", "c=3")]
    eq(sent("", []), (None, None, None))
    eq(sent("", parent("00") + state + [("x-request-id", "m1")]), (parent("00")[0][1], "a=1,b=2,c=3", "m1"))
    eq(sent("", [("traceparent", "nonsense")] + state), (None, None, None))
    with Collector() as c:
        traceparent, tracestate, _ = sent(traces(c.url), parent() + state)
        s, = c.wait(1)
        eq((traceparent, tracestate), (parent(span=s["spanId"])[0][1], "a=1,b=2,c=3"))
        traceparent, tracestate, _ = sent(traces(c.url), state)
        s = c.wait(2)[1]
        eq((traceparent, tracestate), (f"00-{s['traceId']}-{s['spanId']}-03", None))


def calls_are_unaffected(d, count=300):
    channel = d.channel()
    slowest = 0
    for _ in range(count):
        start = time.monotonic()
        eq(call(channel, UNARY, request())[1], "OK")
        slowest = max(slowest, time.monotonic() - start)
    assert slowest < 2, slowest


@test
def a_collector_that_wants_time_gets_it():
    with Collector(503, 429) as c, Brickd(CONTRACT, traces(c.url)) as d:
        calls_are_unaffected(d, 50)
        found = c.wait(50)
        eq(len({s["spanId"] for s in found}), 50, "none twice")
        assert c.times[2] - c.times[1] >= 0.99, "Retry-After is obeyed"
        d.says("again")  # the end of the failure
        log = d.whole_log()
        eq(log.count("Cannot send traces to"), 1)
        assert "HTTP 503" in log and "dropped" not in log, log


@test
def a_collector_that_wants_more_time_than_there_is_gets_much():
    """Without it the next attempt would follow within a second."""
    with Server(lambda handler, _: handler.reply(503, b"", Retry_After="99999999999")) as c, \
            Brickd(CONTRACT, traces(c.url)) as d:
        calls_are_unaffected(d, 3)
        wait_for("a refusal", lambda: c.requests, 20)
        time.sleep(2.5)
        eq(len(c.requests), 1)
        d.stop()


@test
def a_stop_sends_what_waits():
    with Collector(503) as c, Brickd(CONTRACT, traces(c.url)) as d:
        calls_are_unaffected(d, 10)
        wait_for("a refusal", lambda: c.times, 20)
        calls_are_unaffected(d, 10)
        status, took = d.stop()
        assert status == 0 and took.running < 2.9, took
        eq(len({s["spanId"] for s in c.spans()}), 20)


@test
def a_collector_that_refuses_gets_no_repetition():
    with Collector(400) as c, Brickd(CONTRACT, traces(c.url)) as d:
        calls_are_unaffected(d, 10)
        wait_for("the loss in the log", lambda: re.search(r"warning \d+ spans dropped: HTTP 400", d.log()), 20)
        calls_are_unaffected(d, 10)
        d.stop()
        lost = sum(int(n) for n in re.findall(r"(\d+) spans dropped", d.log()))
        eq(len(c.spans()) + lost, 20)
        assert lost >= 1, d.log()


@test
def partial_success_is_counted():
    def answer(handler, _):
        handler.reply(200, b'{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too \xc3\xbcgly"}}')
    with Server(answer) as c, Brickd(CONTRACT, traces(c.url)) as d:
        calls_are_unaffected(d, 3)
        d.stop()
        assert re.search(r"2 spans dropped: too ügly", d.log()), d.log()


@test
def no_more_can_be_rejected_than_was_sent():
    for rejected in b'"-2"', b'"99999999999999999999999"', b"9223372036854775807":
        def answer(handler, _):
            handler.reply(200, b'{"partialSuccess":{"rejectedSpans":' + rejected + b',"errorMessage":"no"}}')
        with Server(answer) as c, Brickd(CONTRACT, traces(c.url)) as d:
            calls_are_unaffected(d, 3)
            d.stop()
            lost = sum(int(n) for n in re.findall(r"(\d+) spans dropped", d.log()))
            eq(lost, 0 if b"-" in rejected else 3, (rejected, d.log()))


@test
def nobody_waits_for_a_collector():
    """It is gone, or silent; spans are dropped and counted, memory is bounded, a stop is quick."""
    unused = free_port()
    with Server(lambda handler, _: time.sleep(30)) as silent:
        for url, limit in (f"http://127.0.0.1:{unused}", 1.5), (silent.url, 5):
            with Brickd(CONTRACT, traces(url)) as d:
                calls_are_unaffected(d)
                before = rss(d)
                out = load(d, 10000)
                assert "10000 succeeded" in out, out
                assert rss(d) - before < 4096, (before, rss(d))
                status, took = d.stop()
                eq(status, 0)
                assert SANITIZED or took.running < limit, (url, took)
                lost = sum(int(n) for n in re.findall(r"(\d+) spans dropped", d.log()))
                eq(lost, 10300, "every span is accounted for")


def load(d, count):
    body = os.path.join(d.dir, "body")
    message = request()
    with open(body, "wb") as f:
        f.write(b"\0" + len(message).to_bytes(4, "big") + message)
    return subprocess.run(["h2load", "-n", str(count), "-c", "2", "-m", "16", "-d", body,
                           "-H", "content-type: application/grpc", "-H", "te: trailers",
                           f"http://{d.address}{UNARY}"], capture_output=True, text=True, timeout=60).stdout


def rss(d):
    """KiB of the worker; 0 under a sanitizer, which keeps what is freed."""
    pid, = d.workers()
    with open(f"/proc/{pid}/maps") as maps:
        if "libasan" in maps.read():
            return 0
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Rss:"))


@test
def a_secret_header_and_mistakes():
    with Collector() as c, Brickd(CONTRACT, "") as d:
        secret = os.path.join(d.dir, "token")
        with open(secret, "w") as f:
            f.write("Bearer s3cret\n")
        os.chmod(secret, 0o600)

        def configure(text):
            d.extra = text
            d.write(CONTRACT)
            return d.ctl("reload", "--wait", check=False)  # the old worker may else take one more connection

        done = configure(traces(c.url, f', headers: [{{ name: authorization, value: {{ file: "{secret}" }} }}]'))
        eq(done.returncode, 0, done.stderr)
        call(d.channel(), UNARY, request())
        c.wait(1)
        eq(c.requests[0][1]["authorization"], "Bearer s3cret")
        with open(secret, "w") as f:
            f.write("two\nlines")
        done = configure(traces(c.url, f', headers: [{{ name: a, value: {{ file: "{secret}" }} }},'
                                       ' { name: b, value: { file: /nothing/here } }]'))
        eq(done.returncode, 78)
        assert "traces.headers[0].value: the value of a header must not contain" in done.stderr, done.stderr
        assert "traces.headers[1].value.file: " in done.stderr, done.stderr
        for mistake in ("endpoint: ftp://x", "endpoint: \"http://me:you@x/\"", "sample: 1.5", "sample: -0.1",
                        "headers: [{ name: \"a b\", value: { env: HOME } }]"):
            eq(configure(f"traces: {{ {mistake} }}").returncode, 78, mistake)
        assert "s3cret" not in d.whole_log(), d.log()


if __name__ == "__main__":
    main()
