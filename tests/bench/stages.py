# SPDX-License-Identifier: MIT
"""Latency, scale, starting and memory, token streams, proxies. Each stage gives {what: {peer: {figure: number}}}, medians of
at most three rounds."""
import contextlib
import json
import resource
import statistics
import subprocess
import time

from h2load import RUN_LIMIT, H2load, reply_size
from proxies import PROXIED, proxies
from scenarios import ENDLESS, SMALL, STREAM, UNARY, Load
from servers import Brickd, Server, Upstream, cpu_seconds, resident_bytes, say
from wire import Connection, framed, text

ROUNDS = 3
WARM_UP = 1  # of a server whose code is compiled as it runs
LOGGED = 0.5  # seconds of a run that logs every call, for percentiles
PER_CONNECTION = 100  # streams

LARGE = Load("unary 1 MiB, 4x100", UNARY, 4, 100, framed(text(2, "x" * 2**20)))
LARGE_CALLS = 800
FIXED = Load("unary 49 B, 8x16", UNARY, 8, 16, framed(SMALL))
SHARES = [50, 80]  # percent of what a server can do


def rise_limits():
    """Servers and load generators inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def percentile(values, p):
    return values[min(len(values) - 1, int(len(values) * p / 100))] if values else 0


def measure(server, load, size, opt):
    h2load = H2load(opt.kit.folder)
    h2load.run(server, load, min(WARM_UP, opt.seconds))
    cpu = server.cpu()
    run = h2load.run(server, load, opt.seconds)
    cpu = server.cpu() - cpu
    logged = h2load.run(server, load, min(LOGGED, opt.seconds), log=True)
    latencies = h2load.latencies()
    failed = run["failed"] + logged["failed"]
    if run["bytes"] < run["calls"] * size:  # h2load does not read the replies, but their size must be right
        failed += run["calls"]
    return {"rate": run["calls"] * load.messages / run["seconds"], "failed": failed,
            "cpu_us": cpu / max(run["done"] * load.messages, 1) * 1e6,
            "p50": percentile(latencies, 50), "p99": percentile(latencies, 99), "memory": server.memory()}


def medians(rounds):
    """[{figure: number}] to {figure: median}, and how far the rates spread."""
    result = {figure: statistics.median(one[figure] for one in rounds) for figure in rounds[0]}
    if "rate" in result and result["rate"]:
        rates = [one["rate"] for one in rounds]
        result["spread"] = (max(rates) - min(rates)) / 2 / result["rate"]
    if "failed" in result:
        result["failed"] = sum(one["failed"] for one in rounds)
    return result


def median_of_rounds(runs):
    return {what: {peer: medians(rounds) for peer, rounds in peers.items()} for what, peers in runs.items()}


def stage_latency(peers, opt):
    """At fixed rates, which are shares of what each server can do."""
    h2load, runs = H2load(opt.kit.folder), {}
    for _ in range(min(opt.rounds, ROUNDS)):
        for peer in peers:
            with peer.start() as server:
                h2load.run(server, FIXED, min(WARM_UP, opt.seconds))
                full = h2load.run(server, FIXED, opt.seconds)
                capacity = full["calls"] / full["seconds"]
                for share in SHARES:
                    say(f"{share} % of {capacity:.0f} calls/s, {peer.name}")
                    run = h2load.run(server, FIXED, opt.seconds, log=True, rate=capacity * share / 100)
                    latencies = h2load.latencies()
                    runs.setdefault(f"{share} %", {}).setdefault(peer.name, []).append(
                        {"rate": run["calls"] / run["seconds"], "failed": run["failed"]}
                        | {f"p{p}": percentile(latencies, p) for p in (50, 99, 99.9)})
    return median_of_rounds(runs)


def cost_with_connections(server, n, opt, tries=3):
    """us of processor for a call, with so many connections that all call. On a machine that is busy with something else,
    a short run may pass without one."""
    h2load = H2load(opt.kit.folder)
    load = Load("", UNARY, n, 1, framed(SMALL))
    warm_up = 0.5 + n / 1000  # until all of them are there
    process = subprocess.Popen(h2load.command(server, load, opt.seconds, warm_up=warm_up), stdout=subprocess.PIPE,
                               text=True)
    time.sleep(warm_up + 0.05)
    began, cpu = time.monotonic(), server.cpu()
    time.sleep(max(opt.seconds - 0.1, 0.1))
    cpu, took = server.cpu() - cpu, time.monotonic() - began
    run = h2load.parse(process.communicate(timeout=RUN_LIMIT)[0])
    if run["calls"] == 0 and tries > 1:
        return cost_with_connections(server, n, opt, tries - 1)
    if run["calls"] == 0:
        raise RuntimeError(f"{server.name} has answered no call on {n} connections")
    return {"cpu_us": cpu / took / run["calls"] * opt.seconds * 1e6, "failed": run["failed"]}


@contextlib.contextmanager
def stalled_streams(server, n):
    """So many open calls whose replies the client does not take."""
    with contextlib.ExitStack() as stack:
        connections = []
        while n > 0:
            connection = stack.enter_context(Connection(server.port, window=0))
            connection.settle()
            mine = [connection.call(STREAM, ENDLESS) for _ in range(min(n, PER_CONNECTION))]
            connection.wait(lambda: connection.answered.issuperset(mine))
            if connection.ended:
                raise RuntimeError(f"{server.name} has ended streams that should be open")
            connections.append(connection)
            n -= len(mine)
        yield connections


def cost_with_streams(server, n, opt):
    """us of processor for a call, beside so many open streams that nobody reads."""
    load = Load("", UNARY, 4, 16, framed(SMALL))
    h2load = H2load(opt.kit.folder)
    with stalled_streams(server, n):
        h2load.run(server, load, min(WARM_UP, opt.seconds))
        cpu = server.cpu()
        run = h2load.run(server, load, opt.seconds)
        return {"cpu_us": (server.cpu() - cpu) / max(run["done"], 1) * 1e6, "failed": run["failed"]}


def stage_scale(peers, opt):
    runs = {}
    for _ in range(min(opt.rounds, ROUNDS)):
        for peer in peers:
            for kind, cost in (("connections", cost_with_connections), ("open streams", cost_with_streams)):
                for n in opt.scale:
                    say(f"{n} {kind}, {peer.name}")
                    with peer.start() as server:
                        runs.setdefault(f"{n} {kind}", {}).setdefault(peer.name, []).append(cost(server, n, opt))
    return median_of_rounds(runs)


def memory_per_connection(server, n):
    before = server.memory()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(server.port)) for _ in range(n)]
        for connection in connections:
            connection.settle()
        time.sleep(0.2)
        return (server.memory() - before) / n


def memory_per_stream(server, n):
    before = server.memory()
    with stalled_streams(server, n):
        time.sleep(0.2)
        return (server.memory() - before) / n


def memory_after_large_calls(server, calls, opt):
    """What is kept when hundreds of large calls at a time are over."""
    run = H2load(opt.kit.folder).run(server, LARGE, calls=calls)
    time.sleep(0.5)
    return {"after_large": server.memory(), "failed": run["failed"]}


def stage_idle(peers, opt):
    """Times of starting and reloading, memory with nothing to do, of idle connections and of stalled streams: brickd
    has its default configuration. Memory after large calls."""
    runs = {}
    for _ in range(min(opt.rounds, ROUNDS)):
        for peer in peers:
            say(f"idle, {peer.name}")
            with peer.start(default=True) as server:
                one = {"answers_ms": server.answers_after * 1000, "memory": server.memory()}
                if isinstance(server, Brickd):
                    one |= {"ready_ms": server.ready_after() * 1000, "main": server.memory_of_main()}
                    one |= {"worker": resident_bytes(server.workers()[:1])}
                one["connection"] = memory_per_connection(server, opt.idle)
            with peer.start(default=True) as server:
                one["stream"] = memory_per_stream(server, opt.idle)
                if isinstance(server, Brickd):
                    one["reload_ms"] = server.reload() * 1000
            with peer.start() as server:
                one |= memory_after_large_calls(server, max(LARGE_CALLS // opt.fewer, 1), opt)
            runs.setdefault("idle", {}).setdefault(peer.name, []).append(one)
    return median_of_rounds(runs)


def stage_tokens(peers, opt):
    """Many token streams through the brick `openai` at once, as slow as a model makes tokens."""
    upstream = Upstream(opt.kit.build, 1000000, opt.token_rate)
    runs = {}
    peers = [peer for peer in peers if peer.streams_tokens]
    for _ in range(min(opt.rounds, ROUNDS) if peers else 0):
        for peer in peers:
            say(f"{opt.streams} token streams, {peer.name}")
            with peer.start(upstream=upstream) as server:
                runs.setdefault(f"{opt.streams} streams of {opt.token_rate} tokens/s", {}).setdefault(
                    peer.name, []).append(measure_tokens(server, opt))
    upstream.stop()
    return median_of_rounds(runs)


def measure_tokens(server, opt):
    before = server.memory()
    seconds = opt.token_seconds
    process = subprocess.Popen([f"{opt.kit.build}/tests/bench/tokens", str(server.port_bricks), str(opt.streams),
                                str(PER_CONNECTION), str(seconds)], stdout=subprocess.PIPE, text=True)
    opened = process.stdout.readline()
    cpu, memory = cpu_seconds(server.workers()), server.memory()
    result = json.loads(process.stdout.readline() or "{}")
    cpu = cpu_seconds(server.workers()) - cpu
    if process.wait(RUN_LIMIT) != 0 or opened != f"open {opt.streams}\n":
        raise RuntimeError(f"token streams: {opened.strip() or 'failed'}; see {server.log_path}")
    return {"rate": result["tokens"] / seconds, "failed": result["ended"] + result["bad"],
            "cpu_us": cpu / max(result["tokens"], 1) * 1e6, "stream": (memory - before) / opt.streams,
            "p50": result["p50"], "p99": result["p99"], "p99.9": result["p999"]}


def stage_proxies(peers, opt):
    """What it costs to pass calls on: one backend, the C core, and before it one proxy or another; `core`: none.
    `added`: to the median of the backend alone, in the same round."""
    runs = {}
    for number in range(min(opt.rounds, ROUNDS)):
        with contextlib.ExitStack() as stack:
            backend = stack.enter_context(Server("core", f"{opt.kit.build}/tests/bench/peer-core {{port}}", opt.kit.folder))
            servers = [backend] + [stack.enter_context(proxy) for proxy in proxies(opt.kit, backend)]
            for load in PROXIED:
                round_of, size = {}, reply_size(backend, load)
                for server in servers if number % 2 == 0 else servers[::-1]:
                    say(f"round {number + 1}: {load.name}, {server.name}")
                    round_of[server.name] = measure(server, load, size, opt)
                for name, one in round_of.items():
                    one["added"] = one["p50"] - round_of["core"]["p50"]
                    runs.setdefault(load.name, {}).setdefault(name, []).append(one)
    return median_of_rounds(runs)


STAGES = {
    "latency": stage_latency,
    "scale": stage_scale,
    "idle": stage_idle,
    "tokens": stage_tokens,
    "proxies": stage_proxies,
}
