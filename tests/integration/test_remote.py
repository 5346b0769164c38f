# SPDX-License-Identifier: MIT
"""Bricks on other servers: module `remote`, in front of brickd and of servers as llmbrick's are."""
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import grpc

from harness import (BUILD, SOURCE, Brickd, Stopwatch, call, eq, free_port, generate_stubs, main, memory, path, stream,
                     temp_dir, test, wait_for)
from pki import Authority

STUBS = generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.compose import compose_pb2  # noqa: E402
from protocols.grpc.guard import guard_pb2  # noqa: E402
from protocols.grpc.intention import intention_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402
from protocols.grpc.rectify import rectify_pb2  # noqa: E402
from protocols.grpc.retrieval import retrieval_pb2  # noqa: E402
from protocols.grpc.translate import translate_pb2  # noqa: E402

ECHO = os.path.join(BUILD, "src", "bricks", "echo.so")
UNARY, OUT, IN, BIDI = (path("Common", m) for m in ("Unary", "OutputStreaming", "InputStreaming", "BidiStreaming"))
GUARD = path("Guard", "Unary")


def common(text):
    request = common_pb2.CommonRequest()
    request.data["prompt"] = text
    return request.SerializeToString()


def llm(text):
    return llm_pb2.LLMRequest(prompt=text).SerializeToString()


def text_of(reply):
    return llm_pb2.LLMResponse.FromString(reply).text


# service: (request with a text, whether it streams out)
SERVICES = {
    "Common": (common, True),
    "LLM": (llm, True),
    "Compose": (lambda t: compose_pb2.ComposeRequest(target_format=t).SerializeToString(), True),
    "Translate": (lambda t: translate_pb2.TranslateRequest(text=t).SerializeToString(), True),
    "Guard": (lambda t: guard_pb2.GuardRequest(text=t).SerializeToString(), False),
    "Intention": (lambda t: intention_pb2.IntentionRequest(text=t).SerializeToString(), False),
    "Rectify": (lambda t: rectify_pb2.RectifyRequest(text=t).SerializeToString(), False),
    "Retrieval": (lambda t: retrieval_pb2.RetrievalRequest(query=t).SerializeToString(), False),
}
CASES = ["ok", "reserve", "three", "none", "empty", "garbage", "error-field", "fail", "fail-zero", "fail-201", "fail-200",
         "fail-negative", "fail-braces", "enosys", "errno", "status", "send-then-fail", "three-then-garbage", "metadata"]


def remote(options, kind="Common", name="far"):
    return f"  - {{ name: {name}, module: remote, options: {{ type: {kind}, {options} }} }}"


def echo(options="", kind="Common"):
    return f"  - {{ name: near, module: {ECHO}, options: {{ type: {kind}, {options} }} }}"


def backends(running):
    """Of all workers: {brick: [row of a backend]}."""
    status = json.loads(running.ctl("status", "--json").stdout)
    return {brick["name"]: brick.get("backends", []) for brick in status["bricks"]}


def connected(front):
    """Waits until all backends of the brick `far` are."""
    wait_for("connections", lambda: {b["state"] for b in backends(front)["far"]} == {"ready"})


@test
def every_reply_is_that_of_the_backend_to_the_byte():
    bricks = "\n".join(f"  - {{ name: {s.lower()}, module: contract, options: {{ type: {s} }} }}" for s in SERVICES)
    with Brickd(bricks) as back:
        far = "\n".join(remote(f'to: "{back.address}"', s, s.lower()) for s in SERVICES)
        with Brickd(far) as front:
            direct, relayed = back.channel(), front.channel()

            def same(run, what):
                eq(run(relayed), run(direct), what)

            for name, (request, streams) in SERVICES.items():
                for case in CASES:
                    body = request("case:" + case)
                    if case != "metadata":
                        same(lambda ch: call(ch, path(name, "Unary"), body), f"{name} {case}")
                    same(lambda ch: call(ch, path(name, "GetServiceInfo"), metadata=[("x-case", "case:" + case)])[:3],
                         f"{name} info {case}")
                    if streams:
                        same(lambda ch: stream(ch, path(name, "OutputStreaming"), body), f"{name} stream {case}")
            for texts in (["a", "b"], [], ["a", "case:fail", "b"], ["case:stop", "x"], ["case:none"]):
                bodies = [common(t) for t in texts]
                same(lambda ch: ch.stream_unary(IN)(iter(bodies), timeout=10), f"in {texts}")
                same(lambda ch: list(ch.stream_stream(BIDI)(iter(bodies), timeout=10)), f"bidi {texts}")
            numbers = [common(str(i)) for i in range(200)]
            same(lambda ch: list(ch.stream_stream(BIDI)(iter(numbers), timeout=20)), "a long one")


