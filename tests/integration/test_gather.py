# SPDX-License-Identifier: MIT
"""What brickd writes to its connections: whole and in order with `writes` in both positions, to the last byte to slow
clients, and a GOAWAY that loses nothing when a worker retires."""
import fcntl
import os
import signal
import socket
import struct
import termios
import threading
import time

import grpc

from harness import BUILD, Brickd, Stopwatch, eq, generate_stubs, main, path, test, wait_for

generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402
from protocols.grpc.guard import guard_pb2  # noqa: E402

MODULES = os.path.join(BUILD, "src", "bricks")
ECHO = f"  - {{ name: echo, module: {MODULES}/echo.so, options: {{ type: LLM }} }}\n"
BIG = f"  - {{ name: echo, module: {MODULES}/echo.so, options: {{ type: LLM, size: 6000 }} }}\n"
UNARY, STREAM = path("LLM", "Unary"), path("LLM", "OutputStreaming")
BOTH = ("gather", "direct")
RELOADS = int(os.environ.get("RELOADS", "5"))

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
WIDE_OPEN = 2 ** 31 - 1


def quiet(writes, more=""):
    return f"writes: {writes}\nlog: {{ access: off }}\n{more}"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">BHBBI", len(payload) >> 16, len(payload) & 0xffff, kind, flags, stream) + payload


