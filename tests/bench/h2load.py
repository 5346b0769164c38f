# SPDX-License-Identifier: MIT
"""h2load, the generator of load, and a client of gRPC that checks what it cannot: that replies are right."""
import contextlib
import os
import re
import subprocess

import grpc

RUN_LIMIT = 60
SUCCESS = b"\x08\xc8\x01"  # the end of every good reply: error { code: 200 }


def unframed(body):
    messages = []
    while body:
        length = int.from_bytes(body[1:5], "big")
        messages.append(body[5:5 + length])
        body = body[5 + length:]
    return messages


def reply_size(server, load):
    """Calls once with a client that understands gRPC; the bytes of the replies, as they travel."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port_of(load)}",
                               options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        method = channel.stream_stream(load.path)
        requests = unframed(load.body)
        replies = list(method(iter(requests), timeout=RUN_LIMIT, metadata=[("x-brick", load.brick)] if load.brick else None))
    if len(replies) < load.messages or not all(reply.endswith(SUCCESS) for reply in replies):
        raise RuntimeError(f"{server.name}, {load.name}: {len(replies)} replies, the last {replies[-1:]}")
    return sum(5 + len(reply) for reply in replies)


class H2load:
    """Runs h2load and understands what it says."""

    def __init__(self, folder):
        self.body = os.path.join(folder, "body")
        self.log = os.path.join(folder, "h2load.log")

    def command(self, server, load, seconds=0, calls=0, log=False, rate=None, warm_up=None):
        """For so many seconds, or so many calls."""
        with open(self.body, "wb") as f:
            f.write(load.body)
        much = ["-n", str(calls)] if calls else ["-D", f"{int(seconds * 1000)}ms"]
        connections = min(load.connections, calls) if calls else load.connections
        argv = ["h2load", "-t", "1", "-c", str(connections), "-m", str(load.streams), *much, "-d", self.body, "-H", "content-type: application/grpc", "-H", "te: trailers"]
        if load.brick:
            argv += ["-H", f"x-brick: {load.brick}"]
        if log:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.log)
            argv += ["--log-file=" + self.log]
        if rate:
            argv += [f"--rps={max(rate / load.connections, 1):.0f}"]
        if warm_up:
            argv += [f"--warm-up-time={int(warm_up * 1000)}ms"]
        return argv + [f"http://127.0.0.1:{server.port_of(load)}{load.path}"]

    def parse(self, out):
        requests = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
        finished = re.search(r"finished in ([\d.]+)(us|ms|s)", out)
        traffic = re.search(r"\((\d+)\) data", out)
        if not (requests and finished and traffic):
            raise RuntimeError("h2load says:\n" + out[-2000:])
        done, good, failed, errored, timeout = map(int, requests.groups())
        return {"calls": good, "done": done, "failed": failed + errored + timeout, "bytes": int(traffic[1]),
                "seconds": float(finished[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1}[finished[2]]}

    def run(self, *args, **kwargs):
        """Again, if a busy machine has let no call end in so short a time: that measures nothing."""
        argv = self.command(*args, **kwargs)
        for _ in range(5):
            result = self.parse(subprocess.run(argv, capture_output=True, text=True, timeout=RUN_LIMIT).stdout)
            if result["done"]:
                break
        return result

    def latencies(self):
        """Of the run that was logged, in us, sorted."""
        with open(self.log) as f:
            return sorted(int(line.split()[2]) for line in f)