def pair(back_bricks=None, options="", kind="Common", **front):
    """A brickd with bricks, and another with the remote brick `far` in front of it."""
    back = Brickd(back_bricks or echo()).start()
    return back, Brickd(remote(f'to: "{back.address}", {options}', kind), **front).start()


class Both:
    def __init__(self, *args, **kwargs):
        self.back, self.front = pair(*args, **kwargs)

    def __enter__(self):
        return self.back, self.front

    def __exit__(self, *error):
        self.front.__exit__(*error)
        self.back.__exit__(*error)


def kill(running):
    """As if its machine had lost power: the kernel closes its sockets all the same."""
    workers = running.workers()
    running.process.kill()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    running.process.wait()


def in_flight(running):
    status = json.loads(running.ctl("status", "--json").stdout)
    return sum(worker["status"]["in_flight"] for worker in status["workers"])


@test
def metadata_both_ways_and_the_trace():
    with Both("  - { name: far, module: contract, options: { type: Common } }", 'brick: far') as (back, front):
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        _, status, _, trailers = call(
            front.channel(), UNARY, common("case:metadata"),
            metadata=[("x-one", "1"), ("x-bytes-bin", b"\x00\xff"), ("traceparent", trace), ("x-brick", "far"),
                      ("authorization", "Bearer secret")])
        eq(status, "OK")
        eq((trailers["x-one"], trailers["found"], trailers["x-bytes-bin"]), ("1", "1", b"\x00\xff"))


@test
def deadlines_and_cancellation_reach_the_backend():
    with Both("  - { name: far, module: contract, options: { type: Common } }") as (back, front):
        channel = front.channel()
        watch = Stopwatch()
        eq(call(channel, UNARY, common("case:wait"), timeout=0.3)[1], "DEADLINE_EXCEEDED")
        assert watch.elapsed().running < 2
        back.says("waits, deadline set")
        wait_for("cancel() after the deadline", lambda: back.log().count("was told to give up") == 1, 20)
        calls = [channel.unary_unary(UNARY).future(common("case:wait")),
                 channel.unary_stream(OUT)(common("case:wait"))]
        wait_for("two more calls", lambda: back.log().count("waits, deadline") == 3, 20)
        for rpc in calls:
            rpc.cancel()
        wait_for("cancel() after the client's", lambda: back.log().count("was told to give up") == 3, 20)
        wait_for("no call in flight", lambda: in_flight(front) == 0 and in_flight(back) == 0, 20)


@test
def a_client_that_does_not_read_holds_a_bounded_part():
    with Both(echo("tokens: 20000, size: 4KiB", "LLM"), kind="LLM") as (back, front):
        rpc = front.channel().unary_stream(path("LLM", "OutputStreaming"))(llm("hi"), timeout=60)
        assert text_of(next(rpc)).startswith("tok0 ")
        time.sleep(1)
        for running in back, front:
            held = memory(running)
            assert held is None or held < 60 << 20, held  # the whole stream is 80 MB
        n = 1
        for reply in rpc:
            assert text_of(reply).startswith(f"tok{n} "), n
            n += 1
        eq(n, 20000)


class Server:
    """A server as llmbrick's is: grpcio with asyncio in a process of its own."""

    def __init__(self, address=None, *arguments):
        self.port = free_port()
        self.address = address or f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(SOURCE, "tests", "integration", "llmbrick_server.py"), self.address, STUBS,
             *arguments], stdout=subprocess.PIPE, text=True)
        eq(self.process.stdout.readline(), "ready\n")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@test
