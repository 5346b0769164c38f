# SPDX-License-Identifier: MIT
"""The metrics: they are what clients saw, whatever becomes of workers; and HTTP that nobody can hold up."""
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import grpc

from harness import (BUILD, SOURCE, Brickd, Stopwatch, call, eq, free_port, generate_stubs, main, path, stream,
                     temp_dir, test, wait_for)
from pki import Authority

generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402
from protocols.grpc.common import common_pb2  # noqa: E402

UNARY, OUTPUT = path("LLM", "Unary"), path("LLM", "OutputStreaming")
SLOW_UNARY, SLOW_OUTPUT, SLOW_BIDI = (path("Common", m) for m in ("Unary", "OutputStreaming", "BidiStreaming"))
CHAT = "  - { name: chat, module: contract, options: { type: LLM } }"
SLOW = "  - { name: slow, module: blocking, options: { delay: %s }, limits: { threads: 1, queue: 2 } }"
PROGRAM = os.path.join(SOURCE, "tests", "integration", "llm_program.py")
LINE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Watched(Brickd):
    """A brickd with metrics on a free port."""

    def __init__(self, bricks, extra="", listen=None, **kwargs):
        self.metrics = listen or f"127.0.0.1:{free_port()}"
        super().__init__(bricks, extra=f"metrics: {{ listen: '{self.metrics}' }}\n{extra}", **kwargs)

    def get(self, where, **kwargs):
        return get(self.metrics, where, **kwargs)

    def scrape(self):
        status, text = self.get("/metrics")
        eq(status, 200)
        return Page(text)


