#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""interposed.py NM BRICKD BRICKD_WORKER: only the worker replaces functions of the C library.

A function that a program defines itself is called by its libraries, too: in the main process, libsystemd's and
libmicrohttpd's would go through code that is made for gRPC's connections."""
import subprocess
import sys

nm, brickd, worker = sys.argv[1:]


def functions(*arguments):
    """Names of the functions that a file defines, without versions."""
    lines = subprocess.check_output([nm, "--defined-only", "--format=posix", *arguments], text=True).splitlines()
    return {line.split()[0].partition("@")[0] for line in lines if line.split()[1] in "TtWwi"}


def libc_path():
    for line in subprocess.check_output(["ldd", brickd], text=True).splitlines():
        if "libc.so" in line:
            return line.split("=>")[1].split()[0]
    raise SystemExit("brickd has no C library?")


libc = functions("-D", libc_path())
print("the worker replaces:", *sorted(functions(worker) & libc))
failed = False
for name in "sendmsg", "epoll_wait", "accept4":
    if name not in functions(worker) & libc:
        failed = True
        print("the worker does not replace", name)
for name in sorted(functions(brickd) & libc):
    failed = True
    print("the main process replaces", name)
sys.exit(failed)
