# SPDX-License-Identifier: MIT
"""What bad bricks, reloads, kills and slow clients do to the others: nothing, or as little as can be."""
import json
import os
import resource
import signal
import socket
import threading
import time

import grpc

from harness import BUILD, Brickd, Stopwatch, call, eq, generate_stubs, main, path, stream, test, wait_for

generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402

MODULES = os.path.join(BUILD, "src", "bricks")
ZOO = os.path.join(BUILD, "tests", "module")
ECHO = "  - { name: echo, module: " + MODULES + "/echo.so, options: { type: LLM } }\n"
PAUSE = 0.01  # between two calls of a client, seconds: the load is to be lost, not to starve who serves it
HELLO = llm_pb2.LLMRequest(prompt="hello").SerializeToString()
UNARY = path("LLM", "Unary")


def rss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Rss:"))


def in_flight(daemon):
    """Calls in all workers, by what brickctl says."""
    status = json.loads(daemon.ctl("status", "--json").stdout)
    return sum(w["status"]["in_flight"] for w in status["workers"] if w["status"])


class Clients:
    """Threads that call again and again, on a new connection every few calls; they count what they see."""

    def __init__(self, daemon, count=8, calls_per_connection=5, retries=False):
        """retries: as gRPC has it by default, so that what was about to be sent when GOAWAY came is sent anew."""
        self.daemon, self.per, self.retries = daemon, calls_per_connection, retries
        self.stopping = threading.Event()
        self.ok, self.failures, self.slowest = 0, [], 0.0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(count)]

    def run(self, seed):
        serial = 0
        while not self.stopping.is_set():
            channel = grpc.insecure_channel(self.daemon.address, options=[
                ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", int(self.retries)),
                ("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 100)])
            unary = channel.unary_unary(UNARY)
            for _ in range(self.per):
                text = f"{seed}-{serial}"
                serial += 1
                start = time.monotonic()
                try:
                    reply = llm_pb2.LLMResponse.FromString(
                        unary(llm_pb2.LLMRequest(prompt=text).SerializeToString(), timeout=20))
                    good = reply.text == "Echo: " + text and reply.error.code == 200
                    failure = None if good else f"wrong reply {reply}"
                except grpc.RpcError as e:
                    failure = f"{e.code().name} {e.details()}"
                with self.lock:
                    self.slowest = max(self.slowest, time.monotonic() - start)
                    if failure:
                        self.failures.append(failure)
                    else:
                        self.ok += 1
                # A channel whose connection broke may fail more calls without trying: those say nothing.
                if failure or self.stopping.wait(PAUSE):
                    break
            channel.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)


# More by hand: RELOADS=50 KILLS=50 STALL_SECONDS=60 python3 tests/integration/test_faults.py BUILD_DIR
RELOADS = int(os.environ.get("RELOADS", "8"))
KILLS = int(os.environ.get("KILLS", "5"))
STALL_SECONDS = float(os.environ.get("STALL_SECONDS", "2"))


@test
def reloads_lose_nothing():
    with Brickd(ECHO, extra="log: { access: off }") as daemon:
        with Clients(daemon, retries=True) as clients:
            wait_for("calls", lambda: clients.ok > 50)
            first = set(daemon.workers())
            for _ in range(RELOADS):
                daemon.ctl("reload")
            assert not first & set(daemon.workers()) or len(daemon.workers()) > 1
        print(f"# {RELOADS} reloads: {clients.ok} calls, {len(clients.failures)} lost, slowest {clients.slowest * 1000:.0f} ms")
        eq(clients.failures, [])
        assert clients.ok > RELOADS * len(clients.threads), clients.ok
        wait_for("old workers to go", lambda: len(daemon.workers()) == 1)


@test
def kills_lose_only_what_the_killed_worker_had():
    with Brickd(ECHO, extra="log: { access: off }\nworkers: 2") as daemon:
        def two_workers():
            return daemon.workers() if len(daemon.workers()) == 2 else None
        with Clients(daemon) as clients:
            wait_for("calls", lambda: clients.ok > 50)
            for _ in range(KILLS):
                # The older of the two: a worker that has served for a second is replaced without delay.
                pid = min(wait_for("two workers", two_workers))
                before = clients.ok
                time.sleep(0.5)
                os.kill(pid, signal.SIGKILL)
                wait_for("two workers again", lambda: two_workers() and pid not in daemon.workers())
                wait_for("calls", lambda: clients.ok > before + 10)
        print(f"# {KILLS} kills: {clients.ok} calls, {len(clients.failures)} lost, slowest {clients.slowest * 1000:.0f} ms")
        refused = [f for f in clients.failures if "refused" in f.lower()]
        eq(refused, [], "refused connections")
        # A killed worker has at most one connection of each client, with one call on it.
        assert len(clients.failures) <= KILLS * len(clients.threads), clients.failures
        for failure in clients.failures:
            assert failure.startswith("UNAVAILABLE"), failure


def connect(daemon, count):
    """So many connections, opened at once, and the time until the last was greeted by the worker that took it."""
    connections, watch = [socket.socket() for _ in range(count)], Stopwatch()
    for connection in connections:
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.1", daemon.port))
    for connection in connections:
        connection.settimeout(10)
        assert connection.recv(1), "a connection was closed"
    return connections, watch.elapsed()


def hang_up(daemon, connections):
    for connection in connections:
        connection.close()
    wait_for("no connections", lambda: sum(shares(daemon).values()) == 0)


def shares(daemon):
    """Connections by worker: its process id."""
    status = json.loads(daemon.ctl("status", "--json").stdout)
    return {w["pid"]: w["status"]["connections"] for w in status["workers"] if w["status"]}


def is_stopped(pid):
    def state(task):
        with open(f"/proc/{pid}/task/{task}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    return all(state(task) == "T" for task in os.listdir(f"/proc/{pid}/task"))


def even(daemon, workers, count):
    """Whether each worker gets its share; one that lacks the processor for milliseconds rightly gets less."""
    connections, _ = connect(daemon, count)
    by_worker = sorted(shares(daemon).values())
    hang_up(daemon, connections)
    eq((len(by_worker), sum(by_worker)), (workers, count))
    return by_worker[-1] - by_worker[0] <= 1


@test
def workers_share_connections_evenly():
    for workers in 2, 3:
        with Brickd(ECHO, extra=f"log: {{ access: off }}\nworkers: {workers}") as daemon:
            for count in workers, 16:
                assert any(even(daemon, workers, count) for _ in range(10)), (workers, count)


@test
def a_stopped_worker_delays_nobody():
    with Brickd(ECHO, extra="log: { access: off }\nworkers: 2") as daemon:
        stopped = daemon.workers()[0]
        os.kill(stopped, signal.SIGSTOP)
        wait_for("its threads to stop", lambda: is_stopped(stopped))
        connections, took = connect(daemon, 16)
        os.kill(stopped, signal.SIGCONT)
        print(f"# greeted within {took.seconds * 1000:.0f} ms")
        assert took.running < 5, took
        eq(shares(daemon)[stopped], 0)
        while shares(daemon)[stopped] == 0:
            assert len(connections) < 100, "who is back gets no share"
            connections += connect(daemon, 1)[0]
        hang_up(daemon, connections)


@test
def a_new_worker_gets_the_next_connections():
    with Brickd(ECHO, extra="log: { access: off }\nworkers: 2") as daemon:
        connections, _ = connect(daemon, 16)
        killed, other = daemon.workers()
        os.kill(killed, signal.SIGKILL)
        wait_for("a new worker", lambda: len(shares(daemon)) == 2 and killed not in shares(daemon))
        had = shares(daemon)[other]
        more, _ = connect(daemon, had)
        now = shares(daemon)
        # All, but for what it may have been too slow to take.
        assert now[other] - had < had / 2, (had, now)
        hang_up(daemon, connections + more)


@test
def a_crashing_brick_takes_its_worker_and_no_more():
    with zoo_daemon("call-crashes") as daemon:
        pid = daemon.workers()
        eq(call(daemon.channel(), UNARY, NOW)[1], "UNAVAILABLE")
        wait_for("a new worker", lambda: daemon.workers() and daemon.workers() != pid)
        wait_for("an answer", lambda: call(daemon.channel(), GUARD)[1] == "OK")
        wait_for("the name of the brick in the log", lambda: "'bad'" in daemon.log(), 20)
        daemon.says("SIGSEGV")


# Every rogue of the zoo is an LLM brick that answers "ok", and misbehaves when the prompt is "now".
NOW = llm_pb2.LLMRequest(prompt="now").SerializeToString()
GUARD = path("Guard", "Unary")


def zoo_daemon(name, extra=""):
    return Brickd(f"""  - {{ name: bad, module: {name} }}
  - {{ name: other, module: {MODULES}/echo.so, options: {{ type: Guard }} }}
""", modules=ZOO, extra=extra)


@test
def a_brick_that_never_finishes_does_not_hold_the_stop():
    daemon = zoo_daemon("never-finishes", "drain: { grace: 200ms }")
    with daemon:
        eq(call(daemon.channel(), UNARY, NOW, timeout=0.5)[1], "DEADLINE_EXCEEDED")
        eq(call(daemon.channel(), GUARD)[1], "OK")
        status, took = daemon.stop()
        eq(status, 0)
        assert took.running < 10, took
        daemon.says("brick 'bad' still holds 1 call")


@test
def a_brick_that_leaves_no_memory_does_not_hold_the_stop():
    with zoo_daemon("limits-memory", "drain: { grace: 20s }") as daemon:
        eq(call(daemon.channel(), UNARY, NOW)[1], "OK")
        eq(call(daemon.channel(), GUARD)[1], "OK")
        status, took = daemon.stop()
        eq(status, 0)
        assert took.running < 10, took
        assert "killed" not in daemon.log(), daemon.log()


@test
def a_limit_that_a_brick_lowers_is_raised_again():
    with zoo_daemon("blocks") as daemon:  # the test lowers it, as a brick of that worker might
        worker, = daemon.workers()
        before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, before[1]))
        daemon.says("A brick has lowered RLIMIT_NOFILE of its worker to 3")
        eq(resource.prlimit(worker, resource.RLIMIT_NOFILE), before)
        wait_for("service", lambda: call(daemon.channel(), GUARD, timeout=2)[1] == "OK")


@test
def a_brick_that_closes_what_is_not_its_own():
    with zoo_daemon("closes-all") as daemon:
        worker, = daemon.workers()
        call(daemon.channel(), UNARY, NOW, timeout=1)
        wait_for("another worker", lambda: daemon.workers() and worker not in daemon.workers())
        wait_for("the reason", lambda: "was killed: a brick had closed descriptors of brickd" in daemon.log())
        wait_for("service", lambda: call(daemon.channel(), GUARD, timeout=1)[1] == "OK")


def living_children(pid):
    children = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as f:
            children += f.read().split()
    return [child for child in children if not is_dead(child)]


def is_dead(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@test
def a_child_of_a_brick_does_not_serve():
    with zoo_daemon("forks") as daemon:
        worker, = daemon.workers()
        for _ in range(5):
            reply, status, _, _ = call(daemon.channel(), UNARY, NOW)
            eq((status, llm_pb2.LLMResponse.FromString(reply).text), ("OK", "ok"))
        wait_for("the children to go", lambda: not living_children(worker))
        eq(call(daemon.channel(), GUARD)[1], "OK")
        eq(daemon.workers(), [worker])


@test
def a_worker_whose_main_process_dies_does_not_wait_for_ever():
    daemon = zoo_daemon("never-finishes", "drain: { grace: 200ms }")
    with daemon:
        eq(call(daemon.channel(), UNARY, NOW, timeout=0.5)[1], "DEADLINE_EXCEEDED")
        worker = daemon.workers()[0]
        daemon.process.kill()
        daemon.process.wait()
        wait_for("the worker's end", lambda: not os.path.exists(f"/proc/{worker}"), 20)


@test
def a_mistake_found_after_the_first_port_is_a_mistake_and_no_crash():
    bricks = ECHO + f"  - {{ name: echo2, module: {MODULES}/echo.so, options: {{ type: LLM }} }}\n"
    daemon = Brickd(bricks, modules=ZOO, port_extra='    bricks: [echo]\n  - { listen: "127.0.0.1:0" }')
    daemon.start(ready=False)
    eq(daemon.process.wait(20), 78)
    assert "need `match:`" in daemon.log() and "SIG" not in daemon.log(), daemon.log()


@test
def a_brick_that_finishes_twice_is_named():
    daemon = zoo_daemon("finishes-twice")
    with daemon:
        for _ in range(20):
            call(daemon.channel(), UNARY, NOW)
        wait_for("the verdict", lambda: "'bad' finished a call twice" in daemon.log(), 20)
        eq(call(daemon.channel(), GUARD)[1], "OK")


@test
def a_brick_that_sends_after_its_finish_is_named():
    daemon = zoo_daemon("sends-after-finish")
    with daemon:
        for _ in range(20):
            call(daemon.channel(), UNARY, NOW)
        wait_for("the verdict", lambda: "'bad' sent on a call that it had finished" in daemon.log(), 20)
        eq(call(daemon.channel(), GUARD)[1], "OK")


@test
def garbage_of_a_brick_does_not_reach_the_client():
    for name, line in ("sends-garbage", "that is not of its type"), ("sends-bad-utf8", "that is not UTF-8"):
        daemon = zoo_daemon(name)
        with daemon:
            reply, status, _, _ = call(daemon.channel(), UNARY, NOW)
            eq(status, "OK")
            assert b"Invalid unary response type!" in reply, reply
            wait_for("the verdict", lambda: line in daemon.log(), 20)
            eq(call(daemon.channel(), GUARD)[1], "OK")


@test
def a_brick_that_blocks_the_polling_thread_is_named():
    daemon = zoo_daemon("blocks")
    with daemon:
        call(daemon.channel(), UNARY, NOW, timeout=8)
        wait_for("the name", lambda: "'bad' held the polling thread" in daemon.log() or
                 "'bad' has held the polling thread" in daemon.log(), 30)
        wait_for("an answer", lambda: call(daemon.channel(), GUARD, timeout=2)[1] == "OK", 40)


@test
def bricks_that_cannot_be_made():
    for name, text in ("create-fails", "bricks[0]"), ("create-crashes", "'bad'"):
        daemon = Brickd(f"  - {{ name: bad, module: {name} }}\n", modules=ZOO).start(ready=False)
        status = daemon.process.wait(40)
        assert status in (1, 78), (status, daemon.log())
        daemon.says(text)
    daemon = Brickd("  - { name: bad, module: create-hangs }\n", modules=ZOO, extra="start_timeout: 1s").start(ready=False)
    assert daemon.process.wait(40) != 0
    daemon.says("'bad'")
    daemon.says("create()")


@test
def every_mistake_is_found_in_one_run():
    """Those of the file, and those that only a module can know."""
    daemon = Brickd("""  - { name: one, module: echo, options: { typ: LLM } }
  - { name: two, module: nosuch }
""", modules=MODULES, extra="wokers: 2").start(ready=False)
    eq(daemon.process.wait(20), 78)
    for text in ("wokers: unknown key; did you mean \"workers\"?", "bricks[0].options.typ: unknown key",
                 "bricks[1].module: "):
        daemon.says(text)


@test
def a_reload_that_fails_leaves_the_old_serving():
    with Brickd(ECHO, extra="drain: { retire: 1s }") as daemon:
        workers = daemon.workers()
        daemon.write("  - { name: bad, module: " + ZOO + "/create-fails.so }\n")
        done = daemon.ctl("reload", check=False)
        assert done.returncode != 0, done
        assert "brickd.yaml:" in done.stderr + done.stdout, done
        eq(call(daemon.channel(), UNARY, HELLO)[1], "OK")
        wait_for("the end of the new", lambda: daemon.workers() == workers)
        daemon.write(ECHO)
        daemon.ctl("reload", "--wait")
        eq(call(daemon.channel(), UNARY, HELLO)[1], "OK")
        assert daemon.workers() != workers


def texts(replies):
    return [common_pb2.CommonResponse.FromString(r).data["text"] for r in replies]


@test
def bricks_call_bricks():
    bricks = ECHO + "  - { name: pipe, module: pipeline, options: { target: echo } }\n"
    with Brickd(bricks, modules=ZOO) as daemon:
        request = common_pb2.CommonRequest()
        request.data["prompt"] = "through two bricks"
        channel = daemon.channel()
        reply, status, details, _ = call(channel, path("Common", "Unary"), request.SerializeToString())
        eq(status, "OK", details)
        eq(texts([reply]), ["Echo: through two bricks"])
        replies, status, details = stream(channel, path("Common", "OutputStreaming"), request.SerializeToString())
        eq((texts(replies), status), ([f"tok{i} " for i in range(10)], "OK"), details)
        # Cancelled by its client, the caller gives up, and so does the callee.
        endless = channel.unary_stream(path("Common", "OutputStreaming"))(request.SerializeToString())
        endless.cancel()
        wait_for("both calls to end", lambda: in_flight(daemon) == 0, 20)


@test
def bricks_that_call_each_other_in_a_circle():
    bricks = "".join(f"  - {{ name: {a}, module: pipeline, options: {{ target: {b} }} }}\n"
                     for a, b in (("one", "two"), ("two", "three"), ("three", "one")))
    daemon = Brickd(bricks, modules=ZOO).start(ready=False)
    eq(daemon.process.wait(20), 78)
    for name in "one", "two", "three":
        daemon.says(name)


@test
def a_thousand_clients_that_do_not_read():
    bricks = "  - { name: echo, module: echo, options: { type: LLM, tokens: 1000000, size: 200 } }\n"
    with Brickd(bricks, modules=MODULES, extra="log: { access: off }") as daemon:
        worker = daemon.workers()[0]
        before = rss(worker)
        streams = []
        for _ in range(10):
            # Small windows, so that what the kernel and the client hold is little.
            channel = daemon.channel(**{"grpc.http2.lookahead_bytes": 1024, "grpc.http2.bdp_probe": 0})
            opened = channel.unary_stream(path("LLM", "OutputStreaming"))
            streams += [opened(llm_pb2.LLMRequest(max_tokens=1000000).SerializeToString()) for _ in range(100)]
        for each in streams:
            next(each)
        time.sleep(2)
        start = rss(worker)
        time.sleep(STALL_SECONDS)
        end = rss(worker)
        print(f"# 1000 stalled streams: worker {before} KiB before, {start} KiB open, {end} KiB {STALL_SECONDS:.0f} s later")
        eq(call(daemon.channel(), UNARY, HELLO)[1], "OK", "others are served")
        assert end < start * 1.03 + 512, (start, end)
        assert (start - before) / 1000 < 200, "KiB a stream"
        for each in streams:
            each.cancel()
        wait_for("the streams to end", lambda: in_flight(daemon) == 0, 20)


@test
def workers_finish_and_exit_when_the_main_process_dies():
    with Brickd(ECHO) as daemon:
        workers = daemon.workers()
        daemon.process.kill()
        daemon.process.wait()
        for pid in workers:
            wait_for("the worker's end", lambda: not os.path.exists(f"/proc/{pid}"), 20)


@test
def the_main_process_maps_no_grpc_and_no_module():
    with Brickd(ECHO) as daemon:
        with open(f"/proc/{daemon.process.pid}/maps") as f:
            maps = f.read()
        for name in "libgrpc", "libgpr", "protobuf", "echo.so", "libcurl", "libsqlite":
            assert name not in maps, name
        with open(f"/proc/{daemon.workers()[0]}/maps") as f:
            assert "libgrpc" in f.read()


if __name__ == "__main__":
    main()
