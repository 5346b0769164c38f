# SPDX-License-Identifier: MIT
"""Servers that are measured: their processes, memory and time of processors."""
import atexit
import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

from scenarios import BRICKS_CONFIG, SMALL, TOKENS, UNARY
from wire import Connection

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
PAGE = os.sysconf("SC_PAGE_SIZE")
START_LIMIT = 60
STOP_LIMIT = 10
DOCUMENTS = 2000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


running = set()


def say(text):
    """Progress, for who watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def stop(process):
    """Ends a process that was started by spawn(), and what is left of its group."""
    if process.poll() is None:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_LIMIT)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    running.discard(process)


@atexit.register
def stop_all():
    for process in list(running):
        stop(process)


def spawn(argv, **kwargs):
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, **kwargs)
    running.add(process)
    return process


def process_tree(pid):
    """The process and its descendants."""
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as f:
            todo += map(int, f.read().split())
    return found


def cpu_seconds(pids):
    """By the processes' own clocks, which count nanoseconds and threads that have ended."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid() makes it
    return total


def resident_bytes(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/statm") as f:
            total += int(f.read().split()[1])
    return total * PAGE


class Server:
    """A running server of LLMService. What it says goes to a file of the folder."""

    def __init__(self, name, command, folder, port=None, cwd=SOURCE, env=None, under=""):
        """under: the beginning of the command, such as valgrind."""
        self.name, self.port = name, port or free_port()
        self.log_path = os.path.join(folder, name + ".log")
        argv = shlex.split(f"{under} {command}".replace("{port}", str(self.port)))
        began = time.monotonic()
        with open(self.log_path, "wb") as log:
            self.process = spawn(argv, cwd=cwd, env=env, stdout=log, stderr=log)
        self.answers_after = self._wait_for_answer() - began

    def _wait_for_answer(self):
        end = time.monotonic() + START_LIMIT
        while time.monotonic() < end and self.alive():
            with contextlib.suppress(OSError), Connection(self.port) as connection:
                stream = connection.call(UNARY, SMALL)
                connection.wait(lambda: stream in connection.ended)
                return time.monotonic()
            time.sleep(0.0005)
        self.stop()
        raise RuntimeError(f"{self.name} does not answer; see {self.log_path}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def port_of(self, load):
        return self.port

    def cpu(self):
        return cpu_seconds(process_tree(self.process.pid))

    def serving(self):
        """The process that serves calls."""
        return self.process.pid

    def memory(self):
        return resident_bytes(process_tree(self.process.pid))

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        stop(self.process)


class Brickd(Server):
    """The only one with the loads that name a brick."""

    def __init__(self, name, kit, default=False, upstream=None, workers=1, access="off", under=""):
        """default: with the configuration that is installed, on another port. under: what the workers run under."""
        folder = os.path.join(kit.folder, name)
        os.makedirs(folder, exist_ok=True)
        port, self.port_bricks = free_port(), free_port()
        if default:
            text = kit.default_config(port)
        else:
            text = BRICKS_CONFIG.format(port=port, port_bricks=self.port_bricks, build=kit.build, index=kit.index,
                                        upstream=(upstream or kit.upstream).port, workers=workers, access=access)
        self.config = os.path.join(folder, "brickd.yaml")
        with open(self.config, "w") as f:
            f.write(text + f'modules: "{kit.build}/src/bricks"\ncontrol: "{folder}/control"\n')
        self.kit = kit
        env = kit.env | {"BRICKD_WORKER": self._worker_under(under, folder)} if under else kit.env
        super().__init__(name, f"{kit.build}/src/brickd -c {self.config}", kit.folder, port, env=env)

    def _worker_under(self, command, folder):
        path = os.path.join(folder, "worker")
        with open(path, "w") as f:
            f.write(f'#!/bin/sh\nexec {command} "{self.kit.env["BRICKD_WORKER"]}" "$@"\n')
        os.chmod(path, 0o755)
        return path

    def port_of(self, load):
        return self.port_bricks if load.brick else self.port

    def ready_after(self):
        """Seconds from its start to READY=1, by its own account."""
        end = time.monotonic() + START_LIMIT
        while time.monotonic() < end:
            match = re.search(r"Ready: .* (\d+) ms\)", self.log())
            if match:
                return int(match[1]) / 1000
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} does not say that it is ready; see {self.log_path}")

    def workers(self):
        return process_tree(self.process.pid)[1:]

    def serving(self):
        return self.workers()[0]

    def memory_of_main(self):
        return resident_bytes([self.process.pid])

    def reload(self):
        """Seconds."""
        began = time.monotonic()
        subprocess.run([f"{self.kit.build}/src/ctl/brickctl", "-c", self.config, "reload"], env=self.kit.env,
                       check=True, capture_output=True, timeout=START_LIMIT)
        return time.monotonic() - began


class Upstream:
    """What the brick `chat` asks. rate: tokens a second; 0: all at once."""

    def __init__(self, build, tokens, rate):
        self.process = spawn([f"{build}/tests/bench/upstream", str(tokens), str(rate)], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        stop(self.process)


class Kit:
    """What the servers need besides themselves: programs, an index to search, an upstream, a folder for files."""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        self.env = os.environ | {"BRICKD_WORKER": f"{build}/src/brickd-worker",
                                 "BRICKD_LIBEXEC": f"{build}/src/bricks/retrieval-fts",
                                 "BRICKD_DATA": f"{build}/src/bricks"}
        self.index = os.path.join(folder, "docs.db")
        self.stubs = os.path.join(folder, "stubs")
        self.upstream = Upstream(build, TOKENS, 0)
        self._make_index()
        self._make_stubs()

    def default_config(self, port):
        with open(f"{self.build}/conf/brickd.yaml") as f:
            text = f.read()
        changed = text.replace("127.0.0.1:50051", f"127.0.0.1:{port}")
        if changed == text:
            raise RuntimeError("conf/brickd.yaml listens elsewhere than on 127.0.0.1:50051")
        return changed.replace("127.0.0.1:8080", "127.0.0.1:0")

    def _make_index(self):
        documents = os.path.join(self.folder, "docs.jsonl")
        with open(documents, "w") as f:
            for i in range(DOCUMENTS):
                words = " ".join(f"word{i * k % 997}" for k in range(1, 200))
                f.write(json.dumps({"id": str(i), "title": f"Document {i}", "text": words}) + "\n")
        subprocess.run([f"{self.build}/src/ctl/brickctl", "index", "--db", self.index, documents], env=self.env,
                       check=True, capture_output=True, timeout=60)

    def _make_stubs(self):
        os.mkdir(self.stubs)
        subprocess.run(["protoc", "-I.", "-I/usr/include", "--python_out=" + self.stubs,
                        "protocols/grpc/llm/llm.proto", "protocols/grpc/common/common.proto"],
                       cwd=os.path.join(SOURCE, "proto"), check=True, timeout=60)
