# SPDX-License-Identifier: MIT
"""Three servers in the four ways of brickd-scaling(7), whose configurations are those of the page to the letter, each program
in a network namespace: what clients lose when a server is reloaded, stopped, frozen or killed.

Prints what the table of the page is made of. Needs root for the namespaces, all of which end with the test."""
import collections
import datetime
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import grpc

from harness import BUILD, LIBEXEC, SOURCE, Skip, Stopwatch, eq, main, path, temp_dir, test, wait_for
from names import Names

PAGE = os.path.join(SOURCE, "man", "brickd-scaling.7.scd")
NAME, HERE, PORT = "brickd.example", "192.0.2.1", 50051
SERVERS = "192.0.2.11", "192.0.2.12", "192.0.2.13"
CALLS = {"chat": path("LLM", "Unary"), "shield": path("Guard", "Unary")}  # the page lets only those of `shield` be repeated
PACE = 0.02  # seconds between two calls of a brick in one way
DEADLINE = 20  # of a call; more than any way needs to notice that a server does not answer
FREEZE = 14  # as well
SETTLED = 1  # seconds for which all goes well at the end of each event
STALL = 0.3  # seconds for which this machine may stand still before what was lost is not held against anybody

INSIDE = "SCALING_INSIDE"  # is in the environment of the process that is in the namespaces
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
PROBE = """mount -t tmpfs tmpfs /run
ip netns add a
ip link add name b type bridge
ip link add name c type veth peer name d netns a
ip netns exec a true"""


def why_not():
    """Why this machine does not allow the test, or None."""
    if os.geteuid():
        return "it must be root, for network namespaces"
    if not os.path.lexists("/etc/resolv.conf"):
        return "there is no /etc/resolv.conf to replace"
    for program in ("haproxy", "nginx", "ip", "unshare"):
        if not shutil.which(program):
            return f"there is no {program}"
    tried = subprocess.run([*UNSHARE, "sh", "-ec", PROBE], capture_output=True, text=True, timeout=60)
    return f"no network namespaces: {tried.stderr.strip()}" if tried.returncode else None


def run(*command):
    subprocess.run(command, check=True, timeout=60)


def from_page(first):
    """The example whose first line is this comment."""
    with open(PAGE) as f:
        examples = f.read().split("```\n")[1::2]
    found, = [example for example in examples if example.startswith(f"# {first}\n")]
    return found


class Network:
    """A bridge for the hosts, a name server, and places that programs may write to."""

    def __init__(self):
        self.folder = temp_dir()
        for place in "/run", "/var/lib":
            run("mount", "-t", "tmpfs", "tmpfs", place)
        os.makedirs("/var/lib/nginx")
        self.resolve("/etc/resolv.conf")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "name", "bridge", "type", "bridge")
        run("ip", "addr", "add", f"{HERE}/24", "dev", "bridge")
        run("ip", "link", "set", "bridge", "up")
        Names(HERE, NAME, SERVERS)

    def resolve(self, resolver):
        """Makes libraries ask the name server."""
        place = os.path.realpath(resolver)
        if place.startswith("/run/"):  # which is empty now
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "x"):
                pass
        run("mount", "--bind", self.file("resolv.conf", f"nameserver {HERE}\n"), place)

    def file(self, name, text):
        name = os.path.join(self.folder, name)
        with open(name, "w") as f:
            f.write(text)
        return name

    def host(self, address):
        name = "host" + address.split(".")[-1]
        run("ip", "netns", "add", name)
        run("ip", "link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", name, "master", "bridge", "up")
        run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        return name


class Program:
    """A program on a host of its own, with a /run of its own, and an example of the page."""

    def __init__(self, network, address, example, *command):
        self.address, self.host = address, network.host(address)
        config = network.file(f"{self.host}.conf", from_page(example))
        self.command = [part.format(config=config) for part in command]
        self.log_path = os.path.join(network.folder, f"{self.host}.log")
        self.start()

    def start(self):
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.host, "sh", "-c", 'mount -t tmpfs tmpfs /run; exec "$@"', "sh", *self.command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | LIBEXEC | {"BRICKD_MODULES": os.path.join(BUILD, "src", "bricks")})

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def channel(self):
        """That of a client that knows of one server."""
        return grpc.insecure_channel(f"{self.address}:{PORT}", options=[("grpc.use_local_subchannel_pool", 1)])


