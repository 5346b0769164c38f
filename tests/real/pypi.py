# SPDX-License-Identifier: MIT
"""llmbrick from PyPI with the newest of what it needs, and the examples of its source package: real, not imitated.

Made once in the build directory. All of it is upstream's and stays there."""
import fcntl
import glob
import os
import shutil
import subprocess
import tarfile

import registry

LLMBRICK = "llmbrick==0.2.10"
# What its gRPC half imports; the rest of its dependencies is for its web server, or for nothing.
DEPENDENCIES = ("grpcio", "protobuf", "pretty-loguru", "openai", "deprecated")
FIRST_LIMIT = 60  # of the first download: after it, PyPI is there


class Venv:
    def __init__(self, folder):
        self.python = os.path.join(folder, "bin", "python")
        self.examples = os.path.join(folder, "source", "examples")

    def example(self, kind, file=""):
        return os.path.join(self.examples, f"{kind.lower()}_brick_define", file)

    def versions(self):
        program = "import importlib.metadata as m, sys; print(', '.join(f'{p} {m.version(p)}' for p in sys.argv[1:]))"
        return subprocess.check_output([self.python, "-c", program, "llmbrick", *DEPENDENCIES], text=True).strip()


def fetch(folder):
    python = registry.venv(folder)
    registry.run_pip(python, "install", "--no-compile", "--no-deps", LLMBRICK, limit=FIRST_LIMIT)
    # wheel and setuptools are for the source package
    registry.run_pip(python, "install", "--no-compile", "wheel", "setuptools", *DEPENDENCIES)
    source = os.path.join(folder, "source")
    registry.run_pip(python, "download", "--no-deps", "--no-build-isolation", "--no-binary", "llmbrick", "-d", source, LLMBRICK)
    archive, = glob.glob(os.path.join(source, "*.tar.gz"))
    with tarfile.open(archive) as tar:
        tar.extractall(source)
    for part in glob.glob(os.path.join(source, "llmbrick-*", "examples")):
        shutil.move(part, source)


def get(build):
    """The environment of this build directory; without PyPI the test ends here, and is skipped."""
    folder = os.path.join(build, "tests", "real", "venv")
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other tests want it as well
        registry.once(folder, " ".join((LLMBRICK, *DEPENDENCIES)), lambda: fetch(folder))
    return Venv(folder)
