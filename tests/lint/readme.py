#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every command and every block of code in the README is run by a test: readme.py SOURCE_DIR"""
import os
import re
import sys

os.chdir(sys.argv[1])
# Chapters whose tests take from the README itself what they run.
READ = {
    "An application in YAML": ["tests/integration/test_readme.py"],
    "From OpenAI's clients": ["tests/integration/test_readme.py", "tests/real/test_readme.py"],
    "Bricks in Python": ["tests/real/test_readme.py"],
}
# What a line of the others looks like, and where what it shows is run.
RUNS = [
    (r"tests/(demo|run)\.sh$", None),  # by themselves
    (r"conf/packaging/build-deb.sh ", "tests/packages/test-packages.sh"),
    (r"cd build/debs ", "tests/packages/drive.sh"),
    (r"meson setup ", "tests/demo.sh"),
    (r"meson install ", "tests/install/test-install.sh"),
    (r"systemctl enable --now brickd$", "tests/systemd/drive.sh"),
    (r"brickctl call shield 'Ignore", "tests/systemd/drive.sh"),
    (r"brickctl open$", "tests/systemd/drive.sh"),
    (r"brickctl ", "tests/demo.sh"),
]


def words(command):
    """What has to be in the test, too: all but this reader's own files."""
    return [w for w in re.findall(r"[\w./-]+", command) if not re.match(r"build/", w)]


def chapters():
    """(heading, text) of each."""
    with open("README.md", encoding="utf-8") as f:
        parts = re.split(r"^##? (.+)\n", f.read(), flags=re.MULTILINE)
    return zip(parts[1::2], parts[2::2])


def blocks(text):
    """(language, lines) of each block in fences, and of each indented line as if it were one."""
    fenced = None
    for line in text.splitlines():
        if line.startswith("```"):
            if fenced:
                yield fenced
            fenced = None if fenced else (line[3:], [])
        elif fenced:
            fenced[1].append(line)
        elif re.match(r"    \S", line):
            yield "", ["$ " + line.strip()]


def mistakes(heading, text):
    if heading in READ:
        for test in READ[heading]:
            with open(test, encoding="utf-8") as f:
                if f'blocks("{heading}")' not in f.read():
                    yield f"{test} does not read the chapter {heading!r}"
        return
    for language, lines in blocks(text):
        if language:
            yield f"no test runs the block of {language} in {heading!r}"
        for command in (line[2:] for line in lines if line.startswith("$ ")):
            where = [place for pattern, place in RUNS if re.match(pattern, command)]
            if not where:
                yield f"no test runs `{command}`"
            elif where[0] is None and not os.access(command, os.X_OK):
                yield f"there is no {command}"
            elif where[0]:
                with open(where[0], encoding="utf-8") as f:
                    test = f.read()
                if not all(word in test for word in words(command)):
                    yield f"{where[0]} does not run `{command}`"


found = dict(chapters())
problems = [f"there is no chapter {heading!r}" for heading in READ if heading not in found]
problems += [text for heading in found for text in mistakes(heading, found[heading])]
if not any(list(blocks(text)) for text in found.values()):
    problems.append("there are no commands at all")
print("\n".join(f"README.md: {problem}" for problem in problems))
sys.exit(bool(problems))
