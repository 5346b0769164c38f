# SPDX-License-Identifier: MIT
"""Attacks on one worker with the default limits. Each is given a bound on the worker's memory; meanwhile another client's
calls must all be answered, within a bound, and afterwards so must a new connection's.

By hand: ATTACK_SECONDS=10 ATTACK_CONNECTIONS=20000 python3 test_attacks.py BUILD_DIR [NAME...] prints what each one did.
"""
import functools
import json
import os
import random
import resource
import threading
import time
import zlib

import grpc

import attacks
from attacks import CONNECTIONS, MIB, SECONDS, for_a_while, together
from harness import (BUILD, Brickd, call, eq, free_port, generate_stubs, main, path, temp_dir, test,
                     wait_for)
from http2 import (ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM,
                   SETTINGS, SETTINGS_FRAME, WINDOW_UPDATE, Connection, frame, header, message, request)
from pki import Authority

generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402

STREAMS = 1000  # limits.streams

ECHO = os.path.join(BUILD, "src", "bricks", "echo.so")
SLOW = path("Translate", "Unary")  # a minute each
BRICKS = f"  - {{ name: slow, module: {ECHO}, options: {{ type: Translate, delay: 60s }} }}\n" + "".join(f"  - {{ name: {kind.lower()}, module: {ECHO}, options: {{ type: {kind}{more} }} }}\n"
                 for kind, more in (("LLM", ", tokens: 1000000, size: 4KiB"), ("Common", ""), ("Compose", "")))
UNARY = path("LLM", "Unary")
HELLO = message(llm_pb2.LLMRequest(prompt="hello").SerializeToString())
REQUEST = request(UNARY)


