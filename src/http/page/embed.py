#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""embed.py OUT FILE...: the files of the page as a C file, each as it is and compressed."""

import gzip
import hashlib
import pathlib
import sys

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def array(name, content):
    lines = [", ".join(map(str, content[i:i + 24])) for i in range(0, len(content), 24)]
    return f"static const unsigned char {name}[] = {{\n" + ",\n".join(lines) + "\n};\n"


def main():
    arrays, rows = [], []
    for i, file in enumerate(map(pathlib.Path, sys.argv[2:])):
        content = file.read_bytes()
        arrays.append(array(f"plain_{i}", content))
        arrays.append(array(f"gzip_{i}", gzip.compress(content, mtime=0)))
        path = "/" if file.name == "index.html" else f"/{file.name}"
        tag = hashlib.sha256(content).hexdigest()[:16]
        rows.append(f'{{ "{path}", "{TYPES[file.suffix]}; charset=utf-8", "W/\\"{tag}\\"",\n'
                    f"  plain_{i}, sizeof plain_{i}, gzip_{i}, sizeof gzip_{i} }},\n")
    pathlib.Path(sys.argv[1]).write_text(
        '#include "http/page.h"\n' + "".join(arrays)
        + f"const struct page_file page_files[] = {{\n{''.join(rows)}{{}},\n}};\n")


main()
