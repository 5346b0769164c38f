# SPDX-License-Identifier: MIT
"""Downloads what users' programs need from where users have it; without an answer, the test is skipped, visibly."""
import os
import re
import shutil
import subprocess
import sys

# What npm, pip and go say when their registry does not answer.
NO_NETWORK = (r"ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENETUNREACH|NewConnectionError|Read timed out"
              r"|No matching distribution|[Nn]ame resolution|ConnectTimeout|no such host|dial tcp|i/o timeout")
LIMIT = 300


def skip(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(0)


def run(command, folder, env=None, limit=LIMIT):
    silent = f"the registry of {os.path.basename(command[0])} does not answer"
    try:
        done = subprocess.run(command, cwd=folder, env=env, timeout=limit, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        skip(silent)
    if done.returncode:
        print("# " + done.stdout.strip()[-2000:].replace("\n", "\n# "))
        if re.search(NO_NETWORK, done.stdout):
            skip(silent)
        raise AssertionError(f"{' '.join(command)}: {done.returncode}")


def once(folder, wanted, make):
    """Calls make() unless it has made the same in this folder before."""
    stamp = os.path.join(folder, "complete")
    if os.path.exists(stamp):
        with open(stamp) as f:
            if f.read() == wanted:
                return
        os.remove(stamp)
    make()
    with open(stamp, "w") as f:
        f.write(wanted)


def npm(source, folder):
    """node, and a copy of the folder `source` with what its package-lock.json names."""
    if not shutil.which("npm"):
        skip("there is no npm")
    shutil.copytree(source, folder, dirs_exist_ok=True)
    with open(os.path.join(source, "package-lock.json")) as f:
        lock = f.read()
    once(folder, lock, lambda: run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline",
                                    "--fetch-timeout=10000", "--fetch-retries=0"], folder))
    return shutil.which("node")


def venv(folder):
    """A new virtual environment; its python."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return os.path.join(folder, "bin", "python")


def run_pip(python, command, *args, limit=LIMIT):
    run([python, "-m", "pip", command, "--quiet", "--disable-pip-version-check", "--no-input", "--timeout", "10",
         "--retries", "1", *args], None, limit=limit)


def pip(packages, folder):
    """The python of a virtual environment with the packages."""
    once(folder, " ".join(packages), lambda: run_pip(venv(folder), "install", "--no-compile", *packages))
    return os.path.join(folder, "bin", "python")


def go_env(folder):
    """What is downloaded and compiled stays below the folder, which may be removed."""
    return os.environ | {"GOCACHE": f"{folder}/.cache", "GOMODCACHE": f"{folder}/.modules", "GOTOOLCHAIN": "local",
                         "GOFLAGS": "-modcacherw"}


def go(source, folder):
    """The program made of a copy of the folder `source`, with the modules that its go.sum names."""
    if not shutil.which("go"):
        skip("there is no go")
    shutil.copytree(source, folder, dirs_exist_ok=True)
    run(["go", "mod", "download"], folder, go_env(folder))
    # not optimised, it compiles in half of the time
    run(["go", "build", "-gcflags=all=-N -l", "-o", "program"], folder, go_env(folder))
    return os.path.join(folder, "program")


def go_module(name, folder):
    """The folder with the files of a module of Go, NAME@VERSION."""
    run(["go", "mod", "download", name], folder, go_env(folder))
    return os.path.join(folder, ".modules", name)
