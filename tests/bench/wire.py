# SPDX-License-Identifier: MIT
"""As much of protobuf and HTTP/2 as the benchmark writes itself: requests, and connections that do nothing."""
import select
import socket
import struct
import time

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW_SIZE = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def varint(value):
    out = b""
    while value > 0x7f:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def text(field, value):
    """A string or a message."""
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def number(field, value):
    return varint(field << 3) + varint(value)


def struct_of(**members):
    """google.protobuf.Struct with strings."""
    return b"".join(text(1, text(1, key) + text(2, text(3, value))) for key, value in members.items())


def framed(message):
    """As gRPC sends it."""
    return b"\0" + struct.pack(">I", len(message)) + message


def h2_frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header_block(pairs):
    """Literals, neither indexed nor compressed."""
    return b"".join(b"\0" + b"".join(bytes([len(s)]) + s.encode() for s in pair) for pair in pairs)


class Connection:
    """A client that sends what it is told and keeps up the protocol. window: what the server may send on a stream."""

    def __init__(self, port, window=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.settled, self.next_stream = b"", False, 1
        self.answered, self.ended = set(), set()
        settings = b"" if window is None else struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
        self.socket.sendall(PREFACE + h2_frame(SETTINGS, 0, 0, settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _handle(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            self.settled = True
            self.socket.sendall(h2_frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.socket.sendall(h2_frame(PING, ACK, 0, payload))
        elif kind == HEADERS:
            self.answered.add(stream)
        elif kind == GOAWAY:
            raise ConnectionError("the server says GOAWAY")
        if kind == RESET or kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.add(stream)

    def pump(self, timeout):
        """Reads once. False: nothing came in time."""
        if not select.select([self.socket], [], [], max(timeout, 0))[0]:
            return False
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server has hung up")
        self.buffer += data
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                break
            kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
            payload, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
            self._handle(kind, flags, stream, payload)
        return True

    def wait(self, condition, limit=10):
        end = time.monotonic() + limit
        while not condition():
            if not self.pump(end - time.monotonic()):
                raise ConnectionError("the server does not answer")

    def settle(self):
        self.wait(lambda: self.settled)

    def call(self, path, message):
        """Begins a call; its stream."""
        stream = self.next_stream
        self.next_stream += 2
        block = header_block([(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
                              ("content-type", "application/grpc"), ("te", "trailers")])
        self.socket.sendall(h2_frame(HEADERS, END_HEADERS, stream, block)
                            + h2_frame(DATA, END_STREAM, stream, framed(message)))
        return stream
