# SPDX-License-Identifier: MIT
"""Users' clients of gRPC against a brickd, unchanged: test_grpc_clients.py BUILD_DIR grpcio|llmbrick|tonic"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

import cases  # noqa: E402
import pypi  # noqa: E402
import registry  # noqa: E402
from harness import BUILD, wait_for  # noqa: E402
from served import Served  # noqa: E402


def program(client):
    """The client, as a command; the cases of all of them do the same."""
    if client == "tonic":
        return [registry.cargo(os.path.join(HERE, "programs", "tonic"), os.path.join(BUILD, "tests", "real", "tonic"))]
    venv = pypi.get(BUILD)
    print("#", venv.versions(), flush=True)
    return [venv.python, os.path.join(HERE, "clients", f"with_{client}.py")]


def main():
    command = program(sys.argv[2])
    failed = number = 0
    with Served() as served:
        for number, result in enumerate(cases.results([*command, served.told()]), 1):
            failed += cases.tap(number, result)
        wait_for("the end of all calls", lambda: served.in_flight() == 0)
    cases.end(number, failed)


main()
