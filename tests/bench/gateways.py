#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What gateways add to calls of OpenAI's chat completions: gateways.py BUILD_DIR [OPTION...]

brickd (a port with `protocol: http` and the brick openai), @portkey-ai/gateway from npm, litellm's proxy from PyPI, and nginx
as a plain reverse proxy pass the same calls on to the same upstream, as who knows them would set them up for that: one process
of each, connections kept, no log. They take turns; `added` is the latency less that of the upstream alone in the same round.
It wants a release build and a machine that does nothing else: processor time and ratios are what a busy one can tell."""
import argparse
import collections
import contextlib
import json
import os
import re
import resource
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, "..", "integration"), os.path.join(HERE, "..", "real")]

import registry  # noqa: E402
from http_costs import processor_times  # noqa: E402
from nginx_conf import nginx_conf  # noqa: E402
from servers import free_port, process_tree, spawn, stop  # noqa: E402

PORTKEY, LITELLM = "@portkey-ai/gateway@1.15.2", "litellm[proxy]==1.108.7"
URL = "/v1/chat/completions"
DELTAS, RATE = 64, 50
START_LIMIT = 120
FIELDS = {"content-type": "application/json", "authorization": "Bearer sk-none"}

BRICKD = """
ports:
  - {{ listen: "127.0.0.1:{port}", protocol: http }}
bricks:
  - name: chat
    module: openai
    options: {{ base_url: "http://127.0.0.1:{upstream}/v1", model: any, max_connections: 1024 }}
    limits: {{ concurrency: 1024 }}
