#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""select-bricks.py IN OUT DATADIR MODULE...: the default configuration for an installation. Bricks of other
modules are comments, as these have not been built, and its data is in DATADIR."""

import re
import sys

SOURCE_DATA = "/usr/share/brickd"


def without(item, module):
    lines = [f"  # This brickd has been built without {module}."]
    lines += [line if line.startswith("  #") else re.sub(r"^  ", "  # ", line) for line in item.split("\n")]
    return "\n".join(lines)


def main(source, target, data, *modules):
    with open(source, encoding="utf-8") as f:
        items = f.read().split("\n\n")
    for i, item in enumerate(items):
        module = re.search(r"^    module: (\S+)$", item, re.MULTILINE)
        if module and module[1] not in modules:
            head, bricks, rest = item.rpartition("bricks:\n")
            items[i] = head + bricks + without(rest, module[1])
    with open(target, "w", encoding="utf-8") as f:
        f.write("\n\n".join(items).replace(SOURCE_DATA, data))


main(*sys.argv[1:])