class Stage(attacks.Stage):
    PATH = UNARY

    def start(self):
        authority, self.tls_port, self.unix_path = Authority(temp_dir() + "/ca"), free_port(), temp_dir() + "/socket"
        authority.issue("server")
        daemon = Brickd(BRICKS, extra="log: { access: off }", port_extra=f"""\
    limits: {{ connections: {max(10000, CONNECTIONS)} }}
  - listen: "127.0.0.1:{self.tls_port}"
    tls: {{ certificate: {authority.path("server.pem")}, key: {{ file: {authority.path("server.key")} }} }}
  - listen: 'unix:{self.unix_path}'""").start()
        self.port = daemon.port
        return daemon

    def is_answered(self):
        with grpc.insecure_channel(self.daemon.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            return call(channel, UNARY)[1] == "OK"

    def in_flight(self, brick):
        status = json.loads(self.daemon.ctl("status", "--json").stdout)
        return sum(b["in_flight"] for b in status["bricks"] if b["name"] == brick)


stage = functools.cache(Stage)
attack = attacks.attacks_on(stage)
ACKNOWLEDGED = PREFACE + SETTINGS_FRAME + frame(SETTINGS, ACK)


def flood(s, make, count=4, preface=ACKNOWLEDGED, tls=False):
    """So many connections that send, for a while, what make(n) gives for the n-th time, and read what comes, but not through
    TLS; a connection that is closed is made again. How many were."""
    closed = []

    def connect():
        return Connection(s.tls_port, preface=preface, tls=True) if tls else Connection(s.port, preface=preface).read_all()

    def run(i):
        connection, serial = connect(), 0

        def step():
            nonlocal connection, serial
            if not connection.send(make(serial)):
                closed.append(i)
                connection.close()
                connection, serial = connect(), -1
            serial += 1
            return True
        for_a_while(step)
        connection.close()
    together(count, run)
    return f"{len(closed)} connections closed"


def streams(serial, make, batch=100):
    """What make(stream) gives for a batch of streams that have not been used yet."""
    return b"".join(make(1 + 2 * i) for i in range(serial * batch, (serial + 1) * batch))


# --- calls that are more than they look -------------------------------------------------------------------------------

@attack(20 * MIB)
def gzip_bombs(s):
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = b"".join(bomb.compress(bytes(MIB)) for _ in range(50)) + bomb.flush()
    assert len(data) < 60000
    block = request(UNARY, (b"grpc-encoding", b"gzip"))
    held = [Connection(s.port) for _ in range(20)]
    for connection in held:
        payload = message(data, compressed=1)
        connection.send(frame(HEADERS, END_HEADERS, 1, block) +
                        b"".join(frame(DATA, 0, 1, payload[i:i + 16384]) for i in range(0, len(payload), 16384)) +
                        frame(DATA, END_STREAM, 1))
    time.sleep(SECONDS)
    for connection in held:
        connection.close()
    return "20 of 50 MiB each"


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def calls(s, full, payload, count=8):
    """So many clients that call with the payload for a while; the statuses they get."""
    statuses = set()

    def run(_):
        with grpc.insecure_channel(s.daemon.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            for_a_while(lambda: statuses.add(call(channel, full, payload)[1]) is None)
    together(count, run)
    return statuses


@attack(20 * MIB)
def deep_nesting(s):
    body = b""
    while len(body) < 60000:  # a list in a list in a list
        body = b"\x32" + varint(len(body)) + body
        body = b"\x0a" + varint(len(body)) + body
    entry = b"\x0a\x01k\x12" + varint(len(body)) + body
    fields = b"\x0a" + varint(len(entry)) + entry
    eq(calls(s, path("Common", "Unary"), b"\x0a" + varint(len(fields)) + fields), {"UNKNOWN"})


@attack(20 * MIB)
def text_that_is_not_utf_8(s):
    eq(calls(s, UNARY, b"\x12\x04\xff\xfe\xc0\x80"), {"UNKNOWN"})


# --- floods of frames -------------------------------------------------------------------------------------------------

@attack(40 * MIB)
def huge_headers(s):
    def make(serial):
        if serial == 0:
            return frame(HEADERS, 0, 1, REQUEST)
        return frame(CONTINUATION, 0, 1, header(b"x-%d" % serial, b"v" * 16000))
    return flood(s, make)


@attack(40 * MIB)
def huge_headers_through_tls(s):
    return flood(s, lambda n: frame(CONTINUATION if n else HEADERS, 0, 1, header(b"x-%d" % n, b"v" * 16000)), tls=True)


@attack(40 * MIB)
def headers_in_a_frame_of_many_megabytes(s):
    head = frame(HEADERS, 0, 1)
    return flood(s, lambda n: b"\xff\xff\xff" + head[3:] if n == 0 else header(b"x", b"v" * 16000))


@attack(40 * MIB)
def continuations_without_end(s):
    empty = frame(CONTINUATION, 0, 1) * 1000
    return flood(s, lambda n: empty if n else frame(HEADERS, 0, 1, REQUEST))


@attack(60 * MIB)
def headers_that_grow_when_unpacked(s):
    # One header of 4000 bytes in the table, named again and again by one byte.
    def make(serial):
        block = REQUEST + (header(b"x", b"v" * 4000, indexed=True) if serial == 0 else b"") + b"\xbe" * 8000
        return frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * serial, block)
    return flood(s, make)


@attack(40 * MIB)
def rapid_reset(s):
    def one(stream):
        return frame(HEADERS, END_HEADERS, stream, REQUEST) + frame(RST_STREAM, 0, stream, CANCEL)
    return flood(s, lambda n: streams(n, one))


@attack(40 * MIB)
def rapid_reset_through_tls(s):
    def one(stream):
        return frame(HEADERS, END_HEADERS, stream, REQUEST) + frame(RST_STREAM, 0, stream, CANCEL)
    return flood(s, lambda n: streams(n, one), tls=True)


@attack(40 * MIB)
def rapid_reset_of_whole_calls(s):
    def one(stream):
        return (frame(HEADERS, END_HEADERS, stream, REQUEST) + frame(DATA, END_STREAM, stream, HELLO) +
                frame(RST_STREAM, 0, stream, CANCEL))
    return flood(s, lambda n: streams(n, one))


@attack(60 * MIB)
def resets_that_brickd_is_made_to_send(s):
    def one(stream):  # a window that grows by nothing is an error of the stream
        return (frame(HEADERS, END_HEADERS, stream, REQUEST) + frame(WINDOW_UPDATE, 0, stream, bytes(4)))
    return flood(s, lambda n: streams(n, one))


@attack(40 * MIB)
def more_streams_than_allowed(s):
    # Three connections, of which each is closed at one more than limits.streams: until then each stream costs 12 KiB, as it
    # may. They have them for certain, on a slow machine as well; then they go on as others do.
    def one(stream):
        return frame(HEADERS, END_HEADERS, stream, REQUEST)
    full = [Connection(s.port, preface=ACKNOWLEDGED) for _ in range(3)]
    for connection in full:
        connection.send(streams(0, one, STREAMS + 1))
    eq([connection.is_closed(20) for connection in full], [True] * 3, "closed")
    return flood(s, lambda n: streams(n, one), count=3)


@attack(40 * MIB)
def calls_before_the_settings_are_acknowledged(s):
    # The core holds a client to its settings only once it has said that it knows them.
    return flood(s, lambda n: streams(n, lambda stream: frame(HEADERS, END_HEADERS, stream, REQUEST)),
                 preface=PREFACE + SETTINGS_FRAME)


@attack(40 * MIB)
def pings(s):
    data = frame(PING, 0, 0, b"attacked") * 1000
    return flood(s, lambda n: data)


@attack(40 * MIB)
def settings(s):
    data = SETTINGS_FRAME * 1000
    return flood(s, lambda n: data)


@attack(40 * MIB)
def other_small_frames(s):
    data = (frame(PRIORITY, 0, 3, bytes(4) + b"\1") + frame(0x55, 0, 0) + frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") +
            frame(PING, ACK, 0, bytes(8)) + frame(SETTINGS, ACK)) * 200
    return flood(s, lambda n: data)


@attack(40 * MIB)
def empty_pieces_of_a_body(s):
    empty = frame(DATA, 0, 1) * 1000
    return flood(s, lambda n: empty if n else frame(HEADERS, END_HEADERS, 1, REQUEST))


@attack(40 * MIB)
def replies_to_settings_and_pings_that_nobody_reads(s):
    held = [Connection(s.port, receive_buffer=4096) for _ in range(20)]
    data = (SETTINGS_FRAME + frame(PING, 0, 0, bytes(8))) * 500
    for connection in held:
        connection.socket.settimeout(0.05)

    def run(i):
        for_a_while(held[i].send, data)
    together(len(held), run)
    time.sleep(SECONDS)
    for connection in held:
        connection.close()


# --- slowness ---------------------------------------------------------------------------------------------------------

@attack(30 * MIB)
def slow_beginnings(s):
    held = [Connection(s.port, preface=b"") for _ in range(100)]
    held += [Connection(s.port, preface=PREFACE[:5]) for _ in range(100)]
    for_a_while(lambda: all(connection.send(b" ") or True for connection in held[:100]) and time.sleep(0.05) is None)
    for connection in held:
        connection.close()


@attack(30 * MIB)
def slow_headers_and_bodies(s):
    held = [Connection(s.port) for _ in range(200)]
    for i, connection in enumerate(held):
        connection.send(frame(HEADERS, 0, 1, REQUEST) if i % 2 else
                        frame(HEADERS, END_HEADERS, 1, REQUEST) + frame(DATA, 0, 1, HELLO[:6]))

    def step():
        for i, connection in enumerate(held):
            connection.send(frame(CONTINUATION, 0, 1, b"") if i % 2 else frame(DATA, 0, 1, b"x"))
        time.sleep(0.1)
        return True
    for_a_while(step)
    for connection in held:
        connection.close()


@attack(100 * MIB)
def clients_that_never_read(s):
    block = request(path("LLM", "OutputStreaming"))
    held = [Connection(s.port, receive_buffer=4096) for _ in range(50)]
    for connection in held:
        connection.send(b"".join(frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, HELLO)
                                 for stream in range(1, 40, 2)))
    time.sleep(SECONDS)
    for connection in held:
        connection.close()
    return "1000 streams"


