#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""brickd's benchmark: brickd beside other servers of the same service, in interleaved slices. See README.md."""
import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import tempfile

import report
import servers
from scenarios import LOADS
from servers import SOURCE, Brickd, Kit, Server, say
from slices import stage_instructions, stage_load
from stages import STAGES as OTHER_STAGES
from stages import rise_limits

STAGES = {"load": stage_load, "instructions": stage_instructions} | OTHER_STAGES
USUAL = "load,instructions,idle,tokens"
NATIVE = {"core", "cpp", "rust-h2"}  # and brickd: programs whose instructions valgrind can count


class Peer:
    """How to start a server, and which loads it takes: those whose name has `only` in it."""

    def __init__(self, name, start, only="", is_brickd=False):
        self.name, self.start, self.only, self.streams_tokens = name, start, only, is_brickd
        self.native = is_brickd or name in NATIVE

    def has(self, load):
        return self.only in load.name and (self.streams_tokens or not load.brick)


def peer_of_command(name, command, kit, cwd=SOURCE, only=""):
    return Peer(name, lambda under="", **_: Server(name, command, kit.folder, cwd=cwd, under=under), only)


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
    python = f"{servers.HERE}/peers/python.py {{port}} {kit.stubs}"
    peers = [
        peer_of_brickd("brickd", kit),
        peer_of_brickd("brickd-2-workers", kit, "16x16", workers=2),
        peer_of_brickd("brickd-access-log", kit, "49 B, 1x64", access="all"),
        peer_of_command("core", core, kit),
        peer_of_command("core-2", core + " 2", kit, only="16x16"),
        peer_of_command("python", python, kit),
        peer_of_command("python-threads", python + " threads", kit, only="unary"),
        *built_peers(folder, kit),
    ]
    for command in commands:
        name, _, command = command.partition("=")
        peers.append(peer_of_command(name, command, kit, cwd=os.getcwd()))
    return list({peer.name: peer for peer in peers}.values())  # the last of a name


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
    parser.add_argument("--stages", default=USUAL, help=f"of {','.join(STAGES)} (default: {USUAL})")
    parser.add_argument("--loads", default="", metavar="WORD", help="of the loads, those with this in their names")
    parser.add_argument("--rounds", type=int, default=8, help="of slices; of other measurements at most 3")
    parser.add_argument("--seconds", type=float, default=0.7, help="of one slice, or other measurement")
    parser.add_argument("--fewer", type=int, default=1, metavar="N", help="count an Nth of the calls that are counted")
    parser.add_argument("--idle", type=int, default=500, metavar="N", help="connections and streams that do nothing")
    parser.add_argument("--scale", default="1,100,1000,10000", metavar="N,...", help="connections and open streams")
    parser.add_argument("--streams", type=int, default=1000, help="token streams")
    parser.add_argument("--token-seconds", type=int, default=5, help="for which they are measured")
    parser.add_argument("--token-rate", type=int, default=20, help="tokens a second of each")
    parser.add_argument("--output", metavar="FOLDER", help="write DATE.json there; report.py makes tables of them")
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
    result = {"date": f"{datetime.datetime.now():%Y-%m-%d %H:%M}", "machine": machine(), "rounds": opt.rounds, "seconds": opt.seconds}
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
            if opt.output:
                write(result, opt.output)
        servers.stop_all()
    say("")
    return result


def write(result, folder):
    """One line for each server of a load."""
    os.makedirs(folder, exist_ok=True)
    text = json.dumps(result, indent=1)
    text = re.sub(r"\n {4,}|\n {3}(?=[}\]])", " ", text)
    with open(os.path.join(folder, re.sub(r"\D", "", result["date"]) + ".json"), "w") as f:
        f.write(text + "\n")


def failures(result):
    return sum(sum(failed) if isinstance(failed, list) else failed
               for stage in STAGES for row in result.get(stage, {}).values()
               for failed in (figures.get("failed", 0) for figures in row.values()))


def main():
    opt = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    rise_limits()
    if not opt.no_build:
        build(opt.build)
    try:
        result = measure(opt)
    except (RuntimeError, OSError, subprocess.SubprocessError) as e:
        sys.exit(f"run.py: {e}")
    print(report.as_text([result]), end="")
    return 1 if failures(result) else 0


if __name__ == "__main__":
    sys.exit(main())
