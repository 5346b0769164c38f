# SPDX-License-Identifier: MIT
"""The limits of a port, as a client meets them."""
import os
import socket
import struct
import threading
import time

import grpc

from harness import BUILD, Brickd, Stopwatch, call, eq, generate_stubs, main, path, temp_dir, test, wait_for

from http2 import (ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS,
                   SETTINGS_FRAME, WINDOW_UPDATE, Connection, frame, header, message, request)
from pki import Authority

generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402

ECHO = "  - { name: echo, module: " + os.path.join(BUILD, "src", "bricks") + "/echo.so, options: { type: LLM } }\n"
HELLO = llm_pb2.LLMRequest(prompt="hello").SerializeToString()
UNARY = path("LLM", "Unary")
MIB = 1 << 20


def daemon(limits, more=""):
    return Brickd(ECHO, extra="log: { access: off }", port_extra=f"    limits: {limits}\n{more}")


def connect(address, source="127.0.0.1"):
    return socket.create_connection(address, timeout=5, source_address=(source, 0))


def is_closed(s):
    """What a client without a word finds: brickd's settings, or nothing more."""
    s.settimeout(5)
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


@test
def connections_of_a_port_are_bounded():
    with daemon("{ connections: 4 }") as d:
        held = [connect(("127.0.0.1", d.port), f"127.0.0.{i + 1}") for i in range(4)]
        assert not any(is_closed(s) for s in held)
        assert is_closed(connect(("127.0.0.1", d.port)))
        wait_for("a line in the log", lambda: "limits.connections allows" in d.log(), 20)
        held.pop().close()
        wait_for("room", lambda: not is_closed(connect(("127.0.0.1", d.port))), 20)


@test
def a_timeout_of_any_length():
    """Some of these are a little less than a multiple of 2^64 nanoseconds. The brick's own timeout is in force beside all."""
    timeouts = b"35868669H", b"10248191H", b"5124095H", b"5124096H", b"99999999H", b"99999999M", b"99999999S", b"99999999m"
    echo = ECHO.replace("LLM", "LLM, delay: 1m").replace("name: echo,", "name: echo, limits: { timeout: 300ms },")
    with Brickd(echo, extra="log: { access: all }") as d:
        connections = [Connection(d.port) for _ in timeouts]
        for connection, timeout in zip(connections, timeouts):
            connection.send(frame(HEADERS, END_HEADERS, 1, request(UNARY, (b"grpc-timeout", timeout)))
                            + frame(DATA, END_STREAM, 1, message(HELLO)))
        wait_for("the ends of the calls", lambda: d.log().count("rpc_status=DEADLINE_EXCEEDED") == len(timeouts), 20)


@test
def connections_of_an_address_are_bounded():
    with daemon("{ connections_per_address: 2 }") as d:
        held = [connect(("127.0.0.1", d.port), "127.0.0.2") for _ in range(2)]
        assert not any(is_closed(s) for s in held)
        assert is_closed(connect(("127.0.0.1", d.port), "127.0.0.2"))
        wait_for("a line in the log", lambda: "connections_per_address" in d.log(), 20)
        d.says("of 127.0.0.2 to 127.0.0.1")
        eq(call(d.channel(), UNARY, HELLO)[1], "OK", "another address")


@test
def compressed_requests_are_an_option():
    request = llm_pb2.LLMRequest(prompt="hello " * 1000).SerializeToString()
    for more, expected in (("", "UNIMPLEMENTED"), ("    compression: gzip", "OK")):
        with daemon("{}", more) as d:
            try:
                reply = d.channel().unary_unary(UNARY)(request, timeout=10, compression=grpc.Compression.Gzip)
                assert llm_pb2.LLMResponse.FromString(reply).text == "Echo: " + "hello " * 1000
                status = "OK"
            except grpc.RpcError as e:
                status = e.code().name
            eq(status, expected, more)
            eq(call(d.channel(), UNARY, request)[1], "OK", "plain")


