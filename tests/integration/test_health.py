# SPDX-License-Identifier: MIT
"""grpc.health.v1 as clients, load balancers and Kubernetes use it."""
import contextlib
import itertools
import json
import queue
import threading

from harness import *
from standard import standard

Request = standard("grpc.health.v1.HealthCheckRequest")
Response = standard("grpc.health.v1.HealthCheckResponse")
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
LLM, GUARD = "protocols.grpc.llm.LLMService", "protocols.grpc.guard.GuardService"
WATCHERS = 2000

TWO = """
  - { name: small, module: contract, options: { type: LLM }, default: true }
  - { name: big, module: contract, options: { type: LLM }, match: { model_id: big } }
  - { name: shield, module: contract, options: { type: Guard } }
"""


def check(channel, name="", timeout=5):
    """A status, or the name of a gRPC status."""
    try:
        reply = channel.unary_unary(CHECK, Request.SerializeToString, Response.FromString)(
            Request(service=name), timeout=timeout)
        return reply.status
    except grpc.RpcError as e:
        return e.code().name


def open_watch(channel, name=""):
    return channel.unary_stream(WATCH, Request.SerializeToString, Response.FromString)(
        Request(service=name), timeout=120)


class Watch:
    """What a watch tells, with the time of each; its end is a pair (gRPC status, details)."""

    def __init__(self, channel, name=""):
        self.told = queue.Queue()
        self.rpc = open_watch(channel, name)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        try:
            for reply in self.rpc:
                self.told.put((reply.status, time.monotonic()))
            self.told.put((("OK", ""), time.monotonic()))
        except grpc.RpcError as e:
            self.told.put(((e.code().name, e.details()), time.monotonic()))

    def next(self, limit=10):
        return self.told.get(timeout=limit)[0]

    def is_silent(self, seconds=0.3):
        try:
            return self.told.get(timeout=seconds) is None
        except queue.Empty:
            return True


STOPPING = ("UNAVAILABLE", "The server is stopping")


def prompt(text, model=""):
    return b"\n" + bytes([len(model)]) + model.encode() + b"\x12" + bytes([len(text)]) + text.encode()


def tell(channel, case, model=""):
    """Makes the brick of that model say something of its health."""
    eq(call(channel, path("LLM", "Unary"), prompt("case:" + case, model))[1], "OK")


@test
def names():
    other = free_port()
    with Brickd(TWO, port_extra=f'    bricks: [small, big]\n  - listen: "127.0.0.1:{other}"\n    bricks: [shield]') as d:
        first, second = d.channel(), grpc.insecure_channel(f"127.0.0.1:{other}")
        for name in ("", LLM, "small", "big"):
            eq(check(first, name), SERVING, name)
        for name in ("", GUARD, "shield"):
            eq(check(second, name), SERVING, name)
        for channel, name in ((first, GUARD), (first, "shield"), (second, LLM), (second, "small")):
            eq(check(channel, name), "NOT_FOUND", name)
        for name in ("LLMService", "no", "grpc.health.v1.Health", LLM + ".Unary", LLM + " ", "x" * 3000, "é中"):
            eq(check(first, name), "NOT_FOUND", name)
        second.close()


@test
def requests_that_are_wrong():
    with Brickd(TWO) as d:
        ch = d.channel()
        for full, wrong in itertools.product((CHECK, WATCH), (b"\x0a\x05a", b"\x0a\x01\xff", b"\xff", b"\x08\x01")):
            _, status, details = stream(ch, full, wrong)
            eq((status, details), ("INTERNAL", "The request cannot be parsed"), f"{full} {wrong}")
        for full in (CHECK, WATCH):
            eq(stream(ch, full, b"\x0a\x80\x40" + b"x" * 8192)[1:],
               ("RESOURCE_EXHAUSTED", "The request is too large"))
        eq(check(ch), SERVING)


@test
def a_name_that_is_not_there_stays_open():
    with Brickd(TWO) as d:
        watch = Watch(d.channel(), "nobody")
        eq(watch.next(), SERVICE_UNKNOWN)
        tell(d.channel(), "sick")
        assert watch.is_silent()
        d.stop()
        eq(watch.next(), STOPPING)