def a_server_of_llmbrick():
    socket = os.path.join(temp_dir(), "s")
    for address, to in (None, None), (f"unix:{socket}", f"unix:{socket}"):
        with Server(address) as back, Brickd(remote(f'to: "{to or back.address}"')) as front:
            channel = front.channel()
            with grpc.insecure_channel(back.address) as direct:
                for text in "hello", "fail", "raise", "status", "ü" * 1000:
                    body = common(text)
                    eq(call(channel, UNARY, body), call(direct, UNARY, body), text)
                    eq(stream(channel, OUT, body), stream(direct, OUT, body), text)
                bodies = [common(str(i)) for i in range(100)]
                eq(channel.stream_unary(IN)(iter(bodies), timeout=10), direct.stream_unary(IN)(iter(bodies), timeout=10))
                eq(list(channel.stream_stream(BIDI)(iter(bodies), timeout=10)),
                   list(direct.stream_stream(BIDI)(iter(bodies), timeout=10)))
                eq(call(channel, path("Common", "GetServiceInfo")), call(direct, path("Common", "GetServiceInfo")))


@test
def a_backend_that_does_not_read_holds_a_bounded_part():
    with Server() as back, Brickd(remote(f'to: "{back.address}"')) as front:
        sent = itertools.count()
        big = common("hold" + "x" * 65536)

        def endless():
            while next(sent) < 3000:
                yield big
        rpc = front.channel().stream_stream(BIDI)(endless(), timeout=60)
        assert next(rpc).startswith(big)
        time.sleep(1.5)
        n = next(sent)
        held = memory(front)
        assert n < 1500, n  # not even half of 200 MB
        assert held is None or held < 100 << 20, held
        rpc.cancel()
        wait_for("no call in flight", lambda: in_flight(front) == 0, 20)


@test
def large_messages_pass_both_ways():
    with Both(echo("", "LLM"), kind="LLM") as (back, front):
        text = "x" * 4_000_000
        reply, status, details, _ = call(front.channel(), path("LLM", "Unary"), llm(text))
        eq((status, details), ("OK", ""))
        assert text_of(reply) == "Echo: " + text


@test
def errors_as_statuses_come_back_as_errors():
    with Both(echo('error_code: 503, error_message: "later: ä"'), "errors: status") as (back, front):
        reply, status, details, _ = call(front.channel(), UNARY, common("x"))
        eq((status, details), ("OK", ""))
        error = common_pb2.CommonResponse.FromString(reply).error
        eq((status, error.code, error.message), ("OK", 503, "later: ä"))
        eq(call(back.channel(), UNARY, common("x"))[0], reply, "the same bytes")
        _, status, details, trailers = call(front.channel(), UNARY, common("x"), metadata=[("x-brick-status", "grpc")])
        eq((status, details, trailers["x-brick-error-code"]), ("UNAVAILABLE", "later: ä", "503"))


@test
def failures_are_tried_again():
    with Both(echo("error_code: 503, error_every: 2", "Guard"), "errors: status", "Guard") as (back, front):
        channel = front.channel()
        codes = [guard_pb2.GuardResponse.FromString(call(channel, GUARD, b"")[0]).error.code for _ in range(20)]
        eq(codes, [200] * 20)
    with Both(echo("error_code: 503, error_every: 2", "Guard"), "errors: status, retry: { attempts: 1 }",
              "Guard") as (back, front):
        channel = front.channel()
        codes = [guard_pb2.GuardResponse.FromString(call(channel, GUARD, b"")[0]).error.code for _ in range(20)]
        eq(sorted(codes), [200] * 10 + [503] * 10)


