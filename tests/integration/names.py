# SPDX-License-Identifier: MIT
"""A name server for one name, as little as resolvers need: A records over UDP, nothing else exists."""
import socket
import struct
import threading

A, IN, TTL = 1, 1, 1
NAME_ERROR = 3


def question(query):
    """The name, the type and where the question ends."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    return ".".join(labels), struct.unpack_from("!H", query, at + 1)[0], at + 5


class Names(threading.Thread):
    def __init__(self, address, name, addresses):
        super().__init__(daemon=True)
        self.name_asked, self.addresses = name, addresses
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.start()

    def answer(self, query):
        name, kind, end = question(query)
        found = self.addresses if (name, kind) == (self.name_asked, A) else []
        error = 0 if name == self.name_asked else NAME_ERROR
        records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", A, IN, TTL, 4) + socket.inet_aton(a) for a in found)
        return query[:2] + struct.pack("!HHHHH", 0x8580 | error, 1, len(found), 0, 0) + query[12:end] + records

    def run(self):
        while True:
            query, peer = self.socket.recvfrom(1500)
            self.socket.sendto(self.answer(query), peer)