@test
def a_brick_that_is_not_healthy():
    with Brickd(TWO) as d:
        ch = d.channel()
        watches = {name: Watch(ch, name) for name in ("", LLM, "small", "big", "shield")}
        for name, watch in watches.items():
            eq(watch.next(), SERVING, name)
        tell(ch, "sick")
        eq(watches["small"].next(), NOT_SERVING)
        eq([check(ch, name) for name in watches], [SERVING, SERVING, NOT_SERVING, SERVING, SERVING])
        tell(ch, "sick")  # no news

        # the service goes with the last of its bricks
        tell(ch, "sick", "big")
        eq(watches["big"].next(), NOT_SERVING)
        eq(watches[LLM].next(), NOT_SERVING)
        eq([check(ch, name) for name in watches], [SERVING, NOT_SERVING, NOT_SERVING, NOT_SERVING, SERVING])
        wait_for("the line of the log",
                 lambda: "Brick 'small' is not healthy: it \"was\" asked to 中" in d.log(), 20)
        assert '"unhealthy":"it \\"was\\" asked to 中"' in d.ctl("status", "--json").stdout

        # calls still come
        tell(ch, "well")
        eq(watches["small"].next(), SERVING)
        eq(watches[LLM].next(), SERVING)
        tell(ch, "well", "big")
        eq(watches["big"].next(), SERVING)
        assert all(watch.is_silent(0.1) for watch in watches.values())
        wait_for("the line of the log", lambda: d.log().count("Brick 'small' is healthy again") == 1, 20)
        eq(d.log().count("Brick 'small' is not healthy"), 1)
        assert "unhealthy" not in d.ctl("status", "--json").stdout


@test
def changes_are_told_in_order_and_coalesced():
    with Brickd(TWO, extra="log: { access: off }") as d:
        ch = d.channel()
        watches = [Watch(ch, "small") for _ in range(20)]
        for watch in watches:
            eq(watch.next(), SERVING)
        for _ in range(100):
            tell(ch, "sick")
            tell(ch, "well")
        tell(ch, "sick")
        time.sleep(0.5)
        for watch in watches:
            told = [watch.next()]
            while told[-1] != NOT_SERVING or not watch.told.empty():
                told.append(watch.next())
            eq(told[0], NOT_SERVING)
            assert all(a != b for a, b in zip(told, told[1:])), told
            assert len(told) <= 202, len(told)


@test
def a_probe_while_the_bricks_are_busy():
    """As the kubelet does it: a new connection each time, a second to answer, only SERVING is good."""
    busy = "  - { name: busy, module: contract, options: { type: LLM }, limits: { concurrency: 1, queue: 0 } }"
    with Brickd(busy) as d:
        ch = d.channel()
        waiting = ch.unary_unary(path("LLM", "Unary")).future(prompt("case:wait"), timeout=60)
        wait_for("the brick to be busy", lambda: "waits, deadline" in d.log())
        eq(call(ch, path("LLM", "Unary"), prompt("case:ok"))[1], "RESOURCE_EXHAUSTED")
        slowest = 0
        for _ in range(50):
            start = time.monotonic()
            with grpc.insecure_channel(d.address, options=[("grpc.use_local_subchannel_pool", 1)]) as probe:
                eq([check(probe, name, 1) for name in ("", "busy")], [SERVING, SERVING])
            slowest = max(slowest, time.monotonic() - start)
        print(f"# slowest of 50 probes: {slowest * 1000:.1f} ms")
        waiting.cancel()
        wait_for("the call to end", lambda: "CANCELLED" in d.log(), 20)

        # they are no calls of a brick, and stand in the log
        def counts():
            status = json.loads(d.ctl("status", "--json").stdout)
            return status["bricks"][0]["calls"], status["workers"][0]["status"]["in_flight"]

        eq_soon(counts, (2, 0))
        wait_for("the log", lambda: d.log().count("health Check OK in") == 100, 20)
        eq(d.log().count("rpc_method=/grpc.health.v1.Health/Check rpc_status=OK"), 100)


# In a process of its own, which has nothing but its calls to do: to each address in turn, so that whatever else this machine
# does slows down all of them.
LATENCIES = """
import json, statistics, sys, time
import grpc
methods = [grpc.insecure_channel(address).unary_unary(sys.argv[1]) for address in sys.argv[2:]]
times = [[] for _ in methods]
for i in range(2500):
    for method, mine in zip(methods, times):
        start = time.perf_counter()
        method(b"", timeout=20)
        mine.append((time.perf_counter() - start) * 1000)
print(json.dumps([[statistics.median(t[500:]), statistics.quantiles(t[500:], n=100)[98]] for t in times]))
"""


