#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""manual-index.py BRICKCTL_INDEX OUTPUT PAGE.scd...: an index of the sections of manual pages, for the brick
that answers questions about brickd itself."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile


def plain(text):
    """Without the marks of scdoc."""
    text = re.sub(r"^(#+|\t*-|\t*\.|[|:\]\[][<>-]?) ", "", text, flags=re.MULTILINE)
    return re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)[*]|(?<![\w\\])_|(?<!\\)_(?!\w)|\+\+$", "", text, flags=re.MULTILINE))


def sections(path):
    """(id, title, text) of each section: its id is as in man's references, "brickd(8) SIGNALS"."""
    name, number = re.match(r"(.*)\.(\d)\.scd$", os.path.basename(path)).groups()
    with open(path, encoding="utf-8") as f:
        parts = re.split(r"^# (.+)\n", f.read(), flags=re.MULTILINE)
    for heading, text in zip(parts[1::2], parts[2::2]):
        if heading not in ("NAME", "SEE ALSO"):
            title = f"{name}({number}) {heading}"
            yield title, title, plain(text)


def main(program, output, *pages):
    with tempfile.TemporaryDirectory() as folder:
        documents = os.path.join(folder, "manual.jsonl")
        index = os.path.join(folder, "manual.db")
        with open(documents, "w", encoding="utf-8") as f:
            for page in pages:
                for ident, title, text in sections(page):
                    metadata = {"path": os.path.basename(page).removesuffix(".scd"), "mtime": ""}
                    print(json.dumps({"id": ident, "title": title, "text": text, "metadata": metadata}), file=f)
        subprocess.run([program, "--quiet", "--db", index, documents], check=True, timeout=300)
        # The same pages make the same index, wherever and whenever. It is installed where the daemon must not write, so it
        # has no files beside it.
        with sqlite3.connect(index) as db:
            db.execute("UPDATE file SET path = 'manual.jsonl', mtime = 0")
            db.commit()
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute("VACUUM")
        db.close()
        if os.path.exists(output):
            os.remove(output)
        with open(index, "rb") as f, open(output, "wb") as g:
            g.write(f.read())


main(*sys.argv[1:])
