#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every command in the README is run by a test: readme.py SOURCE_DIR"""
import os
import re
import sys

os.chdir(sys.argv[1])
# What a line of the README looks like, and where what it shows is run.
RUNS = [
    (r"tests/(demo|run)\.sh$", None),  # by themselves
    (r"\$ brickctl call assistant ", "tests/real/test_readme.py"),
    (r"\$ brickctl ", "tests/demo.sh"),
    (r"conf/packaging/build-deb.sh ", "tests/packages/test-packages.sh"),
    (r"cd build/debs ", "tests/packages/drive.sh"),
    (r"meson setup ", "tests/demo.sh"),
    (r"meson install ", "tests/install/test-install.sh"),
    (r"systemctl enable --now brickd$", "tests/systemd/drive.sh"),
    (r"brickctl call shield ", "tests/systemd/drive.sh"),
    (r"brickctl open$", "tests/systemd/drive.sh"),
    (r"cc -shared -fPIC ", "tests/install/test-install.sh"),
]


def words(command):
    """What has to be in the test, too: all but this reader's own files."""
    return [w for w in re.findall(r"[\w./-]+", command) if not re.match(r"build/|shout\.", w)]


def commands():
    """Indented lines, and in fenced blocks those with a prompt."""
    fenced = False
    with open("README.md") as f:
        for line in f:
            if line.startswith("```"):
                fenced = not fenced
            elif fenced and line.startswith("$ ") or not fenced and re.match(r"    \S", line):
                yield line.strip()


def main():
    bad = count = 0
    for count, command in enumerate(commands(), 1):
        where = next((place for pattern, place in RUNS if re.match(pattern, command)), "")
        if where is None:
            found = os.access(command, os.X_OK)
        else:
            text = open(where).read() if where else ""
            found = where and all(w in text for w in words(command.removeprefix("$ ")))
        if not found:
            print(f"README.md: no test runs `{command}`" + (f"; it should be in {where}" if where else ""))
            bad = 1
    if count == 0:
        print("README.md: no commands at all")
        bad = 1
    return bad


sys.exit(main())
