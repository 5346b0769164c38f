#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""names.py SOURCE_DIR: brickd(8) has every metric, field and message ID of an earlier 1.x, and every message ID of log.h.
It and brickctl(1) have every option and exit status, and route.c every route."""
import os
import re
import sys


def read(*path):
    with open(os.path.join(sys.argv[1], *path), encoding="utf-8") as f:
        return f.read()


manual = read("man", "brickd.8.scd")
metrics = {f"{name} ({kind})" for name, kind in re.findall(r"^\*(\w+)\* \((.+)\)$", manual, re.MULTILINE)}
log = manual[manual.index("# LOGGING\n"):manual.index("# TRACES\n")]
said = set(re.findall(r"\*([A-Z_]+)\*|^([0-9a-f]{32})  ", log, re.MULTILINE))
said = {field or ident for field, ident in said}

def options(page):
    """And exit statuses, each with the name of its program."""
    found = re.findall(r"^\*(?:-\w\*, \*)?(--[a-z][a-z-]*)\*|^\*(\d+)\*$", read("man", page), re.MULTILINE)
    return {f"{page.partition('.')[0]} {option or status}" for option, status in found}


problems = [f"man/brickd.8.scd: the message ID {ident} of log.h is missing"
            for ident in re.findall(r"^#define LOG_ID_\w+ \"(\w+)\"", read("src", "util", "log.h"), re.MULTILINE)
            if ident not in said]
routes = {f"{method} {path}"
          for path, method in re.findall(r'\{ "(/[^"]*)", (GET|POST)', read("src", "http", "route.c"))}
kept = os.path.join("tests", "names")
for version in sorted(os.listdir(os.path.join(sys.argv[1], kept))):
    commands = options("brickd.8.scd") | options("brickctl.1.scd")
    for file, now in ("metrics", metrics), ("log", said), ("options", commands), ("routes", routes):
        problems += [f"{kept}/{version}/{file}: there is no {name} any more"
                     for name in read(kept, version, file).splitlines() if name not in now]
print("\n".join(problems))
sys.exit(bool(problems))