def get(address, where, method="GET", timeout=10):
    """(status, body)"""
    request = urllib.request.Request(f"http://{address}{where}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


class Page:
    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            if not line.startswith("#"):
                name, labels, value = LINE.match(line).groups()
                self.samples.append((name, dict(LABEL.findall(labels or "")), float(value)))

    def find(self, name, **labels):
        return [(own, value) for n, own, value in self.samples
                if n == name and labels.items() <= own.items()]

    def sum(self, name, **labels):
        return sum(value for _, value in self.find(name, **labels))

    def requests(self, **labels):
        """{(code, error): count}, without those that have not been."""
        counts = {}
        for own, value in self.find("brickd_requests_total", **labels):
            if value:
                key = own["code"], own["error"]
                counts[key] = counts.get(key, 0) + int(value)
        return counts


def request(case):
    return llm_pb2.LLMRequest(prompt="case:" + case).SerializeToString()


def settled(daemon, condition):
    """A page for which the condition holds: a call ends for brickd a little later than for its client."""
    def look():
        page = daemon.scrape()
        return page if condition(page) else None
    return wait_for("the numbers", look, 20)


def ended(number, **labels):
    return lambda page: page.sum("brickd_requests_total", **labels) == number


GENAI = "gen_ai_server_request_duration_seconds_count"
USAGE = {"x-usage-prompt-tokens": "20", "x-usage-completion-tokens": "5", "x-model": "m-1", "x-finish-reason": "stop"}


def genai_labels(page, name=GENAI):
    """{(operation, request, response, error): number}"""
    return {tuple(own.get(key, "") for key in ("gen_ai_operation_name", "gen_ai_request_model",
                                               "gen_ai_response_model", "error_type")): value
            for own, value in page.find(name, gen_ai_provider_name="brickd")}


def ask_over_http(port, where, text, fields, **more):
    body = json.dumps({"model": "chat", **more, **text}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{where}", body, fields)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


@test
def calls_to_models_count_by_model():
    metrics, port, talk = f"127.0.0.1:{free_port()}", free_port(), {"messages": [{"role": "user", "content":
                                                                                   "case:metadata"}]}
    extra = f"metrics: {{ listen: '{metrics}', genai: true }}"
    with Brickd(CHAT + "\n" + SLOW % "0s", extra=extra,
                port_extra=f"  - {{ listen: '127.0.0.1:{port}', protocol: http }}") as daemon:
        def settled(number):
            return wait_for("the numbers", lambda: (lambda page: page if page.sum(GENAI) == number else None)(
                Page(get(metrics, "/metrics")[1])), 20)

        eq(get(metrics, "/metrics")[1].count("gen_ai"), 0)
        channel, usage = daemon.channel(), list(USAGE.items())
        told = request("metadata")
        call(channel, UNARY, told, usage)
        stream(channel, OUTPUT, llm_pb2.LLMRequest(prompt="case:metadata", model_id="big").SerializeToString(),
               list((USAGE | {"x-model": "big"}).items()))
        call(channel, UNARY, llm_pb2.LLMRequest(prompt="case:fail-code", model_id="junk").SerializeToString(),
             [("x-code", "4005")])
        call(channel, UNARY, told, [("x-model", "a b"), ("x-usage-prompt-tokens", "1e9")])
        call(channel, SLOW_UNARY, request("ok"))
        ask_over_http(port, "/v1/chat/completions", talk, USAGE)
        ask_over_http(port, "/v1/chat/completions", talk, USAGE, stream=True)
        ask_over_http(port, "/v1/completions", {"prompt": "case:metadata"}, USAGE)
        page = settled(7)
        eq(genai_labels(page), {("chat", "chat", "m-1", ""): 3, ("chat", "big", "big", ""): 1,
                                ("chat", "_OTHER", "", "model"): 1, ("chat", "chat", "", ""): 1,
                                ("text_completion", "chat", "m-1", ""): 1})
        eq(page.sum("gen_ai_client_token_usage_sum", gen_ai_token_type="input"), 100)
        eq(page.sum("gen_ai_client_token_usage_sum", gen_ai_token_type="output"), 25)
        eq(page.sum("gen_ai_client_token_usage_bucket", gen_ai_token_type="output", le="4"), 0)
        eq(page.sum("gen_ai_client_token_usage_bucket", gen_ai_token_type="output", le="16"), 5)
        for name in "time_to_first_token", "time_per_output_token":
            eq(genai_labels(page, f"gen_ai_server_{name}_seconds_count"),
               {("chat", "chat", "m-1", ""): 1, ("chat", "big", "big", ""): 1}, name)
        assert page.find("gen_ai_server_time_to_first_token_seconds_bucket", le="0.001")
        assert page.find("gen_ai_server_request_duration_seconds_bucket", le="81.92")
        eq(page.sum("brickd_requests_total"), 8)
        with open(os.path.join(SOURCE, "man", "brickd.8.scd")) as f:
            manual = set(re.findall(r"^\*(gen_ai_\w+)\* \((\w+)", f.read(), re.MULTILINE))
        eq(set(re.findall(r"^# TYPE (gen_ai_\w+) (\w+)$", page.text, re.MULTILINE)), manual)

        # What a worker has counted outlives it, and a model that a client has made up has no place of its own.
        daemon.ctl("reload")
        for i in range(200):
            model = llm_pb2.LLMRequest(prompt="case:ok", model_id=f"model-{i}").SerializeToString()
            call(channel, UNARY, model)
        page = settled(207)
        names = genai_labels(page)
        eq((len(names), names["chat", "_OTHER", "", ""]), (6, 200))


@test
def counters_are_what_clients_saw():
    with Watched(CHAT) as daemon:
        channel = daemon.channel()
        good, bad = request("ok"), request("fail-code")
        sent = received = 0
        for _ in range(5):
            received += len(call(channel, UNARY, good)[0])
            sent += len(good)
        for code in (2003, 2004, 4005, 12, 7):
            call(channel, UNARY, bad, [("x-code", str(code))])
        call(channel, UNARY, bad, [("x-code", "2003"), ("x-brick-status", "grpc")])
        replies = stream(channel, OUTPUT, request("three"))[0]
        failed = stream(channel, OUTPUT, request("three-then-garbage"))[0]
        waiting = channel.unary_unary(UNARY).future(request("wait"), timeout=20)
        settled(daemon, lambda page: page.sum("brickd_brick_in_flight", brick="chat") == 1)
        begin = time.monotonic()
        eq(call(channel, UNARY, request("wait"), timeout=0.2)[1], "DEADLINE_EXCEEDED")
        waited = time.monotonic() - begin
        waiting.cancel()
        eq(call(channel, UNARY, b"\xff")[1], "UNKNOWN")
        eq(call(channel, UNARY, good, [("x-brick", "absent")])[1], "NOT_FOUND")
        eq(call(channel, "/no.such/Method")[1], "UNIMPLEMENTED")
        eq(call(channel, path("Guard", "Unary"))[1], "UNIMPLEMENTED")

        page = settled(daemon, lambda page: ended(15)(page) and page.sum("brickd_unrouted_requests_total") == 4
                       and page.sum("brickd_brick_in_flight") == 0)
        unary = page.requests(brick="chat", type="LLM", method="Unary")
        # The client that gives up says so, which may come before the deadline of the call is over here, too.
        eq(unary.pop(("CANCELLED", "")) + unary.pop(("DEADLINE_EXCEEDED", ""), 0), 2)
        eq(unary, {("OK", ""): 5, ("OK", "validation"): 2, ("OK", "model"): 1, ("OK", "unimplemented"): 1,
                   ("OK", "other"): 1, ("INVALID_ARGUMENT", "validation"): 1})
        eq(page.requests(brick="chat", method="OutputStreaming"), {("OK", ""): 1, ("OK", "internal"): 1})
        eq(sum(page.requests().values()), 15)
        eq(page.sum("brickd_unrouted_requests_total", code="UNKNOWN"), 1)
        eq(page.sum("brickd_unrouted_requests_total", code="NOT_FOUND"), 1)
        eq(page.sum("brickd_unrouted_requests_total", code="UNIMPLEMENTED"), 2)
        eq({own["reason"]: value for own, value in page.find("brickd_rejected_total") if value},
           {"bad_request": 1, "unknown_brick": 1, "unknown_method": 2})
        eq(page.sum("brickd_requests_lost_total"), 0)

        eq(page.sum("brickd_messages_received_total", method="OutputStreaming"), 2)
        eq(page.sum("brickd_messages_sent_total", method="OutputStreaming"), len(replies) + len(failed))
        eq(page.sum("brickd_sent_bytes_total", method="OutputStreaming"), sum(map(len, replies + failed)))
        eq(page.sum("brickd_messages_sent_total", method="Unary"), 10)
        assert page.sum("brickd_received_bytes_total", method="Unary") > sent
        assert page.sum("brickd_sent_bytes_total", method="Unary") > received

        for method, count in (("Unary", 13), ("OutputStreaming", 2)):
            labels = {"brick": "chat", "method": method}
            name = "brickd_request_duration_seconds"
            eq(page.sum(name + "_count", **labels), count)
            eq(page.sum(name + "_bucket", le="10", **labels), count)
            eq(page.sum(name + "_bucket", le="+Inf", **labels), count)
            buckets = [value for _, value in page.find(name + "_bucket", **labels)]
            eq(buckets, sorted(buckets))
        assert waited < page.sum("brickd_request_duration_seconds_sum", method="Unary") < 10
        assert page.sum("brickd_request_duration_seconds_bucket", le="0.1", method="Unary") < 13, "one was held for 0.2 s"
        eq(page.sum("brickd_first_message_seconds_count"), 2)
        eq(page.sum("brickd_message_gap_seconds_count"), len(replies) + len(failed) - 2)
        eq(page.find("brickd_first_message_seconds_count", method="Unary"), [])
        eq(page.sum("brickd_connections"), 1)
        eq(page.sum("brickd_connections_accepted_total"), 1)


@test
def the_queue():
    with Watched(SLOW % "400ms") as daemon:
        channel = daemon.channel()
        begin = time.monotonic()
        futures = [channel.unary_unary(SLOW_UNARY).future(b"", timeout=20) for _ in range(3)]
        page = settled(daemon, lambda page: page.sum("brickd_brick_queued", brick="slow") == 2)
        eq(page.sum("brickd_brick_in_flight", brick="slow"), 1)
        eq(call(channel, SLOW_UNARY)[1], "RESOURCE_EXHAUSTED")
        for future in futures:
            future.result()
        took = time.monotonic() - begin
        page = settled(daemon, lambda page: ended(4)(page) and page.sum("brickd_brick_in_flight") == 0)
        eq(page.requests(brick="slow"), {("OK", ""): 3, ("RESOURCE_EXHAUSTED", ""): 1})
        eq(page.sum("brickd_rejected_total", reason="queue_full"), 1)
        wait = "brickd_brick_queue_wait_seconds"
        eq(page.sum(wait + "_count", brick="slow"), 3)
        eq(page.sum(wait + "_bucket", brick="slow", le="0.25"), 1)
        assert 0.8 < page.sum(wait + "_sum", brick="slow") < 2 * took, (page.sum(wait + "_sum"), took)
        eq(page.sum("brickd_brick_queued"), 0)


@test
def health_and_reflection():
    with Watched(CHAT) as daemon:
        channel = daemon.channel()
        eq(call(channel, "/grpc.health.v1.Health/Check")[1], "OK")
        eq(call(channel, "/grpc.health.v1.Health/Check", b"\x0a\x06absent")[1], "NOT_FOUND")
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=20)
        next(iter(watch))
        method = "grpc.health.v1.Health/Check"
        page = settled(daemon, lambda page: page.sum("brickd_builtin_requests_total", method=method) == 2)
        eq(page.sum("brickd_builtin_requests_total", method=method, code="NOT_FOUND"), 1)
        eq(page.sum("brickd_builtin_open", method="grpc.health.v1.Health/Watch"), 1)
        eq(page.requests(), {})
        watch.cancel()
        settled(daemon, lambda page: page.sum("brickd_builtin_open") == 0 and
                page.sum("brickd_builtin_requests_total", code="CANCELLED") == 1)


@test
def counters_outlive_workers():
    """Of each call the client knows the end, and so does brickd; but for those that died with their worker."""
    with Watched(CHAT, extra="workers: 2") as daemon:
        seen = {"OK": 0}
        stop = threading.Event()
        scrapes = []

        def load():
            own = {}
            while not stop.is_set():
                with grpc.insecure_channel(daemon.address, [("grpc.use_local_subchannel_pool", 1),
                                                            ("grpc.initial_reconnect_backoff_ms", 100),
                                                            ("grpc.enable_retries", 0)]) as channel:
                    method = channel.unary_unary(UNARY)
                    for _ in range(20):
                        # It waits for a connection, so that each failure is that of a call which had one.
                        status = method.future(request("ok"), timeout=20, wait_for_ready=True).code().name
                        own[status] = own.get(status, 0) + 1
            return own

        def watch():
            while not stop.is_set():
                scrapes.append(daemon.scrape().sum("brickd_requests_total"))

        with concurrent.futures.ThreadPoolExecutor() as pool:
            loads = [pool.submit(load) for _ in range(3)]
            watcher = pool.submit(watch)
            for killed in range(1, 7):
                time.sleep(0.2)
                os.kill(daemon.workers()[-1], signal.SIGKILL)
                settled(daemon, lambda page: page.sum("brickd_worker_restarts_total") == killed)
            time.sleep(0.3)
            stop.set()
            watcher.result()
            for future in loads:
                for status, n in future.result().items():
                    seen[status] = seen.get(status, 0) + n
        page = settled(daemon, lambda page: page.sum("brickd_workers", state="ready") == 2)
        counted = page.requests().get(("OK", ""), 0)
        lost = page.sum("brickd_requests_lost_total")
        eq(scrapes, sorted(scrapes), "a counter went backwards")
        eq(page.sum("brickd_worker_restarts_total"), 6)
        print(f"# {seen} of clients; {counted} counted, {lost:.0f} lost, {len(scrapes)} scrapes")
        # What a client has seen is counted, unless its worker died before it could be. What is counted and no client
        # has seen is a reply that died on its way: its client has seen a failure instead.
        failed = sum(seen.values()) - seen["OK"]
        assert failed <= 3 * 6, "a kill has cost a load more than the one call that it had in flight"
        assert seen["OK"] <= counted + lost <= seen["OK"] + failed, (counted, lost, seen)


@test
def counters_outlive_reloads():
    with Watched(CHAT) as daemon:
        channel = daemon.channel()
        for _ in range(7):
            call(channel, UNARY, request("ok"))
        channel.close()
        daemon.ctl("reload", "--wait")
        eq(daemon.scrape().requests(brick="chat"), {("OK", ""): 7})
        daemon.write(CHAT.replace("name: chat", "name: talk"))
        daemon.ctl("reload", "--wait")
        call(daemon.channel(), UNARY, request("ok"))
        page = settled(daemon, ended(1, brick="talk"))
        eq(page.requests(brick="chat"), {("OK", ""): 7})
        eq(page.find("brickd_brick_in_flight", brick="chat"), [])
        daemon.write("  - { name: x, module: absent }")
        eq(daemon.ctl("reload", check=False).returncode, 78)
        page = daemon.scrape()
        eq(page.sum("brickd_reloads_total", result="ok"), 2)
        eq(page.sum("brickd_reloads_total", result="failed"), 1)
        eq(page.sum("brickd_last_reload_successful"), 0)
        assert abs(page.sum("brickd_last_reload_timestamp_seconds") - time.time()) < 60
        eq(page.sum("brickd_generation"), 3)
        eq(page.requests(brick="chat"), {("OK", ""): 7})


@test
def bricks_that_call_bricks():
    bricks = ("  - { name: chat, module: contract, options: { type: LLM } }\n"
              "  - { name: front, module: pipeline, options: { target: chat } }")
    with Watched(bricks) as daemon:
        page = daemon.scrape()
        eq(page.sum("brickd_brick_inner_calls_total"), 0)
        question = common_pb2.CommonRequest()
        question.data.update({"prompt": "case:ok"})
        eq(call(daemon.channel(), SLOW_UNARY, question.SerializeToString())[1], "OK")
        page = settled(daemon, lambda page: page.sum("brickd_brick_inner_calls_total", brick="chat") == 1)
        eq(page.requests(brick="chat"), {})


@test
def the_manual_lists_them_all():
    with open(os.path.join(SOURCE, "man", "brickd.8.scd")) as f:
        text = f.read()
    manual = {(name, kind, tuple(filter(None, (labels or "").split(", "))))
              for name, kind, labels in re.findall(r"^\*((?:brickd|process)_\w+)\* \((\w+)(?:; ([\w, ]+))?\)$",
                                                   text, re.MULTILINE)}
    reasons = set(re.findall(r"_(\w+)_(?=[\s,.])", re.search(r"^_reason_\n(.*?)\n\n", text, re.M | re.S)[1]))
    odd = temp_dir() + '/a"b\\c'
    certificate, key = Authority(os.path.join(temp_dir(), "ca")).issue("server")
    secure = f"    tls: {{ certificate: {certificate}, key: {{ file: {key} }} }}"
    far = "\n  - { name: far, module: remote, options: { type: Rectify, to: 'unix:/no/such' } }"
    apart = f"\n  - {{ name: apart, module: process, options: {{ type: Intention, command: [{sys.executable}, {PROGRAM}] }} }}"
    http = free_port()
    door = f'  - {{ listen: "127.0.0.1:{http}", protocol: http }}\n'
    with Watched(CHAT + "\n" + SLOW % "10ms" + far + apart, port_extra=f"{door}  - listen: 'unix:{odd}'\n{secure}") as daemon:
        urllib.request.urlopen(f"http://127.0.0.1:{http}/v1/models", timeout=10).close()
        channel = daemon.channel()
        stream(channel, OUTPUT, request("three"))
        call(channel, SLOW_UNARY)
        call(channel, "/no.such/Method")
        daemon.ctl("reload")
        page = settled(daemon, lambda page: page.requests(brick="slow") and page.find("brickd_unrouted_requests_total"))
        eq(len(page.find("brickd_connections", port="unix:" + odd.replace("\\", "\\\\").replace('"', '\\"'))), 1)
        kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", page.text, re.MULTILINE))
        eq(set(re.findall(r"^# HELP (\w+) ", page.text, re.MULTILINE)), set(kinds))
        shown = set()
        for name, labels, _ in page.samples:
            base = re.sub("_(bucket|sum|count)$", "", name) if name not in kinds else name
            shown.add((base, kinds[base], tuple(label for label in labels if label != "le")))
        # It takes an identity to have one.
        shown |= {entry for entry in manual if entry[0].startswith("brickd_identity_")}
        eq(sorted(shown), sorted(manual))
        eq({labels["reason"] for labels, _ in page.find("brickd_rejected_total")}, reasons)
        eq(subprocess.run(["promtool", "check", "metrics"], input=page.text, text=True, capture_output=True,
                          timeout=20).stderr, "")


@test
def the_start_time_stays():
    """Who wants to know of restarts asks whether it has changed."""
    begin = time.time()
    with Watched(CHAT) as daemon:
        def started():
            return daemon.scrape().sum("process_start_time_seconds")

        first = started()
        assert begin - 1 <= first <= time.time(), (begin, first)
        for _ in range(4):
            time.sleep(0.3)
            eq(started(), first)


@test
def probes():
    with Watched(CHAT) as daemon:
        eq(daemon.get("/livez"), (200, "alive\n"))
        eq(daemon.get("/readyz"), (200, "ready\n"))
        eq(daemon.get("/readyz", method="HEAD"), (200, ""))
        eq(daemon.get("/")[0], 404)
        eq(daemon.get("/metrics", method="POST")[0], 405)
        call(daemon.channel(), UNARY, request("sick"))
        wait_for("the reason", lambda: "brick 'chat' is not healthy" in daemon.get("/readyz")[1], 20)
        eq(daemon.get("/readyz")[0], 200)
        eq(daemon.scrape().sum("brickd_brick_healthy", brick="chat"), 0)
        call(daemon.channel(), UNARY, request("well"))
        wait_for("health", lambda: daemon.get("/readyz") == (200, "ready\n"), 20)

        # a call in flight holds the stop
        waiting = daemon.channel().unary_unary(UNARY).future(request("wait"), timeout=20)
        settled(daemon, lambda page: page.sum("brickd_brick_in_flight") == 1)
        daemon.send(signal.SIGTERM)
        wait_for("stopping", lambda: daemon.get("/readyz") == (503, "not ready: stopping\n"), 2)
        eq(daemon.get("/livez")[0], 200)
        waiting.cancel()
        eq(daemon.process.wait(20), 0)


@test
def it_lives_before_it_serves():
    daemon = Watched("  - { name: hangs, module: create-hangs }")
    daemon.start(ready=False)
    wait_for("an answer", lambda: reachable(daemon.metrics), 20)
    time.sleep(0.5)
    eq(daemon.get("/livez")[0], 200)
    eq(daemon.get("/readyz"), (503, "not ready: starting\n"))
    eq(daemon.scrape().sum("brickd_workers", state="starting"), 1)
    daemon.stop()


def reachable(address):
    host, port = address.split(":")
    with socket.socket() as s:
        return s.connect_ex((host, int(port))) == 0


@test
def slow_clients_hurt_nobody():
    with Watched(CHAT) as daemon:
        host, port = daemon.metrics.split(":")
        sockets = []
        for i in range(40):
            s = socket.create_connection((host, int(port)))
            s.sendall(b"GET /metr" if i % 2 else b"")
            sockets.append(s)
        # More than there are places: the oldest make room, and everything else goes on.
        watch = Stopwatch()
        eq(daemon.get("/livez")[0], 200)
        eq(call(daemon.channel(), UNARY, request("ok"))[1], "OK")
        eq(daemon.ctl("status").returncode, 0)
        assert watch.elapsed().running < 5
        settled(daemon, lambda page: page.sum("process_open_fds") < 60)
        for s in sockets:
            s.close()
        with socket.create_connection((host, int(port))) as s:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
            with contextlib.suppress(OSError):
                s.sendall(b"X-Long: " + b"a" * 100000 + b"\r\n\r\n")
            s.settimeout(10)
            assert not s.recv(65536).startswith(b"HTTP/1.1 200")
        eq(daemon.get("/livez")[0], 200)


@test
def addresses():
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    taken = f"127.0.0.1:{holder.getsockname()[1]}"
    daemon = Watched(CHAT, listen=taken)
    daemon.start(ready=False)
    eq(daemon.process.wait(20), 69)
    daemon.says(f"Cannot listen on {taken}: it is held by")

    directory = temp_dir()
    with Watched(CHAT) as daemon:
        address = daemon.metrics
        call(daemon.channel(), UNARY, request("ok"))
        settled(daemon, ended(1))
        path_of = f"{directory}/metrics"
        daemon.extra = f"metrics: {{ listen: 'unix:{path_of}', mode: '0666' }}"
        daemon.write(CHAT)
        daemon.ctl("reload")
        out = subprocess.check_output(["curl", "-s", "--unix-socket", path_of, "http://x/metrics"], text=True, timeout=20)
        eq(Page(out).requests(), {("OK", ""): 1})
        eq(os.stat(path_of).st_mode & 0o777, 0o666)
        try:
            get(address, "/livez", timeout=2)
            raise AssertionError("the old address still answers")
        except OSError:
            pass
        daemon.extra = f"metrics: {{ listen: '{taken}' }}"
        daemon.write(CHAT)
        result = daemon.ctl("reload", check=False)
        assert result.returncode == 1 and "held by" in result.stderr, result
        subprocess.check_output(["curl", "-s", "--unix-socket", path_of, "http://x/livez"], timeout=20)
        daemon.extra = ""
        daemon.write(CHAT)
        daemon.ctl("reload")
        assert not os.path.exists(path_of)
    holder.close()

    for listen, more, why in (("0.0.0.0:0", "", "other machines can read the metrics"),
                              (f"127.0.0.1:{daemon.port}", "", "already listens there"),
                              ("nonsense", "", "expected host:port")):
        config = os.path.join(directory, "b.yaml")
        with open(config, "w") as f:
            f.write(f"ports:\n  - listen: '{daemon.address}'\nmetrics: {{ listen: '{listen}'{more} }}\n")
        result = subprocess.run([os.path.join(BUILD, "src", "brickd"), "--check", config], env=daemon.env,
                                capture_output=True, text=True, timeout=20)
        eq(result.returncode, 78)
        assert "b.yaml:3:" in result.stderr, result.stderr
        assert why in result.stderr, result.stderr


@test
def a_large_page_is_made_once_for_many():
    bricks = "\n".join(
        f"  - {{ name: b{i}, module: contract, options: {{ type: LLM }}, match: {{ x-brick: b{i} }},"
        f" default: {str(i == 0).lower()} }}" for i in range(1000))
    with Watched(bricks) as daemon:
        unary = daemon.channel().unary_unary(UNARY)
        request = llm_pb2.LLMRequest(prompt="case:ok").SerializeToString()
        for rpc in [unary.future(request, metadata=[("x-brick", f"b{i}")]) for i in range(1000)]:
            rpc.result(20)
        # each page that is made tells another CPU time
        wait_for("the same page", lambda: daemon.get("/metrics") == daemon.get("/metrics"))
        first = daemon.get("/metrics")
        wait_for("a fresh page", lambda: daemon.get("/metrics") != first)


main()