def request_bytes(stream, method, message):
    """A whole call, as HEADERS without compression and one DATA."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "t"),
              ("content-type", "application/grpc"), ("te", "trailers")]
    block = b"".join(b"\0" + bytes([len(k)]) + k.encode() + bytes([len(v)]) + v.encode() for k, v in fields)
    body = b"\0" + struct.pack(">I", len(message)) + message
    return frame(HEADERS, 4, stream, block) + frame(DATA, 1, stream, body)


class Raw:
    """A client of HTTP/2 frames with windows wide open: only TCP holds the server back."""

    def __init__(self, daemon, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", daemon.port))
        self.socket.settimeout(20)
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
                            frame(SETTINGS, 0, 0, struct.pack(">HI", 4, WIDE_OPEN)) +
                            frame(WINDOW, 0, 0, struct.pack(">I", WIDE_OPEN - 65535)))
        self.rest = b""
        self.goaways, self.replies, self.ended, self.stream = [], {}, set(), -1
        assert self.read()  # the settings: who has not acknowledged them may begin few calls

    def call(self, method, message, count=1):
        """Begins calls, all in one write; their stream numbers."""
        streams = [self.stream + 2 * (i + 1) for i in range(count)]
        self.stream = streams[-1]
        self.socket.sendall(b"".join(request_bytes(s, method, message) for s in streams))
        return streams

    def read(self, size=65536):
        """Handles what arrives next; False: the end."""
        got = self.socket.recv(size)
        self.rest += got
        at = 0
        while len(self.rest) >= at + 9:
            high, low, kind, flags, stream = struct.unpack_from(">BHBBI", self.rest, at)
            end = at + 9 + (high << 16 | low)
            if len(self.rest) < end:
                break
            self.take(kind, flags, stream, self.rest[at + 9:end])
            at = end
        self.rest = self.rest[at:]
        return bool(got)

    def take(self, kind, flags, stream, payload):
        assert kind in (DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW), (kind, flags, stream, payload[:99])
        if kind == DATA:
            self.replies.setdefault(stream, []).append(payload)
        elif kind == HEADERS and flags & 1 or kind == RESET:
            self.ended.add(stream)
        elif kind in (SETTINGS, PING) and not flags & 1:
            self.socket.sendall(frame(kind, 1, 0, payload if kind == PING else b""))
        elif kind == GOAWAY:
            self.goaways.append(struct.unpack(">II", payload[:8]))

    def finish(self, streams, size=65536):
        """The replies of these streams, when all have ended: a list of messages for each."""
        while not set(streams) <= self.ended:
            assert self.read(size), "the connection ended early"
        return [messages(b"".join(self.replies[s])) for s in streams]

    def segments(self):
        """Segments with data that have arrived."""
        return struct.unpack_from("I", self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232), 152)[0]

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def messages(body):
    out, at = [], 0
    while at < len(body):
        compressed, length = struct.unpack_from(">BI", body, at)
        assert not compressed and len(body) >= at + 5 + length, (at, length, len(body))
        out.append(body[at + 5:at + 5 + length])
        at += 5 + length
    return out


def unary_texts(replies):
    return [llm_pb2.LLMResponse.FromString(m).text for stream in replies for m in stream]


@test
def a_burst_is_answered_in_few_writes():
    for writes in BOTH:
        with Brickd(ECHO, extra=quiet(writes)) as daemon:
            client = Raw(daemon)
            client.finish(client.call(UNARY, llm_pb2.LLMRequest(prompt="warm").SerializeToString(), 64))
            before = client.segments()
            replies = client.finish(client.call(UNARY, llm_pb2.LLMRequest(prompt="x").SerializeToString(), 64))
            eq(unary_texts(replies), ["Echo: x"] * 64)
            segments = client.segments() - before
            print(f"# {writes}: 64 replies in {segments} segments")
            assert segments < 24 or writes == "direct", segments


@test
def many_connections_and_streams():
    for writes in BOTH:
        with Brickd(ECHO, extra=quiet(writes)) as daemon:
            channels = [daemon.channel() for _ in range(16)]
            for _ in range(2):
                calls = [(f"{c}-{i}", channel.unary_unary(UNARY).future(
                    llm_pb2.LLMRequest(prompt=f"{c}-{i}").SerializeToString(), timeout=20))
                    for i in range(32) for c, channel in enumerate(channels)]
                eq([unary_texts([[call.result()]])[0] for _, call in calls], ["Echo: " + text for text, _ in calls])


@test
def replies_of_threads_keep_their_place():
    """On one connection: calls answered by the polling thread, by a brick's own thread, and by a pool."""
    bricks = ECHO + (f"  - {{ name: late, module: {MODULES}/echo.so, options: {{ type: Guard, delay: 1ms }} }}\n")
    for writes in BOTH:
        with Brickd(bricks, extra=quiet(writes)) as daemon:
            channel = daemon.channel()
            guard = channel.unary_unary(path("Guard", "Unary"))
            stop = time.monotonic() + 0.7
            while time.monotonic() < stop:
                fast = [channel.unary_unary(UNARY).future(
                    llm_pb2.LLMRequest(prompt=str(i)).SerializeToString(), timeout=20) for i in range(50)]
                late = [guard.future(guard_pb2.GuardRequest(text=str(i)).SerializeToString(), timeout=20)
                        for i in range(50)]
                streams = [channel.unary_stream(STREAM)(
                    llm_pb2.LLMRequest(prompt="s", max_tokens=50).SerializeToString(), timeout=20) for _ in range(4)]
                eq([unary_texts([[c.result()]])[0] for c in fast], [f"Echo: {i}" for i in range(50)])
                eq(["Echo: " + str(i) in guard_pb2.GuardResponse.FromString(c.result()).results[0].detail
                    for i, c in enumerate(late)], [True] * 50)
                for tokens in streams:
                    eq(unary_texts([list(tokens)]), [f"tok{i} " for i in range(50)])


@test
def slow_readers_get_every_byte():
    message = llm_pb2.LLMRequest(prompt="x", max_tokens=1000).SerializeToString()
    results = {}
    for writes in BOTH:
        with Brickd(BIG, extra=quiet(writes)) as daemon:
            slow = [Raw(daemon, receive_buffer=32768) for _ in range(2)]
            begun = [(c, c.call(STREAM, message, 2) + c.call(UNARY, message, 64)) for c in slow]
            time.sleep(0.5)
            other = Raw(daemon)
            for _ in range(20):  # while they stall
                watch = Stopwatch()
                other.finish(other.call(UNARY, message, 8))
                assert watch.elapsed().running < 5
            results[writes] = [c.finish(streams, size=20000) for c, streams in begun]
            eq([len(m) for m in results[writes][0]], [1000] * 2 + [1] * 64)
    assert results["gather"] == results["direct"]


