#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""generate.py FOLDER > texts.tsv: labelled texts for `brickctl train`, from the files *.txt of a folder.

A file has blocks that begin with one of
  :slot            the lines are what {slot} stands for, and {slot=} for the same again; an empty line stands for nothing
  = label          each line is a text
  * label number   the lines are patterns; so many texts are made of them
A block ends where the next one begins. Lines with # at their beginning and a space are comments; blank lines at the end of
a block do not count. The same files give the same texts on every machine.
"""
import glob
import os
import re
import sys

# What the names of hosts in the files become, so that no name gives an attack away.
HOSTS = "acme.example files.example shop.example mail.test cdn.example news.test x9k.example blue-sky.test".split() + [
    "example.com", "example.org", "sync.example", "media.test", "company.example", "intranet.example", "data.test"]
SLOT = re.compile(r"\{([a-z]+)(=?)\}")
DEPTH = 8


class Random:
    """Numbers that do not depend on the version of Python (xorshift32)."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        x = self.state
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self.state = x
        return x % n

    def choice(self, items):
        return items[self.below(len(items))]


def blocks(path):
    """The blocks of a file: (heading, lines)."""
    heading, lines = None, []
    with open(path, encoding="utf-8") as f:
        for line in f.read().split("\n"):
            if line.startswith("# ") and not heading or re.match(r"# (?:--|[A-Z].*\.$)", line):
                continue
            if line[:1] in (":", "=", "*") and re.match(r":[a-z]+$|= [a-z-]+$|\* [a-z-]+ \d+$", line):
                if heading:
                    yield heading, lines
                heading, lines = line, []
            else:
                lines.append(line)
    if heading:
        yield heading, lines


def trimmed(lines):
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines


def expand(random, slots, pattern, last, depth=0):
    """last: what each slot stood for."""
    def replace(match):
        name, again = match.groups()
        if name not in slots or depth == DEPTH:
            return match[0]
        if not again:
            last[name] = expand(random, slots, random.choice(slots[name]), last, depth + 1)
        return last[name]
    return SLOT.sub(replace, pattern)


def tidy(random, text):
    text = re.sub(r" +", " ", text).strip()
    text = re.sub(r"\b(?:evil|collect)\.example", lambda _: random.choice(HOSTS), text)
    return re.sub(r" ([.,;:?!])(?= |$)", r"\1", text)


def vary(random, text):
    """Some texts are written carelessly."""
    kind = random.below(20)
    if kind < 3:
        return text.lower()
    if kind == 3 and len(text) < 80:
        return text.upper()
    if kind == 4:
        return text.rstrip(".!。！")
    return text


def texts_of(path, random):
    parts = [(heading, trimmed(lines)) for heading, lines in blocks(path)]
    slots = {heading[1:]: lines for heading, lines in parts if heading[0] == ":"}
    for heading, lines in parts:
        if heading[0] == "=":
            for line in filter(None, lines):
                yield heading[2:], tidy(random, line)
        elif heading[0] == "*":
            _, label, number = heading.split()
            patterns = [line for line in lines if line]
            seen = set()
            for _ in range(int(number)):
                text = vary(random, tidy(random, expand(random, slots, random.choice(patterns), {})))
                if text not in seen:
                    seen.add(text)
                    yield label, text


def main():
    print("# Made by generate.py.")
    for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.txt"))):
        random = Random(2463534242)
        for label, text in texts_of(path, random):
            text = text.replace("\\n", "\n").replace("\\\\", "\\")
            print(f"{label}\t" + text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t"))


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    main()
