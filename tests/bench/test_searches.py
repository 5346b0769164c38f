# SPDX-License-Identifier: MIT
"""What a search of retrieval-fts costs, in instructions, beside the same search of bare FTS5 with bm25 and snippets.

Usage: test_searches.py BUILD_DIR"""
import json
import os
import re
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from harness import BUILD, eq, main, temp_dir, test  # noqa: E402

DOCUMENTS = 2000
QUERY = "word7 word77\n"  # a third of the documents have a word of it
FEW, MANY = 1, 4  # rounds: what else the program does cancels out
MOST = 3_500_000
RATIO = 2
LIMIT = 100


def documents():
    for i in range(DOCUMENTS):
        yield str(i), f"Document {i}", " ".join(f"word{i * k % 997}" for k in range(1, 200))


def make_index(folder):
    lines, index = os.path.join(folder, "docs.jsonl"), os.path.join(folder, "docs.db")
    with open(lines, "w") as f:
        for key, title, text in documents():
            f.write(json.dumps({"id": key, "title": title, "text": text}) + "\n")
    subprocess.run([os.path.join(BUILD, "src", "bricks", "retrieval-fts", "brickctl-index"), "-q", "--db", index, lines],
                   check=True, timeout=LIMIT)
    return index


def make_bare(folder):
    path = os.path.join(folder, "bare.db")
    db = sqlite3.connect(path)
    db.execute("CREATE VIRTUAL TABLE bare USING fts5 (key UNINDEXED, title, body, tokenize = 'porter unicode61')")
    db.executemany("INSERT INTO bare VALUES (?, ?, ?)", documents())
    db.execute("INSERT INTO bare (bare) VALUES ('optimize')")
    db.commit()
    return path


def count(folder, kind, path, rounds):
    """Instructions of the program, and what it found."""
    queries, counted = os.path.join(folder, "queries"), os.path.join(folder, "counted")
    with open(queries, "w") as f:
        f.write(QUERY)
    found = subprocess.run(["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={counted}",
                            os.path.join(BUILD, "tests", "bench", "searches"), kind, path, queries, "5", str(rounds)],
                           check=True, capture_output=True, text=True, timeout=LIMIT).stdout.splitlines()[0]
    with open(counted, errors="replace") as f:
        return int(re.search(r"^summary: (\d+)", f.read(), re.MULTILINE)[1]), found


def instructions(folder, kind, path):
    few, found = count(folder, kind, path, FEW)
    many, _ = count(folder, kind, path, MANY)
    return (many - few) // (MANY - FEW), found


@test
def instructions_of_a_search():
    folder = temp_dir()
    brick, found = instructions(folder, "brick", make_index(folder))
    bare, expected = instructions(folder, "fts5", make_bare(folder))
    print(f"# {brick} instructions, {bare / brick:.2f} times less than FTS5's {bare}")
    eq(sorted(found.split()), sorted(expected.split()))
    assert brick <= MOST and bare >= RATIO * brick


main()
