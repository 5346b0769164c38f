#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""man.py PAGE [PROGRAM]: the page renders without warnings, and tells of exactly the options that
PROGRAM's --help does."""

import os
import re
import subprocess
import sys

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def run(command, **arguments):
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, **arguments
    )


def render(page):
    """What a reader sees, and what groff complains of."""
    command = ["man", "--warnings", "-E", "UTF-8", "-l", page]
    environment = os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    done = run(command, env=environment)
    # a cell of a table that cannot be filled evenly, of which groff 1.23 complains
    return done.stdout, [line for line in done.stderr.splitlines() if "cannot adjust line" not in line]


def page_options(page):
    """Those that a paragraph begins with."""
    with open(page, encoding="utf-8") as lines:
        return {
            option
            for line in lines
            if line.startswith(r"\fB-")
            for option in OPTION.findall(line.replace(r"\fB", " "))
        }


def help_options(program):
    """With those of its commands, if it has any: "brickctl help COMMAND"."""
    text = run([program, "--help"]).stdout
    commands = text.partition("\nCommands:\n")[2].partition("\n\n")[0]
    for command in commands.splitlines():
        text += run([program, "help", command.split()[0]]).stdout
    return set(OPTION.findall(text))


def main(page, program=None):
    text, problems = render(page)
    if "SEE ALSO" not in text:
        problems.append(f"{page} is not a whole page")
    if program:
        in_page, in_help = page_options(page), help_options(program)
        problems += [f"{option} is not in {page}" for option in sorted(in_help - in_page)]
        problems += [f"{option} is not in {program} --help" for option in sorted(in_page - in_help)]
    print("\n".join(problems))
    return bool(problems)


sys.exit(main(*sys.argv[1:]))