@attack(100 * MIB)
def clients_that_never_end_their_requests(s):
    block = request(path("Common", "BidiStreaming"))
    held = [Connection(s.port).read_all() for _ in range(10)]
    for connection in held:
        connection.send(b"".join(frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, 0, stream, message(b""))
                                 for stream in range(1, 600, 2)))
    time.sleep(SECONDS)
    for connection in held:
        connection.close()
    return "3000 streams"


def requests_that_never_end(s, *args, **kwargs):
    """150 of 4 MiB on one connection, and all but the last byte comes."""
    body = message(bytes(4 * MIB))[:-1]
    connection = Connection(*args, preface=ACKNOWLEDGED, **kwargs)
    if not kwargs.get("tls"):
        connection.read_all()
    for stream in range(1, 301, 2):
        connection.send(frame(HEADERS, END_HEADERS, stream, REQUEST))
        if not all(connection.send(frame(DATA, 0, stream, body[i:i + 16384])) for i in range(0, len(body), 16384)):
            break
    closed = connection.is_closed(5)
    connection.close()
    return f"closed: {closed}, at request {stream // 2 + 1}"


@attack(120 * MIB)
def requests_of_which_the_last_byte_is_missing(s):
    return requests_that_never_end(s, s.port)


@attack(120 * MIB)
def requests_of_which_the_last_byte_is_missing_through_tls(s):
    return requests_that_never_end(s, s.tls_port, tls=True)


