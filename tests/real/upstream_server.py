# SPDX-License-Identifier: MIT
"""upstream_server.py PORT SCRIPT: runs a script of upstream as it is, but for the port."""
import os
import runpy
import sys

from llmbrick.servers.grpc.server import GrpcServer

port, script = int(sys.argv[1]), sys.argv[2]
make = GrpcServer.__init__
GrpcServer.__init__ = lambda self, **arguments: make(self, port)
sys.argv = [script]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
