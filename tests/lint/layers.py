#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Directories of src/ are layers: an include may only point down. Few files see a library."""

import pathlib
import re
import sys

PROTO = "proto"  # the messages, generated
SDK = "sdk"
BRICK = "brick.h"
BRICK_OWN = "brick"  # the folder of the brick itself

# what the files of a directory may include
LAYERS = {
    "util": {"util"},
    "conf": {"util", "conf", BRICK},
    "shared": {"util", "shared"},
    "manager": {"util", "conf", "shared", "manager"},
    "main.c": {"util", "conf", "shared", "manager"},
    "exec": set(),
    "module": {"util", "conf", "shared", "module", BRICK, PROTO},
    "serve": {"util", "conf", "shared", "module", "serve", BRICK, PROTO},
    "rpc": {"util", "conf", "shared", "module", "serve", "rpc", BRICK, PROTO},
    "http": {"util", "conf", "shared", "module", "serve", "http", BRICK, PROTO},
    "remote": {"util", "conf", "shared", "module", "serve", "rpc", "remote", BRICK, PROTO},
    "worker": {"util", "conf", "shared", "module", "serve", "rpc", "http", "remote", "worker", BRICK, PROTO},
    "ctl": {"util", "conf", "ctl", PROTO},
    "sdk": {SDK, BRICK, PROTO},
    "expr": {"expr", PROTO},
    "bricks": {SDK, BRICK, PROTO, BRICK_OWN, "expr"},
    "brick.h": {BRICK},
    "brick-types.h": set(),
}

# what the files of a directory may include besides: headers of the core that stand alone
HEADERS = {
    "sdk": {"util/ascii.h"},
    "expr": {"util/utf8.h"},
    "bricks": {"util/utf8.h"},
}

# what single files may include besides: libraries for modules are made of a few files of the core
FILES = {
    "sdk/brick-yaml.c": {"conf"},
    "exec/brickd-exec.c": {"util"},  # standard.h: every program begins with it
    "bricks/retrieval-fts/index-main.c": {"util"},
    "expr/parse.c": {"conf"},  # nearest.h: "did you mean"
}

# library header (or the start of it) -> the only files (or directories) that may include it
LIBRARIES = {
    "yaml.h": ["conf/yaml.c", "conf/yaml-print.c", "manager/version.c"],
    "grpc/": ["rpc/", "remote/", "ctl/", "worker/version.c"],
    "openssl/": ["serve/certificate.c", "serve/auth.c", "rpc/decrypt.c", "http/socket.", "remote/tls-files.c", "ctl/token.c",
                 "ctl/options.c", "worker/version.c"],
    "dlfcn.h": ["module/load.c"],
    "ncurses.h": ["ctl/top-screen.c"],
    "microhttpd.h": ["manager/http.c", "manager/version.c"],
    "curl/": ["bricks/", "worker/otlp-http.c"],
    "sqlite3.h": ["bricks/"],
    "pcre2.h": ["bricks/"],
    "opencc.h": ["bricks/"],
    "hunspell.h": ["bricks/rectify-spell/"],
    "cmark-gfm": ["bricks/"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def layer_of(name, src):
    """The layer that an include with quotes points to."""
    if name == "config.h":
        return None
    if name.endswith(".pb-c.h"):
        return PROTO
    if name in ("brick-sdk.h", "brick-yaml.h"):
        return SDK
    if name in (BRICK, "brick-types.h"):
        return BRICK
    first = name.partition("/")[0]
    return first if "/" in name and (src / first).is_dir() else BRICK_OWN


def check_quoted(path, name, src):
    layer = layer_of(name, src)
    own = path.parts[0]
    if layer is None or name in HEADERS.get(own, set()) or layer in LAYERS[own] | FILES.get(str(path), set()):
        return None
    if layer == BRICK_OWN and own != "bricks":
        return f'"{name}": paths start at src/'
    return f'"{name}": {own} may not see {layer}'


def check_library(path, name):
    for header, allowed in LIBRARIES.items():
        if name.startswith(header) and not any(str(path).startswith(a) for a in allowed):
            return f"<{name}>: only for {' and '.join(allowed)}"
    return None


def main(src):
    bad = 0
    for file in sorted(src.rglob("*.[ch]")):
        path = file.relative_to(src)
        text = file.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            quote, name = match.groups()
            reason = check_quoted(path, name, src) if quote == '"' else check_library(path, name)
            if reason:
                line = text.count("\n", 0, match.start(2)) + 1
                print(f"src/{path}:{line}: {reason}")
                bad += 1
    return bad != 0


sys.exit(main(pathlib.Path(sys.argv[1])))
