#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""python.py ROOT: pyflakes finds nothing in any Python file. The runner, which users read and run with interpreters of
their own, also has the style of PEP 8 and the grammar of Python 3.9."""
import ast
import os
import pathlib
import subprocess
import sys

NOT_OURS = (".git", "build", "node_modules")  # folders that begin so
STAR = ("unable to detect undefined names", "or defined from star imports")  # tests import all of their harness
FIRST_VERSION = (3, 9)


def is_python(file):
    if file.suffix == ".py":
        return True
    with open(file, "rb") as f:
        return f.readline() == b"#!/usr/bin/python3\n"


def python_files(root):
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(NOT_OURS)]
        yield from filter(is_python, (pathlib.Path(folder, name) for name in names))


def lines(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()


def old_grammar(file):
    try:
        ast.parse(file.read_text(encoding="utf-8"), str(file), feature_version=FIRST_VERSION)
    except SyntaxError as e:
        yield f"{file}:{e.lineno}: not for Python {'.'.join(map(str, FIRST_VERSION))}: {e.msg}"


def main(root):
    files = sorted(python_files(root))
    runner = root / "src" / "python" / "brickd-python"
    said = [line for line in lines("pyflakes3", *map(str, files)) if not any(star in line for star in STAR)]
    said += lines("pycodestyle", "--max-line-length=120", str(runner))
    said += old_grammar(runner)
    print("\n".join(said))
    return bool(said)


sys.exit(main(pathlib.Path(sys.argv[1])))