class Brickd(Program):
    def __init__(self, network, address, example):
        super().__init__(network, address, example, os.path.join(BUILD, "src", "brickd"), "-c", "{config}")

    def signal_all(self, number):
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            workers = [int(child) for child in f.read().split()]
        for pid in pid, *workers:
            os.kill(pid, number)

    def callers(self, begin=""):
        """The addresses of the calls that have ended since then, by the times of the lines: old ones may come late."""
        return set(re.findall(r" peer=ipv4:([0-9.]+)", "\n".join(line for line in self.log().splitlines() if line > begin)))


Outcome = collections.namedtuple("Outcome", "brick sent took status")


class Way:
    """What clients call, and what has become of the calls since begin()."""

    def __init__(self, name, peer, channel):
        self.name, self.peer, self.channel = name, peer, channel
        self.lock, self.outcomes, self.open = threading.Lock(), [], 0

    def begin(self):
        with self.lock:
            self.outcomes = []

    def send(self, brick):
        sent = time.monotonic()

        def ended(call):
            with self.lock:
                self.open -= 1
                self.outcomes.append(Outcome(brick, sent, time.monotonic() - sent, call.code().name))

        with self.lock:
            self.open += 1
        self.channel.unary_unary(CALLS[brick]).future(b"", timeout=DEADLINE).add_done_callback(ended)

    def result(self):
        with self.lock:
            return Result(self.name, list(self.outcomes))


class Result:
    def __init__(self, way, outcomes):
        self.way = way
        self.calls = {brick: [o for o in outcomes if o.brick == brick] for brick in CALLS}
        self.lost = {brick: [o for o in self.calls[brick] if o.status != "OK"] for brick in CALLS}
        answers = sorted(o.sent + o.took for o in outcomes if o.status == "OK")
        self.silence = max(b - a for a, b in zip(answers, answers[1:]))

    def __str__(self):
        bricks = "; ".join(
            f"{brick} {len(self.lost[brick])} of {len(calls)} lost {sorted({o.status for o in self.lost[brick]}) or ''}, "
            f"slowest {max(o.took for o in calls):.2f} s" for brick, calls in self.calls.items())
        return f"{self.way:8} {bricks}; {self.silence:.2f} s without an answer"


class Load(threading.Thread):
    """Calls in all ways at one pace, whatever becomes of them."""

    def __init__(self, ways):
        super().__init__(daemon=True)
        self.ways, self.over = ways, threading.Event()

    def run(self):
        due = time.monotonic()
        while not self.over.wait(max(0, due - time.monotonic())):
            due = max(due + PACE, time.monotonic() - PACE)  # what a stall has kept back is not made up for
            for way in self.ways:
                for brick in CALLS:
                    way.send(brick)


