# SPDX-License-Identifier: MIT
"""What noise does not touch: the system calls of running processes, counted by the kernel, and the instructions of a program
under callgrind."""
import contextlib
import ctypes
import glob
import os
import platform
import struct
import subprocess

import callgrind

SYS_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
TRACEPOINT = "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id"
PERF_TYPE_TRACEPOINT, INHERIT = 2, 1 << 1
ATTR_SIZE = 64  # PERF_ATTR_SIZE_VER0
VGDB_LIMIT = 30


def _tracepoint():
    """None: the kernel does not let us."""
    with contextlib.suppress(OSError), open(TRACEPOINT) as f:
        return int(f.read())


def _open_counter(tracepoint, thread):
    """A counter of the thread and of those that it starts; None: not allowed, or the thread has ended."""
    attr = struct.pack("<IIQQQQQ", PERF_TYPE_TRACEPOINT, ATTR_SIZE, tracepoint, 0, 0, 0, INHERIT).ljust(ATTR_SIZE, b"\0")
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(SYS_PERF_EVENT_OPEN[platform.machine()], attr, thread, -1, -1, 0)
    return fd if fd >= 0 else None


class SystemCalls:
    """`with SystemCalls(pids) as calls: ...; calls.count`. The count is None where the kernel does not count for us, which
    it does for root. It slows every system call of the machine down a little: not while a rate is measured."""

    def __init__(self, pids):
        self.pids, self.count, self.counters = pids, None, []

    def __enter__(self):
        tracepoint = _tracepoint()
        if tracepoint is not None and platform.machine() in SYS_PERF_EVENT_OPEN:
            threads = [int(os.path.basename(path)) for pid in self.pids for path in glob.glob(f"/proc/{pid}/task/*")]
            self.counters = [fd for fd in (_open_counter(tracepoint, thread) for thread in threads) if fd is not None]
        return self

    def __exit__(self, *_):
        if self.counters:
            self.count = sum(int.from_bytes(os.read(fd, 8), "little") for fd in self.counters)
        for fd in self.counters:
            os.close(fd)


class Callgrind:
    """A program runs as `COMMAND program arguments`; what it has executed between two points is counted."""

    def __init__(self, folder):
        self.out = os.path.join(folder, "callgrind.out")
        self.command = f"valgrind -q --tool=callgrind --callgrind-out-file={self.out}"
        self.dumps = 0

    def zero(self, pid):
        self._tell(pid, "zero")

    def count(self, pid):
        """Instructions since zero(), of all threads."""
        self._tell(pid, "dump")
        self.dumps += 1
        return callgrind.read(f"{self.out}.{self.dumps}").total()

    @staticmethod
    def _tell(pid, command):
        subprocess.run(["vgdb", f"--pid={pid}", command], check=True, capture_output=True, timeout=VGDB_LIMIT)