modules: {build}/src/bricks
log: {{ access: off }}
control: {folder}/control
"""
NGINX = nginx_conf("""\
  keepalive_requests 1000000000;
  upstream backend {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
""", main="master_process off;", events="worker_connections 4096;")
LITELLM_CONFIG = """
model_list:
  - model_name: chat
    litellm_params: {{ model: openai/any, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-none }}
litellm_settings: {{ num_retries: 0, telemetry: false, turn_off_message_logging: true, set_verbose: false }}
general_settings: {{ disable_spend_logs: true }}
"""
LITELLM_ENV = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False", "DISABLE_ADMIN_UI": "True",
               "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}

Gateway = collections.namedtuple("Gateway", "name port fields pids")


def upstream(build, *args):
    process = spawn([f"{build}/tests/bench/upstream", *map(str, args)], stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


def brickd(opt, folder, port):
    return [f"{opt.build}/src/brickd", "-c", write(folder, "brickd.yaml", BRICKD, opt, port)], {"BRICKD_WORKER": f"{opt.build}/src/brickd-worker"}, {}


def nginx(opt, folder, port):
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    return program and ([program, "-e", "stderr", "-c", write(folder, "nginx.conf", NGINX, opt, port)], {}, {})


def portkey(opt, folder, port):
    script = os.path.join(opt.peers, "portkey", "node_modules", "@portkey-ai", "gateway", "build", "start-server.js")
    fields = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{opt.upstream}/v1"}
    return os.path.exists(script) and (["node", script, f"--port={port}", "--headless"], {"NODE_ENV": "production"}, fields)


def litellm(opt, folder, port):
    program = os.path.join(opt.peers, "litellm", "bin", "litellm")
    config = write(folder, "litellm.yaml", LITELLM_CONFIG, opt, port)
    return os.path.exists(program) and ([program, "--config", config, "--host", "127.0.0.1", "--port", str(port),
                                         "--num_workers", "1"], LITELLM_ENV, {})


GATEWAYS = {"nginx": nginx, "brickd": brickd, "portkey": portkey, "litellm": litellm}


def write(folder, name, text, opt, port):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text.format(port=port, upstream=opt.upstream, folder=folder, build=opt.build))
    return path


def install(opt):
    """Gets the two that Debian does not have; without their registry they are left out."""
    folder = os.path.join(opt.peers, "portkey")
    os.makedirs(folder, exist_ok=True)
    with contextlib.suppress(SystemExit):
        if "portkey" in opt.gateways and shutil.which("npm"):
            registry.once(folder, PORTKEY, lambda: registry.run(
                ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder, PORTKEY], folder))
    with contextlib.suppress(SystemExit):
        if "litellm" in opt.gateways:
            registry.pip([LITELLM], os.path.join(opt.peers, "litellm"))


def used_by(gateway):
    """Seconds of processor time."""
    return sum(sum(processor_times(pid).values()) for pid in gateway.pids())


def request(stream):
    body = {"model": "chat", "messages": [{"role": "user", "content": "Say hello."}]}
    return json.dumps(body | ({"stream": True} if stream else {})).encode()


def wait_for_answer(gateway, process, log):
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end and (process is None or process.poll() is None):
        with contextlib.suppress(OSError):
            asked = urllib.request.Request(f"http://127.0.0.1:{gateway.port}{URL}", request(False), FIELDS | gateway.fields)
            with urllib.request.urlopen(asked, timeout=5) as answer:
                text = json.load(answer)["choices"][0]["message"]["content"]
                assert text == "Hello!", text
                return
        time.sleep(0.1)
    with open(log, errors="replace") as f:
        raise RuntimeError(f"{gateway.name} does not answer:\n{f.read()[-3000:]}")


@contextlib.contextmanager
def started(opt, folder):
    """All of them, and the upstream alone first, as `direct`."""
    gateways, processes = [Gateway("direct", opt.upstream, {}, lambda: [])], []
    try:
        for name in opt.gateways:
            port = free_port()
            made = GATEWAYS[name](opt, folder, port)
            if not made:
                print(f"{name} is not there, and left out")
                continue
            argv, env, fields = made
            log = os.path.join(folder, name + ".log")
            with open(log, "w") as f:
                process = spawn(argv, cwd=folder, env=os.environ | env, stdout=f, stderr=f)
            processes.append(process)
            gateway = Gateway(name, port, fields, lambda pid=process.pid: process_tree(pid))
            wait_for_answer(gateway, process, log)
            gateways.append(gateway)
        yield gateways
    finally:
        for process in processes:
            stop(process)


# --- whole answers


def percentiles(values):
    values = sorted(values)
    return values[len(values) // 2], values[min(len(values) - 1, len(values) * 99 // 100)]


def unary(opt, gateway, clients):
    """For longer, if a gateway is so slow that not every client has had an answer."""
    for times in 1, 4, 16:
        result = load(gateway, clients, times * opt.seconds)
        if result["rate"] * times * opt.seconds >= clients:
            break
    return result


def load(gateway, clients, seconds):
    with tempfile.TemporaryDirectory() as folder:
        path, log = os.path.join(folder, "body"), os.path.join(folder, "log")
        with open(path, "wb") as f:
            f.write(request(False))
        argv = ["h2load", "--h1", "-t", "1", "-c", str(clients), "-D", f"{int(seconds * 1000)}ms",
                "--warm-up-time=300ms", "-d", path, "--log-file=" + log]
        for name, value in (FIELDS | gateway.fields).items():
            argv += ["-H", f"{name}: {value}"]
        before = used_by(gateway)
        out = subprocess.run([*argv, f"http://127.0.0.1:{gateway.port}{URL}"], capture_output=True, text=True,
                             timeout=120, check=True).stdout
        used = used_by(gateway) - before
        with open(log) as f:
            lines = [line.split() for line in f]
    good = [int(duration) / 1e6 for _, status, duration in lines if status == "200"]
    # The processor time is that of all requests, also of those of the warm-up, which are not logged.
    done = int(re.search(r"(\d+) done", out)[1]) * (1 + 0.3 / seconds)
    if len(good) < len(lines):
        print(f"# {gateway.name}: {len(lines) - len(good)} of {len(lines)} failed")
    p50, p99 = percentiles(good or [float("nan")])
    return {"rate": len(good) / seconds, "p50": p50, "p99": p99, "cpu": used / done if done else 0}


# --- streams


class Stream:
    def __init__(self, gateway):
        fields = "".join(f"{name}: {value}\r\n" for name, value in (FIELDS | gateway.fields).items())
        body = request(True)
        self.raw = f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body
        self.socket = socket.create_connection(("127.0.0.1", gateway.port), 20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begin()

    def begin(self):
        self.rest, self.deltas, self.began, self.first = b"", 0, time.monotonic_ns(), None
        self.socket.sendall(self.raw)

    def read(self, ages, firsts):
        """True: the stream has ended. A delta says when the upstream has sent it."""
        got = self.socket.recv(65536)
        now = time.monotonic_ns()
        if not got:
            raise RuntimeError("a stream has broken off")
        data = self.rest + got
        end = data.rfind(b"\n") + 1
        self.rest = data[end:]
        if self.first is None and b"data:" in data:
            self.first = now
            firsts.append((now - self.began) / 1e9)
        for sent in re.findall(rb'"content": ?"(\d+) "', data[:end]):
            self.deltas += 1
            ages.append((now - int(sent)) / 1e9)
        return b"[DONE]" in data


def can_stream(gateway):
    asked = urllib.request.Request(f"http://127.0.0.1:{gateway.port}{URL}", request(True), FIELDS | gateway.fields)
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return b"[DONE]" in answer.read()
    except OSError as e:
        print(f"{gateway.name} cannot stream, and is left out: {e}")
        return False


def streams(opt, gateway, clients):
    ages, firsts, done = [], [], 0
    before, epoll, by_fd = used_by(gateway), select.epoll(), {}
    end = time.monotonic() + 1.5 * opt.seconds
    for _ in range(clients):
        stream = Stream(gateway)
        by_fd[stream.socket.fileno()] = stream
        epoll.register(stream.socket, select.EPOLLIN)
    while by_fd:
        ready = epoll.poll(30)
        if not ready:
            raise RuntimeError(f"{gateway.name}: {len(by_fd)} streams say nothing")
        for fd, _ in ready:
            stream = by_fd[fd]
            if not stream.read(ages, firsts):
                continue
            assert stream.deltas == DELTAS, f"{gateway.name}: {stream.deltas} deltas"
            done += 1
            epoll.unregister(fd)
            del by_fd[fd]
            stream.socket.close()
            if time.monotonic() < end:
                stream = Stream(gateway)
                by_fd[stream.socket.fileno()] = stream
                epoll.register(stream.socket, select.EPOLLIN)
    used = used_by(gateway) - before
    (p50, p99), (first, _) = percentiles(ages), percentiles(firsts)
    return {"rate": done / (time.monotonic() - end + 1.5 * opt.seconds), "p50": p50, "p99": p99, "first": first,
            "cpu": used / len(ages)}


# --- the tables


LOADS = {
    "unary, upstream instant": (unary, (0, 0, 0)),
    "unary, upstream 60 ms": (unary, (0, 0, 60)),
    "SSE, role + 64 deltas at 20 ms": (streams, (DELTAS, RATE, 0)),
}


def measure(opt, name):
    """{(clients, gateway): [result of each round]}"""
    work, arguments = LOADS[name]
    found = collections.defaultdict(list)
    process, opt.upstream = upstream(opt.build, *arguments)
    try:
        with tempfile.TemporaryDirectory() as folder, started(opt, folder) as gateways:
            if work is streams:
                gateways = [gateway for gateway in gateways if can_stream(gateway)]
            for clients in opt.clients:
                for number in range(opt.rounds):
                    for gateway in gateways[:: -1 if number % 2 else 1]:
                        found[clients, gateway.name].append(work(opt, gateway, clients))
    finally:
        stop(process)
    return found


def median(results, key):
    return statistics.median(result[key] for result in results)


def added(results, direct, key):
    """In µs."""
    return statistics.median(a[key] - b[key] for a, b in zip(results, direct)) * 1e6


def number(value):
    return "—" if value != value else f"{value:,.0f}"


def table(name, found):
    each = "delta" if name.startswith("SSE") else "request"
    lines = [f"**{name}**", "", f"| c | | {'streams' if each == 'delta' else 'requests'}/s | added p50, µs | added p99, µs "
             f"| processor µs a {each} | rate, brickd = 1 |", "|--:|---|--:|--:|--:|--:|--:|"]
    for clients, gateway in found:
        results, direct = found[clients, gateway], found[clients, "direct"]
        brickd = found.get((clients, "brickd"))
        ratio = statistics.median(a["rate"] / b["rate"] for a, b in zip(results, brickd)) if brickd else float("nan")
        if gateway == "direct":
            row = ["the upstream alone", *(f"({number(median(results, key) * 1e6)})" for key in ("p50", "p99")), ""]
        else:
            row = [gateway, *(number(added(results, direct, key)) for key in ("p50", "p99")),
                   number(median(results, "cpu") * 1e6 or float("nan"))]
        row.insert(1, number(median(results, "rate")))
        lines.append(f"| {clients} | {' | '.join(row)} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=os.path.abspath)
    parser.add_argument("--gateways", type=lambda s: s.split(","), default=list(GATEWAYS))
    parser.add_argument("--clients", type=lambda s: [int(n) for n in s.split(",")], default=[1, 16, 128])
    parser.add_argument("--loads", default=".", help="regular expression")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--peers", type=os.path.abspath, default=None, help="where the peers are installed")
    parser.add_argument("--json", help="write what was measured to this file")
    opt = parser.parse_args()
    opt.peers = opt.peers or os.path.join(opt.build, "tests", "bench", "gateways")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    install(opt)
    everything = {}
    for name in LOADS:
        if re.search(opt.loads, name):
            found = everything[name] = measure(opt, name)
            print(table(name, found), flush=True)
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump({name: [[*key, results] for key, results in found.items()] for name, found in everything.items()}, f)


if __name__ == "__main__":
    main()
