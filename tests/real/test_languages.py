# SPDX-License-Identifier: MIT
"""Bricks in other languages behind `module: process`: Node with grpc-js from npm, Go with grpc-go from its module proxy.
A language whose tool or registry is not there is skipped."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))

from harness import BUILD, SOURCE, Brickd, call, eq, main, path, stream, test  # noqa: E402

HERE = os.path.join(SOURCE, "tests", "real", "languages")
FOLDER = os.path.join(BUILD, "tests", "real", "languages")
GRPC_JS, GRPC_GO = "@grpc/grpc-js@1.12.2", "google.golang.org/grpc@v1.64.0"
LIMIT = 200
REQUEST = b"\x12\x05hello"
REPLY = b"\x0a\x05hello\x22\x03\x08\xc8\x01"


def run(folder, *command):
    """None, or why the command has failed."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT)
    except (OSError, subprocess.TimeoutExpired) as e:
        return str(e)
    return None if done.returncode == 0 else done.stderr.strip()[-500:]


def prepare(language, source, *commands):
    """The folder in which the commands have been run, once; None: one has failed."""
    folder = os.path.join(FOLDER, language)
    os.makedirs(folder, exist_ok=True)
    shutil.copy(os.path.join(HERE, source), folder)
    if os.path.exists(os.path.join(folder, "complete")):
        return folder
    for command in commands:
        why = run(folder, *command)
        if why:
            print(f"# SKIP {language}: {' '.join(command)}: {why}".replace("\n", "\n# "), flush=True)
            return None
    open(os.path.join(folder, "complete"), "w").close()
    return folder


def check(language, command, folder):
    bricks = f"  - {{ name: llm, module: process, options: {{ type: LLM, command: {command}, directory: {folder} }} }}"
    env = {"BRICKD_EXEC": os.path.join(BUILD, "src", "exec", "brickd-exec")}
    with Brickd(bricks, env=env) as running:
        channel = running.channel()
        for _ in range(50):
            eq(call(channel, path("LLM", "Unary"), REQUEST)[:2], (REPLY, "OK"))
        eq(stream(channel, path("LLM", "OutputStreaming"), REQUEST)[:2], ([REPLY] * 3, "OK"))
        running.says(f"{language} serves")
    running.says(f"{language} stops")


@test
def node():
    folder = prepare("node", "brick.js", ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", GRPC_JS])
    if folder:
        check("node", "[node, brick.js]", folder)


@test
def go():
    folder = prepare("go", "brick.go", ["go", "mod", "init", "brick"], ["go", "get", GRPC_GO], ["go", "mod", "tidy"],
                     ["go", "build", "-o", "brick", "brick.go"])
    if folder:
        check("go", "[./brick]", folder)


main()
