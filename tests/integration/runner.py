# SPDX-License-Identifier: MIT
"""The runner of Python bricks, brickd-python, without brickd: on a socket of its own, with the test as its supervisor."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import grpc

from harness import BUILD, START_LIMIT, STOP_LIMIT, temp_dir, wait_for

RUNNER = os.path.join(BUILD, "src", "python", "brickd-python")


class Runner:
    """A process of `python` (the path of an interpreter). What it says and what it tells its supervisor are lists of
    lines that grow."""

    def __init__(self, *args, kind="Guard", python=sys.executable, arguments=None, grace=None, watchdog_ms=0, env=None,
                 before=()):
        self.dir = temp_dir()
        self.socket = os.path.join(self.dir, "socket")
        self.messages, self.lines = [], []
        self.inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.inbox.bind(os.path.join(self.dir, "notify"))
        environment = os.environ | {
            "BRICKD_SOCKET": self.socket,
            "NOTIFY_SOCKET": os.path.join(self.dir, "notify"),
            "WATCHDOG_USEC": str(watchdog_ms * 1000),
        } | (env or {})
        if arguments is not None:
            environment["BRICKD_ARGUMENTS"] = json.dumps(arguments)
        if grace is not None:
            environment["BRICKD_GRACE"] = str(grace)
        self.process = subprocess.Popen([*before, python, RUNNER, "--type", kind, *args], cwd=self.dir, env=environment,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.readers = [threading.Thread(target=read, daemon=True) for read in (self.read_messages, self.read_lines)]
        for reader in self.readers:
            reader.start()

    def read_messages(self):
        with contextlib.suppress(OSError):
            while True:
                self.messages += self.inbox.recv(65536).decode().split("\n")

    def read_lines(self):
        for line in self.process.stdout:
            self.lines.append(line.decode().rstrip("\n"))

    def __enter__(self):
        wait_for("READY=1", lambda: "READY=1" in self.messages or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise AssertionError("the runner has ended: " + "\n".join(self.lines))
        self.channel = grpc.insecure_channel(f"unix:{self.socket}",
                                             options=[("grpc.use_local_subchannel_pool", 1),
                                                      ("grpc.max_receive_message_length", -1)])
        return self

    def __exit__(self, kind, value, trace):
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(STOP_LIMIT)
        if kind:
            print("# --- the runner said:\n# " + "\n# ".join(self.lines[-60:]))

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def ended(self):
        """Waits for the end: exit status."""
        status = self.process.wait(STOP_LIMIT)
        self.readers[1].join(STOP_LIMIT)  # what it said last
        return status

    def told(self, message):
        """How often it has told its supervisor that, until now: what it sent is read when what is sent now is."""
        mark = f"mark {len(self.messages)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(mark.encode(), self.inbox.getsockname())
        wait_for("the messages", lambda: mark in self.messages)
        return self.messages.count(message)

    def says(self, text, limit=START_LIMIT):
        wait_for(f"{text!r} of the runner", lambda: any(text in line for line in self.lines), limit)