def latencies(*daemons):
    """The median and what 99 % take at most, in ms, of each."""
    addresses = [daemon.address for daemon in daemons]
    return json.loads(subprocess.check_output([sys.executable, "-c", LATENCIES, path("LLM", "Unary"), *addresses], text=True))


def resident(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@test
def two_thousand_watchers_cost_other_calls_nothing():
    with Brickd(TWO, extra="log: { access: off }") as d, Brickd(TWO, extra="log: { access: off }") as unwatched:
        ch = d.channel()
        worker = d.workers()[0]
        latencies(d)
        memory = resident(worker)
        channels = [d.channel() for _ in range(4)]
        watches = [open_watch(channels[i % 4], ("", LLM, "small", "shield")[i % 4]) for i in range(WATCHERS)]
        for watch in watches:
            eq(next(watch).status, SERVING)
        each = (resident(worker) - memory) / WATCHERS
        (before, before_99), (after, after_99) = latencies(unwatched, d)
        print(f"# unary median {before:.3f} -> {after:.3f} ms, 99 % {before_99:.3f} -> {after_99:.3f} ms; "
              f"{each / 1024:.1f} KiB a watcher")
        assert after < before * 1.5 + 0.2, (before, after)
        assert each < 64 * 1024, each

        # a change reaches all who watch the brick, while calls go on
        start = time.monotonic()
        tell(ch, "sick")
        for watch in watches[2::4]:
            eq(next(watch).status, NOT_SERVING)
        print(f"# {WATCHERS // 4} told of a change in {(time.monotonic() - start) * 1000:.0f} ms")
        eq(check(ch, "shield"), SERVING)

        # and a stop reaches all, and waits for none
        stopper = threading.Thread(target=lambda: stopped.append(d.stop()))
        stopped = []
        stopper.start()
        for i, watch in enumerate(watches):
            rest = []
            try:
                for reply in watch:
                    rest.append(reply.status)
                raise AssertionError("a watch ended with OK")
            except grpc.RpcError as e:
                eq((e.code().name, e.details()), STOPPING, i)
            eq(rest, [] if i % 4 == 2 else [NOT_SERVING], i)
        stopper.join()
        status, took = stopped[0]
        print(f"# stopped in {took.seconds:.2f} s")
        eq(status, 0)
        assert took.running < 2.9, took


@contextlib.contextmanager
def starving(pid):
    """All threads of the process but the first get a hundredth of a processor."""
    cpu = min(os.sched_getaffinity(0))
    with subprocess.Popen(["taskset", "--cpu-list", str(cpu), "timeout", "60", "sh", "-c", "while :; do :; done"]) as other:
        for thread in map(int, os.listdir(f"/proc/{pid}/task")):
            with contextlib.suppress(ProcessLookupError):  # it may have ended
                if thread != pid:
                    os.sched_setaffinity(thread, {cpu})
                    os.setpriority(os.PRIO_PROCESS, thread, 19)
        yield
        other.terminate()


@test
def a_stop_waits_until_watches_have_been_told():
    with Brickd(TWO, extra="drain: { grace: 60s }") as d:
        ch = d.channel()
        watches = [Watch(ch) for _ in range(300)]
        for watch in watches:
            eq(watch.next(), SERVING)
        with starving(d.workers()[0]):
            d.send(signal.SIGTERM)
            eq(d.process.wait(55), 0)
        for i, watch in enumerate(watches):
            eq((watch.next(), watch.next()), (NOT_SERVING, STOPPING), i)


@test
def watches_are_bounded():
    with Brickd(TWO, port_extra="    limits: { watches: 3 }") as d:
        ch, other = d.channel(), d.channel()
        watches = [open_watch(c) for c in (ch, other, ch)]
        for watch in watches:
            eq(next(watch).status, SERVING)
        eq(stream(other, WATCH)[1:], ("RESOURCE_EXHAUSTED", "Too many streams are open"))
        eq(check(ch), SERVING)
        watches[0].cancel()
        wait_for("a free place", lambda: Watch(other).next() == SERVING, 20)


@test
def a_stop_begins_with_not_serving():
    with Brickd(TWO, extra="drain: { lame_duck: 3s, grace: 1s }") as d:
        ch = d.channel()
        watch, unknown = Watch(ch), Watch(ch, "nobody")
        eq((watch.next(), unknown.next()), (SERVING, SERVICE_UNKNOWN))
        stop = Stopwatch()
        d.send(signal.SIGTERM)
        eq(watch.next(), NOT_SERVING)
        assert stop.elapsed().running < 2.5
        served = 0
        while stop.elapsed().seconds < 1:
            fresh = d.channel()
            eq(call(fresh, path("LLM", "Unary"), prompt("case:ok"))[1], "OK")
            eq([check(fresh, name) for name in ("", LLM, "big", "nobody")],
               [NOT_SERVING, NOT_SERVING, NOT_SERVING, "NOT_FOUND"])
            eq(Watch(fresh, LLM).next(), NOT_SERVING)
            served += 1
        print(f"# served {served} calls on new connections as a lame duck")
        eq((watch.next(), unknown.next()), (STOPPING, STOPPING))
        eq(d.process.wait(10), 0)
        took = stop.elapsed()
        assert 2.9 < took.seconds and took.running < 5, took


@test
def a_call_in_flight_holds_a_stop_and_watches_do_not():
    with Brickd(TWO, extra="drain: { grace: 5s }") as d:
        ch = d.channel()
        watch = Watch(ch)
        eq(watch.next(), SERVING)
        late = ch.unary_unary(path("LLM", "Unary")).future(prompt("case:late"), timeout=20)
        time.sleep(0.05)
        d.send(signal.SIGTERM)
        eq([watch.next(), watch.next()], [NOT_SERVING, STOPPING])
        late.result()
        eq(d.process.wait(10), 0)


@test
def a_reload():
    with Brickd(TWO) as d:
        ch = d.channel()
        watch = Watch(ch)
        eq(watch.next(), SERVING)
        d.write("  - { name: other, module: contract, options: { type: LLM } }")
        d.ctl("reload")
        with grpc.insecure_channel(d.address, options=[("grpc.use_local_subchannel_pool", 1)]) as fresh:
            eq([check(fresh, name) for name in ("", LLM, "other", "small", GUARD)],
               [SERVING, SERVING, SERVING, "NOT_FOUND", "NOT_FOUND"])
        # the watch ends so that it can be made again, and the channel finds the new worker by itself
        eq(watch.next(), ("UNAVAILABLE", "The server is reloaded"))
        wait_for("the new worker", lambda: check(ch, "other") == SERVING, 20)
        eq(check(ch, "small"), "NOT_FOUND")
        eq(Watch(ch, "other").next(), SERVING)
        wait_for("the old worker to go", lambda: len(d.workers()) == 1, 20)


@test
def an_index_that_is_missing():
    index = os.path.join(temp_dir(), "index")
    with Brickd(f"  - {{ name: docs, module: retrieval-fts, options: {{ index: {index} }} }}",
                modules=os.path.join(BUILD, "src", "bricks")) as d:
        ch = d.channel()
        watch = Watch(ch, "docs")
        eq([watch.next(), check(ch, ""), check(ch, "protocols.grpc.retrieval.RetrievalService")],
           [NOT_SERVING, SERVING, NOT_SERVING])
        d.says("Brick 'docs' is not healthy")
        d.says("build it with brickctl index")
        subprocess.check_call([os.path.join(BUILD, "src", "bricks", "retrieval-fts", "brickctl-index"), "--db", index,
                               os.path.join(SOURCE, "README.md")], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
        eq(watch.next(), SERVING)  # without a call
        wait_for("the line of the log", lambda: "Brick 'docs' is healthy again" in d.log(), 20)


@test
def watchers_come_and_go_during_a_stop():
    """Nothing is left behind, and nothing crashes, when streams begin and end while all ends."""
    for _ in range(3):
        with Brickd(TWO, extra="log: { access: off }") as d:
            ending = threading.Event()

            def churn():
                ch = d.channel()
                while not ending.is_set():
                    watches = [open_watch(ch, "small") for _ in range(20)]
                    for watch in watches[::2]:
                        watch.cancel()
                    check(ch, timeout=1)

            threads = [threading.Thread(target=churn) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(0.3)
            status, took = d.stop()
            ending.set()
            for thread in threads:
                thread.join()
            eq(status, 0)
            assert took.running < 4, took
            assert "killed" not in d.log() and "died" not in d.log(), d.log()


main()
