#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test_brick7.py PAGE CALLER COMPILER...: the examples of the page compile without a warning, load,
and answer as the page says. COMPILER is the command and the flags that pkg-config would give."""

import os
import subprocess
import sys
import tempfile

BEGIN = "; example: "
END = "; end of example"


def examples(page):
    """Name and text of each example: a literal block between two comments."""
    with open(page, encoding="utf-8") as lines:
        _, *rest = lines.read().split(BEGIN)
    for example in rest:
        name, _, text = example.partition("\n")
        block, end, _ = text.partition(END)
        assert end, f"the example {name} has no end"
        lines = block.strip("\n").split("\n")
        assert lines[0] == lines[-1] == "```", lines
        yield name, "\n".join(lines[1:-1]) + "\n"


def main(page, caller, *compiler):
    # The compiler's flags begin with the library, as an impatient user might have it.
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wwrite-strings", "-Wno-unused-parameter", "-Werror",
             "-shared", "-fPIC"]
    with tempfile.TemporaryDirectory(prefix="brickd-brick7-") as folder:
        modules = []
        for name, text in examples(page):
            source, module = os.path.join(folder, name), os.path.join(folder, name.replace(".c", ".so"))
            with open(source, "w", encoding="utf-8") as f:
                f.write(text)
            subprocess.run([*compiler, *flags, source, "-o", module], check=True, timeout=60)
            modules.append(module)
        subprocess.run([caller, *modules], check=True, timeout=60)


main(*sys.argv[1:])
