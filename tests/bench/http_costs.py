#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a port with `protocol: http` costs, beside the port for gRPC of the same worker: http_costs.py BUILD_DIR [OPTION...]

Rates are ratios of runs that take turns. It wants a machine that does nothing else, and a release build."""
import argparse
import contextlib
import json
import os
import re
import resource
import select
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

from door import CHAT, Door, brick, question  # noqa: E402
from harness import memory, temp_dir, wait_for  # noqa: E402
from wire import framed, text  # noqa: E402

UNARY = "/protocols.grpc.llm.LLMService/Unary"
KIB, MIB = 1 << 10, 1 << 20
TOKENS_A_SECOND = 20
NODE = """
const [url, seconds] = process.argv.slice(2);
const body = JSON.stringify({ model: 'chat', messages: [{ role: 'user', content: 'hello' }] });
let done = 0, failed = [], end = false;
process.stdin.on('end', () => { end = true; }).resume();
async function client() {
  while (!end) {
    try {
      const answer = await fetch(url, { method: 'POST', body });
      const text = await answer.text();
      if (answer.status !== 200) throw new Error(`${answer.status} ${text}`);
      done++;
    } catch (error) {
      failed.push(`${error} ${error.cause ?? ''}`);
    }
    await new Promise(resolve => setTimeout(resolve, Math.random() * 5));
  }
}
await Promise.all(Array.from({ length: 16 }, client));
console.log(JSON.stringify({ done, failed }));
"""


def post(body):
    return f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def processor_times(pid):
    """Seconds of each thread."""
    times = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{task}/schedstat") as f:
            times[task] = int(f.read().split()[0]) / 1e9
    return times


def used(pid, work):
    """What the work returns, and seconds of processor time meanwhile: of the busiest thread, of all."""
    before = processor_times(pid)
    result = work()
    took = [time - before.get(task, 0) for task, time in processor_times(pid).items()]
    return result, max(took), sum(took)


def kernel_memory(port):
    """Bytes that the kernel holds for the server's ends of a port's connections."""
    out = subprocess.run(["ss", "-tnmHO", f"sport = :{port}"], capture_output=True, text=True, timeout=20, check=True).stdout
    return sum(int(n) for memory in re.findall(r"skmem:\((.*?)\)", out) for n in re.findall(r"\b[rfw](\d+)", memory))


def h2load(url, body, seconds, *more):
    path = os.path.join(temp_dir(), "body")
    with open(path, "wb") as f:
        f.write(body)
    argv = ["h2load", "-t", "1", "-D", f"{int(seconds * 1000)}ms", "--warm-up-time=100ms", "-d", path, *more, url]
    out = subprocess.run(argv, capture_output=True, text=True, timeout=120).stdout
    done, failed = re.search(r"(\d+) done, \d+ succeeded, (\d+) failed", out).groups()
    assert int(done) and not int(failed), out
    return int(done) / seconds


def unary(opt):
    """Requests a second on 16 connections, one at a time on each."""
    with Door(extra="log: { access: off }") as door:
        grpc = framed(text(2, "hello"))

        def one_by_http():
            return h2load(f"http://{door.address}{CHAT}", question().encode(), opt.seconds, "--h1", "-c", "16")

        def one_by_grpc():
            return h2load(f"http://127.0.0.1:{door.grpc_port}{UNARY}", grpc, opt.seconds, "-c", "16", "-m", "1",
                          "-H", "content-type: application/grpc", "-H", "te: trailers")

        pairs = [(one_by_http(), one_by_grpc()) for _ in range(opt.rounds)]
    by_http, by_grpc = (statistics.median(column) for column in zip(*pairs))
    ratio = statistics.median(a / b for a, b in pairs)
    return {"by HTTP, calls/s": by_http, "by gRPC, calls/s": by_grpc, "ratio": ratio}


class Readers:
    """Clients of a stream each."""

    def __init__(self, port, count, body, receive_buffer=0):
        self.epoll, self.sockets = select.epoll(), {}
        for i in range(count):
            s = socket.socket()
            if receive_buffer:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            s.bind((f"127.7.{i // 500}.1", 0))
            s.connect(("127.0.0.1", port))
            s.sendall(post(body))
            self.sockets[s.fileno()] = s
            self.epoll.register(s, select.EPOLLIN)

    def read(self, seconds):
        """The number of tokens that come."""
        end, tokens = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            for fd, _ in self.epoll.poll(0.05):
                tokens += self.sockets[fd].recv(65536).count(b'"content":"tok')
        return tokens

    def close(self):
        for s in self.sockets.values():
            s.close()


def streams(opt):
    """Many streams of 20 tokens a second: what a token costs the thread that serves calls, and memory a stream."""
    options = f"delay: {1000 // TOKENS_A_SECOND}ms, tokens: 1000000"
    with Door(brick(options=options, more=", limits: { concurrency: 100000 }"), extra="log: { access: off }",
              limits="{ connections: 100000 }") as door:
        pid, = door.workers()
        before = memory(door)
        readers = Readers(door.port, opt.streams, question(stream=True))
        wait_for("all streams", lambda: door.in_flight() == opt.streams)
        readers.read(1)
        tokens, busiest, total = used(pid, lambda: readers.read(opt.seconds))
        grown = (memory(door) or 0) - (before or 0)
        readers.close()
    return {"streams": opt.streams, "tokens/s": tokens / opt.seconds, "µs a token": busiest / tokens * 1e6,
            "µs a token, all threads": total / tokens * 1e6, "KiB a stream": grown / opt.streams / KIB}


def stalled(opt):
    """Readers that do not read."""
    with Door(brick(options="tokens: 1000000"), extra="log: { access: off }") as door:
        before = memory(door)
        readers = Readers(door.port, opt.stalled, question(stream=True), receive_buffer=4096)
        wait_for("all streams", lambda: door.in_flight() == opt.stalled)
        time.sleep(opt.seconds)
        own, kernel = (memory(door) or 0) - (before or 0), kernel_memory(door.port)
        readers.close()
    return {"readers": opt.stalled, "MiB of the worker": own / MIB, "MiB of the kernel": kernel / MIB}


def reloads(opt):
    """16 clients of Node's fetch while workers are replaced."""
    script = os.path.join(temp_dir(), "clients.mjs")
    with open(script, "w") as f:
        f.write(NODE)
    with Door(extra="log: { access: off }\ndrain: { retire: 2s }") as door:
        clients = subprocess.Popen(["node", script, f"http://{door.address}{CHAT}"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        for _ in range(opt.reloads):
            door.ctl("reload", "--wait")
            time.sleep(0.1)
        time.sleep(3)  # until the workers that were replaced last have closed their connections
        out, _ = clients.communicate(timeout=60)
    result = json.loads(out)
    for failure in result["failed"][:5]:
        print("failed:", failure)
    return {"reloads": opt.reloads, "requests": result["done"], "failed": len(result["failed"])}


STAGES = {"unary": unary, "streams": streams, "stalled": stalled, "reloads": reloads}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--stalled", type=int, default=500)
    parser.add_argument("--reloads", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    opt = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    results = {}
    for stage in opt.stages.split(","):
        results[stage] = STAGES[stage](opt)
        if not opt.json:
            print(f"{stage}: " + ", ".join(f"{value:.4g} {what}" for what, value in results[stage].items()), flush=True)
    if opt.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