@test
def a_backend_that_is_down_is_passed_over():
    with Brickd(echo()) as first, Brickd(echo("error_code: 7")) as second, \
            Brickd(remote(f'to: ["{first.address}", "{second.address}"]')) as front:
        channel = front.channel()

        def who():
            reply, status, details, _ = call(channel, UNARY, common("x"))
            assert status == "OK", (status, details)
            return {0: "first", 200: "first", 7: "second"}[common_pb2.CommonResponse.FromString(reply).error.code]
        connected(front)
        eq([who() for _ in range(5)], ["first"] * 5)
        kill(first)
        eq([who() for _ in range(20)], ["second"] * 20)  # also the very first: it falls back before its reply
        eq(common_pb2.CommonResponse.FromString(stream(channel, OUT, common("x"))[0][-1]).error.code, 7)
        front.says(f"backend {first.address} is failing")
        with Brickd(echo(), port=first.port):
            wait_for("the first again", lambda: who() == "first", 20)


@test
def without_any_backend_calls_fail_and_health_says_so():
    port = free_port()
    with Brickd(remote(f'to: "127.0.0.1:{port}"')) as front:
        channel = front.channel()
        _, status, details, _ = call(channel, UNARY, common("x"))
        eq((status, details), ("UNAVAILABLE", "No backend of this brick can be reached"))  # not where it is
        front.says(f"no connection to 127.0.0.1:{port}: ")
        front.says(f"Brick 'far' is not healthy: backend 127.0.0.1:{port} does not serve")
        with Brickd(echo(), port=port):
            front.says("Brick 'far' is healthy again")
            eq(call(channel, UNARY, common("x"))[1], "OK")


@test
def servers_that_call_each_other_in_a_circle():
    a, b = free_port(), free_port()
    with Brickd(remote(f'to: "127.0.0.1:{b}"'), port=a) as one, Brickd(remote(f'to: "127.0.0.1:{a}"'), port=b):
        channel = one.channel()
        wait_for("both connected", lambda: call(channel, UNARY, common("x"))[1] == "OK")
        reply = call(channel, UNARY, common("x"))[0]
        error = common_pb2.CommonResponse.FromString(reply).error
        eq(error.code, 508)
        assert "in a circle" in error.message, error.message


@test
def calls_with_one_session_go_to_one_backend():
    def rectify(session):
        return rectify_pb2.RectifyRequest(text="x", session_id=session).SerializeToString()
    backs = [Brickd(echo(f"error_code: {n}", "Rectify")).start() for n in (1, 2, 3)]
    to = ", ".join(f'"{back.address}"' for back in backs)
    try:
        with Brickd(remote(f"to: [{to}], affinity: session_id", "Rectify") + "\n" +
                    remote(f"to: [{to}], affinity: x-user", "Common", "keyed")) as front:
            channel = front.channel()

            def of(session):
                reply, status, details, _ = call(channel, path("Rectify", "Unary"), rectify(session))
                assert status == "OK", details
                return rectify_pb2.RectifyResponse.FromString(reply).error.code
            connected(front)
            sessions = [f"s{i}" for i in range(60)]
            homes = {s: of(s) for s in sessions}
            eq(sorted(set(homes.values())), [1, 2, 3])
            assert min(list(homes.values()).count(n) for n in (1, 2, 3)) >= 8, homes
            eq({s: of(s) for s in sessions}, homes, "again")
            backs[1].stop()
            moved = {s: of(s) for s in sessions}
            eq({s: n for s, n in moved.items() if homes[s] != 2}, {s: n for s, n in homes.items() if n != 2})
            eq(set(moved[s] for s in sessions if homes[s] == 2), {1, 3})
    finally:
        for back in backs:
            if back.process.poll() is None:
                back.stop()