@test
def the_age_of_connections_loses_no_call():
    with daemon("{ age: 50ms, age_grace: 5s }") as d:
        accepted, results, end = set(), [], time.monotonic() + 30

        def run():
            channel = d.channel()
            while (len(results) <= 200 or len(accepted) <= 40) and time.monotonic() < end:
                results.append(call(channel, UNARY, HELLO)[1:3])

        threads = [threading.Thread(target=run) for _ in range(4)]
        for t in threads:
            t.start()
        while any(t.is_alive() for t in threads):
            with open(f"/proc/{d.workers()[0]}/net/tcp") as f:
                accepted |= {line.split()[2] for line in f if line.split()[1].endswith(f":{d.port:04X}")}
            time.sleep(0.02)
        print(f"# {len(results)} calls over at least {len(accepted)} connections")
        eq([result for result in results if result[0] != "OK"], [])
        assert len(results) > 200 and len(accepted) > 40, (len(results), len(accepted))


@test
def the_grace_of_an_old_connection_ends():
    common = ECHO.replace("echo,", "common,").replace("LLM", "Common")
    with Brickd(common, port_extra="    limits: { age: 100ms, age_grace: 300ms }") as d:
        watch = Stopwatch()
        rpc = d.channel().stream_stream(path("Common", "BidiStreaming"))
        stop = threading.Event()
        stream = rpc(iter(lambda: stop.wait(0.05) and None or b"", None), timeout=10)
        try:
            for _ in stream:
                pass
        except grpc.RpcError as e:
            eq(e.code().name, "UNAVAILABLE", e.details())
        stop.set()
        took = watch.elapsed()
        assert 0.3 < took.seconds and took.running < 3, took


@test
def an_idle_connection_is_closed():
    with daemon("{ idle: 300ms }") as d:
        channel = d.channel()
        states = []
        channel.subscribe(states.append)
        for _ in range(2):
            eq(call(channel, UNARY, HELLO)[1], "OK")
            del states[:]
            wait_for("the end of the connection", lambda: grpc.ChannelConnectivity.IDLE in states, 20)


@test
def a_handshake_has_its_time():
    with daemon("{ handshake: 1s }") as d:
        watch = Stopwatch()
        s = connect(("127.0.0.1", d.port))
        s.settimeout(10)
        while s.recv(1000):
            pass
        took = watch.elapsed()
        assert 0.5 < took.seconds and took.running < 5, took


@test
def a_dead_connection_is_found():
    with daemon("{ keepalive: { time: 1s, timeout: 1s } }") as d:
        watch = Stopwatch()
        s = connect(("127.0.0.1", d.port))
        s.settimeout(10)
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5))  # settings, then silence
        while s.recv(1000):
            pass
        took = watch.elapsed()
        assert 1.5 < took.seconds and took.running < 6, took


def headers_without_end(c):
    c.send(frame(HEADERS, 0, 1, request(UNARY)))
    while c.send(frame(CONTINUATION, 0, 1, header(b"x", b"v" * 1000))):
        pass


def one_by_one(c, what):
    for i in range(300):
        c.send(what(1 + 2 * i))


def calls_and_resets(c):
    c.send(frame(SETTINGS, ACK))
    one_by_one(c, lambda stream: frame(HEADERS, END_HEADERS, stream, request(UNARY)) + frame(RST_STREAM, 0, stream, CANCEL))


def calls_without_settings(c):
    one_by_one(c, lambda stream: frame(HEADERS, END_HEADERS, stream, request(UNARY)))


def begin_request(c, stream, size, sent, method=UNARY, headers=()):
    """A call whose message of so many bytes does not come to its end."""
    body = struct.pack(">BI", 0, size) + bytes(min(sent, size - 1))
    return c.send(frame(HEADERS, END_HEADERS, stream, request(method, *headers)) +
                  b"".join(frame(DATA, 0, stream, body[i:i + 16384]) for i in range(0, len(body), 16384)))


def wait_for_window(c, stream):
    """Until the stream has room for its message. The core resets a stream that sends more, and then it holds nothing."""
    granted, data = struct.pack(">I", 4)[1:] + bytes([WINDOW_UPDATE, 0]) + struct.pack(">I", stream), b""
    while granted not in data:
        piece = c.socket.recv(1 << 16)
        assert piece, "closed"
        data += piece


