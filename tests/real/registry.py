# SPDX-License-Identifier: MIT
"""Downloads what users' programs need from where users have it; without an answer, the test is skipped, visibly."""
import os
import re
import shutil
import subprocess
import sys

# What npm, pip, go and cargo say when their registry does not answer, or another server does.
NO_NETWORK = (r"ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENETUNREACH|NewConnectionError|Read timed out"
              r"|No matching distribution|[Nn]ame resolution|ConnectTimeout|no such host|dial tcp|i/o timeout"
              r"|[Cc]ould not (resolve|connect)|spurious network error|download of .* failed"
              r"|SELF_SIGNED_CERT|UNABLE_TO_\w+_CERT|x509: |SSL certificate problem")
LIMIT = 300
BUILD_LIMIT = 1500  # of what takes a minute of a processor, on a busy machine


def skip(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(0)


def run(command, folder, env=None, limit=LIMIT, attempts=1):
    """What asks a registry. The next attempt goes on where the last one was."""
    for _ in range(attempts):
        try:
            done = subprocess.run(command, cwd=folder, env=env, timeout=limit, text=True, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except subprocess.TimeoutExpired:
            continue
        if done.returncode == 0:
            return
        print("# " + done.stdout.strip()[-2000:].replace("\n", "\n# "))
        if not re.search(NO_NETWORK, done.stdout):
            raise AssertionError(f"{' '.join(command)}: {done.returncode}")
    skip(f"the registry of {os.path.basename(command[0])} does not answer")


def build(command, folder, env):
    done = subprocess.run(command, cwd=folder, env=env, timeout=BUILD_LIMIT, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stdout}")


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


def toolchain(name, wanted):
    """The first `go` or `cargo` of $PATH that is as new as the sources want it."""
    why = f"there is no {name}"
    for folder in os.environ["PATH"].split(os.pathsep):
        command = shutil.which(name, path=folder)
        if command:
            said = subprocess.run([command, "version"], text=True, check=True, stdout=subprocess.PIPE).stdout
            there = re.search(r"\d+\.\d+(\.\d+)?", said)[0]
            if [int(n) for n in there.split(".")] >= [int(n) for n in wanted.split(".")]:
                return command
            why = f"{command} is {there}, and {wanted} is needed"
    skip(why)


def wanted(source, file, pattern):
    with open(os.path.join(source, file)) as f:
        return re.search(pattern, f.read(), re.MULTILINE)[1]


def go_env(folder):
    """What is downloaded and compiled stays beside the folder, in a place that may be removed."""
    cache = os.path.join(os.path.dirname(folder), ".go")
    return os.environ | {"GOCACHE": f"{cache}/build", "GOMODCACHE": f"{cache}/modules", "GOTOOLCHAIN": "local",
                         "GOFLAGS": "-modcacherw"}


def go(source, folder, *commands):
    """The folder with the programs made of a copy of the folder `source`, or of commands of modules that its go.mod names."""
    command = toolchain("go", wanted(source, "go.mod", r"^go (\S+)$"))
    shutil.copytree(source, folder, dirs_exist_ok=True)
    run([command, "mod", "download"], folder, go_env(folder), attempts=2)
    # not optimised, it compiles in half of the time
    build([command, "build", "-gcflags=all=-N -l", "-o", "bin/", *commands], folder, go_env(folder))
    return os.path.join(folder, "bin")


def go_module(name, folder):
    """The folder with the files of a module of Go, NAME@VERSION."""
    run(["go", "mod", "download", name], folder, go_env(folder), attempts=2)
    return os.path.join(go_env(folder)["GOMODCACHE"], name)


def cargo(source, folder):
    """The program made of a copy of the folder `source`, with the crates that its Cargo.lock names."""
    command = toolchain("cargo", wanted(source, "Cargo.toml", r'^rust-version = "(\S+)"$'))
    shutil.copytree(source, folder, dirs_exist_ok=True)
    env = os.environ | {"CARGO_TARGET_DIR": os.path.join(folder, "target"), "CARGO_NET_RETRY": "1",
                        "PATH": os.path.dirname(command) + os.pathsep + os.environ["PATH"]}  # with the rustc beside it
    run([command, "fetch", "--quiet", "--locked"], folder, env, attempts=2)
    build([command, "build", "--quiet", "--frozen"], folder, env)
    return os.path.join(folder, "target", "debug", wanted(source, "Cargo.toml", r'^name = "(\S+)"$'))