@test
def status_and_metrics_name_each_backend():
    listen = f"127.0.0.1:{free_port()}"
    gone = f"127.0.0.1:{free_port()}"
    with Brickd(echo()) as back, \
            Brickd(remote(f'to: ["{gone}", "{back.address}"]'), extra=f"metrics: {{ listen: '{listen}' }}") as front:
        channel = front.channel()
        wait_for("both states", lambda: [b["state"] for b in backends(front)["far"]] == ["failing", "ready"])
        for _ in range(3):
            eq(call(channel, UNARY, common("x"))[1], "OK")
        rows = backends(front)["far"]
        eq([(b["name"], b["calls"], b["failures"], b["in_flight"]) for b in rows],
           [(gone, 0, 0, 0), (back.address, 3, 0, 0)])
        table = front.ctl("status").stdout
        assert "BACKEND" in table and any(line.split()[:3] == ["far", gone, "failing"] for line in table.splitlines())
        page = urllib.request.urlopen(f"http://{listen}/metrics", timeout=10).read().decode()
        labels = f'brick="far",type="Common",backend="{back.address}"'
        assert f'brickd_backend_calls_total{{{labels},result="ok"}} 3\n' in page, page
        assert f"brickd_backend_ready{{{labels}}} 1\n" in page
        front.write(remote(f'to: "{back.address}"'))  # the counters follow the name
        front.ctl("reload")
        eq(call(channel, UNARY, common("x"))[1], "OK")
        eq([(b["name"], b["calls"]) for b in backends(front)["far"] if b["name"] == back.address], [(back.address, 4)])


@test
def mistakes_have_their_places():
    folder = temp_dir()
    pem = Authority(os.path.join(folder, "pki"))
    pem.issue("one")
    pem.issue("two")
    os.chmod(pem.path("two.key"), 0o600)
    junk = os.path.join(folder, "junk.pem")
    with open(junk, "w") as f:
        f.write("no certificate\n")
    mistakes = [
            ('to: "chat.prod"', 'to', "'chat.prod' needs a port from 1 to 65535: host:port"),
            ('to: "chat:0"', 'to', "'chat:0' needs a port"),
            ('to: "http://chat:80"', 'to', "has a scheme that is none of dns:///, ipv4:, ipv6: and unix:"),
            ('to: "unix:run/x"', 'to', "needs an absolute path, or @name"),
            ('to: "ipv4:chat:1"', 'to', "no IPv4 address"),
            ('to: ["a:1", "a:1"]', 'to', "is there twice"),
            ('to: []', 'to', "needs an address"),
            ('to: "a:1", affinity: session_id', 'affinity', "there is only one"),
            ('to: ["a:1", "b:1"], affinity: session_id', 'affinity', "have no session_id"),
            ('to: ["a:1", "b:1"], affinity: "X Y"', 'affinity', "is neither 'session_id' nor a key of metadata"),
            ('to: "unix:/x", health_check: true', 'health_check', "is not for a unix socket"),
            ('to: "a:1", balance: pick_first, health_check: true', 'health_check', "needs 'balance: round_robin'"),
            ('to: "a:1", balance: random', 'balance', "random"),
            ('to: "a:1", eject: { failures: 1000% }', 'failures', "expected a percentage from 1% to 99%"),
            ('to: "a:1", retry: { attempts: 9 }', 'attempts', "9"),
            ('to: "a:1", retry: { on: [cancelled] }', 'on', "cancelled"),
            ('to: "a:1", token: { env: TOKEN }', 'token', "would cross the network as plain text"),
            (f'to: "a:1", tls: {{ ca: {junk} }}', 'ca', "is no list of certificates in PEM"),
            (f'to: "a:1", tls: {{ ca: {folder}/none }}', 'ca', "No such file or directory"),
            (f'to: "a:1", tls: {{ certificate: {pem.path("one.pem")} }}', 'tls', "belong together"),
            (f'to: "a:1", tls: {{ certificate: {pem.path("one.pem")}, key: {{ file: {pem.path("two.key")} }} }}', 'key',
             "belongs to another certificate"),
            ('to: "a:1", brick: "a b"', 'brick', "is no name of a brick"),
            ('too: "a:1"', 'too', 'unknown key; did you mean "to"?'),
            ]
    found = True
    while mistakes and found:  # those that only create() can see come when the others are mended
        running = Brickd("\n".join(remote(options, name=f"b{i}") for i, (options, _, _) in enumerate(mistakes)),
                         env={"TOKEN": "t"})
        out = subprocess.run([os.path.join(BUILD, "src", "brickd"), "-c", running.config, "--check"], env=running.env,
                             capture_output=True, text=True, timeout=30)
        assert out.returncode != 0
        with open(running.config) as f:
            first = f.read().splitlines().index("bricks:") + 2
        lines = out.stderr.splitlines()
        found = [mistake for i, mistake in enumerate(mistakes)
                 if any(line.startswith(f"{running.config}:{first + i}:") and f".{mistake[1]}" in line and mistake[2] in line
                        for line in lines)]
        mistakes = [mistake for mistake in mistakes if mistake not in found]
    assert not mistakes, (mistakes, out.stderr)
    out = subprocess.run([os.path.join(BUILD, "src", "brickd"), "--describe", "remot"], env=running.env,
                         capture_output=True, text=True, timeout=30)
    assert "did you mean 'remote'?" in out.stderr, out.stderr


