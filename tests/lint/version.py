#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""version.py SOURCE_DIR VERSION: the version is written in meson.build. What cannot take it from there, the newest entry
of the Debian packages' changelog and of the news, says the same; nothing else says it."""
import os
import re
import sys

ELSEWHERE = [("conf/packaging/debian/changelog", r"^brickd \((.+)-\d+\)"), ("man/brickd-news.7.scd", r"^# VERSION (.+)$")]
# What is of other programs, has a version of its own, or is measured.
NOT_OURS = {".git", "node_modules", "training", "results", "abi", "programs", "tests"}


def newest(path, pattern):
    with open(path, encoding="utf-8") as f:
        found = re.search(pattern, f.read(), re.MULTILINE)
    return found and found[1]


def files(root):
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in NOT_OURS and not name.startswith("build")]
        yield from (os.path.join(folder, name) for name in names)


def lines_with(version):
    """path, number and text of each line that names it, but for those that need it there."""
    word = re.compile(rf"(?<![\w.]){re.escape(version)}(?![\w.]|-\w)")
    for path in files("."):
        with open(path, encoding="utf-8", errors="replace") as f:
            for number, line in enumerate(f, 1):
                if word.search(line) and not re.search(r"meson_version|imageLayoutVersion|meson \(>=", line):
                    yield os.path.relpath(path), number, line.strip()


def main(root, version):
    os.chdir(root)
    problems = []
    for path, pattern in ELSEWHERE:
        said = newest(path, pattern)
        if said != version:
            problems.append(f"{path}: the newest version is {said}, in meson.build it is {version}")
    allowed = {"meson.build"} | {path for path, _ in ELSEWHERE}
    problems += [f"{path}:{number}: the version is written here, too: {line[:80]}"
                 for path, number, line in lines_with(version) if path not in allowed]
    print("\n".join(problems))
    return bool(problems)


sys.exit(main(*sys.argv[1:]))