@test
def a_stop_delivers_what_slow_readers_have_coming():
    message = llm_pb2.LLMRequest(prompt="x").SerializeToString()
    with Brickd(BIG, extra=quiet("gather", "drain: { grace: 20s }")) as daemon:
        slow = Raw(daemon, receive_buffer=32768)
        streams = [s for _ in range(15) for s in slow.call(UNARY, message, 64)]
        wait_for("the requests to arrive", lambda: not fcntl.ioctl(slow.socket, termios.TIOCOUTQ, b"\0" * 4)[0])
        time.sleep(0.5)
        daemon.send(signal.SIGTERM)
        time.sleep(0.5)
        eq([len(text) for text in unary_texts(slow.finish(streams, size=20000))], [6000] * len(streams))
        daemon.process.wait(20)


@test
def clients_that_vanish():
    with Brickd(ECHO, extra=quiet("gather")) as daemon:
        message = llm_pb2.LLMRequest(prompt="x" * 2000, max_tokens=1000).SerializeToString()
        worker = daemon.workers()
        for i in range(60):
            client = Raw(daemon, receive_buffer=32768)
            client.call(UNARY, message, 100)
            client.call(STREAM, message, 4)
            if i % 3 == 0:
                client.read()
            client.reset() if i % 2 else client.socket.close()
        client = Raw(daemon)
        client.finish(client.call(UNARY, message, 10))
        eq(daemon.workers(), worker)
        fds = f"/proc/{worker[0]}/fd"
        wait_for("connections to go", lambda: sum(
            os.readlink(f"{fds}/{fd}").startswith("socket:") for fd in os.listdir(fds)) < 10)


# --- retiring ---------------------------------------------------------------------------------------------------------

class Steady:
    """Threads that call without pause over connections that they keep."""

    def __init__(self, daemon, count=4):
        self.stopping, self.ok, self.failures = threading.Event(), [0] * count, []
        self.threads = [threading.Thread(target=self.run, args=(i, daemon.channel()), daemon=True)
                        for i in range(count)]

    def run(self, i, channel):
        unary, tokens = channel.unary_unary(UNARY), channel.unary_stream(STREAM)
        while not self.stopping.is_set():
            text = f"{i}-{self.ok[i]}"
            request = llm_pb2.LLMRequest(prompt=text).SerializeToString()
            try:
                if self.ok[i] % 10:
                    eq(unary_texts([[unary(request, timeout=20)]]), ["Echo: " + text])
                else:
                    eq(len(list(tokens(request, timeout=20))), 10)
                self.ok[i] += 1
            except (grpc.RpcError, AssertionError) as e:
                self.failures.append(str(e))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)


@test
def a_retired_worker_loses_nothing_and_goes_soon():
    for writes in BOTH:
        with Brickd(ECHO, extra=quiet(writes)) as daemon:
            slowest = 0
            with Steady(daemon) as clients:
                wait_for("calls", lambda: min(clients.ok) > 20)
                for _ in range(RELOADS):
                    daemon.ctl("reload")
                    start = time.monotonic()
                    wait_for("the old worker to go", lambda: len(daemon.workers()) == 1)
                    slowest = max(slowest, time.monotonic() - start)
            print(f"# {writes}: {RELOADS} reloads, {sum(clients.ok)} calls, {len(clients.failures)} lost; "
                  f"the slowest old worker went after {slowest * 1000:.0f} ms")
            eq(clients.failures, [])
            assert slowest < 5, slowest


@test
def an_idle_client_is_told_and_a_deaf_one_is_served():
    with Brickd(ECHO, extra=quiet("gather", "drain: { retire: 2s }")) as daemon:
        message = llm_pb2.LLMRequest(prompt="x").SerializeToString()
        polite, deaf = Raw(daemon), Raw(daemon)
        for client in (polite, deaf):
            client.finish(client.call(UNARY, message))
        old = daemon.workers()
        daemon.ctl("reload")
        for client in (polite, deaf):
            while not client.goaways:
                assert client.read()
            eq(client.goaways, [(WIDE_OPEN, 0)])
        polite.socket.close()
        for _ in range(5):
            eq(unary_texts(deaf.finish(deaf.call(UNARY, message, 20))), ["Echo: x"] * 20)
        assert set(old) & set(daemon.workers())
        wait_for("the old worker to go", lambda: not set(old) & set(daemon.workers()), 10)


main()