@attack(450 * MIB)
def unfinished_requests_on_many_connections(s):
    body = message(bytes(4 * MIB))[:-1]
    held = [Connection(s.port, preface=ACKNOWLEDGED, source=f"127.8.{i % 50}.1").read_all() for i in range(40)]

    def run(i):
        for connection in held[i::4]:
            for stream in range(1, 9, 2):
                connection.send(frame(HEADERS, END_HEADERS, stream, REQUEST) +
                                b"".join(frame(DATA, 0, stream, body[k:k + 16384]) for k in range(0, len(body), 16384)))
    together(4, run)
    for connection in held:
        connection.close()
    return "160 of 4 MiB on 40 connections"


# --- connections ------------------------------------------------------------------------------------------------------

@attack(CONNECTIONS * 40 * 1024 + 20 * MIB)
def many_connections(s):
    # At most so many of one address are let in; 127.0.0.1 is the other client's.
    held = [Connection(s.port, source=f"127.1.{i // 500}.1") for i in range(CONNECTIONS)]
    time.sleep(SECONDS)
    open_now = sum(not c.is_closed(0.001) for c in held[::50])
    for connection in held:
        connection.close()
    eq(open_now, len(held[::50]), "still open")
    return f"{CONNECTIONS} connections"


@attack(80 * MIB)
def many_connections_of_one_address(s):
    held = [Connection(s.port, source="127.2.0.1", preface=b"") for _ in range(1200)]
    closed = sum(connection.is_closed(20 if i == 0 else 0.001) for i, connection in enumerate(reversed(held)))
    for connection in held:
        connection.close()
    assert closed >= 200, closed
    return f"{closed} of 1200 refused"


@attack(40 * MIB)
def connecting_and_leaving(s):
    def step():
        try:
            Connection(s.port, source="127.3.0.1", preface=random.choice((b"", PREFACE, PREFACE + SETTINGS_FRAME))).close()
        except OSError:
            pass
        return True
    return f"{for_a_while(step)} connections"


@attack(40 * MIB)
def no_descriptors_left(s):
    saved = resource.prlimit(s.worker, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{s.worker}/fd"))
    resource.prlimit(s.worker, resource.RLIMIT_NOFILE, (used + 20, saved[1]))
    try:
        held = [Connection(s.port, source="127.4.0.1") for _ in range(100)]
        time.sleep(SECONDS / 2)
        for connection in held:
            connection.close()
    finally:
        resource.prlimit(s.worker, resource.RLIMIT_NOFILE, saved)


# --- clients that leave ------------------------------------------------------------------------------------------------

def bad_call(stream):
    """Its message begins with what is no length: the answer is a reset."""
    return frame(HEADERS, END_HEADERS, stream, REQUEST) + frame(DATA, 0, stream, b"\2\0\0\0\5hello")


def slow_call(stream):
    return frame(HEADERS, END_HEADERS, stream, request(SLOW)) + frame(DATA, END_STREAM, stream, message(b""))


def descriptors(s):
    return len(os.listdir(f"/proc/{s.worker}/fd"))


def ghosts(s, *args, **kwargs):
    """Clients whose calls have been begun, and who leave with a reset: nothing of theirs stays."""
    before = descriptors(s)
    for calls in ([slow_call] * 50, [slow_call] * 20 + [bad_call] * 980, [bad_call] * 1000):
        data = b"".join(one(1 + 2 * i) for i, one in enumerate(calls))
        held = [Connection(*args, preface=ACKNOWLEDGED, **kwargs).taken() for _ in range(20)]
        senders = [threading.Thread(target=c.send, args=(data,)) for c in held]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(20)
        for connection in held:
            connection.reset()
        wait_for("the connections to go", lambda: descriptors(s) <= before + 2, 20)
        wait_for("the calls to go", lambda: s.in_flight("slow") == 0, 20)


@attack(60 * MIB)
def clients_that_leave_calls_behind(s):
    ghosts(s, s.port)


@attack(60 * MIB)
def clients_that_leave_calls_behind_through_tls(s):
    ghosts(s, s.tls_port, tls=True)


@attack(60 * MIB)
def clients_that_leave_calls_behind_on_a_unix_socket(s):
    ghosts(s, s.unix_path)


@attack(150 * MIB)
def hit_and_run(s):
    data = b"".join(bad_call(1 + 2 * i) for i in range(20000))
    before = descriptors(s)

    def run(_):
        def step():
            connection = Connection(s.port, preface=ACKNOWLEDGED).read_all()
            connection.send(data)
            connection.reset()
            return True
        for_a_while(step)
    together(4, run)
    wait_for("the connections to go", lambda: descriptors(s) <= before + 2, 20)


# --- nonsense ---------------------------------------------------------------------------------------------------------

@attack(40 * MIB)
def what_is_not_http_2(s):
    rng = random.Random(1)
    words = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), b"\0" * 1000]

    def step():
        connection = Connection(s.port, source="127.5.0.1", preface=rng.choice(words + [rng.randbytes(300)]))
        connection.taken().close()
        return True
    return f"{for_a_while(step)} connections"


