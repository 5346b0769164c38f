# SPDX-License-Identifier: MIT
"""A brickd with a port for HTTP, its clients by hand, and what they read."""
import contextlib
import http.client
import json
import os
import re
import socket

from harness import BUILD, Brickd, free_port, path

ECHO = os.path.join(BUILD, "src", "bricks", "echo.so")
CHAT = "/v1/chat/completions"
UNARY = path("LLM", "Unary")


def brick(name="chat", options="", more=""):
    return f"  - {{ name: {name}, module: {ECHO}, options: {{ type: LLM, {options} }}{more} }}\n"


class Door(Brickd):
    """A port for HTTP, and one for gRPC behind it."""

    def __init__(self, bricks=brick(), http="", limits="", extra="log: { access: all }", port_extra="", **options):
        self.grpc_port = free_port()
        lines = ["    protocol: http"]
        if http:
            lines.append(f"    http: {http}")
        if limits:
            lines.append(f"    limits: {limits}")
        lines.append(port_extra)
        lines.append(f'  - {{ listen: "127.0.0.1:{self.grpc_port}", protocol: grpc }}')
        super().__init__(bricks, extra=extra, port_extra="\n".join(lines), **options)

    def grpc(self):
        http, self.address = self.address, f"127.0.0.1:{self.grpc_port}"
        try:
            return self.channel()
        finally:
            self.address = http

    def client(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def socket(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def ask(self, method="GET", url="/v1/models", body=None, **headers):
        """(status, fields, body) of a request on a connection of its own."""
        client = self.client()
        try:
            return ask(client, method, url, body, **headers)
        finally:
            client.close()

    def ask_quietly(self):
        """The status; None if there is no answer."""
        try:
            return self.ask()[0]
        except (OSError, http.client.HTTPException):
            return None

    def in_flight(self):
        status = json.loads(self.ctl("status", "--json").stdout)
        return sum(brick["in_flight"] for brick in status["bricks"])


def ask(client, method="GET", url="/v1/models", body=None, **headers):
    client.request(method, url, body, {k.replace("_", "-"): v for k, v in headers.items()})
    answer = client.getresponse()
    return answer.status, answer.headers, answer.read()


def question(text="hello", **more):
    return json.dumps({"model": "chat", "messages": [{"role": "user", "content": text}]} | more)


def error(body):
    return json.loads(body)["error"]


def events(body):
    """What a stream has said: the contents of its `data:` lines."""
    return [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]


def text_of(body):
    chunks = [json.loads(event) for event in events(body) if event != "[DONE]"]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def read_all(s):
    """What comes until the end of the connection."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while True:
            part = s.recv(65536)
            if not part:
                break
            got += part
    return got


def exchange(door, raw):
    """The whole answer to raw bytes, on a connection that the server ends."""
    with door.socket() as s:
        s.sendall(raw)
        return read_all(s)


def statuses(raw):
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+) ", raw)]


def get(url="/health", *fields):
    return f"GET {url} HTTP/1.1\r\nHost: localhost\r\n{''.join(f + chr(13) + chr(10) for f in fields)}\r\n".encode()
