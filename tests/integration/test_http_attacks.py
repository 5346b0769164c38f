# SPDX-License-Identifier: MIT
"""Attacks on a port for HTTP with the default limits. Each is given a bound on the worker's memory; meanwhile another
client's calls must all be answered, within a bound, and afterwards so must a new connection's.

By hand: ATTACK_SECONDS=10 ATTACK_CONNECTIONS=20000 python3 test_http_attacks.py BUILD_DIR [NAME...] prints what each did.
"""
import contextlib
import functools
import os
import re
import socket
import ssl
import struct
import subprocess
import time

import attacks
from attacks import CONNECTIONS, MIB, SECONDS, for_a_while, together
from door import CHAT, Door, brick, exchange, get, question, read_all, statuses
from harness import Stopwatch, eq, free_port, main, temp_dir, test, wait_for
from pki import Authority

REQUEST = 4 * MIB  # limits.request
LARGE = "a-flood"  # a brick whose streams never end


def kernel_memory(port):
    """Bytes that the kernel holds for the server's ends of a port's connections."""
    out = subprocess.run(["ss", "-tnmHO", f"sport = :{port}"], capture_output=True, text=True, timeout=20, check=True).stdout
    return sum(int(n) for memory in re.findall(r"skmem:\((.*?)\)", out) for n in re.findall(r"\b[rfw](\d+)", memory))


class Stage(attacks.Stage):
    PATH = CHAT

    def start(self):
        authority, self.tls_port = Authority(temp_dir() + "/ca"), free_port()
        authority.issue("server")
        bricks = (brick().replace("name: chat", "name: chat, default: true")
                  + brick("flood", "tokens: 1000000, size: 4KiB", f", match: {{ model_id: [{LARGE}] }}"))
        self.door = Door(bricks, extra="log: { access: off }", limits=f"{{ connections: {max(10000, CONNECTIONS)} }}",
                         port_extra=f"""\
  - listen: "127.0.0.1:{self.tls_port}"
    protocol: http
    tls: {{ certificate: {authority.path("server.pem")}, key: {{ file: {authority.path("server.key")} }} }}""")
        return self.door.start()

    def is_answered(self):
        return self.door.ask("POST", CHAT, question())[0] == 200

    def connect(self, source="127.0.0.2", receive_buffer=0, tls=False):
        s = socket.socket()
        if receive_buffer:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        s.bind((source, 0))
        s.settimeout(20)
        s.connect(("127.0.0.1", self.tls_port if tls else self.door.port))
        return s


stage = functools.cache(Stage)
attack = attacks.attacks_on(stage)


def send(s, data):
    """Whether the other side took it all."""
    try:
        s.sendall(data)
        return True
    except OSError:
        return False


def flood(s, begin, more, count=4):
    """So many connections that send `begin`, and then `more` for a while; one that ends is made again. The statuses they got."""
    def run(_):
        got = []

        def step():
            with s.connect() as c:
                if send(c, begin):
                    end = time.monotonic() + SECONDS
                    while time.monotonic() < end and send(c, more):
                        pass
                with contextlib.suppress(OSError):
                    c.settimeout(1)
                    got.extend(statuses(c.recv(65536)))
        for_a_while(step)
        return got
    got = sum(together(count, run), [])
    return f"answers {dict((status, got.count(status)) for status in set(got))}"


