#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""completion.py SCRIPT PROGRAM: SCRIPT completes exactly the options that PROGRAM's --help shows."""

import re
import subprocess
import sys

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def offered(script, name):
    command = f'source "$0"; COMP_WORDS=({name} --); COMP_CWORD=1; _{name}; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "-c", command, script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def main(script, program):
    name = program.rpartition("/")[2]
    shown = subprocess.run(
        [program, "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    wrong = offered(script, name) ^ set(OPTION.findall(shown))
    print("\n".join(sorted(wrong)))
    return bool(wrong)


sys.exit(main(*sys.argv[1:]))
