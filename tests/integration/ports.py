# SPDX-License-Identifier: MIT
"""TCP ports for tests that run side by side."""
import random
import socket

taken = []


def free_port():
    """A port of 127.0.0.1 that nobody listens on, and that no other test will be given while this process lives: the
    name of a unix socket stands for it. The kernel gives clients other ports than these."""
    while True:
        port = random.randrange(10000, 32000)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0brickd-test-port-{port}")
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        taken.append(name)
        return port