def guarded(back, options="", **kwargs):
    return Brickd(remote(f'to: "{back.address}", {options}', "Guard"), **kwargs)


class Load(threading.Thread):
    """Calls of a Guard brick, as fast as they are answered, from several threads; counts those that failed."""

    def __init__(self, running, full=GUARD, body=b"", threads=4):
        super().__init__(daemon=True)
        self.pool = [threading.Thread(target=self.work, daemon=True) for _ in range(threads)]
        self.channel, self.full, self.body = running.channel(), full, body
        self.calls, self.failed, self.over, self.lock = 0, [], False, threading.Lock()

    def work(self):
        while not self.over:
            _, status, details, _ = call(self.channel, self.full, self.body)
            with self.lock:
                self.calls += 1
                if status != "OK":
                    self.failed.append((status, details))

    def __enter__(self):
        for thread in self.pool:
            thread.start()
        wait_for("calls", lambda: self.calls > 20)
        return self

    def __exit__(self, *error):
        self.over = True
        for thread in self.pool:
            thread.join()


@test
def the_manual_lists_all_options():
    out = subprocess.run([os.path.join(BUILD, "src", "brickd"), "--describe", "remote"], capture_output=True, text=True,
                         timeout=30, env=os.environ | {"BRICKD_WORKER": os.path.join(BUILD, "src", "brickd-worker")}).stdout
    with open(os.path.join(SOURCE, "man", "brickd-remote.7.scd")) as f:
        manual = f.read()
    eq(re.findall(r"^\*(\w+)\* \(", manual, re.M), re.findall(r"^  (\w+): ", out, re.M))
    for name in re.findall(r"^      (\w+): ", out, re.M):
        assert f"*{name}*" in manual or f"*{name}:" in manual, name


@test
def bricks_with_the_same_settings_share_a_connection():
    with Brickd(echo() + "\n" + echo("", "Guard").replace("near", "guard")) as back:
        to = back.address
        if os.path.exists("/etc/hosts"):  # gRPC finds the name nowhere else
            to = to.replace("127.0.0.1", "localhost")
        with Brickd(remote(f'to: "{to}", retry: {{ attempts: 1 }}') + "\n" +
                    remote(f'to: "{to}", retry: {{ attempts: 1 }}', "Guard", "other")) as front:
            channel = front.channel()
            for full in UNARY, GUARD:
                eq(call(channel, full)[1], "OK")

            def connections():
                return sum(w["status"]["connections"] for w in json.loads(back.ctl("status", "--json").stdout)["workers"])
            eq(connections(), 1)


@test
def another_brick_calls_a_remote_one():
    with Brickd(echo("tokens: 5", "LLM")) as back, \
            Brickd("  - { name: pipe, module: pipeline, options: { target: far } }\n" +
                   remote(f'to: "{back.address}"', "LLM")) as front:
        channel = front.channel()
        reply = common_pb2.CommonResponse.FromString(call(channel, UNARY, common("grüße"))[0])
        eq((reply.data["text"], reply.error.code), ("Echo: grüße", 200))
        replies, status, _ = stream(channel, OUT, common("x"))
        eq([common_pb2.CommonResponse.FromString(r).data["text"] for r in replies], [f"tok{i} " for i in range(5)])


