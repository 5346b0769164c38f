# SPDX-License-Identifier: MIT
"""llmbrick from PyPI with the newest of what it needs, and the examples of its source package: real, not imitated.

Made once in the build directory. All of it is upstream's and stays there."""
import fcntl
import glob
import os
import shutil
import subprocess
import sys
import tarfile

LLMBRICK = "llmbrick==0.2.10"
# What its gRPC half imports; the rest of its dependencies is for its web server, or for nothing.
DEPENDENCIES = ("grpcio", "protobuf", "pretty-loguru", "openai", "deprecated")
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "--timeout", "10", "--retries", "1")
FIRST_LIMIT = 60  # of the first download: after it, PyPI is there
LIMIT = 300


class Venv:
    def __init__(self, folder):
        self.python = os.path.join(folder, "bin", "python")
        self.examples = os.path.join(folder, "source", "examples")

    def pip(self, *args, limit=LIMIT):
        return subprocess.run([self.python, *PIP, *args], timeout=limit, check=True, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout

    def example(self, kind, file=""):
        return os.path.join(self.examples, f"{kind.lower()}_brick_define", file)

    def versions(self):
        program = "import importlib.metadata as m, sys; print(', '.join(f'{p} {m.version(p)}' for p in sys.argv[1:]))"
        return subprocess.check_output([self.python, "-c", program, "llmbrick", *DEPENDENCIES], text=True).strip()


def fetch(venv, folder):
    """False if PyPI does not answer."""
    try:
        venv.pip("install", "--no-compile", "--no-deps", LLMBRICK, limit=FIRST_LIMIT)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as e:
        print("# pip:", (e.stdout or str(e)).strip().replace("\n", "\n# "))
        return False
    venv.pip("install", "--no-compile", "wheel", "setuptools", *DEPENDENCIES)  # the first two for the source package
    source = os.path.join(folder, "source")
    venv.pip("download", "--no-deps", "--no-build-isolation", "--no-binary", "llmbrick", "-d", source, LLMBRICK)
    archive, = glob.glob(os.path.join(source, "*.tar.gz"))
    with tarfile.open(archive) as tar:
        tar.extractall(source)
    for part in glob.glob(os.path.join(source, "llmbrick-*", "examples")):
        shutil.move(part, source)
    return True


def get(build):
    """The environment of this build directory; without PyPI the test ends here, and is skipped."""
    folder = os.path.join(build, "tests", "real", "venv")
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other tests want it as well
        if not os.path.exists(os.path.join(folder, "complete")):
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            if not fetch(Venv(folder), folder):
                print("1..0 # SKIP PyPI does not answer")
                sys.exit(0)
            open(os.path.join(folder, "complete"), "w").close()
    return Venv(folder)
