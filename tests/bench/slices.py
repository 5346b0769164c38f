# SPDX-License-Identifier: MIT
"""Rates, in short slices that all servers take in turns, and what a call costs.

Whatever else the machine does, it does to a server and to its neighbour in the round: ratios of one round repeat where rates do
not."""
import contextlib
import os

from counters import Callgrind, SystemCalls
from h2load import H2load, reply_size
from servers import process_tree, say

WARM_UP = 0.4  # seconds, for servers whose code is compiled as it runs
COUNTED = 0.2  # seconds in which system calls are counted
ROUNDS_OF_A_LIFE = 4  # then all servers start anew


def in_turns(items, number):
    """Who begins changes from round to round, and so does who comes before whom."""
    n = number % len(items)
    turned = items[n:] + items[:n]
    return turned[::-1] if number % 2 else turned


def each_load(peers, opt, number):
    """(load, [(peer, server)] in the order of the round). opt.loads that none of them takes are left out."""
    for load in opt.loads:
        takers = [(peer, server) for peer, server in peers if peer.has(load)]
        if takers:
            yield load, in_turns(takers, number)


def warm_up(server, load, opt):
    """System calls of a call, or of a message of a stream. None: not counted."""
    h2load = H2load(opt.kit.folder)
    h2load.run(server, load, min(WARM_UP, opt.seconds))
    with SystemCalls(process_tree(server.process.pid)) as calls:
        run = h2load.run(server, load, min(COUNTED, opt.seconds))
    return None if calls.count is None else calls.count / max(run["done"] * load.messages, 1)


def slice_of(server, load, size, opt):
    cpu = server.cpu()
    run = H2load(opt.kit.folder).run(server, load, opt.seconds)
    cpu = server.cpu() - cpu
    failed = run["failed"]
    if run["bytes"] < run["calls"] * size:  # h2load does not read the replies, but their size must be right
        failed += run["calls"]
    return {"rate": round(run["calls"] * load.messages / run["seconds"], 1),
            "cpu_us": round(cpu / max(run["done"] * load.messages, 1) * 1e6, 3),
            "memory": server.memory(), "failed": failed}


def stage_load(peers, opt):
    """{load: {peer: {figure: [of each round]}}}; `syscalls`: of each life of the servers."""
    result = {}

    def note(load, peer, **figures):
        row = result.setdefault(load.name, {}).setdefault(peer.name, {})
        for figure, value in figures.items():
            row.setdefault(figure, []).append(value)

    for first in range(0, opt.rounds, ROUNDS_OF_A_LIFE):
        with contextlib.ExitStack() as stack:
            running = [(peer, stack.enter_context(peer.start())) for peer in peers]
            sizes = {}
            for load, takers in each_load(running, opt, first):
                for peer, server in takers:
                    say(f"warming up: {load.name}, {peer.name}")
                    sizes[load.name, peer.name] = reply_size(server, load)
                    syscalls = warm_up(server, load, opt)
                    if syscalls is not None:
                        note(load, peer, syscalls=round(syscalls, 4))
            for number in range(first, min(first + ROUNDS_OF_A_LIFE, opt.rounds)):
                for load, takers in each_load(running, opt, number):
                    for peer, server in takers:
                        say(f"round {number + 1} of {opt.rounds}: {load.name}, {peer.name}")
                        note(load, peer, **slice_of(server, load, sizes[load.name, peer.name], opt))
    return result


def instructions_of(server, load, counter, opt):
    """What more calls cost than fewer on as many connections, which then cancel out."""
    h2load, pid = H2load(opt.kit.folder), server.serving()
    calls = max(load.counted // opt.fewer, 1)
    few = load.connections * load.streams // 4 or 1
    failed = h2load.run(server, load, calls=few + calls)["failed"]
    counter.zero(pid)
    counts = []
    for n in (few, few + calls):
        failed += h2load.run(server, load, calls=n)["failed"]
        counts.append(counter.count(pid))
    return {"instructions": round((counts[1] - counts[0]) / (calls * load.messages)), "failed": failed}


def stage_instructions(peers, opt):
    """Instructions of a call, or of a message of a stream, of programs that valgrind understands."""
    result = {}
    for peer in peers:
        if not peer.native:
            continue
        folder = os.path.join(opt.kit.folder, "callgrind-" + peer.name)
        os.makedirs(folder)
        counter = Callgrind(folder)
        with peer.start(under=counter.command) as server:
            for load in opt.loads:
                if peer.has(load):
                    say(f"instructions: {load.name}, {peer.name}")
                    result.setdefault(load.name, {})[peer.name] = instructions_of(server, load, counter, opt)
    return result
