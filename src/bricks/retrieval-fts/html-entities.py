#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""html-entities.py: prints html-entities.h, the named characters of HTML, sorted, from Python's copy of the standard."""
from html.entities import html5


def main():
    print("/* SPDX-License-Identifier: MIT */\n\n/* Made by html-entities.py. */\n")
    print("static const struct {\n\tconst char *name; /* with its semicolon, if it must have one */")
    print("\tconst char *text;\n} html_entities[] = {")
    for name in sorted(html5):
        if name.rstrip(";") in html5 and name.endswith(";"):
            continue  # its semicolon may be left out
        print('\t{ "%s", "%s" },' % (name, "".join(f"\\{b:03o}" for b in html5[name].encode())))
    print("};")


main()