@test
def reloads_and_kills_of_a_backend_lose_no_call():
    with Brickd(echo("", "Guard"), extra="workers: 2\ndrain: { lame_duck: 100ms }") as back, guarded(back) as front:
        with Load(front) as load:
            for _ in range(3):
                back.ctl("reload")
                os.kill(back.workers()[0], signal.SIGKILL)
                time.sleep(0.3)
        eq(load.failed, [])


@test
def reloads_of_the_front_lose_no_call():
    with Brickd(echo("", "Guard")) as back, guarded(back) as front:
        with Load(front) as load:
            for _ in range(5):
                front.ctl("reload")
        eq(load.failed, [])
        status, took = front.stop()
        eq(status, 0)
        assert took.running < 3, took


@test
def a_backend_that_hangs_is_noticed():
    with Server() as back, Brickd(echo()) as spare, \
            Brickd(remote(f'to: ["{back.address}", "{spare.address}"], keepalive: {{ time: 1s, timeout: 1s }}')) as front:
        channel = front.channel()
        connected(front)
        eq(call(channel, UNARY, common("x"))[1], "OK")
        back.process.send_signal(signal.SIGSTOP)
        watch = Stopwatch()
        reply, status, details, _ = call(channel, UNARY, common("y"), timeout=20)
        eq((status, details), ("OK", ""))
        assert watch.elapsed().running < 10, watch.elapsed()
        before = backends(front)["far"]
        eq(call(channel, UNARY, common("z"))[1], "OK")
        eq([b["calls"] for b in backends(front)["far"]], [before[0]["calls"], before[1]["calls"] + 1], "not tried again")


@test
def calls_that_a_server_that_hangs_has_held_are_tried_again():
    with Brickd(echo("", "Guard")) as back, Brickd(echo("", "Guard")) as hanging, \
            Brickd(remote(f'to: "ipv4:{back.address},{hanging.address}", keepalive: {{ time: 1s, timeout: 4s }}',
                          "Guard")) as front:
        channel = front.channel()
        wait_for("calls to both", lambda: call(channel, GUARD) and "near Unary" in back.log() and
                 "near Unary" in hanging.log())
        processes = [hanging.process.pid, *hanging.workers()]
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            calls = [channel.unary_unary(GUARD).future(b"", timeout=60) for _ in range(400)]
            eq([rpc.code().name for rpc in calls if rpc.code() is not grpc.StatusCode.OK], [])
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)


@test
def all_servers_behind_one_address_get_calls_and_bad_ones_are_ejected():
    backs = [Brickd(echo(f"error_code: {code}, error_message: m", "Guard")).start() for code in (0, 503)]
    to = "ipv4:" + ",".join(back.address for back in backs)
    try:
        def codes(front, n):
            channel = front.channel()
            return [guard_pb2.GuardResponse.FromString(call(channel, GUARD, b"")[0]).error.code for _ in range(n)]
        with Brickd(remote(f'to: "{to}", retry: {{ attempts: 1 }}', "Guard")) as front:
            wait_for("both", lambda: set(codes(front, 10)) == {200, 503})
            eq(sorted(codes(front, 20)), [200] * 10 + [503] * 10)
        with Brickd(remote(f'to: "{to}", retry: {{ attempts: 1 }}, errors: status, eject: {{ for: 30s }}',
                           "Guard")) as front:
            wait_for("ejection", lambda: set(codes(front, 10)) == {200}, 20)
    finally:
        for back in backs:
            back.stop()


