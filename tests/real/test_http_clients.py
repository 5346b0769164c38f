# SPDX-License-Identifier: MIT
"""Users' clients of OpenAI's API against a port with `protocol: http`, unchanged: test_http_clients.py BUILD_DIR npm|pypi

Each client goes through the same cases; what it throws must say what brickd has said."""
import hashlib
import http.server
import json
import os
import re
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

import cases  # noqa: E402
import registry  # noqa: E402
from door import CHAT, Door, brick, question  # noqa: E402
from harness import BUILD, wait_for  # noqa: E402

PYPI = ("openai==3.57.0", "litellm==1.110.2", "langchain-openai==1.7.4", "llm==0.36")


class Upstream(http.server.BaseHTTPRequestHandler):
    """An API that counts tokens, for the brick openai."""

    protocol_version = "HTTP/1.1"
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked.get("stream"):
            chunks = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("Hello", " you")]
            chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": self.usage}]
            body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        else:
            body = json.dumps({"usage": self.usage, "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello you"}}]})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if asked.get("stream") else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def identity(name, more=""):
    return f"""  - {{ name: {name}, token: "sha256:{hashlib.sha256(name.encode()).hexdigest()}", allow: ["*"]{more} }}\n"""


def named(name, options, more=""):
    return brick(name, options, f", match: {{ model_id: [a-{name}] }}{more}")


def start(upstream):
    openai = os.path.join(BUILD, "src", "bricks", "openai.so")
    door = Door(brick().replace("name: chat", "name: chat, default: true")
                + named("slow", "delay: 300ms, tokens: 1000000")
                + named("busy", "delay: 10m", ", limits: { concurrency: 1, queue: 0 }")
                + named("broken", "error_code: 5003, error_message: no luck")
                + f"  - {{ name: counted, module: {openai}, match: {{ model_id: [a-counted] }}, options: {{ model: m,"
                f" base_url: 'http://127.0.0.1:{upstream.server_port}/v1' }} }}\n",
                extra="log: { access: all }\nidentities: identities.yaml\n")
    with open(os.path.join(door.dir, "identities.yaml"), "w") as f:
        f.write("identities:\n" + identity("web") + identity("slow", ", rate: 1, burst: 1"))
    return door.start()


def hold(door):
    """A call of the brick `busy` that lasts."""
    s, body = door.socket(), question(model="busy")
    s.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer web\r\n"
              f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
    wait_for("the call", lambda: door.in_flight() == 1)
    return s


def program(kind):
    folder = os.path.join(BUILD, "tests", "real", "http-" + kind)
    if kind == "npm":
        return [registry.npm(os.path.join(HERE, "clients"), folder), os.path.join(folder, "clients.mjs")]
    return [registry.pip(PYPI, folder), os.path.join(HERE, "clients", "clients.py")]


def ended(door, n):
    """The lines of the n calls of the brick `slow`; None: some have not ended."""
    lines = [line for line in door.log().splitlines() if " info slow " in line]
    return lines if len(lines) == n else None


def was_whole(line):
    """Whether a client has taken all five tokens of that call."""
    return " OK " in line and int(re.search(r"duration_usec=(\d+)", line)[1]) >= 5 * 300_000


def main():
    command = program(sys.argv[2])
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    failed = number = aborted = 0
    with start(upstream) as door:
        held = hold(door)
        for number, result in enumerate(cases.results([*command, f"http://{door.address}"]), 1):
            failed += cases.tap(number, result)
            aborted += result["name"] == "abort"
        wait_for("the end of all calls that clients have left", lambda: door.in_flight() == 1)
        held.close()
        lines = wait_for("the lines of those calls", lambda: ended(door, aborted))
        cancelled = sum("CANCELLED" in line for line in lines)
        # with the node of Debian 12, the AI SDK sometimes gives up a stream and still reads it to the end
        assert cancelled > aborted / 2 and cancelled + sum(was_whole(line) for line in lines) == aborted, lines
    cases.end(number, failed)


main()