def requests_without_end(c):
    c.send(frame(SETTINGS, ACK))
    for stream in 1, 3, 5, 7, 9:  # each may be as large as limits.request says
        begin_request(c, stream, MIB, 1000)
        wait_for_window(c, stream)
        c.send(b"".join(frame(DATA, 0, stream, bytes(16384)) for _ in range(63)))


def a_slow_request(c):
    c.send(frame(SETTINGS, ACK))
    begin_request(c, 1, 1000, 1)


def no_message(c):
    c.send(frame(SETTINGS, ACK) + frame(HEADERS, END_HEADERS, 1, request(UNARY)) + frame(DATA, 0, 1, b"\2\0\0\0\5hello"))


def what_is_sent_has_limits(more, tls):
    for attack, why in ((headers_without_end, "headers far above limits.metadata"),
                        (calls_and_resets, "faster than limits.resets"),
                        (calls_without_settings, "before acknowledging SETTINGS"),
                        (requests_without_end, "larger than limits.unfinished"),
                        (a_slow_request, "within limits.request_time"),
                        (no_message, "like no gRPC message")):
        slow = "1s" if attack is a_slow_request else "20s"  # a busy machine may need more than 1 s to send the others
        with daemon(f"{{ resets: 100, request: 1MiB, unfinished: 4MiB, request_time: {slow} }}", more) as d:
            c = Connection(d.port, preface=PREFACE + SETTINGS_FRAME, tls=tls)
            attack(c)
            assert c.is_closed(20), why
            wait_for(f"'{why}' in the log", lambda: "Closed a connection of 127.0.0.1" in d.log() and why in d.log(), 20)


@test
def what_is_sent_in_plain_text_has_limits():
    what_is_sent_has_limits("", False)


@test
def what_is_sent_through_tls_has_limits():
    authority = Authority(temp_dir() + "/ca")
    authority.issue("server")
    what_is_sent_has_limits(f"    tls: {{ certificate: {authority.path('server.pem')}, "
                            f"key: {{ file: {authority.path('server.key')} }} }}", True)


@test
def requests_that_end_have_no_limit_together():
    with daemon("{ request: 1MiB, unfinished: 2MiB, request_time: 1s }") as d:
        channel = d.channel()
        prompt = llm_pb2.LLMRequest(prompt="x" * 900000).SerializeToString()
        for _ in range(2):
            begun = [channel.unary_unary(UNARY).future(prompt, timeout=20) for _ in range(2)]
            for one in begun:
                one.result()
            time.sleep(1)
        assert "Closed" not in d.whole_log(), d.log()


@test
def requests_that_brickd_refuses_do_not_count():
    """A client stops in the middle of a message when its call is over. That leaves nothing unfinished."""
    bidi = path("Common", "BidiStreaming")
    bricks = ECHO + ECHO.replace("name: echo", "name: common").replace("LLM", "Common")
    limits = "    limits: { request: 1MiB, unfinished: 2MiB, request_time: 1s }\n"
    with Brickd(bricks, extra="log: { access: off }", port_extra=limits) as d:
        c = Connection(d.port).read_all()
        c.send(frame(SETTINGS, ACK))
        for i in range(20):
            assert begin_request(c, 1 + 2 * i, MIB, 60000, bidi, [(b"x-brick", b"nobody")]), d.log()
            time.sleep(0.05)
            assert c.send(frame(DATA, 0, 1 + 2 * i, b"what was on its way")), d.log()
        time.sleep(2.5)
        assert c.send(frame(HEADERS, END_HEADERS, 99, request(UNARY)) + frame(DATA, END_STREAM, 99, bytes(5)))
        assert "Closed" not in d.whole_log(), d.log()


@test
def unfinished_requests_of_all_connections_have_a_limit():
    with Brickd(ECHO, extra="log: { access: off }\nmemory: 16MiB") as d:
        modest, greedy = Connection(d.port).read_all(), [Connection(d.port).read_all() for _ in range(3)]
        modest.send(frame(SETTINGS, ACK))
        begin_request(modest, 1, MIB, MIB)
        for c in greedy:
            c.send(frame(SETTINGS, ACK))
            begin_request(c, 1, 3 * MIB, 3 * MIB)
        wait_for("the greediest to be closed", lambda: "use up 'memory'" in d.log(), 20)
        eq(call(d.channel(), UNARY, HELLO)[1], "OK", "another client")
        assert modest.send(frame(DATA, END_STREAM, 1, b"\0")), d.log()


