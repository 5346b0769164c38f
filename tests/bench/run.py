#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""brickd's benchmark: brickd beside other servers of the same service, in interleaved rounds. See README.md."""
import argparse
import contextlib
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile

import report
import servers
from scenarios import LOADS
from servers import SOURCE, Brickd, Kit, Server
from stages import STAGES, rise_limits, say


class Peer:
    """How to start a server, and which loads it takes: those whose name has `only` in it."""

    def __init__(self, name, start, only="", is_brickd=False):
        self.name, self.start, self.only, self.streams_tokens = name, start, only, is_brickd

    def has(self, load):
        return self.only in load.name and (self.streams_tokens or not load.brick)


def peer_of_command(name, command, kit, cwd=SOURCE, only=""):
    return Peer(name, lambda **_: Server(name, command, kit.folder, cwd=cwd), only)


def peer_of_brickd(name, kit, only="", **options):
    return Peer(name, lambda **more: Brickd(name, kit, **options, **more), only, is_brickd=True)


def built_peers(folder, kit):
    """The programs that peers/build.sh has left there."""
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.is_file() and os.access(entry, os.X_OK):
                yield peer_of_command(entry.name, f"{shlex.quote(entry.path)} {{port}}", kit)


def all_peers(kit, folder, commands):
    core = f"{kit.build}/tests/bench/peer-core {{port}}"
    peers = [
        peer_of_brickd("brickd", kit),
        peer_of_brickd("brickd-2-workers", kit, "16x16", workers=2),
        peer_of_brickd("brickd-access-log", kit, "49 B, 1x64", access="all"),
        peer_of_command("core", core, kit),
        peer_of_command("core-2", core + " 2", kit, only="16x16"),
        peer_of_command("python", f"{servers.HERE}/peers/python.py {{port}} {kit.stubs}", kit),
        *built_peers(folder, kit),
    ]
    for command in commands:
        name, _, command = command.partition("=")
        peers.append(peer_of_command(name, command, kit, cwd=os.getcwd()))
    return peers


def machine():
    with open("/proc/cpuinfo") as f:
        cpu = next((line.partition(": ")[2].strip() for line in f if line.startswith("model name")), platform.machine())
    return {"cpus": os.cpu_count(), "cpu": cpu, "kernel": platform.release(),
            "system": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
            "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)}


def build(folder):
    """A release build, unless one is there."""
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        subprocess.run(["meson", "setup", "--buildtype", "release", folder, SOURCE], check=True, stdout=sys.stderr)
    subprocess.run(["ninja", "-C", folder], check=True, stdout=sys.stderr)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.path.join(SOURCE, "build", "release"), metavar="DIR",
                        help="a build directory; made if it is not there (default: build/release)")
    parser.add_argument("--no-build", action="store_true", help="use it as it is")
    parser.add_argument("--peers", default=os.path.join(SOURCE, "build", "peers"), metavar="DIR",
                        help="what peers/build.sh has built takes part, too (default: build/peers)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND",
                        help="one more server; {port} in the command is where it has to listen. Repeatable")
    parser.add_argument("--only", metavar="NAMES", help="of the servers, only these, separated by commas")
    parser.add_argument("--stages", default=",".join(STAGES), help="of " + ",".join(STAGES))
    parser.add_argument("--loads", default="", metavar="WORD", help="of the loads, those with this in their names")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of one measurement")
    parser.add_argument("--idle", type=int, default=500, metavar="N", help="connections and streams that do nothing")
    parser.add_argument("--scale", default="1,100,1000,10000", metavar="N,...", help="connections and open streams")
    parser.add_argument("--streams", type=int, default=2000, help="token streams")
    parser.add_argument("--token-rate", type=int, default=20, help="tokens a second of each")
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.svg")
    parser.add_argument("--markdown", metavar="FILE", help="measure nothing: print a FILE.json as Markdown")
    parser.add_argument("--summary", metavar="FILE", help="measure nothing: print the rates of a FILE.json as Markdown")
    opt = parser.parse_args()
    opt.build, opt.peers = os.path.abspath(opt.build), os.path.abspath(opt.peers)
    opt.scale = [int(n) for n in opt.scale.split(",")]
    opt.stages = opt.stages.split(",")
    opt.loads = [load for load in LOADS if opt.loads in load.name]
    if set(opt.stages) - set(STAGES):
        parser.error("--stages: there are " + ",".join(STAGES))
    if not all(name and command for name, _, command in (peer.partition("=") for peer in opt.peer)):
        parser.error("--peer: NAME=COMMAND")
    return opt


def measure(opt):
    result = {"machine": machine(), "rounds": opt.rounds, "seconds": opt.seconds}
    with tempfile.TemporaryDirectory(prefix="brickd-bench-") as folder:
        opt.kit = Kit(opt.build, folder)
        peers = all_peers(opt.kit, opt.peers, opt.peer)
        if opt.only:
            names = opt.only.split(",")
            unknown = set(names) - {peer.name for peer in peers}
            if unknown:
                sys.exit(f"run.py: no server of the name {', '.join(unknown)}")
            peers = [peer for peer in peers if peer.name in names]
        whole = [peer for peer in peers if not peer.only]
        for name in opt.stages:
            result[name] = STAGES[name](peers if name == "load" else whole, opt)
        servers.stop_all()
    say("")
    return result


def write(result, name):
    with open(name + ".json", "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    with open(name + ".svg", "w") as f:
        f.write(report.svg(result))


def failures(result):
    return sum(figures.get("failed", 0) for stage in STAGES for row in result.get(stage, {}).values()
               for figures in row.values())


def main():
    opt = parse_arguments()
    if opt.markdown or opt.summary:
        with open(opt.markdown or opt.summary) as f:
            form = report.as_markdown if opt.markdown else report.as_summary
            print(form(json.load(f)), end="")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    rise_limits()
    if not opt.no_build:
        build(opt.build)
    try:
        result = measure(opt)
    except (RuntimeError, OSError, subprocess.SubprocessError) as e:
        sys.exit(f"run.py: {e}")
    print(report.as_text(result), end="")
    if opt.output:
        write(result, opt.output)
    return 1 if failures(result) else 0


if __name__ == "__main__":
    sys.exit(main())
