#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test_brick7.py PAGE CALLER COMPILER...: the example of the page compiles without a warning, loads,
and answers as the page says. COMPILER is the command and the flags that pkg-config would give."""

import os
import subprocess
import sys
import tempfile

BEGIN = "; example: "
END = "; end of example"


def example(page):
    """Name and text of the only example: a literal block between two comments."""
    with open(page, encoding="utf-8") as lines:
        before, _, rest = lines.read().partition(BEGIN)
    name, _, rest = rest.partition("\n")
    block, end, after = rest.partition(END)
    assert before and end and BEGIN not in after, f"{page} has no example, or two"
    lines = block.strip("\n").split("\n")
    assert lines[0] == lines[-1] == "```", lines
    return name, "\n".join(lines[1:-1]) + "\n"


def main(page, caller, *compiler):
    name, text = example(page)
    with tempfile.TemporaryDirectory(prefix="brickd-brick7-") as folder:
        source, module = os.path.join(folder, name), os.path.join(folder, "example.so")
        with open(source, "w", encoding="utf-8") as f:
            f.write(text)
        flags = ["-std=c11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-shared", "-fPIC"]
        # The library first, as an impatient user might have it.
        subprocess.run([*compiler, *flags, source, "-o", module], check=True, timeout=60)
        subprocess.run([caller, module], check=True, timeout=60)


main(*sys.argv[1:])
