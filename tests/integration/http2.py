# SPDX-License-Identifier: MIT
"""HTTP/2 as an attacker speaks it: frames made by hand, on a bare socket, with nobody to object."""
import socket
import ssl
import struct
import threading

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def number(value, bits, first=0):
    """An integer of HPACK."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytearray([first | most]), value - most
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def header(name, value, indexed=False):
    """A header in full; `indexed`: it shall also go to the dynamic table."""
    return ((b"\x40" if indexed else b"\0") + number(len(name), 7) + name + number(len(value), 7) + value)


def request(path, *more):
    """The header block of a gRPC request."""
    return b"".join(header(*h) for h in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", b"x"),
        (b"content-type", b"application/grpc"), (b"te", b"trailers"), *more))


def message(payload, compressed=0):
    return struct.pack(">BI", compressed, len(payload)) + payload


SETTINGS_FRAME = frame(SETTINGS)
CANCEL = struct.pack(">I", 8)


class Connection:
    """A socket that has said its preface; `port`: a number of 127.0.0.1, or the path of a unix socket; `source`: the address
    that it comes from; `tls`: it is encrypted."""

    def __init__(self, port, source="127.0.0.1", preface=PREFACE + SETTINGS_FRAME, receive_buffer=None, tls=False):
        unix = isinstance(port, str)
        self.socket = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if not unix:
            self.socket.bind((source, 0))
        self.socket.settimeout(10)
        self.socket.connect(port if unix else ("127.0.0.1", port))
        if tls:
            context = ssl._create_unverified_context()
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket)
        self.send(preface)

    def send(self, data):
        """False: the connection is over."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def read_all(self):
        """Throws away what comes, in a thread of its own: a peer that does not read stops the other's writing."""
        def run():
            try:
                while self.socket.recv(1 << 16):
                    pass
            except OSError:
                pass
        threading.Thread(target=run, daemon=True).start()
        return self

    def taken(self):
        """Waits for its first byte: a connection that is closed before it is accepted is not looked at."""
        try:
            self.socket.recv(1)
        except OSError:
            pass
        return self

    def was_read(self):
        """Waits until the other end has read all that was sent: it answers a ping behind that. Nothing else may read."""
        self.send(frame(PING, 0, 0, b"whatever"))
        return self.reads(frame(PING, ACK, 0, b"whatever"))

    def reads(self, text, limit=60):
        """Reads until this has come. Nothing else may read."""
        self.socket.settimeout(limit)
        data = b""
        while text not in data:
            piece = self.socket.recv(1 << 16)
            assert piece, "closed"
            data += piece
        return self

    def ends(self, n, limit=60):
        """Reads until so many streams have ended. Nothing else may read."""
        self.socket.settimeout(limit)
        data = b""
        while n > 0:
            piece = self.socket.recv(1 << 16)
            assert piece, "closed"
            data += piece
            at = 0
            while len(data) >= at + 9 and len(data) >= at + 9 + int.from_bytes(data[at:at + 3], "big"):
                n -= data[at + 3] == HEADERS and data[at + 4] & END_STREAM
                at += 9 + int.from_bytes(data[at:at + 3], "big")
            data = data[at:]

    def is_closed(self, limit=5):
        """Whether the other end closes it within the limit."""
        self.socket.settimeout(limit)
        try:
            while self.socket.recv(1 << 16):
                pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True

    def close(self):
        self.socket.close()

    def reset(self):
        """Leaves at once, whatever is under way."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