def post(*fields, body=b"", length=None):
    head = [f"POST {CHAT} HTTP/1.1", "Host: localhost", *fields]
    if length is not None:
        head.append(f"Content-Length: {length}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


CHUNKED = "Transfer-Encoding: chunked"
CLOSE = "Connection: close"

# --- heads and bodies that do not end ---------------------------------------------------------------------------------


@attack(20 * MIB)
def slow_heads_and_bodies(s):
    begins = (b"GET / HTTP/1.1\r\nX: ", post("X: y")[:-2], post(length=1000), post(CHUNKED) + b"3e8\r\n")
    held = [s.connect(f"127.4.{i % 4}.1") for i in range(400)]
    for i, c in enumerate(held):
        c.sendall(begins[i % 4])
    count = for_a_while(lambda: [c.sendall(b"x") for c in held])
    for c in held:
        c.close()
    return f"{len(held)} connections, {count} times a byte"


@attack(20 * MIB)
def heads_without_end(s):
    return flood(s, b"GET / HTTP/1.1\r\n", b"X-Name: value\r\n" * 1000)


@attack(20 * MIB)
def a_line_without_end(s):
    return flood(s, b"GET /", b"a" * 65536)


@attack(20 * MIB)
def empty_lines_before_a_request(s):
    return flood(s, b"", b"\r\n" * 30000)


@attack(20 * MIB)
def chunk_extensions_without_end(s):
    return flood(s, post(CHUNKED) + b"5;", b"name=value;" * 5000)


@attack(20 * MIB)
def trailers_without_end(s):
    return flood(s, post(CHUNKED) + b"0\r\n", b"X-Name: value\r\n" * 5000)


@attack(20 * MIB)
def tiny_chunks(s):
    return flood(s, post(CHUNKED), b"1\r\nx\r\n" * 10000)


@attack(20 * MIB)
def bodies_that_are_too_large(s):
    return flood(s, post(length=1 << 40), b"x" * 65536)


@attack(450 * MIB)
def bodies_of_which_the_last_byte_is_missing(s):
    head, most = post(length=REQUEST), REQUEST - 1
    held = [s.connect(f"127.8.{i % 50}.1") for i in range(160)]

    def run(i):
        sent = 0
        for c in held[i::4]:
            sent += send(c, head + b" " * most)
        return sent
    sent = sum(together(4, run))
    for c in held:
        c.close()
    return f"{sent} of {len(held)} taken"


# --- JSON -------------------------------------------------------------------------------------------------------------


def bomb(inside):
    return ('{"model": "chat", "messages": [{"role": "user", "content": "x"}], "metadata": ' + inside).encode()


BOMBS = {
    "deep lists": (bomb("[" * (REQUEST - 1000)), 400),
    "deep objects": (bomb('{"a":' * 700000), 400),
    "closed deep lists": (bomb("[" * 1000000 + "]" * 1000000 + "}"), 400),
    "wide": (bomb("[" + "{}," * 1300000 + "{}]}"), (200, 400)),
    "names": (bomb("{" + ",".join(f'"{i:x}":0' for i in range(300000)) + "}}"), (200, 400)),
    "the same name": (bomb("{" + '"a":0,' * 600000 + '"a":0}}'), (200, 400)),
    "messages": (question(messages=[{}] * 100000).encode(), 400),
    "empty messages": (question(messages=[{"role": "user", "content": ""}] * 90000).encode(), (200, 400)),
    "parts": (question(messages=[{"role": "user", "content": [{"type": "text", "text": ""}] * 100000}]).encode(), (200, 400)),
    "digits": (question(max_tokens=0).replace('"max_tokens": 0', '"max_tokens": ' + "9" * 4000000).encode(), 400),
    "an exponent": (question(temperature=0).replace('"temperature": 0', '"temperature": 1e' + "9" * 4000000).encode(), 400),
    "escapes": (question().replace("hello", "\\u0001" * 690000).encode(), 200),
    "halves of pairs": (question().replace("hello", "\\ud83d" * 600000).encode(), 200),
    "not UTF-8": (question().encode().replace(b"hello", b"\xff" * 4000000), 400),
    "a NUL": (question().replace("hello", "\\u0000").encode(), 400),
    "stops": (question("a" * 2000000, stop=["a" * 500000 + "b"] * 4).encode(), (200, 400)),
    "two values": (question().encode() * 2, 400),
    "nothing": (b"", 400),
}


@attack(250 * MIB)
def json_bombs(s):
    slowest = {}

    def run(i):
        for name, (body, status) in list(BOMBS.items())[i::3]:
            watch = Stopwatch()
            with s.connect() as c:
                c.sendall(post(CLOSE, length=len(body), body=body))
                got = statuses(read_all(c))
            slowest[name] = watch.elapsed().running
            assert got and (got[0] in status if isinstance(status, tuple) else got == [status]), (name, got)
        return True
    eq(together(3, run), [True] * 3)
    worst = max(slowest, key=slowest.get)
    return f"{len(slowest)} kinds, the slowest is {worst!r}: {slowest[worst] * 1e3:.0f} ms"


# --- requests ---------------------------------------------------------------------------------------------------------


@attack(30 * MIB)
def pipelined_requests_whose_answers_nobody_reads(s):
    body, held = question().encode(), [s.connect(receive_buffer=4096) for _ in range(20)]
    for c in held:
        c.settimeout(0.01)
    many = post(length=len(body), body=body) * 500

    def step():
        for c in held:
            with contextlib.suppress(OSError):
                c.send(many)
    count = for_a_while(step)
    for c in held:
        c.close()
    return f"{count} times 500 on {len(held)} connections"


@attack(60 * MIB)
def readers_that_stall(s):
    body = question(model="flood", stream=True).encode()
    held = [s.connect(f"127.5.{i % 2}.1", receive_buffer=4096) for i in range(300)]
    for c in held:
        c.sendall(post(length=len(body), body=body))
    wait_for("all streams", lambda: s.door.in_flight() >= len(held))
    time.sleep(SECONDS)
    kernel = kernel_memory(s.door.port)
    for c in held:
        c.close()
    wait_for("the end of the streams", lambda: s.door.in_flight() <= 1)
    assert kernel < len(held) * 64 * 1024, kernel
    return f"{len(held)} streams, {kernel / MIB:.0f} MiB of the kernel's memory"


@attack(30 * MIB)
def connecting_asking_and_resetting(s):
    body = question(model="flood", stream=True).encode()
    request = post(length=len(body), body=body)

    def run(_):
        def step():
            with s.connect() as c:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                c.sendall(request)
        return for_a_while(step)
    return f"{sum(together(4, run))} streams"


def smuggled(*fields, body=b"0\r\n\r\n"):
    """A request that hides another one, for /v1/models, from whoever reads it otherwise."""
    return post(*fields, body=body + get("/v1/models"))


# Of each, one answer may come: a second one would be to the request that is hidden in it.
SMUGGLING = {
    "both": smuggled("Content-Length: 5", CHUNKED),
    "both, the other way round": smuggled(CHUNKED, "Content-Length: 5"),
    "two lengths": smuggled("Content-Length: 5", "Content-Length: 0"),
    "a list of lengths": smuggled("Content-Length: 5, 0"),
    "the same length twice": smuggled("Content-Length: 5", "Content-Length: 5"),
    "a signed length": smuggled("Content-Length: +5"),
    "a negative length": smuggled("Content-Length: -1"),
    "a hexadecimal length": smuggled("Content-Length: 0x5"),
    "a length with a space": smuggled("Content-Length: 5 0"),
    "a length with an underscore": smuggled("Content-Length: 0_5"),
    "a length that overflows": smuggled("Content-Length: 18446744073709551621"),
    "an empty length": smuggled("Content-Length:"),
    "a length in other digits": smuggled("Content-Length: \u0665"),
    "a space before the colon": smuggled("Content-Length: 5", "Transfer-Encoding : chunked"),
    "a tab before the colon": smuggled("Content-Length: 5", "Transfer-Encoding\t: chunked"),
    "a space before the name": smuggled("Content-Length: 5", " Transfer-Encoding: chunked"),
    "a folded line": smuggled("Content-Length: 5", "Transfer-Encoding:\r\n chunked"),
    "another coding": smuggled("Content-Length: 5", "Transfer-Encoding: xchunked"),
    "identity": smuggled("Transfer-Encoding: identity"),
    "chunked and identity": smuggled("Transfer-Encoding: chunked, identity"),
    "gzip and chunked": smuggled("Transfer-Encoding: gzip, chunked"),
    "chunked twice": smuggled("Transfer-Encoding: chunked, chunked"),
    "chunked in two lines": smuggled(CHUNKED, CHUNKED),
    "quoted": smuggled('Transfer-Encoding: "chunked"'),
    "with a parameter": smuggled("Transfer-Encoding: chunked;x=y"),
    "an empty coding": smuggled("Content-Length: 5", "Transfer-Encoding:"),
    "a vertical tab": smuggled("Content-Length: 5", "Transfer-Encoding: \x0bchunked"),
    "a NUL": smuggled("Content-Length: 5", "Transfer-Encoding: chunked\0"),
    "a bare CR": smuggled("Content-Length: 5", "X: y\rTransfer-Encoding: chunked"),
    "a bare LF": smuggled("Content-Length: 5", "X: y\nTransfer-Encoding: chunked"),
    "no colon": smuggled("Content-Length: 5", "Transfer-Encoding chunked"),
    "of version 1.0": smuggled(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "a size with a sign": smuggled(CHUNKED, body=b"+0\r\n\r\n"),
    "a size with 0x": smuggled(CHUNKED, body=b"0x0\r\n\r\n"),
    "a size with a space": smuggled(CHUNKED, body=b" 0\r\n\r\n"),
    "a size with an underscore": smuggled(CHUNKED, body=b"0_0\r\n\r\n"),
    "a size that overflows": smuggled(CHUNKED, body=b"10000000000000000\r\nx\r\n0\r\n\r\n"),
    "no size": smuggled(CHUNKED, body=b"\r\n\r\n"),
    "a size that ends with LF": smuggled(CHUNKED, body=b"0\n\n"),
    "a size that ends with CR": smuggled(CHUNKED, body=b"0\r\r\n\r\n"),
    "an LF in an extension": smuggled(CHUNKED, body=b"2;\nxx\r\n0\r\n\r\n"),
    "a chunk that is longer": smuggled(CHUNKED, body=b"1\r\nxy\r\n0\r\n\r\n"),
    "a chunk that ends with LF": smuggled(CHUNKED, body=b"1\r\nx\n0\r\n\r\n"),
    "a folded trailer": smuggled(CHUNKED, body=b"0\r\nX: y\r\n z\r\n\r\n"),
    "two spaces in the request line": smuggled("Content-Length: 5").replace(b" HTTP", b"  HTTP", 1),
    "a tab in the request line": smuggled("Content-Length: 5").replace(b" /", b"\t/", 1),
    "a version of two digits": smuggled("Content-Length: 5").replace(b"HTTP/1.1", b"HTTP/1.10", 1),
    "a small http": smuggled("Content-Length: 5").replace(b"HTTP/1.1", b"http/1.1", 1),
    "no version": b"GET /\r\n" + get("/v1/models"),
    "two hosts": smuggled("Host: localhost", "Content-Length: 5"),
    "a body of GET without a length": get("/health", CLOSE)[:-2] + b"\r\n" + get("/v1/models"),
}


@attack(20 * MIB)
def smuggling(s):
    for name, raw in SMUGGLING.items():
        answer = exchange(s.door, raw)
        eq(len(statuses(answer)), 1, f"{name}: {answer}")
        assert b'"object":"list"' not in answer and b"Connection: close" in answer, (name, answer)
        assert statuses(answer)[0] in (200, 400, 413, 501, 505), (name, answer)
    return f"{len(SMUGGLING)} spellings"


@attack(20 * MIB)
def hosts_and_origins(s):
    host = f"localhost:{s.door.port}"
    for fields, status in (
            (("Host: evil.example",), 403),
            (("Host: localhost.evil.example",), 403),
            (("Host: evil.example#localhost",), (400, 403)),
            (("Host: localhost@evil.example",), (400, 403)),
            (("Host: 127.0.0.1.evil.example",), 403),
            (("Host: 127.0.0.2",), 403),
            (("Host: 0.0.0.0",), 403),
            (("Host: 2130706433",), 403),
            (("Host: [::ffff:127.0.0.1]",), 403),
            (("Host: localhost\t", ), 200),
            (("Host: localhost, evil.example",), (400, 403)),
            (("Host: localhost", "Host: evil.example"), 400),
            (("X-Forwarded-Host: localhost", "Host: evil.example"), 403),
            ((f"Host: {host}", "Origin: null"), 403),
            ((f"Host: {host}", "Origin:"), 403),
            ((f"Host: {host}", f"Origin: http://{host}.evil.example"), 403),
            ((f"Host: {host}", f"Origin: http://evil.example#{host}"), 403),
            ((f"Host: {host}", f"Origin: http://user@{host}"), 403),
            ((f"Host: {host}", f"Origin: ftp://{host}"), 403),
            ((f"Host: {host}", "Origin: http://localhost:1"), 403),
            ((f"Host: {host}", f"Origin: http://{host}", "Origin: http://evil.example"), 400),
            ((f"Host: {host}", f"Origin: http://{host}"), 200)):
        got = statuses(exchange(s.door, "\r\n".join(("GET /v1/models HTTP/1.1", *fields, CLOSE, "", "")).encode()))
        assert len(got) == 1 and (got[0] in status if isinstance(status, tuple) else got[0] == status), (fields, got)
    for target, host, status in (("http://evil.example/v1/models", "localhost", 403),
                                 ("http://localhost/v1/models", "evil.example", 200),
                                 ("//evil.example/v1/models", "localhost", 404), ("/v1/../v1/models", "localhost", 404),
                                 ("/v1/models%00", "localhost", (400, 404)), ("/v1%2fmodels", "localhost", 404),
                                 ("*", "localhost", (400, 404)), ("localhost:80", "localhost", 400)):
        got = statuses(exchange(s.door, f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{CLOSE}\r\n\r\n".encode()))
        assert len(got) == 1 and (got[0] in status if isinstance(status, tuple) else got[0] == status), (target, host, got)


# --- connections ------------------------------------------------------------------------------------------------------


@attack(CONNECTIONS * 2 * 1024 + 10 * MIB)
def many_connections(s):
    # At most so many of one address are let in; 127.0.0.1 is the other client's.
    held = [s.connect(f"127.1.{i // 500}.1") for i in range(CONNECTIONS)]
    for c in held[::2]:
        c.sendall(b"GET")
    time.sleep(SECONDS)
    for c in held[::50]:
        c.settimeout(0.001)
        with contextlib.suppress(TimeoutError):
            assert c.recv(1), "is closed"
    for c in held:
        c.close()
    return f"{CONNECTIONS} connections"


@attack(60 * MIB)
def handshakes_that_do_not_end(s):
    context = ssl.create_default_context()
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    hello = out.read()
    held = [s.connect(f"127.6.{i % 2}.1", tls=True) for i in range(400)]
    for i, c in enumerate(held):
        c.sendall(hello if i % 2 else hello[:100])
    time.sleep(SECONDS)
    for c in held:
        c.close()
    return f"{len(held)} connections"


@attack(30 * MIB)
def noise_instead_of_tls(s):
    return for_a_while(lambda: [send(c, os.urandom(4096)) or c.close() for c in [s.connect(tls=True)]])


@test
def nothing_is_left_of_it_all():
    stage().end()


main()