@test
def servers_that_say_they_do_not_serve_get_no_calls():
    backs = [Brickd("  - { name: far, module: contract, options: { type: Guard } }").start() for _ in range(2)]
    to = "ipv4:" + ",".join(back.address for back in backs)
    try:
        with Brickd(remote(f'to: "{to}", brick: far, health_check: true', "Guard")) as front:
            channel = front.channel()
            wait_for("ready", lambda: backends(front)["far"][0]["state"] == "ready")

            def text(case, name=""):
                return guard_pb2.GuardRequest(text="case:" + case, request_id=name).SerializeToString()

            wait_for("calls to both", lambda: call(channel, GUARD, text("ok")) and all("far Unary" in b.log() for b in backs))
            numbers = itertools.count()
            eq(call(backs[0].channel(), GUARD, text("sick"))[1], "OK")

            def only_the_second():
                names = [f"call-{next(numbers)}" for _ in range(10)]
                for name in names:
                    eq(call(channel, GUARD, text("ok", name))[1], "OK")

                def logged(back):
                    return sum(f"request_id={name} " in back.log() for name in names)
                wait_for("the lines of all", lambda: sum(map(logged, backs)) == 10)
                return logged(backs[0]) == 0
            wait_for("no calls to the sick one", only_the_second)
            eq(call(backs[1].channel(), GUARD, text("sick"))[1], "OK")
            wait_for("failing", lambda: backends(front)["far"][0]["state"] == "failing")
            front.says("Brick 'far' is not healthy")
            eq(call(channel, GUARD, text("ok"))[1], "UNAVAILABLE")
            eq(call(backs[1].channel(), GUARD, text("well"))[1], "OK")
            wait_for("healthy again", lambda: call(channel, GUARD, text("ok"))[1] == "OK")
    finally:
        for back in backs:
            back.stop()


@test
def tls_with_certificates_that_change():
    folder = temp_dir()
    one, two = (Authority(os.path.join(folder, name), name) for name in ("one", "two"))
    for authority in one, two:
        authority.issue("server")
        authority.issue("client", san=None)

    def use(authority, side):
        for name in "ca.pem", "server.pem", "server.key", "client.pem", "client.key":
            shutil.copy(authority.path(name), os.path.join(folder, side, name + ".new"))
            os.chmod(os.path.join(folder, side, name + ".new"), 0o600)
            os.rename(os.path.join(folder, side, name + ".new"), os.path.join(folder, side, name))
    for side in "back", "front":
        os.mkdir(os.path.join(folder, side))
        use(one, side)
    mutual = (f"    tls: {{ certificate: {folder}/back/server.pem, key: {{ file: {folder}/back/server.key }}, "
              f"client_ca: {folder}/back/ca.pem }}")
    tls = (f"tls: {{ ca: {folder}/front/ca.pem, certificate: {folder}/front/client.pem, "
           f"key: {{ file: {folder}/front/client.key }}, server_name: localhost }}")
    with Brickd(echo("", "Guard"), port_extra=mutual) as back, guarded(back, tls) as front:
        eq(call(front.channel(), GUARD, b"")[1], "OK")
        with Load(front) as load:
            use(two, "back")  # first, because the front connects again at once
            back.says("the new files are in use")
            use(two, "front")
            front.says("the new files are in use")
            time.sleep(0.5)
        eq(load.failed, [])
        back.ctl("reload")  # the front must connect again, with what it has now
        wait_for("a call", lambda: call(front.channel(), GUARD, b"")[1] == "OK")
        with open(os.path.join(folder, "front", "client.key"), "w") as f:
            f.write("junk")
        front.says("is no private key in PEM without a passphrase; the previous files stay in use")
        eq(call(front.channel(), GUARD, b"")[1], "OK")


@test
def a_token_proves_who_calls():
    identities = os.path.join(temp_dir(), "identities.yaml")
    with open(identities, "w") as f:
        f.write(f"identities:\n  - name: front\n    token: sha256:{hashlib.sha256(b'secret').hexdigest()}\n    allow: near\n")
    os.chmod(identities, 0o600)
    with Brickd(echo("", "Guard"), extra=f"identities: {identities}", port_extra="    authenticate: calls") as back:
        with guarded(back) as front:
            eq(call(front.channel(), GUARD, b"", metadata=[("authorization", "Bearer secret")])[1], "UNAUTHENTICATED",
               "what the client shows is for the front alone")
        with guarded(back, "token: { env: TOKEN }", env={"TOKEN": "secret"}) as front:
            eq(call(front.channel(), GUARD, b"")[1], "OK")


if __name__ == "__main__":
    main()