def random_frames(rng):
    """Mostly well-formed frames that make a call, with something wrong here and there."""
    out = bytearray(PREFACE + SETTINGS_FRAME)
    for _ in range(rng.randrange(1, 30)):
        stream = rng.choice((0, 1, 1, 3, 5, 2, rng.getrandbits(31)))
        kind = rng.choice((DATA, HEADERS, HEADERS, DATA, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, PRIORITY,
                           5, 7, rng.randrange(256)))
        payload = {DATA: HELLO, HEADERS: REQUEST, CONTINUATION: REQUEST, RST_STREAM: CANCEL, SETTINGS: rng.randbytes(6),
                   PING: bytes(8), WINDOW_UPDATE: rng.randbytes(4)}.get(kind, rng.randbytes(rng.randrange(20)))
        if rng.random() < 0.2:
            payload = payload[:rng.randrange(len(payload) + 1)]
        one = bytearray(frame(kind, rng.choice((0, END_STREAM, END_HEADERS, END_HEADERS | END_STREAM, rng.randrange(256))),
                              stream, payload))
        if rng.random() < 0.3:
            one[rng.randrange(len(one))] = rng.randrange(256)
        out += one
    return bytes(out)


@attack(40 * MIB)
def frames_at_random(s):
    seed = int(os.environ.get("ATTACK_SEED", random.randrange(1 << 30)))

    def run(i):
        rng = random.Random(seed + i)

        def step():
            connection = Connection(s.port, source="127.6.0.1", preface=random_frames(rng))
            if rng.random() < 0.1:
                connection.is_closed(0.01)
            connection.taken().close()
            return True
        for_a_while(step)
    together(2, run)
    return f"ATTACK_SEED={seed}"


@attack(40 * MIB)
def bad_headers(s):
    # A header list above the limit, and base64 that is none, end their own connection at most.
    blocks = [request(UNARY, *((b"x-%d" % i, b"v" * 3000) for i in range(8))), request(UNARY, (b"x-bin", b"!!!")),
              request(UNARY, (b"te", b"x" * 9000)), request(UNARY, (b"UPPER", b"case")), request("/x\0y"),
              header(b":path", b"/x"), request(UNARY, (b"content-length", b"-1")), b"\xff\xff\xff\xff\xff\x7f"]

    def step():
        for block in blocks:
            connection = Connection(s.port, source="127.7.0.1")
            connection.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
            connection.taken().close()
        return True
    for_a_while(step)


# The last one, since what it takes hides what others take: the C library keeps some of it.
@attack(400 * MIB)
def fields_that_grow_when_unpacked(s):
    # Two bytes each, a structure each: eight requests at a time, each of which may take limits.memory.
    statuses = calls(s, path("Compose", "Unary"), b"\x0a\x00" * (2 * MIB - 1000))
    assert statuses <= {"OK", "RESOURCE_EXHAUSTED", "UNKNOWN"}, statuses
    return " ".join(statuses)


@test
def nothing_is_left_of_it_all():
    stage().end()


main()