class Site:
    """The servers, and clients of all ways to them."""

    def __init__(self):
        network = Network()
        self.servers = [Brickd(network, address, "/etc/brickd/brickd.yaml of each server") for address in SERVERS]
        proxies = {
            "HAProxy": Program(network, "192.0.2.21", "/etc/haproxy/haproxy.cfg", "haproxy", "-db", "-f", "{config}"),
            "nginx": Program(network, "192.0.2.22", "/etc/nginx/nginx.conf", "nginx", "-e", "stderr", "-c", "{config}", "-g",
                             "daemon off; user root; pid /run/nginx.pid;"),
            "brickd": Brickd(network, "192.0.2.23", "/etc/brickd/brickd.yaml of the server in front"),
        }
        client = {}
        exec(from_page("client.py"), client)
        self.ways = [Way("client", HERE, client["channel"]),
                     *(Way(name, proxy.address, proxy.channel()) for name, proxy in proxies.items())]
        self.load = Load(self.ways)
        self.load.start()
        for server in self.servers:
            self.calls(server)

    def calls(self, server, begin=""):
        """Waits until the server gets calls in all ways."""
        wait_for(f"calls in all ways to {server.address}", lambda: server.callers(begin) >= {way.peer for way in self.ways})

    def results(self, event, server):
        """Of each way, by its name; and how long the machine stood still."""
        for way in self.ways:
            way.begin()
        watch = Stopwatch()
        event(server)
        self.calls(server, datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"))
        time.sleep(SETTLED)
        elapsed = watch.elapsed()
        results = {way.name: way.result() for way in self.ways}
        print(f"# {event.__name__}, {elapsed.seconds:.1f} s:", flush=True)
        for result in results.values():
            print(f"#   {result}", flush=True)
        return results, elapsed.seconds - elapsed.running

    def close(self):
        self.load.over.set()
        self.load.join()


site = None
missing = None  # why there is no site


def lost(event, server, expected):
    """Of chat and shield, at most, in each way; nowhere is there a second without an answer."""
    if missing:
        raise Skip(missing)
    results, stalled = site.results(event, site.servers[server])
    if stalled > STALL:
        print(f"# not judged: the machine stood still for {stalled:.1f} s", flush=True)
        return
    for way, most in expected.items():
        for brick, number in zip(CALLS, most):
            found = len(results[way].lost[brick])
            assert found <= number, f"{way} has lost {found} calls of {brick}, more than {number}"
        assert results[way].silence < 1 + STALL, f"{way} was without an answer for {results[way].silence} s"


IN_FLIGHT = 25  # calls that may be in flight to one server, or come until a closed connection is noticed; 4 if nobody is late
NOTICED = 500  # calls that may be lost until keepalive notices, of 700; 230 if nobody is late


@test
def a_reload_loses_nothing():
    def reload(server):
        server.process.send_signal(signal.SIGHUP)
        wait_for("the reload", lambda: "generation 2" in server.log())

    lost(reload, 0, dict.fromkeys(("client", "HAProxy", "nginx", "brickd"), (0, 0)))


@test
def a_stop_loses_nothing_where_health_is_asked_for():
    def stop(server):
        server.process.send_signal(signal.SIGTERM)
        eq(server.process.wait(20), 0)
        server.start()

    lost(stop, 1, {"client": (0, 0), "HAProxy": (0, 0), "nginx": (IN_FLIGHT, IN_FLIGHT), "brickd": (0, 0)})


@test
def a_frozen_server_is_noticed():
    def freeze(server):
        server.signal_all(signal.SIGSTOP)
        time.sleep(FREEZE)
        server.signal_all(signal.SIGCONT)

    # HAProxy 3.0 does not repeat calls that have timed out; 2.6 does
    lost(freeze, 2, {"client": (NOTICED, 0), "HAProxy": (NOTICED / 3, NOTICED / 3), "nginx": (NOTICED / 2, NOTICED / 2),
                     "brickd": (NOTICED, 0)})


@test
def a_killed_server_loses_what_it_was_working_on():
    def kill(server):
        server.signal_all(signal.SIGKILL)
        server.process.wait(20)
        time.sleep(SETTLED)
        server.start()

    lost(kill, 0, {"client": (IN_FLIGHT, 0), "HAProxy": (IN_FLIGHT, 0), "nginx": (IN_FLIGHT, IN_FLIGHT),
                   "brickd": (IN_FLIGHT, 0)})


if __name__ == "__main__":
    if INSIDE not in os.environ:
        missing = why_not()
        if not missing:
            os.environ |= {INSIDE: "1", "GRPC_VERBOSITY": "NONE"}
            os.execvp("unshare", [*UNSHARE, sys.executable, "-B", *sys.argv])
        main()
    site = Site()
    try:
        main()
    finally:
        site.close()
