# SPDX-License-Identifier: MIT
"""What clients see of reloads, new programs, restarts and stops: nothing, or what the manual says.

More by hand: LOAD_RETRIES=0 RELOADS=100 RESTARTS=20 python3 tests/integration/test_upgrade.py BUILD_DIR"""
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

from harness import (BUILD, Brickd, Stopwatch, call, eq, generate_stubs, main, path, stream, temp_dir, test,
                     wait_for)
import http2
from door import Door, ask
from load import Load

generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402

MODULES = os.path.join(BUILD, "src", "bricks")
WORKER = os.path.join(BUILD, "src", "brickd-worker")
ECHO = f"  - {{ name: echo, module: {MODULES}/echo.so, options: {{ type: LLM }} }}\n"
QUIET = "log: { access: off }\n"
UNARY, STREAM = path("LLM", "Unary"), path("LLM", "OutputStreaming")
HELLO = llm_pb2.LLMRequest(prompt="hello").SerializeToString()
NOW = llm_pb2.LLMRequest(prompt="now").SerializeToString()

RELOADS = int(os.environ.get("RELOADS", "6"))
RESTARTS = int(os.environ.get("RESTARTS", "4"))


def install_worker(place):
    """As a package would: another file takes the place of the old one."""
    shutil.copy(WORKER, place + ".new")
    os.rename(place + ".new", place)


def executables(daemon):
    return {os.stat(f"/proc/{pid}/exe").st_ino for pid in daemon.workers()}


@test
def reloads_with_new_programs_lose_no_call():
    worker = os.path.join(temp_dir(), "brickd-worker")
    install_worker(worker)
    slowest = 0
    with Brickd(ECHO, extra=QUIET + "drain: { retire: 20s }", env={"BRICKD_WORKER": worker}) as daemon:
        with Load(daemon.address) as load:
            for _ in range(RELOADS):
                install_worker(worker)
                start = time.monotonic()
                daemon.ctl("reload", "--wait")
                slowest = max(slowest, time.monotonic() - start)
                eq(executables(daemon), {os.stat(worker).st_ino}, "what serves")
        print(f"# {RELOADS} reloads, the old workers gone after {slowest:.1f} s at most: {load}")
        eq(load.losses, {})
        assert slowest < 10, "clients are told to go, and go"


@test
def a_worker_of_another_version_is_refused():
    worker = os.path.join(temp_dir(), "brickd-worker")
    install_worker(worker)
    with Brickd(ECHO, env={"BRICKD_WORKER": worker}) as daemon:
        pids = daemon.workers()
        with open(worker + ".new", "w") as f:
            f.write(f'#!/bin/sh\nexec {WORKER} "$@" --channel 999\n')
        os.chmod(worker + ".new", 0o755)
        os.rename(worker + ".new", worker)
        done = daemon.ctl("reload", check=False)
        eq(done.returncode, 1)
        assert "does not go with the brickd that runs: restart brickd" in done.stderr, done
        eq(daemon.workers(), pids)
        eq(call(daemon.channel(), UNARY, HELLO)[1], "OK")


class Activated(Brickd):
    """brickd on a socket that somebody else holds, as systemd does for brickd.socket."""

    def __init__(self, *args, **kwargs):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        super().__init__(*args, port=self.socket.getsockname()[1], **kwargs)

    def write(self, bricks):
        super().write(bricks)
        with open(self.config) as f:
            text = f.read()
        with open(self.config, "w") as f:
            f.write(text.replace(f'"{self.address}"', "systemd:brickd"))

    def start(self, ready=True):
        already = self.log().count("Ready") if os.path.exists(self.log_path) else 0
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", 'exec 3<&0 </dev/null; LISTEN_PID=$$ exec "$0" -c "$1"',
                 os.path.join(BUILD, "src", "brickd"), self.config],
                stdin=self.socket, stdout=log, stderr=log,
                env={**self.env, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "brickd"})
        wait_for("Ready", lambda: self.log().count("Ready") > already)
        return self


