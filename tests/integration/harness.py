# SPDX-License-Identifier: MIT
"""What the integration tests share: a real brickd on a free port, grpcio clients, TAP output.

Usage: test_NAME.py BUILD_DIR   (with the repository's root as the current folder or in $SOURCE_DIR)

A process that has used gRPC cannot fork on Debian 13: gRPC waits there for its threads, without end. What has to be done in a
new process before the program starts is done by another program (prlimit, setsid, sh, taskset), not by preexec_fn.
"""
import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import grpc

from ports import free_port
from stopwatch import Stopwatch

BUILD = os.path.abspath(sys.argv[1])
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(BUILD, "src", "brickd-worker"), "rb") as _worker:
    SANITIZED = b"__asan_init" in _worker.read()  # which keeps what has been freed, and takes its time
START_LIMIT = 60
STOP_LIMIT = 20
CALL_LIMIT = 20
# What brickd would find where it is installed.
LIBEXEC = {
    "BRICKD_WORKER": os.path.join(BUILD, "src", "brickd-worker"),
    "BRICKD_EXEC": os.path.join(BUILD, "src", "exec", "brickd-exec"),
    "BRICKD_PYTHON": os.path.join(BUILD, "src", "python", "brickd-python"),
}
# For brickctl, whose leaks its own test looks for: the search takes most of its time.
NO_LEAK_CHECK = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def temp_dir():
    path = tempfile.mkdtemp(prefix="brickd-test-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def generate_stubs():
    """Python messages of proto/, made at run time by protoc; importable afterwards. The folder with them."""
    out = temp_dir()
    files = subprocess.check_output(
        ["find", "protocols", "-name", "*.proto"], cwd=os.path.join(SOURCE, "proto"), text=True)
    subprocess.check_call(
        ["protoc", "-I.", "-I/usr/include", "--python_out=" + out] + files.split(),
        cwd=os.path.join(SOURCE, "proto"))
    sys.path.insert(0, out)
    return out


def wait_for(what, condition, limit=START_LIMIT):
    """Polls until the condition holds; an error that names `what` after the limit."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {limit} s")
        time.sleep(0.02)


class Brickd:
    """The real daemon. `bricks` is the text of the list under `bricks:`; {tests} and {modules} in it are folders."""

    def __init__(self, bricks, extra="", port_extra="", modules=None, port=None, env=None,
                 start_limit=START_LIMIT):
        self.dir = temp_dir()
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.modules = modules or os.path.join(BUILD, "tests", "module")
        self.config = os.path.join(self.dir, "brickd.yaml")
        self.log_path = os.path.join(self.dir, "log")
        self.extra, self.port_extra = extra, port_extra
        self.write(bricks)
        self.env = os.environ | LIBEXEC | (env or {})
        self.start_limit = start_limit
        self.process = None
        self.channels = []

    def write(self, bricks):
        with open(self.config, "w") as f:
            f.write(f'ports:\n  - listen: "{self.address}"\n{self.port_extra}\n'
                    f"bricks:\n{bricks}\n"
                    f"modules: {self.modules}\n"
                    f"control: {self.dir}/control\n{self.extra}\n")

    def start(self, ready=True):
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(
                [os.path.join(BUILD, "src", "brickd"), "-c", self.config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)
        if ready:
            try:
                wait_for("Ready", lambda: "Ready" in self.log() or self.process.poll() is not None,
                         self.start_limit)
            except AssertionError as e:
                self.process.kill()
                raise AssertionError(f"{e}: {self.log()[-3000:]}") from None
            if self.process.poll() is not None:
                raise AssertionError("brickd ended: " + self.log())
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        for channel in self.channels:
            channel.close()
        if self.process.poll() is None:
            self.stop()
        if kind and not (kind is SystemExit and value.code == 0):
            print("# --- log of brickd:\n# " + "\n# ".join(self.log().splitlines()[-60:]))

    def log(self):
        """The lines that it has written so far. Each process writes its own by a thread, some time after what they tell."""
        with open(self.log_path, errors="replace") as f:
            return "".join(f.read().rpartition("\n")[:2])

    def whole_log(self):
        """Stops brickd. Only what it has written then shows what the log does not have."""
        self.stop()
        return self.log()

    def says(self, text, times=1):
        """Waits until the log has the text so often. The log."""
        try:
            return wait_for(f"{text!r} in the log", lambda: (log := self.log()).count(text) >= times and log)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.log()[-3000:]}") from None

    def channel(self, **options):
        channel = grpc.insecure_channel(
            self.address, options=[("grpc.use_local_subchannel_pool", 1)] + list(options.items()))
        self.channels.append(channel)
        return channel

    def workers(self):
        """Process ids of the workers that live now."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(child) for child in f.read().split()]

    def ctl(self, *args, check=True, **kwargs):
        return subprocess.run([os.path.join(BUILD, "src", "ctl", "brickctl"), "-c", self.config, *args],
                              capture_output=True, text=True, timeout=60, check=check,
                              env=self.env | NO_LEAK_CHECK, **kwargs)

    def send(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        """Exit status, and how long it took (stopwatch.Elapsed)."""
        watch = Stopwatch()
        if self.process.poll() is None:
            self.send(number)
        try:
            status = self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("brickd did not stop: " + self.log()[-2000:])
        return status, watch.elapsed()


class Bystander:
    """A client in a process of its own; what it saw meanwhile."""

    def __init__(self, running, full):
        self.process = subprocess.Popen([sys.executable, os.path.join(os.path.dirname(__file__), "bystander.py"),
                                         running.address, full], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.seen()

    def seen(self):
        """What it has seen since the last time."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(START_LIMIT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def memory(running, key="VmRSS"):
    """Resident bytes of the only worker; None under a sanitizer, which keeps what is freed."""
    pid, = running.workers()
    with open(f"/proc/{pid}/maps") as f:
        maps = f.read()
    if any(name in maps for name in ("libasan", "libtsan", "libclang_rt")):
        return None
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(key + ":"))


def path(service, method):
    return f"/protocols.grpc.{service.lower()}.{service}Service/{method}"


def call(channel, full, request=b"", metadata=None, timeout=CALL_LIMIT):
    """A unary call with raw bytes: (reply or None, status name, details, trailers)."""
    try:
        reply, done = channel.unary_unary(full).with_call(request, timeout=timeout, metadata=metadata)
        return reply, "OK", done.details(), dict(done.trailing_metadata())
    except grpc.RpcError as e:
        return None, e.code().name, e.details(), dict(e.trailing_metadata() or ())


def stream(channel, full, request=b"", metadata=None, timeout=CALL_LIMIT):
    """An output stream with raw bytes: (replies, status name, details)."""
    replies = []
    rpc = channel.unary_stream(full)(request, timeout=timeout, metadata=metadata)
    try:
        for reply in rpc:
            replies.append(reply)
        return replies, "OK", rpc.details()
    except grpc.RpcError as e:
        return replies, e.code().name, e.details()


class Skip(Exception):
    """What a test needs is not there; why."""


_tests = []


def test(function):
    _tests.append(function)
    return function


def eq(actual, expected, what=""):
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {actual!r}")


def eq_soon(look, expected, what="", limit=START_LIMIT):
    """eq() of what look() returns, which may take a while to get there: a call ends for brickd a little later than for
    its client."""
    end = time.monotonic() + limit
    while (actual := look()) != expected and time.monotonic() < end:
        time.sleep(0.02)
    eq(actual, expected, what)


def main():
    """Runs the tests that the file declares, or those named on the command line; TAP."""
    chosen = [t for t in _tests if not sys.argv[2:] or re.search("|".join(sys.argv[2:]), t.__name__)]
    print(f"1..{len(chosen)}", flush=True)
    failed = 0
    for number, function in enumerate(chosen, 1):
        name = function.__name__.replace("_", " ")
        start = time.monotonic()
        try:
            function()
            print(f"ok {number} - {name} # {time.monotonic() - start:.1f} s", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception:
            failed += 1
            print("# " + "\n# ".join(traceback.format_exc().splitlines()))
            print(f"not ok {number} - {name}", flush=True)
    sys.exit(1 if failed else 0)