@test
def calls_wait_for_the_next_second():
    """What is read at once may begin up to 64 calls more than the limit: 190 calls need three seconds, one of them whole."""
    calls = 190
    with daemon("{ calls: 20 }") as d:
        c = Connection(d.port)
        c.send(frame(SETTINGS, ACK))
        time.sleep(0.2)
        watch = Stopwatch()
        for i in range(calls):
            c.send(frame(HEADERS, END_HEADERS, 1 + 2 * i, request(UNARY)) +
                   frame(DATA, END_STREAM, 1 + 2 * i, struct.pack(">BI", 0, len(HELLO)) + HELLO))
        c.socket.settimeout(10)
        received = b""
        while received.count(b"Echo: hello") < calls:
            got = c.socket.recv(1 << 16)
            assert got, "the connection is over"
            received += got
        took = watch.elapsed()
        assert 0.9 < took.seconds and took.running < 15, took


@test
def nothing_is_read_of_who_does_not_read():
    bricks = ECHO.replace("type: LLM", "type: LLM, size: 256KiB")
    window = struct.pack(">I", 2 ** 31 - 1 - 65535)
    with Brickd(bricks, extra="log: { access: off }") as d:
        worker = d.workers()[0]
        c = Connection(d.port, receive_buffer=4096,
                       preface=PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2 ** 31 - 1)) + frame(SETTINGS, ACK) +
                       frame(WINDOW_UPDATE, 0, 0, window))
        body = struct.pack(">BI", 0, len(HELLO)) + HELLO
        c.send(b"".join(frame(HEADERS, END_HEADERS, 1 + 2 * i, request(UNARY)) + frame(DATA, END_STREAM, 1 + 2 * i, body)
                        for i in range(900)))
        time.sleep(1)
        with open(f"/proc/{worker}/status") as f:
            peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))
        print(f"# the worker's peak is {peak >> 10} MiB, where all replies are 225 MiB")
        assert peak < 150 << 10 or os.environ.get("ASAN_OPTIONS"), peak
        eq(call(d.channel(), UNARY, HELLO)[1], "OK", "another client")
        c.socket.settimeout(5)
        rest = 0
        while rest < 8 * MIB:  # more than the kernel keeps: it goes on when it reads
            got = len(c.socket.recv(1 << 20))
            assert got, "the connection is over"
            rest += got


@test
def streams_that_are_cancelled_at_once_leave_nothing():
    headers, message = request(path("LLM", "OutputStreaming")), bytes(1) + struct.pack(">I", len(HELLO)) + HELLO
    with daemon("{ resets: 1000 }") as d:
        c = Connection(d.port)
        c.read_all()
        c.send(frame(SETTINGS, ACK))
        for stream in range(1, 401, 2):
            c.send(frame(HEADERS, END_HEADERS, stream, headers) + frame(DATA, END_STREAM, stream, message)
                   + frame(RST_STREAM, 0, stream, CANCEL))
        eq(call(d.channel(), UNARY, HELLO)[1], "OK", "another client")
        status, took = d.stop()
        eq(status, 0)
        assert took.running < 5 and "killed" not in d.log(), (took, d.log())


@test
def a_client_that_does_not_read_holds_up_no_stop():
    address = temp_dir() + "/socket"
    with daemon("{}", f"  - listen: unix:{address}\n") as d:
        s = socket.socket(socket.AF_UNIX)
        s.connect(address)
        s.settimeout(0.5)
        try:
            s.sendall(PREFACE + SETTINGS_FRAME + frame(SETTINGS) * 100000)  # until brickd cannot acknowledge more
            raise AssertionError("brickd takes whatever comes")
        except TimeoutError:
            pass
        status, took = d.stop()
        eq(status, 0)
        assert took.running < 5, took
        assert "killed" not in d.log(), d.log()


main()