@test
def restarts_behind_a_socket_that_stays_lose_no_call():
    with Activated(ECHO, extra=QUIET) as daemon:
        with Load(daemon.address) as load:
            for _ in range(RESTARTS):
                time.sleep(0.3)
                eq(daemon.stop()[0], 0)
                daemon.start()
            time.sleep(0.3)
        print(f"# {RESTARTS} restarts: {load}")
        eq(load.losses, {})


@test
def a_stop_serves_what_has_come_to_a_busy_worker():
    """A brick holds the polling thread for half a second, which is longer than clients are given to leave."""
    bricks = ECHO.replace("options", "default: true, options") + "  - { name: blocks, module: blocks, match: { x-brick: blocks } }\n"
    with Door(bricks, extra=QUIET) as daemon:
        grpc, http = http2.Connection(daemon.grpc_port).was_read(), daemon.client()
        eq(ask(http, "GET", "/v1/models")[0], 200)
        blocking = Background(call, daemon.grpc(), UNARY, NOW, [("x-brick", "blocks")])
        wait_for("the brick", lambda: daemon.in_flight() == 1)
        http.request("GET", "/v1/models")
        assert grpc.send(http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.request(UNARY)) +
                         http2.frame(http2.DATA, http2.END_STREAM, 1, http2.message(HELLO)))
        daemon.send(signal.SIGTERM)
        eq(http.getresponse().status, 200)
        grpc.reads(b"hello")
        eq(blocking.wait()[1], "OK")
        eq(daemon.process.wait(30), 0)


def slow(delay):
    return f"  - {{ name: echo, module: {MODULES}/echo.so, options: {{ type: LLM, delay: {delay} }} }}\n"


class Background(threading.Thread):
    """A call in a thread: its result, and how long after `start` it came."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self.function, self.args = function, args
        self.start()

    def run(self):
        self.result = self.function(*self.args)
        self.ended = time.monotonic()

    def wait(self):
        self.join(30)
        return self.result


@test
def each_step_of_a_stop_as_a_client_sees_it():
    with Brickd(slow("600ms"), extra="drain: { lame_duck: 700ms, grace: 3s }") as daemon:
        channel = daemon.channel()
        eq(call(channel, UNARY, HELLO)[1], "OK")
        watch = Stopwatch()
        daemon.send(signal.SIGTERM)
        time.sleep(0.3)
        # the lame duck takes new calls, on old connections and new ones
        old = Background(call, channel, UNARY, HELLO)
        new = Background(call, daemon.channel(), UNARY, HELLO)
        eq((old.wait()[1], new.wait()[1]), ("OK", "OK"))
        # they ended when it was over, and nothing else was there to wait for
        eq(daemon.process.wait(5), 0)
        took = watch.elapsed()
        assert 0.85 < took.seconds and took.running < 2.5, took
        eq(call(daemon.channel(), UNARY, HELLO, timeout=5)[1], "UNAVAILABLE")


@test
def calls_in_flight_have_their_grace_and_no_more():
    tokens = "  - { name: echo, module: " + MODULES + "/echo.so, options: { type: LLM, tokens: 10000, delay: 100ms } }\n"
    with Brickd(slow("800ms"), extra="drain: { grace: 3s }") as daemon:
        running = Background(call, daemon.channel(), UNARY, HELLO)
        time.sleep(0.4)
        eq(daemon.stop()[0], 0)
        eq(running.wait()[1], "OK", "it ended within the grace")
    with Brickd(tokens, extra="drain: { grace: 700ms }") as daemon:
        endless = Background(stream, daemon.channel(), STREAM, HELLO)
        time.sleep(0.4)
        status, took = daemon.stop()
        eq(status, 0)
        replies, code, details = endless.wait()
        eq(code, "UNAVAILABLE", details)
        assert 0.6 < took.seconds and took.running < 3, took
        assert len(replies) > 5, len(replies)


@test
def an_idle_brickd_stops_at_once():
    with Brickd(ECHO) as daemon:
        eq(call(daemon.channel(), UNARY, HELLO)[1], "OK")
        with socket.create_connection(("127.0.0.1", daemon.port)):  # a peer that says nothing
            status, took = daemon.stop()
        eq(status, 0)
        assert took.running < 2.9, took


if __name__ == "__main__":
    main()
